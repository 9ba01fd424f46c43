//! Training: the loop over steps and epochs, its checks, checkpoints and metrics.
//!
//! The loss, parameters and bound are finite at the end of every epoch. If one is not, the epoch is
//! an error and the last checkpoint is unchanged.

mod options;
mod validation;
mod freeze;
mod init;
mod best;
mod held_out;
mod records;

use held_out::{held_out_metrics, unused_latents};
pub use options::{DataPlace, EarlyStopping, Options, ResumeOptions};
pub use validation::ValidationRows;

use super::{
    cancel::Cancel,
    epoch::Epoch,
    run::{Run, check_samples},
    summary::{RowCounts, Summary},
};
use crate::{
    backend::{Build, Device, Precision, cpu::KernelFamily},
    driver,
    error::{Error, ErrorKind, Result},
    files::hash,
    lower::{Evaluate, Outputs},
    model::{Batch, Model},
    names::OutputName,
    note::Note,
    run::{
        best::{Best, VALIDATION},
        checkpoint::{Checkpoint, Origin},
        compiled::Compiled,
        data::{DataFiles, Dataset, RowView, Source, findings, split},
        evaluate::{Evaluator, HeadAtLimit, Scored, heads_at_limit, mean},
        folder::{CheckpointChoice, Folder, Lock},
        programs::{self, Training},
        settings::{self, From, RESUMABLE, Settings},
        train::Stepper,
    },
};
use serde_json::{Value, json};
use std::{
    ops::ControlFlow,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// The least time between the checkpoints of two epochs in [`Trainer::train`]: a checkpoint waits for the
/// disk, which takes longer than an epoch of few rows.
const BETWEEN_CHECKPOINTS: Duration = Duration::from_secs(1);

/// A checkpoint that was written.
#[derive(Clone, Copy)]
struct Saved {
    step: u64,
    /// The last epoch that had ended.
    epoch: u64,
    at: Instant,
}

/// How [`Trainer::train`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All epochs are complete.
    Done,
    /// The callback stopped training; the checkpoint has the state of the last step.
    Stopped,
}

/// The progress of training after a step.
#[derive(Clone, Copy)]
pub struct Progress<'t> {
    /// Steps taken since training began.
    pub step: u64,
    /// The step after which training is done.
    pub steps: u64,
    /// Epochs done, with the fraction of the current epoch.
    pub epochs: f64,
    /// The epoch that ended with this step, if one did.
    pub ended: Option<&'t Epoch>,
    /// The last epoch that ended since training began or resumed.
    pub last: Option<&'t Epoch>,
    stepper: &'t Stepper,
}

impl Progress<'_> {
    /// The mean bound of each case (`all`, `labelled` or `unlabelled`) over the steps of the
    /// current epoch, in nats per row.
    pub fn bounds(&self) -> impl Iterator<Item = (&'static str, f64)> {
        self.stepper.means().filter_map(|(name, mean)| match name {
            OutputName::CaseBound(case) => Some((case.word(), mean)),
            _ => None,
        })
    }
}

/// The rows per evaluation batch, and the number of training rows that are evaluated if there are
/// no held-out rows.
const ROWS: usize = 200;

/// A model in training.
pub struct Trainer {
    stepper: Stepper,
    evaluator: Evaluator,
    /// The held-out rows, and their name in the metrics.
    held_out: Option<(&'static str, Arc<dyn Source>)>,
    settings: Settings,
    device: Device,
    /// The run's folder and its lock; `None` while the run is in memory.
    folder: Option<(Folder, Lock)>,
    /// Metrics of epochs that are not written yet.
    unwritten: Vec<Value>,
    /// The last epoch that ended.
    epoch: u64,
    /// The time and step at which the current epoch began.
    begun: (Instant, u64),
    last: u64,
    /// The last epoch that [`Trainer::train`] ended.
    ended: Option<Epoch>,
    /// The run's last checkpoint.
    saved: Option<Saved>,
    cancel: Option<Cancel>,
    /// The best epoch so far, if the run chooses one, and the contents of its checkpoint as long as
    /// they are not written.
    best: Option<Best>,
    unwritten_best: Option<Vec<u8>>,
    /// The time at which the learning curves were drawn.
    drawn: Option<Instant>,
    summary: Summary,
    notes: Vec<Note>,
    /// Notes about the result of the last epoch.
    result: Vec<Note>,
    /// Whether the notes of the end of training were added.
    is_concluded: bool,
}

impl Trainer {
    /// Checks that a new run may be written to a folder, as [`Trainer::new`] does.
    ///
    /// # Errors
    /// If the folder holds something already.
    pub fn check_output(folder: &Path) -> Result<()> {
        Folder::new(folder).map(|_| ())
    }

