//! Tables as CSV files: a line of column names, then a line for each row.
//!
//! A variable with one number takes the column of its name. One with several takes the columns of its
//! name and a number (`x0`, `x_1`, `x.2`, `x[3]`, from 0 or 1), in the order of the numbers; or, if it
//! is the only such variable without columns of its own, all columns that no other variable takes. A
//! column `split` says which rows are for training, for testing and for validation.

use super::{
    checks::width,
    columns::{ColumnSummary, TableSummary, number_of},
    table_file::TableFile,
    tables::{ClassNames, DataArray, KnownNames},
};
use crate::{
    diagnostic::suggest,
    distribution::Domain,
    error::{Error, Result},
    files,
    model::{Model, Role, Variable},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::Read,
    path::Path,
};

/// The column that says which rows are for training, for testing and for validation.
pub(super) const SPLIT: &str = "split";

/// The values that stand for a missing entry.
const MISSING: [&str; 6] = ["", "NA", "N/A", "NaN", "nan", "null"];

/// Reads the columns that the model uses. A column of classes has whole numbers from 0 on, or names: the
/// names that occur, sorted. Data for a run have the names that it knows.
///
/// # Errors
/// If the file cannot be read or is no table, a variable has no columns, or a value cannot be read: with
/// its line and column.
pub fn arrays(
    path: &Path,
    model: &Model,
    known: Option<KnownNames>,
) -> Result<(Vec<DataArray>, TableFile)> {
    let place = path.display().to_string();
    let text = &contents(path)?;
    let (mut reader, header) = reader(path, text)?;
    let broken = |error: ::csv::Error| broken(&place, text, &error);
    let header: Vec<&str> = header.iter().collect();
    let numeric = || Ok(summary_of(path, text)?.numeric_names());
    let layout = Layout::new(model, &header, known, &numeric, &place)?;
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
        parts: parts.each_ref().map(|part| part.places.clone()),
    };
    // Test rows that stand alone are read as training rows are.
    let test_prefix = if parts[0].rows == 0 { "" } else { "test." };
    let mut arrays = Vec::new();
    let names = layout.class_names(&parts, known, &place)?;
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
    // The names are kept for a note.
    let unused = layout.unused.iter();
    arrays.extend(unused.map(|name| DataArray::new(*name, [], Vec::<f32>::new())));
    Ok((arrays, file))
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
            match (is_missing(value), is_test) {
                (true, true) => column.misses_in_test = true,
                (true, false) => column.missing += 1,
                (false, _) => column.add(value),
            }
            column.minus_ones += usize::from(value == "-1" && !is_test);
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

/// Which columns each variable takes.
struct Layout<'a> {
    variables: Vec<(&'a Variable, Vec<usize>)>,
    split: Option<usize>,
    /// The variable that took all columns that nothing else took.
    takes_rest: Option<&'a str>,
    /// The names of all columns.
    names: Vec<&'a str>,
    unused: Vec<&'a str>,
}

