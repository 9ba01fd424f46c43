//! Contractions: matrix products with sums in single precision, C[m, n] = A[m, k] · B[k, n].
//!
//! **Order of the sum.** An element of C starts at 0, or at what C holds, and the products are
//! added to it one after another in the order of k, by fused multiply-adds where the CPU has them.
//! So its bits depend neither on the tile that its row is in, nor on the number of rows, columns or
//! threads; and AVX-512 and AVX2 give the same bits. A matrix times a vector is added in another
//! fixed order, in single precision ([`dot`]). Nothing is allocated here.
//!
//! **Threads.** Before the tiles of a contraction, threads pack B, one panel each; then they
//! multiply, one tile of rows each. Operands that several contractions read are packed once a run
//! ([`operands`]). Where there are few results and many products for each (the gradient of a
//! convolution's weights), the sum is made in parts first, and each tile adds the parts in order
//! ([`split_sum`]); how the sum is split depends on the plan alone.
//!
//! **bfloat16.** Operands may be rounded to bfloat16 as they are packed. A product of two such
//! numbers is exact in single precision. So an instruction that multiplies pairs of them
//! ([`Multiplier::Pairs`]) gives the bits that fused multiply-adds give, twice as fast; but it
//! takes numbers below the least normal number, 1.2e-38, for 0. A CPU with AMX multiplies tiles
//! of bf16 ([`Multiplier::Tiles`], [`tiles`]), in sums of another fixed order. Buffers whose elements
//! are only multiplied are then bf16 in memory, rounded once when they are stored.
//!
//! **Caches.** Rows are packed in strips, as high as the registers allow, and a block of strips
//! meets one panel of B after another. The innermost loops read from the first-level cache what
//! they read most often: with AVX2 a panel, while the strip comes from the second-level cache, or
//! from A itself where the elements of a row are neighbours; with AVX-512, whose strips are higher,
//! the same if the first-level cache has 48 KiB, else a block is one strip, and the panels come from
//! the second-level cache. While a panel is multiplied, the kernels for vectors prefetch the next one into
//! the second-level cache, a part with each strip. The sums of a strip and a panel stay in registers,
//! through all products of a contraction that fit into a block along k.

mod blocking;
mod lines;
#[cfg(target_arch = "x86_64")]
mod pack_avx2;
mod dot;
mod windows;
mod registers;
#[cfg(target_arch = "x86_64")]
mod pack_avx512;
mod pack;
mod kernel;
#[cfg(target_arch = "x86_64")]
mod tiles;
mod multiply;
mod operands;
mod split_sum;
mod contraction;
#[cfg(test)]
mod tests;

pub(super) use blocking::Multiplier;
pub(super) use contraction::LoadedContraction;
pub(super) use operands::{PackedBuffers, PackedOperands};
