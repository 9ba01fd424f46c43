//! Choosing the parameters that training does not change.

use super::Options;
use crate::{
    diagnostic::suggest,
    error::{Error, Result},
    model::{Model, scope},
    run::{
        programs,
        session::{Entry, Layout},
    },
};
use std::collections::BTreeSet;

/// The model with the frozen parameters of the options.
///
/// # Errors
/// If a pattern is no pattern or matches no parameter, if all parameters are frozen, or if the
/// programs are compiled.
pub(super) fn frozen(model: Model, options: &Options) -> Result<Model> {
    let Some(first) = options.freeze.first() else {
        return Ok(model);
    };
    if options.compiled.is_some() {
        let message = "the compiled model trains all parameters";
        return Err(Error::option("freeze", first, message)
            .help("train the model file instead of the compiled folder"));
    }
    let layout = programs::parameters(&model);
    let names: Vec<&str> = layout
        .entries
        .iter()
        .map(|entry| entry.parameter.name.as_str())
        .filter(|name| !is_upstream(&model, name))
        .collect();
    for pattern in &options.freeze {
        // `!` excepts the parameters that match.
        let text = pattern.strip_prefix('!').unwrap_or(pattern);
        let parsed = glob::Pattern::new(text).map_err(|error| {
            Error::option("freeze", pattern, format!("not a pattern: {}", error.msg))
                .help("`*` stands for any text, `?` for one letter")
        })?;
        if !names.iter().any(|name| parsed.matches(name)) {
            let message = "expected a pattern of names of parameters, found no such parameter";
            let groups = groups(&names);
            let candidates = groups.iter().map(String::as_str);
            let candidates = candidates.chain(names.iter().copied());
            let help = suggest(text, candidates).unwrap_or_default();
            return Err(Error::option("freeze", pattern, message).help(help));
        }
    }
    let model = Model {
        frozen: options.freeze.clone(),
        ..model
    };
    let mut trained = layout
        .entries
        .iter()
        .filter(|entry| entry.parameter.trained);
    if trained.all(|entry| model.is_frozen(&entry.parameter.name)) {
        let message = "all parameters are frozen, so nothing is trained";
        return Err(Error::option("freeze", options.freeze.join(" "), message)
            .help("freeze fewer parameters"));
    }
    Ok(model)
}

/// The number of floats that training would change if the model froze nothing.
pub(super) fn count_unfrozen(model: &Model) -> usize {
    let free = Model {
        frozen: Vec::new(),
        ..model.clone()
    };
    count_trained(&programs::parameters(&free))
}

/// The number of floats of trained parameters.
pub(super) fn count_trained(layout: &Layout) -> usize {
    let entries = layout.entries.iter();
    let trained = entries.filter(|entry| entry.parameter.trained);
    trained.map(Entry::len).sum()
}

/// Whether a parameter belongs to the model of another run.
pub(super) fn is_upstream(model: &Model, parameter: &str) -> bool {
    let mut upstream = model.upstream.iter();
    upstream.any(|upstream| {
        let variable = &model.variables[upstream.variable.index()].name;
        parameter.starts_with(&scope(variable))
    })
}

/// The patterns of all groups of names, shortest first: `p.*`, `q.*`, `p.x.*` and so on.
fn groups(names: &[&str]) -> Vec<String> {
    let mut groups: BTreeSet<(usize, String)> = BTreeSet::new();
    for name in names {
        for (at, _) in name.match_indices('.') {
            let depth = name[..at].matches('.').count();
            groups.insert((depth, format!("{}.*", &name[..at])));
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
