//! Numbers that elementary functions are computed with: floats, and values of native code.
//!
//! A function of [`super::functions`] is written once, for any [`Number`]. With [`Plain`] floats it
//! is a loop body that the compiler vectorises; with traced numbers ([`super::native`]) it becomes
//! native code. Each operation rounds alike for both, so both give the same bits.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// Adding and subtracting this rounds to the nearest whole number: its last place is 1.
pub(super) const ROUND: f32 = 12_582_912.0;

/// A relation of two numbers. None holds for NaN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    Less,
    AtLeast,
    Greater,
    Equal,
}

/// A number in single precision, whose bits may also be used as an integer.
pub trait Number:
    Copy
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// A constant to compute with `self`.
    fn constant(self, value: f32) -> Self;

    /// self · b + c, rounded once if the CPU has an instruction for it.
    fn mul_add(self, b: Self, c: Self) -> Self;

    fn sqrt(self) -> Self;

    fn floor(self) -> Self;

    /// `self` if it is greater than the other, else the other.
    fn greater_of(self, other: Self) -> Self;

    /// `self` if it is less than the other, else the other.
    fn lesser_of(self, other: Self) -> Self;

    /// The first of two values if `self` has a relation to another number, else the second.
    fn choose(self, relation: Relation, other: Self, values: [Self; 2]) -> Self;

    /// self · 2ⁿ, for a whole n between −200 and 200 and a result whose rounding is that of two
    /// products with normal powers of two.
    #[inline(always)]
    fn scale(self, n: Self) -> Self {
        self.scale_by_products(n)
    }

    /// The same, as these two products.
    #[inline(always)]
    fn scale_by_products(self, n: Self) -> Self {
        // The last bits of n + ROUND are n as an integer. A conversion would be slower.
        let round = n.constant(ROUND);
        let whole = (n + round).sub_bits(round);
        let half = whole.shift_right(1);
        let power_of_two = |n: Self| n.add_bits(n.bits(127)).shift_left(23);
        self * power_of_two(half) * power_of_two(whole.sub_bits(half))
    }

    /// The bits that are set in both.
    fn and_bits(self, other: Self) -> Self;

    /// The bits that are set in one of them.
    fn or_bits(self, other: Self) -> Self;

    /// The sum of the bits, as integers.
    fn add_bits(self, other: Self) -> Self;

    /// The difference of the bits, as integers.
    fn sub_bits(self, other: Self) -> Self;

    /// The bits as a signed integer, divided by 2 to this power and rounded down.
    fn shift_right(self, places: u8) -> Self;

    /// The bits, shifted left.
    fn shift_left(self, places: u8) -> Self;

    /// The number that the bits are as a signed integer.
    fn number(self) -> Self;

    /// A constant of these bits.
    fn bits(self, bits: u32) -> Self {
        self.constant(f32::from_bits(bits))
    }

    fn abs(self) -> Self {
        self.and_bits(self.bits(0x7FFF_FFFF))
    }

    /// The size of `self` with the sign of the other.
    fn copysign(self, other: Self) -> Self {
        self.abs().or_bits(other.and_bits(other.bits(0x8000_0000)))
    }
}

/// A float. `F` says whether the CPU has fused multiply-adds, which round once; without them, one
/// would be a call of a slow function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain<const F: bool>(pub f32);

/// `a` where the condition holds, else `b`, by masks: a branch would keep the compiler from making
/// vector instructions, and both are computed anyway.
#[inline(always)]
pub(super) fn select(condition: bool, a: f32, b: f32) -> f32 {
    let mask = u32::from(condition).wrapping_neg();
    f32::from_bits((a.to_bits() & mask) | (b.to_bits() & !mask))
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

impl<const F: bool> Number for Plain<F> {
    #[inline(always)]
    fn constant(self, value: f32) -> Self {
        Plain(value)
    }

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        Plain(if F {
            self.0.mul_add(b.0, c.0)
        } else {
            self.0 * b.0 + c.0
        })
    }

    #[inline(always)]
    fn sqrt(self) -> Self {
        Plain(self.0.sqrt())
    }

    #[inline(always)]
    fn floor(self) -> Self {
        Plain(self.0.floor())
    }

    #[inline(always)]
    fn greater_of(self, other: Self) -> Self {
        Plain(if self.0 > other.0 { self.0 } else { other.0 })
    }

    #[inline(always)]
    fn lesser_of(self, other: Self) -> Self {
        Plain(if self.0 < other.0 { self.0 } else { other.0 })
    }

    #[inline(always)]
    fn choose(self, relation: Relation, other: Self, [yes, no]: [Self; 2]) -> Self {
        let holds = match relation {
            Relation::Less => self.0 < other.0,
            Relation::AtLeast => self.0 >= other.0,
            Relation::Greater => self.0 > other.0,
            Relation::Equal => self.0 == other.0,
        };
        Plain(select(holds, yes.0, no.0))
    }

    #[inline(always)]
    fn and_bits(self, other: Self) -> Self {
        Plain(f32::from_bits(self.0.to_bits() & other.0.to_bits()))
    }

    #[inline(always)]
    fn or_bits(self, other: Self) -> Self {
        Plain(f32::from_bits(self.0.to_bits() | other.0.to_bits()))
    }

    #[inline(always)]
    fn add_bits(self, other: Self) -> Self {
        Plain(f32::from_bits(
            self.0.to_bits().wrapping_add(other.0.to_bits()),
        ))
    }

    #[inline(always)]
    fn sub_bits(self, other: Self) -> Self {
        Plain(f32::from_bits(
            self.0.to_bits().wrapping_sub(other.0.to_bits()),
        ))
    }

    #[inline(always)]
    fn shift_right(self, places: u8) -> Self {
        let shifted = self.0.to_bits().cast_signed() >> places;
        Plain(f32::from_bits(shifted.cast_unsigned()))
    }

    #[inline(always)]
    fn shift_left(self, places: u8) -> Self {
        Plain(f32::from_bits(self.0.to_bits() << places))
    }

    #[inline(always)]
    fn number(self) -> Self {
        Plain(self.0.to_bits().cast_signed() as f32)
    }
}

/// The operators of floats.
macro_rules! operator {
    ($name:ident, $method:ident, $operator:tt) => {
        impl<const F: bool> $name for Plain<F> {
            type Output = Self;

            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                Plain(self.0 $operator other.0)
            }
        }
    };
}

operator!(Add, add, +);
operator!(Sub, sub, -);
operator!(Mul, mul, *);
operator!(Div, div, /);

impl<const F: bool> Neg for Plain<F> {
    type Output = Self;

    #[inline(always)]
    fn neg(self) -> Self {
        Plain(-self.0)
    }
}
