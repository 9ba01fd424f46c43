//! The program as a user runs it.

use crate::common;

use common::program::{dgc, fails, fine};
use dgc::run::data;
use std::{path::Path, process::Command};

/// A folder with a small model.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = std::fs::read_to_string(common::root().join("models/adgm.dgm")).expect("a model");
    let model = model.replace(
        "aux = 100, latent = 100, hidden = 500",
        "aux = 4, latent = 4, hidden = 12",
    );
    // A run that is resumed for more epochs would stretch the schedule and the warm-ups.
    let model = model
        .replace("    schedule cosine warmup 1\n", "")
        .replace("0.4 * epochs", "2")
        .replace("0.1 * epochs", "1");
    std::fs::write(folder.path().join("small.dgm"), model).expect("a file can be written");
    folder
}

#[test]
fn a_model_is_trained_used_and_resumed() {
    let folder = folder();
    let at = folder.path();
    let train = |output: &str, epochs: &str| {
        fine(
            at,
            &[
                "train",
                "small.dgm",
                "--labels",
                "100",
                "--set",
                epochs,
                "--validation",
                "500",
                "-o",
                output,
            ],
        )
    };
    let text = train("whole", "epochs=3");
    assert!(
        text.contains("epoch 3/3") && text.contains("validation error"),
        "{text}"
    );
    train("part", "epochs=1");
    fine(at, &["train", "part", "--resume", "--set", "epochs=3"]);
    let file =
        |run: &str, name: &str| std::fs::read(at.join(run).join(name)).expect("a run's file");
    let arrays = |run: &str| {
        dgc::run::arrays::read(&at.join(run).join("checkpoint.safetensors"))
            .expect("a checkpoint")
            .0
    };
    assert!(
        arrays("whole") == arrays("part"),
        "a resumed run ends where a whole one does"
    );
    let metrics = String::from_utf8(file("part", "metrics.jsonl")).expect("text");
    assert_eq!(metrics.lines().count(), 3);
    let last: serde_json::Value =
        serde_json::from_str(metrics.lines().last().expect("a line")).expect("JSON");
    assert!(
        last["unlabelled"]["log p(x)"].is_number() && last["validation"]["error"].is_number(),
        "{last}"
    );
    let text = fine(at, &["eval", "whole", "--rows", "300", "--samples", "5"]);
    assert!(
        text.contains("likelihood") && text.contains("error of y"),
        "{text}"
    );
    fine(
        at,
        &["predict", "whole", "--rows", "50", "-o", "labels.csv"],
    );
    let labels = std::fs::read_to_string(at.join("labels.csv")).expect("predictions");
    assert_eq!(labels.lines().count(), 51);
    // Rows that were held out are told by their place in the data set.
    let model = std::fs::read_to_string(at.join("small.dgm")).expect("a model");
    let (model, _) = dgc::driver::check("small.dgm", &model, &[]).expect("a model");
    let dataset = data::load(None, &model).expect("the excerpt");
    let classes = dataset.train.classes("y").expect("labels");
    for part in ["validation", "train"] {
        fine(
            at,
            &[
                "predict",
                "whole",
                "--part",
                part,
                "--rows",
                "200",
                "-o",
                "labels.csv",
            ],
        );
        let labels = std::fs::read_to_string(at.join("labels.csv")).expect("predictions");
        let lines: Vec<Vec<&str>> = labels
            .lines()
            .skip(1)
            .map(|line| line.split(',').collect())
            .collect();
        let row = |line: &Vec<&str>| line[0].parse::<usize>().expect("a row");
        let right = lines
            .iter()
            .filter(|line| line[1] == classes[row(line)].to_string())
            .count();
        assert!(
            right > 100,
            "{part}: {right} of 200 labels are right, where chance has 20"
        );
        fine(
            at,
            &[
                "encode",
                "whole",
                "--part",
                part,
                "--rows",
                "200",
                "-o",
                "latents.npz",
            ],
        );
        let file = std::fs::File::open(at.join("latents.npz")).expect("latents");
        let mut arrays = ndarray_npy::NpzReader::new(file).expect("an npz file");
        let numbers: ndarray::Array1<i64> = arrays.by_name("row number").expect("numbers of rows");
        assert!(
            numbers
                .iter()
                .map(|&number| number as usize)
                .eq(lines.iter().map(row)),
            "{part}"
        );
    }
    fine(at, &["sample", "whole", "-o", "samples.png"]);
    fine(at, &["sample", "whole", "--analogy", "-o", "analogy.png"]);
    assert!(
        file(".", "samples.png").starts_with(b"\x89PNG")
            && file(".", "analogy.png").starts_with(b"\x89PNG")
    );
    // Mistakes with runs.
    assert!(fails(at, &["train", "small.dgm", "-o", "whole"]).contains("--resume"));
    assert!(fails(at, &["train", "whole", "--resume", "--set", "hidden=3"]).contains("epochs"));
    std::fs::write(at.join("part").join("checkpoint.safetensors"), b"broken")
        .expect("a file can be written");
    assert!(fails(at, &["eval", "part"]).contains("checkpoint.safetensors"));
    assert!(fails(at, &["eval", "nowhere"]).contains("settings.json"));
    for option in [
        ["--seed", "7"],
        ["--labels", "50"],
        ["--validation", "9"],
        ["--samples", "2"],
    ] {
        let errors = fails(at, &[&["train", "whole", "--resume"][..], &option].concat());
        assert!(
            errors.contains(option[0]) && errors.contains("only `epochs`, `rate`"),
            "{errors}"
        );
    }
    assert!(fails(at, &["eval", "whole", "--rows", "0"]).contains("at least 1"));
}

