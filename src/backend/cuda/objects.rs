//! CUDA objects that free themselves: context, memory, streams, events, modules, graphs.
//!
//! Every object has a reference to its context; a function and a graph have a reference to their
//! module. So a context is released after all of its objects, and a module is unloaded after its
//! functions and graphs. `drop` makes the context current first. The owner of memory or of a module
//! must wait for the work that uses it before dropping it.

use crate::error::{Error, Result};
use cudarc::driver::{
    result::{self, DriverError},
    sys::{self, CUresult},
};
use std::{
    ffi::{CString, c_void},
    sync::Arc,
};

/// Converts an error of the driver; `what` names the failed operation.
fn failed(what: &str, error: DriverError) -> Error {
    let text = error.error_string().map_or_else(
        |_| format!("{error:?}"),
        |text| text.to_string_lossy().into_owned(),
    );
    let message = format!("CUDA: {what}: {text}");
    if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY {
        return Error::out_of_memory(message).help(
            "use smaller batches or fewer samples, for example set `batch.unlabelled` to 50",
        );
    }
    Error::device(message)
}

/// Converts the result of a driver call.
pub(super) trait Check<T> {
    /// The result, with an error that names the failed operation.
    fn explain(self, what: &str) -> Result<T>;
}

impl<T> Check<T> for std::result::Result<T, DriverError> {
    fn explain(self, what: &str) -> Result<T> {
        self.map_err(|error| failed(what, error))
    }
}

/// The primary context of a device.
pub(super) struct Context {
    device: sys::CUdevice,
    raw: sys::CUcontext,
}

// SAFETY: the handle names an object of the driver, whose functions may be called from any thread.
// A thread uses the context through `bind`, which changes that thread's state alone.
unsafe impl Send for Context {}
// SAFETY: as above; `bind` is the only method.
unsafe impl Sync for Context {}

impl Context {
    /// Retains the primary context of a device and makes it current.
    pub fn new(device: sys::CUdevice) -> Result<Arc<Self>> {
        // SAFETY: the driver gave the device. `drop` releases what is retained here.
        let raw = unsafe { result::primary_ctx::retain(device) }
            .explain("a context cannot be created")?;
        let context = Arc::new(Context { device, raw });
        context.bind()?;
        Ok(context)
    }

    /// Makes the context current for this thread: calls of the driver use it from here on.
    pub fn bind(&self) -> Result<()> {
        // SAFETY: the context is retained until `self` is dropped.
        unsafe { result::ctx::set_current(self.raw) }.explain("the context cannot be used")
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: `new` retained it once, and every object of the context has been dropped, because
        // each holds the context.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// A stream: a queue of work that runs in order.
pub(super) struct Stream {
    raw: sys::CUstream,
    context: Arc<Context>,
}

// SAFETY: the driver's functions take a stream from any thread. Methods take `&self` only to put
// work into the stream or to wait for it, which the driver does for several threads at once.
unsafe impl Send for Stream {}

impl Stream {
    /// A stream that does not wait for the default stream.
    pub fn new(context: &Arc<Context>) -> Result<Self> {
        let raw = result::stream::create(result::stream::StreamKind::NonBlocking)
            .explain("a stream cannot be created")?;
        Ok(Stream {
            raw,
            context: context.clone(),
        })
    }

    /// Waits until all work is done; an error of the work is `what` failed.
    pub fn wait(&self, what: &str) -> Result<()> {
        // SAFETY: the stream lives as long as `self`.
        unsafe { result::stream::synchronize(self.raw) }.explain(what)
    }

    /// Makes subsequent work wait for an event.
    pub fn wait_for(&self, event: &Event) -> Result<()> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both live as long as their owners; the driver keeps an event that is waited for.
        unsafe { result::stream::wait_event(self.raw, event.raw, flags) }
            .explain("a stream cannot wait")
    }

    /// Copies values to the device. Values that are not pinned have been read when this returns.
    ///
    /// # Safety
    /// `to` has room for the values until the copy is done; pinned values are neither changed nor
    /// freed before then.
    pub unsafe fn copy_to_device<T>(&self, to: sys::CUdeviceptr, values: &[T]) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { result::memcpy_htod_async(to, values, self.raw) }.explain("a copy failed")
    }

