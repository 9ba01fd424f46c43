//! Lowers networks: the layers of a factor, and the heads on top.

use super::builder::Builder;
use crate::{
    distribution::{Domain, HeadExtent, HeadRange, HeadSpec, LOG_BOUND, Shared},
    layer::{self, Context, Part},
    model::{LayerUse, Role, Variable},
    tensor::{Axes, AxisKind, Node, Scalar, Start},
};

/// Applies layers to the values that a factor reads. The result is one part, or a part for each parent
/// if no layer joins them. Parameters are named `PREFIX.LAYER.NAME`.
pub(super) fn layers(
    builder: &mut Builder,
    prefix: &str,
    layers: &[LayerUse],
    parts: &mut Vec<Part>,
) {
    for layer in layers {
        if !layer.inner.is_empty() {
            residual(builder, prefix, layer, parts);
            continue;
        }
        let mut context = builder.layer(format!("{prefix}.{}", layer.name));
        if layer.layer.joins() {
            *parts = vec![layer.layer.forward(&mut context, &layer.arguments, parts)];
            continue;
        }
        // Until a layer joins the parents, layers apply to each of them.
        for part in parts.iter_mut().filter(|part| !part.is_mask) {
            let input = std::slice::from_ref(part);
            let output = layer.layer.forward(&mut context, &layer.arguments, input);
            *part = Part {
                name: std::mem::take(&mut part.name),
                ..output
            };
        }
    }
}

/// A residual block: its input is added to the output of its layers.
fn residual(builder: &mut Builder, prefix: &str, block: &LayerUse, parts: &mut Vec<Part>) {
    let inputs = parts.clone();
    layers(builder, prefix, &block.inner, parts);
    for (part, mut input) in parts.iter_mut().zip(inputs) {
        if part.axes.len() != input.axes.len() {
            let mut context = builder.layer(prefix);
            (*part, input) = (
                layer::image(&mut context, part),
                layer::image(&mut context, &input),
            );
        }
        // The output's axes are renamed to the input's, so that the two can be added.
        let output = part.dense(builder.graph);
        let axes = part.axes.iter().zip(&input.axes);
        let output = axes.fold(output, |output, (from, to)| {
            builder.graph.rename(output, *from, *to)
        });
        let outer = input.dense(builder.graph);
        *part = input.with(builder.graph.add(outer, output));
    }
}

/// A linear head of a variable's distribution on the output of its network, clamped to its range.
/// `prefix` is the factor's name, such as `p.x`.
pub(super) fn linear_head(
    builder: &mut Builder,
    prefix: &str,
    variable: &Variable,
    head: &HeadSpec,
    parts: &[Part],
) -> Node {
    if head.extent == HeadExtent::Single {
        let value = single_head(builder, prefix, head, parts);
        return clamp_head(builder, head, value);
    }
    let out = builder.feature_axis(variable);
    let is_latent = variable.role == Role::Latent && variable.domain != Domain::Class;
    let shape = layer::features(&variable.shape);
    let start = |inputs, outputs| match is_latent {
        true => Start::LatentHeadWeight { inputs, outputs },
        false => Start::DataHeadWeight { inputs, outputs },
    };
    let bias = if is_latent {
        Start::LatentHeadBias
    } else {
        Start::Bias
    };
    let mut context = builder.layer(format!("{prefix}.{}", head.name));
    let value = match layer::matches(parts, &shape) {
        true => layer::pointwise(&mut context, &parts[0], (out, &shape), &start, bias),
        false => layer::linear(&mut context, parts, out, &start, bias),
    };
    clamp_head(builder, head, value)
}

/// A head that is one number of each row: a linear layer with one output and without a bias.
fn single_head(builder: &mut Builder, prefix: &str, head: &HeadSpec, parts: &[Part]) -> Node {
    let start = |inputs, outputs| Start::DataHeadWeight { inputs, outputs };
    let mut context = builder.layer(format!("{prefix}.{}", head.name));
    let out = context.new_axis("", 1, AxisKind::Feature);
    let value = layer::weighted(&mut context, parts, out, &start);
    builder.graph.sum(value, &Axes::from(out))
}

/// The parameters of a factor that are the same for all rows, each over an axis of its own.
pub(super) fn shared(builder: &mut Builder, prefix: &str, shared: &[Shared]) -> Vec<Node> {
    let mut context = builder.layer(prefix);
    let parameter = |shared: &Shared| {
        let axis = context.new_axis(shared.name, shared.size, AxisKind::Feature);
        context.parameter(shared.name, &[axis], Start::Constant(shared.start))
    };
    shared.iter().map(parameter).collect()
}

/// A learned head, clamped to its range. NaN stays NaN.
pub(super) fn clamp_head(builder: &mut Builder, head: &HeadSpec, value: Node) -> Node {
    match head.range {
        HeadRange::Unbounded => value,
        HeadRange::Log => {
            let bound = builder.graph.constant(LOG_BOUND);
            builder.graph.scalar(Scalar::Clamp, &[value, bound])
        }
    }
}
