//! `dgc doctor`.

use super::terminal::{print, print_json};
use crate::{Result, System};
use clap::Args;
use std::path::PathBuf;

/// Show the devices and libraries that were found, and what is missing for others
#[derive(Args)]
pub(super) struct Doctor {
    /// The library of NVIDIA's runtime compiler, where the loader does not find it
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(self) -> Result<()> {
        let system = System::look(self.nvrtc.as_deref());
        if self.json {
            print_json(&system.to_json())
        } else {
            print(&system.to_string())
        }
    }
}
