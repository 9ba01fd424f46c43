//! What a run writes for people to look at: learning curves, and events for TensorBoard.

use crate::common::{
    program::fine,
    tiny::{self, metrics, options, train, train_until},
};

use dgc::{DataPlace, Device, Options, ResumeOptions, Trainer};
use std::{path::Path, process::Command};

/// Prints `step tag value` for each scalar of an event file, from its bytes alone. Checksums are
/// computed with a table, and fields are read by their tags.
const PARSER: &str = r#"
import struct, sys

table = []
for byte in range(256):
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    table.append(byte)

def masked(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF

def varint(data, at):
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 128:
            return number, at

def fields(data):
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        else:
            size = {1: 8, 5: 4}.get(kind)
            if size is None:
                size, at = varint(data, at)
            value, at = data[at:at + size], at + size
        yield tag >> 3, value

data, at, records = open(sys.argv[1], "rb").read(), 0, 0
while at < len(data):
    (length, check), at = struct.unpack_from("<QI", data, at), at + 12
    assert check == masked(data[at - 12:at - 4]), "length"
    event = data[at:at + length]
    assert struct.unpack_from("<I", data, at + length)[0] == masked(event), "data"
    at, records, found = at + length + 4, records + 1, dict(fields(event))
    if records == 1:
        assert found[3] == b"brain.Event:2", found
    assert struct.unpack("<d", found[1])[0] > 1.6e9, "a time"
    for _, value in fields(found.get(5, b"")):
        value = dict(fields(value))
        print(found[2], value[1].decode().replace(" ", "_"), repr(struct.unpack("<f", value[2])[0]))
"#;

/// The scalars of a run's events: steps, tags and values. `None` without python3.
fn scalars(run: &Path) -> Option<Vec<(u64, String, f64)>> {
    let output = Command::new("python3")
        .args(["-c", PARSER])
        .arg(run.join("events.out.tfevents.dgc"))
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            eprintln!("SKIPPED: python3 cannot be started: {error}");
            return None;
        }
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let scalar = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let [step, tag, value] = words[..] else {
            panic!("{line}")
        };
        (
            step.parse().expect("a step"),
            tag.to_string(),
            value.parse().expect("a number"),
        )
    };
    Some(text.lines().map(scalar).collect())
}

fn begin(run: &Path, tensorboard: bool) -> dgc::Result<Trainer> {
    let model = tiny::model();
    let options = Options {
        tensorboard,
        ..options(run.to_path_buf())
    };
    Trainer::new(&model, &tiny::data(&model), options)
}

fn resume(run: &Path, tensorboard: bool) -> dgc::Result<Trainer> {
    let options = ResumeOptions {
        data: Some(DataPlace::Loaded(tiny::data(&tiny::model()))),
        device: Some(Device::cpu(1)),
        tensorboard,
        ..ResumeOptions::default()
    };
    Trainer::resume(run, options)
}

#[test]
fn events_have_each_number_of_each_epoch_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (run, late) = (folder.path().join("run"), folder.path().join("late"));
    train_until(begin(&run, true), 10);
    // A killed run has events of an epoch that its checkpoint lacks, and a part of a record.
    let path = run.join("events.out.tfevents.dgc");
    let stopped = std::fs::read(&path).expect("events");
    drop(train(resume(&run, false)));
    let whole = std::fs::read(&path).expect("events");
    assert!(whole.starts_with(&stopped), "events are appended");
    let again = folder.path().join("again");
    train_until(begin(&again, true), 10);
    std::fs::write(
        again.join("events.out.tfevents.dgc"),
        &whole[..whole.len() - 3],
    )
    .expect("a file");
    train(resume(&again, false));
    // A run that begins to write events later has all epochs.
    train_until(begin(&late, false), 10);
    assert!(!late.join("events.out.tfevents.dgc").exists());
    train(resume(&late, true));
    for run in [&run, &again, &late] {
        let Some(found) = scalars(run) else {
            return;
        };
        let epochs = metrics(run);
        assert_eq!(epochs.len(), 4);
        let steps: Vec<u64> = found.iter().map(|(step, ..)| *step).collect();
        assert!(steps.is_sorted(), "{steps:?}");
        for epoch in &epochs {
            let step = epoch["step"].as_u64().expect("a step");
            for (tag, wanted) in [
                ("epoch", &epoch["epoch"]),
                ("loss", &epoch["loss"]),
                ("test/error", &epoch["test"]["error"]),
                ("test/log_loss", &epoch["test"]["log loss"]),
                ("test/active/z", &epoch["test"]["active"]["z"]),
                ("labelled/bound", &epoch["labelled"]["bound"]),
            ] {
                let is_it = |found: &&(u64, String, f64)| found.0 == step && found.1 == tag;
                let values: Vec<f64> = found
                    .iter()
                    .filter(is_it)
                    .map(|(.., value)| *value)
                    .collect();
                let wanted = wanted.as_f64().expect("a number");
                assert_eq!(values.len(), 1, "{tag} at step {step}");
                assert!(
                    (values[0] - wanted).abs() <= 1e-6 * wanted.abs(),
                    "{tag}: {values:?}"
                );
            }
        }
    }
}

#[test]
fn a_run_has_its_learning_curves() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    tiny::write(at);
    let begin = [
        "train",
        "tiny.dgm",
        "--data",
        "data.safetensors",
        "--validation",
        "0.25",
    ];
    fine(
        at,
        &[&begin[..], &["--criterion", "error", "-o", "run"]].concat(),
    );
    let read = || std::fs::read_to_string(at.join("run/curves.svg")).expect("a picture");
    let picture = read();
    for text in [
        "bound, nats per row",
        "error, %",
        "log loss of labels, nats",
        ">training<",
        ">validation<",
        ">training, labelled<",
        "best epoch: ",
    ] {
        assert!(picture.contains(text), "{text}: {picture}");
    }
    assert!(picture.contains("prefers-color-scheme: dark") && !picture.contains("script"));
    let points = |picture: &str| {
        let (_, rest) = picture.split_once("points=\"").expect("a line");
        rest.split('"').next().expect("points").split(' ').count()
    };
    assert_eq!(points(&picture), 4);
    fine(at, &["train", "run", "--resume", "--epochs", "6"]);
    assert_eq!(points(&read()), 6);
}
