//! Result tables as Parquet files.

use super::{ResultTable, RowResult, Values};
use crate::error::{Error, Result};
use parquet::{
    basic::{Compression, LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, FloatType, Int64Type},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::Type,
};
use std::sync::Arc;

/// A column of the file.
struct Column<'t> {
    name: &'t str,
    values: ColumnValues<'t>,
}

enum ColumnValues<'t> {
    Whole(Vec<Option<i64>>),
    /// Each `width`-th number from `first` on.
    Single {
        numbers: &'t [f32],
        first: usize,
        width: usize,
    },
    Text(Vec<Option<String>>),
}

/// The contents of a file with the columns that a CSV file has. Classes are texts if they have names, else
/// whole numbers. Unknown classes and numbers are null.
pub fn to_bytes(table: &ResultTable) -> Result<Vec<u8>> {
    let header = table.key_columns();
    let draws = table.draws.unwrap_or(1);
    // Each row has a line for each of its draws.
    let lines = || (0..table.numbers.len() * draws).map(|line| (line / draws, line % draws));
    let keys: [Vec<Option<i64>>; 2] = [
        lines()
            .map(|(row, _)| Some(table.numbers[row] as i64))
            .collect(),
        lines().map(|(_, draw)| Some(draw as i64)).collect(),
    ];
    let keys = header.iter().zip(keys).map(|(name, numbers)| Column {
        name,
        values: ColumnValues::Whole(numbers),
    });
    let mut columns: Vec<Column> = keys.collect();
    for result in &table.results {
        columns.extend(columns_of(result, draws));
    }
    write(&columns).map_err(|error| Error::new(format!("results as Parquet: {error}")))
}

fn columns_of(result: &RowResult, draws: usize) -> Vec<Column<'_>> {
    let width = result.columns.len();
    let column = |(at, name)| Column {
        name,
        values: match &result.values {
            Values::Numbers(numbers) => ColumnValues::Single {
                numbers,
                first: at,
                width,
            },
            Values::Classes(classes, names) => {
                let class = |&class: &i64| usize::try_from(class).ok();
                let classes = classes.iter().map(class);
                match names.is_empty() {
                    true => {
                        let whole = |class: Option<usize>| class.map(|class| class as i64);
                        ColumnValues::Whole(classes.map(whole).collect())
                    }
                    false => {
                        let name = |class: usize| super::class_name(names, class);
                        ColumnValues::Text(classes.map(|class| class.map(name)).collect())
                    }
                }
            }
            Values::Texts(texts) | Values::Files(texts) => {
                let repeated = texts
                    .iter()
                    .flat_map(|text| std::iter::repeat_n(text, draws));
                ColumnValues::Text(repeated.cloned().map(Some).collect())
            }
        },
    };
    let names = result.columns.iter().map(String::as_str);
    names.enumerate().map(column).collect()
}

/// Writes the columns, compressed by Snappy as most programs do.
fn write(columns: &[Column]) -> std::result::Result<Vec<u8>, ParquetError> {
    let fields = columns.iter().map(|column| column.schema().map(Arc::new));
    let fields: std::result::Result<Vec<_>, _> = fields.collect();
    let schema = Type::group_type_builder("schema")
        .with_fields(fields?)
        .build()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let properties = Arc::new(properties.build());
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), properties)?;
    let mut group = writer.next_row_group()?;
    for column in columns {
        let mut place = group.next_column()?.expect("the schema has each column");
        match &column.values {
            ColumnValues::Whole(values) => {
                let (present, levels) = split(values, |value| *value);
                place
                    .typed::<Int64Type>()
                    .write_batch(&present, Some(&levels), None)?;
            }
            &ColumnValues::Single {
                numbers,
                first,
                width,
            } => {
                let column = numbers.iter().skip(first).step_by(width);
                let column = column.map(|&number| Some(number).filter(|number| !number.is_nan()));
                let (present, levels) = split(&column.collect::<Vec<_>>(), |number| *number);
                place
                    .typed::<FloatType>()
                    .write_batch(&present, Some(&levels), None)?;
            }
            ColumnValues::Text(values) => {
                let (present, levels) = split(values, |text| ByteArray::from(text.as_str()));
                place
                    .typed::<ByteArrayType>()
                    .write_batch(&present, Some(&levels), None)?;
            }
        }
        place.close()?;
    }
    group.close()?;
    writer.into_inner()
}

/// The values that are not missing, and for each value whether it is there.
fn split<T, U>(values: &[Option<T>], convert: impl Fn(&T) -> U) -> (Vec<U>, Vec<i16>) {
    let present = values.iter().flatten().map(convert).collect();
    let levels = values.iter().map(|value| i16::from(value.is_some()));
    (present, levels.collect())
}

impl Column<'_> {
    fn schema(&self) -> std::result::Result<Type, ParquetError> {
        let (physical, logical, repetition) = match self.values {
            ColumnValues::Whole(_) => (Physical::INT64, None, Repetition::OPTIONAL),
            ColumnValues::Single { .. } => (Physical::FLOAT, None, Repetition::OPTIONAL),
            ColumnValues::Text(_) => (
                Physical::BYTE_ARRAY,
                Some(LogicalType::String),
                Repetition::OPTIONAL,
            ),
        };
        Type::primitive_type_builder(self.name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition)
            .build()
    }
}
