//! Prints the graphs of a model as text.

use super::{
    Components, Factor, FactorKind, Head, Heads, LayerUse, Model, Probabilities, Role, Variable,
};
use crate::{distribution::Domain, id::Id};

/// Both graphs, one arrow per line, with expanded networks.
pub fn print(model: &Model) -> String {
    let mut text = format!("model {}\n", model.name);
    for variable in &model.variables {
        let role = variable.role.name();
        let shape: Vec<String> = variable.shape.iter().map(usize::to_string).collect();
        let domain = variable.domain.name();
        let domain = if variable.role == Role::Node {
            ""
        } else {
            domain
        };
        let parameters = if variable.domain == Domain::Class {
            " values"
        } else {
            ""
        };
        text += &format!(
            "  {role} {}: {domain}[{}]{parameters}{}{}\n",
            variable.name,
            shape.join(", "),
            if variable.standardized {
                " standardized"
            } else {
                ""
            },
            if variable.missing {
                " with missing"
            } else {
                ""
            }
        );
    }
    for (name, factors) in [
        ("generative", &model.generative),
        ("inference", &model.inference),
    ] {
        text += &format!("{name}\n");
        factors
            .iter()
            .for_each(|arrow| text += &format!("  {}\n", factor(model, arrow)));
    }
    text
}

/// A factor in mathematical notation: `p(x | y, z)`.
pub fn factor_text(model: &Model, factor: &Factor) -> String {
    let name = |id: &Id<Variable>| model.variables[id.index()].name.as_str();
    let letter = factor.side.letter();
    if factor.parents.is_empty() {
        return format!("{letter}({})", name(&factor.child));
    }
    let parents: Vec<&str> = factor.parents.iter().map(name).collect();
    format!("{letter}({} | {})", name(&factor.child), parents.join(", "))
}

fn factor(model: &Model, factor: &Factor) -> String {
    let name = |id: &Id<Variable>| model.variables[id.index()].name.as_str();
    let parents: Vec<&str> = factor.inputs.iter().map(name).collect();
    let arrow = if parents.is_empty() {
        String::new()
    } else {
        format!("{} -> ", parents.join(", "))
    };
    let body = match &factor.kind {
        FactorKind::Deterministic(network) => format!("= {}", layers(&network.layers)),
        FactorKind::Distribution {
            distribution,
            heads,
        } => match heads {
            Heads::Network(network) => {
                format!("~ {}({})", distribution.name(), layers(&network.layers))
            }
            Heads::Each(heads) => {
                let each = distribution.head_names().into_iter().zip(heads);
                let each: Vec<String> = each
                    .map(|(name, given)| format!("{name} = {}", head(model, given)))
                    .collect();
                format!("~ {}({})", distribution.name(), each.join(", "))
            }
            Heads::Mixture(mixture) => match mixture.source {
                Components::Learned => {
                    format!("~ mixture({}, {})", distribution.name(), mixture.components)
                }
                Components::Pseudo(_) => format!("~ vamp({})", mixture.components),
            },
            Heads::Probabilities(Probabilities::Observed) => {
                format!("~ {}(observed)", distribution.name())
            }
            Heads::Constants(values) if values.is_empty() => {
                format!("~ {}", distribution.name())
            }
            Heads::Constants(values) | Heads::Probabilities(Probabilities::Given(values)) => {
                let values: Vec<String> = values.iter().map(f64::to_string).collect();
                format!("~ {}({})", distribution.name(), values.join(", "))
            }
        },
    };
    format!("{arrow}{} {body}", name(&factor.child))
}

fn head(model: &Model, head: &Head) -> String {
    match head {
        Head::Linear => "linear".to_string(),
        Head::Constant => "constant".to_string(),
        Head::Number(number) => number.to_string(),
        Head::Network(network) => format!("[{}]", layers(&network.layers)),
        Head::Node(node) => model.variables[node.index()].name.clone(),
    }
}

fn layers(layers: &[LayerUse]) -> String {
    if layers.is_empty() {
        return "linear".to_string();
    }
    let layer_text = |layer: &LayerUse| {
        // Arguments that were left out are last.
        let given = layer.arguments.iter().filter(|argument| !argument.is_nan());
        let arguments: Vec<String> = given.map(f64::to_string).collect();
        match (layer.inner.as_slice(), arguments.as_slice()) {
            ([], []) => layer.name.clone(),
            ([], _) => format!("{}({})", layer.name, arguments.join(", ")),
            (inner, _) => format!("residual [{}]", self::layers(inner)),
        }
    };
    layers
        .iter()
        .map(layer_text)
        .collect::<Vec<_>>()
        .join(" > ")
}
