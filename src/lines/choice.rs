//! `relax y by gumbel(temperature = 0.5)`, `score y by leave_one_out`, `top y 3`: the estimator
//! that draws a class variable where it is not observed. [`crate::estimator`] is the registry of
//! estimators.

use super::{Block, Draft, Line, LineContext, Reader, closed_form};
use crate::{
    diagnostic::Diagnostic,
    estimator::{self, ESTIMATORS, Estimator},
    id::Id,
    model::{BoundKind, Discrete, Factor, FactorKind, Network, Variable, factor_of},
    syntax::ast::{Call, Name},
};

/// A line that chooses an estimator, for one of the keywords `relax`, `score` and `top`.
#[derive(Debug)]
pub struct EstimatorLine {
    keyword: &'static str,
    example: &'static str,
    summary: &'static str,
    /// How the line names the estimator.
    form: Form,
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// `by NAME(ARGUMENTS)`.
    ByName,
    /// A number: the only estimator of the keyword has the keyword's name and one argument.
    Count,
}

pub const RELAX: EstimatorLine = EstimatorLine {
    keyword: "relax",
    example: "relax y by gumbel(temperature = 0.5)",
    summary: "draws a relaxed one-hot sample of a class variable",
    form: Form::ByName,
};

pub const SCORE: EstimatorLine = EstimatorLine {
    keyword: "score",
    example: "score y by leave_one_out",
    summary: "draws a class, and uses the score-function gradient",
    form: Form::ByName,
};

pub const TOP: EstimatorLine = EstimatorLine {
    keyword: "top",
    example: "top y 3",
    summary: "sums over the most probable classes, and draws one of the others",
    form: Form::Count,
};

impl Line for EstimatorLine {
    fn keyword(&self) -> &'static str {
        self.keyword
    }

    fn block(&self) -> Block {
        Block::Objective
    }

    fn example(&self, _: bool) -> &'static str {
        self.example
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn repeats(&self) -> bool {
        true
    }

    fn is_about_bound(&self) -> bool {
        true
    }

    fn treats_class(&self) -> bool {
        true
    }

    fn parse(&self, reader: &mut Reader, draft: &mut Draft) -> Option<()> {
        let (name, variable) = reader.class_variable("is not a class variable of the model")?;
        let Chosen {
            estimator,
            mut arguments,
            network,
        } = match self.form {
            Form::ByName => self.by_name(reader, &name, variable)?,
            Form::Count => self.count(reader)?,
        };
        for (argument, value) in estimator.arguments().iter().zip(&mut arguments) {
            let key = match self.form {
                Form::ByName => argument.name,
                Form::Count => &name.text,
            };
            let key = format!("{}.{key}", self.keyword);
            *value = reader.context.set_number(&key, argument, *value);
        }
        if self.form == Form::Count {
            leaves_a_class(reader, &name, variable, arguments[0])?;
        }
        let (p, q) = (reader.context.generative(), reader.context.inference());
        draft.objective.drawn.push(Discrete {
            variable,
            estimator,
            arguments,
            network,
            closed: closed_form::exists(p, q, variable),
            span: reader.span(),
        });
        Some(())
    }

    /// Checks that each estimator fits the bound and q, and has enough samples.
    fn check(&self, context: &mut dyn LineContext, draft: &Draft) {
        let drawn = draft.objective.drawn.iter();
        for discrete in drawn.filter(|discrete| discrete.estimator.keyword() == self.keyword) {
            let name = context.variable(discrete.variable).name.clone();
            let mistakes = [
                too_few_samples(draft, discrete, &name),
                nothing_to_learn(context.inference(), discrete, &name),
                conflicts_with_free_bits(draft, discrete),
                needs_other_bound(draft, discrete, &name),
            ];
            for (title, help) in mistakes.into_iter().flatten() {
                context.report(Diagnostic::error(discrete.span, title).help(help));
            }
        }
    }
}

/// The estimator that a line chooses.
struct Chosen {
    estimator: &'static dyn Estimator,
    arguments: Vec<f64>,
    /// The network of a learned baseline.
    network: Option<Network>,
}

impl EstimatorLine {
    /// `by learned(body)`.
    fn by_name(&self, reader: &mut Reader, name: &Name, variable: Id<Variable>) -> Option<Chosen> {
        reader.choice(&["by"])?;
        let call = reader.call("an estimator such as `gumbel(temperature = 0.5)`")?;
        let Some(estimator) = estimator::find(self.keyword, &call.name.text) else {
            self.unknown(reader, name, &call);
            return None;
        };
        if estimator.takes_network() {
            return Some(Chosen {
                estimator,
                arguments: Vec::new(),
                network: Some(baseline(reader, &call, variable)?),
            });
        }
        let arguments = estimator.arguments();
        Some(Chosen {
            estimator,
            arguments: reader.context.arguments(&call, arguments, "estimator")?,
            network: None,
        })
    }

