//! The state of the training loop: parameters, optimiser and position. It advances step by step.

use super::{
    ahead::{Ahead, FieldRows},
    arrays::NamedArray,
    batches::Turns,
    checkpoint::{Checkpoint, Origin, Position, find, state_name},
    data::{KnownLabels, Source, check_field, chunks},
    divergence,
    initialize::{describe, initialize},
    population::Population,
    programs::{self, Training},
    session::{Entry, Loaded, Session},
};
use crate::{
    backend::{Array, ArrayRange, Build, Device, Gather, NoiseKey, Spent},
    error::{Error, ErrorKind, Result},
    files::write_whole,
    id::Id,
    model::{Batch, Model, Scheduled, Variable, scope},
    names::{AVERAGE, CaseKind, InputName, OutputName, PRIOR, RATE, STEP, UpdateArray},
};
use std::{collections::HashMap, path::Path, sync::Arc};

/// An array of the update, in the layout of the parameters: a state of the optimiser, or the
/// average of the parameters.
struct State {
    name: String,
    array: Id<Array>,
    /// The number of floats: those of trained parameters, or of all.
    len: usize,
}

impl State {
    /// The name of the part that belongs to a parameter, in a checkpoint; `None` if the array has no
    /// such part.
    fn stored_name(&self, entry: &Entry) -> Option<String> {
        (entry.offset < self.len).then(|| state_name(&self.name, &entry.parameter.name))
    }
}

/// A model in training.
pub struct Stepper {
    /// The model.
    pub model: Model,
    /// The parameters, on their device.
    pub session: Session,
    /// The seed of all random numbers.
    pub seed: u64,
    /// Steps taken.
    pub step: u64,
    /// The training rows.
    pub source: Arc<dyn Source>,
    /// The fields of the source that are stored on the device: the array and its floats per row.
    tables: HashMap<usize, (Id<Array>, usize)>,
    population: Population,
    feeds: Vec<Feed>,
    /// Reads the rows of inputs that are slow to read.
    ahead: Option<Ahead>,
    /// The gradient's inputs that change from step to step.
    scheduled: Vec<(String, Scheduled)>,
    /// The gradient programs, each with the number of epochs after which it is used, in ascending
    /// order.
    gradients: Vec<(u64, Loaded)>,
    /// The index of the current gradient program.
    gradient: usize,
    update: Loaded,
    state: Vec<State>,
    /// Sums of the scalar outputs over the steps of the epoch that have reported: first the outputs
    /// of the gradient, then those of the update.
    sums: Vec<(OutputName, f64)>,
    summed: u64,
    /// The outputs of the first step, whose parameters no step has changed; `None` before it has
    /// reported, or if an earlier version of dgc took it.
    first: Option<Vec<(OutputName, f64)>>,
    /// The loss of the last step that reported.
    last_loss: f64,
    /// The outputs of the next step to report that have arrived so far.
    reported: Vec<f32>,
    /// The number of steps that have not reported yet.
    unreported: u64,
    /// Parameters that no step reads: the generative parameters of an upstream model.
    carried: Vec<NamedArray>,
}

/// The rows that a case takes each step.
struct Feed {
    case: CaseKind,
    turns: Turns,
    rows: Vec<u32>,
    /// The rows of a later step, if they were looked up: the step, and its rows.
    later: (Option<u64>, Vec<u32>),
    inputs: Vec<Input>,
}

impl Feed {
    /// Moves to the rows of a step.
    fn advance(&mut self, step: u64) {
        if self.later.0.take() == Some(step) {
            std::mem::swap(&mut self.rows, &mut self.later.1);
        } else {
            let first = step * self.rows.len() as u64;
            self.turns.take(first, &mut self.rows);
        }
    }

    /// Looks up the rows of a later step.
    fn look_ahead(&mut self, step: u64) {
        let first = step * self.rows.len() as u64;
        self.turns.take(first, &mut self.later.1);
        self.later.0 = Some(step);
    }
}

/// An input of the gradient that is filled from the rows.
struct Input {
    name: String,
    /// The index of the source's field.
    field: usize,
    /// Whether its rows are read ahead.
    is_slow: bool,
}

