//! `dgc bound`.

use super::{
    arguments::{ModelFile, check_file, whole},
    device::DeviceArguments,
    terminal::print_json,
};
use crate::{Arrays, Engine, Error, NamedArray, Result, is_standard, run::data::read_arrays};
use clap::Args;
use std::path::{Path, PathBuf};

/// Compute the bound and its gradient for given parameters, batch and noise
///
/// The result, with every term of the bound, is printed as JSON. Its purpose is to compare dgc with
/// another implementation.
#[derive(Args)]
#[command(after_help = "Example:\n  \
    dgc bound models/adgm.dgm --params params.safetensors --batch batch.npz --reference")]
pub(super) struct Bound {
    #[command(flatten)]
    model: ModelFile,
    /// Read the model in this edition of the language, 1 or 2 [default: the file's]
    #[arg(long, value_name = "N")]
    edition: Option<String>,
    /// An .npz or .safetensors file with the parameters
    #[arg(long, value_name = "FILE")]
    params: PathBuf,
    /// An .npz or .safetensors file with an array for each observed variable; a label of −1 marks
    /// an unlabelled row
    #[arg(long, value_name = "FILE")]
    batch: PathBuf,
    /// An .npz or .safetensors file with the noise: arrays named CASE.VARIABLE with axes sample, row, class, feature
    /// [default: drawn from --seed]
    #[arg(long, value_name = "FILE")]
    noise: Option<PathBuf>,
    /// Write the gradient of the loss with respect to every parameter to this safetensors file
    #[arg(long, value_name = "FILE")]
    grads: Option<PathBuf>,
    /// Compute with the reference interpreter in double precision instead of on a device
    #[arg(long, conflicts_with_all = ["device", "threads", "nvrtc", "precision", "kernel_family"])]
    reference: bool,
    #[command(flatten)]
    device: DeviceArguments,
    /// The seed of the noise
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u64>, allow_negative_numbers = true)]
    seed: u64,
}

fn read(path: &Path) -> Result<Arrays> {
    Ok(read_arrays(path)?
        .into_iter()
        .map(|array| (array.name.clone(), array))
        .collect())
}

impl Bound {
    pub fn run(mut self) -> Result<()> {
        let edition = self
            .edition
            .take()
            .map(|edition| ("edition".to_string(), edition));
        self.model.changes.sets.extend(edition);
        if let Some(path) = &self.grads {
            if is_standard(path) {
                let message = "standard output has the JSON of the result";
                return Err(Error::option("grads", "-", message).help("name a file"));
            }
            let noise = self.noise.as_deref();
            let inputs = [&*self.model.file, &self.params, &self.batch];
            let inputs: Vec<&Path> = inputs.into_iter().chain(noise).collect();
            check_file(path, &["safetensors"], &inputs)?;
        }
        let model = self.model.check()?;
        let noise = self.noise.as_deref().map(read).transpose()?;
        let engine = if self.reference {
            Engine::Reference
        } else {
            Engine::Device(self.device.choice()?)
        };
        let (params, batch) = (read(&self.params)?, read(&self.batch)?);
        let report = model.bound(&params, &batch, noise.as_ref(), self.seed, &engine)?;
        if let Some(path) = &self.grads {
            NamedArray::write_all(&report.gradients, path, true)?;
        }
        print_json(&report.json)
    }
}
