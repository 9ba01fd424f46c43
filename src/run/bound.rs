//! `dgc bound`: the bound, its terms and the gradient for given parameters, batch and noise.

use super::{
    arrays::NamedArray,
    data::{check_classes, check_values},
    population::Population,
    session::{Layout, Session},
};
use crate::{
    backend::{Build, Device, NoiseKey},
    diagnostic::suggest,
    distribution::Domain,
    driver,
    error::{Error, Result},
    id::Id,
    lower::Mode,
    model::{Model, Role, Scheduled, Variable},
    names::{CLASSIFICATION, CaseKind, InputName, OutputName, REGRESSION},
    plan::NoiseSource,
    tensor::{Axis, AxisKind, Graph, Node, Op, OutputKind, eval},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The engine that computes the bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The reference interpreter, in double precision.
    Reference,
    /// A device, in single precision.
    Device(Device),
}

/// Arrays by name.
pub type Arrays = BTreeMap<String, NamedArray>;

/// The result of [`bound`].
pub struct Report {
    /// The bound and its terms, with the structure of the oracles' `expected.json`.
    pub json: Value,
    /// The gradient of the loss with respect to every trained parameter.
    pub gradients: Vec<NamedArray>,
}

/// Computes the bound, its terms and the gradient.
///
/// Batch norm uses the batch's statistics, dropout is off, and data are not binarised. Rows with
/// labels of −1 belong to the unlabelled case. Scheduled weights have their final values, and lines
/// whose final weight is 0 are omitted. If `noise` is `None`, noise is drawn from `seed`.
///
/// # Errors
/// If an array is missing or has the wrong shape.
pub fn bound(
    model: &Model,
    parameters: &Arrays,
    batch: &Arrays,
    noise: Option<&Arrays>,
    seed: u64,
    engine: &Engine,
) -> Result<Report> {
    let steady = model.steady_state().map(|(_, steady)| steady);
    let model = steady.as_ref().unwrap_or(model);
    let cases = Cases::new(model, batch)?;
    let rows: Vec<usize> = cases.rows.iter().map(|(_, rows)| rows.len()).collect();
    if let Some(single) = model.normalizes_one_row(
        &cases
            .rows
            .iter()
            .map(|(case, rows)| (*case, rows.len()))
            .collect::<Vec<_>>(),
    ) {
        let message = format!(
            "`{}` cannot normalise a single row: {}",
            single.what, single.found
        );
        return Err(Error::data(message).help("give a batch of at least 2 rows of each case"));
    }
    let labelled = cases
        .rows
        .iter()
        .find(|(case, _)| *case == CaseKind::Labelled);
    let labelled = labelled.map_or(&[][..], |(_, rows)| rows.as_slice());
    let population = Population::new(model, rows.iter().sum(), labelled, |variable| {
        let classes = batch.get(&variable.name).map(|array| &array.data);
        Ok(classes.map(|classes| classes.iter().map(|&class| class as i32).collect()))
    })?;
    let graph = driver::step(model, &rows, Mode::BOUND);
    driver::check_sizes(&graph)?;
    let values = values(
        model,
        &graph,
        &cases,
        &population,
        [parameters, batch],
        noise,
    )?;
    let outputs = match engine {
        Engine::Reference => {
            let seed = eval::Seed { seed, step: 0 };
            let outputs =
                eval::run(&graph, &values, noise.is_none().then_some(seed)).map_err(Error::data)?;
            let names = graph.outputs.iter().map(|output| output.name.clone());
            outputs
                .into_iter()
                .zip(names)
                .map(|((kind, _, array), name)| (kind, name, array.data))
                .collect()
        }
        Engine::Device(device) => on_device(&graph, &values, noise.is_some(), seed, device)?,
    };
    Ok(report(model, &graph, &cases, &population, &outputs))
}

