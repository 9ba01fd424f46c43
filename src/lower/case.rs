//! One case: the values of its variables, and its terms as numbers per row.

use super::{Mode, is_class, network::Scope, row_axis};
use crate::{
    bound::{self, FactorId, Term},
    distribution::{Distribution, Domain},
    id::Id,
    layer::{self, Value},
    model::{FactorKind, Heads, Model, Role, Side, Upstream, Variable, scope},
    names::{CaseKind, InputName, TermName},
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, Scalar},
};
use std::collections::{BTreeMap, HashMap};

/// A named number per row.
#[derive(Clone)]
pub(super) struct Entry {
    /// What reports call it; none for what has a gradient and no value.
    pub name: Option<TermName>,
    pub node: Node,
    /// Whether it is a part of the bound, which is the sum of such, or is shown beside it.
    pub adds: bool,
}

impl Entry {
    pub(super) fn new(name: TermName, node: Node) -> Self {
        Entry {
            name: Some(name),
            node,
            adds: true,
        }
    }

    /// Whether it is one of a variable's own terms.
    pub(super) fn belongs_to(&self, variable: &str) -> bool {
        self.name.as_ref().and_then(TermName::variable) == Some(variable)
    }

    /// What has a gradient and no value.
    pub(super) fn silent(node: Node) -> Self {
        Entry {
            name: None,
            node,
            adds: true,
        }
    }
}

/// The sum of the parts.
pub(super) fn total(graph: &mut Graph, entries: &[Entry]) -> Node {
    let mut parts: Vec<Node> = entries
        .iter()
        .filter(|entry| entry.adds)
        .map(|entry| entry.node)
        .collect();
    parts.sort_by_key(|&part| graph.axes_of(part).len());
    graph.total(parts)
}

/// What a pass does to the running averages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Averages {
    Kept,
    Moved,
    /// Moved from where they stood as the step began, whatever a pass before has done: a clean pass
    /// is what evaluation repeats.
    MovedAnew,
}

/// The values and heads of a case.
pub(super) struct Known {
    values: HashMap<Id<Variable>, Value>,
    heads: HashMap<FactorId, Vec<Node>>,
}

/// The graph as it grows, and what is known of the case that is being lowered.
pub(super) struct Lowering<'m> {
    pub model: &'m Model,
    pub graph: Graph,
    pub mode: Mode,
    pub samples: usize,
    pub averages: Averages,
    /// The running averages as the case leaves them.
    pub running: BTreeMap<String, Node>,
    pub case: CaseKind,
    /// What the names of noise begin with.
    pub noise: String,
    /// What the names of parameters and noise begin with: `from.z.` within a model that infers `z`
    /// for another.
    pub scope: String,
    pub row: Id<Axis>,
    /// There while the samples of a case are being drawn; none if there is one sample.
    pub sample: Option<Id<Axis>>,
    observed: Vec<Id<Variable>>,
    values: HashMap<Id<Variable>, Value>,
    heads: HashMap<FactorId, Vec<Node>>,
    /// log q of the values that were drawn, within a log-mean-exp that has to keep their gradients
    /// right.
    pub(super) scores: Vec<Node>,
}

impl<'m> Lowering<'m> {
    pub(super) fn new(model: &'m Model, mode: Mode, samples: usize) -> Self {
        let mut graph = Graph::new();
        let row = row_axis(&mut graph, "none", 1);
        Lowering {
            model,
            graph,
            mode,
            samples,
            averages: Averages::Kept,
            running: BTreeMap::new(),
            case: CaseKind::All,
            noise: String::new(),
            scope: String::new(),
            row,
            sample: None,
            observed: Vec::new(),
            values: HashMap::new(),
            heads: HashMap::new(),
            scores: Vec::new(),
        }
    }

    /// Begins a case: its observed variables become inputs.
    pub(super) fn begin(&mut self, case: CaseKind, rows: usize, observed: &[Id<Variable>]) {
        self.case = case;
        self.noise = case.to_string();
        self.row = row_axis(&mut self.graph, case.word(), rows);
        self.values.clear();
        self.heads.clear();
        self.scores.clear();
        self.observed = observed.to_vec();
        for &variable in observed {
            self.graph.set_origin(&format!(
                "{case} {}",
                self.model.variables[variable.index()].name
            ));
            let value = self.observe(variable);
            self.values.insert(variable, Value::Dense(value));
        }
    }

    pub(super) fn is_observed(&self, variable: Id<Variable>) -> bool {
        self.observed.contains(&variable)
    }

