//! Models on the GPU, emulated or real, against the CPU: bounds and gradients, at sizes that no
//! tile divides. Variants of a model are made of kernels that it or a model of `tests/golden` has,
//! which `golden::every_function_of_the_library_is_shown` checks, so they are left out.
//! `DGC_TEST_MODELS` may name those that are tested: `adgm,dense`.

use crate::common;

use common::{
    batch, distance, distance_of_all, emulator, is_variant, load, models, models_in, parameters,
    sampled,
};
use dgc::{
    backend::{Device, Precision},
    model::Model,
    run::bound::{Engine, Report, bound},
};
use std::path::Path;

/// A model with so many classes and samples, of small sizes.
fn model(file: &Path, classes: &str, samples: &str) -> Model {
    let full = load(file, &[]);
    let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
    let mut sets: Vec<(&str, &str)> = common::SMALL
        .iter()
        .copied()
        .filter(|(name, _)| has(name))
        .collect();
    sets.retain(|(name, _)| *name != "classes");
    sets.extend(has("classes").then_some(("classes", classes)));
    sets.push(("samples", samples));
    load(file, &sets)
}

/// How far the GPU is from the CPU: a term, in proportion to its bound; a gradient, in proportion
/// to its largest number; and all gradients, in proportion to their length.
fn apart(found: &Report, wanted: &Report) -> [f64; 3] {
    let mut bounds = 0.0f64;
    for case in ["all", "labelled", "unlabelled"] {
        for (name, wanted) in wanted.json[case]["terms"].as_object().into_iter().flatten() {
            let number = |json: &serde_json::Value| json.as_f64().expect("a number");
            let scale = number(&found.json[case]["bound"]).abs().max(1.0);
            bounds = bounds
                .max((number(&found.json[case]["terms"][name]) - number(wanted)).abs() / scale);
        }
    }
    let pairs = found.gradients.iter().zip(&wanted.gradients);
    // What a bias does before batch norm takes it out again is rounding.
    let all = wanted
        .gradients
        .iter()
        .flat_map(|array| &array.data)
        .fold(0.0f64, |most, x| most.max(x.abs()));
    let gradients = pairs.map(|(found, wanted)| {
        let largest = wanted.data.iter().fold(0.0f64, |most, x| most.max(x.abs()));
        if largest < 1e-5 * all {
            0.0
        } else {
            distance(&found.data, &wanted.data)
        }
    });
    let worst = gradients.fold(0.0, f64::max);
    let pairs = found.gradients.iter().zip(&wanted.gradients);
    let of_all = distance_of_all(
        pairs.map(|(found, wanted)| (found.data.as_slice(), wanted.data.as_slice())),
    );
    [bounds, worst, of_all]
}

/// Whether `DGC_TEST_MODELS` names a model, or nothing.
fn is_named(file: &Path) -> bool {
    let names = std::env::var("DGC_TEST_MODELS").ok();
    let name = file.file_stem().expect("a file has a name");
    names.is_none_or(|names| names.split(',').any(|named| *named == *name))
}

/// Every model that is no variant, in a precision.
fn check(precision: Precision, test: &str, most: [f64; 3]) {
    if !emulator::is_here(&format!("devices::{test}")) {
        return;
    }
    let files = models().into_iter();
    for file in files.filter(|file| is_named(file) && !is_variant(file)) {
        let is_adgm = file.ends_with("adgm.dgm");
        let sizes: &[(&str, &str)] = match precision {
            Precision::F32 if is_adgm => &[("1", "1"), ("2", "3"), ("7", "1")],
            // Classes and samples are rows of a product, whatever it is rounded to.
            _ if is_adgm => &[("7", "1")],
            _ => &[("7", "3")],
        };
        for (classes, samples) in sizes {
            let place = format!("{} of {classes} classes, {samples} samples", file.display());
            agrees(&model(&file, classes, samples), precision, most, &place);
        }
    }
}

