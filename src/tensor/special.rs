//! Special functions in f64, for the reference interpreter: the normal distribution function, log Γ
//! and its derivatives.

/// The standard normal distribution function, to about 1e-13 of itself: erf's Maclaurin series near
/// 0, a continued fraction of erfc further out.
pub fn normal_cdf(x: f64) -> f64 {
    let z = x.abs() * std::f64::consts::FRAC_1_SQRT_2;
    let bell = (-z * z).exp();
    if z < 2.5 {
        // erf(z) = 2/√π Σ (−1)^n z^(2n+1) / (n! (2n+1)), in the form exp(−z²) Σ 2^n z^(2n+1) /
        // (2n+1)!!, whose terms are all positive
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * z * z / (2.0 * n + 1.0);
            sum += term;
        }
        return 0.5 + (0.5 * std::f64::consts::FRAC_2_SQRT_PI * bell * sum).copysign(x);
    }
    // erfc(z) = exp(−z²)/√π · 1/(z + (1/2)/(z + 1/(z + (3/2)/(z + …))))
    let fraction = (1..=60)
        .rev()
        .fold(z, |below, k| z + 0.5 * f64::from(k) / below);
    let tail = 0.5 * bell / (fraction * std::f64::consts::PI.sqrt());
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// log Γ(x) for x > 0, to about 1e-15: the recurrence up to 10, then Stirling's series.
pub fn log_gamma(x: f64) -> f64 {
    let (mut x, mut product) = (x, 1.0);
    while x < 10.0 {
        product *= x;
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let square = inverse * inverse;
    // Bernoulli numbers B_2n / (2n (2n − 1))
    const SERIES: [f64; 8] = [
        1.0 / 12.0,
        -1.0 / 360.0,
        1.0 / 1260.0,
        -1.0 / 1680.0,
        1.0 / 1188.0,
        -691.0 / 360360.0,
        1.0 / 156.0,
        -3617.0 / 122400.0,
    ];
    let tail = SERIES.iter().rev().fold(0.0, |sum, c| sum * square + c) * inverse;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + tail - product.ln()
}

/// The derivative of log Γ for x > 0: the recurrence up to 10, then the asymptotic series.
pub fn digamma(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum -= 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    const SERIES: [f64; 7] = [
        1.0 / 12.0,
        -1.0 / 120.0,
        1.0 / 252.0,
        -1.0 / 240.0,
        1.0 / 132.0,
        -691.0 / 32760.0,
        1.0 / 12.0,
    ];
    let tail = SERIES.iter().rev().fold(0.0, |sum, c| sum * square + c) * square;
    sum + x.ln() - 0.5 / x - tail
}

/// The derivative of digamma for x > 0: the recurrence up to 10, then the asymptotic series.
pub fn trigamma(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 10.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    const SERIES: [f64; 7] = [
        1.0 / 6.0,
        -1.0 / 30.0,
        1.0 / 42.0,
        -1.0 / 30.0,
        5.0 / 66.0,
        -691.0 / 2730.0,
        7.0 / 6.0,
    ];
    let tail = SERIES.iter().rev().fold(0.0, |sum, c| sum * square + c) * square / x;
    sum + 1.0 / x + 0.5 * square + tail
}
