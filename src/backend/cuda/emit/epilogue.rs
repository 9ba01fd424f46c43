//! What is done with a contraction's sums before they leave its block: the loop that follows, and
//! sums over rows and columns of it.
//!
//! A thread keeps to one column, so it adds what it sees of that column and the block joins its
//! threads. The lanes of a warp see 32 columns of one row; their sum is a part of the row's, and a
//! second function adds the parts in order.

use super::{
    Body, Emitter, THREADS,
    contraction::{place, whole_tiles},
    heads::{Heads, loads, replaces},
    loops::{self, COLUMNS, each, instructions, names, operation, sinks, store, unravel},
    offset,
};
use crate::{
    id::Id,
    plan::{Access, Buffer, Contraction, Instruction, Kernel, Loop, Plan, Storage},
    tensor::ReduceKind,
};

/// Whose sums an epilogue finishes: the condition under which there is one, and the variable that
/// names its column.
#[derive(Clone, Copy)]
pub(super) struct Whose {
    there: Option<&'static str>,
    column: &'static str,
}

/// One of a tile's, which may lie beyond the result.
const OF_TILE: Whose = Whose {
    there: Some(THERE),
    column: "own",
};
/// One of the result's.
pub(super) const OF_RESULT: Whose = Whose {
    there: None,
    column: "column",
};

impl Whose {
    fn when(self) -> String {
        self.there
            .map_or(String::new(), |there| format!("if ({there}) "))
    }
}

/// The sum of a thread at `row` and `column`, when a strip of the tile is in order.
const SUM: &str = "float sum = stage.out[down][threadIdx.x % Tile::N];";

/// How many of a loop's axes, outermost first, make the rows of a matrix of `m` rows.
fn row_axes(nest: &Loop, m: usize) -> Option<usize> {
    (0..=nest.sizes.len()).find(|&count| nest.sizes[..count].iter().product::<usize>() == m)
}

/// How a loop reads the contraction's result, if it has the rows' axes, then the columns'.
fn reads(contraction: &Contraction, nest: &Loop) -> Option<Access> {
    let (rows, out) = (row_axes(nest, contraction.m)?, &contraction.out);
    let mut strides = vec![0; nest.sizes.len()];
    for (range, unit) in [
        (0..rows, out.row_stride),
        (rows..nest.sizes.len(), out.column_stride),
    ] {
        let mut below = unit;
        for axis in range.rev() {
            strides[axis] = below;
            below *= nest.sizes[axis];
        }
    }
    Some(Access {
        buffer: out.buffer,
        strides,
        partial: 0,
        spans: Vec::new(),
    })
}

/// The sums of a loop that keep a contraction's columns and are made in parts, or that keep its
/// rows and are whole.
fn sums<'n>(
    contraction: &Contraction,
    nest: &'n Loop,
    of_columns: bool,
) -> impl Iterator<Item = (usize, &'n Access)> {
    let rows = row_axes(nest, contraction.m).unwrap_or(0);
    nest.instructions.iter().enumerate().filter_map(
        move |(number, instruction)| match instruction {
            Instruction::Reduce { access, .. } if (access.partial > 0) == of_columns => {
                let mut axes = access.strides.iter().zip(&nest.sizes).enumerate();
                let kept = axes.all(|(axis, (&stride, &size))| {
                    if (axis < rows) == of_columns {
                        stride == 0
                    } else {
                        stride > 0 || size == 1
                    }
                });
                kept.then_some((number, access))
            }
            _ => None,
        },
    )
}

/// The sums of columns in a loop that can be applied to a contraction's sums, and how many parts
/// they have if its blocks make them.
pub(super) fn columns<'n>(
    plan: &Plan,
    contraction: &Contraction,
    nest: &'n Loop,
) -> Vec<(&'n Access, usize)> {
    let Some((tall, _)) = whole_tiles(contraction).filter(|_| fits(plan, contraction, nest)) else {
        return Vec::new();
    };
    let count = contraction.m.div_ceil(tall);
    sums(contraction, nest, true)
        .map(|(_, access)| (access, count))
        .collect()
}

