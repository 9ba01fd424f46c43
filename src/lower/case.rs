//! The variables and factors of a case: their values, heads and densities.

use super::{
    Mode,
    builder::{Averages, Builder},
    joint::Joint,
    mixture::{self, Weights},
    network::{self, clamp_head, linear_head},
};
use crate::{
    bound::{self, FactorId},
    distribution::{Distribution, Domain, HeadExtent, HeadSpec},
    id::Id,
    layer::{self, Part, Value},
    model::{
        Components, Factor, FactorKind, Head, Heads, Mixture, Model, Network, Probabilities, Role,
        Side, Upstream, Variable, scope,
    },
    names::{InputName, log_deviation_name, log_frequency_name, mean_name},
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, Op, Parameter, Scalar, Start},
};
use std::collections::BTreeMap;

/// The values and heads that a pass has lowered, so that each is lowered once.
#[derive(Clone, Debug, Default)]
pub(super) struct Cache {
    values: BTreeMap<Id<Variable>, Value>,
    /// For each observed variable with missing values, 1 where a value is observed, else 0: axes row
    /// and feature, or row for a class.
    masks: BTreeMap<Id<Variable>, Node>,
    /// The labels that some rows have.
    known: BTreeMap<Id<Variable>, Known>,
    heads: BTreeMap<FactorId, Vec<Node>>,
    /// The last draw from each factor of q.
    draws: BTreeMap<FactorId, Draw>,
}

/// A reparametrised draw: what it was computed from, and its value.
#[derive(Clone, Debug)]
struct Draw {
    heads: Vec<Node>,
    noise: Node,
    value: Node,
}

/// A label that some rows have and others lack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The value where it is known (axes row and feature); a class is one-hot, and 0 in rows without
    /// it.
    pub value: Node,
    /// 1 in rows that have the label, else 0 (axes row).
    pub is_known: Node,
}

/// A case of a model in a pass.
pub(super) struct Case<'m, 'g> {
    pub model: &'m Model,
    pub builder: Builder<'g>,
    observed: &'g [Id<Variable>],
    cache: &'g mut Cache,
    /// The networks that this case shares with others.
    pub joint: Option<&'g Joint>,
    /// log q of the classes that are drawn outside the log of a mean of weights. `choice::log_mean_exp`
    /// adds a score-function gradient for each.
    pub scores: Vec<Node>,
}

/// The mean and the logarithm of the deviation of each feature of a variable (axes feature), over the
/// training rows.
pub(super) struct Standardization {
    mean: Node,
    log_deviation: Node,
    features: Id<Axis>,
}

impl Standardization {
    /// (x − mean) / deviation.
    fn apply(&self, graph: &mut Graph, value: Node) -> Node {
        let centred = graph.sub(value, self.mean);
        let log = graph.neg(self.log_deviation);
        let scale = graph.exp(log);
        graph.mul(centred, scale)
    }

    /// The value in the units of the data: mean + deviation · value.
    pub fn invert(&self, graph: &mut Graph, value: Node) -> Node {
        let scaled = self.scale(graph, value);
        graph.add(self.mean, scaled)
    }

    /// A standard deviation in the units of the data: deviation · value.
    pub fn scale(&self, graph: &mut Graph, value: Node) -> Node {
        let deviation = graph.exp(self.log_deviation);
        graph.mul(deviation, value)
    }

    /// The log-density of the data from that of the standardized value: log p(x) = log p(u) − Σ log
    /// deviation over the observed features, by the change of variables u = (x − mean) / deviation.
    fn in_data(&self, graph: &mut Graph, log_density: Node, mask: Option<Node>) -> Node {
        let axis = Axes::from(self.features);
        let logs = match mask {
            Some(mask) => graph.contract(mask, self.log_deviation, &axis),
            None => graph.sum(self.log_deviation, &axis),
        };
        graph.sub(log_density, logs)
    }
}

/// What networks read where a value is missing: 0, or a number of the domain if that excludes 0.
fn filler(domain: Domain) -> f64 {
    match domain {
        Domain::Real | Domain::Binary | Domain::Count | Domain::Class => 0.0,
        // Its logarithm is 0.
        Domain::Positive => 1.0,
        Domain::Unit => 0.5,
    }
}

/// The number `first` at place 0, and those of `rest` at the places that follow: each replaces the number
/// of all places from its own on.
fn steps(graph: &mut Graph, place: Node, first: Node, rest: impl Iterator<Item = f64>) -> Node {
    rest.enumerate().fold(first, |vector, (before, number)| {
        let (before, number) = (graph.constant(before as f64), graph.constant(number));
        let is_beyond = graph.scalar(Scalar::Greater, &[place, before]);
        graph.scalar(Scalar::Select, &[is_beyond, number, vector])
    })
}

