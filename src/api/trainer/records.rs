//! What a run writes for people to look at: its learning curves, and events for TensorBoard.

use super::Trainer;
use crate::{
    error::Result,
    files::write_whole,
    run::{curves, folder::Folder},
};
use serde_json::Value;
use std::time::{Duration, Instant};

/// The least time between two drawings of the curves, so that short epochs are not delayed.
const BETWEEN_DRAWINGS: Duration = Duration::from_secs(10);

impl Trainer {
    /// Draws the learning curves of all logged epochs, unless they were drawn a moment ago and
    /// training goes on.
    pub(super) fn draw_curves(&mut self, folder: &Folder, is_last: bool) -> Result<()> {
        let is_fresh = self
            .drawn
            .is_some_and(|drawn| drawn.elapsed() < BETWEEN_DRAWINGS);
        if is_fresh && !is_last {
            return Ok(());
        }
        self.drawn = Some(Instant::now());
        let best = self.best.map(|best| best.epoch);
        match curves::svg(&self.stepper.model.name, &folder.log().epochs()?, best) {
            Some(picture) => write_whole(&folder.curves(), picture.as_bytes()),
            None => Ok(()),
        }
    }

    /// Draws the curves of a run that has ended or pauses.
    pub(super) fn draw_last_curves(&mut self) -> Result<()> {
        let Some((folder, _)) = &self.folder else {
            return Ok(());
        };
        let folder = folder.clone();
        self.draw_curves(&folder, true)
    }

    /// Makes the events those of the log.
    pub(super) fn begin_events(&self, folder: &Folder) -> Result<()> {
        match self.settings.tensorboard {
            true => folder.events().complete(&folder.log().epochs()?),
            false => Ok(()),
        }
    }

    /// Adds an epoch to the events.
    pub(super) fn add_event(&self, folder: &Folder, metrics: &Value) -> Result<()> {
        match self.settings.tensorboard {
            true => folder.events().append(metrics),
            false => Ok(()),
        }
    }
}
