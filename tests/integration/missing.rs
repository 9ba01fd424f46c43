//! `data x: real[3] with missing`: entries that were not observed have no density, and networks read
//! where they are.

use crate::common;

use common::{batch, parameters};
use dgc::{
    DataArray, Dataset, Device, Model, Options, Trainer,
    run::bound::{Arrays, Engine, Report, bound},
};

/// A model of every kind of data, some of them with `modifier` behind their types.
fn kinds(modifier: &str) -> Model {
    common::check("kinds.dgm", &text(modifier), &[])
}

fn text(modifier: &str) -> String {
    format!(
        "model kinds {{
  data   x: real[4] standardized {modifier}
  data   image: binary[3, 3] {modifier}
  data   words: count[3] {modifier}
  data   height: positive {modifier}
  data   share: unit[2] {modifier}
  data   colour: class[3] {modifier}
  label  y: class[2]
  latent z: real[2]

  net body = dense(5) > batchnorm > tanh

  generative {{
            z ~ mixture(normal, 2)
            y ~ uniform
    z, y -> x ~ normal(body)
    z    -> image ~ bernoulli(body)
    z    -> words ~ poisson(body)
    x    -> height ~ log_normal(body)
    z    -> share ~ beta(body)
    z    -> colour ~ categorical(body)
  }}

  inference {{
    height        -> h = log > dense(4) > relu
    image, words, h -> y ~ categorical([log1p > dense(5) > tanh])
    share, colour, x, y -> z ~ normal(body)
  }}

  objective {{
    sum y
    classify y
    smooth y by vat(radius = 0.5, weight = 2)
  }}
}}
"
    )
}

fn report(model: &Model, parameters: &Arrays, batch: &Arrays, engine: &Engine) -> Report {
    bound(model, parameters, batch, None, 3, engine).expect("a bound")
}

fn number(report: &Report, path: [&str; 2]) -> f64 {
    let value = &report.json[path[0]][path[1]];
    value
        .as_f64()
        .unwrap_or_else(|| panic!("no number {path:?} in {}", report.json))
}

/// A batch without missing values.
fn complete(rows: usize, labelled: usize) -> Arrays {
    batch(&kinds(""), rows, labelled)
}

/// With nothing missing, the mask is 1: its weights add to biases, and nothing else differs.
#[test]
fn a_complete_batch_has_the_same_bound() {
    let (masked, plain) = (kinds("with missing"), kinds(""));
    let mut all = parameters(&masked);
    for (name, array) in &mut all {
        if name.ends_with(".mask") {
            array.data.fill(0.0);
        }
    }
    let mut without = all.clone();
    without.retain(|name, _| !name.ends_with(".mask"));
    assert_eq!(
        without.len(),
        parameters(&plain).len(),
        "only weights of masks are new"
    );
    let rows = complete(9, 4);
    let found = report(&masked, &all, &rows, &Engine::Reference);
    let wanted = report(&plain, &without, &rows, &Engine::Reference);
    for case in ["labelled", "unlabelled"] {
        let difference = number(&found, [case, "bound"]) - number(&wanted, [case, "bound"]);
        assert!(difference.abs() < 1e-9, "{case}: {difference}");
    }
    for wanted in &wanted.gradients {
        let mut found = found.gradients.iter();
        let found = found.find(|found| found.name == wanted.name);
        let found = found.unwrap_or_else(|| panic!("no gradient {}", wanted.name));
        let distance = common::distance(&found.data, &wanted.data);
        assert!(distance < 1e-8, "{}: {distance}", wanted.name);
    }
}

/// Gradients of a batch with missing values are those of its loss.
#[test]
fn gradients_are_slopes() {
    // The direction of `smooth` has no gradient.
    let text = text("with missing").replace("smooth y by vat(radius = 0.5, weight = 2)", "");
    common::finite_differences(&common::check("kinds.dgm", &text, &[]));
}

/// Native code gives the reference's numbers, `smooth` included.
#[test]
fn compiled_code_agrees_with_the_reference() {
    let model = kinds("with missing");
    let (parameters, rows) = (parameters(&model), batch(&model, 9, 4));
    let wanted = report(&model, &parameters, &rows, &Engine::Reference);
    let found = report(&model, &parameters, &rows, &Engine::Device(Device::cpu(1)));
    let loss = |report: &Report| report.json["loss"].as_f64().expect("a loss");
    let (found_loss, wanted_loss) = (loss(&found), loss(&wanted));
    assert!((found_loss - wanted_loss).abs() < 1e-4 * wanted_loss.abs());
    let all = |report: &Report| -> Vec<Vec<f64>> {
        let gradients = report.gradients.iter();
        gradients.map(|gradient| gradient.data.clone()).collect()
    };
    let (found, wanted) = (all(&found), all(&wanted));
    let pairs = found
        .iter()
        .map(Vec::as_slice)
        .zip(wanted.iter().map(Vec::as_slice));
    let distance = common::distance_of_all(pairs);
    assert!(distance < 1e-3, "{distance}");
}

