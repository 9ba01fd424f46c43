//! Data in memory of another owner: arrays that stay where they lie, sparse matrices, tables, and sizes
//! that a model finds in them.

use dgc::{
    ColumnValues, DataArray, Dataset, ElementType, ErrorKind, Frame, Memory, MemoryArray, Model,
    Recipe, Result, draft_arrays, draft_frame,
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

const MODEL: &str = "
model m {
  size features, classes
  data   x: real[features]
  label  y: class[classes]
  net body = [dense(3)]
  inference { x -> y ~ categorical(body) }
  objective { classify y }
}";

/// The bytes of big-endian numbers, and how many were read.
struct Counted {
    bytes: Vec<u8>,
    read: Arc<AtomicUsize>,
}

impl Memory for Counted {
    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn read(&self, at: usize, out: &mut [u8]) {
        self.read.fetch_add(out.len(), Ordering::Relaxed);
        out.copy_from_slice(&self.bytes[at..at + out.len()]);
    }
}

fn x() -> Vec<f32> {
    (0..12).map(|element| element as f32 - 3.5).collect()
}

fn y() -> DataArray {
    DataArray::new("y", [4], vec![1i64, -1, 0, 2])
}

fn model(arrays: &[DataArray]) -> Result<Model> {
    Ok(Model::parse_for("m.dgm", MODEL, arrays, &[])?.0)
}

fn values(arrays: Vec<DataArray>) -> Vec<f32> {
    let model = model(&arrays).expect("a model");
    let data = Dataset::from_arrays(&model, arrays).expect("data");
    data.train()
        .values("x")
        .expect("readable")
        .expect("an array x")
}

#[test]
fn memory_of_another_owner_is_read_and_not_kept() {
    let read = Arc::new(AtomicUsize::new(0));
    let memory = Counted {
        bytes: x().iter().flat_map(|x| x.to_be_bytes()).collect(),
        read: Arc::clone(&read),
    };
    let element = ElementType::new('f', 4, true).expect("single precision");
    let array = DataArray::in_memory("x", [4, 3], MemoryArray::new(element, memory));
    let arrays = vec![array.expect("an array"), y()];
    let model = model(&arrays).expect("a model");
    let data = Dataset::from_arrays(&model, arrays).expect("data");
    let checked = read.load(Ordering::Relaxed);
    assert_eq!(checked, 48, "all values are checked once");
    let mut row = [0.0; 3];
    data.train().read(0, &[2], &mut row).expect("a row");
    assert_eq!(row, [2.5, 3.5, 4.5]);
    assert_eq!(
        read.load(Ordering::Relaxed) - checked,
        12,
        "a row is read where it is needed"
    );
}

#[test]
fn vectors_of_any_type_have_the_same_values_and_fingerprint() {
    let whole: Vec<i32> = (0..12).collect();
    let singles: Vec<f32> = whole.iter().map(|&x| x as f32).collect();
    let doubles: Vec<f64> = whole.iter().map(|&x| f64::from(x)).collect();
    let array =
        |numbers: MemoryArray| DataArray::in_memory("x", [4, 3], numbers).expect("an array");
    let fingerprint = |array: DataArray| {
        let arrays = vec![array, y()];
        let data = Dataset::from_arrays(&model(&arrays).expect("a model"), arrays);
        data.expect("data").fingerprint().expect("readable")
    };
    let wanted = fingerprint(DataArray::new("x", [4, 3], singles.clone()));
    assert_eq!(fingerprint(array(whole.into())), wanted);
    assert_eq!(fingerprint(array(singles.into())), wanted);
    assert_eq!(fingerprint(array(doubles.into())), wanted);
}

#[test]
fn a_sparse_matrix_has_the_values_of_a_dense_one() {
    // Rows [0, 0, 5], [], [1, 0, 2] and [0, 3, 0].
    let sparse = DataArray::sparse(
        "x",
        [4, 3],
        vec![5.0f32, 1.0, 2.0, 3.0],
        vec![2i32, 0, 2, 1],
        vec![0i64, 1, 1, 3, 4],
    );
    let found = values(vec![sparse.expect("a matrix"), y()]);
    let wanted = [0., 0., 5., 0., 0., 0., 1., 0., 2., 0., 3., 0.];
    assert_eq!(found, wanted);
}

#[test]
fn arrays_that_do_not_fit_are_errors() {
    let refused = |made: Result<DataArray>, part: &str| {
        let error = made.expect_err("an error");
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.message().contains(part), "{error}");
    };
    refused(
        DataArray::in_memory("x", [4, 4], x()),
        "`x` has 12 numbers, not the 16",
    );
    let sparse = |numbers: Vec<f32>, starts: Vec<i64>| {
        DataArray::sparse("x", [2, 3], numbers, vec![0i32, 1], starts)
    };
    refused(
        sparse(vec![1.0], vec![0, 1, 2]),
        "expected as many numbers as in `indices`",
    );
    refused(sparse(vec![1.0, 2.0], vec![0, 1]), "expected 2 + 1 numbers");
    refused(
        sparse(vec![1.0, 2.0], vec![0, -1, 2]),
        "negative or too large",
    );
    let beyond = DataArray::sparse("x", [4, 3], vec![1f32], vec![7i32], vec![0i64, 0, 0, 0, 1]);
    let arrays = vec![beyond.expect("the columns are checked later"), y()];
    let error = Dataset::from_arrays(&model(&arrays).expect("a model"), arrays);
    let error = error.expect_err("a column is out of range");
    assert!(
        error
            .message()
            .contains("row 3: expected columns from 0 to 2, found 7"),
        "{error}"
    );
}

