//! Loaded programs: plans whose kernels have the addresses of their buffers.
//!
//! A kernel runs in up to three phases: its setup, on one thread; the preparation of its
//! contraction, with a part for each panel or partial sum; and its tiles, with a part for each
//! tile. A part begins when all parts of the previous phase are done.

use super::{
    elementwise::{Nest, Scratch},
    gemm::{LoadedContraction, Multiplier, PackedBuffers, PackedOperands},
    memory::{Address, Element, Floats, Place},
    phases::MOST_PARTS,
    tile::TileRange,
};
use crate::{
    backend::{NoiseKey, Spent},
    error::{Error, Result},
    plan::{Contraction, Kernel, Loop, Plan, Storage, Tile},
};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// A loaded plan.
pub struct LoadedProgram {
    pub kernels: Vec<LoadedKernel>,
    /// The kernel and the stage of each phase.
    pub phases: Vec<(usize, Stage)>,
    /// The number of parts of each phase.
    pub counts: Vec<usize>,
    /// The packed right operands that several kernels read.
    pub shared: Floats,
    /// The maximum floats of packed right operands that only one kernel reads.
    pub temporary_len: usize,
}

impl LoadedProgram {
    /// Loads a verified plan with its buffers at `addresses`.
    ///
    /// # Errors
    /// If the CPU cannot run a kernel, or there is not enough memory.
    pub fn new(plan: &Plan, addresses: &[Address], by: Multiplier) -> Result<Self> {
        let places = &places(plan, addresses, by);
        let mut operands = PackedOperands::new(plan);
        let readers = plan.readers();
        let mut kernels = Vec::new();
        let (mut phases, mut counts) = (Vec::new(), Vec::new());
        for (number, kernel) in plan.kernels.iter().enumerate() {
            let is_local = has_local_results(plan, number, &readers);
            let loaded = LoadedKernel::new(kernel, places, &mut operands, is_local, by)
                .map_err(|error| error.help(format!("kernel `{}` of the plan", kernel.name)))?;
            for (stage, count) in loaded.stages() {
                if count > MOST_PARTS {
                    return Err(Error::new(format!("`{}` has {count} parts", kernel.name)));
                }
                if count > 0 {
                    phases.push((number, stage));
                    counts.push(count);
                }
            }
            kernels.push(loaded);
        }
        Ok(LoadedProgram {
            kernels,
            phases,
            counts,
            shared: Floats::new(operands.shared_len)?,
            temporary_len: operands.temporary_len,
        })
    }

    /// Reserves scratch memory for every kernel.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn reserve(&self, scratch: &mut Scratch) -> Result<()> {
        for kernel in &self.kernels {
            for nest in kernel.nests() {
                scratch.reserve(nest.needs())?;
            }
            if let Some(contraction) = &kernel.contraction {
                scratch.reserve_workspace(contraction.workspace_len())?;
                let indices = kernel.tile.map_or(0, |tile| tile.size);
                scratch.reserve_results(contraction.results_len(indices))?;
            }
        }
        Ok(())
    }
}

/// Where each buffer begins and in which format. Tiles of bf16 read in half of the memory what is only
/// multiplied, and would be rounded when it is packed.
fn places(plan: &Plan, addresses: &[Address], by: Multiplier) -> Vec<Place> {
    let multiplied = match by {
        Multiplier::Tiles(_) => plan.multiplied_only(),
        _ => vec![false; addresses.len()],
    };
    let both = addresses.iter().zip(multiplied);
    let places = both.map(|(&address, is_rounded)| Place {
        address,
        element: if is_rounded {
            Element::Bf16
        } else {
            Element::F32
        },
    });
    places.collect()
}

/// Whether the tiles of a kernel may keep the results of its contraction in scratch memory, where
/// they stay in the cache: the tile's own loops read them, row by row, and nothing else does.
fn has_local_results(plan: &Plan, number: usize, readers: &[Vec<usize>]) -> bool {
    let kernel = &plan.kernels[number];
    let (Some(tile), Some(contraction)) = (kernel.tile, &kernel.contraction) else {
        return false;
    };
    let out = contraction.out;
    let is_dense = out.column_stride == 1 && out.row_stride == contraction.n;
    let is_arena = matches!(plan.buffer(out.buffer).storage, Storage::Arena(_));
    if tile.count < 2 || !is_dense || !is_arena {
        return false;
    }
    let per_index = contraction.rows_per_index * out.row_stride;
    let by_tile = |nest: &Loop| {
        nest.loads(out.buffer).all(|load| {
            nest.tiled && load.strides[0] == per_index && load.spans.is_empty() && load.partial == 0
        })
    };
    readers[out.buffer.index()] == [number] && kernel.epilogue.iter().all(by_tile)
}

/// The stage of a kernel that runs in a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Setup,
    Preparation,
    Tiles,
}

/// A kernel with the addresses of its buffers.
pub struct LoadedKernel {
    name: String,
    times: Times,
    setup: Vec<Nest>,
    tile: Option<Tile>,
    prologue: Vec<Nest>,
    contraction: Option<LoadedContraction>,
    epilogue: Vec<Nest>,
}