/// A row whose entries are all missing has no term log p(x).
#[test]
fn a_row_without_a_value_has_no_density() {
    let model = kinds("with missing");
    let mut rows = complete(4, 2);
    for array in rows.values_mut().filter(|array| array.name != "y") {
        let none = if array.name == "colour" {
            -1.0
        } else {
            f64::NAN
        };
        array.data.fill(none);
    }
    let found = report(&model, &parameters(&model), &rows, &Engine::Reference);
    for name in ["x", "image", "words", "height", "share", "colour"] {
        for case in ["labelled", "unlabelled"] {
            let term = &found.json[case]["terms"][format!("log p({name})")];
            assert_eq!(term.as_f64(), Some(0.0), "{name}");
        }
    }
}

/// The features of `x` that are left when one is missing in every row: the bound is that of a model
/// without it.
#[test]
fn a_missing_feature_is_as_if_the_model_did_not_have_it() {
    let text = |size: usize, modifier: &str| {
        let text = format!(
            "model features {{
  data   x: real[{size}] standardized {modifier}
  latent z: real[2]
  net body = dense(5) > tanh
  generative {{
         z ~ normal(0, 1)
    z -> x ~ laplace(body)
  }}
  inference {{
    x -> z ~ normal(body)
  }}
}}
"
        );
        common::check("features.dgm", &text, &[])
    };
    let (masked, small) = (text(3, "with missing"), text(2, ""));
    let mut all = parameters(&masked);
    let missing = 1;
    // The weights of the mask of observed features add to the biases.
    let weights = all["q.z.dense1.weight.x.mask"].data.clone();
    let mut few = Arrays::new();
    for (name, array) in &all {
        let mut array = array.clone();
        let keep = |index: usize| index != missing;
        match (name.as_str(), array.shape.as_slice()) {
            ("q.z.dense1.weight.x.mask", _) => continue,
            ("q.z.dense1.weight.x", &[out, _]) => {
                array.data = (0..array.data.len())
                    .filter(|at| keep(at % 3))
                    .map(|at| array.data[at])
                    .collect();
                array.shape = vec![out, 2];
            }
            ("q.z.dense1.bias", _) => {
                for (out, bias) in array.data.iter_mut().enumerate() {
                    *bias += weights[out * 3] + weights[out * 3 + 2];
                }
            }
            (name, &[3, width]) if name.starts_with("p.x.") => {
                let rows = (0..3).filter(|row| keep(*row));
                array.data = rows
                    .flat_map(|row| array.data[row * width..(row + 1) * width].to_vec())
                    .collect();
                array.shape = vec![2, width];
            }
            (name, &[3]) if name.starts_with("p.x.") || name.starts_with("data.x.") => {
                array.data.remove(missing);
                array.shape = vec![2];
            }
            _ => {}
        }
        few.insert(name.clone(), array);
    }
    let mut rows = batch(&text(3, ""), 7, 0);
    let x = rows.get_mut("x").expect("the data");
    let mut without = x.clone();
    without.data = (0..21)
        .filter(|at| at % 3 != missing)
        .map(|at| x.data[at])
        .collect();
    without.shape = vec![7, 2];
    (0..7).for_each(|row| x.data[row * 3 + missing] = f64::NAN);
    let wanted = report(
        &small,
        &few,
        &Arrays::from([("x".to_string(), without)]),
        &Engine::Reference,
    );
    let wanted = number(&wanted, ["all", "bound"]);
    for value in [0.0, 5.0] {
        // What would be read there does not matter.
        let mean = all.get_mut("data.x.mean").expect("a mean");
        mean.data[missing] += value;
        let found = report(&masked, &all, &rows, &Engine::Reference);
        let found = number(&found, ["all", "bound"]);
        assert!((found - wanted).abs() < 1e-9, "{found}, not {wanted}");
    }
}

