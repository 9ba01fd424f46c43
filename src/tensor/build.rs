//! The functions with which distributions, layers, optimisers and passes write formulas.

use super::{Axes, Axis, Graph, Node, NoiseKind, Op, Parameter, ReduceKind, Scalar};
use crate::id::Id;

impl Graph {
    /// A number, without axes.
    pub fn constant(&mut self, value: f64) -> Node {
        // −0 becomes 0, so that both are the same constant.
        self.push(Op::Constant((value + 0.0).to_bits()))
    }

    /// Data that the caller gives for each run.
    pub fn input(&mut self, name: &str, axes: Axes) -> Node {
        self.push(Op::Input {
            name: name.to_string(),
            axes,
        })
    }

    /// The value of a parameter at the start of the step.
    pub fn read(&mut self, parameter: Id<Parameter>) -> Node {
        self.push(Op::Parameter(parameter))
    }

    /// Random numbers of the stream `name`, different in each step.
    pub fn noise(&mut self, name: &str, kind: NoiseKind, axes: Axes) -> Node {
        self.push(Op::Noise {
            name: name.to_string(),
            kind,
            axes,
        })
    }

    /// 0, 1, 2, … along the axis.
    pub fn iota(&mut self, axis: Id<Axis>) -> Node {
        self.push(Op::Iota(axis))
    }

    /// An elementwise operation over the united axes of its operands.
    ///
    /// # Panics
    ///
    /// If the operation takes another number of operands.
    pub fn scalar(&mut self, scalar: Scalar, operands: &[Node]) -> Node {
        assert_eq!(
            scalar.row().arity,
            operands.len(),
            "{} has the wrong number of operands",
            scalar.row().name
        );
        self.push(Op::Scalar(scalar, operands.to_vec()))
    }

    /// left + right.
    pub fn add(&mut self, left: Node, right: Node) -> Node {
        self.scalar(Scalar::Add, &[left, right])
    }

    /// left − right.
    pub fn sub(&mut self, left: Node, right: Node) -> Node {
        self.scalar(Scalar::Sub, &[left, right])
    }

    /// left · right.
    pub fn mul(&mut self, left: Node, right: Node) -> Node {
        self.scalar(Scalar::Mul, &[left, right])
    }

    /// left / right.
    pub fn div(&mut self, left: Node, right: Node) -> Node {
        self.scalar(Scalar::Div, &[left, right])
    }

    /// −value.
    pub fn neg(&mut self, value: Node) -> Node {
        self.scalar(Scalar::Neg, &[value])
    }

    /// exp(value).
    pub fn exp(&mut self, value: Node) -> Node {
        self.scalar(Scalar::Exp, &[value])
    }

    /// log(value).
    pub fn log(&mut self, value: Node) -> Node {
        self.scalar(Scalar::Log, &[value])
    }

    /// value².
    pub fn square(&mut self, value: Node) -> Node {
        self.mul(value, value)
    }

    /// `value` × `by`.
    pub fn scale(&mut self, value: Node, by: f64) -> Node {
        let by = self.constant(by);
        self.mul(by, value)
    }

    /// `value` + `by`.
    pub fn shift(&mut self, value: Node, by: f64) -> Node {
        let by = self.constant(by);
        self.add(value, by)
    }

    /// The sum of all; 0 for none.
    pub fn total(&mut self, values: impl IntoIterator<Item = Node>) -> Node {
        let mut values = values.into_iter();
        let Some(first) = values.next() else {
            return self.constant(0.0);
        };
        values.fold(first, |sum, value| self.add(sum, value))
    }

    /// Sum over `over`. A value that lacks one of the axes is constant along it, so it is multiplied
    /// by the size of the axis.
    pub fn sum(&mut self, value: Node, over: &Axes) -> Node {
        let absent = over.minus(self.axes_of(value));
        let summed = self.reduce(ReduceKind::Sum, value, over);
        match self.elements(&absent) {
            1 => summed,
            times => self.scale(summed, times as f64),
        }
    }

    /// Mean over those axes of `over` that the value has.
    pub fn mean(&mut self, value: Node, over: &Axes) -> Node {
        let present = over.intersection(self.axes_of(value));
        let sum = self.sum(value, &present);
        match self.elements(&present) {
            1 => sum,
            count => self.scale(sum, 1.0 / count as f64),
        }
    }

    /// log Σ exp over `over`. A value that lacks one of the axes is constant along it, so the log of
    /// the size of the axis is added.
    pub fn log_sum_exp(&mut self, value: Node, over: &Axes) -> Node {
        let absent = over.minus(self.axes_of(value));
        let reduced = self.reduce(ReduceKind::LogSumExp, value, over);
        match self.elements(&absent) {
            1 => reduced,
            times => self.shift(reduced, (times as f64).ln()),
        }
    }

    /// The maximum over those axes of `over` that the value has.
    pub fn max(&mut self, value: Node, over: &Axes) -> Node {
        self.reduce(ReduceKind::Max, value, over)
    }

    /// Reduces over those axes of `over` that the value has.
    fn reduce(&mut self, kind: ReduceKind, value: Node, over: &Axes) -> Node {
        let over = over.intersection(self.axes_of(value));
        if over.is_empty() {
            value
        } else {
            self.push(Op::Reduce(kind, value, over))
        }
    }

    /// Sum over `over` of left × right. An axis that one operand lacks is summed over in the other
    /// *before* the product.
    pub fn contract(&mut self, left: Node, right: Node, over: &Axes) -> Node {
        let shared = self
            .axes_of(left)
            .intersection(self.axes_of(right))
            .intersection(over);
        let lone = over.minus(&shared);
        let left_lone = lone.intersection(self.axes_of(left));
        let right_lone = lone.intersection(self.axes_of(right));
        let absent = lone.minus(&left_lone).minus(&right_lone);
        let left = self.sum(left, &left_lone);
        let right = self.sum(right, &right_lone);
        let product = if shared.is_empty() {
            self.mul(left, right)
        } else {
            self.push(Op::Contract(left, right, shared))
        };
        match self.elements(&absent) {
            1 => product,
            times => self.scale(product, times as f64),
        }
    }

    /// 1 at the position along `axis` that equals `index`, else 0.
    pub fn one_hot(&mut self, index: Node, axis: Id<Axis>) -> Node {
        assert!(
            !self.axes_of(index).contains(axis),
            "a one-hot's index lacks its axis"
        );
        self.push(Op::OneHot(index, axis))
    }

    /// The value with axis `from` renamed to `to`. A value without `from` is returned unchanged.
    pub fn rename(&mut self, value: Node, from: Id<Axis>, to: Id<Axis>) -> Node {
        if from == to || !self.axes_of(value).contains(from) {
            return value;
        }
        assert_eq!(
            self.axis(from).size,
            self.axis(to).size,
            "a renamed axis keeps its size"
        );
        assert!(
            !self.axes_of(value).contains(to),
            "a value has an axis once"
        );
        self.push(Op::Rename(value, from, to))
    }

    /// The value itself, without a gradient.
    pub fn stop_gradient(&mut self, value: Node) -> Node {
        self.push(Op::StopGradient(value))
    }

    /// log softmax over `axis`.
    pub fn log_softmax(&mut self, logits: Node, axis: Id<Axis>) -> Node {
        let normaliser = self.log_sum_exp(logits, &Axes::from(axis));
        self.sub(logits, normaliser)
    }
}