    /// Creates a trainer with new parameters, drawn from the seed.
    ///
    /// # Errors
    /// If an option contradicts the data or the model, the output folder is not empty, or the
    /// device is not available.
    pub fn new(model: &Model, data: &Dataset, options: Options) -> Result<Self> {
        let model = with_epochs(model.clone(), options.epochs)?;
        let model = freeze::frozen(model, &options)?;
        let folder = options.output.as_deref().map(Folder::new).transpose()?;
        if options.validation > 0 && data.validation.is_some() {
            let message = "the data have validation rows of their own";
            return Err(
                Error::option("validation", options.validation, message).help("omit the option")
            );
        }
        if let Some(wanted) = options.early_stopping {
            wanted.check(data, options.validation)?;
        }
        let mut settings = new_settings(&model, data, &options)?;
        settings.check_fingerprint(data)?;
        if options.labels.is_some() && model.labels().next().is_none() {
            let labels = options.labels.unwrap_or(0);
            return Err(
                Error::option("labels", labels, "the model has no label").help("omit the option")
            );
        }
        let mut trainer = Self::prepare(
            model,
            data,
            settings,
            options.compiled,
            options.device,
            options.cancel,
        )?;
        trainer.settings.precision = Some(trainer.device.precision());
        trainer.settings.kernels = vec![trainer.stepper.session.device.kernels()];
        if let Some(run) = &options.init {
            trainer.inherit(run, data)?;
        }
        for (from, (variable, run)) in trainer.settings.from.iter_mut().zip(&options.from) {
            let checkpoint = read_upstream(run)?;
            trainer.stepper.read_upstream(variable, &checkpoint)?;
            from.checkpoint = Some(checkpoint.checksum);
        }
        if let Some(wanted) = options.early_stopping {
            trainer.begin_choice(wanted)?;
        }
        if let Some(folder) = folder {
            trainer.create(folder)?;
        }
        Ok(trainer)
    }

