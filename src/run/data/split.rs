//! Splitting rows into training and validation rows, and selecting the rows that keep their labels.

use super::{
    labels::KnownLabels,
    source::{RowView, Source},
};
use crate::{
    error::{Error, Result},
    model::{Model, Variable},
    run::batches::shuffled,
    tensor::philox,
};
use std::{collections::BTreeMap, sync::Arc};

/// The training rows, with only the kept labels, and the held-out rows with all labels.
#[derive(Clone, Debug)]
pub struct Split {
    /// The rows to train on.
    pub train: Arc<dyn Source>,
    /// The held-out rows.
    pub validation: Option<Arc<dyn Source>>,
    /// The index in the source of each row of `train`.
    pub kept: Vec<usize>,
    /// The index in the source of each row of `validation`.
    pub held_out: Vec<usize>,
}

/// Holds out `validation` rows. With `labels`, that many of the others keep the labels of a model, as
/// evenly over the classes of its first class label as possible. Both are drawn from the seed. A row keeps all of its labels or none; the
/// classes of the first label are balanced.
///
/// # Errors
/// If there are fewer rows than are held out, or too few labels.
pub fn split(
    source: &Arc<dyn Source>,
    labels: Option<(&Model, usize)>,
    validation: usize,
    seed: u64,
) -> Result<Split> {
    let rows = source.rows();
    if validation >= rows {
        let error = Error::option(
            "validation",
            validation,
            format!("expected fewer than the {rows} training rows"),
        );
        return Err(error.help("hold out fewer rows"));
    }
    let order = shuffled(rows, seed, philox::stream("validation"), 0);
    let held_out = order[..validation].to_vec();
    let mut kept = order[validation..].to_vec();
    kept.sort_unstable();
    let positions = |rows: &[u32]| rows.iter().map(|&row| row as usize).collect();
    let (kept_at, held_out_at) = (positions(&kept), positions(&held_out));
    let all = RowView::new(Arc::clone(source), kept);
    let first = labels.and_then(|(model, _)| {
        let mut classes = model.labels().filter(|label| label.is_class());
        classes.next().or(model.labels().next())
    });
    let train: Arc<dyn Source> = match (labels, first) {
        (Some((model, count)), Some(label)) => {
            let keeps = kept_labels(&all, model, label, count, validation, seed)?;
            let labels: Vec<&Variable> = model.labels().collect();
            Arc::new(all.hiding(&labels, keeps))
        }
        _ if validation == 0 => Arc::clone(source),
        _ => Arc::new(all),
    };
    let validation = (validation > 0)
        .then(|| Arc::new(RowView::new(Arc::clone(source), held_out)) as Arc<dyn Source>);
    Ok(Split {
        train,
        validation,
        kept: kept_at,
        held_out: held_out_at,
    })
}

/// Whether each row keeps its labels.
fn kept_labels(
    source: &dyn Source,
    model: &Model,
    label: &Variable,
    labels: usize,
    validation: usize,
    seed: u64,
) -> Result<Vec<bool>> {
    let known = KnownLabels::read(model, source, "the data")?;
    if let Some(Variable { name, .. }) = known.lacking() {
        return Err(Error::data(format!(
            "the data: expected an array of labels `{name}`, found none"
        ))
        .help("give the array, with -1 for unlabelled rows, or omit the option `labels`"));
    }
    let classes = match label.is_class() {
        true => source.classes(&label.name)?.unwrap_or_default(),
        false => vec![0; source.rows()],
    };
    let mut is_labelled = vec![false; source.rows()];
    for row in known.labelled() {
        is_labelled[row as usize] = true;
    }
    // Rows that lack the first label, but have another, are a group of their own.
    let mut by_class: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for row in shuffled(source.rows(), seed, philox::stream("labels"), 0) {
        let row = row as usize;
        if is_labelled[row] {
            by_class.entry(classes[row]).or_default().push(row);
        }
    }
    let label = &label.name;
    let available: usize = by_class.values().map(Vec::len).sum();
    if available == 0 && validation > 0 {
        let message = format!("no row besides the {validation} held-out rows is labelled");
        return Err(Error::option("labels", labels, message).help("hold out fewer rows"));
    }
    if available == 0 {
        let help = format!(
            "expected classes in an array `{label}` (-1 for unlabelled rows), or a labels file of MNIST"
        );
        return Err(Error::option("labels", labels, "the data have no labelled row").help(help));
    }
    let present = by_class.len();
    if labels > available || labels < present {
        let message = format!("expected {present} to {available} labels");
        let besides = match validation {
            0 => String::new(),
            held_out => format!(" besides the {held_out} held-out rows"),
        };
        let help = match present {
            1 => format!("the data have {available} labelled rows{besides}"),
            _ => format!(
                "the data have {available} labelled rows of {present} classes{besides}; keep at \
                 least one label of each class"
            ),
        };
        return Err(Error::option("labels", labels, message).help(help));
    }
    // In each round, every class with rows left contributes one row.
    let mut kept = vec![false; source.rows()];
    let mut wanted = labels;
    let mut round = 0;
    while wanted > 0 {
        for rows in by_class.values() {
            if let Some(&row) = rows.get(round).filter(|_| wanted > 0) {
                kept[row] = true;
                wanted -= 1;
            }
        }
        round += 1;
    }
    Ok(kept)
}
