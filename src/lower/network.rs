//! Networks, expanded: the layers of a factor and the heads on top.

use super::case::{Averages, Lowering};
use crate::{
    distribution::{Distribution, Domain, LOG_BOUND},
    id::Id,
    layer::{self, Context, Part},
    model::{Factor, Head, LayerUse, Network, Role, Variable},
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, Parameter, Scalar, Start},
};

/// A layer's view of the lowering: its parameters are called `PREFIX.NAME`.
pub(super) struct Scope<'a, 'm> {
    pub lowering: &'a mut Lowering<'m>,
    /// `q.z.dense1`.
    pub prefix: String,
}

impl Context for Scope<'_, '_> {
    fn graph(&mut self) -> &mut Graph {
        &mut self.lowering.graph
    }

    fn parameter(&mut self, name: &str, axes: &[Id<Axis>], start: Start) -> Node {
        let name = format!("{}.{name}", self.prefix);
        let trained = self.lowering.scope.is_empty();
        let parameter = self.lowering.graph.declare(Parameter {
            name,
            axes: axes.to_vec(),
            start,
            trained,
        });
        self.lowering.graph.read(parameter)
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
        let graph = &mut self.lowering.graph;
        let parameter = graph.declare(Parameter {
            name: name.clone(),
            axes: axes.to_vec(),
            start: Start::Constant(start),
            trained: false,
        });
        let stored = graph.read(parameter);
        if self.lowering.mode.batch_statistics && self.lowering.averages != Averages::Kept {
            let moved = self
                .lowering
                .running
                .get(&name)
                .filter(|_| self.lowering.averages == Averages::Moved);
            let current = moved.copied().unwrap_or(stored);
            let kept = graph.scale(current, 1.0 - momentum);
            let moved = graph.scale(observed, momentum);
            let next = graph.add(kept, moved);
            let next = graph.stop_gradient(next);
            self.lowering.running.insert(name, next);
        }
        stored
    }

    fn new_axis(&mut self, name: &str, size: usize, kind: AxisKind) -> Id<Axis> {
        let dot = if name.is_empty() { "" } else { "." };
        let name = format!("{}{dot}{name}", self.prefix);
        self.lowering.graph.new_axis(Axis { name, size, kind })
    }

    fn noise(&mut self, part: &str, kind: NoiseKind, like: Node) -> Node {
        let part = if part.is_empty() {
            String::new()
        } else {
            format!(".{part}")
        };
        let name = format!("{}.{}{part}", self.lowering.noise, self.prefix);
        let axes = self.lowering.graph.axes_of(like).clone();
        self.lowering.graph.noise(&name, kind, axes)
    }

    fn batch_statistics(&self) -> bool {
        self.lowering.mode.batch_statistics
    }

    fn noisy(&self) -> bool {
        self.lowering.mode.noisy
    }
}

