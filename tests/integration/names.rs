//! Names that a model chooses never collide with names that dgc makes: under every name that dgc
//! uses, variables have the same numbers.

use crate::common;

use common::{check, distance, numbers};
use dgc::{
    Prediction, Predictions, Rows,
    backend::{Build, Device, NoiseKey},
    driver,
    lines::LINES,
    lower::{Evaluate, Mode, Outputs},
    model::Model,
    names::OutputName,
    plan::NoiseSource,
    run::{
        data::{Column, Source, Table, Values},
        evaluate::Evaluator,
        programs,
        session::{Layout, Session},
        train::Stepper,
    },
    tensor::{Graph, NoiseKind, Op, eval},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The golden models: one small model for each construct.
fn golden() -> Vec<(String, String)> {
    let files = common::models_in(&common::root().join("tests/golden"));
    let read = |file: &std::path::PathBuf| {
        let text = std::fs::read_to_string(file).expect("a model");
        (file.display().to_string(), text)
    };
    files.iter().map(read).collect()
}

/// The identifiers in a text, each with what precedes it.
fn words(text: &str) -> Vec<(&str, &str)> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut words = Vec::new();
    let (mut before, mut start) = (0, None);
    for (at, letter) in text.char_indices().chain([(text.len(), ' ')]) {
        match (is_letter(letter), start) {
            (true, None) => start = Some(at),
            (false, Some(begin)) => {
                words.push((&text[before..begin], &text[begin..at]));
                (before, start) = (at, None);
            }
            _ => {}
        }
    }
    words.push((&text[before..], ""));
    words
}

/// A text with its identifiers renamed.
fn renamed(text: &str, names: &BTreeMap<&str, &str>) -> String {
    let rename = |word| *names.get(word).unwrap_or(&word);
    words(text)
        .into_iter()
        .flat_map(|(before, word)| [before, rename(word)])
        .collect()
}

/// A training step on two rows of each case, and an evaluation of two rows.
fn graphs(model: &Model) -> [Graph; 2] {
    let bounds = driver::derive(model);
    let rows = vec![2; bounds.cases.len()];
    let what = Evaluate {
        rows: 2,
        samples: 2,
        outputs: Outputs::Likelihood,
    };
    let case = bounds.cases.last().expect("a case");
    [
        driver::step(model, &rows, Mode::TRAIN),
        driver::evaluate(model, case, what),
    ]
}

/// The names of what a graph is given, each with the length and whether it is uniform noise or
/// data.
fn given(graph: &Graph) -> BTreeMap<String, (usize, Option<NoiseKind>)> {
    let inputs = graph.ids().filter_map(|node| {
        let len = graph.elements(graph.axes_of(node));
        match graph.op(node) {
            Op::Input { name, .. } => Some((name.clone(), (len, None))),
            Op::Noise { name, kind, .. } => Some((name.clone(), (len, Some(*kind)))),
            _ => None,
        }
    });
    let parameters = graph.parameters.iter().map(|parameter| {
        let axes = parameter.axes.iter().copied().collect();
        let noise = Some(NoiseKind::Normal);
        (parameter.name.clone(), (graph.elements(&axes), noise))
    });
    inputs.chain(parameters).collect()
}

/// Every word of dgc's own in the names of graphs and lines, and some that graphs do not show.
fn words_of_dgc(models: &[(String, String)], chosen: &BTreeSet<String>) -> Vec<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut add = |text: &str| {
        found.extend(words(text).into_iter().map(|(_, word)| word.to_string()));
    };
    for (file, text) in models {
        let model = check(file, text, &[]);
        let plan = programs::training(&model).expect("programs").update.plan;
        plan.buffers.iter().for_each(|buffer| add(&buffer.name));
        for graph in graphs(&model) {
            given(&graph).keys().for_each(|name| add(name));
            graph.axes.iter().for_each(|axis| add(&axis.name));
            graph.origins.iter().for_each(|origin| add(origin));
            let outputs = graph.outputs.iter();
            outputs.for_each(|output| add(&output.name.to_string()));
            let plan = driver::plan(&graph, NoiseSource::Given).expect("a plan");
            plan.kernels.iter().for_each(|kernel| add(&kernel.name));
        }
        model.settings.iter().for_each(|(name, _)| add(name));
    }
    for line in LINES {
        add(line.keyword());
        add(line.example(true));
        line.set_names().into_iter().for_each(&mut add);
    }
    add("row number test validation train error confusion units rows epoch seconds active float");
    let is_name =
        |word: &String| !word.is_empty() && !word.starts_with(|c: char| c.is_ascii_digit());
    found
        .into_iter()
        .filter(|word| is_name(word) && !chosen.contains(word))
        .collect()
}

