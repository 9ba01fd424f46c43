//! Models.

use crate::{
    data::{Contents, Data},
    error::{OrRaise, raised},
};
use dgc::{Drawing, Error, Recipe, syntax::ast::Item};
use pyo3::{exceptions::PyValueError, prelude::*};
use std::path::PathBuf;

/// A checked model.
#[pyclass(frozen, module = "dgc._dgc")]
pub struct Model {
    pub model: dgc::Model,
}

/// The text of a first model for data; `label` is the array or column with the classes to predict.
#[pyfunction]
pub fn draft(
    py: Python<'_>,
    name: &str,
    data: &Data,
    label: Option<&str>,
    recipe: &str,
) -> PyResult<String> {
    let mut all = Recipe::ALL.into_iter();
    let found = all.find(|known| known.name() == recipe);
    let recipe = found.ok_or_else(|| {
        let names = Recipe::ALL.map(Recipe::name).join(", ");
        let error = Error::option("recipe", recipe, "there is no such recipe");
        raised(py, &error.help(format!("the recipes are {names}")))
    })?;
    let text = py.detach(|| match &data.contents {
        Contents::Arrays(arrays) => dgc::draft_arrays(name, arrays, label, recipe),
        Contents::Frame(frame) => dgc::draft_frame(name, frame, label, recipe),
    });
    text.or_raise(py)
}

/// The recipes whose predictions are averaged, for a table with so many numeric columns and labelled rows.
#[pyfunction]
pub fn averaged(columns: usize, labelled: usize) -> Vec<&'static str> {
    let recipes = Recipe::averaged(columns, labelled);
    recipes.into_iter().map(Recipe::name).collect()
}

/// The text of a model file.
#[pyfunction]
pub fn read_model(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    dgc::read_text(&path).or_raise(py)
}

/// The role, the name and the type of each variable that a text declares; none if it has mistakes.
#[pyfunction]
pub fn declared(text: &str) -> Vec<(String, String, String)> {
    let Ok(file) = dgc::syntax::parse(text) else {
        return Vec::new();
    };
    let variables = file.items.iter().filter_map(|item| match item {
        Item::Variable(variable) => Some(variable),
        _ => None,
    });
    let described = variables.map(|variable| {
        let role = variable.role.text.clone();
        (
            role,
            variable.name.text.clone(),
            variable.domain.text.clone(),
        )
    });
    described.collect()
}

/// A variable: name, role, type, shape, whether it is standardized, whether it may miss values, and
/// the number of its numbers in a row of the data.
type Variable = (
    String,
    &'static str,
    &'static str,
    Vec<usize>,
    bool,
    bool,
    usize,
);

#[pymethods]
impl Model {
    /// Checks a text; sizes without a value are those of `data`, or of a data set `place`.
    #[staticmethod]
    fn parse(
        py: Python<'_>,
        name: &str,
        text: &str,
        sets: Vec<(String, String)>,
        data: Option<&Data>,
        place: Option<&str>,
    ) -> PyResult<Self> {
        let model = match (data.map(|data| &data.contents), place) {
            (None, None) => dgc::Model::parse_for(name, text, &[], &sets),
            (None, Some(place)) => dgc::Model::parse_for_data(name, text, place, &sets),
            (Some(Contents::Arrays(arrays)), _) => dgc::Model::parse_for(name, text, arrays, &sets),
            (Some(Contents::Frame(frame)), _) => {
                dgc::Model::parse_for_frame(name, text, frame, &sets)
            }
        };
        let (model, _) = model.or_raise(py)?;
        Ok(Model { model })
    }

    /// Reads a file, which says all sizes.
    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf, sets: Vec<(String, String)>) -> PyResult<Self> {
        let (model, _) = dgc::Model::open_with(&path, &sets).or_raise(py)?;
        Ok(Model { model })
    }

    /// The model with other values of sizes and settings.
    fn set(&self, py: Python<'_>, sets: Vec<(String, String)>) -> PyResult<Self> {
        let model = self.model.clone().set_all(&sets).or_raise(py)?;
        Ok(Model { model })
    }

    /// The model on the latent variable of another run.
    fn on_run(&self, py: Python<'_>, variable: &str, folder: PathBuf) -> PyResult<Self> {
        let model = self.model.clone().on_run(variable, folder).or_raise(py)?;
        Ok(Model { model })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.model.name
    }

    #[getter]
    fn file(&self) -> &str {
        &self.model.file
    }

    #[getter]
    fn text(&self) -> &str {
        &self.model.source
    }

    #[getter]
    fn sets(&self) -> Vec<(String, String)> {
        self.model.sets.clone()
    }

    #[getter]
    fn settings(&self) -> Vec<(String, String)> {
        self.model.settings.clone()
    }

    #[getter]
    fn variables(&self) -> Vec<Variable> {
        let described = |variable: &dgc::model::Variable| {
            let domain = variable.domain;
            (
                variable.name.clone(),
                variable.role.name(),
                domain.name(),
                variable.shape.clone(),
                variable.standardized,
                variable.missing,
                match domain {
                    dgc::distribution::Domain::Class => 1,
                    _ => variable.size(),
                },
            )
        };
        self.model.variables.iter().map(described).collect()
    }

    fn explain(&self) -> String {
        self.model.explain()
    }

    fn graph(&self, drawing: &str) -> PyResult<String> {
        let drawing = match drawing {
            "text" => Drawing::Text,
            "dot" => Drawing::Dot,
            "svg" => Drawing::Svg,
            _ => {
                let message = format!("expected `text`, `dot` or `svg`, found `{drawing}`");
                return Err(PyValueError::new_err(message));
            }
        };
        Ok(self.model.graph(drawing))
    }

    fn warnings(&self) -> Option<String> {
        let warnings = self.model.warnings();
        (!warnings.list.is_empty()).then(|| warnings.to_string())
    }
}
