//! `bench/results/table` makes tables from rows and writes them into a page. Skipped, with a
//! message, without python3.

use crate::common;

use std::process::{Command, Output};

fn python(arguments: &[&str]) -> Option<Output> {
    match Command::new("python3")
        .args(["-B"])
        .args(arguments)
        .current_dir(common::root())
        .output()
    {
        Ok(output) => Some(output),
        Err(error) => {
            eprintln!("SKIPPED: python3 cannot be started: {error}");
            None
        }
    }
}

fn row(name: &str, seed: u64, error: f64, samples: u64) -> serde_json::Value {
    serde_json::json!({
        "name": name, "model": "adgm", "objective": "sum y", "samples": samples, "settings": [], "data": "mnist", "labels": 100,
        "validation": 0, "part": "test", "rows": 10000, "seed": seed, "epochs": 50, "error": error, "labelled": -70.0,
        "unlabelled": -90.5, "likelihood": null, "likelihood_samples": 10, "binary": "bits", "edition": 2, "units": { "z": { "active": 10 + seed, "of": 100 } }, "wall_minutes": 61.0,
        "cpu_minutes": 110.0, "machine": { "cpu": "a processor", "cores": 2 }, "commit": "0000000"
    })
}

#[test]
fn a_table_is_made_of_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (rows, page) = (
        folder.path().join("rows.jsonl"),
        folder.path().join("results.md"),
    );
    let mut smooth = row("adgm-smooth", 0, 2.5, 1);
    smooth["objective"] =
        "sum y; smooth y by vat(radius = 1, weight = 10); inform y weight 3".into();
    let mut rounded = row("adgm-smooth", 1, 3.5, 1);
    rounded["precision"] = "bf16".into();
    let mut elsewhere = row("adgm-gpu", 0, 2.0, 1);
    elsewhere["machine"]["gpu"] = "a GPU".into();
    // A row from before bounds were of bits.
    let mut greys = row("adgm-greys", 0, 2.25, 1);
    greys
        .as_object_mut()
        .expect("a row")
        .remove("binary")
        .expect("the entry");
    // A row from before there were editions.
    elsewhere
        .as_object_mut()
        .expect("a row")
        .remove("edition")
        .expect("the entry");
    let mut unlabelled = row("vae", 0, 0.0, 1);
    for (name, value) in [
        ("model", "vae".into()),
        ("objective", "".into()),
        ("labels", ().into()),
        ("error", ().into()),
    ] {
        unlabelled[name] = value;
    }
    let mut earlier = row("adgm-before", 0, 9.25, 1);
    earlier["settings"] = serde_json::json!(["recipe of 0000000"]);
    let lines = [
        earlier,
        unlabelled,
        row("adgm", 0, 4.0, 1),
        row("adgm", 1, 5.0, 1),
        row("adgm", 2, 6.0, 1),
        row("adgm-5", 0, 3.5, 5),
        smooth,
        rounded,
        elsewhere,
        greys,
    ];
    std::fs::write(&rows, lines.map(|line| format!("{line}\n")).concat()).expect("a file");
    let before = "Before.\n\n<!-- results -->\nold\n<!-- /results -->\nAfter.\n";
    std::fs::write(&page, before).expect("a file");
    let [rows, to] = [&rows, &page].map(|path| path.to_string_lossy().into_owned());
    let Some(output) = python(&[
        "bench/results/table",
        "--rows",
        &rows,
        "--page",
        &to,
        "--write",
    ]) else {
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(&page).expect("the file");
    assert!(
        !text.contains("9.25"),
        "a recipe that no file has any more: {text}"
    );
    assert!(
        text.starts_with("Before.\n\n<!-- results -->\n")
            && text.ends_with("<!-- /results -->\nAfter.\n"),
        "{text}"
    );
    assert!(!text.contains("old"), "{text}");
    // The mean of 4, 5 and 6, whose deviation is 1 as that of a sample; what is missing is left
    // out; what others published.
    let seeds = "| [ADGM](../models/adgm.dgm) | `sum y` | 50 | 3 | 5.00 ± 1.00 | 0.96 ± 0.02 | −90.5 ± 0.0 |  | z 11 of 100 | 61 ± 0 | 110 ± 0 |";
    let one = "| [ADGM](../models/adgm.dgm) | `sum y`, 5 samples | 50 | 1 | 3.50 | 0.96 ± 0.02 | −90.5 |  | z 10 of 100 | 61 | 110 |";
    // What is done with the label, by name; a precision other than f32, and which they are where
    // seeds differ.
    let held = "| [ADGM](../models/adgm.dgm), bf16, f32 | `sum y`, `smooth y by vat`, `inform y` | 50 | 2 | 3.00 ± 0.71 |";
    // On what it was, if that was no CPU.
    let gpu = "| [ADGM](../models/adgm.dgm), edition 1, on a GPU | `sum y` | 50 | 1 | 2.00 |";
    let on_greys = "| [ADGM](../models/adgm.dgm), greys | `sum y` | 50 | 1 | 2.25 |";
    // Without a label there is no error, and what was published is a log-likelihood.
    let density = "| [VAE](../models/vae.dgm) | 50 | 1 | −90.5 |  | −86.8 | z 10 of 100 | 61 | 110 |\n\nOn the 10000 test rows of mnist; mean ± standard deviation over seeds; in nats per row; log-likelihood by importance sampling with 10 samples; on 2 cores of a processor.\n";
    for line in [seeds, one, held, gpu, on_greys, density] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    let nothing = folder
        .path()
        .join("nothing.jsonl")
        .to_string_lossy()
        .into_owned();
    let output = python(&["bench/results/table", "--rows", &nothing]).expect("it started before");
    assert!(String::from_utf8_lossy(&output.stderr).contains("bench/results/run makes them"));
}

/// A row of the same run takes the place of the one before; another seed stands beside it.
#[test]
fn rows_are_merged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("rows.jsonl");
    for row in [
        row("adgm", 1, 5.0, 1),
        row("adgm", 0, 4.0, 1),
        row("adgm", 1, 6.0, 1),
    ] {
        let script = "import json, pathlib, sys; sys.path.insert(0, 'bench/results'); import common; \
                      common.add_row(json.loads(sys.argv[1]), pathlib.Path(sys.argv[2]))";
        let Some(output) = python(&["-c", script, &row.to_string(), &path.to_string_lossy()])
        else {
            return;
        };
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let text = std::fs::read_to_string(&path).expect("the rows");
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let found: Vec<(u64, f64)> = rows
        .iter()
        .map(|row| {
            (
                row["seed"].as_u64().expect("a seed"),
                row["error"].as_f64().expect("an error"),
            )
        })
        .collect();
    assert_eq!(found, [(0, 4.0), (1, 6.0)]);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "nothing is left behind"
    );
}
