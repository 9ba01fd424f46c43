//! The lines of `objective` and `train`.

use super::{
    Batch, Beta, Bound, Classify, Decay, Discrete, Factor, FactorKind, Heads, Initialize, Network,
    Objective, Role, Schedule, Train, Variable,
    check::{Checker, factor_of},
    estimators,
    factors::closed_form_is_exact,
    network::{arguments_of, layers_of, network},
    ramp,
    reader::{Reader, real, set_number, whole},
    shapes,
};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    distribution::{Distribution, Domain},
    estimator::{self, ESTIMATORS},
    id::Id,
    layer::Argument,
    optimizer::{self, OPTIMIZERS},
    syntax::ast::{Call, ExpressionKind, File, Item, Name, Setting},
};

const OBJECTIVE: &[&str] = &[
    "samples",
    "bound",
    "sum",
    "relax",
    "score",
    "top",
    "classify",
    "smooth",
    "inform",
    "match",
    "labelled",
    "beta",
    "free_bits",
    "analytic",
];
const EPOCHS: Argument = whole("epochs", 0.0, 1e7);
/// Those that are about the bound, which a classifier has none of.
const OF_BOUND: &[&str] = &[
    "samples",
    "bound",
    "sum",
    "relax",
    "score",
    "top",
    "beta",
    "free_bits",
    "analytic",
];
const TRAIN: &[&str] = &[
    "batch",
    "optimizer",
    "schedule",
    "clip",
    "prior",
    "initialize",
    "epochs",
];

pub(super) fn check(
    checker: &mut Checker,
    tree: &File,
    p: &[Factor],
    q: &[Factor],
) -> (Objective, Train) {
    let mut objective = Objective {
        samples: 1,
        bound: Bound::Evidence,
        sums: Vec::new(),
        drawn: Vec::new(),
        classify: Vec::new(),
        smooth: Vec::new(),
        inform: Vec::new(),
        matches: Vec::new(),
        labelled: None,
        betas: Vec::new(),
        free_bits: Vec::new(),
        analytic: Vec::new(),
    };
    let labels = checker
        .variables
        .iter()
        .any(|variable| variable.role == Role::Label);
    let adam = optimizer::find("adam").expect("the registry has Adam");
    let mut train = Train {
        batch: if labels {
            Batch::Cases {
                labelled: 100,
                unlabelled: 100,
            }
        } else {
            Batch::All(100)
        },
        optimizer: adam,
        optimizer_arguments: adam
            .arguments()
            .iter()
            .filter_map(|argument| argument.default)
            .collect(),
        schedule: Schedule {
            decay: Decay::Constant,
            warmup: 0.0,
        },
        clip_norm: None,
        clip_value: None,
        weight_prior: None,
        initialize: Initialize::Glorot,
        epochs: 100,
    };
    // Arrows with a mistake are missing in p too.
    let classifier = p.is_empty() && !checker.diagnostics.iter().any(Diagnostic::is_error);
    let mut seen: Vec<(String, Span)> = Vec::new();
    let blocks = tree.items.iter().filter_map(|item| match item {
        Item::Settings { keyword, settings } => {
            Some(settings.iter().map(move |setting| (keyword, setting)))
        }
        _ => None,
    });
    let mut lines: Vec<(&Name, &Setting)> = blocks.flatten().collect();
    lines.sort_by_key(|(_, setting)| setting.keyword.text != "epochs");
    let others = lines
        .iter()
        .filter(|(_, setting)| setting.keyword.text == "epochs")
        .count();
    for (number, &(keyword, setting)) in lines.iter().enumerate() {
        if number == others {
            name_epochs(checker, &mut train);
        }
        let known = if keyword.text == "objective" {
            OBJECTIVE
        } else {
            TRAIN
        };
        let name = &setting.keyword;
        if !known.contains(&name.text.as_str()) {
            let title = format!("unknown setting `{}` in `{}`", name.text, keyword.text);
            let mut unknown =
                Diagnostic::error(name.span, title).label("not a setting of this block");
            unknown.help = suggest(&name.text, known.iter().copied());
            checker.report(unknown);
            continue;
        }
        let subject = setting
            .values
            .first()
            .map_or("", |value| &checker.source[value.span.range()])
            .to_string();
        let once = [
            "samples",
            "bound",
            "labelled",
            "batch",
            "optimizer",
            "schedule",
            "prior",
            "initialize",
            "epochs",
        ];
        let repeats = !once.contains(&name.text.as_str());
        let key = if repeats {
            format!("{} {subject}", name.text)
        } else {
            name.text.clone()
        };
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == key) {
            let twice = Diagnostic::error(setting.span, format!("`{key}` is set twice"))
                .label("set again here")
                .note(*first, "first set here");
            checker.report(twice.help("keep one of the two"));
            continue;
        }
        seen.push((key, setting.span));
        if classifier && OF_BOUND.contains(&name.text.as_str()) {
            let title = format!("a classifier has no bound, so `{}` says nothing", name.text);
            let help = "remove the line, or draw the data in `generative`";
            checker.report(Diagnostic::error(setting.span, title).help(help));
            continue;
        }
        let known = checker.diagnostics.len();
        let mut reader = Reader {
            checker,
            setting,
            next: 0,
        };
        match keyword.text.as_str() {
            "objective" => reader.objective(&mut objective, p, q),
            _ => reader.train(&mut train, labels),
        };
        for mistake in checker.diagnostics[known..]
            .iter_mut()
            .filter(|mistake| mistake.help.is_none())
        {
            mistake.help = Some(format!("write it as `{}`", example(&name.text, labels)));
        }
    }
    if others == lines.len() {
        name_epochs(checker, &mut train);
    }
    // A line that has a mistake says what is meant for its variable all the same.
    let treated = seen.iter().filter_map(|(key, _)| key.split_once(' '));
    let treated = treated.filter(|(keyword, _)| ["sum", "relax", "score", "top"].contains(keyword));
    let treated: Vec<&str> = treated.map(|(_, variable)| variable).collect();
    finish(checker, &mut objective, &mut train, (p, q), &treated);
    (objective, train)
}

