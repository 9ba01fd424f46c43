//! `dgc reconstruct --where`: chosen values of given variables in p, against closed forms.

use crate::common;

use common::{
    emulator,
    program::{fails, fine},
};
use dgc::{DataArray, Dataset, Device, Model, NamedArray, Options, Rows, Run, Trainer};
use std::{collections::BTreeMap, path::Path};

/// Linear networks; `READS` are the given variables that q reads. The variance of z is almost 0.
const TEXT: &str = "model cells {
  data   x: real[3]
  given  batch: class[3]
  given  depth: real standardized
  latent z: real[2]

  generative {
                    z ~ normal(0, 1)
    depth        -> scale = dense(3)
    z, batch     -> share = dense(3)
    share, scale -> x ~ normal(mean = add, log_variance = constant)
  }

  inference {
    READS -> z ~ normal(mean = [dense(2)], log_variance = -30)
  }

  train {
    batch 4
    initialize normal(0.5)
    optimizer sgd(rate = 1e-6)
    epochs 1
  }
}
";

const ROWS: usize = 8;

fn model(reads: &str) -> Model {
    common::check("cells.dgm", &TEXT.replace("READS", reads), &[])
}

fn x() -> Vec<f64> {
    common::numbers("x", 3 * ROWS, 2.0)
}

fn depth(row: usize) -> f64 {
    4.0 + row as f64
}

fn arrays(batch: impl Fn(usize) -> i64, depth: impl Fn(usize) -> f64) -> Vec<DataArray> {
    vec![
        DataArray::new("x", [ROWS, 3], x()),
        DataArray::new("batch", [ROWS], (0..ROWS).map(batch).collect::<Vec<i64>>()),
        DataArray::new("depth", [ROWS], (0..ROWS).map(depth).collect::<Vec<f64>>()),
    ]
}

fn own(row: usize) -> i64 {
    row as i64 % 3
}

fn run(folder: &Path, model: &Model) -> (Run, BTreeMap<String, NamedArray>) {
    let data = Dataset::from_arrays(model, arrays(own, depth)).expect("data");
    let options = Options {
        device: Some(Device::cpu(1)),
        ..Options::default()
    };
    let mut trainer = Trainer::new(model, &data, options).expect("a trainer");
    while trainer.epoch().expect("an epoch").is_some() {}
    let path = folder.join("run");
    trainer.finish(&path).expect("a run");
    let arrays = common::read(&path.join("checkpoint.safetensors"));
    let run = Run::open_on(&path, &Device::cpu(1)).expect("a run");
    (run, arrays.into_iter().collect())
}

fn linear(
    arrays: &BTreeMap<String, NamedArray>,
    layer: &str,
    parents: &[(&str, &[f64])],
) -> Vec<f64> {
    let mut sum = arrays[&format!("{layer}.bias")].data.clone();
    for (name, input) in parents {
        let weight = &arrays[&format!("{layer}.weight.{name}")].data;
        for (to, weights) in sum.iter_mut().zip(weight.chunks(input.len())) {
            *to += weights.iter().zip(*input).map(|(w, x)| w * x).sum::<f64>();
        }
    }
    sum
}

fn one_hot(class: i64) -> [f64; 3] {
    [0, 1, 2].map(|other| f64::from(u8::from(other == class)))
}

fn chosen(values: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    values.iter().map(pair).collect()
}

fn close(found: f32, wanted: f64, place: &str) {
    let apart = (f64::from(found) - wanted).abs();
    assert!(
        apart < 1e-4 * wanted.abs().max(1.0),
        "{place}: {found} instead of {wanted}"
    );
}

