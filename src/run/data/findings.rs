//! Notes about a data set: what is worth knowing before a model is trained on it.
//!
//! A finding is an error only if training would surely learn something else than was meant, and if
//! the data can say what was meant in another way. All other findings are notes, since there are
//! models and data for which they are right.

use super::{
    dataset::Dataset,
    labels::LabelCounts,
    moments::{Feature, features},
    source::Source,
};
use crate::{
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Role, Variable},
    note::Note,
};
use std::path::Path;

/// An error that rests on fewer labelled rows than this is reported with a note: at 100 rows, its
/// standard deviation is up to five percentage points.
const FEW_LABELLED: usize = 100;
/// Means and deviations beyond this, in numbers of a unit normal, are found by the note on scales.
/// Eight features of three clusters with 60 labels have a test error of 1.4 % at deviation 1, 9 %
/// at deviation 10, and 20 % at mean 10.
const LARGE: f64 = 5.0;
/// Features that all have deviations below this are found by the note on scales. The same clusters
/// have an error of 2 % at deviation 0.01, and of 66 % at deviation 0.001.
const SMALL: f64 = 0.01;
/// Features differ in scale if the largest deviation exceeds half of the deviations by this factor.
/// The same clusters have an error of 19 % if half of the features are scaled by 0.01.
const SPREAD: f64 = 10.0;

/// The notes about how a data set was named and which of its arrays are used.
pub fn of_name(dataset: &Dataset) -> Vec<Note> {
    let mut notes = Vec::new();
    if dataset.name() == Some("mnist") && Path::new("mnist").exists() {
        notes.push(
            Note::new(
                "data: `mnist` is the bundled excerpt; the folder or file `mnist` is not read",
            )
            .help("name the folder as `./mnist`"),
        );
    }
    let others: Vec<String> = dataset
        .others()
        .iter()
        .map(|name| format!("`{name}`"))
        .collect();
    if !others.is_empty() {
        let others = others.join(", ");
        notes.push(Note::new(format!(
            "data: the model does not use {others}, which the data set also has"
        )));
    }
    notes
}

/// Checks that a label of two classes does not stand as −1 and +1 in the data: −1 is an unlabelled
/// row, so that all labelled rows would be of class 1.
///
/// # Errors
/// If no row has class 0, and some rows have class 1 and others none. Data of which only one class
/// is labelled can say so with class 0.
pub fn check_signs(counts: &LabelCounts, place: &str) -> Result<()> {
    let LabelCounts {
        label,
        classes,
        unlabelled: negative,
        ..
    } = counts;
    let positive = match classes.as_slice() {
        [0, positive] if *positive > 0 && *negative > 0 => positive,
        _ => return Ok(()),
    };
    let message = format!(
        "{place}: `{label}`: expected the classes 0 and 1, found -1 in {negative} rows and 1 in \
         {positive} rows"
    );
    Err(Error::data(message).help(format!(
        "-1 marks an unlabelled row; if these are the two classes, replace `{label}` by \
         ({label} + 1) / 2; if only one class is labelled, call that class 0"
    )))
}

/// Checks that validation rows leave training some labels, if the data have any. `all` are the
/// labels before rows are held out, `training` those that are left.
///
/// # Errors
/// If all labelled rows are held out.
pub fn check_left(all: &LabelCounts, training: &LabelCounts, validation: usize) -> Result<()> {
    let labelled = all.labelled();
    if validation == 0 || labelled == 0 || training.labelled() > 0 {
        return Ok(());
    }
    let message = format!(
        "these rows have all {labelled} labels of `{}`, and training needs some",
        all.label
    );
    Err(Error::option("validation", validation, message).help("hold out fewer rows"))
}

