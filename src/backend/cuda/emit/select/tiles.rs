//! Tiles: selects whether a contraction is computed by rows or by tiles, the size of tiles, and the
//! number of parts of k.

use super::super::{
    spec::{STEP, TileShape},
    target::{H100, Target},
};
use crate::plan::Contraction;

/// The maximum number of blocks of a piece; beyond it, threads process several elements.
pub(super) const MOST_BLOCKS: usize = 65_535;

/// A tile size that `contract.cuh` supports, and the conditions for its use.
#[derive(Debug)]
struct Candidate {
    shape: TileShape,
    /// The maximum number of columns of the result.
    widest: Option<usize>,
    /// The minimum number of multiprocessors that the tiles keep busy; below it, a smaller tile is
    /// faster.
    busy: Busy,
}

/// A number of multiprocessors.
#[derive(Clone, Copy, Debug)]
enum Busy {
    Any,
    NearlyHalf,
    All,
}

impl Busy {
    fn blocks(self, target: &Target) -> usize {
        match self {
            Busy::Any => 0,
            Busy::NearlyHalf => target.multiprocessors / 2 - 2,
            Busy::All => target.multiprocessors,
        }
    }
}

const fn candidate(m: usize, n: usize, widest: Option<usize>, busy: Busy) -> Candidate {
    Candidate {
        shape: TileShape { m, n },
        widest,
        busy,
    }
}

/// The tile sizes; the first suitable one is used.
const CANDIDATES: [Candidate; 5] = [
    // For logits of a few classes, where most columns of a wider tile would be empty.
    candidate(64, 16, Some(16), Busy::Any),
    // Uses each number in shared memory 128 times, the maximum for which registers can store sums.
    candidate(128, 128, None, Busy::All),
    // A thread has half as many sums, for results that are not as large.
    candidate(128, 64, None, Busy::All),
    // A thousand rows of 500 features are 128 tiles, and weights of 500 by 500 are 64, which
    // split-K makes 128 of.
    candidate(64, 64, None, Busy::NearlyHalf),
    // A hundred rows of 500 features are 64 tiles, where 64 by 64 would be 16: they read more, but
    // idle multiprocessors would cost more than that.
    candidate(32, 32, None, Busy::Any),
];

/// A part of k has at least this much: enough to be worth a second function, which adds the parts.
const LEAST_DEPTH: usize = 512;

/// How a contraction is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// A warp for each row of a matrix times a vector. It reads the matrix once, and tensor cores
    /// could not make it faster.
    Rows,
    /// By tiles, each with a whole sum.
    Whole(TileShape),
    /// By tiles, with k in `parts` parts of `depth`.
    Split {
        shape: TileShape,
        parts: usize,
        depth: usize,
    },
}

/// How a contraction is made.
pub(super) fn way(contraction: &Contraction) -> Way {
    let Contraction { m, n, products, .. } = contraction;
    let target = &H100;
    if *n == 1
        && products
            .iter()
            .all(|product| product.left.column_stride == 1 && product.windows.is_none())
    {
        return Way::Rows;
    }
    let blocks = |shape: TileShape| m.div_ceil(shape.m) * n.div_ceil(shape.n);
    let suits = |candidate: &&Candidate| {
        candidate.widest.is_none_or(|widest| *n <= widest)
            && blocks(candidate.shape) >= candidate.busy.blocks(target)
    };
    let shape = CANDIDATES
        .iter()
        .find(suits)
        .expect("the last tile suits everything")
        .shape;
    let depth: usize = products
        .iter()
        .map(|product| product.k.next_multiple_of(STEP))
        .sum();
    let parts = (target.multiprocessors / blocks(shape))
        .min(depth / LEAST_DEPTH)
        .max(1);
    let each = depth.div_ceil(parts).next_multiple_of(STEP);
    match depth.div_ceil(each).max(1) {
        1 => Way::Whole(shape),
        parts => Way::Split {
            shape,
            parts,
            depth: each,
        },
    }
}

/// The tiles, if each makes whole sums.
pub(super) fn whole_tiles(contraction: &Contraction) -> Option<TileShape> {
    match way(contraction) {
        Way::Whole(shape) => Some(shape),
        Way::Rows | Way::Split { .. } => None,
    }
}
