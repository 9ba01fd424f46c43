//! From a syntax tree to a checked model: names, shapes, supports and graphs, every mistake
//! reported at once.

use super::{
    Factor, Model, Role, Side, Variable,
    factors::{self, Arrows},
    network,
    sets::Sets,
    settings,
};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    distribution::Domain,
    id::Id,
    layer,
    optimizer::OPTIMIZERS,
    syntax::ast::{self, Expression, ExpressionKind, File, Item, Name},
};
use std::collections::BTreeMap;

/// The checked model and its lints, or every mistake. `sets` are the `NAME=VALUE` of `--set`.
pub fn check(
    file: &str,
    source: &str,
    tree: &File,
    sets: &[(String, String)],
) -> Result<(Model, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut checker = Checker::new(source, tree.name.span, sets);
    checker.declarations(tree);
    let arrows = checker.arrows(tree);
    let (generative, inference) = factors::check(&mut checker, &arrows);
    let (objective, train) = settings::check(&mut checker, tree, &generative, &inference);
    factors::lint(&mut checker, &generative, &inference, &objective.matches);
    checker.finish();
    if checker.diagnostics.iter().any(Diagnostic::is_error) {
        // A net that is used five times has its mistakes once, and what follows from a mistake is
        // not worth a warning.
        let mut mistakes: Vec<Diagnostic> = Vec::new();
        for diagnostic in checker.diagnostics.into_iter().filter(Diagnostic::is_error) {
            if !mistakes.contains(&diagnostic) {
                mistakes.push(diagnostic);
            }
        }
        mistakes.sort_by_key(|diagnostic| diagnostic.span.start);
        return Err(mistakes);
    }
    let checked = Model {
        name: tree.name.text.clone(),
        file: file.to_string(),
        source: source.to_string(),
        sets: sets.to_vec(),
        variables: checker.variables,
        generative,
        inference,
        objective,
        train,
        settings: checker.sets.resolved(),
        upstream: Vec::new(),
    };
    Ok((checked, checker.diagnostics))
}

/// What has been found so far, good and bad.
pub(super) struct Checker<'a> {
    pub source: &'a str,
    /// The place of the model's name.
    pub name: Span,
    pub diagnostics: Vec<Diagnostic>,
    pub sets: Sets,
    pub sizes: BTreeMap<String, f64>,
    pub variables: Vec<Variable>,
    pub nets: BTreeMap<String, (Span, Vec<ast::Layer>)>,
    pub used_nets: Vec<String>,
    used_sizes: Vec<String>,
    declared_sizes: Vec<Name>,
}

const DOMAINS: &[(&str, Domain)] = &[
    ("real", Domain::Real),
    ("positive", Domain::Positive),
    ("unit", Domain::Unit),
    ("binary", Domain::Binary),
    ("count", Domain::Count),
    ("class", Domain::Class),
];

/// A domain as it is written.
pub fn domain_name(domain: Domain) -> &'static str {
    let found = DOMAINS.iter().find(|(_, known)| *known == domain);
    found.expect("each domain has a name").0
}

/// The largest size of an axis.
const LARGEST: f64 = 16_777_216.0;

impl<'a> Checker<'a> {
    fn new(source: &'a str, name: Span, sets: &[(String, String)]) -> Self {
        Checker {
            source,
            name,
            diagnostics: Vec::new(),
            sets: Sets::new(sets),
            sizes: BTreeMap::new(),
            variables: Vec::new(),
            nets: BTreeMap::new(),
            used_nets: Vec::new(),
            used_sizes: Vec::new(),
            declared_sizes: Vec::new(),
        }
    }

    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
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

    /// A variable by name, or a report that there is none.
    pub fn lookup(&mut self, name: &Name) -> Option<Id<Variable>> {
        let found = self.find(&name.text);
        if found.is_none() {
            let help = suggest(
                &name.text,
                self.variables.iter().map(|variable| variable.name.as_str()),
            );
            let help = help
                .unwrap_or_else(|| "a variable is declared as `latent z: real[10]`".to_string());
            self.report(
                Diagnostic::error(name.span, format!("unknown variable `{}`", name.text))
                    .label("not declared in this model")
                    .help(help),
            );
        }
        found
    }

