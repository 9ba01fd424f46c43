//! Tables as CSV files: a line of column names, then a line for each row.
//!
//! A variable with one number takes the column of its name. One with several takes the columns of its
//! name and a number (`x0`, `x_1`, `x.2`, `x[3]`, from 0 or 1), in the order of the numbers; or, if it
//! is the only such variable without columns of its own, all columns that no other variable takes. A
//! column `split` says which rows are for training, for testing and for validation.

use super::{
    checks::width,
    columns::{ColumnSummary, TableSummary},
    layout::{ColumnLayout, missing_column},
    names::{MOST_NAME, is_missing, is_name, is_unknown, listed, names_of_classes, shown},
    origin::{RowOrigin, TableFile},
    parts::{OTHER_SPLIT, PARTS, SPLIT, no_training_rows, part_of},
    tables::{ClassNames, DataArray, FileArrays, KnownNames},
};
use crate::{
    distribution::Domain,
    error::{Error, Result},
    files,
    model::{Model, Role, Variable},
};
use std::{collections::BTreeSet, fmt, io::Read, path::Path};

/// Reads the columns that the model uses. A column of classes has whole numbers from 0 on, or names: the
/// names that occur, sorted. Data for a run have the names that it knows.
///
/// # Errors
/// If the file cannot be read or is no table, a variable has no columns, or a value cannot be read: with
/// its line and column.
pub fn arrays(path: &Path, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
    let place = path.display().to_string();
    let text = &contents(path)?;
    let (mut reader, header) = reader(path, text)?;
    let broken = |error: ::csv::Error| broken(&place, text, &error);
    let header: Vec<&str> = header.iter().collect();
    let numeric = || Ok(summary_of(path, text)?.numeric_names());
    let layout = ColumnLayout::new(model, &header, &BTreeSet::new(), known, &numeric, &place)?;
    let mut parts = PARTS.map(|_| Part::new(&layout));
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(broken)?;
        let start = record.position().map_or(0, |position| position.byte());
        let at = Line {
            place: &place,
            text,
            start: start as usize,
        };
        let cell = |column: usize| Cell {
            text: &record[column],
            column: header[column],
            at,
        };
        let part = match layout.split {
            Some(column) => cell(column).part()?,
            None => 0,
        };
        parts[part].push(&layout, number, at.start, cell)?;
    }
    let is_for_run = known.is_some() && parts[1].rows > 0;
    if parts[0].rows == 0 && !is_for_run {
        return Err(no_training_rows(&place));
    }
    let file = TableFile {
        path: path.to_path_buf(),
        text: is_standard(path).then(|| text.as_slice().into()),
    };
    let origins = RowOrigin::of_table(&file, parts.each_ref().map(|part| part.places.clone()));
    // Test rows that stand alone are read as training rows are.
    let is_test = parts[0].rows == 0;
    let test_prefix = if is_test { "" } else { "test." };
    let mut arrays = Vec::new();
    let names = class_names(&layout, &parts, known, &place)?;
    let prefixes = ["", test_prefix, "validation."];
    for (prefix, part) in prefixes.into_iter().zip(parts) {
        if part.rows > 0 {
            let at = |start| Line {
                place: &place,
                text,
                start,
            };
            part.finish(&layout, prefix, (&names, known), at, &mut arrays)?;
        }
    }
    let unused = layout.unused.iter();
    arrays.extend(unused.map(|name| DataArray::unread(name)));
    Ok(FileArrays {
        arrays,
        origins,
        is_test,
    })
}

/// The values of a column as text: of all rows, in the order of the file.
///
/// # Errors
/// If the file cannot be read, or has no such column.
pub fn column(file: &TableFile, name: &str) -> Result<Vec<String>> {
    let place = file.path.display().to_string();
    let read;
    let text: &[u8] = match &file.text {
        Some(text) => text,
        None => {
            read = contents(&file.path)?;
            &read
        }
    };
    let (mut reader, header) = reader(&file.path, text)?;
    let names: Vec<&str> = header.iter().collect();
    let found = names.iter().position(|column| *column == name);
    let column = found.ok_or_else(|| missing_column(name, &names, &place))?;
    let values = reader.records().map(|record| match record {
        Ok(record) => Ok(record[column].to_string()),
        Err(error) => Err(broken(&place, text, &error)),
    });
    values.collect()
}

