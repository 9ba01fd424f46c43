//! `dgc train`.

use super::{check_text, device::Device, print, read_text, set};
use crate::{
    backend::Build,
    driver,
    error::{Error, Result},
    lower::Evaluate,
    model::{Checked, Role},
    run::{
        compiled::{self, Compiled},
        data::{self, Table},
        evaluate::{Evaluator, error, likeliest, mean},
        folder::{Folder, Settings},
        programs,
        train::Trainer,
    },
};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// Train a model, or go on with a run
#[derive(Args)]
pub struct Train {
    /// A model file, a folder that `dgc compile -o` made, or with --resume the folder of a run
    file: PathBuf,
    /// Change a size or setting, such as hidden=200 or epochs=20; may be repeated
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = set)]
    sets: Vec<(String, String)>,
    /// Passes over the training rows; short for --set epochs=…
    #[arg(long)]
    epochs: Option<usize>,
    /// `mnist` (an excerpt of 10,000 rows, carried along), a folder of idx files, or an .npz or .safetensors file
    #[arg(long, value_name = "NAME|FOLDER|FILE")]
    data: Option<String>,
    /// Keep this many labels, as even over the classes as it goes; all that there are if left out
    #[arg(long)]
    labels: Option<usize>,
    /// Hold this many training rows out, and report on them instead of the test rows
    #[arg(long, default_value_t = 0)]
    validation: usize,
    /// The seed of everything random
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Samples a row when the run evaluates itself after each epoch
    #[arg(long, default_value_t = 1)]
    samples: usize,
    #[command(flatten)]
    device: Device,
    /// The run's folder; runs/MODEL if left out
    #[arg(short, long, value_name = "RUN")]
    output: Option<PathBuf>,
    /// Go on with the run in that folder
    #[arg(long)]
    resume: bool,
}

impl Train {
    pub fn run(mut self) -> Result<()> {
        self.sets.extend(self.epochs.map(|epochs| ("epochs".to_string(), epochs.to_string())));
        let compiled = if compiled::is_compiled(&self.file) { Some(self.compiled()?) } else { None };
        let (folder, settings, model) = if self.resume { self.reopen()? } else { self.begin(compiled.as_ref())? };
        if let Some(compiled) = compiled.as_ref().filter(|compiled| compiled.model.source != model.source) {
            let message = format!("{}: a run of another model than {}", folder.path.display(), compiled.file);
            return Err(Error::new(message).help("go on with it by itself: dgc train RUN --resume"));
        }
        let dataset = data::load(settings.data.as_deref(), &model)?;
        let label =
            model.variables.iter().find(|variable| variable.role == Role::Label).map(|label| label.name.clone());
        if settings.labels.is_some() && label.is_none() {
            return Err(Error::new("--labels: the model has no label").help("leave the option out"));
        }
        let split = data::split(&dataset.train, label.as_deref(), settings.labels, settings.validation, settings.seed)?;
        let held = match split.validation {
            Some(rows) => Some(("validation", rows)),
            None => dataset.test.map(|rows| ("test", rows)),
        };
        drop(dataset.train);
        let (programs, evaluate) = match compiled {
            Some(compiled) => (compiled.training, Some(compiled.evaluate)),
            None => (programs::training(&model), None),
        };
        let device = match &programs.gradient.cuda {
            Some(binary) => self.device.choice_ahead(binary.precision)?,
            None => self.device.choice()?,
        };
        let mut trainer = Trainer::with(model, &programs, split.train, settings.seed, &device)?;
        if self.resume && folder.checkpoint().exists() {
            trainer.restore(&folder.checkpoint())?;
            folder.truncate_log(trainer.epochs_after(trainer.step).floor() as u64)?;
        }
        if !self.resume {
            folder.create_files(&settings, &trainer.model.source)?;
        }
        Loop { trainer, evaluate, folder, held, label, samples: settings.samples, stop: on_interrupt() }.run()
    }

