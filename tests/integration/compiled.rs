//! Compiled models: folders that train as their model files do, and that say when they are not as
//! they were written.

use crate::common;

use common::{emulator, models, small};
use dgc::{
    backend::Precision,
    run::{
        compiled::{self, Compiled},
        programs::Training,
    },
};
use std::path::Path;

fn read(folder: &Path) -> Result<Compiled, String> {
    compiled::read(folder).map_err(|error| error.to_string())
}

/// A folder with a small model, compiled for the CPU.
fn folder(file: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sets: Vec<(String, String)> = small(file)
        .settings
        .iter()
        .filter(|(name, _)| common::SMALL.iter().any(|(known, _)| known == name))
        .cloned()
        .collect();
    let programs =
        compiled::compile_model(&small(file), &[], Precision::F32).expect("the model compiles");
    compiled::write(&folder.path().join("out"), &small(file), &sets, programs)
        .expect("it is written");
    folder
}

#[test]
fn every_model_is_read_as_it_was_written() {
    for file in models() {
        let folder = folder(&file);
        let read = read(&folder.path().join("out")).expect("it is read");
        let Compiled {
            training:
                Training {
                    gradient,
                    steady,
                    update,
                },
            evaluate,
            ..
        } = read;
        let read = [Some(gradient), steady, Some(update), Some(evaluate)]
            .into_iter()
            .flatten();
        assert!(
            read.eq(compiled::builds(&small(&file)).expect("programs")),
            "{}",
            file.display()
        );
    }
}

#[test]
fn changed_folders_are_refused() {
    let folder = folder(&common::root().join("models/vae.dgm"));
    let out = folder.path().join("out");
    let change = |name: &str, to: &dyn Fn(String) -> String| {
        let path = out.join(name);
        let before = std::fs::read_to_string(&path).expect("a file");
        std::fs::write(&path, to(before.clone())).expect("a file can be written");
        let message = read(&out).expect_err("it is refused");
        std::fs::write(&path, before).expect("a file can be written");
        assert!(message.contains("compile it again"), "{message}");
        message
    };
    assert!(
        change("model.dgm", &|text| text + "// more")
            .contains("model.dgm: the file was changed or damaged")
    );
    assert!(
        change("gradient.json", &|text| text[1..].to_string())
            .contains("gradient.json: the file was changed or damaged")
    );
    assert!(
        change("compiled.json", &|text| text[..40].to_string())
            .contains("not a valid file of a compiled model")
    );
    let version = concat!("\"version\": \"", env!("CARGO_PKG_VERSION"));
    assert!(
        change("compiled.json", &|text| text
            .replace(version, "\"version\": \"0.0.1"))
        .contains("dgc 0.0.1")
    );
    std::fs::remove_file(out.join("update.json")).expect("a file can be removed");
    assert!(
        read(&out)
            .expect_err("it is refused")
            .contains("update.json: cannot be read")
    );
}

/// Changes a manifest's text.
fn edit_manifest(out: &Path, change: impl Fn(&mut serde_json::Value)) {
    let path = out.join("compiled.json");
    let text = std::fs::read(&path).expect("a manifest");
    let mut manifest = serde_json::from_slice(&text).expect("a manifest");
    change(&mut manifest);
    common::write_manifest(out, &mut manifest);
}

/// The precision is that of machine code, so plans alone have none; and a damaged one is found.
#[test]
fn a_precision_without_machine_code_is_refused() {
    let folder = folder(&common::root().join("models/vae.dgm"));
    let out = folder.path().join("out");
    let path = out.join("compiled.json");
    let text = std::fs::read_to_string(&path).expect("a manifest");
    let other = text.replace("\"precision\": \"f32\"", "\"precision\": \"tf32\"");
    assert_ne!(other, text);
    std::fs::write(&path, other).expect("a file can be written");
    let message = read(&out).expect_err("it is refused");
    assert!(
        message.contains("compiled.json: the checksum is wrong"),
        "{message}"
    );
    edit_manifest(&out, |manifest| manifest["precision"] = "tf32".into());
    let message = read(&out).expect_err("it is refused");
    assert!(
        message.contains("expected the precision f32 in a folder without machine code, found tf32"),
        "{message}"
    );
    edit_manifest(&out, |manifest| manifest["precision"] = "f32".into());
    read(&out).expect("the folder as it was");
    edit_manifest(&out, |manifest| manifest["sets"] = serde_json::json!(null));
    assert!(
        read(&out)
            .expect_err("it is refused")
            .contains("not a valid file")
    );
}