    /// Resumes the run in a folder from its last checkpoint. The result has the same bits as
    /// without the interruption, if the device has kernels of the same family.
    ///
    /// # Errors
    /// If the folder is not a run, another trainer trains it, its files or its data changed, it has
    /// completed more epochs than it is to train for, the precision differs, or a setting other
    /// than `epochs` and `rate` is given.
    pub fn resume(folder: impl AsRef<Path>, options: ResumeOptions) -> Result<Self> {
        let mut sets = options.sets;
        sets.extend(
            options
                .epochs
                .map(|epochs| ("epochs".to_string(), epochs.to_string())),
        );
        if let Some((name, _)) = sets
            .iter()
            .find(|(name, _)| !RESUMABLE.contains(&name.as_str()))
        {
            return Err(ResumeOptions::fixed(&format!("set {name}")));
        }
        // Only a run is locked, since the lock is a file. Another trainer may have changed its files
        // until then.
        let (folder, _) = Folder::open(folder.as_ref())?;
        let lock = folder.lock()?;
        let stored = folder.settings()?;
        let mut settings = stored.clone();
        if options.data.is_some() && settings.fingerprint.is_none() {
            return Err(ResumeOptions::fixed("data"));
        }
        let model = folder.model(&settings)?;
        let checkpoint = match folder.checkpoint().exists() || settings.format > 1 {
            true => Some(folder.read_checkpoint(&settings, &model)?),
            false => None,
        };
        settings.model = Some(hash(model.source.as_bytes()));
        for (from, upstream) in settings.from.iter_mut().zip(&model.upstream) {
            from.model = Some(hash(upstream.model.source.as_bytes()));
        }
        let model = model.set_all(&sets)?;
        settings.sets.extend(sets);
        settings.resolved = model.settings.clone();
        settings.tensorboard |= options.tensorboard;
        if let Some(patience) = options.patience {
            settings.set_patience(patience)?;
        }
        if let Some(compiled) = &options.compiled {
            check_same_model(&folder, &model, compiled)?;
        }
        let data = match options.data {
            Some(DataPlace::Named(files)) => {
                let files = files.or(&settings.files());
                let known = Some(settings.known_names());
                let data = Dataset::open_files_with(&files, &model, known)?;
                settings.set_files(data.files());
                data
            }
            Some(DataPlace::Loaded(data)) => data,
            None => settings.dataset(&model)?,
        };
        settings.check_fingerprint(&data)?;
        let device = resumed_device(options.device, &settings, options.compiled.as_ref())?;
        let mut trainer = Self::prepare(
            model,
            &data,
            settings,
            options.compiled,
            Some(device),
            options.cancel,
        )?;
        match &checkpoint {
            Some(checkpoint) => trainer.restore(checkpoint)?,
            // Runs of format 1 have no checkpoint before the end of the first epoch.
            None => trainer.check_needs_no_upstream()?,
        }
        let log = folder.log();
        trainer.notes.extend(log.truncate(trainer.epoch)?);
        trainer.resume_choice(&folder)?;
        trainer.begin_events(&folder)?;
        trainer.begun = (Instant::now(), trainer.stepper.step);
        trainer.record_kernels(&stored);
        if trainer.settings != stored {
            folder.write_settings(&trainer.settings)?;
        }
        trainer.folder = Some((folder, lock));
        Ok(trainer)
    }

    /// Restores a checkpoint.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        self.stepper.restore(checkpoint)?;
        self.check_epochs()?;
        let done = self.stepper.epochs_after(self.stepper.step).floor();
        self.epoch = match &checkpoint.origin {
            Some(origin) => origin.epoch,
            None => done as u64,
        };
        self.saved = Some(self.saved_now());
        Ok(())
    }

    /// Completes the settings of a resumed run, and notes what keeps its numbers from having the
    /// bits of an uninterrupted run.
    fn record_kernels(&mut self, stored: &Settings) {
        let kernels = self.stepper.session.device.kernels();
        let precision = self.device.precision();
        match stored.kernels.last() {
            Some(last) if *last == kernels => {}
            Some(last) => {
                let is_here = matches!(self.device, Device::Cpu { precision, .. }
                    if KernelFamily::titled(last, precision).is_some());
                let lacks = if is_here {
                    ""
                } else {
                    ", which this device lacks,"
                };
                self.notes.push(Note::new(format!(
                    "the run was trained with {last} kernels{lacks} and resumes with {kernels} \
                     kernels, so its numbers may differ, within rounding, from those of an \
                     uninterrupted run"
                )));
            }
            None => self.notes.push(Note::new(format!(
                "an earlier version of dgc began the run and did not record its precision and \
                 kernels; it resumes in {precision} with {kernels} kernels"
            ))),
        }
        if stored.kernels.last() != Some(&kernels) {
            self.settings.kernels.push(kernels);
        }
        self.settings.format = settings::FORMAT;
        self.settings.precision = Some(precision);
    }

