//! Pooling: the maximum or the mean of the pixels in a window, for each channel separately.

use super::{
    Argument, Context, LEFT_OUT, Layer, Misfit, Part, image,
    image::{Places, sides},
};
use crate::tensor::{Axes, AxisKind, Graph, Node};

#[derive(Debug)]
pub struct MaxPool;

#[derive(Debug)]
pub struct MeanPool;

const ARGUMENTS: &[Argument] = &[
    Argument::count("size", None, 1.0),
    Argument::count("stride", Some(LEFT_OUT), 1.0),
];

fn places(arguments: &[f64]) -> Places {
    let stride = if arguments[1].is_nan() {
        arguments[0]
    } else {
        arguments[1]
    };
    Places {
        size: arguments[0] as usize,
        stride: stride as usize,
        padding: 0,
    }
}

fn outputs(layer: &str, inputs: &[Vec<usize>], arguments: &[f64]) -> Result<Vec<usize>, Misfit> {
    let (places, (height, width)) = (places(arguments), sides(layer, inputs)?[0]);
    match places.along(height).zip(places.along(width)) {
        Some((high, wide)) => Ok(vec![inputs[0][0], high, wide]),
        None => Err(Misfit {
            why: format!(
                "its window of {0} · {0} does not fit the image of {height} · {width}",
                places.size
            ),
            help: "use smaller windows, or fewer pooling layers".to_string(),
            depends_on_inputs: true,
        }),
    }
}

fn forward(
    context: &mut dyn Context,
    arguments: &[f64],
    part: &Part,
    reduce: &dyn Fn(&mut Graph, Node, &Axes) -> Node,
) -> Part {
    let (part, places) = (image(context, part), places(arguments));
    let shape = outputs("", std::slice::from_ref(&part.shape), arguments)
        .expect("check has seen the shape");
    let value = part.dense(context.graph());
    let window = ["window_height", "window_width"]
        .map(|name| context.new_axis(name, places.size, AxisKind::Window));
    let height = context.new_axis("height", shape[1], AxisKind::Position);
    let axes = vec![
        part.axes[0],
        height,
        context.new_axis("width", shape[2], AxisKind::Position),
    ];
    let graph = context.graph();
    let windows = places.read(graph, value, &part.axes[1..], &axes[1..], &window);
    Part::output(reduce(graph, windows, &Axes::from(window)), axes, shape)
}

impl Layer for MaxPool {
    fn name(&self) -> &'static str {
        "max_pool"
    }

    fn arguments(&self) -> &'static [Argument] {
        ARGUMENTS
    }

    fn outputs(&self, inputs: &[Vec<usize>], arguments: &[f64]) -> Result<Vec<usize>, Misfit> {
        outputs(self.name(), inputs, arguments)
    }

    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part {
        forward(context, arguments, &parts[0], &|graph, value, over| {
            graph.max(value, over)
        })
    }
}

impl Layer for MeanPool {
    fn name(&self) -> &'static str {
        "mean_pool"
    }

    fn arguments(&self) -> &'static [Argument] {
        ARGUMENTS
    }

    fn outputs(&self, inputs: &[Vec<usize>], arguments: &[f64]) -> Result<Vec<usize>, Misfit> {
        outputs(self.name(), inputs, arguments)
    }

    fn forward(&self, context: &mut dyn Context, arguments: &[f64], parts: &[Part]) -> Part {
        forward(context, arguments, &parts[0], &|graph, value, over| {
            graph.mean(value, over)
        })
    }
}
