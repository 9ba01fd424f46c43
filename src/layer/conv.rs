//! Convolutions and transposed convolutions: a contraction over the channels and the positions in a
//! window.

use super::{
    Argument, Context, Layer, Misfit, Part,
    dense::{term, total},
    flat, image,
    image::{Places, agreed, sides},
};
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Node, Start, Window},
};

/// Each output channel of a pixel is a weighted sum over all channels of the pixels in a window
/// (LeCun et al. 1989).
#[derive(Debug)]
pub struct Conv;

/// Each pixel is spread over a window, with weights for each channel; overlapping windows add up.
#[derive(Debug)]
pub struct ConvTranspose;

const ARGUMENTS: &[Argument] = &[
    Argument::count("channels", None, 1.0),
    Argument::count("kernel", None, 1.0),
    Argument::count("stride", Some(1.0), 1.0),
    Argument::count("padding", Some(0.0), 0.0),
];

fn places(arguments: &[f64]) -> Places {
    Places {
        size: arguments[1] as usize,
        stride: arguments[2] as usize,
        padding: arguments[3] as usize,
    }
}

/// The shape of a convolution's output. `along` maps a side of the input to a side of the output.
fn outputs(
    layer: &str,
    inputs: &[Vec<usize>],
    arguments: &[f64],
    along: &dyn Fn(usize) -> Option<usize>,
) -> Result<Vec<usize>, Misfit> {
    let outputs = sides(layer, inputs)?.into_iter().map(|(height, width)| {
        along(height).zip(along(width)).ok_or_else(|| {
            let Places { size, padding, .. } = places(arguments);
            let padded = if padding > 0 { format!(" with a padding of {padding}") } else { String::new() };
            Misfit {
                why: format!("its window of {size} · {size} does not fit the image of {height} · {width}{padded}"),
                help: "use a smaller kernel, another padding, or fewer layers that shrink the image"
                    .to_string(),
                depends_on_inputs: true,
            }
        })
    });
    let (height, width) = agreed(&outputs.collect::<Result<Vec<_>, _>>()?)?;
    Ok(vec![arguments[0] as usize, height, width])
}

/// The axes of a window, and of the output image: channels, height and width.
fn axes(context: &mut dyn Context, shape: &[usize], size: usize) -> ([Id<Axis>; 2], Vec<Id<Axis>>) {
    let window = ["kernel_height", "kernel_width"]
        .map(|name| context.new_axis(name, size, AxisKind::Window));
    let height = context.new_axis("height", shape[1], AxisKind::Position);
    let width = context.new_axis("width", shape[2], AxisKind::Position);
    (
        window,
        vec![
            context.new_axis("", shape[0], AxisKind::Feature),
            height,
            width,
        ],
    )
}

/// bias + Σ over parts. The term of an image is `image_term`; the term of a vector is one number
/// per channel, the same at all pixels.
fn joined(
    context: &mut dyn Context,
    parts: &[Part],
    out: Id<Axis>,
    image_term: &dyn Fn(&mut dyn Context, &Part) -> Node,
) -> Node {
    let start = |inputs, outputs| Start::HiddenWeight { inputs, outputs };
    let mut terms = vec![context.parameter("bias", &[out], Start::Bias)];
    for part in parts {
        terms.push(if part.is_image() {
            image_term(context, part)
        } else {
            term(context, part, out, &start)
        });
    }
    total(context, terms)
}

/// The parts with the axes of images, before the layer adds its output axes.
fn images(context: &mut dyn Context, parts: &[Part]) -> Vec<Part> {
    parts
        .iter()
        .map(|part| {
            if part.is_image() {
                image(context, part)
            } else {
                flat(context, part)
            }
        })
        .collect()
}

