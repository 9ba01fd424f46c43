//! `sum y`: sums over a class variable where it is not observed.

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

    /// Checks that exactly one line defines how to handle each class variable that may be
    /// unobserved.
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
                    "two lines define how to handle `{}` where it is not observed",
                    variable.name
                );
                context.report(
                    Diagnostic::error(second.span, title)
                        .help("keep one of `sum`, `relax`, `score` and `top`"),
                );
            }
            if let Some(drawn) = (draft.objective.drawn.iter())
                .find(|discrete| discrete.variable == id && variable.role == Role::Label)
                .filter(|_| variable.missing)
            {
                let name = &variable.name;
                let title = format!("`{name}`, which labelled rows may lack, must be summed over");
                context.report(
                    Diagnostic::error(drawn.span, title)
                        .note(variable.span, "declared here")
                        .help(format!(
                            "write `sum {name}`, or leave `with missing` out of its declaration"
                        )),
                );
            }
            let is_hidden = matches!(variable.role, Role::Label | Role::Latent)
                && variable.domain == Domain::Class;
            let is_inferred = factor_of(context.inference(), id).is_some();
            if is_hidden && is_inferred && !draft.treated.contains(&variable.name) {
                let title = format!(
                    "no line defines how to handle the class variable `{}` where it is not observed",
                    variable.name
                );
                let help = format!(
                    "add `sum {0}` to `objective`, or `relax {0} by gumbel` for many classes",
                    variable.name
                );
                context.report(
                    Diagnostic::error(variable.span, title)
                        .label("a class variable cannot be sampled in a differentiable way")
                        .help(help),
                );
            }
        }
    }
}
