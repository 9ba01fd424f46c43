//! The best epoch of a run: which one it is, and when no better one is expected.
//!
//! Epochs are compared on validation rows by the numbers in `metrics.jsonl`, so that a resumed run
//! finds the same best epoch. An epoch is better only if it is strictly better: of equal ones, the
//! first is the best.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// The name of validation rows in the metrics.
pub const VALIDATION: &str = "validation";

/// What is compared to choose the best epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Criterion {
    /// The fraction of wrongly predicted labels; the least is best.
    Error,
    /// The mean of −log of the probability of the true class; the least is best.
    LogLoss,
    /// The root of the mean squared error of numeric labels; the least is best.
    #[serde(rename = "rmse")]
    RootMeanSquare,
    /// The bound with hidden labels; the greatest is best.
    Bound,
}

impl Criterion {
    /// All criteria.
    pub const ALL: [Criterion; 4] = [
        Criterion::Error,
        Criterion::LogLoss,
        Criterion::RootMeanSquare,
        Criterion::Bound,
    ];

    /// The name of the number in the metrics of held-out rows. For a model with several labels, it
    /// begins the names of several numbers, whose mean is compared.
    pub fn metric(self) -> &'static str {
        match self {
            Criterion::Error => "error",
            Criterion::LogLoss => "log loss",
            Criterion::RootMeanSquare => "RMSE",
            Criterion::Bound => "bound",
        }
    }

    /// The number that is compared, in the metrics of held-out rows; `None` if they lack it.
    pub fn of(self, held_out: &Value) -> Option<f64> {
        let name = self.metric();
        let is_ours = |found: &str| match found.strip_prefix(name) {
            Some(rest) => rest.is_empty() || rest.starts_with(" of ") && self != Criterion::Bound,
            None => false,
        };
        let fields = held_out.as_object().into_iter().flatten();
        let numbers: Vec<f64> = fields
            .filter(|(found, _)| is_ours(found))
            .filter_map(|(_, number)| number.as_f64())
            .collect();
        (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
    }

    /// Whether one number is better than another.
    fn is_better(self, found: f64, than: f64) -> bool {
        match self {
            Criterion::Error | Criterion::LogLoss | Criterion::RootMeanSquare => found < than,
            Criterion::Bound => found > than,
        }
    }
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Criterion::Error => "error",
            Criterion::LogLoss => "log-loss",
            Criterion::RootMeanSquare => "rmse",
            Criterion::Bound => "bound",
        })
    }
}

/// How a run chooses its best epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoppingRule {
    /// What is compared.
    pub criterion: Criterion,
    /// The number of epochs without a better one that end training; `None` trains all epochs.
    pub patience: Option<u64>,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The number that was compared.
    pub value: f64,
}

impl StoppingRule {
    /// The best of some epochs, from their metrics in order.
    pub fn best(&self, epochs: &[Value]) -> Option<Best> {
        epochs
            .iter()
            .fold(None, |best, metrics| self.better(best, metrics).or(best))
    }

    /// The epoch with these metrics, if it is better than the best so far.
    pub fn better(&self, best: Option<Best>, metrics: &Value) -> Option<Best> {
        let value = self.criterion.of(&metrics[VALIDATION])?;
        let epoch = metrics["epoch"].as_u64()?;
        let is_better = best.is_none_or(|best| self.criterion.is_better(value, best.value));
        is_better.then_some(Best { epoch, value })
    }

    /// Whether training stops after an epoch.
    pub fn stops_after(&self, epoch: u64, best: Option<Best>) -> bool {
        let without = best.map(|best| epoch.saturating_sub(best.epoch));
        self.patience
            .is_some_and(|patience| without.is_some_and(|epochs| epochs >= patience))
    }
}

#[cfg(test)]
mod tests {
    use super::{Best, Criterion, StoppingRule};
    use serde_json::{Value, json};

    fn epochs(name: &str, values: &[f64]) -> Vec<Value> {
        let epochs = values.iter().enumerate();
        epochs
            .map(|(at, value)| json!({ "epoch": at + 1, "validation": { name: value }, "test": { name: -(at as f64) } }))
            .collect()
    }

    #[test]
    fn the_first_of_equal_epochs_is_the_best() {
        for (criterion, name, values, wanted) in [
            (Criterion::Error, "error", [0.5, 0.2, 0.3, 0.2, 0.4], 2),
            (Criterion::LogLoss, "log loss", [1.5, 1.2, 0.9, 0.9, 1.0], 3),
            (Criterion::Bound, "bound", [-9.0, -5.0, -6.0, -5.0, -7.0], 2),
        ] {
            let choice = StoppingRule {
                criterion,
                patience: Some(3),
            };
            let epochs = epochs(name, &values);
            let best = choice.best(&epochs);
            let value = values[wanted - 1];
            assert_eq!(
                best,
                Some(Best {
                    epoch: wanted as u64,
                    value
                })
            );
            let stops: Vec<bool> = (1..=5)
                .map(|n| choice.stops_after(n, choice.best(&epochs[..n as usize])))
                .collect();
            assert_eq!(
                stops,
                [1, 2, 3, 4, 5].map(|n| n >= wanted + 3),
                "{criterion}"
            );
            let all = StoppingRule {
                patience: None,
                ..choice
            };
            assert!(!all.stops_after(1000, best));
        }
    }

    #[test]
    fn several_labels_count_equally() {
        let found = json!({ "error of y": 0.5, "error of s": 0.1, "bound": -3.0 });
        assert_eq!(Criterion::Error.of(&found), Some(0.3));
        assert_eq!(Criterion::Bound.of(&found), Some(-3.0));
        assert_eq!(Criterion::LogLoss.of(&found), None);
        assert_eq!(Criterion::Error.of(&json!({ "error": null })), None);
    }
}
