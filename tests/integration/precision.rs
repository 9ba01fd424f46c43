//! Every entry of a registry in single precision, on the CPU and on the emulated GPU: densities against
//! a table in 60 digits, and everything against the reference interpreter, over the whole range of
//! heads, arguments and data. An entry is tested here as soon as it is listed.

use crate::common;

use common::{
    distance, emulator, estimator_models, layer_models, parameters,
    slopes::{self, Outputs, Slopes, combinations, named_columns},
};
use dgc::{
    backend::{Device, Precision},
    distribution::{self, DISTRIBUTIONS, Distribution, Domain, HeadRange, HeadSpec},
    id::Id,
    model::Model,
    optimizer::{OPTIMIZERS, Update},
    run::bound::{Engine, bound},
    tensor::{Axes, Axis, Graph, Node, NoiseKind, Scalar},
};

const CLASSES: usize = 4;

/// The device that a test is about: the CPU, or the emulated GPU, where the test of that name is run
/// again. `None` in the process that started it there.
fn gpu(test: &str) -> Option<Device> {
    emulator::is_here(&format!("precision::{test}")).then_some(Device::Cuda {
        nvrtc: None,
        precision: Precision::F32,
    })
}

/// The log-density of a distribution at rows of heads and a value, with its gradients by the heads and,
/// where the value may be drawn, by the value. A class is one-hot, and its logits are the row's first
/// numbers, or for `ordinal` the location, the first threshold and the increments.
fn density(distribution: &'static dyn Distribution, rows: &[Vec<f64>]) -> Slopes {
    let heads = distribution.heads().len();
    let is_class = distribution.support() == Domain::Class;
    let mut names = distribution.head_names();
    names.push("value");
    let column = |place: usize| -> Vec<f64> { rows.iter().map(|row| row[place]).collect() };
    let inputs = names.iter().enumerate().map(|(place, name)| {
        let numbers = match (is_class, place == heads) {
            (true, true) => rows
                .iter()
                .flat_map(|row| one_hot(row[row.len() - 1]))
                .collect(),
            (true, false) => rows
                .iter()
                .flat_map(|row| row[..CLASSES].to_vec())
                .collect(),
            _ => column(place),
        };
        (name.to_string(), numbers)
    });
    let features = if is_class { CLASSES } else { 1 };
    let by = heads + usize::from(distribution.noise().is_some());
    Slopes::new(
        distribution.name().to_string(),
        inputs.collect(),
        features,
        by,
        |graph, nodes, feature| {
            let given = slopes::heads(distribution, graph, &nodes[..heads], feature);
            let density = distribution.log_prob(graph, &given, nodes[heads], feature);
            // `uniform` reads nothing.
            let zero = graph.scale(nodes[heads], 0.0);
            let zero = graph.sum(zero, &Axes::from(feature));
            graph.add(density, zero)
        },
    )
}

fn one_hot(class: f64) -> impl Iterator<Item = f64> {
    (0..CLASSES).map(move |other| f64::from(other as f64 == class))
}

/// How far numbers may be apart: absolutely, and in proportion to the number that is wanted.
#[derive(Clone, Copy)]
struct Tolerance {
    absolute: f64,
    relative: f64,
}

/// Of a log-density, in nats.
const VALUE: Tolerance = Tolerance {
    absolute: 1e-3,
    relative: 1e-5,
};
/// Of a slope. Where it passes through 0, it is a difference of numbers near 1, such as x − σ(l) of
/// `bernoulli` and ½ (x − μ)² / σ² − ½ of `normal`, and each of a few steps rounds by 2⁻²⁴.
const SLOPE: Tolerance = Tolerance {
    absolute: 5e-7,
    relative: 1e-3,
};

fn agree(name: &str, place: &str, found: f64, wanted: f64, tolerance: Tolerance) {
    let most = tolerance.absolute + tolerance.relative * wanted.abs();
    // Numbers of single precision end here.
    let is_beyond = wanted.abs() > 3e38 && found == f64::INFINITY.copysign(wanted);
    assert!(
        (found - wanted).abs() <= most || is_beyond,
        "{name} {place}: {found:e} instead of {wanted:e}"
    );
}

