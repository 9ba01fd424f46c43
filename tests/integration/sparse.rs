//! Sparse matrices and arrays that stay in their files: the same numbers as dense arrays in memory, and
//! damaged files are refused by file and array.

use crate::common;

use dgc::{
    Dataset, Error, Model,
    backend::Device,
    run::{data::Source, train::Stepper},
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

const ROWS: usize = 60;
const GENES: usize = 7;

/// A model of counts and their sum, with a type that is known for some rows.
pub fn model() -> Model {
    let text = "model cells {
  data   counts: count[7]
  data   library: positive
  label  kind: class[3]
  latent z: real[2]

  net body = [dense(5) > tanh]

  generative {
             z ~ normal(0, 1)
             kind ~ uniform
             library ~ log_normal(linear)
    kind, z -> counts ~ poisson(body)
  }

  inference {
    counts, library       -> kind ~ categorical(body)
    counts, library, kind -> z ~ normal(body)
  }

  objective {
    sum kind
    classify kind
  }

  train {
    batch labelled 5, unlabelled 8
    optimizer adam(rate = 1e-2)
    epochs 3
  }
}
";
    common::check("cells.dgm", text, &[])
}

/// The counts of a row: about half of them are 0, and one row has none.
fn counts(row: usize) -> [u32; GENES] {
    std::array::from_fn(|gene| match (row * 31 + gene * 17 + row * gene) % 11 {
        _ if row == 9 => 0,
        number @ 6.. => number as u32 - 5,
        _ => 0,
    })
}

fn library(row: usize) -> f32 {
    1.0 + counts(row).iter().sum::<u32>() as f32
}

fn kind(row: usize) -> i64 {
    row as i64 % 4 - 1
}

/// An npy file.
pub fn npy(kind: &str, shape: &[usize], data: &[u8]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes}), }}\n");
    let len = u16::try_from(header.len()).expect("a short header");
    [
        b"\x93NUMPY\x01\x00",
        len.to_le_bytes().as_slice(),
        header.as_bytes(),
        data,
    ]
    .concat()
}

fn bytes<const N: usize, T>(numbers: &[T], write: impl Fn(&T) -> [u8; N]) -> Vec<u8> {
    numbers.iter().flat_map(write).collect()
}

fn npz(path: &Path, arrays: &[(&str, Vec<u8>)], compressed: bool) {
    let method = match compressed {
        true => zip::CompressionMethod::Deflated,
        false => zip::CompressionMethod::Stored,
    };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut writer = zip::ZipWriter::new(fs::File::create(path).expect("a file"));
    for (name, array) in arrays {
        writer
            .start_file(format!("{name}.npy"), options)
            .expect("an entry");
        writer.write_all(array).expect("an entry");
    }
    writer.finish().expect("a file");
}

/// The counts as an array.
fn dense() -> Vec<u8> {
    let all: Vec<u32> = (0..ROWS).flat_map(counts).collect();
    npy(
        "<f4",
        &[ROWS, GENES],
        &bytes(&all, |&x| (x as f32).to_le_bytes()),
    )
}

/// The counts as the arrays of a sparse matrix: data, indices, indptr and shape.
struct Sparse {
    data: Vec<f32>,
    indices: Vec<i32>,
    indptr: Vec<i64>,
    shape: Vec<i64>,
}

impl Sparse {
    fn new() -> Self {
        let (mut data, mut indices, mut indptr) = (Vec::new(), Vec::new(), vec![0]);
        for row in 0..ROWS {
            // From the last column to the first: scipy need not sort them.
            for (gene, &count) in counts(row).iter().enumerate().rev() {
                if count > 0 {
                    data.push(count as f32);
                    indices.push(gene as i32);
                }
            }
            indptr.push(data.len() as i64);
        }
        let shape = vec![ROWS as i64, GENES as i64];
        Sparse {
            data,
            indices,
            indptr,
            shape,
        }
    }

