//! The plan: fused kernels in order, over buffers placed by lifetime.
//!
//! The CPU runs the plan as it is. CUDA changes the number of parts of partial sums, merges kernels
//! into launches, and places working memory anew, since launches end elsewhere than kernels do.
//!
//! A kernel runs once for each tile, a range of its tile axis (usually the rows of a case). Within
//! a tile come elementwise loops (the prologue), at most one contraction, and loops on its result
//! (the epilogue); before all tiles come loops that are too small to split (the setup). A sum over
//! the tile axis is split by tile, and a later kernel adds the partial results in the order of the
//! tiles. So results do not depend on the number of threads.
//!
//! # From a graph to kernels
//!
//! [`build`] runs five passes. The example is the mean of `z` in a model with
//! `x -> z ~ normal(linear)`, 3 features `x`, 2 features `z` and a batch of 4 rows. In the graph it
//! has five nodes. `dgc compile --emit simplified` prints three of them; the parameters `%1` and
//! `%2` have no lines, because they are printed by name where they are read:
//!
//! ```text
//! %0 [all.row:4, x:3] = input all.x
//! %3 [all.row:4, z:2] = contract(%0, q.z.mean.weight.x; x)
//! %4 [all.row:4, z:2] = add(q.z.mean.bias, %3)
//! ```
//!
//! 1. `legalize` rewrites operations that no kernel has. It finds none here. The contraction is
//!    already a matrix product: its operands have only the axis `x` in common, and sum over it.
//! 2. `collect` turns nodes into items, the values that kernels compute. The five nodes become five
//!    items: an input, two parameters, a `Products` item with one product, and a `Scalar` item. A
//!    node that only renames axes or reads windows needs no item: the items that use it read its
//!    operand directly, through an operand view.
//! 3. `fuse` assigns items to kernels. The contraction makes kernel `k0`. The operands of the
//!    addition are a parameter and a result of `k0`, so the addition joins `k0`, after the
//!    contraction. Inputs and parameters are read from memory and belong to no kernel.
//! 4. `kernels` writes each kernel in four steps. `tiling` splits its tile axis, and `nests` groups
//!    items into loops. `buffers` gives a buffer to each item that another loop reads: `t3` for the
//!    sums, which the addition reads, and `t4` for the mean, to which a later kernel adds noise.
//!    `products` makes the contraction a matrix product with rows `all.row` and columns `z`;
//!    `instructions` makes the addition a loop over both axes.
//! 5. `memory` places buffers in working memory. Buffers that are not in use at once may share
//!    floats.
//!
//! `dgc compile --emit plan` prints the kernel and its buffers:
//!
//! ```text
//! k0_contract_z
//!   // all log q(z | x), tiny.dgm:9
//!   t3[4, 2] = all.x · q.z.mean.weight.x over 3
//!   after [all.row:4, z:2] r0 = q.z.mean.bias; r1 = t3; r2 = add(r0, r1); t4 = r2
//!   in 1 tiles of 4 along all.row
//!
//! b0 all.x [all.row, x] 12 floats, input
//! b1 q.z.mean.bias [z] 2 floats, parameter
//! b2 q.z.mean.weight.x [z, x] 6 floats, parameter
//! b3 t3 [all.row, z] 8 floats, arena 0
//! b4 t4 [all.row, z] 8 floats, arena 16
//! ```
//!
//! `after` marks the epilogue: register `r0` is loaded with stride 0 along the rows, `r1` is the
//! contraction's sum. The CPU runs the loop on the tile's rows while they are in the cache; the GPU
//! applies it to sums in registers and never stores `t3`. A batch of 48 rows or more has several
//! tiles.
//!
//! Back ends take a [`VerifiedPlan`], which only the verifier makes; `verify` lists what it
//! guarantees.

mod values;
mod layout;
mod contraction;
mod legalize;
mod collect;
mod fuse;
mod domains;
mod tiling;
mod nests;
mod buffers;
mod instructions;
mod products;
mod kernels;
mod memory;
mod multiplied;
pub mod verify;
mod cost;
mod print;

use crate::{
    id::Id,
    tensor::{Axis, Graph, NoiseKind, Parameter, ReduceKind, Scalar},
};
use std::ops::Range;

