//! The settings of a run: everything besides the model's text that its numbers depend on.
//!
//! The file `settings.json` has them. A checkpoint repeats those that never change
//! ([`Settings::identity`]), so that damage to either file is found.

use super::{
    best::StoppingRule,
    data::{ClassNames, ColumnNames, DataFiles, Dataset, KnownNames},
    fields::Fields,
};
use crate::{
    backend::Precision,
    error::{Error, Result},
    model::{Edition, Model},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, path::Path};

/// The format of settings that this version writes. Settings of earlier versions have no format
/// number; they are read as format 1.
pub const FORMAT: u64 = 2;
/// The most samples for each row that an evaluation takes.
pub const MOST_SAMPLES: usize = 100_000;
/// The name of data in memory.
pub const IN_MEMORY: &str = "(in memory)";
/// The settings of a model that may change when a run is resumed.
pub const RESUMABLE: [&str; 2] = ["epochs", "rate"];
/// The way out if a run's file was changed.
pub const RESTORE: &str = "restore the file from a copy, or train a new run";

/// The settings that a run was started with, besides the model's text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// The format: 1, or [`FORMAT`].
    pub format: u64,
    /// The version of dgc.
    pub version: String,
    /// The model file's name.
    pub file: String,
    /// The edition in which the model is read; 1 in format 1.
    pub edition: u64,
    /// SHA-256 of the model's text; `None` in format 1.
    pub model: Option<String>,
    /// Changed sizes and settings of the model.
    pub sets: Vec<(String, String)>,
    /// The name of the data set; `None` is the bundled MNIST excerpt.
    pub data: Option<String>,
    /// The names of the validation and of the test rows, where they have files of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_data: Option<String>,
    /// See `validation_data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_data: Option<String>,
    /// The fingerprint of the data's values, see [`Dataset::fingerprint`]; `None` in runs of
    /// earlier versions.
    pub fingerprint: Option<String>,
    /// The names of classes that have names in the data.
    #[serde(skip_serializing_if = "ClassNames::is_empty")]
    pub class_names: ClassNames,
    /// The columns of variables that took all columns of a table that nothing else took.
    #[serde(skip_serializing_if = "ColumnNames::is_empty")]
    pub columns: ColumnNames,
    /// The number of labels to keep; `None` keeps all.
    pub labels: Option<usize>,
    /// The number of training rows to hold out.
    pub validation: usize,
    /// How the best epoch is chosen; `None` uses the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_stopping: Option<StoppingRule>,
    /// The run whose parameters this one began with; `None` for new parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<Init>,
    /// Patterns of the names of parameters that training does not change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
    /// Whether the metrics are also written as events for TensorBoard.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tensorboard: bool,
    /// The seed of all random numbers.
    pub seed: u64,
    /// Samples per row in the evaluation after each epoch.
    pub samples: usize,
    /// The precision of the operands of contractions; `None` in format 1.
    pub precision: Option<Precision>,
    /// The kernel families that trained the run, in the order of their use; see
    /// [`Backend::kernels`](crate::backend::Backend::kernels). Empty in format 1.
    pub kernels: Vec<String>,
    /// The resolved value of every size and setting of the model.
    pub resolved: Vec<(String, String)>,
    /// The models that infer data variables.
    pub from: Vec<From>,
}

/// A model that infers a data variable. The run's folder has its text, and the checkpoint its
/// parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct From {
    /// The data variable.
    pub variable: String,
    /// The model file's name.
    pub file: String,
    /// The edition in which that model is read; 1 in format 1.
    #[serde(default = "first_edition")]
    pub edition: u64,
    /// The sizes and settings that were changed in that model.
    pub sets: Vec<(String, String)>,
    /// SHA-256 of the model's text; `None` in format 1.
    #[serde(default)]
    pub model: Option<String>,
    /// The checksum of the checkpoint that the parameters were read from; `None` in format 1.
    #[serde(default)]
    pub checkpoint: Option<String>,
}

