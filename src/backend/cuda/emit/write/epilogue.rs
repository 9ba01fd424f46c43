//! Epilogues: stores a contraction's sums, applies a loop to them, and sums the loop's values over rows
//! and columns.

use super::{
    super::{
        nest::result,
        spec::{AddRows, Epilogue, Finish, Fused, THREADS},
    },
    rematerialize,
    statements::{
        Body, Text, each, matrix_place, names, offset, operation, pointer, reduction, start_sums,
        store_or_join, unravel,
    },
};
use crate::plan::{Access, Contraction};

/// The current sum: the condition under which it exists, and the variable of its column.
#[derive(Clone, Copy)]
pub(super) struct Element {
    there: Option<&'static str>,
    column: &'static str,
}

/// Whether a thread's `sum` is inside the result.
pub(super) const THERE: &str = "there";
/// A sum of a tile, which may be outside the result.
const OF_TILE: Element = Element {
    there: Some(THERE),
    column: "own",
};
/// A sum inside the result.
pub(super) const OF_RESULT: Element = Element {
    there: None,
    column: "column",
};

/// Begins the loops over a tile's strips of rows. Rows beyond the last are replaced by the last row
/// instead of a branch, so that loads for several rows overlap.
pub(super) fn begin_strips(text: &mut Text, contraction: &Contraction) {
    let Contraction { m, n, .. } = contraction;
    for line in [
        "#pragma unroll 1",
        "for (int strip = 0; strip < Tile::M / Tile::STRIP; ++strip) {",
        "    keep<Tile>(sums, stage, strip);",
        "#pragma unroll 4",
        "    for (int turn = 0; turn < Tile::STRIP * Tile::N / THREADS; ++turn) {",
        "        Index down = threadIdx.x / Tile::N + turn * (THREADS / Tile::N), row = strip * Tile::STRIP + down + m0;",
    ] {
        text.line(if line.starts_with('#') { 0 } else { 1 }, line);
    }
    text.line(3, &format!("bool {THERE} = row < {m}u && column < {n}u;"));
    text.line(3, &format!("row = row < {m}u ? row : {}u;", m - 1));
    text.line(3, "float sum = stage.out[down][threadIdx.x % Tile::N];");
}

/// Ends both loops that [`begin_strips`] began.
pub(super) fn end_strips(text: &mut Text) {
    text.line(2, "}");
    text.line(1, "}");
}

/// Writes the use of a complete tile by its block.
pub(super) fn write(text: &mut Text, contraction: &Contraction, epilogue: &Epilogue) {
    let n = contraction.n;
    // Columns beyond the last are replaced by the last column.
    text.line(
        1,
        &format!("Index own = column < {n}u ? column : {}u;", n - 1),
    );
    let fused = epilogue.finish.fused.as_ref();
    if let Some(fused) = fused {
        begin_columns(text, fused);
    }
    begin_strips(text, contraction);
    if let Some(fused) = fused {
        // All lanes of a warp take part in adding a row.
        start_sums(text, 3, fused.nest, &fused.rows);
    }
    finish(text, 3, contraction, &epilogue.finish, OF_TILE);
    if let Some(fused) = fused {
        row_sums(text, contraction, fused, epilogue);
    }
    end_strips(text);
    for &number in fused.iter().flat_map(|fused| &fused.columns) {
        column_sum(text, contraction, epilogue, number);
    }
}

/// Writes the setup loops for a thread's column, and declares the variables of the column's sums.
fn begin_columns(text: &mut Text, fused: &Fused) {
    if !fused.rematerialized.is_empty() {
        let names = names(fused.nest.sizes.len());
        unravel_columns(text, 1, "own", fused, &names);
        rematerialize::write(text, 1, &fused.rematerialized, fused.nest, &names);
    }
    start_sums(text, 1, fused.nest, &fused.columns);
}

fn unravel_rows(text: &mut Text, depth: usize, count: &str, fused: &Fused, names: &[String]) {
    let rows = fused.row_axes;
    unravel(
        text,
        depth,
        count,
        &names[..rows],
        &fused.nest.sizes[..rows],
    );
}

fn unravel_columns(text: &mut Text, depth: usize, count: &str, fused: &Fused, names: &[String]) {
    let rows = fused.row_axes;
    unravel(
        text,
        depth,
        count,
        &names[rows..],
        &fused.nest.sizes[rows..],
    );
}

