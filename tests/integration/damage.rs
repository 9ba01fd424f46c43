//! Files of a run that were changed, damaged or lost: each is refused by name, or does not matter.

use crate::common;

use common::program::{dgc, fails, fine};
use dgc::{
    Device, Options, Trainer,
    run::{checkpoint::Checkpoint, folder::Folder, settings::Settings},
    tensor::philox,
};
use serde_json::Value;
use std::path::Path;

const TRAIN: &[&str] = &[
    "train",
    "small.dgm",
    "--data",
    "data.safetensors",
    "--validation",
    "8",
    "--labels",
    "5",
    "--seed",
    "3",
    "--device",
    "cpu",
];

fn train(folder: &Path, run: &str, more: &[&str]) {
    fine(folder, &[TRAIN, &["-o", run], more].concat());
}

/// A folder with a model, data and a run of two epochs.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    common::write_small_m2(folder.path());
    train(folder.path(), "run", &["--epochs", "2"]);
    folder
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("a file can be read")
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    std::fs::write(path, bytes).expect("a file can be written");
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_found() {
    let folder = folder();
    let path = folder.path().join("run/checkpoint.safetensors");
    let whole = bytes(&path);
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().expect("eight bytes")) as usize;
    // Every byte of the header, and some of the numbers.
    let numbers = (0..300).map(|i| {
        let uniform = philox::uniform(1, 0, 3, i);
        header + (uniform * (whole.len() - header) as f64) as usize
    });
    for (turn, at) in (0..header).chain(numbers).enumerate() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (turn % 8);
        write(&path, damaged);
        let error = Checkpoint::read(&path).err();
        let error = error.unwrap_or_else(|| panic!("byte {at} is not checked"));
        assert!(
            error.message().contains("checkpoint.safetensors"),
            "{error}"
        );
    }
    write(&path, &whole);
    assert!(Checkpoint::read(&path).is_ok());
}

/// The settings that say where a run comes from, and do not change its numbers.
fn without_free(settings: &Settings) -> Settings {
    Settings {
        version: String::new(),
        file: String::new(),
        data: None,
        kernels: Vec::new(),
        ..settings.clone()
    }
}

/// A flipped bit of the settings is refused, or is in a field on which no number depends.
#[test]
fn every_flipped_bit_of_the_settings_is_found() {
    let folder = folder();
    let run = Folder {
        path: folder.path().join("run"),
    };
    let path = run.path.join("settings.json");
    let whole = bytes(&path);
    let expected = run.settings().expect("settings");
    let (mut refused, mut free) = (0, 0);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 7);
        write(&path, damaged);
        let opened = run.settings().and_then(|settings| {
            let model = run.model(&settings)?;
            run.read_checkpoint(&settings, &model)?;
            Ok(settings)
        });
        match opened {
            Err(error) => {
                refused += 1;
                let message = error.to_string();
                let names = ["settings.json", "checkpoint.safetensors", "model.dgm"];
                assert!(names.iter().any(|name| message.contains(name)), "{message}");
            }
            Ok(settings) => {
                free += 1;
                assert_eq!(
                    without_free(&settings),
                    without_free(&expected),
                    "byte {at}"
                );
            }
        }
    }
    assert!(
        refused > 3 * free,
        "{refused} refused, {free} without effect"
    );
}

/// Each field of the settings, lost or changed, is refused by its name.
#[test]
fn a_lost_or_changed_setting_is_named() {
    let folder = folder();
    let at = folder.path();
    let path = at.join("run/settings.json");
    let whole = bytes(&path);
    let settings: Value = serde_json::from_slice(&whole).expect("JSON");
    let fields: Vec<String> = settings
        .as_object()
        .expect("fields")
        .keys()
        .cloned()
        .collect();
    for name in &fields {
        let mut changed = settings.clone();
        changed.as_object_mut().expect("fields").shift_remove(name);
        write(&path, changed.to_string());
        let message = fails(at, &["eval", "run"]);
        assert!(message.contains("settings.json"), "{message}");
        // Without its format the file is one of an earlier version, which had fewer fields.
        assert!(
            name == "format" || message.contains(&format!("`{name}`")),
            "{message}"
        );
    }
    let changes: [(&str, Value); 10] = [
        ("seed", 4.into()),
        ("labels", 6.into()),
        ("labels", Value::Null),
        ("validation", 7.into()),
        ("samples", 2.into()),
        ("fingerprint", "0123456789abcdef".into()),
        ("precision", "bf16".into()),
        (
            "sets",
            serde_json::json!([["epochs", "2"], ["hidden", "8"]]),
        ),
        ("seed", "three".into()),
        ("resolved", serde_json::json!([["pixels", "9"]])),
    ];
    for (name, value) in changes {
        let mut changed = settings.clone();
        assert_ne!(changed[name], value);
        changed[name] = value;
        write(&path, changed.to_string());
        for arguments in [
            &["eval", "run"][..],
            &["train", "run", "--resume", "--epochs", "3"],
        ] {
            let message = fails(at, arguments);
            let is_named = message.contains(&format!("`{name}`"))
                || name == "fingerprint" && message.contains("the data differ")
                || name == "sets" && message.contains("`hidden` is 7");
            assert!(is_named, "{arguments:?}: {message}");
        }
    }
    write(&path, &whole);
    fine(at, &["train", "run", "--resume", "--epochs", "3"]);
}

