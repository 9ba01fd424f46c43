//! The CUDA back end: a plan as CUDA C++, compiled by NVRTC and run through the driver.
//!
//! [`emit`] writes the source, [`compile`] and [`cache`] make machine code of it, `device` runs it.
//! `objects` owns everything that the driver gives; no other file frees a handle.

pub mod library;
mod objects;
mod gpu;
mod transfer;
pub mod compile;
pub mod cache;
pub mod emit;
pub mod assembly;
mod binary;
mod device;

pub use binary::Binary;
pub use device::Cuda;
pub use gpu::{GpuInfo, gpus, is_there};
