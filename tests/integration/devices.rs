//! Every model on the GPU, emulated or real, against the CPU: bounds and gradients, at sizes that
//! no tile divides. `DGC_TEST_MODELS` may name those that are tested: `adgm,sdgm`.

use crate::common;

use common::{
    batch, distance, distance_of_all, emulator, is_variant, load, models, parameters, sampled,
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

fn check(precision: Precision, variants: bool, test: &str, most: [f64; 3]) {
    if !emulator::is_here(&format!("devices::{test}")) {
        return;
    }
    let named = std::env::var("DGC_TEST_MODELS").ok();
    let is_named = |file: &Path| {
        let name = file
            .file_stem()
            .expect("a file has a name")
            .to_string_lossy();
        named
            .as_ref()
            .is_none_or(|names| names.split(',').any(|one| one == name))
    };
    let files = models().into_iter().filter(|file| is_named(file));
    for file in files.filter(|file| is_variant(file) == variants) {
        let sizes: &[(&str, &str)] = match file.ends_with("adgm.dgm") {
            true => &[("1", "1"), ("2", "3"), ("7", "1")],
            // Each pixel is a thread's work there.
            false if file.ends_with("adgm_conv.dgm") => &[("2", "1")],
            false => &[("7", "3")],
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
    check(Precision::F32, false, "models_in_f32", [1e-5, 1e-4, 1e-6]);
}

/// Models that are variants of others multiply as those do: they are looked at in f32 alone.
#[test]
fn variants_in_f32() {
    check(Precision::F32, true, "variants_in_f32", [1e-5, 1e-4, 1e-6]);
}

/// A factor is off by 2⁻¹¹ at most; batch norm over few rows, and sums that nearly cancel, make
/// more of it.
#[test]
fn models_in_tf32() {
    check(Precision::Tf32, false, "models_in_tf32", [1e-3, 5e-2, 4e-3]);
}

/// A factor is off by 2⁻⁸ at most.
#[test]
fn models_in_bf16() {
    check(Precision::Bf16, false, "models_in_bf16", [3e-3, 0.5, 2e-2]);
}
