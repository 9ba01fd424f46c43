//! `free_bits z 0.5`: the number of nats below which the mean KL of a latent is not reduced
//! further.

use super::{Block, Draft, Line, Reader, reader::real};

#[derive(Debug)]
pub struct FreeBits;

impl Line for FreeBits {
    fn keyword(&self) -> &'static str {
        "free_bits"
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        "free_bits z 0.5"
    }

    fn summary(&self) -> &'static str {
        "nats below which the mean KL of a latent is not reduced further"
    }

    fn repeats(&self) -> bool {
        true
    }

    fn is_about_bound(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let (name, latent) = reader.latent()?;
        let nats = reader.number_of(real("free_bits", 0.0, 1e6), &name.text)?;
        draft.objective.free_bits.push((latent, nats));
        Some(())
    }
}
