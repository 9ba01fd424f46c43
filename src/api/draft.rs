//! A first model for a table: `dgc new`.

use crate::{
    driver,
    error::{Error, Result},
    run::data::{ColumnSummary, DataArray, Frame, TableSummary, columns, summary_of_arrays},
    syntax::format,
};
use std::{fmt::Write, path::Path};

/// The most classes of a label or of a column of names.
const MOST_CLASSES: usize = 1000;
/// A label whose numbers are not whole, or which has more different numbers than this, is no class.
const MOST_NUMBERS: usize = 100;
/// In tables with more numeric columns, the bound of a row outweighs its label.
const MANY_COLUMNS: usize = 100;
/// About how many steps a draft trains for.
const STEPS: usize = 2000;

/// Writes a model for a table, with comments that explain each choice: all numeric columns are one
/// variable of standardized real numbers, each column of names is a class variable, and the column
/// `label`, if any, is the label: a class, or a number if it has many different ones. `Recipe::default()`
/// fits every table. [`Dataset::open`](crate::Dataset::open) reads the file for the model.
///
/// # Errors
/// If the file cannot be read or has no column `label`, the recipe is for another kind of label, or a
/// column that becomes a variable has a name that the language does not allow.
pub fn draft(path: impl AsRef<Path>, label: Option<&str>, recipe: Recipe) -> Result<String> {
    let path = path.as_ref();
    drafted(&columns(path)?, label, recipe, path)
}

/// The models for a table with a class label whose predictions are averaged, as [`draft`] writes them; see
/// [`Recipe::averaged`].
///
/// # Errors
/// As [`draft`].
pub fn drafts(path: impl AsRef<Path>, label: &str) -> Result<Vec<(Recipe, String)>> {
    let path = path.as_ref();
    let table = columns(path)?;
    let draft = Draft::new(&table, Some(label), Recipe::Joint, path)?;
    if draft.recipe == Recipe::Regression {
        let message = format!("the label `{label}` is a number in {}", path.display());
        return Err(Error::option("recipe", "all", message).help("choose the recipe `regression`"));
    }
    let recipes = Recipe::averaged(draft.numbers.len(), draft.labelled());
    let text = |recipe| Ok((recipe, drafted(&table, Some(label), recipe, path)?));
    recipes.into_iter().map(text).collect()
}

/// As [`draft`], for arrays in memory: each number of a row is a column. A label of whole numbers is a
/// class, and another one a number. Messages use `name` as the name of the data, and the model is named
/// after it.
///
/// # Errors
/// As [`draft`].
pub fn draft_arrays(
    name: &str,
    arrays: &[DataArray],
    label: Option<&str>,
    recipe: Recipe,
) -> Result<String> {
    drafted(&summary_of_arrays(arrays)?, label, recipe, name.as_ref())
}

/// As [`draft`], for a table in memory. Messages use `name` as the name of the data, and the model is
/// named after it.
///
/// # Errors
/// As [`draft`].
pub fn draft_frame(
    name: &str,
    frame: &Frame,
    label: Option<&str>,
    recipe: Recipe,
) -> Result<String> {
    drafted(&frame.summary()?, label, recipe, name.as_ref())
}

fn drafted(
    table: &TableSummary,
    label: Option<&str>,
    recipe: Recipe,
    path: &Path,
) -> Result<String> {
    let draft = Draft::new(table, label, recipe, path)?;
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

/// A kind of model for a table. Those for class labels err on different data, so that the mean of the
/// predictions of several errs less than each: see [`Recipe::averaged`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// For class labels, M2 (Kingma et al. 2014), which generates the data from the class and latent
    /// variables, with virtual adversarial training (Miyato et al. 2019). For a label with many different
    /// numbers, [`Recipe::Regression`]; without a label, a variational autoencoder.
    #[default]
    Joint,
    /// M2 alone.
    Generative,
    /// A classifier with virtual adversarial training and information maximisation (Krause et al. 2010).
    Consistent,
    /// Logistic regression on the labelled rows.
    Linear,
    /// A label that is a number, which the model infers where it is unknown.
    Regression,
}

impl Recipe {
    /// The recipes for class labels.
    pub const CLASSIFIERS: [Recipe; 4] = [
        Recipe::Joint,
        Recipe::Generative,
        Recipe::Consistent,
        Recipe::Linear,
    ];

    /// All recipes.
    pub const ALL: [Recipe; 5] = [
        Recipe::Joint,
        Recipe::Generative,
        Recipe::Consistent,
        Recipe::Linear,
        Recipe::Regression,
    ];

