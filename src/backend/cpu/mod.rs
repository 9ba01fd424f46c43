//! The CPU back end: runs a plan's kernels one after another, the tiles of each on all threads.
//!
//! A plan is loaded once: every loop and contraction gets the addresses of its buffers
//! (`program`). A run goes through the kernels' phases; in each, threads take one part after
//! another until none is left (`phases`). How work is split into parts depends on the plan alone,
//! and parts of one phase neither read nor write what another of them writes. So results do not
//! depend on the number of threads. They do depend on the kernel family ([`KernelFamily`]), within
//! rounding.
//!
//! - `isa`: the instructions of this CPU, as types that only detection makes.
//! - `memory`: arrays at fixed addresses.
//! - `gemm`: contractions.
//! - `elementwise`: loops, reductions, noise.
//! - `family`: the kernel families of this CPU, and the choice of one.
//!
//! **Safety.** While a program runs, threads use the plan's buffers through raw pointers. That is
//! sound for plans that the plan verifier ([`plan::verify`](crate::plan::verify)) accepted: every
//! access lies in its buffer, buffers in use at one time do not overlap, and different tiles write
//! different elements. What else this back end asks of a plan, it checks when it loads it. Nothing
//! is allocated while a program runs.

mod isa;
mod memory;
mod tile;
mod phases;
mod gemm;
mod elementwise;
mod family;
mod program;
#[cfg(test)]
mod tests;

pub use self::{
    family::{KernelFamily, describe_instructions},
    isa::{Amx, Avx2, Avx512, Avx512Bf16},
};

use self::{
    elementwise::{Scratch, vector},
    gemm::{Multiplier, PackedBuffers},
    isa::Isa,
    memory::{Address, Floats},
    program::LoadedProgram,
};
use super::{Array, ArrayRange, Backend, Build, NoiseKey, Precision, Program, Spent, check_ranges};
use crate::{
    error::{Error, Result},
    id::Id,
    plan,
};
use std::{borrow::Cow, collections::VecDeque, sync::Mutex};

/// Fills `out` with the first elements of a stream of standard normal numbers, the same on every
/// device; see [`crate::tensor::philox`].
pub fn draw_normal(key: NoiseKey, stream: u32, out: &mut [f32]) {
    vector::normal(Isa::detect(), key.seed, key.step, stream, 0, out);
}

/// The CPU as a device, with a number of threads.
pub struct Cpu {
    /// `None` for one thread, which is the caller's.
    pool: Option<rayon::ThreadPool>,
    family: KernelFamily,
    by: Multiplier,
    arrays: Vec<Floats>,
    programs: Vec<LoadedProgram>,
    /// Scratch memory, one for each thread.
    scratch: Vec<Mutex<Scratch>>,
    /// The packed right operands of the current contraction, unless several kernels read them.
    temporary: Floats,
    /// Readbacks that were enqueued and not polled, the oldest first, and vectors to reuse.
    readbacks: VecDeque<Vec<f32>>,
    spare: Vec<Vec<f32>>,
}

/// The maximum number of threads.
const MOST_THREADS: usize = 1024;