impl Stepper {
    /// Compiles the programs of a model and draws new parameters from the seed.
    pub fn new(
        model: Model,
        source: impl Into<Arc<dyn Source>>,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let programs = programs::training(&model)?;
        Self::with(model, &programs, source, seed, device)
    }

    /// As [`Self::new`], with compiled programs of the model.
    pub fn with(
        model: Model,
        programs: &Training,
        source: impl Into<Arc<dyn Source>>,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let source = source.into();
        let labelled = labelled_rows(&model, &*source)?;
        check_weights(&model, &*source)?;
        let every: Vec<u32> = (0..source.rows() as u32).collect();
        let cases = cases(&model, &labelled, every)?;
        let places: Vec<usize> = labelled.iter().map(|&row| row as usize).collect();
        let population = Population::new(&model, source.rows(), &places, |variable| {
            source.classes(&variable.name)
        })?;
        let mut session = Session::new(programs.layout(), device)?;
        let mut gradients = vec![(0, session.load(&programs.gradient, &|_| None)?)];
        if let (Some(build), Some((epochs, _))) = (&programs.steady, model.steady_state()) {
            gradients.push((epochs, session.load(build, &|_| None)?));
        }
        let (update, state) = load_update(&mut session, &model, &programs.update)?;
        for array in session.parameter_arrays() {
            initialize(&mut session, array, model.train.initialize, seed)?;
        }
        describe(&mut session, &model, &*source, &population)?;
        for (name, values) in population.weights(&model) {
            for (_, gradient) in &gradients {
                session.fill(gradient, &name, &mut |array| {
                    let pairs = array.iter_mut().zip(&values);
                    pairs.for_each(|(to, &value)| *to = value as f32);
                })?;
            }
        }
        session.fill(&update, PRIOR, &mut |array| {
            array[0] = population.prior(&model) as f32
        })?;
        let mut feeds = Vec::new();
        for (case, rows, available) in cases.into_iter().filter(|(_, rows, _)| *rows > 0) {
            feeds.push(Feed {
                case,
                turns: turns(&model, case, available, seed, &*source)?,
                rows: vec![0; rows],
                later: (None, vec![0; rows]),
                inputs: inputs(&model, &session, &gradients[0].1, case, rows, &*source)?,
            });
        }
        let sums = sums_of(&gradients[0].1, &update);
        let tables = keep(&mut session, &*source)?;
        let mut inputs = feeds.iter_mut().flat_map(|feed| &mut feed.inputs);
        let mut any_slow = false;
        inputs.by_ref().for_each(|input| {
            input.is_slow = source.is_slow(input.field) && !tables.contains_key(&input.field);
            any_slow |= input.is_slow;
        });
        let ahead = any_slow.then(|| Ahead::new(Arc::clone(&source)));
        Ok(Stepper {
            scheduled: model.scheduled(),
            model,
            session,
            seed,
            step: 0,
            source,
            tables,
            population,
            feeds,
            ahead,
            gradients,
            gradient: 0,
            update,
            state,
            reported: Vec::with_capacity(sums.len()),
            sums,
            first: None,
            last_loss: 0.0,
            summed: 0,
            unreported: 0,
            carried: Vec::new(),
        })
    }

    /// The time that each kernel has taken since the start: kernels of the current gradient
    /// program, then of the update.
    pub fn spent(&self) -> Vec<Spent> {
        [
            self.session.spent(&self.gradients[self.gradient].1),
            self.session.spent(&self.update),
        ]
        .concat()
    }

    /// Selects the gradient program of the next step's epoch. A change resets the means; it happens
    /// only at the first step of an epoch.
    fn select_gradient(&mut self) -> Result<()> {
        let (batch, rows) = self.pace();
        let epochs = self.step * batch / rows;
        let gradient = self
            .gradients
            .iter()
            .rposition(|(after, _)| *after <= epochs)
            .expect("the first program is used from epoch 0");
        if gradient != self.gradient {
            self.settle()?;
            self.gradient = gradient;
            self.sums = sums_of(&self.gradients[gradient].1, &self.update);
            self.summed = 0;
        }
        Ok(())
    }

    /// The numbers of training rows.
    pub fn population(&self) -> &Population {
        &self.population
    }

