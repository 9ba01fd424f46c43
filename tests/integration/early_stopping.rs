//! The best epoch of a run, and the end of training when no better one comes.

use crate::common::{
    program::{fails, fine},
    tiny::{self, bytes, metrics, open, options, parameters, train, train_until},
};

use dgc::{
    CheckpointChoice, Criterion, DataArray, DataPart, DataPlace, Dataset, Device, EarlyStopping,
    Model, Options, ResumeOptions, Rows, Trainer, run::checkpoint::Checkpoint,
};
use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
};

fn model() -> Model {
    tiny::model().set("epochs", 40).expect("a number")
}

fn choosing(output: PathBuf, criterion: Criterion, patience: Option<u64>) -> Options {
    Options {
        validation: 20,
        early_stopping: Some(EarlyStopping {
            criterion: Some(criterion),
            patience,
        }),
        ..options(output)
    }
}

fn begin(output: PathBuf, criterion: Criterion, patience: Option<u64>) -> dgc::Result<Trainer> {
    let model = model();
    Trainer::new(
        &model,
        &tiny::data(&model),
        choosing(output, criterion, patience),
    )
}

fn resume(folder: &Path, patience: Option<u64>) -> dgc::Result<Trainer> {
    let options = ResumeOptions {
        patience,
        data: Some(DataPlace::Loaded(tiny::data(&model()))),
        device: Some(Device::cpu(1)),
        ..ResumeOptions::default()
    };
    Trainer::resume(folder, options)
}

/// The best epoch and its number, found anew: later epochs must be strictly better.
fn best(run: &Path, name: &str, sign: f64) -> (u64, f64) {
    let mut best = (0, f64::INFINITY);
    for metrics in metrics(run) {
        let value = sign * metrics["validation"][name].as_f64().expect("a number");
        if value < best.1 {
            best = (metrics["epoch"].as_u64().expect("an epoch"), value);
        }
    }
    (best.0, sign * best.1)
}

fn epoch_of(path: PathBuf) -> u64 {
    let checkpoint = Checkpoint::read(&path).expect("a checkpoint");
    checkpoint.origin.expect("it names its epoch").epoch
}

/// The stored state of two runs is the same, byte for byte, and so are their metrics but for times.
fn assert_same(found: &Path, expected: &Path) {
    for name in ["checkpoint.safetensors", "best.safetensors"] {
        assert!(
            bytes(found.join(name)) == bytes(expected.join(name)),
            "{name}"
        );
    }
    let logged = |run: &Path| -> Vec<serde_json::Value> {
        let mut epochs = metrics(run);
        for epoch in &mut epochs {
            let fields = epoch.as_object_mut().expect("an object");
            fields.retain(|name, _| !["seconds", "rows_per_second"].contains(&name.as_str()));
        }
        epochs
    };
    assert_eq!(logged(found), logged(expected));
}

#[test]
fn training_stops_when_no_better_epoch_comes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut stops = 0;
    for (criterion, name, sign) in [
        (Criterion::Error, "error", 1.0),
        (Criterion::LogLoss, "log loss", 1.0),
        (Criterion::Bound, "bound", -1.0),
    ] {
        let run = folder.path().join(criterion.to_string());
        let trainer = train(begin(run.clone(), criterion, Some(3)));
        let (epoch, value) = best(&run, name, sign);
        let found = trainer.best().expect("a best epoch");
        assert_eq!((found.epoch, found.value), (epoch, value));
        assert_eq!(epoch_of(run.join("best.safetensors")), epoch);
        let last = metrics(&run).len() as u64;
        assert_eq!(last, (epoch + 3).min(40), "{criterion}");
        assert_eq!(trainer.has_stopped_early(), last == epoch + 3);
        if last < 40 {
            stops += 1;
            let notes: Vec<String> = trainer.notes().iter().map(ToString::to_string).collect();
            let wanted = format!("training stopped after epoch {last}: the {name} of the");
            assert!(
                notes.iter().any(|note| note.starts_with(&wanted)),
                "{notes:?}"
            );
        }
        // The best checkpoint is what training for as many epochs gives.
        drop(trainer);
        let short = folder.path().join(format!("{criterion}-short"));
        let fewer = model().set("epochs", epoch).expect("a number");
        let options = choosing(short.clone(), criterion, None);
        train(Trainer::new(&fewer, &tiny::data(&fewer), options));
        let wanted = parameters(short.join("checkpoint.safetensors"));
        assert!(
            parameters(run.join("best.safetensors")) == wanted,
            "{criterion}"
        );
    }
    assert!(stops > 0, "no run stopped early");
}