impl Layer for Conv {
    fn name(&self) -> &'static str {
        "conv"
    }

    fn arguments(&self) -> &'static [Argument] {
        ARGUMENTS
    }

    fn outputs(&self, inputs: &[Vec<usize>], arguments: &[f64]) -> Result<Vec<usize>, Misfit> {
        outputs(self.name(), inputs, arguments, &|side| {
            places(arguments).along(side)
        })
    }

    fn joins(&self) -> bool {
        true
    }

    fn weighs_parents(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part {
        let (parts, places) = (images(context, parts), places(arguments));
        let shapes: Vec<Vec<usize>> = parts.iter().map(|part| part.shape.clone()).collect();
        let shape = self
            .outputs(&shapes, arguments)
            .expect("check has seen the shapes");
        let (window, outputs) = axes(context, &shape, places.size);
        let area = places.size * places.size;
        let image_term = |context: &mut dyn Context, part: &Part| {
            let start = Start::HiddenWeight {
                inputs: part.shape[0] * area,
                outputs: shape[0] * area,
            };
            let weight = context.parameter(
                &part.weight(),
                &[outputs[0], part.axes[0], window[0], window[1]],
                start,
            );
            let graph = context.graph();
            let value = part.dense(graph);
            let value = places.read(graph, value, &part.axes[1..], &outputs[1..], &window);
            graph.contract(
                value,
                weight,
                &Axes::from([part.axes[0], window[0], window[1]]),
            )
        };
        let node = joined(context, &parts, outputs[0], &image_term);
        Part::output(node, outputs, shape)
    }
}

impl Layer for ConvTranspose {
    fn name(&self) -> &'static str {
        "conv_transpose"
    }

    fn arguments(&self) -> &'static [Argument] {
        ARGUMENTS
    }

    fn outputs(&self, inputs: &[Vec<usize>], arguments: &[f64]) -> Result<Vec<usize>, Misfit> {
        outputs(self.name(), inputs, arguments, &|side| {
            places(arguments).covered(side)
        })
    }

    fn joins(&self) -> bool {
        true
    }

    fn weighs_parents(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part {
        let (parts, places) = (images(context, parts), places(arguments));
        let shapes: Vec<Vec<usize>> = parts.iter().map(|part| part.shape.clone()).collect();
        let shape = self
            .outputs(&shapes, arguments)
            .expect("check has seen the shapes");
        let (window, outputs) = axes(context, &shape, places.size);
        let area = places.size * places.size;
        let image_term = |context: &mut dyn Context, part: &Part| {
            // The number of windows that cover a pixel.
            let inputs = (part.shape[0] * area).div_ceil(places.stride * places.stride);
            let start = Start::HiddenWeight {
                inputs,
                outputs: shape[0] * area,
            };
            let weight = context.parameter(
                &part.weight(),
                &[part.axes[0], outputs[0], window[0], window[1]],
                start,
            );
            let graph = context.graph();
            let value = part.dense(graph);
            // A kernel of one pixel needs no fold.
            let over = if places.size == 1 {
                Axes::from([part.axes[0], window[0], window[1]])
            } else {
                Axes::from(part.axes[0])
            };
            let value = graph.contract(value, weight, &over);
            places.lay(graph, value, &outputs[1..], &part.axes[1..], &window)
        };
        let node = joined(context, &parts, outputs[0], &image_term);
        Part::output(node, outputs, shape)
    }
}

/// Whether a head on these parts is computed for each pixel, and not by a linear layer: the part is
/// an image as high and wide as the child.
pub fn matches(parts: &[Part], child: &[usize]) -> bool {
    match parts {
        [part] => {
            part.name.is_empty()
                && part.is_image()
                && child.len() == 3
                && part.shape[1..] == child[1..]
        }
        _ => false,
    }
}

/// A linear map between channels, the same at each pixel, with `weight` [out, in, 1, 1]. The result
/// is an image of the given shape, as a vector over `out`.
pub fn pointwise(
    context: &mut dyn Context,
    part: &Part,
    (out, shape): (Id<Axis>, &[usize]),
    start: &dyn Fn(usize, usize) -> Start,
    bias: Start,
) -> Node {
    let part = image(context, part);
    let window =
        ["kernel_height", "kernel_width"].map(|name| context.new_axis(name, 1, AxisKind::Window));
    let channels = context.new_axis("", shape[0], AxisKind::Feature);
    let bias = context.parameter("bias", &[channels], bias);
    let start = start(part.shape[0], shape[0]);
    let weight = context.parameter(
        "weight",
        &[channels, part.axes[0], window[0], window[1]],
        start,
    );
    let graph = context.graph();
    let value = part.dense(graph);
    let sum = graph.contract(
        value,
        weight,
        &Axes::from([part.axes[0], window[0], window[1]]),
    );
    let sum = graph.add(bias, sum);
    let merge = Window::split(graph, out, &[channels, part.axes[1], part.axes[2]]);
    graph.fold(sum, &merge)
}