    /// Copies floats from the device. Values that are not pinned are there when this returns.
    ///
    /// # Safety
    /// There are as many floats at `from` until the copy is done; pinned values are neither read,
    /// written nor freed before then.
    pub unsafe fn copy_to_host(&self, to: &mut [f32], from: sys::CUdeviceptr) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { result::memcpy_dtoh_async(to, from, self.raw) }.explain("a copy failed")
    }

    /// Copies bytes on the device.
    ///
    /// # Safety
    /// Both places have as many bytes until the copy is done.
    pub unsafe fn copy_on_device(
        &self,
        to: sys::CUdeviceptr,
        from: sys::CUdeviceptr,
        bytes: usize,
    ) -> Result<()> {
        // SAFETY: as the caller promises.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.raw) }.explain("a copy failed")
    }

    /// Launches a function with `blocks` blocks of `threads` threads each.
    ///
    /// # Safety
    /// The arguments are what the function takes, and the memory that they name is large enough for
    /// what it does, and lives until the work is done.
    pub unsafe fn launch(
        &self,
        function: &Function,
        blocks: usize,
        threads: usize,
        arguments: &mut [sys::CUdeviceptr],
    ) -> Result<()> {
        let blocks = u32::try_from(blocks).map_err(|_| {
            Error::device(format!(
                "{}: the launch has too many blocks for the GPU",
                function.name
            ))
        })?;
        let mut pointers: Vec<*mut c_void> = arguments
            .iter_mut()
            .map(|argument| std::ptr::from_mut(argument).cast())
            .collect();
        // SAFETY: the function's module lives as long as the function; the rest is as the caller
        // promises. The driver copies the arguments before it returns.
        unsafe {
            result::launch_kernel(
                function.raw,
                (blocks, 1, 1),
                (threads as u32, 1, 1),
                0,
                self.raw,
                &mut pointers,
            )
        }
        .explain(&function.name)
    }

    /// Records the work that `work` enqueues as a graph, which runs code of `module`.
    pub fn record(
        &self,
        module: &Arc<Module>,
        work: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Graph> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives as long as `self`, and every capture that begins here ends here.
        unsafe { result::stream::begin_capture(self.raw, mode) }
            .explain("recording a graph cannot start")?;
        let done = work();
        // SAFETY: the capture began above.
        let template =
            unsafe { result::stream::end_capture(self.raw) }.explain("recording a graph failed");
        let template = template.map(Template);
        done?;
        let template = template?;
        let flags = sys::CUgraphInstantiate_flags(0);
        // SAFETY: the driver returned the template.
        let raw = unsafe { result::graph::instantiate(template.0, flags) }
            .explain("a graph cannot be created")?;
        Ok(Graph {
            raw,
            module: module.clone(),
        })
    }

    /// Runs a graph.
    ///
    /// # Safety
    /// The memory that its launches name lives until the work is done.
    pub unsafe fn run(&self, graph: &Graph, what: &str) -> Result<()> {
        // SAFETY: both live as long as their owners; the rest is as the caller promises.
        unsafe { result::graph::launch(graph.raw, self.raw) }.explain(what)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: the stream was created once; the driver destroys it when its work is done.
        let _ = unsafe { result::stream::destroy(self.raw) };
    }
}

/// An event: a position in a stream that other work can wait for.
pub(super) struct Event {
    raw: sys::CUevent,
    context: Arc<Context>,
}

// SAFETY: the driver's functions take an event from any thread.
unsafe impl Send for Event {}

impl Event {
    /// A new event, which counts as complete until it is recorded.
    pub fn new(context: &Arc<Context>) -> Result<Self> {
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        Ok(Event {
            raw: result::event::create(flags).explain("an event cannot be created")?,
            context: context.clone(),
        })
    }

    /// Puts the event behind all work of a stream.
    pub fn record(&self, stream: &Stream) -> Result<()> {
        // SAFETY: both live as long as their owners.
        unsafe { result::event::record(self.raw, stream.raw) }
            .explain("an event cannot be recorded")
    }

    /// Waits on the host; at once if the event was never recorded.
    pub fn wait(&self, what: &str) -> Result<()> {
        // SAFETY: the event lives as long as `self`.
        unsafe { result::event::synchronize(self.raw) }.explain(what)
    }

    /// Whether the work before the event is done.
    pub fn is_over(&self) -> Result<bool> {
        // SAFETY: the event lives as long as `self`.
        match unsafe { result::event::query(self.raw) } {
            Err(error) if error.0 == CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            answer => answer.explain("a program or a copy failed").map(|()| true),
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: the event was created once; the driver keeps it for as long as it is waited for.
        let _ = unsafe { result::event::destroy(self.raw) };
    }
}

/// Memory on the device.
pub(super) struct Memory {
    start: sys::CUdeviceptr,
    bytes: usize,
    context: Arc<Context>,
}

impl Memory {
    /// Allocates memory with unspecified contents.
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Self> {
        let bytes = bytes.max(4);
        // SAFETY: nothing reads the memory before it is written; `drop` frees it.
        let start = unsafe { result::malloc_sync(bytes) }
            .explain(&format!("{bytes} bytes cannot be allocated"))?;
        Ok(Memory {
            start,
            bytes,
            context: context.clone(),
        })
    }

