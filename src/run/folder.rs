//! A run's folder: the model's text, the settings, the metrics of each epoch and the last
//! checkpoint.

use super::{
    arrays,
    checkpoint::read_parameters,
    data::Dataset,
    session::{Layout, Session},
};
use crate::{
    backend::Device,
    diagnostic::Diagnostics,
    driver,
    error::{Error, Result},
    files::write_whole,
    model::{Edition, Model},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The most samples for each row that an evaluation takes.
pub const MOST_SAMPLES: usize = 100_000;

/// The settings that a run was started with, besides the model's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The version of dgc.
    pub version: String,
    /// The model file's name.
    pub file: String,
    /// The edition in which the model is read; absent in runs of earlier versions, which knew only
    /// the first.
    #[serde(default = "first_edition")]
    pub edition: u64,
    /// Changed sizes and settings of the model.
    pub sets: Vec<(String, String)>,
    /// The name of the data set; `None` is the bundled MNIST excerpt.
    pub data: Option<String>,
    /// The fingerprint of the data's values, see [`Dataset::fingerprint`]; `None` in runs of
    /// earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The number of labels to keep; `None` keeps all.
    pub labels: Option<usize>,
    /// The number of training rows to hold out.
    pub validation: usize,
    /// The seed of all random numbers.
    pub seed: u64,
    /// Samples per row in the evaluation after each epoch.
    pub samples: usize,
    /// The resolved value of every size and setting of the model.
    pub resolved: Vec<(String, String)>,
    /// The models that infer data variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<From>,
}

impl Settings {
    /// Compares the data with the run's fingerprint; a new run stores the fingerprint.
    ///
    /// # Errors
    /// If the data differ.
    pub fn check_fingerprint(&mut self, data: &Dataset) -> Result<()> {
        let found = data.fingerprint()?;
        match &self.fingerprint {
            Some(expected) if *expected != found => {
                let source = self.data.as_deref().unwrap_or("mnist");
                let message = format!(
                    "{source}: the data differ from the data that the run was started with"
                );
                Err(Error::data(message).help(
                    "if the original data have moved, name their place with the option `data`; \
                           to train on other data, start a new run",
                ))
            }
            Some(_) => Ok(()),
            None => {
                self.fingerprint = Some(found);
                Ok(())
            }
        }
    }

    /// The data set that several runs share; the bundled excerpt if `runs` is empty.
    ///
    /// # Errors
    /// If the runs have different data sets.
    pub fn shared_dataset(runs: &[Settings], model: &Model) -> Result<Dataset> {
        if runs.iter().any(|run| run.data != runs[0].data) {
            let message = "expected runs with the same data set, found different ones";
            return Err(Error::option("from", "", message)
                .help("choose the data set of the new run with `Dataset::open`"));
        }
        match runs.first() {
            Some(run) => run.dataset(model),
            None => Dataset::open("mnist", model),
        }
    }

    /// The data set that the run was started with.
    ///
    /// # Errors
    /// If it was in memory, or cannot be read.
    pub fn dataset(&self, model: &Model) -> Result<Dataset> {
        if self.data.as_deref() == Some(IN_MEMORY) {
            let message = "the run was trained on data in memory, which it does not store";
            return Err(Error::data(message).help("pass the data set to the operation"));
        }
        Dataset::open(self.data.as_deref().unwrap_or("mnist"), model)
    }
}

/// The edition of files that do not name one.
pub(super) fn first_edition() -> u64 {
    Edition::FIRST.number()
}

/// Changes to a model that read it in that edition, followed by other changes.
pub fn in_edition(edition: u64, sets: &[(String, String)]) -> Vec<(String, String)> {
    let edition = ("edition".to_string(), edition.to_string());
    [&[edition], sets].concat()
}

/// The name of data in memory.
pub const IN_MEMORY: &str = "(in memory)";

/// A model that infers a data variable. The run's folder has its text, and the checkpoint its
/// parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct From {
    /// The data variable.
    pub variable: String,
    /// The model file's name.
    pub file: String,
    /// The edition in which that model is read.
    #[serde(default = "first_edition")]
    pub edition: u64,
    /// The sizes and settings that were changed in that model.
    pub sets: Vec<(String, String)>,
}

/// A lock on a run's folder, so that only one trainer at a time trains the run.
pub struct Lock {
    _file: fs::File,
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder's path.
    pub path: PathBuf,
}

