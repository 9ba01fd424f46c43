//! The graph itself: nodes, parameters and named outputs.

use super::{Axes, Axis, Scalar, Window};
use crate::{id::Id, names::OutputName};
use std::collections::HashMap;

/// The id of a node.
pub type Node = Id<NodeData>;

/// An operation of the graph with what is derived from it.
#[derive(Clone, Debug)]
pub struct NodeData {
    /// What it computes.
    pub op: Op,
    /// The axes of the value, derived from `op`.
    pub axes: Axes,
    /// Index into [`Graph::origins`]: the formula that this node is a part of.
    pub origin: usize,
}

/// An operation. Floats are kept as bits so that equal operations are equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A number, `f64` bits. No axes.
    Constant(u64),
    /// Data given at each run, by name.
    Input {
        /// What the caller fills it by.
        name: String,
        /// The axes of the data.
        axes: Axes,
    },
    /// A trained parameter or a running average, as the step begins.
    Parameter(Id<Parameter>),
    /// Random numbers, drawn anew each step; `name` is the stream: `unlabelled.z`.
    Noise {
        /// The stream.
        name: String,
        /// Their distribution.
        kind: NoiseKind,
        /// The axes of the numbers.
        axes: Axes,
    },
    /// 0, 1, 2, … along the axis.
    Iota(Id<Axis>),
    /// Elementwise over the united axes of the operands.
    Scalar(Scalar, Vec<Node>),
    /// Over axes that the value has.
    Reduce(ReduceKind, Node, Axes),
    /// Sum over `axes` of the product; both operands have them all.
    Contract(Node, Node, Axes),
    /// 1 where the position along the axis equals the value, else 0. The value lacks the axis.
    OneHot(Node, Id<Axis>),
    /// The same numbers with axis `.1` called `.2`; of equal size.
    Rename(Node, Id<Axis>, Id<Axis>),
    /// The value at the place along an axis that positions along others name, or 0. The value has
    /// the axis.
    Window(Node, Window),
    /// Sum over the positions that name a place along an axis. The value lacks the axis; where it
    /// lacks those of the positions, it is constant along them. A window and a fold are each
    /// other's transpose.
    Fold(Node, Window),
    /// The value itself; no gradient flows through.
    StopGradient(Node),
}

/// What a reduction computes over its axes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum ReduceKind {
    /// Σ x.
    Sum,
    /// The greatest element.
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

/// A named array kept between steps.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Parameter {
    /// `q.z.dense1.weight.a`.
    pub name: String,
    /// In PyTorch's order: `[out, in]`.
    pub axes: Vec<Id<Axis>>,
    /// How it is initialised.
    pub start: Start,
    /// False for running averages, which the optimiser leaves alone.
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

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Start {
    /// By the model's `initialize`, with the given numbers of inputs and outputs.
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
    /// N(0, s²), by any recipe: what must differ to learn to differ.
    Normal(f64),
}

/// What an output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputKind {
    /// A number or array to be read.
    Value,
    /// The gradient of the loss by the parameter of that name.
    Gradient,
    /// The next value of the parameter or state of that name.
    Next,
}

/// A named result of a graph.
#[derive(Clone, Debug)]
pub struct Output {
    /// What it is for.
    pub kind: OutputKind,
    /// What consumers know it by.
    pub name: OutputName,
    /// The value.
    pub node: Node,
    /// The axes in the order in which the array is read.
    pub axes: Vec<Id<Axis>>,
}

/// Operations on values with named axes, in an order in which operands come first.
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
    /// Formulas and places, such as `log p(x | z, y), adgm.dgm:19`.
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

    /// An empty graph with the axes, parameters and origins of `self`: what a pass starts from.
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

    /// The number of elements of a value with these axes.
    pub fn elements(&self, axes: &Axes) -> usize {
        axes.iter().map(|axis| self.axis(axis).size).product()
    }

    /// Every node, operands before what reads them.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = Node> + use<> {
        (0..self.nodes.len()).map(Id::new)
    }

    /// The axis of that name, made if there is none.
    pub fn new_axis(&mut self, axis: Axis) -> Id<Axis> {
        let found = self.axes.iter().position(|other| *other == axis);
        Id::new(found.unwrap_or_else(|| {
            self.axes.push(axis);
            self.axes.len() - 1
        }))
    }

    /// Nodes made from now on belong to this formula.
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

    /// Nodes made from now on belong to that formula.
    pub fn set_origin_of(&mut self, origin: usize) {
        self.origin = origin;
    }

    /// The node of that operation; the caller has made sure that the operands exist and the axes
    /// fit.
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

    /// Adds an output. Gradients and next values are named as their parameter.
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

    /// The parameter of that name, declared if it is new.
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

    /// The same operation on other operands.
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
