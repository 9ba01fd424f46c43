//! Elementwise operations, reductions and noise over slices, as loops that the compiler turns into
//! vector instructions.
//!
//! Loop bodies are compiled for each [`Isa`] that gains by it; its values prove that the CPU has the
//! instructions. A result of an elementwise operation depends on its element alone, never on where
//! a slice begins.

use super::{
    super::isa::Isa,
    functions as f, noise,
    number::{Number, Plain},
};
use crate::tensor::{Scalar, densities as d, special, student_t as t, von_mises as v};

/// Compiles a body for every instruction set, as a safe function that takes the [`Isa`] first.
macro_rules! for_each_isa {
    ($(#[$meta:meta])* pub fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $body:path;) => {
        $(#[$meta])*
        pub fn $name(isa: Isa, $($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                $body($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                $body($($argument),*)
            }
            match isa {
                // SAFETY: the value proves that the CPU has the instructions.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512(_) => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2(_) => unsafe { avx2($($argument),*) },
                _ => $body($($argument),*),
            }
        }
    };
}

/// A loop over slices. To call it is unsafe where the CPU may lack the instructions.
type Function = unsafe fn(&mut [f32], &[f32], &[f32], &[f32]);

/// An elementwise operation, compiled for an instruction set of this CPU.
#[derive(Clone, Copy)]
pub struct Operation {
    pub scalar: Scalar,
    /// The operand that is read where the result is written, if there is one.
    pub in_place: Option<usize>,
    function: Function,
}

impl Operation {
    /// The operand `in_place`, if there is one, is read where the result is written.
    pub fn new(isa: Isa, scalar: Scalar, in_place: Option<usize>) -> Self {
        Operation {
            scalar,
            in_place,
            function: function(isa, scalar, in_place),
        }
    }

    /// out[i] = operation(x[i], y[i], z[i]); operands that the operation lacks or that are in place
    /// are empty.
    pub fn apply(self, out: &mut [f32], x: &[f32], y: &[f32], z: &[f32]) {
        // SAFETY: `new` took a proof that the CPU has the instructions.
        unsafe { (self.function)(out, x, y, z) };
    }
}

for_each_isa! {
    /// Adds each element to the lane at its position, modulo the number of lanes.
    pub fn sum(lanes: &mut [f32; LANES], x: &[f32]) = sum_body;
}

for_each_isa! {
    /// Sets each lane to the greatest of itself and the elements at its positions.
    pub fn max(lanes: &mut [f32; LANES], x: &[f32]) = max_body;
}

for_each_isa! {
    /// out[i] += x[i].
    pub fn add_assign(out: &mut [f32], x: &[f32]) = add_assign_body;
}

for_each_isa! {
    /// out[i] = max(out[i], x[i]).
    pub fn max_assign(out: &mut [f32], x: &[f32]) = max_assign_body;
}

for_each_isa! {
    /// out[i] = x[i], rounded to the nearest bf16; ties to even, NaN to NaN.
    pub fn round(out: &mut [u16], x: &[f32]) = round_body;
}

for_each_isa! {
    /// out[i] = x[i], from bf16.
    pub fn widen(out: &mut [f32], x: &[u16]) = widen_body;
}

for_each_isa! {
    /// Elements `first..` of a stream of standard normal numbers; see [`crate::tensor::philox`].
    pub fn normal(seed: u64, step: u64, stream: u32, first: u64, out: &mut [f32]) = noise::normal;
}

for_each_isa! {
    /// Elements `first..` of a stream of uniform numbers on (0, 1).
    pub fn uniform(seed: u64, step: u64, stream: u32, first: u64, out: &mut [f32]) = noise::uniform;
}

/// `compiled!(isa, |out, x, y, z| loop)`: the function that does the loop, where `F` says whether
/// there is an instruction that multiplies and adds. Each operand is a parameter, so the compiler
/// knows that none overlaps the result. This is a macro and not a function that takes a function:
/// a long one would not be inlined there, and would be compiled without the caller's instructions.
macro_rules! compiled {
    ($isa:ident, |$out:ident, $x:ident, $y:ident, $z:ident| $loop:expr) => {{
        #[inline(always)]
        fn body<const F: bool>($out: &mut [f32], $x: &[f32], $y: &[f32], $z: &[f32]) {
            $loop
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2(out: &mut [f32], x: &[f32], y: &[f32], z: &[f32]) {
            body::<true>(out, x, y, z);
        }
        match $isa {
            // Most loops are native code.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) | Isa::Avx2(_) => avx2 as Function,
            _ => body::<false>,
        }
    }};
}

/// `each!(isa, in_place, |x, y| value)`: the function that sets out[i] to the value of x[i] and
/// y[i], one of which may be out[i].
macro_rules! each {
    ($isa:ident, $in_place:ident, |$x:ident| $value:expr) => {
        match $in_place {
            None => compiled!(
                $isa,
                |out, $x, _y, _z| for (out, &$x) in out.iter_mut().zip($x) {
                    *out = $value;
                }
            ),
            _ => compiled!($isa, |out, _x, _y, _z| for out in out {
                let $x = *out;
                *out = $value;
            }),
        }
    };
    ($isa:ident, $in_place:ident, |$x:ident, $y:ident| $value:expr) => {
        match $in_place {
            None => compiled!($isa, |out, $x, $y, _z| for ((out, &$x), &$y) in
                out.iter_mut().zip($x).zip($y)
            {
                *out = $value;
            }),
            Some(0) => compiled!(
                $isa,
                |out, _x, $y, _z| for (out, &$y) in out.iter_mut().zip($y) {
                    let $x = *out;
                    *out = $value;
                }
            ),
            _ => compiled!(
                $isa,
                |out, $x, _y, _z| for (out, &$x) in out.iter_mut().zip($x) {
                    let $y = *out;
                    *out = $value;
                }
            ),
        }
    };
    ($isa:ident, $in_place:ident, |$x:ident, $y:ident, $z:ident| $value:expr) => {
        match $in_place {
            None => compiled!($isa, |out, $x, $y, $z| for ((out, &$x), (&$y, &$z)) in
                out.iter_mut().zip($x).zip($y.iter().zip($z))
            {
                *out = $value;
            }),
            Some(0) => compiled!($isa, |out, _x, $y, $z| for ((out, &$y), &$z) in
                out.iter_mut().zip($y).zip($z)
            {
                let $x = *out;
                *out = $value;
            }),
            Some(1) => compiled!($isa, |out, $x, _y, $z| for ((out, &$x), &$z) in
                out.iter_mut().zip($x).zip($z)
            {
                let $y = *out;
                *out = $value;
            }),
            _ => compiled!($isa, |out, $x, $y, _z| for ((out, &$x), &$y) in
                out.iter_mut().zip($x).zip($y)
            {
                let $z = *out;
                *out = $value;
            }),
        }
    };
}

/// `number!(isa, in_place, |x, y| value)`: the same for a value of [`Number`]s.
macro_rules! number {
    ($isa:ident, $in_place:ident, |$($x:ident),*| $value:expr) => {
        each!($isa, $in_place, |$($x),*| {
            $(let $x = Plain::<F>($x);)*
            $value.0
        })
    };
}

/// `wide!(isa, in_place, |x, y| function)`: the same for a function of double-precision numbers. It is
/// long, so it is compiled once for each instruction set, and an operand in place is copied first.
macro_rules! wide {
    ($isa:ident, $in_place:ident, |$x:ident| $function:path) => {
        wide!(
            $isa,
            $in_place,
            |out, $x, _y, _z| for (out, &$x) in out.iter_mut().zip($x) {
                *out = $function(f64::from($x)) as f32;
            }
        )
    };
    ($isa:ident, $in_place:ident, |$x:ident, $y:ident| $function:path) => {
        wide!($isa, $in_place, |out, $x, $y, _z| for ((out, &$x), &$y) in
            out.iter_mut().zip($x).zip($y)
        {
            *out = $function(f64::from($x), f64::from($y)) as f32;
        })
    };
    ($isa:ident, $in_place:ident, |$x:ident, $y:ident, $z:ident| $function:path) => {
        wide!(
            $isa,
            $in_place,
            |out, $x, $y, $z| for ((out, &$x), (&$y, &$z)) in
                out.iter_mut().zip($x).zip($y.iter().zip($z))
            {
                *out = $function(f64::from($x), f64::from($y), f64::from($z)) as f32;
            }
        )
    };
    ($isa:ident, $in_place:ident, |$out:ident, $x:ident, $y:ident, $z:ident| $loop:expr) => {{
        #[inline(always)]
        fn body($out: &mut [f32], $x: &[f32], $y: &[f32], $z: &[f32]) {
            $loop
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
        #[inline(never)]
        fn avx512(out: &mut [f32], x: &[f32], y: &[f32], z: &[f32]) {
            body(out, x, y, z);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        #[inline(never)]
        fn avx2(out: &mut [f32], x: &[f32], y: &[f32], z: &[f32]) {
            body(out, x, y, z);
        }
        #[inline(never)]
        fn plain(out: &mut [f32], x: &[f32], y: &[f32], z: &[f32]) {
            body(out, x, y, z);
        }
        match $isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(_) => copied!($in_place, avx512),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => copied!($in_place, avx2),
            _ => copied!($in_place, plain),
        }
    }};
}

/// The loop, or one that first copies the operand that is in place. Such a loop needs the instructions
/// of `function`, as every [`Function`] does.
macro_rules! copied {
    ($in_place:ident, $function:ident) => {
        match $in_place {
            None => $function as Function,
            Some(0) => |out, _, y, z| {
                // SAFETY: whoever calls this loop has the instructions.
                in_parts(out, [y, z], |out, x, [y, z]| unsafe {
                    $function(out, x, y, z)
                })
            },
            Some(1) => |out, x, _, z| {
                // SAFETY: as above.
                in_parts(out, [x, z], |out, y, [x, z]| unsafe {
                    $function(out, x, y, z)
                })
            },
            Some(_) => |out, x, y, _| {
                // SAFETY: as above.
                in_parts(out, [x, y], |out, z, [x, y]| unsafe {
                    $function(out, x, y, z)
                })
            },
        }
    };
}

/// Applies a function to parts of `out`, a copy of each part, and the same parts of other operands, which
/// may be empty.
fn in_parts(
    out: &mut [f32],
    others: [&[f32]; 2],
    function: impl Fn(&mut [f32], &[f32], [&[f32]; 2]),
) {
    const PART: usize = 64;
    let mut copy = [0.0; PART];
    for (number, part) in out.chunks_mut(PART).enumerate() {
        let range = number * PART..number * PART + part.len();
        let copy = &mut copy[..part.len()];
        copy.copy_from_slice(part);
        let others = others.map(|other| other.get(range.clone()).unwrap_or_default());
        function(part, copy, others);
    }
}

#[allow(
    unused_unsafe,
    reason = "`copied` also takes loops that need no instructions"
)]
fn function(isa: Isa, scalar: Scalar, in_place: Option<usize>) -> Function {
    match scalar {
        Scalar::Add => number!(isa, in_place, |x, y| x + y),
        Scalar::Sub => number!(isa, in_place, |x, y| x - y),
        Scalar::Mul => number!(isa, in_place, |x, y| x * y),
        Scalar::Div => number!(isa, in_place, |x, y| x / y),
        Scalar::Max => number!(isa, in_place, |x, y| x.greater_of(y)),
        Scalar::Min => number!(isa, in_place, |x, y| x.lesser_of(y)),
        Scalar::Greater => number!(isa, in_place, |x, y| f::greater(x, y)),
        Scalar::Select => number!(isa, in_place, |x, y, z| f::positive(x, y, z)),
        Scalar::Clamp => number!(isa, in_place, |x, y| f::clamp(x, y)),
        Scalar::Neg => number!(isa, in_place, |x| -x),
        Scalar::Relu => number!(isa, in_place, |x| f::relu(x)),
        Scalar::Abs => number!(isa, in_place, |x| x.abs()),
        Scalar::Sign => number!(isa, in_place, |x| f::sign(x)),
        Scalar::Floor => number!(isa, in_place, |x| x.floor()),
        Scalar::Sqrt => number!(isa, in_place, |x| x.sqrt()),
        Scalar::Exp => number!(isa, in_place, |x| f::exp(x)),
        Scalar::ExpM1 => number!(isa, in_place, |x| f::expm1(x)),
        Scalar::Log => number!(isa, in_place, |x| f::log(x)),
        Scalar::Log1P => number!(isa, in_place, |x| f::log1p(x)),
        Scalar::Tanh => number!(isa, in_place, |x| f::tanh(x)),
        Scalar::Sigmoid => number!(isa, in_place, |x| f::sigmoid(x)),
        Scalar::Softplus => number!(isa, in_place, |x| f::softplus(x)),
        Scalar::LogAddExp => number!(isa, in_place, |x, y| f::log_add_exp(x, y)),
        Scalar::Gelu => number!(isa, in_place, |x| f::gelu(x)),
        Scalar::GeluSlope => number!(isa, in_place, |x| f::gelu_slope(x)),
        // Rare, so they are exact rather than fast.
        Scalar::Cos => each!(isa, in_place, |x| x.cos()),
        Scalar::Sin => each!(isa, in_place, |x| x.sin()),
        Scalar::LogGamma => each!(isa, in_place, |x| special::log_gamma(f64::from(x)) as f32),
        Scalar::Digamma => each!(isa, in_place, |x| special::digamma(f64::from(x)) as f32),
        Scalar::Trigamma => each!(isa, in_place, |x| special::trigamma(f64::from(x)) as f32),
        Scalar::LogFactorialRemainder => {
            wide!(isa, in_place, |x| d::log_factorial_remainder)
        }
        Scalar::LogRatio => wide!(isa, in_place, |x, y| d::log_ratio),
        Scalar::PoissonDivergence => wide!(isa, in_place, |x, y| d::poisson_divergence),
        Scalar::Excess => wide!(isa, in_place, |x, y, z| d::excess),
        Scalar::NegativeBinomial => wide!(isa, in_place, |x, y, z| d::negative_binomial),
        Scalar::NegativeBinomialSlope => {
            wide!(isa, in_place, |x, y, z| d::negative_binomial_slope)
        }
        Scalar::Gamma => wide!(isa, in_place, |x, y, z| d::gamma),
        Scalar::GammaSlope => wide!(isa, in_place, |x, y, z| d::gamma_slope),
        Scalar::Beta => wide!(isa, in_place, |x, y, z| d::beta),
        Scalar::BetaSlopeByAlpha => wide!(isa, in_place, |x, y, z| d::beta_slope_by_alpha),
        Scalar::BetaSlopeByBeta => wide!(isa, in_place, |x, y, z| d::beta_slope_by_beta),
        Scalar::StudentT => wide!(isa, in_place, |x, y, z| t::student_t),
        Scalar::StudentTSlope => wide!(isa, in_place, |x, y, z| t::slope),
        Scalar::StudentTSlopeByDegrees => wide!(isa, in_place, |x, y, z| t::slope_by_degrees),
        Scalar::VonMises => wide!(isa, in_place, |x, y, z| v::von_mises),
        Scalar::VonMisesSlope => wide!(isa, in_place, |x, y, z| v::slope),
        Scalar::VonMisesSlopeByConcentration => {
            wide!(isa, in_place, |x, y, z| v::slope_by_concentration)
        }
    }
}

/// The number of partial results of a reduction to one number.
pub const LANES: usize = 16;

/// Reduces each element into the lane at its position, modulo their number.
#[inline(always)]
fn fold(lanes: &mut [f32; LANES], x: &[f32], function: impl Fn(f32, f32) -> f32) {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let mut sums = *lanes;
    for block in blocks {
        sums.iter_mut()
            .zip(block)
            .for_each(|(sum, &x)| *sum = function(*sum, x));
    }
    sums.iter_mut()
        .zip(rest)
        .for_each(|(sum, &x)| *sum = function(*sum, x));
    *lanes = sums;
}

/// The result of all lanes, combined in pairs.
fn combine(mut lanes: [f32; LANES], function: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = function(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// The greater number; NaN if the second is NaN.
#[inline(always)]
fn greater(x: f32, y: f32) -> f32 {
    if y > x || y.is_nan() { y } else { x }
}

#[inline(always)]
fn round_body(out: &mut [u16], x: &[f32]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = f::bf16(Plain::<true>(x)).0.to_bits() as u16;
    }
}

#[inline(always)]
fn widen_body(out: &mut [f32], x: &[u16]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out = f32::from_bits(u32::from(*x) << 16);
    }
}

#[inline(always)]
fn sum_body(lanes: &mut [f32; LANES], x: &[f32]) {
    fold(lanes, x, |x, y| x + y);
}

#[inline(always)]
fn max_body(lanes: &mut [f32; LANES], x: &[f32]) {
    fold(lanes, x, greater);
}

/// The sum of the lanes.
pub fn sum_of(lanes: [f32; LANES]) -> f32 {
    combine(lanes, |x, y| x + y)
}

/// The greatest of the lanes.
pub fn max_of(lanes: [f32; LANES]) -> f32 {
    combine(lanes, greater)
}

#[inline(always)]
fn add_assign_body(out: &mut [f32], x: &[f32]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out += x);
}

#[inline(always)]
fn max_assign_body(out: &mut [f32], x: &[f32]) {
    out.iter_mut()
        .zip(x)
        .for_each(|(out, &x)| *out = greater(*out, x));
}
