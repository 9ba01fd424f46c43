//! Several runs of one model on the same data, which differ in their seed.
//!
//! Their folder has a folder `seedN` for each run and `seeds.json`, the list of seeds, which is
//! written last. All runs exist from the beginning, at step 0, so each of them can be resumed.

use super::{
    inherited::Inherited,
    overview::RunOverview,
    trainer::{Options, Trainer},
};
use crate::{
    error::{Error, Result},
    files::{self, MOST_TEXT, write_whole},
    model::Model,
    run::{
        data::Dataset,
        fields::Fields,
        folder::{Folder, SEEDS, check_named, holds_only},
        settings::RESTORE,
    },
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// The most runs that differ in their seed.
const MOST_SEEDS: usize = 1000;

/// Runs that differ in their seed, in one folder.
#[derive(Clone, Debug, PartialEq)]
pub struct Seeds {
    folder: PathBuf,
    seeds: Vec<u64>,
    init: Option<Inherited>,
}

impl Seeds {
    /// Checks that new runs may be written to a folder, as [`Seeds::begin`] does.
    ///
    /// # Errors
    /// If the folder holds other files, or a run in it has taken a step.
    pub fn check_output(folder: &Path) -> Result<()> {
        check_named(folder)?;
        holds_only(folder, &|name| {
            name == SEEDS || seed_of(name).is_some() || name.starts_with(".tmp")
        })?;
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                Folder::new(&path)?;
            }
        }
        Ok(())
    }

    /// Begins `count` runs, with the seeds from `options.seed` on, in the folder `options.output`.
    /// None of them takes a step: [`Trainer::resume`] trains each.
    ///
    /// # Errors
    /// As [`Trainer::new`], and if there is no folder or the number of runs is out of range.
    pub fn begin(model: &Model, data: &Dataset, options: &Options, count: usize) -> Result<Self> {
        let Some(folder) = &options.output else {
            return Err(Error::usage("expected a folder for the runs, found none")
                .help("name it in the option `output`"));
        };
        let last = options.seed.checked_add(count as u64);
        if !(1..=MOST_SEEDS).contains(&count) || last.is_none() {
            let message = format!("expected a number of runs from 1 to {MOST_SEEDS}");
            return Err(Error::option("seeds", count, message).help("train fewer runs"));
        }
        Self::check_output(folder)?;
        let list = folder.join(SEEDS);
        match fs::remove_file(&list) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::file(&list, "cannot be replaced", error));
            }
            _ => {}
        }
        let mut seeds = Seeds {
            init: None,
            folder: folder.clone(),
            seeds: (options.seed..).take(count).collect(),
        };
        for seed in seeds.seeds.clone() {
            let output = Some(seeds.run_folder(seed));
            let trainer = Trainer::new(
                model,
                data,
                Options {
                    seed,
                    output,
                    ..options.clone()
                },
            )?;
            seeds.init = trainer.summary().init.clone();
        }
        let text = json!({ "seeds": seeds.seeds }).to_string() + "\n";
        write_whole(&list, text.as_bytes())?;
        Ok(seeds)
    }

    /// Whether a folder has runs that differ in their seed.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(SEEDS).exists()
    }

    /// Opens the folder of such runs.
    ///
    /// # Errors
    /// If the list of seeds is missing or damaged.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        check_named(folder)?;
        let path = folder.join(SEEDS);
        let read = files::open(&path).and_then(|file| files::read_at_most(file, MOST_TEXT));
        let bytes = read.map_err(|error| Error::file(&path, "cannot be read", error))?;
        let mut fields = Fields::parse(path.display().to_string(), &bytes, RESTORE)?;
        let seeds: Vec<u64> = fields.take("seeds")?;
        if !(1..=MOST_SEEDS).contains(&seeds.len()) {
            let found = seeds.len();
            return Err(fields.refused(format!("expected 1 to {MOST_SEEDS} seeds, found {found}")));
        }
        fields.finish()?;
        Ok(Seeds {
            folder: folder.to_path_buf(),
            seeds,
            init: None,
        })
    }

    /// What the runs took from another one, if they have just begun with its parameters.
    pub fn init(&self) -> Option<&Inherited> {
        self.init.as_ref()
    }

    /// The folder of all runs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The seeds, in the order of training.
    pub fn seeds(&self) -> &[u64] {
        &self.seeds
    }

    /// The folder of the run with a seed.
    pub fn run_folder(&self, seed: u64) -> PathBuf {
        self.folder.join(format!("seed{seed}"))
    }

    /// The folder of each run, in the order of training.
    pub fn run_folders(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.seeds.iter().map(|seed| self.run_folder(*seed))
    }

    /// How far each run is and how good.
    ///
    /// # Errors
    /// If a run is missing or cannot be read.
    pub fn overview(&self) -> Result<Vec<RunOverview>> {
        self.run_folders()
            .map(|folder| RunOverview::new(&folder))
            .collect()
    }

    /// The mean and the standard deviation over the runs of their scores on held-out rows.
    ///
    /// # Errors
    /// If a run is missing or cannot be read.
    pub fn scores(&self) -> Result<SeedScores> {
        Ok(SeedScores::new(&self.overview()?))
    }
}

