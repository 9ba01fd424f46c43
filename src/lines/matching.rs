//! `match r to clean h standardized weight 10`: the squared difference between a deterministic node
//! and a target. The target is another node or data, and `clean` takes its value from a pass
//! without noise.

use super::{Block, Draft, Line, LineContext, Reader, reader::real};
use crate::{
    diagnostic::Diagnostic,
    distribution::Domain,
    id::Id,
    model::{
        CostContext, CostRows, CostTerm, Notation, Role, Variable, factor_of, feature_axis_of,
    },
    names::OutputName,
    syntax::ast::Name,
    tensor::Node,
};
use std::{collections::BTreeSet, sync::Arc};

/// weight · mean over rows, samples and features of (node − target)².
#[derive(Debug)]
pub struct Match {
    pub node: Id<Variable>,
    /// A node, or data.
    pub target: Id<Variable>,
    /// Whether the target is computed without noise and dropout.
    pub clean: bool,
    /// Whether the difference of each feature is divided by the target's standard deviation over
    /// the batch.
    pub standardized: bool,
    pub weight: f64,
}

/// Keeps a standardised difference finite for a constant target: batch norm's epsilon.
const EPSILON: f64 = 1e-5;

const KEYWORD: &str = "match";

impl CostTerm for Match {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn subject(&self) -> Id<Variable> {
        self.node
    }

    fn reads(&self) -> Vec<Id<Variable>> {
        vec![self.node, self.target]
    }

    fn clean_reads(&self) -> Vec<Id<Variable>> {
        self.clean.then_some(self.target).into_iter().collect()
    }

    fn rows(&self) -> CostRows {
        CostRows::Unlabelled
    }

    fn formula(&self, notation: &Notation) -> String {
        let (node, target) = (notation.name(self.node), notation.name(self.target));
        let clean = if self.clean { "clean " } else { "" };
        let over = if self.standardized {
            format!(" / var {clean}{target}")
        } else {
            String::new()
        };
        format!(
            "+ {} · {} ({node} − {clean}{target})²{over}",
            self.weight,
            notation.mean_unlabelled()
        )
    }

    fn normalizes_rows(&self) -> bool {
        self.standardized
    }

    fn lower(&self, context: &mut dyn CostContext<'_>) -> Node {
        let model = context.model();
        let name = |id: Id<Variable>| &model.variables[id.index()].name;
        let clean = self.clean.then(|| context.clean_value(self.target));
        context.set_origin(&format!(
            "match of {} to {}",
            name(self.node),
            name(self.target)
        ));
        let found = context.value(self.node);
        let target = clean.unwrap_or_else(|| context.value(self.target));
        let axis = context.features(self.node);
        let graph = context.graph();
        let target_axis = feature_axis_of(graph, target);
        let target = if target_axis == axis {
            target
        } else {
            graph.rename(target, target_axis, axis)
        };
        let difference = graph.sub(found, target);
        let mut square = graph.square(difference);
        if self.standardized {
            let over = graph.axes_of(target).without(axis);
            let mean = graph.mean(target, &over);
            let centred = graph.sub(target, mean);
            let squares = graph.square(centred);
            let variance = graph.mean(squares, &over);
            let variance = graph.shift(variance, EPSILON);
            square = graph.div(square, variance);
        }
        let all = graph.axes_of(square).clone();
        let mean = graph.mean(square, &all);
        context.report(OutputName::metric(self.metric(), name(self.node)), mean);
        context.graph().scale(mean, self.weight)
    }
}

#[derive(Debug)]
pub struct MatchLine;

