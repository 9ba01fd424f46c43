//! What the columns of a table hold.

use super::{
    names::is_missing,
    tables::{DataArray, variable_of},
    values::ColumnValues,
};
use crate::error::Result;
use std::collections::{BTreeSet, HashSet};

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
    /// The length of the lists in a column of lists of numbers; `None` for other columns.
    pub list: Option<usize>,
    /// Whether the values are classes, if the type of an array says so: whole numbers are, others are not.
    pub is_class: Option<bool>,
    /// The number of training rows without a value.
    pub missing: usize,
    /// The number of training rows with −1, which marks an unknown label.
    pub minus_ones: usize,
    /// Whether a test row has no value.
    pub misses_in_test: bool,
    /// The values that are numbers.
    pub numbers: usize,
    /// The values that are no numbers.
    pub texts: usize,
    /// The first value that is no number.
    pub first_text: Option<String>,
    /// Whether all values are whole numbers.
    pub is_whole: bool,
    /// The different values, up to `MOST_VALUES`.
    pub values: BTreeSet<String>,
}

/// The most different values that are kept.
pub const MOST_VALUES: usize = 1001;

impl TableSummary {
    /// The names of the columns of which at least half of the values are numbers.
    pub fn numeric_names(&self) -> BTreeSet<String> {
        let numeric = self
            .columns
            .iter()
            .filter(|column| column.is_mostly_numeric());
        numeric.map(|column| column.name.clone()).collect()
    }

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
            list: None,
            is_class: None,
            missing: 0,
            minus_ones: 0,
            misses_in_test: false,
            numbers: 0,
            texts: 0,
            first_text: None,
            is_whole: true,
            values: BTreeSet::new(),
        }
    }

    /// Whether all values are numbers.
    pub fn is_numeric(&self) -> bool {
        self.texts == 0
    }

    /// Whether at least half of the values are numbers, so that the others may be mistakes.
    pub fn is_mostly_numeric(&self) -> bool {
        self.list.is_none() && self.numbers >= self.texts
    }

    /// Counts all values as texts, even those that are written as numbers.
    pub fn be_text(&mut self) {
        self.texts += std::mem::take(&mut self.numbers);
        self.is_whole = false;
        if self.first_text.is_none() {
            self.first_text = self.values.first().cloned();
        }
    }

    /// Adds a row with a value, or with none.
    pub fn add_row(&mut self, value: Option<&str>, is_test: bool) {
        match (value, is_test) {
            (None, true) => self.misses_in_test = true,
            (None, false) => self.missing += 1,
            (Some(value), _) => self.add(value),
        }
        self.minus_ones += usize::from(value == Some("-1") && !is_test);
    }

    /// Adds the values of these rows of a column.
    pub fn add_values(&mut self, values: &ColumnValues, rows: &[u32], is_test: bool) {
        let rows = rows.iter().map(|&row| row as usize);
        match values {
            ColumnValues::Numbers(numbers) => {
                self.add_numbers(rows.map(|row| numbers[row]), is_test);
            }
            ColumnValues::Texts(codes, texts) => {
                let text = |row: usize| codes[row].map(|code| texts[code as usize].as_str());
                for text in rows.map(text) {
                    self.add_row(text.filter(|text| !is_missing(text)), is_test);
                }
                self.be_text();
            }
        }
    }

    /// Adds numbers; NaN is a missing one.
    fn add_numbers(&mut self, numbers: impl Iterator<Item = f64>, is_test: bool) {
        let mut different = HashSet::new();
        for number in numbers {
            if number.is_nan() {
                match is_test {
                    true => self.misses_in_test = true,
                    false => self.missing += 1,
                }
                continue;
            }
            self.numbers += 1;
            self.minus_ones += usize::from(number == -1.0 && !is_test);
            self.is_whole &= number.fract() == 0.0;
            if different.len() < MOST_VALUES && different.insert(number.to_bits()) {
                self.values.insert(number.to_string());
            }
        }
    }

    /// Adds a value that is not missing.
    fn add(&mut self, value: &str) {
        let number = value.parse::<f64>().ok();
        let number = number.filter(|number| number.is_finite());
        match number {
            Some(_) => self.numbers += 1,
            None => {
                self.texts += 1;
                self.first_text.get_or_insert_with(|| value.to_string());
            }
        }
        self.is_whole &= number.is_some_and(|number| number.fract() == 0.0);
        if self.values.len() < MOST_VALUES && !self.values.contains(value) {
            self.values.insert(value.to_string());
        }
    }
}

/// Describes arrays: each number of a row is a column, which is named after its array, with the number's
/// place behind the name if there are several.
///
/// # Errors
/// If memory or a file with the numbers cannot be read.
pub fn summary_of_arrays(arrays: &[DataArray]) -> Result<TableSummary> {
    let mut table = TableSummary {
        rows: 0,
        columns: Vec::new(),
    };
    let of_training = arrays
        .iter()
        .filter(|array| variable_of(array.name()) == array.name());
    for array in of_training {
        let (name, width) = (array.name(), array.width());
        let numbers = array.doubles()?;
        table.rows = array.shape().first().copied().unwrap_or(0);
        for place in 0..width {
            let mut column = match width {
                1 => ColumnSummary::new(name),
                _ => ColumnSummary::new(&format!("{name}{place}")),
            };
            column.is_class = Some(array.is_whole());
            let numbers = numbers.iter().skip(place).step_by(width);
            column.add_numbers(numbers.copied(), false);
            table.columns.push(column);
        }
    }
    Ok(table)
}

/// The number behind a variable's name in the name of a column: `x0`, `x_0`, `x.0` or `x[0]`.
pub fn number_of(column: &str, variable: &str) -> Option<usize> {
    let rest = column.strip_prefix(variable)?;
    let rest = rest.trim_start_matches(['_', '.', ' ', '[']);
    rest.trim_end_matches(']').parse().ok()
}

/// The number of classes of these values. Whole numbers that begin at 0 number the classes; other values
/// name them. −1 is no class.
pub fn classes<'v>(values: impl Iterator<Item = &'v str>) -> usize {
    let known: Vec<&str> = values
        .filter(|value| !["-1", "-1.0"].contains(value))
        .collect();
    let number = |value: &&str| {
        let number = value.parse::<f64>().ok()?;
        (number.fract() == 0.0 && number >= 0.0).then_some(number as usize)
    };
    let numbers: Option<Vec<usize>> = known.iter().map(number).collect();
    match numbers {
        Some(numbers) if numbers.contains(&0) => numbers.into_iter().max().unwrap_or(0) + 1,
        _ => known.len(),
    }
}