/// Which rows an evaluation is of, and what it says of those whose labels are seen.
#[test]
fn evaluation_takes_the_rows_that_it_is_asked_for() {
    let folder = folder();
    let at = folder.path();
    let array = |name: &str, shape: &[usize], data: Vec<f64>| dgc::run::arrays::NamedArray {
        name: name.to_string(),
        shape: shape.to_vec(),
        data,
    };
    let images = common::numbers("images", 60 * 784, 1.0)
        .into_iter()
        .map(|x| f64::from(x > 0.5))
        .collect();
    let arrays = [
        array("x", &[60, 784], images),
        array("y", &[60], (0..60).map(|row| f64::from(row % 10)).collect()),
    ];
    dgc::run::arrays::write(
        &at.join("data.safetensors"),
        &arrays,
        Default::default(),
        false,
    )
    .expect("a file");
    let set = ["--set", "batch.labelled=10", "--set", "batch.unlabelled=10"];
    let train = [
        "train",
        "small.dgm",
        "--data",
        "data.safetensors",
        "--epochs",
        "1",
        "--validation",
        "15",
        "-o",
        "run",
    ];
    fine(at, &[&train[..], &set].concat());
    let rows = |more: &[&str]| {
        let text = fine(
            at,
            &[&["eval", "run", "--samples", "1", "--json"][..], more].concat(),
        );
        let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert!(
            json["labelled"]["bound"].is_number() && json["labelled"]["rows"] == json["rows"],
            "{json}"
        );
        (
            json["part"].as_str().expect("a part").to_string(),
            json["rows"].as_u64().expect("a count"),
        )
    };
    assert_eq!(rows(&[]), ("validation".to_string(), 15));
    assert_eq!(rows(&["--part", "train"]), ("train".to_string(), 45));
    assert!(
        fails(at, &["eval", "run", "--part", "test"]).contains("the data set has no such rows")
    );
    // From any folder.
    fine(&at.join("run"), &["eval", ".", "--samples", "1"]);
}

/// A run that goes astray stops, keeps its last good checkpoint, and goes on from it at another
/// rate.
#[test]
fn a_run_that_goes_astray_keeps_its_checkpoint() {
    let folder = folder();
    let at = folder.path();
    let model = std::fs::read_to_string(common::root().join("models/vae.dgm")).expect("a model");
    // A Gaussian of free variance on data that a latent can copy: a large rate sends its bound to
    // infinity.
    let model = model
        .replace("binary[pixels]", "real[pixels]")
        .replace("bernoulli(", "normal(");
    std::fs::write(at.join("astray.dgm"), model).expect("a file can be written");
    let data = common::numbers("data", 40 * 6, 1.0);
    let array = dgc::run::arrays::NamedArray {
        name: "x".to_string(),
        shape: vec![40, 6],
        data,
    };
    dgc::run::arrays::write(
        &at.join("x.safetensors"),
        &[array],
        Default::default(),
        false,
    )
    .expect("a file");
    let sets = ["pixels=6", "hidden=8", "latent=2", "batch=10"]
        .map(|set| ["--set", set])
        .concat();
    let train = |run: &str, rate: &str, epochs: &str| -> Vec<String> {
        let fixed = [
            "train",
            "astray.dgm",
            "--data",
            "x.safetensors",
            "-o",
            run,
            "--epochs",
            epochs,
            "--set",
        ];
        fixed
            .iter()
            .chain(&[rate])
            .chain(&sets)
            .map(|word| word.to_string())
            .collect()
    };
    fn words(all: &[String]) -> Vec<&str> {
        all.iter().map(String::as_str).collect()
    }
    let errors = fails(at, &words(&train("at-once", "rate=1000", "50")));
    assert!(
        errors.contains("diverged") && errors.contains("no epoch is complete"),
        "{errors}"
    );
    fine(at, &words(&train("later", "rate=1e-3", "2")));
    let before = checkpoint(at, "later");
    let errors = fails(
        at,
        &[
            "train",
            "later",
            "--resume",
            "--epochs",
            "60",
            "--set",
            "rate=1000",
        ],
    );
    assert!(
        errors.contains("diverged") && errors.contains("the checkpoint of epoch"),
        "{errors}"
    );
    assert!(
        checkpoint(at, "later")
            .iter()
            .all(|array| array.data.iter().all(|x| x.is_finite()))
    );
    assert_eq!(checkpoint(at, "later").len(), before.len());
    fine(
        at,
        &[
            "train",
            "later",
            "--resume",
            "--epochs",
            "4",
            "--set",
            "rate=1e-3",
        ],
    );
    fine(at, &["eval", "later", "--samples", "1"]);
}

