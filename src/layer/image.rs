//! Images and vectors: a vector's features are an image's channels, in each its rows, in each its
//! columns.
//!
//! An image in memory has its channels innermost; a variable, and a vector, are as files hold them.

use super::{Context, Misfit, Part};
use crate::{
    id::Id,
    tensor::{Axis, AxisKind, Graph, Node, Window},
};

/// The part with axes for channels, height and width; it holds an image.
pub fn image(context: &mut dyn Context, part: &Part) -> Part {
    let [axis] = part.axes[..] else {
        return part.clone();
    };
    let graph = context.graph();
    let value = part.dense(graph);
    let name = graph.axis(axis).name.clone();
    let mut along = |suffix: &str, at: usize, kind| {
        let name = format!("{name}.{suffix}");
        graph.new_axis(Axis {
            name,
            size: part.shape[at],
            kind,
        })
    };
    let (height, width) = (
        along("height", 1, AxisKind::Position),
        along("width", 2, AxisKind::Position),
    );
    let axes = vec![along("channel", 0, AxisKind::Feature), height, width];
    let split = Window::split(graph, axis, &axes);
    Part {
        axes,
        ..part.with(graph.window(value, &split))
    }
}

/// The part with one axis.
pub fn flat(context: &mut dyn Context, part: &Part) -> Part {
    let [channel, ..] = part.axes[..] else {
        unreachable!("a part has features")
    };
    if part.axes.len() == 1 {
        return part.clone();
    }
    let graph = context.graph();
    let name = format!("{}.flat", graph.axis(channel).name);
    let size = part.shape.iter().product();
    let axis = graph.new_axis(Axis {
        name,
        size,
        kind: AxisKind::Feature,
    });
    let merge = Window::split(graph, axis, &part.axes);
    let value = part.dense(graph);
    Part {
        axes: vec![axis],
        ..part.with(graph.fold(value, &merge))
    }
}

/// The places of a window along one side of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub size: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Places {
    /// Windows along a side of that length.
    pub fn along(self, side: usize) -> Option<usize> {
        Some((side + 2 * self.padding).checked_sub(self.size)? / self.stride + 1)
    }

    /// Pixels along a side that so many windows cover, without the padding.
    pub fn covered(self, windows: usize) -> Option<usize> {
        ((windows - 1) * self.stride + self.size)
            .checked_sub(2 * self.padding)
            .filter(|&side| side > 0)
    }

    /// Whether each pixel is a window.
    fn are_pixels(self) -> bool {
        (self.size, self.stride, self.padding) == (1, 1, 0)
    }

    /// The pixel of a window's place along one side.
    fn window(self, side: Id<Axis>, window: Id<Axis>, place: Id<Axis>) -> Window {
        let terms = vec![(window, self.stride as isize), (place, 1)];
        Window {
            axis: side,
            terms,
            offset: -(self.padding as isize),
            divisor: 1,
        }
    }

    /// An image as windows, for both sides: those of the image, the windows and their places.
    pub fn read(
        self,
        graph: &mut Graph,
        image: Node,
        sides: &[Id<Axis>],
        windows: &[Id<Axis>],
        places: &[Id<Axis>],
    ) -> Node {
        // Width first, so that in the gradient height comes first.
        [1, 0]
            .into_iter()
            .fold(image, |image, side| match self.are_pixels() {
                true => graph.rename(image, sides[side], windows[side]),
                false => graph.window(
                    image,
                    &self.window(sides[side], windows[side], places[side]),
                ),
            })
    }

    /// The transpose: windows laid down over an image.
    pub fn lay(
        self,
        graph: &mut Graph,
        laid: Node,
        sides: &[Id<Axis>],
        windows: &[Id<Axis>],
        places: &[Id<Axis>],
    ) -> Node {
        (0..2).fold(laid, |laid, side| match self.are_pixels() {
            true => graph.rename(laid, windows[side], sides[side]),
            false => graph.fold(laid, &self.window(sides[side], windows[side], places[side])),
        })
    }
}

/// That there is an image among what goes into a layer; the heights and widths of all that are.
pub(super) fn sides(layer: &str, inputs: &[Vec<usize>]) -> Result<Vec<(usize, usize)>, Misfit> {
    let sides: Vec<(usize, usize)> = inputs
        .iter()
        .filter(|shape| shape.len() == 3)
        .map(|shape| (shape[1], shape[2]))
        .collect();
    if !sides.is_empty() {
        return Ok(sides);
    }
    let found: Vec<String> = inputs
        .iter()
        .map(|shape| format!("a vector of {}", shape[0]))
        .collect();
    Err(Misfit {
        why: format!("it is given {}, and needs an image", found.join(" and ")),
        help: format!(
            "begin with an image: `dense(channels, height, width) > {layer}(…)`, or data such as `x: binary[28, 28]`"
        ),
        of_inputs: true,
    })
}

/// The side that all images make.
pub(super) fn agreed(sides: &[(usize, usize)]) -> Result<(usize, usize), Misfit> {
    match sides.iter().find(|side| **side != sides[0]) {
        None => Ok(sides[0]),
        Some(other) => Err(Misfit {
            why: format!(
                "its parents make images of {} · {} and of {} · {}",
                sides[0].0, sides[0].1, other.0, other.1
            ),
            help: "give it images of one size, or let a `dense` layer join them".to_string(),
            of_inputs: true,
        }),
    }
}
