//! The networks that the rows of all cases pass through together.
//!
//! From edition 2 on, labelled and unlabelled rows pass together through every network that does not
//! depend on a label. Batch norm then normalises both by the same statistics, which are those that
//! the running averages approach. A network depends on a label if it reads the label, or a variable
//! that depends on it. A class that an estimator draws counts as a label here, because it is drawn
//! for each case.

use super::builder::Rows;
use crate::{
    bound::{self, Bounds, FactorId},
    id::Id,
    model::{Edition, Model, Side, Variable},
    names::CaseKind,
    tensor::Graph,
};

/// The rows of all cases, and the factors whose networks read them together.
#[derive(Debug)]
pub(super) struct Joint {
    /// The rows of all cases.
    pub rows: Rows,
    /// The variables that every case observes.
    pub observed: Vec<Id<Variable>>,
    /// The factors of q, in order, and then those of p.
    pub factors: Vec<FactorId>,
}

impl Joint {
    /// None if the model's edition keeps cases apart, or if one case has all rows.
    pub fn new(graph: &mut Graph, model: &Model, bounds: &Bounds, rows: &[usize]) -> Option<Self> {
        let cases: Vec<(CaseKind, usize)> = bounds
            .cases
            .iter()
            .zip(rows)
            .map(|(case, &rows)| (case.kind, rows))
            .filter(|(_, rows)| *rows > 0)
            .collect();
        if model.edition < Edition::Two || cases.len() < 2 {
            return None;
        }
        let dependent = model.dependent_on_case();
        let sides = [Side::Inference, Side::Generative].into_iter();
        let factors = sides
            .flat_map(|side| bound::factors(model, side))
            .filter(|(_, factor)| !factor.reads_any(&dependent))
            .map(|(id, _)| id);
        Some(Joint {
            rows: Rows::joint(graph, &cases),
            observed: model.always_observed(),
            factors: factors.collect(),
        })
    }

    /// Whether the rows of all cases pass together through the network of a variable's factor, that
    /// of q if there is one. Data and given variables have no network in q, and are observed in every
    /// case.
    pub fn shares(&self, model: &Model, variable: Id<Variable>) -> bool {
        if model.variables[variable.index()].role.is_always_observed() {
            return true;
        }
        let mut sides = [Side::Inference, Side::Generative].into_iter();
        let factor = sides.find_map(|side| {
            let mut factors = bound::factors(model, side);
            factors.find(|(_, factor)| factor.child == variable)
        });
        factor.is_some_and(|(id, _)| self.factors.contains(&id))
    }
}
