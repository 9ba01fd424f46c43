//! The device facts that the emitter uses. They determine tiles and numbers of blocks, and nothing
//! else in a kernel's text.

/// The facts of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The number of blocks that run at once, one for each multiprocessor.
    pub multiprocessors: usize,
}

/// An H100 SXM. Other GPUs run the same kernels, so that the launches of a plan do not depend on
/// where it is compiled.
pub(super) const H100: Target = Target {
    multiprocessors: 132,
};