#[test]
fn a_folder_of_another_format_is_refused() {
    let folder = folder(&common::root().join("models/vae.dgm"));
    let out = folder.path().join("out");
    let refused = |found: &str| {
        let message = read(&out).expect_err("it is refused");
        let expected = format!("expected format 3, found {found}");
        assert!(message.contains(&expected), "{message}");
        assert!(message.contains("compile it again"), "{message}");
    };
    edit_manifest(&out, |manifest| manifest["format"] = 2.into());
    refused("2");
    edit_manifest(&out, |manifest| {
        manifest.as_object_mut().expect("fields").remove("format");
    });
    refused("none");
}

/// A manifest names files of its folder: no other file is read, and none is deleted.
#[test]
fn manifests_name_files_in_their_folder() {
    let file = common::root().join("models/vae.dgm");
    let folder = folder(&file);
    let (out, precious) = (folder.path().join("out"), folder.path().join("precious"));
    std::fs::write(&precious, "kept").expect("a file can be written");
    let absolute = precious.display().to_string();
    for name in ["../precious", absolute.as_str(), "a/b", "..", ".", ""] {
        edit_manifest(&out, |manifest| {
            manifest["files"] = serde_json::json!({ name: "" });
        });
        let message = read(&out).expect_err("it is refused");
        assert!(
            message.contains("expected names of files in the folder"),
            "{message}"
        );
        let programs = compiled::compile_model(&small(&file), &[], Precision::F32)
            .expect("the model compiles");
        let error = compiled::write(&out, &small(&file), &[], programs).expect_err("it is refused");
        assert!(error.to_string().contains("names of files"), "{error}");
        assert!(precious.exists() && out.join("gradient.json").exists());
    }
}

#[test]
fn a_plan_of_another_model_is_refused() {
    let models = common::root().join("models");
    let (one, other) = (
        folder(&models.join("vae.dgm")),
        folder(&models.join("hvae.dgm")),
    );
    let (out, other) = (one.path().join("out"), other.path().join("out"));
    for program in ["gradient.json", "update.json", "evaluate.json"] {
        let before = std::fs::read(out.join(program)).expect("a plan");
        let plan = std::fs::read(other.join(program)).expect("a plan");
        let store = |plan: &[u8]| {
            std::fs::write(out.join(program), plan).expect("a file can be written");
            let hash = dgc::files::hash(plan);
            edit_manifest(&out, |manifest| {
                manifest["files"][program] = hash.as_str().into()
            });
        };
        store(&plan);
        let found = read(&out).err();
        if plan != before {
            let message = found.expect("it is refused");
            assert!(
                message.contains("the program differs from the model"),
                "{message}"
            );
        }
        store(&before);
    }
    read(&out).expect("the folder as it was");
}

