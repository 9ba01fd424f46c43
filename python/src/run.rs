//! Trained runs.

use crate::{data::Dataset, device::DeviceChoice, error::OrRaise, model::Model};
use dgc::{CheckpointChoice, DataPart, Encodings, Error, Rows, SampleOptions};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use std::path::PathBuf;

/// A trained run.
#[pyclass(frozen, module = "dgc._dgc")]
pub struct Run {
    pub run: dgc::Run,
}

impl Run {
    pub fn new(run: dgc::Run) -> Self {
        Run { run }
    }
}

/// Values of a variable: its name, the number of values in a row, their names, and the values.
type Values<'py> = (String, usize, Vec<String>, Bound<'py, PyArray1<f32>>);

/// A numeric label: its name, the numbers of a row, and their means and standard deviations.
type Numbers<'py> = (
    String,
    usize,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArray1<f32>>,
);

/// Drawn classes of a variable: its name, the names of the classes, and the class of each draw.
type Classes<'py> = (String, Vec<String>, Bound<'py, PyArray1<i64>>);

#[pymethods]
impl Run {
    /// Opens the run in a folder.
    #[staticmethod]
    fn open(
        py: Python<'_>,
        folder: PathBuf,
        device: DeviceChoice,
        samples: usize,
        seed: u64,
        checkpoint: &str,
        calibrated: bool,
    ) -> PyResult<Self> {
        let opened = py.detach(|| -> dgc::Result<dgc::Run> {
            let checkpoint = match checkpoint {
                "best" => CheckpointChoice::Best,
                "last" => CheckpointChoice::Last,
                other => {
                    return Err(
                        Error::option("checkpoint", other, "there is no such checkpoint")
                            .help("the checkpoints are best and last"),
                    );
                }
            };
            let precision = dgc::Run::precision_of(&folder)?;
            let run = dgc::Run::open_on(&folder, &device.device(precision)?)?
                .with_samples(samples)
                .with_seed(seed)
                .with_checkpoint(checkpoint);
            Ok(if calibrated { run } else { run.uncalibrated() })
        });
        Ok(Run::new(opened.or_raise(py)?))
    }

    #[getter]
    fn folder(&self) -> PathBuf {
        self.run.folder().to_path_buf()
    }

    #[getter]
    fn data(&self) -> Option<&str> {
        self.run.data()
    }

    #[getter]
    fn model(&self) -> Model {
        let model = self.run.model().clone();
        Model { model }
    }

    #[getter]
    fn class_names(&self) -> Vec<(String, Vec<String>)> {
        let names = self.run.class_names().iter();
        names
            .map(|(name, classes)| (name.clone(), classes.clone()))
            .collect()
    }

    /// Reads other data for the run.
    fn open_data(&self, py: Python<'_>, source: &str) -> PyResult<Dataset> {
        let dataset = py.detach(|| self.run.open_data(source)).or_raise(py)?;
        Ok(Dataset { dataset })
    }

    /// Fits temperatures on rows that the run did not train on, and stores them in the run's folder.
    /// Returns them as JSON.
    #[staticmethod]
    fn calibrate(
        py: Python<'_>,
        folder: PathBuf,
        device: DeviceChoice,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<String> {
        let found = py.detach(|| -> dgc::Result<dgc::Calibration> {
            let precision = dgc::Run::precision_of(&folder)?;
            let mut run = dgc::Run::open_on(&folder, &device.device(precision)?)?;
            let rows = rows_of(&run, data, part)?;
            run.calibrate(&rows)
        });
        Ok(found.or_raise(py)?.to_json().to_string())
    }

    /// The number of each row.
    fn numbers(
        &self,
        py: Python<'_>,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<Vec<usize>> {
        let rows = py.detach(|| self.rows(data, part)).or_raise(py)?;
        Ok(rows.numbers().to_vec())
    }

    /// The evaluation as JSON and as text.
    fn evaluate(
        &self,
        py: Python<'_>,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<(String, String)> {
        let found = py.detach(|| self.run.evaluate(&self.rows(data, part)?));
        let found = found.or_raise(py)?;
        Ok((found.to_json().to_string(), found.to_string()))
    }

    /// The class probabilities of each label.
    fn predict<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<Vec<Values<'py>>> {
        let found = py.detach(|| self.run.predict(&self.rows(data, part)?));
        let labels = found.or_raise(py)?.labels.into_iter();
        let values = labels.map(|label| {
            let probabilities = label.probabilities.into_pyarray(py);
            (label.label, label.classes, label.names, probabilities)
        });
        Ok(values.collect())
    }