/// The values of the graph's parameters and inputs, and of its noise if given. `files` are the
/// parameters and the batch.
fn values(
    model: &Model,
    graph: &Graph,
    cases: &Cases,
    population: &Population,
    [parameters, batch]: [&Arrays; 2],
    noise: Option<&Arrays>,
) -> Result<eval::NamedValues> {
    let mut values: eval::NamedValues = population.weights(model).into_iter().collect();
    for parameter in &graph.parameters {
        let shape: Vec<usize> = parameter
            .axes
            .iter()
            .map(|&axis| graph.axis(axis).size)
            .collect();
        // Batch statistics do not use running averages, so these may be missing.
        let value = match (parameters.get(&parameter.name), parameter.trained) {
            (None, false) => vec![0.0; shape.iter().product()],
            _ => find(parameters, &parameter.name, &shape, "parameters")?,
        };
        values.insert(parameter.name.clone(), value);
    }
    // Scheduled values at the end of training.
    let scheduled = model.scheduled();
    let end = scheduled
        .iter()
        .fold(model.train.epochs as f64, |end, (_, input)| match input {
            Scheduled::Ramp(ramp) => end.max(ramp.warmup),
            Scheduled::Estimator(_) => end,
        });
    for node in graph.ids() {
        match graph.op(node) {
            Op::Input { name, .. } if !values.contains_key(name) => {
                let value = match scheduled.iter().find(|(input, _)| input == name) {
                    Some((_, input)) => vec![model.scheduled_value(*input, end)],
                    None => cases.input(graph, batch, node, name)?,
                };
                values.insert(name.clone(), value);
            }
            Op::Noise { name, .. } => {
                if let Some(noise) = noise {
                    values.insert(name.clone(), given_noise(graph, noise, node, name)?);
                }
            }
            _ => {}
        }
    }
    Ok(values)
}

type Outputs = Vec<(OutputKind, OutputName, Vec<f64>)>;

fn on_device(
    graph: &Graph,
    values: &eval::NamedValues,
    given: bool,
    seed: u64,
    device: &Device,
) -> Result<Outputs> {
    let plan = driver::plan(
        graph,
        if given {
            NoiseSource::Given
        } else {
            NoiseSource::Generated
        },
    )?;
    let mut session = Session::new(Layout::new(&graph.parameters, &graph.axes), device)?;
    let loaded = session.load(&Build::new("bound", plan), &|_| None)?;
    for entry in session.layout.entries.clone() {
        session.set(session.parameters, &entry, &values[&entry.parameter.name])?;
    }
    for name in loaded.inputs() {
        if let Some(value) = values.get(name) {
            session.fill(&loaded, name, &mut |array| {
                array
                    .iter_mut()
                    .zip(value)
                    .for_each(|(to, from)| *to = *from as f32);
            })?;
        }
    }
    session.run(&loaded, NoiseKey { seed, step: 0 })?;
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let mut outputs = Outputs::new();
    for output in &graph.outputs {
        let value = match output.kind {
            OutputKind::Value => session.read(&loaded, &output.name.to_string())?,
            OutputKind::Gradient => match session.layout.find(&output.name.to_string()) {
                Some(entry) => Some(session.gradient(entry)?),
                None => None,
            },
            OutputKind::Next => None,
        };
        outputs.extend(value.map(|value| (output.kind, output.name.clone(), wide(&value))));
    }
    Ok(outputs)
}

fn report(
    model: &Model,
    graph: &Graph,
    cases: &Cases,
    population: &Population,
    outputs: &Outputs,
) -> Report {
    let variables = model
        .variables
        .iter()
        .filter(|variable| variable.role != Role::Node);
    let sizes: BTreeMap<&str, usize> = variables
        .map(|variable| (variable.name.as_str(), variable.size()))
        .collect();
    let mut json = json!({ "samples": model.objective.samples, "sizes": sizes });
    for (keyword, weights) in population_weights(model, population) {
        json[format!("{keyword}_weight")] = match weights.as_slice() {
            [(_, only)] => json!(only),
            several => json!(several.iter().copied().collect::<BTreeMap<&str, f64>>()),
        };
    }
    for (case, rows) in &cases.rows {
        if !rows.is_empty() {
            json[case.word()] = case_report(*case, outputs);
        }
    }
    for metric in [CLASSIFICATION, REGRESSION] {
        let of_labels = outputs.iter().filter(|(_, name, _)| name.is_metric(metric));
        let losses: Vec<f64> = of_labels.map(|(_, _, data)| data[0]).collect();
        if !losses.is_empty() {
            json[metric] = json!(losses.iter().sum::<f64>());
        }
    }
    json["loss"] = json!(output(outputs, &OutputName::Loss).map(|data| data[0]));
    Report {
        gradients: gradients(graph, outputs),
        json,
    }
}

/// The values of an output, if the graph has it.
fn output<'o>(outputs: &'o Outputs, name: &OutputName) -> Option<&'o [f64]> {
    let found = outputs.iter().find(|(_, output, _)| output == name);
    found.map(|(_, _, data)| data.as_slice())
}