#[test]
fn an_interrupted_run_stops_at_the_same_epoch() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("whole");
    train(begin(whole.clone(), Criterion::Bound, Some(2)));
    let steps = metrics(&whole).last().expect("an epoch")["step"]
        .as_u64()
        .expect("a step");
    let (best, _) = best(&whole, "bound", -1.0);
    for step in [1, 4 * best - 1, 4 * best, 4 * best + 1, steps - 1] {
        let run = folder.path().join(format!("part{step}"));
        train_until(begin(run.clone(), Criterion::Bound, Some(2)), step);
        train(resume(&run, None));
        assert_same(&run, &whole);
    }
    // A complete run stays as it is, and a larger patience trains on.
    let trainer = resume(&whole, None).expect("a trainer");
    assert!(trainer.is_done() && trainer.best().is_some_and(|found| found.epoch == best));
    drop(trainer);
    let before = metrics(&whole).len();
    train(resume(&whole, Some(6)));
    let patient = folder.path().join("patient");
    train(begin(patient.clone(), Criterion::Bound, Some(6)));
    assert!(metrics(&whole).len() > before);
    assert_same(&whole, &patient);
}

/// Short epochs share a checkpoint. What a run has on the disk after any step, as a killed process leaves
/// it, goes on to the same end.
#[test]
fn a_run_killed_at_any_step_ends_the_same() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = folder.path().join("whole");
    // Few epochs have the least error so far, and epochs take milliseconds here.
    let mut trainer = begin(whole.clone(), Criterion::Error, None).expect("a trainer");
    let (mut copies, mut logged) = (Vec::new(), Vec::new());
    let copy = |progress: &dgc::Progress| {
        if progress.ended.is_some() {
            logged.push(metrics(&whole).len());
        }
        if progress.step.is_multiple_of(13) && progress.step < progress.steps {
            let copy = folder.path().join(format!("step{}", progress.step));
            std::fs::create_dir(&copy).expect("a folder");
            for file in std::fs::read_dir(&whole).expect("a run") {
                let file = file.expect("a file");
                std::fs::copy(file.path(), copy.join(file.file_name())).expect("a copy");
            }
            copies.push(copy);
        }
        ControlFlow::Continue(())
    };
    trainer.train(copy).expect("training");
    drop(trainer);
    assert_eq!((logged[0], logged[39], logged.len()), (1, 40, 40));
    let shared = (1..).zip(&logged).filter(|(epoch, logged)| epoch > *logged);
    assert!(shared.count() > 0, "each epoch has a checkpoint of its own");
    assert!(copies.len() >= 10);
    for copy in copies {
        train(resume(&copy, None));
        assert_same(&copy, &whole);
    }
}

/// A killed process may have written the last checkpoint, but not yet its copy as the best one.
#[test]
fn a_lost_best_checkpoint_is_made_anew_or_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    train_until(begin(run.clone(), Criterion::Bound, None), 4);
    let path = run.join("best.safetensors");
    let whole = bytes(path.clone());
    assert!(whole == bytes(run.join("checkpoint.safetensors")));
    std::fs::remove_file(&path).expect("it is there");
    let model = model();
    let error = open(&run)
        .predict(&rows(&model))
        .expect_err("no best checkpoint");
    assert!(
        error
            .to_string()
            .contains("expected the best epoch's checkpoint"),
        "{error}"
    );
    drop(resume(&run, None).expect("a trainer"));
    assert!(bytes(path.clone()) == whole);
    // Of an epoch that is over, it cannot be made again.
    train_until(resume(&run, None), 160);
    let (best, _) = best(&run, "bound", -1.0);
    assert!(best < 40, "the last epoch is the best");
    let good = bytes(path.clone());
    for (contents, wanted) in [
        (Some(whole.clone()), "found that of epoch 1"),
        (None, "expected the checkpoint of the best epoch"),
        (Some(good[..good.len() - 1].to_vec()), "best.safetensors"),
    ] {
        match contents {
            Some(contents) => std::fs::write(&path, contents).expect("a file"),
            None => std::fs::remove_file(&path).expect("it is there"),
        }
        let error = resume(&run, None).err().expect("a damaged run");
        assert!(error.to_string().contains(wanted), "{error}");
    }
    // The parameters of another run are refused.
    let other = folder.path().join("other");
    let options = Options {
        seed: 4,
        ..choosing(other.clone(), Criterion::Bound, None)
    };
    train(Trainer::new(&model, &tiny::data(&model), options));
    std::fs::copy(other.join("best.safetensors"), &path).expect("a file");
    let error = open(&run)
        .predict(&rows(&model))
        .expect_err("another run's");
    assert!(
        error
            .to_string()
            .contains("has `seed` 4, but the run has 3"),
        "{error}"
    );
}

fn rows(model: &Model) -> Rows {
    Rows::from_arrays(model, tiny::arrays("", 9, 3)).expect("rows")
}

