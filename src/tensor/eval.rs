//! The reference interpreter. It computes every operation by its definition in double precision, and is
//! simple rather than fast.

use super::{Axes, Axis, Graph, Node, NoiseKind, Op, OutputKind, ReduceKind, Window, philox};
use crate::id::Id;
use std::collections::HashMap;

/// A dense array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The axes, outermost first.
    pub axes: Vec<Id<Axis>>,
    /// The numbers in the order of the axes.
    pub data: Vec<f64>,
}

/// The inputs, parameters and noise of a graph, by name. A parameter's axes are in declared order,
/// others by kind: rows, samples, classes, positions, windows, features.
pub type NamedValues = HashMap<String, Vec<f64>>;

/// The source of noise that is not among the values.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    /// The seed of the run.
    pub seed: u64,
    /// The number of the step.
    pub step: u64,
}

/// Computes every output, in the graph's order, with its axes in the output's order.
///
/// # Errors
/// If an input, parameter or noise has no value, or one of the wrong length; or if there is not
/// enough memory.
pub fn run(
    graph: &Graph,
    values: &NamedValues,
    seed: Option<Seed>,
) -> Result<Vec<(OutputKind, String, Tensor)>, String> {
    check_memory(graph)?;
    let mut arrays: Vec<Tensor> = Vec::with_capacity(graph.nodes.len());
    for node in graph.ids() {
        let array = Evaluation {
            graph,
            arrays: &arrays,
            values,
            seed,
        }
        .node(node)?;
        arrays.push(array);
    }
    let read = |output: &super::Output| {
        let array = tabulate(graph, &output.axes, |index| {
            arrays[output.node.index()].at(graph, index)
        });
        (output.kind, output.name.to_string(), array)
    };
    Ok(graph.outputs.iter().map(read).collect())
}

/// Checks that there is memory for every array. They live until the end, so it is checked before the
/// first.
fn check_memory(graph: &Graph) -> Result<(), String> {
    let elements = graph.ids().map(|node| graph.elements(graph.axes_of(node)));
    let count = elements.fold(0, usize::saturating_add);
    let mut numbers: Vec<f64> = Vec::new();
    numbers
        .try_reserve_exact(count)
        .map_err(|_| format!("there is no memory for {count} numbers in double precision"))
}

/// A position along some axes.
type Index = [(Id<Axis>, usize)];

impl Tensor {
    /// The element at a position, which may name other axes too.
    fn at(&self, graph: &Graph, index: &Index) -> f64 {
        let mut offset = 0;
        for axis in &self.axes {
            let (_, position) = index
                .iter()
                .find(|(other, _)| other == axis)
                .expect("a position names the axes");
            offset = offset * graph.axis(*axis).size + position;
        }
        self.data[offset]
    }
}

/// The array of a function of the position.
fn tabulate(graph: &Graph, axes: &[Id<Axis>], mut element: impl FnMut(&Index) -> f64) -> Tensor {
    let sizes: Vec<usize> = axes.iter().map(|&axis| graph.axis(axis).size).collect();
    let count = sizes.iter().product();
    let mut index: Vec<(Id<Axis>, usize)> = axes.iter().map(|&axis| (axis, 0)).collect();
    let mut data = Vec::with_capacity(count);
    for _ in 0..count {
        data.push(element(&index));
        for position in (0..index.len()).rev() {
            index[position].1 += 1;
            if index[position].1 < sizes[position] {
                break;
            }
            index[position].1 = 0;
        }
    }
    Tensor {
        axes: axes.to_vec(),
        data,
    }
}

struct Evaluation<'a> {
    graph: &'a Graph,
    arrays: &'a [Tensor],
    values: &'a NamedValues,
    seed: Option<Seed>,
}

