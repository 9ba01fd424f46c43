//! Sampling from a run's generative graph.

use super::{
    chosen::{example, given_numbers, numbers},
    run::{Run, check_range},
    selection::Rows,
};
use crate::{
    backend::{Build, NoiseKey},
    diagnostic::suggest,
    distribution::Domain,
    driver,
    error::{Error, Result},
    id::Id,
    model::{Model, Variable},
    names::{CaseKind, InputName, OutputName},
    plan::NoiseSource,
    run::programs,
};

/// The maximum number of lines of drawn data.
const MOST_LINES: usize = 10_000;
/// The most draws of a sample: lines times columns.
const MOST_DRAWN: usize = 10_000_000;

impl Run {
    /// Draws data from the generative graph and returns the means of every data variable.
    ///
    /// # Errors
    /// If the model cannot draw data, the number of lines is out of range, or the rows of an
    /// analogy do not fit the model.
    pub fn sample(&self, options: &SampleOptions) -> Result<DrawnSamples> {
        check_range("lines", options.lines, MOST_LINES)?;
        let model = &self.model;
        if let Some(variable) = model.not_drawn() {
            return Err(Error::unsupported(format!(
                "the model cannot draw data: it cannot draw {variable}"
            ))
            .help("`Run::encode` computes the latent variables of existing rows"));
        }
        if let Some((_, class)) = model
            .generated()
            .into_iter()
            .find(|(_, variable)| variable.domain == Domain::Class)
        {
            let message = format!("cannot draw `{}`: classes are not drawn", class.name);
            return Err(Error::unsupported(message)
                .help("`Run::predict` computes classes, `Run::encode` latent variables"));
        }
        let layout = programs::parameters(model).with(&programs::generative_parameters(model));
        let is_number = |(name, _): &&(String, String)| {
            given_numbers(model).any(|(_, variable)| variable.name == *name)
        };
        let (numbers, chosen): (Vec<_>, Vec<_>) = options.chosen.iter().partition(is_number);
        let chosen = self.chosen_classes(&chosen)?;
        let class_of = |id| chosen.iter().find(|(found, _)| *found == id);
        let (fixed_classes, classes): (Vec<_>, Vec<_>) = class_variables(model)
            .into_iter()
            .partition(|(id, _)| class_of(*id).is_some());
        let lines = options.lines;
        check_range("columns", options.columns.unwrap_or(1), MOST_LINES)?;
        // Without a class, columns differ only in their draws, and an analogy has no draws.
        let analogy = options.analogy.as_ref();
        let alone = match analogy {
            Some(_) => 1,
            None => options.columns.unwrap_or(lines),
        };
        let columns = classes.first().map_or(alone, |(_, size)| *size);
        if lines.saturating_mul(columns) > MOST_DRAWN {
            let message = format!("expected at most {MOST_DRAWN} draws, found {columns} per line");
            return Err(Error::option("lines", lines, message).help("choose fewer lines"));
        }
        let mut fixed = match analogy {
            Some(rows) => self.fixed_latents(rows, lines, columns)?,
            None => Vec::new(),
        };
        for (id, variable) in given_numbers(model) {
            let values = match analogy {
                Some(rows) => {
                    let of_rows = originals(rows, variable, lines)?;
                    let rows = of_rows.chunks(variable.size());
                    rows.flat_map(|row| row.repeat(columns)).collect()
                }
                None => chosen_numbers(variable, &numbers)?.repeat(lines * columns),
            };
            fixed.push((id, values));
        }
        let mut session = self.session(layout)?;
        let given: Vec<Id<Variable>> = fixed.iter().map(|(id, _)| *id).collect();
        let graph = driver::generate(model, lines * columns, &given);
        let plan = driver::plan(&graph, NoiseSource::Generated)?;
        let loaded = session.load(&Build::new("generate", plan), &|_| None)?;
        let input = |id: Id<Variable>| {
            let name = model.variables[id.index()].name.clone();
            InputName::Observed(CaseKind::Generated, name).to_string()
        };
        // The first class variable changes fastest, with the column.
        let mut stride = 1;
        let mut drawn_classes = Vec::new();
        let count = lines * columns;
        for (id, size) in &classes {
            let values = (0..count).map(|row| row / stride % size).collect();
            drawn_classes.push((*id, values));
            stride = stride.saturating_mul(*size);
        }
        for (id, _) in &fixed_classes {
            let class = class_of(*id).map_or(0, |(_, class)| *class);
            drawn_classes.push((*id, vec![class; count]));
        }
        drawn_classes.sort_by_key(|(id, _)| *id);
        for (id, values) in &drawn_classes {
            session.fill(&loaded, &input(*id), &mut |array| {
                for (to, class) in array.iter_mut().zip(values) {
                    *to = *class as f32;
                }
            })?;
        }
        for (id, values) in &fixed {
            session.fill(&loaded, &input(*id), &mut |array| {
                array.copy_from_slice(values)
            })?;
        }
        let key = NoiseKey {
            seed: options.seed,
            step: 0,
        };
        session.run(&loaded, key)?;
        let mut drawn = Vec::new();
        for (output, variable) in model.generated() {
            let is_own = output == variable.name;
            let means = session.read(&loaded, &output)?;
            drawn.push(DrawnVariable {
                means: means
                    .expect("the program generates every data variable")
                    .to_vec(),
                originals: match analogy {
                    Some(rows) => originals(rows, variable, lines)?,
                    None => Vec::new(),
                },
                columns: match is_own {
                    true => self.columns(variable),
                    false => (0..variable.size())
                        .map(|feature| format!("{output}{feature}"))
                        .collect(),
                },
                name: output,
                variable: variable.clone(),
            });
        }
        let classes = drawn_classes.into_iter().map(|(id, values)| {
            let name = model.variables[id.index()].name.clone();
            let names = self.settings.class_names.get(&name);
            DrawnClasses {
                names: names.cloned().unwrap_or_default(),
                name,
                classes: values.into_iter().map(|class| class as i64).collect(),
            }
        });
        Ok(DrawnSamples {
            lines,
            columns,
            classes: classes.collect(),
            drawn,
        })
    }

