//! An overview of runs: what each was, how far it is and how good.

use crate::{
    error::{Error, Result},
    run::{
        checkpoint::Checkpoint,
        folder::Folder,
        settings::{IN_MEMORY, Settings},
    },
};
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// The runs in some folders.
#[derive(Debug, Default)]
pub struct Overview {
    /// The runs, in the order of their paths.
    pub runs: Vec<RunOverview>,
    /// Why other runs cannot be read.
    pub unreadable: Vec<Error>,
}

/// What a run was, how far it is and how good.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunOverview {
    /// The run's folder.
    pub folder: PathBuf,
    /// The name of the model's file.
    pub model: String,
    /// The name or path of the data set; `None` for data in memory.
    pub data: Option<String>,
    /// The number of labels that were kept; `None` for all.
    pub labels: Option<usize>,
    /// The seed.
    pub seed: u64,
    /// Changed sizes and settings of the model.
    pub changed: Vec<(String, String)>,
    /// The epochs that are complete.
    pub epochs: u64,
    /// The epochs of the whole run.
    pub of_epochs: u64,
    /// The time of the complete epochs, in seconds.
    pub seconds: f64,
    /// Whether training is complete: all epochs, or it stopped early.
    pub is_done: bool,
    /// The best epoch, if the run chooses one. The bound and the errors are of this epoch.
    pub best_epoch: Option<u64>,
    /// The rows that the numbers are of: `validation` or `test`; `None` without such rows.
    pub part: Option<&'static str>,
    /// The mean bound after the last epoch, or the best one, in nats per row.
    pub bound: Option<f64>,
    /// The error of each label after the last epoch, or the best one, as a fraction, by label.
    pub errors: BTreeMap<String, f64>,
    /// The root mean squared error of each numeric label, in the same way.
    pub rmse: BTreeMap<String, f64>,
    /// The least error of the first label, and its epoch.
    pub least_error: Option<(u64, f64)>,
}

/// The most levels of folders below one that is searched.
const MOST_LEVELS: usize = 4;

impl Overview {
    /// Finds the runs in folders: the folders themselves, or those within, up to four levels deep.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn new(folders: &[impl AsRef<Path>]) -> Result<Self> {
        let mut overview = Overview::default();
        for folder in folders {
            overview.search(folder.as_ref(), MOST_LEVELS)?;
        }
        Ok(overview)
    }

    fn search(&mut self, folder: &Path, levels: usize) -> Result<()> {
        if folder.join("settings.json").exists() {
            match RunOverview::new(folder) {
                Ok(run) => self.runs.push(run),
                Err(error) => self.unreadable.push(error),
            }
            return Ok(());
        }
        if levels == 0 {
            return Ok(());
        }
        let unreadable = |error| Error::file(folder, "cannot be read", error);
        let mut inner = Vec::new();
        for entry in fs::read_dir(folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.is_dir() && !path.is_symlink() {
                inner.push(path);
            }
        }
        inner.sort();
        inner
            .iter()
            .try_for_each(|path| self.search(path, levels - 1))
    }
}

impl RunOverview {
    /// Reads a run's settings and metrics.
    ///
    /// # Errors
    /// If the folder is not a run, or its files cannot be read.
    pub fn new(path: &Path) -> Result<Self> {
        let (folder, settings) = Folder::open(path)?;
        let mut epochs = folder.log().epochs()?;
        // A killed run may have logged epochs that its checkpoint lacks; resuming removes them.
        if let Some(saved) = Checkpoint::logged_epoch(&folder.checkpoint())? {
            epochs.retain(|epoch| epoch["epoch"].as_u64() <= Some(saved));
        }
        let last = epochs.last();
        let done = last.and_then(|epoch| epoch["epoch"].as_u64()).unwrap_or(0);
        let choice = settings.early_stopping;
        let best = choice.and_then(|choice| choice.best(&epochs));
        let stopped = choice.is_some_and(|choice| choice.stops_after(done, best));
        let used = match best {
            Some(best) => epochs.iter().find(|epoch| epoch["epoch"] == best.epoch),
            None => last,
        };
        let of_epochs = resolved_epochs(&settings);
        let part = ["validation", "test"]
            .into_iter()
            .find(|part| last.is_some_and(|epoch| epoch.get(part).is_some()));
        let scores = |epoch: &Value, name: &str| {
            part.map_or(BTreeMap::new(), |part| by_label(&epoch[part], name))
        };
        let least = epochs.iter().filter_map(|epoch| {
            let error = scores(epoch, "error").into_values().next()?;
            Some((epoch["epoch"].as_u64()?, error))
        });
        Ok(RunOverview {
            folder: path.to_path_buf(),
            model: settings.file.clone(),
            data: data(&settings),
            labels: settings.labels,
            seed: settings.seed,
            epochs: done,
            of_epochs,
            is_done: done >= of_epochs || stopped,
            best_epoch: best.map(|best| best.epoch),
            seconds: epochs
                .iter()
                .filter_map(|epoch| epoch["seconds"].as_f64())
                .sum(),
            part,
            bound: used
                .zip(part)
                .and_then(|(epoch, part)| epoch[part]["bound"].as_f64()),
            errors: used.map(|epoch| scores(epoch, "error")).unwrap_or_default(),
            rmse: used.map(|epoch| scores(epoch, "RMSE")).unwrap_or_default(),
            least_error: least.min_by(|(_, left), (_, right)| left.total_cmp(right)),
            changed: settings.sets,
        })
    }
}

fn data(settings: &Settings) -> Option<String> {
    match settings.data.as_deref() {
        None => Some("mnist".to_string()),
        Some(IN_MEMORY) => None,
        Some(name) => Some(name.to_string()),
    }
}

/// The scores of this name of an epoch, by label. A single label's has no name in the metrics.
fn by_label(scores: &Value, name: &str) -> BTreeMap<String, f64> {
    let fields = scores.as_object().into_iter().flatten();
    let named = fields.filter_map(|(key, value)| {
        let label = match key.strip_prefix(name)? {
            "" => "",
            rest => rest.strip_prefix(" of ")?,
        };
        Some((label.to_string(), value.as_f64()?))
    });
    named.collect()
}

fn resolved_epochs(settings: &Settings) -> u64 {
    let found = settings.resolved.iter().find(|(name, _)| name == "epochs");
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}
