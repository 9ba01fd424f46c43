//! Training.

use crate::{
    data::{Dataset, Files},
    device::DeviceChoice,
    error::{OrRaise, raised},
    model::Model,
    run::Run,
};
use dgc::{
    Criterion, DataPlace, EarlyStopping, Error, Options, Outcome, Progress, ResumeOptions, Trainer,
    ValidationRows,
};
use pyo3::prelude::*;
use std::{
    ops::ControlFlow,
    path::PathBuf,
    time::{Duration, Instant},
};

/// The time between two calls of Python during an epoch.
const BETWEEN_CALLS: Duration = Duration::from_millis(50);

/// The options of a new run, as Python names them.
#[derive(pyo3::FromPyObject)]
#[pyo3(from_item_all)]
pub struct NewRun {
    labels: Option<usize>,
    validation: Option<String>,
    patience: Option<u64>,
    criterion: Option<String>,
    seed: u64,
    samples: Option<usize>,
    out: Option<PathBuf>,
    from_: Vec<(String, PathBuf)>,
    init: Option<PathBuf>,
    freeze: Vec<String>,
    tensorboard: bool,
}

/// The functions of Python that watch training. `begun` gets the first lines and the notes, `step` the
/// step, the last step, the epochs done and the bounds, and `epoch` the metrics and the line of an
/// epoch. Training stops if one of the last two returns a true value.
#[derive(pyo3::FromPyObject)]
#[pyo3(from_item_all)]
pub struct Watch {
    begun: Py<PyAny>,
    step: Py<PyAny>,
    epoch: Py<PyAny>,
}

/// Trains a model on a data set. `folder` is where the run is written at the end, if the options name
/// no folder.
#[pyfunction]
pub fn train(
    py: Python<'_>,
    model: &Model,
    data: &Dataset,
    options: NewRun,
    device: DeviceChoice,
    folder: PathBuf,
    watch: Watch,
) -> PyResult<Run> {
    let output = options.out.clone();
    let begun = py.detach(|| -> dgc::Result<Trainer> {
        let options = options.of(&data.dataset, device)?;
        Trainer::new(&model.model, &data.dataset, options)
    });
    finish(py, begun.or_raise(py)?, output.unwrap_or(folder), &watch)
}

/// Resumes the run in a folder.
#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "the arguments of Python")]
pub fn resume(
    py: Python<'_>,
    folder: PathBuf,
    data: Option<&Dataset>,
    place: Option<Files>,
    sets: Vec<(String, String)>,
    patience: Option<u64>,
    device: DeviceChoice,
    watch: Watch,
) -> PyResult<Run> {
    let data = data.map(|data| DataPlace::Loaded(data.dataset.clone()));
    let begun = py.detach(|| -> dgc::Result<Trainer> {
        let precision = dgc::Run::precision_of(&folder)?;
        let options = ResumeOptions {
            patience,
            sets,
            data: data.or(place.map(|files| DataPlace::Named(files.into()))),
            device: Some(device.device(precision)?),
            ..ResumeOptions::default()
        };
        Trainer::resume(&folder, options)
    });
    finish(py, begun.or_raise(py)?, folder, &watch)
}

impl NewRun {
    fn of(self, data: &dgc::Dataset, device: DeviceChoice) -> dgc::Result<Options> {
        let validation = match self.validation {
            None => 0,
            Some(text) => {
                let rows: Result<ValidationRows, String> = text.parse();
                let rows = rows.map_err(|message| {
                    Error::option("validation", &text, message).help("for example: 0.1")
                })?;
                rows.of(data.train().rows())
            }
        };
        let criterion = self.criterion.as_deref().map(criterion).transpose()?;
        let is_stopping = criterion.is_some() || self.patience.is_some();
        Ok(Options {
            labels: self.labels,
            validation,
            early_stopping: is_stopping.then_some(EarlyStopping {
                criterion,
                patience: self.patience,
            }),
            seed: self.seed,
            epochs: None,
            samples: self.samples,
            device: Some(device.device(None)?),
            output: self.out,
            from: self.from_,
            tensorboard: self.tensorboard,
            init: self.init,
            freeze: self.freeze,
            compiled: None,
            cancel: None,
        })
    }
}

fn criterion(name: &str) -> dgc::Result<Criterion> {
    match name {
        "error" => Ok(Criterion::Error),
        "log-loss" | "log_loss" => Ok(Criterion::LogLoss),
        "bound" => Ok(Criterion::Bound),
        _ => Err(
            Error::option("criterion", name, "there is no such criterion")
                .help("the criteria are error, log-loss and bound"),
        ),
    }
}

/// Trains to the end, writes the run to its folder and opens it.
fn finish(py: Python<'_>, mut trainer: Trainer, folder: PathBuf, watch: &Watch) -> PyResult<Run> {
    let notes = notes(&trainer, 0);
    watch
        .begun
        .call1(py, (trainer.summary().to_string(), notes))?;
    let before = trainer.notes().len();
    let mut last = Instant::now();
    let mut failure = None;
    let ended = py.detach(|| {
        trainer.train(|progress| {
            if progress.ended.is_none() && last.elapsed() < BETWEEN_CALLS {
                return ControlFlow::Continue(());
            }
            last = Instant::now();
            match Python::attach(|py| show(py, progress, watch)) {
                Ok(false) => ControlFlow::Continue(()),
                Ok(true) => ControlFlow::Break(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        })
    });
    if let Some(failure) = failure {
        // The checkpoint of the last step is written.
        return match ended {
            Ok(_) => Err(failure),
            Err(error) => Err(raised(py, &error)),
        };
    }
    let ended = ended.or_raise(py)?;
    let summary = notes_of_end(&trainer, before, ended);
    let run = py.detach(|| trainer.finish(&folder)).or_raise(py)?;
    drop(trainer);
    watch.begun.call1(py, ("", summary))?;
    Ok(Run::new(run))
}

fn notes_of_end(trainer: &Trainer, before: usize, ended: Outcome) -> Vec<String> {
    match ended {
        Outcome::Done => notes(trainer, before),
        Outcome::Stopped => Vec::new(),
    }
}

fn notes(trainer: &Trainer, from: usize) -> Vec<String> {
    trainer.notes()[from..]
        .iter()
        .map(dgc::Note::to_string)
        .collect()
}

/// Shows the progress to Python. Whether training is to stop.
fn show(py: Python<'_>, progress: &Progress, watch: &Watch) -> PyResult<bool> {
    py.check_signals()?;
    // The means of an epoch end with it.
    let bounds: Vec<(&str, f64)> = match progress.ended {
        None => progress.bounds().collect(),
        Some(epoch) => ["all", "labelled", "unlabelled"]
            .into_iter()
            .filter_map(|case| Some((case, epoch.bound(case)?)))
            .collect(),
    };
    let step = (progress.step, progress.steps, progress.epochs, bounds);
    let stops = watch.step.call1(py, step)?.is_truthy(py)?;
    let Some(epoch) = progress.ended else {
        return Ok(stops);
    };
    let metrics = (epoch.metrics().to_string(), epoch.to_string());
    Ok(watch.epoch.call1(py, metrics)?.is_truthy(py)? || stops)
}
