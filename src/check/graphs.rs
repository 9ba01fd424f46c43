//! Checks both graphs: missing and duplicate factors, cycles, and unused variables. Sorts the
//! factors topologically.

use super::{context::Checker, declarations::Arrows, factors::factor, nodes, priors};
use crate::{
    diagnostic::{Diagnostic, Span},
    distribution::{DISTRIBUTIONS, Domain},
    id::Id,
    model::{CostTerm, Factor, FactorKind, Role, Side, Variable, factor_of},
};
use petgraph::{
    algo::tarjan_scc,
    graph::{DiGraph, NodeIndex},
    visit::EdgeRef,
};
use std::{collections::BTreeSet, sync::Arc};

/// The factors of p and of q, parents before children.
pub(super) fn check(checker: &mut Checker, arrows: &Arrows) -> (Vec<Factor>, Vec<Factor>) {
    let mut factors: Vec<Factor> = Vec::new();
    for &(side, arrow) in &arrows.written {
        if checker.is_full() {
            return (Vec::new(), Vec::new());
        }
        let Some(factor) = factor(checker, side, arrow, arrows) else {
            continue;
        };
        let first = factors.iter().find(|other| {
            other.child == factor.child
                && (other.side == side || matches!(factor.kind, FactorKind::Deterministic(_)))
        });
        if let Some(first) = first {
            let name = &checker.variable(factor.child).name;
            let title = if first.side == side {
                format!("`{name}` has two factors in `{}`", side.name())
            } else {
                format!("node `{name}` is defined in both graphs")
            };
            let diagnostic = Diagnostic::error(arrow.span, title)
                .label("defined again here")
                .note(first.span, "first defined here")
                .help("keep one; write all parents of a child before a single arrow");
            checker.report(diagnostic);
            continue;
        }
        factors.push(factor);
    }
    if checker.is_full() {
        return (Vec::new(), Vec::new());
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
    // A node of one graph may be read in the other, so it takes part in the order of both.
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

/// Reports variables without the factors that they need.
fn missing(checker: &mut Checker, arrows: &Arrows) {
    let variables: Vec<Variable> = checker.variables.clone();
    if variables.iter().all(|variable| variable.role != Role::Data) {
        let title = "the model has no `data` variable";
        checker.report(
            Diagnostic::error(checker.name, title)
                .label("nothing is observed")
                .help("declare an observed variable: `data x: binary[784]`"),
        );
    }
    // A classifier has only an inference graph.
    let mut written = arrows.written.iter();
    let generates = written.any(|(side, _)| *side == Side::Generative);
    for variable in &variables {
        let sides: &[Side] = match variable.role {
            Role::Data => &[Side::Generative],
            Role::Label | Role::Latent => &[Side::Generative, Side::Inference],
            Role::Given | Role::Weight | Role::Node => &[],
        };
        for &side in sides {
            let has_factor = arrows.written.iter().any(|(written_side, arrow)| {
                *written_side == side && arrow.child.text == variable.name
            });
            let classifies =
                !generates && side == Side::Generative && variable.role != Role::Latent;
            if !has_factor && !classifies {
                checker.report(lacks_factor(variable, side, generates));
            }
        }
    }
}

fn lacks_factor(variable: &Variable, side: Side, generates: bool) -> Diagnostic {
    let name = &variable.name;
    let role = match variable.role {
        Role::Data => "data variable",
        role => role.name(),
    };
    let mut fitting = DISTRIBUTIONS.iter();
    let fitting = fitting.find(|listed| listed.support() == variable.domain);
    let fitting = fitting.map_or("normal", |listed| listed.name());
    let title = format!("{role} `{name}` has no factor in `{}`", side.name());
    // A latent or a label often has a prior without parents.
    let is_prior = side == Side::Generative && variable.role != Role::Data;
    let example = match variable.domain {
        Domain::Class if is_prior => format!("{name} ~ uniform"),
        Domain::Real if is_prior => format!("{name} ~ normal(0, 1)"),
        _ => format!("... -> {name} ~ {fitting}(...)"),
    };
    let help = if side == Side::Generative && !generates {
        format!(
            "a latent needs a `generative` block with `{example}` and the factors of the data; a \
             classifier has none, so remove `{name}`"
        )
    } else {
        format!("`{example}` might be missing")
    };
    Diagnostic::error(variable.span, title)
        .label("declared here")
        .help(help)
}

/// The factors with parents before children, and otherwise in source order. Reports cycles. The
/// factors of `also` constrain the order, but are not returned.
fn order(checker: &mut Checker, factors: &[Factor], also: &[Factor]) -> Vec<Factor> {
    let cycles = cycles(checker, factors, also);
    if !cycles.is_empty() {
        cycles.into_iter().for_each(|cycle| checker.report(cycle));
        return factors.to_vec();
    }
    let mut ordered: Vec<Factor> = Vec::new();
    let mut waiting: Vec<&Factor> = factors.iter().chain(also).collect();
    let mut children: BTreeSet<Id<Variable>> = waiting.iter().map(|factor| factor.child).collect();
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|factor| {
            let mut parents = factor.parents.iter();
            parents.all(|parent| !children.contains(parent))
        });
        let factor = waiting.remove(ready.unwrap_or(0));
        children.remove(&factor.child);
        if factors.iter().any(|listed| std::ptr::eq(listed, factor)) {
            ordered.push(factor.clone());
        }
    }
    ordered
}

