//! Broken data sets and checkpoints: cut short, with bits flipped, with headers that promise too
//! much. None may panic, and what is refused is named.

use crate::common;

use dgc::{
    Dataset,
    model::Model,
    run::{arrays, bound, data},
    tensor::philox,
};
use flate2::{Compression, write::GzEncoder};
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;
use std::{io::Write, path::Path};

fn model() -> Model {
    let text = "model tiny {\n data x: binary[9]\n label y: class[3]\n latent z: real[2]\n net body = [dense(4) > relu]\n\
                generative {\n z ~ normal(0, 1)\n y ~ uniform\n y, z -> x ~ bernoulli(body)\n}\n\
                inference {\n x -> y ~ categorical(body)\n x, y -> z ~ normal(body)\n}\n\
                objective {\n sum y\n}\n}\n";
    common::check("tiny.dgm", text, &[])
}

const ROWS: usize = 6;

fn idx_images() -> Vec<u8> {
    let header = [
        [0, 0, 8, 3].to_vec(),
        6u32.to_be_bytes().to_vec(),
        3u32.to_be_bytes().to_vec(),
    ]
    .concat();
    [
        header,
        3u32.to_be_bytes().to_vec(),
        (0..9 * ROWS as u8).collect(),
    ]
    .concat()
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("a vector grows");
    encoder.finish().expect("a vector grows")
}

fn npz(compressed: bool) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = if compressed {
        NpzWriter::new_compressed(&mut bytes)
    } else {
        NpzWriter::new(&mut bytes)
    };
    writer
        .add_array("x", &Array2::<f32>::from_elem((ROWS, 9), 0.5))
        .expect("an array is written");
    writer
        .add_array("y", &Array1::<i64>::from_elem(ROWS, -1))
        .expect("an array is written");
    writer.finish().expect("an array is written");
    bytes.into_inner()
}

fn safetensors(folder: &Path) -> Vec<u8> {
    let array = |name: &str, shape: &[usize], value: f64| arrays::NamedArray {
        name: name.to_string(),
        shape: shape.to_vec(),
        data: vec![value; shape.iter().product()],
    };
    let path = folder.join("good.safetensors");
    arrays::write(
        &path,
        &[array("x", &[ROWS, 9], 0.5), array("y", &[ROWS], 2.0)],
        Default::default(),
        false,
    )
    .expect("a file");
    std::fs::read(path).expect("a file")
}

/// The whole bytes, every way to cut them short, and many ways to flip a bit or overwrite some
/// bytes with ones.
fn broken(bytes: &[u8]) -> Vec<Vec<u8>> {
    let number =
        |i: usize, below: usize| (philox::uniform(1, 0, 3, i as u64) * below as f64) as usize;
    let mut all: Vec<Vec<u8>> = (0..bytes.len()).map(|len| bytes[..len].to_vec()).collect();
    for i in 0..3000 {
        let mut changed = bytes.to_vec();
        let at = number(2 * i, bytes.len());
        if i % 3 == 0 {
            let end = bytes.len().min(at + 8);
            changed[at..end].fill(0xFF);
        } else {
            changed[at] ^= 1 << number(2 * i + 1, 8);
        }
        all.push(changed);
    }
    all
}

/// Loads every broken version of a file; gives how many were refused.
fn try_all(folder: &Path, name: &str, bytes: &[u8], source: &Path) -> usize {
    let (model, file) = (model(), folder.join(name));
    std::fs::write(&file, bytes).expect("a file can be written");
    let whole = data::load(source.to_str(), &model).expect("the whole file is fine");
    assert_eq!(whole.train.rows, ROWS);
    let mut refused = 0;
    for bytes in broken(bytes) {
        std::fs::write(&file, &bytes).expect("a file can be written");
        match data::load(source.to_str(), &model) {
            // A flipped bit may make another valid value.
            Ok(dataset) => assert!(dataset.train.rows > 0, "a data set has rows"),
            Err(error) => {
                refused += 1;
                assert!(
                    error
                        .to_string()
                        .contains(folder.to_str().expect("a plain name")),
                    "no place: {error}"
                );
            }
        }
    }
    refused
}

