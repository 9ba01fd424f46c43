//! Reads the lines of `objective` and `train`, each with its entry in the registry of lines.

use super::{
    arguments::argument_values,
    context::Checker,
    features,
    networks::{argument_layers, network},
};
use crate::{
    diagnostic::{Diagnostic, Span, suggest},
    id::Id,
    layer::Argument,
    lines::{self, Block, Draft, LINES, Line, LineContext, Reader},
    model::{Batch, CostRows, Edition, Factor, Network, Objective, Role, TrainSettings, Variable},
    syntax::ast::{ArgumentValue, Call, Expression, File, Item, Name, Setting},
};

/// The objective and the training settings: the lines of the file, and defaults for all others.
pub(super) fn check(checker: &mut Checker, tree: &File) -> (Objective, TrainSettings) {
    let mut draft = Draft::new(checker.has_labels());
    // An arrow with a mistake is missing from p, which then is no sign of a classifier.
    let classifier = checker.generative.is_empty() && !checker.has_errors();
    let mut seen: Vec<(String, Span)> = Vec::new();
    let (first, others): (Vec<&dyn Line>, Vec<&dyn Line>) =
        LINES.iter().partition(|line| line.is_read_first());
    let (named, rest): (Vec<Written>, Vec<Written>) = written(checker, tree)
        .into_iter()
        .partition(|written| written.line.is_read_first());
    for (written, registered) in [(named, first), (rest, others)] {
        for written in written {
            read(checker, &written, &mut draft, &mut seen, classifier);
        }
        for line in registered {
            line.set(checker, &mut draft);
        }
    }
    let costs = &mut draft.objective.costs;
    costs.sort_by_key(|cost| lines::position(cost.keyword()));
    for line in LINES {
        line.check(checker, &draft);
    }
    has_something_to_learn(checker, &draft);
    warn_of_long_warmups(checker, &draft);
    (draft.objective, draft.training)
}

/// A line of the file, with its entry in the registry.
struct Written<'t> {
    line: &'static dyn Line,
    setting: &'t Setting,
}

/// The lines of a file in source order. Reports unknown keywords, and skips their lines.
fn written<'t>(checker: &mut Checker, tree: &'t File) -> Vec<Written<'t>> {
    let mut written = Vec::new();
    for item in &tree.items {
        let Item::Settings { keyword, settings } = item else {
            continue;
        };
        let block = Block::find(&keyword.text).expect("the grammar's blocks of settings");
        for setting in settings {
            let name = &setting.keyword;
            match lines::find(block, &name.text) {
                Some(line) => written.push(Written { line, setting }),
                None => unknown(checker, block, name),
            }
        }
    }
    written
}

fn unknown(checker: &mut Checker, block: Block, name: &Name) {
    let title = format!("unknown setting `{}` in `{}`", name.text, block.keyword());
    let mut unknown = Diagnostic::error(name.span, title).label("no such setting in this block");
    let keywords = lines::in_block(block).map(|line| line.keyword());
    unknown.help = suggest(&name.text, keywords);
    checker.report(unknown);
}

/// Reads one line into the draft. `seen` holds the keys of the earlier lines; a key may occur once.
fn read(
    checker: &mut Checker,
    written: &Written,
    draft: &mut Draft,
    seen: &mut Vec<(String, Span)>,
    classifier: bool,
) {
    let &Written { line, setting } = written;
    let first_word = setting
        .values
        .first()
        .map_or("", |value| &checker.source[value.span.range()]);
    let keyword = line.keyword();
    let key = if line.repeats() {
        format!("{keyword} {first_word}")
    } else {
        keyword.to_string()
    };
    if let Some((_, first)) = seen.iter().find(|(other, _)| *other == key) {
        let twice = Diagnostic::error(setting.span, format!("`{key}` is set twice"))
            .label("set again here")
            .note(*first, "first set here");
        checker.report(twice.help("keep one of the two"));
        return;
    }
    seen.push((key, setting.span));
    if line.treats_class() {
        draft.treated.push(first_word.to_string());
    }
    if classifier && line.is_about_bound() {
        let title = format!("a classifier has no bound, so `{keyword}` has no effect");
        let help = "remove the line, or add a `generative` block that defines the data";
        checker.report(Diagnostic::error(setting.span, title).help(help));
        return;
    }
    let reported = checker.diagnostics.len();
    let labels = checker.has_labels();
    let mut reader = Reader::new(checker, setting);
    if line.parse(&mut reader, draft).is_some() {
        reader.end();
    }
    for mistake in &mut checker.diagnostics[reported..] {
        if mistake.help.is_none() {
            mistake.help = Some(format!("for example: `{}`", line.example(labels)));
        }
    }
}

