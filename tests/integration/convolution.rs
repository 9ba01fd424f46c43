//! Convolutions and pooling against direct loops, and their gradients: the interpreter, the CPU and
//! the emulated GPU.

use crate::common;

use common::{distance, emulator, numbers};
use dgc::{
    backend::{Build, Device, NoiseKey, Precision},
    driver, gradient,
    id::Id,
    layer::{self, Context, Layer, Part},
    plan::NoiseSource,
    run::session::{Layout, Session},
    tensor::{Axes, Axis, AxisKind, Graph, Node, NoiseKind, OutputKind, Parameter, Start, eval},
};
use std::collections::HashMap;

/// A layer on its own.
#[derive(Default)]
struct Alone {
    graph: Graph,
}

impl Context for Alone {
    fn graph(&mut self) -> &mut Graph {
        &mut self.graph
    }

    fn parameter(&mut self, name: &str, axes: &[Id<Axis>], start: Start) -> Node {
        let name = name.to_string();
        let parameter = self.graph.declare(Parameter {
            name,
            axes: axes.to_vec(),
            start,
            trained: true,
        });
        self.graph.read(parameter)
    }

    fn running_average(&mut self, _: &str, _: &[Id<Axis>], _: f64, _: Node, _: f64) -> Node {
        unreachable!("windows have no averages")
    }

    fn new_axis(&mut self, name: &str, size: usize, kind: AxisKind) -> Id<Axis> {
        self.graph.new_axis(Axis {
            name: format!("layer.{name}"),
            size,
            kind,
        })
    }

    fn noise(&mut self, _: &str, kind: NoiseKind, like: Node) -> Node {
        let axes = self.graph.axes_of(like).clone();
        self.graph.noise("noise", kind, axes)
    }

    fn batch_statistics(&self) -> bool {
        true
    }

    fn noisy(&self) -> bool {
        false
    }
}

/// A layer on images of that many rows, channels, pixels down and across; the layer's own numbers
/// are channels, kernel, stride and padding, or size and stride.
#[derive(Clone, Debug)]
struct Case {
    layer: &'static str,
    image: [usize; 4],
    own: Vec<usize>,
}

const ROWS: usize = 3;

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |layer, image, own: &[usize]| {
        cases.push(Case {
            layer,
            image,
            own: own.to_vec(),
        })
    };
    add("conv", [ROWS, 1, 6, 6], &[4, 3, 1, 0]);
    add("conv", [ROWS, 5, 4, 7], &[2, 3, 1, 1]);
    add("conv", [ROWS, 3, 6, 5], &[4, 4, 2, 1]);
    // A row and a column that no window reaches; windows that lie in the padding alone; one pixel.
    add("conv", [1, 2, 6, 8], &[3, 3, 2, 0]);
    add("conv", [ROWS, 2, 2, 3], &[2, 2, 3, 3]);
    add("conv", [ROWS, 3, 4, 3], &[5, 1, 1, 0]);
    add("conv", [ROWS, 3, 3, 3], &[2, 3, 1, 0]);
    add("conv_transpose", [ROWS, 3, 3, 4], &[2, 4, 2, 1]);
    add("conv_transpose", [ROWS, 1, 2, 3], &[3, 3, 1, 0]);
    add("conv_transpose", [ROWS, 4, 3, 2], &[1, 2, 3, 0]);
    add("conv_transpose", [ROWS, 2, 1, 1], &[2, 3, 1, 1]);
    add("max_pool", [ROWS, 3, 4, 6], &[2, 2]);
    add("max_pool", [ROWS, 2, 7, 5], &[3, 2]);
    add("mean_pool", [ROWS, 3, 4, 6], &[2, 2]);
    add("mean_pool", [ROWS, 2, 5, 7], &[2, 3]);
    cases
}

/// The results by name.
type Numbers = HashMap<String, Vec<f64>>;