    /// The class of each variable that is chosen, by its name or number.
    fn chosen_classes(&self, chosen: &[&(String, String)]) -> Result<Vec<(Id<Variable>, usize)>> {
        let classes = class_variables(&self.model);
        let name_of = |id: Id<Variable>| self.model.variables[id.index()].name.as_str();
        let mut found: Vec<(Id<Variable>, usize)> = Vec::new();
        for (name, value) in chosen {
            let shown = format!("{name}={value}");
            let known = classes.iter().find(|(id, _)| name_of(*id) == name);
            let Some(&(id, _)) = known else {
                let message = format!("the model has no class or given variable `{name}`");
                let given = given_numbers(&self.model).map(|(_, variable)| variable.name.as_str());
                let names: Vec<&str> = classes
                    .iter()
                    .map(|(id, _)| name_of(*id))
                    .chain(given)
                    .collect();
                let help = suggest(name, names);
                let help = help.unwrap_or_else(|| "omit the option".to_string());
                return Err(Error::option("where", shown, message).help(help));
            };
            if found.iter().any(|(other, _)| *other == id) {
                let message = format!("`{name}` has two values");
                return Err(Error::option("where", shown, message).help("choose one value"));
            }
            let class = self.chosen_class(&self.model.variables[id.index()], value)?;
            found.push((id, class));
        }
        Ok(found)
    }

    /// The latent variables without parents in `generative`, inferred from the first rows and
    /// repeated for every column.
    fn fixed_latents(
        &self,
        rows: &Rows,
        lines: usize,
        columns: usize,
    ) -> Result<Vec<(Id<Variable>, Vec<f32>)>> {
        if rows.len() < lines {
            let message = format!(
                "an analogy has a line for each row, found {} rows",
                rows.len()
            );
            return Err(Error::option("lines", lines, message).help("ask for fewer lines"));
        }
        let inferred = self.infer(&rows.clone().first(lines))?;
        let roots = self
            .model
            .generative
            .iter()
            .filter(|factor| factor.parents.is_empty());
        let mut fixed = Vec::new();
        for factor in roots {
            let variable = &self.model.variables[factor.child.index()];
            let Some(means) = inferred.get(&OutputName::Encode(variable.name.clone())) else {
                continue;
            };
            let repeated = means
                .chunks(variable.size())
                .flat_map(|row| row.repeat(columns))
                .collect();
            fixed.push((factor.child, repeated));
        }
        if fixed.is_empty() {
            let message = "every latent variable of the model has a parent in `generative`";
            return Err(Error::option("analogy", "", message).help(
                "an analogy fixes a latent variable without parents; \
                    omit the option to draw samples",
            ));
        }
        Ok(fixed)
    }
}

