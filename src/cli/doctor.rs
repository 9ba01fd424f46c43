//! `dgc doctor`.

use super::print;
use crate::{
    backend::{
        cpu,
        cuda::{self, cache, compile, library},
    },
    error::{Error, Result},
};
use clap::Args;
use std::{path::PathBuf, thread::available_parallelism};

/// Show the devices and libraries that were found, and what is missing for others
#[derive(Args)]
pub struct Doctor {
    /// The library of NVIDIA's runtime compiler, where the loader does not find it
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
}

impl Doctor {
    pub fn run(self) -> Result<()> {
        let mut text = format!("dgc {}\n", env!("CARGO_PKG_VERSION"));
        let instructions = cpu::describe_instructions();
        text += &format!(
            "CPU       {} threads, {instructions}\n",
            available_parallelism().map_or(1, usize::from)
        );
        text += &found("driver", library::find_driver());
        if library::find_driver().is_ok() {
            match cuda::gpus() {
                Ok(gpus) if gpus.is_empty() => text += "GPU       none\n",
                Ok(gpus) => {
                    for gpu in gpus {
                        let memory = gpu.memory >> 20;
                        text += &format!("GPU       {} ({}), {memory} MiB\n", gpu.name, gpu.arch);
                    }
                }
                Err(error) => text += &found("GPU", Err(error)),
            }
        }
        let nvrtc = library::find_nvrtc(self.nvrtc.as_deref());
        let ready = nvrtc.is_ok();
        text += &found("NVRTC", nvrtc);
        if ready {
            let (major, minor) = compile::version()?;
            text += &format!("          version {major}.{minor}\n");
        }
        text += &match cache::folder() {
            Some(folder) => format!("cache     {}\n", folder.display()),
            None => "cache     none: DGC_CACHE is empty\n".to_string(),
        };
        print(&text)
    }
}

/// A line for what was found where, or why it was not.
fn found(what: &str, found: std::result::Result<String, Error>) -> String {
    match found {
        Ok(place) => format!("{what:9} {place}\n"),
        Err(error) => format!("{what:9} not found: {error}\n"),
    }
}