/// The values of a graph, whose names are those of `original` renamed.
fn values(original: &Graph, names: &BTreeMap<&str, &str>) -> eval::NamedValues {
    let value = |(name, (len, noise)): (String, (usize, Option<NoiseKind>))| {
        let drawn = numbers(&name, len, 0.7).into_iter();
        let values = match noise {
            // Classes, bits and counts; weights and temperatures are 1.
            None if len == 1 => vec![1.0],
            None => drawn.map(|x| f64::from(x > 0.0)).collect(),
            Some(NoiseKind::Uniform) => drawn.map(|x| 1.0 / (1.0 + x.exp())).collect(),
            Some(_) => drawn.collect(),
        };
        (renamed(&name, names), values)
    };
    given(original).into_iter().map(value).collect()
}

type Numbers = BTreeMap<String, Vec<f64>>;

fn interpreted(graph: &Graph, values: &eval::NamedValues) -> Numbers {
    let outputs = eval::run(graph, values, None).expect("values for everything");
    let outputs = outputs.into_iter();
    outputs
        .map(|(kind, name, array)| (format!("{kind:?} {name}"), array.data))
        .collect()
}

fn on_cpu(graph: &Graph, values: &eval::NamedValues) -> Numbers {
    let plan = driver::plan(graph, NoiseSource::Given).expect("a plan");
    let layout = Layout::new(&graph.parameters, &graph.axes);
    let mut session = Session::new(layout, &Device::cpu(1)).expect("a device");
    let loaded = session
        .load(&Build::new("names", plan), &|_| None)
        .expect("it loads");
    for entry in session.layout.entries.clone() {
        let numbers = &values[&entry.parameter.name];
        session
            .set(session.parameters, &entry, numbers)
            .expect("a parameter");
    }
    let inputs: Vec<String> = loaded.inputs().map(str::to_string).collect();
    for name in inputs {
        let mut fill = |array: &mut [f32]| {
            let pairs = array.iter_mut().zip(&values[&name]);
            pairs.for_each(|(to, from)| *to = *from as f32);
        };
        session.fill(&loaded, &name, &mut fill).expect("an input");
    }
    let key = NoiseKey { seed: 0, step: 0 };
    session.run(&loaded, key).expect("it runs");
    let mut outputs = Numbers::new();
    for output in &graph.outputs {
        let name = output.name.to_string();
        if let Some(floats) = session.read(&loaded, &name).expect("it is read") {
            let wide = floats.iter().map(|&x| f64::from(x)).collect();
            outputs.insert(format!("{:?} {name}", output.kind), wide);
        }
    }
    outputs
}

#[test]
fn variables_may_have_any_name() {
    let models = golden();
    let mut chosen = BTreeSet::new();
    for (file, text) in &models {
        let model = check(file, text, &[]);
        chosen.extend(model.variables.into_iter().map(|variable| variable.name));
    }
    let words = words_of_dgc(&models, &chosen);
    for word in [
        "per_row", "bound", "labelled", "smooth", "draw", "q", "weights", "clean",
    ] {
        assert!(words.iter().any(|other| other == word), "{word}: {words:?}");
    }
    for (file, text) in &models {
        let original = check(file, text, &[]);
        let variables = &original.variables;
        let old = graphs(&original);
        let unchanged = BTreeMap::new();
        let wanted = old.each_ref().map(|graph| {
            let values = values(graph, &unchanged);
            (interpreted(graph, &values), on_cpu(graph, &values))
        });
        for shift in 0..words.len() {
            // Each variable gets each word once.
            let word = |index: usize| words[(shift + 31 * index) % words.len()].as_str();
            let names: BTreeMap<&str, &str> = variables
                .iter()
                .enumerate()
                .map(|(index, variable)| (variable.name.as_str(), word(index)))
                .collect();
            let model = check(file, &renamed(text, &names), &[]);
            for ((old, new), (exact, single)) in old.iter().zip(graphs(&model)).zip(&wanted) {
                let values = values(old, &names);
                let renamed_names: BTreeSet<String> = given(old)
                    .keys()
                    .map(|name| renamed(name, &names))
                    .collect();
                let new_names: BTreeSet<String> = given(&new).into_keys().collect();
                assert_eq!(new_names, renamed_names, "{file} {names:?}");
                for (found, wanted, off) in [
                    (interpreted(&new, &values), exact, 1e-9),
                    // Sums in another order, in single precision.
                    (on_cpu(&new, &values), single, 1e-4),
                ] {
                    for (name, wanted) in wanted {
                        let name = renamed(name, &names);
                        let found = found.get(&name);
                        let found = found.unwrap_or_else(|| panic!("{file} {names:?}: no {name}"));
                        let off_by = distance(found, wanted);
                        assert!(off_by < off, "{file} {names:?}: {name} is off by {off_by}");
                    }
                }
            }
        }
    }
}

