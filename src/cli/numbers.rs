//! `dgc bound`.

use super::{arguments::ModelFile, device::DeviceArguments, terminal::print_json};
use crate::{Arrays, Engine, NamedArray, Result};
use clap::Args;
use std::path::{Path, PathBuf};

/// Compute the bound, its terms and the gradient for given parameters, batch and noise
#[derive(Args)]
pub(super) struct Bound {
    #[command(flatten)]
    model: ModelFile,
    /// Parameters, as safetensors
    #[arg(long)]
    params: PathBuf,
    /// A batch: an array for each observed variable, labels −1 where there is none
    #[arg(long)]
    batch: PathBuf,
    /// Noise, named CASE.VARIABLE, with axes sample, row, class, feature; drawn by --seed if left
    /// out
    #[arg(long)]
    noise: Option<PathBuf>,
    /// Write the gradient of the loss by every parameter to this safetensors file
    #[arg(long)]
    grads: Option<PathBuf>,
    /// Compute by the reference interpreter, in double precision, instead of a device
    #[arg(long, conflicts_with_all = ["device", "threads", "nvrtc", "precision"])]
    reference: bool,
    #[command(flatten)]
    device: DeviceArguments,
    /// The seed of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn read(path: &Path) -> Result<Arrays> {
    Ok(NamedArray::read_all(path)?
        .into_iter()
        .map(|array| (array.name.clone(), array))
        .collect())
}

impl Bound {
    pub fn run(self) -> Result<()> {
        let model = self.model.check()?;
        let noise = self.noise.as_deref().map(read).transpose()?;
        let engine = if self.reference {
            Engine::Reference
        } else {
            Engine::Device(self.device.choice())
        };
        let (params, batch) = (read(&self.params)?, read(&self.batch)?);
        let report = model.bound(&params, &batch, noise.as_ref(), self.seed, &engine)?;
        if let Some(path) = &self.grads {
            NamedArray::write_all(&report.gradients, path, true)?;
        }
        print_json(&report.json)
    }
}
