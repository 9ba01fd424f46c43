//! Log-densities and their slopes in f64, from logarithms of parameters, for any size of counts,
//! rates, shapes and dispersions.
//!
//! The textbook formulas are differences of numbers as large as log Γ(10⁸) ≈ 2·10⁹, of which single
//! precision keeps nothing. Here a density is a sum of small numbers (Loader 2000): a divergence,
//! which is 0 where the value is what the parameters expect, and remainders of Stirling's formula,
//!
//! | name | definition | for large y |
//! |---|---|---|
//! | S(y) | log Γ(y + 1) − y log y + y | ½ log 2πy + 1/12y |
//! | R(y) | log Γ(y) − y log y + y = S(y) − log y | −½ log y/2π + 1/12y |
//! | U(y) | y (log y − ψ(y)) − ½ | 1/12y |
//!
//! Operands and results are single precision where a program computes them, and the numbers between
//! are not: an error of 10⁻⁷ in a logarithm is an error of 10 in a rate of 10⁸. The reference
//! interpreter and the CPU back end share these functions; `kernels/special.cuh` has those of CUDA.
//!
//! The functions have no branches, so that loops over them become vector instructions, and no fused
//! multiply-adds, so that they give the same bits on every CPU. NaN stays NaN.

/// Adding and subtracting this rounds to the nearest whole number: its last place is 1.
pub(super) const ROUND: f64 = 6_755_399_441_055_744.0;
/// The bits of √½.
const ROOT_HALF: u64 = 0x3FE6_A09E_667F_3BCD;
/// The bits of 1.
const ONE: u64 = 0x3FF0_0000_0000_0000;
/// log 2 in two parts, the first with few enough digits that its products with exponents are exact.
const LOG_2: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
/// ½ log 2π
pub(super) const HALF_LOG_TAU: f64 = 0.918_938_533_204_672_8;
/// The series of [`stirling`] and [`excess_of_digamma`] begin here. Below, the recurrence of Γ moves
/// there.
const SERIES_FROM: f64 = 8.0;
/// Stands for a value of 0, whose logarithm is only multiplied with 0.
const TINY: f64 = 1e-200;

/// `a` where the condition holds, else `b`, by masks, as both are computed anyway.
#[inline(always)]
pub(super) fn select(condition: bool, a: f64, b: f64) -> f64 {
    let mask = u64::from(condition).wrapping_neg();
    f64::from_bits((a.to_bits() & mask) | (b.to_bits() & !mask))
}

/// The coefficient of the highest power first.
#[inline(always)]
pub(super) fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    let mut value = coefficients[0];
    for coefficient in &coefficients[1..] {
        value = value * x + coefficient;
    }
    value
}

/// 2ⁿ for a whole number n between −1022 and 1023 to which `ROUND` was added.
#[inline(always)]
fn power_of_two(rounded: f64) -> f64 {
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits());
    f64::from_bits(n.wrapping_add(1023) << 52)
}

#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    // Beyond these bounds the result is 0 or ∞ all the same; NaN passes both comparisons.
    let bounded = select(x < -746.0, -746.0, x);
    let bounded = select(bounded > 710.0, 710.0, bounded);
    let n = bounded * std::f64::consts::LOG2_E + ROUND - ROUND;
    let r = (bounded - n * LOG_2[0]) - n * LOG_2[1];
    // Taylor's series, |r| ≤ ½ log 2.
    let p = polynomial(
        r,
        [
            1.0 / 6_227_020_800.0,
            1.0 / 479_001_600.0,
            1.0 / 39_916_800.0,
            1.0 / 3_628_800.0,
            1.0 / 362_880.0,
            1.0 / 40_320.0,
            1.0 / 5_040.0,
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
        ],
    );
    let p = (p * r * r + r) + 1.0;
    // In two steps, for results below the least normal number and near the greatest.
    let half = n * 0.5 + ROUND;
    let rest = n - (half - ROUND) + ROUND;
    p * power_of_two(half) * power_of_two(rest)
}

