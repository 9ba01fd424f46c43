//! What is asked of predictions beside the bound. Virtual adversarial training: the direction
//! against one found by differences, and the term against its definition; the information of rows
//! and labels against its definition.

use crate::common;

use common::{check, numbers, parameters};
use dgc::{
    backend::Device,
    driver,
    lower::Mode,
    model::Model,
    run::{
        arrays::NamedArray,
        bound::{Arrays, Engine, bound},
    },
    tensor::{eval, philox},
};

/// A classifier, on its own or within an ADGM.
fn model(within: bool, smooth: &str) -> Model {
    model_of("real", within, smooth)
}

/// The same with data of that type.
fn model_of(domain: &str, within: bool, smooth: &str) -> Model {
    let (latent, generative, parents, objective) = if within {
        let of_x = match domain {
            "binary" => "bernoulli",
            _ => "normal",
        };
        let generative = format!(
            "  generative {{
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ {of_x}(linear)
    x, y -> a ~ normal(linear)
  }}"
        );
        (
            "  latent a: real[2]\n  latent z: real[1]\n",
            generative,
            "a, x",
            "    sum y\n",
        )
    } else {
        ("", String::new(), "x", "")
    };
    let inference = if within {
        "    x -> a ~ normal(body)\n    x -> z ~ normal(linear)\n"
    } else {
        ""
    };
    let text = format!(
        "model small {{
  data  x: {domain}[4]
  label y: class[3]
{latent}  net body = [dense(5) > tanh]
{generative}
  inference {{
{inference}    {parents} -> y ~ categorical(body)
  }}
  objective {{
{objective}    classify y
{smooth}
  }}
}}
"
    );
    check("small.dgm", &text, &[])
}

const ROWS: usize = 3;

fn array(name: &str, shape: Vec<usize>, data: Vec<f64>) -> (String, NamedArray) {
    (
        name.to_string(),
        NamedArray {
            name: name.to_string(),
            shape,
            data,
        },
    )
}

fn rows() -> Vec<f64> {
    numbers("x", ROWS * 4, 1.0)
}