impl Cpu {
    /// Opens the CPU with `threads` threads; 0 uses one thread per core. Without a kernel family,
    /// takes the default for the precision.
    ///
    /// # Errors
    /// If there are more than 1024 threads, they cannot be started, or the CPU or the
    /// family does not support the precision.
    pub fn new(threads: usize, precision: Precision, family: Option<KernelFamily>) -> Result<Self> {
        if threads > MOST_THREADS {
            let message = format!("expected a whole number up to {MOST_THREADS}");
            return Err(
                Error::option("threads", threads, message).help("choose 0 for one thread per core")
            );
        }
        let family = family.map_or_else(|| KernelFamily::default_for(precision), Ok)?;
        let by = family.multiplier_for(precision)?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("dgc-{i}"));
        let pool = (threads != 1).then(|| pool.build()).transpose();
        let pool = pool.map_err(|error| {
            Error::device(format!("the threads cannot be started: {error}"))
                .help("choose fewer with the option `threads`")
        })?;
        let pool = pool.filter(|pool| pool.current_num_threads() > 1);
        let threads = pool.as_ref().map_or(1, |pool| pool.current_num_threads());
        let scratch = (0..threads).map(|_| Mutex::default()).collect();
        Ok(Cpu {
            pool,
            family,
            by,
            arrays: Vec::new(),
            programs: Vec::new(),
            scratch,
            temporary: Floats::default(),
            readbacks: VecDeque::new(),
            spare: Vec::new(),
        })
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.scratch.len()
    }

    /// The address of each buffer of a plan; `places` gives those that are not in working memory.
    fn addresses(
        &mut self,
        plan: &plan::Plan,
        places: &[Option<ArrayRange>],
    ) -> Result<Vec<Address>> {
        check_ranges(plan, places, &|array| {
            self.arrays.get(array.index()).map(Floats::len)
        })?;
        let arena = self.allocate(plan.arena)?;
        let mut addresses = Vec::with_capacity(plan.buffers.len());
        for (buffer, place) in plan.buffers.iter().zip(places) {
            let range = match buffer.storage {
                plan::Storage::Arena(offset) => ArrayRange {
                    array: arena,
                    offset,
                },
                _ => place.expect("`check_ranges` found a place for each buffer"),
            };
            let array = &self.arrays[range.array.index()];
            // SAFETY: the buffer lies within its array: `check_ranges` checked it, and of the arena
            // the plan's verifier (invariant 2).
            addresses.push(unsafe { array.address().add(range.offset) });
        }
        Ok(addresses)
    }
}

impl Backend for Cpu {
    fn describe(&self) -> String {
        let count = self.threads();
        let noun = if count == 1 { "thread" } else { "threads" };
        format!("CPU, {count} {noun}")
    }

    fn kernels(&self) -> String {
        self.family.title().to_string()
    }

    fn allocate(&mut self, len: usize) -> Result<Id<Array>> {
        self.arrays.push(Floats::new(len)?);
        Ok(Id::new(self.arrays.len() - 1))
    }

    fn fill(
        &mut self,
        array: Id<Array>,
        offset: usize,
        len: usize,
        write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        write(&mut self.arrays[array.index()].slice_mut()[offset..offset + len]);
        Ok(())
    }

    fn read(&self, array: Id<Array>, offset: usize, len: usize) -> Result<Cow<'_, [f32]>> {
        Ok(Cow::Borrowed(
            &self.arrays[array.index()].slice()[offset..offset + len],
        ))
    }

    fn enqueue_readback(&mut self, array: Id<Array>, len: usize) -> Result<()> {
        let mut copy = self.spare.pop().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(&self.arrays[array.index()].slice()[..len]);
        self.readbacks.push_back(copy);
        Ok(())
    }

    fn poll_readback(&mut self, _wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool> {
        let Some(copy) = self.readbacks.pop_front() else {
            return Ok(false);
        };
        take(&copy);
        self.spare.push(copy);
        Ok(true)
    }

    fn load(&mut self, build: &Build, places: &[Option<ArrayRange>]) -> Result<Id<Program>> {
        let addresses = self.addresses(&build.plan, places)?;
        let program = LoadedProgram::new(&build.plan, &addresses, self.by)?;
        for scratch in &mut self.scratch {
            program.reserve(scratch.get_mut().expect("no thread has panicked"))?;
        }
        self.temporary.reserve(program.temporary_len)?;
        self.programs.push(program);
        Ok(Id::new(self.programs.len() - 1))
    }

    fn run(&mut self, program: Id<Program>, key: NoiseKey) -> Result<()> {
        let (scratch, program) = (&self.scratch, &self.programs[program.index()]);
        let packed = PackedBuffers {
            shared: program.shared.address(),
            temporary: self.temporary.address(),
        };
        let (kernels, phases, counts) = (&program.kernels, &program.phases, &program.counts);
        let work = |thread: usize, phase: usize, part: usize| {
            let (kernel, stage) = phases[phase];
            let mut scratch = scratch[thread].lock().expect("no thread has panicked");
            // SAFETY: arrays keep their addresses, and are borrowed for the run; `load` reserved
            // scratch memory and packed floats; phases run one after another, each part once.
            unsafe { kernels[kernel].run(stage, part, key, packed, &mut scratch) };
        };
        phases::run(self.pool.as_ref(), counts, &work);
        Ok(())
    }

    fn spent(&self, program: Id<Program>) -> Vec<Spent> {
        let kernels = self.programs[program.index()].kernels.iter();
        kernels.map(program::LoadedKernel::spent).collect()
    }
}
