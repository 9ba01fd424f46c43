//! The keys of the rows' noise in evaluation: see [`crate::lower`].
//!
//! The keys of a row depend on its values, the seed, and the name of the stream of noise, and on
//! nothing else. Rows with the same values have the same keys.

use crate::tensor::philox;

/// The hash of a row's values so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowHash(u64);

impl RowHash {
    /// The hash of no values: the basis of FNV-1a.
    pub const EMPTY: RowHash = RowHash(0xCBF2_9CE4_8422_2325);

    /// Adds values. 0 and −0 are equal, and so are all kinds of NaN, which is a missing value.
    pub fn add(&mut self, values: &[f32]) {
        for value in values {
            let bits = match value.is_nan() {
                true => f32::NAN.to_bits(),
                false => (value + 0.0).to_bits(),
            };
            for byte in bits.to_le_bytes() {
                self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
            }
        }
    }

    /// The keys of a stream: multiples of 2⁻¹² in [0, 1), two from each word.
    pub fn fill(self, seed: u64, stream: u32, keys: &mut [f32]) {
        let fraction = |bits: u32| (bits & 0xFFF) as f32 / 4096.0;
        for (number, keys) in (0..).zip(keys.chunks_mut(8)) {
            let words = philox::words(self.0, seed, stream, number);
            let fractions = words.iter().flat_map(|word| [word >> 20, word >> 4]);
            for (key, bits) in keys.iter_mut().zip(fractions) {
                *key = fraction(bits);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RowHash;

    fn keys(values: &[f32], seed: u64) -> Vec<f32> {
        let mut hash = RowHash::EMPTY;
        hash.add(values);
        let mut keys = vec![-1.0; 1001];
        hash.fill(seed, 7, &mut keys);
        keys
    }

    #[test]
    fn keys_depend_on_the_values_and_the_seed() {
        let found = keys(&[0.0, 1.5], 3);
        assert_eq!(found, keys(&[-0.0, 1.5], 3));
        let other_nan = f32::from_bits(0xFFC0_0001);
        assert_eq!(keys(&[f32::NAN], 3), keys(&[other_nan], 3));
        for other in [keys(&[0.0, 1.5], 4), keys(&[1.5, 0.0], 3), keys(&[0.0], 3)] {
            let equal = found.iter().zip(&other).filter(|(a, b)| a == b).count();
            // One of 4,096 on average.
            assert!(equal < 8, "{equal} of 1001 keys are equal");
        }
    }

    #[test]
    fn keys_are_multiples_of_a_fraction() {
        let found = keys(&[1.0], 0);
        assert!(found.iter().all(|key| (0.0..1.0).contains(key)));
        assert!(found.iter().all(|key| (key * 4096.0).fract() == 0.0));
        let mean = found.iter().sum::<f32>() / 1001.0;
        // Five standard deviations of √(1/12) / √1001.
        assert!((mean - 0.5).abs() < 0.046, "{mean}");
    }
}
