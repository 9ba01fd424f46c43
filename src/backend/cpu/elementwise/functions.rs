//! Elementary functions in single precision without branches, for any [`Number`].
//!
//! Polynomials and reductions are those of Moshier's Cephes library.

use super::number::{Number, ROUND, Relation};

/// `a` where x has the relation to y, else `b`.
#[inline(always)]
fn select<N: Number>(x: N, relation: Relation, y: N, a: N, b: N) -> N {
    x.choose(relation, y, [a, b])
}

#[inline(always)]
fn polynomial<N: Number, const C: usize>(x: N, coefficients: [f32; C]) -> N {
    let mut value = x.constant(coefficients[0]);
    for &coefficient in &coefficients[1..] {
        value = value.mul_add(x, x.constant(coefficient));
    }
    value
}

/// 1 where x > y, else 0.
#[inline(always)]
pub(super) fn greater<N: Number>(x: N, y: N) -> N {
    select(x, Relation::Greater, y, x.constant(1.0), x.constant(0.0))
}

/// y where x > 0, else z.
#[inline(always)]
pub(super) fn positive<N: Number>(x: N, y: N, z: N) -> N {
    select(x, Relation::Greater, x.constant(0.0), y, z)
}

/// The nearest number to x between −y and y; NaN stays.
#[inline(always)]
pub(super) fn clamp<N: Number>(x: N, y: N) -> N {
    let above = select(x, Relation::Less, -y, -y, x);
    select(x, Relation::Greater, y, y, above)
}

/// max(x, 0); NaN stays.
#[inline(always)]
pub(super) fn relu<N: Number>(x: N) -> N {
    x.constant(0.0).greater_of(x)
}

/// 1 above 0, −1 below, else x.
#[inline(always)]
pub(super) fn sign<N: Number>(x: N) -> N {
    let (zero, one) = (x.constant(0.0), x.constant(1.0));
    let rest = select(x, Relation::Less, zero, x.constant(-1.0), x);
    select(x, Relation::Greater, zero, one, rest)
}

/// The nearest bf16 in the lower half of the bits; ties go to even, NaN stays NaN.
#[inline(always)]
pub(super) fn bf16<N: Number>(x: N) -> N {
    let upper = x.shift_right(16);
    let half = x.bits(0x7FFF).add_bits(upper.and_bits(x.bits(1)));
    let rounded = x.add_bits(half).shift_right(16);
    select(x, Relation::Equal, x, rounded, upper.or_bits(x.bits(0x40)))
}

