//! The first GPU as a back end.
//!
//! All memory of a program is allocated when it is loaded, and a run of it is one launch of a CUDA
//! graph.

use super::{
    cache, emit, gpu,
    image::GpuInfo,
    library,
    objects::{Context, Function, Graph, Memory, Module, Stream},
    transfer::{Readbacks, Writes},
};
use crate::{
    backend::{
        Array, ArrayRange, Backend, Build, Gather, NoiseKey, Precision, Program, check_ranges,
    },
    error::{Error, Result},
    id::Id,
    plan,
};
use cudarc::driver::{result, sys::CUdeviceptr};
use std::{
    borrow::Cow,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The code of a program: machine code or PTX, its launches, and the floats of working memory that
/// they share.
struct Code<'b> {
    image: Cow<'b, [u8]>,
    launches: Vec<emit::Launch>,
    arena: usize,
}

/// A row that `gather_rows` copies: source, destination and number of floats.
type Row = [u64; 3];

/// The first GPU.
///
/// It may be moved to another thread: every operation makes the context current first.
pub struct Cuda {
    name: String,
    /// The runtime compiler's path, if the user gave one.
    nvrtc: Option<PathBuf>,
    /// The architecture, such as `sm_90`.
    arch: String,
    precision: Precision,
    context: Arc<Context>,
    stream: Stream,
    writes: Writes,
    readbacks: Readbacks,
    programs: Vec<Loaded>,
    /// The function that gathers rows of tables.
    gather: Option<Function>,
    /// The rows to gather.
    rows: Option<Memory>,
    arrays: Vec<Floats>,
    /// The noise's key.
    key: Memory,
}

/// An array of floats on the device.
struct Floats {
    memory: Memory,
    len: usize,
}

struct Loaded {
    name: String,
    graph: Graph,
}

/// Opens the first GPU. `nvrtc` is the path of the runtime compiler, if the loader does not find
/// it.
///
/// # Errors
/// If the driver or a GPU is missing, or the GPU cannot be used.
pub fn open(nvrtc: Option<&Path>, precision: Precision) -> Result<Box<dyn Backend>> {
    Ok(Box::new(Cuda::new(nvrtc, precision)?))
}

impl Cuda {
    /// Opens the first GPU. `nvrtc` is the path of the runtime compiler, if the loader does not
    /// find it.
    ///
    /// # Errors
    /// If the driver or a GPU is missing, or the GPU has no free memory.
    pub fn new(nvrtc: Option<&Path>, precision: Precision) -> Result<Self> {
        library::find_driver()?;
        let devices = gpu::devices()?;
        let device = *devices.first().ok_or_else(|| {
            Error::device("CUDA: the driver lists no GPU").help("choose the CPU with `Device::cpu`")
        })?;
        let GpuInfo { name, arch, .. } = gpu::info(device)?;
        let context = Context::new(device)?;
        let stream = Stream::new(&context)?;
        Ok(Cuda {
            name,
            nvrtc: nvrtc.map(Path::to_path_buf),
            arch,
            precision,
            key: Memory::zeroed(&context, size_of::<[u32; 4]>(), &stream)?,
            stream,
            writes: Writes::new(&context)?,
            readbacks: Readbacks::new(&context),
            programs: Vec::new(),
            gather: None,
            rows: None,
            arrays: Vec::new(),
            context,
        })
    }

