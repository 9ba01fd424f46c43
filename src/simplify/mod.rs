//! Simplification: a graph is rebuilt from its leaves, and a table of algebraic rules is applied to each
//! operation.
//!
//! Rebuilding joins equal nodes and drops nodes that no output reads. A simplified operand may lack an
//! axis that it had before, because it is constant along it. A sum over that axis becomes a
//! multiplication by its size.

mod rules;

use crate::tensor::{Axes, Graph, Node, Op, Output, ReduceKind, Scalar};

/// The same outputs from fewer and narrower operations.
pub fn run(graph: &Graph) -> Graph {
    let mut simplifier = Simplifier {
        graph: graph.emptied(),
    };
    let simplified = rebuild(graph, |op, origin| {
        simplifier.graph.set_origin_of(origin);
        simplifier.make(op)
    });
    let mut result = simplifier.graph;
    result.outputs = relabel(&graph.outputs, |node| {
        simplified[node.index()].expect("outputs are rebuilt")
    });
    sweep(&result)
}

/// The identity of each rule, with the domain where it holds.
pub fn identities() -> impl Iterator<Item = &'static str> {
    rules::RULES.iter().map(|rule| rule.identity)
}

/// The same graph without the nodes that no output reads.
fn sweep(graph: &Graph) -> Graph {
    let mut swept = graph.emptied();
    let kept = rebuild(graph, |op, origin| {
        swept.set_origin_of(origin);
        swept.push(op)
    });
    swept.outputs = relabel(&graph.outputs, |node| {
        kept[node.index()].expect("outputs are kept")
    });
    swept
}

/// Calls `make` for each node that an output reads, with operands replaced by their new nodes. Gives
/// the new node of each old one.
fn rebuild(graph: &Graph, mut make: impl FnMut(Op, usize) -> Node) -> Vec<Option<Node>> {
    let mut read = vec![false; graph.nodes.len()];
    graph
        .outputs
        .iter()
        .for_each(|output| read[output.node.index()] = true);
    for index in (0..read.len()).rev() {
        if read[index] {
            graph.nodes[index]
                .op
                .operands()
                .iter()
                .for_each(|operand| read[operand.index()] = true);
        }
    }
    let mut nodes: Vec<Option<Node>> = vec![None; graph.nodes.len()];
    for (index, data) in graph.nodes.iter().enumerate() {
        if read[index] {
            let op = data
                .op
                .map(|operand| nodes[operand.index()].expect("operands precede their users"));
            nodes[index] = Some(make(op, data.origin));
        }
    }
    nodes
}

fn relabel(outputs: &[Output], new: impl Fn(Node) -> Node) -> Vec<Output> {
    outputs
        .iter()
        .map(|output| Output {
            node: new(output.node),
            ..output.clone()
        })
        .collect()
}

/// The graph that is being rebuilt.
struct Simplifier {
    graph: Graph,
}

impl Simplifier {
    /// Adds an operation in its simplest form. Its operands are simplified, and may lack axes that the
    /// operation names.
    fn make(&mut self, op: Op) -> Node {
        let op = match self.fit(op) {
            Ok(op) => op,
            Err(node) => return node,
        };
        for rule in rules::RULES {
            if let Some(node) = (rule.apply)(self, &op) {
                return node;
            }
        }
        self.graph.push(op)
    }

    /// The operation over those axes that its operands have, or a node with its value if it has no
    /// such form.
    fn fit(&mut self, op: Op) -> Result<Op, Node> {
        match op {
            Op::Reduce(kind, value, over) => {
                let present = over.intersection(self.graph.axes_of(value));
                if present == over {
                    return Ok(Op::Reduce(kind, value, over));
                }
                let times = self.graph.elements(&over.minus(&present)) as f64;
                let reduced = if present.is_empty() {
                    value
                } else {
                    self.make(Op::Reduce(kind, value, present))
                };
                Err(match kind {
                    ReduceKind::Sum => self.scale(reduced, times),
                    ReduceKind::Max => reduced,
                    ReduceKind::LogSumExp => {
                        let log = self.graph.constant(times.ln());
                        self.scalar(Scalar::Add, &[reduced, log])
                    }
                })
            }
            Op::Contract(left, right, over) => {
                let (left_axes, right_axes) = (self.graph.axes_of(left), self.graph.axes_of(right));
                let shared = over.intersection(left_axes).intersection(right_axes);
                if shared == over {
                    return Ok(Op::Contract(left, right, over));
                }
                let lone = over.minus(&shared);
                let (of_left, of_right) =
                    (lone.intersection(left_axes), lone.intersection(right_axes));
                let absent = lone.minus(&of_left).minus(&of_right);
                let (left, right) = (self.sum(left, &of_left), self.sum(right, &of_right));
                let product = match shared.is_empty() {
                    true => self.scalar(Scalar::Mul, &[left, right]),
                    false => self.make(Op::Contract(left, right, shared)),
                };
                let times = self.graph.elements(&absent) as f64;
                Err(self.scale(product, times))
            }
            Op::Rename(value, from, to) => match self.graph.axes_of(value).contains(from) {
                true => Ok(Op::Rename(value, from, to)),
                false => Err(value),
            },
            // A constant becomes 0 where positions name no place, so it gains the axes of the
            // positions.
            Op::Window(value, window) => match self.graph.axes_of(value).contains(window.axis) {
                true => Ok(Op::Window(value, window)),
                false => Err(self.graph.window(value, &window)),
            },
            op => Ok(op),
        }
    }

    fn scalar(&mut self, scalar: Scalar, operands: &[Node]) -> Node {
        self.make(Op::Scalar(scalar, operands.to_vec()))
    }

    fn scale(&mut self, value: Node, by: f64) -> Node {
        let by = self.graph.constant(by);
        self.scalar(Scalar::Mul, &[by, value])
    }

    fn sum(&mut self, value: Node, over: &Axes) -> Node {
        if over.is_empty() {
            value
        } else {
            self.make(Op::Reduce(ReduceKind::Sum, value, over.clone()))
        }
    }

    fn constant_of(&self, node: Node) -> Option<f64> {
        match self.graph.op(node) {
            Op::Constant(bits) => Some(f64::from_bits(*bits)),
            _ => None,
        }
    }

    /// The operands of `node` if it is this operation.
    fn operands_of(&self, node: Node, scalar: Scalar) -> Option<Vec<Node>> {
        match self.graph.op(node) {
            Op::Scalar(found, operands) if *found == scalar => Some(operands.clone()),
            _ => None,
        }
    }
}
