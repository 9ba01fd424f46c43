//! The verifier of graphs.

use super::{Axes, Axis, Graph, Node, Op, Window};
use crate::id::Id;
use std::collections::BTreeSet;

/// Verifies the invariants of a graph.
///
/// # Panics
/// If the graph breaks one, which is a bug of dgc and not a mistake of the user.
pub fn verify(graph: &Graph) {
    for node in graph.ids() {
        verify_node(graph, node);
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

fn verify_node(graph: &Graph, node: Node) {
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
    if let Some(mistake) = mistake(graph, &data.op) {
        panic!("{node:?} {mistake}");
    }
}

/// What is wrong with an operation.
fn mistake(graph: &Graph, op: &Op) -> Option<&'static str> {
    let has = |value: &Node, axis: Id<Axis>| graph.axes_of(*value).contains(axis);
    let (holds, mistake) = match op {
        Op::Scalar(scalar, operands) => (
            operands.len() == scalar.row().arity,
            "has the wrong number of operands",
        ),
        Op::Reduce(_, value, over) => (
            !over.is_empty() && over.is_subset(graph.axes_of(*value)),
            "reduces over axes that its operand lacks",
        ),
        Op::Contract(left, right, over) => {
            let shared = graph.axes_of(*left).intersection(graph.axes_of(*right));
            (
                !over.is_empty() && over.is_subset(&shared),
                "contracts over axes that are not shared",
            )
        }
        Op::OneHot(value, axis) => (!has(value, *axis), "has an index with its axis"),
        Op::Rename(value, from, to) => (
            has(value, *from) && !has(value, *to) && graph.axis(*from).size == graph.axis(*to).size,
            "renames an axis that its operand lacks, to one that it has, or to another size",
        ),
        Op::Window(value, window) => (
            has(value, window.axis) && is_map(window),
            "reads along an axis that its operand lacks, or names places twice",
        ),
        Op::Fold(value, window) => (
            !has(value, window.axis) && is_map(window),
            "adds an axis that its operand has, or names places twice",
        ),
        _ => (true, ""),
    };
    (!holds).then_some(mistake)
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
