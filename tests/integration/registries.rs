//! What must hold of every entry of a registry: a new one without a law fails here.

use crate::common;

use common::{
    check, distance,
    slopes::{self, Slopes, combinations, named_columns, row_and_feature},
};
use dgc::{
    backend::Device,
    distribution::{DISTRIBUTIONS, Distribution, Domain, Random},
    driver,
    names::ParameterGroup,
    optimizer::{OPTIMIZERS, Optimizer},
    tensor::{Axes, Graph, Node, NoiseKind, OutputKind, Scalar, eval, philox, scalar_table},
};
use std::collections::HashMap;

/// A graph's one output, for values and noise by name.
fn evaluate(graph: &Graph, values: &[(&str, Vec<f64>)]) -> Vec<f64> {
    let values: HashMap<String, Vec<f64>> = values
        .iter()
        .map(|(name, data)| (name.to_string(), data.clone()))
        .collect();
    let mut outputs = eval::run(graph, &values, None).expect("values for everything");
    outputs.remove(0).2.data
}

/// Heads, and the points and weights of a sum over the support. A distribution whose tails are
/// too heavy for the points of its support needs a case of its own here.
fn quadrature(distribution: &dyn Distribution) -> (Vec<f64>, Vec<(f64, f64)>) {
    let grid = |count: usize, map: fn(f64) -> (f64, f64)| -> Vec<(f64, f64)> {
        (0..count)
            .map(|i| (i as f64 + 0.5) / count as f64)
            .map(|u| (map(u), count))
            .map(|((x, w), n)| (x, w / n as f64))
            .collect()
    };
    // Points of (0, 1) on the real line, on the positive numbers, and at integers.
    let real = grid(40_000, |u| (60.0 * (u - 0.5), 60.0));
    let positive = grid(40_000, |u| {
        ((24.0 * (u - 0.5)).exp(), 24.0 * (24.0 * (u - 0.5)).exp())
    });
    let unit = grid(40_000, |u| (u, 1.0));
    let counts: Vec<(f64, f64)> = (0..400).map(|x| (f64::from(x), 1.0)).collect();
    let (heads, points) = match distribution.support() {
        Domain::Real => (vec![0.3, -0.4], real),
        Domain::Positive => (vec![0.2, -1.0], positive),
        Domain::Unit => (vec![0.8, 0.5], unit),
        Domain::Binary => (vec![0.7], vec![(0.0, 1.0), (1.0, 1.0)]),
        Domain::Count => (vec![1.1, 0.5], counts),
        Domain::Class => panic!("classes are summed in a test of their own"),
    };
    let (heads, points) = match distribution.name() {
        // Many degrees of freedom, so that the tails beyond the points are negligible.
        "student_t" => (vec![0.3, -0.4, 3.0], points),
        // One turn around the location.
        "von_mises" => (
            heads,
            grid(40_000, |u| {
                (
                    0.3 + std::f64::consts::TAU * (u - 0.5),
                    std::f64::consts::TAU,
                )
            }),
        ),
        _ => (heads, points),
    };
    // A distribution with more heads than those above takes 0.2 for the rest.
    let count = distribution.heads().len();
    let heads = heads.into_iter().chain(std::iter::repeat(0.2));
    (heads.take(count).collect(), points)
}

#[test]
fn every_density_sums_to_one_and_has_its_mean() {
    for distribution in DISTRIBUTIONS
        .iter()
        .filter(|known| known.support() != Domain::Class)
    {
        let (heads, points) = quadrature(*distribution);
        let mut graph = Graph::new();
        let (row, feature) = row_and_feature(&mut graph, points.len(), 1);
        let heads: Vec<Node> = heads.iter().map(|&head| graph.constant(head)).collect();
        let value = graph.input("value", Axes::from([row, feature]));
        let density = distribution.log_prob(&mut graph, &heads, value, feature);
        graph.output(OutputKind::Value, "density", density, vec![row]);
        let found = evaluate(
            &graph,
            &[("value", points.iter().map(|(x, _)| *x).collect())],
        );
        let total = |f: fn(f64) -> f64| -> f64 {
            found
                .iter()
                .zip(&points)
                .map(|(d, (x, w))| d.exp() * w * f(*x))
                .sum()
        };
        assert!(
            (total(|_| 1.0) - 1.0).abs() < 1e-5,
            "{} sums to {}",
            distribution.name(),
            total(|_| 1.0)
        );
        let mean = distribution.mean(&mut graph, &heads, feature);
        graph.outputs.clear();
        graph.output(OutputKind::Value, "mean", mean, vec![]);
        let wanted = evaluate(&graph, &[("value", vec![0.5; points.len()])])[0];
        assert!(
            (total(|x| x) - wanted).abs() < 1e-4 * wanted.abs().max(1.0),
            "{}: mean {wanted}",
            distribution.name()
        );
        sample_has_the_mean(*distribution, wanted);
        closed_form_kl(*distribution, &points);
    }
}

