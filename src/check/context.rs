//! The state that all steps of the check share: the model as read so far, and the diagnostics.
//!
//! Every other file of the folder imports this one; it imports only `sets`.

use super::sets::Sets;
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    id::Id,
    layer::Argument,
    model::{Edition, Factor, Variable},
    syntax::ast::{self, Arrow, Expression, ExpressionKind, Name},
};
use std::collections::{BTreeMap, BTreeSet};

/// The most mistakes, and the most warnings, that are reported for one model.
pub(super) const MOST_REPORTED: usize = 100;

/// The model as read so far, and the diagnostics so far.
pub(super) struct Checker<'a> {
    pub source: &'a str,
    /// The span of the model's name.
    pub name: Span,
    pub edition: Edition,
    pub diagnostics: Vec<Diagnostic>,
    /// Whether mistakes beyond the first [`MOST_REPORTED`] were dropped.
    pub omits: bool,
    /// Whether the model is too large to be checked further.
    pub stops: bool,
    pub sets: Sets,
    /// The values of sizes by name.
    pub sizes: BTreeMap<String, f64>,
    /// Numbers that lines define for the arithmetic of other lines, such as `epochs`. A size hides
    /// one of the same name.
    pub defined: BTreeMap<&'static str, f64>,
    /// The sizes of the file, in source order, and their places by name.
    pub declared_sizes: Vec<Name>,
    pub size_places: BTreeMap<String, Span>,
    pub used_sizes: BTreeSet<String>,
    pub variables: Vec<Variable>,
    pub nets: BTreeMap<String, (Span, Vec<ast::NetworkPart>)>,
    pub used_nets: BTreeSet<String>,
    /// Variables of an unknown type, whose distributions cannot be checked.
    pub untyped: BTreeSet<String>,
    /// Parts that were visited to expand the networks so far.
    pub expansions: usize,
    /// The factors of p, parents before children; empty until the graphs have been checked.
    pub generative: Vec<Factor>,
    /// The factors of q, likewise.
    pub inference: Vec<Factor>,
}