    /// The mean and the standard deviation of each numeric label.
    fn predict_numbers<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<Vec<Numbers<'py>>> {
        let found = py.detach(|| self.run.predict(&self.rows(data, part)?));
        let labels = found.or_raise(py)?.numbers.into_iter();
        let values = labels.map(|label| {
            let (means, deviations) = (label.means, label.deviations);
            (
                label.label,
                label.width,
                means.into_pyarray(py),
                deviations.into_pyarray(py),
            )
        });
        Ok(values.collect())
    }

    /// The posterior means of the latent variables and the class probabilities of the labels.
    fn encode<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<Vec<Values<'py>>> {
        let found = py.detach(|| self.run.encode(&self.rows(data, part)?));
        Ok(arrays(py, found.or_raise(py)?))
    }

    /// The means of the data variables.
    fn reconstruct<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<Vec<Values<'py>>> {
        let found = py.detach(|| self.run.reconstruct(&self.rows(data, part)?));
        Ok(arrays(py, found.or_raise(py)?))
    }

    /// The data variables with missing values filled in.
    fn impute<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<Vec<Values<'py>>> {
        let found = py.detach(|| self.run.impute(&self.rows(data, part)?));
        Ok(arrays(py, found.or_raise(py)?))
    }

    /// The log-likelihood of each row.
    fn score<'py>(
        &self,
        py: Python<'py>,
        data: Option<&Dataset>,
        part: Option<&str>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let found = py.detach(|| self.run.log_likelihood(&self.rows(data, part)?));
        Ok(found.or_raise(py)?.into_pyarray(py))
    }

    /// Draws data: the number of columns, the drawn classes, and the means of each data variable.
    fn sample<'py>(
        &self,
        py: Python<'py>,
        lines: usize,
        chosen: Vec<(String, String)>,
        columns: Option<usize>,
        seed: u64,
    ) -> PyResult<(usize, Vec<Classes<'py>>, Vec<Values<'py>>)> {
        let options = SampleOptions {
            lines,
            chosen,
            columns,
            seed,
            analogy: None,
        };
        let drawn = py.detach(|| self.run.sample(&options)).or_raise(py)?;
        let classes = drawn.classes().iter().map(|drawn| {
            let classes = drawn.classes.to_vec().into_pyarray(py);
            (drawn.name.to_string(), drawn.names.to_vec(), classes)
        });
        let means = drawn.variables().iter().map(|drawn| {
            let means = drawn.means.to_vec().into_pyarray(py);
            let names = drawn.columns.to_vec();
            (drawn.name.to_string(), names.len(), names, means)
        });
        let (classes, means) = (classes.collect(), means.collect());
        Ok((drawn.columns, classes, means))
    }
}

impl Run {
    fn rows(&self, data: Option<&Dataset>, part: Option<&str>) -> dgc::Result<Rows> {
        rows_of(&self.run, data, part)
    }
}

/// The rows of a data set, or of the run's own.
fn rows_of(run: &dgc::Run, data: Option<&Dataset>, part: Option<&str>) -> dgc::Result<Rows> {
    let part = match part {
        None => None,
        Some("test") => Some(DataPart::Test),
        Some("validation") => Some(DataPart::Validation),
        Some("train") => Some(DataPart::Train),
        Some(other) => {
            return Err(Error::option("part", other, "there is no such part")
                .help("the parts are test, validation and train"));
        }
    };
    match data {
        Some(data) => run.rows_of(&data.dataset, part),
        None => run.rows(part),
    }
}

fn arrays(py: Python<'_>, encodings: Encodings) -> Vec<Values<'_>> {
    let variables = encodings.variables.into_iter();
    let values = variables.map(|found| {
        let values = found.values.into_pyarray(py);
        (found.variable, found.width, found.columns, values)
    });
    values.collect()
}
