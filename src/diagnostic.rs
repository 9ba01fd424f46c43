//! Reports about a model's text: the place, what was expected, what was found and a way out.
//!
//! Mistakes of the user are values of this type, gathered and reported all at once; mistakes of dgc
//! are panics.

use std::{fmt, ops::Range};

/// A range of bytes in a source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// As a range, to index the source.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// How serious a report is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The model is refused.
    Error,
    /// The model is legal and likely wrong.
    Warning,
}

/// One mistake, or one thing that is legal and likely wrong.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// Whether the model is refused.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: String,
    /// The place; [`Span::default`] for what is outside the text, such as `--set`.
    pub span: Span,
    /// What is said at the place.
    pub label: String,
    /// Other places that matter.
    pub notes: Vec<(Span, String)>,
    /// A way out.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake at this place.
    pub fn error(span: Span, title: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Error,
            title: title.into(),
            span,
            label: String::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// A warning at this place.
    pub fn warning(span: Span, title: impl Into<String>) -> Self {
        Diagnostic {
            severity: Severity::Warning,
            ..Self::error(span, title)
        }
    }

    /// The same with this said at its place.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The same with another place that matters.
    pub fn note(mut self, span: Span, label: impl Into<String>) -> Self {
        self.notes.push((span, label.into()));
        self
    }

    /// The same with a way out.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether it refuses the model.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The diagnostics of one text, with the text, so that they can be shown with their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The name that the text is shown under, such as its path.
    pub file: String,
    /// The text that the places refer to.
    pub text: String,
    /// In the order of their places.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The diagnostics of a text that is shown as `file`.
    pub fn new(file: impl Into<String>, text: impl Into<String>, list: Vec<Diagnostic>) -> Self {
        Diagnostics {
            file: file.into(),
            text: text.into(),
            list,
        }
    }

    /// How many are errors, warnings aside.
    pub fn mistakes(&self) -> usize {
        self.list
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .count()
    }

    /// All of them as text for a terminal.
    pub fn render(&self, colour: bool) -> String {
        render(&self.list, &self.file, &self.text, colour)
    }

    /// All of them as JSON, with lines and columns counted from 1.
    pub fn json(&self) -> Vec<serde_json::Value> {
        json(&self.list, &self.file, &self.text)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

/// The candidate that a misspelt name is nearly, if there is one.
/// The candidate that a misspelt name most resembles, if it resembles one.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate));
    let near = distances.filter(|(distance, candidate)| {
        // One letter may be wrong, and one more for every four letters, but never all of them.
        let len = candidate.chars().count().max(name.chars().count());
        *distance <= 1 + len / 4 && *distance < len
    });
    near.min().map(|(_, candidate)| candidate)
}

/// "did you mean `near`?" for the candidate nearest to a misspelt name, if one is near; else the
/// list of candidates.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match (
        nearest(name, candidates.iter().copied()),
        candidates.as_slice(),
    ) {
        (Some(near), _) => Some(format!("did you mean `{near}`?")),
        (None, []) => None,
        (None, all) => {
            let all: Vec<String> = all.iter().map(|name| format!("`{name}`")).collect();
            Some(format!("known: {}", all.join(", ")))
        }
    }
}

/// The diagnostics of one file as text for a terminal.
pub fn render(diagnostics: &[Diagnostic], file: &str, source: &str, colour: bool) -> String {
    use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = String::new();
    for diagnostic in diagnostics {
        let level = if diagnostic.is_error() {
            Level::ERROR
        } else {
            Level::WARNING
        };
        let mut group = level
            .primary_title(diagnostic.title.as_str())
            .elements(Vec::<annotate_snippets::Element<'_>>::new());
        // A mistake outside the text, such as one on the command line, has no place in it.
        if diagnostic.span != Span::default() {
            let mut snippet = Snippet::source(source).path(file).annotation(
                AnnotationKind::Primary
                    .span(diagnostic.span.range())
                    .label(diagnostic.label.as_str()),
            );
            for (span, label) in &diagnostic.notes {
                snippet = snippet.annotation(
                    AnnotationKind::Context
                        .span(span.range())
                        .label(label.as_str()),
                );
            }
            group = group.element(snippet);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        text += &renderer.render(&[group]);
        text += "\n\n";
    }
    text
}

/// The diagnostics of one file as JSON, with lines and columns counted from 1.
pub fn json(diagnostics: &[Diagnostic], file: &str, source: &str) -> Vec<serde_json::Value> {
    let place = |span: Span| {
        let before = &source[..span.start.min(source.len())];
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        serde_json::json!({ "start": span.start, "end": span.end, "line": before.matches('\n').count() + 1, "column": column })
    };
    let object = |diagnostic: &Diagnostic| {
        let notes = diagnostic
            .notes
            .iter()
            .map(|(span, label)| serde_json::json!({ "place": place(*span), "label": label }));
        serde_json::json!({
            "severity": diagnostic.severity,
            "title": diagnostic.title,
            "file": file,
            "place": place(diagnostic.span),
            "label": diagnostic.label,
            "notes": notes.collect::<Vec<_>>(),
            "help": diagnostic.help,
        })
    };
    diagnostics.iter().map(object).collect()
}
