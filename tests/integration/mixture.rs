//! Priors of several components: against formulas, quadrature, and the models that they are equal
//! to.

use crate::common;

use common::{batch, check, distance, finite_differences, numbers, parameters};
use dgc::{
    backend::Device,
    driver,
    lower::Mode,
    model::Model,
    run::{
        arrays::NamedArray,
        bound::{Arrays, Engine, Report, bound},
    },
    tensor::{Graph, Op, OutputKind, eval},
};

/// A model of real data with that prior, and that network within q.
fn model(prior: &str, layers: &str) -> Model {
    let text = format!(
        "model priors {{\n edition 1\n data x: real[3]\n latent z: real[2]\n net body = {layers}\n generative {{\n z ~ {prior}\n\
         z -> x ~ normal([dense(4) > tanh])\n}}\n inference {{\n x -> z ~ normal(body)\n}}\n}}\n"
    );
    check("priors.dgm", &text, &[])
}

const PLAIN: &str = "dense(4) > tanh";

fn array(name: &str, shape: &[usize], data: Vec<f64>) -> (String, NamedArray) {
    (
        name.to_string(),
        NamedArray {
            name: name.to_string(),
            shape: shape.to_vec(),
            data,
        },
    )
}

fn set(parameters: &mut Arrays, name: &str, data: &[f64]) {
    let array = parameters
        .get_mut(name)
        .unwrap_or_else(|| panic!("there is a parameter {name}"));
    assert_eq!(array.data.len(), data.len(), "{name}");
    array.data = data.to_vec();
}

fn run(model: &Model, parameters: &Arrays, batch: &Arrays, noise: Option<&Arrays>) -> Report {
    bound(model, parameters, batch, noise, 3, &Engine::Reference).expect("a bound")
}

fn number(report: &Report, term: &str) -> f64 {
    report.json["all"]["terms"][term]
        .as_f64()
        .expect("a number")
}

fn gradient<'r>(report: &'r Report, name: &str) -> &'r [f64] {
    &report
        .gradients
        .iter()
        .find(|array| array.name == name)
        .unwrap_or_else(|| panic!("a gradient of {name}"))
        .data
}

fn log_normal(x: f64, mean: f64, log_variance: f64) -> f64 {
    -0.5 * ((2.0 * std::f64::consts::PI).ln()
        + log_variance
        + (x - mean).powi(2) / log_variance.exp())
}

#[test]
fn a_mixture_of_one_is_its_component() {
    let (mixture, plain) = (
        model("mixture(normal, 1)", PLAIN),
        model("normal(linear)", PLAIN),
    );
    let mut own = parameters(&mixture);
    let batch = batch(&mixture, 5, 0);
    for head in ["mean", "log_variance"] {
        let array = own[&format!("p.z.mixture.{head}")].clone();
        assert_eq!(array.shape, [1, 2]);
        let name = format!("p.z.{head}.bias");
        own.insert(
            name.clone(),
            NamedArray {
                name,
                shape: vec![2],
                ..array
            },
        );
    }
    let (found, wanted) = (
        run(&mixture, &own, &batch, None),
        run(&plain, &own, &batch, None),
    );
    assert!((number(&found, "log p(z)") / number(&wanted, "log p(z)") - 1.0).abs() < 1e-12);
    for head in ["mean", "log_variance"] {
        let [found, wanted] = [
            (&found, format!("p.z.mixture.{head}")),
            (&wanted, format!("p.z.{head}.bias")),
        ]
        .map(|(report, name)| gradient(report, &name).to_vec());
        assert!(distance(&found, &wanted) < 1e-12, "{head}");
    }
    assert!(
        distance(
            gradient(&found, "q.z.mean.bias"),
            gradient(&wanted, "q.z.mean.bias")
        ) < 1e-12
    );
    assert!(
        gradient(&found, "p.z.mixture.weight_logits")
            .iter()
            .all(|slope| slope.abs() < 1e-12),
        "one weight is 1"
    );
}

