//! `given batch: class[3]`: variables that every row has and that nothing explains.

use crate::common;

use common::{
    batch, parameters,
    program::{fails, fine},
};
use dgc::run::bound::{Arrays, Engine, Report, bound};

/// A model with two variables that are always observed and that both graphs read.
fn text(role: &str, factors: &str) -> String {
    format!(
        "model covariates {{
  {role} batch: class[3]
  {role} age: real[2]
  data   x: binary[5]
  label  y: class[2]
  latent z: real[2]

  net body = dense(4) > batchnorm > tanh

  generative {{
    {factors}
               z ~ normal(0, 1)
    batch   -> y ~ categorical(linear)
    age     -> old = dense(3) > relu
    y, z, batch, old -> x ~ bernoulli(body)
  }}

  inference {{
    x, batch, old -> y ~ categorical(body)
    x, y, age     -> z ~ normal(body)
  }}

  objective {{
    sum y
    classify y
    smooth y by vat(radius = 0.5)
  }}
}}
"
    )
}

fn report(model: &dgc::Model, parameters: &Arrays, batch: &Arrays) -> Report {
    bound(model, parameters, batch, None, 3, &Engine::Reference).expect("a bound")
}

fn number(report: &Report, case: &str) -> f64 {
    report.json[case]["bound"].as_f64().expect("a bound")
}

/// A given variable is a data variable without its term.
#[test]
fn only_the_terms_of_the_covariates_are_left_out() {
    let given = common::check("covariates.dgm", &text("given", ""), &[]);
    let explained = "batch ~ uniform\n    age ~ normal(0, 1)";
    let data = text("data", explained).replace("smooth y by vat(radius = 0.5)", "");
    let data = common::check("covariates.dgm", &data, &[]);
    let without = text("given", "").replace("smooth y by vat(radius = 0.5)", "");
    let plain = common::check("covariates.dgm", &without, &[]);
    let (parameters, rows) = (parameters(&given), batch(&given, 8, 3));
    let (found, wanted) = (
        report(&plain, &parameters, &rows),
        report(&data, &parameters, &rows),
    );
    for case in ["labelled", "unlabelled"] {
        let of = |report: &Report, term: &str| {
            let value = &report.json[case]["terms"][term];
            value
                .as_f64()
                .unwrap_or_else(|| panic!("no {term} in {}", report.json))
        };
        let terms = of(&wanted, "log p(batch)") + of(&wanted, "log p(age)");
        let difference = number(&wanted, case) - number(&found, case) - terms;
        assert!(difference.abs() < 1e-9, "{case}: {difference}");
        assert!(found.json[case]["terms"].get("log p(batch)").is_none());
    }
    for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
        assert_eq!(found.name, wanted.name);
        assert!(
            common::distance(&found.data, &wanted.data) < 1e-9,
            "{}",
            found.name
        );
    }
    common::finite_differences(&plain);
}

/// Data are drawn for chosen values of the covariates, in the units of the data.
#[test]
fn draws_depend_on_the_chosen_values() {
    let text = "model growth {
  given  age: real standardized
  given  arm: class[2]
  data   height: real standardized
  latent z: real
  generative {
                z ~ normal(0, 1)
    z, age, arm -> height ~ normal(mean = linear, log_variance = constant)
  }
  inference {
    height, age, arm -> z ~ normal(linear)
  }
  train {
    batch 50
    optimizer adam(rate = 3e-2)
    epochs 60
  }
}
";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    std::fs::write(at.join("growth.dgm"), text).expect("a model");
    let noise = common::numbers("noise", 200, 1.0);
    let mut table = "age,arm,height\n".to_string();
    for (row, noise) in noise.iter().enumerate() {
        let (age, arm) = (20 + row % 50, row % 2);
        let height = 100.0 + 2.0 * age as f64 + 30.0 * arm as f64 + noise;
        table += &format!("{age},{},{height}\n", ["old", "new"][arm]);
    }
    std::fs::write(at.join("growth.csv"), table).expect("a table");
    fine(
        at,
        &["train", "growth.dgm", "--data", "growth.csv", "-o", "run"],
    );
    let mean = |choices: &[&str]| {
        let mut arguments = vec!["sample", "run", "-o", "drawn.csv", "--lines", "500"];
        choices
            .iter()
            .for_each(|choice| arguments.extend(["--where", choice]));
        fine(at, &arguments);
        let drawn = std::fs::read_to_string(at.join("drawn.csv")).expect("a table");
        let mut lines = drawn.lines();
        let header = lines.next().expect("a header").split(',');
        let column = header
            .into_iter()
            .position(|name| name == "height")
            .expect("heights");
        let heights: Vec<f64> = lines
            .map(|line| line.split(',').nth(column).expect("a height"))
            .map(|text| text.parse().expect("a number"))
            .collect();
        heights.iter().sum::<f64>() / heights.len() as f64
    };
    for (age, arm, wanted) in [("30", "old", 160.0), ("60", "new", 250.0)] {
        let found = mean(&[&format!("age={age}"), &format!("arm={arm}")]);
        assert!((found - wanted).abs() < 4.0, "{found}, not {wanted}");
    }
    let said = |choice: &str| {
        let all = ["sample", "run", "-o", "drawn.csv", "--where", choice];
        fails(at, &all)
    };
    assert!(said("arm=old").contains("`age` is given, and draws depend on its value"));
    assert!(said("age=1,2").contains("expected 1 number"));
    assert!(said("age=inf").contains("expected a finite number"));
    assert!(said("ago=1").contains("`age`"));
    // A row without a covariate is an error that names the place.
    std::fs::write(at.join("gap.csv"), "age,arm,height\n,old,150\n").expect("a table");
    let said = fails(at, &["score", "run", "--data", "gap.csv", "-o", "-"]);
    assert!(
        said.contains("line 2, column `age`: expected a number"),
        "{said}"
    );
}
