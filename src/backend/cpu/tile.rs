//! The part of a kernel that one thread runs at a time.

use crate::plan::Tile;

/// Indices `start..end` of a kernel's tile axis, which make up the tile of that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TileRange {
    pub number: usize,
    pub start: usize,
    pub end: usize,
}

impl TileRange {
    /// For loops outside all tiles.
    pub const NONE: TileRange = TileRange {
        number: 0,
        start: 0,
        end: 0,
    };

    /// Tile `number`; the last one may be shorter than the others.
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
