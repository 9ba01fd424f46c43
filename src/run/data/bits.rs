//! Greys as bits. A bound or a log-likelihood of binary data is a density of bits, so greys are
//! binarised for it: each becomes 1 with the probability that it is.
//!
//! The bits are the same in every evaluation of a data set. The random number that a grey is compared
//! with depends on the row's place in its data set and on the feature, and on nothing else: not on
//! the selection or the order of the rows, the size of a batch, or the names of variables.

use super::{
    checks::width,
    source::{Field, Source, each_chunk},
};
use crate::{distribution::Domain, error::Result, model::Model, tensor::philox};

/// The seed of all bits.
const SEED: u64 = 0;
/// The stream of all bits.
const STREAM: &str = "bits";

/// Rows whose binary variables are bits.
#[derive(Debug)]
pub struct Bits<'s> {
    source: &'s dyn Source,
    /// For each field, if it is binary, the number of binary features of the variables that the model
    /// declares before it.
    before: Vec<Option<u64>>,
}

/// Whether a value is neither a bit nor missing.
fn is_grey(value: f32) -> bool {
    value != 0.0 && value != 1.0 && !value.is_nan()
}

impl<'s> Bits<'s> {
    /// The rows of a source as bits; `None` if all binary values are 0 or 1 already.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn of(model: &Model, source: &'s dyn Source) -> Result<Option<Self>> {
        let mut before = vec![None; source.field_count()];
        let mut count = 0;
        let mut has_greys = false;
        for variable in model.read_variables() {
            if variable.domain != Domain::Binary {
                continue;
            }
            if let Some(field) = source.position(&variable.name) {
                before[field] = Some(count);
                each_chunk(source, field, &mut |values| {
                    has_greys |= values.iter().copied().any(is_grey);
                })?;
            }
            count += width(variable) as u64;
        }
        Ok(has_greys.then_some(Bits { source, before }))
    }
}

impl Source for Bits<'_> {
    fn rows(&self) -> usize {
        self.source.rows()
    }

    fn place(&self, row: u32) -> u64 {
        self.source.place(row)
    }

    fn field_count(&self) -> usize {
        self.source.field_count()
    }

    fn field(&self, index: usize) -> Field<'_> {
        self.source.field(index)
    }

    fn is_slow(&self, field: usize) -> bool {
        self.source.is_slow(field)
    }

    fn read(&self, field: usize, rows: &[u32], out: &mut [f32]) -> Result<()> {
        self.source.read(field, rows, out)?;
        let Some(before) = self.before[field] else {
            return Ok(());
        };
        let stream = philox::stream(STREAM);
        let width = self.field(field).width;
        for (&row, greys) in rows.iter().zip(out.chunks_exact_mut(width)) {
            let place = self.place(row);
            for (feature, grey) in greys.iter_mut().enumerate() {
                // Only greys need a number: most pixels of an image are 0 or 1.
                if is_grey(*grey) {
                    let uniform = philox::uniform(SEED, place, stream, before + feature as u64);
                    *grey = f32::from(*grey > uniform as f32);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;
    use crate::{
        driver,
        model::Model,
        run::data::{Column, RowView, Source, Table, Values},
    };
    use std::sync::Arc;

    fn model(names: [&str; 2]) -> Model {
        let [first, second] = names;
        let text = format!(
            "model two {{\n  data {first}: binary[50]\n  data {second}: binary\n  latent z: real[2]\n
  generative {{\n z ~ normal(0, 1)\n z -> {first} ~ bernoulli(linear)\n z -> {second} ~ bernoulli(linear)\n }}
  inference {{\n {first}, {second} -> z ~ normal(linear)\n }}\n}}\n"
        );
        driver::check("two.dgm", &text, &[]).expect("a model").0
    }

    fn table(names: [&str; 2], rows: usize, grey: f32) -> Table {
        let column = |(name, width): (&str, usize)| Column {
            name: name.to_string(),
            width,
            values: Values::Floats(vec![grey; rows * width]),
        };
        Table {
            rows,
            columns: names.into_iter().zip([50, 1]).map(column).collect(),
        }
    }

    fn bits(model: &Model, source: &dyn Source, field: usize, rows: &[u32]) -> Vec<f32> {
        let bits = Bits::of(model, source).expect("readable").expect("greys");
        let mut out = vec![0.0; rows.len() * source.field(field).width];
        bits.read(field, rows, &mut out).expect("readable");
        out
    }

    #[test]
    fn bits_have_the_greys_as_means() {
        let model = model(["x", "w"]);
        let rows: Vec<u32> = (0..400).collect();
        let found = bits(&model, &table(["x", "w"], 400, 0.3), 0, &rows);
        assert!(found.iter().all(|&bit| bit == 0.0 || bit == 1.0));
        let mean = found.iter().sum::<f32>() / found.len() as f32;
        // Of 20,000 bits, five standard deviations.
        assert!(
            (mean - 0.3).abs() < 5.0 * (0.21f32 / 20_000.0).sqrt(),
            "{mean}"
        );
    }

    #[test]
    fn bits_depend_on_the_place_and_the_feature_alone() {
        let greys = table(["x", "w"], 40, 0.5);
        let two = model(["x", "w"]);
        let all: Vec<u32> = (0..40).collect();
        let expected = bits(&two, &greys, 0, &all);
        // Views of views, in another order, and in batches of another size.
        let view = RowView::new(Arc::new(greys), (0..40).rev().collect());
        let view = RowView::new(Arc::new(view), (5..20).collect());
        for (at, place) in (20..35).rev().enumerate() {
            let found = bits(&two, &view, 0, &[at as u32]);
            assert_eq!(found, expected[place * 50..(place + 1) * 50]);
        }
        // Other names, and fields in another order.
        let mut renamed = table(["bits", "all"], 40, 0.5);
        let other = model(["bits", "all"]);
        assert_eq!(bits(&other, &renamed, 0, &all), expected);
        renamed.columns.reverse();
        assert_eq!(bits(&other, &renamed, 1, &all), expected);
        // The second variable has numbers of its own.
        let second = bits(&other, &renamed, 0, &all);
        let first: Vec<f32> = expected.chunks(50).map(|row| row[0]).collect();
        assert_ne!(second, first);
    }

    #[test]
    fn bits_stay_as_they_are() {
        let model = model(["x", "w"]);
        for bit in [0.0, 1.0] {
            let table = table(["x", "w"], 3, bit);
            assert!(Bits::of(&model, &table).expect("readable").is_none());
        }
    }
}
