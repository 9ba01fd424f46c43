//! Variables of many classes: the memory and the operations of every program grow in proportion to
//! the number of classes.

use crate::common;

use common::load;
use dgc::{
    driver,
    lower::{Evaluate, Outputs},
    model::Model,
    plan::{NoiseSource, Plan},
    run::programs,
    tensor::Graph,
};
use std::path::{Path, PathBuf};

/// The sizes of shipped models that are numbers of classes.
const SIZES: [&str; 2] = ["classes", "types"];

/// Models with a class variable, of that many classes: the golden models and the shipped ones.
fn models(classes: usize) -> Vec<(PathBuf, Model)> {
    let count = classes.to_string();
    let mut models = Vec::new();
    for file in common::models_in(&common::root().join("tests/golden")) {
        let text = std::fs::read_to_string(&file).expect("a model");
        if text.contains("class[3]") {
            let text = text.replace("class[3]", &format!("class[{classes}]"));
            models.push((file, common::check("golden.dgm", &text, &[])));
        }
    }
    for file in common::models() {
        let known = load(&file, &[]).settings;
        let has = |name: &str| known.iter().any(|(known, _)| known == name);
        let small = common::SMALL.iter().copied();
        let sets: Vec<(&str, &str)> = small
            .filter(|(name, _)| has(name))
            .map(|(name, value)| match SIZES.contains(&name) {
                true => (name, count.as_str()),
                false => (name, value),
            })
            .chain(has("batch.labelled").then_some(("batch.labelled", "5")))
            .chain(has("batch.unlabelled").then_some(("batch.unlabelled", "7")))
            .collect();
        if sets.iter().any(|(name, _)| SIZES.contains(name)) {
            models.push((file.clone(), load(&file, &sets)));
        }
    }
    models
}

/// The floats that a plan stores and its operations.
fn cost(plan: &Plan) -> [f64; 2] {
    let stored: usize = plan.buffers.iter().map(|buffer| buffer.len).sum();
    let work = plan.total_cost(&[]);
    [stored as f64, (work.products + work.others) as f64]
}

/// The plan of each program, with its name.
fn plans(model: &Model) -> Vec<(String, [f64; 2])> {
    let planned =
        |graph: &Graph| cost(&driver::plan(graph, NoiseSource::Generated).expect("a plan"));
    let training = programs::training(model).expect("programs");
    let mut plans = vec![
        ("gradient".to_string(), cost(&training.gradient.plan)),
        ("update".to_string(), cost(&training.update.plan)),
    ];
    let bounds = driver::derive(model);
    for case in &bounds.cases {
        let what = Evaluate {
            rows: 6,
            samples: 2,
            outputs: Outputs::Likelihood,
        };
        let graph = driver::evaluate(model, case, what);
        plans.push((format!("evaluation of {} rows", case.kind), planned(&graph)));
    }
    if !model.generative.is_empty() && model.not_drawn().is_none() {
        let graph = driver::generate(model, 6, &[]);
        plans.push(("generate".to_string(), planned(&graph)));
    }
    plans
}

fn name(file: &Path) -> String {
    let folder = file.parent().and_then(Path::file_name).expect("a folder");
    let name = file.file_name().expect("a name");
    format!("{}/{}", folder.display(), name.display())
}

#[test]
fn cost_grows_in_proportion_to_classes() {
    let (few, many) = (256, 1024);
    let pairs: Vec<_> = models(few).into_iter().zip(models(many)).collect();
    assert!(pairs.len() > 20, "{} models with classes", pairs.len());
    let mut steeper = Vec::new();
    for ((file, few_classes), (_, many_classes)) in pairs {
        for ((program, less), (_, more)) in
            plans(&few_classes).into_iter().zip(plans(&many_classes))
        {
            for (what, less, more) in [
                ("floats", less[0], more[0]),
                ("operations", less[1], more[1]),
            ] {
                // A constant part makes the ratio smaller, padding at most a little larger.
                let ratio = more / less;
                if ratio > 1.02 * (many as f64 / few as f64) {
                    let name = name(&file);
                    steeper.push(format!("{name}, {program}: {what} × {ratio:.1}"));
                }
            }
        }
    }
    assert!(steeper.is_empty(), "{}", steeper.join("\n"));
}
