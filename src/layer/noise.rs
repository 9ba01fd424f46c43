//! Layers that perturb their input in training: dropout and Gaussian noise.

use super::{Argument, Context, Layer, Part};
use crate::tensor::{NoiseKind, Scalar};

#[derive(Debug)]
pub struct Dropout;

#[derive(Debug)]
pub struct Noise;

impl Layer for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn arguments(&self) -> &'static [Argument] {
        &[Argument {
            name: "rate",
            default: Some(0.5),
            least: 0.0,
            most: 0.99,
            whole: false,
        }]
    }

    /// In training, each element is set to 0 with probability `rate`, else divided by 1 − rate
    /// (Srivastava et al. 2014).
    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part {
        let value = parts[0].dense(context.graph());
        if !context.noisy() || arguments[0] == 0.0 {
            return parts[0].with(value);
        }
        let noise = context.noise(&parts[0].name, NoiseKind::Uniform, value);
        let graph = context.graph();
        let rate = graph.constant(arguments[0]);
        let kept = graph.scalar(Scalar::Greater, &[noise, rate]);
        let scaled = graph.scale(value, 1.0 / (1.0 - arguments[0]));
        parts[0].with(graph.mul(kept, scaled))
    }
}

impl Layer for Noise {
    fn name(&self) -> &'static str {
        "noise"
    }

    fn arguments(&self) -> &'static [Argument] {
        &[Argument {
            name: "scale",
            default: None,
            least: 0.0,
            most: 1e6,
            whole: false,
        }]
    }

    /// In training, `scale` · N(0, 1) is added to each element.
    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part {
        let value = parts[0].dense(context.graph());
        if !context.noisy() || arguments[0] == 0.0 {
            return parts[0].with(value);
        }
        let noise = context.noise(&parts[0].name, NoiseKind::Normal, value);
        let graph = context.graph();
        let scaled = graph.scale(noise, arguments[0]);
        parts[0].with(graph.add(value, scaled))
    }
}