    /// The recipes for class labels whose mean prediction is the default of the Python package's
    /// classifier, for a table with so many numeric columns and labelled rows: all of them, or those that
    /// do not generate the data if there are more than 100 columns, and more than labelled rows. There,
    /// the classifiers of generative models err more; `docs/notes/recipes.md` has the numbers.
    pub fn averaged(columns: usize, labelled: usize) -> Vec<Recipe> {
        let is_wide = is_wide(columns, labelled);
        let mut recipes = Recipe::CLASSIFIERS.to_vec();
        recipes.retain(|recipe| !(is_wide && recipe.generates()));
        recipes
    }

    /// A name for files: `joint`.
    pub fn name(self) -> &'static str {
        match self {
            Recipe::Joint => "joint",
            Recipe::Generative => "generative",
            Recipe::Consistent => "consistent",
            Recipe::Linear => "linear",
            Recipe::Regression => "regression",
        }
    }

    /// Whether the model has a density of the data.
    fn generates(self) -> bool {
        !matches!(self, Recipe::Consistent | Recipe::Linear)
    }

    /// The recipe for this label, or for none.
    fn fitting(self, label: Option<&ColumnSummary>, place: &str) -> Result<Self> {
        let unfit = |message: String, help: &str| {
            let message = format!("{message} {place}");
            Err(Error::option("recipe", self.name(), message).help(help))
        };
        match (self, label) {
            (Recipe::Joint, None) => Ok(self),
            (_, None) => unfit(
                "expected a label in".to_string(),
                "name the column to predict",
            ),
            (Recipe::Regression, Some(label)) if !label.is_numeric() => {
                let message = format!("the label `{}` is not a number in", label.name);
                unfit(message, "choose another recipe")
            }
            (Recipe::Regression, Some(label)) if label.values.is_empty() => unfit(
                format!("the label `{}` has no value in", label.name),
                "choose another label",
            ),
            (Recipe::Joint, Some(label)) if is_number(label) => Ok(Recipe::Regression),
            (Recipe::Joint | Recipe::Regression, Some(_)) => Ok(self),
            (_, Some(label)) if is_number(label) => {
                let message = format!("the label `{}` is a number in", label.name);
                unfit(message, "choose the recipe `regression`")
            }
            (_, Some(_)) => Ok(self),
        }
    }
}

