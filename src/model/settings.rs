//! The lines of `objective` and `train`.

use super::{
    Batch, Beta, Bound, Classify, Expression, Factor, FactorKind, Initialize, Objective, Role, Schedule, Train,
    Variable,
    check::{Checker, factor_of},
    estimators,
    factors::closed_form_is_exact,
    network::{arguments_of, in_range},
};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    distribution::Domain,
    id::Id,
    layer::Argument,
    optimizer::{self, OPTIMIZERS},
    syntax::ast::{self, Call, ExpressionKind, File, Item, Name, Setting},
};

const OBJECTIVE: &[&str] = &["samples", "bound", "sum", "classify", "beta", "free_bits", "analytic"];
const TRAIN: &[&str] = &["batch", "optimizer", "schedule", "clip", "prior", "initialize", "epochs"];

pub(super) fn check(checker: &mut Checker, tree: &File, p: &[Factor], q: &[Factor]) -> (Objective, Train) {
    let mut objective = Objective {
        samples: 1,
        bound: Bound::Evidence,
        sums: Vec::new(),
        classify: Vec::new(),
        betas: Vec::new(),
        free_bits: Vec::new(),
        analytic: Vec::new(),
    };
    let labels = checker.variables.iter().any(|variable| variable.role == Role::Label);
    let adam = optimizer::find("adam").expect("the registry has Adam");
    let mut train = Train {
        batch: if labels { Batch::Cases { labelled: 100, unlabelled: 100 } } else { Batch::All(100) },
        optimizer: adam,
        optimizer_arguments: adam.arguments().iter().filter_map(|argument| argument.default).collect(),
        schedule: Schedule::Constant,
        clip_norm: None,
        clip_value: None,
        weight_prior: None,
        initialize: Initialize::Glorot,
        epochs: 100,
    };
    let mut seen: Vec<(String, Span)> = Vec::new();
    for item in &tree.items {
        let Item::Settings { keyword, settings } = item else { continue };
        let known = if keyword.text == "objective" { OBJECTIVE } else { TRAIN };
        for setting in settings {
            let name = &setting.keyword;
            if !known.contains(&name.text.as_str()) {
                let title = format!("unknown setting `{}` in `{}`", name.text, keyword.text);
                let mut unknown = Diagnostic::error(name.span, title).label("not a setting of this block");
                unknown.help = suggest(&name.text, known.iter().copied());
                checker.report(unknown);
                continue;
            }
            let subject = setting.values.first().map_or("", |value| &checker.source[value.span.range()]).to_string();
            let repeats = ["sum", "classify", "beta", "free_bits", "analytic", "clip"].contains(&name.text.as_str());
            let key = if repeats { format!("{} {subject}", name.text) } else { name.text.clone() };
            if let Some((_, first)) = seen.iter().find(|(known, _)| *known == key) {
                let twice = Diagnostic::error(setting.span, format!("`{key}` is set twice"))
                    .label("set again here")
                    .note(*first, "first set here");
                checker.report(twice.help("keep one of the two"));
                continue;
            }
            seen.push((key, setting.span));
            let mut reader = Reader { checker, setting, next: 0 };
            match keyword.text.as_str() {
                "objective" => reader.objective(&mut objective, p, q),
                _ => reader.train(&mut train, labels),
            };
        }
    }
    finish(checker, &mut objective, &mut train, q);
    (objective, train)
}

/// What a setting's values are read with; each step reports what it does not find and gives none.
struct Reader<'c, 's, 'a> {
    checker: &'c mut Checker<'a>,
    setting: &'s Setting,
    next: usize,
}

fn whole(name: &'static str, least: f64, most: f64) -> Argument {
    Argument { name, default: None, least, most, whole: true }
}

fn real(name: &'static str, least: f64, most: f64) -> Argument {
    Argument { name, default: None, least, most, whole: false }
}

