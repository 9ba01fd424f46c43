//! Loop nests as functions.
//!
//! A loop without sums has a thread for each element. With sums it has one for each result, which walks along the summed axes;
//! where the innermost axis is among them a warp, or a block if there is much to sum, shares a result. Sums over different axes
//! are made by passes of their own, each computing what it needs again.

use super::{Body, Emitter, Piece, THREADS, literal, offset};
use crate::{
    plan::{Access, Instruction, Loop, Place, Tile},
    tensor::{NoiseKind, ReduceKind},
};
use std::collections::{BTreeMap, BTreeSet};

/// From this many numbers on a block shares a sum.
const MANY: usize = 2048;
/// Sums of one pass at most.
const MOST_SUMS: usize = 12;
/// Blocks of a launch at most; beyond, threads take several elements.
pub(super) const MOST_BLOCKS: usize = 65_535;

/// Which axes the results of a sum have, and whether each tile has its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    kept: Vec<bool>,
    by_tile: bool,
}

/// One walk through a loop nest: the sums that it makes, and every instruction that it runs for its effect.
struct Pass {
    name: String,
    shape: Shape,
    sums: Vec<usize>,
    sinks: Vec<usize>,
}

impl Emitter<'_> {
    /// The passes of a loop nest.
    pub(super) fn nest(&self, name: &str, nest: &Loop, tile: Option<Tile>) -> Vec<Piece> {
        let comment = format!("for [{}]", self.axes(nest));
        let mut shapes: BTreeMap<Shape, Vec<usize>> = BTreeMap::new();
        let mut stores = Vec::new();
        for (number, instruction) in nest.instructions.iter().enumerate() {
            match instruction {
                Instruction::Reduce { access, .. } => {
                    let kept = access.strides.iter().zip(&nest.sizes).map(|(&stride, &size)| stride > 0 && size > 1);
                    let shape = Shape { kept: kept.collect(), by_tile: access.partial > 0 };
                    shapes.entry(shape).or_default().push(number);
                }
                Instruction::Store(..) => stores.push(number),
                _ => {}
            }
        }
        if shapes.is_empty() {
            let parts: Vec<&[usize]> = self.parts(nest, &stores);
            let named =
                |number: usize| if parts.len() == 1 { name.to_string() } else { format!("{name}_{}", number + 1) };
            let parts = parts.iter().enumerate();
            return parts.map(|(number, sinks)| elements(named(number), nest, sinks, comment.clone())).collect();
        }
        // A thread has registers for so many sums.
        let split = |(shape, sums): (Shape, Vec<usize>)| -> Vec<(Shape, Vec<usize>)> {
            sums.chunks(MOST_SUMS).map(|sums| (shape.clone(), sums.to_vec())).collect()
        };
        let shapes: Vec<(Shape, Vec<usize>)> = shapes.into_iter().flat_map(split).collect();
        let count = shapes.len();
        let pass = |(number, (shape, sums)): (usize, (Shape, Vec<usize>))| {
            // The last pass stores: it may replace what the others read.
            let last = number + 1 == count;
            let sinks = if last { [stores.as_slice(), &sums].concat() } else { sums.clone() };
            let name = if count == 1 { name.to_string() } else { format!("{name}_pass{}", number + 1) };
            sums_of(nest, tile, Pass { name, shape, sums, sinks }, comment.clone())
        };
        shapes.into_iter().enumerate().map(pass).collect()
    }

    /// The stores of a loop in groups that a thread has registers for; all at once where one replaces what others read.
    fn parts<'n>(&self, nest: &Loop, stores: &'n [usize]) -> Vec<&'n [usize]> {
        let parameter = |access: &Access| match self.plan.buffer(access.buffer).place {
            Place::Parameter(index) => Some(index),
            _ => None,
        };
        let touched = |wanted: fn(&Instruction) -> Option<&Access>| -> BTreeSet<usize> {
            nest.instructions.iter().filter_map(wanted).filter_map(parameter).collect()
        };
        let read = touched(|instruction| if let Instruction::Load(access) = instruction { Some(access) } else { None });
        let written =
            touched(|instruction| if let Instruction::Store(_, access) = instruction { Some(access) } else { None });
        if read.is_disjoint(&written) { stores.chunks(MOST_SUMS).collect() } else { vec![stores] }
    }
}

