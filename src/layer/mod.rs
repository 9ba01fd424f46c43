//! Layers: parameter shapes, initialisation and the forward pass. Each layer is written with the
//! tensor builder, in one file.
//!
//! To add a layer, add a file with a unit struct that implements [`Layer`], and a line to
//! [`LAYERS`]. `docs/contributing/layer.md` works through an example.

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
#[cfg(test)]
#[allow(dead_code, reason = "the guide's example, which is only compiled")]
#[path = "../../docs/contributing/examples/rmsnorm.rs"]
mod guide_example;

pub use conv::{matches, pointwise};
pub use dense::{linear, weighted};
pub use image::{flat, image};

use crate::{
    id::Id,
    tensor::{Axis, AxisKind, Graph, Node, NoiseKind, Start},
};
use std::fmt::Debug;

/// An argument of a layer or an optimiser, positional or by name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Argument {
    /// The name in a model: `rate`. Arguments may also be given by position.
    pub name: &'static str,
    /// The value if the argument is left out. `None`: it is required. [`LEFT_OUT`]: the value
    /// depends on other arguments.
    pub default: Option<f64>,
    /// The least value.
    pub least: f64,
    /// The greatest value.
    pub most: f64,
    /// Whether it is a whole number.
    pub whole: bool,
}

/// The value of an optional argument that was left out and has no fixed default.
pub const LEFT_OUT: f64 = f64::NAN;

impl Argument {
    /// A number of pixels or channels, at least `least`.
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

/// The interface of a layer to lowering: the graph, parameters, noise and the mode of the pass.
pub trait Context {
    /// The graph that the layer adds to.
    fn graph(&mut self) -> &mut Graph;

    /// The layer's parameter `NAME` over `axes`, in PyTorch's order; its full name is
    /// `FACTOR.LAYER.NAME`.
    fn parameter(&mut self, name: &str, axes: &[Id<Axis>], start: Start) -> Node;

    /// A running average, stored beside the parameters. In training, the last case with rows moves
    /// it towards `observed` by the fraction `momentum`. Returns the stored value, which evaluation
    /// uses.
    fn running_average(
        &mut self,
        name: &str,
        axes: &[Id<Axis>],
        start: f64,
        observed: Node,
        momentum: f64,
    ) -> Node;

    /// A new axis of the layer, named `FACTOR.LAYER` or `FACTOR.LAYER.NAME`.
    fn new_axis(&mut self, name: &str, size: usize, kind: AxisKind) -> Id<Axis>;

    /// Noise with the axes of `like`, the value of the part with the name `part`.
    fn noise(&mut self, part: &str, kind: NoiseKind, like: Node) -> Node;

    /// Whether normalisation uses the statistics of the batch (training and `dgc bound`) or the
    /// running averages (evaluation).
    fn batch_statistics(&self) -> bool;

    /// Whether noise and dropout are active: only in training, and not in its clean pass.
    fn noisy(&self) -> bool;
}

/// A value that layers read and write, with the axes of its features.
#[derive(Clone, Debug)]
pub struct Part {
    /// The name of the parent; empty inside a network.
    pub name: String,
    /// The value itself.
    pub value: Value,
    /// One axis, or an image's axes for channels, height and width. A vector may hold an image:
    /// then it has one axis, and three numbers in `shape`.
    pub axes: Vec<Id<Axis>>,
    /// The number of features, or an image's channels, height and width.
    pub shape: Vec<usize>,
    /// Whether it says which values of a parent are observed. Layers before the one that joins the
    /// parents leave it as it is.
    pub is_mask: bool,
}

impl Part {
    /// The output of a layer: a value without a name.
    pub fn output(node: Node, axes: Vec<Id<Axis>>, shape: Vec<usize>) -> Self {
        Part {
            name: String::new(),
            value: Value::Dense(node),
            axes,
            shape,
            is_mask: false,
        }
    }

    /// The mask of a variable: 1 where a value is observed, else 0.
    pub fn mask(name: &str, node: Node, axis: Id<Axis>, shape: &[usize]) -> Self {
        Part {
            is_mask: true,
            ..Part::variable(&format!("{name}.mask"), Value::Dense(node), axis, shape)
        }
    }

    /// The value of a variable, as a vector over `axis`.
    pub fn variable(name: &str, value: Value, axis: Id<Axis>, shape: &[usize]) -> Self {
        Part {
            name: name.to_string(),
            value,
            axes: vec![axis],
            shape: features(shape),
            is_mask: false,
        }
    }

    /// The part with another value.
    pub fn with(&self, node: Node) -> Self {
        Part {
            value: Value::Dense(node),
            ..self.clone()
        }
    }

    /// The value as a node with the feature axis. A class that is summed over gives one-hot
    /// vectors.
    pub fn dense(&self, graph: &mut Graph) -> Node {
        match self.value {
            Value::Dense(node) => node,
            Value::Enumerated(class) => {
                let index = graph.iota(class);
                graph.one_hot(index, self.axes[0])
            }
        }
    }

    /// Whether it is an image, or a vector that holds one.
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

/// A variable's shape as layers see it: `[28, 28]` is an image with one channel, `[3, 32, 32]` an
/// image with three, and any other shape a vector.
pub fn features(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [height, width] => vec![1, height, width],
        [channels, height, width] => vec![channels, height, width],
        _ => vec![shape.iter().product()],
    }
}

/// A shape as text: `3 · 32 · 32`.
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
    /// The reason, as a phrase.
    pub why: String,
    /// A way out, as a phrase.
    pub help: String,
    /// Whether the layer could fit other inputs. If not, its arguments are wrong.
    pub depends_on_inputs: bool,
}

/// The value of a part.
#[derive(Clone, Copy, Debug)]
pub enum Value {
    /// A node with the part's feature axes.
    Dense(Node),
    /// A class variable that is summed over: class k at position k of this class axis. The columns
    /// of a weight then correspond to the classes.
    Enumerated(Id<Axis>),
}

/// A layer of a network.
pub trait Layer: Sync + Debug {
    /// The name in a model: `dense`.
    fn name(&self) -> &'static str;

    /// The arguments in parentheses, in order.
    fn arguments(&self) -> &'static [Argument] {
        &[]
    }

    /// The shape of the output, given the shapes of the inputs. There is one input unless
    /// [`Layer::joins`] is true.
    ///
    /// # Errors
    ///
    /// Why the layer does not fit the inputs.
    fn outputs(&self, inputs: &[Vec<usize>], _arguments: &[f64]) -> Result<Vec<usize>, Misfit> {
        Ok(inputs[0].clone())
    }

    /// Whether the layer takes several parents and joins them.
    fn joins(&self) -> bool {
        false
    }

    /// Whether a layer that joins parents has weights for each of them.
    fn weighs_parents(&self) -> bool {
        false
    }

    /// Whether it is a block of other layers, which lowering expands.
    fn is_block(&self) -> bool {
        false
    }

    /// Whether the layer computes statistics over the rows of a batch in training.
    fn normalizes_rows(&self) -> bool {
        false
    }

    /// Whether several parents must be joined before this layer. It is false for a layer that acts
    /// on each element separately.
    fn needs_joined(&self) -> bool {
        false
    }

    /// The output, with the shape that [`Layer::outputs`] gives. `parts` has one element unless
    /// [`Layer::joins`] is true.
    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part;
}

/// Every layer, in the order of `dgc list`.
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
