//! Notes: findings that are worth knowing and are not mistakes, such as a class without a labelled
//! row.

use std::fmt;

/// A finding that is not a mistake: what was found, with its numbers, and a way to change it.
///
/// Like the messages of errors, notes name options and methods of the library.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    message: String,
    help: Option<String>,
}

impl Note {
    /// A note with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Note {
            message: message.into(),
            help: None,
        }
    }

    /// Sets the way to change it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What was found.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A way to change it, if there is one.
    pub fn suggestion(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}
