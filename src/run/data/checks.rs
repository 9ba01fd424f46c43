//! Checks that data fit a model's variables.

use super::source::Source;
use crate::{
    diagnostic::suggest,
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Role, Variable},
    run::arrays::elements,
};

/// The number of floats of a variable in each row.
pub fn width(variable: &Variable) -> usize {
    match variable.domain {
        Domain::Class => 1,
        _ => variable.size(),
    }
}

/// Checks that a source has every variable in `needed`, with the model's width. Messages use
/// `place` as the source's name.
///
/// # Errors
/// With the first variable that is missing or has another width.
pub fn check_source(
    model: &Model,
    source: &dyn Source,
    needed: &dyn Fn(&Variable) -> bool,
    place: &str,
) -> Result<()> {
    for variable in model
        .read_variables()
        .into_iter()
        .filter(|&variable| needed(variable))
    {
        check_field(&variable.name, width(variable), source, place)?;
    }
    if source.rows() == 0 {
        return Err(no_rows(place));
    }
    if u32::try_from(source.rows()).is_err() {
        return Err(too_many_rows(place, source.rows()));
    }
    Ok(())
}

/// The error of data with more rows than a row's number can say.
pub fn too_many_rows(place: &str, rows: usize) -> Error {
    Error::unsupported(format!("{place}: {rows} rows"))
        .help("a source has at most 4,294,967,295 rows")
}

/// Checks that a source has a variable with this width. Returns the index of its field.
///
/// # Errors
/// If the variable is missing or has another width.
pub fn check_field(name: &str, width: usize, source: &dyn Source, place: &str) -> Result<usize> {
    let Some(field) = source.position(name) else {
        let names: Vec<&str> = source.fields().map(|field| field.name).collect();
        return Err(missing_array(name, &names, place));
    };
    let found = source.field(field).width;
    if found == width {
        return Ok(field);
    }
    let message = format!("{place}: `{name}`: expected {width} numbers per row, found {found}");
    Err(Error::data(message).help(other_size(name)))
}

/// The error of data without the array `name`, which have arrays with these names.
pub fn missing_array(name: &str, names: &[&str], place: &str) -> Error {
    let error = Error::data(format!("{place}: expected an array `{name}`, found none"));
    match suggest(name, names.iter().copied()) {
        Some(help) => error.help(help),
        None => error.help("the data have no arrays; give each variable of the model an array"),
    }
}

/// The error of data without rows.
pub fn no_rows(place: &str) -> Error {
    Error::data(format!("{place}: expected at least one row, found none"))
        .help("the first axis of each array is the row; give at least one")
}

/// The way out for rows that do not have the size of a variable.
fn other_size(name: &str) -> String {
    format!("change the array; or change the size of `{name}` in the model, and train that model")
}

/// The class of a label in each row of a source, −1 for unlabelled rows; `None` if the source does
/// not have the label. Messages use `place` as the source's name.
///
/// # Errors
/// If a class is out of range, or the rows cannot be read.
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

/// Checks that all values are in the variable's domain. They are those of the rows from `first` on.
///
/// # Errors
/// With the first value that is not.
pub fn check_values(
    variable: &Variable,
    first: usize,
    mut values: impl Iterator<Item = f32>,
    place: &str,
) -> Result<()> {
    let (fits, expected): (fn(f32) -> bool, &str) = match variable.domain {
        Domain::Real => (f32::is_finite, "a finite number"),
        Domain::Positive => (|x| x > 0.0 && x.is_finite(), "a number above 0"),
        Domain::Unit => (|x| x > 0.0 && x < 1.0, "a number between 0 and 1"),
        Domain::Binary => (|x| (0.0..=1.0).contains(&x), "a number from 0 to 1"),
        Domain::Count => (
            |x| x >= 0.0 && x.fract() == 0.0,
            "a whole number of at least 0",
        ),
        Domain::Class => return Ok(()),
    };
    let is_missing = |value: f32| variable.may_be_unknown() && value.is_nan();
    let is_wrong = |&(_, value): &(usize, f32)| !fits(value) && !is_missing(value);
    match (0..).zip(&mut values).find(is_wrong) {
        None => Ok(()),
        Some((at, value)) => {
            let (row, feature) = (first + at / variable.size(), at % variable.size());
            let message = format!(
                "{place}: row {row}, feature {feature}: expected {expected}, found {value}"
            );
            let name = &variable.name;
            Err(Error::data(message).help(match value.is_nan() {
                true => format!(
                    "NaN is a missing value: fill it in, or write `with missing` behind the type of `{name}`"
                ),
                false => {
                    format!("correct the data, or change the type of `{name}` in the model")
                }
            }))
        }
    }
}