    fn declarations(&mut self, tree: &File) {
        for item in &tree.items {
            match item {
                Item::Size(bindings) => bindings
                    .iter()
                    .for_each(|(name, value)| self.size(name, value)),
                Item::Variable(variable) => self.declare(variable),
                Item::Net { name, layers } => {
                    if name.text == "linear" {
                        let title =
                            "`linear` is the network without layers, and cannot be defined anew";
                        self.report(
                            Diagnostic::error(name.span, title).help("choose another name"),
                        );
                    } else if layer::find(&name.text).is_some() {
                        let title =
                            format!("`{}` is a layer, and cannot be defined anew", name.text);
                        let help = "choose another name";
                        self.report(
                            Diagnostic::error(name.span, title)
                                .label("named as a layer")
                                .help(help),
                        );
                    }
                    if let Some((first, _)) = self
                        .nets
                        .insert(name.text.clone(), (name.span, layers.clone()))
                    {
                        self.twice("net", name, first);
                    }
                }
                Item::Graph { .. } | Item::Settings { .. } => {}
            }
        }
    }

    fn twice(&mut self, what: &str, name: &Name, first: Span) {
        self.report(
            Diagnostic::error(
                name.span,
                format!("{what} `{}` is defined twice", name.text),
            )
            .label("defined again here")
            .note(first, "first defined here")
            .help("remove one of the two, or rename it"),
        );
    }

    fn size(&mut self, name: &Name, value: &Expression) {
        if let Some(first) = self
            .declared_sizes
            .iter()
            .find(|known| known.text == name.text)
            .map(|known| known.span)
        {
            self.twice("size", name, first);
            return;
        }
        let optimizers = OPTIMIZERS
            .iter()
            .flat_map(|optimizer| optimizer.arguments());
        let settings = ["samples", "epochs", "batch", "prior"];
        if settings
            .into_iter()
            .chain(optimizers.map(|argument| argument.name))
            .any(|known| known == name.text)
        {
            let title = format!("`{}` is a setting, and no name for a size", name.text);
            let help = format!(
                "`--set {}=…` would reach both: choose another name",
                name.text
            );
            self.report(Diagnostic::error(name.span, title).help(help));
        }
        self.declared_sizes.push(name.clone());
        let written = self.number(value);
        let number = match self.sets.number(&name.text, written) {
            Ok(number) => number,
            Err(message) => {
                self.report(Diagnostic::error(name.span, message));
                written
            }
        };
        let number = self.whole(
            name.span,
            number.unwrap_or(1.0),
            &format!("size `{}`", name.text),
        );
        self.sizes.insert(name.text.clone(), number as f64);
    }

    /// Reports a size that is no whole number from 1 on.
    fn whole(&mut self, span: Span, number: f64, what: &str) -> usize {
        if number.fract() != 0.0 || !(1.0..=LARGEST).contains(&number) {
            self.report(
                Diagnostic::error(
                    span,
                    format!("{what} must be a whole number from 1 to {LARGEST}"),
                )
                .label(format!("found {number}"))
                .help("a size is the length of an axis, such as 500"),
            );
            return 1;
        }
        number as usize
    }

    fn declare(&mut self, declared: &ast::Variable) {
        let name = &declared.name;
        let role = match declared.role.text.as_str() {
            "data" => Role::Data,
            "label" => Role::Label,
            _ => Role::Latent,
        };
        let domain = DOMAINS
            .iter()
            .find(|(known, _)| *known == declared.domain.text)
            .map(|(_, domain)| *domain);
        if domain.is_none() {
            let help = suggest(&declared.domain.text, DOMAINS.iter().map(|(name, _)| *name));
            let mut unknown = Diagnostic::error(
                declared.domain.span,
                format!("unknown type `{}`", declared.domain.text),
            )
            .label("expected what values the variable takes");
            unknown.help = help;
            self.report(unknown);
        }
        let domain = domain.unwrap_or(Domain::Real);
        if role == Role::Label && domain != Domain::Class {
            self.report(
                Diagnostic::error(
                    declared.domain.span,
                    format!("label `{}` is not discrete", name.text),
                )
                .label(format!("expected `class`, found `{}`", domain_name(domain)))
                .help("a label is `class[K]`; an observed variable of another type is `data`"),
            );
        }
        let shape: Vec<usize> = declared
            .shape
            .iter()
            .map(|size| {
                let number = self.number(size).unwrap_or(1.0);
                self.whole(size.span, number, &format!("the shape of `{}`", name.text))
            })
            .collect();
        if domain == Domain::Class && shape.len() != 1 {
            let help = format!("write `{}: class[10]` for ten classes", name.text);
            let title = format!("`{}` needs its number of classes", name.text);
            self.report(Diagnostic::error(declared.domain.span, title).help(help));
        }
        if let Some(first) = self.find(&name.text) {
            let first = self.variable(first).span;
            self.twice("variable", name, first);
            return;
        }
        let shape = if shape.is_empty() { vec![1] } else { shape };
        self.variables.push(Variable {
            name: name.text.clone(),
            role,
            domain,
            shape,
            span: name.span,
        });
    }

