//! The error type of every fallible operation: its kind, a message with the place, and a way out.
//!
//! An error in a model's text carries its [`Diagnostics`]. An error of a file carries the path and
//! the operating system's error. A bug in dgc is a panic, not an error.

use crate::diagnostic::Diagnostics;
use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The kind of an error. It determines the program's exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text of a model has mistakes; [`Error::diagnostics`] lists them.
    Model,
    /// The contents of a data set, checkpoint or other file differ from what was expected.
    Data,
    /// The operating system could not read or write a file; [`Error::path`] names it.
    Io,
    /// An argument or option is out of range, or contradicts another.
    Usage,
    /// A device or one of its libraries is missing or failed.
    Device,
    /// A device has too little memory.
    OutOfMemory,
    /// Training produced numbers that are not finite, or a loss far above its start.
    Diverged,
    /// The caller cancelled the operation.
    Interrupted,
    /// This build of dgc, or this model, does not support the operation.
    Unsupported,
    /// None of the above.
    Other,
}

impl ErrorKind {
    /// The exit code of the program for an error of this kind:
    ///
    /// | code | kinds |
    /// |---|---|
    /// | 1 | `Model`, `Data`, `Unsupported`, `Other` |
    /// | 2 | `Usage` |
    /// | 3 | `Io` |
    /// | 4 | `Device`, `OutOfMemory` |
    /// | 5 | `Diverged` |
    /// | 130 | `Interrupted` |
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Model | ErrorKind::Data | ErrorKind::Unsupported | ErrorKind::Other => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Io => 3,
            ErrorKind::Device | ErrorKind::OutOfMemory => 4,
            ErrorKind::Diverged => 5,
            ErrorKind::Interrupted => 130,
        }
    }
}

type Source = Arc<dyn StdError + Send + Sync>;

/// An error: what happened, where, and a way out.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    path: Option<PathBuf>,
    source: Option<Source>,
    /// Whether the message begins with the name and value of an option.
    names_option: bool,
    diagnostics: Option<Box<Diagnostics>>,
}

/// The result of a fallible operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of kind [`ErrorKind::Other`].
    pub fn new(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Other, message)
    }

    /// An error of the given kind.
    pub fn of_kind(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            help: None,
            path: None,
            source: None,
            names_option: false,
            diagnostics: None,
        }
    }

    /// An error for mistakes in the text of a model.
    pub fn model(diagnostics: Diagnostics) -> Self {
        let count = diagnostics.mistakes();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        let names_option = diagnostics.are_about_changes();
        let message = if names_option {
            format!("set: {count} {noun} for {}", diagnostics.file)
        } else {
            format!("{}: {count} {noun}", diagnostics.file)
        };
        Error {
            diagnostics: Some(Box::new(diagnostics)),
            names_option,
            ..Self::of_kind(ErrorKind::Model, message)
        }
    }

    /// An error for contents that differ from what was expected.
    pub fn data(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Data, message)
    }

    /// An error for an argument or option that is out of range or contradicts another.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Usage, message)
    }

    /// An error for an option with an invalid value; the program shows it as `--NAME VALUE`.
    pub fn option(name: &str, value: impl fmt::Display, message: impl fmt::Display) -> Self {
        let option = format!("{name} {value}");
        Error {
            names_option: true,
            ..Self::of_kind(
                ErrorKind::Usage,
                format!("{}: {message}", option.trim_end()),
            )
        }
    }

    /// An error for a device, or one of its libraries, that is missing or failed.
    pub fn device(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Device, message)
    }

    /// An error for a device with too little memory.
    pub fn out_of_memory(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::OutOfMemory, message)
    }

    /// An error for an operation that this build or this model does not support.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Unsupported, message)
    }

    /// An error of a file; `what` is the problem, such as `cannot be read`. The kind is
    /// [`ErrorKind::Io`] if `error` comes from the operating system, else [`ErrorKind::Data`]. The
    /// way out follows from the operating system's error; [`Error::help`] replaces it.
    pub fn file(
        path: &Path,
        what: &str,
        error: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let error = error.into();
        let failure = error.downcast_ref::<io::Error>().map(io::Error::kind);
        let kind = match failure {
            Some(_) => ErrorKind::Io,
            None => ErrorKind::Data,
        };
        let help = failure.map(|failure| match failure {
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::PermissionDenied => "check the permissions of the file and its folder",
            io::ErrorKind::IsADirectory => "name a file, not a folder",
            io::ErrorKind::NotADirectory => "the path goes through a file; name another one",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some disk space",
            _ => "check the file, its folder and the disk",
        });
        let message = format!("{}: {what}: {error}", path.display());
        Error {
            help: help.map(str::to_string),
            path: Some(path.to_path_buf()),
            source: Some(Arc::from(error)),
            ..Self::of_kind(kind, message)
        }
    }

    /// Sets the way out, replacing an earlier one.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Appends a way out.
    pub fn also_help(mut self, help: impl Into<String>) -> Self {
        let more = help.into();
        self.help = Some(match self.help {
            Some(help) => format!("{help}; {more}"),
            None => more,
        });
        self
    }

    /// Replaces the message with one that names the operation that failed.
    pub fn context(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self.names_option = false;
        self
    }

    /// Whether the message begins with an option and its value, such as `labels 3: …`. The program
    /// shows it as `--labels 3: …`.
    pub fn is_about_option(&self) -> bool {
        self.names_option
    }

    /// The kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, without the way out and the diagnostics.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The way out, if there is one.
    pub fn suggestion(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The file, for an error of a file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The diagnostics, for an error in a model's text.
    pub fn diagnostics(&self) -> Option<&Diagnostics> {
        self.diagnostics.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        match &self.diagnostics {
            Some(diagnostics) => write!(f, "\n\n{diagnostics}"),
            None => Ok(()),
        }
    }
}

/// The kind and the `Display` text, so that `fn main() -> dgc::Result<()>` prints a readable error.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

/// Errors are equal if their kinds, messages, ways out and diagnostics are; sources are not
/// compared.
impl PartialEq for Error {
    fn eq(&self, other: &Self) -> bool {
        let parts = |error: &Self| (error.kind, error.message.clone(), error.help.clone());
        parts(self) == parts(other) && self.diagnostics == other.diagnostics
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match (&self.source, &self.diagnostics) {
            (Some(source), _) => Some(source.as_ref()),
            (None, Some(diagnostics)) => Some(diagnostics.as_ref()),
            (None, None) => None,
        }
    }
}
