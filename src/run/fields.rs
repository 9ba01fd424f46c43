//! Reading the fields of a JSON object by name, so that an error names the field.

use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The fields of an object that were not taken yet.
pub struct Fields {
    /// The file, for messages.
    place: String,
    /// The way out if a field is missing or damaged.
    help: &'static str,
    values: Map<String, Value>,
}

impl Fields {
    /// The fields of a JSON text.
    ///
    /// # Errors
    /// If the text is not a JSON object.
    pub fn parse(place: impl Into<String>, text: &[u8], help: &'static str) -> Result<Self> {
        let place = place.into();
        let refused = |found: String| {
            Error::data(format!("{place}: expected a JSON object, found {found}")).help(help)
        };
        match serde_json::from_slice(text) {
            Ok(Value::Object(values)) => Ok(Fields {
                place,
                help,
                values,
            }),
            Ok(other) => Err(refused(other.to_string())),
            Err(error) => Err(refused(format!("other text: {error}"))),
        }
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Takes a field. A field that may be `null` must still be there.
    ///
    /// # Errors
    /// If the field is missing, or its value has another type.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        match self.values.shift_remove(name) {
            Some(value) => self.convert(name, value),
            None => Err(self.refused(format!("expected a field `{name}`, found none"))),
        }
    }

    /// Takes a field that may be missing.
    ///
    /// # Errors
    /// If its value has another type.
    pub fn take_optional<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let value = self.values.shift_remove(name);
        value.map(|value| self.convert(name, value)).transpose()
    }

    /// Checks that every field was taken.
    ///
    /// # Errors
    /// With the first other field.
    pub fn finish(self) -> Result<()> {
        match self.values.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.refused(format!("found an unknown field `{name}`"))),
        }
    }

    /// An error about the file.
    pub fn refused(&self, message: String) -> Error {
        Error::data(format!("{}: {message}", self.place)).help(self.help)
    }

    fn convert<T: DeserializeOwned>(&self, name: &str, value: Value) -> Result<T> {
        serde_json::from_value(value)
            .map_err(|error| self.refused(format!("the field `{name}` is damaged: {error}")))
    }
}
