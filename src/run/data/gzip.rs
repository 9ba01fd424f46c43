//! Files compressed by gzip.

use crate::files::read_expanded;
use flate2::read::GzDecoder;
use std::io;

/// The bytes that a gzip file holds.
pub fn unpack(file: &[u8]) -> io::Result<Vec<u8>> {
    read_expanded(GzDecoder::new(file), file.len() as u64)
}