pub use cost::{Cost, elements};
pub use memory::first_fit;
pub use print::print;
pub use verify::{PlanError, VerifiedPlan};

/// Kernels in the order in which they run, and the buffers that they read and write.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    /// Every axis that buffers and loops name.
    pub axes: Vec<Axis>,
    /// Everything that is kept between runs, whether this plan reads it or not.
    pub parameters: Vec<Parameter>,
    /// Every array that kernels read or write.
    pub buffers: Vec<Buffer>,
    /// In the order in which they run.
    pub kernels: Vec<Kernel>,
    /// Floats of working memory that buffers in [`Storage::Arena`] share.
    pub arena: usize,
}

/// A dense array of floats.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Buffer {
    /// The name of the input, output or parameter, `d NAME` for the gradient of a parameter, or `t`
    /// and a number in working memory.
    pub name: String,
    /// Outermost first.
    pub axes: Vec<Id<Axis>>,
    /// Floats: the product of the axes' sizes.
    pub len: usize,
    /// The memory that holds it.
    pub storage: Storage,
}

/// The memory that holds a buffer, which also says who fills it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Storage {
    /// The caller fills it before each run.
    Input,
    /// The caller reads it after each run.
    Output,
    /// Part of the array of all parameters and running averages, by position in
    /// [`Plan::parameters`].
    Parameter(usize),
    /// Part of the array of all gradients, by position in [`Plan::parameters`].
    Gradient(usize),
    /// Working memory, at this offset in floats.
    Arena(usize),
}

/// Loops around at most one contraction, run tile by tile.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Kernel {
    /// Unique in the plan.
    pub name: String,
    /// The formulas that it computes parts of.
    pub origins: Vec<String>,
    /// Run once, before the tiles.
    pub setup: Vec<Loop>,
    /// How the rest of the kernel is split. None if the kernel has only its setup.
    pub tile: Option<Tile>,
    /// Run in each tile before the contraction.
    pub prologue: Vec<Loop>,
    /// The matrix product of each tile.
    pub contraction: Option<Contraction>,
    /// Run in each tile after the contraction.
    pub epilogue: Vec<Loop>,
}

/// How a kernel is split: `count` ranges of `size` along the axis, the last one shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tile {
    /// The axis that is split.
    pub axis: Id<Axis>,
    /// The size of the axis.
    pub length: usize,
    /// Indices in a tile.
    pub size: usize,
    /// The number of tiles.
    pub count: usize,
}

/// A loop nest over axes, outermost first, running the instructions for every element.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Loop {
    /// Outermost first.
    pub axes: Vec<Id<Axis>>,
    /// The size of each axis.
    pub sizes: Vec<usize>,
    /// Whether `axes[0]` is the tile axis, so that the loop runs over the tile's range of it.
    pub tiled: bool,
    /// Run for every element, in order.
    pub instructions: Vec<Instruction>,
}

/// One step of a loop's body. Operands name an instruction's result by its position; accesses to
/// memory give a stride for each axis of the loop.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Instruction {
    /// A number.
    Constant(f64),
    /// The position along the axis with that index in [`Loop::axes`].
    Position(usize),
    /// An element of a buffer.
    Load(Access),
    /// Element number `access` of a stream of noise.
    Noise {
        /// The stream's number.
        stream: u32,
        /// The noise's distribution.
        kind: NoiseKind,
        /// Which element of the stream.
        access: Access,
    },
    /// An operation on earlier results, by their positions.
    Scalar(Scalar, Vec<usize>),
    /// 1 where the value equals the position along the axis, else 0.
    OneHot(usize, usize),
    /// Writes a result to an element of a buffer.
    Store(usize, Access),
    /// Reduces the value into the element; strides are 0 along the reduced axes. The first arrival
    /// replaces what was there.
    Reduce {
        /// How values are combined.
        kind: ReduceKind,
        /// The position of the result that is reduced.
        value: usize,
        /// The element that it is reduced into.
        access: Access,
    },
}

/// The element of a buffer that a loop accesses, in floats from the buffer's start: Σ index ·
/// stride + (number of the tile) · `partial` + Σ (place of a window) · step.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Access {
    /// Unused by [`Instruction::Noise`].
    pub buffer: Id<Buffer>,
    /// Floats between neighbours along each axis of the loop.
    pub strides: Vec<usize>,
    /// Floats between the arrays of two tiles, or 0 if all tiles share one array.
    pub partial: usize,
    /// Windows that name further places. Reductions have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<WindowStep>,
}

