//! Reads class probabilities that are given or observed: `categorical(0.9, 0.1)` and
//! `categorical(observed)`.

use super::{context::Checker, networks::argument_layers};
use crate::{
    diagnostic::Diagnostic,
    id::Id,
    model::{Heads, Probabilities, Role, Variable},
    syntax::ast::{self, ArgumentValue, Arrow, Call, NetworkPart},
};

/// Stands for the frequencies of the training rows, unless a net has this name.
const OBSERVED: &str = "observed";

/// How far from 1 the sum of given probabilities may be.
const ROUNDING: f64 = 1e-6;

/// Whether a call gives probabilities: it has arguments, and none is a network or has a name.
pub(super) fn are_given(checker: &Checker, call: &Call) -> bool {
    let is_number = |argument: &ast::CallArgument| {
        argument.name.is_none()
            && matches!(argument.value, ArgumentValue::Expression(_))
            && argument_layers(checker, &argument.value).is_none()
    };
    is_observed(checker, call)
        || (!call.arguments.is_empty() && call.arguments.iter().all(is_number))
}

/// Whether a call is `categorical(observed)`.
fn is_observed(checker: &Checker, call: &Call) -> bool {
    let [only] = call.arguments.as_slice() else {
        return false;
    };
    let layers = argument_layers(checker, &only.value).filter(|_| only.name.is_none());
    matches!(
        layers.as_deref(),
        Some([NetworkPart::Call(word)]) if word.name.text == OBSERVED
            && word.arguments.is_empty()
            && !checker.nets.contains_key(OBSERVED)
    )
}

/// The probabilities that a call gives the classes of `child`.
pub(super) fn read(
    checker: &mut Checker,
    child: Id<Variable>,
    parents: &[Id<Variable>],
    arrow: &Arrow,
    call: &Call,
) -> Option<Heads> {
    let kind = &call.name.text;
    let probabilities = match is_observed(checker, call) {
        true => observed(checker, child, call)?,
        false => Probabilities::Given(given(checker, child, call)?),
    };
    if !parents.is_empty() {
        let label = format!("`{kind}` has the same probabilities for all rows");
        checker.unused_parents(arrow, &label, "remove the parents, or write a network");
        return None;
    }
    Some(Heads::Probabilities(probabilities))
}

fn observed(checker: &mut Checker, child: Id<Variable>, call: &Call) -> Option<Probabilities> {
    let variable = checker.variable(child);
    if matches!(variable.role, Role::Label | Role::Data) {
        return Some(Probabilities::Observed);
    }
    let (name, kind) = (&variable.name, &call.name.text);
    let title = format!("`{name}` is never observed, so its classes have no frequencies");
    let help = format!("write `{name} ~ {kind}(linear)` to learn the probabilities");
    checker.report(Diagnostic::error(call.span, title).help(help));
    None
}

/// Numbers above 0 that sum to 1, one for each class.
fn given(checker: &mut Checker, child: Id<Variable>, call: &Call) -> Option<Vec<f64>> {
    let variable = checker.variable(child).clone();
    let (name, classes) = (&variable.name, variable.size());
    let mut values = Vec::new();
    for argument in &call.arguments {
        let ArgumentValue::Expression(expression) = &argument.value else {
            return None;
        };
        let value = checker.number(expression)?;
        let is_positive = value > 0.0 && value.is_finite();
        if !is_positive {
            let title = format!("a probability of `{name}` must be above 0");
            let help = "write a small number such as 0.001; with 0, a row of that class would make \
                        the bound infinite";
            checker.report(
                Diagnostic::error(argument.span, title)
                    .label(format!("found {value}"))
                    .help(help),
            );
            return None;
        }
        values.push(value);
    }
    if values.len() != classes {
        let title = format!("`{name}` has {classes} classes");
        let found = match values.len() {
            1 => "found 1 probability".to_string(),
            count => format!("found {count} probabilities"),
        };
        let help = "write a probability for each class, or `observed` for their frequencies among \
                    the labelled training rows";
        checker.report(
            Diagnostic::error(call.span, title)
                .label(found)
                .note(variable.span, "declared here")
                .help(help),
        );
        return None;
    }
    let sum: f64 = values.iter().sum();
    if (sum - 1.0).abs() > ROUNDING {
        let title = format!("the probabilities of `{name}` must sum to 1");
        let help = "change one of them, or divide each by their sum";
        checker.report(
            Diagnostic::error(call.span, title)
                .label(format!("their sum is {sum}"))
                .help(help),
        );
        return None;
    }
    Some(values)
}
