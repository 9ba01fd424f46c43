//! A first model for a table: `dgc new`.

use crate::{
    driver,
    error::{Error, Result},
    run::data::{ColumnSummary, TableSummary, columns},
    syntax::format,
};
use std::{fmt::Write, path::Path};

/// The most classes of a label or of a column of names.
const MOST_CLASSES: usize = 1000;
/// A label whose numbers are not whole, or which has more different numbers than this, is no class.
const MOST_NUMBERS: usize = 100;
/// About how many steps a draft trains for.
const STEPS: usize = 2000;

/// Writes a model for a CSV file, with comments that explain each choice: all numeric columns are one
/// variable of standardized real numbers, each column of names is a class variable, and the column
/// `label`, if any, is the label. [`Dataset::open`](crate::Dataset::open) reads the file for the model.
///
/// # Errors
/// If the file cannot be read or has no column `label`, a column misses values, or a column that becomes
/// a variable has a name that the language does not allow.
pub fn draft(path: impl AsRef<Path>, label: Option<&str>) -> Result<String> {
    let path = path.as_ref();
    let table = columns(path)?;
    let draft = Draft::new(&table, label, path)?;
    let text = draft.text();
    // Names of columns may be words of the language.
    match driver::check("draft", &text, &[]) {
        Ok(_) => Ok(format(&text)),
        Err(mistakes) => {
            let first = mistakes
                .first()
                .map_or("", |mistake| mistake.title.as_str());
            let message = format!("{}: the columns make no model: {first}", path.display());
            Err(Error::data(message).help("rename the column"))
        }
    }
}

