//! A trained run: evaluation, prediction, encoding and log-likelihoods.

use super::{
    evaluation::{
        Encoding, Encodings, Evaluation, LabelScores, Latents, Means, Prediction, Predictions,
    },
    numeric::{NumericPrediction, NumericScores},
    results::probability_columns,
    selection::{DataPart, Rows},
};
use crate::{
    backend::{Device, Precision},
    bound::Case,
    driver,
    error::{Error, Result},
    id::Id,
    lower::{Evaluate, Given, Outputs},
    model::{Model, Role, Variable},
    names::{CaseKind, OutputName},
    run::{
        calibration::{self, Calibration},
        data::{
            Bits, ClassNames, DataArray, DataFiles, Dataset, Frame, KnownLabels, RowView,
            label_classes,
        },
        evaluate::{Evaluator, Inferred, Scored, active_units, heads_at_limit},
        folder::{CheckpointChoice, Folder},
        programs,
        session::{Layout, Session},
        settings::{IN_MEMORY, MOST_SAMPLES, Settings},
    },
    tensor::Graph,
};
use std::{
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// An opened run: a trained model with its settings.
///
/// The first operation reads the parameters of the best epoch if the run chooses one, else of the last
/// checkpoint; or their averages if the model has the line `average parameters`. All operations draw samples
/// from the same seed, so a repeated operation gives the same numbers.
pub struct Run {
    pub(super) folder: Folder,
    pub(super) settings: Settings,
    pub(super) model: Model,
    device: Device,
    pub(super) checkpoint: CheckpointChoice,
    pub(super) samples: usize,
    pub(super) seed: u64,
    is_calibrated: bool,
    calibration: OnceLock<Option<Calibration>>,
    inference: Mutex<Option<Inference>>,
}

/// The parameters on a device, and the loaded programs.
struct Inference {
    session: Session,
    evaluators: Vec<(Key, Evaluator)>,
}

/// The properties that identify an evaluator.
#[derive(Clone, PartialEq)]
struct Key {
    case: CaseKind,
    rows: usize,
    samples: usize,
    program: Program,
}

/// What a program computes of each row.
#[derive(Clone, PartialEq)]
pub(super) enum Program {
    /// What is inferred, and how good the model is.
    Evaluate(Outputs),
    /// The means of the data variables, for these values of given variables in p.
    Reconstruct(Vec<Vec<Given>>),
    /// The heads of the data variables, for so many draws of what is inferred.
    Predictive(usize),
}

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
            is_calibrated: true,
            calibration: OnceLock::new(),
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

    /// Leaves class probabilities as the model gives them, without the run's calibration.
    pub fn uncalibrated(self) -> Self {
        Run {
            is_calibrated: false,
            ..self
        }
    }

    /// The calibration of class probabilities that [`Run::predict`], [`Run::encode`] and
    /// [`Run::evaluate`] use; `None` if the run has none, or for [`Run::uncalibrated`].
    ///
    /// # Errors
    /// If the calibration is damaged, or belongs to an earlier checkpoint.
    pub fn calibration(&self) -> Result<Option<&Calibration>> {
        if !self.is_calibrated {
            return Ok(None);
        }
        if self.calibration.get().is_none() {
            let found = self
                .folder
                .calibration(&self.settings, &self.model, self.checkpoint)?;
            // Another thread read the same file.
            let _ = self.calibration.set(found);
        }
        Ok(self.calibration.get().and_then(Option::as_ref))
    }

    /// Sets the calibration that later operations use.
    pub(super) fn set_calibration(&mut self, calibration: Calibration) {
        self.is_calibrated = true;
        self.calibration = OnceLock::from(Some(calibration));
    }

    /// The device that the run is used on.
    pub(super) fn device(&self) -> &Device {
        &self.device
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

    /// The files of the data set that the run was trained on; none if it was in memory.
    pub fn data_files(&self) -> Option<DataFiles> {
        self.data().map(|_| self.settings.files())
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

    /// A data set from arrays in memory, as [`Dataset::from_arrays`]. Classes by name are those of the
    /// data that the run was trained on.
    ///
    /// # Errors
    /// As [`Dataset::from_arrays`], or if a class has another name.
    pub fn read_arrays(&self, arrays: impl IntoIterator<Item = DataArray>) -> Result<Dataset> {
        let known = Some(self.settings.known_names());
        Dataset::from_arrays_with(&self.model, arrays.into_iter().collect(), known)
    }

    /// A data set from a table in memory, as [`Dataset::from_frame`]. Columns and classes by name are
    /// those of the data that the run was trained on.
    ///
    /// # Errors
    /// As [`Dataset::from_frame`], or if a column is missing or a class has another name.
    pub fn read_frame(&self, frame: &Frame) -> Result<Dataset> {
        Dataset::from_frame_with(&self.model, frame, Some(self.settings.known_names()))
    }

    /// Rows of another data set. All rows of data in memory are no part, unless `part` names one or some
    /// are test or validation rows.
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
        let has_parts = dataset.test.is_some() || dataset.validation.is_some();
        if part.is_none() && !has_parts && dataset.name().is_none() {
            return Ok(Rows::new(Arc::clone(&dataset.train)));
        }
        let rows = Rows::select(dataset, &self.settings, false, part)?;
        match dataset.name().is_some() && dataset.name() == self.data() {
            true => Ok(rows.of_training_data()),
            false => Ok(rows),
        }
    }

    /// Computes the bound and its terms, the log-likelihood, and the label errors.
    ///
    /// The bound and the log-likelihood of binary data are those of bits: greys are binarised once,
    /// in the same way in every evaluation. Label errors read the greys.
    ///
    /// # Errors
    /// If the rows do not fit the model, or a number is not finite.
    pub fn evaluate(&self, rows: &Rows) -> Result<Evaluation> {
        let score = |case: &Case, rows: &Rows, outputs: Outputs| {
            let program = Program::Evaluate(outputs);
            self.with_evaluator(case, rows, program, |evaluator, session| {
                evaluator.score(session, &self.model, rows.source(), self.seed)
            })
        };
        let objective = driver::derive(&self.model);
        let case = objective.cases.last().expect("a model has a case");
        let mut scored = score(case, rows, Outputs::Likelihood)?;
        check_finite(&scored, rows)?;
        self.calibrate_all(&mut scored.inferred)?;
        let means = Means::new(&self.model, &scored);
        let mut cases = objective.cases.iter();
        let labelled = match cases.find(|case| case.kind == CaseKind::Labelled) {
            Some(case) => self.labelled(rows)?.map(|rows| (case, rows)),
            None => None,
        };
        let labelled = match labelled {
            Some((case, rows)) => {
                let scored = score(case, &rows, Outputs::Bound)?;
                check_finite(&scored, &rows)?;
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
            numbers: self
                .numeric_predictions(rows, &inferred)?
                .iter()
                .filter_map(NumericScores::of)
                .collect(),
            means,
        })
    }

    fn label_scores(&self, rows: &Rows, inferred: &Inferred) -> Result<Vec<LabelScores>> {
        let predictions = self.predictions(rows, inferred)?;
        let calibration = self.calibration()?;
        let scores = predictions.iter().filter_map(|prediction| {
            let temperature = calibration.map(|found| found.temperature(&prediction.label));
            Some(LabelScores {
                temperature,
                ..LabelScores::of(prediction)?
            })
        });
        Ok(scores.collect())
    }

    /// Computes the class probabilities of each class label, and the mean and standard deviation of each
    /// numeric label.
    ///
    /// # Errors
    /// If the model has no label, or the rows do not fit the model.
    pub fn predict(&self, rows: &Rows) -> Result<Predictions> {
        if self.model.labels().next().is_none() {
            return Err(Error::unsupported("the model has no label to predict")
                .help("`Run::encode` computes its latent variables"));
        }
        let program = Program::Evaluate(Outputs::Predictions);
        let mut inferred = self.run_program(program, rows)?;
        check_inferred(&inferred, rows)?;
        self.calibrate_all(&mut inferred)?;
        Ok(Predictions {
            labels: self.predictions(rows, &inferred)?,
            numbers: self.numeric_predictions(rows, &inferred)?,
        })
    }

    /// Applies the run's calibration to the class probabilities of each label.
    fn calibrate_all(&self, inferred: &mut Inferred) -> Result<()> {
        let Some(found) = self.calibration()? else {
            return Ok(());
        };
        for label in self.class_labels() {
            let name = OutputName::Predict(label.name.clone());
            if let Some(probabilities) = inferred.get_mut(&name) {
                let temperature = found.temperature(&label.name);
                calibration::apply(temperature, probabilities, label.size());
            }
        }
        Ok(())
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
        self.class_labels().map(prediction).collect()
    }

    fn class_labels(&self) -> impl Iterator<Item = &Variable> {
        self.model.labels().filter(|label| label.is_class())
    }

    fn numeric_predictions(
        &self,
        rows: &Rows,
        inferred: &Inferred,
    ) -> Result<Vec<NumericPrediction>> {
        let prediction = |label: &Variable| {
            let name = || label.name.clone();
            Ok(NumericPrediction {
                label: name(),
                width: label.size(),
                means: inferred[&OutputName::Predict(name())].clone(),
                deviations: inferred[&OutputName::Deviation(name())].clone(),
                truth: rows.source().values(&label.name)?.unwrap_or_default(),
            })
        };
        let numeric = self.model.labels().filter(|label| !label.is_class());
        numeric.map(prediction).collect()
    }

    /// Computes the posterior mean of every latent variable and the class probabilities of every
    /// label.
    ///
    /// # Errors
    /// If the rows do not fit the model.
    pub fn encode(&self, rows: &Rows) -> Result<Encodings> {
        let mut inferred = self.infer(rows)?;
        check_inferred(&inferred, rows)?;
        self.calibrate_all(&mut inferred)?;
        let encodings = inferred.into_iter().filter_map(|(name, values)| {
            let width = values.len() / rows.len();
            let (variable, columns) = match name {
                OutputName::Encode(latent) => {
                    let numbered = (0..width).map(|feature| format!("{latent}{feature}"));
                    let columns = numbered.collect();
                    (latent, columns)
                }
                OutputName::Predict(label)
                    if self.class_labels().any(|known| known.name == label) =>
                {
                    let names = self.settings.class_names.get(&label);
                    let names = names.map_or(&[][..], |names| names);
                    let columns = probability_columns(&label, width, names);
                    (label, columns)
                }
                OutputName::Predict(label) => {
                    let columns = match width {
                        1 => vec![label.clone()],
                        _ => (0..width)
                            .map(|feature| format!("{label}{feature}"))
                            .collect(),
                    };
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
        let program = Program::Evaluate(Outputs::Likelihood);
        let mut inferred = self.with_evaluator(case, rows, program, |evaluator, session| {
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
            Some(row) => Err(not_finite(
                rows.numbers()[row],
                &OutputName::Likelihood,
                f32::NAN,
            )),
        }
    }

    /// Infers the latents and labels of every row with its labels hidden; nothing if the model has none.
    pub(super) fn infer(&self, rows: &Rows) -> Result<Inferred> {
        let mut children = self.model.inference.iter().map(|factor| factor.child);
        let is_inferred = |child: Id<Variable>| {
            let role = self.model.variables[child.index()].role;
            matches!(role, Role::Label | Role::Latent)
        };
        if !children.any(is_inferred) {
            return Ok(Inferred::new());
        }
        self.run_program(Program::Evaluate(Outputs::Encodings), rows)
    }

    /// Runs a program on every row with its labels hidden.
    pub(super) fn run_program(&self, program: Program, rows: &Rows) -> Result<Inferred> {
        let objective = driver::derive(&self.model);
        let case = objective.cases.last().expect("a model has a case");
        self.with_evaluator(case, rows, program, |evaluator, session| {
            evaluator.run(session, rows.source(), self.seed)
        })
    }

    /// The graph of [`Program::Reconstruct`] for one row.
    pub(super) fn reconstruction(&self, given: &[Vec<Given>]) -> Graph {
        let objective = driver::derive(&self.model);
        let case = objective.cases.last().expect("a model has a case");
        let what = Evaluate {
            rows: 1,
            samples: 1,
            outputs: Outputs::Predictions,
        };
        driver::reconstruct(&self.model, case, what, given)
    }

    /// The labelled rows; `None` if the model or the rows have no labels.
    fn labelled(&self, rows: &Rows) -> Result<Option<Rows>> {
        let labelled = KnownLabels::read(&self.model, rows.source(), "rows")?.labelled();
        if labelled.is_empty() {
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
        program: Program,
        use_on: impl FnOnce(&Evaluator, &mut Session) -> Result<T>,
    ) -> Result<T> {
        if rows.is_empty() {
            return Err(Error::data("expected at least one row, found none")
                .help("give rows to use the run on"));
        }
        let samples = match program {
            Program::Predictive(draws) => draws,
            _ => self.samples,
        };
        check_samples(samples)?;
        let key = Key {
            case: case.kind,
            // The rows per batch shrink with the samples, so that working memory stays constant. They do
            // not depend on the number of rows: sums in kernels for other batches may have another
            // order, and a row's results must not depend on how many rows stand beside it.
            rows: (1000 / samples).clamp(1, 200),
            samples,
            program,
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
                let evaluator = self.evaluator(&mut open.session, case, &key)?;
                open.evaluators.push((key, evaluator));
                open.evaluators.len() - 1
            }
        };
        use_on(&open.evaluators[at].1, &mut open.session)
    }

    /// A session with the chosen parameters, or their averages.
    pub(super) fn session(&self, layout: Layout) -> Result<Session> {
        let Run {
            settings, model, ..
        } = self;
        self.folder
            .session(settings, model, self.checkpoint, layout, &self.device)
    }

    fn evaluator(&self, session: &mut Session, case: &Case, key: &Key) -> Result<Evaluator> {
        let what = Evaluate {
            rows: key.rows,
            samples: key.samples,
            outputs: match key.program {
                Program::Evaluate(outputs) => outputs,
                Program::Reconstruct(_) | Program::Predictive(_) => Outputs::Predictions,
            },
        };
        let build = match &key.program {
            Program::Reconstruct(given) => programs::reconstruct(&self.model, case, what, given)?,
            Program::Predictive(_) => programs::predictive(&self.model, case, what)?,
            Program::Evaluate(_) => programs::evaluate(&self.model, case, what)?,
        };
        Evaluator::new(session, &self.model, case, &build)
    }
}

/// Checks a number of samples per row.
///
/// # Errors
/// If it is out of range.
pub(super) fn check_samples(samples: usize) -> Result<()> {
    check_range("samples", samples, MOST_SAMPLES)
}

/// Checks that an option is from 1 to `most`.
pub(super) fn check_range(option: &str, value: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&value) {
        return Ok(());
    }
    let message = format!("expected a whole number from 1 to {most}");
    Err(Error::option(option, value, message).help("choose a number in this range"))
}

/// Checks that all class probabilities and posterior means are finite.
fn check_inferred(inferred: &Inferred, rows: &Rows) -> Result<()> {
    for (name, values) in inferred {
        let (OutputName::Encode(variable)
        | OutputName::Predict(variable)
        | OutputName::Deviation(variable)) = name
        else {
            continue;
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            let row = rows.numbers()[at / (values.len() / rows.len())];
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
fn check_finite(scored: &Scored, rows: &Rows) -> Result<()> {
    let outputs = scored.inferred.iter().chain(&scored.on_greys);
    for (name, values) in outputs.filter(|(name, _)| name.is_number_per_row()) {
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(not_finite(rows.numbers()[row], name, values[row]));
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
