//! One mistake per file of `tests/errors/`, the whole message kept; and messages about data and
//! files.

use crate::common;
use dgc::{DataArray, Dataset, Model, diagnostic, driver};

#[test]
fn every_mistake_is_explained() {
    let files = common::models_in(&common::root().join("tests/errors"));
    assert!(files.len() >= 60, "{} files", files.len());
    // `insta::glob!` keeps its state for the whole process, so a failure of another test beside
    // this one would be blamed on a file here. Settings belong to the thread.
    for path in &files {
        let text = std::fs::read_to_string(path).expect("a model can be read");
        let name = path
            .file_name()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        let mistakes = match driver::check(&name, &text, &[]) {
            Ok(_) => panic!("{name} has a mistake that was not found"),
            Err(mistakes) => mistakes,
        };
        assert!(
            mistakes.iter().any(|diagnostic| diagnostic.is_error()),
            "{name}"
        );
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_suffix(&name);
        settings.set_input_file(path);
        let shown = diagnostic::render(&mistakes, &name, &text, false);
        settings.bind(|| insta::assert_snapshot!("every_mistake_is_explained", shown));
    }
}

/// What the library says of data that do not fit a model.
#[test]
fn mistakes_of_data_are_explained() {
    let text = "model m {\n data x: real[2, 3]\n latent z: real\n generative {\n z ~ normal(0, 1)\n \
                z -> x ~ normal(linear)\n }\n inference {\n x -> z ~ normal(linear)\n }\n}\n";
    let model = Model::parse("m.dgm", text).expect("a model");
    let array = |name: &str, shape: &[usize]| {
        let values = vec![0.5; shape.iter().product()];
        DataArray::new(name, shape, values)
    };
    let said: Vec<String> = [
        vec![],
        vec![array("X1", &[4, 6])],
        vec![array("x", &[0, 6])],
        vec![array("x", &[4, 7])],
        vec![array("x", &[4, 3, 2])],
        vec![array("x", &[4, 6]), array("z", &[4])],
    ]
    .into_iter()
    .map(|arrays| match Dataset::from_arrays(&model, arrays) {
        Ok(_) => "fine".to_string(),
        Err(error) => error.to_string(),
    })
    .collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    data: expected an array `x`, found none
      help: the data have no arrays; give each variable of the model an array
    data: expected an array `x`, found none
      help: available: `X1`
    data: expected at least one row, found none
      help: the first axis of each array is the row; give at least one
    data: `x`: rows with shape 7 do not fit `x`, which is 2 · 3
      help: change the array; or change the size of `x` in the model, and train that model
    data: `x`: rows with shape 3 · 2 do not fit `x`, which is 2 · 3
      help: change the order of the array's axes, or those of `x`
    data: the model infers `z`
      help: omit the array
    ");
}

/// Every error of a file has a way out, which follows from the system's error.
#[test]
fn mistakes_of_files_have_a_way_out() {
    use std::io::{Error as Io, ErrorKind};
    for (kind, help) in [
        (ErrorKind::NotFound, "check the path"),
        (
            ErrorKind::PermissionDenied,
            "check the permissions of the file and its folder",
        ),
        (ErrorKind::StorageFull, "free some disk space"),
        (ErrorKind::Other, "check the file, its folder and the disk"),
    ] {
        let error = dgc::Error::file("a.npz".as_ref(), "cannot be read", Io::from(kind));
        assert_eq!(error.suggestion(), Some(help));
        assert!(
            error.message().starts_with("a.npz: cannot be read: "),
            "{error}"
        );
        let other = error.help("name another file");
        assert_eq!(other.suggestion(), Some("name another file"));
    }
}
