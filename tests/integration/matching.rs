//! Costs between nodes: a small ladder network in training against its definition, noise and all.

use crate::common;

use common::{check, distance, numbers};
use dgc::{
    driver,
    lower::Mode,
    model::Model,
    tensor::{Op, OutputKind, eval, philox},
};
use std::collections::HashMap;

const ROWS: usize = 4;
const WIDTH: usize = 3;
const SEED: u64 = 5;
const STEP: u64 = 2;

fn model(lines: &str) -> Model {
    let text = format!(
        "model small {{
  data  x: real[3]
  label y: class[2]
  inference {{
    x    -> z0 = noise(0.2)
    z0   -> e = dense(3)
    e    -> z = standardize > noise(0.4)
    z    -> h = affine > tanh
    h    -> y ~ categorical(linear)
    h    -> u = dense(3) > softmax > standardize
    z, u -> r = combinator
  }}
  objective {{
    classify y
{lines}
  }}
}}
"
    );
    check("small.dgm", &text, &[])
}

/// A value of each row: rows × features.
type Table = Vec<Vec<f64>>;

struct Small {
    values: HashMap<String, Vec<f64>>,
}

impl Small {
    fn get(&self, name: &str) -> &[f64] {
        &self.values[name]
    }

    fn noise(&self, name: &str) -> Table {
        let stream = philox::stream(name);
        let draw = |element: usize| philox::normal(SEED, STEP, stream, element as u64);
        (0..ROWS)
            .map(|row| {
                (0..WIDTH)
                    .map(|feature| draw(row * WIDTH + feature))
                    .collect()
            })
            .collect()
    }

    fn linear(&self, name: &str, weight: &str, value: &Table) -> Table {
        let (weight, bias) = (
            self.get(&format!("{name}.{weight}")),
            self.get(&format!("{name}.bias")),
        );
        let one = |row: &Vec<f64>| -> Vec<f64> {
            let dot = |out: usize| {
                weight[out * WIDTH..][..WIDTH]
                    .iter()
                    .zip(row)
                    .map(|(w, x)| w * x)
                    .sum::<f64>()
            };
            (0..WIDTH).map(|out| bias[out] + dot(out)).collect()
        };
        value.iter().map(one).collect()
    }

    /// The layer before batch norm, after it, and its output.
    fn encode(&self, noisy: bool) -> (Table, Table, Table) {
        let x: Table = self
            .get("unlabelled.x")
            .chunks(WIDTH)
            .map(<[f64]>::to_vec)
            .collect();
        let add = |value: &Table, noise: &str, scale: f64| {
            let scale = if noisy { scale } else { 0.0 };
            each(value, &self.noise(noise), |a, b| a + scale * b)
        };
        let z0 = add(&x, "unlabelled.q.z0.noise1.x", 0.2);
        let e = self.linear("q.e.dense1", "weight.z0", &z0);
        let z = add(&standardized(&e), "unlabelled.q.z.noise1.e", 0.4);
        let (weight, bias) = (self.get("q.h.affine1.weight"), self.get("q.h.affine1.bias"));
        let affine = |row: &Vec<f64>| {
            (0..WIDTH)
                .map(|i| (weight[i] * row[i] + bias[i]).tanh())
                .collect()
        };
        let h = z.iter().map(affine).collect();
        (e, z, h)
    }

    fn decode(&self, z: &Table, h: &Table) -> Table {
        let logits = self.linear("q.u.dense1", "weight.h", h);
        let softmax = |row: &Vec<f64>| {
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            row.iter().map(|x| x.exp() / sum).collect()
        };
        let u = standardized(&logits.iter().map(softmax).collect());
        let formula = |u: f64, feature: usize, first: usize| {
            let a =
                |offset: usize| self.get(&format!("q.r.combinator1.a{}", first + offset))[feature];
            a(0) / (1.0 + (-(a(1) * u + a(2))).exp()) + a(3) * u + a(4)
        };
        let row = |(z, u): (&Vec<f64>, &Vec<f64>)| {
            let one = |i: usize| {
                let (mean, slope) = (formula(u[i], i, 1), formula(u[i], i, 6));
                (z[i] - mean) * slope + mean
            };
            (0..WIDTH).map(one).collect()
        };
        z.iter().zip(&u).map(row).collect()
    }
}