/// A window of an access along one axis of the buffer. The indices name the place p with p ·
/// `divisor` = Σ index · stride + `offset`; places lie `step` floats apart. If p is not an integer
/// from 0 to `size` − 1, a load gives 0 and a store does nothing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WindowStep {
    /// The stride of each index of the loop.
    pub strides: Vec<isize>,
    /// Added to the indices' sum.
    pub offset: isize,
    /// The sum is divided by this.
    pub divisor: usize,
    /// The number of places.
    pub size: usize,
    /// Floats between places.
    pub step: usize,
}

/// out[m, n] = Σ over products and k of left[m, k] · right[k, n]. Rows m run along the tile axis,
/// `rows_per_index` for each index of it.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Contraction {
    /// The result.
    pub out: Matrix,
    /// Rows, in all tiles together.
    pub m: usize,
    /// Columns.
    pub n: usize,
    /// Rows for each index of the tile axis.
    pub rows_per_index: usize,
    /// The products that are added.
    pub products: Vec<Product>,
}

/// A product of two matrices.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Product {
    /// The length of the sum.
    pub k: usize,
    /// With axes m, k.
    pub left: Matrix,
    /// With axes k, n.
    pub right: Matrix,
    /// If one operand is read through windows, how. Only the buffer of its matrix counts then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
}

/// An operand of a product that is read through windows.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Windows {
    /// Whether it is the left operand.
    pub left: bool,
    /// Whether the sum runs along the positions of the windows (as in the gradient of a kernel),
    /// and not along the places within a window.
    pub along_positions: bool,
    /// Sizes of the axes that make the rows.
    pub rows: Vec<usize>,
    /// Sizes of the axes that make the columns.
    pub columns: Vec<usize>,
    /// The access to an element by the indices of both.
    pub access: Access,
}

/// A buffer seen as a matrix, by the floats between rows and between columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Matrix {
    /// The buffer.
    pub buffer: Id<Buffer>,
    /// Floats between rows.
    pub row_stride: usize,
    /// Floats between columns.
    pub column_stride: usize,
}

/// The source of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoiseSource {
    /// Philox, by seed and step.
    Generated,
    /// Inputs named as the streams.
    Given,
}

/// Fuses and orders a graph's operations, and places their results.
pub fn build(graph: &Graph, noise: NoiseSource) -> Plan {
    let graph = legalize::run(graph);
    let mut items = collect::run(&graph, noise);
    let slots = fuse::run(&graph, &mut items);
    let mut plan = kernels::write(&graph, &items, &slots);
    memory::place(&mut plan);
    plan
}

impl Plan {
    /// The buffer of an id.
    pub fn buffer(&self, id: Id<Buffer>) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// Whether two buffers are an old value and its replacement in the same memory: a parameter and
    /// its next value.
    pub fn share_memory(&self, first: usize, second: usize) -> bool {
        let (first, second) = (&self.buffers[first], &self.buffers[second]);
        match (&first.storage, &second.storage) {
            (Storage::Parameter(first), Storage::Parameter(second)) => first == second,
            _ => false,
        }
    }

    /// Whether a kernel writes each buffer.
    pub fn written(&self) -> Vec<bool> {
        let mut written = vec![false; self.buffers.len()];
        for kernel in &self.kernels {
            let loops = kernel.loops().flat_map(|nest| &nest.instructions);
            let stored = loops.filter_map(|instruction| match instruction {
                Instruction::Store(_, access) | Instruction::Reduce { access, .. } => {
                    Some(access.buffer)
                }
                _ => None,
            });
            let multiplied = kernel.contraction.iter().map(|product| product.out.buffer);
            stored
                .chain(multiplied)
                .for_each(|buffer| written[buffer.index()] = true);
        }
        written
    }

