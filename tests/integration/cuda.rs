//! The CUDA back end without a GPU: every kernel through NVIDIA's compiler, and whole programs on
//! the emulated driver.

use crate::common;

use common::{emulator, is_variant, models, small};
use dgc::{
    backend::{
        Precision,
        cuda::{assembly, compile, emit, image::Effort, library},
    },
    driver,
    files::{hash, write_whole},
    lower::Mode,
    model::Model,
    plan::NoiseSource,
    run::{arrays, programs},
};
use std::path::{Path, PathBuf};

/// Where NVIDIA's compiler is, if the loader does not know.
fn nvrtc() -> Option<PathBuf> {
    std::env::var_os("DGC_NVRTC").map(PathBuf::from)
}

/// Whether there is NVIDIA's compiler; says so loudly where there is none.
fn has_compiler() -> bool {
    let found = library::find_nvrtc(nvrtc().as_deref());
    if let Err(error) = &found {
        eprintln!("SKIPPED: {error}; DGC_NVRTC may name it");
    }
    found.is_ok()
}

/// What the assembler says of a source for an architecture. It is kept in `target/tmp`: a source
/// that was compiled before is not compiled again.
fn assembled(source: &str, name: &str, arch: &str, effort: Effort) -> String {
    let version = compile::version().expect("the library was found");
    let key = format!("{version:?} {arch} {effort:?}\n{source}");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("nvrtc");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let path = folder.join(hash(key.as_bytes()));
    if let Ok(log) = std::fs::read_to_string(&path) {
        return log;
    }
    let image = compile::compile(source, name, arch, effort).expect("it compiles");
    assert!(!image.code.is_empty(), "there is code");
    write_whole(&path, image.log.as_bytes()).expect("the log can be kept");
    image.log
}

/// Compiles a model's step for an architecture in some precisions.
fn compile_step(model: &Model, rows: &[usize], arch: &str, effort: Effort, all: &[Precision]) {
    let graph = driver::step(model, rows, Mode::TRAIN);
    let plan = driver::plan(&graph, NoiseSource::Generated).expect("a plan");
    for &precision in all {
        let source = emit::emit(&plan, &model.name, precision);
        assert_eq!(
            source,
            emit::emit(&plan, &model.name, precision),
            "the same input gives the same bytes"
        );
        let functions = assembly::functions(&assembled(&source.text, &model.name, arch, effort));
        assert_eq!(
            functions.len(),
            source.launches.len(),
            "the assembler reports each function"
        );
        // With less effort the assembler moves a word or two to the stack where there are registers
        // left.
        let spilling = functions
            .iter()
            .find(|function| effort == Effort::Full && function.spilled > 0);
        if let Some(function) = spilling {
            let text = source
                .text
                .split("extern \"C\"")
                .find(|text| text.contains(&format!("{}(", function.name)));
            panic!(
                "{} in {precision}: {function:?}\n{}",
                model.name,
                text.unwrap_or_default()
            );
        }
    }
}

/// Compiles every construct for an architecture, and models of small sizes in every precision.
fn compile_small(arch: &str, models: &[PathBuf]) {
    if !has_compiler() {
        return;
    }
    for file in common::models_in(&common::root().join("tests/golden")) {
        let model = common::load(&file, &[]);
        let rows = programs::batch_rows(&model);
        // The others multiply as these do.
        let multiplies = ["dense.dgm", "convolution.dgm", "sum.dgm"];
        let precisions = match multiplies.iter().any(|name| file.ends_with(name)) {
            true => &Precision::ALL[..],
            false => &[Precision::F32],
        };
        compile_step(&model, &rows, arch, Effort::Least, precisions);
    }
    for file in models {
        let model = small(file);
        let rows = vec![3; driver::derive(&model).cases.len()];
        compile_step(&model, &rows, arch, Effort::Least, &Precision::ALL);
    }
}