    /// Rows per step and rows per epoch of the last case, which determines the length of an epoch.
    fn pace(&self) -> (u64, u64) {
        let feed = self.feeds.last().expect("some case has rows");
        let rows = if feed.case == CaseKind::Labelled {
            self.population.labelled
        } else {
            self.population.rows
        };
        (feed.rows.len() as u64, rows as u64)
    }

    /// The number of epochs after `step` steps.
    pub fn epochs_after(&self, step: u64) -> f64 {
        let (batch, rows) = self.pace();
        (step * batch) as f64 / rows as f64
    }

    /// The number of steps after which `epochs` epochs are complete.
    pub fn steps_of(&self, epochs: u64) -> u64 {
        let (batch, rows) = self.pace();
        (epochs * rows).div_ceil(batch)
    }

    /// The number of rows per step, over all cases.
    pub fn rows_per_step(&self) -> usize {
        self.feeds.iter().map(|feed| feed.rows.len()).sum()
    }

    /// The scheduled learning rate of the step that follows the first `step` steps.
    pub fn rate_after(&self, step: u64) -> f64 {
        let train = &self.model.train;
        let (start, end) = (self.epochs_after(step), self.epochs_after(step + 1));
        train.schedule.rate(
            train.optimizer_arguments[0],
            start,
            end,
            train.epochs as f64,
        )
    }

    /// Takes one step.
    ///
    /// # Errors
    /// If the loss is not finite; the parameters are then invalid. On an asynchronous device, a
    /// later step may report the error.
    pub fn step(&mut self) -> Result<()> {
        self.select_gradient()?;
        self.feed()?;
        let epoch = self.epochs_after(self.step);
        let (_, gradient) = &self.gradients[self.gradient];
        for (name, input) in &self.scheduled {
            let value = self.model.scheduled_value(*input, epoch) as f32;
            self.session
                .fill(gradient, name, &mut |array| array[0] = value)?;
        }
        let key = NoiseKey {
            seed: self.seed,
            step: self.step,
        };
        self.session.run(gradient, key)?;
        self.session.enqueue_readback(gradient)?;
        let (rate, step) = (self.rate_after(self.step), self.step + 1);
        let average_weight = self.model.train.average_weight(step);
        for (name, value) in [(RATE, rate), (STEP, step as f64), (AVERAGE, average_weight)] {
            self.session
                .fill(&self.update, name, &mut |array| array[0] = value as f32)?;
        }
        self.session.run(&self.update, key)?;
        self.session.enqueue_readback(&self.update)?;
        self.step += 1;
        self.unreported += 1;
        self.listen(false)
    }

    /// Waits until every step has reported.
    pub fn settle(&mut self) -> Result<()> {
        self.listen(true)
    }

    /// Adds the outputs of steps to the sums, in the order of the steps.
    fn listen(&mut self, wait: bool) -> Result<()> {
        while self.session.poll_readback(wait, &mut |numbers| {
            self.reported.extend_from_slice(numbers)
        })? {
            if self.reported.len() < self.sums.len() {
                continue;
            }
            for (what, name) in [
                ("the loss", OutputName::Loss),
                ("the gradient norm", OutputName::GradientNorm),
            ] {
                let found = self
                    .sums
                    .iter()
                    .zip(&self.reported)
                    .find(|((output, _), _)| *output == name);
                if let Some((_, number)) = found.filter(|(_, number)| !number.is_finite()) {
                    return Err(self.diverged(
                        self.step - self.unreported + 1,
                        format!("{what} is {number}"),
                    ));
                }
            }
            let numbers = self.reported.iter().map(|&number| f64::from(number));
            let names = self.sums.iter().map(|(name, _)| name);
            if self.step == self.unreported {
                let outputs = names.clone().cloned().zip(numbers.clone());
                self.first = Some(outputs.collect());
            }
            let mut loss = names.zip(numbers.clone());
            if let Some((_, loss)) = loss.find(|(name, _)| **name == OutputName::Loss) {
                self.last_loss = loss;
            }
            self.sums
                .iter_mut()
                .zip(numbers)
                .for_each(|((_, sum), number)| *sum += number);
            self.reported.clear();
            self.summed += 1;
            self.unreported -= 1;
        }
        Ok(())
    }

