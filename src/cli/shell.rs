//! `dgc completions` and `dgc man`: what a shell and a manual know of the program.

use super::{
    arguments::check_folder,
    terminal::{print, write_output},
};
use crate::{Error, Result};
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Print a script with which a shell completes the arguments of dgc
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    dgc completions bash > ~/.local/share/bash-completion/completions/dgc\n  \
    dgc completions zsh > ~/.zfunc/_dgc          # with ~/.zfunc in fpath\n  \
    dgc completions fish > ~/.config/fish/completions/dgc.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self, mut program: Command) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, "dgc", &mut script);
        write_output("-".as_ref(), &script)
    }
}

/// Write the manual pages of dgc: dgc.1, and a page for each command
#[derive(Args)]
#[command(after_help = "Example:\n  dgc man -o ~/.local/share/man/man1 && man dgc-train")]
pub(super) struct Manual {
    /// The folder to write to
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
}

impl Manual {
    pub fn run(self, program: Command) -> Result<()> {
        check_folder(&self.output, "a manual")?;
        let failed = |error| Error::file(&self.output, "cannot be created", error);
        fs::create_dir_all(&self.output).map_err(failed)?;
        let mut program = program.disable_help_subcommand(true);
        program.build();
        let mut pages = 1;
        write_page(&self.output, program.clone())?;
        for command in program
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
        {
            write_page(&self.output, command.clone())?;
            pages += 1;
        }
        let folder = self.output.display();
        print(&format!("wrote {pages} pages to {folder}\n"))
    }
}

/// Writes the page of a command.
fn write_page(folder: &Path, command: Command) -> Result<()> {
    let page = Man::new(command);
    let path = folder.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text)
        .map_err(|error| Error::file(&path, "cannot be written", error))?;
    write_output(&path, &text)
}
