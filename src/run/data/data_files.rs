//! The files of a data set, which may have its parts in files of their own.

use std::fmt;

/// The names of a data set: `mnist`, folders or files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataFiles {
    /// The training rows, and the rows of other parts that are marked as such. `None` is the bundled
    /// excerpt; for a run that is resumed, the data set that it has.
    pub data: Option<String>,
    /// The validation rows, if they have a file of their own.
    pub validation: Option<String>,
    /// The test rows, if they have a file of their own.
    pub test: Option<String>,
}

impl DataFiles {
    /// The name of the training rows.
    pub fn name(&self) -> &str {
        self.data.as_deref().unwrap_or("mnist")
    }

    /// The files, and those of `other` where there are none.
    pub fn or(self, other: &DataFiles) -> Self {
        DataFiles {
            data: self.data.or_else(|| other.data.clone()),
            validation: self.validation.or_else(|| other.validation.clone()),
            test: self.test.or_else(|| other.test.clone()),
        }
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let parts = [self.validation.as_deref(), self.test.as_deref()];
        std::iter::once(self.name()).chain(parts.into_iter().flatten())
    }

    /// The files with each name changed by `change`.
    pub(super) fn map(&self, change: impl Fn(&str) -> String) -> Self {
        DataFiles {
            data: Some(change(self.name())),
            validation: self.validation.as_deref().map(&change),
            test: self.test.as_deref().map(&change),
        }
    }
}

impl From<&str> for DataFiles {
    fn from(data: &str) -> Self {
        data.to_string().into()
    }
}

impl From<String> for DataFiles {
    fn from(data: String) -> Self {
        DataFiles {
            data: Some(data),
            ..DataFiles::default()
        }
    }
}

/// The names, separated by commas.
impl fmt::Display for DataFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(", "))
    }
}