#[inline(always)]
pub(super) fn exp<N: Number>(x: N) -> N {
    // Beyond these bounds the result is 0 or ∞ all the same; NaN passes both.
    let bounded = x.constant(-104.0).greater_of(x);
    let bounded = x.constant(89.0).lesser_of(bounded);
    let round = x.constant(ROUND);
    let n = bounded.mul_add(x.constant(std::f32::consts::LOG2_E), round) - round;
    // log 2 in two parts, the first with few enough digits that its product with n is exact.
    let r = n.mul_add(x.constant(-0.693_359_4), bounded);
    let r = n.mul_add(x.constant(2.121_944_4e-4), r);
    let p = polynomial(
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
    (p.mul_add(r * r, r) + x.constant(1.0)).scale(n)
}

#[inline(always)]
pub(super) fn log<N: Number>(x: N) -> N {
    let (zero, infinity) = (x.constant(0.0), x.constant(f32::INFINITY));
    let (least, up) = (x.constant(f32::MIN_POSITIVE), x.constant(8_388_608.0));
    let n = select(x, Relation::Less, least, x.constant(-23.0), zero);
    let value = log_normal(select(x, Relation::Less, least, x * up, x), |e| e + n);
    let value = select(x, Relation::Equal, zero, -infinity, value);
    let value = select(x, Relation::Equal, infinity, x, value);
    select(x, Relation::AtLeast, zero, value, x.constant(f32::NAN))
}

/// log(x) for an x that is positive, finite and not subnormal, and whose exponent of two is changed.
#[inline(always)]
fn log_normal<N: Number>(x: N, change: impl Fn(N) -> N) -> N {
    let half = x.bits(0x3F35_04F3);
    // x = m 2ᵉ with m between √½ and √2.
    let shifted = x.sub_bits(half);
    let e = change(shifted.shift_right(23).number());
    let fraction = shifted.and_bits(x.bits(0x007F_FFFF));
    let m = fraction.add_bits(half) - x.constant(1.0);
    let p = polynomial(
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
    let low = e.mul_add(x.constant(-2.121_944_4e-4), x.constant(-0.5) * square);
    let rest = (p * m).mul_add(square, low);
    e.mul_add(x.constant(0.693_359_4), m + rest)
}

/// log(u) · x / (u − 1) with u = 1 + x rounded, which cancels the rounding (Kahan).
#[inline(always)]
pub(super) fn log1p<N: Number>(x: N) -> N {
    let (zero, one) = (x.constant(0.0), x.constant(1.0));
    let u = one + x;
    let d = u - one;
    let log = log(u);
    let value = log * (x / select(d, Relation::Equal, zero, one, d));
    let value = select(d, Relation::Equal, zero, x, value);
    let value = select(u, Relation::Equal, x.constant(f32::INFINITY), log, value);
    select(u, Relation::Equal, zero, log, value)
}

/// A Taylor series near 0, where exp(x) − 1 cancels.
#[inline(always)]
pub(super) fn expm1<N: Number>(x: N) -> N {
    let series = polynomial(
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
    let near = (series * x).mul_add(x, x);
    let far = exp(x) - x.constant(1.0);
    select(x.abs(), Relation::Less, x.constant(0.5), near, far)
}

/// t / (t + 2) with t = exp(2x) − 1.
#[inline(always)]
pub(super) fn tanh<N: Number>(x: N) -> N {
    let size = x.constant(10.0).lesser_of(x.abs());
    let t = expm1(x.constant(2.0) * size);
    (t / (t + x.constant(2.0))).copysign(x)
}

/// 1 / (1 + y) above 0 and y / (1 + y) below, for y = exp(−|x|).
#[inline(always)]
pub(super) fn sigmoid<N: Number>(x: N) -> N {
    let y = exp(-x.abs());
    let one = x.constant(1.0);
    select(x, Relation::Less, x.constant(0.0), y, one) / (one + y)
}

/// max(x, 0) + log(1 + y) for y = exp(−|x|): log u + (y − (u − 1)) / u with u = 1 + y rounded,
/// between 1 and 2. What u lost is less than 2⁻²⁴, so its divisor needs few digits, and the more
/// the smaller y is: 1 / u is near 1 − y + y² / 2.
#[inline(always)]
pub(super) fn softplus<N: Number>(x: N) -> N {
    let y = exp(-x.abs());
    let one = x.constant(1.0);
    let u = one + y;
    let lost = y - (u - one);
    let inverse = y.mul_add(x.constant(0.5), x.constant(-1.0)).mul_add(y, one);
    let log = log_normal(u, |e| e);
    relu(x) + lost.mul_add(inverse, log)
}

/// max(x, y) + log(1 + exp(−|x − y|)).
#[inline(always)]
pub(super) fn log_add_exp<N: Number>(x: N, y: N) -> N {
    x.greater_of(y) + softplus(-(x - y).abs())
}

/// Φ(x) and exp(−x²/2).
#[inline(always)]
fn normal_cdf<N: Number>(x: N) -> (N, N) {
    let (half, one) = (x.constant(0.5), x.constant(1.0));
    let root = x.constant(std::f32::consts::FRAC_1_SQRT_2);
    let z = x.abs() * root;
    let square = half * x * x;
    let bell = exp(-square);
    // erf(z) = z P(z²)
    let near = x
        * root
        * polynomial(
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
    let inverse = one / select(z, Relation::Less, one, one, z);
    let inverse_square = inverse * inverse;
    let middle = polynomial(
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
    let far = polynomial(
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
    let outer = select(z, Relation::Less, x.constant(2.0), middle, far);
    let tail = half * bell * inverse * outer;
    let away = select(x, Relation::Less, x.constant(0.0), tail, one - tail);
    (
        select(z, Relation::Less, one, half + half * near, away),
        bell,
    )
}

/// x Φ(x)
#[inline(always)]
pub(super) fn gelu<N: Number>(x: N) -> N {
    let value = x * normal_cdf(x).0;
    select(x, Relation::Less, x.constant(-40.0), x.constant(0.0), value)
}

/// Φ(x) + x φ(x)
#[inline(always)]
pub(super) fn gelu_slope<N: Number>(x: N) -> N {
    let (below, bell) = normal_cdf(x);
    let value = below + x * bell * x.constant(0.398_942_3);
    let limit = greater(x, x.constant(0.0));
    select(x.abs(), Relation::Greater, x.constant(40.0), limit, value)
}
