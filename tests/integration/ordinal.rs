//! Ordered classes: `ordinal` against the definition of the cumulative logit model.

use crate::common;

use common::{batch, check, emulator, finite_differences, parameters, sampled, tiny};
use dgc::{
    DataArray, Dataset, Rows, Trainer,
    backend::{Device, Precision},
    distribution::{self, Distribution},
    model::Model,
    run::bound::{Engine, bound},
    tensor::{Axes, Axis, AxisKind, Graph, Node, OutputKind, eval, philox},
};
use std::collections::HashMap;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The thresholds of a first one and of increments before softplus.
fn thresholds(first: f64, increments: &[f64]) -> Vec<f64> {
    let mut thresholds = vec![first];
    for increment in increments {
        let last = thresholds[thresholds.len() - 1];
        thresholds.push(last + increment.exp().ln_1p());
    }
    thresholds
}

/// The probability of each class, as differences of sigmoids.
fn probabilities(location: f64, thresholds: &[f64]) -> Vec<f64> {
    let inner = thresholds.iter().map(|t| sigmoid(t - location));
    let cumulative: Vec<f64> = [0.0].into_iter().chain(inner).chain([1.0]).collect();
    cumulative
        .windows(2)
        .map(|pair| pair[1] - pair[0])
        .collect()
}

fn ordinal() -> &'static dyn Distribution {
    distribution::find("ordinal").expect("a distribution")
}

/// Heads with these shared parameters, and the class axis.
fn heads(graph: &mut Graph, classes: usize) -> (Vec<Node>, dgc::id::Id<Axis>) {
    let mut axis = |name: &str, size| {
        graph.new_axis(Axis {
            name: name.to_string(),
            size,
            kind: AxisKind::Feature,
        })
    };
    let class = axis("class", classes);
    let shared = ordinal().shared(classes);
    let axes: Vec<_> = shared
        .iter()
        .map(|shared| axis(shared.name, shared.size))
        .collect();
    let mut heads = vec![graph.input("location", Axes::none())];
    for (shared, axis) in shared.iter().zip(axes) {
        heads.push(graph.input(shared.name, Axes::from(axis)));
    }
    (heads, class)
}

fn evaluate(
    graph: &mut Graph,
    node: Node,
    axis: dgc::id::Id<Axis>,
    values: &[(&str, Vec<f64>)],
) -> Vec<f64> {
    let values: HashMap<String, Vec<f64>> = values
        .iter()
        .map(|(name, numbers)| (name.to_string(), numbers.clone()))
        .collect();
    graph.outputs.clear();
    graph.output(OutputKind::Value, "found", node, vec![axis]);
    let mut outputs = eval::run(graph, &values, None).expect("values for everything");
    outputs.remove(0).2.data
}

#[test]
fn probabilities_are_differences_of_sigmoids() {
    for classes in [1, 2, 3, 6] {
        let mut graph = Graph::new();
        let (heads, class) = heads(&mut graph, classes);
        let mean = ordinal().mean(&mut graph, &heads, class);
        let increments: Vec<f64> = (2..classes).map(|k| 0.7 * k as f64 - 1.9).collect();
        for location in [-3.0, 0.4, 2.5] {
            let values = [
                ("location", vec![location]),
                ("threshold.first", vec![-0.8]),
                ("threshold.increment", increments.clone()),
            ];
            let found = evaluate(&mut graph, mean, class, &values);
            let wanted = match classes {
                1 => vec![1.0],
                _ => probabilities(location, &thresholds(-0.8, &increments)),
            };
            assert_eq!(found.len(), wanted.len());
            for (found, wanted) in found.iter().zip(&wanted) {
                assert!(
                    (found - wanted).abs() < 1e-14,
                    "{found} instead of {wanted}"
                );
            }
        }
    }
}

/// At first, the outermost classes have probability 1 / K, and thresholds are equally far apart.
#[test]
fn initial_thresholds_are_even() {
    for classes in 2..9 {
        let shared = ordinal().shared(classes);
        let increments = match shared.get(1) {
            Some(increment) => vec![increment.start; increment.size],
            None => Vec::new(),
        };
        let thresholds = thresholds(shared[0].start, &increments);
        let found = probabilities(0.0, &thresholds);
        for end in [found[0], found[classes - 1]] {
            assert!(
                (end - 1.0 / classes as f64).abs() < 1e-12,
                "{classes}: {found:?}"
            );
        }
    }
}

const TEXT: &str = "model ratings {
  data   x: real[3]
  data   stars: class[4]
  label  y: class[5]
  latent z: real[2]
  net body = [dense(4) > tanh]
  generative {
            z ~ normal(0, 1)
            y ~ ordinal(linear)
    y, z -> x ~ normal(body)
    z    -> m = dense(1)
            stars ~ ordinal(location = m)
  }
  inference {
    x, stars -> y ~ ordinal(body)
    x, y     -> z ~ normal(body)
  }
  objective {
    samples 2
    LINE
    classify y
    inform y weight 0.3
    smooth y by vat(radius = 0.5)
  }
}
";

fn model(line: &str) -> Model {
    check("ratings.dgm", &TEXT.replace("LINE", line), &[])
}

const LINES: [&str; 5] = [
    "sum y",
    "relax y by gumbel(temperature = 0.7)",
    "score y by leave_one_out",
    "top y 2",
    "sum y\n bound importance",
];

