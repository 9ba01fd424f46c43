//! Contractions as functions, with the loop that follows applied to their sums.

use super::{
    Body, Emitter, Piece, THREADS,
    heads::Heads,
    loops::{instructions, names, store, unravel},
};
use crate::{
    backend::Precision,
    id::Id,
    plan::{Access, Buffer, Contraction, Instruction, Kernel, Loop, Matrix, Place, Product},
};

/// A size of tile that `contract.cuh` can make, and what it is for.
struct Tile {
    m: usize,
    n: usize,
    /// Columns of the result at most.
    widest: usize,
    /// Blocks that it must keep busy, or a smaller tile does better.
    blocks: usize,
}

/// Multiprocessors of the GPU that the choices are made for, an H100.
const MULTIPROCESSORS: usize = 132;

/// The first that suits is taken.
const TILES: [Tile; 5] = [
    // Logits of a few classes: of a wider tile most columns would be empty.
    Tile { m: 64, n: 16, widest: 16, blocks: 0 },
    // Each number in shared memory is multiplied 128 times, the most that registers hold sums for; if every multiprocessor has one.
    Tile { m: 128, n: 128, widest: usize::MAX, blocks: MULTIPROCESSORS },
    // Half as many sums of a thread, for results that are not as large.
    Tile { m: 128, n: 64, widest: usize::MAX, blocks: MULTIPROCESSORS },
    // A thousand rows of 500 features are 128 tiles, and weights of 500 by 500 are 64, which split-K makes 128 of.
    Tile { m: 64, n: 64, widest: usize::MAX, blocks: MULTIPROCESSORS / 2 - 2 },
    // A hundred rows of 500 features are 64 tiles, where 64 by 64 would be 16: what they lose by reading more is less than what
    // idle multiprocessors lose.
    Tile { m: 32, n: 32, widest: usize::MAX, blocks: 0 },
];

/// What a split of k has of it at least: enough to be worth a second function, which adds the parts.
const LEAST_DEPTH: usize = 512;
/// A split begins at a multiple of this: DEPTH of every tile divides it.
const STEP: usize = 32;

/// How a contraction is made.
enum Way {
    /// A vector: a warp for each row. It reads the matrix once, and tensor cores could do nothing for it.
    Rows,
    /// By tiles, k in so many parts of so much.
    Tiles { tile: &'static Tile, parts: usize, depth: usize },
}

fn way(contraction: &Contraction) -> Way {
    let Contraction { m, n, products, .. } = contraction;
    if *n == 1 && products.iter().all(|product| product.left.column_stride == 1) {
        return Way::Rows;
    }
    let blocks = |tile: &Tile| m.div_ceil(tile.m) * n.div_ceil(tile.n);
    let suits = |tile: &&Tile| *n <= tile.widest && blocks(tile) >= tile.blocks;
    let tile = TILES.iter().find(suits).expect("the last tile suits everything");
    let depth: usize = products.iter().map(|product| product.k.next_multiple_of(STEP)).sum();
    let parts = (MULTIPROCESSORS / blocks(tile)).min(depth / LEAST_DEPTH).max(1);
    let each = depth.div_ceil(parts).next_multiple_of(STEP);
    Way::Tiles { tile, parts: depth.div_ceil(each).max(1), depth: each }
}

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

/// Whether a kernel reads a buffer, but for that loop.
fn uses(kernel: &Kernel, buffer: Id<Buffer>, but: &Loop) -> bool {
    let products = kernel.contraction.iter().flat_map(|contraction| &contraction.products);
    let mut operands = products.flat_map(|product| [&product.left, &product.right]);
    let loops = [&kernel.head, &kernel.before, &kernel.after].into_iter().flatten();
    let mut loaded = loops.filter(|nest| !std::ptr::eq(*nest, but)).flat_map(|nest| &nest.instructions);
    operands.any(|matrix| matrix.buffer == buffer)
        || loaded.any(|instruction| matches!(instruction, Instruction::Load(access) if access.buffer == buffer))
}

impl Emitter<'_> {
    /// The functions of a contraction: one, or two if k is split.
    pub(super) fn contraction(
        &self,
        name: &str,
        contraction: &Contraction,
        fused: Option<&Loop>,
        heads: &[Loop],
    ) -> Vec<Piece> {
        let Contraction { m, n, out, products, .. } = contraction;
        let name_of = |matrix: &Matrix| self.plan.buffer(matrix.buffer).name.clone();
        let terms: Vec<String> = products
            .iter()
            .map(|product| format!("{} · {} over {}", name_of(&product.left), name_of(&product.right), product.k))
            .collect();
        let comment = format!("{}[{m}, {n}] = {}", name_of(out), terms.join(" + "));
        // Whole functions are not worth the trouble of joining.
        let piece = |name: &str, body: Body, blocks: (usize, usize), comment: &str| {
            let comment = comment.to_string();
            Piece { name: name.to_string(), comment, body, blocks, work: usize::MAX / 2 }
        };
        let (tile, parts, depth) = match way(contraction) {
            Way::Rows => {
                let body = self.rows(contraction, fused, heads);
                return vec![piece(name, body, (m.div_ceil(THREADS / 32), 1), &comment)];
            }
            Way::Tiles { tile, parts, depth } => (tile, parts, depth),
        };
        let blocks = (n.div_ceil(tile.n) * parts, m.div_ceil(tile.m));
        if parts == 1 {
            let mut body = self.sums(contraction, tile, None);
            self.finish(&mut body, 3, contraction, fused);
            body.text += "        }\n    }\n";
            return vec![piece(name, body, blocks, &comment)];
        }
        // The first part of the sums goes to the result's own place, the others to working memory.
        let (count, others) = (m * n, parts - 1);
        let mut body = self.sums(contraction, tile, Some(depth));
        body.scratch = Some((name.to_string(), count * others));
        let pointer = body.writes(out.buffer, count);
        let place = place(out);
        body.line(3, &format!("if (part == 0) {pointer}[{place}] = sum;"));
        body.line(3, &format!("else scratch[(part - 1) * {count}u + row * {n}u + column] = sum;"));
        body.text += "        }\n    }\n";
        let mut last = Body { scratch: body.scratch.clone(), ..Body::default() };
        last.line(1, &super::loops::each(count, THREADS));
        last.line(2, &format!("Index row = i / {n}u, column = i % {n}u;"));
        let pointer = last.reads(out.buffer, count);
        last.line(2, &format!("float sum = {pointer}[{place}];"));
        let ahead = if others <= 8 { "#pragma unroll" } else { "#pragma unroll 8" };
        last.line(1, ahead);
        last.line(2, &format!("for (Index part = 0; part < {others}u; ++part) sum += scratch[part * {count}u + i];"));
        self.finish(&mut last, 2, contraction, fused);
        last.line(1, "}");
        let elements = (count.div_ceil(THREADS).min(super::loops::MOST_BLOCKS), 1);
        let sum = format!("{}: the {parts} parts of the sums, in order", name_of(out));
        vec![
            piece(&format!("{name}_parts"), body, blocks, &format!("{comment}, k in {parts} parts of {depth}")),
            Piece { work: count, ..piece(name, last, elements, &sum) },
        ]
    }

