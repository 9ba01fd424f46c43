//! The best epoch of a run in training: its choice on validation rows, its checkpoint, and the end
//! of training when no better one comes.

use super::{EarlyStopping, Trainer};
use crate::{
    error::{Error, Result},
    files::write_whole,
    model::{Decay, Variable},
    names::OutputName,
    note::Note,
    run::{
        best::{Best, Criterion, StoppingRule, VALIDATION},
        checkpoint::Checkpoint,
        data::Dataset,
        folder::Folder,
        settings::{RESTORE, check_patience},
    },
};
use serde_json::Value;

/// The way out without validation rows.
const HOLD_OUT: &str = "hold out training rows with the option `validation`, or mark rows of the \
                        data as validation rows; test rows never choose an epoch, because their \
                        scores would then be too good";

impl EarlyStopping {
    /// Checks the options before the model is compiled.
    ///
    /// # Errors
    /// If the patience is 0, or there are no validation rows.
    pub(super) fn check(self, data: &Dataset, validation: usize) -> Result<()> {
        if let Some(patience) = self.patience {
            check_patience(patience)?;
        }
        if validation > 0 || data.validation.is_some() {
            return Ok(());
        }
        let message = "the best epoch is chosen on validation rows, and there are none";
        Err(self.refused(message).help(HOLD_OUT))
    }

    /// An error about the option that was given.
    fn refused(self, message: &str) -> Error {
        match (self.criterion, self.patience) {
            (Some(criterion), _) => Error::option("criterion", criterion, message),
            (None, Some(patience)) => Error::option("patience", patience, message),
            (None, None) => Error::usage(message),
        }
    }
}

impl Trainer {
    /// The best epoch so far, by the criterion of [`EarlyStopping`]; `None` before the first epoch,
    /// or if the run does not choose one.
    pub fn best(&self) -> Option<Best> {
        self.best
    }

    /// Whether training stopped because no better epoch came for long enough.
    pub fn has_stopped_early(&self) -> bool {
        let choice = self.settings.early_stopping;
        choice.is_some_and(|choice| choice.stops_after(self.epoch, self.best))
    }

    /// Resolves the criterion of a new run.
    ///
    /// # Errors
    /// If validation rows have no such number.
    pub(super) fn begin_choice(&mut self, wanted: EarlyStopping) -> Result<()> {
        let held_out = self.summary.held_out.as_ref();
        let held_out = held_out.filter(|(part, _)| *part == VALIDATION);
        let counts = held_out.map_or(&[][..], |(_, counts)| &counts.labels);
        let is_labelled = |label: &Variable| {
            let mut counts = counts.iter();
            counts.any(|counts| counts.label == label.name && counts.labelled() > 0)
        };
        let model = &self.stepper.model;
        // Whether the criterion has a number on the validation rows; else the reason.
        let lacks = |criterion: Criterion| {
            let (is_wanted, kind): (fn(&Variable) -> bool, _) = match criterion {
                Criterion::Bound if self.evaluator.computes(&OutputName::Bound) => return None,
                Criterion::Bound => return Some("the model is a classifier, which has no bound"),
                Criterion::Error | Criterion::LogLoss => {
                    (Variable::is_class, "the model has no class label")
                }
                Criterion::RootMeanSquare => {
                    (|label| !label.is_class(), "the model has no numeric label")
                }
            };
            let labels = || model.labels().filter(|label| is_wanted(label));
            match (labels().next(), labels().any(is_labelled)) {
                (None, _) => Some(kind),
                (_, false) => Some("no validation row is labelled"),
                (_, true) => None,
            }
        };
        let preferred = [
            Criterion::Error,
            Criterion::RootMeanSquare,
            Criterion::Bound,
        ];
        let default = preferred
            .into_iter()
            .find(|criterion| lacks(*criterion).is_none());
        let criterion = wanted.criterion.or(default).unwrap_or(Criterion::Bound);
        if let Some(message) = lacks(criterion) {
            let listed: Vec<String> = Criterion::ALL
                .into_iter()
                .filter(|criterion| lacks(*criterion).is_none())
                .map(|criterion| format!("`criterion {criterion}`"))
                .collect();
            let help = match listed.is_empty() {
                true => "hold out labelled rows with the option `validation`".to_string(),
                false => format!("choose the epoch by {}", listed.join(" or ")),
            };
            return Err(wanted.refused(message).help(help));
        }
        self.settings.early_stopping = Some(StoppingRule {
            criterion,
            patience: wanted.patience,
        });
        self.notes.extend(self.unreached_rate());
        Ok(())
    }

