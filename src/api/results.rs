//! Results for each row as a table, in the formats that it can be written in.

#[cfg(feature = "parquet")]
mod parquet;

use super::{
    evaluation::{Encodings, Predictions, class_name},
    selection::Rows,
};
use crate::error::{Error, Result};
use std::path::Path;

/// The column with the file of each row, if the rows are images.
const FILE: &str = "file";

/// Results for each row: columns of numbers or classes, one line for each row, or for each draw of each
/// row.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultTable {
    /// The number of each row, see [`Rows::numbers`].
    numbers: Vec<usize>,
    /// The number of draws of each row; `None` for results that are no draws.
    draws: Option<usize>,
    results: Vec<RowResult>,
}

/// A result for each row.
#[derive(Clone, Debug, PartialEq)]
struct RowResult {
    /// The name of the array in an npz file.
    name: String,
    /// The names of the columns in a CSV file, one for each value of a row.
    columns: Vec<String>,
    values: Values,
}

#[derive(Clone, Debug, PartialEq)]
enum Values {
    /// Numbers with axes row, column; or row, draw, column.
    Numbers(Vec<f32>),
    /// The class of each row, or row and draw: −1 where it is unknown, and the names of the classes, if they have any.
    Classes(Vec<i64>, Vec<String>),
    /// A text of each row.
    Texts(Vec<String>),
    /// The file of each row, which npz files leave out.
    Files(Vec<String>),
}

#[cfg(feature = "csv")]
impl Values {
    /// A value as text, by its row, its line, and the place in the line.
    fn text(&self, row: usize, line: usize, place: usize, width: usize) -> String {
        match self {
            Values::Numbers(numbers) => match numbers[line * width + place] {
                number if number.is_nan() => String::new(),
                number => number.to_string(),
            },
            Values::Classes(classes, names) => match usize::try_from(classes[line]) {
                Ok(class) => class_name(names, class),
                Err(_) => String::new(),
            },
            Values::Texts(texts) | Values::Files(texts) => texts[row].clone(),
        }
    }
}

/// A format of result tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableFormat {
    /// A line of column names, then a line for each row. Classes are written by name if they have
    /// names.
    Csv,
    /// NumPy's npz: an array for each result, with axes row, value. Classes are numbers.
    Npz,
    /// Apache Parquet, with the columns of a CSV file. Classes without names are whole numbers.
    Parquet,
}

impl TableFormat {
    /// The format of a file, by its ending; CSV if it has none of the endings.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(ending) if ending == "npz" => TableFormat::Npz,
            Some(ending) if ending == "parquet" => TableFormat::Parquet,
            _ => TableFormat::Csv,
        }
    }
}

impl ResultTable {
    fn new(rows: &Rows) -> Self {
        let mut table = ResultTable {
            numbers: rows.numbers().to_vec(),
            draws: None,
            results: Vec::new(),
        };
        if let Some(files) = rows.files() {
            table.add(FILE, vec![FILE.to_string()], Values::Files(files));
        }
        table
    }

    /// A table with so many draws of each row.
    pub(super) fn of_draws(rows: &Rows, draws: usize) -> Self {
        ResultTable {
            draws: Some(draws),
            ..ResultTable::new(rows)
        }
    }

    /// A table of rows that are numbered from 0.
    pub(super) fn numbered(rows: usize) -> Self {
        ResultTable {
            numbers: (0..rows).collect(),
            draws: None,
            results: Vec::new(),
        }
    }

    /// Adds the class of each row, −1 where it is unknown.
    pub(super) fn add_classes(&mut self, name: &str, classes: Vec<i64>, names: Vec<String>) {
        self.add(
            name,
            vec![name.to_string()],
            Values::Classes(classes, names),
        );
    }

    /// Adds numbers with axes row, column.
    pub(super) fn add_numbers(&mut self, name: &str, columns: Vec<String>, numbers: Vec<f32>) {
        self.add(name, columns, Values::Numbers(numbers));
    }

    /// A table of one number for each row.
    ///
    /// # Panics
    /// If there are not as many numbers as rows.
    pub fn of_numbers(rows: &Rows, name: &str, numbers: &[f32]) -> Self {
        assert_eq!(rows.len(), numbers.len(), "one number for each row");
        let mut table = ResultTable::new(rows);
        table.add(
            name,
            vec![name.to_string()],
            Values::Numbers(numbers.to_vec()),
        );
        table
    }

