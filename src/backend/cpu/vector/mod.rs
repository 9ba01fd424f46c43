//! Elementwise operations, reductions and noise over slices, as loops that the compiler turns into vector instructions.
//!
//! Every loop body is compiled for each [`Isa`]. A result depends on its element alone, never on where a slice begins.

mod functions;
mod noise;

use super::isa::Isa;
use crate::tensor::{Scalar, special};
use functions as f;

/// Compiles a body for every instruction set, as a function that takes the [`Isa`] first; or one body for those that multiply and add in one
/// instruction, and another for the rest.
macro_rules! for_each_isa {
    ($(#[$meta:meta])* pub fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $body:path;) => {
        for_each_isa! { $(#[$meta])* pub fn $name($($argument: $type),*) $(-> $result)? = $body, $body; }
    };
    ($(#[$meta:meta])* pub fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)? = $fused:path, $body:path;) => {
        $(#[$meta])*
        pub fn $name(isa: Isa, $($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
            fn avx512($($argument: $type),*) $(-> $result)? {
                $fused($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($argument: $type),*) $(-> $result)? {
                $fused($($argument),*)
            }
            match isa {
                // SAFETY: an `Isa` other than `Portable` is only detected where the CPU has its instructions.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => unsafe { avx512($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => unsafe { avx2($($argument),*) },
                _ => $body($($argument),*),
            }
        }
    };
}

for_each_isa! {
    /// out[i] = scalar(operands[0][i], …); operands that the operation lacks are empty.
    pub fn apply(scalar: Scalar, out: &mut [f32], operands: [&[f32]; 3]) = apply_body::<true>, apply_body::<false>;
}

for_each_isa! {
    /// Σ x, in sixteen strands that are then added up in pairs.
    pub fn sum(x: &[f32]) -> f32 = sum_body;
}

for_each_isa! {
    /// The greatest x; −∞ for none.
    pub fn max(x: &[f32]) -> f32 = max_body;
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
    /// Elements `first..` of a stream of standard normal numbers; see [`crate::tensor::philox`].
    pub fn normal(seed: u64, step: u64, stream: u32, first: u64, out: &mut [f32]) = noise::normal;
}

for_each_isa! {
    /// Elements `first..` of a stream of uniform numbers on (0, 1).
    pub fn uniform(seed: u64, step: u64, stream: u32, first: u64, out: &mut [f32]) = noise::uniform;
}

/// `map!(out, |x, y| value)`: out[i] = value of x[i], y[i]. No function that takes a function: a long one would not be inlined there,
/// and so be compiled without the vector instructions of the caller.
macro_rules! map {
    ($out:ident, |$x:ident| $value:expr) => {
        for (out, &$x) in $out.iter_mut().zip($x) {
            *out = $value;
        }
    };
    ($out:ident, |$x:ident, $y:ident| $value:expr) => {
        for ((out, &$x), &$y) in $out.iter_mut().zip($x).zip($y) {
            *out = $value;
        }
    };
    ($out:ident, |$x:ident, $y:ident, $z:ident| $value:expr) => {
        for ((out, &$x), (&$y, &$z)) in $out.iter_mut().zip($x).zip($y.iter().zip($z)) {
            *out = $value;
        }
    };
}

#[inline(always)]
fn apply_body<const F: bool>(scalar: Scalar, out: &mut [f32], [x, y, z]: [&[f32]; 3]) {
    match scalar {
        Scalar::Add => map!(out, |x, y| x + y),
        Scalar::Sub => map!(out, |x, y| x - y),
        Scalar::Mul => map!(out, |x, y| x * y),
        Scalar::Div => map!(out, |x, y| x / y),
        Scalar::Max => map!(out, |x, y| if x > y { x } else { y }),
        Scalar::Min => map!(out, |x, y| if x < y { x } else { y }),
        Scalar::Greater => map!(out, |x, y| if x > y { 1.0 } else { 0.0 }),
        Scalar::Select => map!(out, |x, y, z| f::select(x > 0.0, y, z)),
        Scalar::Neg => map!(out, |x| -x),
        // A comparison that lets NaN through.
        Scalar::Relu => map!(out, |x| if x < 0.0 { 0.0 } else { x }),
        Scalar::Abs => map!(out, |x| x.abs()),
        Scalar::Sign => map!(out, |x| {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x
            }
        }),
        Scalar::Floor => map!(out, |x| x.floor()),
        Scalar::Sqrt => map!(out, |x| x.sqrt()),
        Scalar::Exp => map!(out, |x| f::exp::<F>(x)),
        Scalar::ExpM1 => map!(out, |x| f::expm1::<F>(x)),
        Scalar::Log => map!(out, |x| f::log::<F>(x)),
        Scalar::Log1P => map!(out, |x| f::log1p::<F>(x)),
        Scalar::Tanh => map!(out, |x| f::tanh::<F>(x)),
        Scalar::Sigmoid => map!(out, |x| f::sigmoid::<F>(x)),
        Scalar::Softplus => map!(out, |x| f::softplus::<F>(x)),
        Scalar::Gelu => map!(out, |x| f::gelu::<F>(x)),
        Scalar::GeluSlope => map!(out, |x| f::gelu_slope::<F>(x)),
        // Rare, and cheaper to keep exact than to make fast.
        Scalar::Cos => map!(out, |x| x.cos()),
        Scalar::Sin => map!(out, |x| x.sin()),
        Scalar::LogGamma => map!(out, |x| special::log_gamma(f64::from(x)) as f32),
        Scalar::Digamma => map!(out, |x| special::digamma(f64::from(x)) as f32),
        Scalar::Trigamma => map!(out, |x| special::trigamma(f64::from(x)) as f32),
    }
}

const STRANDS: usize = 16;

#[inline(always)]
fn fold(x: &[f32], start: f32, function: impl Fn(f32, f32) -> f32) -> f32 {
    let mut strands = [start; STRANDS];
    let (blocks, rest) = x.as_chunks::<STRANDS>();
    for block in blocks {
        strands.iter_mut().zip(block).for_each(|(strand, &x)| *strand = function(*strand, x));
    }
    strands.iter_mut().zip(rest).for_each(|(strand, &x)| *strand = function(*strand, x));
    let mut width = STRANDS / 2;
    while width > 0 {
        for strand in 0..width {
            strands[strand] = function(strands[strand], strands[strand + width]);
        }
        width /= 2;
    }
    strands[0]
}

#[inline(always)]
fn sum_body(x: &[f32]) -> f32 {
    fold(x, 0.0, |x, y| x + y)
}

#[inline(always)]
fn max_body(x: &[f32]) -> f32 {
    fold(x, f32::NEG_INFINITY, |x, y| if y > x || y.is_nan() { y } else { x })
}

#[inline(always)]
fn add_assign_body(out: &mut [f32], x: &[f32]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out += x);
}

#[inline(always)]
fn max_assign_body(out: &mut [f32], x: &[f32]) {
    out.iter_mut().zip(x).for_each(|(out, &x)| *out = if x > *out || x.is_nan() { x } else { *out });
}