#[test]
fn a_model_finds_its_sizes_in_arrays() {
    let arrays = [
        DataArray::in_memory("x", [4, 3], x()).expect("an array"),
        y(),
        DataArray::new("test.y", [1], vec![3i64]),
    ];
    let found = model(&arrays).expect("a model");
    let sizes: Vec<usize> = found
        .variables
        .iter()
        .map(|variable| variable.size())
        .collect();
    assert_eq!(sizes, [3, 4], "the test rows have one more class");
    let set = [("classes".to_string(), "7".to_string())];
    let (found, _) = Model::parse_for("m.dgm", MODEL, &arrays, &set).expect("a model");
    assert_eq!(
        found.variables[1].size(),
        7,
        "a size that is set is not looked up"
    );
    let error = model(&arrays[..1]).expect_err("no array says the classes");
    assert!(
        error.message().contains("does not say the size `classes`"),
        "{error}"
    );
}

fn texts(texts: &[&str]) -> ColumnValues {
    let text = |text: &&str| (!text.is_empty()).then(|| text.to_string());
    ColumnValues::of_texts(texts.iter().map(text))
}

#[test]
fn texts_name_the_classes_of_all_parts() {
    let array = |name: &str, values: &[&str]| DataArray::new(name, [values.len()], texts(values));
    let arrays = vec![
        DataArray::in_memory("x", [4, 3], x()).expect("an array"),
        array("y", &["dog", "", "cat", "dog"]),
        DataArray::new("test.x", [1, 3], vec![0f32; 3]),
        array("test.y", &["bee"]),
    ];
    let model = model(&arrays).expect("a model");
    let data = Dataset::from_arrays(&model, arrays).expect("data");
    assert_eq!(data.class_names()["y"], ["bee", "cat", "dog"]);
    assert_eq!(
        data.train().classes("y").expect("readable"),
        Some(vec![2, -1, 1, 2])
    );
    let test = data.test().expect("test rows");
    assert_eq!(test.classes("y").expect("readable"), Some(vec![0]));
    let arrays = vec![array("x", &["1", "2", "3", "4"]), y()];
    let error = Dataset::from_arrays(&model, arrays).expect_err("x has numbers");
    assert_eq!(error.kind(), ErrorKind::Data);
}

