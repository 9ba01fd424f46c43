//! The rows of each step. They depend only on the seed and the step, so a resumed run takes the
//! same rows as an uninterrupted run.

use crate::tensor::philox;

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
