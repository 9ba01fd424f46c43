//! What is written in a model file, with its places; nothing is looked up yet.

use crate::diagnostic::Span;

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
    Variable(Variable),
    Net {
        name: Name,
        layers: Vec<Layer>,
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
pub struct Variable {
    pub role: Name,
    pub name: Name,
    pub domain: Name,
    pub shape: Vec<Expression>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    Call(Call),
    /// `2 * [dense(hidden) > relu]`.
    Repeat {
        count: Expression,
        layers: Vec<Layer>,
    },
    Residual {
        span: Span,
        layers: Vec<Layer>,
    },
}

/// `dense(hidden)`, `normal(0, 1)`, `adam(rate = 3e-4)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub name: Name,
    pub arguments: Vec<Argument>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    pub name: Option<Name>,
    pub value: ArgumentValue,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ArgumentValue {
    Expression(Expression),
    /// `[dense(50) > tanh]`.
    Layers(Vec<Layer>),
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
    Equation(Vec<Layer>),
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
    Binary(char, Box<Expression>, Box<Expression>),
}
