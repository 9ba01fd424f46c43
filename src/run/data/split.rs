//! Which rows are trained on, held out, and keep their labels.

use super::{Table, Values};
use crate::{
    error::{Error, Result},
    run::batches::shuffled,
    tensor::philox,
};

/// The training rows, with the labels that are kept, and the rows held out with all of theirs.
#[derive(Clone, Debug)]
pub struct Split {
    pub train: Table,
    pub validation: Option<Table>,
    /// Where each row of `train` and of `validation` stands in the table.
    pub kept: Vec<usize>,
    pub held: Vec<usize>,
}

/// Holds `validation` rows out, and keeps the labels of `labels` of the others, as even over the
/// classes as it goes; both drawn by the seed. `names` are those of the labels, of which the first
/// is meant: a row keeps all of its labels, or none.
pub fn split(
    table: &Table,
    names: &[&str],
    labels: Option<usize>,
    validation: usize,
    seed: u64,
) -> Result<Split> {
    if validation >= table.rows {
        let message = format!("--validation {validation}: there are {} rows", table.rows);
        return Err(Error::new(message).help("hold out fewer rows than there are"));
    }
    let order = shuffled(table.rows, seed, philox::stream("validation"), 0);
    let (held, mut kept): (Vec<usize>, Vec<usize>) = (
        order[..validation]
            .iter()
            .map(|&row| row as usize)
            .collect(),
        order[validation..]
            .iter()
            .map(|&row| row as usize)
            .collect(),
    );
    kept.sort_unstable();
    let held_out = (validation > 0).then(|| table.select(&held));
    let mut train = if validation > 0 {
        table.select(&kept)
    } else {
        table.clone()
    };
    if let (Some(label), Some(labels)) = (names.first(), labels) {
        let kept = kept_labels(&train, label, labels, seed)?;
        for column in train
            .columns
            .iter_mut()
            .filter(|column| names.contains(&column.name.as_str()))
        {
            if let Values::Classes(classes) = &mut column.values {
                classes
                    .iter_mut()
                    .zip(&kept)
                    .filter(|(_, kept)| !**kept)
                    .for_each(|(class, _)| *class = -1);
            }
        }
    }
    Ok(Split {
        train,
        validation: held_out,
        kept,
        held,
    })
}

/// Whether each row keeps its labels.
fn kept_labels(table: &Table, label: &str, labels: usize, seed: u64) -> Result<Vec<bool>> {
    let classes = table
        .classes(label)
        .ok_or_else(|| Error::new(format!("the data have no labels `{label}`")))?;
    let count = classes
        .iter()
        .max()
        .map_or(0, |&most| (most + 1).max(0) as usize);
    let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); count];
    for row in shuffled(table.rows, seed, philox::stream("labels"), 0) {
        if let Ok(class) = usize::try_from(classes[row as usize]) {
            of_class[class].push(row as usize);
        }
    }
    let available: usize = of_class.iter().map(Vec::len).sum();
    if available == 0 {
        let help = format!(
            "labels are classes in an array `{label}` (-1 where there is none), or the labels file beside the images of MNIST"
        );
        return Err(
            Error::new(format!("--labels {labels}: no row of the data has a label")).help(help),
        );
    }
    let present = of_class.iter().filter(|rows| !rows.is_empty()).count();
    if labels > available || labels < present {
        let message =
            format!("--labels {labels}: there are {available} labelled rows of {present} classes");
        return Err(Error::new(message)
            .help("keep at least one label of each class, and no more than there are"));
    }
    // Round after round, each class that has rows left gives one.
    let mut kept = vec![false; table.rows];
    let mut wanted = labels;
    let mut round = 0;
    while wanted > 0 {
        for rows in &of_class {
            if let Some(&row) = rows.get(round).filter(|_| wanted > 0) {
                kept[row] = true;
                wanted -= 1;
            }
        }
        round += 1;
    }
    Ok(kept)
}
