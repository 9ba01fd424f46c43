//! Values of Parquet columns: their types, and decoded blocks of them.
//!
//! A list in a Parquet file is stored as its elements. The repetition level of an element is 0 where a new
//! row begins. The definition level says whether the element is there, missing, or stands for a list
//! without elements.

use super::element::ElementType;
use crate::error::Result;
use ::parquet::{
    basic::{ConvertedType, LogicalType, Type as Physical},
    column::reader::{ColumnReader, ColumnReaderImpl},
    data_type::{ByteArray, DataType, FixedLenByteArray},
    errors::ParquetError,
    schema::types::{ColumnDescriptor, Type},
};

/// What a column holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A number in each row.
    Number(ElementType),
    /// A text in each row.
    Text,
    /// A list of numbers in each row.
    List(ElementType),
    /// Values that are not read, of this type.
    Other(String),
}

impl Kind {
    /// What the column with this root holds, whose first values are in `leaf`.
    pub fn new(root: &Type, leaf: &ColumnDescriptor) -> Self {
        let number = element(leaf);
        let is_text = matches!(
            leaf.logical_type_ref(),
            Some(LogicalType::String | LogicalType::Enum | LogicalType::Json)
        ) || matches!(
            leaf.converted_type(),
            ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON
        );
        match number {
            Some(number) if root.is_primitive() && leaf.max_rep_level() == 0 => {
                Kind::Number(number)
            }
            Some(number) if leaf.max_rep_level() > 0 => Kind::List(number),
            None if root.is_primitive() && is_text && leaf.max_rep_level() == 0 => Kind::Text,
            _ if root.is_primitive() => Kind::Other(match leaf.logical_type_ref() {
                Some(kind) => format!("the type {kind:?}"),
                None => format!("the type {}", leaf.physical_type()),
            }),
            _ => Kind::Other("a group".to_string()),
        }
    }
}

/// What stands at the place of an element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slot {
    /// The value at this place among those that are not missing.
    Value(usize),
    /// A missing value.
    Missing,
    /// Nothing: the list has no elements, or is missing.
    Empty,
}

/// Decoded values of some rows.
pub struct DecodedRows {
    /// The values that are not missing.
    values: Decoded,
    /// The definition level of each element; empty if none can be missing.
    definitions: Vec<i16>,
    /// The repetition level of each element; empty without lists.
    repetitions: Vec<i16>,
    /// The definition level of a value that is not missing.
    present: i16,
    /// The least definition level of an element of a list.
    element: i16,
}

/// Values of one type.
enum Decoded {
    Whole(Vec<i64>),
    Unsigned(Vec<u64>),
    Single(Vec<f32>),
    Double(Vec<f64>),
    Text(Vec<String>),
}

impl Decoded {
    fn len(&self) -> usize {
        match self {
            Decoded::Whole(values) => values.len(),
            Decoded::Unsigned(values) => values.len(),
            Decoded::Single(values) => values.len(),
            Decoded::Double(values) => values.len(),
            Decoded::Text(values) => values.len(),
        }
    }

    /// A value as a number; NaN for a text.
    fn number(&self, at: usize) -> f64 {
        match self {
            Decoded::Whole(values) => values[at] as f64,
            Decoded::Unsigned(values) => values[at] as f64,
            Decoded::Single(values) => f64::from(values[at]),
            Decoded::Double(values) => values[at],
            Decoded::Text(_) => f64::NAN,
        }
    }

    /// A value as text.
    fn text(&self, at: usize) -> String {
        match self {
            Decoded::Whole(values) => values[at].to_string(),
            Decoded::Unsigned(values) => values[at].to_string(),
            Decoded::Single(values) => values[at].to_string(),
            Decoded::Double(values) => values[at].to_string(),
            Decoded::Text(values) => values[at].clone(),
        }
    }
}

impl DecodedRows {
    /// Decodes at most `most` rows; returns their number, and 0 at the end.
    pub fn read(
        reader: &mut ColumnReader,
        descriptor: &ColumnDescriptor,
        most: usize,
    ) -> std::result::Result<(usize, Self), ParquetError> {
        let mut batch = DecodedRows {
            values: Decoded::Whole(Vec::new()),
            definitions: Vec::new(),
            repetitions: Vec::new(),
            present: descriptor.max_def_level(),
            element: descriptor.repeated_ancestor_def_level(),
        };
        let is_unsigned = is_unsigned(descriptor);
        let (rows, values) = match reader {
            ColumnReader::BoolColumnReader(reader) => {
                batch.decode(reader, most, |value| Ok(i64::from(value)), Decoded::Whole)
            }
            ColumnReader::Int32ColumnReader(reader) if is_unsigned => {
                let whole = |value: i32| Ok(i64::from(value.cast_unsigned()));
                batch.decode(reader, most, whole, Decoded::Whole)
            }
            ColumnReader::Int32ColumnReader(reader) => {
                batch.decode(reader, most, |value| Ok(i64::from(value)), Decoded::Whole)
            }
            ColumnReader::Int64ColumnReader(reader) if is_unsigned => {
                let unsigned = |value: i64| Ok(value.cast_unsigned());
                batch.decode(reader, most, unsigned, Decoded::Unsigned)
            }
            ColumnReader::Int64ColumnReader(reader) => {
                batch.decode(reader, most, Ok, Decoded::Whole)
            }
            ColumnReader::FloatColumnReader(reader) => {
                batch.decode(reader, most, Ok, Decoded::Single)
            }
            ColumnReader::DoubleColumnReader(reader) => {
                batch.decode(reader, most, Ok, Decoded::Double)
            }
            ColumnReader::ByteArrayColumnReader(reader) => {
                let text = |value: ByteArray| Ok(value.as_utf8()?.to_string());
                batch.decode(reader, most, text, Decoded::Text)
            }
            ColumnReader::FixedLenByteArrayColumnReader(reader) => {
                let half = |value: FixedLenByteArray| {
                    let bytes = value.data().first_chunk().copied();
                    let half = bytes.map(half::f16::from_le_bytes);
                    half.map(f32::from).ok_or_else(|| {
                        ParquetError::General("a number has too few bytes".to_string())
                    })
                };
                batch.decode(reader, most, half, Decoded::Single)
            }
            ColumnReader::Int96ColumnReader(_) => Err(ParquetError::NYI("the type INT96".into())),
        }?;
        batch.values = values;
        Ok((rows, batch))
    }

