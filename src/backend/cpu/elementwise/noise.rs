//! Philox and Box–Muller for thirty-two blocks at a time, in loops that the compiler vectorises.

use super::{
    functions::log,
    number::{Plain, ROUND, select, whole},
};

const LANES: usize = 32;
/// Elements of as many blocks.
const GROUP: usize = 4 * LANES;

/// The words of blocks side by side.
type Words = [[u32; LANES]; 4];

/// The high and the low half of x · factor.
#[inline(always)]
fn multiply(x: &[u32; LANES], factor: u32, high: &mut [u32; LANES], low: &mut [u32; LANES]) {
    for (x, (high, low)) in x.iter().zip(high.iter_mut().zip(low)) {
        let product = u64::from(*x) * u64::from(factor);
        (*high, *low) = ((product >> 32) as u32, product as u32);
    }
}

/// The four words of blocks `first`, `first` + 1, …; see [`crate::tensor::philox`].
#[inline(always)]
fn words(seed: u64, step: u64, stream: u32, first: u32) -> Words {
    let mut words = [
        [0; LANES],
        [stream; LANES],
        [step as u32; LANES],
        [(step >> 32) as u32; LANES],
    ];
    words[0]
        .iter_mut()
        .zip(0..)
        .for_each(|(word, lane)| *word = first.wrapping_add(lane));
    let (mut k0, mut k1) = (seed as u32, (seed >> 32) as u32);
    let (mut high, mut low) = ([[0; LANES]; 2], [[0; LANES]; 2]);
    for _ in 0..10 {
        multiply(&words[0], 0xD251_1F53, &mut high[0], &mut low[0]);
        multiply(&words[2], 0xCD9E_8D57, &mut high[1], &mut low[1]);
        for lane in 0..LANES {
            words[0][lane] = high[1][lane] ^ words[1][lane] ^ k0;
            words[2][lane] = high[0][lane] ^ words[3][lane] ^ k1;
        }
        (words[1], words[3]) = (low[1], low[0]);
        k0 = k0.wrapping_add(0x9E37_79B9);
        k1 = k1.wrapping_add(0xBB67_AE85);
    }
    words
}

/// The middle of one of the 2²³ equal intervals of (0, 1), exactly.
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
    let sine = angle
        + angle * square * ((-1.951_529_6e-4 * square + 8.332_161e-3) * square - 1.666_665_5e-1);
    let cosine = 1.0 - 0.5 * square
        + square * square * ((2.443_315_7e-5 * square - 1.388_731_6e-3) * square + 4.166_664_6e-2);
    let quarter = whole(rounded);
    let odd = quarter & 1 != 0;
    let (cosine, sine) = (select(odd, -sine, cosine), select(odd, cosine, sine));
    let half = quarter & 2 != 0;
    (select(half, -cosine, cosine), select(half, -sine, sine))
}

/// Elements `first..` of a stream of standard normal (`N`) or uniform numbers.
#[inline(always)]
fn fill<const N: bool>((seed, step, stream): (u64, u64, u32), first: u64, mut out: &mut [f32]) {
    let mut block = (first / 4) as u32;
    let mut skip = (first % 4) as usize;
    let mut buffer = [0.0; GROUP];
    while !out.is_empty() {
        let words = words(seed, step, stream, block);
        // A function as a parameter would be compiled without the caller's instructions.
        match N {
            true => normals(&words, &mut buffer),
            false => units(&words, &mut buffer),
        }
        let count = out.len().min(GROUP - skip);
        let (part, rest) = out.split_at_mut(count);
        part.copy_from_slice(&buffer[skip..skip + count]);
        (out, skip, block) = (rest, 0, block.wrapping_add(LANES as u32));
    }
}

#[inline(always)]
pub(super) fn uniform(seed: u64, step: u64, stream: u32, first: u64, out: &mut [f32]) {
    fill::<false>((seed, step, stream), first, out);
}

#[inline(always)]
fn units(words: &Words, group: &mut [f32; GROUP]) {
    for lane in 0..LANES {
        for word in 0..4 {
            group[4 * lane + word] = unit(words[word][lane]);
        }
    }
}

#[inline(always)]
pub(super) fn normal(seed: u64, step: u64, stream: u32, first: u64, out: &mut [f32]) {
    fill::<true>((seed, step, stream), first, out);
}

#[inline(always)]
fn normals(words: &Words, group: &mut [f32; GROUP]) {
    let mut values = [[0.0f32; LANES]; 4];
    let (pairs, _) = values.as_chunks_mut::<2>();
    for ([cosines, sines], pair) in pairs.iter_mut().zip([0, 2]) {
        let mut radius = [0.0f32; LANES];
        for lane in 0..LANES {
            let log = log(Plain::<false>(unit(words[pair][lane])));
            radius[lane] = (-2.0 * log.0).sqrt();
        }
        for lane in 0..LANES {
            (cosines[lane], sines[lane]) = turn(unit(words[pair + 1][lane]));
        }
        for lane in 0..LANES {
            cosines[lane] *= radius[lane];
            sines[lane] *= radius[lane];
        }
    }
    for lane in 0..LANES {
        for word in 0..4 {
            group[4 * lane + word] = values[word][lane];
        }
    }
}
