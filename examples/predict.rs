//! Uses a run on new rows: class probabilities, latent variables and log-likelihoods.
//!
//! `cargo run --release --example predict [RUN]` opens a run of an MNIST model that `dgc train`
//! wrote. Without RUN, it first trains a small model.

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
    // Ten new images with 784 grey values: a bar on black that moves to the right.
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
        println!(
            "{} has {} numbers per row",
            encoding.variable, encoding.width
        );
    }
    Ok(())
}

/// Trains a small model and returns its run.
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