fn each(one: &Table, other: &Table, f: impl Fn(f64, f64) -> f64) -> Table {
    one.iter()
        .zip(other)
        .map(|(a, b)| a.iter().zip(b).map(|(a, b)| f(*a, *b)).collect())
        .collect()
}

/// The mean and the biased variance of each feature.
fn moments(value: &Table) -> (Vec<f64>, Vec<f64>) {
    let mean = |f: &dyn Fn(&Vec<f64>, usize) -> f64, i| {
        value.iter().map(|row| f(row, i)).sum::<f64>() / ROWS as f64
    };
    let means: Vec<f64> = (0..WIDTH).map(|i| mean(&|row, i| row[i], i)).collect();
    let variances = (0..WIDTH)
        .map(|i| mean(&|row, i| (row[i] - means[i]).powi(2), i))
        .collect();
    (means, variances)
}

fn standardized(value: &Table) -> Table {
    let (means, variances) = moments(value);
    let row = |row: &Vec<f64>| {
        (0..WIDTH)
            .map(|i| (row[i] - means[i]) / (variances[i] + 1e-5).sqrt())
            .collect()
    };
    value.iter().map(row).collect()
}

/// What a training step gives for unlabelled rows, and what it was given.
fn step(model: &Model) -> (HashMap<(OutputKind, String), Vec<f64>>, Small) {
    let graph = driver::lower(model, &driver::derive(model), &[0, ROWS], Mode::TRAIN);
    let mut values = eval::NamedValues::new();
    for parameter in &graph.parameters {
        let count = parameter
            .axes
            .iter()
            .map(|&axis| graph.axis(axis).size)
            .product();
        values.insert(parameter.name.clone(), numbers(&parameter.name, count, 0.7));
    }
    for node in graph.ids() {
        let Op::Input { name, .. } = graph.op(node) else {
            continue;
        };
        values.insert(
            name.clone(),
            numbers(name, graph.elements(graph.axes_of(node)), 1.0),
        );
    }
    let outputs = eval::run(
        &graph,
        &values,
        Some(eval::Seed {
            seed: SEED,
            step: STEP,
        }),
    )
    .expect("numbers");
    let outputs = outputs
        .into_iter()
        .map(|(kind, name, array)| ((kind, name), array.data))
        .collect();
    (
        outputs,
        Small {
            values: values.into_iter().collect(),
        },
    )
}

#[test]
fn a_noisy_layer_is_matched_to_its_clean_self() {
    let (outputs, small) = step(&model("    match r to clean e standardized weight 3"));
    let (_, z, h) = small.encode(true);
    let found = small.decode(&z, &h);
    let (target, ..) = small.encode(false);
    let (means, variances) = moments(&target);
    let cost = |(found, target): (&Vec<f64>, &Vec<f64>)| -> f64 {
        (0..WIDTH)
            .map(|i| (found[i] - target[i]).powi(2) / (variances[i] + 1e-5))
            .sum()
    };
    let wanted = found.iter().zip(&target).map(cost).sum::<f64>() / (ROWS * WIDTH) as f64;
    let get = |kind, name: &str| outputs[&(kind, name.to_string())].clone();
    assert!(distance(&get(OutputKind::Value, "match.r"), &[wanted]) < 1e-12);
    assert!(distance(&get(OutputKind::Value, "loss"), &[3.0 * wanted]) < 1e-12);
    // Evaluation repeats the clean pass: its statistics are those that the averages take.
    let moved = |name: &str, by: &[f64]| {
        let stored = small.get(name).to_vec();
        let wanted: Vec<f64> = stored
            .iter()
            .zip(by)
            .map(|(stored, by)| 0.9 * stored + 0.1 * by)
            .collect();
        assert!(
            distance(&get(OutputKind::Next, name), &wanted) < 1e-12,
            "{name}"
        );
    };
    moved("q.z.standardize1.running_mean", &means);
    moved("q.z.standardize1.running_var", &variances);
}