/// A thread for each element.
fn elements(name: String, nest: &Loop, sinks: &[usize], comment: String) -> Piece {
    let count = nest.elements();
    let mut body = Body::default();
    let names = names(nest.sizes.len());
    body.line(1, &each(count, THREADS));
    unravel(&mut body, 2, "i", &names, &nest.sizes, &|_| true);
    instructions(&mut body, 2, nest, sinks, &names, None, &mut |_, _, _| {});
    body.line(1, "}");
    let blocks = (count.div_ceil(THREADS).clamp(1, MOST_BLOCKS), 1);
    Piece { name, comment, body, blocks, work: count }
}

/// A thread, a warp or a block for each result.
fn sums_of(nest: &Loop, tile: Option<Tile>, pass: Pass, comment: String) -> Piece {
    let (names, axes) = (names(nest.sizes.len()), 0..nest.sizes.len());
    let tile = tile.filter(|_| pass.shape.by_tile);
    let kept = |axis: usize| pass.shape.kept[axis];
    // Along the tile axis a tile sums its own range.
    let extents: Vec<usize> = axes
        .clone()
        .map(|axis| tile.filter(|_| axis == 0 && !kept(0)).map_or(nest.sizes[axis], |tile| tile.size))
        .collect();
    let of_tile: usize = axes.clone().filter(|&axis| kept(axis)).map(|axis| nest.sizes[axis]).product();
    let results = of_tile * tile.map_or(1, |tile| tile.count);
    let summed: usize = axes.filter(|&axis| !kept(axis)).map(|axis| extents[axis]).product();
    let shared = pass.shape.kept.last().is_some_and(|kept| !kept) && summed >= 32;
    let team = match summed {
        _ if !shared => 1,
        MANY.. => THREADS,
        _ => 32,
    };

    let mut body = Body::default();
    body.line(1, &each(results, THREADS / team));
    let mut count = "i";
    if tile.is_some() {
        body.line(2, &format!("Index tile = i / {of_tile}u, element = i % {of_tile}u;"));
        count = "element";
    }
    unravel(&mut body, 2, count, &names, &nest.sizes, &kept);
    for &number in &pass.sums {
        if let Instruction::Reduce { kind, .. } = &nest.instructions[number] {
            body.line(2, &format!("float s{number} = {}::start();", operation(*kind)));
        }
    }
    let first = if team == 1 { "0".to_string() } else { format!("threadIdx.x % {team}") };
    body.line(2, &format!("for (Index j = {first}; j < {summed}u; j += {team}) {{"));
    unravel(&mut body, 3, "j", &names, &extents, &|axis| !kept(axis));
    if let Some(tile) = tile {
        body.line(3, &format!("i0 += tile * {}u;", tile.size));
        if !tile.length.is_multiple_of(tile.size) {
            body.line(3, &format!("if (i0 >= {}u) continue;", tile.length));
        }
    }
    let mut written: Vec<(usize, ReduceKind, Access)> = Vec::new();
    instructions(&mut body, 3, nest, &pass.sinks, &names, None, &mut |body, number, instruction| {
        if let Instruction::Reduce { kind, value, access } = instruction {
            body.line(3, &format!("s{number} = {}::join(s{number}, r{value});", operation(*kind)));
            written.push((number, *kind, access.clone()));
        }
    });
    body.line(2, "}");
    for (number, kind, mut access) in written {
        // Summed axes have no index here.
        access.strides.iter_mut().enumerate().filter(|(axis, _)| !kept(*axis)).for_each(|(_, stride)| *stride = 0);
        finish(&mut body, number, operation(kind), &access, &names, team);
    }
    body.line(1, "}");
    let blocks = (results.div_ceil(THREADS / team).clamp(1, MOST_BLOCKS), 1);
    Piece { name: pass.name, comment, body, blocks, work: nest.elements() }
}