fn agrees(model: &Model, precision: Precision, most: [f64; 3], place: &str) {
    let (mut parameters, batch) = (parameters(model), batch(model, 19, 6));
    // A variance is no negative number.
    let variances = parameters
        .iter_mut()
        .filter(|(name, _)| name.ends_with("running_var"));
    variances.for_each(|(_, array)| array.data.iter_mut().for_each(|x| *x = x.abs() + 0.5));
    let run =
        |engine: Engine| bound(model, &parameters, &batch, None, 5, &engine).expect("a bound");
    let found = run(Engine::Device(Device::Cuda {
        nvrtc: None,
        precision,
    }));
    let on_cpu = run(Engine::Device(Device::cpu(1)));
    let apart = apart(&found, &on_cpu);
    eprintln!("{place} in {precision}: {apart:?}");
    let within = |most: [f64; 3]| apart.iter().zip(most).all(|(apart, most)| *apart <= most);
    if !within(most) {
        // One batch norm on the other, as in a ladder network, makes more of rounding over few
        // rows, on the CPU too. A real GPU has functions of its own and fuses multiplications with
        // additions.
        let rounding = self::apart(&on_cpu, &run(Engine::Reference));
        let times = if emulator::is_real() { 5.0 } else { 2.0 };
        eprintln!("rounding on the CPU: {rounding:?}");
        let most = [0, 1, 2].map(|of| most[of].max(times * rounding[of]).min(10.0 * most[of]));
        assert!(within(most), "{place}: {apart:?}, not {most:?}");
    }
}

/// What stands for a label in place of its sum.
#[test]
fn estimators_in_f32() {
    if !emulator::is_here("devices::estimators_in_f32") {
        return;
    }
    let text = std::fs::read_to_string(common::root().join("models/adgm.dgm")).expect("a model");
    for lines in [
        "relax y by straight_through",
        "top y 2",
        "samples 3\n    score y by leave_one_out\n    bound renyi(0.5)",
        "samples 3\n    sum y\n    bound importance",
    ] {
        let plain = sampled(&text);
        let text = plain.replace("    samples 1\n    sum y", &format!("    {lines}"));
        assert!(text.contains(lines), "the line is there");
        let sets = [
            ("pixels", "5"),
            ("classes", "3"),
            ("aux", "2"),
            ("latent", "2"),
            ("hidden", "4"),
        ];
        agrees(
            &common::check("adgm.dgm", &text, &sets),
            Precision::F32,
            [1e-5, 1e-4, 1e-5],
            lines,
        );
    }
}

#[test]
fn models_in_f32() {
    check(Precision::F32, "models_in_f32", [1e-5, 1e-4, 1e-6]);
}

/// One small model for each construct, and convolutions whose sums are made in parts.
#[test]
fn constructs_in_f32() {
    if !emulator::is_here("devices::constructs_in_f32") {
        return;
    }
    let files = models_in(&common::root().join("tests/golden")).into_iter();
    let most = [1e-5, 1e-4, 1e-6];
    for file in files.filter(|file| is_named(file)) {
        let place = file.display().to_string();
        agrees(&load(&file, &[]), Precision::F32, most, &place);
    }
    let file = common::root().join("models/vat.dgm");
    if is_named(&file) {
        let model = model(&file, "7", "3").set("edition", 2);
        let model = model.expect("the model is fine in edition 2");
        agrees(&model, Precision::F32, most, "vat.dgm, edition 2");
    }
}

/// A factor is off by 2⁻¹¹ at most; batch norm over few rows, and sums that nearly cancel, make
/// more of it.
#[test]
fn models_in_tf32() {
    check(Precision::Tf32, "models_in_tf32", [1e-3, 5e-2, 4e-3]);
}

/// A factor is off by 2⁻⁸ at most.
#[test]
fn models_in_bf16() {
    check(Precision::Bf16, "models_in_bf16", [3e-3, 0.5, 2e-2]);
}