/// The types of data, each with numbers of that type and a number moved back into its domain.
type Kind = (&'static str, fn(f64) -> f64, fn(f64, f64) -> f64);

const KINDS: [Kind; 5] = [
    ("real", |x| x, |_, moved| moved),
    (
        "count",
        |x| (2.0 * x.abs()).floor(),
        |_, moved| moved.max(0.0),
    ),
    (
        "binary",
        |x| f64::from(x > 0.0),
        |_, moved| moved.clamp(0.0, 1.0),
    ),
    ("positive", |x| x.abs() + 0.1, |x, moved| moved.max(0.1 * x)),
    (
        "unit",
        |x| 1.0 / (1.0 + x.exp()),
        |x, moved| moved.clamp(0.1 * x, 1.0 - 0.1 * (1.0 - x)),
    ),
];

/// The report for a batch of unlabelled rows.
fn report(
    model: &Model,
    engine: &Engine,
    parameters: &Arrays,
    rows: &[f64],
) -> dgc::run::bound::Report {
    let batch: Arrays = [
        array("x", vec![ROWS, 4], rows.to_vec()),
        array("y", vec![ROWS], vec![-1.0; ROWS]),
    ]
    .into();
    bound(model, parameters, &batch, None, 3, engine).expect("a bound")
}

/// log q(y | x) of the classifier with these parameters, of one row.
fn log_q(parameters: &Arrays, x: &[f64]) -> Vec<f64> {
    let hidden = tanh(linear(parameters, "q.y.dense1", &[(".x", x)]));
    log_softmax(&linear(parameters, "q.y.logits", &[("", &hidden)]))
}

/// The output of a linear layer: bias + Σ weight · part over the parts of its input.
fn linear(parameters: &Arrays, prefix: &str, parts: &[(&str, &[f64])]) -> Vec<f64> {
    let mut sums = parameters[&format!("{prefix}.bias")].data.clone();
    for (part, x) in parts {
        let weight = &parameters[&format!("{prefix}.weight{part}")].data;
        for (sum, row) in sums.iter_mut().zip(weight.chunks(x.len())) {
            *sum += row.iter().zip(*x).map(|(w, x)| w * x).sum::<f64>();
        }
    }
    sums
}

fn tanh(x: Vec<f64>) -> Vec<f64> {
    x.into_iter().map(f64::tanh).collect()
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let normaliser = logits.iter().map(|x| x.exp()).sum::<f64>().ln();
    logits.iter().map(|x| x - normaliser).collect()
}

fn divergence(from: &[f64], to: &[f64]) -> f64 {
    from.iter().zip(to).map(|(p, q)| p.exp() * (p - q)).sum()
}

/// Adds a direction of that length, within the domain.
fn moved((_, _, within): Kind, x: &[f64], direction: &[f64], length: f64) -> Vec<f64> {
    let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    x.iter()
        .zip(direction)
        .map(|(&x, d)| within(x, x + length * d / norm))
        .collect()
}

/// The clean prediction of each row, and its data moved as the definition says, the gradient by
/// central differences.
fn adversaries(
    parameters: &Arrays,
    (kind, rows): (Kind, &[f64]),
    radius: f64,
    step: f64,
    rounds: usize,
) -> Vec<(Vec<f64>, Vec<f64>)> {
    let stream = philox::stream("unlabelled.smooth.y.x");
    let of_row = |row: usize| {
        let x = &rows[row * 4..][..4];
        let clean = log_q(parameters, x);
        let mut direction: Vec<f64> = (0..4)
            .map(|i| philox::normal(3, 0, stream, (row * 4 + i) as u64))
            .collect();
        for _ in 0..rounds {
            let start = moved(kind, x, &direction, step);
            let slope = |i: usize| {
                let at = |by: f64| {
                    let mut changed = start.clone();
                    changed[i] += by;
                    divergence(&clean, &log_q(parameters, &changed))
                };
                (at(1e-5) - at(-1e-5)) / 2e-5
            };
            direction = (0..4).map(slope).collect();
        }
        (clean, moved(kind, x, &direction, radius))
    };
    (0..ROWS).map(of_row).collect()
}

/// The mean divergence of predictions that are held from those with these parameters.
fn mean(parameters: &Arrays, adversaries: &[(Vec<f64>, Vec<f64>)]) -> f64 {
    let sum: f64 = adversaries
        .iter()
        .map(|(clean, x)| divergence(clean, &log_q(parameters, x)))
        .sum();
    sum / ROWS as f64
}

#[test]
fn the_term_is_as_it_is_defined() {
    for (radius, step, rounds, ramp) in [
        (2.0, 0.1, 1, ""),
        (0.5, 1.0, 1, ""),
        (1.0, 0.1, 3, " warmup 2 from 7"),
    ] {
        let line = format!(
            "    smooth y by vat(radius = {radius}, weight = 0.5, step = {step}, rounds = {rounds}){ramp}"
        );
        for kind in KINDS {
            let (domain, of_domain, _) = kind;
            let model = model_of(domain, false, &line);
            let parameters = parameters(&model);
            let rows: Vec<f64> = rows().into_iter().map(of_domain).collect();
            let held = adversaries(&parameters, (kind, &rows), radius, step, rounds);
            let wanted = 0.5 * mean(&parameters, &held);
            for engine in [Engine::Reference, Engine::Device(Device::cpu(1))] {
                let loss = report(&model, &engine, &parameters, &rows).json["loss"]
                    .as_f64()
                    .expect("a loss");
                let error = (loss - wanted).abs() / wanted;
                let most = if matches!(engine, Engine::Reference) {
                    1e-6
                } else {
                    1e-3
                };
                assert!(error < most, "{domain}, {line}: {loss}, not {wanted}");
            }
        }
    }
}

/// Networks that have no value outside the domain of the data.
#[test]
fn moved_data_stay_in_their_domain() {
    for (domain, network) in [
        ("count", "log1p > dense(5) > tanh"),
        ("positive", "log > dense(5) > tanh"),
        ("unit", "log > dense(5) > tanh"),
    ] {
        let kind = KINDS.into_iter().find(|kind| kind.0 == domain);
        let (_, of_domain, _) = kind.expect("a kind");
        let rows: Vec<f64> = rows().into_iter().map(of_domain).collect();
        let loss = |edition: &str, radius: f64| {
            let text = format!(
                "model moved {{
  edition {edition}
  data  x: {domain}[4]
  label y: class[3]

  inference {{
    x -> y ~ categorical([{network}])
  }}

  objective {{
    classify y
    smooth y by vat(radius = {radius}, step = {radius})
  }}
}}
"
            );
            let model = check("moved.dgm", &text, &[]);
            let parameters = parameters(&model);
            let report = report(&model, &Engine::Device(Device::cpu(1)), &parameters, &rows);
            report.json["loss"].as_f64().unwrap_or(f64::NAN)
        };
        for radius in [0.1, 5.0, 1e4] {
            let found = loss("2", radius);
            assert!(found.is_finite(), "{domain}, radius {radius}: {found}");
        }
        assert!(!loss("1", 1e4).is_finite(), "{domain} in edition 1");
    }
}

