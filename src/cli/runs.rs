//! Commands that use what a run has learnt: eval, predict, encode, sample.

use super::{at_least_one, device::Device, picture, print};
use crate::{
    backend::Build,
    bound::{self, Case},
    distribution::Domain,
    driver,
    error::{Error, Result},
    files::{folder_of, write_whole},
    id::Id,
    lower::Evaluate,
    model::{Model, Variable},
    names::{CaseKind, InputName, OutputName},
    plan::NoiseSource,
    run::{
        data::{self, Table},
        evaluate::{Evaluator, Inferred, Units, active_units, error, likeliest, mean},
        folder::Folder,
        programs,
        session::{Layout, Session},
    },
};
use clap::{Args, ValueEnum};
use ndarray::{Array1, Array2};
use ndarray_npy::NpzWriter;
use std::{io::Cursor, path::PathBuf};

/// A run, and the rows that it is used on.
#[derive(Args)]
struct Source {
    /// The folder of a run
    run: PathBuf,
    /// The data set; the run's own if left out
    #[arg(long, value_name = "NAME|FOLDER|FILE")]
    data: Option<String>,
    /// Which of its rows; if left out the test rows, else those that the run held out, else the
    /// training rows
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Samples a row
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    samples: usize,
    /// Use only this many rows
    #[arg(long, value_parser = at_least_one)]
    rows: Option<usize>,
    #[command(flatten)]
    device: Device,
    /// The seed of the samples
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The rows that the data set sets apart for tests
    Test,
    /// The training rows that the run held out
    Validation,
    /// The rows that the run trained on, with every label that the data set has
    Train,
}

/// A run that was opened.
struct Opened {
    model: Model,
    session: Session,
    part: Part,
    table: Table,
    /// Where each row of the table stands in the data set's rows, of training or of test.
    numbers: Vec<usize>,
}

impl Source {
    /// To infer.
    fn open(&self) -> Result<Opened> {
        self.open_with(programs::parameters)
    }

    /// To use these parameters of the model.
    fn open_with(&self, layout: impl Fn(&Model) -> Layout) -> Result<Opened> {
        let (folder, mut settings) = Folder::open(&self.run)?;
        let model = folder.model(&settings)?;
        let session = folder.session(layout(&model), &self.device.choice()?)?;
        let dataset = data::load(self.data.as_deref().or(settings.data.as_deref()), &model)?;
        if self.data.is_none() {
            settings.know_again(&dataset)?;
        }
        // Which rows were held out is known of the run's own data alone.
        let held = if self.data.is_none() {
            settings.validation
        } else {
            0
        };
        let part = self.part.unwrap_or(match (&dataset.test, held) {
            (Some(_), _) => Part::Test,
            (None, 0) => Part::Train,
            (None, _) => Part::Validation,
        });
        let (found, mut numbers) = if part == Part::Test {
            let rows = dataset.test.as_ref().map_or(0, |table| table.rows);
            (dataset.test, (0..rows).collect())
        } else {
            let split = data::split(&dataset.train, &[], None, held, settings.seed)?;
            if part == Part::Train {
                (Some(split.train), split.kept)
            } else {
                (split.validation, split.held)
            }
        };
        let mut table = found.ok_or_else(|| {
            let message = format!("--part {}: there are no such rows", part.name());
            Error::new(message).help("leave the option out for the rows that there are")
        })?;
        if let Some(rows) = self.rows.filter(|&rows| rows < table.rows) {
            table = table.select(&(0..rows).collect::<Vec<_>>());
            numbers.truncate(rows);
        }
        Ok(Opened {
            model,
            session,
            part,
            table,
            numbers,
        })
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Test => "test",
            Part::Validation => "validation",
            Part::Train => "train",
        }
    }
}

impl Opened {
    /// What is inferred of every row, labels unseen.
    fn infer(&mut self, samples: usize, likelihood: bool, seed: u64) -> Result<Inferred> {
        let objective = driver::derive(&self.model);
        let case = objective.cases.last().expect("a model has a case");
        infer(
            &mut self.session,
            &self.model,
            case,
            &self.table,
            samples,
            likelihood,
            seed,
        )
    }

    /// The rows that have every label, and what is inferred of them, labels seen; none for a model
    /// or rows without labels.
    fn infer_labelled(&mut self, samples: usize, seed: u64) -> Result<Option<(usize, Inferred)>> {
        let labels: Vec<&[i32]> = self
            .model
            .labels()
            .filter_map(|label| self.table.classes(&label.name))
            .collect();
        let rows: Vec<usize> = (0..self.table.rows)
            .filter(|&row| labels.iter().all(|classes| classes[row] >= 0))
            .collect();
        let objective = driver::derive(&self.model);
        let Some(case) = objective
            .cases
            .iter()
            .find(|case| case.kind == CaseKind::Labelled && !rows.is_empty())
        else {
            return Ok(None);
        };
        let table = self.table.select(&rows);
        Ok(Some((
            rows.len(),
            infer(
                &mut self.session,
                &self.model,
                case,
                &table,
                samples,
                false,
                seed,
            )?,
        )))
    }
}

