//! Philox4x32-10 (Salmon et al. 2011), a counter-based random number generator. A number depends only
//! on its index, so all devices and all orders of evaluation give the same numbers.
//!
//! Element e of a stream is word e mod 4 of block e / 4. The counter of a block is (block, stream,
//! step low, step high), the key is the seed. Normal numbers come from pairs of words by Box and
//! Muller's transform.

/// The ten-round block function.
pub fn block(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let ([mut c0, mut c1, mut c2, mut c3], [mut k0, mut k1]) = (counter, key);
    for _ in 0..10 {
        let (left, right) = (u64::from(c0) * 0xD251_1F53, u64::from(c2) * 0xCD9E_8D57);
        (c0, c1, c2, c3) = (
            (right >> 32) as u32 ^ c1 ^ k0,
            right as u32,
            (left >> 32) as u32 ^ c3 ^ k1,
            left as u32,
        );
        (k0, k1) = (k0.wrapping_add(0x9E37_79B9), k1.wrapping_add(0xBB67_AE85));
    }
    [c0, c1, c2, c3]
}

/// The words of block `number` of a stream at a step.
pub fn words(seed: u64, step: u64, stream: u32, number: u32) -> [u32; 4] {
    block(
        [number, stream, step as u32, (step >> 32) as u32],
        [seed as u32, (seed >> 32) as u32],
    )
}

/// The number of a stream: the FNV-1a hash of its name.
pub fn stream(name: &str) -> u32 {
    name.bytes().fold(0x811C_9DC5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

/// A word as a number strictly between 0 and 1, exact in single precision: the midpoint of one of 2²³
/// equal intervals.
pub fn unit(word: u32) -> f64 {
    (f64::from(word >> 9) + 0.5) / f64::from(1u32 << 23)
}

/// Element `element` of a stream of uniform numbers on (0, 1).
pub fn uniform(seed: u64, step: u64, stream: u32, element: u64) -> f64 {
    unit(words(seed, step, stream, (element / 4) as u32)[(element % 4) as usize])
}

/// Element `element` of a stream of standard normal numbers: √(−2 log u) cos 2πv and √(−2 log u)
/// sin 2πv of words (u, v).
pub fn normal(seed: u64, step: u64, stream: u32, element: u64) -> f64 {
    let words = words(seed, step, stream, (element / 4) as u32);
    let pair = (element % 4 / 2 * 2) as usize;
    let radius = (-2.0 * unit(words[pair]).ln()).sqrt();
    let angle = std::f64::consts::TAU * unit(words[pair + 1]);
    radius
        * if element.is_multiple_of(2) {
            angle.cos()
        } else {
            angle.sin()
        }
}
