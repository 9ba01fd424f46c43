//! Loops and their instructions: invariants 5, 6, 8, 13 and 15.

use super::{
    accesses::{self, block, covers, has_no, in_bounds, written_once},
    check::{
        Check, MOST_AXES, MOST_ELEMENTS, MOST_INSTRUCTIONS, MOST_VISITS, MOST_WORK, PlanError,
        SMALL_LOOP, ensure, entry, product, reach, sum,
    },
    hazards::{Footprint, Hazards, Moment},
};
use crate::{
    plan::{Access, Instruction, Loop, Plan, Tile},
    tensor::ReduceKind,
};

pub(super) fn verify(
    plan: &Plan,
    nest: &Loop,
    tile: Option<Tile>,
    moment: Moment,
    hazards: &mut Hazards,
) -> Check {
    verify_axes(plan, nest, tile)?;
    verify_operands(nest)?;
    let checked = Nest {
        plan,
        nest,
        tile,
        moment,
    };
    // Loads come first: what a loop reads is what was there before it began.
    for instruction in &nest.instructions {
        match instruction {
            Instruction::Load(access) => checked.load(access, hazards)?,
            Instruction::Noise { access, .. } => checked.noise(access)?,
            Instruction::Position(axis) | Instruction::OneHot(_, axis) => {
                ensure(*axis < nest.axes.len(), "an axis of the loop", || {
                    format!("number {axis}")
                })?;
            }
            _ => {}
        }
    }
    for instruction in &nest.instructions {
        match instruction {
            Instruction::Store(_, access) => checked.store(access, hazards)?,
            Instruction::Reduce { kind, access, .. } => checked.reduce(*kind, access, hazards)?,
            _ => {}
        }
    }
    Ok(())
}

fn verify_axes(plan: &Plan, nest: &Loop, tile: Option<Tile>) -> Check {
    let counts = (nest.axes.len(), nest.sizes.len());
    ensure(
        counts.0 == counts.1 && counts.0 <= MOST_AXES,
        "a size for each of at most 16 axes",
        || format!("{} for {}", counts.1, counts.0),
    )?;
    let mut axes = nest.axes.iter().enumerate();
    let are_distinct = axes.all(|(position, axis)| !nest.axes[..position].contains(axis));
    ensure(are_distinct, "distinct axes", || "one twice".to_string())?;
    for (&axis, &size) in nest.axes.iter().zip(&nest.sizes) {
        let axis = entry(&plan.axes, axis, "axes")?;
        ensure(size == axis.size, "the size of the axis", || {
            format!("{size} for {}", axis.size)
        })
        .map_err(|error| error.about(&axis.name))?;
    }
    let elements = product(nest.sizes.iter().copied(), MOST_ELEMENTS)?;
    let count = nest.instructions.len();
    ensure(
        (1..=MOST_INSTRUCTIONS).contains(&count),
        "a few instructions",
        || count.to_string(),
    )?;
    product([elements, count], MOST_WORK)?;
    verify_visits(plan, nest, elements)?;
    let first = nest.axes.first();
    let fits = match tile {
        Some(tile) => nest.tiled && first == Some(&tile.axis),
        None => !nest.tiled,
    };
    ensure(
        fits,
        "loops of the tiles, and no others, to run along the tile axis",
        || format!("a loop with tiled = {}", nest.tiled),
    )
}

/// Verifies that a loop's iterations are in proportion to the memory that it touches. Noise and
/// positions come from no memory.
fn verify_visits(plan: &Plan, nest: &Loop, elements: usize) -> Check {
    if elements <= SMALL_LOOP {
        return Ok(());
    }
    // Accesses are not verified yet; a buffer that does not exist has no elements.
    let len = |instruction: &Instruction| match instruction {
        Instruction::Load(access)
        | Instruction::Store(_, access)
        | Instruction::Reduce { access, .. } => plan
            .buffers
            .get(access.buffer.index())
            .map(|buffer| buffer.len),
        _ => None,
    };
    let longest = nest.instructions.iter().filter_map(len).max().unwrap_or(0);
    ensure(
        elements <= longest.saturating_mul(MOST_VISITS),
        "a loop in proportion to the memory that it touches",
        || format!("{elements} iterations over buffers of at most {longest} elements"),
    )
}

fn verify_operands(nest: &Loop) -> Check {
    for (number, instruction) in nest.instructions.iter().enumerate() {
        for &operand in operands(instruction) {
            let is_value = operand < number
                && !matches!(
                    nest.instructions[operand],
                    Instruction::Store(..) | Instruction::Reduce { .. }
                );
            ensure(
                is_value,
                "operands that earlier instructions compute",
                || format!("instruction {number} reads {operand}"),
            )?;
        }
        if let Instruction::Scalar(scalar, operands) = instruction {
            let row = scalar.row();
            ensure(
                operands.len() == row.arity,
                "as many operands as the operation takes",
                || format!("{} of `{}`", operands.len(), row.name),
            )?;
        }
    }
    Ok(())
}

/// A loop whose axes and operands are verified.
struct Nest<'p> {
    plan: &'p Plan,
    nest: &'p Loop,
    tile: Option<Tile>,
    moment: Moment,
}