    /// The error for a run that diverged at `step`, for the reason `what`.
    pub fn diverged(&self, step: u64, what: String) -> Error {
        let epoch = self.epochs_after(step);
        let help = match step {
            // The learning rate has had no effect yet.
            0 | 1 => {
                "the first step fails before any learning, so a value of the data, of a network or of \
                 a weight overflows single precision (for example the logarithm of 0); standardise \
                 the data, or change the network or the line of the objective"
            }
            _ => "try a smaller learning rate, `clip norm` or another seed",
        };
        let kind = ErrorKind::Diverged;
        Error::of_kind(
            kind,
            format!("training diverged at step {step} (epoch {epoch:.2}): {what}"),
        )
        .help(help)
    }

    /// Checks that the loss is not far worse than that of the first parameters with the same weights:
    /// neither the mean of the epoch's steps, nor the last step, which may have recovered.
    ///
    /// # Errors
    /// If both losses are far worse.
    pub fn check_loss(&mut self) -> Result<()> {
        self.settle()?;
        let Some(outputs) = &self.first else {
            return Ok(());
        };
        let mut means = self.means();
        let Some((_, mean)) = means.find(|(name, _)| **name == OutputName::Loss) else {
            return Ok(());
        };
        let steps = [self.step - self.summed, self.step - 1];
        let epochs = steps.map(|step| self.epochs_after(step));
        // Between the two steps the weights move linearly, and the first loss with them.
        let [early, late] =
            epochs.map(|epoch| divergence::loss_at(&self.model, outputs, 0.0, epoch));
        let first = early.max(late);
        if !divergence::is_far_worse(&self.model, mean, first)
            || !divergence::is_far_worse(&self.model, self.last_loss, late)
        {
            return Ok(());
        }
        let what = format!(
            "the mean loss of the epoch is {mean}; with the same weights, the loss before the \
             first step was {first}"
        );
        Err(self.diverged(self.step, what))
    }

