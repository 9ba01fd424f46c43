//! Checks of the places of a plan's buffers in a device's arrays.

use super::{Array, ArrayRange};
use crate::{
    error::{Error, Result},
    id::Id,
    plan::{Plan, Storage},
};

/// Checks the places of a plan's buffers: each is in the bounds of its array; buffers that share
/// memory in the plan have the same place; other buffers do not overlap if one of them is written.
/// `len` is the length of an array, `None` if there is no such array. Back ends call this function
/// when they load a build.
///
/// # Errors
/// With the first buffer whose place is invalid.
pub(crate) fn check_ranges(
    plan: &Plan,
    ranges: &[Option<ArrayRange>],
    len: &dyn Fn(Id<Array>) -> Option<usize>,
) -> Result<()> {
    let refused = |message: String| {
        Err(Error::new(message).help("the program and the session belong to different models"))
    };
    if ranges.len() != plan.buffers.len() {
        let (found, wanted) = (ranges.len(), plan.buffers.len());
        return refused(format!(
            "expected places of {wanted} buffers, found {found}"
        ));
    }
    let written = plan.written();
    let mut placed: Vec<(Id<Array>, usize, usize, usize)> = Vec::new();
    for (index, (buffer, range)) in plan.buffers.iter().zip(ranges).enumerate() {
        if matches!(buffer.storage, Storage::Arena(_)) {
            continue;
        }
        let name = &buffer.name;
        let Some(ArrayRange { array, offset }) = *range else {
            return refused(format!("expected a place for `{name}`, found none"));
        };
        let end = offset.checked_add(buffer.len);
        let Some(end) = end.filter(|end| len(array).is_some_and(|len| *end <= len)) else {
            return refused(format!(
                "expected `{name}` within its array, found it beyond"
            ));
        };
        placed.push((array, offset, end, index));
    }
    placed.sort_unstable();
    for (number, &(array, start, end, index)) in placed.iter().enumerate() {
        let above = placed[number + 1..]
            .iter()
            .take_while(|other| other.0 == array && other.1 < end);
        for &(_, other_start, _, other) in above {
            let is_written = written[index] || written[other];
            if is_written && !(start == other_start && plan.share_memory(index, other)) {
                let (one, other) = (&plan.buffers[index].name, &plan.buffers[other].name);
                return refused(format!(
                    "expected `{one}` and `{other}` apart, found them overlap"
                ));
            }
        }
    }
    Ok(())
}
