//! Runs that begin with the parameters of another one, and parameters that training does not change.

use crate::common::{
    program::{fails, fine},
    tiny::{self, bytes, open, options, parameters, train, train_until},
};

use dgc::{
    DataArray, DataPlace, Dataset, Device, Model, Options, ResumeOptions, Rows, Trainer,
    run::arrays::NamedArray,
};
use std::{collections::BTreeMap, path::Path};

fn checkpoint(run: &Path) -> BTreeMap<String, NamedArray> {
    parameters(run.join("checkpoint.safetensors"))
}

fn freezing(run: &Path, patterns: &[&str]) -> dgc::Result<Trainer> {
    let model = tiny::model();
    let options = Options {
        freeze: patterns.iter().map(|pattern| pattern.to_string()).collect(),
        ..options(run.to_path_buf())
    };
    Trainer::new(&model, &tiny::data(&model), options)
}

#[test]
fn frozen_parameters_keep_their_bits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (run, free) = (folder.path().join("run"), folder.path().join("free"));
    let trainer = freezing(&run, &["p.*", "q.y.dense?.*"]).expect("a trainer");
    let before = checkpoint(&run);
    let summary = trainer.summary().clone();
    let shown = format!("parameters, and {} frozen ones", summary.frozen);
    assert!(summary.to_string().contains(&shown), "{summary}");
    // After a step, the others are those of a run that freezes nothing: gradients do not change.
    drop(trainer);
    train_until(resume(&run), 1);
    train_until(freezing(&free, &[]), 1);
    let (stepped, wanted) = (checkpoint(&run), checkpoint(&free));
    let is_frozen = |name: &str| name.starts_with("p.") || name.starts_with("q.y.dense");
    let (mut frozen, mut moved) = (0, false);
    for (name, now) in stepped.iter().filter(|(name, _)| !name.contains('/')) {
        let (before, free) = (&before[name], &wanted[name]);
        if is_frozen(name) {
            frozen += usize::from(!name.contains("running")) * now.data.len();
            assert_eq!(now, before, "{name}");
            moved |= now != free;
        } else if moves(name) {
            let close = now
                .data
                .iter()
                .zip(&free.data)
                .all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(close, "{name}: {now:?} {free:?}");
        }
    }
    assert!(moved, "a run that freezes nothing changes these parameters");
    assert_eq!(frozen, summary.frozen);
    let names = || stepped.keys().filter(|name| name.contains("running"));
    assert!(names().any(|name| is_frozen(name)) && names().any(|name| !is_frozen(name)));
    // A resumed run freezes the same parameters.
    train(resume(&run));
    let whole = folder.path().join("whole");
    train(freezing(&whole, &["p.*", "q.y.dense?.*"]));
    assert!(
        bytes(run.join("checkpoint.safetensors")) == bytes(whole.join("checkpoint.safetensors"))
    );
    for (name, now) in checkpoint(&whole)
        .into_iter()
        .filter(|(name, _)| moves(name))
    {
        assert_eq!(now == before[&name], is_frozen(&name), "{name}");
    }
    // The run is used as any other.
    let model = tiny::model();
    let rows = Rows::from_arrays(&model, tiny::arrays("", 9, 3)).expect("rows");
    open(&whole).evaluate(&rows).expect("an evaluation");
}

/// Whether training moves a parameter or a part of its state: in front of batch norm, a bias has no
/// gradient.
fn moves(name: &str) -> bool {
    !name.ends_with("dense1.bias")
}

fn resume(run: &Path) -> dgc::Result<Trainer> {
    let options = ResumeOptions {
        data: Some(DataPlace::Loaded(tiny::data(&tiny::model()))),
        device: Some(Device::cpu(1)),
        ..ResumeOptions::default()
    };
    Trainer::resume(run, options)
}

#[test]
fn weight_decay_leaves_frozen_parameters() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = folder.path().join("run");
    let text = tiny::text(3).replace(
        "adam(rate = 0.02)",
        "adamw(rate = 0.02, weight_decay = 0.1)",
    );
    let model = Model::parse("tiny.dgm", &text).expect("a model");
    let options = Options {
        freeze: vec!["q.z.*".to_string()],
        ..options(run.clone())
    };
    let trainer = Trainer::new(&model, &tiny::data(&model), options);
    let before = checkpoint(&run);
    train(trainer);
    for (name, now) in checkpoint(&run).into_iter().filter(|(name, _)| moves(name)) {
        let is_frozen = name.starts_with("q.z.");
        assert_eq!(now == before[&name], is_frozen, "{name}");
    }
}

#[test]
fn patterns_that_match_nothing_are_mistakes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    tiny::write(at);
    let train = |pattern: &str| {
        let begin = [
            "train",
            "tiny.dgm",
            "--data",
            "data.safetensors",
            "-o",
            "run",
        ];
        fails(at, &[&begin[..], &["--freeze", pattern]].concat())
    };
    let errors = train("p.y.*");
    assert!(
        errors.contains("--freeze p.y.*: expected a pattern of names of parameters"),
        "{errors}"
    );
    assert!(errors.contains("did you mean `p.x.*`?"), "{errors}");
    assert!(train("[").contains("--freeze [: not a pattern"));
    assert!(train("*").contains("all parameters are frozen"));
}