/// 1 for each element of an axis.
fn ones(graph: &mut Graph, axis: Id<Axis>) -> Node {
    let index = graph.iota(axis);
    let zeros = graph.scale(index, 0.0);
    graph.shift(zeros, 1.0)
}

impl<'m, 'g> Case<'m, 'g> {
    /// The case with its observed variables as inputs. `cache` is empty.
    pub(super) fn begin(
        model: &'m Model,
        builder: Builder<'g>,
        observed: &'g [Id<Variable>],
        cache: &'g mut Cache,
    ) -> Self {
        let mut case = Case {
            model,
            builder,
            observed,
            cache,
            joint: None,
            scores: Vec::new(),
        };
        for &variable in observed {
            let name = &model.variables[variable.index()].name;
            let origin = format!("{} {name}", case.builder.rows.words());
            case.builder.graph.set_origin(&origin);
            let value = case.observe(variable);
            case.set(variable, value);
        }
        case
    }

    /// Reads labels that some rows have and others lack.
    pub(super) fn observe_partly(&mut self, labels: &[Id<Variable>]) {
        for &label in labels {
            let name = &self.variable(label).name;
            let origin = format!("{} {name}", self.builder.rows.words());
            self.builder.graph.set_origin(&origin);
            let value = self.observe(label);
            let masks = &mut self.cache.masks;
            let mask = masks.remove(&label).expect("such a label has a mask");
            let features = self.feature_axis(label);
            let graph = &mut *self.builder.graph;
            let is_known = match graph.axes_of(mask).contains(features) {
                // A row has all numbers of a label or none.
                true => graph.max(mask, &Axes::from(features)),
                false => mask,
            };
            self.cache.known.insert(label, Known { value, is_known });
        }
    }

    /// The value of a label in the rows that have it; `None` if all rows of the case are alike.
    pub(super) fn known(&self, variable: Id<Variable>) -> Option<Known> {
        self.cache.known.get(&variable).copied()
    }

    /// The same case and values in a pass whose settings the caller may change.
    pub(super) fn inner(&mut self) -> Case<'m, '_> {
        Case {
            model: self.model,
            builder: self.builder.child(),
            observed: self.observed,
            cache: &mut *self.cache,
            joint: self.joint,
            scores: self.scores.clone(),
        }
    }

