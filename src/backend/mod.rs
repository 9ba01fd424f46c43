//! Devices that run plans.

pub mod cpu;

use crate::{
    id::Id,
    plan::{Buffer, Plan},
};

/// An array of floats on a device.
#[derive(Debug)]
pub struct Array;

/// A plan made ready to run.
#[derive(Debug)]
pub struct Program;

/// Where a buffer of a plan lies: from `offset` on in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub array: Id<Array>,
    pub offset: usize,
}

/// What the noise of one run is drawn by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoiseKey {
    pub seed: u64,
    pub step: u64,
}

/// A device, with its arrays and programs.
pub trait Backend {
    /// A new array of that many floats, all 0.
    fn allocate(&mut self, len: usize) -> Id<Array>;

    /// Replaces the floats from `offset` on.
    fn write(&mut self, array: Id<Array>, offset: usize, values: &[f32]);

    /// Copies the floats from `offset` on.
    fn read(&self, array: Id<Array>, offset: usize, values: &mut [f32]);

    /// Makes a plan ready; `place` says where its buffers lie, those in working memory aside.
    fn load(&mut self, plan: &Plan, place: &mut dyn FnMut(&mut Self, &Buffer) -> Place) -> Id<Program>
    where
        Self: Sized;

    /// Runs a program to its end.
    fn run(&mut self, program: Id<Program>, key: NoiseKey);
}