#[test]
fn idx() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let images = idx_images();
    let refused = try_all(
        folder.path(),
        "train-images-idx3-ubyte",
        &images,
        folder.path(),
    );
    assert!(refused >= images.len(), "every cut is noticed");
    std::fs::remove_file(folder.path().join("train-images-idx3-ubyte")).expect("the file is there");
    let packed = gzipped(&images);
    let refused = try_all(
        folder.path(),
        "train-images-idx3-ubyte.gz",
        &packed,
        folder.path(),
    );
    assert!(refused >= packed.len(), "every cut is noticed");
}

#[test]
fn npz_plain_and_compressed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for compressed in [false, true] {
        let bytes = npz(compressed);
        let refused = try_all(
            folder.path(),
            "data.npz",
            &bytes,
            &folder.path().join("data.npz"),
        );
        assert!(refused >= bytes.len() / 2, "cuts are noticed");
    }
}

#[test]
fn safetensors_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let bytes = safetensors(folder.path());
    let refused = try_all(
        folder.path(),
        "data.safetensors",
        &bytes,
        &folder.path().join("data.safetensors"),
    );
    assert!(refused >= bytes.len(), "every cut is noticed");
}

/// Arrays of safetensors files keep their type, and large ones stay in the file.
#[test]
fn large_safetensors_stay_in_their_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data.safetensors");
    let rows = 2_000_000;
    let header = format!(
        "{{\"x\":{{\"dtype\":\"F32\",\"shape\":[{rows},9],\"data_offsets\":[0,{0}]}},\
         \"y\":{{\"dtype\":\"U8\",\"shape\":[{rows}],\"data_offsets\":[{0},{1}]}},\
         \"z\":{{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[{1},{2}]}}}}",
        rows * 36,
        rows * 37,
        rows * 37 + 4
    );
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(&(header.len() as u64).to_le_bytes())
        .expect("written");
    file.write_all(header.as_bytes()).expect("written");
    let start = 8 + header.len() as u64;
    file.set_len(start + rows * 37 + 4)
        .expect("a file with holes");
    // The last row; the others are 0.
    let mut last = std::io::Cursor::new(Vec::new());
    (1..=9u8).for_each(|x| {
        last.write_all(&(f32::from(x) / 16.0).to_le_bytes())
            .expect("written")
    });
    std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(start + (rows - 1) * 36))
        .expect("a place");
    file.write_all(last.get_ref()).expect("written");
    let data = Dataset::open(&path, &model()).expect("a data set");
    let field = data.train().field_count();
    let x = (0..field)
        .find(|&at| data.train().field(at).name == "x")
        .expect("the array");
    assert!(data.train().is_slow(x), "the array is not in memory");
    let mut out = [7.0; 18];
    data.train()
        .read(x, &[rows as u32 - 1, 3], &mut out)
        .expect("readable");
    let expected: Vec<f32> = (1..=9u8).map(|x| f32::from(x) / 16.0).collect();
    assert_eq!(out[..9], expected);
    assert_eq!(out[9..], [0.0; 9]);
    assert_eq!(data.others(), ["z"]);
}

/// A header may promise more than there is memory for.
#[test]
fn an_array_that_cannot_be() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data.npz");
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 900000), }";
    let padded = format!("{header:<117}\n");
    let npy = [
        b"\x93NUMPY\x01\x00".to_vec(),
        (padded.len() as u16).to_le_bytes().to_vec(),
        padded.into_bytes(),
    ]
    .concat();
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).expect("a file can be made"));
    writer
        .start_file("x.npy", zip::write::SimpleFileOptions::default())
        .expect("an entry");
    writer.write_all(&npy).expect("an entry");
    writer.finish().expect("a file");
    let error = data::load(path.to_str(), &model()).expect_err("there is no such array");
    assert!(
        error.to_string().contains("array `x`: it has 0 bytes"),
        "{error}"
    );
}

