//! Heads that are given one by one, and the model of counts that uses them, against their formulas.

use crate::common;

use common::{batch, check, finite_differences, numbers, parameters, small};
use dgc::{
    backend::Device,
    run::{
        arrays::NamedArray,
        bound::{Arrays, Engine, bound},
    },
};

use std::ops::ControlFlow;

/// Rows of features.
type Rows = Vec<Vec<f64>>;

/// Σ over parents of weight · parent, and the bias. A nameless parent has `PREFIX.weight`.
fn linear(parameters: &Arrays, prefix: &str, parents: &[(&str, &Rows)]) -> Rows {
    let bias = &parameters[&format!("{prefix}.bias")].data;
    let rows = parents.first().map_or(1, |(_, rows)| rows.len());
    let mut out = vec![bias.clone(); rows];
    for (name, values) in parents {
        let name = if name.is_empty() {
            format!("{prefix}.weight")
        } else {
            format!("{prefix}.weight.{name}")
        };
        let weight = &parameters[&name];
        let inputs = weight.shape[1];
        for (out, row) in out.iter_mut().zip(values.iter()) {
            for (o, out) in out.iter_mut().enumerate() {
                *out += (0..inputs)
                    .map(|i| weight.data[o * inputs + i] * row[i])
                    .sum::<f64>();
            }
        }
    }
    out
}

fn map(rows: &Rows, f: impl Fn(f64) -> f64) -> Rows {
    rows.iter()
        .map(|row| row.iter().map(|&x| f(x)).collect())
        .collect()
}

/// Each feature normalised over all rows, by the batch's statistics.
fn batch_norm(parameters: &Arrays, prefix: &str, rows: &Rows) -> Rows {
    let (weight, bias) = (
        &parameters[&format!("{prefix}.weight")].data,
        &parameters[&format!("{prefix}.bias")].data,
    );
    let count = rows.len() as f64;
    let mean = |f: &dyn Fn(&Vec<f64>) -> f64| rows.iter().map(f).sum::<f64>() / count;
    let moments: Vec<(f64, f64)> = (0..weight.len())
        .map(|i| {
            let centre = mean(&|row| row[i]);
            (centre, mean(&|row| (row[i] - centre).powi(2)))
        })
        .collect();
    let one = |row: &Vec<f64>| {
        let normal = row
            .iter()
            .zip(&moments)
            .map(|(x, (centre, variance))| (x - centre) / (variance + 1e-5).sqrt());
        normal
            .zip(weight.iter().zip(bias))
            .map(|(x, (weight, bias))| x * weight + bias)
            .collect()
    };
    rows.iter().map(one).collect()
}

/// `dense > batchnorm > relu`.
fn body(parameters: &Arrays, prefix: &str, parents: &[(&str, &Rows)]) -> Rows {
    let dense = linear(parameters, &format!("{prefix}.dense1"), parents);
    map(
        &batch_norm(parameters, &format!("{prefix}.batchnorm1"), &dense),
        |x| x.max(0.0),
    )
}

fn log_softmax(row: &[f64]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|x| x.exp()).sum();
    row.iter().map(|x| x - sum.ln()).collect()
}

fn log_normal(x: f64, mean: f64, log_variance: f64) -> f64 {
    -0.5 * ((2.0 * std::f64::consts::PI).ln()
        + log_variance
        + (x - mean).powi(2) / log_variance.exp())
}

/// Γ(x + r) / (Γ(r) x!) is a product for whole x; the mean is m, the variance m + m²/r.
fn log_negative_binomial(x: f64, log_mean: f64, log_dispersion: f64) -> f64 {
    let (mean, dispersion) = (log_mean.exp(), log_dispersion.exp());
    let combinations: f64 = (0..x as usize)
        .map(|i| ((dispersion + i as f64) / (i as f64 + 1.0)).ln())
        .sum();
    let share = mean / (mean + dispersion);
    combinations + dispersion * (1.0 - share).ln() + x * share.ln()
}