/// A semi-supervised model without latents, so without noise, of these variables and lines.
fn noiseless([x, y]: [&str; 2], size: &str, lines: &str) -> String {
    format!(
        "model noiseless {{
  size {size} = 3

  data  {x}: real[2]
  label {y}: class[3]

  generative {{
    {y} ~ uniform
    {y} -> {x} ~ normal(linear)
  }}

  inference {{
    {x} -> {y} ~ categorical([dense(4) > tanh])
  }}

  objective {{
    sum {y}
{lines}
  }}

  train {{
    batch labelled 2, unlabelled 3
    optimizer sgd(rate = 0.1)
  }}
}}
"
    )
}

/// The losses of some steps of training, from the same parameters on the same rows, and then the
/// probabilities of each row's classes.
fn trained(names: [&str; 2]) -> Vec<f64> {
    let lines = format!("    classify {}", names[1]);
    let text = noiseless(names, "size", &lines);
    let model = check("noiseless.dgm", &text, &[]);
    let column = |name: &str, width, values| Column {
        name: name.to_string(),
        width,
        values,
    };
    let values = numbers("values", 20, 5.0).into_iter().map(|x| x as f32);
    let classes = (0..10).map(|row| if row < 6 { row % 3 } else { -1 });
    let table = Arc::new(Table {
        rows: 10,
        columns: vec![
            column(names[0], 2, Values::Floats(values.collect())),
            column(names[1], 1, Values::Classes(classes.collect())),
        ],
    });
    let device = Device::cpu(1);
    let source: Arc<dyn Source> = table;
    let mut stepper =
        Stepper::new(model.clone(), Arc::clone(&source), 0, &device).expect("a stepper");
    for entry in stepper.session.layout.entries.clone() {
        // The parameters of the variables x and y, by the same names whatever theirs are.
        let back = [(names[0], "x"), (names[1], "y")].into();
        let name = renamed(&entry.parameter.name, &back);
        let start = numbers(&name, entry.len(), 0.5);
        let parameters = stepper.session.parameters;
        stepper
            .session
            .set(parameters, &entry, &start)
            .expect("a parameter");
    }
    let mut found = Vec::new();
    for _ in 0..4 {
        stepper.step().expect("a step");
        let means = stepper.take_means().expect("means");
        let loss = means.iter().find(|(name, _)| *name == OutputName::Loss);
        found.push(loss.expect("a loss").1);
    }
    let bounds = driver::derive(&model);
    let case = bounds.cases.last().expect("a case");
    let what = Evaluate {
        rows: 4,
        samples: 1,
        outputs: Outputs::Bound,
    };
    let build = programs::evaluate(&model, case, what).expect("a program");
    let session = &mut stepper.session;
    let evaluator = Evaluator::new(session, &model, case, &build).expect("an evaluator");
    let inferred = evaluator.run(session, &*source, 0).expect("it runs");
    let predicted = &inferred[&OutputName::Predict(names[1].to_string())];
    found.extend(predicted.iter().map(|&x| f64::from(x)));
    found
}

#[test]
fn training_reads_variables_of_any_name() {
    let wanted = trained(["x", "y"]);
    assert!(wanted[0] > 10.0, "the data matter: {wanted:?}");
    for word in [
        "per_row", "bound", "labelled", "loss", "predict", "rate", "weights", "bits",
    ] {
        for names in [[word, "y"], ["x", word]] {
            let off_by = distance(&trained(names), &wanted);
            assert!(off_by < 1e-5, "{names:?} are off by {off_by}");
        }
    }
}

