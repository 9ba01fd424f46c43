//! Operations that no kernel has, in terms of those that kernels have.

use super::{
    contraction::{self, Layout},
    schedule::canonical,
};
use crate::tensor::{Axes, Graph, Node, Op, ReduceKind};

/// The same outputs without log-sum-exp, and without contractions that are no matrix product.
pub(super) fn run(graph: &Graph) -> Graph {
    let mut result = graph.emptied();
    let mut made: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for data in &graph.nodes {
        result.set_origin_of(data.origin);
        let op = data.op.map(|operand| made[operand.index()]);
        made.push(match op {
            Op::Reduce(ReduceKind::LogSumExp, value, over) => {
                // log Σ exp(x) = m + log Σ exp(x − m), with m the greatest x, so that nothing overflows
                let greatest = result.max(value, &over);
                let centred = result.sub(value, greatest);
                let weights = result.exp(centred);
                let sum = result.sum(weights, &over);
                let log = result.log(sum);
                result.add(greatest, log)
            }
            Op::Contract(left, right, over) if !is_matrix_product(&result, left, right, &over) => {
                let product = result.mul(left, right);
                result.sum(product, &over)
            }
            op => result.push(op),
        });
    }
    result.outputs = graph.outputs.clone();
    result.outputs.iter_mut().for_each(|output| output.node = made[output.node.index()]);
    result
}

/// Whether the operands share no axis but those summed over, and all groups of axes lie side by side.
fn is_matrix_product(graph: &Graph, left: Node, right: Node, over: &Axes) -> bool {
    let (left, right) = (layout(graph, left), layout(graph, right));
    let free = left.iter().chain(&right).copied().filter(|&axis| !over.contains(axis));
    let out = canonical(graph, free);
    let distinct = out.windows(2).all(|pair| pair[0] != pair[1]);
    // The operand with the outermost axis makes the rows.
    let (left, right) = if out.first().is_none_or(|axis| left.contains(axis)) { (left, right) } else { (right, left) };
    distinct && !out.is_empty() && contraction::shape(graph, &out, &left, &right).is_some()
}

/// The order of a value's axes in memory.
fn layout(graph: &Graph, node: Node) -> Layout {
    match graph.op(node) {
        Op::Parameter(parameter) => graph.parameter(*parameter).axes.clone(),
        Op::StopGradient(value) => layout(graph, *value),
        Op::Rename(value, from, to) => {
            layout(graph, *value).into_iter().map(|axis| if axis == *from { *to } else { axis }).collect()
        }
        _ => canonical(graph, graph.axes_of(node).iter()),
    }
}
