//! `dgc new`: a first model for a table.

use crate::common::program::{fails, fine};
use dgc::{Dataset, Ensemble, Model, Options, Recipe, Rows, Trainer};
use std::path::Path;

/// A table of 60 rows: two numeric columns, a column of names, and a label that a third of the rows have.
fn table() -> String {
    let mut text = String::from("length,weight in kg,colour,species,split\n");
    for row in 0..60 {
        let class = row % 3;
        let colour = ["red", "blue"][row % 2];
        let species = match row % 9 {
            0..3 => ["a", "b", "c"][class],
            _ => "",
        };
        let split = if row < 45 { "train" } else { "test" };
        let (length, weight) = (100 + 10 * class + row % 7, 0.25 * row as f64);
        text += &format!("{length},{weight},{colour},{species},{split}\n");
    }
    text
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file is written");
}

#[test]
fn a_draft_trains_without_edits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write(at, "animals.csv", &table());
    fine(
        at,
        &[
            "new",
            "animals.csv",
            "--label",
            "species",
            "-o",
            "animals.dgm",
        ],
    );
    let text = std::fs::read_to_string(at.join("animals.dgm")).expect("a model");
    insta::assert_snapshot!(text);
    assert_eq!(
        fine(at, &["check", "animals.dgm"]),
        "animals.dgm: no mistakes\n"
    );
    let train = [
        "train",
        "--data",
        "animals.csv",
        "--epochs",
        "2",
        "--threads",
        "1",
    ];
    fine(at, &[&train[..], &["animals.dgm", "-o", "run"]].concat());
    let predicted = fine(at, &["predict", "run", "-o", "-"]);
    assert_eq!(predicted.lines().count(), 16, "{predicted}");
    assert!(
        predicted.contains("probability of species = b"),
        "{predicted}"
    );
    let scores = fine(at, &["score", "run", "-o", "-"]);
    assert!(scores.starts_with("row,log-likelihood\n45,"), "{scores}");
    // A model is not replaced.
    assert!(fails(at, &["new", "animals.csv", "-o", "animals.dgm"]).contains("the file exists"));
    // Without a label, all columns are data. Some values are missing, also in test rows alone.
    let holes = table()
        .replace("\n111,", "\nNA,")
        .replace("14.75,blue,", "14.75,,");
    write(at, "holes.csv", &holes);
    fine(at, &["new", "holes.csv", "-o", "all.dgm"]);
    let text = std::fs::read_to_string(at.join("all.dgm")).expect("a model");
    assert!(
        text.contains("data   x: real[2] standardized with missing"),
        "{text}"
    );
    assert!(
        text.contains("data   species: class[3] with missing"),
        "{text}"
    );
    // A single number, a column of many texts, columns that look like those of `x`, and labels of −1.
    let names: Vec<String> = (0..40).map(|row| format!("name {row}")).collect();
    let line = |row: usize| {
        let class = ["-1", "0", "1"][row % 3];
        format!("{},{},{},{class}", names[row], row % 7, row % 5)
    };
    let lines: Vec<String> = (0..40).map(line).collect();
    let all = format!("name,x1,b,y\n{}\n", lines.join("\n"));
    let one: Vec<String> = (0..40)
        .map(|row| format!("{}.5,{}", row % 7, row % 2))
        .collect();
    for (table, text) in [("odd", all), ("one", format!("a,y\n{}\n", one.join("\n")))] {
        write(at, &format!("{table}.csv"), &text);
        let (data, model) = (format!("{table}.csv"), format!("{table}.dgm"));
        fine(at, &["new", &data, "--label", "y", "-o", &model]);
        let train = [
            "train", &model, "--data", &data, "--epochs", "1", "-o", table,
        ];
        let said = fine(at, &train);
        assert!(said.contains("of each of 2 classes"), "{said}");
    }
    fine(
        at,
        &[
            &train[..1],
            &[
                "all.dgm",
                "--data",
                "holes.csv",
                "--epochs",
                "1",
                "-o",
                "all",
            ],
        ]
        .concat(),
    );
}