/// The bounds of both cases, in f64 by the formulas of the paper, row by row and class by class.
#[test]
fn the_bound_of_the_cells_is_what_its_formulas_say() {
    let model = small(&common::root().join("models/cells.dgm"));
    let size = |name: &str| {
        model
            .variables
            .iter()
            .find(|variable| variable.name == name)
            .expect("a variable")
            .size()
    };
    let (classes, latent) = (size("cell_type"), size("z"));
    let (parameters, batch) = (parameters(&model), batch(&model, 7, 3));
    let mut noise = Arrays::new();
    for (case, shape) in [
        ("labelled", vec![1, 3, latent]),
        ("unlabelled", vec![1, 4, classes, latent]),
    ] {
        let name = format!("{case}.z");
        let data = numbers(&name, shape.iter().product(), 1.0);
        noise.insert(name.clone(), NamedArray { name, shape, data });
    }
    let rows_of = |name: &str| -> Rows {
        let array = &batch[name];
        array
            .data
            .chunks(array.data.len() / 7)
            .map(<[f64]>::to_vec)
            .collect()
    };
    let mut wanted = Vec::new();
    for (case, rows, known) in [("labelled", 0..3, true), ("unlabelled", 3..7, false)] {
        let (counts, library) = (
            rows_of("counts")[rows.clone()].to_vec(),
            rows_of("library")[rows.clone()].to_vec(),
        );
        let logs = [map(&counts, f64::ln_1p), map(&library, f64::ln_1p)];
        let h = body(
            &parameters,
            "q.h",
            &[("counts", &logs[0]), ("library", &logs[1])],
        );
        let log_q: Rows = linear(&parameters, "q.cell_type.logits", &[("h", &h)])
            .iter()
            .map(|row| log_softmax(row))
            .collect();
        // The classes of each row that count.
        let pairs: Vec<(usize, usize)> = (0..counts.len())
            .flat_map(|row| {
                let seen = batch["cell_type"].data[rows.start + row];
                (0..classes)
                    .filter(move |&k| !known || k as f64 == seen)
                    .map(move |k| (row, k))
            })
            .collect();
        let of =
            |values: &Rows| -> Rows { pairs.iter().map(|&(row, _)| values[row].clone()).collect() };
        let one_hot: Rows = pairs
            .iter()
            .map(|&(_, k)| (0..classes).map(|other| f64::from(other == k)).collect())
            .collect();
        let parents: [(&str, &Rows); 2] = [("h", &of(&h)), ("cell_type", &one_hot)];
        let inner = body(&parameters, "q.z", &parents);
        let mean = linear(&parameters, "q.z.mean", &[("", &inner)]);
        let log_variance = linear(&parameters, "q.z.log_variance", &[("", &inner)]);
        let drawn: Rows = noise[&format!("{case}.z")]
            .data
            .chunks(latent)
            .map(<[f64]>::to_vec)
            .collect();
        let z: Rows = (0..pairs.len())
            .map(|pair| {
                let scale = |i: usize| (0.5 * log_variance[pair][i]).exp();
                (0..latent)
                    .map(|i| mean[pair][i] + scale(i) * drawn[pair][i])
                    .collect()
            })
            .collect();
        let hidden = body(
            &parameters,
            "p.share",
            &[("cell_type", &one_hot), ("z", &z)],
        );
        let shares = linear(&parameters, "p.share.dense2", &[("", &hidden)]);
        let dispersion = &parameters["p.counts.log_dispersion.bias"].data;
        let depth = |name: &str| parameters[&format!("p.library.{name}.bias")].data[0];
        let mut bounds = vec![0.0; counts.len()];
        for (pair, &(row, k)) in pairs.iter().enumerate() {
            let total = library[row][0];
            let mut weight = -(classes as f64).ln();
            weight += log_normal(total.ln(), depth("mean"), depth("log_variance")) - total.ln();
            for i in 0..latent {
                weight += log_normal(z[pair][i], 0.0, 0.0);
                weight -= log_normal(z[pair][i], mean[pair][i], log_variance[pair][i]);
            }
            for (gene, share) in log_softmax(&shares[pair]).into_iter().enumerate() {
                weight +=
                    log_negative_binomial(counts[row][gene], total.ln() + share, dispersion[gene]);
            }
            let own = log_q[row][k];
            bounds[row] += if known {
                weight
            } else {
                own.exp() * (weight - own)
            };
        }
        wanted.push((case, bounds));
    }
    for (engine, tolerance) in [
        (Engine::Reference, 1e-10),
        (Engine::Device(Device::cpu(2)), 2e-5),
    ] {
        let json = bound(&model, &parameters, &batch, Some(&noise), 0, &engine)
            .expect("a bound")
            .json;
        for (case, wanted) in &wanted {
            for (row, wanted) in wanted.iter().enumerate() {
                let found = json[*case]["per_row"][row].as_f64().expect("a number");
                assert!(
                    (found / wanted - 1.0).abs() < tolerance,
                    "{case}, row {row}: {found} instead of {wanted}"
                );
            }
        }
    }
}

