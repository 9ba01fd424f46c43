//! The softmax over the features, and its logarithm.

use super::{Context, Layer, Part, flat};

#[derive(Debug)]
pub struct Softmax;

#[derive(Debug)]
pub struct LogSoftmax;

impl Layer for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    /// exp(x) / Σ exp(x), over the features.
    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let part = flat(context, &parts[0]);
        let graph = context.graph();
        let value = part.dense(graph);
        let logs = graph.log_softmax(value, part.axes[0]);
        part.with(graph.exp(logs))
    }
}

impl Layer for LogSoftmax {
    fn name(&self) -> &'static str {
        "log_softmax"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    /// x − log Σ exp(x), over the features.
    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let part = flat(context, &parts[0]);
        let graph = context.graph();
        let value = part.dense(graph);
        part.with(graph.log_softmax(value, part.axes[0]))
    }
}