    /// A function's beginning: sums of a tile, up to where `sum` is the one at `row` and `column`. Parts of k are `depth` long.
    fn sums(&self, contraction: &Contraction, tile: &Tile, depth: Option<usize>) -> Body {
        let Contraction { m, n, products, .. } = contraction;
        let mut body = Body::default();
        let kind = match self.precision {
            Precision::F32 => "F32",
            Precision::Tf32 => "Tf32",
            Precision::Bf16 => "Bf16",
        };
        body.line(1, &format!("using Tile = {kind}<{}, {}>;", tile.m, tile.n));
        body.shared.insert(format!("{kind}<{}, {}>::Stage stage_{}_{}", tile.m, tile.n, tile.m, tile.n));
        body.line(1, &format!("Tile::Stage& stage = shared.stage_{}_{};", tile.m, tile.n));
        body.line(1, "Tile::Sums sums;");
        body.line(1, "Index m0 = block.y * Tile::M;");
        if let Some(depth) = depth {
            let across = n.div_ceil(tile.n);
            body.line(1, &format!("Index n0 = block.x % {across}u * Tile::N, part = block.x / {across}u;"));
            body.line(1, &format!("Index from = part * {depth}u, to = from + {depth}u;"));
        } else {
            body.line(1, "Index n0 = block.x * Tile::N;");
        }
        let mut start = 0;
        for product in products {
            let left = body.reads(product.left.buffer, m * product.k);
            let left = format!("{{{left}, {}u, {}u}}", product.left.row_stride, product.left.column_stride);
            let right = body.reads(product.right.buffer, n * product.k);
            let right = format!("{{{right}, {}u, {}u}}", product.right.column_stride, product.right.row_stride);
            let along_k = (product.left.column_stride == 1, product.right.row_stride == 1);
            let k = product.k;
            let range = match depth {
                None => format!("0, {k}u"),
                Some(_) => format!("within(from, {start}u, {k}u), within(to, {start}u, {k}u)"),
            };
            body.line(1, &format!("accumulate<Tile, {}, {}>(", along_k.0, along_k.1));
            body.line(2, &format!("sums, stage, {left}, {right}, {m}u, {n}u, {range}, m0, n0);"));
            start += k.next_multiple_of(STEP);
        }
        for line in [
            "#pragma unroll 1",
            "for (int strip = 0; strip < Tile::M / Tile::STRIP; ++strip) {",
            "    keep<Tile>(sums, stage, strip);",
            "#pragma unroll 1",
            "    for (Index element = threadIdx.x; element < Tile::STRIP * Tile::N; element += THREADS) {",
            "        Index row = strip * Tile::STRIP + element / Tile::N + m0, column = element % Tile::N + n0;",
        ] {
            body.line(if line.starts_with('#') { 0 } else { 1 }, line);
        }
        body.line(3, &format!("if (row >= {m}u || column >= {n}u) continue;"));
        body.line(3, "float sum = stage.out[element / Tile::N][element % Tile::N];");
        body
    }

