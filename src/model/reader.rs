//! The values of one line of `objective` or `train`, read one after the other.

use super::{Expression, Role, Variable, check::Checker, network::in_range};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    distribution::Domain,
    id::Id,
    layer::Argument,
    syntax::ast::{self, Call, ExpressionKind, Name, Setting},
};

/// What a setting's values are read with; each step reports what it does not find and gives none.
pub(super) struct Reader<'c, 's, 'a> {
    pub checker: &'c mut Checker<'a>,
    pub setting: &'s Setting,
    pub next: usize,
}

pub(super) const fn whole(name: &'static str, least: f64, most: f64) -> Argument {
    Argument {
        name,
        default: None,
        least,
        most,
        whole: true,
    }
}

pub(super) const fn real(name: &'static str, least: f64, most: f64) -> Argument {
    Argument {
        name,
        default: None,
        least,
        most,
        whole: false,
    }
}

impl Reader<'_, '_, '_> {
    pub fn unknown<'n>(
        &mut self,
        name: &Name,
        what: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        let mut unknown = Diagnostic::error(name.span, format!("unknown {what} `{}`", name.text))
            .label("not known");
        unknown.help = suggest(&name.text, known);
        self.checker.report(unknown);
    }

    pub fn peek(&self) -> Option<&ExpressionKind> {
        self.setting.values.get(self.next).map(|value| &value.kind)
    }

    pub fn take(&mut self, expected: &str) -> Option<&ast::Expression> {
        let Some(value) = self.setting.values.get(self.next) else {
            let end = self.setting.span.end;
            let title = format!("`{}` is not complete", self.setting.keyword.text);
            self.checker.report(
                Diagnostic::error(Span::new(self.setting.span.start, end), title)
                    .label(format!("expected {expected} here")),
            );
            return None;
        };
        self.next += 1;
        Some(value)
    }

    /// A number; `--set` reaches it by the argument's name, in [`finish`].
    pub fn number(&mut self, argument: Argument) -> Option<f64> {
        let value = self.take("a number")?.clone();
        let number = self.checker.number(&value)?;
        // What is set instead is looked at later; what is written must be right all the same.
        in_range(self.checker, value.span, &argument, number).then_some(number)
    }

    /// A number of one subject, such as a latent; `--set` reaches it as `beta.z`.
    pub fn number_of(&mut self, argument: Argument, subject: &str) -> Option<f64> {
        let number = self.number(argument)?;
        let name = format!("{}.{subject}", argument.name);
        Some(set_number(self.checker, &name, &argument, number))
    }

    /// `weight 10` of one subject, 1 if it is left out; `--set` reaches either as `match.r`.
    pub fn weight_of(&mut self, argument: Argument, subject: &str) -> Option<f64> {
        if self.keyword("weight")? {
            return self.number_of(argument, subject);
        }
        Some(set_number(
            self.checker,
            &format!("{}.{subject}", argument.name),
            &argument,
            1.0,
        ))
    }

    pub fn name(&mut self, expected: &str) -> Option<Name> {
        let value = self.take(expected)?.clone();
        match value.kind {
            ExpressionKind::Name(text) => Some(Name {
                text,
                span: value.span,
            }),
            kind => {
                let title = format!("expected {expected}");
                let mut diagnostic =
                    Diagnostic::error(value.span, title).label("found an expression");
                if let ExpressionKind::Binary(..) = kind {
                    diagnostic = diagnostic
                        .help("an operator joins what stands beside it: a comma parts two values, as in `z, -1`");
                }
                self.checker.report(diagnostic);
                None
            }
        }
    }

    pub fn variable(&mut self) -> Option<(Name, Id<Variable>)> {
        let name = self.name("a variable")?;
        let id = self.checker.lookup(&name)?;
        Some((name, id))
    }

    /// A variable that is not always observed.
    pub fn hidden(&mut self) -> Option<(Name, Id<Variable>)> {
        let (name, id) = self.variable()?;
        let role = self.checker.variable(id).role;
        if role != Role::Latent && role != Role::Label {
            let title = format!("`{}` is neither a latent nor a label", name.text);
            let help = format!(
                "`{}` is about the terms of a variable that q infers",
                self.setting.keyword.text
            );
            self.checker.report(
                Diagnostic::error(name.span, title)
                    .label("expected a latent or a label")
                    .help(help),
            );
            return None;
        }
        Some((name, id))
    }

    pub fn latent(&mut self) -> Option<(Name, Id<Variable>)> {
        let (name, id) = self.variable()?;
        let variable = self.checker.variable(id);
        if variable.role != Role::Latent || variable.domain == Domain::Class {
            let title = format!("`{}` is not a continuous latent", name.text);
            let help = format!(
                "`{}` is about the terms of a `latent` that is sampled",
                self.setting.keyword.text
            );
            self.checker.report(
                Diagnostic::error(name.span, title)
                    .label("expected a latent")
                    .help(help),
            );
            return None;
        }
        Some((name, id))
    }

    pub fn choice(&mut self, choices: &[&'static str]) -> Option<&'static str> {
        let quoted: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        let name = self.name(&quoted.join(" or "))?;
        let found = choices.iter().find(|choice| **choice == name.text);
        if found.is_none() {
            let title = format!("`{}` does not belong here", name.text);
            let mut unknown = Diagnostic::error(name.span, title)
                .label(format!("expected {}", quoted.join(" or ")));
            // Of one word, the line's example says more.
            if choices.len() > 1 {
                unknown.help = suggest(&name.text, choices.iter().copied());
            }
            self.checker.report(unknown);
        }
        found.copied()
    }

    /// Takes that word if it follows.
    pub fn follows(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(ExpressionKind::Name(name)) if name == word);
        self.next += usize::from(found);
        found
    }

    /// Whether that word follows; anything else but the end is reported.
    pub fn keyword(&mut self, word: &'static str) -> Option<bool> {
        if self.next == self.setting.values.len() {
            return Some(false);
        }
        self.choice(&[word]).map(|_| true)
    }

    pub fn call(&mut self, expected: &str) -> Option<Call> {
        let value = self.take(expected)?.clone();
        match value.kind {
            ExpressionKind::Call(call) => Some(call),
            ExpressionKind::Name(text) => {
                let name = Name {
                    text,
                    span: value.span,
                };
                Some(Call {
                    name,
                    arguments: Vec::new(),
                    span: value.span,
                })
            }
            _ => {
                self.checker.report(Diagnostic::error(
                    value.span,
                    format!("expected {expected}"),
                ));
                None
            }
        }
    }

    /// `weight 0.1 * rows / labelled`, 1 if it is left out: arithmetic that may also name the
    /// numbers of training rows.
    pub fn weight(&mut self) -> Option<Expression> {
        let (written, span) = if self.keyword("weight")? {
            let value = self.take("a weight")?.clone();
            (weight(self.checker, &value)?, value.span)
        } else {
            (Expression::Number(1.0), self.setting.span)
        };
        let argument = real("classify.weight", 0.0, 1e12);
        let number = set_number(self.checker, "classify.weight", &argument, f64::NAN);
        let weight = if number.is_nan() {
            written
        } else {
            Expression::Number(number)
        };
        let example = weight.value(60_000.0, 100.0);
        if !example.is_finite() || example < 0.0 {
            let title = "a weight is a finite number from 0 on";
            let label = format!("{example} for 60000 rows, 100 of them labelled");
            self.checker
                .report(Diagnostic::error(span, title).label(label));
            return None;
        }
        Some(weight)
    }

    pub fn end(&mut self) -> Option<()> {
        let Some(extra) = self.setting.values.get(self.next) else {
            return Some(());
        };
        let title = format!("`{}` ends before this", self.setting.keyword.text);
        self.checker
            .report(Diagnostic::error(extra.span, title).label("one value too many"));
        None
    }
}

