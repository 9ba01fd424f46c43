//! The library as a user of it sees it.

use crate::common;

use common::root;
use dgc::{
    Cancel, DataArray, DataPart, DataPlace, Dataset, Device, ErrorKind, Model, Options, Outcome,
    ResumeOptions, Rows, Run, SampleOptions, Trainer,
};
use std::{error::Error as _, ops::ControlFlow, path::Path};

fn model() -> Model {
    let model = Model::open(root().join("models/m2.dgm")).expect("a model");
    let sets = [
        ("pixels", "6"),
        ("classes", "3"),
        ("latent", "2"),
        ("hidden", "5"),
        ("batch.labelled", "10"),
        ("batch.unlabelled", "10"),
        ("epochs", "3"),
    ];
    let sets = sets.map(|(name, value)| (name.to_string(), value.to_string()));
    model.set_all(&sets).expect("the sizes are fine")
}

fn arrays(rows: usize) -> [DataArray; 2] {
    let greys: Vec<f32> = common::numbers("greys", rows * 6, 1.0)
        .iter()
        .map(|x| f32::from(u8::from(*x > 0.0)))
        .collect();
    let classes: Vec<i64> = (0..rows as i64).map(|row| row % 4 - 1).collect();
    [
        DataArray::new("x", [rows, 6], greys),
        DataArray::new("y", [rows], classes),
    ]
}

fn options(output: Option<&Path>) -> Options {
    Options {
        seed: 3,
        validation: 12,
        device: Some(Device::cpu(1)),
        output: output.map(Path::to_path_buf),
        ..Options::default()
    }
}

fn trained(output: Option<&Path>) -> Trainer {
    let model = model();
    let data = Dataset::from_arrays(&model, arrays(60)).expect("data");
    Trainer::new(&model, &data, options(output)).expect("a trainer")
}

#[test]
fn what_can_be_is_sent_to_other_threads() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<Model>();
    is_send::<Dataset>();
    is_send::<Trainer>();
    is_send::<Run>();
    is_send::<dgc::Error>();
    is_sync::<Model>();
    is_sync::<Dataset>();
    is_sync::<Run>();
    is_sync::<dgc::Error>();
}

