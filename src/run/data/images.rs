//! Folders of images as data sets.
//!
//! ```text
//! animals/cat/1.png         animals/train/cat/1.png         scans/labels.csv
//! animals/cat/2.png         animals/train/dog/2.png         scans/1.jpg
//! animals/dog/3.png         animals/test/cat/3.png          scans/2.jpg
//! ```
//!
//! The names of sub-folders are the classes of the label, or a table has the label of each file. Images
//! that are in neither have no label. All images have the same sizes. Their bytes are decoded once, and the
//! grey value 255 is the number 1, as in idx files.

use super::{
    bytes::{Spool, cannot_decompress},
    checks::{check_shape, width},
    columns::classes,
    csv,
    dense::DenseArray,
    element::ElementType,
    image::{self, ImageSize, is_image, is_other_image},
    layout::missing_column,
    names::{is_missing, listed, shown},
    origin::RowOrigin,
    parts::{PARTS, RowParts, SPLIT, check_parts, is_test},
    stored::Stored,
    tables::{DataArray, FileArrays, KnownNames},
    values::{ColumnValues, stored_numbers},
};
use crate::{
    distribution::Domain,
    error::{Error, Result},
    model::{Model, Variable},
    syntax::Outline,
};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The table with the labels of the images in its folder.
const TABLE: &str = "labels.csv";
/// The column of that table with the names of files.
const FILE: &str = "file";
/// The images that are decoded at once.
const BLOCK: usize = 256;

/// An image of a data set.
struct Row {
    path: PathBuf,
    /// The path in the folder of the data set, with `/` between its parts.
    file: String,
    /// The sub-folder that it is in.
    folder: Option<String>,
}

/// The images of a data set.
struct Images {
    root: PathBuf,
    rows: Vec<Row>,
    /// The rows of each part, if the parts have folders of their own.
    parts: Option<RowParts>,
    /// The columns of the tables of labels, with a value for each row; `None` without tables.
    columns: Option<BTreeMap<String, Vec<Option<String>>>>,
}

/// Whether a folder holds images, directly, in sub-folders, or in sub-folders of these.
///
/// # Errors
/// If it cannot be read.
pub fn is_folder(folder: &Path) -> Result<bool> {
    has_image(folder, 2)
}

