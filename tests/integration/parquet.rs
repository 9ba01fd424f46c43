//! Parquet tables as data and as results. The fixtures are files of pandas, polars and pyarrow.

use crate::common::{
    self,
    program::{fails, fine},
};

use dgc::{Dataset, Model, Run, run::data::Source};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::Field,
};
use std::path::{Path, PathBuf};

const MODEL: &str = "model flowers {
  data   x: real[2] MISSING
  data   height: positive MISSING
  label  species: class[3]
  latent z: real[2]

  generative {
                    z ~ normal(0, 1)
                    species ~ uniform
    z, species   -> x ~ normal(linear)
    z            -> height ~ log_normal(linear)
  }

  inference {
    x, height          -> species ~ categorical(linear)
    x, height, species -> z ~ normal(linear)
  }

  objective {
    sum species
    classify species
  }

  train {
    batch labelled 2, unlabelled 2
    optimizer sgd(rate = 0.001)
    epochs 1
  }
}
";

const NUMERIC: &str = "model numeric {
  data   x: real[2]
  label  price: real
  latent z: real[1]

  generative {
                z ~ normal(0, 1)
                price ~ normal(0, 1)
    price, z -> x ~ normal(linear)
  }

  inference {
    x        -> price ~ normal(linear)
    x, price -> z ~ normal(linear)
  }

  objective {
    regress price
  }

  train {
    batch labelled 2, unlabelled 2
    epochs 1
  }
}
";

const NAMES: [&str; 3] = ["lily, white", "rose", "tulip"];

fn model(missing: &str) -> Model {
    common::check("flowers.dgm", &MODEL.replace(" MISSING", missing), &[])
}

fn fixture(name: &str) -> PathBuf {
    common::root().join("tests/fixtures/parquet").join(name)
}

/// The rows of `make.py`: the part, x, the height and the species of each.
fn row(row: usize) -> (usize, [f32; 2], f32, f32) {
    let part = [0, 0, 1, 2][row * 3 % 4];
    let x = [row as f32 * 0.25 - 2.0, (row * row % 7) as f32];
    let species = if row % 4 == 3 { -1.0 } else { (row % 3) as f32 };
    (part, x, (1 + row % 5) as f32, species)
}

fn values(source: Option<&dyn Source>, name: &str) -> Vec<f32> {
    let source = source.expect("the rows are there");
    let values = source.values(name).expect("readable rows");
    values.expect("the variable is there")
}

#[test]
fn files_of_other_programs_have_the_same_rows() {
    let model = model("");
    let mut fingerprints = Vec::new();
    for (name, others) in [
        ("pandas.parquet", &["id", "day", "__index_level_0__"][..]),
        ("polars.parquet", &["id"]),
        ("pyarrow.parquet", &["id"]),
    ] {
        let data = Dataset::open(fixture(name), &model).expect(name);
        let parts = [Some(data.train()), data.test(), data.validation()];
        for (part, source) in parts.into_iter().enumerate() {
            let rows = (0..20).map(row).filter(|row| row.0 == part);
            let rows: Vec<_> = rows.collect();
            let x: Vec<f32> = rows.iter().flat_map(|row| row.1).collect();
            assert_eq!(values(source, "x"), x, "{name}");
            let heights: Vec<f32> = rows.iter().map(|row| row.2).collect();
            assert_eq!(values(source, "height"), heights, "{name}");
            let species: Vec<f32> = rows.iter().map(|row| row.3).collect();
            assert_eq!(values(source, "species"), species, "{name}");
        }
        assert_eq!(data.class_names()["species"], NAMES, "{name}");
        assert_eq!(data.others(), others, "{name}");
        fingerprints.push(data.fingerprint().expect("readable rows"));
    }
    // The same values in other types.
    assert_eq!(fingerprints[0], fingerprints[1]);
    assert_eq!(fingerprints[0], fingerprints[2]);
}

#[test]
fn nulls_are_missing_values() {
    let data = Dataset::open(fixture("missing.parquet"), &model(" with missing"));
    let data = data.expect("a data set");
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let nan = f32::NAN;
    let x = values(Some(data.train()), "x");
    assert_eq!(bits(&x), bits(&[1.0, nan, nan, nan, 3.0, 4.0, nan, nan]));
    let height = values(Some(data.train()), "height");
    assert_eq!(bits(&height), bits(&[1.0, nan, 3.0, nan]));
    assert_eq!(values(Some(data.train()), "species"), [0.0, -1.0, 1.0, 2.0]);
    assert!(data.class_names().is_empty());
}

#[test]
fn mistakes_name_their_column() {
    let mut said = String::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let cut = std::fs::read(fixture("polars.parquet")).expect("a fixture");
    std::fs::write(folder.path().join("cut.parquet"), &cut[..cut.len() / 2]).expect("a file");
    std::fs::write(folder.path().join("empty.parquet"), "").expect("a file");
    for path in [
        fixture("missing.parquet"),
        fixture("long.parquet"),
        fixture("types.parquet"),
        folder.path().join("cut.parquet"),
        folder.path().join("empty.parquet"),
    ] {
        let error = Dataset::open(&path, &model("")).expect_err("it is refused");
        let folder = path.parent().expect("a folder").display().to_string();
        said += &(error.to_string().replace(&folder, "DATA") + "\n");
    }
    insta::assert_snapshot!(said);
}

