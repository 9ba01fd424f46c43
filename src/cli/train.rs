//! `dgc train`.

use super::{
    arguments::{Changes, check_folder, set, whole},
    device::DeviceArguments,
    interrupt,
    terminal::{print, show_notes},
};
use crate::{
    Cancel, Compiled, DataPlace, Dataset, Device, Error, ErrorKind, Model, Options, Outcome,
    Progress, Result, ResumeOptions, Run, Trainer, distribution::Domain, model::Role, read_text,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// Train a model, or resume a run
///
/// A run is a folder with the model, the settings, the metrics of each epoch (metrics.jsonl) and
/// the last checkpoint. Ctrl-C stops training after the current step and saves a checkpoint; a
/// second Ctrl-C stops at once and leaves the last checkpoint unchanged.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    dgc train models/adgm.dgm --labels 100 --epochs 10 --set hidden=128\n  \
    dgc train models/cells.dgm --data cells.npz -o runs/cells\n  \
    dgc train out/adgm --labels 100       # a compiled folder\n  \
    dgc train runs/adgm --resume --epochs 20")]
pub(super) struct Train {
    /// A model file (`-` is standard input), a folder that `dgc compile -o` wrote, or with --resume
    /// the folder of a run
    file: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// The number of passes over the training rows, the same as --set epochs=N [default: the
    /// model's]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    epochs: Option<usize>,
    /// The data set [default: that of the --from run, else mnist]
    ///
    /// One of: `mnist`, the bundled excerpt of 10,000 rows; a folder of idx files; a .csv or .tsv table; an .npz or
    /// .safetensors file with an array for each observed variable, such as `x` and `y`, and test
    /// rows in `test.x` and `test.y`. With --resume, the new place of the run's data set.
    #[arg(long, value_name = "NAME|FOLDER|FILE")]
    data: Option<String>,
    /// Keep N labels, as evenly over the classes as possible, and hide the others [default: keep
    /// all]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    labels: Option<usize>,
    /// Hold out N training rows and report on them instead of the test rows [default: 0]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    validation: Option<usize>,
    /// The seed of all random numbers [default: 0]
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// The number of samples per row in the evaluation after each epoch [default: as in training]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    samples: Option<usize>,
    /// Take the values of a data variable from another run, which infers them for its latent
    /// variable of the same name; --from z=runs/m1 trains M2 on M1's z
    #[arg(long, value_name = "VARIABLE=RUN", value_parser = set)]
    from: Vec<(String, String)>,
    #[command(flatten)]
    device: DeviceArguments,
    /// The folder of the new run [default: runs/MODEL]
    #[arg(short, long, value_name = "RUN")]
    output: Option<PathBuf>,
    /// Resume the run from its last checkpoint; only epochs and rate may be changed
    #[arg(long)]
    resume: bool,
    /// Ignore the CUDA images of a compiled folder and compile its verified plans, which needs
    /// NVRTC
    ///
    /// Images are machine code that dgc cannot check. Without this option, train on a GPU only with
    /// folders from a trusted source. On the CPU, images are never used.
    #[arg(long)]
    recompile: bool,
}

impl Train {
    pub fn run(mut self) -> Result<()> {
        let epochs = self.epochs.map(|epochs| epochs.to_string());
        self.changes
            .sets
            .extend(epochs.map(|epochs| ("epochs".to_string(), epochs)));
        let compiled = self.compiled()?;
        let compiled = match compiled {
            Some(compiled) if self.recompile => {
                self.device.prefer(compiled.precision());
                Some(compiled.without_images())
            }
            None if self.recompile => {
                let message = format!("expected a compiled folder, found {}", self.file.display());
                return Err(Error::option("recompile", "", message).help(
                    "omit the option: a model file is compiled anyway; `dgc compile -o FOLDER` \
                     writes a compiled folder",
                ));
            }
            compiled => compiled,
        };
        let cancel = Cancel::new();
        let mut trainer = if self.resume {
            self.resume(compiled, cancel.clone())?
        } else {
            self.begin(compiled, cancel.clone())?
        };
        interrupt::raise(cancel);
        print(&trainer.summary().to_string())?;
        show_notes(trainer.notes());
        let before = trainer.notes().len();
        let bar = Bar::new(&trainer);
        let mut failure = None;
        let ended = trainer.train(|progress| match bar.show(progress) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        });
        bar.clear();
        show_notes(&trainer.notes()[before..]);
        let folder = trainer.folder().expect("the run has a folder").display();
        let error = match (ended, failure) {
            (Ok(Outcome::Done), _) => return print(&format!("done: {folder}\n")),
            // The bar stops training only if a line cannot be printed.
            (Ok(Outcome::Stopped), failure) => failure.expect("the bar stopped training"),
            (Err(error), _) => error,
        };
        // What diverges before the first checkpoint diverges again.
        if error.kind() == ErrorKind::Diverged && trainer.checkpoint_step() == Some(0) {
            return Err(error);
        }
        let change = match error.kind() {
            ErrorKind::Diverged => " --set rate=…",
            _ => "",
        };
        Err(error.also_help(format!("resume with: dgc train {folder} --resume{change}")))
    }

    /// The compiled model, if the argument is a compiled folder.
    fn compiled(&self) -> Result<Option<Compiled>> {
        if let Some(samples) = self.samples.filter(|_| Compiled::is_in(&self.file)) {
            let message = format!(
                "the number of samples is fixed in the compiled folder {}",
                self.file.display()
            );
            return Err(Error::option("samples", samples, message)
                .help("omit the option; `dgc eval RUN --samples N` evaluates with any number"));
        }
        self.changes.compiled(&self.file)
    }

    fn begin(&self, compiled: Option<Compiled>, cancel: Cancel) -> Result<Trainer> {
        let mut model = match &compiled {
            Some(compiled) => compiled.model.clone(),
            None if self.file.is_dir() => {
                let message = format!(
                    "{}: expected a model file, found a folder",
                    self.file.display()
                );
                return Err(Error::usage(message).help("add --resume to resume a run"));
            }
            None => match &self.data {
                Some(data) => self.changes.model_for(&self.file, data)?,
                None => self.changes.model(&self.file)?,
            },
        };
        for (variable, run) in &self.from {
            model = model.on_run(variable, run)?;
        }
        let output = match &self.output {
            Some(output) => output.clone(),
            None => Path::new("runs").join(&model.name),
        };
        check_folder(&output, "a run")?;
        // Before the data set is read, which may take long.
        Trainer::check_output(&output)?;
        let data = self.dataset(&model)?;
        Trainer::new(
            &model,
            &data,
            Options {
                labels: self.labels,
                validation: self.validation.unwrap_or(0),
                seed: self.seed.unwrap_or(0),
                epochs: None,
                samples: self.samples,
                device: Some(self.device.choice_for(compiled.as_ref())?),
                output: Some(output),
                from: self
                    .from
                    .iter()
                    .map(|(variable, run)| (variable.clone(), PathBuf::from(run)))
                    .collect(),
                compiled,
                cancel: Some(cancel),
            },
        )
    }

    /// The data set of --data, else that of the --from runs, else the bundled excerpt.
    fn dataset(&self, model: &Model) -> Result<Dataset> {
        let data = match &self.data {
            Some(data) => Dataset::open(data, model)?,
            None => {
                let runs: Vec<&str> = self.from.iter().map(|(_, run)| run.as_str()).collect();
                let data = Dataset::of_runs(&runs, model);
                data.map_err(|error| match self.from.as_slice() {
                    [] => without_data(error, model),
                    _ => error,
                })?
            }
        };
        Ok(data)
    }

    /// Resumes a run: `dgc train RUN --resume`, or `dgc train FILE -o RUN --resume`.
    fn resume(&self, compiled: Option<Compiled>, cancel: Cancel) -> Result<Trainer> {
        let is_run = self.file.is_dir() && compiled.is_none();
        let folder = match &self.output {
            Some(output) if !is_run => output,
            _ => &self.file,
        };
        // These options determine the random draws of a run, so they cannot change.
        let fixed = [
            ("labels", self.labels.is_some()),
            ("validation", self.validation.is_some()),
            ("seed", self.seed.is_some()),
            ("samples", self.samples.is_some()),
            ("from", !self.from.is_empty()),
            ("output", is_run && self.output.is_some()),
        ];
        if let Some((name, _)) = fixed.iter().find(|(_, is_given)| *is_given) {
            return Err(ResumeOptions::fixed(name));
        }
        let mut device = self.device.clone();
        device.prefer(Run::precision_of(folder)?);
        let device = device.choice_for(compiled.as_ref())?;
        if !is_run && compiled.is_none() {
            self.check_same_model(folder, &device)?;
        }
        Trainer::resume(
            folder,
            ResumeOptions {
                epochs: None,
                sets: self.changes.sets.clone(),
                data: self.data.clone().map(DataPlace::Named),
                device: Some(device),
                compiled,
                cancel: Some(cancel),
            },
        )
    }

    /// Checks that the run trains the model in the named file.
    fn check_same_model(&self, folder: &Path, device: &Device) -> Result<()> {
        if read_text(&self.file)? == Run::open_on(folder, device)?.model().source {
            return Ok(());
        }
        let (folder, file) = (folder.display(), self.file.display());
        let message = format!("{folder}: the run's model differs from {file}");
        Err(Error::usage(message).help(format!(
            "resume the run with its own model: dgc train {folder} --resume; \
             or train the changed model in a new folder with -o"
        )))
    }
}

