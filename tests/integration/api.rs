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
        (wrong("w", 6, 0.0), "expected an array `x`, found none"),
        (wrong("z", 6, 0.0), "the model infers `z`"),
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

/// What is too large to be planned is an error before it is planned.
#[test]
fn models_that_are_too_large_are_errors() {
    let root = common::root();
    for (file, name, value) in [
        ("m2.dgm", "classes", 16_777_216.0),
        ("vat.dgm", "side", 100_000.0),
        ("vamp.dgm", "latent", 16_777_216.0),
    ] {
        let model = || Model::open(root.join("models").join(file))?.set(name, value);
        let plan = model().and_then(|model| model.emit(dgc::Stage::Plan));
        let error = plan.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Model);
        assert!(error.to_string().contains("more than"), "{error}");
        let compiled = model().and_then(|model| {
            let compiler = model.compile(dgc::CompileOptions::default());
            compiler.map(|_| ())
        });
        let error = compiled.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::Model);
    }
    // A name with a line break stands in no comment of generated code.
    let text = std::fs::read_to_string(root.join("models/vae.dgm")).expect("a model");
    let model = Model::parse("two\nlines.dgm", &text).expect("a model");
    let plan = model.emit(dgc::Stage::Plan).expect("a plan");
    assert!(plan.contains("two\u{fffd}lines.dgm"));
}

/// Every number of the interface has a range, and the error names the option.
#[test]
fn options_out_of_range_are_errors() {
    let model = model();
    let data = Dataset::from_arrays(&model, arrays(60)).expect("data");
    let begin = |change: &dyn Fn(&mut Options)| {
        let mut options = options(None);
        change(&mut options);
        let error = Trainer::new(&model, &data, options).err();
        error.expect("the option is out of range")
    };
    let samples = |samples| begin(&move |options| options.samples = Some(samples));
    for (error, start) in [
        (samples(0), "samples 0: expected a whole number from 1"),
        (samples(usize::MAX), "samples 18446744073709551615:"),
        (begin(&|o| o.labels = Some(0)), "labels 0: expected 3 to "),
        (begin(&|o| o.labels = Some(999)), "labels 999: expected 3"),
        (begin(&|o| o.validation = 60), "validation 60:"),
        (begin(&|o| o.validation = usize::MAX), "validation 1844"),
        (
            begin(&|o| o.device = Some(Device::cpu(5000))),
            "threads 5000:",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().starts_with(start), "{error}");
    }
    for name in ["sm_50", "sm_", "90", "compute_90"] {
        let options = dgc::CompileOptions {
            architectures: vec![name.to_string()],
            ..dgc::CompileOptions::default()
        };
        let error = model.compile(options).err();
        let error = error.expect("no such architecture");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    let error = begin(&|options| options.epochs = Some(100_000_000));
    assert_eq!(error.kind(), ErrorKind::Model, "{error}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = trained(None)
        .finish(folder.path().join("run"))
        .expect("a run");
    let rows = Rows::from_arrays(run.model(), arrays(4)).expect("rows");
    for lines in [0, usize::MAX] {
        let options = SampleOptions {
            lines,
            ..SampleOptions::default()
        };
        let error = run.sample(&options).expect_err("no such number of lines");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    }
    for samples in [0, usize::MAX] {
        let run = Run::open_on(run.folder(), &Device::cpu(1)).expect("a run");
        let error = run.with_samples(samples).encode(&rows);
        let error = error.expect_err("no such number of samples");
        assert!(error.to_string().starts_with("samples "), "{error}");
    }
    let error = run.encode(&rows.first(0)).expect_err("no rows");
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
}

#[test]
fn a_run_begins_in_a_named_empty_folder_only() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let file = at.join("graph.svg");
    std::fs::write(&file, "a picture").expect("a file can be written");
    std::fs::create_dir(at.join("mine")).expect("a folder can be made");
    std::fs::write(at.join("mine/notes"), "mine").expect("a file can be written");
    let model = model();
    let data = Dataset::from_arrays(&model, arrays(60)).expect("data");
    let mut trainer = trained(None);
    for (path, kind, word) in [
        (Path::new(""), ErrorKind::Usage, "found an empty path"),
        (&file, ErrorKind::Io, "name a folder"),
        (&file.join("run"), ErrorKind::Io, "name a folder"),
        (&at.join("mine"), ErrorKind::Usage, "such as `notes`"),
    ] {
        let error = Trainer::new(&model, &data, options(Some(path))).err();
        let error = error.expect("no place for a run");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(word), "{error}");
        // A trainer that fails to finish in one folder can finish in another.
        let error = trainer.finish(path).err().expect("no place for a run");
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(Run::open("").is_err_and(|error| error.kind() == ErrorKind::Usage));
    trainer.finish(at.join("run")).expect("a run");
    let error = trainer.finish(at.join("other")).err().expect("another");
    assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
    trainer.finish(at.join("run")).expect("the same run");
}

/// The flag stops training before the next step, and every way to train says so in the same way.
#[test]
fn a_raised_flag_stops_every_way_to_train() {
    let model = model();
    let data = Dataset::from_arrays(&model, arrays(60)).expect("data");
    let cancel = Cancel::new();
    let options = Options {
        cancel: Some(cancel.clone()),
        ..options(None)
    };
    let mut trainer = Trainer::new(&model, &data, options).expect("a trainer");
    let stopped = trainer.train(|progress| {
        if progress.step == 2 {
            cancel.raise();
        }
        ControlFlow::Continue(())
    });
    let errors = [
        stopped.err(),
        trainer.train(|_| ControlFlow::Continue(())).err(),
        trainer.epoch().err(),
        trainer.step().err(),
    ];
    for error in errors {
        let error = error.expect("the flag is raised");
        assert_eq!(error.kind(), ErrorKind::Interrupted);
        assert_eq!(error.kind().exit_code(), 130);
        assert_eq!(error.message(), "stopped after step 2");
    }
    assert_eq!(trainer.steps_taken(), 2);
}

#[test]
fn a_run_is_resumed_for_no_fewer_epochs_than_it_has() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("run");
    let mut trainer = trained(Some(&path));
    while trainer.epoch().expect("an epoch").is_some() {}
    let resume = |epochs: usize| {
        let options = ResumeOptions {
            epochs: Some(epochs),
            data: Some(DataPlace::Loaded(
                Dataset::from_arrays(&model(), arrays(60)).expect("data"),
            )),
            device: Some(Device::cpu(1)),
            ..ResumeOptions::default()
        };
        Trainer::resume(&path, options)
    };
    let error = resume(3).err().expect("the trainer has the lock");
    assert!(error.to_string().contains("trained already"), "{error}");
    drop(trainer);
    let settings = std::fs::read_to_string(path.join("settings.json")).expect("settings");
    let error = resume(1).err().expect("it has three");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.message(), "epochs 1: the run has completed 3");
    let unchanged = std::fs::read_to_string(path.join("settings.json")).expect("settings");
    assert_eq!(settings, unchanged);
    assert!(resume(3).expect("a trainer").is_done());
    assert!(!resume(4).expect("a trainer").is_done());
}