fn sample_has_the_mean(distribution: &dyn Distribution, mean: f64) {
    let Some(kind) = distribution.noise() else {
        return;
    };
    let count = 100_000;
    let mut graph = Graph::new();
    let (row, feature) = row_and_feature(&mut graph, count, 1);
    let heads: Vec<Node> = quadrature(distribution)
        .0
        .iter()
        .map(|&head| graph.constant(head))
        .collect();
    let noise = graph.noise("noise", kind, Axes::from([row, feature]));
    let sample = distribution
        .sample(&mut graph, &heads, noise)
        .expect("noise makes a sample");
    graph.output(OutputKind::Value, "sample", sample, vec![row, feature]);
    let draw = |element| match kind {
        NoiseKind::Normal => philox::normal(0, 0, 7, element),
        NoiseKind::Uniform => philox::uniform(0, 0, 7, element),
    };
    let samples = evaluate(&graph, &[("noise", (0..count as u64).map(draw).collect())]);
    let found = samples.iter().sum::<f64>() / count as f64;
    assert!(
        (found - mean).abs() < 0.02,
        "{}: samples have mean {found}, not {mean}",
        distribution.name()
    );
}

/// Numbers that are drawn have the distribution function of the density, at nine of its quantiles.
#[test]
fn draws_follow_the_density() {
    const DRAWS: usize = 40_000;
    let numbers = DISTRIBUTIONS
        .iter()
        .filter(|known| known.support() != Domain::Class);
    for distribution in numbers {
        let name = distribution.name();
        let (heads, points) = quadrature(*distribution);
        let mut graph = Graph::new();
        let (row, feature) = row_and_feature(&mut graph, points.len(), 1);
        let nodes: Vec<Node> = heads.iter().map(|&head| graph.constant(head)).collect();
        let value = graph.input("value", Axes::from([row, feature]));
        let density = distribution.log_prob(&mut graph, &nodes, value, feature);
        graph.output(OutputKind::Value, "density", density, vec![row]);
        let xs = points.iter().map(|(x, _)| *x).collect();
        let densities = evaluate(&graph, &[("value", xs)]);
        let mut random = Random::new(3, 0, name);
        let draw = |_| distribution.draw(&heads, &mut random);
        let draws: Option<Vec<f64>> = (0..DRAWS).map(draw).collect();
        let mut draws = draws.unwrap_or_else(|| panic!("`{name}` cannot be drawn"));
        if distribution.is_periodic() {
            // The points are one turn around the location.
            let turn = std::f64::consts::TAU;
            let around = |x: f64| x - turn * ((x - heads[0]) / turn).round();
            draws.iter_mut().for_each(|x| *x = around(*x));
        }
        draws.sort_by(f64::total_cmp);
        let (mut sum, mut next) = (0.0, 1);
        for ((x, weight), density) in points.iter().zip(densities) {
            sum += density.exp() * weight;
            if sum > 0.1 * f64::from(next) && next < 10 {
                let below = draws.partition_point(|drawn| drawn <= x) as f64 / DRAWS as f64;
                // Four standard errors, and the width of a cell of the quadrature.
                assert!(
                    (below - sum).abs() < 0.012,
                    "{name} at {x}: {below} instead of {sum}"
                );
                next = (10.0 * sum).floor() as i32 + 1;
            }
        }
        assert!(next > 1, "{name} has quantiles");
    }
}