    /// The same matrix by columns, as scipy's `csc_matrix`.
    fn by_columns() -> Self {
        let (mut data, mut indices, mut indptr) = (Vec::new(), Vec::new(), vec![0]);
        for gene in 0..GENES {
            for row in (0..ROWS).rev().filter(|&row| counts(row)[gene] > 0) {
                data.push(counts(row)[gene] as f32);
                indices.push(row as i32);
            }
            indptr.push(data.len() as i64);
        }
        Sparse {
            data,
            indices,
            indptr,
            shape: vec![ROWS as i64, GENES as i64],
        }
    }

    /// The arrays, with names that begin with `prefix`.
    fn arrays(&self, prefix: &str) -> Vec<(String, Vec<u8>)> {
        let data = bytes(&self.data, |x| x.to_le_bytes());
        let indices = bytes(&self.indices, |x| x.to_le_bytes());
        let indptr = bytes(&self.indptr, |x| x.to_be_bytes());
        let shape = bytes(&self.shape, |x| x.to_le_bytes());
        let array = |name: &str, kind: &str, len: usize, bytes: &[u8]| {
            (format!("{prefix}{name}"), npy(kind, &[len], bytes))
        };
        vec![
            array("indices", "<i4", self.indices.len(), &indices),
            array("indptr", ">i8", self.indptr.len(), &indptr),
            array("data", "<f4", self.data.len(), &data),
            array("shape", "<i8", self.shape.len(), &shape),
        ]
    }
}

/// The arrays beside the counts.
fn others(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let libraries: Vec<f32> = (0..ROWS).map(library).collect();
    let kinds: Vec<i64> = (0..ROWS).map(kind).collect();
    vec![
        (
            format!("{prefix}library"),
            npy("<f4", &[ROWS], &bytes(&libraries, |x| x.to_le_bytes())),
        ),
        (
            format!("{prefix}kind"),
            npy("<i8", &[ROWS], &bytes(&kinds, |x| x.to_le_bytes())),
        ),
    ]
}

fn write(path: &Path, arrays: Vec<(String, Vec<u8>)>, compressed: bool) -> PathBuf {
    let named: Vec<(&str, Vec<u8>)> = arrays
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    npz(path, &named, compressed);
    path.to_path_buf()
}

fn open(path: &Path) -> Result<Dataset, Error> {
    Dataset::open(path, &model())
}

/// The bits of the parameters after some steps.
pub fn bits(model: &Model, source: Arc<dyn Source>, steps: usize) -> Vec<u32> {
    let mut stepper = Stepper::new(model.clone(), source, 7, &Device::cpu(2)).expect("a trainer");
    (0..steps).for_each(|_| stepper.step().expect("a step"));
    let session = &stepper.session;
    let values = session
        .device
        .read(session.parameters, 0, session.layout.total);
    let values = values.expect("parameters");
    values.iter().map(|value| value.to_bits()).collect()
}

/// The bits of training on the training rows of a data set.
pub fn bits_of(dataset: &Dataset) -> Vec<u32> {
    // Views of rows read as the rows themselves.
    let rows = (0..dataset.train().rows() as u32).collect();
    let view = dgc::run::data::RowView::new(shared(dataset), rows);
    bits(&model(), Arc::new(view), 25)
}

/// The training rows, shared.
fn shared(dataset: &Dataset) -> Arc<dyn Source> {
    #[derive(Debug)]
    struct Rows(Dataset);
    impl Source for Rows {
        fn rows(&self) -> usize {
            self.0.train().rows()
        }
        fn field_count(&self) -> usize {
            self.0.train().field_count()
        }
        fn field(&self, index: usize) -> dgc::Field<'_> {
            self.0.train().field(index)
        }
        fn read(&self, field: usize, rows: &[u32], out: &mut [f32]) -> dgc::Result<()> {
            self.0.train().read(field, rows, out)
        }
        fn is_slow(&self, field: usize) -> bool {
            self.0.train().is_slow(field)
        }
    }
    Arc::new(Rows(dataset.clone()))
}

