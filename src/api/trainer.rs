//! Training: the loop over steps and epochs, its checks, checkpoints and metrics.
//!
//! A trainer's parameters are finite whenever an epoch has ended: an epoch whose loss, parameters or
//! bound are not is an error, and the last checkpoint stays.

use super::{cancel::Cancel, epoch::Epoch, run::Run};
use crate::{
    backend::{Build, Device},
    driver,
    error::{Error, ErrorKind, Result},
    lower::Evaluate,
    model::Model,
    names::OutputName,
    run::{
        compiled::Compiled,
        data::{Dataset, RowView, Source, split},
        evaluate::{Evaluator, Inferred, active_units, error, likeliest, mean},
        folder::{Folder, From, IN_MEMORY, Lock, Settings},
        programs::{self, Training},
        train::Stepper,
    },
};
use serde_json::{Value, json};
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// How a model is trained.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Keep this many labels, as evenly over the classes as possible; all if none.
    pub labels: Option<usize>,
    /// Hold this many training rows out, and report on them instead of the test rows.
    pub validation: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// Passes over the training rows; the model's own number if none.
    pub epochs: Option<usize>,
    /// Samples a row when the run evaluates itself after each epoch; as many as in training if none.
    pub samples: Option<usize>,
    /// What runs the model; [`Device::detect`] if none.
    pub device: Option<Device>,
    /// A folder that the run is kept in from the start, with a checkpoint after each epoch, so that
    /// it can be resumed. If none, everything stays in memory until [`Trainer::finish`].
    pub output: Option<PathBuf>,
    /// For each variable that another run's model infers ([`Model::on_run`]), that run's folder.
    pub from: Vec<(String, PathBuf)>,
    /// Programs of this very model that were compiled ahead of time.
    pub compiled: Option<Compiled>,
    /// Stops training when it is raised.
    pub cancel: Option<Cancel>,
}

/// What may differ when a run is resumed.
#[derive(Clone, Debug, Default)]
pub struct ResumeOptions {
    /// Passes over the training rows, those done included; as before if none.
    pub epochs: Option<usize>,
    /// Settings to change, of which only `epochs` and `rate` may be.
    pub sets: Vec<(String, String)>,
    /// Where the run's data are now, or the data themselves if they were in memory.
    pub data: Option<DataPlace>,
    /// What runs the model; [`Device::detect`] if none.
    pub device: Option<Device>,
    /// Programs of this very model that were compiled ahead of time.
    pub compiled: Option<Compiled>,
    /// Stops training when it is raised.
    pub cancel: Option<Cancel>,
}

/// The data of a run that is resumed.
#[derive(Clone, Debug)]
pub enum DataPlace {
    /// A name, folder or file, as [`Dataset::open`] takes it.
    Named(String),
    /// The data set itself.
    Loaded(Dataset),
}

/// How [`Trainer::train`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are done.
    Done,
    /// The callback stopped training; what was learned until then is kept.
    Stopped,
}

/// Where training is, after a step.
#[derive(Clone, Copy)]
pub struct Progress<'t> {
    /// Steps taken since training began.
    pub step: u64,
    /// The step after which training is done.
    pub steps: u64,
    /// Epochs done, with the fraction of the one that is under way.
    pub epochs: f64,
    /// The epoch that ended with this step, if one did.
    pub ended: Option<&'t Epoch>,
    /// The last epoch that ended, if one did since training began or went on.
    pub last: Option<&'t Epoch>,
    stepper: &'t Stepper,
}

impl Progress<'_> {
    /// The mean bound of each case (`all`, `labelled` or `unlabelled`) over the steps of the epoch
    /// under way, in nats per row.
    pub fn bounds(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.stepper.means().filter_map(|(name, mean)| match name {
            OutputName::CaseBound(case) => Some((case.word(), mean)),
            _ => None,
        })
    }
}

