//! The arguments of a call, positional or by name.

use super::context::Checker;
use crate::{
    diagnostic::{Diagnostic, suggest},
    layer::Argument,
    syntax::ast::{ArgumentValue, Call},
};

/// The values of a call's arguments in their order, defaults filled in.
pub(super) fn arguments_of(
    checker: &mut Checker,
    call: &Call,
    arguments: &[Argument],
    what: &str,
) -> Option<Vec<f64>> {
    let name = &call.name.text;
    let mut values: Vec<Option<f64>> = vec![None; arguments.len()];
    let mut fine = true;
    for (position, given) in call.arguments.iter().enumerate() {
        let index = match &given.name {
            Some(wanted) => arguments
                .iter()
                .position(|argument| argument.name == wanted.text),
            None => (position < arguments.len()).then_some(position),
        };
        let Some(index) = index else {
            fine = false;
            let (span, title) = match &given.name {
                Some(wanted) => (
                    wanted.span,
                    format!("{what} `{name}` has no argument `{}`", wanted.text),
                ),
                None => (
                    given.span,
                    format!(
                        "{what} `{name}` takes {}",
                        counted(arguments.len(), "argument")
                    ),
                ),
            };
            let mut unknown = Diagnostic::error(span, title)
                .label("one too many")
                .help(written(name, arguments));
            if let Some(wanted) = &given.name {
                unknown.label = "not known".to_string();
                unknown.help =
                    suggest(&wanted.text, arguments.iter().map(|argument| argument.name));
            }
            checker.report(unknown);
            continue;
        };
        let ArgumentValue::Expression(expression) = &given.value else {
            fine = false;
            let title = format!("`{}` is a number", arguments[index].name);
            let found = Diagnostic::error(given.span, title).label("found a network");
            checker.report(found.help(written(name, arguments)));
            continue;
        };
        if values[index].is_some() {
            fine = false;
            checker.report(
                Diagnostic::error(
                    given.span,
                    format!("`{}` is given twice", arguments[index].name),
                )
                .label("given again here")
                .help("keep one of the two"),
            );
        }
        let Some(value) = checker.number(expression) else {
            fine = false;
            continue;
        };
        fine &= checker.in_range(given.span, &arguments[index], value);
        values[index] = Some(value);
    }
    for (value, argument) in values.iter_mut().zip(arguments) {
        *value = value.or(argument.default);
        if value.is_none() && fine {
            fine = false;
            let title = format!("{what} `{name}` needs `{}`", argument.name);
            checker.report(Diagnostic::error(call.span, title).help(written(name, arguments)));
        }
    }
    if fine {
        values.into_iter().collect()
    } else {
        None
    }
}

/// How a call is written.
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