/// The seed in the name of a run's folder.
fn seed_of(name: &str) -> Option<u64> {
    name.strip_prefix("seed")?.parse().ok()
}

/// A mean and a standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedSpread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation of a sample, with n − 1 in the denominator; `None` of one number.
    pub deviation: Option<f64>,
}

impl SeedSpread {
    /// The mean and the standard deviation of numbers; `None` without any.
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
        (!numbers.is_empty()).then(|| SeedSpread {
            mean,
            deviation: (numbers.len() > 1).then(|| (squares / (count - 1.0)).sqrt()),
        })
    }
}

impl fmt::Display for SeedSpread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.mean)?;
        self.deviation
            .map_or(Ok(()), |deviation| write!(f, " ± {deviation:.2}"))
    }
}

/// The scores of runs that differ in their seed, on held-out rows. Each is of a run's best epoch if it
/// chooses one, else of the last. `Display` prints a line for each score.
#[derive(Clone, Debug, PartialEq)]
pub struct SeedScores {
    /// The number of runs.
    pub runs: usize,
    /// The rows that the scores are of: `validation` or `test`.
    pub part: Option<&'static str>,
    /// The error of each label, as a fraction, by label; a single label has no name.
    pub errors: BTreeMap<String, SeedSpread>,
    /// The root mean squared error of each numeric label, by label; a single label has no name.
    pub rmse: BTreeMap<String, SeedSpread>,
    /// The bound, in nats per row.
    pub bound: Option<SeedSpread>,
}

impl SeedScores {
    fn new(runs: &[RunOverview]) -> Self {
        let spreads = |scores: fn(&RunOverview) -> &BTreeMap<String, f64>| {
            let labels = runs.first().into_iter().flat_map(|run| scores(run).keys());
            let spread = |label: &String| {
                let each = runs
                    .iter()
                    .filter_map(|run| scores(run).get(label).copied());
                let each: Vec<f64> = each.collect();
                Some((label.clone(), SeedSpread::of(&each)?))
            };
            labels.filter_map(spread).collect()
        };
        let bounds: Vec<f64> = runs.iter().filter_map(|run| run.bound).collect();
        SeedScores {
            runs: runs.len(),
            part: runs.iter().find_map(|run| run.part),
            errors: spreads(|run| &run.errors),
            rmse: spreads(|run| &run.rmse),
            bound: SeedSpread::of(&bounds),
        }
    }
}

impl fmt::Display for SeedScores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds = if self.runs == 1 { "seed" } else { "seeds" };
        let Some(part) = self.part else {
            return writeln!(
                f,
                "{} {seeds}, without scores of held-out rows; hold some out with the option `validation`",
                self.runs
            );
        };
        writeln!(f, "{} {seeds}, mean ± standard deviation", self.runs)?;
        let of = |label: &str| match label {
            "" => String::new(),
            label => format!(" of {label}"),
        };
        for (label, error) in &self.errors {
            let of = of(label);
            let percent = SeedSpread {
                mean: 100.0 * error.mean,
                deviation: error.deviation.map(|deviation| 100.0 * deviation),
            };
            writeln!(f, "  {part} error{of}: {percent} %")?;
        }
        for (label, rmse) in &self.rmse {
            writeln!(f, "  {part} RMSE{}: {rmse}", of(label))?;
        }
        match &self.bound {
            Some(bound) => writeln!(f, "  {part} bound: {bound} nats per row"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SeedSpread;

    /// The numbers are those of `statistics.mean` and `statistics.stdev` in Python.
    #[test]
    fn a_spread_is_that_of_a_sample() {
        let spread = SeedSpread::of(&[2.0, 4.0, 4.0, 5.0]).expect("numbers");
        assert_eq!(spread.mean, 3.75);
        assert!((spread.deviation.expect("several") - 1.258_305_739_211_791_7).abs() < 1e-15);
        assert_eq!(spread.to_string(), "3.75 ± 1.26");
        assert_eq!(
            SeedSpread::of(&[1.5]),
            Some(SeedSpread {
                mean: 1.5,
                deviation: None
            })
        );
        assert_eq!(SeedSpread::of(&[]), None);
    }
}
