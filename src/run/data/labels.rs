//! Labels of rows: which rows have them, and how many have each class.

use super::{
    checks::label_classes,
    source::{Source, each_chunk},
    tables::ClassNames,
};
use crate::{
    error::{Error, Result},
    model::{Model, Variable},
};

/// Which rows of a source have each label of a model.
#[derive(Clone, Debug)]
pub struct KnownLabels<'m> {
    rows: usize,
    /// For each label, the rows that have it; `None` if the source does not have the label.
    labels: Vec<(&'m Variable, Option<Vec<bool>>)>,
}

impl<'m> KnownLabels<'m> {
    /// Reads the labels. Messages use `place` as the source's name.
    ///
    /// # Errors
    /// If a class is out of range, a row has some numbers of a label but not all, or the rows cannot be
    /// read.
    pub fn read(model: &'m Model, source: &dyn Source, place: &str) -> Result<Self> {
        let labels = model
            .labels()
            .map(|label| Ok((label, known_rows(label, source, place)?)));
        Ok(KnownLabels {
            rows: source.rows(),
            labels: labels.collect::<Result<_>>()?,
        })
    }

    /// A label that the source does not have.
    pub fn lacking(&self) -> Option<&'m Variable> {
        let mut labels = self.labels.iter();
        let found = labels.find(|(_, known)| known.is_none());
        found.map(|(label, _)| *label)
    }

    fn is_known(known: &Option<Vec<bool>>, row: usize) -> bool {
        known.as_ref().is_some_and(|known| known[row])
    }

    /// The labelled rows: those with a label, and with all labels that are not declared `with missing`.
    pub fn labelled(&self) -> Vec<u32> {
        let is_labelled = |&row: &u32| {
            let mut labels = self.labels.iter();
            let is_whole =
                labels.all(|(label, known)| label.missing || Self::is_known(known, row as usize));
            let mut labels = self.labels.iter();
            is_whole && labels.any(|(_, known)| Self::is_known(known, row as usize))
        };
        (0..self.rows as u32).filter(is_labelled).collect()
    }

    /// Checks that each row has none of its labels, or all that are not declared `with missing`.
    ///
    /// # Errors
    /// With the first row that lacks a label but has others.
    pub fn check(&self, place: &str) -> Result<()> {
        let labels = || self.labels.iter().filter(|(_, known)| known.is_some());
        for row in 0..self.rows {
            let seen = labels().find(|(_, known)| Self::is_known(known, row));
            let unseen =
                labels().find(|(label, known)| !label.missing && !Self::is_known(known, row));
            if let (Some((seen, _)), Some((unseen, _))) = (seen, unseen) {
                let (seen, unseen) = (&seen.name, &unseen.name);
                let message = format!(
                    "{place}: row {row}: expected all labels or none, found `{seen}` but not `{unseen}`"
                );
                return Err(Error::data(message).help(format!(
                    "set all labels of the row or none, or write `with missing` behind the type of \
                     `{unseen}` in the model"
                )));
            }
        }
        Ok(())
    }
}

/// The rows that have a label; `None` if the source does not have the label.
fn known_rows(label: &Variable, source: &dyn Source, place: &str) -> Result<Option<Vec<bool>>> {
    if label.is_class() {
        let classes = label_classes(label, source, place)?;
        return Ok(classes.map(|classes| classes.iter().map(|&class| class >= 0).collect()));
    }
    let Some(field) = source.position(&label.name) else {
        return Ok(None);
    };
    let width = source.field(field).width;
    let (mut known, mut partial) = (Vec::with_capacity(source.rows()), None);
    each_chunk(source, field, &mut |values| {
        for row in values.chunks_exact(width) {
            let missing = row.iter().filter(|value| value.is_nan()).count();
            if missing > 0 && missing < width {
                partial.get_or_insert(known.len());
            }
            known.push(missing == 0);
        }
    })?;
    match partial {
        None => Ok(Some(known)),
        Some(row) => {
            let name = &label.name;
            let message = format!(
                "{place}: row {row}: expected all numbers of the label `{name}` or none, found some"
            );
            Err(Error::data(message).help("set all of them, or NaN for each"))
        }
    }
}

/// The number of rows that have a label, and of those of each class.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LabelCounts {
    /// The label's name.
    pub label: String,
    /// The number of labelled rows of each class; empty for a numeric label.
    pub classes: Vec<usize>,
    /// The number of labelled rows.
    pub labelled: usize,
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
        let classes = if label.is_class() { label.size() } else { 0 };
        let mut counts = LabelCounts {
            label: label.name.clone(),
            classes: vec![0; classes],
            labelled: 0,
            unlabelled: 0,
            names: names.get(&label.name).cloned().unwrap_or_default(),
        };
        if !label.is_class() {
            let known = known_rows(label, source, "rows")?.unwrap_or_default();
            counts.labelled = known.iter().filter(|known| **known).count();
            counts.unlabelled = source.rows() - counts.labelled;
            return Ok(counts);
        }
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
        counts.labelled = counts.classes.iter().sum();
        Ok(counts)
    }

    /// The name of a class, or its number if it has none.
    pub fn class(&self, class: usize) -> String {
        let name = self.names.get(class).cloned();
        name.unwrap_or_else(|| class.to_string())
    }

    /// The number of labelled rows.
    pub fn labelled(&self) -> usize {
        self.labelled
    }
}