/// Damaged files are errors or other values, and end nothing.
#[test]
fn damage_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("damaged.parquet");
    let model = model(" with missing");
    for name in ["pandas.parquet", "polars.parquet", "pyarrow.parquet"] {
        let whole = std::fs::read(fixture(name)).expect("a fixture");
        for at in (0..whole.len()).step_by(11) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, &bytes).expect("a file");
            let _ = Dataset::open(&path, &model);
        }
    }
}

/// The texts of a row of a Parquet file, as a CSV file has them.
fn texts(row: &parquet::record::Row) -> Vec<String> {
    let columns = row.get_column_iter().map(|(_, field)| match field {
        Field::Str(text) => text.clone(),
        Field::Float(number) => number.to_string(),
        Field::Long(number) => number.to_string(),
        Field::Null => String::new(),
        other => panic!("another type: {other:?}"),
    });
    columns.collect()
}

fn parquet_rows(path: &Path) -> Vec<Vec<String>> {
    let file = std::fs::File::open(path).expect("a file");
    let reader = SerializedFileReader::new(file).expect("a Parquet file");
    let schema = reader.metadata().file_metadata().schema_descr();
    let names = schema
        .columns()
        .iter()
        .map(|column| column.name().to_string());
    let mut rows = vec![names.collect()];
    rows.extend(reader.into_iter().map(|row| texts(&row.expect("a row"))));
    rows
}

fn csv_rows(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_path(path)
        .expect("a file");
    let rows = reader.records().map(|record| record.expect("a row"));
    rows.map(|record| record.iter().map(str::to_string).collect())
        .collect()
}

#[test]
fn results_have_the_columns_of_csv_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("m.dgm"), MODEL.replace(" MISSING", " with missing")).expect("a model");
    let data = fixture("polars.parquet").display().to_string();
    let run = |arguments: &[&str]| fine(folder.path(), arguments);
    run(&["train", "m.dgm", "--data", &data, "-o", "run"]);
    for command in [
        "predict",
        "encode",
        "score",
        "reconstruct",
        "impute",
        "sample",
    ] {
        for name in ["out.csv", "out.parquet"] {
            let mut arguments = vec![command, "run", "-o", name];
            if command != "sample" {
                arguments.extend(["--part", "train", "--id", "id"]);
            }
            run(&arguments);
        }
        let (csv, parquet) = (csv_rows(&at("out.csv")), parquet_rows(&at("out.parquet")));
        assert!(csv.len() > 2, "{command}");
        assert_eq!(csv, parquet, "{command}");
    }
    // 2⁶⁰ and more is no number of double precision.
    run(&[
        "score", "run", "-o", "out.csv", "--part", "test", "--id", "id",
    ]);
    let scores = csv_rows(&at("out.csv"));
    let test = (0..20).filter(|&at| row(at).0 == 1);
    let ids = test.map(|row| ((1u64 << 60) + row as u64).to_string());
    assert_eq!(
        scores[1..]
            .iter()
            .map(|row| row[1].clone())
            .collect::<Vec<_>>(),
        ids.collect::<Vec<_>>()
    );
    // Numeric labels that are not known are empty.
    std::fs::write(at("n.dgm"), NUMERIC).expect("a model");
    std::fs::write(at("n.csv"), "a,b,price\n1,2,3\n2,3,\n3,5,4\n4,6,5\n").expect("a table");
    run(&["train", "n.dgm", "--data", "n.csv", "-o", "numeric"]);
    for name in ["out.csv", "out.parquet"] {
        run(&["predict", "numeric", "-o", name]);
    }
    let (csv, parquet) = (csv_rows(&at("out.csv")), parquet_rows(&at("out.parquet")));
    assert!(csv[2].contains(&String::new()), "{csv:?}");
    assert_eq!(csv, parquet);
    // What was filled in is a data set again.
    run(&["impute", "run", "-o", "filled.parquet", "--part", "train"]);
    run(&[
        "predict",
        "run",
        "--data",
        "filled.parquet",
        "-o",
        "again.csv",
    ]);
    run(&["predict", "run", "--part", "train", "-o", "before.csv"]);
    let predicted = |name: &str| csv_rows(&at(name)).len();
    assert_eq!(predicted("again.csv"), predicted("before.csv"));
}

#[test]
fn sizes_and_first_models_come_from_the_table() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let open = MODEL.replace(" MISSING", "").replace(
        "{\n  data   x: real[2]\n",
        "{\n  size features, kinds\n\n  data   x: real[features]\n",
    );
    std::fs::write(at("open.dgm"), open.replace("class[3]", "class[kinds]")).expect("a model");
    for name in ["pandas.parquet", "polars.parquet", "pyarrow.parquet"] {
        let data = fixture(name).display().to_string();
        let output = format!("run-{name}");
        fine(
            folder.path(),
            &["train", "open.dgm", "--data", &data, "-o", &output],
        );
        let run = Run::open(at(&output)).expect("a run");
        let sizes: Vec<usize> = run
            .model()
            .variables
            .iter()
            .map(|variable| variable.size())
            .collect();
        // The table of pandas has the heights in its numeric columns, which `height` takes.
        assert_eq!(sizes, [2, 1, 3, 2], "{name}");
    }
    let data = fixture("pandas.parquet").display().to_string();
    let text = fine(
        folder.path(),
        &["new", &data, "--label", "species", "-o", "-"],
    );
    assert!(text.contains("data   x: real[3] standardized"), "{text}");
    assert!(text.contains("label  species: class[3]"), "{text}");
    let said = fails(folder.path(), &["new", &data, "--label", "day", "-o", "-"]);
    assert!(
        said.contains("the columns are a, species, b, height, id"),
        "{said}"
    );
}
