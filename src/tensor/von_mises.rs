//! The log-density of the von Mises distribution and its slopes in f64, for concentrations from e⁻³⁰ to
//! e³⁰.
//!
//! With the half angle h = (x − μ) / 2, κ cos(x − μ) − log 2π I₀(κ) is −2 κ sin² h + (κ − log I₀(κ)) −
//! log 2π, whose parts do not cancel. The Bessel functions I₀ and I₁ are power series up to κ = 16,
//! and beyond asymptotic series (Abramowitz and Stegun 9.6.10 and 9.7.1), to 10⁻¹² of themselves.
//!
//! As in [`super::densities`], the functions have no branches and no fused multiply-adds.

use super::densities::{HALF_LOG_TAU, ROUND, exp, log, polynomial, select};

/// 2π in three parts. The first two have few enough digits that their products with whole numbers below
/// 2²⁶ are exact.
const TURN: [f64; 3] = [
    6.283_185_243_606_567,
    6.357_301_884_918_343e-8,
    2.449_293_598_294_706_4e-16,
];
/// Power series below, asymptotic series above.
const ASYMPTOTIC_FROM: f64 = 16.0;
/// The terms of the power series and of the asymptotic ones.
const TERMS: usize = 32;
const ASYMPTOTIC_TERMS: usize = 24;

/// Half of x − μ without whole turns, between −π/2 and π/2.
#[inline(always)]
fn half_angle(x: f64, location: f64) -> f64 {
    let angle = x - location;
    let turns = angle * (1.0 / std::f64::consts::TAU) + ROUND - ROUND;
    let rest = (angle - turns * TURN[0]) - turns * TURN[1] - turns * TURN[2];
    0.5 * rest
}

/// Taylor's series, |h| ≤ π/2.
#[inline(always)]
fn sine(h: f64) -> f64 {
    let series = [
        -1.0 / 25_852_016_738_884_976_640_000.0,
        1.0 / 51_090_942_171_709_440_000.0,
        -1.0 / 121_645_100_408_832_000.0,
        1.0 / 355_687_428_096_000.0,
        -1.0 / 1_307_674_368_000.0,
        1.0 / 6_227_020_800.0,
        -1.0 / 39_916_800.0,
        1.0 / 362_880.0,
        -1.0 / 5_040.0,
        1.0 / 120.0,
        -1.0 / 6.0,
    ];
    let square = h * h;
    h + h * square * polynomial(square, series)
}

/// cos h = sin(π/2 − |h|), |h| ≤ π/2.
#[inline(always)]
fn cosine(h: f64) -> f64 {
    const QUARTER: [f64; 2] = [std::f64::consts::FRAC_PI_2, 6.123_233_995_736_766e-17];
    sine((QUARTER[0] - h.abs()) + QUARTER[1])
}

/// 2 κ sin² h: how far the density is below its greatest value.
#[inline(always)]
fn drop(concentration: f64, half: f64) -> f64 {
    let sine = sine(half);
    2.0 * concentration * sine * sine
}

/// Σ Πⱼ (κ²/4) / (j (j + order)), which is I₀(κ) for the order 0 and 2/κ I₁(κ) for the order 1, κ < 16.
#[inline(always)]
fn power_series(concentration: f64, order: f64) -> f64 {
    let quarter = 0.25 * concentration * concentration;
    let mut sum = 1.0;
    for term in (1..=TERMS).rev() {
        let term = term as f64;
        sum = 1.0 + sum * quarter * (1.0 / (term * (term + order)));
    }
    sum
}

/// √(2πκ) exp(−κ) I₀(κ), κ ≥ 16.
#[inline(always)]
fn asymptotic_series(inverse: f64) -> f64 {
    let mut sum = 1.0;
    for term in (1..=ASYMPTOTIC_TERMS).rev() {
        let odd = 2.0 * term as f64 - 1.0;
        sum = 1.0 + sum * inverse * (odd * odd / (8.0 * term as f64));
    }
    sum
}

/// κ √(2πκ) exp(−κ) (I₀(κ) − I₁(κ)), κ ≥ 16.
#[inline(always)]
fn asymptotic_difference(inverse: f64) -> f64 {
    let mut sum = 1.0;
    for term in (1..ASYMPTOTIC_TERMS).rev() {
        let (odd, next) = (2.0 * term as f64 - 1.0, 2.0 * term as f64 + 1.0);
        sum = 1.0 + sum * inverse * (odd * next / (8.0 * term as f64));
    }
    0.5 * sum
}

/// κ where its power series is used, and 1/κ where the asymptotic series are, each in its range.
#[inline(always)]
fn ranges(concentration: f64) -> (bool, f64, f64) {
    let is_small = concentration < ASYMPTOTIC_FROM;
    let small = select(is_small, concentration, 0.0);
    let large = select(is_small, ASYMPTOTIC_FROM, concentration);
    (is_small, small, 1.0 / large)
}

/// The log-density of an angle, of its location and the log of its concentration.
#[inline(always)]
pub fn von_mises(x: f64, location: f64, log_concentration: f64) -> f64 {
    let concentration = exp(log_concentration);
    let (is_small, small, inverse) = ranges(concentration);
    // κ − log I₀(κ)
    let near = small - log(power_series(small, 0.0));
    let far = HALF_LOG_TAU + 0.5 * log_concentration - log(asymptotic_series(inverse));
    let greatest = select(is_small, near, far) - 2.0 * HALF_LOG_TAU;
    greatest - drop(concentration, half_angle(x, location))
}

/// The derivative by x: −κ sin(x − μ).
#[inline(always)]
pub fn slope(x: f64, location: f64, log_concentration: f64) -> f64 {
    let half = half_angle(x, location);
    -2.0 * exp(log_concentration) * sine(half) * cosine(half)
}

/// The derivative by log κ: κ (1 − I₁(κ) / I₀(κ)) − κ (1 − cos(x − μ)).
#[inline(always)]
pub fn slope_by_concentration(x: f64, location: f64, log_concentration: f64) -> f64 {
    let concentration = exp(log_concentration);
    let (is_small, small, inverse) = ranges(concentration);
    let ratio = power_series(small, 1.0) / power_series(small, 0.0);
    let near = small - 0.5 * small * small * ratio;
    let far = asymptotic_difference(inverse) / asymptotic_series(inverse);
    select(is_small, near, far) - drop(concentration, half_angle(x, location))
}
