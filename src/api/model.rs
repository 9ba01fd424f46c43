//! Reading, checking, changing and showing models.

use crate::{
    bound,
    diagnostic::{Diagnostics, nearest},
    driver,
    error::{Error, Result},
    model::{self, Model},
    run::{
        bound::{Arrays, Engine, Report, bound},
        data::Dataset,
        folder::{Folder, Settings},
    },
    syntax,
};
use std::{fs, path::Path};

/// A kind of drawing of a model's two graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Drawing {
    /// Lines of text, an arrow in each.
    Text,
    /// The language of Graphviz.
    Dot,
    /// A picture.
    Svg,
}

impl Model {
    /// Reads and checks a model file. Warnings are ignored; [`Model::warnings`] lists them.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the file cannot be read,
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) with the diagnostics if the text has mistakes.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path.as_ref(), &[]).map(|(model, _)| model)
    }

    /// Reads and checks a model file with some sizes and settings changed; gives its warnings too.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_with(path: &Path, sets: &[(String, String)]) -> Result<(Self, Diagnostics)> {
        let text = read_text(path)?;
        let shown = path.display().to_string();
        let name = path
            .file_name()
            .map_or_else(|| shown.clone(), |name| name.to_string_lossy().into_owned());
        check_text(&name, &shown, &text, sets)
    }

    /// Checks a model's text; `name` stands for the file's name in messages.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) with the diagnostics if the text has mistakes.
    pub fn parse(name: &str, text: &str) -> Result<Self> {
        check_text(name, name, text, &[]).map(|(model, _)| model)
    }

    /// Every mistake and every warning of a model's text, which is shown as `file`. `sets` are sizes
    /// and settings to change, by name.
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

    /// The model with a size or setting changed, such as `hidden`, `epochs` or `batch.unlabelled`:
    /// its text is checked again with the new value.
    ///
    /// # Errors
    /// [`ErrorKind::Model`](crate::ErrorKind::Model) if there is no such size or setting, it cannot
    /// take the value, or the model has a mistake with it.
    pub fn set(self, name: &str, value: impl ToString) -> Result<Self> {
        self.set_all(&[(name.to_string(), value.to_string())])
    }

    /// The model with several sizes and settings changed at once.
    ///
    /// # Errors
    /// As [`Model::set`].
    pub fn set_all(self, sets: &[(String, String)]) -> Result<Self> {
        let sets = [&self.sets, sets].concat();
        let (mut model, _) = check_text(&self.file, &self.file, &self.source, &sets)?;
        for upstream in self.upstream {
            let name = &self.variables[upstream.variable.index()].name;
            let refused = |message: String| Error::usage(message);
            model = stand_on(model, name, *upstream.model, refused)?;
        }
        Ok(model)
    }

    /// The warnings of the model's text: things that are legal and likely wrong.
    pub fn warnings(&self) -> Diagnostics {
        Self::check(&self.file, &self.source, &self.sets)
    }

    /// The model with a data variable whose values the model of a run infers: its latent of the
    /// same name. M2 on M1's `z` is `m2.on_run("z", "runs/m1")`.
    ///
    /// # Errors
    /// If the folder holds no run, or the variable and the latent do not fit.
    pub fn on_run(self, variable: &str, folder: impl AsRef<Path>) -> Result<Self> {
        let path = folder.as_ref();
        let (folder, settings) = Folder::open(path)?;
        let upstream = folder.model(&settings)?;
        let value = format!("{variable}={}", path.display());
        stand_on(self, variable, upstream, |message| {
            Error::option("from", value, message)
        })
    }

    /// What training maximises, as mathematics, with a sentence on each weight that changes.
    pub fn explain(&self) -> String {
        bound::explain(self, &driver::derive(self))
    }

    /// Both graphs, drawn.
    pub fn graph(&self, drawing: Drawing) -> String {
        match drawing {
            Drawing::Text => model::print(self),
            Drawing::Dot => model::to_dot(self),
            Drawing::Svg => model::to_svg(self),
        }
    }

    /// The bound, its terms and the gradient for given parameters, batch and noise.
    ///
    /// Batch norm takes the batch's statistics, dropout is off, and data are taken as they are. Rows
    /// whose labels are −1 are the unlabelled case. Weights are those that training ends with.
    /// Noise is named `CASE.VARIABLE`, with axes sample, row, class, feature; without it, it is drawn
    /// by `seed`.
    ///
    /// # Errors
    /// If an array is missing or has another shape than the model's.
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
    /// The data set of the runs in these folders, for a model that stands on theirs: they must have
    /// the same; the bundled excerpt of MNIST if no run is named.
    ///
    /// # Errors
    /// If the runs have different data, or these cannot be read.
    pub fn of_runs(runs: &[&str], model: &Model) -> Result<Self> {
        let mut all = Vec::new();
        for run in runs {
            all.push(Folder::open(run.as_ref())?.1);
        }
        Settings::shared_dataset(&all, model)
    }
}

/// The model on another that infers one of its variables; `refused` makes the error.
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

/// The text of a model file, with the line ends of Unix.
///
/// # Errors
/// If the file cannot be read, or is not UTF-8.
pub(crate) fn read_text(file: &Path) -> Result<String> {
    let bytes = fs::read(file).map_err(|error| {
        let error = Error::file(file, "cannot be read", error);
        match file {
            file if file.is_dir() => error.help("name a model file, such as models/adgm.dgm"),
            file if file.exists() => error,
            file => match near(file) {
                Some(help) => error.help(help),
                None => error,
            },
        }
    })?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let title = format!("{} is no text: byte {at} is not UTF-8", file.display());
        Error::data(title).help("name a model file, such as models/adgm.dgm; save it as UTF-8")
    })?;
    Ok(syntax::plain(&text))
}

/// "did you mean …?" for a model file that does not exist: the file of the same folder with the
/// most similar name, its ending aside.
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