/// A distribution whose heads come one by one is what it is on one network, if they say the same.
#[test]
fn heads_by_name_are_heads() {
    let model = |generative: &str, inference: &str| {
        let text = format!(
            "model named {{\n data x: real[3]\n latent z: real[2]\n net body = dense(4) > tanh\n\
             generative {{\n z ~ normal(0, 1)\n z -> x ~ normal({generative})\n}}\n\
             inference {{\n x -> h = body\n h -> z ~ normal({inference})\n}}\n}}\n"
        );
        check("named.dgm", &text, &[])
    };
    let plain = model("linear", "linear");
    let named = model(
        "log_variance = linear, mean = linear",
        "mean = [dense(2)], log_variance = linear",
    );
    let mut own = parameters(&plain);
    let batch = batch(&plain, 5, 0);
    let loss = |model, parameters: &Arrays| {
        let report =
            bound(model, parameters, &batch, None, 3, &Engine::Reference).expect("a bound");
        report.json["loss"].as_f64().expect("a loss")
    };
    let wanted = loss(&plain, &own);
    for kind in ["weight", "bias"] {
        let old = if kind == "weight" {
            "q.z.mean.weight.h"
        } else {
            "q.z.mean.bias"
        };
        let array = own.remove(old).expect("a parameter of the plain model");
        let name = format!(
            "q.z.mean.dense1.{kind}{}",
            if kind == "weight" { ".h" } else { "" }
        );
        own.insert(name.clone(), NamedArray { name, ..array });
    }
    assert!((loss(&named, &own) / wanted - 1.0).abs() < 1e-12);
    // A number and a constant are the same for every row, and a constant has a gradient.
    let constant = model(
        "mean = body2, log_variance = 0.3"
            .replace("body2", "[dense(3)]")
            .as_str(),
        "mean = [add > dense(2)], log_variance = constant",
    );
    finite_differences(&constant);
    let parameters = parameters(&constant);
    assert!(
        parameters.contains_key("q.z.log_variance.bias")
            && !parameters.contains_key("q.z.log_variance.weight.h")
    );
    assert!(
        !parameters
            .keys()
            .any(|name| name.starts_with("p.x.log_variance")),
        "a number is no parameter"
    );
}

