//! Whole programs against the reference interpreter, small enough for AddressSanitizer and Miri:
//! every kind of step, contractions of every kind, and the same bits on any number of threads.

use super::{Cpu, KernelFamily};
use crate::{
    backend::{Array, ArrayRange, Backend, Build, NoiseKey, Precision},
    id::Id,
    plan::{self, NoiseSource},
    tensor::{
        Axes, Axis, AxisKind, Graph, Node, NoiseKind, OutputKind, Parameter, Scalar, Start, Window,
        eval,
    },
};
use std::collections::HashMap;

const KEY: NoiseKey = NoiseKey { seed: 3, step: 7 };

/// Numbers between -1 and 1 that look random.
fn numbers(name: &str, len: usize) -> Vec<f64> {
    let mut state = name.bytes().fold(7u32, |state, byte| {
        state.wrapping_mul(31).wrapping_add(u32::from(byte))
    });
    let numbers = (0..len).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from((state >> 8) as f32 / (1 << 23) as f32 - 1.0)
    });
    numbers.collect()
}

struct Builder {
    graph: Graph,
    values: eval::NamedValues,
}

impl Builder {
    fn new() -> Self {
        Builder {
            graph: Graph::new(),
            values: eval::NamedValues::new(),
        }
    }

    fn axis(&mut self, name: &str, size: usize, kind: AxisKind) -> Id<Axis> {
        self.graph.new_axis(Axis {
            name: name.to_string(),
            size,
            kind,
        })
    }

    /// An input over axes, in the order in which it lies in memory.
    fn input(&mut self, name: &str, axes: &[Id<Axis>]) -> Node {
        let axes: Axes = axes.iter().copied().collect();
        let len = self.graph.elements(&axes);
        self.values.insert(name.to_string(), numbers(name, len));
        self.graph.input(name, axes)
    }

    fn parameter(&mut self, name: &str, axes: &[Id<Axis>]) -> Node {
        let len = axes
            .iter()
            .map(|&axis| self.graph.axis(axis).size)
            .product();
        self.values.insert(name.to_string(), numbers(name, len));
        let parameter = self.graph.declare(Parameter {
            name: name.to_string(),
            axes: axes.to_vec(),
            start: Start::Bias,
            trained: true,
        });
        self.graph.read(parameter)
    }

    fn output(&mut self, name: &str, node: Node) {
        let axes = self.graph.axes_of(node).iter().collect();
        self.graph.output(OutputKind::Value, name, node, axes);
    }

    /// Runs the graph on the CPU, twice, and gives all arrays by name.
    fn run(
        &self,
        threads: usize,
        precision: Precision,
        family: KernelFamily,
    ) -> HashMap<String, Vec<f32>> {
        let plan = plan::build(&self.graph, NoiseSource::Generated);
        let plan = plan::VerifiedPlan::new(plan).expect("the planner's plans are verified");
        let mut cpu = Cpu::new(threads, precision, Some(family)).expect("the CPU has the family");
        let mut arrays: HashMap<String, Id<Array>> = HashMap::new();
        let places: Vec<Option<ArrayRange>> = plan
            .buffers
            .iter()
            .map(|buffer| {
                let name = match &buffer.storage {
                    plan::Storage::Arena(_) => return None,
                    plan::Storage::Parameter(index) => &plan.parameters[*index].name,
                    _ => &buffer.name,
                };
                let array = *arrays.entry(name.clone()).or_insert_with(|| {
                    let array = cpu.allocate(buffer.len).expect("memory for a few floats");
                    if let Some(values) = self.values.get(name) {
                        let mut write = |to: &mut [f32]| {
                            to.iter_mut()
                                .zip(values)
                                .for_each(|(to, &value)| *to = value as f32)
                        };
                        cpu.fill(array, 0, buffer.len, &mut write)
                            .expect("it is in memory");
                    }
                    array
                });
                Some(ArrayRange { array, offset: 0 })
            })
            .collect();
        let build = Build::new("test", plan);
        let program = cpu
            .load(&build, &places)
            .expect("the program fits into memory");
        cpu.run(program, KEY).expect("the program runs");
        let lens = build.plan.buffers.iter().zip(&places);
        let lens: HashMap<_, _> = lens
            .filter_map(|(buffer, place)| place.map(|place| (place.array, buffer.len)))
            .collect();
        arrays
            .into_iter()
            .map(|(name, array)| {
                let floats = cpu.read(array, 0, lens[&array]).expect("it is in memory");
                (name, floats.into_owned())
            })
            .collect()
    }

