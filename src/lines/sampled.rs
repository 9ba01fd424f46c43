//! `sampled z`: the KL term of a variable by sampling, where the edition would use the closed form.

use super::{Block, Draft, Line, LineContext, Reader, Sampled};
use crate::diagnostic::Diagnostic;

#[derive(Debug)]
pub struct SampledLine;

impl Line for SampledLine {
    fn keyword(&self) -> &'static str {
        "sampled"
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "sampled z"
    }

    fn summary(&self) -> &'static str {
        "estimates the KL term of a variable, or all KL terms, by sampling"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn is_about_bound(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let variable = match reader.peek() {
            None => None,
            Some(_) => Some(reader.hidden()?.1),
        };
        draft.sampled.push(Sampled {
            variable,
            span: reader.span(),
        });
        Some(())
    }

    /// Removes the closed forms of drawn classes. That of a latent is not added in the first place.
    fn set(&self, _: &mut dyn LineContext, draft: &mut Draft) {
        for index in 0..draft.objective.drawn.len() {
            let variable = draft.objective.drawn[index].variable;
            let closed = draft.objective.drawn[index].closed && !draft.is_sampled(variable);
            draft.objective.drawn[index].closed = closed;
        }
    }

    fn check(&self, context: &mut dyn LineContext, draft: &Draft) {
        for line in &draft.sampled {
            let Some(variable) = line.variable else {
                continue;
            };
            let name = context.variable(variable).name.clone();
            let (title, help) = if draft.objective.analytic.contains(&variable) {
                (
                    format!("the KL term of `{name}` is both `analytic` and `sampled`"),
                    "keep one of the two lines",
                )
            } else if draft.objective.sums.contains(&variable) {
                (
                    format!("`{name}` is summed over, so its KL term is exact"),
                    "remove the line",
                )
            } else {
                continue;
            };
            context.report(Diagnostic::error(line.span, title).help(help));
        }
    }
}