impl Reader<'_, '_, '_> {
    fn objective(&mut self, objective: &mut Objective, p: &[Factor], q: &[Factor]) -> Option<()> {
        match self.setting.keyword.text.as_str() {
            "samples" => objective.samples = self.number(whole("samples", 1.0, 100_000.0))? as usize,
            "bound" => match self.choice(&["evidence", "importance"])? {
                "importance" => objective.bound = Bound::Importance,
                _ => objective.bound = Bound::Evidence,
            },
            "sum" => {
                let (name, id) = self.variable()?;
                let variable = self.checker.variable(id);
                if variable.domain != Domain::Class || !matches!(variable.role, Role::Label | Role::Latent) {
                    let title = format!("`{}` cannot be summed over", name.text);
                    let label = format!("{} is not discrete", name.text);
                    let help = "a continuous latent is sampled; `sum` takes a `label` or a `latent` of type `class`";
                    self.checker.report(Diagnostic::error(name.span, title).label(label).help(help));
                    return None;
                }
                objective.sums.push(id);
            }
            "classify" => {
                let (name, label) = self.variable()?;
                if self.checker.variable(label).role != Role::Label {
                    let title = format!("`{}` is not a label", name.text);
                    let help = "`classify` adds the cross-entropy of a `label` that q infers";
                    self.checker.report(Diagnostic::error(name.span, title).label("expected a label").help(help));
                    return None;
                }
                let weight = if self.keyword("weight")? { self.weight()? } else { Expression::Number(1.0) };
                objective.classify.push(Classify { label, weight, span: self.setting.span });
            }
            "beta" => {
                let (_, latent) = self.latent()?;
                let weight = self.number(real("beta", 0.0, 1e6))?;
                let warmup = if self.keyword("warmup")? { self.number(real("warmup", 0.0, 1e6))? } else { 0.0 };
                objective.betas.push(Beta { latent, weight, warmup });
            }
            "free_bits" => {
                let (_, latent) = self.latent()?;
                objective.free_bits.push((latent, self.number(real("free_bits", 0.0, 1e6))?));
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
            "epochs" => train.epochs = self.number(whole("epochs", 0.0, 1e7))? as usize,
            "optimizer" => {
                let call = self.call("an optimiser such as `adam(rate = 3e-4)`")?;
                let Some(optimizer) = optimizer::find(&call.name.text) else {
                    self.unknown(&call.name, "optimizer", OPTIMIZERS.iter().map(|known| known.name()));
                    return None;
                };
                train.optimizer_arguments = arguments_of(self.checker, &call, optimizer.arguments(), "optimizer")?;
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
                        arguments_of(self.checker, &call, &[real("scale", 0.0, 1e3)], "initialisation")?[0],
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

    /// `batch labelled 100, unlabelled 100`, or `batch 100` for a model without labels.
    fn batch(&mut self, labels: bool) -> Option<Batch> {
        let named = matches!(self.peek(), Some(ExpressionKind::Name(_)));
        if labels != named {
            let help = if labels { "write `batch labelled 100, unlabelled 100`" } else { "write `batch 100`" };
            let label = if labels {
                "a model with labels has two kinds of rows"
            } else {
                "a model without labels has one kind of rows"
            };
            let title = "the batch does not fit the model's cases";
            self.checker.report(Diagnostic::error(self.setting.span, title).label(label).help(help));
            return None;
        }
        if !labels {
            return Some(Batch::All(self.number(whole("batch", 1.0, 1e7))? as usize));
        }
        let (mut labelled, mut unlabelled) = (100, 100);
        while self.peek().is_some() {
            match self.choice(&["labelled", "unlabelled"])? {
                "labelled" => labelled = self.number(whole("batch.labelled", 0.0, 1e7))? as usize,
                _ => unlabelled = self.number(whole("batch.unlabelled", 0.0, 1e7))? as usize,
            }
        }
        Some(Batch::Cases { labelled, unlabelled })
    }

    fn schedule(&mut self) -> Option<Schedule> {
        let call = self.call("a schedule such as `cosine(floor = 0)`")?;
        let floor = Argument { default: Some(0.0), ..real("floor", 0.0, 1e3) };
        Some(match call.name.text.as_str() {
            "constant" => Schedule::Constant,
            "step" => {
                let arguments = [real("every", 1e-6, 1e9), real("factor", 1e-9, 1.0), floor];
                let values = arguments_of(self.checker, &call, &arguments, "schedule")?;
                Schedule::Step { every: values[0], factor: values[1], floor: values[2] }
            }
            "cosine" => Schedule::Cosine { floor: arguments_of(self.checker, &call, &[floor], "schedule")?[0] },
            "warmup" => {
                let epochs = real("epochs", 1e-6, 1e9);
                Schedule::Warmup { epochs: arguments_of(self.checker, &call, &[epochs], "schedule")?[0] }
            }
            _ => {
                self.unknown(&call.name, "schedule", ["constant", "step", "cosine", "warmup"]);
                return None;
            }
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
    fn analytic(&mut self, name: &Name, latent: Id<Variable>, p: &[Factor], q: &[Factor]) -> Option<()> {
        let kind = |factor: Option<&Factor>| match factor.map(|factor| &factor.kind) {
            Some(FactorKind::Distribution { distribution, .. }) => Some(*distribution),
            _ => None,
        };
        let (of_q, of_p) = (kind(factor_of(q, latent))?, kind(factor_of(p, latent))?);
        if !of_q.has_kl(of_p.name()) {
            let title = format!("KL(q({0}) ‖ p({0})) has no closed form", name.text);
            let label = format!("from `{}` to `{}`", of_q.name(), of_p.name());
            self.checker.report(
                Diagnostic::error(name.span, title).label(label).help("remove the line: the term is then sampled"),
            );
            return None;
        }
        if let Err(late) = closed_form_is_exact(p, q, latent) {
            let late = self.checker.variable(late).name.clone();
            let title = format!("the closed form of KL(q({0}) ‖ p({0})) would not be exact here", name.text);
            let label = format!("p({} | …) reads `{late}`, which q draws after `{}`", name.text, name.text);
            self.checker.report(
                Diagnostic::error(name.span, title).label(label).help("remove the line: the term is then sampled"),
            );
            return None;
        }
        Some(())
    }

    fn unknown<'n>(&mut self, name: &Name, what: &str, known: impl IntoIterator<Item = &'n str>) {
        let mut unknown = Diagnostic::error(name.span, format!("unknown {what} `{}`", name.text)).label("not known");
        unknown.help = suggest(&name.text, known);
        self.checker.report(unknown);
    }

    fn peek(&self) -> Option<&ExpressionKind> {
        self.setting.values.get(self.next).map(|value| &value.kind)
    }

    fn take(&mut self, expected: &str) -> Option<&ast::Expression> {
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

    /// A number; `--set` reaches it by the argument's name.
    fn number(&mut self, argument: Argument) -> Option<f64> {
        let value = self.take("a number")?.clone();
        let written = self.checker.number(&value)?;
        let number = match self.checker.sets.number(argument.name, Some(written)) {
            Ok(number) => number.unwrap_or(written),
            Err(message) => {
                self.checker.report(Diagnostic::error(value.span, message));
                written
            }
        };
        in_range(self.checker, value.span, &argument, number).then_some(number)
    }

    fn name(&mut self, expected: &str) -> Option<Name> {
        let value = self.take(expected)?.clone();
        match value.kind {
            ExpressionKind::Name(text) => Some(Name { text, span: value.span }),
            kind => {
                let title = format!("expected {expected}");
                let mut diagnostic = Diagnostic::error(value.span, title).label("found an expression");
                if let ExpressionKind::Binary(..) = kind {
                    diagnostic = diagnostic
                        .help("an operator joins what stands beside it: a comma parts two values, as in `z, -1`");
                }
                self.checker.report(diagnostic);
                None
            }
        }
    }

    fn variable(&mut self) -> Option<(Name, Id<Variable>)> {
        let name = self.name("a variable")?;
        let id = self.checker.lookup(&name)?;
        Some((name, id))
    }

    fn latent(&mut self) -> Option<(Name, Id<Variable>)> {
        let (name, id) = self.variable()?;
        let variable = self.checker.variable(id);
        if variable.role != Role::Latent || variable.domain == Domain::Class {
            let title = format!("`{}` is not a continuous latent", name.text);
            let help = format!("`{}` is about the terms of a `latent` that is sampled", self.setting.keyword.text);
            self.checker.report(Diagnostic::error(name.span, title).label("expected a latent").help(help));
            return None;
        }
        Some((name, id))
    }

    fn choice(&mut self, choices: &[&'static str]) -> Option<&'static str> {
        let quoted: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
        let name = self.name(&quoted.join(" or "))?;
        let found = choices.iter().find(|choice| **choice == name.text);
        if found.is_none() {
            let title = format!("`{}` does not belong here", name.text);
            let mut unknown = Diagnostic::error(name.span, title).label(format!("expected {}", quoted.join(" or ")));
            unknown.help = suggest(&name.text, choices.iter().copied());
            self.checker.report(unknown);
        }
        found.copied()
    }

    /// Whether that word follows; anything else but the end is reported.
    fn keyword(&mut self, word: &'static str) -> Option<bool> {
        if self.next == self.setting.values.len() {
            return Some(false);
        }
        self.choice(&[word]).map(|_| true)
    }

    fn call(&mut self, expected: &str) -> Option<Call> {
        let value = self.take(expected)?.clone();
        match value.kind {
            ExpressionKind::Call(call) => Some(call),
            ExpressionKind::Name(text) => {
                let name = Name { text, span: value.span };
                Some(Call { name, arguments: Vec::new(), span: value.span })
            }
            _ => {
                self.checker.report(Diagnostic::error(value.span, format!("expected {expected}")));
                None
            }
        }
    }

    /// Arithmetic that may also name `rows` and `labelled`, the numbers of training rows.
    fn weight(&mut self) -> Option<Expression> {
        let value = self.take("a weight")?.clone();
        if let Ok(Some(number)) = self.checker.sets.number("classify.weight", None) {
            return Some(Expression::Number(number));
        }
        weight(self.checker, &value)
    }

    fn end(&mut self) -> Option<()> {
        let Some(extra) = self.setting.values.get(self.next) else { return Some(()) };
        let title = format!("`{}` ends before this", self.setting.keyword.text);
        self.checker.report(Diagnostic::error(extra.span, title).label("one value too many").help("begin a new line"));
        None
    }
}

fn weight(checker: &mut Checker, value: &ast::Expression) -> Option<Expression> {
    match &value.kind {
        ExpressionKind::Name(name) if name == "rows" => Some(Expression::Rows),
        ExpressionKind::Name(name) if name == "labelled" => Some(Expression::Labelled),
        ExpressionKind::Binary(operator, left, right) => {
            let (left, right) = (weight(checker, left), weight(checker, right));
            Some(Expression::Binary(*operator, Box::new(left?), Box::new(right?)))
        }
        ExpressionKind::Number(_) | ExpressionKind::Name(_) => checker.number(value).map(Expression::Number),
        ExpressionKind::Call(call) => {
            let title = format!("`{}(…)` is not a weight", call.name.text);
            let help = "a weight is arithmetic over numbers, sizes, `rows` and `labelled`";
            checker.report(Diagnostic::error(value.span, title).help(help));
            None
        }
    }
}

/// Settings that `--set` reaches though no line says them, and what must hold between lines.
fn finish(checker: &mut Checker, objective: &mut Objective, train: &mut Train, q: &[Factor]) {
    let mut set = |name: &str, target: &mut f64| match checker.sets.number(name, Some(*target)) {
        Ok(number) => *target = number.unwrap_or(*target),
        Err(message) => checker.diagnostics.push(Diagnostic::error(Span::default(), message)),
    };
    let mut samples = objective.samples as f64;
    set("samples", &mut samples);
    objective.samples = samples.max(1.0) as usize;
    let mut epochs = train.epochs as f64;
    set("epochs", &mut epochs);
    train.epochs = epochs.max(0.0) as usize;
    for (argument, value) in train.optimizer.arguments().iter().zip(&mut train.optimizer_arguments) {
        set(argument.name, value);
    }
    let as_count = |number: f64| number.max(0.0) as usize;
    match &mut train.batch {
        Batch::All(rows) => {
            let mut number = *rows as f64;
            set("batch", &mut number);
            *rows = as_count(number).max(1);
        }
        Batch::Cases { labelled, unlabelled } => {
            for (name, rows) in [("batch.labelled", labelled), ("batch.unlabelled", unlabelled)] {
                let mut number = *rows as f64;
                set(name, &mut number);
                *rows = as_count(number);
            }
        }
    }
    estimators::check(checker, objective, q);
    for beta in objective.betas.clone() {
        if beta.warmup > train.epochs as f64 {
            let name = checker.variable(beta.latent).name.clone();
            let span = checker.variable(beta.latent).span;
            let title = format!("the warm-up of `{name}` is longer than the run");
            let label = format!("{} epochs of warm-up, {} of training", beta.warmup, train.epochs);
            checker.report(Diagnostic::warning(span, title).label(label));
        }
    }
}