/// The notes about the labels of the training rows and of the rows that are held out of them.
/// `all` are the labels of all training rows, of which `held_out` validation rows are taken, if
/// any; `training` are those that training sees.
pub fn of_labels(
    all: &LabelCounts,
    training: &LabelCounts,
    held_out: Option<(&str, &LabelCounts)>,
) -> Vec<Note> {
    let label = &training.label;
    let mut notes = Vec::new();
    notes.extend(missing_classes(training));
    let Some((part, counts)) = held_out else {
        return notes;
    };
    let (rows, labelled) = (counts.labelled() + counts.unlabelled, counts.labelled());
    let is_validation = part == "validation";
    // Other validation rows are those of the data set itself.
    let is_taken = training.labelled() + training.unlabelled < all.labelled() + all.unlabelled;
    if is_validation && is_taken && all.unlabelled > 0 && labelled > 0 {
        let message = format!(
            "validation: the {rows} held-out rows have {labelled} of the {} labels of `{label}`, \
             which training does not see",
            all.labelled()
        );
        let help = format!(
            "hold out fewer rows, or name rows to evaluate on `test.…` and `test.{label}` in the data"
        );
        notes.push(Note::new(message).help(help));
    }
    let help = if is_validation {
        "hold out more rows"
    } else {
        "hold out training rows with the option `validation`, or add labelled test rows"
    };
    if labelled == 0 {
        let message =
            format!("{part}: none of the {rows} rows is labelled, so `{label}` has no error");
        notes.push(Note::new(message).help(help));
    } else if let Some(class) = only_class(counts) {
        let class = counts.class(class);
        let message = format!(
            "{part}: all {labelled} labelled rows are of class {class} of `{label}`, so its error says \
             little"
        );
        let help = "label rows of other classes; −1 marks a row without a label";
        notes.push(Note::new(message).help(help));
    } else if labelled < FEW_LABELLED && !counts.classes.is_empty() {
        let noun = if labelled == 1 { "row" } else { "rows" };
        let message = format!(
            "{part}: the error of `{label}` rests on {labelled} labelled {noun}; one row is {:.1} \
             percentage points",
            100.0 / labelled as f64
        );
        notes.push(Note::new(message).help(help));
    }
    notes
}

/// The class that all labelled rows have.
fn only_class(counts: &LabelCounts) -> Option<usize> {
    let classes = counts.classes.iter().enumerate();
    let mut present = classes.filter(|(_, rows)| **rows > 0);
    let (class, _) = present.next()?;
    present.next().is_none().then_some(class)
}

/// The classes that no labelled row has.
fn missing_classes(training: &LabelCounts) -> Option<Note> {
    let LabelCounts { label, classes, .. } = training;
    let missing: Vec<usize> = (0..classes.len())
        .filter(|&class| classes[class] == 0)
        .collect();
    let labelled = training.labelled();
    if missing.is_empty() {
        return None;
    }
    if labelled == 0 {
        let message = format!("labels of `{label}`: no training row is labelled");
        let help = "unless the run begins with another one that knows the classes, they are clusters in \
                    any order, and the label error means nothing";
        return Some(Note::new(message).help(help));
    }
    let noun = if missing.len() == 1 {
        "class"
    } else {
        "classes"
    };
    let message = format!(
        "labels of `{label}`: no row of {noun} {} is among the {labelled} labelled training rows",
        ranges(&missing)
    );
    let present = classes.len() - missing.len();
    let help = match (missing.as_slice(), missing.first()) {
        ([0], _) => format!(
            "if the classes count from 1, subtract 1 and declare `{label}: class[{present}]`"
        ),
        (_, Some(first)) if *first == present && present > 1 => format!(
            "if there are only {present} classes, declare `{label}: class[{present}]`; else these \
             classes are learned from unlabelled rows alone"
        ),
        _ => {
            "these classes are learned from unlabelled rows alone; label a row of each, or declare \
              fewer classes"
                .to_string()
        }
    };
    Some(Note::new(message).help(help))
}

/// Numbers in ascending order: `0, 2 to 7`.
fn ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first} to {last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// The notes about the values of the training rows: features that are constant or far from a common
/// scale.
///
/// # Errors
/// If the rows cannot be read.
pub fn of_values(model: &Model, training: &dyn Source) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    let has_density = |variable: &&Variable| {
        matches!(
            variable.domain,
            Domain::Real | Domain::Positive | Domain::Unit
        )
    };
    let given = model.read_variables();
    let data = given
        .into_iter()
        .filter(|variable| variable.role.is_always_observed());
    for variable in data.filter(has_density) {
        let Some(field) = training.position(&variable.name) else {
            continue;
        };
        if training.rows() < 2 {
            continue;
        }
        let features = features(training, field)?;
        notes.extend(never_observed(&variable.name, &features));
        // A given variable has no density.
        if variable.role == Role::Data {
            notes.extend(constant(&variable.name, &features, training.rows()));
        }
        if variable.domain == Domain::Real && !variable.standardized {
            notes.extend(scales(&variable.name, &features));
        }
    }
    Ok(notes)
}

