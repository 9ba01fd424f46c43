//! Compiling a model into a folder, ahead of time.

use super::report::CostReport;
use crate::{
    backend::{
        Precision,
        cuda::{self, library},
    },
    error::{Error, Result},
    model::Model,
    run::compiled::{self, Compiled, Made},
};
use std::path::{Path, PathBuf};

/// What programs are compiled for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileOptions {
    /// GPU architectures to make machine code for, such as `sm_90`; the earliest also gets PTX, for
    /// later GPUs. Empty: plans alone, which any CPU runs.
    pub architectures: Vec<String>,
    /// What matrix products on a GPU round their operands to.
    pub precision: Precision,
    /// The library of NVIDIA's runtime compiler, where the loader does not find it.
    pub nvrtc: Option<PathBuf>,
}

/// The programs of a model, compiled and not yet written.
pub struct Programs<'m> {
    model: &'m Model,
    made: Made,
    options: CompileOptions,
}

impl Model {
    /// Compiles every program that training runs.
    ///
    /// # Errors
    /// If there is no compiler for a GPU that is asked for, or it fails.
    pub fn compile(&self, options: CompileOptions) -> Result<Programs<'_>> {
        if options.architectures.is_empty() && options.precision != Precision::F32 {
            let message = "programs for the CPU are the same in each";
            return Err(Error::option("precision", options.precision, message)
                .help("leave it out here, and give it to dgc train; or --target cuda"));
        }
        if !options.architectures.is_empty() {
            library::find_nvrtc(options.nvrtc.as_deref())?;
        }
        Ok(Programs {
            model: self,
            made: compiled::make(self, &options.architectures, options.precision)?,
            options,
        })
    }
}

impl Programs<'_> {
    /// What each kernel costs, beside what the GPU `arch` can do, and what its assembler reported.
    pub fn report(&self, arch: &str) -> CostReport {
        CostReport::new(&self.made, arch, self.options.precision)
    }

    /// Writes the programs into a folder that [`Compiled::open`] reads. A folder that holds other
    /// files is refused.
    ///
    /// # Errors
    /// If the folder holds other files, or cannot be written.
    pub fn write(self, folder: impl AsRef<Path>) -> Result<()> {
        compiled::write(folder.as_ref(), self.model, &self.model.sets, self.made)
    }
}

/// The earliest GPU architecture that kernels run on: 80 of `sm_80`.
pub const EARLIEST_ARCHITECTURE: u32 = cuda::image::EARLIEST;

impl Compiled {
    /// Whether a folder holds a compiled model, of any version.
    pub fn is_in(folder: impl AsRef<Path>) -> bool {
        compiled::is_compiled(folder.as_ref())
    }

    /// What matrix products of the machine code round their operands to; none for plans alone.
    pub fn precision(&self) -> Option<Precision> {
        let binary = self.training.gradient.cuda.as_ref();
        binary.map(|binary| binary.precision)
    }

    /// Reads a folder that [`Programs::write`] wrote.
    ///
    /// # Errors
    /// If the folder holds no compiled model, another version of dgc compiled it, or files changed.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        compiled::read(folder.as_ref())
    }

    /// The same programs for a model with settings changed that programs do not depend on, which is
    /// `epochs` alone.
    ///
    /// # Errors
    /// If a setting is another one, or has a wrong value.
    pub fn set_all(mut self, sets: &[(String, String)]) -> Result<Self> {
        if let Some((name, _)) = sets.iter().find(|(name, _)| name != "epochs") {
            let message = "a compiled model keeps the settings that it was compiled with";
            return Err(Error::option("set", format!("{name}=…"), message)
                .help("compile it again with them; only `epochs` may be changed"));
        }
        self.model = self.model.set_all(sets)?;
        self.sets = self.model.sets.clone();
        Ok(self)
    }
}