    /// The table with a further column in front of the others, such as the names of the rows.
    ///
    /// # Errors
    /// If there is a column of that name.
    ///
    /// # Panics
    /// If there are not as many texts as rows.
    pub fn with_column(mut self, name: &str, texts: Vec<String>) -> Result<Self> {
        assert_eq!(self.numbers.len(), texts.len(), "a text for each row");
        let mut columns = self.results.iter().flat_map(|result| &result.columns);
        if columns.any(|column| column == name) {
            let message = format!("the results have a column `{name}` of their own");
            return Err(Error::data(message).help("name another column to copy"));
        }
        let at = self
            .results
            .iter()
            .take_while(|result| matches!(result.values, Values::Texts(_) | Values::Files(_)));
        let at = at.count();
        let column = RowResult {
            name: name.to_string(),
            columns: vec![name.to_string()],
            values: Values::Texts(texts),
        };
        self.results.insert(at, column);
        Ok(self)
    }

    fn add(&mut self, name: &str, columns: Vec<String>, values: Values) {
        if let [first, ..] = &mut self.results[..]
            && matches!(first.values, Values::Files(_))
            && columns.iter().any(|column| column == FILE)
        {
            // A variable may be called `file`.
            first.columns = vec!["file name".to_string()];
        }
        self.results.push(RowResult {
            name: name.to_string(),
            columns,
            values,
        });
    }

    /// Writes the table in the format of the file's ending.
    ///
    /// # Errors
    /// If the file cannot be written, or this build lacks the format.
    pub fn write(&self, path: &Path) -> Result<()> {
        crate::files::write_whole(path, &self.to_bytes(TableFormat::of(path))?)
    }

    /// The contents of a file in this format.
    ///
    /// # Errors
    /// If this build lacks the format, or memory is short.
    pub fn to_bytes(&self, format: TableFormat) -> Result<Vec<u8>> {
        match format {
            TableFormat::Csv => self.to_csv(),
            TableFormat::Npz => self.to_npz(),
            TableFormat::Parquet => self.to_parquet(),
        }
    }

    #[cfg(feature = "csv")]
    fn to_csv(&self) -> Result<Vec<u8>> {
        let failed = |error: csv::Error| Error::new(format!("results as CSV: {error}"));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names = self.results.iter().flat_map(|result| &result.columns);
        let header = self.key_columns();
        writer
            .write_record(header.iter().chain(names))
            .map_err(failed)?;
        let draws = self.draws.unwrap_or(1);
        for line in 0..self.numbers.len() * draws {
            let (row, draw) = (line / draws, line % draws);
            let mut record = vec![self.numbers[row].to_string()];
            record.extend(self.draws.map(|_| draw.to_string()));
            for RowResult {
                columns, values, ..
            } in &self.results
            {
                let width = columns.len();
                let texts = (0..width).map(|place| values.text(row, line, place, width));
                record.extend(texts);
            }
            writer.write_record(&record).map_err(failed)?;
        }
        writer
            .into_inner()
            .map_err(|error| failed(error.into_error().into()))
    }

    #[cfg(not(feature = "csv"))]
    fn to_csv(&self) -> Result<Vec<u8>> {
        Err(missing_feature("CSV", "csv"))
    }

