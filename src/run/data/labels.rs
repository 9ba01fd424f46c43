//! Counting labels: how many rows have each class.

use super::{source::Source, tables::ClassNames};
use crate::{error::Result, model::Variable};

/// The number of rows of each class of a label.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LabelCounts {
    /// The label's name.
    pub label: String,
    /// The number of labelled rows of each class.
    pub classes: Vec<usize>,
    /// The number of rows without the label.
    pub unlabelled: usize,
    /// The names of the classes; empty if they have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl LabelCounts {
    /// Counts the classes of a label; all rows are unlabelled if the source does not have the label.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn new(label: &Variable, source: &dyn Source, names: &ClassNames) -> Result<Self> {
        let mut counts = LabelCounts {
            label: label.name.clone(),
            classes: vec![0; label.size()],
            unlabelled: 0,
            names: names.get(&label.name).cloned().unwrap_or_default(),
        };
        let Some(classes) = source.classes(&label.name)? else {
            counts.unlabelled = source.rows();
            return Ok(counts);
        };
        for class in classes {
            let class = usize::try_from(class).ok();
            match class.and_then(|class| counts.classes.get_mut(class)) {
                Some(count) => *count += 1,
                None => counts.unlabelled += 1,
            }
        }
        Ok(counts)
    }

    /// The name of a class, or its number if it has none.
    pub fn class(&self, class: usize) -> String {
        let name = self.names.get(class).cloned();
        name.unwrap_or_else(|| class.to_string())
    }

    /// The number of labelled rows.
    pub fn labelled(&self) -> usize {
        self.classes.iter().sum()
    }
}
