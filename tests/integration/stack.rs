//! A model on top of another: what the lower one infers, drawn by noise or its mean, is the upper
//! one's data.

use crate::common;

use common::{check, numbers, parameters};
use dgc::{
    driver,
    model::Model,
    run::{
        arrays::NamedArray,
        bound::{Arrays, Engine, Report, bound},
        programs,
    },
    tensor::eval,
};
use std::collections::BTreeMap;

fn lower() -> Model {
    let text = "model lower {
  data   x: real[4]
  latent z: real[2]
  generative {
         z ~ normal(0, 1)
    z -> x ~ normal(linear)
  }
  inference {
    x -> z ~ normal(linear)
  }
}
";
    check("lower.dgm", text, &[])
}

fn upper() -> Model {
    let text = "model upper {
  data   z: real[2]
  label  y: class[3]
  latent v: real[2]
  net body = [dense(4) > tanh]
  generative {
            v ~ normal(0, 1)
            y ~ uniform
    v, y -> z ~ normal(body)
  }
  inference {
    z    -> y ~ categorical(body)
    y, z -> v ~ normal(body)
  }
  objective {
    sum y
    classify y
  }
}
";
    check("upper.dgm", text, &[])
}

const ROWS: usize = 5;
const LABELLED: usize = 2;

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

fn labels() -> (String, NamedArray) {
    array(
        "y",
        &[ROWS],
        (0..ROWS)
            .map(|row| if row < LABELLED { row as f64 } else { -1.0 })
            .collect(),
    )
}

/// The noise of both models, by case.
fn noise() -> Arrays {
    let cases = [("labelled", LABELLED), ("unlabelled", ROWS - LABELLED)];
    let of = |(case, rows): (&str, usize)| {
        let classes = if case == "labelled" {
            vec![1, rows, 2]
        } else {
            vec![1, rows, 3, 2]
        };
        let [z, v] = [format!("{case}.from.z.z"), format!("{case}.v")];
        let count = classes.iter().product();
        [
            array(&z, &[1, rows, 2], numbers(&z, rows * 2, 1.0)),
            array(&v, &classes, numbers(&v, count, 1.0)),
        ]
    };
    cases.into_iter().flat_map(of).collect()
}

#[test]
fn what_is_inferred_below_is_data_above() {
    let stacked = upper().with_upstream("z", lower()).expect("they fit");
    let parameters = parameters(&stacked);
    let x = numbers("x", ROWS * 4, 1.0);
    let run = |model: &Model, data: (String, NamedArray)| -> Report {
        let batch: Arrays = [data, labels()].into();
        bound(
            model,
            &parameters,
            &batch,
            Some(&noise()),
            0,
            &Engine::Reference,
        )
        .expect("a bound")
    };
    let found = run(&stacked, array("x", &[ROWS, 4], x.clone()));
    // z = m + exp(l / 2) · ε, by hand.
    let linear = |head: &str, row: &[f64], feature: usize| -> f64 {
        let weight = &parameters[&format!("from.z.q.z.{head}.weight.x")].data[feature * 4..][..4];
        let bias = parameters[&format!("from.z.q.z.{head}.bias")].data[feature];
        bias + weight.iter().zip(row).map(|(w, x)| w * x).sum::<f64>()
    };
    let noise = noise();
    let drawn = ["labelled", "unlabelled"]
        .iter()
        .flat_map(|case| &noise[&format!("{case}.from.z.z")].data);
    let drawn: Vec<f64> = drawn.copied().collect();
    let z = (0..ROWS * 2).map(|i| {
        let row = &x[i / 2 * 4..][..4];
        linear("mean", row, i % 2) + (0.5 * linear("log_variance", row, i % 2)).exp() * drawn[i]
    });
    let wanted = run(&upper(), array("z", &[ROWS, 2], z.collect()));
    let loss = |report: &Report| report.json["loss"].as_f64().expect("a loss");
    assert!(
        (loss(&found) - loss(&wanted)).abs() < 1e-10,
        "{} and {}",
        loss(&found),
        loss(&wanted)
    );
    // The lower model's parameters are as they were: only the upper one's have gradients.
    assert_eq!(
        found.gradients.len(),
        wanted.gradients.len(),
        "as many gradients"
    );
    for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
        assert_eq!(found.name, wanted.name);
        assert!(
            common::distance(&found.data, &wanted.data) < 1e-10,
            "{}",
            found.name
        );
    }
}

