//! `dgc bench`: the time of a training step, and where it goes.

use super::{Changes, check_text, device::Device, print, read_text};
use crate::{
    backend::{self, Spent},
    error::Result,
    model::{Batch, Role},
    run::{
        compiled,
        data::{Column, Table, Values},
        programs,
        train::Trainer,
    },
    tensor::philox,
};
use clap::Args;
use std::{path::PathBuf, time::Instant};

/// Time training steps on random data, and show where the time goes
#[derive(Args)]
pub struct Bench {
    /// The model file, such as models/adgm.dgm, or a folder that `dgc compile -o` made
    file: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// Steps that are timed, after three that are not
    #[arg(long, default_value_t = 20)]
    steps: usize,
    #[command(flatten)]
    device: Device,
    /// Show every kernel
    #[arg(long)]
    kernels: bool,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        let begun = Instant::now();
        let (model, mut programs) = if compiled::is_compiled(&self.file) {
            let compiled = self.changes.compiled(&self.file)?;
            (compiled.model, compiled.training)
        } else {
            let model = check_text(&self.file, &read_text(&self.file)?, &self.changes.sets)?;
            let programs = programs::training(&model);
            (model, programs)
        };
        // Epochs are short here; the steps that are timed are a run's first.
        programs.settled = None;
        let rows = match model.train.batch {
            Batch::All(rows) => rows,
            Batch::Cases {
                labelled,
                unlabelled,
            } => labelled + unlabelled,
        };
        let table = random(&model.variables, rows.max(100));
        let device = self.device.choice_for(&programs)?;
        let mut trainer = Trainer::with(model, &programs, table, 0, &device)?;
        trainer.step()?;
        trainer.settle()?;
        let first = begun.elapsed().as_secs_f64();
        (0..2).try_for_each(|_| trainer.step())?;
        trainer.settle()?;
        let before = trainer.spent();
        // Where the device works behind the host, some steps are timed together.
        let at_once = if matches!(device, backend::Device::Cuda { .. }) {
            10
        } else {
            1
        };
        let mut times = Vec::new();
        for _ in 0..self.steps.max(1) {
            let begun = Instant::now();
            (0..at_once).try_for_each(|_| trainer.step())?;
            trainer.settle()?;
            times.push(begun.elapsed().as_secs_f64() / at_once as f64);
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        let spent = trainer.spent();
        let total = |part: fn(&Spent) -> f64| -> f64 {
            let sum = |all: &[Spent]| all.iter().map(part).sum::<f64>();
            (sum(&spent) - sum(&before)) / (times.len() * at_once) as f64
        };
        let (contraction, packing, loops) = (
            total(|s| s.contraction),
            total(|s| s.packing),
            total(|s| s.loops),
        );
        let busy = contraction + packing + loops;
        let mut text = format!(
            "{:.3} ms a step (median of {}, fastest {:.3}) on {}, first step after {:.0} ms\n",
            1e3 * median,
            times.len(),
            1e3 * times[0],
            trainer.session.device.describe(),
            1e3 * first,
        );
        if busy > 0.0 {
            text += &format!(
                "contractions {:.1} %, packing {:.1} %, elementwise {:.1} % of {:.2} ms\n",
                100.0 * contraction / busy,
                100.0 * packing / busy,
                100.0 * loops / busy,
                1e3 * busy,
            );
        }
        if let Some(peak) = peak_memory() {
            text += &format!("peak memory {:.0} MiB\n", peak);
        }
        if self.kernels {
            if spent.is_empty() {
                text += "a GPU does not count the time of each kernel; NVIDIA's ncu does: ncu --graph-profiling node dgc bench …\n";
            }
            for (now, then) in spent.iter().zip(&before) {
                let each = |a: f64, b: f64| 1e3 * (a - b) / times.len() as f64;
                text += &format!(
                    "  {:50} contraction {:7.3} ms, packing {:7.3} ms, elementwise {:7.3} ms\n",
                    now.kernel,
                    each(now.contraction, then.contraction),
                    each(now.packing, then.packing),
                    each(now.loops, then.loops)
                );
            }
        }
        print(&text)
    }
}

/// The largest memory that the process has had, in MiB.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Rows of zeros and ones for every variable, and of classes in turn for labels.
fn random(variables: &[crate::model::Variable], rows: usize) -> Table {
    let column = |variable: &crate::model::Variable| {
        let stream = philox::stream(&variable.name);
        let bit = |element: usize| philox::uniform(0, 0, stream, element as u64) < 0.2;
        let values = match variable.role {
            Role::Label => Values::Classes(
                (0..rows)
                    .map(|row| (row % variable.size()) as i32)
                    .collect(),
            ),
            _ => Values::Floats(
                (0..rows * variable.size())
                    .map(|element| f32::from(u8::from(bit(element))))
                    .collect(),
            ),
        };
        let width = if variable.role == Role::Label {
            1
        } else {
            variable.size()
        };
        Column {
            name: variable.name.clone(),
            width,
            values,
        }
    };
    let observed = variables
        .iter()
        .filter(|variable| matches!(variable.role, Role::Data | Role::Label));
    Table {
        rows,
        columns: observed.map(column).collect(),
    }
}