/// Whether a loop can be applied to the sums of a contraction in registers: over its elements, each
/// on its own. It sums only where it does not write what it reads.
fn fits(plan: &Plan, contraction: &Contraction, nest: &Loop) -> bool {
    let Some(access) = reads(contraction, nest) else {
        return false;
    };
    let has_sums = nest
        .instructions
        .iter()
        .any(|instruction| matches!(instruction, Instruction::Reduce { .. }));
    let can_sum = || whole_tiles(contraction).is_some() && !replaces(plan, nest);
    let elementwise =
        loads(nest).all(|load| load.buffer != contraction.out.buffer || *load == access);
    nest.elements() == contraction.m * contraction.n && (!has_sums || can_sum()) && elementwise
}

/// A loop that is applied to a contraction's sums.
pub(super) struct Fused<'n> {
    pub nest: &'n Loop,
    stores: Vec<usize>,
    columns: Vec<usize>,
    rows: Vec<usize>,
    /// What it runs for later.
    pub rest: Vec<usize>,
}

impl<'n> Fused<'n> {
    /// None if there is nothing to gain.
    pub fn of(plan: &Plan, contraction: &Contraction, nest: &'n Loop) -> Option<Self> {
        if !fits(plan, contraction, nest) {
            return None;
        }
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        if let Some((tall, wide)) = whole_tiles(contraction) {
            let count = contraction.m.div_ceil(tall);
            let made = |access: &Access| plan.buffer(access.buffer).len == count * access.partial;
            columns.extend(
                sums(contraction, nest, true)
                    .filter(|(_, access)| made(access))
                    .map(|(number, _)| number),
            );
            // The lanes of a warp must be in one row.
            rows.extend(
                sums(contraction, nest, false)
                    .filter(|_| wide >= 32)
                    .map(|(number, _)| number),
            );
        }
        let (mut stores, mut rest) = (Vec::new(), Vec::new());
        for number in sinks(nest) {
            match nest.instructions[number] {
                Instruction::Store(..) => stores.push(number),
                _ if columns.contains(&number) || rows.contains(&number) => {}
                _ => rest.push(number),
            }
        }
        let some = !(stores.is_empty() && columns.is_empty() && rows.is_empty());
        some.then_some(Fused {
            nest,
            stores,
            columns,
            rows,
            rest,
        })
    }

    fn sum(&self, number: usize) -> (ReduceKind, &Access) {
        match &self.nest.instructions[number] {
            Instruction::Reduce { kind, access, .. } => (*kind, access),
            _ => unreachable!("a sum is a reduction"),
        }
    }
}

/// Whether a kernel reads a buffer, but for that loop.
fn uses(kernel: &Kernel, buffer: Id<Buffer>, but: &Loop) -> bool {
    let products = kernel
        .contraction
        .iter()
        .flat_map(|contraction| &contraction.products);
    let mut operands = products.flat_map(|product| [&product.left, &product.right]);
    let mut loops = kernel.loops().filter(|nest| !std::ptr::eq(*nest, but));
    operands.any(|matrix| matrix.buffer == buffer)
        || loops.any(|nest| loads(nest).any(|access| access.buffer == buffer))
}

/// Whether a thread's `sum` is one of the result's.
const THERE: &str = "there";

/// Goes through a tile's sums, a strip of rows at a time, by `row`. The last row stands in for
/// those beyond it, without a branch, so that what is loaded for some rows is on its way together.
pub(super) fn strips(body: &mut Body, m: usize, n: usize) {
    for line in [
        "#pragma unroll 1",
        "for (int strip = 0; strip < Tile::M / Tile::STRIP; ++strip) {",
        "    keep<Tile>(sums, stage, strip);",
        "#pragma unroll 4",
        "    for (int turn = 0; turn < Tile::STRIP * Tile::N / THREADS; ++turn) {",
        "        Index down = threadIdx.x / Tile::N + turn * (THREADS / Tile::N), row = strip * Tile::STRIP + down + m0;",
    ] {
        body.line(if line.starts_with('#') { 0 } else { 1 }, line);
    }
    body.line(3, &format!("bool {THERE} = row < {m}u && column < {n}u;"));
    body.line(3, &format!("row = row < {m}u ? row : {}u;", m - 1));
    body.line(3, SUM);
}