    /// Prepares everything except the folder.
    fn prepare(
        model: Model,
        data: &Dataset,
        settings: Settings,
        compiled: Option<Compiled>,
        device: Option<Device>,
        cancel: Option<Cancel>,
    ) -> Result<Self> {
        let given = RowCounts::new(&model, &*data.train, data.class_names())?;
        for counts in &given.labels {
            findings::check_signs(counts, data.name().unwrap_or("data"))?;
        }
        let split = split(
            &data.train,
            settings.labels.map(|count| (&model, count)),
            settings.validation,
            settings.seed,
        )?;
        let training = RowCounts::new(&model, &*split.train, data.class_names())?;
        if matches!(model.train.batch, Batch::Cases { labelled, .. } if labelled > 0) {
            for (all, left) in given.labels.iter().zip(&training.labels) {
                findings::check_left(all, left, settings.validation)?;
            }
        }
        let validation = split.validation.or_else(|| data.validation.clone());
        let held_out = match (validation, &data.test) {
            (Some(rows), _) => Some((VALIDATION, rows)),
            (None, Some(rows)) => Some(("test", Arc::clone(rows))),
            (None, None) => None,
        };
        let (programs, evaluate) = match compiled {
            Some(compiled) => (compiled.training, Some(compiled.evaluate)),
            None => (programs::training(&model)?, None),
        };
        let device = device.unwrap_or_else(|| detect_for(&programs));
        let mut stepper = Stepper::with(model, &programs, split.train, settings.seed, &device)?;
        let rows = held_out
            .as_ref()
            .map_or(stepper.source.rows(), |(_, source)| source.rows());
        let evaluator = evaluator(&mut stepper, evaluate, rows.min(ROWS), settings.samples)?;
        let last = stepper.steps_of(stepper.model.train.epochs as u64);
        let summary = summary(data, training, &stepper, held_out.as_ref(), &device)?;
        Ok(Trainer {
            notes: data_notes(data, &stepper, &given, &summary)?,
            summary,
            is_concluded: false,
            result: Vec::new(),
            begun: (Instant::now(), stepper.step),
            stepper,
            evaluator,
            held_out,
            settings,
            device,
            folder: None,
            unwritten: Vec::new(),
            epoch: 0,
            last,
            ended: None,
            saved: None,
            best: None,
            unwritten_best: None,
            drawn: None,
            cancel,
        })
    }

    /// Checks that the restored state is not beyond the last epoch.
    fn check_epochs(&self) -> Result<()> {
        if self.stepper.step <= self.last {
            return Ok(());
        }
        let epochs = self.stepper.model.train.epochs;
        let done = self.stepper.epochs_after(self.stepper.step).floor() as usize;
        let part = if done > epochs {
            ""
        } else {
            " and a part of the next"
        };
        let message = format!("the run has completed {done}{part}");
        Err(Error::option("epochs", epochs, message).help("choose a larger number"))
    }

    /// The model that is trained.
    pub fn model(&self) -> &Model {
        &self.stepper.model
    }

    /// What the trainer understood of its data and options.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Notes about the data, about a resumed run, and, once training is complete, about its result.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// A description of the training device, such as `CPU, 2 threads`.
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

    /// The number of epochs that are complete.
    pub fn epochs_done(&self) -> u64 {
        self.epoch
    }

    /// The step after which training is done.
    pub fn steps(&self) -> u64 {
        self.last
    }

    /// Whether all epochs are complete, or training stopped early.
    pub fn is_done(&self) -> bool {
        self.stepper.step >= self.last || self.has_stopped_early()
    }

    /// Takes one step, for custom training loops; does nothing if training is complete. Returns the
    /// epoch that ended with the step, after writing its checkpoint.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`] if the cancel flag is raised, without taking the step and after
    /// writing a checkpoint; [`ErrorKind::Diverged`] if the loss is not finite or far above
    /// that of the first parameters.
    pub fn step(&mut self) -> Result<Option<Epoch>> {
        self.advance(Duration::ZERO)
    }

    /// Takes a step. An epoch that ends with it is saved, unless the last checkpoint is younger than
    /// `between`. The first epoch, the best so far and the last one are always saved.
    fn advance(&mut self, between: Duration) -> Result<Option<Epoch>> {
        if self.is_done() {
            return Ok(None);
        }
        self.check_not_cancelled()?;
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
        self.epoch = done;
        self.unwritten.push(metrics.clone());
        self.compare(&metrics)?;
        let is_recent = self
            .saved
            .is_some_and(|saved| saved.epoch > 0 && saved.at.elapsed() < between);
        // If the file of the best epoch is lost, it is made from the last checkpoint, which must then be
        // of the same epoch.
        if !is_recent || self.unwritten_best.is_some() || self.is_done() {
            self.save()?;
        }
        self.begun = (Instant::now(), self.stepper.step);
        if self.is_done() {
            self.conclude()?;
        }
        Ok(Some(Epoch { metrics, epochs }))
    }

