//! Training: the same numbers from run to run, for any number of threads, and after a resumption;
//! and it learns.

use crate::common;

use common::load;
use dgc::{
    backend::Device,
    model::Model,
    names::{CaseKind, OutputName},
    run::{
        checkpoint::{Checkpoint, Origin},
        data::{self, Column, Source, Table, Values},
        programs::{self, Training},
        train::Stepper,
    },
};
use std::sync::Arc;

fn adgm(sets: &[(&str, &str)]) -> Model {
    let small = [
        ("hidden", "20"),
        ("aux", "4"),
        ("latent", "5"),
        ("batch.labelled", "10"),
        ("batch.unlabelled", "30"),
    ];
    // The line weighs nothing after seven steps.
    let smooth = [("smooth.warmup", "1")];
    load(
        &common::root().join("models/adgm.dgm"),
        &[&small[..], &smooth, sets].concat(),
    )
}

/// Some rows of the excerpt, a few of them labelled.
fn table(model: &Model) -> Arc<dyn Source> {
    let dataset = data::load(None, model).expect("the excerpt is there");
    let rows: Vec<usize> = (0..200).collect();
    data::split(&dataset.train.select(&rows).into(), Some((model, 40)), 0, 0)
        .expect("a split")
        .train
}

/// Settings without and with an average of the parameters.
const AVERAGES: [&[(&str, &str)]; 2] = [&[], &[("average.parameters", "0.9")]];

fn trainer(threads: usize, sets: &[(&str, &str)]) -> Stepper {
    let model = adgm(sets);
    let table = table(&model);
    Stepper::new(model, table, 7, &Device::cpu(threads)).expect("a trainer")
}

fn steps(trainer: &mut Stepper, count: usize) {
    (0..count).for_each(|_| trainer.step().expect("a step"));
}

fn bits(trainer: &Stepper) -> Vec<u32> {
    let session = &trainer.session;
    let mut bits = Vec::new();
    for array in session.parameter_arrays() {
        let values = session.device.read(array, 0, session.layout.total);
        bits.extend(values.expect("parameters").iter().map(|x| x.to_bits()));
    }
    bits
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_any_run() {
    for sets in AVERAGES {
        let run = |threads| {
            let mut trainer = trainer(threads, sets);
            steps(&mut trainer, 12);
            bits(&trainer)
        };
        let one = run(1);
        assert_eq!(one, run(1), "two runs");
        assert_eq!(one, run(2), "two threads");
        assert_eq!(one, run(3), "three threads");
    }
}

/// Steps take the parameters, not their average.
#[test]
fn an_average_changes_no_step() {
    let [plain, averaged] = AVERAGES.map(|sets| {
        let mut trainer = trainer(1, sets);
        steps(&mut trainer, 5);
        bits(&trainer)
    });
    assert_eq!(plain, averaged[..plain.len()]);
    assert_eq!(averaged.len(), 2 * plain.len());
}

#[test]
fn a_resumed_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("checkpoint.safetensors");
    // Before and after a line comes to weigh nothing.
    for (at, sets) in [(5, AVERAGES[0]), (9, AVERAGES[0]), (5, AVERAGES[1])] {
        let mut whole = trainer(2, sets);
        steps(&mut whole, at);
        whole.save(&path, &Origin::default()).expect("a checkpoint");
        steps(&mut whole, 9);
        let mut resumed = trainer(1, sets);
        let checkpoint = Checkpoint::read(&path).expect("a checkpoint");
        resumed.restore(&checkpoint).expect("a checkpoint");
        assert_eq!(resumed.step, at as u64);
        steps(&mut resumed, 9);
        assert_eq!(bits(&whole), bits(&resumed));
        assert_eq!(whole.take_means(), resumed.take_means(), "means go on too");
    }
}

#[test]
fn a_line_that_weighs_nothing_any_more_is_no_part_of_a_step() {
    let model = adgm(&[]);
    let mut programs = programs::training(&model).expect("programs");
    let trainer = |programs: &Training| {
        Stepper::with(model.clone(), programs, table(&model), 7, &Device::cpu(1))
    };
    let mut left_out = trainer(&programs).expect("a trainer");
    assert!(programs.steady.take().is_some(), "the weight ends at 0");
    let mut kept = trainer(&programs).expect("a trainer");
    let smoothness = |trainer: &mut Stepper| {
        let means = trainer.take_means().expect("numbers");
        means
            .iter()
            .filter(|(name, _)| name.is_metric("smoothness"))
            .count()
    };
    for trainer in [&mut left_out, &mut kept] {
        steps(trainer, 7);
        assert_eq!(smoothness(trainer), 2, "of labelled and of other rows");
        steps(trainer, 1);
    }
    assert_eq!(smoothness(&mut left_out), 0);
    assert_eq!(smoothness(&mut kept), 2);
    assert_same_gradient(&left_out, &kept);
    // What weighs nothing from the beginning is in no program.
    let none = programs::training(&adgm(&[("smooth.weight", "0"), ("smooth.warmup", "0")]))
        .expect("programs");
    let (_, settled) = model.steady_state().expect("the weight ends at 0");
    assert!(Ok(&none) == programs::training(&settled).as_ref() && none.steady.is_none());
}