#[test]
fn the_best_parameters_are_used() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model();
    let run = folder.path().join("run");
    train(begin(run.clone(), Criterion::LogLoss, None));
    let (epoch, loss) = best(&run, "log loss", 1.0);
    assert!(epoch < 40, "the last epoch is the best");
    let (best, last) = (
        open(&run),
        open(&run).with_checkpoint(CheckpointChoice::Last),
    );
    let predict = |run: &dgc::Run| run.predict(&rows(&model)).expect("predictions");
    assert_ne!(predict(&best), predict(&last));
    let data = tiny::data(&model);
    let of_validation = |run: &dgc::Run| {
        let held_out = run.rows_of(&data, Some(DataPart::Train)).expect("rows");
        run.evaluate(&held_out).expect("an evaluation").labels[0]
            .scores
            .log_loss
    };
    assert_ne!(of_validation(&best), of_validation(&last));
    let copied = folder.path().join("copied");
    std::fs::create_dir(&copied).expect("a folder");
    for name in [
        "model.dgm",
        "settings.json",
        "metrics.jsonl",
        "best.safetensors",
    ] {
        std::fs::copy(run.join(name), copied.join(name)).expect("a file");
    }
    // Whatever the last parameters are, here those of the best epoch, `Last` takes them.
    std::fs::copy(
        run.join("best.safetensors"),
        copied.join("checkpoint.safetensors"),
    )
    .expect("a file");
    let last = open(&copied).with_checkpoint(CheckpointChoice::Last);
    assert_eq!(predict(&best), predict(&last));
    // The overview shows the epoch whose parameters are used.
    let overview = dgc::RunOverview::new(&run).expect("a run");
    assert_eq!(
        (overview.best_epoch, overview.epochs, overview.is_done),
        (Some(epoch), 40, true)
    );
    let logged = &metrics(&run)[epoch as usize - 1]["validation"];
    assert_eq!(overview.bound, logged["bound"].as_f64());
    assert_eq!(logged["log loss"].as_f64(), Some(loss));
}

/// A run in memory keeps the parameters of its best epoch until it is written.
#[test]
fn a_run_in_memory_keeps_its_best_epoch() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (written, kept) = (folder.path().join("written"), folder.path().join("kept"));
    train(begin(written.clone(), Criterion::Bound, Some(2)));
    let model = model();
    let options = Options {
        output: None,
        ..choosing(written.clone(), Criterion::Bound, Some(2))
    };
    let mut trainer = train(Trainer::new(&model, &tiny::data(&model), options));
    trainer.finish(&kept).expect("a run");
    assert_same(&kept, &written);
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    tiny::write(at);
    let train = |more: &[&str]| {
        let common = [
            "train",
            "tiny.dgm",
            "--data",
            "data.safetensors",
            "-o",
            "run",
        ];
        fails(at, &[&common, more].concat())
    };
    for option in [["--patience", "3"], ["--criterion", "error"]] {
        let errors = train(&option);
        let wanted = format!(
            "error: {} {}: the best epoch is chosen",
            option[0], option[1]
        );
        assert!(
            errors.contains(&wanted) && errors.contains("`--validation`"),
            "{errors}"
        );
        assert!(errors.contains("test rows never choose"), "{errors}");
    }
    let errors = train(&["--patience", "0", "--validation", "10"]);
    assert!(
        errors.contains("--patience 0: expected a whole number of epochs from 1"),
        "{errors}"
    );
    assert!(train(&["--criterion", "loss", "--validation", "10"]).contains("log-loss"));
    // No validation row is labelled.
    let mut unlabelled = tiny::all_arrays();
    let held_out = tiny::arrays("validation.", 8, 3);
    unlabelled.push(held_out[0].clone());
    unlabelled.push(DataArray::new("validation.y", [8], vec![-1i64; 8]));
    tiny::write_arrays(&at.join("unlabelled.safetensors"), unlabelled);
    let errors = fails(
        at,
        &[
            "train",
            "tiny.dgm",
            "--data",
            "unlabelled.safetensors",
            "--criterion",
            "error",
            "-o",
            "run",
        ],
    );
    assert!(errors.contains("no validation row is labelled"), "{errors}");
    assert!(errors.contains("`criterion bound`"), "{errors}");
    // A classifier has no bound.
    let text = tiny::text(3);
    let (head, _) = text.split_once("  generative").expect("a graph");
    let classifier = format!(
        "{}  inference {{\n x -> y ~ categorical(body)\n }}\n objective {{\n classify y\n }}\n \
         train {{\n batch labelled 10, unlabelled 10\n epochs 2\n }}\n}}\n",
        head.replace("  latent z: real[2]\n", "")
    );
    std::fs::write(at.join("classifier.dgm"), classifier).expect("a model");
    let begin = [
        "train",
        "classifier.dgm",
        "--data",
        "data.safetensors",
        "--validation",
        "20%",
    ];
    let errors = fails(
        at,
        &[&begin[..], &["--criterion", "bound", "-o", "none"]].concat(),
    );
    assert!(
        errors.contains("the model is a classifier, which has no bound"),
        "{errors}"
    );
    let shown = fine(
        at,
        &[&begin[..], &["--patience", "5", "-o", "run"]].concat(),
    );
    assert!(
        shown.contains("48 training rows, 12 validation rows"),
        "{shown}"
    );
    assert!(shown.contains("done: run, best epoch "), "{shown}");
    let errors = fails(at, &["train", "run", "--resume", "--criterion", "bound"]);
    assert!(
        errors.contains("a resumed run keeps this setting"),
        "{errors}"
    );
    fine(
        at,
        &[
            "train",
            "tiny.dgm",
            "--data",
            "data.safetensors",
            "--epochs",
            "1",
            "-o",
            "plain",
        ],
    );
    let errors = fails(at, &["train", "plain", "--resume", "--patience", "3"]);
    assert!(
        errors.contains("the run does not choose its best epoch"),
        "{errors}"
    );
    // Two kinds of validation rows.
    let mut both = tiny::all_arrays();
    both.extend(tiny::arrays("validation.", 8, 3));
    tiny::write_arrays(&at.join("both.safetensors"), both);
    let begin = [
        "train",
        "tiny.dgm",
        "--data",
        "both.safetensors",
        "-o",
        "both",
    ];
    let errors = fails(at, &[&begin[..], &["--validation", "5"]].concat());
    assert!(
        errors.contains("the data have validation rows of their own"),
        "{errors}"
    );
    let shown = fine(at, &[&begin[..], &["--patience", "2"]].concat());
    assert!(
        shown.contains("60 training rows, 8 validation rows"),
        "{shown}"
    );
    fine(
        at,
        &[
            "predict",
            "both",
            "--part",
            "validation",
            "-o",
            "labels.csv",
        ],
    );
    let labels = std::fs::read_to_string(at.join("labels.csv")).expect("labels");
    assert_eq!(labels.lines().count(), 9);
}

