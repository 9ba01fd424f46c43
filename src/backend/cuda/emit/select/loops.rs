//! How a loop nest is run: which passes it takes, and how the work of each is spread over threads.
//!
//! A loop without sums has a thread for each element. Sums over different axes are made by passes of
//! their own, each of which computes what it needs. In such a pass a team of threads makes each sum,
//! walking along the summed axes. Where the innermost axis is among them, a team is a warp, or a
//! block if there is much to sum. Where it is not, a warp holds 32 sums that lie beside each other,
//! and the warps of a block share the terms; unless there are sums enough for all threads of a GPU,
//! or few terms: then each sum has a thread.

use super::{
    super::{
        nest::replaces,
        spec::{
            Elements, Grid, Piece, Rematerialized, STRIP, Spread, Sums, THREADS, Task, Team,
            TermOrder, WARP, Work, matrix_of,
        },
        usage,
    },
    rematerialize::{is_along, rematerialize},
    tiles::MOST_BLOCKS,
};
use crate::plan::{Instruction, Kernel, Loop, Plan, Tile};
use std::collections::BTreeMap;

/// Sums or stores of one pass, at most: a thread has registers for so many.
const MOST_SUMS: usize = 12;
/// A block shares a sum of at least this many terms; where there are few sums, of a term for each
/// of its threads.
const MANY: usize = 2048;
const FEW: usize = 256;
/// Terms that a sum of a column has at least for the warps of a block to share it.
const TALL: usize = 32;
/// Sums that are enough for a GPU's threads.
const WIDE: usize = 1 << 16;
/// Terms whose numbers a thread loads at once, and the arrays that they may come from.
const AHEAD: usize = 4;
const MOST_AHEAD: usize = 8;

/// Which axes the results of a sum have, and whether each tile has its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    kept: Vec<bool>,
    by_tile: bool,
}

/// A loop of a kernel, or a part of one.
pub(super) struct Part<'p> {
    pub plan: &'p Plan,
    pub name: String,
    pub nest: &'p Loop,
    /// What it is run for.
    pub sinks: Vec<usize>,
    pub tile: Option<Tile>,
    /// The setup loops that its readers may run themselves.
    pub setup: &'p [Loop],
}

impl<'p> Part<'p> {
    /// A loop of a kernel that may run the kernel's setup loops itself.
    pub fn new(
        plan: &'p Plan,
        kernel: &'p Kernel,
        name: String,
        nest: &'p Loop,
        sinks: Vec<usize>,
    ) -> Self {
        Part {
            plan,
            name,
            nest,
            sinks,
            tile: kernel.tile,
            setup: &kernel.setup,
        }
    }

