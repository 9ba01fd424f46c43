//! What the emitter knows of a device. Choices of tiles and of the number of blocks read these
//! facts; a kernel's text depends on them in no other way.

/// The facts of a device that choices depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// How many blocks run at once, counting one for each multiprocessor.
    pub multiprocessors: usize,
}

/// An H100 SXM. Other GPUs run the same kernels, so that the launches of a plan do not depend on
/// where it is compiled.
pub(super) const H100: Target = Target {
    multiprocessors: 132,
};
