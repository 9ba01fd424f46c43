//! Memory of the CPU back end: arrays at fixed addresses, and places in them.
//!
//! An array keeps its address while it lives, also when the [`Floats`] that owns it is moved. All
//! access during a run goes through [`Address`]es, which are raw pointers: no reference to an array
//! exists while kernels run.

use crate::error::{Error, Result};
use memmap2::{MmapMut, MmapOptions};
use std::{
    alloc::{self, Layout},
    ptr::NonNull,
};

/// Bytes to which arrays are aligned: a cache line.
const ALIGNMENT: usize = 64;

/// Bytes of a huge page. Longer arrays ask for huge pages: a step walks through tens of megabytes,
/// and with pages of 4 KiB most of its time is spent looking up addresses.
const HUGE_PAGE: usize = 2 << 20;

/// An array of floats at a fixed address, aligned to cache lines.
pub struct Floats {
    start: NonNull<f32>,
    len: usize,
    memory: Memory,
}

/// What holds an array until it is dropped.
enum Memory {
    /// Nothing: the array is empty.
    None,
    /// The allocator, by this layout.
    Heap(Layout),
    /// Pages of its own, unmapped on drop.
    #[expect(dead_code, reason = "it is only dropped")]
    Pages(MmapMut),
}

// SAFETY: it owns its array, as a vector does.
unsafe impl Send for Floats {}

impl Floats {
    /// An array of zeros.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(len: usize) -> Result<Self> {
        if len == 0 {
            return Ok(Floats::default());
        }
        let array = Layout::array::<f32>(len).ok().and_then(|layout| {
            if layout.size() < HUGE_PAGE {
                Floats::on_heap(len, layout)
            } else {
                Floats::in_pages(len, layout.size())
            }
        });
        array.ok_or_else(|| {
            let mebibytes = len.saturating_mul(size_of::<f32>()) >> 20;
            Error::out_of_memory(format!("cannot allocate {mebibytes} MiB of memory"))
                .help("use smaller sizes, fewer samples or smaller batches")
        })
    }

    /// An array of at least one float from the allocator.
    fn on_heap(len: usize, layout: Layout) -> Option<Self> {
        let layout = layout.align_to(ALIGNMENT).ok()?;
        // SAFETY: the layout has at least one float.
        let start = NonNull::new(unsafe { alloc::alloc_zeroed(layout) })?;
        Some(Floats {
            start: start.cast(),
            len,
            memory: Memory::Heap(layout),
        })
    }

    /// An array in pages of its own, in huge ones if the system grants them. New pages are zeros.
    fn in_pages(len: usize, bytes: usize) -> Option<Self> {
        let total = bytes
            .checked_next_multiple_of(HUGE_PAGE)?
            .checked_add(HUGE_PAGE)?;
        let mut pages = MmapOptions::new().len(total).map_anon().ok()?;
        // Without huge pages the array is slower, and right.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        let skipped = pages.as_ptr().align_offset(HUGE_PAGE);
        let start = pages.get_mut(skipped..)?.as_mut_ptr();
        Some(Floats {
            start: NonNull::new(start)?.cast(),
            len,
            memory: Memory::Pages(pages),
        })
    }

    /// Makes the array at least `len` floats long. A longer array is a new one, of zeros.
    ///
    /// # Errors
    /// As [`Floats::new`]; the array is then as before.
    pub fn reserve(&mut self, len: usize) -> Result<()> {
        if self.len < len {
            *self = Floats::new(len)?;
        }
        Ok(())
    }

    /// The number of floats in the array.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where the array begins. What is written through it is unsafe, and no part of a borrow.
    pub fn address(&self) -> Address {
        Address(self.start)
    }

    pub fn slice(&self) -> &[f32] {
        // SAFETY: the array has `len` floats, which are initialized. Whoever writes through an
        // address does so while no slice exists: only during `Cpu::run`, which borrows all arrays.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub fn slice_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `slice`; the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Default for Floats {
    /// An empty array.
    fn default() -> Self {
        Floats {
            start: NonNull::dangling(),
            len: 0,
            memory: Memory::None,
        }
    }
}