    /// The input of an observed variable: one-hot for a class, drawn from its greys if binary data
    /// are binarised.
    fn observe(&mut self, variable: Id<Variable>) -> Node {
        if let Some(upstream) = self
            .model
            .upstream
            .iter()
            .find(|upstream| upstream.variable == variable)
        {
            return self.inferred(upstream);
        }
        let features = self.feature_axis(variable);
        let row = Axes::from(self.row);
        let declared = &self.model.variables[variable.index()];
        let name = InputName::Observed(self.case, declared.name.clone()).to_string();
        if declared.domain == Domain::Class {
            let index = self.graph.input(&name, row);
            return self.graph.one_hot(index, features);
        }
        let value = self.graph.input(&name, row.with(features));
        if self.mode.binarise && declared.domain == Domain::Binary {
            let uniform = self.graph.noise(
                &format!("{name}.draw"),
                NoiseKind::Uniform,
                row.with(features),
            );
            return self.graph.scalar(Scalar::Greater, &[value, uniform]);
        }
        value
    }

    /// The unobserved variables among the first so many factors of q, as it draws them.
    fn drawn_before(&self, index: usize) -> Vec<(Id<Variable>, FactorId)> {
        let before = (0..index).map(|index| FactorId {
            side: Side::Inference,
            index,
        });
        let drawn =
            before.filter(|id| matches!(id.of(self.model).kind, FactorKind::Distribution { .. }));
        drawn
            .map(|id| (id.of(self.model).child, id))
            .filter(|(child, _)| !self.is_observed(*child))
            .collect()
    }

    /// `body` with the continuous latents drawn anew, by the same noise, that stand among the first
    /// so many factors of q.
    pub(super) fn drawn_again<T>(&mut self, index: usize, body: impl FnOnce(&mut Self) -> T) -> T {
        let sample = (self.samples > 1).then(|| self.sample_axis());
        let outside = std::mem::replace(&mut self.sample, sample);
        for (latent, id) in self.drawn_before(index) {
            if !is_class(self.model, latent) {
                self.draw(id);
            }
        }
        let result = body(self);
        self.sample = outside;
        result
    }

    /// Everything but the observed variables is to be made anew; gives what it was.
    pub(super) fn forget_drawn(&mut self) -> Known {
        let known = Known {
            values: self.values.clone(),
            heads: std::mem::take(&mut self.heads),
        };
        let observed = &self.observed;
        self.values
            .retain(|variable, _| observed.contains(variable));
        known
    }

    pub(super) fn restore(&mut self, known: Known) {
        (self.values, self.heads) = (known.values, known.heads);
    }

    /// What another model infers, with its parameters as they are: drawn anew in training, the mean
    /// in evaluation.
    fn inferred(&mut self, upstream: &'m Upstream) -> Node {
        let draws = self.mode.batch_statistics;
        let data = (0..upstream.model.variables.len()).map(Id::new);
        let data: Vec<Id<Variable>> = data
            .filter(|id: &Id<Variable>| upstream.model.variables[id.index()].role == Role::Data)
            .collect();
        self.within(upstream, &data, |inner| {
            let factor = inner.inference_of(upstream.latent);
            for (_, id) in inner.drawn_before(factor.index) {
                inner.draw(id);
            }
            if draws {
                return inner.draw(factor);
            }
            let (distribution, heads) = inner.distribution(factor);
            let axis = inner.feature_axis(upstream.latent);
            distribution.mean(&mut inner.graph, &heads, axis)
        })
    }

    /// The same rows of this case in the model that infers a variable, whose parameters stay as
    /// they are.
    pub(super) fn within<T>(
        &mut self,
        upstream: &'m Upstream,
        observed: &[Id<Variable>],
        body: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let mode = Mode {
            binarise: self.mode.binarise,
            ..Mode::EVALUATE
        };
        let mut inner = Lowering::new(&upstream.model, mode, 1);
        let rows = self.graph.axis(self.row).size;
        std::mem::swap(&mut inner.graph, &mut self.graph);
        let name = &self.model.variables[upstream.variable.index()].name;
        inner.scope = scope(name);
        inner.begin(self.case, rows, observed);
        let result = body(&mut inner);
        std::mem::swap(&mut inner.graph, &mut self.graph);
        result
    }

    /// Makes the heads of every factor of q, so that each layer of it has its statistics.
    pub(super) fn infer(&mut self) {
        let model = self.model;
        self.drawn_again(model.inference.len(), |lowering| {
            for (index, factor) in model.inference.iter().enumerate() {
                if matches!(factor.kind, FactorKind::Distribution { .. }) {
                    lowering.distribution(FactorId {
                        side: Side::Inference,
                        index,
                    });
                }
            }
        });
    }

