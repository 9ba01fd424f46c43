//! Compares the registries with `docs/language.md`: the page lists every entry, and nothing else. The
//! lines on the page, and the examples in messages, are accepted.

use crate::common;

use dgc::{
    diagnostic::Diagnostic,
    distribution::{DISTRIBUTIONS, Domain},
    estimator::ESTIMATORS,
    layer::LAYERS,
    lines::{Block, LINES, Line, in_block},
    model::Model,
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
  label  w: real
  latent z: real[2]
  net body = [dense(4) > relu]
  generative {
            z ~ normal(0, 1)
            y ~ uniform
            w ~ normal(0, 1)
    y, z -> x ~ bernoulli(body)
  }
  inference {
    x    -> h = body
    x    -> r = body
    h    -> y ~ categorical(body)
    h    -> w ~ normal(linear)
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

/// [`MODEL`] with one further line.
fn with_line(line: &dyn Line, text: &str) -> String {
    let (objective, train) = match line.block() {
        Block::Objective => {
            let samples = if line.keyword() == "samples" {
                ""
            } else {
                "samples 2\n"
            };
            let treats = if line.treats_class() { "" } else { "sum y\n" };
            (format!("{samples}{treats}{text}"), "")
        }
        Block::Train => ("sum y".to_string(), text),
    };
    MODEL
        .replace("OBJECTIVE", &objective)
        .replace("TRAIN", train)
}

/// [`MODEL`] without further lines.
fn without_lines() -> String {
    MODEL.replace("OBJECTIVE", "sum y").replace("TRAIN", "")
}

fn check(text: &str, set: Option<(&str, &str)>) -> Result<Model, Vec<Diagnostic>> {
    let sets: Vec<(String, String)> = set
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .into_iter()
        .collect();
    dgc::driver::check("all.dgm", text, &sets).map(|(model, _)| model)
}

fn accepted(text: &str) -> Model {
    check(text, None).unwrap_or_else(|mistakes| {
        let mistakes = dgc::diagnostic::render(&mistakes, "all.dgm", text, false);
        panic!("the model is rejected:\n{mistakes}")
    })
}

/// The forms of each line: its example, and the lines in the tables of the page.
fn forms(line: &dyn Line) -> Vec<String> {
    let tables = rows(&["line", "meaning"]);
    let cells = tables.iter().map(|row| quoted(&row[0])[0]);
    let listed = cells.filter(|text| called(text) == line.keyword());
    [line.example(true)]
        .into_iter()
        .chain(listed)
        .map(str::to_string)
        .collect()
}

#[test]
fn every_example_is_accepted() {
    let mut keywords = BTreeSet::new();
    for line in LINES {
        let keyword = line.keyword();
        assert!(keywords.insert(keyword), "two lines are called `{keyword}`");
        assert!(!line.summary().is_empty(), "`{keyword}` has no summary");
        for form in forms(*line) {
            assert!(form.starts_with(keyword), "`{form}`");
            accepted(&with_line(*line, &form));
        }
    }
}

/// The names in a text: what is in backticks and could stand before the `=` of `--set`.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |text: &&str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
    };
    let names = quoted(text).into_iter().filter(is_name);
    names.map(str::to_string).collect()
}

/// The names that `--set` reaches in a model: the help about an unknown name lists them.
fn settable(text: &str) -> BTreeSet<String> {
    let unlike_any = "q".repeat(40);
    let mistakes = check(text, Some((&unlike_any, "1"))).expect_err("there is no such name");
    let [mistake] = mistakes.as_slice() else {
        panic!("one mistake, not {mistakes:?}")
    };
    let help = mistake.help.as_deref().expect("a list of names");
    assert!(help.starts_with("available: "), "{help}");
    names(help)
}

/// The names that `--set` reaches only if a model has the line.
fn brought(line: &dyn Line) -> BTreeSet<String> {
    let always = settable(&without_lines());
    let forms = forms(line).into_iter();
    forms
        .flat_map(|form| settable(&with_line(line, &form)))
        .filter(|name| !always.contains(name))
        .collect()
}

