//! A new batch of cells is mapped to a reference: `--init` with more classes of a `given` variable, and
//! `--freeze` of all parameters but the weights of the batch.

use crate::common;

use common::{program::fine, tiny};
use dgc::{DataArray, Dataset, Model, Options, Rows, Trainer, distribution::Random};
use std::path::Path;

const GENES: usize = 60;
const TYPES: usize = 3;

/// A model whose batches shift the logarithms of the shares, and whose encoder reads the batch.
fn model(batches: usize, labelled: usize, rate: f64) -> Model {
    let text = format!(
        "model cells {{
  data   counts: count[{GENES}]
  given  library: positive
  given  batch: class[{batches}]
  label  cell_type: class[{TYPES}]
  latent z: real[5]

  net body = dense(32) > layernorm > relu

  generative {{
                    z ~ normal(0, 1)
                    cell_type ~ uniform
    library      -> depth = log
    cell_type, z -> state = body > dense({GENES})
    batch        -> shift = dense({GENES})
    state, shift -> share = add > log_softmax
    share, depth -> counts ~ negative_binomial(log_mean = add, log_dispersion = constant)
  }}

  inference {{
    counts              -> h = log1p
    h, batch            -> cell_type ~ categorical(body)
    h, batch, cell_type -> z ~ normal(body)
  }}

  objective {{
    sum cell_type
    classify cell_type weight 20
    inform cell_type weight 20
  }}

  train {{
    batch labelled {labelled}, unlabelled 60
    optimizer adam(rate = {rate})
    schedule cosine
    epochs 100
  }}
}}
"
    );
    Model::parse("cells.dgm", &text).expect("a model")
}

/// The logarithms of the shares of genes: of all cells, and what types and batches add.
struct Genes {
    level: Vec<f64>,
    of_type: Vec<f64>,
    of_batch: Vec<f64>,
}

impl Genes {
    fn new(random: &mut Random) -> Self {
        let mut normal = |count: usize, scale: f64| -> Vec<f64> {
            (0..count).map(|_| scale * random.normal()).collect()
        };
        Genes {
            level: normal(GENES, 1.0),
            of_type: normal(TYPES * GENES, 0.7),
            of_batch: normal(3 * GENES, 1.4),
        }
    }
}

/// The types and negative binomial counts of cells of a batch.
struct Cells {
    batch: i64,
    kinds: Vec<i64>,
    counts: Vec<f64>,
}

impl Cells {
    fn new(genes: &Genes, batch: usize, count: usize, random: &mut Random) -> Self {
        let (mut kinds, mut counts) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let kind = random.class(&[1.0; TYPES]);
            let powers: Vec<f64> = (0..GENES)
                .map(|gene| {
                    let log = genes.level[gene]
                        + genes.of_type[kind * GENES + gene]
                        + genes.of_batch[batch * GENES + gene];
                    (log + 0.2 * random.normal()).exp()
                })
                .collect();
            let total: f64 = powers.iter().sum();
            let library = 400.0 * (0.3 * random.normal()).exp();
            for power in powers {
                // Negative binomial with the dispersion 4: Poisson with a gamma rate.
                let rate = library * power / total / 4.0 * random.log_gamma_variable(4.0).exp();
                counts.push(random.poisson(rate));
            }
            kinds.push(kind as i64);
        }
        let batch = batch as i64;
        Cells {
            batch,
            kinds,
            counts,
        }
    }
}

/// Data of cells, with the type of every fifth if `is_labelled`.
fn arrays(cells: &[&Cells], is_labelled: bool) -> Vec<DataArray> {
    let counts: Vec<f64> = cells
        .iter()
        .flat_map(|cells| cells.counts.clone())
        .collect();
    let rows = counts.len() / GENES;
    let library: Vec<f64> = counts.chunks(GENES).map(|row| row.iter().sum()).collect();
    let batches = cells
        .iter()
        .flat_map(|cells| vec![cells.batch; cells.kinds.len()]);
    let kinds = cells.iter().flat_map(|cells| &cells.kinds).enumerate();
    let known = kinds.map(|(row, kind)| {
        if is_labelled && row % 5 == 0 {
            *kind
        } else {
            -1
        }
    });
    vec![
        DataArray::new("batch", [rows], batches.collect::<Vec<i64>>()),
        DataArray::new("cell_type", [rows], known.collect::<Vec<i64>>()),
        DataArray::new("counts", [rows, GENES], counts),
        DataArray::new("library", [rows], library),
    ]
}

fn train(model: &Model, data: Vec<DataArray>, options: Options) {
    let data = Dataset::from_arrays(model, data).expect("data");
    tiny::train(Trainer::new(model, &data, options));
}

/// The share of cells whose type a run predicts.
fn accuracy(run: &Path, model: &Model, cells: &Cells) -> f64 {
    let mut data = arrays(&[cells], false);
    data.retain(|array| array.name() != "cell_type");
    let rows = Rows::from_arrays(model, data).expect("rows");
    let predictions = tiny::open(run).predict(&rows).expect("predictions");
    let likeliest = predictions.labels[0].likeliest();
    let pairs = likeliest.iter().zip(&cells.kinds);
    let right = pairs.filter(|(found, wanted)| **found as i64 == **wanted);
    right.count() as f64 / cells.kinds.len() as f64
}

