//! The builder of graphs, with the settings of a pass.
//!
//! A pass runs the networks once: on the rows of a case, on the same rows without noise, or on
//! pseudo-inputs. The fields of [`Builder`] are its settings. They are never changed and restored.
//! Instead, a pass with other settings is a child ([`Builder::child`]), which borrows the graph until it
//! goes out of scope.

use super::{Mode, row_noise};
use crate::{
    id::Id,
    layer::Context,
    model::Variable,
    names::CaseKind,
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, Parameter, Start, Window},
};
use std::collections::BTreeMap;

/// The next values of running averages, by the parameter's name.
pub(super) type RunningAverages = BTreeMap<String, Node>;

/// What a pass does to the running averages, if batch norm uses the statistics of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Averages {
    /// Leaves them unchanged.
    Kept,
    /// Updates each from the value that the pass before left.
    Moved,
    /// Updates each from its value at the start of the step, ignoring earlier passes. The clean pass
    /// does so, because evaluation repeats it.
    MovedFromStored,
}

/// The rows of a pass: those of one case, or those of several cases one after another.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    /// The axis of all rows.
    pub axis: Id<Axis>,
    /// The cases, in the order of their rows.
    pub parts: Vec<RowsOfCase>,
}

/// The rows of one case among those of a pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowsOfCase {
    /// The case.
    pub case: CaseKind,
    /// The axis of the case's rows.
    pub axis: Id<Axis>,
    /// The place of the first of them among all rows.
    start: usize,
}

impl Rows {
    /// `rows` rows of one case.
    fn of_case(graph: &mut Graph, case: CaseKind, rows: usize) -> Self {
        let axis = graph.new_axis(row_axis(case.word(), rows));
        let start = 0;
        Rows {
            axis,
            parts: vec![RowsOfCase { case, axis, start }],
        }
    }

    /// The rows of several cases, with the number of rows of each.
    pub fn joint(graph: &mut Graph, cases: &[(CaseKind, usize)]) -> Self {
        let total = cases.iter().map(|(_, rows)| rows).sum();
        let axis = graph.new_axis(row_axis("joint", total));
        let mut start = 0;
        let parts = cases.iter().map(|&(case, rows)| {
            let part = RowsOfCase {
                case,
                axis: graph.new_axis(row_axis(case.word(), rows)),
                start,
            };
            start += rows;
            part
        });
        let parts = parts.collect();
        Rows { axis, parts }
    }

    /// The value with the rows of all cases, from a value for each case. `value` may use the axis of
    /// the case's rows, and no other axis of rows.
    pub fn join(
        &self,
        graph: &mut Graph,
        mut value: impl FnMut(&mut Graph, &RowsOfCase) -> Node,
    ) -> Node {
        if let [part] = self.parts.as_slice() {
            return value(graph, part);
        }
        let mut placed = Vec::new();
        for part in &self.parts {
            let value = value(graph, part);
            // The place among the case's rows; rows of other cases name none, and read 0.
            let window = Window {
                axis: part.axis,
                terms: vec![(self.axis, 1)],
                offset: -(part.start as isize),
                divisor: 1,
            };
            placed.push(graph.window(value, &window));
        }
        graph.total(placed)
    }

    /// The rows of a case of a value with the rows of all cases.
    pub fn part(&self, graph: &mut Graph, value: Node, case: CaseKind) -> Node {
        let part = self.parts.iter().find(|part| part.case == case);
        let part = part.expect("the case is among those of the rows");
        if part.axis == self.axis {
            return value;
        }
        let window = Window {
            axis: self.axis,
            terms: vec![(part.axis, 1)],
            offset: part.start as isize,
            divisor: 1,
        };
        graph.window(value, &window)
    }

    /// The cases, for origins and messages: `labelled and unlabelled`.
    pub fn words(&self) -> String {
        let words: Vec<&str> = self.parts.iter().map(|part| part.case.word()).collect();
        words.join(" and ")
    }
}

/// The graph and the settings of one pass.
pub(super) struct Builder<'g> {
    /// The graph that every pass adds to.
    pub graph: &'g mut Graph,
    /// The next values of the running averages.
    pub running: &'g mut RunningAverages,
    /// How networks run.
    pub mode: Mode,
    /// What happens to the running averages.
    pub averages: Averages,
    /// The rows that are read.
    pub rows: Rows,
    /// The prefix of the names of noise and origins, if it is not the case: `p.z.pseudo`.
    pub label: Option<String>,
    /// The prefix of the names of parameters: `from.z.` within a model that infers `z` for another,
    /// else nothing.
    pub scope: String,
    /// The number of joint samples.
    pub samples: usize,
    /// The axis of the samples, once a draw has added it. None if there is one sample.
    pub sample: Option<Id<Axis>>,
}

/// A graph for the passes of [`Builder`].
pub(super) fn empty_graph() -> Graph {
    let mut graph = Graph::new();
    // No pass uses axis 0. It keeps the numbers of axes equal to those in stored plans.
    graph.new_axis(row_axis("none", 1));
    graph
}

fn row_axis(case: &str, size: usize) -> Axis {
    Axis {
        name: format!("{case}.row"),
        size,
        kind: AxisKind::Row,
    }
}

impl<'g> Builder<'g> {
    /// A pass over `rows` rows of a case that does not update the running averages.
    pub(super) fn new(
        graph: &'g mut Graph,
        running: &'g mut RunningAverages,
        mode: Mode,
        samples: usize,
        case: CaseKind,
        rows: usize,
    ) -> Self {
        let rows = Rows::of_case(graph, case, rows);
        Builder {
            graph,
            running,
            mode,
            averages: Averages::Kept,
            rows,
            label: None,
            scope: String::new(),
            samples,
            sample: None,
        }
    }