/// Whether the gradients of the last steps differ by rounding alone.
fn assert_same_gradient(left_out: &Stepper, kept: &Stepper) {
    let [left_out, kept] = [left_out, kept].map(|trainer| {
        let session = &trainer.session;
        let values = session
            .device
            .read(session.gradients, 0, session.layout.trained);
        values.expect("a gradient").into_owned()
    });
    let most = kept.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    let far = left_out
        .iter()
        .zip(&kept)
        .fold(0.0f32, |far, (a, b)| far.max((a - b).abs()));
    assert!(far <= 1e-6 * most, "{far} of {most}");
}

#[test]
fn the_bound_of_labelled_rows_is_left_out_while_it_weighs_nothing() {
    let reported = |trainer: &mut Stepper| {
        let means = trainer.take_means().expect("numbers");
        let of_labelled = OutputName::CaseBound(CaseKind::Labelled);
        means.iter().any(|(name, _)| *name == of_labelled)
    };
    let settings = |weight| {
        let always = [("labelled.weight", weight), ("labelled.warmup", "0")];
        [always, [("smooth.weight", "0"), ("smooth.warmup", "0")]].concat()
    };
    // So small a weight changes no gradient.
    let [mut none, mut tiny] = ["0", "1e-30"].map(|weight| {
        let mut trainer = trainer(1, &settings(weight));
        steps(&mut trainer, 1);
        trainer
    });
    assert_eq!((reported(&mut none), reported(&mut tiny)), (false, true));
    assert_same_gradient(&none, &tiny);

    let falls = [("labelled.weight", "0"), ("labelled.warmup", "1")];
    let mut falling = trainer(1, &falls);
    steps(&mut falling, 7);
    assert!(reported(&mut falling));
    steps(&mut falling, 1);
    assert!(!reported(&mut falling));
    // Without unlabelled rows, running averages are of the labelled rows.
    let labelled = [&settings("0")[..], &[("batch.unlabelled", "0")]].concat();
    let programs = programs::training(&adgm(&labelled)).expect("programs");
    assert!(programs.steady.is_none());
}

#[test]
fn a_broken_checkpoint_is_refused_and_a_good_one_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("checkpoint.safetensors");
    let mut trainer = trainer(1, &[]);
    trainer
        .save(&path, &Origin::default())
        .expect("a checkpoint");
    let bytes = std::fs::read(&path).expect("the checkpoint can be read");
    for len in [0, 7, 100, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..len]).expect("a file can be written");
        let error = Checkpoint::read(&path)
            .err()
            .expect("a cut checkpoint is refused");
        assert!(
            error.to_string().contains("checkpoint.safetensors"),
            "{error}"
        );
    }
    let nowhere = folder.path().join("missing").join("checkpoint.safetensors");
    assert!(trainer.save(&nowhere, &Origin::default()).is_err());
}

#[test]
fn the_loss_falls() {
    let model = adgm(&[("rate", "0.003")]);
    let table = table(&model);
    let mut trainer = Stepper::new(model, table, 7, &Device::cpu(2)).expect("a trainer");
    steps(&mut trainer, 10);
    let loss = |trainer: &mut Stepper| {
        let means = trainer.take_means().expect("numbers");
        means
            .iter()
            .find(|(name, _)| *name == dgc::names::OutputName::Loss)
            .expect("a loss")
            .1
    };
    let first = loss(&mut trainer);
    steps(&mut trainer, 150);
    trainer.take_means().expect("numbers");
    steps(&mut trainer, 10);
    let last = loss(&mut trainer);
    assert!(last < 0.7 * first, "from {first} to {last}");
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let model = load(
        &common::root().join("models/vae.dgm"),
        &[("pixels", "3"), ("hidden", "4"), ("latent", "2")],
    );
    let values = Values::Floats(vec![f32::NAN; 6]);
    let table = Table {
        rows: 2,
        columns: vec![Column {
            name: "x".to_string(),
            width: 3,
            values,
        }],
    };
    let mut trainer = Stepper::new(model, table, 0, &Device::cpu(1)).expect("a trainer");
    // Greys that are no numbers are drawn as zeros, so the parameters are spoiled instead.
    let parameters = trainer.session.parameters;
    trainer
        .session
        .device
        .fill(parameters, 0, 1, &mut |values| values[0] = f32::NAN)
        .expect("parameters");
    let error = trainer
        .step()
        .expect_err("the loss is no number")
        .to_string();
    assert!(
        error.contains("step 1") && error.contains("diverged"),
        "{error}"
    );
}

