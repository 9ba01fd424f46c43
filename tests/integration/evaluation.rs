//! What is reported of rows: active units where the means are known, and what a classifier has to
//! report.

use crate::common;

use common::check;
use dgc::{
    DataArray, Dataset, Options, Rows, Run, Trainer,
    backend::Device,
    driver,
    lower::{Evaluate, Outputs},
    model::Model,
    names::OutputName,
    run::{
        data::{Bits, Column, Source, Table, Values},
        evaluate::{Evaluator, Inferred, Units, active_units},
        programs,
        session::Session,
    },
};

/// The active units on rows whose x is −1 and 1 in turn, labels unseen, as (latent, active, all);
/// other parameters than these are 0.
fn active(
    model: &Model,
    parameters: &[(&str, &[f64])],
    samples: usize,
) -> Vec<(String, usize, usize)> {
    let mut session =
        Session::new(programs::parameters(model), &Device::cpu(1)).expect("a session");
    for (name, values) in parameters {
        let entry = session
            .layout
            .find(name)
            .unwrap_or_else(|| panic!("there is a parameter {name}"))
            .clone();
        assert_eq!(entry.len(), values.len(), "{name}");
        session
            .set(session.parameters, &entry, values)
            .expect("a parameter");
    }
    let values = Values::Floats(
        (0..40)
            .map(|row| if row % 2 == 0 { -1.0 } else { 1.0 })
            .collect(),
    );
    let table = Table {
        rows: 40,
        columns: vec![Column {
            name: "x".to_string(),
            width: 1,
            values,
        }],
    };
    let objective = driver::derive(model);
    let case = objective.cases.last().expect("a case");
    // Batches that the rows do not fill.
    let what = Evaluate {
        rows: 7,
        samples,
        outputs: Outputs::Bound,
    };
    let build = programs::evaluate(model, case, what).expect("a program");
    let evaluator = Evaluator::new(&mut session, model, case, &build).expect("an evaluator");
    let inferred = evaluator.run(&mut session, &table, 0).expect("numbers");
    let units = active_units(&inferred, table.rows);
    units
        .map(
            |Units {
                 latent,
                 active,
                 all,
             }| (latent.to_string(), active, all),
        )
        .collect()
}

/// The mean of unit j is 5 + w_j x, whose variance over the rows is w_j².
#[test]
fn units_are_active_whose_means_vary() {
    let model = check(
        "units.dgm",
        "model units {\n data x: real[1]\n latent z: real[5]\n\
         generative {\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n}\n inference {\n x -> z ~ normal(linear)\n}\n}\n",
        &[],
    );
    let weights: [f64; 5] = [0.0, 0.099, 0.101, -1.0, -0.05];
    let wanted = weights
        .iter()
        .filter(|weight| weight.powi(2) > 0.01)
        .count();
    let parameters = [
        ("q.z.mean.weight.x", &weights[..]),
        ("q.z.mean.bias", &[5.0; 5]),
    ];
    assert_eq!(
        active(&model, &parameters, 1),
        [("z".to_string(), wanted, 5)]
    );
}

/// An auxiliary variable and an unseen label are averaged out: q(y = 1 | x) is ½ (1 + tanh x), so
/// the mean of z is w x + v a + u q(y = 1).
#[test]
fn what_else_is_inferred_is_averaged_out() {
    let model = check(
        "units.dgm",
        "model units {\n data x: real[1]\n label y: class[2]\n latent a: real[1]\n latent z: real[4]\n\
         generative {\n z ~ normal(0, 1)\n y ~ uniform\n y, z -> x ~ normal(linear)\n x, z -> a ~ normal(linear)\n}\n\
         inference {\n x -> a ~ normal(linear)\n x -> y ~ categorical(linear)\n a, y -> z ~ normal(linear)\n}\n\
         objective {\n sum y\n}\n}\n",
        &[],
    );
    // PyTorch's order: a row of the weight for each unit. Over x = ±1 the mean of u q(y = 1 | x)
    // varies by u² ¼ tanh(1)² = 0.145 u².
    let parameters: [(&str, &[f64]); 3] = [
        ("q.y.logits.weight.x", &[-1.0, 1.0]),
        ("q.z.mean.weight.a", &[1.0, 0.0, 0.0, 0.0]),
        (
            "q.z.mean.weight.y",
            &[0.0, 0.0, 0.0, 0.25, 0.0, 0.28, 0.0, 1.0],
        ),
    ];
    // a ~ N(0, 1) whatever x is: 5000 samples leave a variance of 0.0002 of its mean.
    let found = active(&model, &parameters, 5000);
    assert_eq!(found, [("a".to_string(), 0, 1), ("z".to_string(), 2, 4)]);
}