/// What a draft is made of.
struct Draft<'a> {
    recipe: Recipe,
    model: String,
    file: String,
    rows: usize,
    label: Option<&'a ColumnSummary>,
    numbers: Vec<&'a ColumnSummary>,
    classes: Vec<&'a ColumnSummary>,
    notes: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(
        table: &'a TableSummary,
        label: Option<&str>,
        recipe: Recipe,
        path: &Path,
    ) -> Result<Self> {
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
        let recipe = recipe.fitting(label, &place.to_string())?;
        let mut draft = Draft {
            recipe,
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
        if let Some(label) = label.filter(|_| recipe != Recipe::Regression) {
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
        if column.list.is_some() {
            self.notes.push(format!(
                "column `{name}` is not used: it has lists of numbers"
            ));
            return Ok(());
        }
        if count == 0 {
            self.notes.push(format!(
                "column `{name}` is not used: it has no value in the training rows"
            ));
            return Ok(());
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

    /// The names of the draft's own variables and sizes, which no column has.
    fn names(&self) -> Names {
        let [x, z, body, hidden, latent] =
            ["x", "z", "body", "hidden", "latent"].map(|name| self.free(name));
        Names {
            // A variable with one number takes the column of its name.
            x: match self.numbers[..] {
                [column] => column.name.clone(),
                _ => x,
            },
            z,
            body,
            hidden,
            latent,
        }
    }

    /// The names of the data variables, that of the numbers first.
    fn data(&self, names: &Names) -> Vec<String> {
        let numbers = (!self.numbers.is_empty()).then(|| names.x.clone());
        let classes = self.classes.iter().map(|column| column.name.clone());
        numbers.into_iter().chain(classes).collect()
    }

    /// The training rows whose label is known.
    fn labelled(&self) -> usize {
        let known = |label: &ColumnSummary| match self.recipe == Recipe::Regression {
            true => self.rows - label.missing,
            false => self.rows - label.missing - label.minus_ones,
        };
        self.label.map_or(0, known)
    }

    /// The file, not yet in the standard layout.
    fn text(&self) -> String {
        let names = self.names();
        let blocks = [
            self.declarations(&names),
            self.graphs(&names),
            self.objective(),
            self.training(),
        ];
        let (file, rows, model) = (shortened(&[&self.file]), self.rows, &self.model);
        format!(
            "// A first model of {file}, which has {rows} training rows.\nmodel {model} {{\n{}}}\n",
            blocks.join("\n")
        )
    }

    fn declarations(&self, names: &Names) -> String {
        let Names {
            x,
            z,
            body,
            hidden,
            latent,
        } = names;
        let count = self.numbers.len();
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "  // Note: {}.", on_one_line(note));
        }
        let latents = (count / 2).clamp(2, 10);
        match self.recipe {
            Recipe::Joint | Recipe::Generative | Recipe::Regression => {
                let _ = writeln!(text, "  size {hidden} = 64, {latent} = {latents}\n");
            }
            Recipe::Consistent => {
                let _ = writeln!(text, "  size {hidden} = 64\n");
            }
            Recipe::Linear => {}
        }
        if count > 0 {
            let columns: Vec<&str> = self.numbers.iter().map(|column| &*column.name).collect();
            let columns = shortened(&columns);
            let _ = writeln!(text, "  // The numeric columns, in their order: {columns}");
            let missing = self.missing(&self.numbers, &mut text);
            let _ = writeln!(text, "  data   {x}: real[{count}] standardized{missing}");
        }
        for column in &self.classes {
            let classes: Vec<&str> = column.values.iter().map(String::as_str).collect();
            let _ = writeln!(text, "  // {}", shortened(&classes));
            let missing = self.missing(&[column], &mut text);
            let (name, count) = (&column.name, classes.len());
            let _ = writeln!(text, "  data   {name}: class[{count}]{missing}");
        }
        if let Some(label) = self.label {
            let classes: Vec<&str> = classes(label).collect();
            let (labelled, rows) = (self.labelled(), self.rows);
            let listed = shortened(&classes);
            let name = &label.name;
            match self.recipe == Recipe::Regression {
                true => {
                    let _ = writeln!(text, "  // Known in {labelled} of {rows} rows.");
                    let _ = writeln!(text, "  label  {name}: real standardized");
                }
                false => {
                    let _ = writeln!(text, "  // Known in {labelled} of {rows} rows: {listed}");
                    let _ = writeln!(text, "  label  {name}: class[{}]", classes.len());
                }
            }
        }
        if self.recipe.generates() {
            let _ = writeln!(text, "  latent {z}: real[{latent}]");
        }
        if self.recipe != Recipe::Linear {
            let _ = writeln!(text, "\n  net {body} = 2 * [dense({hidden}) > relu]");
        }
        text
    }

    /// The modifier of a variable whose columns miss values, and a comment on it.
    fn missing(&self, columns: &[&ColumnSummary], comment: &mut String) -> &'static str {
        let missing: usize = columns.iter().map(|column| column.missing).sum();
        if missing == 0 && columns.iter().all(|column| !column.misses_in_test) {
            return "";
        }
        let values = columns.len() * self.rows;
        let _ = writeln!(
            comment,
            "  // {missing} of {values} training values are missing."
        );
        " with missing"
    }

    /// M2 (Kingma et al. 2014), or a variational autoencoder if there is no label.
    fn graphs(&self, names: &Names) -> String {
        let Names { x, z, body, .. } = names;
        let label = self.label.map(|label| label.name.as_str());
        let is_number = self.recipe == Recipe::Regression;
        let data = self.data(names);
        if !self.recipe.generates() {
            let network = match self.recipe {
                Recipe::Linear => "linear",
                _ => body,
            };
            let (parents, label) = (data.join(", "), label.unwrap_or_default());
            return format!(
                "  inference {{\n    {parents} -> {label} ~ categorical({network})\n  }}\n"
            );
        }
        let mut text = format!("  generative {{\n    {z} ~ normal(0, 1)\n");
        let mut parents = z.clone();
        if let Some(label) = label {
            let prior = if is_number { "normal(0, 1)" } else { "uniform" };
            let _ = writeln!(text, "    {label} ~ {prior}");
            parents = format!("{label}, {z}");
        }
        for name in &data {
            let density = if name == x { "normal" } else { "categorical" };
            let _ = writeln!(text, "    {parents} -> {name} ~ {density}({body})");
        }
        let mut parents = data.join(", ");
        let _ = writeln!(text, "  }}\n\n  inference {{");
        if let Some(label) = label {
            let density = if is_number { "normal" } else { "categorical" };
            let _ = writeln!(text, "    {parents} -> {label} ~ {density}({body})");
            parents = format!("{parents}, {label}");
        }
        let _ = writeln!(text, "    {parents} -> {z} ~ normal({body})\n  }}");
        text
    }

    fn objective(&self) -> String {
        let mut lines = Vec::new();
        match self.label {
            None => lines.push("samples 1".to_string()),
            Some(label) if self.recipe == Recipe::Regression => {
                lines.push("// The label is also learned from the labelled rows directly.".into());
                lines.push(format!("regress {}", label.name));
            }
            Some(ColumnSummary { name, .. }) => self.classification(name, &mut lines),
        }
        format!("  objective {{\n    {}\n  }}\n", lines.join("\n    "))
    }

    /// The lines of the objective for a class label.
    fn classification(&self, name: &str, lines: &mut Vec<String>) {
        // The bound is a sum over the columns; the other terms keep up with it.
        let columns = self.numbers.len();
        let (classify, others) = match self.recipe {
            Recipe::Joint if columns > MANY_COLUMNS => (columns / 8, columns / 8),
            Recipe::Joint | Recipe::Generative => (10, 1),
            _ => (1, 1),
        };
        if self.recipe.generates() {
            lines.extend([
                "// The bound sums over the classes where the label is unknown.".to_string(),
                format!("sum {name}"),
                "// The label is also learned from the labelled rows directly.".to_string(),
                format!("classify {name} weight {classify}"),
            ]);
        } else {
            lines.push(format!("classify {name}"));
        }
        let smooths = matches!(self.recipe, Recipe::Joint | Recipe::Consistent);
        if smooths && columns > 0 {
            let radius = radius(columns);
            lines.push(
                "// Predictions change little between neighbours, which spreads labels to \
                 unlabelled rows."
                    .to_string(),
            );
            lines.push(format!(
                "smooth {name} by vat(radius = {radius}, weight = {others})"
            ));
        }
        if self.recipe == Recipe::Consistent || others > 1 {
            let weight = 0.3 * others as f64;
            lines.push("// Predictions are certain, and not all the same.".to_string());
            lines.push(format!("inform {name} weight {weight:.1}"));
        }
    }

    fn training(&self) -> String {
        let batch = |rows: usize| rows.min(100);
        let (labelled, unlabelled) = (self.labelled(), self.rows - self.labelled());
        let (batches, largest) = match (self.label, self.recipe) {
            (None, _) => (format!("batch {}", batch(self.rows)), self.rows),
            (Some(_), Recipe::Linear) => (
                format!("batch labelled {}, unlabelled 0", batch(labelled)),
                labelled,
            ),
            (Some(_), _) => (
                format!(
                    "batch labelled {}, unlabelled {}",
                    batch(labelled),
                    batch(unlabelled)
                ),
                labelled.max(unlabelled),
            ),
        };
        // Without it, networks memorise the labelled rows of a numeric label, or of wide tables.
        let is_wide = is_wide(self.numbers.len(), labelled);
        let prior = match self.label {
            Some(_) if is_wide || self.recipe == Recipe::Regression => {
                "prior weights normal(0, 0.1)\n    "
            }
            Some(_) if self.recipe == Recipe::Linear => "prior weights normal(0, 1)\n    ",
            _ => "",
        };
        let clip = match self.recipe.generates() {
            true => "clip norm 3000  // Against rare spikes of the loss\n    ",
            false => "",
        };
        let steps = largest.div_ceil(batch(largest));
        // Small tables need fewer steps, except the linear model, whose loss is convex.
        let most = if self.recipe == Recipe::Linear {
            STEPS
        } else {
            500
        };
        let epochs = (STEPS / steps).clamp(5, most);
        let all = epochs * steps;
        format!(
            "  train {{\n    {batches}\n    optimizer adam(rate = 3e-3)\n    schedule cosine\n    \
             {clip}{prior}epochs {epochs}  // {all} steps in all\n  }}\n"
        )
    }
}

