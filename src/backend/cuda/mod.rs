//! The CUDA back end: a plan as CUDA C++, compiled by NVRTC and run through the driver.
//!
//! [`emit`] writes the source, [`compile`] and [`cache`] compile it to machine code, and `device`
//! runs it. `objects` owns all handles of the driver; no other file frees one. A build without the
//! feature `cuda` emits sources, but has neither compiler nor GPU: see `absent`.

pub mod image;
#[cfg(feature = "cuda")]
pub mod library;
#[cfg(feature = "cuda")]
mod objects;
#[cfg(feature = "cuda")]
mod gpu;
#[cfg(feature = "cuda")]
mod transfer;
#[cfg(feature = "cuda")]
pub mod compile;
#[cfg(feature = "cuda")]
pub mod cache;
pub mod emit;
pub mod assembly;
mod binary;
#[cfg(feature = "cuda")]
mod device;
#[cfg(not(feature = "cuda"))]
mod absent;

#[cfg(not(feature = "cuda"))]
pub use absent::{cache, compile, gpus, is_there, library, open};
pub use binary::Binary;
#[cfg(feature = "cuda")]
pub use device::{Cuda, open};
#[cfg(feature = "cuda")]
pub use gpu::{gpus, is_there};
pub use image::GpuInfo;
