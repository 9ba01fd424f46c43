//! Trains on data in memory: first on arrays, then on a custom source of rows.
//!
//! `cargo run --release --example data_in_memory`

use dgc::{DataArray, Dataset, Field, Model, Options, Result, Source, Trainer};
use std::sync::Arc;

const MODEL: &str = "
model points {
  size features = 2, latent = 2, hidden = 16

  data   x: real[features]
  latent z: real[latent]

  net body = [dense(hidden) > relu]

  generative {
         z ~ normal(0, 1)
    z -> x ~ normal(body)
  }

  inference {
    x -> z ~ normal(body)
  }

  train {
    batch 50
    optimizer adam(rate = 1e-3)
    epochs 2
  }
}
";

/// Points on a circle, computed when they are read; only their number is stored.
#[derive(Debug)]
struct Circle {
    rows: usize,
}

impl Source for Circle {
    fn rows(&self) -> usize {
        self.rows
    }

    fn field_count(&self) -> usize {
        1
    }

    fn field(&self, _index: usize) -> Field<'_> {
        Field {
            name: "x",
            width: 2,
        }
    }

    fn read(&self, _field: usize, rows: &[u32], out: &mut [f32]) -> Result<()> {
        for (&row, point) in rows.iter().zip(out.chunks_exact_mut(2)) {
            let angle = row as f32;
            point.copy_from_slice(&[angle.cos(), angle.sin()]);
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let model = Model::parse("points.dgm", MODEL)?;

    // An array for each observed variable; its first axis is the row.
    let points: Vec<f32> = (0..500)
        .flat_map(|row| [(row as f32).cos(), (row as f32).sin()])
        .collect();
    let arrays = Dataset::from_arrays(&model, [DataArray::new("x", [500, 2], points)])?;

    // The same points from a custom source.
    let source = Dataset::from_sources(&model, Arc::new(Circle { rows: 500 }), None)?;

    let mut losses = Vec::new();
    for data in [arrays, source] {
        let mut trainer = Trainer::new(&model, &data, Options::default())?;
        while let Some(epoch) = trainer.epoch()? {
            println!("{epoch}");
            losses.push(epoch.loss());
        }
    }
    assert_eq!(losses[..2], losses[2..], "equal rows give equal results");
    Ok(())
}
