//! What windows map: the places that positions name, and the operations that read and sum there.

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

    /// The place that the positions name, if they name one.
    pub fn place(&self, graph: &Graph, position: impl Fn(Id<Axis>) -> usize) -> Option<usize> {
        let sum = self
            .terms
            .iter()
            .map(|&(axis, stride)| position(axis) as isize * stride)
            .sum::<isize>()
            + self.offset;
        let place = sum.div_euclid(self.divisor as isize);
        let whole = sum.rem_euclid(self.divisor as isize) == 0;
        (whole && place >= 0 && place < graph.axis(self.axis).size as isize)
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

    /// Whether each place has one name, and no other name is in use.
    pub fn is_bijection(&self, graph: &Graph) -> bool {
        self.offset == 0 && self.names(graph) == Some(graph.axis(self.axis).size as isize)
    }

    /// Whether each place has one name, whatever else names none.
    pub fn names_each_once(&self, graph: &Graph) -> bool {
        let size = graph.axis(self.axis).size as isize;
        self.offset <= 0
            && self
                .names(graph)
                .is_some_and(|count| self.offset + count >= size)
    }

    /// How many sums the positions make from `offset` on, one after another and each once: strides
    /// are those of an array without gaps. None if they do not.
    fn names(&self, graph: &Graph) -> Option<isize> {
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

    /// The same map, solved for the position along one of its terms' axes.
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
    /// The value at the places along `window.axis` that the positions along the axes of its terms
    /// name; 0 where they name none.
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

    /// Sum over the positions along the axes of the window's terms that name a place: a value along
    /// `window.axis`. A value that lacks one of these axes is constant along it.
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
        let after = self.sub(one, below);
        mask = self.mul(mask, after);
        if window.divisor > 1 {
            let place = self.scale(sum, 1.0 / window.divisor as f64);
            let whole = self.shift(place, 0.5 / window.divisor as f64);
            let whole = self.scalar(Scalar::Floor, &[whole]);
            let whole = self.scale(whole, window.divisor as f64);
            let rest = self.sub(sum, whole);
            let half = self.constant(0.5);
            let whole = self.scalar(Scalar::Greater, &[half, rest]);
            mask = self.mul(mask, whole);
        }
        mask
    }
}
