//! The two graphs: variables, the factors that join them, and the networks of these.

use crate::{
    diagnostic::Span,
    distribution::{Distribution, Domain},
    id::Id,
    layer::Layer,
};

/// A named random variable or deterministic node.
#[derive(Clone, Debug)]
pub struct Variable {
    /// As declared.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The values that each of its elements takes.
    pub domain: Domain,
    /// Axis sizes as written: `binary[28, 28]` is `[28, 28]`; for `class[10]` the number of
    /// classes.
    pub shape: Vec<usize>,
    /// The place of its declaration.
    pub span: Span,
}

impl Variable {
    /// The number of features: for a class variable, of classes.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What a variable is for, and when it is observed.
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

impl Role {
    /// As written in a declaration: `data`. A node is declared by its arrow, without a word.
    pub fn name(self) -> &'static str {
        match self {
            Role::Data => "data",
            Role::Label => "label",
            Role::Latent => "latent",
            Role::Node => "node",
        }
    }

    /// The role of a variable that is declared with this word.
    pub fn find(word: &str) -> Option<Role> {
        [Role::Data, Role::Label, Role::Latent]
            .into_iter()
            .find(|role| role.name() == word)
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
    /// The graph that it stands in.
    pub side: Side,
    /// The variable that the arrow points to.
    pub child: Id<Variable>,
    /// In the order written.
    pub parents: Vec<Id<Variable>>,
    /// What the arrow says of its child.
    pub kind: FactorKind,
    /// The arrow, in the file.
    pub span: Span,
    /// One-based line in the file, for comments such as `adgm.dgm:19`.
    pub line: usize,
}

/// The factor of a graph with this child.
pub fn factor_of(factors: &[Factor], child: Id<Variable>) -> Option<&Factor> {
    factors.iter().find(|factor| factor.child == child)
}

/// What an arrow says of its child.
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

/// How the heads of a factor's distribution are computed.
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
    /// How many there are, at least 1.
    pub components: usize,
    /// Where their heads come from.
    pub source: Components,
}

/// Where the components' heads come from.
#[derive(Clone, Debug)]
pub enum Components {
    /// Each component has heads and a weight of its own.
    Learned,
    /// The heads are those of q at learned pseudo-inputs, which stand for these data variables; all
    /// components weigh as much (Tomczak and Welling 2018).
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
    /// In the order in which they are applied.
    pub layers: Vec<LayerUse>,
}

/// One use of a layer, with its own parameters.
#[derive(Clone, Debug)]
pub struct LayerUse {
    /// `dense1`, `batchnorm2`: the layer's name and its count within the factor.
    pub name: String,
    /// The entry of the registry.
    pub layer: &'static dyn Layer,
    /// The arguments in the order of [`Layer::arguments`].
    pub arguments: Vec<f64>,
    /// The layers inside a `residual [...]`; empty for any other layer.
    pub inner: Vec<LayerUse>,
    /// The call, in the file.
    pub span: Span,
}
