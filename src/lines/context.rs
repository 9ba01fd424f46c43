//! The interface through which a line uses the checker.

use crate::{
    diagnostic::{Diagnostic, Span},
    id::Id,
    layer::Argument,
    model::{Edition, Factor, Network, Variable},
    syntax::ast::{ArgumentValue, Call, Expression, Name},
};

/// The model that contains a line: its variables, sizes, nets and both graphs, and the overrides of
/// `--set`. The checker implements it. A method that returns `None` has reported the mistake.
pub trait LineContext {
    /// Adds a diagnostic; an error rejects the model.
    fn report(&mut self, diagnostic: Diagnostic);

    /// The edition of the language.
    fn edition(&self) -> Edition;

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

    /// Whether a number is in the argument's range; reports one that is not.
    fn in_range(&mut self, span: Span, argument: &Argument, value: f64) -> bool;

    /// The values of a call's arguments, in the order of `arguments`, with defaults filled in.
    /// `what` names the kind of callee in messages: `optimizer`.
    fn arguments(&mut self, call: &Call, arguments: &[Argument], what: &str) -> Option<Vec<f64>>;

    /// The number of `--set NAME=…` if it is given and in the argument's range, else `written`, the
    /// number in the file.
    fn set(&mut self, name: &str, argument: &Argument, written: Option<f64>) -> Option<f64>;

    /// Gives `--set FORMER=…` the meaning of `--set NAME=…`.
    fn rename_set(&mut self, former: &str, name: &str);

    /// Whether the model has a size of that name. It hides any number of dgc with that name.
    fn is_size(&self, name: &str) -> bool;

    /// Defines a name for the arithmetic of later lines, unless a size has that name.
    fn define(&mut self, name: &'static str, value: f64);

    /// Whether an argument is a network, either inline or the name of a net.
    fn is_network(&self, value: &ArgumentValue) -> bool;

    /// The network of such an argument, checked to fit these parents.
    fn network(
        &mut self,
        value: &ArgumentValue,
        parents: &[Id<Variable>],
        span: Span,
    ) -> Option<Network>;

    /// The variable with that id.
    fn variable(&self, id: Id<Variable>) -> &Variable {
        &self.variables()[id.index()]
    }

    /// Whether the model has a label, so that its rows are labelled or unlabelled.
    fn has_labels(&self) -> bool;

    /// [`LineContext::set`] for a number that always has a value.
    fn set_number(&mut self, name: &str, argument: &Argument, written: f64) -> f64 {
        self.set(name, argument, Some(written)).unwrap_or(written)
    }
}
