//! Functions of rows of numbers, and their gradients, on every engine.

use dgc::{
    backend::{Build, Device, NoiseKey},
    distribution::Distribution,
    driver, gradient,
    id::Id,
    plan::NoiseSource,
    run::session::{Layout, Session},
    tensor::{Axes, Axis, AxisKind, Graph, Node, OutputKind, eval},
};
use std::collections::HashMap;

/// The axes row and feature, of these sizes.
pub fn row_and_feature(graph: &mut Graph, rows: usize, features: usize) -> (Id<Axis>, Id<Axis>) {
    let axis = |name: &str, size, kind| Axis {
        name: name.to_string(),
        size,
        kind,
    };
    (
        graph.new_axis(axis("row", rows, AxisKind::Row)),
        graph.new_axis(axis("feature", features, AxisKind::Feature)),
    )
}

/// A function of a distribution, `log_prob` or `sample`, at several rows of inputs, and its gradient
/// by each of them. Inputs have the axes row, feature.
pub struct Slopes {
    /// `log_prob of normal`.
    pub name: String,
    graph: Graph,
    pub inputs: Vec<(String, Vec<f64>)>,
    pub features: usize,
    /// The inputs that it is differentiated by.
    pub by: Vec<String>,
}

/// The numbers of each output, for each row, or row and feature.
pub type Outputs = HashMap<String, Vec<f64>>;

impl Slopes {
    /// `apply` builds the function of the inputs, with at most the axes row, feature. It is
    /// differentiated by the first `by` inputs.
    pub fn new(
        name: String,
        inputs: Vec<(String, Vec<f64>)>,
        features: usize,
        by: usize,
        apply: impl FnOnce(&mut Graph, &[Node], Id<Axis>) -> Node,
    ) -> Self {
        let mut graph = Graph::new();
        let rows = inputs[0].1.len() / features;
        let (row, feature) = row_and_feature(&mut graph, rows, features);
        let nodes: Vec<Node> = inputs
            .iter()
            .map(|(name, _)| graph.input(name, Axes::from([row, feature])))
            .collect();
        let result = apply(&mut graph, &nodes, feature);
        // A result that does not depend on the row has its sum over the rows all the same.
        let axes = graph.axes_of(result).clone();
        let of_rows = graph.sum(result, &axes.minus(&Axes::from(row)));
        let axes = graph.axes_of(of_rows).clone();
        let total = graph.sum(of_rows, &axes);
        let slopes = gradient::reverse(&mut graph, total, &nodes[..by]);
        let mut output = |name: &str, node| {
            // A gradient may lack axes along which it is constant.
            let zero = graph.scale(nodes[0], 0.0);
            let whole = graph.add(node, zero);
            graph.output(OutputKind::Value, name, whole, vec![row, feature]);
        };
        output("result", of_rows);
        for ((name, _), slope) in inputs.iter().zip(slopes) {
            output(&format!("slope of {name}"), slope);
        }
        let by = inputs[..by].iter().map(|(name, _)| name.clone()).collect();
        Slopes {
            by,
            name,
            graph,
            inputs,
            features,
        }
    }

    /// The inputs of the row that has the number `at` of an output: `at log_rate 2, value 7`.
    pub fn place(&self, at: usize) -> String {
        let first = at / self.features * self.features;
        let inputs = self.inputs.iter().map(|(name, numbers)| {
            let numbers = &numbers[first..first + self.features];
            match numbers {
                [number] => format!("{name} {number:e}"),
                _ => format!("{name} {numbers:?}"),
            }
        });
        format!("at {}", inputs.collect::<Vec<_>>().join(", "))
    }

    /// The outputs in double precision, with `step` added to one feature of one input.
    pub fn interpreted(&self, input: usize, feature: usize, step: f64) -> Outputs {
        let mut values: HashMap<String, Vec<f64>> = self.inputs.iter().cloned().collect();
        let moved = values.get_mut(&self.inputs[input].0).expect("an input");
        for numbers in moved.chunks_mut(self.features) {
            numbers[feature] += step;
        }
        let outputs = eval::run(&self.graph, &values, None).expect("values for everything");
        let named = outputs
            .into_iter()
            .map(|(_, name, array)| (name, array.data));
        named.collect()
    }

    /// The outputs on a device, in single precision.
    pub fn on(&self, device: &Device) -> Outputs {
        let plan = driver::plan(&self.graph, NoiseSource::Given).expect("a plan");
        let layout = Layout::new(&self.graph.parameters, &self.graph.axes);
        let mut session = Session::new(layout, device).expect("a device");
        let loaded = session
            .load(&Build::new("slopes", plan), &|_| None)
            .expect("it loads");
        for (name, numbers) in &self.inputs {
            let mut fill = |array: &mut [f32]| {
                let pairs = array.iter_mut().zip(numbers);
                pairs.for_each(|(to, from)| *to = *from as f32);
            };
            // The plan lacks an input that the function does not read.
            if session.array(&loaded, name).is_some() {
                session.fill(&loaded, name, &mut fill).expect("an input");
            }
        }
        let key = NoiseKey { seed: 0, step: 0 };
        session.run(&loaded, key).expect("it runs");
        let outputs = self.graph.outputs.iter().map(|output| {
            let name = output.name.to_string();
            let floats = session.read(&loaded, &name).expect("it is read");
            let floats = floats.expect("an output");
            (name, floats.iter().map(|&x| f64::from(x)).collect())
        });
        outputs.collect()
    }
}

/// The heads of a distribution, and its shared parameters, of the inputs of a function. The input of a
/// class variable has a number for each of four classes: its logits, or for `ordinal` the location, the
/// first threshold and the increments.
pub fn heads(
    distribution: &dyn Distribution,
    graph: &mut Graph,
    inputs: &[Node],
    feature: Id<Axis>,
) -> Vec<Node> {
    let shared = distribution.shared(graph.axis(feature).size);
    if shared.is_empty() {
        return inputs.to_vec();
    }
    let &[vector] = inputs else {
        panic!("one input has all numbers")
    };
    let mut place = 0;
    let mut part = |graph: &mut Graph, size| {
        let axis = graph.new_axis(Axis {
            name: format!("part_{place}"),
            size,
            kind: AxisKind::Feature,
        });
        let index = graph.iota(axis);
        let index = graph.shift(index, place as f64);
        let chosen = graph.one_hot(index, feature);
        place += size;
        (graph.contract(vector, chosen, &Axes::from(feature)), axis)
    };
    let (location, axis) = part(graph, 1);
    let mut heads = vec![graph.sum(location, &Axes::from(axis))];
    heads.extend(shared.iter().map(|shared| part(graph, shared.size).0));
    heads
}

/// Every row of a table with these columns: each number of one with each of the others.
pub fn combinations(columns: &[&[f64]]) -> Vec<Vec<f64>> {
    columns.iter().fold(vec![Vec::new()], |rows, column| {
        let longer = |row: &Vec<f64>| {
            let row = row.clone();
            column.iter().map(move |&x| [&row[..], &[x]].concat())
        };
        rows.iter().flat_map(longer).collect()
    })
}

/// The inputs of a table's columns, by name, with each number repeated for `features`.
pub fn named_columns(
    names: &[String],
    rows: &[Vec<f64>],
    feature: impl Fn(f64) -> Vec<f64>,
) -> Vec<(String, Vec<f64>)> {
    let columns = names.iter().enumerate().map(|(column, name)| {
        let numbers = rows.iter().flat_map(|row| feature(row[column]));
        (name.clone(), numbers.collect())
    });
    columns.collect()
}
