//! The facts of the elementwise operations: one table row each.

use super::{Graph, Node, Scalar, densities, special, student_t, von_mises};

/// The facts of one operation.
pub struct Row {
    /// The operation.
    pub scalar: Scalar,
    /// Its name in printed graphs and plans.
    pub name: &'static str,
    /// The number of operands.
    pub arity: usize,
    /// The function of `arity` numbers.
    pub eval: fn(&[f64]) -> f64,
    /// A C expression in `{0}`, `{1}`, `{2}`, single precision.
    pub c: &'static str,
    /// The gradients by the operands.
    pub gradient: Gradient,
}

/// Adds the gradient by each operand to the graph, or gives `None` where there is none:
/// `(graph, operands, result, gradient by the result)`.
pub type Gradient = fn(&mut Graph, &[Node], Node, Node) -> Vec<Option<Node>>;

impl Scalar {
    /// The facts of this operation.
    pub fn row(self) -> &'static Row {
        let row = &TABLE[self as usize];
        debug_assert!(row.scalar == self, "the table is in the order of the enum");
        row
    }
}

/// `row!(Op, "name", arity, |x| value, "c", |g, x, y, d| gradients)`.
macro_rules! row {
    ($scalar:ident, $name:literal, $arity:literal, $eval:expr, $c:literal, $gradient:expr) => {
        Row {
            scalar: Scalar::$scalar,
            name: $name,
            arity: $arity,
            eval: $eval,
            c: $c,
            gradient: $gradient,
        }
    };
}

/// The gradient of an operation whose derivative is also an operation.
fn by_slope(g: &mut Graph, slope: Scalar, x: Node, d: Node) -> Vec<Option<Node>> {
    let slope = g.scalar(slope, &[x]);
    vec![Some(g.mul(d, slope))]
}

fn flat(_: &mut Graph, x: &[Node], _: Node, _: Node) -> Vec<Option<Node>> {
    vec![None; x.len()]
}

