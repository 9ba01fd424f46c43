//! The metrics of one epoch of training.

use crate::names::CaseKind;
use serde_json::Value;
use std::fmt;

/// The metrics' names for the rows that a run is evaluated on after each epoch.
pub(super) const HELD_OUT: [&str; 2] = ["validation", "test"];

/// The metrics of an epoch. `Display` prints them as one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    pub(super) metrics: Value,
    pub(super) epochs: u64,
}

impl Epoch {
    /// The number of the epoch, from 1.
    pub fn number(&self) -> u64 {
        self.metrics["epoch"].as_u64().unwrap_or(0)
    }

    /// Steps taken since training began.
    pub fn step(&self) -> u64 {
        self.metrics["step"].as_u64().unwrap_or(0)
    }

    /// The mean loss over the epoch's steps.
    pub fn loss(&self) -> f64 {
        self.metrics["loss"].as_f64().unwrap_or(f64::NAN)
    }

    /// The mean bound of a case (`all`, `labelled` or `unlabelled`) over the epoch's steps, in nats
    /// per row.
    pub fn bound(&self, case: &str) -> Option<f64> {
        self.metrics[case]["bound"].as_f64()
    }

    /// The mean bound of the validation or test rows, in nats per row.
    pub fn held_out_bound(&self) -> Option<f64> {
        self.held_out()
            .and_then(|(_, found)| found["bound"].as_f64())
    }

    /// The fraction of validation or test rows with a wrongly predicted label; `None` unless the
    /// model has exactly one label.
    pub fn error(&self) -> Option<f64> {
        self.held_out()
            .and_then(|(_, found)| found["error"].as_f64())
    }

    /// All metrics, as in a line of `metrics.jsonl`.
    pub fn metrics(&self) -> &Value {
        &self.metrics
    }

    /// The label errors on the validation or test rows as text, such as `test error 3.10 %`.
    pub fn errors(&self) -> String {
        self.held_out()
            .map_or(String::new(), |(name, found)| errors(name, found))
    }

    fn held_out(&self) -> Option<(&'static str, &Value)> {
        let named = HELD_OUT.map(|name| (name, &self.metrics[name]));
        named.into_iter().find(|(_, found)| found.is_object())
    }
}

fn errors(rows: &str, found: &Value) -> String {
    let all = found
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("error"));
    let shown = all.filter_map(|(name, value)| {
        Some(format!("{rows} {name} {:.2} %", 100.0 * value.as_f64()?))
    });
    let numeric = found.as_object().into_iter().flatten();
    let numeric = numeric.filter(|(name, _)| name.starts_with("RMSE"));
    let numeric =
        numeric.filter_map(|(name, value)| Some(format!("{rows} {name} {:.4}", value.as_f64()?)));
    shown.chain(numeric).collect::<Vec<_>>().join("  ")
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metrics = &self.metrics;
        let mut parts = vec![format!("epoch {}/{}", self.number(), self.epochs)];
        for case in CaseKind::BOUND_CASES {
            if let Some(bound) = self.bound(case.word()) {
                parts.push(format!("{case} {bound:.2}"));
            }
        }
        if parts.len() == 1
            && let Some(loss) = metrics["loss"].as_f64()
        {
            parts.push(format!("loss {loss:.4}"));
        }
        if let Some((name, found)) = self.held_out() {
            if let Some(bound) = found["bound"].as_f64() {
                parts.push(format!("{name} bound {bound:.2}"));
            }
            let errors = errors(name, found);
            parts.extend((!errors.is_empty()).then_some(errors));
        }
        let (seconds, speed) = (
            metrics["seconds"].as_f64().unwrap_or(0.0),
            metrics["rows_per_second"].as_f64().unwrap_or(0.0),
        );
        parts.push(format!("{seconds:.1} s, {speed:.0} rows/s"));
        f.write_str(&parts.join("  "))
    }
}