/// Over the whole range of heads, numbers that are drawn are in the domain: at most infinite or 0 in
/// double precision, where a value is beyond single precision.
#[test]
fn draws_are_in_the_domain() {
    for distribution in DISTRIBUTIONS {
        let ends: &[f64] = &[-30.0, -8.0, 0.0, 2.4, 8.0, 20.0, 30.0];
        let rows = combinations(&vec![ends; distribution.heads().len()]);
        let mut random = Random::new(1, 0, distribution.name());
        for heads in rows {
            let Some(drawn) = distribution.draw(&heads, &mut random) else {
                assert_eq!(distribution.support(), Domain::Class, "{distribution:?}");
                continue;
            };
            let fits = match distribution.support() {
                Domain::Positive => drawn >= 0.0,
                Domain::Unit => (0.0..=1.0).contains(&drawn),
                Domain::Binary => drawn == 0.0 || drawn == 1.0,
                Domain::Count => drawn >= 0.0 && drawn.fract() == 0.0,
                Domain::Real | Domain::Class => !drawn.is_nan(),
            };
            assert!(fits, "{} with {heads:?}: {drawn}", distribution.name());
        }
    }
}

/// Poisson and von Mises variables of several sizes have the mean and the variance of the distribution,
/// whichever algorithm draws them.
#[test]
fn draws_of_every_size_have_their_moments() {
    let moments = |name: &'static str, heads: &[f64]| {
        let distribution = dgc::distribution::find(name).expect("a distribution");
        let mut random = Random::new(2, 0, name);
        let draws: Vec<f64> = (0..40_000)
            .map(|_| distribution.draw(heads, &mut random).expect("a number"))
            .collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let squares = draws.iter().map(|x| (x - mean).powi(2));
        (mean, squares.sum::<f64>() / draws.len() as f64)
    };
    for rate in [0.02, 3.0, 9.9, 10.1, 60.0, 1e4, 1e7, 1e9] {
        let (mean, variance) = moments("poisson", &[f64::ln(rate)]);
        assert!((mean - rate).abs() < 0.025 * rate.sqrt(), "{rate}: {mean}");
        // The variance of a small rate has a larger error: (1 / rate + 2) / draws, by the kurtosis.
        let most = 5.0 * ((1.0 / rate + 2.0) / 40_000.0).sqrt();
        assert!((variance / rate - 1.0).abs() < most, "{rate}: {variance}");
    }
    for concentration in [1e4, 9e5, 2e6, 1e12] {
        let (mean, variance) = moments("von_mises", &[0.7, f64::ln(concentration)]);
        let wanted = 1.0 / concentration;
        assert!(
            (mean - 0.7).abs() < 0.025 * wanted.sqrt(),
            "{concentration}: {mean}"
        );
        assert!(
            (variance / wanted - 1.0).abs() < 0.05,
            "{concentration}: {variance}"
        );
    }
    // A gamma variable of a small shape: E[log x] = digamma(a), which is −1 / a for a small a.
    let mut random = Random::new(5, 0, "gamma");
    let mean = (0..40_000)
        .map(|_| random.log_gamma_variable(1e-3))
        .sum::<f64>()
        / 40_000.0;
    assert!((mean / -1000.576 - 1.0).abs() < 0.025, "{mean}");
}

fn closed_form_kl(distribution: &dyn Distribution, points: &[(f64, f64)]) {
    if !distribution.has_kl(distribution) {
        return;
    }
    let mut graph = Graph::new();
    let (row, feature) = row_and_feature(&mut graph, points.len(), 1);
    let q: Vec<Node> = [0.3, -0.4]
        .iter()
        .map(|&head| graph.constant(head))
        .collect();
    let p: Vec<Node> = [-0.5, 0.3]
        .iter()
        .map(|&head| graph.constant(head))
        .collect();
    let value = graph.input("value", Axes::from([row, feature]));
    let of_q = distribution.log_prob(&mut graph, &q, value, feature);
    let of_p = distribution.log_prob(&mut graph, &p, value, feature);
    let kl = distribution
        .kl(&mut graph, &q, (distribution, &p), feature)
        .expect("a closed form");
    let xs: Vec<f64> = points.iter().map(|(x, _)| *x).collect();
    let mut run = |node, axes| {
        graph.outputs.clear();
        graph.output(OutputKind::Value, "found", node, axes);
        evaluate(&graph, &[("value", xs.clone())])
    };
    let (of_q, of_p, kl) = (
        run(of_q, vec![row]),
        run(of_p, vec![row]),
        run(kl, vec![])[0],
    );
    let wanted: f64 = of_q
        .iter()
        .zip(&of_p)
        .zip(points)
        .map(|((q, p), (_, w))| q.exp() * (q - p) * w)
        .sum();
    assert!(
        (kl - wanted).abs() < 1e-4,
        "{}: KL {kl} instead of {wanted}",
        distribution.name()
    );
}