/// log p(z) of a mixture of K, added up one component after the other, on both engines.
#[test]
fn a_mixture_is_the_sum_of_its_components() {
    const K: usize = 4;
    let model = model(&format!("mixture(normal, {K})"), PLAIN);
    let (parameters, batch) = (parameters(&model), batch(&model, 5, 0));
    let noise: Arrays = [array("all.z", &[1, 5, 2], numbers("noise", 10, 1.0))].into();
    // Where q draws z, found by its own formula.
    let get = |name: &str| &parameters[name].data;
    let head = |name: &str, x: &[f64], i: usize| -> f64 {
        let hidden: Vec<f64> = (0..4)
            .map(|h| {
                let weight = &get("q.z.dense1.weight.x")[h * 3..h * 3 + 3];
                (get("q.z.dense1.bias")[h] + weight.iter().zip(x).map(|(w, x)| w * x).sum::<f64>())
                    .tanh()
            })
            .collect();
        let weight = &get(&format!("q.z.{name}.weight"))[i * 4..i * 4 + 4];
        get(&format!("q.z.{name}.bias"))[i]
            + weight.iter().zip(&hidden).map(|(w, h)| w * h).sum::<f64>()
    };
    let weights = get("p.z.mixture.weight_logits");
    let normaliser: f64 = weights.iter().map(|x| x.exp()).sum();
    let wanted = (0..5)
        .map(|row| {
            let x = &batch["x"].data[row * 3..row * 3 + 3];
            let z = [0, 1].map(|i| {
                head("mean", x, i)
                    + (0.5 * head("log_variance", x, i)).exp() * noise["all.z"].data[row * 2 + i]
            });
            let component = |k: usize| {
                let at = |name: &str, i: usize| get(&format!("p.z.mixture.{name}"))[k * 2 + i];
                let density: f64 = (0..2)
                    .map(|i| log_normal(z[i], at("mean", i), at("log_variance", i)))
                    .sum();
                weights[k].exp() / normaliser * density.exp()
            };
            (0..K).map(component).sum::<f64>().ln()
        })
        .sum::<f64>()
        / 5.0;
    for (engine, tolerance) in [
        (Engine::Reference, 1e-12),
        (Engine::Device(Device::cpu(1)), 1e-5),
    ] {
        let report = bound(&model, &parameters, &batch, Some(&noise), 0, &engine).expect("a bound");
        let found = number(&report, "log p(z)");
        assert!(
            (found / wanted - 1.0).abs() < tolerance,
            "{found} instead of {wanted}"
        );
    }
}

/// q draws z = x, so that a batch of rows is a grid of z; what is left of the bound is log p(z).
#[test]
fn a_mixture_integrates_to_one() {
    let text = "model line {\n data x: real\n latent z: real\n generative {\n z ~ mixture(normal, 3)\n\
         z -> x ~ normal(linear)\n}\n inference {\n x -> z ~ normal(linear)\n}\n}\n";
    let model = check("line.dgm", text, &[]);
    let mut parameters = parameters(&model);
    for name in ["p.x.mean.weight.z", "q.z.mean.weight.x"] {
        set(&mut parameters, name, &[1.0]);
    }
    for name in [
        "p.x.mean.bias",
        "p.x.log_variance.bias",
        "p.x.log_variance.weight.z",
        "q.z.mean.bias",
    ] {
        set(&mut parameters, name, &[0.0]);
    }
    for name in ["q.z.log_variance.bias", "q.z.log_variance.weight.x"] {
        set(&mut parameters, name, &[0.0]);
    }
    set(&mut parameters, "p.z.mixture.mean", &[-4.0, 0.5, 3.0]);
    set(
        &mut parameters,
        "p.z.mixture.log_variance",
        &[-1.0, 0.7, -2.0],
    );
    let (rows, step) = (2001, 0.015);
    let grid: Vec<f64> = (0..rows).map(|row| (row as f64 - 1000.0) * step).collect();
    let batch: Arrays = [array("x", &[rows, 1], grid)].into();
    let noise: Arrays = [array("all.z", &[1, rows, 1], vec![0.0; rows])].into();
    let report = run(&model, &parameters, &batch, Some(&noise));
    // log p(x | z) at its mode takes away −log q(z | x) at its own.
    let densities = report.json["all"]["per_row"]
        .as_array()
        .expect("a number a row")
        .iter();
    let total: f64 = densities
        .map(|density| density.as_f64().expect("a number").exp() * step)
        .sum();
    assert!((total - 1.0).abs() < 1e-9, "{total}");
}

/// A Bernoulli's head has the name that the weights might have had.
#[test]
fn a_mixture_of_bernoullis_sums_to_one() {
    let text =
        "model bits {\n data x: binary[2]\n generative {\n x ~ mixture(bernoulli, 3)\n}\n}\n";
    let model = check("bits.dgm", text, &[]);
    let batch: Arrays = [array(
        "x",
        &[4, 2],
        vec![0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0],
    )]
    .into();
    let report = run(&model, &parameters(&model), &batch, None);
    let densities = report.json["all"]["per_row"]
        .as_array()
        .expect("a number a row")
        .iter();
    let total: f64 = densities
        .map(|density| density.as_f64().expect("a number").exp())
        .sum();
    assert!((total - 1.0).abs() < 1e-12, "{total}");
    finite_differences(&model);
}

