//! From a plan to CUDA C++: one source for all of its kernels, and the launches in order.
//!
//! A loop nest becomes a piece of work whose threads each make elements, or sums; a contraction
//! becomes one whose blocks each make a tile. What its operands are made by is its prologue, the
//! loop that follows and its sums are its epilogue. Pieces that need not wait for each other share
//! a launch.

mod columns;
mod contraction;
mod epilogue;
mod group;
mod heads;
mod loops;
mod prologue;
mod sums;

use crate::{
    backend::Precision,
    id::Id,
    plan::{Access, Buffer, Instruction, Kernel, Loop, Plan, elements},
};
use epilogue::Fused;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// The device code that every source begins with.
const LIBRARY: [(&str, &str); 6] = [
    ("philox.cuh", include_str!("../../../kernels/philox.cuh")),
    ("reduce.cuh", include_str!("../../../kernels/reduce.cuh")),
    ("special.cuh", include_str!("../../../kernels/special.cuh")),
    ("tensor.cuh", include_str!("../../../kernels/tensor.cuh")),
    (
        "contract.cuh",
        include_str!("../../../kernels/contract.cuh"),
    ),
    ("gather.cuh", include_str!("../../../kernels/gather.cuh")),
];

/// The function of `gather.cuh`, which is no launch of a program.
pub const GATHER: &str = "gather_rows";

/// What stands before the functions of a source, after the library.
pub const BEGIN: &str = "// ---- the model\n\n";
/// Threads of a block.
pub const THREADS: usize = 256;
/// Buffers of pieces that one block does in turn, at most.
const MOST_PARAMETERS: usize = 48;
/// Elements that one block may visit rather than pay for another launch.
const SMALL: usize = 4096;

/// A plan as CUDA C++.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub text: String,
    pub launches: Vec<Launch>,
    /// Floats of working memory; the plan's own places are not used.
    pub arena: usize,
}

/// One launch of a function of the source.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Launch {
    pub function: String,
    /// Blocks of [`THREADS`] threads each.
    pub blocks: usize,
    /// The function's arguments: the working memory if it uses any, these buffers, then the noise's
    /// key if it draws any.
    pub arena: bool,
    pub buffers: Vec<Id<Buffer>>,
    pub noise: bool,
    /// Bytes that it moves: each that it reads once, and each that it writes.
    pub moved: usize,
}

/// The plan's kernels, whose contractions multiply at that precision.
pub fn emit(plan: &Plan, title: &str, precision: Precision) -> Source {
    let plan = &columns::retiled(plan);
    let mut emitter = Emitter {
        plan,
        precision,
        pieces: Vec::new(),
        unstored: contraction::made_by_readers(plan),
    };
    plan.kernels
        .iter()
        .for_each(|kernel| emitter.kernel(kernel));
    let mut functions = String::new();
    let (launches, arena) = group::write(plan, &emitter.pieces, &mut functions);
    let mut text = format!(
        "// {title}: {} kernels in {} launches, {precision}. Made by dgc {}.\n\n",
        plan.kernels.len(),
        launches.len(),
        env!("CARGO_PKG_VERSION")
    );
    // Narrow indices are quicker to divide.
    let most = plan
        .buffers
        .iter()
        .map(|buffer| buffer.len)
        .chain([arena])
        .max()
        .unwrap_or(0);
    let index = if most < 1 << 31 {
        "unsigned"
    } else {
        "unsigned long long"
    };
    let _ = writeln!(text, "typedef {index} Index;\n");
    text += "// A block among those of its piece of work: its column and row, and how many columns there are.\n";
    text += "struct Block {\n    unsigned x, y, count;\n};\n\n";
    for (name, library) in LIBRARY {
        let _ = writeln!(text, "// ---- {name}\n\n{}\n", library.trim_end());
    }
    text += BEGIN;
    Source {
        text: text + &functions,
        launches,
        arena,
    }
}

struct Emitter<'a> {
    plan: &'a Plan,
    precision: Precision,
    pieces: Vec<Piece>,
    /// Buffers that nothing reads, for their readers make them again.
    unstored: BTreeSet<Id<Buffer>>,
}