impl Lowering<'_> {
    /// The network's output: one part, or the parents themselves if it has no layer that joins
    /// them.
    pub(super) fn network(
        &mut self,
        prefix: &str,
        parents: &[Id<Variable>],
        network: &Network,
    ) -> Vec<Part> {
        let mut parts: Vec<Part> = parents.iter().map(|&parent| self.part(parent)).collect();
        self.layers(prefix, &network.layers, &mut parts);
        parts
    }

    /// A variable as a network reads it.
    pub(super) fn part(&mut self, variable: Id<Variable>) -> Part {
        let (value, axis) = (self.value(variable), self.feature_axis(variable));
        let declared = &self.model.variables[variable.index()];
        Part::of_variable(&declared.name, value, axis, &declared.shape)
    }

    pub(super) fn layers(&mut self, prefix: &str, layers: &[LayerUse], parts: &mut Vec<Part>) {
        for layer in layers {
            if !layer.inner.is_empty() {
                self.residual(prefix, layer, parts);
                continue;
            }
            let mut scope = Scope {
                prefix: format!("{prefix}.{}", layer.name),
                lowering: self,
            };
            if layer.layer.joins() {
                *parts = vec![layer.layer.forward(&mut scope, &layer.arguments, parts)];
                continue;
            }
            // Before the parents are joined, a layer acts on each of them.
            for part in parts.iter_mut() {
                let made =
                    layer
                        .layer
                        .forward(&mut scope, &layer.arguments, std::slice::from_ref(part));
                *part = Part {
                    name: std::mem::take(&mut part.name),
                    ..made
                };
            }
        }
    }

    /// A residual block: its input is added to what its layers make of it.
    fn residual(&mut self, prefix: &str, block: &LayerUse, parts: &mut Vec<Part>) {
        let before = parts.clone();
        self.layers(prefix, &block.inner, parts);
        for (part, mut before) in parts.iter_mut().zip(before) {
            if part.axes.len() != before.axes.len() {
                let mut scope = Scope {
                    prefix: prefix.to_string(),
                    lowering: self,
                };
                (*part, before) = (
                    layer::image(&mut scope, part),
                    layer::image(&mut scope, &before),
                );
            }
            // The block's output has features of its own; they are named as the input's to be added
            // to it.
            let inner = part.dense(&mut self.graph);
            let axes = part.axes.iter().zip(&before.axes);
            let inner = axes.fold(inner, |inner, (own, outer)| {
                self.graph.rename(inner, *own, *outer)
            });
            let outer = before.dense(&mut self.graph);
            *part = before.with(self.graph.add(outer, inner));
        }
    }

    /// The heads of a factor's distribution, each a linear layer on the network.
    pub(super) fn heads(
        &mut self,
        factor: &Factor,
        distribution: &dyn Distribution,
        network: &Network,
    ) -> Vec<Node> {
        let prefix = self.factor_name(factor);
        let parts = self.network(&prefix, &factor.parents, network);
        distribution
            .heads()
            .iter()
            .map(|head| self.linear_head(factor, head, &parts))
            .collect()
    }

    /// Heads that are given by name.
    pub(super) fn each_head(
        &mut self,
        factor: &Factor,
        distribution: &dyn Distribution,
        heads: &[Head],
    ) -> Vec<Node> {
        let one = |(name, head): (&&str, &Head)| match head {
            Head::Number(number) => self.graph.constant(*number),
            Head::Constant => self.linear_head(factor, name, &[]),
            Head::Linear => {
                let parts = self.network("", &factor.parents, &Network::default());
                self.linear_head(factor, name, &parts)
            }
            Head::Network(network) => {
                let prefix = format!("{}.{name}", self.factor_name(factor));
                let parts = self.network(&prefix, &factor.parents, network);
                let [part] = parts.as_slice() else {
                    panic!("check wants a head's network to join its parents")
                };
                let part = layer::flat(
                    &mut Scope {
                        prefix,
                        lowering: self,
                    },
                    part,
                );
                let (value, out) = (part.dense(&mut self.graph), self.feature_axis(factor.child));
                let value = self.graph.rename(value, part.axes[0], out);
                self.held(name, value)
            }
        };
        distribution.heads().iter().zip(heads).map(one).collect()
    }

    fn linear_head(&mut self, factor: &Factor, head: &str, parts: &[Part]) -> Node {
        let out = self.feature_axis(factor.child);
        let variable = &self.model.variables[factor.child.index()];
        let latent = variable.role == Role::Latent && variable.domain != Domain::Class;
        let shape = layer::features(&variable.shape);
        let mut scope = Scope {
            prefix: format!("{}.{head}", self.factor_name(factor)),
            lowering: self,
        };
        let start = |inputs, outputs| match latent {
            true => Start::LatentHeadWeight { inputs, outputs },
            false => Start::DataHeadWeight { inputs, outputs },
        };
        let bias = if latent {
            Start::LatentHeadBias
        } else {
            Start::Bias
        };
        let value = match layer::matches(parts, &shape) {
            true => layer::pointwise(&mut scope, &parts[0], (out, &shape), &start, bias),
            false => layer::linear(&mut scope, parts, out, &start, bias),
        };
        self.held(head, value)
    }

    /// A head within its bounds. What is no number stays so.
    pub(super) fn held(&mut self, head: &str, value: Node) -> Node {
        if !head.starts_with("log_") {
            return value;
        }
        // One comparison, since it is kept for the gradient.
        let (size, bound) = (
            self.graph.scalar(Scalar::Abs, &[value]),
            self.graph.constant(LOG_BOUND),
        );
        let beyond = self.graph.scalar(Scalar::Greater, &[size, bound]);
        let sign = self.graph.scalar(Scalar::Sign, &[value]);
        let edge = self.graph.scale(sign, LOG_BOUND);
        self.graph.scalar(Scalar::Select, &[beyond, edge, value])
    }

    /// `q.z`.
    pub(super) fn factor_name(&self, factor: &Factor) -> String {
        format!(
            "{}{}.{}",
            self.scope,
            factor.side.letter(),
            self.model.variables[factor.child.index()].name
        )
    }

    /// The axes of every row, sample and class of this case.
    pub(super) fn batch_axes(&self, node: Node) -> Axes {
        self.graph
            .axes_of(node)
            .iter()
            .filter(|&axis| self.graph.axis(axis).kind.is_batch())
            .collect()
    }
}
