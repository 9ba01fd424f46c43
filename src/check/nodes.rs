//! Computes the shapes of deterministic nodes, and checks that each factor's networks fit its
//! parents.

use super::{context::Checker, features::fits, heads};
use crate::{
    id::Id,
    model::{Factor, FactorKind, Variable},
};
use std::collections::BTreeSet;

/// Gives each deterministic node the shape of its network's last layer, and reports layers that do
/// not fit.
pub(super) fn check(checker: &mut Checker, factors: &[Factor]) {
    let node = |factor: &&Factor| matches!(factor.kind, FactorKind::Deterministic(_));
    let (mut open, others): (Vec<&Factor>, Vec<&Factor>) = factors.iter().partition(node);
    let mut unknown: BTreeSet<Id<Variable>> = open.iter().map(|factor| factor.child).collect();
    // A node is processed after the nodes that it reads. The nodes that remain are in a cycle, or
    // read a node whose shape is unknown.
    while let Some(next) = open.iter().position(|factor| {
        factor
            .parents
            .iter()
            .all(|parent| !unknown.contains(parent))
    }) {
        let factor = open.remove(next);
        let FactorKind::Deterministic(network) = &factor.kind else {
            unreachable!("it is a node")
        };
        if let Some([shape]) = fits(checker, network, &factor.parents, factor.span).as_deref() {
            checker.variables[factor.child.index()].shape = shape.clone();
            unknown.remove(&factor.child);
        }
    }
    for factor in others.into_iter().filter(|factor| {
        factor
            .parents
            .iter()
            .all(|parent| !unknown.contains(parent))
    }) {
        if let FactorKind::Distribution {
            distribution,
            heads,
        } = &factor.kind
        {
            heads::check(checker, factor, *distribution, heads);
        }
    }
}