/// Pixel [row, channel, down, across], counted without gaps.
fn at(shape: [usize; 4], [row, channel, down, across]: [usize; 4]) -> usize {
    ((row * shape[1] + channel) * shape[2] + down) * shape[3] + across
}

/// What the layer makes of `x`, and the gradients of Σ g · result, by direct loops.
fn directly(case: &Case, made: [usize; 4], values: &Numbers) -> Numbers {
    let (x, g) = (&values["x"], &values["g"]);
    let window = if case.layer.ends_with("pool") {
        case.own[0]
    } else {
        case.own[1]
    };
    let stride = if case.layer.ends_with("pool") {
        case.own[1]
    } else {
        case.own[2]
    };
    let padding = if case.layer.ends_with("pool") {
        0
    } else {
        case.own[3]
    };
    let transposed = case.layer == "conv_transpose";
    // Windows lie over the larger image.
    let (small, large) = if transposed {
        (case.image, made)
    } else {
        (made, case.image)
    };
    let mut result = vec![0.0; made.iter().product()];
    let mut by_x = vec![0.0; x.len()];
    let mut by_weight = values
        .get("weight")
        .map_or(Vec::new(), |weight| vec![0.0; weight.len()]);
    let mut by_bias = vec![0.0; made[1]];
    let places = |row: usize, channel: usize, down: usize, across: usize| {
        let side = move |start: usize, step: usize, length: usize| -> Option<usize> {
            (start * stride + step)
                .checked_sub(padding)
                .filter(|&pixel| pixel < length)
        };
        (0..window * window).filter_map(move |place| {
            let (kernel_down, kernel_across) = (place / window, place % window);
            let pixel = [
                row,
                channel,
                side(down, kernel_down, large[2])?,
                side(across, kernel_across, large[3])?,
            ];
            Some((place, at(large, pixel)))
        })
    };
    for row in 0..small[0] {
        for down in 0..small[2] {
            for across in 0..small[3] {
                for channel in 0..small[1] {
                    let own = at(small, [row, channel, down, across]);
                    if case.layer == "max_pool" {
                        let pixels: Vec<usize> = places(row, channel, down, across)
                            .map(|(_, pixel)| pixel)
                            .collect();
                        let most = pixels.iter().map(|&pixel| x[pixel]);
                        result[own] = most.fold(f64::NEG_INFINITY, f64::max);
                        let is_most = |pixel: &&usize| x[**pixel] == result[own];
                        let tied = pixels.iter().filter(is_most).count() as f64;
                        for &pixel in pixels.iter().filter(is_most) {
                            by_x[pixel] += g[own] / tied;
                        }
                    } else if case.layer == "mean_pool" {
                        for (_, pixel) in places(row, channel, down, across) {
                            result[own] += x[pixel] / (window * window) as f64;
                            by_x[pixel] += g[own] / (window * window) as f64;
                        }
                    } else {
                        for other in 0..large[1] {
                            for (place, pixel) in places(row, other, down, across) {
                                // [out, in, kernel, kernel], and [in, out, kernel, kernel]: both
                                // are those of the smaller image first.
                                let weight = (channel * large[1] + other) * window * window + place;
                                let (from, to) = if transposed {
                                    (own, pixel)
                                } else {
                                    (pixel, own)
                                };
                                result[to] += values["weight"][weight] * x[from];
                                by_x[from] += values["weight"][weight] * g[to];
                                by_weight[weight] += x[from] * g[to];
                            }
                        }
                    }
                }
            }
        }
    }
    let mut numbers = Numbers::new();
    if !case.layer.ends_with("pool") {
        for row in 0..made[0] {
            for channel in 0..made[1] {
                for pixel in 0..made[2] * made[3] {
                    let element = at(made, [row, channel, 0, 0]) + pixel;
                    result[element] += values["bias"][channel];
                    by_bias[channel] += g[element];
                }
            }
        }
        numbers.insert("d weight".to_string(), by_weight);
        numbers.insert("d bias".to_string(), by_bias);
    }
    numbers.insert("result".to_string(), result);
    numbers.insert("d x".to_string(), by_x);
    numbers
}