impl<'a> Layout<'a> {
    fn new(
        model: &'a Model,
        header: &[&'a str],
        known: Option<KnownNames>,
        numeric: &dyn Fn() -> Result<BTreeSet<String>>,
        place: &str,
    ) -> Result<Self> {
        let mut taken = vec![false; header.len()];
        let mut variables: Vec<(&Variable, Vec<usize>)> = Vec::new();
        for variable in model.read_variables() {
            let names = known.and_then(|known| known.columns.get(&variable.name));
            let columns = match names {
                Some(names) => known_columns(names, header, place)?,
                None => own_columns(variable, header),
            };
            columns.iter().for_each(|&column| taken[column] = true);
            variables.push((variable, columns));
        }
        for (variable, columns) in &variables {
            if width(variable) == 1 && variable.role.is_always_observed() && columns.is_empty() {
                return Err(missing_column(&variable.name, header, place));
            }
        }
        let split = header.iter().position(|name| *name == SPLIT);
        let split = split.filter(|&column| !taken[column]);
        if let Some(column) = split {
            taken[column] = true;
        }
        let mut takes_rest = None;
        let mut without = variables
            .iter_mut()
            .filter(|(variable, columns)| width(variable) > 1 && columns.is_empty())
            .filter(|(variable, _)| !variable.is_optional());
        if let (Some((variable, columns)), None) = (without.next(), without.next()) {
            let numeric = numeric()?;
            let is_free = |column: &usize| !taken[*column] && numeric.contains(header[*column]);
            let free: Vec<usize> = (0..header.len()).filter(is_free).collect();
            if free.len() != width(variable) {
                let names: Vec<&str> = free.iter().map(|&column| header[column]).collect();
                return Err(other_count(variable, &names, place));
            }
            let names: Vec<&str> = free.iter().map(|&column| header[column]).collect();
            check_lengths(
                &names,
                &format!("{place}: the columns of `{}`", variable.name),
            )?;
            free.iter().for_each(|&column| taken[column] = true);
            *columns = free;
            takes_rest = Some(variable.name.as_str());
        }
        variables.retain(|(variable, columns)| !variable.is_optional() || !columns.is_empty());
        for (variable, columns) in &variables {
            if columns.len() != width(variable) {
                return Err(wrong_columns(variable, place));
            }
        }
        let unused = (0..header.len()).filter(|&column| !taken[column]);
        Ok(Layout {
            variables,
            split,
            takes_rest,
            names: header.to_vec(),
            unused: unused.map(|column| header[column]).collect(),
        })
    }

    /// The names of the columns that a run must know: of a variable that took what nothing else did, or
    /// whose columns the run knows already.
    fn columns_to_keep(
        &self,
        variable: &Variable,
        columns: &[usize],
        known: Option<KnownNames>,
    ) -> Vec<String> {
        let is_known = known.is_some_and(|known| known.columns.contains_key(&variable.name));
        match is_known || self.takes_rest == Some(variable.name.as_str()) {
            true => columns
                .iter()
                .map(|&column| self.names[column].to_string())
                .collect(),
            false => Vec::new(),
        }
    }

    /// The names of the classes of each variable whose column has names.
    fn class_names(
        &self,
        parts: &[Part],
        known: Option<KnownNames>,
        place: &str,
    ) -> Result<ClassNames> {
        let mut all = ClassNames::new();
        for (index, (variable, _)) in self.variables.iter().enumerate() {
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
}

/// The names of a variable's classes: the values that occur in its column, sorted. `None` if they are
/// the numbers of classes. `place` names the column.
///
/// # Errors
/// If there are more names than classes, or they are too long.
pub(super) fn names_of_classes(
    variable: &Variable,
    occurring: &BTreeSet<&str>,
    place: &str,
) -> Result<Option<Vec<String>>> {
    // 1.0 is a whole number too: a column with missing values may be written so.
    let whole = |text: &&str| {
        let number = text.parse::<f64>().ok()?;
        (number.fract() == 0.0).then_some(number as i64)
    };
    let in_range =
        |text| whole(text).is_some_and(|class| (0..variable.size() as i64).contains(&class));
    // Whole numbers are the classes' numbers, unless they name every class.
    let all_whole = occurring.iter().all(|text| whole(text).is_some());
    if occurring.iter().all(in_range) || all_whole && occurring.len() != variable.size() {
        return Ok(None);
    }
    let mut names: Vec<String> = occurring.iter().map(|name| name.to_string()).collect();
    names.sort_by(
        |left, right| match (left.parse::<f64>(), right.parse::<f64>()) {
            (Ok(left), Ok(right)) => left.total_cmp(&right),
            _ => left.cmp(right),
        },
    );
    if names.len() > variable.size() {
        let count = names.len();
        let message = format!("{place} has {count} classes: {}", listed(&names));
        return Err(Error::data(message).help(format!(
            "declare `{}: class[{count}]`, or correct the column",
            variable.name
        )));
    }
    check_lengths(&names, &format!("{place}: the classes"))?;
    Ok(Some(names))
}

/// The places of the columns that a run knows.
fn known_columns(names: &[String], header: &[&str], place: &str) -> Result<Vec<usize>> {
    let places = names.iter().map(|name| {
        let found = header.iter().position(|column| column == name);
        found.ok_or_else(|| missing_column(name, header, place))
    });
    places.collect()
}

/// The columns that are named after a variable: that of its name, or those of its name and a number if
/// there is one for each of its numbers.
fn own_columns(variable: &Variable, header: &[&str]) -> Vec<usize> {
    let exact = header.iter().position(|name| *name == variable.name);
    if width(variable) == 1 {
        return exact.into_iter().collect();
    }
    let numbered = header
        .iter()
        .enumerate()
        .filter_map(|(column, name)| Some((number_of(name, &variable.name)?, column)));
    let numbered: Vec<(usize, usize)> = numbered.collect();
    let columns: BTreeMap<usize, usize> = numbered.iter().copied().collect();
    match columns.len() == width(variable) && numbered.len() == columns.len() {
        true => columns.into_values().collect(),
        false => Vec::new(),
    }
}

/// The error of a table without a column.
fn missing_column(name: &str, header: &[&str], place: &str) -> Error {
    let error = Error::data(format!("{place}: expected a column `{name}`, found none"));
    let help = suggest(name, header.iter().copied());
    error.help(help.unwrap_or_else(|| format!("the columns are {}", listed(header))))
}

/// The error of a variable that would take all columns that are left, but whose size is another number.
fn other_count(variable: &Variable, left: &[&str], place: &str) -> Error {
    let (name, size) = (&variable.name, width(variable));
    let message = format!(
        "{place}: `{name}` has {size} numbers per row, but the numeric columns that are left for it are \
         {}: {}",
        left.len(),
        listed(left)
    );
    Error::data(message).help(format!(
        "remove or add columns, change the size of `{name}` in the model, or name its columns \
         `{name}0` to `{name}{}`",
        size - 1
    ))
}

/// The error of a variable with several numbers that has no columns, where several variables have none.
fn wrong_columns(variable: &Variable, place: &str) -> Error {
    let (name, size) = (&variable.name, width(variable));
    let message = format!("{place}: expected {size} columns for `{name}`, found none");
    Error::data(message).help(format!(
        "name the columns `{name}0` to `{name}{}`",
        size - 1
    ))
}

/// The first names of a list.
pub(super) fn listed(names: &[impl AsRef<str>]) -> String {
    const MOST: usize = 12;
    let first = names.iter().take(MOST);
    let shown: Vec<String> = first
        .map(|name| format!("`{}`", shown(name.as_ref())))
        .collect();
    let more = names.len().saturating_sub(MOST);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &more
}

/// The beginning of a text, for messages.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let mut shown = String::new();
    for c in text.chars().take(MOST) {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    if text.chars().count() > MOST {
        shown.push('…');
    }
    shown
}

/// The way out for a column `split` of another meaning.
const OTHER_SPLIT: &str = "give the column another name if it is no split into these parts";

/// The values of the column `split`: rows to train on, to test on, and to hold out in training.
pub(super) const PARTS: [&str; 3] = ["train", "test", "validation"];

/// The place in [`PARTS`] of a value of the column `split`; `None` for other values.
pub(super) fn part_of(text: &str) -> Option<usize> {
    PARTS
        .iter()
        .position(|part| text.eq_ignore_ascii_case(part))
}

/// The error of a table without training rows.
fn no_training_rows(place: &str) -> Error {
    Error::data(format!("{place}: expected a row for training, found none")).help(
        "add lines below the line of column names, which are not all marked `test` or `validation`",
    )
}

/// The most bytes of a class's name, and of all of a variable's.
const MOST_NAME: usize = 200;
const MOST_NAMES: usize = 1 << 20;

/// Checks that a run's settings have room for names.
fn check_lengths(names: &[impl AsRef<str>], what: &str) -> Result<()> {
    let bytes: usize = names.iter().map(|name| name.as_ref().len() + 12).sum();
    if bytes <= MOST_NAMES {
        return Ok(());
    }
    let message = format!("{what} have names of {bytes} bytes in all, more than {MOST_NAMES}");
    Err(Error::data(message).help("use numbers from 0 in place of the names, or shorter names"))
}

/// Whether a class can have this name: not with control characters, as behind a quote that is not closed.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= MOST_NAME && !text.contains(char::is_control)
}

pub(super) fn is_missing(text: &str) -> bool {
    MISSING.contains(&text)
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

/// Whether a class is unknown, where it may be: missing, or −1 as in arrays.
pub(super) fn is_unknown(text: &str, variable: &Variable) -> bool {
    variable.may_be_unknown() && (is_missing(text) || ["-1", "-1.0"].contains(&text))
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
    fn new(layout: &Layout) -> Self {
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
        layout: &Layout,
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
        layout: &Layout,
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
