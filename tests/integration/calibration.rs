//! `dgc calibrate`: a temperature for each label, which the run keeps.

use crate::common;

use common::program::{dgc, fails, fine};
use dgc::{ClassScores, DataPart, Device, Run};
use std::path::Path;

const MODEL: &str = "model iris {
  data  x: real[4] standardized
  label species: class[3]

  inference {
    x -> species ~ categorical([dense(16) > relu])
  }

  objective {
    classify species
  }

  train {
    batch labelled 15, unlabelled 0
    optimizer adam(rate = 3e-2)
    epochs 20
  }
}
";

/// A folder with a run on the flowers, of which 30 rows are held out, all labelled.
fn run(validation: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("iris.dgm"), MODEL).expect("a file is written");
    let table = std::fs::read_to_string(common::root().join("data/iris.csv")).expect("the data");
    // The species that the table leaves out follow from the petals, nearly.
    let labelled: Vec<String> = table
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let cells: Vec<&str> = line.split(',').collect();
            // Some labels are wrong, so that certainty has a limit.
            if number > 0 && number % 5 == 0 {
                return [&cells[..4], &["setosa", cells[5]]].concat().join(",");
            }
            if !cells[4].is_empty() {
                return line.to_string();
            }
            let petal: f64 = cells[3].parse().expect("a length");
            let species = match petal {
                petal if petal < 0.8 => "setosa",
                petal if petal < 1.65 => "versicolor",
                _ => "virginica",
            };
            [&cells[..4], &[species, cells[5]]].concat().join(",")
        })
        .collect();
    std::fs::write(folder.path().join("iris.csv"), labelled.join("\n")).expect("the data");
    fine(
        folder.path(),
        &[
            "train",
            "iris.dgm",
            "--data",
            "iris.csv",
            "-o",
            "run",
            "--device",
            "cpu",
            "--validation",
            validation,
            "--epochs",
            "20",
        ],
    );
    folder
}

fn open(folder: &Path) -> Run {
    Run::open_on(folder.join("run"), &Device::cpu(1)).expect("a run")
}