/// The values of a variable.
fn values(source: &dyn Source, name: &str) -> Vec<f32> {
    let values = source.values(name).expect("readable");
    values.expect("the variable is there")
}

/// The rows as the reference says them.
pub fn check_values(dataset: &Dataset) {
    let expected: Vec<f32> = (0..ROWS)
        .flat_map(|row| counts(row).map(|count| count as f32))
        .collect();
    assert_eq!(values(dataset.train(), "counts"), expected);
    let expected: Vec<f32> = (0..ROWS).map(library).collect();
    assert_eq!(values(dataset.train(), "library"), expected);
    let expected: Vec<f32> = (0..ROWS).map(|row| kind(row) as f32).collect();
    assert_eq!(values(dataset.train(), "kind"), expected);
}

/// The data set as dense arrays of an npz file.
pub fn dense_dataset(folder: &Path) -> Dataset {
    let arrays = [vec![("counts".to_string(), dense())], others("")].concat();
    open(&write(&folder.join("dense.npz"), arrays, false)).expect("a data set")
}

#[test]
fn dense_sparse_and_folder_train_to_the_same_bits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    let reference = dense_dataset(folder);
    check_values(&reference);
    let expected = bits_of(&reference);
    let sparse = Sparse::new();
    let mut fingerprints = Vec::new();
    let mut check = |path: &Path| {
        let dataset = open(path).expect("a data set");
        check_values(&dataset);
        assert_eq!(bits_of(&dataset), expected, "{}", path.display());
        assert_eq!(dataset.others(), [""; 0], "{}", path.display());
        fingerprints.push(dataset.fingerprint().expect("readable"));
    };
    // Beside other arrays; and as scipy's file, with and without its format.
    for compressed in [false, true] {
        let path = folder.join(format!("beside{compressed}.npz"));
        let arrays = [sparse.arrays("counts."), others("")].concat();
        check(&write(&path, arrays, compressed));
        let path = folder.join(format!("whole{compressed}.npz"));
        let mut arrays = [sparse.arrays(""), others("")].concat();
        if compressed {
            arrays.push(("format".to_string(), npy("|S3", &[], b"csr")));
        }
        check(&write(&path, arrays, compressed));
    }
    // By columns.
    for compressed in [false, true] {
        let csc = Sparse::by_columns();
        let format = |prefix: &str| (format!("{prefix}format"), npy("|S3", &[], b"csc"));
        let path = folder.join(format!("columns{compressed}.npz"));
        let arrays = [csc.arrays("counts."), others(""), vec![format("counts.")]].concat();
        check(&write(&path, arrays, compressed));
        let path = folder.join(format!("whole-columns{compressed}.npz"));
        let arrays = [csc.arrays(""), others(""), vec![format("")]].concat();
        check(&write(&path, arrays, compressed));
    }
    // A folder with a file for each array, of which one is dense or sparse.
    for is_sparse in [false, true] {
        let arrays = folder.join(format!("folder{is_sparse}"));
        fs::create_dir(&arrays).expect("a folder");
        for (name, bytes) in others("") {
            fs::write(arrays.join(format!("{name}.npy")), bytes).expect("a file");
        }
        if is_sparse {
            write(&arrays.join("counts.npz"), sparse.arrays(""), true);
            check(&arrays);
        } else {
            fs::write(arrays.join("counts.npy"), dense()).expect("a file");
            let dataset = open(&arrays).expect("a data set");
            assert_eq!(bits_of(&dataset), expected);
            assert_eq!(dataset.fingerprint(), reference.fingerprint());
        }
    }
    // A sparse matrix has one fingerprint, however it is stored.
    assert!(fingerprints.iter().all(|one| *one == fingerprints[0]));
    assert_ne!(Ok(fingerprints[0].clone()), reference.fingerprint());
}

