//! Checkpoints: parameters, their averages and optimiser state by name, the position in training, and
//! what run they belong to.
//!
//! A checkpoint is a safetensors file. Its metadata has one entry, [`METADATA`], with the fields of
//! [`Position`] and [`Origin`] as JSON. The last field is the SHA-256 of the file, computed with
//! zeros in place of its digits. Checkpoints of format 2, written by earlier versions, have neither
//! an origin nor a checksum.

use super::{
    arrays::{self, NamedArray},
    fields::Fields,
    session::Session,
    settings::{RESTORE, Settings},
};
use crate::{
    error::{Error, Result},
    files::{self, hash, hash_of_parts},
    model::Model,
    names::AVERAGE,
};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The format of checkpoints that this version writes.
pub const FORMAT: u64 = 3;
/// The format without origin and checksum.
const UNCHECKED: u64 = 2;
/// The metadata entry with the fields of a checkpoint, as JSON.
pub const METADATA: &str = "checkpoint";
/// What precedes the digits of the checksum in the file's header, which has the JSON as a string.
const BEFORE_CHECKSUM: &[u8] = br#"\"checksum\":\""#;
/// The number of digits of a checksum.
const DIGITS: usize = 64;

/// The position of a run in training.
#[derive(Clone, Debug, PartialEq)]
pub struct Position {
    /// The model's name.
    pub model: String,
    /// Steps taken.
    pub step: u64,
    /// The seed of all random numbers.
    pub seed: u64,
    /// The number of steps in the sums.
    pub summed: u64,
    /// Sums of the scalar outputs over the steps of the current epoch, as the bits of an f64, so
    /// that the means of a resumed epoch have the same bits.
    pub sums: Vec<(String, u64)>,
    /// The scalar outputs of the first step, likewise. Empty before it, and in format 2.
    pub first: Vec<(String, u64)>,
}

/// The run that a checkpoint belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Origin {
    /// The last epoch that was logged.
    pub epoch: u64,
    /// The run's settings that never change, see [`Settings::identity`].
    pub settings: Map<String, Value>,
}

/// A checkpoint, whose checksum is right.
pub struct Checkpoint {
    path: PathBuf,
    arrays: Vec<NamedArray>,
    /// The position in training.
    pub position: Position,
    /// The run; `None` in format 2.
    pub origin: Option<Origin>,
    /// The checksum, or in format 2 the SHA-256 of the file.
    pub checksum: String,
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// If the file cannot be read, its checksum is wrong, or a field is missing or damaged.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes =
            files::read(path).map_err(|error| Error::file(path, "cannot be read", error))?;
        let (arrays, metadata) = arrays::parse(path, &bytes)?;
        let place = path.display().to_string();
        let Some(text) = metadata.get(METADATA) else {
            let message = format!(
                "{place}: expected a checkpoint, found a file without the metadata `{METADATA}`"
            );
            return Err(Error::data(message).help("name a run that this version of dgc wrote"));
        };
        let mut fields = Fields::parse(place, text.as_bytes(), RESTORE)?;
        let format: u64 = fields.take("format")?;
        if ![UNCHECKED, FORMAT].contains(&format) {
            let message =
                format!("expected a checkpoint of format {FORMAT}, found format {format}");
            return Err(fields
                .refused(message)
                .help("use the version of dgc that wrote the run"));
        }
        let checksum: Option<String> = match format {
            UNCHECKED => fields.take_optional("checksum")?,
            _ => Some(fields.take("checksum")?),
        };
        if checksum
            .as_ref()
            .is_some_and(|checksum| !is_sealed(&bytes, checksum))
        {
            return Err(fields.refused(
                "the checksum is wrong, so the file was changed or damaged since it was written"
                    .to_string(),
            ));
        }
        let position = Position {
            model: fields.take("model")?,
            step: fields.take("step")?,
            seed: fields.take("seed")?,
            summed: fields.take("summed")?,
            sums: fields.take("sums")?,
            first: match format {
                UNCHECKED => Vec::new(),
                _ => fields.take("first")?,
            },
        };
        let origin = match format {
            UNCHECKED => None,
            _ => Some(Origin {
                epoch: fields.take("epoch")?,
                settings: fields.take("settings")?,
            }),
        };
        fields.finish()?;
        Ok(Checkpoint {
            path: path.to_path_buf(),
            arrays,
            position,
            origin,
            checksum: checksum.unwrap_or_else(|| hash(&bytes)),
        })
    }

    /// The last epoch that was logged before a checkpoint, from the header of its file alone. `None` if
    /// there is no file, or one of format 2, which does not say.
    ///
    /// # Errors
    /// If the file cannot be read, or its header is damaged.
    pub fn logged_epoch(path: &Path) -> Result<Option<u64>> {
        let unreadable = |error| Error::file(path, "cannot be read", error);
        let mut file = match fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(unreadable)?,
        };
        let (mut len, mut header) = ([0; 8], Vec::new());
        file.read_exact(&mut len)
            .and_then(|()| file.take(u64::from_le_bytes(len)).read_to_end(&mut header))
            .map_err(unreadable)?;
        let header: Option<Value> = serde_json::from_slice(&header).ok();
        let fields = header.as_ref().and_then(|header| {
            let text = header["__metadata__"][METADATA].as_str()?;
            serde_json::from_str::<Value>(text).ok()
        });
        match fields {
            Some(fields) => Ok(fields["epoch"].as_u64()),
            None => {
                let message = format!("{}: the header is damaged", path.display());
                Err(Error::data(message).help(RESTORE))
            }
        }
    }

    /// The contents of the file of a checkpoint; `path` is for messages.
    ///
    /// # Errors
    /// If the arrays cannot be stored.
    pub fn to_bytes(
        path: &Path,
        arrays: &[NamedArray],
        position: &Position,
        origin: &Origin,
    ) -> Result<Vec<u8>> {
        let fields = json!({
            "format": FORMAT,
            "model": position.model,
            "step": position.step,
            "seed": position.seed,
            "summed": position.summed,
            "sums": position.sums,
            "first": position.first,
            "epoch": origin.epoch,
            "settings": origin.settings,
            "checksum": "0".repeat(DIGITS),
        });
        // A single metadata entry, so that equal checkpoints are equal files.
        let metadata = [(METADATA.to_string(), fields.to_string())].into();
        let mut bytes = arrays::serialize(path, arrays, metadata, false)?;
        let digits = hash(&bytes);
        let at = checksum_place(&bytes).expect("the header has the checksum's field");
        bytes[at..at + DIGITS].copy_from_slice(digits.as_bytes());
        Ok(bytes)
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that the checkpoint belongs to a run of a model with these settings.
    ///
    /// # Errors
    /// With the first field that differs.
    pub fn check_origin(&self, settings: &Settings, model: &Model) -> Result<()> {
        let path = self.path.display();
        let differs = |what: &str,
                       found: &dyn std::fmt::Display,
                       expected: &dyn std::fmt::Display| {
            let message =
                format!("{path}: the checkpoint has {what} {found}, but the run has {expected}");
            Err(Error::data(message).help(
                "one of the files belongs to another run or was changed; restore it from a copy",
            ))
        };
        if self.position.model != model.name {
            return differs("the model", &self.position.model, &model.name);
        }
        if self.position.seed != settings.seed {
            return differs("`seed`", &self.position.seed, &settings.seed);
        }
        let Some(origin) = &self.origin else {
            return Ok(());
        };
        let expected = settings.identity();
        let mut names = expected.keys().chain(origin.settings.keys());
        match names.find(|name| expected.get(*name) != origin.settings.get(*name)) {
            None => Ok(()),
            Some(name) => {
                let shown = |fields: &Map<String, Value>| {
                    fields.get(name).unwrap_or(&Value::Null).to_string()
                };
                differs(
                    &format!("`{name}`"),
                    &shown(&origin.settings),
                    &shown(&expected),
                )
            }
        }
    }

    /// The arrays by name.
    pub fn by_name(&self) -> HashMap<&str, &NamedArray> {
        let arrays = self.arrays.iter();
        arrays.map(|array| (array.name.as_str(), array)).collect()
    }

    /// The arrays by name, for all uses but training: if the run averages its parameters, the average
    /// of a parameter has the name of the parameter.
    pub fn evaluated(&self) -> HashMap<&str, &NamedArray> {
        let mut arrays = self.by_name();
        let prefix = state_name(AVERAGE, "");
        let averages = self.arrays.iter();
        arrays.extend(averages.filter_map(|array| {
            let name = array.name.strip_prefix(&prefix)?;
            Some((name, array))
        }));
        arrays
    }

    /// Fills a session's parameters with `arrays`, which are [`Checkpoint::by_name`] or
    /// [`Checkpoint::evaluated`].
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub fn fill_parameters(
        &self,
        session: &mut Session,
        arrays: &HashMap<&str, &NamedArray>,
    ) -> Result<()> {
        for entry in session.layout.entries.clone() {
            let found = find(arrays, &entry.parameter.name, &entry.shape, &self.path)?;
            session.set(session.parameters, &entry, &found.data)?;
        }
        Ok(())
    }
}