impl Folder {
    /// Checks the folder of a new run, and writes nothing. A run without a checkpoint may be
    /// replaced.
    ///
    /// # Errors
    /// If the path is empty, the folder cannot be read, or it contains a run with a checkpoint or
    /// other files.
    pub fn new(path: &Path) -> Result<Self> {
        check_named(path)?;
        let folder = Folder {
            path: path.to_path_buf(),
        };
        // Settings of another program are a file like any other.
        let is_run = fs::read(folder.settings_file())
            .is_ok_and(|bytes| serde_json::from_slice::<Settings>(&bytes).is_ok());
        if !is_run {
            // A run killed before its first file was complete leaves the lock and temporary files.
            let begun = path.join(".lock").exists();
            holds_only(path, &|name| {
                name == ".lock" || begun && name.starts_with(".tmp")
            })?;
        }
        if is_run && (folder.checkpoint().exists() || folder.metrics_file().exists()) {
            return Err(Error::usage(format!(
                "{}: expected a new folder, found a run",
                path.display()
            ))
            .help("choose another folder, or resume the run with `Trainer::resume`"));
        }
        Ok(folder)
    }

    /// Creates the folder, with the settings and the model's text.
    pub fn create_files(&self, settings: &Settings, model: &Model) -> Result<Lock> {
        fs::create_dir_all(&self.path)
            .map_err(|error| Error::file(&self.path, "cannot be created", error))?;
        let lock = self.lock()?;
        write_whole(&self.model_file(), model.source.as_bytes())?;
        for upstream in &model.upstream {
            let name = &model.variables[upstream.variable.index()].name;
            write_whole(&self.upstream_file(name), upstream.model.source.as_bytes())?;
        }
        self.write_settings(settings)?;
        Ok(lock)
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_settings(&self, settings: &Settings) -> Result<()> {
        let json = serde_json::to_string_pretty(settings).expect("settings are plain data") + "\n";
        write_whole(&self.settings_file(), json.as_bytes())
    }

    /// Locks the run against other trainers, in this process or another one, and deletes temporary
    /// files of a killed process.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.path.join(".lock");
        let failed = |error: io::Error| Error::file(&path, "cannot be written", error);
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::usage(format!(
                    "{}: the run is being trained already",
                    self.path.display()
                ))
                .help("wait for the training to end, or choose another folder"));
            }
            // A file system may not support locks.
            Err(fs::TryLockError::Error(_)) | Ok(()) => {}
        }
        let begun = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in begun.filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp")) {
            let _ = fs::remove_file(entry.path());
        }
        Ok(Lock { _file: file })
    }

    /// Opens the folder of a run, with the settings that it was started with.
    ///
    /// # Errors
    /// If the path is empty, or the folder is not a run.
    pub fn open(path: &Path) -> Result<(Self, Settings)> {
        check_named(path)?;
        let folder = Folder {
            path: path.to_path_buf(),
        };
        let file = folder.settings_file();
        let text = fs::read_to_string(&file).map_err(|error| {
            Error::file(&file, "cannot be read", error)
                .help("name the folder of a run, such as runs/adgm")
        })?;
        let settings = serde_json::from_str(&text)
            .map_err(|error| Error::file(&file, "the settings cannot be parsed", error))?;
        let settings: Settings = settings;
        if !(1..=MOST_SAMPLES).contains(&settings.samples) {
            let message = format!(
                "{}: expected samples from 1 to {MOST_SAMPLES}, found {}",
                file.display(),
                settings.samples
            );
            return Err(Error::data(message).help("the file was changed; restore it"));
        }
        Ok((folder, settings))
    }

    /// The file of the last checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join("checkpoint.safetensors")
    }

    fn model_file(&self) -> PathBuf {
        self.path.join("model.dgm")
    }

    fn upstream_file(&self, variable: &str) -> PathBuf {
        self.path.join(format!("from.{variable}.dgm"))
    }

    fn settings_file(&self) -> PathBuf {
        self.path.join("settings.json")
    }

    /// The metrics file, which has a line for each epoch.
    pub fn metrics_file(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The run's model.
    pub fn model(&self, settings: &Settings) -> Result<Model> {
        let mut model = read_model(
            &self.model_file(),
            &settings.file,
            &in_edition(settings.edition, &settings.sets),
        )?;
        for from in &settings.from {
            let upstream = read_model(
                &self.upstream_file(&from.variable),
                &from.file,
                &in_edition(from.edition, &from.sets),
            )?;
            model = model
                .with_upstream(&from.variable, upstream)
                .map_err(|(message, help)| {
                    Error::data(format!("{}: {message}", self.path.display())).help(help)
                })?;
        }
        Ok(model)
    }

    /// A session with the parameters of the last checkpoint.
    ///
    /// # Errors
    /// If there is no checkpoint, or it does not fit the parameters.
    pub fn session(&self, layout: Layout, device: &Device) -> Result<Session> {
        let path = self.checkpoint();
        if !path.exists() {
            let message = format!("{}: expected a checkpoint, found none", self.path.display());
            return Err(Error::data(message).help(
                "a checkpoint is written at the end of each epoch; \
                       go on training with `Trainer::resume`",
            ));
        }
        let mut session = Session::new(layout, device)?;
        let (stored, metadata) = arrays::read(&path)?;
        read_parameters(&mut session, &stored, &metadata, &path)?;
        Ok(session)
    }

    /// Appends the metrics of an epoch to the metrics file.
    pub fn log(&self, metrics: &serde_json::Value) -> Result<()> {
        let file = self.metrics_file();
        let failed = |error: io::Error| Error::file(&file, "cannot be written", error);
        let mut log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .map_err(failed)?;
        log.write_all(format!("{metrics}\n").as_bytes())
            .map_err(failed)
    }

    /// The mean loss of the first logged epoch.
    pub fn first_loss(&self) -> Option<f64> {
        let text = fs::read_to_string(self.metrics_file()).ok()?;
        serde_json::from_str::<serde_json::Value>(text.lines().next()?).ok()?["loss"].as_f64()
    }

    /// The number of the last logged epoch.
    pub fn last_epoch(&self) -> Option<u64> {
        let text = fs::read_to_string(self.metrics_file()).ok()?;
        serde_json::from_str::<serde_json::Value>(text.lines().last()?).ok()?["epoch"].as_u64()
    }

    /// Removes the metrics of epochs after the first `epochs`; a resumed run writes them anew.
    pub fn truncate_log(&self, epochs: u64) -> Result<()> {
        let Ok(text) = fs::read_to_string(self.metrics_file()) else {
            return Ok(());
        };
        let kept = text.lines().filter(|line| {
            let metrics: Option<serde_json::Value> = serde_json::from_str(line).ok();
            metrics.is_some_and(|metrics| {
                metrics["epoch"]
                    .as_u64()
                    .is_some_and(|epoch| epoch <= epochs)
            })
        });
        let kept: String = kept.map(|line| format!("{line}\n")).collect();
        write_whole(&self.metrics_file(), kept.as_bytes())
    }
}