/// Adds the parts of a sum of columns over the threads of a block, and stores the sum.
fn column_sum(text: &mut Text, contraction: &Contraction, epilogue: &Epilogue, number: usize) {
    let Some(fused) = &epilogue.finish.fused else {
        return;
    };
    let (kind, access) = reduction(fused.nest, number);
    let operation = operation(kind);
    text.line(
        1,
        &format!("s{number} = column_reduce<{operation}, Tile::N>(s{number}, shared.columns);"),
    );
    let names = names(access.strides.len());
    text.line(
        1,
        &format!(
            "if (threadIdx.x < Tile::N && column < {}u) {{",
            contraction.n
        ),
    );
    unravel_columns(text, 2, "column", fused, &names);
    let within = Access {
        partial: 0,
        ..access.clone()
    };
    text.line(
        2,
        &format!(
            "{}[block.y * {}u + {}] = s{number};",
            pointer(access.buffer),
            access.partial,
            offset(&within, &names)
        ),
    );
    text.line(1, "}");
}

/// Adds the parts of a row over the lanes of a warp. For rows of up to 32 columns, this is the sum.
fn row_sums(text: &mut Text, contraction: &Contraction, fused: &Fused, epilogue: &Epilogue) {
    let m = contraction.m;
    for (position, &number) in fused.rows.iter().enumerate() {
        let operation = operation(reduction(fused.nest, number).0);
        text.line(
            3,
            &format!("s{number} = warp_reduce<{operation}>(s{number});"),
        );
        let first = format!("if (threadIdx.x % 32 == 0 && {THERE})");
        match &epilogue.row_parts {
            None => {
                text.line(3, &format!("{first} {{"));
                store_row(text, 4, fused, number, "row");
                text.line(3, "}");
            }
            Some(parts) => {
                let begin = position * parts.groups * m;
                text.line(
                    3,
                    &format!("{first} scratch[{begin}u + column / 32 * {m}u + row] = s{number};"),
                );
            }
        }
    }
}

/// Stores the complete sum of the row with the given index variable.
fn store_row(text: &mut Text, depth: usize, fused: &Fused, number: usize, row: &str) {
    let access = result(fused.nest, number);
    let names = names(access.strides.len());
    unravel_rows(text, depth, row, fused, &names);
    text.line(
        depth,
        &format!(
            "{}[{}] = s{number};",
            pointer(access.buffer),
            offset(access, &names)
        ),
    );
}

/// Adds the parts of sums of rows.
pub(super) fn write_add_rows(text: &mut Text, task: &AddRows) {
    let (m, fused, groups) = (task.contraction.m, &task.fused, task.parts.groups);
    text.line(1, &each(m, THREADS));
    for (position, &number) in fused.rows.iter().enumerate() {
        let operation = operation(reduction(fused.nest, number).0);
        let begin = position * groups * m;
        text.line(2, &format!("float s{number} = scratch[{begin}u + i];"));
        text.line(
            2,
            &format!("for (Index part = 1; part < {groups}u; ++part) {{"),
        );
        text.line(
            3,
            &format!(
                "s{number} = {operation}::join(s{number}, scratch[{begin}u + part * {m}u + i]);"
            ),
        );
        text.line(2, "}");
        text.line(2, "{");
        store_row(text, 3, fused, number, "i");
        text.line(2, "}");
    }
    text.line(1, "}");
}

/// Stores the `sum` at `row` and `column`, and applies the fused loop to it.
pub(super) fn finish(
    text: &mut Text,
    depth: usize,
    contraction: &Contraction,
    finish: &Finish,
    element: Element,
) {
    let condition = element
        .there
        .map_or(String::new(), |there| format!("if ({there}) "));
    if finish.stored {
        let pointer = pointer(contraction.out.buffer);
        let place = matrix_place(&contraction.out, element.column);
        text.line(depth, &format!("{condition}{pointer}[{place}] = sum;"));
    }
    let Some(fused) = &finish.fused else {
        return;
    };
    let names = names(fused.nest.sizes.len());
    unravel_rows(text, depth, "row", fused, &names);
    unravel_columns(text, depth, element.column, fused, &names);
    let mut replacements = rematerialize::replacements(&fused.rematerialized, fused.nest);
    replacements.push((fused.reads.clone(), "sum".to_string()));
    let body = Body {
        nest: fused.nest,
        sinks: &fused.sinks(),
        names: &names,
        replacements: &replacements,
    };
    body.write(text, depth, &mut |text, number, sink| {
        store_or_join(text, depth, number, sink, &names, element.there);
    });
}