fn weight(checker: &mut Checker, value: &ast::Expression) -> Option<Expression> {
    match &value.kind {
        ExpressionKind::Name(name) if name == "rows" => Some(Expression::Rows),
        ExpressionKind::Name(name) if name == "labelled" => Some(Expression::Labelled),
        ExpressionKind::Binary(operator, left, right) => {
            let (left, right) = (weight(checker, left), weight(checker, right));
            Some(Expression::Binary(
                *operator,
                Box::new(left?),
                Box::new(right?),
            ))
        }
        ExpressionKind::Number(_) | ExpressionKind::Name(_) => {
            checker.number(value).map(Expression::Number)
        }
        ExpressionKind::Call(call) => {
            let title = format!("`{}(…)` is not a weight", call.name.text);
            let help = "a weight is arithmetic over numbers, sizes, `rows` and `labelled`";
            checker.report(Diagnostic::error(value.span, title).help(help));
            None
        }
    }
}

/// The number of `--set NAME=…` if there is one and it is in the argument's range, else the one
/// written.
pub(super) fn set_number(
    checker: &mut Checker,
    name: &str,
    argument: &Argument,
    written: f64,
) -> f64 {
    let given = checker.sets.given(name).map(str::to_string);
    let keep = Some(written).filter(|written| !written.is_nan());
    match (checker.sets.number(name, keep), given) {
        (Ok(Some(number)), Some(text)) if !argument.holds(number) => {
            let title = format!("`--set {name}={text}`: {}", argument.expected());
            checker.report(Diagnostic::error(Span::default(), title));
            written
        }
        (Ok(number), _) => number.unwrap_or(written),
        (Err(message), _) => {
            checker.report(Diagnostic::error(Span::default(), message));
            written
        }
    }
}
