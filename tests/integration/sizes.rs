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
    std::fs::create_dir(at("nothing")).expect("a folder");
    let said = fails(folder.path(), &["train", "open.dgm", "--data", "nothing"]);
    assert!(
        said.contains("nothing: does not say the size `features`"),
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

/// An npy file of whole numbers from 0 to 255.
fn npy(shape: &[usize], numbers: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({sizes}), }}\n");
    let len = header.len() as u16;
    [
        b"\x93NUMPY\x01\x00",
        len.to_le_bytes().as_slice(),
        header.as_bytes(),
        numbers,
    ]
    .concat()
}

/// An idx file.
fn idx(shape: &[u32], numbers: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    shape
        .iter()
        .for_each(|size| bytes.extend(size.to_be_bytes()));
    bytes.extend(numbers);
    bytes
}

#[test]
fn folders_say_their_sizes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let binary = MODEL.replace("real[features]", "binary[features]");
    std::fs::write(at("open.dgm"), binary).expect("a model");
    for name in ["arrays", "idx"] {
        std::fs::create_dir(at(name)).expect("a folder");
    }
    let images: Vec<u8> = (0..30).map(|at| at % 2).collect();
    // The greatest class is among the test rows.
    for (name, bytes) in [
        ("arrays/x.npy", npy(&[5, 2, 3], &images)),
        ("arrays/y.npy", npy(&[5], &[0, 1, 1, 2, 0])),
        ("arrays/test.x.npy", npy(&[5, 2, 3], &images)),
        ("arrays/test.y.npy", npy(&[5], &[0, 1, 1, 3, 0])),
        ("idx/train-images-idx3-ubyte", idx(&[5, 2, 3], &images)),
        ("idx/train-labels-idx1-ubyte", idx(&[5], &[0, 1, 1, 2, 0])),
        ("idx/t10k-images-idx3-ubyte", idx(&[5, 2, 3], &images)),
        ("idx/t10k-labels-idx1-ubyte", idx(&[5], &[0, 1, 1, 3, 0])),
    ] {
        std::fs::write(at(name), bytes).expect("a file");
    }
    for (data, wanted) in [("arrays", [6, 4]), ("idx", [6, 4])] {
        let output = format!("run-{data}");
        fine(
            folder.path(),
            &["train", "open.dgm", "--data", data, "-o", &output],
        );
        assert_eq!(sizes(&at(&output)), wanted, "{data}");
    }
    let excerpt = dgc::Model::open_for(&at("open.dgm"), "mnist", &[])
        .expect("a model")
        .0;
    let found: Vec<usize> = excerpt
        .variables
        .iter()
        .map(|variable| variable.size())
        .collect();
    assert_eq!(found, [784, 10]);
}
