//! The two graphs: variables, the factors that connect them, and the factors' networks.

use crate::{
    diagnostic::Span,
    distribution::{Distribution, Domain},
    id::Id,
    layer::Layer,
};

/// A named random variable or deterministic node.
#[derive(Clone, Debug)]
pub struct Variable {
    /// The name in the model file.
    pub name: String,
    /// The role, which says when the variable is observed.
    pub role: Role,
    /// The type of its elements.
    pub domain: Domain,
    /// Axis sizes as declared: `binary[28, 28]` is `[28, 28]`. For `class[10]`, the number of
    /// classes.
    pub shape: Vec<usize>,
    /// Whether networks and densities read it with mean 0 and deviation 1 over the training rows.
    pub standardized: bool,
    /// Whether rows may lack some of its values. The missing ones have no density, and networks read
    /// where they are. For a label: whether rows with other labels may lack it.
    pub missing: bool,
    /// The span of its declaration.
    pub span: Span,
}

impl Variable {
    /// The number of features; for a class variable, the number of classes.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it is a class.
    pub fn is_class(&self) -> bool {
        self.domain == Domain::Class
    }

    /// Whether networks read its mask as a further parent: 1 where a feature is observed, else 0. A
    /// missing class needs none, because its one-hot vector is 0. Nor does a label, which is inferred
    /// where it is missing.
    pub fn has_mask(&self) -> bool {
        self.missing && !self.is_class() && self.role != Role::Label
    }

    /// Whether rows may lack it.
    pub fn may_be_unknown(&self) -> bool {
        self.missing || self.role == Role::Label
    }

    /// Whether data may have no array or column of it: labels, and weights, which only training reads.
    pub fn is_optional(&self) -> bool {
        matches!(self.role, Role::Label | Role::Weight)
    }

    /// What data have where its value is unknown.
    pub fn unknown(&self) -> f32 {
        match self.is_class() {
            true => -1.0,
            false => f32::NAN,
        }
    }
}

/// The role of a variable, which says when it is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Always observed, with a factor in p.
    Data,
    /// Always observed, without a factor: a covariate.
    Given,
    /// Observed on some rows: a class, or numbers.
    Label,
    /// Never observed.
    Latent,
    /// The weight of each row in training: a positive number, in neither graph.
    Weight,
    /// A function of its parents: `x -> h = body`. Its features are those of its network's last
    /// layer.
    Node,
}

impl Role {
    /// The keyword of the declaration: `data`. A node is declared by its arrow, without a keyword.
    pub fn name(self) -> &'static str {
        match self {
            Role::Data => "data",
            Role::Given => "given",
            Role::Label => "label",
            Role::Latent => "latent",
            Role::Weight => "weight",
            Role::Node => "node",
        }
    }

    /// Whether every row has a value of it in the data.
    pub fn is_always_observed(self) -> bool {
        matches!(self, Role::Data | Role::Given)
    }

    /// The role that is declared with this keyword.
    pub fn find(word: &str) -> Option<Role> {
        let declared = [
            Role::Data,
            Role::Given,
            Role::Label,
            Role::Latent,
            Role::Weight,
        ];
        declared.into_iter().find(|role| role.name() == word)
    }
}

/// One of a model's two graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// p: how the data are generated.
    Generative,
    /// q: how latents and labels are inferred from the data.
    Inference,
}

impl Side {
    /// As written in a model: `generative`.
    pub fn name(self) -> &'static str {
        match self {
            Side::Generative => "generative",
            Side::Inference => "inference",
        }
    }

    /// The graph of that name.
    pub fn find(name: &str) -> Option<Side> {
        [Side::Generative, Side::Inference]
            .into_iter()
            .find(|side| side.name() == name)
    }

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
    /// The graph that contains it.
    pub side: Side,
    /// The variable that the arrow points to.
    pub child: Id<Variable>,
    /// The variables that the child depends on: those before the arrow, in source order, and the
    /// nodes that its heads name.
    pub parents: Vec<Id<Variable>>,
    /// The parents that its networks read, which are those before the arrow.
    pub inputs: Vec<Id<Variable>>,
    /// The distribution or the equation of the child.
    pub kind: FactorKind,
    /// The span of the arrow.
    pub span: Span,
    /// The line in the file, counted from 1, for comments such as `adgm.dgm:19`.
    pub line: usize,
}