/// p log(p/q) − p + q for the log of q and d = log q − log p: at least 0.
#[inline(always)]
fn divergence(p: f64, log_q: f64, d: f64) -> f64 {
    // p (exp(d) − 1 − d)
    let near = polynomial(
        d,
        [
            1.0 / 1_307_674_368_000.0,
            1.0 / 87_178_291_200.0,
            1.0 / 6_227_020_800.0,
            1.0 / 479_001_600.0,
            1.0 / 39_916_800.0,
            1.0 / 3_628_800.0,
            1.0 / 362_880.0,
            1.0 / 40_320.0,
            1.0 / 5_040.0,
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
        ],
    );
    select(d.abs() < 0.5, p * near * d * d, exp(log_q) - p - p * d)
}

/// (log((1 + s) / (1 − s)) − 2 s) / s³ for |s| ≤ 0.172, s² given.
#[inline(always)]
fn atanh_rest(square: f64) -> f64 {
    polynomial(
        square,
        [
            2.0 / 21.0,
            2.0 / 19.0,
            2.0 / 17.0,
            2.0 / 15.0,
            2.0 / 13.0,
            2.0 / 11.0,
            2.0 / 9.0,
            2.0 / 7.0,
            2.0 / 5.0,
            2.0 / 3.0,
        ],
    )
}

/// e and s with x = 2ᵉ (1 + s) / (1 − s), |s| ≤ 0.172, for an x that is positive and finite.
#[inline(always)]
fn exponent(x: f64) -> (f64, f64) {
    let shifted = x.to_bits().wrapping_sub(ROOT_HALF);
    // An exponent in the last digits of 2⁵²: a conversion of integers would be slower.
    let biased = shifted.wrapping_add(ONE) >> 52;
    let e = f64::from_bits(biased | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1023.0);
    let m = f64::from_bits((shifted & 0x000F_FFFF_FFFF_FFFF).wrapping_add(ROOT_HALF));
    (e, (m - 1.0) / (m + 1.0))
}

/// `value` for an x that is positive and finite, else log x.
#[inline(always)]
fn log_or(x: f64, value: f64) -> f64 {
    let special = select(x == 0.0, f64::NEG_INFINITY, x);
    let special = select(x < 0.0, f64::NAN, special);
    select(x > 0.0 && x < f64::INFINITY, value, special)
}

#[inline(always)]
pub(super) fn log(x: f64) -> f64 {
    let (e, s) = exponent(x);
    let square = s * s;
    let value = e * LOG_2[0] + (2.0 * s + (s * square * atanh_rest(square) + e * LOG_2[1]));
    log_or(x, value)
}

/// log(p / q), where `difference` is p − q with all its digits.
#[inline(always)]
pub(super) fn log_quotient(p: f64, q: f64, difference: f64) -> f64 {
    let quotient = p / q;
    let (e, s) = exponent(quotient);
    let near = difference / (p + q);
    let is_near = near.abs() < 0.17;
    let (e, s) = (select(is_near, 0.0, e), select(is_near, near, s));
    let square = s * s;
    let value = e * LOG_2[0] + (2.0 * s + (s * square * atanh_rest(square) + e * LOG_2[1]));
    select(is_near, value, log_or(quotient, value))
}

/// log(p / q) − (p / q − 1), where `difference` is p − q with all its digits: at most 0.
#[inline(always)]
pub(super) fn log_quotient_less_linear(p: f64, q: f64, difference: f64) -> f64 {
    // 2 s − w = −s w, where w = p / q − 1 and s = w / (2 + w).
    let (w, s) = (difference / q, difference / (p + q));
    let square = s * s;
    let near = s * square * atanh_rest(square) - s * w;
    select(s.abs() < 0.17, near, log(p / q) - w)
}

/// Σ B₂ₙ / (2n (2n − 1) y²ⁿ⁻¹), the rest of Stirling's formula for log Γ, y ≥ 8.
#[inline(always)]
fn stirling(y: f64) -> f64 {
    let inverse = 1.0 / y;
    let series = [
        1.0 / 156.0,
        -691.0 / 360_360.0,
        1.0 / 1188.0,
        -1.0 / 1680.0,
        1.0 / 1260.0,
        -1.0 / 360.0,
        1.0 / 12.0,
    ];
    polynomial(inverse * inverse, series) * inverse
}

/// (y + 1) … (y + 7), and its derivative.
#[inline(always)]
fn rising(y: f64) -> (f64, f64) {
    let (mut product, mut slope) = (y + 1.0, 1.0);
    for k in 2..8 {
        let factor = y + f64::from(k);
        slope = slope * factor + product;
        product *= factor;
    }
    (product, slope)
}

