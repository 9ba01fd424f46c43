//! The GPUs that the driver lists.

use super::{image::GpuInfo, library, objects::Check};
use crate::error::Result;
use cudarc::driver::{result, sys};
use std::path::Path;

/// Whether a driver, a GPU and a compiler are found; `None` requires no compiler.
pub fn is_there(compiler: Option<Option<&Path>>) -> bool {
    library::find_driver().is_ok()
        && result::init().is_ok()
        && result::device::get_count().is_ok_and(|count| count > 0)
        && compiler.is_none_or(|nvrtc| library::find_nvrtc(nvrtc).is_ok())
}

/// The GPUs that the driver lists. The driver must have been found.
///
/// # Errors
/// If the driver does not start, or cannot describe a device.
pub fn gpus() -> Result<Vec<GpuInfo>> {
    devices()?.into_iter().map(info).collect()
}

/// Starts the driver and lists its devices.
pub(super) fn devices() -> Result<Vec<sys::CUdevice>> {
    result::init().explain("the driver cannot start")?;
    let count = result::device::get_count().explain("devices cannot be counted")?;
    (0..count)
        .map(|number| result::device::get(number).explain("a device cannot be opened"))
        .collect()
}

/// The properties of a device.
pub(super) fn info(device: sys::CUdevice) -> Result<GpuInfo> {
    let name = result::device::get_name(device).explain("the device's name cannot be read")?;
    let attribute = |which| {
        // SAFETY: the driver returned the device.
        unsafe { result::device::get_attribute(device, which) }
            .explain("the device's architecture cannot be read")
    };
    let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    // SAFETY: as above.
    let memory = unsafe { result::device::total_mem(device) }
        .explain("the device's memory size cannot be read")?;
    Ok(GpuInfo {
        name,
        arch: format!("sm_{major}{minor}"),
        memory,
    })
}
