//! The choice of a device by its name.

use crate::error::OrRaise;
use dgc::{Device, Error, KernelFamily, Precision, Result};
use pyo3::prelude::*;
use std::{num::NonZero, path::PathBuf, thread::available_parallelism};

/// A device as Python names it.
#[derive(Clone, Debug, Default, FromPyObject)]
#[pyo3(from_item_all)]
pub struct DeviceChoice {
    device: String,
    threads: usize,
    precision: Option<String>,
    kernel_family: Option<String>,
    nvrtc: Option<PathBuf>,
}

impl DeviceChoice {
    /// The device; in `precision` unless the choice names another one.
    ///
    /// # Errors
    /// If a name is none of those that are known, or the device lacks the kernel family.
    pub fn device(self, precision: Option<Precision>) -> Result<Device> {
        let precision = match self.precision.as_deref() {
            Some(name) => named_precision(name)?,
            None => precision.unwrap_or_default(),
        };
        let family = self.kernel_family.as_deref();
        let family = family
            .map(|name| KernelFamily::named(name, precision))
            .transpose()?;
        Ok(match (self.device.as_str(), family) {
            ("auto", None) => {
                Device::detect_with(self.threads, self.nvrtc.as_deref(), precision, true)
            }
            ("cpu" | "auto", family) => Device::Cpu {
                threads: self.threads,
                precision,
                family,
            },
            ("cuda" | "gpu", None) => Device::Cuda {
                nvrtc: self.nvrtc,
                precision,
            },
            ("cuda" | "gpu", Some(family)) => {
                let message = "a GPU has no kernel families to choose from";
                return Err(Error::option("kernel_family", family.name(), message)
                    .help("omit the option, or choose the device `cpu`"));
            }
            (name, _) => {
                return Err(Error::option("device", name, "there is no such device")
                    .help("the devices are auto, cpu and cuda"));
            }
        })
    }
}

/// The number of CPU threads of a device; `None` for a GPU.
#[pyfunction]
pub fn cpu_threads(py: Python<'_>, device: DeviceChoice) -> PyResult<Option<usize>> {
    Ok(match device.device(None).or_raise(py)? {
        Device::Cpu { threads: 0, .. } => Some(available_parallelism().map_or(1, NonZero::get)),
        Device::Cpu { threads, .. } => Some(threads),
        _ => None,
    })
}

fn named_precision(name: &str) -> Result<Precision> {
    match name {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        "tf32" => Ok(Precision::Tf32),
        _ => Err(
            Error::option("precision", name, "there is no such precision")
                .help("the precisions are f32, bf16 and tf32"),
        ),
    }
}
