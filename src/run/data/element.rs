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
float!(half::f16, f32, f64);

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
            Kind::F32 => of!(f32),
            Kind::F64 => of!(f64),
            Kind::I8 => of!(i8),
            Kind::I16 => of!(i16),
            Kind::I32 => of!(i32),
            Kind::I64 => of!(i64),
            Kind::U8 | Kind::Bool => of!(u8),
            Kind::U16 => of!(u16),
            Kind::U32 => of!(u32),
            Kind::U64 => of!(u64),
        }
    }};
}

impl ElementType {
    /// Double precision, little-endian.
    #[cfg(feature = "h5ad")]
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
            Kind::I8 | Kind::U8 | Kind::Bool => 1,
            Kind::F16 | Kind::I16 | Kind::U16 => 2,
            Kind::F32 | Kind::I32 | Kind::U32 => 4,
            Kind::F64 | Kind::I64 | Kind::U64 => 8,
        }
    }

    /// Whether numbers of the type are whole, so that they may be indices.
    pub fn is_integer(self) -> bool {
        !matches!(self.kind, Kind::F16 | Kind::F32 | Kind::F64 | Kind::Bool)
    }

    /// Whether all bytes are numbers of the type: a truth value is 0 or 1.
    pub fn fits(self, bytes: &[u8]) -> bool {
        self.kind != Kind::Bool || bytes.iter().all(|&byte| byte <= 1)
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
        with_numbers!(self, bytes, |numbers| {
            out.iter_mut()
                .zip(numbers)
                .for_each(|(out, number)| *out = number.double() as f32)
        })
    }

    /// Appends bytes in double precision to `out`. Large integers are rounded.
    pub fn doubles(self, bytes: &[u8], out: &mut Vec<f64>) {
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
        })
    }
}
