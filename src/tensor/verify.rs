//! The verifier of graphs.

use super::{Axes, Graph, Op, Window};
use std::collections::BTreeSet;

/// Verifies the invariants of a graph.
///
/// # Panics
/// If the graph breaks one, which is a bug of dgc and not a mistake of the user.
pub fn verify(graph: &Graph) {
    for node in graph.ids() {
        let data = graph.node(node);
        for operand in data.op.operands() {
            assert!(
                operand < node,
                "{node:?} reads {operand:?}, which does not precede it"
            );
        }
        assert!(
            data.axes == graph.axes_of_op(&data.op),
            "{node:?} has other axes than its operation"
        );
        match &data.op {
            Op::Scalar(scalar, operands) => {
                assert!(
                    operands.len() == scalar.row().arity,
                    "{node:?}: wrong number of operands"
                );
            }
            Op::Reduce(_, value, over) => {
                let fits = !over.is_empty() && over.is_subset(graph.axes_of(*value));
                assert!(fits, "{node:?} reduces over axes that its operand lacks");
            }
            Op::Contract(left, right, over) => {
                let shared = graph.axes_of(*left).intersection(graph.axes_of(*right));
                assert!(
                    !over.is_empty() && over.is_subset(&shared),
                    "{node:?} contracts over axes that are not shared"
                );
            }
            Op::OneHot(value, axis) => {
                assert!(
                    !graph.axes_of(*value).contains(*axis),
                    "{node:?}: the index has the axis"
                )
            }
            Op::Rename(value, from, to) => {
                let axes = graph.axes_of(*value);
                assert!(
                    axes.contains(*from) && !axes.contains(*to),
                    "{node:?} renames an axis that is not there, or twice"
                );
                assert!(
                    graph.axis(*from).size == graph.axis(*to).size,
                    "{node:?} renames to another size"
                );
            }
            Op::Window(value, window) => {
                assert!(
                    graph.axes_of(*value).contains(window.axis),
                    "{node:?} reads along an axis that is not there"
                );
                assert!(is_map(window), "{node:?} names its places twice");
            }
            Op::Fold(value, window) => {
                assert!(
                    !graph.axes_of(*value).contains(window.axis),
                    "{node:?} makes an axis that is there already"
                );
                assert!(is_map(window), "{node:?} names its places twice");
            }
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    for parameter in &graph.parameters {
        assert!(
            names.insert(&parameter.name),
            "parameter `{}` is declared twice",
            parameter.name
        );
    }
    for output in &graph.outputs {
        let axes: Axes = output.axes.iter().copied().collect();
        assert!(
            graph.axes_of(output.node).is_subset(&axes),
            "output `{}` lacks axes of its value",
            output.name
        );
    }
}

/// Whether each term has another axis and a stride, and none has the axis that is read.
fn is_map(window: &Window) -> bool {
    let axes: BTreeSet<_> = window.terms.iter().map(|(axis, _)| *axis).collect();
    let strides = window.terms.iter().all(|(_, stride)| *stride != 0);
    strides
        && window.divisor > 0
        && axes.len() == window.terms.len()
        && !axes.contains(&window.axis)
}
