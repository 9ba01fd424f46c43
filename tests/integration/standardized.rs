//! `data x: real[3] standardized`: data with mean 0 and deviation 1 in networks and densities.

use crate::common;

use common::{batch, parameters};
use dgc::{
    DataArray, Dataset, Options, Run, SampleOptions, Trainer,
    run::bound::{Arrays, Engine, Report, bound},
};

/// A model of three real numbers and a class, with `modifier` behind the type of the numbers.
fn text(modifier: &str) -> String {
    format!(
        "model scaled {{
  data   x: real[3] {modifier}
  label  y: class[2]
  latent z: real[2]

  net body = dense(8) > tanh

  generative {{
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ normal(body)
  }}

  inference {{
    x    -> y ~ categorical(body)
    x, y -> z ~ normal(body)
  }}

  objective {{
    sum y
    classify y
    smooth y by vat(radius = 0.5)
  }}

  train {{
    batch labelled 10, unlabelled 20
    optimizer adam(rate = 3e-3)
    initialize he
    epochs 5
  }}
}}
"
    )
}

fn model(modifier: &str) -> dgc::Model {
    common::check("scaled.dgm", &text(modifier), &[])
}

/// The bound of a model with its parameters among these.
fn report(model: &dgc::Model, parameters: &Arrays, batch: &Arrays) -> Report {
    bound(model, parameters, batch, None, 3, &Engine::Reference).expect("a bound")
}

/// (x − mean) / deviation of data in the units of the parameters `data.x.…`.
fn standardized(batch: &Arrays, parameters: &Arrays) -> Arrays {
    let mut batch = batch.clone();
    let of = |name: &str| parameters[&format!("data.x.{name}")].data.clone();
    let (mean, log) = (of("mean"), of("log_deviation"));
    let x = batch.get_mut("x").expect("the data");
    for (at, value) in x.data.iter_mut().enumerate() {
        *value = (*value - mean[at % 3]) * (-log[at % 3]).exp();
    }
    batch
}

/// By the change of variables, log p(x) is log p of the standardized values minus Σ log deviation; and
/// nothing else differs.
#[test]
fn densities_are_in_the_units_of_the_data() {
    let (raw, plain) = (model("standardized"), model(""));
    let all = parameters(&raw);
    assert_eq!(
        all.len(),
        parameters(&plain).len() + 2,
        "two more parameters"
    );
    let mut without = all.clone();
    without.retain(|name, _| !name.starts_with("data."));
    let rows = batch(&raw, 12, 5);
    let found = report(&raw, &all, &rows);
    let wanted = report(&plain, &without, &standardized(&rows, &all));
    let logs: f64 = all["data.x.log_deviation"].data.iter().sum();
    let difference = |path: [&str; 2]| {
        let mean = |report: &Report| {
            let values = &report.json[path[0]][path[1]];
            values
                .as_f64()
                .unwrap_or_else(|| panic!("no number {path:?} in {}", report.json))
        };
        mean(&found) - mean(&wanted)
    };
    for case in ["labelled", "unlabelled"] {
        assert!((difference([case, "bound"]) + logs).abs() < 1e-9);
    }
    assert_eq!(found.gradients.len(), wanted.gradients.len());
    for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
        assert_eq!(found.name, wanted.name);
        assert!(
            common::distance(&found.data, &wanted.data) < 1e-9,
            "{}",
            found.name
        );
    }
}

/// Rows of two clusters, in units that are far from 1.
fn rows() -> (Vec<f64>, Vec<i64>) {
    let noise = common::numbers("x", 300, 0.3);
    let class = |row: usize| (row % 2) as i64;
    let (scale, shift) = ([1000.0, 0.001, 5.0], [30_000.0, -2.0, 0.0]);
    let x = noise.iter().enumerate().map(|(at, noise)| {
        let (row, feature) = (at / 3, at % 3);
        let unit = noise + if class(row) == 0 { -1.0 } else { 1.0 };
        shift[feature] + scale[feature] * unit
    });
    (x.collect(), (0..100).map(class).collect())
}

