//! `schedule cosine(floor = 0) warmup 1`: how the learning rate changes.

use super::{Block, Draft, Line, LineContext, Reader, reader::real};
use crate::{
    layer::Argument,
    model::{Decay, RateSchedule},
};

const WARMUP: Argument = real("schedule.warmup", 0.0, 1e9);
const FLOOR: Argument = real("schedule.floor", 0.0, 1e3);

#[derive(Debug)]
pub struct ScheduleLine;

impl Line for ScheduleLine {
    fn keyword(&self) -> &'static str {
        "schedule"
    }

    fn block(&self) -> Block {
        Block::Train
    }

    fn example(&self, _: bool) -> &'static str {
        "schedule cosine(floor = 0) warmup 1"
    }

    fn summary(&self) -> &'static str {
        "how the learning rate changes: `constant`, `step(…)` or `cosine(…)`"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        draft.training.schedule = schedule(reader)?;
        Some(())
    }

    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let mut set = |argument: Argument, value: &mut f64| {
            *value = context.set_number(argument.name, &argument, *value);
        };
        let schedule = &mut draft.training.schedule;
        set(WARMUP, &mut schedule.warmup);
        match &mut schedule.decay {
            Decay::Constant => {}
            Decay::Step {
                every,
                factor,
                floor,
            } => {
                set(real("schedule.every", 1e-6, 1e9), every);
                set(real("schedule.factor", 1e-9, 1.0), factor);
                set(FLOOR, floor);
            }
            Decay::Cosine { floor } => set(FLOOR, floor),
        }
    }
}

fn schedule(reader: &mut Reader) -> Option<RateSchedule> {
    let call = reader.call("a schedule such as `cosine(floor = 0)`")?;
    let floor = Argument {
        default: Some(0.0),
        ..real("floor", 0.0, 1e3)
    };
    let mut arguments = |arguments: &[Argument]| {
        let context = &mut reader.context;
        context.arguments(&call, arguments, "schedule")
    };
    let mut warmup = 0.0;
    let decay = match call.name.text.as_str() {
        "constant" => Decay::Constant,
        "step" => {
            let given = [real("every", 1e-6, 1e9), real("factor", 1e-9, 1.0), floor];
            let values = arguments(&given)?;
            Decay::Step {
                every: values[0],
                factor: values[1],
                floor: values[2],
            }
        }
        "cosine" => Decay::Cosine {
            floor: arguments(&[floor])?[0],
        },
        "warmup" => {
            warmup = arguments(&[real("epochs", 0.0, 1e9)])?[0];
            Decay::Constant
        }
        _ => {
            let names = ["constant", "step", "cosine", "warmup"];
            reader.unknown(&call.name, "schedule", names);
            return None;
        }
    };
    if reader.keyword("warmup")? {
        warmup = reader.number(WARMUP)?;
    }
    Some(RateSchedule { decay, warmup })
}
