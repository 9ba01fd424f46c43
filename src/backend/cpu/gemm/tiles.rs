//! Products with AMX: tiles of 16 rows of 64 bytes, which `tdpbf16ps` multiplies and adds.
//!
//! A tile of A holds 16 rows of 32 elements along k. A tile of B holds 16 pairs along k of 16
//! columns. Four tiles of C, of 16 by 16 sums each, stay in registers while two tiles of A and two
//! of B are loaded for each 32 elements along k.
//!
//! A sum takes the products of 32 elements along k in a fixed order, so its bits depend neither on
//! the tile that its row is in, nor on how many rows and columns there are. They differ from those
//! of a chain of fused multiply-adds. Numbers below the least normal one count as 0.

use super::{
    super::{isa::Amx, memory::Element},
    blocking::TILES,
    kernel::{MicroTile, Segment},
    lines::Lines,
    pack_avx512::mask,
    registers::TileRegisters,
};
use std::{arch::x86_64::*, mem::MaybeUninit};

/// Rows of a tile, and vectors of packed elements: a tile's bytes are 16 vectors.
pub const ROWS: usize = 16;
/// Elements along k of a tile.
const ELEMENTS: usize = 32;
/// Floats of memory of a tile.
const TILE_LEN: usize = 256;

/// Multiplies a strip and a panel, with the sums in memory at `$c`. The strings are the
/// instructions that load, multiply and store the tiles that are there.
macro_rules! product {
    ($self:ident, $c:ident, $c_stride:ident, $a_step:literal;
     $zero:literal, $load:literal, $multiply:literal, $store:literal) => {
        std::arch::asm!(
            "test {add:e}, {add:e}",
            "jnz 3f",
            $zero,
            "jmp 4f",
            "3:",
            $load,
            "4:",
            "test {segments}, {segments}",
            "jz 6f",
            "5:",
            "mov {a}, [{segment} + {at_a}]",
            "mov {b}, [{segment} + {at_b}]",
            "mov {count}, [{segment} + {at_depth}]",
            "2:",
            $multiply,
            concat!("add {a}, ", $a_step),
            "add {b}, 2048",
            "sub {count}, 16",
            "jnz 2b",
            "add {segment}, {segment_len}",
            "dec {segments}",
            "jnz 5b",
            "6:",
            $store,
            add = in(reg) u32::from($self.add),
            segments = inout(reg) $self.segments.len() => _,
            segment = inout(reg) $self.segments.as_ptr() => _,
            at_a = const std::mem::offset_of!(Segment, a),
            at_b = const std::mem::offset_of!(Segment, b),
            at_depth = const std::mem::offset_of!(Segment, depth),
            segment_len = const size_of::<Segment>(),
            count = out(reg) _,
            a = out(reg) _,
            b = out(reg) _,
            a_stride = in(reg) 64usize,
            b_stride = in(reg) 128usize,
            c = in(reg) $c,
            lower = in(reg) $c.wrapping_byte_add(ROWS * $c_stride),
            c_stride = in(reg) $c_stride,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

impl MicroTile<'_> {
    /// Writes, or adds to, at most two tiles of rows of C.
    ///
    /// # Safety
    /// As [`MicroTile::run`], for a strip and a panel that were packed for tiles.
    pub unsafe fn tiles(&self, _: &TileRegisters, rows: usize) {
        let (high, wide) = (rows > ROWS, self.width > 16);
        let is_whole = rows.is_multiple_of(ROWS) && self.width.is_multiple_of(16);
        let mut sums = MaybeUninit::<[[f32; TILES.width]; TILES.rows]>::uninit();
        let direct = is_whole && self.column_stride == 1;
        let (c, c_stride) = if direct {
            (self.c, self.row_stride * size_of::<f32>())
        } else {
            (
                sums.as_mut_ptr().cast::<f32>(),
                TILES.width * size_of::<f32>(),
            )
        };
        // Sums of new rows are on their way to the cache while they are computed.
        if direct {
            for row in 0..rows {
                for column in (0..self.width).step_by(16) {
                    let place = c.wrapping_byte_add(row * c_stride).wrapping_add(column);
                    // SAFETY: it reads nothing, and each CPU with AMX has it.
                    unsafe { _mm_prefetch::<_MM_HINT_ET0>(place.cast_const().cast()) };
                }
            }
        }
        if !direct && self.add {
            for row in 0..rows {
                // SAFETY: the line is one of `sums`; the rest is as the caller's.
                unsafe {
                    let line =
                        std::slice::from_raw_parts_mut(c.add(row * TILES.width), TILES.width);
                    self.load(row, line);
                }
            }
        }
        debug_assert!(
            self.segments.iter().all(|segment| segment.depth > 0),
            "a segment has a tile"
        );
        // SAFETY: `a` and `b` hold whole tiles, and `c` is either C, of whole tiles, or `sums`. The
        // registers are configured.
        unsafe {
            match (high, wide) {
                (true, true) => product!(self, c, c_stride, "2048";
                    "tilezero tmm0
                     tilezero tmm1
                     tilezero tmm2
                     tilezero tmm3",
                    "tileloadd tmm0, [{c} + {c_stride}]
                     tileloadd tmm1, [{c} + {c_stride} + 64]
                     tileloadd tmm2, [{lower} + {c_stride}]
                     tileloadd tmm3, [{lower} + {c_stride} + 64]",
                    "tileloadd tmm6, [{b} + {b_stride}]
                     tileloadd tmm4, [{a} + {a_stride}]
                     tileloadd tmm7, [{b} + {b_stride} + 64]
                     tdpbf16ps tmm0, tmm4, tmm6
                     tileloadd tmm5, [{a} + {a_stride} + 1024]
                     tdpbf16ps tmm1, tmm4, tmm7
                     tdpbf16ps tmm2, tmm5, tmm6
                     tdpbf16ps tmm3, tmm5, tmm7",
                    "tilestored [{c} + {c_stride}], tmm0
                     tilestored [{c} + {c_stride} + 64], tmm1
                     tilestored [{lower} + {c_stride}], tmm2
                     tilestored [{lower} + {c_stride} + 64], tmm3"),
                (true, false) => product!(self, c, c_stride, "2048";
                    "tilezero tmm0
                     tilezero tmm2",
                    "tileloadd tmm0, [{c} + {c_stride}]
                     tileloadd tmm2, [{lower} + {c_stride}]",
                    "tileloadd tmm6, [{b} + {b_stride}]
                     tileloadd tmm4, [{a} + {a_stride}]
                     tileloadd tmm5, [{a} + {a_stride} + 1024]
                     tdpbf16ps tmm0, tmm4, tmm6
                     tdpbf16ps tmm2, tmm5, tmm6",
                    "tilestored [{c} + {c_stride}], tmm0
                     tilestored [{lower} + {c_stride}], tmm2"),
                (false, true) => product!(self, c, c_stride, "1024";
                    "/* {lower} */
                     tilezero tmm0
                     tilezero tmm1",
                    "tileloadd tmm0, [{c} + {c_stride}]
                     tileloadd tmm1, [{c} + {c_stride} + 64]",
                    "tileloadd tmm6, [{b} + {b_stride}]
                     tileloadd tmm4, [{a} + {a_stride}]
                     tileloadd tmm7, [{b} + {b_stride} + 64]
                     tdpbf16ps tmm0, tmm4, tmm6
                     tdpbf16ps tmm1, tmm4, tmm7",
                    "tilestored [{c} + {c_stride}], tmm0
                     tilestored [{c} + {c_stride} + 64], tmm1"),
                (false, false) => product!(self, c, c_stride, "1024";
                    "/* {lower} */
                     tilezero tmm0",
                    "tileloadd tmm0, [{c} + {c_stride}]",
                    "tileloadd tmm6, [{b} + {b_stride}]
                     tileloadd tmm4, [{a} + {a_stride}]
                     tdpbf16ps tmm0, tmm4, tmm6",
                    "tilestored [{c} + {c_stride}], tmm0"),
            }
        }
        if !direct {
            for row in 0..rows {
                // SAFETY: the line is one of `sums`, which the product has written; the rest is as the
                // caller's.
                unsafe {
                    let line = std::slice::from_raw_parts(c.add(row * TILES.width), TILES.width);
                    self.store(row, line);
                }
            }
        }
    }
}

impl Lines {
    /// Packs a strip of rows of A, at most two tiles high: for each 32 elements along k its tiles.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for the tiles.
    pub unsafe fn pack_strip_of_tiles(&self, amx: Amx, out: *mut f32) {
        let high = self.count.div_ceil(ROWS);
        for tile in 0..high {
            let lines = self.part(tile * ROWS, ROWS);
            let out = out.wrapping_add(tile * TILE_LEN);
            // SAFETY: as the caller's.
            unsafe { lines.pack_tiles(amx, false, out, high * TILE_LEN, ROWS) };
        }
    }

    /// Packs a panel of columns of B: for each pair along k its columns.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for the panel.
    pub unsafe fn pack_panel_of_tiles(&self, amx: Amx, out: *mut f32) {
        for first in (0..self.count).step_by(16) {
            let out = out.wrapping_add(first);
            // SAFETY: as the caller's.
            unsafe {
                self.part(first, 16)
                    .pack_tiles(amx, true, out, 16 * TILES.width, TILES.width)
            };
        }
    }

    /// At most `most` of the lines, from `first` on.
    fn part(&self, first: usize, most: usize) -> Lines {
        Lines {
            count: (self.count - first).min(most),
            start: self.line(first),
            ..*self
        }
    }

    /// Packs at most 16 lines as tiles that lie `tile_stride` floats apart, in vectors that lie
    /// `stride` floats apart. A vector holds 32 elements of a line, or a pair of elements of 16
    /// lines if `by_pair`. Missing elements are 0.
    ///
    /// # Safety
    /// The lines must be readable, and `out` writable for the tiles.
    unsafe fn pack_tiles(
        &self,
        _: Amx,
        by_pair: bool,
        out: *mut f32,
        tile_stride: usize,
        stride: usize,
    ) {
        for (tile, from) in (0..self.depth).step_by(ELEMENTS).enumerate() {
            let out = out.wrapping_add(tile * tile_stride);
            let part = Lines {
                depth: (self.depth - from).min(ELEMENTS),
                start: self.at(0, from),
                ..*self
            };
            // SAFETY: as the caller's; the CPU has AVX-512 and AVX512-BF16.
            unsafe {
                match self.element {
                    Element::F32 => part.pack_tile::<false>(by_pair, out, stride),
                    Element::Bf16 => part.pack_tile::<true>(by_pair, out, stride),
                }
            }
        }
    }

    /// Packs a tile; `BF16` is the format of the lines.
    ///
    /// # Safety
    /// As [`Lines::pack_tiles`]; the CPU must have AVX512-BF16.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn pack_tile<const BF16: bool>(&self, by_pair: bool, out: *mut f32, stride: usize) {
        // SAFETY: as the caller's.
        unsafe {
            match (self.depth_stride == 1, self.line_stride == 1, by_pair) {
                (true, _, false) => self.pack_lines::<BF16, false>(out, stride),
                (true, _, true) => self.pack_lines::<BF16, true>(out, stride),
                (_, true, true) => self.pack_pairs_of_tiles::<BF16, false>(out, stride),
                (_, true, false) => self.pack_pairs_of_tiles::<BF16, true>(out, stride),
                _ => self.gather_tile::<BF16>(by_pair, out, stride),
            }
        }
    }

    /// Packs at most 32 neighbours of each line: a vector for each line, or the transpose.
    ///
    /// # Safety
    /// As [`Lines::pack_tile`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn pack_lines<const BF16: bool, const TRANSPOSE: bool>(
        &self,
        out: *mut f32,
        stride: usize,
    ) {
        let floats = [self.depth.min(16), self.depth.saturating_sub(16)].map(mask);
        let all = ((1u64 << self.depth) - 1) as u32;
        let mut vectors = [_mm512_setzero_si512(); ROWS];
        for (line, vector) in vectors.iter_mut().enumerate() {
            if line < self.count {
                let start = self.line(line);
                // SAFETY: the masks leave out what is beyond the line.
                *vector = unsafe {
                    if BF16 {
                        _mm512_maskz_loadu_epi16(all, start.cast())
                    } else {
                        rounded(
                            _mm512_maskz_loadu_ps(floats[0], start),
                            _mm512_maskz_loadu_ps(floats[1], start.wrapping_add(16)),
                        )
                    }
                };
            }
        }
        // SAFETY: as the caller's.
        unsafe { store::<TRANSPOSE>(vectors, out, stride) };
    }

    /// Packs at most 32 elements of neighbouring lines: a vector for each pair, or the transpose.
    ///
    /// # Safety
    /// As [`Lines::pack_tile`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn pack_pairs_of_tiles<const BF16: bool, const TRANSPOSE: bool>(
        &self,
        out: *mut f32,
        stride: usize,
    ) {
        // SAFETY: the table has 32 lanes.
        let interleave = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
        let lines = mask(self.count);
        let mut vectors = [_mm512_setzero_si512(); ROWS];
        for (pair, vector) in vectors.iter_mut().enumerate() {
            let masks = [2 * pair, 2 * pair + 1].map(|k| if k < self.depth { lines } else { 0 });
            let starts = [self.at(0, 2 * pair), self.at(0, 2 * pair + 1)];
            // SAFETY: the masks leave out what is beyond the lines, and beyond k.
            let halves = unsafe {
                if BF16 {
                    let first = _mm256_maskz_loadu_epi16(masks[0], starts[0].cast());
                    let second = _mm256_maskz_loadu_epi16(masks[1], starts[1].cast());
                    _mm512_inserti64x4::<1>(_mm512_castsi256_si512(first), second)
                } else {
                    rounded(
                        _mm512_maskz_loadu_ps(masks[0], starts[0]),
                        _mm512_maskz_loadu_ps(masks[1], starts[1]),
                    )
                }
            };
            *vector = _mm512_permutexvar_epi16(interleave, halves);
        }
        // SAFETY: as the caller's.
        unsafe { store::<TRANSPOSE>(vectors, out, stride) };
    }

    /// Packs a tile of lines with any strides.
    ///
    /// # Safety
    /// As [`Lines::pack_tile`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn gather_tile<const BF16: bool>(&self, by_pair: bool, out: *mut f32, stride: usize) {
        let mut copy = [[0.0f32; ELEMENTS]; ROWS];
        for (line, copy) in copy.iter_mut().enumerate().take(self.count) {
            for (k, copy) in copy.iter_mut().enumerate().take(self.depth) {
                // SAFETY: the caller vouches for all lines and all k.
                *copy = unsafe {
                    if BF16 {
                        (*self.at(line, k).cast::<half::bf16>()).to_f32()
                    } else {
                        *self.at(line, k)
                    }
                };
            }
        }
        let lines = Lines {
            element: Element::F32,
            start: copy.as_ptr().cast(),
            line_stride: ELEMENTS,
            depth_stride: 1,
            ..*self
        };
        // SAFETY: the copy has all lines; the rest is as the caller's.
        unsafe { lines.pack_tile::<false>(by_pair, out, stride) };
    }
}

/// For each lane of interleaved halves, its lane among the halves one after the other.
static INTERLEAVED: [u16; 32] = {
    let (mut lanes, mut lane) = ([0; 32], 0);
    while lane < 32 {
        lanes[lane] = (lane / 2 + lane % 2 * 16) as u16;
        lane += 1;
    }
    lanes
};

/// Rounds two vectors to the nearest bf16, one after the other.
///
/// # Safety
/// The CPU must have AVX512-BF16.
#[target_feature(enable = "avx512f")]
#[inline]
pub unsafe fn rounded(first: __m512, second: __m512) -> __m512i {
    let halves: __m512i;
    // By its name, since the intrinsic cannot be inlined into functions without AVX512-BF16.
    // SAFETY: the CPU has the instruction, which only works on registers.
    unsafe {
        std::arch::asm!(
            "vcvtne2ps2bf16 {}, {}, {}",
            lateout(zmm_reg) halves, in(zmm_reg) second, in(zmm_reg) first,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    halves
}

/// Stores 16 vectors `stride` floats apart, or their transpose: vector i then has lane i of each.
///
/// # Safety
/// `out` must be writable for the vectors.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
unsafe fn store<const TRANSPOSE: bool>(vectors: [__m512i; ROWS], out: *mut f32, stride: usize) {
    let vectors = if TRANSPOSE {
        transposed(vectors)
    } else {
        vectors
    };
    for (i, vector) in vectors.into_iter().enumerate() {
        // SAFETY: as the caller's.
        unsafe { _mm512_storeu_si512(out.add(i * stride).cast(), vector) };
    }
}

/// The transpose of 16 by 16 lanes of 32 bits.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed(rows: [__m512i; ROWS]) -> [__m512i; ROWS] {
    // Turns blocks of 4 by 4 lanes around, then the blocks of each column of blocks.
    let mut turned = rows;
    for block in 0..4 {
        let at = 4 * block;
        let (a, b, c, d) = (rows[at], rows[at + 1], rows[at + 2], rows[at + 3]);
        let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
        turned[4 * block] = _mm512_unpacklo_epi64(ab, cd);
        turned[4 * block + 1] = _mm512_unpackhi_epi64(ab, cd);
        turned[4 * block + 2] = _mm512_unpacklo_epi64(ab_high, cd_high);
        turned[4 * block + 3] = _mm512_unpackhi_epi64(ab_high, cd_high);
    }
    let mut columns = turned;
    for i in 0..4 {
        let (a, b, c, d) = (turned[i], turned[4 + i], turned[8 + i], turned[12 + i]);
        let ab = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        let ab_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        let cd = _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d);
        let cd_odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d);
        columns[i] = _mm512_shuffle_i32x4::<0b10_00_10_00>(ab, cd);
        columns[8 + i] = _mm512_shuffle_i32x4::<0b11_01_11_01>(ab, cd);
        columns[4 + i] = _mm512_shuffle_i32x4::<0b10_00_10_00>(ab_odd, cd_odd);
        columns[12 + i] = _mm512_shuffle_i32x4::<0b11_01_11_01>(ab_odd, cd_odd);
    }
    columns
}
