//! `analytic z`: the KL term of a latent in closed form.

use super::{Block, Draft, Line, LineContext, Reader, closed_form};
use crate::{
    diagnostic::Diagnostic,
    distribution::Domain,
    id::Id,
    model::{BoundKind, Edition, Role, Variable},
    syntax::ast::Name,
};

#[derive(Debug)]
pub struct Analytic;

impl Line for Analytic {
    fn keyword(&self) -> &'static str {
        "analytic"
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "analytic z"
    }

    fn summary(&self) -> &'static str {
        "computes the KL term of a latent in closed form"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn is_about_bound(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let (name, latent) = reader.latent()?;
        has_closed_form(reader, &name, latent)?;
        draft.objective.analytic.push(latent);
        Some(())
    }

    /// Adds the latents whose KL term the edition computes in closed form without a line.
    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let is_default = context.edition() >= Edition::Two;
        if !is_default || draft.objective.bound != BoundKind::Evidence {
            return;
        }
        for (index, variable) in context.variables().iter().enumerate() {
            let latent = Id::new(index);
            let (p, q) = (context.generative(), context.inference());
            if matches!(variable.role, Role::Latent | Role::Label)
                && variable.domain != Domain::Class
                && !draft.objective.analytic.contains(&latent)
                && !draft.is_sampled(latent)
                && closed_form::exists(p, q, latent)
            {
                draft.objective.analytic.push(latent);
            }
        }
    }
}

/// Checks that the KL has a closed form, and that it is exact for these graphs.
fn has_closed_form(reader: &mut Reader, name: &Name, latent: Id<Variable>) -> Option<()> {
    const HELP: &str = "remove the line, so that the term is estimated by sampling";
    let (p, q) = (reader.context.generative(), reader.context.inference());
    let pair = closed_form::find(p, q, latent)?;
    if !pair.has_kl() {
        let title = format!("KL(q({0}) ‖ p({0})) has no closed form", name.text);
        let label = format!("from `{}` to `{}`", pair.posterior.name(), pair.prior_name);
        reader.report(Diagnostic::error(name.span, title).label(label).help(HELP));
        return None;
    }
    if let Err(late) = closed_form::is_exact(p, q, latent) {
        let late = &reader.context.variable(late).name;
        let title = format!(
            "the closed form of KL(q({0}) ‖ p({0})) would not be exact here",
            name.text
        );
        let label = format!(
            "p({0} | …) reads `{late}`, which q draws after `{0}`",
            name.text
        );
        reader.report(Diagnostic::error(name.span, title).label(label).help(HELP));
        return None;
    }
    Some(())
}
