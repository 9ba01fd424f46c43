//! Devices that run plans.

mod ranges;
pub mod cpu;
pub mod cuda;

pub(crate) use ranges::check_ranges;

use crate::{error::Result, id::Id, plan::VerifiedPlan};
use std::{borrow::Cow, path::PathBuf};

/// An array of floats on a device.
#[derive(Debug)]
pub struct Array;

/// A plan made ready to run.
#[derive(Debug)]
pub struct Program;

/// A verified plan to be loaded, with the machine code that was compiled from it ahead of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Build {
    /// Such as `gradient`.
    pub name: String,
    /// The plan, verified.
    pub plan: VerifiedPlan,
    /// Trusted: machine code cannot be checked.
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

/// Where a buffer of a plan lies: from `offset` on in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArrayRange {
    /// The array.
    pub array: Id<Array>,
    /// In floats.
    pub offset: usize,
}

/// Rows of a table, of `width` floats each, that are to stand at the start of another array, one
/// after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather<'r> {
    /// The array with all rows.
    pub table: Id<Array>,
    /// Floats of a row.
    pub width: usize,
    /// The rows to copy, by their places in the table.
    pub rows: &'r [u32],
    /// The array that they are copied to.
    pub to: Id<Array>,
}

/// What the noise of one run is drawn by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseKey {
    /// Of everything random.
    pub seed: u64,
    /// The step of training, or the number of a batch.
    pub step: u64,
}

/// Where the time of a kernel went since it was loaded, in seconds summed over the threads.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// The kernel's name.
    pub kernel: String,
    /// In loops over elements.
    pub loops: f64,
    /// In packing the operands of contractions.
    pub packing: f64,
    /// In contractions.
    pub contraction: f64,
}

/// A device, with its arrays and programs.
pub trait Backend: Send {
    /// What it is, for people: `CPU, 2 threads`.
    fn describe(&self) -> String;

    /// A new array of that many floats, all 0.
    fn allocate(&mut self, len: usize) -> Result<Id<Array>>;

    /// Lets `write` set the `len` floats from `offset` on; what it finds there is unspecified.
    fn fill(
        &mut self,
        array: Id<Array>,
        offset: usize,
        len: usize,
        write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()>;

    /// The `len` floats from `offset` on.
    fn read(&self, array: Id<Array>, offset: usize, len: usize) -> Result<Cow<'_, [f32]>>;

    /// Whether a table of that many floats had better lie on the device, for rows to be gathered
    /// there.
    fn keeps(&self, _len: usize) -> bool {
        false
    }

    /// Copies rows of tables to other arrays, at least one. Asked of devices that keep tables.
    fn gather(&mut self, _copies: &[Gather]) -> Result<()> {
        unreachable!("the rows of a device that keeps no table are written by the host")
    }

    /// Notes the first `len` floats of an array as the programs that were run leave them, for
    /// `noted` to give.
    fn enqueue_readback(&mut self, array: Id<Array>, len: usize) -> Result<()>;

    /// Gives `take` the oldest floats that were noted and not given; false if there are none, or
    /// none yet and it is not to `wait`.
    fn poll_readback(&mut self, wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool>;

    /// Makes a plan ready; `places` says where its buffers lie, none for those in working memory.
    ///
    /// # Errors
    /// If a buffer does not lie within its array, or overlaps another one that it must not; if there
    /// is too little memory, or the machine code does not suit the device.
    fn load(&mut self, build: &Build, places: &[Option<ArrayRange>]) -> Result<Id<Program>>;

    /// Runs a program; its results are there for whoever reads them.
    fn run(&mut self, program: Id<Program>, key: NoiseKey) -> Result<()>;

    /// Where the time of a program's kernels went, if the device counts it.
    fn spent(&self, _program: Id<Program>) -> Vec<Spent> {
        Vec::new()
    }
}

/// A choice of device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU with that many threads, or as many as there are cores for 0.
    Cpu {
        /// How many; 0 for as many as there are cores.
        threads: usize,
        /// What the operands of contractions are rounded to.
        precision: Precision,
    },
    /// The first GPU; `nvrtc` names the compiler's library where the loader does not find it.
    Cuda {
        /// The compiler's library, where the loader does not find it.
        nvrtc: Option<PathBuf>,
        /// What the operands of contractions are rounded to.
        precision: Precision,
    },
}

impl Device {
    /// The CPU in f32, with that many threads, or as many as there are cores for 0.
    pub const fn cpu(threads: usize) -> Self {
        Device::Cpu {
            threads,
            precision: Precision::F32,
        }
    }
}

/// What a contraction's operands are rounded to before they are multiplied. All else is in f32:
/// sums, weights, log-densities.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    /// Not rounded: single precision.
    F32,
    /// 10 bits of fraction, on a GPU's tensor cores.
    Tf32,
    /// 7 bits of fraction, on tensor cores, or by what a CPU has for it; where it has nothing, no
    /// faster than f32.
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
/// If there is no such device, or this build cannot use it.
pub fn open(device: &Device) -> Result<Box<dyn Backend>> {
    match device {
        Device::Cpu { threads, precision } => Ok(Box::new(cpu::Cpu::new(*threads, *precision)?)),
        Device::Cuda { nvrtc, precision } => cuda::open(nvrtc.as_deref(), *precision),
    }
}