    /// Sets a variable to a value made elsewhere.
    pub(super) fn set(&mut self, variable: Id<Variable>, value: Node) {
        self.values.insert(variable, Value::Dense(value));
    }

    pub(super) fn feature_axis(&mut self, variable: Id<Variable>) -> Id<Axis> {
        if self.model.variables[variable.index()].role == Role::Node {
            let Value::Dense(node) = self.value(variable) else {
                unreachable!("a network's output has features")
            };
            let axes = self.graph.axes_of(node).clone();
            let feature = axes
                .iter()
                .find(|&axis| self.graph.axis(axis).kind == AxisKind::Feature);
            return feature.expect("a network's output has a feature axis");
        }
        super::feature_axis(&mut self.graph, self.model, variable)
    }

    /// The value of a variable that is observed or drawn already, or computed from such; an
    /// unobserved class is enumerated.
    pub(super) fn value(&mut self, variable: Id<Variable>) -> Value {
        if let Some(&value) = self.values.get(&variable) {
            return value;
        }
        if is_class(self.model, variable) {
            return Value::Enumerated(self.class_axis(variable));
        }
        let model = self.model;
        let mut factors = model.inference.iter().chain(&model.generative);
        let factor = factors
            .find(|factor| factor.child == variable)
            .expect("check orders the factors");
        let FactorKind::Deterministic(network) = &factor.kind else {
            panic!(
                "`{}` is read before it is drawn",
                model.variables[variable.index()].name
            )
        };
        let prefix = self.factor_name(factor);
        let parts = self.network(&prefix, &factor.parents, network);
        let [part] = parts.as_slice() else {
            panic!("check wants a layer that joins the parents of a node")
        };
        let mut scope = Scope {
            prefix: self.factor_name(factor),
            lowering: self,
        };
        let vector = layer::flat(&mut scope, part);
        let value = Value::Dense(vector.dense(&mut self.graph));
        self.values.insert(variable, value);
        value
    }

    /// The factor's distribution and its heads.
    pub(super) fn distribution(&mut self, id: FactorId) -> (&'static dyn Distribution, Vec<Node>) {
        let factor = id.of(self.model);
        let FactorKind::Distribution {
            distribution,
            heads,
        } = &factor.kind
        else {
            panic!("a deterministic node has no density")
        };
        if let Some(known) = self.heads.get(&id) {
            return (*distribution, known.clone());
        }
        let outer = self.enter(id);
        let nodes: Vec<Node> = match heads {
            Heads::Network(network) => self.heads(factor, *distribution, network),
            Heads::Each(each) => self.each_head(factor, *distribution, each),
            Heads::Mixture(mixture) => self.components(factor, *distribution, mixture),
            Heads::Constants(arguments) => {
                let heads = distribution.constant_heads(arguments);
                heads
                    .into_iter()
                    .map(|head| self.graph.constant(head))
                    .collect()
            }
        };
        self.graph.set_origin_of(outer);
        self.heads.insert(id, nodes.clone());
        (*distribution, nodes)
    }

    /// Nodes made from now on belong to this factor; gives the origin to return to.
    pub(super) fn enter(&mut self, id: FactorId) -> usize {
        let factor = id.of(self.model);
        let formula = bound::factor_text(self.model, id);
        let place = format!(
            "{} log {formula}, {}:{}",
            self.noise, self.model.file, factor.line
        );
        let outer = self.graph.origin();
        self.graph.set_origin(place.trim_start());
        outer
    }

    /// log p(child | parents), with the axes of the variables that it reads but the features.
    pub(super) fn log_prob(&mut self, id: FactorId) -> Node {
        let (distribution, heads) = self.distribution(id);
        let child = id.of(self.model).child;
        let axis = self.feature_axis(child);
        let value = self.value(child);
        let outer = self.enter(id);
        let value = match value {
            Value::Dense(node) => node,
            Value::Enumerated(class) => {
                let index = self.graph.iota(class);
                self.graph.one_hot(index, axis)
            }
        };
        let density = distribution.log_prob(&mut self.graph, &heads, value, axis);
        let density = self.over_components(id, density);
        self.graph.set_origin_of(outer);
        density
    }