    /// The compiled model that is named in place of a file.
    fn compiled(&self) -> Result<Compiled> {
        let mut compiled = compiled::read(&self.file)?;
        if let Some((name, _)) = self.sets.iter().find(|(name, _)| name != "epochs") {
            let message = format!("--set {name}=…: {} was compiled with its settings", self.file.display());
            return Err(Error::new(message).help("compile it again with them; only `epochs` may be changed"));
        }
        if self.samples != compiled::EVALUATION.samples {
            let message = format!("--samples {}: a compiled model evaluates itself by one sample", self.samples);
            return Err(Error::new(message).help("leave the option out, and run `dgc eval` afterwards"));
        }
        compiled.sets.extend(self.sets.iter().cloned());
        compiled.model = check_text(Path::new(&compiled.file), &compiled.model.source, &compiled.sets)?;
        Ok(compiled)
    }

    fn begin(&self, compiled: Option<&Compiled>) -> Result<(Folder, Settings, Checked)> {
        let (model, sets) = match compiled {
            Some(compiled) => (compiled.model.clone(), compiled.sets.clone()),
            None if self.file.is_dir() => {
                return Err(Error::new(format!("{}: a folder, not a model file", self.file.display()))
                    .help("to go on with a run, add --resume"));
            }
            None => (check_text(&self.file, &read_text(&self.file)?, &self.sets)?, self.sets.clone()),
        };
        let settings = Settings {
            version: env!("CARGO_PKG_VERSION").to_string(),
            file: model.file.clone(),
            sets,
            data: self.data.clone(),
            labels: self.labels,
            validation: self.validation,
            seed: self.seed,
            samples: self.samples.max(1),
            resolved: model.settings.clone(),
        };
        let path = self.output.clone().unwrap_or_else(|| Path::new("runs").join(&model.name));
        Ok((Folder::new(&path)?, settings, model))
    }

    fn reopen(&self) -> Result<(Folder, Settings, Checked)> {
        let is_run = self.file.is_dir() && !compiled::is_compiled(&self.file);
        let path = if is_run { &self.file } else { self.output.as_ref().unwrap_or(&self.file) };
        let (folder, mut settings) = Folder::open(path)?;
        // What a run draws is fixed; how long it goes on may change.
        for (name, value) in &self.sets {
            if name != "epochs" {
                return Err(Error::new(format!("--set {name}=…: a run goes on with the settings that it began with"))
                    .help("only `epochs` may be changed"));
            }
            settings.sets.push((name.clone(), value.clone()));
        }
        let model = folder.model(&settings)?;
        Ok((folder, settings, model))
    }
}

/// A flag that Ctrl-C raises; a second Ctrl-C ends the program at once.
fn on_interrupt() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    // Without a handler Ctrl-C ends the run as usual, and the last checkpoint stays.
    let _ = ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    });
    stop
}

struct Loop {
    trainer: Trainer,
    /// The program that evaluates, if it was compiled ahead.
    evaluate: Option<Build>,
    folder: Folder,
    held: Option<(&'static str, Table)>,
    label: Option<String>,
    samples: usize,
    stop: Arc<AtomicBool>,
}

impl Loop {
    fn run(mut self) -> Result<()> {
        let evaluator = self.evaluator()?;
        let epochs = self.trainer.model.train.epochs as u64;
        let last = self.trainer.steps_of(epochs);
        let mut begun = Instant::now();
        let mut begun_at = self.trainer.step;
        let bar = progress(last, self.trainer.step);
        while self.trainer.step < last {
            if let Err(error) = self.trainer.step() {
                bar.finish_and_clear();
                return Err(error);
            }
            bar.inc(1);
            let done = self.trainer.epochs_after(self.trainer.step).floor() as u64;
            if done > self.trainer.epochs_after(self.trainer.step - 1).floor() as u64 {
                let seconds = begun.elapsed().as_secs_f64();
                let steps = self.trainer.step - begun_at;
                let speed = (steps as usize * self.trainer.rows_per_step()) as f64 / seconds;
                let metrics = self.metrics(done, seconds, speed, evaluator.as_ref())?;
                self.trainer.save(&self.folder.checkpoint())?;
                self.folder.log(&metrics)?;
                bar.suspend(|| print(&line(&metrics, epochs)))?;
                bar.set_message(standing(&metrics));
                (begun, begun_at) = (Instant::now(), self.trainer.step);
            }
            if self.stop.load(Ordering::SeqCst) {
                bar.finish_and_clear();
                self.trainer.save(&self.folder.checkpoint())?;
                let path = self.folder.path.display();
                return print(&format!(
                    "stopped after step {}, saved; go on with: dgc train {path} --resume\n",
                    self.trainer.step
                ));
            }
        }
        bar.finish_and_clear();
        print(&format!("done: {}\n", self.folder.path.display()))
    }

