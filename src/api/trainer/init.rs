//! Beginning a run with the parameters of another one.

use super::{Trainer, freeze::is_upstream};
use crate::{
    api::inherited::Inherited,
    error::{Error, Result},
    model::Model,
    run::{
        arrays::NamedArray,
        data::Dataset,
        folder::{CheckpointChoice, Folder},
        session::Entry,
        settings::{Init, Settings},
    },
};
use std::{collections::BTreeSet, path::Path};

impl Trainer {
    /// Copies the parameters of another run: its best ones, or their averages.
    ///
    /// # Errors
    /// If the folder is not a run, no parameter fits, or classes have other names.
    pub(super) fn inherit(&mut self, path: &Path, data: &Dataset) -> Result<()> {
        let shown = path.display().to_string();
        let (folder, settings) = Folder::open(path)?;
        let other = folder.model(&settings)?;
        check_classes(&shown, &self.stepper.model, data, &settings)?;
        self.adopt_names(data, &settings)?;
        let checkpoint = folder.read_chosen(&settings, &other, CheckpointChoice::Best)?;
        let arrays = checkpoint.evaluated();
        let model = &self.stepper.model;
        let entries = self.stepper.session.layout.entries.iter();
        let entries = entries.filter(|entry| !is_upstream(model, &entry.parameter.name));
        let entries: Vec<Entry> = entries.cloned().collect();
        let mut inherited = Inherited {
            run: shown.clone(),
            copied: 0,
            parameters: entries.len(),
            grown: Vec::new(),
            reshaped: Vec::new(),
            new: Vec::new(),
            unused: Vec::new(),
        };
        let session = &mut self.stepper.session;
        for entry in &entries {
            let name = &entry.parameter.name;
            let Some(found) = arrays.get(name.as_str()) else {
                inherited.new.push(name.clone());
                continue;
            };
            let difference = (name.clone(), found.shape.clone(), entry.shape.clone());
            let values = if found.shape == entry.shape {
                found.data.clone()
            } else if is_grown(&found.shape, &entry.shape) {
                inherited.grown.push(difference);
                let fresh = session.parameter(entry)?;
                grown(found, &entry.shape, &fresh)
            } else {
                inherited.reshaped.push(difference);
                continue;
            };
            inherited.copied += 1;
            for array in session.parameter_arrays() {
                session.set(array, entry, &values)?;
            }
        }
        let known: BTreeSet<&str> = entries.iter().map(|entry| &*entry.parameter.name).collect();
        let is_unused = |name: &&&str| !known.contains(*name) && !is_state(name);
        let mut unused: Vec<String> = arrays
            .keys()
            .filter(is_unused)
            .map(|name| name.to_string())
            .collect();
        unused.sort();
        inherited.unused = unused;
        if inherited.copied == 0 {
            let message = "no parameter of the run has the name and the shape of one of the model";
            return Err(Error::option("init", shown, message)
                .help("name a run of a similar model, or omit the option"));
        }
        self.settings.init = Some(Init {
            run: shown,
            checkpoint: checkpoint.checksum.clone(),
        });
        self.summary.init = Some(inherited);
        Ok(())
    }
}

impl Trainer {
    /// Takes the names of a label's classes from the other run, if no row of the data is labelled.
    ///
    /// # Errors
    /// If the rows cannot be read.
    fn adopt_names(&mut self, data: &Dataset, other: &Settings) -> Result<()> {
        // Data in memory have their names themselves.
        if data.name().is_none() {
            return Ok(());
        }
        for label in self.stepper.model.labels() {
            let (name, known) = (&label.name, &mut self.settings.class_names);
            let Some(names) = other
                .class_names
                .get(name)
                .filter(|_| !known.contains_key(name))
            else {
                continue;
            };
            let parts = [
                Some(&data.train),
                data.test.as_ref(),
                data.validation.as_ref(),
            ];
            let mut is_unlabelled = true;
            for part in parts.into_iter().flatten() {
                let classes = part.classes(name)?.unwrap_or_default();
                is_unlabelled &= classes.iter().all(|class| *class < 0);
            }
            if is_unlabelled && names.len() <= label.size() {
                known.insert(name.clone(), names.clone());
            }
        }
        Ok(())
    }
}

/// Whether an array of a checkpoint is no parameter: a part of the optimiser's state or of the
/// average, or a parameter of another model.
fn is_state(name: &str) -> bool {
    name.contains('/') || name.starts_with("from.")
}

/// Whether a shape differs from an earlier one in one axis, which has grown.
fn is_grown(before: &[usize], now: &[usize]) -> bool {
    let differing: Vec<(&usize, &usize)> = before
        .iter()
        .zip(now)
        .filter(|(before, now)| before != now)
        .collect();
    before.len() == now.len() && matches!(differing[..], [(before, now)] if before < now)
}

/// The values of an array in the first places of every axis, and fresh ones behind them.
fn grown(before: &NamedArray, shape: &[usize], fresh: &[f32]) -> Vec<f64> {
    let mut values: Vec<f64> = fresh.iter().map(|&value| f64::from(value)).collect();
    for (index, value) in before.data.iter().enumerate() {
        let (mut rest, mut place, mut stride) = (index, 0, 1);
        for (old, new) in before.shape.iter().zip(shape).rev() {
            place += rest % old * stride;
            rest /= old;
            stride *= new;
        }
        values[place] = *value;
    }
    values
}

/// Checks that the classes of the other run keep their numbers: their names are the first ones of the
/// data, in the same order.
fn check_classes(run: &str, model: &Model, data: &Dataset, other: &Settings) -> Result<()> {
    for variable in model.read_variables() {
        let names = |all: &crate::run::data::ClassNames| all.get(&variable.name).cloned();
        let (Some(before), Some(now)) = (names(&other.class_names), names(data.class_names()))
        else {
            continue;
        };
        if now.starts_with(&before) {
            continue;
        }
        let message = format!(
            "the classes of `{}` in the run, {}, are not the first classes of the data, {}",
            variable.name,
            before.join(", "),
            now.join(", ")
        );
        return Err(Error::option("init", run, message).help(
            "classes are sorted by name; give new classes names that are sorted behind the old \
             ones, or number the classes",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{grown, is_grown};
    use crate::run::arrays::NamedArray;

    #[test]
    fn one_axis_may_grow() {
        assert!(is_grown(&[2, 3], &[2, 5]) && is_grown(&[2, 3], &[4, 3]) && is_grown(&[1], &[2]));
        for (before, now) in [
            (&[2, 3][..], &[2, 3][..]),
            (&[2, 3], &[3, 4]),
            (&[2, 3], &[2, 2]),
            (&[2], &[2, 1]),
            (&[2, 1], &[2]),
        ] {
            assert!(!is_grown(before, now), "{before:?} {now:?}");
        }
    }

    #[test]
    fn old_values_keep_their_places() {
        let before = |shape: &[usize]| NamedArray {
            name: "weight".to_string(),
            shape: shape.to_vec(),
            data: (1..=6).map(f64::from).collect(),
        };
        let fresh = [-1.0; 10];
        let found = grown(&before(&[2, 3]), &[2, 5], &fresh);
        assert_eq!(
            found,
            [1.0, 2.0, 3.0, -1.0, -1.0, 4.0, 5.0, 6.0, -1.0, -1.0]
        );
        let found = grown(&before(&[3, 2]), &[5, 2], &fresh);
        assert_eq!(
            found,
            [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -1.0, -1.0, -1.0, -1.0]
        );
    }
}
