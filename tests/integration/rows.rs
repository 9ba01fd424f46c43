//! What a run says about a row depends on the row alone: not on its place, nor on the other rows.

use crate::common;

use common::{emulator, numbers};
use dgc::{
    DataArray, Device, KernelFamily, Model, Options, Precision, Rows, Run, Trainer, driver,
    lower::{Evaluate, Outputs},
    names::OutputName,
    run::{
        data::{Column, Table, Values},
        evaluate::Evaluator,
        programs,
        session::Session,
    },
};
use std::path::Path;

/// A small ADGM on bits: q(y | x) and q(z | x, y) read samples of `a`.
fn model() -> Model {
    common::small(&common::root().join("models/adgm.dgm"))
}

const PIXELS: usize = 5;

/// 400 rows of different bits and greys.
fn rows(model: &Model, order: &[usize]) -> Rows {
    let x = values();
    let x: Vec<f32> = order
        .iter()
        .flat_map(|row| x[row * PIXELS..(row + 1) * PIXELS].to_vec())
        .collect();
    let array = DataArray::new("x", [order.len(), PIXELS], x);
    Rows::from_arrays(model, [array]).expect("rows")
}

/// Numbers from 0 to 1, no two rows alike.
fn values() -> Vec<f32> {
    let numbers = numbers("rows", 400 * PIXELS, 1.0).into_iter();
    numbers.map(|number| number.abs().fract() as f32).collect()
}

/// The folder of a run of one step.
fn run(folder: &Path, model: &Model) {
    let x: Vec<f32> = values().into_iter().map(f32::round).collect();
    let y: Vec<i64> = (0..400).map(|row| row % 3).collect();
    let arrays = [
        DataArray::new("x", [400, PIXELS], x),
        DataArray::new("y", [400], y),
    ];
    let data = dgc::Dataset::from_arrays(model, arrays).expect("data");
    let options = Options {
        device: Some(Device::cpu(1)),
        ..Options::default()
    };
    let model = model.clone().set("epochs", 1).expect("a number");
    let mut trainer = Trainer::new(&model, &data, options).expect("a trainer");
    while trainer.epoch().expect("an epoch").is_some() {}
    trainer.finish(folder).expect("a run");
}

/// Everything that a run says about rows, for each row.
fn results(run: &Run, rows: &Rows) -> Vec<Vec<u32>> {
    let mut results = vec![Vec::new(); rows.len()];
    let mut add = |values: &[f32]| {
        let width = values.len() / rows.len();
        for (result, values) in results.iter_mut().zip(values.chunks(width)) {
            result.extend(values.iter().map(|value| value.to_bits()));
        }
    };
    let predictions = run.predict(rows).expect("predictions");
    predictions
        .labels
        .iter()
        .for_each(|label| add(&label.probabilities));
    let encodings = run.encode(rows).expect("encodings");
    encodings
        .variables
        .iter()
        .for_each(|encoding| add(&encoding.values));
    results
}

fn check(device: &Device, samples: usize) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model();
    let path = folder.path().join("run");
    run(&path, &model);
    let run = Run::open_on(&path, device).expect("a run");
    let run = run.with_samples(samples);
    let all: Vec<usize> = (0..400).collect();
    let wanted = results(&run, &rows(&model, &all));
    let different: std::collections::BTreeSet<&Vec<u32>> = wanted.iter().collect();
    assert_eq!(different.len(), 400, "each row has results of its own");
    let reversed: Vec<usize> = (0..400).rev().collect();
    for order in [
        reversed,
        (13..150).collect(),
        vec![399, 7, 7, 250],
        vec![17],
        (0..400).step_by(3).collect(),
    ] {
        let found = results(&run, &rows(&model, &order));
        for (found, row) in found.iter().zip(&order) {
            assert_eq!(*found, wanted[*row], "row {row} among {} rows", order.len());
        }
    }
    let other = run.with_seed(1);
    assert_ne!(results(&other, &rows(&model, &[17]))[0], wanted[17]);
}

#[test]
fn results_do_not_depend_on_the_place_of_a_row() {
    check(&Device::cpu(1), 10);
    check(&Device::cpu(2), 1);
    check(&Device::cpu(1), 300);
}

#[test]
fn results_do_not_depend_on_the_place_of_a_row_in_any_kernel_family() {
    for precision in Precision::ALL {
        for family in KernelFamily::all(precision) {
            eprintln!("{} in {precision}", family.name());
            let device = Device::Cpu {
                threads: 1,
                precision,
                family: Some(family),
            };
            check(&device, 10);
        }
    }
}

