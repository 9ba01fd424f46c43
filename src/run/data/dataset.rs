//! A data set for a model: training rows and optional test rows.

use super::{
    checks::check_source,
    data_files::DataFiles,
    frame::{Frame, name_classes},
    labels::KnownLabels,
    load::{load_files, whole_path},
    origin::RowOrigins,
    source::Source,
    table::Table,
    tables::{ClassNames, ColumnNames, DataArray, KnownNames, Tables, variable_of},
};
use crate::{
    error::{Error, Result},
    model::Model,
};
use sha2::{Digest, Sha256};
use std::{path::Path, sync::Arc};

/// Training rows, and optional test and validation rows.
///
/// Every row has a value of each data variable of the model. Labels may be missing.
#[derive(Clone, Debug)]
pub struct Dataset {
    pub(crate) train: Arc<dyn Source>,
    pub(crate) test: Option<Arc<dyn Source>>,
    pub(crate) validation: Option<Arc<dyn Source>>,
    /// The names of arrays that are not variables of the model.
    others: Vec<String>,
    /// The names or paths that the data were read from; `None` for data in memory.
    files: Option<DataFiles>,
    class_names: ClassNames,
    columns: ColumnNames,
    /// Where the training, test and validation rows come from, as far as it is known.
    pub(crate) origins: RowOrigins,
}

impl Dataset {
    /// Reads a data set for a model: `mnist` for the bundled excerpt of 10,000 rows; a folder of PNG and
    /// JPEG images or of idx files; an `.npz` or `.safetensors` file with an array for each observed
    /// variable, such as `x` and `y`, or a folder with such arrays as `.npy` files; a `.csv`, `.tsv` or
    /// `.parquet` table with columns for each; or an `.h5ad` file of AnnData. Arrays named `test.x` and
    /// `test.y` hold the test rows, `validation.x` and `validation.y` rows that are held out. A matrix may
    /// be sparse; large arrays stay in files.
    ///
    /// # Errors
    /// If there is no such data set, it cannot be read, or it does not fit the model.
    pub fn open(source: impl AsRef<Path>, model: &Model) -> Result<Self> {
        Self::open_with(source, model, None)
    }

    /// As [`Dataset::open`], for a run: columns and classes by name are those that the run knows.
    ///
    /// # Errors
    /// As [`Dataset::open`], or if a column is missing or a class has another name.
    pub(crate) fn open_with(
        source: impl AsRef<Path>,
        model: &Model,
        known: Option<KnownNames>,
    ) -> Result<Self> {
        let source = source.as_ref().display().to_string();
        Self::open_files_with(&source.into(), model, known)
    }

    /// As [`Dataset::open`], for a data set whose validation and test rows may be in files of their own.
    /// Each of these has the rows of one part. Its columns and the names of its classes are those of the
    /// training rows.
    ///
    /// # Errors
    /// As [`Dataset::open`], or if the files do not fit together.
    pub fn open_files(files: &DataFiles, model: &Model) -> Result<Self> {
        Self::open_files_with(files, model, None)
    }

    /// As [`Dataset::open_files`], for a run: columns and classes by name are those that the run knows.
    ///
    /// # Errors
    /// As [`Dataset::open_files`], or if a column is missing or a class has another name.
    pub(crate) fn open_files_with(
        files: &DataFiles,
        model: &Model,
        known: Option<KnownNames>,
    ) -> Result<Self> {
        let tables = load_files(files, model, known)?;
        Ok(Self::of_tables(tables, Some(files.map(whole_path))))
    }

    /// A data set from arrays in memory: one for each observed variable, whose first axis is the
    /// row. The array of a label has classes from 0, and −1 for unlabelled rows, or the names of classes
    /// as texts; it is optional.
    /// Arrays named `test.x` and `test.y` hold the test rows, `validation.x` and `validation.y` rows
    /// that are held out. Arrays that are not variables of the
    /// model are ignored; [`Dataset::others`] lists them.
    ///
    /// # Errors
    /// If an array is missing, is given twice, has the wrong shape, or has values outside its
    /// variable's domain; or if an array is named after a variable that the model infers.
    pub fn from_arrays(model: &Model, arrays: impl IntoIterator<Item = DataArray>) -> Result<Self> {
        Self::from_arrays_with(model, arrays.into_iter().collect(), None)
    }

    /// As [`Dataset::from_arrays`], for a run: classes by name are those that the run knows.
    ///
    /// # Errors
    /// As [`Dataset::from_arrays`], or if a class has another name.
    pub(crate) fn from_arrays_with(
        model: &Model,
        arrays: Vec<DataArray>,
        known: Option<KnownNames>,
    ) -> Result<Self> {
        let given = model.read_variables();
        let inferred = arrays.iter().find_map(|array| {
            let name = variable_of(array.name());
            let is_given = given.iter().any(|variable| variable.name == name);
            let mut variables = model.variables.iter();
            variables.find(|variable| !is_given && variable.name == name)
        });
        if let Some(variable) = inferred {
            let message = format!("data: the model infers `{}`", variable.name);
            return Err(Error::data(message).help("omit the array"));
        }
        let arrays = name_classes(model, arrays, known)?;
        let tables = Tables::new(model, &arrays, "data")?;
        let dataset = Self::of_tables(tables, None);
        dataset.check(model)?;
        Ok(dataset)
    }