/// All outputs of two engines, the second in double precision. Numbers of rows whose result is beyond
/// single precision, such as a sample exp(100), are compared only for NaN.
fn agree_everywhere(slopes: &Slopes, found: &Outputs, wanted: &Outputs) {
    let results = &wanted["result"];
    for (name, wanted) in wanted {
        let tolerance = if name == "result" { VALUE } else { SLOPE };
        let (what, found) = (format!("{name} of {}", slopes.name), &found[name]);
        for (at, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
            let place = slopes.place(at);
            assert!(!found.is_nan() || wanted.is_nan(), "{what} {place} is NaN");
            if wanted.is_finite() && results[at].abs() < 1e37 {
                agree(&what, &place, found, wanted, tolerance);
            }
        }
    }
}

/// The points of `tests/fixtures/densities`: heads and a value, log p, and the slopes.
fn table() -> Vec<(&'static dyn Distribution, Vec<f64>, Vec<f64>)> {
    let file = common::root().join("tests/fixtures/densities/densities.txt");
    let text = std::fs::read_to_string(file).expect("the table");
    let point = |line: &str| {
        let (name, numbers) = line.split_once(' ').expect("a name");
        let (point, results) = numbers.split_once('=').expect("results");
        let read = |text: &str| -> Vec<f64> {
            let words = text.split_whitespace();
            words.map(|word| word.parse().expect("a number")).collect()
        };
        let distribution = distribution::find(name).expect("a distribution");
        (distribution, read(point), read(results))
    };
    text.lines().map(point).collect()
}

/// Every density and slope of the table. Double precision has twelve digits of it.
fn densities_match_the_table(device: &Device) {
    let table = table();
    for distribution in DISTRIBUTIONS {
        let lines = table
            .iter()
            .filter(|(known, ..)| known.name() == distribution.name());
        let (rows, results): (Vec<_>, Vec<_>) = lines
            .map(|(_, row, results)| (row.clone(), results))
            .unzip();
        assert!(
            !rows.is_empty(),
            "{0} is not in the table: add it to tests/fixtures/densities/make.py",
            distribution.name()
        );
        let slopes = density(*distribution, &rows);
        let is_class = distribution.support() == Domain::Class;
        let outputs: Vec<String> = slopes
            .by
            .iter()
            .map(|name| format!("slope of {name}"))
            .collect();
        for (engine, outputs_of, is_exact) in [
            ("double precision", slopes.interpreted(0, 0, 0.0), true),
            ("single precision", slopes.on(device), false),
        ] {
            // Logarithms of numbers up to e³⁰ times numbers up to 10⁸ are rounded by 2⁻⁵³.
            let tolerance = |inexact| match is_exact {
                true => Tolerance {
                    absolute: 1e-6,
                    relative: 1e-6,
                },
                false => inexact,
            };
            for (row, results) in results.iter().enumerate() {
                let at =
                    |name: &str, feature: usize| outputs_of[name][row * slopes.features + feature];
                let found: Vec<f64> = [at("result", 0)]
                    .into_iter()
                    .chain(match is_class {
                        true => outputs
                            .iter()
                            .flat_map(|name| (0..CLASSES).map(|k| at(name, k)).collect::<Vec<_>>())
                            .collect::<Vec<_>>(),
                        false => outputs.iter().map(|name| at(name, 0)).collect(),
                    })
                    .collect();
                assert_eq!(
                    found.len(),
                    results.len(),
                    "a result for each slope of {}",
                    distribution.name()
                );
                let place = slopes.place(row * slopes.features);
                for (number, (&found, &wanted)) in found.iter().zip(results.iter()).enumerate() {
                    let (what, tolerance) = match number {
                        0 => ("log p".to_string(), tolerance(VALUE)),
                        _ => (format!("slope {number}"), tolerance(SLOPE)),
                    };
                    let what = format!("{what} of {} in {engine}", distribution.name());
                    agree(&what, &place, found, wanted, tolerance);
                }
            }
        }
    }
}