/// The names of all columns, and their values as text, column after column.
///
/// # Errors
/// If the file cannot be read or is no table.
#[cfg(feature = "images")]
pub fn all_columns(path: &Path) -> Result<(Vec<String>, Vec<Vec<String>>)> {
    let place = path.display().to_string();
    let text = contents(path)?;
    let (mut reader, header) = reader(path, &text)?;
    let mut columns = vec![Vec::new(); header.len()];
    for record in reader.records() {
        let record = record.map_err(|error| broken(&place, &text, &error))?;
        for (column, value) in columns.iter_mut().zip(&record) {
            column.push(value.to_string());
        }
    }
    Ok((header.iter().map(str::to_string).collect(), columns))
}

/// Describes the columns of a file, except the one that says which rows are for training.
///
/// # Errors
/// If the file cannot be read or is no table.
pub fn summary(path: &Path) -> Result<TableSummary> {
    summary_of(path, &contents(path)?)
}

fn summary_of(path: &Path, text: &[u8]) -> Result<TableSummary> {
    let place = path.display().to_string();
    let (mut reader, header) = reader(path, text)?;
    let mut table = TableSummary {
        rows: 0,
        columns: header.iter().map(ColumnSummary::new).collect(),
    };
    let split = header.iter().position(|name| name == SPLIT);
    for record in reader.records() {
        let record = record.map_err(|error| broken(&place, text, &error))?;
        let part = split.and_then(|split| part_of(&record[split]));
        // Validation rows are held out, as test rows are.
        let is_test = part.is_some_and(|part| part > 0);
        table.rows += usize::from(!is_test);
        for (column, value) in table.columns.iter_mut().zip(&record) {
            column.add_row(Some(value).filter(|value| !is_missing(value)), is_test);
        }
    }
    if table.rows == 0 {
        return Err(no_training_rows(&place));
    }
    if let Some(split) = split {
        let values = &table.columns[split].values;
        let other = values.iter().find(|value| part_of(value).is_none());
        if let Some(other) = other {
            let message = format!(
                "{place}: column `{SPLIT}`: expected `train`, `test` or `validation`, found `{}`",
                shown(other)
            );
            return Err(Error::data(message).help(OTHER_SPLIT));
        }
        table.columns.remove(split);
    }
    Ok(table)
}

/// The text of a file, without a byte order mark.
fn contents(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |error| Error::file(path, "cannot be read", error);
    let mut text = match is_standard(path) {
        true => {
            let mut text = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut text);
            let unreadable =
                |error| Error::file("standard input".as_ref(), "cannot be read", error);
            read.map_err(unreadable)?;
            text
        }
        false => files::read(path).map_err(unreadable)?,
    };
    if has_ending(path, "gz") {
        text = unpack(path, &text)?;
    }
    let mark = "\u{feff}".as_bytes();
    if text.starts_with(mark) {
        text.drain(..mark.len());
    }
    Ok(text)
}

#[cfg(feature = "gzip")]
fn unpack(path: &Path, packed: &[u8]) -> Result<Vec<u8>> {
    let damaged = |error| Error::file(path, "cannot be unpacked", error);
    super::gzip::unpack(packed).map_err(damaged)
}

#[cfg(not(feature = "gzip"))]
fn unpack(path: &Path, _packed: &[u8]) -> Result<Vec<u8>> {
    let message = format!(
        "{}: this build of dgc cannot read gzip files",
        path.display()
    );
    Err(Error::unsupported(message).help("unpack the file, or build dgc with the feature `gzip`"))
}

/// Whether a path is `-`, standard input.
fn is_standard(path: &Path) -> bool {
    path == Path::new("-")
}