    /// The kernels that read each buffer, in order.
    pub fn readers(&self) -> Vec<Vec<usize>> {
        let mut readers = vec![Vec::new(); self.buffers.len()];
        for (number, kernel) in self.kernels.iter().enumerate() {
            let products = kernel.contraction.iter().flat_map(|it| &it.products);
            let operands = products.flat_map(|product| [product.left, product.right]);
            let loops = kernel.loops().flat_map(|nest| &nest.instructions);
            let loaded = loops.filter_map(|instruction| match instruction {
                Instruction::Load(access) => Some(access.buffer),
                _ => None,
            });
            for buffer in operands.map(|matrix| matrix.buffer).chain(loaded) {
                let readers: &mut Vec<usize> = &mut readers[buffer.index()];
                if readers.last() != Some(&number) {
                    readers.push(number);
                }
            }
        }
        readers
    }

    /// The buffers that the caller reads after each run. Gradients and next values are not among
    /// them.
    pub fn outputs(&self) -> impl Iterator<Item = &Buffer> {
        self.buffers
            .iter()
            .filter(|buffer| buffer.storage == Storage::Output)
    }

    /// Floating-point operations of the contractions of one run; a multiply-add is two.
    pub fn contraction_operations(&self) -> u64 {
        let contractions = self
            .kernels
            .iter()
            .filter_map(|kernel| kernel.contraction.as_ref());
        contractions.map(Contraction::operations).sum()
    }
}

impl WindowStep {
    /// The place for a sum of indices, if they name one.
    pub fn place(&self, sum: isize) -> Option<usize> {
        if self.divisor == 1 {
            return (0..self.size as isize)
                .contains(&sum)
                .then_some(sum as usize);
        }
        let divisor = self.divisor as isize;
        let place = sum.div_euclid(divisor);
        let is_place = sum.rem_euclid(divisor) == 0 && (0..self.size as isize).contains(&place);
        is_place.then_some(place as usize)
    }

    /// The part of a range where `first + stride · at` names a place of this window, whose divisor
    /// is 1.
    pub fn inside(&self, range: Range<usize>, first: isize, stride: isize) -> Range<usize> {
        debug_assert_eq!(self.divisor, 1, "each sum is a place");
        let size = self.size as isize;
        let (from, to) = match stride {
            0 if (0..size).contains(&first) => return range,
            0 => (0, 0),
            1.. => (ceiling(-first, stride), ceiling(size - first, stride)),
            _ => (
                ceiling(first + 1 - size, -stride),
                ceiling(first + 1, -stride),
            ),
        };
        let (first, last) = (range.start as isize, range.end as isize);
        let start = from.clamp(first, last);
        start as usize..to.clamp(start, last) as usize
    }
}

/// The least number that is not below `value / step`, for a positive step.
fn ceiling(value: isize, step: isize) -> isize {
    match step {
        // Windows mostly move by one place, and division is slow.
        1 => value,
        _ => -(-value).div_euclid(step),
    }
}

impl Loop {
    /// The accesses to memory, in the order of the instructions.
    pub fn memory_accesses(&self) -> impl Iterator<Item = &Access> {
        self.instructions
            .iter()
            .filter_map(|instruction| match instruction {
                Instruction::Load(access)
                | Instruction::Store(_, access)
                | Instruction::Reduce { access, .. } => Some(access),
                _ => None,
            })
    }

    /// The loads of a buffer.
    pub fn loads(&self, buffer: Id<Buffer>) -> impl Iterator<Item = &Access> {
        self.instructions
            .iter()
            .filter_map(move |instruction| match instruction {
                Instruction::Load(access) if access.buffer == buffer => Some(access),
                _ => None,
            })
    }

    /// How many times the instructions run.
    pub fn elements(&self) -> usize {
        self.sizes.iter().product()
    }
}

#[cfg(test)]
mod tests {
    use super::WindowStep;

    #[test]
    fn what_is_inside_of_a_window_is_a_range() {
        for size in 1..5 {
            let window = WindowStep {
                strides: Vec::new(),
                offset: 0,
                divisor: 1,
                size,
                step: 1,
            };
            for (first, stride) in (-9..9).flat_map(|first| (-3..4).map(move |by| (first, by))) {
                let range = 1..6;
                let inside = window.inside(range.clone(), first, stride);
                assert!(range.start <= inside.start && inside.start <= inside.end);
                assert!(inside.end <= range.end);
                for at in range {
                    let is_place = window.place(first + stride * at as isize).is_some();
                    assert_eq!(inside.contains(&at), is_place, "{first} + {stride} · {at}");
                }
            }
        }
    }
}
