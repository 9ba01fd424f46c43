//! Networks as they are used: nets by name and repetitions written out, layers numbered, arguments
//! in their order.

use super::{LayerUse, Network, Variable, check::Checker, shapes};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    id::Id,
    layer::{self, Argument, LAYERS},
    syntax::ast::{self, ArgumentValue, Call, ExpressionKind, Name},
};
use std::collections::BTreeMap;

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
        fine &= in_range(checker, given.span, &arguments[index], value);
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

/// Layers of a network at most.
const MOST_LAYERS: usize = 10_000;

/// Reports a number outside an argument's range.
pub(super) fn in_range(checker: &mut Checker, span: Span, argument: &Argument, value: f64) -> bool {
    if argument.holds(value) {
        return true;
    }
    checker.report(
        Diagnostic::error(span, format!("`{}` is out of range", argument.name))
            .label(format!("{}, found {value}", argument.expected())),
    );
    false
}

/// The layers of an argument that is a network, written out or by its name.
pub(super) fn layers_of(checker: &Checker, value: &ArgumentValue) -> Option<Vec<ast::Layer>> {
    match value {
        ArgumentValue::Layers(layers) => Some(layers.clone()),
        ArgumentValue::Expression(expression) => match &expression.kind {
            ExpressionKind::Name(name) if !checker.sizes.contains_key(name) => {
                let name = Name {
                    text: name.clone(),
                    span: expression.span,
                };
                let call = Call {
                    arguments: Vec::new(),
                    span: name.span,
                    name,
                };
                Some(vec![ast::Layer::Call(call)])
            }
            _ => None,
        },
    }
}

/// Reports the mistakes of a net that nothing uses.
pub(super) fn examine(checker: &mut Checker, layers: &[ast::Layer]) {
    let expanded = expand(checker, layers, &mut BTreeMap::new(), &mut Vec::new());
    if let Some(layers) = expanded {
        shapes::examine(checker, &layers);
    }
}

/// The layers of a network on these parents, nets by name and repetitions written out, each layer
/// numbered.
pub(super) fn network(
    checker: &mut Checker,
    layers: &[ast::Layer],
    parents: &[Id<Variable>],
    span: Span,
) -> Option<Network> {
    let mut expanding = Vec::new();
    let mut counts = BTreeMap::new();
    let layers = expand(checker, layers, &mut counts, &mut expanding)?;
    if let Some(first) = layers.first().filter(|_| parents.is_empty()) {
        checker.report(
            Diagnostic::error(span, "a network needs parents")
                .label(format!("`{}` has nothing to work on", first.name))
                .help("name parents before an arrow, or use `linear` for learned constants"),
        );
        return None;
    }
    // One parent alone needs no joining.
    if parents.len() > 1 {
        joined_first(checker, &layers, span)?;
    }
    Some(Network { layers })
}

fn expand(
    checker: &mut Checker,
    layers: &[ast::Layer],
    counts: &mut BTreeMap<&'static str, usize>,
    expanding: &mut Vec<String>,
) -> Option<Vec<LayerUse>> {
    let mut result = Some(Vec::new());
    for layer in layers {
        let expanded = match layer {
            ast::Layer::Repeat { count, layers } => {
                repeat(checker, count, layers, counts, expanding)
            }
            ast::Layer::Residual { span, layers } => {
                residual(checker, *span, layers, counts, expanding)
            }
            ast::Layer::Call(call) => layer_call(checker, call, counts, expanding),
        };
        // The mistakes of the layers behind are told too.
        result = result.zip(expanded).map(|(mut before, own)| {
            before.extend(own);
            before
        });
    }
    result
}

