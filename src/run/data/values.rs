//! The values of a table's column that have a type in their file: numbers, or texts by their places in a
//! list of different ones.

use super::{
    bytes::Bytes,
    dense::DenseArray,
    element::ElementType,
    names::{KnownNames, is_missing, is_name, is_unknown, listed, names_of_classes, shown},
    parts::{OTHER_SPLIT, RowParts, part_of},
    stored::Stored,
};
use crate::{
    error::{Error, Result},
    model::{Role, Variable},
};
use std::collections::{BTreeMap, BTreeSet};

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnValues {
    /// A number in each row; NaN where it is missing.
    Numbers(Vec<f64>),
    /// A text in each row, by its place in a list of texts; `None` where it is missing.
    Texts(Vec<Option<u32>>, Vec<String>),
}

/// The class of each row as a number, and the names of the classes, if they have any.
pub struct Classes {
    /// The class of each row, −1 where it is unknown.
    pub numbers: Vec<f64>,
    /// The names of the classes; none if they have numbers alone.
    pub names: Vec<String>,
}

impl ColumnValues {
    /// A column of texts; `None` is a missing one.
    pub fn of_texts(texts: impl Iterator<Item = Option<String>>) -> Self {
        let (mut codes, mut different) = (Vec::new(), Vec::new());
        let mut places = BTreeMap::new();
        for text in texts {
            codes.push(text.map(|text| {
                *places.entry(text).or_insert_with_key(|text| {
                    different.push(text.clone());
                    different.len() as u32 - 1
                })
            }));
        }
        ColumnValues::Texts(codes, different)
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        match self {
            ColumnValues::Numbers(numbers) => numbers.len(),
            ColumnValues::Texts(codes, _) => codes.len(),
        }
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The texts that occur and are not missing; none for numbers.
    pub fn texts(&self) -> BTreeSet<&str> {
        let ColumnValues::Texts(codes, texts) = self else {
            return BTreeSet::new();
        };
        let occurring: BTreeSet<u32> = codes.iter().flatten().copied().collect();
        let texts = occurring
            .into_iter()
            .map(|code| texts[code as usize].as_str());
        texts.filter(|text| !is_missing(text)).collect()
    }

    /// The texts that occur, except those that mark a class as unknown; none for numbers.
    pub fn known(&self, variable: &Variable) -> BTreeSet<&str> {
        let mut texts = self.texts();
        texts.retain(|text| !is_unknown(text, variable));
        texts
    }

    /// The column with numbers as texts.
    pub fn into_texts(self) -> (Vec<Option<u32>>, Vec<String>) {
        match self {
            ColumnValues::Texts(codes, texts) => (codes, texts),
            ColumnValues::Numbers(numbers) => {
                let text = |number: f64| (!number.is_nan()).then(|| number.to_string());
                match Self::of_texts(numbers.into_iter().map(text)) {
                    ColumnValues::Texts(codes, texts) => (codes, texts),
                    ColumnValues::Numbers(_) => unreachable!("the column has texts"),
                }
            }
        }
    }

    /// The numbers of the rows of each part, for a column that says which part a row belongs to. `place`
    /// names the column.
    ///
    /// # Errors
    /// With the first row that belongs to no part.
    pub fn into_parts(self, place: &str) -> Result<RowParts> {
        let (codes, texts) = self.into_texts();
        let parts: Vec<Option<usize>> = texts.iter().map(|text| part_of(text)).collect();
        let mut rows = RowParts::default();
        for (row, code) in (0..).zip(codes) {
            let code = code.map(|code| code as usize);
            let Some(part) = code.and_then(|code| parts[code]) else {
                let found = code.map_or("", |code| &texts[code]);
                let message = format!(
                    "{place}: row {row}: expected `train`, `test` or `validation`, found `{}`",
                    shown(found)
                );
                return Err(Error::data(message).help(OTHER_SPLIT));
            };
            rows[part].push(row);
        }
        Ok(rows)
    }

    /// The numbers of a variable that is not of classes. `place` names the column.
    ///
    /// # Errors
    /// If the column has texts.
    pub fn into_numbers(self, variable: &Variable, place: &str) -> Result<Vec<f64>> {
        match self {
            ColumnValues::Numbers(numbers) => Ok(numbers),
            ColumnValues::Texts(codes, _) if codes.iter().all(Option::is_none) => {
                Ok(vec![f64::NAN; codes.len()])
            }
            ColumnValues::Texts(..) => {
                let name = &variable.name;
                let message = format!("{place}: expected numbers for `{name}`, found texts");
                Err(Error::data(message).help(format!(
                    "declare `{name}` with the type `class`, or store numbers"
                )))
            }
        }
    }

    /// The classes of a variable: by number, or by the names that occur, sorted. Data for a run have the
    /// names that it knows. `place` names the column.
    ///
    /// # Errors
    /// With the first row whose value is no class.
    pub fn into_classes(
        self,
        variable: &Variable,
        known: Option<KnownNames>,
        place: &str,
    ) -> Result<Classes> {
        let (codes, texts) = self.into_texts();
        let is_known = |text: &str| !is_missing(text) && !is_unknown(text, variable);
        let occurring: BTreeSet<u32> = codes.iter().flatten().copied().collect();
        let occurring = occurring
            .into_iter()
            .map(|code| texts[code as usize].as_str());
        let occurring: BTreeSet<&str> = occurring.filter(|text| is_known(text)).collect();
        if let Some(text) = occurring.iter().find(|text| !is_name(text)) {
            let message = format!("{place}: `{}` is no name of a class", shown(text));
            return Err(Error::data(message)
                .help("use names of at most 200 bytes without control characters"));
        }
        let names = match known {
            Some(known) => known.classes.get(&variable.name).cloned(),
            None => names_of_classes(variable, &occurring, place)?,
        };
        let number = |text: &String| match &names {
            _ if is_unknown(text, variable) => Some(-1.0),
            Some(names) => {
                let mut names = names.iter();
                names.position(|name| name == text).map(|at| at as f64)
            }
            None => text.parse::<f64>().ok(),
        };
        let numbers: Vec<Option<f64>> = texts.iter().map(number).collect();
        let missing = variable.may_be_unknown().then_some(-1.0);
        let mut classes = Vec::with_capacity(codes.len());
        for (row, code) in codes.iter().enumerate() {
            let class = match code {
                Some(code) => numbers[*code as usize],
                None => missing,
            };
            let Some(class) = class else {
                let found = match code {
                    Some(code) => format!("`{}`", shown(&texts[*code as usize])),
                    None => "a missing value".to_string(),
                };
                let expected = match &names {
                    Some(names) => format!("one of {}", listed(names)),
                    None => format!("a class from 0 to {}", variable.size() - 1),
                };
                let message = format!("{place}: row {row}: expected {expected}, found {found}");
                return Err(Error::data(message).help(match variable.role {
                    Role::Label => "correct the value, or leave it out if the label is unknown",
                    _ => "correct the value, or remove the row",
                }));
            };
            classes.push(class);
        }
        Ok(Classes {
            numbers: classes,
            names: names.unwrap_or_default(),
        })
    }
}

/// An array of numbers with one axis.
pub fn stored_numbers(numbers: &[f64]) -> Stored {
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let shape = vec![numbers.len()];
    let dense = DenseArray::new(Bytes::from(bytes), ElementType::F64, shape);
    Stored::Dense(dense.expect("as many bytes as numbers"))
}
