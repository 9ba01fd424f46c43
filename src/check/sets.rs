//! The overrides of `--set NAME=VALUE`, and the resulting value of every size and setting.

use crate::diagnostic::suggest;

pub(super) struct Sets {
    given: Vec<(String, String)>,
    requested: Vec<String>,
    resolved: Vec<(String, String)>,
}

impl Sets {
    pub fn new(given: &[(String, String)]) -> Self {
        Sets {
            given: given.to_vec(),
            requested: Vec::new(),
            resolved: Vec::new(),
        }
    }

    /// The number that `--set` gives a size or setting, else `written`, the one in the file. The
    /// last `--set` of a name wins.
    pub fn number(&mut self, name: &str, written: Option<f64>) -> Result<Option<f64>, String> {
        if !self.requested.iter().any(|requested| requested == name) {
            self.requested.push(name.to_string());
        }
        let value = match self.given(name) {
            None => written,
            Some(text) => {
                let number: Result<f64, _> = text.trim().parse();
                Some(number.map_err(|_| format!("`--set {name}={text}`: expected a number"))?)
            }
        };
        if let Some(value) = value {
            self.resolved.retain(|(other, _)| other != name);
            self.resolved.push((name.to_string(), value.to_string()));
        }
        Ok(value)
    }

    /// Gives a number that was set under a former name its present name.
    pub fn rename(&mut self, former: &str, name: &str) {
        for (given, _) in &mut self.given {
            if given == former {
                *given = name.to_string();
            }
        }
    }

    /// The text that `--set` gives a name; the last one if there are several.
    pub fn given(&self, name: &str) -> Option<&str> {
        self.given
            .iter()
            .rev()
            .find(|(other, _)| other == name)
            .map(|(_, text)| text.as_str())
    }

    /// The names in `--set` that no size or setting has requested, each with a suggestion.
    pub fn unused(&self) -> Vec<(String, Option<String>)> {
        let unused = self
            .given
            .iter()
            .filter(|(name, _)| !self.requested.contains(name));
        unused
            .map(|(name, _)| {
                (
                    name.clone(),
                    suggest(name, self.requested.iter().map(String::as_str)),
                )
            })
            .collect()
    }

    pub fn resolved(&self) -> Vec<(String, String)> {
        self.resolved.clone()
    }
}
