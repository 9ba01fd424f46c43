//! Reading, checking, changing and printing models.

use crate::{
    bound,
    diagnostic::{Diagnostics, nearest},
    driver,
    error::{Error, ErrorKind, Result},
    files,
    model::{self, Model},
    run::{
        bound::{Arrays, Engine, Report, bound},
        data::{DataArray, Dataset, Frame, sizes, sizes_of_arrays, sizes_of_frame},
        folder::Folder,
        settings::Settings,
    },
    syntax::{self, OpenSize, Outline},
};
use std::{fs, io, path::Path};

/// A format for drawing a model's two graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drawing {
    /// Text, one arrow per line.
    Text,
    /// Graphviz's DOT language.
    Dot,
    /// An SVG picture.
    Svg,
}

impl Model {
    /// Reads and checks a model file; `-` is standard input. Warnings are ignored;
    /// [`Model::warnings`] lists them.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be read,
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) with the diagnostics if the text has mistakes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), &[]).map(|(model, _)| model)
    }

    /// Reads and checks a model file with some sizes and settings changed. Returns the model and
    /// its warnings.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_with(path: &Path, sets: &[(String, String)]) -> Result<(Self, Diagnostics)> {
        check_file(path, &read_text(path)?, sets)
    }

    /// As [`Model::open_with`], for a data set: sizes without a value are found in it. A size that
    /// is a variable's only one is the number of its features, or of its classes.
    ///
    /// # Errors
    /// As [`Model::open`], or if the data set cannot be read or does not say a size.
    pub fn open_for(
        path: &Path,
        data: &str,
        sets: &[(String, String)],
    ) -> Result<(Self, Diagnostics)> {
        let text = read_text(path)?;
        let found = sizes_in(data, &text, sets)?;
        check_file(path, &text, &[&found, sets].concat())
    }

    /// As [`Model::open_for`], for a text. Messages use `name` as the file's name.
    ///
    /// # Errors
    /// As [`Model::open_for`].
    pub fn parse_for_data(
        name: &str,
        text: &str,
        data: &str,
        sets: &[(String, String)],
    ) -> Result<(Self, Diagnostics)> {
        let found = sizes_in(data, text, sets)?;
        check_text(name, name, text, &[&found, sets].concat())
    }

    /// As [`Model::open_for`], for a text and arrays in memory. Messages use `name` as the file's name.
    /// Without arrays, the text must say all sizes.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) with the diagnostics if the text has mistakes, or
    /// if the arrays do not say a size.
    pub fn parse_for(
        name: &str,
        text: &str,
        arrays: &[DataArray],
        sets: &[(String, String)],
    ) -> Result<(Self, Diagnostics)> {
        let (_, open) = open_sizes(text, sets);
        let found = match open.is_empty() || arrays.is_empty() {
            true => Vec::new(),
            false => sizes_of_arrays(arrays, &open)?,
        };
        check_text(name, name, text, &[&found, sets].concat())
    }

    /// As [`Model::parse_for`], for a table in memory.
    ///
    /// # Errors
    /// As [`Model::parse_for`].
    pub fn parse_for_frame(
        name: &str,
        text: &str,
        frame: &Frame,
        sets: &[(String, String)],
    ) -> Result<(Self, Diagnostics)> {
        let (variables, open) = open_sizes(text, sets);
        let found = match open.is_empty() {
            true => Vec::new(),
            false => sizes_of_frame(frame, &open, &variables)?,
        };
        check_text(name, name, text, &[&found, sets].concat())
    }

    /// Checks a model's text; messages use `name` as the file's name.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) with the diagnostics if the text has mistakes.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        check_text(name, name, text, &[]).map(|(model, _)| model)
    }

    /// All mistakes, or else all warnings, of a model's text. Messages use `file` as the file's
    /// name; `sets` are names and values of sizes and settings to change.
    ///
    /// ```
    /// let diagnostics = dgc::Model::check("empty.dgm", "model empty", &[]);
    /// assert!(diagnostics.mistakes() > 0);
    /// println!("{diagnostics}");
    /// ```
    pub fn check(file: &str, text: &str, sets: &[(String, String)]) -> Diagnostics {
        let list = match driver::check(file, text, sets) {
            Ok((_, warnings)) => warnings,
            Err(mistakes) => mistakes,
        };
        Diagnostics::new(file, text, list)
    }

    /// Changes a size or setting, such as `hidden`, `epochs` or `batch.unlabelled`, and checks the
    /// model with the new value.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there is no such size or setting, its value
    /// is invalid, or the changed model has a mistake.
    pub fn set(self, name: &str, value: impl ToString) -> Result<Self> {
        self.set_all(&[(name.to_string(), value.to_string())])
    }

    /// Changes several sizes and settings at once.
    ///
    /// # Errors
    /// As [`Model::set`].
    pub fn set_all(self, sets: &[(String, String)]) -> Result<Self> {
        let sets = [&self.sets, sets].concat();
        let (mut model, _) = check_text(&self.file, &self.file, &self.source, &sets)?;
        model.frozen = self.frozen;
        for upstream in self.upstream {
            let name = &self.variables[upstream.variable.index()].name;
            let refused = |message: String| Error::usage(message);
            model = stand_on(model, name, *upstream.model, refused)?;
        }
        Ok(model)
    }

    /// The warnings of the model's text: valid constructs that are probably mistakes.
    pub fn warnings(&self) -> Diagnostics {
        Self::check(&self.file, &self.source, &self.sets)
    }

    /// Takes the values of a data variable from the latent variable of the same name that another
    /// run infers: `m2.on_run("z", "runs/m1")` puts M2 on M1's `z`.
    ///
    /// # Errors
    /// If the folder is not a run, or the variables' types differ.
    pub fn on_run(self, variable: &str, folder: impl AsRef<Path>) -> Result<Self> {
        let path = folder.as_ref();
        let (folder, settings) = Folder::open(path)?;
        let upstream = folder.model(&settings)?;
        let value = format!("{variable}={}", path.display());
        stand_on(self, variable, upstream, |message| {
            Error::option("from", value, message)
        })
    }

    /// The training objective as mathematics, with a sentence about each weight that changes.
    pub fn explain(&self) -> String {
        bound::explain(self, &driver::derive(self))
    }

    /// A drawing of both graphs.
    pub fn graph(&self, drawing: Drawing) -> String {
        match drawing {
            Drawing::Text => model::print(self),
            Drawing::Dot => model::to_dot(self),
            Drawing::Svg => model::to_svg(self),
        }
    }

    /// The bound, its terms and the gradient for given parameters, batch and noise.
    ///
    /// Batch norm uses the batch's statistics, dropout is off, and data are not binarised. Rows
    /// with labels of −1 belong to the unlabelled case. Scheduled weights have their final values.
    /// Noise arrays are named `CASE.VARIABLE` and have the axes sample, row, class, feature; if
    /// `noise` is `None`, noise is drawn from `seed`.
    ///
    /// # Errors
    /// If an array is missing or has the wrong shape.
    pub fn bound(
        &self,
        parameters: &Arrays,
        batch: &Arrays,
        noise: Option<&Arrays>,
        seed: u64,
        engine: &Engine,
    ) -> Result<Report> {
        bound(self, parameters, batch, noise, seed, engine)
    }
}