/// Data are drawn through both: z by the upper model, as it draws it alone, then x by what the
/// lower one makes of z.
#[test]
fn data_are_drawn_through_both() {
    let stacked = upper().with_upstream("z", lower()).expect("they fit");
    let rows = 6;
    let run = |model: &Model| {
        let graph = driver::generate(model, rows, &[]);
        let mut values = eval::NamedValues::new();
        for parameter in &graph.parameters {
            let count = parameter
                .axes
                .iter()
                .map(|&axis| graph.axis(axis).size)
                .product();
            values.insert(parameter.name.clone(), numbers(&parameter.name, count, 0.5));
        }
        values.insert(
            "generate.y".to_string(),
            (0..rows).map(|row| (row % 3) as f64).collect(),
        );
        let outputs =
            eval::run(&graph, &values, Some(eval::Seed { seed: 4, step: 0 })).expect("numbers");
        outputs
            .into_iter()
            .map(|(_, name, array)| (name, array.data))
            .collect::<BTreeMap<_, _>>()
    };
    let (found, alone) = (run(&stacked), run(&upper()));
    assert_eq!(found["v"], alone["v"], "the same noise");
    // Without a model below z is data, whose mean is read.
    let moved = common::distance(&found["z"], &alone["z"]);
    assert!(moved > 0.01, "z is drawn: {moved}");
    let weight = numbers("from.z.p.x.mean.weight.z", 8, 0.5);
    let bias = numbers("from.z.p.x.mean.bias", 4, 0.5);
    let x = (0..rows * 4).map(|at| {
        let (z, weight) = (&found["z"][at / 4 * 2..][..2], &weight[at % 4 * 2..][..2]);
        bias[at % 4] + weight[0] * z[0] + weight[1] * z[1]
    });
    assert!(common::distance(&found["from.z.x"], &x.collect::<Vec<f64>>()) < 1e-12);
    let names: Vec<String> = stacked
        .generated()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["from.z.x"]);
}

/// What has no sampler is named, in either model.
#[test]
fn what_cannot_be_drawn_is_reported() {
    let stacked = |from: &str, to: &str| {
        let text = lower().source.replace(from, to);
        upper()
            .with_upstream("z", check("lower.dgm", &text, &[]))
            .expect("they fit")
            .not_drawn()
    };
    assert_eq!(stacked("", ""), None);
    // Which does not matter where z is known.
    assert_eq!(stacked("z ~ normal(0, 1)", "z ~ laplace(0, 1)"), None);
    let text = "model m {\n data x: real[4]\n latent r: positive[2]\n generative {\n r ~ gamma(2, 1)\n r -> x ~ normal(linear)\n}\n\
                inference {\n x -> r ~ log_normal(linear)\n}\n}\n";
    assert_eq!(
        check("m.dgm", text, &[]).not_drawn().as_deref(),
        Some("`r` of m from gamma")
    );
    let with_class = "model lower {
  data   x: real[4]
  latent c: class[2]
  latent z: real[2]
  generative {
            z ~ normal(0, 1)
            c ~ uniform
    c, z -> x ~ normal(linear)
  }
  inference {
    x    -> z ~ normal(linear)
    x, z -> c ~ categorical(linear)
  }
  objective {
    sum c
  }
}
";
    let stacked = upper()
        .with_upstream("z", check("lower.dgm", with_class, &[]))
        .expect("they fit");
    assert_eq!(
        stacked.not_drawn().as_deref(),
        Some("`c` of lower from uniform")
    );
    // The lower model's covariates are not known where data are drawn.
    let with_covariate = "model lower {
  given  g: real
  data   x: real[4]
  latent z: real[2]
  generative {
         z ~ normal(0, 1)
    g, z -> x ~ normal(linear)
  }
  inference {
    x -> z ~ normal(linear)
  }
}
";
    let stacked = upper()
        .with_upstream("z", check("lower.dgm", with_covariate, &[]))
        .expect("they fit");
    assert_eq!(
        stacked.not_drawn().as_deref(),
        Some("`g` of lower, which is given")
    );
    assert!(programs::generative_parameters(&stacked).entries.is_empty());
}

