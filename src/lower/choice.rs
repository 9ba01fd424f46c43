//! Classes: summed over, or with a value that stands for them; and the means of several samples'
//! weights.

use super::{
    case::{Entry, Lowering, total},
    network::Scope,
};
use crate::{
    bound::{FactorId, Term},
    estimator::{Baseline, Choice, gradient_alone},
    layer::{self, Context, Part, Value},
    model::{Bound, Discrete, Factor},
    names::{InputName, TermName},
    tensor::{Axes, Axis, AxisKind, Node, NoiseKind, Scalar, Start},
};

/// How far a baseline's running mean and variance go towards those of a batch.
const MOMENTUM: f64 = 0.1;

impl Lowering<'_> {
    /// Σ_k q(k | …) · body; a term that does not depend on k stays as it is, for the probabilities
    /// sum to one.
    pub(super) fn enumerate(&mut self, factor: FactorId, body: &Term) -> Vec<Entry> {
        let class = self.class_axis(factor.of(self.model).child);
        let log_q = self.log_prob(factor);
        let q = self.graph.exp(log_q);
        let mut entries = self.term(body);
        for entry in &mut entries {
            if self.graph.axes_of(entry.node).contains(class) {
                entry.node = self.graph.contract(q, entry.node, &Axes::from(class));
            }
        }
        entries
    }

    /// Σ_k m_k (body − log m_k), m the mean of q over the samples.
    pub(super) fn enumerate_mean(&mut self, factor: FactorId, body: &Term) -> Vec<Entry> {
        let child = factor.of(self.model).child;
        let class = Axes::from(self.class_axis(child));
        let each = self.log_prob(factor);
        let mean = self.log_mean(each);
        let m = self.graph.exp(mean);
        let own = self.graph.neg(mean);
        let mut entries = vec![Entry::new(
            TermName::NegLogQ(self.model.variables[child.index()].name.clone()),
            own,
        )];
        entries.extend(self.term(body));
        for entry in &mut entries {
            if class.is_subset(self.graph.axes_of(entry.node)) {
                entry.node = self.graph.contract(m, entry.node, &class);
            }
        }
        entries
    }

    /// log of the mean over samples of exp(value).
    fn log_mean(&mut self, value: Node) -> Node {
        match self
            .sample
            .filter(|&sample| self.graph.axes_of(value).contains(sample))
        {
            None => value,
            Some(sample) => {
                let sum = self.graph.log_sum_exp(value, &Axes::from(sample));
                self.graph.shift(sum, -(self.samples as f64).ln())
            }
        }
    }

    /// 1/(1 − α) · log mean over samples of exp((1 − α) body).
    pub(super) fn log_mean_exp(&mut self, order: f64, body: &Term) -> Vec<Entry> {
        let mut entries = self.term(body);
        let weight = total(&mut self.graph, &entries);
        let power = 1.0 - order;
        let raised = self.graph.scale(weight, power);
        let mean = self.log_mean(raised);
        let bound = self.graph.scale(mean, 1.0 / power);
        entries.iter_mut().for_each(|entry| entry.adds = false);
        entries.push(Entry::new(TermName::LogMeanWeight, bound));
        if !self.scores.is_empty() {
            let without = self.without_each(raised, power);
            let better = self.graph.sub(bound, without);
            let signal = self.graph.stop_gradient(better);
            let sample = Axes::from(self.sample.expect("check wants two samples"));
            for log_q in std::mem::take(&mut self.scores) {
                let score = gradient_alone(&mut self.graph, log_q);
                entries.push(Entry::silent(self.graph.contract(signal, score, &sample)));
            }
        }
        entries
    }

    /// What the bound would be if each sample in turn had the geometric mean of the others' weights
    /// (VIMCO, Mnih and Rezende 2016).
    fn without_each(&mut self, raised: Node, power: f64) -> Node {
        let sample = self.sample.expect("check wants two samples");
        let other = self.graph.new_axis(Axis {
            name: "other sample".to_string(),
            size: self.samples,
            kind: AxisKind::Sample,
        });
        let count = self.samples as f64;
        let sum = self.graph.sum(raised, &Axes::from(sample));
        let others = self.graph.sub(sum, raised);
        let likely = self.graph.scale(others, 1.0 / (count - 1.0));
        let position = self.graph.iota(sample);
        let own = self.graph.one_hot(position, other);
        let weights = self.graph.rename(raised, sample, other);
        let replaced = self.graph.scalar(Scalar::Select, &[own, likely, weights]);
        let sum = self.graph.log_sum_exp(replaced, &Axes::from(other));
        let mean = self.graph.shift(sum, -count.ln());
        self.graph.scale(mean, 1.0 / power)
    }

    /// The mean over what a variable's estimator draws for it.
    pub(super) fn choose(&mut self, factor: FactorId, body: &Term) -> Vec<Entry> {
        let child = factor.of(self.model).child;
        let discrete = self
            .model
            .objective
            .drawn(child)
            .expect("the bound chooses what is drawn");
        self.with_samples(|lowering| lowering.chosen(factor, discrete, body))
    }

    fn chosen(&mut self, factor: FactorId, discrete: &Discrete, body: &Term) -> Vec<Entry> {
        let (_, heads) = self.distribution(factor);
        let axis = self.feature_axis(discrete.variable);
        let outer = self.enter(factor);
        let log_q = self.graph.log_softmax(heads[0], axis);
        let axes: Axes = self
            .batch_axes(log_q)
            .iter()
            .chain([self.row, axis])
            .chain(self.sample)
            .collect();
        let name = self.model.variables[discrete.variable.index()].name.clone();
        let uniform = self
            .graph
            .noise(&format!("{}.{name}", self.noise), NoiseKind::Uniform, axes);
        let changing = discrete.estimator.changing(&discrete.arguments, 0.0);
        let changing = changing.map(|(number, _)| {
            self.graph
                .input(&InputName::number(number, &name).to_string(), Axes::none())
        });
        let choice = Choice {
            log_q,
            axis,
            uniform,
            arguments: &discrete.arguments,
            changing,
            sample: self.sample,
            samples: self.samples,
        };
        let drawn = discrete.estimator.draw(&mut self.graph, &choice);
        self.set(discrete.variable, drawn.value);
        let of_weights = self.model.objective.bound != Bound::Evidence;
        if of_weights && discrete.estimator.keyword() == "score" {
            let own = self.graph.contract(drawn.value, log_q, &Axes::from(axis));
            self.scores.push(own);
        }
        self.graph.set_origin_of(outer);
        let mut entries = self.term(body);
        let outer = self.enter(factor);
        let worth = self.worth(&entries);
        if let Some((slots, weights)) = drawn.slots {
            for entry in &mut entries {
                if self.graph.axes_of(entry.node).contains(slots) {
                    entry.node = self.graph.contract(weights, entry.node, &Axes::from(slots));
                }
            }
        }
        let depends = drawn
            .slots
            .is_none_or(|(slots, _)| self.graph.axes_of(worth).contains(slots));
        if !of_weights && depends {
            let baseline = discrete
                .network
                .is_some()
                .then(|| self.baseline(factor.of(self.model), discrete, worth));
            let silent =
                discrete
                    .estimator
                    .gradient(&mut self.graph, &choice, &drawn, worth, baseline);
            entries.extend(silent.map(Entry::silent));
        }
        self.graph.set_origin_of(outer);
        entries
    }

    /// A network on the parents of q that predicts what a value is worth, by running averages of
    /// that.
    fn baseline(&mut self, factor: &Factor, discrete: &Discrete, worth: Node) -> Baseline {
        let network = discrete
            .network
            .as_ref()
            .expect("a learned baseline has a network");
        let prefix = format!(
            "baseline.{}",
            self.model.variables[discrete.variable.index()].name
        );
        let mut parts: Vec<Part> = Vec::new();
        for &parent in &factor.parents {
            let part = self.part(parent);
            parts.push(match part.value {
                Value::Dense(node) => part.with(self.graph.stop_gradient(node)),
                Value::Enumerated(_) => part,
            });
        }
        self.layers(&prefix, &network.layers, &mut parts);
        let mut scope = Scope {
            prefix: format!("{prefix}.value"),
            lowering: self,
        };
        let out = scope.new_axis("", 1, AxisKind::Feature);
        let start = |inputs, outputs| Start::LatentHeadWeight { inputs, outputs };
        let value = layer::linear(&mut scope, &parts, out, &start, Start::Bias);
        let graph = scope.graph();
        let value = graph.sum(value, &Axes::from(out));
        let worth = graph.stop_gradient(worth);
        let all = graph.axes_of(worth).clone();
        let observed = graph.mean(worth, &all);
        let centred = graph.sub(worth, observed);
        let square = graph.square(centred);
        let spread = graph.mean(square, &all);
        let mean = scope.running_average("running_mean", &[], 0.0, observed, MOMENTUM);
        let variance = scope.running_average("running_var", &[], 1.0, spread, MOMENTUM);
        let graph = scope.graph();
        let least = graph.shift(variance, 1e-8);
        Baseline {
            value,
            mean,
            scale: graph.scalar(Scalar::Sqrt, &[least]),
        }
    }
}