/// With one pseudo-input u the prior is q(z | u), by the same parameters; copies of one change
/// nothing.
#[test]
fn a_vamp_prior_is_q_at_its_pseudo_inputs() {
    let (one, three, plain) = (
        model("vamp(1)", PLAIN),
        model("vamp(3)", PLAIN),
        model("normal(linear)", PLAIN),
    );
    let mut own = parameters(&one);
    let batch = batch(&one, 5, 0);
    let u = [0.3, -1.2, 0.8];
    set(&mut own, "p.z.pseudo.x", &u);
    let vamp = run(&one, &own, &batch, None);
    // The heads of q at u, read from a model whose data they are.
    let get = |name: &str| own[name].data.clone();
    let hidden: Vec<f64> = (0..4)
        .map(|h| {
            let weight = &get("q.z.dense1.weight.x")[h * 3..h * 3 + 3];
            (get("q.z.dense1.bias")[h] + weight.iter().zip(u).map(|(w, x)| w * x).sum::<f64>())
                .tanh()
        })
        .collect();
    let mut of_prior = own.clone();
    for head in ["mean", "log_variance"] {
        let (weight, bias) = (
            get(&format!("q.z.{head}.weight")),
            get(&format!("q.z.{head}.bias")),
        );
        let at = |i: usize| {
            bias[i]
                + weight[i * 4..i * 4 + 4]
                    .iter()
                    .zip(&hidden)
                    .map(|(w, h)| w * h)
                    .sum::<f64>()
        };
        let (name, value) = array(&format!("p.z.{head}.bias"), &[2], vec![at(0), at(1)]);
        of_prior.insert(name, value);
    }
    let wanted = run(&plain, &of_prior, &batch, None);
    let [found, wanted] = [&vamp, &wanted].map(|report| number(report, "log p(z)"));
    assert!(
        (found / wanted - 1.0).abs() < 1e-12,
        "{found} instead of {wanted}"
    );
    let (name, copies) = array("p.z.pseudo.x", &[3, 3], u.repeat(3));
    own.insert(name, copies);
    let copied = run(&three, &own, &batch, None);
    assert!((number(&copied, "log p(z)") / found - 1.0).abs() < 1e-12);
    assert!(
        distance(
            gradient(&copied, "q.z.dense1.weight.x"),
            gradient(&vamp, "q.z.dense1.weight.x")
        ) < 1e-12
    );
}

/// Every kind of data has pseudo-inputs, through nodes, batch norm, sums over labels, importance
/// weights and several samples.
#[test]
fn gradients_through_priors_match_finite_differences() {
    let several = "model several {\n data b: binary[3]\n data c: count[2]\n data s: unit[2]\n data d: class[3]\n\
         label y: class[2]\n latent z: real[2]\n latent w: positive[2]\n net body = dense(4) > batchnorm > tanh\n\
         generative {\n z ~ vamp(3)\n w ~ mixture(log_normal, 2)\n y ~ uniform\n y, z, w -> b ~ bernoulli(body)\n\
         z -> c ~ poisson(body)\n w -> s ~ beta(body)\n z -> d ~ categorical(body)\n}\n inference {\n\
         b, c, s -> h = body\n h, d -> z ~ normal(body)\n h -> y ~ categorical(body)\n h, y, z -> w ~ log_normal(body)\n}\n\
         objective {\n samples 2\n sum y\n classify y\n}\n}\n";
    finite_differences(&check("several.dgm", several, &[]));
    let weighted = several
        .replace("    samples 2", "    samples 3")
        .replace("sum y\n", "sum y\n bound importance\n");
    finite_differences(&check("weighted.dgm", &weighted, &[]));
    finite_differences(&model("mixture(laplace, 3)", PLAIN));
}

/// The running averages are of the data alone.
#[test]
fn pseudo_inputs_do_not_move_running_averages() {
    const NORMED: &str = "dense(4) > batchnorm > tanh";
    let next = |prior: &str| -> Vec<(String, Vec<f64>)> {
        let model = model(prior, NORMED);
        let graph = driver::lower(&model, &driver::derive(&model), &[6], Mode::TRAIN);
        let outputs = eval::run(
            &graph,
            &values(&graph),
            Some(eval::Seed { seed: 1, step: 2 }),
        )
        .expect("numbers");
        let moved = outputs
            .into_iter()
            .filter(|(kind, ..)| *kind == OutputKind::Next);
        moved.map(|(_, name, array)| (name, array.data)).collect()
    };
    let moved = next("vamp(3)");
    assert_eq!(moved.len(), 2, "a mean and a variance");
    assert_eq!(moved, next("normal(0, 1)"));
}

