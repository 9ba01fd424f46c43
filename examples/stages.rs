//! Prints every stage of a model's compilation, from the syntax tree to CUDA C++.
//!
//! `cargo run --release --example stages [MODEL]`

use dgc::{Drawing, Model, Result, Stage};

fn main() -> Result<()> {
    let file = std::env::args().nth(1);
    let model = Model::open(file.as_deref().unwrap_or("models/vae.dgm"))?
        .set("hidden", 8)?
        .set("latent", 2)?;
    for stage in Stage::ALL {
        let text = model.emit(stage)?;
        println!("--- {stage}: {} lines", text.lines().count());
        for line in text.lines().take(8) {
            println!("{line}");
        }
    }
    println!("--- graphs\n{}", model.graph(Drawing::Text));
    Ok(())
}