/// The mean bound of a case, the bound of each row, and the bound's terms.
fn case_report(case: CaseKind, outputs: &Outputs) -> Value {
    let mut terms = serde_json::Map::new();
    for (_, name, data) in outputs {
        if let OutputName::CaseTerm(of_case, term) = name
            && *of_case == case
        {
            terms.insert(term.to_string(), json!(data[0]));
        }
    }
    let per_row = output(outputs, &OutputName::PerRow(case));
    let bound = output(outputs, &OutputName::CaseBound(case)).map(|data| data[0]);
    json!({ "bound": bound, "per_row": per_row, "terms": terms })
}

/// The gradients among the outputs, with the parameters' shapes.
fn gradients(graph: &Graph, outputs: &Outputs) -> Vec<NamedArray> {
    let gradients = outputs
        .iter()
        .filter(|(kind, _, _)| *kind == OutputKind::Gradient);
    let gradients = gradients.map(|(_, name, data)| {
        let output = graph
            .outputs
            .iter()
            .find(|output| output.kind == OutputKind::Gradient && output.name == *name);
        let axes = &output.expect("a gradient is an output").axes;
        let shape = axes.iter().map(|&axis| graph.axis(axis).size).collect();
        NamedArray {
            name: name.to_string(),
            shape,
            data: data.clone(),
        }
    });
    gradients.collect()
}

/// The weights, which may depend on the training rows, by keyword and variable.
fn population_weights<'m>(
    model: &'m Model,
    population: &Population,
) -> BTreeMap<&'static str, Vec<(&'m str, f64)>> {
    let mut weights: BTreeMap<&str, Vec<(&str, f64)>> = BTreeMap::new();
    for cost in &model.objective.costs {
        if let Some((_, weight)) = cost.population_weight() {
            let name = model.variables[cost.subject().index()].name.as_str();
            let value = weight.value(population.rows, population.labelled);
            weights
                .entry(cost.keyword())
                .or_default()
                .push((name, value));
        }
    }
    weights
}

/// The rows of a batch that belong to each case.
struct Cases {
    rows: Vec<(CaseKind, Vec<usize>)>,
}

impl Cases {
    fn new(model: &Model, batch: &Arrays) -> Result<Self> {
        let given = model.read_variables();
        let first = given.iter().find(|variable| variable.role == Role::Data);
        let first = first.ok_or_else(|| Error::data("the model has no data variable"))?;
        let count = batch
            .get(&first.name)
            .map(|array| array.shape.first().copied().unwrap_or(0));
        let count = count.ok_or_else(|| lacking(batch, &first.name, "batch"))?;
        let observed = given
            .iter()
            .filter(|variable| variable.role.is_always_observed());
        for &variable in observed {
            let place = format!("batch: `{}`", variable.name);
            let array = batch
                .get(&variable.name)
                .ok_or_else(|| lacking(batch, &variable.name, "batch"))?;
            if variable.domain == Domain::Class {
                check_classes(variable, &array.data, &place)?;
            } else {
                let values: Vec<f32> = array.data.iter().map(|&value| value as f32).collect();
                check_values(variable, 0, values.iter().copied(), &place)?;
            }
        }
        let labels: Vec<_> = model
            .variables
            .iter()
            .filter(|variable| variable.role == Role::Label)
            .collect();
        if labels.is_empty() {
            return Ok(Cases {
                rows: vec![(CaseKind::All, (0..count).collect())],
            });
        }
        let (labelled, unlabelled) = split_by_labels(&labels, batch, count)?;
        Ok(Cases {
            rows: vec![
                (CaseKind::Labelled, labelled),
                (CaseKind::Unlabelled, unlabelled),
            ],
        })
    }

    /// The values of a variable on the rows of a case.
    fn input(&self, graph: &Graph, batch: &Arrays, node: Node, name: &str) -> Result<Vec<f64>> {
        let Some(InputName::Observed(case, variable)) = InputName::parse(name) else {
            unreachable!("other inputs have their values already")
        };
        let (_, rows) = self
            .rows
            .iter()
            .find(|(kind, _)| *kind == case)
            .expect("inputs are of known cases");
        let features = graph
            .axes_of(node)
            .iter()
            .find(|&axis| graph.axis(axis).kind == AxisKind::Feature);
        let width = features.map_or(1, |axis| graph.axis(axis).size);
        let array = batch
            .get(&variable)
            .ok_or_else(|| lacking(batch, &variable, "batch"))?;
        let count = self.rows.iter().map(|(_, rows)| rows.len()).sum::<usize>();
        if array.data.len() != count * width || array.shape.first() != Some(&count) {
            let message = format!(
                "batch: expected `{variable}` with {count} rows of {width}, found the shape {:?}",
                array.shape
            );
            return Err(
                Error::data(message).help("give all arrays of the batch the same number of rows")
            );
        }
        Ok(rows
            .iter()
            .flat_map(|row| array.data[row * width..(row + 1) * width].iter().copied())
            .collect())
    }
}

