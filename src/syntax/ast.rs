//! The syntax tree of a model file, with source spans. Names are not resolved yet.

use crate::diagnostic::Span;
use std::fmt;

/// A model file.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// The name after `model`.
    pub name: Name,
    /// The statements and blocks, in source order.
    pub items: Vec<Item>,
}

/// A word with its source span.
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// The word.
    pub text: String,
    /// Its span.
    pub span: Span,
}

/// One statement or block of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `edition 2`.
    Edition {
        /// The number.
        number: f64,
        /// The whole line.
        span: Span,
    },
    /// `size hidden = 500`.
    Size(Vec<(Name, Option<Expression>)>),
    /// `latent z: real[latent]`.
    Variable(Declaration),
    /// `net body = dense(500) > relu`.
    Net {
        /// The name of the net.
        name: Name,
        /// Its layers.
        layers: Vec<NetworkPart>,
    },
    /// `generative { … }` or `inference { … }`.
    Graph {
        /// `generative` or `inference`.
        keyword: Name,
        /// The arrows, in source order.
        arrows: Vec<Arrow>,
    },
    /// `objective { … }` or `train { … }`.
    Settings {
        /// `objective` or `train`.
        keyword: Name,
        /// The lines, in source order.
        settings: Vec<Setting>,
    },
}

/// `latent z: real[latent]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// `data`, `given`, `label` or `latent`.
    pub role: Name,
    /// The name of the variable.
    pub name: Name,
    /// `real`, `binary`, …
    pub domain: Name,
    /// The sizes in brackets; empty if there are none.
    pub shape: Vec<Expression>,
    /// What is written behind the type, in source order.
    pub modifiers: Vec<(Modifier, Span)>,
}

/// A property of a variable, behind its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modifier {
    /// `standardized`
    Standardized,
    /// `with missing`
    Missing,
}

impl Modifier {
    /// Every modifier, in the order in which `dgc fmt` writes them.
    pub const ALL: [Modifier; 2] = [Modifier::Standardized, Modifier::Missing];

    /// As written in a model.
    pub fn text(self) -> &'static str {
        match self {
            Modifier::Standardized => "standardized",
            Modifier::Missing => "with missing",
        }
    }
}

/// An element of a network; `>` separates elements.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkPart {
    /// A layer or a net, by name.
    Call(Call),
    /// `2 * [dense(hidden) > relu]`.
    Repeat {
        /// The number of repetitions.
        count: Expression,
        /// The repeated layers.
        layers: Vec<NetworkPart>,
    },
    /// `residual [dense(hidden) > relu]`.
    Residual {
        /// The block, including its brackets.
        span: Span,
        /// The layers inside.
        layers: Vec<NetworkPart>,
    },
}

impl NetworkPart {
    /// The place of the part: of a repetition, its count.
    pub fn span(&self) -> Span {
        match self {
            NetworkPart::Call(call) => call.span,
            NetworkPart::Repeat { count, .. } => count.span,
            NetworkPart::Residual { span, .. } => *span,
        }
    }
}

/// `dense(hidden)`, `normal(0, 1)`, `adam(rate = 3e-4)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The callee.
    pub name: Name,
    /// The arguments, in source order.
    pub arguments: Vec<CallArgument>,
    /// The whole call.
    pub span: Span,
}

/// An argument of a call, `500` or `size = 500`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallArgument {
    /// The name before `=`.
    pub name: Option<Name>,
    /// The value.
    pub value: ArgumentValue,
    /// The whole argument.
    pub span: Span,
}

/// The value of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum ArgumentValue {
    /// A number, a name or a call.
    Expression(Expression),
    /// `[dense(50) > tanh]`.
    Layers(Vec<NetworkPart>),
}

/// `a, x -> y ~ categorical(body)` or `x -> h = body`.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrow {
    /// The parents, in source order; empty without `->`.
    pub parents: Vec<Name>,
    /// The variable that the arrow defines.
    pub child: Name,
    /// The distribution or the equation after the child.
    pub body: ArrowBody,
    /// The whole arrow.
    pub span: Span,
}

/// The right-hand side of an arrow.
#[derive(Clone, Debug, PartialEq)]
pub enum ArrowBody {
    /// `~ normal(body)`.
    Distribution(Call),
    /// `= body`.
    Equation(Vec<NetworkPart>),
}

/// `classify y weight 0.1 * rows / labelled`.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The first word.
    pub keyword: Name,
    /// The values after the first word.
    pub values: Vec<Expression>,
    /// The whole line.
    pub span: Span,
}

/// An expression with its source span.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// The expression itself.
    pub kind: ExpressionKind,
    /// Its span.
    pub span: Span,
}

/// A number, a name, a call or arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionKind {
    /// A number.
    Number(f64),
    /// A size, a variable or a keyword of a line.
    Name(String),
    /// A call, such as `vat(radius = 2)`.
    Call(Call),
    /// Two operands and the operator between them.
    Binary(Operator, Box<Expression>, Box<Expression>),
}

/// An arithmetic operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
}

impl Operator {
    const ALL: [Operator; 4] = [
        Operator::Add,
        Operator::Subtract,
        Operator::Multiply,
        Operator::Divide,
    ];

    /// The operator as written in a model: `+`.
    pub fn sign(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
        }
    }

    /// The operator that is written as `sign`.
    pub fn find(sign: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.sign() == sign)
    }

    /// The result of the operation on two numbers.
    pub fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Operator::Add => left + right,
            Operator::Subtract => left - right,
            Operator::Multiply => left * right,
            Operator::Divide => left / right,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sign())
    }
}
