//! The CPU back end: runs a plan's kernels one after another, the tiles of each on all threads.
//!
//! A result depends on the plan alone, never on the number of threads. Nothing is allocated while a
//! program runs.

pub mod isa;
mod threads;
mod gemm;
pub mod elementwise;

use self::{
    elementwise::{Nest, Scratch},
    gemm::{Multiplier, Packed, Packing, Product},
};
use super::{Array, Backend, Build, NoiseKey, Place, Precision, Program, Spent};
use crate::{
    error::{Error, Result},
    id::Id,
    plan::{self, Kernel, Tile},
};
use std::{
    borrow::Cow,
    collections::VecDeque,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

/// The CPU, with a number of threads.
pub struct Cpu {
    pool: rayon::ThreadPool,
    by: Multiplier,
    arrays: Vec<Floats>,
    programs: Vec<Loaded>,
    scratch: Vec<Mutex<Scratch>>,
    /// The packed right operands of the contraction that runs, where its program does not keep
    /// them.
    packed: Floats,
    /// Numbers that were noted, the oldest first, and arrays for others.
    notes: VecDeque<Vec<f32>>,
    spare: Vec<Vec<f32>>,
}

/// Floats at a fixed address, aligned to cache lines.
#[derive(Default)]
struct Floats {
    lines: Vec<Line>,
    len: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

impl Floats {
    fn new(len: usize) -> Result<Self> {
        let (count, mut lines) = (len.div_ceil(16), Vec::new());
        lines.try_reserve_exact(count).map_err(|_| {
            let message = format!(
                "{} MiB of memory cannot be had",
                (len * size_of::<f32>()) >> 20
            );
            Error::new(message).help("smaller sizes, fewer samples or rows at once need less")
        })?;
        lines.resize(count, Line([0.0; 16]));
        Ok(Floats { lines, len })
    }

    /// At least so many; they keep nothing if there were fewer.
    fn reserve(&mut self, len: usize) -> Result<()> {
        if self.len < len {
            *self = Floats::new(len)?;
        }
        Ok(())
    }

    fn pointer(&mut self) -> *mut f32 {
        self.lines.as_mut_ptr().cast()
    }

    fn slice(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` floats, laid out without gaps.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    fn slice_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `slice`; the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// A kernel with its buffers' addresses.
struct Compiled {
    name: String,
    times: Times,
    setup: Vec<Nest>,
    tile: Option<Tile>,
    prologue: Vec<Nest>,
    product: Option<Product>,
    epilogue: Vec<Nest>,
}

/// A program: its kernels, and the phases that they run in.
struct Loaded {
    kernels: Vec<Compiled>,
    /// Each with the parts that its work is split into.
    phases: Vec<(usize, Stage)>,
    counts: Vec<usize>,
    /// Packed right operands that several kernels read.
    kept: Floats,
}

/// What of a kernel is done at a time, on all threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Pack,
    Tiles,
}

impl Loaded {
    fn new(kernels: Vec<Compiled>, kept: Floats) -> Self {
        let mut loaded = Loaded {
            kernels: Vec::new(),
            phases: Vec::new(),
            counts: Vec::new(),
            kept,
        };
        for (number, kernel) in kernels.iter().enumerate() {
            let head = usize::from(!kernel.setup.is_empty());
            let pack = kernel.product.as_ref().map_or(0, Product::panels);
            let tiles = kernel.tile.map_or(0, |tile| tile.count);
            for (stage, count) in [
                (Stage::Head, head),
                (Stage::Pack, pack),
                (Stage::Tiles, tiles),
            ] {
                if count > 0 {
                    loaded.phases.push((number, stage));
                    loaded.counts.push(count);
                }
            }
        }
        loaded.kernels = kernels;
        loaded
    }
}

/// Nanoseconds spent on a kernel, summed over the threads.
#[derive(Default)]
struct Times {
    loops: AtomicU64,
    packing: AtomicU64,
    contraction: AtomicU64,
}

/// Adds the time that `work` takes.
fn timed(total: &AtomicU64, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    total.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
}

/// The address of a buffer.
#[derive(Clone, Copy)]
struct Address(*mut f32);

// SAFETY: threads write to disjoint parts of a buffer, each to its own tile: the plan's verifier
// checks it.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

/// The part of a kernel that runs at once.
#[derive(Clone, Copy)]
struct Part {
    number: usize,
    start: usize,
    end: usize,
}

impl Cpu {
    /// With that many threads, or as many as there are cores for 0.
    ///
    /// # Errors
    /// If the CPU does not multiply in that precision.
    pub fn new(threads: usize, precision: Precision) -> Result<Self> {
        let by = Multiplier::new(precision).ok_or_else(|| {
            Error::new(format!("the CPU does not multiply in {precision}"))
                .help("--precision f32 or bf16, or --device cuda where there is a GPU")
        })?;
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("dgc-{i}"))
            .build();
        let pool = pool.expect("threads can be started");
        let scratch = (0..pool.current_num_threads())
            .map(|_| Mutex::default())
            .collect();
        Ok(Cpu {
            pool,
            by,
            arrays: Vec::new(),
            programs: Vec::new(),
            scratch,
            packed: Floats::default(),
            notes: VecDeque::new(),
            spare: Vec::new(),
        })
    }

    pub fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }

    fn compile(
        &mut self,
        kernel: &Kernel,
        addresses: &[Address],
        packing: &mut Packing,
    ) -> Result<Compiled> {
        let nests = |nests: &[plan::Loop]| {
            nests
                .iter()
                .map(|nest| Nest::new(nest, kernel.tile, addresses))
                .collect()
        };
        let compiled = Compiled {
            name: kernel.name.clone(),
            times: Times::default(),
            setup: nests(&kernel.setup),
            tile: kernel.tile,
            prologue: nests(&kernel.prologue),
            product: kernel
                .contraction
                .as_ref()
                .map(|contraction| Product::new(contraction, addresses, packing, self.by)),
            epilogue: nests(&kernel.epilogue),
        };
        for scratch in &mut self.scratch {
            let scratch = scratch.get_mut().expect("no thread has panicked");
            let all = compiled
                .setup
                .iter()
                .chain(&compiled.prologue)
                .chain(&compiled.epilogue);
            for nest in all {
                scratch.reserve(nest.needs())?;
            }
            if let Some(product) = &compiled.product {
                scratch.reserve_workspace(product.workspace_len())?;
            }
        }
        Ok(compiled)
    }

    /// One part of a kernel's work.
    fn work(&self, kernel: &Compiled, stage: Stage, number: usize, key: NoiseKey, packed: Packed) {
        let loops = |nests: &[Nest], part: Part, scratch: &mut Scratch| {
            if !nests.is_empty() {
                timed(&kernel.times.loops, || {
                    nests.iter().for_each(|nest| nest.run(part, key, scratch))
                });
            }
        };
        match (stage, kernel.tile, &kernel.product) {
            (Stage::Head, ..) => {
                let whole = Part {
                    number: 0,
                    start: 0,
                    end: 0,
                };
                self.with_scratch(|scratch| loops(&kernel.setup, whole, scratch));
            }
            (Stage::Pack, _, Some(product)) => self.with_scratch(|scratch| {
                timed(&kernel.times.packing, || {
                    product.pack(number, packed, scratch.workspace())
                });
            }),
            (Stage::Tiles, Some(tile), product) => self.with_scratch(|scratch| {
                let part = Part {
                    number,
                    start: number * tile.size,
                    end: ((number + 1) * tile.size).min(tile.length),
                };
                loops(&kernel.prologue, part, scratch);
                if let Some(product) = product {
                    timed(&kernel.times.contraction, || {
                        product.run(part, packed, scratch.workspace())
                    });
                }
                loops(&kernel.epilogue, part, scratch);
            }),
            _ => unreachable!("a kernel has the stages that it was loaded with"),
        }
    }

    fn with_scratch(&self, work: impl FnOnce(&mut Scratch)) {
        let thread = rayon::current_thread_index().expect("kernels run within the pool");
        work(&mut self.scratch[thread].lock().expect("no thread has panicked"));
    }
}

impl Backend for Cpu {
    fn describe(&self) -> String {
        let threads = format!("CPU, {} threads", self.threads());
        match self.by {
            Multiplier::F32(_) => threads,
            Multiplier::Rounded(_) | Multiplier::Pairs => format!("{threads}, {}", Precision::Bf16),
        }
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
        let mut note = self.spare.pop().unwrap_or_default();
        note.clear();
        note.extend_from_slice(&self.arrays[array.index()].slice()[..len]);
        self.notes.push_back(note);
        Ok(())
    }

    fn poll_readback(&mut self, _wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool> {
        let Some(note) = self.notes.pop_front() else {
            return Ok(false);
        };
        take(&note);
        self.spare.push(note);
        Ok(true)
    }

    fn load(&mut self, build: &Build, places: &[Option<Place>]) -> Result<Id<Program>> {
        let plan = &build.plan;
        let arena = self.allocate(plan.arena)?;
        let mut addresses = Vec::with_capacity(plan.buffers.len());
        for (buffer, place) in plan.buffers.iter().zip(places) {
            let place = match (&buffer.place, place) {
                (plan::Place::Arena(offset), _) => Place {
                    array: arena,
                    offset: *offset,
                },
                (_, Some(place)) => *place,
                (_, None) => panic!("`{}` has a place", buffer.name),
            };
            let array = &mut self.arrays[place.array.index()];
            assert!(
                place.offset + buffer.len <= array.len,
                "`{}` lies within its array",
                buffer.name
            );
            // SAFETY: the offset is within the array, as was just checked.
            addresses.push(Address(unsafe { array.pointer().add(place.offset) }));
        }
        let mut packing = Packing::new(plan, &addresses);
        let kernels = plan
            .kernels
            .iter()
            .map(|kernel| self.compile(kernel, &addresses, &mut packing));
        let kernels = kernels.collect::<Result<_>>()?;
        self.packed.reserve(packing.passing_len)?;
        self.programs
            .push(Loaded::new(kernels, Floats::new(packing.kept_len)?));
        Ok(Id::new(self.programs.len() - 1))
    }

    fn run(&mut self, program: Id<Program>, key: NoiseKey) -> Result<()> {
        let kept = Address(self.programs[program.index()].kept.pointer());
        let packed = Packed {
            kept,
            passing: Address(self.packed.pointer()),
        };
        let (this, program) = (&*self, &self.programs[program.index()]);
        let work = |phase: usize, number: usize| {
            let (kernel, stage) = program.phases[phase];
            this.work(&program.kernels[kernel], stage, number, key, packed);
        };
        this.pool
            .install(|| threads::run(&program.counts, this.threads(), &work));
        Ok(())
    }

    fn spent(&self, program: Id<Program>) -> Vec<Spent> {
        let seconds = |time: &AtomicU64| time.load(Ordering::Relaxed) as f64 * 1e-9;
        let kernels = self.programs[program.index()].kernels.iter();
        let spent = kernels.map(|kernel| Spent {
            kernel: kernel.name.clone(),
            loops: seconds(&kernel.times.loops),
            packing: seconds(&kernel.times.packing),
            contraction: seconds(&kernel.times.contraction),
        });
        spent.collect()
    }
}
