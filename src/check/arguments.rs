//! The arguments of a call, positional or by name.

use super::context::Checker;
use crate::{
    diagnostic::{Diagnostic, suggest},
    layer::Argument,
    syntax::ast::{ArgumentValue, Call, CallArgument},
};

/// The values of a call's arguments in the order of `arguments`, with defaults filled in. Reports
/// mistakes, and then returns `None`. `what` names the kind of callee in messages: `layer`.
pub(super) fn argument_values(
    checker: &mut Checker,
    call: &Call,
    arguments: &[Argument],
    what: &str,
) -> Option<Vec<f64>> {
    let name = &call.name.text;
    let mut values: Vec<Option<f64>> = vec![None; arguments.len()];
    let mut complete = true;
    for (position, given) in call.arguments.iter().enumerate() {
        if checker.is_full() {
            return None;
        }
        let index = match &given.name {
            Some(wanted) => arguments
                .iter()
                .position(|argument| argument.name == wanted.text),
            None => (position < arguments.len()).then_some(position),
        };
        let Some(index) = index else {
            complete = false;
            checker.report(unknown(call, arguments, given, what));
            continue;
        };
        let is_number = matches!(given.value, ArgumentValue::Expression(_));
        if is_number && values[index].is_some() {
            complete = false;
            let title = format!("`{}` is given twice", arguments[index].name);
            checker.report(
                Diagnostic::error(given.span, title)
                    .label("given again here")
                    .help("keep one of the two"),
            );
        }
        match number(checker, call, arguments, index, given) {
            Some((value, in_range)) => {
                complete &= in_range;
                values[index] = Some(value);
            }
            None => complete = false,
        }
    }
    for (value, argument) in values.iter_mut().zip(arguments) {
        *value = value.or(argument.default);
        if value.is_none() && complete {
            complete = false;
            let title = format!("{what} `{name}` needs the argument `{}`", argument.name);
            checker.report(Diagnostic::error(call.span, title).help(written(name, arguments)));
        }
    }
    if complete {
        values.into_iter().collect()
    } else {
        None
    }
}

/// The number given for an argument, and whether it is in the argument's range.
fn number(
    checker: &mut Checker,
    call: &Call,
    arguments: &[Argument],
    index: usize,
    given: &CallArgument,
) -> Option<(f64, bool)> {
    let argument = &arguments[index];
    let ArgumentValue::Expression(expression) = &given.value else {
        let title = format!("`{}` must be a number", argument.name);
        let found = Diagnostic::error(given.span, title).label("found a network");
        checker.report(found.help(written(&call.name.text, arguments)));
        return None;
    };
    let value = checker.number(expression)?;
    Some((value, checker.in_range(given.span, argument, value)))
}

/// The diagnostic for an argument that the callee does not have.
fn unknown(call: &Call, arguments: &[Argument], given: &CallArgument, what: &str) -> Diagnostic {
    let name = &call.name.text;
    match &given.name {
        Some(wanted) => {
            let title = format!("{what} `{name}` has no argument `{}`", wanted.text);
            let mut unknown = Diagnostic::error(wanted.span, title).label("no such argument");
            let names = arguments.iter().map(|argument| argument.name);
            unknown.help = suggest(&wanted.text, names);
            unknown
        }
        None => {
            let takes = counted(arguments.len(), "argument");
            Diagnostic::error(given.span, format!("{what} `{name}` takes {takes}"))
                .label("unexpected argument")
                .help(written(name, arguments))
        }
    }
}

/// The help text that shows how to write a call.
fn written(name: &str, arguments: &[Argument]) -> String {
    let shown = arguments
        .iter()
        .filter(|argument| argument.default.is_none_or(|default| !default.is_nan()));
    let names: Vec<&str> = shown.map(|argument| argument.name).collect();
    if names.is_empty() {
        format!("write `{name}`")
    } else {
        format!("write `{name}({})`", names.join(", "))
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        format!("1 {noun}")
    } else {
        format!("{count} {noun}s")
    }
}