#[test]
fn a_run_begins_with_the_parameters_of_another() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let model = tiny::model();
    train(Trainer::new(
        &model,
        &tiny::data(&model),
        options(first.clone()),
    ));
    let options = Options {
        seed: 9,
        init: Some(first.clone()),
        ..options(second.clone())
    };
    let trainer = Trainer::new(&model, &tiny::data(&model), options).expect("a trainer");
    let inherited = trainer
        .summary()
        .init
        .clone()
        .expect("it begins with a run");
    assert_eq!(
        (inherited.copied, inherited.grown.len()),
        (inherited.parameters, 0)
    );
    drop(trainer);
    let of = |run: &Path| {
        let mut arrays = checkpoint(run);
        arrays.retain(|name, _| !name.contains('/'));
        arrays
    };
    assert_eq!(of(&second), of(&first));
    let rows = Rows::from_arrays(&model, tiny::arrays("", 9, 3)).expect("rows");
    let predict = |run: &Path| open(run).predict(&rows).expect("predictions");
    assert_eq!(predict(&second), predict(&first));
    train(resume(&second));
    assert_ne!(of(&second), of(&first));
}

/// A class more, a layer less: what is new and what is kept is listed.
#[test]
fn more_classes_keep_the_old_ones() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    tiny::write(at);
    let begin = [
        "train",
        "tiny.dgm",
        "--data",
        "data.safetensors",
        "--seed",
        "3",
    ];
    fine(at, &[&begin[..], &["-o", "first"]].concat());
    let wider = tiny::text(4).replace(
        "x, y -> z ~ normal(body)",
        "x, y -> z ~ normal([dense(hidden)])",
    );
    std::fs::write(at.join("wider.dgm"), wider).expect("a model");
    tiny::write_arrays(&at.join("four.safetensors"), tiny::arrays("", 60, 4));
    let begin = [
        "train",
        "wider.dgm",
        "--data",
        "four.safetensors",
        "--epochs",
        "0",
        "--seed",
        "3",
    ];
    fine(at, &[&begin[..], &["-o", "fresh"]].concat());
    let shown = fine(
        at,
        &[&begin[..], &["--init", "first", "-o", "second"]].concat(),
    );
    let of = |run: &str| checkpoint(&at.join(run));
    let (old, fresh, new) = (of("first"), of("fresh"), of("second"));
    let mut grown = 0;
    for (name, now) in new.iter().filter(|(name, _)| !name.contains('/')) {
        let Some(before) = old.get(name) else {
            panic!("{name} is new");
        };
        if before.shape == now.shape {
            assert_eq!(before, now);
            continue;
        }
        grown += 1;
        assert!(
            shown.contains(&format!("  {name}: {:?} copied", before.shape)),
            "{shown}"
        );
        // Matrices have the axes out, in; vectors are matrices of one column.
        let width = |shape: &[usize]| shape.get(1).copied().unwrap_or(1);
        let (wide, narrow) = (width(&now.shape), width(&before.shape));
        for (at, value) in now.data.iter().enumerate() {
            let (row, column) = (at / wide, at % wide);
            let is_old = row < before.shape[0] && column < narrow;
            let wanted = match is_old {
                true => before.data[row * narrow + column],
                false => fresh[name].data[at],
            };
            assert_eq!(*value, wanted, "{name}[{row}, {column}]");
        }
    }
    assert!(grown >= 3, "{shown}");
    assert!(
        shown.contains("q.z.batchnorm1.weight: not used, because the model lacks it"),
        "{shown}"
    );
    let message = fails(
        at,
        &[
            "train",
            "wider.dgm",
            "--data",
            "four.safetensors",
            "--init",
            "nowhere",
            "-o",
            "third",
        ],
    );
    assert!(
        message.contains("nowhere/settings.json: cannot be read"),
        "{message}"
    );
}

/// Classes by name must keep their numbers.
#[test]
fn classes_with_other_numbers_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let named = |names: &[&str]| {
        let [x, y] = <[DataArray; 2]>::try_from(tiny::arrays("", 60, names.len())).expect("two");
        [
            x,
            y.with_class_names(names.iter().map(|name| name.to_string()).collect()),
        ]
    };
    let first = folder.path().join("first");
    let model = tiny::model();
    let data = Dataset::from_arrays(&model, named(&["bee", "cat", "dog"])).expect("data");
    train(Trainer::new(&model, &data, options(first.clone())));
    let model = Model::parse("tiny.dgm", &tiny::text(4)).expect("a model");
    for (names, is_fine) in [
        (["bee", "cat", "dog", "eel"], true),
        (["ant", "bee", "cat", "dog"], false),
    ] {
        let data = Dataset::from_arrays(&model, named(&names)).expect("data");
        let options = Options {
            init: Some(first.clone()),
            ..options(folder.path().join(names[0]))
        };
        match Trainer::new(&model, &data, options) {
            Ok(_) => assert!(is_fine),
            Err(error) => {
                assert!(!is_fine, "{error}");
                assert!(
                    error
                        .message()
                        .contains("are not the first classes of the data, ant, bee"),
                    "{error}"
                );
            }
        }
    }
}
