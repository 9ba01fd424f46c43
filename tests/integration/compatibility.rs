//! Runs that earlier programs made still evaluate and resume, and give the same numbers.
//!
//! `tests/fixtures` holds a run of each kind as `dgc train` left it, with what that program printed
//! of it and what it logged when the run went on for an epoch; `tests/fixtures/record` made them.
//! The numbers that depend on the noise of evaluation (bounds, encodings, probabilities of labels that
//! read samples) were recorded again when that noise was keyed by the rows' values.
//! Processors with other vector instructions round sums differently, so numbers are compared within
//! a hundred-thousandth. On the machine that made the fixtures they are equal to the last bit.

use crate::common;

use common::program::{fails, fine};
use std::{collections::BTreeMap, path::Path};

/// A fixture's folder in a temporary one, beside the data.
struct Fixture {
    folder: tempfile::TempDir,
    expected: std::path::PathBuf,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let fixtures = common::root().join("tests/fixtures");
        let folder = tempfile::tempdir().expect("a temporary folder");
        copy(&fixtures.join(name).join("run"), &folder.path().join("run"));
        copy(&fixtures.join("data.npz"), &folder.path().join("data.npz"));
        Fixture {
            folder,
            expected: fixtures.join(name).join("expected"),
        }
    }

    /// Runs a command on the run, with its data where they lie now.
    fn fine(&self, command: &str, more: &[&str]) -> String {
        let common = [command, "run", "--data", "data.npz", "--device", "cpu"];
        fine(self.folder.path(), &[&common, more].concat())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn expected(&self, name: &str) -> String {
        std::fs::read_to_string(self.expected.join(name)).expect("the fixture holds the file")
    }
}

/// Copies a file, or a folder of files.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).expect("a file can be copied");
        return;
    }
    std::fs::create_dir(to).expect("a folder can be made");
    for entry in std::fs::read_dir(from).expect("the fixture can be listed") {
        let path = entry.expect("an entry can be read").path();
        copy(
            &path,
            &to.join(path.file_name().expect("a file has a name")),
        );
    }
}

/// The arrays of an npz file by name.
fn arrays(path: &Path) -> BTreeMap<String, ndarray::ArrayD<f64>> {
    let file = std::fs::File::open(path).expect("a file");
    let mut reader = ndarray_npy::NpzReader::new(file).expect("an npz file");
    let names = reader.names().expect("names").into_iter();
    let mut read = |name: String| {
        let floats = reader.by_name::<ndarray::OwnedRepr<f32>, ndarray::IxDyn>(&name);
        let array = floats
            .map(|array| array.mapv(f64::from))
            .unwrap_or_else(|_| {
                let numbers = reader.by_name::<ndarray::OwnedRepr<i64>, ndarray::IxDyn>(&name);
                numbers.expect("whole numbers").mapv(|x| x as f64)
            });
        (name, array)
    };
    names.map(&mut read).collect()
}

fn is_close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-5 * expected.abs().max(1.0)
}