/// A classifier has no bound: nothing stands under a heading of nothing.
#[test]
fn a_classifier_reports_its_error_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dgc"));
        let output = command
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .expect("dgc runs");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    };
    let text = "model classifier {\n data x: real[2]\n label y: class[2]\n inference {\n x -> y ~ categorical(linear)\n}\n\
                objective {\n classify y\n}\n train {\n batch labelled 5, unlabelled 5\n epochs 1\n}\n}\n";
    std::fs::write(folder.path().join("classifier.dgm"), text).expect("a file");
    let array = |name: &str, shape: &[usize], data: Vec<f64>| dgc::run::arrays::NamedArray {
        name: name.to_string(),
        shape: shape.to_vec(),
        data,
    };
    let labels = (0..20).map(|row| f64::from(row % 2)).collect();
    let data = [
        array("x", &[20, 2], common::numbers("x", 40, 1.0)),
        array("y", &[20], labels),
    ];
    dgc::run::arrays::write(
        &folder.path().join("data.safetensors"),
        &data,
        Default::default(),
        false,
    )
    .expect("data");
    run(&[
        "train",
        "classifier.dgm",
        "--data",
        "data.safetensors",
        "-o",
        "run",
    ]);
    let report = run(&["eval", "run"]);
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines[0], "20 train rows, 10 samples per row");
    assert!(lines[1].starts_with("error of y:"), "{report}");
    assert!(
        lines[2].contains("log loss") && lines[2].contains("AUC"),
        "{report}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&run(&["eval", "run", "--json"])).expect("JSON");
    assert!(
        json["error of y"].is_number()
            && json["scores of y"]["rows of classes"] == serde_json::json!([10, 10])
            && json.get("labelled").is_none()
            && json.get("units").is_none(),
        "{json}"
    );
}

/// A model of six pixels and three classes, trained for an epoch on greys.
fn run_on_greys(folder: &std::path::Path) -> (Run, Vec<f32>) {
    let text = "model greys {
  data   x: binary[6]
  label  y: class[3]
  latent z: real[2]

  generative {
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ bernoulli(linear)
  }

  inference {
    x    -> y ~ categorical(linear)
    x, y -> z ~ normal(linear)
  }

  objective {
    sum y
    classify y
  }

  train {
    batch labelled 5, unlabelled 10
    epochs 1
  }
}
";
    let model = check("greys.dgm", text, &[]);
    let greys = common::numbers("greys", 40 * 6, 2.0).into_iter();
    let greys: Vec<f32> = greys.map(|x| 1.0 / (1.0 + x.exp() as f32)).collect();
    let data = Dataset::from_arrays(&model, arrays(&greys)).expect("data");
    let options = Options {
        device: Some(Device::cpu(1)),
        validation: 10,
        ..Default::default()
    };
    let mut trainer = Trainer::new(&model, &data, options).expect("a trainer");
    let epoch = trainer.epoch().expect("it trains").expect("an epoch");
    let held_out = &epoch.metrics()["validation"];
    assert_ne!(held_out["bound"], held_out["greys"]["bound"], "{held_out}");
    (trainer.finish(folder).expect("a run"), greys)
}

fn arrays(x: &[f32]) -> [DataArray; 2] {
    let labels: Vec<i64> = (0..40)
        .map(|row| if row < 20 { row % 3 } else { -1 })
        .collect();
    [
        DataArray::new("x", [40, 6], x.to_vec()),
        DataArray::new("y", [40], labels),
    ]
}

