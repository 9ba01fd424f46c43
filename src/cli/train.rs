//! `dgc train`.

use super::{
    arguments::{Changes, at_least_one, check_folder, set, whole},
    device::DeviceArguments,
    interrupt,
    progress::Bar,
    terminal::{print, show_notes},
};
use crate::{
    Cancel, Compiled, Criterion, DataFiles, DataPlace, Dataset, Device, EarlyStopping, Error,
    ErrorKind, Model, Options, Outcome, Result, ResumeOptions, Run, RunOverview, Seeds, Trainer,
    ValidationRows, distribution::Domain, model::Role, read_text,
};
use clap::{Args, ValueEnum};
use std::{
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
    /// One of: `mnist`, the bundled excerpt of 10,000 rows; a folder of images or idx files; a .csv, .tsv or
    /// .parquet table; an .npz or .safetensors file with an array for each observed variable, such as `x` and `y`, and test
    /// rows in `test.x` and `test.y`; a folder with such arrays as .npy files, or as .npz files of sparse
    /// matrices; an .h5ad file of AnnData. With --resume, the new place of the run's data set.
    #[arg(long, value_name = "NAME|FOLDER|FILE")]
    data: Option<String>,
    /// Keep N labels, as evenly over the classes as possible, and hide the others [default: keep
    /// all]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    labels: Option<usize>,
    /// Hold out training rows, and report on them instead of the test rows: a number such as 500, or
    /// a share such as 0.1 or 10%; or the file or folder with the validation rows [default: 0]
    #[arg(long, value_name = "N|SHARE|FOLDER|FILE", value_parser = held_out, allow_negative_numbers = true)]
    validation: Option<Validation>,
    /// The file or folder with the test rows, if the data set does not have them
    #[arg(long, value_name = "FOLDER|FILE")]
    test: Option<String>,
    /// Stop when N epochs in a row are no better on the validation rows than the best one
    ///
    /// The run then keeps the parameters of its best epoch in best.safetensors, and `dgc eval` and
    /// other commands use them. Needs validation rows. With --resume, a larger N trains on.
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    patience: Option<u64>,
    /// What makes an epoch the best one, on the validation rows [default with --patience: error, or
    /// rmse for numeric labels, if they are labelled, else bound]
    ///
    /// Without --patience, the run trains all epochs and keeps the best one.
    #[arg(long, value_enum)]
    criterion: Option<CriterionName>,
    /// The seed of all random numbers [default: 0]
    #[arg(long, value_name = "N", value_parser = whole::<u64>, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Train N runs with the seeds from --seed on, in the folders RUN/seed0, RUN/seed1 and so on
    ///
    /// The mean and the standard deviation of their scores on held-out rows end the output. With
    /// --resume, complete runs are skipped. `dgc predict RUN` and `dgc eval RUN` average the class
    /// probabilities of all runs.
    #[arg(long, value_name = "N", value_parser = at_least_one, allow_negative_numbers = true)]
    seeds: Option<usize>,
    /// The number of samples per row in the evaluation after each epoch [default: as in training]
    #[arg(long, value_name = "N", value_parser = whole::<usize>, allow_negative_numbers = true)]
    samples: Option<usize>,
    /// Take the values of a data variable from another run, which infers them for its latent
    /// variable of the same name; --from z=runs/m1 trains M2 on M1's z
    #[arg(long, value_name = "VARIABLE=RUN", value_parser = set)]
    from: Vec<(String, String)>,
    /// Begin with the parameters of another run
    ///
    /// Parameters with the same name and shape are copied. One with a longer axis, such as a label
    /// with more classes, keeps its old part. Others are new; the first lines list them.
    #[arg(long, value_name = "RUN")]
    init: Option<PathBuf>,
    /// Do not change the parameters whose names match a pattern, such as 'p.*'; repeat the option to
    /// freeze more. '!PATTERN' excepts parameters; the last pattern that matches decides
    #[arg(long, value_name = "PATTERN")]
    freeze: Vec<String>,
    /// Also write the metrics as events for TensorBoard, in the run's folder: `tensorboard --logdir
    /// runs` shows them
    #[arg(long)]
    tensorboard: bool,
    #[command(flatten)]
    device: DeviceArguments,
    /// The folder of the new run [default: runs/MODEL]
    #[arg(short, long, value_name = "RUN")]
    output: Option<PathBuf>,
    /// Resume the run from its last checkpoint; only epochs, rate and patience may be changed
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CriterionName {
    /// The least share of wrongly predicted labels
    Error,
    /// The least mean of −log of the probability of the true class
    LogLoss,
    /// The least root mean squared error of numeric labels
    Rmse,
    /// The highest bound
    Bound,
}

impl From<CriterionName> for Criterion {
    fn from(name: CriterionName) -> Self {
        match name {
            CriterionName::Error => Criterion::Error,
            CriterionName::LogLoss => Criterion::LogLoss,
            CriterionName::Rmse => Criterion::RootMeanSquare,
            CriterionName::Bound => Criterion::Bound,
        }
    }
}

/// Where validation rows come from.
#[derive(Clone, Debug)]
enum Validation {
    /// The training rows.
    HeldOut(ValidationRows),
    /// A file or folder of their own.
    Data(String),
}

/// Reads the number of validation rows, or the name of their data set.
fn held_out(text: &str) -> std::result::Result<Validation, String> {
    match text.parse() {
        Ok(rows) => Ok(Validation::HeldOut(rows)),
        Err(_) if Path::new(text).exists() => Ok(Validation::Data(text.to_string())),
        Err(message) => Err(format!(
            "{message}, and there is no file or folder of that name"
        )),
    }
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
        if let Some(seeds) = self.seeds(compiled.as_ref(), &cancel)? {
            return seeds.train(&self, compiled, &cancel);
        }
        let trainer = if self.resume {
            self.resume(compiled, cancel.clone())?
        } else {
            self.begin(compiled, cancel.clone())?
        };
        interrupt::raise(cancel);
        let folder = trainer.folder().expect("the run has a folder");
        let folder = folder.to_path_buf();
        train(trainer, &folder)
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
        let new = self.new_run(compiled, cancel, Trainer::check_output)?;
        Trainer::new(&new.model, &new.data, new.options)
    }

    /// What a new run is made of. `check` checks its folder before the data set is read, which may
    /// take long.
    fn new_run(
        &self,
        compiled: Option<Compiled>,
        cancel: Cancel,
        check: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<NewRun> {
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
        check(&output)?;
        let data = self.dataset(&model)?;
        let from = self.from.iter();
        let from = from.map(|(variable, run)| (variable.clone(), PathBuf::from(run)));
        let options = Options {
            labels: self.labels,
            validation: match self.validation {
                Some(Validation::HeldOut(rows)) => rows.of(data.train().rows()),
                Some(Validation::Data(_)) | None => 0,
            },
            early_stopping: self.early_stopping(),
            seed: self.seed.unwrap_or(0),
            epochs: None,
            samples: self.samples,
            device: Some(self.device.choice_for(compiled.as_ref())?),
            output: Some(output),
            from: from.collect(),
            tensorboard: self.tensorboard,
            init: self.init.clone(),
            freeze: self.freeze.clone(),
            compiled,
            cancel: Some(cancel),
        };
        Ok(NewRun {
            model,
            data,
            options,
        })
    }

    /// The runs with several seeds, if they are asked for: new ones, or those of a folder to resume.
    fn seeds(&self, compiled: Option<&Compiled>, cancel: &Cancel) -> Result<Option<SeedRuns>> {
        let folder = match &self.output {
            Some(output) if !self.file.is_dir() || compiled.is_some() => output,
            _ => &self.file,
        };
        match self.seeds {
            None if self.resume && Seeds::is_in(folder) => Ok(Some(SeedRuns {
                seeds: Seeds::open(folder)?,
                data: self.files().map(DataPlace::Named),
            })),
            None => Ok(None),
            Some(_) if self.resume => Err(ResumeOptions::fixed("seeds")),
            Some(count) => {
                let new = self.new_run(compiled.cloned(), cancel.clone(), Seeds::check_output)?;
                Ok(Some(SeedRuns {
                    seeds: Seeds::begin(&new.model, &new.data, &new.options, count)?,
                    data: Some(DataPlace::Loaded(new.data)),
                }))
            }
        }
    }

    fn early_stopping(&self) -> Option<EarlyStopping> {
        let is_wanted = self.patience.is_some() || self.criterion.is_some();
        is_wanted.then(|| EarlyStopping {
            criterion: self.criterion.map(Criterion::from),
            patience: self.patience,
        })
    }

    /// The files of the data set, if any is named.
    fn files(&self) -> Option<DataFiles> {
        let validation = match &self.validation {
            Some(Validation::Data(data)) => Some(data.clone()),
            Some(Validation::HeldOut(_)) | None => None,
        };
        let files = DataFiles {
            data: self.data.clone(),
            validation,
            test: self.test.clone(),
        };
        Some(files).filter(|files| *files != DataFiles::default())
    }

    /// The data set of --data, else that of the --from runs, else the bundled excerpt.
    fn dataset(&self, model: &Model) -> Result<Dataset> {
        let data = match self.files() {
            Some(files) if self.data.is_some() || self.from.is_empty() => {
                Dataset::open_files(&files, model)?
            }
            Some(_) => {
                let message = "--validation and --test need --data if there is --from";
                return Err(Error::usage(message).help("name the training rows with --data"));
            }
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
        self.resume_in(folder, compiled, cancel, self.files().map(DataPlace::Named))
    }

    /// Resumes the run in a folder, which may be one of several seeds.
    fn resume_in(
        &self,
        folder: &Path,
        compiled: Option<Compiled>,
        cancel: Cancel,
        data: Option<DataPlace>,
    ) -> Result<Trainer> {
        let is_run = self.file.is_dir() && compiled.is_none();
        // These options determine the random draws of a run, so they cannot change.
        let fixed = [
            ("labels", self.labels.is_some()),
            (
                "validation",
                matches!(self.validation, Some(Validation::HeldOut(_))),
            ),
            ("criterion", self.criterion.is_some()),
            ("seed", self.seed.is_some()),
            ("samples", self.samples.is_some()),
            ("from", !self.from.is_empty()),
            ("init", self.init.is_some()),
            ("freeze", !self.freeze.is_empty()),
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
                patience: self.patience,
                tensorboard: self.tensorboard,
                sets: self.changes.sets.clone(),
                data,
                device: Some(device),
                compiled,
                cancel: Some(cancel),
            },
        )
    }

    /// Takes up a run that has just begun in a folder.
    fn start(
        &self,
        folder: &Path,
        compiled: Option<Compiled>,
        cancel: Cancel,
        data: Option<DataPlace>,
    ) -> Result<Trainer> {
        let device = self.device.choice_for(compiled.as_ref())?;
        Trainer::resume(
            folder,
            ResumeOptions {
                data,
                device: Some(device),
                compiled,
                cancel: Some(cancel),
                ..ResumeOptions::default()
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

/// A new run that is not begun.
struct NewRun {
    model: Model,
    data: Dataset,
    options: Options,
}

/// Runs that differ in their seed, to be trained one after another.
struct SeedRuns {
    seeds: Seeds,
    data: Option<DataPlace>,
}

impl SeedRuns {
    fn train(self, arguments: &Train, compiled: Option<Compiled>, cancel: &Cancel) -> Result<()> {
        let changes = &arguments.changes.sets;
        let is_changed = arguments.resume && (!changes.is_empty() || arguments.patience.is_some());
        interrupt::raise(cancel.clone());
        let count = self.seeds.seeds().len();
        if let Some(init) = self.seeds.init() {
            print(&init.to_string())?;
        }
        let folders = self.seeds.seeds().iter().zip(self.seeds.run_folders());
        for (at, (seed, folder)) in folders.enumerate() {
            print(&format!("seed {seed}, run {} of {count}\n", at + 1))?;
            let run = RunOverview::new(&folder)?;
            if run.is_done && !is_changed {
                print(&format!("done before: {}\n", folder.display()))?;
                continue;
            }
            let (compiled, data) = (compiled.clone(), self.data.clone());
            let resumed = match arguments.resume {
                true => arguments.resume_in(&folder, compiled, cancel.clone(), data),
                false => arguments.start(&folder, compiled, cancel.clone(), data),
            };
            train(resumed?, self.seeds.folder())?;
        }
        print(&self.seeds.scores()?.to_string())
    }
}

/// Trains to the end, and shows the progress. `folder` is named to resume.
fn train(mut trainer: Trainer, folder: &Path) -> Result<()> {
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
    let error = match (ended, failure) {
        (Ok(Outcome::Done), _) => return print(&done(&trainer)),
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
    let folder = folder.display();
    Err(error.also_help(format!("resume with: dgc train {folder} --resume{change}")))
}

/// The last line of training: the run's folder, and its best epoch if it chooses one.
fn done(trainer: &Trainer) -> String {
    let folder = trainer.folder().expect("the run has a folder").display();
    let best = trainer
        .best()
        .map(|best| format!(", best epoch {} of {}", best.epoch, trainer.epochs_done()));
    format!("done: {folder}{}\n", best.unwrap_or_default())
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
    let given = model.read_variables();
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