/// Stores a sum, which a team of threads has parts of.
fn finish(body: &mut Body, number: usize, operation: &str, access: &Access, names: &[String], team: usize) {
    let (pointer, place) = (body.writes(access.buffer), offset(access, names));
    match team {
        1 => body.line(2, &format!("{pointer}[{place}] = s{number};")),
        32 => {
            body.line(2, &format!("s{number} = warp_reduce<{operation}>(s{number});"));
            body.line(2, &format!("if (threadIdx.x % 32 == 0) {pointer}[{place}] = s{number};"));
        }
        _ => {
            body.shared.insert(format!("float sums[{}]", THREADS / 32));
            body.line(2, &format!("s{number} = block_reduce<{operation}>(s{number}, shared.sums);"));
            body.line(2, &format!("if (threadIdx.x == 0) {pointer}[{place}] = s{number};"));
        }
    }
}

/// The head of a loop over `count` results, `teams` of them at once in each block.
pub(super) fn each(count: usize, teams: usize) -> String {
    let team = THREADS / teams;
    let own = if team == 1 { "threadIdx.x".to_string() } else { format!("threadIdx.x / {team}") };
    let first = format!("block.x * {teams}u + {own}");
    if count <= teams {
        return format!("if (Index i = {first}; i < {count}u) {{");
    }
    format!("for (Index i = {first}; i < {count}u; i += block.count * {teams}u) {{")
}

pub(super) fn names(count: usize) -> Vec<String> {
    (0..count).map(|axis| format!("i{axis}")).collect()
}

fn operation(kind: ReduceKind) -> &'static str {
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
        let divided = if below == 1 { count.to_string() } else { format!("{count} / {below}u") };
        let index = match (position, sizes[axis]) {
            (_, 1) => "0".to_string(),
            (0, _) => divided,
            (_, size) => format!("{divided} % {size}u"),
        };
        body.line(depth, &format!("Index {} = {index};", names[axis]));
        below *= sizes[axis];
    }
}

/// The instructions that the sinks need, as statements; `reduce` writes those that are reductions. A load that equals the one
/// in `known` is that variable.
pub(super) fn instructions(
    body: &mut Body,
    depth: usize,
    nest: &Loop,
    sinks: &[usize],
    names: &[String],
    known: Option<(&Access, &str)>,
    reduce: &mut dyn FnMut(&mut Body, usize, &Instruction),
) {
    let mut needed = vec![false; nest.instructions.len()];
    sinks.iter().for_each(|&sink| needed[sink] = true);
    for number in (0..needed.len()).rev() {
        if needed[number] {
            operands(&nest.instructions[number]).iter().for_each(|&operand| needed[operand] = true);
        }
    }
    for (number, instruction) in nest.instructions.iter().enumerate().filter(|(number, _)| needed[*number]) {
        let value = match instruction {
            Instruction::Constant(value) => literal(*value),
            Instruction::Position(axis) => format!("(float){}", names[*axis]),
            Instruction::Load(access) => match known {
                Some((same, variable)) if same == access => variable.to_string(),
                _ => format!("{}[{}]", body.reads(access.buffer), offset(access, names)),
            },
            Instruction::Noise { stream, kind, access } => {
                body.noise = true;
                let function = if *kind == NoiseKind::Normal { "noise_normal" } else { "noise_uniform" };
                format!("{function}(key, {stream}u, {})", offset(access, names))
            }
            Instruction::Scalar(scalar, operands) => {
                let template = scalar.row().c.to_string();
                operands.iter().enumerate().fold(template, |text, (place, operand)| {
                    text.replace(&format!("{{{place}}}"), &format!("r{operand}"))
                })
            }
            Instruction::OneHot(value, axis) => format!("r{value} == (float){} ? 1.0f : 0.0f", names[*axis]),
            Instruction::Store(value, access) => {
                let pointer = body.writes(access.buffer);
                body.line(depth, &format!("{pointer}[{}] = r{value};", offset(access, names)));
                continue;
            }
            Instruction::Reduce { .. } => {
                reduce(body, number, instruction);
                continue;
            }
        };
        body.line(depth, &format!("float r{number} = {value};"));
    }
}

fn operands(instruction: &Instruction) -> Vec<usize> {
    match instruction {
        Instruction::Scalar(_, operands) => operands.clone(),
        Instruction::OneHot(value, _) | Instruction::Store(value, _) | Instruction::Reduce { value, .. } => {
            vec![*value]
        }
        _ => Vec::new(),
    }
}
