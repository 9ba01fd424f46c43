//! `dgc train`.

use super::{Changes, at_least_one, check_text, device::Device, print, read_text, set};
use crate::{
    backend::Build,
    driver,
    error::{Error, Result},
    lower::Evaluate,
    model::Model,
    names::{CaseKind, OutputName},
    run::{
        compiled::{self, Compiled},
        data::{self, Table},
        evaluate::{Evaluator, Inferred, active_units, error, likeliest, mean},
        folder::{Folder, From, Settings},
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
    device: Device,
    /// The run's folder; runs/MODEL if left out
    #[arg(short, long, value_name = "RUN")]
    output: Option<PathBuf>,
    /// Go on with the run in that folder
    #[arg(long)]
    resume: bool,
}

/// What may be set when a run goes on.
const RESUMABLE: [&str; 2] = ["epochs", "rate"];
/// A run whose loss has risen over its first epoch's by so many times that loss will not come back.
const ASTRAY: f64 = 10.0;

impl Train {
    pub fn run(mut self) -> Result<()> {
        self.changes.sets.extend(
            self.epochs
                .map(|epochs| ("epochs".to_string(), epochs.to_string())),
        );
        let compiled = if compiled::is_compiled(&self.file) {
            Some(self.compiled()?)
        } else {
            None
        };
        let (folder, mut settings, model) = if self.resume {
            self.reopen()?
        } else {
            self.begin(compiled.as_ref())?
        };
        let named = match &compiled {
            Some(compiled) => compiled.model.source.clone(),
            // The folder of a run has its own text.
            None if self.file.is_dir() => model.source.clone(),
            None => read_text(&self.file)?,
        };
        if named != model.source {
            let message = format!(
                "{}: a run of another model than {}",
                folder.path.display(),
                self.file.display()
            );
            return Err(Error::new(message).help("go on with it by itself: dgc train RUN --resume"));
        }
        let lock = if self.resume {
            Some(folder.lock()?)
        } else {
            None
        };
        let dataset = data::load(settings.data.as_deref(), &model)?;
        settings.know_again(&dataset)?;
        if !dataset.others.is_empty() && !self.resume {
            let names: Vec<String> = dataset
                .others
                .iter()
                .map(|name| format!("`{name}`"))
                .collect();
            eprintln!(
                "note: the data also hold {}, which the model does not name",
                names.join(", ")
            );
        }
        let labels: Vec<&str> = model.labels().map(|label| label.name.as_str()).collect();
        if settings.labels.is_some() && labels.is_empty() {
            return Err(Error::new("--labels: the model has no label").help("leave the option out"));
        }
        let split = data::split(
            &dataset.train,
            &labels,
            settings.labels,
            settings.validation,
            settings.seed,
        )?;
        let held = match split.validation {
            Some(rows) => Some(("validation", rows)),
            None => dataset.test.map(|rows| ("test", rows)),
        };
        drop(dataset.train);
        let (programs, evaluate) = match compiled {
            Some(compiled) => (compiled.training, Some(compiled.evaluate)),
            None => (programs::training(&model), None),
        };
        let device = self.device.choice_for(&programs)?;
        let mut trainer = Trainer::with(model, &programs, split.train, settings.seed, &device)?;
        for (variable, run) in &self.from {
            trainer.read_upstream(
                variable,
                &Folder {
                    path: PathBuf::from(run),
                }
                .checkpoint(),
            )?;
        }
        if self.resume && folder.checkpoint().exists() {
            trainer.restore(&folder.checkpoint())?;
            folder.truncate_log(trainer.epochs_after(trainer.step).floor() as u64)?;
        }
        let _lock = match lock {
            Some(lock) => lock,
            None => folder.create_files(&settings, &trainer.model)?,
        };
        if self.resume && (self.data.is_some() || !self.changes.sets.is_empty()) {
            folder.write_settings(&settings)?;
        }
        let first_loss = folder.first_loss();
        let stop = on_interrupt();
        Loop {
            trainer,
            evaluate,
            folder,
            held,
            samples: settings.samples,
            first_loss,
            stop,
        }
        .run()
    }

    /// The compiled model that is named in place of a file.
    fn compiled(&self) -> Result<Compiled> {
        let compiled = self.changes.compiled(&self.file)?;
        if let Some(samples) = self.samples {
            let message = format!(
                "--samples {samples}: {} was compiled with its samples",
                self.file.display()
            );
            return Err(
                Error::new(message).help("leave the option out, and run `dgc eval` afterwards")
            );
        }
        Ok(compiled)
    }

    fn begin(&self, compiled: Option<&Compiled>) -> Result<(Folder, Settings, Model)> {
        let (mut model, sets) = match compiled {
            Some(compiled) => (compiled.model.clone(), compiled.sets.clone()),
            None if self.file.is_dir() => {
                return Err(Error::new(format!(
                    "{}: a folder, not a model file",
                    self.file.display()
                ))
                .help("to go on with a run, add --resume"));
            }
            None => (
                check_text(&self.file, &read_text(&self.file)?, &self.changes.sets)?,
                self.changes.sets.clone(),
            ),
        };
        let (mut from, mut below) = (Vec::new(), Vec::new());
        for (variable, run) in &self.from {
            if compiled.is_some() {
                let message = format!(
                    "--from {variable}={run}: {} was compiled without",
                    self.file.display()
                );
                return Err(Error::new(message).help("train the model's own file"));
            }
            let (folder, settings) = Folder::open(Path::new(run))?;
            let upstream = folder.model(&settings)?;
            model = model
                .with_upstream(variable, upstream)
                .map_err(|(message, help)| {
                    Error::new(format!("--from {variable}={run}: {message}")).help(help)
                })?;
            below.push(settings.data);
            from.push(From {
                variable: variable.clone(),
                file: settings.file,
                sets: settings.sets,
            });
        }
        // All see the same rows, if nothing else is said.
        let data = match &self.data {
            Some(data) => Some(data::whole_path(data)),
            None if below.iter().any(|data| *data != below[0]) => {
                let message = "--from: the runs that it names have data of their own each";
                return Err(Error::new(message).help("say with --data which this run is to take"));
            }
            None => below.into_iter().next().flatten(),
        };
        let settings = Settings {
            version: env!("CARGO_PKG_VERSION").to_string(),
            file: model.file.clone(),
            sets,
            data,
            fingerprint: None,
            labels: self.labels,
            validation: self.validation.unwrap_or(0),
            seed: self.seed.unwrap_or(0),
            samples: self.samples.unwrap_or(model.objective.samples),
            resolved: model.settings.clone(),
            from,
        };
        let path = self
            .output
            .clone()
            .unwrap_or_else(|| Path::new("runs").join(&model.name));
        Ok((Folder::new(&path)?, settings, model))
    }

    fn reopen(&self) -> Result<(Folder, Settings, Model)> {
        let is_run = self.file.is_dir() && !compiled::is_compiled(&self.file);
        let path = if is_run {
            &self.file
        } else {
            self.output.as_ref().unwrap_or(&self.file)
        };
        let (folder, mut settings) = Folder::open(path)?;
        // What a run draws is fixed; how long it goes on, and how fast, may change.
        let moved = self.data.is_some() && settings.fingerprint.is_some();
        let fixed = [
            ("--data", self.data.is_some() && !moved),
            ("--labels", self.labels.is_some()),
            ("--validation", self.validation.is_some()),
            ("--seed", self.seed.is_some()),
            ("--samples", self.samples.is_some()),
            ("--from", !self.from.is_empty()),
            ("-o", is_run && self.output.is_some()),
        ];
        let other = self
            .changes
            .sets
            .iter()
            .find(|(name, _)| !RESUMABLE.contains(&name.as_str()));
        let other = other.map(|(name, _)| format!("--set {name}"));
        if let Some(name) = fixed
            .iter()
            .find(|(_, given)| *given)
            .map(|(name, _)| name.to_string())
            .or(other)
        {
            return Err(Error::new(format!(
                "{name}: a run goes on with the settings that it began with"
            ))
            .help("only `epochs`, `rate` and the place of the data may be changed"));
        }
        if let Some(data) = &self.data {
            settings.data = Some(data::whole_path(data));
        }
        for (name, value) in &self.changes.sets {
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
    samples: usize,
    first_loss: Option<f64>,
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
        let mut standing = String::new();
        while self.trainer.step < last {
            if let Err(error) = self.trainer.step() {
                bar.finish_and_clear();
                return Err(self.with_checkpoint(error));
            }
            bar.inc(1);
            // A step over a few rows may be many epochs.
            let done = (self.trainer.epochs_after(self.trainer.step).floor() as u64).min(epochs);
            if done > self.trainer.epochs_after(self.trainer.step - 1).floor() as u64 {
                let seconds = begun.elapsed().as_secs_f64();
                let steps = self.trainer.step - begun_at;
                let speed = (steps as usize * self.trainer.rows_per_step()) as f64 / seconds;
                let metrics = match self.metrics(done, seconds, speed, &evaluator) {
                    Ok(metrics) => metrics,
                    Err(error) => {
                        bar.finish_and_clear();
                        return Err(self.with_checkpoint(error));
                    }
                };
                // What is logged and not saved is forgotten when the run goes on; what is saved and
                // not logged would be missed.
                self.folder.log(&metrics)?;
                self.trainer.save(&self.folder.checkpoint())?;
                bar.suspend(|| print(&line(&metrics, epochs)))?;
                standing = self.standing(&metrics);
                (begun, begun_at) = (Instant::now(), self.trainer.step);
            }
            if !bar.is_hidden() {
                bar.set_message(format!("epoch {}  {}{standing}", done + 1, self.bounds()));
            }
            if self.stop.load(Ordering::SeqCst) {
                bar.finish_and_clear();
                if let Err(error) = self.healthy(&evaluator) {
                    return Err(self.with_checkpoint(error));
                }
                self.trainer.save(&self.folder.checkpoint())?;
                let path = self.folder.path.display();
                return print(&format!(
                    "stopped after step {}, saved; go on with: dgc train {path} --resume\n",
                    self.trainer.step
                ));
            }
        }
        bar.finish_and_clear();
        if !self.folder.checkpoint().exists() {
            self.trainer.save(&self.folder.checkpoint())?;
        }
        print(&format!("done: {}\n", self.folder.path.display()))
    }

    /// The program that evaluates the rows held out, or some of the training rows where there are
    /// none.
    fn evaluator(&mut self) -> Result<Evaluator> {
        let rows = self
            .held
            .as_ref()
            .map_or(self.trainer.table.rows, |(_, table)| table.rows);
        let model = &self.trainer.model;
        let objective = driver::derive(model);
        let case = objective.cases.last().expect("a model has a case");
        let build = self.evaluate.take().unwrap_or_else(|| {
            let what = Evaluate {
                rows: rows.min(200),
                samples: self.samples,
                likelihood: false,
            };
            programs::evaluate(model, case, what)
        });
        Evaluator::new(&mut self.trainer.session, model, case, &build)
    }

    /// That the parameters are numbers, and give numbers: only such a state is kept. Gives what was
    /// inferred of the rows held out.
    fn healthy(&mut self, evaluator: &Evaluator) -> Result<Inferred> {
        self.trainer.check_finite()?;
        let some = match &self.held {
            Some(_) => None,
            None => Some(
                self.trainer
                    .table
                    .select(&(0..self.trainer.table.rows.min(200)).collect::<Vec<_>>()),
            ),
        };
        let table = self
            .held
            .as_ref()
            .map(|(_, table)| table)
            .or(some.as_ref())
            .expect("one of the two is there");
        let inferred = evaluator.run(&mut self.trainer.session, table, self.trainer.seed)?;
        for (output, values) in &inferred {
            // A classifier has no bound, but predictions.
            let found = mean(values);
            if !found.is_finite() {
                let what =
                    format!("the mean {output} of rows that were not just trained on is {found}");
                return Err(self.trainer.diverged(self.trainer.step, what));
            }
        }
        Ok(inferred)
    }

    /// The same error, with what there is to go on from.
    fn with_checkpoint(&self, mut error: Error) -> Error {
        let path = self.folder.path.display();
        let kept = match self.folder.last_epoch() {
            Some(epoch) if self.folder.checkpoint().exists() => format!(
                "the checkpoint of epoch {epoch} is as it was: dgc train {path} --resume --set rate=… goes on from it"
            ),
            _ => "there is no checkpoint yet".to_string(),
        };
        error.help = Some(
            error
                .help
                .map_or(kept.clone(), |help| format!("{help}; {kept}")),
        );
        error
    }

    /// What happened in an epoch; an error if it went astray.
    fn metrics(
        &mut self,
        epoch: u64,
        seconds: f64,
        speed: f64,
        evaluator: &Evaluator,
    ) -> Result<Value> {
        let mut metrics = json!({
            "epoch": epoch,
            "step": self.trainer.step,
            "rate": self.trainer.rate_after(self.trainer.step - 1),
            "seconds": seconds,
            "rows_per_second": speed,
        });
        for (name, value) in self.trainer.take_means()? {
            match name.grouped() {
                (Some(group), key) => metrics[group][key] = json!(value),
                (None, key) => metrics[key] = json!(value),
            }
        }
        let loss = metrics["loss"].as_f64().unwrap_or(f64::NAN);
        let first = *self.first_loss.get_or_insert(loss);
        if !loss.is_finite() || loss - first > ASTRAY * first.abs().max(1.0) {
            return Err(self.trainer.diverged(
                self.trainer.step,
                format!("the mean loss of the epoch is {loss}, of the first it was {first}"),
            ));
        }
        let inferred = self.healthy(evaluator)?;
        if let Some((name, table)) = &self.held {
            let mut found = json!({ "rows": table.rows });
            for (output, values) in inferred
                .iter()
                .filter(|(output, _)| output.is_number_per_row())
            {
                found[output.to_string()] = json!(mean(values));
            }
            for units in active_units(&inferred, table.rows) {
                found["active"][units.latent] = json!(units.active);
            }
            let labels: Vec<_> = self.trainer.model.labels().collect();
            for label in &labels {
                let classes = table.classes(&label.name).unwrap_or(&[]);
                let predicted = likeliest(
                    &inferred[&OutputName::Predict(label.name.clone())],
                    label.size(),
                );
                let key = if labels.len() == 1 {
                    "error".to_string()
                } else {
                    format!("error of {}", label.name)
                };
                found[key] = json!(error(&predicted, classes));
            }
            metrics[*name] = found;
        }
        Ok(metrics)
    }

    /// The mean bounds of the epoch so far, for the bar.
    fn bounds(&self) -> String {
        let bounds = self.trainer.means().filter_map(|(name, mean)| match name {
            OutputName::CaseBound(case) => Some((case, mean)),
            _ => None,
        });
        bounds
            .map(|(case, mean)| format!("{case} {mean:.1}  "))
            .collect()
    }

    /// The last errors on the rows held out, for the bar.
    fn standing(&self, metrics: &Value) -> String {
        self.held
            .as_ref()
            .map_or(String::new(), |(name, _)| errors(name, &metrics[*name]))
    }
}

/// `test error 3.10 %`, for each label.
fn errors(held: &str, found: &Value) -> String {
    let all = found
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, _)| name.starts_with("error"));
    let shown = all.filter_map(|(name, value)| {
        Some(format!("{held} {name} {:.2} %  ", 100.0 * value.as_f64()?))
    });
    shown.collect()
}

