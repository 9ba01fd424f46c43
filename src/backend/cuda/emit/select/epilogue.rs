//! Epilogues: selects the loop that is applied to a contraction's sums within its blocks, and the
//! sums of that loop that the blocks compute.
//!
//! Each thread processes elements of a single column and adds them; then the block adds its
//! threads. The lanes of a warp process 32 columns of a row; their sum is a part of the row's sum.

use super::{
    super::{
        nest::{loads, replaces, row_axes, sinks},
        spec::{Finish, Fused, Rematerialized, WARP},
    },
    tiles::whole_tiles,
};
use crate::{
    id::Id,
    plan::{Access, Buffer, Contraction, Instruction, Kernel, Loop, Plan, Storage},
};

/// The axes of a contraction's result that a sum keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// The columns, in parts.
    Columns,
    /// The rows, whole.
    Rows,
}

/// The access through which a loop reads the contraction's result, if its axes are those of the
/// rows, then of the columns.
fn reads(contraction: &Contraction, nest: &Loop) -> Option<Access> {
    let (rows, out) = (row_axes(nest, contraction.m)?, &contraction.out);
    let mut strides = vec![0; nest.sizes.len()];
    for (range, unit) in [
        (0..rows, out.row_stride),
        (rows..nest.sizes.len(), out.column_stride),
    ] {
        let mut below = unit;
        for axis in range.rev() {
            strides[axis] = below;
            below *= nest.sizes[axis];
        }
    }
    Some(Access {
        buffer: out.buffer,
        strides,
        partial: 0,
        spans: Vec::new(),
    })
}

/// The sums of a loop that keep a contraction's columns and are partial, or that keep its rows and
/// are whole.
fn sums<'n>(
    contraction: &Contraction,
    nest: &'n Loop,
    wanted: Kept,
) -> impl Iterator<Item = (usize, &'n Access)> {
    let rows = row_axes(nest, contraction.m).unwrap_or(0);
    let of_columns = wanted == Kept::Columns;
    let keeps = move |access: &Access| {
        let mut axes = access.strides.iter().zip(&nest.sizes).enumerate();
        axes.all(|(axis, (&stride, &size))| {
            if (axis < rows) == of_columns {
                stride == 0
            } else {
                stride > 0 || size == 1
            }
        })
    };
    let numbered = nest.instructions.iter().enumerate();
    numbered.filter_map(move |(number, instruction)| match instruction {
        Instruction::Reduce { access, .. } if (access.partial > 0) == of_columns => {
            keeps(access).then_some((number, access))
        }
        _ => None,
    })
}

/// The sums of columns in a loop that can be applied to a contraction's sums, and their number of
/// parts if the contraction's blocks compute them.
pub(super) fn column_parts<'n>(
    plan: &Plan,
    contraction: &Contraction,
    nest: &'n Loop,
) -> Vec<(&'n Access, usize)> {
    let Some(shape) = whole_tiles(contraction).filter(|_| fits(plan, contraction, nest)) else {
        return Vec::new();
    };
    let count = contraction.m.div_ceil(shape.m);
    sums(contraction, nest, Kept::Columns)
        .map(|(_, access)| (access, count))
        .collect()
}

/// Whether a loop can be applied to the sums of a contraction in registers: it iterates over the
/// contraction's elements and reads each independently. If it sums, it does not write what it
/// reads.
fn fits(plan: &Plan, contraction: &Contraction, nest: &Loop) -> bool {
    let Some(access) = reads(contraction, nest) else {
        return false;
    };
    let has_sums = nest
        .instructions
        .iter()
        .any(|instruction| matches!(instruction, Instruction::Reduce { .. }));
    let can_sum = || whole_tiles(contraction).is_some() && !replaces(plan, nest);
    let elementwise =
        loads(nest).all(|load| load.buffer != contraction.out.buffer || *load == access);
    nest.elements() == contraction.m * contraction.n && (!has_sums || can_sum()) && elementwise
}

/// The loop applied to a contraction's sums; `None` if it cannot be applied, or brings no gain.
pub(super) fn fused<'p>(
    plan: &Plan,
    contraction: &Contraction,
    nest: &'p Loop,
) -> Option<Fused<'p>> {
    if !fits(plan, contraction, nest) {
        return None;
    }
    let (mut columns, mut rows) = (Vec::new(), Vec::new());
    if let Some(shape) = whole_tiles(contraction) {
        let count = contraction.m.div_ceil(shape.m);
        let has_parts = |access: &Access| plan.buffer(access.buffer).len == count * access.partial;
        columns.extend(
            sums(contraction, nest, Kept::Columns)
                .filter(|(_, access)| has_parts(access))
                .map(|(number, _)| number),
        );
        // All lanes of a warp must process the same row.
        rows.extend(
            sums(contraction, nest, Kept::Rows)
                .filter(|_| shape.n >= WARP)
                .map(|(number, _)| number),
        );
    }
    let (mut stores, mut rest) = (Vec::new(), Vec::new());
    for number in sinks(nest) {
        match nest.instructions[number] {
            Instruction::Store(..) => stores.push(number),
            _ if columns.contains(&number) || rows.contains(&number) => {}
            _ => rest.push(number),
        }
    }
    let gains = !(stores.is_empty() && columns.is_empty() && rows.is_empty());
    gains.then(|| Fused {
        nest,
        reads: reads(contraction, nest).expect("the loop fits"),
        row_axes: row_axes(nest, contraction.m).expect("the loop fits"),
        stores,
        columns,
        rows,
        rest,
        rematerialized: Rematerialized::default(),
    })
}

/// The use of a contraction's sums. They are stored unless only the fused loop reads them, in its
/// first pass.
pub(super) fn finish<'p>(
    plan: &Plan,
    contraction: &Contraction,
    fused: Option<&Fused<'p>>,
) -> Finish<'p> {
    let out = contraction.out.buffer;
    let is_read_later = |fused: &Fused| {
        !fused.rest.is_empty()
            || plan
                .kernels
                .iter()
                .any(|kernel| reads_outside(kernel, out, fused.nest))
    };
    let is_inner = matches!(plan.buffer(out).storage, Storage::Arena(_));
    Finish {
        stored: !is_inner || fused.is_none_or(is_read_later),
        fused: fused.cloned(),
    }
}

/// Whether a kernel reads a buffer outside the given loop.
fn reads_outside(kernel: &Kernel, buffer: Id<Buffer>, nest: &Loop) -> bool {
    let products = kernel
        .contraction
        .iter()
        .flat_map(|contraction| &contraction.products);
    let mut operands = products.flat_map(|product| [&product.left, &product.right]);
    let mut loops = kernel.loops().filter(|other| !std::ptr::eq(*other, nest));
    operands.any(|matrix| matrix.buffer == buffer)
        || loops.any(|other| loads(other).any(|access| access.buffer == buffer))
}
