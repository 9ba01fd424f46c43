//! What the columns of a table hold.

use std::collections::BTreeSet;

/// The columns of a table.
#[derive(Clone, Debug)]
pub struct TableSummary {
    /// The number of training rows.
    pub rows: usize,
    /// The columns, except one that splits the rows into parts.
    pub columns: Vec<ColumnSummary>,
}

/// What a column holds.
#[derive(Clone, Debug)]
pub struct ColumnSummary {
    /// The column's name.
    pub name: String,
    /// The number of training rows without a value.
    pub missing: usize,
    /// Whether all values are numbers.
    pub is_numeric: bool,
    /// Whether all values are whole numbers.
    pub is_whole: bool,
    /// The different values, up to [`MOST_VALUES`].
    pub values: BTreeSet<String>,
}

/// The most different values that are kept.
pub const MOST_VALUES: usize = 1001;

impl TableSummary {
    /// The names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|column| column.name.as_str())
    }
}

impl ColumnSummary {
    /// A column without values.
    pub fn new(name: &str) -> Self {
        ColumnSummary {
            name: name.to_string(),
            missing: 0,
            is_numeric: true,
            is_whole: true,
            values: BTreeSet::new(),
        }
    }

    /// Adds a value that is not missing.
    pub fn add(&mut self, value: &str) {
        let number = value
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite());
        self.is_numeric &= number.is_some();
        self.is_whole &= number.is_some_and(|number| number.fract() == 0.0);
        if self.values.len() < MOST_VALUES && !self.values.contains(value) {
            self.values.insert(value.to_string());
        }
    }
}