#[test]
fn mistakes_are_explained() {
    let folder = folder();
    let at = folder.path();
    for (arguments, word) in [
        (vec!["check", "missing.dgm"], "missing.dgm"),
        (vec!["check", "smal.dgm"], "did you mean `small.dgm`?"),
        (vec!["train", "smal"], "did you mean `small.dgm`?"),
        (
            vec!["check", "small.dgm", "--set", "hiden=3"],
            "did you mean `hidden`",
        ),
        (
            vec!["check", "small.dgm", "--set", "hidden=many"],
            "expected a number",
        ),
        (
            vec!["check", "small.dgm", "--set", "rate=nan"],
            "`--set rate=nan`: expected a number",
        ),
        (
            vec!["check", "small.dgm", "--set", "rate=-1"],
            "expected a number from 0 to 1000",
        ),
        (
            vec!["check", "small.dgm", "--set", "beta1=5"],
            "`--set beta1=5`",
        ),
        (
            vec!["check", "small.dgm", "--set", "samples=2.5"],
            "expected a whole number from 1",
        ),
        (
            vec!["check", "small.dgm", "--set", "classify.weight=abc"],
            "`--set classify.weight=abc`",
        ),
        (
            vec!["check", "small.dgm", "--set", "clip.norm=0"],
            "`--set clip.norm=0`",
        ),
        (
            vec![
                "check",
                "small.dgm",
                "--set",
                "batch.labelled=0",
                "--set",
                "batch.unlabelled=0",
            ],
            "no rows",
        ),
        (vec!["train", "small.dgm", "--data", "nowhere"], "nowhere"),
        (vec!["train", "small.dgm", "--labels", "3"], "--labels 3"),
        (
            vec!["train", "small.dgm", "--labels", "100000"],
            "--labels 100000",
        ),
        (
            vec!["train", "small.dgm", "--validation", "100000"],
            "--validation",
        ),
        (
            vec!["train", "small.dgm", "--set", "pixels=100"],
            "no --data was given, and the default, the bundled MNIST excerpt, does not fit the model",
        ),
        (vec!["train", "."], "--resume"),
        (
            vec!["train", "small.dgm", "--samples", "0"],
            "--samples 0: expected a whole number from 1",
        ),
        (
            vec!["train", "small.dgm", "--device", "cpu", "--threads", "5000"],
            "--threads 5000: expected a whole number up to 1024",
        ),
        (
            vec!["train", "small.dgm", "--recompile"],
            "--recompile: expected a compiled folder, found small.dgm",
        ),
        (
            vec!["train", "small.dgm", "-o", ""],
            "a value is required for '--output <RUN>'",
        ),
        (
            vec!["compile", "small.dgm", "-o", "small.dgm"],
            "name a folder",
        ),
        (
            vec!["bound", "small.dgm", "--params", "a", "--batch", "b"],
            "cannot be read",
        ),
    ] {
        let errors = fails(at, &arguments);
        assert!(errors.contains(word), "{arguments:?}: {errors}");
    }
    assert!(
        !at.join("runs").exists(),
        "a run that did not begin leaves nothing behind"
    );
}

/// The exit code tells scripts what kind of thing went wrong.
#[test]
fn exit_codes_follow_the_kind_of_error() {
    let folder = folder();
    let at = folder.path();
    std::fs::write(at.join("bad.dgm"), "model bad {").expect("a file can be written");
    for (arguments, code) in [
        (vec!["check", "small.dgm"], 0),
        (vec!["check", "bad.dgm"], 1),
        (vec!["train", "small.dgm", "--set", "pixels=100"], 1),
        (vec!["check"], 2),
        (vec!["train", "small.dgm", "--labels", "3"], 2),
        (vec!["check", "missing.dgm"], 3),
        (vec!["predict", "run", "-o", "nowhere/labels.csv"], 3),
    ] {
        let output = dgc(at, &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
    }
}

/// The help of the program lists the exit codes; that of each command ends with an example.
#[test]
fn help_shows_exit_codes_and_examples() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let help = |arguments: &[&str]| fine(folder.path(), arguments);
    let text = help(&["--help"]);
    let (_, codes) = text.split_once("Exit codes:").expect("exit codes");
    for code in ["0", "1", "2", "3", "4", "5", "130"] {
        let line = |line: &str| line.trim_start().starts_with(&format!("{code}  "));
        assert!(codes.lines().any(line), "{code}: {text}");
    }
    let (_, commands) = text.split_once("Commands:\n").expect("a list of commands");
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.split_whitespace().next());
    let names: Vec<&str> = names.filter(|name| *name != "help").collect();
    assert!(names.len() >= 14, "{names:?}");
    for name in names {
        let text = help(&[name, "--help"]);
        let (_, example) = text.split_once("\nExample").expect("an example");
        assert!(example.contains(&format!("  dgc {name}")), "{text}");
        let width = text.lines().map(|line| line.chars().count()).max();
        assert!(width <= Some(100), "{text}");
    }
}