/// A run whose loss has risen by more than this many times its first epoch's loss has diverged.
const DIVERGENCE: f64 = 10.0;
/// The settings that may be changed when a run is resumed.
const RESUMABLE: [&str; 2] = ["epochs", "rate"];
/// Rows that an evaluation takes at once, and the training rows that are evaluated where none are
/// held out.
const ROWS: usize = 200;

/// A model in training.
pub struct Trainer {
    stepper: Stepper,
    evaluator: Evaluator,
    /// The rows held out, and their name in the metrics.
    held_out: Option<(&'static str, Arc<dyn Source>)>,
    settings: Settings,
    device: Device,
    /// The run's folder, which is locked; none while everything is in memory.
    folder: Option<(Folder, Lock)>,
    /// The metrics of the epochs done that are in no folder.
    unwritten: Vec<Value>,
    first_loss: Option<f64>,
    /// When the epoch under way began, and at which step.
    begun: (Instant, u64),
    last: u64,
    /// The last epoch that [`Trainer::train`] ended.
    ended: Option<Epoch>,
    /// The step of the last checkpoint, if one was written since training began or went on.
    saved: Option<u64>,
    cancel: Option<Cancel>,
}

impl Trainer {
    /// A trainer with new parameters, drawn by the seed.
    ///
    /// # Errors
    /// If an option contradicts the data or the model, the output folder holds something already, or
    /// the device cannot be had.
    pub fn new(model: &Model, data: &Dataset, options: Options) -> Result<Self> {
        let model = with_epochs(model.clone(), options.epochs)?;
        let folder = options.output.as_deref().map(Folder::new).transpose()?;
        let mut settings = new_settings(&model, data, &options)?;
        settings.check_fingerprint(data)?;
        if options.labels.is_some() && model.labels().next().is_none() {
            let labels = options.labels.unwrap_or(0);
            return Err(Error::option("labels", labels, "the model has no label")
                .help("leave the option out"));
        }
        let mut trainer = Self::prepare(
            model,
            data,
            settings,
            options.compiled,
            options.device,
            options.cancel,
        )?;
        for (variable, run) in &options.from {
            let checkpoint = Folder { path: run.clone() }.checkpoint();
            trainer.stepper.read_upstream(variable, &checkpoint)?;
        }
        if let Some(folder) = folder {
            let lock = folder.create_files(&trainer.settings, &trainer.stepper.model)?;
            trainer.folder = Some((folder, lock));
        }
        Ok(trainer)
    }

    /// A trainer that goes on with the run in a folder from its last checkpoint, bit for bit as if
    /// it had not been interrupted.
    ///
    /// # Errors
    /// If the folder holds no run, another process trains it, its data changed, or a setting other
    /// than `epochs` and `rate` is to change.
    pub fn resume(folder: impl AsRef<Path>, options: ResumeOptions) -> Result<Self> {
        let (folder, mut settings) = Folder::open(folder.as_ref())?;
        let mut sets = options.sets;
        sets.extend(
            options
                .epochs
                .map(|epochs| ("epochs".to_string(), epochs.to_string())),
        );
        let is_moved = options.data.is_some();
        if let Some((name, _)) = sets
            .iter()
            .find(|(name, _)| !RESUMABLE.contains(&name.as_str()))
        {
            return Err(ResumeOptions::fixed(&format!("set {name}")));
        }
        if is_moved && settings.fingerprint.is_none() {
            return Err(ResumeOptions::fixed("data"));
        }
        settings.sets.extend(sets.iter().cloned());
        let model = folder.model(&settings)?;
        if let Some(compiled) = &options.compiled {
            check_same_model(&folder, &model, compiled)?;
        }
        let lock = folder.lock()?;
        let data = match options.data {
            Some(DataPlace::Named(name)) => {
                let data = Dataset::open(name, &model)?;
                settings.data = data.name().map(str::to_string);
                data
            }
            Some(DataPlace::Loaded(data)) => data,
            None => settings.dataset(&model)?,
        };
        settings.check_fingerprint(&data)?;
        let mut trainer = Self::prepare(
            model,
            &data,
            settings,
            options.compiled,
            options.device,
            options.cancel,
        )?;
        if folder.checkpoint().exists() {
            trainer.stepper.restore(&folder.checkpoint())?;
            let done = trainer.stepper.epochs_after(trainer.stepper.step).floor();
            folder.truncate_log(done as u64)?;
        } else {
            trainer.read_upstream_again()?;
        }
        if is_moved || !sets.is_empty() {
            folder.write_settings(&trainer.settings)?;
        }
        trainer.first_loss = folder.first_loss();
        trainer.begun = (Instant::now(), trainer.stepper.step);
        trainer.folder = Some((folder, lock));
        Ok(trainer)
    }

