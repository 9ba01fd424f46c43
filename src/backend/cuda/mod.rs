//! The CUDA back end: a plan as CUDA C++, compiled by NVRTC and run through the driver.
//!
//! All memory is allocated when a program is loaded; a run of it is one launch of a CUDA graph.

pub mod assembly;
pub mod cache;
pub mod compile;
pub mod emit;
pub mod library;
mod transfer;

use super::{Array, Backend, Build, Gather, NoiseKey, Place, Precision, Program};
use crate::{
    error::{Error, Result},
    id::Id,
    plan,
};
use cudarc::driver::{
    result::{self, DriverError},
    sys,
};
use std::{
    borrow::Cow,
    ffi::{CString, c_void},
    path::{Path, PathBuf},
};
use transfer::{Notes, Writes};

/// A program made ahead of time: its launches, and machine code for some architectures.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    pub precision: Precision,
    pub launches: Vec<emit::Launch>,
    /// Floats of working memory.
    pub arena: usize,
    /// By architecture: `sm_90` for machine code, `compute_80` for PTX that a driver can make it
    /// of.
    pub images: Vec<(String, Vec<u8>)>,
}

impl Binary {
    /// The best image for a GPU: its own, one for an earlier GPU of its generation, or PTX for an
    /// earlier one.
    fn image(&self, arch: &str) -> Option<&[u8]> {
        let wanted = number(arch)?;
        let fits =
            |known: u32, is_ptx: bool| known <= wanted && (is_ptx || known / 10 == wanted / 10);
        let candidates = self.images.iter().filter_map(|(name, code)| {
            let (known, is_ptx) = (number(name)?, name.starts_with("compute_"));
            fits(known, is_ptx).then_some(((!is_ptx, known), code))
        });
        candidates
            .max_by_key(|(rank, _)| *rank)
            .map(|(_, code)| code.as_slice())
    }
}

/// 90 of `sm_90` and `compute_90`.
fn number(arch: &str) -> Option<u32> {
    arch.rsplit('_').next()?.parse().ok()
}

/// What is loaded for a program: machine code or PTX, its launches, and the floats of working
/// memory that they share.
struct Code<'b> {
    image: Cow<'b, [u8]>,
    launches: Cow<'b, [emit::Launch]>,
    arena: usize,
}

/// The first GPU.
pub struct Cuda {
    name: String,
    /// Where the compiler is, if the user said so.
    nvrtc: Option<PathBuf>,
    /// Such as `sm_90`.
    arch: String,
    precision: Precision,
    stream: sys::CUstream,
    arrays: Vec<Floats>,
    programs: Vec<Loaded>,
    key: sys::CUdeviceptr,
    writes: Writes,
    notes: Notes,
    /// Gathers rows of tables; every program's module has it.
    gather: Option<sys::CUfunction>,
    /// The rows that are gathered, and how many there is room for.
    rows: (sys::CUdeviceptr, usize),
}

/// A row that `gather_rows` copies: from where, to where, and how many floats.
type Row = [u64; 3];

/// Floats on the device.
struct Floats {
    start: sys::CUdeviceptr,
    len: usize,
}

struct Loaded {
    name: String,
    graph: sys::CUgraphExec,
}

fn failed(what: &str, error: DriverError) -> Error {
    let text = error.error_string().map_or_else(
        |_| format!("{error:?}"),
        |text| text.to_string_lossy().into_owned(),
    );
    let error = Error::new(format!("CUDA: {what}: {text}"));
    if text.contains("memory") {
        return error.help("smaller batches or fewer samples need less memory, for example --set batch.unlabelled=50");
    }
    error
}

/// What a call of the driver came to, as ours.
trait Check<T> {
    fn explain(self, what: &str) -> Result<T>;
}

impl<T> Check<T> for std::result::Result<T, DriverError> {
    fn explain(self, what: &str) -> Result<T> {
        self.map_err(|error| failed(what, error))
    }
}

/// Whether there are a driver, a GPU and a compiler; `None` asks for no compiler.
pub fn is_there(compiler: Option<Option<&Path>>) -> bool {
    library::find_driver().is_ok()
        && result::init().is_ok()
        && result::device::get_count().is_ok_and(|count| count > 0)
        && compiler.is_none_or(|nvrtc| library::find_nvrtc(nvrtc).is_ok())
}

