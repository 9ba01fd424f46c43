//! What must hold of every model: gradients, rules, brute-force sums.

use crate::common;

use common::{
    SMALL, batch, check, distance, finite_differences, layer_models, models, numbers, parameters,
    sampled, small,
};
use dgc::{
    backend::Device,
    driver,
    id::Id,
    lower::Mode,
    model::Model,
    plan::NoiseSource,
    run::{
        arrays::NamedArray,
        bound::{Arrays, Engine, bound},
    },
    tensor::{Axis, Graph, Op, OutputKind, eval},
};

#[test]
fn gradients_of_every_model_match_finite_differences() {
    // A `smooth` line holds its direction and the clean prediction constant, which differences of
    // the loss do not: smoothing.rs has its gradient.
    let models: Vec<Model> = models().iter().map(|file| small(file)).collect();
    models
        .iter()
        .filter(|model| {
            model
                .objective
                .costs
                .iter()
                .all(|cost| cost.keyword() != "smooth")
        })
        .for_each(finite_differences);
}

#[test]
fn gradients_of_every_layer_match_finite_differences() {
    layer_models().iter().for_each(finite_differences);
}

/// The same outputs, gradients and running averages before and after.
#[test]
fn simplifying_changes_no_number() {
    for file in models() {
        let model = small(&file);
        let objective = driver::derive(&model);
        let rows = vec![3; objective.cases.len()];
        let graph = driver::differentiate(driver::lower(&model, &objective, &rows, Mode::TRAIN));
        let mut values = eval::NamedValues::new();
        let len = |axes: &[Id<Axis>]| {
            axes.iter()
                .map(|&axis| graph.axis(axis).size)
                .product::<usize>()
        };
        for parameter in &graph.parameters {
            let numbers = numbers(&parameter.name, len(&parameter.axes), 0.5);
            // Running variances among them.
            values.insert(
                parameter.name.clone(),
                numbers.into_iter().map(f64::abs).collect(),
            );
        }
        for node in graph.ids() {
            if let Op::Input { name, .. } = graph.op(node) {
                let axes: Vec<_> = graph.axes_of(node).iter().collect();
                let class = axes.len() == 1;
                let number = |x: f64| {
                    if class {
                        (10.0 * x.abs()).floor() % 3.0
                    } else {
                        x.abs()
                    }
                };
                values.insert(
                    name.clone(),
                    numbers(name, len(&axes), 0.5)
                        .into_iter()
                        .map(number)
                        .collect(),
                );
            }
        }
        let run = |graph: &Graph| {
            eval::run(graph, &values, Some(eval::Seed { seed: 1, step: 2 })).expect("numbers")
        };
        let (before, after) = (run(&graph), run(&driver::simplify(&graph)));
        assert_eq!(before.len(), after.len(), "as many outputs");
        for ((_, name, wanted), (_, known, found)) in before.iter().zip(&after) {
            assert_eq!(name, known, "in the same order");
            let scale = wanted.data.iter().fold(1.0f64, |most, x| most.max(x.abs()));
            for (found, wanted) in found.data.iter().zip(&wanted.data) {
                let error = (found - wanted).abs() / scale;
                assert!(
                    error < 1e-10,
                    "{}: {name} is {found} instead of {wanted}",
                    model.name
                );
            }
        }
    }
}