fn has_image(folder: &Path, depth: usize) -> Result<bool> {
    let entries = entries(folder)?;
    if entries.files.iter().any(|path| is_image(path)) {
        return Ok(true);
    }
    for inner in entries.folders.iter().filter(|_| depth > 0) {
        if has_image(inner, depth - 1)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The files and folders in a folder.
struct Entries {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
}

/// The files and folders in a folder, sorted, without hidden ones.
fn entries(folder: &Path) -> Result<Entries> {
    let unreadable = |error| Error::file(folder, "cannot be read", error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.retain(|path| !name(path).starts_with('.'));
    paths.sort();
    let (folders, files) = paths.into_iter().partition(|path| path.is_dir());
    Ok(Entries { files, folders })
}

/// The name of a file or folder, without the folders before it.
fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Reads the images, and the labels that a model uses.
///
/// # Errors
/// If a file cannot be read, the images have different sizes, or the images or labels do not fit the model.
pub fn arrays(folder: &Path, model: &Model, known: Option<KnownNames>) -> Result<FileArrays> {
    let place = folder.display().to_string();
    let mut images = Images::find(folder)?;
    let variable = images.variable(model)?;
    let mut arrays = Vec::new();
    if let Some(values) = images.column(SPLIT)
        && images.parts.is_none()
        && model
            .read_variables()
            .iter()
            .all(|variable| variable.name != SPLIT)
    {
        images.parts = Some(values.into_parts(&format!("{place}: column `{SPLIT}`"))?);
    }
    let every = || {
        [
            (0..images.rows.len() as u32).collect(),
            Vec::new(),
            Vec::new(),
        ]
    };
    let parts: RowParts = images.parts.clone().unwrap_or_else(every);
    check_parts(&parts, known.is_some(), &place)?;
    let mut add = |name: &str, stored, names: &[String]| {
        let in_parts = DataArray::in_parts(name, stored, Some(&parts));
        arrays.extend(
            in_parts
                .into_iter()
                .map(|array| array.with_class_names(names.to_vec())),
        );
    };
    for other in model.read_variables() {
        if other.name == variable.name {
            continue;
        }
        let Some(values) = images.values(other, model)? else {
            continue;
        };
        let place = format!("{place}: `{}`", other.name);
        if other.domain == Domain::Class {
            let classes = values.into_classes(other, known, &place)?;
            add(
                &other.name,
                stored_numbers(&classes.numbers),
                &classes.names,
            );
        } else {
            let numbers = values.into_numbers(other, &place)?;
            add(&other.name, stored_numbers(&numbers), &[]);
        }
    }
    add(&variable.name, images.decode(variable)?, &[]);
    let used: Vec<&str> = model
        .read_variables()
        .iter()
        .map(|variable| variable.name.as_str())
        .collect();
    let unused = images
        .columns
        .iter()
        .flatten()
        .map(|(name, _)| name.as_str());
    let unused = unused.filter(|name| ![FILE, SPLIT].contains(name) && !used.contains(name));
    arrays.extend(unused.map(DataArray::unread));
    let files = parts.each_ref().map(|rows| {
        let files = rows
            .iter()
            .map(|&row| images.rows[row as usize].file.clone());
        Some(Arc::new(RowOrigin::Images(files.collect())))
    });
    Ok(FileArrays {
        arrays,
        origins: files,
        is_test: is_test(&parts),
    })
}

/// The number of features of the images, or of classes of a label.
///
/// # Errors
/// If a file cannot be read.
pub fn size_of(folder: &Path, variable: &Outline) -> Result<Option<usize>> {
    let images = Images::find(folder)?;
    if !variable.is_class {
        let Some(row) = images.rows.first() else {
            return Ok(None);
        };
        return Ok(Some(image::read(&row.path, &|_| Ok(()))?.size.bytes()));
    }
    let texts: BTreeSet<&str> = match &images.columns {
        Some(columns) => {
            let values = columns.get(&variable.name).into_iter().flatten();
            values.flatten().map(String::as_str).collect()
        }
        None => {
            let folders = images.rows.iter().map(|row| row.folder.as_deref());
            folders.flatten().collect()
        }
    };
    Ok(Some(classes(
        texts.into_iter().filter(|text| !is_missing(text)),
    )))
}

impl Images {
    /// Lists the images of a folder and reads their tables of labels.
    fn find(root: &Path) -> Result<Self> {
        let mut images = Images {
            root: root.to_path_buf(),
            rows: Vec::new(),
            parts: None,
            columns: None,
        };
        let folders = entries(root)?.folders;
        if !folders.iter().any(|folder| name(folder) == PARTS[0]) {
            images.add(root)?;
            return Ok(images);
        }
        let mut parts = RowParts::default();
        // A folder with a table, and one whose sub-folders are classes.
        let (mut with_table, mut with_classes) = (None, None);
        for folder in &folders {
            let Some(part) = PARTS.iter().position(|part| name(folder) == *part) else {
                let message = format!(
                    "{}: expected the folders `train`, `validation` and `test`, found `{}` beside \
                     `train`",
                    root.display(),
                    shown(&name(folder))
                );
                return Err(Error::data(message).help(
                    "move the folder into one of these, or out of the data set; validation rows are in \
                     `validation`",
                ));
            };
            let first = images.rows.len() as u32;
            let has_table = images.add(folder)?;
            let added = &images.rows[first as usize..];
            match has_table {
                true => with_table = Some(folder),
                false if added.iter().any(|row| row.folder.is_some()) => {
                    with_classes = Some(folder);
                }
                false => {}
            }
            parts[part] = (first..images.rows.len() as u32).collect();
        }
        if let (Some(table), Some(classes)) = (with_table, with_classes) {
            let message = format!(
                "{} has a table of labels, but {} has a sub-folder for each class",
                table.display(),
                classes.display()
            );
            return Err(Error::data(message).help(format!(
                "write a table {TABLE} for each part, or sort all images into folders"
            )));
        }
        images.parts = Some(parts);
        Ok(images)
    }

    /// Adds the images in a folder and in its sub-folders, and its table of labels. Returns whether there is
    /// a table.
    fn add(&mut self, folder: &Path) -> Result<bool> {
        let first = self.rows.len();
        let Entries { files, folders } = entries(folder)?;
        self.add_files(files, None)?;
        for inner in folders {
            let Entries { files, folders } = entries(&inner)?;
            if let Some(deeper) = folders.first() {
                let message = format!(
                    "{}: expected images, found the folder `{}`",
                    inner.display(),
                    shown(&name(deeper))
                );
                return Err(Error::data(message)
                    .help("images are in one folder, or in a sub-folder for each class"));
            }
            self.add_files(files, Some(name(&inner)))?;
        }
        let table = folder.join(TABLE);
        if table.is_file() {
            self.add_table(folder, &table, first)?;
        }
        Ok(table.is_file())
    }

    fn add_files(&mut self, files: Vec<PathBuf>, folder: Option<String>) -> Result<()> {
        for path in files {
            if is_other_image(&path) {
                let message = format!("{}: images of this format cannot be read", path.display());
                return Err(Error::data(message).help("convert the images to PNG or JPEG files"));
            }
            if is_image(&path) {
                self.rows.push(Row {
                    file: file_in(&self.root, &path),
                    path,
                    folder: folder.clone(),
                });
            }
        }
        Ok(())
    }

    /// Reads the labels of the rows from `first` on, which are in `folder`.
    fn add_table(&mut self, folder: &Path, table: &Path, first: usize) -> Result<()> {
        let place = table.display();
        let (names, values) = csv::all_columns(table)?;
        let header: Vec<&str> = names.iter().map(String::as_str).collect();
        let files = header.iter().position(|name| *name == FILE);
        let files = files.ok_or_else(|| missing_column(FILE, &header, &place.to_string()))?;
        let rows = self.rows[first..].iter().zip(first..);
        let rows: BTreeMap<String, usize> = rows
            .map(|(row, at)| (file_in(folder, &row.path), at))
            .collect();
        let mut seen = BTreeSet::new();
        let columns = self.columns.get_or_insert_default();
        for name in &names {
            columns.entry(name.clone()).or_default();
        }
        for column in columns.values_mut() {
            column.resize(self.rows.len(), None);
        }
        for (line, file) in values[files].iter().enumerate() {
            let wrong = |what: &str, help: &str| {
                let line = line + 1;
                let message = format!("{place}: row {line}: {what} `{}`", shown(file));
                Err(Error::data(message).help(help))
            };
            let Some(&row) = rows.get(file.trim_start_matches("./")) else {
                return wrong(
                    "there is no image",
                    "the column `file` has the paths of images in the folder of the table",
                );
            };
            if !seen.insert(row) {
                return wrong("another row has the image", "remove one of the rows");
            }
            for (name, values) in names.iter().zip(&values) {
                let value = Some(values[line].clone()).filter(|value| !is_missing(value));
                columns.entry(name.clone()).or_default()[row] = value;
            }
        }
        Ok(())
    }

    /// The values of a column of the tables of labels; `None` if there is no such column.
    fn column(&self, name: &str) -> Option<ColumnValues> {
        let column = self.columns.as_ref()?.get(name)?;
        // Rows of parts without the column are at the end.
        let values = (0..self.rows.len()).map(|row| column.get(row).cloned().flatten());
        Some(ColumnValues::of_texts(values))
    }

    /// The variable that takes the images: the only one that is no label and has no column.
    fn variable<'m>(&self, model: &'m Model) -> Result<&'m Variable> {
        let has_column = |variable: &Variable| {
            let columns = self.columns.as_ref();
            width(variable) == 1 && columns.is_some_and(|all| all.contains_key(&variable.name))
        };
        let variables = model.read_variables().into_iter();
        let free = variables.filter(|variable| !variable.is_optional() && !has_column(variable));
        let free: Vec<&Variable> = free.collect();
        match free.as_slice() {
            [variable] => Ok(variable),
            [] => {
                let message = format!("{}: no variable takes the images", self.root.display());
                Err(Error::data(message).help("remove the column of the variable from the table"))
            }
            several => {
                let names: Vec<&String> = several.iter().map(|variable| &variable.name).collect();
                let message = format!(
                    "{}: one variable takes the images, but the model has {}",
                    self.root.display(),
                    listed(&names)
                );
                Err(Error::data(message).help(format!(
                    "give the others columns in a table {TABLE} with a column `{FILE}`, or name an .npz \
                     file with an array for each variable"
                )))
            }
        }
    }

    /// The values of a variable that does not take the images; `None` if there are none.
    fn values(&self, variable: &Variable, model: &Model) -> Result<Option<ColumnValues>> {
        let place = self.root.display();
        if self.columns.is_some() {
            return match self.column(&variable.name) {
                Some(values) if variable.domain == Domain::Class => Ok(Some(values)),
                Some(values) => numbers(values, &format!("{place}: `{}`", variable.name)).map(Some),
                None => Ok(None),
            };
        }
        let classes = || model.labels().filter(|label| label.is_class());
        let folders = || self.rows.iter().map(|row| row.folder.clone());
        if !variable.is_class() {
            return Ok(None);
        }
        if folders().all(|folder| folder.is_none()) {
            return Ok(None);
        }
        if classes().count() > 1 {
            let labels: Vec<&String> = classes().map(|label| &label.name).collect();
            let message = format!(
                "{place}: the names of folders are classes of one label, but the model has {}",
                listed(&labels)
            );
            return Err(Error::data(message).help(format!(
                "give them columns in a table {TABLE} with a column `{FILE}`"
            )));
        }
        Ok(Some(ColumnValues::of_texts(folders())))
    }

    /// The pixels of all images.
    fn decode(&self, variable: &Variable) -> Result<Stored> {
        let failed = |error| cannot_decompress(&self.root, error);
        let mut first: Option<(&Row, ImageSize)> = None;
        let mut spool = Spool::new();
        for rows in self.rows.chunks(BLOCK) {
            if first.is_none() {
                let row = &rows[0];
                let size = image::read(&row.path, &|size| {
                    let shape = [size.channels, size.height, size.width];
                    let fits = check_shape(variable, &shape, &row.path.display().to_string());
                    fits.map_err(|error| {
                        error.help(format!(
                            "scale or convert the images, or change the shape of `{}` in the model",
                            variable.name
                        ))
                    })
                })?;
                first = Some((row, size.size));
            }
            let (example, expected) = first.expect("the first image was read");
            let decoded: Vec<Result<Vec<u8>>> = rows
                .par_iter()
                .map(|row| {
                    let image = image::read(&row.path, &|size| match size == expected {
                        true => Ok(()),
                        false => Err(other_size(row, size, example, expected)),
                    })?;
                    Ok(image.pixels)
                })
                .collect();
            for pixels in decoded {
                spool.push(&pixels?).map_err(failed)?;
            }
        }
        let Some((_, size)) = first else {
            return Err(super::checks::no_rows(&self.root.display().to_string()));
        };
        let bytes = spool.finish(&self.root.as_path().into()).map_err(failed)?;
        let shape = vec![self.rows.len(), size.channels, size.height, size.width];
        let dense = DenseArray::new(bytes, ElementType::GREY, shape);
        Ok(Stored::Dense(
            dense.expect("all images have the same sizes"),
        ))
    }
}

/// The path of a file in a folder, with `/` between its parts.
fn file_in(folder: &Path, path: &Path) -> String {
    let inner = path.strip_prefix(folder).unwrap_or(path);
    let parts = inner.iter().map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

/// The numbers of a column of texts; NaN where they are missing.
fn numbers(values: ColumnValues, place: &str) -> Result<ColumnValues> {
    let (codes, texts) = values.into_texts();
    let mut numbers = Vec::with_capacity(texts.len());
    for text in &texts {
        numbers.push(text.parse::<f64>().map_err(|_| {
            let message = format!("{place}: expected a number, found `{}`", shown(text));
            Error::data(message).help("write numbers with a point and without units")
        })?);
    }
    let number = |code: Option<u32>| code.map_or(f64::NAN, |code| numbers[code as usize]);
    Ok(ColumnValues::Numbers(
        codes.into_iter().map(number).collect(),
    ))
}

/// The error of an image with other sizes than the first one.
fn other_size(row: &Row, found: ImageSize, first: &Row, expected: ImageSize) -> Error {
    let message = format!(
        "{}: expected an image of {expected}, as {}, found {found}",
        row.path.display(),
        first.file
    );
    Error::data(message).help(match found.channels == expected.channels {
        true => "scale or crop all images to the same size",
        false => "convert all images to grey, or all to colour",
    })
}
