//! `labelled 0.01 warmup 10 from 1`: the weight of the bound of labelled rows.

use super::{Block, Draft, Line, RampOwner, Reader};
use crate::diagnostic::Diagnostic;

#[derive(Debug)]
pub struct Labelled;

impl Line for Labelled {
    fn keyword(&self) -> &'static str {
        "labelled"
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "labelled 0.01 warmup 10 from 1"
    }

    fn summary(&self) -> &'static str {
        "the weight of the bound of labelled rows"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let mistake = if !reader.context.has_labels() {
            Some((
                "the model has no label, and so no labelled rows to weight",
                "declare a variable as `label`, or remove the line",
            ))
        } else if reader.context.generative().is_empty() {
            Some((
                "a classifier has no bound to weight",
                "write `classify y weight …` to weight labelled rows",
            ))
        } else {
            None
        };
        if let Some((title, help)) = mistake {
            let span = reader.span();
            reader.report(Diagnostic::error(span, title).help(help));
            return None;
        }
        draft.objective.labelled = Some(reader.ramp("weight", RampOwner::Line("labelled"))?);
        Some(())
    }
}