/// Compiles every model that is no variant for Hopper. Spills depend on sizes, so these are the
/// models' own, and the compiler does its best. The largest models take long, so they are compiled in
/// bf16 and in one other precision.
fn compile_for_hopper(precision: Precision) {
    if !has_compiler() {
        return;
    }
    let left_out: &[&str] = match precision {
        Precision::F32 => &["sdgm.dgm"],
        Precision::Tf32 => &["adgm.dgm", "table.dgm"],
        Precision::Bf16 => &[],
    };
    let is_compiled = |file: &PathBuf| {
        let is_left_out = left_out.iter().any(|name| file.ends_with(name));
        !is_left_out && !is_variant(file)
    };
    for file in models().into_iter().filter(is_compiled) {
        let model = common::load(&file, &[]);
        // The first steps of the ADGM have all that its later ones have.
        let is_adgm = file.ends_with("adgm.dgm") && precision == Precision::F32;
        let model = if is_adgm {
            model
        } else {
            common::settled(&model)
        };
        let rows = programs::batch_rows(&model);
        compile_step(&model, &rows, "sm_90", Effort::Full, &[precision]);
    }
}

/// Tiles that only larger results are worth.
#[test]
fn nvrtc_wide() {
    if !has_compiler() {
        return;
    }
    let sets = [("pixels", "1000"), ("latent", "500"), ("hidden", "1000")];
    // With batch norm, whose scales are beside the largest tiles in shared memory.
    let text = std::fs::read_to_string(common::root().join("models/vae.dgm")).expect("a model");
    let model = common::check(
        "vae.dgm",
        &text.replace(
            "dense(hidden) > softplus",
            "dense(hidden) > batchnorm > relu",
        ),
        &sets,
    );
    let plan = driver::plan(
        &driver::step(&model, &[2200], Mode::TRAIN),
        NoiseSource::Generated,
    )
    .expect("a plan");
    for precision in Precision::ALL {
        let source = emit::emit(&plan, "wide", precision);
        for tile in ["<128, 128>", "<128, 64>", "<64, 64>"] {
            assert!(source.text.contains(tile), "{tile}");
        }
        let functions =
            assembly::functions(&assembled(&source.text, "wide", "sm_90", Effort::Full));
        assert!(
            functions.iter().all(|function| function.spilled == 0),
            "{functions:?}"
        );
    }
}

/// The oldest architecture, for which the most is written out.
#[test]
fn nvrtc_ampere() {
    let models = models().into_iter().filter(|file| !is_variant(file));
    compile_small("sm_80", &models.collect::<Vec<_>>());
}

// In three tests, which may run at once.
#[test]
fn nvrtc_hopper_bf16() {
    compile_for_hopper(Precision::Bf16);
}

#[test]
fn nvrtc_hopper_f32() {
    compile_for_hopper(Precision::F32);
}

#[test]
fn nvrtc_hopper_tf32() {
    compile_for_hopper(Precision::Tf32);
}

// Sources ask for nothing that Hopper does not have.
#[test]
fn nvrtc_blackwell() {
    compile_small("sm_100", &[common::root().join("models/adgm.dgm")]);
}

#[test]
fn nvrtc_blackwell_for_workstations() {
    compile_small("sm_120", &[]);
}

/// A folder with a small ADGM and a data set for it.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    common::write_small_adgm(folder.path());
    folder
}

/// The same with an M2, which is sooner compiled.
fn m2_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    common::write_small_m2(folder.path());
    folder
}

fn train<'a>(run: &'a str, device: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let fixed = [
        "train",
        "small.dgm",
        "--data",
        "data.safetensors",
        "--validation",
        "8",
        "-o",
        run,
        "--device",
        device,
    ];
    [&fixed[..], more].concat()
}

/// Two checkpoints' parameters. A bias before batch norm has no gradient but rounding, which Adam
/// makes whole steps of: it is left out.
fn parameters(folder: &Path, one: &str, other: &str) -> Vec<(Vec<f64>, Vec<f64>)> {
    let read = |run: &str| {
        arrays::read(&folder.join(run).join("checkpoint.safetensors"))
            .expect("a checkpoint")
            .0
    };
    let (one, other) = (read(one), read(other));
    assert_eq!(one.len(), other.len(), "as many arrays");
    let is_state = |name: &str| name.contains('/') && !name.starts_with("average/");
    let cancelled = |name: &str| name.contains("dense") && name.ends_with("bias") || is_state(name);
    let pairs = one
        .into_iter()
        .zip(other)
        .filter(|(array, _)| !cancelled(&array.name));
    pairs.map(|(a, b)| (a.data, b.data)).collect()
}

