//! Devices that run plans.

mod ranges;
pub mod cpu;
pub mod cuda;

pub(crate) use ranges::check_ranges;

use self::cpu::KernelFamily;
use crate::{error::Result, id::Id, plan::VerifiedPlan};
use std::{borrow::Cow, path::PathBuf};

/// An array of floats on a device.
#[derive(Debug)]
pub struct Array;

/// A loaded plan.
#[derive(Debug)]
pub struct Program;

/// A verified plan to load, with machine code if the plan was compiled ahead of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// The program's name, such as `gradient`.
    pub name: String,
    /// The plan, verified.
    pub plan: VerifiedPlan,
    /// The machine code. It is trusted, because it cannot be checked.
    pub cuda: Option<cuda::Binary>,
}

impl Build {
    /// A build without machine code: the device compiles the plan when it is loaded.
    pub fn new(name: &str, plan: VerifiedPlan) -> Self {
        Build {
            name: name.to_string(),
            plan,
            cuda: None,
        }
    }
}

/// The place of a buffer of a plan: a range of an array that begins at `offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayRange {
    /// The array.
    pub array: Id<Array>,
    /// The offset of the buffer's first element, in floats.
    pub offset: usize,
}

/// A copy of rows of a table, with `width` floats each, to the start of another array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather<'r> {
    /// The array with all rows.
    pub table: Id<Array>,
    /// Floats per row.
    pub width: usize,
    /// The indices of the rows to copy, in the order of the copies.
    pub rows: &'r [u32],
    /// The destination array.
    pub to: Id<Array>,
}

/// The key from which the noise of a program's run is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseKey {
    /// The seed of all random numbers.
    pub seed: u64,
    /// The number of the training step or of the batch.
    pub step: u64,
}

/// The time that a kernel has taken since it was loaded, in seconds summed over the threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// The kernel's name.
    pub kernel: String,
    /// Time in elementwise loops.
    pub loops: f64,
    /// Time in packing the operands of contractions.
    pub packing: f64,
    /// Time in contractions.
    pub contraction: f64,
}

/// A device, with its arrays and programs.
pub trait Backend: Send {
    /// A description of the device, such as `CPU, 2 threads`.
    fn describe(&self) -> String;

    /// The family of kernels that the device runs, such as `AVX-512` or `CUDA sm_90`. Kernels of
    /// one family and precision give the same bits; other families differ within rounding.
    fn kernels(&self) -> String;

    /// Allocates an array of `len` floats, all 0.
    ///
    /// # Errors
    /// If the device lacks memory.
    fn allocate(&mut self, len: usize) -> Result<Id<Array>>;

    /// Sets `len` floats from `offset` on with `write`. The contents that `write` receives are
    /// unspecified.
    fn fill(
        &mut self,
        array: Id<Array>,
        offset: usize,
        len: usize,
        write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()>;

    /// Reads `len` floats from `offset` on.
    fn read(&self, array: Id<Array>, offset: usize, len: usize) -> Result<Cow<'_, [f32]>>;

    /// Whether a table of `floats` floats should be stored on the device, so that rows are gathered
    /// there.
    fn keeps(&self, _len: usize) -> bool {
        false
    }

    /// Copies rows of tables to other arrays. Called only on devices that store tables, with at
    /// least one copy.
    fn gather(&mut self, _copies: &[Gather]) -> Result<()> {
        unreachable!("the rows of a device that keeps no table are written by the host")
    }

    /// Starts to copy the first `len` floats of an array to the host, with their values after all
    /// programs run so far.
    fn enqueue_readback(&mut self, array: Id<Array>, len: usize) -> Result<()>;

    /// Passes the oldest enqueued floats to `take`. Returns false if none are enqueued, or if they
    /// have not arrived and `wait` is false.
    fn poll_readback(&mut self, wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool>;

    /// Loads a plan. `places` gives the place of each buffer, and `None` for buffers in working
    /// memory.
    ///
    /// # Errors
    /// If a buffer is out of its array's bounds or overlaps another buffer, memory is lacking, or
    /// the machine code is for another device.
    fn load(&mut self, build: &Build, places: &[Option<ArrayRange>]) -> Result<Id<Program>>;

    /// Runs a program. Later reads wait for its results.
    fn run(&mut self, program: Id<Program>, key: NoiseKey) -> Result<()>;

    /// The time that each kernel of a program took; empty if the device does not measure it.
    fn spent(&self, _program: Id<Program>) -> Vec<Spent> {
        Vec::new()
    }
}

/// A choice of device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu {
        /// The number of threads; 0 uses one thread per core.
        threads: usize,
        /// The precision of the operands of contractions.
        precision: Precision,
        /// The kernel family; `None` takes the default for the precision.
        family: Option<KernelFamily>,
    },
    /// The first NVIDIA GPU.
    Cuda {
        /// The path of NVIDIA's runtime compiler, if the loader does not find it.
        nvrtc: Option<PathBuf>,
        /// The precision of the operands of contractions.
        precision: Precision,
    },
}

impl Device {
    /// The CPU in f32 with `threads` threads; 0 uses one thread per core.
    pub const fn cpu(threads: usize) -> Self {
        Device::Cpu {
            threads,
            precision: Precision::F32,
            family: None,
        }
    }

    /// The precision of the operands of contractions.
    pub fn precision(&self) -> Precision {
        match self {
            Device::Cpu { precision, .. } | Device::Cuda { precision, .. } => *precision,
        }
    }
}

/// The precision to which a contraction's operands are rounded. Everything else is f32: sums,
/// weights, log-densities.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    /// Single precision: operands are not rounded.
    F32,
    /// TF32, with 10 fraction bits, on a GPU's tensor cores.
    Tf32,
    /// BF16, with 7 fraction bits, on tensor cores or with a CPU's bf16 instructions. On a CPU
    /// without them it is not faster than f32.
    Bf16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::Tf32, Precision::Bf16];
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::Bf16 => "bf16",
        })
    }
}

/// Opens a device.
///
/// # Errors
/// If the device is missing, or this build does not support it.
pub fn open(device: &Device) -> Result<Box<dyn Backend>> {
    match device {
        Device::Cpu {
            threads,
            precision,
            family,
        } => Ok(Box::new(cpu::Cpu::new(*threads, *precision, *family)?)),
        Device::Cuda { nvrtc, precision } => cuda::open(nvrtc.as_deref(), *precision),
    }
}
