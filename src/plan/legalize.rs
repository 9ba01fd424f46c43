//! Legalization: rewrites operations that kernels do not have in terms of those that they have.

use super::{
    contraction::{self, Layout, Operand},
    layout::canonical,
};
use crate::tensor::{Axes, AxisKind, Graph, Node, Op, ReduceKind, Window};

/// The most terms of a sum that computes two folds at once.
const MOST_TERMS: usize = 4;

/// Removes log-sum-exp, folds that add elements, and contractions that are not matrix products. The
/// outputs keep their values.
pub(super) fn run(graph: &Graph) -> Graph {
    let mut result = graph.emptied();
    let mut lowered: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for data in &graph.nodes {
        result.set_origin_of(data.origin);
        let op = data.op.map(|operand| lowered[operand.index()]);
        lowered.push(match op {
            Op::Reduce(ReduceKind::LogSumExp, value, over) => {
                // log Σ exp(x) = m + log Σ exp(x − m), with m the greatest x, so that nothing
                // overflows
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
            Op::Fold(value, window) if !is_merge(&result, value, &window) => {
                unfolded(&mut result, value, &window)
            }
            op => result.push(op),
        });
    }
    result.outputs = graph.outputs.clone();
    result
        .outputs
        .iter_mut()
        .for_each(|output| output.node = lowered[output.node.index()]);
    result
}

/// A fold as a sum over positions. Of the positions that name a place, one follows from the place and
/// the others, so a window reads the value there and a sum runs over the others.
fn unfolded(graph: &mut Graph, value: Node, window: &Window) -> Node {
    let size = |&term: &usize| graph.axis(window.terms[term].0).size;
    let kind = |&term: &usize| graph.axis(window.terms[term].0).kind == AxisKind::Position;
    let has = |&term: &usize| graph.axes_of(value).contains(window.terms[term].0);
    // Usually the longest axis, so that the sum is short.
    let terms = 0..window.terms.len();
    let solved = terms
        .max_by_key(|term| (has(term), kind(term), size(term)))
        .expect("a window has positions");
    let others = window
        .terms
        .iter()
        .enumerate()
        .filter(|(term, _)| *term != solved);
    let others: Axes = others.map(|(_, (axis, _))| *axis).collect();
    let window = window.solved(solved);
    // Two folds with short sums become one sum, and need no memory for the value between them.
    let inner_sum = match graph.op(value) {
        Op::Reduce(ReduceKind::Sum, inner, over)
            if graph.elements(&over.union(&others)) <= MOST_TERMS =>
        {
            Some((*inner, over.clone()))
        }
        _ => None,
    };
    let (inner, over) = match inner_sum {
        Some((inner, over)) if matches!(graph.op(inner), Op::Window(..)) => {
            (inner, over.union(&others))
        }
        _ => (value, others),
    };
    let read = graph.window(inner, &window);
    graph.sum(read, &over)
}

/// Whether a fold gives each place one of the value's elements, so that it adds nothing.
fn is_merge(graph: &Graph, value: Node, window: &Window) -> bool {
    let has = graph.axes_of(value);
    window.terms.iter().all(|(axis, _)| has.contains(*axis)) && window.names_each_once(graph)
}

/// Whether a contraction is a matrix product: the operands share no axis but those summed over, and
/// each group of axes lies side by side in memory.
fn is_matrix_product(graph: &Graph, left: Node, right: Node, over: &Axes) -> bool {
    let (left, right) = (operand(graph, left), operand(graph, right));
    let axes = |operand: &Operand| match operand {
        Operand::Strided(layout) => layout.clone(),
        Operand::Windowed(axes) => axes.iter().collect(),
    };
    let free = [axes(&left), axes(&right)]
        .concat()
        .into_iter()
        .filter(|&axis| !over.contains(axis));
    let out = canonical(graph, free);
    let distinct = out.windows(2).all(|pair| pair[0] != pair[1]);
    if distinct
        && [&left, &right]
            .into_iter()
            .any(|operand| matches!(operand, Operand::Windowed(_)))
    {
        // The result and the other operand get the memory order that the product needs.
        return !out.is_empty();
    }
    // The operand with the outermost axis makes the rows.
    let left_makes_rows = out.first().is_none_or(|axis| axes(&left).contains(axis));
    let (left, right) = if left_makes_rows {
        (left, right)
    } else {
        (right, left)
    };
    distinct && !out.is_empty() && contraction::shape(graph, &out, &left, &right).is_some()
}

/// How a value lies in memory.
fn operand(graph: &Graph, node: Node) -> Operand {
    match layout(graph, node) {
        Some(layout) => Operand::Strided(layout),
        None => Operand::Windowed(graph.axes_of(node).clone()),
    }
}

/// The order of a value's axes in memory, if it is not read through windows.
fn layout(graph: &Graph, node: Node) -> Option<Layout> {
    Some(match graph.op(node) {
        Op::Parameter(parameter) => graph.parameter(*parameter).axes.clone(),
        Op::StopGradient(value) => layout(graph, *value)?,
        Op::Rename(value, from, to) => layout(graph, *value)?
            .into_iter()
            .map(|axis| if axis == *from { *to } else { axis })
            .collect(),
        Op::Window(..) => return None,
        _ => canonical(graph, graph.axes_of(node).iter()),
    })
}
