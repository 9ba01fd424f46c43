//! The rules, each with its identity and the domain where it holds.
//!
//! A rule takes an operation whose operands are simplified. It returns a simpler node, or `None` if it
//! does not apply.

use super::Simplifier;
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Node, Op, ReduceKind, Scalar, Window},
};

pub(super) struct Rule {
    pub identity: &'static str,
    pub apply: fn(&mut Simplifier, &Op) -> Option<Node>,
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        identity: "f(constants) = constant, all x",
        apply: fold,
    },
    Rule {
        identity: "a + b = b + a, a · b = b · a: constants first, then by age, all x",
        apply: order,
    },
    Rule {
        identity: "x + 0 = x, all x",
        apply: add_zero,
    },
    Rule {
        identity: "x + (−y) = x − y; x − (−y) = x + y; x − 0 = x; 0 − x = −x; x − c = −c + x, all x",
        apply: signs,
    },
    Rule {
        identity: "−(−x) = x; −(c x) = (−c) x; −(x − y) = y − x, all x",
        apply: negate,
    },
    Rule {
        identity: "0 x = 0, finite x; 1 x = x; −1 x = −x; c (d x) = (c d) x; c (−x) = (−c) x, all x",
        apply: multiply,
    },
    Rule {
        identity: "x / c = (1/c) x, c ≠ 0, to rounding",
        apply: divide,
    },
    Rule {
        identity: "(−x) y = −(x y), all x",
        apply: pull_sign,
    },
    Rule {
        identity: "log(exp(x)) = x; log(exp(x)) − m = x − m, all x",
        apply: log_exp,
    },
    Rule {
        identity: "(w + m) + n = w + (m + n), where w alone has all axes: narrow sums first, to rounding",
        apply: hoist_add,
    },
    Rule {
        identity: "(w · m) · n = w · (m · n), where w alone has all axes, to rounding",
        apply: hoist_mul,
    },
    Rule {
        identity: "Σ_i δ(i, j) x_i = x_j and Σ_j δ(i, j) x_j = x_i, all finite x",
        apply: identity_matrix,
    },
    Rule {
        identity: "Σ_i δ(i, j) = Σ_j δ(i, j) = 1 and Σ_ij δ(i, j) = n",
        apply: sum_of_identity,
    },
    Rule {
        identity: "Σ c x = c Σ x; Σ −x = −Σ x; Σ a b = a Σ b, Σ (a b) c = a Σ b c, where a lacks the axes, to rounding",
        apply: sum_of_product,
    },
    Rule {
        identity: "Σ (a + b) = n a + Σ b, where a lacks the axes, to rounding",
        apply: sum_of_sum,
    },
    Rule {
        identity: "Σ c (x − 1/n Σ x) = 0 and Σ (a + c (x − 1/n Σ x)) = Σ a, where c lacks the axes, finite x, to rounding",
        apply: sum_of_centred,
    },
    Rule {
        identity: "Σ_i (Σ_j a_ij b_j) = Σ_j (Σ_i a_ij) b_j, where a is no window, to rounding",
        apply: sum_of_contraction,
    },
    Rule {
        identity: "Σ_i Σ_j x = Σ_ij x, to rounding",
        apply: sum_of_reduction,
    },
    Rule {
        identity: "fold_ij→p (Σ_k a_ik b_jk) = Σ_jk window(a)_pjk b_jk, where i steps by one place; in phases where by more, to rounding",
        apply: fold_of_contraction,
    },
    Rule {
        identity: "window_p→ij (fold_kl→p x_kl) = x_ij, where each p is one ij and one kl, all x",
        apply: split_of_merged,
    },
];

fn scalar_of(op: &Op) -> Option<(Scalar, &[Node])> {
    match op {
        Op::Scalar(scalar, operands) => Some((*scalar, operands)),
        _ => None,
    }
}

fn operands_if(op: &Op, scalar: Scalar) -> Option<[Node; 2]> {
    match scalar_of(op)? {
        (found, &[left, right]) if found == scalar => Some([left, right]),
        _ => None,
    }
}

fn operand_if(op: &Op, scalar: Scalar) -> Option<Node> {
    match scalar_of(op)? {
        (found, &[operand]) if found == scalar => Some(operand),
        _ => None,
    }
}

fn fold(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let (scalar, operands) = scalar_of(op)?;
    let values: Option<Vec<f64>> = operands
        .iter()
        .map(|&operand| s.constant_of(operand))
        .collect();
    Some(s.graph.constant((scalar.row().eval)(&values?)))
}