/// Compiled for a GPU where there is a compiler, trained where there is none.
#[test]
fn a_gpu_runs_what_was_compiled_elsewhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    // A run whose second epoch takes another gradient than its first.
    let (path, line) = (
        at.join("small.dgm"),
        "    smooth y by vat(radius = 1, weight = 0) warmup 1 from 10\n  }\n\n  train {",
    );
    let text = std::fs::read_to_string(&path).expect("a model");
    assert!(text.contains("  }\n\n  train {"));
    std::fs::write(&path, text.replace("  }\n\n  train {", line)).expect("a file can be written");
    emulator::fine(
        at,
        &[
            "compile",
            "small.dgm",
            "--target",
            "cuda",
            "--arch",
            "sm_80,sm_90",
            "-o",
            "out",
        ],
        &[],
    );
    let images = [
        "gradient.sm_80.cubin",
        "gradient.sm_90.cubin",
        "gradient.compute_80.ptx",
        "settled.sm_90.cubin",
    ];
    for name in ["gradient.cu", "settled.cu", "update.cu"]
        .into_iter()
        .chain(images)
    {
        assert!(at.join("out").join(name).exists(), "{name}");
    }
    let path = emulator::driver_alone().display().to_string();
    let alone = [("LD_LIBRARY_PATH", path.as_str())];
    let common = ["--data", "data.safetensors", "--epochs", "2", "--device"];
    let train =
        |model, run, device| [&["train", model, "-o", run][..], &common, &[device]].concat();
    emulator::fine(at, &train("out", "ahead", "cuda"), &alone);
    emulator::fine(at, &train("out", "ahead-auto", "auto"), &alone);
    emulator::fine(at, &train("small.dgm", "now", "cuda"), &[]);
    emulator::fine(at, &train("out", "cpu", "cpu"), &alone);
    let checkpoint = |run: &str| {
        std::fs::read(at.join(run).join("checkpoint.safetensors")).expect("a checkpoint")
    };
    assert!(
        checkpoint("ahead") == checkpoint("now"),
        "the same bits, whenever it was compiled"
    );
    assert!(
        checkpoint("ahead") == checkpoint("ahead-auto"),
        "a GPU was found"
    );
    assert!(
        checkpoint("ahead") != checkpoint("cpu"),
        "a CPU rounds otherwise"
    );
    let recompile = |run| [&train("out", run, "cuda")[..], &["--recompile"]].concat();
    emulator::fine(at, &recompile("recompiled"), &[]);
    assert!(
        checkpoint("recompiled") == checkpoint("now"),
        "the same plan"
    );
    let output = emulator::dgc(at, &recompile("none"), &alone);
    assert!(String::from_utf8_lossy(&output.stderr).contains("libnvrtc.so, was not found"));
    let output = emulator::dgc(at, &train("small.dgm", "none", "cuda"), &alone);
    assert!(String::from_utf8_lossy(&output.stderr).contains("libnvrtc.so, was not found"));
    let fails = |variables: &[(&str, &str)]| {
        let output = emulator::dgc(at, &train("out", "other", "cuda"), variables);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let message = fails(&[alone[0], ("DGC_EMULATOR_ARCH", "75")]);
    assert!(
        message.contains("was compiled for sm_80, sm_90, compute_80, but this GPU is sm_75"),
        "{message}"
    );
}

#[test]
fn a_folder_keeps_its_precision() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let compile = [
        "compile",
        "small.dgm",
        "--target",
        "cuda",
        "--arch",
        "sm_90",
        "--precision",
        "bf16",
        "-o",
        "out",
    ];
    emulator::fine(at, &compile, &[]);
    let manifest = std::fs::read_to_string(at.join("out/compiled.json")).expect("a manifest");
    assert!(manifest.contains("\"precision\": \"bf16\""), "{manifest}");
    let train = |model, run, more: &[&'static str]| {
        [
            &[
                "train",
                model,
                "--data",
                "data.safetensors",
                "--epochs",
                "1",
                "-o",
                run,
            ][..],
            more,
        ]
        .concat()
    };
    emulator::fine(at, &train("out", "ahead", &["--device", "cuda"]), &[]);
    emulator::fine(
        at,
        &train(
            "small.dgm",
            "now",
            &["--device", "cuda", "--precision", "bf16"],
        ),
        &[],
    );
    let checkpoint = |run: &str| {
        std::fs::read(at.join(run).join("checkpoint.safetensors")).expect("a checkpoint")
    };
    assert!(
        checkpoint("ahead") == checkpoint("now"),
        "the same bits, whenever it was compiled"
    );
    let fails = |more: &[&'static str]| {
        let output = emulator::dgc(at, &train("out", "other", more), &[]);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let message = fails(&["--device", "cuda", "--precision", "tf32"]);
    assert!(
        message.contains("was compiled in bf16, but the device runs in tf32"),
        "{message}"
    );
    emulator::fine(at, &train("out", "ahead-cpu", &["--device", "cpu"]), &[]);
    emulator::fine(
        at,
        &train(
            "small.dgm",
            "now-cpu",
            &["--device", "cpu", "--precision", "bf16"],
        ),
        &[],
    );
    assert!(
        checkpoint("ahead-cpu") == checkpoint("now-cpu"),
        "the CPU takes the folder's precision as well"
    );
}