#[test]
fn a_changed_model_is_noticed() {
    let folder = folder();
    let at = folder.path();
    let path = at.join("run/model.dgm");
    let text = String::from_utf8(bytes(&path)).expect("text");
    // The same parameters, but other numbers.
    let changed = text.replace("relu", "tanh");
    let changed = if changed == text {
        text.replace("softplus", "relu")
    } else {
        changed
    };
    assert_ne!(changed, text);
    write(&path, changed);
    for arguments in [
        &["train", "run", "--resume", "--epochs", "3"][..],
        &["eval", "run"],
        &["predict", "run", "-o", "labels.csv"],
    ] {
        let message = fails(at, arguments);
        assert!(
            message.contains("model.dgm: the model was changed since the run began"),
            "{message}"
        );
    }
}

/// A checkpoint of another run is refused, though it fits the model.
#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = folder();
    let at = folder.path();
    fine(
        at,
        &[
            "train",
            "small.dgm",
            "--data",
            "data.safetensors",
            "--epochs",
            "2",
            "--seed",
            "3",
            "--device",
            "cpu",
            "-o",
            "other",
        ],
    );
    let other = bytes(&at.join("other/checkpoint.safetensors"));
    write(&at.join("run/checkpoint.safetensors"), other);
    let message = fails(at, &["eval", "run"]);
    assert!(
        message.contains("the checkpoint has `labels` null, but the run has 5"),
        "{message}"
    );
    std::fs::remove_file(at.join("run/checkpoint.safetensors")).expect("it is there");
    for arguments in [&["eval", "run"][..], &["train", "run", "--resume"]] {
        let message = fails(at, arguments);
        assert!(
            message.contains("expected a checkpoint, found none"),
            "{message}"
        );
    }
}

#[test]
fn unreadable_metrics_are_named() {
    let folder = folder();
    let at = folder.path();
    let path = at.join("run/metrics.jsonl");
    let whole = String::from_utf8(bytes(&path)).expect("text");
    let lines: Vec<&str> = whole.lines().collect();
    let resume = ["train", "run", "--resume", "--epochs", "3"];
    write(&path, whole.replacen("\"epoch\"", "\"epach\"", 1));
    let message = fails(at, &resume);
    assert!(
        message.contains("metrics.jsonl: line 1: expected the metrics of an epoch"),
        "{message}"
    );
    // A process was killed while it logged the third epoch.
    write(&path, format!("{whole}{}", &lines[1][..20]));
    fine(at, &resume);
    let log = String::from_utf8(bytes(&path)).expect("text");
    assert!(log.starts_with(&whole) && log.lines().count() == 3, "{log}");
    // Lost lines cannot be written anew.
    write(&path, format!("{}\n", lines[0]));
    let output = dgc(at, &["train", "run", "--resume", "--epochs", "4"]);
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && notes.contains("of epoch 3, but the last epoch logged is 1"),
        "{notes}"
    );
}

/// A run goes on in its precision, and says if other kernels train it.
#[test]
fn a_run_keeps_its_precision() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let checkpoint = |run: &str| bytes(&at.join(run).join("checkpoint.safetensors"));
    train(at, "part", &["--epochs", "1", "--precision", "bf16"]);
    fine(
        at,
        &[
            "train", "part", "--resume", "--epochs", "2", "--device", "cpu",
        ],
    );
    train(at, "whole", &["--epochs", "2", "--precision", "bf16"]);
    train(at, "single", &["--epochs", "2"]);
    assert!(checkpoint("part") == checkpoint("whole"));
    assert!(checkpoint("part") != checkpoint("single"));
    let resume = [
        "train", "part", "--resume", "--epochs", "3", "--device", "cpu",
    ];
    let message = fails(at, &[&resume[..], &["--precision", "f32"]].concat());
    assert!(
        message.contains("--precision f32: the run is trained in bf16, which cannot change"),
        "{message}"
    );
    let path = at.join("part/settings.json");
    let mut settings: Value = serde_json::from_slice(&bytes(&path)).expect("JSON");
    settings["kernels"] = serde_json::json!(["CUDA sm_90"]);
    write(&path, settings.to_string());
    let output = dgc(at, &resume);
    let notes = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && notes.contains("was trained with CUDA sm_90 kernels"),
        "{notes}"
    );
    let settings: Value = serde_json::from_slice(&bytes(&path)).expect("JSON");
    assert_eq!(settings["kernels"].as_array().map(Vec::len), Some(2));
}