/// S(y), of a y ≥ 0 and its logarithm: see the module. With `share` 0 it is S(y), with 1 it is R(y).
#[inline(always)]
pub(super) fn remainder(y: f64, log_y: f64, share: f64) -> f64 {
    let is_small = y < SERIES_FROM;
    // log Γ(y) = log Γ(y + 8) − log y (y + 1) … (y + 7)
    let moved = y + 8.0;
    let small = (y + 7.5) * log(moved) - log(rising(y).0) - 8.0 - (y + share) * log_y;
    let large = (0.5 - share) * log_y;
    let rest = stirling(select(is_small, moved, y));
    select(is_small, small, large) + (HALF_LOG_TAU + rest)
}

/// R(y), y > 0.
#[inline(always)]
pub(super) fn gamma_remainder(y: f64) -> f64 {
    remainder(y, log(y), 1.0)
}

/// U(y), y > 0: see the module.
#[inline(always)]
pub(super) fn excess_of_digamma(y: f64) -> f64 {
    let is_small = y < SERIES_FROM;
    let far = select(is_small, y + 8.0, y);
    let inverse = 1.0 / far;
    // Σ B₂ₙ / (2n y²ⁿ⁻¹)
    let series = [
        1.0 / 12.0,
        -691.0 / 32_760.0,
        1.0 / 132.0,
        -1.0 / 240.0,
        1.0 / 252.0,
        -1.0 / 120.0,
        1.0 / 12.0,
    ];
    let rest = polynomial(inverse * inverse, series) * inverse;
    // ψ(y) = ψ(y + 8) − 1/y − … − 1/(y + 7)
    let (product, slope) = rising(y);
    let small = y * (log(y * inverse) + slope / product) + (0.5 + y * inverse * (0.5 + rest));
    select(is_small, small, rest)
}

/// S(x) = log x! − x log x + x, x ≥ 0.
#[inline(always)]
pub fn log_factorial_remainder(x: f64) -> f64 {
    let positive = select(x == 0.0, TINY, x);
    remainder(positive, log(positive), 0.0)
}

/// x log(x/λ) − x + λ for the log of λ, x ≥ 0: the negative log-density of a Poisson variable less
/// [`log_factorial_remainder`].
#[inline(always)]
pub fn poisson_divergence(x: f64, log_rate: f64) -> f64 {
    let positive = select(x == 0.0, TINY, x);
    divergence(x, log_rate, log_rate - log(positive))
}

/// x exp(b) − exp(a)
#[inline(always)]
pub fn excess(x: f64, b: f64, a: f64) -> f64 {
    x * exp(b) - exp(a)
}

/// log(x) − m, x > 0.
#[inline(always)]
pub fn log_ratio(x: f64, m: f64) -> f64 {
    log(x) - m
}

/// The log-density of a negative binomial variable with the logs of the mean m and of the dispersion r,
/// plus [`log_factorial_remainder`]: R(N) − R(r) − N log((r + m) / N) + x log(m / x), where N = x + r.
#[inline(always)]
pub fn negative_binomial(x: f64, log_mean: f64, log_dispersion: f64) -> f64 {
    let (m, r) = (exp(log_mean), exp(log_dispersion));
    let all = x + r;
    let positive = select(x == 0.0, TINY, x);
    let spread = all * log_quotient(r + m, all, m - x);
    let likely = x * (log_mean - log(positive));
    gamma_remainder(all) - remainder(r, log_dispersion, 1.0) - (spread - likely)
}

/// The derivative of [`negative_binomial`] by the log of the dispersion:
/// r (ψ(N) − ψ(r) + log(r / (r + m)) + (m − x) / (r + m)).
#[inline(always)]
pub fn negative_binomial_slope(x: f64, log_mean: f64, log_dispersion: f64) -> f64 {
    let (m, r) = (exp(log_mean), exp(log_dispersion));
    let all = x + r;
    let share = r / all;
    let spread = r * log_quotient_less_linear(all, r + m, x - m);
    0.5 * x / all + excess_of_digamma(r) - share * excess_of_digamma(all) + spread
}

