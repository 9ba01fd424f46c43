//! Reverse-mode differentiation: adds the nodes of the gradient to the graph.
//!
//! The adjoint of a node is the gradient of the result by the node's value. If it lacks an axis of its
//! node, it is constant along it. It never has an axis that its node lacks: a gradient is summed over the
//! axes that the operand lacks.
//!
//! # Example
//!
//! loss = Σ_row (Σ_feature x w)² has five nodes. From the last to the first:
//!
//! | node | value | axes | adjoint |
//! |---|---|---|---|
//! | `loss` | Σ_row s | | 1 |
//! | `s` | h · h | row | 1, constant along row |
//! | `h` | Σ_feature x w | row | h + h: one contribution for each operand of h · h |
//! | `w` | input | feature | Σ_row (h + h) x: row is an axis that w lacks |
//! | `x` | input | row, feature | not requested, so not computed |
//!
//! ```
//! use dgc::{
//!     gradient,
//!     tensor::{Axes, Axis, AxisKind, Graph, OutputKind, eval},
//! };
//!
//! let mut graph = Graph::new();
//! let mut axis = |name: &str, kind| {
//!     let name = name.to_string();
//!     graph.new_axis(Axis { name, size: 2, kind })
//! };
//! let (row, feature) = (axis("row", AxisKind::Row), axis("feature", AxisKind::Feature));
//! let x = graph.input("x", Axes::from([row, feature]));
//! let w = graph.input("w", Axes::from(feature));
//! let h = graph.contract(x, w, &Axes::from(feature));
//! let s = graph.square(h);
//! let loss = graph.sum(s, &Axes::from(row));
//!
//! let by_w = gradient::reverse(&mut graph, loss, &[w])[0];
//! assert_eq!(graph.axes_of(by_w), &Axes::from(feature));
//!
//! graph.output(OutputKind::Value, "by w", by_w, vec![feature]);
//! let values = eval::NamedValues::from([
//!     ("x".to_string(), vec![1.0, 2.0, 3.0, 4.0]),
//!     ("w".to_string(), vec![1.0, -1.0]),
//! ]);
//! let outputs = eval::run(&graph, &values, None).expect("every input has values");
//! assert_eq!(outputs[0].2.data, [-8.0, -12.0]);
//! ```

use crate::tensor::{Axes, Graph, Node, Op, ReduceKind, Scalar};

/// The gradient of `result`, a value without axes, by each of `by`. A gradient may lack axes along
/// which it is constant.
///
/// # Panics
///
/// If `result` has axes.
pub fn reverse(graph: &mut Graph, result: Node, by: &[Node]) -> Vec<Node> {
    assert!(
        graph.axes_of(result).is_empty(),
        "a gradient is taken of one number"
    );
    let count = graph.nodes.len();
    let active = depends_on(graph, by, count);
    let mut adjoints: Vec<Vec<Node>> = vec![Vec::new(); count];
    adjoints[result.index()].push(graph.constant(1.0));
    for node in (0..=result.index()).rev().map(Node::new) {
        if !active[node.index()] || adjoints[node.index()].is_empty() {
            continue;
        }
        let origin = graph.node(node).origin;
        graph.set_origin_of(origin);
        let adjoint = total(graph, std::mem::take(&mut adjoints[node.index()]));
        adjoints[node.index()].push(adjoint);
        let op = graph.op(node).clone();
        let operands = op.operands();
        for (operand, contribution) in operands
            .iter()
            .zip(contributions(graph, &op, node, adjoint))
        {
            if let Some(contribution) = contribution.filter(|_| active[operand.index()]) {
                adjoints[operand.index()].push(contribution);
            }
        }
    }
    by.iter()
        .map(|node| {
            match adjoints
                .get(node.index())
                .and_then(|adjoints| adjoints.first())
            {
                Some(&adjoint) => adjoint,
                None => graph.constant(0.0),
            }
        })
        .collect()
}

