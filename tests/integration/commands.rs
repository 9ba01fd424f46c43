//! Every command runs on every shipped model, and every option of every command refuses or takes
//! extreme values.
//!
//! Both lists come from the parser of the program's arguments, so a new command or option is tested,
//! or fails the test with what is missing here.

use crate::common::{self, program::dgc};
use clap::{Arg, Command};
use dgc::{
    model::Model,
    run::arrays::{self, NamedArray},
};
use std::{
    path::Path,
    process::{self, Output},
};

/// Sizes that leave a model small, and its data a picture.
const SIZES: [(&str, &str); 2] = [("pixels", "9"), ("epochs", "1")];

/// The changes that make a model small, as arguments.
fn small(file: &Path) -> (Model, Vec<String>) {
    let full = common::load(file, &[]);
    let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
    let batches = [
        ("batch", "10"),
        ("batch.labelled", "6"),
        ("batch.unlabelled", "10"),
    ];
    let others = common::SMALL.iter().filter(|(name, _)| *name != "pixels");
    let sets = SIZES.iter().chain(&batches).chain(others);
    let sets: Vec<(&str, &str)> = sets.copied().filter(|(name, _)| has(name)).collect();
    let arguments = sets
        .iter()
        .map(|(name, value)| format!("--set={name}={value}"));
    (common::load(file, &sets), arguments.collect())
}

/// Writes 40 training rows, 12 of them with labels, and 20 test rows.
fn write_data(model: &Model, path: &Path) {
    let mut all: Vec<NamedArray> = common::batch(model, 40, 12).into_values().collect();
    for mut array in common::batch(model, 20, 20).into_values() {
        array.name = format!("test.{}", array.name);
        all.push(array);
    }
    arrays::write(path, &all, Default::default(), false).expect("a file");
}

/// What a command says of a model that has nothing for it to do.
const NOTHING_TO_DO: [&str; 11] = [
    "has no label to predict",
    "cannot draw",
    "expected an image",
    "a picture needs a model with exactly one data variable",
    "an analogy fixes a latent variable",
    "has no likelihood of the data",
    "cannot reconstruct rows",
    "generates no data to reconstruct",
    "no data variable of the model can have missing values",
    "the run held out no rows for validation",
    "makes the log loss",
];

