//! `samples 5`: the number of joint Monte Carlo samples.

use super::{Block, Draft, Line, LineContext, Reader, reader::whole};
use crate::layer::Argument;

const SAMPLES: Argument = whole("samples", 1.0, 100_000.0);

#[derive(Debug)]
pub struct Samples;

impl Line for Samples {
    fn keyword(&self) -> &'static str {
        "samples"
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "samples 5"
    }

    fn summary(&self) -> &'static str {
        "the number of joint Monte Carlo samples of all latents"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn is_about_bound(&self) -> bool {
        true
    }

    fn set_names(&self) -> Vec<&'static str> {
        vec![SAMPLES.name]
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        draft.objective.samples = reader.number(SAMPLES)? as usize;
        Some(())
    }

    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let samples = &mut draft.objective.samples;
        *samples = context.set_number(SAMPLES.name, &SAMPLES, *samples as f64) as usize;
    }
}