    /// A data set from a table in memory. Its columns become variables as those of a CSV file do: a
    /// variable takes the column of its name, or the columns of its name and a number, or all numeric
    /// columns that nothing else takes. A column `split` says which rows are for training, for testing
    /// and for validation.
    ///
    /// # Errors
    /// If a variable has no columns, or a value does not fit its variable.
    pub fn from_frame(model: &Model, frame: &Frame) -> Result<Self> {
        Self::from_frame_with(model, frame, None)
    }

    /// As [`Dataset::from_frame`], for a run: columns and classes by name are those that the run knows.
    ///
    /// # Errors
    /// As [`Dataset::from_frame`], or if a column is missing or a class has another name.
    pub(crate) fn from_frame_with(
        model: &Model,
        frame: &Frame,
        known: Option<KnownNames>,
    ) -> Result<Self> {
        let tables = Tables::of_file(model, frame.arrays(model, known)?, "data")?;
        let dataset = Self::of_tables(tables, None);
        for rows in [
            Some(&dataset.train),
            dataset.test.as_ref(),
            dataset.validation.as_ref(),
        ] {
            if let Some(rows) = rows.filter(|rows| rows.rows() > 0) {
                KnownLabels::read(model, &**rows, "data")?.check("data")?;
            }
        }
        Ok(dataset)
    }

    /// A data set from custom sources.
    ///
    /// # Errors
    /// If a source lacks a data variable, has one with another width, or has no rows.
    pub fn from_sources(
        model: &Model,
        train: Arc<dyn Source>,
        test: Option<Arc<dyn Source>>,
    ) -> Result<Self> {
        let dataset = Dataset {
            train,
            test,
            validation: None,
            others: Vec::new(),
            files: None,
            class_names: ClassNames::new(),
            columns: ColumnNames::new(),
            origins: RowOrigins::default(),
        };
        dataset.check(model)?;
        Ok(dataset)
    }

    pub(crate) fn of_tables(tables: Tables, files: Option<DataFiles>) -> Self {
        let share = |table: Table| -> Arc<dyn Source> { table.into() };
        Dataset {
            train: share(tables.train),
            test: tables.test.map(share),
            validation: tables.validation.map(share),
            others: tables.others,
            files,
            class_names: tables.class_names,
            columns: tables.columns,
            origins: tables.origins,
        }
    }

    fn check(&self, model: &Model) -> Result<()> {
        for (place, source) in [
            ("data", Some(&self.train)),
            ("test data", self.test.as_ref()),
            ("validation data", self.validation.as_ref()),
        ] {
            if let Some(source) = source {
                check_source(
                    model,
                    &**source,
                    &|variable| variable.role.is_always_observed(),
                    place,
                )?;
                KnownLabels::read(model, &**source, place)?.check(place)?;
            }
        }
        Ok(())
    }

    /// The training rows.
    pub fn train(&self) -> &dyn Source {
        &*self.train
    }

    /// The test rows, if the data set has any.
    pub fn test(&self) -> Option<&dyn Source> {
        self.test.as_deref()
    }

    /// The rows that the data set itself holds out for validation, if it has any.
    pub fn validation(&self) -> Option<&dyn Source> {
        self.validation.as_deref()
    }

    /// The names of the arrays that are not variables of the model, and so are not used.
    pub fn others(&self) -> &[String] {
        &self.others
    }

    /// The columns of each variable that took all columns that nothing else took.
    pub(crate) fn columns(&self) -> &ColumnNames {
        &self.columns
    }

    /// The names of the classes of each variable whose classes have names in the data.
    pub fn class_names(&self) -> &ClassNames {
        &self.class_names
    }

    /// The name or path for [`Dataset::open`]; `None` for data in memory.
    pub fn name(&self) -> Option<&str> {
        self.files.as_ref().map(DataFiles::name)
    }

    /// The names or paths for [`Dataset::open_files`]; `None` for data in memory.
    pub fn files(&self) -> Option<&DataFiles> {
        self.files.as_ref()
    }

    /// A fingerprint of the values: the first 16 hexadecimal digits of their SHA-256 hash.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for source in std::iter::once(&self.train).chain(&self.test) {
            source.digest(&mut |bytes| hash.update(bytes))?;
        }
        if let Some(source) = &self.validation {
            // The same rows as test rows are other data.
            hash.update("validation");
            source.digest(&mut |bytes| hash.update(bytes))?;
        }
        let digits = hash.finalize();
        Ok(digits[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect())
    }
}
