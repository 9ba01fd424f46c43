//! The choice of a device.

use super::arguments::precision;
use crate::{Compiled, Device, Precision};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// What runs the model.
#[derive(Args, Clone, Debug)]
pub struct DeviceArguments {
    /// What runs the model
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    device: Kind,
    /// Threads of the CPU; 0 is one for each core
    #[arg(long, default_value_t = 0, value_parser = threads)]
    threads: usize,
    /// The library of NVIDIA's runtime compiler, where the loader does not find it
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// What matrix products round their operands to: f32, bf16, or tf32 on a GPU; f32 if left out
    #[arg(long, value_parser = precision)]
    precision: Option<Precision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A GPU where there is one, else the CPU
    Auto,
    /// The CPU
    Cpu,
    /// The first NVIDIA GPU
    Cuda,
}

fn threads(text: &str) -> std::result::Result<usize, String> {
    const MOST: usize = 1024;
    let count = text.parse::<usize>().ok().filter(|count| *count <= MOST);
    count.ok_or_else(|| format!("expected a whole number up to {MOST}, found `{text}`"))
}

impl DeviceArguments {
    /// The device for a model that is compiled now.
    pub fn choice(&self) -> Device {
        self.choose(true, Precision::F32)
    }

    /// The device for programs that may have been compiled ahead of time: those need no compiler,
    /// and have a precision.
    pub fn choice_for(&self, compiled: Option<&Compiled>) -> Device {
        match compiled.and_then(Compiled::precision) {
            Some(precision) => self.choose(false, precision),
            None => self.choice(),
        }
    }

    /// Takes a precision where the user named none.
    pub fn prefer(&mut self, precision: Option<Precision>) {
        self.precision = self.precision.or(precision);
    }

    fn choose(&self, compiler: bool, default: Precision) -> Device {
        let precision = self.precision.unwrap_or(default);
        let threads = self.threads;
        match self.device {
            Kind::Cpu => Device::Cpu { threads, precision },
            Kind::Cuda => Device::Cuda {
                nvrtc: self.nvrtc.clone(),
                precision,
            },
            Kind::Auto => Device::detect_with(threads, self.nvrtc.as_deref(), precision, compiler),
        }
    }
}