fn check(folder: &Path, arguments: &[&str]) {
    let output = dgc(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    let done = output.status.success() || NOTHING_TO_DO.iter().any(|text| errors.contains(text));
    assert!(done, "dgc {arguments:?}: {errors}");
    assert!(!errors.contains("panicked"), "dgc {arguments:?}: {errors}");
}

/// The values that an option of a command can have.
fn choices(command: &Command, option: &str) -> Vec<String> {
    let mut options = command.get_arguments();
    let option = options.find(|argument| argument.get_id() == option);
    let values = option.expect("the option exists").get_possible_values();
    values
        .iter()
        .map(|value| value.get_name().to_string())
        .collect()
}

#[test]
fn every_command_runs_on_every_model() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let parser = dgc::cli::arguments();
    // `train` and `compile` make what other commands use.
    let is_later = |command: &Command| !["train", "compile"].contains(&command.get_name());
    let mut commands: Vec<&Command> = parser.get_subcommands().collect();
    commands.sort_by_key(|command| is_later(command));
    for file in common::models() {
        let (model, sets) = small(&file);
        let name = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        std::fs::copy(&file, at.join(format!("{name}.dgm"))).expect("a copy");
        let [data, run, out] =
            ["safetensors", "run", "compiled"].map(|end| format!("{name}.{end}"));
        write_data(&model, &at.join(&data));
        let model = format!("{name}.dgm");
        let sets: Vec<&str> = sets.iter().map(String::as_str).collect();
        let on_model = |words: &[&str]| check(at, &[words, &[&model], &sets].concat());
        let on_run = |words: &[&str]| check(at, &[&[words[0], run.as_str()], &words[1..]].concat());
        let training = ["--data", &data, "--threads", "1"];
        for command in &commands {
            match command.get_name() {
                "check" => on_model(&["check"]),
                "explain" => on_model(&["explain"]),
                "fmt" => check(at, &["fmt", "--check", &model]),
                "graph" => {
                    on_model(&["graph"]);
                    for ending in ["svg", "dot", "txt"] {
                        on_model(&["graph", "-o", &format!("graph.{ending}")]);
                    }
                }
                "compile" => {
                    for stage in choices(command, "emit") {
                        on_model(&["compile", "--emit", &stage]);
                    }
                    on_model(&["compile", "--report", "-o", &out]);
                }
                "train" => {
                    on_model(&[&["train", "-o", &run], &training[..]].concat());
                    let compiled = format!("{name}.again");
                    check(
                        at,
                        &[&["train", &out, "-o", &compiled], &training[..]].concat(),
                    );
                }
                "bench" => {
                    on_model(&["bench", "--steps", "1", "--threads", "1"]);
                    check(at, &["bench", &out, "--steps", "1", "--kernels"]);
                }
                "eval" => on_run(&["eval"]),
                "predict" => on_run(&["predict", "-o", "labels.csv"]),
                "encode" => on_run(&["encode", "-o", "latents.npz"]),
                "score" => on_run(&["score", "-o", "scores.csv"]),
                "reconstruct" => on_run(&["reconstruct", "-o", "means.npz"]),
                "impute" => on_run(&["impute", "-o", "filled.csv"]),
                "calibrate" => on_run(&["calibrate"]),
                "sample" => {
                    on_run(&["sample", "--lines", "3", "-o", "samples.png"]);
                    on_run(&["sample", "--lines", "3", "-o", "samples.npz"]);
                    on_run(&["sample", "--lines", "3", "-o", "samples.png", "--analogy"]);
                }
                "bound" => {
                    let parameters = format!("{run}/checkpoint.safetensors");
                    let given = ["bound", "--params", &parameters, "--batch", &data];
                    on_model(&[&given[..], &["--reference"]].concat());
                    on_model(&[&given[..], &["--grads", "grads.safetensors"]].concat());
                }
                // Commands without a model.
                "list" | "doctor" | "new" | "runs" | "completions" | "man" => {}
                other => panic!("`{other}` is not run on the models: add how it is called"),
            }
        }
    }
    check(at, &["list"]);
    check(at, &["list", "--json"]);
    check(at, &["doctor"]);
}

/// Runs the program with little time and memory.
fn limited(folder: &Path, arguments: &[String]) -> Output {
    process::Command::new("sh")
        .args(["-c", "ulimit -t 20; ulimit -v 8388608; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_dgc"))
        .args(arguments)
        .current_dir(folder)
        .stdin(process::Stdio::null())
        .output()
        .expect("a shell runs the program")
}

/// How each command is called, with small outputs, without the option that is tested.
fn call(command: &str, option: &str, number: usize) -> Vec<String> {
    let output = |ending: &str| format!("out{number}{ending}");
    let (words, output) = match command {
        "check" | "explain" | "graph" => (vec![command, "small.dgm"], None),
        "fmt" => (vec!["fmt", "--check", "small.dgm"], None),
        "compile" => (vec!["compile", "small.dgm"], None),
        "train" => {
            let words = vec!["train", "small.dgm", "--set=epochs=1"];
            (words, Some(output("")))
        }
        "bench" => (vec!["bench", "small.dgm"], None),
        "eval" => (vec!["eval", "run"], None),
        "predict" => (vec!["predict", "run"], Some(output(".csv"))),
        "encode" => (vec!["encode", "run"], Some(output(".npz"))),
        "score" => (vec!["score", "run"], Some(output(".csv"))),
        "reconstruct" => (vec!["reconstruct", "run"], Some(output(".npz"))),
        "calibrate" => (vec!["calibrate", "run"], None),
        "sample" => (vec!["sample", "run"], Some(output(".png"))),
        "bound" => (vec!["bound", "small.dgm"], None),
        "list" | "doctor" => (vec![command], None),
        "runs" => (vec!["runs", "."], None),
        "completions" => (vec!["completions", "bash"], None),
        "man" => (vec!["man"], Some(output(""))),
        "new" => (vec!["new", "table.csv"], Some(output(".dgm"))),
        other => panic!("`{other}` is not called with extreme options: add how it is called"),
    };
    let others: &[(&str, &str)] = match command {
        "train" => &[("data", "data.safetensors"), ("threads", "1")],
        "bench" => &[("steps", "1"), ("threads", "1")],
        "bound" => &[
            ("params", "run/checkpoint.safetensors"),
            ("batch", "data.safetensors"),
        ],
        "calibrate" => &[("data", "other.safetensors"), ("threads", "1")],
        "eval" | "predict" | "encode" | "score" | "reconstruct" | "sample" => {
            &[("rows", "5"), ("threads", "1")]
        }
        _ => &[],
    };
    let others = others.iter().filter(|(name, _)| *name != option);
    let mut words: Vec<String> = words.into_iter().map(String::from).collect();
    words.extend(others.map(|(name, value)| format!("--{name}={value}")));
    if let Some(output) = output.filter(|_| option != "output") {
        words.extend(["-o".to_string(), output]);
    }
    words
}

