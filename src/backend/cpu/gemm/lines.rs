//! Lines of a matrix, rows of A or columns of B, as packing sees them.

/// Some lines of a matrix, each of `depth` elements along k.
#[derive(Clone, Copy)]
pub struct Lines {
    pub count: usize,
    pub depth: usize,
    pub start: *const f32,
    /// Floats between lines.
    pub line_stride: usize,
    /// Floats between the elements of a line.
    pub depth_stride: usize,
}

impl Lines {
    /// Where a line begins.
    pub fn line(&self, line: usize) -> *const f32 {
        self.start.wrapping_add(line * self.line_stride)
    }
}
