//! Building tables from arrays that are named after a model's variables.

pub use super::names::{ClassNames, ColumnNames, KnownNames};
use super::{
    bytes::Bytes,
    checks::{
        check_classes, check_shape, check_values, missing_array, no_rows, too_many_rows, width,
    },
    csr::{Csr, CsrParts, Order},
    dense::DenseArray,
    memory::MemoryArray,
    origin::RowOrigins,
    parts::{PREFIXES, RowParts, is_test},
    source::chunks,
    stored::Stored,
    table::{Column, Table, Values},
    values::ColumnValues,
};
use crate::{
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Variable},
    run::arrays::{NamedArray, check_elements},
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

/// The training rows and, if the data have them, the test and the validation rows.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The training rows.
    pub train: Table,
    /// The test rows.
    pub test: Option<Table>,
    /// The rows that are held out for validation.
    pub validation: Option<Table>,
    /// The names of arrays that are not variables of the model.
    pub others: Vec<String>,
    /// The names of the classes of variables whose classes have names in the data.
    pub class_names: ClassNames,
    /// The columns of variables that took all columns that nothing else took.
    pub columns: ColumnNames,
    /// Where the rows of each part come from, if they have names or numbers there.
    pub origins: RowOrigins,
}

/// The arrays of a data set that was read for a model.
pub struct FileArrays {
    /// The arrays.
    pub arrays: Vec<DataArray>,
    /// Where the rows come from.
    pub origins: RowOrigins,
    /// Whether all rows are test rows. Their arrays are then named as those of training rows are.
    pub is_test: bool,
}

impl From<Vec<DataArray>> for FileArrays {
    fn from(arrays: Vec<DataArray>) -> Self {
        FileArrays {
            arrays,
            origins: RowOrigins::default(),
            is_test: false,
        }
    }
}

/// The array of a variable: its first axis is the row, and the others are the variable's axes.
#[derive(Clone, Debug)]
pub struct DataArray {
    name: String,
    shape: Vec<usize>,
    numbers: Numbers,
    class_names: Vec<String>,
    columns: Vec<String>,
}

/// The numbers of an array, row-major, in one of the supported types.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// Single precision.
    F32(Vec<f32>),
    /// Double precision, which is rounded to single.
    F64(Vec<f64>),
    /// Bytes, as numbers from 0 to 255.
    U8(Vec<u8>),
    /// Whole numbers, such as classes.
    I64(Vec<i64>),
    /// The texts of a class variable, which name its classes.
    Texts(ColumnValues),
    /// Numbers from a file, in its type.
    #[doc(hidden)]
    Stored(Arc<Stored>),
}

impl From<Vec<f32>> for Numbers {
    fn from(numbers: Vec<f32>) -> Self {
        Numbers::F32(numbers)
    }
}

impl From<ColumnValues> for Numbers {
    fn from(values: ColumnValues) -> Self {
        match values {
            ColumnValues::Numbers(numbers) => Numbers::F64(numbers),
            texts => Numbers::Texts(texts),
        }
    }
}

impl From<Vec<f64>> for Numbers {
    fn from(numbers: Vec<f64>) -> Self {
        Numbers::F64(numbers)
    }
}

impl From<Vec<u8>> for Numbers {
    fn from(numbers: Vec<u8>) -> Self {
        Numbers::U8(numbers)
    }
}

impl From<Vec<i64>> for Numbers {
    fn from(numbers: Vec<i64>) -> Self {
        Numbers::I64(numbers)
    }
}

impl Numbers {
    /// The number of numbers; `None` if the shape of the file's array says it.
    fn len(&self) -> Option<usize> {
        match self {
            Numbers::F32(numbers) => Some(numbers.len()),
            Numbers::F64(numbers) => Some(numbers.len()),
            Numbers::U8(numbers) => Some(numbers.len()),
            Numbers::I64(numbers) => Some(numbers.len()),
            Numbers::Texts(texts) => Some(texts.len()),
            Numbers::Stored(_) => None,
        }
    }

    fn double(&self) -> Result<Cow<'_, [f64]>> {
        Ok(match self {
            Numbers::F32(numbers) => numbers.iter().map(|&x| f64::from(x)).collect(),
            Numbers::F64(numbers) => Cow::Borrowed(numbers),
            Numbers::U8(numbers) => numbers.iter().map(|&x| f64::from(x)).collect(),
            Numbers::I64(numbers) => numbers.iter().map(|&x| x as f64).collect(),
            Numbers::Texts(_) => {
                return Err(Error::data("expected numbers, found texts")
                    .help("texts name the classes of variables of the type `class`"));
            }
            Numbers::Stored(stored) => Cow::Owned(stored.doubles()?),
        })
    }

    fn single(&self) -> Result<Vec<f32>> {
        match self {
            Numbers::F32(numbers) => Ok(numbers.clone()),
            _ => Ok(self.double()?.iter().map(|&x| x as f32).collect()),
        }
    }
}

