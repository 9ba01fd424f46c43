//! Layers: parameter shapes, initialisation and the forward pass, one file each, written with the
//! tensor builder.
//!
//! To add one: a new file with a unit struct that implements [`Layer`], and a line in [`LAYERS`].
//! `docs/contributing/layer.md` works through an example.

mod image;
mod dense;
mod conv;
mod activation;
mod add;
mod combinator;
mod noise;
mod norm;
mod pool;
mod softmax;

pub use conv::{matches, pointwise};
pub use dense::linear;
pub use image::{flat, image};

use crate::{
    id::Id,
    tensor::{Axis, AxisKind, Graph, Node, NoiseKind, Start},
};
use std::fmt::Debug;

/// An argument of a layer or an optimiser, positional or by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Argument {
    /// As in a model: `rate`. Arguments may also be given by position.
    pub name: &'static str,
    /// The value if it is left out. `None`: it must be given. [`LEFT_OUT`]: it depends on others.
    pub default: Option<f64>,
    /// The least value.
    pub least: f64,
    /// The greatest value.
    pub most: f64,
    /// Whether it is a whole number.
    pub whole: bool,
}

/// The value of an argument that was left out and has no default.
pub const LEFT_OUT: f64 = f64::NAN;

impl Argument {
    /// A whole number from `least` on, of pixels or channels.
    const fn count(name: &'static str, default: Option<f64>, least: f64) -> Self {
        Argument {
            name,
            default,
            least,
            most: 1e6,
            whole: true,
        }
    }

    /// Whether a value is in range, and whole where it must be.
    pub fn holds(&self, value: f64) -> bool {
        (!self.whole || value.fract() == 0.0) && value >= self.least && value <= self.most
    }

    /// `expected a number from 0 to 1`.
    pub fn expected(&self) -> String {
        let kind = if self.whole {
            "a whole number"
        } else {
            "a number"
        };
        format!("expected {kind} from {} to {}", self.least, self.most)
    }
}

/// What a layer may use: the graph, parameters, noise and the settings of the pass.
pub trait Context {
    /// The graph that the layer adds to.
    fn graph(&mut self) -> &mut Graph;

    /// The layer's parameter `NAME` over `axes`, in PyTorch's order; its full name is
    /// `FACTOR.LAYER.NAME`.
    fn parameter(&mut self, name: &str, axes: &[Id<Axis>], start: Start) -> Node;

    /// A running average kept beside the parameters: its value as the step begins, and the means to
    /// replace it. In training each case in turn moves it by `momentum` towards `observed`; the
    /// value given back is the one to use in evaluation.
    fn running_average(
        &mut self,
        name: &str,
        axes: &[Id<Axis>],
        start: f64,
        observed: Node,
        momentum: f64,
    ) -> Node;

    /// An axis that this layer makes, called `FACTOR.LAYER` and maybe `.NAME`.
    fn new_axis(&mut self, name: &str, size: usize, kind: AxisKind) -> Id<Axis>;

    /// Noise with the axes of `like`, which is of the part with that name.
    fn noise(&mut self, part: &str, kind: NoiseKind, like: Node) -> Node;

    /// Whether statistics are the batch's (training and `dgc bound`) or the running averages
    /// (evaluation).
    fn batch_statistics(&self) -> bool;

    /// Whether noise and dropout are on: in training alone, and not in its clean pass.
    fn noisy(&self) -> bool;
}

/// A value and the axes of its features; `name` is the parent's, or empty inside a network.
#[derive(Clone, Debug)]
pub struct Part {
    /// The parent's name, or nothing inside a network.
    pub name: String,
    /// The numbers.
    pub value: Value,
    /// One, or an image's channels, height and width. A vector may hold an image: then its shape
    /// says so.
    pub axes: Vec<Id<Axis>>,
    /// One number of features, or an image's channels, height and width.
    pub shape: Vec<usize>,
}

