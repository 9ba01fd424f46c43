//! Diagnostics about a model's text: where, what was expected, what was found, and a way out.
//!
//! A user's mistakes are [`Diagnostic`] values, collected and reported all at once. Bugs in dgc are
//! panics.

use std::{fmt, ops::Range};

/// A range of bytes in a source text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Span {
    /// The offset of the first byte.
    pub start: usize,
    /// The offset after the last byte.
    pub end: usize,
}

impl Span {
    /// The bytes from `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Span { start, end }
    }

    /// The span as a range, to index the source text.
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }
}

/// How serious a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The model is rejected.
    Error,
    /// The model is accepted, but probably wrong.
    Warning,
}

/// An error or a warning about a model's text.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// Whether the model is rejected.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: String,
    /// The place; [`Span::default`] for a mistake outside the text, such as one in `--set`.
    pub span: Span,
    /// The message at the place.
    pub label: String,
    /// Related places, each with a message.
    pub notes: Vec<(Span, String)>,
    /// A way to correct it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at this place.
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

    /// Sets the message at the place.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds a related place.
    pub fn note(mut self, span: Span, label: impl Into<String>) -> Self {
        self.notes.push((span, label.into()));
        self
    }

    /// Sets the way to correct it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Whether it is an error, which rejects the model.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The diagnostics of one text, together with the text, so that they can be shown in context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    /// The name of the text in messages, such as its path.
    pub file: String,
    /// The text that the spans refer to.
    pub text: String,
    /// The diagnostics, in source order.
    pub list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// The diagnostics of a text that messages call `file`.
    pub fn new(file: impl Into<String>, text: impl Into<String>, list: Vec<Diagnostic>) -> Self {
        Diagnostics {
            file: file.into(),
            text: text.into(),
            list,
        }
    }

    /// The number of errors; warnings are not counted.
    pub fn mistakes(&self) -> usize {
        self.list
            .iter()
            .filter(|diagnostic| diagnostic.is_error())
            .count()
    }

    /// Whether all errors are outside the text, in the changes of `--set` and
    /// [`Model::set`](crate::Model::set).
    pub fn are_about_changes(&self) -> bool {
        let mut errors = self.list.iter().filter(|diagnostic| diagnostic.is_error());
        errors.all(|diagnostic| diagnostic.span == Span::default())
    }

    /// All diagnostics as text for a terminal.
    pub fn render(&self, colour: bool) -> String {
        render(&self.list, &self.file, &self.text, colour)
    }

    /// All diagnostics as JSON, with lines and columns counted from 1.
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

/// The most candidates that a misspelt name is compared with, and that a message lists. A file can
/// have any number of names.
const MOST_COMPARED: usize = 200;
const MOST_LISTED: usize = 50;

/// The candidate closest to a misspelt name, if one is close enough.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = candidates
        .into_iter()
        .take(MOST_COMPARED)
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate));
    let near = distances.filter(|(distance, candidate)| {
        // Allow one wrong letter, and one more for every four letters, but not all of them.
        let len = candidate.chars().count().max(name.chars().count());
        *distance <= 1 + len / 4 && *distance < len
    });
    near.min().map(|(_, candidate)| candidate)
}

/// "did you mean `near`?" for the candidate closest to a misspelt name, if one is close enough;
/// else the list of candidates.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    match (
        nearest(name, candidates.iter().copied()),
        candidates.as_slice(),
    ) {
        (Some(near), _) => Some(format!("did you mean `{near}`?")),
        (None, []) => None,
        (None, all) => {
            let listed = all.iter().take(MOST_LISTED);
            let listed: Vec<String> = listed.map(|name| format!("`{name}`")).collect();
            let more = if all.len() > MOST_LISTED { ", …" } else { "" };
            Some(format!("available: {}{more}", listed.join(", ")))
        }
    }
}

/// The most bytes of a text whose lines are shown.
const MOST_SHOWN: usize = 1 << 20;

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
        // A mistake outside the text, such as one on the command line, has no span. A text that no
        // model can have is not shown: its lines would be read for each mistake.
        if diagnostic.span != Span::default() && source.len() <= MOST_SHOWN {
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