#[test]
fn cpu_agrees_with_the_reference_on_every_model() {
    for file in models() {
        let model = small(&file);
        // Seven batch norms one on the other make rounding of two or three rows anything.
        let deep = model.name.starts_with("ladder");
        // Of two rows batch norm makes 1 and −1, whatever they are, so their gradient would be
        // rounding alone.
        for (rows, labelled) in [(7, 3), (41, 17)]
            .into_iter()
            .filter(|(rows, _)| !deep || *rows > 7)
        {
            let (parameters, batch) = (parameters(&model), batch(&model, rows, labelled));
            let wanted =
                bound(&model, &parameters, &batch, None, 3, &Engine::Reference).expect("a bound");
            for threads in [1, 2] {
                let found = bound(
                    &model,
                    &parameters,
                    &batch,
                    None,
                    3,
                    &Engine::Device(Device::cpu(threads)),
                )
                .expect("a bound");
                let number = |json: &serde_json::Value| json["loss"].as_f64().expect("a loss");
                let error = (number(&found.json) / number(&wanted.json) - 1.0).abs();
                assert!(error < 1e-5, "{}: the loss is off by {error:e}", model.name);
                let largest = |data: &[f64]| data.iter().fold(0.0f64, |most, x| most.max(x.abs()));
                let all = wanted
                    .gradients
                    .iter()
                    .map(|array| largest(&array.data))
                    .fold(0.0, f64::max);
                for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
                    // An array that is small because its terms cancel, as what batch norm takes out
                    // again, is rounded as they are.
                    let own = largest(&wanted.data);
                    if own > 0.0 {
                        let error = distance(&found.data, &wanted.data) * own / own.max(1e-3 * all);
                        assert!(
                            error < 2e-4,
                            "{}: gradient of {} is off by {error:e}",
                            model.name,
                            found.name
                        );
                    }
                }
            }
        }
    }
}

/// GELU's slope is made again, where the gradient reads it, of what batch norm keeps: it takes no
/// more memory than that of ReLU.
#[test]
fn slopes_take_no_memory() {
    let text = std::fs::read_to_string(common::root().join("models/adgm.dgm")).expect("a model");
    let memory = |activation: &str| {
        let text = text.replace("gelu", activation);
        let sets = [
            ("pixels", "50"),
            ("aux", "8"),
            ("latent", "8"),
            ("hidden", "64"),
        ];
        let graph = driver::step(&check("adgm.dgm", &text, &sets), &[20, 20], Mode::TRAIN);
        driver::plan(&graph, NoiseSource::Generated)
            .expect("a plan")
            .arena
    };
    assert_eq!(memory("gelu"), memory("relu"));
    assert!(
        memory("softplus") >= memory("relu") && memory("relu") > 20 * 10 * 64,
        "there is memory for what is kept"
    );
}

/// The loss counts the bound of labelled rows and the terms of what q infers by their weights, and
/// a label that is observed once.
#[test]
fn weights_are_those_of_inferred_terms() {
    let text = std::fs::read_to_string(common::root().join("models/cadgm.dgm")).expect("a model");
    let text = sampled(&text);
    let loss = |lines: &str| {
        let text = text.replace("    sum y\n", &format!("    sum y\n{lines}"));
        let sets = [
            ("pixels", "5"),
            ("classes", "3"),
            ("aux", "2"),
            ("latent", "2"),
            ("hidden", "4"),
        ];
        let model = check("cadgm.dgm", &text, &sets);
        let report = bound(
            &model,
            &parameters(&model),
            &batch(&model, 7, 3),
            None,
            3,
            &Engine::Reference,
        );
        report.expect("a bound").json
    };
    let plain = loss("");
    let term = |case: &str, name: &str| plain[case]["terms"][name].as_f64().expect("a term");
    let of = |case: &str, name: &str| {
        term(case, &format!("log p({name})")) + term(case, &format!("-log q({name})"))
    };
    let change = |lines: &str| {
        loss(lines)["loss"].as_f64().expect("a loss") - plain["loss"].as_f64().expect("a loss")
    };
    let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9 * b.abs().max(1.0), "{a}, not {b}");
    close(change("    beta y 3\n"), -2.0 * of("unlabelled", "y"));
    close(
        change("    beta z 0.5\n"),
        0.5 * (of("labelled", "z") + of("unlabelled", "z")),
    );
    assert!(
        of("unlabelled", "y").abs() > 1e-3,
        "there is something to weigh"
    );
    let seen = plain["labelled"]["bound"].as_f64().expect("a bound");
    close(change("    labelled 0.25\n"), 0.75 * seen);
    // Both weights at once multiply; after a warm-up it is the weight that it ends at.
    let z = of("labelled", "z");
    close(
        change("    labelled 0.25 warmup 4 from 1\n    beta z 0.5\n"),
        0.75 * seen + 0.5 * (0.25 * z + of("unlabelled", "z")),
    );
}

