//! A run's folder: the model's text, the settings, the metrics of each epoch, the last checkpoint
//! and, if the run chooses its best epoch, that of the best epoch.
//!
//! A folder is a run once it has `settings.json`, which is written last and names the hash of the
//! model's text. From then on it has a checkpoint. A process that is killed before leaves files that
//! a new run may replace.

use super::{
    calibration::Calibration,
    checkpoint::Checkpoint,
    events::Events,
    log::Log,
    session::{Layout, Session},
    settings::{RESTORE, Settings, in_edition},
};
use crate::{
    backend::Device,
    diagnostic::Diagnostics,
    driver,
    error::{Error, Result},
    files::{self, MOST_TEXT, hash, write_whole},
    model::Model,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// A lock on a run's folder, so that only one trainer at a time trains the run.
pub struct Lock {
    _file: fs::File,
}

/// Which parameters of a run are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CheckpointChoice {
    /// Those of the best epoch if the run chooses one, else the last ones.
    #[default]
    Best,
    /// The last ones.
    Last,
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct Folder {
    /// The folder's path.
    pub path: PathBuf,
}

impl Folder {
    /// Checks the folder of a new run, and writes nothing. A run that has taken no step may be
    /// replaced.
    ///
    /// # Errors
    /// If the path is empty, the folder cannot be read, or it contains a run or other files.
    pub fn new(path: &Path) -> Result<Self> {
        check_named(path)?;
        let folder = Folder {
            path: path.to_path_buf(),
        };
        folder.check_free()?;
        Ok(folder)
    }

    fn check_free(&self) -> Result<()> {
        let path = self.path.display();
        // Settings of another program are a file like any other.
        let is_run = self.settings().is_ok();
        if !is_run {
            // A killed process leaves the lock, and files that were written before the settings.
            let is_begun = self.path.join(LOCK).exists();
            holds_only(&self.path, &|name| {
                name == LOCK || is_begun && (name.starts_with(".tmp") || is_part(name))
            })?;
        }
        if !self.has_progress() {
            return Ok(());
        }
        let error = if is_run {
            Error::usage(format!("{path}: expected a new folder, found a run"))
        } else {
            Error::usage(format!(
                "{path}: expected a new folder, found a run without {SETTINGS}"
            ))
        };
        Err(error.help("choose another folder, or resume the run with `Trainer::resume`"))
    }

    /// Whether the folder has results of training.
    fn has_progress(&self) -> bool {
        let path = self.checkpoint();
        let has_step =
            || Checkpoint::read(&path).map_or(true, |checkpoint| checkpoint.position.step > 0);
        self.log().has_epochs() || path.exists() && has_step()
    }

    /// Begins a new run: creates and locks the folder, and writes the model's text. The run is
    /// complete when it has a checkpoint and then [`Folder::write_settings`] has written the
    /// settings.
    ///
    /// # Errors
    /// If another process uses the folder or began a run there, or a file cannot be written.
    pub fn begin(&self, model: &Model) -> Result<Lock> {
        fs::create_dir_all(&self.path)
            .map_err(|error| Error::file(&self.path, "cannot be created", error))?;
        let lock = self.lock()?;
        self.check_free()?;
        // Without settings, the folder is no run while its other files are replaced.
        let mut former = vec![SETTINGS.to_string()];
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        former.extend(names.filter(|name| is_part(name)));
        for name in former {
            let _ = fs::remove_file(self.path.join(name));
        }
        write_whole(&self.model_file(), model.source.as_bytes())?;
        for upstream in &model.upstream {
            let name = &model.variables[upstream.variable.index()].name;
            write_whole(&self.upstream_file(name), upstream.model.source.as_bytes())?;
        }
        Ok(lock)
    }

    /// Writes the settings.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write_settings(&self, settings: &Settings) -> Result<()> {
        write_whole(&self.settings_file(), settings.to_json().as_bytes())
    }

    /// Locks the run against other trainers, in this process or another one, and deletes temporary
    /// files of a killed process.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.path.join(LOCK);
        let failed = |error: io::Error| Error::file(&path, "cannot be written", error);
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(failed)?;
        // A process that this one has just forked holds a copy of an old lock until it starts its
        // program, so a lock that was given back may be taken for a moment.
        let mut waits = LOCK_WAITS;
        while let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
            if waits == 0 {
                return Err(Error::usage(format!(
                    "{}: the run is being trained already",
                    self.path.display()
                ))
                .help("wait for the training to end; a new run may have another folder"));
            }
            waits -= 1;
            thread::sleep(LOCK_WAIT);
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
        let settings = folder.settings()?;
        Ok((folder, settings))
    }

    /// The settings.
    ///
    /// # Errors
    /// If the file cannot be read, or a field is missing or damaged.
    pub fn settings(&self) -> Result<Settings> {
        let file = self.settings_file();
        let read = files::open(&file).and_then(|file| files::read_at_most(file, MOST_TEXT));
        let bytes = read.map_err(|error| {
            let error = Error::file(&file, "cannot be read", error);
            if self.model_file().exists() && self.path.join(LOCK).exists() {
                return error.help(
                    "the run was interrupted before it was complete; begin it again in the same \
                     folder",
                );
            }
            if self.path.join(SEEDS).exists() {
                let runs = fs::read_dir(&self.path).into_iter().flatten().flatten();
                let runs = runs.map(|entry| entry.path());
                let first = runs.filter(|path| path.join(SETTINGS).exists()).min();
                let run = first.unwrap_or(self.path.join("seed0"));
                return error.help(format!(
                    "the folder has runs of several seeds; name one of them, such as {}",
                    run.display()
                ));
            }
            error.help("name the folder of a run, such as runs/adgm")
        })?;
        Settings::read(&file, &bytes)
    }

    /// The file of the last checkpoint.
    pub fn checkpoint(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }

    /// The file of the best epoch's checkpoint.
    pub fn best(&self) -> PathBuf {
        self.path.join(BEST)
    }

    /// The picture of the learning curves.
    pub fn curves(&self) -> PathBuf {
        self.path.join(CURVES)
    }

    /// The metrics as events for TensorBoard.
    pub fn events(&self) -> Events {
        Events::new(self.path.join(EVENTS))
    }

    fn model_file(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    fn upstream_file(&self, variable: &str) -> PathBuf {
        self.path.join(format!("from.{variable}.dgm"))
    }

    fn settings_file(&self) -> PathBuf {
        self.path.join(SETTINGS)
    }

    /// The metrics, with a line for each epoch.
    pub fn log(&self) -> Log {
        Log::new(self.path.join(METRICS))
    }

    /// The run's model.
    ///
    /// # Errors
    /// If a model's text was changed since the run began, or differs from the settings.
    pub fn model(&self, settings: &Settings) -> Result<Model> {
        let mut model = read_model(
            &self.model_file(),
            &settings.file,
            &in_edition(settings.edition, &settings.sets),
            settings.model.as_deref(),
        )?;
        settings.check_resolved(&self.settings_file(), &model)?;
        model.frozen = settings.freeze.clone();
        for from in &settings.from {
            let upstream = read_model(
                &self.upstream_file(&from.variable),
                &from.file,
                &in_edition(from.edition, &from.sets),
                from.model.as_deref(),
            )?;
            model = model
                .with_upstream(&from.variable, upstream)
                .map_err(|(message, help)| {
                    Error::data(format!("{}: {message}", self.path.display())).help(help)
                })?;
        }
        Ok(model)
    }

    /// Reads the last checkpoint.
    ///
    /// # Errors
    /// If there is no checkpoint, it is damaged, or it belongs to another run.
    pub fn read_checkpoint(&self, settings: &Settings, model: &Model) -> Result<Checkpoint> {
        let path = self.checkpoint();
        if !path.exists() {
            let message = format!("{}: expected a checkpoint, found none", self.path.display());
            // Runs of format 1 wrote their first checkpoint at the end of the first epoch.
            return Err(Error::data(message).help(match settings.format {
                1 => {
                    "a checkpoint is written at the end of each epoch; \
                     go on training with `Trainer::resume`"
                }
                _ => RESTORE,
            }));
        }
        let checkpoint = Checkpoint::read(&path)?;
        checkpoint.check_origin(settings, model)?;
        Ok(checkpoint)
    }

    /// The calibration of the class probabilities of the checkpoint that is used; `None` if the run has
    /// none.
    ///
    /// # Errors
    /// As [`Folder::read_chosen`] and [`Calibration::read`].
    pub fn calibration(
        &self,
        settings: &Settings,
        model: &Model,
        choice: CheckpointChoice,
    ) -> Result<Option<Calibration>> {
        let path = self.path.join(CALIBRATION);
        if !path.exists() {
            return Ok(None);
        }
        let checkpoint = self.read_chosen(settings, model, choice)?;
        Calibration::read(&path, &checkpoint.checksum)
    }

    /// Stores a calibration of the class probabilities of the checkpoint that is used.
    ///
    /// # Errors
    /// As [`Folder::read_chosen`], or if the file cannot be written.
    pub fn write_calibration(
        &self,
        settings: &Settings,
        model: &Model,
        choice: CheckpointChoice,
        calibration: &Calibration,
    ) -> Result<()> {
        let checkpoint = self.read_chosen(settings, model, choice)?;
        calibration.write(&self.path.join(CALIBRATION), &checkpoint.checksum)
    }

    /// Reads the checkpoint that is used. A run that chooses its best epoch has none before its
    /// first epoch is complete.
    ///
    /// # Errors
    /// As [`Folder::read_checkpoint`], or if the best epoch's checkpoint is missing.
    pub fn read_chosen(
        &self,
        settings: &Settings,
        model: &Model,
        choice: CheckpointChoice,
    ) -> Result<Checkpoint> {
        let is_last = choice == CheckpointChoice::Last || settings.early_stopping.is_none();
        let path = self.best();
        if is_last || !path.exists() {
            let last = self.read_checkpoint(settings, model)?;
            let has_epoch = last.origin.as_ref().is_some_and(|origin| origin.epoch > 0);
            if !is_last && has_epoch {
                let message = format!(
                    "{}: expected the best epoch's checkpoint {BEST}, found none",
                    self.path.display()
                );
                return Err(Error::data(message).help(
                    "restore the file from a copy, or use the last checkpoint with the option \
                     `checkpoint last`",
                ));
            }
            return Ok(last);
        }
        let checkpoint = Checkpoint::read(&path)?;
        checkpoint.check_origin(settings, model)?;
        Ok(checkpoint)
    }

    /// A session with the parameters of a checkpoint, or their averages if the run has them.
    ///
    /// # Errors
    /// As [`Folder::read_chosen`], or if the checkpoint does not fit the parameters.
    pub fn session(
        &self,
        settings: &Settings,
        model: &Model,
        choice: CheckpointChoice,
        layout: Layout,
        device: &Device,
    ) -> Result<Session> {
        let checkpoint = self.read_chosen(settings, model, choice)?;
        let mut session = Session::new(layout, device)?;
        checkpoint.fill_parameters(&mut session, &checkpoint.evaluated())?;
        Ok(session)
    }
}