    #[cfg(feature = "npz")]
    fn to_npz(&self) -> Result<Vec<u8>> {
        use ndarray::{Array1, ArrayViewD};
        use ndarray_npy::{NpzWriter, WriteNpzError};
        use std::io::Cursor;
        let failed = |error: WriteNpzError| Error::new(format!("results as npz: {error}"));
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = NpzWriter::new_compressed(&mut bytes);
        let mut lines = vec![self.numbers.len()];
        lines.extend(self.draws);
        for RowResult {
            name,
            columns,
            values,
        } in &self.results
        {
            match values {
                Values::Numbers(numbers) => {
                    let shape = [&lines[..], &[columns.len()]].concat();
                    let array = ArrayViewD::from_shape(shape, numbers);
                    let array = array.expect("every line has a number for each column");
                    writer.add_array(name.as_str(), &array)
                }
                Values::Classes(classes, _) => {
                    let array = ArrayViewD::from_shape(lines.clone(), classes);
                    let array = array.expect("every line has a class");
                    writer.add_array(name.as_str(), &array)
                }
                Values::Files(_) => continue,
                Values::Texts(_) => {
                    let message = format!("an npz file cannot have the text of column `{name}`");
                    return Err(Error::unsupported(message).help("write a .csv or .parquet file"));
                }
            }
            .map_err(failed)?;
        }
        let numbers: Array1<i64> = self.numbers.iter().map(|&number| number as i64).collect();
        writer.add_array("row number", &numbers).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes.into_inner())
    }

    #[cfg(not(feature = "npz"))]
    fn to_npz(&self) -> Result<Vec<u8>> {
        Err(missing_feature("npz", "npz"))
    }

    #[cfg(feature = "parquet")]
    fn to_parquet(&self) -> Result<Vec<u8>> {
        parquet::to_bytes(self)
    }

    #[cfg(not(feature = "parquet"))]
    fn to_parquet(&self) -> Result<Vec<u8>> {
        Err(missing_feature("Parquet", "parquet"))
    }

    /// The names of the columns in front of the results: that of the rows' numbers, and that of the draws
    /// if there are several of each row.
    #[cfg(any(feature = "csv", feature = "parquet"))]
    fn key_columns(&self) -> Vec<String> {
        // A variable may be called `row`.
        let free = |name: &str| {
            let mut names = self.results.iter().flat_map(|result| &result.columns);
            match names.any(|other| other == name) {
                true => format!("{name} number"),
                false => name.to_string(),
            }
        };
        let mut header = vec![free("row")];
        header.extend(self.draws.map(|_| free("draw")));
        header
    }
}

#[cfg(not(all(feature = "csv", feature = "npz", feature = "parquet")))]
fn missing_feature(kind: &str, feature: &str) -> Error {
    let message = format!("this build of dgc cannot write {kind} files");
    Error::unsupported(message).help(format!("build dgc with the feature `{feature}`"))
}

impl Predictions {
    /// The table of the predictions. For each class label: its most probable class, the probability of
    /// that class, the true class if it is known for any row, and the probability of every class. For
    /// each numeric label: its mean, its standard deviation, and the true number if it is known for any
    /// row.
    pub fn table(&self, rows: &Rows) -> ResultTable {
        let mut table = ResultTable::new(rows);
        for prediction in &self.labels {
            let (label, names) = (&prediction.label, &prediction.names);
            let classes = |classes: Vec<i64>| Values::Classes(classes, names.clone());
            let likeliest = prediction.likeliest();
            let best = likeliest.iter().enumerate();
            let best = best.map(|(row, &class)| prediction.row(row)[class]);
            let predicted = likeliest.iter().map(|&class| class as i64).collect();
            table.add(label, vec![label.clone()], classes(predicted));
            let name = format!("probability of {label}");
            table.add(&name, vec![name.clone()], Values::Numbers(best.collect()));
            if prediction.truth.iter().any(|&class| class >= 0) {
                let name = format!("true {label}");
                let truth = prediction
                    .truth
                    .iter()
                    .map(|&class| i64::from(class))
                    .collect();
                table.add(&name, vec![name.clone()], classes(truth));
            }
            let columns = probability_columns(label, prediction.classes, names);
            let probabilities = prediction.probabilities.clone();
            let name = format!("probabilities of {label}");
            table.add(&name, columns, Values::Numbers(probabilities));
        }
        for prediction in &self.numbers {
            let mut add = |prefix: &str, numbers: &[f32]| {
                let name = format!("{prefix}{}", prediction.label);
                let values = Values::Numbers(numbers.to_vec());
                table.add(&name, prediction.columns(prefix), values);
            };
            add("", &prediction.means);
            add("deviation of ", &prediction.deviations);
            if prediction.truth.iter().any(|number| !number.is_nan()) {
                add("true ", &prediction.truth);
            }
        }
        table
    }
}

/// The names of the columns of a label's class probabilities.
pub(super) fn probability_columns(label: &str, classes: usize, names: &[String]) -> Vec<String> {
    let column = |class| format!("probability of {label} = {}", class_name(names, class));
    (0..classes).map(column).collect()
}

impl Encodings {
    /// The table of the encodings. In a CSV file, the columns of a latent variable `z` are `z0`, `z1`
    /// and so on.
    pub fn table(&self, rows: &Rows) -> ResultTable {
        let mut table = ResultTable::new(rows);
        for encoding in &self.variables {
            let values = Values::Numbers(encoding.values.clone());
            table.add(&encoding.variable, encoding.columns.clone(), values);
        }
        table
    }
}
