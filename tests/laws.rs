//! What must hold of every model: gradients, brute-force sums and closed forms.

mod common;

use common::{check, distance, load, models};
use dgc::{
    distribution::Domain,
    driver,
    id::Id,
    layer::LAYERS,
    lower::{Mode, Population},
    model::{Checked, Role},
    run::{
        arrays::NamedArray,
        bound::{Arrays, Engine, bound},
        session::Layout,
    },
    tensor::{Axis, Graph, Op, eval, philox},
};

const SMALL: &[(&str, &str)] = &[
    ("pixels", "5"),
    ("classes", "3"),
    ("aux", "2"),
    ("latent", "2"),
    ("lower", "3"),
    ("upper", "2"),
    ("hidden", "4"),
];

fn small(file: &std::path::Path) -> Checked {
    let full = load(file, &[]);
    let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
    load(file, &SMALL.iter().copied().filter(|(name, _)| has(name)).collect::<Vec<_>>())
}

/// Numbers from a stream of their own, of that scale.
fn numbers(name: &str, count: usize, scale: f64) -> Vec<f64> {
    (0..count as u64).map(|element| scale * philox::normal(1, 0, philox::stream(name), element)).collect()
}

/// Random parameters for a model, with every layer of it.
fn parameters(model: &Checked) -> Arrays {
    let rows = vec![2; driver::derive(model).cases.len()];
    let population = Population { rows: 4.0, labelled: 2.0 };
    let graph = driver::lower(model, &driver::derive(model), &rows, Mode::BOUND, population);
    let entries = Layout::new(&graph).entries.into_iter();
    let arrays = entries.map(|entry| {
        let name = entry.parameter.name.clone();
        let data = numbers(&name, entry.len(), 0.5);
        (name.clone(), NamedArray { name, shape: entry.shape, data })
    });
    arrays.collect()
}

/// A batch in which the first of the rows are labelled.
fn batch(model: &Checked, rows: usize, labelled: usize) -> Arrays {
    let mut arrays = Arrays::new();
    for variable in &model.variables {
        let (name, size) = (variable.name.clone(), variable.size());
        let (shape, data) = match (variable.role, variable.domain) {
            (Role::Label, _) => {
                let class = |row: usize| if row < labelled { (row % size) as f64 } else { -1.0 };
                (vec![rows], (0..rows).map(class).collect())
            }
            (Role::Data, Domain::Binary) => {
                (vec![rows, size], numbers(&name, rows * size, 1.0).into_iter().map(|x| f64::from(x > 0.0)).collect())
            }
            (Role::Data, _) => (vec![rows, size], numbers(&name, rows * size, 1.0)),
            _ => continue,
        };
        arrays.insert(name.clone(), NamedArray { name, shape, data });
    }
    arrays
}

fn loss(model: &Checked, parameters: &Arrays, batch: &Arrays) -> f64 {
    let report = bound(model, parameters, batch, None, 3, Engine::Reference).expect("a bound");
    report.json["loss"].as_f64().expect("a loss")
}

/// Every gradient against central differences along a random direction.
fn finite_differences(model: &Checked) {
    let (parameters, batch) = (parameters(model), batch(model, 5, 2));
    let report = bound(model, &parameters, &batch, None, 3, Engine::Reference).expect("a bound");
    assert!(!report.gradients.is_empty(), "{} has parameters", model.name);
    for gradient in &report.gradients {
        let direction = numbers(&format!("direction {}", gradient.name), gradient.data.len(), 1.0);
        let step = 1e-5;
        let at = |sign: f64| {
            let mut moved = parameters.clone();
            let array = moved.get_mut(&gradient.name).expect("a gradient is of a parameter");
            array.data.iter_mut().zip(&direction).for_each(|(x, d)| *x += sign * step * d);
            loss(model, &moved, &batch)
        };
        let wanted = (at(1.0) - at(-1.0)) / (2.0 * step);
        let found: f64 = gradient.data.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let error = (found - wanted).abs() / wanted.abs().max(1.0);
        assert!(error < 1e-5, "{}: {} has slope {found} instead of {wanted}", model.name, gradient.name);
    }
}

#[test]
fn gradients_of_every_model_match_finite_differences() {
    models().iter().for_each(|file| finite_differences(&small(file)));
}