    /// Trains until the end of the current epoch. Returns `None` if training is complete.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn epoch(&mut self) -> Result<Option<Epoch>> {
        while !self.is_done() {
            let ended = self.step()?;
            if ended.is_some() {
                return Ok(ended);
            }
        }
        self.conclude()?;
        Ok(None)
    }

    /// Trains until all epochs are complete, or until `callback` stops training. `callback` is
    /// called after each step. A stopped run has a checkpoint of its last step. Where epochs take less
    /// than a second, one checkpoint a second is written, and the metrics of its epochs with it.
    ///
    /// # Errors
    /// As [`Trainer::step`].
    pub fn train(
        &mut self,
        mut callback: impl FnMut(&Progress) -> ControlFlow<()>,
    ) -> Result<Outcome> {
        while !self.is_done() {
            let ended = self.advance(BETWEEN_CHECKPOINTS)?;
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
            if callback(&progress).is_break() {
                self.pause()?;
                return Ok(Outcome::Stopped);
            }
        }
        self.conclude()?;
        Ok(Outcome::Done)
    }

    /// Writes the run to a folder and opens it. If the option `output` named a folder, `folder`
    /// must be the same. The folder stays locked until the trainer is dropped.
    ///
    /// # Errors
    /// If the folder is another one than `output`, is not empty, or cannot be written. The trainer
    /// is unchanged, so that another folder can be tried.
    pub fn finish(&mut self, folder: impl AsRef<Path>) -> Result<Run> {
        let path = folder.as_ref();
        match &self.folder {
            Some((folder, _)) if folder.path != path => {
                let message = format!(
                    "{}: the run was started in {}",
                    path.display(),
                    folder.path.display()
                );
                return Err(Error::usage(message).help("pass the same folder to `finish`"));
            }
            Some(_) if self.is_saved() => {}
            Some(_) => self.pause()?,
            None => {
                self.check_health()?;
                self.create(Folder::new(path)?)?;
            }
        }
        Run::open_on(path, &self.device)
    }

    /// The step of the run's last checkpoint; `None` while the run is in memory.
    pub fn checkpoint_step(&self) -> Option<u64> {
        self.saved.map(|saved| saved.step)
    }

    /// Writes the run to a new folder. The settings are written last: they make the folder a run.
    fn create(&mut self, folder: Folder) -> Result<()> {
        let lock = folder.begin(&self.stepper.model)?;
        folder.log().append(&self.unwritten)?;
        self.write_checkpoint(&folder)?;
        self.write_best(&folder)?;
        self.begin_events(&folder)?;
        folder.write_settings(&self.settings)?;
        self.unwritten.clear();
        self.folder = Some((folder, lock));
        self.draw_last_curves()
    }

    /// What the run's checkpoints say of the run.
    fn origin(&self) -> Origin {
        Origin {
            epoch: self.epoch,
            settings: self.settings.identity(),
        }
    }

    fn write_checkpoint(&mut self, folder: &Folder) -> Result<()> {
        let origin = self.origin();
        self.stepper.save(&folder.checkpoint(), &origin)?;
        self.saved = Some(self.saved_now());
        Ok(())
    }

    /// The checkpoint of this step, written now.
    fn saved_now(&self) -> Saved {
        Saved {
            step: self.stepper.step,
            epoch: self.epoch,
            at: Instant::now(),
        }
    }

    /// Whether the last checkpoint is of the last step.
    fn is_saved(&self) -> bool {
        self.checkpoint_step() == Some(self.stepper.step)
    }

    /// If the cancel flag is raised, writes a checkpoint and returns an error.
    fn check_not_cancelled(&mut self) -> Result<()> {
        if !self.cancel.as_ref().is_some_and(Cancel::is_raised) {
            return Ok(());
        }
        if !self.is_saved() {
            self.pause()?;
        }
        let saved = match self.folder {
            Some(_) => "; its checkpoint is saved",
            None => "",
        };
        let message = format!("stopped after step {}{saved}", self.stepper.step);
        Err(Error::of_kind(ErrorKind::Interrupted, message))
    }

    /// Writes a checkpoint of the last step, if the run has a folder.
    fn pause(&mut self) -> Result<()> {
        self.check_health()
            .map_err(|error| self.with_checkpoint(error))?;
        self.save()?;
        self.draw_last_curves()
    }

    /// Adds the notes about the result, once.
    fn conclude(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.is_concluded, true) {
            return Ok(());
        }
        if self.last == 0 {
            self.notes.push(
                Note::new("epochs is 0, so nothing was trained")
                    .help("train for more epochs with `Trainer::resume`"),
            );
        }
        self.notes.extend(self.early_stop());
        self.notes.append(&mut self.result);
        self.draw_last_curves()
    }

    /// If the run has a folder, logs the epochs since the last checkpoint, then writes the checkpoint, and
    /// at last that of the best epoch. Resuming removes logged epochs without a checkpoint, and a
    /// checkpoint of the best epoch can be made from that of the last one, so this order loses nothing.
    fn save(&mut self) -> Result<()> {
        let Some((folder, lock)) = self.folder.take() else {
            return Ok(());
        };
        let saved = self.save_in(&folder);
        self.folder = Some((folder, lock));
        saved
    }

    fn save_in(&mut self, folder: &Folder) -> Result<()> {
        let epochs = std::mem::take(&mut self.unwritten);
        folder.log().append(&epochs)?;
        self.write_checkpoint(folder)?;
        self.write_best(folder)?;
        for metrics in &epochs {
            self.add_event(folder, metrics)?;
        }
        self.draw_curves(folder, false)
    }

    /// Checks that a run without a checkpoint needs no parameters of another run.
    fn check_needs_no_upstream(&mut self) -> Result<()> {
        match self.settings.from.first() {
            None => Ok(()),
            Some(from) => {
                let message = "the run has no checkpoint, and so no parameters of the run that infers \
                               its data";
                Err(Error::data(message).help(format!(
                    "train a new run, with the run that infers `{}` in the option `from`",
                    from.variable
                )))
            }
        }
    }

    /// Checks that the parameters and the outputs on the held-out rows, or on some training rows,
    /// are finite. Only such a state becomes a checkpoint. Returns the outputs.
    fn check_health(&mut self) -> Result<Scored> {
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
        let Stepper {
            session,
            model,
            seed,
            ..
        } = &mut self.stepper;
        let scored = self.evaluator.score(session, model, &*source, *seed)?;
        for (output, values) in &scored.inferred {
            // A classifier has predictions but no bound.
            let found = mean(values);
            if !found.is_finite() {
                let what = format!("the mean {output} of the evaluated rows is {found}");
                return Err(self.stepper.diverged(self.stepper.step, what));
            }
        }
        Ok(scored)
    }

    /// Adds to an error how to resume the run.
    fn with_checkpoint(&self, error: Error) -> Error {
        if self.folder.is_none() {
            return error;
        }
        error.also_help(match self.saved {
            Some(Saved { step: 0, .. }) => {
                "no epoch is complete, so a new run may replace this one in its folder".to_string()
            }
            saved => format!(
                "the checkpoint of epoch {} is unchanged; resume from it, with a smaller `rate` if \
                 training diverged",
                saved.map_or(self.epoch, |saved| saved.epoch)
            ),
        })
    }

    /// The metrics of the epoch that just ended.
    ///
    /// # Errors
    /// If training diverged.
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
        self.stepper.check_loss()?;
        for (name, value) in self.stepper.take_means()? {
            match name.grouped() {
                (Some(group), key) => metrics[group][key] = json!(value),
                (None, key) => metrics[key] = json!(value),
            }
        }
        let scored = self.check_health()?;
        let at_limit: Vec<HeadAtLimit> = heads_at_limit(&scored.inferred).collect();
        for HeadAtLimit { head, share } in &at_limit {
            metrics["at_limit"][head] = json!(share);
        }
        self.result = unused_latents(&scored.inferred);
        self.result.extend(at_limit.iter().map(HeadAtLimit::note));
        if let Some((name, source)) = &self.held_out {
            metrics[*name] = held_out_metrics(&self.stepper.model, &**source, &scored)?;
        }
        Ok(metrics)
    }
}

