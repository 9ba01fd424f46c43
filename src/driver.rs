//! The stages of the compiler in order, as one function each.
//!
//! `check` → `derive` → `lower` → `differentiate` → `simplify` → `plan` is the path of a training
//! step; [`step`] walks it up to the simplified graph. [`update`], [`evaluate`] and [`generate`] make
//! the other programs of a run.

use crate::{
    bound::{self, Bounds},
    check,
    diagnostic::Diagnostic,
    error::{Error, ErrorKind},
    gradient,
    id::Id,
    lower::{self, Evaluate, Given, Mode},
    model::{self, Model},
    names::{OutputName, ParameterGroup},
    plan::{self, NoiseSource, VerifiedPlan},
    simplify, syntax,
    tensor::{self, Axis, Graph, Node, OutputKind},
};

/// Text to a checked model with its lints, or every mistake found. `sets` are the `NAME=VALUE` of
/// `--set`.
pub fn check(
    file: &str,
    text: &str,
    sets: &[(String, String)],
) -> Result<(Model, Vec<Diagnostic>), Vec<Diagnostic>> {
    // The name stands in comments of generated code and in messages.
    let file: String = file
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let file = file.as_str();
    let mut parsed = syntax::parse_with_recovery(text);
    let checked = parsed
        .tree
        .as_ref()
        .map(|tree| check::check(file, text, tree, sets));
    match checked {
        Some(checked) if parsed.mistakes.is_empty() => checked,
        checked => {
            // Report mistakes in what could be read, beside what could not.
            let more = checked.and_then(Result::err).unwrap_or_default();
            let more = more
                .into_iter()
                .filter(|mistake| !parsed.explains(text, mistake))
                .collect::<Vec<_>>();
            parsed.mistakes.extend(more);
            parsed.mistakes.sort_by_key(|mistake| mistake.span.start);
            Err(parsed.mistakes)
        }
    }
}

/// The bound of each case.
pub fn derive(model: &Model) -> Bounds {
    bound::derive(model)
}

/// The loss of one batch with `rows[i]` rows of case i.
pub fn lower(model: &Model, bounds: &Bounds, rows: &[usize], mode: Mode) -> Graph {
    let mut graph = lower::train(model, bounds, rows, mode);
    lower::freeze(&mut graph, model);
    verified(graph)
}

/// The same, with the gradient of the loss by every trained parameter as outputs.
pub fn differentiate(mut graph: Graph) -> Graph {
    let loss = graph
        .outputs
        .iter()
        .find(|output| output.name == OutputName::Loss)
        .expect("a loss was lowered")
        .node;
    let trained: Vec<usize> = (0..graph.parameters.len())
        .filter(|&index| graph.parameters[index].trained)
        .collect();
    let by: Vec<Node> = trained
        .iter()
        .map(|&index| graph.read(crate::id::Id::new(index)))
        .collect();
    let gradients = gradient::reverse(&mut graph, loss, &by);
    for (index, gradient) in trained.into_iter().zip(gradients) {
        let (name, axes) = (
            graph.parameters[index].name.clone(),
            graph.parameters[index].axes.clone(),
        );
        graph.output(OutputKind::Gradient, name, gradient, axes);
    }
    verified(graph)
}

/// The same outputs from fewer and cheaper operations.
pub fn simplify(graph: &Graph) -> Graph {
    verified(simplify::run(graph))
}

/// The plan of a graph, verified: fused kernels over buffers that are placed in memory.
///
/// # Errors
/// If a value of the graph is too large, or the plan exceeds a limit of the verifier.
pub fn plan(graph: &Graph, noise: NoiseSource) -> Result<VerifiedPlan, Error> {
    check_sizes(graph)?;
    VerifiedPlan::new(plan::build(graph, noise)).map_err(|error| {
        let message = format!("the model cannot be planned: {error}");
        let help = "reduce a size, or the number of variables that are summed over; \
                    if the model is small, this is a bug in dgc";
        Error::of_kind(ErrorKind::Model, message).help(help)
    })
}

/// The most numbers that one value of a program may have: 256 GiB of them.
const MOST_NUMBERS: f64 = (1u64 << 36) as f64;

/// Checks that no value of a graph is too large to be planned or interpreted, so that products of
/// its sizes do not overflow.
///
/// # Errors
/// With the first value that is, and the term that it belongs to.
pub fn check_sizes(graph: &Graph) -> Result<(), Error> {
    let too_large = |what: String, numbers: f64| {
        let message = format!("{what} has {numbers:.1e} numbers, more than {MOST_NUMBERS:.1e}");
        let help = "reduce a size, the number of classes, the samples or the batch";
        Err(Error::of_kind(ErrorKind::Model, message).help(help))
    };
    let size = |axis: Id<Axis>| graph.axis(axis).size as f64;
    for node in &graph.nodes {
        let numbers = node.axes.iter().map(size).product::<f64>();
        if numbers > MOST_NUMBERS {
            return too_large(
                format!("a value of `{}`", graph.origins[node.origin]),
                numbers,
            );
        }
    }
    for parameter in &graph.parameters {
        let numbers = parameter.axes.iter().copied().map(size).product::<f64>();
        if numbers > MOST_NUMBERS {
            return too_large(format!("parameter `{}`", parameter.name), numbers);
        }
    }
    Ok(())
}

/// One step of training, up to the gradients.
pub fn step(model: &Model, rows: &[usize], mode: Mode) -> Graph {
    let bounds = derive(model);
    simplify(&differentiate(lower(model, &bounds, rows, mode)))
}

/// The optimiser's update of flat parameters, `len` of them in each group.
pub fn update(model: &Model, len: impl Fn(ParameterGroup) -> usize) -> Graph {
    simplify(&verified(lower::update(model, len)))
}

/// What is inferred of each row of a case.
pub fn evaluate(model: &Model, case: &bound::Case, what: Evaluate) -> Graph {
    simplify(&verified(lower::evaluate(model, case, what)))
}

/// The mean of each data variable of each row of a case, given what is inferred, for these values of given
/// variables in p.
pub fn reconstruct(
    model: &Model,
    case: &bound::Case,
    what: Evaluate,
    given: &[Vec<Given>],
) -> Graph {
    simplify(&verified(lower::reconstruct(model, case, what, given)))
}

/// The heads of each data variable given draws of latents and classes, for each row of a case.
pub fn predictive(model: &Model, case: &bound::Case, what: Evaluate) -> Graph {
    simplify(&verified(lower::predictive(model, case, what)))
}

/// Data drawn from the generative graph.
pub fn generate(model: &Model, rows: usize, given: &[crate::id::Id<model::Variable>]) -> Graph {
    simplify(&verified(lower::generate(model, rows, given)))
}

fn verified(graph: Graph) -> Graph {
    if cfg!(debug_assertions) {
        tensor::verify(&graph);
    }
    graph
}
