//! Labels that some rows of a case have and others lack.
//!
//! Such a label has a scope in the bound, as where no row has it. In a row that has it, its value
//! replaces the draw from q, its one-hot vector replaces the probabilities of q, and −log q of it is 0.

use super::case::{Case, Known};
use crate::{
    bound::FactorId,
    distribution::Domain,
    id::Id,
    model::Variable,
    tensor::{Axes, Node, Scalar},
};

impl Case<'_, '_> {
    /// The one-hot vectors of a class label on the axis of its classes (axes row, class), and the rows
    /// that have it; `None` if all rows of the case are alike.
    pub(super) fn known_class(&mut self, label: Id<Variable>) -> Option<Known> {
        let known = self.known(label)?;
        let features = self.feature_axis(label);
        let class = self.builder.class_axis(self.variable(label));
        let value = self.builder.graph.rename(known.value, features, class);
        Some(Known { value, ..known })
    }

    /// The probabilities that a class is summed over with (axes row, class, and those of its parents):
    /// those of q, and 1 for the class of a row that has one.
    pub(super) fn class_weights(&mut self, factor: FactorId) -> Node {
        let log_q = self.log_prob(factor);
        let q = self.builder.graph.exp(log_q);
        match self.known_class(factor.factor(self.model).child) {
            Some(Known { value, is_known }) => {
                let graph = &mut *self.builder.graph;
                graph.scalar(Scalar::Select, &[is_known, value, q])
            }
            None => q,
        }
    }

    /// The mean of a value over the classes that are summed over, innermost class first.
    pub(super) fn average_classes(&mut self, mut value: Node) -> Node {
        for factor in self.model.inference.iter().rev() {
            let child = self.variable(factor.child);
            if self.is_observed(factor.child) || child.domain != Domain::Class {
                continue;
            }
            let class = self.builder.class_axis(child);
            if self.builder.graph.axes_of(value).contains(class) {
                let q = self.class_weights(self.inference_of(factor.child));
                value = self.builder.graph.contract(q, value, &Axes::from(class));
            }
        }
        value
    }

    /// The logarithm of a weight (axes row, class, …), and a number near −∞ for each class that is not
    /// that of its row.
    pub(super) fn only_known(&mut self, label: Id<Variable>, log_weight: Node) -> Node {
        /// Its exponential is 0, and sums with densities do not overflow.
        const NONE: f64 = -1e30;
        let Some(Known { value, is_known }) = self.known_class(label) else {
            return log_weight;
        };
        let graph = &mut *self.builder.graph;
        let is_other = graph.sub(is_known, value);
        let none = graph.constant(NONE);
        graph.scalar(Scalar::Select, &[is_other, none, log_weight])
    }

    /// A number per row where a label is not known, and 0 where it is.
    pub(super) fn where_unknown(&mut self, variable: Id<Variable>, value: Node) -> Node {
        let Some(Known { is_known, .. }) = self.known(variable) else {
            return value;
        };
        let graph = &mut *self.builder.graph;
        let zero = graph.constant(0.0);
        graph.scalar(Scalar::Select, &[is_known, zero, value])
    }
    /// The value of a variable in the rows that have it, else `inferred`.
    pub(super) fn where_known(&mut self, variable: Id<Variable>, inferred: Node) -> Node {
        match self.known(variable) {
            Some(Known { value, is_known }) => {
                let graph = &mut *self.builder.graph;
                graph.scalar(Scalar::Select, &[is_known, value, inferred])
            }
            None => inferred,
        }
    }
}