/// The labelled rows and the unlabelled rows.
///
/// # Errors
/// If a row lacks a label that is not declared `with missing` but has others, or a label is invalid.
fn split_by_labels(
    labels: &[&Variable],
    batch: &Arrays,
    count: usize,
) -> Result<(Vec<usize>, Vec<usize>)> {
    let (mut labelled, mut unlabelled) = (Vec::new(), Vec::new());
    let known: Vec<Vec<bool>> = labels
        .iter()
        .map(|label| known_rows(label, batch, count))
        .collect::<Result<_>>()?;
    for row in 0..count {
        let has = |known: &Vec<bool>| known[row];
        let mut required = labels
            .iter()
            .zip(&known)
            .filter(|(label, _)| !label.missing);
        match (known.iter().any(has), required.all(|(_, known)| has(known))) {
            (false, _) => unlabelled.push(row),
            (true, true) => labelled.push(row),
            (true, false) => {
                let message = format!("batch: row {row}: expected all labels or none, found some");
                return Err(Error::data(message).help(
                    "set all labels of the row or none, or declare those that rows may lack \
                     `with missing`",
                ));
            }
        }
    }
    Ok((labelled, unlabelled))
}

/// The rows that have a label.
fn known_rows(label: &Variable, batch: &Arrays, count: usize) -> Result<Vec<bool>> {
    let place = format!("batch: `{}`", label.name);
    if label.is_class() {
        let values = find(batch, &label.name, &[count], "batch")?;
        let classes = check_classes(label, &values, &place)?;
        return Ok(classes.iter().map(|&class| class >= 0).collect());
    }
    let array = batch
        .get(&label.name)
        .ok_or_else(|| lacking(batch, &label.name, "batch"))?;
    let values: Vec<f32> = array.data.iter().map(|&value| value as f32).collect();
    check_values(label, 0, values.iter().copied(), &place)?;
    let rows = values.chunks(label.size());
    Ok(rows
        .map(|row| row.iter().all(|value| !value.is_nan()))
        .collect())
}

fn lacking(arrays: &Arrays, name: &str, what: &str) -> Error {
    let error = Error::data(format!("{what}: expected an array `{name}`, found none"));
    match suggest(name, arrays.keys().map(String::as_str)) {
        Some(help) => error.help(help),
        None => error,
    }
}

fn find(arrays: &Arrays, name: &str, shape: &[usize], what: &str) -> Result<Vec<f64>> {
    let array = arrays
        .get(name)
        .ok_or_else(|| lacking(arrays, name, what))?;
    if array.shape != shape {
        let message = format!("{what}: unexpected shape {:?} of `{name}`", array.shape);
        return Err(Error::data(message).help(format!("expected {shape:?}")));
    }
    array.check_len(what)?;
    if let Some(at) = array.data.iter().position(|value| !value.is_finite()) {
        let message = format!("{what}: element {at} of `{name}` is {}", array.data[at]);
        return Err(Error::data(message).help("expected finite numbers"));
    }
    Ok(array.data.clone())
}

/// Reorders noise from the file's axes (sample, row, classes, feature) to the graph's axes (row,
/// sample, classes, feature).
fn given_noise(graph: &Graph, noise: &Arrays, node: Node, name: &str) -> Result<Vec<f64>> {
    let mut axes: Vec<Id<Axis>> = graph.axes_of(node).iter().collect();
    axes.sort_by_key(|&axis| (graph.axis(axis).kind, axis));
    let sizes = |kind: AxisKind| -> Vec<usize> {
        let axes = axes.iter().map(|&axis| graph.axis(axis));
        axes.filter(|axis| axis.kind == kind)
            .map(|axis| axis.size)
            .collect()
    };
    let (rows, samples) = (
        sizes(AxisKind::Row).iter().product(),
        sizes(AxisKind::Sample).iter().product(),
    );
    let shape = [
        vec![samples, rows],
        sizes(AxisKind::Class),
        sizes(AxisKind::Feature),
    ]
    .concat();
    let data = find(noise, name, &shape, "noise")?;
    let inner: usize = shape[2..].iter().product();
    let mut ordered = Vec::with_capacity(data.len());
    for row in 0..rows {
        for sample in 0..samples {
            let start = (sample * rows + row) * inner;
            ordered.extend_from_slice(&data[start..start + inner]);
        }
    }
    Ok(ordered)
}
