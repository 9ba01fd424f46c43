//! The lines of `objective` that add a cost beside the bound: `smooth`, `inform` and `match`.

use super::{
    Factor, FactorKind, Inform, Match, Role, Smooth, Variable,
    check::factor_of,
    network::arguments_of,
    reader::{Reader, real, set_number},
};
use crate::{
    diagnostic::Diagnostic, distribution::Domain, id::Id, layer::Argument, syntax::ast::Name,
};
use std::collections::BTreeSet;

/// What virtual adversarial training takes.
const VAT: &[Argument] = &[
    Argument {
        name: "radius",
        default: None,
        least: 0.0,
        most: 1e6,
        whole: false,
    },
    Argument {
        name: "weight",
        default: Some(1.0),
        least: 0.0,
        most: 1e6,
        whole: false,
    },
    Argument {
        name: "step",
        default: Some(1.0),
        least: 1e-6,
        most: 1e6,
        whole: false,
    },
    Argument {
        name: "rounds",
        default: Some(1.0),
        least: 1.0,
        most: 100.0,
        whole: true,
    },
];

impl Reader<'_, '_, '_> {
    /// `smooth y by vat(radius = 2)`, and how its weight changes.
    pub(super) fn smooth(&mut self, q: &[Factor]) -> Option<Smooth> {
        let (name, label) =
            self.inferred_label("`smooth` holds the prediction of a `label` that q infers")?;
        self.choice(&["by"])?;
        let call = self.call("`vat(radius = 2)`")?;
        if call.name.text != "vat" {
            self.unknown(&call.name, "smoothing", ["vat"]);
            return None;
        }
        let values = arguments_of(self.checker, &call, VAT, "smoothing")?;
        let mut arguments = [0.0; 4];
        for ((to, value), argument) in arguments.iter_mut().zip(values).zip(VAT) {
            *to = set_number(
                self.checker,
                &format!("smooth.{}", argument.name),
                argument,
                value,
            );
        }
        self.predicted(q, &name, label)?;
        let [radius, weight, step, rounds] = arguments;
        let ramp = self.ramp_to(weight, "smooth")?;
        Some(Smooth {
            label,
            radius,
            step,
            rounds: rounds as usize,
            ramp,
        })
    }

    /// `inform y weight 1`.
    pub(super) fn informed(&mut self, q: &[Factor]) -> Option<Inform> {
        let (name, label) =
            self.inferred_label("`inform` is about the prediction of a `label` that q infers")?;
        self.predicted(q, &name, label)?;
        let weight = self.weight_of(real("inform", 0.0, 1e6), &name.text)?;
        Some(Inform { label, weight })
    }

    /// That q has probabilities of a label's classes.
    fn predicted(&mut self, q: &[Factor], name: &Name, label: Id<Variable>) -> Option<()> {
        let predicted = factor_of(q, label).is_some_and(|factor| {
            matches!(factor.kind, FactorKind::Distribution { distribution, .. } if distribution.name() == "categorical")
        });
        if !predicted {
            let title = format!("q has no prediction of `{}`", name.text);
            let help = format!("let q infer it: `… -> {} ~ categorical(…)`", name.text);
            self.checker
                .report(Diagnostic::error(name.span, title).help(help));
        }
        predicted.then_some(())
    }

    /// `match r to clean h standardized weight 10`.
    pub(super) fn matched(&mut self, p: &[Factor], q: &[Factor]) -> Option<Match> {
        let (name, node) = self.variable()?;
        if self.checker.variable(node).role != Role::Node {
            let title = format!("`{}` is not a deterministic node", name.text);
            let help =
                "`match` moves a node towards another node or data: `x -> r = body` makes one";
            self.checker.report(
                Diagnostic::error(name.span, title)
                    .label("expected a node")
                    .help(help),
            );
            return None;
        }
        self.choice(&["to"])?;
        let clean = self.follows("clean");
        let (target_name, target) = self.variable()?;
        let found = self.checker.variable(target).clone();
        if !matches!(found.role, Role::Node | Role::Data) || found.domain == Domain::Class {
            let title = format!(
                "`{}` is neither a node nor continuous data",
                target_name.text
            );
            let help = "a deterministic node may stand for it: `… -> h = body`";
            self.checker.report(
                Diagnostic::error(target_name.span, title)
                    .label("nothing to match")
                    .help(help),
            );
            return None;
        }
        let (size, wanted) = (self.checker.variable(node).size(), found.size());
        if size != wanted {
            let title = format!("`{}` and `{}` differ in size", name.text, target_name.text);
            let label = format!("{size} features, but `{}` has {wanted}", target_name.text);
            let help = format!("end the network of `{}` with `dense({wanted})`", name.text);
            self.checker
                .report(Diagnostic::error(name.span, title).label(label).help(help));
            return None;
        }
        for (name, id) in [(&name, node), (&target_name, target)] {
            for read in self.reads(p, q, id) {
                let read = self.checker.variable(read).clone();
                if read.domain == Domain::Class && read.role != Role::Data {
                    let title = format!(
                        "`{}` depends on `{}`, which is not always seen",
                        name.text, read.name
                    );
                    let help = "`match` compares what is made of data and continuous latents";
                    self.checker.report(
                        Diagnostic::error(name.span, title)
                            .label("not to be matched")
                            .help(help),
                    );
                    return None;
                }
            }
        }
        let standardized = self.follows("standardized");
        let weight = self.weight_of(real("match", 0.0, 1e12), &name.text)?;
        Some(Match {
            node,
            target,
            clean,
            standardized,
            weight,
        })
    }

    /// The variables that one is made of: itself, and what its factors read, up to data, which are
    /// seen whatever drew them.
    fn reads(&self, p: &[Factor], q: &[Factor], variable: Id<Variable>) -> BTreeSet<Id<Variable>> {
        let mut open = vec![variable];
        let mut found = BTreeSet::new();
        while let Some(next) = open.pop() {
            if !found.insert(next) || self.checker.variable(next).role == Role::Data {
                continue;
            }
            // A latent is drawn by q.
            if let Some(factor) = factor_of(q, next).or_else(|| factor_of(p, next)) {
                open.extend(&factor.parents);
            }
        }
        found
    }
}