/// A head beyond its range returns from either side: descent by the sign of its gradient ends where the
/// counts are.
#[test]
fn a_head_beyond_its_range_returns() {
    let model = |likelihood: &str| {
        let text = format!(
            "model counts {{\n data x: count[1]\n latent z: real[1]\n\
             generative {{\n z ~ normal(0, 1)\n z -> x ~ {likelihood}\n}}\n\
             inference {{\n x -> z ~ normal(linear)\n}}\n}}\n"
        );
        check("counts.dgm", &text, &[])
    };
    let rows = |data: Vec<f64>, name: &str| NamedArray {
        name: name.to_string(),
        shape: vec![data.len(), 1],
        data,
    };
    let batch = Arrays::from([("x".to_string(), rows(vec![6.0, 7.0, 8.0], "x"))]);
    for (likelihood, name) in [
        ("poisson(linear)", "p.x.log_rate"),
        (
            "negative_binomial(log_mean = linear, log_dispersion = 3)",
            "p.x.log_mean",
        ),
    ] {
        let (model, bias) = (model(likelihood), format!("{name}.bias"));
        for engine in [Engine::Reference, Engine::Device(Device::cpu(1))] {
            for start in [-45.0, 45.0] {
                let mut parameters = parameters(&model);
                parameters.get_mut(&bias).expect("a head").data[0] = start;
                let weight = parameters.get_mut(&format!("{name}.weight.z"));
                weight.expect("a weight").data[0] = 0.0;
                for _ in 0..100 {
                    let report =
                        bound(&model, &parameters, &batch, None, 3, &engine).expect("a bound");
                    let found = report.gradients.iter().find(|array| array.name == bias);
                    let slope = found.expect("a gradient").data[0];
                    parameters.get_mut(&bias).expect("a head").data[0] -= 0.5 * slope.signum();
                }
                let head = parameters[&bias].data[0];
                assert!(
                    (head - 7f64.ln()).abs() < 0.6,
                    "{likelihood} from {start}: {head}"
                );
            }
        }
    }
}

/// Heads at the limits of their ranges are named after an epoch and by an evaluation.
#[test]
fn heads_at_their_limits_are_named() {
    let text = "model large {
  data x: real[2]
  latent z: real[2]
  generative {
    z ~ normal(0, 1)
    z -> x ~ normal(mean = linear, log_variance = 0)
  }
  inference {
    x -> z ~ normal(mean = [dense(3) > tanh > dense(2)], log_variance = linear)
  }
}
";
    let model = dgc::Model::parse("large.dgm", text).expect("a model");
    let notes = |scale: f64| {
        let rows: Vec<f32> = numbers("x", 40, scale).iter().map(|&x| x as f32).collect();
        let rows = dgc::DataArray::new("x", [20, 2], rows);
        let data = dgc::Dataset::from_arrays(&model, [rows]).expect("data");
        let options = dgc::Options {
            epochs: Some(1),
            ..Default::default()
        };
        let mut trainer = dgc::Trainer::new(&model, &data, options).expect("a trainer");
        trainer.train(|_| ControlFlow::Continue(())).expect("a run");
        let notes = trainer
            .notes()
            .iter()
            .map(|note| note.message().to_string());
        let notes: Vec<String> = notes
            .filter(|note| note.contains("limit of its range"))
            .collect();
        notes
    };
    assert!(notes(1.0).is_empty());
    let named = notes(1e6);
    assert!(
        named.len() == 1 && named[0].contains("q.z.log_variance") && named[0].contains('%'),
        "{named:?}"
    );
}

