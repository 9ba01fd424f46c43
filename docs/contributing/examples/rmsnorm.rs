//! Normalisation by the root mean square of the features (Zhang and Sennrich 2019).

use super::{Context, Layer, Part};
use crate::tensor::{Axes, Scalar, Start};

/// `rmsnorm`: x / √(mean x² + 1e-5), times a learned weight for each feature.
#[derive(Debug)]
pub struct RmsNorm;

impl Layer for RmsNorm {
    fn name(&self) -> &'static str {
        "rmsnorm"
    }

    fn needs_joined(&self) -> bool {
        true
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let part = &parts[0];
        let features: Axes = part.axes.iter().copied().collect();
        let weight = context.parameter("weight", &part.axes, Start::Constant(1.0));
        let graph = context.graph();
        let value = part.dense(graph);
        let square = graph.square(value);
        let mean = graph.mean(square, &features);
        let positive = graph.shift(mean, 1e-5);
        let root = graph.scalar(Scalar::Sqrt, &[positive]);
        let unit = graph.div(value, root);
        part.with(graph.mul(unit, weight))
    }
}