fn frame() -> Frame {
    let numbers = |numbers: [f64; 4]| ColumnValues::Numbers(numbers.to_vec());
    let columns = [
        ("length", numbers([1.0, 2.0, 3.0, 4.0])),
        ("split", texts(&["train", "train", "test", "train"])),
        ("width", numbers([5.0, f64::NAN, 7.0, 8.0])),
        ("y", texts(&["dog", "", "cat", "bee"])),
    ];
    let columns = columns.map(|(name, values)| (name.to_string(), values));
    Frame::new(columns.to_vec()).expect("a table")
}

#[test]
fn columns_of_a_table_become_variables() {
    let text = MODEL.replace("real[features]", "real[features] with missing");
    let (model, _) = Model::parse_for_frame("m.dgm", &text, &frame(), &[]).expect("a model");
    let data = Dataset::from_frame(&model, &frame()).expect("data");
    let x = data
        .train()
        .values("x")
        .expect("readable")
        .expect("an array x");
    assert_eq!(x.len(), 6);
    assert_eq!((x[0], x[1], x[2], x[5]), (1.0, 5.0, 2.0, 8.0));
    assert!(x[3].is_nan());
    assert_eq!(data.class_names()["y"], ["bee", "cat", "dog"]);
    assert_eq!(
        data.train().classes("y").expect("readable"),
        Some(vec![2, -1, 0])
    );
    let plain = Model::parse_for_frame("m.dgm", MODEL, &frame(), &[])
        .expect("a model")
        .0;
    let error = Dataset::from_frame(&plain, &frame()).expect_err("a value is missing");
    assert!(
        error
            .suggestion()
            .is_some_and(|help| help.contains("with missing")),
        "{error}"
    );
}

#[test]
fn tables_that_are_none_are_errors() {
    let column = |name: &str, rows| (name.to_string(), ColumnValues::Numbers(vec![0.0; rows]));
    let refused = |columns: Vec<(String, ColumnValues)>, part: &str| {
        let error = Frame::new(columns).expect_err("an error");
        assert!(error.message().contains(part), "{error}");
    };
    refused(vec![], "expected a table with columns");
    refused(vec![column("a", 2), column("a", 2)], "two columns `a`");
    refused(
        vec![column("a", 2), column("b", 3)],
        "`a` has 2 rows, but `b` has 3",
    );
}

#[test]
fn drafts_describe_data_in_memory() {
    let text = draft_frame("animals", &frame(), Some("y"), Recipe::Joint).expect("a model");
    for line in [
        "model animals",
        "data   x: real[2] standardized with missing",
        "// 1 of 6 training values are missing.",
        "// Known in 2 of 3 rows: bee, cat, dog",
        "label  y: class[3]",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let (model, _) = Model::parse_for_frame("m.dgm", &text, &frame(), &[]).expect("a model");
    Dataset::from_frame(&model, &frame()).expect("the draft fits its data");
    let arrays = [
        DataArray::in_memory("x", [4, 3], x()).expect("an array"),
        y(),
    ];
    let text = draft_arrays("points", &arrays, Some("y"), Recipe::Joint).expect("a model");
    assert!(text.contains("data   x: real[3] standardized\n"), "{text}");
    assert!(text.contains("// Known in 3 of 4 rows: 0, 1, 2"), "{text}");
    let (model, _) = Model::parse_for("m.dgm", &text, &arrays, &[]).expect("a model");
    Dataset::from_arrays(&model, arrays.clone()).expect("the draft fits its data");
    let [x, _] = arrays;
    let numbers = [x, DataArray::new("y", [4], vec![1.0, f64::NAN, 3.0, 2.0])];
    let text = draft_arrays("points", &numbers, Some("y"), Recipe::Joint).expect("a model");
    assert!(text.contains("// Known in 3 of 4 rows."), "{text}");
    assert!(text.contains("label  y: real standardized"), "{text}");
    let (model, _) = Model::parse_for("m.dgm", &text, &numbers, &[]).expect("a model");
    Dataset::from_arrays(&model, numbers).expect("the draft fits its data");
}
