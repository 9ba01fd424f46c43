//! What is done with compiled models: bounds, training, evaluation, sampling, and the files they read and write.

pub mod arrays;
pub mod bound;
pub mod error;
pub mod session;