/// The first checkpoint is written before the first step.
#[test]
fn a_stacked_run_begins_with_a_checkpoint() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let fixtures = common::root().join("tests/fixtures");
    for name in ["unlabelled", "stacked"] {
        let from = fixtures.join(name).join("run/model.dgm");
        std::fs::copy(from, at.join(format!("{name}.dgm"))).expect("a file can be copied");
    }
    std::fs::copy(fixtures.join("data.npz"), at.join("data.npz")).expect("a file");
    let common = ["--data", "data.npz", "--device", "cpu", "-o"];
    fine(
        at,
        &[&["train", "unlabelled.dgm"], &common[..], &["lower"]].concat(),
    );
    let stacked = [&["train", "stacked.dgm", "--from", "z=lower"], &common[..]].concat();
    fine(at, &[&stacked[..], &["whole", "--epochs", "2"]].concat());
    fine(at, &[&stacked[..], &["part", "--epochs", "0"]].concat());
    std::fs::remove_dir_all(at.join("lower")).expect("it is there");
    fine(
        at,
        &[
            "train", "part", "--resume", "--epochs", "2", "--device", "cpu",
        ],
    );
    let checkpoint = |run: &str| bytes(&at.join(run).join("checkpoint.safetensors"));
    assert!(
        checkpoint("part") == checkpoint("whole"),
        "the upstream parameters are there"
    );
}

/// A process that is killed while it makes the folder leaves files that a new run replaces.
#[test]
fn an_interrupted_beginning_is_begun_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let run = at.join("run");
    for files in [
        &[][..],
        &["model.dgm"],
        &["model.dgm", "from.z.dgm", ".tmpabc"],
    ] {
        std::fs::create_dir_all(&run).expect("a folder can be made");
        for name in [&[".lock"], files].concat() {
            write(&run.join(name), "");
        }
        if files.contains(&"model.dgm") {
            let message = fails(at, &["train", "run", "--resume"]);
            assert!(
                message.contains("begin it again in the same folder"),
                "{message}"
            );
        }
        train(at, "run", &["--epochs", "1"]);
        assert!(!run.join("from.z.dgm").exists() && !run.join(".tmpabc").exists());
        // What has results is not replaced, not even without its settings.
        for _ in 0..2 {
            let message = fails(at, &[TRAIN, &["-o", "run"]].concat());
            assert!(
                message.contains("expected a new folder, found a run"),
                "{message}"
            );
            let _ = std::fs::remove_file(run.join("settings.json"));
        }
        std::fs::remove_dir_all(&run).expect("a folder can be removed");
    }
    // Nor are files of others.
    std::fs::create_dir_all(&run).expect("a folder can be made");
    write(&run.join(".lock"), "");
    write(&run.join("notes.txt"), "mine");
    let message = fails(at, &[TRAIN, &["-o", "run"]].concat());
    assert!(
        message.contains("found other files, such as `notes.txt`"),
        "{message}"
    );
}

/// Two trainers may find a folder empty; the second finds a run once it has the lock.
#[test]
fn a_folder_is_checked_again_under_its_lock() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let model = dgc::Model::open(at.join("small.dgm")).expect("a model");
    let model = model.set("epochs", 1).expect("a setting");
    let second = Folder::new(&at.join("run")).expect("an empty folder");
    let data = at.join("data.safetensors").display().to_string();
    let data = dgc::Dataset::open(data, &model).expect("data");
    let options = Options {
        device: Some(Device::cpu(1)),
        output: Some(at.join("run")),
        ..Options::default()
    };
    let mut first = Trainer::new(&model, &data, options).expect("a trainer");
    let begin = || {
        second
            .begin(&model)
            .err()
            .expect("the run is another's")
            .to_string()
    };
    assert!(begin().contains("the run is being trained already"));
    while first.epoch().expect("an epoch").is_some() {}
    drop(first);
    assert!(begin().contains("expected a new folder, found a run"));
}