    /// Decodes values and their levels.
    fn decode<T: DataType, V>(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        most: usize,
        convert: impl Fn(T::T) -> std::result::Result<V, ParquetError>,
        values: impl FnOnce(Vec<V>) -> Decoded,
    ) -> std::result::Result<(usize, Decoded), ParquetError> {
        let mut raw = Vec::new();
        let (rows, ..) = reader.read_records(
            most,
            Some(&mut self.definitions),
            Some(&mut self.repetitions),
            &mut raw,
        )?;
        let converted: std::result::Result<Vec<V>, _> = raw.into_iter().map(convert).collect();
        Ok((rows, values(converted?)))
    }

    /// Passes each element to `take`, and whether a row begins with it.
    pub fn each(&self, take: &mut dyn FnMut(bool, Slot) -> Result<()>) -> Result<()> {
        let count = match self.definitions.len() {
            0 => self.values.len(),
            count => count,
        };
        let mut next = 0;
        for at in 0..count {
            let is_first = self.repetitions.get(at).is_none_or(|level| *level == 0);
            let definition = self.definitions.get(at).copied();
            let slot = match definition.unwrap_or(self.present) {
                level if level < self.element => Slot::Empty,
                level if level < self.present => Slot::Missing,
                _ if next < self.values.len() => {
                    next += 1;
                    Slot::Value(next - 1)
                }
                _ => Slot::Missing,
            };
            take(is_first, slot)?;
        }
        Ok(())
    }

    /// The number of an element; NaN if it is missing.
    pub fn number(&self, slot: Slot) -> f64 {
        match slot {
            Slot::Value(at) => self.values.number(at),
            Slot::Missing | Slot::Empty => f64::NAN,
        }
    }

    /// An element as text; `None` if it is missing.
    pub fn text(&self, slot: Slot) -> Option<String> {
        match slot {
            Slot::Value(at) => Some(self.values.text(at)),
            Slot::Missing | Slot::Empty => None,
        }
    }
}

/// Whether whole numbers of a column are stored without a sign.
fn is_unsigned(leaf: &ColumnDescriptor) -> bool {
    match leaf.logical_type_ref() {
        Some(LogicalType::Integer(kind)) => !kind.is_signed,
        _ => matches!(
            leaf.converted_type(),
            ConvertedType::UINT_8
                | ConvertedType::UINT_16
                | ConvertedType::UINT_32
                | ConvertedType::UINT_64
        ),
    }
}

/// The type of the numbers of a column; `None` if its values are no numbers.
fn element(leaf: &ColumnDescriptor) -> Option<ElementType> {
    let letter = if is_unsigned(leaf) { 'u' } else { 'i' };
    let bits = match (leaf.logical_type_ref(), leaf.converted_type()) {
        (Some(LogicalType::Integer(kind)), _) => kind.bit_width,
        (Some(LogicalType::Float16), _) if leaf.type_length() == 2 => {
            return ElementType::new('f', 2, false);
        }
        // A column without any value.
        (Some(LogicalType::Unknown), _) => return ElementType::new('f', 4, false),
        (Some(_), _) => return None,
        (None, ConvertedType::INT_8 | ConvertedType::UINT_8) => 8,
        (None, ConvertedType::INT_16 | ConvertedType::UINT_16) => 16,
        (None, ConvertedType::INT_32 | ConvertedType::UINT_32) => 32,
        (None, ConvertedType::INT_64 | ConvertedType::UINT_64) => 64,
        (None, ConvertedType::NONE) => match leaf.physical_type() {
            Physical::BOOLEAN => return ElementType::new('u', 1, false),
            Physical::FLOAT => return ElementType::new('f', 4, false),
            Physical::DOUBLE => return ElementType::new('f', 8, false),
            Physical::INT32 => 32,
            Physical::INT64 => 64,
            _ => return None,
        },
        (None, _) => return None,
    };
    ElementType::new(letter, usize::try_from(bits).ok()? / 8, false)
}
