//! The registers of a multiplier. AMX's are configured before they are used.

#[cfg(target_arch = "x86_64")]
use super::super::isa::Amx;
use super::blocking::Multiplier;

/// A multiplier with its registers, which are configured until this is dropped.
pub enum Registers {
    Vectors(Multiplier),
    #[cfg(target_arch = "x86_64")]
    Tiles(TileRegisters),
}

impl Registers {
    pub fn new(by: Multiplier) -> Self {
        match by {
            #[cfg(target_arch = "x86_64")]
            Multiplier::Tiles(amx) => Registers::Tiles(TileRegisters::configure(amx)),
            _ => Registers::Vectors(by),
        }
    }
}

#[cfg(target_arch = "x86_64")]
/// The thread's tile registers, configured until this is dropped.
pub struct TileRegisters(());

#[cfg(target_arch = "x86_64")]
impl TileRegisters {
    /// Configures all eight registers as 16 rows of 64 bytes.
    pub fn configure(_: Amx) -> Self {
        #[repr(C, align(64))]
        struct Configuration {
            palette: u8,
            start_row: u8,
            reserved: [u8; 14],
            bytes_per_row: [u16; 16],
            rows: [u8; 16],
        }
        static CONFIGURATION: Configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            bytes_per_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
            rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
        };
        // SAFETY: the value proves that the CPU has AMX and that the process may use it; nothing
        // else uses the tile registers.
        unsafe {
            std::arch::asm!(
                "ldtilecfg [{}]",
                in(reg) &raw const CONFIGURATION,
                options(readonly, nostack, preserves_flags),
            );
        }
        TileRegisters(())
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for TileRegisters {
    fn drop(&mut self) {
        // SAFETY: `configure` proved that the CPU has the instruction. Registers in their initial
        // state need not be saved when the thread is switched.
        unsafe { std::arch::asm!("tilerelease", options(nomem, nostack, preserves_flags)) };
    }
}
