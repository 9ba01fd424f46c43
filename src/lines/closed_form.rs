//! Whether the KL term of a variable has a closed form, and whether that is exact on a graph.

use crate::{
    distribution::Distribution,
    id::Id,
    model::{Factor, FactorKind, Heads, Variable, factor_of},
};

/// The distribution of a variable in q, and the name of that in p.
pub(super) fn distributions(
    p: &[Factor],
    q: &[Factor],
    variable: Id<Variable>,
) -> Option<(&'static dyn Distribution, &'static str)> {
    let kind = |factor: &Factor| match &factor.kind {
        FactorKind::Distribution {
            distribution,
            heads: Heads::Mixture(mixture),
        } => Some((*distribution, mixture.name())),
        FactorKind::Distribution { distribution, .. } => Some((*distribution, distribution.name())),
        FactorKind::Deterministic(_) => None,
    };
    Some((
        factor_of(q, variable).and_then(kind)?.0,
        factor_of(p, variable).and_then(kind)?.1,
    ))
}

/// Whether the KL of a variable has a closed form that is exact on these graphs.
pub(super) fn exists(p: &[Factor], q: &[Factor], variable: Id<Variable>) -> bool {
    distributions(p, q, variable).is_some_and(|(in_q, in_p)| in_q.has_kl(in_p))
        && is_exact(p, q, variable).is_ok()
}

/// Whether the KL of a latent may be taken in closed form: nothing that p draws it from is drawn
/// after it in q. Otherwise the variable that is.
pub(super) fn is_exact(
    p: &[Factor],
    q: &[Factor],
    latent: Id<Variable>,
) -> Result<(), Id<Variable>> {
    let is_node = |factor: &&Factor| matches!(factor.kind, FactorKind::Deterministic(_));
    let drawn = |id: Id<Variable>| {
        q.iter()
            .filter(|factor| !is_node(factor))
            .position(|factor| factor.child == id)
    };
    let mut open = factor_of(p, latent).map_or(Vec::new(), |factor| factor.parents.clone());
    let mut seen = open.clone();
    while let Some(parent) = open.pop() {
        if drawn(parent) > drawn(latent) {
            return Err(parent);
        }
        // A node stands for the variables that it is computed from, in either graph.
        let nodes = [p, q]
            .into_iter()
            .filter_map(|factors| factor_of(factors, parent))
            .filter(is_node);
        for behind in nodes.flat_map(|node| &node.parents) {
            if !seen.contains(behind) {
                seen.push(*behind);
                open.push(*behind);
            }
        }
    }
    Ok(())
}
