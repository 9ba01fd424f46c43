//! The editions of the language: what each means, and what they have in common.

use crate::common;

use common::{batch, check, distance, load, models, parameters, root};
use dgc::{
    backend::Device,
    model::{Edition, Model},
    run::bound::{Arrays, Engine, Report, bound},
};
use std::path::Path;

fn run(model: &Model, parameters: &Arrays, batch: &Arrays, engine: &Engine) -> Report {
    bound(model, parameters, batch, None, 3, engine).expect("a bound")
}

fn cpu() -> Engine {
    Engine::Device(Device::cpu(2))
}

/// Two reports agree in every number and gradient.
fn agree(name: &str, found: &Report, wanted: &Report, tolerance: f64) {
    let loss = |report: &Report| report.json["loss"].as_f64().expect("a loss");
    let off = (loss(found) - loss(wanted)).abs() / loss(wanted).abs().max(1.0);
    assert!(off < tolerance, "{name}: the loss is off by {off:e}");
    assert_eq!(found.gradients.len(), wanted.gradients.len(), "{name}");
    for wanted in &wanted.gradients {
        let mut all = found.gradients.iter();
        let found = all.find(|found| found.name == wanted.name);
        let found = found.unwrap_or_else(|| panic!("{name}: no gradient of {}", wanted.name));
        let size = wanted.data.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        if size > 1e-9 {
            let off = distance(&found.data, &wanted.data);
            assert!(off < tolerance, "{name}: {} is off by {off:e}", wanted.name);
        }
    }
}

/// The text of a model without batch norm, its KL terms sampled, in that edition.
fn without_statistics(text: &str, edition: u64) -> String {
    let text = text
        .replace(" > batchnorm", "")
        .replace(" > standardize > noise(0.3)", "")
        .replace(" > standardize", "")
        .replace("  edition 1\n", "")
        .replace("  edition 2\n", "")
        .replacen('{', &format!("{{\n  edition {edition}"), 1);
    // VAT keeps binary data within their domain in edition 2 alone.
    let is_binary = text.contains(": binary");
    // The noise of VAT has another name in each edition, so with more than two classes it finds other
    // directions.
    let has_other_noise = text.contains("classes = 3");
    text.lines()
        .filter(|line| !line.trim().starts_with("analytic"))
        .filter(|line| !((is_binary || has_other_noise) && line.trim().starts_with("smooth")))
        .map(|line| match line.trim() {
            "objective {" => "  objective {\n    sampled\n".to_string(),
            _ => format!("{line}\n"),
        })
        .collect()
}

#[test]
fn without_batch_norm_and_closed_forms_editions_are_equal() {
    for file in models() {
        let text = std::fs::read_to_string(&file).expect("a model");
        let name = file.file_stem().expect("a name").to_string_lossy();
        let is_bound = text.contains("generative {") && !text.contains("bound ");
        if !text.contains("label ") || !is_bound || name == "cells" {
            continue;
        }
        let sets = common::small_sizes(&file);
        let of = |edition| check("model.dgm", &without_statistics(&text, edition), &sets);
        let (one, two) = (of(1), of(2));
        assert_eq!((one.edition, two.edition), (Edition::One, Edition::Two));
        let (parameters, batch) = (parameters(&one), batch(&one, 7, 3));
        let wanted = run(&one, &parameters, &batch, &Engine::Reference);
        let found = run(&two, &parameters, &batch, &Engine::Reference);
        agree(&name, &found, &wanted, 1e-9);
    }
}

/// The bound, terms and gradients of `tests/fixtures/joint/make.py`, which joins rows in PyTorch.
#[test]
fn rows_of_all_cases_pass_together_through_batch_norm() {
    let folder = root().join("tests/fixtures/joint");
    for (engine, tolerance) in [(Engine::Reference, 1e-9), (cpu(), 2e-4)] {
        crate::oracle::check(&folder, "2", &engine, tolerance, tolerance);
    }
}

#[test]
fn the_cpu_agrees_with_the_reference_on_joint_rows() {
    for file in models() {
        let text = std::fs::read_to_string(&file).expect("a model");
        if !text.contains("label ") {
            continue;
        }
        for samples in ["1", "3"] {
            let mut sets = common::small_sizes(&file);
            sets.extend([("edition", "2"), ("samples", samples)]);
            let model = load(&file, &sets);
            let (parameters, batch) = (parameters(&model), batch(&model, 9, 4));
            let wanted = run(&model, &parameters, &batch, &Engine::Reference);
            let found = run(&model, &parameters, &batch, &cpu());
            agree(&file.display().to_string(), &found, &wanted, 2e-3);
        }
    }
}

const TEXT: &str = "model m {\n EDITION\n data x: real[3]\n latent z: real[2]\n generative {\n z ~ normal(0, 1)\n \
    z -> x ~ normal(linear)\n}\n inference {\n x -> z ~ normal(linear)\n}\n objective {\n LINE\n}\n}\n";

/// Whether the model's KL term is in closed form.
fn is_closed(edition: &str, line: &str) -> bool {
    let text = TEXT.replace("EDITION", edition).replace("LINE", line);
    let model = check("m.dgm", &text, &[]);
    let text = dgc::bound::print(&model, &dgc::driver::derive(&model));
    assert_ne!(text.contains("− KL("), text.contains("− log q("), "{text}");
    text.contains("− KL(")
}

#[test]
fn an_edition_and_its_lines_choose_how_kl_terms_are_computed() {
    assert!(is_closed("", ""), "the newest edition is the default");
    assert!(is_closed("edition 2", ""));
    assert!(is_closed("edition 1", "analytic z"));
    assert!(!is_closed("edition 1", ""));
    assert!(!is_closed("edition 2", "sampled z"));
    assert!(!is_closed("edition 2", "sampled"));
    assert!(!is_closed("edition 1", "sampled"));
}

#[test]
fn runs_without_an_edition_are_of_the_first() {
    let folder = root().join("tests/fixtures/labelled/run");
    let run = dgc::Run::open(Path::new(&folder)).expect("a run");
    assert_eq!(run.model().edition, Edition::One);
}
