//! The sums of a loop nest as a function.
//!
//! A team of threads makes each result, walking along the summed axes. Where the innermost axis is
//! among them, a team is a warp, or a block if there is much to sum. Where it is not, a warp holds
//! 32 results that lie beside each other, and the warps of a block share what there is to sum;
//! unless there are results for all threads of a GPU, or little to sum: then each has a thread.

use super::{
    Body, Piece, THREADS, floats,
    heads::Heads,
    load,
    loops::{COLUMNS, MOST_BLOCKS, each, instructions, names, needed, operation, store, unravel},
    offset,
};
use crate::plan::{Access, Instruction, Loop, Tile};

/// From this many numbers on a block shares a sum; where there are few sums, from a number for each
/// of its threads on.
const MANY: usize = 2048;
const FEW: usize = 256;
/// What sums of columns are made of at least to be shared by the warps of a block.
pub(super) const TALL: usize = 32;
/// Results that are enough for a GPU's threads.
const WIDE: usize = 1 << 16;
/// Terms of a sum whose numbers a thread asks for at once, and the arrays that they may be of.
const AHEAD: usize = 4;
const MOST_AHEAD: usize = 8;

/// The threads that make a result together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Team {
    Thread,
    Warp,
    Block,
    /// The same thread of each warp; the threads of a warp make 32 results.
    Columns,
}

impl Team {
    /// Results that a block makes at once.
    fn results(self) -> usize {
        match self {
            Team::Thread => THREADS,
            Team::Warp => THREADS / 32,
            Team::Block => 1,
            Team::Columns => 32,
        }
    }
}

/// Which axes the results of a sum have, and whether each tile has its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub kept: Vec<bool>,
    pub by_tile: bool,
}

/// One walk through a loop nest: the sums that it makes, and every instruction that it runs for its
/// effect.
pub(super) struct Pass {
    pub name: String,
    pub shape: Shape,
    pub sums: Vec<usize>,
    pub sinks: Vec<usize>,
}

/// The terms of a pass: the axes that a count of them walks through, and how far.
struct Terms<'a> {
    nest: &'a Loop,
    pass: &'a Pass,
    /// The range of its own that a tile sums along the first axis.
    tile: Option<Tile>,
    extents: Vec<usize>,
    names: Vec<String>,
}

impl Terms<'_> {
    /// The index of each summed axis from the count `j`.
    fn indices(&self, body: &mut Body, depth: usize) {
        unravel(body, depth, "j", &self.names, &self.extents, &|axis| {
            !self.pass.shape.kept[axis]
        });
        if let Some(tile) = self.tile {
            body.line(depth, &format!("i0 += tile * {}u;", tile.size));
        }
    }

    /// Makes a term and adds it, on a condition if there is one.
    fn add(&self, body: &mut Body, depth: usize, known: &[(Access, String)], there: Option<&str>) {
        let when = there.map_or(String::new(), |there| format!("if ({there}) "));
        let (nest, names) = (self.nest, &self.names);
        instructions(
            body,
            depth,
            nest,
            &self.pass.sinks,
            names,
            known,
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
                _ => store(body, depth, nest, sink, names, there),
            },
        );
    }

    /// What is loaded for a term, but for what is known.
    fn loaded(&self, known: &[(Access, String)]) -> Vec<Access> {
        let mut loaded: Vec<Access> = Vec::new();
        for (instruction, needed) in self
            .nest
            .instructions
            .iter()
            .zip(needed(self.nest, &self.pass.sinks))
        {
            let Instruction::Load(access) = instruction else {
                continue;
            };
            if needed && !loaded.contains(access) && known.iter().all(|(other, _)| other != access)
            {
                loaded.push(access.clone());
            }
        }
        loaded
    }

    /// Goes from the term `first` to `end` by steps. What some terms are made of is asked for
    /// before the first of them is made; the last stands in for those beyond it.
    fn ahead(
        &self,
        body: &mut Body,
        [first, end]: [&str; 2],
        step: usize,
        known: &[(Access, String)],
    ) {
        let loaded = self.loaded(known);
        let ahead = if loaded.len() <= MOST_AHEAD { AHEAD } else { 1 };
        let stride = ahead * step;
        body.line(0, "#pragma unroll 1");
        body.line(
            2,
            &format!("for (Index round = {first}; round < {end}; round += {stride}) {{"),
        );
        let arrays: Vec<String> = (0..loaded.len())
            .map(|number| format!("l{number}[{ahead}]"))
            .collect();
        if !arrays.is_empty() {
            body.line(3, &format!("float {};", arrays.join(", ")));
        }
        let turns = |body: &mut Body, condition: &str| {
            body.line(0, "#pragma unroll");
            body.line(3, &format!("for (int turn = 0; turn < {ahead}; ++turn) {{"));
            body.line(4, &format!("Index j = round + turn * {step};"));
            body.line(4, condition);
            self.indices(body, 4);
        };
        turns(body, &format!("j = j < {end} ? j : {end} - 1;"));
        let mut known = known.to_vec();
        for (number, access) in loaded.into_iter().enumerate() {
            let pointer = body.reads(access.buffer, floats(self.nest, &access));
            let value = load(
                body,
                4,
                &pointer,
                &access,
                &self.names,
                &format!("l{number}"),
            );
            body.line(4, &format!("l{number}[turn] = {value};"));
            known.push((access, format!("l{number}[turn]")));
        }
        body.line(3, "}");
        turns(
            body,
            &format!("bool there = j < {end}; j = there ? j : {end} - 1;"),
        );
        self.add(body, 4, &known, Some("there"));
        body.line(3, "}");
        body.line(2, "}");
    }
}

