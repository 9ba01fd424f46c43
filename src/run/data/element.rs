//! Numeric types of arrays in files, and the conversion of their bytes.

use std::fmt;

/// A numeric type and its byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElementType {
    kind: Kind,
    is_big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F16,
    BF16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    Grey,
}

/// A number of one of the types.
trait Number: Copy {
    /// In double precision, as every type is read.
    fn double(self) -> f64;
    /// As an index; `None` if it is negative or no integer.
    fn index(self) -> Option<usize>;
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn double(self) -> f64 {
                self as f64
            }
            fn index(self) -> Option<usize> {
                usize::try_from(self).ok()
            }
        }
    )*};
}

macro_rules! float {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn double(self) -> f64 {
                self.into()
            }
            fn index(self) -> Option<usize> {
                None
            }
        }
    )*};
}

integer!(i8, i16, i32, i64, u8, u16, u32, u64);
float!(half::f16, half::bf16, f32, f64);

/// Maps the numbers in bytes, as they are of the element's type, and passes the iterator on.
macro_rules! with_numbers {
    ($element:expr, $bytes:expr, |$numbers:ident| $body:expr) => {{
        macro_rules! of {
            ($type:ty) => {{
                let chunks = $bytes.as_chunks::<{ size_of::<$type>() }>().0.iter();
                match $element.is_big_endian {
                    true => {
                        let $numbers = chunks.map(|&chunk| <$type>::from_be_bytes(chunk));
                        $body
                    }
                    false => {
                        let $numbers = chunks.map(|&chunk| <$type>::from_le_bytes(chunk));
                        $body
                    }
                }
            }};
        }
        match $element.kind {
            Kind::F16 => of!(half::f16),
            Kind::BF16 => of!(half::bf16),
            Kind::F32 => of!(f32),
            Kind::F64 => of!(f64),
            Kind::I8 => of!(i8),
            Kind::I16 => of!(i16),
            Kind::I32 => of!(i32),
            Kind::I64 => of!(i64),
            Kind::U8 | Kind::Bool | Kind::Grey => of!(u8),
            Kind::U16 => of!(u16),
            Kind::U32 => of!(u32),
            Kind::U64 => of!(u64),
        }
    }};
}

impl ElementType {
    /// Grey values in a byte, of which 255 is the number 1.
    #[cfg(feature = "images")]
    pub const GREY: ElementType = ElementType {
        kind: Kind::Grey,
        is_big_endian: false,
    };

    /// Brain floats, half the bytes of single precision, little-endian.
    pub const BF16: ElementType = ElementType {
        kind: Kind::BF16,
        is_big_endian: false,
    };

    /// Whole numbers of four bytes without a sign, little-endian.
    pub const U32: ElementType = ElementType {
        kind: Kind::U32,
        is_big_endian: false,
    };

    /// Single precision, little-endian.
    pub const F32: ElementType = ElementType {
        kind: Kind::F32,
        is_big_endian: false,
    };

    /// Double precision, little-endian.
    pub const F64: ElementType = ElementType {
        kind: Kind::F64,
        is_big_endian: false,
    };

    /// The type of a letter and a number of bytes, as NumPy writes it: `f` and 4 is single precision,
    /// `b` and 1 a truth value. `None` if there is no such numeric type.
    pub fn new(letter: char, size: usize, is_big_endian: bool) -> Option<Self> {
        let kind = match (letter, size) {
            ('f', 2) => Kind::F16,
            ('f', 4) => Kind::F32,
            ('f', 8) => Kind::F64,
            ('i', 1) => Kind::I8,
            ('i', 2) => Kind::I16,
            ('i', 4) => Kind::I32,
            ('i', 8) => Kind::I64,
            ('u', 1) => Kind::U8,
            ('u', 2) => Kind::U16,
            ('u', 4) => Kind::U32,
            ('u', 8) => Kind::U64,
            ('b', 1) => Kind::Bool,
            _ => return None,
        };
        Some(ElementType {
            kind,
            is_big_endian,
        })
    }

    /// The bytes of a number.
    pub fn size(self) -> usize {
        match self.kind {
            Kind::I8 | Kind::U8 | Kind::Bool | Kind::Grey => 1,
            Kind::F16 | Kind::BF16 | Kind::I16 | Kind::U16 => 2,
            Kind::F32 | Kind::I32 | Kind::U32 => 4,
            Kind::F64 | Kind::I64 | Kind::U64 => 8,
        }
    }

