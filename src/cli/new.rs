//! `dgc new`: a first model for a table.

use super::{
    arguments::{check_file, check_folder},
    terminal::{print, write_output},
};
use crate::{Error, Recipe, Result, draft, drafts, is_standard};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Write a first model for a table
///
/// The model has a variable for the numeric columns, one for each column of names, and the label. Its
/// comments say what each is. It trains as it is: `dgc train MODEL --data FILE`.
#[derive(Args)]
#[command(after_help = "Examples:
  dgc new wine.csv --label species -o wine.dgm
  dgc new wine.csv --label species --recipe all -o wine")]
pub(super) struct New {
    /// The table, a .csv, .tsv or .parquet file
    data: PathBuf,
    /// The column to predict; its values are classes or numbers, and may be missing in some rows
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The kind of model
    #[arg(long, value_enum, default_value_t = RecipeName::Joint)]
    recipe: RecipeName,
    /// The model file to write, NAME.dgm; `-` is standard output. With `--recipe all`, a new folder
    #[arg(short, long, value_name = "FILE|FOLDER")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RecipeName {
    /// A density of the data and, for a label of classes, M2 with virtual adversarial training
    Joint,
    /// For classes: M2 alone
    Generative,
    /// For classes: a classifier with virtual adversarial training and information maximisation
    Consistent,
    /// For classes: logistic regression on the labelled rows
    Linear,
    /// For a label that is a number, even if it has few different values
    Regression,
    /// Several for classes, in a folder; the mean of their predictions errs less than each on most tables
    All,
}

impl From<Recipe> for RecipeName {
    fn from(recipe: Recipe) -> Self {
        match recipe {
            Recipe::Joint => RecipeName::Joint,
            Recipe::Generative => RecipeName::Generative,
            Recipe::Consistent => RecipeName::Consistent,
            Recipe::Linear => RecipeName::Linear,
            Recipe::Regression => RecipeName::Regression,
        }
    }
}

impl New {
    pub fn run(self) -> Result<()> {
        let label = self.label.as_deref();
        let recipe = Recipe::ALL
            .into_iter()
            .find(|recipe| self.recipe == RecipeName::from(*recipe));
        match (recipe, label) {
            (Some(recipe), _) => self.write(label, recipe),
            (None, Some(label)) => self.write_all(label),
            (None, None) => {
                let message = "expected a label for models of all recipes";
                Err(Error::option("recipe", "all", message).help("name a column with `--label`"))
            }
        }
    }

    fn write(&self, label: Option<&str>, recipe: Recipe) -> Result<()> {
        check_file(&self.output, &["dgm"], &[&self.data])?;
        if !is_standard(&self.output) {
            check_new(&self.output, "file")?;
        }
        let text = draft(&self.data, label, recipe)?;
        write_output(&self.output, text.as_bytes())?;
        if is_standard(&self.output) {
            return Ok(());
        }
        let (model, data) = (self.output.display(), self.data.display());
        print(&format!(
            "wrote {model}; train it with: dgc train {model} --data {data}\n"
        ))
    }

    fn write_all(&self, label: &str) -> Result<()> {
        let folder = &self.output;
        check_folder(folder, "models")?;
        check_new(folder, "folder")?;
        let texts = drafts(&self.data, label)?;
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::file(folder, "cannot be created", error))?;
        let (mut trained, mut runs) = (String::new(), String::new());
        for (recipe, text) in texts {
            let path = folder.join(format!("{}.dgm", recipe.name()));
            write_output(&path, text.as_bytes())?;
            let run = path.with_extension("");
            let run = Path::new("runs").join(run);
            trained += &format!(
                "  dgc train {} --data {} -o {}\n",
                path.display(),
                self.data.display(),
                run.display()
            );
            runs += &format!(" {}", run.display());
        }
        print(&format!(
            "wrote {}; train the models, and average their predictions:\n{trained}  dgc predict{runs} -o labels.csv\n",
            folder.display()
        ))
    }
}

fn check_new(path: &Path, what: &str) -> Result<()> {
    if path.exists() {
        let message = format!("{}: the {what} exists", path.display());
        return Err(Error::usage(message).help("choose another name, or remove it"));
    }
    Ok(())
}