/// The run that a run's first parameters come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Init {
    /// The run's folder, as it was named.
    pub run: String,
    /// The checksum of the checkpoint.
    pub checkpoint: String,
}

/// Checks a number of epochs without a better one.
///
/// # Errors
/// If it is 0.
pub fn check_patience(patience: u64) -> Result<()> {
    match patience {
        0 => Err(
            Error::option("patience", 0, "expected a whole number of epochs from 1")
                .help("training would stop after the first epoch"),
        ),
        _ => Ok(()),
    }
}

/// The edition of files that do not name one.
fn first_edition() -> u64 {
    Edition::FIRST.number()
}

/// Changes to a model that read it in that edition, followed by other changes.
pub fn in_edition(edition: u64, sets: &[(String, String)]) -> Vec<(String, String)> {
    let edition = ("edition".to_string(), edition.to_string());
    [&[edition], sets].concat()
}

impl Settings {
    /// Reads the settings from the contents of a file.
    ///
    /// # Errors
    /// If a field is missing, unknown or damaged.
    pub fn read(path: &Path, bytes: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(path.display().to_string(), bytes, RESTORE)?;
        let format: u64 = fields.take_optional("format")?.unwrap_or(1);
        if !(1..=FORMAT).contains(&format) {
            let expected = format!("expected a format up to {FORMAT}, found {format}");
            return Err(fields
                .refused(expected)
                .help("use the version of dgc that wrote the run"));
        }
        let is_old = format == 1;
        let settings = Settings {
            format,
            version: fields.take("version")?,
            file: fields.take("file")?,
            edition: if is_old {
                first_edition()
            } else {
                fields.take("edition")?
            },
            model: if is_old {
                None
            } else {
                Some(fields.take("model")?)
            },
            sets: fields.take("sets")?,
            data: fields.take("data")?,
            validation_data: fields.take_optional("validation_data")?,
            test_data: fields.take_optional("test_data")?,
            fingerprint: if is_old {
                fields.take_optional("fingerprint")?
            } else {
                Some(fields.take("fingerprint")?)
            },
            class_names: fields.take_optional("class_names")?.unwrap_or_default(),
            columns: fields.take_optional("columns")?.unwrap_or_default(),
            labels: fields.take("labels")?,
            validation: fields.take("validation")?,
            early_stopping: fields.take_optional("early_stopping")?,
            tensorboard: fields.take_optional("tensorboard")?.unwrap_or_default(),
            init: fields.take_optional("init")?,
            freeze: fields.take_optional("freeze")?.unwrap_or_default(),
            seed: fields.take("seed")?,
            samples: fields.take("samples")?,
            precision: if is_old {
                None
            } else {
                Some(fields.take("precision")?)
            },
            kernels: if is_old {
                Vec::new()
            } else {
                fields.take("kernels")?
            },
            resolved: fields.take("resolved")?,
            from: if is_old {
                fields.take_optional("from")?.unwrap_or_default()
            } else {
                fields.take("from")?
            },
        };
        if !(1..=MOST_SAMPLES).contains(&settings.samples) {
            let found = settings.samples;
            return Err(fields.refused(format!(
                "expected `samples` from 1 to {MOST_SAMPLES}, found {found}"
            )));
        }
        if let Some(from) = settings
            .from
            .iter()
            .find(|from| !is_old && from.model.is_none())
        {
            let variable = &from.variable;
            return Err(fields.refused(format!(
                "expected a field `model` of the run that infers `{variable}`, found none"
            )));
        }
        fields.finish()?;
        Ok(settings)
    }