/// `smooth` moves observed features only: what the network would read of a feature that is missing in all
/// rows changes nothing.
#[test]
fn missing_features_are_not_moved() {
    let text = "model moved {
  data   x: real[3] with missing
  label  y: class[3]
  inference {
    x -> y ~ categorical([dense(5) > tanh])
  }
  objective {
    smooth y by vat(radius = 2)
  }
}
";
    let model = common::check("moved.dgm", text, &[]);
    let missing = 1;
    let mut rows = batch(&model, 8, 3);
    let x = rows.get_mut("x").expect("the data");
    (0..8).for_each(|row| x.data[row * 3 + missing] = f64::NAN);
    let loss = |change: f64, feature: usize| {
        let mut parameters = parameters(&model);
        let weight = parameters.get_mut("q.y.dense1.weight.x").expect("a weight");
        (0..5).for_each(|out| weight.data[out * 3 + feature] += change);
        common::loss(&model, &parameters, &rows)
    };
    let before = loss(0.0, missing);
    assert!(before > 0.01, "{before}");
    assert_eq!(loss(3.0, missing), before);
    // The same change of an observed feature's weights matters.
    assert!((loss(3.0, 0) - before).abs() > 1e-3);
}

/// x_i = w_i z + b_i + s_i ε with one latent number z: with the exact posterior as q, every sample's weight
/// is the density of the observed entries.
#[test]
fn a_linear_gaussian_model_has_its_closed_form() {
    let text = "model linear {
  data   x: real[4] with missing
  latent z: real
  generative {
         z ~ normal(0, 1)
    z -> x ~ normal(mean = linear, log_variance = constant)
  }
  inference {
    x -> z ~ normal(mean = linear, log_variance = constant)
  }
  objective {
    sampled
  }
}
";
    let model = common::check("linear.dgm", text, &[]);
    let (w, b, s) = (
        [1.5, -0.7, 0.4, 2.0],
        [0.3, 1.0, -2.0, 0.1],
        [0.5f64, 1.2, 0.8, 0.3],
    );
    let rows = batch(
        &common::check("linear.dgm", &text.replace(" with missing", ""), &[]),
        3,
        0,
    );
    for pattern in [vec![0, 1, 2, 3], vec![0, 2], vec![3], vec![1, 2, 3]] {
        let mut parameters = parameters(&model);
        let mut set = |name: &str, values: Vec<f64>| {
            let array = parameters
                .get_mut(name)
                .unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(array.data.len(), values.len(), "{name}");
            array.data = values;
        };
        let of = |f: &dyn Fn(usize) -> f64| (0..4).map(f).collect::<Vec<f64>>();
        let seen = |i: usize| f64::from(u8::from(pattern.contains(&i)));
        let precision = 1.0 + pattern.iter().map(|&i| (w[i] / s[i]).powi(2)).sum::<f64>();
        let gain = |i: usize| seen(i) * w[i] / (s[i] * s[i] * precision);
        set("p.x.mean.weight.z", w.to_vec());
        set("p.x.mean.bias", b.to_vec());
        set("p.x.log_variance.bias", of(&|i| 2.0 * s[i].ln()));
        set("q.z.mean.weight.x", of(&gain));
        // The mask says which biases to subtract.
        set("q.z.mean.weight.x.mask", of(&|i| -gain(i) * b[i]));
        set("q.z.mean.bias", vec![0.0]);
        set("q.z.log_variance.bias", vec![-precision.ln()]);
        let mut rows = rows.clone();
        let x = rows.get_mut("x").expect("the data");
        let mut wanted = 0.0;
        for row in 0..3 {
            let residual = |i: usize| x.data[row * 4 + i] - b[i];
            let sum = |f: &dyn Fn(usize) -> f64| pattern.iter().map(|&i| f(i)).sum::<f64>();
            let projected = sum(&|i| w[i] * residual(i) / (s[i] * s[i]));
            let quadratic =
                sum(&|i| (residual(i) / s[i]).powi(2)) - projected * projected / precision;
            let log_determinant = sum(&|i| 2.0 * s[i].ln()) + precision.ln();
            let dimensions = pattern.len() as f64 * (2.0 * std::f64::consts::PI).ln();
            wanted += -0.5 * (dimensions + log_determinant + quadratic) / 3.0;
            (0..4)
                .filter(|i| !pattern.contains(i))
                .for_each(|i| x.data[row * 4 + i] = f64::NAN);
        }
        let found = report(&model, &parameters, &rows, &Engine::Reference);
        let found = number(&found, ["all", "bound"]);
        assert!(
            (found - wanted).abs() < 1e-9,
            "{pattern:?}: {found}, not {wanted}"
        );
    }
}

