//! The progress of training on a terminal.

use super::terminal::print;
use crate::{Progress, Result, Trainer};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A progress bar, drawn only if standard error is a terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// The bar of a trainer's steps.
    pub fn new(trainer: &Trainer) -> Self {
        let steps = trainer.steps();
        if !std::io::stderr().is_terminal() {
            let hidden = ProgressDrawTarget::hidden();
            return Bar(ProgressBar::with_draw_target(Some(steps), hidden));
        }
        let style =
            ProgressStyle::with_template("{bar:20} {pos}/{len}  {msg}{per_sec}, {eta} left");
        let bar = ProgressBar::new(steps).with_position(trainer.steps_taken());
        bar.set_style(style.expect("the template is valid"));
        Bar(bar)
    }

    /// Shows a step, and prints a line for an epoch that ended.
    ///
    /// # Errors
    /// If the line cannot be printed.
    pub fn show(&self, progress: &Progress) -> Result<()> {
        self.0.inc(1);
        let printed = progress
            .ended
            .map(|epoch| self.0.suspend(|| print(&format!("{epoch}\n"))));
        if !self.0.is_hidden() {
            self.0.set_message(message(progress));
        }
        printed.unwrap_or(Ok(()))
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// The current epoch, its mean bounds so far, and the last errors on the held-out rows.
fn message(progress: &Progress) -> String {
    let bounds: String = progress
        .bounds()
        .map(|(case, mean)| format!("{case} {mean:.1}  "))
        .collect();
    let errors = progress
        .last
        .map_or(String::new(), |epoch| epoch.errors() + "  ");
    format!("epoch {}  {bounds}{errors}", progress.epochs.floor() + 1.0)
}
