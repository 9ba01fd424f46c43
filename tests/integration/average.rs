//! The line `average parameters`: the average is as it is defined, after every step, and it is what a
//! run is used with.

use crate::common;

use common::{check, distance, numbers};
use dgc::{
    DataArray, Dataset, Device, Model, Options, Rows, Run, SampleOptions, Trainer, driver,
    names::ParameterGroup,
    optimizer::OPTIMIZERS,
    run::{arrays::NamedArray, bound::Arrays},
    tensor::{OutputKind, eval},
};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// The decay in these models.
const DECAY: f64 = 0.7;

const ROWS: usize = 24;

/// A model whose bound, predictions and samples are closed forms of its parameters. All rows are in
/// each batch, so that an epoch is a step.
const BAYES: &str = "model bayes {
  data   x: binary[4]
  label  y: class[3]
  generative {
         y ~ uniform
    y -> x ~ bernoulli(linear)
  }
  inference {
    x -> y ~ categorical([dense(5) > batchnorm])
  }
  objective {
    sum y
    classify y
  }
  train {
    batch labelled 6, unlabelled 24
    optimizer adam(rate = 0.05)
    average parameters 0.7
    epochs 6
  }
}
";

/// A model that only classifies, without batch norm.
const CLASSIFIER: &str = "model classifier {
  data   x: binary[4]
  label  y: class[3]
  inference {
    x -> y ~ categorical(linear)
  }
  objective {
    classify y
  }
  train {
    batch labelled 6, unlabelled 24
    optimizer sgd(rate = 0.5, momentum = 0.9)
    average parameters 0.7
    epochs 6
  }
}
";

/// A model that infers `z` for [`UPPER`].
const LOWER: &str = "model lower {
  data   x: binary[4]
  latent z: real[2]
  generative {
         z ~ normal(0, 1)
    z -> x ~ bernoulli(linear)
  }
  inference {
    x -> z ~ normal([dense(5) > batchnorm])
  }
  train {
    batch 24
    optimizer adam(rate = 0.05)
    average parameters 0.7
    epochs 6
  }
}
";

const UPPER: &str = "model upper {
  data   z: real[2]
  latent v: real[2]
  generative {
         v ~ normal(0, 1)
    v -> z ~ normal(linear)
  }
  inference {
    z -> v ~ normal(linear)
  }
  train {
    batch 24
    optimizer adam(rate = 0.05)
    average parameters 0.7
    epochs 6
  }
}
";

/// Bits, and classes of the first rows.
fn bits() -> Vec<f64> {
    let numbers = numbers("bits of average", ROWS * 4, 1.0).into_iter();
    numbers.map(|x| f64::from(x > 0.0)).collect()
}

fn classes() -> Vec<f64> {
    let class = |row: usize| if row < 6 { (row % 3) as f64 } else { -1.0 };
    (0..ROWS).map(class).collect()
}

fn arrays() -> [DataArray; 2] {
    [
        DataArray::new("x", [ROWS, 4], bits()),
        DataArray::new("y", [ROWS], classes()),
    ]
}

/// A trainer that writes to a folder. The rows are test rows as well.
fn trainer(model: &Model, from: &[(String, std::path::PathBuf)], folder: &Path) -> Trainer {
    let train = arrays();
    let test = [
        DataArray::new("test.x", [ROWS, 4], bits()),
        DataArray::new("test.y", [ROWS], classes()),
    ];
    let data = Dataset::from_arrays(model, train.into_iter().chain(test)).expect("data");
    let options = Options {
        seed: 3,
        device: Some(Device::cpu(1)),
        output: Some(folder.to_path_buf()),
        from: from.to_vec(),
        ..Options::default()
    };
    Trainer::new(model, &data, options).expect("a trainer")
}

fn checkpoint(run: &Path) -> Arrays {
    common::read(&run.join("checkpoint.safetensors"))
}

fn is_parameter(name: &str) -> bool {
    !name.contains('/')
}