/// The program that evaluates the held-out rows, or some training rows if there are none.
fn evaluator(
    stepper: &mut Stepper,
    compiled: Option<Build>,
    rows: usize,
    samples: usize,
) -> Result<Evaluator> {
    let model = &stepper.model;
    let objective = driver::derive(model);
    let case = objective.cases.last().expect("a model has a case");
    let what = Evaluate {
        rows,
        samples,
        outputs: Outputs::Bound,
    };
    let build = match compiled {
        Some(build) => build,
        None => programs::evaluate(model, case, what)?,
    };
    Evaluator::new(&mut stepper.session, model, case, &build)
}

/// The notes about the data: `given` are all rows of the data set, of which some may be held out
/// and others may have hidden labels.
fn data_notes(
    data: &Dataset,
    stepper: &Stepper,
    given: &RowCounts,
    summary: &Summary,
) -> Result<Vec<Note>> {
    let mut notes = findings::of_name(data);
    notes.extend(findings::of_values(&stepper.model, &*stepper.source)?);
    for (at, training) in summary.training.labels.iter().enumerate() {
        let held_out = summary.held_out.as_ref();
        let held_out = held_out.map(|(part, counts)| (*part, &counts.labels[at]));
        notes.extend(findings::of_labels(&given.labels[at], training, held_out));
    }
    Ok(notes)
}