#[test]
fn class_densities_sum_to_one() {
    for distribution in DISTRIBUTIONS
        .iter()
        .filter(|known| known.support() == Domain::Class)
    {
        let mut graph = Graph::new();
        let (row, feature) = row_and_feature(&mut graph, 4, 4);
        let logits = graph.input("logits", Axes::from(feature));
        let index = graph.iota(row);
        let value = graph.one_hot(index, feature);
        let heads = slopes::heads(*distribution, &mut graph, &[logits], feature);
        let density = distribution.log_prob(&mut graph, &heads, value, feature);
        graph.output(OutputKind::Value, "density", density, vec![row]);
        let found = evaluate(&graph, &[("logits", vec![0.3, -1.0, 2.0, 0.0])]);
        let total: f64 = found.iter().map(|x| x.exp()).sum();
        assert!(
            (total - 1.0).abs() < 1e-12,
            "{} sums to {total}",
            distribution.name()
        );
    }
}

/// The gradients by the first `by` inputs against finite differences, and the CPU against the
/// interpreter.
fn check_slopes(slopes: &Slopes, by: usize) {
    let found = slopes.interpreted(0, 0, 0.0);
    for (input, (name, _)) in slopes.inputs.iter().enumerate().take(by) {
        let by_input = &found[&format!("slope of {name}")];
        for feature in 0..slopes.features {
            let step = 1e-5;
            let at = |sign: f64| slopes.interpreted(input, feature, sign * step)["result"].clone();
            let (above, below) = (at(1.0), at(-1.0));
            for place in (0..above.len()).step_by(slopes.features) {
                let wanted = (above[place] - below[place]) / (2.0 * step);
                let slope = by_input[place + feature];
                // Central differences are off by about step², and by rounding over the step.
                assert!(
                    (slope - wanted).abs() < 1e-7 * wanted.abs().max(1.0),
                    "{} by {name}, row {}: {slope} instead of {wanted}",
                    slopes.name,
                    place / slopes.features
                );
            }
        }
    }
    let single = slopes.on(&Device::cpu(1));
    for (name, wanted) in &found {
        // Tens of roundings of 2⁻²⁴ each, in proportion to the largest number.
        let apart = distance(&single[name], wanted);
        assert!(
            apart < 1e-5,
            "{name} of {} on the CPU is off by {apart:e}",
            slopes.name
        );
    }
}

