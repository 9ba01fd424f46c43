//! The registries against the language's description: `docs/language.md` lists every entry, and
//! nothing else. The examples that messages give are accepted.

use crate::common;

use dgc::{
    distribution::{DISTRIBUTIONS, Domain},
    estimator::ESTIMATORS,
    layer::LAYERS,
    lines::{Block, LINES, in_block},
    optimizer::OPTIMIZERS,
};
use std::collections::BTreeSet;

/// The rows of the tables whose header has these columns first, as cells.
fn rows(columns: &[&str]) -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(common::root().join("docs/language.md"))
        .expect("the page can be read");
    let cells = |line: &str| -> Vec<String> {
        let inner = line
            .trim()
            .strip_prefix('|')
            .and_then(|rest| rest.strip_suffix('|'));
        let inner = inner.expect("a row of a table begins and ends with a bar");
        inner
            .split('|')
            .map(|cell| cell.trim().to_string())
            .collect()
    };
    let header: Vec<String> = columns.iter().map(|column| column.to_string()).collect();
    let mut found = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        if !line.starts_with('|') {
            inside = false;
        } else if cells(line).starts_with(&header) {
            inside = true;
        } else if inside && !line.starts_with("|---") {
            found.push(cells(line));
        }
    }
    assert!(!found.is_empty(), "no table begins with {columns:?}");
    found
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// `dense` of `dense(size)` and of `dense`.
fn called(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
    &text[..end.unwrap_or(text.len())]
}

/// The keywords of a table's lines.
fn keywords(columns: &[&str]) -> BTreeSet<String> {
    let rows = rows(columns);
    let lines = rows
        .iter()
        .map(|row| called(quoted(&row[0])[0]).to_string());
    lines.collect()
}

fn registered(block: Block) -> BTreeSet<String> {
    in_block(block)
        .map(|line| line.keyword().to_string())
        .collect()
}

#[test]
fn the_page_lists_every_line() {
    let training = keywords(&["line", "meaning", "if left out"]);
    assert_eq!(training, registered(Block::Train));
    let both = keywords(&["line", "meaning"]);
    let objective: BTreeSet<String> = both.difference(&training).cloned().collect();
    assert_eq!(objective, registered(Block::Objective));
}

#[test]
fn the_page_lists_every_distribution() {
    let rows = rows(&["distribution", "with constants", "heads on a network"]);
    let listed: Vec<&str> = rows.iter().map(|row| quoted(&row[0])[0]).collect();
    for distribution in DISTRIBUTIONS {
        let name = distribution.name();
        let row = listed.iter().position(|listed| *listed == name);
        let row = &rows[row.unwrap_or_else(|| panic!("`{name}` has no row"))];
        let call = match distribution.arguments().join(", ") {
            none if none.is_empty() => name.to_string(),
            arguments => format!("{name}({arguments})"),
        };
        let constants = quoted(&row[1]);
        assert!(
            constants.first().is_none_or(|written| *written == call),
            "`{name}` with constants is {call}, not {constants:?}"
        );
        let heads = distribution.head_names();
        assert_eq!(quoted(&row[2]), heads, "the heads of `{name}`");
        let inferred = match (distribution.support(), distribution.noise()) {
            (Domain::Class, _) => "summed over",
            (_, Some(_)) => "yes",
            (_, None) => "no",
        };
        assert_eq!(row[3], inferred, "whether `{name}` may be inferred");
    }
    assert_eq!(listed.len(), DISTRIBUTIONS.len());
}

#[test]
fn the_page_lists_the_distributions_of_every_type() {
    let rows = rows(&["type", "values", "distributions"]);
    for (name, domain) in Domain::NAMES {
        let row = rows.iter().find(|row| called(quoted(&row[0])[0]) == *name);
        let row = row.unwrap_or_else(|| panic!("`{name}` has no row"));
        let of_type = DISTRIBUTIONS
            .iter()
            .filter(|distribution| distribution.support() == *domain);
        let names: Vec<&str> = of_type.map(|distribution| distribution.name()).collect();
        let listed: BTreeSet<&str> = quoted(&row[2]).into_iter().collect();
        assert_eq!(
            listed,
            names.into_iter().collect(),
            "the distributions of `{name}`"
        );
    }
    assert_eq!(rows.len(), Domain::NAMES.len());
}

