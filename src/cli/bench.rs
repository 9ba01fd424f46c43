//! `dgc bench`: the time of a training step and of its parts.

use super::{
    arguments::{Changes, count_up_to},
    device::DeviceArguments,
    terminal::{print, print_json},
};
use crate::{
    Device, Error, Result,
    backend::Spent,
    distribution::Domain,
    model::{Batch, Variable},
    run::{
        data::{self, Column, Table, Values},
        programs::{self, Training},
        train::Stepper,
    },
    tensor::philox,
};
use clap::Args;
use serde_json::{Value, json};
use std::{path::PathBuf, time::Instant};

/// Time training steps on random data
///
/// Prints the median time of a step and, on the CPU, the shares of matrix products, packing and
/// elementwise work.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc bench models/adgm.dgm --steps 50 --kernels")]
pub(super) struct Bench {
    /// A model file, such as models/adgm.dgm (`-` is standard input), or a folder that
    /// `dgc compile -o` wrote
    file: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// The number of timings, after three warm-up steps; on a GPU each covers ten steps
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = steps, allow_negative_numbers = true)]
    steps: usize,
    #[command(flatten)]
    device: DeviceArguments,
    /// Show the time of every kernel (CPU only)
    #[arg(long)]
    kernels: bool,
    /// Print the times as JSON, in seconds
    #[arg(long)]
    json: bool,
}

/// Reads a number of timings.
fn steps(text: &str) -> std::result::Result<usize, String> {
    count_up_to(text, 1_000_000)
}

/// The measurements; times in seconds.
struct Measured {
    device: String,
    /// From the start of the program to the end of the first step, compilation included.
    first: f64,
    /// Seconds per step of each measurement, sorted in ascending order.
    times: Vec<f64>,
    /// Seconds per step of each kernel, summed over the threads.
    kernels: Vec<Spent>,
    /// The process's peak resident memory, in MiB; `None` if the system does not report it.
    peak_memory: Option<f64>,
}

impl Bench {
    pub fn run(self) -> Result<()> {
        let begun = Instant::now();
        let compiled = self.changes.compiled(&self.file)?;
        let device = self.device.choice_for(compiled.as_ref())?;
        let (model, programs) = match compiled {
            Some(compiled) => (compiled.model, compiled.training),
            None => {
                let model = self.changes.model(&self.file)?;
                let programs = programs::training(&model)?;
                (model, programs)
            }
        };
        let rows = match model.train.batch {
            Batch::All(rows) => rows,
            Batch::Cases {
                labelled,
                unlabelled,
                ..
            } => labelled + unlabelled,
        };
        let table = random(&model.variables, rows.max(100))?;
        // The timed steps are the first steps of a run, so the steady-state program is not needed.
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
        // A GPU runs asynchronously, so several steps are timed together.
        let at_once = if matches!(device, Device::Cuda { .. }) {
            10
        } else {
            1
        };
        let mut times = Vec::new();
        for _ in 0..self.steps {
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
            device: format!(
                "{}, {}, {} kernels",
                stepper.session.device.describe(),
                device.precision(),
                stepper.session.device.kernels()
            ),
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

    /// Seconds per step of contractions, packing and elementwise work.
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
            "{:.3} ms per step (median of {}, fastest {:.3}) on {}, first step after {:.0} ms\n",
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
                "contractions {:.1} %, packing {:.1} %, elementwise {:.1} % of {:.2} ms thread time\n",
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
            return "note: kernel times are not measured on a GPU; use NVIDIA's profiler: \
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

/// The process's peak resident memory, in MiB.
fn peak_memory() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Random values in the domain of every data variable, and the classes in turn for every label.
fn random(variables: &[Variable], rows: usize) -> Result<Table> {
    let column = |variable: &Variable| -> Result<Column> {
        let width = data::width(variable);
        let stream = philox::stream(&variable.name);
        let mut array: Vec<f32> = Vec::new();
        let count = rows.saturating_mul(width);
        array.try_reserve_exact(count).map_err(|_| {
            Error::out_of_memory(format!(
                "cannot allocate {count} numbers of `{}`",
                variable.name
            ))
            .help("use smaller sizes or smaller batches")
        })?;
        let floats = |value: &dyn Fn(u64) -> f64| {
            array.extend((0..count as u64).map(|element| value(element) as f32));
            Values::Floats(array)
        };
        let uniform = |element| philox::uniform(0, 0, stream, element);
        let normal = |element| philox::normal(0, 0, stream, element);
        let values = match variable.domain {
            Domain::Class => {
                let classes = (0..rows).map(|row| (row % variable.size()) as i32);
                Values::Classes(classes.collect())
            }
            Domain::Real => floats(&normal),
            Domain::Positive => floats(&|element| normal(element).exp()),
            Domain::Unit => floats(&|element| 0.05 + 0.9 * uniform(element)),
            Domain::Binary => floats(&|element| f64::from(u8::from(uniform(element) < 0.2))),
            Domain::Count => floats(&|element| (5.0 * uniform(element)).floor()),
        };
        Ok(Column {
            name: variable.name.clone(),
            width,
            values,
        })
    };
    let observed = variables
        .iter()
        .filter(|variable| variable.role.is_always_observed() || variable.is_optional());
    Ok(Table {
        rows,
        columns: observed.map(column).collect::<Result<_>>()?,
    })
}
