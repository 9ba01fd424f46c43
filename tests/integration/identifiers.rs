//! Results for the rows of a table: their numbers in the file, copied columns, standard input.

use crate::common;

use common::program::{dgc_with_input, fails, fine};
use std::{fs, path::Path};

const MODEL: &str = "model flowers {
  data  x: real[2]
  label kind: class[2]

  inference {
    x -> kind ~ categorical(linear)
  }

  objective {
    classify kind
  }

  train {
    batch labelled 2, unlabelled 0
    epochs 1
  }
}
";

const TABLE: &str = "name,x0,x1,kind,split
\"a, b\",0,1,0.0,train
c,1,1,1.0,test
d,1,0,1.0,train
e,0,0,,train
f,2,2,0.0,test
";

fn run() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("f.dgm"), MODEL).expect("a file is written");
    fs::write(folder.path().join("f.csv"), TABLE).expect("a file is written");
    fine(
        folder.path(),
        &[
            "train", "f.dgm", "--data", "f.csv", "-o", "run", "--device", "cpu",
        ],
    );
    folder
}

/// The first columns of the results of `dgc predict`.
fn predicted(folder: &Path, more: &[&str], columns: usize) -> Vec<String> {
    let text = fine(
        folder,
        &[&["predict", "run", "-o", "-", "--device", "cpu"], more].concat(),
    );
    let rows = text.lines().skip(1);
    rows.map(|line| {
        let cells: Vec<&str> = line.split(',').take(columns).collect();
        cells.join(",")
    })
    .collect()
}

#[test]
fn rows_are_numbered_as_in_the_file() {
    let folder = run();
    let here = folder.path();
    assert_eq!(predicted(here, &[], 1), ["1", "4"]);
    assert_eq!(predicted(here, &["--part", "train"], 1), ["0", "2", "3"]);
    assert_eq!(
        predicted(here, &["--part", "train", "--rows", "2"], 1),
        ["0", "2"]
    );
    let encoded = fine(here, &["encode", "run", "-o", "e.csv", "--device", "cpu"]);
    assert_eq!(encoded, "wrote 2 rows to e.csv\n");
    let encoded = fs::read_to_string(here.join("e.csv")).expect("encodings");
    assert!(
        encoded
            .lines()
            .nth(2)
            .is_some_and(|line| line.starts_with("4,"))
    );
}

#[test]
fn columns_are_copied() {
    let folder = run();
    let here = folder.path();
    assert_eq!(predicted(here, &["--id", "name"], 2), ["1,c", "4,f"]);
    assert_eq!(
        predicted(here, &["--id", "name", "--id", "x1", "--part", "train"], 4)[0],
        "0,\"a, b\",1"
    );
    let fails = |more: &[&str]| {
        fails(
            here,
            &[&["predict", "run", "--device", "cpu"], more].concat(),
        )
    };
    let said = fails(&["-o", "-", "--id", "nam"]);
    assert!(
        said.contains("expected a column `nam`") && said.contains("`name`"),
        "{said}"
    );
    let said = fails(&["-o", "-", "--id", "kind"]);
    assert!(said.contains("have a column `kind` of their own"), "{said}");
    let said = fails(&["-o", "a.npz", "--id", "name"]);
    assert!(said.contains("cannot have columns of text"), "{said}");
    let said = fails(&["-o", "-", "--id", "name", "--data", "mnist"]);
    assert!(!said.is_empty());
}

#[test]
fn tables_may_have_only_rows_to_predict() {
    let folder = run();
    let here = folder.path();
    let all = predicted(here, &["--part", "test"], 9);
    // Without labels; all of them test rows; compressed; with an ending in upper case.
    let unlabelled = "x1,x0,name\n1,1,c\n2,2,f\n";
    fs::write(here.join("new.CSV"), unlabelled).expect("a file is written");
    assert_eq!(
        predicted(here, &["--data", "new.CSV", "--id", "name"], 2),
        ["0,c", "1,f"]
    );
    let tests = TABLE.replace(",train", ",test");
    fs::write(here.join("tests.csv"), &tests).expect("a file is written");
    let found = predicted(here, &["--data", "tests.csv"], 9);
    assert_eq!(found.len(), 5);
    assert_eq!([&found[1], &found[4]], [&all[0], &all[1]]);
    assert_eq!(
        predicted(here, &["--data", "tests.csv", "--part", "test"], 9),
        found
    );
    let said = fails(
        here,
        &[
            "predict",
            "run",
            "-o",
            "-",
            "--data",
            "tests.csv",
            "--part",
            "train",
            "--device",
            "cpu",
        ],
    );
    assert!(said.contains("no such rows"), "{said}");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, tests.as_bytes()).expect("memory");
    let packed = packed.finish().expect("memory");
    fs::write(here.join("tests.csv.gz"), &packed).expect("a file is written");
    assert_eq!(predicted(here, &["--data", "tests.csv.gz"], 9), found);
    fs::write(here.join("cut.csv.gz"), &packed[..packed.len() / 2]).expect("a file is written");
    let said = fails(
        here,
        &[
            "predict",
            "run",
            "-o",
            "-",
            "--data",
            "cut.csv.gz",
            "--device",
            "cpu",
        ],
    );
    assert!(said.contains("cut.csv.gz: cannot be unpacked"), "{said}");
}

#[test]
fn a_table_may_come_from_standard_input() {
    let folder = run();
    let here = folder.path();
    let arguments = [
        "predict", "run", "--data", "-", "-o", "-", "--device", "cpu", "--id", "name",
    ];
    let output = dgc_with_input(here, &arguments, "x1,x0,name\n1,1,c\n2,2,f\n");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(',').nth(1))
        .collect();
    assert_eq!(names, ["name", "c", "f"]);
    let output = dgc_with_input(here, &arguments, "x1,name\n1,c\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("-: "), "{said}");
    let output = dgc_with_input(here, &["train", "f.dgm", "--data", "-", "-o", "b"], TABLE);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("standard input") && said.contains("name a file"),
        "{said}"
    );
}
