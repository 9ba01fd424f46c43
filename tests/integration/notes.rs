//! What training says of its data before it begins: the summary and the notes.

use crate::common;

use common::program::{dgc, fine};
use dgc::{DataArray, Dataset, Device, Model, Options, Result, Trainer};

/// Two clusters in four features with this many classes, as most small data sets are.
fn model(classes: usize) -> Model {
    let text = format!(
        "model clusters {{
  data   x: real[4]
  label  y: class[{classes}]
  latent z: real[2]
  net body = dense(8) > relu
  generative {{
    z ~ normal(0, 1)
    y ~ uniform
    y, z -> x ~ normal(body)
  }}
  inference {{
    x -> y ~ categorical(body)
    x, y -> z ~ normal(body)
  }}
  objective {{
    sum y
    classify y
  }}
  train {{
    batch labelled 10, unlabelled 20
    epochs 1
  }}
}}
"
    );
    Model::parse("clusters.dgm", &text).expect("a model")
}

/// Rows around −1 and 1, in turn.
fn rows(count: usize) -> Vec<f64> {
    let noise = common::numbers("noise", count * 4, 0.5);
    let centre = |at: usize| if at / 4 % 2 == 0 { -1.0 } else { 1.0 };
    let noisy = noise.iter().enumerate();
    noisy.map(|(at, noise)| centre(at) + noise).collect()
}

/// Training and test rows with these labels.
fn arrays(labels: &[i64], test: &[i64]) -> Vec<DataArray> {
    let part = |prefix: &str, labels: &[i64]| {
        let x = DataArray::new(format!("{prefix}x"), [labels.len(), 4], rows(labels.len()));
        let y = DataArray::new(format!("{prefix}y"), [labels.len()], labels.to_vec());
        [x, y]
    };
    let mut all = part("", labels).to_vec();
    if !test.is_empty() {
        all.extend(part("test.", test));
    }
    all
}

fn trainer(classes: usize, arrays: Vec<DataArray>, options: Options) -> Result<Trainer> {
    let model = model(classes);
    let data = Dataset::from_arrays(&model, arrays)?;
    let device = Some(Device::cpu(1));
    Trainer::new(&model, &data, Options { device, ..options })
}

/// The labels 0 and 1 in turn.
fn turns(count: usize) -> Vec<i64> {
    (0..count as i64).map(|row| row % 2).collect()
}

#[test]
fn the_summary_says_what_was_understood() {
    let labels: Vec<i64> = turns(40).into_iter().chain([-1; 20]).collect();
    let all = arrays(&labels, &turns(100));
    let trainer = trainer(2, all, Options::default()).expect("a trainer");
    insta::assert_snapshot!(trainer.summary().to_string().trim_end(), @r"
    data: in memory; 60 training rows, 100 test rows
    labels of y: 40 labelled training rows, 20 of each of 2 classes; 100 labelled test rows
    model: clusters, 262 parameters
    device: CPU, 1 thread, f32
    ");
    let summary = serde_json::to_value(trainer.summary()).expect("plain data");
    assert_eq!(summary["training"]["labels"][0]["unlabelled"], 20);
}

#[test]
fn the_program_begins_with_the_summary() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_adgm(at);
    std::fs::create_dir(at.join("mnist")).expect("a folder can be made");
    let vae = common::root().join("models/vae.dgm");
    let vae = vae.to_str().expect("a path");
    let train = ["train", vae, "--epochs", "0", "--set", "hidden=2"];
    let output = dgc(
        at,
        &[&train[..], &["--data", "mnist", "-o", "one"]].concat(),
    );
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        text.starts_with("data: mnist, the bundled excerpt; 10000 training rows, 2000 test rows\n"),
        "{text}{errors}"
    );
    assert!(
        errors.contains("note: data: `mnist` is the bundled excerpt")
            && errors.contains("help: name the folder as `./mnist`"),
        "{errors}"
    );
    let train = ["train", "small.dgm", "--data", "data.safetensors"];
    let text = fine(at, &[&train[..], &["--epochs", "0", "-o", "two"]].concat());
    assert!(text.contains("data.safetensors; "), "{text}");
}

#[test]
fn arrays_without_a_use_are_named() {
    let mut all = arrays(&turns(60), &[]);
    all.push(DataArray::new("weights", [60], vec![1.0; 60]));
    let trainer = trainer(2, all, Options::default()).expect("a trainer");
    let notes = trainer.notes();
    assert_eq!(
        notes[0].message(),
        "data: the model does not use `weights`, which the data set also has"
    );
}
