//! What is written in a model file, with its places; nothing is looked up yet.

use crate::diagnostic::Span;
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub name: Name,
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `size hidden = 500`.
    Size(Vec<(Name, Expression)>),
    Variable(Declaration),
    Net {
        name: Name,
        layers: Vec<NetworkPart>,
    },
    /// `generative { … }` or `inference { … }`.
    Graph {
        keyword: Name,
        arrows: Vec<Arrow>,
    },
    /// `objective { … }` or `train { … }`.
    Settings {
        keyword: Name,
        settings: Vec<Setting>,
    },
}

/// `latent z: real[latent]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    pub role: Name,
    pub name: Name,
    pub domain: Name,
    pub shape: Vec<Expression>,
}

/// What stands between the `>` of a network.
#[derive(Clone, Debug, PartialEq)]
pub enum NetworkPart {
    Call(Call),
    /// `2 * [dense(hidden) > relu]`.
    Repeat {
        count: Expression,
        layers: Vec<NetworkPart>,
    },
    Residual {
        span: Span,
        layers: Vec<NetworkPart>,
    },
}

/// `dense(hidden)`, `normal(0, 1)`, `adam(rate = 3e-4)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub name: Name,
    pub arguments: Vec<CallArgument>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CallArgument {
    pub name: Option<Name>,
    pub value: ArgumentValue,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ArgumentValue {
    Expression(Expression),
    /// `[dense(50) > tanh]`.
    Layers(Vec<NetworkPart>),
}

/// `a, x -> y ~ categorical(body)` or `x -> h = body`.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrow {
    pub parents: Vec<Name>,
    pub child: Name,
    pub body: ArrowBody,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ArrowBody {
    Distribution(Call),
    Equation(Vec<NetworkPart>),
}

/// `classify y weight 0.1 * rows / labelled`.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub keyword: Name,
    pub values: Vec<Expression>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub kind: ExpressionKind,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ExpressionKind {
    Number(f64),
    Name(String),
    Call(Call),
    Binary(Operator, Box<Expression>, Box<Expression>),
}

/// An operator of arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operator {
    const ALL: [Operator; 4] = [
        Operator::Add,
        Operator::Subtract,
        Operator::Multiply,
        Operator::Divide,
    ];

    /// The sign, as it is written.
    pub fn sign(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
        }
    }

    /// The operator with that sign.
    pub fn find(sign: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|operator| operator.sign() == sign)
    }

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