/// Their largest difference, in proportion to each array's largest number.
fn difference(folder: &Path, one: &str, other: &str) -> f64 {
    parameters(folder, one, other)
        .iter()
        .map(|(a, b)| common::distance(a, b))
        .fold(0.0, f64::max)
}

/// The length of their difference in proportion to theirs: where numbers are rounded a row may
/// cross the bend of a ReLU, and a bias that began at 0 is little else.
fn difference_of_all(folder: &Path, one: &str, other: &str) -> f64 {
    common::distance_of_all(
        parameters(folder, other, one)
            .iter()
            .map(|(a, b)| (a.as_slice(), b.as_slice())),
    )
}

#[test]
fn training_goes_as_on_the_cpu_and_resumes_on_either() {
    let folder = folder();
    let at = folder.path();
    let train = |run, device, epochs| {
        let average = ["--set", "average.parameters=0.9", "--epochs", epochs];
        train(run, device, &average)
    };
    emulator::fine(at, &train("cpu", "cpu", "2"), &[]);
    emulator::fine(
        at,
        &train("cuda", "cuda", "2"),
        &[("DGC_EMULATOR_SEED", "7")],
    );
    // Ten steps, with the average of the parameters.
    let apart = difference(at, "cpu", "cuda");

    assert!(apart < 1e-5, "{apart}");
    let metrics =
        |run: &str| std::fs::read_to_string(at.join(run).join("metrics.jsonl")).expect("metrics");
    for (one, other) in metrics("cpu").lines().zip(metrics("cuda").lines()) {
        let parse = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("JSON") };
        let (one, other) = (parse(one), parse(other));
        for (group, name) in [
            ("labelled", "bound"),
            ("unlabelled", "bound"),
            ("validation", "bound"),
        ] {
            let number = |json: &serde_json::Value| json[group][name].as_f64().expect("a number");
            let error = (number(&one) / number(&other) - 1.0).abs();
            assert!(
                error < 1e-4,
                "{group} {name}: {} and {}",
                number(&one),
                number(&other)
            );
        }
    }
    // Half on one device, half on the other, is the whole on either.
    emulator::fine(at, &train("half", "cpu", "1"), &[]);
    emulator::fine(
        at,
        &[
            "train", "half", "--resume", "--epochs", "2", "--device", "cuda",
        ],
        &[],
    );
    let apart = difference(at, "half", "cuda");

    assert!(apart < 1e-5, "{apart}");
    emulator::fine(
        at,
        &[
            "train", "cuda", "--resume", "--epochs", "3", "--device", "cpu",
        ],
        &[],
    );
    for command in ["eval", "predict", "encode"] {
        let mut arguments = vec![command, "half", "--device", "cuda", "--samples", "2"];
        match command {
            "predict" => arguments.extend(["-o", "out.csv"]),
            "encode" => arguments.extend(["-o", "out.npz"]),
            _ => {}
        }
        emulator::fine(at, &arguments, &[]);
    }
}

#[test]
fn failures_are_told() {
    if emulator::skips_on_gpu("failures that the emulated one is told to have") {
        return;
    }
    let folder = folder();
    let at = folder.path();
    let fails = |variables: &[(&str, &str)]| {
        let output = emulator::dgc(at, &train("run", "cuda", &["--epochs", "1"]), variables);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && !errors.contains("panicked"),
            "{errors}"
        );
        errors
    };
    assert!(
        fails(&[("DGC_EMULATOR_MEMORY", "20000")]).contains("out of memory"),
        "memory"
    );
    assert!(
        fails(&[("DGC_EMULATOR_DEVICES", "0")]).contains("the driver lists no GPU"),
        "no GPU"
    );
    // The first function of a step.
    let source = emulator::fine(at, &["compile", "small.dgm", "--emit", "cuda"], &[]);
    let (_, rest) = source
        .split_once("\nstep0_")
        .expect("a function of the first level");
    let function = format!(
        "step0_{}",
        rest.split('(').next().expect("its parameters follow")
    );
    let errors = fails(&[("DGC_EMULATOR_MISSING", &function)]);
    assert!(
        errors.contains(&function) && errors.contains("not found"),
        "{errors}"
    );
    let errors = fails(&[("DGC_EMULATOR_FAILING", &function)]);
    assert!(
        errors.contains(&function) && errors.contains("launch"),
        "{errors}"
    );
}

