//! Labels that rows may lack beside others, and numeric labels.

use crate::common;

use common::{batch, parameters};
use dgc::{
    Device, Model,
    run::bound::{Arrays, Engine, Report, bound},
};

/// Two labels without latent variables, so that the bound has a closed form in the densities.
fn pair(modifier: &str, bound: &str) -> Model {
    common::check("pair.dgm", &pair_text(modifier, bound), &[])
}

fn pair_text(modifier: &str, bound: &str) -> String {
    format!(
        "model pair {{
  data  x: real[2]
  label t: class[2] {modifier}
  label c: class[3] {modifier}

  net body = dense(4) > tanh

  generative {{
           t ~ categorical(0.3, 0.7)
    t   -> c ~ categorical(linear)
    t, c -> x ~ normal(body)
  }}

  inference {{
    x    -> t ~ categorical(body)
    x, t -> c ~ categorical(body)
  }}

  objective {{
    {bound}
    sum t
    sum c
    classify t
    classify c weight 2
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

/// The batch with these labels in each row.
fn labelled(rows: &Arrays, t: &[f64], c: &[f64]) -> Arrays {
    let mut rows = rows.clone();
    rows.get_mut("t").expect("labels").data = t.to_vec();
    rows.get_mut("c").expect("labels").data = c.to_vec();
    rows
}

/// The bound of a labelled row that has both labels: log p(x, t, c).
fn joint(model: &Model, all: &Arrays, row: &Arrays, t: usize, c: usize) -> f64 {
    let found = report(
        model,
        all,
        &labelled(row, &[t as f64], &[c as f64]),
        &Engine::Reference,
    );
    number(&found, ["labelled", "bound"])
}

/// −log q of labels that a row has: the cost of `classify`, whose weights are 1 and 2.
fn cross_entropy(model: &Model, all: &Arrays, row: &Arrays, t: usize, c: usize) -> [f64; 2] {
    let only = |kept: &str| {
        let text = model.source.replace(
            match kept {
                "t" => "classify c weight 2",
                _ => "classify t",
            },
            "",
        );
        let model = common::check("pair.dgm", &text, &[]);
        let rows = labelled(row, &[t as f64], &[c as f64]);
        let found = report(&model, all, &rows, &Engine::Reference);
        found.json["classification"].as_f64().expect("a loss")
    };
    [only("t"), only("c")]
}

fn single(rows: &Arrays, row: usize) -> Arrays {
    let mut single = rows.clone();
    for array in single.values_mut() {
        let width = array.data.len() / array.shape[0];
        array.data = array.data[row * width..(row + 1) * width].to_vec();
        array.shape[0] = 1;
    }
    single
}

/// A row that has all labels has the bound of a model in which no row lacks any.
#[test]
fn a_row_with_all_labels_has_the_same_bound() {
    for line in ["", "samples 2\n    bound importance"] {
        let (partly, plain) = (pair("with missing", line), pair("", line));
        let all = parameters(&plain);
        assert_eq!(
            parameters(&partly).keys().collect::<Vec<_>>(),
            all.keys().collect::<Vec<_>>()
        );
        let rows = batch(&plain, 7, 4);
        let found = report(&partly, &all, &rows, &Engine::Reference);
        let wanted = report(&plain, &all, &rows, &Engine::Reference);
        for case in ["labelled", "unlabelled"] {
            let difference = number(&found, [case, "bound"]) - number(&wanted, [case, "bound"]);
            assert!(difference.abs() < 1e-9, "{case}: {difference}");
        }
        let loss = |report: &Report| report.json["loss"].as_f64().expect("a loss");
        assert!((loss(&found) - loss(&wanted)).abs() < 1e-9);
        for wanted in &wanted.gradients {
            let mut found = found.gradients.iter();
            let found = found.find(|found| found.name == wanted.name);
            let found = found.unwrap_or_else(|| panic!("no gradient {}", wanted.name));
            let distance = common::distance(&found.data, &wanted.data);
            assert!(distance < 1e-8, "{}: {distance}", wanted.name);
        }
    }
}

/// A row that has `t` alone: Σ_c q(c | x, t) (log p(x, t, c) − log q(c | x, t)), and one that has `c`
/// alone: Σ_t q(t | x) (log p(x, t, c) − log q(t | x)), by brute force.
#[test]
fn a_row_with_some_labels_sums_over_the_others() {
    let (partly, plain) = (pair("with missing", ""), pair("", ""));
    let all = parameters(&plain);
    let rows = single(&batch(&plain, 7, 4), 1);
    let log_p = |t: usize, c: usize| joint(&plain, &all, &rows, t, c);
    let log_q = |t: usize, c: usize| cross_entropy(&plain, &all, &rows, t, c).map(|loss| -loss);
    let cases: [(f64, f64, f64, f64); 2] = [
        (
            1.0,
            -1.0,
            (0..3)
                .map(|c| log_q(1, c)[1].exp() * (log_p(1, c) - log_q(1, c)[1]))
                .sum(),
            -log_q(1, 0)[0],
        ),
        (
            -1.0,
            2.0,
            (0..2)
                .map(|t| log_q(t, 2)[0].exp() * (log_p(t, 2) - log_q(t, 2)[0]))
                .sum(),
            // `classify c` has the weight 2, and averages over q(t | x).
            -2.0 * (0..2)
                .map(|t| log_q(t, 2)[0].exp() * log_q(t, 2)[1])
                .sum::<f64>(),
        ),
    ];
    for (t, c, wanted, cost) in cases {
        let rows = labelled(&rows, &[t], &[c]);
        let found = report(&partly, &all, &rows, &Engine::Reference);
        let bound = number(&found, ["labelled", "bound"]);
        assert!((bound - wanted).abs() < 1e-9, "{bound}, not {wanted}");
        let loss = found.json["loss"].as_f64().expect("a loss");
        let difference = loss - (cost - wanted);
        assert!(difference.abs() < 1e-9, "{t}, {c}: {difference}");
    }
}

/// Without a latent, the importance-weighted bound is exact where the weights of the classes are those
/// of the posterior; here it must at least be the evidence bound with the same weights.
#[test]
fn the_importance_bound_takes_known_labels() {
    let (evidence, importance) = (
        pair("with missing", ""),
        pair("with missing", "samples 1\n    bound importance"),
    );
    let all = parameters(&evidence);
    let rows = batch(&pair("", ""), 5, 5);
    let rows = labelled(
        &rows,
        &[1.0, -1.0, 0.0, 1.0, -1.0],
        &[-1.0, 2.0, 1.0, -1.0, 0.0],
    );
    let of = |model: &Model| {
        let found = report(model, &all, &rows, &Engine::Reference);
        number(&found, ["labelled", "bound"])
    };
    let (evidence, importance) = (of(&evidence), of(&importance));
    assert!(
        (evidence - importance).abs() < 1e-9,
        "{evidence}, {importance}"
    );
}

/// A model with a latent, two classes and a numeric label.
const MIXED: &str = "model mixed {
  data   x: real[3] standardized
  label  t: class[2] with missing
  label  w: real[2] standardized with missing
  label  c: class[3] with missing
  latent z: real[2]

  net body = dense(5) > batchnorm > tanh

  generative {
               z ~ normal(0, 1)
               t ~ categorical(0.3, 0.7)
               c ~ categorical(linear)
    t       -> w ~ normal(linear)
    t, c, w, z -> x ~ normal(body)
  }

  inference {
    x       -> t ~ categorical(body)
    x, t    -> w ~ normal(body)
    x       -> c ~ categorical(body)
    x, t, c, w -> z ~ normal(body)
  }

  objective {
    samples 2
    sum t
    sum c
    classify t
    regress w weight 0.5
    classify c weight 2
    beta z 0.5
  }
}
";

/// Rows that have each of the three labels or not.
fn mixed() -> (Model, Arrays, Arrays) {
    let model = common::check("mixed.dgm", MIXED, &[]);
    let complete = common::check("mixed.dgm", &MIXED.replace(" with missing", ""), &[]);
    let mut rows = batch(&complete, 9, 7);
    let mut drop = |name: &str, row: usize| {
        let array = rows.get_mut(name).expect("a label");
        let width = array.data.len() / array.shape[0];
        let unknown = if name == "w" { f64::NAN } else { -1.0 };
        array.data[row * width..(row + 1) * width].fill(unknown);
    };
    for (row, names) in [
        (0, &["t"][..]),
        (1, &["w"]),
        (2, &["c"]),
        (3, &["t", "w"]),
        (4, &["w", "c"]),
    ] {
        names.iter().for_each(|name| drop(name, row));
    }
    let parameters = parameters(&model);
    (model, parameters, rows)
}

/// Gradients of rows with some labels are those of their loss.
#[test]
fn gradients_are_slopes() {
    let (model, parameters, rows) = mixed();
    common::slopes_of(&model, &parameters, &rows);
}

/// Native code gives the reference's numbers.
#[test]
fn compiled_code_agrees_with_the_reference() {
    let (model, parameters, rows) = mixed();
    let wanted = report(&model, &parameters, &rows, &Engine::Reference);
    let found = report(&model, &parameters, &rows, &Engine::Device(Device::cpu(1)));
    let loss = |report: &Report| report.json["loss"].as_f64().expect("a loss");
    let (found_loss, wanted_loss) = (loss(&found), loss(&wanted));
    assert!((found_loss - wanted_loss).abs() < 1e-4 * wanted_loss.abs());
    let pairs = found.gradients.iter().zip(&wanted.gradients);
    let distance =
        common::distance_of_all(pairs.map(|(found, wanted)| (&found.data[..], &wanted.data[..])));
    assert!(distance < 1e-3, "{distance}");
}

/// `label y: real` in a linear-Gaussian model. Where it is observed, the bound is log p(x, y) if q is
/// the posterior; where it is not, it is log p(x).
#[test]
fn a_numeric_label_has_its_closed_form() {
    let text = "model line {
  data  x: real
  label y: real
  generative {
         y ~ normal(1, 2)
    y -> x ~ normal(mean = linear, log_variance = constant)
  }
  inference {
    x -> y ~ normal(mean = linear, log_variance = constant)
  }
  objective {
    regress y
  }
}
";
    let model = common::check("line.dgm", text, &[]);
    let mut all = parameters(&model);
    let mut set = |name: &str, value: f64| {
        all.get_mut(name)
            .unwrap_or_else(|| panic!("no {name}"))
            .data
            .fill(value);
    };
    // y ~ N(1, 4), x = 1.5 y − 0.5 + N(0, 0.8²).
    let (slope, shift, noise) = (1.5, -0.5, 0.8f64);
    let precision = 1.0 / 4.0 + slope * slope / (noise * noise);
    let gain = slope / (noise * noise) / precision;
    set("p.x.mean.weight.y", slope);
    set("p.x.mean.bias", shift);
    set("p.x.log_variance.bias", 2.0 * noise.ln());
    set("q.y.mean.weight.x", gain);
    set("q.y.mean.bias", 1.0 / 4.0 / precision - gain * shift);
    set("q.y.log_variance.bias", -precision.ln());
    let normal = |value: f64, mean: f64, variance: f64| {
        -0.5 * ((2.0 * std::f64::consts::PI * variance).ln() + (value - mean).powi(2) / variance)
    };
    let (x, y) = (0.7, -1.3);
    let mut rows = batch(&model, 2, 1);
    rows.get_mut("x").expect("data").data = vec![x, x];
    rows.get_mut("y").expect("labels").data = vec![y, f64::NAN];
    let found = report(&model, &all, &rows, &Engine::Reference);
    let seen = normal(y, 1.0, 4.0) + normal(x, slope * y + shift, noise * noise);
    let unseen = normal(x, slope + shift, slope * slope * 4.0 + noise * noise);
    let close = |found: f64, wanted: f64| {
        assert!((found - wanted).abs() < 1e-9, "{found}, not {wanted}");
    };
    close(number(&found, ["labelled", "bound"]), seen);
    let posterior = normal(
        y,
        gain * x + 1.0 / 4.0 / precision - gain * shift,
        1.0 / precision,
    );
    close(
        found.json["regression"].as_f64().expect("a loss"),
        -posterior,
    );
    // The expectation of log p(x | y) is sampled, so only its mean is the closed form: the terms are
    // log p(x | y) − KL(q(y) ‖ p(y)), whose sum at each sample is log p(x) − log q(y) + log q(y).
    let kl = {
        let (mean, variance) = (
            gain * x + 1.0 / 4.0 / precision - gain * shift,
            1.0 / precision,
        );
        0.5 * (4f64.ln() - variance.ln() + (variance + (mean - 1.0).powi(2)) / 4.0 - 1.0)
    };
    let term = found.json["unlabelled"]["terms"]["-KL(y)"].as_f64();
    close(term.expect("a closed form"), -kl);
    assert!(number(&found, ["unlabelled", "bound"]).is_finite());
    let sampled = common::check("line.dgm", &text.replace("regress y", "sampled y"), &[]);
    let found = report(&sampled, &all, &rows, &Engine::Reference);
    close(number(&found, ["unlabelled", "bound"]), unseen);

    // Densities of a standardized label are in its own units: where it is drawn, those of p and q cancel.
    let text = text.replace("y: real", "y: real standardized");
    let standardized = common::check("line.dgm", &text.replace("regress y", "sampled y"), &[]);
    let (mean, log_deviation) = (5.0, 0.7f64);
    let mut set = |name: String, value: f64| {
        let array = dgc::run::arrays::NamedArray {
            name: name.clone(),
            shape: vec![1],
            data: vec![value],
        };
        all.insert(name, array);
    };
    set(dgc::names::mean_name("y"), mean);
    set(dgc::names::log_deviation_name("y"), log_deviation);
    rows.get_mut("y").expect("labels").data[0] = mean + log_deviation.exp() * y;
    let found = report(&standardized, &all, &rows, &Engine::Reference);
    close(number(&found, ["labelled", "bound"]), seen - log_deviation);
    close(number(&found, ["unlabelled", "bound"]), unseen);
}

/// A regression from a table with few targets, from training to predictions, with units that are far
/// from 0 and 1.
#[test]
fn a_numeric_label_trains_and_predicts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut table = "a,b,price,split\n".to_string();
    for row in 0..300 {
        let noise = common::numbers(&format!("row {row}"), 3, 1.0);
        let (a, b) = (noise[0], noise[1]);
        let price = 5000.0 + 800.0 * a - 300.0 * b + 50.0 * noise[2];
        let split = if row < 200 { "train" } else { "test" };
        let price = match row % 4 {
            0 => format!("{price}"),
            _ if split == "test" => format!("{price}"),
            1 => "NA".to_string(),
            _ => String::new(),
        };
        table += &format!("{a},{b},{price},{split}\n");
    }
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("houses.csv"), table).expect("a table");
    let text = "model houses {
  data   x: real[2] standardized
  label  price: real standardized
  latent z: real[2]
  net body = dense(16) > tanh
  generative {
              z ~ normal(0, 1)
              price ~ normal(0, 1)
    price, z -> x ~ normal(body)
  }
  inference {
    x        -> price ~ normal(body)
    x, price -> z ~ normal(body)
  }
  objective {
    regress price weight 5
  }
  train {
    batch labelled 25, unlabelled 50
    optimizer adam(rate = 1e-2)
    epochs 60
  }
}
";
    std::fs::write(at("houses.dgm"), text).expect("a model");
    let said = common::program::fine(
        folder.path(),
        &["train", "houses.dgm", "--data", "houses.csv", "-o", "run"],
    );
    assert!(
        said.contains("labels of price: 50 labelled training rows"),
        "{said}"
    );
    assert!(said.contains("test RMSE"), "{said}");
    let said = common::program::fine(folder.path(), &["eval", "run", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let scores = &found["scores of price"];
    let rmse = scores["RMSE"].as_f64().expect("an error");
    // The noise is 50, the deviation of the prices about 850.
    assert!(rmse < 150.0, "{said}");
    assert!(scores["R2"].as_f64().expect("a number") > 0.95, "{said}");
    let said = common::program::fine(folder.path(), &["predict", "run", "-o", "-"]);
    let mut lines = said.lines();
    assert_eq!(
        lines.next(),
        Some("row,price,deviation of price,true price")
    );
    let (mut squares, mut rows) = (0.0, 0);
    for line in lines {
        let cells: Vec<f64> = line
            .split(',')
            .map(|cell| cell.parse().expect("a number"))
            .collect();
        squares += (cells[1] - cells[3]).powi(2);
        assert!(cells[2] > 0.0);
        rows += 1;
    }
    assert_eq!(rows, 100);
    assert!(((squares / 100.0f64).sqrt() - rmse).abs() < 0.01);
    // Steps on unlabelled rows alone do not read the statistics of the label; evaluation does.
    let train = [
        "train",
        "houses.dgm",
        "--data",
        "houses.csv",
        "--epochs",
        "1",
    ];
    let unlabelled = ["--set", "batch.labelled=0", "-o", "unlabelled"];
    common::program::fine(folder.path(), &[&train[..], &unlabelled].concat());
    // Seeds are compared by the RMSE, and so are runs.
    let seeds = ["--seeds", "2", "-o", "seeds"];
    let said = common::program::fine(folder.path(), &[&train[..], &seeds].concat());
    assert!(said.contains("test RMSE: "), "{said}");
    let said = common::program::fine(
        folder.path(),
        &["runs", "seeds", "--sort", "error", "--json"],
    );
    let runs: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    let rmse = |run: usize| runs[run]["rmse"][""].as_f64().expect("an RMSE");
    assert!(rmse(0) <= rmse(1), "{said}");
    // Columns of another number than the label's are no label that all rows lack.
    let pairs = text.replace("price: real ", "price: real[2] ");
    std::fs::write(at("pairs.dgm"), pairs).expect("a model");
    let table = std::fs::read_to_string(at("houses.csv")).expect("a table");
    std::fs::write(at("pairs.csv"), table.replace("a,b,price", "x0,x1,price0")).expect("a table");
    for model in ["pairs.dgm", "houses.dgm"] {
        let train = ["train", model, "--data", "pairs.csv", "-o", "pairs"];
        let wrong = common::program::fails(folder.path(), &train);
        assert!(wrong.contains("found `price0`"), "{wrong}");
    }
    let wrong =
        common::program::fails(folder.path(), &["calibrate", "run", "--data", "houses.csv"]);
    assert!(wrong.contains("no class label"), "{wrong}");
}

/// Data whose rows have some labels need the modifier, and then train.
#[test]
fn rows_with_some_labels_need_the_modifier() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let mut table = "a,b,t,c\n".to_string();
    for row in 0..120 {
        let noise = common::numbers(&format!("row {row}"), 2, 0.3);
        let (t, c) = (row % 2, row % 3);
        let (a, b) = (noise[0] + 4.0 * t as f64, noise[1] + 4.0 * c as f64);
        let t = ["left", "right"][t];
        let (t, c) = match row % 5 {
            0 => (t, ""),
            1 => ("", ["x", "y", "z"][c]),
            2 => (t, ["x", "y", "z"][c]),
            _ => ("", ""),
        };
        table += &format!("{a},{b},{t},{c}\n");
    }
    std::fs::write(at("rows.csv"), table).expect("a table");
    let text = pair_text("MODIFIER", "");
    let training = "  train {
    batch labelled 30, unlabelled 60
    optimizer adam(rate = 1e-2)
    epochs 60
  }
}
";
    let text = format!("{}{training}", text.trim_end().trim_end_matches('}'));
    std::fs::write(at("plain.dgm"), text.replace(" MODIFIER", "")).expect("a model");
    std::fs::write(at("pair.dgm"), text.replace("MODIFIER", "with missing")).expect("a model");
    let wrong =
        common::program::fails(folder.path(), &["train", "plain.dgm", "--data", "rows.csv"]);
    assert!(
        wrong.contains("expected all labels or none, found `t` but not `c`")
            && wrong.contains("write `with missing` behind the type of `c`"),
        "{wrong}"
    );
    let said = common::program::fine(
        folder.path(),
        &["train", "pair.dgm", "--data", "rows.csv", "-o", "run"],
    );
    assert!(
        said.contains("labels of t: 48 labelled training rows"),
        "{said}"
    );
    assert!(
        said.contains("labels of c: 48 labelled training rows"),
        "{said}"
    );
    let said = common::program::fine(folder.path(), &["eval", "run", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(found["labelled"]["rows"], 72, "{said}");
    for label in ["t", "c"] {
        let error = found[format!("error of {label}")]
            .as_f64()
            .expect("an error");
        assert!(error < 0.05, "{said}");
    }
    let said = common::program::fine(folder.path(), &["explain", "pair.dgm"]);
    assert!(
        said.contains("labelled(x, t where known, c where known)"),
        "{said}"
    );
}

/// A row of weight 2 counts as two rows in the bound and in the costs of labels.
#[test]
fn a_weight_counts_as_copies_of_a_row() {
    let text = |weight: &str| {
        format!(
            "model weighted {{
  data   x: real[2]
  label  y: class[2]
  label  v: real
  {weight}
  net body = dense(4) > tanh
  generative {{
            y ~ uniform
            v ~ normal(0, 1)
    y, v -> x ~ normal(body)
  }}
  inference {{
    x -> y ~ categorical(body)
    x -> v ~ normal(linear)
  }}
  objective {{
    sum y
    classify y
    regress v weight 0.01
  }}
}}
"
        )
    };
    let weighted = common::check("weighted.dgm", &text("weight w: positive"), &[]);
    let plain = common::check("weighted.dgm", &text(""), &[]);
    let all = parameters(&plain);
    let mut rows = batch(&plain, 2, 2);
    let copied = {
        let mut copied = rows.clone();
        for array in copied.values_mut() {
            let width = array.data.len() / 2;
            let first = array.data[..width].to_vec();
            array.data.extend(first);
            array.shape[0] = 3;
        }
        copied
    };
    rows.insert(
        "w".to_string(),
        dgc::NamedArray {
            name: "w".to_string(),
            shape: vec![2],
            data: vec![2.0, 1.0],
        },
    );
    let found = report(&weighted, &all, &rows, &Engine::Reference);
    let wanted = report(&plain, &all, &copied, &Engine::Reference);
    let loss = |report: &Report| report.json["loss"].as_f64().expect("a loss");
    // Means over 2 rows and over 3.
    let (found_sum, wanted_sum) = (2.0 * loss(&found), 3.0 * loss(&wanted));
    assert!(
        (found_sum - wanted_sum).abs() < 1e-9,
        "{found_sum}, {wanted_sum}"
    );
    for (found, wanted) in found.gradients.iter().zip(&wanted.gradients) {
        let scaled: Vec<f64> = wanted.data.iter().map(|x| 1.5 * x).collect();
        assert!(
            common::distance(&found.data, &scaled) < 1e-8,
            "{}",
            wanted.name
        );
    }
}
