//! Reads the declarations of sizes, variables and nets, and collects the arrows of both graphs.

use super::context::Checker;
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    distribution::Domain,
    layer,
    lines::LINES,
    model::{Edition, Role, Side, Variable},
    syntax::ast::{self, Arrow, Expression, File, Item, Modifier, Name},
};

/// The arrows of a file, each with the graph that contains it.
#[derive(Default)]
pub(super) struct Arrows<'t> {
    pub written: Vec<(Side, &'t Arrow)>,
    pub keywords: Vec<(Side, Span)>,
}

impl<'t> Arrows<'t> {
    /// The arrow to `child` in one graph.
    pub fn find(&self, side: Side, child: &Name) -> Option<&'t Arrow> {
        let mut written = self.written.iter();
        let arrow = written.find(|(other, arrow)| *other == side && arrow.child.text == child.text);
        arrow.map(|(_, arrow)| *arrow)
    }
}

/// The name of the edition in `--set`.
const EDITION: &str = "edition";
const EXPECTED_EDITION: &str = "expected 1 or 2";

/// The largest size of an axis.
const LARGEST: f64 = 16_777_216.0;

/// The most variables and nodes of a model.
const MOST_VARIABLES: usize = 1000;
/// The most axes of a variable.
const MOST_AXES: usize = 8;
/// The most elements of a variable, or of a layer's output for one row: 2^36, which is 256 GiB.
const MOST_ELEMENTS: f64 = 68_719_476_736.0;

/// What is wrong with the shape of `what`: it has too many axes, an axis is too long, or it has too
/// many elements. Sizes within these limits can be multiplied and added without overflow.
pub(super) fn too_large(shape: &[usize], what: &str) -> Option<String> {
    let elements: f64 = shape.iter().map(|&size| size as f64).product();
    if shape.len() > MOST_AXES {
        Some(format!(
            "{what} has {} axes, more than {MOST_AXES}",
            shape.len()
        ))
    } else if let Some(size) = shape.iter().find(|&&size| size as f64 > LARGEST) {
        Some(format!("{what} has an axis of {size}, more than {LARGEST}"))
    } else if elements > MOST_ELEMENTS {
        Some(format!(
            "{what} has {elements:.1e} elements, more than {MOST_ELEMENTS:.1e}"
        ))
    } else {
        None
    }
}

/// Whether a number can be the length of an axis.
fn is_size(number: f64) -> bool {
    number.fract() == 0.0 && (1.0..=LARGEST).contains(&number)
}

