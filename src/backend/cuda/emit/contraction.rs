//! Contractions as functions: operands made as they are loaded, and the loop that follows applied
//! to their sums.

use super::{
    Body, Emitter, Piece, THREADS,
    epilogue::{Fused, OF_RESULT, strips},
    heads::{Heads, loads},
    load,
    loops::{names, unravel},
    prologue::{self, Prologue},
};
use crate::{
    backend::Precision,
    id::Id,
    plan::{Access, Buffer, Contraction, Instruction, Loop, Matrix, Plan, Product, Windows},
};
use std::collections::BTreeSet;

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
pub(super) const MULTIPROCESSORS: usize = 132;

/// The first that suits is taken.
const TILES: [Tile; 5] = [
    // Logits of a few classes: of a wider tile most columns would be empty.
    Tile {
        m: 64,
        n: 16,
        widest: 16,
        blocks: 0,
    },
    // Each number in shared memory is multiplied 128 times, the most that registers hold sums for;
    // if every multiprocessor has one.
    Tile {
        m: 128,
        n: 128,
        widest: usize::MAX,
        blocks: MULTIPROCESSORS,
    },
    // Half as many sums of a thread, for results that are not as large.
    Tile {
        m: 128,
        n: 64,
        widest: usize::MAX,
        blocks: MULTIPROCESSORS,
    },
    // A thousand rows of 500 features are 128 tiles, and weights of 500 by 500 are 64, which
    // split-K makes 128 of.
    Tile {
        m: 64,
        n: 64,
        widest: usize::MAX,
        blocks: MULTIPROCESSORS / 2 - 2,
    },
    // A hundred rows of 500 features are 64 tiles, where 64 by 64 would be 16: what they lose by
    // reading more is less than what idle multiprocessors lose.
    Tile {
        m: 32,
        n: 32,
        widest: usize::MAX,
        blocks: 0,
    },
];

/// What a split of k has of it at least: enough to be worth a second function, which adds the
/// parts.
const LEAST_DEPTH: usize = 512;
/// A split begins at a multiple of this, so that what is loaded by fours stays so.
const STEP: usize = 32;

/// How a contraction is made.
enum Way {
    /// A vector: a warp for each row. It reads the matrix once, and tensor cores could do nothing
    /// for it.
    Rows,
    /// By tiles, k in so many parts of so much.
    Tiles {
        tile: &'static Tile,
        parts: usize,
        depth: usize,
    },
}

fn way(contraction: &Contraction) -> Way {
    let Contraction { m, n, products, .. } = contraction;
    if *n == 1
        && products
            .iter()
            .all(|product| product.left.column_stride == 1 && product.windows.is_none())
    {
        return Way::Rows;
    }
    let blocks = |tile: &Tile| m.div_ceil(tile.m) * n.div_ceil(tile.n);
    let suits = |tile: &&Tile| *n <= tile.widest && blocks(tile) >= tile.blocks;
    let tile = TILES
        .iter()
        .find(suits)
        .expect("the last tile suits everything");
    let depth: usize = products
        .iter()
        .map(|product| product.k.next_multiple_of(STEP))
        .sum();
    let parts = (MULTIPROCESSORS / blocks(tile))
        .min(depth / LEAST_DEPTH)
        .max(1);
    let each = depth.div_ceil(parts).next_multiple_of(STEP);
    Way::Tiles {
        tile,
        parts: depth.div_ceil(each).max(1),
        depth: each,
    }
}

/// Rows and columns of the tiles, if each makes whole sums.
pub(super) fn whole_tiles(contraction: &Contraction) -> Option<(usize, usize)> {
    match way(contraction) {
        Way::Tiles { tile, parts: 1, .. } => Some((tile.m, tile.n)),
        _ => None,
    }
}

/// The operands of a product as a prologue sees them, and the columns of the result.
fn operands(product: &Product) -> [prologue::Operand; 2] {
    let (left, right, k) = (product.left, product.right, product.k);
    [
        prologue::Operand {
            buffer: left.buffer,
            across: left.row_stride,
            along: left.column_stride,
            k,
        },
        prologue::Operand {
            buffer: right.buffer,
            across: right.column_stride,
            along: right.row_stride,
            k,
        },
    ]
}

