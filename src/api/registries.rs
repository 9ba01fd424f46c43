//! The elements of the model language, listed from the registries.

use crate::{
    distribution::{self, Domain},
    estimator, layer, lines, optimizer, simplify,
};
use serde::Serialize;
use std::fmt;

/// Every distribution, layer, optimiser, estimator and line, in the order of the registries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Registries {
    /// Distributions of variables.
    pub distributions: Vec<DistributionEntry>,
    /// Layers of networks.
    pub layers: Vec<RegistryEntry>,
    /// Optimisers of `train`.
    pub optimizers: Vec<RegistryEntry>,
    /// Estimators of discrete variables.
    pub estimators: Vec<EstimatorEntry>,
    /// Lines of `objective` and `train`.
    pub lines: Vec<LineEntry>,
    /// The identities that simplify tensor graphs.
    pub identities: Vec<String>,
}

/// A distribution.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DistributionEntry {
    /// As written in a model.
    pub name: &'static str,
    /// The type of a variable with this distribution, such as `real`.
    pub values: &'static str,
    /// The names of its constants, as in `normal(mean, variance)`.
    pub constants: Vec<String>,
    /// The names of the heads that a network computes.
    pub heads: Vec<String>,
    /// Whether the distribution has a reparametrised sampler and so may be used in `inference`.
    pub may_be_inferred: bool,
}

/// A layer or an optimiser.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RegistryEntry {
    /// As written in a model.
    pub name: &'static str,
    /// Its arguments, with defaults as text: `rate = 3e-4`; optional arguments are in brackets.
    pub arguments: Vec<String>,
}

/// An estimator.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EstimatorEntry {
    /// The keyword of its line, such as `relax`.
    pub keyword: &'static str,
    /// As written in a model.
    pub name: &'static str,
    /// Its arguments; `network` if it takes a network.
    pub arguments: Vec<String>,
}

/// A line of `objective` or `train`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LineEntry {
    /// Its block, `objective` or `train`.
    pub block: &'static str,
    /// An example of the line.
    pub example: String,
    /// A sentence that describes the line.
    pub summary: String,
}

fn arguments(arguments: &[layer::Argument]) -> Vec<String> {
    let argument = |argument: &layer::Argument| match argument.default {
        Some(default) if default != 0.0 && default < 1e-3 => {
            format!("{} = {default:e}", argument.name)
        }
        Some(default) if default.is_nan() => format!("[{}]", argument.name),
        Some(default) => format!("{} = {default}", argument.name),
        None => argument.name.to_string(),
    };
    arguments.iter().map(argument).collect()
}

/// A call as in a model: `adam(rate = 3e-4)`; the name alone without arguments.
fn call(name: &str, arguments: &[String]) -> String {
    match arguments {
        [] => name.to_string(),
        arguments => format!("{name}({})", arguments.join(", ")),
    }
}

impl Registries {
    /// Lists all registries.
    pub fn new() -> Self {
        Self::default()
    }

    /// The registries as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("registries are plain data")
    }
}

impl Default for Registries {
    fn default() -> Self {
        let distributions = distribution::DISTRIBUTIONS.iter();
        let layers = layer::LAYERS.iter();
        let optimizers = optimizer::OPTIMIZERS.iter();
        let estimators = estimator::ESTIMATORS.iter();
        let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Registries {
            distributions: distributions
                .map(|entry| DistributionEntry {
                    name: entry.name(),
                    values: entry.support().name(),
                    constants: names(entry.arguments()),
                    heads: names(&entry.head_names()),
                    may_be_inferred: entry.noise().is_some(),
                })
                .collect(),
            layers: layers
                .map(|entry| RegistryEntry {
                    name: entry.name(),
                    arguments: arguments(entry.arguments()),
                })
                .collect(),
            optimizers: optimizers
                .map(|entry| RegistryEntry {
                    name: entry.name(),
                    arguments: arguments(entry.arguments()),
                })
                .collect(),
            estimators: estimators
                .map(|entry| EstimatorEntry {
                    keyword: entry.keyword(),
                    name: entry.name(),
                    arguments: if entry.takes_network() {
                        vec!["network".to_string()]
                    } else {
                        arguments(entry.arguments())
                    },
                })
                .collect(),
            lines: lines::LINES
                .iter()
                .map(|line| LineEntry {
                    block: line.block().keyword(),
                    example: line.example(true).to_string(),
                    summary: line.summary().to_string(),
                })
                .collect(),
            identities: simplify::identities()
                .map(|identity| identity.to_string())
                .collect(),
        }
    }
}

impl fmt::Display for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "distributions: type of values, form with constants, form with a network and its heads"
        )?;
        for entry in &self.distributions {
            writeln!(f, "{entry}")?;
        }
        writeln!(
            f,
            "mixture priors, only in `generative` and without parents"
        )?;
        writeln!(
            f,
            "  mixture(distribution, components)    components with learned heads and weights"
        )?;
        writeln!(
            f,
            "  vamp(components)                     the posterior q at learned pseudo-inputs"
        )?;
        for (title, entries) in [("layers", &self.layers), ("optimizers", &self.optimizers)] {
            writeln!(f, "{title}")?;
            for entry in entries {
                writeln!(f, "  {}", call(entry.name, &entry.arguments))?;
            }
        }
        writeln!(f, "estimators of discrete variables")?;
        for entry in &self.estimators {
            let keyword = entry.keyword;
            if entry.name == keyword {
                writeln!(f, "  {keyword} VARIABLE {}", entry.arguments.join(" "))?;
            } else {
                let call = call(entry.name, &entry.arguments);
                writeln!(f, "  {keyword} VARIABLE by {call}")?;
            }
        }
        writeln!(f, "lines of `objective` and `train`")?;
        for line in &self.lines {
            let LineEntry {
                block,
                example,
                summary,
            } = line;
            writeln!(f, "  {block:9} {example:56} {summary}")?;
        }
        writeln!(f, "simplification rules")?;
        self.identities
            .iter()
            .try_for_each(|identity| writeln!(f, "  {identity}"))
    }
}

impl fmt::Display for DistributionEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = match (self.constants.as_slice(), self.heads.as_slice()) {
            ([], []) => self.name.to_string(),
            ([], _) => String::new(),
            (constants, _) => format!("{}({})", self.name, constants.join(", ")),
        };
        let network = match self.heads.as_slice() {
            [] => String::new(),
            heads => format!("{}(network): {}", self.name, heads.join(", ")),
        };
        let drawn = if self.values == Domain::Class.name() {
            "summed over"
        } else if self.may_be_inferred {
            "reparametrised sample"
        } else {
            "density only"
        };
        write!(f, "  {:9} {call:36} {network:52} {drawn}", self.values)
    }
}
