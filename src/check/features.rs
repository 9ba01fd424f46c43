//! Computes the output shapes of networks, layer by layer.

use super::{context::Checker, declarations::too_large};
use crate::{
    diagnostic::{Diagnostic, Span},
    id::Id,
    layer::{self, shape_text},
    model::{LayerUse, Network, Variable},
};

/// The output shapes of a network. Reports a layer that does not fit its inputs, and then returns
/// `None`.
pub(super) fn fits(
    checker: &mut Checker,
    network: &Network,
    parents: &[Id<Variable>],
    arrow: Span,
) -> Option<Vec<Vec<usize>>> {
    let mut outputs = None;
    let mut shapes = Vec::new();
    for &parent in parents {
        let parent = checker.variable(parent);
        let shape = layer::features(&parent.shape);
        shapes.extend(parent.has_mask().then(|| shape.clone()));
        shapes.push(shape);
    }
    // A mistake that does not depend on the parents is reported without a note on the arrow, so
    // that repeated reports of one net are equal, and merged.
    let misfit = walk(&network.layers, None).err();
    let misfit = misfit.or_else(|| match walk(&network.layers, Some(shapes)) {
        Ok(found) => {
            outputs = found;
            None
        }
        Err(misfit) => Some(misfit.note(arrow, "in the network of this arrow")),
    });
    misfit.into_iter().for_each(|misfit| checker.report(misfit));
    outputs
}

/// Reports the mistakes in layers that do not depend on the parents.
pub(super) fn examine(checker: &mut Checker, layers: &[LayerUse]) {
    if let Err(misfit) = walk(layers, None) {
        checker.report(misfit);
    }
}

/// The shapes after the layers, given the shapes of the parents; one shape once a layer has joined
/// them. `None` means that the shapes are unknown.
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
                let title = "a residual block must output as many features as it takes";
                let differs = Diagnostic::error(used.span, title);
                let help = match outer[0].as_slice() {
                    [size] => format!("end it with `dense({size})`"),
                    [channels, ..] => format!(
                        "end it with {channels} channels, and pad its convolutions: `conv({channels}, 3, padding = 1)`"
                    ),
                    [] => unreachable!("a shape has numbers"),
                };
                return Err(differs
                    .label(format!(
                        "takes {}, but outputs {}",
                        text(outer),
                        text(inner)
                    ))
                    .help(help));
            }
            continue;
        }
        let outputs = match (&parts, used.layer.joins()) {
            (Some(parts), true) => used
                .layer
                .outputs(parts, &used.arguments)
                .map(|output| Some(vec![output])),
            (Some(parts), false) => {
                let each = parts.iter().map(|part| {
                    used.layer
                        .outputs(std::slice::from_ref(part), &used.arguments)
                });
                each.collect::<Result<Vec<_>, _>>().map(Some)
            }
            (None, true) => match used.layer.outputs(&[], &used.arguments) {
                Err(misfit) if !misfit.depends_on_inputs => Err(misfit),
                outputs => Ok(outputs.ok().map(|output| vec![output])),
            },
            (None, false) => Ok(None),
        };
        parts = outputs.map_err(|misfit| {
            let title = format!("`{}` does not fit its inputs", used.layer.name());
            Diagnostic::error(used.span, title)
                .label(misfit.why)
                .help(misfit.help)
        })?;
        let large = parts
            .iter()
            .flatten()
            .find_map(|part| too_large(part, &format!("the output of `{}`", used.layer.name())));
        if let Some(title) = large {
            let large = Diagnostic::error(used.span, title).label("this layer");
            return Err(large.help("reduce its sizes, or those of earlier layers"));
        }
    }
    Ok(parts)
}