/// Whether a file's name has an ending, in upper or lower case.
fn has_ending(path: &Path, ending: &str) -> bool {
    let found = path.extension();
    found.is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// A reader of a table's rows, and the names of its columns.
fn reader<'t>(
    path: &Path,
    text: &'t [u8],
) -> Result<(::csv::Reader<&'t [u8]>, ::csv::StringRecord)> {
    let place = path.display().to_string();
    let mut reader = ::csv::ReaderBuilder::new()
        .delimiter(delimiter(path, text))
        .trim(::csv::Trim::All)
        .from_reader(text);
    let header = reader.headers();
    let header = header
        .map_err(|error| broken(&place, text, &error))?
        .clone();
    if header.is_empty() {
        let message = format!("{place}: expected a line of column names, found an empty file");
        return Err(Error::data(message).help("give the table a column for each variable"));
    }
    if header.len() == 1 && header[0].contains(['\t', ';', '|', ',']) {
        let message = format!("{place}: found a single column `{}`", shown(&header[0]));
        return Err(Error::data(message).help(
            "columns are separated by commas or semicolons, and by tabs in a file that ends in .tsv",
        ));
    }
    let mut seen = BTreeSet::new();
    if let Some(name) = header.iter().find(|name| !seen.insert(*name)) {
        let message = format!("{place}: there are two columns `{}`", shown(name));
        return Err(Error::data(message).help("omit one of them, or change its name"));
    }
    Ok((reader, header))
}

/// A tab in `.tsv` files; else a semicolon if the first line has some and no comma.
fn delimiter(path: &Path, text: &[u8]) -> u8 {
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.to_ascii_lowercase();
    match name.strip_suffix(".gz").unwrap_or(&name) {
        name if name.ends_with(".tsv") => b'\t',
        _ if first.contains(&b';') && !first.contains(&b',') => b';',
        _ => b',',
    }
}

fn broken(place: &str, text: &[u8], error: &::csv::Error) -> Error {
    match error.kind() {
        ::csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => {
            let start = pos.as_ref().map_or(0, |position| position.byte()) as usize;
            let at = Line { place, text, start };
            let message = format!("{at}: expected {expected_len} columns, found {len}");
            Error::data(message).help("give each line a value for each column of the first line")
        }
        _ => Error::data(format!("{place}: not a valid CSV file: {error}"))
            .help("save the table as CSV in UTF-8, with a line of column names"),
    }
}

/// The names of the classes of each variable whose column has names.
fn class_names(
    layout: &ColumnLayout,
    parts: &[Part],
    known: Option<KnownNames>,
    place: &str,
) -> Result<ClassNames> {
    let mut all = ClassNames::new();
    for (index, (variable, _)) in layout.variables.iter().enumerate() {
        if variable.domain != Domain::Class {
            continue;
        }
        if let Some(known) = known {
            let names = known.classes.get(&variable.name);
            all.extend(names.map(|names| (variable.name.clone(), names.clone())));
            continue;
        }
        let cells = parts.iter().flat_map(|part| &part.classes[index]);
        let is_known = |text: &&String| !is_missing(text) && !is_unknown(text, variable);
        let occurring: BTreeSet<&String> = cells.filter(is_known).collect();
        let occurring = occurring.into_iter().map(String::as_str).collect();
        let place = format!("{place}: column `{}`", variable.name);
        if let Some(names) = names_of_classes(variable, &occurring, &place)? {
            all.insert(variable.name.clone(), names);
        }
    }
    Ok(all)
}

/// The line of a row. `Display` prints its number, from 1.
#[derive(Clone, Copy)]
struct Line<'a> {
    place: &'a str,
    text: &'a [u8],
    /// The place of the row in the text.
    start: usize,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A row may begin with the end of the line before it, or with empty lines.
        let rest = &self.text[self.start.min(self.text.len())..];
        let ends = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let before = &self.text[..self.start + ends.count()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        write!(f, "{}: line {line}", self.place)
    }
}

/// A value and its place.
struct Cell<'a> {
    text: &'a str,
    column: &'a str,
    at: Line<'a>,
}

impl Cell<'_> {
    fn error(&self, expected: &str) -> Error {
        let Cell { text, column, at } = self;
        let found = if is_missing(text) {
            "a missing value".to_string()
        } else {
            format!("`{}`", shown(text))
        };
        Error::data(format!(
            "{at}, column `{column}`: expected {expected}, found {found}"
        ))
    }

    /// A number of a variable; NaN where it is missing.
    fn number(&self, variable: &Variable) -> Result<f32> {
        if is_missing(self.text) {
            let way_out = || {
                format!(
                    "fill in the value, remove the row or the column, or write `with missing` behind the \
                     type of `{}`",
                    variable.name
                )
            };
            return match variable.may_be_unknown() {
                true => Ok(f32::NAN),
                false => Err(self.error("a number").help(way_out())),
            };
        }
        self.text.parse().map_err(|_| {
            self.error("a number").help(
                "write numbers with a point and without units; classes need a variable of type `class`",
            )
        })
    }

    fn part(&self) -> Result<usize> {
        let part = part_of(self.text);
        part.ok_or_else(|| {
            self.error("`train`, `test` or `validation`")
                .help(OTHER_SPLIT)
        })
    }
}