impl DataArray {
    /// The array of the variable `name`; `shape` begins with the number of rows. Test rows are
    /// named `test.NAME`, validation rows `validation.NAME`.
    pub fn new(
        name: impl Into<String>,
        shape: impl AsRef<[usize]>,
        numbers: impl Into<Numbers>,
    ) -> Self {
        DataArray {
            name: name.into(),
            shape: shape.as_ref().to_vec(),
            numbers: numbers.into(),
            class_names: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// The array of the variable `name` whose numbers stay in the memory where they lie, row-major, in
    /// their type.
    ///
    /// # Errors
    /// If the shape has another number of numbers.
    pub fn in_memory(
        name: impl Into<String>,
        shape: impl AsRef<[usize]>,
        numbers: impl Into<MemoryArray>,
    ) -> Result<Self> {
        let (name, shape, numbers) = (name.into(), shape.as_ref(), numbers.into());
        check_elements(&format!("data: `{name}`"), shape, numbers.len())?;
        let dense = dense(numbers, shape.to_vec());
        Ok(Self::stored(name, Stored::Dense(dense)))
    }

    /// The array of the variable `name` as a sparse matrix in compressed rows, as scipy's `csr_matrix`:
    /// the numbers that are not 0, the column of each, and for each row the place of its first number,
    /// with the end of the last row. `shape` is the numbers of rows and of columns.
    ///
    /// # Errors
    /// If the arrays do not fit together.
    pub fn sparse(
        name: impl Into<String>,
        shape: [usize; 2],
        numbers: impl Into<MemoryArray>,
        columns: impl Into<MemoryArray>,
        starts: impl Into<MemoryArray>,
    ) -> Result<Self> {
        let name = name.into();
        let flat = |array: MemoryArray| {
            let len = array.len();
            dense(array, vec![len])
        };
        let parts = CsrParts {
            data: ("data", flat(numbers.into())),
            indices: ("indices", flat(columns.into())),
            indptr: ("indptr", flat(starts.into())),
            shape: ("shape", shape),
            order: Order::Rows,
        };
        let csr = Csr::new(parts, format!("data: `{name}`").as_ref())?;
        Ok(Self::stored(name, Stored::Sparse(csr)))
    }

    /// An array that stays where it lies.
    pub(super) fn stored(name: impl Into<String>, stored: Stored) -> Self {
        DataArray {
            name: name.into(),
            shape: stored.shape(),
            numbers: Numbers::Stored(Arc::new(stored)),
            class_names: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// An array that is not read. Its name is kept for notes, and for suggestions if a variable is
    /// misspelt.
    pub(super) fn unread(name: &str) -> Self {
        DataArray::new(name, [], Vec::<f32>::new())
    }

    /// The arrays of the rows of each part of an array, for the parts that have rows. If all rows are
    /// test rows, their array has the name of training rows.
    #[cfg_attr(
        not(any(feature = "h5ad", feature = "images", feature = "parquet")),
        allow(dead_code, reason = "no reader")
    )]
    pub(super) fn in_parts(name: &str, stored: Stored, parts: Option<&RowParts>) -> Vec<Self> {
        let Some(parts) = parts else {
            return vec![DataArray::stored(name, stored)];
        };
        let stored = Arc::new(stored);
        let named = parts
            .iter()
            .zip(PREFIXES)
            .filter(|(rows, _)| !rows.is_empty());
        let arrays = named.map(|(rows, prefix)| {
            let prefix = match is_test(parts) && prefix == PREFIXES[1] {
                true => "",
                false => prefix,
            };
            DataArray::stored(format!("{prefix}{name}"), stored.select(rows.clone()))
        });
        arrays.collect()
    }

    /// The array of a variable whose numbers are from columns with these names.
    pub fn with_columns(self, columns: Vec<String>) -> Self {
        DataArray { columns, ..self }
    }

    /// The array of a variable whose classes have these names: that of class 0 is the first.
    pub fn with_class_names(self, class_names: Vec<String>) -> Self {
        DataArray {
            class_names,
            ..self
        }
    }

    /// The texts of a class variable, if the array has any.
    pub(super) fn texts(&self) -> Option<&ColumnValues> {
        match &self.numbers {
            Numbers::Texts(texts) => Some(texts),
            _ => None,
        }
    }

    /// The array's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sizes of the axes; the first is the row.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The numbers of a row.
    pub(super) fn width(&self) -> usize {
        self.shape.iter().skip(1).product()
    }

    /// Whether the type of the numbers is one of whole numbers.
    pub(super) fn is_whole(&self) -> bool {
        match &self.numbers {
            Numbers::F32(_) | Numbers::F64(_) | Numbers::Texts(_) => false,
            Numbers::U8(_) | Numbers::I64(_) => true,
            Numbers::Stored(stored) => stored.is_whole(),
        }
    }

    /// All numbers, in double precision.
    pub(super) fn doubles(&self) -> Result<Cow<'_, [f64]>> {
        self.numbers.double()
    }
}

/// An array of numbers in memory, which are as many as its shape says.
fn dense(numbers: MemoryArray, shape: Vec<usize>) -> DenseArray {
    let bytes = Bytes::Shared(numbers.memory, 0);
    DenseArray::new(bytes, numbers.element, shape).expect("the shape was checked")
}

impl TryFrom<DataArray> for NamedArray {
    type Error = Error;