/// Numbers for what a graph reads.
fn values(graph: &Graph) -> eval::NamedValues {
    let len = |axes: &[dgc::id::Id<dgc::tensor::Axis>]| {
        axes.iter().map(|&axis| graph.axis(axis).size).product()
    };
    let mut values = eval::NamedValues::new();
    for parameter in &graph.parameters {
        values.insert(
            parameter.name.clone(),
            numbers(&parameter.name, len(&parameter.axes), 0.5),
        );
    }
    for node in graph.ids() {
        if let Op::Input { name, .. } = graph.op(node) {
            let axes: Vec<_> = graph.axes_of(node).iter().collect();
            values.insert(name.clone(), numbers(name, len(&axes), 0.5));
        }
    }
    values
}

/// Samples come from each component as often as it weighs, and are spread as it is.
#[test]
fn samples_are_of_the_components() {
    let text = "model line {\n data x: real\n latent z: real\n generative {\n z ~ mixture(normal, 2)\n\
         z -> x ~ normal(linear)\n}\n inference {\n x -> z ~ normal(linear)\n}\n}\n";
    let model = check("line.dgm", text, &[]);
    let rows = 4000;
    let graph = driver::generate(&model, rows, &[]);
    let mut values = values(&graph);
    let known = [
        ("weight_logits", vec![0.25f64.ln(), 0.75f64.ln()]),
        ("mean", vec![-5.0, 5.0]),
        ("log_variance", vec![0.0, 1.0]),
    ];
    for (name, value) in known {
        values.insert(format!("p.z.mixture.{name}"), value);
    }
    let outputs =
        eval::run(&graph, &values, Some(eval::Seed { seed: 4, step: 0 })).expect("numbers");
    let z = &outputs
        .iter()
        .find(|(_, name, _)| name == "z")
        .expect("the latent is drawn")
        .2
        .data;
    let (below, above): (Vec<f64>, Vec<f64>) = z.iter().copied().partition(|z| *z < 0.0);
    // Three standard deviations, four for the variances.
    assert!(
        (below.len() as f64 / rows as f64 - 0.25).abs() < 0.021,
        "{} of {rows}",
        below.len()
    );
    for (values, mean, variance) in [(below, -5.0, 1.0), (above, 5.0, 1f64.exp())] {
        let count = values.len() as f64;
        let centre = values.iter().sum::<f64>() / count;
        assert!(
            (centre - mean).abs() < 3.0 * (variance / count).sqrt(),
            "{centre} instead of {mean}"
        );
        let spread = values.iter().map(|z| (z - centre).powi(2)).sum::<f64>() / count;
        // What of the wider one falls below 0 is little.
        assert!(
            (spread / variance - 1.0).abs() < 4.0 * (2.0 / count).sqrt() + 0.01,
            "{spread} instead of {variance}"
        );
    }
}

/// Pseudo-inputs are drawn from as q is, by running averages; data of several components have their
/// mean.
#[test]
fn pseudo_inputs_are_sampled_from() {
    let vamp = model("vamp(2)", "dense(4) > batchnorm > tanh");
    let graph = driver::generate(&vamp, 5, &[]);
    let mut values = values(&graph);
    values.insert("q.z.batchnorm1.running_var".to_string(), vec![1.0; 4]);
    let outputs =
        eval::run(&graph, &values, Some(eval::Seed { seed: 4, step: 0 })).expect("numbers");
    assert!(
        outputs
            .iter()
            .any(|(_, name, array)| name == "x" && array.data.iter().all(|x| x.is_finite()))
    );
    let text = "model alone {\n data x: count[2]\n generative {\n x ~ mixture(poisson, 2)\n}\n}\n";
    let alone = check("alone.dgm", text, &[]);
    let graph = driver::generate(&alone, 1, &[]);
    let values: eval::NamedValues = [
        (
            "p.x.mixture.weight_logits".to_string(),
            vec![0.25f64.ln(), 0.75f64.ln()],
        ),
        (
            "p.x.mixture.log_rate".to_string(),
            [1.0, 2.0, 3.0, 6.0].map(f64::ln).to_vec(),
        ),
    ]
    .into();
    let outputs = eval::run(&graph, &values, None).expect("numbers");
    let wanted = [0.25 * 1.0 + 0.75 * 3.0, 0.25 * 2.0 + 0.75 * 6.0];
    assert!(
        distance(&outputs[0].2.data, &wanted) < 1e-12,
        "{:?}",
        outputs[0].2.data
    );
}
