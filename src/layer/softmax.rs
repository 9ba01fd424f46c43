//! The softmax over the features.

use super::{Context, Layer, Part};
use crate::{
    id::Id,
    tensor::{Axis, Node},
};

#[derive(Debug)]
pub struct Softmax;

impl Layer for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    /// exp(x) / Σ exp(x), over the features.
    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> (Node, Id<Axis>) {
        let (graph, axis) = (context.graph(), parts[0].axis);
        let value = parts[0].dense(graph);
        let logs = graph.log_softmax(value, axis);
        (graph.exp(logs), axis)
    }
}