#[test]
fn data_sets_are_checked() {
    let folder = folder();
    let at = folder.path();
    let data = at.join("idx");
    std::fs::create_dir(&data).expect("a folder can be made");
    let train = |what: &[u8]| {
        std::fs::write(data.join("train-images-idx3-ubyte"), what).expect("a file can be written");
        fails(at, &["train", "small.dgm", "--data", "idx"])
    };
    let header = |rows: u32, side: u32| -> Vec<u8> {
        [
            vec![0, 0, 8, 3],
            rows.to_be_bytes().to_vec(),
            side.to_be_bytes().to_vec(),
            side.to_be_bytes().to_vec(),
        ]
        .concat()
    };
    assert!(train(b"").contains("idx"));
    assert!(train(&[0, 0, 8, 3, 0, 0]).contains("header"));
    assert!(train(&header(10, 28)).contains("0 bytes"));
    assert!(train(&header(u32::MAX, u32::MAX)).contains("bytes for the shape"));
    assert!(
        train(&[header(1, 3), vec![0; 9]].concat())
            .contains("rows with shape 3 · 3 do not fit `x`, which is 784")
    );
    assert!(train(&[0x1F, 0x8B, 1, 2, 3]).contains("decompressed"));
    std::fs::write(at.join("broken.npz"), b"PK broken").expect("a file can be written");
    assert!(fails(at, &["train", "small.dgm", "--data", "broken.npz"]).contains("npz"));
    let array = |name: &str, shape: &[usize], value: f64| dgc::run::arrays::NamedArray {
        name: name.to_string(),
        shape: shape.to_vec(),
        data: vec![value; shape.iter().product()],
    };
    for (arrays, word) in [
        (vec![array("y", &[3], 0.0)], "`x`"),
        (
            vec![array("x", &[3, 700], 0.0), array("y", &[3], 0.0)],
            "784",
        ),
        (
            vec![array("x", &[3, 784], 2.0), array("y", &[3], 0.0)],
            "from 0 to 1",
        ),
        (
            vec![array("x", &[3, 784], f64::NAN), array("y", &[3], 0.0)],
            "NaN",
        ),
        (
            vec![array("x", &[3, 784], 0.0), array("y", &[3], 10.0)],
            "found 10, and 2 more such rows",
        ),
        (
            vec![array("x", &[3, 784], 0.0), array("y", &[2], 0.0)],
            "`x` has 3 rows, but `y` has 2",
        ),
    ] {
        dgc::run::arrays::write(
            &at.join("data.safetensors"),
            &arrays,
            Default::default(),
            false,
        )
        .expect("a file");
        let errors = fails(at, &["train", "small.dgm", "--data", "data.safetensors"]);
        assert!(errors.contains(word), "{errors}");
    }
}

/// The arguments that train the small model on its small data for some epochs.
#[cfg(unix)]
fn train_small<'a>(epochs: &'a str, run: &'a str) -> Vec<&'a str> {
    let fixed = [
        "train",
        "small.dgm",
        "--data",
        "data.safetensors",
        "--validation",
        "8",
    ];
    [&fixed[..], &["--epochs", epochs, "-o", run]].concat()
}

/// Starts training for more epochs than will be waited for, and waits for the first to end.
#[cfg(unix)]
fn begin(folder: &Path, run: &str) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dgc"));
    let child = command
        .args(train_small("1000000", run))
        .current_dir(folder)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let log = folder.join(run).join("metrics.jsonl");
    for _ in 0..6000 {
        if log.exists() {
            return child.expect("the program starts");
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no epoch ended in a minute");
}

#[cfg(unix)]
fn send(signal: &str, child: &std::process::Child) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(status.expect("there is a `kill`").success());
}

/// What a run's parameters, optimiser and position came to.
fn checkpoint(folder: &Path, run: &str) -> Vec<dgc::run::arrays::NamedArray> {
    dgc::run::arrays::read(&folder.join(run).join("checkpoint.safetensors"))
        .expect("a checkpoint")
        .0
}

