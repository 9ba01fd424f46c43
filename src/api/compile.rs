//! Compiling a model into a folder, ahead of time.

use super::report::CostReport;
use crate::{
    backend::{
        Precision,
        cuda::{self, library},
    },
    error::{Error, Result},
    model::Model,
    run::compiled::{self, Compiled, CompiledPrograms},
};
use std::path::{Path, PathBuf};

/// How a model's programs are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompileOptions {
    /// GPU architectures to compile for, such as `sm_90`; the earliest also gets PTX, which later
    /// GPUs can run. If empty, only plans are written, which any CPU runs.
    pub architectures: Vec<String>,
    /// The precision of the operands of matrix products on a GPU.
    pub precision: Precision,
    /// The path of NVIDIA's runtime compiler, if the loader does not find it.
    pub nvrtc: Option<PathBuf>,
}

/// The compiled programs of a model, in memory.
pub struct Programs<'m> {
    model: &'m Model,
    compiled: CompiledPrograms,
    options: CompileOptions,
}

impl Model {
    /// Compiles every program that training runs.
    ///
    /// # Errors
    /// If an architecture is not supported, or one is given and the compiler is missing or fails.
    pub fn compile(&self, options: CompileOptions) -> Result<Programs<'_>> {
        options
            .architectures
            .iter()
            .try_for_each(|architecture| check_architecture(architecture))?;
        if options.architectures.is_empty() && options.precision != Precision::F32 {
            let message = "programs for the CPU do not depend on the precision";
            return Err(Error::option("precision", options.precision, message)
                .help("choose the precision for training instead, or compile for a GPU too"));
        }
        if !options.architectures.is_empty() {
            library::find_nvrtc(options.nvrtc.as_deref())?;
        }
        Ok(Programs {
            model: self,
            compiled: compiled::compile_model(self, &options.architectures, options.precision)?,
            options,
        })
    }
}

impl Programs<'_> {
    /// The cost of each kernel, the least time it takes on a GPU of the architecture `arch`, and its
    /// assembler's report. An H100 stands for architectures whose figures dgc does not have.
    pub fn report(&self, arch: &str) -> CostReport {
        CostReport::new(&self.compiled, arch, self.options.precision)
    }

    /// Writes the programs into a folder that [`Compiled::open`] reads.
    ///
    /// # Errors
    /// If the folder contains other files, or cannot be written.
    pub fn write(self, folder: impl AsRef<Path>) -> Result<()> {
        compiled::write(folder.as_ref(), self.model, &self.model.sets, self.compiled)
    }
}

/// The earliest GPU architecture that dgc supports, as a number: 80 for `sm_80`.
pub const EARLIEST_ARCHITECTURE: u32 = cuda::image::EARLIEST;

/// Checks the name of a GPU architecture.
///
/// # Errors
/// If it is not a name such as `sm_90`, or earlier than [`EARLIEST_ARCHITECTURE`].
pub fn check_architecture(name: &str) -> Result<()> {
    let number = name.strip_prefix("sm_").map(str::parse::<u32>);
    if number.is_some_and(|number| number.is_ok_and(|number| number >= EARLIEST_ARCHITECTURE)) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "expected an architecture such as sm_90, from sm_{EARLIEST_ARCHITECTURE} on, found `{name}`"
    )))
}

impl Compiled {
    /// Whether a folder contains a compiled model of any version of dgc.
    pub fn is_in(folder: impl AsRef<Path>) -> bool {
        compiled::is_compiled(folder.as_ref())
    }

    /// The precision of the GPU machine code; `None` if the folder has only plans.
    pub fn precision(&self) -> Option<Precision> {
        let binary = self.training.gradient.cuda.as_ref();
        binary.map(|binary| binary.precision)
    }

    /// Reads a folder that [`Programs::write`] wrote.
    ///
    /// # Errors
    /// If the folder has no compiled model, another version of dgc wrote it, or its files changed.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        compiled::read(folder.as_ref())
    }

    /// Changes settings of the model. Only `epochs` may change: the programs depend on the others.
    ///
    /// # Errors
    /// If another setting is given, or a value is invalid.
    pub fn set_all(mut self, sets: &[(String, String)]) -> Result<Self> {
        if let Some((name, _)) = sets.iter().find(|(name, _)| name != "epochs") {
            let message = "the settings of a compiled model are fixed";
            return Err(Error::option("set", format!("{name}=…"), message)
                .help("compile the model again with this setting; only `epochs` may be changed"));
        }
        self.model = self.model.set_all(sets)?;
        self.sets = self.model.sets.clone();
        Ok(self)
    }
}
