//! Choosing a device.

use crate::backend::{Device, Precision, cuda};
use std::path::{Path, PathBuf};

impl Device {
    /// The first NVIDIA GPU at this precision. Its compiler's library is looked for where the
    /// loader finds it.
    pub fn gpu(precision: Precision) -> Self {
        Device::Cuda {
            nvrtc: None,
            precision,
        }
    }

    /// In single precision: a GPU where one and its compiler are found, else all cores of the CPU.
    pub fn detect() -> Self {
        Self::detect_with(0, None, Precision::F32, true)
    }

    /// A GPU where one is found, else the CPU with that many threads (0: one for each core).
    /// `nvrtc` names the compiler's library where the loader does not find it; programs that were
    /// compiled ahead of time need no `compiler`.
    pub fn detect_with(
        threads: usize,
        nvrtc: Option<&Path>,
        precision: Precision,
        compiler: bool,
    ) -> Self {
        if cuda::is_there(compiler.then_some(nvrtc)) {
            Device::Cuda {
                nvrtc: nvrtc.map(PathBuf::from),
                precision,
            }
        } else {
            Device::Cpu { threads, precision }
        }
    }
}
