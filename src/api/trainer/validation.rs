//! How many rows are held out for validation: a number of rows, or a share of them.

use std::str::FromStr;

/// A number of training rows to hold out, or a fraction of them. It is read from text such as `200`,
/// `0.1` or `10%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValidationRows {
    /// This number of rows.
    Count(usize),
    /// This fraction of the rows, above 0 and below 1.
    Fraction(f64),
}

impl ValidationRows {
    /// The number of rows to hold out of `rows`. A fraction is rounded, and is at least one row.
    pub fn of(self, rows: usize) -> usize {
        match self {
            ValidationRows::Count(count) => count,
            ValidationRows::Fraction(fraction) => {
                ((fraction * rows as f64).round() as usize).max(1)
            }
        }
    }
}

impl FromStr for ValidationRows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse() {
            return Ok(ValidationRows::Count(count));
        }
        let fraction = match text.strip_suffix('%') {
            Some(percent) => percent
                .trim_end()
                .parse()
                .map(|percent: f64| percent / 100.0),
            None => text.parse(),
        };
        let inside = |fraction: &f64| *fraction > 0.0 && *fraction < 1.0;
        fraction.ok().filter(inside).map(ValidationRows::Fraction).ok_or_else(|| {
            format!(
                "expected a whole number from 0, a fraction between 0 and 1, or a percentage such \
                 as 10%, found `{text}`"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ValidationRows;

    #[test]
    fn counts_fractions_and_percentages_are_read() {
        let rows = |text: &str| text.parse::<ValidationRows>().map(|rows| rows.of(150));
        for (text, wanted) in [
            ("0", 0),
            ("1", 1),
            ("200", 200),
            ("0.1", 15),
            ("10%", 15),
            ("12.5 %", 19),
            ("1e-9", 1),
        ] {
            assert_eq!(rows(text), Ok(wanted), "{text}");
        }
        for text in [
            "1.0", "0.0", "100%", "0%", "-3", "-0.1", "ten", "NaN", "inf", "", "%",
        ] {
            let message = rows(text).expect_err(text);
            assert!(message.contains(&format!("found `{text}`")), "{message}");
        }
    }
}
