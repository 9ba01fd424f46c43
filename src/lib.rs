//! dgc, a compiler for deep generative models.
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
//! # Stages
//!
//! A model's text becomes a trained model in stages. Each is a function from one type to the next,
//! smaller one, and each prints (`dgc compile --emit STAGE`); [`driver`] calls them in order.
//!
//! | stage | from → to | where |
//! |---|---|---|
//! | parse | text → [`syntax::ast::File`] | [`syntax`], `grammar/dgm.pest` |
//! | check | → [`model::Model`]: two acyclic graphs over typed variables, every shape known | [`check`], [`model`] |
//! | derive | → [`bound::Bounds`]: a term for each case, read as mathematics | [`bound`] |
//! | lower | → [`tensor::Graph`]: operations on values with named axes | [`lower`] |
//! | differentiate | → the same, with gradients as outputs | [`gradient`] |
//! | simplify | → the same outputs from less: a table of rules | [`simplify`] |
//! | plan | → [`plan::Plan`]: fused kernels, buffers placed by lifetime | [`plan`] |
//! | run | the plan on a device: [`backend::cpu`] as it is, [`backend::cuda`] as CUDA C++ | [`backend`], `kernels/` |
//!
//! Three ideas carry it. *Named axes, never tiling*: a value has a set of axes, so what does not
//! depend on the class is computed once per row, and a gradient is summed over the axes that an
//! input lacks before it is multiplied. *The bound is a term* before it is anything else. *One
//! plan, one stream of random numbers*: noise is indexed by seed, step, stream and element, so any
//! number of threads, and any resumed run, draws the same.
//!
//! [`distribution`], [`layer`], [`optimizer`], [`estimator`] and [`lines`] are registries: a new
//! entry is a new file and a line in a list. [`run`] holds what is done with plans: training, evaluation,
//! data, checkpoints; `cli` the program. The stages' modules are public so that tests and tools can
//! reach them; their interfaces may change in any release. What the crate's root exports is stable.
//!
//! A module imports only modules above it in this list; `tests/tidy.rs` checks it.

pub mod id;
pub mod diagnostic;
pub mod error;
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