#[test]
fn every_line_takes_ordered_classes() {
    for line in LINES {
        let model = model(line);
        let text = TEXT
            .replace("LINE", line)
            .replace("smooth y by vat(radius = 0.5)\n", "");
        // A score-function gradient is right in the mean, and VAT keeps its direction fixed.
        if line.starts_with("sum") || line.starts_with("relax") {
            finite_differences(&check("ratings.dgm", &sampled(&text), &[]));
        }
        devices_agree(&model, &Device::cpu(1));
    }
}

#[test]
fn the_gpu_agrees() {
    if emulator::is_here("ordinal::the_gpu_agrees") {
        let device = Device::Cuda {
            nvrtc: None,
            precision: Precision::F32,
        };
        LINES
            .iter()
            .for_each(|line| devices_agree(&model(line), &device));
    }
}

/// The bound and the gradients on a device against double precision.
fn devices_agree(model: &Model, device: &Device) {
    let (parameters, batch) = (parameters(model), batch(model, 7, 3));
    let run = |engine| bound(model, &parameters, &batch, None, 3, &engine).expect("a bound");
    let (found, wanted) = (run(Engine::Device(device.clone())), run(Engine::Reference));
    let loss = |json: &serde_json::Value| json["loss"].as_f64().expect("a loss");
    let (found_loss, wanted_loss) = (loss(&found.json), loss(&wanted.json));
    assert!(
        (found_loss - wanted_loss).abs() < 1e-4 * wanted_loss.abs(),
        "{found_loss} instead of {wanted_loss}"
    );
    let mut thresholds = 0;
    for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
        let apart = common::distance(&found.data, &wanted.data);
        assert!(apart < 1e-3, "{} is off by {apart:e}", found.name);
        thresholds += usize::from(found.name.contains(".threshold."));
    }
    assert_eq!(thresholds, 6, "three factors have thresholds");
}

/// The names and shapes of the parameters, without a bias of the location.
#[test]
fn parameters_are_a_weight_and_thresholds() {
    let model = model("sum y");
    let (parameters, batch) = (parameters(&model), batch(&model, 5, 2));
    let report = bound(&model, &parameters, &batch, None, 3, &Engine::Reference).expect("a bound");
    let of_y: Vec<(&str, &[usize])> = report
        .gradients
        .iter()
        .filter(|array| array.name.starts_with("q.y.") && !array.name.contains("dense"))
        .map(|array| (array.name.as_str(), array.shape.as_slice()))
        .collect();
    assert_eq!(
        of_y,
        [
            ("q.y.location.weight", &[1, 4][..]),
            ("q.y.threshold.first", &[1]),
            ("q.y.threshold.increment", &[3]),
        ]
    );
}

/// Ratings of a known location and known thresholds: the thresholds are recovered, and predictions are
/// those of the true model.
#[test]
fn thresholds_are_recovered() {
    let truth = [-1.5, -0.2, 0.4, 2.0];
    let weights = [1.2, -0.7];
    let count = 6000;
    let x: Vec<f64> = (0..2 * count as u64)
        .map(|at| philox::normal(5, 0, 1, at))
        .collect();
    let location = |row: usize| weights[0] * x[2 * row] + weights[1] * x[2 * row + 1];
    let classes: Vec<i64> = (0..count)
        .map(|row| {
            let uniform = philox::uniform(5, 0, 2, row as u64);
            let noise = (uniform / (1.0 - uniform)).ln();
            truth.iter().filter(|&&t| location(row) + noise > t).count() as i64
        })
        .collect();
    let text = "model ratings {
  data  x: real[2]
  label y: class[5]
  inference {
    x -> y ~ ordinal(linear)
  }
  objective {
    classify y
  }
  train {
    batch labelled 500, unlabelled 0
    optimizer adam(rate = 0.05)
    schedule cosine
    epochs 60
  }
}
";
    let model = check("ratings.dgm", text, &[]);
    let data = vec![
        DataArray::new("x", [count, 2], x.clone()),
        DataArray::new("y", [count], classes),
    ];
    let data = Dataset::from_arrays(&model, data).expect("data");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    tiny::train(Trainer::new(&model, &data, tiny::options(run.clone())));
    let arrays = tiny::parameters(run.join("checkpoint.safetensors"));
    let numbers = |name: &str| arrays[name].data.clone();
    let found = thresholds(
        numbers("q.y.threshold.first")[0],
        &numbers("q.y.threshold.increment"),
    );
    // Standard errors are about 0.04.
    for (found, wanted) in found.iter().zip(truth) {
        assert!((found - wanted).abs() < 0.15, "{found} instead of {wanted}");
    }
    for (found, wanted) in numbers("q.y.location.weight.x").iter().zip(weights) {
        assert!((found - wanted).abs() < 0.15, "{found} instead of {wanted}");
    }
    let rows = vec![DataArray::new("x", [20, 2], x[..40].to_vec())];
    let rows = Rows::from_arrays(&model, rows).expect("rows");
    let predictions = tiny::open(&run).predict(&rows).expect("predictions");
    for row in 0..20 {
        let wanted = probabilities(location(row), &truth);
        for (found, wanted) in predictions.labels[0].row(row).iter().zip(&wanted) {
            assert!((f64::from(*found) - wanted).abs() < 0.04, "row {row}");
        }
    }
}