/// Buffers that only contractions read, each making the elements that it takes: they need not be in
/// memory.
pub(super) fn made_by_readers(plan: &Plan) -> BTreeSet<Id<Buffer>> {
    let (mut made, mut read) = (BTreeSet::new(), BTreeSet::new());
    for kernel in &plan.kernels {
        for nest in kernel.loops() {
            read.extend(loads(nest).map(|access| access.buffer));
        }
        let Some(contraction) = &kernel.contraction else {
            continue;
        };
        let prologues = prologues(plan, contraction);
        for (product, made_now) in contraction.products.iter().zip(prologues) {
            for (operand, prologue) in operands(product).iter().zip(made_now) {
                if prologue.is_some() {
                    &mut made
                } else {
                    &mut read
                }
                .insert(operand.buffer);
            }
        }
    }
    made.difference(&read).copied().collect()
}

/// For each product, how its operands are made, if they are.
fn prologues<'p>(plan: &'p Plan, contraction: &Contraction) -> Vec<[Option<Prologue<'p>>; 2]> {
    let tiled = matches!(way(contraction), Way::Tiles { .. });
    let mut shared = 0;
    let mut of = |operand: prologue::Operand| {
        let prologue = Prologue::of(plan, operand).filter(|_| tiled)?;
        shared += prologue.shared();
        (shared <= prologue::MOST_SHARED).then_some(prologue)
    };
    let both = |product: &Product| {
        let [left, right] = operands(product);
        let windows = |side: bool| {
            product
                .windows
                .as_ref()
                .is_some_and(|windows| windows.left == side)
        };
        [(left, windows(true)), (right, windows(false))]
            .map(|(operand, windows)| if windows { None } else { of(operand) })
    };
    contraction.products.iter().map(both).collect()
}

