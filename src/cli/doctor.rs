//! `dgc doctor`.

use super::terminal::{in_program_names, print, print_json};
use crate::{Result, System};
use clap::Args;
use std::path::PathBuf;

/// Show which devices and libraries dgc finds on this machine
///
/// A missing library is listed with the reason and a way to install it.
#[derive(Args)]
#[command(after_help = "Example:\n  dgc doctor")]
pub(super) struct Doctor {
    /// The path of NVIDIA's runtime compiler (libnvrtc.so) or of its folder [default: the loader's
    /// search path]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub fn run(self) -> Result<()> {
        let system = System::look(self.nvrtc.as_deref());
        if self.json {
            print_json(&system.to_json())
        } else {
            print(&in_program_names(&system.to_string()))
        }
    }
}