#[test]
fn the_page_lists_every_layer() {
    let rows = rows(&["layer", "what it does"]);
    let calls: Vec<&str> = rows.iter().flat_map(|row| quoted(&row[0])).collect();
    let listed: BTreeSet<&str> = calls.iter().map(|call| called(call)).collect();
    let registered: BTreeSet<&str> = LAYERS.iter().map(|layer| layer.name()).collect();
    assert_eq!(listed, registered);
    for layer in LAYERS {
        let mut calls = calls.iter().filter(|call| called(call) == layer.name());
        let written = |call: &&&str| {
            let arguments = layer.arguments().iter();
            arguments
                .clone()
                .filter(|argument| argument.default.is_none())
                .all(|argument| call.contains(argument.name))
        };
        assert!(
            calls.any(|call| written(&call)),
            "`{}` is written without its arguments",
            layer.name()
        );
    }
}

#[test]
fn the_page_lists_every_optimizer() {
    let rows = rows(&["line", "meaning", "if left out"]);
    let row = rows.iter().find(|row| row[0].starts_with("`optimizer "));
    let row = row.expect("the lines are listed");
    let listed: BTreeSet<&str> = quoted(&row[1]).into_iter().collect();
    for optimizer in OPTIMIZERS {
        assert!(listed.contains(optimizer.name()), "{}", optimizer.name());
    }
}

#[test]
fn the_page_lists_every_estimator() {
    let rows = rows(&["line", "meaning"]);
    let lines: Vec<&str> = rows.iter().map(|row| quoted(&row[0])[0]).collect();
    for estimator in ESTIMATORS {
        let (keyword, name) = (estimator.keyword(), estimator.name());
        let by_name = format!("{keyword} y by {name}");
        let by_keyword = format!("{keyword} y ");
        assert!(
            lines.iter().any(|line| {
                line.starts_with(&by_name) || keyword == name && line.starts_with(&by_keyword)
            }),
            "no line shows {by_name}"
        );
        assert!(
            LINES.iter().any(|line| line.keyword() == keyword),
            "`{keyword}` is no line"
        );
    }
}

/// A model in which every line may stand.
const MODEL: &str = "model all {
  data   x: binary[6]
  label  y: class[5]
  latent z: real[2]
  net body = [dense(4) > relu]
  generative {
            z ~ normal(0, 1)
            y ~ uniform
    y, z -> x ~ bernoulli(body)
  }
  inference {
    x    -> h = body
    x    -> r = body
    h    -> y ~ categorical(body)
    x, y -> z ~ normal(body)
  }
  objective {
OBJECTIVE
  }
  train {
TRAIN
  }
}
";

#[test]
fn every_example_is_accepted() {
    let mut keywords = BTreeSet::new();
    for line in LINES {
        let keyword = line.keyword();
        assert!(keywords.insert(keyword), "two lines are called `{keyword}`");
        assert!(!line.summary().is_empty(), "`{keyword}` has no summary");
        let example = line.example(true);
        assert!(example.starts_with(keyword), "`{example}`");
        let treats = if line.treats_class() { "" } else { "sum y\n" };
        let samples = if keyword == "samples" {
            ""
        } else {
            "samples 2\n"
        };
        let (objective, train) = match line.block() {
            Block::Objective => (format!("{samples}{treats}{example}"), String::new()),
            Block::Train => ("sum y".to_string(), example.to_string()),
        };
        let text = MODEL
            .replace("OBJECTIVE", &objective)
            .replace("TRAIN", &train);
        let checked = dgc::driver::check("all.dgm", &text, &[]);
        if let Err(mistakes) = checked {
            let mistakes = dgc::diagnostic::render(&mistakes, "all.dgm", &text, false);
            panic!("`{example}` is refused:\n{mistakes}");
        }
    }
}

#[test]
fn every_cost_is_printed_and_lowered_by_itself() {
    for (line, formula) in [
        ("classify y", "mean labelled (− log q(y | h))"),
        ("smooth y by vat(radius = 2)", "KL(q(y | h) ‖"),
        ("inform y", "H(mean unlabelled q(y | h))"),
        ("match r to clean h", "mean unlabelled (r − clean h)²"),
    ] {
        let objective = format!("sum y\n{line}");
        let text = MODEL.replace("OBJECTIVE", &objective).replace("TRAIN", "");
        let model = common::check("all.dgm", &text, &[]);
        let [cost] = model.objective.costs.as_slice() else {
            panic!("`{line}` adds one cost")
        };
        assert!(line.starts_with(cost.keyword()));
        let bounds = dgc::driver::derive(&model);
        let printed = dgc::bound::print(&model, &bounds);
        assert!(printed.contains(formula), "{printed}");
        let without = {
            let mut model = model.clone();
            model.objective.costs.clear();
            dgc::driver::step(&model, &[2, 2], dgc::lower::Mode::TRAIN)
        };
        let with = dgc::driver::step(&model, &[2, 2], dgc::lower::Mode::TRAIN);
        assert!(
            with.outputs.len() > without.outputs.len(),
            "`{line}` reports a metric"
        );
    }
}