#[cfg(unix)]
#[test]
fn an_interrupted_or_killed_run_goes_on_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_adgm(at);
    for (run, signal) in [("interrupted", "-INT"), ("killed", "-KILL")] {
        let child = begin(at, run);
        send(signal, &child);
        let output = child.wait_with_output().expect("the program ends");
        let text = String::from_utf8_lossy(&output.stdout);
        if signal == "-INT" {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(130), "{errors}");
            let resume = format!("resume with: dgc train {run} --resume");
            assert!(
                errors.contains("note: stopped after step") && errors.contains(&resume),
                "{errors}"
            );
        }
        let epochs = text.matches("epoch ").count() + 2;
        let epochs = epochs.to_string();
        fine(at, &["train", run, "--resume", "--epochs", &epochs]);
        let whole = format!("whole-{run}");
        fine(at, &train_small(&epochs, &whole));
        assert_eq!(checkpoint(at, run), checkpoint(at, &whole), "{run}");
        let log =
            |run: &str| std::fs::read_to_string(at.join(run).join("metrics.jsonl")).expect("a log");
        assert_eq!(
            log(run).lines().count(),
            log(&whole).lines().count(),
            "{run}"
        );
    }
}

/// A limit on the size of files stands in for a full disk: both fail in the middle of a write.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_nothing() {
    let folder = folder();
    let at = folder.path();
    fine(
        at,
        &[
            "train",
            "small.dgm",
            "--labels",
            "100",
            "--epochs",
            "1",
            "-o",
            "run",
        ],
    );
    let before = checkpoint(at, "run");
    let limited = |command: &str| {
        // Blocks of 512 bytes; a signal that is ignored becomes an error.
        let script = format!(
            "trap '' XFSZ; ulimit -f 20; exec {} {command}",
            env!("CARGO_BIN_EXE_dgc")
        );
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(at)
            .output()
            .expect("a shell");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && !errors.contains("panicked"),
            "{errors}"
        );
        errors
    };
    let errors = limited("train run --resume --epochs 2");
    assert!(
        errors.contains("checkpoint") && errors.contains("too large"),
        "{errors}"
    );
    assert_eq!(checkpoint(at, "run"), before, "the last checkpoint stands");
    std::fs::write(at.join("labels.csv"), "mine").expect("a file can be written");
    let errors = limited("predict run --samples 1 -o labels.csv");
    assert!(errors.contains("labels.csv"), "{errors}");
    assert_eq!(
        std::fs::read_to_string(at.join("labels.csv")).expect("a file"),
        "mine"
    );
    let left: Vec<_> = std::fs::read_dir(at.join("run"))
        .expect("a folder")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().contains("tmp")),
        "nothing is left behind: {left:?}"
    );
    fine(at, &["train", "run", "--resume", "--epochs", "2"]);
}

/// Numbers that are none are no result.
#[test]
fn a_row_beyond_all_range_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let text = "model line {\n data x: real[2]\n latent z: real[2]\n generative {\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n}\n\
                inference {\n x -> z ~ normal(linear)\n}\n train {\n batch 5\n epochs 1\n}\n}\n";
    std::fs::write(at.join("line.dgm"), text).expect("a file can be written");
    let write = |name: &str, value: f64| {
        let mut data: Vec<f64> = (0..20).map(|i| f64::from(i % 7) / 7.0).collect();
        data[9] = value;
        let array = dgc::run::arrays::NamedArray {
            name: "x".to_string(),
            shape: vec![10, 2],
            data,
        };
        dgc::run::arrays::write(&at.join(name), &[array], Default::default(), false)
            .expect("a file");
    };
    write("near.safetensors", 0.5);
    write("far.safetensors", 1e30);
    fine(
        at,
        &[
            "train",
            "line.dgm",
            "--data",
            "near.safetensors",
            "-o",
            "run",
        ],
    );
    fine(at, &["eval", "run"]);
    assert!(
        fails(at, &["eval", "run", "--data", "far.safetensors"])
            .contains("row 4: expected a finite")
    );
}

#[test]
fn a_class_is_no_picture() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let text = "model classes {\n data c: class[4]\n latent z: real[2]\n generative {\n z ~ normal(0, 1)\n z -> c ~ categorical(linear)\n}\n\
                inference {\n c -> z ~ normal(linear)\n}\n train {\n batch 5\n epochs 1\n}\n}\n";
    std::fs::write(at.join("classes.dgm"), text).expect("a file can be written");
    let data = (0..10).map(|i| f64::from(i % 4)).collect();
    let array = dgc::run::arrays::NamedArray {
        name: "c".to_string(),
        shape: vec![10],
        data,
    };
    dgc::run::arrays::write(
        &at.join("c.safetensors"),
        &[array],
        Default::default(),
        false,
    )
    .expect("a file");
    fine(
        at,
        &[
            "train",
            "classes.dgm",
            "--data",
            "c.safetensors",
            "-o",
            "run",
        ],
    );
    assert!(
        fails(at, &["sample", "run", "-o", "c.png"])
            .contains("cannot draw `c`: classes are not drawn")
    );
}