fn order(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let (scalar, operands) = scalar_of(op)?;
    let &[left, right] = operands else {
        return None;
    };
    let key = |node| (s.constant_of(node).is_none(), node);
    let commutes = matches!(scalar, Scalar::Add | Scalar::Mul);
    (commutes && key(left) > key(right)).then(|| s.scalar(scalar, &[right, left]))
}

fn add_zero(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let [left, right] = operands_if(op, Scalar::Add)?;
    (s.constant_of(left) == Some(0.0)).then_some(right)
}

fn signs(s: &mut Simplifier, op: &Op) -> Option<Node> {
    if let Some([left, right]) = operands_if(op, Scalar::Add) {
        if let Some(operands) = s.operands_of(right, Scalar::Neg) {
            return Some(s.scalar(Scalar::Sub, &[left, operands[0]]));
        }
        let operands = s.operands_of(left, Scalar::Neg)?;
        return Some(s.scalar(Scalar::Sub, &[right, operands[0]]));
    }
    let [left, right] = operands_if(op, Scalar::Sub)?;
    if let Some(operands) = s.operands_of(right, Scalar::Neg) {
        return Some(s.scalar(Scalar::Add, &[left, operands[0]]));
    }
    if s.constant_of(left) == Some(0.0) {
        return Some(s.scalar(Scalar::Neg, &[right]));
    }
    match s.constant_of(right)? {
        0.0 => Some(left),
        value => {
            let negative = s.graph.constant(-value);
            Some(s.scalar(Scalar::Add, &[negative, left]))
        }
    }
}

fn negate(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let operand = operand_if(op, Scalar::Neg)?;
    if let Some(operands) = s.operands_of(operand, Scalar::Neg) {
        return Some(operands[0]);
    }
    if let Some(operands) = s.operands_of(operand, Scalar::Sub) {
        return Some(s.scalar(Scalar::Sub, &[operands[1], operands[0]]));
    }
    let operands = s.operands_of(operand, Scalar::Mul)?;
    let factor = s.constant_of(operands[0])?;
    Some(s.scale(operands[1], -factor))
}

fn multiply(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let [left, right] = operands_if(op, Scalar::Mul)?;
    let factor = s.constant_of(left)?;
    if factor == 0.0 || factor == 1.0 {
        return Some(if factor == 0.0 { left } else { right });
    }
    if factor == -1.0 {
        return Some(s.scalar(Scalar::Neg, &[right]));
    }
    if let Some(operands) = s.operands_of(right, Scalar::Neg) {
        return Some(s.scale(operands[0], -factor));
    }
    let operands = s.operands_of(right, Scalar::Mul)?;
    let inner = s.constant_of(operands[0])?;
    Some(s.scale(operands[1], factor * inner))
}

fn divide(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let [left, right] = operands_if(op, Scalar::Div)?;
    let divisor = s.constant_of(right).filter(|&divisor| divisor != 0.0)?;
    Some(s.scale(left, 1.0 / divisor))
}

fn pull_sign(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let [left, right] = operands_if(op, Scalar::Mul)?;
    let (inner, other) = match (
        s.operands_of(left, Scalar::Neg),
        s.operands_of(right, Scalar::Neg),
    ) {
        (Some(inner), _) => (inner[0], right),
        (None, Some(inner)) => (inner[0], left),
        (None, None) => return None,
    };
    let product = s.scalar(Scalar::Mul, &[inner, other]);
    Some(s.scalar(Scalar::Neg, &[product]))
}

fn log_exp(s: &mut Simplifier, op: &Op) -> Option<Node> {
    if let Some([value, mean]) = operands_if(op, Scalar::LogRatio) {
        let log = s.operands_of(value, Scalar::Exp)?[0];
        return Some(s.scalar(Scalar::Sub, &[log, mean]));
    }
    let operand = operand_if(op, Scalar::Log)?;
    Some(s.operands_of(operand, Scalar::Exp)?[0])
}

fn hoist_add(s: &mut Simplifier, op: &Op) -> Option<Node> {
    hoist(s, op, Scalar::Add)
}

fn hoist_mul(s: &mut Simplifier, op: &Op) -> Option<Node> {
    hoist(s, op, Scalar::Mul)
}

