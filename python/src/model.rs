//! Models.

use crate::{data::Arrays, error::OrRaise};
use dgc::Drawing;
use pyo3::{exceptions::PyValueError, prelude::*};
use std::path::PathBuf;

/// A checked model.
#[pyclass(frozen, module = "dgc._dgc")]
pub struct Model {
    pub model: dgc::Model,
}

/// The text of a first model for arrays; `label` is the array with the classes to predict.
#[pyfunction]
pub fn draft(py: Python<'_>, name: &str, arrays: &Arrays, label: Option<&str>) -> PyResult<String> {
    let text = py.detach(|| dgc::draft_arrays(name, &arrays.arrays, label));
    text.or_raise(py)
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
    /// Checks a text; sizes without a value are those of `arrays`.
    #[staticmethod]
    fn parse(
        py: Python<'_>,
        name: &str,
        text: &str,
        sets: Vec<(String, String)>,
        arrays: Option<&Arrays>,
    ) -> PyResult<Self> {
        let arrays = arrays.map_or(&[][..], |arrays| &arrays.arrays);
        let model = dgc::Model::parse_for(name, text, arrays, &sets);
        let (model, _) = model.or_raise(py)?;
        Ok(Model { model })
    }

    /// Reads a file; sizes without a value are those of the data set `data`, a name or path.
    #[staticmethod]
    fn open(
        py: Python<'_>,
        path: PathBuf,
        sets: Vec<(String, String)>,
        data: Option<&str>,
    ) -> PyResult<Self> {
        let model = match data {
            Some(data) => dgc::Model::open_for(&path, data, &sets),
            None => dgc::Model::open_with(&path, &sets),
        };
        let (model, _) = model.or_raise(py)?;
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
