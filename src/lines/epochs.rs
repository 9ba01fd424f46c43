//! `epochs 200`: the number of passes over the training rows.

use super::{Block, Draft, Line, LineContext, Reader, reader::whole};
use crate::layer::Argument;

const EPOCHS: Argument = whole("epochs", 0.0, 1e7);

#[derive(Debug)]
pub struct Epochs;

impl Line for Epochs {
    fn keyword(&self) -> &'static str {
        "epochs"
    }

    fn block(&self) -> Block {
        Block::Train
    }

    fn example(&self, _: bool) -> &'static str {
        "epochs 200"
    }

    fn summary(&self) -> &'static str {
        "passes over the training rows"
    }

    fn repeats(&self) -> bool {
        false
    }

    /// Other lines may use the number: `beta z 1 warmup 0.4 * epochs from 3`.
    fn is_read_first(&self) -> bool {
        true
    }

    fn set_names(&self) -> Vec<&'static str> {
        vec![EPOCHS.name]
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        draft.training.epochs = reader.number(EPOCHS)? as usize;
        Some(())
    }

    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let epochs = &mut draft.training.epochs;
        *epochs = context.set_number(EPOCHS.name, &EPOCHS, *epochs as f64) as usize;
        context.define(EPOCHS.name, *epochs as f64);
    }
}