/// A thread, a warp or a block for each result.
pub(super) fn piece(
    nest: &Loop,
    tile: Option<Tile>,
    pass: Pass,
    heads: Option<Heads>,
    comment: String,
) -> Piece {
    let (names, axes) = (names(nest.sizes.len()), 0..nest.sizes.len());
    let tile = tile.filter(|_| pass.shape.by_tile);
    let kept = |axis: usize| pass.shape.kept[axis];
    // Along the tile axis a tile sums its own range.
    let extents: Vec<usize> = axes
        .clone()
        .map(|axis| {
            tile.filter(|_| axis == 0 && !kept(0))
                .map_or(nest.sizes[axis], |tile| tile.size)
        })
        .collect();
    let of_tile: usize = axes
        .clone()
        .filter(|&axis| kept(axis))
        .map(|axis| nest.sizes[axis])
        .product();
    let results = of_tile * tile.map_or(1, |tile| tile.count);
    let summed: usize = axes
        .filter(|&axis| !kept(axis))
        .map(|axis| extents[axis])
        .product();
    let shared = pass.shape.kept.last().is_some_and(|kept| !kept) && summed >= 32;
    let team = match summed {
        MANY.. if shared => Team::Block,
        THREADS.. if shared && results <= FEW => Team::Block,
        _ if shared => Team::Warp,
        TALL.. if results < WIDE => Team::Columns,
        _ => Team::Thread,
    };

    let mut body = Body::default();
    if team == Team::Columns {
        // All threads of a block go through as many turns, for they meet at its barriers.
        body.line(1, &format!("for (Index first = block.x * 32u; first < {results}u; first += block.count * 32u) {{"));
        body.line(
            2,
            &format!(
                "Index own = first + threadIdx.x % 32, i = own < {results}u ? own : {}u;",
                results - 1
            ),
        );
    } else {
        body.line(1, &each(results, team.results()));
    }
    let mut count = "i";
    if tile.is_some() {
        body.line(
            2,
            &format!("Index tile = i / {of_tile}u, element = i % {of_tile}u;"),
        );
        count = "element";
    }
    unravel(&mut body, 2, count, &names, &nest.sizes, &kept);
    let known = heads.as_ref().map_or(Vec::new(), |heads| heads.known(nest));
    if let Some(heads) = &heads {
        heads.write(&mut body, 2, nest, &names);
    }
    for &number in &pass.sums {
        if let Instruction::Reduce { kind, .. } = &nest.instructions[number] {
            body.line(
                2,
                &format!("float s{number} = {}::start();", operation(*kind)),
            );
        }
    }
    let (first, step): (String, usize) = match team {
        Team::Thread => ("0".to_string(), 1),
        Team::Warp => ("threadIdx.x % 32".to_string(), 32),
        Team::Block => (format!("threadIdx.x % {THREADS}"), THREADS),
        Team::Columns => (
            format!("own < {results}u ? threadIdx.x / 32 : {summed}u"),
            THREADS / 32,
        ),
    };
    let mut end = format!("{summed}u");
    if let Some(tile) = tile.filter(|tile| !tile.length.is_multiple_of(tile.size)) {
        // The last tile is shorter.
        let (length, size) = (tile.length, tile.size);
        let rows =
            format!("{length}u - tile * {size}u < {size}u ? {length}u - tile * {size}u : {size}u");
        body.line(2, &format!("Index end = ({rows}) * {}u;", summed / size));
        end = "end".to_string();
    }
    let terms = Terms {
        nest,
        pass: &pass,
        tile,
        extents,
        names,
    };
    if team == Team::Thread && end != "end" {
        // So few that the compiler writes them out.
        body.line(2, &format!("for (Index j = 0; j < {summed}u; ++j) {{"));
        terms.indices(&mut body, 3);
        terms.add(&mut body, 3, &known, None);
        body.line(2, "}");
    } else {
        terms.ahead(&mut body, [&first, &end], step, &known);
    }
    for &number in &pass.sums {
        let Instruction::Reduce { kind, access, .. } = &nest.instructions[number] else {
            continue;
        };
        // Summed axes have no index here.
        let mut access = access.clone();
        access
            .strides
            .iter_mut()
            .enumerate()
            .filter(|(axis, _)| !kept(*axis))
            .for_each(|(_, stride)| *stride = 0);
        finish(
            &mut body,
            number,
            operation(*kind),
            &access,
            &terms.names,
            (team, results),
        );
    }
    body.line(1, "}");
    let blocks = results.div_ceil(team.results()).clamp(1, MOST_BLOCKS);
    let (work, rounds) = (nest.elements(), results.div_ceil(team.results() * blocks));
    let waits = rounds * (1 + summed.div_ceil(step * AHEAD));
    Piece {
        name: pass.name,
        comment,
        body,
        blocks: (blocks, 1),
        work,
        waits,
    }
}

