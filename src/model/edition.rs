//! The edition of the language: what a file without further lines means.

use std::fmt;

/// An edition of the language. A change of what existing files mean comes with a new edition, so
/// that files, runs and compiled folders of an earlier one keep their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edition {
    /// Every KL term is sampled unless a line says `analytic`. Batch norm uses the statistics of
    /// each case on its own.
    One,
    /// A KL term with an exact closed form is computed so unless a line says `sampled`. The rows of
    /// all cases pass together through networks that do not depend on the label.
    Two,
}

impl Edition {
    /// The edition of files that do not name one.
    pub const LATEST: Edition = Edition::Two;
    /// The edition of runs and compiled folders that do not name one: they are older than the
    /// second.
    pub const FIRST: Edition = Edition::One;
    /// Every edition, in order.
    pub const ALL: [Edition; 2] = [Edition::One, Edition::Two];

    /// The number in `edition 2`.
    pub fn number(self) -> u64 {
        match self {
            Edition::One => 1,
            Edition::Two => 2,
        }
    }

    /// The edition with that number.
    pub fn find(number: f64) -> Option<Edition> {
        let mut all = Edition::ALL.into_iter();
        all.find(|edition| edition.number() as f64 == number)
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.number())
    }
}