    /// The code of a program, compiled ahead of time or now.
    fn code<'b>(&self, build: &'b Build) -> Result<Code<'b>> {
        let Some(binary) = &build.cuda else {
            library::find_nvrtc(self.nvrtc.as_deref())?;
            let source = emit::emit(&build.plan, &build.name, self.precision);
            let image = cache::code(&source.text, &build.name, &self.arch)?;
            let emit::CudaSource {
                launches, arena, ..
            } = source;
            return Ok(Code {
                image: image.into(),
                launches,
                arena,
            });
        };
        if binary.precision != self.precision {
            let message = format!(
                "`{}` was compiled in {}, but the device runs in {}",
                build.name, binary.precision, self.precision
            );
            return Err(Error::device(message).help(format!(
                "compile the model again with the option `precision {}`",
                self.precision
            )));
        }
        let image = binary.image(&self.arch).ok_or_else(|| {
            let architectures: Vec<&str> = binary
                .images
                .iter()
                .map(|(arch, _)| arch.as_str())
                .collect();
            let message = format!(
                "`{}` was compiled for {}, but this GPU is {}",
                build.name,
                architectures.join(", "),
                self.arch
            );
            Error::device(message).help(format!("compile the model again for {}", self.arch))
        })?;
        let emit::CudaSource {
            launches, arena, ..
        } = emit::emit(&build.plan, &build.name, self.precision);
        Ok(Code {
            image: image.into(),
            launches,
            arena,
        })
    }

    fn wait(&self) -> Result<()> {
        self.stream.wait("a program or a copy failed")
    }

    fn address(&self, array: Id<Array>, offset: usize) -> CUdeviceptr {
        self.arrays[array.index()].memory.start() + (offset * size_of::<f32>()) as u64
    }

    /// Panics if a range is out of an array's bounds.
    fn check_range(&self, array: Id<Array>, offset: usize, len: usize) {
        let end = offset.checked_add(len);
        assert!(
            end.is_some_and(|end| end <= self.arrays[array.index()].len),
            "an access stays within its array"
        );
    }

    /// Records the launches as a graph. Functions are looked up first: the driver loads a function
    /// at its look-up, and cannot load it while it records.
    ///
    /// # Safety
    /// The launches and the module are of one plan; `addresses` and `arena` lie in arrays of `self`
    /// and have as much room as the plan's buffers and its working memory.
    unsafe fn record(
        &self,
        module: &Arc<Module>,
        launches: &[emit::Launch],
        addresses: &[CUdeviceptr],
        arena: CUdeviceptr,
    ) -> Result<Graph> {
        let functions = launches
            .iter()
            .map(|launch| module.function(&launch.function))
            .collect::<Result<Vec<_>>>()?;
        let mut work = || {
            launches
                .iter()
                .zip(&functions)
                .try_for_each(|(launch, function)| {
                    let mut arguments = self.arguments(launch, addresses, arena);
                    let (blocks, threads) = (launch.blocks, emit::THREADS);
                    // SAFETY: the emitter lists the arguments that the function takes; as the caller
                    // promises, they have room. Arrays live as long as `self`, which waits for its
                    // work before it is dropped.
                    unsafe {
                        self.stream
                            .launch(function, blocks, threads, &mut arguments)
                    }
                })
        };
        self.stream.record(module, &mut work)
    }

    /// A function's arguments: working memory, buffers, the noise's key.
    fn arguments(
        &self,
        launch: &emit::Launch,
        addresses: &[CUdeviceptr],
        arena: CUdeviceptr,
    ) -> Vec<CUdeviceptr> {
        let buffers = launch
            .buffers
            .iter()
            .map(|buffer| addresses[buffer.index()]);
        let arena = launch.arena.then_some(arena);
        let key = launch.noise.then(|| self.key.start());
        arena.into_iter().chain(buffers).chain(key).collect()
    }

    /// The rows of some copies.
    fn rows(&self, copies: &[Gather]) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for copy in copies {
            let (table, width) = (copy.table, copy.width);
            self.check_range(copy.to, 0, copy.rows.len() * width);
            let count = self.arrays[table.index()].len / width;
            rows.extend(copy.rows.iter().enumerate().map(|(place, &row)| {
                assert!((row as usize) < count, "a row is one of its table's");
                let from = self.address(table, row as usize * width);
                let to = self.address(copy.to, place * width);
                [from, to, width as u64]
            }));
        }
        rows
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        // Wait, so that no work uses memory that the fields free. Errors were reported before.
        let _ = self.context.bind();
        let _ = self.writes.wait();
        let _ = self.stream.wait("a program or a copy failed");
    }
}

impl Backend for Cuda {
    fn describe(&self) -> String {
        format!("{} ({})", self.name, self.arch)
    }

    fn kernels(&self) -> String {
        format!("CUDA {}", self.arch)
    }

    fn allocate(&mut self, len: usize) -> Result<Id<Array>> {
        self.context.bind()?;
        let memory = Memory::zeroed(&self.context, len * size_of::<f32>(), &self.stream)?;
        self.arrays.push(Floats { memory, len });
        Ok(Id::new(self.arrays.len() - 1))
    }

    fn fill(
        &mut self,
        array: Id<Array>,
        offset: usize,
        len: usize,
        write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        self.context.bind()?;
        self.check_range(array, offset, len);
        let to = self.address(array, offset);
        // SAFETY: the range was checked. Arrays live until the work is done, because `drop` waits
        // for it.
        unsafe { self.writes.fill(to, len, &self.stream, write) }
    }

