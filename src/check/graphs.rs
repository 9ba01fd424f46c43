//! The arrows of both graphs: their variables, networks and distributions, and the order that the
//! arrows allow.

use super::{
    context::Checker,
    declarations::Arrows,
    heads,
    networks::{joins_parents, network},
    nodes, priors,
};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    distribution::{self, DISTRIBUTIONS, Distribution, Domain},
    id::Id,
    model::{Cost, Factor, FactorKind, Heads, Network, Role, Side, Variable, factor_of},
    syntax::ast::{self, Arrow, ArrowBody, Call},
};
use petgraph::{algo::tarjan_scc, graph::DiGraph, visit::EdgeRef};
use std::sync::Arc;

/// The factors of p and of q, parents before children.
pub(super) fn check(checker: &mut Checker, arrows: &Arrows) -> (Vec<Factor>, Vec<Factor>) {
    let mut factors: Vec<Factor> = Vec::new();
    for &(side, arrow) in &arrows.written {
        let Some(factor) = factor(checker, side, arrow, arrows) else {
            continue;
        };
        let first = factors.iter().find(|other| {
            other.child == factor.child
                && (other.side == side || matches!(factor.kind, FactorKind::Deterministic(_)))
        });
        if let Some(first) = first {
            let name = &checker.variable(factor.child).name;
            let place = if first.side == side {
                side.name().to_string()
            } else {
                "the two graphs".to_string()
            };
            let diagnostic =
                Diagnostic::error(arrow.span, format!("`{name}` has two factors in `{place}`"))
                    .label("defined again here")
                    .note(first.span, "first defined here")
                    .help("keep one; a child's parents all stand before one arrow");
            checker.report(diagnostic);
            continue;
        }
        factors.push(factor);
    }
    nodes::check(checker, &factors);
    missing(checker, arrows);
    let split = |side: Side| {
        factors
            .iter()
            .filter(|factor| factor.side == side)
            .cloned()
            .collect::<Vec<_>>()
    };
    let (p, q) = (split(Side::Generative), split(Side::Inference));
    // A node of one graph may be read in the other, and then orders it too.
    let nodes = |other: &[Factor]| -> Vec<Factor> {
        other
            .iter()
            .filter(|factor| matches!(factor.kind, FactorKind::Deterministic(_)))
            .cloned()
            .collect()
    };
    let (mut p, q) = (
        order(checker, &p, &nodes(&q)),
        order(checker, &q, &nodes(&p)),
    );
    priors::pseudo_inputs(checker, &mut p, &q);
    (p, q)
}

fn factor(checker: &mut Checker, side: Side, arrow: &Arrow, arrows: &Arrows) -> Option<Factor> {
    let child = checker.lookup(&arrow.child);
    let mut parents: Vec<Id<Variable>> = Vec::new();
    let mut complete = true;
    for name in &arrow.parents {
        let Some(parent) = checker.lookup(name) else {
            complete = false;
            continue;
        };
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
    let child = child?;
    if parents.is_empty() && !complete {
        return None;
    }
    if parents.contains(&child) {
        let title = format!("`{}` is a parent of itself", arrow.child.text);
        let help = format!("remove `{}` from the parents", arrow.child.text);
        checker.report(
            Diagnostic::error(arrow.span, title)
                .label("this arrow is a circle")
                .help(help),
        );
        complete = false;
    }
    let kind = match &arrow.body {
        ArrowBody::Distribution(call) if priors::NAMES.contains(&call.name.text.as_str()) => {
            let inferred = |(side, other): &&(Side, &Arrow)| {
                *side == Side::Inference && other.child.text == arrow.child.text
            };
            let q = arrows
                .written
                .iter()
                .find(inferred)
                .map(|(_, arrow)| *arrow);
            let (distribution, mixture) = priors::mixture(checker, side, arrow, call, q)?;
            supports(checker, side, child, arrow, distribution);
            FactorKind::Distribution {
                distribution,
                heads: Heads::Mixture(mixture),
            }
        }
        ArrowBody::Distribution(call) => {
            distribution_of(checker, side, child, &parents, arrow, call)?
        }
        ArrowBody::Equation(layers) => {
            FactorKind::Deterministic(node(checker, child, &parents, arrow, layers)?)
        }
    };
    let line = checker.line(arrow.span);
    complete.then_some(Factor {
        side,
        child,
        parents,
        kind,
        span: arrow.span,
        line,
    })
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
        let title = format!("`{name}` is a random variable, and `=` makes a deterministic node");
        let help = format!("write `~` and a distribution, or choose a name other than `{name}`");
        checker.report(Diagnostic::error(arrow.span, title).help(help));
        return None;
    }
    let network = network(checker, layers, parents, arrow.span)?;
    if parents.is_empty() {
        let nothing = Diagnostic::error(arrow.span, format!("`{name}` is computed from nothing"));
        checker.report(
            nothing
                .label("expected parents")
                .help("name parents before an arrow"),
        );
        return None;
    }
    if network.layers.is_empty() || !joins_parents(&network, parents) {
        let what = if network.layers.is_empty() {
            "no layer"
        } else {
            "no layer that joins its parents"
        };
        let help = "begin it with `dense(size)`, or with `add` where all have as many features";
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
        .label("not a distribution that dgc knows");
        unknown.help = suggest(
            &call.name.text,
            DISTRIBUTIONS
                .iter()
                .map(|listed| listed.name())
                .chain(priors::NAMES),
        );
        checker.report(unknown);
        return None;
    };
    supports(checker, side, child, arrow, distribution);
    let heads = heads::read(checker, parents, arrow, call, distribution)?;
    Some(FactorKind::Distribution {
        distribution,
        heads,
    })
}