    /// Everything but the folder.
    fn prepare(
        model: Model,
        data: &Dataset,
        settings: Settings,
        compiled: Option<Compiled>,
        device: Option<Device>,
        cancel: Option<Cancel>,
    ) -> Result<Self> {
        let labels: Vec<&str> = model.labels().map(|label| label.name.as_str()).collect();
        let split = split(
            &data.train,
            &labels,
            settings.labels,
            settings.validation,
            settings.seed,
        )?;
        let held_out = match (split.validation, &data.test) {
            (Some(rows), _) => Some(("validation", rows)),
            (None, Some(rows)) => Some(("test", Arc::clone(rows))),
            (None, None) => None,
        };
        let (programs, evaluate) = match compiled {
            Some(compiled) => (compiled.training, Some(compiled.evaluate)),
            None => (programs::training(&model), None),
        };
        let device = device.unwrap_or_else(|| detect_for(&programs));
        let mut stepper = Stepper::with(model, &programs, split.train, settings.seed, &device)?;
        let rows = held_out
            .as_ref()
            .map_or(stepper.source.rows(), |(_, source)| source.rows());
        let evaluator = evaluator(&mut stepper, evaluate, rows.min(ROWS), settings.samples)?;
        let last = stepper.steps_of(stepper.model.train.epochs as u64);
        Ok(Trainer {
            begun: (Instant::now(), stepper.step),
            stepper,
            evaluator,
            held_out,
            settings,
            device,
            folder: None,
            unwritten: Vec::new(),
            first_loss: None,
            last,
            ended: None,
            saved: None,
            cancel,
        })
    }

    /// The model that is trained.
    pub fn model(&self) -> &Model {
        &self.stepper.model
    }

    /// The device that trains, for people: `CPU, 2 threads`.
    pub fn device(&self) -> String {
        self.stepper.session.device.describe()
    }

    /// The run's folder, if there is one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder
            .as_ref()
            .map(|(folder, _)| folder.path.as_path())
    }

    /// Steps taken since training began.
    pub fn steps_taken(&self) -> u64 {
        self.stepper.step
    }

    /// The step after which training is done.
    pub fn steps(&self) -> u64 {
        self.last
    }

    /// Whether all epochs are done.
    pub fn is_done(&self) -> bool {
        self.stepper.step >= self.last
    }

    /// Takes one step, for loops of one's own; nothing if training is done. Gives the epoch that
    /// ended with it, whose checkpoint is then written.
    ///
    /// # Errors
    /// [`ErrorKind::Diverged`] if the loss is not finite or far above the first epoch's.
    pub fn step(&mut self) -> Result<Option<Epoch>> {
        if self.is_done() {
            return Ok(None);
        }
        self.stepper
            .step()
            .map_err(|error| self.with_checkpoint(error))?;
        let epochs = self.stepper.model.train.epochs as u64;
        let after = |step: u64| self.stepper.epochs_after(step).floor() as u64;
        // A step over a few rows may be many epochs.
        let done = after(self.stepper.step).min(epochs);
        if done <= after(self.stepper.step - 1) {
            return Ok(None);
        }
        let metrics = self
            .metrics(done)
            .map_err(|error| self.with_checkpoint(error))?;
        self.keep(&metrics)?;
        self.begun = (Instant::now(), self.stepper.step);
        Ok(Some(Epoch { metrics, epochs }))
    }

