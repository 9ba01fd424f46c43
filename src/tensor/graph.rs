//! The graph itself: nodes, parameters and named outputs.

use super::{Axes, Axis, Scalar, Window};
use crate::{id::Id, names::OutputName};
use std::collections::HashMap;

/// The id of a node.
pub type Node = Id<NodeData>;

/// A node of the graph: an operation with its axes and origin.
#[derive(Clone, Debug)]
pub struct NodeData {
    /// What it computes.
    pub op: Op,
    /// The axes of the value, derived from `op`.
    pub axes: Axes,
    /// The formula that this node belongs to, an index into [`Graph::origins`].
    pub origin: usize,
}

/// An operation. Floats are kept as bits so that equal operations are equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A number, `f64` bits. No axes.
    Constant(u64),
    /// Data that the caller gives for each run.
    Input {
        /// The name by which the caller gives it.
        name: String,
        /// The axes of the data.
        axes: Axes,
    },
    /// The value of a trained parameter or running average at the start of the step.
    Parameter(Id<Parameter>),
    /// Random numbers, different in each step.
    Noise {
        /// The stream, such as `unlabelled.z`.
        name: String,
        /// The distribution of the numbers.
        kind: NoiseKind,
        /// The axes of the numbers.
        axes: Axes,
    },
    /// 0, 1, 2, … along the axis.
    Iota(Id<Axis>),
    /// Elementwise over the united axes of the operands.
    Scalar(Scalar, Vec<Node>),
    /// A reduction over axes that the value has.
    Reduce(ReduceKind, Node, Axes),
    /// Sum over `axes` of the product; both operands have them all.
    Contract(Node, Node, Axes),
    /// 1 where the position along the axis equals the value, else 0. The value lacks the axis.
    OneHot(Node, Id<Axis>),
    /// The value with axis `.1` renamed to `.2`, which has the same size.
    Rename(Node, Id<Axis>, Id<Axis>),
    /// The value at the place along an axis that positions along others name, or 0. The value has
    /// the axis.
    Window(Node, Window),
    /// Along an axis that the value lacks: at each place, the sum over the positions that name it. The
    /// value is constant along axes of positions that it lacks. A fold is the transpose of a window.
    Fold(Node, Window),
    /// The value itself, without a gradient.
    StopGradient(Node),
}

/// What a reduction computes over its axes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum ReduceKind {
    /// Σ x.
    Sum,
    /// The maximum.
    Max,
    /// log Σ exp(x).
    LogSumExp,
}

/// The distribution of random numbers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum NoiseKind {
    /// N(0, 1).
    Normal,
    /// Uniform on (0, 1), never 0 or 1.
    Uniform,
}

/// A named array that a run keeps between steps.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Parameter {
    /// Such as `q.z.dense1.weight.a`.
    pub name: String,
    /// In PyTorch's order: `[out, in]`.
    pub axes: Vec<Id<Axis>>,
    /// Its initial value.
    pub start: Start,
    /// Whether the optimiser updates it. False for running averages.
    pub trained: bool,
}

impl Parameter {
    /// Whether this is a weight of a linear layer, which priors and decay apply to.
    pub fn is_weight(&self) -> bool {
        matches!(
            self.start,
            Start::HiddenWeight { .. }
                | Start::DataHeadWeight { .. }
                | Start::LatentHeadWeight { .. }
        )
    }
}

/// The initial value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Start {
    /// The weight of a hidden layer, initialised by the model's `initialize` line.
    HiddenWeight {
        /// The features of the input.
        inputs: usize,
        /// The features of the output.
        outputs: usize,
    },
    /// The weight of a head of data or of a class.
    DataHeadWeight {
        /// The features of the input.
        inputs: usize,
        /// The features of the output.
        outputs: usize,
    },
    /// The weight of a head of a continuous latent.
    LatentHeadWeight {
        /// The features of the input.
        inputs: usize,
        /// The features of the output.
        outputs: usize,
    },
    /// The bias of a layer or of a head of data.
    Bias,
    /// The bias of a head of a continuous latent.
    LatentHeadBias,
    /// This number.
    Constant(f64),
    /// N(0, s²) for every `initialize` line, for parameters whose elements must differ at the start,
    /// such as the locations of a mixture.
    Normal(f64),
}

