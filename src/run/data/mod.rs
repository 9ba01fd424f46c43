//! Data sets: rows of a model's variables, from files or from memory.

mod source;
mod element;
mod memory;
mod bytes;
mod dense;
#[cfg_attr(
    not(any(feature = "npz", feature = "h5ad")),
    allow(dead_code, reason = "no reader")
)]
mod csc;
mod csr;
mod stored;
mod table;
mod checks;
mod bits;
mod origin;
mod parts;
mod names;
mod values;
mod tables;
mod labels;
#[cfg(feature = "gzip")]
mod gzip;
mod idx;
mod tensors;
#[cfg(feature = "npz")]
mod npy;
#[cfg(feature = "npz")]
mod npz;
#[cfg(feature = "npz")]
mod matrices;
mod columns;
mod layout;
mod frame;
#[cfg(feature = "csv")]
mod csv;
#[cfg(feature = "images")]
mod image;
#[cfg(feature = "images")]
mod images;
#[cfg(feature = "parquet")]
mod parquet_values;
#[cfg(feature = "parquet")]
mod parquet_file;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "h5ad")]
mod hdf5;
#[cfg(feature = "h5ad")]
mod h5ad;
mod data_files;
mod load;
mod sizes;
mod dataset;
mod split;
mod moments;
pub mod findings;

pub use bits::Bits;
pub use checks::{check_classes, check_field, check_source, check_values, label_classes, width};
pub use columns::{ColumnSummary, TableSummary, summary_of_arrays};
pub use data_files::DataFiles;
pub use dataset::Dataset;
pub use element::ElementType;
pub use frame::Frame;
pub use labels::{KnownLabels, LabelCounts};
pub use load::{column, columns, load, read_arrays, whole_path};
pub use memory::{Memory, MemoryArray};
pub use moments::{Feature, features};
pub use origin::{RowOrigin, TableFile};
pub use sizes::{sizes, sizes_of_arrays, sizes_of_frame};
pub use source::{Field, RowView, Source, chunks};
pub use split::{Split, split};
pub use stored::Stored;
pub use table::{Column, Table, Values};
pub use tables::{ClassNames, ColumnNames, DataArray, KnownNames, Numbers, Tables};
pub use values::ColumnValues;