/// The prior's pseudo-inputs lack no value.
#[test]
fn pseudo_inputs_are_complete() {
    let text = "model pseudo {
  data   x: real[3] with missing
  latent z: real[2]
  generative {
         z ~ vamp(3)
    z -> x ~ normal(linear)
  }
  inference {
    x -> z ~ normal([dense(4) > tanh])
  }
}
";
    let model = common::check("pseudo.dgm", text, &[]);
    common::finite_differences(&model);
    // The weights of the mask act on the pseudo-inputs as biases do, where every feature is observed.
    let mut all = parameters(&model);
    let rows = batch(
        &common::check("pseudo.dgm", &text.replace(" with missing", ""), &[]),
        5,
        0,
    );
    let before = report(&model, &all, &rows, &Engine::Reference);
    let weights = all["q.z.dense1.weight.x.mask"].data.clone();
    let bias = all.get_mut("q.z.dense1.bias").expect("a bias");
    for (bias, weights) in bias.data.iter_mut().zip(weights.chunks(3)) {
        *bias += weights.iter().sum::<f64>();
    }
    let mask = all
        .get_mut("q.z.dense1.weight.x.mask")
        .expect("weights of the mask");
    mask.data.fill(0.0);
    let after = report(&model, &all, &rows, &Engine::Reference);
    let (before, after) = (
        number(&before, ["all", "bound"]),
        number(&after, ["all", "bound"]),
    );
    assert!((before - after).abs() < 1e-9, "{before}, {after}");
}

#[test]
fn a_table_with_empty_cells_trains_and_predicts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let mut table = "a,b,c,species\n".to_string();
    for row in 0..60 {
        let class = row % 2;
        let noise = common::numbers(&format!("row {row}"), 3, 0.3);
        let cells = noise.iter().enumerate().map(|(column, noise)| {
            let number = noise + 10.0 * (class * (column + 1)) as f64;
            match (row + column) % 4 {
                0 => ["", "NA", "nan"][column].to_string(),
                _ => format!("{number}"),
            }
        });
        let cells: Vec<String> = cells.collect();
        table += &format!("{},{}\n", cells.join(","), ["cat", "dog"][class]);
    }
    std::fs::write(at("animals.csv"), table).expect("a table");
    let text = "model animals {
  data   x: real[3] standardized MODIFIER
  label  species: class[2]
  inference {
    x -> species ~ categorical([dense(8) > relu])
  }
  objective {
    classify species
  }
  train {
    batch labelled 20, unlabelled 0
    optimizer adam(rate = 3e-2)
    epochs 40
  }
}
";
    std::fs::write(at("plain.dgm"), text.replace("MODIFIER", "")).expect("a model");
    std::fs::write(at("animals.dgm"), text.replace("MODIFIER", "with missing")).expect("a model");
    let said = common::program::fails(
        folder.path(),
        &["train", "plain.dgm", "--data", "animals.csv"],
    );
    assert!(
        said.contains("line 2, column `a`: expected a number, found a missing value"),
        "{said}"
    );
    assert!(
        said.contains("write `with missing` behind the type of `x`"),
        "{said}"
    );
    let train = [
        "train",
        "animals.dgm",
        "--data",
        "animals.csv",
        "-o",
        "run",
        "--validation",
        "20",
    ];
    common::program::fine(folder.path(), &train);
    let said = common::program::fine(folder.path(), &["eval", "run", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(found["error of species"], 0.0, "{said}");
}

/// Observed values stay, and missing ones are near those that were hidden.
#[test]
fn missing_values_are_filled_in() {
    let text = "model related {
  data   x: real[3] standardized with missing
  data   sign: class[2] with missing
  latent z: real
  net body = dense(16) > tanh
  generative {
         z ~ normal(0, 1)
    z -> x ~ normal(mean = linear, log_variance = constant)
    z -> sign ~ categorical(linear)
  }
  inference {
    x, sign -> z ~ normal(body)
  }
  train {
    batch 50
    optimizer adam(rate = 1e-2)
    initialize he
    epochs 60
  }
}
";
    let model = common::check("related.dgm", text, &[]);
    // Three measurements of one number, and its sign.
    let number = common::numbers("number", 400, 1.0);
    let noise = common::numbers("noise", 1200, 0.1);
    let whole = |at: usize| {
        let (row, feature) = (at / 3, at % 3);
        [5.0, -20.0, 100.0][feature] + [1.0, 3.0, -10.0][feature] * (number[row] + noise[at])
    };
    let is_hidden = |at: usize| (at * 7) % 5 == 1;
    let x: Vec<f64> = (0..1200)
        .map(|at| if is_hidden(at) { f64::NAN } else { whole(at) })
        .collect();
    let sign = |row: usize| f64::from(u8::from(number[row] > 0.0));
    let signs = (0..400).map(|row| if row % 3 == 0 { -1.0 } else { sign(row) });
    let arrays = || {
        [
            DataArray::new("x", [400, 3], x.clone()),
            DataArray::new("sign", [400], signs.clone().collect::<Vec<f64>>()),
        ]
    };
    let data = Dataset::from_arrays(&model, arrays()).expect("a data set");
    let mut trainer = Trainer::new(&model, &data, Options::default()).expect("a trainer");
    while trainer.epoch().expect("an epoch").is_some() {}
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = trainer.finish(folder.path().join("run")).expect("a run");
    let rows = dgc::Rows::from_arrays(&model, arrays()).expect("rows");
    let filled = run.impute(&rows).expect("filled rows");
    let found = &filled.get("x").expect("x").values;
    let (mut squares, mut count) = (0.0, 0.0);
    for (at, &value) in found.iter().enumerate() {
        if is_hidden(at) {
            let deviation = [1.0, 3.0, 10.0][at % 3];
            squares += ((f64::from(value) - whole(at)) / deviation).powi(2);
            count += 1.0;
        } else {
            assert_eq!(value, x[at] as f32);
        }
    }
    // The means of the columns are off by 1. Other measurements say it to 0.1, if at least one is there.
    let error = f64::sqrt(squares / count);
    assert!(error < 0.3, "{error}");
    let probabilities = &filled.get("sign").expect("the signs").values;
    let (mut right, mut hidden) = (0, 0);
    for (row, of_row) in probabilities.chunks(2).enumerate() {
        assert!((of_row[0] + of_row[1] - 1.0).abs() < 1e-5);
        let likeliest = f64::from(u8::from(of_row[1] > of_row[0]));
        if row % 3 == 0 {
            hidden += 1;
            right += usize::from(likeliest == sign(row));
        } else {
            assert_eq!(f64::from(of_row[1]), sign(row));
        }
    }
    assert!(10 * right > 9 * hidden, "{right} of {hidden}");
    // The program writes the same, with empty cells filled.
    let said = common::program::fine(folder.path(), &["impute", "--help"]);
    assert!(said.contains("Fill in the missing values"), "{said}");
}

