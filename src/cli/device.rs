//! The choice of a device.

use super::arguments::precision;
use crate::{Compiled, Device, Error, KernelFamily, Precision, Result};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// The device that runs the model.
#[derive(Args, Clone, Debug)]
pub struct DeviceArguments {
    /// The device that runs the model
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    device: Kind,
    /// The number of CPU threads; 0 uses one thread per core
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = threads, allow_negative_numbers = true)]
    threads: usize,
    /// The path of NVIDIA's runtime compiler (libnvrtc.so) or of its folder [default: the loader's
    /// search path]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// The precision of the operands of matrix products: f32, bf16, or tf32 (GPU only) [default:
    /// f32, or that of the compiled folder]
    #[arg(long, value_parser = precision)]
    precision: Option<Precision>,
    /// The kernel family of the CPU: amx or avx512-bf16 (bf16 only), avx512, avx2, or portable;
    /// chooses the CPU [default: the fastest, or that of the resumed run; see `dgc doctor`]
    #[arg(long, value_name = "NAME")]
    kernel_family: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A GPU if one is found, else the CPU
    Auto,
    /// The CPU
    Cpu,
    /// The first NVIDIA GPU; also `gpu`
    #[value(alias = "gpu")]
    Cuda,
}

fn threads(text: &str) -> std::result::Result<usize, String> {
    let count = text.parse::<usize>().ok();
    count.ok_or_else(|| format!("expected a whole number, found `{text}`"))
}

impl DeviceArguments {
    /// The device for a model that is compiled when it runs.
    ///
    /// # Errors
    /// If the device does not have the kernel family.
    pub fn choice(&self) -> Result<Device> {
        self.choose(true, Precision::F32)
    }

    /// The device for a model that may be compiled already. GPU images need no compiler and fix the
    /// precision.
    ///
    /// # Errors
    /// If the device does not have the kernel family.
    pub fn choice_for(&self, compiled: Option<&Compiled>) -> Result<Device> {
        match compiled.and_then(Compiled::precision) {
            Some(precision) => self.choose(false, precision),
            None => self.choice(),
        }
    }

    /// Sets the precision unless the arguments set it.
    pub fn prefer(&mut self, precision: Option<Precision>) {
        self.precision = self.precision.or(precision);
    }

    fn choose(&self, compiler: bool, default: Precision) -> Result<Device> {
        let precision = self.precision.unwrap_or(default);
        let threads = self.threads;
        let family = self.kernel_family.as_deref();
        let family = family.map(|name| KernelFamily::named(name, precision));
        Ok(match (self.device, family.transpose()?) {
            (Kind::Cuda, Some(family)) => {
                let message = "a GPU has no kernel families to choose from";
                return Err(Error::option("kernel-family", family.name(), message)
                    .help("omit the option, or choose the CPU with `Device::cpu`"));
            }
            (Kind::Cuda, None) => Device::Cuda {
                nvrtc: self.nvrtc.clone(),
                precision,
            },
            (Kind::Auto, None) => {
                Device::detect_with(threads, self.nvrtc.as_deref(), precision, compiler)
            }
            (Kind::Cpu | Kind::Auto, family) => Device::Cpu {
                threads,
                precision,
                family,
            },
        })
    }
}
