//! Choosing a device.

use crate::backend::{Device, Precision, cuda};
use std::path::{Path, PathBuf};

impl Device {
    /// The first NVIDIA GPU, with matrix products at this precision. The loader's search path must
    /// contain NVIDIA's runtime compiler.
    pub fn gpu(precision: Precision) -> Self {
        Device::Cuda {
            nvrtc: None,
            precision,
        }
    }

    /// A GPU if one and its compiler are found, else all cores of the CPU; in single precision.
    pub fn detect() -> Self {
        Self::detect_with(0, None, Precision::F32, true)
    }

    /// A GPU if one is found, else the CPU with `threads` threads (0: one per core).
    ///
    /// `nvrtc` is the path of the runtime compiler, if the loader does not find it. `compiler` says
    /// whether a compiler is required; programs compiled ahead of time need none.
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
            Device::Cpu {
                threads,
                precision,
                family: None,
            }
        }
    }
}