#[test]
fn stages_and_lists_are_printed() {
    let folder = folder();
    let at = folder.path();
    for stage in [
        "ast",
        "graph",
        "bound",
        "tensor",
        "gradient",
        "simplified",
        "plan",
    ] {
        assert!(!fine(at, &["compile", "small.dgm", "--emit", stage]).is_empty());
    }
    assert!(fine(at, &["explain", "small.dgm"]).contains("E[a ~ q(a | x)]"));
    assert!(fine(at, &["list"]).contains("negative_binomial"));
    fine(at, &["fmt", "--check", "small.dgm"]);
    let output = dgc(at, &["check", "small.dgm", "--json", "--set", "hidden=0"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json[0]["severity"], "error");
    // Several files: each is checked, whatever the one before holds.
    std::fs::write(
        at.join("broken.dgm"),
        "model broken {\n  data x: binray[3]\n}\n",
    )
    .expect("a file can be written");
    let files = ["check", "broken.dgm", "small.dgm"];
    let output = dgc(at, &files);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "small.dgm: no mistakes\n"
    );
    let errors = fails(at, &files);
    assert!(
        errors.contains("broken.dgm:2") && errors.contains("broken.dgm: 1 mistake"),
        "{errors}"
    );
    let output = dgc(at, &[&files[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json[0]["file"], "broken.dgm");
}

#[test]
fn models_are_laid_out_as_usual() {
    for file in common::models() {
        let text = std::fs::read_to_string(&file).expect("a model");
        assert_eq!(dgc::syntax::format(&text), text, "{}", file.display());
    }
}

#[test]
fn a_layout_keeps_the_model() {
    let odd = "model m{size n=3,k = 2 // sizes\n\n\n data x:binary [n]\nlatent z :real[ k ]\nnet body=2*[dense( n )>relu]\n  generative\n\
               {\n\n z~normal(0,1)\n z->x~bernoulli(\n[dense( 4 )\n> tanh] ) } // end of p\ninference { x  ->  z ~ normal( body )\n }\n\n\
               train { optimizer adam( rate=1e-3 ,\nbeta1 = 0.9 )\n schedule step( every=2,factor = 0.5 )\nepochs 2*(3+ 1)-1 }\n\n}";
    let usual = "model m {
  size n = 3, k = 2  // sizes

  data   x: binary[n]
  latent z: real[k]
  net body = 2 * [dense(n) > relu]
  generative {
         z ~ normal(0, 1)
    z -> x ~ bernoulli(
      [dense(4)
      > tanh])
  }  // end of p
  inference {
    x -> z ~ normal(body)
  }

  train {
    optimizer adam(rate = 1e-3,
      beta1 = 0.9)
    schedule step(every = 2, factor = 0.5)
    epochs 2 * (3 + 1) - 1
  }
}
";
    let formatted = dgc::syntax::format(odd);
    let tree =
        |text: &str| dgc::syntax::print(&dgc::syntax::parse(text).expect("a text that parses"));
    assert_eq!(tree(&formatted), tree(odd));
    assert_eq!(formatted, usual);
    assert_eq!(
        dgc::syntax::format(&formatted),
        formatted,
        "laid out already"
    );

    let folder = folder();
    let file = folder.path().join("old.dgm");
    // Line ends of three systems, and a byte-order mark.
    for ends in ["\n", "\r\n", "\r"] {
        std::fs::write(&file, format!("\u{feff}{}", odd.replace('\n', ends)))
            .expect("a file can be written");
        fine(folder.path(), &["check", "old.dgm"]);
        fails(folder.path(), &["fmt", "--check", "old.dgm"]);
        fine(folder.path(), &["fmt", "old.dgm"]);
        assert_eq!(std::fs::read_to_string(&file).expect("the file"), formatted);
    }
    std::fs::write(&file, b"model \xff").expect("a file can be written");
    assert!(fails(folder.path(), &["check", "old.dgm"]).contains("byte at offset 6"));
}

/// Writes `one.dgm`, a VAE of counts that the excerpt does not fit, and `one.safetensors`, its data.
fn write_counts(folder: &Path) {
    let text = "model one {
  data   visits: count[3]
  data   weight: positive
  latent z: real[2]

  net body = dense(4) > relu

  generative {
         z ~ normal(0, 1)
    z -> visits ~ poisson(body)
    z -> weight ~ log_normal(body)
  }

  inference {
    visits -> z ~ normal(body)
  }

  train {
    batch 5
    epochs 1
  }
}
";
    std::fs::write(folder.join("one.dgm"), text).expect("a file can be written");
    write_arrays(folder, "one.safetensors", 20, 20);
}

