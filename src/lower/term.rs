//! Lowers the terms of a bound to entries.

use super::{
    case::Case,
    choice,
    entry::{Entry, total},
};
use crate::{
    bound::{FactorId, Term},
    names::TermName,
    tensor::Axes,
};

/// The entries whose sum is a term, each averaged over the draws around it.
pub(super) fn entries(case: &mut Case, term: &Term) -> Vec<Entry> {
    match term {
        Term::LogProb(id) => {
            let density = case.log_prob(*id);
            vec![Entry::new(TermName::LogP(child(case, *id)), density)]
        }
        Term::NegativeLogProb(id) => {
            let density = case.log_prob_of_draw(*id);
            let negative = case.builder.graph.neg(density);
            let negative = case.where_unknown(id.factor(case.model).child, negative);
            vec![Entry::new(TermName::NegLogQ(child(case, *id)), negative)]
        }
        Term::NegativeKl { q, p } => {
            let name = TermName::NegKl(child(case, *q));
            vec![Entry::new(name, case.negative_kl(*q, *p))]
        }
        Term::Sum(terms) => terms.iter().flat_map(|term| entries(case, term)).collect(),
        Term::Expect { factor, body } => choice::with_samples(case, |case| {
            case.draw(*factor);
            entries(case, body)
        }),
        Term::Enumerate { factor, body } => {
            choice::enumerate(case, *factor, |case| entries(case, body))
        }
        Term::EnumerateMean { factor, body } => {
            choice::enumerate_mean(case, *factor, |case| entries(case, body))
        }
        Term::Choose { factor, body } => choice::choose(case, *factor, |case| entries(case, body)),
        Term::LogMeanExp { order, body } => {
            choice::log_mean_exp(case, *order, |case| entries(case, body))
        }
        Term::LogSumExp { variable, body } => {
            let entries = entries(case, body);
            let weight = total(case.builder.graph, &entries);
            let weight = case.only_known(*variable, weight);
            let variable = case.variable(*variable);
            let class = Axes::from(case.builder.class_axis(variable));
            let sum = case.builder.graph.log_sum_exp(weight, &class);
            vec![Entry::new(TermName::LogWeight, sum)]
        }
    }
}

/// The name of a factor's child.
fn child(case: &Case, id: FactorId) -> String {
    case.variable(id.factor(case.model).child).name.clone()
}
