//! The program of draws from the posterior predictive distribution: the heads of each data variable
//! given latents and classes that are drawn for each row.

use super::{
    Mode,
    builder::{Builder, RunningAverages, empty_graph},
    case::{Cache, Case},
    evaluate::Evaluate,
};
use crate::{
    bound::{self, FactorId},
    distribution::Domain,
    estimator::{greatest, gumbel},
    model::{Model, Role, Side},
    names::OutputName,
    tensor::{Axes, Graph, Node, NoiseKind, OutputKind},
};

/// `what.samples` joint draws of the latents and classes of each row by q, each of them with noise of its
/// own place. For each data variable, the outputs `head.NAME.HEAD` (axes row, sample, feature) are the
/// heads of p given a draw; for a class, `head.NAME.probabilities`. Standardized data have
/// `head.NAME.data.mean` and `head.NAME.data.deviation`: a draw u is the value mean + deviation · u.
pub fn predictive(model: &Model, bounds: &bound::Case, what: Evaluate) -> Graph {
    let (mut graph, mut running) = (empty_graph(), RunningAverages::new());
    let mut cache = Cache::default();
    let builder = Builder::new(
        &mut graph,
        &mut running,
        Mode::GENERATE,
        what.samples,
        bounds.kind,
        what.rows,
    );
    let mut case = Case::begin(model, builder, &bounds.observed, &mut cache);
    case.builder.sample = Some(case.builder.sample_axis());
    case.draw_all();
    for (index, factor) in model.generative.iter().enumerate() {
        let child = case.variable(factor.child);
        if child.role != Role::Data {
            continue;
        }
        let id = FactorId {
            side: Side::Generative,
            index,
        };
        for (head, node) in heads(&mut case, id) {
            let name = OutputName::Head {
                variable: child.name.clone(),
                head,
            };
            let order = [
                Some(case.builder.row()),
                case.builder.sample,
                Some(case.feature_axis(factor.child)),
            ];
            let order: Vec<_> = order.into_iter().flatten().collect();
            // A head may be constant along some of the axes.
            let graph = &mut *case.builder.graph;
            let whole = order.iter().fold(node, |node, axis| {
                if graph.axes_of(node).contains(*axis) {
                    return node;
                }
                let place = graph.iota(*axis);
                let zeros = graph.scale(place, 0.0);
                graph.add(node, zeros)
            });
            graph.output(OutputKind::Value, name, whole, order);
        }
    }
    graph
}

/// The heads of a factor by name, and what takes a standardized value to the units of the data.
fn heads(case: &mut Case, id: FactorId) -> Vec<(String, Node)> {
    let child = id.factor(case.model).child;
    if case.variable(child).domain == Domain::Class {
        return vec![("probabilities".to_string(), case.mean(id))];
    }
    let (distribution, nodes) = case.drawn_heads(id);
    let names = distribution.head_names().into_iter().map(str::to_string);
    let mut heads: Vec<(String, Node)> = names.zip(nodes).collect();
    if let Some(standardization) = case.standardization(child) {
        let graph = &mut *case.builder.graph;
        let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
        let mean = standardization.invert(graph, zero);
        let above = standardization.invert(graph, one);
        let deviation = graph.sub(above, mean);
        // The name of a head may be `mean` too.
        heads.push(("data.mean".to_string(), mean));
        heads.push(("data.deviation".to_string(), deviation));
    }
    heads
}

impl Case<'_, '_> {
    /// Draws every unobserved variable of q, in its order.
    fn draw_all(&mut self) {
        for (child, id) in self.drawn_before(self.model.inference.len()) {
            if self.variable(child).domain == Domain::Class {
                self.draw_class(id);
            } else {
                self.draw(id);
            }
        }
    }

    /// Draws a class by its probabilities.
    fn draw_class(&mut self, id: FactorId) {
        let child = id.factor(self.model).child;
        let (distribution, heads) = self.distribution(id);
        let axis = self.feature_axis(child);
        let logs = distribution
            .log_probabilities(self.builder.graph, &heads, axis)
            .expect("check wants a q over classes");
        let axes = Axes::from([self.builder.row(), axis]);
        let axes: Axes = axes.iter().chain(self.builder.sample).collect();
        let name = &self.variable(child).name;
        let uniform = self.builder.noise(name, NoiseKind::Uniform, axes);
        let graph = &mut *self.builder.graph;
        let noise = gumbel(graph, uniform);
        let perturbed = graph.add(logs, noise);
        let drawn = greatest(graph, perturbed, axis);
        self.set(child, drawn);
    }
}
