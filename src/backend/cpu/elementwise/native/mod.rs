//! Native code for the bodies of loops, on CPUs with AVX-512 or AVX2.
//!
//! A body is recorded as a [`trace`], with numbers that stand for a register's elements each, and
//! compiled ([`compile`]) for a target ([`avx512`], [`avx2`]) with an [`assembler`]. Intermediate
//! results stay in registers, so a loop reads each of its operands once and writes each of its
//! results once.
//!
//! Its results have the same bits as those of the steps that it replaces, but for the sign and the
//! payload of NaN.

mod assembler;
mod trace;
mod compile;
mod avx2;
mod avx512;
mod code;

use super::{super::isa::Isa, functions as f, number::Number};
use crate::tensor::Scalar;
use code::Code;
pub use trace::{Recorder, Traced, ValueId};

/// The maximum distance in floats between the elements of a strided load.
pub const MOST_DISTANCE: usize = 1 << 24;

/// A loop in native code.
pub struct NativeLoop(Code);

impl NativeLoop {
    /// Compiles a body whose sources have these strides from row to row, in bytes, for the
    /// instruction set that it was recorded for; `None` if there is no code for it, or the system does
    /// not allow to execute it.
    pub fn new(body: Recorder, strides: &[usize]) -> Option<Self> {
        let strides = strides.iter().map(|&stride| i32::try_from(stride).ok());
        let strides: Vec<i32> = strides.collect::<Option<_>>()?;
        let isa = body.isa();
        let items = body.finish();
        let code = match isa {
            Isa::Avx512(_) => compile::compile::<avx512::Avx512Target>(&items, &strides),
            Isa::Avx2(_) => compile::compile::<avx2::Avx2Target>(&items, &strides),
            Isa::Portable => None,
        };
        Code::new(&code?).map(NativeLoop)
    }

    /// Runs the loop over `rows` rows of `len` elements, at least one row. The pointers change.
    ///
    /// # Safety
    /// For each row, each pointer must point to what the body accesses: `len` elements, or one that it
    /// folds into or that is the same for the whole row. No other thread may use what the body writes,
    /// or write what it reads.
    pub unsafe fn run(&self, pointers: &mut [*mut f32], len: usize, rows: usize) {
        debug_assert!(rows > 0);
        // SAFETY: `new` compiled a function with these parameters, for the calling convention of C
        // on Unix systems, with instructions that the CPU has: the recorder had the proof. The rest is
        // as the caller's.
        unsafe {
            let function: extern "C" fn(*mut *mut f32, usize, usize) =
                std::mem::transmute(self.0.start());
            function(pointers.as_mut_ptr(), len, rows);
        }
    }
}

/// Whether there is native code for an operation.
pub fn has_code(scalar: Scalar) -> bool {
    let recorder = Recorder::new(Isa::Portable);
    let number = recorder.constant(0.0);
    value(scalar, &[number]).is_some()
}

/// The value of an operation, if there is native code for it.
pub fn value<'a>(scalar: Scalar, operands: &[Traced<'a>]) -> Option<Traced<'a>> {
    let [x, y, z] = [0, 1, 2].map(|operand| operands.get(operand).unwrap_or(&operands[0]));
    let (&x, &y, &z) = (x, y, z);
    Some(match scalar {
        Scalar::Add => x + y,
        Scalar::Sub => x - y,
        Scalar::Mul => x * y,
        Scalar::Div => x / y,
        Scalar::Max => Number::greater_of(x, y),
        Scalar::Min => Number::lesser_of(x, y),
        Scalar::Greater => f::greater(x, y),
        Scalar::Select => f::positive(x, y, z),
        Scalar::Clamp => f::clamp(x, y),
        Scalar::Neg => -x,
        Scalar::Relu => f::relu(x),
        Scalar::Abs => Number::abs(x),
        Scalar::Sign => f::sign(x),
        Scalar::Floor => Number::floor(x),
        Scalar::Sqrt => Number::sqrt(x),
        Scalar::Exp => f::exp(x),
        Scalar::ExpM1 => f::expm1(x),
        Scalar::Log => f::log(x),
        Scalar::Log1P => f::log1p(x),
        Scalar::Tanh => f::tanh(x),
        Scalar::Sigmoid => f::sigmoid(x),
        Scalar::Softplus => f::softplus(x),
        Scalar::LogAddExp => f::log_add_exp(x, y),
        Scalar::Gelu => f::gelu(x),
        Scalar::GeluSlope => f::gelu_slope(x),
        _ => return None,
    })
}
