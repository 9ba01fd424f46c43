//! The places that windows name, and the operations that read and sum there.

use super::{Axis, Graph, Node, Op, Scalar, Window};
use crate::id::Id;

impl Window {
    /// The map of a vector's axis to the axes of an array with as many elements, outermost first.
    pub fn split(graph: &Graph, axis: Id<Axis>, into: &[Id<Axis>]) -> Self {
        let size = |axis: &Id<Axis>| graph.axis(*axis).size;
        let stride = |at: usize| into[at + 1..].iter().map(size).product::<usize>() as isize;
        let terms = into
            .iter()
            .enumerate()
            .map(|(at, &axis)| (axis, stride(at)))
            .collect();
        let window = Window {
            axis,
            terms,
            offset: 0,
            divisor: 1,
        };
        assert!(
            window.is_bijection(graph),
            "an array has as many elements as the vector"
        );
        window
    }

    /// The place that the positions name, if there is one.
    pub fn place(&self, graph: &Graph, position: impl Fn(Id<Axis>) -> usize) -> Option<usize> {
        let sum = self
            .terms
            .iter()
            .map(|&(axis, stride)| position(axis) as isize * stride)
            .sum::<isize>()
            + self.offset;
        let place = sum.div_euclid(self.divisor as isize);
        let is_integer = sum.rem_euclid(self.divisor as isize) == 0;
        (is_integer && place >= 0 && place < graph.axis(self.axis).size as isize)
            .then_some(place as usize)
    }

    /// Whether all positions name a place.
    pub fn is_total(&self, graph: &Graph) -> bool {
        let farthest = |negative: bool| -> isize {
            let terms = self
                .terms
                .iter()
                .filter(|(_, stride)| (*stride < 0) == negative);
            terms
                .map(|&(axis, stride)| (graph.axis(axis).size as isize - 1) * stride)
                .sum::<isize>()
                + self.offset
        };
        self.divisor == 1
            && farthest(true) >= 0
            && farthest(false) < graph.axis(self.axis).size as isize
    }

    /// Whether the positions name each place once, and always name a place.
    pub fn is_bijection(&self, graph: &Graph) -> bool {
        self.offset == 0 && self.dense_sums(graph) == Some(graph.axis(self.axis).size as isize)
    }

    /// Whether the positions name each place once. Some may name no place.
    pub fn names_each_once(&self, graph: &Graph) -> bool {
        let size = graph.axis(self.axis).size as isize;
        self.offset <= 0
            && self
                .dense_sums(graph)
                .is_some_and(|count| self.offset + count >= size)
    }

    /// The number of different sums of positions, if they are consecutive from `offset` on and each
    /// occurs once. Then the strides are those of a dense array.
    fn dense_sums(&self, graph: &Graph) -> Option<isize> {
        let mut terms: Vec<(isize, usize)> = self
            .terms
            .iter()
            .map(|&(axis, stride)| (stride, graph.axis(axis).size))
            .collect();
        terms.retain(|(_, size)| *size > 1);
        terms.sort_unstable();
        let mut below = 1;
        let dense = terms.iter().all(|&(stride, size)| {
            let fits = stride == below;
            below *= size as isize;
            fits
        });
        (dense && self.divisor == 1).then_some(below)
    }

    /// The map solved for the position along the axis of one of its terms.
    pub fn solved(&self, term: usize) -> Self {
        let (axis, stride) = self.terms[term];
        let sign = stride.signum();
        let others = self
            .terms
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != term);
        let others = others.map(|(_, &(axis, stride))| (axis, -sign * stride));
        let moved = (self.axis, sign * self.divisor as isize);
        Window {
            axis,
            terms: [moved].into_iter().chain(others).collect(),
            offset: -sign * self.offset,
            divisor: stride.unsigned_abs(),
        }
    }
}

impl Graph {
    /// The value at the places along `window.axis` that positions name, or 0 where they name none.
    pub fn window(&mut self, value: Node, window: &Window) -> Node {
        if self.axes_of(value).contains(window.axis) {
            return self.push(Op::Window(value, window.clone()));
        }
        if window.is_total(self) {
            return value;
        }
        let mask = self.names_place(window);
        self.mul(value, mask)
    }

    /// At each place along `window.axis`, the sum over the positions that name it. A value that lacks
    /// one of the axes of positions is constant along it.
    pub fn fold(&mut self, value: Node, window: &Window) -> Node {
        assert!(
            !self.axes_of(value).contains(window.axis),
            "a value has an axis once"
        );
        self.push(Op::Fold(value, window.clone()))
    }

    /// 1 where the positions name a place, else 0.
    fn names_place(&mut self, window: &Window) -> Node {
        let terms: Vec<Node> = window
            .terms
            .iter()
            .map(|&(axis, stride)| {
                let position = self.iota(axis);
                self.scale(position, stride as f64)
            })
            .collect();
        let sum = self.total(terms);
        let sum = self.shift(sum, window.offset as f64);
        let (zero, one, size) = (
            self.constant(0.0),
            self.constant(1.0),
            self.axis(window.axis).size,
        );
        let end = self.constant((size * window.divisor) as f64);
        let mut mask = self.scalar(Scalar::Greater, &[end, sum]);
        let below = self.scalar(Scalar::Greater, &[zero, sum]);
        let not_below = self.sub(one, below);
        mask = self.mul(mask, not_below);
        if window.divisor > 1 {
            // The added half keeps the floor exact in spite of rounding.
            let quotient = self.scale(sum, 1.0 / window.divisor as f64);
            let rounded = self.shift(quotient, 0.5 / window.divisor as f64);
            let place = self.scalar(Scalar::Floor, &[rounded]);
            let multiple = self.scale(place, window.divisor as f64);
            let remainder = self.sub(sum, multiple);
            let half = self.constant(0.5);
            let divides = self.scalar(Scalar::Greater, &[half, remainder]);
            mask = self.mul(mask, divides);
        }
        mask
    }
}
