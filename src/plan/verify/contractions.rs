//! Contractions: invariants 6, 8 and 12.

use super::{
    accesses::{self, block, covers, in_bounds, written_once},
    check::{
        Check, MOST_AXES, MOST_ELEMENTS, MOST_WORK, PlanError, ensure, entry, product, reach, sum,
    },
    hazards::{CONTRACTION, Footprint, Hazards, Moment, PACK},
};
use crate::plan::{Buffer, Contraction, Matrix, Plan, Product, Tile, Windows};

pub(super) fn verify(
    plan: &Plan,
    contraction: &Contraction,
    tile: Tile,
    hazards: &mut Hazards,
) -> Check {
    let Contraction {
        out,
        m,
        n,
        rows_per_index,
        products,
    } = contraction;
    let rows = product([tile.length, *rows_per_index], MOST_ELEMENTS)?;
    ensure(*m == rows, "rows along the tile axis", || {
        format!("{m} for {rows}")
    })?;
    let elements = product([*m, *n], MOST_ELEMENTS)?;
    ensure(!products.is_empty(), "a product", || "none".to_string())?;
    let depth = sum(products.iter().map(|product| Some(product.k)))?;
    product([elements, depth], MOST_WORK)?;
    verify_positions(products)?;
    for factor in products {
        verify_product(plan, contraction, factor, tile, hazards)?;
    }
    let buffer = verify_matrix(plan, out, *m, *n)?;
    let written = written_once([(*m, out.row_stride), (*n, out.column_stride)].into_iter());
    written
        .and_then(|written| covers(buffer, written))
        .map_err(|error| error.about(&buffer.name))?;
    let inner = reach(*n, out.column_stride);
    let footprint = match out.row_stride.checked_mul(*rows_per_index) {
        Some(floats) if inner.is_some_and(|inner| inner < out.row_stride) => {
            Footprint::Block(floats)
        }
        _ => Footprint::Whole,
    };
    hazards.write(out.buffer, CONTRACTION, footprint, None)
}

/// Verifies that a matrix lies within its buffer, which is returned.
fn verify_matrix<'p>(
    plan: &'p Plan,
    matrix: &Matrix,
    rows: usize,
    columns: usize,
) -> Check<&'p Buffer> {
    let buffer = entry(&plan.buffers, matrix.buffer, "buffers")?;
    product([rows, columns], MOST_ELEMENTS)?;
    let last = sum([
        reach(rows, matrix.row_stride),
        reach(columns, matrix.column_stride),
    ]);
    last.and_then(|last| in_bounds(buffer, last))
        .map_err(|error| error.about(&buffer.name))?;
    Ok(buffer)
}

/// Verifies that all products are sums along positions of windows on the same side, or none is.
fn verify_positions(products: &[Product]) -> Check {
    let side = |product: &Product| {
        let windows = product.windows.as_ref()?;
        windows.along_positions.then_some(windows.left)
    };
    let alike = products
        .windows(2)
        .all(|pair| side(&pair[0]) == side(&pair[1]));
    ensure(
        alike,
        "sums along positions apart from other products",
        || "both in a contraction".to_string(),
    )
}

fn verify_product(
    plan: &Plan,
    contraction: &Contraction,
    factor: &Product,
    tile: Tile,
    hazards: &mut Hazards,
) -> Check {
    let Product {
        k,
        left,
        right,
        windows,
    } = factor;
    let through = |left: bool| windows.as_ref().filter(|windows| windows.left == left);
    let early = windows
        .as_ref()
        .is_some_and(|windows| windows.along_positions);
    for (is_left, matrix, rows, columns) in [
        (true, left, contraction.m, *k),
        (false, right, *k, contraction.n),
    ] {
        let block = match through(is_left) {
            Some(windows) => verify_windows(plan, windows, matrix, rows, columns, tile)?,
            None => {
                let buffer = verify_matrix(plan, matrix, rows, columns)?;
                let moves = (rows == 1 || matrix.row_stride > 0)
                    && (columns == 1 || matrix.column_stride > 0);
                ensure(moves, "strides above 0 of an operand", || "0".to_string())
                    .map_err(|error| error.about(&buffer.name))?;
                rows_block(matrix, contraction.rows_per_index, columns)
            }
        };
        let (moment, footprint): (Moment, Footprint) = match is_left && !early {
            true => (CONTRACTION, Footprint::of_block(block)),
            false => (PACK, Footprint::Whole),
        };
        hazards.read(matrix.buffer, moment, footprint, None)?;
    }
    Ok(())
}

/// The floats for each index of the tile axis, if its rows are adjacent.
fn rows_block(matrix: &Matrix, rows: usize, columns: usize) -> Option<usize> {
    let inner = sum([
        reach(rows, matrix.row_stride),
        reach(columns, matrix.column_stride),
    ]);
    let floats = rows.checked_mul(matrix.row_stride)?;
    inner.ok().filter(|inner| *inner < floats).map(|_| floats)
}

/// Verifies a matrix that is read through windows. Returns the floats for each index of the tile axis,
/// if a tile reads only those of its indices.
fn verify_windows(
    plan: &Plan,
    windows: &Windows,
    matrix: &Matrix,
    rows: usize,
    columns: usize,
    tile: Tile,
) -> Check<Option<usize>> {
    ensure(
        windows.access.buffer == matrix.buffer,
        "windows of the operand",
        || "another buffer".to_string(),
    )?;
    let sizes = [windows.rows.as_slice(), &windows.columns].concat();
    ensure(sizes.len() <= MOST_AXES, "few axes of a matrix", || {
        sizes.len().to_string()
    })?;
    let count = |sizes: &[usize]| product(sizes.iter().copied(), MOST_ELEMENTS);
    let found = (count(&windows.rows)?, count(&windows.columns)?);
    ensure(
        found == (rows, columns),
        "windows with the rows and columns of the matrix",
        || format!("{} by {} for {rows} by {columns}", found.0, found.1),
    )?;
    let buffer = accesses::verify(plan, &sizes, &windows.access)?;
    ensure(windows.access.partial == 0, "no partial result", || {
        "one".to_string()
    })
    .map_err(|error: PlanError| error.about(&buffer.name))?;
    let by_tile = windows.rows.first() == Some(&tile.length);
    Ok(block(&sizes, &windows.access).filter(|_| by_tile))
}
