//! What a line asks of the checker that reads it.

use crate::{
    diagnostic::{Diagnostic, Span},
    id::Id,
    layer::Argument,
    model::{Factor, Network, Variable},
    syntax::ast::{ArgumentValue, Call, Expression, Name},
};

/// The model around a line: its variables, sizes, nets and both graphs, and the overrides of
/// `--set`. The checker implements it. Where a method gives `None`, it has reported why.
pub trait LineContext {
    /// Adds a report; errors refuse the model.
    fn report(&mut self, diagnostic: Diagnostic);

    /// The variables of the model.
    fn variables(&self) -> &[Variable];

    /// The factors of p, parents before children.
    fn generative(&self) -> &[Factor];

    /// The factors of q, parents before children.
    fn inference(&self) -> &[Factor];

    /// The variable of that name.
    fn lookup(&mut self, name: &Name) -> Option<Id<Variable>>;

    /// The value of arithmetic over numbers and sizes.
    fn number(&mut self, expression: &Expression) -> Option<f64>;

    /// Reports a number outside the argument's range.
    fn in_range(&mut self, span: Span, argument: &Argument, value: f64) -> bool;

    /// The values of a call's arguments, in the order of `arguments`, defaults filled in. `what`
    /// names the kind of thing that is called, for messages: `optimizer`.
    fn arguments(&mut self, call: &Call, arguments: &[Argument], what: &str) -> Option<Vec<f64>>;

    /// The number of `--set NAME=…` if there is one in the argument's range, else `written`.
    fn set(&mut self, name: &str, argument: &Argument, written: Option<f64>) -> Option<f64>;

    /// Gives a name that is not a declared size a value in the arithmetic of lines that follow.
    fn define(&mut self, name: &str, value: f64);

    /// Whether an argument is a network, by name or written out.
    fn is_network(&self, value: &ArgumentValue) -> bool;

    /// The network of such an argument on these parents, checked to fit them.
    fn network(
        &mut self,
        value: &ArgumentValue,
        parents: &[Id<Variable>],
        span: Span,
    ) -> Option<Network>;

    /// The variable of that number.
    fn variable(&self, id: Id<Variable>) -> &Variable {
        &self.variables()[id.index()]
    }

    /// Whether the model has a label, so that its rows are of two cases.
    fn has_labels(&self) -> bool;

    /// The same as [`LineContext::set`], for a number that has a value.
    fn set_number(&mut self, name: &str, argument: &Argument, written: f64) -> f64 {
        self.set(name, argument, Some(written)).unwrap_or(written)
    }
}