impl<'a> Checker<'a> {
    pub fn new(source: &'a str, name: Span, sets: &[(String, String)]) -> Self {
        Checker {
            source,
            name,
            edition: Edition::LATEST,
            diagnostics: Vec::new(),
            omits: false,
            stops: false,
            sets: Sets::new(sets),
            sizes: BTreeMap::new(),
            defined: BTreeMap::new(),
            declared_sizes: Vec::new(),
            size_places: BTreeMap::new(),
            used_sizes: BTreeSet::new(),
            variables: Vec::new(),
            nets: BTreeMap::new(),
            used_nets: BTreeSet::new(),
            untyped: BTreeSet::new(),
            expansions: 0,
            generative: Vec::new(),
            inference: Vec::new(),
        }
    }

    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// Adds a diagnostic. A net that is used several times reports the same mistakes each time, so
    /// equal ones are added once. After [`MOST_REPORTED`] of its severity it is dropped.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        let alike = self.diagnostics.iter();
        let alike = alike.filter(|other| other.severity == diagnostic.severity);
        if alike.count() >= MOST_REPORTED {
            self.omits |= diagnostic.is_error();
        } else if !self.diagnostics.contains(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Whether the rest of the model need not be checked: there are as many mistakes as are reported,
    /// or the model is too large.
    pub fn is_full(&self) -> bool {
        self.omits || self.stops
    }

    pub fn line(&self, span: Span) -> usize {
        self.source[..span.start].matches('\n').count() + 1
    }

    pub fn find(&self, name: &str) -> Option<Id<Variable>> {
        self.variables
            .iter()
            .position(|variable| variable.name == name)
            .map(Id::new)
    }

    pub fn variable(&self, id: Id<Variable>) -> &Variable {
        &self.variables[id.index()]
    }

    /// Finds a variable by name; reports an unknown name.
    pub fn lookup(&mut self, name: &Name) -> Option<Id<Variable>> {
        let found = self.find(&name.text);
        if found.is_none() {
            let help = suggest(
                &name.text,
                self.variables.iter().map(|variable| variable.name.as_str()),
            );
            let help = help
                .unwrap_or_else(|| "declare a variable first: `latent z: real[10]`".to_string());
            self.report(
                Diagnostic::error(name.span, format!("unknown variable `{}`", name.text))
                    .label("not declared in this model")
                    .help(help),
            );
        }
        found
    }

    /// The value of arithmetic over numbers and sizes. Reports mistakes, and then returns `None`.
    pub fn number(&mut self, expression: &Expression) -> Option<f64> {
        match &expression.kind {
            ExpressionKind::Number(number) => Some(*number),
            ExpressionKind::Name(name) => {
                let defined = self.defined.get(name.as_str());
                let value = self.sizes.get(name).or(defined).copied();
                self.used_sizes.insert(name.clone());
                if value.is_none() {
                    let sizes = self.sizes.keys().map(String::as_str);
                    let help = suggest(name, sizes.chain(self.defined.keys().copied()));
                    let help = help.unwrap_or_else(|| format!("declare it: `size {name} = 10`"));
                    self.report(
                        Diagnostic::error(expression.span, format!("unknown size `{name}`"))
                            .label("not declared above")
                            .help(help),
                    );
                }
                value
            }
            ExpressionKind::Call(call) => {
                let title = format!("`{}(…)` is not a number", call.name.text);
                let help = "write arithmetic over numbers and sizes: `2 * hidden`";
                self.report(
                    Diagnostic::error(expression.span, title)
                        .label("expected a number")
                        .help(help),
                );
                None
            }
            ExpressionKind::Binary(operator, left, right) => {
                let (left, right) = (self.number(left), self.number(right));
                let (left, right) = (left?, right?);
                Some(operator.apply(left, right))
            }
        }
    }

    /// The number of `--set NAME=…` if it is given and in the argument's range, else `written`, the
    /// number in the file.
    pub fn set(&mut self, name: &str, argument: &Argument, written: Option<f64>) -> Option<f64> {
        let given = self.sets.given(name).map(str::to_string);
        match (self.sets.number(name, written), given) {
            (Ok(Some(number)), Some(text)) if !argument.holds(number) => {
                let title = format!("`--set {name}={text}`: {}", argument.expected());
                self.report_set(name, title, written.or(argument.default));
                written
            }
            (Ok(number), _) => number.or(written),
            (Err(message), _) => {
                self.report_set(name, message, written.or(argument.default));
                written
            }
        }
    }

    /// Reports a mistake in `--set NAME=…`. The way out is an example with a number that is right.
    pub fn report_set(&mut self, name: &str, title: String, right: Option<f64>) {
        let example = right.filter(|number| number.is_finite()).map_or_else(
            || "NUMBER".to_string(),
            |number| match number {
                small if small != 0.0 && small.abs() < 1e-3 => format!("{small:e}"),
                number => number.to_string(),
            },
        );
        let help = format!("for example: --set {name}={example}");
        self.report(Diagnostic::error(Span::default(), title).help(help));
    }

    /// Whether a number is in an argument's range; reports one that is not.
    pub fn in_range(&mut self, span: Span, argument: &Argument, value: f64) -> bool {
        if argument.holds(value) {
            return true;
        }
        self.report(
            Diagnostic::error(span, format!("`{}` is out of range", argument.name))
                .label(format!("{}, found {value}", argument.expected())),
        );
        false
    }

    /// Reports that an arrow has parents on which its child does not depend.
    pub fn unused_parents(&mut self, arrow: &Arrow, label: &str, help: &str) {
        let title = format!("the parents of `{}` are not used", arrow.child.text);
        self.report(Diagnostic::error(arrow.span, title).label(label).help(help));
    }
}