#[test]
fn bounds_are_of_bits_and_errors_of_greys() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (run, greys) = run_on_greys(&folder.path().join("run"));
    let model = run.model();
    let rows = Rows::from_arrays(model, arrays(&greys)).expect("rows");
    let bits = {
        let bits = Bits::of(model, rows.source()).expect("readable");
        let bits: &dyn Source = &bits.expect("greys");
        bits.values("x").expect("readable").expect("x")
    };
    assert!(bits.iter().all(|&bit| bit == 0.0 || bit == 1.0));
    let on_bits = Rows::from_arrays(model, arrays(&bits)).expect("rows");
    let (found, wanted) = (
        run.evaluate(&rows).expect("it evaluates"),
        run.evaluate(&on_bits).expect("it evaluates"),
    );
    for name in ["bound", "likelihood", "log p(x)"] {
        assert_eq!(found.means.get(name), wanted.means.get(name), "{name}");
        assert_ne!(found.means.get(name), found.means.on_greys(name), "{name}");
        // Data that are bits have one number.
        assert_eq!(wanted.means.on_greys(name), None, "{name}");
    }
    let (_, labelled) = found.labelled.as_ref().expect("labels");
    assert!(labelled.on_greys("bound").is_some());
    let text = found.to_string();
    assert!(text.contains("bits        greys"), "{text}");
    assert!(!wanted.to_string().contains("greys"));
    let json = found.to_json();
    assert_eq!(
        json["greys"]["bound"].as_f64(),
        found.means.on_greys("bound")
    );
    assert!(json["labelled"]["greys"]["bound"].is_f64());

    let likelihood = run.log_likelihood(&rows).expect("a likelihood");
    let mean = likelihood.iter().map(|&x| f64::from(x)).sum::<f64>() / 40.0;
    let wanted = found.means.get("likelihood").expect("a mean");
    assert!((mean - wanted).abs() < 1e-6, "{mean}, not {wanted}");

    // Label errors read greys, as predictions do.
    let predicted = run.predict(&rows).expect("predictions");
    let predicted = predicted.get("y").expect("y").likeliest();
    let wrong = (0..20).filter(|&row| predicted[row] != row % 3).count();
    assert_eq!(found.labels[0].scores.error, wrong as f64 / 20.0);
    assert_ne!(
        run.predict(&rows).expect("predictions"),
        run.predict(&on_bits).expect("predictions")
    );

    // A part of the rows has the same bits.
    let few = run.evaluate(&rows.clone().first(7)).expect("it evaluates");
    let same = run.evaluate(&on_bits.first(7)).expect("it evaluates");
    assert_eq!(few.means.get("bound"), same.means.get("bound"));
}

/// A run of one epoch, and the folder that it is in.
fn trained(model: &Model, arrays: Vec<DataArray>) -> (Run, tempfile::TempDir) {
    let data = Dataset::from_arrays(model, arrays).expect("data");
    let options = Options {
        device: Some(Device::cpu(1)),
        ..Default::default()
    };
    let mut trainer = Trainer::new(model, &data, options).expect("a trainer");
    trainer.epoch().expect("it trains");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = trainer.finish(folder.path().join("run")).expect("a run");
    (run, folder)
}

#[test]
fn many_classes_have_no_confusion_matrix() {
    let text = "model many {
  data  x: real[2]
  label y: class[1001]

  inference {
    x -> y ~ categorical(linear)
  }

  objective {
    classify y
  }

  train {
    batch labelled 5, unlabelled 5
    epochs 1
  }
}
";
    let model = check("many.dgm", text, &[]);
    let arrays = || {
        let labels: Vec<i64> = (0..20).collect();
        [
            DataArray::new("x", [20, 2], vec![0.5f32; 40]),
            DataArray::new("y", [20], labels),
        ]
    };
    let (run, _folder) = trained(&model, arrays().into());
    let rows = Rows::from_arrays(&model, arrays()).expect("rows");
    let found = run.evaluate(&rows).expect("it evaluates");
    assert!(found.labels[0].confusion.is_empty());
    assert!(!found.to_string().contains("confusion"));
    assert!(found.to_json().get("confusion of y").is_none());
    assert!(found.to_json()["error of y"].is_f64());
}

/// What is inferred of three rows of a small model with labels hidden, and the buffers that the program
/// reads or writes.
fn inferred(model: &Model, outputs: Outputs) -> (Inferred, Vec<String>) {
    let mut session =
        Session::new(programs::parameters(model), &Device::cpu(1)).expect("a session");
    let into = session.parameters;
    for (name, array) in common::parameters(model) {
        let Some(entry) = session.layout.find(&name).cloned() else {
            continue;
        };
        let mut values = array.data;
        if name.ends_with("running_var") {
            values
                .iter_mut()
                .for_each(|value| *value = value.abs() + 0.5);
        }
        session.set(into, &entry, &values).expect("a parameter");
    }
    let arrays = common::batch(model, 3, 0);
    let columns = model.read_variables().into_iter().map(|variable| {
        let values = arrays[&variable.name].data.iter();
        Column {
            name: variable.name.clone(),
            width: if variable.is_class() {
                1
            } else {
                variable.size()
            },
            values: match variable.is_class() {
                true => Values::Classes(values.map(|&class| class as i32).collect()),
                false => Values::Floats(values.map(|&value| value as f32).collect()),
            },
        }
    });
    let table = Table {
        rows: 3,
        columns: columns.collect(),
    };
    let objective = driver::derive(model);
    let case = objective.cases.last().expect("a case");
    let what = Evaluate {
        rows: 3,
        samples: 2,
        outputs,
    };
    let build = programs::evaluate(model, case, what).expect("a program");
    let evaluator = Evaluator::new(&mut session, model, case, &build).expect("an evaluator");
    let inferred = evaluator.run(&mut session, &table, 5).expect("numbers");
    let buffers = build.plan.buffers.iter().map(|read| read.name.clone());
    (inferred, buffers.collect())
}

