//! The devices and libraries of this machine.

use crate::{
    backend::{
        Precision,
        cpu::{self, KernelFamily},
        cuda::{self, cache, compile, library},
    },
    error::Error,
};
use serde::Serialize;
use std::{fmt, path::Path, path::PathBuf, thread::available_parallelism};

/// The devices and libraries found on this machine, and the reasons for missing ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct System {
    /// The version of dgc.
    pub version: &'static str,
    /// The number of CPU threads.
    pub threads: usize,
    /// A description of the vector instructions that dgc uses.
    pub instructions: &'static str,
    /// The kernel families of the CPU, for each precision that it has.
    pub kernel_families: Vec<FamiliesFinding>,
    /// NVIDIA's driver, libcuda.so.
    pub driver: Finding,
    /// The GPUs, in the driver's order.
    pub gpus: Vec<GpuFinding>,
    /// Why listing the GPUs failed, if there is a driver.
    pub gpu_error: Option<String>,
    /// NVIDIA's runtime compiler, libnvrtc.so.
    pub nvrtc: Finding,
    /// The runtime compiler's version.
    pub nvrtc_version: Option<(i32, i32)>,
    /// The folder of the kernel cache; `None` if `DGC_CACHE` is empty.
    pub cache: Option<PathBuf>,
}

/// The place of a library, or why it was not found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The library's path or name.
    Found(String),
    /// Why it was not found, and a way out.
    Missing(String),
}

/// The kernel families of the CPU for a precision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FamiliesFinding {
    /// The precision.
    pub precision: Precision,
    /// The names of the families, the widest instructions first.
    pub families: Vec<&'static str>,
    /// The name of the family that is chosen unless one is named.
    pub default: &'static str,
}

/// A GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GpuFinding {
    /// The name that the driver reports.
    pub name: String,
    /// The architecture, such as `sm_90`.
    pub architecture: String,
    /// Memory in bytes.
    pub memory: usize,
}

impl Finding {
    fn new(found: Result<String, Error>) -> Self {
        match found {
            Ok(place) => Finding::Found(place),
            Err(error) => Finding::Missing(error.to_string()),
        }
    }

    fn is_found(&self) -> bool {
        matches!(self, Finding::Found(_))
    }
}

impl System {
    /// Looks for devices and libraries; `nvrtc` is the path of the runtime compiler, if the loader
    /// does not find it.
    pub fn look(nvrtc: Option<&Path>) -> Self {
        let driver = Finding::new(library::find_driver());
        let gpus = if driver.is_found() {
            cuda::gpus()
        } else {
            Ok(Vec::new())
        };
        let nvrtc = Finding::new(library::find_nvrtc(nvrtc));
        System {
            version: env!("CARGO_PKG_VERSION"),
            threads: available_parallelism().map_or(1, usize::from),
            instructions: cpu::describe_instructions(),
            kernel_families: Precision::ALL
                .into_iter()
                .filter_map(kernel_families)
                .collect(),
            gpu_error: gpus.as_ref().err().map(Error::to_string),
            gpus: gpus
                .unwrap_or_default()
                .into_iter()
                .map(|gpu| GpuFinding {
                    name: gpu.name,
                    architecture: gpu.arch,
                    memory: gpu.memory,
                })
                .collect(),
            nvrtc_version: nvrtc.is_found().then(compile::version).and_then(Result::ok),
            driver,
            nvrtc,
            cache: cache::folder(),
        }
    }

    /// The findings as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("findings are plain data")
    }
}

/// The kernel families of the CPU for a precision; `None` if it does not support the precision.
fn kernel_families(precision: Precision) -> Option<FamiliesFinding> {
    let default = KernelFamily::default_for(precision).ok()?;
    let families = KernelFamily::all(precision).into_iter();
    Some(FamiliesFinding {
        precision,
        families: families.map(KernelFamily::name).collect(),
        default: default.name(),
    })
}

impl fmt::Display for FamiliesFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "kernel families for {}: {}; default {}",
            self.precision,
            self.families.join(", "),
            self.default
        )
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "dgc {}", self.version)?;
        writeln!(
            f,
            "CPU       {} {}, {}",
            self.threads,
            if self.threads == 1 {
                "thread"
            } else {
                "threads"
            },
            self.instructions
        )?;
        for families in &self.kernel_families {
            writeln!(f, "          {families}")?;
        }
        writeln!(f, "driver    {}", self.driver)?;
        if let Some(error) = &self.gpu_error {
            writeln!(f, "GPU       {error}")?;
        } else if self.driver.is_found() && self.gpus.is_empty() {
            writeln!(f, "GPU       none")?;
        }
        for gpu in &self.gpus {
            let memory = gpu.memory >> 20;
            writeln!(
                f,
                "GPU       {} ({}), {memory} MiB",
                gpu.name, gpu.architecture
            )?;
        }
        writeln!(f, "NVRTC     {}", self.nvrtc)?;
        if let Some((major, minor)) = self.nvrtc_version {
            writeln!(f, "          version {major}.{minor}")?;
        }
        match &self.cache {
            Some(folder) => writeln!(f, "cache     {}", folder.display()),
            None => writeln!(f, "cache     off: DGC_CACHE is empty"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::Found(place) => f.write_str(place),
            Finding::Missing(error) => f.write_str(error),
        }
    }
}
