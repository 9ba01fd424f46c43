//! `dgc runs`: a table of runs.

use super::terminal::{note, print, print_json};
use crate::{Error, Overview, Result, RunOverview};
use clap::{Args, ValueEnum};
use std::{collections::BTreeMap, path::PathBuf};

/// Compare runs: a table of their settings, epochs, held-out errors and bounds
///
/// Errors and bounds are of the rows held out, after the last epoch: validation rows if there are any,
/// else the test rows.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc runs runs --sort error")]
pub(super) struct Runs {
    /// Folders of runs, or folders that contain some
    #[arg(value_name = "FOLDER", default_value = "runs")]
    folders: Vec<PathBuf>,
    /// The order of the runs
    #[arg(long, value_enum, default_value_t = Order::Name)]
    sort: Order,
    /// Print the runs as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Order {
    /// By the name of the folder
    Name,
    /// The least error first, or the least RMSE for runs with numeric labels alone
    Error,
    /// The highest bound first
    Bound,
}

impl Runs {
    pub fn run(self) -> Result<()> {
        let mut overview = Overview::new(&self.folders)?;
        for error in &overview.unreadable {
            note(format!("left out: {error}"));
        }
        if overview.runs.is_empty() {
            let folders: Vec<String> = self
                .folders
                .iter()
                .map(|folder| folder.display().to_string())
                .collect();
            let message = format!("{}: found no run", folders.join(", "));
            return Err(Error::usage(message).help("`dgc train MODEL -o FOLDER` makes one"));
        }
        let error =
            |run: &RunOverview| run.errors.values().chain(run.rmse.values()).next().copied();
        match self.sort {
            Order::Name => {}
            Order::Error => overview.runs.sort_by(|left, right| {
                let key = |run| error(run).unwrap_or(f64::INFINITY);
                key(left).total_cmp(&key(right))
            }),
            Order::Bound => overview.runs.sort_by(|left, right| {
                let key = |run: &RunOverview| run.bound.unwrap_or(f64::NEG_INFINITY);
                key(right).total_cmp(&key(left))
            }),
        }
        if self.json {
            return print_json(&serde_json::json!(overview.runs));
        }
        print(&table(&overview.runs))
    }
}

/// The runs as a table. A column that is the same in all rows, and does not tell them apart, is left
/// out.
fn table(runs: &[RunOverview]) -> String {
    let percent = |error: f64| format!("{:.2} %", 100.0 * error);
    let by_label = |scores: &BTreeMap<String, f64>, text: &dyn Fn(f64) -> String| {
        let each = scores.iter().map(|(label, score)| match label.as_str() {
            "" => text(*score),
            label => format!("{label} {}", text(*score)),
        });
        each.collect::<Vec<_>>().join(", ")
    };
    let errors = |run: &RunOverview| by_label(&run.errors, &percent);
    let rmse = |run: &RunOverview| by_label(&run.rmse, &|score| format!("{score:.4}"));
    let labels = |run: &RunOverview| {
        run.labels
            .map_or("all".to_string(), |count| count.to_string())
    };
    let changed = |run: &RunOverview| {
        let each = run
            .changed
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        each.collect::<Vec<_>>().join(" ")
    };
    type Cell<'a> = &'a dyn Fn(&RunOverview) -> String;
    let columns: [(&str, bool, Cell); 12] = [
        ("run", true, &|run| run.folder.display().to_string()),
        ("model", false, &|run| run.model.clone()),
        ("data", false, &|run| {
            run.data.clone().unwrap_or("in memory".to_string())
        }),
        ("labels", false, &labels),
        ("seed", false, &|run| run.seed.to_string()),
        ("changed", false, &changed),
        ("epochs", true, &|run| {
            format!("{}/{}", run.epochs, run.of_epochs)
        }),
        ("minutes", true, &|run| format!("{:.1}", run.seconds / 60.0)),
        ("error", false, &errors),
        ("RMSE", false, &rmse),
        ("least error", false, &|run| {
            let least = run.least_error;
            least.map_or(String::new(), |(epoch, error)| {
                format!("{} (epoch {epoch})", percent(error))
            })
        }),
        ("bound", true, &|run| {
            let part = run.part.unwrap_or_default();
            run.bound
                .map_or(String::new(), |bound| format!("{bound:.2} ({part})"))
        }),
    ];
    let mut lines = vec![String::new(); runs.len() + 1];
    for (title, always, cell) in columns {
        let cells: Vec<String> = runs.iter().map(cell).collect();
        if !always
            && (cells.iter().all(|cell| *cell == cells[0]) && runs.len() > 1
                || cells.iter().all(String::is_empty))
        {
            continue;
        }
        let all = std::iter::once(title).chain(cells.iter().map(String::as_str));
        let width = all
            .clone()
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0);
        for (line, cell) in lines.iter_mut().zip(all) {
            *line += &format!("{cell:width$}  ");
        }
    }
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}
