//! Classes of different frequencies: priors that are given or observed, `classify y balanced` and
//! balanced batches, against their formulas.

use crate::common;

use common::{batch, check, distance, finite_differences, numbers, parameters};
use dgc::{
    DataArray, DataPlace, Dataset, Device, Model, Options, ResumeOptions, Rows, Trainer,
    run::{
        arrays::NamedArray,
        batches::Turns,
        bound::{Arrays, Engine, Report, bound},
    },
};
use std::{collections::BTreeMap, path::Path};

/// A model of three classes with a prior, and a line of the objective.
fn model(prior: &str, line: &str, batch: &str) -> Model {
    let text = format!(
        "model rare {{
  data   x: real[2]
  label  y: class[3]
  latent z: real[2]
  net body = dense(4) > tanh
  generative {{
            z ~ normal(0, 1)
            y ~ {prior}
    y, z -> x ~ normal(body)
  }}
  inference {{
    x    -> y ~ categorical(body)
    x, y -> z ~ normal(body)
  }}
  objective {{
    sum y
    {line}
  }}
  train {{
    batch {batch}
    optimizer adam(rate = 1e-2)
    epochs 4
  }}
}}
"
    );
    check("rare.dgm", &text, &[])
}

const BATCH: &str = "labelled 5, unlabelled 10";
const GIVEN: [f64; 3] = [0.7, 0.25, 0.05];

fn logs(probabilities: &[f64]) -> Vec<f64> {
    probabilities.iter().map(|share| share.ln()).collect()
}

fn report(model: &Model, parameters: &Arrays, batch: &Arrays, engine: &Engine) -> Report {
    bound(model, parameters, batch, None, 3, engine).expect("a bound")
}

fn with(mut arrays: Arrays, name: &str, data: Vec<f64>) -> Arrays {
    let shape = vec![data.len()];
    let array = NamedArray {
        name: name.to_string(),
        shape,
        data,
    };
    arrays.insert(name.to_string(), array);
    arrays
}

/// Given and observed probabilities are learned ones that have these values: bounds and gradients.
#[test]
fn fixed_probabilities_are_a_categorical_prior() {
    let learned = model("categorical(linear)", "", BATCH);
    let given = model("categorical(0.7, 0.25, 1 / 20)", "", BATCH);
    let observed = model("categorical(observed)", "", BATCH);
    let rows = batch(&given, 8, 5);
    let all = parameters(&given);
    assert!(
        !all.contains_key("p.y.logits.bias"),
        "numbers are no parameter"
    );
    let wanted = with(all.clone(), "p.y.logits.bias", logs(&GIVEN));
    // Frequencies of more rows are the same: the density normalises them.
    let counts = GIVEN.map(|share| share * 1e3);
    let frequencies = with(all.clone(), "data.y.log_frequency", logs(&counts));
    for engine in [Engine::Reference, Engine::Device(Device::cpu(2))] {
        let wanted = report(&learned, &wanted, &rows, &engine);
        for (model, parameters) in [(&given, &all), (&observed, &frequencies)] {
            let found = report(model, parameters, &rows, &engine);
            for case in ["labelled", "unlabelled"] {
                for row in 0..wanted.json[case]["per_row"].as_array().expect("rows").len() {
                    let of = |report: &Report| {
                        let number = report.json[case]["per_row"][row].as_f64();
                        number.expect("a number")
                    };
                    assert!((of(&found) - of(&wanted)).abs() < 1e-5, "{case} {row}");
                }
            }
            for found in &found.gradients {
                let wanted = wanted
                    .gradients
                    .iter()
                    .find(|other| other.name == found.name);
                let wanted = wanted.expect("a gradient of the learned model");
                assert!(distance(&found.data, &wanted.data) < 1e-4, "{}", found.name);
            }
        }
    }
    // A labelled row of class k differs from one under `uniform` by log p(k) + log 3.
    let uniform = report(
        &model("uniform", "", BATCH),
        &all,
        &rows,
        &Engine::Reference,
    );
    let found = report(&given, &all, &rows, &Engine::Reference);
    for row in 0..5 {
        let of = |report: &Report| report.json["labelled"]["per_row"][row].as_f64();
        let apart = of(&found).expect("a number") - of(&uniform).expect("a number");
        let wanted = GIVEN[row % 3].ln() + 3f64.ln();
        assert!((apart - wanted).abs() < 1e-9, "{apart}, not {wanted}");
    }
    finite_differences(&given);
    finite_differences(&observed);
}

