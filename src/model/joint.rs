//! The networks that read the rows of all cases together, and those that read each case on its own.

use super::{
    Components, CostRows, Edition, Factor, FactorKind, Head, Heads, LayerUse, Model, Network, Role,
    Variable, factor_of,
};
use crate::{diagnostic::Span, distribution::Domain, id::Id, names::CaseKind};
use std::collections::BTreeSet;

impl Model {
    /// The variables whose values differ between the cases apart from their rows: labels, classes
    /// that an estimator draws, and what depends on them. From edition 2 on, the rows of all cases
    /// pass together through the networks that read none of these.
    pub fn dependent_on_case(&self) -> BTreeSet<Id<Variable>> {
        let is_root = |id: &Id<Variable>| {
            let variable = &self.variables[id.index()];
            let is_drawn = variable.domain == Domain::Class && self.objective.drawn(*id).is_some();
            variable.role == Role::Label || is_drawn
        };
        let ids = (0..self.variables.len()).map(Id::new);
        let mut dependent: BTreeSet<Id<Variable>> = ids.filter(is_root).collect();
        // The values of q, and those of the nodes of p; parents stand before children.
        let nodes = self.generative.iter();
        let nodes = nodes.filter(|factor| matches!(factor.kind, FactorKind::Deterministic(_)));
        for factor in self.inference.iter().chain(nodes) {
            if factor.reads_any(&dependent) {
                dependent.insert(factor.child);
            }
        }
        dependent
    }

    /// A layer or a cost that would compute its statistics from a single row. `rows` are the rows of
    /// each case in a batch.
    pub fn normalizes_one_row(&self, rows: &[(CaseKind, usize)]) -> Option<SingleRow> {
        let layer = self.layer_of_one_row(rows);
        let layer = layer.map(|(layer, found)| SingleRow {
            what: layer.layer.name().to_string(),
            span: layer.span,
            found,
        });
        layer.or_else(|| self.cost_of_one_row(rows))
    }

    /// A cost that would standardise by a single row.
    fn cost_of_one_row(&self, rows: &[(CaseKind, usize)]) -> Option<SingleRow> {
        let given = || rows.iter().filter(|(_, rows)| *rows > 0);
        self.objective.costs.iter().find_map(|cost| {
            let mut read: Vec<&(CaseKind, usize)> = match cost.rows() {
                CostRows::Labelled => given()
                    .filter(|(case, _)| *case == CaseKind::Labelled)
                    .collect(),
                CostRows::Unlabelled => given().next_back().into_iter().collect(),
                CostRows::EachCase => given().collect(),
            };
            read.retain(|(_, rows)| *rows == 1);
            let (case, _) = read.first().filter(|_| cost.normalizes_rows())?;
            let subject = &self.variables[cost.subject().index()];
            Some(SingleRow {
                what: format!("{} {}", cost.keyword(), subject.name),
                span: subject.span,
                found: one_row(*case),
            })
        })
    }

    fn layer_of_one_row(&self, rows: &[(CaseKind, usize)]) -> Option<(&LayerUse, String)> {
        let dependent = self.dependent_on_case();
        let given = || rows.iter().filter(|(_, rows)| *rows > 0);
        let total: usize = rows.iter().map(|(_, rows)| rows).sum();
        for factor in self.inference.iter().chain(&self.generative) {
            let is_joint = self.edition >= Edition::Two && !factor.reads_any(&dependent);
            let single = given().find(|(_, rows)| if is_joint { total == 1 } else { *rows == 1 });
            let mut networks = factor.networks().into_iter();
            if let Some((case, _)) = single
                && let Some(layer) = networks.find_map(|network| normalization(&network.layers))
            {
                return Some((layer, one_row(*case)));
            }
        }
        self.normalizes_one_pseudo_input()
    }

    /// The same for a prior with one pseudo-input.
    fn normalizes_one_pseudo_input(&self) -> Option<(&LayerUse, String)> {
        for factor in &self.generative {
            let FactorKind::Distribution {
                heads: Heads::Mixture(mixture),
                ..
            } = &factor.kind
            else {
                continue;
            };
            let posterior = factor_of(&self.inference, factor.child);
            let networks = posterior.map_or(Vec::new(), Factor::networks);
            let mut networks = networks.into_iter();
            if matches!(mixture.source, Components::Pseudo(_))
                && mixture.components == 1
                && let Some(layer) = networks.find_map(|network| normalization(&network.layers))
            {
                let name = &self.variables[factor.child.index()].name;
                return Some((layer, format!("the prior of `{name}` has 1 pseudo-input")));
            }
        }
        None
    }
}

/// A layer or a cost that would compute its statistics from a single row.
#[derive(Clone, Debug)]
pub struct SingleRow {
    /// The layer or the cost: `batchnorm`, `match r1`.
    pub what: String,
    /// Its place, or that of the variable that the cost is of.
    pub span: Span,
    /// The row in words: `a batch has 1 labelled row`.
    pub found: String,
}

fn one_row(case: CaseKind) -> String {
    match case {
        CaseKind::All => "a batch has 1 row".to_string(),
        case => format!("a batch has 1 {case} row"),
    }
}

impl Factor {
    /// Whether a parent is among these variables.
    pub fn reads_any(&self, variables: &BTreeSet<Id<Variable>>) -> bool {
        self.parents.iter().any(|parent| variables.contains(parent))
    }

    /// The networks of the factor's heads, or that of a node.
    pub fn networks(&self) -> Vec<&Network> {
        match &self.kind {
            FactorKind::Deterministic(network) => vec![network],
            FactorKind::Distribution { heads, .. } => match heads {
                Heads::Network(network) => vec![network],
                Heads::Each(heads) => heads
                    .iter()
                    .filter_map(|head| match head {
                        Head::Network(network) => Some(network),
                        _ => None,
                    })
                    .collect(),
                Heads::Constants(_) | Heads::Probabilities(_) | Heads::Mixture(_) => Vec::new(),
            },
        }
    }
}

/// The first layer that normalises over rows.
fn normalization(layers: &[LayerUse]) -> Option<&LayerUse> {
    layers.iter().find_map(|layer| {
        if layer.layer.normalizes_rows() {
            return Some(layer);
        }
        normalization(&layer.inner)
    })
}