/// The log-density of a gamma variable with the logs of the shape α and of the rate β:
/// −(α log(α/βx) − α + βx) − R(α) − log x, x > 0.
#[inline(always)]
pub fn gamma(x: f64, log_shape: f64, log_rate: f64) -> f64 {
    let (shape, log_x) = (exp(log_shape), log(x));
    let log_q = log_rate + log_x;
    -divergence(shape, log_q, log_q - log_shape) - remainder(shape, log_shape, 1.0) - log_x
}

/// The derivative of [`gamma`] by the log of the shape: α (log βx − ψ(α)).
#[inline(always)]
pub fn gamma_slope(x: f64, log_shape: f64, log_rate: f64) -> f64 {
    let shape = exp(log_shape);
    shape * (log_rate + log(x) - log_shape) + (0.5 + excess_of_digamma(shape))
}

/// α, β, α + β and α (1 − x) − β x.
#[inline(always)]
fn beta_parameters(x: f64, log_alpha: f64, log_beta: f64) -> (f64, f64, f64, f64) {
    let (alpha, beta) = (exp(log_alpha), exp(log_beta));
    (alpha, beta, alpha + beta, alpha * (1.0 - x) - beta * x)
}

/// The log-density of a beta variable with the logs of α and β, 0 < x < 1: with N = α + β,
/// R(N) − R(α) − R(β) − α log(α / Nx) − β log(β / N(1 − x)) − log x − log(1 − x).
#[inline(always)]
pub fn beta(x: f64, log_alpha: f64, log_beta: f64) -> f64 {
    let (alpha, beta, all, above) = beta_parameters(x, log_alpha, log_beta);
    let left = alpha * log_quotient(alpha, all * x, above);
    let right = beta * log_quotient(beta, all * (1.0 - x), -above);
    let remainders =
        gamma_remainder(all) - remainder(alpha, log_alpha, 1.0) - remainder(beta, log_beta, 1.0);
    remainders - (left + right) - log(x) - log(1.0 - x)
}

/// The derivative of [`beta`] by the log of α: α (ψ(N) − ψ(α) + log x).
#[inline(always)]
pub fn beta_slope_by_alpha(x: f64, log_alpha: f64, log_beta: f64) -> f64 {
    let (alpha, beta, all, above) = beta_parameters(x, log_alpha, log_beta);
    beta_slope(alpha, beta, all, log_quotient(alpha, all * x, above))
}

/// The derivative of [`beta`] by the log of β: β (ψ(N) − ψ(β) + log(1 − x)).
#[inline(always)]
pub fn beta_slope_by_beta(x: f64, log_alpha: f64, log_beta: f64) -> f64 {
    let (alpha, beta, all, above) = beta_parameters(x, log_alpha, log_beta);
    beta_slope(
        beta,
        alpha,
        all,
        log_quotient(beta, all * (1.0 - x), -above),
    )
}

/// α (ψ(N) − ψ(α) + log x), where `log` is log(α / Nx).
#[inline(always)]
fn beta_slope(alpha: f64, beta: f64, all: f64, log: f64) -> f64 {
    let share = alpha / all;
    0.5 * beta / all + excess_of_digamma(alpha) - share * excess_of_digamma(all) - alpha * log
}

#[cfg(test)]
mod tests {
    use super::{exp, log};

    /// The elementary functions, which all others are made of, against those of the standard library.
    #[test]
    fn elementary_functions_are_exact() {
        for step in -20_000..=20_000 {
            let x = f64::from(step) * 0.035;
            let (found, wanted) = (exp(x), x.exp());
            assert!(
                (found - wanted).abs() <= 5e-16 * wanted,
                "exp({x}) = {found:e}"
            );
            let (found, wanted) = (log(wanted), wanted.ln());
            assert!(
                (found - wanted).abs() <= 5e-16 * wanted.abs(),
                "log: {found} is not {wanted}"
            );
        }
        assert_eq!(
            [exp(-800.0), exp(0.0), exp(800.0)],
            [0.0, 1.0, f64::INFINITY]
        );
        assert_eq!(
            [log(0.0), log(f64::INFINITY)],
            [f64::NEG_INFINITY, f64::INFINITY]
        );
        assert!(
            [exp(f64::NAN), log(f64::NAN), log(-1.0)]
                .iter()
                .all(|x| x.is_nan())
        );
    }
}
