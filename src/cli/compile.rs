//! `dgc compile`.

use super::{
    arguments::{ModelFile, check_folder, precision},
    terminal::{print, print_json},
};
use crate::{CompileOptions, Error, Precision, Programs, Result, Stage, ast, check_architecture};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Compile a model to a folder, or print a stage of its compilation
///
/// `dgc train FOLDER` and `dgc bench FOLDER` run a compiled folder.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    dgc compile models/adgm.dgm --emit plan\n  \
    dgc compile models/adgm.dgm --target cuda --arch sm_90 -o out/adgm\n  \
    dgc compile models/adgm.dgm --report --json")]
pub(super) struct Compile {
    #[command(flatten)]
    model: ModelFile,
    /// The stage to print [default: plan, unless -o or --report is given]
    #[arg(long, value_enum, conflicts_with = "output")]
    emit: Option<StageName>,
    /// The folder to write the programs to
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// The device to compile for; every folder also runs on the CPU
    #[arg(long, value_enum, default_value_t = Target::Cpu, conflicts_with = "emit")]
    target: Target,
    /// Print the cost of each kernel, and with --target cuda the assembler's report for the first
    /// architecture
    #[arg(long, conflicts_with = "emit")]
    report: bool,
    /// With --report, print the report as JSON
    #[arg(long, requires = "report")]
    json: bool,
    /// The GPU architectures to compile for, separated by commas; the earliest also gets PTX, which
    /// later GPUs can run
    #[arg(long, value_delimiter = ',', default_values_t = ARCHITECTURES.map(String::from), value_parser = architecture)]
    arch: Vec<String>,
    /// The path of NVIDIA's runtime compiler (libnvrtc.so) or of its folder [default: the loader's
    /// search path]
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// The precision of the operands of matrix products on the GPU: f32, tf32 or bf16
    #[arg(long, default_value_t = Precision::F32, value_parser = precision)]
    precision: Precision,
}

/// Ampere, Hopper and Blackwell.
const ARCHITECTURES: [&str; 4] = ["sm_80", "sm_90", "sm_100", "sm_120"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Plans only, which the CPU executes directly
    Cpu,
    /// Plans, CUDA C++ and machine code for NVIDIA GPUs
    Cuda,
}

fn architecture(text: &str) -> std::result::Result<String, String> {
    check_architecture(text).map_err(|error| error.message().to_string())?;
    Ok(text.to_string())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StageName {
    /// The syntax tree
    Ast,
    /// The generative and inference graphs
    Graph,
    /// The bound of each case
    Bound,
    /// The loss as operations on named axes
    Tensor,
    /// The loss and its gradient
    Gradient,
    /// The loss and its gradient after simplification
    Simplified,
    /// Kernels and buffers
    Plan,
    /// The plan as CUDA C++
    Cuda,
}

impl StageName {
    fn stage(self, precision: Precision) -> Stage {
        match self {
            StageName::Ast => Stage::Ast,
            StageName::Graph => Stage::Graph,
            StageName::Bound => Stage::Bound,
            StageName::Tensor => Stage::Tensor,
            StageName::Gradient => Stage::Gradient,
            StageName::Simplified => Stage::Simplified,
            StageName::Plan => Stage::Plan,
            StageName::Cuda => Stage::Cuda(precision),
        }
    }
}

impl Compile {
    pub fn run(self) -> Result<()> {
        // The syntax tree of a text with mistakes in its meaning can still be printed.
        if self.emit == Some(StageName::Ast)
            && let Some(tree) = ast(&self.model.file)?
        {
            return print(&tree);
        }
        if let Some(folder) = &self.output {
            check_folder(folder, "a compiled model")?;
        }
        let model = self.model.check()?;
        if self.output.is_none() && !self.report {
            if self.target == Target::Cuda {
                let message = "expected an output";
                return Err(Error::option("target", "cuda", message).help(
                    "add -o FOLDER or --report, or print the CUDA source with --emit cuda instead",
                ));
            }
            let stage = self.emit.unwrap_or(StageName::Plan).stage(self.precision);
            return print(&model.emit(stage)?);
        }
        let programs = model.compile(CompileOptions {
            architectures: self.architectures().to_vec(),
            precision: self.precision,
            nvrtc: self.nvrtc.clone(),
        })?;
        if self.report {
            self.print_report(&programs)?;
        }
        match &self.output {
            Some(folder) => self.write(folder, &model.file, programs),
            None => Ok(()),
        }
    }

    fn architectures(&self) -> &[String] {
        match self.target {
            Target::Cpu => &[],
            Target::Cuda => &self.arch,
        }
    }

    fn print_report(&self, programs: &Programs) -> Result<()> {
        let first = self.arch.first().map_or("sm_90", String::as_str);
        let report = programs.report(first);
        if self.json {
            print_json(&report.to_json())
        } else {
            print(&report.to_string())
        }
    }

    fn write(&self, folder: &Path, file: &str, programs: Programs) -> Result<()> {
        programs.write(folder)?;
        let target = match self.architectures() {
            [] => "the CPU".to_string(),
            architectures => architectures.join(", "),
        };
        let folder = folder.display();
        let done = format!("{file}: compiled for {target}; train with: dgc train {folder}");
        if self.json {
            super::terminal::note(done);
            return Ok(());
        }
        print(&format!("{done}\n"))
    }
}