#[test]
fn gradients_of_every_layer_match_finite_differences() {
    for layer in LAYERS {
        let call = match layer.name() {
            "dense" => "dense(4)".to_string(),
            "residual" => "residual [dense(4) > tanh]".to_string(),
            name => name.to_string(),
        };
        let text = format!(
            "model layers {{\n data x: real[3]\n latent z: real[2]\n net body = [dense(4) > {call} > dense(3)]\n\
             generative {{\n z ~ normal(0, 1)\n z -> x ~ normal(body)\n}}\n inference {{\n x -> z ~ normal(body)\n}}\n}}\n"
        );
        finite_differences(&check("layers.dgm", &text, &[]));
    }
}

/// The same outputs, gradients and running averages before and after.
#[test]
fn simplifying_changes_no_number() {
    for file in models() {
        let model = small(&file);
        let objective = driver::derive(&model);
        let rows = vec![3; objective.cases.len()];
        let population = Population { rows: 9.0, labelled: 3.0 };
        let graph = driver::differentiate(driver::lower(&model, &objective, &rows, Mode::TRAIN, population));
        let mut values = eval::Values::new();
        let len = |axes: &[Id<Axis>]| axes.iter().map(|&axis| graph.axis(axis).size).product::<usize>();
        for parameter in &graph.parameters {
            let numbers = numbers(&parameter.name, len(&parameter.axes), 0.5);
            // Running variances among them.
            values.insert(parameter.name.clone(), numbers.into_iter().map(f64::abs).collect());
        }
        for node in graph.ids() {
            if let Op::Input { name, .. } = graph.op(node) {
                let axes: Vec<_> = graph.axes_of(node).iter().collect();
                let class = axes.len() == 1;
                let number = |x: f64| if class { (10.0 * x.abs()).floor() % 3.0 } else { x.abs() };
                values.insert(name.clone(), numbers(name, len(&axes), 0.5).into_iter().map(number).collect());
            }
        }
        let run = |graph: &Graph| eval::run(graph, &values, Some(eval::Seed { seed: 1, step: 2 })).expect("numbers");
        let (before, after) = (run(&graph), run(&driver::simplify(&graph)));
        assert_eq!(before.len(), after.len(), "as many outputs");
        for ((_, name, wanted), (_, known, found)) in before.iter().zip(&after) {
            assert_eq!(name, known, "in the same order");
            let scale = wanted.data.iter().fold(1.0f64, |most, x| most.max(x.abs()));
            for (found, wanted) in found.data.iter().zip(&wanted.data) {
                let error = (found - wanted).abs() / scale;
                assert!(error < 1e-10, "{}: {name} is {found} instead of {wanted}", model.name);
            }
        }
    }
}

#[test]
fn cpu_agrees_with_the_reference_on_every_model() {
    for file in models() {
        let model = small(&file);
        for (rows, labelled) in [(5, 2), (41, 17)] {
            let (parameters, batch) = (parameters(&model), batch(&model, rows, labelled));
            let wanted = bound(&model, &parameters, &batch, None, 3, Engine::Reference).expect("a bound");
            for threads in [1, 2] {
                let found = bound(&model, &parameters, &batch, None, 3, Engine::Cpu { threads }).expect("a bound");
                let number = |json: &serde_json::Value| json["loss"].as_f64().expect("a loss");
                let error = (number(&found.json) / number(&wanted.json) - 1.0).abs();
                assert!(error < 1e-5, "{}: the loss is off by {error:e}", model.name);
                for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
                    // What batch norm cancels is 0 but for rounding.
                    let scale = wanted.data.iter().fold(0.0f64, |most, x| most.max(x.abs()));
                    if scale > 1e-9 {
                        let error = distance(&found.data, &wanted.data);
                        assert!(error < 2e-4, "{}: gradient of {} is off by {error:e}", model.name, found.name);
                    }
                }
            }
        }
    }
}

