//! Optimisers: state and update, written with the tensor builder over the flat axis of all
//! parameters.
//!
//! To add an optimiser, add a file with a unit struct that implements [`Optimizer`], and a line to
//! [`OPTIMIZERS`]. `docs/contributing/optimizer.md` works through an example.

mod arguments;
mod adam;
mod sgd;
#[cfg(test)]
#[allow(dead_code, reason = "the guide's example, which is only compiled")]
#[path = "../../docs/contributing/examples/rmsprop.rs"]
mod guide_example;

use crate::{
    layer::Argument,
    tensor::{Graph, Node},
};
use std::fmt::Debug;

/// The inputs of an update. Each has the flat parameter axis unless stated otherwise.
pub struct Update<'a> {
    /// The value before the update.
    pub parameter: Node,
    /// The gradient of the loss, after clipping, plus the gradient of a prior on weights.
    pub gradient: Node,
    /// One node for each of [`Optimizer::state`].
    pub state: &'a [Node],
    /// The learning rate after its schedule; no axes.
    pub rate: Node,
    /// The number of steps including this one, so 1 for the first step; no axes.
    pub step: Node,
    /// Whether weight decay applies: to weights, but not to biases and other parameters.
    pub decays: bool,
    /// The arguments, in the order of [`Optimizer::arguments`].
    pub arguments: &'a [f64],
}

/// An optimiser.
pub trait Optimizer: Sync + Debug {
    /// The name in a model: `adam`.
    fn name(&self) -> &'static str;

    /// The arguments, with `rate` first.
    fn arguments(&self) -> &'static [Argument];

    /// The names of the states of each parameter: `["first_moment", "second_moment"]`. All start at
    /// 0. None is `gradient` or `average`.
    fn state(&self) -> &'static [&'static str];

    /// The new parameters and the new states.
    fn update(&self, graph: &mut Graph, update: &Update) -> (Node, Vec<Node>);
}

/// Every optimiser, in the order of `dgc list`.
pub const OPTIMIZERS: &[&dyn Optimizer] = &[&sgd::Sgd, &adam::Adam, &adam::AdamW, &adam::Adamax];

/// The optimiser of that name.
pub fn find(name: &str) -> Option<&'static dyn Optimizer> {
    OPTIMIZERS
        .iter()
        .copied()
        .find(|optimizer| optimizer.name() == name)
}
