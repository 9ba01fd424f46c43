//! Places buffers in working memory. Two buffers may share bytes if no kernel lies in the lifetimes
//! of both.

use super::{Kernel, Loop, Plan, Storage};

/// Floats of a cache line, to which buffers are aligned.
const ALIGNMENT: usize = 16;

/// Gives each buffer in the arena its offset.
pub(super) fn place(plan: &mut Plan) {
    let lifetimes = lifetimes(plan);
    let placed = |index: &usize| {
        matches!(plan.buffers[*index].storage, Storage::Arena(_)) && lifetimes[*index].is_some()
    };
    let indices: Vec<usize> = (0..plan.buffers.len()).filter(placed).collect();
    let lives = indices.iter().map(|&index| {
        let (first, last) = lifetimes[index].expect("only buffers with a lifetime are placed");
        (plan.buffers[index].len, first, last)
    });
    let (offsets, len) = first_fit(&lives.collect::<Vec<_>>());
    for (index, offset) in indices.into_iter().zip(offsets) {
        plan.buffers[index].storage = Storage::Arena(offset);
    }
    plan.arena = len;
}

/// Offsets for arrays, and the floats that all need together. A triple gives an array's floats and
/// its first and last moment. The largest array is placed first, each as low as it fits.
pub fn first_fit(lives: &[(usize, usize, usize)]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(lives[index].0), index));
    let (mut offsets, mut end) = (vec![0; lives.len()], 0);
    let mut placed: Vec<usize> = Vec::new();
    for index in order {
        let (len, first, last) = lives[index];
        let alive = |other: &&usize| lives[**other].1 <= last && first <= lives[**other].2;
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(alive)
            .map(|&other| (offsets[other], offsets[other] + lives[other].0))
            .collect();
        taken.sort_unstable();
        let mut start = 0;
        for (from, to) in taken {
            if start + len <= from {
                break;
            }
            start = start.max(to.next_multiple_of(ALIGNMENT));
        }
        offsets[index] = start;
        end = end.max(start + len);
        placed.push(index);
    }
    (offsets, end)
}

/// The first and the last kernel that touch each buffer.
fn lifetimes(plan: &Plan) -> Vec<Option<(usize, usize)>> {
    let mut lifetimes: Vec<Option<(usize, usize)>> = vec![None; plan.buffers.len()];
    for (number, kernel) in plan.kernels.iter().enumerate() {
        for buffer in touched(kernel) {
            let (first, _) = lifetimes[buffer].unwrap_or((number, number));
            lifetimes[buffer] = Some((first, number));
        }
    }
    lifetimes
}

/// The buffers that a kernel reads or writes.
fn touched(kernel: &Kernel) -> impl Iterator<Item = usize> {
    let matrices = kernel.contraction.iter().flat_map(|contraction| {
        let products = contraction.products.iter();
        let operands = products.flat_map(|product| [product.left, product.right]);
        operands.chain([contraction.out])
    });
    let buffers = matrices.map(|matrix| matrix.buffer.index());
    kernel.loops().flat_map(loop_buffers).chain(buffers)
}

fn loop_buffers(nest: &Loop) -> impl Iterator<Item = usize> {
    nest.memory_accesses().map(|access| access.buffer.index())
}

impl Kernel {
    /// All loops, in the order in which they run.
    pub fn loops(&self) -> impl Iterator<Item = &Loop> {
        self.setup
            .iter()
            .chain(&self.prologue)
            .chain(&self.epilogue)
    }
}
