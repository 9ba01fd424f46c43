//! Texts in the columns of tables: missing values, and the names of classes and of columns.

use crate::{
    error::{Error, Result},
    model::Variable,
};
use std::collections::{BTreeMap, BTreeSet};

/// The names of the classes of some variables, by variable; the place of a name is its class.
pub type ClassNames = BTreeMap<String, Vec<String>>;

/// The columns that variables with several numbers take, by variable; in the order of the numbers.
pub type ColumnNames = BTreeMap<String, Vec<String>>;

/// The names that a run knows: data that it is used on must have them.
#[derive(Clone, Copy, Debug)]
pub struct KnownNames<'a> {
    /// The names of classes. A variable without names has classes by number.
    pub classes: &'a ClassNames,
    /// The names of columns.
    pub columns: &'a ColumnNames,
}

/// The values that stand for a missing entry.
pub const MISSING: [&str; 6] = ["", "NA", "N/A", "NaN", "nan", "null"];

/// The names of a variable's classes: the values that occur in its column, sorted. `None` if they are
/// the numbers of classes. `place` names the column.
///
/// # Errors
/// If there are more names than classes, or they are too long.
pub fn names_of_classes(
    variable: &Variable,
    occurring: &BTreeSet<&str>,
    place: &str,
) -> Result<Option<Vec<String>>> {
    // 1.0 is a whole number too: a column with missing values may be written so.
    let whole = |text: &&str| {
        let number = text.parse::<f64>().ok()?;
        (number.fract() == 0.0).then_some(number as i64)
    };
    let in_range =
        |text| whole(text).is_some_and(|class| (0..variable.size() as i64).contains(&class));
    // Whole numbers are the classes' numbers, unless they name every class.
    let all_whole = occurring.iter().all(|text| whole(text).is_some());
    if occurring.iter().all(in_range) || all_whole && occurring.len() != variable.size() {
        return Ok(None);
    }
    let mut names: Vec<String> = occurring.iter().map(|name| name.to_string()).collect();
    names.sort_by(
        |left, right| match (left.parse::<f64>(), right.parse::<f64>()) {
            (Ok(left), Ok(right)) => left.total_cmp(&right),
            _ => left.cmp(right),
        },
    );
    if names.len() > variable.size() {
        let count = names.len();
        let message = format!("{place} has {count} classes: {}", listed(&names));
        return Err(Error::data(message).help(format!(
            "declare `{}: class[{count}]`, or correct the column",
            variable.name
        )));
    }
    check_lengths(&names, &format!("{place}: the classes"))?;
    Ok(Some(names))
}

/// The first names of a list.
pub fn listed(names: &[impl AsRef<str>]) -> String {
    const MOST: usize = 12;
    let first = names.iter().take(MOST);
    let shown: Vec<String> = first
        .map(|name| format!("`{}`", shown(name.as_ref())))
        .collect();
    let more = names.len().saturating_sub(MOST);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &more
}

/// The beginning of a text, for messages.
pub fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let mut shown = String::new();
    for c in text.chars().take(MOST) {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    if text.chars().count() > MOST {
        shown.push('…');
    }
    shown
}

/// The most bytes of a class's name, and of all of a variable's.
pub const MOST_NAME: usize = 200;

pub const MOST_NAMES: usize = 1 << 20;

/// Checks that a run's settings have room for names.
pub fn check_lengths(names: &[impl AsRef<str>], what: &str) -> Result<()> {
    let bytes: usize = names.iter().map(|name| name.as_ref().len() + 12).sum();
    if bytes <= MOST_NAMES {
        return Ok(());
    }
    let message = format!("{what} have names of {bytes} bytes in all, more than {MOST_NAMES}");
    Err(Error::data(message).help("use numbers from 0 in place of the names, or shorter names"))
}

/// Whether a class can have this name: not with control characters, as behind a quote that is not closed.
pub fn is_name(text: &str) -> bool {
    text.len() <= MOST_NAME && !text.contains(char::is_control)
}

pub fn is_missing(text: &str) -> bool {
    MISSING.contains(&text)
}

/// Whether a class is unknown, where it may be: missing, or −1 as in arrays.
pub fn is_unknown(text: &str, variable: &Variable) -> bool {
    variable.may_be_unknown() && (is_missing(text) || ["-1", "-1.0"].contains(&text))
}
