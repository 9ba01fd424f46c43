//! The GPUs that the driver knows.

use super::{image::GpuInfo, library, objects::Check};
use crate::error::Result;
use cudarc::driver::{result, sys};
use std::path::Path;

/// Whether there are a driver, a GPU and a compiler; `None` asks for no compiler.
pub fn is_there(compiler: Option<Option<&Path>>) -> bool {
    library::find_driver().is_ok()
        && result::init().is_ok()
        && result::device::get_count().is_ok_and(|count| count > 0)
        && compiler.is_none_or(|nvrtc| library::find_nvrtc(nvrtc).is_ok())
}

/// The GPUs that the driver knows; the driver must have been found.
///
/// # Errors
/// The driver does not start, or does not describe a device.
pub fn gpus() -> Result<Vec<GpuInfo>> {
    devices()?.into_iter().map(info).collect()
}

/// The devices that the driver knows, after the driver has started.
pub(super) fn devices() -> Result<Vec<sys::CUdevice>> {
    result::init().explain("the driver cannot begin")?;
    let count = result::device::get_count().explain("devices cannot be counted")?;
    (0..count)
        .map(|number| result::device::get(number).explain("a device cannot be had"))
        .collect()
}

/// What a device is.
pub(super) fn info(device: sys::CUdevice) -> Result<GpuInfo> {
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
    Ok(GpuInfo {
        name,
        arch: format!("sm_{major}{minor}"),
        memory,
    })
}