/// The average of values after each step, by its definition: Σ decayᵗ⁻ˢ value(s) / Σ decayᵗ⁻ˢ.
fn average(values: &[Vec<f64>]) -> Vec<f64> {
    let weights = (0..values.len()).rev().map(|age| DECAY.powi(age as i32));
    let total: f64 = weights.clone().sum();
    let mut average = vec![0.0; values[0].len()];
    for (weight, values) in weights.zip(values) {
        for (sum, value) in average.iter_mut().zip(values) {
            *sum += weight / total * value;
        }
    }
    average
}

/// The checkpoints of a run have the parameters after each step, and their average.
#[test]
fn a_checkpoint_has_the_average_of_all_parameters() {
    for text in [BAYES, CLASSIFIER, LOWER] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = folder.path().join("run");
        let model = check("average.dgm", text, &[]);
        let mut trainer = trainer(&model, &[], &run);
        // Before the first step, the average is the parameters.
        let first = checkpoint(&run);
        let mut steps: BTreeMap<String, Vec<Vec<f64>>> = BTreeMap::new();
        for name in first.keys().filter(|name| is_parameter(name)) {
            assert_eq!(first[name].data, first[&format!("average/{name}")].data);
            steps.insert(name.clone(), Vec::new());
        }
        let has_norm = text.contains("batchnorm");
        let has_running_mean = steps.keys().any(|name| name.ends_with(".running_mean"));
        assert_eq!(has_norm, has_running_mean, "{:?}", steps.keys());
        while trainer.epoch().expect("an epoch").is_some() {
            let found = checkpoint(&run);
            for (name, values) in &mut steps {
                values.push(found[name].data.clone());
                let wanted = average(values);
                // Each step rounds the average a few times, by 2⁻²⁴ each time.
                let off = distance(&found[&format!("average/{name}")].data, &wanted);
                assert!(off < 2e-6, "{name} after {} steps: {off}", values.len());
            }
        }
        for (name, values) in &steps {
            assert_eq!(values.len(), 6, "an epoch is a step");
            let raw = values.last().expect("there were steps");
            let apart = distance(&average(values), raw);
            // Batch norm takes out the bias before it.
            if !name.ends_with("dense1.bias") {
                assert!(apart > 1e-3, "the average of {name} is no step's: {apart}");
            }
        }
    }
}

/// The update of each optimiser, in double precision.
#[test]
fn every_optimiser_is_averaged() {
    for optimizer in OPTIMIZERS {
        let name = optimizer.name();
        assert!(
            !optimizer.state().contains(&"average"),
            "the state of `{name}`"
        );
        let text = CLASSIFIER.replace("sgd(rate = 0.5, momentum = 0.9)", name);
        let graph = driver::update(&check("average.dgm", &text, &[]), |_| 2);
        let mut values: HashMap<String, Vec<f64>> = HashMap::new();
        for group in ParameterGroup::ALL {
            let state = optimizer.state().iter().chain(&["average", "gradient"]);
            for state in state {
                values.insert(format!("{group}.{state}"), vec![0.3, -0.2]);
            }
            values.insert(group.to_string(), vec![0.5, -1.0]);
        }
        values.insert("rate".to_string(), vec![0.1]);
        let model = check("average.dgm", &text, &[]);
        let mut steps: [Vec<Vec<f64>>; 3] = Default::default();
        for step in 1..=5 {
            values.insert("step".to_string(), vec![f64::from(step)]);
            let weight = model.train.average_weight(step as u64);
            values.insert("average".to_string(), vec![weight]);
            // What batch norm does in a step.
            values.insert("untrained".to_string(), vec![f64::from(step), 0.1]);
            for (kind, name, array) in eval::run(&graph, &values, None).expect("all values") {
                if kind == OutputKind::Next {
                    values.insert(name, array.data);
                }
            }
            for (group, steps) in ParameterGroup::ALL.into_iter().zip(&mut steps) {
                steps.push(values[&group.to_string()].clone());
                let off = distance(&values[&format!("{group}.average")], &average(steps));
                assert!(off < 1e-12, "{name}: {group} after {step} steps: {off}");
            }
        }
    }
}

