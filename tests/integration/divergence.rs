//! When a run counts as diverged: losses are compared at equal weights, with that of the first
//! parameters.

use crate::common;

use common::check;
use dgc::{
    Dataset, ErrorKind, Options, Trainer,
    backend::Device,
    driver,
    lower::Mode,
    model::Model,
    names::OutputName,
    run::{
        data::DataArray,
        divergence::{is_far_worse, loss_at},
    },
    tensor::{Op, eval},
};

/// Every line whose weight may change, with free bits that clamp and free bits that do not.
const WEIGHTS: &str = "model weights {
  data   x: binary[6]
  label  y: class[3]
  latent z: real[2]
  latent w: real[3]

  net body = dense(4) > tanh

  generative {
               z ~ normal(0, 1)
               w ~ normal(0, 1)
               y ~ uniform
    y, z, w -> x ~ bernoulli(body)
  }

  inference {
    x    -> y ~ categorical(body)
    x, y -> z ~ normal(body)
    x    -> w ~ normal(body)
  }

  objective {
    sum y
    classify y weight 3
    smooth y by vat(radius = 1, weight = 2) warmup 5 from 9
    labelled 0.2 warmup 4 from 1
    beta y 1 warmup 6 from 4
    beta z 4 warmup 10
    free_bits z 0.01
    free_bits w 50
  }
}
";

/// What a step reports with the weights after some epochs: parameters, data and noise are the same.
fn reported(model: &Model, epoch: f64) -> Vec<(OutputName, f64)> {
    let graph = driver::step(model, &[3, 4], Mode::TRAIN);
    let scheduled = model.scheduled();
    let mut values: eval::NamedValues = common::parameters(model)
        .into_iter()
        .map(|(name, array)| (name, array.data))
        .collect();
    for node in graph.ids() {
        let Op::Input { name, .. } = graph.op(node) else {
            continue;
        };
        let len = graph.elements(graph.axes_of(node));
        let weight = scheduled.iter().find(|(scheduled, _)| scheduled == name);
        let value = match weight {
            Some((_, input)) => vec![model.scheduled_value(*input, epoch)],
            None => (0..len).map(|at| (at % 2) as f64).collect(),
        };
        values.insert(name.clone(), value);
    }
    let seed = eval::Seed { seed: 5, step: 0 };
    let outputs = eval::run(&graph, &values, Some(seed)).expect("values for everything");
    let names = graph.outputs.iter().map(|output| output.name.clone());
    names
        .zip(outputs)
        .filter(|(_, (_, _, array))| array.axes.is_empty())
        .map(|(name, (_, _, array))| (name, array.data[0]))
        .collect()
}

#[test]
fn a_loss_is_known_at_other_weights() {
    let model = check("weights.dgm", WEIGHTS, &[]);
    let loss = |reported: &[(OutputName, f64)]| {
        let mut losses = reported
            .iter()
            .filter(|(name, _)| *name == OutputName::Loss);
        losses.next().expect("a loss").1
    };
    let epochs = [0.0, 1.0, 4.5, 7.0, 20.0];
    let at: Vec<_> = epochs.map(|epoch| reported(&model, epoch)).into();
    assert!(
        (loss(&at[0]) - loss(&at[4])).abs() > 1.0,
        "the weights matter"
    );
    for (from, reported) in epochs.into_iter().zip(&at) {
        for (to, wanted) in epochs.into_iter().zip(&at) {
            let (found, wanted) = (loss_at(&model, reported, from, to), loss(wanted));
            assert!(
                (found - wanted).abs() < 1e-9,
                "from {from} to {to}: {found} instead of {wanted}"
            );
        }
    }
}

#[test]
fn a_loss_near_zero_counts_as_one_nat_for_each_number() {
    let model = check("weights.dgm", WEIGHTS, &[]);
    // Six pixels and a label.
    for (loss, first, expected) in [
        (70.0, 0.0, false),
        (71.0, 0.0, true),
        (-70.0, -141.0, false),
        (1e7, 1e6, false),
        (1.2e7, 1e6, true),
        (1e7, 500.0, true),
    ] {
        assert_eq!(
            is_far_worse(&model, loss, first),
            expected,
            "{loss} {first}"
        );
    }
}

/// An autoencoder on rows of two factors in twelve standardised columns, with that optimiser and
/// line.
fn trainer(rows: usize, optimizer: &str, line: &str, scale: f64) -> Trainer {
    let text = format!(
        "model anneal {{
  data   x: real[12]
  latent z: real[4]

  net body = dense(32) > tanh

  generative {{
         z ~ normal(0, 1)
    z -> x ~ normal(body)
  }}

  inference {{
    x -> z ~ normal(body)
  }}

  objective {{
    {line}
  }}

  train {{
    batch 20
    optimizer {optimizer}
    epochs 20
  }}
}}
"
    );
    let model = check("anneal.dgm", &text, &[]);
    let factors = common::numbers("factors", rows * 2, 1.0);
    let mixing = common::numbers("mixing", 24, 1.0);
    let noise = common::numbers("noise", rows * 12, 0.08);
    let x = (0..rows * 12).map(|at| {
        let (row, column) = (at / 12, at % 12);
        let [left, right] = [mixing[2 * column], mixing[2 * column + 1]];
        let mixed = factors[2 * row] * left + factors[2 * row + 1] * right + noise[at];
        (scale * mixed / (left * left + right * right + 0.0064).sqrt()) as f32
    });
    let x = DataArray::new("x", [rows, 12], x.collect::<Vec<f32>>());
    let data = Dataset::from_arrays(&model, [x]).expect("data");
    let options = Options {
        device: Some(Device::cpu(1)),
        ..Default::default()
    };
    Trainer::new(&model, &data, options).expect("a trainer")
}

#[test]
fn a_rising_weight_is_no_divergence() {
    let line = "beta z 6 warmup 20";
    let mut trainer = trainer(11_000, "adam(rate = 4e-3)", line, 1.0);
    let mut losses = Vec::new();
    while let Some(epoch) = trainer.epoch().expect("the run goes on") {
        losses.push(epoch.loss());
    }
    // Beside the first epoch's, whose weight is near 0, the last losses look diverged.
    let rise = losses[losses.len() - 1] - losses[0];
    assert!(rise > 10.0 * losses[0].abs().max(1.0), "{losses:?}");
}

#[test]
fn a_first_epoch_may_diverge() {
    let error = trainer(400, "adam(rate = 3)", "beta z 1", 1.0)
        .epoch()
        .expect_err("the first epoch ends far from its start");
    assert_eq!(error.kind(), ErrorKind::Diverged, "{error}");
    assert!(
        error.to_string().contains("before the first step"),
        "{error}"
    );
}

#[test]
fn data_far_from_zero_are_no_divergence() {
    // The first loss is large, and falls.
    let mut trainer = trainer(400, "adam(rate = 1e-2)", "beta z 1", 1000.0);
    let first = trainer.epoch().expect("the run goes on").expect("an epoch");
    assert!(first.loss() > 1e4, "{}", first.loss());
    trainer.epoch().expect("the run goes on");
}
