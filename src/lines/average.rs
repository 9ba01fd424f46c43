//! `average parameters 0.999`: the model is evaluated and used with an exponential moving average of
//! its parameters.

use super::{Block, Draft, Line, LineContext, Reader, reader::real};
use crate::layer::Argument;

/// The decay, with its name in `--set`. Above its limit, the changes of an average in single
/// precision are lost to rounding.
const DECAY: Argument = real("average.parameters", 1e-6, 0.999_999);

#[derive(Debug)]
pub struct Average;

impl Line for Average {
    fn keyword(&self) -> &'static str {
        "average"
    }

    fn block(&self) -> Block {
        Block::Train
    }

    fn example(&self, _: bool) -> &'static str {
        "average parameters 0.999"
    }

    fn summary(&self) -> &'static str {
        "evaluates and uses the model with a moving average of its parameters"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        reader.choice(&["parameters"])?;
        draft.training.average = Some(reader.number(DECAY)?);
        Some(())
    }

    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let decay = &mut draft.training.average;
        *decay = context.set(DECAY.name, &DECAY, *decay);
    }
}