/// Stores a sum, one of so many results, which a team of threads has parts of.
fn finish(
    body: &mut Body,
    number: usize,
    operation: &str,
    access: &Access,
    names: &[String],
    (team, results): (Team, usize),
) {
    // A tile has results of its own, or there is one for each place.
    let written = if access.partial > 0 {
        usize::MAX
    } else {
        results
    };
    let (pointer, place) = (body.writes(access.buffer, written), offset(access, names));
    match team {
        Team::Thread => body.line(2, &format!("{pointer}[{place}] = s{number};")),
        Team::Columns => {
            body.shared.insert(COLUMNS.to_string());
            body.line(
                2,
                &format!("s{number} = column_reduce<{operation}, 32>(s{number}, shared.columns);"),
            );
            body.line(
                2,
                &format!(
                    "if (threadIdx.x < 32 && own < {results}u) {pointer}[{place}] = s{number};"
                ),
            );
        }
        Team::Warp => {
            body.line(
                2,
                &format!("s{number} = warp_reduce<{operation}>(s{number});"),
            );
            body.line(
                2,
                &format!("if (threadIdx.x % 32 == 0) {pointer}[{place}] = s{number};"),
            );
        }
        Team::Block => {
            body.shared.insert(format!("float sums[{}]", THREADS / 32));
            body.line(
                2,
                &format!("s{number} = block_reduce<{operation}>(s{number}, shared.sums);"),
            );
            body.line(
                2,
                &format!("if (threadIdx.x == 0) {pointer}[{place}] = s{number};"),
            );
        }
    }
}