impl Emitter<'_> {
    fn kernel(&mut self, kernel: &Kernel) {
        let begun = self.pieces.len();
        let head = kernel.setup.iter().enumerate();
        let head = head.flat_map(|(i, nest)| {
            let name = format!("{}_once{}", kernel.name, i + 1);
            self.nest(&name, nest, &self.sinks(nest), None, &[])
        });
        let head = head.collect();
        self.functions(head);
        self.functions(self.nests(kernel, "before", &kernel.prologue));
        let mut after = kernel.epilogue.as_slice();
        if let Some(contraction) = &kernel.contraction {
            let fused = after
                .first()
                .and_then(|nest| Fused::of(self.plan, contraction, nest));
            let pieces = self.contraction(&kernel.name, contraction, fused.as_ref(), &kernel.setup);
            self.functions(pieces);
            if let Some(Fused { nest, rest, .. }) = fused {
                let name = format!("{}_sums", kernel.name);
                self.functions(self.nest(&name, nest, &rest, kernel.tile, &kernel.setup));
                after = &after[1..];
            }
        }
        self.functions(self.nests(kernel, "after", after));
        let origins: String = kernel
            .origins
            .iter()
            .map(|origin| format!("\n{origin}"))
            .collect();
        // Of many small pieces, the first tells where all come from.
        let told = if self.pieces.len() - begun > 8 {
            begun + 1
        } else {
            self.pieces.len()
        };
        self.pieces[begun..told]
            .iter_mut()
            .for_each(|piece| piece.comment += &origins);
    }

    fn nests(&self, kernel: &Kernel, part: &str, nests: &[Loop]) -> Vec<Piece> {
        let name = |number: usize| format!("{}_{part}{}", kernel.name, number + 1);
        let nests = nests.iter().enumerate();
        let pieces = |(number, nest): (usize, &Loop)| {
            self.nest(
                &name(number),
                nest,
                &self.sinks(nest),
                kernel.tile,
                &kernel.setup,
            )
        };
        nests.flat_map(pieces).collect()
    }

    /// What a loop is run for.
    fn sinks(&self, nest: &Loop) -> Vec<usize> {
        let mut sinks = loops::sinks(nest);
        sinks.retain(|&sink| match &nest.instructions[sink] {
            Instruction::Store(_, access) => !self.unstored.contains(&access.buffer),
            _ => true,
        });
        sinks
    }

    /// Adds some pieces of work, in order. One that waits for a single other becomes one with it
    /// where both are small: one block does both, which takes less time than another launch.
    fn functions(&mut self, pieces: Vec<Piece>) {
        let begun = self.pieces.len();
        for piece in pieces {
            let mut before = self.pieces[begun..]
                .iter()
                .enumerate()
                .filter(|(_, other)| group::waits(self.plan, &piece, other));
            let only = before
                .next()
                .map(|(number, _)| begun + number)
                .filter(|_| before.next().is_none());
            match only.filter(|&only| self.pieces[only].joins(&piece)) {
                Some(only) => {
                    let first = std::mem::take(&mut self.pieces[only]);
                    self.pieces[only] = first.then(piece);
                }
                None => self.pieces.push(piece),
            }
        }
    }

    /// A loop's axes as a comment: `unlabelled.row:100, y:10`.
    fn axes(&self, nest: &Loop) -> String {
        let axes = nest.axes.iter().zip(&nest.sizes);
        axes.map(|(axis, size)| format!("{}:{size}", self.plan.axes[axis.index()].name))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

/// A piece of work that a function does, alone or with others.
#[derive(Default)]
struct Piece {
    name: String,
    comment: String,
    body: Body,
    blocks: (usize, usize),
    /// Elements that it visits.
    work: usize,
    /// How often one of its blocks waits for memory, about.
    waits: usize,
}

impl Piece {
    /// Whether one block had better do both.
    fn joins(&self, next: &Piece) -> bool {
        let parameters = self.body.buffers.len() + next.body.buffers.len();
        self.work + next.work <= SMALL && parameters <= MOST_PARAMETERS
    }

    /// This one, then the other, by the same block.
    fn then(self, next: Piece) -> Piece {
        let mut body = Body::default();
        let again = self.blocks == (0, 0);
        for (first, part) in [(true, &self.body), (false, &next.body)] {
            if first && again {
                body.text += &part.text;
            } else {
                if !first {
                    body.line(1, "__syncthreads();");
                }
                let _ = write!(body.text, "    {{\n{}    }}\n", part.text);
            }
            for (&(buffer, written), &floats) in &part.floats {
                let _ = if written {
                    body.writes(buffer, floats)
                } else {
                    body.reads(buffer, floats)
                };
            }
            body.noise |= part.noise;
            body.scratch = body.scratch.take().or(part.scratch.clone());
            body.shared.extend(part.shared.iter().cloned());
            body.heads = body.heads.max(part.heads);
        }
        let comment = format!("{}\n{}", self.comment, next.comment);
        // A launch of no blocks marks a piece that was joined; `launch` makes one block of it.
        let work = self.work + next.work;
        Piece {
            name: self.name,
            comment,
            body,
            blocks: (0, 0),
            work,
            waits: work / THREADS,
        }
    }
}

/// The body of a function as it grows.
#[derive(Default)]
struct Body {
    text: String,
    /// The buffers that it touches, in the order of its parameters.
    buffers: Vec<Id<Buffer>>,
    written: Vec<Id<Buffer>>,
    /// The floats that it reads of each, and those that it writes.
    floats: BTreeMap<(Id<Buffer>, bool), usize>,
    noise: bool,
    /// The partial sums that it writes or reads: whose, and how many floats.
    scratch: Option<(String, usize)>,
    /// What it keeps in shared memory, as members of a union.
    shared: BTreeSet<String>,
    /// Floats that it keeps in shared memory beside these: vectors of prologues.
    heads: usize,
}

impl Body {
    fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{}{line}", "    ".repeat(depth));
    }

    /// The pointer to a buffer that so many floats are read of.
    fn reads(&mut self, buffer: Id<Buffer>, floats: usize) -> String {
        self.touches(buffer, false, floats)
    }

    /// The pointer to a buffer that so many floats are written to.
    fn writes(&mut self, buffer: Id<Buffer>, floats: usize) -> String {
        if !self.written.contains(&buffer) {
            self.written.push(buffer);
        }
        self.touches(buffer, true, floats)
    }

    fn touches(&mut self, buffer: Id<Buffer>, written: bool, floats: usize) -> String {
        if !self.buffers.contains(&buffer) {
            self.buffers.push(buffer);
        }
        let most = self.floats.entry((buffer, written)).or_default();
        *most = floats.max(*most);
        pointer(buffer)
    }
}