/// What a GPU is: name, architecture, bytes of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    pub name: String,
    pub arch: String,
    pub memory: usize,
}

/// The GPUs that the driver knows; the driver must have been found.
pub fn gpus() -> Result<Vec<Gpu>> {
    result::init().explain("the driver cannot begin")?;
    let count = result::device::get_count().explain("devices cannot be counted")?;
    (0..count)
        .map(|number| gpu(result::device::get(number).explain("a device cannot be had")?))
        .collect()
}

fn gpu(device: sys::CUdevice) -> Result<Gpu> {
    let name = result::device::get_name(device).explain("the device has no name")?;
    let attribute = |which| {
        // SAFETY: the device is one that the driver gave.
        unsafe { result::device::get_attribute(device, which) }
            .explain("the device has no architecture")
    };
    let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    // SAFETY: as above.
    let memory =
        unsafe { result::device::total_mem(device) }.explain("the device has no memory")?;
    Ok(Gpu {
        name,
        arch: format!("sm_{major}{minor}"),
        memory,
    })
}

impl Cuda {
    pub fn new(nvrtc: Option<&Path>, precision: Precision) -> Result<Self> {
        library::find_driver()?;
        result::init().explain("the driver cannot begin")?;
        let count = result::device::get_count().explain("devices cannot be counted")?;
        if count == 0 {
            return Err(Error::new("CUDA: there is no GPU").help("--device cpu needs none"));
        }
        let device = result::device::get(0).explain("the first device cannot be had")?;
        let Gpu { name, arch, .. } = gpu(device)?;
        // SAFETY: the device is one that the driver gave; its context stays for as long as the
        // program runs.
        unsafe {
            let context = result::primary_ctx::retain(device).explain("there is no context")?;
            result::ctx::set_current(context).explain("the context cannot be used")?;
        }
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .explain("there is no stream")?;
        let key = allocate(size_of::<[u32; 4]>(), stream)?;
        Ok(Cuda {
            name,
            nvrtc: nvrtc.map(Path::to_path_buf),
            arch,
            precision,
            stream,
            arrays: Vec::new(),
            programs: Vec::new(),
            key,
            writes: Writes::new()?,
            notes: Notes::default(),
            gather: None,
            rows: (0, 0),
        })
    }

    /// The code of a program: made ahead of time, or now.
    fn code<'b>(&self, build: &'b Build) -> Result<Code<'b>> {
        let Some(binary) = &build.cuda else {
            library::find_nvrtc(self.nvrtc.as_deref())?;
            let source = emit::emit(&build.plan, &build.name, self.precision);
            let image = cache::code(&source.text, &build.name, &self.arch)?;
            let emit::Source {
                launches, arena, ..
            } = source;
            return Ok(Code {
                image: image.into(),
                launches: launches.into(),
                arena,
            });
        };
        if binary.precision != self.precision {
            let message = format!(
                "`{}` was compiled in {}, not {}",
                build.name, binary.precision, self.precision
            );
            return Err(Error::new(message).help(format!(
                "compile it again with --precision {}",
                self.precision
            )));
        }
        let image = binary.image(&self.arch).ok_or_else(|| {
            let known: Vec<&str> = binary
                .images
                .iter()
                .map(|(arch, _)| arch.as_str())
                .collect();
            let message = format!(
                "`{}` was compiled for {}; this GPU is {}",
                build.name,
                known.join(", "),
                self.arch
            );
            Error::new(message).help(format!("compile it again with --arch {}", self.arch))
        })?;
        Ok(Code {
            image: image.into(),
            launches: binary.launches.as_slice().into(),
            arena: binary.arena,
        })
    }

    fn wait(&self, what: &str) -> Result<()> {
        // SAFETY: the stream is ours.
        unsafe { result::stream::synchronize(self.stream) }.explain(what)
    }

    fn address(&self, array: Id<Array>, offset: usize) -> sys::CUdeviceptr {
        self.arrays[array.index()].start + (offset * size_of::<f32>()) as u64
    }

    /// Records the launches as a graph. Functions are looked up before: a driver loads them then,
    /// which it may not while it records.
    fn record(
        &self,
        module: sys::CUmodule,
        launches: &[emit::Launch],
        addresses: &[sys::CUdeviceptr],
        arena: sys::CUdeviceptr,
    ) -> Result<sys::CUgraphExec> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        let functions = launches
            .iter()
            .map(|launch| function(module, &launch.function))
            .collect::<Result<Vec<_>>>()?;
        // SAFETY: functions take the pointers that the emitter lists, which live as long as the
        // device.
        unsafe {
            result::stream::begin_capture(self.stream, mode).explain("a graph cannot begin")?;
            for (launch, function) in launches.iter().zip(functions) {
                self.launch(function, launch, addresses, arena)?;
            }
            let graph = result::stream::end_capture(self.stream).explain("a graph cannot end")?;
            let flags = sys::CUgraphInstantiate_flags(0);
            let made =
                result::graph::instantiate(graph, flags).explain("a graph cannot be made")?;
            result::graph::destroy(graph).explain("a graph cannot be forgotten")?;
            Ok(made)
        }
    }

    unsafe fn launch(
        &self,
        function: sys::CUfunction,
        launch: &emit::Launch,
        addresses: &[sys::CUdeviceptr],
        arena: sys::CUdeviceptr,
    ) -> Result<()> {
        let mut arguments: Vec<sys::CUdeviceptr> = launch
            .buffers
            .iter()
            .map(|buffer| addresses[buffer.index()])
            .collect();
        if launch.arena {
            arguments.insert(0, arena);
        }
        arguments.extend(launch.noise.then_some(self.key));
        let mut pointers: Vec<*mut c_void> = arguments
            .iter_mut()
            .map(|argument| std::ptr::from_mut(argument).cast())
            .collect();
        let blocks = (launch.blocks as u32, 1, 1);
        let threads = (emit::THREADS as u32, 1, 1);
        // SAFETY: the caller vouches for function and addresses.
        unsafe { result::launch_kernel(function, blocks, threads, 0, self.stream, &mut pointers) }
            .explain(&launch.function)
    }
}