    /// Trains until the end of the epoch under way; nothing if training is done.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] if the run was cancelled, after a checkpoint was written;
    /// otherwise as [`Trainer::step`].
    pub fn epoch(&mut self) -> Result<Option<Epoch>> {
        while !self.is_done() {
            let ended = self.step()?;
            if ended.is_some() {
                return Ok(ended);
            }
            if self.is_cancelled() {
                self.pause()?;
                let message = format!("stopped after step {}", self.stepper.step);
                return Err(Error::of_kind(ErrorKind::Interrupted, message));
            }
        }
        self.complete()?;
        Ok(None)
    }

    /// Trains until all epochs are done, or until `callback`, which is called after each step, or
    /// the option `cancel` stops it. A run that was stopped has a checkpoint of its last step.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn train(
        &mut self,
        mut callback: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        while !self.is_done() {
            let ended = self.step()?;
            let has_ended = ended.is_some();
            self.ended = ended.or(self.ended.take());
            let progress = Progress {
                step: self.stepper.step,
                steps: self.last,
                epochs: self.stepper.epochs_after(self.stepper.step),
                ended: self.ended.as_ref().filter(|_| has_ended),
                last: self.ended.as_ref(),
                stepper: &self.stepper,
            };
            if callback(&progress).is_break() || self.is_cancelled() {
                self.pause()?;
                return Ok(Outcome::Stopped);
            }
        }
        self.complete()?;
        Ok(Outcome::Done)
    }

    /// Keeps the run in a folder and opens it for use. A run that has a folder since it began stays
    /// there, and `folder` must be the same.
    ///
    /// # Errors
    /// If the folder holds something already, or cannot be written.
    pub fn finish(mut self, folder: impl AsRef<Path>) -> Result<Run> {
        let path = folder.as_ref();
        match &self.folder {
            Some((folder, _)) if folder.path != path => {
                let message = format!(
                    "{}: the run is kept in {}",
                    path.display(),
                    folder.path.display()
                );
                return Err(Error::usage(message).help("finish it there"));
            }
            Some(_) => {}
            None => {
                let folder = Folder::new(path)?;
                let lock = folder.create_files(&self.settings, &self.stepper.model)?;
                self.folder = Some((folder, lock));
            }
        }
        if self.saved != Some(self.stepper.step) {
            self.pause()?;
        }
        drop(self.folder);
        Run::open_on(path, &self.device)
    }

    fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(Cancel::is_raised)
    }

    /// Writes the state of the last step, if there is a folder for it.
    fn pause(&mut self) -> Result<()> {
        self.check_health()
            .map_err(|error| self.with_checkpoint(error))?;
        self.save()
    }

    /// A run that takes no step has a checkpoint all the same.
    fn complete(&mut self) -> Result<()> {
        match &self.folder {
            Some((folder, _)) if !folder.checkpoint().exists() => self.save(),
            _ => Ok(()),
        }
    }

    /// Logs an epoch and writes the checkpoint. What is logged and not saved is forgotten when the
    /// run goes on; what is saved and not logged would be missed.
    fn keep(&mut self, metrics: &Value) -> Result<()> {
        self.unwritten.push(metrics.clone());
        self.save()
    }

    fn save(&mut self) -> Result<()> {
        let Some((folder, _)) = &self.folder else {
            return Ok(());
        };
        for metrics in self.unwritten.drain(..) {
            folder.log(&metrics)?;
        }
        self.stepper.save(&folder.checkpoint())?;
        self.saved = Some(self.stepper.step);
        Ok(())
    }

    /// The parameters of the runs that the model stands on, for a run that has no checkpoint yet.
    fn read_upstream_again(&mut self) -> Result<()> {
        match self.settings.from.first() {
            None => Ok(()),
            Some(from) => {
                let message = "the run has no checkpoint, and so no parameters of the run that it \
                               stands on";
                Err(Error::data(message)
                    .help(format!("begin it again with --from {}=RUN", from.variable)))
            }
        }
    }

    /// That the parameters are numbers, and give numbers: only such a state is kept. Gives what was
    /// inferred of the rows held out, or of some training rows.
    fn check_health(&mut self) -> Result<Inferred> {
        self.stepper.check_finite()?;
        let source = match &self.held_out {
            Some((_, source)) => Arc::clone(source),
            None => {
                let rows = self.stepper.source.rows().min(ROWS) as u32;
                Arc::new(RowView::new(
                    Arc::clone(&self.stepper.source),
                    (0..rows).collect(),
                ))
            }
        };
        let inferred =
            self.evaluator
                .run(&mut self.stepper.session, &*source, self.stepper.seed)?;
        for (output, values) in &inferred {
            // A classifier has no bound, but predictions.
            let found = mean(values);
            if !found.is_finite() {
                let what =
                    format!("the mean {output} of rows that were not just trained on is {found}");
                return Err(self.stepper.diverged(self.stepper.step, what));
            }
        }
        Ok(inferred)
    }

    /// The same error, with what the run can go on from.
    fn with_checkpoint(&self, error: Error) -> Error {
        let Some((folder, _)) = &self.folder else {
            return error;
        };
        error.also_help(match folder.last_epoch() {
            Some(epoch) if folder.checkpoint().exists() => format!(
                "the checkpoint of epoch {epoch} is unchanged: dgc train {} --resume --set rate=… \
                 goes on from it",
                folder.path.display()
            ),
            _ => "there is no checkpoint yet".to_string(),
        })
    }

    /// The metrics of the epoch that ends now; an error if training diverged.
    fn metrics(&mut self, epoch: u64) -> Result<Value> {
        let (begun, begun_at) = self.begun;
        let seconds = begun.elapsed().as_secs_f64();
        let steps = self.stepper.step - begun_at;
        let speed = (steps as usize * self.stepper.rows_per_step()) as f64 / seconds;
        let mut metrics = json!({
            "epoch": epoch,
            "step": self.stepper.step,
            "rate": self.stepper.rate_after(self.stepper.step - 1),
            "seconds": seconds,
            "rows_per_second": speed,
        });
        for (name, value) in self.stepper.take_means()? {
            match name.grouped() {
                (Some(group), key) => metrics[group][key] = json!(value),
                (None, key) => metrics[key] = json!(value),
            }
        }
        self.check_loss(metrics["loss"].as_f64().unwrap_or(f64::NAN))?;
        let inferred = self.check_health()?;
        if let Some((name, source)) = &self.held_out {
            metrics[*name] = held_out_metrics(&self.stepper.model, &**source, &inferred)?;
        }
        Ok(metrics)
    }

    fn check_loss(&mut self, loss: f64) -> Result<()> {
        let first = *self.first_loss.get_or_insert(loss);
        if loss.is_finite() && loss - first <= DIVERGENCE * first.abs().max(1.0) {
            return Ok(());
        }
        Err(self.stepper.diverged(
            self.stepper.step,
            format!("the mean loss of the epoch is {loss}, of the first it was {first}"),
        ))
    }
}

