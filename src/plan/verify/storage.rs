//! Axes, parameters, buffers and working memory: invariants 1, 2 and 4.

use super::check::{Check, MOST_ELEMENTS, PlanError, ensure, entry, product, sum};
use crate::{
    id::Id,
    plan::{Buffer, Plan, Storage},
    tensor::Axis,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn axes(plan: &Plan) -> Check {
    plan.axes.iter().try_for_each(|axis| {
        product([axis.size], MOST_ELEMENTS)
            .map(|_| ())
            .map_err(|error| error.about(&axis.name))
    })
}

/// The elements of some axes.
fn elements(plan: &Plan, axes: &[Id<Axis>]) -> Check<usize> {
    let mut elements = 1;
    for &axis in axes {
        let size = entry(&plan.axes, axis, "axes")?.size;
        elements = product([elements, size], MOST_ELEMENTS)?;
    }
    Ok(elements)
}

pub(super) fn parameters(plan: &Plan) -> Check {
    let mut seen = BTreeSet::new();
    let mut lengths = Vec::new();
    for parameter in &plan.parameters {
        let name = parameter.name.as_str();
        ensure(seen.insert(name), "distinct parameters", || {
            format!("{name:?} twice")
        })?;
        let len = elements(plan, &parameter.axes).map_err(|error| error.about(name))?;
        lengths.push(len.checked_next_multiple_of(4));
    }
    sum(lengths).map(|_| ())
}

pub(super) fn buffers(plan: &Plan) -> Check {
    for buffer in &plan.buffers {
        verify_buffer(plan, buffer).map_err(|error| error.about(&buffer.name))?;
    }
    Ok(())
}

fn verify_buffer(plan: &Plan, buffer: &Buffer) -> Check {
    let len = elements(plan, &buffer.axes)?;
    ensure(buffer.len == len, "the length of the buffer's axes", || {
        format!("{} for {len}", buffer.len)
    })?;
    let (Storage::Parameter(index) | Storage::Gradient(index)) = buffer.storage else {
        return Ok(());
    };
    let parameter = plan.parameters.get(index).ok_or_else(|| {
        let expected = format!("one of {} parameters", plan.parameters.len());
        PlanError::new(expected, format!("number {index}"))
    })?;
    ensure(
        buffer.axes == parameter.axes,
        "the axes of the parameter",
        || format!("others than those of {:?}", parameter.name),
    )?;
    let trained = parameter.trained || matches!(buffer.storage, Storage::Parameter(_));
    ensure(trained, "a gradient of a trained parameter", || {
        format!("one of {:?}", parameter.name)
    })
}

/// A buffer in working memory, with its place and the first and last kernels that touch it.
struct Lived<'p> {
    buffer: &'p Buffer,
    start: usize,
    end: usize,
    first: usize,
    last: usize,
}

/// Buffers in working memory lie within it, and overlap only if no kernel lies in the lifetimes of
/// both.
pub(super) fn arena(plan: &Plan, lifetimes: &[Option<(usize, usize)>]) -> Check {
    let mut lived: Vec<Lived> = Vec::new();
    let mut length = 0;
    for (buffer, lifetime) in plan.buffers.iter().zip(lifetimes) {
        let Storage::Arena(start) = buffer.storage else {
            continue;
        };
        let end =
            sum([Some(start), Some(buffer.len)]).map_err(|error| error.about(&buffer.name))?;
        length = length.max(end);
        let (first, last) = lifetime.unwrap_or_default();
        lived.push(Lived {
            buffer,
            start,
            end,
            first,
            last,
        });
    }
    ensure(
        plan.arena == length,
        "working memory that ends with its last buffer",
        || format!("{} floats for {length}", plan.arena),
    )?;
    lived.sort_unstable_by_key(|lived| (lived.first, lived.start));
    apart(&lived)
}

/// Walks buffers by their first kernel. Those that are alive lie apart, so a new one overlaps one of
/// them only if it overlaps its neighbour below or above. A buffer that is no longer alive is removed
/// when it is found as a neighbour.
fn apart(lived: &[Lived]) -> Check {
    let mut alive: BTreeMap<usize, &Lived> = BTreeMap::new();
    for new in lived {
        loop {
            let below = alive.range(..=new.start).next_back();
            let above = alive.range(new.start..).next();
            let neighbours = below.into_iter().chain(above).map(|(_, other)| *other);
            let overlaps = |other: &&Lived| other.start < new.end && new.start < other.end;
            // Only a neighbour that overlaps, or that hides others, matters.
            let mut found = neighbours.filter(|other| other.last < new.first || overlaps(other));
            let Some(other) = found.next() else {
                break;
            };
            if other.last < new.first {
                alive.remove(&other.start);
                continue;
            }
            let found = format!("one that overlaps `{}`", other.buffer.name.escape_debug());
            let error = PlanError::new("buffers that live at once to lie apart", found);
            return Err(error.about(&new.buffer.name));
        }
        alive.insert(new.start, new);
    }
    Ok(())
}
