//! Cancelling an operation from another thread.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// A flag that asks training to stop, from a signal handler or another thread. Clones share the
/// flag.
///
/// Training looks at the flag before each step. If it is raised, a checkpoint is written and the
/// call is an error of kind [`ErrorKind::Interrupted`](crate::ErrorKind::Interrupted).
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the operation to stop as soon as it can. Returns whether the flag was raised before.
    pub fn raise(&self) -> bool {
        self.0.swap(true, Ordering::SeqCst)
    }

    /// Whether the flag is raised.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
