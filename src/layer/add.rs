//! `add`: the elementwise sum of the parents.

use super::{Context, Layer, Misfit, Part, flat};
use crate::tensor::{Axes, AxisKind};

#[derive(Debug)]
pub struct Add;

impl Layer for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn joins(&self) -> bool {
        true
    }

    /// An input with one feature is added to every feature of the others.
    fn outputs(&self, inputs: &[Vec<usize>], _: &[f64]) -> Result<Vec<usize>, Misfit> {
        let size = |shape: &Vec<usize>| shape.iter().product::<usize>();
        let most = inputs
            .iter()
            .max_by_key(|shape| size(shape))
            .cloned()
            .unwrap_or_default();
        if !inputs.is_empty()
            && inputs
                .iter()
                .all(|shape| size(shape) == size(&most) || size(shape) == 1)
        {
            return Ok(most);
        }
        let listed: Vec<String> = inputs.iter().map(|shape| size(shape).to_string()).collect();
        let why = format!(
            "it takes inputs with equal numbers of features, or with one feature, not {}",
            listed.join(" and ")
        );
        let help = "first give the parents the same size: `a -> b = dense(10)`".to_string();
        Err(Misfit {
            why,
            help,
            depends_on_inputs: true,
        })
    }

    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let parts: Vec<Part> = parts.iter().map(|part| flat(context, part)).collect();
        let graph = context.graph();
        let largest = parts
            .iter()
            .max_by_key(|part| graph.axis(part.axes[0]).size)
            .expect("a network has parents");
        let (features, shape) = (graph.axis(largest.axes[0]).size, largest.shape.clone());
        let out = context.new_axis("", features, AxisKind::Feature);
        let graph = context.graph();
        let mut terms = Vec::new();
        for part in &parts {
            let (value, features_axis) = (part.dense(graph), part.axes[0]);
            let all = graph.axis(features_axis).size == features;
            terms.push(if all {
                graph.rename(value, features_axis, out)
            } else {
                graph.sum(value, &Axes::from(features_axis))
            });
        }
        terms.sort_by_key(|&term| graph.axes_of(term).len());
        Part::output(graph.total(terms), vec![out], shape)
    }
}