#[test]
fn test_rows_may_be_sparse() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sparse = Sparse::new();
    let arrays = [
        sparse.arrays("counts."),
        others(""),
        sparse.arrays("test.counts."),
        others("test."),
    ];
    let path = write(&folder.path().join("cells.npz"), arrays.concat(), false);
    let dataset = open(&path).expect("a data set");
    let test = dataset.test().expect("test rows");
    assert_eq!(values(test, "counts"), values(dataset.train(), "counts"));
}

#[test]
fn damaged_matrices_are_refused_by_file_and_array() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("cells.npz");
    type Edit = fn(&mut Sparse);
    let cases: [(Edit, &str); 10] = [
        (
            |m| m.indices[0] = GENES as i32,
            "`counts`: row 0: expected columns from 0 to 6, found 7",
        ),
        (
            |m| m.indices[0] = -1,
            "`counts`: row 0: expected columns from 0 to 6, found one that is negative",
        ),
        (|m| m.indices[1] = m.indices[0], "`counts`: row 0: column"),
        (
            |m| m.indptr[5] = m.indptr[4] - 1,
            "`counts.indptr`: number 5: expected a number from",
        ),
        (
            |m| m.indptr[0] = 1,
            "`counts.indptr`: number 0: expected a number from 0 to 0, found 1",
        ),
        (
            |m| *m.indptr.last_mut().expect("rows") += 1,
            "`counts.indptr`: number 60: expected a number from",
        ),
        (
            |m| m.indptr.truncate(ROWS),
            "`counts.indptr`: expected 60 + 1 numbers for the shape [60, 7], found 60",
        ),
        (
            |m| m.data.truncate(3),
            "`counts.data`: expected as many numbers as in `counts.indices`",
        ),
        (|m| m.data[4] = f32::NAN, "`counts`: row "),
        (
            |m| m.shape = vec![60, 1 << 40],
            "`counts`: rows with shape 1099511627776 do not fit `counts`, which is 7",
        ),
    ];
    for (edit, expected) in cases {
        let mut sparse = Sparse::new();
        edit(&mut sparse);
        write(
            &path,
            [sparse.arrays("counts."), others("")].concat(),
            false,
        );
        let error = open(&path).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("cells.npz"), "{error}");
        assert!(error.contains("help: "), "{error}");
    }
    // Arrays of another type, a missing one, and another format.
    let matrix = || Sparse::new().arrays("counts.");
    let replaced = |name: &str, array: Vec<u8>| {
        let mut arrays = matrix();
        arrays.retain(|(old, _)| old != name);
        arrays.push((name.to_string(), array));
        [arrays, others("")].concat()
    };
    let entries = Sparse::new().indices.len();
    for (arrays, expected) in [
        (
            replaced(
                "counts.indices",
                npy("<f4", &[entries], &vec![0; 4 * entries]),
            ),
            "`counts.indices`: expected whole numbers, found float32",
        ),
        (
            replaced("counts.shape", npy("<i8", &[1], &[0; 8])),
            "`counts.shape`: expected the numbers of rows and columns",
        ),
        (
            replaced("counts.data", npy("<U1", &[entries], &vec![0; 4 * entries])),
            "array `counts.data`: its type `<U1` is not numeric",
        ),
        (
            replaced(
                "counts.data",
                npy("<f4", &[entries + 1], &vec![0; 4 * entries]),
            ),
            "array `counts.data`: it has",
        ),
        (
            replaced("counts.format", npy("|S3", &[], b"csc")),
            "`counts.indptr`: expected 7 + 1 numbers for the shape [60, 7], found 61",
        ),
        (
            replaced("counts.format", npy("|S3", &[], b"coo")),
            "expected a sparse matrix in the format csr or csc, found coo",
        ),
        (
            [matrix()[..3].to_vec(), others("")].concat(),
            "expected an array `counts.shape` of a sparse matrix, found none",
        ),
        (
            [Sparse::new().arrays(""), vec![]].concat(),
            "both `counts` and `library` may take the sparse matrix",
        ),
    ] {
        write(&path, arrays, false);
        let error = open(&path).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains("cells.npz"), "{error}");
    }
}