/// That two JSON values are alike, up to rounding and to what depends on the machine's speed. The
/// later program may say more.
fn assert_alike(place: &str, found: &serde_json::Value, expected: &serde_json::Value) {
    use serde_json::Value;
    match expected {
        Value::Object(fields) => {
            let timed = ["seconds", "rows_per_second"];
            for (name, expected) in fields {
                if !timed.contains(&name.as_str()) {
                    assert_alike(&format!("{place}.{name}"), &found[name], expected);
                }
            }
        }
        Value::Array(items) => {
            let found = found
                .as_array()
                .unwrap_or_else(|| panic!("{place}: {found}"));
            assert_eq!(found.len(), items.len(), "{place}");
            for (index, (found, expected)) in found.iter().zip(items).enumerate() {
                assert_alike(&format!("{place}[{index}]"), found, expected);
            }
        }
        Value::Number(number) => {
            let (found, expected) = (found.as_f64(), number.as_f64().expect("a finite number"));
            assert!(
                found.is_some_and(|found| is_close(found, expected)),
                "{place}: {found:?} instead of {expected}"
            );
        }
        other => assert_eq!(found, other, "{place}"),
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("JSON")
}

/// That two CSV files have the same rows and labels, and close probabilities.
fn assert_same_predictions(found: &str, expected: &str) {
    assert_eq!(found.lines().count(), expected.lines().count());
    for (found, expected) in found.lines().zip(expected.lines()) {
        for (found, expected) in found.split(',').zip(expected.split(',')) {
            let is_alike = match (found.parse(), expected.parse()) {
                (Ok(found), Ok(expected)) => is_close(found, expected),
                _ => found == expected,
            };
            assert!(is_alike, "{found} instead of {expected}");
        }
    }
}

/// That a run evaluates, predicts, encodes and resumes as it did.
fn goes_on(name: &str, predicts: bool, encodes: bool) {
    let fixture = Fixture::new(name);
    let found = fixture.fine("eval", &["--json"]);
    assert_alike("eval", &json(&found), &json(&fixture.expected("eval.json")));
    if predicts {
        fixture.fine("predict", &["-o", "predict.csv"]);
        let found = std::fs::read_to_string(fixture.path("predict.csv")).expect("predictions");
        assert_same_predictions(&found, &fixture.expected("predict.csv"));
    }
    if encodes {
        fixture.fine("encode", &["-o", "encode.npz"]);
        let found = arrays(&fixture.path("encode.npz"));
        let expected = arrays(&fixture.expected.join("encode.npz"));
        assert!(found.keys().eq(expected.keys()), "the same arrays");
        for ((name, found), expected) in found.iter().zip(expected.values()) {
            let mut pairs = found.iter().zip(expected);
            assert_eq!(found.shape(), expected.shape(), "{name}");
            assert!(pairs.all(|(a, b)| is_close(*a, *b)), "{name}");
        }
    }
    fixture.fine("train", &["--resume", "--set", "epochs=3"]);
    let log = std::fs::read_to_string(fixture.path("run/metrics.jsonl")).expect("a log");
    assert_eq!(log.lines().count(), 3, "{log}");
    let last = log.lines().last().expect("a line");
    assert_alike(
        "epoch 3",
        &json(last),
        &json(&fixture.expected("resumed.json")),
    );
}

#[test]
fn a_run_with_labels_goes_on() {
    goes_on("labelled", true, true);
}

#[test]
fn a_run_without_labels_goes_on() {
    goes_on("unlabelled", false, true);
}

#[test]
fn a_stacked_run_goes_on() {
    goes_on("stacked", true, true);
}

/// The run resumes with the program of the steady state: its weight of VAT has fallen to 0.
#[test]
fn a_run_in_its_steady_state_goes_on() {
    goes_on("smooth", true, true);
}

#[test]
fn a_classifier_goes_on() {
    goes_on("classifier", true, false);
}

/// A run of before that was killed in its first epoch begins anew, and logs each epoch once.
#[test]
fn a_run_without_a_checkpoint_goes_on() {
    let fixture = Fixture::new("unlabelled");
    let checkpoint = fixture.path("run/checkpoint.safetensors");
    std::fs::remove_file(&checkpoint).expect("it is there");
    fixture.fine("train", &["--resume"]);
    let log = std::fs::read_to_string(fixture.path("run/metrics.jsonl")).expect("a log");
    let epochs: Vec<_> = log
        .lines()
        .map(|line| json(line)["epoch"].as_u64())
        .collect();
    assert_eq!(epochs, [Some(1), Some(2)]);
    assert!(checkpoint.exists());
    // From now on it has what a run of this version has.
    let settings = std::fs::read_to_string(fixture.path("run/settings.json")).expect("settings");
    assert_eq!(json(&settings)["format"], 2);
    assert_eq!(json(&settings)["edition"], 1);
    let stacked = Fixture::new("stacked");
    std::fs::remove_file(stacked.path("run/checkpoint.safetensors")).expect("it is there");
    let resume = ["train", "run", "--data", "data.npz", "--resume"];
    let message = fails(stacked.folder.path(), &resume);
    assert!(
        message.contains("no parameters of the run that infers"),
        "{message}"
    );
}

/// A checkpoint of before has no checksum, but its fields are checked: without its step, it began
/// again at step 0.
#[test]
fn a_field_that_an_old_checkpoint_lacks_is_named() {
    let fixture = Fixture::new("unlabelled");
    let path = fixture.path("run/checkpoint.safetensors");
    let whole = std::fs::read(&path).expect("a checkpoint");
    for name in ["format", "model", "step", "seed", "summed", "sums"] {
        let written = format!("\\\"{name}\\\":");
        let at = whole
            .windows(written.len())
            .position(|bytes| bytes == written.as_bytes());
        let mut damaged = whole.clone();
        // The name with a flipped bit.
        damaged[at.expect("the field") + 3] ^= 1;
        std::fs::write(&path, damaged).expect("a file can be written");
        let resume = ["train", "run", "--data", "data.npz", "--resume"];
        let message = fails(fixture.folder.path(), &resume);
        assert!(
            message.contains(&format!("expected a field `{name}`, found none")),
            "{message}"
        );
    }
}

/// A compiled folder of before has no format number, and its plans mean something else now.
#[test]
fn an_old_compiled_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let fixtures = common::root().join("tests/fixtures");
    copy(&fixtures.join("compiled"), &folder.path().join("compiled"));
    copy(&fixtures.join("data.npz"), &folder.path().join("data.npz"));
    let train = [
        "train", "compiled", "--data", "data.npz", "--device", "cpu", "-o", "run",
    ];
    let message = fails(folder.path(), &train);
    assert!(message.contains("compile it again"), "{message}");
}