/// Values of a head over its range.
fn range(range: HeadRange) -> &'static [f64] {
    match range {
        HeadRange::Log => &[
            -30.0, -18.0, -8.0, -2.0, 0.0, 2.0, 5.0, 8.0, 13.0, 18.0, 24.0, 30.0,
        ],
        HeadRange::Unbounded => &[-1e4, -100.0, -20.0, -3.0, 0.0, 0.7, 20.0, 100.0, 1e4],
    }
}

/// Values over a domain.
fn data(domain: Domain) -> &'static [f64] {
    match domain {
        Domain::Real => &[-1e8, -1e4, -3.0, -0.1, 0.0, 0.7, 20.0, 1e4, 1e8],
        Domain::Positive => &[1e-8, 1e-3, 0.2, 1.0, 3.5, 20.0, 1e3, 1e8],
        Domain::Unit => &[1e-6, 1e-3, 0.1, 0.5, 0.85, 0.999_999],
        Domain::Binary => &[0.0, 0.4, 1.0],
        Domain::Count => &[0.0, 1.0, 7.0, 50.0, 1e3, 1e6, 1e8],
        Domain::Class => &[0.0, 1.0, 2.0, 3.0],
    }
}

/// Every density over the range of its heads and the domain of its values, and every sample and its
/// density over the range of its heads, in single precision.
fn distributions_agree(distributions: &[&'static dyn Distribution], device: &Device) {
    let single = |row: &mut Vec<f64>| row.iter_mut().for_each(|x| *x = f64::from(*x as f32));
    for distribution in distributions {
        let heads = distribution.heads().len();
        let mut columns: Vec<&[f64]> = distribution
            .heads()
            .iter()
            .map(|head| range(head.range))
            .collect();
        if distribution.support() == Domain::Class {
            columns = vec![
                &[-100.0, 0.0, 30.0],
                &[-1.0, 5.0],
                &[0.0, 0.3],
                &[-20.0, 1e4],
            ];
        }
        columns.push(data(distribution.support()));
        let mut rows = combinations(&columns);
        rows.iter_mut().for_each(single);
        let slopes = density(*distribution, &rows);
        agree_everywhere(&slopes, &slopes.on(device), &slopes.interpreted(0, 0, 0.0));

        columns[heads] = match distribution.noise() {
            Some(NoiseKind::Normal) => &[-3.3, -0.2, 0.9, 5.0],
            Some(NoiseKind::Uniform) => &[1e-6, 0.1, 0.45, 0.8, 0.999_999],
            None => continue,
        };
        // Uniform noise is a multiple of 2⁻²⁴, of which the distance from ½ is exact.
        let mut rows = combinations(&columns);
        rows.iter_mut().for_each(single);
        if distribution.noise() == Some(NoiseKind::Uniform) {
            let step = 2f64.powi(24);
            let noise = rows.iter_mut().filter_map(|row| row.last_mut());
            noise.for_each(|x| *x = (*x * step).round() / step);
        }
        let mut names: Vec<String> = distribution
            .head_names()
            .iter()
            .map(|name| name.to_string())
            .collect();
        names.push("noise".to_string());
        let name = format!("sample of {}", distribution.name());
        let inputs = named_columns(&names, &rows, |x| vec![x]);
        let slopes = Slopes::new(name, inputs.clone(), 1, heads, |graph, nodes, _| {
            let sample = distribution.sample(graph, &nodes[..heads], nodes[heads]);
            sample.expect("noise makes a sample")
        });
        agree_everywhere(&slopes, &slopes.on(device), &slopes.interpreted(0, 0, 0.0));

        let name = format!("log_prob of a sample of {}", distribution.name());
        let slopes = Slopes::new(name, inputs, 1, heads, |graph, nodes, feature| {
            let (heads, noise) = (&nodes[..heads], nodes[heads]);
            let density = distribution.log_prob_of_sample(graph, heads, noise, feature);
            density.expect("noise makes a sample")
        });
        agree_everywhere(&slopes, &slopes.on(device), &slopes.interpreted(0, 0, 0.0));
    }
}

/// A step of every optimiser, for gradients and states of many sizes.
fn optimizers_agree(device: &Device) {
    const SIZES: &[f64] = &[-1e4, -0.3, 1e-6, 2.0];
    for optimizer in OPTIMIZERS {
        let states = optimizer.state();
        let names = ["parameter", "gradient"].iter().chain(states);
        let names: Vec<String> = names.map(|name| name.to_string()).collect();
        let arguments: Vec<f64> = optimizer
            .arguments()
            .iter()
            .map(|argument| argument.default.unwrap_or(argument.least))
            .collect();
        // A second moment is no negative number.
        let mut columns = vec![SIZES, &[-1e4, -1e-6, 0.0, 0.3, 10.0]];
        columns.resize(names.len(), &[0.0, 1e-6, 0.2, 30.0]);
        let mut rows = combinations(&columns);
        rows.iter_mut()
            .flatten()
            .for_each(|x| *x = f64::from(*x as f32));
        for output in 0..=states.len() {
            let name = format!("{}, output {output}", optimizer.name());
            let inputs = named_columns(&names, &rows, |x| vec![x]);
            let slopes = Slopes::new(name, inputs, 1, 0, |graph, nodes, _| {
                let update = Update {
                    parameter: nodes[0],
                    gradient: nodes[1],
                    state: &nodes[2..],
                    rate: graph.constant(1e-3),
                    step: graph.constant(7.0),
                    decays: true,
                    arguments: &arguments,
                };
                let (next, state) = optimizer.update(graph, &update);
                [&[next][..], &state].concat()[output]
            });
            let (found, wanted) = (slopes.on(device), slopes.interpreted(0, 0, 0.0));
            for (at, (&found, &wanted)) in found["result"].iter().zip(&wanted["result"]).enumerate()
            {
                // A few roundings of 2⁻²⁴ each.
                let tolerance = Tolerance {
                    absolute: 1e-9,
                    relative: 2e-6,
                };
                agree(&slopes.name, &slopes.place(at), found, wanted, tolerance);
            }
        }
    }
}

/// Bounds and gradients of small models, with weights of several sizes.
fn models_agree(models: Vec<Model>, sizes: &[f64], device: &Device) {
    for model in models {
        for &size in sizes {
            let batch = common::batch(&model, 7, 3);
            let mut parameters = parameters(&model);
            for (name, array) in &mut parameters {
                let is_variance = name.ends_with("running_var");
                let value = |x: f64| if is_variance { x.abs() + 0.5 } else { x * size };
                let numbers = array.data.iter_mut();
                numbers.for_each(|x| *x = f64::from(value(*x) as f32));
            }
            let run = |engine: Engine| {
                bound(&model, &parameters, &batch, None, 3, &engine).expect("a bound")
            };
            let (found, wanted) = (run(Engine::Device(device.clone())), run(Engine::Reference));
            let place = format!("{}, weights of size {size}", model.file);
            let loss = |json: &serde_json::Value| {
                let loss = json["loss"].as_f64();
                loss.unwrap_or_else(|| panic!("{place}: the loss is {}", json["loss"]))
            };
            agree(
                "the loss",
                &place,
                loss(&found.json),
                loss(&wanted.json),
                Tolerance {
                    absolute: 1e-5,
                    relative: 1e-5,
                },
            );
            for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
                let apart = distance(&found.data, &wanted.data);
                assert!(
                    apart < 2e-4,
                    "{place}: the gradient of {} is off by {apart:e}",
                    found.name
                );
            }
        }
    }
}