fn pointer(buffer: Id<Buffer>) -> String {
    format!("b{}", buffer.index())
}

/// A number as a C literal of single precision.
fn literal(value: f64) -> String {
    let value = value as f32;
    match value {
        f32::INFINITY => "INFINITY".to_string(),
        f32::NEG_INFINITY => "(-INFINITY)".to_string(),
        _ if value.is_nan() => "NAN".to_string(),
        _ if value < 0.0 => format!("({value:?}f)"),
        _ => format!("{value:?}f"),
    }
}

/// Floats that an access touches; where each tile has an array of its own, those of the whole
/// buffer, which are more.
fn floats(nest: &Loop, access: &Access) -> usize {
    if access.partial > 0 {
        usize::MAX
    } else {
        elements(nest, access)
    }
}

/// The place of an access that windows name, for the indices with these names, and the condition
/// that they name one; what it takes beforehand is written with names that end in `mark`. Without
/// windows there is no condition.
fn place(
    body: &mut Body,
    depth: usize,
    access: &Access,
    names: &[String],
    mark: &str,
) -> (String, Option<String>) {
    let (mut place, mut named) = (offset(access, names), Vec::new());
    for (number, span) in access.spans.iter().enumerate() {
        let variable = format!("p{mark}_{number}");
        let terms = names
            .iter()
            .zip(&span.strides)
            .filter(|(_, stride)| **stride != 0);
        let terms: String = terms
            .map(|(name, stride)| format!(" + (int)({name}) * {stride}"))
            .collect();
        body.line(depth, &format!("int {variable} = {}{terms};", span.offset));
        named.push(format!(
            "{variable} >= 0 && {variable} < {}",
            span.size * span.divisor
        ));
        let mut index = format!("(Index){variable}");
        if span.divisor > 1 {
            named.push(format!("{variable} % {} == 0", span.divisor));
            index += &format!(" / {}u", span.divisor);
        }
        place += &format!(" + {index} * {}u", span.step);
    }
    (place, (!named.is_empty()).then(|| named.join(" && ")))
}

/// A load, for the indices with these names.
fn load(
    body: &mut Body,
    depth: usize,
    pointer: &str,
    access: &Access,
    names: &[String],
    mark: &str,
) -> String {
    match place(body, depth, access, names, mark) {
        (place, None) => format!("{pointer}[{place}]"),
        (place, Some(named)) => format!("({named}) ? {pointer}[{place}] : 0.0f"),
    }
}

/// Σ index · stride, for the indices named `i0`, `i1`, …; and the partial result's place.
fn offset(access: &Access, names: &[String]) -> String {
    let mut terms: Vec<String> = Vec::new();
    if access.partial > 0 {
        terms.push(format!("tile * {}u", access.partial));
    }
    for (name, &stride) in names.iter().zip(&access.strides) {
        match stride {
            0 => {}
            1 => terms.push(name.clone()),
            _ => terms.push(format!("{name} * {stride}u")),
        }
    }
    if terms.is_empty() {
        "0".to_string()
    } else {
        terms.join(" + ")
    }
}