fn summary(
    data: &Dataset,
    training: RowCounts,
    stepper: &Stepper,
    held_out: Option<&(&'static str, Arc<dyn Source>)>,
    device: &Device,
) -> Result<Summary> {
    let model = &stepper.model;
    let held_out = match held_out {
        Some((part, source)) => {
            Some((*part, RowCounts::new(model, &**source, data.class_names())?))
        }
        None => None,
    };
    let parameters = freeze::count_trained(&stepper.session.layout);
    let frozen = match model.frozen.is_empty() {
        true => 0,
        false => freeze::count_unfrozen(model) - parameters,
    };
    Ok(Summary {
        data: data.files().map(DataFiles::to_string),
        training,
        held_out,
        model: model.name.clone(),
        parameters,
        frozen,
        init: None,
        device: stepper.session.device.describe(),
        precision: device.precision(),
    })
}

/// The device for programs. Machine code needs no compiler and fixes the precision.
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
    if let Some(samples) = options.samples {
        check_samples(samples)?;
    }
    let mut from = Vec::new();
    for (variable, run) in &options.from {
        if options.compiled.is_some() {
            let value = format!("{variable}={}", run.display());
            let message = "the compiled model does not take values from another run";
            return Err(Error::option("from", value, message)
                .help("train the model file instead of the compiled folder"));
        }
        let (folder, settings) = Folder::open(run)?;
        let text = folder.model(&settings)?.source;
        let mut upstream = model.upstream.iter();
        let upstream =
            upstream.find(|upstream| model.variables[upstream.variable.index()].name == *variable);
        if upstream.is_none_or(|upstream| upstream.model.source != text) {
            let value = format!("{variable}={}", run.display());
            let message = "the model does not take the variable from this run";
            return Err(Error::option("from", value, message)
                .help("connect the model to the run with `Model::on_run`"));
        }
        from.push(From {
            variable: variable.clone(),
            file: settings.file,
            edition: settings.edition,
            sets: settings.sets,
            model: Some(hash(text.as_bytes())),
            checkpoint: None,
        });
    }
    for upstream in &model.upstream {
        let name = &model.variables[upstream.variable.index()].name;
        if !from.iter().any(|from| from.variable == *name) {
            let message =
                format!("option `from`: expected the run that infers `{name}`, found none");
            return Err(
                Error::usage(message).help("add the variable and the run's folder to `from`")
            );
        }
    }
    if let Some(compiled) = &options.compiled
        && (!is_same_model(model, compiled)? || options.samples.is_some())
    {
        let message = "the model and the number of samples are fixed in the compiled model";
        return Err(
            Error::usage(message).help("omit the option `samples`, or compile the model again")
        );
    }
    let mut settings = Settings {
        format: settings::FORMAT,
        version: env!("CARGO_PKG_VERSION").to_string(),
        file: model.file.clone(),
        edition: model.edition.number(),
        model: Some(hash(model.source.as_bytes())),
        sets: model.sets.clone(),
        data: None,
        validation_data: None,
        test_data: None,
        fingerprint: None,
        class_names: data.class_names().clone(),
        columns: data.columns().clone(),
        labels: options.labels,
        validation: options.validation,
        early_stopping: None,
        tensorboard: options.tensorboard,
        init: None,
        freeze: options.freeze.clone(),
        seed: options.seed,
        samples: options.samples.unwrap_or(model.objective.samples),
        precision: None,
        kernels: Vec::new(),
        resolved: model.settings.clone(),
        from,
    };
    settings.set_files(data.files());
    Ok(settings)
}

