//! The blocking of products: the multiplier, the sizes of strips and panels, and strided matrices.

use super::super::{
    isa::{Amx, Avx512Bf16, Isa, first_level_cache},
    memory::{Address, Element},
};

/// The instructions and the precision of a product. A value proves that the CPU has the
/// instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Multiplier {
    F32(Isa),
    /// Single precision; packing rounds operands to bf16.
    Rounded(Isa),
    /// Pairs of bf16 values, adjacent along k, with `vdpbf16ps`; a pair takes the space of a float.
    Pairs(Avx512Bf16),
    /// Tiles of bf16 values, with AMX; a pair takes the space of a float.
    Tiles(Amx),
}

impl Multiplier {
    /// The instruction set of the vectors.
    pub const fn isa(self) -> Isa {
        match self {
            Multiplier::F32(isa) | Multiplier::Rounded(isa) => isa,
            Multiplier::Pairs(bf16) => Isa::Avx512(bf16.avx512()),
            Multiplier::Tiles(amx) => Isa::Avx512(amx.avx512_bf16().avx512()),
        }
    }

    /// Elements along k per packed float.
    pub const fn elements_per_float(self) -> usize {
        match self {
            Multiplier::Pairs(_) | Multiplier::Tiles(_) => 2,
            _ => 1,
        }
    }

    pub fn blocking(self) -> &'static Blocking {
        match (self, self.isa()) {
            (Multiplier::Tiles(_), _) => &TILES,
            (_, Isa::Avx512(_)) if first_level_cache() >= LARGE_CACHE => &AVX512_LARGE_CACHE,
            (_, Isa::Avx512(_)) => &AVX512,
            _ => &OTHERS,
        }
    }

    /// Columns of a panel.
    pub fn width(self) -> usize {
        self.blocking().width
    }

    /// Panels of a B with `n` columns.
    pub fn panels(self, n: usize) -> usize {
        n.div_ceil(self.width())
    }

    /// Floats along k of packed operands with `k` elements.
    pub fn packed_depth(self, k: usize) -> usize {
        let unit = self.blocking().unit;
        k.div_ceil(self.elements_per_float() * unit) * unit
    }

    // A plan that was edited may name sizes whose products pass the largest number. Lengths are
    // then the largest number, for which there is no memory.

    /// Floats of a packed panel.
    pub fn panel_len(self, k: usize) -> usize {
        self.width().saturating_mul(self.packed_depth(k))
    }

    /// Floats of a packed B.
    pub fn packed_len(self, k: usize, n: usize) -> usize {
        self.panels(n).saturating_mul(self.panel_len(k))
    }

    /// Rows that packed strips of `rows` rows take.
    pub fn padded(self, rows: usize) -> usize {
        rows.next_multiple_of(self.blocking().unit)
    }

    /// Floats of workspace per tile for packing A, of products with `depth` floats along k in all.
    pub fn workspace_len(self, depth: usize) -> usize {
        let blocking = self.blocking();
        blocking.block * depth.min(blocking.depth)
    }

    /// Floats of workspace per tile if rows of A are first copied out of windows: for the packed rows
    /// and the copied rows.
    pub fn gathered_workspace_len(self, depth: usize) -> usize {
        (1 + self.elements_per_float()) * self.workspace_len(depth)
    }
}

/// The blocking of a product for an instruction set.
pub struct Blocking {
    /// Columns of a panel of packed B: two vectors.
    pub width: usize,
    /// The maximum number of rows of a strip, whose sums fit into registers.
    pub rows: usize,
    /// The maximum number of rows of a block of strips.
    pub block: usize,
    /// The maximum number of floats along k per block.
    pub depth: usize,
    /// Blocks have a multiple of this number of floats along k, and packed strips of as many rows: the
    /// rows of a tile.
    pub unit: usize,
}

pub const AVX512: Blocking = Blocking {
    width: 32,
    rows: 14,
    block: 14,
    depth: 1024,
    unit: 1,
};
/// Where a panel and a strip fit into the first-level cache, of this many bytes or more, a panel
/// stays there for a block of strips.
const LARGE_CACHE: usize = 48 << 10;
const AVX512_LARGE_CACHE: Blocking = Blocking {
    block: 112,
    depth: 256,
    ..AVX512
};
pub const OTHERS: Blocking = Blocking {
    width: 16,
    rows: 6,
    block: 96,
    depth: 512,
    unit: 1,
};
pub const TILES: Blocking = Blocking {
    width: 32,
    rows: 32,
    block: 128,
    depth: 640,
    unit: 16,
};

/// The maximum number of columns of a panel.
pub const MOST_WIDTH: usize = AVX512.width;

/// A matrix in memory, by the elements between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub start: Address,
    pub element: Element,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl View {
    /// The pointer to an element; it may only be used if the matrix has the element.
    pub fn at(self, row: usize, column: usize) -> *mut f32 {
        let elements = row * self.row_stride + column * self.column_stride;
        let start = self.start.pointer().cast_const();
        self.element.after(start, elements).cast_mut()
    }

    /// The matrix without its first `rows` rows.
    ///
    /// # Safety
    /// The matrix must have at least `rows` rows.
    pub unsafe fn skip_rows(self, rows: usize) -> Self {
        View {
            // SAFETY: the row begins in the matrix's array, or at its end.
            start: unsafe { Address::new_unchecked(self.at(rows, 0)) },
            ..self
        }
    }

    /// The matrix without its first `columns` columns.
    ///
    /// # Safety
    /// The matrix must have at least `columns` columns.
    pub unsafe fn skip_columns(self, columns: usize) -> Self {
        View {
            // SAFETY: the column begins in the matrix's array, or at its end.
            start: unsafe { Address::new_unchecked(self.at(0, columns)) },
            ..self
        }
    }

    pub fn transposed(self) -> Self {
        View {
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

impl Blocking {
    /// Divides `depth` floats along k into blocks; returns the start and the end of each.
    pub fn blocks_along_k(&self, depth: usize) -> impl Iterator<Item = (usize, usize)> {
        let unit = self.unit;
        parts(depth / unit, self.depth / unit).map(move |(from, to)| (from * unit, to * unit))
    }

    /// Divides rows into strips; returns the start and the end of each. Strips of tiles are as high
    /// as possible, others as equal as possible.
    pub fn strips(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> {
        let (count, most, is_tiled) = (rows.div_ceil(self.rows), self.rows, self.unit > 1);
        (0..count).map(move |strip| {
            if is_tiled {
                (strip * most, rows.min((strip + 1) * most))
            } else {
                (strip * rows / count, (strip + 1) * rows / count)
            }
        })
    }
}

/// Divides `length` into parts of at most `most`, as equal as possible; returns the start of each
/// part and the end.
pub fn parts(length: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = length.div_ceil(most);
    (0..count).map(move |part| (part * length / count, (part + 1) * length / count))
}
