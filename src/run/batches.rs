//! The rows of each step. They depend only on the seed and the step, so a resumed run takes the
//! same rows as an uninterrupted run.

use crate::tensor::philox;
use std::{collections::BTreeMap, slice};

/// The order of `count` rows in an epoch of a stream, by a Fisher–Yates shuffle.
pub fn shuffled(count: usize, seed: u64, stream: u32, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    shuffle(&mut order, seed, stream, epoch);
    order
}

fn shuffle(order: &mut [u32], seed: u64, stream: u32, epoch: u64) {
    order
        .iter_mut()
        .enumerate()
        .for_each(|(index, row)| *row = index as u32);
    for last in (1..order.len()).rev() {
        let words = philox::words(seed, epoch, stream, last as u32);
        // 64 random bits, scaled to 0..=last: the bias is below 2⁻³².
        let wide = u64::from(words[0]) << 32 | u64::from(words[1]);
        let other = ((u128::from(wide) * (last as u128 + 1)) >> 64) as usize;
        order.swap(last, other);
    }
}

/// An endless sequence of epochs; each epoch has all rows in a new order.
#[derive(Clone, Debug)]
pub struct Sequence {
    seed: u64,
    stream: u32,
    rows: Vec<u32>,
    order: Vec<u32>,
    epoch: Option<u64>,
}

impl Sequence {
    /// A sequence over `rows`, shuffled with the random stream of that name.
    pub fn new(rows: Vec<u32>, seed: u64, stream: &str) -> Self {
        let order = vec![0; rows.len()];
        Sequence {
            seed,
            stream: philox::stream(stream),
            rows,
            order,
            epoch: None,
        }
    }

    /// The rows at positions `first..first + out.len()` of the sequence.
    pub fn take(&mut self, first: u64, out: &mut [u32]) {
        let count = self.rows.len() as u64;
        for (position, out) in (first..).zip(out) {
            let epoch = position / count;
            if self.epoch != Some(epoch) {
                shuffle(&mut self.order, self.seed, self.stream, epoch);
                self.epoch = Some(epoch);
            }
            *out = self.rows[self.order[(position % count) as usize] as usize];
        }
    }
}

/// The rows of a case: those of one sequence, or of several in turn, so that each part has as many rows
/// in a batch as any other, or one more or less.
#[derive(Clone, Debug)]
pub struct Turns {
    parts: Vec<Sequence>,
}

impl Turns {
    /// The rows of a sequence.
    pub fn new(rows: Vec<u32>, seed: u64, stream: &str) -> Self {
        Turns {
            parts: vec![Sequence::new(rows, seed, stream)],
        }
    }

    /// The rows of each class in turn. `classes` are those of all rows, and classes without rows have
    /// no turn. Each class has an order of its own, with the random stream `STREAM.CLASS`.
    pub fn balanced(rows: &[u32], classes: &[i32], seed: u64, stream: &str) -> Self {
        let mut by_class: BTreeMap<i32, Vec<u32>> = BTreeMap::new();
        for &row in rows {
            by_class.entry(classes[row as usize]).or_default().push(row);
        }
        let parts = by_class.into_iter();
        let parts = parts
            .map(|(class, rows)| Sequence::new(rows, seed, &format!("{stream}.{class}")))
            .collect();
        Turns { parts }
    }

    /// The rows at positions `first..first + out.len()`.
    pub fn take(&mut self, first: u64, out: &mut [u32]) {
        if let [only] = self.parts.as_mut_slice() {
            return only.take(first, out);
        }
        let count = self.parts.len() as u64;
        for (position, out) in (first..).zip(out) {
            let part = &mut self.parts[(position % count) as usize];
            part.take(position / count, slice::from_mut(out));
        }
    }
}