fn trained(model: &dgc::Model, x: Vec<f64>, y: Vec<i64>, folder: &std::path::Path) -> Run {
    let arrays = [
        DataArray::new("x", [100, 3], x),
        DataArray::new("y", [100], y),
    ];
    let data = Dataset::from_arrays(model, arrays).expect("a data set");
    let options = Options {
        validation: 20,
        ..Options::default()
    };
    let mut trainer = Trainer::new(model, &data, options).expect("a trainer");
    let notes: Vec<String> = trainer
        .notes()
        .iter()
        .map(|note| note.to_string())
        .collect();
    assert!(!notes.join("\n").contains("not standardised"), "{notes:?}");
    while trainer.epoch().expect("an epoch").is_some() {}
    trainer.finish(folder).expect("a run")
}

/// Training on raw data is training on standardized data, and a run keeps the units: it predicts and
/// draws data as they were.
#[test]
fn a_run_keeps_the_units_of_its_training_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (x, y) = rows();
    let raw = model("standardized");
    let run = trained(&raw, x.clone(), y.clone(), &folder.path().join("raw"));
    // The moments are those of the training rows, without the rows that are held out.
    let (arrays, _) =
        dgc::run::arrays::read(&folder.path().join("raw/checkpoint.safetensors")).expect("arrays");
    let of = |name: &str| {
        let found = arrays.iter().find(|array| array.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).data.clone()
    };
    let (mean, log) = (of("data.x.mean"), of("data.x.log_deviation"));
    assert!((mean[0] - 30_000.0).abs() < 300.0 && (mean[1] + 2.0).abs() < 3e-4);
    assert!(
        (log[0].exp() / 1000.0 - 1.04).abs() < 0.1 && (log[1].exp() / 0.001 - 1.04).abs() < 0.1
    );
    let unit: Vec<f64> = x
        .iter()
        .enumerate()
        .map(|(at, x)| (x - mean[at % 3]) / log[at % 3].exp())
        .collect();
    let plain = model("");
    let other = trained(&plain, unit.clone(), y, &folder.path().join("plain"));
    let predict = |run: &Run, model: &dgc::Model, x: Vec<f64>| {
        let rows = dgc::Rows::from_arrays(model, [DataArray::new("x", [100, 3], x)]).expect("rows");
        let likelihood = run.log_likelihood(&rows).expect("a likelihood");
        let predictions = run.predict(&rows).expect("predictions");
        (predictions.labels[0].probabilities.clone(), likelihood)
    };
    // Noise depends on the values of a row, so only means over rows and samples agree.
    let (run, other) = (run.with_samples(400), other.with_samples(400));
    let (found, in_units) = predict(&run, &raw, x);
    let (wanted, standard) = predict(&other, &plain, unit);
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() < 1e-3, "{found}, not {wanted}");
    }
    let logs: f64 = log.iter().sum();
    let mean = |values: &[f32]| values.iter().map(|&x| f64::from(x)).sum::<f64>() / 100.0;
    let (in_units, standard) = (mean(&in_units), mean(&standard));
    assert!(
        (in_units - standard + logs).abs() < 2e-2,
        "{in_units}, {standard}"
    );
    let drawn = run.sample(&SampleOptions::default()).expect("samples");
    let means = drawn.means("x").expect("means of x");
    for row in means.chunks(3) {
        assert!(
            (26_000.0..34_000.0).contains(&row[0]) && (-2.01..-1.99).contains(&row[1]),
            "{row:?}"
        );
    }
}

#[test]
fn only_real_data_can_be_standardized() {
    let mistakes = |line: &str| {
        let text = text("").replace("data   x: real[3] ", line);
        let mistakes = dgc::driver::check("scaled.dgm", &text, &[]).expect_err("a mistake");
        dgc::diagnostic::render(&mistakes, "scaled.dgm", &text, false)
    };
    for (line, wanted) in [
        (
            "data   x: positive[3] standardized",
            "only real data and labels can be standardized",
        ),
        (
            "data   x: real[3] standardised",
            "unexpected `standardised`",
        ),
        (
            "data   x: real[3] standardized standardized",
            "`standardized` is written twice",
        ),
    ] {
        let said = mistakes(line);
        assert!(said.contains(wanted), "{said}");
    }
    let text = text("").replace("latent z: real[2]", "latent z: real[2] standardized");
    assert!(dgc::driver::check("scaled.dgm", &text, &[]).is_err());
}
