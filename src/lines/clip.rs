//! `clip norm 5`, `clip value 1`: limits of the gradient.

use super::{Block, Draft, Line, LineContext, Reader, reader::real};
use crate::layer::Argument;

const NORM: Argument = real("clip.norm", 1e-12, 1e12);
const VALUE: Argument = real("clip.value", 1e-12, 1e12);

#[derive(Debug)]
pub struct Clip;

impl Line for Clip {
    fn keyword(&self) -> &'static str {
        "clip"
    }

    fn block(&self) -> Block {
        Block::Train
    }

    fn example(&self, _: bool) -> &'static str {
        "clip norm 5"
    }

    fn summary(&self) -> &'static str {
        "limits the norm of the gradient, or each of its elements"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let training = &mut draft.training;
        let (argument, limit) = match reader.choice(&["norm", "value"])? {
            "norm" => (NORM, &mut training.clip_norm),
            _ => (VALUE, &mut training.clip_value),
        };
        *limit = Some(reader.number(argument)?);
        Some(())
    }

    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let training = &mut draft.training;
        for (argument, limit) in [
            (NORM, &mut training.clip_norm),
            (VALUE, &mut training.clip_value),
        ] {
            *limit = context.set(argument.name, &argument, *limit);
        }
    }
}