#[test]
fn the_weight_keeps_its_digits() {
    let model = |decay: &str| check("average.dgm", BAYES, &[("average.parameters", decay)]);
    for (decay, step, wanted) in [
        ("0.999999", 1, 1.0),
        // 1 / (1 + decay), and 1 − decay.
        ("0.999999", 2, 0.500_000_25),
        ("0.999", 100_000_000, 0.001),
        ("0.000001", 7, 0.999_999),
    ] {
        let found = model(decay).train.average_weight(step);
        let off = (found / wanted - 1.0).abs();
        assert!(off < 1e-9, "{decay} after {step} steps: {found}");
    }
    assert_eq!(model("0.999999").train.average_weight(1) as f32, 1.0);
}

/// x · weightᵀ + bias, for a weight with axes out, in.
fn linear(x: &[f64], weight: &NamedArray, bias: &NamedArray) -> Vec<f64> {
    let rows = weight.data.chunks(x.len()).zip(&bias.data);
    let product = |row: &[f64]| -> f64 { row.iter().zip(x).map(|(w, x)| w * x).sum() };
    rows.map(|(row, bias)| product(row) + bias).collect()
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let total: f64 = logits.iter().map(|x| x.exp()).sum();
    logits.iter().map(|x| x.exp() / total).collect()
}

/// What [`BAYES`] or [`CLASSIFIER`] says of the rows, by parameters of that prefix.
struct ByHand {
    /// Probabilities with axes row, class.
    predictions: Vec<f64>,
    /// Means with axes class, feature.
    means: Vec<f64>,
    /// The mean bound of unlabelled rows.
    bound: f64,
    error: f64,
}

fn by_hand(run: &Path, prefix: &str) -> ByHand {
    let arrays = checkpoint(run);
    let array = |name: &str| &arrays[&format!("{prefix}{name}")];
    let is_bayes = arrays.contains_key("q.y.dense1.bias");
    let predict = |x: &[f64]| {
        if !is_bayes {
            return softmax(&linear(
                x,
                array("q.y.logits.weight.x"),
                array("q.y.logits.bias"),
            ));
        }
        let hidden = linear(x, array("q.y.dense1.weight.x"), array("q.y.dense1.bias"));
        let norm = |name: &str| &array(&format!("q.y.batchnorm1.{name}")).data;
        let hidden = hidden.iter().enumerate().map(|(at, h)| {
            let scaled = (h - norm("running_mean")[at]) / (norm("running_var")[at] + 1e-5).sqrt();
            scaled * norm("weight")[at] + norm("bias")[at]
        });
        let hidden: Vec<f64> = hidden.collect();
        softmax(&linear(
            &hidden,
            array("q.y.logits.weight"),
            array("q.y.logits.bias"),
        ))
    };
    let mut by_hand = ByHand {
        predictions: Vec::new(),
        means: Vec::new(),
        bound: 0.0,
        error: 0.0,
    };
    if is_bayes {
        for class in 0..3 {
            let one_hot = [0, 1, 2].map(|other| f64::from(other == class));
            let logits = linear(
                &one_hot,
                array("p.x.logits.weight.y"),
                array("p.x.logits.bias"),
            );
            by_hand
                .means
                .extend(logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())));
        }
    }
    for (x, class) in bits().chunks(4).zip(classes()) {
        let q = predict(x);
        for (q, means) in q.iter().zip(by_hand.means.chunks(4)) {
            let of_bit = |(x, mean): (&f64, &f64)| (x * mean + (1.0 - x) * (1.0 - mean)).ln();
            let log_p: f64 = x.iter().zip(means).map(of_bit).sum();
            by_hand.bound += q * (log_p - 3f64.ln() - q.ln()) / ROWS as f64;
        }
        if class >= 0.0 {
            let most = q.iter().fold(0.0f64, |most, q| most.max(*q));
            by_hand.error += f64::from(q[class as usize] < most) / 6.0;
        }
        by_hand.predictions.extend(q);
    }
    by_hand
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|x| f64::from(*x)).collect()
}