    /// Compares every output with the interpreter's, and the bits for several numbers of threads.
    fn check(&self) {
        let seed = eval::Seed {
            seed: KEY.seed,
            step: KEY.step,
        };
        let expected = eval::run(&self.graph, &self.values, Some(seed)).expect("a graph");
        let precisions = [(Precision::F32, 1e-5), (Precision::Bf16, 0.05)];
        let cases = precisions.into_iter().flat_map(|(precision, tolerance)| {
            let families = KernelFamily::all(precision).into_iter();
            families.map(move |family| (precision, tolerance, family))
        });
        for (precision, tolerance, family) in cases {
            let found = self.run(1, precision, family);
            for (_, name, array) in &expected {
                let found = &found[name];
                assert_eq!(found.len(), array.data.len(), "{name}");
                for (i, (&found, wanted)) in found.iter().zip(&array.data).enumerate() {
                    let error = (f64::from(found) - wanted).abs();
                    assert!(
                        error <= tolerance * (1.0 + wanted.abs()),
                        "{precision}, {family:?}: {name}[{i}] is {found}, not {wanted}"
                    );
                }
            }
            for threads in [2, 3] {
                let threaded = self.run(threads, precision, family);
                for (name, floats) in &found {
                    let same = floats.iter().zip(&threaded[name]);
                    let same = same.into_iter().all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(
                        same,
                        "{precision}, {family:?}: `{name}` differs on {threads} threads"
                    );
                }
            }
        }
    }
}

/// Loads of every kind, operations in place, noise, positions, and reductions along every axis.
#[test]
fn loops_and_reductions() {
    let mut b = Builder::new();
    let row = b.axis("row", 70, AxisKind::Row);
    let class = b.axis("class", 3, AxisKind::Class);
    let feature = b.axis("feature", 41, AxisKind::Feature);
    let (x, t) = (b.input("x", &[row, feature]), b.input("t", &[row]));
    let (bias, scale) = (b.parameter("bias", &[feature]), b.parameter("scale", &[]));
    let label = {
        let position = b.graph.iota(row);
        let shifted = b.graph.scale(position, 1.0 / 3.0);
        let whole = b.graph.scalar(Scalar::Floor, &[shifted]);
        let whole = b.graph.scale(whole, 3.0);
        b.graph.sub(position, whole)
    };
    let one_hot = b.graph.one_hot(label, class);
    let g = &mut b.graph;
    let noise = g.noise(
        "noise",
        NoiseKind::Normal,
        [row, feature].into_iter().collect(),
    );
    let dropped = g.noise(
        "dropped",
        NoiseKind::Uniform,
        [row, class, feature].into_iter().collect(),
    );
    let y = g.add(x, bias);
    let y = g.mul(y, scale);
    let y = g.add(y, t);
    let y = g.scalar(Scalar::Tanh, &[y]);
    let y = g.add(y, noise);
    let z = g.mul(y, one_hot);
    let z = g.mul(z, dropped);
    let exp = g.exp(z);
    let (rows, features, classes) = (Axes::from(row), Axes::from(feature), Axes::from(class));
    let sums = [
        ("by_feature", g.sum(exp, &rows.union(&classes))),
        ("by_row", g.sum(exp, &features.union(&classes))),
        ("by_class", g.sum(exp, &rows.union(&features))),
        ("all", g.sum(z, &rows.union(&features).union(&classes))),
        ("greatest", g.max(z, &features)),
        ("greatest_row", g.max(z, &rows)),
        ("softmax", g.log_softmax(z, class)),
        ("label", label),
    ];
    for (name, node) in sums {
        b.output(name, node);
    }
    b.check();
}

/// A parameter and its next value lie in one place.
#[test]
fn parameters_are_updated_in_place() {
    let mut b = Builder::new();
    let row = b.axis("row", 33, AxisKind::Row);
    let (input, output) = (
        b.axis("in", 19, AxisKind::Feature),
        b.axis("out", 7, AxisKind::Feature),
    );
    let x = b.input("x", &[row, input]);
    let (weight, average) = (
        b.parameter("weight", &[output, input]),
        b.parameter("average", &[output]),
    );
    let g = &mut b.graph;
    let y = g.contract(x, weight, &Axes::from(input));
    let mean = g.mean(y, &Axes::from(row));
    let gradient = g.contract(x, y, &Axes::from(row));
    let step = g.scale(gradient, -0.01);
    let next = g.add(weight, step);
    let difference = g.sub(mean, average);
    let difference = g.scale(difference, 0.1);
    let next_average = g.add(average, difference);
    g.output(OutputKind::Next, "weight", next, vec![output, input]);
    g.output(OutputKind::Next, "average", next_average, vec![output]);
    b.output("mean", mean);
    b.check();
}

/// Products over several tiles, of operands that several contractions share, and sums of products.
#[test]
fn contractions() {
    let mut b = Builder::new();
    let row = b.axis("row", 150, AxisKind::Row);
    let sample = b.axis("sample", 2, AxisKind::Sample);
    let (input, hidden) = (
        b.axis("in", 35, AxisKind::Feature),
        b.axis("hidden", 49, AxisKind::Feature),
    );
    let (x, other) = (
        b.input("x", &[row, input]),
        b.input("other", &[row, sample, input]),
    );
    let (first, second) = (
        b.parameter("first", &[hidden, input]),
        b.parameter("second", &[input, hidden]),
    );
    let g = &mut b.graph;
    let over = Axes::from(input);
    let by_row = g.contract(x, first, &over);
    let by_sample = g.contract(other, first, &over);
    let sum = g.add(by_row, by_sample);
    let sum = g.scalar(Scalar::Relu, &[sum]);
    // Numbers of about 1, so that bf16 rounds them to within the tolerance.
    let sum = g.scale(sum, 0.125);
    let back = g.contract(sum, second, &Axes::from(hidden));
    let outer = g.contract(back, sum, &[row, sample].into_iter().collect());
    // 300 terms that cancel: as a mean, their rounding is small.
    let outer = g.scale(outer, 1.0 / 300.0);
    for (name, node) in [
        ("by_row", by_row),
        ("sum", sum),
        ("back", back),
        ("outer", outer),
    ] {
        b.output(name, node);
    }
    b.check();
}

