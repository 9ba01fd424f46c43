//! Memory with native code: on Unix systems with x86-64, and nowhere else.

use memmap2::{Mmap, MmapMut};

/// Whether code can be executed here, with the calling convention that it has.
const IS_SUPPORTED: bool = cfg!(all(unix, target_arch = "x86_64", not(miri)));

/// A function in memory of its own, which is not written once it can be executed.
pub struct Code(Mmap);

impl Code {
    /// Copies code to executable memory; `None` if the system does not allow that.
    pub fn new(code: &[u8]) -> Option<Self> {
        if !IS_SUPPORTED {
            return None;
        }
        let mut memory = MmapMut::map_anon(code.len()).ok()?;
        memory.copy_from_slice(code);
        memory.make_exec().ok().map(Code)
    }

    /// Where the code begins.
    pub fn start(&self) -> *const u8 {
        self.0.as_ptr()
    }
}