/// Says in an error that the bundled excerpt does not fit the model because no data set was named.
fn without_data(error: Error, model: &Model) -> Error {
    if error.kind() != ErrorKind::Data {
        return error;
    }
    let message = format!(
        "no --data was given, and the default, the bundled MNIST excerpt, does not fit the model: {}",
        error.message()
    );
    let help = "name the data set with --data".to_string();
    let given = model.given();
    let real = given
        .iter()
        .find(|variable| variable.role == Role::Data && variable.domain == Domain::Real);
    error.context(message).help(match real {
        // The model may be meant to stand on the latent variables of another run.
        Some(real) => format!(
            "{help}, or another run that infers `{0}` with --from {0}=RUN",
            real.name
        ),
        None => help,
    })
}

/// A progress bar, drawn only if standard error is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(trainer: &Trainer) -> Self {
        let steps = trainer.steps();
        if !std::io::stderr().is_terminal() {
            let hidden = ProgressDrawTarget::hidden();
            return Bar(ProgressBar::with_draw_target(Some(steps), hidden));
        }
        let style =
            ProgressStyle::with_template("{bar:20} {pos}/{len}  {msg}{per_sec}, {eta} left");
        let bar = ProgressBar::new(steps).with_position(trainer.steps_taken());
        bar.set_style(style.expect("the template is valid"));
        Bar(bar)
    }

    /// Shows a step, and prints a line for an epoch that ended.
    ///
    /// # Errors
    /// If the line cannot be printed.
    fn show(&self, progress: &Progress) -> Result<()> {
        self.0.inc(1);
        let printed = progress
            .ended
            .map(|epoch| self.0.suspend(|| print(&format!("{epoch}\n"))));
        if !self.0.is_hidden() {
            self.0.set_message(message(progress));
        }
        printed.unwrap_or(Ok(()))
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// The current epoch, its mean bounds so far, and the last errors on the held-out rows.
fn message(progress: &Progress) -> String {
    let bounds: String = progress
        .bounds()
        .map(|(case, mean)| format!("{case} {mean:.1}  "))
        .collect();
    let errors = progress
        .last
        .map_or(String::new(), |epoch| epoch.errors() + "  ");
    format!("epoch {}  {bounds}{errors}", progress.epochs.floor() + 1.0)
}