#[test]
fn training_in_each_precision() {
    let folder = folder();
    let at = folder.path();
    emulator::fine(at, &train("cpu", "cpu", &["--epochs", "1"]), &[]);
    for (precision, most) in [("tf32", 1e-3), ("bf16", 1e-2)] {
        emulator::fine(
            at,
            &train(
                precision,
                "cuda",
                &["--epochs", "1", "--precision", precision],
            ),
            &[],
        );
        let apart = difference_of_all(at, "cpu", precision);
        eprintln!("training in {precision}: {apart:e}");
        assert!(apart > 1e-6, "{precision} rounds more than f32: {apart}");
        assert!(apart < most, "{precision}: {apart}");
    }
    // A resumed run keeps its precision.
    let resume = ["train", "tf32", "--resume", "--epochs", "2", "--device"];
    emulator::fine(at, &[&resume[..], &["cuda"]].concat(), &[]);
    let whole = train("whole", "cuda", &["--epochs", "2", "--precision", "tf32"]);
    emulator::fine(at, &whole, &[]);
    let checkpoint = |run: &str| {
        std::fs::read(at.join(run).join("checkpoint.safetensors")).expect("a checkpoint")
    };
    assert!(checkpoint("tf32") == checkpoint("whole"), "the same bits");
    let output = emulator::dgc(at, &[&resume[..], &["cpu"]].concat(), &[]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && message.contains("trained in tf32, which the CPU"),
        "{message}"
    );
    // On the CPU operands are rounded to the same numbers.
    emulator::fine(
        at,
        &train("cpu-bf16", "cpu", &["--epochs", "1", "--precision", "bf16"]),
        &[],
    );
    let (rounded, devices) = (
        difference_of_all(at, "cpu", "cpu-bf16"),
        difference_of_all(at, "bf16", "cpu-bf16"),
    );
    eprintln!("training in bf16 on the CPU: {rounded:e} from f32, {devices:e} from the GPU");
    assert!(
        rounded > 1e-6 && devices < rounded,
        "{rounded:e} from f32, {devices:e} from the GPU"
    );
}

#[test]
fn a_precision_that_is_not_there_is_told() {
    if emulator::skips_on_gpu("precisions where there is no GPU") {
        return;
    }
    let folder = folder();
    let at = folder.path();
    let fails = |arguments: &[&str]| {
        let output = emulator::dgc(at, arguments, &[("DGC_EMULATOR_DEVICES", "0")]);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for device in ["cpu", "auto"] {
        let message = fails(&train("none", device, &["--precision", "tf32"]));
        assert!(
            message.contains("the CPU does not support the precision tf32\n"),
            "{message}"
        );
    }
    assert!(
        fails(&train("none", "cuda", &["--precision", "f16"]))
            .contains("expected one of f32, tf32, bf16")
    );
    assert!(
        fails(&["compile", "small.dgm", "-o", "out", "--precision", "bf16"])
            .contains("programs for the CPU do not depend on the precision")
    );
}

/// Rows are gathered from a table on the device, or come ahead on a second stream where there is no
/// room for one; either way, and however the emulated GPU orders what it may, the numbers are the
/// same.
#[test]
fn rows_stay_on_the_device_or_come_ahead() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    std::fs::copy(common::root().join("models/vae.dgm"), at.join("vae.dgm")).expect("a model");
    // Batches of more floats than the driver keeps a copy of, and a last one that the next epoch
    // fills.
    let (rows, pixels) = (75, 130);
    let data = common::numbers("data", rows * pixels, 1.0)
        .into_iter()
        .map(|x| f64::from(x > 0.0))
        .collect();
    let array = arrays::NamedArray {
        name: "x".to_string(),
        shape: vec![rows, pixels],
        data,
    };
    arrays::write(
        &at.join("x.safetensors"),
        &[array],
        Default::default(),
        false,
    )
    .expect("a file");
    let sets = [
        "pixels=130",
        "hidden=6",
        "latent=2",
        "batch=20",
        "rate=0.01",
    ]
    .map(|set| ["--set", set])
    .concat();
    let run = |name: &str, device: &str, variables: &[(&str, &str)]| {
        let fixed = [
            "train",
            "vae.dgm",
            "--data",
            "x.safetensors",
            "-o",
            name,
            "--device",
            device,
            "--epochs",
            "4",
        ];
        emulator::fine(at, &[&fixed[..], &sets].concat(), variables);
        std::fs::read(at.join(name).join("checkpoint.safetensors")).expect("a checkpoint")
    };
    let gathered = run("gathered", "cuda", &[]);
    assert!(
        gathered == run("again", "cuda", &[("DGC_EMULATOR_SEED", "5")]),
        "another order"
    );
    for seed in ["0", "1", "2"] {
        let ahead = run(
            "ahead",
            "cuda",
            &[("DGC_EMULATOR_FREE", "0"), ("DGC_EMULATOR_SEED", seed)],
        );
        assert!(gathered == ahead, "batches that come ahead, seed {seed}");
        std::fs::remove_dir_all(at.join("ahead")).expect("a folder");
    }
    run("cpu", "cpu", &[]);
    let apart = difference(at, "cpu", "gathered");
    assert!(apart < 1e-5, "{apart}");
}