/// Training evaluates its held-out rows with the average, and a run does all it does with it.
#[test]
fn a_run_is_used_with_the_average() {
    for text in [BAYES, CLASSIFIER] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("run");
        let model = check("average.dgm", text, &[]);
        let mut trainer = trainer(&model, &[], &path);
        let mut last = None;
        while let Some(epoch) = trainer.epoch().expect("an epoch") {
            last = Some(epoch);
        }
        let metrics = last.expect("an epoch ended").metrics().clone();
        let wanted = by_hand(&path, "average/");
        let raw = by_hand(&path, "");
        let apart = distance(&wanted.predictions, &raw.predictions);
        assert!(apart > 1e-3, "the average matters: {apart}");
        let run = Run::open_on(&path, &Device::cpu(1)).expect("a run");
        let rows = Rows::from_arrays(&model, arrays()).expect("rows");
        let is_close = |found: &[f32], wanted: &[f64]| {
            let off = distance(&wide(found), wanted);
            assert!(off < 1e-5, "{off}");
        };
        let predictions = run.predict(&rows).expect("predictions");
        let predictions = predictions.get("y").expect("the label");
        is_close(&predictions.probabilities, &wanted.predictions);
        let encodings = run.encode(&rows).expect("encodings");
        let encodings = encodings.get("y").expect("the label");
        is_close(&encodings.values, &wanted.predictions);
        let evaluation = run.evaluate(&rows).expect("an evaluation");
        assert!((evaluation.labels[0].scores.error - wanted.error).abs() < 1e-12);
        let number = |json: &serde_json::Value| json.as_f64().expect("a number");
        assert!((number(&metrics["test"]["error"]) - wanted.error).abs() < 1e-12);
        if text == CLASSIFIER {
            continue;
        }
        let apart = (raw.bound / wanted.bound - 1.0).abs();
        assert!(apart > 1e-3, "the average matters to the bound: {apart}");
        let bound = evaluation.means.get("bound").expect("a bound");
        for found in [bound, number(&metrics["test"]["bound"])] {
            let off = (found / wanted.bound - 1.0).abs();
            assert!(off < 1e-5, "{found} instead of {}", wanted.bound);
        }
        let options = SampleOptions {
            lines: 1,
            ..SampleOptions::default()
        };
        let samples = run.sample(&options).expect("samples");
        is_close(samples.means("x").expect("the variable"), &wanted.means);
    }
}

/// A model on top reads the average of the run below, and its parameters never change.
#[test]
fn the_average_of_a_run_is_what_is_stacked_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [below, above] = ["below", "above"].map(|name| folder.path().join(name));
    let lower = check("lower.dgm", LOWER, &[]);
    let mut below_trainer = trainer(&lower, &[], &below);
    while below_trainer.epoch().expect("an epoch").is_some() {}
    let upper = check("upper.dgm", UPPER, &[]);
    let upper = upper.on_run("z", &below).expect("a stacked model");
    let from = [("z".to_string(), below.clone())];
    let mut above_trainer = trainer(&upper, &from, &above);
    while above_trainer.epoch().expect("an epoch").is_some() {}
    let (below, above) = (checkpoint(&below), checkpoint(&above));
    let names = below.keys().filter(|name| is_parameter(name));
    let mut read = 0;
    for name in names {
        let wanted = &below[&format!("average/{name}")].data;
        let stacked = format!("from.z.{name}");
        assert_eq!(above[&stacked].data, *wanted, "{name}");
        // The parameters that generate x are in no step, and have no average.
        if let Some(average) = above.get(&format!("average/{stacked}")) {
            assert_eq!(average.data, *wanted, "the average of {name}");
            read += 1;
        }
    }
    assert!(read > 0, "{:?}", above.keys());
}
