//! Calibration of a run's class probabilities on rows that it did not train on.

use super::{
    run::Run,
    selection::{DataPart, Rows},
};
use crate::{
    error::{Error, Result},
    run::calibration::{Calibration, Temperature},
};
use std::collections::BTreeMap;

impl Run {
    /// Fits the temperature of each label on rows with that label (Guo et al. 2017), and stores the
    /// result in the run. From then on, class probabilities of the run are calibrated; see
    /// [`Calibration`]. An earlier calibration is replaced.
    ///
    /// # Errors
    /// If the rows are test rows, or training rows of the run; if a label is unknown in all rows, or no
    /// temperature has the least loss, as when all predictions are right; or if the rows do not fit the
    /// model, or the file cannot be written.
    pub fn calibrate(&mut self, rows: &Rows) -> Result<Calibration> {
        if !self.model().labels().any(|label| label.is_class()) {
            let message =
                "the model has no class label, so there are no probabilities to calibrate";
            return Err(Error::unsupported(message).help(
                "the evaluation of the run says how many true numbers are within 1.96 deviations",
            ));
        }
        check_unseen(rows)?;
        // The probabilities as the model gives them.
        let run = Run::open_on(self.folder(), self.device())?
            .with_samples(self.samples)
            .with_seed(self.seed)
            .with_checkpoint(self.checkpoint)
            .uncalibrated();
        let predictions = run.predict(rows)?;
        let mut labels = BTreeMap::new();
        for prediction in &predictions.labels {
            let found = Temperature::fit(
                &prediction.probabilities,
                prediction.classes,
                &prediction.truth,
            );
            let found = found.ok_or_else(|| {
                let message = format!("expected rows with the label `{}`", prediction.label);
                Error::data(format!("{message}, found none"))
                    .help("a temperature is fitted on rows whose class is known")
            })?;
            if found.is_at_limit() {
                return Err(without_best(&prediction.label, &found));
            }
            labels.insert(prediction.label.clone(), found);
        }
        let calibration = Calibration {
            labels,
            samples: self.samples,
            rows: rows.part().map_or_else(
                || "given".to_string(),
                |part| match part {
                    DataPart::Validation => part.to_string(),
                    _ => "other".to_string(),
                },
            ),
        };
        self.folder.write_calibration(
            &self.settings,
            &self.model,
            self.checkpoint,
            &calibration,
        )?;
        self.set_calibration(calibration.clone());
        Ok(calibration)
    }
}

fn check_unseen(rows: &Rows) -> Result<()> {
    let (what, why) = if rows.part() == Some(DataPart::Test) {
        (
            "test rows",
            "the scores of the test rows would no longer be those of unseen rows",
        )
    } else if rows.is_trained_on() {
        (
            "rows that the run trained on",
            "predictions of such rows are too certain",
        )
    } else {
        return Ok(());
    };
    let message = format!("expected rows to calibrate on, found {what}: {why}");
    Err(Error::usage(message).help(
        "hold out rows in training with the option `validation`, or name other labelled data with \
         the option `data`",
    ))
}

/// The error of rows that have no best temperature.
fn without_best(label: &str, found: &Temperature) -> Error {
    let why = match found.temperature < 1.0 {
        true => "all predictions are right, so it only falls with the temperature",
        false => "predictions are wrong so often that it only falls with a higher temperature",
    };
    let message = format!(
        "no temperature makes the log loss of `{label}` the least on these {} rows: {why}",
        found.rows
    );
    Error::data(message).help("hold out more labelled rows, or name them with the option `data`")
}
