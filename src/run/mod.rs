//! What is done with compiled models: bounds, training, evaluation, sampling, and the files they
//! read and write.

pub mod arrays;
pub mod batches;
pub mod bound;
pub mod data;
pub mod evaluate;
pub mod folder;
pub mod initialize;
pub mod population;
pub mod programs;
mod interface;
pub mod compiled;
pub mod session;
pub mod train;
