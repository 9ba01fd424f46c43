//! The metrics of a run, `metrics.jsonl`: a line of JSON for each epoch.
//!
//! Epochs are logged before the checkpoint of the last of them is written. So a killed run may have
//! logged epochs that its checkpoint lacks, and the last line may be incomplete. Resuming removes both.

use crate::{
    error::{Error, Result},
    files::{self, write_whole},
    note::Note,
};
use serde_json::Value;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The metrics file of a run.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
}

/// The epoch of a line.
fn epoch(line: &str) -> Option<u64> {
    let metrics: Value = serde_json::from_str(line).ok()?;
    metrics["epoch"].as_u64()
}

impl Log {
    /// The log in a file, which may not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Log { path }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the metrics of epochs, and waits once until they are on the disk.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&self, epochs: &[Value]) -> Result<()> {
        let lines: String = epochs.iter().map(|epoch| format!("{epoch}\n")).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let failed = |error: io::Error| Error::file(&self.path, "cannot be written", error);
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)
            .map_err(failed)?;
        file.write_all(lines.as_bytes())
            .and_then(|()| file.sync_data())
            .map_err(failed)
    }

    /// The metrics of each epoch that was logged whole.
    ///
    /// # Errors
    /// If a complete line is not the metrics of an epoch, or the file cannot be read.
    pub fn epochs(&self) -> Result<Vec<Value>> {
        let bytes = self.bytes()?;
        let lines = bytes.split_inclusive(|byte| *byte == b'\n').enumerate();
        let whole = lines.filter(|(_, line)| line.ends_with(b"\n"));
        whole
            .map(
                |(index, line)| match serde_json::from_slice::<Value>(line) {
                    Ok(metrics) if metrics["epoch"].is_u64() => Ok(metrics),
                    _ => Err(self.unreadable(index + 1, line)),
                },
            )
            .collect()
    }

    /// The contents of the file; nothing if there is none.
    fn bytes(&self) -> Result<Vec<u8>> {
        match files::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read.map_err(|error| Error::file(&self.path, "cannot be read", error)),
        }
    }

    /// Whether an epoch was logged.
    pub fn has_epochs(&self) -> bool {
        files::read(&self.path).is_ok_and(|bytes| bytes.contains(&b'\n'))
    }

    /// Removes the metrics of epochs after `last`, the last epoch of the checkpoint; a resumed run
    /// logs them anew. Returns a note if metrics of earlier epochs are missing.
    ///
    /// # Errors
    /// If a complete line is not the metrics of an epoch, or the file cannot be read or written.
    pub fn truncate(&self, last: u64) -> Result<Option<Note>> {
        let bytes = self.bytes()?;
        let complete = bytes.iter().rposition(|byte| *byte == b'\n');
        let complete = complete.map_or(0, |at| at + 1);
        let mut kept = String::new();
        let mut found = 0;
        for (index, line) in bytes[..complete]
            .split_inclusive(|byte| *byte == b'\n')
            .enumerate()
        {
            let text = std::str::from_utf8(line).ok();
            let (Some(text), Some(number)) = (text, text.and_then(epoch)) else {
                return Err(self.unreadable(index + 1, line));
            };
            if number <= last {
                kept += text;
                found = number;
            }
        }
        if kept.as_bytes() != bytes {
            write_whole(&self.path, kept.as_bytes())?;
        }
        let path = self.path.display();
        Ok((found < last).then(|| {
            Note::new(format!(
                "{path}: the checkpoint is of epoch {last}, but the last epoch logged is {found}"
            ))
        }))
    }

    fn unreadable(&self, line: usize, bytes: &[u8]) -> Error {
        let text: String = String::from_utf8_lossy(bytes)
            .trim_end()
            .chars()
            .take(40)
            .collect();
        let message = format!(
            "{}: line {line}: expected the metrics of an epoch as JSON, found {text:?}",
            self.path.display()
        );
        Error::data(message).help("restore the file from a copy, or delete the line")
    }
}
