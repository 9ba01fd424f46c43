//! The npy format of NumPy: a header with the type and shape of an array, then its numbers.
//!
//! The header is compared with the length of the file before anything is reserved, so that an array
//! takes memory in proportion to its file.

use super::tables::{DataArray, Numbers};
use crate::run::arrays::elements;

/// The most bytes of a header. NumPy's own headers have a few hundred.
const MOST_HEADER: usize = 10_000;

/// Reads the array of an npy file.
///
/// # Errors
/// What is wrong with the file, without its name.
pub fn array(name: &str, bytes: &[u8]) -> Result<DataArray, String> {
    let damaged = |what: &str| format!("its npy header is damaged: {what}");
    let (header, data) = split(bytes).ok_or_else(|| damaged("it is incomplete"))?;
    let header = std::str::from_utf8(header).map_err(|_| damaged("it is not text"))?;
    let Header {
        kind,
        fortran,
        shape,
    } = Header::read(header).ok_or_else(|| damaged("expected a type, an order and a shape"))?;
    let Some((big, letter, size)) = numeric(&kind) else {
        let kind: String = kind.chars().flat_map(char::escape_default).collect();
        return Err(format!(
            "its type `{kind}` is not numeric; store it as a float or integer array"
        ));
    };
    let wanted = elements(&shape).and_then(|count| count.checked_mul(size));
    if wanted != Some(data.len()) {
        return Err(format!(
            "it has {} bytes, not as many as its shape {shape:?} of type `{kind}`",
            data.len()
        ));
    }
    let numbers = numbers(data, big, letter, size).ok_or("its type is not supported")?;
    let numbers = match fortran && shape.len() > 1 {
        true => row_major(&numbers, &shape),
        false => numbers,
    };
    Ok(DataArray::new(name, shape, numbers))
}

/// The header's text, and the bytes after it.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = bytes.strip_prefix(b"\x93NUMPY")?;
    let (len, rest) = match *rest.first()? {
        1 => (
            usize::from(u16::from_le_bytes(*rest.get(2..4)?.first_chunk()?)),
            &rest[4..],
        ),
        2 | 3 => (
            u32::from_le_bytes(*rest.get(2..6)?.first_chunk()?) as usize,
            &rest[6..],
        ),
        _ => return None,
    };
    (len <= MOST_HEADER && len <= rest.len()).then(|| rest.split_at(len))
}

/// The fields of a header, which is a Python dictionary.
struct Header {
    kind: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// Reads `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`; each field once.
    fn read(text: &str) -> Option<Self> {
        let (mut kind, mut fortran, mut shape) = (None, None, None);
        let mut rest = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
        while !rest.is_empty() {
            let (key, after) = quoted(rest)?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            let (is_new, after) = match key {
                "descr" => {
                    let (text, after) = quoted(value)?;
                    (kind.replace(text.to_string()).is_none(), after)
                }
                "fortran_order" => {
                    let (is_fortran, after) = match value.strip_prefix("True") {
                        Some(after) => (true, after),
                        None => (false, value.strip_prefix("False")?),
                    };
                    (fortran.replace(is_fortran).is_none(), after)
                }
                "shape" => {
                    let (sizes, after) = value.strip_prefix('(')?.split_once(')')?;
                    (shape.replace(tuple(sizes)?).is_none(), after)
                }
                _ => return None,
            };
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(more) => more.trim_start(),
                None if after.is_empty() => after,
                None => return None,
            };
            if !is_new {
                return None;
            }
        }
        Some(Header {
            kind: kind?,
            fortran: fortran?,
            shape: shape?,
        })
    }
}

/// A string in quotation marks, and the text after it.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let mark = text.chars().next().filter(|&c| c == '\'' || c == '"')?;
    text[1..].split_once(mark)
}

/// The numbers of a tuple, without its parentheses. At most 32 of them, as in NumPy.
fn tuple(text: &str) -> Option<Vec<usize>> {
    let text = text.trim();
    let text = text.strip_suffix(',').unwrap_or(text).trim_end();
    if text.is_empty() {
        return Some(Vec::new());
    }
    let sizes: Option<Vec<usize>> = text
        .split(',')
        .map(|size| size.trim().parse().ok())
        .collect();
    sizes.filter(|sizes| sizes.len() <= 32)
}

/// Whether a type is big-endian, its letter, and its bytes: `<f4` is `(false, 'f', 4)`. `None` if it
/// is not a number.
fn numeric(kind: &str) -> Option<(bool, char, usize)> {
    let mut letters = kind.chars();
    let big = match letters.next()? {
        '<' | '|' => false,
        '=' => cfg!(target_endian = "big"),
        '>' => true,
        _ => return None,
    };
    let letter = letters.next()?;
    let size: usize = letters.as_str().parse().ok()?;
    let fits = match letter {
        'f' => matches!(size, 2 | 4 | 8),
        'i' | 'u' => matches!(size, 1 | 2 | 4 | 8),
        'b' => size == 1,
        _ => false,
    };
    fits.then_some((big, letter, size))
}

