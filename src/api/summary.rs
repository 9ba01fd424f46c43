//! What a trainer understood of its data and options, before the first step.

use super::inherited::Inherited;
use crate::{
    backend::Precision,
    error::Result,
    model::Model,
    run::data::{ClassNames, LabelCounts, Source},
};
use serde::Serialize;
use std::fmt;

/// What a run trains on. `Display` prints it as the first lines of `dgc train`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The name or path of the data set; `None` for data in memory.
    pub data: Option<String>,
    /// The rows to train on.
    pub training: RowCounts,
    /// The rows that each epoch is evaluated on, with their name in the metrics (`validation` or
    /// `test`), if there are any.
    pub held_out: Option<(&'static str, RowCounts)>,
    /// The model's name.
    pub model: String,
    /// The number of trained parameters.
    pub parameters: usize,
    /// The number of parameters that are frozen.
    pub frozen: usize,
    /// What the run took from another one, if it began with its parameters.
    pub init: Option<Inherited>,
    /// The device, such as `CPU, 2 threads`.
    pub device: String,
    /// The precision of the operands of matrix products.
    pub precision: Precision,
}

/// The number of rows, and of those of each class of each label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowCounts {
    /// All rows.
    pub rows: usize,
    /// The classes of each label of the model.
    pub labels: Vec<LabelCounts>,
}

impl RowCounts {
    pub(super) fn new(model: &Model, source: &dyn Source, names: &ClassNames) -> Result<Self> {
        let labels = model
            .labels()
            .map(|label| LabelCounts::new(label, source, names));
        Ok(RowCounts {
            rows: source.rows(),
            labels: labels.collect::<Result<_>>()?,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = match self.data.as_deref() {
            None => "in memory",
            Some("mnist") => "mnist, the bundled excerpt",
            Some(name) => name,
        };
        write!(
            f,
            "data: {data}; {}",
            counted(self.training.rows, "training row")
        )?;
        match &self.held_out {
            Some((part, counts)) => {
                writeln!(f, ", {}", counted(counts.rows, &format!("{part} row")))?
            }
            None => writeln!(f, ", no test or validation rows")?,
        }
        for (at, counts) in self.training.labels.iter().enumerate() {
            write!(f, "labels of {}: {}", counts.label, described(counts))?;
            match &self.held_out {
                Some((part, held_out)) => {
                    let labelled = held_out.labels[at].labelled();
                    writeln!(
                        f,
                        "; {}",
                        counted(labelled, &format!("labelled {part} row"))
                    )?;
                }
                None => writeln!(f)?,
            }
        }
        let frozen = match self.frozen {
            0 => String::new(),
            frozen => format!(", and {frozen} frozen ones"),
        };
        writeln!(
            f,
            "model: {}, {}",
            self.model,
            counted(self.parameters, "parameter") + &frozen
        )?;
        if let Some(init) = &self.init {
            write!(f, "{init}")?;
        }
        writeln!(f, "device: {}, {}", self.device, self.precision)
    }
}

/// `1 row`, `2 rows`.
fn counted(count: usize, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{s}")
}

/// The most classes whose numbers of rows are listed.
const MOST_LISTED: usize = 4;

/// The labelled training rows, and those of each class.
fn described(counts: &LabelCounts) -> String {
    let all = counted(counts.labelled(), "labelled training row");
    let (least, most) = (
        counts.classes.iter().min().copied().unwrap_or(0),
        counts.classes.iter().max().copied().unwrap_or(0),
    );
    let classes = counts.classes.len();
    if most == 0 {
        return all;
    }
    if least == most {
        return format!("{all}, {least} of each of {classes} classes");
    }
    if classes > MOST_LISTED {
        return format!("{all}, from {least} to {most} of each of {classes} classes");
    }
    let each = counts.classes.iter().enumerate();
    let each: Vec<String> = each
        .map(|(class, count)| format!("{count} of class {}", counts.class(class)))
        .collect();
    format!("{all}, {}", each.join(", "))
}
