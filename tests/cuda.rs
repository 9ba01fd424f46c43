//! The CUDA back end without a GPU: every kernel through NVIDIA's compiler, and whole programs on the emulated driver.

mod common;

use common::{emulator, models, small};
use dgc::{
    backend::{
        Precision,
        cuda::{assembly, compile, emit, library},
    },
    driver,
    lower::Mode,
    plan::NoiseSource,
    run::arrays,
};
use std::path::{Path, PathBuf};

/// Compiles every model's step for an architecture; says so loudly where there is no compiler.
fn compile_all(arch: &str) {
    let path = std::env::var_os("DGC_NVRTC").map(PathBuf::from);
    if let Err(error) = library::find_nvrtc(path.as_deref()) {
        eprintln!("SKIPPED: {error}; DGC_NVRTC may name it");
        return;
    }
    for file in models() {
        let model = small(&file);
        let objective = driver::derive(&model);
        let rows = vec![3; objective.cases.len()];
        let graph = driver::step(&model, &rows, Mode::TRAIN);
        let plan = driver::plan(&graph, NoiseSource::Generated);
        for precision in Precision::ALL {
            let source = emit::emit(&plan, &model.name, precision);
            assert_eq!(source, emit::emit(&plan, &model.name, precision), "the same input gives the same bytes");
            let image = compile::compile(&source.text, &model.name, arch).expect("it compiles");
            assert!(!image.code.is_empty(), "there is code");
            let functions = assembly::functions(&image.log);
            assert_eq!(functions.len(), source.launches.len(), "the assembler reports each function");
            // Elsewhere the assembler moves a word or two to the stack where there are registers left.
            let spilling = functions.iter().find(|function| arch == "sm_90" && function.spilled > 0);
            if let Some(function) = spilling {
                let text = source.text.split("extern \"C\"").find(|text| text.contains(&format!("{}(", function.name)));
                panic!("{} in {precision}: {function:?}\n{}", model.name, text.unwrap_or_default());
            }
        }
    }
}

/// Tiles that only larger results are worth.
#[test]
fn nvrtc_wide() {
    let path = std::env::var_os("DGC_NVRTC").map(PathBuf::from);
    if let Err(error) = library::find_nvrtc(path.as_deref()) {
        eprintln!("SKIPPED: {error}; DGC_NVRTC may name it");
        return;
    }
    let sets = [("pixels", "1000"), ("latent", "400"), ("hidden", "1500")];
    let model = common::load(&common::root().join("models/vae.dgm"), &sets);
    let plan = driver::plan(&driver::step(&model, &[1600], Mode::TRAIN), NoiseSource::Generated);
    for precision in Precision::ALL {
        let source = emit::emit(&plan, "wide", precision);
        for tile in ["<128, 128>", "<128, 64>", "<64, 64>"] {
            assert!(source.text.contains(tile), "{tile}");
        }
        let image = compile::compile(&source.text, "wide", "sm_90").expect("it compiles");
        let functions = assembly::functions(&image.log);
        assert!(functions.iter().all(|function| function.spilled == 0), "{functions:?}");
    }
}

#[test]
fn nvrtc_ampere() {
    compile_all("sm_80");
}

#[test]
fn nvrtc_hopper() {
    compile_all("sm_90");
}

#[test]
fn nvrtc_blackwell() {
    compile_all("sm_100");
}

#[test]
fn nvrtc_blackwell_for_workstations() {
    compile_all("sm_120");
}

/// A folder with a small model and a data set for it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    common::write_small_adgm(folder.path());
    folder
}

fn train<'a>(run: &'a str, device: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed =
        ["train", "small.dgm", "--data", "data.safetensors", "--validation", "8", "-o", run, "--device", device];
    [&fixed[..], more].concat()
}

/// The largest difference of two checkpoints' parameters, in proportion to each array's largest number. A bias before batch norm
/// has no gradient but rounding, which Adam makes whole steps of: it is left out.
fn difference(folder: &Path, one: &str, other: &str) -> f64 {
    let read = |run: &str| arrays::read(&folder.join(run).join("checkpoint.safetensors")).expect("a checkpoint").0;
    let (one, other) = (read(one), read(other));
    assert_eq!(one.len(), other.len(), "as many arrays");
    let cancelled = |name: &str| name.contains("dense") && name.ends_with("bias") || name.contains('/');
    let pairs = one.iter().zip(&other).filter(|(array, _)| !cancelled(&array.name));
    pairs.map(|(a, b)| common::distance(&a.data, &b.data)).fold(0.0, f64::max)
}

