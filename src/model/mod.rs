//! A checked model: two acyclic graphs over typed variables, every shape known.
//!
//! `check` is the only maker of a [`Model`]; what holds of one is written on its fields, and
//! later stages rely on it.

mod check;
mod costs;
mod draw;
mod estimators;
mod factors;
mod heads;
mod mixture;
mod network;
mod print;
mod ramp;
mod reader;
mod schedule;
mod sets;
mod settings;
mod shapes;
mod stack;

pub use check::{check, domain_name};
pub use draw::{to_dot, to_svg};
pub use print::print;
pub use ramp::{Ramp, Weighed};
pub use schedule::{Decay, Schedule};
pub use stack::{Upstream, scope};

use crate::{
    diagnostic::Span,
    distribution::{Distribution, Domain},
    estimator::Estimator,
    id::Id,
    layer::Layer,
    optimizer::Optimizer,
};
use std::fmt;

/// A model whose graphs, shapes and settings have been checked.
#[derive(Clone, Debug)]
pub struct Model {
    pub name: String,
    /// The name that places in messages and comments are given with, such as `adgm.dgm`.
    pub file: String,
    pub source: String,
    /// The sizes and settings that were changed, as `--set` names them; the last of a name counts.
    pub sets: Vec<(String, String)>,
    pub variables: Vec<Variable>,
    /// The factors of `p`, parents before children.
    pub generative: Vec<Factor>,
    /// The factors of `q`, parents before children. Holds one for each latent.
    pub inference: Vec<Factor>,
    pub objective: Objective,
    pub train: Train,
    /// Every size and setting after `--set`, as `name = value`, in the file's order.
    pub settings: Vec<(String, String)>,
    /// The models whose inference gives data variables their values; none as a file is checked.
    pub upstream: Vec<Upstream>,
}

/// A named random variable or deterministic node.
#[derive(Clone, Debug)]
pub struct Variable {
    pub name: String,
    pub role: Role,
    pub domain: Domain,
    /// Axis sizes as written: `binary[28, 28]` is `[28, 28]`; for `class[10]` the number of
    /// classes.
    pub shape: Vec<usize>,
    pub span: Span,
}

impl Variable {
    /// The number of features: for a class variable, of classes.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Always observed.
    Data,
    /// Discrete, observed on some rows.
    Label,
    /// Never observed.
    Latent,
    /// A function of its parents: `x -> h = body`. Its features are those of its network's last
    /// layer.
    Node,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    Generative,
    Inference,
}

impl Side {
    /// The letter that parameter names begin with.
    pub fn letter(self) -> char {
        match self {
            Side::Generative => 'p',
            Side::Inference => 'q',
        }
    }
}

/// One arrow of a graph: the child given its parents.
#[derive(Clone, Debug)]
pub struct Factor {
    pub side: Side,
    pub child: Id<Variable>,
    /// In the order written.
    pub parents: Vec<Id<Variable>>,
    pub kind: FactorKind,
    pub span: Span,
    /// One-based line in the file, for comments such as `adgm.dgm:19`.
    pub line: usize,
}

impl Model {
    /// The variables that are observed on some rows.
    pub fn labels(&self) -> impl Iterator<Item = &Variable> {
        self.variables
            .iter()
            .filter(|variable| variable.role == Role::Label)
    }
}

impl Model {
    /// The inputs of a step that change in training: `labelled`, `beta.VARIABLE`, `smooth.LABEL`
    /// and an estimator's `NUMBER.VARIABLE`.
    pub fn changing(&self) -> Vec<(String, Changing)> {
        let name = |id: Id<Variable>| &self.variables[id.index()].name;
        let ramps = self.objective.ramps().filter(|(_, ramp)| ramp.changes());
        let ramps = ramps.map(|(weighed, ramp)| (self.input_of(weighed), Changing::Ramp(ramp)));
        let drawn = self
            .objective
            .drawn
            .iter()
            .enumerate()
            .filter_map(|(index, discrete)| {
                let (number, _) = discrete.estimator.changing(&discrete.arguments, 0.0)?;
                Some((
                    format!("{number}.{}", name(discrete.variable)),
                    Changing::Drawn(index),
                ))
            });
        ramps.chain(drawn).collect()
    }

    /// The model without the lines that in the end weigh nothing, and after how many epochs they
    /// do; none if there are no such lines. Its steps change the parameters alike from there on,
    /// and cost less.
    pub fn settled(&self) -> Option<(u64, Model)> {
        let gone = |line: &Smooth| line.ramp.weight == 0.0;
        let last = self
            .objective
            .smooth
            .iter()
            .filter(|line| gone(line))
            .map(|line| line.ramp.warmup.ceil() as u64)
            .max()?;
        let mut model = self.clone();
        model.objective.smooth.retain(|line| !gone(line));
        Some((last, model))
    }