/// The direction and the clean prediction are constants: the gradient is that of the moved
/// prediction alone.
#[test]
fn gradients_flow_through_the_moved_prediction_alone() {
    let model = model(false, "    smooth y by vat(radius = 1)");
    let parameters = parameters(&model);
    let held = adversaries(&parameters, (KINDS[0], &rows()), 1.0, 1.0, 1);
    let report = report(&model, &Engine::Reference, &parameters, &rows());
    gradients_are_slopes(&report, &parameters, |changed| mean(changed, &held), 1e-5);
}

/// Each gradient against a central difference of the loss.
fn gradients_are_slopes(
    report: &dgc::run::bound::Report,
    parameters: &Arrays,
    loss: impl Fn(&Arrays) -> f64,
    most: f64,
) {
    for array in &report.gradients {
        for (element, gradient) in array.data.iter().enumerate() {
            let at = |by: f64| {
                let mut changed = parameters.clone();
                changed.get_mut(&array.name).expect("a parameter").data[element] += by;
                loss(&changed)
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!(
                (gradient - slope).abs() < most,
                "{} {element}: {gradient}, not {slope}",
                array.name
            );
        }
    }
}

/// Within a model whose q(y | a, x) reads a latent, what it reads is drawn again from the moved
/// data, by the same noise: where nothing moves, nothing changes.
#[test]
fn latents_are_drawn_by_the_same_noise() {
    let loss = |smooth: &str| {
        let model = model(true, smooth);
        let report = report(&model, &Engine::Reference, &parameters(&model), &rows());
        report.json["loss"].as_f64().expect("a loss")
    };
    let (plain, still) = (loss(""), loss("    smooth y by vat(radius = 0)"));
    assert!((still - plain).abs() < 1e-12, "{still} and {plain}");
    let (near, far) = (
        loss("    smooth y by vat(radius = 0.1)"),
        loss("    smooth y by vat(radius = 1)"),
    );
    assert!(plain < near && near < far, "{plain}, {near}, {far}");
}

/// log q(y | a, x) of the ADGM, of a row whose a has the noise `epsilon`.
fn log_q_of_adgm(parameters: &Arrays, x: &[f64], epsilon: &[f64]) -> Vec<f64> {
    let hidden = tanh(linear(parameters, "q.a.dense1", &[(".x", x)]));
    let mean = linear(parameters, "q.a.mean", &[("", &hidden)]);
    let log_variance = linear(parameters, "q.a.log_variance", &[("", &hidden)]);
    let a: Vec<f64> = (0..2)
        .map(|i| mean[i] + (0.5 * log_variance[i]).exp() * epsilon[i])
        .collect();
    let hidden = tanh(linear(parameters, "q.y.dense1", &[(".a", &a), (".x", x)]));
    log_softmax(&linear(parameters, "q.y.logits", &[("", &hidden)]))
}

/// With `to clean`, the target is the prediction for the greys and for the mean of a, also in training,
/// where the prediction beside it is that of drawn bits and of a drawn a. With a radius of 0, nothing
/// else separates the two.
#[test]
fn the_clean_prediction_is_not_random() {
    let line = "    smooth y by vat(radius = 0) to clean";
    let model = model_of("binary", true, line);
    let parameters = parameters(&model);
    let greys: Vec<f64> = rows().into_iter().map(|x| 1.0 / (1.0 + x.exp())).collect();
    let graph = driver::lower(&model, &driver::derive(&model), &[0, ROWS], Mode::TRAIN);
    let mut values: eval::NamedValues = parameters
        .iter()
        .map(|(name, array)| (name.clone(), array.data.clone()))
        .collect();
    values.insert("unlabelled.x".to_string(), greys.clone());
    let (seed, step) = (3, 0);
    let outputs = eval::run(&graph, &values, Some(eval::Seed { seed, step })).expect("numbers");
    let found = outputs
        .iter()
        .find(|(_, name, _)| name.to_string().starts_with("smoothness"));
    let found = found.expect("the metric").2.data[0];

    let uniform = philox::stream("unlabelled.x.draw");
    let normal = philox::stream("unlabelled.a");
    let of_row = |row: usize| {
        let x = &greys[row * 4..][..4];
        let bits: Vec<f64> = (0..4)
            .map(|i| philox::uniform(seed, step, uniform, (row * 4 + i) as u64))
            .zip(x)
            .map(|(u, &x)| f64::from(x > u))
            .collect();
        let epsilon: Vec<f64> = (0..2)
            .map(|i| philox::normal(seed, step, normal, (row * 2 + i) as u64))
            .collect();
        let clean = log_q_of_adgm(&parameters, x, &[0.0, 0.0]);
        divergence(&clean, &log_q_of_adgm(&parameters, &bits, &epsilon))
    };
    let wanted = (0..ROWS).map(of_row).sum::<f64>() / ROWS as f64;
    assert!(wanted > 1e-3, "the two differ: {wanted}");
    assert!((found - wanted).abs() < 1e-12, "{found}, not {wanted}");
}

/// H(mean q) − mean H(q) of the classifier's predictions.
fn information(parameters: &Arrays) -> f64 {
    let predictions: Vec<Vec<f64>> = rows().chunks(4).map(|x| log_q(parameters, x)).collect();
    let entropy = |q: &[f64]| -q.iter().map(|q| q * q.ln()).sum::<f64>();
    let each: Vec<Vec<f64>> = predictions
        .iter()
        .map(|logs| logs.iter().map(|log| log.exp()).collect())
        .collect();
    let mean: Vec<f64> = (0..3)
        .map(|class| each.iter().map(|q| q[class]).sum::<f64>() / ROWS as f64)
        .collect();
    entropy(&mean) - each.iter().map(|q| entropy(q)).sum::<f64>() / ROWS as f64
}

#[test]
fn information_is_as_it_is_defined() {
    let model = model(false, "    inform y weight 0.5");
    let parameters = parameters(&model);
    let wanted = -0.5 * information(&parameters);
    assert!(wanted < -1e-3, "there is some: {wanted}");
    for (engine, most) in [
        (Engine::Reference, 1e-12),
        (Engine::Device(Device::cpu(1)), 1e-6),
    ] {
        let loss = report(&model, &engine, &parameters, &rows()).json["loss"]
            .as_f64()
            .expect("a loss");
        assert!((loss - wanted).abs() < most, "{loss}, not {wanted}");
    }
    let report = report(&model, &Engine::Reference, &parameters, &rows());
    gradients_are_slopes(
        &report,
        &parameters,
        |changed| -0.5 * information(changed),
        1e-8,
    );
}

/// A class that no row can have is no logarithm of 0.
#[test]
fn information_of_certain_predictions_is_finite() {
    let model = model(false, "    inform y");
    let mut parameters = parameters(&model);
    parameters
        .get_mut("q.y.logits.bias")
        .expect("a parameter")
        .data = vec![1e4, 0.0, -1e4];
    for engine in [Engine::Reference, Engine::Device(Device::cpu(1))] {
        let report = report(&model, &engine, &parameters, &rows());
        let loss = report.json["loss"].as_f64().expect("a loss");
        assert!(loss.abs() < 1e-6, "{loss}");
        assert!(
            report
                .gradients
                .iter()
                .flat_map(|array| &array.data)
                .all(|x| x.is_finite()),
            "no NaN"
        );
    }
}
