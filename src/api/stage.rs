//! The stages of compilation as text.

use crate::{
    backend::{Precision, cuda::emit},
    bound, driver,
    error::Result,
    lower::Mode,
    model::{self, Model},
    plan::{self, NoiseSource},
    run::programs::batch_rows,
    syntax, tensor,
};
use std::{fmt, ops::Deref};

/// A stage of compilation from a model's text to kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The syntax tree.
    Ast,
    /// The generative and inference graphs.
    Graph,
    /// The bound of each case, as mathematics.
    Bound,
    /// The loss as operations on named axes.
    Tensor,
    /// The loss and its gradient.
    Gradient,
    /// The loss and its gradient after simplification.
    Simplified,
    /// Kernels and buffers.
    Plan,
    /// The plan as CUDA C++, with matrix products at this precision.
    Cuda(Precision),
}

impl Stage {
    /// Every stage, in order; CUDA in single precision.
    pub const ALL: [Stage; 8] = [
        Stage::Ast,
        Stage::Graph,
        Stage::Bound,
        Stage::Tensor,
        Stage::Gradient,
        Stage::Simplified,
        Stage::Plan,
        Stage::Cuda(Precision::F32),
    ];
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Ast => "ast",
            Stage::Graph => "graph",
            Stage::Bound => "bound",
            Stage::Tensor => "tensor",
            Stage::Gradient => "gradient",
            Stage::Simplified => "simplified",
            Stage::Plan => "plan",
            Stage::Cuda(_) => "cuda",
        })
    }
}

impl Model {
    /// Prints a stage of the compilation of a training step.
    ///
    /// # Errors
    /// If the model is too large to be compiled.
    pub fn emit(&self, stage: Stage) -> Result<String> {
        let objective = driver::derive(self);
        let rows = batch_rows(self);
        let tensor = || driver::lower(self, &objective, &rows, Mode::TRAIN);
        let simplified = || driver::simplify(&driver::differentiate(tensor()));
        let plan = || driver::plan(&simplified(), NoiseSource::Generated);
        Ok(match stage {
            Stage::Ast => {
                syntax::print(&syntax::parse(&self.source).expect("a checked model parses"))
            }
            Stage::Graph => model::print(self),
            Stage::Bound => bound::print(self, &objective),
            Stage::Tensor => tensor::print(&tensor()),
            Stage::Gradient => tensor::print(&driver::differentiate(tensor())),
            Stage::Simplified => tensor::print(&simplified()),
            Stage::Plan => plan::print(plan()?.deref()),
            Stage::Cuda(precision) => emit::emit(plan()?.deref(), &self.file, precision).text,
        })
    }
}