#[test]
fn moments_leave_missing_values_out() {
    let text = "model one {
  data   x: real[2] standardized with missing
  latent z: real
  generative {
    z ~ normal(0, 1)
    z -> x ~ normal(linear)
  }
  inference {
    x -> z ~ normal(linear)
  }
  train {
    batch 2
    epochs 1
  }
}
";
    let model = common::check("one.dgm", text, &[]);
    let x = [
        1.0,
        f64::NAN,
        3.0,
        f64::NAN,
        f64::NAN,
        f64::NAN,
        8.0,
        f64::NAN,
    ];
    let data = Dataset::from_arrays(&model, [DataArray::new("x", [4, 2], x.to_vec())]);
    let data = data.expect("a data set");
    let mut trainer = Trainer::new(&model, &data, Options::default()).expect("a trainer");
    let notes: Vec<String> = trainer
        .notes()
        .iter()
        .map(|note| note.to_string())
        .collect();
    assert!(
        notes
            .join("\n")
            .contains("1 of 2 features of `x` are missing in all training rows: 1"),
        "{notes:?}"
    );
    trainer.epoch().expect("an epoch");
    let folder = tempfile::tempdir().expect("a temporary folder");
    trainer.finish(folder.path().join("run")).expect("a run");
    let checkpoint = folder.path().join("run/checkpoint.safetensors");
    let (arrays, _) = dgc::run::arrays::read(&checkpoint).expect("arrays");
    let of = |name: &str| {
        let found = arrays.iter().find(|array| array.name == name);
        found.unwrap_or_else(|| panic!("no {name}")).data.clone()
    };
    let (mean, log) = (of("data.x.mean"), of("data.x.log_deviation"));
    let deviation = (((1.0f64 - 4.0).powi(2) + 1.0 + 16.0) / 3.0).sqrt();
    assert!((mean[0] - 4.0).abs() < 1e-6 && (log[0] - deviation.ln()).abs() < 1e-6);
    assert_eq!((mean[1], log[1]), (0.0, 0.0));
}