#[test]
fn a_table_that_makes_no_model_is_explained() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let cases = [
        ("", "y", "empty file"),
        ("a,y\n", "y", "expected a row for training"),
        ("a,y\n1,-1\n2,1\n3,1\n", "y", "has 1 class"),
        ("a,a,y\n1,2,p\n3,4,q\n", "y", "two columns `a`"),
        ("a;b|y\n", "y", "expected a row"),
        ("a|y\n1|p\n", "y", "separated by commas"),
        ("a,b,y\n1,2,p\n3,?,q\n5,6,q\n", "y", "the text `?`"),
        ("a,b\n1,2\n3,4\n", "y", "has no such column"),
        ("a,y\n,p\n,q\n", "y", "found no column to learn from"),
        ("a,y\n1,p\n2,p\n", "y", "has 1 class"),
        (
            "a,my label\n1,p\n2,q\n",
            "my label",
            "cannot be the name of a variable",
        ),
        ("y\np\nq\n", "y", "no column to learn from"),
    ];
    for (text, label, wanted) in cases {
        write(at, "table.csv", text);
        let said = fails(
            at,
            &["new", "table.csv", "--label", label, "-o", "table.dgm"],
        );
        assert!(said.contains(wanted), "{text:?}: {said}");
        assert!(!at.join("table.dgm").exists());
    }
}

/// A label with numbers that are not whole is a target of regression.
#[test]
fn a_draft_of_a_numeric_label_trains() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let mut text = String::from("rooms,area,price\n");
    for row in 0..80 {
        let (rooms, area) = (row % 5, 50.0 + 1.5 * f64::from(row));
        let price = match row % 4 {
            0 => format!("{}", 1000.2 * area - 2000.3 * f64::from(rooms)),
            _ => String::new(),
        };
        text += &format!("{rooms},{area},{price}\n");
    }
    write(at, "houses.csv", &text);
    fine(
        at,
        &["new", "houses.csv", "--label", "price", "-o", "houses.dgm"],
    );
    let text = std::fs::read_to_string(at.join("houses.dgm")).expect("a model");
    for line in [
        "// Known in 20 of 80 rows.",
        "label  price: real standardized",
        "regress price\n",
        "prior weights normal(0, 0.1)",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let train = [
        "train",
        "houses.dgm",
        "--data",
        "houses.csv",
        "--epochs",
        "3",
    ];
    let said = fine(at, &[&train[..], &["-o", "run"]].concat());
    assert!(
        said.contains("labels of price: 20 labelled training rows"),
        "{said}"
    );
}

/// The models of all recipes train on one table, and their predictions are averaged.
#[test]
fn every_recipe_trains() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write(at, "animals.csv", &table());
    let mut runs = Vec::new();
    for recipe in Recipe::CLASSIFIERS {
        let text = dgc::draft(at.join("animals.csv"), Some("species"), recipe).expect("a draft");
        insta::assert_snapshot!(recipe.name(), text);
        let model = Model::parse("animals.dgm", &text).expect("a model");
        let data = Dataset::open(at.join("animals.csv"), &model).expect("data");
        let options = Options {
            epochs: Some(50),
            ..Options::default()
        };
        let mut trainer = Trainer::new(&model, &data, options).expect("a trainer");
        while trainer.epoch().expect("an epoch").is_some() {}
        runs.push(trainer.finish(at.join(recipe.name())).expect("a run"));
    }
    let rows: Rows = runs[0].rows(None).expect("rows");
    let single: Vec<_> = runs
        .iter()
        .map(|run| run.predict(&rows).expect("predictions").labels.remove(0))
        .collect();
    let ensemble = Ensemble::new(runs).expect("runs with the same label");
    let together = ensemble
        .predict(&rows)
        .expect("predictions")
        .labels
        .remove(0);
    for (at, mean) in together.probabilities.iter().enumerate() {
        let wanted: f32 = single
            .iter()
            .map(|found| found.probabilities[at])
            .sum::<f32>()
            / 4.0;
        assert!((mean - wanted).abs() < 1e-6);
    }
}