/// What a draft is made of.
struct Draft<'a> {
    model: String,
    file: String,
    rows: usize,
    label: Option<&'a ColumnSummary>,
    numbers: Vec<&'a ColumnSummary>,
    classes: Vec<&'a ColumnSummary>,
    notes: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(table: &'a TableSummary, label: Option<&str>, path: &Path) -> Result<Self> {
        let place = path.display();
        let label = match label {
            None => None,
            Some(name) => {
                let found = table.columns.iter().find(|column| column.name == name);
                Some(found.ok_or_else(|| {
                    let names: Vec<&str> = table.names().collect();
                    Error::option("label", name, format!("{place} has no such column"))
                        .help(format!("the columns are {}", names.join(", ")))
                })?)
            }
        };
        let mut draft = Draft {
            model: identifier(&path.file_stem().unwrap_or_default().to_string_lossy()),
            file: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            rows: table.rows,
            label,
            numbers: Vec::new(),
            classes: Vec::new(),
            notes: Vec::new(),
        };
        if let Some(label) = label {
            check_label(label, &place.to_string())?;
        }
        for column in &table.columns {
            if label.is_some_and(|label| label.name == column.name) {
                continue;
            }
            draft.add(column, &place.to_string())?;
        }
        if draft.numbers.is_empty() && draft.classes.is_empty() {
            let message = format!("{place}: found no column to learn from");
            return Err(Error::data(message).help(
                "add columns with numbers, written with a point, or with few different texts",
            ));
        }
        let alone = draft.numbers.iter().filter(|_| draft.numbers.len() == 1);
        let named = draft.classes.iter().chain(&draft.label).chain(alone);
        if let Some(column) = named
            .into_iter()
            .find(|column| identifier(&column.name) != column.name)
        {
            let message = format!(
                "{place}: `{}` cannot be the name of a variable",
                column.name
            );
            return Err(Error::data(message)
                .help("rename the column, with letters from a to z, digits and `_`"));
        }
        Ok(draft)
    }

    /// Adds a column that is not the label.
    fn add(&mut self, column: &'a ColumnSummary, place: &str) -> Result<()> {
        let (name, count) = (&column.name, column.values.len());
        if column.missing > 0 || column.misses_in_test {
            let message = match column.missing {
                0 => format!("{place}: column `{name}` misses values of test rows"),
                missing => format!(
                    "{place}: column `{name}` misses {missing} of {} values",
                    self.rows
                ),
            };
            return Err(
                Error::data(message).help("fill in the values, or remove the column or these rows")
            );
        }
        match &column.first_text {
            None => self.numbers.push(column),
            Some(text) if column.is_mostly_numeric() => {
                let text: String = text.chars().take(40).collect();
                let message =
                    format!("{place}: column `{name}` has numbers, and the text `{text}`");
                return Err(Error::data(message).help("correct the value, or remove the row"));
            }
            Some(_) if count <= MOST_CLASSES.min(self.rows / 2) => self.classes.push(column),
            Some(_) => self.notes.push(format!(
                "column `{name}` is not used: it has {count} different texts"
            )),
        }
        if count == 1 {
            self.notes.push(format!(
                "column `{name}` has one value in all rows; remove it from the table"
            ));
        } else if count == column.numbers && column.is_whole && count > 20 {
            self.notes.push(format!(
                "column `{name}` has another whole number in each row; if these number the rows, \
                 remove it from the table"
            ));
        }
        Ok(())
    }

    /// A name that no column takes, for a variable or size of the draft.
    fn free(&self, name: &str) -> String {
        let taken = |name: &str| {
            let mut columns = self.classes.iter().chain(&self.numbers).chain(&self.label);
            columns.any(|column| column.name == name)
        };
        let mut free = name.to_string();
        while taken(&free) {
            free.push('_');
        }
        free
    }

    fn text(&self) -> String {
        let [mut x, z, hidden, latent] = ["x", "z", "hidden", "latent"].map(|name| self.free(name));
        // A variable with one number takes the column of its name.
        if let [column] = self.numbers[..] {
            x = column.name.clone();
        }
        let body = self.free("body");
        let count = self.numbers.len();
        let labelled = self
            .label
            .map_or(0, |label| self.rows - label.missing - label.minus_ones);
        let unlabelled = self.rows - labelled;
        let mut text = format!(
            "// A first model of {}, which has {} training rows.\nmodel {} {{\n",
            shortened(&[&self.file]),
            self.rows,
            self.model
        );
        for note in &self.notes {
            let _ = writeln!(text, "  // Note: {note}.");
        }
        let _ = writeln!(
            text,
            "  size {hidden} = 64, {latent} = {}\n",
            (count / 2).clamp(2, 10)
        );
        let mut data: Vec<&str> = Vec::new();
        if count > 0 {
            let names: Vec<&str> = self
                .numbers
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            let _ = writeln!(
                text,
                "  // The numeric columns, in their order: {}",
                shortened(&names)
            );
            let _ = writeln!(text, "  data   {x}: real[{count}] standardized");
            data.push(&x);
        }
        for column in &self.classes {
            let names: Vec<&str> = column.values.iter().map(String::as_str).collect();
            let _ = writeln!(text, "  // {}", shortened(&names));
            let _ = writeln!(text, "  data   {}: class[{}]", column.name, names.len());
            data.push(&column.name);
        }
        if let Some(label) = self.label {
            let names: Vec<&str> = classes(label).collect();
            let _ = writeln!(
                text,
                "  // Known in {labelled} of {} rows: {}",
                self.rows,
                shortened(&names)
            );
            let _ = writeln!(
                text,
                "  label  {}: class[{}]",
                label.name,
                names.len().max(2)
            );
        }
        let _ = writeln!(text, "  latent {z}: real[{latent}]\n");
        let _ = writeln!(text, "  net {body} = 2 * [dense({hidden}) > relu]\n");
        let parents = match self.label {
            Some(label) => format!("{}, {z}", label.name),
            None => z.clone(),
        };
        let _ = writeln!(text, "  generative {{\n    {z} ~ normal(0, 1)");
        if let Some(label) = self.label {
            let _ = writeln!(text, "    {} ~ uniform", label.name);
        }
        for name in &data {
            let density = if *name == x { "normal" } else { "categorical" };
            let _ = writeln!(text, "    {parents} -> {name} ~ {density}({body})");
        }
        let data = data.join(", ");
        let _ = writeln!(text, "  }}\n\n  inference {{");
        match self.label {
            Some(label) => {
                let label = &label.name;
                let _ = writeln!(text, "    {data} -> {label} ~ categorical({body})");
                let _ = writeln!(text, "    {data}, {label} -> {z} ~ normal({body})\n  }}\n");
                let _ = writeln!(
                    text,
                    "  objective {{\n    // The bound sums over the classes where the label is unknown.\n    sum {label}"
                );
                let _ = writeln!(
                    text,
                    "    // The label is also learned from the labelled rows directly.\n    classify {label} weight 10"
                );
                if count > 0 {
                    let _ = writeln!(
                        text,
                        "    // Predictions change little between neighbours, which spreads labels to unlabelled rows.\n    smooth {label} by vat(radius = {}, weight = 1)",
                        radius(count)
                    );
                }
            }
            None => {
                let _ = writeln!(
                    text,
                    "    {data} -> {z} ~ normal({body})\n  }}\n\n  objective {{\n    samples 1"
                );
            }
        }
        let batch = |rows: usize| rows.min(100);
        let _ = writeln!(text, "  }}\n\n  train {{");
        let largest = match (labelled, unlabelled) {
            (0, rows) => {
                let _ = match self.label {
                    Some(_) => writeln!(text, "    batch labelled 0, unlabelled {}", batch(rows)),
                    None => writeln!(text, "    batch {}", batch(rows)),
                };
                rows
            }
            (rows, 0) => {
                let _ = writeln!(text, "    batch labelled {}, unlabelled 0", batch(rows));
                rows
            }
            (some, others) => {
                let _ = writeln!(
                    text,
                    "    batch labelled {}, unlabelled {}",
                    batch(some),
                    batch(others)
                );
                some.max(others)
            }
        };
        let steps = largest.div_ceil(batch(largest)).max(1);
        let epochs = (STEPS / steps).clamp(5, 500);
        let _ = writeln!(
            text,
            "    optimizer adam(rate = 3e-3)\n    schedule cosine\n    epochs {epochs}  // {} steps in all\n  }}\n}}",
            epochs * steps
        );
        text
    }
}