/// The metrics of the rows held out.
fn held_out_metrics(model: &Model, source: &dyn Source, inferred: &Inferred) -> Result<Value> {
    let mut found = json!({ "rows": source.rows() });
    for (output, values) in inferred
        .iter()
        .filter(|(output, _)| output.is_number_per_row())
    {
        found[output.to_string()] = json!(mean(values));
    }
    for units in active_units(inferred, source.rows()) {
        found["active"][units.latent] = json!(units.active);
    }
    let labels: Vec<_> = model.labels().collect();
    for label in &labels {
        let classes = source.classes(&label.name)?.unwrap_or_default();
        let predicted = likeliest(
            &inferred[&OutputName::Predict(label.name.clone())],
            label.size(),
        );
        let key = if labels.len() == 1 {
            "error".to_string()
        } else {
            format!("error of {}", label.name)
        };
        found[key] = json!(error(&predicted, &classes));
    }
    Ok(found)
}

/// The program that evaluates the rows held out, or some of the training rows where there are none.
fn evaluator(
    stepper: &mut Stepper,
    compiled: Option<Build>,
    rows: usize,
    samples: usize,
) -> Result<Evaluator> {
    let model = &stepper.model;
    let objective = driver::derive(model);
    let case = objective.cases.last().expect("a model has a case");
    let build = compiled.unwrap_or_else(|| {
        let what = Evaluate {
            rows,
            samples,
            likelihood: false,
        };
        programs::evaluate(model, case, what)
    });
    Evaluator::new(&mut stepper.session, model, case, &build)
}