/// Of rows whose labels are unseen and that no cost reads, evaluation still needs the statistics.
#[test]
fn averages_of_a_classifier_move() {
    let (outputs, small) = step(&model(""));
    let (e, ..) = small.encode(true);
    let stored = small.get("q.z.standardize1.running_var");
    let wanted: Vec<f64> = stored
        .iter()
        .zip(&moments(&e).1)
        .map(|(stored, by)| 0.9 * stored + 0.1 * by)
        .collect();
    let found = &outputs[&(OutputKind::Next, "q.z.standardize1.running_var".to_string())];
    assert!(
        distance(found, &wanted) < 1e-12,
        "{found:?}, not {wanted:?}"
    );
}

#[test]
fn a_target_that_is_not_clean_has_the_noise() {
    let (outputs, small) = step(&model("    match r to z0"));
    let (_, z, h) = small.encode(true);
    let x: Table = small
        .get("unlabelled.x")
        .chunks(WIDTH)
        .map(<[f64]>::to_vec)
        .collect();
    let z0 = each(&x, &small.noise("unlabelled.q.z0.noise1.x"), |a, b| {
        a + 0.2 * b
    });
    let squares = each(&small.decode(&z, &h), &z0, |a, b| (a - b).powi(2));
    let wanted = squares.iter().flatten().sum::<f64>() / (ROWS * WIDTH) as f64;
    assert!(
        distance(
            &outputs[&(OutputKind::Value, "match.r".to_string())],
            &[wanted]
        ) < 1e-12
    );
    let (e, ..) = small.encode(true);
    let stored = small.get("q.z.standardize1.running_mean");
    let wanted: Vec<f64> = stored
        .iter()
        .zip(&moments(&e).0)
        .map(|(stored, mean)| 0.9 * stored + 0.1 * mean)
        .collect();
    let found = &outputs[&(
        OutputKind::Next,
        "q.z.standardize1.running_mean".to_string(),
    )];
    assert!(
        distance(found, &wanted) < 1e-12,
        "{found:?}, not {wanted:?}"
    );
}

/// Data are seen, so what is made of them may be matched to them although p draws them from a
/// class.
#[test]
fn data_that_a_class_explains_may_be_recovered() {
    let text = "model recovered {
  data   x: real[3]
  label  y: class[2]
  latent z: real[2]
  generative {
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ normal(linear)
  }
  inference {
    x    -> h = noise(0.2)
    h    -> r = dense(3)
    x    -> y ~ categorical(linear)
    x, y -> z ~ normal(linear)
  }
  objective {
    sum y
    match r to x weight 2
  }
}
";
    let (outputs, small) = step(&check("recovered.dgm", text, &[]));
    let x: Table = small
        .get("unlabelled.x")
        .chunks(WIDTH)
        .map(<[f64]>::to_vec)
        .collect();
    let h = each(&x, &small.noise("unlabelled.q.h.noise1.x"), |a, b| {
        a + 0.2 * b
    });
    let squares = each(&small.linear("q.r.dense1", "weight.h", &h), &x, |a, b| {
        (a - b).powi(2)
    });
    let wanted = squares.iter().flatten().sum::<f64>() / (ROWS * WIDTH) as f64;
    let get = |name: &str| outputs[&(OutputKind::Value, name.to_string())][0];
    assert!(distance(&[get("match.r")], &[wanted]) < 1e-12);
    assert!(distance(&[get("loss")], &[2.0 * wanted - get("unlabelled.bound")]) < 1e-12);
}
