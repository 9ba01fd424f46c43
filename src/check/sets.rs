//! The overrides of `--set NAME=VALUE`, and the resulting value of every size and setting.

use crate::diagnostic::suggest;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Sets {
    given: Vec<(String, String)>,
    /// The names of sizes and settings, in the order of the first requests.
    requested: Vec<String>,
    is_requested: BTreeSet<String>,
    /// The values, and the order in which they were last requested.
    resolved: BTreeMap<String, (usize, String)>,
    requests: usize,
}

impl Sets {
    pub fn new(given: &[(String, String)]) -> Self {
        Sets {
            given: given.to_vec(),
            requested: Vec::new(),
            is_requested: BTreeSet::new(),
            resolved: BTreeMap::new(),
            requests: 0,
        }
    }

    /// The number that `--set` gives a size or setting, else `written`, the one in the file. The
    /// last `--set` of a name wins.
    pub fn number(&mut self, name: &str, written: Option<f64>) -> Result<Option<f64>, String> {
        if self.is_requested.insert(name.to_string()) {
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
            self.requests += 1;
            let resolved = (self.requests, value.to_string());
            self.resolved.insert(name.to_string(), resolved);
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
            .filter(|(name, _)| !self.is_requested.contains(name));
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
        let mut resolved: Vec<_> = self.resolved.iter().collect();
        resolved.sort_by_key(|(_, (order, _))| *order);
        let pairs = resolved.into_iter();
        pairs
            .map(|(name, (_, value))| (name.clone(), value.clone()))
            .collect()
    }
}