/// How data are drawn.
#[derive(Clone, Debug)]
pub struct SampleOptions {
    /// The number of lines in the grid, from 1 to 10,000.
    pub lines: usize,
    /// Rows whose inferred latent variables replace drawn ones, one row per line, so that only the
    /// class varies.
    pub analogy: Option<Rows>,
    /// The class of class variables, by name and value: the name of a class, or its number if classes
    /// have no names. The other class variables take every class. The value of each given variable that
    /// is a number: numbers separated by commas, one for each feature.
    pub chosen: Vec<(String, String)>,
    /// The number of columns for a model whose class variables are all chosen, or that has none; `None`
    /// takes as many as lines.
    pub columns: Option<usize>,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        SampleOptions {
            lines: 10,
            analogy: None,
            chosen: Vec::new(),
            columns: None,
            seed: 0,
        }
    }
}

/// Drawn data in a grid: a column for each class, or as many columns as lines for a model without
/// classes.
#[derive(Clone, Debug)]
pub struct DrawnSamples {
    /// The number of lines.
    pub lines: usize,
    /// The number of columns.
    pub columns: usize,
    pub(super) classes: Vec<DrawnClasses>,
    pub(super) drawn: Vec<DrawnVariable>,
}

/// The class of a variable in each line and column.
#[derive(Clone, Debug)]
pub struct DrawnClasses {
    /// The variable's name.
    pub name: String,
    /// The names of the classes; empty if they have none.
    pub names: Vec<String>,
    /// The classes, with axes line, column.
    pub classes: Vec<i64>,
}

/// The draws of a data variable.
#[derive(Clone, Debug)]
pub struct DrawnVariable {
    /// The variable's name, or `from.z.x` for the data of a model that infers `z`.
    pub name: String,
    /// The names of the columns in a table.
    pub columns: Vec<String>,
    /// The variable.
    pub variable: Variable,
    /// Means with axes line, column, feature.
    pub means: Vec<f32>,
    /// The rows of an analogy, with axes line, feature.
    pub originals: Vec<f32>,
}

impl DrawnSamples {
    /// The class variables.
    pub fn classes(&self) -> &[DrawnClasses] {
        &self.classes
    }

    /// The data variables.
    pub fn variables(&self) -> &[DrawnVariable] {
        &self.drawn
    }

    /// The means of a data variable, with axes line, column, feature.
    pub fn means(&self, variable: &str) -> Option<&[f32]> {
        let drawn = self.drawn.iter();
        drawn
            .clone()
            .find(|drawn| drawn.name == variable || drawn.variable.name == variable)
            .map(|drawn| drawn.means.as_slice())
    }
}

/// The numbers that are chosen for a given variable: one, or one for each of its features.
fn chosen_numbers(variable: &Variable, chosen: &[&(String, String)]) -> Result<Vec<f32>> {
    let name = &variable.name;
    let mut values = chosen.iter().filter(|(other, _)| other == name);
    let Some((_, text)) = values.next() else {
        let message = format!("`{name}` is given, and draws depend on its value");
        return Err(Error::option("where", "", message).help(example(variable)));
    };
    if values.next().is_some() {
        let message = format!("`{name}` has two values");
        let shown = format!("{name}={text}");
        return Err(Error::option("where", shown, message).help("choose one value"));
    }
    numbers(variable, text)
}

fn originals(rows: &Rows, variable: &Variable, lines: usize) -> Result<Vec<f32>> {
    let source = rows.source();
    let field = source
        .position(&variable.name)
        .expect("inference checked that the rows have every data variable");
    let mut floats = vec![0.0; lines * source.field(field).width];
    let first: Vec<u32> = (0..lines as u32).collect();
    source.read(field, &first, &mut floats)?;
    Ok(floats)
}

fn class_variables(model: &Model) -> Vec<(Id<Variable>, usize)> {
    let all = model.variables.iter().enumerate();
    all.filter(|(_, variable)| variable.domain == Domain::Class)
        .map(|(i, variable)| (Id::new(i), variable.size()))
        .collect()
}