/// The log loss of the validation rows at a temperature, from the probabilities of the model.
fn loss(probabilities: &[f32], truth: &[i32], temperature: f64) -> f64 {
    let rows = probabilities.chunks(3).zip(truth);
    let losses: Vec<f64> = rows
        .map(|(row, class)| {
            let powers = row
                .iter()
                .map(|p| f64::from(p.max(f32::EPSILON)).powf(1.0 / temperature));
            let powers: Vec<f64> = powers.collect();
            -(powers[*class as usize] / powers.iter().sum::<f64>()).ln()
        })
        .collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[test]
fn a_temperature_has_the_least_loss_and_is_kept() {
    let folder = run("30");
    let here = folder.path();
    let plain = open(here);
    assert_eq!(plain.calibration().expect("no file"), None);
    let validation = plain.rows(Some(DataPart::Validation)).expect("rows");
    let before = plain.predict(&validation).expect("predictions");
    let before = before.get("species").expect("the label").clone();
    let said = fine(here, &["calibrate", "run", "--device", "cpu"]);
    assert!(said.contains("species: temperature "), "{said}");
    assert!(said.contains("fitted on 30 validation rows"), "{said}");

    let run = open(here);
    let found = run.calibration().expect("a calibration").expect("a file");
    let temperature = found.temperature("species");
    // Against temperatures around it.
    let at = |temperature| loss(&before.probabilities, &before.truth, temperature);
    let grid = (-4000..4000).map(|step| f64::from(step) * 1e-3);
    let least = grid.map(|log| (at(log.exp()), log.exp()));
    let (least, nearest) = least
        .min_by(|left, right| left.0.total_cmp(&right.0))
        .expect("temperatures");
    assert!(
        (temperature / nearest - 1.0).abs() < 2e-3,
        "{temperature}, {nearest}"
    );
    assert!(at(temperature) <= least + 1e-9);

    // Predictions have the temperature; the most probable class is the same.
    let after = run.predict(&validation).expect("predictions");
    let after = after.get("species").expect("the label");
    assert_eq!(after.likeliest(), before.likeliest());
    for (row, powered) in after
        .probabilities
        .chunks(3)
        .zip(before.probabilities.chunks(3))
    {
        let powers: Vec<f64> = powered
            .iter()
            .map(|p| f64::from(p.max(f32::EPSILON)).powf(1.0 / temperature))
            .collect();
        for (found, power) in row.iter().zip(&powers) {
            let wanted = power / powers.iter().sum::<f64>();
            assert!((f64::from(*found) - wanted).abs() < 1e-6);
        }
    }
    let scores = ClassScores::new(&after.probabilities, 3, &after.truth).expect("labelled rows");
    let kept = &found.labels["species"];
    assert!((scores.log_loss - kept.log_loss.1).abs() < 1e-6);
    assert!(kept.log_loss.1 <= kept.log_loss.0);

    // Commands say so, and can do without.
    let output = dgc(here, &["predict", "run", "-o", "-", "--device", "cpu"]);
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(note.contains("are calibrated: temperature"), "{note}");
    let plain = dgc(
        here,
        &[
            "predict",
            "run",
            "-o",
            "-",
            "--device",
            "cpu",
            "--uncalibrated",
        ],
    );
    assert!(plain.stderr.is_empty() && plain.stdout != output.stdout);
    let shown = fine(here, &["eval", "run", "--device", "cpu"]);
    assert!(shown.contains("calibrated with temperature"), "{shown}");
    let shown = fine(here, &["eval", "run", "--device", "cpu", "--uncalibrated"]);
    assert!(!shown.contains("calibrated with temperature"), "{shown}");
    let encoded = run.encode(&validation).expect("encodings");
    assert_eq!(
        encoded.get("species").expect("the label").values,
        after.probabilities
    );
}

#[test]
fn rows_that_were_seen_are_refused() {
    let folder = run("0");
    let here = folder.path();
    let cpu = ["--device", "cpu"];
    let fails = |more: &[&str]| fails(here, &[&["calibrate", "run"][..], &cpu, more].concat());
    let said = fails(&[]);
    assert!(
        said.contains("the run held out no rows") && said.contains("`--validation`"),
        "{said}"
    );
    assert!(fails(&["--part", "test"]).contains("found test rows"));
    assert!(fails(&["--part", "train"]).contains("rows that the run trained on"));
    assert!(fails(&["--data", "iris.csv", "--part", "test"]).contains("found test rows"));
    assert!(fails(&["--data", "iris.csv"]).contains("rows that the run trained on"));
    let unlabelled = "sepal_length,sepal_width,petal_length,petal_width\n5,3,1,0.2\n";
    std::fs::write(here.join("new.csv"), unlabelled).expect("a file is written");
    let said = fails(&["--data", "new.csv"]);
    assert!(
        said.contains("expected rows with the label `species`"),
        "{said}"
    );
    assert!(!here.join("run/calibration.json").exists());
    // Other labelled rows will do.
    let labelled = "sepal_length,sepal_width,petal_length,petal_width,species\n\
        5,3,1,0.2,setosa\n6,3,5,2,virginica\n6,3,4.5,1.5,virginica\n";
    std::fs::write(here.join("other.csv"), labelled).expect("a file is written");
    let said = fine(
        here,
        &[&["calibrate", "run", "--data", "other.csv"][..], &cpu].concat(),
    );
    assert!(said.contains("fitted on 3 other rows"), "{said}");
}

#[test]
fn a_calibration_is_checked_and_belongs_to_a_checkpoint() {
    let folder = run("30");
    let here = folder.path();
    fine(here, &["calibrate", "run", "--device", "cpu"]);
    let path = here.join("run/calibration.json");
    let text = std::fs::read_to_string(&path).expect("a calibration");
    let predict = ["predict", "run", "-o", "-", "--device", "cpu"];
    // Damage to any line is found.
    for (number, line) in text.lines().enumerate() {
        let Some(at) = line.find(|c: char| c.is_ascii_digit()) else {
            continue;
        };
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        let other = if &line[at..=at] == "1" { "2" } else { "1" };
        lines[number].replace_range(at..=at, other);
        std::fs::write(&path, lines.join("\n") + "\n").expect("a file is written");
        let said = fails(here, &predict);
        assert!(said.contains("calibration.json"), "{line}: {said}");
    }
    std::fs::write(&path, &text[..text.len() / 2]).expect("a file is written");
    assert!(fails(here, &predict).contains("calibration.json"));
    // It can be left out, or fitted again.
    fine(here, &[&predict[..], &["--uncalibrated"]].concat());
    fine(here, &["calibrate", "run", "--device", "cpu"]);
    assert_eq!(std::fs::read_to_string(&path).expect("a calibration"), text);
    // No output replaces it.
    let said = fails(here, &["score", "run", "-o", "run/calibration.json"]);
    assert!(said.contains("expected a name that ends in"), "{said}");
    // Further training makes it old.
    fine(
        here,
        &[
            "train", "run", "--resume", "--epochs", "21", "--device", "cpu",
        ],
    );
    let said = fails(here, &predict);
    assert!(
        said.contains("trained further") && said.contains("`dgc calibrate`"),
        "{said}"
    );
    fine(here, &["calibrate", "run", "--device", "cpu"]);
    fine(here, &predict);
}

/// Rows that are all predicted rightly want a temperature of 0, which would make every prediction certain.
#[test]
fn rows_without_a_best_temperature_are_refused() {
    let folder = run("30");
    let here = folder.path();
    let one = "sepal_length,sepal_width,petal_length,petal_width,species\n5.1,3.5,1.4,0.2,setosa\n";
    std::fs::write(here.join("one.csv"), one).expect("a table");
    let said = fails(
        here,
        &["calibrate", "run", "--data", "one.csv", "--device", "cpu"],
    );
    assert!(
        said.contains("no temperature makes the log loss of `species` the least"),
        "{said}"
    );
    assert!(said.contains("all predictions are right"), "{said}");
    assert!(!here.join("run/calibration.json").exists());
}