/// The purpose of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputKind {
    /// A number or array for the caller to read.
    Value,
    /// The gradient of the loss by the parameter of that name.
    Gradient,
    /// The next value of the parameter or state of that name.
    Next,
}

/// A named result of a graph.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its purpose.
    pub kind: OutputKind,
    /// Its name.
    pub name: OutputName,
    /// The value.
    pub node: Node,
    /// The axes in the order in which the array is read.
    pub axes: Vec<Id<Axis>>,
}

/// Operations on values with named axes. A node's operands precede it.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Every axis; an [`Id`] of an axis is a position here.
    pub axes: Vec<Axis>,
    /// Every operation; a [`Node`] is a position here.
    pub nodes: Vec<NodeData>,
    /// Every parameter and running average that may be read.
    pub parameters: Vec<Parameter>,
    /// The results, in the order in which they were added.
    pub outputs: Vec<Output>,
    /// Formulas with their file and line, such as `log p(x | z, y), adgm.dgm:19`.
    pub origins: Vec<String>,
    pub(super) origin: usize,
    interned: HashMap<Op, Node>,
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Graph {
    /// A graph without nodes.
    pub fn new() -> Self {
        Graph {
            axes: Vec::new(),
            nodes: Vec::new(),
            parameters: Vec::new(),
            outputs: Vec::new(),
            origins: vec![String::new()],
            origin: 0,
            interned: HashMap::new(),
        }
    }

    /// A graph without nodes and outputs that has the axes, parameters and origins of `self`. A pass
    /// starts from it.
    pub fn emptied(&self) -> Self {
        Graph {
            axes: self.axes.clone(),
            parameters: self.parameters.clone(),
            origins: self.origins.clone(),
            ..Self::new()
        }
    }

    /// The operation of a node with its axes and origin.
    pub fn node(&self, node: Node) -> &NodeData {
        &self.nodes[node.index()]
    }

    /// The operation of a node.
    pub fn op(&self, node: Node) -> &Op {
        &self.nodes[node.index()].op
    }

    /// The axes of a node's value.
    pub fn axes_of(&self, node: Node) -> &Axes {
        &self.nodes[node.index()].axes
    }

    /// The axis with this id.
    pub fn axis(&self, axis: Id<Axis>) -> &Axis {
        &self.axes[axis.index()]
    }

    /// The parameter with this id.
    pub fn parameter(&self, parameter: Id<Parameter>) -> &Parameter {
        &self.parameters[parameter.index()]
    }

    /// The number of elements of a value with these axes; the largest number if it is larger.
    pub fn elements(&self, axes: &Axes) -> usize {
        let sizes = axes.iter().map(|axis| self.axis(axis).size);
        sizes.fold(1, usize::saturating_mul)
    }

    /// Every node, operands before what reads them.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = Node> + use<> {
        (0..self.nodes.len()).map(Id::new)
    }

    /// The id of an axis, which is added if it is new.
    pub fn new_axis(&mut self, axis: Axis) -> Id<Axis> {
        let found = self.axes.iter().position(|other| *other == axis);
        Id::new(found.unwrap_or_else(|| {
            self.axes.push(axis);
            self.axes.len() - 1
        }))
    }

    /// Makes this the formula that new nodes belong to.
    pub fn set_origin(&mut self, origin: &str) {
        let found = self.origins.iter().position(|other| other == origin);
        self.origin = found.unwrap_or_else(|| {
            self.origins.push(origin.to_string());
            self.origins.len() - 1
        });
    }

    /// The formula that new nodes belong to.
    pub fn origin(&self) -> usize {
        self.origin
    }

    /// Makes this the formula that new nodes belong to, an index into [`Graph::origins`].
    pub fn set_origin_of(&mut self, origin: usize) {
        self.origin = origin;
    }

    /// The node of an operation, which is added if it is new. The caller ensures that the operands
    /// exist and that the axes fit.
    pub fn push(&mut self, op: Op) -> Node {
        if let Some(&node) = self.interned.get(&op) {
            return node;
        }
        let axes = self.axes_of_op(&op);
        let node = Id::new(self.nodes.len());
        self.nodes.push(NodeData {
            op: op.clone(),
            axes,
            origin: self.origin,
        });
        self.interned.insert(op, node);
        node
    }

    /// The axes of the value of an operation.
    pub fn axes_of_op(&self, op: &Op) -> Axes {
        match op {
            Op::Constant(_) => Axes::none(),
            Op::Input { axes, .. } | Op::Noise { axes, .. } => axes.clone(),
            Op::Parameter(parameter) => self.parameter(*parameter).axes.iter().copied().collect(),
            Op::Iota(axis) => Axes::from(*axis),
            Op::Scalar(_, operands) => operands
                .iter()
                .flat_map(|&node| self.axes_of(node).iter())
                .collect(),
            Op::Reduce(_, value, over) => self.axes_of(*value).minus(over),
            Op::Contract(left, right, over) => {
                self.axes_of(*left).union(self.axes_of(*right)).minus(over)
            }
            Op::OneHot(value, axis) => self.axes_of(*value).with(*axis),
            Op::Rename(value, from, to) => self.axes_of(*value).without(*from).with(*to),
            Op::Window(value, window) => {
                let named = window.terms.iter().map(|(axis, _)| *axis);
                self.axes_of(*value)
                    .without(window.axis)
                    .iter()
                    .chain(named)
                    .collect()
            }
            Op::Fold(value, window) => {
                let named: Axes = window.terms.iter().map(|(axis, _)| *axis).collect();
                self.axes_of(*value).minus(&named).with(window.axis)
            }
            Op::StopGradient(value) => self.axes_of(*value).clone(),
        }
    }

    /// Adds an output. A gradient or next value has the name of its parameter.
    pub fn output(
        &mut self,
        kind: OutputKind,
        name: impl Into<OutputName>,
        node: Node,
        axes: Vec<Id<Axis>>,
    ) {
        let name: OutputName = name.into();
        let name = match kind {
            OutputKind::Value => name,
            OutputKind::Gradient | OutputKind::Next => OutputName::Array(name.to_string()),
        };
        self.outputs.push(Output {
            kind,
            name,
            node,
            axes,
        });
    }

    /// The id of the parameter with this name, which is declared if it is new.
    pub fn declare(&mut self, parameter: Parameter) -> Id<Parameter> {
        let found = self
            .parameters
            .iter()
            .position(|other| other.name == parameter.name);
        Id::new(found.unwrap_or_else(|| {
            self.parameters.push(parameter);
            self.parameters.len() - 1
        }))
    }
}

