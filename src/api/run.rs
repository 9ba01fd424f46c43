//! A trained run: evaluation, prediction, encoding and sampling.

use super::{
    evaluation::{
        Encoding, Encodings, Evaluation, LabelScores, Latents, Means, Prediction, Predictions,
    },
    results::probability_columns,
    selection::{DataPart, Rows},
};
use crate::{
    backend::{Build, Device, NoiseKey, Precision},
    bound::Case,
    distribution::Domain,
    driver,
    error::{Error, Result},
    id::Id,
    lower::Evaluate,
    model::{Model, Variable},
    names::{CaseKind, InputName, OutputName},
    plan::NoiseSource,
    run::{
        data::{Bits, ClassNames, Dataset, RowView, label_classes},
        evaluate::{Evaluator, Inferred, Scored, active_units, heads_at_limit},
        folder::{CheckpointChoice, Folder},
        programs,
        session::{Layout, Session},
        settings::{IN_MEMORY, MOST_SAMPLES, Settings},
    },
};
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// An opened run: a trained model with its settings.
///
/// The first operation reads the parameters of the best epoch if the run chooses one, else of the last
/// checkpoint; or their averages if the model has the line `average parameters`. All operations draw samples
/// from the same seed, so a repeated operation gives the same numbers.
pub struct Run {
    folder: Folder,
    settings: Settings,
    model: Model,
    device: Device,
    checkpoint: CheckpointChoice,
    samples: usize,
    seed: u64,
    inference: Mutex<Option<Inference>>,
}

/// The parameters on a device, and the loaded programs.
struct Inference {
    session: Session,
    evaluators: Vec<(Key, Evaluator)>,
}

/// The properties that identify an evaluator.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    case: CaseKind,
    rows: usize,
    samples: usize,
    likelihood: bool,
}

/// The maximum number of lines of drawn data.
const MOST_LINES: usize = 10_000;
/// The most draws of a sample: lines times columns.
const MOST_DRAWN: usize = 10_000_000;
/// The maximum number of loaded programs; beyond it, the device is opened anew.
const MAX_EVALUATORS: usize = 16;

