//! Reads one arrow: its parents, its child, and the child's distribution or equation.

use super::{
    context::Checker,
    declarations::Arrows,
    heads,
    networks::{joins_parents, network},
    priors::{self, Prior},
};
use crate::{
    diagnostic::{Diagnostic, suggest},
    distribution::{self, DISTRIBUTIONS, Distribution, Domain},
    id::Id,
    model::{Factor, FactorKind, Heads, Network, Role, Side, Variable},
    syntax::ast::{self, Arrow, ArrowBody, Call},
};
use std::collections::BTreeSet;

/// The factor that an arrow defines. Reports mistakes, and then returns `None`.
pub(super) fn factor(
    checker: &mut Checker,
    side: Side,
    arrow: &Arrow,
    arrows: &Arrows,
) -> Option<Factor> {
    let child = checker.lookup(&arrow.child);
    let (mut parents, mut complete) = parents(checker, arrow);
    let child = child?;
    if parents.is_empty() && !complete {
        return None;
    }
    if parents.contains(&child) {
        let title = format!("`{}` is a parent of itself", arrow.child.text);
        let help = format!("remove `{}` from the parents", arrow.child.text);
        checker.report(
            Diagnostic::error(arrow.span, title)
                .label("this arrow is a cycle")
                .help(help),
        );
        complete = false;
    }
    let kind = match &arrow.body {
        ArrowBody::Equation(layers) => {
            FactorKind::Deterministic(node(checker, child, &parents, arrow, layers)?)
        }
        ArrowBody::Distribution(call) => match Prior::find(&call.name.text) {
            Some(prior) => {
                let q = arrows.find(Side::Inference, &arrow.child);
                let (distribution, mixture) = priors::read(checker, prior, side, arrow, call, q)?;
                supports(checker, side, child, arrow, distribution);
                FactorKind::Distribution {
                    distribution,
                    heads: Heads::Mixture(mixture),
                }
            }
            None => distribution_of(checker, side, child, &parents, arrow, call)?,
        },
    };
    let inputs = parents.clone();
    parents.extend(kind.nodes());
    let mut seen = BTreeSet::new();
    parents.retain(|parent| seen.insert(*parent));
    complete.then_some(Factor {
        side,
        child,
        parents,
        inputs,
        kind,
        span: arrow.span,
        line: checker.line(arrow.span),
    })
}

/// The parents that exist, without duplicates, and whether all of them exist.
fn parents(checker: &mut Checker, arrow: &Arrow) -> (Vec<Id<Variable>>, bool) {
    let mut parents: Vec<Id<Variable>> = Vec::new();
    let mut complete = true;
    for name in &arrow.parents {
        if checker.is_full() {
            return (parents, false);
        }
        let Some(parent) = checker.lookup(name) else {
            complete = false;
            continue;
        };
        if checker.variable(parent).role == Role::Weight {
            let title = format!(
                "`{}` is the weight of a row, and cannot be a parent",
                name.text
            );
            let help = "remove it from the arrow; a covariate is declared as `given`";
            checker.report(Diagnostic::error(name.span, title).help(help));
            complete = false;
            continue;
        }
        if parents.contains(&parent) {
            let title = format!("parent `{}` is named twice", name.text);
            checker.report(
                Diagnostic::error(name.span, title)
                    .label("named again here")
                    .help("name each parent once"),
            );
            continue;
        }
        parents.push(parent);
    }
    (parents, complete)
}

/// `x -> h = body`.
fn node(
    checker: &mut Checker,
    child: Id<Variable>,
    parents: &[Id<Variable>],
    arrow: &Arrow,
    layers: &[ast::NetworkPart],
) -> Option<Network> {
    let name = arrow.child.text.clone();
    if checker.variable(child).role != Role::Node {
        let title = format!("`{name}` is a random variable, but `=` defines a deterministic node");
        let help = format!("write `~` and a distribution, or choose a name other than `{name}`");
        checker.report(Diagnostic::error(arrow.span, title).help(help));
        return None;
    }
    let network = network(checker, layers, parents, arrow.span)?;
    if parents.is_empty() {
        let no_parents = Diagnostic::error(arrow.span, format!("node `{name}` has no parents"));
        checker.report(
            no_parents
                .label("expected parents")
                .help("write parents before an arrow: `x -> h = body`"),
        );
        return None;
    }
    if network.layers.is_empty() || !joins_parents(checker, &network, parents) {
        let what = if network.layers.is_empty() {
            "no layer"
        } else {
            "no layer that joins its parents"
        };
        let help = match parents {
            // A network reads the mask of its only parent.
            &[parent] if !network.layers.is_empty() => format!(
                "`{}` has missing values, and its mask is a further parent; begin with `dense(size)`",
                checker.variable(parent).name
            ),
            _ => "begin it with `dense(size)`, or with `add` if the parents are of equal size"
                .to_string(),
        };
        checker.report(
            Diagnostic::error(arrow.span, format!("the network of `{name}` has {what}")).help(help),
        );
        return None;
    }
    Some(network)
}

