//! The elements that accesses reach: invariants 6, 8 and 9.

use super::check::{
    Check, MOST_AXES, MOST_ELEMENTS, MOST_WINDOWS, PlanError, ensure, entry, product, reach, sum,
};
use crate::plan::{Access, Buffer, Plan, WindowStep};

/// The largest absolute value of a window's sum.
const MOST_SUM: i128 = i32::MAX as i128;

/// Verifies that every element of an access lies within its buffer, and returns the buffer.
pub(super) fn verify<'p>(plan: &'p Plan, sizes: &[usize], access: &Access) -> Check<&'p Buffer> {
    let buffer = entry(&plan.buffers, access.buffer, "buffers")?;
    let within = || -> Check {
        ensure(
            access.strides.len() == sizes.len(),
            "a stride for each axis",
            || format!("{} for {}", access.strides.len(), sizes.len()),
        )?;
        ensure(
            access.spans.len() <= MOST_WINDOWS,
            "few windows of an access",
            || access.spans.len().to_string(),
        )?;
        access
            .spans
            .iter()
            .try_for_each(|window| verify_window(sizes, window))?;
        in_bounds(buffer, extent(sizes, access, 0)?)
    };
    within().map_err(|error| error.about(&buffer.name))?;
    Ok(buffer)
}

/// Verifies that the buffer has an element number `last`.
pub(super) fn in_bounds(buffer: &Buffer, last: usize) -> Check {
    ensure(last < buffer.len, "an element of the buffer", || {
        format!("number {last} of {}", buffer.len)
    })
}

/// The greatest distance from the first element of an access, along its axes from number `from` on and
/// its windows.
pub(super) fn extent(sizes: &[usize], access: &Access, from: usize) -> Check<usize> {
    let axes = sizes.iter().zip(&access.strides).skip(from);
    let axes = axes.map(|(&size, &stride)| reach(size, stride));
    let windows = access.spans.iter().map(|span| reach(span.size, span.step));
    sum(axes.chain(windows))
}

fn verify_window(sizes: &[usize], window: &WindowStep) -> Check {
    ensure(
        window.strides.len() == sizes.len(),
        "a window with a stride for each axis",
        || format!("{} for {}", window.strides.len(), sizes.len()),
    )?;
    product([window.size, window.divisor], MOST_SUM as usize)?;
    let mut farthest = (window.offset as i128).abs();
    for (&size, &stride) in sizes.iter().zip(&window.strides) {
        // Both factors have at most 64 bits, and a loop has few axes.
        farthest = farthest.saturating_add((size as i128) * (stride as i128).abs());
    }
    ensure(farthest <= MOST_SUM, "window sums of 32 bits", || {
        format!("up to {farthest}")
    })?;
    let places = farthest.saturating_mul(window.step as i128);
    ensure(
        places <= 1 << 60,
        "places of windows that can be counted",
        || format!("up to {places}"),
    )
}

/// The number of elements that a write reaches, after verifying that it reaches each once and that
/// there are no gaps. A digit is the size and the stride of an axis or window.
pub(super) fn written_once(digits: impl Iterator<Item = (usize, usize)>) -> Check<usize> {
    // On the stack, since every write of a plan comes here.
    let mut sorted = [(0, 0); MOST_AXES + MOST_WINDOWS];
    let mut count = 0;
    for digit in digits.filter(|(size, _)| *size > 1) {
        let slot = sorted.get_mut(count).ok_or_else(|| {
            let expected = format!("at most {} axes and windows", MOST_AXES + MOST_WINDOWS);
            PlanError::new(expected, "more")
        })?;
        *slot = digit;
        count += 1;
    }
    let sorted = &mut sorted[..count];
    sorted.sort_unstable_by_key(|(_, stride)| *stride);
    let mut below = 1usize;
    for &mut (size, stride) in sorted {
        ensure(
            stride == below,
            "a write of each element once, without gaps",
            || format!("a stride of {stride} above {below} elements"),
        )?;
        below = product([below, size], MOST_ELEMENTS)?;
    }
    Ok(below)
}

/// Verifies that a write covers a buffer.
pub(super) fn covers(buffer: &Buffer, written: usize) -> Check {
    ensure(written == buffer.len, "a write of the whole buffer", || {
        format!("{written} of {} elements", buffer.len)
    })
}

/// The floats for each index of the tile axis, if an access stays within the block of its index.
pub(super) fn block(sizes: &[usize], access: &Access) -> Option<usize> {
    let stride = *access.strides.first()?;
    let inner = extent(sizes, access, 1).ok()?;
    let fixed = access
        .spans
        .iter()
        .all(|window| window.strides.first() == Some(&0));
    (fixed && inner < stride).then_some(stride)
}

/// An error if an access has something that it must not have.
pub(super) fn has_no(what: &str, has: bool) -> Check {
    match has {
        true => Err(PlanError::new(format!("no {what} here"), "one")),
        false => Ok(()),
    }
}
