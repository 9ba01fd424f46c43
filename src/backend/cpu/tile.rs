//! A tile: the part of a kernel that a thread runs at a time.

use crate::plan::Tile;

/// A tile: the indices `start..end` of a kernel's tile axis, and the tile's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileRange {
    pub number: usize,
    pub start: usize,
    pub end: usize,
}

impl TileRange {
    /// The tile for loops that are not tiled.
    pub const NONE: TileRange = TileRange {
        number: 0,
        start: 0,
        end: 0,
    };

    /// The tile `number`; the last tile may be shorter than the others.
    pub fn new(tile: Tile, number: usize) -> Self {
        TileRange {
            number,
            start: number * tile.size,
            end: ((number + 1) * tile.size).min(tile.length),
        }
    }

    pub fn len(self) -> usize {
        self.end - self.start
    }
}
