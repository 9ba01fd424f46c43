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
    model::Model,
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// What a run was started with, besides the model's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Of dgc.
    pub version: String,
    /// The model file's name.
    pub file: String,
    /// The sizes and settings that were changed in the model.
    pub sets: Vec<(String, String)>,
    /// None: the bundled excerpt of MNIST.
    pub data: Option<String>,
    /// Of the data's values, see [`Dataset::fingerprint`]; runs of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Labels that were kept; none: all of them.
    pub labels: Option<usize>,
    /// Training rows that were held out.
    pub validation: usize,
    /// Of everything random.
    pub seed: u64,
    /// Samples a row when the run evaluates itself.
    pub samples: usize,
    /// Every size and setting of the model as it was resolved.
    pub resolved: Vec<(String, String)>,
    /// The models that infer data variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<From>,
}

impl Settings {
    /// Compares the data with those that the run began with; a run that begins notes them.
    ///
    /// # Errors
    /// If the run began with other data.
    pub fn check_fingerprint(&mut self, data: &Dataset) -> Result<()> {
        let found = data.fingerprint()?;
        match &self.fingerprint {
            Some(expected) if *expected != found => {
                let source = self.data.as_deref().unwrap_or("mnist");
                let message = format!("{source}: not the data that the run began with");
                Err(Error::data(message)
                    .help("name these with --data if they were moved, or begin another run"))
            }
            Some(_) => Ok(()),
            None => {
                self.fingerprint = Some(found);
                Ok(())
            }
        }
    }

    /// The data set that several runs share: that of the first; the bundled excerpt if there is none.
    ///
    /// # Errors
    /// If the runs have different data.
    pub fn shared_dataset(runs: &[Settings], model: &Model) -> Result<Dataset> {
        if runs.iter().any(|run| run.data != runs[0].data) {
            let message = "the runs that it names have data of their own each";
            return Err(Error::option("from", "", message)
                .help("say with --data which this run is to take"));
        }
        match runs.first() {
            Some(run) => run.dataset(model),
            None => Dataset::open("mnist", model),
        }
    }

    /// The data set that the run began with.
    ///
    /// # Errors
    /// If it was in memory, or cannot be read.
    pub fn dataset(&self, model: &Model) -> Result<Dataset> {
        if self.data.as_deref() == Some(IN_MEMORY) {
            let message = "the data of this run were in memory";
            return Err(Error::data(message).help("give the operation a data set"));
        }
        Dataset::open(self.data.as_deref().unwrap_or("mnist"), model)
    }
}

/// The name of data that were in memory.
pub const IN_MEMORY: &str = "(in memory)";

/// A model that infers a data variable: its text is kept beside the run's own, its parameters in
/// the checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct From {
    /// The data variable.
    pub variable: String,
    /// The model file's name.
    pub file: String,
    /// The sizes and settings that were changed in that model.
    pub sets: Vec<(String, String)>,
}

/// Kept by the process that trains a run, so that no other does.
pub struct Lock {
    _file: fs::File,
}

/// A folder that a run is kept in.
#[derive(Clone, Debug)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
}

impl Folder {
    /// The folder of a new run; one that holds a run already, or anything else, is refused. Nothing
    /// is written yet. A run that came to no checkpoint has nothing to lose, and is begun anew.
    pub fn new(path: &Path) -> Result<Self> {
        let folder = Folder {
            path: path.to_path_buf(),
        };
        let is_run = folder.settings_file().exists();
        if !is_run {
            // A run that was killed before its first file leaves the lock and temporary files.
            let begun = path.join(".lock").exists();
            holds_only(path, &|name| {
                name == ".lock" || begun && name.starts_with(".tmp")
            })?;
        }
        if is_run && (folder.checkpoint().exists() || folder.metrics_file().exists()) {
            return Err(
                Error::usage(format!("{}: there is a run already", path.display())).help(format!(
                    "name another folder with -o, or go on with it: dgc train {} --resume",
                    path.display()
                )),
            );
        }
        Ok(folder)
    }

