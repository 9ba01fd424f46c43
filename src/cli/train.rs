//! `dgc train`.

use super::{
    arguments::{Changes, at_least_one, set},
    device::DeviceArguments,
    terminal::{note, print},
};
use crate::{
    Cancel, Compiled, DataPlace, Dataset, Device, Error, Model, Options, Outcome, Progress, Result,
    ResumeOptions, Run, Trainer, read_text,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
    io::IsTerminal,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

/// Train a model, or go on with a run
#[derive(Args)]
pub(super) struct Train {
    /// A model file, a folder that `dgc compile -o` made, or with --resume the folder of a run
    file: PathBuf,
    #[command(flatten)]
    changes: Changes,
    /// Passes over the training rows; short for --set epochs=…
    #[arg(long)]
    epochs: Option<usize>,
    /// `mnist` (an excerpt of 10,000 rows, carried along), a folder of idx files, or an .npz or
    /// .safetensors file with an array for each observed variable, such as `x` and `y`; `test.x`
    /// and `test.y` hold the test rows, if there are any. If left out: the data of the run that
    /// --from names, else `mnist`. With --resume: where the run's own data lie now
    #[arg(long, value_name = "NAME|FOLDER|FILE")]
    data: Option<String>,
    /// Keep this many labels, as even over the classes as it goes; all that there are if left out
    #[arg(long)]
    labels: Option<usize>,
    /// Hold this many training rows out, and report on them instead of the test rows; none if left
    /// out
    #[arg(long)]
    validation: Option<usize>,
    /// The seed of everything random; 0 if left out
    #[arg(long)]
    seed: Option<u64>,
    /// Samples a row when the run evaluates itself after each epoch; as many as in training if left
    /// out
    #[arg(long, value_parser = at_least_one)]
    samples: Option<usize>,
    /// Take a data variable's values from what another run infers for its latent of the same name:
    /// M2 on M1's `z` is --from z=RUN
    #[arg(long, value_name = "VARIABLE=RUN", value_parser = set)]
    from: Vec<(String, String)>,
    #[command(flatten)]
    device: DeviceArguments,
    /// The run's folder; runs/MODEL if left out
    #[arg(short, long, value_name = "RUN")]
    output: Option<PathBuf>,
    /// Go on with the run in that folder
    #[arg(long)]
    resume: bool,
    /// Ignore the CUDA images of a compiled folder and compile its verified plans. Images are machine
    /// code that cannot be checked: train with them only if the folder comes from a trusted source
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
            compiled => compiled,
        };
        let cancel = Cancel::new();
        let mut trainer = if self.resume {
            self.resume(compiled, cancel.clone())?
        } else {
            self.begin(compiled, cancel.clone())?
        };
        raise_on_interrupt(cancel);
        let bar = Bar::new(&trainer);
        let ended = trainer.train(|progress| bar.show(progress));
        bar.clear();
        let folder = trainer.folder().expect("the run has a folder").display();
        match ended? {
            Outcome::Done => print(&format!("done: {folder}\n")),
            Outcome::Stopped => print(&format!(
                "stopped after step {}, saved; go on with: dgc train {folder} --resume\n",
                trainer.steps_taken()
            )),
        }
    }

    /// The compiled model that is named in place of a file.
    fn compiled(&self) -> Result<Option<Compiled>> {
        if let Some(samples) = self.samples.filter(|_| Compiled::is_in(&self.file)) {
            let message = format!("{} was compiled with its samples", self.file.display());
            return Err(Error::option("samples", samples, message)
                .help("leave the option out, and run `dgc eval` afterwards"));
        }
        self.changes.compiled(&self.file)
    }

    fn begin(&self, compiled: Option<Compiled>, cancel: Cancel) -> Result<Trainer> {
        let mut model = match &compiled {
            Some(compiled) => compiled.model.clone(),
            None if self.file.is_dir() => {
                let message = format!("{}: a folder, not a model file", self.file.display());
                return Err(Error::usage(message).help("to go on with a run, add --resume"));
            }
            None => self.changes.model(&self.file)?,
        };
        for (variable, run) in &self.from {
            model = model.on_run(variable, run)?;
        }
        let data = self.dataset(&model)?;
        let name = model.name.clone();
        Trainer::new(
            &model,
            &data,
            Options {
                labels: self.labels,
                validation: self.validation.unwrap_or(0),
                seed: self.seed.unwrap_or(0),
                epochs: None,
                samples: self.samples,
                device: Some(self.device.choice_for(compiled.as_ref())),
                output: Some(match &self.output {
                    Some(output) => output.clone(),
                    None => Path::new("runs").join(name),
                }),
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

    /// The data that are named, else those of the runs that the model stands on, else the excerpt.
    fn dataset(&self, model: &Model) -> Result<Dataset> {
        let data = match &self.data {
            Some(data) => Dataset::open(data, model)?,
            None => {
                let runs: Vec<&str> = self.from.iter().map(|(_, run)| run.as_str()).collect();
                Dataset::of_runs(&runs, model)?
            }
        };
        if !data.others().is_empty() {
            let names: Vec<String> = data
                .others()
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            note(format!(
                "the data also hold {}, which the model does not name",
                names.join(", ")
            ));
        }
        Ok(data)
    }

    /// Goes on with a run: its folder is named alone, or with -o beside the model's file.
    fn resume(&self, compiled: Option<Compiled>, cancel: Cancel) -> Result<Trainer> {
        let is_run = self.file.is_dir() && compiled.is_none();
        let folder = match &self.output {
            Some(output) if !is_run => output,
            _ => &self.file,
        };
        // What a run draws is fixed.
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
        let device = self.device.choice_for(compiled.as_ref());
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

    /// That a run is one of the model that is named.
    fn check_same_model(&self, folder: &Path, device: &Device) -> Result<()> {
        if read_text(&self.file)? == Run::open_on(folder, device)?.model().source {
            return Ok(());
        }
        let message = format!(
            "{}: a run of another model than {}",
            folder.display(),
            self.file.display()
        );
        Err(Error::usage(message).help("go on with it by itself: dgc train RUN --resume"))
    }
}

/// Lets Ctrl-C stop training after the step under way; a second Ctrl-C ends the program at once.
fn raise_on_interrupt(cancel: Cancel) {
    // Without a handler Ctrl-C ends the program as usual, and the last checkpoint stays.
    let _ = ctrlc::set_handler(move || {
        if cancel.raise() {
            std::process::exit(130);
        }
    });
}

/// A bar where there is a terminal, nothing elsewhere: there the lines of the epochs stand alone.
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
        bar.set_style(style.expect("the template is a template"));
        Bar(bar)
    }

    /// Shows a step, and prints the line of an epoch that ended; stops if it cannot be printed.
    fn show(&self, progress: &Progress) -> ControlFlow<()> {
        self.0.inc(1);
        let printed = progress
            .ended
            .map(|epoch| self.0.suspend(|| print(&format!("{epoch}\n"))));
        if !self.0.is_hidden() {
            self.0.set_message(message(progress));
        }
        match printed {
            Some(Err(_)) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// The epoch under way, its mean bounds so far, and the last errors on the rows held out.
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