fn hoist(s: &mut Simplifier, op: &Op, scalar: Scalar) -> Option<Node> {
    let [left, right] = operands_if(op, scalar)?;
    for (chain, narrow) in [(left, right), (right, left)] {
        let Some(inner) = s.operands_of(chain, scalar) else {
            continue;
        };
        let axes = s.graph.axes_of(chain).union(s.graph.axes_of(narrow));
        for (wide, middle) in [(inner[0], inner[1]), (inner[1], inner[0])] {
            let joint = s.graph.axes_of(middle).union(s.graph.axes_of(narrow));
            if joint != axes && joint.len() < s.graph.axes_of(wide).len() {
                let joined = s.scalar(scalar, &[middle, narrow]);
                return Some(s.scalar(scalar, &[wide, joined]));
            }
        }
    }
    None
}

/// The two axes of δ(i, j): a one-hot along i whose index counts along j, of the same size.
fn axes_of_identity(s: &Simplifier, node: Node) -> Option<[Id<Axis>; 2]> {
    let Op::OneHot(index, i) = *s.graph.op(node) else {
        return None;
    };
    let Op::Iota(j) = *s.graph.op(index) else {
        return None;
    };
    (s.graph.axis(i).size == s.graph.axis(j).size).then_some([i, j])
}

/// The one axis of δ(i, j) in `over`, with the other axis.
fn summed_axis([i, j]: [Id<Axis>; 2], over: &Axes) -> Option<(Id<Axis>, Id<Axis>)> {
    match (over.contains(i), over.contains(j)) {
        (true, false) => Some((i, j)),
        (false, true) => Some((j, i)),
        _ => None,
    }
}

/// A class that is summed over is an axis of its own, and its one-hot vectors are δ. The product with
/// them costs no more than a view, in the gradient too.
fn identity_matrix(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let (left, right, over) = match op {
        Op::Contract(left, right, over) => (*left, *right, over),
        Op::Reduce(ReduceKind::Sum, product, over) => {
            let operands = s.operands_of(*product, Scalar::Mul)?;
            (operands[0], operands[1], over)
        }
        _ => return None,
    };
    for (delta, value) in [(left, right), (right, left)] {
        let Some(axes) = axes_of_identity(s, delta) else {
            continue;
        };
        let Some((from, to)) = summed_axis(axes, over) else {
            continue;
        };
        let has = s.graph.axes_of(value);
        if has.contains(from) && !has.contains(to) {
            let renamed = s.make(Op::Rename(value, from, to));
            return Some(s.sum(renamed, &over.without(from)));
        }
    }
    None
}

fn sum_of_identity(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let Op::Reduce(ReduceKind::Sum, value, over) = op else {
        return None;
    };
    let axes = axes_of_identity(s, *value)?;
    let sum = match summed_axis(axes, over) {
        Some(_) => 1.0,
        None => s.graph.axis(axes[0]).size as f64,
    };
    Some(s.graph.constant(sum))
}

fn sum_of_product(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let Op::Reduce(ReduceKind::Sum, value, over) = op else {
        return None;
    };
    if let Some(operands) = s.operands_of(*value, Scalar::Neg) {
        let sum = s.sum(operands[0], over);
        return Some(s.scalar(Scalar::Neg, &[sum]));
    }
    let operands = s.operands_of(*value, Scalar::Mul)?;
    for (constant, varying) in [(operands[0], operands[1]), (operands[1], operands[0])] {
        let inner = over.minus(s.graph.axes_of(constant));
        if inner.is_empty() {
            continue;
        }
        let sum = s.sum(varying, &inner);
        let product = s.scalar(Scalar::Mul, &[constant, sum]);
        return Some(s.sum(product, &over.minus(&inner)));
    }
    let mut factors = Vec::new();
    let varying = without_factors(s, *value, over, &mut factors);
    let sum = (!factors.is_empty()).then(|| s.sum(varying, over))?;
    Some(factors.into_iter().rev().fold(sum, |product, factor| {
        s.scalar(Scalar::Mul, &[factor, product])
    }))
}

/// Moves the factors that lack all of the axes out of a product, at any depth.
fn without_factors(s: &mut Simplifier, node: Node, over: &Axes, factors: &mut Vec<Node>) -> Node {
    let Some(operands) = s.operands_of(node, Scalar::Mul) else {
        return node;
    };
    let lacks = |s: &Simplifier, node| over.intersection(s.graph.axes_of(node)).is_empty();
    for (factor, varying) in [(operands[0], operands[1]), (operands[1], operands[0])] {
        if lacks(s, factor) {
            factors.push(factor);
            return without_factors(s, varying, over, factors);
        }
    }
    let [left, right] = [0, 1].map(|side| without_factors(s, operands[side], over, factors));
    s.scalar(Scalar::Mul, &[left, right])
}

