//! The combinator of a ladder network: an estimate of a value from its noisy version and from the
//! layer above.

use super::{Context, Layer, Misfit, Part, flat};
use crate::tensor::{Node, Scalar, Start};

#[derive(Debug)]
pub struct Combinator;

impl Layer for Combinator {
    fn name(&self) -> &'static str {
        "combinator"
    }

    fn joins(&self) -> bool {
        true
    }

    fn outputs(&self, inputs: &[Vec<usize>], _: &[f64]) -> Result<Vec<usize>, Misfit> {
        let sizes: Vec<usize> = inputs.iter().map(|shape| shape.iter().product()).collect();
        let why = match sizes.as_slice() {
            [lateral, above] if lateral == above => return Ok(inputs[0].clone()),
            [lateral, above] => {
                format!(
                    "it takes two inputs with equal numbers of features, not {lateral} and {above}"
                )
            }
            [_] => {
                "it takes two inputs, the noisy value and the value from above, not one".to_string()
            }
            _ => format!(
                "it takes two inputs, the noisy value and the value from above, not {}",
                sizes.len()
            ),
        };
        let help =
            "write two parents of equal size before the arrow: the noisy value, then the value from above"
                .to_string();
        Err(Misfit {
            why,
            help,
            depends_on_inputs: true,
        })
    }

    /// (z − μ(u)) v(u) + μ(u) for parents z, u; μ(u) = a₁ σ(a₂ u + a₃) + a₄ u + a₅ and v(u) = a₆
    /// σ(a₇ u + a₈) + a₉ u + a₁₀, with numbers a for each feature (Rasmus et al. 2015, equation 2).
    fn forward(&self, context: &mut dyn Context, _: &[f64], parts: &[Part]) -> Part {
        let [lateral, above] = parts else {
            unreachable!("check counts the parents of a combinator")
        };
        let (lateral, above) = (flat(context, lateral), flat(context, above));
        let (axis, above_axis) = (lateral.axes[0], above.axes[0]);
        let value = lateral.dense(context.graph());
        let u = above.dense(context.graph());
        let u = if above_axis == axis {
            u
        } else {
            context.graph().rename(u, above_axis, axis)
        };
        let mut formula = |first: usize| {
            let mut a = |offset: usize| {
                // Only the slope within the sigmoid starts at 1, so the estimate starts at 0 for
                // any parents.
                let start = Start::Constant(if offset == 1 { 1.0 } else { 0.0 });
                context.parameter(&format!("a{}", first + offset), &[axis], start)
            };
            let a: [Node; 5] = std::array::from_fn(&mut a);
            let graph = context.graph();
            let scaled = graph.mul(a[1], u);
            let shifted = graph.add(scaled, a[2]);
            let sigmoid = graph.scalar(Scalar::Sigmoid, &[shifted]);
            let (bent, straight) = (graph.mul(a[0], sigmoid), graph.mul(a[3], u));
            graph.total(vec![bent, straight, a[4]])
        };
        let (mean, slope) = (formula(1), formula(6));
        let graph = context.graph();
        let centred = graph.sub(value, mean);
        let scaled = graph.mul(centred, slope);
        Part {
            name: String::new(),
            ..lateral.with(graph.add(scaled, mean))
        }
    }
}