impl Dataset {
    /// The data set that the runs in these folders share, for a model that takes values from them;
    /// the bundled MNIST excerpt if `runs` is empty.
    ///
    /// # Errors
    /// If the runs have different data sets, or the data set cannot be read.
    pub fn of_runs(runs: &[&str], model: &Model) -> Result<Self> {
        let mut all = Vec::new();
        for run in runs {
            all.push(Folder::open(run.as_ref())?.1);
        }
        Settings::shared_dataset(&all, model)
    }
}

/// The values of the sizes without a value, also in `sets`, in a data set.
fn sizes_in(data: &str, text: &str, sets: &[(String, String)]) -> Result<Vec<(String, String)>> {
    let (variables, open) = open_sizes(text, sets);
    match open.is_empty() {
        true => Ok(Vec::new()),
        false => sizes(data, &open, &variables),
    }
}

/// The variables of a model's text, and its sizes without a value, also in `sets`. None if the text
/// has mistakes.
fn open_sizes(text: &str, sets: &[(String, String)]) -> (Vec<Outline>, Vec<OpenSize>) {
    let is_set = |size: &OpenSize| sets.iter().any(|(name, _)| *name == size.name);
    let (variables, mut open) = match syntax::parse(text) {
        Ok(file) => syntax::outline(&file),
        Err(_) => Default::default(),
    };
    open.retain(|size| !is_set(size));
    (variables, open)
}