/// The page's table of names for `--set` that a line brings, against what models accept.
#[test]
fn the_page_lists_every_name_that_a_line_brings() {
    let mut covered = BTreeSet::new();
    for row in rows(&["line", "names"]) {
        let keywords: BTreeSet<&str> = quoted(&row[0]).into_iter().map(called).collect();
        let lines = LINES
            .iter()
            .filter(|line| keywords.contains(line.keyword()));
        let found: BTreeSet<String> = lines.flat_map(|line| brought(*line)).collect();
        assert_eq!(names(&row[1]), found, "`--set` and {}", row[0]);
        covered.extend(keywords.into_iter().map(str::to_string));
    }
    for line in LINES {
        let (keyword, names) = (line.keyword(), brought(*line));
        assert!(
            covered.contains(keyword) || names.is_empty(),
            "`{keyword}` brings {names:?}, and has no row in the table of `--set` names"
        );
    }
}

/// The page's names for `--set` that need no line, against what models without lines accept.
#[test]
fn the_page_lists_every_name_that_needs_no_line() {
    let page = std::fs::read_to_string(common::root().join("docs/language.md"))
        .expect("the page can be read");
    let (_, section) = page
        .split_once("\n## Settings from the command line\n")
        .expect("the page has the section");
    let (paragraph, _) = section
        .split_once("\n|")
        .expect("a table follows the paragraph");
    let (_, paragraph) = paragraph
        .split_once("These names work whether or not a line mentions them")
        .expect("the paragraph lists the names");
    // The page does not list the arguments of optimisers.
    let arguments: BTreeSet<&str> = OPTIMIZERS
        .iter()
        .flat_map(|optimizer| optimizer.arguments())
        .map(|argument| argument.name)
        .collect();
    let is_listed = |name: &String| !arguments.contains(name.as_str());
    let listed: BTreeSet<String> = names(paragraph).into_iter().filter(is_listed).collect();
    let models = [without_lines(), UNLABELLED.to_string()];
    let accepted = models.iter().flat_map(|text| settable(text));
    assert_eq!(listed, accepted.filter(is_listed).collect());
}

/// A model without a label, whose batches are one number.
const UNLABELLED: &str = "model unlabelled {
  data   x: binary[6]
  latent z: real[2]
  generative {
         z ~ normal(0, 1)
    z -> x ~ bernoulli(linear)
  }
  inference {
    x -> z ~ normal(linear)
  }
}
";

/// A part of each cost's formula for its example in [`MODEL`].
const FORMULAS: &[(&str, &str)] = &[
    ("classify", "mean labelled (− log q(y | h))"),
    ("regress", "mean labelled (− log q(w | h))"),
    ("smooth", "KL(clean q(y | h) ‖"),
    ("inform", "H(mean unlabelled q(y | h))"),
    ("match", "mean unlabelled (r − clean h)²"),
];

/// Whether a model of `tests/golden` has the line.
fn has_golden_model(keyword: &str) -> bool {
    common::models_in(&common::root().join("tests/golden"))
        .iter()
        .any(|file| {
            let text = std::fs::read_to_string(file).expect("a model can be read");
            let mut lines = text.lines().map(str::trim_start);
            lines.any(|line| !line.starts_with("//") && called(line) == keyword)
        })
}

#[test]
fn every_cost_is_printed_and_lowered_by_itself() {
    let mut costs = BTreeSet::new();
    for line in LINES {
        let (keyword, example) = (line.keyword(), line.example(true));
        let model = accepted(&with_line(*line, example));
        if model.objective.costs.is_empty() {
            continue;
        }
        costs.insert(keyword);
        let [cost] = model.objective.costs.as_slice() else {
            panic!("`{example}` adds several costs")
        };
        assert_eq!(cost.keyword(), keyword);
        let formula = FORMULAS.iter().find(|(listed, _)| *listed == keyword);
        let (_, formula) = formula.unwrap_or_else(|| panic!("add `{keyword}` to FORMULAS"));
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
            "`{example}` reports a metric"
        );
        assert!(
            has_golden_model(keyword),
            "no model in tests/golden has a `{keyword}` line"
        );
    }
    let listed: BTreeSet<&str> = FORMULAS.iter().map(|(keyword, _)| *keyword).collect();
    assert_eq!(costs, listed, "the lines that add a cost");
}