/// U(x) = Σ_k q(k | …) (L(x, k) − log q(k | …)), with the same noise in each class.
#[test]
fn a_summed_label_equals_brute_force() {
    for name in ["adgm", "sdgm", "m2"] {
        let text = std::fs::read_to_string(common::root().join(format!("models/{name}.dgm"))).expect("a model");
        // One row has no batch to be normalised by.
        let text = text.replace(" > batchnorm", "");
        let full = check(name, &text, &[]);
        let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
        let sets: Vec<_> = SMALL.iter().copied().filter(|(name, _)| has(name)).collect();
        let model = check(name, &text, &sets);
        let parameters = parameters(&model);
        let (classes, aux, latent) = (3, 2, 2);
        let array = |name: &str, shape: &[usize], data: Vec<f64>| {
            (name.to_string(), NamedArray { name: name.to_string(), shape: shape.to_vec(), data })
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
            bound(&model, &parameters, batch, Some(noise), 0, Engine::Reference).expect("a bound").json
        };
        let found = run(&with_label(-1.0), &noise)["unlabelled"]["bound"].as_f64().expect("a bound");
        let mut wanted = 0.0;
        for class in 0..classes {
            noise.extend([
                array("labelled.a", &[1, 1, aux], noise_a.clone()),
                array("labelled.z", &[1, 1, latent], noise_z[class * latent..(class + 1) * latent].to_vec()),
            ]);
            let report = run(&with_label(class as f64), &noise);
            let log_q = -report["classification"].as_f64().expect("a classification loss");
            let labelled = report["labelled"]["bound"].as_f64().expect("a bound");
            wanted += log_q.exp() * (labelled - log_q);
        }
        assert!((found - wanted).abs() < 1e-10 * wanted.abs(), "{name}: {found} instead of {wanted}");
    }
}

fn set(parameters: &mut Arrays, name: &str, data: &[f64]) {
    let array = parameters.get_mut(name).unwrap_or_else(|| panic!("there is a parameter {name}"));
    assert_eq!(array.data.len(), data.len(), "{name}");
    array.data = data.to_vec();
}

fn zero(model: &Checked) -> Arrays {
    let mut parameters = parameters(model);
    parameters.values_mut().for_each(|array| array.data.fill(0.0));
    parameters
}

fn one_row(x: f64) -> Arrays {
    [("x".to_string(), NamedArray { name: "x".to_string(), shape: vec![1, 1], data: vec![x] })].into()
}

const ENGINES: [(Engine, f64); 2] = [(Engine::Reference, 1e-7), (Engine::Cpu { threads: 1 }, 1e-5)];

/// Closed form 1: all heads zero.
#[test]
fn a_model_that_knows_nothing() {
    let file = common::root().join("models/adgm.dgm");
    let model = load(&file, &[("hidden", "3"), ("aux", "2"), ("latent", "2")]);
    let (parameters, batch) = (zero(&model), batch(&model, 4, 2));
    for (engine, tolerance) in ENGINES {
        let json = bound(&model, &parameters, &batch, None, 0, engine).expect("a bound").json;
        for (found, wanted) in [
            (&json["labelled"]["bound"], -545.729975),
            (&json["unlabelled"]["bound"], -543.427390),
            (&json["classification"], std::f64::consts::LN_10),
        ] {
            let found = found.as_f64().expect("a number");
            assert!((found / wanted - 1.0).abs() < tolerance.max(2e-7), "{found} instead of {wanted}");
        }
    }
}

/// Closed form 3: an auxiliary variable makes every sample exact.
#[test]
fn an_auxiliary_model_whose_every_sample_is_exact() {
    let model = check(
        "exact.dgm",
        "model exact {\n data x: real[1]\n latent a: real[1]\n latent z: real[2]\n\
         generative {\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n z -> a ~ normal(linear)\n}\n\
         inference {\n a ~ normal(0, 1)\n a, x -> z ~ normal(linear)\n}\n objective {\n samples 7\n}\n}\n",
        &[],
    );
    let c = 0.4f64.sqrt();
    let mut parameters = zero(&model);
    set(&mut parameters, "p.x.mean.weight.z", &[1.0, 1.0]);
    set(&mut parameters, "p.x.log_variance.bias", &[0.5f64.ln()]);
    set(&mut parameters, "p.a.mean.weight.z", &[c, -c]);
    set(&mut parameters, "p.a.log_variance.bias", &[0.2f64.ln()]);
    set(&mut parameters, "q.z.mean.weight.x", &[0.4, 0.4]);
    set(&mut parameters, "q.z.mean.weight.a", &[c, -c]);
    set(&mut parameters, "q.z.log_variance.bias", &[0.2f64.ln(); 2]);
    for (engine, tolerance) in ENGINES {
        for seed in 0..3 {
            let json = bound(&model, &parameters, &one_row(1.0), None, seed, engine).expect("a bound").json;
            let found = json["all"]["bound"].as_f64().expect("a bound");
            assert!((found + 1.5770839).abs() < tolerance, "{found}");
        }
    }
}

