//! The choice of a device.

use crate::{
    backend::{self, Precision, cuda},
    error::Result,
    run::programs::Training,
};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// What runs the model.
#[derive(Args, Clone, Debug)]
pub struct Device {
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

/// Reads a precision by its name.
pub fn precision(text: &str) -> std::result::Result<Precision, String> {
    let known = Precision::ALL
        .into_iter()
        .find(|known| known.to_string() == text);
    known.ok_or_else(|| {
        let known = Precision::ALL.map(|known| known.to_string());
        format!("expected one of {}, found `{text}`", known.join(", "))
    })
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

impl Device {
    pub fn choice(&self) -> Result<backend::Device> {
        self.choose(
            Some(self.nvrtc.as_deref()),
            self.precision.unwrap_or_default(),
        )
    }

    /// The same for programs that may have been compiled ahead of time: without a compiler, and at
    /// their precision.
    pub fn choice_for(&self, programs: &Training) -> Result<backend::Device> {
        match &programs.gradient.cuda {
            Some(binary) => self.choose(None, self.precision.unwrap_or(binary.precision)),
            None => self.choice(),
        }
    }

    /// Takes a precision where the user named none.
    pub fn prefer(&mut self, precision: Precision) {
        self.precision.get_or_insert(precision);
    }

    fn choose(
        &self,
        compiler: Option<Option<&Path>>,
        precision: Precision,
    ) -> Result<backend::Device> {
        let gpu = match self.device {
            Kind::Cpu => false,
            Kind::Auto => cuda::is_there(compiler),
            Kind::Cuda => true,
        };
        if gpu {
            return Ok(backend::Device::Cuda {
                nvrtc: self.nvrtc.clone(),
                precision,
            });
        }
        Ok(backend::Device::Cpu {
            threads: self.threads,
            precision,
        })
    }
}