    /// One of them after so many epochs.
    pub fn changed(&self, input: Changing, epoch: f64) -> f64 {
        match input {
            Changing::Ramp(ramp) => ramp.after(epoch),
            Changing::Drawn(index) => {
                let discrete = &self.objective.drawn[index];
                let changing = discrete.estimator.changing(&discrete.arguments, epoch);
                changing.expect("what changes goes on to").1
            }
        }
    }
}

#[derive(Clone, Debug)]
pub enum FactorKind {
    /// `~`: the child's distribution.
    Distribution {
        distribution: &'static dyn Distribution,
        heads: Heads,
    },
    /// `=`: the child is the network's output.
    Deterministic(Network),
}

#[derive(Clone, Debug)]
pub enum Heads {
    /// `normal(body)`: a network, then one linear layer for each of the distribution's heads.
    Network(Network),
    /// `normal(0, 1)`: the distribution's constant arguments, one for each of
    /// [`Distribution::arguments`].
    Constants(Vec<f64>),
    /// `normal(mean = body, log_variance = constant)`: one for each of [`Distribution::heads`], in
    /// their order.
    Each(Vec<Head>),
    /// `mixture(normal, 10)` or `vamp(500)`, in `generative`, without parents: the distribution's
    /// heads for each component.
    Mixture(Mixture),
}

/// Several components, one of which is drawn.
#[derive(Clone, Debug)]
pub struct Mixture {
    pub components: usize,
    pub source: Components,
}

/// Where the components' heads come from.
#[derive(Clone, Debug)]
pub enum Components {
    /// Each component has heads and a weight of its own.
    Learned,
    /// They are those of q at learned pseudo-inputs, which stand for these data variables; all
    /// weigh as much (Tomczak and Welling 2018).
    Pseudo(Vec<Id<Variable>>),
}

impl Mixture {
    /// As written in a model.
    pub fn name(&self) -> &'static str {
        match self.source {
            Components::Learned => "mixture",
            Components::Pseudo(_) => "vamp",
        }
    }
}

/// A head that is given by name.
#[derive(Clone, Debug)]
pub enum Head {
    /// `linear`: a linear layer on the parents.
    Linear,
    /// `constant`: learned, one number for each feature.
    Constant,
    /// A number that is not learned.
    Number(f64),
    /// The network's output is the head; it has the child's features.
    Network(Network),
}

/// A sequence of layers. Empty for `linear`, whose heads stand directly on the parents.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub layers: Vec<LayerUse>,
}

/// One use of a layer, with its own parameters.
#[derive(Clone, Debug)]
pub struct LayerUse {
    /// `dense1`, `batchnorm2`: the layer's name and its count within the factor.
    pub name: String,
    pub layer: &'static dyn Layer,
    /// The arguments in the order of [`Layer::arguments`].
    pub arguments: Vec<f64>,
    /// The layers inside a `residual [...]`; empty for any other layer.
    pub inner: Vec<LayerUse>,
    pub span: Span,
}

#[derive(Clone, Debug)]
pub struct Objective {
    /// Joint Monte Carlo samples in training, at least 1.
    pub samples: usize,
    pub bound: Bound,
    /// Labels and discrete latents summed over where not observed.
    pub sums: Vec<Id<Variable>>,
    /// Those that a value stands for. Every label and every class latent that q infers is in one of
    /// the two.
    pub drawn: Vec<Discrete>,
    pub classify: Vec<Classify>,
    pub smooth: Vec<Smooth>,
    pub inform: Vec<Inform>,
    pub matches: Vec<Match>,
    /// Factor on the bound of labelled rows; 1 if no line gives one.
    pub labelled: Option<Ramp>,
    /// Factor on a latent's log p − log q, at most one for each latent.
    pub betas: Vec<Beta>,
    /// `free_bits z 0.5`: that latent's mean KL term is not pushed below this many nats.
    pub free_bits: Vec<(Id<Variable>, f64)>,
    /// `analytic z`: KL in closed form; checked to be exact on this graph.
    pub analytic: Vec<Id<Variable>>,
}