/// A folder for the CPU trains as its model file does.
#[test]
fn the_cpu_trains_a_folder_as_its_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_adgm(at);
    let dgc = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_dgc"))
            .args(arguments)
            .current_dir(at)
            .output();
        let output = output.expect("the program starts");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let file = at.join("small.dgm");
    let text = std::fs::read_to_string(&file).expect("the model can be read");
    let text = text.replace("  train {\n", "  train {\n    average parameters 0.9\n");
    std::fs::write(&file, text).expect("the model can be written");
    dgc(&["compile", "small.dgm", "-o", "out"]);
    for (model, run) in [("small.dgm", "file"), ("out", "folder")] {
        dgc(&[
            "train",
            model,
            "--data",
            "data.safetensors",
            "--epochs",
            "2",
            "-o",
            run,
            "--device",
            "cpu",
        ]);
    }
    let checkpoint = |run: &str| {
        std::fs::read(at.join(run).join("checkpoint.safetensors")).expect("a checkpoint")
    };
    assert!(checkpoint("file") == checkpoint("folder"), "the same bits");
    let stored = common::read(&at.join("folder").join("checkpoint.safetensors"));
    assert!(
        stored.keys().any(|name| name.starts_with("average/")),
        "the programs of the folder average the parameters"
    );
    dgc(&[
        "train", "out", "--resume", "--epochs", "3", "-o", "folder", "--device", "cpu",
    ]);
    dgc(&[
        "train", "file", "--resume", "--epochs", "3", "--device", "cpu",
    ]);
    assert!(
        checkpoint("file") == checkpoint("folder"),
        "the same bits after a resumption"
    );
    // Programs of other settings are not those of the run.
    dgc(&[
        "compile",
        "small.dgm",
        "--set",
        "batch.labelled=4",
        "-o",
        "other",
    ]);
    let message = common::program::fails(
        at,
        &[
            "train", "other", "--resume", "--epochs", "4", "-o", "folder",
        ],
    );
    assert!(
        message.contains("the run's model differs from the compiled model"),
        "{message}"
    );
}

#[test]
fn the_assemblers_log_is_read() {
    use dgc::backend::cuda::assembly::{Function, functions};
    let log = "ptxas info    : 0 bytes gmem\n\
        ptxas info    : Compiling entry function 'k10_map' for 'sm_90'\n\
        ptxas info    : Function properties for k10_map\n\
        \x20   16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads\n\
        ptxas info    : Used 255 registers, used 1 barriers, 17408 bytes smem\n\
        ptxas info    : Compiling entry function 'k2_map' for 'sm_90'\n\
        \x20   0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n\
        ptxas info    : Used 10 registers\n";
    let function = |name: &str, registers, shared, spilled| Function {
        name: name.to_string(),
        registers,
        shared,
        spilled,
    };
    assert_eq!(
        functions(log),
        [
            function("k2_map", 10, 0, 0),
            function("k10_map", 255, 17_408, 20)
        ]
    );
}

/// Costs by hand: a linear model of 2 rows, 3 pixels and 1 latent multiplies q's two heads, and p's
/// one.
#[test]
fn costs_count_operations_and_bytes_once() {
    let model = common::check(
        "linear.dgm",
        "model linear {\n data x: real[3]\n latent z: real[1]\n generative {\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n}\n\
         inference {\n x -> z ~ normal(linear)\n}\n train {\n batch 2\n}\n}\n",
        &[],
    );
    let gradient = &compiled::builds(&model).expect("programs")[0];
    let (plan, total) = (&gradient.plan, gradient.plan.total_cost(&[]));
    assert_eq!(total.products, plan.contraction_operations());
    assert_eq!(
        plan.tiled_operations(),
        total.products,
        "one sample and no class: nothing to tile"
    );
    let kernel = plan.kernels.iter().find(|kernel| {
        kernel
            .contraction
            .as_ref()
            .is_some_and(|c| c.m == 2 && c.n == 1)
    });
    let kernel = kernel.expect("a head of q");
    let cost = plan.cost(kernel, &[]);
    assert_eq!(cost.products, 2 * 2 * 3, "[2, 1] = [2, 3] · [3, 1]");
    assert!(
        cost.bytes >= 4 * (2 * 3 + 3),
        "both operands: {}",
        cost.bytes
    );
}
