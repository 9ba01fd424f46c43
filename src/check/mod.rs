//! Checks a syntax tree and builds a [`Model`]: names, shapes, supports and graphs. Every mistake
//! is reported at once.
//!
//! [`check`] reads a file in the order in which its parts depend on each other: declarations, the
//! factors of both graphs, then the lines of `objective` and `train`. A step that finds a mistake
//! reports it and continues, so that one run shows all mistakes. [`check`] returns a model only if
//! there is no mistake.
//!
//! From the bottom up, each file imports only those above it:
//! - `sets`, `context`: the `Checker` that all steps share, with the names read so far and the
//!   diagnostics;
//! - `declarations`: sizes, variables and nets, and the arrows as written;
//! - `arguments`, `features`, `networks`: calls and networks, and the output shapes of networks;
//! - `probabilities`, `heads`, `priors`: the distribution of a factor;
//! - `nodes`, `factors`, `graphs`: single arrows, and the rules for whole graphs;
//! - `lines`: parses each line of `objective` and `train` with its entry in the registry
//!   [`crate::lines`]. It implements [`LineContext`](crate::lines::LineContext) for the checker.

mod sets;
mod context;
mod declarations;
mod arguments;
mod features;
mod networks;
mod probabilities;
mod heads;
mod nodes;
mod priors;
mod factors;
mod graphs;
mod lines;

use crate::{
    diagnostic::{Diagnostic, Span},
    model::{Batch, Model, SingleRow},
    names::CaseKind,
    syntax::ast::File,
};
use context::{Checker, MOST_REPORTED};

/// The checked model and its warnings. `sets` are the `NAME=VALUE` of `--set`.
///
/// # Errors
///
/// Every mistake, in source order.
pub fn check(
    file: &str,
    source: &str,
    tree: &File,
    sets: &[(String, String)],
) -> Result<(Model, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut checker = Checker::new(source, tree.name.span, sets);
    checker.edition(tree);
    checker.declarations(tree);
    let arrows = checker.arrows(tree);
    (checker.generative, checker.inference) = graphs::check(&mut checker, &arrows);
    let (objective, train) = lines::check(&mut checker, tree);
    if !checker.is_full() {
        graphs::lint(&mut checker, &objective.costs);
        checker.finish();
    }
    if checker.has_errors() {
        // Lines complete the help of mistakes after they are reported, which can make two equal.
        // Warnings are dropped, because they may be consequences of a mistake.
        let mut mistakes: Vec<Diagnostic> = Vec::new();
        for diagnostic in checker.diagnostics.into_iter().filter(Diagnostic::is_error) {
            if !mistakes.contains(&diagnostic) {
                mistakes.push(diagnostic);
            }
        }
        mistakes.sort_by_key(|diagnostic| diagnostic.span.start);
        if checker.omits {
            let title = format!("more than {MOST_REPORTED} mistakes; the others are not shown");
            mistakes.push(Diagnostic::error(tree.name.span, title));
        }
        return Err(mistakes);
    }
    let model = Model {
        name: tree.name.text.clone(),
        file: file.to_string(),
        source: source.to_string(),
        edition: checker.edition,
        sets: sets.to_vec(),
        variables: checker.variables,
        generative: checker.generative,
        inference: checker.inference,
        objective,
        train,
        settings: checker.sets.resolved(),
        upstream: Vec::new(),
        frozen: Vec::new(),
    };
    if let Some(mistake) = single_row(&model) {
        return Err(vec![mistake]);
    }
    Ok((model, checker.diagnostics))
}

/// The mistake of a batch from whose single row batch norm would compute its statistics: the result
/// would be 0 for every row.
fn single_row(model: &Model) -> Option<Diagnostic> {
    let rows = match model.train.batch {
        Batch::All(rows) => vec![(CaseKind::All, rows)],
        Batch::Cases {
            labelled,
            unlabelled,
            ..
        } => vec![
            (CaseKind::Labelled, labelled),
            (CaseKind::Unlabelled, unlabelled),
        ],
    };
    let SingleRow { what, span, found } = model.normalizes_one_row(&rows)?;
    let title = format!("`{what}` cannot normalise a single row");
    let help = match model.train.batch {
        Batch::All(_) => "use at least 2, or normalise by `layernorm`",
        Batch::Cases { .. } => {
            "use at least 2, as in `batch labelled 2, unlabelled 100`, or normalise by `layernorm`"
        }
    };
    Some(Diagnostic::error(span, title).label(found).help(help))
}

impl Checker<'_> {
    /// Reports names of `--set` that the model does not have, and sizes and nets that are never
    /// used.
    fn finish(&mut self) {
        for (name, help) in self.sets.unused() {
            let mut unknown = Diagnostic::error(
                Span::default(),
                format!("`--set {name}=…`: the model has no such size or setting"),
            );
            unknown.help = help;
            self.report(unknown);
        }
        let nets = self.nets.clone();
        for (name, (span, _)) in nets
            .iter()
            .filter(|(name, _)| !self.used_nets.contains(*name))
            .collect::<Vec<_>>()
        {
            let unused = Diagnostic::warning(*span, format!("net `{name}` is never used"))
                .label("defined here");
            self.report(unused.help("use it in an arrow, or remove it"));
        }
        for (name, (_, layers)) in &nets {
            if !self.used_nets.contains(name) {
                networks::examine(self, layers);
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