#[test]
fn folders_name_the_file_that_is_wrong() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    for (name, bytes) in others("") {
        fs::write(folder.join(format!("{name}.npy")), bytes).expect("a file");
    }
    let error = open(folder).expect_err("no counts").to_string();
    assert!(
        error.contains("expected an array `counts`, found none"),
        "{error}"
    );
    let array = dense();
    fs::write(folder.join("counts.npy"), &array[..array.len() - 3]).expect("a file");
    let error = open(folder).expect_err("cut short").to_string();
    assert!(error.contains("counts.npy: it has"), "{error}");
    fs::remove_file(folder.join("counts.npy")).expect("the file is there");
    write(&folder.join("counts.npz"), others(""), false);
    let error = open(folder).expect_err("other arrays").to_string();
    assert!(
        error.contains("counts.npz: expected a sparse matrix, found other arrays"),
        "{error}"
    );
    fs::write(folder.join("counts.npy"), &array).expect("a file");
    fs::remove_file(folder.join("counts.npz")).expect("the file is there");
    fs::write(folder.join("note.txt"), "text").expect("a file");
    check_values(&open(folder).expect("a data set"));
}

/// Arrays above 64 MiB stay in their file, and their rows are read while the step before computes.
#[test]
fn a_large_array_stays_in_its_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    const WIDTH: usize = 1 << 16;
    const LARGE: usize = 1100;
    let text = "model wide {
  data x: real[65536]
  latent z: real[2]
  generative {
    z ~ normal(0, 1)
    z -> x ~ normal(linear)
  }
  inference {
    x -> z ~ normal([layernorm > dense(3) > tanh])
  }
  train {
    batch 100
    optimizer adam(rate = 1e-4)
    clip norm 1
    epochs 1
  }
}
";
    let wide = common::check("wide.dgm", text, &[]);
    // So mixed that it compresses less than 200 times.
    let number = |at: usize| ((at as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61) as u8;
    let numbers: Vec<u8> = (0..LARGE * WIDTH).map(number).collect();
    fs::write(folder.join("x.npy"), npy("|u1", &[LARGE, WIDTH], &numbers)).expect("a file");
    let in_file = Dataset::open(folder, &wide).expect("a data set");
    assert!(in_file.train().is_slow(0), "the array is in its file");
    let path = folder.join("x.npz");
    npz(
        &path,
        &[("x", npy("|u1", &[LARGE, WIDTH], &numbers))],
        false,
    );
    let in_npz = Dataset::open(&path, &wide).expect("a data set");
    assert!(in_npz.train().is_slow(0), "the array is in its file");
    // The other file must stay as it is.
    let path = folder.join("compressed.npz");
    npz(&path, &[("x", npy("|u1", &[LARGE, WIDTH], &numbers))], true);
    let expanded = Dataset::open(&path, &wide).expect("a data set");
    let array = dgc::DataArray::new("x", [LARGE, WIDTH], numbers);
    let in_memory = Dataset::from_arrays(&wide, [array]).expect("a data set");
    assert!(!in_memory.train().is_slow(0));
    for other in [&in_file, &in_npz, &expanded] {
        assert_eq!(other.fingerprint(), in_memory.fingerprint());
    }
    // Beyond the end of an epoch.
    let expected = bits(&wide, shared(&in_memory), 12);
    assert_eq!(bits(&wide, shared(&in_file), 12), expected);
    // A file that is cut short while it is used is an error, and nothing worse.
    let cut = fs::OpenOptions::new()
        .write(true)
        .open(folder.join("x.npy"))
        .expect("the file is there");
    cut.set_len(1000).expect("the file can be cut");
    let mut row = vec![0.0; WIDTH];
    let error = in_file
        .train()
        .read(0, &[5], &mut row)
        .expect_err("a cut file");
    assert!(error.to_string().contains("x.npy"), "{error}");
    let mut stepper = Stepper::new(wide, shared(&in_file), 7, &Device::cpu(2)).expect("a trainer");
    assert!(stepper.step().is_err(), "the rows cannot be read");
}
