//! `dgc impute --draws`: draws of missing values, against closed forms.

use crate::common;

use common::{
    emulator,
    program::{fails, fine},
};
use dgc::{
    DataArray, Dataset, Device, ImputedDraws, Model, NamedArray, Options, Rows, Run, Trainer,
};
use std::{collections::BTreeMap, path::Path};

/// Every network is linear, so that data are normal variables given the class.
const TEXT: &str = "model gaussian {
  data   x: real[4] standardized with missing
  data   c: class[3] with missing
  label  y: class[2]
  latent z: real[2]

  generative {
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ normal(mean = [dense(4)], log_variance = -2)
    y, z -> c ~ categorical(linear)
  }

  inference {
    x    -> y ~ categorical(linear)
    x, y -> z ~ normal(mean = [dense(2)], log_variance = -1)
  }

  objective {
    sum y
  }

  train {
    batch labelled 4, unlabelled 4
    initialize normal(0.7)
    optimizer sgd(rate = 1e-6)
    epochs 1
  }
}
";

const ROWS: usize = 12;

fn model() -> Model {
    common::check("gaussian.dgm", TEXT, &[])
}

/// Features 1 and 3 are missing in every second row, and classes in every third.
fn arrays() -> Vec<DataArray> {
    let x = common::numbers("x", 4 * ROWS, 2.0);
    let x = x.iter().enumerate().map(|(at, &x)| {
        let is_missing = (at / 4) % 2 == 0 && (at % 4) % 2 == 1;
        if is_missing { f64::NAN } else { 3.0 + x }
    });
    let c = (0..ROWS as i64).map(|row| if row % 3 == 0 { -1 } else { row % 3 });
    vec![
        DataArray::new("x", [ROWS, 4], x.collect::<Vec<f64>>()),
        DataArray::new("c", [ROWS], c.collect::<Vec<i64>>()),
        DataArray::new(
            "y",
            [ROWS],
            (0..ROWS as i64).map(|row| row % 2).collect::<Vec<i64>>(),
        ),
    ]
}

fn run(folder: &Path) -> (Run, BTreeMap<String, NamedArray>) {
    let model = model();
    let data = Dataset::from_arrays(&model, arrays()).expect("data");
    let options = Options {
        device: Some(Device::cpu(1)),
        ..Options::default()
    };
    let mut trainer = Trainer::new(&model, &data, options).expect("a trainer");
    while trainer.epoch().expect("an epoch").is_some() {}
    let path = folder.join("run");
    trainer.finish(&path).expect("a run");
    let arrays = common::read(&path.join("checkpoint.safetensors"));
    let run = Run::open_on(&path, &Device::cpu(1)).expect("a run");
    (run, arrays.into_iter().collect())
}