/// The device for programs: those with machine code need no compiler, and have a precision.
pub(super) fn detect_for(programs: &Training) -> Device {
    match &programs.gradient.cuda {
        Some(binary) => Device::detect_with(0, None, binary.precision, false),
        None => Device::detect(),
    }
}

fn with_epochs(model: Model, epochs: Option<usize>) -> Result<Model> {
    match epochs {
        Some(epochs) => model.set("epochs", epochs),
        None => Ok(model),
    }
}

fn new_settings(model: &Model, data: &Dataset, options: &Options) -> Result<Settings> {
    let mut from = Vec::new();
    for (variable, run) in &options.from {
        if options.compiled.is_some() {
            let value = format!("{variable}={}", run.display());
            let message = "the model was compiled without";
            return Err(Error::option("from", value, message).help("train the model's own file"));
        }
        let (_, settings) = Folder::open(run)?;
        from.push(From {
            variable: variable.clone(),
            file: settings.file,
            sets: settings.sets,
        });
    }
    for upstream in &model.upstream {
        let name = &model.variables[upstream.variable.index()].name;
        if !from.iter().any(|from| from.variable == *name) {
            let message = format!("the run that infers `{name}` is not among the options");
            return Err(Error::usage(message).help("name its folder in `from`"));
        }
    }
    if let Some(compiled) = &options.compiled
        && (compiled.model.source != model.source || options.samples.is_some())
    {
        let message = "samples and the model's text are those that the programs were compiled with";
        return Err(Error::usage(message)
            .help("leave the option `samples` out, and evaluate the run afterwards"));
    }
    Ok(Settings {
        version: env!("CARGO_PKG_VERSION").to_string(),
        file: model.file.clone(),
        sets: model.sets.clone(),
        data: match data.name() {
            Some("mnist") => None,
            Some(name) => Some(name.to_string()),
            None => Some(IN_MEMORY.to_string()),
        },
        fingerprint: None,
        labels: options.labels,
        validation: options.validation,
        seed: options.seed,
        samples: options.samples.unwrap_or(model.objective.samples),
        resolved: model.settings.clone(),
        from,
    })
}

impl ResumeOptions {
    /// That an option was given which a run cannot change.
    pub(crate) fn fixed(name: &str) -> Error {
        Error::option(
            name,
            "",
            "a run goes on with the settings that it began with",
        )
        .help("only `epochs`, `rate` and the place of the data may be changed")
    }
}

fn check_same_model(folder: &Folder, model: &Model, compiled: &Compiled) -> Result<()> {
    if compiled.model.source == model.source {
        return Ok(());
    }
    let message = format!(
        "{}: a run of another model than the compiled one",
        folder.path.display()
    );
    Err(Error::usage(message).help("go on with it by itself: dgc train RUN --resume"))
}
