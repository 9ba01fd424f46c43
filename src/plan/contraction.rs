//! Contractions as matrix products: which axes make rows, columns and sums, and whether they lie so that they can.

use crate::{
    id::Id,
    tensor::{Axis, Graph},
};

/// An array's axes, outermost first, as they are called where it is used.
pub(super) type Layout = Vec<Id<Axis>>;

/// The extents and strides of left[m, k] · right[k, n] = out[m, n].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    /// Row and column strides of out, left and right.
    pub out: (usize, usize),
    pub left: (usize, usize),
    pub right: (usize, usize),
}

/// The product with `left`'s free axes as rows; none where the axes of a group do not lie side by side in both arrays.
pub(super) fn shape(graph: &Graph, out: &Layout, left: &Layout, right: &Layout) -> Option<Shape> {
    let rows: Vec<_> = out.iter().copied().filter(|axis| left.contains(axis)).collect();
    let columns: Vec<_> = out.iter().copied().filter(|axis| right.contains(axis)).collect();
    let summed: Vec<_> = left.iter().copied().filter(|axis| right.contains(axis)).collect();
    if rows.iter().any(|axis| columns.contains(axis)) || rows.len() + columns.len() != out.len() {
        return None;
    }
    let size = |axes: &[Id<Axis>]| axes.iter().map(|&axis| graph.axis(axis).size).product();
    let both = |group: &[Id<Axis>], a: &Layout, b: &Layout| Some((merged(graph, group, a)?, merged(graph, group, b)?));
    let (out_row, left_row) = both(&rows, out, left)?;
    let (out_column, right_column) = both(&columns, out, right)?;
    let (left_sum, right_sum) = both(&summed, left, right)?;
    Some(Shape {
        m: size(&rows),
        n: size(&columns),
        k: size(&summed),
        out: (out_row, out_column),
        left: (left_row, left_sum),
        right: (right_sum, right_column),
    })
}

/// The stride of a group of axes walked as one, in the group's order.
fn merged(graph: &Graph, group: &[Id<Axis>], layout: &Layout) -> Option<usize> {
    let sizes = |axis: &Id<Axis>| graph.axis(*axis).size;
    let stride = |axis: &Id<Axis>| {
        let position = layout.iter().position(|known| known == axis)?;
        Some(layout[position + 1..].iter().map(sizes).product::<usize>())
    };
    for pair in group.windows(2) {
        if stride(&pair[0])? != stride(&pair[1])? * sizes(&pair[1]) {
            return None;
        }
    }
    group.last().map_or(Some(0), stride)
}