/// That the distribution's values are the variable's, and that a latent of q can be drawn.
fn supports(
    checker: &mut Checker,
    side: Side,
    child: Id<Variable>,
    arrow: &Arrow,
    distribution: &'static dyn Distribution,
) {
    let variable = checker.variable(child).clone();
    let (name, kind) = (&variable.name, distribution.name());
    if variable.role == Role::Node {
        let title = format!("`{name}` is a deterministic node elsewhere, and has no distribution");
        let help = "keep one of the two definitions, or rename one";
        checker.report(
            Diagnostic::error(arrow.span, title)
                .label("a second definition")
                .help(help),
        );
        return;
    }
    if variable.domain != distribution.support() {
        let fitting: Vec<&str> = DISTRIBUTIONS
            .iter()
            .filter(|listed| listed.support() == variable.domain)
            .map(|listed| listed.name())
            .collect();
        let diagnostic = Diagnostic::error(
            arrow.span,
            format!("`{kind}` does not fit the values of `{name}`"),
        )
        .label(format!(
            "draws `{}` values, but `{name}` is `{}`",
            distribution.support().name(),
            variable.domain.name()
        ))
        .note(variable.span, "declared here")
        .help(format!(
            "for `{}` values: {}",
            variable.domain.name(),
            fitting.join(", ")
        ));
        checker.report(diagnostic);
        return;
    }
    if side == Side::Inference && variable.role == Role::Data {
        let title = format!("`{name}` is observed, and cannot be inferred");
        let help = format!(
            "`data` has a factor in `generative` alone; make `{name}` a `latent` or a `label`"
        );
        checker.report(
            Diagnostic::error(arrow.span, title)
                .label("a factor of `data` in `inference`")
                .help(help),
        );
        return;
    }
    if side == Side::Inference && variable.domain != Domain::Class && distribution.noise().is_none()
    {
        let drawn: Vec<&str> = DISTRIBUTIONS
            .iter()
            .filter(|listed| listed.noise().is_some())
            .map(|listed| listed.name())
            .collect();
        let diagnostic = Diagnostic::error(
            arrow.span,
            format!("`{name}` cannot be drawn from `{kind}` in a differentiable way"),
        )
        .label(format!(
            "`{kind}` has a density, but no reparametrised sample"
        ))
        .help(format!("for latents: {}", drawn.join(", ")));
        checker.report(diagnostic);
    }
}

/// Reports variables without the factors that they need.
fn missing(checker: &mut Checker, arrows: &Arrows) {
    let written = |side: Side, variable: &Variable| {
        arrows
            .written
            .iter()
            .any(|(other, arrow)| *other == side && arrow.child.text == variable.name)
    };
    let variables: Vec<Variable> = checker.variables.clone();
    if variables.iter().all(|variable| variable.role != Role::Data) {
        let nothing = Diagnostic::error(
            checker.name,
            "a model without `data` has nothing to learn from",
        );
        checker.report(
            nothing
                .label("observes nothing")
                .help("declare what is observed: `data x: binary[784]`"),
        );
    }
    // A classifier has an inference graph alone.
    let generates = arrows
        .written
        .iter()
        .any(|(side, _)| *side == Side::Generative);
    for variable in &variables {
        let needs: &[Side] = match variable.role {
            Role::Data => &[Side::Generative],
            Role::Latent | Role::Label => &[Side::Generative, Side::Inference],
            Role::Node => &[],
        };
        for &side in needs {
            if written(side, variable)
                || (!generates && side == Side::Generative && variable.role != Role::Latent)
            {
                continue;
            }
            let kind = match variable.role {
                Role::Data => "data variable",
                Role::Label => "label",
                _ => "latent",
            };
            let example = DISTRIBUTIONS
                .iter()
                .find(|listed| listed.support() == variable.domain);
            let example = example.map_or("normal", |listed| listed.name());
            checker.report(
                Diagnostic::error(
                    variable.span,
                    format!(
                        "{kind} `{}` has no factor in `{}`",
                        variable.name,
                        side.name()
                    ),
                )
                .label("declared here")
                .help(format!(
                    "`... -> {} ~ {example}(...)` might be missing",
                    variable.name
                )),
            );
        }
    }
}