/// Writes data for `one.dgm` with these numbers of rows.
fn write_arrays(folder: &Path, file: &str, visits: usize, weights: usize) {
    let array = |name: &str, shape: &[usize]| dgc::run::arrays::NamedArray {
        name: name.to_string(),
        shape: shape.to_vec(),
        data: vec![1.0; shape.iter().product()],
    };
    let arrays = [array("visits", &[visits, 3]), array("weight", &[weights])];
    dgc::run::arrays::write(&folder.join(file), &arrays, Default::default(), false)
        .expect("a file");
}

/// A format is never written under the name of another: such a file may be the result of another
/// command.
#[test]
fn the_ending_of_an_output_file_is_checked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write_counts(at);
    fine(
        at,
        &["train", "one.dgm", "--data", "one.safetensors", "-o", "run"],
    );
    for (arguments, ending) in [
        (
            vec!["predict", "run", "-o", "kept.png"],
            ".csv, .npz or .parquet",
        ),
        (
            vec!["encode", "run", "-o", "kept.txt"],
            ".npz, .csv or .parquet",
        ),
        (vec!["score", "run", "-o", "kept"], ".csv, .npz or .parquet"),
        (
            vec!["sample", "run", "-o", "kept.txt"],
            ".png, .npz, .csv or .parquet",
        ),
        (
            vec!["graph", "one.dgm", "-o", "kept.csv"],
            ".svg, .dot or .txt",
        ),
        (
            vec![
                "bound", "one.dgm", "--params", "a", "--batch", "b", "--grads", "kept.npz",
            ],
            ".safetensors",
        ),
    ] {
        let file = at.join(arguments.last().expect("a file"));
        std::fs::write(&file, "kept").expect("a file can be written");
        let output = dgc(at, &arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(
            errors.contains(&format!("expected a name that ends in {ending}"))
                && errors.contains("help: for example: kept"),
            "{errors}"
        );
        assert_eq!(std::fs::read(&file).expect("the file"), b"kept");
    }
    // A picture needs one image.
    let errors = fails(at, &["sample", "run", "-o", "samples.png"]);
    assert!(
        errors.contains("write") && errors.contains("NAME.npz or NAME.csv"),
        "{errors}"
    );
}