impl Part {
    /// The output of a layer: a value without a name.
    pub fn output(node: Node, axes: Vec<Id<Axis>>, shape: Vec<usize>) -> Self {
        Part {
            name: String::new(),
            value: Value::Dense(node),
            axes,
            shape,
        }
    }

    /// A vector of a variable.
    pub fn of_variable(name: &str, value: Value, axis: Id<Axis>, shape: &[usize]) -> Self {
        Part {
            name: name.to_string(),
            value,
            axes: vec![axis],
            shape: features(shape),
        }
    }

    /// The same with other numbers.
    pub fn with(&self, node: Node) -> Self {
        Part {
            value: Value::Dense(node),
            ..self.clone()
        }
    }

    /// The value with its features: a class that is summed over as one-hot vectors.
    pub fn dense(&self, graph: &mut Graph) -> Node {
        match self.value {
            Value::Dense(node) => node,
            Value::Enumerated(class) => {
                let index = graph.iota(class);
                graph.one_hot(index, self.axes[0])
            }
        }
    }

    /// Whether it has an image's three axes.
    pub fn is_image(&self) -> bool {
        self.shape.len() == 3
    }

    /// `weight.PARENT`, or `weight` of a nameless part.
    fn weight(&self) -> String {
        if self.name.is_empty() {
            "weight".to_string()
        } else {
            format!("weight.{}", self.name)
        }
    }
}

/// A variable's shape as layers see it: `[28, 28]` is an image of one channel, `[3, 32, 32]` one of
/// three, all else a vector.
pub fn features(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [height, width] => vec![1, height, width],
        [channels, height, width] => vec![channels, height, width],
        _ => vec![shape.iter().product()],
    }
}

/// `3 · 32 · 32`.
pub fn shape_text(shape: &[usize]) -> String {
    shape
        .iter()
        .map(usize::to_string)
        .collect::<Vec<_>>()
        .join(" · ")
}

/// Why a layer does not fit its inputs, and a way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// What does not fit, as a sentence.
    pub why: String,
    /// A way out, as a sentence.
    pub help: String,
    /// Whether other inputs would fit; otherwise the arguments are wrong.
    pub of_inputs: bool,
}

/// The numbers of a part.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A value that has the part's feature axis.
    Dense(Node),
    /// A class variable that is being summed over: class k of this class axis. A weight's columns
    /// are then the classes themselves.
    Enumerated(Id<Axis>),
}

/// A layer of a network.
pub trait Layer: Sync + Debug {
    /// As written in a model: `dense`.
    fn name(&self) -> &'static str;

    /// The numbers in parentheses, in order.
    fn arguments(&self) -> &'static [Argument] {
        &[]
    }

    /// The shape of what comes out for those that go in: one, unless [`Layer::joins`].
    fn outputs(&self, inputs: &[Vec<usize>], _arguments: &[f64]) -> Result<Vec<usize>, Misfit> {
        Ok(inputs[0].clone())
    }

    /// Whether the layer takes several parents and joins them.
    fn joins(&self) -> bool {
        false
    }

    /// Whether it is a block that holds other layers, which lowering expands.
    fn is_block(&self) -> bool {
        false
    }

    /// Whether several parents must have been joined before it: not so for one that acts on each
    /// element alone.
    fn needs_joined(&self) -> bool {
        false
    }

    /// What comes out, of the shape that [`Layer::outputs`] says. `parts` holds one part unless
    /// [`Layer::joins`].
    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part;
}

/// Every layer, in the order in which `dgc list` shows them.
pub const LAYERS: &[&dyn Layer] = &[
    &dense::Dense,
    &add::Add,
    &combinator::Combinator,
    &conv::Conv,
    &conv::ConvTranspose,
    &pool::MaxPool,
    &pool::MeanPool,
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
    &activation::LOG,
    &activation::LOG1P,
    &softmax::SOFTMAX,
    &softmax::LOG_SOFTMAX,
    &activation::Residual,
];

/// The layer of that name.
pub fn find(name: &str) -> Option<&'static dyn Layer> {
    LAYERS.iter().copied().find(|layer| layer.name() == name)
}
