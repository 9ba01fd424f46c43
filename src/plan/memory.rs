//! Places buffers in working memory: two may share bytes if no kernel lies in the lifetimes of both.

use super::{Instruction, Kernel, Loop, Place, Plan};

/// Floats to which buffers are aligned: a cache line.
const ALIGNMENT: usize = 16;

/// Gives each buffer in the arena its offset, the largest first, each as low as it fits.
pub(super) fn place(plan: &mut Plan) {
    let lifetimes = lifetimes(plan);
    let mut order: Vec<usize> =
        (0..plan.buffers.len()).filter(|&index| matches!(plan.buffers[index].place, Place::Arena(_))).collect();
    order.sort_by_key(|&index| (std::cmp::Reverse(plan.buffers[index].len), index));
    let mut placed: Vec<usize> = Vec::new();
    for index in order {
        let Some((first, last)) = lifetimes[index] else { continue };
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| lifetimes[other].is_some_and(|(begin, end)| begin <= last && first <= end))
            .map(|&other| (offset(plan, other), offset(plan, other) + plan.buffers[other].len))
            .collect();
        taken.sort_unstable();
        let len = plan.buffers[index].len;
        let mut start = 0;
        for (from, to) in taken {
            if start + len <= from {
                break;
            }
            start = start.max(to.next_multiple_of(ALIGNMENT));
        }
        plan.buffers[index].place = Place::Arena(start);
        plan.arena = plan.arena.max(start + len);
        placed.push(index);
    }
}

fn offset(plan: &Plan, buffer: usize) -> usize {
    match plan.buffers[buffer].place {
        Place::Arena(offset) => offset,
        _ => unreachable!("only buffers in the arena are placed"),
    }
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
fn touched(kernel: &Kernel) -> Vec<usize> {
    let mut buffers: Vec<usize> = kernel.loops().flat_map(loop_buffers).collect();
    if let Some(contraction) = &kernel.contraction {
        buffers.push(contraction.out.buffer.index());
        let operands = contraction.products.iter().flat_map(|product| [product.left, product.right]);
        buffers.extend(operands.map(|matrix| matrix.buffer.index()));
    }
    buffers
}

fn loop_buffers(nest: &Loop) -> Vec<usize> {
    let accesses = nest.instructions.iter().filter_map(|instruction| match instruction {
        Instruction::Load(access) | Instruction::Store(_, access) | Instruction::Reduce { access, .. } => Some(access),
        _ => None,
    });
    accesses.map(|access| access.buffer.index()).collect()
}

impl Kernel {
    /// All loops, in the order in which they run.
    pub fn loops(&self) -> impl Iterator<Item = &Loop> {
        self.head.iter().chain(&self.before).chain(&self.after)
    }
}