/// Reports a model without a bound that has no cost to learn from. Costs of labelled rows count
/// only if a batch has labelled rows.
fn has_something_to_learn(checker: &mut Checker, draft: &Draft) {
    if !checker.generative.is_empty() || checker.has_errors() {
        return;
    }
    let unseen = matches!(draft.training.batch, Batch::Cases { labelled: 0, .. });
    let learns = |rows: CostRows| rows != CostRows::Labelled || !unseen;
    let costs = &draft.objective.costs;
    if costs.iter().any(|cost| learns(cost.rows())) {
        return;
    }
    let (title, help) = match costs.first() {
        None => (
            "the model has neither a `generative` block nor a cost".to_string(),
            "add `classify y` to `objective`, or a `generative` block that defines the data",
        ),
        Some(cost) => (
            format!(
                "`{}` learns from labelled rows, but a batch has none",
                cost.keyword()
            ),
            "set the number of labelled rows: `batch labelled 100, unlabelled 100`",
        ),
    };
    checker.report(
        Diagnostic::error(checker.name, title)
            .label("nothing to learn from")
            .help(help),
    );
}

/// Warns about weights that would still change when the run ends.
fn warn_of_long_warmups(checker: &mut Checker, draft: &Draft) {
    let epochs = draft.training.epochs;
    for (_, ramp) in draft.objective.ramps() {
        if ramp.warmup > epochs as f64 {
            let label = format!("{} epochs of warm-up, {epochs} of training", ramp.warmup);
            checker.report(
                Diagnostic::warning(ramp.span, "the warm-up is longer than the run").label(label),
            );
        }
    }
}

impl LineContext for Checker<'_> {
    fn report(&mut self, diagnostic: Diagnostic) {
        Checker::report(self, diagnostic);
    }

    fn edition(&self) -> Edition {
        self.edition
    }

    fn variables(&self) -> &[Variable] {
        &self.variables
    }

    fn generative(&self) -> &[Factor] {
        &self.generative
    }

    fn inference(&self) -> &[Factor] {
        &self.inference
    }

    fn lookup(&mut self, name: &Name) -> Option<Id<Variable>> {
        Checker::lookup(self, name)
    }

    fn number(&mut self, expression: &Expression) -> Option<f64> {
        Checker::number(self, expression)
    }

    fn in_range(&mut self, span: Span, argument: &Argument, value: f64) -> bool {
        Checker::in_range(self, span, argument, value)
    }

    fn arguments(&mut self, call: &Call, arguments: &[Argument], what: &str) -> Option<Vec<f64>> {
        argument_values(self, call, arguments, what)
    }

    fn set(&mut self, name: &str, argument: &Argument, written: Option<f64>) -> Option<f64> {
        Checker::set(self, name, argument, written)
    }

    fn rename_set(&mut self, former: &str, name: &str) {
        self.sets.rename(former, name);
    }

    fn is_size(&self, name: &str) -> bool {
        self.sizes.contains_key(name)
    }

    fn define(&mut self, name: &'static str, value: f64) {
        self.defined.insert(name, value);
    }

    fn is_network(&self, value: &ArgumentValue) -> bool {
        argument_layers(self, value).is_some()
    }

    fn network(
        &mut self,
        value: &ArgumentValue,
        parents: &[Id<Variable>],
        span: Span,
    ) -> Option<Network> {
        let layers = argument_layers(self, value)?;
        let network = network(self, &layers, parents, span)?;
        features::fits(self, &network, parents, span).map(|_| network)
    }

    fn has_labels(&self) -> bool {
        let mut variables = self.variables.iter();
        variables.any(|variable| variable.role == Role::Label)
    }
}
