//! Prints graphs as text, one operation a line.

use super::{Axes, Graph, Node, Op, OutputKind, ReduceKind, Window};
use crate::id::Id;

/// A graph as text: its nodes, grouped by the formula that they belong to, then its outputs and counts.
/// Constants and parameters are printed where they are read.
pub fn print(graph: &Graph) -> String {
    let mut text = String::new();
    let mut origin = None;
    for node in graph.ids() {
        let data = graph.node(node);
        if matches!(data.op, Op::Constant(_) | Op::Parameter(_)) {
            continue;
        }
        if origin != Some(data.origin) {
            origin = Some(data.origin);
            text += &format!("// {}\n", graph.origins[data.origin]);
        }
        text += &format!(
            "  %{} {} = {}\n",
            node.index(),
            axes(graph, &data.axes),
            operation(graph, &data.op)
        );
    }
    text += "outputs\n";
    for output in &graph.outputs {
        let kind = match output.kind {
            OutputKind::Value => "value",
            OutputKind::Gradient => "gradient",
            OutputKind::Next => "next",
        };
        text += &format!(
            "  {kind} {} = {}\n",
            output.name,
            operand(graph, output.node)
        );
    }
    let count = |test: fn(&Op) -> bool| graph.nodes.iter().filter(|data| test(&data.op)).count();
    let contractions = count(|op| matches!(op, Op::Contract(..)));
    let reductions = count(|op| matches!(op, Op::Reduce(..)));
    let maps = count(|op| matches!(op, Op::Scalar(..) | Op::OneHot(..)));
    text + &format!("{contractions} contractions, {reductions} reductions, {maps} elementwise\n")
}

fn axes(graph: &Graph, axes: &Axes) -> String {
    let mut ids: Vec<Id<super::Axis>> = axes.iter().collect();
    ids.sort_by_key(|&axis| (graph.axis(axis).kind, axis));
    let names: Vec<String> = ids
        .iter()
        .map(|&axis| format!("{}:{}", graph.axis(axis).name, graph.axis(axis).size))
        .collect();
    format!("[{}]", names.join(", "))
}

fn operand(graph: &Graph, node: Node) -> String {
    match graph.op(node) {
        Op::Constant(bits) => format!("{}", f64::from_bits(*bits)),
        Op::Parameter(parameter) => graph.parameter(*parameter).name.clone(),
        _ => format!("%{}", node.index()),
    }
}

/// `height = 2 · out + kernel - 1`.
fn map(graph: &Graph, window: &Window) -> String {
    let name = |axis| graph.axis(axis).name.as_str();
    let mut text = format!("{} =", name(window.axis));
    for (number, &(axis, stride)) in window.terms.iter().enumerate() {
        let sign = if stride < 0 { " -" } else { " +" };
        text += if number == 0 && stride > 0 { "" } else { sign };
        let factor = if stride.abs() == 1 {
            String::new()
        } else {
            format!("{} · ", stride.abs())
        };
        text += &format!(" {factor}{}", name(axis));
    }
    if window.offset != 0 {
        text += &format!(
            " {} {}",
            if window.offset < 0 { '-' } else { '+' },
            window.offset.abs()
        );
    }
    if window.divisor == 1 {
        text
    } else {
        format!("{text}, all by {}", window.divisor)
    }
}

fn operation(graph: &Graph, op: &Op) -> String {
    let all = |operands: &[Node]| {
        operands
            .iter()
            .map(|&node| operand(graph, node))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let over = |axes: &Axes| {
        axes.iter()
            .map(|axis| graph.axis(axis).name.clone())
            .collect::<Vec<_>>()
            .join(", ")
    };
    match op {
        Op::Constant(_) | Op::Parameter(_) => {
            unreachable!("leaves are printed where they are used")
        }
        Op::Input { name, .. } => format!("input {name}"),
        Op::Noise { name, kind, .. } => format!("noise {name} {kind:?}"),
        Op::Iota(_) => "position".to_string(),
        Op::Scalar(scalar, operands) => format!("{}({})", scalar.row().name, all(operands)),
        Op::Reduce(kind, value, axes) => {
            let name = match kind {
                ReduceKind::Sum => "sum",
                ReduceKind::Max => "max",
                ReduceKind::LogSumExp => "log_sum_exp",
            };
            format!("{name}({}; {})", operand(graph, *value), over(axes))
        }
        Op::Contract(left, right, axes) => {
            format!("contract({}; {})", all(&[*left, *right]), over(axes))
        }
        Op::OneHot(value, axis) => format!(
            "one_hot({}; {})",
            operand(graph, *value),
            graph.axis(*axis).name
        ),
        Op::Rename(value, from, to) => {
            let (from, to) = (graph.axis(*from), graph.axis(*to));
            format!(
                "rename({}; {} as {:?} {})",
                operand(graph, *value),
                from.name,
                to.kind,
                to.name
            )
        }
        Op::Window(value, window) => {
            format!("window({}; {})", operand(graph, *value), map(graph, window))
        }
        Op::Fold(value, window) => {
            format!("fold({}; {})", operand(graph, *value), map(graph, window))
        }
        Op::StopGradient(value) => format!("stop_gradient({})", operand(graph, *value)),
    }
}