#[test]
fn a_size_hides_a_number_of_dgc() {
    let weight = |size: &str| {
        let lines = format!("    classify y weight 2 * {size}");
        let text = noiseless(["x", "y"], size, &lines);
        let model = check("sizes.dgm", &text, &[]);
        let (_, weight) = model.population_weights().next().expect("a weight");
        weight.value(1000.0, 100.0)
    };
    for size in ["rows", "labelled", "size"] {
        assert_eq!(weight(size), 6.0, "{size}");
    }
    let text = noiseless(["x", "y"], "size", "    classify y weight rows / labelled");
    let model = check("sizes.dgm", &text, &[]);
    let (_, weight) = model.population_weights().next().expect("a weight");
    assert_eq!(weight.value(1000.0, 100.0), 10.0);
}

#[test]
fn variables_and_lines_have_separate_set_names() {
    let lines = |label: &str| {
        format!(
            "    classify {label}
    beta {label} 1 warmup 2 from 3
    labelled 1 warmup 4 from 5
    smooth {label} by vat(radius = 1) warmup 6 from 7"
        )
    };
    // The warm-up and the start of the variable, of `labelled` and of `smooth`.
    let ramps = |label: &str, sets: &[(&str, &str)]| {
        let text = noiseless(["x", label], "size", &lines(label));
        let model = check("sets.dgm", &text, sets);
        let objective = &model.objective;
        let ramps = [
            objective.betas[0].ramp,
            objective.labelled.expect("a ramp"),
            objective.costs[1].ramp().expect("a ramp"),
        ];
        ramps.map(|ramp| (ramp.warmup, ramp.from))
    };
    let sets = [
        ("warmup.smooth", "8"),
        ("from.smooth", "9"),
        ("labelled.warmup", "10"),
        ("smooth.from", "11"),
    ];
    let expected = [(8.0, 9.0), (10.0, 5.0), (6.0, 11.0)];
    assert_eq!(ramps("smooth", &sets), expected);
    let sets = [("warmup.labelled", "8"), ("labelled.from", "9")];
    assert_eq!(
        ramps("labelled", &sets),
        [(8.0, 3.0), (4.0, 9.0), (6.0, 7.0)]
    );
    // The names that lines had before, which runs have stored.
    let sets = [
        ("warmup.smooth", "8"),
        ("from.labelled", "9"),
        ("weight.labelled", "0.5"),
    ];
    assert_eq!(ramps("y", &sets), [(2.0, 3.0), (4.0, 9.0), (8.0, 7.0)]);
}

#[test]
fn a_node_may_be_called_clean() {
    let model = |line: &str| {
        let text = format!(
            "model clean {{
  data  x: real[2]
  label y: class[3]

  inference {{
    x     -> clean = noise(0.1) > dense(2)
    clean -> y ~ categorical(linear)
    clean -> r = dense(2)
  }}

  objective {{
    classify y
    {line}
  }}
}}
"
        );
        let model = check("clean.dgm", &text, &[]);
        let cost = &model.objective.costs[1];
        (cost.reads().len(), cost.clean_reads().len())
    };
    for (line, clean) in [
        ("match r to clean", 0),
        ("match r to clean weight 2", 0),
        ("match r to clean standardized weight 2", 0),
        ("match r to clean clean", 1),
        ("match clean to clean x", 1),
    ] {
        assert_eq!(model(line).1, clean, "{line}");
    }
}

#[test]
fn columns_of_predictions_have_distinct_names() {
    for (label, header) in [
        (
            "y",
            "row,y,probability of y,true y,probability of y = no,probability of y = 1",
        ),
        (
            "row",
            "row number,row,probability of row,true row,probability of row = no,probability of row = 1",
        ),
    ] {
        let predictions = Predictions {
            labels: vec![Prediction {
                label: label.to_string(),
                classes: 2,
                probabilities: vec![0.25, 0.75],
                truth: vec![0],
                names: vec!["no".to_string()],
            }],
            numbers: Vec::new(),
        };
        let rows = Rows::new(Table {
            rows: 1,
            columns: Vec::new(),
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("labels.csv");
        predictions.table(&rows).write(&file).expect("a file");
        let text = std::fs::read_to_string(&file).expect("a file");
        assert_eq!(text, format!("{header}\n0,1,0.75,no,0.25,0.75\n"));
    }
}
