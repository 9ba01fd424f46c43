//! Reads the heads of a distribution: computed from one network, given by name, or constants.

use super::{
    arguments::argument_values,
    context::Checker,
    features,
    networks::{argument_layers, joins_parents, network},
    probabilities,
};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    distribution::{Distribution, HeadExtent},
    id::Id,
    layer::{self, Argument},
    model::{Factor, Head, Heads, Role, Variable},
    syntax::ast::{self, ArgumentValue, Arrow, Call, ExpressionKind},
};

/// The heads that a call gives the distribution of `child`.
pub(super) fn read(
    checker: &mut Checker,
    child: Id<Variable>,
    parents: &[Id<Variable>],
    arrow: &Arrow,
    call: &Call,
    distribution: &'static dyn Distribution,
) -> Option<Heads> {
    let kind = distribution.name();
    if distribution.heads().is_empty() {
        if let Some(argument) = call.arguments.first() {
            let title = format!("`{kind}` takes no arguments");
            checker
                .report(Diagnostic::error(argument.span, title).help(format!("write `~ {kind}`")));
            return None;
        }
        return Some(Heads::Constants(Vec::new()));
    }
    if call
        .arguments
        .iter()
        .any(|argument| argument.name.is_some() && is_network(checker, &argument.value))
    {
        return named_heads(checker, parents, arrow, call, distribution);
    }
    let takes_constants = !distribution.arguments().is_empty();
    if distribution.has_probabilities()
        && takes_constants
        && probabilities::are_given(checker, call)
    {
        return probabilities::read(checker, child, parents, arrow, call);
    }
    let net = match call.arguments.as_slice() {
        [argument] => {
            if let Some(layers) = forgotten_brackets(checker, &argument.value) {
                checker.report(layers_need_brackets(
                    argument,
                    &format!("{kind}([{layers}])"),
                ));
                return None;
            }
            argument_layers(checker, &argument.value)
        }
        _ => None,
    };
    if let Some(layers) = net {
        return Some(Heads::Network(network(
            checker, &layers, parents, arrow.span,
        )?));
    }
    constants(checker, parents, arrow, call, distribution)
}

/// `normal(0, 1)`.
fn constants(
    checker: &mut Checker,
    parents: &[Id<Variable>],
    arrow: &Arrow,
    call: &Call,
    distribution: &'static dyn Distribution,
) -> Option<Heads> {
    let (kind, names) = (distribution.name(), distribution.arguments());
    if call.arguments.is_empty() || names.is_empty() {
        let constants = if names.is_empty() {
            String::new()
        } else {
            format!(", or constants: `{kind}({})`", names.join(", "))
        };
        checker.report(
            Diagnostic::error(call.span, format!("`{kind}` needs a network"))
                .label(format!(
                    "expected a network for {}",
                    distribution.head_names().join(" and ")
                ))
                .help(format!(
                    "write a network: `{kind}(body)`, or `{kind}(linear)` without layers{constants}"
                )),
        );
        return None;
    }
    if let Some(network) = call
        .arguments
        .iter()
        .find(|argument| argument_layers(checker, &argument.value).is_some())
    {
        let title = format!("`{kind}` takes either one network or constants");
        let help = format!(
            "write `{kind}(body)` to compute {} from one network, or `{kind}({})` for constants",
            distribution.head_names().join(" and "),
            names.join(", ")
        );
        checker.report(
            Diagnostic::error(network.span, title)
                .label("expected a constant")
                .help(help),
        );
        return None;
    }
    let arguments: Vec<Argument> = names
        .iter()
        .map(|&name| Argument {
            name,
            default: None,
            least: f64::NEG_INFINITY,
            most: f64::INFINITY,
            whole: false,
        })
        .collect();
    let values = argument_values(checker, call, &arguments, "distribution")?;
    let in_range = distribution.check_arguments(&values).and_then(|()| {
        let constants = distribution.constant_heads(&values);
        let mut heads = distribution.heads().iter().zip(constants);
        heads.try_for_each(|(head, constant)| head.check(constant))
    });
    if let Err(message) = in_range {
        checker.report(out_of_range(call.span, kind, &message));
        return None;
    }
    if !parents.is_empty() {
        let label = format!("`{kind}` has constant arguments");
        checker.unused_parents(arrow, &label, "remove the parents, or write a network");
        return None;
    }
    Some(Heads::Constants(values))
}

