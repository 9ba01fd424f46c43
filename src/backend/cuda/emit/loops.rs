//! Loop nests as functions.
//!
//! A loop without sums has a thread for each element. Sums over different axes are made by passes
//! of their own, each computing what it needs again. The heads of a kernel are made again by those
//! who read them.

use super::{
    Body, Emitter, Piece, THREADS, floats,
    heads::{Heads, replaces},
    literal, load, offset, place,
    sums::{self, Pass, Shape, TALL},
};
use crate::{
    plan::{Access, Instruction, Loop, Tile},
    tensor::{NoiseKind, ReduceKind},
};
use std::collections::BTreeMap;

/// Rows of a column that the warps of a block share, where a head is summed for each column.
const STRIP: usize = 64;
/// Sums of one pass at most.
const MOST_SUMS: usize = 12;
/// What `column_reduce` works with.
pub(super) const COLUMNS: &str = "float columns[THREADS]";
/// Blocks of a launch at most; beyond, threads take several elements.
pub(super) const MOST_BLOCKS: usize = 65_535;

impl Emitter<'_> {
    /// The passes of a loop nest that run some of its sinks, after these heads.
    pub(super) fn nest(
        &self,
        name: &str,
        nest: &Loop,
        wanted: &[usize],
        tile: Option<Tile>,
        heads: &[Loop],
    ) -> Vec<Piece> {
        let comment = format!("for [{}]", self.axes(nest));
        let mut shapes: BTreeMap<Shape, Vec<usize>> = BTreeMap::new();
        let mut stores = Vec::new();
        for &number in wanted {
            match &nest.instructions[number] {
                Instruction::Reduce { access, .. } => {
                    let kept = access
                        .strides
                        .iter()
                        .zip(&nest.sizes)
                        .map(|(&stride, &size)| stride > 0 && size > 1);
                    let shape = Shape {
                        kept: kept.collect(),
                        by_tile: access.partial > 0,
                    };
                    shapes.entry(shape).or_default().push(number);
                }
                Instruction::Store(..) => stores.push(number),
                _ => {}
            }
        }
        if shapes.is_empty() && stores.is_empty() {
            return Vec::new();
        }
        if shapes.is_empty() {
            return self.stores(name, nest, &stores, heads, &comment);
        }
        // A thread has registers for so many sums.
        let split = |(shape, sums): (Shape, Vec<usize>)| -> Vec<(Shape, Vec<usize>)> {
            sums.chunks(MOST_SUMS)
                .map(|sums| (shape.clone(), sums.to_vec()))
                .collect()
        };
        let shapes: Vec<(Shape, Vec<usize>)> = shapes.into_iter().flat_map(split).collect();
        let count = shapes.len();
        // Stores need not wait for what the sums wait for, unless they replace what sums read.
        let mut pieces = Vec::new();
        if count > 1 && !stores.is_empty() && !replaces(self.plan, nest) {
            pieces = self.stores(&format!("{name}_stores"), nest, &stores, heads, &comment);
            stores.clear();
        }
        let pass = |(number, (shape, sums)): (usize, (Shape, Vec<usize>))| {
            // The last pass stores: it may replace what the others read.
            let last = number + 1 == count;
            let sinks = if last {
                [stores.as_slice(), &sums].concat()
            } else {
                sums.clone()
            };
            let name = if count == 1 {
                name.to_string()
            } else {
                format!("{name}_pass{}", number + 1)
            };
            let heads = Heads::of(self.plan, heads, nest, &|axis| shape.kept[axis]);
            sums::piece(
                nest,
                tile,
                Pass {
                    name,
                    shape,
                    sums,
                    sinks,
                },
                heads,
                comment.clone(),
            )
        };
        pieces.extend(shapes.into_iter().enumerate().map(pass));
        pieces
    }

    /// The stores of a loop, in groups that a thread has registers for; all at once where one
    /// replaces what others read.
    fn stores(
        &self,
        name: &str,
        nest: &Loop,
        stores: &[usize],
        heads: &[Loop],
        comment: &str,
    ) -> Vec<Piece> {
        let most = if replaces(self.plan, nest) {
            stores.len().max(1)
        } else {
            MOST_SUMS
        };
        let parts = stores.chunks(most).enumerate();
        let one = stores.len() <= most;
        let last = nest.axes.len().wrapping_sub(1);
        let heads = Heads::of(self.plan, heads, nest, &|_| true);
        let tall =
            |heads: &Heads| heads.along(nest, last) && nest.elements() >= TALL * nest.sizes[last];
        let heads = heads.filter(|heads| !heads.sum() || tall(heads));
        let named = |number: usize| {
            if one {
                name.to_string()
            } else {
                format!("{name}_{}", number + 1)
            }
        };
        parts
            .map(|(number, sinks)| {
                elements(named(number), nest, sinks, &heads, comment.to_string())
            })
            .collect()
    }
}

