//! Running compiled models: data sets, training, evaluation, bounds, and the files that they read
//! and write.

pub mod fields;
pub mod arrays;
pub mod batches;
pub mod data;
mod ahead;
pub mod population;
pub mod session;
pub mod initialize;
pub mod bound;
pub mod programs;
pub mod row_keys;
pub mod evaluate;
pub mod classification;
pub mod best;
pub mod settings;
pub mod calibration;
pub mod checkpoint;
pub mod divergence;
pub mod train;
pub mod log;
pub mod events;
pub mod curves;
pub mod folder;
mod interface;
pub mod compiled;
