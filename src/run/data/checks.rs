//! Whether values are such as a model's variables take.

use super::source::Source;
use crate::{
    diagnostic::suggest,
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Role, Variable},
};

/// The floats of a row that a variable is given by.
pub fn width(variable: &Variable) -> usize {
    match variable.domain {
        Domain::Class => 1,
        _ => variable.size(),
    }
}

/// That a source has every variable that `needed` names, each with the width that the model gives
/// it. `place` names the source in messages.
///
/// # Errors
/// With the first variable that is missing or of another width.
pub fn check_source(
    model: &Model,
    source: &dyn Source,
    needed: &dyn Fn(&Variable) -> bool,
    place: &str,
) -> Result<()> {
    for variable in model
        .given()
        .into_iter()
        .filter(|&variable| needed(variable))
    {
        check_field(&variable.name, width(variable), source, place)?;
    }
    if source.rows() == 0 {
        return Err(Error::data(format!("{place}: there are no rows")));
    }
    if u32::try_from(source.rows()).is_err() {
        return Err(
            Error::unsupported(format!("{place}: {} rows", source.rows()))
                .help("a source may have up to 4,294,967,295 rows"),
        );
    }
    Ok(())
}

/// That a source has a variable of this width; gives its place among the fields.
///
/// # Errors
/// If it is missing or of another width.
pub fn check_field(name: &str, width: usize, source: &dyn Source, place: &str) -> Result<usize> {
    let Some(field) = source.position(name) else {
        let names = source.fields().map(|field| field.name);
        let error = Error::data(format!("{place}: there is no array `{name}`"));
        return Err(match suggest(name, names) {
            Some(help) => error.help(help),
            None => error,
        });
    };
    let found = source.field(field).width;
    if found == width {
        return Ok(field);
    }
    let message = format!("{place}: `{name}` has {found} numbers in a row");
    Err(Error::data(message).help(format!("the model takes {width}")))
}

/// The class that each row of a source has of a label, −1 for none; none if the source does not
/// have the label. `place` names the source in messages.
///
/// # Errors
/// If a row has a class that the label does not have, or the rows cannot be read.
pub fn label_classes(
    label: &Variable,
    source: &dyn Source,
    place: &str,
) -> Result<Option<Vec<i32>>> {
    let Some(values) = source.values(&label.name)? else {
        return Ok(None);
    };
    let values: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    check_classes(label, &values, &format!("{place}: `{}`", label.name)).map(Some)
}

/// That a row has all of its labels, or none.
///
/// # Errors
/// With the first row that has some labels and lacks others, or a class that the label does not
/// have.
pub fn check_labels(model: &Model, source: &dyn Source, place: &str) -> Result<()> {
    let mut labels: Vec<(&str, Vec<i32>)> = Vec::new();
    for label in model.labels() {
        if let Some(classes) = label_classes(label, source, place)? {
            labels.push((label.name.as_str(), classes));
        }
    }
    // One label cannot contradict itself.
    let rows = if labels.len() < 2 { 0 } else { source.rows() };
    for row in 0..rows {
        let (seen, unseen): (Vec<_>, Vec<_>) =
            labels.iter().partition(|(_, classes)| classes[row] >= 0);
        if let ([(seen, _), ..], [(unseen, _), ..]) = (&seen[..], &unseen[..]) {
            let message = format!("{place}: row {row} has the label `{seen}` and not `{unseen}`");
            return Err(Error::data(message).help("a row has all of its labels, or none (-1)"));
        }
    }
    Ok(())
}

/// Reports the first value that the variable cannot take.
pub fn check_values(
    variable: &Variable,
    mut values: impl Iterator<Item = f32>,
    place: &str,
) -> Result<()> {
    let (fits, expected): (fn(f32) -> bool, &str) = match variable.domain {
        Domain::Real => (f32::is_finite, "a finite number"),
        Domain::Positive => (|x| x > 0.0 && x.is_finite(), "a number above 0"),
        Domain::Unit => (|x| x > 0.0 && x < 1.0, "a number between 0 and 1"),
        Domain::Binary => (|x| (0.0..=1.0).contains(&x), "a number from 0 to 1"),
        Domain::Count => (|x| x >= 0.0 && x.fract() == 0.0, "a whole number from 0 on"),
        Domain::Class => return Ok(()),
    };
    match (0..).zip(&mut values).find(|&(_, value)| !fits(value)) {
        None => Ok(()),
        Some((at, value)) => {
            let (row, feature) = (at / variable.size(), at % variable.size());
            let message = format!("{place}: row {row}, feature {feature} is {value}");
            Err(Error::data(message).help(format!("`{}` takes {expected}", variable.name)))
        }
    }
}

/// That a row's shape is the variable's: its features in a row, or its axes, those of one place
/// aside. A variable of one axis takes any shape of as many numbers.
pub fn check_shape(variable: &Variable, shape: &[usize], place: &str) -> Result<()> {
    let axes = |shape: &[usize]| {
        shape
            .iter()
            .copied()
            .filter(|&size| size != 1)
            .collect::<Vec<_>>()
    };
    let (wanted, found) = (axes(&variable.shape), axes(shape));
    let fits = shape.iter().product::<usize>() == variable.size()
        && (wanted.len() < 2 || found.len() < 2 || wanted == found);
    if fits && variable.domain != Domain::Class {
        return Ok(());
    }
    let written = |shape: &[usize]| {
        let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
        if sizes.is_empty() {
            "one number".to_string()
        } else {
            sizes.join(" · ")
        }
    };
    let kind = if variable.domain == Domain::Class {
        "a class".to_string()
    } else {
        written(&variable.shape)
    };
    let message = format!(
        "{place}: rows of {} do not fit `{}`, which is {kind}",
        written(shape),
        variable.name
    );
    let help = match variable.domain {
        Domain::Class => "classes are an array of whole numbers, one a row".to_string(),
        Domain::Real => format!(
            "change its size with --set, or let a run infer it, with --from {}=RUN",
            variable.name
        ),
        _ => {
            "change its size, for example with --set pixels=784; axes are in its order".to_string()
        }
    };
    Err(Error::data(message).help(help))
}

/// Classes as integers, each from 0 to the number of classes; of a label also −1, for none.
pub fn check_classes(variable: &Variable, values: &[f64], place: &str) -> Result<Vec<i32>> {
    let (least, none) = if variable.role == Role::Label {
        (-1.0, ", and -1 for none")
    } else {
        (0.0, "")
    };
    let class = |(row, &value): (usize, &f64)| {
        if value.fract() == 0.0 && value >= least && value < variable.size() as f64 {
            return Ok(value as i32);
        }
        let help = format!(
            "`{}` takes classes from 0 to {}{none}",
            variable.name,
            variable.size() - 1
        );
        Err(Error::data(format!("{place}: row {row} has class {value}")).help(help))
    };
    values.iter().enumerate().map(class).collect()
}
