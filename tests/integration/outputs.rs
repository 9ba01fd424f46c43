//! Files that commands write, and standard input and output: `-`.

use crate::common;

use common::program::{dgc, dgc_with_input, fails, fine};
use dgc::run::{arrays, compiled};
use std::path::Path;

/// A folder with `small.dgm`, its data and a run.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let train = ["train", "small.dgm", "--data", "data.safetensors"];
    fine(at, &[&train[..], &["--epochs", "1", "-o", "run"]].concat());
    folder
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).expect("a file")
}

fn write(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), bytes).expect("a file can be written");
}

/// What a command that reads a model from standard input prints.
fn from_input(folder: &Path, arguments: &[&str], input: &str) -> String {
    let output = dgc_with_input(folder, arguments, input);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dgc {arguments:?}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_command_reads_a_model_from_standard_input() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let text = String::from_utf8(read(at, "small.dgm")).expect("text");
    let piped = |arguments: &[&str]| from_input(at, arguments, &text);
    assert_eq!(piped(&["check", "-"]), "standard input: no mistakes\n");
    for arguments in [
        &["explain"][..],
        &["graph"],
        &["compile", "--emit", "ast"],
        &["compile", "--emit", "bound"],
    ] {
        let of = |file| [arguments, &[file]].concat();
        let printed = piped(&of("-")).replace("standard input", "small.dgm");
        assert_eq!(printed, fine(at, &of("small.dgm")), "{arguments:?}");
    }
    piped(&["bench", "-", "--steps", "1"]);
    piped(&["compile", "-", "-o", "compiled"]);
    let train = ["train", "-", "--data", "data.safetensors", "--epochs", "1"];
    piped(&[&train[..], &["-o", "run"]].concat());
    fine(at, &["eval", "run", "--samples", "1"]);
    let output = dgc_with_input(at, &["check", "-"], "model m {\n  size a = 1;\n}\n");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("--> standard input:2:13")
            && errors.contains("error: standard input: ")
            && output.status.code() == Some(1),
        "{errors}"
    );
}

#[test]
fn fmt_formats_standard_input() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let text = std::fs::read_to_string(common::root().join("models/vae.dgm")).expect("a model");
    let untidy = text.replace("  data", "      data");
    assert_ne!(untidy, text);
    assert_eq!(from_input(at, &["fmt", "-"], &untidy), text);
    assert_eq!(from_input(at, &["fmt", "-"], &text), text);
    assert_eq!(from_input(at, &["fmt", "--check", "-"], &text), "");
    let output = dgc_with_input(at, &["fmt", "--check", "-"], &untidy);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("not formatted: standard input"),
        "{errors}"
    );
}

#[test]
fn results_go_to_standard_output() {
    let folder = folder();
    let at = folder.path();
    for (command, file) in [("predict", "labels.csv"), ("encode", "latents.npz")] {
        let arguments = |file| [command, "run", "--samples", "1", "-o", file];
        fine(at, &arguments(file));
        let output = dgc(at, &arguments("-"));
        assert!(output.status.success() && output.stderr.is_empty());
        assert!(output.stdout == read(at, file), "{command}");
    }
    assert!(!at.join("-").exists());
    assert_eq!(
        fine(at, &["graph", "small.dgm", "-o", "-"]),
        fine(at, &["graph", "small.dgm"])
    );
    for (arguments, expected) in [
        (
            &["train", "small.dgm", "-o", "-"][..],
            "-: a run is a folder, and cannot be standard output",
        ),
        (
            &["compile", "small.dgm", "-o", "-"],
            "-: a compiled model is a folder, and cannot be standard output",
        ),
        (
            &[
                "bound",
                "small.dgm",
                "--params",
                "p",
                "--batch",
                "b",
                "--grads",
                "-",
            ],
            "--grads -: standard output has the JSON of the result",
        ),
    ] {
        let errors = fails(at, arguments);
        assert!(errors.contains(expected), "{errors}");
    }
}

#[test]
fn a_file_without_an_ending_is_refused() {
    let folder = folder();
    let at = folder.path();
    for (arguments, ending) in [
        (["predict", "run", "-o", "labels"], ".csv"),
        (["encode", "run", "-o", "latents"], ".npz"),
        (["sample", "run", "-o", "samples"], ".png"),
        (["graph", "small.dgm", "-o", "graph"], ".svg, .dot or .txt"),
    ] {
        let errors = fails(at, &arguments);
        let expected = format!("expected a name that ends in {ending}");
        assert!(errors.contains(&expected), "{errors}");
    }
}

/// Writes the arrays of the small data set as npz.
fn write_npz(folder: &Path) {
    let (found, _) = arrays::read(&folder.join("data.safetensors")).expect("arrays");
    let file = std::fs::File::create(folder.join("data.npz")).expect("a file");
    let mut writer = ndarray_npy::NpzWriter::new(file);
    for array in found {
        let shaped = ndarray::ArrayD::from_shape_vec(array.shape, array.data).expect("its shape");
        writer.add_array(array.name, &shaped).expect("an array");
    }
    writer.finish().expect("a file");
}