fn out_of_range(span: Span, kind: &str, message: &str) -> Diagnostic {
    Diagnostic::error(span, format!("`{kind}`: {message}"))
        .label("constant out of range")
        .help("write a constant in range, or a network to learn the value")
}

/// Whether an argument is meant as a network: `body`, `[dense(5)]`, or `dense(5)` with its brackets
/// forgotten.
fn is_network(checker: &Checker, value: &ArgumentValue) -> bool {
    argument_layers(checker, value).is_some() || forgotten_brackets(checker, value).is_some()
}

/// The text of an argument such as `dense(5)`, a layer with its brackets forgotten.
fn forgotten_brackets(checker: &Checker, value: &ArgumentValue) -> Option<String> {
    match value {
        ArgumentValue::Expression(ast::Expression {
            kind: ExpressionKind::Call(call),
            ..
        }) => Some(checker.source[call.span.range()].to_string()),
        _ => None,
    }
}

fn layers_need_brackets(argument: &ast::CallArgument, written: &str) -> Diagnostic {
    Diagnostic::error(argument.span, "layers inside an argument need brackets")
        .label("expected a network")
        .help(format!("write `{written}`"))
}

/// `negative_binomial(log_mean = body, log_dispersion = constant)`.
fn named_heads(
    checker: &mut Checker,
    parents: &[Id<Variable>],
    arrow: &Arrow,
    call: &Call,
    distribution: &'static dyn Distribution,
) -> Option<Heads> {
    let (kind, names) = (distribution.name(), distribution.head_names());
    let written: Vec<String> = names.iter().map(|name| format!("{name} = …")).collect();
    let written = format!("write `{kind}({})`", written.join(", "));
    let mut heads: Vec<Option<Head>> = vec![None; names.len()];
    let before = checker.diagnostics.len();
    let mut given: Vec<&str> = Vec::new();
    for argument in &call.arguments {
        let Some(name) = &argument.name else {
            let title = format!("`{kind}` takes either one network or each head by name");
            checker.report(
                Diagnostic::error(argument.span, title)
                    .label("this argument has no name")
                    .help(written.clone()),
            );
            continue;
        };
        let Some(index) = names.iter().position(|head| *head == name.text) else {
            let title = format!("`{kind}` has no head `{}`", name.text);
            let mut unknown = Diagnostic::error(name.span, title).label("no such head");
            unknown.help = suggest(&name.text, names.iter().copied());
            checker.report(unknown);
            continue;
        };
        if given.contains(&name.text.as_str()) {
            let title = format!("head `{}` is given twice", name.text);
            checker.report(
                Diagnostic::error(argument.span, title)
                    .label("given again here")
                    .help("keep one of the two"),
            );
            continue;
        }
        given.push(&name.text);
        heads[index] = head(checker, parents, arrow, argument);
        if let Some(Head::Number(number)) = heads[index]
            && let Err(message) = distribution.heads()[index].check(number)
        {
            checker.report(out_of_range(argument.span, kind, &message));
        }
    }
    // A misspelt head is not reported as missing as well.
    let complete = checker.diagnostics.len() == before;
    for name in names
        .iter()
        .filter(|name| complete && !given.contains(name))
    {
        let title = format!("`{kind}` needs the head `{name}`");
        checker.report(
            Diagnostic::error(call.span, title)
                .label("expected all heads by name")
                .help(written.clone()),
        );
    }
    let heads: Vec<Head> = heads.into_iter().flatten().collect();
    if checker.diagnostics.len() > before {
        return None;
    }
    if !heads.iter().any(reads_parents) {
        all_are_named(checker, parents, arrow, &heads)?;
    }
    Some(Heads::Each(heads))
}

fn reads_parents(head: &Head) -> bool {
    matches!(head, Head::Linear | Head::Network(_))
}

/// Reports parents that no head names, where no network reads the parents.
fn all_are_named(
    checker: &mut Checker,
    parents: &[Id<Variable>],
    arrow: &Arrow,
    heads: &[Head],
) -> Option<()> {
    let is_named = |parent: &Id<Variable>| {
        let mut heads = heads.iter();
        heads.any(|head| matches!(head, Head::Node(node) if node == parent))
    };
    let Some(unused) = parents.iter().find(|parent| !is_named(parent)) else {
        return Some(());
    };
    let label = match heads.iter().any(|head| matches!(head, Head::Node(_))) {
        false => "every head is a constant".to_string(),
        true => format!("no head reads `{}`", checker.variable(*unused).name),
    };
    checker.unused_parents(arrow, &label, "remove the parents, or write a network");
    None
}