    /// A warp for each row; the vector may be a head that is made again.
    fn rows(&self, contraction: &Contraction, fused: Option<&Loop>, heads: &[Loop]) -> Body {
        let mut body = Body::default();
        body.line(1, &format!("Index row = block.x * {}u + threadIdx.x / 32, column = 0;", THREADS / 32));
        body.line(1, &format!("if (row < {}u) {{", contraction.m));
        body.line(2, "float sum = 0.0f;");
        for product in &contraction.products {
            let (row, step, k) = (product.left.row_stride, product.right.row_stride, product.k);
            let left = body.reads(product.left.buffer, contraction.m * k);
            let vector = self.vector(product);
            let head = vector.as_ref().and_then(|vector| Heads::of(self.plan, heads, vector, &|_| true));
            if let (Some(vector), Some(head)) = (vector, head) {
                body.line(2, &format!("for (Index along = threadIdx.x % 32; along < {k}u; along += 32) {{"));
                head.write(&mut body, 3, &vector, &["along".to_string()]);
                let (_, variable) = &head.known(&vector)[0];
                body.line(3, &format!("sum = fmaf({left}[row * {row}u + along], {variable}, sum);"));
                body.line(2, "}");
                continue;
            }
            let right = body.reads(product.right.buffer, k);
            body.line(2, &format!("sum += row_products({left} + row * {row}u, {right}, {step}u, {k}u);"));
        }
        body.line(2, "sum = warp_reduce<Sum>(sum);");
        body.line(2, "if (threadIdx.x % 32 == 0) {");
        self.finish(&mut body, 3, contraction, fused);
        body.line(2, "}");
        body.line(1, "}");
        body
    }

    /// The right operand of a product with a vector, as a loop that reads it.
    fn vector(&self, product: &Product) -> Option<Loop> {
        let Matrix { buffer, row_stride, .. } = product.right;
        let axes = &self.plan.buffer(buffer).axes;
        let axis = *axes.iter().find(|axis| self.plan.axes[axis.index()].size == product.k)?;
        let access = Access { buffer, strides: vec![row_stride], partial: 0 };
        let instructions = vec![Instruction::Load(access)];
        Some(Loop { axes: vec![axis], sizes: vec![product.k], tiled: false, instructions })
    }

    /// What becomes of the `sum` at `row` and `column`: it is stored, unless the fused loop alone reads it, and that loop runs.
    fn finish(&self, body: &mut Body, depth: usize, contraction: &Contraction, fused: Option<&Loop>) {
        let out = &contraction.out;
        let kept = !matches!(self.plan.buffer(out.buffer).place, Place::Arena(_))
            || fused.is_none_or(|nest| self.plan.kernels.iter().any(|kernel| uses(kernel, out.buffer, nest)));
        if kept {
            let pointer = body.writes(out.buffer, contraction.m * contraction.n);
            body.line(depth, &format!("{pointer}[{}] = sum;", place(out)));
        }
        if let Some((nest, access)) = fused.and_then(|nest| Some((nest, reads(contraction, nest)?))) {
            let rows = row_axes(nest, contraction.m).unwrap_or(0);
            let names = names(nest.sizes.len());
            unravel(body, depth, "row", &names[..rows], &nest.sizes[..rows], &|_| true);
            unravel(body, depth, "column", &names[rows..], &nest.sizes[rows..], &|_| true);
            let sinks: Vec<usize> = (0..nest.instructions.len()).collect();
            let known = [(access, "sum".to_string())];
            instructions(body, depth, nest, &sinks, &names, &known, &mut |body, _, sink| {
                store(body, depth, nest, sink, &names)
            });
        }
    }
}

/// Where the element at `row` and `column` lies.
fn place(matrix: &Matrix) -> String {
    format!("row * {}u + column * {}u", matrix.row_stride, matrix.column_stride)
}
