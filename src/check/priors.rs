//! Reads priors with several components: `mixture(normal, 10)` and `vamp(500)`.

use super::context::Checker;
use crate::{
    diagnostic::{Diagnostic, suggest},
    distribution::{self, DISTRIBUTIONS, Distribution, Domain},
    id::Id,
    layer::Argument,
    model::{Components, Factor, FactorKind, Heads, Mixture, Role, Side, Variable, factor_of},
    syntax::ast::{self, ArgumentValue, Arrow, ArrowBody, Call, ExpressionKind},
};

/// A prior with several components, written in place of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prior {
    Mixture,
    Vamp,
}

impl Prior {
    pub const ALL: [Prior; 2] = [Prior::Mixture, Prior::Vamp];

    /// As written in a model.
    pub fn name(self) -> &'static str {
        match self {
            Prior::Mixture => "mixture",
            Prior::Vamp => "vamp",
        }
    }

    /// The prior of that name.
    pub fn find(name: &str) -> Option<Prior> {
        Self::ALL.into_iter().find(|prior| prior.name() == name)
    }
}

/// The distribution of each component, and where the components come from.
type Parts = (&'static dyn Distribution, Mixture);

/// Reads the prior that an arrow gives its child. `q` is the arrow to the child in `inference`.
pub(super) fn read(
    checker: &mut Checker,
    prior: Prior,
    side: Side,
    arrow: &Arrow,
    call: &Call,
    q: Option<&Arrow>,
) -> Option<Parts> {
    let kind = prior.name();
    if side == Side::Inference {
        let title = format!("`{kind}` cannot be sampled in a differentiable way");
        let help = "use it as a prior, in `generative`";
        checker.report(
            Diagnostic::error(call.span, title)
                .label("a factor in `inference`")
                .help(help),
        );
        return None;
    }
    if !arrow.parents.is_empty() {
        let label = format!("the components of `{kind}` are learned constants");
        let help = "remove the parents; to condition a mixture, make a `latent` of type `class` a parent instead";
        checker.unused_parents(arrow, &label, help);
        return None;
    }
    let expressions = expressions(call);
    match prior {
        Prior::Mixture => mixture(checker, arrow, call, &expressions),
        Prior::Vamp => vamp(checker, arrow, call, &expressions, q),
    }
}

/// The arguments of a call without the networks; empty if an argument has a name.
fn expressions(call: &Call) -> Vec<&ast::Expression> {
    let expression = |argument: &'_ ast::CallArgument| argument.name.is_none();
    if !call.arguments.iter().all(expression) {
        return Vec::new();
    }
    let arguments = call.arguments.iter();
    arguments
        .filter_map(|argument| match &argument.value {
            ArgumentValue::Expression(expression) => Some(expression),
            ArgumentValue::Layers(_) => None,
        })
        .collect()
}

/// `mixture(normal, 10)`.
fn mixture(
    checker: &mut Checker,
    arrow: &Arrow,
    call: &Call,
    arguments: &[&ast::Expression],
) -> Option<Parts> {
    let &[name, count] = arguments else {
        let title = "`mixture` takes the distribution of its components and their number";
        return wrong(checker, call, title, "mixture(normal, 10)");
    };
    let ExpressionKind::Name(text) = &name.kind else {
        let title = "the first argument of `mixture` must be the name of a distribution";
        return wrong(checker, call, title, "mixture(normal, 10)");
    };
    let Some(distribution) = distribution::find(text) else {
        let unknown = Diagnostic::error(name.span, format!("unknown distribution `{text}`"));
        let mut unknown = unknown.label("no such distribution");
        unknown.help = suggest(text, DISTRIBUTIONS.iter().map(|listed| listed.name()));
        checker.report(unknown);
        return None;
    };
    if distribution.support() == Domain::Class {
        let title = "`mixture` does not take a distribution over classes";
        let help = format!(
            "`{} ~ categorical(linear)` can learn any distribution over classes",
            arrow.child.text
        );
        checker.report(Diagnostic::error(call.span, title).help(help));
        return None;
    }
    let mixture = Mixture {
        components: components(checker, count)?,
        source: Components::Learned,
    };
    Some((distribution, mixture))
}

/// `vamp(500)`: the components have the distribution of q. [`pseudo_inputs`] fills in the data
/// variables that the pseudo-inputs replace.
fn vamp(
    checker: &mut Checker,
    arrow: &Arrow,
    call: &Call,
    arguments: &[&ast::Expression],
    q: Option<&Arrow>,
) -> Option<Parts> {
    let &[count] = arguments else {
        let title = "`vamp` takes one argument, the number of pseudo-inputs";
        return wrong(checker, call, title, "vamp(500)");
    };
    let mixture = Mixture {
        components: components(checker, count)?,
        source: Components::Pseudo(Vec::new()),
    };
    Some((inferred_distribution(checker, arrow, call, q)?, mixture))
}

fn wrong<T>(checker: &mut Checker, call: &Call, title: &str, example: &str) -> Option<T> {
    checker.report(Diagnostic::error(call.span, title).help(format!("write `{example}`")));
    None
}

fn components(checker: &mut Checker, count: &ast::Expression) -> Option<usize> {
    let number = checker.number(count)?;
    const COMPONENTS: Argument = Argument {
        name: "components",
        default: None,
        least: 1.0,
        most: 1e6,
        whole: true,
    };
    checker
        .in_range(count.span, &COMPONENTS, number)
        .then_some(number as usize)
}

/// The distribution that q gives a continuous latent.
fn inferred_distribution(
    checker: &mut Checker,
    arrow: &Arrow,
    call: &Call,
    q: Option<&Arrow>,
) -> Option<&'static dyn Distribution> {
    let name = &arrow.child.text;
    let child = checker.find(name).map(|id| checker.variable(id).clone());
    if child.is_none_or(|child| child.role != Role::Latent || child.domain == Domain::Class) {
        let title = format!("`{name}` is not a continuous latent");
        let help = "`vamp` uses the posterior q of a `latent`; for other variables, write `mixture(normal, 10)`";
        checker.report(
            Diagnostic::error(call.span, title)
                .label("expected a continuous latent")
                .help(help),
        );
        return None;
    }
    // A mistake in q is reported when q is read.
    let ArrowBody::Distribution(q) = &q?.body else {
        return None;
    };
    distribution::find(&q.name.text)
}

