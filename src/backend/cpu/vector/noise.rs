//! Philox and Box–Muller, sixteen blocks at a time.

use super::functions::{ROUND, log, select, whole};

const LANES: usize = 16;
/// Elements of sixteen blocks.
const GROUP: usize = 4 * LANES;

/// The four words of blocks `first`, `first` + 1, …; see [`crate::tensor::philox`].
#[inline(always)]
fn words(seed: u64, step: u64, stream: u32, first: u32) -> [[u32; LANES]; 4] {
    let mut c0: [u32; LANES] = std::array::from_fn(|lane| first.wrapping_add(lane as u32));
    let (mut c1, mut c2, mut c3) = ([stream; LANES], [step as u32; LANES], [(step >> 32) as u32; LANES]);
    let (mut k0, mut k1) = (seed as u32, (seed >> 32) as u32);
    for _ in 0..10 {
        for lane in 0..LANES {
            let left = u64::from(c0[lane]) * 0xD251_1F53;
            let right = u64::from(c2[lane]) * 0xCD9E_8D57;
            c0[lane] = (right >> 32) as u32 ^ c1[lane] ^ k0;
            c1[lane] = right as u32;
            c2[lane] = (left >> 32) as u32 ^ c3[lane] ^ k1;
            c3[lane] = left as u32;
        }
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    [c0, c1, c2, c3]
}

/// The middle of one of 2²³ intervals of (0, 1), exactly.
#[inline(always)]
fn unit(word: u32) -> f32 {
    (((word >> 9).cast_signed()) as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// cos 2πv and sin 2πv, for v in (0, 1), by the nearest quarter turn.
#[inline(always)]
fn turn(v: f32) -> (f32, f32) {
    let rounded = v * 4.0 + ROUND;
    let quarter = rounded - ROUND;
    let angle = (v - quarter * 0.25) * std::f32::consts::TAU;
    let square = angle * angle;
    let sine = angle + angle * square * ((-1.951_529_6e-4 * square + 8.332_161e-3) * square - 1.666_665_5e-1);
    let cosine =
        1.0 - 0.5 * square + square * square * ((2.443_315_7e-5 * square - 1.388_731_6e-3) * square + 4.166_664_6e-2);
    let quarter = whole(rounded);
    let odd = quarter & 1 != 0;
    let (cosine, sine) = (select(odd, -sine, cosine), select(odd, cosine, sine));
    let half = quarter & 2 != 0;
    (select(half, -cosine, cosine), select(half, -sine, sine))
}

/// Calls `group` for the blocks that hold elements `first..`, and copies those elements.
#[inline(always)]
fn fill(first: u64, out: &mut [f32], group: impl Fn(u32, &mut [f32; GROUP])) {
    let mut block = (first / 4) as u32;
    let mut skip = (first % 4) as usize;
    let mut out = out;
    let mut buffer = [0.0; GROUP];
    while !out.is_empty() {
        group(block, &mut buffer);
        let count = out.len().min(GROUP - skip);
        let (now, later) = out.split_at_mut(count);
        now.copy_from_slice(&buffer[skip..skip + count]);
        (out, skip, block) = (later, 0, block.wrapping_add(LANES as u32));
    }
}

#[inline(always)]
pub(super) fn uniform(seed: u64, step: u64, stream: u32, first: u64, out: &mut [f32]) {
    fill(first, out, |block, group| {
        let words = words(seed, step, stream, block);
        for lane in 0..LANES {
            for word in 0..4 {
                group[4 * lane + word] = unit(words[word][lane]);
            }
        }
    });
}

#[inline(always)]
pub(super) fn normal(seed: u64, step: u64, stream: u32, first: u64, out: &mut [f32]) {
    fill(first, out, |block, group| {
        let words = words(seed, step, stream, block);
        for pair in [0, 2] {
            let (mut left, mut right) = ([0.0f32; LANES], [0.0f32; LANES]);
            for lane in 0..LANES {
                let radius = (-2.0 * log(unit(words[pair][lane]))).sqrt();
                let (cosine, sine) = turn(unit(words[pair + 1][lane]));
                left[lane] = radius * cosine;
                right[lane] = radius * sine;
            }
            for lane in 0..LANES {
                group[4 * lane + pair] = left[lane];
                group[4 * lane + pair + 1] = right[lane];
            }
        }
    });
}