/// The layer with its gradients as a graph, what it reads, and the shape of what it makes.
fn graph(case: &Case) -> (Graph, Numbers, [usize; 4]) {
    let layer: &dyn Layer = layer::find(case.layer).expect("a layer");
    let [rows, channels, height, width] = case.image;
    let mut alone = Alone::default();
    let row = alone.graph.new_axis(Axis {
        name: "row".to_string(),
        size: rows,
        kind: AxisKind::Row,
    });
    let size = channels * height * width;
    let feature = alone.graph.new_axis(Axis {
        name: "x".to_string(),
        size,
        kind: AxisKind::Feature,
    });
    // A trained table, so that there is a gradient by it.
    let x = alone.parameter("x", &[row, feature], Start::Bias);
    let mut part = Part::output(x, vec![feature], vec![channels, height, width]);
    let arguments: Vec<f64> = case.own.iter().map(|&number| number as f64).collect();
    part = layer.forward(&mut alone, &arguments, &[part]);
    let made = [rows, part.shape[0], part.shape[1], part.shape[2]];
    assert_eq!(
        Ok(part.shape.clone()),
        layer.outputs(&[vec![channels, height, width]], &arguments),
        "the shape"
    );
    let Part { value, axes, .. } = layer::flat(&mut alone, &part);
    let layer::Value::Dense(node) = value else {
        unreachable!("a layer makes numbers")
    };
    let graph = &mut alone.graph;
    graph.output(OutputKind::Value, "result", node, vec![row, axes[0]]);
    let g = graph.input("g", Axes::from([row, axes[0]]));
    let product = graph.mul(g, node);
    let loss = graph.sum(product, &Axes::from([row, axes[0]]));
    let parameters: Vec<Id<Parameter>> = (0..graph.parameters.len()).map(Id::new).collect();
    let nodes: Vec<Node> = parameters
        .iter()
        .map(|&parameter| graph.read(parameter))
        .collect();
    let mut values = Numbers::new();
    for (&parameter, by) in parameters
        .iter()
        .zip(gradient::reverse(graph, loss, &nodes))
    {
        let Parameter { name, axes, .. } = graph.parameter(parameter).clone();
        let count = axes.iter().map(|&axis| graph.axis(axis).size).product();
        values.insert(
            name.clone(),
            numbers(&format!("{case:?} {name}"), count, 1.0),
        );
        graph.output(OutputKind::Gradient, name, by, axes);
    }
    if case.layer == "max_pool" {
        // Halves, so that maxima are tied.
        let x = values.get_mut("x").expect("the image");
        x.iter_mut().for_each(|x| *x = (*x * 2.0).round() / 2.0);
    }
    values.insert(
        "g".to_string(),
        numbers(&format!("{case:?} g"), made.iter().product(), 1.0),
    );
    (alone.graph, values, made)
}

fn interpreted(graph: &Graph, values: &Numbers) -> Numbers {
    let outputs = eval::run(graph, values, None)
        .expect("values for everything")
        .into_iter();
    outputs
        .map(|(kind, name, array)| (named(kind, &name), array.data))
        .collect()
}

fn named(kind: OutputKind, name: &str) -> String {
    if kind == OutputKind::Gradient {
        format!("d {name}")
    } else {
        name.to_string()
    }
}