/// The gradients of every density and sampler against finite differences, at several values of each
/// head and of the value or noise, and the CPU against the interpreter.
#[test]
fn gradients_of_every_distribution_match_finite_differences() {
    const CLASSES: usize = 4;
    for distribution in DISTRIBUTIONS {
        let heads = distribution.heads().len();
        let mut names: Vec<String> = (0..heads)
            .map(|head| distribution.heads()[head].name.to_string())
            .collect();
        let is_class = distribution.support() == Domain::Class;
        let values: &[f64] = match distribution.support() {
            Domain::Real => &[-1.3, 0.1, 2.1],
            Domain::Positive => &[0.2, 1.1, 3.5],
            Domain::Unit => &[0.1, 0.5, 0.85],
            Domain::Binary => &[0.0, 0.4, 1.0],
            Domain::Count => &[0.0, 1.0, 7.0],
            Domain::Class => &[0.0, 1.0, 2.0, 3.0],
        };
        const HEADS: &[f64] = &[-1.4, 0.3, 1.2];
        let mut columns = vec![HEADS; heads];
        columns.push(values);
        let rows = combinations(&columns);
        names.push("value".to_string());
        let mut inputs = if is_class {
            // Logits that differ from class to class, and one-hot values.
            let logits = |x: f64| (0..CLASSES).map(|class| x * (class as f64 - 1.3)).collect();
            named_columns(&names, &rows, logits)
        } else {
            named_columns(&names, &rows, |x| vec![x])
        };
        if is_class {
            let one_hot = |row: &Vec<f64>| {
                let value = *row.last().expect("a value");
                (0..CLASSES).map(move |class| f64::from(class as f64 == value))
            };
            let value = inputs.last_mut().expect("a value");
            value.1 = rows.iter().flat_map(one_hot).collect();
        }
        let features = if is_class { CLASSES } else { 1 };
        // Only a value that may be drawn needs a gradient.
        let by = heads + usize::from(distribution.noise().is_some());
        let name = format!("log_prob of {}", distribution.name());
        let density = |graph: &mut Graph, inputs: &[Node], feature| {
            let given = slopes::heads(*distribution, graph, &inputs[..heads], feature);
            distribution.log_prob(graph, &given, inputs[heads], feature)
        };
        check_slopes(&Slopes::new(name, inputs, features, by, density), by);

        let noise: &[f64] = match distribution.noise() {
            Some(NoiseKind::Normal) => &[-1.3, 0.2, 0.9],
            Some(NoiseKind::Uniform) => &[0.1, 0.45, 0.8],
            None => continue,
        };
        columns[heads] = noise;
        names[heads] = "noise".to_string();
        let inputs = named_columns(&names, &combinations(&columns), |x| vec![x]);
        let name = format!("sample of {}", distribution.name());
        let sample = |graph: &mut Graph, inputs: &[Node], _| {
            let sample = distribution.sample(graph, &inputs[..heads], inputs[heads]);
            sample.expect("noise makes a sample")
        };
        check_slopes(&Slopes::new(name, inputs, 1, heads, sample), heads);
    }
}

/// The log-density of a sample from its noise is that of its value, and so are its slopes.
#[test]
fn densities_of_noise_are_those_of_samples() {
    for distribution in DISTRIBUTIONS {
        let noise: &[f64] = match distribution.noise() {
            Some(NoiseKind::Normal) => &[-1.3, 0.2, 0.9, 4.0],
            Some(NoiseKind::Uniform) => &[0.01, 0.1, 0.45, 0.8],
            None => continue,
        };
        let heads = distribution.heads().len();
        let mut columns: Vec<&[f64]> = vec![&[-1.4, 0.3, 1.2]; heads];
        columns.push(noise);
        let mut names: Vec<String> = Vec::new();
        names.extend(distribution.heads().iter().map(|head| head.name.into()));
        names.push("noise".to_string());
        let inputs = named_columns(&names, &combinations(&columns), |x| vec![x]);
        let name = format!("log_prob of a sample of {}", distribution.name());
        let of_noise = Slopes::new(name, inputs.clone(), 1, heads, |graph, inputs, feature| {
            let (heads, noise) = (&inputs[..heads], inputs[heads]);
            let density = distribution.log_prob_of_sample(graph, heads, noise, feature);
            density.expect("noise makes a sample")
        });
        let of_value = Slopes::new(String::new(), inputs, 1, heads, |graph, inputs, feature| {
            let (heads, noise) = (&inputs[..heads], inputs[heads]);
            let sample = distribution.sample(graph, heads, noise);
            let sample = sample.expect("noise makes a sample");
            distribution.log_prob(graph, heads, sample, feature)
        });
        let (found, wanted) = (
            of_noise.interpreted(0, 0, 0.0),
            of_value.interpreted(0, 0, 0.0),
        );
        for (output, wanted) in &wanted {
            for (at, (found, wanted)) in found[output].iter().zip(wanted).enumerate() {
                assert!(
                    (found - wanted).abs() < 1e-12 * wanted.abs().max(10.0),
                    "{output} of {} {}: {found}, {wanted}",
                    of_noise.name,
                    of_noise.place(at)
                );
            }
        }
    }
}