/// NumPy's `float16` and `bool`, which the reader of npy files does not know as numbers.
#[test]
fn small_types() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("data.npz");
    let values: Vec<u8> = (0..9 * ROWS)
        .flat_map(|i| half::f16::from_f64(i as f64 / 64.0).to_le_bytes())
        .collect();
    let header = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({ROWS}, 9), }}");
    let padded = format!("{header:<117}\n");
    let start = [
        b"\x93NUMPY\x01\x00".to_vec(),
        (padded.len() as u16).to_le_bytes().to_vec(),
    ]
    .concat();
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&path).expect("a file can be made"));
    writer
        .start_file("x.npy", zip::write::SimpleFileOptions::default())
        .expect("an entry");
    writer
        .write_all(&[start, padded.into_bytes(), values].concat())
        .expect("an entry");
    writer.finish().expect("a file");
    let dataset = data::load(path.to_str(), &model()).expect("half floats are numbers");
    let source: &dyn data::Source = &dataset.train;
    let read = source.values("x").expect("readable").expect("a variable");
    assert!(
        read.iter()
            .enumerate()
            .all(|(i, &value)| value == i as f32 / 64.0),
        "{read:?}"
    );
}

/// What `dgc bound` is given is held to what the model says.
#[test]
fn a_batch_that_does_not_fit() {
    let model = model();
    let parameters = common::parameters(&model);
    let bound = |x: f64, y: f64| {
        let array = |name: &str, shape: &[usize], value: f64| {
            let data = vec![value; shape.iter().product()];
            (
                name.to_string(),
                arrays::NamedArray {
                    name: name.to_string(),
                    shape: shape.to_vec(),
                    data,
                },
            )
        };
        let batch = [array("x", &[2, 9], x), array("y", &[2], y)].into();
        bound::bound(
            &model,
            &parameters,
            &batch,
            None,
            0,
            &bound::Engine::Reference,
        )
        .map(|report| report.json)
    };
    let json = bound(0.5, 2.0).expect("a batch");
    assert_eq!(json["sizes"], serde_json::json!({ "x": 9, "y": 3, "z": 2 }));
    for (x, y, told) in [
        (1.5, 0.0, "`x`: row 0"),
        (f64::NAN, 0.0, "`x`: row 0"),
        (
            0.5,
            3.0,
            "batch: `y`: row 0: expected a class from 0 to 2, or -1 for an unlabelled row, found 3",
        ),
    ] {
        let error = bound(x, y).expect_err("it does not fit").to_string();
        assert!(error.contains(told), "{error}");
    }
}

fn save(folder: &Path, arrays: &[(&str, &[usize], f64)]) -> std::path::PathBuf {
    let array = |&(name, shape, value): &(&str, &[usize], f64)| arrays::NamedArray {
        name: name.to_string(),
        shape: shape.to_vec(),
        data: vec![value; shape.iter().product()],
    };
    let path = folder.join("saved.safetensors");
    let arrays: Vec<_> = arrays.iter().map(array).collect();
    arrays::write(&path, &arrays, Default::default(), false).expect("a file");
    path
}

/// Rows lie flat or in the variable's shape; transposed they would be taken for what they are not.
#[test]
fn rows_have_the_shape_of_their_variable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = |shape: &str| {
        let text = format!(
            "model image {{\n data x: binary{shape}\n latent z: real\n generative {{\n z ~ normal(0, 1)\n z -> x ~ bernoulli(linear)\n}}\n\
             inference {{\n x -> z ~ normal(linear)\n}}\n}}\n"
        );
        common::check("image.dgm", &text, &[])
    };
    for (variable, array, fits) in [
        ("[2, 3]", &[4, 6][..], true),
        ("[2, 3]", &[4, 2, 3], true),
        ("[2, 3]", &[4, 1, 2, 3], true),
        ("[2, 3]", &[4, 3, 2], false),
        ("[2, 2, 3]", &[4, 2, 3, 2], false),
        ("[6]", &[4, 2, 3], true),
        ("[6]", &[4, 5], false),
        ("", &[4], true),
        ("", &[4, 1], true),
        ("", &[4, 2], false),
    ] {
        let path = save(folder.path(), &[("x", array, 1.0)]);
        let loaded = data::load(path.to_str(), &model(variable));
        assert_eq!(loaded.is_ok(), fits, "{variable}, {array:?}");
        if let Err(error) = loaded {
            assert!(error.to_string().contains("do not fit `x`"), "{error}");
        }
    }
}