/// A cosine is not over when a run stops early.
#[test]
fn a_schedule_that_is_cut_short_is_noted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = tiny::text(3).replace("epochs 4", "schedule cosine\n    epochs 4");
    let model = Model::parse("tiny.dgm", &text).expect("a model");
    for (patience, is_noted) in [(Some(2), true), (None, false)] {
        let run = folder.path().join(format!("run{is_noted}"));
        let options = choosing(run, Criterion::Bound, patience);
        let trainer = Trainer::new(&model, &tiny::data(&model), options).expect("a trainer");
        let mut notes = trainer.notes().iter().map(ToString::to_string);
        assert_eq!(
            notes.any(|note| note.contains("`schedule cosine`")),
            is_noted
        );
    }
}

/// In a table, the column `split` marks validation rows.
#[test]
fn a_table_marks_its_validation_rows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("rows.csv");
    let line = |row: usize| {
        let part = ["train", "validation", "Test", "train"][row % 4];
        format!(
            "{},{part},{}\n",
            row % 3,
            ["0,1,0,1,0,1", "1,1,1,0,0,0"][row % 2]
        )
    };
    let lines: String = (0..40).map(line).collect();
    let table = format!("y,split,x0,x1,x2,x3,x4,x5\n{lines}");
    std::fs::write(&path, &table).expect("a file");
    let model = tiny::model();
    let data = Dataset::open(&path, &model).expect("data");
    let rows = |source: Option<&dyn dgc::Source>| source.expect("rows").rows();
    assert_eq!(
        (
            rows(Some(data.train())),
            rows(data.test()),
            rows(data.validation())
        ),
        (20, 10, 10)
    );
    let options = Options {
        early_stopping: Some(EarlyStopping::default()),
        ..options(folder.path().join("run"))
    };
    let trainer = train(Trainer::new(&model, &data, options));
    let held_out = trainer.summary().held_out.as_ref().expect("rows");
    assert_eq!((held_out.0, held_out.1.rows), ("validation", 10));
    drop(trainer);
    let run = open(&folder.path().join("run"));
    let rows = run.rows(Some(DataPart::Validation)).expect("rows");
    // The last of every fourth row of the file.
    assert_eq!((rows.len(), rows.numbers()[9]), (10, 37));
    // The same rows as test rows are other data.
    std::fs::write(&path, table.replace("validation", "train")).expect("a file");
    assert!(run.rows(None).is_err());
    std::fs::write(&path, table.replace("validation", "valid")).expect("a file");
    let error = Dataset::open(&path, &model).expect_err("another part");
    assert!(
        error.message().contains(
            "line 3, column `split`: expected `train`, `test` or `validation`, found `valid`"
        ),
        "{error}"
    );
}