/// Checks that the shape of a row fits the variable: a flat row of its features, or its axes; axes
/// of size 1 are ignored. A variable with one axis takes any shape with the same number of
/// elements.
pub fn check_shape(variable: &Variable, shape: &[usize], place: &str) -> Result<()> {
    let axes = |shape: &[usize]| {
        shape
            .iter()
            .copied()
            .filter(|&size| size != 1)
            .collect::<Vec<_>>()
    };
    let (wanted, found) = (axes(&variable.shape), axes(shape));
    let fits = elements(shape) == Some(variable.size())
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
        "{place}: rows with shape {} do not fit `{}`, which is {kind}",
        written(shape),
        variable.name
    );
    let help = match variable.domain {
        Domain::Class => "expected an array of classes, one whole number per row".to_string(),
        _ if elements(shape) == Some(variable.size()) => {
            format!(
                "change the order of the array's axes, or those of `{}`",
                variable.name
            )
        }
        _ => other_size(&variable.name),
    };
    Err(Error::data(message).help(help))
}

/// Converts classes to integers. Each is from 0 to the number of classes minus 1. It is −1 for an
/// unlabelled row, and where a variable with missing values has none.
///
/// # Errors
/// If a class is out of range: with the first such row, and the classes that the rows have.
pub fn check_classes(variable: &Variable, values: &[f64], place: &str) -> Result<Vec<i32>> {
    let classes = variable.size() as f64;
    let is_label = variable.role == Role::Label;
    let is_class = |&value: &f64| {
        let is_known = value.fract() == 0.0 && (0.0..classes).contains(&value);
        is_known || variable.may_be_unknown() && value == -1.0
    };
    let Some(row) = values.iter().position(|value| !is_class(value)) else {
        return Ok(values.iter().map(|&value| value as i32).collect());
    };
    let (found, last) = (values[row], classes - 1.0);
    let name = &variable.name;
    let wrong = values.iter().filter(|value| !is_class(value)).count();
    let or_none = match (is_label, variable.missing) {
        (true, _) => ", or -1 for an unlabelled row",
        (_, true) => ", or -1 where it is missing",
        _ => "",
    };
    let mut message =
        format!("{place}: row {row}: expected a class from 0 to {last}{or_none}, found {found}");
    if wrong > 1 {
        let s = if wrong == 2 { "" } else { "s" };
        message += &format!(", and {} more such row{s}", wrong - 1);
    }
    let whole = || values.iter().filter(|value| value.fract() == 0.0);
    let most = whole().copied().fold(f64::NEG_INFINITY, f64::max);
    let counts_from_one = most == classes && !values.contains(&0.0);
    let help = if found.is_nan() && variable.may_be_unknown() {
        format!("write -1 where `{name}` was not observed")
    } else if found.is_nan() || found == -1.0 && variable.role.is_always_observed() {
        format!(
            "if the value was not observed, write -1, and `with missing` behind the type of `{name}`"
        )
    } else if found.fract() != 0.0 || !found.is_finite() {
        format!("a class is a whole number; number the values of `{name}` from 0 to {last}")
    } else if counts_from_one {
        format!("the classes seem to count from 1: subtract 1 from `{name}` in all labelled rows")
    } else if found < 0.0 || most > 1e6 {
        format!("number the classes of `{name}` from 0 to {last}")
    } else {
        format!(
            "number the classes from 0 to {last}, or declare `{name}: class[{}]`",
            most + 1.0
        )
    };
    Err(Error::data(message).help(help))
}