/// The deterministic node that an argument names, unless a net or a layer has that name.
fn named_node(checker: &Checker, layers: &[ast::NetworkPart]) -> Option<Id<Variable>> {
    let [ast::NetworkPart::Call(only)] = layers else {
        return None;
    };
    let name = &only.name.text;
    let is_net = checker.nets.contains_key(name) || layer::find(name).is_some();
    let node = checker
        .find(name)
        .filter(|_| !is_net && only.arguments.is_empty())?;
    (checker.variable(node).role == Role::Node).then_some(node)
}

/// `linear`, `constant`, a number, a network or a node.
fn head(
    checker: &mut Checker,
    parents: &[Id<Variable>],
    arrow: &Arrow,
    argument: &ast::CallArgument,
) -> Option<Head> {
    let Some(layers) = argument_layers(checker, &argument.value) else {
        let ArgumentValue::Expression(expression) = &argument.value else {
            return None;
        };
        if let Some(layers) = forgotten_brackets(checker, &argument.value) {
            let written = format!("{} = [{layers}]", argument.name.as_ref()?.text);
            checker.report(layers_need_brackets(argument, &written));
            return None;
        }
        return checker.number(expression).map(Head::Number);
    };
    if let [ast::NetworkPart::Call(only)] = layers.as_slice()
        && only.name.text == "constant"
        && only.arguments.is_empty()
        && !checker.nets.contains_key("constant")
    {
        return Some(Head::Constant);
    }
    if let Some(node) = named_node(checker, &layers) {
        return Some(Head::Node(node));
    }
    let network = network(checker, &layers, parents, arrow.span)?;
    if network.layers.is_empty() {
        // Without parents, `linear` is the same as `constant`.
        return Some(Head::Linear);
    }
    if !joins_parents(checker, &network, parents) {
        let name = argument.name.as_ref().map_or("", |name| &name.text);
        let title = format!("the network of `{name}` has no layer that joins its parents");
        let help = "begin it with `dense(size)`, or with `add` if the parents are of equal size";
        checker.report(Diagnostic::error(argument.span, title).help(help));
        return None;
    }
    Some(Head::Network(network))
}

/// Reports networks that do not fit the parents, and heads whose size differs from the child's.
pub(super) fn check(
    checker: &mut Checker,
    factor: &Factor,
    distribution: &dyn Distribution,
    heads: &Heads,
) {
    let child = checker.variable(factor.child).clone();
    match heads {
        Heads::Network(network) => {
            features::fits(checker, network, &factor.inputs, factor.span);
        }
        Heads::Constants(_) | Heads::Probabilities(_) | Heads::Mixture(_) => {}
        Heads::Each(heads) => {
            for (spec, head) in distribution.heads().iter().zip(heads) {
                let name = spec.name;
                let wanted = match spec.extent {
                    HeadExtent::Features => child.size(),
                    HeadExtent::Single => 1,
                };
                let size = match head {
                    Head::Network(network) => {
                        let outputs = features::fits(checker, network, &factor.inputs, factor.span);
                        let Some([shape]) = outputs.as_deref() else {
                            continue;
                        };
                        shape.iter().product::<usize>()
                    }
                    Head::Node(node) => checker.variable(*node).size(),
                    Head::Linear | Head::Constant | Head::Number(_) => continue,
                };
                if size == wanted {
                    continue;
                }
                let source = match head {
                    Head::Node(node) => format!("node `{}`", checker.variable(*node).name),
                    _ => "network".to_string(),
                };
                let title = format!("the {source} of `{name}` does not fit `{}`", child.name);
                let label = match spec.extent {
                    HeadExtent::Features => {
                        format!("outputs {size} features, but `{}` has {wanted}", child.name)
                    }
                    HeadExtent::Single => {
                        format!("outputs {size} features, but `{name}` is a single number")
                    }
                };
                let help = format!(
                    "the output of the {source} is the head itself: end it with `dense({wanted})`"
                );
                checker.report(
                    Diagnostic::error(factor.span, title)
                        .label(label)
                        .note(child.span, "declared here")
                        .help(help),
                );
            }
        }
    }
}