impl Objective {
    /// What is done with a discrete variable that is not summed over.
    pub fn drawn(&self, variable: Id<Variable>) -> Option<&Discrete> {
        self.drawn
            .iter()
            .find(|discrete| discrete.variable == variable)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// Mean over samples of the log-weight.
    Evidence,
    /// 1/(1 − α) times the log of the mean over samples of the weight to the power 1 − α. `bound
    /// importance` is α = 0 (Burda et al. 2016), `bound renyi(0.5)` another (Li and Turner 2016).
    Power(f64),
}

/// `relax y by gumbel(temperature = 0.5)`: a discrete variable that is neither observed nor summed
/// over.
#[derive(Clone, Debug)]
pub struct Discrete {
    pub variable: Id<Variable>,
    pub estimator: &'static dyn Estimator,
    /// In the order of [`Estimator::arguments`].
    pub arguments: Vec<f64>,
    /// Of a learned baseline.
    pub network: Option<Network>,
    /// Whether the variable's own KL term is taken in closed form, which it is where that is exact.
    pub closed: bool,
    pub span: Span,
}

/// `classify y weight 0.1 * rows / labelled`: cross-entropy of q(y | …) on labelled rows.
#[derive(Clone, Debug)]
pub struct Classify {
    pub label: Id<Variable>,
    pub weight: Expression,
    pub span: Span,
}

/// `smooth y by vat(radius = 2)`: the change of q(y | …) in the direction that changes it most is
/// added to the loss.
#[derive(Clone, Debug)]
pub struct Smooth {
    pub label: Id<Variable>,
    /// The length of the change.
    pub radius: f64,
    /// The length at which its direction is found, and in how many rounds.
    pub step: f64,
    pub rounds: usize,
    /// The term's weight.
    pub ramp: Ramp,
}

/// `inform y weight 1`: the mutual information of rows and label under q is taken off the loss.
#[derive(Clone, Debug)]
pub struct Inform {
    pub label: Id<Variable>,
    pub weight: f64,
}

/// `match r to clean h standardized weight 10`: the squared difference of two nodes, its mean over
/// rows and features, is added to the loss.
#[derive(Clone, Debug)]
pub struct Match {
    pub node: Id<Variable>,
    /// A node, or data.
    pub target: Id<Variable>,
    /// Whether the target is made without noise and dropout.
    pub clean: bool,
    /// Whether each feature's difference counts in standard deviations of the target over the
    /// batch.
    pub standardized: bool,
    pub weight: f64,
}

/// Arithmetic over sizes and the numbers of training rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Expression {
    Number(f64),
    /// The number of training rows.
    Rows,
    /// The number of training rows with a label.
    Labelled,
    Binary(char, Box<Expression>, Box<Expression>),
}

impl Expression {
    /// The value, with `rows` and `labelled` as given.
    pub fn value(&self, rows: f64, labelled: f64) -> f64 {
        match self {
            Expression::Number(number) => *number,
            Expression::Rows => rows,
            Expression::Labelled => labelled,
            Expression::Binary(operator, left, right) => {
                let (left, right) = (left.value(rows, labelled), right.value(rows, labelled));
                match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                }
            }
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::Number(number) => write!(f, "{number}"),
            Expression::Rows => write!(f, "rows"),
            Expression::Labelled => write!(f, "labelled"),
            Expression::Binary(operator @ ('*' | '/'), left, right) => {
                let group = |side: &Expression, right: bool| match side {
                    Expression::Binary('+' | '-', ..) => format!("({side})"),
                    Expression::Binary(..) if right => format!("({side})"),
                    _ => side.to_string(),
                };
                write!(
                    f,
                    "{} {operator} {}",
                    group(left, false),
                    group(right, true)
                )
            }
            Expression::Binary(operator, left, right) => match **right {
                Expression::Binary('+' | '-', ..) => write!(f, "{left} {operator} ({right})"),
                _ => write!(f, "{left} {operator} {right}"),
            },
        }
    }
}

/// How an input changes in training: by a weight, or by a number of an estimator.
#[derive(Clone, Copy, Debug)]
pub enum Changing {
    Ramp(Ramp),
    Drawn(usize),
}

/// `beta z 1 warmup 10 from 3`.
#[derive(Clone, Debug)]
pub struct Beta {
    pub variable: Id<Variable>,
    pub ramp: Ramp,
}

#[derive(Clone, Debug)]
pub struct Train {
    pub batch: Batch,
    pub optimizer: &'static dyn Optimizer,
    /// In the order of [`Optimizer::arguments`], defaults filled in.
    pub optimizer_arguments: Vec<f64>,
    pub schedule: Schedule,
    /// `clip norm 5`: the gradient's total norm is scaled to at most this, before `clip value`.
    pub clip_norm: Option<f64>,
    /// `clip value 1`: each element of the gradient is clamped to ± this.
    pub clip_value: Option<f64>,
    /// `prior weights normal(0, 1)`: standard deviation of the prior on weights (not biases), per
    /// training row.
    pub weight_prior: Option<f64>,
    pub initialize: Initialize,
    pub epochs: usize,
}

/// Rows per step of each case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batch {
    /// A model without labels.
    All(usize),
    Cases {
        labelled: usize,
        unlabelled: usize,
    },
}

/// How weights start; biases start at 0 but for `Glorot`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Initialize {
    /// The ADGM authors' recipe: hidden weights Glorot normal with ReLU's gain, data and label
    /// heads with gain 1, latent heads and biases N(0, 0.001²).
    Glorot,
    /// He normal for hidden weights; heads as in `Glorot`.
    He,
    /// All weights N(0, s²).
    Normal(f64),
}
