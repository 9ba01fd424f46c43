//! The metrics of a run as events for TensorBoard: a scalar for each number of each epoch, at its
//! step.
//!
//! The file is a sequence of records, as TensorFlow writes them: the length of the data, a checksum of
//! the length, the data, and a checksum of the data. The data are the fields of the message `Event` in
//! the encoding of Protocol Buffers. Records are only appended, because TensorBoard reads on where it
//! stopped; a resumed run first cuts those that its log lacks.

use crate::error::{Error, Result};
use serde_json::Value;
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// What the first record says.
const VERSION: &str = "brain.Event:2";

/// The event file of a run.
#[derive(Clone, Debug)]
pub struct Events {
    path: PathBuf,
}

impl Events {
    /// The events in a file, which may not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Events { path }
    }

    /// Cuts records that are broken or of later steps than the last of `epochs`, and adds those of
    /// epochs that the file lacks, so that it has each of `epochs` once.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn complete(&self, epochs: &[Value]) -> Result<()> {
        let failed = |error: io::Error| Error::file(&self.path, "cannot be written", error);
        let mut file = fs::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(failed)?;
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes).map_err(failed)?;
        let last = epochs.last().map_or(0, step_of);
        let (kept, step) = whole_records(&bytes, last);
        let mut records = Vec::new();
        if kept == 0 {
            let mut event = event(0);
            put_bytes(&mut event, 3, VERSION.as_bytes());
            records.extend(record(&event));
        }
        for metrics in epochs.iter().filter(|metrics| step_of(metrics) > step) {
            records.extend(record(&summary(metrics)));
        }
        file.set_len(kept as u64)
            .and_then(|()| io::Seek::seek(&mut file, io::SeekFrom::Start(kept as u64)))
            .and_then(|_| file.write_all(&records))
            .map_err(failed)
    }

    /// Appends an epoch.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&self, metrics: &Value) -> Result<()> {
        let failed = |error: io::Error| Error::file(&self.path, "cannot be written", error);
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(&self.path)
            .map_err(failed)?;
        file.write_all(&record(&summary(metrics))).map_err(failed)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn step_of(metrics: &Value) -> u64 {
    metrics["step"].as_u64().unwrap_or(0)
}

/// The bytes of whole records up to a step, and the last step among them.
fn whole_records(bytes: &[u8], last: u64) -> (usize, u64) {
    let (mut kept, mut step) = (0, 0);
    while let Some(data) = first_record(&bytes[kept..]) {
        let found = step_in(data).unwrap_or(0);
        if found > last {
            break;
        }
        step = step.max(found);
        kept += data.len() + 16;
    }
    (kept, step)
}

/// The data of the first record; `None` if it is not whole.
fn first_record(bytes: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let len = bytes.get(..8)?;
    if word(8)? != masked_checksum(len) {
        return None;
    }
    let len = usize::try_from(u64::from_le_bytes(len.try_into().ok()?)).ok()?;
    let end = len.checked_add(12)?;
    let data = bytes.get(12..end)?;
    (word(end)? == masked_checksum(data)).then_some(data)
}

/// The step of an event: its field 2, behind the eight bytes of field 1.
fn step_in(event: &[u8]) -> Option<u64> {
    let (tag, digits) = event.get(9..)?.split_first()?;
    let mut step = 0u64;
    for (at, digit) in digits.iter().enumerate().take(10) {
        step |= u64::from(digit & 0x7f).checked_shl(7 * at as u32)?;
        if digit & 0x80 == 0 {
            return (*tag == 0x10).then_some(step);
        }
    }
    None
}

/// The event of an epoch.
fn summary(metrics: &Value) -> Vec<u8> {
    let mut values = Vec::new();
    add_scalars(&mut values, "", metrics);
    let mut event = event(step_of(metrics));
    put_bytes(&mut event, 5, &values);
    event
}

/// Adds a value for each number, named by its path: `validation/error`.
fn add_scalars(values: &mut Vec<u8>, path: &str, metrics: &Value) {
    for (name, found) in metrics.as_object().into_iter().flatten() {
        let tag = match path {
            "" => name.clone(),
            path => format!("{path}/{name}"),
        };
        if let Some(number) = found.as_f64() {
            let mut value = Vec::new();
            put_bytes(&mut value, 1, tag.as_bytes());
            value.push((2 << 3) | 5);
            value.extend((number as f32).to_le_bytes());
            put_bytes(values, 1, &value);
        }
        add_scalars(values, &tag, found);
    }
}

/// The beginning of an event: the time in seconds, and the step.
fn event(step: u64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut event = vec![(1 << 3) | 1];
    event.extend(now.map_or(0.0, |now| now.as_secs_f64()).to_le_bytes());
    event.push(2 << 3);
    put_varint(&mut event, step);
    event
}

/// A field of bytes: text, or another message.
fn put_bytes(message: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    message.push((field << 3) | 2);
    put_varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

fn record(data: &[u8]) -> Vec<u8> {
    let len = (data.len() as u64).to_le_bytes();
    let checksum = |bytes: &[u8]| masked_checksum(bytes).to_le_bytes();
    [&len[..], &checksum(&len), data, &checksum(data)].concat()
}

/// The checksum of a record: CRC-32C, rotated and shifted, since data may contain checksums.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let low = crc & 1;
            (crc >> 1) ^ (low * 0x82f6_3b78)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The values of RFC 3720, appendix B.4.
    #[test]
    fn the_checksum_is_crc_32c() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    fn epoch(number: u64) -> Value {
        json!({ "epoch": number, "step": 300 * number, "test": { "error": 0.5, "rows": 7 } })
    }

    /// The steps of the records behind the first.
    fn steps(path: &Path) -> Vec<u64> {
        let bytes = fs::read(path).expect("events");
        let (mut at, mut steps) = (0, Vec::new());
        while let Some(data) = first_record(&bytes[at..]) {
            steps.push(step_in(data).expect("a step"));
            at += data.len() + 16;
        }
        assert_eq!((at, steps.remove(0)), (bytes.len(), 0));
        steps
    }

    #[test]
    fn each_epoch_is_there_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let events = Events::new(folder.path().join("events"));
        let epochs: Vec<Value> = (1..=4).map(epoch).collect();
        events.complete(&[]).expect("a file");
        epochs
            .iter()
            .for_each(|epoch| events.append(epoch).expect("a file"));
        let whole = fs::read(events.path()).expect("events");
        assert_eq!(steps(events.path()), [300, 600, 900, 1200]);
        // A run goes on from an earlier checkpoint, after a record was cut off anywhere.
        for len in [0, 5, 60, whole.len() - 1, whole.len()] {
            fs::write(events.path(), &whole[..len]).expect("a file");
            events.complete(&epochs[..2]).expect("a file");
            assert_eq!(steps(events.path()), [300, 600], "{len}");
            epochs[2..]
                .iter()
                .for_each(|epoch| events.append(epoch).expect("a file"));
            assert_eq!(steps(events.path()), [300, 600, 900, 1200], "{len}");
        }
        // Whatever is no record is replaced.
        fs::write(events.path(), "no events").expect("a file");
        events.complete(&epochs).expect("a file");
        assert_eq!(steps(events.path()), [300, 600, 900, 1200]);
    }
}