fn infer(
    session: &mut Session,
    model: &Model,
    case: &Case,
    table: &Table,
    samples: usize,
    likelihood: bool,
    seed: u64,
) -> Result<Inferred> {
    // Many samples make a row large; fewer rows at once keep the working memory the same.
    let rows = (1000 / samples).clamp(1, 200).min(table.rows);
    let what = Evaluate {
        rows,
        samples,
        likelihood,
    };
    Evaluator::new(session, model, case, &programs::evaluate(model, case, what))?
        .run(session, table, seed)
}

/// The bound, its terms and the like: what is one number a row.
fn numbers(inferred: &Inferred) -> impl Iterator<Item = (String, f64)> {
    inferred
        .iter()
        .filter(|(name, _)| name.is_number_per_row())
        .map(|(name, values)| (name.to_string(), mean(values)))
}

/// These numbers as text, a line each: first the bound, then its terms.
fn lines(model: &Model, inferred: &Inferred) -> String {
    let titles = bound::titles(model);
    let mut lines: Vec<(usize, String, f64)> = inferred
        .iter()
        .filter(|(name, _)| name.is_number_per_row())
        .map(|(name, values)| {
            let position = titles.iter().position(|(titled, _)| titled == name);
            let title = position.map_or_else(|| name.to_string(), |at| titles[at].1.clone());
            (position.unwrap_or(titles.len()), title, mean(values))
        })
        .collect();
    lines.sort_by_key(|(position, _, _)| *position);
    let widths = lines.iter().map(|(_, title, _)| title.chars().count());
    let width = widths.max().unwrap_or(0).max(20);
    let line = |(_, title, mean): &(_, String, f64)| format!("  {title:width$} {mean:12.4}\n");
    lines.iter().map(line).collect()
}