impl Drop for Floats {
    fn drop(&mut self) {
        if let Memory::Heap(layout) = self.memory {
            // SAFETY: `on_heap` allocated the array with this layout.
            unsafe { alloc::dealloc(self.start.as_ptr().cast(), layout) };
        }
    }
}

/// The address of a float of an array, such as a buffer's first.
///
/// An address by itself gives no access. Every read or write through one is in an `unsafe` block
/// that says why the place lies in the array and why no other thread writes there meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address(NonNull<f32>);

// SAFETY: see above: sending an address to another thread gives that thread no access.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Address {
    /// Of what a pointer points to.
    #[cfg(test)]
    pub fn new(pointer: *mut f32) -> Self {
        Address(NonNull::new(pointer).expect("the pointer is not null"))
    }

    /// Of what a pointer points to.
    ///
    /// # Safety
    /// The pointer must not be null.
    pub unsafe fn new_unchecked(pointer: *mut f32) -> Self {
        // SAFETY: as the caller's.
        Address(unsafe { NonNull::new_unchecked(pointer) })
    }

    pub fn pointer(self) -> *mut f32 {
        self.0.as_ptr()
    }

    /// The pointer to a float that lies `floats` further; it may only be used within the array.
    pub fn at(self, floats: usize) -> *mut f32 {
        self.0.as_ptr().wrapping_add(floats)
    }

    /// The address `forward` floats further and `back` floats before. It may lie outside the array,
    /// and may only be used to find addresses within it.
    pub fn shifted(self, forward: usize, back: usize) -> Self {
        let pointer = self.at(forward).wrapping_sub(back);
        Address(NonNull::new(pointer).expect("no array is that long"))
    }

    /// The address of the element that lies `elements` further.
    ///
    /// # Safety
    /// It must lie in the same array, or at its end.
    pub unsafe fn after(self, element: Element, elements: usize) -> Self {
        let place = element.after(self.pointer().cast_const(), elements);
        // SAFETY: as the caller's.
        unsafe { Address::new_unchecked(place.cast_mut()) }
    }

    /// The address of a float that lies `floats` further.
    ///
    /// # Safety
    /// It must lie in the same array, or at its end.
    pub unsafe fn add(self, floats: usize) -> Self {
        // SAFETY: as the caller's.
        Address(unsafe { self.0.add(floats) })
    }
}

/// The format of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Element {
    F32,
    /// Two bytes: the upper half of a float, rounded to nearest.
    Bf16,
}

impl Element {
    /// The address of an element that lies `elements` after another.
    pub fn after<T>(self, start: *const T, elements: usize) -> *const T {
        start.wrapping_byte_add(self.bytes() * elements)
    }

    /// The bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::Bf16 => 2,
        }
    }
}

/// Where a buffer begins, and the format of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub address: Address,
    pub element: Element,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_aligned_zeros_that_keep_their_address() {
        let mut arrays = Vec::new();
        for len in [
            1,
            15,
            16,
            17,
            1000,
            HUGE_PAGE / 4 - 1,
            HUGE_PAGE / 4,
            HUGE_PAGE,
        ] {
            let mut array = Floats::new(len).expect("memory for a few floats");
            assert!(array.slice().iter().all(|&float| float == 0.0));
            assert_eq!(array.address().pointer().addr() % ALIGNMENT, 0);
            array.slice_mut()[len - 1] = len as f32;
            arrays.push((array.address(), array));
        }
        for (address, array) in &arrays {
            assert_eq!(
                (*address, array.slice()[array.len() - 1]),
                (array.address(), array.len() as f32)
            );
        }
    }

    #[test]
    fn an_array_grows_and_never_shrinks() {
        let mut array = Floats::default();
        assert!(array.slice().is_empty());
        array.reserve(10).expect("memory for a few floats");
        array.slice_mut()[9] = 1.0;
        array.reserve(5).expect("no new memory");
        assert_eq!((array.len(), array.slice()[9]), (10, 1.0));
    }

    #[test]
    fn what_does_not_fit_into_memory_is_an_error() {
        for len in [usize::MAX, usize::MAX / 4, isize::MAX as usize / 4] {
            let error = Floats::new(len).err().expect("no machine has that much");
            assert!(error.message().starts_with("cannot allocate"), "{error}");
        }
    }
}
