//! Validation and test rows in files of their own.

use crate::common::program::{fails, fine};
use dgc::{DataArray, DataFiles, Dataset, Model, run::arrays::NamedArray};
use std::path::Path;

const MODEL: &str = "model flowers {
  data   x: real[2]
  label  y: class[3]

  inference {
    x -> y ~ categorical([dense(4) > relu])
  }

  objective {
    classify y
  }

  train {
    batch labelled 4, unlabelled 4
    epochs 1
  }
}
";

const TRAIN: &str = "a,b,y\n1,0,rose\n0,1,lily\n1,1,tulip\n0,0,\n2,0,rose\n0,2,lily\n2,2,tulip\n";
const VALIDATION: &str = "y,b,note,a\nlily,3,k,0\nrose,0,l,3\n";
const TEST: &str = "a,b,y,split\n3,3,tulip,test\n4,4,,test\n";

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file is written");
}

/// A folder with a model and the files of its data set.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "m.dgm", MODEL);
    write(folder.path(), "train.csv", TRAIN);
    write(folder.path(), "validation.csv", VALIDATION);
    write(folder.path(), "test.csv", TEST);
    folder
}

const FILES: [&str; 6] = [
    "--data",
    "train.csv",
    "--validation",
    "validation.csv",
    "--test",
    "test.csv",
];

fn train(output: &str, more: &[&str]) -> Vec<String> {
    let arguments = ["train", "m.dgm", "-o", output];
    let all = arguments.iter().chain(more);
    all.map(|argument| argument.to_string()).collect()
}

fn run(folder: &Path, arguments: &[String]) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    fine(folder, &arguments)
}

fn refused(folder: &Path, arguments: &[String]) -> String {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    fails(folder, &arguments)
}

/// Files of their own are the same data set as one file with a column `split`.
#[test]
fn parts_are_those_of_one_file() {
    let folder = folder();
    let mut whole = "a,b,y,split\n".to_string();
    for line in TRAIN.lines().skip(1) {
        whole += &format!("{line},train\n");
    }
    whole += "0,3,lily,validation\n3,0,rose,validation\n3,3,tulip,test\n4,4,,test\n";
    write(folder.path(), "whole.csv", &whole);
    let model = Model::parse("m.dgm", MODEL).expect("a model");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let whole = Dataset::open(at("whole.csv"), &model).expect("a data set");
    let files = DataFiles {
        data: Some(at("train.csv")),
        validation: Some(at("validation.csv")),
        test: Some(at("test.csv")),
    };
    let parts = Dataset::open_files(&files, &model).expect("a data set");
    for (left, right) in [
        (Some(whole.train()), Some(parts.train())),
        (whole.test(), parts.test()),
        (whole.validation(), parts.validation()),
    ] {
        let [left, right] = [left, right].map(|rows| rows.expect("the rows are there"));
        for name in ["x", "y"] {
            let [left, right] = [left, right].map(|rows| rows.values(name).expect("readable"));
            assert!(left.is_some());
            assert_eq!(left, right, "{name}");
        }
    }
    assert_eq!(parts.class_names()["y"], ["lily", "rose", "tulip"]);
    assert_eq!(parts.others(), ["note"]);
    let print = |data: &Dataset| data.fingerprint().expect("readable rows");
    assert_eq!(print(&whole), print(&parts));
}

