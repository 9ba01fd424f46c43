//! Loops: divides a loop nest into passes and distributes the work of each pass over threads.
//!
//! A loop without sums has a thread per element. Sums over different axes are computed in separate
//! passes, each of which computes the values that it needs. In such a pass, a team of threads
//! computes each sum. If the innermost axis is summed, a team is a warp, or a block if there are
//! many terms. Otherwise a warp computes 32 adjacent sums, and the warps of a block share the
//! terms; but if there are enough sums for all threads of a GPU, or few terms, each sum has a
//! thread.

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

/// The maximum number of sums or stores per pass, limited by the registers of a thread.
const MOST_SUMS: usize = 12;
/// The minimum number of terms for a block to share a sum. If there are few sums, the minimum is
/// one term per thread.
const MANY: usize = 2048;
const FEW: usize = 256;
/// The minimum number of terms for the warps of a block to share a sum of a column.
const TALL: usize = 32;
/// The number of sums that occupies a GPU's threads.
const WIDE: usize = 1 << 16;
/// The number of terms that a thread loads at once, and the maximum number of arrays that they come
/// from.
const AHEAD: usize = 4;
const MOST_AHEAD: usize = 8;

/// The axes of a sum's results, and whether each tile has separate results.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    kept: Vec<bool>,
    by_tile: bool,
}

/// A loop of a kernel, or a part of a loop.
pub(super) struct Part<'p> {
    pub plan: &'p Plan,
    pub name: String,
    pub nest: &'p Loop,
    /// The sinks to execute.
    pub sinks: Vec<usize>,
    pub tile: Option<Tile>,
    /// The setup loops that readers may execute themselves.
    pub setup: &'p [Loop],
}

impl<'p> Part<'p> {
    /// A loop of a kernel, which may execute the kernel's setup loops itself.
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

    /// The passes that execute the sinks.
    pub fn pieces(&self) -> Vec<Piece<'p>> {
        let (stores, shapes) = self.sorted();
        match (stores.is_empty(), shapes.is_empty()) {
            (true, true) => Vec::new(),
            (false, true) => self.stores(&self.name, &stores),
            _ => self.passes(stores, shapes),
        }
    }

    /// The stores, and the sums grouped by axes, within the maximum number per pass.
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

    /// A pass for the sums of each shape. The last pass stores, because stores may replace values
    /// that the others read.
    fn passes(&self, mut stores: Vec<usize>, shapes: Vec<(Shape, Vec<usize>)>) -> Vec<Piece<'p>> {
        let count = shapes.len();
        let mut pieces = Vec::new();
        // Stores may precede the sums unless they replace values that sums read.
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

    /// Stores in groups within the maximum number per pass; a single group if a store replaces
    /// values that others read.
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

    /// A pass with a thread per element, or per several elements of a column if it recomputes sums.
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

    /// A pass with a thread, a warp or a block per sum.
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

/// The team that computes each sum of a pass.
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

/// A piece with a single task.
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
