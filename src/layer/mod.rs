//! Layers: parameter shapes, initialisation and the forward pass, one file each, written with the tensor builder.
//!
//! To add one: a new file with a unit struct that implements [`Layer`], and a line in [`LAYERS`].

mod activation;
mod combinator;
mod dense;
mod noise;
mod norm;
mod softmax;

pub use dense::linear;

use crate::{
    id::Id,
    tensor::{Axis, Graph, Node, NoiseKind, Start},
};
use std::fmt::Debug;

/// An argument of a layer or an optimiser, positional or by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Argument {
    pub name: &'static str,
    /// `None`: it must be given.
    pub default: Option<f64>,
    pub least: f64,
    pub most: f64,
    /// Whether it is a whole number.
    pub whole: bool,
}

impl Argument {
    pub fn holds(&self, value: f64) -> bool {
        (!self.whole || value.fract() == 0.0) && value >= self.least && value <= self.most
    }

    /// `expected a number from 0 to 1`.
    pub fn expected(&self) -> String {
        let kind = if self.whole { "a whole number" } else { "a number" };
        format!("expected {kind} from {} to {}", self.least, self.most)
    }
}

/// What a layer knows of the network around it.
pub trait Context {
    fn graph(&mut self) -> &mut Graph;

    /// The layer's parameter `NAME` over `axes`, in PyTorch's order; its full name is `FACTOR.LAYER.NAME`.
    fn parameter(&mut self, name: &str, axes: &[Id<Axis>], start: Start) -> Node;

    /// A running average kept beside the parameters: its value as the step begins, and the means to replace it.
    /// In training each case in turn moves it by `momentum` towards `observed`; the value given back is the one to use in evaluation.
    fn running_average(&mut self, name: &str, axes: &[Id<Axis>], start: f64, observed: Node, momentum: f64) -> Node;

    /// The feature axis that this layer makes, with `size` features.
    fn new_axis(&mut self, size: usize) -> Id<Axis>;

    /// Noise with the axes of `like`, which is of the part with that name.
    fn noise(&mut self, part: &str, kind: NoiseKind, like: Node) -> Node;

    /// Whether statistics are the batch's (training and `dgc bound`) or the running averages (evaluation).
    fn batch_statistics(&self) -> bool;

    /// Whether noise and dropout are on: in training alone, and not in its clean pass.
    fn noisy(&self) -> bool;
}

/// A value and the axis of its features; `name` is the parent's, or empty inside a network.
#[derive(Clone, Debug)]
pub struct Part {
    pub name: String,
    pub value: Value,
    pub axis: Id<Axis>,
}

/// How a part is held.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A value that has the part's feature axis.
    Dense(Node),
    /// A class variable that is being summed over: class k of this class axis. A weight's columns are then the classes themselves.
    Enumerated(Id<Axis>),
}

impl Part {
    /// The value with its feature axis; a class that is summed over as one-hot vectors.
    pub fn dense(&self, graph: &mut Graph) -> Node {
        match self.value {
            Value::Dense(node) => node,
            Value::Enumerated(class) => {
                let index = graph.iota(class);
                graph.one_hot(index, self.axis)
            }
        }
    }
}

pub trait Layer: Sync + Debug {
    /// As written in a model: `dense`.
    fn name(&self) -> &'static str;

    fn arguments(&self) -> &'static [Argument] {
        &[]
    }

    /// Features out for features in.
    fn outputs(&self, inputs: usize, _arguments: &[f64]) -> usize {
        inputs
    }

    /// Whether the layer takes several parents and joins them, one weight for each.
    fn joins(&self) -> bool {
        false
    }

    /// What is wrong with values of so many features, if this layer cannot take them: `takes two values`.
    fn refuses(&self, _sizes: &[usize]) -> Option<String> {
        None
    }

    /// Whether several parents must have been joined before it: not so for one that acts on each element alone.
    fn needs_joined(&self) -> bool {
        false
    }

    /// The output and its feature axis. `parts` holds one part unless [`Layer::joins`].
    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> (Node, Id<Axis>);
}

/// Every layer, in the order in which `dgc list` shows them.
pub const LAYERS: &[&dyn Layer] = &[
    &dense::Dense,
    &combinator::Combinator,
    &norm::BatchNorm,
    &norm::Standardize,
    &norm::LayerNorm,
    &norm::Affine,
    &noise::Dropout,
    &noise::Noise,
    &activation::RELU,
    &activation::LEAKY_RELU,
    &activation::ELU,
    &activation::GELU,
    &activation::SOFTPLUS,
    &activation::TANH,
    &activation::SIGMOID,
    &softmax::Softmax,
    &activation::Residual,
];

/// The layer of that name.
pub fn find(name: &str) -> Option<&'static dyn Layer> {
    LAYERS.iter().copied().find(|layer| layer.name() == name)
}