/// A thread for each element; where heads are summed for it, one for some elements of a column.
fn elements(
    name: String,
    nest: &Loop,
    sinks: &[usize],
    heads: &Option<Heads>,
    comment: String,
) -> Piece {
    let count = nest.elements();
    let mut body = Body::default();
    let names = names(nest.sizes.len());
    let known = heads.as_ref().map_or(Vec::new(), |heads| heads.known(nest));
    let blocks = match heads {
        Some(heads) if heads.sum() => {
            let last = nest.sizes.len() - 1;
            let (columns, rows) = (nest.sizes[last], count / nest.sizes[last]);
            let (groups, strips) = (columns.div_ceil(32), rows.div_ceil(STRIP));
            body.line(
                1,
                &format!(
                    "for (Index part = block.x; part < {}u; part += block.count) {{",
                    groups * strips
                ),
            );
            let column = format!("part % {groups}u * 32 + threadIdx.x % 32");
            body.line(
                2,
                &format!(
                    "Index {} = {column}, row = part / {groups}u * {STRIP}u;",
                    names[last]
                ),
            );
            body.line(2, &format!("if ({} >= {columns}u) continue;", names[last]));
            heads.write(&mut body, 2, nest, &names);
            let end = format!("row + {STRIP}u < {rows}u ? row + {STRIP}u : {rows}u");
            body.line(2, &format!("Index end = {end};"));
            let step = THREADS / 32;
            body.line(0, "#pragma unroll 4");
            body.line(
                2,
                &format!("for (Index i = row + threadIdx.x / 32; i < end; i += {step}) {{"),
            );
            unravel(&mut body, 3, "i", &names, &nest.sizes, &|axis| axis < last);
            instructions(
                &mut body,
                3,
                nest,
                sinks,
                &names,
                &known,
                &mut |body, _, sink| store(body, 3, nest, sink, &names, None),
            );
            body.line(2, "}");
            groups * strips
        }
        _ => {
            body.line(1, &each(count, THREADS));
            unravel(&mut body, 2, "i", &names, &nest.sizes, &|_| true);
            if let Some(heads) = heads {
                heads.write(&mut body, 2, nest, &names);
            }
            instructions(
                &mut body,
                2,
                nest,
                sinks,
                &names,
                &known,
                &mut |body, _, sink| store(body, 2, nest, sink, &names, None),
            );
            count.div_ceil(THREADS)
        }
    };
    body.line(1, "}");
    let blocks = blocks.clamp(1, MOST_BLOCKS);
    Piece {
        name,
        comment,
        body,
        blocks: (blocks, 1),
        work: count,
        waits: count.div_ceil(blocks * THREADS),
    }
}

/// The head of a loop over `count` results, `teams` of them at once in each block.
pub(super) fn each(count: usize, teams: usize) -> String {
    let team = THREADS / teams;
    let own = if team == 1 {
        "threadIdx.x".to_string()
    } else {
        format!("threadIdx.x / {team}")
    };
    let first = format!("block.x * {teams}u + {own}");
    if count <= teams {
        return format!("if (Index i = {first}; i < {count}u) {{");
    }
    format!("for (Index i = {first}; i < {count}u; i += block.count * {teams}u) {{")
}

/// Every instruction of a loop that it runs for its effect.
pub(super) fn sinks(nest: &Loop) -> Vec<usize> {
    let is_sink = |&number: &usize| {
        matches!(
            nest.instructions[number],
            Instruction::Store(..) | Instruction::Reduce { .. }
        )
    };
    (0..nest.instructions.len()).filter(is_sink).collect()
}

pub(super) fn names(count: usize) -> Vec<String> {
    (0..count).map(|axis| format!("i{axis}")).collect()
}

/// The operation of `reduce.cuh`.
pub(super) fn operation(kind: ReduceKind) -> &'static str {
    match kind {
        ReduceKind::Sum => "Sum",
        ReduceKind::Max => "Max",
        ReduceKind::LogSumExp => unreachable!("a plan has no log-sum-exp"),
    }
}