/// A model whose class is a label.
fn observable(gmvae: &str) -> String {
    let text = gmvae
        .replace("latent y:", "label y:")
        .replace("    batch 100\n", "");
    let text = text.replace("    sum y\n", "    sum y\n    classify y\n");
    assert!(
        text.contains("label y:") && text.contains("classify") && !text.contains("batch"),
        "{text}"
    );
    text
}

/// A latent class is a label that no row has.
#[test]
fn a_latent_class_is_summed_as_a_label_is() {
    let text = std::fs::read_to_string(common::root().join("models/gmvae.dgm")).expect("a model");
    let sets = [
        ("pixels", "6"),
        ("classes", "3"),
        ("latent", "2"),
        ("hidden", "4"),
    ];
    let (latent, label) = (
        check("gmvae", &text, &sets),
        check("gmvae", &observable(&text), &sets),
    );
    let parameters = parameters(&latent);
    let noise = |case: &str| -> Arrays {
        let name = format!("{case}.z");
        let array = NamedArray {
            name: name.clone(),
            shape: vec![1, 4, 3, 2],
            data: numbers("z", 24, 1.0),
        };
        [(name, array)].into()
    };
    let run = |model: &Model, case: &str| {
        let report = bound(
            model,
            &parameters,
            &batch(model, 4, 0),
            Some(&noise(case)),
            0,
            &Engine::Reference,
        );
        report.expect("a bound").json[case].clone()
    };
    assert_eq!(run(&latent, "all"), run(&label, "unlabelled"));
}

/// Running averages take the statistics of the rows whose labels are unseen: 0.9 of what they were
/// and 0.1 of the batch's.
#[test]
fn running_averages_follow_the_unlabelled_rows() {
    let model = small(&common::root().join("models/adgm.dgm"));
    let objective = driver::derive(&model);
    let next = |rows: [usize; 2],
                labelled: &str,
                unlabelled: &str,
                stored: f64|
     -> Vec<(String, Vec<f64>)> {
        let graph = driver::lower(&model, &objective, &rows, Mode::TRAIN);
        let len = |axes: &[Id<Axis>]| {
            axes.iter()
                .map(|&axis| graph.axis(axis).size)
                .product::<usize>()
        };
        let mut values = eval::NamedValues::new();
        for parameter in &graph.parameters {
            let count = len(&parameter.axes);
            let own = if parameter.trained {
                numbers(&parameter.name, count, 0.5)
            } else {
                vec![stored; count]
            };
            values.insert(parameter.name.clone(), own);
        }
        for node in graph.ids() {
            let Op::Input { name, .. } = graph.op(node) else {
                continue;
            };
            let axes: Vec<_> = graph.axes_of(node).iter().collect();
            let stream = if name.starts_with("labelled") {
                labelled
            } else {
                unlabelled
            };
            let number = |x: f64| {
                if axes.len() == 1 {
                    (10.0 * x.abs()).floor() % 3.0
                } else {
                    x.abs()
                }
            };
            let own = numbers(&format!("{stream} {name}"), len(&axes), 0.5);
            values.insert(name.clone(), own.into_iter().map(number).collect());
        }
        let outputs =
            eval::run(&graph, &values, Some(eval::Seed { seed: 1, step: 0 })).expect("numbers");
        let outputs = outputs
            .into_iter()
            .filter(|(kind, _, _)| *kind == OutputKind::Next);
        outputs.map(|(_, name, array)| (name, array.data)).collect()
    };
    let first = next([3, 4], "a", "b", 0.0);
    assert!(
        first.iter().any(|(name, _)| name.ends_with("running_mean")),
        "there are running averages"
    );
    assert_eq!(
        first,
        next([3, 4], "other", "b", 0.0),
        "labelled rows do not count"
    );
    for (one, other) in first.iter().zip(&next([3, 4], "a", "other", 0.0)) {
        assert!(
            one.1
                .iter()
                .zip(&other.1)
                .any(|(a, b)| (a - b).abs() > 1e-6),
            "{}: unlabelled rows count",
            one.0
        );
    }
    for ((name, from_zero), (_, from_two)) in first.iter().zip(&next([3, 4], "a", "b", 2.0)) {
        let kept = from_zero
            .iter()
            .zip(from_two)
            .all(|(a, b)| (b - a - 0.9 * 2.0).abs() < 1e-12);
        assert!(kept, "{name}: from {from_zero:?} and {from_two:?}");
    }
    assert_ne!(
        next([3, 0], "a", "b", 0.0),
        next([3, 0], "other", "b", 0.0),
        "alone, labelled rows count"
    );
}

