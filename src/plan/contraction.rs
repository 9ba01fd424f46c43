//! Contractions as matrix products: which axes make the rows, the columns and the sum, and whether
//! each group lies side by side in memory.

use super::layout::canonical;
use crate::{
    id::Id,
    tensor::{Axes, Axis, Graph},
};

/// An array's axes in memory order, outermost first, by the reader's names.
pub(super) type Layout = Vec<Id<Axis>>;

/// An operand of a contraction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// An array that strides describe.
    Strided(Layout),
    /// A value that is read through windows, which has no strides.
    Windowed(Axes),
}

impl Operand {
    fn contains(&self, axis: Id<Axis>) -> bool {
        match self {
            Operand::Strided(layout) => layout.contains(&axis),
            Operand::Windowed(axes) => axes.contains(axis),
        }
    }
}

/// The axes and strides of left[m, k] · right[k, n] = out[m, n].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub rows: Layout,
    pub columns: Layout,
    pub summed: Layout,
    /// Row and column strides of out, left and right; those of an operand that is read through
    /// windows are 0.
    pub out: (usize, usize),
    pub left: (usize, usize),
    pub right: (usize, usize),
}

/// The product with `left`'s free axes as rows. None if the axes of a group do not lie side by side in
/// both arrays.
pub(super) fn shape(graph: &Graph, out: &Layout, left: &Operand, right: &Operand) -> Option<Shape> {
    let rows: Vec<_> = out
        .iter()
        .copied()
        .filter(|axis| left.contains(*axis))
        .collect();
    let columns: Vec<_> = out
        .iter()
        .copied()
        .filter(|axis| right.contains(*axis))
        .collect();
    let both_have = |axes: &[Id<Axis>]| -> Layout {
        axes.iter()
            .copied()
            .filter(|axis| left.contains(*axis) && right.contains(*axis))
            .collect()
    };
    let summed = match (left, right) {
        (Operand::Strided(layout), _) | (_, Operand::Strided(layout)) => both_have(layout),
        (Operand::Windowed(axes), _) => both_have(&canonical(graph, axes.iter())),
    };
    if rows.iter().any(|axis| columns.contains(axis)) || rows.len() + columns.len() != out.len() {
        return None;
    }
    let within = |group: &[Id<Axis>], operand: &Operand| match operand {
        Operand::Strided(layout) => merged(graph, group, layout),
        Operand::Windowed(_) => Some(0),
    };
    Some(Shape {
        out: (merged(graph, &rows, out)?, merged(graph, &columns, out)?),
        left: (within(&rows, left)?, within(&summed, left)?),
        right: (within(&summed, right)?, within(&columns, right)?),
        rows,
        columns,
        summed,
    })
}

/// The stride of a group of axes that are walked as one axis, in the group's order.
fn merged(graph: &Graph, group: &[Id<Axis>], layout: &Layout) -> Option<usize> {
    let sizes = |axis: &Id<Axis>| graph.axis(*axis).size;
    let stride = |axis: &Id<Axis>| {
        let position = layout.iter().position(|other| other == axis)?;
        Some(layout[position + 1..].iter().map(sizes).product::<usize>())
    };
    for pair in group.windows(2) {
        if stride(&pair[0])? != stride(&pair[1])? * sizes(&pair[1]) {
            return None;
        }
    }
    group.last().map_or(Some(0), stride)
}
