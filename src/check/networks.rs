//! Expands the networks of factors: replaces the names of nets by their layers, unrolls
//! repetitions, and numbers the layers.

use super::{arguments::argument_values, context::Checker, features};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    id::Id,
    layer::{self, LAYERS},
    model::{LayerUse, Network, Role, Variable},
    syntax::ast::{self, ArgumentValue, Call, ExpressionKind, Name},
};
use std::collections::BTreeMap;

/// The most layers that a network may have.
const MOST_LAYERS: usize = 10_000;
/// The most parts that are visited to expand the networks of a model: layers, repetitions and uses of
/// nets.
const MOST_EXPANSIONS: usize = 100_000;
/// How deep nets may contain each other.
const MOST_NESTED: usize = 100;

/// The layers of an argument that is a network, either inline or the name of a net.
pub(super) fn argument_layers(
    checker: &Checker,
    value: &ArgumentValue,
) -> Option<Vec<ast::NetworkPart>> {
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
                Some(vec![ast::NetworkPart::Call(call)])
            }
            _ => None,
        },
    }
}

/// Reports the mistakes in an unused net.
pub(super) fn examine(checker: &mut Checker, layers: &[ast::NetworkPart]) {
    let expanded = expand(checker, layers, &mut BTreeMap::new(), &mut Vec::new());
    if let Some(layers) = expanded {
        features::examine(checker, &layers);
    }
}

/// Expands a network that reads these parents. Reports mistakes, and then returns `None`.
pub(super) fn network(
    checker: &mut Checker,
    layers: &[ast::NetworkPart],
    parents: &[Id<Variable>],
    span: Span,
) -> Option<Network> {
    let mut expanding = Vec::new();
    let mut counts = BTreeMap::new();
    let layers = expand(checker, layers, &mut counts, &mut expanding)?;
    if let Some(first) = layers.first().filter(|_| parents.is_empty()) {
        checker.report(
            Diagnostic::error(span, "a network needs parents")
                .label(format!("`{}` has no input", first.name))
                .help("write parents before an arrow, or use `linear` for learned constants"),
        );
        return None;
    }
    // A single input needs no layer that joins several.
    if inputs(checker, parents) > 1 {
        joined_first(checker, &layers, span)?;
    }
    masks_are_weighed(checker, &layers, parents, span)?;
    Some(Network { layers })
}

fn expand(
    checker: &mut Checker,
    layers: &[ast::NetworkPart],
    counts: &mut BTreeMap<&'static str, usize>,
    expanding: &mut Vec<String>,
) -> Option<Vec<LayerUse>> {
    let mut result = Some(Vec::new());
    for layer in layers {
        checker.expansions += 1;
        if checker.expansions > MOST_EXPANSIONS {
            // Reported once a model.
            if checker.expansions == MOST_EXPANSIONS + 1 {
                let title = format!("the networks have more than {MOST_EXPANSIONS} parts");
                let help = "nets that contain other nets several times grow fast; use fewer layers";
                checker.report(
                    Diagnostic::error(layer.span(), title)
                        .label("one part too many")
                        .help(help),
                );
                checker.stops = true;
            }
            return None;
        }
        let expanded = match layer {
            ast::NetworkPart::Repeat { count, layers } => {
                repeat(checker, count, layers, counts, expanding)
            }
            ast::NetworkPart::Residual { span, layers } => {
                residual(checker, *span, layers, counts, expanding)
            }
            ast::NetworkPart::Call(call) => layer_call(checker, call, counts, expanding),
        };
        // The later layers are expanded too, to report their mistakes.
        result = result.zip(expanded).map(|(mut before, layers)| {
            before.extend(layers);
            before
        });
    }
    result
}