/// Σ W h + b.
fn linear(
    arrays: &BTreeMap<String, NamedArray>,
    head: &str,
    parents: &[(&str, &[f64])],
) -> Vec<f64> {
    let mut sum = arrays[&format!("{head}.bias")].data.clone();
    for (name, input) in parents {
        let weight = &arrays[&format!("{head}.weight.{name}")].data;
        for (to, weights) in sum.iter_mut().zip(weight.chunks(input.len())) {
            *to += weights.iter().zip(*input).map(|(w, x)| w * x).sum::<f64>();
        }
    }
    sum
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let powers: Vec<f64> = logits.iter().map(|x| x.exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}

/// The draws of a variable of a row.
fn of_row(drawn: &ImputedDraws, variable: usize, row: usize) -> Vec<&[f32]> {
    let variable = &drawn.variables[variable];
    let size = drawn.draws * variable.width;
    let values = &variable.values[row * size..(row + 1) * size];
    values.chunks(variable.width).collect()
}

/// The mean and the covariance of the missing features are those of a mixture of two normal
/// distributions, one for each class: W E[z] + b, and W diag(var z) Wᵀ + diag(var x) beside the
/// covariance of the means.
#[test]
fn draws_have_the_mean_and_the_covariance_of_the_model() {
    const DRAWS: usize = 10_000;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (run, arrays_of) = run(folder.path());
    let rows = Rows::from_arrays(&model(), arrays())
        .expect("rows")
        .first(2);
    let drawn = run.impute_draws(&rows, DRAWS).expect("draws");
    assert_eq!(drawn.draws, DRAWS);
    let names: Vec<&str> = drawn
        .variables
        .iter()
        .map(|v| v.variable.as_str())
        .collect();
    assert_eq!(names, ["x", "c"]);
    let numbers = |name: &str| arrays_of[name].data.clone();
    let (mean, log) = (numbers("data.x.mean"), numbers("data.x.log_deviation"));
    let x = common::numbers("x", 4 * ROWS, 2.0);
    // Row 0 lacks features 1 and 3, and its class.
    let mask = [1.0, 0.0, 1.0, 0.0];
    let unit: Vec<f64> = (0..4)
        .map(|f| mask[f] * (3.0 + x[f] - mean[f]) / log[f].exp())
        .collect();
    let read: [(&str, &[f64]); 2] = [("x", &unit), ("x.mask", &mask)];
    let q = softmax(&linear(&arrays_of, "q.y.logits", &read));
    let missing = [1, 3];
    let (mut means, mut second) = ([0.0; 2], [[0.0; 2]; 2]);
    for (class, probability) in q.iter().enumerate() {
        let mut y = [0.0; 2];
        y[class] = 1.0;
        let parents = [read[0], read[1], ("y", &y[..])];
        let z = linear(&arrays_of, "q.z.mean.dense1", &parents);
        let weights = numbers("p.x.mean.dense1.weight.z");
        let centre = linear(&arrays_of, "p.x.mean.dense1", &[("y", &y[..]), ("z", &z)]);
        let scale = |f: usize| log[f].exp();
        let within = |f: usize| mean[f] + scale(f) * centre[f];
        for (i, &f) in missing.iter().enumerate() {
            means[i] += probability * within(f);
            for (j, &g) in missing.iter().enumerate() {
                let mut covariance: f64 = (0..2)
                    .map(|k| weights[2 * f + k] * (-1.0f64).exp() * weights[2 * g + k])
                    .sum();
                covariance += if f == g { (-2.0f64).exp() } else { 0.0 };
                let covariance = covariance * scale(f) * scale(g);
                second[i][j] += probability * (covariance + within(f) * within(g));
            }
        }
    }
    let draws = of_row(&drawn, 0, 0);
    let count = DRAWS as f64;
    let average =
        |value: &dyn Fn(&[f32]) -> f64| draws.iter().map(|draw| value(draw)).sum::<f64>() / count;
    let found: Vec<f64> = missing
        .iter()
        .map(|&f| average(&|draw| f64::from(draw[f])))
        .collect();
    let deviation: Vec<f64> = (0..2)
        .map(|i| (second[i][i] - means[i].powi(2)).sqrt())
        .collect();
    for i in 0..2 {
        // Five standard errors.
        let most = 5.0 * deviation[i] / count.sqrt();
        assert!(
            (found[i] - means[i]).abs() < most,
            "{found:?} instead of {means:?}"
        );
        for j in 0..2 {
            let (f, g) = (missing[i], missing[j]);
            let product =
                average(&|draw| (f64::from(draw[f]) - found[i]) * (f64::from(draw[g]) - found[j]));
            let wanted = second[i][j] - means[i] * means[j];
            // Seven standard errors of normal variables; a mixture has others.
            let most = 10.0 * deviation[i] * deviation[j] / count.sqrt();
            assert!(
                (product - wanted).abs() < most,
                "{product} instead of {wanted}"
            );
            let correlation = wanted / deviation[i] / deviation[j];
            assert!(
                i == j || correlation.abs() > 0.15,
                "the test needs a correlation: {correlation}"
            );
        }
    }
    // Observed values are the same in every draw.
    for draw in &draws {
        assert_eq!(
            (draw[0], draw[2]),
            ((3.0 + x[0]) as f32, (3.0 + x[2]) as f32)
        );
    }
    for draw in of_row(&drawn, 0, 1).iter() {
        assert!(
            draw.iter()
                .zip(&x[4..8])
                .all(|(found, x)| *found == (3.0 + x) as f32)
        );
    }
    // Classes occur as often as their probability says.
    let run = run.with_samples(5000);
    let probabilities = run.impute(&rows).expect("means");
    let probabilities = &probabilities.get("c").expect("the classes").values;
    for (class, &wanted) in probabilities[..3].iter().enumerate() {
        let drawn = of_row(&drawn, 1, 0).into_iter();
        let often = drawn.filter(|draw| draw[0] as usize == class).count() as f64 / count;
        let wanted = f64::from(wanted);
        assert!(
            (often - wanted).abs() < 0.03,
            "class {class}: {often} instead of {wanted}"
        );
    }
    assert!(of_row(&drawn, 1, 1).iter().all(|draw| draw[0] == 1.0));
}

/// Equal rows have draws of their own, the same in every call, and others for another seed.
#[test]
fn draws_of_equal_rows_are_independent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (run, _) = run(folder.path());
    let x = [1.0, f64::NAN, f64::NAN, 2.0].repeat(2);
    let two = || {
        vec![
            DataArray::new("x", [2, 4], x.clone()),
            DataArray::new("c", [2], vec![0i64, 0]),
        ]
    };
    let rows = Rows::from_arrays(&model(), two()).expect("rows");
    let drawn = run.impute_draws(&rows, 4000).expect("draws");
    let feature = |row: usize| -> Vec<f64> {
        of_row(&drawn, 0, row)
            .iter()
            .map(|draw| f64::from(draw[1]))
            .collect()
    };
    let (first, second) = (feature(0), feature(1));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let covariance = |a: &[f64], b: &[f64]| {
        let (of_a, of_b) = (mean(a), mean(b));
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - of_a) * (b - of_b))
            .sum::<f64>()
            / a.len() as f64
    };
    let correlation = covariance(&first, &second)
        / (covariance(&first, &first) * covariance(&second, &second)).sqrt();
    assert!(correlation.abs() < 0.08, "{correlation}");
    assert_eq!(run.impute_draws(&rows, 4000).expect("draws"), drawn);
    let other = run.with_seed(8).impute_draws(&rows, 4000).expect("draws");
    assert_ne!(other, drawn);
}