/// The indices of the wanted axes from one count of them all, innermost fastest.
pub(super) fn unravel(
    body: &mut Body,
    depth: usize,
    count: &str,
    names: &[String],
    sizes: &[usize],
    wanted: &dyn Fn(usize) -> bool,
) {
    let axes: Vec<usize> = (0..sizes.len()).filter(|&axis| wanted(axis)).collect();
    let mut below = 1usize;
    for (position, &axis) in axes.iter().enumerate().rev() {
        let divided = if below == 1 {
            count.to_string()
        } else {
            format!("{count} / {below}u")
        };
        let index = match (position, sizes[axis]) {
            (_, 1) => "0".to_string(),
            (0, _) => divided,
            (_, size) => format!("{divided} % {size}u"),
        };
        body.line(depth, &format!("Index {} = {index};", names[axis]));
        below *= sizes[axis];
    }
}

/// Writes the element of a store to memory, on a condition if there is one.
pub(super) fn store(
    body: &mut Body,
    depth: usize,
    nest: &Loop,
    sink: &Instruction,
    names: &[String],
    when: Option<&str>,
) {
    if let Instruction::Store(value, access) = sink {
        let pointer = body.writes(access.buffer, floats(nest, access));
        let mark = format!("s{}", access.buffer.index());
        let (place, named) = place(body, depth, access, names, &mark);
        let conditions: Vec<&str> = when.into_iter().chain(named.as_deref()).collect();
        let condition = if conditions.is_empty() {
            String::new()
        } else {
            format!("if ({}) ", conditions.join(" && "))
        };
        body.line(depth, &format!("{condition}{pointer}[{place}] = r{value};"));
    }
}

/// The instructions that the sinks need, as statements; `sink` writes the sinks themselves. A load
/// that equals one in `known` is that variable.
pub(super) fn instructions(
    body: &mut Body,
    depth: usize,
    nest: &Loop,
    sinks: &[usize],
    names: &[String],
    known: &[(Access, String)],
    sink: &mut dyn FnMut(&mut Body, usize, &Instruction),
) {
    let needed = needed(nest, sinks);
    for (number, instruction) in nest
        .instructions
        .iter()
        .enumerate()
        .filter(|(number, _)| needed[*number])
    {
        let value = match instruction {
            Instruction::Constant(value) => literal(*value),
            Instruction::Position(axis) => format!("(float){}", names[*axis]),
            Instruction::Load(access) => match known.iter().find(|(same, _)| same == access) {
                Some((_, variable)) => variable.clone(),
                None => {
                    let pointer = body.reads(access.buffer, floats(nest, access));
                    load(body, depth, &pointer, access, names, &number.to_string())
                }
            },
            Instruction::Noise {
                stream,
                kind,
                access,
            } => {
                body.noise = true;
                let function = if *kind == NoiseKind::Normal {
                    "noise_normal"
                } else {
                    "noise_uniform"
                };
                format!("{function}(key, {stream}u, {})", offset(access, names))
            }
            Instruction::Scalar(scalar, operands) => {
                let template = scalar.row().c.to_string();
                operands
                    .iter()
                    .enumerate()
                    .fold(template, |text, (place, operand)| {
                        text.replace(&format!("{{{place}}}"), &format!("r{operand}"))
                    })
            }
            Instruction::OneHot(value, axis) => {
                format!("r{value} == (float){} ? 1.0f : 0.0f", names[*axis])
            }
            Instruction::Store(..) | Instruction::Reduce { .. } => {
                sink(body, number, instruction);
                continue;
            }
        };
        body.line(depth, &format!("float r{number} = {value};"));
    }
}

/// Which instructions the sinks need, themselves among them.
pub(super) fn needed(nest: &Loop, sinks: &[usize]) -> Vec<bool> {
    let mut needed = vec![false; nest.instructions.len()];
    sinks.iter().for_each(|&sink| needed[sink] = true);
    for number in (0..needed.len()).rev() {
        if needed[number] {
            operands(&nest.instructions[number])
                .iter()
                .for_each(|&operand| needed[operand] = true);
        }
    }
    needed
}

fn operands(instruction: &Instruction) -> Vec<usize> {
    match instruction {
        Instruction::Scalar(_, operands) => operands.clone(),
        Instruction::OneHot(value, _)
        | Instruction::Store(value, _)
        | Instruction::Reduce { value, .. } => {
            vec![*value]
        }
        _ => Vec::new(),
    }
}