    /// A pass on the same graph with the same settings, which the caller may change.
    pub(super) fn child(&mut self) -> Builder<'_> {
        Builder {
            graph: &mut *self.graph,
            running: &mut *self.running,
            mode: self.mode,
            averages: self.averages,
            rows: self.rows.clone(),
            label: self.label.clone(),
            scope: self.scope.clone(),
            samples: self.samples,
            sample: self.sample,
        }
    }

    /// The axis of the rows.
    pub(super) fn row(&self) -> Id<Axis> {
        self.rows.axis
    }

    /// The prefix of the names of origins: the cases, or the pass.
    pub(super) fn label_text(&self) -> String {
        self.label.clone().unwrap_or_else(|| self.rows.words())
    }

    /// The context of a layer whose parameters are named `PREFIX.NAME`.
    pub(super) fn layer(&mut self, prefix: impl Into<String>) -> LayerContext<'_, 'g> {
        LayerContext {
            builder: self,
            prefix: prefix.into(),
        }
    }

    /// The feature axis of a declared variable. `Case::feature_axis` also finds that of a network's
    /// output.
    pub(super) fn feature_axis(&mut self, variable: &Variable) -> Id<Axis> {
        self.variable_axis(variable, AxisKind::Feature)
    }

    /// The class axis of a variable that is summed over.
    pub(super) fn class_axis(&mut self, variable: &Variable) -> Id<Axis> {
        self.variable_axis(variable, AxisKind::Class)
    }

    fn variable_axis(&mut self, variable: &Variable, kind: AxisKind) -> Id<Axis> {
        self.graph.new_axis(Axis {
            name: variable.name.clone(),
            size: variable.size(),
            kind,
        })
    }

    /// The axis of the joint samples.
    pub(super) fn sample_axis(&mut self) -> Id<Axis> {
        self.graph.new_axis(Axis {
            name: "sample".to_string(),
            size: self.samples,
            kind: AxisKind::Sample,
        })
    }

    /// The row, sample and class axes of a value.
    pub(super) fn batch_axes(&self, node: Node) -> Axes {
        self.graph
            .axes_of(node)
            .iter()
            .filter(|&axis| self.graph.axis(axis).kind.is_batch())
            .collect()
    }

    /// Noise of this pass, named `CASE.NAME` for the rows of a case, else `LABEL.NAME`.
    pub(super) fn noise(&mut self, name: &str, kind: NoiseKind, axes: Axes) -> Node {
        if let Some(label) = &self.label {
            return self.graph.noise(&format!("{label}.{name}"), kind, axes);
        }
        let (row, sample) = (self.rows.axis, self.sample);
        let is_keyed = self.mode.keyed;
        self.rows.join(self.graph, |graph, part| {
            let name = format!("{}.{name}", part.case);
            if !axes.contains(row) {
                return graph.noise(&name, kind, axes.clone());
            }
            let axes = axes.without(row).with(part.axis);
            match is_keyed {
                true => row_noise::noise(graph, &name, kind, &axes, part.axis, sample),
                false => graph.noise(&name, kind, axes),
            }
        })
    }
}

/// The context of a layer, whose parameters are named `PREFIX.NAME`.
pub(super) struct LayerContext<'b, 'g> {
    builder: &'b mut Builder<'g>,
    /// Such as `q.z.dense1`.
    prefix: String,
}

impl Context for LayerContext<'_, '_> {
    fn graph(&mut self) -> &mut Graph {
        self.builder.graph
    }

    fn parameter(&mut self, name: &str, axes: &[Id<Axis>], start: Start) -> Node {
        // Training does not change the parameters of another model.
        let trained = self.builder.scope.is_empty();
        let parameter = self.builder.graph.declare(Parameter {
            name: format!("{}.{name}", self.prefix),
            axes: axes.to_vec(),
            start,
            trained,
        });
        self.builder.graph.read(parameter)
    }

    fn running_average(
        &mut self,
        name: &str,
        axes: &[Id<Axis>],
        start: f64,
        observed: Node,
        momentum: f64,
    ) -> Node {
        let name = format!("{}.{name}", self.prefix);
        let graph = &mut *self.builder.graph;
        let parameter = graph.declare(Parameter {
            name: name.clone(),
            axes: axes.to_vec(),
            start: Start::Constant(start),
            trained: false,
        });
        let stored = graph.read(parameter);
        let moved = self.builder.running.get(&name).copied();
        let current = match self.builder.averages {
            _ if !self.builder.mode.batch_statistics => return stored,
            Averages::Kept => return stored,
            Averages::Moved => moved.unwrap_or(stored),
            Averages::MovedFromStored => stored,
        };
        let kept = graph.scale(current, 1.0 - momentum);
        let moved = graph.scale(observed, momentum);
        let next = graph.add(kept, moved);
        let next = graph.stop_gradient(next);
        self.builder.running.insert(name, next);
        stored
    }

    fn new_axis(&mut self, name: &str, size: usize, kind: AxisKind) -> Id<Axis> {
        let dot = if name.is_empty() { "" } else { "." };
        let name = format!("{}{dot}{name}", self.prefix);
        self.builder.graph.new_axis(Axis { name, size, kind })
    }

    fn noise(&mut self, part: &str, kind: NoiseKind, like: Node) -> Node {
        let dot = if part.is_empty() { "" } else { "." };
        let name = format!("{}{dot}{part}", self.prefix);
        let axes = self.builder.graph.axes_of(like).clone();
        self.builder.noise(&name, kind, axes)
    }

    fn batch_statistics(&self) -> bool {
        self.builder.mode.batch_statistics
    }

    fn noisy(&self) -> bool {
        self.builder.mode.noisy
    }
}