/// Whether compiled programs belong to a model. They do not depend on its epochs and rate.
fn is_same_model(model: &Model, compiled: &Compiled) -> Result<bool> {
    if compiled.model.source != model.source || compiled.model.edition != model.edition {
        return Ok(false);
    }
    // Other settings may be given in epochs.
    let compiled = compiled.model.clone().set("epochs", model.train.epochs)?;
    let is_fixed = |(name, _): &&(String, String)| !RESUMABLE.contains(&name.as_str());
    let fixed = |model: &Model| -> Vec<(String, String)> {
        model.settings.iter().filter(is_fixed).cloned().collect()
    };
    Ok(fixed(&compiled) == fixed(model))
}

fn check_same_model(folder: &Folder, model: &Model, compiled: &Compiled) -> Result<()> {
    if is_same_model(model, compiled)? {
        return Ok(());
    }
    let message = format!(
        "{}: the run's model differs from the compiled model",
        folder.path.display()
    );
    Err(Error::usage(message).help("resume the run with its own model: `Trainer::resume`"))
}

/// The checkpoint of the run that infers a variable.
fn read_upstream(run: &Path) -> Result<Checkpoint> {
    let (folder, settings) = Folder::open(run)?;
    let model = folder.model(&settings)?;
    folder.read_chosen(&settings, &model, CheckpointChoice::Best)
}

/// The device of a resumed run. The run keeps its precision, which runs of format 1 lack, and on a
/// CPU its kernel family, unless another one is named or the CPU lacks it.
fn resumed_device(
    device: Option<Device>,
    settings: &Settings,
    compiled: Option<&Compiled>,
) -> Result<Device> {
    let images = compiled.and_then(Compiled::precision);
    let precision = settings.precision;
    let mut device = device.unwrap_or_else(|| {
        let precision = precision.or(images).unwrap_or_default();
        Device::detect_with(0, None, precision, images.is_none())
    });
    if let Device::Cpu {
        precision,
        family: family @ None,
        ..
    } = &mut device
    {
        let last = settings.kernels.last();
        *family = last.and_then(|last| KernelFamily::titled(last, *precision));
    }
    match (precision, &device) {
        (Some(Precision::Tf32), Device::Cpu { .. }) => {
            let message = "the run is trained in tf32, which the CPU does not support";
            Err(Error::unsupported(message).help("resume the run on a GPU: `Device::gpu`"))
        }
        (Some(precision), device) if device.precision() != precision => {
            let message = format!("the run is trained in {precision}, which cannot change");
            let error = Error::option("precision", device.precision(), message);
            Err(error.help("omit the option: a resumed run keeps its precision"))
        }
        _ => Ok(device),
    }
}