#[test]
fn a_run_keeps_its_files() {
    let folder = folder();
    let path = folder.path();
    let said = run(path, &train("run", &FILES));
    assert!(
        said.contains("7 training rows, 2 validation rows, 2 test rows")
            || said.contains("7 training rows, 2 validation rows"),
        "{said}"
    );
    let said = fine(path, &["eval", "run"]);
    assert!(said.starts_with("2 test rows"), "{said}");
    let said = fine(path, &["eval", "run", "--part", "validation"]);
    assert!(said.starts_with("2 validation rows"), "{said}");
    // The rows of a part are those of its file.
    let said = fine(
        path,
        &[
            "predict",
            "run",
            "--part",
            "validation",
            "--id",
            "note",
            "-o",
            "-",
        ],
    );
    let rows: Vec<&str> = said.lines().skip(1).map(|line| &line[..3]).collect();
    assert_eq!(rows, ["0,k", "1,l"], "{said}");
    fine(path, &["train", "run", "--resume", "--epochs", "2"]);
    // Another value, in each of the files.
    for (name, text) in [
        ("validation.csv", VALIDATION),
        ("test.csv", TEST),
        ("train.csv", TRAIN),
    ] {
        write(path, name, &text.replace('3', "7").replace("2,2", "2,5"));
        let said = refused(path, &resume(&[]));
        assert!(said.contains("the data differ"), "{name}: {said}");
        let said = fails(path, &["eval", "run"]);
        assert!(said.contains("the data differ"), "{name}: {said}");
        write(path, name, text);
    }
    // A file that moved.
    std::fs::rename(path.join("validation.csv"), path.join("moved.csv")).expect("a file");
    let said = fails(path, &["eval", "run"]);
    assert!(said.contains("validation.csv"), "{said}");
    run(path, &resume(&["--validation", "moved.csv"]));
    fine(path, &["eval", "run"]);
    let said = refused(path, &resume(&["--validation", "2"]));
    assert!(said.contains("a resumed run keeps this setting"), "{said}");
    let said = fails(path, &["predict", "run", "-o", "moved.csv"]);
    assert!(said.contains("moved.csv"), "{said}");
    assert_eq!(
        std::fs::read_to_string(path.join("moved.csv")).expect("a file"),
        VALIDATION
    );
}

fn resume(more: &[&str]) -> Vec<String> {
    let all = ["train", "run", "--resume", "--epochs", "3"];
    all.iter()
        .chain(more)
        .map(|text| text.to_string())
        .collect()
}

#[test]
fn files_of_arrays_have_parts_too() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    for (name, rows) in [("a", 6), ("b", 3)] {
        let arrays = [
            DataArray::new("x", [rows, 2], vec![0.5f64; rows * 2]),
            DataArray::new(
                "y",
                [rows],
                (0..rows).map(|row| (row % 3) as f64).collect::<Vec<_>>(),
            ),
        ];
        let arrays = arrays.map(|array| NamedArray::try_from(array).expect("numbers"));
        NamedArray::write_all(&arrays, &at(&format!("{name}.safetensors")), false).expect("a file");
    }
    let files = ["--data", "a.safetensors", "--test", "b.safetensors"];
    run(folder.path(), &train("run", &files));
    assert!(fine(folder.path(), &["eval", "run"]).starts_with("3 test rows"));
}

#[test]
fn files_that_do_not_fit_are_explained() {
    let folder = folder();
    let path = folder.path();
    write(path, "other.csv", "a,b,y\n1,2,orchid\n");
    write(path, "columns.csv", "a,c,y\n1,2,rose\n");
    write(
        path,
        "both.csv",
        "a,b,y,split\n1,2,rose,train\n1,2,rose,test\n",
    );
    write(path, "more.csv", "a,b,y\n1,2,rose\n");
    write(path, "text.csv", "a,b,y\n1,two,rose\n");
    let mut said = String::new();
    for (data, option, name) in [
        ("train.csv", "--test", "other.csv"),
        ("train.csv", "--validation", "columns.csv"),
        ("train.csv", "--validation", "both.csv"),
        ("train.csv", "--test", "text.csv"),
        ("train.csv", "--test", "train.csv"),
        ("train.csv", "--test", "nothing.csv"),
        ("train.csv", "--validation", "nothing.csv"),
        ("both.csv", "--test", "more.csv"),
    ] {
        said += &format!("--data {data} {option} {name}\n");
        said += &refused(path, &train("new", &["--data", data, option, name]));
    }
    let same = [
        "--validation",
        "validation.csv",
        "--test",
        "./validation.csv",
    ];
    said += &refused(
        path,
        &train("new", &[&["--data", "train.csv"], &same[..]].concat()),
    );
    let twice = [
        "--data",
        "train.csv",
        "--validation",
        "2",
        "--validation",
        "validation.csv",
    ];
    said += &refused(path, &train("new", &twice));
    insta::assert_snapshot!(said);
}