/// The list of seeds in a folder of runs that differ in their seed.
pub const SEEDS: &str = "seeds.json";
const LOCK: &str = ".lock";
/// How often and how long a trainer waits for a lock: half a second in all.
const LOCK_WAITS: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(10);
const MODEL: &str = "model.dgm";
const SETTINGS: &str = "settings.json";
const METRICS: &str = "metrics.jsonl";
const CHECKPOINT: &str = "checkpoint.safetensors";
const BEST: &str = "best.safetensors";
const CURVES: &str = "curves.svg";
/// TensorBoard reads files whose names contain `tfevents`.
const EVENTS: &str = "events.out.tfevents.dgc";
const CALIBRATION: &str = "calibration.json";

/// Whether a file of this name belongs to a run, besides the settings.
fn is_part(name: &str) -> bool {
    [
        MODEL,
        METRICS,
        CHECKPOINT,
        BEST,
        CURVES,
        EVENTS,
        CALIBRATION,
    ]
    .contains(&name)
        || name.starts_with("from.") && name.ends_with(".dgm")
}

/// Whether a path is one of the files of a run, even of a damaged one.
pub fn is_run_file(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return false;
    };
    let folder = Folder {
        path: folder.to_path_buf(),
    };
    let is_file = is_part(name) || [SETTINGS, LOCK].contains(&name);
    is_file && (folder.path.join(LOCK).exists() || folder.settings().is_ok())
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

/// Reads a model whose text has a hash; `None` in runs of earlier versions.
fn read_model(
    path: &Path,
    file: &str,
    sets: &[(String, String)],
    expected: Option<&str>,
) -> Result<Model> {
    let text =
        files::read_text(path).map_err(|error| Error::file(path, "cannot be read", error))?;
    if expected.is_some_and(|expected| hash(text.as_bytes()) != expected) {
        let message = format!(
            "{}: the model was changed since the run began",
            path.display()
        );
        return Err(Error::data(message)
            .help("restore the file; to train the changed model, name it in a new run"));
    }
    match driver::check(file, &text, sets) {
        Ok((model, _)) => Ok(model),
        Err(mistakes) => {
            let diagnostics = Diagnostics::new(path.display().to_string(), text, mistakes);
            Err(Error::model(diagnostics).context(format!(
                "{}: the model of this run has mistakes",
                path.display()
            )))
        }
    }
}