/// Connects a variable of the model to the upstream model that infers it; `refused` makes the error
/// from a message.
fn stand_on(
    model: Model,
    variable: &str,
    upstream: Model,
    refused: impl FnOnce(String) -> Error,
) -> Result<Model> {
    model
        .with_upstream(variable, upstream)
        .map_err(|(message, help)| refused(message).help(help))
}

/// Checks the text of a file.
fn check_file(path: &Path, text: &str, sets: &[(String, String)]) -> Result<(Model, Diagnostics)> {
    let shown = shown_name(path);
    let name = match path.file_name() {
        Some(name) if !is_standard(path) => name.to_string_lossy().into_owned(),
        _ => shown.clone(),
    };
    check_text(&name, &shown, text, sets)
}

fn check_text(
    name: &str,
    shown: &str,
    text: &str,
    sets: &[(String, String)],
) -> Result<(Model, Diagnostics)> {
    match driver::check(name, text, sets) {
        Ok((model, warnings)) => Ok((model, Diagnostics::new(shown, text, warnings))),
        Err(mistakes) => Err(Error::model(Diagnostics::new(shown, text, mistakes))),
    }
}

/// Whether a path is `-`: standard input, or standard output for a file to write. A file of that
/// name is `./-`.
pub(crate) fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

/// The name of a model file in messages.
pub(crate) fn shown_name(file: &Path) -> String {
    match is_standard(file) {
        true => "standard input".to_string(),
        false => file.display().to_string(),
    }
}

/// The text of a model file, with Unix line ends; `-` is standard input.
///
/// # Errors
/// If the file cannot be read, or is not UTF-8.
pub fn read_text(file: &Path) -> Result<String> {
    let shown = shown_name(file);
    let read = if is_standard(file) {
        files::read_at_most(io::stdin(), syntax::MOST_TEXT)
    } else {
        files::open(file).and_then(|file| files::read_at_most(file, syntax::MOST_TEXT))
    };
    let bytes = read.map_err(|error| {
        if error.kind() == io::ErrorKind::FileTooLarge {
            let message = format!(
                "{shown}: a model's text has at most {} bytes",
                syntax::MOST_TEXT
            );
            return Error::of_kind(ErrorKind::Model, message).help(
                "repeat layers with `3 * [dense(100) > relu]`, and name networks with `net`",
            );
        }
        let error = Error::file(shown.as_ref(), "cannot be read", error);
        match file {
            file if file.is_dir() => error.help("name a model file, such as models/adgm.dgm"),
            file if file.is_file() => error.help("check the file's permissions"),
            file if file.exists() => error.help("name a model file, such as models/adgm.dgm"),
            file => match near(file) {
                Some(help) => error.help(help),
                None => error.help("name a model file, such as models/adgm.dgm"),
            },
        }
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let title = format!("{shown}: expected UTF-8 text, found an invalid byte at offset {at}");
        Error::data(title).help("name a model file, such as models/adgm.dgm, and save it as UTF-8")
    })?;
    Ok(syntax::plain(&text))
}

/// For a model file that does not exist: "did you mean …?" with the model file in the same folder
/// that has the most similar name.
fn near(file: &Path) -> Option<String> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let stems = entries.flatten().filter_map(|entry| {
        let name = entry.file_name();
        Some(name.to_str()?.strip_suffix(".dgm")?.to_string())
    });
    let stems: Vec<String> = stems.collect();
    let near = nearest(
        file.file_stem()?.to_str()?,
        stems.iter().map(String::as_str),
    )?;
    Some(format!(
        "did you mean `{}`?",
        file.with_file_name(format!("{near}.dgm")).display()
    ))
}