/// A diagnostic for each cycle of arrows.
fn cycles(checker: &Checker, factors: &[Factor], also: &[Factor]) -> Vec<Diagnostic> {
    let mut graph: DiGraph<Id<Variable>, Span> = DiGraph::new();
    let nodes: Vec<_> = (0..checker.variables.len())
        .map(|index| graph.add_node(Id::new(index)))
        .collect();
    for factor in factors.iter().chain(also) {
        for parent in &factor.parents {
            let (from, to) = (nodes[parent.index()], nodes[factor.child.index()]);
            graph.add_edge(from, to, factor.span);
        }
    }
    let mut components = tarjan_scc(&graph);
    components.retain(|component| component.len() > 1);
    let cycle = |component: Vec<NodeIndex>| {
        let mut names: Vec<&str> = component
            .iter()
            .map(|&node| checker.variable(graph[node]).name.as_str())
            .collect();
        names.sort_unstable();
        let edges = graph.edge_references();
        let within = edges.filter(|edge| {
            component.contains(&edge.source()) && component.contains(&edge.target())
        });
        let mut spans: Vec<Span> = within.map(|edge| *edge.weight()).collect();
        spans.sort_by_key(|span| span.start);
        spans.dedup();
        let title = format!("the arrows among {} form a cycle", names.join(", "));
        let cycle = Diagnostic::error(spans[0], title)
            .label("an arrow of the cycle")
            .help("a graph must be acyclic: remove or reverse one of these arrows");
        let others = spans[1..].iter();
        others.fold(cycle, |cycle, span| {
            cycle.note(*span, "another arrow of the cycle")
        })
    };
    components.into_iter().map(cycle).collect()
}

/// Warns about variables that are declared but not used.
pub(super) fn lint(checker: &mut Checker, costs: &[Arc<dyn CostTerm>]) {
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
            let title = format!("node `{name}` is unused: nothing depends on it");
            let help = "make it a parent, name it in a `match` line, or remove it";
            checker.report(
                Diagnostic::warning(variable.span, title)
                    .label("defined here")
                    .help(help),
            );
        }
        if variable.role == Role::Given && !read(id, p) && !read(id, q) {
            let title = format!("given variable `{name}` is unused: nothing depends on it");
            checker.report(
                Diagnostic::warning(variable.span, title)
                    .label("declared here")
                    .help("make it a parent, or remove it"),
            );
        }
        if variable.role == Role::Data && !read(id, q) && !q.is_empty() {
            let title = format!("data variable `{name}` is not read in `inference`");
            let help = format!(
                "the inferred variables do not depend on `{name}`; add it as a parent there if they should"
            );
            checker.report(
                Diagnostic::warning(variable.span, title)
                    .label("declared here")
                    .help(help),
            );
        }
    }
}