fn sum_of_sum(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let Op::Reduce(ReduceKind::Sum, value, over) = op else {
        return None;
    };
    let Op::Scalar(scalar @ (Scalar::Add | Scalar::Sub), operands) = s.graph.op(*value).clone()
    else {
        return None;
    };
    let lacks = |operand: &Node| !over.is_subset(s.graph.axes_of(*operand));
    if !operands.iter().any(lacks) {
        return None;
    }
    let sums: Vec<Node> = operands
        .iter()
        .map(|&operand| s.sum(operand, over))
        .collect();
    Some(s.scalar(scalar, &sums))
}

fn sum_of_centred(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let Op::Reduce(ReduceKind::Sum, value, over) = op else {
        return None;
    };
    if is_centred(s, *value, over) {
        return Some(s.graph.constant(0.0));
    }
    let Op::Scalar(scalar @ (Scalar::Add | Scalar::Sub), operands) = s.graph.op(*value).clone()
    else {
        return None;
    };
    let (left, right) = (operands[0], operands[1]);
    // An operand that lacks an axis would have to be scaled by its size.
    let has_axes = |s: &Simplifier, operand: Node| over.is_subset(s.graph.axes_of(operand));
    if is_centred(s, right, over) && has_axes(s, left) {
        return Some(s.sum(left, over));
    }
    if is_centred(s, left, over) && has_axes(s, right) {
        let sum = s.sum(right, over);
        return Some(if scalar == Scalar::Sub {
            s.scalar(Scalar::Neg, &[sum])
        } else {
            sum
        });
    }
    None
}

/// Whether the values are c (x − mean of x over the axes) for a c that lacks the axes.
fn is_centred(s: &mut Simplifier, node: Node, over: &Axes) -> bool {
    let Some((scalar, operands)) = scalar_of(s.graph.op(node)) else {
        return false;
    };
    let (scalar, operands) = (scalar, operands.to_vec());
    let lacks = |s: &Simplifier, node: Node| over.minus(s.graph.axes_of(node)) == *over;
    match (scalar, operands.as_slice()) {
        (Scalar::Neg, &[operand]) => is_centred(s, operand, over),
        (Scalar::Mul, &[left, right]) => {
            lacks(s, left) && is_centred(s, right, over)
                || lacks(s, right) && is_centred(s, left, over)
        }
        (Scalar::Sub, &[value, mean])
            if over.is_subset(s.graph.axes_of(value)) && lacks(s, mean) =>
        {
            // Equal nodes are one node, so the mean must simplify to this operand.
            let count = s.graph.elements(over);
            let sum = s.sum(value, over);
            s.scale(sum, 1.0 / count as f64) == mean
        }
        _ => false,
    }
}

fn sum_of_contraction(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let Op::Reduce(ReduceKind::Sum, value, over) = op else {
        return None;
    };
    let Op::Contract(left, right, inner) = s.graph.op(*value).clone() else {
        return None;
    };
    for (has, other, left_first) in [(left, right, true), (right, left, false)] {
        let lone = over.minus(s.graph.axes_of(other));
        // Windows have more elements than the contraction, so summing them first costs more.
        if lone.is_empty()
            || !lone.is_subset(s.graph.axes_of(has))
            || matches!(s.graph.op(has), Op::Window(..))
        {
            continue;
        }
        let summed = s.sum(has, &lone);
        let (left, right) = if left_first {
            (summed, other)
        } else {
            (other, summed)
        };
        let product = s.make(Op::Contract(left, right, inner));
        return Some(s.sum(product, &over.minus(&lone)));
    }
    None
}

fn sum_of_reduction(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let Op::Reduce(ReduceKind::Sum, value, over) = op else {
        return None;
    };
    let Op::Reduce(ReduceKind::Sum, inner, within) = s.graph.op(*value).clone() else {
        return None;
    };
    Some(s.sum(inner, &over.union(&within)))
}