    /// Checks that the loss of every step, and every parameter, running average, moment and average
    /// is finite.
    pub fn check_finite(&mut self) -> Result<()> {
        self.settle()?;
        let layout = &self.session.layout;
        let state = self.state.iter().map(|state| (state.array, state.len));
        for (array, len) in std::iter::once((self.session.parameters, layout.total)).chain(state) {
            let values = self.session.device.read(array, 0, len)?;
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let entry = layout.entries.iter().rev().find(|entry| entry.offset <= at);
                let name = entry.map_or("a parameter", |entry| entry.parameter.name.as_str());
                return Err(self.diverged(self.step, format!("`{name}` holds {}", values[at])));
            }
        }
        Ok(())
    }

    /// Copies the next rows of each case to the device.
    fn feed(&mut self) -> Result<()> {
        let step = self.step;
        self.feeds.iter_mut().for_each(|feed| feed.advance(step));
        let read = match &mut self.ahead {
            Some(ahead) => {
                if !ahead.is_pending(step) {
                    ahead.request(step, &mut |parts| slow_parts(&self.feeds, &current, parts));
                }
                ahead.receive()?.parts.as_slice()
            }
            None => &[],
        };
        let mut read = read.iter();
        let mut copies = Vec::new();
        let (_, gradient) = &self.gradients[self.gradient];
        for feed in &self.feeds {
            for input in &feed.inputs {
                if let Some((table, width)) = self.tables.get(&input.field).copied() {
                    let to = self.session.array(gradient, &input.name);
                    copies.extend(to.map(|to| Gather {
                        table,
                        width,
                        rows: &feed.rows,
                        to,
                    }));
                    continue;
                }
                if input.is_slow {
                    let part = read.next().expect("slow inputs are read ahead");
                    self.session.fill(gradient, &input.name, &mut |floats| {
                        floats.copy_from_slice(&part.numbers)
                    })?;
                    continue;
                }
                self.session.fill_from(
                    gradient,
                    &input.name,
                    &*self.source,
                    input.field,
                    &feed.rows,
                )?;
            }
        }
        if !copies.is_empty() {
            self.session.device.gather(&copies)?;
        }
        if let Some(ahead) = &mut self.ahead {
            self.feeds
                .iter_mut()
                .for_each(|feed| feed.look_ahead(step + 1));
            ahead.request(step + 1, &mut |parts| {
                slow_parts(&self.feeds, &later, parts)
            });
        }
        Ok(())
    }

    /// The means over the steps of the epoch that have reported.
    pub fn means(&self) -> impl Iterator<Item = (&OutputName, f64)> {
        let steps = self.summed.max(1) as f64;
        self.sums.iter().map(move |(name, sum)| (name, sum / steps))
    }

    /// The means over all steps of the epoch; another begins.
    pub fn take_means(&mut self) -> Result<Vec<(OutputName, f64)>> {
        self.settle()?;
        let means = self
            .means()
            .map(|(name, mean)| (name.clone(), mean))
            .collect();
        self.sums.iter_mut().for_each(|(_, sum)| *sum = 0.0);
        self.summed = 0;
        Ok(means)
    }

    /// Atomically writes parameters, optimiser state and position, for the run `origin`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&mut self, path: &Path, origin: &Origin) -> Result<()> {
        write_whole(path, &self.to_checkpoint(path, origin)?)
    }

    /// The contents of the file that `save` writes.
    ///
    /// # Errors
    /// If the device fails.
    pub fn to_checkpoint(&mut self, path: &Path, origin: &Origin) -> Result<Vec<u8>> {
        self.settle()?;
        let mut stored = Vec::new();
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect();
        for entry in &self.session.layout.entries {
            let name = entry.parameter.name.clone();
            let data = wide(&self.session.parameter(entry)?);
            stored.push(NamedArray {
                name,
                shape: entry.shape.clone(),
                data,
            });
            for state in &self.state {
                let Some(name) = state.stored_name(entry) else {
                    continue;
                };
                let device = &self.session.device;
                let data = wide(&device.read(state.array, entry.offset, entry.len())?);
                stored.push(NamedArray {
                    name,
                    shape: entry.shape.clone(),
                    data,
                });
            }
        }
        stored.extend(self.carried.iter().cloned());
        let exact = |outputs: &[(OutputName, f64)]| {
            let outputs = outputs.iter();
            outputs
                .map(|(name, output)| (name.to_string(), output.to_bits()))
                .collect()
        };
        let position = Position {
            model: self.model.name.clone(),
            step: self.step,
            seed: self.seed,
            summed: self.summed,
            sums: exact(&self.sums),
            first: exact(self.first.as_deref().unwrap_or_default()),
        };
        Checkpoint::to_bytes(path, &stored, &position, origin)
    }

    /// Restores the state that `save` wrote.
    ///
    /// # Errors
    /// If the checkpoint does not fit the model.
    pub fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let path = checkpoint.path();
        let by_name = checkpoint.by_name();
        checkpoint.fill_parameters(&mut self.session, &by_name)?;
        for entry in &self.session.layout.entries.clone() {
            for state in &self.state {
                let Some(name) = state.stored_name(entry) else {
                    continue;
                };
                let found = by_name
                    .get(name.as_str())
                    .filter(|found| found.shape == entry.shape);
                let found = found.ok_or_else(|| {
                    let message = format!("{}: expected `{name}`, found none", path.display());
                    Error::data(message)
                        .help("the checkpoint was written with other lines of `train`")
                })?;
                self.session.set(state.array, entry, &found.data)?;
            }
        }
        self.carried.clear();
        for entry in programs::generative_parameters(&self.model).entries {
            if self.session.layout.find(&entry.parameter.name).is_some() {
                continue;
            }
            match find(&by_name, &entry.parameter.name, &entry.shape, path) {
                Ok(array) => self.carried.push(array.clone()),
                // Runs of earlier versions have no carried parameters.
                Err(_) if checkpoint.origin.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        self.settle()?;
        let position = &checkpoint.position;
        self.step = position.step;
        self.seed = position.seed;
        self.select_gradient()?;
        self.summed = position.summed;
        let first = position.first.iter();
        let first: Vec<(OutputName, f64)> = first
            .map(|(name, bits)| (name.as_str().into(), f64::from_bits(*bits)))
            .collect();
        self.first = (!first.is_empty()).then_some(first);
        // A checkpoint at the end of an epoch has sums of 0, maybe those of the last program.
        for (name, sum) in self.sums.iter_mut().filter(|_| position.summed > 0) {
            let name = name.to_string();
            let stored = position.sums.iter().find(|(stored, _)| *stored == name);
            let (_, bits) = stored.ok_or_else(|| {
                let message = format!("{}: expected a sum of `{name}`, found none", path.display());
                Error::data(message).help("the checkpoint belongs to another model")
            })?;
            *sum = f64::from_bits(*bits);
        }
        Ok(())
    }

    /// Reads the parameters of the upstream model that infers a variable, both inference and
    /// generative parameters, from its run's checkpoint: their averages, if the run has them.
    ///
    /// # Errors
    /// If the checkpoint does not fit the upstream model.
    pub fn read_upstream(&mut self, variable: &str, checkpoint: &Checkpoint) -> Result<()> {
        let by_name = checkpoint.evaluated();
        let layout = self.session.layout.clone();
        for entry in layout
            .clone()
            .with(&programs::generative_parameters(&self.model))
            .entries
        {
            let Some(name) = entry.parameter.name.strip_prefix(&scope(variable)) else {
                continue;
            };
            let found = find(&by_name, name, &entry.shape, checkpoint.path())?;
            match layout.find(&entry.parameter.name) {
                Some(_) => {
                    for array in self.session.parameter_arrays() {
                        self.session.set(array, &entry, &found.data)?;
                    }
                }
                None => self.carried.push(NamedArray {
                    name: entry.parameter.name.clone(),
                    ..found.clone()
                }),
            }
        }
        Ok(())
    }
}