fn repeat(
    checker: &mut Checker,
    count: &ast::Expression,
    layers: &[ast::Layer],
    counts: &mut BTreeMap<&'static str, usize>,
    expanding: &mut Vec<String>,
) -> Option<Vec<LayerUse>> {
    let times = checker.number(count)?;
    if times.fract() != 0.0 || !(0.0..=1000.0).contains(&times) {
        let title = "a network is repeated a whole number of times, at most 1000";
        let found = Diagnostic::error(count.span, title).label(format!("found {times}"));
        checker.report(found.help("write `2 * [dense(100) > relu]`"));
        return None;
    }
    let mut result = Vec::new();
    for _ in 0..times as usize {
        result.extend(expand(checker, layers, counts, expanding)?);
        if result.len() > MOST_LAYERS {
            let title = format!("a network has more than {MOST_LAYERS} layers");
            let help = "repeat less, or a smaller network";
            checker.report(
                Diagnostic::error(count.span, title)
                    .label("repeated here")
                    .help(help),
            );
            return None;
        }
    }
    Some(result)
}

fn residual(
    checker: &mut Checker,
    span: Span,
    layers: &[ast::Layer],
    counts: &mut BTreeMap<&'static str, usize>,
    expanding: &mut Vec<String>,
) -> Option<Vec<LayerUse>> {
    let inner = expand(checker, layers, counts, expanding)?;
    let layer = layer::find("residual").expect("the registry has residual blocks");
    let count = counts.entry("residual").or_default();
    *count += 1;
    if inner.is_empty() {
        let none = Diagnostic::error(span, "a residual block holds layers").label("found none");
        checker.report(none.help("write `residual [dense(100) > relu]`, or remove the block"));
        return None;
    }
    Some(vec![LayerUse {
        name: format!("residual{count}"),
        layer,
        arguments: Vec::new(),
        inner,
        span,
    }])
}

/// That the parents are joined before the layers that need it.
fn joined_first(checker: &mut Checker, layers: &[LayerUse], span: Span) -> Option<()> {
    let mut unjoined = layers.iter().take_while(|layer| !layer.layer.joins());
    let early = unjoined.find(|layer| layer.layer.needs_joined() || !layer.inner.is_empty());
    let Some(early) = early else { return Some(()) };
    checker.report(match early.inner.is_empty() {
        true => Diagnostic::error(
            span,
            format!(
                "`{}` stands before any layer that joins the parents",
                early.layer.name()
            ),
        )
        .help(format!(
            "begin the network with `dense(size)`, then `{}`",
            early.layer.name()
        )),
        false => Diagnostic::error(
            early.span,
            "a residual block stands before any layer that joins the parents",
        )
        .help("begin the network with `dense(size)`"),
    });
    None
}

fn layer_call(
    checker: &mut Checker,
    call: &Call,
    counts: &mut BTreeMap<&'static str, usize>,
    expanding: &mut Vec<String>,
) -> Option<Vec<LayerUse>> {
    let name = &call.name.text;
    if name == "linear" && call.arguments.is_empty() {
        return Some(Vec::new());
    }
    if let Some((_, layers)) = checker.nets.get(name).cloned() {
        checker.used_nets.push(name.clone());
        if expanding.contains(name) {
            let title = format!("net `{name}` contains itself");
            let help = "write its layers out, or repeat them: `3 * [dense(100) > relu]`";
            checker.report(
                Diagnostic::error(call.span, title)
                    .label("this is a circle")
                    .help(help),
            );
            return None;
        }
        expanding.push(name.clone());
        let expanded = expand(checker, &layers, counts, expanding);
        expanding.pop();
        return expanded;
    }
    let Some(layer) = layer::find(name).filter(|layer| layer.name() != "residual") else {
        let known: Vec<String> = checker
            .nets
            .keys()
            .cloned()
            .chain(["linear".to_string()])
            .collect();
        let layers = LAYERS.iter().map(|layer| layer.name());
        let mut unknown =
            Diagnostic::error(call.name.span, format!("unknown net or layer `{name}`"))
                .label("not defined");
        unknown.help = suggest(name, known.iter().map(String::as_str).chain(layers));
        checker.report(unknown);
        return None;
    };
    let arguments = arguments_of(checker, call, layer.arguments(), "layer")?;
    let count = counts.entry(layer.name()).or_default();
    *count += 1;
    let name = format!("{}{count}", layer.name());
    Some(vec![LayerUse {
        name,
        layer,
        arguments,
        inner: Vec::new(),
        span: call.span,
    }])
}
