//! dgc compiles a deep generative model to fused training kernels, trains it and uses what it
//! learned. What the crate's root exports is the library: [`Model`], [`Dataset`], [`Trainer`] and
//! [`Run`]. The modules are the stages of compilation and their tools; they are public so that
//! tests and other programs can reach them, and may change in any release.
//!
//! # Example
//!
//! ```
//! # fn main() -> dgc::Result<()> {
//! use dgc::{DataArray, Dataset, Model, Options, Rows, Trainer};
//!
//! let model = Model::parse("points.dgm", "
//! model points {
//!   size features = 2, hidden = 8
//!   data   x: real[features]
//!   latent z: real[1]
//!   net body = [dense(hidden) > relu]
//!   generative {
//!          z ~ normal(0, 1)
//!     z -> x ~ normal(body)
//!   }
//!   inference {
//!     x -> z ~ normal(body)
//!   }
//! }")?
//! .set("epochs", 2)?;
//!
//! let points: Vec<f32> = (0..200).map(|element| (element as f32).sin()).collect();
//! let data = Dataset::from_arrays(&model, [DataArray::new("x", [100, 2], points)])?;
//!
//! let mut trainer = Trainer::new(&model, &data, Options::default())?;
//! while let Some(epoch) = trainer.epoch()? {
//!     println!("{epoch}");
//! }
//! # let folder = std::env::temp_dir().join(format!("dgc-doc-{}", std::process::id()));
//! # let folder = folder.as_path();
//! let run = trainer.finish(folder)?; // such as "runs/points"
//!
//! let rows = Rows::from_arrays(&model, [DataArray::new("x", [1, 2], vec![0.1, 0.2])])?;
//! let codes = run.encode(&rows)?;
//! println!("z = {:?}", codes.get("z"));
//! println!("log-likelihood {:?}", run.log_likelihood(&rows)?);
//! # std::fs::remove_dir_all(folder).ok();
//! # Ok(())
//! # }
//! ```
//!
//!
#![doc = include_str!("../ARCHITECTURE.md")]
#![warn(missing_docs)]

pub mod id;
pub mod diagnostic;
pub mod error;
pub mod note;
pub mod files;
pub mod names;
pub mod tensor;
pub mod gradient;
pub mod distribution;
pub mod layer;
pub mod optimizer;
pub mod estimator;
pub mod syntax;
pub mod model;
pub mod lines;
pub mod check;
pub mod bound;
pub mod lower;
pub mod simplify;
pub mod plan;
pub mod backend;
pub mod driver;
pub mod run;
mod api;
#[cfg(feature = "cli")]
pub mod cli;

pub use api::*;

/// Compiles the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
