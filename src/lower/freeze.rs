//! Frozen parameters: training reads them and changes none.

use crate::{
    model::Model,
    tensor::{Graph, OutputKind},
};

/// Gives the parameters that the model freezes no gradient, so that no update, decay or prior changes
/// them, and leaves frozen running averages as they are.
pub fn freeze(graph: &mut Graph, model: &Model) {
    for parameter in &mut graph.parameters {
        parameter.trained &= !model.is_frozen(&parameter.name);
    }
    let is_moved = |kind: OutputKind, name: &str| kind == OutputKind::Next && model.is_frozen(name);
    graph
        .outputs
        .retain(|output| !is_moved(output.kind, &output.name.to_string()));
}
