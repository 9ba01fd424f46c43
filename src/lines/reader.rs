//! Reads the values of a line, one after the other.

use super::LineContext;
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    distribution::Domain,
    id::Id,
    layer::Argument,
    model::{FactorKind, Ramp, Role, Variable, factor_of},
    syntax::ast::{self, Call, ExpressionKind, Name, Setting},
};

/// A position in the values of a line. Each method consumes the next value. If the value is not of
/// the expected form, the method reports it and returns `None`.
pub struct Reader<'r> {
    /// The model that contains the line.
    pub context: &'r mut dyn LineContext,
    setting: &'r Setting,
    /// The position of the next value.
    next: usize,
}

/// What a ramp belongs to, which names its numbers in `--set`. Variables and lines have separate
/// names, since a variable may be called `smooth`.
#[derive(Clone, Copy, Debug)]
pub enum RampOwner<'n> {
    /// A variable: `beta.z`, `warmup.z`, `from.z`.
    Variable(&'n str),
    /// The line with a keyword: `smooth.weight`, `smooth.warmup`, `smooth.from`.
    Line(&'static str),
}

/// A whole-number argument within these limits, without a default.
pub const fn whole(name: &'static str, least: f64, most: f64) -> Argument {
    Argument {
        name,
        default: None,
        least,
        most,
        whole: true,
    }
}

/// A real-number argument within these limits, without a default.
pub const fn real(name: &'static str, least: f64, most: f64) -> Argument {
    Argument {
        name,
        default: None,
        least,
        most,
        whole: false,
    }
}

/// The help for `weight -1` where the word `weight` is expected: it is read as a subtraction.
fn negative_after(
    operator: ast::Operator,
    left: &ExpressionKind,
    right: &ExpressionKind,
    expected: &str,
) -> Option<String> {
    match (operator, left, right) {
        (ast::Operator::Subtract, ExpressionKind::Name(word), ExpressionKind::Number(number))
            if expected.contains(&format!("`{word}`")) =>
        {
            Some(format!(
                "`{word} -{number}` is read as the subtraction `{word} - {number}`; the number after `{word}` cannot be negative"
            ))
        }
        _ => None,
    }
}

impl<'r> Reader<'r> {
    /// A reader at the first value of a line.
    pub fn new(context: &'r mut dyn LineContext, setting: &'r Setting) -> Self {
        Reader {
            context,
            setting,
            next: 0,
        }
    }

    /// The span of the whole line.
    pub fn span(&self) -> Span {
        self.setting.span
    }

    /// Adds a diagnostic.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.context.report(diagnostic);
    }

    /// Reports a name that is not in `listed`. `what` says what it should name: `bound`.
    pub fn unknown<'n>(
        &mut self,
        name: &Name,
        what: &str,
        listed: impl IntoIterator<Item = &'n str>,
    ) {
        let mut unknown = Diagnostic::error(name.span, format!("unknown {what} `{}`", name.text))
            .label(format!("no such {what}"));
        unknown.help = suggest(&name.text, listed);
        self.report(unknown);
    }

    /// The next value, without consuming it.
    pub fn peek(&self) -> Option<&ExpressionKind> {
        self.setting.values.get(self.next).map(|value| &value.kind)
    }

    /// Consumes the next value. `expected` completes the message "expected … here".
    pub fn take(&mut self, expected: &str) -> Option<&ast::Expression> {
        let Some(value) = self.setting.values.get(self.next) else {
            let end = self.setting.span.end;
            let title = format!("`{}` is incomplete", self.setting.keyword.text);
            self.report(
                Diagnostic::error(Span::new(self.setting.span.start, end), title)
                    .label(format!("expected {expected} here")),
            );
            return None;
        };
        self.next += 1;
        Some(value)
    }

    /// A number. For `--set` to change it even without the line, the line's [`Line::set`] must look
    /// it up by the argument's name.
    ///
    /// [`Line::set`]: super::Line::set
    pub fn number(&mut self, argument: Argument) -> Option<f64> {
        let value = self.take("a number")?.clone();
        let number = self.context.number(&value)?;
        // The number in the file must be in range even if `--set` replaces it.
        self.context
            .in_range(value.span, &argument, number)
            .then_some(number)
    }

    /// A number of a variable, such as `beta.z` in `--set`.
    pub fn number_of(&mut self, argument: Argument, subject: &str) -> Option<f64> {
        let number = self.number(argument)?;
        let name = format!("{}.{subject}", argument.name);
        Some(self.context.set_number(&name, &argument, number))
    }

    /// `weight 10` of a variable, 1 if it is left out; such as `match.r` in `--set`.
    pub fn weight_of(&mut self, argument: Argument, subject: &str) -> Option<f64> {
        if self.keyword("weight")? {
            return self.number_of(argument, subject);
        }
        let name = format!("{}.{subject}", argument.name);
        Some(self.context.set_number(&name, &argument, 1.0))
    }

    /// A name. `expected` describes it in messages.
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
                if let ExpressionKind::Binary(operator, left, right) = kind {
                    diagnostic = diagnostic.help(
                        negative_after(operator, &left.kind, &right.kind, expected).unwrap_or_else(
                            || "an operator joins the values beside it; separate two values by a comma, as in `z, -1`".to_string(),
                        ),
                    );
                }
                self.report(diagnostic);
                None
            }
        }
    }

    /// A variable of the model.
    pub fn variable(&mut self) -> Option<(Name, Id<Variable>)> {
        let name = self.name("a variable")?;
        let id = self.context.lookup(&name)?;
        Some((name, id))
    }

    /// A variable that is not always observed.
    pub fn hidden(&mut self) -> Option<(Name, Id<Variable>)> {
        let (name, id) = self.variable()?;
        let role = self.context.variable(id).role;
        if role != Role::Latent && role != Role::Label {
            let title = format!("`{}` is neither a latent nor a label", name.text);
            let help = format!(
                "`{}` applies to a variable that q infers",
                self.setting.keyword.text
            );
            self.report(
                Diagnostic::error(name.span, title)
                    .label("expected a latent or a label")
                    .help(help),
            );
            return None;
        }
        Some((name, id))
    }

    /// A continuous latent.
    pub fn latent(&mut self) -> Option<(Name, Id<Variable>)> {
        let (name, id) = self.variable()?;
        let variable = self.context.variable(id);
        if variable.role != Role::Latent || variable.domain == Domain::Class {
            let title = format!("`{}` is not a continuous latent", name.text);
            let help = format!(
                "`{}` applies to a continuous `latent`",
                self.setting.keyword.text
            );
            self.report(
                Diagnostic::error(name.span, title)
                    .label("expected a continuous latent")
                    .help(help),
            );
            return None;
        }
        Some((name, id))
    }

    /// One of these words.
    pub fn choice(&mut self, choices: &[&'static str]) -> Option<&'static str> {
        let quoted: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        let name = self.name(&quoted.join(" or "))?;
        let found = choices.iter().find(|choice| **choice == name.text);
        if found.is_none() {
            let title = format!("unexpected `{}`", name.text);
            let mut unknown = Diagnostic::error(name.span, title)
                .label(format!("expected {}", quoted.join(" or ")));
            // For a single choice, the example of the line is the better help.
            if choices.len() > 1 {
                unknown.help = suggest(&name.text, choices.iter().copied());
            }
            self.report(unknown);
        }
        found.copied()
    }

    /// Consumes the next value if it is that word.
    pub fn follows(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(ExpressionKind::Name(name)) if name == word);
        self.next += usize::from(found);
        found
    }

    /// Consumes the next value if it is that word in front of a variable, and not itself a variable
    /// of that name.
    pub fn modifies_variable(&mut self, word: &str) -> bool {
        let is_variable = |name: &str| {
            let mut variables = self.context.variables().iter();
            variables.any(|variable| variable.name == name)
        };
        let after = self.setting.values.get(self.next + 1);
        let before_variable = after.is_some_and(
            |value| matches!(&value.kind, ExpressionKind::Name(name) if is_variable(name)),
        );
        (before_variable || !is_variable(word)) && self.follows(word)
    }

    /// Whether that word follows. Reports any other value; the end of the line is `false`.
    pub fn keyword(&mut self, word: &'static str) -> Option<bool> {
        if self.next == self.setting.values.len() {
            return Some(false);
        }
        self.choice(&[word]).map(|_| true)
    }

    /// A call such as `vat(radius = 2)`; a name alone is a call without arguments.
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
                self.report(Diagnostic::error(
                    value.span,
                    format!("expected {expected}"),
                ));
                None
            }
        }
    }

    /// A label; [`Reader::has_prediction`] checks that q predicts it. `help` describes the
    /// variables to which the line applies.
    pub fn label(&mut self, help: &str) -> Option<(Name, Id<Variable>)> {
        let (name, label) = self.variable()?;
        if self.context.variable(label).role != Role::Label {
            let title = format!("`{}` is not a label", name.text);
            self.report(
                Diagnostic::error(name.span, title)
                    .label("expected a label")
                    .help(help),
            );
            return None;
        }
        Some((name, label))
    }

    /// Reports a label for which q has no class probabilities.
    pub fn has_prediction(&mut self, name: &Name, label: Id<Variable>) -> Option<()> {
        let kind = factor_of(self.context.inference(), label).map(|factor| &factor.kind);
        let predicted = matches!(
            kind,
            Some(FactorKind::Distribution { distribution, .. }) if distribution.has_probabilities()
        );
        if !predicted {
            let title = format!("q does not predict `{}`", name.text);
            let help = format!("let q infer it: `… -> {} ~ categorical(…)`", name.text);
            self.report(Diagnostic::error(name.span, title).help(help));
        }
        predicted.then_some(())
    }

    /// A label or a latent of type `class`. `otherwise` completes the message about any other
    /// variable: "`z` …".
    pub fn class_variable(&mut self, otherwise: &str) -> Option<(Name, Id<Variable>)> {
        let (name, id) = self.variable()?;
        let variable = self.context.variable(id);
        if variable.domain != Domain::Class || !matches!(variable.role, Role::Label | Role::Latent)
        {
            let title = format!("`{}` {otherwise}", name.text);
            let label = "expected a label or a latent of type `class`";
            let keyword = &self.setting.keyword.text;
            let help = format!(
                "`{keyword}` takes a `label` or a `latent` of type `class`; continuous latents need no such line"
            );
            self.report(Diagnostic::error(name.span, title).label(label).help(help));
            return None;
        }
        Some((name, id))
    }

    /// `1 warmup 10 from 3`. `weight` is the name of the first number.
    pub fn ramp(&mut self, weight: &'static str, owner: RampOwner) -> Option<Ramp> {
        let weight = self.ramp_number(weight, owner)?;
        self.ramp_to(weight, owner)
    }

    /// `warmup 10 from 3`, after a weight that has been read. Without `warmup` the weight never
    /// changes; without `from` it starts at 0.
    pub fn ramp_to(&mut self, weight: f64, owner: RampOwner) -> Option<Ramp> {
        let (mut warmup, mut from) = (0.0, 0.0);
        if self.keyword("warmup")? {
            warmup = self.ramp_number("warmup", owner)?;
            if self.keyword("from")? {
                from = self.ramp_number("from", owner)?;
            }
        }
        Some(Ramp {
            weight,
            warmup,
            from,
            span: self.span(),
        })
    }

    fn ramp_number(&mut self, name: &'static str, owner: RampOwner) -> Option<f64> {
        let argument = real(name, 0.0, 1e6);
        let number = self.number(argument)?;
        let set_name = match owner {
            RampOwner::Variable(variable) => format!("{name}.{variable}"),
            RampOwner::Line(keyword) => {
                let set_name = format!("{keyword}.{name}");
                // Earlier versions had the names of variables here. Stored runs may use them.
                let mut variables = self.context.variables().iter();
                if !variables.any(|variable| variable.name == keyword) {
                    let former = format!("{name}.{keyword}");
                    self.context.rename_set(&former, &set_name);
                }
                set_name
            }
        };
        Some(self.context.set_number(&set_name, &argument, number))
    }

    /// Reports a value that is left over.
    pub fn end(&mut self) -> Option<()> {
        let Some(extra) = self.setting.values.get(self.next) else {
            return Some(());
        };
        let title = format!("`{}` has too many values", self.setting.keyword.text);
        self.context
            .report(Diagnostic::error(extra.span, title).label("unexpected value"));
        None
    }
}