/// The names of a draft's own variables, network and sizes.
struct Names {
    x: String,
    z: String,
    body: String,
    hidden: String,
    latent: String,
}

/// Whether a table has many columns, and more than labelled rows.
fn is_wide(columns: usize, labelled: usize) -> bool {
    columns > MANY_COLUMNS.max(labelled)
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
    if count > MOST_CLASSES {
        let message = format!("{place}: the label `{name}` has {count} different values");
        return Err(Error::data(message).help(
            "a label is a class or a number; leave the option out to learn the column as data",
        ));
    }
    Ok(())
}

/// Whether a label is a number and not a class: its type says so, or it has many different numbers, or
/// some that are not whole.
fn is_number(label: &ColumnSummary) -> bool {
    let is_number = || classes(label).count() > MOST_NUMBERS || !label.is_whole;
    match label.is_class {
        Some(is_class) => !is_class,
        None => label.is_numeric() && is_number(),
    }
}

/// The first names of a list.
fn shortened(names: &[&str]) -> String {
    const MOST: usize = 8;
    let mut text = on_one_line(&names[..names.len().min(MOST)].join(", "));
    if names.len() > MOST {
        let _ = write!(text, " and {} more", names.len() - MOST);
    }
    text
}

/// The text without control characters, for a comment.
fn on_one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
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
