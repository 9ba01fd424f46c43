//! `beta z 1 warmup 10 from 3`: the weight of the terms of a variable that q infers.

use super::{Block, Draft, Line, RampOwner, Reader};
use crate::model::TermWeight;

#[derive(Debug)]
pub struct BetaLine;

impl Line for BetaLine {
    fn keyword(&self) -> &'static str {
        "beta"
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "beta z 1 warmup 10 from 3"
    }

    fn summary(&self) -> &'static str {
        "the weight of a variable's terms, log p − log q"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn is_about_bound(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let (name, variable) = reader.hidden()?;
        let ramp = reader.ramp("beta", RampOwner::Variable(&name.text))?;
        draft.objective.betas.push(TermWeight { variable, ramp });
        Some(())
    }
}