/// Rows of which those of class 2 are rare, and the last have no label.
fn data(model: &Model) -> (Dataset, Rows) {
    let class = |row: usize| match row {
        0..18 => 0,
        18..27 => 1,
        27..30 => 2,
        _ => -1,
    };
    let noise = numbers("rows of imbalance", 120, 1.0);
    let x: Vec<f64> = (0..60)
        .flat_map(|row| {
            let centre = (row * 7 % 3) as f64;
            [noise[2 * row] + centre, noise[2 * row + 1] - centre]
        })
        .collect();
    let y: Vec<i64> = (0..60).map(class).collect();
    let of = |x: Vec<f64>| DataArray::new("x", [60, 2], x);
    let data = Dataset::from_arrays(model, [of(x.clone()), DataArray::new("y", [60], y)]);
    let rows = Rows::from_arrays(model, [of(x)]).expect("rows");
    (data.expect("a data set"), rows)
}

/// Trains to the last epoch, in two parts if `part` is a number of epochs.
fn train(model: &Model, folder: &Path, part: Option<usize>, threads: usize) -> Vec<f32> {
    let (data, rows) = data(model);
    let options = Options {
        epochs: part,
        device: Some(Device::cpu(threads)),
        ..Options::default()
    };
    let mut trainer = Trainer::new(model, &data, options).expect("a trainer");
    while trainer.epoch().expect("an epoch").is_some() {}
    let mut run = trainer.finish(folder).expect("a run");
    drop(trainer);
    if part.is_some() {
        let options = ResumeOptions {
            epochs: Some(4),
            data: Some(DataPlace::Loaded(self::data(model).0)),
            device: Some(Device::cpu(threads)),
            ..ResumeOptions::default()
        };
        let mut trainer = Trainer::resume(folder, options).expect("a trainer");
        while trainer.epoch().expect("an epoch").is_some() {}
        run = trainer.finish(folder).expect("a run");
    }
    run.log_likelihood(&rows).expect("likelihoods")
}

fn parameter(folder: &Path, name: &str) -> Vec<f64> {
    let arrays = common::read(&folder.join("checkpoint.safetensors"));
    arrays[name].data.clone()
}

/// Training sets the frequencies from the labelled rows, keeps them, and is training with the same
/// numbers given.
#[test]
fn frequencies_are_those_of_the_labelled_training_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    // (18 + 1) / (30 + 3), …
    let given = model("categorical(19 / 33, 10 / 33, 4 / 33)", "", BATCH);
    let observed = model("categorical(observed)", "", BATCH);
    let wanted = train(&given, &at("given"), None, 1);
    let found = train(&observed, &at("observed"), None, 1);
    let logs = parameter(&at("observed"), "data.y.log_frequency");
    for (found, count) in logs.iter().zip([18.0, 9.0, 3.0]) {
        assert!(
            (found - ((count + 1.0) / 33.0f64).ln()).abs() < 1e-6,
            "{logs:?}"
        );
    }
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-3, "{found}, not {wanted}");
    }
    let uniform = train(&model("uniform", "", BATCH), &at("uniform"), None, 1);
    assert!(distance(&wide(&uniform), &wide(&wanted)) > 1e-2);
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

const CLASSIFIER: &str = "model rare {
  data   x: real[2]
  label  y: class[4]
  inference {
    x -> y ~ categorical(linear)
  }
  objective {
    LINE
  }
}
";