    /// Whether numbers of the type are whole, so that they may be indices.
    pub fn is_integer(self) -> bool {
        !matches!(
            self.kind,
            Kind::F16 | Kind::BF16 | Kind::F32 | Kind::F64 | Kind::Bool | Kind::Grey
        )
    }

    /// Whether all bytes are numbers of the type: a truth value is 0 or 1.
    pub fn fits(self, bytes: &[u8]) -> bool {
        self.kind != Kind::Bool || bytes.iter().all(|&byte| byte <= 1)
    }

    /// The type itself, or the one of floats that has all of its numbers (up to 2⁵³) and NaN, for a missing
    /// one.
    #[cfg(feature = "parquet")]
    pub fn with_missing(self) -> Self {
        let kind = match self.kind {
            kind @ (Kind::F16 | Kind::BF16 | Kind::F32 | Kind::F64) => kind,
            Kind::I8 | Kind::I16 | Kind::U8 | Kind::U16 | Kind::Bool | Kind::Grey => Kind::F32,
            Kind::I32 | Kind::I64 | Kind::U32 | Kind::U64 => Kind::F64,
        };
        ElementType { kind, ..self }
    }

    /// Appends a number to bytes of the type, little-endian. One that the type does not have is rounded.
    #[cfg(feature = "parquet")]
    pub fn push(self, number: f64, bytes: &mut Vec<u8>) {
        match self.kind {
            Kind::F16 => bytes.extend(half::f16::from_f64(number).to_le_bytes()),
            Kind::BF16 => bytes.extend(half::bf16::from_f64(number).to_le_bytes()),
            Kind::F32 => bytes.extend((number as f32).to_le_bytes()),
            Kind::F64 => bytes.extend(number.to_le_bytes()),
            Kind::I8 => bytes.extend((number as i8).to_le_bytes()),
            Kind::I16 => bytes.extend((number as i16).to_le_bytes()),
            Kind::I32 => bytes.extend((number as i32).to_le_bytes()),
            Kind::I64 => bytes.extend((number as i64).to_le_bytes()),
            Kind::U8 | Kind::Bool => bytes.push(number as u8),
            Kind::Grey => bytes.push((255.0 * number) as u8),
            Kind::U16 => bytes.extend((number as u16).to_le_bytes()),
            Kind::U32 => bytes.extend((number as u32).to_le_bytes()),
            Kind::U64 => bytes.extend((number as u64).to_le_bytes()),
        }
    }

    /// Converts bytes to single precision. Double precision and large integers are rounded.
    pub fn singles(self, bytes: &[u8], out: &mut [f32]) {
        if self.kind == Kind::F32 {
            // Through double precision, a signalling NaN would change its bits.
            let order = match self.is_big_endian {
                true => f32::from_be_bytes,
                false => f32::from_le_bytes,
            };
            let chunks = bytes.as_chunks::<4>().0.iter();
            out.iter_mut()
                .zip(chunks)
                .for_each(|(out, &chunk)| *out = order(chunk));
            return;
        }
        if self.kind == Kind::Grey {
            let greys = out.iter_mut().zip(bytes);
            greys.for_each(|(out, &byte)| *out = f32::from(byte) / 255.0);
            return;
        }
        with_numbers!(self, bytes, |numbers| {
            out.iter_mut()
                .zip(numbers)
                .for_each(|(out, number)| *out = number.double() as f32)
        })
    }

    /// Appends bytes in double precision to `out`. Large integers are rounded.
    pub fn doubles(self, bytes: &[u8], out: &mut Vec<f64>) {
        if self.kind == Kind::Grey {
            out.extend(bytes.iter().map(|&byte| f64::from(byte) / 255.0));
            return;
        }
        with_numbers!(self, bytes, |numbers| {
            out.extend(numbers.map(|number| number.double()))
        })
    }

    /// Appends bytes as indices to `out`. Negative numbers become the largest index, which no array
    /// has.
    pub fn indices(self, bytes: &[u8], out: &mut Vec<usize>) {
        with_numbers!(self, bytes, |numbers| {
            out.extend(numbers.map(|number| number.index().unwrap_or(usize::MAX)))
        })
    }
}

/// The name that NumPy gives the type.
impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::F16 => "float16",
            Kind::BF16 => "bfloat16",
            Kind::F32 => "float32",
            Kind::F64 => "float64",
            Kind::I8 => "int8",
            Kind::I16 => "int16",
            Kind::I32 => "int32",
            Kind::I64 => "int64",
            Kind::U8 => "uint8",
            Kind::U16 => "uint16",
            Kind::U32 => "uint32",
            Kind::U64 => "uint64",
            Kind::Bool => "bool",
            Kind::Grey => "grey",
        })
    }
}
