//! Lines of a matrix for packing: rows of A or columns of B.

use super::super::memory::Element;

/// Lines of a matrix, each with `depth` elements along k.
#[derive(Clone, Copy)]
pub struct Lines {
    pub count: usize,
    pub depth: usize,
    pub element: Element,
    /// The first element, whatever the format.
    pub start: *const f32,
    /// Elements between lines.
    pub line_stride: usize,
    /// Elements between the elements of a line.
    pub depth_stride: usize,
}

impl Lines {
    /// The address of a line's first element.
    pub fn line(&self, line: usize) -> *const f32 {
        self.at(line, 0)
    }

    /// The address of a line's element `k`.
    pub fn at(&self, line: usize, k: usize) -> *const f32 {
        let elements = line * self.line_stride + k * self.depth_stride;
        self.element.after(self.start, elements)
    }
}
