//! `optimizer adam(rate = 3e-4)`: the optimiser of the parameters.

use super::{Block, Draft, Line, LineContext, Reader};
use crate::optimizer::{self, OPTIMIZERS, Optimizer};

#[derive(Debug)]
pub struct OptimizerLine;

impl Line for OptimizerLine {
    fn keyword(&self) -> &'static str {
        "optimizer"
    }

    fn block(&self) -> Block {
        Block::Train
    }

    fn example(&self, _: bool) -> &'static str {
        "optimizer adam(rate = 3e-4)"
    }

    fn summary(&self) -> &'static str {
        "the optimiser: `sgd`, `adam`, `adamw` or `adamax`"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn set_names(&self) -> Vec<&'static str> {
        let arguments = OPTIMIZERS.iter().flat_map(|listed| listed.arguments());
        arguments.map(|argument| argument.name).collect()
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let call = reader.call("an optimiser such as `adam(rate = 3e-4)`")?;
        let Some(optimizer) = optimizer::find(&call.name.text) else {
            let names = OPTIMIZERS.iter().map(|listed| listed.name());
            reader.unknown(&call.name, "optimizer", names);
            return None;
        };
        let training = &mut draft.training;
        training.optimizer_arguments =
            reader
                .context
                .arguments(&call, optimizer.arguments(), "optimizer")?;
        training.optimizer = optimizer;
        Some(())
    }

    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let training = &mut draft.training;
        let arguments = training.optimizer.arguments().iter();
        for (argument, value) in arguments.zip(&mut training.optimizer_arguments) {
            *value = context.set_number(argument.name, argument, *value);
        }
    }
}

/// The optimiser of a model without an `optimizer` line; its arguments have their defaults.
pub(super) fn default() -> &'static dyn Optimizer {
    optimizer::find("adam").expect("the registry has Adam")
}