/// A negative binomial of a large dispersion r is Poisson, to about ((x − m)² − x) / 2r. The last of
/// these log-likelihoods was 0 once, and the third 11469.
#[test]
fn a_negative_binomial_of_large_dispersion_is_poisson() {
    let mean = f64::from(50f64.ln() as f32);
    let find = |name| distribution::find(name).expect("a distribution");
    for dispersion in [1e5f64, 1e7, 1e9, 1e10, 1e13] {
        let counts = [30.0, 44.0, 50.0, 61.0, 75.0];
        let rows = |heads: &[f64]| counts.map(|count| [heads, &[count]].concat());
        let wanted = density(find("poisson"), &rows(&[mean])).on(&Device::cpu(1));
        let log = f64::from(dispersion.ln() as f32);
        let found = density(find("negative_binomial"), &rows(&[mean, log])).on(&Device::cpu(1));
        for (at, count) in counts.into_iter().enumerate() {
            let apart = ((count - 50.0).powi(2) - count) / (2.0 * dispersion);
            let difference = found["result"][at] - wanted["result"][at];
            assert!(
                (difference - apart).abs() < 1e-5,
                "{dispersion}: {difference}"
            );
            let slope = found["slope of log_dispersion"][at];
            assert!(
                (slope + apart).abs() < 1e-2 * apart.abs(),
                "{dispersion}: {slope}"
            );
        }
    }
}