/// Numbers and texts at limits.
fn extremes() -> Vec<String> {
    let numbers = [
        "0",
        "-1",
        "2147483648",
        "4294967296",
        "2305843009213693952",
        "9223372036854775808",
        "18446744073709551615",
        "nan",
        "inf",
        "1e308",
        "",
        "\u{1b}[31m=\u{1b}[31m",
    ];
    let long = "9".repeat(100_000);
    let sets = [
        "hidden=1e300",
        "hidden=nan",
        "hidden=-1",
        "batch.labelled=9223372036854775808",
    ];
    let all = numbers.into_iter().chain(sets).map(String::from);
    all.chain([long]).collect()
}

#[test]
fn extreme_options_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    std::fs::write(at.join("table.csv"), "a,b\n1,0\n2,1\n").expect("a table");
    // Rows of another data set than the run's.
    let copy = at.join("other.safetensors");
    std::fs::copy(at.join("data.safetensors"), copy).expect("a copy");
    let training = [
        "train",
        "small.dgm",
        "--data",
        "data.safetensors",
        "--epochs",
        "1",
    ];
    common::program::fine(
        at,
        &[&training[..], &["-o", "run", "--threads", "1"]].concat(),
    );
    let takes_value = |argument: &&Arg| argument.get_action().takes_values();
    let (mut tried, mut refused) = (0, 0);
    let arguments = dgc::cli::arguments();
    // The options of `impute`, which needs a model with missing values, are those of `reconstruct`.
    let others = |command: &&Command| command.get_name() != "impute";
    for command in arguments.get_subcommands().filter(others) {
        for argument in command.get_arguments().filter(takes_value) {
            // Files and folders by position are tested by their contents.
            let Some(option) = argument.get_long() else {
                continue;
            };
            for value in extremes() {
                let mut words = call(command.get_name(), option, tried);
                words.push(format!("--{option}={value}"));
                let output = limited(at, &words);
                let errors = String::from_utf8_lossy(&output.stderr);
                words.iter_mut().for_each(|word| word.truncate(80));
                let code = output.status.code();
                assert!(
                    code.is_some_and(|code| code <= 5) && !errors.contains("panicked"),
                    "dgc {words:?}: {code:?} {errors:.2000}"
                );
                if code != Some(0) {
                    // `--from VARIABLE=RUN` is named by its run.
                    let quoted = value
                        .rsplit('=')
                        .next()
                        .unwrap_or_default()
                        .escape_default();
                    let is_named = errors.contains(option)
                        || !value.is_empty() && errors.contains(&quoted.to_string());
                    assert!(!errors.contains('\u{1b}'), "dgc {words:?}: {errors:?}");
                    assert!(is_named, "dgc {words:?}: {errors:.2000}");
                    refused += 1;
                }
                tried += 1;
            }
        }
    }
    eprintln!("{tried} calls with an extreme option: {refused} refused");
    assert!(tried > 500, "the parser lists the options");
}