/// The gradient of a convolution by its input is a convolution with reversed windows.
fn fold_of_contraction(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let Op::Fold(value, window) = op else {
        return None;
    };
    if let Op::Fold(inner, first) = s.graph.op(*value).clone() {
        // Folds along different sides of an image commute.
        let apart = |term: &(Id<Axis>, isize)| {
            term.0 != first.axis && first.terms.iter().all(|other| other.0 != term.0)
        };
        if !window.terms.iter().all(apart) || !matches!(s.graph.op(inner), Op::Contract(..)) {
            return None;
        }
        let folded = fold_of_contraction(s, &Op::Fold(inner, window.clone()))?;
        return Some(s.make(Op::Fold(folded, first)));
    }
    let Op::Contract(left, right, over) = s.graph.op(*value).clone() else {
        return None;
    };
    let &[(first, _), (second, _)] = window.terms.as_slice() else {
        return None;
    };
    for (moved, still) in [(left, right), (right, left)] {
        for (term, position, place) in [(0, first, second), (1, second, first)] {
            let (has, others) = (s.graph.axes_of(moved), s.graph.axes_of(still));
            let apart = has.contains(position) && others.contains(place);
            let apart = apart && !has.contains(place) && !others.contains(position);
            if !apart || s.graph.axis(position).kind != AxisKind::Position {
                continue;
            }
            let stride = window.terms[term].1;
            if stride.abs() == 1 {
                let read = s.make(Op::Window(moved, window.solved(term)));
                return Some(s.make(Op::Contract(read, still, over.with(place))));
            }
            let (size, step) = (s.graph.axis(place).size as isize, window.terms[1 - term].1);
            if stride > 1 && step == 1 && window.divisor == 1 && size > stride && size % stride == 0
            {
                return Some(in_phases(
                    s,
                    (moved, still, &over),
                    (position, place, stride as usize),
                    window,
                ));
            }
        }
    }
    None
}

/// A fold with steps of several places. Solved for a position, most places would name none, and the
/// product would be mostly multiplications by 0. Instead, with k = stride · t + r and positions
/// q = i + t, a place is stride · q + r. Each phase r is a convolution with every stride-th place of the
/// window.
fn in_phases(
    s: &mut Simplifier,
    (moved, still, over): (Node, Node, &Axes),
    (position, place, stride): (Id<Axis>, Id<Axis>, usize),
    window: &Window,
) -> Node {
    let (positions, places) = (s.graph.axis(position).clone(), s.graph.axis(place).clone());
    let steps = places.size / stride;
    let mut axis = |name: &str, size: usize, source: &Axis| {
        s.graph.new_axis(Axis {
            name: format!("{}.{name}", source.name),
            size,
            kind: source.kind,
        })
    };
    let (t, r) = (axis("step", steps, &places), axis("phase", stride, &places));
    let q = axis("step", positions.size + steps - 1, &positions);
    let read = Window {
        axis: position,
        terms: vec![(q, 1), (t, -1)],
        offset: 0,
        divisor: 1,
    };
    let split = Window::split(&s.graph, place, &[t, r]);
    let (read, split) = (
        s.make(Op::Window(moved, read)),
        s.make(Op::Window(still, split)),
    );
    let product = s.make(Op::Contract(read, split, over.with(t)));
    let terms = vec![(q, stride as isize), (r, 1)];
    s.make(Op::Fold(
        product,
        Window {
            terms,
            ..window.clone()
        },
    ))
}

fn split_of_merged(s: &mut Simplifier, op: &Op) -> Option<Node> {
    let Op::Window(value, window) = op else {
        return None;
    };
    let Op::Fold(inner, merge) = s.graph.op(*value).clone() else {
        return None;
    };
    let (from, to) = (ordered(s, &merge)?, ordered(s, window)?);
    let sizes = |axes: &[Id<Axis>]| -> Vec<usize> {
        axes.iter().map(|&axis| s.graph.axis(axis).size).collect()
    };
    let has = s.graph.axes_of(inner);
    if merge.axis != window.axis
        || sizes(&from) != sizes(&to)
        || !from.iter().all(|&axis| has.contains(axis))
    {
        return None;
    }
    Some(
        from.into_iter()
            .zip(to)
            .fold(inner, |value, (from, to)| match from == to {
                true => value,
                false => s.make(Op::Rename(value, from, to)),
            }),
    )
}

/// The axes of a bijective window, outermost first.
fn ordered(s: &Simplifier, window: &Window) -> Option<Vec<Id<Axis>>> {
    let mut terms = window.terms.clone();
    terms.sort_by_key(|(_, stride)| std::cmp::Reverse(*stride));
    window
        .is_bijection(&s.graph)
        .then(|| terms.into_iter().map(|(axis, _)| axis).collect())
}
