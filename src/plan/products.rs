//! Contractions as products of matrices in buffers.

use super::{
    Contraction, Matrix, Product, Tile, Windows,
    buffers::Buffers,
    contraction::{self, Operand, Shape},
    layout::layout,
    values::{ItemId, Kind, OperandView, ProductOperands},
};
use crate::{
    id::Id,
    tensor::{Axis, AxisKind},
};

/// The matrix products of a contraction. The operand with the tile axis makes the rows.
pub(super) fn write(buffers: &Buffers, id: ItemId, tile: Tile) -> Contraction {
    let domains = &buffers.domains;
    let Kind::Products(products) = &domains.items.get(id).kind else {
        unreachable!("a contraction has products")
    };
    let out = layout(domains.graph, domains.items, id);
    let mut result: Option<Contraction> = None;
    for ProductOperands { left, right, .. } in products {
        let swap = !domains.operand_axes(left).contains(tile.axis);
        let (left, right) = if swap { (right, left) } else { (left, right) };
        let operands = [operand(buffers, left), operand(buffers, right)];
        let shape = contraction::shape(domains.graph, &out, &operands[0], &operands[1])
            .unwrap_or_else(|| panic!("no matrix product: {out:?} = {operands:?}"));
        let m = domains.elements(&shape.rows);
        let contraction = result.get_or_insert_with(|| Contraction {
            out: matrix(buffers, id, shape.out),
            m,
            n: domains.elements(&shape.columns),
            rows_per_index: m / tile.length,
            products: Vec::new(),
        });
        contraction.products.push(Product {
            k: domains.elements(&shape.summed),
            left: matrix(buffers, left.item, shape.left),
            right: matrix(buffers, right.item, shape.right),
            windows: windows(buffers, (left, right), &operands, &shape),
        });
    }
    result.expect("a contraction has products")
}

/// How an operand lies in memory.
fn operand(buffers: &Buffers, view: &OperandView) -> Operand {
    let domains = &buffers.domains;
    let layout: Option<contraction::Layout> = layout(domains.graph, domains.items, view.item)
        .into_iter()
        .map(|axis| view.reader_axis(axis))
        .collect();
    layout.map_or_else(
        || Operand::Windowed(domains.operand_axes(view)),
        Operand::Strided,
    )
}

/// An item's buffer as a matrix, by its row and column strides.
fn matrix(buffers: &Buffers, item: ItemId, (row_stride, column_stride): (usize, usize)) -> Matrix {
    Matrix {
        buffer: buffers.id(item),
        row_stride,
        column_stride,
    }
}

/// The windows through which one of the operands is read, if one is.
fn windows(
    buffers: &Buffers,
    (left, right): (&OperandView, &OperandView),
    operands: &[Operand; 2],
    shape: &Shape,
) -> Option<Windows> {
    let (is_left, view, rows, columns) = match operands {
        [Operand::Windowed(_), _] => (true, left, &shape.rows, &shape.summed),
        [_, Operand::Windowed(_)] => (false, right, &shape.summed, &shape.columns),
        _ => return None,
    };
    let domains = &buffers.domains;
    let sizes = |axes: &[Id<Axis>]| axes.iter().map(|&axis| domains.size(axis)).collect();
    let is_position = |axis: &Id<Axis>| domains.graph.axis(*axis).kind <= AxisKind::Position;
    Some(Windows {
        left: is_left,
        along_positions: shape.summed.iter().all(is_position),
        rows: sizes(rows),
        columns: sizes(columns),
        access: buffers.access(view, &[rows.as_slice(), columns].concat(), 0),
    })
}