/// A hidden layer and its gradient, of which bf16 keeps what is only multiplied in half of the memory.
#[test]
fn a_hidden_layer() {
    let mut b = Builder::new();
    let row = b.axis("row", 150, AxisKind::Row);
    let [input, hidden, output] = [("in", 35), ("hidden", 49), ("out", 37)]
        .map(|(name, size)| b.axis(name, size, AxisKind::Feature));
    let (x, d) = (b.input("x", &[row, input]), b.input("d", &[row, output]));
    let (first, second) = (
        b.parameter("first", &[hidden, input]),
        b.parameter("second", &[output, hidden]),
    );
    let g = &mut b.graph;
    let before = g.contract(x, first, &Axes::from(input));
    let h = g.scalar(Scalar::Relu, &[before]);
    let y = g.contract(h, second, &Axes::from(hidden));
    let d_h = g.contract(d, second, &Axes::from(output));
    let zero = g.constant(0.0);
    let d_before = g.scalar(Scalar::Select, &[h, d_h, zero]);
    let d_first = g.contract(d_before, x, &Axes::from(row));
    let d_second = g.contract(d, h, &Axes::from(row));
    let d_bias = g.mean(d_before, &Axes::from(row));
    // Sums of 150 terms that cancel: as means, their rounding is small.
    let [d_first, d_second] = [d_first, d_second].map(|d| g.scale(d, 1.0 / 150.0));
    for (name, node) in [
        ("y", y),
        ("d_first", d_first),
        ("d_second", d_second),
        ("d_bias", d_bias),
    ] {
        b.output(name, node);
    }
    b.check();
    let plan = plan::build(&b.graph, NoiseSource::Generated);
    let rounded = plan.multiplied_only();
    let rounded = plan.buffers.iter().zip(rounded).filter(|(_, is)| *is);
    let lens: Vec<usize> = rounded.map(|(buffer, _)| buffer.len).collect();
    assert_eq!(lens, [150 * 49; 2], "the layer and its gradient");
}

/// A convolution with padding and a stride, by the weights and by the image.
#[test]
fn windows() {
    let mut b = Builder::new();
    let row = b.axis("row", 40, AxisKind::Row);
    let (height, width) = (
        b.axis("height", 6, AxisKind::Position),
        b.axis("width", 5, AxisKind::Position),
    );
    let (down, across) = (
        b.axis("down", 3, AxisKind::Position),
        b.axis("across", 5, AxisKind::Position),
    );
    let (kernel_down, kernel_across) = (
        b.axis("kernel_down", 3, AxisKind::Window),
        b.axis("kernel_across", 3, AxisKind::Window),
    );
    let (input, output) = (
        b.axis("in", 2, AxisKind::Feature),
        b.axis("out", 3, AxisKind::Feature),
    );
    let image = b.input("image", &[row, height, width, input]);
    let gradient = b.input("gradient", &[row, down, across, output]);
    let weight = b.parameter("weight", &[output, input, kernel_down, kernel_across]);
    let bias = b.parameter("bias", &[output]);
    let window = |axis, position, place, stride| Window {
        axis,
        terms: vec![(position, stride), (place, 1)],
        offset: -1,
        divisor: 1,
    };
    let windows = [
        window(height, down, kernel_down, 2),
        window(width, across, kernel_across, 1),
    ];
    let g = &mut b.graph;
    let seen = windows
        .iter()
        .fold(image, |image, window| g.window(image, window));
    let in_window: Axes = [input, kernel_down, kernel_across].into_iter().collect();
    let y = g.contract(seen, weight, &in_window);
    let y = g.add(y, bias);
    let y = g.scalar(Scalar::Softplus, &[y]);
    let positions: Axes = [row, down, across].into_iter().collect();
    let by_weight = g.contract(seen, gradient, &positions);
    let by_window = g.contract(gradient, weight, &Axes::from(output));
    let by_image = windows
        .iter()
        .rev()
        .fold(by_window, |value, window| g.fold(value, window));
    let pooled = g.max(seen, &[kernel_down, kernel_across].into_iter().collect());
    let outputs = [
        ("y", y),
        ("by_weight", by_weight),
        ("by_image", by_image),
        ("pooled", pooled),
    ];
    for (name, node) in outputs {
        b.output(name, node);
    }
    b.check();
}

#[test]
fn a_cpu_can_be_sent_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Cpu>();
}
