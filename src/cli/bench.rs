//! `dgc bench`: the time of a training step, and where it goes.

use super::{
    arguments::Changes,
    device::DeviceArguments,
    terminal::{print, print_json},
};
use crate::{
    Device, Result,
    backend::Spent,
    model::{Batch, Role},
    run::{
        data::{Column, Table, Values},
        programs::{self, Training},
        train::Stepper,
    },
    tensor::philox,
};
use clap::Args;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Instant};

/// Time training steps on random data, and show where the time goes
#[derive(Args)]
pub(super) struct Bench {
    /// The model file, such as models/adgm.dgm, or a folder that `dgc compile -o` made
    file: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// Steps that are timed, after three that are not
    #[arg(long, default_value_t = 20)]
    steps: usize,
    #[command(flatten)]
    device: DeviceArguments,
    /// Show every kernel
    #[arg(long)]
    kernels: bool,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

/// What was measured; times in seconds.
struct Measured {
    device: String,
    /// Until the first step was done, compilation included.
    first: f64,
    /// Of each step, or of several together, the fastest first.
    times: Vec<f64>,
    /// Of each kernel in a step, summed over the threads.
    kernels: Vec<Spent>,
    /// The largest memory of the process, in MiB.
    peak_memory: Option<f64>,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        let begun = Instant::now();
        let compiled = self.changes.compiled(&self.file)?;
        let device = self.device.choice_for(compiled.as_ref());
        let (model, programs) = match compiled {
            Some(compiled) => (compiled.model, compiled.training),
            None => {
                let model = self.changes.model(&self.file)?;
                let programs = programs::training(&model);
                (model, programs)
            }
        };
        let rows = match model.train.batch {
            Batch::All(rows) => rows,
            Batch::Cases {
                labelled,
                unlabelled,
            } => labelled + unlabelled,
        };
        let table = random(&model.variables, rows.max(100));
        // Epochs are short here; the steps that are timed are a run's first.
        let programs = Training {
            steady: None,
            ..programs
        };
        let stepper = Stepper::with(model, &programs, table, 0, &device)?;
        let measured = self.measure(stepper, &device, begun)?;
        if self.json {
            print_json(&measured.to_json())
        } else {
            print(&measured.text(self.kernels))
        }
    }

    fn measure(&self, mut stepper: Stepper, device: &Device, begun: Instant) -> Result<Measured> {
        stepper.step()?;
        stepper.settle()?;
        let first = begun.elapsed().as_secs_f64();
        (0..2).try_for_each(|_| stepper.step())?;
        stepper.settle()?;
        let before = stepper.spent();
        // Where the device works behind the host, some steps are timed together.
        let at_once = if matches!(device, Device::Cuda { .. }) {
            10
        } else {
            1
        };
        let mut times = Vec::new();
        for _ in 0..self.steps.max(1) {
            let begun = Instant::now();
            (0..at_once).try_for_each(|_| stepper.step())?;
            stepper.settle()?;
            times.push(begun.elapsed().as_secs_f64() / at_once as f64);
        }
        times.sort_by(f64::total_cmp);
        let steps = (times.len() * at_once) as f64;
        let after = stepper.spent();
        let each = after.iter().zip(&before).map(|(after, before)| Spent {
            kernel: after.kernel.clone(),
            loops: (after.loops - before.loops) / steps,
            packing: (after.packing - before.packing) / steps,
            contraction: (after.contraction - before.contraction) / steps,
        });
        Ok(Measured {
            device: stepper.session.device.describe(),
            first,
            times,
            kernels: each.collect(),
            peak_memory: peak_memory(),
        })
    }
}

impl Measured {
    fn median(&self) -> f64 {
        self.times[self.times.len() / 2]
    }

    /// Contractions, packing and elementwise work of a step.
    fn totals(&self) -> [f64; 3] {
        let sum = |part: fn(&Spent) -> f64| self.kernels.iter().map(part).sum();
        [
            sum(|spent| spent.contraction),
            sum(|spent| spent.packing),
            sum(|spent| spent.loops),
        ]
    }

    fn to_json(&self) -> Value {
        let [contraction, packing, elementwise] = self.totals();
        let kernel = |spent: &Spent| {
            json!({
                "kernel": spent.kernel,
                "contraction": spent.contraction,
                "packing": spent.packing,
                "elementwise": spent.loops,
            })
        };
        json!({
            "device": self.device,
            "seconds_per_step": self.median(),
            "fastest": self.times[0],
            "measurements": self.times.len(),
            "seconds_until_first_step": self.first,
            "contraction": contraction,
            "packing": packing,
            "elementwise": elementwise,
            "peak_memory_mib": self.peak_memory,
            "kernels": self.kernels.iter().map(kernel).collect::<Vec<_>>(),
        })
    }

    fn text(&self, kernels: bool) -> String {
        let mut text = format!(
            "{:.3} ms a step (median of {}, fastest {:.3}) on {}, first step after {:.0} ms\n",
            1e3 * self.median(),
            self.times.len(),
            1e3 * self.times[0],
            self.device,
            1e3 * self.first,
        );
        let [contraction, packing, loops] = self.totals();
        let busy = contraction + packing + loops;
        if busy > 0.0 {
            text += &format!(
                "contractions {:.1} %, packing {:.1} %, elementwise {:.1} % of {:.2} ms\n",
                100.0 * contraction / busy,
                100.0 * packing / busy,
                100.0 * loops / busy,
                1e3 * busy,
            );
        }
        if let Some(peak) = self.peak_memory {
            text += &format!("peak memory {peak:.0} MiB\n");
        }
        if kernels {
            text += &self.kernel_lines();
        }
        text
    }

    fn kernel_lines(&self) -> String {
        if self.kernels.is_empty() {
            return "a GPU does not count the time of each kernel; NVIDIA's ncu does: \
                    ncu --graph-profiling node dgc bench …\n"
                .to_string();
        }
        let line = |spent: &Spent| {
            format!(
                "  {:50} contraction {:7.3} ms, packing {:7.3} ms, elementwise {:7.3} ms\n",
                spent.kernel,
                1e3 * spent.contraction,
                1e3 * spent.packing,
                1e3 * spent.loops
            )
        };
        self.kernels.iter().map(line).collect()
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
