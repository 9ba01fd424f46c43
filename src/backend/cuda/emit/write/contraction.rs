//! Contractions: by rows, by tiles, and the addition of parts.

use super::{
    super::spec::{AddParts, Operand, Outcome, Parts, Rows, STEP, THREADS, Tiles, Vector},
    epilogue::{self, OF_RESULT, THERE, begin_strips, end_strips, finish},
    operand::{argument, declare},
    rematerialize,
    statements::{Text, each, matrix_place, pointer},
};
use crate::{
    backend::Precision,
    plan::{Contraction, Product},
};

/// The name in `contract.cuh` of a way to multiply.
pub(super) fn kind(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "F32",
        Precision::Tf32 => "Tf32",
        Precision::Bf16 => "Bf16",
    }
}

/// Writes the product of a matrix and a vector, with a warp per row.
pub(super) fn write_rows(text: &mut Text, task: &Rows) {
    let contraction = task.contraction;
    text.line(
        1,
        &format!(
            "Index row = block.x * {}u + threadIdx.x / 32, column = 0;",
            THREADS / 32
        ),
    );
    text.line(1, &format!("if (row < {}u) {{", contraction.m));
    text.line(2, "float sum = 0.0f;");
    for (product, vector) in contraction.products.iter().zip(&task.vectors) {
        write_vector(text, product, vector);
    }
    text.line(2, "sum = warp_reduce<Sum>(sum);");
    text.line(2, "if (threadIdx.x % 32 == 0) {");
    finish(text, 3, contraction, &task.finish, OF_RESULT);
    text.line(2, "}");
    text.line(1, "}");
}

fn write_vector(text: &mut Text, product: &Product, vector: &Vector) {
    let (row, step, k) = (product.left.row_stride, product.right.row_stride, product.k);
    let left = pointer(product.left.buffer);
    match vector {
        Vector::Rematerialized(reader, loops) => {
            text.line(
                2,
                &format!("for (Index along = threadIdx.x % 32; along < {k}u; along += 32) {{"),
            );
            rematerialize::write(text, 3, loops, reader, &["along".to_string()]);
            let (_, variable) = &rematerialize::replacements(loops, reader)[0];
            text.line(
                3,
                &format!("sum = fmaf({left}[row * {row}u + along], {variable}, sum);"),
            );
            text.line(2, "}");
        }
        Vector::Memory => {
            let right = pointer(product.right.buffer);
            text.line(
                2,
                &format!("sum += row_products({left} + row * {row}u, {right}, {step}u, {k}u);"),
            );
        }
    }
}

/// Writes the computation of a tile's sums and their use.
pub(super) fn write_tiles(text: &mut Text, task: &Tiles, precision: Precision) {
    begin_tile(text, task, precision);
    accumulate(text, task);
    // Each thread processes elements of a single column.
    text.line(1, "Index column = threadIdx.x % Tile::N + n0;");
    match &task.outcome {
        Outcome::Whole(whole) => epilogue::write(text, task.contraction, whole),
        Outcome::Parts(_) => write_parts(text, task.contraction),
    }
}

/// Declares the tile of a block and its part of k.
fn begin_tile(text: &mut Text, task: &Tiles, precision: Precision) {
    let (m, n, kind) = (task.shape.m, task.shape.n, kind(precision));
    text.line(1, &format!("using Tile = {kind}<{m}, {n}>;"));
    text.line(1, &format!("Tile::Stage& stage = shared.stage_{m}_{n};"));
    text.line(1, "Tile::Sums sums;");
    text.line(1, "Index m0 = block.y * Tile::M;");
    match &task.outcome {
        Outcome::Parts(Parts { depth, .. }) => {
            let across = task.contraction.n.div_ceil(n);
            text.line(
                1,
                &format!("Index n0 = block.x % {across}u * Tile::N, part = block.x / {across}u;"),
            );
            text.line(
                1,
                &format!("Index from = part * {depth}u, to = from + {depth}u;"),
            );
        }
        Outcome::Whole(_) => text.line(1, "Index n0 = block.x * Tile::N;"),
    }
}

/// Declares the operands, then adds the products.
fn accumulate(text: &mut Text, task: &Tiles) {
    let Contraction { m, n, products, .. } = task.contraction;
    // Vectors are computed before the first barrier.
    let mut vectors = 0;
    for (number, operands) in task.operands.iter().enumerate() {
        let named = || operands.iter().zip(["left", "right"]);
        let (windows, others): (Vec<_>, Vec<_>) =
            named().partition(|(operand, _)| matches!(operand, Operand::Windows(_)));
        for (operand, side) in windows.into_iter().chain(others) {
            declare(text, &format!("{side}{number}"), operand, &mut vectors);
        }
    }
    let mut start = 0;
    for (number, (product, [left, right])) in products.iter().zip(&task.operands).enumerate() {
        let k = product.k;
        let range = match task.outcome {
            Outcome::Whole(_) => format!("0, {k}u"),
            Outcome::Parts(_) => {
                format!("within(from, {start}u, {k}u), within(to, {start}u, {k}u)")
            }
        };
        let [left_along_k, right_along_k] = along_k(product);
        text.line(
            1,
            &format!("accumulate<Tile, {left_along_k}, {right_along_k}>("),
        );
        let left = argument(&format!("left{number}"), left);
        let right = argument(&format!("right{number}"), right);
        text.line(
            2,
            &format!("sums, stage, {left}, {right}, {m}u, {n}u, {range}, m0, n0);"),
        );
        start += k.next_multiple_of(STEP);
    }
}

/// Whether each operand is contiguous along k.
fn along_k(product: &Product) -> [bool; 2] {
    let along = |is_left: bool, stride: usize| match &product.windows {
        // The elements of a window are contiguous.
        Some(windows) if windows.left == is_left => !windows.along_positions,
        _ => stride == 1,
    };
    [
        along(true, product.left.column_stride),
        along(false, product.right.row_stride),
    ]
}

/// Stores partial sums: the first part in the result's place, the others in working memory.
fn write_parts(text: &mut Text, contraction: &Contraction) {
    let (n, count) = (contraction.n, contraction.m * contraction.n);
    begin_strips(text, contraction);
    let pointer = pointer(contraction.out.buffer);
    let place = matrix_place(&contraction.out, "column");
    text.line(
        3,
        &format!("if ({THERE} && part == 0) {pointer}[{place}] = sum;"),
    );
    text.line(
        3,
        &format!("else if ({THERE}) scratch[(part - 1) * {count}u + row * {n}u + column] = sum;"),
    );
    end_strips(text);
}

/// Adds the parts of a contraction.
pub(super) fn write_add_parts(text: &mut Text, task: &AddParts) {
    let contraction = task.contraction;
    let (n, count) = (contraction.n, contraction.m * contraction.n);
    let others = task.parts.count - 1;
    text.line(1, &each(count, THREADS));
    text.line(2, &format!("Index row = i / {n}u, column = i % {n}u;"));
    let pointer = pointer(contraction.out.buffer);
    let place = matrix_place(&contraction.out, "column");
    text.line(2, &format!("float sum = {pointer}[{place}];"));
    let unrolled = if others <= 8 {
        "#pragma unroll"
    } else {
        "#pragma unroll 8"
    };
    text.line(1, unrolled);
    text.line(
        2,
        &format!(
            "for (Index part = 0; part < {others}u; ++part) sum += scratch[part * {count}u + i];"
        ),
    );
    finish(text, 2, contraction, &task.finish, OF_RESULT);
    text.line(1, "}");
}