    /// A note if the rate decays over epochs that a run may not reach.
    fn unreached_rate(&self) -> Option<Note> {
        let choice = self.settings.early_stopping?;
        choice.patience?;
        let train = &self.stepper.model.train;
        let Decay::Cosine { .. } = train.schedule.decay else {
            return None;
        };
        let message = format!(
            "`schedule cosine` lowers the rate over all {} epochs, so a run that stops early does \
             not reach the lowest rates",
            train.epochs
        );
        Some(Note::new(message).help(
            "set `schedule` to `constant`; or give only the option `criterion`, which trains all \
             epochs and keeps the best one",
        ))
    }

    /// Finds the best epoch of a resumed run, whose log has been cut to its checkpoint.
    ///
    /// # Errors
    /// If the checkpoint of the best epoch is missing, damaged or of another epoch.
    pub(super) fn resume_choice(&mut self, folder: &Folder) -> Result<()> {
        let Some(choice) = self.settings.early_stopping else {
            return Ok(());
        };
        let epochs = folder.log().epochs()?;
        if epochs.is_empty() {
            self.notes.extend(self.unreached_rate());
        }
        self.best = choice.best(&epochs);
        let Some(best) = self.best else {
            return Ok(());
        };
        let path = folder.best();
        let found = match path.exists() {
            true => Some(Checkpoint::read(&path)),
            false => None,
        };
        let epoch_of = |checkpoint: &Checkpoint| checkpoint.origin.as_ref().map(|run| run.epoch);
        if let Some(Ok(checkpoint)) = &found
            && epoch_of(checkpoint) == Some(best.epoch)
        {
            return checkpoint.check_origin(&self.settings, &self.stepper.model);
        }
        // A killed process may have written the last checkpoint and not yet the copy of it.
        let last = epochs.last().map(|last| (&last["epoch"], &last["step"]));
        if last == Some((&best.epoch.into(), &self.stepper.step.into())) {
            let origin = self.origin();
            return write_whole(&path, &self.stepper.to_checkpoint(&path, &origin)?);
        }
        let (path, epoch) = (path.display(), best.epoch);
        Err(match found {
            Some(Err(error)) => error,
            Some(Ok(checkpoint)) => {
                let found = epoch_of(&checkpoint).unwrap_or(0);
                let message = format!(
                    "{path}: expected the checkpoint of epoch {epoch}, the best one in \
                     metrics.jsonl, found that of epoch {found}"
                );
                Error::data(message).help(RESTORE)
            }
            None => {
                let message = format!(
                    "{path}: expected the checkpoint of the best epoch, {epoch}, found none"
                );
                Error::data(message).help(RESTORE)
            }
        })
    }

    /// Compares an epoch that just ended with the best one.
    pub(super) fn compare(&mut self, metrics: &Value) -> Result<()> {
        let choice = self.settings.early_stopping;
        let better = choice.and_then(|choice| choice.better(self.best, metrics));
        if better.is_some() {
            self.best = better;
            let origin = self.origin();
            let bytes = self.stepper.to_checkpoint("the run".as_ref(), &origin)?;
            self.unwritten_best = Some(bytes);
        }
        Ok(())
    }

    /// Writes the checkpoint of the best epoch, if there is a new one.
    pub(super) fn write_best(&mut self, folder: &Folder) -> Result<()> {
        if let Some(bytes) = &self.unwritten_best {
            write_whole(&folder.best(), bytes)?;
            self.unwritten_best = None;
        }
        Ok(())
    }

    /// A note about training that stopped early.
    pub(super) fn early_stop(&self) -> Option<Note> {
        let (best, choice) = (self.best?, self.settings.early_stopping?);
        if !self.has_stopped_early() || self.stepper.step >= self.last {
            return None;
        }
        let message = format!(
            "training stopped after epoch {}: the {} of the validation rows has not improved since \
             epoch {}",
            self.epoch,
            choice.criterion.metric(),
            best.epoch,
        );
        Some(
            Note::new(message)
                .help("to train on, resume the run with a larger value of the option `patience`"),
        )
    }
}