/// Bounds, the log-likelihood and the label error on the test rows
#[derive(Args)]
pub struct Eval {
    #[command(flatten)]
    source: Source,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

impl Eval {
    pub fn run(self) -> Result<()> {
        let mut opened = self.source.open()?;
        let inferred = opened.infer(self.source.samples, true, self.source.seed)?;
        let labelled = opened.infer_labelled(self.source.samples, self.source.seed)?;
        let (rows, part) = (opened.table.rows, opened.part.name());
        let inferences =
            std::iter::once(&inferred).chain(labelled.iter().map(|(_, labelled)| labelled));
        for (name, values) in inferences
            .flatten()
            .filter(|(name, _)| name.is_number_per_row())
        {
            if let Some(row) = values.iter().position(|value| !value.is_finite()) {
                let message = format!("{name} of row {row} of these is {}", values[row]);
                let help = "its values may be far from those that were trained on; or the run has gone astray";
                return Err(Error::new(message).help(help));
            }
        }
        let mut report =
            serde_json::json!({ "part": part, "rows": rows, "samples": self.source.samples });
        let mut text = format!("{rows} {part} rows, {} samples each", self.source.samples);
        // A classifier has no bound, so no numbers either.
        let has_bound = numbers(&inferred).next().is_some();
        text += if has_bound { ", nats per row\n" } else { "\n" };
        let labelled = labelled.filter(|_| has_bound);
        if labelled.is_some() {
            text += "labels unseen\n";
        }
        for (name, mean) in numbers(&inferred) {
            report[name] = mean.into();
        }
        text += &lines(&opened.model, &inferred);
        if let Some((rows, labelled)) = &labelled {
            report["labelled"]["rows"] = (*rows).into();
            text += &format!("labels seen, on the {rows} rows that have them\n");
            for (name, mean) in numbers(labelled) {
                report["labelled"][name] = mean.into();
            }
            text += &lines(&opened.model, labelled);
        }
        for Units {
            latent,
            active,
            all,
        } in active_units(&inferred, rows)
        {
            report["units"][latent] = serde_json::json!({ "active": active, "of": all });
            text += &format!("{latent}: {active} of {all} units active\n");
        }
        for label in opened.model.labels() {
            let probabilities = &inferred[&OutputName::Predict(label.name.clone())];
            let predicted = likeliest(probabilities, label.size());
            let classes = opened.table.classes(&label.name).unwrap_or(&[]);
            let Some(wrong) = error(&predicted, classes) else {
                continue;
            };
            let confusion = confusion(&predicted, classes, label.size());
            report[format!("error of {}", label.name)] = wrong.into();
            report[format!("confusion of {}", label.name)] = serde_json::json!(confusion);
            text += &format!("error of {}: {:.2} %\n", label.name, 100.0 * wrong);
            text += "rows: true class; columns: predicted\n";
            for (class, line) in confusion.iter().enumerate() {
                let counts: Vec<String> = line.iter().map(|count| format!("{count:5}")).collect();
                text += &format!("  {class:3} {}\n", counts.join(" "));
            }
        }
        print(&if self.json {
            format!("{report:#}\n")
        } else {
            text
        })
    }
}

/// Rows by true class (first index) and predicted class.
fn confusion(predicted: &[usize], classes: &[i32], count: usize) -> Vec<Vec<usize>> {
    let mut counts = vec![vec![0; count]; count];
    for (predicted, class) in predicted.iter().zip(classes) {
        if let Ok(class) = usize::try_from(*class) {
            counts[class][*predicted] += 1;
        }
    }
    counts
}

/// Write the label of each row, with its probability, as CSV; rows by their place in the data set,
/// from 0
#[derive(Args)]
pub struct Predict {
    #[command(flatten)]
    source: Source,
    /// The CSV file
    #[arg(short, long)]
    output: PathBuf,
}

impl Predict {
    pub fn run(self) -> Result<()> {
        folder_of(&self.output)?;
        let mut opened = self.source.open()?;
        let inferred = opened.infer(self.source.samples, false, self.source.seed)?;
        let labels: Vec<(String, usize)> = opened
            .model
            .labels()
            .map(|label| (label.name.clone(), label.size()))
            .collect();
        if labels.is_empty() {
            return Err(Error::new("the model has no label to predict")
                .help("`dgc encode` writes its latents"));
        }
        let failed = |error: csv::Error| Error::file(&self.output, "cannot be written", error);
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = labels
            .iter()
            .flat_map(|(name, _)| [name.clone(), format!("probability of {name}")]);
        writer
            .write_record(std::iter::once("row".to_string()).chain(header))
            .map_err(failed)?;
        for (row, number) in opened.numbers.iter().enumerate() {
            let mut record = vec![number.to_string()];
            for (name, size) in &labels {
                let probabilities =
                    &inferred[&OutputName::Predict(name.clone())][row * size..(row + 1) * size];
                let class = likeliest(probabilities, *size)[0];
                record.extend([class.to_string(), format!("{:.6}", probabilities[class])]);
            }
            writer.write_record(&record).map_err(failed)?;
        }
        let bytes = writer
            .into_inner()
            .map_err(|error| Error::file(&self.output, "cannot be written", error))?;
        write_whole(&self.output, &bytes)?;
        print(&format!(
            "{} rows in {}\n",
            opened.table.rows,
            self.output.display()
        ))
    }
}

/// Write the mean of every latent's posterior for each row, as npz; `row number` is their place in
/// the data set, from 0
#[derive(Args)]
pub struct Encode {
    #[command(flatten)]
    source: Source,
    /// The npz file
    #[arg(short, long)]
    output: PathBuf,
}

impl Encode {
    pub fn run(self) -> Result<()> {
        folder_of(&self.output)?;
        let mut opened = self.source.open()?;
        let inferred = opened.infer(self.source.samples, false, self.source.seed)?;
        let failed = |error: String| Error::file(&self.output, "cannot be written", error);
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = NpzWriter::new_compressed(&mut bytes);
        for (name, values) in &inferred {
            let (OutputName::Encode(variable) | OutputName::Predict(variable)) = name else {
                continue;
            };
            let width = values.len() / opened.table.rows;
            let array = Array2::from_shape_vec((opened.table.rows, width), values.clone());
            let array = array.expect("a latent has as many numbers for each row");
            writer
                .add_array(variable, &array)
                .map_err(|error| failed(error.to_string()))?;
        }
        let numbers: Array1<i64> = opened.numbers.iter().map(|&number| number as i64).collect();
        writer
            .add_array("row number", &numbers)
            .map_err(|error| failed(error.to_string()))?;
        writer.finish().map_err(|error| failed(error.to_string()))?;
        write_whole(&self.output, &bytes.into_inner())?;
        print(&format!(
            "{} rows in {}\n",
            opened.table.rows,
            self.output.display()
        ))
    }
}

/// Draw data from the generative graph, as a picture: a column for each class
#[derive(Args)]
pub struct Sample {
    #[command(flatten)]
    source: Source,
    /// The PNG file
    #[arg(short, long)]
    output: PathBuf,
    /// Take z from the first test rows, shown in the first column, and vary the class
    #[arg(long)]
    analogy: bool,
    /// Rows of the picture
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    lines: usize,
}

impl Sample {
    pub fn run(self) -> Result<()> {
        let layout = |model: &Model| {
            programs::parameters(model).with(&programs::generative_parameters(model))
        };
        folder_of(&self.output)?;
        let mut opened = self.source.open_with(layout)?;
        let model = opened.model.clone();
        let generated = model.generated();
        let [(output, image)] = generated.as_slice() else {
            return Err(Error::new(
                "only a model that generates one data variable can be drawn as a picture",
            ));
        };
        if let Some(variable) = model.not_drawn() {
            return Err(
                Error::new(format!("data of the model cannot be drawn: not {variable}"))
                    .help("`dgc encode` writes the latents of rows that there are"),
            );
        }
        let shape = picture::shape(image)?;
        let classes: Vec<(Id<Variable>, usize)> = class_variables(&model);
        let lines = self.lines;
        // Without a class there is nothing to vary but the draw, and an analogy draws nothing.
        let columns = classes
            .first()
            .map_or(if self.analogy { 1 } else { lines }, |(_, size)| *size);
        let rows = lines * columns;
        let fixed = if self.analogy {
            self.latents(&mut opened, lines, columns)?
        } else {
            Vec::new()
        };
        let given: Vec<Id<Variable>> = fixed.iter().map(|(id, _)| *id).collect();
        let graph = driver::generate(&model, rows, &given);
        let plan = driver::plan(&graph, NoiseSource::Generated);
        let loaded = opened
            .session
            .load(&Build::new("generate", plan), &|_| None)?;
        // The first changes from column to column, the next from line to line, and so on.
        let mut stride = 1;
        for (id, size) in &classes {
            let name = model.variables[id.index()].name.clone();
            let name = InputName::Observed(CaseKind::Generated, name).to_string();
            opened.session.fill(&loaded, &name, &mut |array| {
                array
                    .iter_mut()
                    .enumerate()
                    .for_each(|(row, class)| *class = (row / stride % size) as f32);
            })?;
            stride *= size;
        }
        for (id, values) in &fixed {
            let name = model.variables[id.index()].name.clone();
            let name = InputName::Observed(CaseKind::Generated, name).to_string();
            opened
                .session
                .fill(&loaded, &name, &mut |array| array.copy_from_slice(values))?;
        }
        opened.session.run(
            &loaded,
            crate::backend::NoiseKey {
                seed: self.source.seed,
                step: 0,
            },
        )?;
        let means = opened
            .session
            .read(&loaded, output)?
            .expect("data are generated")
            .to_vec();
        let mut pictures: Vec<Vec<f32>> = Vec::new();
        for line in 0..lines {
            if self.analogy {
                let mut original = vec![0.0; image.size()];
                let column = opened
                    .table
                    .column(&image.name)
                    .expect("the data have every variable");
                column.copy_row(line, &mut original);
                pictures.push(original);
            }
            let of_line = means[line * columns * image.size()..(line + 1) * columns * image.size()]
                .chunks(image.size());
            pictures.extend(of_line.map(<[f32]>::to_vec));
        }
        let across = columns + usize::from(self.analogy);
        write_whole(&self.output, &picture::png(&pictures, across, shape)?)?;
        print(&format!(
            "{lines} × {across} pictures in {}\n",
            self.output.display()
        ))
    }