#[test]
fn models_that_do_not_fit_are_refused() {
    let refusal = |name: &str, upper: Model, lower: Model| {
        let (title, help) = upper
            .with_upstream(name, lower)
            .expect_err("they do not fit");
        format!("{title}; {help}")
    };
    assert_eq!(
        refusal("v", upper(), lower()),
        "`v` is not a data variable of upper; its data variables: `z`"
    );
    assert_eq!(
        refusal("x", lower(), upper()),
        "upper has no latent `x`; its latents: `v`"
    );
    let wide = lower().source.replace("z: real[2]", "z: real[3]");
    let wide = check("lower.dgm", &wide, &[]);
    let message = "`z` is real[2] in upper, but real[3] in lower; both must have the same size and the same type other \
                   than `class`; `--set` changes sizes";
    assert_eq!(refusal("z", upper(), wide), message);
    // Both would read the array `x`.
    let text = "model other {\n data x: real[3]\n data z: real[2]\n latent v: real\n generative {\n v ~ normal(0, 1)\n\
                v -> x ~ normal(linear)\n v -> z ~ normal(linear)\n}\n inference {\n x, z -> v ~ normal(linear)\n}\n}\n";
    let (title, help) = check("other.dgm", text, &[])
        .with_upstream("z", lower())
        .expect_err("they do not fit");
    assert!(
        title.contains("`x` differs in role, type or shape") && help.contains("rename"),
        "{title}; {help}"
    );
    let twice = upper().with_upstream("z", lower()).expect("they fit");
    assert_eq!(
        refusal("z", twice, lower()),
        "two models infer `z`; keep one"
    );
}