    fn read(&self, array: Id<Array>, offset: usize, len: usize) -> Result<Cow<'_, [f32]>> {
        self.context.bind()?;
        self.check_range(array, offset, len);
        let mut values = vec![0.0f32; len];
        // SAFETY: the range was checked, and the values are not pinned.
        unsafe {
            self.stream
                .copy_to_host(&mut values, self.address(array, offset))
        }?;
        self.wait()?;
        Ok(Cow::Owned(values))
    }

    fn keeps(&self, len: usize) -> bool {
        // Leave half of the free memory to other programs.
        self.context.bind().is_ok()
            && result::mem_get_info().is_ok_and(|(free, _)| len * size_of::<f32>() <= free / 2)
    }

    fn gather(&mut self, copies: &[Gather]) -> Result<()> {
        self.context.bind()?;
        let rows = self.rows(copies);
        let bytes = size_of_val(rows.as_slice());
        if self
            .rows
            .as_ref()
            .is_none_or(|memory| memory.bytes() < bytes)
        {
            let larger = Memory::zeroed(&self.context, bytes, &self.stream)?;
            // Earlier work may still read the old rows.
            self.wait()?;
            self.rows = Some(larger);
        }
        let memory = self.rows.as_ref().expect("the rows have memory").start();
        let function = self
            .gather
            .as_ref()
            .expect("a program is loaded before its rows are gathered");
        // SAFETY: there is room for the rows, which are not pinned. The function takes them, a block
        // each; they lie in their arrays, which live until the work is done.
        unsafe {
            self.stream.copy_to_device(memory, rows.as_flattened())?;
            self.stream
                .launch(function, rows.len(), emit::THREADS, &mut [memory])
        }
    }

    fn enqueue_readback(&mut self, array: Id<Array>, len: usize) -> Result<()> {
        self.context.bind()?;
        self.check_range(array, 0, len);
        let from = self.address(array, 0);
        // SAFETY: the range was checked. Arrays live until the work is done.
        unsafe { self.readbacks.enqueue(from, len, &self.stream) }
    }

    fn poll_readback(&mut self, wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool> {
        self.context.bind()?;
        self.readbacks.poll(wait, take)
    }

    fn load(&mut self, build: &Build, places: &[Option<ArrayRange>]) -> Result<Id<Program>> {
        self.context.bind()?;
        let plan = &build.plan;
        check_ranges(plan, places, &|array| {
            self.arrays.get(array.index()).map(|array| array.len)
        })?;
        let Code {
            image,
            launches,
            arena,
        } = self.code(build)?;
        let arena = self.allocate(arena)?;
        let arena = self.address(arena, 0);
        // The launches contain the offsets of buffers in working memory.
        let address = |(buffer, place): (&plan::Buffer, &Option<ArrayRange>)| match (
            &buffer.storage,
            place,
        ) {
            (plan::Storage::Arena(_), _) => arena,
            (_, Some(place)) => self.address(place.array, place.offset),
            (_, None) => unreachable!("`check_ranges` found a place for each buffer"),
        };
        let addresses: Vec<CUdeviceptr> = plan.buffers.iter().zip(places).map(address).collect();
        // SAFETY: NVRTC made the image, now or when its folder was compiled.
        let module = unsafe { Module::load(&self.context, &image) }?;
        let gather = module.function(emit::GATHER)?;
        // SAFETY: the launches follow from this plan, which is verified, and so does the image, unless
        // its folder was tampered with; `check_ranges` found room for every buffer.
        let graph = unsafe { self.record(&module, &launches, &addresses, arena) }?;
        self.gather = Some(gather);
        self.programs.push(Loaded {
            name: build.name.clone(),
            graph,
        });
        Ok(Id::new(self.programs.len() - 1))
    }

    fn run(&mut self, program: Id<Program>, key: NoiseKey) -> Result<()> {
        self.context.bind()?;
        let words = [
            key.seed as u32,
            (key.seed >> 32) as u32,
            key.step as u32,
            (key.step >> 32) as u32,
        ];
        let loaded = &self.programs[program.index()];
        // SAFETY: the key has room for its words, which are not pinned. Arrays, which the graph's
        // launches name, live until the work is done.
        unsafe {
            self.stream.copy_to_device(self.key.start(), &words)?;
            self.stream
                .run(&loaded.graph, &format!("program `{}`", loaded.name))
        }
    }
}
