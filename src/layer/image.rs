//! Conversion between images and vectors. The features of a vector are ordered by channel, then
//! row, then column.
//!
//! The channels of an image are innermost in memory. Variables and vectors have the order of files.

use super::{Context, Misfit, Part};
use crate::{
    id::Id,
    tensor::{Axis, AxisKind, Graph, Node, Window},
};

/// The part with axes for channels, height and width. The part must hold an image.
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

/// The part with a single axis.
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

/// The windows along one side of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    pub size: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Places {
    /// The number of windows along a side of that length.
    pub fn along(self, side: usize) -> Option<usize> {
        Some((side + 2 * self.padding).checked_sub(self.size)? / self.stride + 1)
    }

    /// The number of pixels, without padding, that a number of windows covers along a side.
    pub fn covered(self, windows: usize) -> Option<usize> {
        ((windows - 1) * self.stride + self.size)
            .checked_sub(2 * self.padding)
            .filter(|&side| side > 0)
    }

    /// Whether each window is one pixel.
    fn are_pixels(self) -> bool {
        (self.size, self.stride, self.padding) == (1, 1, 0)
    }

    /// The pixel at a position in a window, along one side.
    fn window(self, side: Id<Axis>, window: Id<Axis>, place: Id<Axis>) -> Window {
        let terms = vec![(window, self.stride as isize), (place, 1)];
        Window {
            axis: side,
            terms,
            offset: -(self.padding as isize),
            divisor: 1,
        }
    }

    /// An image as windows. Each slice has the axes for height and width: `sides` of the image,
    /// `windows`, and `places` within a window.
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

    /// The transpose of [`Places::read`]: adds windows up to an image.
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

/// The heights and widths of all images among the inputs of a layer, or a misfit if there are none.
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
        why: format!("it needs an image, not {}", found.join(" and ")),
        help: format!(
            "begin with an image: `dense(channels, height, width) > {layer}(…)`, or data such as `x: binary[28, 28]`"
        ),
        depends_on_inputs: true,
    })
}

/// The height and width that all images share.
pub(super) fn agreed(sides: &[(usize, usize)]) -> Result<(usize, usize), Misfit> {
    match sides.iter().find(|side| **side != sides[0]) {
        None => Ok(sides[0]),
        Some(other) => Err(Misfit {
            why: format!(
                "its inputs give images of {} · {} and of {} · {}",
                sides[0].0, sides[0].1, other.0, other.1
            ),
            help: "use inputs of one image size, or join them with a `dense` layer".to_string(),
            depends_on_inputs: true,
        }),
    }
}