    /// The same case in a pass with other values, which starts from those in `cache`: see
    /// [`Case::observed_values`].
    pub(super) fn pass<'c>(&'c mut self, cache: &'c mut Cache) -> Case<'m, 'c> {
        Case {
            cache,
            ..self.inner()
        }
    }

    /// Reads the observed variables again, with the settings of this pass.
    pub(super) fn observe_again(&mut self) {
        for &variable in self.observed {
            let value = self.observe(variable);
            self.set(variable, value);
        }
    }

    /// A cache that has only the values and masks of the observed variables.
    pub(super) fn observed_values(&self) -> Cache {
        let mut cache = Cache {
            values: self.cache.values.clone(),
            masks: self.cache.masks.clone(),
            known: self.cache.known.clone(),
            heads: BTreeMap::new(),
            draws: BTreeMap::new(),
        };
        cache
            .values
            .retain(|variable, _| self.observed.contains(variable));
        cache
    }

    /// A cache that has only the values and masks of the random variables: nodes and heads are computed
    /// anew.
    pub(super) fn drawn_values(&self) -> Cache {
        let mut cache = self.cached(|role| role != Role::Node);
        cache.heads.clear();
        cache
    }

    /// Sets a variable that is always observed to the same value in all rows, in the units of the data:
    /// the number of a class, or a number for each feature.
    pub(super) fn set_given(&mut self, variable: Id<Variable>, values: &[f64]) {
        let features = self.feature_axis(variable);
        let value = if self.variable(variable).domain == Domain::Class {
            let class = self.builder.graph.constant(values[0]);
            self.builder.graph.one_hot(class, features)
        } else {
            let value = self.vector(features, values);
            match self.standardization(variable) {
                Some(standardization) => standardization.apply(self.builder.graph, value),
                None => value,
            }
        };
        self.cache.masks.remove(&variable);
        self.set(variable, value);
    }

    /// These numbers along an axis.
    fn vector(&mut self, axis: Id<Axis>, values: &[f64]) -> Node {
        let graph = &mut *self.builder.graph;
        let place = graph.iota(axis);
        let (first, rest) = values.split_first().expect("an axis has elements");
        // 0 · place has the axis, also if there is one number.
        let zeros = graph.scale(place, 0.0);
        let first = graph.shift(zeros, *first);
        steps(graph, place, first, rest.iter().copied())
    }

    /// The heads so far, and the values of variables whose role fits.
    pub(super) fn cached(&self, fits: impl Fn(Role) -> bool) -> Cache {
        let mut cache = self.cache.clone();
        cache
            .values
            .retain(|variable, _| fits(self.variable(*variable).role));
        cache
    }

    /// Adds the values and heads of another pass; `convert` gives their value in this pass.
    pub(super) fn adopt(&mut self, other: Cache, convert: impl Fn(&mut Graph, Node) -> Node) {
        let outer = self.builder.graph.origin();
        for (variable, value) in other.values {
            if let Value::Dense(node) = value {
                let node = convert(self.builder.graph, node);
                self.set(variable, node);
            }
        }
        for (factor, heads) in other.heads {
            if let Some(&head) = heads.first() {
                let origin = self.builder.graph.node(head).origin;
                self.builder.graph.set_origin_of(origin);
            }
            let heads = heads.into_iter();
            let heads = heads.map(|head| convert(self.builder.graph, head));
            let heads = heads.collect();
            self.cache.heads.insert(factor, heads);
        }
        self.builder.graph.set_origin_of(outer);
    }

    /// Whether the variable is observed in this case.
    pub(super) fn is_observed(&self, variable: Id<Variable>) -> bool {
        self.observed.contains(&variable)
    }

    /// The declaration of a variable.
    pub(super) fn variable(&self, variable: Id<Variable>) -> &'m Variable {
        &self.model.variables[variable.index()]
    }

    /// The value of an observed variable. A class is one-hot. Binary data are sampled from their grey
    /// values if the mode binarises. Where a value is missing, it is [`filler`], or 0 for each class.
    fn observe(&mut self, variable: Id<Variable>) -> Node {
        let model = self.model;
        let upstream = model
            .upstream
            .iter()
            .find(|upstream| upstream.variable == variable);
        if let Some(upstream) = upstream {
            return self.inferred(upstream);
        }
        let features = self.feature_axis(variable);
        let declared = self.variable(variable);
        let is_class = declared.domain == Domain::Class;
        let rows = &self.builder.rows;
        let value = rows.join(self.builder.graph, |graph, part| {
            let name = InputName::Observed(part.case, declared.name.clone()).to_string();
            let row = Axes::from(part.axis);
            let axes = if is_class { row } else { row.with(features) };
            graph.input(&name, axes)
        });
        let mask = declared.missing.then(|| {
            // A class counts from 0, and −1 is none. NaN is above no number, and stored plans cannot
            // have infinity as a constant.
            let below = if is_class { -0.5 } else { f64::from(f32::MIN) };
            let graph = &mut *self.builder.graph;
            let below = graph.constant(below);
            graph.scalar(Scalar::Greater, &[value, below])
        });
        if let Some(mask) = mask {
            self.cache.masks.insert(variable, mask);
        }
        if is_class {
            return self.builder.graph.one_hot(value, features);
        }
        let value = match self.standardization(variable) {
            Some(standardization) => standardization.apply(self.builder.graph, value),
            None => value,
        };
        let value = match mask {
            Some(mask) => {
                let graph = &mut *self.builder.graph;
                let filler = graph.constant(filler(declared.domain));
                graph.scalar(Scalar::Select, &[mask, value, filler])
            }
            None => value,
        };
        if self.builder.mode.binarise && declared.domain == Domain::Binary {
            let name = format!("{}.draw", declared.name);
            let axes = Axes::from([self.builder.row(), features]);
            let uniform = self.builder.noise(&name, NoiseKind::Uniform, axes);
            return self
                .builder
                .graph
                .scalar(Scalar::Greater, &[value, uniform]);
        }
        value
    }

    /// The weight of each row in training (axes row); `None` if the model has none.
    pub(super) fn row_weight(&mut self) -> Option<Node> {
        let name = &self.model.row_weight()?.name;
        let rows = &self.builder.rows;
        Some(rows.join(self.builder.graph, |graph, part| {
            let input = InputName::Observed(part.case, name.clone()).to_string();
            graph.input(&input, Axes::from(part.axis))
        }))
    }

    /// 1 where an observed variable has a value, else 0 (axes row and feature, or row for a class).
    /// `None` if all of its values are there.
    pub(super) fn mask(&self, variable: Id<Variable>) -> Option<Node> {
        self.cache.masks.get(&variable).copied()
    }

    /// The mean and deviation that standardize a variable; `None` if the model does not ask for it.
    pub(super) fn standardization(&mut self, variable: Id<Variable>) -> Option<Standardization> {
        let declared = self.variable(variable);
        if !declared.standardized {
            return None;
        }
        let features = self.feature_axis(variable);
        Some(Standardization {
            mean: self.statistic(mean_name, variable),
            log_deviation: self.statistic(log_deviation_name, variable),
            features,
        })
    }

    /// A number for each feature of a variable that the run computes from the training rows.
    fn statistic(&mut self, name: fn(&str) -> String, variable: Id<Variable>) -> Node {
        let features = self.feature_axis(variable);
        let name = name(&self.variable(variable).name);
        let graph = &mut *self.builder.graph;
        let parameter = graph.declare(Parameter {
            name: format!("{}{name}", self.builder.scope),
            axes: vec![features],
            start: Start::Constant(0.0),
            trained: false,
        });
        graph.read(parameter)
    }

    /// The value that another model infers with fixed parameters: a sample in training, the mean in
    /// evaluation and in a clean pass.
    fn inferred(&mut self, upstream: &'m Upstream) -> Node {
        let draws = self.builder.mode.batch_statistics && self.builder.mode.draws;
        let data = upstream.model.always_observed();
        self.within(upstream, &data, |inner| {
            let factor = inner.inference_of(upstream.latent);
            for (_, id) in inner.drawn_before(factor.index) {
                inner.draw(id);
            }
            match draws {
                true => inner.draw(factor),
                false => inner.mean(factor),
            }
        })
    }

    /// Lowers `body` on the same rows in the model that infers a variable. Its parameters are fixed.
    pub(super) fn within<T>(
        &mut self,
        upstream: &'m Upstream,
        observed: &[Id<Variable>],
        body: impl FnOnce(&mut Case<'m, '_>) -> T,
    ) -> T {
        let mode = Mode {
            binarise: self.builder.mode.binarise,
            draws: self.builder.mode.draws,
            keyed: self.builder.mode.keyed,
            ..Mode::EVALUATE
        };
        let name = &self.variable(upstream.variable).name;
        let builder = Builder {
            mode,
            averages: Averages::Kept,
            label: None,
            scope: scope(name),
            samples: 1,
            sample: None,
            ..self.builder.child()
        };
        let mut cache = Cache::default();
        body(&mut Case::begin(
            &upstream.model,
            builder,
            observed,
            &mut cache,
        ))
    }

    /// The unobserved children of the first `count` factors of q, in the order in which they are
    /// drawn.
    pub(super) fn drawn_before(&self, count: usize) -> Vec<(Id<Variable>, FactorId)> {
        let before = (0..count).map(|index| FactorId {
            side: Side::Inference,
            index,
        });
        let drawn = before
            .filter(|id| matches!(id.factor(self.model).kind, FactorKind::Distribution { .. }));
        drawn
            .map(|id| (id.factor(self.model).child, id))
            .filter(|(child, _)| !self.is_observed(*child))
            .collect()
    }

    /// Lowers `body` after drawing the continuous latents of the first `count` factors of q with the
    /// same noise as before.
    pub(super) fn resample<T>(
        &mut self,
        count: usize,
        body: impl FnOnce(&mut Case<'m, '_>) -> T,
    ) -> T {
        let sample = (self.builder.samples > 1).then(|| self.builder.sample_axis());
        let mut inner = self.inner();
        inner.builder.sample = sample;
        for (latent, id) in inner.drawn_before(count) {
            if inner.variable(latent).domain != Domain::Class {
                inner.draw(id);
            }
        }
        body(&mut inner)
    }

    /// Lowers the heads of every factor of q, so that all of its layers update their running averages.
    pub(super) fn infer(&mut self) {
        let factors = &self.model.inference;
        self.resample(factors.len(), |case| {
            for (index, factor) in factors.iter().enumerate() {
                if matches!(factor.kind, FactorKind::Distribution { .. }) {
                    case.distribution(FactorId {
                        side: Side::Inference,
                        index,
                    });
                }
            }
        });
    }

    /// Sets the value of a variable.
    pub(super) fn set(&mut self, variable: Id<Variable>, value: Node) {
        self.cache.values.insert(variable, Value::Dense(value));
    }

    /// The feature axis of a variable. That of a deterministic node is its network's.
    pub(super) fn feature_axis(&mut self, variable: Id<Variable>) -> Id<Axis> {
        let declared = self.variable(variable);
        if declared.role != Role::Node {
            return self.builder.feature_axis(declared);
        }
        let Value::Dense(node) = self.value(variable) else {
            unreachable!("a network's output has features")
        };
        self.builder
            .graph
            .axes_of(node)
            .iter()
            .find(|&axis| self.builder.graph.axis(axis).kind == AxisKind::Feature)
            .expect("a network's output has a feature axis")
    }

    /// The value of a variable that is observed, drawn, or computed from such variables. An unobserved
    /// class is enumerated.
    pub(super) fn value(&mut self, variable: Id<Variable>) -> Value {
        if let Some(&value) = self.cache.values.get(&variable) {
            return value;
        }
        let (model, declared) = (self.model, self.variable(variable));
        if declared.domain == Domain::Class {
            return Value::Enumerated(self.builder.class_axis(declared));
        }
        let factor = model
            .inference
            .iter()
            .chain(&model.generative)
            .find(|factor| factor.child == variable)
            .expect("check orders the factors");
        let FactorKind::Deterministic(network) = &factor.kind else {
            panic!("`{}` is read before it is drawn", declared.name)
        };
        let prefix = self.factor_name(factor);
        let parts = self.network(&prefix, &factor.inputs, network);
        let [part] = parts.as_slice() else {
            panic!("check wants a layer that joins the parents of a node")
        };
        let vector = layer::flat(&mut self.builder.layer(prefix), part);
        let value = vector.dense(self.builder.graph);
        self.set(variable, value);
        Value::Dense(value)
    }

    /// A variable as the input of a network: its value, and its mask `NAME.mask` if values may be
    /// missing.
    pub(super) fn parts(&mut self, variable: Id<Variable>) -> Vec<Part> {
        let (value, axis) = (self.value(variable), self.feature_axis(variable));
        let declared = self.variable(variable);
        let mut parts = vec![Part::variable(&declared.name, value, axis, &declared.shape)];
        if declared.has_mask() {
            let mask = match self.mask(variable) {
                Some(mask) => mask,
                None => ones(self.builder.graph, axis),
            };
            parts.push(Part::mask(&declared.name, mask, axis, &declared.shape));
        }
        parts
    }

    /// A network's output: one part, or a part for each parent if no layer joins them.
    fn network(&mut self, prefix: &str, parents: &[Id<Variable>], network: &Network) -> Vec<Part> {
        let parts = parents.iter().flat_map(|&parent| self.parts(parent));
        let mut parts: Vec<Part> = parts.collect();
        network::layers(&mut self.builder, prefix, &network.layers, &mut parts);
        parts
    }

    /// A factor's distribution and its heads.
    pub(super) fn distribution(&mut self, id: FactorId) -> (&'static dyn Distribution, Vec<Node>) {
        let factor = id.factor(self.model);
        let FactorKind::Distribution {
            distribution,
            heads,
        } = &factor.kind
        else {
            panic!("a deterministic node has no density")
        };
        if let Some(heads) = self.cache.heads.get(&id) {
            return (*distribution, heads.clone());
        }
        let mut nodes = self.with_origin(id, |case| match heads {
            Heads::Network(network) => case.network_heads(factor, *distribution, network),
            Heads::Each(each) => case.each_head(factor, *distribution, each),
            Heads::Mixture(mixture) => case.component_heads(factor, *distribution, mixture),
            Heads::Probabilities(given) => vec![case.class_head(factor.child, given)],
            Heads::Constants(arguments) => {
                let heads = distribution.constant_heads(arguments);
                heads
                    .into_iter()
                    .map(|head| case.builder.graph.constant(head))
                    .collect()
            }
        });
        let (prefix, child) = (self.factor_name(factor), self.variable(factor.child));
        let shared = distribution.shared(child.size());
        nodes.extend(network::shared(&mut self.builder, &prefix, &shared));
        self.cache.heads.insert(id, nodes.clone());
        (*distribution, nodes)
    }

    /// The heads that this pass has lowered and that are clamped to a range, by name: `p.x.log_rate`.
    pub(super) fn clamped_heads(&self) -> Vec<(String, Node)> {
        let sides = [Side::Generative, Side::Inference].into_iter();
        let factors = sides.flat_map(|side| bound::factors(self.model, side));
        let mut clamped = Vec::new();
        for (id, factor) in factors {
            let FactorKind::Distribution { distribution, .. } = &factor.kind else {
                continue;
            };
            let nodes = self.cache.heads.get(&id).into_iter().flatten();
            for (head, &node) in distribution.heads().iter().zip(nodes) {
                if matches!(self.builder.graph.op(node), Op::Scalar(Scalar::Clamp, _)) {
                    let name = format!("{}.{}", self.factor_name(factor), head.name);
                    clamped.push((name, node));
                }
            }
        }
        clamped
    }

    /// Linear heads on a network that they share.
    fn network_heads(
        &mut self,
        factor: &Factor,
        distribution: &dyn Distribution,
        network: &Network,
    ) -> Vec<Node> {
        let prefix = self.factor_name(factor);
        let parts = self.network(&prefix, &factor.inputs, network);
        let child = self.variable(factor.child);
        let heads = distribution.heads().iter();
        heads
            .map(|head| linear_head(&mut self.builder, &prefix, child, head, &parts))
            .collect()
    }

    /// Heads that the model gives one by one.
    fn each_head(
        &mut self,
        factor: &Factor,
        distribution: &dyn Distribution,
        heads: &[Head],
    ) -> Vec<Node> {
        let (prefix, child) = (self.factor_name(factor), self.variable(factor.child));
        let mut nodes = Vec::new();
        for (head, given) in distribution.heads().iter().zip(heads) {
            nodes.push(match given {
                Head::Number(number) => self.builder.graph.constant(*number),
                Head::Constant => linear_head(&mut self.builder, &prefix, child, head, &[]),
                Head::Linear => {
                    let parts = self.network("", &factor.inputs, &Network::default());
                    linear_head(&mut self.builder, &prefix, child, head, &parts)
                }
                Head::Node(node) => {
                    let from = self.feature_axis(*node);
                    let Value::Dense(value) = self.value(*node) else {
                        unreachable!("a node is a network's output")
                    };
                    self.whole_head(factor.child, head, value, from)
                }
                Head::Network(network) => {
                    let prefix = format!("{prefix}.{}", head.name);
                    let parts = self.network(&prefix, &factor.inputs, network);
                    let [part] = parts.as_slice() else {
                        panic!("check wants a head's network to join its parents")
                    };
                    let part = layer::flat(&mut self.builder.layer(prefix), part);
                    let value = part.dense(self.builder.graph);
                    self.whole_head(factor.child, head, value, part.axes[0])
                }
            });
        }
        nodes
    }

    /// A head that is the output of a network, over the axis `from`.
    fn whole_head(
        &mut self,
        child: Id<Variable>,
        head: &HeadSpec,
        value: Node,
        from: Id<Axis>,
    ) -> Node {
        let value = match head.extent {
            HeadExtent::Features => {
                let out = self.feature_axis(child);
                self.builder.graph.rename(value, from, out)
            }
            HeadExtent::Single => self.builder.graph.sum(value, &Axes::from(from)),
        };
        clamp_head(&mut self.builder, head, value)
    }

    /// The logarithms of the probabilities of a variable's classes (axes class), which no network
    /// computes.
    fn class_head(&mut self, variable: Id<Variable>, given: &Probabilities) -> Node {
        let values = match given {
            Probabilities::Observed => return self.statistic(log_frequency_name, variable),
            Probabilities::Given(values) => values,
        };
        let axis = self.feature_axis(variable);
        let graph = &mut *self.builder.graph;
        let place = graph.iota(axis);
        let mut logs = values.iter().map(|probability| probability.ln());
        let first = graph.constant(logs.next().expect("a class variable has classes"));
        steps(graph, place, first, logs)
    }

    /// Heads with an axis of components.
    fn component_heads(
        &mut self,
        factor: &Factor,
        distribution: &dyn Distribution,
        mixture: &Mixture,
    ) -> Vec<Node> {
        let child = self.variable(factor.child);
        match &mixture.source {
            Components::Learned => {
                let prefix = self.factor_name(factor);
                mixture::learned_heads(&mut self.builder, &prefix, child, distribution, mixture)
            }
            Components::Pseudo(data) => self.pseudo_heads(factor, mixture, data),
        }
    }

    /// The heads of q on pseudo-inputs instead of data. In training, batch norm uses the statistics of
    /// the pseudo-inputs and does not update the running averages.
    fn pseudo_heads(
        &mut self,
        factor: &Factor,
        mixture: &Mixture,
        data: &[Id<Variable>],
    ) -> Vec<Node> {
        let prefix = format!("{}.pseudo", self.factor_name(factor));
        let child = self.variable(factor.child);
        let component = mixture::component_axis(&mut self.builder, child, mixture);
        let mut inputs = Vec::new();
        for &id in data {
            let variable = self.variable(id);
            inputs.push((
                id,
                mixture::pseudo_input(&mut self.builder, &prefix, component, variable),
            ));
        }
        let mut cache = self.observed_values();
        // Pseudo-inputs lack no value.
        cache.masks.clear();
        let mut pass = self.pass(&mut cache);
        // This pass has streams of noise of its own, apart from those of the rows.
        pass.builder.label = Some(prefix);
        pass.builder.averages = Averages::Kept;
        for (id, input) in inputs {
            pass.set(id, input);
        }
        pass.distribution(pass.inference_of(factor.child)).1
    }

    /// The weights of a factor's components. None if it has one component.
    fn weights(&mut self, id: FactorId) -> Option<Weights> {
        let factor = id.factor(self.model);
        let FactorKind::Distribution {
            heads: Heads::Mixture(mixture),
            ..
        } = &factor.kind
        else {
            return None;
        };
        let (prefix, child) = (self.factor_name(factor), self.variable(factor.child));
        Some(mixture::weights(&mut self.builder, &prefix, child, mixture))
    }

    /// The mean of a factor's child given its parents.
    pub(super) fn mean(&mut self, id: FactorId) -> Node {
        let axis = self.feature_axis(id.factor(self.model).child);
        let (distribution, heads) = self.distribution(id);
        let mean = distribution.mean(self.builder.graph, &heads, axis);
        match self.weights(id) {
            Some(weights) => weights.mean(&mut self.builder, mean),
            None => mean,
        }
    }

    /// Lowers `body`, whose nodes belong to this factor's formula.
    pub(super) fn with_origin<T>(&mut self, id: FactorId, body: impl FnOnce(&mut Self) -> T) -> T {
        let factor = id.factor(self.model);
        let formula = bound::factor_text(self.model, id);
        let (file, line) = (&self.model.file, factor.line);
        let origin = format!("{} log {formula}, {file}:{line}", self.builder.label_text());
        let outer = self.builder.graph.origin();
        self.builder.graph.set_origin(origin.trim_start());
        let result = body(self);
        self.builder.graph.set_origin_of(outer);
        result
    }

    /// log p(child | parents), with all axes of the variables that it reads except features.
    pub(super) fn log_prob(&mut self, id: FactorId) -> Node {
        self.distribution(id);
        let child = id.factor(self.model).child;
        let axis = self.feature_axis(child);
        let value = self.value(child);
        let value = self.with_origin(id, |case| match value {
            Value::Dense(node) => node,
            Value::Enumerated(class) => {
                let index = case.builder.graph.iota(class);
                case.builder.graph.one_hot(index, axis)
            }
        });
        self.log_prob_at(id, value)
    }

    /// log q(latent | parents) of the value drawn. Where rows may have a value of their own
    /// ([`Case::known`]), it means something in the others alone.
    pub(super) fn log_prob_of_draw(&mut self, id: FactorId) -> Node {
        let latent = id.factor(self.model).child;
        let axis = self.feature_axis(latent);
        let (distribution, heads) = self.distribution(id);
        let value = self.cache.values.get(&latent);
        // The heads of a mixture's draw are those of one component.
        let draw = self.cache.draws.get(&id).filter(|draw| {
            let is_current = matches!(value, Some(Value::Dense(value)) if *value == draw.value);
            is_current && draw.heads == heads
        });
        let Some(noise) = draw.map(|draw| draw.noise) else {
            return self.log_prob(id);
        };
        self.with_origin(id, |case| {
            let density = distribution
                .log_prob_of_sample(case.builder.graph, &heads, noise, axis)
                .expect("a draw has noise");
            case.in_data(latent, density, None)
        })
    }

    /// log p(value | parents) of a factor's child.
    pub(super) fn log_prob_at(&mut self, id: FactorId, value: Node) -> Node {
        let (distribution, heads) = self.distribution(id);
        let child = id.factor(self.model).child;
        let axis = self.feature_axis(child);
        self.with_origin(id, |case| {
            let mask = case.mask(child);
            let density = match mask {
                Some(mask) => {
                    case.observed_log_prob(child, distribution, &heads, value, (mask, axis))
                }
                None => distribution.log_prob(case.builder.graph, &heads, value, axis),
            };
            let density = match case.weights(id) {
                Some(weights) => weights.log_density(&mut case.builder, density),
                None => density,
            };
            case.in_data(child, density, mask)
        })
    }

    /// The log-density of a variable in the units of the data; see [`Standardization::in_data`].
    fn in_data(&mut self, variable: Id<Variable>, density: Node, mask: Option<Node>) -> Node {
        match self.standardization(variable) {
            Some(standardization) => standardization.in_data(self.builder.graph, density, mask),
            None => density,
        }
    }

    /// log p(value) of the features that are observed. Those that are not are as if they were
    /// integrated out, because features are independent given the heads.
    fn observed_log_prob(
        &mut self,
        child: Id<Variable>,
        distribution: &dyn Distribution,
        heads: &[Node],
        value: Node,
        (mask, features): (Node, Id<Axis>),
    ) -> Node {
        let declared = self.variable(child);
        let graph = &mut *self.builder.graph;
        if declared.domain == Domain::Class {
            let density = distribution.log_prob(graph, heads, value, features);
            return graph.mul(mask, density);
        }
        // The density of each feature by itself: one that sums over an axis of one element.
        let single = graph.new_axis(Axis {
            name: format!("{}.single", declared.name),
            size: 1,
            kind: AxisKind::Feature,
        });
        let density = distribution.log_prob(graph, heads, value, single);
        let zero = graph.constant(0.0);
        let observed = graph.scalar(Scalar::Select, &[mask, density, zero]);
        graph.sum(observed, &Axes::from(features))
    }

    /// The heads of a factor; those of a component that is drawn for each row, if it has several.
    pub(super) fn drawn_heads(&mut self, id: FactorId) -> (&'static dyn Distribution, Vec<Node>) {
        let (distribution, heads) = self.distribution(id);
        let name = &self.variable(id.factor(self.model).child).name;
        let heads = match self.weights(id) {
            Some(weights) => weights.draw(&mut self.builder, name, heads),
            None => heads,
        };
        (distribution, heads)
    }

    /// Draws the child of a factor, or takes its mean if the mode does not draw. If there are several
    /// samples, the builder has the sample axis.
    pub(super) fn draw(&mut self, id: FactorId) -> Node {
        let child = id.factor(self.model).child;
        if !self.builder.mode.draws {
            let mean = self.with_origin(id, |case| case.mean(id));
            let value = self.where_known(child, mean);
            self.set(child, value);
            return value;
        }
        let (distribution, heads) = self.drawn_heads(id);
        let name = &self.variable(child).name;
        let axis = self.feature_axis(child);
        let batch = heads
            .iter()
            .flat_map(|&head| self.builder.batch_axes(head).iter().collect::<Vec<_>>());
        let axes: Axes = batch
            .chain([self.builder.row(), axis])
            .chain(self.builder.sample)
            .collect();
        let known = self.known(child);
        let (noise, sample) = self.with_origin(id, |case| {
            let kind = distribution
                .noise()
                .expect("check wants a reparametrised sample of a latent");
            // The input with the known values has the variable's own name.
            let draw = if known.is_some() { ".draw" } else { "" };
            let name = format!("{}{name}{draw}", case.builder.scope);
            let noise = case.builder.noise(&name, kind, axes);
            let sample = distribution
                .sample(case.builder.graph, &heads, noise)
                .expect("check wants a reparametrised sample of a latent");
            (noise, sample)
        });
        let value = self.where_known(child, sample);
        self.set(child, value);
        let draw = Draw {
            heads,
            noise,
            value,
        };
        self.cache.draws.insert(id, draw);
        value
    }

    /// −KL(q ‖ p) in closed form.
    pub(super) fn negative_kl(&mut self, q: FactorId, p: FactorId) -> Node {
        let (distribution, q_heads) = self.distribution(q);
        let (prior, p_heads) = self.distribution(p);
        let axis = self.feature_axis(q.factor(self.model).child);
        self.with_origin(q, |case| {
            let kl = distribution
                .kl(case.builder.graph, &q_heads, (prior, &p_heads), axis)
                .expect("check wants a closed form for an analytic KL");
            case.builder.graph.neg(kl)
        })
    }

    /// Such as `q.z`, or `from.z.q.z` within the model that infers `z` for another.
    pub(super) fn factor_name(&self, factor: &Factor) -> String {
        let child = &self.variable(factor.child).name;
        format!("{}{}.{child}", self.builder.scope, factor.side.letter())
    }

    /// The factor of q with this child.
    pub(super) fn inference_of(&self, child: Id<Variable>) -> FactorId {
        let index = self
            .model
            .inference
            .iter()
            .position(|factor| factor.child == child);
        FactorId {
            side: Side::Inference,
            index: index.expect("check finds the factor in q"),
        }
    }
}
