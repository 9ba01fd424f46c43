//! Activations: layers that act on each element separately.

use super::{Context, Layer, Part};
use crate::tensor::{Graph, Node, Scalar};

/// An activation: its name, and its formula.
pub struct Activation {
    name: &'static str,
    formula: fn(&mut Graph, Node) -> Node,
}

pub const RELU: Activation = Activation {
    name: "relu",
    formula: |g, x| g.scalar(Scalar::Relu, &[x]),
};

/// max(x, 0.01 x).
pub const LEAKY_RELU: Activation = Activation {
    name: "leaky_relu",
    formula: |g, x| {
        let slope = g.scale(x, 0.01);
        g.scalar(Scalar::Select, &[x, x, slope])
    },
};

/// x above 0, exp(x) − 1 below (Clevert et al. 2016).
pub const ELU: Activation = Activation {
    name: "elu",
    formula: |g, x| {
        let below = g.scalar(Scalar::ExpM1, &[x]);
        g.scalar(Scalar::Select, &[x, x, below])
    },
};

/// x Φ(x), with the exact normal distribution function (Hendrycks and Gimpel 2016).
pub const GELU: Activation = Activation {
    name: "gelu",
    formula: |g, x| g.scalar(Scalar::Gelu, &[x]),
};
pub const SOFTPLUS: Activation = Activation {
    name: "softplus",
    formula: |g, x| g.scalar(Scalar::Softplus, &[x]),
};
pub const TANH: Activation = Activation {
    name: "tanh",
    formula: |g, x| g.scalar(Scalar::Tanh, &[x]),
};
pub const SIGMOID: Activation = Activation {
    name: "sigmoid",
    formula: |g, x| g.scalar(Scalar::Sigmoid, &[x]),
};
/// log(x), for x above 0.
pub const LOG: Activation = Activation {
    name: "log",
    formula: |g, x| g.log(x),
};
/// log(1 + x), for x above −1, such as counts.
pub const LOG1P: Activation = Activation {
    name: "log1p",
    formula: |g, x| g.scalar(Scalar::Log1P, &[x]),
};

impl std::fmt::Debug for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Layer for Activation {
    fn name(&self) -> &'static str {
        self.name
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let graph = context.graph();
        let value = parts[0].dense(graph);
        parts[0].with((self.formula)(graph, value))
    }
}

/// `residual [...]`: adds the input to the output of the inner layers. Lowering expands the block;
/// this is its entry in the registry.
#[derive(Debug)]
pub struct Residual;

impl Layer for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn is_block(&self) -> bool {
        true
    }

    fn forward(&self, _: &mut dyn Context, _: &[f64], _: &[Part]) -> Part {
        unreachable!("the lowering walks a residual block's layers itself")
    }
}
