//! From terms over factors to operations on named axes.
//!
//! Each case is lowered on its own: its observed variables are inputs, its latents samples, a
//! summed variable a class axis. Cases share parameters by name, and hand the running averages on
//! in turn.

mod case;
mod choice;
mod generate;
mod inform;
mod matching;
mod mixture;
mod network;
mod objective;
mod smooth;
mod update;

use crate::{
    distribution::Domain,
    id::Id,
    model::{Model, Variable},
    tensor::{Axis, AxisKind, Graph},
};

pub use generate::generate;
pub use objective::{Evaluate, evaluate, train};
pub use update::update;

/// What the networks do, beside what the bound says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Batch norm by the batch's statistics, and not by the running averages.
    pub batch_statistics: bool,
    /// Dropout and noise are on.
    pub noisy: bool,
    /// Greys of binary data are drawn as Bernoulli samples.
    pub binarise: bool,
}

impl Mode {
    pub const TRAIN: Mode = Mode {
        batch_statistics: true,
        noisy: true,
        binarise: true,
    };
    /// `dgc bound`: training's statistics, nothing random but the given noise.
    pub const BOUND: Mode = Mode {
        batch_statistics: true,
        noisy: false,
        binarise: false,
    };
    pub const EVALUATE: Mode = Mode {
        batch_statistics: false,
        noisy: false,
        binarise: false,
    };
}

/// The feature axis of a variable.
fn feature_axis(graph: &mut Graph, model: &Model, variable: Id<Variable>) -> Id<Axis> {
    let variable = &model.variables[variable.index()];
    graph.new_axis(Axis {
        name: variable.name.clone(),
        size: variable.size(),
        kind: AxisKind::Feature,
    })
}

fn is_class(model: &Model, variable: Id<Variable>) -> bool {
    model.variables[variable.index()].domain == Domain::Class
}

/// The rows' axis of a case.
fn row_axis(graph: &mut Graph, case: &str, rows: usize) -> Id<Axis> {
    graph.new_axis(Axis {
        name: format!("{case}.row"),
        size: rows,
        kind: AxisKind::Row,
    })
}