#[test]
fn training_goes_as_on_the_cpu_and_resumes_on_either() {
    let folder = folder();
    let at = folder.path();
    emulator::fine(at, &train("cpu", "cpu", &["--epochs", "2"]), &[]);
    emulator::fine(at, &train("cuda", "cuda", &["--epochs", "2"]), &[("DGC_EMULATOR_SEED", "7")]);
    // Ten steps.
    let apart = difference(at, "cpu", "cuda");

    assert!(apart < 1e-5, "{apart}");
    let metrics = |run: &str| std::fs::read_to_string(at.join(run).join("metrics.jsonl")).expect("metrics");
    for (one, other) in metrics("cpu").lines().zip(metrics("cuda").lines()) {
        let parse = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("JSON") };
        let (one, other) = (parse(one), parse(other));
        for (group, name) in [("labelled", "bound"), ("unlabelled", "bound"), ("validation", "bound")] {
            let number = |json: &serde_json::Value| json[group][name].as_f64().expect("a number");
            let error = (number(&one) / number(&other) - 1.0).abs();
            assert!(error < 1e-4, "{group} {name}: {} and {}", number(&one), number(&other));
        }
    }
    // Half on one device, half on the other, is the whole on either.
    emulator::fine(at, &train("half", "cpu", &["--epochs", "1"]), &[]);
    emulator::fine(at, &["train", "half", "--resume", "--epochs", "2", "--device", "cuda"], &[]);
    let apart = difference(at, "half", "cuda");

    assert!(apart < 1e-5, "{apart}");
    emulator::fine(at, &["train", "cuda", "--resume", "--epochs", "3", "--device", "cpu"], &[]);
    for command in ["eval", "predict", "encode"] {
        let mut arguments = vec![command, "half", "--device", "cuda", "--samples", "2"];
        if command != "eval" {
            arguments.extend(["-o", "out"]);
        }
        emulator::fine(at, &arguments, &[]);
    }
}

#[test]
fn failures_are_told() {
    let folder = folder();
    let at = folder.path();
    let fails = |variables: &[(&str, &str)]| {
        let output = emulator::dgc(at, &train("run", "cuda", &["--epochs", "1"]), variables);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && !errors.contains("panicked"), "{errors}");
        errors
    };
    assert!(fails(&[("DGC_EMULATOR_MEMORY", "20000")]).contains("out of memory"), "memory");
    assert!(fails(&[("DGC_EMULATOR_DEVICES", "0")]).contains("there is no GPU"), "no GPU");
    // The first function of a step.
    let source = emulator::fine(at, &["compile", "small.dgm", "--emit", "cuda"], &[]);
    let (_, rest) = source.split_once("\nstep0_").expect("a function of the first level");
    let function = format!("step0_{}", rest.split('(').next().expect("its parameters follow"));
    let errors = fails(&[("DGC_EMULATOR_MISSING", &function)]);
    assert!(errors.contains(&function) && errors.contains("not found"), "{errors}");
    let errors = fails(&[("DGC_EMULATOR_FAILING", &function)]);
    assert!(errors.contains(&function) && errors.contains("launch"), "{errors}");
}

#[test]
fn training_in_each_precision() {
    let folder = folder();
    let at = folder.path();
    emulator::fine(at, &train("cpu", "cpu", &["--epochs", "1"]), &[]);
    for (precision, most) in [("tf32", 1e-2), ("bf16", 1e-1)] {
        emulator::fine(at, &train(precision, "cuda", &["--epochs", "1", "--precision", precision]), &[]);
        let apart = difference(at, "cpu", precision);
        eprintln!("training in {precision}: {apart:e}");
        assert!(apart > 1e-6, "{precision} rounds more than f32: {apart}");
        assert!(apart < most, "{precision}: {apart}");
    }
    let fails = |arguments: &[&str]| {
        let output = emulator::dgc(at, arguments, &[("DGC_EMULATOR_DEVICES", "0")]);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let message = fails(&train("none", "cpu", &["--precision", "bf16"]));
    assert!(message.contains("--precision bf16: the CPU computes in f32 alone\n"), "{message}");
    let message = fails(&train("none", "auto", &["--precision", "tf32"]));
    assert!(message.contains("the CPU computes in f32 alone, and no GPU was found"), "{message}");
    assert!(fails(&train("none", "cuda", &["--precision", "f16"])).contains("expected one of f32, tf32, bf16"));
    assert!(
        fails(&["compile", "small.dgm", "-o", "out", "--precision", "bf16"]).contains("the CPU computes in f32 alone")
    );
}
