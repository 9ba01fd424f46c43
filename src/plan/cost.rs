//! A lower bound on the cost of a kernel: its operations, and the bytes that it reads and writes,
//! each once.

use super::{Access, Buffer, Contraction, Instruction, Kernel, Loop, Plan};
use crate::{
    id::Id,
    tensor::{Axis, AxisKind},
};
use std::collections::{BTreeMap, BTreeSet};

/// Floating-point operations and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Of the contractions; a multiply-add is two.
    pub products: u64,
    /// Elementwise, and additions of reductions.
    pub others: u64,
    /// Read and written from and to memory, each byte once.
    pub bytes: u64,
}

impl std::ops::Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost {
            products: self.products + other.products,
            others: self.others + other.others,
            bytes: self.bytes + other.bytes,
        }
    }
}

impl Contraction {
    /// Floating-point operations; a multiply-add is two.
    pub fn operations(&self) -> u64 {
        let k: usize = self.products.iter().map(|product| product.k).sum();
        2 * (self.m * self.n * k) as u64
    }
}

impl Plan {
    /// A lower bound on a kernel's cost. Buffers that only this kernel uses are not counted: they may
    /// stay in registers or caches. An element takes four bytes, or two in a buffer that `rounded`
    /// marks, such as those of [`Plan::multiplied_only`]; an empty slice marks none.
    pub fn cost(&self, kernel: &Kernel, rounded: &[bool]) -> Cost {
        let extents = self.extents(kernel);
        // A kernel need not read what it wrote itself, nor write what no other kernel reads.
        let written: BTreeSet<Id<Buffer>> = extents
            .keys()
            .filter(|(_, written)| *written)
            .map(|(id, _)| *id)
            .collect();
        let counted = extents
            .iter()
            .filter(|((buffer, is_write), _)| match is_write {
                true => self.is_read_elsewhere(*buffer, kernel),
                false => !written.contains(buffer),
            });
        let is_rounded = |buffer: Id<Buffer>| rounded.get(buffer.index()) == Some(&true);
        let bytes = counted.map(|((buffer, _), extent)| match is_rounded(*buffer) {
            true => 2 * extent,
            false => 4 * extent,
        });
        let contraction = kernel.contraction.as_ref();
        Cost {
            products: contraction.map_or(0, Contraction::operations),
            others: kernel.loops().map(operations).sum(),
            bytes: bytes.sum(),
        }
    }

    /// The elements of each buffer that a kernel reads (false) and writes (true).
    fn extents(&self, kernel: &Kernel) -> BTreeMap<(Id<Buffer>, bool), u64> {
        let mut extents: BTreeMap<(Id<Buffer>, bool), u64> = BTreeMap::new();
        for nest in kernel.loops() {
            for instruction in &nest.instructions {
                let (access, written) = match instruction {
                    Instruction::Load(access) => (access, false),
                    Instruction::Store(_, access) | Instruction::Reduce { access, .. } => {
                        (access, true)
                    }
                    _ => continue,
                };
                let tiles = kernel
                    .tile
                    .filter(|_| access.partial > 0)
                    .map_or(1, |tile| tile.count);
                let extent = (elements(nest, access) * tiles) as u64;
                let most = extents.entry((access.buffer, written)).or_default();
                *most = extent.max(*most);
            }
        }
        if let Some(contraction) = &kernel.contraction {
            extents.insert(
                (contraction.out.buffer, true),
                (contraction.m * contraction.n) as u64,
            );
            for product in &contraction.products {
                for (matrix, rows) in [
                    (product.left, contraction.m),
                    (product.right, contraction.n),
                ] {
                    // Through windows an element is seen many times.
                    let extent = (rows * product.k).min(self.buffer(matrix.buffer).len);
                    extents.insert((matrix.buffer, false), extent as u64);
                }
            }
        }
        extents
    }

    /// The sum of [`Plan::cost`] over all kernels.
    pub fn total_cost(&self, rounded: &[bool]) -> Cost {
        self.kernels
            .iter()
            .map(|kernel| self.cost(kernel, rounded))
            .fold(Cost::default(), |a, b| a + b)
    }

    fn is_read_elsewhere(&self, buffer: Id<Buffer>, kernel: &Kernel) -> bool {
        let outside = !matches!(self.buffer(buffer).storage, super::Storage::Arena(_));
        outside
            || self
                .kernels
                .iter()
                .filter(|other| other.name != kernel.name)
                .any(|other| other.reads(buffer))
    }

    /// Operations of the contractions in a program that repeats each row for every sample and class,
    /// and computes every value on all of them.
    pub fn tiled_operations(&self) -> u64 {
        let axes_of = |buffer: Id<Buffer>| &self.buffer(buffer).axes;
        let kind = |axis: &Id<Axis>| self.axes[axis.index()].kind;
        // The samples and classes of the values with each row axis.
        let mut with: BTreeMap<Id<Axis>, BTreeSet<Id<Axis>>> = BTreeMap::new();
        for buffer in &self.buffers {
            let inner = buffer
                .axes
                .iter()
                .filter(|axis| matches!(kind(axis), AxisKind::Sample | AxisKind::Class));
            let inner: Vec<Id<Axis>> = inner.copied().collect();
            // Weights of a class have its axis too, but belong to no row axis.
            for row in buffer
                .axes
                .iter()
                .filter(|axis| kind(axis) == AxisKind::Row)
            {
                with.entry(*row).or_default().extend(&inner);
            }
        }
        let contractions = self
            .kernels
            .iter()
            .filter_map(|kernel| kernel.contraction.as_ref());
        let operations = contractions.flat_map(|contraction| {
            contraction.products.iter().map(|product| {
                let operand_axes: BTreeSet<Id<Axis>> = [product.left, product.right]
                    .iter()
                    .flat_map(|matrix| axes_of(matrix.buffer))
                    .copied()
                    .collect();
                let missing = operand_axes
                    .iter()
                    .filter_map(|axis| with.get(axis))
                    .flatten()
                    .collect::<BTreeSet<_>>();
                let missing = missing
                    .into_iter()
                    .filter(|axis| !operand_axes.contains(axis));
                let times: usize = missing.map(|axis| self.axes[axis.index()].size).product();
                2 * (contraction.m * contraction.n * product.k * times) as u64
            })
        });
        operations.sum()
    }
}

impl Kernel {
    fn reads(&self, buffer: Id<Buffer>) -> bool {
        let loaded = self
            .loops()
            .flat_map(|nest| &nest.instructions)
            .any(|instruction| match instruction {
                Instruction::Load(access) => access.buffer == buffer,
                _ => false,
            });
        let products = self
            .contraction
            .iter()
            .flat_map(|contraction| &contraction.products);
        loaded
            || products
                .flat_map(|product| [product.left, product.right])
                .any(|matrix| matrix.buffer == buffer)
    }
}

/// Operations of a loop nest.
fn operations(nest: &Loop) -> u64 {
    let working = nest.instructions.iter().filter(|instruction| {
        matches!(
            instruction,
            Instruction::Scalar(..) | Instruction::Reduce { .. } | Instruction::OneHot(..)
        )
    });
    (working.count() * nest.elements()) as u64
}

/// The elements that an access touches in a whole loop.
pub fn elements(nest: &Loop, access: &Access) -> usize {
    let direct = access
        .strides
        .iter()
        .zip(&nest.sizes)
        .filter(|(stride, _)| **stride > 0)
        .map(|(_, size)| size);
    direct
        .chain(access.spans.iter().map(|span| &span.size))
        .product()
}