impl LoadedKernel {
    fn new(
        kernel: &Kernel,
        places: &[Place],
        operands: &mut PackedOperands,
        is_local: bool,
        by: Multiplier,
    ) -> Result<Self> {
        let nests = |loops: &[Loop]| -> Result<Vec<Nest>> {
            let nests = loops
                .iter()
                .map(|nest| Nest::new(nest, kernel.tile, places, by.isa()));
            nests.collect()
        };
        let contraction = kernel.contraction.as_ref();
        let contraction = contraction
            .map(|contraction| LoadedContraction::new(contraction, places, operands, is_local, by));
        let mut epilogue = nests(&kernel.epilogue)?;
        if is_local
            && let Some(Contraction {
                out,
                rows_per_index,
                ..
            }) = &kernel.contraction
        {
            let address = places[out.buffer.index()].address;
            for nest in &mut epilogue {
                nest.read_locally(address, rows_per_index * out.row_stride);
            }
        }
        Ok(LoadedKernel {
            name: kernel.name.clone(),
            times: Times::default(),
            setup: nests(&kernel.setup)?,
            tile: kernel.tile,
            prologue: nests(&kernel.prologue)?,
            contraction: contraction.transpose()?,
            epilogue,
        })
    }

    fn nests(&self) -> impl Iterator<Item = &Nest> {
        self.setup
            .iter()
            .chain(&self.prologue)
            .chain(&self.epilogue)
    }

    /// The stages with their numbers of parts.
    fn stages(&self) -> [(Stage, usize); 3] {
        let preparations = self
            .contraction
            .as_ref()
            .map(LoadedContraction::preparations);
        [
            (Stage::Setup, usize::from(!self.setup.is_empty())),
            (Stage::Preparation, preparations.unwrap_or(0)),
            (Stage::Tiles, self.tile.map_or(0, |tile| tile.count)),
        ]
    }

    /// Runs a part of a stage.
    ///
    /// # Safety
    /// The buffers must be where they were when the program was loaded, in a plan that was
    /// verified, and `packed` must have the floats that [`LoadedProgram`] counted. All stages
    /// before this one must be done, no other thread may run the same part, and no part of another
    /// stage may run meanwhile. The scratch memory must have room for the kernel.
    pub unsafe fn run(
        &self,
        stage: Stage,
        part: usize,
        key: NoiseKey,
        packed: PackedBuffers,
        scratch: &mut Scratch,
    ) {
        match (stage, self.tile, &self.contraction) {
            // SAFETY: as the caller's: the setup has one part.
            (Stage::Setup, ..) => unsafe {
                self.run_nests(&self.setup, TileRange::NONE, key, scratch);
            },
            (Stage::Preparation, _, Some(contraction)) => {
                timed(&self.times.packing, || {
                    // SAFETY: as the caller's: the plan verifier checks that a kernel's operands
                    // are written before its tiles.
                    unsafe { contraction.prepare(part, packed, scratch.workspace()) }
                });
            }
            (Stage::Tiles, Some(tile), _) => {
                let range = TileRange::new(tile, part);
                // SAFETY: as the caller's.
                unsafe { self.run_tile(range, key, packed, scratch) };
            }
            _ => unreachable!("a kernel has the stages that it was loaded with"),
        }
    }

    /// # Safety
    /// As [`LoadedKernel::run`].
    unsafe fn run_tile(
        &self,
        tile: TileRange,
        key: NoiseKey,
        packed: PackedBuffers,
        scratch: &mut Scratch,
    ) {
        // SAFETY: as the caller's: the plan verifier checks that what different tiles write is
        // disjoint.
        unsafe {
            self.run_nests(&self.prologue, tile, key, scratch);
            if let Some(contraction) = &self.contraction {
                timed(&self.times.contraction, || {
                    contraction.run(tile, packed, scratch.workspace(), scratch.results())
                });
            }
            self.run_nests(&self.epilogue, tile, key, scratch);
        }
    }

    /// # Safety
    /// As [`LoadedKernel::run`].
    unsafe fn run_nests(
        &self,
        nests: &[Nest],
        tile: TileRange,
        key: NoiseKey,
        scratch: &mut Scratch,
    ) {
        if nests.is_empty() {
            return;
        }
        timed(&self.times.loops, || {
            for nest in nests {
                // SAFETY: as the caller's.
                unsafe { nest.run(tile, key, scratch) };
            }
        });
    }

    /// The time spent since the kernel was loaded.
    pub fn spent(&self) -> Spent {
        let seconds = |time: &AtomicU64| time.load(Ordering::Relaxed) as f64 * 1e-9;
        Spent {
            kernel: self.name.clone(),
            loops: seconds(&self.times.loops),
            packing: seconds(&self.times.packing),
            contraction: seconds(&self.times.contraction),
        }
    }
}

/// Nanoseconds spent in a kernel, summed over the threads.
#[derive(Default)]
struct Times {
    loops: AtomicU64,
    packing: AtomicU64,
    contraction: AtomicU64,
}

/// Runs `work` and adds its time to a counter.
fn timed(total: &AtomicU64, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    total.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
}
