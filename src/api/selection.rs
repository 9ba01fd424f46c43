//! Selecting the rows that a run is used on.

use crate::{
    error::{Error, Result},
    model::Model,
    run::{
        data::{DataArray, Dataset, RowOrigin, RowView, Source, column, split},
        settings::Settings,
    },
};
use std::{fmt, sync::Arc};

/// A part of a run's data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataPart {
    /// The test rows of the data set.
    Test,
    /// The validation rows of the data set, or the training rows that the run held out.
    Validation,
    /// The rows that the run trained on, with all labels of the data set.
    Train,
}

impl fmt::Display for DataPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DataPart::Test => "test",
            DataPart::Validation => "validation",
            DataPart::Train => "train",
        })
    }
}

/// Rows to use a run on.
#[derive(Clone, Debug)]
pub struct Rows {
    source: Arc<dyn Source>,
    part: Option<DataPart>,
    numbers: Vec<usize>,
    /// Whether the run trained on the rows.
    is_trained_on: bool,
    /// Where the rows come from, if they have names or numbers there.
    origin: Option<Arc<RowOrigin>>,
}

impl Rows {
    /// All rows of a source.
    pub fn new(source: impl Into<Arc<dyn Source>>) -> Self {
        let source = source.into();
        Rows {
            numbers: (0..source.rows()).collect(),
            part: None,
            source,
            is_trained_on: false,
            origin: None,
        }
    }

    /// Rows in memory: an array for each data variable, whose first axis is the row. Labels are
    /// optional.
    ///
    /// # Errors
    /// If an array is missing, has the wrong shape, or has values outside its variable's domain.
    pub fn from_arrays(model: &Model, arrays: impl IntoIterator<Item = DataArray>) -> Result<Self> {
        Ok(Self::new(Dataset::from_arrays(model, arrays)?.train))
    }

    /// The first `count` rows, or all if there are fewer.
    pub fn first(mut self, count: usize) -> Self {
        if count < self.numbers.len() {
            self.numbers.truncate(count);
            self.source = Arc::new(RowView::new(self.source, (0..count as u32).collect()));
        }
        self
    }

    /// The source of the rows' values.
    pub fn source(&self) -> &dyn Source {
        &*self.source
    }

    pub(super) fn shared(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The number of each row, from 0: in the table that it was read from; else among the training,
    /// test or validation rows of its data set.
    pub fn numbers(&self) -> &[usize] {
        &self.numbers
    }

    /// The values of a column of the table that the rows were read from, as text, one for each row.
    /// The model need not use the column.
    ///
    /// # Errors
    /// If the rows are not from a table, or the table has no such column or cannot be read.
    pub fn column(&self, name: &str) -> Result<Vec<String>> {
        let Some(RowOrigin::Table(file, _)) = self.origin.as_deref() else {
            let message = format!(
                "expected a table with a column `{name}`, found data without named columns"
            );
            return Err(
                Error::data(message).help("read the rows from a table, or omit the option `id`")
            );
        };
        let values = column(file, name)?;
        let of_row = |&row: &usize| {
            values.get(row).cloned().ok_or_else(|| {
                let path = file.path.display();
                Error::data(format!("{path}: the file changed while it was used"))
                    .help("repeat the command")
            })
        };
        self.numbers.iter().map(of_row).collect()
    }

    /// The file of each row in its folder, if the rows are images.
    pub fn files(&self) -> Option<Vec<String>> {
        match self.origin.as_deref() {
            Some(RowOrigin::Images(files)) => {
                let numbers = self.numbers.iter();
                Some(numbers.map(|&number| files[number].clone()).collect())
            }
            _ => None,
        }
    }

    /// The part of the data set that the rows come from; `None` for rows in memory.
    pub fn part(&self) -> Option<DataPart> {
        self.part
    }

    /// The rows, of the data set that the run was trained on.
    pub(super) fn of_training_data(self) -> Self {
        Rows {
            is_trained_on: self.part == Some(DataPart::Train),
            ..self
        }
    }

    /// Whether the run trained on the rows.
    pub(super) fn is_trained_on(&self) -> bool {
        self.is_trained_on
    }

    /// A part of a data set; by default the test rows, else the validation rows, else the training
    /// rows. Only of the data set that the run was trained on, `is_training_data`, did the run hold
    /// out training rows.
    pub(super) fn select(
        dataset: &Dataset,
        settings: &Settings,
        is_training_data: bool,
        part: Option<DataPart>,
    ) -> Result<Self> {
        let validation = if is_training_data {
            settings.validation
        } else {
            0
        };
        let part = part.unwrap_or(match (&dataset.test, &dataset.validation, validation) {
            (Some(_), ..) => DataPart::Test,
            (None, None, 0) => DataPart::Train,
            (None, ..) => DataPart::Validation,
        });
        let (source, mut numbers) = match part {
            DataPart::Test => {
                let rows = dataset.test.as_ref().map_or(0, |source| source.rows());
                (dataset.test.clone(), (0..rows).collect())
            }
            DataPart::Train | DataPart::Validation if dataset.train.rows() == 0 => {
                (None, Vec::new())
            }
            DataPart::Train => {
                let split = split(&dataset.train, None, validation, settings.seed)?;
                (Some(split.train), split.kept)
            }
            DataPart::Validation if dataset.validation.is_some() => {
                let rows = dataset
                    .validation
                    .as_ref()
                    .map_or(0, |source| source.rows());
                (dataset.validation.clone(), (0..rows).collect())
            }
            DataPart::Validation => {
                let split = split(&dataset.train, None, validation, settings.seed)?;
                (split.validation, split.held_out)
            }
        };
        let [training, test, marked] = &dataset.origins;
        let origin = match part {
            DataPart::Test => test,
            DataPart::Validation if dataset.validation.is_some() => marked,
            DataPart::Train | DataPart::Validation => training,
        };
        if let Some(RowOrigin::Table(_, places)) = origin.as_deref() {
            numbers
                .iter_mut()
                .for_each(|number| *number = places[*number]);
        }
        let source = source.ok_or_else(|| match part {
            DataPart::Validation if is_training_data => {
                Error::option("part", part, "the run held out no rows for validation").help(
                    "train with the option `validation`, or name other rows with the option \
                         `data`",
                )
            }
            _ => Error::option("part", part, "the data set has no such rows")
                .help("omit the option to use the rows that the data set has"),
        })?;
        Ok(Rows {
            source,
            part: Some(part),
            numbers,
            is_trained_on: is_training_data && part == DataPart::Train,
            origin: origin.clone(),
        })
    }
}
