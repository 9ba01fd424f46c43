//! The elementwise operations by name. `table` has a row of facts for each.

/// An elementwise operation on numbers.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Scalar {
    /// left + right
    Add,
    /// left − right
    Sub,
    /// left · right
    Mul,
    /// left / right
    Div,
    /// The larger operand.
    Max,
    /// The smaller operand.
    Min,
    /// 1 where left > right, else 0.
    Greater,
    /// The second operand where the first is above 0, else the third.
    Select,
    /// The first operand, or the nearest number between ± the second. Beyond, a gradient passes only
    /// where descent moves the operand back.
    Clamp,
    /// −x
    Neg,
    /// max(x, 0)
    Relu,
    /// |x|
    Abs,
    /// 1 above 0, −1 below, 0 at 0.
    Sign,
    /// ⌊x⌋, the largest integer that is not above x.
    Floor,
    /// √x
    Sqrt,
    /// exp(x)
    Exp,
    /// exp(x) − 1
    ExpM1,
    /// log(x), x > 0
    Log,
    /// log(1 + x)
    Log1P,
    /// cos(x)
    Cos,
    /// sin(x)
    Sin,
    /// tanh(x)
    Tanh,
    /// 1 / (1 + exp(−x))
    Sigmoid,
    /// log(1 + exp(x))
    Softplus,
    /// x Φ(x), Φ the standard normal distribution function
    Gelu,
    /// The derivative of GELU, Φ(x) + x φ(x).
    GeluSlope,
    /// log Γ(x), x > 0
    LogGamma,
    /// The derivative of log Γ, x > 0.
    Digamma,
    /// The derivative of digamma, x > 0.
    Trigamma,
    /// log(x) − m, x > 0
    LogRatio,
    /// x exp(b) − exp(a)
    Excess,
    /// log x! − x log x + x, x ≥ 0
    LogFactorialRemainder,
    /// x log(x/λ) − x + λ, of x ≥ 0 and log λ: minus the log-density of a Poisson variable, less the
    /// remainder of log x!.
    PoissonDivergence,
    /// The log-density of a negative binomial variable, of x ≥ 0, the log of the mean and the log of the
    /// dispersion, plus the remainder of log x!.
    NegativeBinomial,
    /// Its derivative by the log of the dispersion.
    NegativeBinomialSlope,
    /// The log-density of a gamma variable, of x > 0, the log of the shape and the log of the rate.
    Gamma,
    /// Its derivative by the log of the shape.
    GammaSlope,
    /// The log-density of a beta variable, of 0 < x < 1, log α and log β.
    Beta,
    /// Its derivative by log α.
    BetaSlopeByAlpha,
    /// Its derivative by log β.
    BetaSlopeByBeta,
    /// log(exp(left) + exp(right))
    LogAddExp,
    /// The log-density of Student's t-distribution, of x − μ, the log of the scale and the log of the
    /// degrees of freedom.
    StudentT,
    /// Its derivative by x − μ.
    StudentTSlope,
    /// Its derivative by the log of the degrees of freedom.
    StudentTSlopeByDegrees,
    /// The log-density of a von Mises variable, of x, the location and the log of the concentration.
    VonMises,
    /// Its derivative by x.
    VonMisesSlope,
    /// Its derivative by the log of the concentration.
    VonMisesSlopeByConcentration,
}

impl Scalar {
    /// Whether it takes an instruction or two, which is less than a read from memory.
    pub fn is_cheap(self) -> bool {
        use Scalar::{
            Abs, Add, Clamp, Floor, Greater, Max, Min, Mul, Neg, Relu, Select, Sign, Sub,
        };
        matches!(
            self,
            Add | Sub
                | Mul
                | Max
                | Min
                | Greater
                | Select
                | Clamp
                | Neg
                | Relu
                | Abs
                | Sign
                | Floor
        )
    }
}