/// The factor of a graph with this child.
pub fn factor_of(factors: &[Factor], child: Id<Variable>) -> Option<&Factor> {
    factors.iter().find(|factor| factor.child == child)
}

/// The right-hand side of an arrow.
#[derive(Clone, Debug)]
pub enum FactorKind {
    /// `~`: the child's distribution.
    Distribution {
        /// The distribution, whose support is the child's domain.
        distribution: &'static dyn Distribution,
        /// How its heads are computed.
        heads: Heads,
    },
    /// `=`: the child is the network's output.
    Deterministic(Network),
}

impl FactorKind {
    /// The deterministic nodes that heads name.
    pub fn nodes(&self) -> Vec<Id<Variable>> {
        let heads = match self {
            FactorKind::Distribution {
                heads: Heads::Each(heads),
                ..
            } => heads.as_slice(),
            _ => &[],
        };
        let nodes = heads.iter().filter_map(|head| match head {
            Head::Node(node) => Some(*node),
            _ => None,
        });
        nodes.collect()
    }
}

/// How the heads of a factor's distribution are computed.
#[derive(Clone, Debug)]
pub enum Heads {
    /// `normal(body)`: a network, followed by one linear layer for each head of the distribution.
    Network(Network),
    /// `normal(0, 1)`: constants, one for each of [`Distribution::arguments`].
    Constants(Vec<f64>),
    /// `normal(mean = body, log_variance = constant)`: one for each of [`Distribution::heads`], in
    /// their order.
    Each(Vec<Head>),
    /// `categorical(0.9, 0.1)`: a probability for each class, which training does not change.
    Probabilities(Probabilities),
    /// `mixture(normal, 10)` or `vamp(500)`: the distribution's heads for each component. Only in
    /// `generative`, without parents.
    Mixture(Mixture),
}

/// The probabilities of the classes of a variable.
#[derive(Clone, Debug)]
pub enum Probabilities {
    /// Numbers above 0 that sum to 1, one for each class.
    Given(Vec<f64>),
    /// `observed`: the frequencies of the classes among the training rows that observe the variable.
    Observed,
}

/// A mixture of components.
#[derive(Clone, Debug)]
pub struct Mixture {
    /// The number of components, at least 1.
    pub components: usize,
    /// Where the components' heads come from.
    pub source: Components,
}

/// Where the components' heads come from.
#[derive(Clone, Debug)]
pub enum Components {
    /// Each component has learned heads and a learned weight.
    Learned,
    /// The heads are those of q at learned pseudo-inputs, which replace these data variables. All
    /// components have equal weight (Tomczak and Welling 2018).
    Pseudo(Vec<Id<Variable>>),
}

impl Mixture {
    /// The name in a model: `mixture` or `vamp`.
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
    /// `constant`: a learned number for each feature.
    Constant,
    /// A number that is not learned.
    Number(f64),
    /// A network whose output is the head, with the child's features.
    Network(Network),
    /// A deterministic node whose value is the head, with the child's features.
    Node(Id<Variable>),
}

/// A sequence of layers. Empty for `linear`: the heads then read the parents directly.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// The layers, in the order of application.
    pub layers: Vec<LayerUse>,
}

/// A layer in a network, with separate parameters for each use.
#[derive(Clone, Debug)]
pub struct LayerUse {
    /// `dense1`, `batchnorm2`: the layer's name and its count within the factor.
    pub name: String,
    /// The entry in the registry.
    pub layer: &'static dyn Layer,
    /// The arguments in the order of [`Layer::arguments`].
    pub arguments: Vec<f64>,
    /// The layers inside a `residual [...]`; empty for any other layer.
    pub inner: Vec<LayerUse>,
    /// The span of the call.
    pub span: Span,
}