    /// The number after `top y`.
    fn count(&self, reader: &mut Reader) -> Option<Chosen> {
        let estimator = estimator::find(self.keyword, self.keyword).expect("the registry has it");
        Some(Chosen {
            estimator,
            arguments: vec![reader.number(estimator.arguments()[0])?],
            network: None,
        })
    }

    /// Reports that the keyword has no such estimator; suggests another keyword that has it.
    fn unknown(&self, reader: &mut Reader, name: &Name, call: &Call) {
        let called = &call.name;
        let other = ESTIMATORS
            .iter()
            .find(|estimator| estimator.name() == called.text);
        let Some(other) = other else {
            let fitting = ESTIMATORS
                .iter()
                .filter(|estimator| estimator.keyword() == self.keyword);
            reader.unknown(called, "estimator", fitting.map(|fitting| fitting.name()));
            return;
        };
        let (keyword, other) = (other.keyword(), other.name());
        reader.report(
            Diagnostic::error(called.span, format!("unknown estimator `{}`", called.text))
                .label(format!("no such estimator for `{}`", self.keyword))
                .help(format!("write `{keyword} {} by {other}`", name.text)),
        );
    }
}

/// The network of a learned baseline, on the parents of q.
fn baseline(reader: &mut Reader, call: &Call, variable: Id<Variable>) -> Option<Network> {
    let parents = factor_of(reader.context.inference(), variable)?
        .parents
        .clone();
    match call.arguments.as_slice() {
        [only] if only.name.is_none() && reader.context.is_network(&only.value) => {
            reader.context.network(&only.value, &parents, call.span)
        }
        _ => {
            let title = format!("`{}` takes one network", call.name.text);
            let help = format!("write one network: `{}(body)`", call.name.text);
            reader.report(Diagnostic::error(call.span, title).help(help));
            None
        }
    }
}

/// Checks that the sum leaves at least one class to draw.
fn leaves_a_class(
    reader: &mut Reader,
    name: &Name,
    variable: Id<Variable>,
    count: f64,
) -> Option<()> {
    let classes = reader.context.variable(variable).size() as f64;
    if count < classes {
        return Some(());
    }
    let title = format!(
        "`{}` has {classes} classes, and the sum is over {count}",
        name.text
    );
    let help = format!("write `sum {}`, or a number below {classes}", name.text);
    let span = reader.span();
    reader.report(
        Diagnostic::error(span, title)
            .label("no class is left to draw")
            .help(help),
    );
    None
}

/// The title and help of a mistake.
type Mistake = (String, String);

fn too_few_samples(draft: &Draft, discrete: &Discrete, name: &str) -> Option<Mistake> {
    let needs = discrete.estimator.least_samples();
    (draft.objective.samples < needs).then(|| {
        (
            format!(
                "`{}` needs at least {needs} samples",
                discrete.estimator.name()
            ),
            format!("write `samples {needs}` or more, or `score {name} by learned(…)`"),
        )
    })
}

fn nothing_to_learn(inference: &[Factor], discrete: &Discrete, name: &str) -> Option<Mistake> {
    let kind = &factor_of(inference, discrete.variable)?.kind;
    let FactorKind::Distribution { distribution, .. } = kind else {
        return None;
    };
    (!distribution.has_probabilities()).then(|| {
        (
            format!("q of `{name}` has no parameters to learn"),
            format!("let q infer it: `… -> {name} ~ categorical(…)`, or write `sum {name}`"),
        )
    })
}

/// Free bits limit the mean over rows, but an estimator that reads the learning signal needs the
/// bound of each row.
fn conflicts_with_free_bits(draft: &Draft, discrete: &Discrete) -> Option<Mistake> {
    let estimator = discrete.estimator;
    (estimator.reads_learning_signal() && !draft.objective.free_bits.is_empty()).then(|| {
        (
            format!(
                "`{}` needs the bound of each row, but `free_bits` limits the mean over rows",
                estimator.keyword()
            ),
            "remove the `free_bits` line, or use `relax` or `sum` for the variable".to_string(),
        )
    })
}

fn needs_other_bound(draft: &Draft, discrete: &Discrete, name: &str) -> Option<Mistake> {
    let estimator = discrete.estimator;
    let unfit =
        !estimator.fits_importance_weights() && draft.objective.bound != BoundKind::Evidence;
    unfit.then(|| {
        (
            format!(
                "the importance-weighted bound does not support `{}`",
                estimator.name()
            ),
            format!(
                "write `score {name} by leave_one_out`, `relax {name} by gumbel` or `sum {name}`"
            ),
        )
    })
}