fn on_device(graph: &Graph, values: &Numbers, device: &Device) -> Numbers {
    let plan = driver::plan(graph, NoiseSource::Given).expect("a plan");
    let mut session =
        Session::new(Layout::new(&graph.parameters, &graph.axes), device).expect("a device");
    let loaded = session
        .load(&Build::new("convolution", plan), &|_| None)
        .expect("it loads");
    for entry in session.layout.entries.clone() {
        session
            .set(session.parameters, &entry, &values[&entry.parameter.name])
            .expect("a parameter");
    }
    let mut fill = |array: &mut [f32]| {
        array
            .iter_mut()
            .zip(&values["g"])
            .for_each(|(to, from)| *to = *from as f32)
    };
    session.fill(&loaded, "g", &mut fill).expect("an input");
    session
        .run(&loaded, NoiseKey { seed: 0, step: 0 })
        .expect("it runs");
    let wide = |floats: &[f32]| floats.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let mut found = Numbers::new();
    let result = session
        .read(&loaded, "result")
        .expect("it is read")
        .expect("a result");
    found.insert("result".to_string(), wide(&result));
    for entry in &session.layout.entries {
        let gradient = session.gradient(entry).expect("it is read");
        found.insert(format!("d {}", entry.parameter.name), wide(&gradient));
    }
    found
}

fn agree(what: &str, found: &Numbers, wanted: &Numbers, most: f64) {
    assert_eq!(found.len(), wanted.len(), "{what}: as many results");
    for (name, wanted) in wanted {
        let apart = distance(&found[name], wanted);
        assert!(apart <= most, "{what}: {name} is off by {apart:e}");
    }
}

#[test]
fn layers_and_their_gradients_are_direct_loops() {
    for case in cases() {
        let (graph, values, made) = graph(&case);
        dgc::tensor::verify(&graph);
        let wanted = directly(&case, made, &values);
        agree(
            &format!("{case:?}"),
            &interpreted(&graph, &values),
            &wanted,
            1e-12,
        );
        let simplified = driver::simplify(&graph);
        agree(
            &format!("{case:?}, simplified"),
            &interpreted(&simplified, &values),
            &wanted,
            1e-12,
        );
        let one = on_device(&simplified, &values, &Device::cpu(1));
        agree(&format!("{case:?} on the CPU"), &one, &wanted, 1e-5);
        assert!(
            one == on_device(&simplified, &values, &Device::cpu(2)),
            "{case:?}: the same bits"
        );
        // What no rule has touched: sums over windows of weights, and folds of products.
        agree(
            &format!("{case:?} as it is"),
            &on_device(&graph, &values, &Device::cpu(2)),
            &wanted,
            1e-5,
        );
    }
}

/// Sums along the positions of many images are made in parts, and panels and strips are full.
#[test]
fn many_images_are_summed_in_parts() {
    for (layer, image, own) in [
        ("conv", [40, 5, 9, 8], vec![33, 3, 1, 1]),
        ("conv", [40, 17, 9, 8], vec![18, 4, 2, 1]),
        ("conv_transpose", [40, 20, 4, 5], vec![19, 4, 2, 1]),
    ] {
        let case = Case { layer, image, own };
        let (graph, values, made) = graph(&case);
        let (graph, wanted) = (driver::simplify(&graph), directly(&case, made, &values));
        let one = on_device(&graph, &values, &Device::cpu(1));
        agree(&format!("{case:?}"), &one, &wanted, 1e-5);
        assert!(
            one == on_device(&graph, &values, &Device::cpu(2)),
            "{case:?}: the same bits"
        );
    }
}

#[test]
fn layers_on_the_emulated_gpu_are_those_of_the_cpu() {
    if !emulator::is_here("convolution::layers_on_the_emulated_gpu_are_those_of_the_cpu") {
        return;
    }
    for (number, case) in cases().iter().enumerate() {
        let (graph, values, made) = graph(case);
        let (graph, wanted) = (driver::simplify(&graph), directly(case, made, &values));
        let precisions = [
            (Precision::F32, 1e-5),
            (Precision::Tf32, 3e-3),
            (Precision::Bf16, 3e-2),
        ];
        for (precision, most) in precisions
            .into_iter()
            .take(if number % 4 == 1 { 3 } else { 1 })
        {
            let found = on_device(
                &graph,
                &values,
                &Device::Cuda {
                    nvrtc: None,
                    precision,
                },
            );
            agree(&format!("{case:?} in {precision}"), &found, &wanted, most);
        }
    }
}