/// The program says what it assumed, and advises only what the command can do.
#[test]
fn data_that_do_not_fit_name_a_way_out() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write_counts(at);
    let text = "model wide {\n data x: real[64]\n latent z: real\n generative {\n z ~ normal(0, 1)\n \
                z -> x ~ normal(linear)\n }\n inference {\n x -> z ~ normal(linear)\n }\n}\n";
    std::fs::write(at.join("wide.dgm"), text).expect("a file can be written");
    insta::assert_snapshot!(fails(at, &["train", "wide.dgm"]), @r"
    error: no --data was given, and the default, the bundled MNIST excerpt, does not fit the model: train-images-idx3-ubyte: rows with shape 28 · 28 do not fit `x`, which is 64
      help: name the data set with --data, or another run that infers `x` with --from x=RUN
    ");
    fine(
        at,
        &["train", "one.dgm", "--data", "one.safetensors", "-o", "run"],
    );
    let arrays = [("visits", vec![20, 4]), ("weight", vec![20])].map(|(name, shape)| {
        dgc::run::arrays::NamedArray {
            name: name.to_string(),
            data: vec![1.0; shape.iter().product()],
            shape,
        }
    });
    dgc::run::arrays::write(
        &at.join("wide.safetensors"),
        &arrays,
        Default::default(),
        false,
    )
    .expect("a file");
    let encode = [
        "encode",
        "run",
        "--data",
        "wide.safetensors",
        "-o",
        "latents.npz",
    ];
    insta::assert_snapshot!(fails(at, &encode), @r"
    error: wide.safetensors: `visits`: rows with shape 4 do not fit `visits`, which is 3
      help: change the array; or change the size of `visits` in the model, and train that model
    ");
}

#[test]
fn mistakes_of_options_name_the_option() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write_counts(at);
    for (set, words) in [
        (
            "rate=fast",
            ["`--set rate=fast`: expected a number", "--set rate="],
        ),
        ("rate=-1", ["`--set rate=-1`: expected", "--set rate="]),
        (
            "epochs=1.5",
            [
                "`--set epochs=1.5`: expected a whole number",
                "--set epochs=1\n",
            ],
        ),
        (
            "epoch=1",
            ["the model has no such", "did you mean `epochs`?"],
        ),
    ] {
        for command in ["check", "explain"] {
            let errors = fails(at, &[command, "one.dgm", "--set", set]);
            for word in words {
                assert!(errors.contains(word), "{command} {set}: {errors}");
            }
            assert!(
                errors.ends_with("error: --set: 1 mistake for one.dgm\n"),
                "{command} {set}: {errors}"
            );
        }
    }
    let text = std::fs::read_to_string(at.join("one.dgm")).expect("the model");
    let sized = text
        .replace("model one {", "model one {\n  size hidden = 4")
        .replace("dense(4)", "dense(hidden)");
    std::fs::write(at.join("sized.dgm"), &sized).expect("a file can be written");
    for set in ["hidden=0", "hidden=2.5", "hidden=many"] {
        let errors = fails(at, &["check", "sized.dgm", "--set", set]);
        assert!(
            errors.contains(&format!("`--set {set}`: expected a"))
                && errors.contains("for example: --set hidden=4")
                && errors.ends_with("error: --set: 1 mistake for sized.dgm\n"),
            "{errors}"
        );
    }
    // A mistake in the file is still one of the file.
    std::fs::write(at.join("bad.dgm"), sized.replace("count[3]", "count[0]"))
        .expect("a file can be written");
    let errors = fails(at, &["check", "bad.dgm", "--set", "hidden=0"]);
    assert!(errors.ends_with("error: bad.dgm: 2 mistakes\n"), "{errors}");
    // The option that was forgotten.
    let errors = fails(at, &["train", "one.dgm"]);
    assert!(
        errors.contains("no --data was given, and the default, the bundled MNIST excerpt"),
        "{errors}"
    );
    // Numbers that begin with a minus are values, not options.
    for arguments in [
        &["train", "one.dgm", "--threads", "-3"][..],
        &["train", "one.dgm", "--epochs", "-3"],
        &["train", "one.dgm", "--labels", "-3"],
        &["train", "one.dgm", "--validation", "-3"],
        &["train", "one.dgm", "--seed", "-3"],
        &["train", "one.dgm", "--samples", "-3"],
        &["eval", "run", "--rows", "-3"],
        &["eval", "run", "--samples", "-3"],
        &["eval", "run", "--seed", "-3"],
        &["sample", "run", "-o", "x.png", "--lines", "-3"],
        &["bench", "one.dgm", "--steps", "-3"],
    ] {
        let errors = fails(at, arguments);
        assert!(
            errors.contains("expected a whole number") && errors.contains("found `-3`"),
            "{arguments:?}: {errors}"
        );
    }
    let help = fine(at, &["train", "--help"]);
    assert!(help.contains("also `gpu`"), "{help}");
    let errors = fails(at, &["train", "one.dgm", "--device", "gpus"]);
    assert!(errors.contains("cuda"), "{errors}");
}

#[test]
fn arrays_of_different_lengths_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write_counts(at);
    write_arrays(at, "short.safetensors", 19, 20);
    let errors = fails(at, &["train", "one.dgm", "--data", "short.safetensors"]);
    assert!(
        errors.contains("`visits` has 19 rows, but `weight` has 20")
            && errors.contains("help: give all arrays the same number of rows"),
        "{errors}"
    );
}

#[test]
fn a_run_without_epochs_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write_counts(at);
    let train = ["train", "one.dgm", "--data", "one.safetensors", "-o", "run"];
    let output = dgc(at, &[&train[..], &["--epochs", "0"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && errors.contains("note: epochs is 0, so nothing was trained"),
        "{errors}"
    );
    fine(at, &["train", "run", "--resume", "--epochs", "1"]);
}

#[test]
fn fmt_says_which_files_it_rewrites() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write_counts(at);
    let says = || String::from_utf8_lossy(&dgc(at, &["fmt", "one.dgm"]).stderr).into_owned();
    assert_eq!(says(), "");
    let text = std::fs::read_to_string(at.join("one.dgm")).expect("the model");
    std::fs::write(at.join("one.dgm"), text.replace("    batch", "  batch"))
        .expect("a file can be written");
    assert_eq!(says(), "note: formatted one.dgm\n");
    assert_eq!(says(), "");
    assert!(fine(at, &["fmt", "--help"]).contains("in place"));
}

/// `dgc list` writes entries as a model does, and agrees with the table of the language.
#[test]
fn the_list_is_written_as_in_a_model() {
    let list = fine(Path::new("."), &["list"]);
    let line = |start: &str| {
        let mut lines = list.lines();
        let found = lines.find(|line| line.trim_start().starts_with(start));
        let found = found.unwrap_or_else(|| panic!("no line begins with {start}: {list}"));
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        line("class     uniform").as_str(),
        "class uniform summed over"
    );
    assert_eq!(
        line("class     ").as_str(),
        "class categorical(probability, …) categorical(network): logits summed over"
    );
    assert_eq!(line("top "), "top VARIABLE count");
    assert!(line("dense").starts_with("dense(size, [height], [width])"));
}