/// How far a row moves in virtual adversarial training: a part of the length of a standardized row.
fn radius(features: usize) -> f64 {
    let radius = 0.2 * (features as f64).sqrt();
    (radius * 10.0).round().max(1.0) / 10.0
}

/// The classes of a label. −1 marks an unknown one.
fn classes(label: &ColumnSummary) -> impl Iterator<Item = &str> {
    label
        .values
        .iter()
        .map(String::as_str)
        .filter(|value| *value != "-1")
}

fn check_label(label: &ColumnSummary, place: &str) -> Result<()> {
    let (name, count) = (&label.name, classes(label).count());
    if count < 2 {
        let s = if count == 1 { "" } else { "es" };
        let message = format!("{place}: the label `{name}` has {count} class{s}");
        return Err(Error::data(message)
            .help("a label needs at least two classes; -1 marks rows with an unknown label"));
    }
    let is_number = label.is_numeric() && (count > MOST_NUMBERS || !label.is_whole);
    if is_number || count > MOST_CLASSES {
        let message = format!("{place}: the label `{name}` has {count} different values");
        return Err(Error::data(message)
            .help("labels are classes; leave the option out to learn the column as data"));
    }
    Ok(())
}

/// The first names of a list.
fn shortened(names: &[&str]) -> String {
    const MOST: usize = 8;
    let mut text = names[..names.len().min(MOST)]
        .join(", ")
        .replace(['\n', '\r'], " ");
    if names.len() > MOST {
        let _ = write!(text, " and {} more", names.len() - MOST);
    }
    text
}

/// A name of the language that is like `text`.
fn identifier(text: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = text.chars().map(letter).collect();
    match name.chars().next() {
        None => "table".to_string(),
        Some(first) if first.is_ascii_digit() => format!("_{name}"),
        Some(_) => name,
    }
}
