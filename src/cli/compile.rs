//! `dgc compile`.

use super::{
    ModelFile,
    device::precision,
    print,
    report::{self, GPUS},
};
use crate::{
    backend::{
        Precision,
        cuda::{assembly, compile::EARLIEST, emit, library},
    },
    bound, driver,
    error::{Error, Result},
    lower::Mode,
    model::{self, Model},
    plan::{self, NoiseSource},
    run::{
        compiled::{self, Made},
        programs::batch_rows,
    },
    syntax, tensor,
};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Compile a model: print any stage on the way, or write its programs into a folder that `dgc
/// train` takes
#[derive(Args)]
pub struct Compile {
    #[command(flatten)]
    model: ModelFile,
    /// The stage to print; `plan` if there is no -o
    #[arg(long, value_enum, conflicts_with = "output")]
    emit: Option<Stage>,
    /// The folder to write the programs to
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// What the programs are for; any folder runs on the CPU
    #[arg(long, value_enum, default_value_t = Target::Cpu, conflicts_with = "emit")]
    target: Target,
    /// Print what each kernel costs, and what the assembler made of it for the first architecture
    #[arg(long, conflicts_with = "emit")]
    report: bool,
    /// GPU architectures to make machine code for; the earliest also gets PTX, for later GPUs
    #[arg(long, value_delimiter = ',', default_values_t = ARCHITECTURES.map(String::from), value_parser = architecture)]
    arch: Vec<String>,
    /// The library of NVIDIA's runtime compiler, where the loader does not find it
    #[arg(long, value_name = "PATH")]
    nvrtc: Option<PathBuf>,
    /// What matrix products of programs for GPUs round their operands to: f32, tf32 or bf16
    #[arg(long, default_value_t = Precision::F32, value_parser = precision)]
    precision: Precision,
}

/// Ampere, Hopper and Blackwell.
const ARCHITECTURES: [&str; 4] = ["sm_80", "sm_90", "sm_100", "sm_120"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// Plans, which the CPU runs as they are
    Cpu,
    /// Plans, CUDA C++ and machine code for NVIDIA GPUs
    Cuda,
}

fn architecture(text: &str) -> std::result::Result<String, String> {
    let digits = text
        .strip_prefix("sm_")
        .filter(|digits| digits.parse::<u32>().is_ok_and(|number| number >= EARLIEST));
    let expected =
        format!("expected an architecture such as sm_90, from sm_{EARLIEST} on, found `{text}`");
    digits.map(|_| text.to_string()).ok_or(expected)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
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
    /// The same after simplification
    Simplified,
    /// Kernels and buffers
    Plan,
    /// The plan as CUDA C++
    Cuda,
}

impl Compile {
    pub fn run(self) -> Result<()> {
        if self.emit == Some(Stage::Ast) {
            let text = self.model.text()?;
            if let Ok(tree) = syntax::parse(&text) {
                return print(&syntax::print(&tree));
            }
        }
        let model = self.model.check()?;
        if self.output.is_none() && !self.report {
            if self.target == Target::Cuda {
                let help =
                    "name a folder with -o, ask for --report, or for the source with --emit cuda";
                return Err(
                    Error::new("--target cuda: nothing says what to do with the programs")
                        .help(help),
                );
            }
            return print(&emit(
                &model,
                self.emit.unwrap_or(Stage::Plan),
                self.precision,
            ));
        }
        let architectures = if self.target == Target::Cuda {
            self.arch.as_slice()
        } else {
            &[]
        };
        if architectures.is_empty() && self.precision != Precision::F32 {
            let message = format!(
                "--precision {}: programs for the CPU are the same in each",
                self.precision
            );
            return Err(Error::new(message)
                .help("leave it out here, and give it to dgc train; or --target cuda"));
        }
        if !architectures.is_empty() {
            library::find_nvrtc(self.nvrtc.as_deref())?;
        }
        let made = compiled::make(&model, architectures, self.precision)?;
        if self.report {
            print(&self.report_of(&made))?;
        }
        match &self.output {
            Some(folder) => self.write(folder, &model, made),
            None => Ok(()),
        }
    }

    /// The costs of all programs, beside what the GPU of the first architecture can do.
    fn report_of(&self, made: &Made) -> String {
        let first = self.arch.first().map_or("sm_90", String::as_str);
        let gpu = GPUS
            .iter()
            .find(|gpu| gpu.arch == first)
            .unwrap_or(&GPUS[1]);
        let mut text = format!(
            "µs least: by the peak and the bandwidth of {} ({})\n",
            gpu.name, gpu.arch
        );
        for build in &made.builds {
            let own = made
                .assembled
                .iter()
                .find(|own| own.program == build.name && own.architecture == gpu.arch);
            let functions = own.map_or(Vec::new(), |own| assembly::functions(&own.log));
            text += &report::program(build, &functions, emit::THREADS, gpu, self.precision);
        }
        text
    }

    fn write(&self, folder: &Path, model: &Model, made: Made) -> Result<()> {
        let architectures = if self.target == Target::Cuda {
            self.arch.as_slice()
        } else {
            &[]
        };
        compiled::write(folder, model, &self.model.changes.sets, made)?;
        let target = if architectures.is_empty() {
            "the CPU".to_string()
        } else {
            architectures.join(", ")
        };
        let folder = folder.display();
        print(&format!(
            "{}: compiled for {target}; train it with: dgc train {folder}\n",
            model.file
        ))
    }
}

/// A stage of one training step, as text.
pub fn emit(model: &Model, stage: Stage, precision: Precision) -> String {
    let objective = driver::derive(model);
    let rows = batch_rows(model);
    let tensor = || driver::lower(model, &objective, &rows, Mode::TRAIN);
    let simplified = || driver::simplify(&driver::differentiate(tensor()));
    match stage {
        Stage::Ast => syntax::print(&syntax::parse(&model.source).expect("a checked model parses")),
        Stage::Graph => model::print(model),
        Stage::Bound => bound::print(model, &objective),
        Stage::Tensor => tensor::print(&tensor()),
        Stage::Gradient => tensor::print(&driver::differentiate(tensor())),
        Stage::Simplified => tensor::print(&simplified()),
        Stage::Plan => plan::print(&driver::plan(&simplified(), NoiseSource::Generated)),
        Stage::Cuda => {
            emit::emit(
                &driver::plan(&simplified(), NoiseSource::Generated),
                &model.file,
                precision,
            )
            .text
        }
    }
}
