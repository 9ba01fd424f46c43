//! Errors, limits and arithmetic that cannot wrap.

use crate::id::Id;
use std::fmt;

/// The most elements of a buffer, a loop, a matrix or the working memory.
pub const MOST_ELEMENTS: usize = 1 << 40;
/// The most elementary operations of a loop or contraction.
pub const MOST_WORK: usize = 1 << 50;
/// The most iterations of a loop for each element of the longest buffer that it touches.
///
/// A loop over pairs of rows visits an array of rows as often as there are rows, so the limit lies
/// above every batch size. The planner's loops stay below 100.
pub const MOST_VISITS: usize = 1 << 16;
/// Iterations that a loop over short buffers may have in any case.
pub(super) const SMALL_LOOP: usize = 1 << 30;
/// The most axes of a loop, or of a matrix that is read through windows.
pub const MOST_AXES: usize = 16;
/// The most windows of an access.
pub const MOST_WINDOWS: usize = 8;
/// The most instructions of a loop.
pub(super) const MOST_INSTRUCTIONS: usize = 1 << 14;

/// An invariant that a plan breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// The kernel that breaks it, if the error is in a kernel.
    pub kernel: Option<String>,
    /// The buffer, axis or parameter that breaks it, if there is one.
    pub subject: Option<String>,
    /// What the invariant requires.
    pub expected: String,
    /// What the plan has.
    pub found: String,
}

impl PlanError {
    pub(super) fn new(expected: impl Into<String>, found: impl Into<String>) -> Self {
        PlanError {
            kernel: None,
            subject: None,
            expected: expected.into(),
            found: found.into(),
        }
    }

    pub(super) fn about(mut self, subject: &str) -> Self {
        self.subject.get_or_insert_with(|| subject.to_string());
        self
    }

    pub(super) fn within(mut self, kernel: &str) -> Self {
        self.kernel.get_or_insert_with(|| kernel.to_string());
        self
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(kernel) = &self.kernel {
            write!(f, "kernel `{}`: ", kernel.escape_debug())?;
        }
        if let Some(subject) = &self.subject {
            write!(f, "`{}`: ", subject.escape_debug())?;
        }
        write!(f, "expected {}, found {}", self.expected, self.found)
    }
}

impl std::error::Error for PlanError {}

pub(super) type Check<T = ()> = Result<T, PlanError>;

/// An error unless the condition holds.
pub(super) fn ensure(holds: bool, expected: &str, found: impl FnOnce() -> String) -> Check {
    match holds {
        true => Ok(()),
        false => Err(PlanError::new(expected, found())),
    }
}

/// The product of some sizes, none of them 0, at most `most`.
pub(super) fn product(sizes: impl IntoIterator<Item = usize>, most: usize) -> Check<usize> {
    let mut product = 1usize;
    for size in sizes {
        ensure(size > 0, "a size above 0", || "0".to_string())?;
        product = product
            .checked_mul(size)
            .filter(|product| *product <= most)
            .ok_or_else(|| PlanError::new(format!("at most {most} elements"), "more"))?;
    }
    Ok(product)
}

/// The sum of some extents, at most [`MOST_ELEMENTS`].
pub(super) fn sum(extents: impl IntoIterator<Item = Option<usize>>) -> Check<usize> {
    let mut sum = Some(0usize);
    for extent in extents {
        sum = sum
            .zip(extent)
            .and_then(|(sum, extent)| sum.checked_add(extent))
            .filter(|sum| *sum <= MOST_ELEMENTS);
    }
    sum.ok_or_else(|| PlanError::new(format!("at most {MOST_ELEMENTS} elements"), "more"))
}

/// The distance between the first and the last element along an axis.
pub(super) fn reach(size: usize, stride: usize) -> Option<usize> {
    size.checked_sub(1)?.checked_mul(stride)
}

/// The entry with that id.
pub(super) fn entry<'p, T>(entries: &'p [T], id: Id<T>, what: &str) -> Check<&'p T> {
    entries.get(id.index()).ok_or_else(|| {
        let expected = format!("one of {} {what}", entries.len());
        PlanError::new(expected, format!("number {}", id.index()))
    })
}
