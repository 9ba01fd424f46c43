//! Random numbers in double precision, of which a distribution's values are drawn one by one.
//!
//! The generator is Philox, as that of all noise. Shapes and rates may have any size that the heads of a
//! distribution take, so gamma variables are drawn as logarithms.

use crate::tensor::{philox, special::log_gamma};
use std::f64::consts::{PI, TAU};

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    step: u64,
    stream: u32,
    /// The next block, and the next pair of words in the current one.
    block: u32,
    words: [u32; 4],
    pair: usize,
}

impl Random {
    /// The numbers of a stream at a step, which differ from those at any other.
    pub fn new(seed: u64, step: u64, stream: &str) -> Self {
        Random {
            seed,
            step,
            stream: philox::stream(stream),
            block: 0,
            words: [0; 4],
            pair: 2,
        }
    }

    /// Uniform on (0, 1), in steps of 2⁻⁵².
    pub fn uniform(&mut self) -> f64 {
        if self.pair == 2 {
            self.words = philox::words(self.seed, self.step, self.stream, self.block);
            self.block = self.block.wrapping_add(1);
            self.pair = 0;
        }
        let [high, low] = [self.words[2 * self.pair], self.words[2 * self.pair + 1]];
        self.pair += 1;
        let whole = u64::from(high >> 6) << 26 | u64::from(low >> 6);
        (whole as f64 + 0.5) / (1u64 << 52) as f64
    }

    /// Standard normal, by Box and Muller's transform.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        radius * (TAU * self.uniform()).cos()
    }

    /// The logarithm of a gamma variable with this shape and the rate 1 (Marsaglia and Tsang 2000).
    pub fn log_gamma_variable(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            // Of a shape a + 1, times a uniform number to the power 1 / a.
            let larger = self.log_gamma_variable(shape + 1.0);
            return larger + self.uniform().ln() / shape;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.uniform().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d.ln() + v.ln();
            }
        }
    }

    /// A Poisson variable with this rate.
    pub fn poisson(&mut self, rate: f64) -> f64 {
        if rate < 10.0 {
            // The first count whose distribution function exceeds a uniform number.
            let (uniform, mut count, mut term) = (self.uniform(), 0.0, (-rate).exp());
            let mut sum = term;
            while sum < uniform && term > 0.0 {
                count += 1.0;
                term *= rate / count;
                sum += term;
            }
            return count;
        }
        if rate > 1e8 {
            // Skewness 10⁻⁴: a normal variable, rounded.
            return (rate + rate.sqrt() * self.normal()).round();
        }
        self.transformed_rejection(rate)
    }

    /// Hörmann's algorithm PTRS (1993), for rates from 10.
    fn transformed_rejection(&mut self, rate: f64) -> f64 {
        let b = 0.931 + 2.53 * rate.sqrt();
        let a = -0.059 + 0.02483 * b;
        let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
        let squeeze = 0.9277 - 3.6224 / (b - 2.0);
        loop {
            let u = self.uniform() - 0.5;
            let v = self.uniform();
            let side = 0.5 - u.abs();
            let count = ((2.0 * a / side + b) * u + rate + 0.43).floor();
            if side >= 0.07 && v <= squeeze {
                return count;
            }
            if count < 0.0 || side < 0.013 && v > side {
                continue;
            }
            let accepted = count * rate.ln() - rate - log_gamma(count + 1.0);
            if v.ln() + inverse_alpha.ln() - (a / (side * side) + b).ln() <= accepted {
                return count;
            }
        }
    }

    /// A von Mises variable around 0 with this concentration, from −π to π (Best and Fisher 1979).
    pub fn von_mises(&mut self, concentration: f64) -> f64 {
        if concentration < 1e-8 {
            return PI * (2.0 * self.uniform() - 1.0);
        }
        if concentration > 1e6 {
            let angle = self.normal() / concentration.sqrt();
            return angle.clamp(-PI, PI);
        }
        let root = (1.0 + 4.0 * concentration * concentration).sqrt();
        // (1 + ρ²) / 2ρ; for a small concentration, the terms of ρ cancel.
        let r = if concentration < 1e-5 {
            1.0 / concentration + concentration
        } else {
            let rho = (1.0 + root - (2.0 * (1.0 + root)).sqrt()) / (2.0 * concentration);
            (1.0 + rho * rho) / (2.0 * rho)
        };
        loop {
            let z = (PI * self.uniform()).cos();
            let f = (1.0 + r * z) / (r + z);
            let c = concentration * (r - f);
            let u = self.uniform();
            if c * (2.0 - c) > u || (c / u).ln() + 1.0 >= c {
                let angle = f.clamp(-1.0, 1.0).acos();
                return if self.uniform() < 0.5 { -angle } else { angle };
            }
        }
    }

    /// 1 with the probability of these log-odds, else 0.
    pub fn bernoulli(&mut self, logit: f64) -> f64 {
        let probability = 1.0 / (1.0 + (-logit).exp());
        f64::from(u8::from(self.uniform() < probability))
    }

    /// The place of a class, of these probabilities.
    pub fn class(&mut self, probabilities: &[f64]) -> usize {
        let total: f64 = probabilities.iter().sum();
        let mut rest = self.uniform() * total;
        for (class, probability) in probabilities.iter().enumerate() {
            rest -= probability;
            if rest < 0.0 {
                return class;
            }
        }
        // Rounding: the last class that may occur.
        let possible = |probability: &f64| *probability > 0.0;
        probabilities.iter().rposition(possible).unwrap_or(0)
    }
}