#[test]
fn every_scalar_gradient_matches_finite_differences() {
    for row in scalar_table() {
        // No model differentiates a third time; beyond its bound, `clamp` has no derivative, but a way
        // back: `clamped_heads_return`.
        if matches!(row.name, "trigamma" | "clamp") {
            continue;
        }
        // Of these points, those where the function is defined.
        let is_defined = |x: &&f64| (row.eval)(&[**x, 0.7, -0.2][..row.arity]).is_finite();
        let points = [-1.3, 0.2, 0.4, 0.8, 2.1, 4.2];
        assert!(points.iter().any(|x| is_defined(&x)), "{}", row.name);
        for &x in points.iter().filter(is_defined) {
            let inputs = [x, 0.7, -0.2];
            let mut graph = Graph::new();
            let nodes: Vec<Node> = (0..row.arity)
                .map(|operand| graph.input(&operand.to_string(), Axes::none()))
                .collect();
            let result = graph.scalar(row.scalar, &nodes);
            let gradients = dgc::gradient::reverse(&mut graph, result, &nodes);
            for (operand, gradient) in gradients.into_iter().enumerate() {
                graph.outputs.clear();
                graph.output(OutputKind::Value, "gradient", gradient, vec![]);
                let values: Vec<(String, f64)> = (0..row.arity)
                    .map(|operand| (operand.to_string(), inputs[operand]))
                    .collect();
                let values: Vec<(&str, Vec<f64>)> = values
                    .iter()
                    .map(|(name, x)| (name.as_str(), vec![*x]))
                    .collect();
                let found = evaluate(&graph, &values)[0];
                let at = |delta: f64| {
                    let mut moved = inputs;
                    moved[operand] += delta;
                    (row.eval)(&moved[..row.arity])
                };
                let wanted = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!(
                    (found - wanted).abs() < 1e-5 * wanted.abs().max(1.0),
                    "{} at {x}: {found}, {wanted}",
                    row.name
                );
            }
        }
    }
}

/// A gradient passes a clamp inside its range, and beyond where descent moves the operand back.
#[test]
fn clamped_heads_return() {
    let rows = combinations(&[
        &[-1e30, -31.0, -30.5, -29.0, 0.0, 29.0, 30.5, 31.0, 1e30],
        &[-2.0, 0.5],
    ]);
    let names = ["head", "slope"].map(str::to_string);
    let inputs = named_columns(&names, &rows, |x| vec![x]);
    let slopes = Slopes::new("clamp".to_string(), inputs, 1, 1, |graph, nodes, _| {
        let bound = graph.constant(30.0);
        let clamped = graph.scalar(Scalar::Clamp, &[nodes[0], bound]);
        graph.mul(clamped, nodes[1])
    });
    for outputs in [slopes.interpreted(0, 0, 0.0), slopes.on(&Device::cpu(1))] {
        for (at, row) in rows.iter().enumerate() {
            let (head, slope) = (row[0], row[1]);
            // Descent moves the head against its slope.
            let returns = head * slope > 0.0;
            let wanted = if head.abs() < 30.0 || returns {
                slope
            } else {
                0.0
            };
            assert_eq!(outputs["slope of head"][at], wanted, "{row:?}");
            assert_eq!(outputs["result"][at], head.clamp(-30.0, 30.0) * slope);
        }
    }
}

/// The update of two weights and another parameter.
fn update_with(optimizer: &dyn Optimizer) -> Graph {
    let text = format!(
        "model steps {{\n data x: real[1]\n latent z: real[1]\n generative {{\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n}}\n\
         inference {{\n x -> z ~ normal(linear)\n}}\n train {{\n optimizer {}(rate = 0.1)\n}}\n}}\n",
        optimizer.name()
    );
    let text = if optimizer.name() == "sgd" {
        text.replace("rate = 0.1", "rate = 0.1, momentum = 0.9")
    } else {
        text
    };
    let model = check("steps.dgm", &text, &[]);
    driver::update(&model, |group| match group {
        ParameterGroup::Weights => 2,
        _ => 1,
    })
}