/// Closed form 4: a class that is summed over, with the exact posterior and with a uniform one.
#[test]
fn an_enumerated_class_is_exact() {
    let model = check(
        "classes.dgm",
        "model classes {\n data x: real[1]\n latent y: class[3]\n latent z: real[1]\n\
         generative {\n y ~ uniform\n z ~ normal(0, 1)\n y, z -> x ~ normal(linear)\n}\n\
         inference {\n x -> y ~ categorical(linear)\n x, y -> z ~ normal(linear)\n}\n objective {\n sum y\n}\n}\n",
        &[],
    );
    let means = [-2.0, 0.0, 2.0];
    let mut parameters = zero(&model);
    set(&mut parameters, "p.x.mean.weight.y", &means);
    set(&mut parameters, "p.x.mean.weight.z", &[1.0]);
    set(&mut parameters, "p.x.log_variance.bias", &[0.5f64.ln()]);
    set(&mut parameters, "q.z.mean.weight.x", &[2.0 / 3.0]);
    set(&mut parameters, "q.z.mean.weight.y", &means.map(|mean| -2.0 * mean / 3.0));
    set(&mut parameters, "q.z.log_variance.bias", &[(1.0f64 / 3.0).ln()]);
    for (logits, wanted) in [([-5.2202834, -2.5536167, -2.5536167], -1.8263177), ([0.0; 3], -2.3438933)] {
        set(&mut parameters, "q.y.logits.bias", &logits);
        for (engine, tolerance) in ENGINES {
            let json = bound(&model, &parameters, &one_row(1.0), None, 5, engine).expect("a bound").json;
            let found = json["all"]["bound"].as_f64().expect("a bound");
            assert!((found - wanted).abs() < tolerance.max(2e-7), "{found} instead of {wanted}");
        }
    }
}

/// Closed form 5, in one dimension of data: the bound at the exact posterior is log N(x; b, w² + σ²), and lower elsewhere.
#[test]
fn a_linear_gaussian_model_reaches_its_likelihood() {
    let model = check(
        "linear.dgm",
        "model linear_gaussian {\n data x: real[1]\n latent z: real[1]\n\
         generative {\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n}\n inference {\n x -> z ~ normal(linear)\n}\n\
         objective {\n samples 400\n}\n}\n",
        &[],
    );
    let (w, b, variance, x) = (1.3, 0.4, 0.6, 2.0);
    let total: f64 = w * w + variance;
    let wanted = -0.5 * ((2.0 * std::f64::consts::PI * total).ln() + (x - b) * (x - b) / total);
    let mut parameters = zero(&model);
    set(&mut parameters, "p.x.mean.weight.z", &[w]);
    set(&mut parameters, "p.x.mean.bias", &[b]);
    set(&mut parameters, "p.x.log_variance.bias", &[f64::ln(variance)]);
    set(&mut parameters, "q.z.mean.weight.x", &[w / total]);
    set(&mut parameters, "q.z.mean.bias", &[-w * b / total]);
    set(&mut parameters, "q.z.log_variance.bias", &[(variance / total).ln()]);
    let run = |parameters: &Arrays, engine| {
        let json = bound(&model, parameters, &one_row(x), None, 5, engine).expect("a bound").json;
        json["all"]["bound"].as_f64().expect("a bound")
    };
    for (engine, tolerance) in ENGINES {
        let found = run(&parameters, engine);
        assert!((found - wanted).abs() < tolerance, "{found} instead of {wanted}");
    }
    set(&mut parameters, "q.z.mean.bias", &[0.5]);
    assert!(run(&parameters, Engine::Reference) < wanted - 0.1);
}