impl Run {
    /// Opens the run in a folder, on a GPU if one is found, else on the CPU.
    ///
    /// # Errors
    /// If the folder is not a run.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        Self::open_on(folder, &Device::detect())
    }

    /// Opens the run in a folder on a device.
    ///
    /// # Errors
    /// If the folder is not a run.
    pub fn open_on(folder: impl AsRef<Path>, device: &Device) -> Result<Self> {
        let (folder, settings) = Folder::open(folder.as_ref())?;
        Ok(Run {
            model: folder.model(&settings)?,
            folder,
            settings,
            device: device.clone(),
            checkpoint: CheckpointChoice::default(),
            samples: 10,
            seed: 0,
            inference: Mutex::new(None),
        })
    }

    /// The precision in which the run in a folder is trained; `None` if an earlier version of dgc
    /// began the run and did not record it.
    ///
    /// # Errors
    /// If the folder is not a run.
    pub fn precision_of(folder: impl AsRef<Path>) -> Result<Option<Precision>> {
        Ok(Folder::open(folder.as_ref())?.1.precision)
    }

    /// Sets the number of samples per row, from 1 to 100,000. The default is 10. With another
    /// number, operations on rows are errors.
    pub fn with_samples(self, samples: usize) -> Self {
        Run { samples, ..self }
    }

    /// Chooses the parameters: those of the best epoch, which is the default, or the last ones. A run
    /// that does not choose its best epoch has only the last ones.
    pub fn with_checkpoint(self, checkpoint: CheckpointChoice) -> Self {
        Run {
            checkpoint,
            inference: Mutex::new(None),
            ..self
        }
    }

    /// Sets the seed of the samples. The default is 0.
    pub fn with_seed(self, seed: u64) -> Self {
        Run { seed, ..self }
    }

    /// The trained model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder.path
    }

    /// The name or path of the data set that the run was trained on; `None` if it was in memory.
    pub fn data(&self) -> Option<&str> {
        match self.settings.data.as_deref() {
            None => Some("mnist"),
            Some(IN_MEMORY) => None,
            name => name,
        }
    }

    /// The names of the classes of each variable whose classes have names in the data.
    pub fn class_names(&self) -> &ClassNames {
        &self.settings.class_names
    }

    /// Whether two runs were trained on the same data set.
    pub(super) fn has_data_of(&self, other: &Run) -> bool {
        let (ours, others) = (&self.settings, &other.settings);
        ours.fingerprint.is_some() && ours.fingerprint == others.fingerprint
    }

    /// Whether two runs on the same data set hold out the same training rows.
    pub(super) fn splits_as(&self, other: &Run) -> bool {
        let rows = |run: &Run| match run.settings.validation {
            0 => None,
            rows => Some((rows, run.settings.seed)),
        };
        rows(self) == rows(other)
    }

    /// Rows of the data set that the run was trained on: by default the test rows, else the
    /// held-out rows, else the training rows.
    ///
    /// # Errors
    /// If the data set changed or cannot be read, or has no such rows.
    pub fn rows(&self, part: Option<DataPart>) -> Result<Rows> {
        let dataset = self.settings.dataset(&self.model)?;
        self.settings.clone().check_fingerprint(&dataset)?;
        Rows::select(&dataset, &self.settings, true, part)
    }

    /// Reads another data set, as [`Dataset::open`]. Columns and classes by name are those of the data that
    /// the run was trained on.
    ///
    /// # Errors
    /// As [`Dataset::open`], or if a column is missing or a class has another name.
    pub fn open_data(&self, source: impl AsRef<Path>) -> Result<Dataset> {
        Dataset::open_with(source, &self.model, Some(self.settings.known_names()))
    }

    /// Rows of another data set.
    ///
    /// # Errors
    /// If the data set has no such rows, or other names of classes than the run.
    pub fn rows_of(&self, dataset: &Dataset, part: Option<DataPart>) -> Result<Rows> {
        let known = &self.settings.class_names;
        let other = dataset
            .class_names()
            .iter()
            .find(|(variable, names)| known.get(*variable) != Some(names));
        if let Some((variable, _)) = other {
            let message = format!("the data have other classes of `{variable}` than the run");
            return Err(Error::data(message).help("read the data with `Run::open_data`"));
        }
        Rows::select(dataset, &self.settings, false, part)
    }

    /// Computes the bound and its terms, the log-likelihood, and the label errors.
    ///
    /// The bound and the log-likelihood of binary data are those of bits: greys are binarised once,
    /// in the same way in every evaluation. Label errors read the greys.
    ///
    /// # Errors
    /// If the rows do not fit the model, or a number is not finite.
    pub fn evaluate(&self, rows: &Rows) -> Result<Evaluation> {
        let score = |case: &Case, rows: &Rows, likelihood: bool| {
            self.with_evaluator(case, rows, likelihood, |evaluator, session| {
                evaluator.score(session, &self.model, rows.source(), self.seed)
            })
        };
        let objective = driver::derive(&self.model);
        let case = objective.cases.last().expect("a model has a case");
        let scored = score(case, rows, true)?;
        check_finite(&scored)?;
        let means = Means::new(&self.model, &scored);
        let mut cases = objective.cases.iter();
        let labelled = match cases.find(|case| case.kind == CaseKind::Labelled) {
            Some(case) => self.labelled(rows)?.map(|rows| (case, rows)),
            None => None,
        };
        let labelled = match labelled {
            Some((case, rows)) => {
                let scored = score(case, &rows, false)?;
                check_finite(&scored)?;
                // A classifier has no bound, so it has no means either.
                let means = Means::new(&self.model, &scored);
                Some((rows.len(), means)).filter(|(_, means)| !means.is_empty())
            }
            None => None,
        };
        let inferred = scored.inferred;
        let latents = active_units(&inferred, rows.len()).map(|units| Latents {
            name: units.latent.to_string(),
            active: units.active,
            units: units.all,
        });
        Ok(Evaluation {
            part: rows.part(),
            rows: rows.len(),
            samples: self.samples,
            labelled,
            latents: latents.collect(),
            at_limit: heads_at_limit(&inferred).collect(),
            labels: self.label_scores(rows, &inferred)?,
            means,
        })
    }

    fn label_scores(&self, rows: &Rows, inferred: &Inferred) -> Result<Vec<LabelScores>> {
        let predictions = self.predictions(rows, inferred)?;
        Ok(predictions.iter().filter_map(LabelScores::of).collect())
    }

    /// Computes the class probabilities of each label.
    ///
    /// # Errors
    /// If the model has no label, or the rows do not fit the model.
    pub fn predict(&self, rows: &Rows) -> Result<Predictions> {
        if self.model.labels().next().is_none() {
            return Err(Error::unsupported("the model has no label to predict")
                .help("`Run::encode` computes its latent variables"));
        }
        let inferred = self.infer(rows)?;
        check_inferred(&inferred, rows.len())?;
        let labels = self.predictions(rows, &inferred)?;
        Ok(Predictions { labels })
    }

    fn predictions(&self, rows: &Rows, inferred: &Inferred) -> Result<Vec<Prediction>> {
        let names = &self.settings.class_names;
        let prediction = |label: &Variable| {
            Ok(Prediction {
                label: label.name.clone(),
                classes: label.size(),
                probabilities: inferred[&OutputName::Predict(label.name.clone())].clone(),
                truth: label_classes(label, rows.source(), "rows")?.unwrap_or_default(),
                names: names.get(&label.name).cloned().unwrap_or_default(),
            })
        };
        self.model.labels().map(prediction).collect()
    }

    /// Computes the posterior mean of every latent variable and the class probabilities of every
    /// label.
    ///
    /// # Errors
    /// If the rows do not fit the model.
    pub fn encode(&self, rows: &Rows) -> Result<Encodings> {
        let inferred = self.infer(rows)?;
        check_inferred(&inferred, rows.len())?;
        let encodings = inferred.into_iter().filter_map(|(name, values)| {
            let width = values.len() / rows.len();
            let (variable, columns) = match name {
                OutputName::Encode(latent) => {
                    let numbered = (0..width).map(|feature| format!("{latent}{feature}"));
                    let columns = numbered.collect();
                    (latent, columns)
                }
                OutputName::Predict(label) => {
                    let names = self.settings.class_names.get(&label);
                    let names = names.map_or(&[][..], |names| names);
                    let columns = probability_columns(&label, width, names);
                    (label, columns)
                }
                _ => return None,
            };
            Some(Encoding {
                variable,
                width,
                columns,
                values,
            })
        });
        Ok(Encodings {
            variables: encodings.collect(),
        })
    }

    /// Estimates the log-likelihood of each row, in nats: the logarithm of the mean importance
    /// weight over the samples. That of binary data is of bits, as in [`Run::evaluate`].
    ///
    /// # Errors
    /// If the model has no bound, or the rows do not fit the model.
    pub fn log_likelihood(&self, rows: &Rows) -> Result<Vec<f32>> {
        let objective = driver::derive(&self.model);
        let case = objective.cases.last().expect("a model has a case");
        let mut inferred = self.with_evaluator(case, rows, true, |evaluator, session| {
            let bits = Bits::of(&self.model, rows.source())?;
            let source = bits.as_ref().map_or(rows.source(), |bits| bits);
            evaluator.run(session, source, self.seed)
        })?;
        let likelihood = inferred.remove(&OutputName::Likelihood).ok_or_else(|| {
            Error::unsupported("a classifier has no likelihood of the data")
                .help("`Run::predict` computes its class probabilities")
        })?;
        match likelihood.iter().position(|value| value.is_nan()) {
            None => Ok(likelihood),
            Some(row) => Err(not_finite(row, &OutputName::Likelihood, f32::NAN)),
        }
    }

    /// Infers every row with its labels hidden.
    fn infer(&self, rows: &Rows) -> Result<Inferred> {
        let objective = driver::derive(&self.model);
        let case = objective.cases.last().expect("a model has a case");
        self.with_evaluator(case, rows, false, |evaluator, session| {
            evaluator.run(session, rows.source(), self.seed)
        })
    }

    /// The fully labelled rows; `None` if the model or the rows have no labels.
    fn labelled(&self, rows: &Rows) -> Result<Option<Rows>> {
        let mut labels = Vec::new();
        for label in self.model.labels() {
            labels.extend(label_classes(label, rows.source(), "rows")?);
        }
        let labelled: Vec<u32> = (0..rows.len() as u32)
            .filter(|&row| labels.iter().all(|classes| classes[row as usize] >= 0))
            .collect();
        if labelled.is_empty() || labels.is_empty() {
            return Ok(None);
        }
        let view = RowView::new(Arc::clone(rows.shared()), labelled);
        Ok(Some(Rows::new(Arc::new(view) as Arc<_>)))
    }

    /// Calls `use_on` with the program that infers rows of a case.
    fn with_evaluator<T>(
        &self,
        case: &Case,
        rows: &Rows,
        likelihood: bool,
        use_on: impl FnOnce(&Evaluator, &mut Session) -> Result<T>,
    ) -> Result<T> {
        if rows.is_empty() {
            return Err(Error::data("expected at least one row, found none")
                .help("give rows to use the run on"));
        }
        check_samples(self.samples)?;
        let key = Key {
            case: case.kind,
            // The rows per batch shrink with the samples, so that working memory stays constant. They do
            // not depend on the number of rows: sums in kernels for other batches may have another
            // order, and a row's results must not depend on how many rows stand beside it.
            rows: (1000 / self.samples).clamp(1, 200),
            samples: self.samples,
            likelihood,
        };
        let mut guard = self
            .inference
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if guard
            .as_ref()
            .is_some_and(|open| open.evaluators.len() >= MAX_EVALUATORS)
        {
            *guard = None;
        }
        let open = match &mut *guard {
            Some(open) => open,
            None => guard.insert(Inference {
                session: self.session(programs::parameters(&self.model))?,
                evaluators: Vec::new(),
            }),
        };
        let at = match open
            .evaluators
            .iter()
            .position(|(candidate, _)| *candidate == key)
        {
            Some(at) => at,
            None => {
                let evaluator = self.evaluator(&mut open.session, case, key)?;
                open.evaluators.push((key, evaluator));
                open.evaluators.len() - 1
            }
        };
        use_on(&open.evaluators[at].1, &mut open.session)
    }

    /// A session with the chosen parameters, or their averages.
    fn session(&self, layout: Layout) -> Result<Session> {
        let Run {
            settings, model, ..
        } = self;
        self.folder
            .session(settings, model, self.checkpoint, layout, &self.device)
    }

    fn evaluator(&self, session: &mut Session, case: &Case, key: Key) -> Result<Evaluator> {
        let what = Evaluate {
            rows: key.rows,
            samples: key.samples,
            likelihood: key.likelihood,
        };
        let build = programs::evaluate(&self.model, case, what)?;
        Evaluator::new(session, &self.model, case, &build)
    }

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
        let classes = class_variables(model);
        let lines = options.lines;
        // Without a class, columns differ only in their draws, and an analogy has no draws.
        let analogy = options.analogy.as_ref();
        let alone = if analogy.is_some() { 1 } else { lines };
        let columns = classes.first().map_or(alone, |(_, size)| *size);
        if lines.saturating_mul(columns) > MOST_DRAWN {
            let message = format!("expected at most {MOST_DRAWN} draws, found {columns} per line");
            return Err(Error::option("lines", lines, message).help("choose fewer lines"));
        }
        let fixed = match analogy {
            Some(rows) => self.fixed_latents(rows, lines, columns)?,
            None => Vec::new(),
        };
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
        for (id, size) in &classes {
            session.fill(&loaded, &input(*id), &mut |array| {
                array
                    .iter_mut()
                    .enumerate()
                    .for_each(|(row, class)| *class = (row / stride % size) as f32);
            })?;
            stride = stride.saturating_mul(*size);
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
            let means = session.read(&loaded, &output)?;
            drawn.push(DrawnVariable {
                means: means
                    .expect("the program generates every data variable")
                    .to_vec(),
                originals: match analogy {
                    Some(rows) => originals(rows, variable, lines)?,
                    None => Vec::new(),
                },
                variable: variable.clone(),
            });
        }
        Ok(DrawnSamples {
            lines,
            columns,
            drawn,
        })
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
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for SampleOptions {
    fn default() -> Self {
        SampleOptions {
            lines: 10,
            analogy: None,
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
    pub(super) drawn: Vec<DrawnVariable>,
}

#[derive(Clone, Debug)]
pub(super) struct DrawnVariable {
    pub variable: Variable,
    /// Means with axes line, column, feature.
    pub means: Vec<f32>,
    /// The rows of an analogy, with axes line, feature.
    pub originals: Vec<f32>,
}

impl DrawnSamples {
    /// The means of a data variable, with axes line, column, feature.
    pub fn means(&self, variable: &str) -> Option<&[f32]> {
        let drawn = self.drawn.iter();
        drawn
            .clone()
            .find(|drawn| drawn.variable.name == variable)
            .map(|drawn| drawn.means.as_slice())
    }
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

/// Checks a number of samples per row.
///
/// # Errors
/// If it is out of range.
pub(super) fn check_samples(samples: usize) -> Result<()> {
    check_range("samples", samples, MOST_SAMPLES)
}

/// Checks that an option is from 1 to `most`.
fn check_range(option: &str, value: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    let message = format!("expected a whole number from 1 to {most}");
    Err(Error::option(option, value, message).help("choose a number in this range"))
}

/// Checks that all class probabilities and posterior means are finite.
fn check_inferred(inferred: &Inferred, rows: usize) -> Result<()> {
    for (name, values) in inferred {
        let (OutputName::Encode(variable) | OutputName::Predict(variable)) = name else {
            continue;
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let row = at / (values.len() / rows);
            let message = format!(
                "row {row}: expected finite numbers of `{variable}`, found {}",
                values[at]
            );
            let help = "the row's values may be far from the training data, or training diverged";
            return Err(Error::data(message).help(help));
        }
    }
    Ok(())
}

/// Checks that all values with one number per row are finite.
fn check_finite(scored: &Scored) -> Result<()> {
    let outputs = scored.inferred.iter().chain(&scored.on_greys);
    for (name, values) in outputs.filter(|(name, _)| name.is_number_per_row()) {
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(not_finite(row, name, values[row]));
        }
    }
    Ok(())
}

/// The error of a number of a row that is not finite.
fn not_finite(row: usize, name: &OutputName, value: f32) -> Error {
    let message = format!("row {row}: expected a finite {name}, found {value}");
    let help = "the row's values may be far from the training data, or training diverged";
    Error::data(message).help(help)
}
