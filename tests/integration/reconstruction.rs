//! `dgc reconstruct`: the means of data given what is inferred, against closed forms.

use crate::common;

use common::program::{fails, fine};
use dgc::{DataArray, Dataset, Device, Model, NamedArray, Options, Rows, Run, Trainer};
use std::collections::BTreeMap;
use std::path::Path;

/// A run whose trained parameters are in `arrays`: a run of one epoch at a rate of almost 0.
fn run(folder: &Path, model: &Model, data: Vec<DataArray>) -> (Run, BTreeMap<String, NamedArray>) {
    let data = Dataset::from_arrays(model, data).expect("data");
    let options = Options {
        device: Some(Device::cpu(1)),
        ..Options::default()
    };
    let mut trainer = Trainer::new(model, &data, options).expect("a trainer");
    while trainer.epoch().expect("an epoch").is_some() {}
    let path = folder.join("run");
    trainer.finish(&path).expect("a run");
    let arrays = common::read(&path.join("checkpoint.safetensors"));
    let run = Run::open_on(&path, &Device::cpu(1)).expect("a run");
    (run, arrays.into_iter().collect())
}

/// W h + b.
fn linear(
    arrays: &BTreeMap<String, NamedArray>,
    weights: &[(&str, &[f64])],
    bias: &str,
) -> Vec<f64> {
    let mut sum = arrays[bias].data.clone();
    for (name, input) in weights {
        let rows = arrays[*name].data.chunks(input.len());
        for (to, weights) in sum.iter_mut().zip(rows) {
            *to += weights.iter().zip(*input).map(|(w, x)| w * x).sum::<f64>();
        }
    }
    sum
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|x| (x - most).exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

/// With linear networks, E[x | data] = W (E[z]) + b exactly, averaged over classes by q(y | x); the
/// variance of z is made small, so that few samples have this mean.
#[test]
fn means_of_a_linear_model_are_in_closed_form() {
    let text = "model linear {
  data   x: real[3] standardized
  data   c: class[4]
  label  y: class[2]
  latent z: real[2]

  generative {
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ normal(linear)
    z    -> c ~ categorical(linear)
  }

  inference {
    x, c    -> y ~ categorical(linear)
    x, c, y -> z ~ normal(mean = linear, log_variance = -30)
  }

  objective {
    sum y
  }

  train {
    batch labelled 4, unlabelled 4
    initialize normal(0.5)
    optimizer sgd(rate = 1e-3)
    epochs 1
  }
}
";
    let model = common::check("linear.dgm", text, &[]);
    let count = 24;
    let x: Vec<f64> = common::numbers("x", 3 * count, 2.0)
        .iter()
        .map(|x| x + 1.0)
        .collect();
    let c: Vec<i64> = (0..count as i64).map(|row| row % 4).collect();
    let y: Vec<i64> = (0..count as i64).map(|row| row * 7 % 2).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arrays = |with_labels: bool| {
        let mut arrays = vec![
            DataArray::new("x", [count, 3], x.clone()),
            DataArray::new("c", [count], c.clone()),
        ];
        arrays.extend(with_labels.then(|| DataArray::new("y", [count], y.clone())));
        arrays
    };
    let (run, parameters) = run(folder.path(), &model, arrays(true));
    let rows = Rows::from_arrays(&model, arrays(false)).expect("rows");
    let found = run.reconstruct(&rows).expect("means");
    let names: Vec<&str> = found
        .variables
        .iter()
        .map(|found| found.variable.as_str())
        .collect();
    assert_eq!(names, ["x", "c"]);
    let mean = &parameters["data.x.mean"].data;
    let deviation: Vec<f64> = parameters["data.x.log_deviation"]
        .data
        .iter()
        .map(|log| log.exp())
        .collect();
    let one_hot = |class: usize, size: usize| -> Vec<f64> {
        (0..size).map(|k| f64::from(u8::from(k == class))).collect()
    };
    for row in 0..count {
        let u: Vec<f64> = (0..3)
            .map(|k| (x[3 * row + k] - mean[k]) / deviation[k])
            .collect();
        let c = one_hot(c[row] as usize, 4);
        let logits = linear(
            &parameters,
            &[("q.y.logits.weight.x", &u), ("q.y.logits.weight.c", &c)],
            "q.y.logits.bias",
        );
        let (mut wanted_x, mut wanted_c) = (vec![0.0; 3], vec![0.0; 4]);
        for (class, q) in softmax(&logits).into_iter().enumerate() {
            let y = one_hot(class, 2);
            let z = linear(
                &parameters,
                &[
                    ("q.z.mean.weight.x", &u),
                    ("q.z.mean.weight.c", &c),
                    ("q.z.mean.weight.y", &y),
                ],
                "q.z.mean.bias",
            );
            let x = linear(
                &parameters,
                &[("p.x.mean.weight.y", &y), ("p.x.mean.weight.z", &z)],
                "p.x.mean.bias",
            );
            for k in 0..3 {
                wanted_x[k] += q * (mean[k] + deviation[k] * x[k]);
            }
            let c = linear(
                &parameters,
                &[("p.c.logits.weight.z", &z)],
                "p.c.logits.bias",
            );
            for (to, p) in wanted_c.iter_mut().zip(softmax(&c)) {
                *to += q * p;
            }
        }
        let near = |found: &[f32], wanted: &[f64]| {
            for (found, wanted) in found.iter().zip(wanted) {
                assert!(
                    (f64::from(*found) - wanted).abs() < 1e-4,
                    "row {row}: {found}, {wanted}"
                );
            }
        };
        near(&found.variables[0].values[3 * row..3 * row + 3], &wanted_x);
        near(&found.variables[1].values[4 * row..4 * row + 4], &wanted_c);
    }
}

