//! `analytic z`: the KL of a latent in closed form.

use super::{Block, Draft, Line, Reader, closed_form};
use crate::{diagnostic::Diagnostic, id::Id, model::Variable, syntax::ast::Name};

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
        "the KL of a latent in closed form"
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
}

/// That a closed form exists, and that it is exact on these graphs.
fn has_closed_form(reader: &mut Reader, name: &Name, latent: Id<Variable>) -> Option<()> {
    const HELP: &str = "remove the line: the term is then sampled";
    let (p, q) = (reader.context.generative(), reader.context.inference());
    let (in_q, in_p) = closed_form::distributions(p, q, latent)?;
    if !in_q.has_kl(in_p) {
        let title = format!("KL(q({0}) ‖ p({0})) has no closed form", name.text);
        let label = format!("from `{}` to `{in_p}`", in_q.name());
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