const TABLE: &[Row] = &[
    row!(
        Add,
        "add",
        2,
        |x| x[0] + x[1],
        "({0} + {1})",
        |_, _, _, d| vec![Some(d), Some(d)]
    ),
    row!(
        Sub,
        "sub",
        2,
        |x| x[0] - x[1],
        "({0} - {1})",
        |g, _, _, d| vec![Some(d), Some(g.neg(d))]
    ),
    row!(
        Mul,
        "mul",
        2,
        |x| x[0] * x[1],
        "({0} * {1})",
        |g, x, _, d| match x[0] == x[1] {
            true => {
                let slope = g.scale(x[0], 2.0);
                vec![Some(g.mul(d, slope)), None]
            }
            false => vec![Some(g.mul(d, x[1])), Some(g.mul(d, x[0]))],
        }
    ),
    // d(a/b) = da/b − (a/b) db/b
    row!(
        Div,
        "div",
        2,
        |x| x[0] / x[1],
        "({0} / {1})",
        |g, x, y, d| {
            let left = g.div(d, x[1]);
            let slope = g.mul(left, y);
            vec![Some(left), Some(g.neg(slope))]
        }
    ),
    // The gradient goes to the larger operand, or to the right one if both are equal.
    row!(
        Max,
        "max",
        2,
        |x| x[0].max(x[1]),
        "fmaxf({0}, {1})",
        |g, x, _, d| {
            let (zero, left) = (g.constant(0.0), g.scalar(Scalar::Greater, &[x[0], x[1]]));
            vec![
                Some(g.scalar(Scalar::Select, &[left, d, zero])),
                Some(g.scalar(Scalar::Select, &[left, zero, d])),
            ]
        }
    ),
    row!(
        Min,
        "min",
        2,
        |x| x[0].min(x[1]),
        "fminf({0}, {1})",
        |g, x, _, d| {
            let (zero, right) = (g.constant(0.0), g.scalar(Scalar::Greater, &[x[0], x[1]]));
            vec![
                Some(g.scalar(Scalar::Select, &[right, zero, d])),
                Some(g.scalar(Scalar::Select, &[right, d, zero])),
            ]
        }
    ),
    row!(
        Greater,
        "greater",
        2,
        |x| f64::from(x[0] > x[1]),
        "({0} > {1} ? 1.0f : 0.0f)",
        flat
    ),
    row!(
        Select,
        "select",
        3,
        |x| if x[0] > 0.0 { x[1] } else { x[2] },
        "({0} > 0.0f ? {1} : {2})",
        |g, x, _, d| {
            let zero = g.constant(0.0);
            vec![
                None,
                Some(g.scalar(Scalar::Select, &[x[0], d, zero])),
                Some(g.scalar(Scalar::Select, &[x[0], zero, d])),
            ]
        }
    ),
    // Beyond the bound the gradient is not the derivative, which is 0: with it, an operand that a step
    // moved there could never return. It passes where its sign is the operand's, so that descent moves
    // the operand inwards.
    row!(
        Clamp,
        "clamp",
        2,
        |x| match x[0] {
            value if value > x[1] => x[1],
            value if value < -x[1] => -x[1],
            value => value,
        },
        "({0} > {1} ? {1} : ({0} < -{1} ? -{1} : {0}))",
        |g, x, y, d| {
            let (zero, size, sign) = (g.constant(0.0), g.scalar(Scalar::Abs, &[y]), g.mul(y, d));
            let inside = g.scalar(Scalar::Greater, &[x[1], size]);
            let inwards = g.scalar(Scalar::Select, &[sign, d, zero]);
            vec![Some(g.scalar(Scalar::Select, &[inside, d, inwards])), None]
        }
    ),
    row!(Neg, "neg", 1, |x| -x[0], "(-{0})", |g, _, _, d| vec![Some(
        g.neg(d)
    )]),
    // The gradient needs only the result.
    row!(
        Relu,
        "relu",
        1,
        |x| x[0].max(0.0),
        "fmaxf({0}, 0.0f)",
        |g, _, y, d| {
            let zero = g.constant(0.0);
            vec![Some(g.scalar(Scalar::Select, &[y, d, zero]))]
        }
    ),
    row!(Abs, "abs", 1, |x| x[0].abs(), "fabsf({0})", |g, x, _, d| {
        by_slope(g, Scalar::Sign, x[0], d)
    }),
    row!(
        Sign,
        "sign",
        1,
        |x| if x[0] == 0.0 { 0.0 } else { x[0].signum() },
        "({0} > 0.0f ? 1.0f : ({0} < 0.0f ? -1.0f : 0.0f))",
        flat
    ),
    row!(Floor, "floor", 1, |x| x[0].floor(), "floorf({0})", flat),
    row!(
        Sqrt,
        "sqrt",
        1,
        |x| x[0].sqrt(),
        "sqrtf({0})",
        |g, _, y, d| {
            let half = g.scale(d, 0.5);
            vec![Some(g.div(half, y))]
        }
    ),
    row!(
        Exp,
        "exp",
        1,
        |x| x[0].exp(),
        "expf({0})",
        |g, _, y, d| vec![Some(g.mul(d, y))]
    ),
    row!(
        ExpM1,
        "expm1",
        1,
        |x| x[0].exp_m1(),
        "expm1f({0})",
        |g, _, y, d| {
            let slope = g.shift(y, 1.0);
            vec![Some(g.mul(d, slope))]
        }
    ),
    row!(
        Log,
        "log",
        1,
        |x| x[0].ln(),
        "logf({0})",
        |g, x, _, d| vec![Some(g.div(d, x[0]))]
    ),
    row!(
        Log1P,
        "log1p",
        1,
        |x| x[0].ln_1p(),
        "log1pf({0})",
        |g, x, _, d| {
            let below = g.shift(x[0], 1.0);
            vec![Some(g.div(d, below))]
        }
    ),
    row!(Cos, "cos", 1, |x| x[0].cos(), "cosf({0})", |g, x, _, d| {
        let sine = g.scalar(Scalar::Sin, &[x[0]]);
        let slope = g.neg(sine);
        vec![Some(g.mul(d, slope))]
    }),
    row!(Sin, "sin", 1, |x| x[0].sin(), "sinf({0})", |g, x, _, d| {
        by_slope(g, Scalar::Cos, x[0], d)
    }),
    // tanh' = 1 − tanh²
    row!(
        Tanh,
        "tanh",
        1,
        |x| x[0].tanh(),
        "tanhf({0})",
        |g, _, y, d| {
            let square = g.square(y);
            let one = g.constant(1.0);
            let slope = g.sub(one, square);
            vec![Some(g.mul(d, slope))]
        }
    ),
    // σ' = σ (1 − σ)
    row!(
        Sigmoid,
        "sigmoid",
        1,
        |x| 1.0 / (1.0 + (-x[0]).exp()),
        "(1.0f / (1.0f + expf(-{0})))",
        |g, _, y, d| {
            let one = g.constant(1.0);
            let complement = g.sub(one, y);
            let slope = g.mul(y, complement);
            vec![Some(g.mul(d, slope))]
        }
    ),
    // log(1 + exp(x)) = max(x, 0) + log(1 + exp(−|x|)), all x
    row!(
        Softplus,
        "softplus",
        1,
        |x| x[0].max(0.0) + (-x[0].abs()).exp().ln_1p(),
        "(fmaxf({0}, 0.0f) + log1pf(expf(-fabsf({0}))))",
        |g, x, _, d| by_slope(g, Scalar::Sigmoid, x[0], d)
    ),
    // The gradient needs the argument alone, so that no more than that is kept.
    row!(
        Gelu,
        "gelu",
        1,
        |x| if x[0] < -40.0 {
            0.0
        } else {
            x[0] * special::normal_cdf(x[0])
        },
        "({0} < -40.0f ? 0.0f : 0.5f * {0} * erfcf(-0.70710678f * {0}))",
        |g, x, _, d| by_slope(g, Scalar::GeluSlope, x[0], d)
    ),
    // (2 − x²) φ(x)
    row!(
        GeluSlope,
        "gelu_slope",
        1,
        |x| match x[0] {
            x if x.abs() > 40.0 => f64::from(x > 0.0),
            x => special::normal_cdf(x) + x * (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt(),
        },
        "(fabsf({0}) > 40.0f ? ({0} > 0.0f ? 1.0f : 0.0f) \
          : 0.5f * erfcf(-0.70710678f * {0}) + 0.39894228f * {0} * expf(-0.5f * {0} * {0}))",
        |g, x, _, d| {
            let square = g.square(x[0]);
            let exponent = g.scale(square, -0.5);
            let bell = g.exp(exponent);
            let (two, density) = (
                g.constant(2.0),
                g.scale(d, 1.0 / std::f64::consts::TAU.sqrt()),
            );
            let factor = g.sub(two, square);
            let slope = g.mul(bell, factor);
            vec![Some(g.mul(density, slope))]
        }
    ),
    row!(
        LogGamma,
        "lgamma",
        1,
        |x| special::log_gamma(x[0]),
        "lgammaf({0})",
        |g, x, _, d| by_slope(g, Scalar::Digamma, x[0], d)
    ),
    row!(
        Digamma,
        "digamma",
        1,
        |x| special::digamma(x[0]),
        "digamma({0})",
        |g, x, _, d| by_slope(g, Scalar::Trigamma, x[0], d)
    ),
    // No model differentiates a density three times, so a third derivative is a bug of dgc.
    row!(
        Trigamma,
        "trigamma",
        1,
        |x| special::trigamma(x[0]),
        "trigamma({0})",
        |_, _, _, _| { panic!("the third derivative of log Γ is not implemented") }
    ),
    row!(
        LogRatio,
        "log_ratio",
        2,
        |x| densities::log_ratio(x[0], x[1]),
        "log_ratio({0}, {1})",
        |g, x, _, d| vec![Some(g.div(d, x[0])), Some(g.neg(d))]
    ),
    row!(
        Excess,
        "excess",
        3,
        |x| densities::excess(x[0], x[1], x[2]),
        "excess({0}, {1}, {2})",
        |g, x, _, d| {
            let (left, right) = (g.exp(x[1]), g.exp(x[2]));
            let (left, right) = (g.mul(d, left), g.mul(d, right));
            vec![Some(left), Some(g.mul(left, x[0])), Some(g.neg(right))]
        }
    ),
    // ψ(x + 1) − log x
    row!(
        LogFactorialRemainder,
        "log_factorial_remainder",
        1,
        |x| densities::log_factorial_remainder(x[0]),
        "log_factorial_remainder({0})",
        |g, x, _, d| {
            let (next, log) = (g.shift(x[0], 1.0), g.log(x[0]));
            let digamma = g.scalar(Scalar::Digamma, &[next]);
            let slope = g.sub(digamma, log);
            vec![Some(g.mul(d, slope))]
        }
    ),
    // log x − log λ; λ − x
    row!(
        PoissonDivergence,
        "poisson_divergence",
        2,
        |x| densities::poisson_divergence(x[0], x[1]),
        "poisson_divergence({0}, {1})",
        |g, x, _, d| {
            let (log, zero) = (g.scalar(Scalar::LogRatio, x), g.constant(0.0));
            let below = g.scalar(Scalar::Excess, &[x[0], zero, x[1]]);
            let slope = g.neg(below);
            vec![Some(g.mul(d, log)), Some(g.mul(d, slope))]
        }
    ),
    // ψ(x + r) − log(1 + r/m) − log x; (x − m) r / (r + m)
    row!(
        NegativeBinomial,
        "negative_binomial",
        3,
        |x| densities::negative_binomial(x[0], x[1], x[2]),
        "negative_binomial({0}, {1}, {2})",
        |g, x, _, d| {
            let NegativeBinomialParts {
                all,
                log,
                excess,
                share,
                ..
            } = negative_binomial_parts(g, x);
            let digamma = g.scalar(Scalar::Digamma, &[all]);
            let failures = g.scalar(Scalar::Softplus, &[log]);
            let log_x = g.log(x[0]);
            let by_x = g.sub(digamma, failures);
            let by_x = g.sub(by_x, log_x);
            let by_mean = g.mul(excess, share);
            let by_dispersion = g.scalar(Scalar::NegativeBinomialSlope, x);
            vec![
                Some(g.mul(d, by_x)),
                Some(g.mul(d, by_mean)),
                Some(g.mul(d, by_dispersion)),
            ]
        }
    ),
    // r ψ'(N) − s; (x − m) s (1 − s); y + r² (ψ'(N) − ψ'(r)) + m s + (x − m) s², s = r / (r + m)
    row!(
        NegativeBinomialSlope,
        "negative_binomial_slope",
        3,
        |x| densities::negative_binomial_slope(x[0], x[1], x[2]),
        "negative_binomial_slope({0}, {1}, {2})",
        |g, x, y, d| {
            let NegativeBinomialParts {
                dispersion,
                all,
                log,
                excess,
                share,
            } = negative_binomial_parts(g, x);
            let (curve_of_all, curve) = (
                g.scalar(Scalar::Trigamma, &[all]),
                g.scalar(Scalar::Trigamma, &[dispersion]),
            );
            let (left, inverse) = (g.mul(dispersion, curve_of_all), g.neg(log));
            let by_x = g.sub(left, share);
            let rest = g.scalar(Scalar::Sigmoid, &[inverse]);
            let excess = g.mul(excess, share);
            let by_mean = g.mul(excess, rest);
            let (square, curve) = (g.square(dispersion), g.sub(curve_of_all, curve));
            let curve = g.mul(square, curve);
            let mean = g.exp(x[1]);
            let (linear, excess) = (g.mul(mean, share), g.mul(excess, share));
            let by_dispersion = g.total([y, curve, linear, excess]);
            vec![
                Some(g.mul(d, by_x)),
                Some(g.mul(d, by_mean)),
                Some(g.mul(d, by_dispersion)),
            ]
        }
    ),
    // (α − 1) / x − β; the slope; α − β x
    row!(
        Gamma,
        "gamma",
        3,
        |x| densities::gamma(x[0], x[1], x[2]),
        "gamma_density({0}, {1}, {2})",
        |g, x, _, d| {
            let (shape, rate) = (g.exp(x[1]), g.exp(x[2]));
            let less = g.shift(shape, -1.0);
            let left = g.div(less, x[0]);
            let by_x = g.sub(left, rate);
            let by_shape = g.scalar(Scalar::GammaSlope, x);
            let excess = g.scalar(Scalar::Excess, &[x[0], x[2], x[1]]);
            let by_rate = g.neg(excess);
            vec![
                Some(g.mul(d, by_x)),
                Some(g.mul(d, by_shape)),
                Some(g.mul(d, by_rate)),
            ]
        }
    ),
    // α / x; y − α² ψ'(α); α
    row!(
        GammaSlope,
        "gamma_slope",
        3,
        |x| densities::gamma_slope(x[0], x[1], x[2]),
        "gamma_slope({0}, {1}, {2})",
        |g, x, y, d| {
            let shape = g.exp(x[1]);
            let (curve, square) = (g.scalar(Scalar::Trigamma, &[shape]), g.square(shape));
            let curve = g.mul(square, curve);
            let by_shape = g.sub(y, curve);
            let by_rate = g.mul(d, shape);
            vec![
                Some(g.div(by_rate, x[0])),
                Some(g.mul(d, by_shape)),
                Some(by_rate),
            ]
        }
    ),
    // (α − 1) / x − (β − 1) / (1 − x); the slopes
    row!(
        Beta,
        "beta",
        3,
        |x| densities::beta(x[0], x[1], x[2]),
        "beta_density({0}, {1}, {2})",
        |g, x, _, d| {
            let (alpha, beta, one) = (g.exp(x[1]), g.exp(x[2]), g.constant(1.0));
            let (alpha, beta) = (g.shift(alpha, -1.0), g.shift(beta, -1.0));
            let complement = g.sub(one, x[0]);
            let (left, right) = (g.div(alpha, x[0]), g.div(beta, complement));
            let by_x = g.sub(left, right);
            let by_alpha = g.scalar(Scalar::BetaSlopeByAlpha, x);
            let by_beta = g.scalar(Scalar::BetaSlopeByBeta, x);
            vec![
                Some(g.mul(d, by_x)),
                Some(g.mul(d, by_alpha)),
                Some(g.mul(d, by_beta)),
            ]
        }
    ),
    // α / x; y + α² (ψ'(α + β) − ψ'(α)); α β ψ'(α + β)
    row!(
        BetaSlopeByAlpha,
        "beta_slope_by_alpha",
        3,
        |x| densities::beta_slope_by_alpha(x[0], x[1], x[2]),
        "beta_slope_by_alpha({0}, {1}, {2})",
        |g, x, y, d| {
            let (alpha, beta) = (g.exp(x[1]), g.exp(x[2]));
            let (same, other) = beta_curves(g, alpha, beta, y, d);
            let by_x = g.div(alpha, x[0]);
            vec![Some(g.mul(d, by_x)), Some(same), Some(other)]
        }
    ),
    // −β / (1 − x); α β ψ'(α + β); y + β² (ψ'(α + β) − ψ'(β))
    row!(
        BetaSlopeByBeta,
        "beta_slope_by_beta",
        3,
        |x| densities::beta_slope_by_beta(x[0], x[1], x[2]),
        "beta_slope_by_beta({0}, {1}, {2})",
        |g, x, y, d| {
            let (alpha, beta) = (g.exp(x[1]), g.exp(x[2]));
            let (same, other) = beta_curves(g, beta, alpha, y, d);
            let less = g.shift(x[0], -1.0);
            let by_x = g.div(beta, less);
            vec![Some(g.mul(d, by_x)), Some(other), Some(same)]
        }
    ),
    row!(
        LogAddExp,
        "log_add_exp",
        2,
        |x| x[0].max(x[1]) + (-(x[0] - x[1]).abs()).exp().ln_1p(),
        "(fmaxf({0}, {1}) + log1pf(expf(-fabsf({0} - {1}))))",
        |g, x, _, d| {
            let (left, right) = (g.sub(x[0], x[1]), g.sub(x[1], x[0]));
            let (left, right) = (
                g.scalar(Scalar::Sigmoid, &[left]),
                g.scalar(Scalar::Sigmoid, &[right]),
            );
            vec![Some(g.mul(d, left)), Some(g.mul(d, right))]
        }
    ),
    // The density depends on c / s alone, apart from 1 / s: the slope by log s is −1 − c · that by c.
    row!(
        StudentT,
        "student_t",
        3,
        |x| student_t::student_t(x[0], x[1], x[2]),
        "student_t({0}, {1}, {2})",
        |g, x, _, d| {
            let slope = g.scalar(Scalar::StudentTSlope, x);
            let product = g.mul(x[0], slope);
            let minus = g.constant(-1.0);
            let by_scale = g.sub(minus, product);
            let by_degrees = g.scalar(Scalar::StudentTSlopeByDegrees, x);
            vec![
                Some(g.mul(d, slope)),
                Some(g.mul(d, by_scale)),
                Some(g.mul(d, by_degrees)),
            ]
        }
    ),
    // With w = c² / (ν s² + c²): −(ν + 1) (1 − 2w) / (ν s² + c²); −2 y (1 − w);
    // −ν c / (ν s² + c²) − y (1 − w)
    row!(
        StudentTSlope,
        "student_t_slope",
        3,
        |x| student_t::slope(x[0], x[1], x[2]),
        "student_t_slope({0}, {1}, {2})",
        |g, x, y, d| {
            let StudentTParts {
                degrees,
                all,
                share,
                ..
            } = student_t_parts(g, x);
            let next = g.shift(degrees, 1.0);
            let (double, one) = (g.scale(share, 2.0), g.constant(1.0));
            let inner = g.sub(double, one);
            let by_centred = g.mul(next, inner);
            let by_centred = g.div(by_centred, all);
            let rest = g.sub(one, share);
            let product = g.mul(y, rest);
            let by_scale = g.scale(product, -2.0);
            let linear = g.mul(degrees, x[0]);
            let linear = g.div(linear, all);
            let by_degrees = g.add(linear, product);
            let by_degrees = g.neg(by_degrees);
            vec![
                Some(g.mul(d, by_centred)),
                Some(g.mul(d, by_scale)),
                Some(g.mul(d, by_degrees)),
            ]
        }
    ),
    // c (1 − (ν + 1) w) / (ν s² + c²); −c · that; y + ½ + ν²/4 (ψ'((ν + 1)/2) − ψ'(ν/2)) +
    // w (½ (ν + 1) w − 1)
    row!(
        StudentTSlopeByDegrees,
        "student_t_slope_by_degrees",
        3,
        |x| student_t::slope_by_degrees(x[0], x[1], x[2]),
        "student_t_slope_by_degrees({0}, {1}, {2})",
        |g, x, y, d| {
            let StudentTParts {
                degrees,
                all,
                share,
                half,
                half_next,
            } = student_t_parts(g, x);
            let (next, one) = (g.shift(degrees, 1.0), g.constant(1.0));
            let product = g.mul(next, share);
            let rest = g.sub(one, product);
            let ratio = g.div(x[0], all);
            let by_centred = g.mul(ratio, rest);
            let by_scale = g.mul(x[0], by_centred);
            let by_scale = g.neg(by_scale);
            let (above, below) = (
                g.scalar(Scalar::Trigamma, &[half_next]),
                g.scalar(Scalar::Trigamma, &[half]),
            );
            let (curve, square) = (g.sub(above, below), g.square(half));
            let curve = g.mul(square, curve);
            let tail = g.mul(half_next, share);
            let tail = g.sub(tail, one);
            let tail = g.mul(share, tail);
            let shifted = g.shift(y, 0.5);
            let by_degrees = g.total([shifted, curve, tail]);
            vec![
                Some(g.mul(d, by_centred)),
                Some(g.mul(d, by_scale)),
                Some(g.mul(d, by_degrees)),
            ]
        }
    ),
    // A density of x − μ.
    row!(
        VonMises,
        "von_mises",
        3,
        |x| von_mises::von_mises(x[0], x[1], x[2]),
        "von_mises({0}, {1}, {2})",
        |g, x, _, d| {
            let slope = g.scalar(Scalar::VonMisesSlope, x);
            let by_x = g.mul(d, slope);
            let by_concentration = g.scalar(Scalar::VonMisesSlopeByConcentration, x);
            vec![
                Some(by_x),
                Some(g.neg(by_x)),
                Some(g.mul(d, by_concentration)),
            ]
        }
    ),
    // −κ cos(x − μ); the same with a plus; y
    row!(
        VonMisesSlope,
        "von_mises_slope",
        3,
        |x| von_mises::slope(x[0], x[1], x[2]),
        "von_mises_slope({0}, {1}, {2})",
        |g, x, y, d| {
            let angle = g.sub(x[0], x[1]);
            let (cosine, concentration) = (g.scalar(Scalar::Cos, &[angle]), g.exp(x[2]));
            let product = g.mul(concentration, cosine);
            let by_location = g.mul(d, product);
            vec![
                Some(g.neg(by_location)),
                Some(by_location),
                Some(g.mul(d, y)),
            ]
        }
    ),
    // −κ sin(x − μ); the same with a plus; with m = κ (1 − I₁(κ) / I₀(κ)) = y + κ − κ cos(x − μ):
    // κ cos(x − μ) − 2κ m + m²
    row!(
        VonMisesSlopeByConcentration,
        "von_mises_slope_by_concentration",
        3,
        |x| von_mises::slope_by_concentration(x[0], x[1], x[2]),
        "von_mises_slope_by_concentration({0}, {1}, {2})",
        |g, x, y, d| {
            let slope = g.scalar(Scalar::VonMisesSlope, x);
            let by_x = g.mul(d, slope);
            let angle = g.sub(x[0], x[1]);
            let (cosine, concentration) = (g.scalar(Scalar::Cos, &[angle]), g.exp(x[2]));
            let aligned = g.mul(concentration, cosine);
            let apart = g.sub(concentration, aligned);
            let m = g.add(y, apart);
            let (square, product) = (g.square(m), g.mul(concentration, m));
            let product = g.scale(product, -2.0);
            let by_concentration = g.total([aligned, product, square]);
            vec![
                Some(by_x),
                Some(g.neg(by_x)),
                Some(g.mul(d, by_concentration)),
            ]
        }
    ),
];

/// Parts of the derivatives of the slopes of Student's t-distribution, of its operands c = x − μ, log s
/// and log ν.
struct StudentTParts {
    /// ν
    degrees: Node,
    /// ν s² + c²
    all: Node,
    /// c² / (ν s² + c²)
    share: Node,
    /// ν / 2
    half: Node,
    /// (ν + 1) / 2
    half_next: Node,
}

fn student_t_parts(g: &mut Graph, x: &[Node]) -> StudentTParts {
    let (degrees, scale, square) = (g.exp(x[2]), g.exp(x[1]), g.square(x[0]));
    let spread = g.square(scale);
    let spread = g.mul(degrees, spread);
    let all = g.add(spread, square);
    let half = g.scale(degrees, 0.5);
    StudentTParts {
        degrees,
        all,
        share: g.div(square, all),
        half,
        half_next: g.shift(half, 0.5),
    }
}

/// Parts of the derivatives of a negative binomial density, of its operands x, log m and log r.
struct NegativeBinomialParts {
    /// r
    dispersion: Node,
    /// x + r
    all: Node,
    /// log r/m
    log: Node,
    /// x − m
    excess: Node,
    /// r / (r + m)
    share: Node,
}

fn negative_binomial_parts(g: &mut Graph, x: &[Node]) -> NegativeBinomialParts {
    let (dispersion, zero) = (g.exp(x[2]), g.constant(0.0));
    let log = g.sub(x[2], x[1]);
    NegativeBinomialParts {
        dispersion,
        all: g.add(x[0], dispersion),
        log,
        excess: g.scalar(Scalar::Excess, &[x[0], zero, x[1]]),
        share: g.scalar(Scalar::Sigmoid, &[log]),
    }
}

/// The gradients of a slope y of a beta density by the log of its own parameter and of the other.
fn beta_curves(g: &mut Graph, own: Node, other: Node, y: Node, d: Node) -> (Node, Node) {
    let all = g.add(own, other);
    let curve_of_all = g.scalar(Scalar::Trigamma, &[all]);
    let curve = g.scalar(Scalar::Trigamma, &[own]);
    let (curve, square, product) = (g.sub(curve_of_all, curve), g.square(own), g.mul(own, other));
    let curve = g.mul(square, curve);
    let (by_own, by_other) = (g.add(y, curve), g.mul(product, curve_of_all));
    (g.mul(d, by_own), g.mul(d, by_other))
}

/// Every operation's facts, in the order of the enum.
pub fn table() -> &'static [Row] {
    TABLE
}
