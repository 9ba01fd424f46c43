//! What stands for a discrete variable, beside the exact sum over its values: gradients without
//! bias where that is promised, the bounds' values, and how much a gradient varies.

use crate::common;

use common::{check, parameters};
use dgc::{
    backend::Device,
    model::Model,
    run::{
        arrays::NamedArray,
        bound::{Arrays, Engine, bound},
    },
};

/// A small ADGM, every row of it unlabelled, whose objective has these lines.
fn model(lines: &str) -> Model {
    let text = format!(
        "model small {{
  size pixels = 3, classes = 4
  data   x: binary[pixels]
  label  y: class[classes]
  latent a: real[1]
  latent z: real[1]
  net body = [dense(3) > tanh]
  generative {{
               z ~ normal(0, 1)
            z -> y ~ categorical(linear)
    y, z    -> x ~ bernoulli(body)
    x, y, z -> a ~ normal(body)
  }}
  inference {{
    x       -> a ~ normal(body)
    a, x    -> y ~ categorical(body)
    a, x, y -> z ~ normal(body)
  }}
  objective {{
    {lines}
  }}
}}
"
    );
    check("small.dgm", &text, &[])
}

const ROWS: usize = 1000;
/// Batches of independent noise.
const BATCHES: u64 = 40;
/// Standard errors that two means may be apart: a bias of this is found, and chance does not reach
/// it in a thousand numbers.
const APART: f64 = 5.0;

/// Means over batches, and their standard errors.
struct Found {
    bound: (f64, f64),
    /// Of each batch.
    bounds: Vec<f64>,
    gradients: Vec<(String, f64, f64)>,
    /// Of a row's gradient, in all of q(y | …).
    variance: f64,
}

fn mean_and_error(numbers: &[f64]) -> (f64, f64) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let spread = numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (spread / count).sqrt())
}

/// Two rows, each many times over, so that a batch is as many draws of the noise.
fn batch(model: &Model) -> Arrays {
    let x: Vec<f64> = (0..ROWS)
        .flat_map(|row| {
            if row % 2 == 0 {
                [1.0, 0.0, 1.0]
            } else {
                [0.0, 1.0, 1.0]
            }
        })
        .collect();
    let array = |name: &str, shape: Vec<usize>, data: Vec<f64>| NamedArray {
        name: name.to_string(),
        shape,
        data,
    };
    let mut arrays = Arrays::new();
    arrays.insert("x".to_string(), array("x", vec![ROWS, 3], x));
    if model.labels().next().is_some() {
        let seen = if model.name == "seen" { 1.0 } else { -1.0 };
        arrays.insert("y".to_string(), array("y", vec![ROWS], vec![seen; ROWS]));
    }
    arrays
}

fn run(model: &Model, change: &dyn Fn(&mut Arrays)) -> Found {
    let mut parameters = parameters(model);
    for (name, start) in [("running_mean", -2.0), ("running_var", 1.0)] {
        if let Some(array) = parameters.get_mut(&format!("baseline.y.value.{name}")) {
            array.data = vec![start];
        }
    }
    change(&mut parameters);
    let batch = batch(model);
    let (mut bounds, mut gradients): (Vec<f64>, Vec<Vec<f64>>) = (Vec::new(), Vec::new());
    let mut names: Vec<String> = Vec::new();
    for seed in 0..BATCHES {
        let engine = Engine::Device(Device::cpu(0));
        let report = bound(model, &parameters, &batch, None, seed, &engine).expect("a bound");
        let bound = ["unlabelled", "labelled"]
            .iter()
            .find_map(|case| report.json[case]["bound"].as_f64());
        bounds.push(bound.expect("a number"));
        let own = report
            .gradients
            .iter()
            .filter(|array| !array.name.starts_with("baseline"));
        let mut own: Vec<(String, f64)> = own
            .flat_map(|array| array.data.iter().map(|x| (array.name.clone(), *x)))
            .collect();
        // Models declare their parameters in an order of their own.
        own.sort_by(|(one, _), (other, _)| one.cmp(other));
        names = own.iter().map(|(name, _)| name.clone()).collect();
        gradients.push(own.into_iter().map(|(_, x)| x).collect());
    }
    let column = |i: usize| mean_and_error(&gradients.iter().map(|row| row[i]).collect::<Vec<_>>());
    let gradients: Vec<(String, f64, f64)> = (0..names.len())
        .map(|i| {
            let (mean, error) = column(i);
            (names[i].clone(), mean, error)
        })
        .collect();
    let of_q = gradients
        .iter()
        .filter(|(name, ..)| name.starts_with("q.y"));
    let variance =
        of_q.map(|(_, _, error)| error.powi(2)).sum::<f64>() * (ROWS as u64 * BATCHES) as f64;
    Found {
        bound: mean_and_error(&bounds),
        bounds,
        gradients,
        variance,
    }
}