/// The number of epochs as it is said or set, which arithmetic of the other lines may name.
fn name_epochs(checker: &mut Checker, train: &mut Train) {
    train.epochs = set_number(checker, "epochs", &EPOCHS, train.epochs as f64) as usize;
    checker
        .sizes
        .entry("epochs".to_string())
        .or_insert(train.epochs as f64);
}

/// A setting as it may be written.
fn example(setting: &str, labels: bool) -> &'static str {
    match setting {
        "samples" => "samples 5",
        "bound" => "bound importance",
        "sum" => "sum y",
        "relax" => "relax y by gumbel(temperature = 0.5)",
        "score" => "score y by leave_one_out",
        "top" => "top y 3",
        "classify" => "classify y weight 0.1 * rows / labelled",
        "smooth" => "smooth y by vat(radius = 2, weight = 1) warmup 10 from 5",
        "inform" => "inform y weight 1",
        "match" => "match r to clean h weight 10",
        "labelled" => "labelled 0.01 warmup 10 from 1",
        "beta" => "beta z 1 warmup 10 from 3",
        "free_bits" => "free_bits z 0.5",
        "analytic" => "analytic z",
        "batch" if labels => "batch labelled 100, unlabelled 100",
        "batch" => "batch 100",
        "optimizer" => "optimizer adam(rate = 3e-4)",
        "schedule" => "schedule cosine(floor = 0) warmup 1",
        "clip" => "clip norm 5",
        "prior" => "prior weights normal(0, 1)",
        "initialize" => "initialize glorot",
        _ => "epochs 200",
    }
}