    /// Both graphs as written, with deterministic nodes declared.
    fn arrows<'t>(&mut self, tree: &'t File) -> Arrows<'t> {
        let mut arrows = Arrows::default();
        for item in &tree.items {
            let Item::Graph {
                keyword,
                arrows: written,
            } = item
            else {
                continue;
            };
            let side = if keyword.text == "generative" {
                Side::Generative
            } else {
                Side::Inference
            };
            if let Some(first) = arrows
                .keywords
                .iter()
                .find(|(known, _)| *known == side)
                .map(|(_, span)| *span)
            {
                self.twice("block", keyword, first);
            }
            arrows.keywords.push((side, keyword.span));
            arrows
                .written
                .extend(written.iter().map(|arrow| (side, arrow)));
        }
        for (_, arrow) in &arrows.written {
            if matches!(arrow.body, ast::ArrowBody::Equation(_))
                && self.find(&arrow.child.text).is_none()
            {
                let (name, span) = (arrow.child.text.clone(), arrow.child.span);
                self.variables.push(Variable {
                    name,
                    role: Role::Node,
                    domain: Domain::Real,
                    shape: vec![1],
                    span,
                });
            }
        }
        arrows
    }

    /// The value of arithmetic over sizes, or a report.
    pub fn number(&mut self, expression: &Expression) -> Option<f64> {
        match &expression.kind {
            ExpressionKind::Number(number) => Some(*number),
            ExpressionKind::Name(name) => {
                let value = self.sizes.get(name).copied();
                self.used_sizes.push(name.clone());
                if value.is_none() {
                    let help = suggest(name, self.sizes.keys().map(String::as_str));
                    let help = help.unwrap_or_else(|| format!("declare it: `size {name} = 10`"));
                    self.report(
                        Diagnostic::error(expression.span, format!("unknown size `{name}`"))
                            .label("not declared before")
                            .help(help),
                    );
                }
                value
            }
            ExpressionKind::Call(call) => {
                let title = format!("`{}(…)` is not a number", call.name.text);
                let help = "numbers are written as arithmetic over sizes: `2 * hidden`";
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
                Some(match operator {
                    '+' => left + right,
                    '-' => left - right,
                    '*' => left * right,
                    _ => left / right,
                })
            }
        }
    }

    /// Settings that no part of the model took.
    fn finish(&mut self) {
        for (name, help) in self.sets.unused() {
            let mut unknown = Diagnostic::error(
                Span::default(),
                format!("`--set {name}=…` names no size or setting"),
            );
            unknown.help = help;
            self.report(unknown);
        }
        let nets = self.nets.clone();
        for (name, (span, _)) in nets
            .iter()
            .filter(|(name, _)| !self.used_nets.contains(name))
            .collect::<Vec<_>>()
        {
            let unused = Diagnostic::warning(*span, format!("net `{name}` is never used"))
                .label("defined here");
            self.report(unused.help("name it in an arrow, or remove it"));
        }
        for (name, (_, layers)) in &nets {
            if !self.used_nets.contains(name) {
                network::examine(self, layers);
            }
        }
        for name in self.declared_sizes.clone() {
            if !self.used_sizes.contains(&name.text) {
                let title = format!("size `{}` is never used", name.text);
                self.report(
                    Diagnostic::warning(name.span, title)
                        .label("declared here")
                        .help("use it, or remove it"),
                );
            }
        }
    }
}

/// Whether a factor with that child exists.
pub(super) fn factor_of(factors: &[Factor], child: Id<Variable>) -> Option<&Factor> {
    factors.iter().find(|factor| factor.child == child)
}
