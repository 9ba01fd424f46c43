//! The program of the optimiser, a graph over two flat axes: the weights, which priors and decay apply
//! to, and the other parameters.

use crate::{
    id::Id,
    model::Model,
    names::{OutputName, PRIOR, ParameterGroup, RATE, STEP, UpdateArray},
    optimizer::Update,
    tensor::{Axes, Axis, AxisKind, Graph, Node, OutputKind, Parameter, Scalar, Start},
};

/// Reads parameters `weights` and `others` and their optimiser state `weights.STATE`, inputs
/// `weights.gradient`, `rate`, `step` and, if there is a prior on weights, `prior`, its precision
/// per training row; writes the next values, and the output `gradient_norm` before clipping.
pub fn update(model: &Model, weights: usize, others: usize) -> Graph {
    let mut graph = Graph::new();
    graph.set_origin(&format!("{} update", model.train.optimizer.name()));
    let groups: Vec<Group> = [
        (ParameterGroup::Weights, weights),
        (ParameterGroup::Others, others),
    ]
    .into_iter()
    .filter(|(_, len)| *len > 0)
    .map(|(group, len)| Group::new(&mut graph, model, group, len))
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
        graph.output(
            OutputKind::Next,
            group.kind.to_string(),
            next,
            vec![group.axis],
        );
        for ((name, _), next) in state.iter().zip(next_state) {
            graph.output(OutputKind::Next, name.clone(), next, vec![group.axis]);
        }
    }
    graph
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
        // As a row axis, the flat axis is split into tiles.
        let axis = graph.new_axis(Axis {
            name: kind.to_string(),
            size: len,
            kind: AxisKind::Row,
        });
        let array = |graph: &mut Graph, name: &UpdateArray| {
            let parameter = graph.declare(Parameter {
                name: name.to_string(),
                axes: vec![axis],
                start: Start::Constant(0.0),
                trained: true,
            });
            graph.read(parameter)
        };
        let value = array(graph, &UpdateArray::Parameters(kind));
        let names = model
            .train
            .optimizer
            .state()
            .iter()
            .map(|state| UpdateArray::State(kind, state.to_string()));
        let state = names
            .map(|name| (name.to_string(), array(graph, &name)))
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
