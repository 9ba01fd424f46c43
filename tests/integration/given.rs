//! `given batch: class[3]`: variables that every row has and that nothing explains.

use crate::common;

use common::{batch, parameters};
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