impl Op {
    /// The operands, in order.
    pub fn operands(&self) -> Vec<Node> {
        match self {
            Op::Constant(_)
            | Op::Input { .. }
            | Op::Parameter(_)
            | Op::Noise { .. }
            | Op::Iota(_) => Vec::new(),
            Op::Scalar(_, operands) => operands.clone(),
            Op::Contract(left, right, _) => vec![*left, *right],
            Op::Reduce(_, value, _)
            | Op::OneHot(value, _)
            | Op::Rename(value, _, _)
            | Op::Window(value, _)
            | Op::Fold(value, _)
            | Op::StopGradient(value) => vec![*value],
        }
    }

    /// The operation with each operand replaced.
    pub fn map(&self, mut f: impl FnMut(Node) -> Node) -> Op {
        match self {
            Op::Scalar(scalar, operands) => {
                Op::Scalar(*scalar, operands.iter().map(|&node| f(node)).collect())
            }
            Op::Contract(left, right, over) => Op::Contract(f(*left), f(*right), over.clone()),
            Op::Reduce(kind, value, over) => Op::Reduce(*kind, f(*value), over.clone()),
            Op::OneHot(value, axis) => Op::OneHot(f(*value), *axis),
            Op::Rename(value, from, to) => Op::Rename(f(*value), *from, *to),
            Op::Window(value, window) => Op::Window(f(*value), window.clone()),
            Op::Fold(value, window) => Op::Fold(f(*value), window.clone()),
            Op::StopGradient(value) => Op::StopGradient(f(*value)),
            leaf => leaf.clone(),
        }
    }
}