/// The rows of the current step.
fn current(feed: &Feed) -> &[u32] {
    &feed.rows
}

/// The rows of the step that was looked up.
fn later(feed: &Feed) -> &[u32] {
    &feed.later.1
}

/// Writes the fields and rows of all inputs that are slow to read.
fn slow_parts(feeds: &[Feed], rows: &dyn Fn(&Feed) -> &[u32], parts: &mut Vec<FieldRows>) {
    let inputs = feeds
        .iter()
        .flat_map(|feed| feed.inputs.iter().map(move |input| (feed, input)));
    let slow = inputs.filter(|(_, input)| input.is_slow);
    for (index, (feed, input)) in slow.enumerate() {
        if parts.len() == index {
            parts.push(FieldRows::default());
        }
        let part = &mut parts[index];
        part.field = input.field;
        part.rows.clear();
        part.rows.extend_from_slice(rows(feed));
    }
}

/// Copies the fields of a source to the device, if the device stores tables.
fn keep(session: &mut Session, source: &dyn Source) -> Result<HashMap<usize, (Id<Array>, usize)>> {
    let mut kept = HashMap::new();
    for (index, field) in source.fields().enumerate() {
        let (rows, width) = (source.rows(), field.width);
        if !session.device.keeps(rows * width) {
            continue;
        }
        let array = session.device.allocate(rows * width)?;
        for chunk in chunks(rows, width) {
            let first = chunk[0] as usize;
            let mut read = Ok(());
            session
                .device
                .fill(array, first * width, chunk.len() * width, &mut |floats| {
                    read = source.read(index, &chunk, floats)
                })?;
            read?;
        }
        kept.insert(index, (array, width));
    }
    Ok(kept)
}

/// A zero sum for each scalar output of a step.
fn sums_of(gradient: &Loaded, update: &Loaded) -> Vec<(OutputName, f64)> {
    gradient
        .numbers()
        .iter()
        .chain(update.numbers())
        .map(|name| (name.as_str().into(), 0.0))
        .collect()
}

/// The cases of a step, with their batch sizes and the rows that they draw from.
fn cases(
    model: &Model,
    labelled: &[u32],
    every: Vec<u32>,
) -> Result<Vec<(CaseKind, usize, Vec<u32>)>> {
    let cases = match model.train.batch {
        Batch::All(rows) => vec![(CaseKind::All, rows, every)],
        Batch::Cases {
            labelled: seen,
            unlabelled,
            ..
        } => vec![
            (CaseKind::Labelled, seen, labelled.to_vec()),
            (CaseKind::Unlabelled, unlabelled, every),
        ],
    };
    let lacking = cases
        .iter()
        .find(|(_, rows, available)| *rows > 0 && available.is_empty());
    let Some((case, ..)) = lacking else {
        return Ok(cases);
    };
    let help = match model.labels().next() {
        Some(label) if !label.is_class() => format!(
            "add labels to the data: an array `{}`, NaN for unlabelled rows; or train without \
             labelled rows: set `batch.labelled` to 0",
            label.name
        ),
        label => format!(
            "add labels to the data: an array `{}` with classes, -1 for unlabelled rows, or the \
             labels file of MNIST; or train without labelled rows: set `batch.labelled` to 0",
            label.map_or("y", |label| label.name.as_str())
        ),
    };
    Err(Error::data(format!(
        "the training data: expected {case} rows, found none"
    ))
    .help(help))
}

