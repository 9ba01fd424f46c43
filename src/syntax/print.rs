//! Prints the syntax tree as text, one node per line.

use super::ast::{
    ArgumentValue, Arrow, ArrowBody, Call, CallArgument, Expression, ExpressionKind, File, Item,
    NetworkPart,
};

/// The tree of a file as text.
pub fn print(file: &File) -> String {
    let mut text = format!("model {}\n", file.name.text);
    for item in &file.items {
        match item {
            Item::Edition { number, .. } => text += &format!("  edition {number}\n"),
            Item::Size(bindings) => {
                for (name, value) in bindings {
                    let value = value.as_ref().map(expression);
                    let value = value.map_or(String::new(), |value| format!(" = {value}"));
                    text += &format!("  size {}{value}\n", name.text);
                }
            }
            Item::Variable(variable) => {
                let shape: Vec<String> = variable.shape.iter().map(expression).collect();
                let (role, name, domain) = (
                    &variable.role.text,
                    &variable.name.text,
                    &variable.domain.text,
                );
                let modifiers = variable.modifiers.iter();
                let modifiers: String = modifiers
                    .map(|(modifier, _)| format!(" {}", modifier.text()))
                    .collect();
                let shape = shape.join(", ");
                text += &format!("  {role} {name}: {domain}[{shape}]{modifiers}\n");
            }
            Item::Net { name, layers } => {
                text += &format!("  net {} = {}\n", name.text, self::layers(layers))
            }
            Item::Graph { keyword, arrows } => {
                text += &format!("  {}\n", keyword.text);
                arrows
                    .iter()
                    .for_each(|written| text += &format!("    {}\n", arrow(written)));
            }
            Item::Settings { keyword, settings } => {
                text += &format!("  {}\n", keyword.text);
                for setting in settings {
                    let values: Vec<String> = setting.values.iter().map(expression).collect();
                    text += format!("    {} {}", setting.keyword.text, values.join(" ")).trim_end();
                    text.push('\n');
                }
            }
        }
    }
    text
}

fn arrow(arrow: &Arrow) -> String {
    let parents: Vec<&str> = arrow
        .parents
        .iter()
        .map(|parent| parent.text.as_str())
        .collect();
    let body = match &arrow.body {
        ArrowBody::Distribution(distribution) => format!("~ {}", call(distribution)),
        ArrowBody::Equation(network) => format!("= {}", layers(network)),
    };
    let arrow_sign = if parents.is_empty() {
        String::new()
    } else {
        format!("{} -> ", parents.join(", "))
    };
    format!("{arrow_sign}{} {body}", arrow.child.text)
}

fn layers(layers: &[NetworkPart]) -> String {
    let part = |layer: &NetworkPart| match layer {
        NetworkPart::Call(layer) => call(layer),
        NetworkPart::Repeat { count, layers } => {
            format!("{} * [{}]", expression(count), self::layers(layers))
        }
        NetworkPart::Residual { layers, .. } => format!("residual [{}]", self::layers(layers)),
    };
    layers.iter().map(part).collect::<Vec<_>>().join(" > ")
}

fn call(call: &Call) -> String {
    let argument = |argument: &CallArgument| {
        let value = match &argument.value {
            ArgumentValue::Expression(value) => expression(value),
            ArgumentValue::Layers(network) => format!("[{}]", layers(network)),
        };
        argument
            .name
            .as_ref()
            .map_or(value.clone(), |name| format!("{} = {value}", name.text))
    };
    if call.arguments.is_empty() {
        return call.name.text.clone();
    }
    let arguments: Vec<String> = call.arguments.iter().map(argument).collect();
    format!("{}({})", call.name.text, arguments.join(", "))
}

/// An expression with every operation in parentheses, so that its structure is visible.
fn expression(value: &Expression) -> String {
    match &value.kind {
        ExpressionKind::Number(number) => number.to_string(),
        ExpressionKind::Name(name) => name.clone(),
        ExpressionKind::Call(function) => call(function),
        ExpressionKind::Binary(operator, left, right) => {
            format!("({} {operator} {})", expression(left), expression(right))
        }
    }
}
