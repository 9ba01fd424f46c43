//! The shapes of what networks make, layer by layer, from those of their parents.

use super::{Factor, FactorKind, LayerUse, Network, Variable, check::Checker, heads};
use crate::{
    diagnostic::{Diagnostic, Span},
    id::Id,
    layer::{self, shape_text},
};
use std::collections::BTreeSet;

/// Gives each deterministic node the shape of its network's last layer, and reports layers that do
/// not fit.
pub(super) fn check(checker: &mut Checker, factors: &[Factor]) {
    let node = |factor: &&Factor| matches!(factor.kind, FactorKind::Deterministic(_));
    let (mut open, others): (Vec<&Factor>, Vec<&Factor>) = factors.iter().partition(node);
    let mut unknown: BTreeSet<Id<Variable>> = open.iter().map(|factor| factor.child).collect();
    // Nodes after those that they read; what is left over is in a circle, or reads what has no
    // shape.
    while let Some(next) = open.iter().position(|factor| {
        factor
            .parents
            .iter()
            .all(|parent| !unknown.contains(parent))
    }) {
        let factor = open.remove(next);
        let FactorKind::Deterministic(network) = &factor.kind else {
            unreachable!("it is a node")
        };
        if let Some([shape]) = fits(checker, network, &factor.parents, factor.span).as_deref() {
            checker.variables[factor.child.index()].shape = shape.clone();
            unknown.remove(&factor.child);
        }
    }
    for factor in others.into_iter().filter(|factor| {
        factor
            .parents
            .iter()
            .all(|parent| !unknown.contains(parent))
    }) {
        if let FactorKind::Distribution {
            distribution,
            heads,
        } = &factor.kind
        {
            heads::check(checker, factor, *distribution, heads);
        }
    }
}

/// The shapes that a network makes; none where a layer does not fit, which is reported.
pub(super) fn fits(
    checker: &mut Checker,
    network: &Network,
    parents: &[Id<Variable>],
    arrow: Span,
) -> Option<Vec<Vec<usize>>> {
    let mut made = None;
    let shapes = parents
        .iter()
        .map(|&parent| layer::features(&checker.variable(parent).shape));
    let shapes = shapes.collect();
    // What is wrong whatever the parents are is told once.
    let misfit = walk(&network.layers, None).err();
    let misfit = misfit.or_else(|| match walk(&network.layers, Some(shapes)) {
        Ok(found) => {
            made = found;
            None
        }
        Err(misfit) => Some(misfit.note(arrow, "in the network of this arrow")),
    });
    misfit.into_iter().for_each(|misfit| checker.report(misfit));
    made
}

/// Reports what is wrong whatever the parents are.
pub(super) fn examine(checker: &mut Checker, layers: &[LayerUse]) {
    if let Err(misfit) = walk(layers, None) {
        checker.report(misfit);
    }
}

/// The shapes after the layers, from those of the parents, or of the parts that they were joined
/// to; none where they are unknown.
fn walk(
    layers: &[LayerUse],
    mut parts: Option<Vec<Vec<usize>>>,
) -> Result<Option<Vec<Vec<usize>>>, Diagnostic> {
    for used in layers {
        if !used.inner.is_empty() {
            let inner = walk(&used.inner, parts.clone())?;
            if let (Some(outer), Some(inner)) = (&parts, &inner)
                && outer != inner
            {
                let text = |shapes: &[Vec<usize>]| shape_text(&shapes[0]);
                let title = "a residual block must give back as many features as it takes";
                let differs = Diagnostic::error(used.span, title);
                let help = match outer[0].as_slice() {
                    [size] => format!("end it with `dense({size})`"),
                    [channels, ..] => format!(
                        "end it with {channels} channels, and pad its convolutions: `conv({channels}, 3, padding = 1)`"
                    ),
                    [] => unreachable!("a shape has numbers"),
                };
                return Err(differs
                    .label(format!("takes {}, gives {}", text(outer), text(inner)))
                    .help(help));
            }
            continue;
        }
        let made = match (&parts, used.layer.joins()) {
            (Some(parts), true) => used
                .layer
                .outputs(parts, &used.arguments)
                .map(|made| Some(vec![made])),
            (Some(parts), false) => {
                let each = parts.iter().map(|part| {
                    used.layer
                        .outputs(std::slice::from_ref(part), &used.arguments)
                });
                each.collect::<Result<Vec<_>, _>>().map(Some)
            }
            (None, true) => match used.layer.outputs(&[], &used.arguments) {
                Err(misfit) if !misfit.of_inputs => Err(misfit),
                made => Ok(made.ok().map(|made| vec![made])),
            },
            (None, false) => Ok(None),
        };
        parts = made.map_err(|misfit| {
            let title = format!("`{}` does not fit what it is given", used.layer.name());
            Diagnostic::error(used.span, title)
                .label(misfit.why)
                .help(misfit.help)
        })?;
    }
    Ok(parts)
}