impl Reader<'_, '_, '_> {
    fn objective(&mut self, objective: &mut Objective, p: &[Factor], q: &[Factor]) -> Option<()> {
        match self.setting.keyword.text.as_str() {
            "samples" => {
                objective.samples = self.number(whole("samples", 1.0, 100_000.0))? as usize
            }
            "bound" => objective.bound = self.bound()?,
            "sum" => objective
                .sums
                .push(self.discrete("cannot be summed over")?.1),
            "relax" | "score" | "top" => {
                let drawn = self.drawn(p, q)?;
                objective.drawn.push(drawn);
            }
            "classify" => {
                let (_, label) = self.inferred_label(
                    "`classify` adds the cross-entropy of a `label` that q infers",
                )?;
                let weight = self.weight()?;
                objective.classify.push(Classify {
                    label,
                    weight,
                    span: self.setting.span,
                });
            }
            "smooth" => {
                let smooth = self.smooth(q)?;
                objective.smooth.push(smooth);
            }
            "inform" => {
                let inform = self.informed(q)?;
                objective.inform.push(inform);
            }
            "match" => {
                let line = self.matched(p, q)?;
                objective.matches.push(line);
            }
            "labelled" => objective.labelled = Some(self.labelled(p)?),
            "beta" => {
                let (name, variable) = self.hidden()?;
                let ramp = self.ramp("beta", &name.text)?;
                objective.betas.push(Beta { variable, ramp });
            }
            "free_bits" => {
                let (name, latent) = self.latent()?;
                objective.free_bits.push((
                    latent,
                    self.number_of(real("free_bits", 0.0, 1e6), &name.text)?,
                ));
            }
            _ => {
                let (name, latent) = self.latent()?;
                self.analytic(&name, latent, p, q)?;
                objective.analytic.push(latent);
            }
        }
        self.end()
    }

    fn train(&mut self, train: &mut Train, labels: bool) -> Option<()> {
        match self.setting.keyword.text.as_str() {
            "batch" => train.batch = self.batch(labels)?,
            "epochs" => train.epochs = self.number(EPOCHS)? as usize,
            "optimizer" => {
                let call = self.call("an optimiser such as `adam(rate = 3e-4)`")?;
                let Some(optimizer) = optimizer::find(&call.name.text) else {
                    self.unknown(
                        &call.name,
                        "optimizer",
                        OPTIMIZERS.iter().map(|known| known.name()),
                    );
                    return None;
                };
                train.optimizer_arguments =
                    arguments_of(self.checker, &call, optimizer.arguments(), "optimizer")?;
                train.optimizer = optimizer;
            }
            "schedule" => train.schedule = self.schedule()?,
            "clip" => match self.choice(&["norm", "value"])? {
                "norm" => train.clip_norm = Some(self.number(real("clip.norm", 1e-12, 1e12))?),
                _ => train.clip_value = Some(self.number(real("clip.value", 1e-12, 1e12))?),
            },
            "prior" => {
                self.choice(&["weights"])?;
                train.weight_prior = Some(self.centred("prior")?);
            }
            _ => {
                let call = self.call("`glorot`, `he` or `normal(0.01)`")?;
                train.initialize = match call.name.text.as_str() {
                    "glorot" => Initialize::Glorot,
                    "he" => Initialize::He,
                    "normal" => Initialize::Normal(
                        arguments_of(
                            self.checker,
                            &call,
                            &[real("scale", 0.0, 1e3)],
                            "initialisation",
                        )?[0],
                    ),
                    _ => {
                        self.unknown(&call.name, "initialisation", ["glorot", "he", "normal"]);
                        return None;
                    }
                };
            }
        }
        self.end()
    }

    pub(super) fn inferred_label(&mut self, help: &str) -> Option<(Name, Id<Variable>)> {
        let (name, label) = self.variable()?;
        if self.checker.variable(label).role != Role::Label {
            let title = format!("`{}` is not a label", name.text);
            self.checker.report(
                Diagnostic::error(name.span, title)
                    .label("expected a label")
                    .help(help),
            );
            return None;
        }
        Some((name, label))
    }

    fn bound(&mut self) -> Option<Bound> {
        let call = self.call("a bound such as `importance`")?;
        match call.name.text.as_str() {
            "evidence" | "importance" => {
                arguments_of(self.checker, &call, &[], "bound")?;
                Some(if call.name.text == "evidence" {
                    Bound::Evidence
                } else {
                    Bound::Power(0.0)
                })
            }
            "renyi" => {
                let alpha = arguments_of(
                    self.checker,
                    &call,
                    &[real("alpha", -100.0, 100.0)],
                    "bound",
                )?[0];
                // Nearer to it, single precision loses the quotient by 1 − α.
                if (alpha - 1.0).abs() < 1e-3 {
                    let limit = Diagnostic::error(
                        call.span,
                        "the Rényi bound of order 1 is the evidence bound",
                    );
                    self.checker.report(
                        limit
                            .label(format!("found {alpha}"))
                            .help("write `bound evidence`"),
                    );
                    return None;
                }
                Some(Bound::Power(alpha))
            }
            _ => {
                self.unknown(&call.name, "bound", ["evidence", "importance", "renyi"]);
                None
            }
        }
    }

    /// A variable that may be summed over, or have a value stand for it.
    fn discrete(&mut self, otherwise: &str) -> Option<(Name, Id<Variable>)> {
        let (name, id) = self.variable()?;
        let variable = self.checker.variable(id);
        if variable.domain != Domain::Class || !matches!(variable.role, Role::Label | Role::Latent)
        {
            let title = format!("`{}` {otherwise}", name.text);
            let label = format!("{} is not discrete", name.text);
            let keyword = &self.setting.keyword.text;
            let help = format!(
                "a continuous latent is sampled; `{keyword}` takes a `label` or a `latent` of type `class`"
            );
            self.checker
                .report(Diagnostic::error(name.span, title).label(label).help(help));
            return None;
        }
        Some((name, id))
    }

    /// `relax y by gumbel(temperature = 0.5)`, `score y by learned(body)`, `top y 3`.
    fn drawn(&mut self, p: &[Factor], q: &[Factor]) -> Option<Discrete> {
        let keyword = self.setting.keyword.text.as_str();
        let (name, variable) = self.discrete("is no choice among classes")?;
        let (estimator, mut arguments, mut network) = match keyword {
            "top" => {
                let top = estimator::find("top", "top").expect("the registry has it");
                (top, vec![self.number(top.arguments()[0])?], None)
            }
            _ => {
                self.choice(&["by"])?;
                let call = self.call("an estimator such as `gumbel(temperature = 0.5)`")?;
                let Some(estimator) = estimator::find(keyword, &call.name.text) else {
                    let own = ESTIMATORS.iter().filter(|known| known.keyword() == keyword);
                    self.unknown(&call.name, "estimator", own.map(|known| known.name()));
                    let other = ESTIMATORS
                        .iter()
                        .find(|known| known.name() == call.name.text);
                    if let (Some(other), Some(last)) = (other, self.checker.diagnostics.last_mut())
                    {
                        last.help = Some(format!(
                            "write `{} {} by {}`",
                            other.keyword(),
                            name.text,
                            other.name()
                        ));
                    }
                    return None;
                };
                let network = if estimator.takes_network() {
                    Some(self.baseline(&call, variable, q)?)
                } else {
                    None
                };
                let arguments = match network {
                    Some(_) => Vec::new(),
                    None => arguments_of(self.checker, &call, estimator.arguments(), "estimator")?,
                };
                (estimator, arguments, network)
            }
        };
        for (argument, value) in estimator.arguments().iter().zip(&mut arguments) {
            let key = if keyword == "top" {
                name.text.as_str()
            } else {
                argument.name
            };
            *value = set_number(self.checker, &format!("{keyword}.{key}"), argument, *value);
        }
        let closed = matches!(closed_form(p, q, variable), Some((of_q, of_p)) if of_q.has_kl(of_p))
            && closed_form_is_exact(p, q, variable).is_ok();
        let classes = self.checker.variable(variable).size() as f64;
        if keyword == "top" && arguments[0] >= classes {
            let title = format!(
                "`{}` has {classes} classes, of which {} are to be summed",
                name.text, arguments[0]
            );
            let help = format!("write `sum {}`, or a number below {classes}", name.text);
            self.checker.report(
                Diagnostic::error(self.setting.span, title)
                    .label("none is left to draw")
                    .help(help),
            );
            return None;
        }
        Some(Discrete {
            variable,
            estimator,
            arguments,
            network: network.take(),
            closed,
            span: self.setting.span,
        })
    }

    /// The network of a learned baseline, on the parents of q.
    fn baseline(&mut self, call: &Call, variable: Id<Variable>, q: &[Factor]) -> Option<Network> {
        let parents = factor_of(q, variable)?.parents.clone();
        match call.arguments.as_slice() {
            [only] if only.name.is_none() && layers_of(self.checker, &only.value).is_some() => {
                let layers = layers_of(self.checker, &only.value)?;
                let network = network(self.checker, &layers, &parents, call.span)?;
                shapes::fits(self.checker, &network, &parents, call.span).map(|_| network)
            }
            _ => {
                let wrong =
                    Diagnostic::error(call.span, format!("`{}` takes one network", call.name.text));
                self.checker
                    .report(wrong.help(format!("name a net: `{}(body)`", call.name.text)));
                None
            }
        }
    }

    /// `batch labelled 100, unlabelled 100`, or `batch 100` for a model without labels.
    fn batch(&mut self, labels: bool) -> Option<Batch> {
        let named = matches!(self.peek(), Some(ExpressionKind::Name(_)));
        if labels != named {
            let label = if labels {
                "a model with labels has two kinds of rows"
            } else {
                "a model without labels has one kind of rows"
            };
            let title = "the batch does not fit the model's cases";
            self.checker
                .report(Diagnostic::error(self.setting.span, title).label(label));
            return None;
        }
        if !labels {
            return Some(Batch::All(self.number(whole("batch", 1.0, 1e7))? as usize));
        }
        let (mut labelled, mut unlabelled) = (None, None);
        while self.peek().is_some() {
            let (name, rows) = match self.choice(&["labelled", "unlabelled"])? {
                "labelled" => ("batch.labelled", &mut labelled),
                _ => ("batch.unlabelled", &mut unlabelled),
            };
            let number = self.number(whole(name, 0.0, 1e7))? as usize;
            if rows.replace(number).is_some() {
                let title = format!("`{name}` is said twice");
                self.checker.report(
                    Diagnostic::error(self.setting.span, title).help("keep one of the two"),
                );
            }
        }
        Some(Batch::Cases {
            labelled: labelled.unwrap_or(100),
            unlabelled: unlabelled.unwrap_or(100),
        })
    }

    /// The scale of `normal(0, scale)`.
    fn centred(&mut self, what: &str) -> Option<f64> {
        let call = self.call("`normal(0, 1)`")?;
        if call.name.text != "normal" {
            self.unknown(&call.name, what, ["normal"]);
            return None;
        }
        let arguments = [real("mean", 0.0, 0.0), real("scale", 1e-9, 1e9)];
        Some(arguments_of(self.checker, &call, &arguments, what)?[1])
    }

    /// That a closed form exists, and that it is exact on this graph.
    fn analytic(
        &mut self,
        name: &Name,
        latent: Id<Variable>,
        p: &[Factor],
        q: &[Factor],
    ) -> Option<()> {
        let (of_q, of_p) = closed_form(p, q, latent)?;
        if !of_q.has_kl(of_p) {
            let title = format!("KL(q({0}) ‖ p({0})) has no closed form", name.text);
            let label = format!("from `{}` to `{of_p}`", of_q.name());
            self.checker.report(
                Diagnostic::error(name.span, title)
                    .label(label)
                    .help("remove the line: the term is then sampled"),
            );
            return None;
        }
        if let Err(late) = closed_form_is_exact(p, q, latent) {
            let late = self.checker.variable(late).name.clone();
            let title = format!(
                "the closed form of KL(q({0}) ‖ p({0})) would not be exact here",
                name.text
            );
            let label = format!(
                "p({} | …) reads `{late}`, which q draws after `{}`",
                name.text, name.text
            );
            self.checker.report(
                Diagnostic::error(name.span, title)
                    .label(label)
                    .help("remove the line: the term is then sampled"),
            );
            return None;
        }
        Some(())
    }
}