/// The numbers of an array in the order of the file.
fn numbers(data: &[u8], big: bool, letter: char, size: usize) -> Option<Numbers> {
    macro_rules! each {
        ($type:ty, $number:expr) => {{
            let chunks = data.as_chunks::<{ size_of::<$type>() }>().0.iter();
            chunks
                .map(|&chunk| {
                    let read = if big {
                        <$type>::from_be_bytes
                    } else {
                        <$type>::from_le_bytes
                    };
                    $number(read(chunk))
                })
                .collect()
        }};
    }
    let double: Vec<f64> = match (letter, size) {
        ('f', 4) => return Some(Numbers::F32(each!(f32, |x: f32| x))),
        ('u', 1) => return Some(Numbers::U8(data.to_vec())),
        ('f', 2) => each!(u16, |x: u16| half::f16::from_bits(x).to_f64()),
        ('f', 8) => each!(f64, |x: f64| x),
        ('i', 1) => each!(i8, f64::from),
        ('i', 2) => each!(i16, f64::from),
        ('i', 4) => each!(i32, f64::from),
        ('i', 8) => each!(i64, |x: i64| x as f64),
        ('u', 2) => each!(u16, f64::from),
        ('u', 4) => each!(u32, f64::from),
        ('u', 8) => each!(u64, |x: u64| x as f64),
        ('b', 1) if data.iter().all(|&byte| byte <= 1) => each!(u8, f64::from),
        _ => return None,
    };
    Some(Numbers::F64(double))
}

/// The numbers of an array whose first axis is innermost, with the last axis innermost.
fn row_major(numbers: &Numbers, shape: &[usize]) -> Numbers {
    fn order<T: Copy>(numbers: &[T], shape: &[usize]) -> Vec<T> {
        let mut index = vec![0; shape.len()];
        let mut ordered = Vec::with_capacity(numbers.len());
        for _ in 0..numbers.len() {
            let place = shape.iter().zip(&index).rev();
            ordered.push(numbers[place.fold(0, |at, (&size, &index)| at * size + index)]);
            for (index, &size) in index.iter_mut().zip(shape).rev() {
                *index += 1;
                if *index < size {
                    break;
                }
                *index = 0;
            }
        }
        ordered
    }
    match numbers {
        Numbers::F32(numbers) => Numbers::F32(order(numbers, shape)),
        Numbers::F64(numbers) => Numbers::F64(order(numbers, shape)),
        Numbers::U8(numbers) => Numbers::U8(order(numbers, shape)),
        Numbers::I64(numbers) => Numbers::I64(order(numbers, shape)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let len = u16::try_from(header.len()).expect("a short header");
        [
            b"\x93NUMPY\x01\x00".as_slice(),
            &len.to_le_bytes(),
            header.as_bytes(),
            data,
        ]
        .concat()
    }

    fn read(header: &str, data: &[u8]) -> Result<DataArray, String> {
        array("x", &file(header, data))
    }

    #[test]
    fn each_type_is_read_in_both_byte_orders() {
        for (kind, bytes) in [
            ("f2", vec![0x3C, 0x00, 0xC0, 0x00]),
            (
                "f4",
                [1f32, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect(),
            ),
            (
                "f8",
                [1f64, -2.0].iter().flat_map(|x| x.to_be_bytes()).collect(),
            ),
            ("i1", vec![1, 0xFE]),
            ("i2", vec![0, 1, 0xFF, 0xFE]),
            (
                "i4",
                [1i32, -2].iter().flat_map(|x| x.to_be_bytes()).collect(),
            ),
            (
                "i8",
                [1i64, -2].iter().flat_map(|x| x.to_be_bytes()).collect(),
            ),
        ] {
            let expected = DataArray::new("x", [2], vec![1.0, -2.0]);
            let header = |order| {
                format!("{{'descr': '{order}{kind}', 'fortran_order': False, 'shape': (2,), }}\n")
            };
            let width = bytes.len() / 2;
            let swapped: Vec<u8> = bytes
                .chunks(width)
                .flat_map(|number| number.iter().rev().copied())
                .collect();
            for (order, bytes) in [('>', &bytes), ('<', &swapped)] {
                let found = read(&header(order), bytes).expect("an array");
                let expected = match kind {
                    "f4" => DataArray::new("x", [2], vec![1f32, -2.0]),
                    _ => expected.clone(),
                };
                assert_eq!(found, expected, "{order}{kind}");
            }
        }
    }

    #[test]
    fn arrays_in_fortran_order_are_transposed() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }";
        let found = read(header, &[1, 4, 2, 5, 3, 6]).expect("an array");
        assert_eq!(found, DataArray::new("x", [2, 3], vec![1u8, 2, 3, 4, 5, 6]));
    }

    #[test]
    fn what_does_not_fit_its_header_is_refused() {
        let huge = usize::MAX;
        for (header, expected) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }",
                "it has 8 bytes",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'shape': (9999999999,)}",
                "expected a type",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False}",
                "expected a type",
            ),
            (
                "{'descr': '<U4', 'fortran_order': False, 'shape': (2,)}",
                "is not numeric",
            ),
            (
                "{'descr': '<f3', 'fortran_order': False, 'shape': (2,)}",
                "is not numeric",
            ),
            (
                "{'descr': '|O\u{1b}', 'fortran_order': False, 'shape': (2,)}",
                "`|O\\u{1b}`",
            ),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}",
                "expected a type",
            ),
            (
                &format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({huge}, {huge})}}"),
                "not as many as its shape",
            ),
        ] {
            let found = read(header, &[0; 8]).expect_err("it is refused");
            assert!(found.contains(expected), "{header}: {found}");
        }
        assert!(array("x", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{").is_err());
    }
}