/// The weighted cross-entropy of a linear classifier, by its formula, and its gradient by the bias:
/// Σ_rows w(y) (softmax − one-hot) / rows. A class without a row does not count.
#[test]
fn balanced_classes_count_the_same() {
    let of = |line: &str| check("rare.dgm", &CLASSIFIER.replace("LINE", line), &[]);
    let model = of("classify y weight 2 * rows / labelled balanced");
    let parameters = parameters(&model);
    let classes = [0.0, 0.0, 1.0, 0.0, 3.0, 0.0, 1.0, 0.0];
    let x = numbers("x of imbalance", 20, 1.0);
    let rows = with(Arrays::new(), "y", [&classes[..], &[-1.0, -1.0]].concat());
    let rows = with(rows, "x", x.clone());
    let mut rows = rows;
    rows.get_mut("x").expect("the data").shape = vec![10, 2];
    let (weight, bias) = (
        &parameters["q.y.logits.weight.x"].data,
        &parameters["q.y.logits.bias"].data,
    );
    let (mut loss, mut slope) = (0.0, [0.0; 4]);
    for (row, &class) in classes.iter().enumerate() {
        let count = classes.iter().filter(|&&other| other == class).count() as f64;
        // Three of the four classes have rows; eight rows are labelled.
        let of_class = 1.0 / (3.0 * (count / 8.0));
        let logits: Vec<f64> = (0..4)
            .map(|k| {
                bias[k]
                    + (0..2)
                        .map(|i| weight[2 * k + i] * x[2 * row + i])
                        .sum::<f64>()
            })
            .collect();
        let total = logits.iter().map(|logit| logit.exp()).sum::<f64>();
        loss -= of_class * (logits[class as usize] - total.ln()) / 8.0;
        for (k, slope) in slope.iter_mut().enumerate() {
            let is_class = f64::from(k as f64 == class);
            *slope += 2.5 * of_class * (logits[k].exp() / total - is_class) / 8.0;
        }
    }
    for (engine, tolerance) in [
        (Engine::Reference, 1e-12),
        (Engine::Device(Device::cpu(2)), 1e-5),
    ] {
        let found = report(&model, &parameters, &rows, &engine);
        let number = |name: &str| found.json[name].as_f64().expect("a number");
        assert!((number("classification") / loss - 1.0).abs() < tolerance);
        // The weight is 2 · 10 / 8.
        assert!((number("loss") / (2.5 * loss) - 1.0).abs() < tolerance);
        let gradient = found
            .gradients
            .iter()
            .find(|array| array.name == "q.y.logits.bias");
        let gradient = &gradient.expect("a gradient").data;
        assert!(
            distance(gradient, &slope) < tolerance,
            "{gradient:?}, not {slope:?}"
        );
    }
    finite_differences(&of("classify y balanced"));
    // With as many rows of each class, the weights are 1.
    let equal = batch(&model, 10, 8);
    let plain = of("classify y weight 2 * rows / labelled");
    let (found, wanted) = (
        common::loss(&model, &parameters, &equal),
        common::loss(&plain, &parameters, &equal),
    );
    assert!(
        (found / wanted - 1.0).abs() < 1e-12,
        "{found}, not {wanted}"
    );
}

/// Classes take turns, every row of a class as often as any other, and a place of the order has the
/// same row however it is reached.
#[test]
fn balanced_batches_have_equally_many_rows_of_each_class() {
    let classes: Vec<i32> = (0..40)
        .map(|row| match row {
            0..20 => 0,
            20..25 => 2,
            25..27 => 3,
            _ => -1,
        })
        .collect();
    let rows: Vec<u32> = (0..27).collect();
    let turns = || Turns::balanced(&rows, &classes, 5, "labelled");
    let (mut whole, mut order) = (vec![0; 420], turns());
    order.take(0, &mut whole);
    for batch in whole.chunks(7) {
        let mut counts = BTreeMap::new();
        for &row in batch {
            *counts.entry(classes[row as usize]).or_insert(0) += 1;
        }
        let (least, most) = (counts.values().min(), counts.values().max());
        assert_eq!(counts.len(), 3);
        assert!(
            most.expect("a count") - least.expect("a count") <= 1,
            "{counts:?}"
        );
    }
    // 140 turns of each class.
    for row in 0..27u32 {
        let times = whole.iter().filter(|&&other| other == row).count();
        let of_class = classes
            .iter()
            .filter(|&&class| class == classes[row as usize]);
        assert_eq!(times, 140 / of_class.count(), "row {row}");
    }
    let mut part = vec![0; 50];
    turns().take(231, &mut part);
    assert_eq!(part, whole[231..281]);
    let mut other = vec![0; 420];
    Turns::balanced(&rows, &classes, 6, "labelled").take(0, &mut other);
    assert_ne!(other, whole, "the seed decides the order");
}

/// A run that is interrupted ends with the same bits, and so does one with another number of threads.
#[test]
fn balanced_training_is_resumed_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    let balanced = "labelled 5 balanced, unlabelled 10";
    for (name, line, batch) in [
        ("batch", "classify y", balanced),
        ("classify", "classify y balanced", BATCH),
    ] {
        let model = model("categorical(observed)", line, batch);
        let at = |part: &str| folder.path().join(format!("{name} {part}"));
        let whole = train(&model, &at("whole"), None, 1);
        assert_eq!(train(&model, &at("parts"), Some(2), 1), whole, "{name}");
        assert_eq!(train(&model, &at("threads"), None, 2), whole, "{name}");
        let stored = |part: &str| {
            let path = at(part).join("checkpoint.safetensors");
            dgc::NamedArray::read_all(&path).expect("a checkpoint")
        };
        assert!(stored("whole") == stored("parts"), "{name}");
    }
}
