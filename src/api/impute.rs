//! Imputation: missing values of rows, filled in by their means or by draws.

use super::{
    evaluation::Encodings,
    results::ResultTable,
    run::{Program, Run, check_range},
    selection::Rows,
};
use crate::{
    distribution::{Distribution, Domain, Random},
    error::{Error, Result},
    model::{FactorKind, Role, Variable, factor_of},
    names::OutputName,
    run::{evaluate::Inferred, settings::MOST_SAMPLES},
};

/// The most numbers of all draws.
const MOST_NUMBERS: usize = 100_000_000;

impl Run {
    /// Fills in the missing values of each row: a value that is observed stays as it is, and a missing
    /// one becomes its mean as in [`Run::reconstruct`], given what is inferred of the observed ones.
    /// For a `class` variable, the values are the probability of each class: 1 for one that is observed.
    ///
    /// # Errors
    /// If no data variable of the model is declared `with missing`, and as [`Run::reconstruct`].
    pub fn impute(&self, rows: &Rows) -> Result<Encodings> {
        self.check_has_missing()?;
        let mut filled = self.reconstruct(rows)?;
        for encoding in &mut filled.variables {
            let mut variables = self.model.variables.iter();
            let variable = variables.find(|variable| variable.name == encoding.variable);
            let Some(observed) = rows.source().values(&encoding.variable)? else {
                continue;
            };
            if variable.is_some_and(|variable| variable.domain == Domain::Class) {
                let rows = encoding.values.chunks_exact_mut(encoding.width);
                for (probabilities, class) in rows.zip(observed) {
                    keep_class(probabilities, class);
                }
                continue;
            }
            for (value, observed) in encoding.values.iter_mut().zip(observed) {
                if !observed.is_nan() {
                    *value = observed;
                }
            }
        }
        Ok(filled)
    }

    /// Fills in the missing values of each row several times, by draws from p(missing | observed): latent
    /// variables and classes are drawn from q given the observed values, and the missing values from p
    /// given these. The values of one draw of a row are drawn jointly. Draws of different rows are
    /// independent, also if the rows are equal, so they depend on the place of a row among the rows.
    ///
    /// # Errors
    /// If there are too many draws, and as [`Run::impute`].
    pub fn impute_draws(&self, rows: &Rows, draws: usize) -> Result<ImputedDraws> {
        self.check_has_missing()?;
        self.check_generates("fill in values")?;
        check_range("draws", draws, MOST_SAMPLES)?;
        let data = self.model.with_role(Role::Data);
        let data: Vec<_> = data
            .map(|id| (id, &self.model.variables[id.index()]))
            .collect();
        let width: usize = data.iter().map(|(_, variable)| variable.size()).sum();
        let numbers = rows.len().saturating_mul(draws).saturating_mul(width);
        if numbers > MOST_NUMBERS {
            let message = format!("expected at most {MOST_NUMBERS} numbers, found {numbers}");
            return Err(Error::option("draws", draws, message).help("choose fewer draws or rows"));
        }
        let mut heads = self.run_program(Program::Predictive(draws), rows)?;
        let mut variables = Vec::new();
        for (id, variable) in data {
            let factor = factor_of(&self.model.generative, id);
            let Some(FactorKind::Distribution { distribution, .. }) =
                factor.map(|factor| &factor.kind)
            else {
                continue;
            };
            let observed = rows.source().values(&variable.name)?;
            let observed = observed.expect("the program read every data variable");
            let drawing = Drawing {
                variable,
                distribution: *distribution,
                draws,
                seed: self.seed,
            };
            let class_names = self.settings.class_names.get(&variable.name);
            let (columns, width) = match variable.domain {
                Domain::Class => (vec![variable.name.clone()], 1),
                _ => (self.columns(variable), variable.size()),
            };
            variables.push(ImputedVariable {
                variable: variable.name.clone(),
                width,
                columns,
                is_class: variable.domain == Domain::Class,
                class_names: class_names.cloned().unwrap_or_default(),
                values: drawing.fill(&mut heads, &observed, rows)?,
            });
        }
        Ok(ImputedDraws { draws, variables })
    }

    fn check_has_missing(&self) -> Result<()> {
        let is_data = |variable: &&Variable| variable.role == Role::Data;
        let mut data = self.model.variables.iter().filter(is_data);
        if data.any(|variable| variable.missing) {
            return Ok(());
        }
        let message = "no data variable of the model can have missing values";
        Err(Error::unsupported(message)
            .help("write `with missing` behind the type of the variable, and train the model"))
    }
}

/// Replaces probabilities by those of the class that is observed, if one is.
fn keep_class(probabilities: &mut [f32], class: f32) {
    if class >= 0.0 {
        probabilities.fill(0.0);
        probabilities[class as usize] = 1.0;
    }
}

/// Rows whose missing values are filled in several times.
#[derive(Clone, Debug, PartialEq)]
pub struct ImputedDraws {
    /// The number of draws of each row.
    pub draws: usize,
    /// The data variables, in their order in the model.
    pub variables: Vec<ImputedVariable>,
}

