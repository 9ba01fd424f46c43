//! Contractions as functions, with the loop that follows applied to their sums.

use super::{
    Body, Emitter, Piece,
    loops::{instructions, names, unravel},
};
use crate::plan::{Access, Contraction, Instruction, Loop, Matrix};

/// Rows and columns of a block's tile, as in `contract.cuh`.
const TILE: usize = 64;

/// How many of a loop's axes, outermost first, make the rows of a matrix of `m` rows.
fn row_axes(nest: &Loop, m: usize) -> Option<usize> {
    (0..=nest.sizes.len()).find(|&count| nest.sizes[..count].iter().product::<usize>() == m)
}

/// How a loop reads the contraction's result, if it has the rows' axes, then the columns'.
fn reads(contraction: &Contraction, nest: &Loop) -> Option<Access> {
    let (rows, out) = (row_axes(nest, contraction.m)?, &contraction.out);
    let mut strides = vec![0; nest.sizes.len()];
    for (range, unit) in [(0..rows, out.row_stride), (rows..nest.sizes.len(), out.column_stride)] {
        let mut below = unit;
        for axis in range.rev() {
            strides[axis] = below;
            below *= nest.sizes[axis];
        }
    }
    Some(Access { buffer: out.buffer, strides, partial: 0 })
}

/// Whether a loop can be applied to the sums of a contraction in registers: over its elements, each on its own.
pub(super) fn fits(contraction: &Contraction, nest: &Loop) -> bool {
    let Some(access) = reads(contraction, nest) else { return false };
    nest.elements() == contraction.m * contraction.n
        && nest.instructions.iter().all(|instruction| match instruction {
            Instruction::Reduce { .. } => false,
            Instruction::Load(load) => load.buffer != contraction.out.buffer || *load == access,
            _ => true,
        })
}

impl Emitter<'_> {
    pub(super) fn contraction(&self, name: &str, contraction: &Contraction, fused: Option<&Loop>) -> Piece {
        let Contraction { m, n, out, .. } = contraction;
        let mut body = Body::default();
        body.line(1, "__shared__ Stage stage;");
        body.line(1, "float sums[4][4] = {};");
        body.line(1, &format!("Index m0 = blockIdx.y * {TILE}, n0 = blockIdx.x * {TILE};"));
        let operand = |body: &mut Body, matrix: &Matrix| {
            let pointer = body.reads(matrix.buffer);
            format!("Operand{{{pointer}, {}u, {}u}}", matrix.row_stride, matrix.column_stride)
        };
        for product in &contraction.products {
            let (left, right) = (operand(&mut body, &product.left), operand(&mut body, &product.right));
            let (left_along_k, right_along_k) = (product.left.column_stride == 1, product.right.row_stride == 1);
            let k = product.k;
            body.line(
                1,
                &format!(
                    "accumulate<{left_along_k}, {right_along_k}>(sums, stage, {left}, {right}, {m}, {n}, {k}, m0, n0);"
                ),
            );
        }
        body.line(1, "stage.keep(sums);");
        body.line(1, "#pragma unroll 1");
        body.line(1, "for (Index element = threadIdx.x; element < TILE * TILE; element += THREADS) {");
        body.line(2, "Index row = m0 + element / TILE, column = n0 + element % TILE;");
        body.line(2, &format!("if (row >= {m} || column >= {n}) continue;"));
        body.line(2, "float sum = stage.out[element / TILE][element % TILE];");
        let pointer = body.writes(out.buffer);
        body.line(2, &format!("{pointer}[row * {}u + column * {}u] = sum;", out.row_stride, out.column_stride));
        if let Some((nest, access)) = fused.and_then(|nest| Some((nest, reads(contraction, nest)?))) {
            let rows = row_axes(nest, *m).unwrap_or(0);
            let names = names(nest.sizes.len());
            unravel(&mut body, 2, "row", &names[..rows], &nest.sizes[..rows], &|_| true);
            unravel(&mut body, 2, "column", &names[rows..], &nest.sizes[rows..], &|_| true);
            let sinks: Vec<usize> = (0..nest.instructions.len()).collect();
            instructions(&mut body, 2, nest, &sinks, &names, Some((&access, "sum")), &mut |_, _, _| {});
        }
        body.line(1, "}");
        let name_of = |matrix: &Matrix| self.plan.buffer(matrix.buffer).name.clone();
        let terms: Vec<String> = contraction
            .products
            .iter()
            .map(|product| format!("{} · {} over {}", name_of(&product.left), name_of(&product.right), product.k))
            .collect();
        let comment = format!("{}[{m}, {n}] = {}", name_of(out), terms.join(" + "));
        let blocks = (n.div_ceil(TILE), m.div_ceil(TILE));
        Piece { name: name.to_string(), comment, body, blocks, work: usize::MAX / 2 }
    }
}
