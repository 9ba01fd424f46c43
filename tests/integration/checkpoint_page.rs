//! The page on checkpoints: its programs compute what `dgc predict` writes. Skipped, with a message,
//! where python3 lacks a library; `DGC_PYTHON` may name another interpreter.

use crate::common;

use common::program::fine;
use std::process::Command;

/// The fenced blocks of a language, as text.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(fence.as_str()).skip(1);
    let block = |part: &str| part.split_once("```").map(|(text, _)| text.to_string());
    parts.filter_map(block).collect()
}

#[test]
fn its_programs_compute_the_predictions() {
    let page = std::fs::read_to_string(common::root().join("docs/checkpoint.md")).expect("a page");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    let [model] = &blocks(&page, "dgm")[..] else {
        panic!("the page has one model")
    };
    std::fs::write(here.join("iris.dgm"), model).expect("a file is written");
    std::fs::copy(common::root().join("data/iris.csv"), here.join("iris.csv")).expect("the data");
    for command in blocks(&page, "console")
        .iter()
        .flat_map(|text| text.lines())
    {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[..2], ["$", "dgc"], "{command}");
        fine(here, &[&words[2..], &["--device", "cpu"]].concat());
    }
    let predicted = std::fs::read_to_string(here.join("labels.csv")).expect("predictions");
    // The rows are the test rows, whose lengths a program reads from the table.
    let python = std::env::var("DGC_PYTHON").unwrap_or_else(|_| "python3".to_string());
    let read = "import csv\n\
        rows = [row for row in csv.DictReader(open('iris.csv')) if row['split'] == 'test']\n\
        names = 'sepal_length sepal_width petal_length petal_width'.split()\n\
        import numpy\n\
        x = numpy.array([[float(row[name]) for name in names] for row in rows], dtype='float32')\n";
    let print = "\nfor row in probabilities: print(*row)\n";
    let programs = blocks(&page, "python");
    assert_eq!(programs.len(), 2);
    for (program, library) in programs.iter().zip(["numpy", "torch"]) {
        let has = Command::new(&python)
            .args(["-c", &format!("import {library}, numpy, safetensors")])
            .output();
        if !has.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: {python} lacks {library} or safetensors");
            continue;
        }
        let output = Command::new(&python)
            .args(["-c", &format!("{read}{program}{print}")])
            .current_dir(here)
            .output()
            .expect("python starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{library}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mut compared = 0;
        for (found, wanted) in text.lines().zip(predicted.lines().skip(1)) {
            // The last three columns are the probabilities.
            let wanted: Vec<&str> = wanted.rsplit(',').take(3).collect();
            for (found, wanted) in found.split(' ').zip(wanted.iter().rev()) {
                let number = |text: &str| text.parse::<f64>().expect("a number");
                assert!(
                    (number(found) - number(wanted)).abs() < 1e-5,
                    "{library}: {text}"
                );
                compared += 1;
            }
        }
        assert_eq!(compared, 150, "{library}");
    }
}
