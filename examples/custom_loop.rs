//! A custom training loop: trains step by step, watches the validation bound and stops early.
//!
//! `cargo run --release --example custom_loop`

use dgc::{Dataset, Model, Options, Outcome, Result, Trainer};
use std::ops::ControlFlow;

fn main() -> Result<()> {
    let model = Model::open("models/vae.dgm")?
        .set("hidden", 50)?
        .set("latent", 8)?
        .set("epochs", 3)?;
    let data = Dataset::open("mnist", &model)?;
    let options = Options {
        validation: 1000,
        ..Options::default()
    };

    // Step by step: `step` returns the epoch that ended with the step, if any.
    let mut trainer = Trainer::new(&model, &data, options)?;
    let best = loop {
        if let Some(epoch) = trainer.step()? {
            println!("{epoch}");
            break epoch.held_out_bound();
        }
    };
    println!("best validation bound: {best:?}");

    // With a callback after each step, which can stop training.
    let limit = trainer.steps_taken() + 20;
    let outcome = trainer.train(|progress| {
        if progress.step % 10 == 0 {
            let bounds: Vec<String> = progress
                .bounds()
                .map(|(case, bound)| format!("{case} {bound:.1}"))
                .collect();
            println!(
                "step {}/{}: {}",
                progress.step,
                progress.steps,
                bounds.join(", ")
            );
        }
        if progress.step >= limit {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    assert_eq!(outcome, Outcome::Stopped);
    Ok(())
}