/// The values of the rows of a part.
struct Part {
    rows: usize,
    /// The number of each row in the file.
    places: Vec<usize>,
    /// The place of each row in the text, for messages about classes.
    starts: Vec<usize>,
    /// The numbers of each variable, row after row; empty for classes.
    numbers: Vec<Vec<f32>>,
    /// The text of each class; empty for other variables.
    classes: Vec<Vec<String>>,
}

impl Part {
    fn new(layout: &ColumnLayout) -> Self {
        let count = layout.variables.len();
        Part {
            rows: 0,
            places: Vec::new(),
            starts: Vec::new(),
            numbers: vec![Vec::new(); count],
            classes: vec![Vec::new(); count],
        }
    }

    fn push<'c>(
        &mut self,
        layout: &ColumnLayout,
        place: usize,
        start: usize,
        cell: impl Fn(usize) -> Cell<'c>,
    ) -> Result<()> {
        self.rows += 1;
        self.places.push(place);
        self.starts.push(start);
        for (index, (variable, columns)) in layout.variables.iter().enumerate() {
            for &column in columns {
                let cell = cell(column);
                match variable.domain {
                    Domain::Class if !is_name(cell.text) => {
                        let expected = format!(
                            "the name of a class, at most {MOST_NAME} bytes without line breaks"
                        );
                        return Err(cell
                            .error(&expected)
                            .help("close the quotes around values, or shorten the name"));
                    }
                    Domain::Class => self.classes[index].push(cell.text.to_string()),
                    _ => self.numbers[index].push(cell.number(variable)?),
                }
            }
        }
        Ok(())
    }

    /// Adds the array of each variable.
    fn finish<'t>(
        self,
        layout: &ColumnLayout,
        prefix: &str,
        (names, known): (&ClassNames, Option<KnownNames>),
        at: impl Fn(usize) -> Line<'t>,
        arrays: &mut Vec<DataArray>,
    ) -> Result<()> {
        let values = self.numbers.into_iter().zip(self.classes);
        for ((variable, columns), (numbers, classes)) in layout.variables.iter().zip(values) {
            let name = format!("{prefix}{}", variable.name);
            if variable.domain != Domain::Class {
                let shape = [self.rows, width(variable)];
                let columns = layout.columns_to_keep(variable, columns, known);
                arrays.push(DataArray::new(name, shape, numbers).with_columns(columns));
                continue;
            }
            let names = names.get(&variable.name);
            let number = |text: &String| match names {
                _ if is_unknown(text, variable) => Some(-1.0),
                Some(names) => names
                    .iter()
                    .position(|name| name == text)
                    .map(|at| at as f64),
                None => text.parse::<f64>().ok(),
            };
            let mut numbers = Vec::with_capacity(classes.len());
            for (text, &start) in classes.iter().zip(&self.starts) {
                let cell = Cell {
                    text,
                    column: &variable.name,
                    at: at(start),
                };
                let expected = match names {
                    Some(names) => format!("one of {}", listed(names)),
                    None => format!("a class from 0 to {}", variable.size() - 1),
                };
                let help = match (variable.role, variable.missing) {
                    (Role::Label, _) => {
                        "correct the value, or leave it empty if the label is unknown"
                    }
                    (_, true) => "correct the value, or leave it empty if it is unknown",
                    (_, false) => {
                        "correct the value, remove the row, or write `with missing` behind the type"
                    }
                };
                let number = number(text).ok_or_else(|| cell.error(&expected).help(help))?;
                numbers.push(number);
            }
            let names = names.cloned().unwrap_or_default();
            arrays.push(DataArray::new(name, [self.rows], numbers).with_class_names(names));
        }
        Ok(())
    }
}
