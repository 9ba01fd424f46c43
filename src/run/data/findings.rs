//! Notes about a data set: what is worth knowing before a model is trained on it.

use super::dataset::Dataset;
use crate::note::Note;
use std::path::Path;

/// The notes about how a data set was named and which of its arrays are used.
pub fn of_name(dataset: &Dataset) -> Vec<Note> {
    let mut notes = Vec::new();
    if dataset.name() == Some("mnist") && Path::new("mnist").exists() {
        notes.push(
            Note::new(
                "data: `mnist` is the bundled excerpt; the folder or file `mnist` is not read",
            )
            .help("name the folder as `./mnist`"),
        );
    }
    let others: Vec<String> = dataset
        .others()
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    if !others.is_empty() {
        let others = others.join(", ");
        notes.push(Note::new(format!(
            "data: the model does not use {others}, which the data set also has"
        )));
    }
    notes
}