    /// The contents of the file.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("settings are plain data") + "\n"
    }

    /// The fields that never change while a run is trained and resumed, by name. Every checkpoint
    /// repeats them.
    pub fn identity(&self) -> Map<String, Value> {
        // The last value of a name counts. The edition is a field of its own.
        let sets: BTreeMap<&String, &String> = self
            .sets
            .iter()
            .map(|(name, value)| (name, value))
            .filter(|(name, _)| !RESUMABLE.contains(&name.as_str()) && *name != "edition")
            .collect();
        let identity = serde_json::json!({
            "edition": self.edition,
            "model": self.model,
            "sets": sets,
            "fingerprint": self.fingerprint,
            "labels": self.labels,
            "validation": self.validation,
            "seed": self.seed,
            "samples": self.samples,
            "precision": self.precision,
            "from": self.from,
        });
        let Value::Object(mut identity) = identity else {
            unreachable!("the literal is an object")
        };
        // Runs without these settings have the fields of runs of earlier versions.
        if let Some(choice) = self.early_stopping {
            identity.insert("criterion".to_string(), choice.criterion.to_string().into());
        }
        if let Some(init) = &self.init {
            identity.insert("init".to_string(), init.checkpoint.clone().into());
        }
        if !self.freeze.is_empty() {
            identity.insert("freeze".to_string(), self.freeze.clone().into());
        }
        identity
    }

    /// Changes the number of epochs without a better one that end training.
    ///
    /// # Errors
    /// If the run does not choose its best epoch, or the number is 0.
    pub fn set_patience(&mut self, patience: u64) -> Result<()> {
        check_patience(patience)?;
        let Some(choice) = &mut self.early_stopping else {
            let message = "the run does not choose its best epoch";
            return Err(Error::option("patience", patience, message)
                .help("omit the option, or give it to a new run"));
        };
        choice.patience = Some(patience);
        Ok(())
    }

    /// Checks that the model has the sizes and settings that the run was started with.
    ///
    /// # Errors
    /// With the first that differs. Settings of format 1 are not checked: they keep the values from
    /// before the run was resumed.
    pub fn check_resolved(&self, path: &Path, model: &Model) -> Result<()> {
        if self.format == 1 {
            return Ok(());
        }
        let value = |all: &[(String, String)], name: &str| {
            let found = all.iter().find(|(found, _)| found == name);
            found.map_or("nothing".to_string(), |(_, value)| value.clone())
        };
        let mut names = model
            .settings
            .iter()
            .chain(&self.resolved)
            .map(|(name, _)| name);
        let differing =
            names.find(|name| value(&model.settings, name) != value(&self.resolved, name));
        let Some(name) = differing else {
            return Ok(());
        };
        let message = format!(
            "{}: `resolved` says that `{name}` is {}, but the model and `sets` give {}",
            path.display(),
            value(&self.resolved, name),
            value(&model.settings, name),
        );
        Err(Error::data(message).help(RESTORE))
    }

    /// Compares the data with the run's fingerprint; a new run stores the fingerprint.
    ///
    /// # Errors
    /// If the data differ.
    pub fn check_fingerprint(&mut self, data: &Dataset) -> Result<()> {
        let found = data.fingerprint()?;
        match &self.fingerprint {
            Some(expected) if *expected != found || self.class_names != *data.class_names() => {
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
        if runs.iter().any(|run| run.files() != runs[0].files()) {
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
        Dataset::open_files_with(&self.files(), model, Some(self.known_names()))
    }

    /// The names of the data set that the run was started with.
    pub fn files(&self) -> DataFiles {
        DataFiles {
            data: self.data.clone(),
            validation: self.validation_data.clone(),
            test: self.test_data.clone(),
        }
    }

    /// Changes the names of the data set; `None` is one in memory.
    pub fn set_files(&mut self, files: Option<&DataFiles>) {
        self.data = match files {
            Some(files) => Some(files.name().to_string()).filter(|name| name != "mnist"),
            None => Some(IN_MEMORY.to_string()),
        };
        self.validation_data = files.and_then(|files| files.validation.clone());
        self.test_data = files.and_then(|files| files.test.clone());
    }

    /// The names that data for the run must have.
    pub fn known_names(&self) -> KnownNames<'_> {
        KnownNames {
            classes: &self.class_names,
            columns: &self.columns,
        }
    }
}