/// Weights are so many times a half of standard normal numbers.
const SIZES: &[f64] = &[1.0, 3.0];

#[test]
fn densities_on_the_cpu_match_the_table() {
    densities_match_the_table(&Device::cpu(1));
}

#[test]
fn densities_on_the_gpu_match_the_table() {
    if let Some(device) = gpu("densities_on_the_gpu_match_the_table") {
        densities_match_the_table(&device);
    }
}

#[test]
fn every_entry_on_the_cpu_agrees_with_double_precision() {
    let device = Device::cpu(1);
    distributions_agree(DISTRIBUTIONS, &device);
    optimizers_agree(&device);
    models_agree(layer_models(), SIZES, &device);
    models_agree(estimator_models(), SIZES, &device);
}

#[test]
fn every_entry_on_the_gpu_agrees_with_double_precision() {
    if let Some(device) = gpu("every_entry_on_the_gpu_agrees_with_double_precision") {
        distributions_agree(DISTRIBUTIONS, &device);
        optimizers_agree(&device);
        models_agree(layer_models(), &SIZES[1..], &device);
        models_agree(estimator_models(), &SIZES[1..], &device);
    }
}

/// Student's t by its textbook formula, whose slope by log ν is wrong in single precision from log ν = 8
/// on: a difference of log Γ.
#[derive(Debug)]
struct NaiveStudentT;

impl Distribution for NaiveStudentT {
    fn name(&self) -> &'static str {
        "naive_student_t"
    }

    fn support(&self) -> Domain {
        Domain::Real
    }

    fn heads(&self) -> &'static [HeadSpec] {
        const { &[HeadSpec::unbounded("mean"), HeadSpec::log("log_freedom")] }
    }

    fn constant_heads(&self, _: &[f64]) -> Vec<f64> {
        vec![0.0, 0.0]
    }

    /// log Γ((ν + 1)/2) − log Γ(ν/2) − ½ log νπ − (ν + 1)/2 log(1 + (x − μ)²/ν)
    fn log_prob(&self, graph: &mut Graph, heads: &[Node], value: Node, axis: Id<Axis>) -> Node {
        let freedom = graph.exp(heads[1]);
        let next = graph.shift(freedom, 1.0);
        let (half, half_next) = (graph.scale(freedom, 0.5), graph.scale(next, 0.5));
        let above = graph.scalar(Scalar::LogGamma, &[half_next]);
        let below = graph.scalar(Scalar::LogGamma, &[half]);
        let scale = graph.shift(heads[1], std::f64::consts::PI.ln());
        let scale = graph.scale(scale, 0.5);
        let centred = graph.sub(value, heads[0]);
        let square = graph.square(centred);
        let ratio = graph.div(square, freedom);
        let log = graph.scalar(Scalar::Log1P, &[ratio]);
        let tail = graph.mul(half_next, log);
        let plus = graph.sub(above, below);
        let minus = graph.add(scale, tail);
        let density = graph.sub(plus, minus);
        graph.sum(density, &Axes::from(axis))
    }

    fn mean(&self, _: &mut Graph, heads: &[Node], _: Id<Axis>) -> Node {
        heads[0]
    }
}

/// The comparison finds a density that is right in double precision alone.
#[test]
fn a_naive_density_is_found() {
    let compare = || distributions_agree(&[&NaiveStudentT], &Device::cpu(1));
    let mistake = std::panic::catch_unwind(compare).expect_err("it is found");
    let message = mistake.downcast_ref::<String>().expect("a message");
    assert!(message.contains("naive_student_t"), "{message}");
}