impl Checker<'_> {
    /// The edition that the file names, or `--set edition=…`.
    pub fn edition(&mut self, tree: &File) {
        let mut first = None;
        for item in &tree.items {
            let &Item::Edition { number, span } = item else {
                continue;
            };
            if let Some(first) = first {
                self.report(
                    Diagnostic::error(span, "the edition is set twice")
                        .label("set again here")
                        .note(first, "first set here")
                        .help("keep one of the two"),
                );
                continue;
            }
            first = Some(span);
            match Edition::find(number) {
                Some(edition) => self.edition = edition,
                None => self.report(
                    Diagnostic::error(span, format!("unknown edition {number}"))
                        .label(EXPECTED_EDITION)
                        .help(format!("write `edition {}`", Edition::LATEST)),
                ),
            }
        }
        let written = self.edition.number() as f64;
        let given = match self.sets.number(EDITION, Some(written)) {
            Ok(number) => number.and_then(Edition::find),
            Err(_) => None,
        };
        match given {
            Some(edition) => self.edition = edition,
            None => {
                let text = self.sets.given(EDITION).unwrap_or_default();
                let title = format!("`--set {EDITION}={text}`: {EXPECTED_EDITION}");
                self.report_set(EDITION, title, Some(written));
            }
        }
    }

    pub fn declarations(&mut self, tree: &File) {
        self.single_partly_known_label(tree);
        for item in &tree.items {
            if self.is_full() {
                return;
            }
            match item {
                Item::Edition { .. } => {}
                Item::Size(bindings) => {
                    for (name, value) in bindings {
                        if self.is_full() {
                            return;
                        }
                        self.size(name, value.as_ref());
                    }
                }
                Item::Variable(variable) => self.declare(variable),
                Item::Net { name, layers } => {
                    if name.text == "linear" {
                        let title = "`linear` is the predefined network without layers, and cannot be redefined";
                        self.report(
                            Diagnostic::error(name.span, title).help("choose another name"),
                        );
                    } else if layer::find(&name.text).is_some() {
                        let title = format!(
                            "`{}` is the name of a layer, and cannot be redefined",
                            name.text
                        );
                        let help = "choose another name";
                        self.report(
                            Diagnostic::error(name.span, title)
                                .label("this name is taken")
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
            .help("remove or rename one of the two"),
        );
    }

    fn size(&mut self, name: &Name, value: Option<&Expression>) {
        if let Some(&first) = self.size_places.get(&name.text) {
            self.twice("size", name, first);
            return;
        }
        let names = LINES.iter().flat_map(|line| line.set_names());
        let mut settings = names.chain([EDITION]);
        if settings.any(|setting| setting == name.text) {
            let title = format!(
                "`{}` is the name of a setting, and cannot be a size",
                name.text
            );
            let help = format!(
                "choose another name, because `--set {}=…` would change both",
                name.text
            );
            self.report(Diagnostic::error(name.span, title).help(help));
        }
        self.declared_sizes.push(name.clone());
        self.size_places.insert(name.text.clone(), name.span);
        let written = value.and_then(|value| self.number(value));
        if value.is_none() && self.sets.given(&name.text).is_none() {
            let size = &name.text;
            let title = format!("size `{size}` has no value");
            self.report(
                Diagnostic::error(name.span, title)
                    .label("its value depends on the data")
                    .help(format!(
                        "`dgc train --data …` finds it in the data; elsewhere, write `--set {size}=NUMBER`"
                    )),
            );
        }
        let number = match self.sets.number(&name.text, written) {
            Ok(number) => number,
            Err(message) => {
                self.report_set(&name.text, message, written);
                written
            }
        };
        let number = match (self.sets.given(&name.text), number) {
            (Some(text), Some(number)) if !is_size(number) => {
                let text = text.to_string();
                let expected = format!("expected a whole number from 1 to {LARGEST}");
                let title = format!("`--set {}={text}`: {expected}", name.text);
                self.report_set(&name.text, title, written);
                written
            }
            (_, number) => number,
        };
        let number = self.whole(
            name.span,
            number.unwrap_or(1.0),
            &format!("size `{}`", name.text),
        );
        self.sizes.insert(name.text.clone(), number as f64);
    }

    /// Converts a number to a size. Reports a number that is not whole or is out of range, and then
    /// returns 1.
    fn whole(&mut self, span: Span, number: f64, what: &str) -> usize {
        if !is_size(number) {
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

    fn declare(&mut self, declared: &ast::Declaration) {
        let name = &declared.name;
        let role = Role::find(&declared.role.text).expect("the grammar's roles");
        let domain = Domain::find(&declared.domain.text);
        if domain.is_none() {
            let names = Domain::NAMES.iter().map(|(name, _)| *name);
            let help = suggest(&declared.domain.text, names);
            let mut unknown = Diagnostic::error(
                declared.domain.span,
                format!("unknown type `{}`", declared.domain.text),
            )
            .label("expected the type of the variable's values");
            unknown.help = help;
            self.report(unknown);
            self.untyped.insert(name.text.clone());
        }
        let domain = domain.unwrap_or(Domain::Real);
        let may_be_label = matches!(domain, Domain::Class | Domain::Real | Domain::Positive);
        if role == Role::Label && !may_be_label {
            self.report(
                Diagnostic::error(
                    declared.domain.span,
                    format!("label `{}` cannot be `{}`", name.text, domain.name()),
                )
                .label("expected `class`, `real` or `positive`")
                .help(
                    "write `class[2]` for two classes or `real` for a number, or declare the \
                     variable as `data`",
                ),
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
            let title = format!("`{}` needs one number of classes", name.text);
            let found = match shape.len() {
                0 => "found no number".to_string(),
                sizes => format!("found {sizes} numbers"),
            };
            self.report(
                Diagnostic::error(declared.domain.span, title)
                    .label(found)
                    .help(help),
            );
        }
        let modifiers = self.modifiers(declared, role, domain);
        if let Some(first) = self.find(&name.text) {
            let first = self.variable(first).span;
            self.twice("variable", name, first);
            return;
        }
        let shape = if shape.is_empty() { vec![1] } else { shape };
        let shape = self.checked_shape(shape, name);
        if role == Role::Weight {
            self.check_weight(declared, domain, &shape);
        }
        self.add(Variable {
            name: name.text.clone(),
            role,
            domain,
            shape,
            standardized: modifiers.contains(&Modifier::Standardized),
            missing: modifiers.contains(&Modifier::Missing),
            span: name.span,
        });
    }

    /// The modifiers of a declaration, each once. Reports those that do not fit the variable.
    fn modifiers(
        &mut self,
        declared: &ast::Declaration,
        role: Role,
        domain: Domain,
    ) -> Vec<Modifier> {
        let mut modifiers = Vec::new();
        for &(modifier, span) in &declared.modifiers {
            let text = modifier.text();
            if modifiers.contains(&modifier) {
                let twice = format!("`{text}` is written twice");
                self.report(Diagnostic::error(span, twice).help("keep one of the two"));
                continue;
            }
            modifiers.push(modifier);
            let is_latent = matches!(role, Role::Latent | Role::Weight);
            let mistake = match modifier {
                Modifier::Standardized if is_latent || domain != Domain::Real => Some((
                    "only real data and labels can be standardized",
                    match (is_latent, domain) {
                        (false, Domain::Positive) => "the heads of its density find the scale",
                        (false, _) => "such data have a scale",
                        (true, _) => match role {
                            Role::Weight => "weights are taken as they are",
                            _ => "a latent has no data",
                        },
                    },
                )),
                Modifier::Missing if is_latent => Some((
                    "only data, labels and given variables can have missing values",
                    match role {
                        Role::Weight => "every training row has a weight",
                        _ => "a latent is never observed",
                    },
                )),
                _ => None,
            };
            if let Some((title, why)) = mistake {
                let (name, role, domain) = (&declared.name.text, role.name(), domain.name());
                self.report(
                    Diagnostic::error(span, title)
                        .label(format!("`{name}` is a {role} of type `{domain}`"))
                        .help(format!("leave `{text}` out: {why}")),
                );
            }
        }
        modifiers
    }

    /// Reports weights of rows that are not one positive number, and a second declaration of weights.
    fn check_weight(&mut self, declared: &ast::Declaration, domain: Domain, shape: &[usize]) {
        let name = &declared.name;
        if domain != Domain::Positive || shape != [1] {
            let title = format!("weight `{}` must be a single positive number", name.text);
            let help = format!("write `weight {}: positive`", name.text);
            self.report(Diagnostic::error(declared.domain.span, title).help(help));
        }
        let mut variables = self.variables.iter();
        let first = variables.find(|variable| variable.role == Role::Weight);
        if let Some(first) = first.map(|variable| variable.span) {
            let title = "a row has only one weight";
            self.report(
                Diagnostic::error(name.span, title)
                    .label("declared again here")
                    .note(first, "first declared here")
                    .help("keep one of the two, or multiply them in the data"),
            );
        }
    }

    /// Reports a model's only label that rows may lack: a row without it is unlabelled anyway.
    fn single_partly_known_label(&mut self, tree: &File) {
        let declared = tree.items.iter().filter_map(|item| match item {
            Item::Variable(declared) => Some(declared),
            _ => None,
        });
        let labels = declared.filter(|declared| declared.role.text == Role::Label.name());
        let labels: Vec<_> = labels.collect();
        let [only] = labels.as_slice() else {
            return;
        };
        let mut modifiers = only.modifiers.iter();
        let Some((_, span)) = modifiers.find(|(modifier, _)| *modifier == Modifier::Missing) else {
            return;
        };
        let name = &only.name.text;
        let title = "`with missing` is for one of several labels";
        let help = format!("leave it out: a row without `{name}` is unlabelled anyway");
        self.report(
            Diagnostic::error(*span, title)
                .label(format!("`{name}` is the only label"))
                .help(help),
        );
    }

    /// The shape, if its number of elements can be counted. Else reports it, and returns another.
    fn checked_shape(&mut self, shape: Vec<usize>, name: &Name) -> Vec<usize> {
        let Some(title) = too_large(&shape, &format!("`{}`", name.text)) else {
            return shape;
        };
        let large = Diagnostic::error(name.span, title).label("declared here");
        self.report(large.help("reduce a size, or split the variable"));
        vec![1]
    }

    /// Adds a variable; beyond [`MOST_VARIABLES`], reports it instead.
    fn add(&mut self, variable: Variable) {
        if self.variables.len() < MOST_VARIABLES {
            self.variables.push(variable);
        } else if self.variables.len() == MOST_VARIABLES {
            let title = format!("a model has at most {MOST_VARIABLES} variables and nodes");
            let help = "join variables of one type into one with more elements";
            let many = Diagnostic::error(variable.span, title).label("one too many");
            self.report(many.help(help));
            self.stops = true;
        }
    }

    /// Collects the arrows of both graphs, and declares the deterministic nodes.
    pub fn arrows<'t>(&mut self, tree: &'t File) -> Arrows<'t> {
        let mut arrows = Arrows::default();
        for item in &tree.items {
            let Item::Graph {
                keyword,
                arrows: written,
            } = item
            else {
                continue;
            };
            let side = Side::find(&keyword.text).expect("the grammar's graphs");
            if let Some(first) = arrows
                .keywords
                .iter()
                .find(|(other, _)| *other == side)
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
                self.add(Variable {
                    name,
                    role: Role::Node,
                    domain: Domain::Real,
                    shape: vec![1],
                    standardized: false,
                    missing: false,
                    span,
                });
            }
        }
        arrows
    }
}