/// The features that are missing in every row.
fn never_observed(name: &str, features: &[Feature]) -> Option<Note> {
    let never = (0..features.len()).filter(|&at| features[at].observed == 0);
    let never: Vec<usize> = never.collect();
    if never.is_empty() {
        return None;
    }
    let message = format!(
        "data: {} of {} features of `{name}` are missing in all training rows: {}",
        never.len(),
        features.len(),
        ranges(&never)
    );
    Some(Note::new(message).help("nothing can be learned about these features; leave them out"))
}

fn constant(name: &str, features: &[Feature], all_rows: usize) -> Option<Note> {
    let mut constant = features
        .iter()
        .enumerate()
        .filter(|(_, feature)| feature.deviation == 0.0 && feature.observed > 0);
    let (first, feature) = constant.next()?;
    let rows = feature.observed;
    let that_have_it = if rows < all_rows { " that have it" } else { "" };
    let (count, all) = (1 + constant.count(), features.len());
    let value = number(feature.mean);
    let message = match count {
        1 => format!(
            "data: 1 of {all} features of `{name}` is constant: feature {first} is {value} in all \
             {rows} training rows{that_have_it}"
        ),
        _ => format!(
            "data: {count} of {all} features of `{name}` are constant: feature {first}, for example, \
             is {value} in all {rows} training rows{that_have_it}"
        ),
    };
    let help = "a density of a constant can grow without limit; leave these features out";
    Some(Note::new(message).help(help))
}

fn scales(name: &str, features: &[Feature]) -> Option<Note> {
    let mut varying: Vec<Feature> = features.to_vec();
    varying.retain(|feature| feature.deviation > 0.0);
    varying.sort_by(|a, b| a.deviation.total_cmp(&b.deviation));
    let (least, most) = (varying.first()?.deviation, varying.last()?.deviation);
    let median = varying[(varying.len() - 1) / 2].deviation;
    // Rounding leaves the mean of centred features a little beside 0.
    let rounded = |mean: f64| if mean.abs() < 1e-3 * most { 0.0 } else { mean };
    let means = || varying.iter().map(|feature| rounded(feature.mean));
    let lowest = means().fold(f64::INFINITY, f64::min);
    let highest = means().fold(f64::NEG_INFINITY, f64::max);
    let is_scaled = (SMALL..=LARGE).contains(&most)
        && most <= SPREAD * median
        && highest <= LARGE
        && lowest >= -LARGE;
    if is_scaled {
        return None;
    }
    let message = format!(
        "data: the features of `{name}` are not standardised: means from {} to {}, standard \
         deviations from {} to {}",
        number(lowest),
        number(highest),
        number(least),
        number(most)
    );
    let help = format!(
        "training may fail on such values; write `standardized` behind the type of `{name}`"
    );
    Some(Note::new(message).help(help))
}

/// A number with three significant digits.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_string();
    }
    let digits = 2 - value.abs().log10().floor() as i32;
    if (-3..=5).contains(&digits) {
        let text = format!("{value:.*}", digits.max(0) as usize);
        return match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
            false => text,
        };
    }
    format!("{value:.2e}")
}

#[cfg(test)]
mod tests {
    use super::{number, ranges};

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (-0.12345, "-0.123"),
            (746.89, "747"),
            (12345.0, "12345"),
            (1e-7, "1.00e-7"),
            (2.5e9, "2.50e9"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn consecutive_numbers_are_a_range() {
        assert_eq!(ranges(&[2, 3, 4, 5, 6, 7]), "2 to 7");
        assert_eq!(ranges(&[0, 2, 3, 9]), "0, 2, 3, 9");
    }
}
