//! The error of every fallible operation: what kind of thing went wrong, where, and a way out.
//!
//! Mistakes in a model's text carry their [`Diagnostics`]; errors of files carry the path and the
//! operating system's error. Bugs of dgc itself are panics, not errors.

use crate::diagnostic::Diagnostics;
use std::{
    error::Error as StdError,
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What kind of thing went wrong. The program's exit code follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The text of a model has mistakes; [`Error::diagnostics`] lists them.
    Model,
    /// Data, a checkpoint or another file's contents do not fit what was expected of them.
    Data,
    /// The operating system refused to read or write; [`Error::path`] names the file.
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
    /// This build of dgc, or this model, cannot do what was asked.
    Unsupported,
    /// None of the above.
    Other,
}

impl ErrorKind {
    /// The exit code of the program for an error of this kind: 1 for models, data and all that has
    /// no code of its own, 2 for arguments, 3 for files, 4 for devices, 5 for training that
    /// diverged, 130 for an interruption.
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

/// What happened, where, and what to do about it.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    path: Option<PathBuf>,
    source: Option<Source>,
    /// Whether the message begins with an option and its value.
    names_option: bool,
    diagnostics: Option<Box<Diagnostics>>,
}

/// The result of an operation of dgc.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of no particular kind.
    pub fn new(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Other, message)
    }

    /// An error of a kind.
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

    /// Mistakes in the text of a model.
    pub fn model(diagnostics: Diagnostics) -> Self {
        let count = diagnostics.mistakes();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        let message = format!("{}: {count} {noun}", diagnostics.file);
        Error {
            diagnostics: Some(Box::new(diagnostics)),
            ..Self::of_kind(ErrorKind::Model, message)
        }
    }

    /// Contents that do not fit what was expected of them.
    pub fn data(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Data, message)
    }

    /// An argument or option that is out of range, or contradicts another.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Usage, message)
    }

    /// An option whose value cannot be taken; the program shows it as `--NAME VALUE`.
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

    /// A device, or a library that it needs, that is missing or failed.
    pub fn device(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Device, message)
    }

    /// A device with too little memory.
    pub fn out_of_memory(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::OutOfMemory, message)
    }

    /// Something that this build or this model cannot do.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::of_kind(ErrorKind::Unsupported, message)
    }

    /// A file that cannot be used: `what` says how, such as `cannot be read`. The kind is
    /// [`ErrorKind::Io`] if the operating system refused, else [`ErrorKind::Data`].
    pub fn file(
        path: &Path,
        what: &str,
        error: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let error = error.into();
        let kind = if error.is::<io::Error>() {
            ErrorKind::Io
        } else {
            ErrorKind::Data
        };
        let message = format!("{}: {what}: {error}", path.display());
        Error {
            path: Some(path.to_path_buf()),
            source: Some(Arc::from(error)),
            ..Self::of_kind(kind, message)
        }
    }

    /// The same error with a way out; it replaces an earlier one.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same error with one more way out, after the ones that it has.
    pub fn also_help(mut self, help: impl Into<String>) -> Self {
        let more = help.into();
        self.help = Some(match self.help {
            Some(help) => format!("{help}; {more}"),
            None => more,
        });
        self
    }

    /// The same error with another message, which says what the operation was for.
    pub fn context(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self.names_option = false;
        self
    }

    /// Whether the message begins with an option of the operation and its value, as in `labels 3:
    /// …`, which the program shows as `--labels 3: …`.
    pub fn is_about_option(&self) -> bool {
        self.names_option
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened where, without the help and the diagnostics.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// A way out, if one is known.
    pub fn suggestion(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The file that the error is about, for an error of a file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The mistakes in a model's text, for an error of that kind.
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

/// As `Display` shows it, so that `fn main() -> dgc::Result<()>` prints an error that can be read.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

/// Errors are equal if they say the same; their sources are not compared.
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