/// The distribution of a variable in q, and the name of that in p.
fn closed_form(
    p: &[Factor],
    q: &[Factor],
    variable: Id<Variable>,
) -> Option<(&'static dyn Distribution, &'static str)> {
    let kind = |factor: &Factor| match &factor.kind {
        FactorKind::Distribution {
            distribution,
            heads: Heads::Mixture(mixture),
        } => Some((*distribution, mixture.name())),
        FactorKind::Distribution { distribution, .. } => Some((*distribution, distribution.name())),
        FactorKind::Deterministic(_) => None,
    };
    Some((
        factor_of(q, variable).and_then(kind)?.0,
        factor_of(p, variable).and_then(kind)?.1,
    ))
}

/// The settings that `--set` reaches whether or not a line says them, and what must hold between
/// lines.
fn finish(
    checker: &mut Checker,
    objective: &mut Objective,
    train: &mut Train,
    graphs: (&[Factor], &[Factor]),
    treated: &[&str],
) {
    let mut set =
        |argument: Argument, written: f64| set_number(checker, argument.name, &argument, written);
    objective.samples = set(whole("samples", 1.0, 100_000.0), objective.samples as f64) as usize;
    for (argument, value) in train
        .optimizer
        .arguments()
        .iter()
        .zip(&mut train.optimizer_arguments)
    {
        *value = set(*argument, *value);
    }
    match &mut train.batch {
        Batch::All(rows) => *rows = set(whole("batch", 1.0, 1e7), *rows as f64) as usize,
        Batch::Cases {
            labelled,
            unlabelled,
        } => {
            *labelled = set(whole("batch.labelled", 0.0, 1e7), *labelled as f64) as usize;
            *unlabelled = set(whole("batch.unlabelled", 0.0, 1e7), *unlabelled as f64) as usize;
        }
    }
    train.schedule.set(&mut set);
    for (name, value) in [
        ("clip.norm", &mut train.clip_norm),
        ("clip.value", &mut train.clip_value),
    ] {
        *value = Some(set(real(name, 1e-12, 1e12), value.unwrap_or(f64::NAN)))
            .filter(|value| !value.is_nan());
    }
    let prior = set(
        real("prior", 1e-9, 1e9),
        train.weight_prior.unwrap_or(f64::NAN),
    );
    train.weight_prior = Some(prior).filter(|prior| !prior.is_nan());
    if train.batch
        == (Batch::Cases {
            labelled: 0,
            unlabelled: 0,
        })
    {
        let title = "a batch has no rows";
        let help = "give `batch labelled 100, unlabelled 100` rows of one kind at least";
        checker.report(Diagnostic::error(Span::default(), title).help(help));
    }
    estimators::check(checker, objective, graphs, treated);
    // A classifier learns by its costs alone.
    let bounded = !graphs.0.is_empty() || checker.diagnostics.iter().any(Diagnostic::is_error);
    let costs = !objective.smooth.is_empty()
        || !objective.inform.is_empty()
        || !objective.matches.is_empty();
    let unseen = matches!(train.batch, Batch::Cases { labelled: 0, .. });
    if !bounded && !costs && (unseen || objective.classify.is_empty()) {
        let (title, help) = if objective.classify.is_empty() {
            let help = "write `classify y` into `objective`, or what the data are drawn from into `generative`";
            (
                "a model without `generative` and without a cost learns nothing",
                help,
            )
        } else {
            let title = "`classify` alone learns from labelled rows, of which a batch has none";
            (title, "give `batch labelled 100, unlabelled 100`")
        };
        checker.report(
            Diagnostic::error(checker.name, title)
                .label("learns nothing")
                .help(help),
        );
    }
    ramp::check(checker, objective, train.epochs);
}
