//! Whether the KL term of a variable has a closed form, and whether it is exact for the graphs.

use crate::{
    distribution::Distribution,
    id::Id,
    model::{Factor, FactorKind, Heads, Variable, factor_of},
};

/// The two distributions of a variable's KL term.
pub(super) struct Pair {
    /// The distribution in q.
    pub posterior: &'static dyn Distribution,
    /// The distribution in p; `None` for a mixture.
    prior: Option<&'static dyn Distribution>,
    /// The name of the prior, as written in a model: `normal`, `mixture`.
    pub prior_name: &'static str,
}

impl Pair {
    /// Whether the KL of the posterior from the prior has a closed form.
    pub fn has_kl(&self) -> bool {
        self.prior.is_some_and(|prior| self.posterior.has_kl(prior))
    }
}

/// The distributions of a variable in q and in p; `None` if it lacks one.
pub(super) fn find(p: &[Factor], q: &[Factor], variable: Id<Variable>) -> Option<Pair> {
    let FactorKind::Distribution {
        distribution: posterior,
        ..
    } = factor_of(q, variable)?.kind
    else {
        return None;
    };
    let FactorKind::Distribution {
        distribution,
        heads,
    } = &factor_of(p, variable)?.kind
    else {
        return None;
    };
    let (prior, prior_name) = match heads {
        Heads::Mixture(mixture) => (None, mixture.name()),
        _ => (Some(*distribution), distribution.name()),
    };
    Some(Pair {
        posterior,
        prior,
        prior_name,
    })
}

/// Whether the KL of a variable has a closed form that is exact for these graphs.
pub(super) fn exists(p: &[Factor], q: &[Factor], variable: Id<Variable>) -> bool {
    find(p, q, variable).is_some_and(|pair| pair.has_kl()) && is_exact(p, q, variable).is_ok()
}

/// Checks that the closed form of a latent's KL is exact: q must draw every variable that p's
/// factor of the latent reads before it draws the latent.
///
/// # Errors
///
/// A variable that q draws after the latent.
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
        // A deterministic node is replaced by the variables that it reads, in either graph.
        let nodes = [p, q]
            .into_iter()
            .filter_map(|factors| factor_of(factors, parent))
            .filter(is_node);
        for input in nodes.flat_map(|node| &node.parents) {
            if !seen.contains(input) {
                seen.push(*input);
                open.push(*input);
            }
        }
    }
    Ok(())
}