/// The name of a parameter's part of a state: `first_moment/q.z.mean.bias`.
pub fn state_name(state: &str, parameter: &str) -> String {
    format!("{state}/{parameter}")
}

/// Finds a parameter's array in a checkpoint.
///
/// # Errors
/// If the checkpoint has no such array, or it has another shape.
pub fn find<'a>(
    stored: &HashMap<&str, &'a NamedArray>,
    name: &str,
    shape: &[usize],
    path: &Path,
) -> Result<&'a NamedArray> {
    let found = stored
        .get(name)
        .copied()
        .filter(|found| found.shape == shape);
    found.ok_or_else(|| {
        let message = format!(
            "{}: expected a parameter `{name}` with shape {shape:?}, found none",
            path.display()
        );
        let generates =
            name.starts_with("from.") && stored.keys().any(|stored| stored.starts_with("from."));
        Error::data(message).help(if generates {
            "an earlier version of dgc started the run and did not store the parameters that \
             generate its data; train the model anew"
        } else {
            "the checkpoint belongs to another model, or to a model with other sizes"
        })
    })
}

/// The place of the checksum's digits: in the header, after its field's name. No other string of
/// the header has an escaped quotation mark in front of these digits.
fn checksum_place(bytes: &[u8]) -> Option<usize> {
    let len = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    let header = bytes.get(8..)?.get(..usize::try_from(len).ok()?)?;
    let found = header
        .windows(BEFORE_CHECKSUM.len())
        .position(|window| window == BEFORE_CHECKSUM)?;
    let at = 8 + found + BEFORE_CHECKSUM.len();
    (at + DIGITS <= 8 + header.len()).then_some(at)
}

/// Whether a file's checksum is right.
fn is_sealed(bytes: &[u8], checksum: &str) -> bool {
    let Some(at) = checksum_place(bytes) else {
        return false;
    };
    let (before, rest) = bytes.split_at(at);
    let (digits, after) = rest.split_at(DIGITS);
    digits == checksum.as_bytes() && hash_of_parts(&[before, &[b'0'; DIGITS], after]) == checksum
}