impl Emitter<'_> {
    /// The rest of a function whose blocks have whole sums, and the function that adds parts of
    /// rows, if there are any.
    pub(super) fn epilogue(
        &self,
        name: &str,
        mut body: Body,
        contraction: &Contraction,
        fused: Option<&Fused>,
        heads: &[Loop],
    ) -> (Body, Option<Body>) {
        let Contraction { m, n, .. } = *contraction;
        let rows = fused.and_then(|fused| row_axes(fused.nest, m)).unwrap_or(0);
        let heads =
            fused.and_then(|fused| Heads::of(self.plan, heads, fused.nest, &|axis| axis >= rows));
        // The last column stands in for those beyond it.
        body.line(
            1,
            &format!("Index own = column < {n}u ? column : {}u;", n - 1),
        );
        if let (Some(fused), Some(heads)) = (fused, &heads) {
            let names = names(fused.nest.sizes.len());
            unravel(
                &mut body,
                1,
                "own",
                &names[rows..],
                &fused.nest.sizes[rows..],
                &|_| true,
            );
            heads.write(&mut body, 1, fused.nest, &names);
        }
        let start = |body: &mut Body, depth: usize, fused: &Fused, sums: &[usize]| {
            for number in sums {
                body.line(
                    depth,
                    &format!(
                        "float s{number} = {}::start();",
                        operation(fused.sum(*number).0)
                    ),
                );
            }
        };
        if let Some(fused) = fused {
            start(&mut body, 1, fused, &fused.columns);
        }
        strips(&mut body, m, n);
        let Some(fused) = fused else {
            self.finish(&mut body, 3, contraction, None, None, OF_TILE);
            body.text += "        }\n    }\n";
            return (body, None);
        };
        // All lanes of a warp meet to add a row.
        start(&mut body, 3, fused, &fused.rows);
        self.finish(
            &mut body,
            3,
            contraction,
            Some(fused),
            heads.as_ref(),
            OF_TILE,
        );
        let last = self.row_sums(name, &mut body, contraction, fused, rows);
        body.text += "        }\n    }\n";
        for &number in &fused.columns {
            let (kind, access) = fused.sum(number);
            body.shared.insert(COLUMNS.to_string());
            let operation = operation(kind);
            body.line(
                1,
                &format!(
                    "s{number} = column_reduce<{operation}, Tile::N>(s{number}, shared.columns);"
                ),
            );
            let pointer = body.writes(access.buffer, usize::MAX);
            let names = names(access.strides.len());
            body.line(
                1,
                &format!("if (threadIdx.x < Tile::N && column < {n}u) {{"),
            );
            unravel(
                &mut body,
                2,
                "column",
                &names[rows..],
                &fused.nest.sizes[rows..],
                &|_| true,
            );
            let place = offset(
                &Access {
                    partial: 0,
                    ..access.clone()
                },
                &names,
            );
            body.line(
                2,
                &format!(
                    "{pointer}[block.y * {}u + {place}] = s{number};",
                    access.partial
                ),
            );
            body.line(1, "}");
        }
        (body, last)
    }

    /// Adds what the lanes of a warp have of a row. Of rows of up to 32 columns these are the sums.
    fn row_sums(
        &self,
        name: &str,
        body: &mut Body,
        contraction: &Contraction,
        fused: &Fused,
        rows: usize,
    ) -> Option<Body> {
        let Contraction { m, n, .. } = *contraction;
        let (groups, mut last) = (n.div_ceil(32), Body::default());
        if groups > 1 && !fused.rows.is_empty() {
            body.scratch = Some((name.to_string(), fused.rows.len() * groups * m));
            last.scratch = body.scratch.clone();
            last.line(1, &each(m, THREADS));
        }
        for (position, &number) in fused.rows.iter().enumerate() {
            let (kind, access) = fused.sum(number);
            let (operation, names) = (operation(kind), names(access.strides.len()));
            body.line(
                3,
                &format!("s{number} = warp_reduce<{operation}>(s{number});"),
            );
            let first = format!("if (threadIdx.x % 32 == 0 && {THERE})");
            let whole = |body: &mut Body, depth: usize, row: &str| {
                let pointer = body.writes(access.buffer, m);
                unravel(
                    body,
                    depth,
                    row,
                    &names[..rows],
                    &fused.nest.sizes[..rows],
                    &|_| true,
                );
                body.line(
                    depth,
                    &format!("{pointer}[{}] = s{number};", offset(access, &names)),
                );
            };
            if groups == 1 {
                body.line(3, &format!("{first} {{"));
                whole(body, 4, "row");
                body.line(3, "}");
                continue;
            }
            let begin = position * groups * m;
            body.line(
                3,
                &format!("{first} scratch[{begin}u + column / 32 * {m}u + row] = s{number};"),
            );
            last.line(2, &format!("float s{number} = scratch[{begin}u + i];"));
            last.line(
                2,
                &format!("for (Index part = 1; part < {groups}u; ++part) {{"),
            );
            last.line(
                3,
                &format!(
                    "s{number} = {operation}::join(s{number}, scratch[{begin}u + part * {m}u + i]);"
                ),
            );
            last.line(2, "}");
            last.line(2, "{");
            whole(&mut last, 3, "i");
            last.line(2, "}");
        }
        last.scratch.is_some().then(|| {
            last.line(1, "}");
            last
        })
    }

    /// What becomes of the `sum` at `row` and `column`: it is stored, unless the fused loop alone
    /// reads it, and that loop runs.
    pub(super) fn finish(
        &self,
        body: &mut Body,
        depth: usize,
        contraction: &Contraction,
        fused: Option<&Fused>,
        heads: Option<&Heads>,
        of: Whose,
    ) {
        let out = &contraction.out;
        let when = of.when();
        let later = |fused: &Fused| {
            !fused.rest.is_empty()
                || self
                    .plan
                    .kernels
                    .iter()
                    .any(|kernel| uses(kernel, out.buffer, fused.nest))
        };
        let kept = !matches!(self.plan.buffer(out.buffer).storage, Storage::Arena(_))
            || fused.is_none_or(later);
        if kept {
            let pointer = body.writes(out.buffer, contraction.m * contraction.n);
            let place = place(out, of.column);
            body.line(depth, &format!("{when}{pointer}[{place}] = sum;"));
        }
        let Some((fused, access)) =
            fused.and_then(|fused| Some((fused, reads(contraction, fused.nest)?)))
        else {
            return;
        };
        let nest = fused.nest;
        let rows = row_axes(nest, contraction.m).unwrap_or(0);
        let names = loops::names(nest.sizes.len());
        unravel(
            body,
            depth,
            "row",
            &names[..rows],
            &nest.sizes[..rows],
            &|_| true,
        );
        unravel(
            body,
            depth,
            of.column,
            &names[rows..],
            &nest.sizes[rows..],
            &|_| true,
        );
        let mut known = heads.map_or(Vec::new(), |heads| heads.known(nest));
        known.push((access, "sum".to_string()));
        let sinks = [fused.stores.as_slice(), &fused.columns, &fused.rows].concat();
        instructions(
            body,
            depth,
            nest,
            &sinks,
            &names,
            &known,
            &mut |body, number, sink| match sink {
                Instruction::Reduce { kind, value, .. } => {
                    body.line(
                        depth,
                        &format!(
                            "{when}s{number} = {}::join(s{number}, r{value});",
                            operation(*kind)
                        ),
                    );
                }
                _ => store(body, depth, nest, sink, &names, of.there),
            },
        );
    }
}