/// U(x) = Σ_k q(k | …) (L(x, k) − log q(k | …)), with the same noise in each class.
#[test]
fn a_summed_label_equals_brute_force() {
    for name in ["adgm", "sdgm", "m2", "gmvae"] {
        let text = std::fs::read_to_string(common::root().join(format!("models/{name}.dgm")))
            .expect("a model");
        // One row has no batch to be normalised by, and of a class that is never observed we must
        // be able to observe it.
        let text = text.replace(" > batchnorm", "");
        let text = if name == "gmvae" {
            observable(&text)
        } else {
            text
        };
        let full = check(name, &text, &[]);
        let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
        let sets: Vec<_> = SMALL
            .iter()
            .copied()
            .filter(|(name, _)| has(name))
            .collect();
        let model = check(name, &text, &sets);
        let parameters = parameters(&model);
        let (classes, aux, latent) = (3, 2, 2);
        let array = |name: &str, shape: &[usize], data: Vec<f64>| {
            (
                name.to_string(),
                NamedArray {
                    name: name.to_string(),
                    shape: shape.to_vec(),
                    data,
                },
            )
        };
        let (noise_a, noise_z) = (numbers("a", aux, 1.0), numbers("z", classes * latent, 1.0));
        let with_label = |label: f64| {
            let mut one = batch(&model, 1, 0);
            one.get_mut("y").expect("a label").data[0] = label;
            one
        };
        let mut noise: Arrays = [
            array("unlabelled.a", &[1, 1, aux], noise_a.clone()),
            array("unlabelled.z", &[1, 1, classes, latent], noise_z.clone()),
        ]
        .into();
        let run = |batch: &Arrays, noise: &Arrays| {
            bound(
                &model,
                &parameters,
                batch,
                Some(noise),
                0,
                &Engine::Reference,
            )
            .expect("a bound")
            .json
        };
        let found = run(&with_label(-1.0), &noise)["unlabelled"]["bound"]
            .as_f64()
            .expect("a bound");
        let mut wanted = 0.0;
        for class in 0..classes {
            noise.extend([
                array("labelled.a", &[1, 1, aux], noise_a.clone()),
                array(
                    "labelled.z",
                    &[1, 1, latent],
                    noise_z[class * latent..(class + 1) * latent].to_vec(),
                ),
            ]);
            let report = run(&with_label(class as f64), &noise);
            let log_q = -report["classification"]
                .as_f64()
                .expect("a classification loss");
            let labelled = report["labelled"]["bound"].as_f64().expect("a bound");
            wanted += log_q.exp() * (labelled - log_q);
        }
        assert!(
            (found - wanted).abs() < 1e-10 * wanted.abs(),
            "{name}: {found} instead of {wanted}"
        );
    }
}