/// The order in which a case takes its rows.
fn turns(
    model: &Model,
    case: CaseKind,
    rows: Vec<u32>,
    seed: u64,
    source: &dyn Source,
) -> Result<Turns> {
    let is_balanced = matches!(model.train.batch, Batch::Cases { balanced: true, .. });
    let mut labels = model.labels().filter(|label| label.is_class());
    let label = labels
        .next()
        .filter(|_| is_balanced && case == CaseKind::Labelled);
    let classes = match label {
        Some(label) => source.classes(&label.name)?,
        None => None,
    };
    Ok(match classes {
        Some(classes) => Turns::balanced(&rows, &classes, seed, case.word()),
        None => Turns::new(rows, seed, case.word()),
    })
}

/// The inputs of a case, with the source's fields that fill them.
fn inputs(
    model: &Model,
    session: &Session,
    loaded: &Loaded,
    case: CaseKind,
    rows: usize,
    source: &dyn Source,
) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for variable in model.read_variables() {
        let name = InputName::Observed(case, variable.name.clone()).to_string();
        if let Some(len) = session.len(loaded, &name) {
            let field = check_field(&variable.name, len / rows, source, "the training data")?;
            inputs.push(Input {
                name,
                field,
                is_slow: false,
            });
        }
    }
    Ok(inputs)
}

/// Checks that every row has a weight, if the model has weights.
fn check_weights(model: &Model, source: &dyn Source) -> Result<()> {
    let Some(Variable { name, .. }) = model.row_weight() else {
        return Ok(());
    };
    let weights = source.values(name)?;
    if weights.is_some_and(|weights| weights.iter().all(|weight| !weight.is_nan())) {
        return Ok(());
    }
    let message = format!("the training data: expected weights of rows `{name}`, found none");
    Err(Error::data(message).help(format!(
        "give an array or a column `{name}`, or remove `weight {name}: positive` from the model"
    )))
}

/// The labelled rows.
fn labelled_rows(model: &Model, source: &dyn Source) -> Result<Vec<u32>> {
    if model.labels().next().is_none() {
        return Ok(Vec::new());
    }
    let known = KnownLabels::read(model, source, "the training data")?;
    match known.lacking() {
        None => Ok(known.labelled()),
        Some(label) => {
            let message = format!(
                "the training data: expected a label `{}`, found none",
                label.name
            );
            let unknown = label.unknown();
            Err(Error::data(message).help(format!(
                "give the array, with {unknown} for unlabelled rows"
            )))
        }
    }
}

/// Loads the optimiser's update program, with its state and the average of the parameters.
fn load_update(
    session: &mut Session,
    model: &Model,
    build: &Build,
) -> Result<(Loaded, Vec<State>)> {
    let layout = session.layout.clone();
    let states = model.train.optimizer.state().iter();
    let states = states.map(|name| (*name, layout.trained));
    let average = model.train.average.map(|_| (AVERAGE, layout.total));
    let mut state = Vec::new();
    for (name, len) in states.chain(average) {
        state.push(State {
            name: name.to_string(),
            array: session.device.allocate(len)?,
            len,
        });
    }
    let average = state.iter().find(|state| state.name == AVERAGE);
    session.average = average.map(|average| average.array);
    let (parameters, gradients) = (session.parameters, session.gradients);
    let loaded = session.load(build, &|buffer| {
        let named = UpdateArray::parse(&buffer.name)?;
        let offset = layout.range(named.group()).start;
        let array = match named {
            UpdateArray::Parameters(_) => parameters,
            UpdateArray::Gradients(_) => gradients,
            UpdateArray::State(_, name) => state
                .iter()
                .find(|state| state.name == name)
                .map(|state| state.array)?,
        };
        Some(ArrayRange { array, offset })
    })?;
    Ok((loaded, state))
}