/// The values of a data variable in every draw.
#[derive(Clone, Debug, PartialEq)]
pub struct ImputedVariable {
    /// The variable's name.
    pub variable: String,
    /// Numbers per row and draw: the variable's features, or 1 for a class.
    pub width: usize,
    /// The names of the columns in a table.
    pub columns: Vec<String>,
    /// The values with axes row, draw, feature; classes are numbers from 0.
    pub values: Vec<f32>,
    is_class: bool,
    class_names: Vec<String>,
}

impl ImputedDraws {
    /// The table of the draws: in CSV a line for each draw of each row, with the number of the draw in the
    /// column `draw`; in npz arrays with axes row, draw, feature.
    pub fn table(&self, rows: &Rows) -> ResultTable {
        let mut table = ResultTable::of_draws(rows, self.draws);
        for drawn in &self.variables {
            if drawn.is_class {
                let classes = drawn.values.iter().map(|&class| class as i64);
                table.add_classes(
                    &drawn.variable,
                    classes.collect(),
                    drawn.class_names.clone(),
                );
            } else {
                let values = drawn.values.clone();
                table.add_numbers(&drawn.variable, drawn.columns.clone(), values);
            }
        }
        table
    }
}

/// How the missing values of a variable are drawn.
struct Drawing<'r> {
    variable: &'r Variable,
    distribution: &'static dyn Distribution,
    draws: usize,
    seed: u64,
}

impl Drawing<'_> {
    /// The values with axes row, draw, feature. Takes the variable's heads, with axes row, draw, feature,
    /// from `heads`.
    fn fill(&self, heads: &mut Inferred, observed: &[f32], rows: &Rows) -> Result<Vec<f32>> {
        let Drawing {
            variable, draws, ..
        } = *self;
        let mut take = |head: &str| {
            heads.remove(&OutputName::Head {
                variable: variable.name.clone(),
                head: head.to_string(),
            })
        };
        let is_class = variable.domain == Domain::Class;
        let names = match is_class {
            true => vec!["probabilities"],
            false => self.distribution.head_names(),
        };
        let parameters = names.into_iter().map(&mut take);
        let parameters: Vec<Vec<f32>> = parameters
            .map(|head| head.expect("the program has every head"))
            .collect();
        let units = [take("data.mean"), take("data.deviation")];
        let width = if is_class { 1 } else { variable.size() };
        let stream = format!("{}.missing", variable.name);
        let mut values = Vec::with_capacity(rows.len() * draws * width);
        for row in 0..rows.len() {
            let observed = &observed[row * width..(row + 1) * width];
            let mut random = Random::new(self.seed, row as u64, &stream);
            for draw in 0..draws {
                for (feature, &value) in observed.iter().enumerate() {
                    let is_missing = if is_class {
                        value < 0.0
                    } else {
                        value.is_nan()
                    };
                    if !is_missing {
                        values.push(value);
                        continue;
                    }
                    let at = (row * draws + draw) * width + feature;
                    let drawn = match is_class {
                        true => Some(self.class(&parameters[0], at, &mut random)),
                        false => self.number(&parameters, at, &units, &mut random),
                    };
                    let Some(drawn) = drawn else {
                        return Err(self.failed(rows.numbers()[row]));
                    };
                    values.push(drawn);
                }
            }
        }
        Ok(values)
    }

    fn class(&self, probabilities: &[f32], at: usize, random: &mut Random) -> f32 {
        let classes = self.variable.size();
        let probabilities = &probabilities[at * classes..(at + 1) * classes];
        let probabilities: Vec<f64> = probabilities.iter().map(|&p| f64::from(p)).collect();
        random.class(&probabilities) as f32
    }

    /// A number in the units of the data, within the variable's domain; `None` if it is not finite.
    fn number(
        &self,
        parameters: &[Vec<f32>],
        at: usize,
        units: &[Option<Vec<f32>>; 2],
        random: &mut Random,
    ) -> Option<f32> {
        let heads: Vec<f64> = parameters.iter().map(|head| f64::from(head[at])).collect();
        let drawn = self.distribution.draw(&heads, random)?;
        let drawn = match units {
            [Some(mean), Some(deviation)] => f64::from(mean[at]) + f64::from(deviation[at]) * drawn,
            _ => drawn,
        };
        let most = f64::from(f32::MAX);
        let single = drawn.clamp(-most, most) as f32;
        let within = match self.variable.domain {
            Domain::Positive => single.max(f32::MIN_POSITIVE),
            // The nearest number below 1.
            Domain::Unit => single.clamp(f32::MIN_POSITIVE, 1.0 - f32::EPSILON / 2.0),
            _ => single,
        };
        within.is_finite().then_some(within)
    }

    fn failed(&self, row: usize) -> Error {
        let name = &self.variable.name;
        let message = format!(
            "row {row}: cannot draw `{name}` from {}",
            self.distribution.name()
        );
        let help = "the row's values may be far from the training data, or training diverged";
        Error::data(message).help(help)
    }
}