/// Counts have the rate as their mean, averaged over samples of z ~ N(m, s²):
/// E[exp(w z + b)] = exp(w m + b + w² s² / 2).
#[test]
fn means_of_counts_are_averaged_over_samples() {
    let text = "model counts {
  data   x: count[2]
  latent z: real[1]

  generative {
         z ~ normal(0, 1)
    z -> x ~ poisson(linear)
  }

  inference {
    x -> z ~ normal(linear)
  }

  train {
    batch 4
    initialize normal(0.3)
    optimizer sgd(rate = 1e-3)
    epochs 1
  }
}
";
    let model = common::check("counts.dgm", text, &[]);
    let x: Vec<i64> = (0..16).map(|k| k % 3).collect();
    let array = || vec![DataArray::new("x", [8, 2], x.clone())];
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (run, parameters) = run(folder.path(), &model, array());
    let samples = 20_000;
    let rows = Rows::from_arrays(&model, array()).expect("rows");
    let found = run.with_samples(samples).reconstruct(&rows).expect("means");
    for row in 0..8 {
        let data: Vec<f64> = x[2 * row..2 * row + 2].iter().map(|&x| x as f64).collect();
        let head = |head: &str| {
            let (weight, bias) = (format!("q.z.{head}.weight.x"), format!("q.z.{head}.bias"));
            linear(&parameters, &[(&weight, &data)], &bias)[0]
        };
        let (mean, variance) = (head("mean"), head("log_variance").exp());
        for k in 0..2 {
            let weight = parameters["p.x.log_rate.weight.z"].data[k];
            let bias = parameters["p.x.log_rate.bias"].data[k];
            let spread = weight * weight * variance;
            let wanted = (weight * mean + bias + spread / 2.0).exp();
            let deviation = wanted * (spread.exp() - 1.0).sqrt() / (samples as f64).sqrt();
            let found = f64::from(found.variables[0].values[2 * row + k]);
            assert!(
                (found - wanted).abs() < 5.0 * deviation + 1e-4 * wanted,
                "{found}, {wanted}"
            );
        }
    }
}

/// A table has the names of the columns that the run was trained on.
#[test]
fn the_program_writes_means_with_the_names_of_columns() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    std::fs::copy(common::root().join("data/iris.csv"), here.join("iris.csv")).expect("the data");
    fine(
        here,
        &["new", "iris.csv", "--label", "species", "-o", "iris.dgm"],
    );
    fine(
        here,
        &[
            "train", "iris.dgm", "--data", "iris.csv", "-o", "run", "--epochs", "2", "--device",
            "cpu",
        ],
    );
    let table = fine(
        here,
        &["reconstruct", "run", "-o", "means.csv", "--device", "cpu"],
    );
    assert_eq!(table, "wrote 50 rows to means.csv\n");
    let means = std::fs::read_to_string(here.join("means.csv")).expect("means");
    let mut lines = means.lines();
    assert_eq!(
        lines.next(),
        Some("row,sepal_length,sepal_width,petal_length,petal_width")
    );
    // The test rows are the last 50 of the file.
    assert!(lines.next().is_some_and(|line| line.starts_with("100,")));
    fine(
        here,
        &["reconstruct", "run", "-o", "means.npz", "--device", "cpu"],
    );
    let said = fails(
        here,
        &["reconstruct", "run", "-o", "means.txt", "--device", "cpu"],
    );
    assert!(said.contains(".npz, .csv or .parquet"), "{said}");
    // A classifier has no data to generate.
    let classifier = "model c {\n  data  x: real[4]\n  label species: class[3]\n  inference {\n\
        x -> species ~ categorical(linear)\n  }\n  objective {\n    classify species\n  }\n}\n";
    std::fs::write(here.join("c.dgm"), classifier).expect("a file is written");
    fine(
        here,
        &[
            "train", "c.dgm", "--data", "iris.csv", "-o", "c", "--epochs", "1", "--device", "cpu",
        ],
    );
    let said = fails(here, &["reconstruct", "c", "-o", "-", "--device", "cpu"]);
    assert!(
        said.contains("generates no data") && said.contains("`dgc predict`"),
        "{said}"
    );
}