/// Greys are no counts, and their zeros are not above 0.
#[test]
fn pixels_are_values_of_their_variable() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("train-images-idx3-ubyte"), idx_images())
        .expect("a file can be written");
    for (kind, distribution, value) in [
        (
            "count",
            "poisson",
            "feature 1: expected a whole number of at least 0, found 0.003",
        ),
        (
            "positive",
            "gamma",
            "feature 0: expected a number above 0, found 0",
        ),
        (
            "unit",
            "beta",
            "feature 0: expected a number between 0 and 1, found 0",
        ),
    ] {
        let text = format!(
            "model pixels {{\n data x: {kind}[9]\n latent z: real\n generative {{\n z ~ normal(0, 1)\n z -> x ~ {distribution}(linear)\n}}\n\
             inference {{\n x -> z ~ normal(linear)\n}}\n}}\n"
        );
        let error = data::load(
            folder.path().to_str(),
            &common::check("pixels.dgm", &text, &[]),
        )
        .expect_err("no such values");
        assert!(error.to_string().contains(value), "{error}");
    }
}

#[test]
fn a_row_has_all_labels_or_none() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "model two {\n label y: class[3]\n label w: class[2]\n data x: binary[9]\n latent z: real\n\
                generative {\n z ~ normal(0, 1)\n y ~ uniform\n w ~ uniform\n w, y, z -> x ~ bernoulli(linear)\n}\n\
                inference {\n x -> y ~ categorical(linear)\n x -> w ~ categorical(linear)\n w, x, y -> z ~ normal(linear)\n}\n\
                objective {\n sum y\n sum w\n}\n}\n";
    let model = common::check("two.dgm", text, &[]);
    let load =
        |arrays: &[(&str, &[usize], f64)]| data::load(save(folder.path(), arrays).to_str(), &model);
    let error = load(&[("x", &[4, 9], 1.0), ("y", &[4], 2.0), ("w", &[4], -1.0)])
        .expect_err("a label is missing");
    assert!(
        error
            .to_string()
            .contains("row 0: expected all labels or none, found `y` but not `w`"),
        "{error}"
    );
    // Wherever a label is declared, it may be missing; and what is misspelt is named.
    let loaded = load(&[
        ("x", &[4, 9], 1.0),
        ("label", &[4], 2.0),
        ("test_x", &[4, 9], 1.0),
    ])
    .expect("data without labels");
    assert_eq!(
        (loaded.train.classes("y"), loaded.train.classes("w")),
        (Some(&[-1; 4][..]), Some(&[-1; 4][..]))
    );
    assert_eq!(loaded.others, ["label", "test_x"]);
    // Labels that are left out are left out together.
    let loaded = load(&[("x", &[4, 9], 1.0), ("y", &[4], 2.0), ("w", &[4], 1.0)]).expect("data");
    let split = data::split(&loaded.train.into(), Some((&model, 1)), 0, 0)
        .expect("a split")
        .train;
    let (y, w) = (
        split.classes("y").expect("rows").expect("y"),
        split.classes("w").expect("rows").expect("w"),
    );
    assert_eq!(y.iter().filter(|&&class| class >= 0).count(), 1);
    assert!(y.iter().zip(&w).all(|(y, w)| (*y >= 0) == (*w >= 0)));
}
