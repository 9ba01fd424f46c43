//! The choice of a device.

use crate::backend::{self, cuda};
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

fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    let count = text.parse::<usize>().ok().filter(|count| *count <= MOST);
    count.ok_or_else(|| format!("expected a whole number up to {MOST}, found `{text}`"))
}

impl Device {
    pub fn choice(&self) -> backend::Device {
        self.choose(Some(self.nvrtc.as_deref()))
    }

    /// The same for programs that were compiled ahead of time.
    pub fn choice_ahead(&self) -> backend::Device {
        self.choose(None)
    }

    fn choose(&self, compiler: Option<Option<&Path>>) -> backend::Device {
        match self.device {
            Kind::Cpu => backend::Device::Cpu { threads: self.threads },
            Kind::Auto if !cuda::is_there(compiler) => backend::Device::Cpu { threads: self.threads },
            Kind::Auto | Kind::Cuda => backend::Device::Cuda { nvrtc: self.nvrtc.clone() },
        }
    }
}