/// The program writes a line for each draw, with names of classes and copied columns; an npz file has an
/// axis of draws.
#[test]
fn the_program_writes_draws() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let text = "model table {
  data   size: positive with missing
  data   calls: count with missing
  data   kind: class[2] with missing
  latent z: real
  generative {
         z ~ normal(0, 1)
    z -> size ~ gamma(linear)
    z -> calls ~ negative_binomial(linear)
    z -> kind ~ categorical(linear)
  }
  inference {
    size, calls, kind -> z ~ normal(linear)
  }
  train {
    batch 10
    epochs 2
  }
}
";
    std::fs::write(path("table.dgm"), text).expect("a model");
    let mut table = String::from("name,size,calls,kind\n");
    for row in 0..30 {
        let kind = ["cat", "dog"][row % 2];
        table += &match row {
            2 => format!("r{row},,3,{kind}\n"),
            5 => format!("r{row},1.5,,\n"),
            _ => format!("r{row},{}.5,{},{kind}\n", 1 + row % 3, row % 5),
        };
    }
    std::fs::write(path("table.csv"), table).expect("a table");
    let run = ["train", "table.dgm", "--data", "table.csv", "-o", "run"];
    fine(folder.path(), &run);
    let impute = [
        "impute",
        "run",
        "-o",
        "draws.csv",
        "--draws",
        "3",
        "--id",
        "name",
    ];
    let said = fine(folder.path(), &impute);
    assert!(said.contains("wrote 30 rows to draws.csv"), "{said}");
    let written = std::fs::read_to_string(path("draws.csv")).expect("a table");
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines[0], "row,draw,name,size,calls,kind");
    assert_eq!(lines.len(), 91);
    assert_eq!(lines[1], "0,0,r0,1.5,0,cat");
    assert_eq!(lines[2], "0,1,r0,1.5,0,cat");
    for (line, draw) in lines[7..10].iter().zip(0..) {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(
            (cells[0], cells[1], cells[2]),
            ("2", draw.to_string().as_str(), "r2")
        );
        assert!(cells[3].parse::<f64>().expect("a number") > 0.0);
        assert_eq!((cells[4], cells[5]), ("3", "cat"));
    }
    for line in &lines[16..19] {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!((cells[0], cells[3]), ("5", "1.5"));
        assert_eq!(cells[4].parse::<f64>().expect("a count").fract(), 0.0);
        assert!(["cat", "dog"].contains(&cells[5]));
    }
    fine(
        folder.path(),
        &["impute", "run", "-o", "draws.npz", "--draws", "3"],
    );
    let arrays = dgc::run::data::read_arrays(&path("draws.npz")).expect("arrays");
    let shape = |name: &str| {
        let found = arrays.iter().find(|array| array.name == name);
        found.expect("an array").shape.clone()
    };
    assert_eq!(shape("size"), [30, 3, 1]);
    assert_eq!(shape("kind"), [30, 3]);
    // The emulated GPU has the same noise, and the same draws up to rounding.
    let gpu = [
        "impute", "run", "-o", "gpu.csv", "--draws", "3", "--device", "cuda",
    ];
    emulator::fine(folder.path(), &gpu, &[]);
    let written = std::fs::read_to_string(path("gpu.csv")).expect("a table");
    for (found, wanted) in written.lines().zip(&lines).skip(1) {
        let size = |line: &str, column: usize| -> f64 {
            let cell = line.split(',').nth(column).expect("a cell");
            cell.parse().expect("a number")
        };
        let (found, wanted) = (size(found, 2), size(wanted, 3));
        assert!(
            (found - wanted).abs() < 1e-3 * wanted,
            "{found} instead of {wanted}"
        );
    }
    let said = fails(folder.path(), &["impute", "run", "-o", "-", "--draws", "0"]);
    assert!(said.contains("expected at least 1, found 0"), "{said}");
    let said = fails(
        folder.path(),
        &["impute", "run", "-o", "-", "--draws", "100000000"],
    );
    assert!(said.contains("draws"), "{said}");
}
