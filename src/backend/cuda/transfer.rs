//! What passes between host and device while the device works: large writes are copied ahead on a
//! stream of their own, and numbers come back when they are there.

use super::Check;
use crate::error::Result;
use cudarc::driver::{result, sys};
use std::{collections::VecDeque, ffi::c_void};

/// Writes of at most this many floats go the short way: the driver keeps a copy of them.
const SHORT: usize = 1024;
/// Writes that may be on their way at once.
const SLOTS: usize = 8;
/// Notes that may be outstanding before the host waits for the first of them.
const MOST_NOTES: usize = 8;

/// Host memory that the device reads and writes by itself.
struct Pinned {
    start: *mut c_void,
    len: usize,
}

impl Pinned {
    fn new(len: usize) -> Result<Self> {
        // SAFETY: fresh memory.
        let start = unsafe { result::malloc_host(len.max(1) * size_of::<f32>(), 0) };
        Ok(Pinned {
            start: start.explain("host memory cannot be pinned")?,
            len,
        })
    }

    fn floats(&mut self, len: usize) -> &mut [f32] {
        assert!(len <= self.len, "a copy stays within its memory");
        // SAFETY: the memory is ours, aligned to pages, and of that length at least; any bits are a
        // float.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), len) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: it was allocated so, and whoever drops it has waited for its copies.
        let _ = unsafe { result::free_host(self.start) };
    }
}

/// A place in a stream that others wait for.
struct Event(sys::CUevent);

impl Event {
    fn new() -> Result<Self> {
        let flags = sys::CUevent_flags::CU_EVENT_DISABLE_TIMING;
        Ok(Event(
            result::event::create(flags).explain("there is no event")?,
        ))
    }

    fn record(&self, stream: sys::CUstream) -> Result<()> {
        // SAFETY: both are ours.
        unsafe { result::event::record(self.0, stream) }.explain("an event cannot be recorded")
    }

    /// Waits on the host; at once where it was never recorded.
    fn wait(&self, what: &str) -> Result<()> {
        // SAFETY: it is ours.
        unsafe { result::event::synchronize(self.0) }.explain(what)
    }

    /// Lets what follows in a stream wait.
    fn holds(&self, stream: sys::CUstream) -> Result<()> {
        let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
        // SAFETY: both are ours.
        unsafe { result::stream::wait_event(stream, self.0, flags) }.explain("a stream cannot wait")
    }

    fn is_over(&self) -> Result<bool> {
        // SAFETY: it is ours.
        match unsafe { result::event::query(self.0) } {
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            answer => answer.explain("a program or a copy failed").map(|()| true),
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: it is ours; the driver keeps it for as long as it is waited for.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}

/// Writes on their way.
pub(super) struct Writes {
    stream: sys::CUstream,
    slots: Vec<Slot>,
    next: usize,
}

struct Slot {
    host: Pinned,
    device: sys::CUdeviceptr,
    copied: Event,
    /// Both memories are free for the next write.
    free: Event,
}

impl Writes {
    pub fn new() -> Result<Self> {
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)
            .explain("there is no stream")?;
        Ok(Writes {
            stream,
            slots: Vec::new(),
            next: 0,
        })
    }

    /// Lets `write` make `len` floats, which stand at `to` for all that `work` does from here on,
    /// and for nothing before.
    pub fn fill(
        &mut self,
        to: sys::CUdeviceptr,
        len: usize,
        work: sys::CUstream,
        write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        if len <= SHORT {
            let mut values = [0.0; SHORT];
            write(&mut values[..len]);
            // SAFETY: the place is the caller's; memory that is not pinned has been read when the
            // call returns.
            return unsafe { result::memcpy_htod_async(to, &values[..len], work) }
                .explain("a copy failed");
        }
        let ahead = self.stream;
        let slot = self.slot(len)?;
        let values = slot.host.floats(len);
        write(values);
        // SAFETY: host and device memory stay until the slot is free again, which the next writer
        // waits for.
        unsafe { result::memcpy_htod_async(slot.device, values, ahead) }
            .explain("a copy failed")?;
        slot.copied.record(ahead)?;
        slot.copied.holds(work)?;
        // SAFETY: as above.
        unsafe { result::memcpy_dtod_async(to, slot.device, len * size_of::<f32>(), work) }
            .explain("a copy failed")?;
        slot.free.record(work)?;
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }

    /// The next slot, free, with room for that many floats.
    fn slot(&mut self, len: usize) -> Result<&mut Slot> {
        let new = |len: usize| -> Result<Slot> {
            // SAFETY: fresh memory, which is written before it is read.
            let device = unsafe { result::malloc_sync(len * size_of::<f32>()) };
            let device = device.explain("a batch finds no room on the device")?;
            Ok(Slot {
                host: Pinned::new(len)?,
                device,
                copied: Event::new()?,
                free: Event::new()?,
            })
        };
        if self.slots.len() == self.next {
            self.slots.push(new(len)?);
        }
        let slot = &mut self.slots[self.next];
        slot.free.wait("a program or a copy failed")?;
        if slot.host.len < len {
            // SAFETY: it was allocated so, and nothing reads it any more.
            unsafe { result::free_sync(slot.device) }.explain("memory cannot be given back")?;
            *slot = new(len)?;
        }
        Ok(slot)
    }
}

/// Numbers that come back.
#[derive(Default)]
pub(super) struct Notes {
    outstanding: VecDeque<Note>,
    spare: Vec<Note>,
}

struct Note {
    host: Pinned,
    len: usize,
    there: Event,
}

impl Notes {
    /// Asks for the floats at `from` as they are when `work` comes to it.
    pub fn enqueue_readback(
        &mut self,
        from: sys::CUdeviceptr,
        len: usize,
        work: sys::CUstream,
    ) -> Result<()> {
        let spare = self.spare.iter().position(|note| note.host.len >= len);
        let mut note = match spare {
            Some(at) => self.spare.swap_remove(at),
            None => Note {
                host: Pinned::new(len)?,
                len,
                there: Event::new()?,
            },
        };
        note.len = len;
        // SAFETY: the place is the caller's; pinned memory is not touched before the event is over.
        unsafe { result::memcpy_dtoh_async(note.host.floats(len), from, work) }
            .explain("a copy failed")?;
        note.there.record(work)?;
        self.outstanding.push_back(note);
        Ok(())
    }

    /// Gives `take` the oldest floats if they are there, or too many are asked for, or it is to
    /// `wait`.
    pub fn poll_readback(&mut self, wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool> {
        let Some(first) = self.outstanding.front() else {
            return Ok(false);
        };
        if wait || self.outstanding.len() > MOST_NOTES {
            first.there.wait("a program or a copy failed")?;
        } else if !first.there.is_over()? {
            return Ok(false);
        }
        let mut note = self.outstanding.pop_front().expect("there is one");
        take(note.host.floats(note.len));
        self.spare.push(note);
        Ok(true)
    }
}