/// The norm of a gradient is summed by more blocks than the plan has tiles, each of a part that no
/// block's threads divide.
#[test]
fn norms_are_summed_by_many_blocks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let text = std::fs::read_to_string(common::root().join("models/vae.dgm")).expect("a model");
    let text = text.replace(
        "epochs 200",
        "clip norm 0.01\n    prior weights normal(0, 1)\n    epochs 2",
    );
    std::fs::write(at.join("vae.dgm"), &text).expect("a file can be written");
    let sets = [
        ("pixels", "131"),
        ("hidden", "71"),
        ("latent", "4"),
        ("batch", "4"),
        ("rate", "0.01"),
    ];
    let update = programs::training(&common::check("vae.dgm", &text, &sets))
        .expect("programs")
        .update;
    let source = emit::emit(&update.plan, "update", Precision::F32).text;
    let tile = update.plan.kernels[0].tile.expect("sums are made by tiles");
    let size = tile.length.div_ceil(tile.length / 2048);
    assert!(
        tile.count == 2 && !tile.length.is_multiple_of(size),
        "{tile:?}"
    );
    assert!(
        source.contains(&format!("i0 += tile * {size}u;")),
        "as many parts as suit a GPU: {source}"
    );
    let (rows, pixels) = (8, 131);
    let data = common::numbers("data", rows * pixels, 1.0)
        .into_iter()
        .map(|x| f64::from(x > 0.0))
        .collect();
    let array = arrays::NamedArray {
        name: "x".to_string(),
        shape: vec![rows, pixels],
        data,
    };
    arrays::write(
        &at.join("x.safetensors"),
        &[array],
        Default::default(),
        false,
    )
    .expect("a file");
    let sets: Vec<String> = sets
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    for device in ["cpu", "cuda"] {
        let mut arguments = vec![
            "train",
            "vae.dgm",
            "--data",
            "x.safetensors",
            "-o",
            device,
            "--device",
            device,
        ];
        sets.iter()
            .for_each(|set| arguments.extend(["--set", set.as_str()]));
        emulator::fine(at, &arguments, &[]);
    }
    let norm = |run: &str| -> f64 {
        let metrics = std::fs::read_to_string(at.join(run).join("metrics.jsonl")).expect("metrics");
        let last: serde_json::Value =
            serde_json::from_str(metrics.lines().last().expect("a line")).expect("JSON");
        last["gradient_norm"].as_f64().expect("a norm")
    };
    let error = (norm("cuda") / norm("cpu") - 1.0).abs();
    assert!(error < 1e-5, "{} and {}", norm("cuda"), norm("cpu"));
    let apart = difference_of_all(at, "cpu", "cuda");
    assert!(apart < 1e-5, "{apart}");
}

