//! Where the buffers of a plan may lie in the arrays of a device.

use super::{Array, ArrayRange};
use crate::{
    error::{Error, Result},
    id::Id,
    plan::{Plan, Storage},
};

/// Checks where a plan's buffers lie: each within its array, those that share memory in the plan at
/// one place, and others apart where one of them is written. `len` is the length of an array, none
/// if there is no such array. Back ends call it when they load a build.
///
/// # Errors
/// The first buffer that lies where it must not.
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
            let apart = !written[index] && !written[other];
            if !apart && !(start == other_start && plan.share_memory(index, other)) {
                let (one, other) = (&plan.buffers[index].name, &plan.buffers[other].name);
                return refused(format!(
                    "expected `{one}` and `{other}` apart, found them overlap"
                ));
            }
        }
    }
    Ok(())
}
