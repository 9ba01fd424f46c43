//! Bounds, terms and gradients against those of an independent implementation in double precision.

use crate::common;

use common::{distance, load, read, shared};
use dgc::{
    backend::Device,
    run::{
        arrays::NamedArray,
        bound::{Engine, bound},
    },
};
use serde_json::Value;
use std::path::Path;

const CASES: [&str; 4] = ["adgm-relu", "adgm-batchnorm", "sdgm-relu", "sdgm-batchnorm"];

/// Every number of `expected` stands in `found`, to that relative accuracy.
fn compare(found: &Value, expected: &Value, tolerance: f64, place: &str) {
    match expected {
        Value::Object(map) => {
            for (key, value) in map {
                compare(&found[key], value, tolerance, &format!("{place}.{key}"));
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                compare(
                    &found[index],
                    value,
                    tolerance,
                    &format!("{place}[{index}]"),
                );
            }
        }
        _ => {
            let wanted = expected.as_f64().expect("a number");
            let number = found
                .as_f64()
                .unwrap_or_else(|| panic!("{place}: expected {wanted}, found {found}"));
            let error = (number - wanted).abs() / wanted.abs().max(1e-30);
            assert!(
                error <= tolerance,
                "{place}: {number} instead of {wanted}, off by {error:e}"
            );
        }
    }
}

/// Compares the bound of a folder's model, read in that edition, with what the folder expects.
pub fn check(folder: &Path, edition: &str, engine: &Engine, on_bounds: f64, on_gradients: f64) {
    let model = load(&folder.join("model.dgm"), &[("edition", edition)]);
    let file = |name: &str| read(&folder.join(format!("{name}.safetensors")));
    let report = bound(
        &model,
        &file("params"),
        &file("batch"),
        Some(&file("noise")),
        0,
        engine,
    )
    .expect("a bound");
    hold(
        folder,
        &report.json,
        &report.gradients,
        on_bounds,
        on_gradients,
    );
}

/// Compares a report with what the oracle expects.
fn hold(folder: &Path, json: &Value, found: &[NamedArray], on_bounds: f64, on_gradients: f64) {
    let file = |name: &str| read(&folder.join(format!("{name}.safetensors")));
    let expected =
        std::fs::read_to_string(folder.join("expected.json")).expect("the oracle can be read");
    let expected: Value = serde_json::from_str(&expected).expect("the oracle is JSON");
    let place = folder
        .file_name()
        .expect("a folder has a name")
        .to_string_lossy();
    compare(json, &expected, on_bounds, &place);
    let gradients = file("grads");
    assert_eq!(gradients.len(), found.len(), "{place}: as many gradients");
    for found in found {
        let wanted = &gradients[&found.name];
        assert_eq!(
            found.shape, wanted.shape,
            "{place}: shape of {}",
            found.name
        );
        // Batch norm takes out what a bias before it puts in: that gradient is 0 but for rounding.
        let cancelled = wanted.data.iter().all(|x| x.abs() < 1e-12);
        let error = match cancelled {
            true => found.data.iter().fold(0.0f64, |most, x| most.max(x.abs())),
            false => distance(&found.data, &wanted.data),
        };
        assert!(
            error <= on_gradients,
            "{place}: gradient of {} is off by {error:e}",
            found.name
        );
    }
}

#[test]
fn reference_interpreter() {
    let Some(oracle) = shared("oracle") else {
        return;
    };
    CASES
        .iter()
        .for_each(|case| check(&oracle.join(case), "1", &Engine::Reference, 1e-10, 1e-10));
}

#[test]
fn cpu() {
    let Some(oracle) = shared("oracle") else {
        return;
    };
    for case in CASES {
        for threads in [1, 2] {
            check(
                &oracle.join(case),
                "1",
                &Engine::Device(Device::cpu(threads)),
                1e-5,
                1e-4,
            );
        }
    }
}

/// The program on the emulated GPU, its kernels compiled under the address sanitizer.
#[test]
fn cuda_emulated() {
    let Some(oracle) = shared("oracle") else {
        return;
    };
    for (case, seed) in CASES.into_iter().zip(["0", "1", "2", "3"]) {
        let (folder, out) = (
            oracle.join(case),
            tempfile::tempdir().expect("a temporary folder"),
        );
        let gradients = out.path().join("grads.safetensors");
        let arguments = "bound model.dgm --params params.safetensors --batch batch.safetensors --noise noise.safetensors";
        let mut arguments: Vec<&str> = arguments.split(' ').collect();
        arguments.extend([
            "--edition",
            "1",
            "--device",
            "cuda",
            "--grads",
            gradients.to_str().expect("a plain name"),
        ]);
        let text = common::emulator::fine(&folder, &arguments, &[("DGC_EMULATOR_SEED", seed)]);
        let json: Value = serde_json::from_str(&text).expect("JSON");
        let gradients: Vec<NamedArray> = read(&gradients).into_values().collect();
        hold(&folder, &json, &gradients, 1e-5, 1e-4);
    }
}
