//! Predicts labels by a run: probabilities of classes, latents and log-likelihoods of new rows.
//!
//! `cargo run --release --example predict [RUN]` takes a run that `dgc train` made of a model of
//! MNIST; without one, a small model is trained first.

use dgc::{DataArray, Dataset, Model, Options, Result, Rows, Run, Trainer};

fn main() -> Result<()> {
    match std::env::args().nth(1) {
        Some(folder) => predict(&Run::open(folder)?),
        None => {
            let folder = std::env::temp_dir().join(format!("dgc-example-{}", std::process::id()));
            let done = predict(&train(&folder)?);
            std::fs::remove_dir_all(&folder).ok();
            done
        }
    }
}

fn predict(run: &Run) -> Result<()> {
    // Ten new rows of 784 greys; here they are all black but for a bar that moves to the right.
    let greys: Vec<f32> = (0..10 * 784)
        .map(|element| {
            let (row, column) = (element / 784, element % 28);
            f32::from(u8::from(column == 9 + row))
        })
        .collect();
    let rows = Rows::from_arrays(run.model(), [DataArray::new("x", [10, 784], greys)])?;

    let predictions = run.predict(&rows)?;
    let encodings = run.encode(&rows)?;
    let likelihoods = run.log_likelihood(&rows)?;
    for label in &predictions.labels {
        for (row, class) in label.likeliest().into_iter().enumerate() {
            println!(
                "row {row}: {} = {class} with probability {:.3}, log-likelihood {:.1}",
                label.label,
                label.row(row)[class],
                likelihoods[row],
            );
        }
    }
    for encoding in &encodings.variables {
        println!("{} has {} numbers a row", encoding.variable, encoding.width);
    }
    Ok(())
}

/// A run of a small model.
fn train(folder: &std::path::Path) -> Result<Run> {
    let model = Model::open("models/m2.dgm")?
        .set("hidden", 50)?
        .set("epochs", 1)?;
    let data = Dataset::open("mnist", &model)?;
    let options = Options {
        labels: Some(100),
        ..Options::default()
    };
    let mut trainer = Trainer::new(&model, &data, options)?;
    while trainer.epoch()?.is_some() {}
    trainer.finish(folder)
}