/// The gradient that is furthest from another's, in standard errors.
fn furthest(found: &Found, wanted: &Found) -> (f64, String) {
    assert_eq!(
        found.gradients.len(),
        wanted.gradients.len(),
        "the same parameters"
    );
    let pairs = found.gradients.iter().zip(&wanted.gradients);
    let distances = pairs.map(|((name, a, a_error), (_, b, b_error))| {
        // A mean that does not vary is rounded all the same.
        let least = 1e-7 + 2e-6 * b.abs();
        (
            (a - b).abs() / a_error.hypot(*b_error).max(least),
            format!("{name}: {a} and {b}"),
        )
    });
    distances
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .expect("there are gradients")
}

#[test]
fn gradients_are_those_of_the_sum_on_average() {
    let exact = run(&model("sum y"), &|_| {});
    eprintln!(
        "{:40} variance {:.4} bound {:.5}",
        "sum y", exact.variance, exact.bound.0
    );
    for lines in [
        "score y by leave_one_out\n    samples 2",
        "score y by leave_one_out\n    samples 5",
        "score y by learned(body)",
        "score y by learned([dense(4) > tanh > dense(2) > tanh])\n    samples 3",
        "top y 1",
        "top y 2",
        "top y 3",
        "top y 2\n    samples 3",
    ] {
        let found = run(&model(lines), &|_| {});
        let (distance, place) = furthest(&found, &exact);
        let lines = lines.replace("\n   ", ",");
        eprintln!(
            "{lines:40} variance {:.4} furthest {distance:.2} {place}",
            found.variance
        );
        assert!(
            distance < APART,
            "`{lines}`: {distance} standard errors, {place}"
        );
        let difference = found.bound.0 - exact.bound.0;
        let error = found.bound.1.hypot(exact.bound.1);
        assert!(
            difference.abs() < APART * error,
            "`{lines}`: the bound is {difference} ± {error} off"
        );
    }
}

/// The weight of a latent's terms is in what a draw was worth.
#[test]
fn gradients_of_weighted_terms_are_those_of_the_sum_on_average() {
    let weighted = |line: &str| {
        model(&format!(
            "{line}\n    beta z 4\n    beta y 2\n    beta a 0.5"
        ))
    };
    let exact = run(&weighted("sum y"), &|_| {});
    for line in [
        "top y 1",
        "score y by leave_one_out\n    samples 3",
        "score y by learned(body)",
    ] {
        let (distance, place) = furthest(&run(&weighted(line), &|_| {}), &exact);
        assert!(
            distance < APART,
            "`{line}`: {distance} standard errors, {place}"
        );
    }
    let (distance, _) = furthest(&run(&model("top y 1"), &|_| {}), &exact);
    assert!(
        distance > 2.0 * APART,
        "the weights tell: {distance} standard errors"
    );
}

/// A label that is observed counts once, in what a draw was worth too.
#[test]
fn an_observed_label_is_not_weighed() {
    let model = |line: &str| {
        let text = format!(
            "model seen {{\n data x: binary[3]\n label y: class[3]\n latent c: class[4]\n latent z: real[1]\n generative {{\n z ~ normal(0, 1)\n c ~ uniform\n\
             c -> y ~ categorical(linear)\n c, y, z -> x ~ bernoulli(linear)\n}}\n inference {{\n x -> z ~ normal(linear)\n x -> y ~ categorical(linear)\n\
             x, y -> c ~ categorical(linear)\n}}\n objective {{\n sum y\n beta y 5\n {line}\n}}\n}}\n"
        );
        check("seen.dgm", &text, &[])
    };
    let exact = run(&model("sum c"), &|_| {});
    let (distance, place) = furthest(&run(&model("top c 1"), &|_| {}), &exact);
    assert!(distance < APART, "{distance} standard errors, {place}");
}

