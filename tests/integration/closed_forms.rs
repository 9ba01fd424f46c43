//! Models whose bounds are known: in closed form, or by an equality with another model's.

use crate::common;

use common::{batch, check, load, numbers, parameters, sampled};
use dgc::{
    backend::Device,
    model::Model,
    run::{
        arrays::NamedArray,
        bound::{Arrays, Engine, bound},
    },
};

fn set(parameters: &mut Arrays, name: &str, data: &[f64]) {
    let array = parameters
        .get_mut(name)
        .unwrap_or_else(|| panic!("there is a parameter {name}"));
    assert_eq!(array.data.len(), data.len(), "{name}");
    array.data = data.to_vec();
}

fn zero(model: &Model) -> Arrays {
    let mut parameters = parameters(model);
    parameters
        .values_mut()
        .for_each(|array| array.data.fill(0.0));
    parameters
}

fn one_row(x: f64) -> Arrays {
    [(
        "x".to_string(),
        NamedArray {
            name: "x".to_string(),
            shape: vec![1, 1],
            data: vec![x],
        },
    )]
    .into()
}

const ENGINES: [(Engine, f64); 2] = [
    (Engine::Reference, 1e-7),
    (Engine::Device(Device::cpu(1)), 1e-5),
];

/// Closed form 1: all heads zero.
#[test]
fn a_model_that_knows_nothing() {
    let file = common::root().join("models/adgm.dgm");
    let model = load(&file, &[("hidden", "3"), ("aux", "2"), ("latent", "2")]);
    let (parameters, batch) = (zero(&model), batch(&model, 4, 2));
    for (engine, tolerance) in &ENGINES {
        let json = bound(&model, &parameters, &batch, None, 0, engine)
            .expect("a bound")
            .json;
        for (found, wanted) in [
            (&json["labelled"]["bound"], -545.729975),
            (&json["unlabelled"]["bound"], -543.427390),
            (&json["classification"], std::f64::consts::LN_10),
        ] {
            let found = found.as_f64().expect("a number");
            assert!(
                (found / wanted - 1.0).abs() < tolerance.max(2e-7),
                "{found} instead of {wanted}"
            );
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
         inference {\n a ~ normal(0, 1)\n a, x -> z ~ normal(linear)\n}\n objective {\n samples 7\n sampled\n}\n}\n",
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
    for (engine, tolerance) in &ENGINES {
        for seed in 0..3 {
            let json = bound(&model, &parameters, &one_row(1.0), None, seed, engine)
                .expect("a bound")
                .json;
            let found = json["all"]["bound"].as_f64().expect("a bound");
            assert!((found + 1.5770839).abs() < *tolerance, "{found}");
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
         inference {\n x -> y ~ categorical(linear)\n x, y -> z ~ normal(linear)\n}\n objective {\n sum y\n sampled\n}\n}\n",
        &[],
    );
    let means = [-2.0, 0.0, 2.0];
    let mut parameters = zero(&model);
    set(&mut parameters, "p.x.mean.weight.y", &means);
    set(&mut parameters, "p.x.mean.weight.z", &[1.0]);
    set(&mut parameters, "p.x.log_variance.bias", &[0.5f64.ln()]);
    set(&mut parameters, "q.z.mean.weight.x", &[2.0 / 3.0]);
    set(
        &mut parameters,
        "q.z.mean.weight.y",
        &means.map(|mean| -2.0 * mean / 3.0),
    );
    set(
        &mut parameters,
        "q.z.log_variance.bias",
        &[(1.0f64 / 3.0).ln()],
    );
    for (logits, wanted) in [
        ([-5.2202834, -2.5536167, -2.5536167], -1.8263177),
        ([0.0; 3], -2.3438933),
    ] {
        set(&mut parameters, "q.y.logits.bias", &logits);
        for (engine, tolerance) in &ENGINES {
            let json = bound(&model, &parameters, &one_row(1.0), None, 5, engine)
                .expect("a bound")
                .json;
            let found = json["all"]["bound"].as_f64().expect("a bound");
            assert!(
                (found - wanted).abs() < tolerance.max(2e-7),
                "{found} instead of {wanted}"
            );
        }
    }
}

/// Closed form 5, in one dimension of data: the bound at the exact posterior is log N(x; b, w² +
/// σ²), and lower elsewhere.
#[test]
fn a_linear_gaussian_model_reaches_its_likelihood() {
    let model = check(
        "linear.dgm",
        "model linear_gaussian {\n data x: real[1]\n latent z: real[1]\n\
         generative {\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n}\n inference {\n x -> z ~ normal(linear)\n}\n\
         objective {\n samples 400\n sampled\n}\n}\n",
        &[],
    );
    let (w, b, variance, x) = (1.3, 0.4, 0.6, 2.0);
    let total: f64 = w * w + variance;
    let wanted = -0.5 * ((2.0 * std::f64::consts::PI * total).ln() + (x - b) * (x - b) / total);
    let mut parameters = zero(&model);
    set(&mut parameters, "p.x.mean.weight.z", &[w]);
    set(&mut parameters, "p.x.mean.bias", &[b]);
    set(
        &mut parameters,
        "p.x.log_variance.bias",
        &[f64::ln(variance)],
    );
    set(&mut parameters, "q.z.mean.weight.x", &[w / total]);
    set(&mut parameters, "q.z.mean.bias", &[-w * b / total]);
    set(
        &mut parameters,
        "q.z.log_variance.bias",
        &[(variance / total).ln()],
    );
    let run = |parameters: &Arrays, engine: &Engine| {
        let json = bound(&model, parameters, &one_row(x), None, 5, engine)
            .expect("a bound")
            .json;
        json["all"]["bound"].as_f64().expect("a bound")
    };
    for (engine, tolerance) in &ENGINES {
        let found = run(&parameters, engine);
        assert!(
            (found - wanted).abs() < *tolerance,
            "{found} instead of {wanted}"
        );
    }
    set(&mut parameters, "q.z.mean.bias", &[0.5]);
    assert!(run(&parameters, &Engine::Reference) < wanted - 0.1);
}

/// Closed form 2: the best posterior without correlations misses the likelihood, −1.5770839, by the
/// gap that is known.
#[test]
fn a_mean_field_posterior_leaves_its_gap() {
    let model = check(
        "field.dgm",
        "model field {\n data x: real[1]\n latent z: real[2]\n\
         generative {\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n}\n inference {\n z ~ normal(0.4, 0.5773502691896258)\n}\n\
         objective {\n samples 40000\n}\n}\n",
        &[],
    );
    let mut parameters = zero(&model);
    set(&mut parameters, "p.x.mean.weight.z", &[1.0, 1.0]);
    set(&mut parameters, "p.x.log_variance.bias", &[0.5f64.ln()]);
    let json = bound(
        &model,
        &parameters,
        &one_row(1.0),
        None,
        3,
        &Engine::Reference,
    )
    .expect("a bound")
    .json;
    let found = json["all"]["bound"].as_f64().expect("a bound");
    // One sample's bound has a standard deviation of about 1, their mean one of 0.005.
    assert!((found + 1.8709772).abs() < 0.02, "{found}");
}

/// The bounds of the rows of a case.
fn per_row(model: &Model, parameters: &Arrays, batch: &Arrays, case: &str) -> Vec<f64> {
    let json = bound(model, parameters, batch, None, 9, &Engine::Reference)
        .expect("a bound")
        .json;
    let rows = json[case]["per_row"]
        .as_array()
        .unwrap_or_else(|| panic!("there are rows of {case}"))
        .clone();
    rows.iter()
        .map(|row| row.as_f64().expect("a number"))
        .collect()
}

fn close(found: &[f64], wanted: &[f64]) {
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(wanted) {
        assert!(
            (found - wanted).abs() < 1e-9 * wanted.abs(),
            "{found} instead of {wanted}"
        );
    }
}

const SMALL_MODEL: [(&str, &str); 4] = [
    ("pixels", "5"),
    ("classes", "3"),
    ("latent", "2"),
    ("hidden", "4"),
];

/// An ADGM of one hidden layer without batch norm, and its M2 of the same networks.
fn adgm_and_m2() -> (Model, Model) {
    let read = |name: &str| {
        std::fs::read_to_string(common::root().join(format!("models/{name}.dgm"))).expect("a model")
    };
    let adgm = read("adgm").replace(
        "2 * [dense(hidden) > batchnorm > gelu]",
        "[dense(hidden) > softplus]",
    );
    let m2 = read("m2").replace(
        "[dense(hidden) > batchnorm > relu]",
        "[dense(hidden) > softplus]",
    );
    let m2 = check("m2.dgm", &sampled(&m2), &SMALL_MODEL);
    (
        check(
            "adgm.dgm",
            &sampled(&adgm),
            &[&SMALL_MODEL[..], &[("aux", "2")]].concat(),
        ),
        m2,
    )
}

/// Fact 6: with p(a | …) = q(a | x), and a unused elsewhere, the ADGM is M2, sample by sample.
#[test]
fn an_auxiliary_variable_that_nothing_uses_changes_nothing() {
    let (adgm, m2) = adgm_and_m2();
    let mut with = parameters(&adgm);
    for name in [
        "q.y.dense1.weight.a",
        "q.z.dense1.weight.a",
        "p.a.dense1.weight.y",
        "p.a.dense1.weight.z",
    ] {
        with.get_mut(name).expect("a parameter").data.fill(0.0);
    }
    for name in [
        "dense1.bias",
        "mean.weight",
        "mean.bias",
        "log_variance.weight",
        "log_variance.bias",
    ] {
        let data = with[&format!("q.a.{name}")].data.clone();
        set(&mut with, &format!("p.a.{name}"), &data);
    }
    let data = with["q.a.dense1.weight.x"].data.clone();
    set(&mut with, "p.a.dense1.weight.x", &data);
    let mut without = parameters(&m2);
    for (name, array) in &mut without {
        array.data.clone_from(&with[name].data);
    }
    let batch = batch(&adgm, 6, 2);
    for case in ["labelled", "unlabelled"] {
        close(
            &per_row(&adgm, &with, &batch, case),
            &per_row(&m2, &without, &batch, case),
        );
    }
}

/// z at its mean whatever the class, so that both cases draw the same.
fn no_noise(rows: usize, classes: usize) -> Arrays {
    let zeros = |name: &str, shape: &[usize]| {
        let data = vec![0.0; shape.iter().product()];
        (
            name.to_string(),
            NamedArray {
                name: name.to_string(),
                shape: shape.to_vec(),
                data,
            },
        )
    };
    [
        zeros("labelled.z", &[1, rows, 2]),
        zeros("unlabelled.z", &[1, rows, classes, 2]),
    ]
    .into()
}

/// Fact 6: a q(y | …) that is sure of a class gives the bound of that class.
#[test]
fn a_sure_classifier_gives_the_bound_of_its_class() {
    let (_, m2) = adgm_and_m2();
    let mut parameters = parameters(&m2);
    set(&mut parameters, "q.y.logits.bias", &[0.0, 2000.0, 0.0]);
    let (mut batch, noise) = (batch(&m2, 3, 0), no_noise(3, 3));
    let density = |json: &serde_json::Value| json["terms"]["log p(x)"].as_f64().expect("a term");
    let run = |batch: &Arrays| {
        bound(&m2, &parameters, batch, Some(&noise), 1, &Engine::Reference)
            .expect("a bound")
            .json
    };
    let summed = density(&run(&batch)["unlabelled"]);
    batch.get_mut("y").expect("a label").data.fill(1.0);
    let given = density(&run(&batch)["labelled"]);
    close(&[summed], &[given]);
}

/// Fact 6: with one class, U is L.
#[test]
fn one_class_is_no_choice() {
    let text = std::fs::read_to_string(common::root().join("models/m2.dgm")).expect("a model");
    let model = check(
        "m2.dgm",
        &sampled(&text),
        &[&SMALL_MODEL[..], &[("classes", "1")]].concat(),
    );
    let parameters = parameters(&model);
    let (mut batch, noise) = (batch(&model, 3, 0), no_noise(3, 1));
    let run = |batch: &Arrays| {
        bound(
            &model,
            &parameters,
            batch,
            Some(&noise),
            1,
            &Engine::Reference,
        )
        .expect("a bound")
        .json
    };
    let term = |json: &serde_json::Value, name: &str| json["terms"][name].as_f64().expect("a term");
    let summed = run(&batch)["unlabelled"].clone();
    batch.get_mut("y").expect("a label").data.fill(0.0);
    let given = run(&batch)["labelled"].clone();
    for name in ["log p(x)", "log p(z)"] {
        assert!(
            (term(&summed, name) - term(&given, name)).abs() < 1e-8,
            "{name}"
        );
    }
    assert!(
        term(&summed, "-log q(y)").abs() < 1e-12,
        "one class is certain"
    );
}

/// Fact 6: the classes' order means nothing.
#[test]
fn classes_may_be_permuted() {
    let (adgm, _) = adgm_and_m2();
    let one = parameters(&adgm);
    let order = [2, 0, 1];
    let mut other = one.clone();
    for (name, array) in &mut other {
        let old = one[name].data.clone();
        if name.ends_with("weight.y") {
            // Columns of [out, class].
            array
                .data
                .iter_mut()
                .enumerate()
                .for_each(|(i, to)| *to = old[i / 3 * 3 + order[i % 3]]);
        } else if name.starts_with("q.y.logits") {
            let width = old.len() / 3;
            array
                .data
                .iter_mut()
                .enumerate()
                .for_each(|(i, to)| *to = old[order[i / width] * width + i % width]);
        }
    }
    let mut batch = batch(&adgm, 4, 0);
    let noise = |permuted: bool| -> Arrays {
        let z = numbers("z", 4 * 3 * 2, 1.0);
        let z = (0..z.len()).map(|i| {
            if permuted {
                z[i / 6 * 6 + order[i / 2 % 3] * 2 + i % 2]
            } else {
                z[i]
            }
        });
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
        [
            array("unlabelled.a", &[1, 4, 2], numbers("a", 8, 1.0)),
            array("unlabelled.z", &[1, 4, 3, 2], z.collect()),
        ]
        .into()
    };
    batch.get_mut("y").expect("a label").data.fill(-1.0);
    let run = |parameters: &Arrays, noise: &Arrays| {
        let report = bound(
            &adgm,
            parameters,
            &batch,
            Some(noise),
            0,
            &Engine::Reference,
        )
        .expect("a bound");
        report.json["unlabelled"]["bound"]
            .as_f64()
            .expect("a bound")
    };
    close(&[run(&other, &noise(true))], &[run(&one, &noise(false))]);
}

/// Fact 6: more importance samples tighten the bound in expectation; k = 1 is the ordinary one.
#[test]
fn the_importance_weighted_bound_grows_with_its_samples() {
    let text = std::fs::read_to_string(common::root().join("models/iwae.dgm")).expect("a model");
    let sets = [("pixels", "5"), ("latent", "2"), ("hidden", "4")];
    let mean = |samples: &str, text: &str| {
        let model = check(
            "iwae.dgm",
            text,
            &[&sets[..], &[("samples", samples)]].concat(),
        );
        let (parameters, batch) = (parameters(&model), batch(&model, 50, 0));
        let one = |seed| {
            let json = bound(
                &model,
                &parameters,
                &batch,
                None,
                seed,
                &Engine::Device(Device::cpu(1)),
            )
            .expect("a bound")
            .json;
            json["all"]["bound"].as_f64().expect("a bound")
        };
        (0..40).map(one).sum::<f64>() / 40.0
    };
    let (one, five, twenty) = (mean("1", &text), mean("5", &text), mean("20", &text));
    let plain = mean("1", &text.replace("bound importance", "sampled"));
    assert!(
        (one - plain).abs() < 1e-6 * plain.abs(),
        "{one} instead of {plain}"
    );
    assert!(
        one + 0.05 < five && five + 0.02 < twenty,
        "{one}, {five}, {twenty}"
    );
}

/// A class that is all but impossible, and whose density is farther off than single precision
/// reaches, does no harm: the bound is the other class's, and every gradient is a number.
#[test]
fn an_impossible_class_is_no_part_of_the_bound() {
    let model = check(
        "far.dgm",
        "model far {\n data x: real[1]\n label y: class[2]\n latent a: real[1]\n\
         generative {\n y ~ uniform\n y -> x ~ normal(linear)\n y -> a ~ normal(linear)\n}\n\
         inference {\n x -> a ~ normal(linear)\n x -> y ~ categorical(linear)\n}\n objective {\n sum y\n}\n}\n",
        &[],
    );
    let mut parameters = zero(&model);
    set(&mut parameters, "p.a.mean.weight.y", &[0.0, 50.0]);
    set(&mut parameters, "p.a.log_variance.weight.y", &[0.0, -85.0]);
    set(&mut parameters, "q.y.logits.bias", &[100.0, -100.0]);
    let mut batch = one_row(0.7);
    batch.insert(
        "y".to_string(),
        NamedArray {
            name: "y".to_string(),
            shape: vec![1],
            data: vec![-1.0],
        },
    );
    // a's two densities are the same: what is left is log p(y) + log p(x).
    let wanted = -(2f64.ln()) - 0.5 * ((2.0 * std::f64::consts::PI).ln() + 0.49);
    for (engine, tolerance) in &ENGINES {
        let report = bound(&model, &parameters, &batch, None, 0, engine).expect("a bound");
        let found = report.json["unlabelled"]["bound"]
            .as_f64()
            .expect("a number");
        assert!(
            (found / wanted - 1.0).abs() < *tolerance,
            "{found} instead of {wanted}"
        );
        let infinite = report
            .gradients
            .iter()
            .find(|gradient| gradient.data.iter().any(|value| !value.is_finite()));
        assert!(
            infinite.is_none(),
            "the gradient of {}",
            infinite.expect("one").name
        );
    }
}

/// With a deviation at its limit, a sample rounds to its mean in single precision. The bound keeps log q of
/// the sample all the same, also where a label is drawn only in rows that lack it.
#[test]
fn samples_near_their_mean_keep_their_density() {
    let latent = |domain: &str, q: &str, p: &str| {
        format!(
            "model narrow {{
  data   x: real[3]
  latent z: {domain}[20]
  generative {{
         z ~ {p}
    z -> x ~ normal(mean = linear, log_variance = constant)
  }}
  inference {{
    x -> z ~ {q}
  }}
  objective {{
    samples 3
    sampled
  }}
}}
"
        )
    };
    let label = "model narrow {
  data  x: real[3]
  label c: class[2] with missing
  label y: real[20] with missing
  generative {
         c ~ categorical(0.3, 0.7)
         y ~ normal(0, 1)
    y -> x ~ normal(mean = linear, log_variance = constant)
  }
  inference {
    x -> c ~ categorical(linear)
    x -> y ~ normal(mean = linear, log_variance = -30)
  }
  objective {
    sampled
    sum c
    classify c
    regress y
  }
}
";
    let models = [
        latent(
            "real",
            "normal(mean = linear, log_variance = -30)",
            "normal(0, 1)",
        ),
        latent(
            "real",
            "laplace(mean = linear, log_scale = -30)",
            "laplace(0, 1)",
        ),
        latent(
            "positive",
            "log_normal(mean = linear, log_variance = -30)",
            "log_normal(0, 1)",
        ),
        label.to_string(),
    ];
    for text in models {
        let model = check("narrow.dgm", &text, &[]);
        let complete = check("complete.dgm", &text.replace(" with missing", ""), &[]);
        let (parameters, mut batch) = (parameters(&model), batch(&complete, 5, 2));
        if let Some(label) = batch.get_mut("y") {
            label.data[20..].fill(f64::NAN);
        }
        let number = |engine: &Engine| {
            let report = bound(&model, &parameters, &batch, None, 0, engine);
            let json = report.expect("a bound").json;
            json["loss"].as_f64().expect("a loss")
        };
        let [wanted, found] = ENGINES.each_ref().map(|(engine, _)| number(engine));
        assert!(
            (found - wanted).abs() < 1e-5 * wanted.abs(),
            "{found} instead of {wanted} in\n{text}"
        );
    }
}
