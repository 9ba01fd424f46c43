//! Several seeds of a run, and the average of their predictions.

use crate::common::{
    program::{fails, fine},
    tiny::{self, bytes, metrics, open, options, train, train_until},
};

use dgc::{DataPart, DataPlace, Device, Ensemble, ResumeOptions, Rows, Seeds, Trainer};
use serde_json::Value;
use std::path::Path;

const BEGIN: [&str; 8] = [
    "train",
    "tiny.dgm",
    "--data",
    "data.safetensors",
    "--device",
    "cpu",
    "--threads",
    "1",
];

/// Trains seeds 3 to 5 in the folder `seeds`.
fn trained(folder: &Path) -> String {
    tiny::write(folder);
    fine(
        folder,
        &[&BEGIN[..], &["--seeds", "3", "--seed", "3", "-o", "seeds"]].concat(),
    )
}

#[test]
fn each_seed_is_a_run_of_its_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let shown = trained(at);
    let (mut errors, mut bounds) = (Vec::new(), Vec::new());
    for seed in ["3", "4", "5"] {
        let run = at.join(format!("seeds/seed{seed}"));
        fine(at, &[&BEGIN[..], &["--seed", seed, "-o", seed]].concat());
        for name in ["checkpoint.safetensors", "model.dgm", "settings.json"] {
            assert!(
                bytes(run.join(name)) == bytes(at.join(seed).join(name)),
                "{seed}: {name}"
            );
        }
        let last = metrics(&run).pop().expect("an epoch");
        errors.push(100.0 * last["test"]["error"].as_f64().expect("an error"));
        bounds.push(last["test"]["bound"].as_f64().expect("a bound"));
    }
    let line = |numbers: &[f64]| {
        let mean = numbers.iter().sum::<f64>() / 3.0;
        let squares: f64 = numbers
            .iter()
            .map(|number| (number - mean) * (number - mean))
            .sum();
        format!("{mean:.2} ± {:.2}", (squares / 2.0).sqrt())
    };
    let wanted = format!(
        "3 seeds, mean ± standard deviation\n  test error: {} %\n  test bound: {} nats per row\n",
        line(&errors),
        line(&bounds)
    );
    assert!(shown.ends_with(&wanted), "{shown}{wanted}");
    let table = fine(at, &["runs", "seeds"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(
        table.contains("seeds/seed3") && table.contains("seed"),
        "{table}"
    );
    let message = fails(at, &[&BEGIN[..], &["--seeds", "2", "-o", "seeds"]].concat());
    assert!(
        message.contains("expected a new folder, found a run"),
        "{message}"
    );
    for command in [["encode", "z.npz"], ["score", "z.csv"], ["sample", "z.png"]] {
        let message = fails(at, &[command[0], "seeds", "-o", command[1]]);
        assert!(
            message.contains("name one of them, such as seeds/seed3"),
            "{message}"
        );
    }
}

/// Interrupted seeds are resumed as a whole: complete runs are skipped.
#[test]
fn seeds_are_resumed_as_a_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let whole = trained(at);
    let model = tiny::model();
    let data = dgc::Dataset::open(at.join("data.safetensors"), &model).expect("data");
    let part = at.join("part");
    let seeds = Seeds::begin(&model, &data, &options(part.clone()), 3).expect("runs");
    assert_eq!(Seeds::open(&part).expect("runs"), seeds);
    let resume = |seed: u64| {
        let options = ResumeOptions {
            data: Some(DataPlace::Loaded(data.clone())),
            device: Some(Device::cpu(1)),
            ..ResumeOptions::default()
        };
        Trainer::resume(seeds.run_folder(seed), options)
    };
    train(resume(3));
    train_until(resume(4), 11);
    // A run that was killed between its log and its checkpoint has all epochs in the log.
    let logged = at.join("seeds/seed5/metrics.jsonl");
    std::fs::copy(logged, part.join("seed5/metrics.jsonl")).expect("a copy");
    let untouched = bytes(part.join("seed3/settings.json"));
    let shown = fine(at, &["train", "part", "--resume", "--threads", "1"]);
    assert!(shown.contains("done before: part/seed3"), "{shown}");
    assert!(!shown.contains("done before: part/seed5"), "{shown}");
    for seed in ["seed3", "seed4", "seed5"] {
        let name = "checkpoint.safetensors";
        let wanted = bytes(at.join("seeds").join(seed).join(name));
        assert!(bytes(part.join(seed).join(name)) == wanted, "{seed}");
    }
    let ends = |text: &str| {
        text.split_once("3 seeds, mean")
            .expect("the end")
            .1
            .to_string()
    };
    assert_eq!(ends(&shown), ends(&whole));
    assert!(bytes(part.join("seed3/settings.json")) == untouched);
    // More epochs for all.
    fine(
        at,
        &[
            "train",
            "part",
            "--resume",
            "--epochs",
            "5",
            "--threads",
            "1",
        ],
    );
    for seed in seeds.run_folders() {
        assert_eq!(metrics(&seed).len(), 5);
    }
    // What is lost or damaged is named.
    std::fs::rename(part.join("seed4"), at.join("elsewhere")).expect("a folder");
    let message = fails(at, &["train", "part", "--resume"]);
    assert!(message.contains("part/seed4/settings.json"), "{message}");
    for text in [
        "{}",
        "{\"seeds\": []}",
        "{\"seeds\": [1, -1]}",
        "{\"seeds\": [1], \"more\": 0}",
    ] {
        std::fs::write(part.join("seeds.json"), text).expect("a file");
        let message = fails(at, &["train", "part", "--resume"]);
        assert!(message.contains("part/seeds.json"), "{text}: {message}");
    }
}

