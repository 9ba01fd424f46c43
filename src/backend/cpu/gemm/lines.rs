//! Lines of a matrix for packing: rows of A or columns of B.

/// Lines of a matrix, each with `depth` elements along k.
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
    /// The address of a line's first element.
    pub fn line(&self, line: usize) -> *const f32 {
        self.start.wrapping_add(line * self.line_stride)
    }
}