/// p reads the chosen values, and q those of the rows. Several values are averaged.
#[test]
fn p_reads_chosen_values_and_q_those_of_the_rows() {
    for reads in ["x", "x, batch, depth"] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let model = model(reads);
        let (run, parameters) = run(folder.path(), &model);
        let rows = Rows::from_arrays(&model, arrays(own, depth)).expect("rows");
        let (mean, log) = (
            parameters["data.depth.mean"].data[0],
            parameters["data.depth.log_deviation"].data[0],
        );
        let unit = |depth: f64| (depth - mean) / log.exp();
        let wanted = |row: usize, batch: i64, chosen_depth: f64| -> Vec<f64> {
            let x = &x()[3 * row..3 * row + 3];
            let (own, depth) = (one_hot(own(row)), [unit(depth(row))]);
            let all: [(&str, &[f64]); 3] = [("x", x), ("batch", &own), ("depth", &depth)];
            let read = if reads == "x" { &all[..1] } else { &all[..] };
            let z = linear(&parameters, "q.z.mean.dense1", read);
            let batch = one_hot(batch);
            let share = linear(
                &parameters,
                "p.share.dense1",
                &[("z", &z), ("batch", &batch)],
            );
            let scale = linear(
                &parameters,
                "p.scale.dense1",
                &[("depth", &[unit(chosen_depth)])],
            );
            share.iter().zip(&scale).map(|(a, b)| a + b).collect()
        };
        let means = |values: &[(&str, &str)]| {
            let found = run
                .reconstruct_where(&rows, &chosen(values))
                .expect("means");
            found.get("x").expect("x").values.clone()
        };
        for (values, batches, chosen_depth) in [
            (&[][..], None, None),
            (&[("batch", "2")][..], Some(vec![2]), None),
            (&[("depth", "10.5")][..], None, Some(10.5)),
            (
                &[("depth", "10.5"), ("batch", "0")][..],
                Some(vec![0]),
                Some(10.5),
            ),
            (
                &[("batch", "0"), ("batch", "2"), ("depth", "1")][..],
                Some(vec![0, 2]),
                Some(1.0),
            ),
        ] {
            let found = means(values);
            for row in 0..ROWS {
                let batches = batches.clone().unwrap_or_else(|| vec![own(row)]);
                let depth = chosen_depth.unwrap_or_else(|| depth(row));
                for feature in 0..3 {
                    let sum: f64 = batches
                        .iter()
                        .map(|&b| wanted(row, b, depth)[feature])
                        .sum();
                    let place = format!("q reads {reads}, {values:?}, row {row}");
                    close(found[3 * row + feature], sum / batches.len() as f64, &place);
                }
            }
        }
        assert_eq!(
            means(&[]),
            run.reconstruct(&rows).expect("means").variables[0].values
        );
    }
}

/// A file need not have a column of a variable that is chosen, unless q reads it.
#[test]
fn files_need_no_chosen_columns() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let mut whole = String::from("x0,x1,x2,batch,depth\n");
    let mut bare = String::from("x0,x1,x2\n");
    for (row, x) in x().chunks(3).enumerate() {
        let cells = x.iter().map(f64::to_string).collect::<Vec<_>>().join(",");
        whole += &format!("{cells},{},{}\n", ["a", "b", "c"][row % 3], depth(row));
        bare += &format!("{cells}\n");
    }
    std::fs::write(path("whole.csv"), whole).expect("a table");
    std::fs::write(path("bare.csv"), bare).expect("a table");
    for (name, reads) in [("one", "x"), ("two", "x, batch")] {
        let text = model(reads).source;
        std::fs::write(path(&format!("{name}.dgm")), text).expect("a model");
        let file = format!("{name}.dgm");
        fine(
            folder.path(),
            &["train", &file, "--data", "whole.csv", "-o", name],
        );
    }
    let reconstruct = |run: &'static str, data: &'static str, rest: &[&'static str]| {
        let all = ["reconstruct", run, "--data", data, "-o", "-"];
        [&all[..], rest].concat()
    };
    let both = ["--where", "batch=b", "--where", "depth=7.5"];
    let csv = [
        "reconstruct",
        "one",
        "--data",
        "bare.csv",
        "-o",
        "bare_means.csv",
    ];
    fine(folder.path(), &[&csv[..], &both[..]].concat());
    let csv = [
        "reconstruct",
        "one",
        "--data",
        "whole.csv",
        "-o",
        "whole_means.csv",
    ];
    fine(folder.path(), &[&csv[..], &both[..]].concat());
    let read = |name: &str| std::fs::read_to_string(path(name)).expect("a table");
    assert_eq!(read("bare_means.csv"), read("whole_means.csv"));
    // The emulated GPU has the same means.
    let csv = ["reconstruct", "one", "--data", "bare.csv", "-o", "gpu.csv"];
    let device = ["--device", "cuda"];
    let arguments = [&csv[..], &both[..], &device[..]].concat();
    emulator::fine(folder.path(), &arguments, &[]);
    let (found, wanted) = (read("gpu.csv"), read("bare_means.csv"));
    let cells = |table: &str| -> Vec<f32> {
        let lines = table.lines().skip(1).flat_map(|line| line.split(','));
        lines.map(|cell| cell.parse().expect("a number")).collect()
    };
    let (found, wanted) = (cells(&found), cells(&wanted));
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        close(*found, f64::from(*wanted), "the GPU");
    }
    let said = fails(
        folder.path(),
        &reconstruct("one", "bare.csv", &["--where", "batch=b"]),
    );
    assert!(said.contains("depth"), "{said}");
    // q of the second model reads the batch of the rows.
    let said = fails(folder.path(), &reconstruct("two", "bare.csv", &both));
    assert!(said.contains("batch"), "{said}");
    for (value, message) in [
        ("batch=d", "the classes are a, b, c"),
        ("depth=much", "expected 1 number"),
        ("depth=1,2", "expected 1 number"),
        ("bach=a", "did you mean `batch`"),
        ("z=1", "`z` is not a given variable"),
    ] {
        let said = fails(
            folder.path(),
            &reconstruct("one", "whole.csv", &["--where", value]),
        );
        assert!(said.contains(message), "{value}: {said}");
    }
}
