//! The program of the optimiser, a graph over flat axes: the weights, which priors and decay apply to,
//! the other trained parameters and, for an average of all parameters, those without a gradient.

use crate::{
    id::Id,
    model::Model,
    names::{AVERAGE, OutputName, PRIOR, ParameterGroup, RATE, STEP, UpdateArray},
    optimizer::Update,
    tensor::{Axes, Axis, AxisKind, Graph, Node, OutputKind, Parameter, Scalar, Start},
};

/// A parameter of a smaller magnitude becomes 0 in an update. One that only its prior moves would decay
/// without end, and CPUs take a hundred times as long for products below the least normal number.
const LEAST_PARAMETER: f64 = 1e-18;
/// A smaller number of the optimiser's state becomes 0: the least positive normal number of single
/// precision.
const LEAST_STATE: f64 = f32::MIN_POSITIVE as f64;

/// Reads parameters `weights` and `others` and their optimiser state `weights.STATE`, inputs
/// `weights.gradient`, `rate`, `step` and, if there is a prior on weights, `prior`, its precision
/// per training row; writes the next values, and the output `gradient_norm` before clipping.
///
/// Parameters below 10⁻¹⁸ and states below the least normal number become 0.
///
/// If the parameters are averaged, it also reads the parameters `untrained`, the averages
/// `weights.average` and so on, and the input `average`, [the weight of the new
/// parameters](crate::model::TrainSettings::average_weight); it writes the next averages.
///
/// `len` gives the number of floats in each group.
pub fn update(model: &Model, len: impl Fn(ParameterGroup) -> usize) -> Graph {
    let mut graph = Graph::new();
    graph.set_origin(&format!("{} update", model.train.optimizer.name()));
    let groups: Vec<Group> = [ParameterGroup::Weights, ParameterGroup::Others]
        .into_iter()
        .filter(|group| len(*group) > 0)
        .map(|group| Group::new(&mut graph, model, group, len(group)))
        .collect();
    let squares: Vec<Node> = groups
        .iter()
        .map(|group| {
            let square = graph.square(group.gradient);
            graph.sum(square, &Axes::from(group.axis))
        })
        .collect();
    let squares = graph.total(squares);
    let norm = graph.scalar(Scalar::Sqrt, &[squares]);
    graph.output(
        OutputKind::Value,
        OutputName::GradientNorm,
        norm,
        Vec::new(),
    );
    let (rate, step) = (
        graph.input(RATE, Axes::none()),
        graph.input(STEP, Axes::none()),
    );
    let mut updated = Vec::new();
    for group in groups {
        let gradient = clip(&mut graph, model, group.gradient, norm);
        let state = &group.state;
        let update = Update {
            parameter: group.value,
            gradient,
            state: &state.iter().map(|(_, node)| *node).collect::<Vec<_>>(),
            rate,
            step,
            decays: group.kind == ParameterGroup::Weights,
            arguments: &model.train.optimizer_arguments,
        };
        let (next, next_state) = model.train.optimizer.update(&mut graph, &update);
        let next = flush(&mut graph, next, LEAST_PARAMETER);
        updated.push((group.kind, group.axis, next));
        graph.output(
            OutputKind::Next,
            group.kind.to_string(),
            next,
            vec![group.axis],
        );
        for ((name, _), next) in state.iter().zip(next_state) {
            let next = flush(&mut graph, next, LEAST_STATE);
            graph.output(OutputKind::Next, name.clone(), next, vec![group.axis]);
        }
    }
    if model.train.average.is_some() {
        let untrained = ParameterGroup::Untrained;
        if len(untrained) > 0 {
            let axis = flat_axis(&mut graph, untrained, len(untrained));
            let value = array(&mut graph, &UpdateArray::Parameters(untrained), axis);
            updated.push((untrained, axis, value));
        }
        average(&mut graph, &updated);
    }
    graph
}

/// The value, or 0 where its magnitude is below `least`. NaN stays.
fn flush(graph: &mut Graph, value: Node, least: f64) -> Node {
    let (least, zero) = (graph.constant(least), graph.constant(0.0));
    let size = graph.scalar(Scalar::Abs, &[value]);
    let below = graph.sub(least, size);
    graph.scalar(Scalar::Select, &[below, zero, value])
}

/// Moves the average of the parameters of each group, on its axis, towards their new values. Where
/// both are equal, the average keeps its bits.
fn average(graph: &mut Graph, updated: &[(ParameterGroup, Id<Axis>, Node)]) {
    graph.set_origin("average of parameters");
    let weight = graph.input(AVERAGE, Axes::none());
    for &(group, axis, value) in updated {
        let name = UpdateArray::State(group, AVERAGE.to_string());
        let average = array(graph, &name, axis);
        let difference = graph.sub(value, average);
        let change = graph.mul(weight, difference);
        let next = graph.add(average, change);
        let next = flush(graph, next, LEAST_PARAMETER);
        graph.output(OutputKind::Next, name.to_string(), next, vec![axis]);
    }
}

/// The axis of a group of parameters. As a row axis, it is split into tiles.
fn flat_axis(graph: &mut Graph, group: ParameterGroup, len: usize) -> Id<Axis> {
    graph.new_axis(Axis {
        name: group.to_string(),
        size: len,
        kind: AxisKind::Row,
    })
}

/// An array that the update reads, and may replace.
fn array(graph: &mut Graph, name: &UpdateArray, axis: Id<Axis>) -> Node {
    let parameter = graph.declare(Parameter {
        name: name.to_string(),
        axes: vec![axis],
        start: Start::Constant(0.0),
        trained: true,
    });
    graph.read(parameter)
}

/// Parameters that are updated in the same way.
struct Group {
    kind: ParameterGroup,
    axis: Id<Axis>,
    value: Node,
    gradient: Node,
    state: Vec<(String, Node)>,
}

impl Group {
    fn new(graph: &mut Graph, model: &Model, kind: ParameterGroup, len: usize) -> Self {
        let axis = flat_axis(graph, kind, len);
        let value = array(graph, &UpdateArray::Parameters(kind), axis);
        let names = model
            .train
            .optimizer
            .state()
            .iter()
            .map(|state| UpdateArray::State(kind, state.to_string()));
        let state = names
            .map(|name| (name.to_string(), array(graph, &name, axis)))
            .collect();
        let mut gradient = graph.input(&UpdateArray::Gradients(kind).to_string(), Axes::from(axis));
        if model.train.weight_prior.is_some() && kind == ParameterGroup::Weights {
            // −log N(θ; 0, scale²) per training row has the gradient θ / (scale² rows).
            let prior = graph.input(PRIOR, Axes::none());
            let pull = graph.mul(prior, value);
            gradient = graph.add(gradient, pull);
        }
        Group {
            kind,
            axis,
            value,
            gradient,
            state,
        }
    }
}

/// The gradient, scaled to the greatest total norm, then clamped element by element.
fn clip(graph: &mut Graph, model: &Model, mut gradient: Node, norm: Node) -> Node {
    if let Some(most) = model.train.clip_norm {
        let most = graph.constant(most);
        let larger = graph.scalar(Scalar::Max, &[norm, most]);
        let factor = graph.div(most, larger);
        gradient = graph.mul(gradient, factor);
    }
    if let Some(most) = model.train.clip_value {
        let (least, most) = (graph.constant(-most), graph.constant(most));
        let above = graph.scalar(Scalar::Max, &[gradient, least]);
        gradient = graph.scalar(Scalar::Min, &[above, most]);
    }
    gradient
}