/// `dgc new --recipe all` writes a folder of models, and `dgc predict` averages several runs.
#[test]
fn models_of_all_recipes_are_averaged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    write(at, "animals.csv", &table());
    let new = ["new", "animals.csv", "--recipe", "all", "-o", "animals"];
    assert!(fails(at, &new).contains("expected a label"));
    let said = fine(at, &[&new[..], &["--label", "species"]].concat());
    assert!(fails(at, &[&new[..], &["--label", "species"]].concat()).contains("the folder exists"));
    let commands: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("  dgc "))
        .collect();
    assert_eq!(commands.len(), 5, "{said}");
    for command in &commands[..4] {
        let words: Vec<&str> = command.split(' ').chain(["--epochs", "20"]).collect();
        fine(at, &words);
    }
    fine(at, &commands[4].split(' ').collect::<Vec<_>>());
    let averaged = std::fs::read_to_string(at.join("labels.csv")).expect("predictions");
    assert_eq!(averaged.lines().count(), 16, "{averaged}");
    let runs = ["runs/animals/joint", "runs/animals/linear"];
    let said = fine(at, &[&["eval"], &runs[..]].concat());
    assert!(said.contains("2 runs"), "{said}");
}

/// In tables with many columns, the objective's terms for the label keep up with the bound, and only models
/// without a density of the data are averaged.
#[test]
fn wide_tables_have_other_weights() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let header: Vec<String> = (0..112).map(|column| format!("gene{column}")).collect();
    let mut text = format!("{},kind\n", header.join(","));
    for row in 0..30 {
        let numbers: Vec<String> = (0..112)
            .map(|column| format!("{}.5", (row * column) % 13))
            .collect();
        let kind = ["a", "b", ""][row % 3];
        text += &format!("{},{kind}\n", numbers.join(","));
    }
    write(at, "cells.csv", &text);
    let of = |recipe| dgc::draft(at.join("cells.csv"), Some("kind"), recipe).expect("a draft");
    let joint = of(Recipe::Joint);
    for line in [
        "classify kind weight 14\n",
        "smooth kind by vat(radius = 2.1, weight = 14)\n",
        "inform kind weight 4.2\n",
        "prior weights normal(0, 0.1)\n",
    ] {
        assert!(joint.contains(line), "{joint}");
    }
    assert!(of(Recipe::Consistent).contains("inform kind weight 0.3\n"));
    let averaged = dgc::drafts(at.join("cells.csv"), "kind").expect("drafts");
    let recipes: Vec<Recipe> = averaged.iter().map(|(recipe, _)| *recipe).collect();
    assert_eq!(recipes, [Recipe::Consistent, Recipe::Linear]);
    // As many labelled rows as columns carry the other models too.
    assert_eq!(Recipe::averaged(112, 112), Recipe::CLASSIFIERS);
    assert_eq!(Recipe::averaged(100, 10), Recipe::CLASSIFIERS);
}

/// A recipe says which labels it is for.
#[test]
fn recipes_for_other_labels_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let mut text = String::from("rooms,colour,stars,price\n");
    for row in 0..40 {
        let colour = ["red", "blue"][row % 2];
        text += &format!("{}.5,{colour},{},{}.25\n", row % 7, row % 5, 100 + row);
    }
    write(at, "houses.csv", &text);
    let new = |label: &'static str, recipe: &'static str| {
        let mut words = vec!["new", "houses.csv", "-o", "-", "--recipe", recipe];
        if !label.is_empty() {
            words.extend(["--label", label]);
        }
        words
    };
    let said = fails(at, &new("price", "linear"));
    assert!(
        said.contains("the label `price` is a number in houses.csv"),
        "{said}"
    );
    let all = [
        "new",
        "houses.csv",
        "--label",
        "price",
        "--recipe",
        "all",
        "-o",
        "houses",
    ];
    assert!(fails(at, &all).contains("--recipe all"));
    let said = fails(at, &new("colour", "regression"));
    assert!(
        said.contains("the label `colour` is not a number in houses.csv"),
        "{said}"
    );
    let said = fails(at, &new("", "generative"));
    assert!(said.contains("expected a label in houses.csv"), "{said}");
    assert!(fine(at, &new("stars", "joint")).contains("label  stars: class[5]"));
    assert!(fine(at, &new("stars", "regression")).contains("label  stars: real standardized"));
    assert!(fine(at, &new("price", "joint")).contains("regress price\n"));
}
