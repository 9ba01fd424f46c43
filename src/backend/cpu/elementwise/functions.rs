//! Elementary functions in single precision without branches, so that loops over them become vector
//! instructions.
//!
//! Polynomials and reductions are those of Moshier's Cephes library. `F` says whether the CPU has
//! fused multiply-adds, which round once; without them, one would be a call of a slow function.

/// Adding and subtracting this rounds to the nearest whole number: its last place is 1.
pub(super) const ROUND: f32 = 12_582_912.0;

/// `a` where the condition holds, else `b`, by masks: a branch would keep the compiler from making
/// vector instructions, and both are computed anyway.
#[inline(always)]
pub(super) fn select(condition: bool, a: f32, b: f32) -> f32 {
    let mask = u32::from(condition).wrapping_neg();
    f32::from_bits((a.to_bits() & mask) | (b.to_bits() & !mask))
}

/// a b + c
#[inline(always)]
fn multiply_add<const F: bool>(a: f32, b: f32, c: f32) -> f32 {
    if F { a.mul_add(b, c) } else { a * b + c }
}

#[inline(always)]
fn polynomial<const F: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut value = coefficients[0];
    for coefficient in &coefficients[1..] {
        value = multiply_add::<F>(value, x, *coefficient);
    }
    value
}

/// A whole number to which `ROUND` was added, as an integer: these are the last bits. A conversion
/// would be slower.
#[inline(always)]
pub(super) fn whole(rounded: f32) -> i32 {
    rounded
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .cast_signed()
}

/// 2ⁿ for n between −126 and 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n + 127).cast_unsigned() << 23)
}

#[inline(always)]
pub(super) fn exp<const F: bool>(x: f32) -> f32 {
    // Beyond these bounds the result is 0 or ∞ all the same; NaN passes both comparisons.
    let bounded = select(x < -104.0, -104.0, x);
    let bounded = select(bounded > 89.0, 89.0, bounded);
    let rounded = multiply_add::<F>(bounded, std::f32::consts::LOG2_E, ROUND);
    let n = rounded - ROUND;
    // log 2 in two parts, the first with few enough digits that its product with n is exact.
    let r = multiply_add::<F>(
        n,
        2.121_944_4e-4,
        multiply_add::<F>(n, -0.693_359_4, bounded),
    );
    let p = polynomial::<F, _>(
        r,
        [
            1.987_569_1e-4,
            1.398_199_9e-3,
            8.333_452e-3,
            4.166_579_6e-2,
            1.666_666_5e-1,
            0.5,
        ],
    );
    let p = multiply_add::<F>(p, r * r, r) + 1.0;
    // In two steps, for results below the least normal number and near the greatest.
    let whole = whole(rounded);
    let half = whole >> 1;
    let value = p * power_of_two(half) * power_of_two(whole - half);
    select(x.is_nan(), x, value)
}

#[inline(always)]
pub(super) fn log<const F: bool>(x: f32) -> f32 {
    let subnormal = x < f32::MIN_POSITIVE;
    let value = log_normal::<F>(
        select(subnormal, x * 8_388_608.0, x),
        select(subnormal, -23.0, 0.0),
    );
    let value = select(x == 0.0, f32::NEG_INFINITY, value);
    let value = select(x == f32::INFINITY, x, value);
    select(x >= 0.0, value, f32::NAN)
}

