//! The softmax over the features, and its logarithm.

use super::{Context, Layer, Part, flat};
use crate::tensor::{Graph, Node};

/// A function of the log-softmax, x − log Σ exp(x).
pub struct Softmax {
    name: &'static str,
    formula: fn(&mut Graph, Node) -> Node,
}

/// exp(x) / Σ exp(x).
pub const SOFTMAX: Softmax = Softmax {
    name: "softmax",
    formula: |graph, logs| graph.exp(logs),
};
pub const LOG_SOFTMAX: Softmax = Softmax {
    name: "log_softmax",
    formula: |_, logs| logs,
};

impl std::fmt::Debug for Softmax {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Layer for Softmax {
    fn name(&self) -> &'static str {
        self.name
    }

    fn needs_joined(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let part = flat(context, &parts[0]);
        let graph = context.graph();
        let value = part.dense(graph);
        let logs = graph.log_softmax(value, part.axes[0]);
        part.with((self.formula)(graph, logs))
    }
}
