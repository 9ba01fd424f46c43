//! Files compressed by gzip.

use flate2::read::GzDecoder;
use std::io::{self, Read};

/// The bytes that a gzip file holds.
pub fn unpack(file: &[u8]) -> io::Result<Vec<u8>> {
    let mut plain = Vec::new();
    GzDecoder::new(file).read_to_end(&mut plain)?;
    Ok(plain)
}