/// Checks that the path of a folder is not empty: an empty path would be the working directory.
///
/// # Errors
/// If it is empty.
pub fn check_named(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() {
        let message = "expected the path of a folder, found an empty path";
        return Err(Error::usage(message).help("write `.` for the working directory"));
    }
    Ok(())
}

/// Checks that a folder, if it exists, contains only `expected` files.
///
/// # Errors
/// With the first other file, or if `folder` is a file or cannot be read.
pub fn holds_only(folder: &Path, expected: &dyn Fn(&str) -> bool) -> Result<()> {
    let failed = |error: io::Error| Error::file(folder, "cannot be read", error);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(failed(error).help("name a folder; this path is, or goes through, a file"));
        }
        Err(error) => return Err(failed(error).help("check the folder's permissions")),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(
            entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    match names.into_iter().filter(|name| !expected(name)).min() {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "{}: expected an empty folder, found other files, such as `{other}`",
                folder.display()
            );
            Err(Error::usage(message).help("name an empty or new folder"))
        }
    }
}

fn read_model(path: &Path, file: &str, sets: &[(String, String)]) -> Result<Model> {
    let text =
        fs::read_to_string(path).map_err(|error| Error::file(path, "cannot be read", error))?;
    match driver::check(file, &text, sets) {
        Ok((model, _)) => Ok(model),
        Err(mistakes) => {
            let diagnostics = Diagnostics::new(path.display().to_string(), text, mistakes);
            Err(Error::model(diagnostics).context("the model of this run has mistakes"))
        }
    }
}
