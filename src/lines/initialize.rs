//! `initialize glorot`: the initialisation of weights.

use super::{Block, Draft, Line, Reader, reader::real};
use crate::model::Initialize;

#[derive(Debug)]
pub struct InitializeLine;

impl Line for InitializeLine {
    fn keyword(&self) -> &'static str {
        "initialize"
    }

    fn block(&self) -> Block {
        Block::Train
    }

    fn example(&self, _: bool) -> &'static str {
        "initialize glorot"
    }

    fn summary(&self) -> &'static str {
        "the initialisation of weights: `glorot`, `he` or `normal(scale)`"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let call = reader.call("`glorot`, `he` or `normal(0.01)`")?;
        draft.training.initialize = match call.name.text.as_str() {
            "glorot" => Initialize::Glorot,
            "he" => Initialize::He,
            "normal" => {
                let scale = real("scale", 0.0, 1e3);
                let values = reader
                    .context
                    .arguments(&call, &[scale], "initialisation")?;
                Initialize::Normal(values[0])
            }
            _ => {
                reader.unknown(&call.name, "initialisation", ["glorot", "he", "normal"]);
                return None;
            }
        };
        Some(())
    }
}
