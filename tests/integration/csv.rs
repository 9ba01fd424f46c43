//! CSV tables as data, and classes by name.

use crate::common;

use dgc::{Dataset, Error, Model, Options, TableFormat, Trainer, run::data::Source};
use std::path::{Path, PathBuf};

fn model() -> Model {
    let text = "model flowers {
  data   x: real[2]
  data   height: positive
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
    common::check("flowers.dgm", text, &[])
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file is written");
    path
}

/// The values of a variable of the training rows, or of the test rows.
fn values(source: Option<&dyn Source>, name: &str) -> Vec<f32> {
    let source = source.expect("the rows are there");
    let values = source.values(name).expect("rows in memory");
    values.expect("the variable is there")
}

#[test]
fn columns_become_variables() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model();
    let rows = [
        // Separated by commas or semicolons, with lines that end in either way, in any order.
        "\u{feff}species,a,height,b,split\nrose, 1 ,3,2,train\n,4,6e0,5,Train\n\"lily, white\",7,9,-8,test\n",
        "a;b;height;split;species\r\n1;2;3;train;rose\r\n4;5;6;train;NA\r\n7;-8;9;test;lily, white",
    ];
    for text in rows {
        let path = write(folder.path(), "flowers.csv", text);
        let data = Dataset::open(path, &model).expect("a data set");
        assert_eq!(values(Some(data.train()), "x"), [1.0, 2.0, 4.0, 5.0]);
        assert_eq!(values(Some(data.train()), "height"), [3.0, 6.0]);
        assert_eq!(values(Some(data.train()), "species"), [1.0, -1.0]);
        assert_eq!(values(data.test(), "x"), [7.0, -8.0]);
        assert_eq!(values(data.test(), "species"), [0.0]);
        assert_eq!(data.class_names()["species"], ["lily, white", "rose"]);
    }
    let numbered = "x[2]\tid\tx[1]\tspecies\theight\n2\t9\t1\t2\t3\n";
    let path = write(folder.path(), "flowers.tsv", numbered);
    let data = Dataset::open(path, &model).expect("a data set");
    assert_eq!(values(Some(data.train()), "x"), [1.0, 2.0]);
    assert_eq!(values(Some(data.train()), "species"), [2.0]);
    assert_eq!(data.others(), ["id"]);
    assert!(data.test().is_none() && data.class_names().is_empty());
}

/// Numbers that are no classes from 0 are names, in the order of the numbers.
#[test]
fn classes_from_1_are_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = write(
        folder.path(),
        "flowers.csv",
        "a,b,height,species\n1,2,3,10\n1,2,3,9\n1,2,3,1\n1,2,3,-1\n1,2,3,\n",
    );
    let data = Dataset::open(path, &model()).expect("a data set");
    assert_eq!(data.class_names()["species"], ["1", "9", "10"]);
    assert_eq!(
        values(Some(data.train()), "species"),
        [2.0, 1.0, 0.0, -1.0, -1.0]
    );
}

#[test]
fn mistakes_name_their_line_and_column() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model();
    let mut said = String::new();
    for text in [
        "",
        "a,b,height,species\n",
        "a,b,height,species\r\n1,2,3,rose\r\n1,,3,rose\r\n",
        "a,b,height,species\n\n1,2,3,rose\n1,two,3,rose\n",
        "a,b,height,species\n1,2,3\n",
        "a,b,height,species\n1,2,-3,rose\n",
        "a,b,c,height,species\n1,2,3,4,rose\n",
        "a,b,hight,species\n1,2,3,rose\n",
        "x0,x2,x3,height\n1,2,3,4\n",
        "a,a,height\n1,2,3\n",
        "a,b,height,split\n1,2,3,valid\n",
        "a,b,height,split\n1,2,3,test\n",
        "a,b,height,species\n1,2,3,rose\n1,2,3,\"lily\n1,2,3,rose\n1,2,3,lily\n",
        "a,b,height,species\n1,2,3,1\n1,2,3,3\n",
        "a|b|height\n1|2|3\n",
        "a,b,height,species\n1,2,3,a\n1,2,3,b\n1,2,3,c\n1,2,3,d\n",
    ] {
        let path = write(folder.path(), "flowers.csv", text);
        let error = Dataset::open(&path, &model).expect_err("a mistake");
        said += &format!("{error:#}\n");
    }
    let invalid = folder.path().join("flowers.csv");
    std::fs::write(&invalid, b"a,b,height\n\xff,2,3\n").expect("a file is written");
    let error: Error = Dataset::open(&invalid, &model).expect_err("no UTF-8");
    said += &format!("{error:#}\n");
    let said = said.replace(&format!("{}/", folder.path().display()), "");
    insta::assert_snapshot!(said);
}

/// A run keeps the names of its classes: other data have the same numbers for them.
#[test]
fn names_of_classes_stay_with_the_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model();
    let path = write(
        folder.path(),
        "flowers.csv",
        "a,b,height,species\n1,2,3,rose\n2,1,3,lily\n3,1,1,tulip\n1,2,3,rose\n1,2,3,\n1,1,1,\n",
    );
    let data = Dataset::open(&path, &model).expect("a data set");
    let mut trainer = Trainer::new(&model, &data, Options::default()).expect("a trainer");
    assert!(trainer.summary().to_string().contains("1 of class lily"));
    while trainer.epoch().expect("an epoch").is_some() {}
    let run = trainer.finish(folder.path().join("run")).expect("a run");
    let new = write(
        folder.path(),
        "new.csv",
        "a,b,height,species\n3,1,1,tulip\n1,2,3,\n",
    );
    let new = run.open_data(&new).expect("known names");
    let rows = run.rows_of(&new, None).expect("rows");
    let predictions = run.predict(&rows).expect("predictions");
    let found = predictions.get("species").expect("a prediction");
    assert_eq!(found.truth, [2, -1]);
    assert_eq!(found.names, ["lily", "rose", "tulip"]);
    let text = String::from_utf8(
        predictions
            .table(&rows)
            .to_bytes(TableFormat::Csv)
            .expect("CSV"),
    )
    .expect("UTF-8");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "row,species,probability of species,true species,probability of species = lily,\
         probability of species = rose,probability of species = tulip"
    );
    assert_eq!(lines[1].split(',').nth(3), Some("tulip"));
    assert_eq!(lines[2].split(',').nth(3), Some(""));
    let report = run.evaluate(&rows).expect("an evaluation").to_string();
    assert!(report.contains("\n  tulip "), "{report}");
    // Columns are found by name, in any order and among others.
    let likelihood = |text: &str| {
        let path = write(folder.path(), "ordered.csv", text);
        let data = run.open_data(&path)?;
        run.log_likelihood(&run.rows_of(&data, None)?)
    };
    let in_order = likelihood("a,b,height\n3,1,2\n").expect("a likelihood");
    let others = likelihood("b,id,height,a\n1,77,2,3\n").expect("a likelihood");
    assert_eq!(in_order, others);
    let missing = likelihood("c,b,height\n3,1,2\n").expect_err("no column `a`");
    assert!(
        missing.to_string().contains("expected a column `a`"),
        "{missing}"
    );
    // Names that the run does not know, and the same names in a data set that was read alone.
    let other = write(
        folder.path(),
        "other.csv",
        "a,b,height,species\n3,1,1,daisy\n",
    );
    assert!(run.open_data(&other).is_err());
    let other = Dataset::open(&other, &model).expect("a data set");
    assert!(run.rows_of(&other, None).is_err());
}