#[test]
fn a_model_is_trained_and_used_from_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run");
    let mut trainer = trained(None);
    let mut epochs = Vec::new();
    while let Some(epoch) = trainer.epoch().expect("an epoch") {
        assert!(epoch.loss().is_finite() && epoch.held_out_bound().is_some());
        epochs.push(epoch.number());
    }
    assert_eq!(epochs, [1, 2, 3]);
    let run = trainer.finish(&path).expect("a run");
    let metrics = std::fs::read_to_string(path.join("metrics.jsonl")).expect("metrics");
    assert_eq!(metrics.lines().count(), 3);

    let rows = Rows::from_arrays(run.model(), arrays(8)).expect("rows");
    let prediction = run.predict(&rows).expect("predictions");
    let label = prediction.get("y").expect("the label");
    assert_eq!(label.probabilities.len(), 8 * 3);
    for row in 0..8 {
        assert!((label.row(row).iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    let again = run.predict(&rows).expect("predictions");
    assert_eq!(prediction, again, "the same numbers each time");
    let codes = run.encode(&rows).expect("latents");
    assert_eq!(codes.get("z").expect("the latent").width, 2);
    let likelihoods = run.log_likelihood(&rows).expect("numbers");
    assert!(likelihoods.len() == 8 && likelihoods.iter().all(|x| x.is_finite()));
    let evaluation = run.evaluate(&rows).expect("an evaluation");
    assert!(evaluation.means.get("likelihood").is_some() && evaluation.labelled.is_some());
    let text = evaluation.to_string();
    assert!(
        text.contains("log-likelihood") && text.contains("log p(x | "),
        "{text}"
    );
    let samples = run.sample(&SampleOptions::default()).expect("samples");
    assert_eq!(samples.means("x").expect("means").len(), 10 * 3 * 6);

    // Data in memory have no name to be read by.
    let error = run.rows(Some(DataPart::Train)).expect_err("no data");
    assert_eq!(error.kind(), ErrorKind::Data);
}

#[test]
fn a_cancelled_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (whole, part) = (folder.path().join("whole"), folder.path().join("part"));
    let done = trained(Some(&whole)).train(|_| ControlFlow::Continue(()));
    assert_eq!(done.expect("training"), Outcome::Done);

    let mut trainer = trained(Some(&part));
    let stopped = trainer.train(|progress| {
        if progress.step == 7 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(stopped.expect("training"), Outcome::Stopped);
    drop(trainer);
    let data = || Dataset::from_arrays(&model(), arrays(60)).expect("data");
    let cancel = Cancel::new();
    let resume = |cancel: Option<Cancel>| ResumeOptions {
        data: Some(DataPlace::Loaded(data())),
        device: Some(Device::cpu(2)),
        cancel,
        ..ResumeOptions::default()
    };
    let mut trainer = Trainer::resume(&part, resume(Some(cancel.clone()))).expect("a trainer");
    let other = Trainer::resume(&part, resume(None)).err().expect("a lock");
    assert_eq!(other.kind(), ErrorKind::Usage, "{other}");
    cancel.raise();
    let error = trainer.epoch().expect_err("it was cancelled");
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    drop(trainer);
    let mut trainer = Trainer::resume(&part, resume(None)).expect("a trainer");
    while trainer.epoch().expect("an epoch").is_some() {}
    let arrays = |run: &Path| {
        dgc::NamedArray::read_all(&run.join("checkpoint.safetensors")).expect("a checkpoint")
    };
    assert!(arrays(&whole) == arrays(&part));
    drop(trainer);

    // Other data, or another setting, is another run.
    let fewer = Dataset::from_arrays(&model(), self::arrays(40)).expect("data");
    let options = ResumeOptions {
        data: Some(DataPlace::Loaded(fewer)),
        ..resume(None)
    };
    let error = Trainer::resume(&part, options).err().expect("other data");
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    let options = ResumeOptions {
        sets: vec![("hidden".to_string(), "9".to_string())],
        ..resume(None)
    };
    let error = Trainer::resume(&part, options).err().expect("a fixed size");
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
}

#[test]
fn mistakes_are_errors_with_kinds() {
    let error =
        Model::parse("bad.dgm", "model bad {\n  data x: reel[3]\n}").expect_err("a mistake");
    assert_eq!(error.kind(), ErrorKind::Model);
    let diagnostics = error.diagnostics().expect("diagnostics");
    assert!(
        diagnostics.mistakes() > 0 && error.to_string().contains("bad.dgm:2"),
        "{error}"
    );
    assert!(error.source().is_some());
    let error = Model::open("nowhere.dgm").expect_err("no file");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(error.path(), Some(Path::new("nowhere.dgm")));
    assert!(
        error
            .source()
            .is_some_and(|source| source.is::<std::io::Error>())
    );
    let error = model().set("hiden", 3).expect_err("no such size");
    assert!(error.to_string().contains("`hidden`"), "{error}");

    // Names, widths and values of rows.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = trained(None)
        .finish(folder.path().join("run"))
        .expect("a run");
    let wrong = |name: &str, width: usize, value: f32| {
        let array = DataArray::new(name, [2, width], vec![value; 2 * width]);
        Rows::from_arrays(run.model(), [array]).expect_err("a mistake")
    };
    for (error, word) in [
        (wrong("x", 7, 0.0), "do not fit `x`"),
        (wrong("z", 6, 0.0), "expected an array `x`, found none"),
        (wrong("x", 6, 2.0), "from 0 to 1"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(word), "{error}");
    }
    // A source is checked where it is read, too.
    let table = |name: &str, width: usize| dgc::run::data::Table {
        rows: 2,
        columns: vec![dgc::run::data::Column {
            name: name.to_string(),
            width,
            values: dgc::run::data::Values::Floats(vec![0.0; 2 * width]),
        }],
    };
    for (table, word) in [
        (table("x", 7), "`x`: expected 6 numbers per row, found 7"),
        (table("w", 6), "expected an array `x`, found none"),
    ] {
        let error = run.predict(&Rows::new(table)).expect_err("a mistake");
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(word), "{error}");
    }
    let model = model();
    let data = Dataset::from_arrays(&model, arrays(60)).expect("data");
    let few = Options {
        labels: Some(2),
        ..options(None)
    };
    let error = Trainer::new(&model, &data, few).err().expect("too few");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.to_string().starts_with("labels 2:"), "{error}");
}