fn distribution_of(
    checker: &mut Checker,
    side: Side,
    child: Id<Variable>,
    parents: &[Id<Variable>],
    arrow: &Arrow,
    call: &Call,
) -> Option<FactorKind> {
    let Some(distribution) = distribution::find(&call.name.text) else {
        let mut unknown = Diagnostic::error(
            call.name.span,
            format!("unknown distribution `{}`", call.name.text),
        )
        .label("no such distribution");
        unknown.help = suggest(
            &call.name.text,
            DISTRIBUTIONS
                .iter()
                .map(|listed| listed.name())
                .chain(Prior::ALL.map(Prior::name)),
        );
        checker.report(unknown);
        return None;
    };
    supports(checker, side, child, arrow, distribution);
    let heads = heads::read(checker, child, parents, arrow, call, distribution)?;
    Some(FactorKind::Distribution {
        distribution,
        heads,
    })
}

/// Reports a distribution that does not fit its child: its values are of another type, the child
/// may not have a distribution there, or q cannot sample the child from it.
fn supports(
    checker: &mut Checker,
    side: Side,
    child: Id<Variable>,
    arrow: &Arrow,
    distribution: &'static dyn Distribution,
) {
    let variable = checker.variable(child);
    let inferred = side == Side::Inference;
    let mistake = if variable.role == Role::Node {
        defined_twice(variable, arrow)
    } else if checker.untyped.contains(&variable.name) {
        return;
    } else if variable.domain != distribution.support() {
        other_values(variable, side, arrow, distribution)
    } else if matches!(variable.role, Role::Given | Role::Weight)
        || inferred && variable.role == Role::Data
    {
        explains_observed(variable, arrow)
    } else if inferred && variable.domain != Domain::Class && distribution.noise().is_none() {
        not_reparametrised(variable, arrow, distribution)
    } else if variable.standardized && distribution.is_periodic() {
        not_in_radians(variable, arrow, distribution)
    } else {
        return;
    };
    checker.report(mistake);
}

fn defined_twice(variable: &Variable, arrow: &Arrow) -> Diagnostic {
    let name = &variable.name;
    let title =
        format!("`{name}` is defined as a deterministic node, and cannot have a distribution");
    Diagnostic::error(arrow.span, title)
        .label("second definition")
        .help("keep one of the two definitions, or rename one")
}

fn other_values(
    variable: &Variable,
    side: Side,
    arrow: &Arrow,
    distribution: &'static dyn Distribution,
) -> Diagnostic {
    let (name, kind) = (&variable.name, distribution.name());
    let (draws, domain) = (distribution.support().name(), variable.domain.name());
    let fitting = fitting(variable, side);
    let title = format!("`{kind}` does not fit the type of `{name}`");
    Diagnostic::error(arrow.span, title)
        .label(format!(
            "draws `{draws}` values, but `{name}` is `{domain}`"
        ))
        .note(variable.span, "declared here")
        .help(fitting)
}

fn explains_observed(variable: &Variable, arrow: &Arrow) -> Diagnostic {
    let name = &variable.name;
    if variable.role == Role::Weight {
        let title = format!("`{name}` is the weight of a row, and cannot have a distribution");
        let help = format!("declare `{name}` as `data`, or remove this factor");
        return Diagnostic::error(arrow.span, title).help(help);
    }
    if variable.role == Role::Given {
        let title = format!("`{name}` is given, and cannot have a distribution");
        let help = format!("declare `{name}` as `data`, or remove this factor");
        return Diagnostic::error(arrow.span, title)
            .label("a `given` variable is only a parent")
            .help(help);
    }
    let title = format!("`{name}` is observed, and cannot be inferred");
    let help = format!("declare `{name}` as a `latent` or a `label`, or remove this factor");
    Diagnostic::error(arrow.span, title)
        .label("`data` variables have factors in `generative` only")
        .help(help)
}

fn not_reparametrised(
    variable: &Variable,
    arrow: &Arrow,
    distribution: &'static dyn Distribution,
) -> Diagnostic {
    let (name, kind) = (&variable.name, distribution.name());
    let title = format!("`{name}` cannot be sampled from `{kind}` in a differentiable way");
    let label = format!("`{kind}` has a density, but no reparametrised sample");
    Diagnostic::error(arrow.span, title)
        .label(label)
        .help(fitting(variable, Side::Inference))
}

fn not_in_radians(
    variable: &Variable,
    arrow: &Arrow,
    distribution: &'static dyn Distribution,
) -> Diagnostic {
    let (name, kind) = (&variable.name, distribution.name());
    let title = format!("`{kind}` takes angles in radians, but `{name}` is standardized");
    Diagnostic::error(arrow.span, title)
        .label("standardized angles are not in radians")
        .note(variable.span, "declared here")
        .help(format!(
            "leave `standardized` out of the declaration of `{name}`"
        ))
}

/// The way out that names the distributions of a variable in a graph.
fn fitting(variable: &Variable, side: Side) -> String {
    let domain = variable.domain;
    let is_drawn = |listed: &&&dyn Distribution| {
        side == Side::Generative || domain == Domain::Class || listed.noise().is_some()
    };
    let fitting = DISTRIBUTIONS.iter().filter(is_drawn);
    let fitting = fitting.filter(|listed| listed.support() == domain);
    let names: Vec<&str> = fitting.map(|listed| listed.name()).collect();
    let (name, values) = (&variable.name, domain.name());
    if names.is_empty() {
        return format!(
            "no distribution of `{values}` values can be sampled in a differentiable way; declare \
             `{name}` as `real` or `class`"
        );
    }
    let inferred = match side {
        Side::Generative => "",
        Side::Inference => " that q can draw",
    };
    format!(
        "distributions of `{values}` values{inferred}: {}",
        names.join(", ")
    )
}
