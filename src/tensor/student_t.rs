//! The log-density of Student's t-distribution and its slopes in f64, for degrees of freedom from e⁻³⁰
//! to e³⁰.
//!
//! With half the degrees of freedom y = ν/2, with z = y + ½ and with u = t²/ν, the density is
//! log Γ(z) − log Γ(y) − ½ log 2πy − log s − z log(1 + u). For large ν, both log Γ and their derivatives
//! nearly cancel, so they are computed by the remainders of [`super::densities`], whose rules hold here
//! too: no branches, and no fused multiply-adds.

use super::densities::{
    HALF_LOG_TAU, excess_of_digamma, exp, gamma_remainder, log_quotient, log_quotient_less_linear,
    remainder,
};

/// y, z and u of the module, of the distance from the mean and the logs of scale and degrees.
#[inline(always)]
fn parts(centred: f64, log_scale: f64, log_degrees: f64) -> (f64, f64, f64) {
    let y = 0.5 * exp(log_degrees);
    let t = centred * exp(-log_scale);
    (y, y + 0.5, t * t / (2.0 * y))
}

/// The log-density of x, `centred` by the mean: R(z) − R(y) + z log(z / y) − ½ − ½ log 2π − log s −
/// z log(1 + u).
#[inline(always)]
pub fn student_t(centred: f64, log_scale: f64, log_degrees: f64) -> f64 {
    let (y, z, u) = parts(centred, log_scale, log_degrees);
    let log_y = log_degrees - std::f64::consts::LN_2;
    let gammas = gamma_remainder(z) - remainder(y, log_y, 1.0) + z * log_quotient(z, y, 0.5);
    gammas - (0.5 + HALF_LOG_TAU) - log_scale - z * log_quotient(1.0 + u, 1.0, u)
}

/// The derivative by x: −(ν + 1) (x − μ) / (ν s² + (x − μ)²).
#[inline(always)]
pub fn slope(centred: f64, log_scale: f64, log_degrees: f64) -> f64 {
    let degrees = exp(log_degrees);
    let spread = degrees * exp(2.0 * log_scale);
    -(degrees + 1.0) * centred / (spread + centred * centred)
}

/// The derivative by log ν: y (ψ(z) − ψ(y)) − ½ − y (log(1 + u) − w) + ½ w, where w = u / (1 + u).
#[inline(always)]
pub fn slope_by_degrees(centred: f64, log_scale: f64, log_degrees: f64) -> f64 {
    let (y, z, u) = parts(centred, log_scale, log_degrees);
    let digammas =
        y * log_quotient(z, y, 0.5) - y / z * (excess_of_digamma(z) + 0.5) + excess_of_digamma(y);
    let tails = y * log_quotient_less_linear(1.0, 1.0 + u, -u) + 0.5 * (u / (1.0 + u));
    digammas + tails
}
