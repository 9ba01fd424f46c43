//! Trains a small ADGM on the bundled MNIST excerpt with 100 labels and evaluates it.
//!
//! `cargo run --release --example train_and_evaluate`

use dgc::{Dataset, Model, Options, Result, Trainer};

fn main() -> Result<()> {
    // Small sizes, so that the example takes seconds; without these lines, the model has its full
    // size.
    let model = Model::open("models/adgm.dgm")?
        .set("hidden", 50)?
        .set("aux", 10)?
        .set("latent", 10)?
        .set("epochs", 2)?;
    println!("{}", model.explain());

    let data = Dataset::open("mnist", &model)?;
    let options = Options {
        labels: Some(100),
        seed: 1,
        ..Options::default()
    };
    let mut trainer = Trainer::new(&model, &data, options)?;
    while let Some(epoch) = trainer.epoch()? {
        println!("{epoch}");
    }

    // Write the run to a folder and use it.
    let folder = std::env::temp_dir().join(format!("dgc-example-{}", std::process::id()));
    let run = trainer.finish(&folder)?;
    let rows = run.rows(None)?.first(200);
    let evaluation = run.with_samples(5).evaluate(&rows)?;
    print!("{evaluation}");
    std::fs::remove_dir_all(&folder).ok();
    Ok(())
}