/// Finds the data variables that q reads for each latent with a `vamp` prior. Reports a q that
/// reads other variables, or none.
pub(super) fn pseudo_inputs(checker: &mut Checker, p: &mut [Factor], q: &[Factor]) {
    let nodes: Vec<Factor> = p
        .iter()
        .chain(q)
        .filter(|factor| matches!(factor.kind, FactorKind::Deterministic(_)))
        .cloned()
        .collect();
    for factor in p {
        let FactorKind::Distribution {
            heads: Heads::Mixture(mixture),
            ..
        } = &mut factor.kind
        else {
            continue;
        };
        let Components::Pseudo(data) = &mut mixture.source else {
            continue;
        };
        let Some(inferred) = factor_of(q, factor.child) else {
            continue;
        };
        let name = checker.variable(factor.child).name.clone();
        let read = random_inputs(&nodes, inferred);
        let other = read
            .iter()
            .find(|&&id| checker.variable(id).role != Role::Data);
        let (title, label) = match (other, read.is_empty()) {
            (None, false) => {
                *data = read;
                continue;
            }
            (Some(&other), _) => {
                let other = checker.variable(other).name.clone();
                let title = format!(
                    "`vamp` has pseudo-inputs only for data, but q of `{name}` reads `{other}`"
                );
                (title, format!("`{other}` is not data"))
            }
            (None, true) => (
                format!("pseudo-inputs need a q of `{name}` that reads data"),
                format!("q of `{name}` reads no variables"),
            ),
        };
        let help = format!(
            "let q of `{name}` read only data, or write `{name} ~ mixture(normal, {})`",
            mixture.components
        );
        checker.report(
            Diagnostic::error(factor.span, title)
                .note(inferred.span, "inferred here")
                .label(label)
                .help(help),
        );
    }
}

/// The random variables that a factor reads, directly or through deterministic nodes, in the order
/// of their declaration.
fn random_inputs(nodes: &[Factor], factor: &Factor) -> Vec<Id<Variable>> {
    let mut open = factor.parents.clone();
    let mut found: Vec<Id<Variable>> = Vec::new();
    let mut seen: Vec<Id<Variable>> = Vec::new();
    while let Some(variable) = open.pop() {
        if seen.contains(&variable) {
            continue;
        }
        seen.push(variable);
        match factor_of(nodes, variable) {
            Some(node) => open.extend(&node.parents),
            None => found.push(variable),
        }
    }
    found.sort();
    found
}