    /// The latents of the first test rows that nothing but the prior generates, each repeated for
    /// every column.
    fn latents(
        &self,
        opened: &mut Opened,
        lines: usize,
        columns: usize,
    ) -> Result<Vec<(Id<Variable>, Vec<f32>)>> {
        if opened.table.rows < lines {
            return Err(Error::new(format!(
                "--lines {lines}: there are {} rows",
                opened.table.rows
            )));
        }
        opened.table = opened.table.select(&(0..lines).collect::<Vec<_>>());
        let inferred = opened.infer(self.source.samples, false, self.source.seed)?;
        let roots = opened
            .model
            .generative
            .iter()
            .filter(|factor| factor.parents.is_empty());
        let mut fixed = Vec::new();
        for factor in roots {
            let variable = &opened.model.variables[factor.child.index()];
            let Some(means) = inferred.get(&OutputName::Encode(variable.name.clone())) else {
                continue;
            };
            let repeated = means
                .chunks(variable.size())
                .flat_map(|row| row.repeat(columns))
                .collect();
            fixed.push((factor.child, repeated));
        }
        if fixed.is_empty() {
            return Err(Error::new(
                "--analogy: every latent of the model has a parent in `generative`",
            )
            .help("an analogy keeps a latent that depends on nothing, and varies the class"));
        }
        Ok(fixed)
    }
}

fn class_variables(model: &Model) -> Vec<(Id<Variable>, usize)> {
    let all = model.variables.iter().enumerate();
    all.filter(|(_, variable)| variable.domain == Domain::Class)
        .map(|(i, variable)| (Id::new(i), variable.size()))
        .collect()
}