/// As a user stacks them: the upper run is whole in its own folder, and goes on as if it had not
/// stopped.
#[test]
fn runs_are_stacked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    for model in [lower(), upper()] {
        std::fs::write(path(&model.file), &model.source).expect("a file");
    }
    let rows = 40;
    let labels = (0..rows)
        .map(|row| if row < 9 { (row % 3) as f64 } else { -1.0 })
        .collect();
    let data = [
        array("x", &[rows, 4], numbers("x", rows * 4, 1.0)).1,
        array("y", &[rows], labels).1,
    ];
    dgc::run::arrays::write(&path("data.safetensors"), &data, Default::default(), false)
        .expect("data");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dgc"));
        let output = command
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("dgc runs");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), stderr)
    };
    let fine = |arguments: &[&str]| {
        let (success, told) = run(arguments);
        assert!(success, "{arguments:?}: {told}");
    };
    let data = ["--data", "data.safetensors"];
    fine(
        &[
            &[
                "train",
                "lower.dgm",
                "--set",
                "batch=10",
                "--epochs",
                "1",
                "-o",
                "below",
            ],
            &data[..],
        ]
        .concat(),
    );
    let upper = |epochs: &'static str, to: &'static str| {
        let sets = [
            "--set",
            "batch.labelled=5",
            "--set",
            "batch.unlabelled=10",
            "--epochs",
            epochs,
            "-o",
            to,
        ];
        [&["train", "upper.dgm", "--from", "z=below"], &sets[..]].concat()
    };
    fine(&[&upper("2", "whole"), &data[..]].concat());
    // Runs that saw other data are no two views of a row.
    let other = lower().source.replace("lower", "other").replace('z', "w");
    std::fs::write(path("other.dgm"), other).expect("a file");
    let both = "model both {
  data   z: real[2]
  data   w: real[2]
  latent v: real[2]
  generative {
         v ~ normal(0, 1)
    v -> z ~ normal(linear)
    v -> w ~ normal(linear)
  }
  inference {
    w, z -> v ~ normal(linear)
  }
}
";
    std::fs::write(path("both.dgm"), both).expect("a file");
    std::fs::copy(path("data.safetensors"), path("more.safetensors")).expect("data");
    let small = ["--set", "batch=10", "--epochs", "1"];
    let beside = |data: &'static str, beside: &'static str| {
        fine(
            &[
                &["train", "other.dgm", "--data", data, "-o", beside],
                &small[..],
            ]
            .concat(),
        );
        let named = format!("w={beside}");
        run(&[
            &[
                "train", "both.dgm", "--from", "z=below", "--from", &named, "-o", "both",
            ],
            &small[..],
        ]
        .concat())
    };
    let (success, told) = beside("more.safetensors", "another");
    assert!(
        !success
            && told.contains("expected runs with the same data set, found different ones")
            && told.contains("choose the data set of the new run with `--data`"),
        "{told}"
    );
    let (success, told) = beside("data.safetensors", "same");
    assert!(success, "{told}");
    // The data of the run below, if no others are named.
    fine(&upper("1", "parts"));
    // What it stands on is not read again.
    std::fs::remove_dir_all(path("below")).expect("it is there");
    fine(&["train", "parts", "--resume", "--epochs", "2"]);
    let checkpoint =
        |run: &str| std::fs::read(path(run).join("checkpoint.safetensors")).expect("a checkpoint");
    assert_eq!(checkpoint("whole"), checkpoint("parts"), "equal runs");
    fine(&["eval", "whole"]);
    // Pictures of x, 2 × 2: z, of 2 features, would be none. Ten lines of three classes, a pixel
    // between them.
    let size = |run: &str, more: &[&str]| {
        fine(&[&["sample", run, "-o", "samples.png"], more].concat());
        let png = std::fs::read(path("samples.png")).expect("a picture");
        [16, 20].map(|at| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes")))
    };
    assert_eq!(size("whole", &[]), [3 * 3 + 1, 10 * 3 + 1]);
    assert_eq!(
        size("parts", &["--analogy", "--lines", "4"]),
        [4 * 3 + 1, 4 * 3 + 1]
    );
    // A run of a version that kept the lower model's inference alone can do what it could.
    let (arrays, mut metadata) =
        dgc::run::arrays::read(&path("parts/checkpoint.safetensors")).expect("a checkpoint");
    let text = metadata.get_mut("checkpoint").expect("a checkpoint");
    let mut fields: serde_json::Value = serde_json::from_str(text).expect("JSON");
    fields["format"] = 2.into();
    let later = ["first", "epoch", "settings", "checksum"];
    fields
        .as_object_mut()
        .expect("an object")
        .retain(|name, _| !later.contains(&name.as_str()));
    *text = fields.to_string();
    let kept: Vec<NamedArray> = arrays
        .iter()
        .filter(|array| !array.name.starts_with("from.z.p."))
        .cloned()
        .collect();
    assert!(
        kept.len() < arrays.len(),
        "the checkpoint holds what generates x"
    );
    dgc::run::arrays::write(
        &path("parts/checkpoint.safetensors"),
        &kept,
        metadata,
        false,
    )
    .expect("a checkpoint");
    fine(&["train", "parts", "--resume", "--epochs", "3"]);
    fine(&["eval", "parts"]);
    let (success, told) = run(&["sample", "parts", "-o", "samples.png"]);
    assert!(
        !success
            && told.contains(
                "did not store the parameters that generate its data; train the model anew"
            ),
        "{told}"
    );
    fine(&["predict", "whole", "-o", "labels.csv"]);
    let labels = std::fs::read_to_string(path("labels.csv")).expect("labels");
    assert_eq!(labels.lines().count(), rows + 1, "a line for each row");
    let (success, told) = run(&["train", "whole", "--resume", "--from", "z=parts"]);
    assert!(
        !success && told.contains("--from: a resumed run keeps this setting"),
        "{told}"
    );
}
