//! The options of new and of resumed runs.

use crate::{
    api::cancel::Cancel,
    backend::Device,
    error::Error,
    run::{
        best::Criterion,
        compiled::Compiled,
        data::{DataFiles, Dataset},
    },
};
use std::path::PathBuf;

/// How a model is trained.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The number of labels to keep, as evenly over the classes as possible, at least one of each
    /// class; `None` keeps all.
    pub labels: Option<usize>,
    /// The number of training rows to hold out and report on instead of the test rows; fewer than
    /// all.
    pub validation: usize,
    /// The choice of the best epoch on validation rows, and the end of training when no better one
    /// comes; `None` trains all epochs and uses the last.
    pub early_stopping: Option<EarlyStopping>,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The number of passes over the training rows; `None` takes the model's setting.
    pub epochs: Option<usize>,
    /// Samples per row in the evaluation after each epoch, from 1 to 100,000; `None` takes as many
    /// as in training.
    pub samples: Option<usize>,
    /// The device; `None` takes [`Device::detect`].
    pub device: Option<Device>,
    /// The run's folder, which gets a checkpoint before the first step and after each epoch, or
    /// once a second where epochs take less, so that the run can be resumed.
    /// If `None`, the run stays in memory until [`Trainer::finish`](crate::Trainer::finish).
    pub output: Option<PathBuf>,
    /// Each variable that another run infers ([`Model::on_run`](crate::Model::on_run)), with that run's folder.
    pub from: Vec<(String, PathBuf)>,
    /// Whether the run's folder also gets the metrics as events for TensorBoard.
    pub tensorboard: bool,
    /// A run whose parameters this one begins with. Parameters with the same names and shapes are
    /// copied, and so are the old parts of those with one longer axis; others are new.
    /// [`Trainer::summary`](super::Trainer::summary) lists the differences.
    pub init: Option<PathBuf>,
    /// Patterns of the names of parameters that training does not change, such as `p.*`: no update, no
    /// weight decay, and no change of batch norm's running averages. `*` stands for any text, `?` for one
    /// letter. `!` before a pattern excepts the parameters that match it; the last pattern that matches a name
    /// decides.
    pub freeze: Vec<String>,
    /// Programs of the same model, compiled ahead of time.
    pub compiled: Option<Compiled>,
    /// A flag that stops training with [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) before the next step.
    pub cancel: Option<Cancel>,
}

/// How a run is resumed.
#[derive(Clone, Debug, Default)]
pub struct ResumeOptions {
    /// The number of passes over the training rows, counting those done; `None` leaves it
    /// unchanged.
    pub epochs: Option<usize>,
    /// The number of epochs without a better one that end training; `None` leaves it unchanged.
    pub patience: Option<u64>,
    /// Begins to write events for TensorBoard, if the run does not write them already.
    pub tensorboard: bool,
    /// Settings to change; only `epochs` and `rate` are allowed.
    pub sets: Vec<(String, String)>,
    /// The new place of the run's data set, or the data set itself if it was in memory.
    pub data: Option<DataPlace>,
    /// The device, at the run's precision; `None` takes a GPU if one is found, else the CPU. A CPU
    /// without a kernel family takes the one that trained the run last, if it has it.
    pub device: Option<Device>,
    /// Programs of the same model, compiled ahead of time.
    pub compiled: Option<Compiled>,
    /// A flag that stops training with [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted) before the next step.
    pub cancel: Option<Cancel>,
}

/// The data set of a resumed run.
#[derive(Clone, Debug)]
pub enum DataPlace {
    /// Names, folders or files for [`Dataset::open_files`]; the run's where there are none.
    Named(DataFiles),
    /// The data set itself.
    Loaded(Dataset),
}

/// How the best epoch is chosen, and when training stops.
///
/// The run keeps the parameters of its best epoch beside those of the last one. The validation rows
/// decide, never the test rows: an error on rows that chose the epoch is too low.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EarlyStopping {
    /// What is compared; `None` takes the error if validation rows are labelled, else the bound.
    pub criterion: Option<Criterion>,
    /// The number of epochs without a better one that end training, at least 1; `None` trains all
    /// epochs.
    pub patience: Option<u64>,
}

impl ResumeOptions {
    /// The error for an option that cannot change when a run is resumed.
    pub(crate) fn fixed(name: &str) -> Error {
        Error::option(name, "", "a resumed run keeps this setting")
            .help("omit the option; only `epochs`, `rate`, `patience` and the place of the data may be changed")
    }
}