impl Line for MatchLine {
    fn keyword(&self) -> &'static str {
        KEYWORD
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "match r to clean h weight 10"
    }

    fn summary(&self) -> &'static str {
        "adds the squared difference between a node and another node or data"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let (name, node) = node(reader)?;
        reader.choice(&["to"])?;
        let clean = reader.modifies_variable("clean");
        let (target_name, target) = target(reader)?;
        same_size(reader, (&name, node), (&target_name, target))?;
        reads_no_hidden_class(reader, &name, node)?;
        reads_no_hidden_class(reader, &target_name, target)?;
        let standardized = reader.follows("standardized");
        let weight = reader.weight_of(real(KEYWORD, 0.0, 1e12), &name.text)?;
        draft.objective.costs.push(Arc::new(Match {
            node,
            target,
            clean,
            standardized,
            weight,
        }));
        Some(())
    }
}

fn node(reader: &mut Reader) -> Option<(Name, Id<Variable>)> {
    let (name, node) = reader.variable()?;
    if reader.context.variable(node).role != Role::Node {
        let title = format!("`{}` is not a deterministic node", name.text);
        let help =
            "`match` moves a deterministic node towards its target; `x -> r = body` defines a node";
        reader.report(
            Diagnostic::error(name.span, title)
                .label("expected a node")
                .help(help),
        );
        return None;
    }
    Some((name, node))
}

/// The target of the match.
fn target(reader: &mut Reader) -> Option<(Name, Id<Variable>)> {
    let (name, target) = reader.variable()?;
    let found = reader.context.variable(target);
    if !matches!(found.role, Role::Node | Role::Data) || found.domain == Domain::Class {
        let title = format!("`{}` is neither a node nor continuous data", name.text);
        let help = "match a deterministic node instead: `… -> h = body`";
        reader.report(
            Diagnostic::error(name.span, title)
                .label("expected a node or continuous data")
                .help(help),
        );
        return None;
    }
    if found.missing {
        let title = format!("`{}` has missing values, and cannot be matched", name.text);
        let help = "match a deterministic node instead: `… -> h = body`";
        reader.report(
            Diagnostic::error(name.span, title)
                .label("declared `with missing`")
                .help(help),
        );
        return None;
    }
    Some((name, target))
}

fn same_size(
    reader: &mut Reader,
    (name, node): (&Name, Id<Variable>),
    (target_name, target): (&Name, Id<Variable>),
) -> Option<()> {
    let size = reader.context.variable(node).size();
    let wanted = reader.context.variable(target).size();
    if size == wanted {
        return Some(());
    }
    let title = format!(
        "`{}` and `{}` have different sizes",
        name.text, target_name.text
    );
    let label = format!(
        "`{}` has {size} features, but `{}` has {wanted}",
        name.text, target_name.text
    );
    let help = format!("end the network of `{}` with `dense({wanted})`", name.text);
    reader.report(Diagnostic::error(name.span, title).label(label).help(help));
    None
}

/// Reports a variable that depends on a class variable that is not always observed.
fn reads_no_hidden_class(reader: &mut Reader, name: &Name, id: Id<Variable>) -> Option<()> {
    for read in reads(reader.context, id) {
        let read = reader.context.variable(read);
        if read.domain == Domain::Class && !read.role.is_always_observed() {
            let title = format!(
                "`{}` depends on `{}`, which is not always observed",
                name.text, read.name
            );
            let help = "`match` needs values that depend only on data and continuous latents";
            reader.report(
                Diagnostic::error(name.span, title)
                    .label("cannot be matched")
                    .help(help),
            );
            return None;
        }
    }
    Some(())
}

/// The variables on which a value depends: the variable itself and its ancestors. The search stops
/// at data, which are always observed.
fn reads(context: &dyn LineContext, variable: Id<Variable>) -> BTreeSet<Id<Variable>> {
    let mut open = vec![variable];
    let mut found = BTreeSet::new();
    while let Some(next) = open.pop() {
        if !found.insert(next) || context.variable(next).role.is_always_observed() {
            continue;
        }
        // A latent is drawn by q.
        let inferred = factor_of(context.inference(), next);
        if let Some(factor) = inferred.or_else(|| factor_of(context.generative(), next)) {
            open.extend(&factor.parents);
        }
    }
    found
}
