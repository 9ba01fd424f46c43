//! `size genes` without a value: sizes that are found in the data.

use crate::common::program::{fails, fine};
use dgc::{DataArray, Run};

const MODEL: &str = "model open {
  size features, classes, hidden = features + 1

  data   x: real[features]
  label  y: class[classes]

  inference {
    x -> y ~ categorical([dense(hidden) > relu])
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

fn sizes(run: &std::path::Path) -> Vec<usize> {
    let run = Run::open(run).expect("a run");
    let variables = run.model().variables.iter();
    variables.map(|variable| variable.size()).collect()
}

/// One file serves data of several sizes, and a run keeps those of its data.
#[test]
fn a_size_is_found_in_the_data() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("open.dgm"), MODEL).expect("a model");
    let tables = [
        ("left.csv", "a,y,b\n1,0,2\n3,4,5\n0,0,1\n2,-1,1\n", [2, 5]),
        (
            "named.csv",
            "x0,x1,x2,y,id\n1,0,2,cat,1\n3,4,5,dog,2\n0,0,1,,3\n2,1,1,owl,4\n",
            [3, 3],
        ),
        (
            "from_one.csv",
            "x_0,x_1,y\n1,0,1\n3,4,2\n0,0,3\n2,1,1\n",
            [2, 3],
        ),
    ];
    for (name, text, wanted) in tables {
        std::fs::write(at(name), text).expect("a table");
        fine(
            folder.path(),
            &["train", "open.dgm", "--data", name, "-o", "run"],
        );
        assert_eq!(sizes(&at("run")), wanted, "{name}");
        fine(folder.path(), &["predict", "run", "-o", "-"]);
        fine(
            folder.path(),
            &["train", "run", "--resume", "--epochs", "2"],
        );
        std::fs::remove_dir_all(at("run")).expect("the run");
    }
    let arrays = [
        DataArray::new("x", [5, 2, 2], vec![0.5f64; 20]),
        DataArray::new("y", [5], vec![0.0f64, 1.0, -1.0, 6.0, 0.0]),
    ];
    let arrays =
        arrays.map(|array| dgc::run::arrays::NamedArray::try_from(array).expect("numbers"));
    dgc::run::arrays::NamedArray::write_all(&arrays, &at("arrays.safetensors"), false)
        .expect("a file");
    fine(
        folder.path(),
        &[
            "train",
            "open.dgm",
            "--data",
            "arrays.safetensors",
            "-o",
            "run",
        ],
    );
    assert_eq!(sizes(&at("run")), [4, 7]);
}

#[test]
fn sizes_that_the_data_do_not_say_are_explained() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("open.dgm"), MODEL).expect("a model");
    std::fs::write(at("a.csv"), "a,b\n1,2\n").expect("a table");
    let said = fails(folder.path(), &["train", "open.dgm", "--data", "a.csv"]);
    assert!(said.contains("does not say the size `classes`"), "{said}");
    assert!(
        said.contains("give `y` an array or columns in the data, or write `--set classes=NUMBER`"),
        "{said}"
    );
    let said = fails(folder.path(), &["compile", "open.dgm", "-o", "out"]);
    assert!(said.contains("size `features` has no value"), "{said}");
    assert!(said.contains("--set features=NUMBER"), "{said}");
    let said = fails(folder.path(), &["train", "open.dgm", "--data", "mnist"]);
    assert!(
        said.contains("mnist: does not say the size `features`"),
        "{said}"
    );
    // A size that is set is not looked for.
    std::fs::write(at("b.csv"), "a,b,y\n1,2,0\n1,3,1\n").expect("a table");
    let said = fails(
        folder.path(),
        &[
            "train",
            "open.dgm",
            "--data",
            "b.csv",
            "--set",
            "features=3",
        ],
    );
    assert!(said.contains("`x` has 3 numbers per row"), "{said}");
}