/// A head that names a node is the head whose network is the node's: bounds and gradients, with batch
/// norm over the rows of all cases, sums over classes and pseudo-inputs.
#[test]
fn a_head_may_name_a_node() {
    let model = |prior: &str, node: &str, parents: &str, mean: &str| {
        let text = format!(
            "model named {{\n data x: real[3]\n label y: class[3]\n latent z: real[2]\n latent w: real[2]\n\
             net body = dense(4) > batchnorm > tanh\n\
             generative {{\n z ~ {prior}\n w ~ normal(0, 1)\n y ~ uniform\n y, w, z -> x ~ normal(linear)\n}}\n\
             inference {{\n x -> y ~ categorical(linear)\n {node}\n {parents} -> z ~ normal({mean})\n\
             x, y -> v = body > dense(2)\n w ~ normal(mean = v, log_variance = v)\n}}\n\
             objective {{\n sum y\n}}\n}}\n"
        );
        check("named.dgm", &text, &[])
    };
    for prior in ["normal(0, 1)", "vamp(4)"] {
        let network = "mean = [body > dense(2)], log_variance = linear";
        let wanted = model(prior, "", "x", network);
        let node = "mean = m, log_variance = linear";
        let found = model(prior, "x -> m = body > dense(2)", "x", node);
        let old = parameters(&wanted);
        let mut renamed = Arrays::new();
        for (name, array) in &old {
            let name = name.replace("q.z.mean.", "q.m.");
            renamed.insert(
                name.clone(),
                NamedArray {
                    name,
                    ..array.clone()
                },
            );
        }
        assert_eq!(
            renamed.keys().collect::<Vec<_>>(),
            parameters(&found).keys().collect::<Vec<_>>(),
            "the head has no parameters of its own"
        );
        let rows = batch(&found, 9, 4);
        for (engine, tolerance) in [
            (Engine::Reference, 1e-12),
            (Engine::Device(Device::cpu(2)), 1e-4),
        ] {
            let of = |model, parameters: &Arrays| {
                bound(model, parameters, &rows, None, 3, &engine).expect("a bound")
            };
            let (wanted, found) = (of(&wanted, &old), of(&found, &renamed));
            let loss = |json: &serde_json::Value| json["loss"].as_f64().expect("a loss");
            assert!((loss(&found.json) / loss(&wanted.json) - 1.0).abs() < tolerance);
            for gradient in &wanted.gradients {
                let name = gradient.name.replace("q.z.mean.", "q.m.");
                let found = found.gradients.iter().find(|array| array.name == name);
                let found = &found.expect("a gradient").data;
                let apart = common::distance(found, &gradient.data);
                assert!(apart < tolerance, "{name} is off by {apart:e}");
            }
        }
        finite_differences(&found);
    }
}

/// A node of the other graph, for data; a node that the arrow names is read by other heads too; and the
/// graphs and the formula show the node as a parent.
#[test]
fn a_node_in_a_head_is_a_parent() {
    let model = |factor: &str| {
        let text = format!(
            "model named {{\n data x: positive[3]\n latent z: real[3]\n generative {{\n z ~ normal(0, 1)\n\
             {factor}\n}}\n inference {{\n x -> h = log > dense(3)\n\
             h -> z ~ normal(mean = h, log_variance = linear)\n}}\n}}\n"
        );
        check("named.dgm", &text, &[])
    };
    let named = model("z -> m = dense(3)\n x ~ gamma(log_shape = m, log_rate = constant)");
    let text = dgc::model::print(&named);
    assert!(
        text.contains("  x ~ gamma(log_shape = m, log_rate = constant)"),
        "{text}"
    );
    let factor = named.generative.last().expect("a factor");
    assert_eq!(dgc::model::factor_text(&named, factor), "p(x | m)");
    assert!(dgc::model::to_dot(&named).contains("generative_m -> generative_x"));
    let names: Vec<String> = parameters(&named).into_keys().collect();
    assert!(
        names.contains(&"q.z.log_variance.weight.h".to_string()),
        "{names:?}"
    );
    finite_differences(&named);
    // The two heads of one node.
    let both = model("z -> m = dense(3) > tanh\n m -> x ~ log_normal(mean = m, log_variance = m)");
    finite_differences(&both);
    // A head beyond its range is clamped, like any learned one.
    let mut large = parameters(&named);
    for array in large
        .values_mut()
        .filter(|array| array.name == "p.m.dense1.bias")
    {
        array.data.fill(1e3);
    }
    let loss = common::loss(&named, &large, &batch(&named, 5, 0));
    assert!(loss.is_finite() && loss > 1e12, "{loss}");
}
