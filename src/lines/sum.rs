//! `sum y`: a class variable is summed over where it is not observed.

use super::{Block, Draft, Line, LineContext, Reader};
use crate::{
    diagnostic::Diagnostic,
    distribution::Domain,
    id::Id,
    model::{Role, factor_of},
};

#[derive(Debug)]
pub struct Sum;

impl Line for Sum {
    fn keyword(&self) -> &'static str {
        "sum"
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "sum y"
    }

    fn summary(&self) -> &'static str {
        "sums over the classes of a variable, weighted by q, where it is not observed"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn is_about_bound(&self) -> bool {
        true
    }

    fn treats_class(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let (_, variable) = reader.class_variable("cannot be summed over")?;
        draft.objective.sums.push(variable);
        Some(())
    }

    /// Each class variable that may be unobserved has exactly one line that says how it is treated.
    fn check(&self, context: &mut dyn LineContext, draft: &Draft) {
        if context.generative().is_empty() {
            return;
        }
        for (index, variable) in context.variables().to_vec().iter().enumerate() {
            let id = Id::new(index);
            let summed = draft.objective.sums.contains(&id);
            let drawn = draft.objective.drawn.iter();
            let mut drawn = drawn.filter(|discrete| discrete.variable == id);
            if let Some(second) = drawn.nth(usize::from(!summed)) {
                let title = format!(
                    "`{}` has two lines that say what to do with it",
                    variable.name
                );
                context.report(
                    Diagnostic::error(second.span, title)
                        .help("keep one of `sum`, `relax`, `score` and `top`"),
                );
            }
            let is_hidden = matches!(variable.role, Role::Label | Role::Latent)
                && variable.domain == Domain::Class;
            let is_inferred = factor_of(context.inference(), id).is_some();
            if is_hidden && is_inferred && !draft.treated.contains(&variable.name) {
                let title = format!(
                    "`{}` is discrete, and nothing says what to do with it",
                    variable.name
                );
                let help = format!(
                    "add `sum {0}` to `objective`, or `relax {0} by gumbel` for many classes",
                    variable.name
                );
                context.report(
                    Diagnostic::error(variable.span, title)
                        .label(
                            "where it is not observed, it cannot be sampled in a differentiable way",
                        )
                        .help(help),
                );
            }
        }
    }
}