#[test]
fn relaxations_are_right_when_cold_and_biased_when_warm() {
    let exact = run(&model("sum y"), &|_| {});
    // The value of a straight-through bound is that of drawn classes.
    let hard = run(
        &model("relax y by straight_through(temperature = 0.7)"),
        &|_| {},
    );
    let difference = hard.bound.0 - exact.bound.0;
    assert!(
        difference.abs() < APART * hard.bound.1.hypot(exact.bound.1),
        "{difference} ± {:?}",
        hard.bound
    );
    // So is the gradient of p, which does not go through the draw.
    let of_p = |found: &Found| Found {
        bound: found.bound,
        bounds: Vec::new(),
        gradients: found
            .gradients
            .iter()
            .filter(|(name, ..)| name.starts_with("p."))
            .cloned()
            .collect(),
        variance: 0.0,
    };
    let (distance, place) = furthest(&of_p(&hard), &of_p(&exact));
    assert!(distance < APART, "{distance} standard errors, {place}");
    let biases: Vec<f64> = ["1.0", "0.3", "0.02"]
        .iter()
        .map(|temperature| {
            let found = run(
                &model(&format!("relax y by gumbel(temperature = {temperature})")),
                &|_| {},
            );
            let bias = (found.bound.0 - exact.bound.0).abs();
            let (distance, place) = furthest(&found, &exact);
            eprintln!(
                "{temperature}: bias {bias:.5}, variance {:.4}, {distance:.1} at {place}",
                found.variance
            );
            if *temperature == "1.0" {
                // What tells a bias where there is one.
                assert!(
                    distance > 2.0 * APART,
                    "a warm relaxation is biased: {distance} standard errors"
                );
            }
            bias
        })
        .collect();
    assert!(
        biases[0] > biases[1] && biases[1] > biases[2],
        "colder is better: {biases:?}"
    );
}

/// With one sample, or q of the class the same for all, a bound of weights is the evidence; and a
/// mean of powers rises with the power.
#[test]
fn bounds_of_weights_are_in_order() {
    let bounds = |lines: &str| run(&model(&format!("sum y\n    {lines}")), &|_| {}).bounds;
    let one = bounds("bound importance");
    for (bound, evidence) in one.iter().zip(bounds("samples 1\n    sampled")) {
        assert!(
            (bound - evidence).abs() < 1e-5,
            "one sample: {bound} and {evidence}"
        );
    }
    let orders = ["renyi(2)", "renyi(0.5)", "importance", "renyi(-1)"];
    let orders = orders.map(|order| bounds(&format!("samples 4\n    bound {order}")));
    for pair in orders.windows(2) {
        assert!(
            pair[0].iter().zip(&pair[1]).all(|(low, high)| low < high),
            "the bound rises as its order falls"
        );
    }
    let near = bounds("samples 4\n    bound renyi(0)");
    assert_eq!(near, orders[2], "order 0 is the importance-weighted bound");
    // More samples make it tighter: the mean over noise rises from the evidence towards log p(x).
    let mean = |bounds: &[f64]| mean_and_error(bounds);
    let (few, many) = (mean(&one), mean(&orders[2]));
    assert!(
        many.0 - few.0 > APART * few.1.hypot(many.1),
        "{few:?} and {many:?}"
    );
}

/// The gradient of a mean over draws, beside the difference of means at two places.
#[test]
fn vimco_is_the_gradient_of_the_mean_bound() {
    for bound in ["bound importance", "bound renyi(0.5)"] {
        let model = model(&format!(
            "score y by leave_one_out\n    samples 3\n    {bound}"
        ));
        let at = |element: usize, by: f64| {
            run(&model, &|parameters: &mut Arrays| {
                parameters.get_mut("q.y.logits.bias").expect("a bias").data[element] += by;
            })
        };
        let here = at(0, 0.0);
        let mut biases = here
            .gradients
            .iter()
            .filter(|(name, ..)| name == "q.y.logits.bias");
        for element in 0..4 {
            let (_, gradient, error) = biases.next().expect("a bias for each class");
            const STEP: f64 = 0.25;
            let [more, less] = [STEP, -STEP].map(|by| at(element, by).bounds);
            // The loss is the negative bound. Both places have the same noise.
            let slopes: Vec<f64> = more
                .iter()
                .zip(&less)
                .map(|(more, less)| (less - more) / (2.0 * STEP))
                .collect();
            let (slope, own) = mean_and_error(&slopes);
            let error = error.hypot(own);
            eprintln!("{bound}, class {element}: {gradient:.5} and {slope:.5} ± {error:.5}");
            assert!(
                (gradient - slope).abs() < APART * error,
                "{bound}, class {element}: {gradient}, not {slope} ± {error}"
            );
            assert!(error < 0.01, "the difference says something: ± {error}");
        }
    }
}

/// A temperature is multiplied by `decay` each epoch, down to its floor, and never rises to it.
#[test]
fn temperatures_fall() {
    let after = |line: &str, epoch: f64| {
        let model = model(line);
        let (_, changing) = model.scheduled().swap_remove(0);
        model.scheduled_value(changing, epoch)
    };
    let falling = "relax y by gumbel(temperature = 2, decay = 0.5, floor = 0.4)";
    for (epoch, wanted) in [(0.0, 2.0), (1.0, 1.0), (2.0, 0.5), (3.0, 0.4), (9.0, 0.4)] {
        assert!(
            (after(falling, epoch) - wanted).abs() < 1e-12,
            "after {epoch} epochs"
        );
    }
    assert!(
        (after("relax y by gumbel(temperature = 0.05, decay = 0.5)", 3.0) - 0.05).abs() < 1e-12
    );
}
