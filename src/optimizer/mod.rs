//! Optimisers: state and update, one file each, written with the tensor builder over the flat axis
//! of all parameters.
//!
//! To add one: a new file with a unit struct that implements [`Optimizer`], and a line in
//! [`OPTIMIZERS`]. `docs/contributing/optimizer.md` works through an example.

mod arguments;
mod adam;
mod sgd;

use crate::{
    layer::Argument,
    tensor::{Graph, Node},
};
use std::fmt::Debug;

/// What an update reads, each with the flat parameter axis unless said otherwise.
pub struct Update<'a> {
    /// The value before the update.
    pub parameter: Node,
    /// The gradient of the loss, clipped, with that of a prior on weights.
    pub gradient: Node,
    /// One for each of [`Optimizer::state`].
    pub state: &'a [Node],
    /// The learning rate after its schedule; no axes.
    pub rate: Node,
    /// Steps taken, this one included: 1 at the first; no axes.
    pub step: Node,
    /// Whether these parameters are weights, which decay, or biases and the like, which do not.
    pub decays: bool,
    /// In the order of [`Optimizer::arguments`].
    pub arguments: &'a [f64],
}

/// An optimiser of the trained parameters.
pub trait Optimizer: Sync + Debug {
    /// As written in a model: `adam`.
    fn name(&self) -> &'static str;

    /// `rate` first.
    fn arguments(&self) -> &'static [Argument];

    /// The names of the state kept for each parameter, all 0 at the start: `["first_moment",
    /// "second_moment"]`.
    fn state(&self) -> &'static [&'static str];

    /// The new parameter and the new state.
    fn update(&self, graph: &mut Graph, update: &Update) -> (Node, Vec<Node>);
}

/// Every optimiser, in the order in which `dgc list` shows them.
pub const OPTIMIZERS: &[&dyn Optimizer] = &[&sgd::Sgd, &adam::Adam, &adam::AdamW, &adam::Adamax];

/// The optimiser of that name.
pub fn find(name: &str) -> Option<&'static dyn Optimizer> {
    OPTIMIZERS
        .iter()
        .copied()
        .find(|optimizer| optimizer.name() == name)
}
