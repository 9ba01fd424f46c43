//! The npy format of NumPy: a header with the type and shape of an array, then its numbers.
//!
//! The header is compared with the length of the file before anything is reserved, so that an array
//! takes memory in proportion to its file.

use super::{bytes::Bytes, dense::DenseArray, element::ElementType};

/// The most bytes of a header. NumPy's own headers have a few hundred.
const MOST_HEADER: usize = 10_000;
/// The bytes before a header: a mark, the version, and the header's length.
const BEFORE_HEADER: usize = 12;

/// The array of an npy file. It keeps its type, and stays where its bytes are.
///
/// # Errors
/// What is wrong with the file, without its name.
pub fn array(bytes: Bytes) -> Result<DenseArray, String> {
    let (header, data) = open(bytes)?;
    let Header {
        kind,
        fortran,
        shape,
    } = header;
    let Some(element) = numeric(&kind) else {
        let kind: String = kind.chars().flat_map(char::escape_default).collect();
        return Err(format!(
            "its type `{kind}` is not numeric; store it as a float or integer array"
        ));
    };
    let bytes = data.len();
    let Some(array) = DenseArray::new(data.clone(), element, shape.clone()) else {
        return Err(format!(
            "it has {bytes} bytes, not as many as its shape {shape:?} of type `{kind}`"
        ));
    };
    let mut fits = true;
    if !element.is_integer() {
        let checked = array.each_part(&mut |_, bytes| {
            fits &= element.fits(bytes);
            Ok(())
        });
        checked.map_err(|error| error.to_string())?;
    }
    if !fits {
        return Err("its type is not supported".to_string());
    }
    if !fortran || shape.len() < 2 {
        return Ok(array);
    }
    let mut scratch = Vec::new();
    let columns = data.get(0, bytes, &mut scratch);
    let columns = columns.map_err(|error| error.to_string())?;
    let rows = row_major(columns, element.size(), &shape);
    Ok(DenseArray::new(Bytes::from(rows), element, shape).expect("as many bytes as before"))
}

/// The text of an array with a single text; `None` for other arrays.
pub fn text(bytes: Bytes) -> Option<String> {
    let (header, data) = open(bytes).ok()?;
    if !header.shape.is_empty() || data.len() > MOST_HEADER {
        return None;
    }
    let mut scratch = Vec::new();
    let bytes = data.get(0, data.len(), &mut scratch).ok()?;
    let text: Option<String> = match header.kind.as_bytes() {
        [b'|', b'S', ..] => Some(bytes.iter().map(|&byte| char::from(byte)).collect()),
        [order @ (b'<' | b'>'), b'U', ..] => {
            let chars = bytes.as_chunks::<4>().0.iter().map(|&bytes| match order {
                b'<' => char::from_u32(u32::from_le_bytes(bytes)),
                _ => char::from_u32(u32::from_be_bytes(bytes)),
            });
            chars.collect()
        }
        _ => None,
    };
    text.map(|text| text.trim_end_matches('\0').to_string())
}

/// The header of a file, and the bytes of its numbers.
fn open(bytes: Bytes) -> Result<(Header, Bytes), String> {
    let damaged = |what: &str| format!("its npy header is damaged: {what}");
    let mut scratch = Vec::new();
    let most = bytes.len().min(BEFORE_HEADER + MOST_HEADER);
    let start = bytes.get(0, most, &mut scratch);
    let start = start.map_err(|error| error.to_string())?;
    let (header, data) = split(start).ok_or_else(|| damaged("it is incomplete"))?;
    let before = start.len() - data.len();
    let header = std::str::from_utf8(header).map_err(|_| damaged("it is not text"))?;
    let header =
        Header::read(header).ok_or_else(|| damaged("expected a type, an order and a shape"))?;
    Ok((header, bytes.skip(before)))
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

/// The numeric type that is written as, for example, `<f4`. `None` if it is no number.
fn numeric(kind: &str) -> Option<ElementType> {
    let mut letters = kind.chars();
    let is_big_endian = match letters.next()? {
        '<' | '|' => false,
        '=' => cfg!(target_endian = "big"),
        '>' => true,
        _ => return None,
    };
    let letter = letters.next()?;
    ElementType::new(letter, letters.as_str().parse().ok()?, is_big_endian)
}

/// The bytes of an array whose first axis is innermost, with the last axis innermost.
fn row_major(bytes: &[u8], size: usize, shape: &[usize]) -> Vec<u8> {
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(bytes.len());
    for _ in 0..bytes.len() / size {
        let places = shape.iter().zip(&index).rev();
        let place = places.fold(0, |at, (&size, &index)| at * size + index);
        ordered.extend_from_slice(&bytes[place * size..(place + 1) * size]);
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

    /// The shape and the numbers of an array.
    fn read(header: &str, data: &[u8]) -> Result<(Vec<usize>, Vec<f64>), String> {
        let array = array(Bytes::from(file(header, data)))?;
        let numbers = array.doubles().map_err(|error| error.to_string())?;
        Ok((array.shape().to_vec(), numbers))
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
                assert_eq!(found, (vec![2], vec![1.0, -2.0]), "{order}{kind}");
            }
        }
    }

    #[test]
    fn arrays_in_fortran_order_are_transposed() {
        let header = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }";
        let found = read(header, &[1, 4, 2, 5, 3, 6]).expect("an array");
        let numbers = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(found, (vec![2, 3], numbers));
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
        let short = b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec();
        assert!(array(Bytes::from(short)).is_err());
    }
}