    /// Draws the child of a factor; the sample axis is there already if there are several samples.
    pub(super) fn draw(&mut self, id: FactorId) -> Node {
        let (distribution, heads) = self.distribution(id);
        let heads = self.of_one_component(id, heads);
        let child = id.of(self.model).child;
        let axis = self.feature_axis(child);
        let axes = heads
            .iter()
            .flat_map(|&head| self.batch_axes(head).iter().collect::<Vec<_>>());
        let axes: Axes = axes.chain([self.row, axis]).chain(self.sample).collect();
        let outer = self.enter(id);
        let name = format!(
            "{}.{}{}",
            self.noise,
            self.scope,
            self.model.variables[child.index()].name
        );
        let kind = distribution
            .noise()
            .expect("check wants a reparametrised sample of a latent");
        let noise = self.graph.noise(&name, kind, axes);
        let sample = distribution.sample(&mut self.graph, &heads, noise);
        let sample = sample.expect("check wants a reparametrised sample of a latent");
        self.graph.set_origin_of(outer);
        self.set(child, sample);
        sample
    }

    /// What a term is made of, each averaged over its scopes: numbers per row, named as in reports.
    pub(super) fn term(&mut self, term: &Term) -> Vec<Entry> {
        match term {
            Term::LogProb(id) => {
                let density = self.log_prob(*id);
                vec![Entry::new(TermName::LogP(self.child_name(*id)), density)]
            }
            Term::NegativeLogProb(id) => {
                let density = self.log_prob(*id);
                vec![Entry::new(
                    TermName::NegLogQ(self.child_name(*id)),
                    self.graph.neg(density),
                )]
            }
            Term::NegativeKl { q, p } => {
                let name = TermName::NegKl(self.child_name(*q));
                vec![Entry::new(name, self.negative_kl(*q, *p))]
            }
            Term::Sum(terms) => terms.iter().flat_map(|term| self.term(term)).collect(),
            Term::Expect { factor, body } => self.expect(*factor, body),
            Term::Enumerate { factor, body } => self.enumerate(*factor, body),
            Term::EnumerateMean { factor, body } => self.enumerate_mean(*factor, body),
            Term::Choose { factor, body } => self.choose(*factor, body),
            Term::LogMeanExp { order, body } => self.log_mean_exp(*order, body),
            Term::LogSumExp { variable, body } => {
                let entries = self.term(body);
                let weight = total(&mut self.graph, &entries);
                let class = Axes::from(self.class_axis(*variable));
                vec![Entry::new(
                    TermName::LogWeight,
                    self.graph.log_sum_exp(weight, &class),
                )]
            }
        }
    }

    fn expect(&mut self, factor: FactorId, body: &Term) -> Vec<Entry> {
        self.with_samples(|lowering| {
            lowering.draw(factor);
            lowering.term(body)
        })
    }

    /// The mean over samples; the outermost draw of a case brings the samples in.
    pub(super) fn with_samples(
        &mut self,
        body: impl FnOnce(&mut Self) -> Vec<Entry>,
    ) -> Vec<Entry> {
        let outermost = self.sample.is_none() && self.samples > 1;
        if outermost {
            self.sample = Some(self.sample_axis());
        }
        let mut entries = body(self);
        if outermost {
            let sample = Axes::from(
                self.sample
                    .take()
                    .expect("the samples were brought in above"),
            );
            for entry in &mut entries {
                entry.node = self.graph.mean(entry.node, &sample);
            }
        }
        entries
    }

    fn negative_kl(&mut self, q: FactorId, p: FactorId) -> Node {
        let ((of_q, q_heads), (_, p_heads)) = (self.distribution(q), self.distribution(p));
        let axis = self.feature_axis(q.of(self.model).child);
        let outer = self.enter(q);
        let kl = of_q.kl(&mut self.graph, &q_heads, &p_heads, axis);
        let kl = kl.expect("check wants a closed form for an analytic KL");
        let negative = self.graph.neg(kl);
        self.graph.set_origin_of(outer);
        negative
    }

    pub(super) fn sample_axis(&mut self) -> Id<Axis> {
        let axis = Axis {
            name: "sample".to_string(),
            size: self.samples,
            kind: AxisKind::Sample,
        };
        self.graph.new_axis(axis)
    }

    pub(super) fn class_axis(&mut self, variable: Id<Variable>) -> Id<Axis> {
        let variable = &self.model.variables[variable.index()];
        self.graph.new_axis(Axis {
            name: variable.name.clone(),
            size: variable.size(),
            kind: AxisKind::Class,
        })
    }

    /// The name of a factor's child.
    fn child_name(&self, id: FactorId) -> String {
        self.model.variables[id.of(self.model).child.index()]
            .name
            .clone()
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