/// The reference is of two batches. Without mapping, the cells of the third are read as those of the
/// first. Mapped cells were not labelled.
#[test]
fn a_query_batch_is_mapped_to_a_reference() {
    for seed in [2, 4] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut random = Random::new(seed, 0, "cells");
        let genes = Genes::new(&mut random);
        let mut cells = |batch, count| Cells::new(&genes, batch, count, &mut random);
        let (first, second) = (cells(0, 250), cells(1, 250));
        let (query, unseen) = (cells(2, 250), cells(2, 250));
        let reference = folder.path().join("reference");
        let two = model(2, 40, 5e-3);
        let options = tiny::options(reference.clone());
        train(&two, arrays(&[&first, &second], true), options);
        let of_reference = accuracy(&reference, &two, &cells(1, 250));
        let as_first = Cells {
            batch: 0,
            kinds: unseen.kinds.clone(),
            counts: unseen.counts.clone(),
        };
        let before = accuracy(&reference, &two, &as_first);
        let mapped = folder.path().join("mapped");
        let three = model(3, 0, 0.02);
        let options = Options {
            init: Some(reference.clone()),
            freeze: ["*", "!*.weight.batch"].map(str::to_string).to_vec(),
            ..tiny::options(mapped.clone())
        };
        train(&three, arrays(&[&query], false), options);
        let after = accuracy(&mapped, &three, &unseen);
        let shown = format!("seed {seed}: {of_reference}, unmapped {before}, mapped {after}");
        assert!(of_reference > 0.9 && after >= 0.9, "{shown}");
        assert!(after > before + 0.1, "{shown}");
        only_weights_of_the_batch_move(&reference, &mapped);
    }
}

/// All other parameters, and the weights of the batches of the reference, are as before.
fn only_weights_of_the_batch_move(reference: &Path, mapped: &Path) {
    let of = |run: &Path| tiny::parameters(run.join("checkpoint.safetensors"));
    let (before, after) = (of(reference), of(mapped));
    let mut moved = 0;
    for (name, now) in after.iter().filter(|(name, _)| !name.contains('/')) {
        let old = &before[name];
        if !name.ends_with(".weight.batch") {
            assert_eq!(old.data, now.data, "{name}");
            continue;
        }
        moved += 1;
        for (old, now) in old.data.chunks(2).zip(now.data.chunks(3)) {
            assert_eq!(old, &now[..2], "{name}");
        }
    }
    assert_eq!(moved, 3, "p.shift, q.cell_type and q.z read the batch");
}

/// A label without a labelled row takes the names of the reference's classes; patterns of exceptions must
/// match.
#[test]
fn a_query_takes_the_names_of_the_reference() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let text = "model small {
  size places = 2
  data  x: real[2]
  given place: class[places]
  label kind: class[2]
  latent z: real
  generative {
             z ~ normal(0, 1)
             kind ~ uniform
    kind, z, place -> x ~ normal(linear)
  }
  inference {
    x, place       -> kind ~ categorical(linear)
    x, place, kind -> z ~ normal(linear)
  }
  objective {
    sum kind
    classify kind
  }
  train {
    batch labelled 10, unlabelled 10
    epochs 2
  }
}
";
    std::fs::write(path("small.dgm"), text).expect("a model");
    let table = |place: i64, is_labelled: bool| {
        let mut table = String::from("x0,x1,place,kind\n");
        for row in 0..20 {
            let kind = match is_labelled {
                true => ["cat", "dog"][row % 2],
                false => "",
            };
            let place = place.max(0) + if place < 0 { row as i64 % 2 } else { 0 };
            table += &format!("{},{},{place},{kind}\n", row % 3, row % 2);
        }
        table
    };
    std::fs::write(path("reference.csv"), table(-1, true)).expect("a table");
    std::fs::write(path("query.csv"), table(2, false)).expect("a table");
    let train = |rest: &[&str]| fine(folder.path(), &[&["train", "small.dgm"][..], rest].concat());
    train(&["--data", "reference.csv", "-o", "reference"]);
    let begin = ["--data", "query.csv", "--init", "reference", "-o", "query"];
    let sets = ["--set", "places=3", "--set", "batch.labelled=0"];
    let freeze = ["--freeze", "*", "--freeze", "!*.place"];
    let said = train(&[&begin[..], &sets[..], &freeze[..]].concat());
    assert!(said.contains("frozen ones"), "{said}");
    let said = fine(folder.path(), &["predict", "query", "-o", "-"]);
    assert!(said.contains("probability of kind = cat"), "{said}");
    // The run is resumed with the same names.
    fine(
        folder.path(),
        &["train", "query", "--resume", "--epochs", "3"],
    );
    let wrong = [
        "train",
        "small.dgm",
        "--data",
        "query.csv",
        "-o",
        "wrong",
        "--freeze",
        "*",
        "--freeze",
        "!*.plaice",
    ];
    let said = common::program::fails(folder.path(), &[&wrong[..], &sets[..]].concat());
    assert!(said.contains("found no such parameter"), "{said}");
}
