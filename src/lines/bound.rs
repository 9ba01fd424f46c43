//! `bound importance`: how the samples of a row are combined into its bound.

use super::{Block, Draft, Line, LineContext, Reader, reader::real};
use crate::{diagnostic::Diagnostic, model::BoundKind};

#[derive(Debug)]
pub struct BoundLine;

impl Line for BoundLine {
    fn keyword(&self) -> &'static str {
        "bound"
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "bound importance"
    }

    fn summary(&self) -> &'static str {
        "the bound: `evidence`, `importance` or `renyi(alpha)`"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn is_about_bound(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        draft.objective.bound = bound(reader)?;
        Some(())
    }

    /// Reports lines about single latents' terms, which the importance-weighted bound does not
    /// have.
    fn check(&self, context: &mut dyn LineContext, draft: &Draft) {
        let objective = &draft.objective;
        let weighted = objective.betas.iter().map(|beta| beta.variable);
        let free = objective.free_bits.iter().map(|(latent, _)| *latent);
        let latents = weighted.chain(free).chain(objective.analytic.clone());
        let Some(first) = latents.into_iter().next() else {
            return;
        };
        if objective.bound == BoundKind::Evidence {
            return;
        }
        let span = context.variable(first).span;
        context.report(
            Diagnostic::error(
                span,
                "the importance-weighted bound has no separate terms for latents",
            )
            .label("this variable has a `beta`, `free_bits` or `analytic` line")
            .help("remove that line, or the `bound` line"),
        );
    }
}

fn bound(reader: &mut Reader) -> Option<BoundKind> {
    let call = reader.call("a bound such as `importance`")?;
    match call.name.text.as_str() {
        "evidence" => {
            reader.context.arguments(&call, &[], "bound")?;
            Some(BoundKind::Evidence)
        }
        "importance" => {
            reader.context.arguments(&call, &[], "bound")?;
            Some(BoundKind::Power(0.0))
        }
        "renyi" => {
            let order = real("alpha", -100.0, 100.0);
            let alpha = reader.context.arguments(&call, &[order], "bound")?[0];
            // Closer to 1, the division by 1 − α loses too many digits in single precision.
            if (alpha - 1.0).abs() < 1e-3 {
                let title = "the Rényi bound of order 1 is the evidence bound";
                reader.report(
                    Diagnostic::error(call.span, title)
                        .label(format!("found {alpha}"))
                        .help("write `bound evidence`"),
                );
                return None;
            }
            Some(BoundKind::Power(alpha))
        }
        _ => {
            reader.unknown(&call.name, "bound", ["evidence", "importance", "renyi"]);
            None
        }
    }
}