/// log(x 2ⁿ) for an x that is positive, finite and not subnormal.
#[inline(always)]
fn log_normal<const F: bool>(x: f32, n: f32) -> f32 {
    let bits = x.to_bits();
    // x = m 2ᵉ with m between √½ and √2.
    let shifted = bits.wrapping_sub(0x3F35_04F3);
    let e = (shifted.cast_signed() >> 23) as f32 + n;
    let m = f32::from_bits((shifted & 0x007F_FFFF).wrapping_add(0x3F35_04F3)) - 1.0;
    let p = polynomial::<F, _>(
        m,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_8e-1,
            2.000_071_5e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let square = m * m;
    let rest = multiply_add::<F>(
        p * m,
        square,
        multiply_add::<F>(e, -2.121_944_4e-4, -0.5 * square),
    );
    multiply_add::<F>(e, 0.693_359_4, m + rest)
}

/// log(u) · x / (u − 1) with u = 1 + x rounded, which cancels the rounding (Kahan).
#[inline(always)]
pub(super) fn log1p<const F: bool>(x: f32) -> f32 {
    let u = 1.0 + x;
    let d = u - 1.0;
    let log = log::<F>(u);
    let value = log * (x / select(d == 0.0, 1.0, d));
    let value = select(d == 0.0, x, value);
    select(u == f32::INFINITY || u == 0.0, log, value)
}

/// A Taylor series near 0, where exp(x) − 1 cancels.
#[inline(always)]
pub(super) fn expm1<const F: bool>(x: f32) -> f32 {
    let series = polynomial::<F, _>(
        x,
        [
            1.0 / 40320.0,
            1.0 / 5040.0,
            1.0 / 720.0,
            1.0 / 120.0,
            1.0 / 24.0,
            1.0 / 6.0,
            0.5,
        ],
    );
    let near = multiply_add::<F>(series * x, x, x);
    select(x.abs() < 0.5, near, exp::<F>(x) - 1.0)
}

/// t / (t + 2) with t = exp(2x) − 1.
#[inline(always)]
pub(super) fn tanh<const F: bool>(x: f32) -> f32 {
    let size = x.abs();
    let size = select(size > 10.0, 10.0, size);
    let t = expm1::<F>(2.0 * size);
    (t / (t + 2.0)).copysign(x)
}

#[inline(always)]
pub(super) fn sigmoid<const F: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<F>(-x))
}

/// max(x, 0) + log(1 + y) for y = exp(−|x|): log u + (y − (u − 1)) / u with u = 1 + y rounded,
/// between 1 and 2.
#[inline(always)]
pub(super) fn softplus<const F: bool>(x: f32) -> f32 {
    let y = exp::<F>(-x.abs());
    let u = 1.0 + y;
    let lost = y - (u - 1.0);
    select(x < 0.0, 0.0, x) + (log_normal::<F>(u, 0.0) + lost / u)
}

/// Φ(x) and exp(−x²/2).
#[inline(always)]
fn normal_cdf<const F: bool>(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let square = 0.5 * x * x;
    let bell = exp::<F>(-square);
    // erf(z) = z P(z²)
    let near = x
        * std::f32::consts::FRAC_1_SQRT_2
        * polynomial::<F, _>(
            square,
            [
                7.853_861_4e-5,
                -8.010_194e-4,
                5.188_328e-3,
                -2.685_381e-2,
                1.128_358_6e-1,
                -3.761_262_6e-1,
                std::f32::consts::FRAC_2_SQRT_PI,
            ],
        );
    // erfc(z) = exp(−z²) / z · P(1/z²), in two ranges.
    let inverse = 1.0 / select(z < 1.0, 1.0, z);
    let inverse_square = inverse * inverse;
    let middle = polynomial::<F, _>(
        inverse_square,
        [
            2.326_82e-2,
            -1.387_039_4e-1,
            3.687_424_7e-1,
            -5.824_733e-1,
            6.210_004_6e-1,
            -4.944_515_4e-1,
            3.404_88e-1,
            -2.741_127e-1,
            5.638_259_4e-1,
        ],
    );
    let far = polynomial::<F, _>(
        inverse_square,
        [
            -10.477_664,
            12.977_2,
            -7.495_518_7,
            2.921_019,
            -1.015_265_3,
            4.218_463_3e-1,
            -2.820_767_5e-1,
            5.641_896e-1,
        ],
    );
    let tail = 0.5 * bell * inverse * select(z < 2.0, middle, far);
    let away = select(x < 0.0, tail, 1.0 - tail);
    (select(z < 1.0, 0.5 + 0.5 * near, away), bell)
}

/// x Φ(x)
#[inline(always)]
pub(super) fn gelu<const F: bool>(x: f32) -> f32 {
    select(x < -40.0, 0.0, x * normal_cdf::<F>(x).0)
}

/// Φ(x) + x φ(x)
#[inline(always)]
pub(super) fn gelu_slope<const F: bool>(x: f32) -> f32 {
    let (below, bell) = normal_cdf::<F>(x);
    let value = below + x * bell * 0.398_942_3;
    select(x.abs() > 40.0, select(x > 0.0, 1.0, 0.0), value)
}
