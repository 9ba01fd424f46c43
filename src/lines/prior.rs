//! `prior weights normal(0, 1)`: a normal prior on the weights of all networks.

use super::{Block, Draft, Line, LineContext, Reader, reader::real};
use crate::layer::Argument;

/// The scale, with its name in `--set`.
const SCALE: Argument = real("prior", 1e-9, 1e9);

#[derive(Debug)]
pub struct Prior;

impl Line for Prior {
    fn keyword(&self) -> &'static str {
        "prior"
    }

    fn block(&self) -> Block {
        Block::Train
    }

    fn example(&self, _: bool) -> &'static str {
        "prior weights normal(0, 1)"
    }

    fn summary(&self) -> &'static str {
        "a normal prior on weights, which shrinks them"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn set_names(&self) -> Vec<&'static str> {
        vec![SCALE.name]
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        reader.choice(&["weights"])?;
        let call = reader.call("`normal(0, 1)`")?;
        if call.name.text != "normal" {
            reader.unknown(&call.name, "prior", ["normal"]);
            return None;
        }
        let arguments = [real("mean", 0.0, 0.0), real("scale", 1e-9, 1e9)];
        let values = reader.context.arguments(&call, &arguments, "prior")?;
        draft.training.weight_prior = Some(values[1]);
        Some(())
    }

    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let scale = &mut draft.training.weight_prior;
        *scale = context.set(SCALE.name, &SCALE, *scale);
    }
}