    /// The array with all of its numbers. An error if its file cannot be read.
    fn try_from(array: DataArray) -> Result<Self> {
        Ok(NamedArray {
            data: array.numbers.double()?.into_owned(),
            name: array.name,
            shape: array.shape,
        })
    }
}

impl From<NamedArray> for DataArray {
    fn from(array: NamedArray) -> Self {
        DataArray::new(array.name, array.shape, array.data)
    }
}

impl Tables {
    /// Builds the tables of the arrays of a file, as [`Tables::new`].
    ///
    /// # Errors
    /// As [`Tables::new`].
    pub fn of_file(model: &Model, file: FileArrays, place: &str) -> Result<Self> {
        let mut tables = Tables::new(model, &file.arrays, place)?;
        if file.is_test {
            tables.test = Some(std::mem::take(&mut tables.train));
        }
        tables.origins = file.origins;
        Ok(tables)
    }

    /// Builds the tables of a model's variables. Messages use `place` as the name of the data.
    ///
    /// # Errors
    /// If two arrays have the same name, or a data variable is missing, has the wrong shape, or has
    /// values outside its domain. If a label is missing, all rows are unlabelled.
    pub fn new(model: &Model, arrays: &[DataArray], place: &str) -> Result<Self> {
        check_different_names(arrays, place)?;
        let train = table(model, arrays, "", place)?;
        let part = |prefix: &str| {
            let has_part = arrays.iter().any(|array| array.name.starts_with(prefix));
            has_part
                .then(|| table(model, arrays, prefix, place))
                .transpose()
        };
        let (test, validation) = (part("test.")?, part("validation.")?);
        let others = arrays
            .iter()
            .map(|array| array.name.clone())
            .filter(|name| !is_wanted(model, name))
            .collect();
        let names = |of: fn(&DataArray) -> &Vec<String>| {
            let named = arrays.iter().filter(|array| !of(array).is_empty());
            let named =
                named.map(|array| (variable_of(&array.name).to_string(), of(array).clone()));
            named.collect()
        };
        Ok(Tables {
            train,
            test,
            validation,
            others,
            class_names: names(|array| &array.class_names),
            columns: names(|array| &array.columns),
            origins: RowOrigins::default(),
        })
    }
}

/// Checks that no two arrays have the same name.
fn check_different_names(arrays: &[DataArray], place: &str) -> Result<()> {
    let mut names = BTreeSet::new();
    match arrays.iter().find(|array| !names.insert(array.name())) {
        None => Ok(()),
        Some(array) => {
            let message = format!("{place}: there are two arrays `{}`", array.name);
            Err(Error::data(message).help("omit one of them, or change its name"))
        }
    }
}

/// The variable that an array of training, test or validation rows is named after.
pub fn variable_of(name: &str) -> &str {
    let part = ["test.", "validation."];
    part.iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// One more than the greatest number; `None` if all are below 0.
pub fn count_of_classes(classes: impl Iterator<Item = f64>) -> Option<usize> {
    let greatest = classes.fold(-1.0, f64::max);
    (greatest >= 0.0).then_some(greatest as usize + 1)
}

/// Whether an array has the name of a variable of the model, for rows of any part.
pub fn is_wanted(model: &Model, name: &str) -> bool {
    let name = variable_of(name);
    model
        .read_variables()
        .iter()
        .any(|variable| variable.name == name)
}

/// The name of the only data variable that has none of the arrays `taken`, which takes `what`.
///
/// # Errors
/// If there is no such variable, or there are several.
#[cfg(feature = "npz")]
pub fn remaining<'m>(model: &'m Model, taken: &[&str], what: &str, place: &str) -> Result<&'m str> {
    let given = model.read_variables().into_iter();
    let data = given.filter(|variable| !variable.is_optional());
    let names: Vec<&str> = data.map(|variable| variable.name.as_str()).collect();
    let mut free = names.iter().copied().filter(|name| !taken.contains(name));
    match (free.next(), free.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => {
            let message =
                format!("{place}: every data variable has an array, so none takes {what}");
            Err(Error::data(message).help("omit one of the arrays"))
        }
        (Some(first), Some(second)) => {
            let message = format!("{place}: both `{first}` and `{second}` may take {what}");
            Err(Error::data(message).help(format!(
                "add an array for one of them: `{first}` or `{second}`"
            )))
        }
    }
}