/// Kernels of other programs may fuse other operations, so the last bits may differ.
fn assert_close(found: &Inferred, wanted: &Inferred, model: &str) {
    let same_names = found.keys().eq(wanted.keys());
    let lengths = |of: &Inferred| of.values().map(Vec::len).collect::<Vec<_>>();
    assert!(same_names && lengths(found) == lengths(wanted), "{model}");
    let pairs = found.values().flatten().zip(wanted.values().flatten());
    for (found, wanted) in pairs {
        assert!((found - wanted).abs() < 1e-5, "{model}: {found}, {wanted}");
    }
}

/// `dgc predict` and `dgc encode` compute no bound, and so little that p is not read.
#[test]
fn predictions_and_encodings_are_those_beside_the_bound() {
    let mut compared = 0;
    for file in common::models() {
        let model = common::small(&file);
        let (all, _) = inferred(&model, Outputs::Bound);
        let (encodings, used) = inferred(&model, Outputs::Encodings);
        let is_inferred = |name: &OutputName| {
            matches!(
                name,
                OutputName::Predict(_) | OutputName::Deviation(_) | OutputName::Encode(_)
            )
        };
        let wanted: Inferred = all
            .into_iter()
            .filter(|(name, _)| is_inferred(name))
            .collect();
        assert_close(&encodings, &wanted, &model.name);
        assert!(
            !used.iter().any(|name| name.starts_with("p.")),
            "{} uses {used:?}",
            model.name
        );
        if model.labels().next().is_none() {
            continue;
        }
        let (predictions, _) = inferred(&model, Outputs::Predictions);
        let mut wanted = wanted;
        wanted.retain(|name, _| !matches!(name, OutputName::Encode(_)));
        assert_close(&predictions, &wanted, &model.name);
        compared += 1;
    }
    assert!(compared > 10, "most models have a label");
}

/// The noise of a row depends on all its values, so that `dgc predict` and `dgc eval` have the same.
#[test]
fn predictions_do_not_depend_on_what_their_program_reads() {
    let model = check(
        "covariate.dgm",
        "model covariate {\n given g: class[3]\n data x: real[2]\n label y: class[2]\n latent z: real[2]\n\
         generative {\n z ~ normal(0, 1)\n y ~ uniform\n g, y, z -> x ~ normal(linear)\n}\n\
         inference {\n x -> z ~ normal(linear)\n z -> y ~ categorical(linear)\n}\n\
         objective {\n sum y\n}\n}\n",
        &[],
    );
    let (mut wanted, of_bound) = inferred(&model, Outputs::Bound);
    let (found, used) = inferred(&model, Outputs::Predictions);
    let reads = |buffers: &[String]| buffers.iter().any(|name| name.ends_with(".g"));
    assert!(reads(&of_bound) && !reads(&used), "{of_bound:?}, {used:?}");
    wanted.retain(|name, _| matches!(name, OutputName::Predict(_)));
    assert_close(&found, &wanted, &model.name);
}

#[test]
fn a_model_that_infers_nothing_encodes_nothing() {
    let model = check(
        "density.dgm",
        "model density {\n given g: class[3]\n data x: real[2]\n\
         generative {\n g -> x ~ normal(linear)\n}\n train {\n batch 5\n epochs 1\n}\n}\n",
        &[],
    );
    let arrays = || {
        let classes: Vec<i64> = (0..10).map(|row| row % 3).collect();
        [
            DataArray::new("g", [10], classes),
            DataArray::new("x", [10, 2], vec![0.5f32; 20]),
        ]
    };
    let (run, _folder) = trained(&model, arrays().into());
    let rows = Rows::from_arrays(&model, arrays()).expect("rows");
    assert!(run.encode(&rows).expect("encodings").variables.is_empty());
}