/// Runs that were begun and never trained are begun anew.
#[test]
fn seeds_without_a_step_are_begun_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    tiny::write(at);
    let model = tiny::model();
    let seeds = at.join("seeds");
    let begin = || Seeds::begin(&model, &tiny::data(&model), &options(seeds.clone()), 2);
    begin().expect("runs");
    std::fs::remove_file(seeds.join("seeds.json")).expect("it is there");
    let scores = begin().expect("runs").scores().expect("runs");
    assert!(
        scores
            .to_string()
            .starts_with("2 seeds, without scores of held-out rows"),
        "{scores}"
    );
    std::fs::write(seeds.join("notes.txt"), "mine").expect("a file");
    let error = begin().expect_err("other files");
    assert!(
        error
            .message()
            .contains("found other files, such as `notes.txt`"),
        "{error}"
    );
    for count in [0, 1001] {
        let error = Seeds::begin(&model, &tiny::data(&model), &options(at.join("no")), count);
        assert!(
            error
                .expect_err("a count")
                .message()
                .starts_with(&format!("seeds {count}"))
        );
    }
}

#[test]
fn the_average_of_seeds_is_the_mean_of_their_probabilities() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    trained(at);
    let model = tiny::model();
    let rows = Rows::from_arrays(&model, tiny::arrays("", 9, 3)).expect("rows");
    let members = ["seed3", "seed4", "seed5"].map(|seed| open(&at.join("seeds").join(seed)));
    let single = members
        .each_ref()
        .map(|run| run.predict(&rows).expect("predictions"));
    let ensemble = Ensemble::open_on(at.join("seeds"), &Device::cpu(1)).expect("runs");
    let averaged = ensemble.predict(&rows).expect("predictions");
    let found = averaged.get("y").expect("a label");
    for (at, probability) in found.probabilities.iter().enumerate() {
        let of = |run: &dgc::Predictions| f64::from(run.labels[0].probabilities[at]);
        let mean = single.iter().map(of).sum::<f64>() / 3.0;
        assert!(
            (f64::from(*probability) - mean).abs() < 1e-7,
            "{probability}, not {mean}"
        );
    }
    assert_ne!(found.probabilities, single[0].labels[0].probabilities);
    assert_eq!(found.truth, single[0].labels[0].truth);
    // The program writes the same numbers, and scores them.
    fine(
        at,
        &["predict", "seeds", "--threads", "1", "-o", "labels.csv"],
    );
    let table = std::fs::read_to_string(at.join("labels.csv")).expect("a table");
    let rows = ensemble.rows(None).expect("the test rows");
    let tested = ensemble.predict(&rows).expect("predictions");
    let label = tested.get("y").expect("a label");
    let wrong = label.likeliest().into_iter().zip(&label.truth);
    let (mut labelled, mut errors) = (0.0, 0.0);
    for ((class, truth), line) in wrong.zip(table.lines().skip(1)) {
        assert_eq!(
            line.split(',').nth(1),
            Some(class.to_string().as_str()),
            "{line}"
        );
        if *truth >= 0 {
            labelled += 1.0;
            errors += f64::from(u8::from(class as i32 != *truth));
        }
    }
    let json: Value = serde_json::from_str(&fine(at, &["eval", "seeds", "--json"])).expect("JSON");
    assert_eq!(json["error of y"].as_f64(), Some(errors / labelled));
    assert_eq!((&json["runs"], &json["part"]), (&3.into(), &"test".into()));
    assert_eq!(json["members"].as_array().map(Vec::len), Some(3));
    let text = fine(at, &["eval", "seeds"]);
    assert!(
        text.contains("24 test rows, 3 runs") && text.contains("averaged"),
        "{text}"
    );
}

/// Rows that one run held out and another was trained on score no ensemble.
#[test]
fn an_ensemble_is_not_scored_on_rows_that_it_was_trained_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    tiny::write(at);
    fine(
        at,
        &[
            &BEGIN[..],
            &["--validation", "10", "--seeds", "2", "-o", "seeds"],
        ]
        .concat(),
    );
    let ensemble = Ensemble::open_on(at.join("seeds"), &Device::cpu(1)).expect("runs");
    assert_eq!(
        ensemble.rows(None).expect("test rows").part(),
        Some(DataPart::Test)
    );
    for part in ["validation", "train"] {
        let message = fails(at, &["eval", "seeds", "--part", part]);
        assert!(
            message.contains("so some were trained on these"),
            "{message}"
        );
    }
    let error = Ensemble::new(Vec::new()).err().expect("no runs");
    assert!(error.message().contains("at least one run"), "{error}");
}