/// Five steps of each optimiser against a loop over numbers, after PyTorch's definitions.
#[test]
fn optimisers_follow_their_definitions() {
    for optimizer in OPTIMIZERS {
        let graph = update_with(*optimizer);
        let names = optimizer.state();
        let mut values: HashMap<String, Vec<f64>> = HashMap::new();
        values.insert("weights".to_string(), vec![0.5, -1.0]);
        values.insert("others".to_string(), vec![2.0]);
        for group in ["weights", "others"] {
            let len = values[group].len();
            names
                .iter()
                .for_each(|name| drop(values.insert(format!("{group}.{name}"), vec![0.0; len])));
        }
        let mut wanted: Vec<(f64, f64, f64, bool)> = vec![
            (0.5, 0.0, 0.0, true),
            (-1.0, 0.0, 0.0, true),
            (2.0, 0.0, 0.0, false),
        ];
        for step in 1..=5 {
            let gradient = |index: usize| (step as f64 * 0.7 + index as f64).sin();
            values.insert(
                "weights.gradient".to_string(),
                vec![gradient(0), gradient(1)],
            );
            values.insert("others.gradient".to_string(), vec![gradient(2)]);
            values.insert("rate".to_string(), vec![0.1]);
            values.insert("step".to_string(), vec![f64::from(step)]);
            for (kind, name, array) in
                eval::run(&graph, &values, None).expect("values for everything")
            {
                if kind == OutputKind::Next {
                    values.insert(name, array.data);
                }
            }
            for (index, (x, m, v, decays)) in wanted.iter_mut().enumerate() {
                let g = gradient(index);
                let t = f64::from(step);
                match optimizer.name() {
                    "sgd" => {
                        *m = 0.9 * *m + g;
                        *x -= 0.1 * *m;
                    }
                    "adam" | "adamw" => {
                        if optimizer.name() == "adamw" && *decays {
                            *x -= 0.1 * 0.01 * *x;
                        }
                        *m = 0.9 * *m + 0.1 * g;
                        *v = 0.999 * *v + 0.001 * g * g;
                        let (first, second) =
                            (*m / (1.0 - 0.9f64.powf(t)), *v / (1.0 - 0.999f64.powf(t)));
                        *x -= 0.1 * first / (second.sqrt() + 1e-8);
                    }
                    "adamax" => {
                        *m = 0.9 * *m + 0.1 * g;
                        *v = (0.999 * *v).max(g.abs() + 1e-8);
                        *x -= 0.1 / (1.0 - 0.9f64.powf(t)) * *m / *v;
                    }
                    name => panic!("{name} has no law: say what its steps are"),
                }
            }
        }
        let found = [values["weights"].clone(), values["others"].clone()].concat();
        let wanted: Vec<f64> = wanted.iter().map(|(x, ..)| *x).collect();
        assert!(
            distance(&found, &wanted) < 1e-9,
            "{}: {found:?} instead of {wanted:?}",
            optimizer.name()
        );
    }
}

/// Parameters that decay, and their state, become 0 before they are too small for fast arithmetic. A NaN
/// stays, so that training that diverges is seen.
#[test]
fn updates_round_tiny_numbers_to_zero() {
    for optimizer in OPTIMIZERS {
        let graph = update_with(*optimizer);
        let state = |group: &str, values: &[f64]| {
            let names = optimizer.state().iter();
            let named = names.map(|name| (format!("{group}.{name}"), values.to_vec()));
            named.collect::<Vec<_>>()
        };
        let mut values: HashMap<String, Vec<f64>> = HashMap::new();
        values.extend(state("weights", &[1e-39, 1e-40]));
        values.extend(state("others", &[0.0]));
        let given = [
            ("weights", vec![9e-19, -1e-30]),
            ("weights.gradient", vec![0.0, 0.0]),
            ("others", vec![1.0]),
            ("others.gradient", vec![f64::NAN]),
            ("rate", vec![0.0]),
            ("step", vec![1.0]),
        ];
        values.extend(given.map(|(name, value)| (name.to_string(), value)));
        let next: HashMap<String, Vec<f64>> = eval::run(&graph, &values, None)
            .expect("values for everything")
            .into_iter()
            .filter(|(kind, ..)| *kind == OutputKind::Next)
            .map(|(_, name, array)| (name, array.data))
            .collect();
        assert_eq!(next["weights"], [0.0, 0.0], "{}", optimizer.name());
        for (name, _) in state("weights", &[]) {
            let is_norm = name.ends_with("infinity_norm");
            let wanted = if is_norm { 1e-8 } else { 0.0 };
            assert_eq!(next[&name], [wanted; 2], "{name}");
        }
        assert!(next["others"][0].is_nan(), "{}", optimizer.name());
    }
}