/// A bar where there is a terminal, nothing elsewhere: there the lines of the epochs stand alone.
fn progress(steps: u64, done: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
    }
    let style = ProgressStyle::with_template("{bar:20} {pos}/{len}  {msg}{per_sec}, {eta} left");
    let bar = ProgressBar::new(steps).with_position(done);
    bar.set_style(style.expect("the template is a template"));
    bar
}

/// An epoch in a line: the bounds, the error and the speed.
fn line(metrics: &Value, epochs: u64) -> String {
    let mut parts = vec![format!("epoch {}/{epochs}", metrics["epoch"])];
    for case in CaseKind::OF_BOUNDS {
        if let Some(bound) = metrics[case.word()]["bound"].as_f64() {
            parts.push(format!("{case} {bound:.2}"));
        }
    }
    if parts.len() == 1
        && let Some(loss) = metrics["loss"].as_f64()
    {
        parts.push(format!("loss {loss:.4}"));
    }
    for held in ["validation", "test"] {
        if let Some(bound) = metrics[held]["bound"].as_f64() {
            parts.push(format!("{held} bound {bound:.2}"));
        }
        let errors = errors(held, &metrics[held]);
        parts.extend((!errors.is_empty()).then(|| errors.trim_end().to_string()));
    }
    let (seconds, speed) = (
        metrics["seconds"].as_f64().unwrap_or(0.0),
        metrics["rows_per_second"].as_f64().unwrap_or(0.0),
    );
    parts.push(format!("{seconds:.1} s, {speed:.0} rows/s"));
    parts.join("  ") + "\n"
}
