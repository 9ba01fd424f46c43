//! Reading checkpoints: parameters and optimiser state by name, and the position in training.

use super::{arrays::NamedArray, session::Session};
use crate::error::{Error, Result};
use std::{collections::HashMap, path::Path};

/// The version of checkpoints that this program reads and writes.
pub const FORMAT: u64 = 2;
/// The metadata entry with a checkpoint's format and position, as JSON.
pub const METADATA: &str = "checkpoint";

/// The arrays of a checkpoint by name.
pub fn by_name(stored: &[NamedArray]) -> HashMap<&str, &NamedArray> {
    stored
        .iter()
        .map(|array| (array.name.as_str(), array))
        .collect()
}

/// Finds a parameter's array in a checkpoint.
///
/// # Errors
/// If the checkpoint has no such array, or it has another shape.
pub fn find<'a>(
    stored: &HashMap<&str, &'a NamedArray>,
    name: &str,
    shape: &[usize],
    path: &Path,
) -> Result<&'a NamedArray> {
    let found = stored
        .get(name)
        .copied()
        .filter(|found| found.shape == shape);
    found.ok_or_else(|| {
        let message = format!(
            "{}: expected a parameter `{name}` with shape {shape:?}, found none",
            path.display()
        );
        let generates =
            name.starts_with("from.") && stored.keys().any(|stored| stored.starts_with("from."));
        Error::data(message).help(if generates {
            "an earlier version of dgc started the run and did not store the parameters that \
             generate its data; train the model anew"
        } else {
            "the checkpoint belongs to another model, or to a model with other sizes"
        })
    })
}

/// Fills a session's parameters from a checkpoint, and returns its position in training.
///
/// # Errors
/// If the checkpoint has another format, or lacks a parameter.
pub fn read_parameters(
    session: &mut Session,
    stored: &[NamedArray],
    metadata: &HashMap<String, String>,
    path: &Path,
) -> Result<serde_json::Value> {
    let position: serde_json::Value = metadata
        .get(METADATA)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    if position["format"] != FORMAT {
        let message = format!(
            "{}: expected a checkpoint of this version of dgc",
            path.display()
        );
        return Err(Error::data(message).help("name a run that this version of dgc wrote"));
    }
    let by_name = by_name(stored);
    for entry in session.layout.entries.clone() {
        let found = find(&by_name, &entry.parameter.name, &entry.shape, path)?;
        session.set(session.parameters, &entry, &found.data)?;
    }
    Ok(position)
}