/// A function of a module that is loaded.
fn function(module: sys::CUmodule, name: &str) -> Result<sys::CUfunction> {
    let text = CString::new(name).map_err(|_| Error::new("a kernel's name holds a zero byte"))?;
    // SAFETY: the module is one that the driver gave.
    unsafe { result::module::get_function(module, text) }.explain(name)
}

/// Memory that is 0 for all that the stream does from here on.
fn allocate(bytes: usize, stream: sys::CUstream) -> Result<sys::CUdeviceptr> {
    let bytes = bytes.max(4);
    // SAFETY: fresh memory, set to 0 over its own length.
    unsafe {
        let start =
            result::malloc_sync(bytes).explain(&format!("{bytes} bytes cannot be allocated"))?;
        result::memset_d8_async(start, 0, bytes, stream).explain("memory cannot be cleared")?;
        Ok(start)
    }
}

// SAFETY: what the driver gives is not bound to a thread, and every call that needs the context
// reports an error where none is current.
unsafe impl Send for Cuda {}

impl Backend for Cuda {
    fn describe(&self) -> String {
        format!("{} ({})", self.name, self.arch)
    }

    fn allocate(&mut self, len: usize) -> Result<Id<Array>> {
        let start = allocate(len * size_of::<f32>(), self.stream)?;
        self.arrays.push(Floats { start, len });
        Ok(Id::new(self.arrays.len() - 1))
    }

    fn fill(
        &mut self,
        array: Id<Array>,
        offset: usize,
        len: usize,
        write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        assert!(
            offset + len <= self.arrays[array.index()].len,
            "a write stays within its array"
        );
        let to = self.address(array, offset);
        self.writes.fill(to, len, self.stream, write)
    }