#[test]
fn shells_and_manuals_know_every_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let parser = dgc::cli::arguments();
    let names: Vec<&str> = parser.get_subcommands().map(Command::get_name).collect();
    for shell in ["bash", "zsh", "fish"] {
        let script = common::program::fine(at, &["completions", shell]);
        for word in names.iter().chain(&["patience", "freeze"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
        std::fs::write(at.join(shell), script).expect("a file");
        let checked = process::Command::new(shell)
            .arg("-n")
            .arg(at.join(shell))
            .status();
        match checked {
            Ok(status) => assert!(status.success(), "{shell}: {status}"),
            Err(error) => eprintln!("SKIPPED: {shell} cannot be started: {error}"),
        }
    }
    assert!(common::program::fails(at, &["completions", "sh"]).contains("bash"));
    common::program::fine(at, &["man", "-o", "share/man1"]);
    let page = |name: &str| {
        let path = at.join("share/man1").join(name);
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(page("dgc.1").contains("deep generative models"));
    for name in &names {
        assert!(
            page(&format!("dgc-{name}.1")).contains(".SH OPTIONS"),
            "{name}"
        );
    }
    assert!(page("dgc-train.1").contains("\\-\\-patience"));
}

#[test]
fn help_on_a_full_device_is_an_error() {
    if !Path::new("/dev/full").exists() {
        eprintln!("SKIPPED: there is no /dev/full");
        return;
    }
    for arguments in ["--help", "--version", "train --help", "list"] {
        let words = format!("exec \"$0\" {arguments} >/dev/full");
        let output = process::Command::new("sh")
            .args(["-c", &words, env!("CARGO_BIN_EXE_dgc")])
            .output()
            .expect("a shell runs the program");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments}: {errors}");
        assert!(
            errors.contains("standard output: cannot be written"),
            "{errors}"
        );
    }
}

#[test]
fn an_error_that_cannot_be_printed_keeps_its_exit_code() {
    if !Path::new("/dev/full").exists() {
        eprintln!("SKIPPED: there is no /dev/full");
        return;
    }
    let words = "exec \"$0\" check nowhere.dgm 2>/dev/full";
    let status = process::Command::new("sh")
        .args(["-c", words, env!("CARGO_BIN_EXE_dgc")])
        .status();
    let status = status.expect("a shell runs the program");
    assert_eq!(status.code(), Some(3), "{status}");
}

#[test]
fn special_files_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let made = process::Command::new("mkfifo")
        .arg(at.join("pipe.npz"))
        .status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no mkfifo");
        return;
    }
    for name in ["pipe.dgm", "pipe.safetensors"] {
        std::fs::hard_link(at.join("pipe.npz"), at.join(name)).expect("a link to the pipe");
    }
    std::os::unix::fs::symlink("/dev/zero", at.join("zero.dgm")).expect("a link");
    std::os::unix::fs::symlink("/dev/zero", at.join("zero.npz")).expect("a link");
    let calls: [&[&str]; 9] = [
        &["check", "pipe.dgm"],
        &["check", "zero.dgm"],
        &["check", "."],
        &["fmt", "zero.dgm"],
        &["train", "small.dgm", "--data", "pipe.npz"],
        &["train", "small.dgm", "--data", "zero.npz"],
        &["train", "small.dgm", "--data", "pipe.safetensors"],
        &[
            "bound",
            "small.dgm",
            "--params",
            "pipe.safetensors",
            "--batch",
            "data.safetensors",
        ],
        &[
            "bound",
            "small.dgm",
            "--params",
            "zero.dgm",
            "--batch",
            "data.safetensors",
        ],
    ];
    for arguments in calls {
        let words: Vec<String> = arguments.iter().map(|word| word.to_string()).collect();
        let output = limited(at, &words);
        let errors = String::from_utf8_lossy(&output.stderr);
        let code = output.status.code();
        assert!(
            code.is_some_and(|code| (1..=5).contains(&code)),
            "{arguments:?}: {code:?} {errors}"
        );
        assert!(!errors.contains("panicked"), "{errors}");
    }
}
