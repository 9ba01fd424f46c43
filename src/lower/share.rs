//! Gives a case its part of the networks that all cases share.

use super::case::{Cache, Case};
use crate::{
    distribution::Domain,
    model::{FactorKind, Role, Side},
};

impl<'m> Case<'m, '_> {
    /// Lowers `body` on the rows of all cases in a pass with the settings of this one. None if this
    /// case shares no network.
    pub(super) fn jointly<T>(&mut self, body: impl FnOnce(&mut Case<'m, '_>) -> T) -> Option<T> {
        let joint = self.joint?;
        let mut builder = self.builder.child();
        builder.rows = joint.rows.clone();
        builder.sample = (builder.samples > 1).then(|| builder.sample_axis());
        let mut cache = Cache::default();
        let mut all = Case::begin(self.model, builder, &joint.observed, &mut cache);
        Some(body(&mut all))
    }

    /// Lowers the shared networks on the rows of all cases, and keeps the heads and the nodes for the
    /// rows of this case. Each case lowers the same nodes, which the graph holds once; only a pass that
    /// moves running averages moves those of the shared networks.
    pub(super) fn share(&mut self) {
        let Some(joint) = self.joint else {
            return;
        };
        let case = self.builder.rows.parts[0].case;
        let shared = self.jointly(|all| {
            for &id in &joint.factors {
                let factor = id.factor(all.model);
                if matches!(factor.kind, FactorKind::Deterministic(_)) {
                    all.value(factor.child);
                    continue;
                }
                all.distribution(id);
                let child = all.variable(factor.child);
                let is_drawn = id.side == Side::Inference && child.role == Role::Latent;
                if is_drawn && child.domain != Domain::Class {
                    all.draw(id);
                }
            }
            all.cached(|role| role == Role::Node)
        });
        let shared = shared.expect("this case shares networks");
        self.adopt(shared, |graph, node| joint.rows.part(graph, node, case));
    }
}
