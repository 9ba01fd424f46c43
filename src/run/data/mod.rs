//! Data sets: rows of a model's variables, from files or from memory.

mod source;
#[cfg_attr(
    not(any(feature = "npz", feature = "h5ad")),
    allow(dead_code, reason = "no reader")
)]
mod element;
#[cfg_attr(
    not(any(feature = "npz", feature = "h5ad")),
    allow(dead_code, reason = "no reader")
)]
mod bytes;
mod dense;
#[cfg_attr(
    not(any(feature = "npz", feature = "h5ad")),
    allow(dead_code, reason = "no reader")
)]
mod csr;
mod stored;
mod table;
mod checks;
mod bits;
mod table_file;
mod tables;
mod labels;
#[cfg(feature = "gzip")]
mod gzip;
mod idx;
#[cfg(feature = "npz")]
mod npy;
#[cfg(feature = "npz")]
mod npz;
#[cfg(feature = "npz")]
mod matrices;
mod columns;
#[cfg(feature = "csv")]
mod csv;
#[cfg(feature = "h5ad")]
mod hdf5;
#[cfg(feature = "h5ad")]
mod h5ad;
mod load;
mod sizes;
mod dataset;
mod split;
mod moments;
pub mod findings;

pub use bits::Bits;
pub use checks::{check_classes, check_field, check_source, check_values, label_classes, width};
pub use columns::{ColumnSummary, TableSummary};
pub use dataset::Dataset;
pub use labels::{KnownLabels, LabelCounts};
pub use load::{column, columns, load, read_arrays, whole_path};
pub use moments::{Feature, features};
pub use sizes::sizes;
pub use source::{Field, RowView, Source, chunks};
pub use split::{Split, split};
pub use stored::Stored;
pub use table::{Column, Table, Values};
pub use table_file::TableFile;
pub use tables::{ClassNames, ColumnNames, DataArray, KnownNames, Numbers, Tables};
