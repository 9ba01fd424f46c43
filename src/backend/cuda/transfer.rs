//! Transfers between host and device that overlap with work of the device: large writes are copied
//! ahead on a separate stream, and readbacks arrive when the host polls them.

use super::objects::{Context, Event, Memory, Pinned, Stream};
use crate::error::Result;
use cudarc::driver::sys::CUdeviceptr;
use std::{collections::VecDeque, sync::Arc};

/// Writes of at most this many floats skip the pinned slots: the driver buffers them.
const SHORT: usize = 1024;
/// The maximum number of writes in flight.
const SLOTS: usize = 8;
/// The maximum number of outstanding readbacks; beyond it, the host waits for the oldest.
const MOST_READBACKS: usize = 8;

/// Writes in flight.
pub(super) struct Writes {
    stream: Stream,
    context: Arc<Context>,
    slots: Vec<Slot>,
    next: usize,
}

/// The memory of a write: pinned host memory and device memory.
struct Slot {
    host: Pinned,
    device: Memory,
    copied: Event,
    /// An event that completes when both memories are free for the next write.
    free: Event,
}

impl Slot {
    fn new(context: &Arc<Context>, len: usize) -> Result<Self> {
        Ok(Slot {
            host: Pinned::new(context, len)?,
            device: Memory::new(context, len * size_of::<f32>())?,
            copied: Event::new(context)?,
            free: Event::new(context)?,
        })
    }
}

impl Writes {
    pub fn new(context: &Arc<Context>) -> Result<Self> {
        Ok(Writes {
            stream: Stream::new(context)?,
            context: context.clone(),
            slots: Vec::new(),
            next: 0,
        })
    }

    /// Writes `len` floats, which `write` sets, to `to`. Subsequent work of `work` sees them;
    /// earlier work does not.
    ///
    /// # Safety
    /// `to` points to `len` floats until the work is done.
    pub unsafe fn fill(
        &mut self,
        to: CUdeviceptr,
        len: usize,
        work: &Stream,
        write: &mut dyn FnMut(&mut [f32]),
    ) -> Result<()> {
        if len <= SHORT {
            let mut values = [0.0; SHORT];
            write(&mut values[..len]);
            // SAFETY: the caller vouches for the place, and the values are not pinned.
            return unsafe { work.copy_to_device(to, &values[..len]) };
        }
        let position = self.free_slot(len)?;
        let (ahead, slot) = (&self.stream, &mut self.slots[position]);
        let values = slot.host.floats(len);
        write(values);
        // SAFETY: the slot has room on the device, and keeps both memories until `free` is over.
        unsafe { ahead.copy_to_device(slot.device.start(), values) }?;
        slot.copied.record(ahead)?;
        work.wait_for(&slot.copied)?;
        // SAFETY: the caller vouches for the place; the slot has as many bytes.
        unsafe { work.copy_on_device(to, slot.device.start(), len * size_of::<f32>()) }?;
        slot.free.record(work)?;
        self.next = (self.next + 1) % SLOTS;
        Ok(())
    }

    /// The next slot, which is free and has a capacity of at least `len` floats.
    fn free_slot(&mut self, len: usize) -> Result<usize> {
        if self.slots.len() == self.next {
            self.slots.push(Slot::new(&self.context, len)?);
        }
        let slot = &mut self.slots[self.next];
        slot.free.wait("a program or a copy failed")?;
        if slot.host.len() < len {
            // If memory for a larger slot is lacking, the old slot stays.
            *slot = Slot::new(&self.context, len)?;
        }
        Ok(self.next)
    }

    /// Waits until nothing reads the memory of a slot.
    pub fn wait(&self) -> Result<()> {
        self.stream.wait("a copy failed")
    }
}

/// Readbacks in flight.
pub(super) struct Readbacks {
    context: Arc<Context>,
    outstanding: VecDeque<Readback>,
    spare: Vec<Readback>,
}

struct Readback {
    host: Pinned,
    len: usize,
    arrived: Event,
}

impl Readbacks {
    pub fn new(context: &Arc<Context>) -> Self {
        Readbacks {
            context: context.clone(),
            outstanding: VecDeque::new(),
            spare: Vec::new(),
        }
    }

    /// Enqueues a copy of the floats at `from`, with their values after the work enqueued so far.
    ///
    /// # Safety
    /// There are as many floats at `from` until then.
    pub unsafe fn enqueue(&mut self, from: CUdeviceptr, len: usize, work: &Stream) -> Result<()> {
        let has_room = |readback: &Readback| readback.host.len() >= len;
        let mut readback = match self.spare.iter().position(has_room) {
            Some(position) => self.spare.swap_remove(position),
            None => Readback {
                host: Pinned::new(&self.context, len)?,
                len,
                arrived: Event::new(&self.context)?,
            },
        };
        readback.len = len;
        // SAFETY: the caller vouches for the place. Pinned memory is not touched before `arrived`
        // is over.
        unsafe { work.copy_to_host(readback.host.floats(len), from) }?;
        readback.arrived.record(work)?;
        self.outstanding.push_back(readback);
        Ok(())
    }

    /// Passes the oldest floats to `take` if they have arrived, too many readbacks are outstanding,
    /// or `wait` is true. Returns whether `take` was called.
    pub fn poll(&mut self, wait: bool, take: &mut dyn FnMut(&[f32])) -> Result<bool> {
        let Some(first) = self.outstanding.front() else {
            return Ok(false);
        };
        if wait || self.outstanding.len() > MOST_READBACKS {
            first.arrived.wait("a program or a copy failed")?;
        } else if !first.arrived.is_over()? {
            return Ok(false);
        }
        let mut readback = self.outstanding.pop_front().expect("there is one");
        take(readback.host.floats(readback.len));
        self.spare.push(readback);
        Ok(true)
    }
}