impl Emitter<'_> {
    /// The functions of a contraction: one, or two if k is split.
    pub(super) fn contraction(
        &self,
        name: &str,
        contraction: &Contraction,
        fused: Option<&Fused>,
        heads: &[Loop],
    ) -> Vec<Piece> {
        let Contraction {
            m,
            n,
            out,
            products,
            ..
        } = contraction;
        let name_of = |matrix: &Matrix| self.plan.buffer(matrix.buffer).name.clone();
        let terms: Vec<String> = products
            .iter()
            .map(|product| {
                format!(
                    "{} · {} over {}",
                    name_of(&product.left),
                    name_of(&product.right),
                    product.k
                )
            })
            .collect();
        let comment = format!("{}[{m}, {n}] = {}", name_of(out), terms.join(" + "));
        // Whole functions are not worth the trouble of joining.
        let piece = |name: &str, body: Body, blocks: (usize, usize), comment: &str| {
            let comment = comment.to_string();
            Piece {
                name: name.to_string(),
                comment,
                body,
                blocks,
                work: usize::MAX / 2,
                waits: 1,
            }
        };
        let along: usize = products.iter().map(|product| product.k).sum();
        let (tile, parts, depth) = match way(contraction) {
            Way::Rows => {
                let body = self.rows(contraction, fused, heads);
                let waits = along.div_ceil(32);
                return vec![Piece {
                    waits,
                    ..piece(name, body, (m.div_ceil(THREADS / 32), 1), &comment)
                }];
            }
            Way::Tiles { tile, parts, depth } => (tile, parts, depth),
        };
        let blocks = (n.div_ceil(tile.n) * parts, m.div_ceil(tile.m));
        // A part of each operand at a time, then the sums.
        let waits = |along: usize| along.div_ceil(32) + tile.m * tile.n / THREADS;
        if parts == 1 {
            let body = self.sums(contraction, tile, None);
            let (body, last) = self.epilogue(name, body, contraction, fused, heads);
            let last = last.map(|body| {
                let blocks = (m.div_ceil(THREADS).min(super::loops::MOST_BLOCKS), 1);
                let comment = format!("{}: sums of its rows, in order", name_of(out));
                let name = format!("{name}_rows");
                Piece {
                    work: *m,
                    ..piece(&name, body, blocks, &comment)
                }
            });
            let own = Piece {
                waits: waits(along),
                ..piece(name, body, blocks, &comment)
            };
            return [own].into_iter().chain(last).collect();
        }
        // The first part of the sums goes to the result's own place, the others to working memory.
        let (count, others) = (m * n, parts - 1);
        let mut body = self.sums(contraction, tile, Some(depth));
        body.scratch = Some((name.to_string(), count * others));
        strips(&mut body, *m, *n);
        let pointer = body.writes(out.buffer, count);
        let place = place(out, "column");
        body.line(
            3,
            &format!("if (there && part == 0) {pointer}[{place}] = sum;"),
        );
        body.line(
            3,
            &format!("else if (there) scratch[(part - 1) * {count}u + row * {n}u + column] = sum;"),
        );
        body.text += "        }\n    }\n";
        let mut last = Body {
            scratch: body.scratch.clone(),
            ..Body::default()
        };
        last.line(1, &super::loops::each(count, THREADS));
        last.line(2, &format!("Index row = i / {n}u, column = i % {n}u;"));
        let pointer = last.reads(out.buffer, count);
        last.line(2, &format!("float sum = {pointer}[{place}];"));
        let ahead = if others <= 8 {
            "#pragma unroll"
        } else {
            "#pragma unroll 8"
        };
        last.line(1, ahead);
        last.line(2, &format!("for (Index part = 0; part < {others}u; ++part) sum += scratch[part * {count}u + i];"));
        self.finish(&mut last, 2, contraction, fused, None, OF_RESULT);
        last.line(1, "}");
        let elements = (count.div_ceil(THREADS).min(super::loops::MOST_BLOCKS), 1);
        let sum = format!("{}: the {parts} parts of the sums, in order", name_of(out));
        let (of_parts, made) = (
            format!("{name}_parts"),
            format!("{comment}, k in {parts} parts of {depth}"),
        );
        vec![
            Piece {
                waits: waits(depth),
                ..piece(&of_parts, body, blocks, &made)
            },
            Piece {
                work: count,
                ..piece(name, last, elements, &sum)
            },
        ]
    }

    /// A function's beginning: the sums of a tile. Parts of k are `depth` long.
    fn sums(&self, contraction: &Contraction, tile: &Tile, depth: Option<usize>) -> Body {
        let Contraction { m, n, products, .. } = contraction;
        let mut body = Body::default();
        let kind = match self.precision {
            Precision::F32 => "F32",
            Precision::Tf32 => "Tf32",
            Precision::Bf16 => "Bf16",
        };
        body.line(1, &format!("using Tile = {kind}<{}, {}>;", tile.m, tile.n));
        body.shared.insert(format!(
            "{kind}<{}, {}>::Stage stage_{}_{}",
            tile.m, tile.n, tile.m, tile.n
        ));
        body.line(
            1,
            &format!("Tile::Stage& stage = shared.stage_{}_{};", tile.m, tile.n),
        );
        body.line(1, "Tile::Sums sums;");
        body.line(1, "Index m0 = block.y * Tile::M;");
        if let Some(depth) = depth {
            let across = n.div_ceil(tile.n);
            body.line(
                1,
                &format!("Index n0 = block.x % {across}u * Tile::N, part = block.x / {across}u;"),
            );
            body.line(
                1,
                &format!("Index from = part * {depth}u, to = from + {depth}u;"),
            );
        } else {
            body.line(1, "Index n0 = block.x * Tile::N;");
        }
        let mut start = 0;
        let mut sources = Vec::new();
        // Vectors are made before the first barrier.
        for (number, (product, made)) in products
            .iter()
            .zip(prologues(self.plan, contraction))
            .enumerate()
        {
            let [left, right] = operands(product);
            let [made_left, made_right] = made;
            if let Some(windows) = &product.windows {
                let name = format!("{}{number}", if windows.left { "left" } else { "right" });
                read_through(&mut body, &name, windows);
            }
            let windows = |side: &str| {
                product
                    .windows
                    .as_ref()
                    .is_some_and(|windows| windows.left == (side == "left"))
            };
            let mut source = |side: &str,
                              operand: prologue::Operand,
                              places: usize,
                              made: Option<Prologue>| match made {
                Some(prologue) => {
                    let name = format!("{side}{number}");
                    prologue.write(&mut body, &name);
                    name
                }
                None if windows(side) => format!("{side}{number}"),
                None => {
                    let pointer = body.reads(operand.buffer, places * operand.k);
                    format!(
                        "Operand{{{pointer}, {}u, {}u}}",
                        operand.across, operand.along
                    )
                }
            };
            sources.push((
                source("left", left, *m, made_left),
                source("right", right, *n, made_right),
            ));
        }
        for (product, (left, right)) in products.iter().zip(sources) {
            // What is in a window lies side by side.
            let along = |left: bool, stride: usize| match &product.windows {
                Some(windows) if windows.left == left => !windows.along_positions,
                _ => stride == 1,
            };
            let along_k = (
                along(true, product.left.column_stride),
                along(false, product.right.row_stride),
            );
            let k = product.k;
            let range = match depth {
                None => format!("0, {k}u"),
                Some(_) => format!("within(from, {start}u, {k}u), within(to, {start}u, {k}u)"),
            };
            body.line(
                1,
                &format!("accumulate<Tile, {}, {}>(", along_k.0, along_k.1),
            );
            body.line(
                2,
                &format!("sums, stage, {left}, {right}, {m}u, {n}u, {range}, m0, n0);"),
            );
            start += k.next_multiple_of(STEP);
        }
        // Each thread keeps to one column.
        body.line(1, "Index column = threadIdx.x % Tile::N + n0;");
        body
    }

    /// A warp for each row; the vector may be a head that is made again.
    fn rows(&self, contraction: &Contraction, fused: Option<&Fused>, heads: &[Loop]) -> Body {
        let mut body = Body::default();
        body.line(
            1,
            &format!(
                "Index row = block.x * {}u + threadIdx.x / 32, column = 0;",
                THREADS / 32
            ),
        );
        body.line(1, &format!("if (row < {}u) {{", contraction.m));
        body.line(2, "float sum = 0.0f;");
        for product in &contraction.products {
            let (row, step, k) = (product.left.row_stride, product.right.row_stride, product.k);
            let left = body.reads(product.left.buffer, contraction.m * k);
            let vector = self.vector(product);
            let head = vector
                .as_ref()
                .and_then(|vector| Heads::of(self.plan, heads, vector, &|_| true));
            if let (Some(vector), Some(head)) = (vector, head) {
                body.line(
                    2,
                    &format!("for (Index along = threadIdx.x % 32; along < {k}u; along += 32) {{"),
                );
                head.write(&mut body, 3, &vector, &["along".to_string()]);
                let (_, variable) = &head.known(&vector)[0];
                body.line(
                    3,
                    &format!("sum = fmaf({left}[row * {row}u + along], {variable}, sum);"),
                );
                body.line(2, "}");
                continue;
            }
            let right = body.reads(product.right.buffer, k);
            body.line(
                2,
                &format!("sum += row_products({left} + row * {row}u, {right}, {step}u, {k}u);"),
            );
        }
        body.line(2, "sum = warp_reduce<Sum>(sum);");
        body.line(2, "if (threadIdx.x % 32 == 0) {");
        self.finish(&mut body, 3, contraction, fused, None, OF_RESULT);
        body.line(2, "}");
        body.line(1, "}");
        body
    }

    /// The right operand of a product with a vector, as a loop that reads it.
    fn vector(&self, product: &Product) -> Option<Loop> {
        let Matrix {
            buffer, row_stride, ..
        } = product.right;
        let axes = &self.plan.buffer(buffer).axes;
        let axis = *axes
            .iter()
            .find(|axis| self.plan.axes[axis.index()].size == product.k)?;
        let access = Access {
            buffer,
            strides: vec![row_stride],
            partial: 0,
            spans: Vec::new(),
        };
        let instructions = vec![Instruction::Load(access)];
        Some(Loop {
            axes: vec![axis],
            sizes: vec![product.k],
            tiled: false,
            instructions,
        })
    }
}

/// Writes an operand that is read through windows as the variable of that name.
fn read_through(body: &mut Body, name: &str, windows: &Windows) {
    let (rows, columns) = (windows.rows.len(), windows.columns.len());
    let names = names(rows + columns);
    let (down, right) = if windows.left {
        ("place", "k")
    } else {
        ("k", "place")
    };
    let pointer = body.reads(windows.access.buffer, usize::MAX);
    body.line(
        1,
        &format!("auto {name} = computed([&](Index place, Index k) {{"),
    );
    unravel(body, 2, down, &names[..rows], &windows.rows, &|_| true);
    unravel(body, 2, right, &names[rows..], &windows.columns, &|_| true);
    let element = load(body, 2, &pointer, &windows.access, &names, "");
    body.line(2, &format!("return {element};"));
    body.line(1, "});");
}

/// Where the element at `row` and the column of that name lies.
pub(super) fn place(matrix: &Matrix, column: &str) -> String {
    format!(
        "row * {}u + {column} * {}u",
        matrix.row_stride, matrix.column_stride
    )
}