    /// Allocates memory that is 0 for all subsequent work of the stream.
    pub fn zeroed(context: &Arc<Context>, bytes: usize, stream: &Stream) -> Result<Self> {
        let memory = Memory::new(context, bytes)?;
        // SAFETY: the memory has that many bytes.
        unsafe { result::memset_d8_async(memory.start, 0, memory.bytes, stream.raw) }
            .explain("memory cannot be cleared")?;
        Ok(memory)
    }

    /// The device address of the memory.
    pub fn start(&self) -> sys::CUdeviceptr {
        self.start
    }

    /// Its length in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: `new` allocated it, and the owner has waited for the work that uses it.
        let _ = unsafe { result::free_sync(self.start) };
    }
}

/// Pinned host memory, which the device reads and writes directly.
pub(super) struct Pinned {
    start: *mut c_void,
    len: usize,
    context: Arc<Context>,
}

// SAFETY: the memory belongs to this value alone; any thread may read, write and free it.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Allocates `len` floats, all 0.
    pub fn new(context: &Arc<Context>, len: usize) -> Result<Self> {
        let bytes = len.max(1) * size_of::<f32>();
        // SAFETY: `drop` frees the memory.
        let start =
            unsafe { result::malloc_host(bytes, 0) }.explain("host memory cannot be pinned")?;
        // SAFETY: the driver allocated so many bytes.
        unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        Ok(Pinned {
            start,
            len,
            context: context.clone(),
        })
    }

    /// The capacity in floats.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The first `len` floats. Nothing on the device may read or write them meanwhile.
    pub fn floats(&mut self, len: usize) -> &mut [f32] {
        assert!(len <= self.len, "a copy stays within its memory");
        // SAFETY: the memory is aligned to pages, was set to 0 over at least that length, and
        // belongs to `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: `new` allocated it, and the owner has waited for its copies.
        let _ = unsafe { result::free_host(self.start) };
    }
}

/// Loaded machine code.
pub(super) struct Module {
    raw: sys::CUmodule,
    context: Arc<Context>,
}

// SAFETY: the driver's functions take a module from any thread.
unsafe impl Send for Module {}
// SAFETY: as above; a module is not changed after it was loaded.
unsafe impl Sync for Module {}

impl Module {
    /// Loads machine code or PTX.
    ///
    /// # Safety
    /// The image is a whole one, as a compiler made it: the driver finds its length in the image.
    pub unsafe fn load(context: &Arc<Context>, image: &[u8]) -> Result<Arc<Self>> {
        // SAFETY: as the caller promises.
        let raw = unsafe { result::module::load_data(image.as_ptr().cast()) }
            .explain("a module cannot be loaded")?;
        Ok(Arc::new(Module {
            raw,
            context: context.clone(),
        }))
    }

    /// The function of that name.
    pub fn function(self: &Arc<Self>, name: &str) -> Result<Function> {
        let text = CString::new(name)
            .map_err(|_| Error::device("a kernel's name contains a zero byte"))?;
        // SAFETY: the module lives as long as `self`.
        let raw = unsafe { result::module::get_function(self.raw, text) }.explain(name)?;
        Ok(Function {
            raw,
            name: name.to_string(),
            _module: self.clone(),
        })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: `load` loaded it, and its functions and graphs, which hold it, have been dropped.
        let _ = unsafe { result::module::unload(self.raw) };
    }
}

/// A function of a module.
pub(super) struct Function {
    raw: sys::CUfunction,
    name: String,
    _module: Arc<Module>,
}

// SAFETY: the driver's functions take a function from any thread.
unsafe impl Send for Function {}

/// A recorded graph, which cannot be run yet.
struct Template(sys::CUgraph);

impl Drop for Template {
    fn drop(&mut self) {
        // SAFETY: the driver gave the graph when a capture ended; graphs that were made of it do
        // not need it.
        let _ = unsafe { result::graph::destroy(self.0) };
    }
}

/// A graph of launches that can be run.
pub(super) struct Graph {
    raw: sys::CUgraphExec,
    module: Arc<Module>,
}

// SAFETY: the driver's functions take a graph from any thread, and a graph is run by one thread at a
// time, because `Stream::run` puts it into a stream of one `Cuda`.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.module.context.bind();
        // SAFETY: `Stream::record` made it; one that still runs is destroyed when it is done.
        let _ = unsafe { result::graph::exec_destroy(self.raw) };
    }
}
