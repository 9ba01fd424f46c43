//! AnnData's files: the same bits of training as from dense arrays, and damaged files are refused by file
//! and part. `tests/fixtures/h5ad/make.py` makes the files.

use crate::{common, sparse};

use dgc::{Dataset, Error, Model};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    common::root().join("tests/fixtures/h5ad").join(name)
}

fn open(name: &str) -> Result<Dataset, Error> {
    Dataset::open(fixture(name), &sparse::model())
}

fn values(dataset: &Dataset, name: &str) -> Vec<f32> {
    let values = dataset.train().values(name).expect("readable");
    values.expect("the variable is there")
}

#[test]
fn files_train_to_the_bits_of_dense_arrays() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let reference = sparse::dense_dataset(folder.path());
    let expected = sparse::bits_of(&reference);
    let mut fingerprints = Vec::new();
    // Compressed and not, dense, of AnnData 0.7, and by columns.
    for name in [
        "sparse.h5ad",
        "plain.h5ad",
        "dense.h5ad",
        "old.h5ad",
        "csc.h5ad",
    ] {
        let dataset = open(name).expect(name);
        sparse::check_values(&dataset);
        assert_eq!(sparse::bits_of(&dataset), expected, "{name}");
        let fingerprint = dataset.fingerprint().expect("readable");
        match name {
            "dense.h5ad" => assert_eq!(Ok(fingerprint), reference.fingerprint()),
            _ => fingerprints.push(fingerprint),
        }
    }
    assert!(fingerprints.iter().all(|one| *one == fingerprints[0]));
}

#[test]
fn categories_are_classes_by_name() {
    let dataset = open("sparse.h5ad").expect("a data set");
    // Sorted, without the category that no row has.
    let names = &dataset.class_names()["kind"];
    assert_eq!(names, &["b cell", "nk", "t cell"]);
    assert_eq!(dataset.others(), ["batch"]);
    assert!(
        open("dense.h5ad")
            .expect("numbers")
            .class_names()
            .is_empty()
    );
}

#[test]
fn layers_columns_and_test_rows() {
    let all = open("plain.h5ad").expect("a data set");
    let dataset = open("layers.h5ad").expect("a data set");
    assert_eq!(dataset.train().rows(), 40);
    let test = dataset.test().expect("test rows");
    assert_eq!(test.rows(), 20);
    for (name, width) in [("counts", 7), ("library", 1), ("kind", 1)] {
        let expected = values(&all, name);
        let rows = expected.chunks(width).enumerate();
        let (test_rows, train_rows): (Vec<_>, Vec<_>) = rows.partition(|(row, _)| row % 3 == 2);
        let flat = |rows: Vec<(usize, &[f32])>| -> Vec<f32> {
            rows.into_iter().flat_map(|(_, row)| row.to_vec()).collect()
        };
        assert_eq!(values(&dataset, name), flat(train_rows), "{name}");
        let found = test.values(name).expect("readable").expect("a variable");
        assert_eq!(found, flat(test_rows), "{name}");
    }
}

#[test]
fn damaged_files_are_refused_by_file_and_part() {
    for (name, expected) in [
        (
            "index.h5ad",
            "`counts`: row 1: expected columns from 0 to 6, found 7",
        ),
        (
            "descending.h5ad",
            "`X/indptr`: number 5: expected a number from",
        ),
        ("nan.h5ad", "`counts`: row"),
        (
            "short.h5ad",
            "`X/data`: expected as many numbers as in `X/indices`",
        ),
        (
            "type.h5ad",
            "`X/indices`: expected whole numbers, found float32",
        ),
        (
            "text.h5ad",
            "`X/data`: expected numbers, found the type string",
        ),
        (
            "shape.h5ad",
            "`counts`: rows with shape 8 do not fit `counts`, which is 7",
        ),
        (
            "columns.h5ad",
            "`X/indptr`: expected 7 + 1 numbers for the shape [60, 7], found 61",
        ),
    ] {
        let error = open(name).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
        assert!(error.contains(name), "{name}: {error}");
        assert!(error.contains("help: "), "{name}: {error}");
    }
    // Cut at any length: refused, unless all that is read is before the cut.
    let whole = std::fs::read(fixture("old.h5ad")).expect("a file");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cut.h5ad");
    for len in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..len]).expect("a file");
        match Dataset::open(&path, &sparse::model()) {
            Err(error) => assert!(error.to_string().contains("cut.h5ad"), "{error}"),
            Ok(dataset) => {
                assert!(len > whole.len() / 2, "half of the file is missing");
                sparse::check_values(&dataset);
            }
        }
    }
}

#[test]
fn variables_without_a_place_are_named() {
    let model = |line: &str| -> Model {
        let text = format!(
            "model cells {{\n  data counts: count[7]\n  {line}\n  latent z: real\n  generative {{\n    z ~ normal(0, 1)\n\
             z -> counts ~ poisson(linear)\n    z -> other ~ normal(linear)\n  }}\n  inference {{\n    counts, other -> z ~ \
             normal(linear)\n  }}\n}}\n"
        );
        common::check("cells.dgm", &text, &[])
    };
    for (line, expected) in [
        (
            "data other: real[3]",
            "`counts`, `other` are neither layers nor columns of `obs`, and only one variable takes `X`",
        ),
        (
            "data other: real",
            "expected a column `other` in `obs`, found none",
        ),
    ] {
        let error = Dataset::open(fixture("plain.h5ad"), &model(line)).expect_err(expected);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = Dataset::open(
        fixture("make.py").with_extension("h5ad"),
        &model("data other: real"),
    );
    assert!(error.is_err(), "there is no such file");
}