#[test]
fn arrays_are_checked_by_name_and_shape() {
    let model = model();
    let with =
        |array: DataArray| Dataset::from_arrays(&model, arrays(4).into_iter().chain([array]));
    let zeros = |name: &str, shape: &[usize]| DataArray::new(name, shape, vec![0.0f32; 24]);
    for (array, word) in [
        (zeros("x", &[4, 6]), "there are two arrays `x`"),
        (zeros("z", &[4, 6]), "the model infers `z`"),
        (zeros("test.x", &[4, 7]), "has 24 numbers, not the 28"),
        (zeros("test.x", &[usize::MAX, 16]), "too large"),
    ] {
        let error = with(array).expect_err("a mistake");
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(word), "{error}");
    }
    let data = with(zeros("w", &[4, 6])).expect("data");
    assert_eq!(data.others(), ["w"]);
    let data = with(zeros("test.x", &[4, 6])).expect("data");
    assert_eq!(data.test().expect("test rows").rows(), 4);

    let folder = tempfile::tempdir().expect("a temporary folder");
    let array = dgc::NamedArray {
        name: "w".to_string(),
        shape: vec![usize::MAX, 2],
        data: vec![0.0; 3],
    };
    let written = dgc::NamedArray::write_all(&[array], &folder.path().join("w"), true);
    assert_eq!(written.expect_err("a mistake").kind(), ErrorKind::Data);
}

#[test]
#[should_panic(expected = "expected a row below 2, found 2")]
fn a_prediction_names_its_rows() {
    let prediction = dgc::Prediction {
        label: "y".to_string(),
        classes: 3,
        probabilities: vec![1.0 / 3.0; 6],
        truth: Vec::new(),
        names: Vec::new(),
    };
    prediction.row(2);
}

/// The library's ways out name its options and methods; the program replaces them by its arguments.
#[test]
fn ways_out_are_not_about_the_program() {
    let mut files = vec![root().join("src")];
    let mut found = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a folder can be read");
            files.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        // `src/check` has the diagnostics of a model's text, which name `--set` and `dgc list`.
        let text = std::fs::read_to_string(&path).expect("a file can be read");
        let lines = text.lines().filter(|line| {
            let line = line.trim_start();
            !line.starts_with("//")
                && [
                    "`dgc ",
                    "dgc train",
                    "--data",
                    "--device",
                    "--from ",
                    " -o",
                    "--nvrtc",
                ]
                .iter()
                .any(|words| line.contains(words))
        });
        let is_exempt = ["src/cli", "src/check"]
            .iter()
            .any(|folder| path.starts_with(root().join(folder)));
        found.extend(lines.filter(|_| !is_exempt).map(str::to_string));
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The notes after training of an autoencoder whose q(z) has that distribution.
fn notes_of(posterior: &str) -> Vec<String> {
    let text = format!(
        "model notes {{\n data x: real[6]\n latent z: real[2]\n generative {{\n z ~ normal(0, 1)\n \
         z -> x ~ normal(linear)\n}}\n inference {{\n {posterior}\n}}\n train {{\n batch 20\n \
         optimizer adam(rate = 1e-6)\n epochs 1\n}}\n}}\n"
    );
    let model = Model::parse("notes.dgm", &text).expect("a model");
    let x: Vec<f32> = common::numbers("x", 60 * 6, 1.0)
        .iter()
        .map(|x| *x as f32)
        .collect();
    let data = Dataset::from_arrays(&model, [DataArray::new("x", [60, 6], x)]).expect("data");
    let mut trainer = Trainer::new(&model, &data, options(None)).expect("a trainer");
    trainer
        .train(|_| ControlFlow::Continue(()))
        .expect("training");
    let notes = trainer.notes().iter();
    notes.map(|note| note.message().to_string()).collect()
}

#[test]
fn a_note_names_a_latent_that_the_model_does_not_use() {
    let is_named = |note: &String| note.contains("latent `z` has no active unit");
    assert!(notes_of("z ~ normal(0, 1)").iter().any(is_named));
    assert!(
        !notes_of("x -> z ~ normal(mean = [dense(2)], log_variance = 0)")
            .iter()
            .any(is_named)
    );
}