    /// The passes that run the sinks.
    pub fn pieces(&self) -> Vec<Piece<'p>> {
        let (stores, shapes) = self.sorted();
        match (stores.is_empty(), shapes.is_empty()) {
            (true, true) => Vec::new(),
            (false, true) => self.stores(&self.name, &stores),
            _ => self.passes(stores, shapes),
        }
    }

    /// The stores, and the sums by their axes, as many as a thread has registers for.
    fn sorted(&self) -> (Vec<usize>, Vec<(Shape, Vec<usize>)>) {
        let mut shapes: BTreeMap<Shape, Vec<usize>> = BTreeMap::new();
        let mut stores = Vec::new();
        for &number in &self.sinks {
            match &self.nest.instructions[number] {
                Instruction::Reduce { access, .. } => {
                    let axes = access.strides.iter().zip(&self.nest.sizes);
                    let shape = Shape {
                        kept: axes
                            .map(|(&stride, &size)| stride > 0 && size > 1)
                            .collect(),
                        by_tile: access.partial > 0,
                    };
                    shapes.entry(shape).or_default().push(number);
                }
                Instruction::Store(..) => stores.push(number),
                _ => {}
            }
        }
        let split = |(shape, sums): (Shape, Vec<usize>)| -> Vec<(Shape, Vec<usize>)> {
            sums.chunks(MOST_SUMS)
                .map(|sums| (shape.clone(), sums.to_vec()))
                .collect()
        };
        (stores, shapes.into_iter().flat_map(split).collect())
    }

    /// A pass for the sums of each shape. The last one stores, for it may replace what the others
    /// read.
    fn passes(&self, mut stores: Vec<usize>, shapes: Vec<(Shape, Vec<usize>)>) -> Vec<Piece<'p>> {
        let count = shapes.len();
        let mut pieces = Vec::new();
        // Stores need not wait for the sums, unless they replace what sums read.
        if count > 1 && !stores.is_empty() && !replaces(self.plan, self.nest) {
            pieces = self.stores(&format!("{}_stores", self.name), &stores);
            stores.clear();
        }
        for (number, (shape, sums)) in shapes.into_iter().enumerate() {
            let sinks = if number + 1 == count {
                [stores.as_slice(), &sums].concat()
            } else {
                sums.clone()
            };
            let name = match count {
                1 => self.name.clone(),
                _ => format!("{}_pass{}", self.name, number + 1),
            };
            pieces.push(self.sums(name, shape, sums, sinks));
        }
        pieces
    }

    /// Stores in groups that a thread has registers for; all at once where one replaces what others
    /// read.
    fn stores(&self, name: &str, stores: &[usize]) -> Vec<Piece<'p>> {
        let nest = self.nest;
        let most = if replaces(self.plan, nest) {
            stores.len().max(1)
        } else {
            MOST_SUMS
        };
        let last = nest.axes.len().wrapping_sub(1);
        let rematerialized = rematerialize(self.plan, self.setup, nest, &|_| true);
        let is_tall = |loops: &Rematerialized| {
            is_along(loops, nest, last) && nest.elements() >= TALL * nest.sizes[last]
        };
        let rematerialized = Some(rematerialized)
            .filter(|loops| !loops.has_sums() || is_tall(loops))
            .unwrap_or_default();
        let name_of = |number: usize| {
            if stores.len() <= most {
                name.to_string()
            } else {
                format!("{name}_{}", number + 1)
            }
        };
        let groups = stores.chunks(most).enumerate();
        groups
            .map(|(number, sinks)| self.elements(name_of(number), sinks, &rematerialized))
            .collect()
    }

    /// A thread for each element; where sums are recomputed for it, for some elements of a column.
    fn elements(
        &self,
        name: String,
        sinks: &[usize],
        rematerialized: &Rematerialized<'p>,
    ) -> Piece<'p> {
        let nest = self.nest;
        let count = nest.elements();
        let (spread, blocks) = if rematerialized.has_sums() {
            let (columns, rows) = matrix_of(nest);
            (
                Spread::Strips,
                columns.div_ceil(WARP) * rows.div_ceil(STRIP),
            )
        } else {
            (Spread::Each, count.div_ceil(THREADS))
        };
        let blocks = blocks.clamp(1, MOST_BLOCKS);
        let task = Task::Elements(Elements {
            nest,
            sinks: sinks.to_vec(),
            rematerialized: rematerialized.clone(),
            spread,
        });
        piece(
            self.plan,
            name,
            task,
            Grid::line(blocks),
            Work::Elements(count),
            count.div_ceil(blocks * THREADS),
        )
    }

    /// One pass: a thread, a warp or a block for each sum.
    fn sums(&self, name: String, shape: Shape, sums: Vec<usize>, sinks: Vec<usize>) -> Piece<'p> {
        let nest = self.nest;
        let kept = &shape.kept;
        let rematerialized = rematerialize(self.plan, self.setup, nest, &|axis| kept[axis]);
        let mut task = Sums {
            nest,
            tile: self.tile.filter(|_| shape.by_tile),
            kept: shape.kept,
            sums,
            sinks,
            rematerialized,
            team: Team::Thread,
            terms: TermOrder::InTurn,
        };
        task.team = team(&task);
        task.terms = term_order(&task);
        let (results, teams) = (task.results(), task.team.results());
        let blocks = results.div_ceil(teams).clamp(1, MOST_BLOCKS);
        let rounds = results.div_ceil(teams * blocks);
        let waits = rounds * (1 + task.summed().div_ceil(task.team.step() * AHEAD));
        piece(
            self.plan,
            name,
            Task::Sums(task),
            Grid::line(blocks),
            Work::Elements(nest.elements()),
            waits,
        )
    }
}

/// The threads that make each sum of a pass.
fn team(task: &Sums) -> Team {
    let (summed, results) = (task.summed(), task.results());
    let is_shared = task.kept.last().is_some_and(|kept| !kept) && summed >= WARP;
    match summed {
        MANY.. if is_shared => Team::Block,
        THREADS.. if is_shared && results <= FEW => Team::Block,
        _ if is_shared => Team::Warp,
        TALL.. if results < WIDE => Team::Columns,
        _ => Team::Thread,
    }
}

fn term_order(task: &Sums) -> TermOrder {
    if task.team == Team::Thread && task.ragged().is_none() {
        return TermOrder::InTurn;
    }
    match task.loaded().len() {
        ..=MOST_AHEAD => TermOrder::Ahead(AHEAD),
        _ => TermOrder::Ahead(1),
    }
}

/// A piece that does one task.
pub(super) fn piece<'p>(
    plan: &Plan,
    name: String,
    task: Task<'p>,
    grid: Grid,
    work: Work,
    waits: usize,
) -> Piece<'p> {
    let usage = usage::count(plan, &task);
    Piece {
        name,
        origins: Vec::new(),
        tasks: vec![task],
        grid,
        work,
        waits,
        usage,
    }
}