fn table(model: &Model, arrays: &[DataArray], prefix: &str, place: &str) -> Result<Table> {
    let mut table = Table::default();
    // The array that sets the number of rows.
    let mut first = None;
    // A missing label becomes a column of unlabelled rows, with the number of rows of the others.
    let (optional, data): (Vec<&Variable>, Vec<&Variable>) = model
        .read_variables()
        .into_iter()
        .partition(|variable| variable.is_optional());
    for variable in data.into_iter().chain(optional) {
        let name = format!("{prefix}{}", variable.name);
        let Some(array) = arrays.iter().find(|array| array.name == name) else {
            if variable.is_optional() && !table.columns.is_empty() {
                table.columns.push(unlabelled(variable, table.rows));
                continue;
            }
            let names: Vec<&str> = arrays.iter().map(DataArray::name).collect();
            return Err(missing_array(&name, &names, place));
        };
        let rows = array.shape.first().copied().unwrap_or(0);
        let column = column(variable, array, &format!("{place}: `{name}`"))?;
        let (first, expected) = first.get_or_insert_with(|| (name.clone(), rows));
        if rows != *expected {
            return Err(Error::data(format!(
                "{place}: `{first}` has {expected} rows, but `{name}` has {rows}"
            ))
            .help("give all arrays the same number of rows"));
        }
        table.rows = rows;
        table.columns.push(column);
    }
    if table.rows == 0 {
        return Err(no_rows(place));
    }
    Ok(table)
}

/// The column of a label, or of weights, that all rows lack.
pub fn unlabelled(label: &Variable, rows: usize) -> Column {
    Column {
        name: label.name.clone(),
        width: width(label),
        values: match label.is_class() {
            true => Values::Classes(vec![-1; rows]),
            false => Values::Floats(vec![label.unknown(); rows * width(label)]),
        },
    }
}

fn column(variable: &Variable, array: &DataArray, place: &str) -> Result<Column> {
    let name = variable.name.clone();
    if let Some(len) = array.numbers.len() {
        check_elements(place, &array.shape, len)?;
    }
    let rows = array.shape.first().copied().unwrap_or(0);
    if u32::try_from(rows).is_err() {
        return Err(too_many_rows(place, rows));
    }
    if variable.domain == Domain::Class {
        if array.shape.len() != 1 {
            let message = format!("{place}: unexpected shape {:?}", array.shape);
            return Err(Error::data(message).help("expected one class per row, with shape [rows]"));
        }
        let classes = check_classes(variable, &array.numbers.double()?, place)?;
        return Ok(Column {
            name,
            width: 1,
            values: Values::Classes(classes),
        });
    }
    check_shape(variable, array.shape.get(1..).unwrap_or(&[]), place)?;
    if let Numbers::Stored(stored) = &array.numbers
        && variable.size() > 1
    {
        check_stored(variable, stored, place)?;
        return Ok(Column {
            name,
            width: variable.size(),
            values: Values::Stored(Arc::clone(stored)),
        });
    }
    let values = array.numbers.single()?;
    check_values(variable, 0, values.iter().copied(), place)?;
    Ok(Column {
        name,
        width: variable.size(),
        values: Values::Floats(values),
    })
}

/// Checks the values of an array of a file, in parts.
fn check_stored(variable: &Variable, stored: &Stored, place: &str) -> Result<()> {
    stored.check(place)?;
    let width = variable.size();
    let rows = stored.shape().first().copied().unwrap_or(0);
    let mut values = Vec::new();
    for chunk in chunks(rows, width) {
        values.resize(chunk.len() * width, 0.0);
        stored.read(&chunk, &mut values)?;
        check_values(variable, chunk[0] as usize, values.iter().copied(), place)?;
    }
    Ok(())
}