    fn evaluator(&mut self) -> Result<Option<Evaluator>> {
        let Some((_, table)) = &self.held else { return Ok(None) };
        let model = &self.trainer.model;
        let objective = driver::derive(model);
        let case = objective.cases.last().expect("a model has a case");
        let build = self.evaluate.take().unwrap_or_else(|| {
            let what = Evaluate { rows: table.rows.min(200), samples: self.samples, likelihood: false };
            programs::evaluate(model, case, what)
        });
        Evaluator::new(&mut self.trainer.session, model, case, &build).map(Some)
    }

    /// What happened in an epoch.
    fn metrics(&mut self, epoch: u64, seconds: f64, speed: f64, evaluator: Option<&Evaluator>) -> Result<Value> {
        let mut metrics = json!({
            "epoch": epoch,
            "step": self.trainer.step,
            "rate": self.trainer.rate(),
            "seconds": seconds,
            "rows_per_second": speed,
        });
        for (name, value) in self.trainer.take_means() {
            match name.split_once('.') {
                Some((group, name)) => metrics[group][name] = json!(value),
                None => metrics[name] = json!(value),
            }
        }
        if let (Some(evaluator), Some((name, table))) = (evaluator, &self.held) {
            let inferred = evaluator.run(&mut self.trainer.session, table, self.trainer.seed)?;
            let mut found = json!({ "rows": table.rows });
            for (output, values) in inferred.iter().filter(|(output, _)| !output.contains('.')) {
                found[output] = json!(mean(values));
            }
            if let Some(label) = &self.label {
                let classes = table.classes(label).unwrap_or(&[]);
                if let Some(probabilities) = inferred.get(&format!("predict.{label}")) {
                    let predicted = likeliest(probabilities, probabilities.len() / table.rows);
                    found["error"] = json!(error(&predicted, classes));
                }
            }
            metrics[*name] = found;
        }
        Ok(metrics)
    }
}

/// A bar where there is a terminal, nothing elsewhere: there the lines of the epochs stand alone.
fn progress(steps: u64, done: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:24} step {pos}/{len}  {msg}{per_sec}, {eta} left");
    let bar = ProgressBar::new(steps).with_position(done);
    bar.set_style(style.expect("the template is a template"));
    bar
}

/// Where a run stands, for the bar: its epochs, and the last bound and error on the rows held out.
fn standing(metrics: &Value) -> String {
    let held = ["validation", "test"].map(|held| &metrics[held]).into_iter().find(|held| held.is_object());
    let number = |name: &str| held.and_then(|held| held[name].as_f64());
    let mut text = format!("epoch {}  ", metrics["epoch"]);
    if let Some(bound) = number("bound") {
        text += &format!("bound {bound:.2}  ");
    }
    if let Some(error) = number("error") {
        text += &format!("error {:.2} %  ", 100.0 * error);
    }
    text
}

/// An epoch in a line: the bounds, the error and the speed.
fn line(metrics: &Value, epochs: u64) -> String {
    let mut parts = vec![format!("epoch {}/{epochs}", metrics["epoch"])];
    for case in ["all", "labelled", "unlabelled"] {
        if let Some(bound) = metrics[case]["bound"].as_f64() {
            parts.push(format!("{case} {bound:.2}"));
        }
    }
    for held in ["validation", "test"] {
        if let Some(bound) = metrics[held]["bound"].as_f64() {
            parts.push(format!("{held} bound {bound:.2}"));
        }
        if let Some(error) = metrics[held]["error"].as_f64() {
            parts.push(format!("{held} error {:.2} %", 100.0 * error));
        }
    }
    let (seconds, speed) =
        (metrics["seconds"].as_f64().unwrap_or(0.0), metrics["rows_per_second"].as_f64().unwrap_or(0.0));
    parts.push(format!("{seconds:.1} s, {speed:.0} rows/s"));
    parts.join("  ") + "\n"
}