/// Which of the first `count` nodes the gradient flows through.
fn depends_on(graph: &Graph, by: &[Node], count: usize) -> Vec<bool> {
    let mut active = vec![false; count];
    for node in by {
        active[node.index()] = true;
    }
    for index in 0..count {
        let op = &graph.nodes[index].op;
        let flows = !matches!(op, Op::StopGradient(_) | Op::OneHot(..));
        active[index] |= flows && op.operands().iter().any(|operand| active[operand.index()]);
    }
    active
}

/// The sum of some values, those with the fewest axes first.
fn total(graph: &mut Graph, mut values: Vec<Node>) -> Node {
    values.sort_by_key(|&value| graph.axes_of(value).len());
    graph.total(values)
}

/// The gradient by each operand of `op`, from the gradient `adjoint` by its result `node`.
fn contributions(graph: &mut Graph, op: &Op, node: Node, adjoint: Node) -> Vec<Option<Node>> {
    match op {
        Op::Constant(_) | Op::Input { .. } | Op::Parameter(_) | Op::Noise { .. } | Op::Iota(_) => {
            Vec::new()
        }
        Op::StopGradient(_) | Op::OneHot(..) => vec![None],
        Op::Scalar(scalar, operands) => {
            let gradients = (scalar.row().gradient)(graph, operands, node, adjoint);
            let axes = graph.axes_of(node).clone();
            gradients
                .into_iter()
                .zip(operands)
                .map(|(gradient, &operand)| {
                    let lacking = axes.minus(graph.axes_of(operand));
                    gradient.map(|gradient| graph.sum(gradient, &lacking))
                })
                .collect()
        }
        Op::Reduce(ReduceKind::Sum, ..) => vec![Some(adjoint)],
        // The gradient of log Σ exp is softmax.
        Op::Reduce(ReduceKind::LogSumExp, value, _) => {
            let centred = graph.sub(*value, node);
            let softmax = graph.exp(centred);
            vec![Some(graph.mul(adjoint, softmax))]
        }
        // The elements that equal the maximum share the gradient equally.
        Op::Reduce(ReduceKind::Max, value, over) => {
            let below = graph.scalar(Scalar::Greater, &[node, *value]);
            let (zero, one) = (graph.constant(0.0), graph.constant(1.0));
            let tied = graph.scalar(Scalar::Select, &[below, zero, one]);
            let count = graph.sum(tied, over);
            let share = graph.div(adjoint, count);
            vec![Some(graph.scalar(Scalar::Select, &[below, zero, share]))]
        }
        Op::Contract(left, right, _) => {
            let (left_axes, right_axes) =
                (graph.axes_of(*left).clone(), graph.axes_of(*right).clone());
            let over_left = right_axes.minus(&left_axes);
            let over_right = left_axes.minus(&right_axes);
            vec![
                Some(product_over(graph, adjoint, *right, &over_left)),
                Some(product_over(graph, adjoint, *left, &over_right)),
            ]
        }
        Op::Window(value, window) => {
            let reads_twice = window
                .terms
                .iter()
                .any(|(axis, _)| graph.axes_of(*value).contains(*axis));
            assert!(
                !reads_twice,
                "only the plan reads along two axes of a value at once"
            );
            vec![Some(graph.fold(adjoint, window))]
        }
        // A value that lacks an axis of positions is added once for each position along it.
        Op::Fold(value, window) => {
            let read = graph.window(adjoint, window);
            let named: Axes = window.terms.iter().map(|(axis, _)| *axis).collect();
            let lacking = named.minus(graph.axes_of(*value));
            vec![Some(graph.sum(read, &lacking))]
        }
        Op::Rename(_, from, to) => vec![Some(graph.rename(adjoint, *to, *from))],
    }
}

fn product_over(graph: &mut Graph, adjoint: Node, factor: Node, over: &Axes) -> Node {
    if over.is_empty() {
        graph.mul(adjoint, factor)
    } else {
        graph.contract(adjoint, factor, over)
    }
}
