//! A model and data that train in a moment.

use super::numbers;
use dgc::{DataArray, Dataset, Device, Model, Options, Run, Trainer, run::arrays::NamedArray};
use std::{
    collections::BTreeMap,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// A model with a label of `classes` classes.
pub fn text(classes: usize) -> String {
    format!(
        "model tiny {{
  size classes = {classes}, hidden = 6
  data   x: binary[6]
  label  y: class[classes]
  latent z: real[2]
  net body = [dense(hidden) > batchnorm > relu]
  generative {{
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ bernoulli(body)
  }}
  inference {{
    x    -> y ~ categorical(body)
    x, y -> z ~ normal(body)
  }}
  objective {{
    sum y
    classify y
  }}
  train {{
    batch labelled 10, unlabelled 10
    optimizer adam(rate = 0.02)
    epochs 4
  }}
}}
"
    )
}

pub fn model() -> Model {
    Model::parse("tiny.dgm", &text(3)).expect("a model")
}

/// Rows of which three quarters are labelled, and whose pixels depend a little on their classes.
pub fn arrays(prefix: &str, rows: usize, classes: usize) -> Vec<DataArray> {
    let noise = numbers(&format!("tiny {prefix}{rows}"), rows * 6, 1.0);
    let pixel = |(at, noise): (usize, &f64)| {
        let (row, pixel) = (at / 6, at % 6);
        f32::from(u8::from(
            *noise
                > if pixel % classes == row % classes {
                    -0.6
                } else {
                    0.6
                },
        ))
    };
    let pixels: Vec<f32> = noise.iter().enumerate().map(pixel).collect();
    let class = |row: usize| {
        if row % 4 == 3 {
            -1
        } else {
            (row % classes) as i64
        }
    };
    let labels: Vec<i64> = (0..rows).map(class).collect();
    vec![
        DataArray::new(format!("{prefix}x"), [rows, 6], pixels),
        DataArray::new(format!("{prefix}y"), [rows], labels),
    ]
}

/// 60 training rows and 24 test rows.
pub fn all_arrays() -> Vec<DataArray> {
    [arrays("", 60, 3), arrays("test.", 24, 3)].concat()
}

pub fn data(model: &Model) -> Dataset {
    Dataset::from_arrays(model, all_arrays()).expect("data")
}

/// Writes `tiny.dgm` and `data.safetensors`.
pub fn write(folder: &Path) {
    std::fs::write(folder.join("tiny.dgm"), text(3)).expect("a model");
    write_arrays(&folder.join("data.safetensors"), all_arrays());
}

pub fn write_arrays(path: &Path, arrays: Vec<DataArray>) {
    let arrays = arrays.into_iter().map(NamedArray::try_from);
    let arrays: Vec<NamedArray> = arrays.collect::<Result<_, _>>().expect("numbers");
    dgc::run::arrays::write(path, &arrays, Default::default(), false).expect("a file");
}

pub fn options(output: PathBuf) -> Options {
    Options {
        seed: 3,
        device: Some(Device::cpu(1)),
        output: Some(output),
        ..Options::default()
    }
}

/// Trains to the end.
pub fn train(trainer: dgc::Result<Trainer>) -> Trainer {
    let mut trainer = trainer.expect("a trainer");
    trainer
        .train(|_| ControlFlow::Continue(()))
        .expect("training");
    trainer
}

/// Trains until a step.
pub fn train_until(trainer: dgc::Result<Trainer>, step: u64) {
    let mut trainer = trainer.expect("a trainer");
    let stop = |progress: &dgc::Progress| match progress.step >= step {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    trainer.train(stop).expect("training");
}

pub fn open(folder: &Path) -> Run {
    Run::open_on(folder, &Device::cpu(1)).expect("a run")
}

/// The metrics of each epoch.
pub fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let log = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    log.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

pub fn bytes(path: PathBuf) -> Vec<u8> {
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The arrays of a checkpoint by name.
pub fn parameters(path: PathBuf) -> BTreeMap<String, NamedArray> {
    let (arrays, _) = dgc::run::arrays::read(&path).expect("a checkpoint");
    arrays
        .into_iter()
        .map(|array| (array.name.clone(), array))
        .collect()
}