    fn read(&self, array: Id<Array>, offset: usize, len: usize) -> Result<Cow<'_, [f32]>> {
        assert!(
            offset + len <= self.arrays[array.index()].len,
            "a read stays within its array"
        );
        let mut values = vec![0.0f32; len];
        // SAFETY: the range lies within the array, and the values live until the copy is done.
        unsafe { result::memcpy_dtoh_async(&mut values, self.address(array, offset), self.stream) }
            .explain("a copy failed")?;
        self.wait("a program or a copy failed")?;
        Ok(Cow::Owned(values))
    }

    fn keeps(&self, len: usize) -> bool {
        // Half of what is left stays for whatever else runs there.
        result::mem_get_info().is_ok_and(|(free, _)| len * size_of::<f32>() <= free / 2)
    }

    fn gather(&mut self, copies: &[Gather]) -> Result<()> {
        let mut rows: Vec<Row> = Vec::new();
        for Gather {
            table,
            width,
            rows: wanted,
            to,
        } in copies
        {
            assert!(
                wanted.len() * width <= self.arrays[to.index()].len,
                "rows stay within their array"
            );
            let held = self.arrays[table.index()].len / width;
            assert!(
                wanted.iter().all(|&row| (row as usize) < held),
                "rows are of the table"
            );
            rows.extend(wanted.iter().enumerate().map(|(place, &row)| {
                let (from, to) = (
                    self.address(*table, row as usize * width),
                    self.address(*to, place * width),
                );
                [from, to, *width as u64]
            }));
        }
        if self.rows.1 < rows.len() {
            // What was gathered by before is done with when all that was asked for is.
            self.wait("a program or a copy failed")?;
            if self.rows.1 > 0 {
                // SAFETY: it was allocated so, and nothing reads it any more.
                unsafe { result::free_sync(self.rows.0) }.explain("memory cannot be given back")?;
            }
            self.rows = (
                allocate(rows.len() * size_of::<Row>(), self.stream)?,
                rows.len(),
            );
        }
        let function = self
            .gather
            .expect("a program is loaded before its rows are gathered");
        let mut arguments = [self.rows.0];
        let mut pointers = arguments
            .each_mut()
            .map(|argument| std::ptr::from_mut(argument).cast::<c_void>());
        let (blocks, threads) = ((rows.len() as u32, 1, 1), (emit::THREADS as u32, 1, 1));
        // SAFETY: the rows have room and are read before the call returns; the function takes them,
        // which stay in bounds.
        unsafe {
            result::memcpy_htod_async(self.rows.0, rows.as_flattened(), self.stream)
                .explain("a copy failed")?;
            result::launch_kernel(function, blocks, threads, 0, self.stream, &mut pointers)
                .explain("gather_rows")
        }
    }

    fn enqueue_readback(&mut self, array: Id<Array>, len: usize) -> Result<()> {
        assert!(
            len <= self.arrays[array.index()].len,
            "a note stays within its array"
        );
        let from = self.address(array, 0);
        self.notes.enqueue_readback(from, len, self.stream)
    }

    fn poll_readback(&mut self, wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool> {
        self.notes.poll_readback(wait, take)
    }

    fn load(&mut self, build: &Build, places: &[Option<Place>]) -> Result<Id<Program>> {
        let plan = &build.plan;
        let Code {
            image,
            launches,
            arena,
        } = self.code(build)?;
        let arena = self.allocate(arena)?;
        // Launches know where working memory is by themselves.
        let address =
            |(buffer, place): (&plan::Buffer, &Option<Place>)| match (&buffer.place, place) {
                (plan::Place::Arena(_), _) => self.address(arena, 0),
                (_, Some(place)) => self.address(place.array, place.offset),
                (_, None) => panic!("`{}` has a place", buffer.name),
            };
        let addresses: Vec<sys::CUdeviceptr> =
            plan.buffers.iter().zip(places).map(address).collect();
        // SAFETY: the image is what NVRTC made for this device; launches pass what their functions
        // take.
        let graph = unsafe {
            let module = result::module::load_data(image.as_ptr().cast())
                .explain("a module cannot be loaded")?;
            self.gather = Some(function(module, emit::GATHER)?);
            self.record(module, &launches, &addresses, self.address(arena, 0))?
        };
        self.programs.push(Loaded {
            name: build.name.clone(),
            graph,
        });
        Ok(Id::new(self.programs.len() - 1))
    }

    fn run(&mut self, program: Id<Program>, key: NoiseKey) -> Result<()> {
        let words = [
            key.seed as u32,
            (key.seed >> 32) as u32,
            key.step as u32,
            (key.step >> 32) as u32,
        ];
        let loaded = &self.programs[program.index()];
        // SAFETY: the key has room for its words, and the graph is one that was made.
        unsafe {
            result::memcpy_htod_async(self.key, &words, self.stream).explain("a copy failed")?;
            result::graph::launch(loaded.graph, self.stream)
                .explain(&format!("program `{}`", loaded.name))
        }
    }
}