/// A loss that is no number is told of soon, by its step, though the host is ahead; and nothing of
/// it is kept.
#[test]
fn a_run_that_diverges_on_the_device_is_told() {
    let folder = folder();
    let at = folder.path();
    emulator::fine(at, &train("run", "cuda", &["--epochs", "1"]), &[]);
    let before = std::fs::read(at.join("run/checkpoint.safetensors")).expect("a checkpoint");
    let again = [
        "train",
        "run",
        "--resume",
        "--epochs",
        "9",
        "--device",
        "cuda",
        "--set",
        "rate=1000",
    ];
    let output = emulator::dgc(at, &again, &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("training diverged at step"),
        "{errors}"
    );
    assert!(
        before == std::fs::read(at.join("run/checkpoint.safetensors")).expect("a checkpoint"),
        "it is as it was"
    );
}

/// What was compiled once is not compiled again, unless it is not as it was left.
#[test]
fn programs_are_kept() {
    let folder = m2_folder();
    let at = folder.path();
    let cache = at.join("cache");
    let with_cache = ("DGC_CACHE", cache.to_str().expect("a plain name"));
    // Where there is no g++ nothing can be compiled on the emulated GPU.
    let no_compiler = ("PATH", "/nowhere");
    let run = |name: &str, variables: &[(&str, &str)]| {
        let output = emulator::dgc(at, &train(name, "cuda", &["--epochs", "1"]), variables);
        let checkpoint = std::fs::read(at.join(name).join("checkpoint.safetensors")).ok();
        (
            output.status.success(),
            checkpoint.filter(|_| output.status.success()),
        )
    };
    let (fine, first) = run("first", &[with_cache]);
    assert!(fine, "it trains");
    let entries = || {
        std::fs::read_dir(&cache)
            .expect("a cache")
            .flatten()
            .map(|entry| entry.path())
    };
    let kept: Vec<PathBuf> = entries().collect();
    assert_eq!(kept.len(), 3, "gradient, update and evaluation: {kept:?}");
    if emulator::skips_on_gpu("programs that are not compiled where there is no g++") {
        return;
    }
    let (fine, again) = run("again", &[with_cache, no_compiler]);
    assert!(fine && first == again, "from the cache");
    let bytes = std::fs::read(&kept[0]).expect("an entry");
    std::fs::write(&kept[0], &bytes[..bytes.len() - 1]).expect("an entry");
    assert!(
        !run("damaged", &[with_cache, no_compiler]).0,
        "a damaged entry is not taken"
    );
    let (fine, mended) = run("mended", &[with_cache]);
    assert!(fine && first == mended, "it is compiled again");
    assert_eq!(
        std::fs::read(&kept[0]).expect("an entry").len(),
        bytes.len(),
        "and kept again"
    );
    assert!(
        !run("none", &[("DGC_CACHE", ""), no_compiler]).0,
        "there may be none"
    );
}

#[cfg(unix)]
#[test]
fn a_killed_run_goes_on() {
    let folder = m2_folder();
    let at = folder.path();
    let mut child = emulator::spawn(at, &train("killed", "cuda", &["--epochs", "500"]), &[]);
    let log = at.join("killed/metrics.jsonl");
    let epochs = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    let begun = std::time::Instant::now();
    while epochs() < 2 && begun.elapsed().as_secs() < 300 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    let wanted = (epochs() + 2).to_string();
    emulator::fine(
        at,
        &[
            "train", "killed", "--resume", "--epochs", &wanted, "--device", "cuda",
        ],
        &[],
    );
    emulator::fine(at, &train("whole", "cuda", &["--epochs", &wanted]), &[]);
    let checkpoint = |run: &str| {
        std::fs::read(at.join(run).join("checkpoint.safetensors")).expect("a checkpoint")
    };
    assert!(
        checkpoint("killed") == checkpoint("whole"),
        "as if it had not been killed"
    );
}

/// What the report says of a VAE at full size, so that a change of its kernels shows.
#[test]
fn the_report_of_a_vae() {
    if !has_compiler() {
        return;
    }
    let model = common::root().join("models/vae.dgm");
    let model = model.to_str().expect("a plain name");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dgc"));
    command.args([
        "compile", model, "--target", "cuda", "--arch", "sm_90", "--report",
    ]);
    if let Some(path) = nvrtc() {
        command.arg("--nvrtc").arg(path);
    }
    let output = command.output().expect("the program starts");
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{report}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let told = report.matches(" B spilled").count();
    assert!(
        told > 15 && told == report.matches(" 0 B spilled").count(),
        "{report}"
    );
    insta::assert_snapshot!("report-vae", report);
}