/// Parents before children, in the file's order where the graph leaves it open; a circle is
/// reported.
fn order(checker: &mut Checker, factors: &[Factor], also: &[Factor]) -> Vec<Factor> {
    let mut graph: DiGraph<Id<Variable>, Span> = DiGraph::new();
    let nodes: Vec<_> = (0..checker.variables.len())
        .map(|index| graph.add_node(Id::new(index)))
        .collect();
    for factor in factors.iter().chain(also) {
        for parent in &factor.parents {
            graph.add_edge(
                nodes[parent.index()],
                nodes[factor.child.index()],
                factor.span,
            );
        }
    }
    let circles: Vec<_> = tarjan_scc(&graph)
        .into_iter()
        .filter(|component| component.len() > 1)
        .collect();
    for component in &circles {
        let mut names: Vec<String> = component
            .iter()
            .map(|&node| checker.variable(graph[node]).name.clone())
            .collect();
        names.sort();
        let edges = graph.edge_references();
        let within = edges.filter(|edge| {
            component.contains(&edge.source()) && component.contains(&edge.target())
        });
        let mut spans: Vec<Span> = within.map(|edge| *edge.weight()).collect();
        spans.sort_by_key(|span| span.start);
        spans.dedup();
        let mut circle = Diagnostic::error(
            spans[0],
            format!("the arrows among {} form a circle", names.join(", ")),
        )
        .label("one of its arrows")
        .help("a graph orders its variables: remove or turn around one of these arrows");
        for span in &spans[1..] {
            circle = circle.note(*span, "another one");
        }
        checker.report(circle);
    }
    if !circles.is_empty() {
        return factors.to_vec();
    }
    let mut ordered: Vec<Factor> = Vec::new();
    let mut waiting: Vec<&Factor> = factors.iter().chain(also).collect();
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|factor| {
            factor
                .parents
                .iter()
                .all(|parent| waiting.iter().all(|other| other.child != *parent))
        });
        let factor = waiting.remove(ready.unwrap_or(0));
        if factors.iter().any(|listed| std::ptr::eq(listed, factor)) {
            ordered.push(factor.clone());
        }
    }
    ordered
}

/// What is legal and likely wrong.
pub(super) fn lint(checker: &mut Checker, costs: &[Arc<dyn Cost>]) {
    let (p, q) = (&checker.generative.clone(), &checker.inference.clone());
    let matched: Vec<Id<Variable>> = costs.iter().flat_map(|cost| cost.reads()).collect();
    let read = |id: Id<Variable>, factors: &[Factor]| {
        factors.iter().any(|factor| factor.parents.contains(&id))
    };
    for index in 0..checker.variables.len() {
        let (id, variable) = (Id::new(index), checker.variables[index].clone());
        let name = &variable.name;
        if variable.role == Role::Latent
            && !read(id, p)
            && factor_of(p, id).is_some_and(|factor| factor.parents.is_empty())
        {
            let title = format!("latent `{name}` is unused: nothing in `generative` depends on it");
            checker.report(
                Diagnostic::warning(variable.span, title)
                    .label("declared here")
                    .help("make it a parent of the data, or remove it"),
            );
        }
        if variable.role == Role::Node && !read(id, p) && !read(id, q) && !matched.contains(&id) {
            let title = format!("node `{name}` is unused: no arrow begins at it");
            let help = "make it a parent, `match` it, or remove it";
            checker.report(
                Diagnostic::warning(variable.span, title)
                    .label("made here")
                    .help(help),
            );
        }
        if variable.role == Role::Data && !read(id, q) && !q.is_empty() {
            let title = format!("data variable `{name}` is not read in `inference`");
            let help = format!(
                "what is inferred will not depend on `{name}`; name it as a parent there if it should"
            );
            checker.report(
                Diagnostic::warning(variable.span, title)
                    .label("declared here")
                    .help(help),
            );
        }
    }
}