/// The log-likelihood of bits does not depend on the row's place; that of greys does by definition,
/// as `dgc score` says.
#[test]
fn scores_of_bits_do_not_depend_on_the_place_of_a_row() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let model = model();
    let path = folder.path().join("run");
    run(&path, &model);
    let run = Run::open_on(&path, &Device::cpu(1)).expect("a run");
    let bits: Vec<f32> = values().into_iter().map(f32::round).collect();
    let rows = |order: &[usize]| {
        let x = order
            .iter()
            .flat_map(|row| bits[row * PIXELS..(row + 1) * PIXELS].to_vec());
        let array = DataArray::new("x", [order.len(), PIXELS], x.collect::<Vec<f32>>());
        Rows::from_arrays(&model, [array]).expect("rows")
    };
    let all: Vec<usize> = (0..400).collect();
    let wanted = run.log_likelihood(&rows(&all)).expect("scores");
    let order: Vec<usize> = (100..131).rev().collect();
    let found = run.log_likelihood(&rows(&order)).expect("scores");
    for (found, row) in found.iter().zip(order) {
        assert_eq!(found.to_bits(), wanted[row].to_bits(), "row {row}");
    }
}

#[test]
fn results_do_not_depend_on_the_place_of_a_row_on_a_gpu() {
    if !emulator::is_here("rows::results_do_not_depend_on_the_place_of_a_row_on_a_gpu") {
        return;
    }
    // The emulator is slow, and the precision of products does not concern noise.
    let device = Device::Cuda {
        nvrtc: None,
        precision: Precision::F32,
    };
    check(&device, 2);
}

/// A model whose encoding of `z` is the mean of the samples of `a`, which is N(0, 1).
fn noise_model() -> Model {
    common::check(
        "noise.dgm",
        "model noise {\n data x: real[1]\n latent a: real[2]\n latent z: real[2]\n\
         generative {\n z ~ normal(0, 1)\n z -> x ~ normal(linear)\n x, z -> a ~ normal(linear)\n}\n\
         inference {\n x -> a ~ normal(linear)\n a -> z ~ normal(linear)\n}\n}\n",
        &[],
    )
}

/// The mean of the samples of each row's noise (axes row, feature), for each seed.
fn noise(rows: usize, samples: usize, seeds: u64) -> Vec<Vec<f32>> {
    let model = noise_model();
    let mut session =
        Session::new(programs::parameters(&model), &Device::cpu(1)).expect("a session");
    for entry in session.layout.entries.clone() {
        let values = match entry.parameter.name.as_str() {
            "q.z.mean.weight.a" => vec![1.0, 0.0, 0.0, 1.0],
            _ => vec![0.0; entry.len()],
        };
        let parameters = session.parameters;
        session.set(parameters, &entry, &values).expect("set");
    }
    let table = Table {
        rows,
        columns: vec![Column {
            name: "x".to_string(),
            width: 1,
            values: Values::Floats((0..rows).map(|row| row as f32).collect()),
        }],
    };
    let objective = driver::derive(&model);
    let case = objective.cases.last().expect("a case");
    let what = Evaluate {
        rows: 100,
        samples,
        outputs: Outputs::Bound,
    };
    let build = programs::evaluate(&model, case, what).expect("a program");
    let evaluator = Evaluator::new(&mut session, &model, case, &build).expect("an evaluator");
    (0..seeds)
        .map(|seed| {
            let mut inferred = evaluator.run(&mut session, &table, seed).expect("numbers");
            inferred
                .remove(&OutputName::Encode("z".to_string()))
                .expect("means")
        })
        .collect()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn noise_of_rows_is_normal() {
    let draws = noise(5000, 1, 4);
    let all = || draws.iter().flatten().map(|x| f64::from(*x));
    let count = all().count() as f64;
    // The moments of N(0, 1) and the variances of their estimates.
    for (power, wanted, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
    {
        let found = mean(all().map(|x| x.powi(power)));
        let deviation = (variance / count).sqrt();
        assert!(
            (found - wanted).abs() < 5.0 * deviation,
            "moment {power}: {found}"
        );
    }
    // The two features of a row are uncorrelated, and so are the rows beside one another.
    let products = draws.iter().flat_map(|draw| {
        let rows = draw.chunks(2);
        rows.map(|row| f64::from(row[0]) * f64::from(row[1]))
    });
    assert!(mean(products).abs() < 5.0 * (2.0 / count).sqrt());
}

/// Means over rows of functions of each row's samples vary from seed to seed as those of independent
/// rows do.
#[test]
fn noise_of_different_rows_is_independent() {
    for samples in [1, 2, 5] {
        let (rows, seeds) = (200, 300);
        let draws = noise(rows, samples, seeds);
        let count = samples as f64;
        // Of m ~ N(0, 1 / samples): its mean, square and absolute value.
        type Statistic = (fn(f64) -> f64, f64, f64);
        let statistics: [Statistic; 2] = [
            (|m| m, 0.0, 1.0 / count),
            (|m| m * m, 1.0 / count, 2.0 / (count * count)),
        ];
        for (function, wanted, variance) in statistics {
            let means: Vec<f64> = draws
                .iter()
                .map(|draw| mean(draw.iter().map(|m| function(f64::from(*m)))))
                .collect();
            // Two features for each row.
            let expected = variance / (2 * rows) as f64;
            let found = mean(means.iter().map(|mean| (mean - wanted).powi(2)));
            // The estimate of a variance from 300 numbers has a deviation of √(2 / 300).
            let ratio = found / expected;
            assert!(
                (ratio - 1.0).abs() < 5.0 * (2.0f64 / 300.0).sqrt(),
                "{samples} samples: the variance is {ratio} times that of independent rows"
            );
        }
    }
}