#[test]
fn the_rate_follows_its_schedule() {
    let text = std::fs::read_to_string(common::root().join("models/vae.dgm")).expect("a model");
    let rates = |line: &str| {
        let text = text.replace("  train {\n", &format!("  train {{\n    schedule {line}\n"));
        let (model, _) = dgc::driver::check("vae.dgm", &text, &[]).expect("a model");
        // Steps of half an epoch, in a run of four epochs.
        let rate = |step: usize| {
            model
                .train
                .schedule
                .rate(0.8, 0.5 * step as f64, 0.5 * (step + 1) as f64, 4.0)
        };
        (0..8).map(rate).collect::<Vec<f64>>()
    };
    let close = |line: &str, expected: [f64; 8]| {
        let rates = rates(line);
        let far = rates
            .iter()
            .zip(expected)
            .any(|(rate, expected)| (rate - expected).abs() > 1e-12);
        assert!(!far, "{line}: {rates:?} instead of {expected:?}");
    };
    close("constant", [0.8; 8]);
    // A rate never rises to its floor.
    close("cosine(floor = 1)", [0.8; 8]);
    close(
        "warmup(epochs = 2)",
        [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8],
    );
    close(
        "constant warmup 2",
        [0.2, 0.4, 0.6, 0.8, 0.8, 0.8, 0.8, 0.8],
    );
    close(
        "step(every = 1, factor = 0.5, floor = 0.15)",
        [0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.15, 0.15],
    );
    close(
        "step(every = 1, factor = 0.5) warmup 1",
        [0.4, 0.8, 0.4, 0.4, 0.2, 0.2, 0.1, 0.1],
    );
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let eighth = (std::f64::consts::PI / 8.0).cos();
    let sine = (std::f64::consts::PI / 8.0).sin();
    let cosine = |x: f64| 0.1 + 0.35 * (1.0 + x);
    close(
        "cosine(floor = 0.1) warmup 1",
        [
            0.5 * cosine(1.0),
            cosine(eighth),
            cosine(half),
            cosine(sine),
            cosine(0.0),
            cosine(-sine),
            cosine(-half),
            cosine(-eighth),
        ],
    );
}

#[test]
fn weights_warm_up() {
    let text = std::fs::read_to_string(common::root().join("models/m2.dgm")).expect("a model");
    let text = common::sampled(&text);
    let close = |line: &str, sets: &[(&str, &str)], input: &str, expected: [f64; 4]| {
        let text = text.replace("  objective {\n", &format!("  objective {{\n    {line}\n"));
        let model = common::check("m2.dgm", &text, &[&[("epochs", "8")], sets].concat());
        for (epoch, expected) in [0.0, 1.0, 4.0, 9.0].into_iter().zip(expected) {
            let (name, changing) = model.scheduled().swap_remove(0);
            let weight = model.scheduled_value(changing, epoch);
            assert!(
                name == input && (weight - expected).abs() < 1e-12,
                "{line}: {weight} after {epoch} epochs"
            );
        }
    };
    close("beta z 0.5 warmup 4", &[], "beta.z", [0.0, 0.125, 0.5, 0.5]);
    close(
        "beta z 1 warmup 4 from 3",
        &[],
        "beta.z",
        [3.0, 2.5, 1.0, 1.0],
    );
    close(
        "beta z 1 warmup epochs / 2 from 3",
        &[],
        "beta.z",
        [3.0, 2.5, 1.0, 1.0],
    );
    close(
        "labelled 0.2 warmup 4 from 1",
        &[],
        "labelled",
        [1.0, 0.8, 0.2, 0.2],
    );
    let sets = [
        ("labelled.weight", "0"),
        ("labelled.warmup", "2"),
        ("labelled.from", "3"),
    ];
    close(
        "labelled 0.2 warmup 4 from 1",
        &sets,
        "labelled",
        [3.0, 1.5, 0.0, 0.0],
    );
    let line = "smooth y by vat(radius = 1, weight = 0) warmup 4 from 8";
    close(line, &[], "smooth.y", [8.0, 6.0, 0.0, 0.0]);
    let sets = [
        ("smooth.weight", "5"),
        ("smooth.warmup", "2"),
        ("smooth.from", "3"),
    ];
    close(line, &sets, "smooth.y", [3.0, 4.0, 5.0, 5.0]);
    let text = text.replace(
        "  objective {\n",
        "  objective {\n    labelled 0.1 warmup 9\n    beta z 1 warmup 8\n",
    );
    let (_, lints) =
        dgc::driver::check("m2.dgm", &text, &[("epochs".to_string(), "8".to_string())])
            .expect("a model");
    let told = dgc::diagnostic::render(&lints, "m2.dgm", &text, false);
    assert!(
        told.contains("labelled 0.1 warmup 9")
            && told.contains("9 epochs of warm-up, 8 of training"),
        "{told}"
    );
    assert_eq!(lints.len(), 1, "{told}");
}