impl Evaluation<'_> {
    fn node(&self, node: Node) -> Result<Tensor, String> {
        let graph = self.graph;
        let mut axes: Vec<Id<Axis>> = graph.axes_of(node).iter().collect();
        axes.sort_by_key(|&axis| (graph.axis(axis).kind, axis));
        let array = |operand: Node| &self.arrays[operand.index()];
        Ok(match graph.op(node) {
            Op::Constant(bits) => Tensor {
                axes,
                data: vec![f64::from_bits(*bits)],
            },
            Op::Input { name, .. } => self.named(name, axes)?,
            Op::Parameter(id) => self.named(
                &graph.parameter(*id).name,
                graph.parameter(*id).axes.clone(),
            )?,
            Op::Noise { name, kind, .. } => self.noise(name, *kind, axes)?,
            Op::Iota(axis) => Tensor {
                axes,
                data: (0..graph.axis(*axis).size).map(|i| i as f64).collect(),
            },
            Op::Scalar(scalar, operands) => {
                let eval = scalar.row().eval;
                tabulate(graph, &axes, |index| {
                    let values: Vec<f64> = operands
                        .iter()
                        .map(|&operand| array(operand).at(graph, index))
                        .collect();
                    eval(&values)
                })
            }
            Op::Reduce(kind, value, over) => tabulate(graph, &axes, |index| {
                self.reduce(*kind, index, over, |index| array(*value).at(graph, index))
            }),
            Op::Contract(left, right, over) => tabulate(graph, &axes, |index| {
                let product =
                    |index: &Index| array(*left).at(graph, index) * array(*right).at(graph, index);
                self.reduce(ReduceKind::Sum, index, over, product)
            }),
            Op::OneHot(value, axis) => tabulate(graph, &axes, |index| {
                let (_, position) = index
                    .iter()
                    .find(|(other, _)| other == axis)
                    .expect("a one-hot has its axis");
                f64::from(array(*value).at(graph, index) == *position as f64)
            }),
            Op::Rename(value, from, to) => tabulate(graph, &axes, |index| {
                let renamed: Vec<_> = index
                    .iter()
                    .map(|&(axis, at)| (if axis == *to { *from } else { axis }, at))
                    .collect();
                array(*value).at(graph, &renamed)
            }),
            Op::Window(value, window) => self.window(array(*value), window, &axes),
            Op::Fold(value, window) => self.fold(array(*value), window, &axes),
            Op::StopGradient(value) => array(*value).clone(),
        })
    }

    fn window(&self, value: &Tensor, window: &Window, axes: &[Id<Axis>]) -> Tensor {
        tabulate(self.graph, axes, |index| match self.place(window, index) {
            Some(place) => value.at(self.graph, &[&[(window.axis, place)], index].concat()),
            None => 0.0,
        })
    }

    fn fold(&self, value: &Tensor, window: &Window, axes: &[Id<Axis>]) -> Tensor {
        let positions: Axes = window.terms.iter().map(|(axis, _)| *axis).collect();
        tabulate(self.graph, axes, |index| {
            let (_, place) = index
                .iter()
                .find(|(axis, _)| *axis == window.axis)
                .expect("a fold has its axis");
            self.reduce(ReduceKind::Sum, index, &positions, |index| {
                match self.place(window, index) {
                    Some(target) if target == *place => value.at(self.graph, index),
                    _ => 0.0,
                }
            })
        })
    }

    fn place(&self, window: &Window, index: &Index) -> Option<usize> {
        let position = |axis| {
            index
                .iter()
                .rev()
                .find(|(other, _)| *other == axis)
                .expect("a position names the axes")
                .1
        };
        window.place(self.graph, position)
    }

    fn reduce(
        &self,
        kind: ReduceKind,
        index: &Index,
        over: &Axes,
        element: impl Fn(&Index) -> f64,
    ) -> f64 {
        let inner: Vec<Id<Axis>> = over.iter().collect();
        let values = tabulate(self.graph, &inner, |inside| {
            element(&[index, inside].concat())
        })
        .data;
        let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match kind {
            ReduceKind::Sum => values.iter().sum(),
            ReduceKind::Max => greatest,
            ReduceKind::LogSumExp => {
                greatest
                    + values
                        .iter()
                        .map(|value| (value - greatest).exp())
                        .sum::<f64>()
                        .ln()
            }
        }
    }

    fn named(&self, name: &str, axes: Vec<Id<Axis>>) -> Result<Tensor, String> {
        let data = self
            .values
            .get(name)
            .ok_or_else(|| format!("no value for `{name}`"))?
            .clone();
        let wanted: usize = axes
            .iter()
            .map(|&axis| self.graph.axis(axis).size)
            .product();
        if data.len() != wanted {
            return Err(format!(
                "`{name}` has {} elements, expected {wanted}",
                data.len()
            ));
        }
        Ok(Tensor { axes, data })
    }

    fn noise(&self, name: &str, kind: NoiseKind, axes: Vec<Id<Axis>>) -> Result<Tensor, String> {
        let Some(Seed { seed, step }) = self.seed.filter(|_| !self.values.contains_key(name))
        else {
            return self.named(name, axes);
        };
        let count: usize = axes
            .iter()
            .map(|&axis| self.graph.axis(axis).size)
            .product();
        let draw = match kind {
            NoiseKind::Normal => philox::normal,
            NoiseKind::Uniform => philox::uniform,
        };
        let stream = philox::stream(name);
        Ok(Tensor {
            axes,
            data: (0..count as u64)
                .map(|element| draw(seed, step, stream, element))
                .collect(),
        })
    }
}