#[test]
fn an_output_never_replaces_what_the_command_reads() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    write_npz(at);
    std::fs::copy(at.join("data.npz"), at.join("other.npz")).expect("a copy");
    let train = ["train", "small.dgm", "--data", "data.npz", "--epochs", "1"];
    fine(at, &[&train[..], &["-o", "run"]].concat());
    let before = read(at, "data.npz");
    let mut refused = vec![
        vec!["encode", "run", "-o", "data.npz"],
        vec!["encode", "run", "-o", "run/../data.npz"],
        vec!["encode", "run", "--data", "other.npz", "-o", "other.npz"],
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("data.npz", at.join("link.npz")).expect("a link");
        refused.push(vec!["encode", "run", "-o", "link.npz"]);
        std::os::unix::fs::symlink("data.npz", at.join("labels.csv")).expect("a link");
        refused.push(vec!["predict", "run", "-o", "labels.csv"]);
        std::os::unix::fs::symlink("small.dgm", at.join("graph.svg")).expect("a link");
        refused.push(vec!["graph", "small.dgm", "-o", "graph.svg"]);
    }
    for arguments in refused {
        let errors = fails(at, &arguments);
        assert!(
            errors.contains("the output would replace") && errors.contains("name another file"),
            "{arguments:?}: {errors}"
        );
    }
    assert_eq!(read(at, "data.npz"), before);
    assert_eq!(read(at, "other.npz"), before);
}

#[test]
fn an_output_never_replaces_a_file_of_a_run_or_a_compiled_folder() {
    let folder = folder();
    let at = folder.path();
    fine(at, &["compile", "small.dgm", "-o", "compiled"]);
    for (name, owner) in [("run", "a run"), ("compiled", "a compiled folder")] {
        let file = format!("{name}/model.dgm");
        let text = String::from_utf8(read(at, &file)).expect("text");
        // A run's text that is not formatted.
        let untidy = text.replace("  data", "      data");
        write(at, &file, &untidy);
        let errors = fails(at, &["fmt", &file]);
        assert!(
            errors.contains(&format!("the output would replace a file of {owner}")),
            "{errors}"
        );
        assert_eq!(read(at, &file), untidy.as_bytes());
        write(at, &file, text);
    }
    let before = read(at, "run/checkpoint.safetensors");
    let bound = [
        "bound",
        "small.dgm",
        "--params",
        "run/checkpoint.safetensors",
    ];
    for grads in ["run/checkpoint.safetensors", "data.safetensors"] {
        let more = ["--batch", "data.safetensors", "--grads", grads];
        let errors = fails(at, &[&bound[..], &more].concat());
        assert!(errors.contains("the output would replace"), "{errors}");
    }
    assert_eq!(read(at, "run/checkpoint.safetensors"), before);
}

#[test]
fn compile_replaces_only_what_it_wrote() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    for name in [
        "compiled.json",
        ".compiling.json",
        "model.dgm",
        "gradient.json",
        "update.json",
        "evaluate.json",
    ] {
        std::fs::create_dir(at.join("mine")).expect("a folder can be made");
        let file = format!("mine/{name}");
        write(at, &file, "{\"mine\": 1}");
        let errors = fails(at, &["compile", "small.dgm", "-o", "mine"]);
        assert!(
            errors.contains(name) && errors.contains("move the file away"),
            "{errors}"
        );
        assert_eq!(read(at, &file), b"{\"mine\": 1}");
        std::fs::remove_dir_all(at.join("mine")).expect("a folder can be removed");
    }
    // An edited model of a compiled folder is the user's.
    fine(at, &["compile", "small.dgm", "-o", "compiled"]);
    let text = String::from_utf8(read(at, "compiled/model.dgm")).expect("text");
    write(at, "compiled/model.dgm", format!("// mine\n{text}"));
    let errors = fails(at, &["compile", "small.dgm", "-o", "compiled"]);
    assert!(
        errors.contains("found another one or a changed one"),
        "{errors}"
    );
    assert!(read(at, "compiled/model.dgm").starts_with(b"// mine"));
    write(at, "compiled/model.dgm", text);
    fine(
        at,
        &[
            "compile",
            "small.dgm",
            "-o",
            "compiled",
            "--set",
            "hidden=3",
        ],
    );
    assert!(!at.join("compiled/.compiling.json").exists());
}

/// A compilation that is killed between two files is done again, for the same model or another.
#[test]
fn an_interrupted_compilation_is_repeated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let compile = |out: &str, set: &str| {
        fine(at, &["compile", "small.dgm", "-o", out, "--set", set]);
    };
    compile("out", "hidden=3");
    let list = |out: &str| {
        let text = read(at, &format!("{out}/compiled.json"));
        let manifest: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        manifest["files"].as_object().expect("a list").clone()
    };
    // As the folder is if the program is killed in the middle of the second compilation.
    let first = list("out");
    compile("next", "hidden=4");
    let mut begun = serde_json::Map::new();
    for files in [&first, &list("next")] {
        for (name, hash) in files {
            let hashes = begun.entry(name.clone()).or_insert(serde_json::json!([]));
            hashes.as_array_mut().expect("a list").push(hash.clone());
        }
    }
    write(
        at,
        "out/.compiling.json",
        serde_json::Value::from(begun).to_string(),
    );
    std::fs::remove_file(at.join("out/compiled.json")).expect("a file can be removed");
    for name in ["model.dgm", "gradient.json"] {
        write(
            at,
            &format!("out/{name}"),
            read(at, &format!("next/{name}")),
        );
    }
    compile("out", "hidden=5");
    compiled::read(&at.join("out")).expect("a compiled model");
}

/// The example in the help of `dgc bound` names an npz file.
#[test]
fn bound_reads_npz() {
    let folder = folder();
    let at = folder.path();
    write_npz(at);
    let bound = |batch: &str| {
        let params = "run/checkpoint.safetensors";
        let output = dgc(
            at,
            &["bound", "small.dgm", "--params", params, "--batch", batch],
        );
        (output.status.success(), output.stdout, output.stderr)
    };
    assert_eq!(bound("data.npz"), bound("data.safetensors"));
}
