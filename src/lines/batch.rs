//! `batch labelled 100, unlabelled 100`: the number of rows in a step, and how they are drawn.

use super::{Block, Draft, Line, LineContext, Reader, reader::whole};
use crate::{
    diagnostic::{Diagnostic, Span},
    layer::Argument,
    model::{Batch, Role},
    syntax::ast::ExpressionKind,
};

/// Behind the number of labelled rows: as many rows of each class.
const BALANCED: &str = "balanced";

const ROWS: Argument = whole("batch", 1.0, 1e7);
const LABELLED: Argument = whole("batch.labelled", 0.0, 1e7);
const UNLABELLED: Argument = whole("batch.unlabelled", 0.0, 1e7);

#[derive(Debug)]
pub struct BatchLine;

impl Line for BatchLine {
    fn keyword(&self) -> &'static str {
        "batch"
    }

    fn block(&self) -> Block {
        Block::Train
    }

    fn example(&self, labels: bool) -> &'static str {
        if labels {
            "batch labelled 100, unlabelled 100"
        } else {
            "batch 100"
        }
    }

    fn summary(&self) -> &'static str {
        "the number of rows of each case in a step; `labelled 100 balanced`: as many of each class"
    }

    fn repeats(&self) -> bool {
        false
    }

    fn set_names(&self) -> Vec<&'static str> {
        vec![ROWS.name]
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let labels = reader.context.has_labels();
        let named = matches!(reader.peek(), Some(ExpressionKind::Name(_)));
        if labels != named {
            let (title, label) = if labels {
                let label = "expected numbers of labelled and unlabelled rows";
                ("the batch does not fit a model with a `label`", label)
            } else {
                let label = "expected one number of rows";
                ("the batch does not fit a model without a `label`", label)
            };
            let span = reader.span();
            reader.report(Diagnostic::error(span, title).label(label));
            return None;
        }
        draft.training.batch = if labels {
            cases(reader)?
        } else {
            Batch::All(reader.number(ROWS)? as usize)
        };
        Some(())
    }

    fn set(&self, context: &mut dyn LineContext, draft: &mut Draft) {
        let mut set = |argument: Argument, rows: &mut usize| {
            *rows = context.set_number(argument.name, &argument, *rows as f64) as usize;
        };
        match &mut draft.training.batch {
            Batch::All(rows) => set(ROWS, rows),
            Batch::Cases {
                labelled,
                unlabelled,
                ..
            } => {
                set(LABELLED, labelled);
                set(UNLABELLED, unlabelled);
            }
        }
    }

    fn check(&self, context: &mut dyn LineContext, draft: &Draft) {
        let is_empty = matches!(
            draft.training.batch,
            Batch::Cases {
                labelled: 0,
                unlabelled: 0,
                ..
            }
        );
        if is_empty {
            let title = "the batch has no rows: its numbers of labelled and unlabelled rows are 0";
            let help = "set at least one number above 0: `batch labelled 100, unlabelled 100`";
            context.report(Diagnostic::error(Span::default(), title).help(help));
        }
    }
}

/// `labelled 100 balanced, unlabelled 100`, in any order; a number that is left out is 100.
fn cases(reader: &mut Reader) -> Option<Batch> {
    let (mut labelled, mut unlabelled, mut balanced) = (None, None, false);
    while reader.peek().is_some() {
        let (argument, rows) = match reader.choice(&["labelled", "unlabelled"])? {
            "labelled" => (LABELLED, &mut labelled),
            _ => (UNLABELLED, &mut unlabelled),
        };
        let number = reader.number(argument)? as usize;
        if reader.follows(BALANCED) {
            balanced = true;
            if argument.name != LABELLED.name {
                let title = "unlabelled rows cannot be balanced: their classes are unknown";
                let help = "write `balanced` behind the number of labelled rows: \
                            `batch labelled 100 balanced, unlabelled 100`";
                let span = reader.span();
                reader.report(Diagnostic::error(span, title).help(help));
            }
            let mut variables = reader.context.variables().iter();
            if !variables.any(|variable| variable.role == Role::Label && variable.is_class()) {
                let title = "`balanced` needs a label of type `class`";
                let help = "leave `balanced` out: a numeric label has no classes";
                let span = reader.span();
                reader.report(Diagnostic::error(span, title).help(help));
            }
        }
        if rows.replace(number).is_some() {
            let title = format!("`{}` is given twice", argument.name);
            let span = reader.span();
            reader.report(Diagnostic::error(span, title).help("keep one of the two"));
        }
    }
    Some(Batch::Cases {
        labelled: labelled.unwrap_or(100),
        unlabelled: unlabelled.unwrap_or(100),
        balanced,
    })
}