    /// Makes the folder, with the settings and the model's text.
    pub fn create_files(&self, settings: &Settings, model: &Model) -> Result<Lock> {
        fs::create_dir_all(&self.path)
            .map_err(|error| Error::file(&self.path, "cannot be made", error))?;
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

    /// Keeps other processes from training this run, and clears away what one that was killed had
    /// begun to write.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.path.join(".lock");
        let failed = |error: std::io::Error| Error::file(&path, "cannot be written", error);
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Err(fs::TryLockError::WouldBlock) => {
                return Err(Error::usage(format!(
                    "{}: another process trains this run",
                    self.path.display()
                ))
                .help("wait for it, or name another folder with -o"));
            }
            // A file system without locks has none to keep.
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
    /// If the folder holds no run.
    pub fn open(path: &Path) -> Result<(Self, Settings)> {
        let folder = Folder {
            path: path.to_path_buf(),
        };
        let file = folder.settings_file();
        let text = fs::read_to_string(&file).map_err(|error| {
            Error::file(&file, "cannot be read", error)
                .help("name the folder of a run, as `dgc train` made it")
        })?;
        let settings = serde_json::from_str(&text)
            .map_err(|error| Error::file(&file, "cannot be understood", error))?;
        Ok((folder, settings))
    }

    /// The last checkpoint's file.
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

    /// The file with a line of metrics for each epoch.
    pub fn metrics_file(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The run's model.
    pub fn model(&self, settings: &Settings) -> Result<Model> {
        let mut model = read_model(&self.model_file(), &settings.file, &settings.sets)?;
        for from in &settings.from {
            let upstream = read_model(&self.upstream_file(&from.variable), &from.file, &from.sets)?;
            model = model
                .with_upstream(&from.variable, upstream)
                .map_err(|(message, help)| {
                    Error::data(format!("{}: {message}", self.path.display())).help(help)
                })?;
        }
        Ok(model)
    }

    /// A session with these parameters as they are in the last checkpoint.
    pub fn session(&self, layout: Layout, device: &Device) -> Result<Session> {
        let path = self.checkpoint();
        if !path.exists() {
            let message = format!("{}: the run has no checkpoint yet", self.path.display());
            return Err(Error::data(message).help("one is written at the end of each epoch"));
        }
        let mut session = Session::new(layout, device)?;
        let (stored, metadata) = arrays::read(&path)?;
        read_parameters(&mut session, &stored, &metadata, &path)?;
        Ok(session)
    }

    /// Appends the metrics of an epoch as one line.
    pub fn log(&self, metrics: &serde_json::Value) -> Result<()> {
        let file = self.metrics_file();
        let failed = |error: std::io::Error| Error::file(&file, "cannot be written", error);
        let mut log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&file)
            .map_err(failed)?;
        log.write_all(format!("{metrics}\n").as_bytes())
            .map_err(failed)
    }

    /// The mean loss of the first epoch, if one was logged.
    pub fn first_loss(&self) -> Option<f64> {
        let text = fs::read_to_string(self.metrics_file()).ok()?;
        serde_json::from_str::<serde_json::Value>(text.lines().next()?).ok()?["loss"].as_f64()
    }

    /// The last epoch that was logged.
    pub fn last_epoch(&self) -> Option<u64> {
        let text = fs::read_to_string(self.metrics_file()).ok()?;
        serde_json::from_str::<serde_json::Value>(text.lines().last()?).ok()?["epoch"].as_u64()
    }

    /// Forgets the metrics of epochs after that many, which a resumed run will write again.
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

/// That every file in a folder is `expected`, if the folder is there: others are never overwritten.
///
/// # Errors
/// With the first file that is not.
pub fn holds_only(folder: &Path, expected: &dyn Fn(&str) -> bool) -> Result<()> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    match names.filter(|name| !expected(name)).min() {
        None => Ok(()),
        Some(other) => {
            let message = format!(
                "{}: the folder holds other files, such as `{other}`",
                folder.display()
            );
            Err(Error::usage(message).help("name a new folder with -o"))
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
            Err(Error::model(diagnostics).context("the model of this run cannot be read"))
        }
    }
}