fn repeat(
    checker: &mut Checker,
    count: &ast::Expression,
    layers: &[ast::NetworkPart],
    counts: &mut BTreeMap<&'static str, usize>,
    expanding: &mut Vec<String>,
) -> Option<Vec<LayerUse>> {
    let times = checker.number(count)?;
    if times.fract() != 0.0 || !(0.0..=1000.0).contains(&times) {
        let title = "the number of repetitions must be a whole number from 0 to 1000";
        let found = Diagnostic::error(count.span, title).label(format!("found {times}"));
        checker.report(found.help("for example: `2 * [dense(100) > relu]`"));
        return None;
    }
    let mut result = Vec::new();
    if layers.is_empty() {
        return Some(result);
    }
    for _ in 0..times as usize {
        result.extend(expand(checker, layers, counts, expanding)?);
        if result.len() > MOST_LAYERS {
            let title = format!("a network has more than {MOST_LAYERS} layers");
            let help = "use fewer repetitions, or a smaller network";
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
    layers: &[ast::NetworkPart],
    counts: &mut BTreeMap<&'static str, usize>,
    expanding: &mut Vec<String>,
) -> Option<Vec<LayerUse>> {
    let inner = expand(checker, layers, counts, expanding)?;
    let mut blocks = LAYERS.iter().filter(|layer| layer.is_block());
    let layer = *blocks.next().expect("the registry has residual blocks");
    let count = counts.entry(layer.name()).or_default();
    *count += 1;
    if inner.is_empty() {
        let none = Diagnostic::error(span, "a residual block needs layers").label("found none");
        checker.report(none.help("write `residual [dense(100) > relu]`, or remove the block"));
        return None;
    }
    Some(vec![LayerUse {
        name: format!("{}{count}", layer.name()),
        layer,
        arguments: Vec::new(),
        inner,
        span,
    }])
}

/// Reports a layer that needs joined parents, but comes before any layer that joins them.
fn joined_first(checker: &mut Checker, layers: &[LayerUse], span: Span) -> Option<()> {
    let mut unjoined = layers.iter().take_while(|layer| !layer.layer.joins());
    let early = unjoined.find(|layer| layer.layer.needs_joined() || !layer.inner.is_empty());
    let Some(early) = early else { return Some(()) };
    checker.report(match early.inner.is_empty() {
        true => Diagnostic::error(
            span,
            format!(
                "`{}` comes before any layer that joins the parents",
                early.layer.name()
            ),
        )
        .help(format!(
            "begin the network with `dense(size)`, then `{}`",
            early.layer.name()
        )),
        false => Diagnostic::error(
            early.span,
            "a residual block comes before any layer that joins the parents",
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
    if name == "linear" {
        if call.arguments.is_empty() {
            return Some(Vec::new());
        }
        checker.report(
            Diagnostic::error(call.span, "`linear` takes no arguments")
                .label("its size is that of its head")
                .help("write `linear`, or `dense(size)` for a layer of another size"),
        );
        return None;
    }
    if let Some((_, layers)) = checker.nets.get(name).cloned() {
        checker.used_nets.insert(name.clone());
        if expanding.contains(name) {
            let title = format!("net `{name}` contains itself");
            let help = "write out its layers, or repeat them: `3 * [dense(100) > relu]`";
            checker.report(
                Diagnostic::error(call.span, title)
                    .label("this use forms a cycle")
                    .help(help),
            );
            return None;
        }
        if expanding.len() == MOST_NESTED {
            let title = format!("nets contain each other more than {MOST_NESTED} deep");
            let help = "write out some of their layers";
            // Reported once a model: a chain of nets has as many such uses as it is long.
            let is_reported = checker.diagnostics.iter().any(|other| other.title == title);
            if !is_reported {
                let mistake = Diagnostic::error(call.span, title).label("one net too deep");
                checker.report(mistake.help(help));
            }
            return None;
        }
        expanding.push(name.clone());
        let expanded = expand(checker, &layers, counts, expanding);
        expanding.pop();
        return expanded;
    }
    let Some(layer) = layer::find(name).filter(|layer| !layer.is_block()) else {
        if let Some(variable) = checker.find(name) {
            let mistake = variable_as_network(checker.variable(variable), call);
            checker.report(mistake);
            return None;
        }
        let names: Vec<String> = checker
            .nets
            .keys()
            .cloned()
            .chain(["linear".to_string()])
            .collect();
        let layers = LAYERS.iter().map(|layer| layer.name());
        let mut unknown =
            Diagnostic::error(call.name.span, format!("unknown net or layer `{name}`"))
                .label("not defined");
        unknown.help = suggest(name, names.iter().map(String::as_str).chain(layers));
        checker.report(unknown);
        return None;
    };
    let arguments = argument_values(checker, call, layer.arguments(), "layer")?;
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

/// The diagnostic for the name of a variable where a network is expected.
fn variable_as_network(variable: &Variable, call: &Call) -> Diagnostic {
    let name = &variable.name;
    let kind = match variable.role {
        Role::Node => "node",
        _ => "variable",
    };
    let title = format!("`{name}` is a {kind}, not a net or a layer");
    Diagnostic::error(call.name.span, title)
        .label("expected a network")
        .help(format!(
            "a network reads the parents of its arrow: make `{name}` a parent (`{name} -> …`), and \
             write a net or `linear` here"
        ))
}

/// The values that a network reads: one for each parent, and the mask of each parent with missing
/// values.
fn inputs(checker: &Checker, parents: &[Id<Variable>]) -> usize {
    let masks = parents
        .iter()
        .filter(|&&id| checker.variable(id).has_mask());
    parents.len() + masks.count()
}

/// Whether the output of a network is a single value: it reads one, or a layer joins those it reads.
pub(super) fn joins_parents(
    checker: &Checker,
    network: &Network,
    parents: &[Id<Variable>],
) -> bool {
    inputs(checker, parents) == 1 || network.layers.iter().any(|layer| layer.layer.joins())
}

/// Reports a layer that would join the values of a parent with its mask without weights, such as `add`.
fn masks_are_weighed(
    checker: &mut Checker,
    layers: &[LayerUse],
    parents: &[Id<Variable>],
    span: Span,
) -> Option<()> {
    let mut masked = parents.iter().map(|&id| checker.variable(id));
    let Some(masked) = masked.find(|parent| parent.has_mask()) else {
        return Some(());
    };
    let joins = layers.iter().find(|layer| layer.layer.joins());
    let Some(joins) = joins.filter(|layer| !layer.layer.weighs_parents()) else {
        return Some(());
    };
    let (layer, name) = (joins.layer.name(), masked.name.clone());
    let title = format!("`{layer}` cannot read `{name}`, which has missing values");
    checker.report(
        Diagnostic::error(span, title)
            .label(format!(
                "networks read the mask of `{name}` as a further parent, and `{layer}` has no weights"
            ))
            .help("begin the network with `dense(size)`"),
    );
    None
}