impl Nest<'_> {
    fn footprint(&self, access: &Access) -> Footprint {
        match self.tile {
            Some(_) => Footprint::of_block(block(&self.nest.sizes, access)),
            None => Footprint::Whole,
        }
    }

    fn load(&self, access: &Access, hazards: &mut Hazards) -> Check {
        let buffer = accesses::verify(self.plan, &self.nest.sizes, access)?;
        let about = |error: PlanError| error.about(&buffer.name);
        has_no("partial result", access.partial > 0).map_err(about)?;
        if let Some(floats) = hazards.partial(access.buffer) {
            self.combines(access, floats).map_err(about)?;
        }
        let footprint = self.footprint(access);
        hazards.read(access.buffer, self.moment, footprint, Some(access))
    }

    /// Verifies that a load of partial results walks the tiles along the axis that counts them, since a
    /// device may choose other tiles.
    fn combines(&self, access: &Access, floats: usize) -> Check {
        let tiles = self.plan.buffer(access.buffer).axes.first();
        let position = self.nest.axes.iter().position(|axis| Some(axis) == tiles);
        let inner = position.and_then(|position| {
            let others = self.nest.sizes.iter().zip(&access.strides).enumerate();
            let others = others.filter(|(axis, _)| *axis != position);
            sum(others.map(|(_, (&size, &stride))| reach(size, stride))).ok()
        });
        let walks = position.is_some_and(|position| access.strides[position] == floats)
            && inner.is_some_and(|inner| inner < floats)
            && access.spans.is_empty();
        ensure(walks, "partial results read along their tiles", || {
            "other strides".to_string()
        })
    }

    fn noise(&self, access: &Access) -> Check {
        let sizes = &self.nest.sizes;
        let mut below = 1;
        let mut dense = vec![0; sizes.len()];
        for (stride, size) in dense.iter_mut().zip(sizes).rev() {
            *stride = below;
            below = product([below, *size], MOST_ELEMENTS)?;
        }
        let plain = access.partial == 0 && access.spans.is_empty();
        ensure(
            access.strides == dense && plain,
            "noise that numbers the loop's elements",
            || format!("strides {:?}", access.strides),
        )
    }

    fn store(&self, access: &Access, hazards: &mut Hazards) -> Check {
        let sizes = &self.nest.sizes;
        let buffer = accesses::verify(self.plan, sizes, access)?;
        let covered = || -> Check {
            has_no("partial result", access.partial > 0)?;
            for (axis, (&size, &stride)) in sizes.iter().zip(&access.strides).enumerate() {
                let by_window = access.spans.iter().any(|window| window.strides[axis] != 0);
                let moves = stride > 0 || by_window || size == 1;
                ensure(moves, "a store of each element once", || {
                    format!("axis {axis} with a stride of 0")
                })?;
            }
            let axes = sizes.iter().copied().zip(access.strides.iter().copied());
            let windows = access.spans.iter().map(|window| (window.size, window.step));
            let digits = axes.filter(|(_, stride)| *stride > 0).chain(windows);
            covers(buffer, written_once(digits)?)
        };
        covered().map_err(|error| error.about(&buffer.name))?;
        let footprint = self.footprint(access);
        hazards.write(access.buffer, self.moment, footprint, Some(access))
    }

    fn reduce(&self, kind: ReduceKind, access: &Access, hazards: &mut Hazards) -> Check {
        let buffer = accesses::verify(self.plan, &self.nest.sizes, access)?;
        let about = |error: PlanError| error.about(&buffer.name);
        let no_sum = kind == ReduceKind::LogSumExp;
        has_no("log-sum-exp", no_sum).map_err(about)?;
        has_no("window", !access.spans.is_empty()).map_err(about)?;
        let footprint = self.reduced(access).map_err(about)?;
        hazards.write(access.buffer, self.moment, footprint, None)
    }

    /// Verifies how a reduction's result lies, and gives the elements that a tile writes.
    fn reduced(&self, access: &Access) -> Check<Footprint> {
        let (sizes, buffer) = (&self.nest.sizes, self.plan.buffer(access.buffer));
        let axes = || sizes.iter().copied().zip(access.strides.iter().copied());
        let kept = written_once(axes().filter(|(_, stride)| *stride > 0))?;
        let long = axes().rev().find(|(size, _)| *size > 1);
        let inner = long
            .or_else(|| axes().next())
            .map_or(0, |(_, stride)| stride);
        ensure(inner <= 1, "a result walked in steps of 0 or 1", || {
            format!("steps of {inner}")
        })?;
        let row = access.strides.first().copied().unwrap_or(0);
        let Some(tile) = self.tile.filter(|_| access.partial > 0) else {
            has_no("partial result", access.partial > 0)?;
            covers(buffer, kept)?;
            if self.tile.is_none() {
                return Ok(Footprint::Whole);
            }
            ensure(row > 0, "a result for each tile", || {
                "one for all".to_string()
            })?;
            let of_index = kept / sizes[0];
            ensure(
                sizes[0] == 1 || row == of_index,
                "results in the order of the tiles",
                || format!("a stride of {row} for {of_index}"),
            )?;
            return Ok(Footprint::Block(of_index));
        };
        ensure(
            row == 0,
            "partial results, or results for each index of the tile axis",
            || "both".to_string(),
        )?;
        ensure(
            access.partial == kept,
            "partial results without gaps",
            || format!("{} floats for {kept}", access.partial),
        )?;
        covers(buffer, product([kept, tile.count], MOST_ELEMENTS)?)?;
        let counted = buffer
            .axes
            .first()
            .map(|axis| self.plan.axes[axis.index()].size);
        ensure(
            counted == Some(tile.count),
            "partial results along an axis that counts the tiles",
            || format!("{counted:?} for {}", tile.count),
        )?;
        in_bounds(buffer, sum([reach(tile.count, kept), Some(kept - 1)])?)?;
        Ok(Footprint::Partial(kept))
    }
}

/// The values that an instruction reads.
fn operands(instruction: &Instruction) -> &[usize] {
    match instruction {
        Instruction::Scalar(_, operands) => operands,
        Instruction::OneHot(value, _)
        | Instruction::Store(value, _)
        | Instruction::Reduce { value, .. } => std::slice::from_ref(value),
        _ => &[],
    }
}
