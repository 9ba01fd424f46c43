//! Compiled models: a folder with a model's text, its programs, and machine code for some GPUs.
//!
//! Each program has a file `NAME.json` with its plan; for GPUs also its source `NAME.cu` and an
//! image for each architecture, `NAME.sm_90.cubin` or `NAME.compute_80.ptx`. `compiled.json` lists
//! the files with their hashes. Hashes detect damage, but not tampering: whoever changes a file can
//! change its hash. So every plan is verified when it is read, and compared with the model. Images
//! are machine code, which cannot be checked; run images only from trusted sources.

use super::{
    folder::{check_named, holds_only},
    interface::Interfaces,
    programs::{self, Training},
    settings::in_edition,
};
use crate::{
    backend::{
        Build, Precision,
        cuda::{
            Binary,
            compile::compile,
            emit::{self, CudaSource},
            image::{Effort, Image},
        },
    },
    diagnostic, driver,
    error::{Error, Result},
    files::{self, hash, is_plain_name, write_whole},
    model::Model,
    plan::{Plan, VerifiedPlan},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// What `compiled.json` has in every version of dgc.
#[derive(Deserialize)]
struct Written {
    /// [`FORMAT`]; 0 in folders of versions that had no format number.
    #[serde(default)]
    format: u64,
    version: String,
    files: BTreeMap<String, String>,
}

/// The contents of `compiled.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    format: u64,
    version: String,
    /// The model file's name, for messages and comments.
    file: String,
    /// The edition in which the model is read.
    edition: u64,
    sets: Vec<(String, String)>,
    architectures: Vec<String>,
    /// The precision of contractions in the machine code.
    precision: Precision,
    /// SHA-256 of each file, in hexadecimal digits.
    files: BTreeMap<String, String>,
    /// SHA-256 of the manifest with an empty checksum.
    checksum: String,
}

impl Manifest {
    fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a manifest is plain data") + "\n"
    }

    fn expected_checksum(&self) -> String {
        let manifest = Manifest {
            checksum: String::new(),
            ..self.clone()
        };
        hash(manifest.to_json().as_bytes())
    }
}

/// The contents of `NAME.json`, not verified yet.
#[derive(Deserialize)]
struct Stored {
    plan: Plan,
}

/// The contents of `NAME.json` to be written.
#[derive(Serialize)]
struct Storing<'p> {
    plan: &'p VerifiedPlan,
}

/// A compiled model, whose plans are verified.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The model.
    pub model: Model,
    /// The model file's name.
    pub file: String,
    /// Changed sizes and settings of the model.
    pub sets: Vec<(String, String)>,
    /// The programs of training.
    pub training: Training,
    /// The program that evaluates a batch of rows.
    pub evaluate: Build,
}

/// The assembler's log for a program and an architecture.
pub struct Assembled {
    /// The program's name.
    pub program: String,
    /// The architecture, such as `sm_90`.
    pub architecture: String,
    /// The log.
    pub log: String,
}

/// The format of compiled folders that this version reads and writes.
const FORMAT: u64 = 3;
/// The way out if a folder cannot be read.
const RECOMPILE: &str = "compile it again from the model file";
const MANIFEST: &str = "compiled.json";
const MODEL: &str = "model.dgm";
/// The list of files, with their hashes, that a compilation writes and replaces. It is deleted at
/// the end.
const BEGUN: &str = ".compiling.json";

/// Every program of a model. All models have the same programs, except that `settled` is optional.
///
/// # Errors
/// If the model is too large to be planned.
pub fn builds(model: &Model) -> Result<Vec<Build>> {
    let Training {
        gradient,
        steady,
        update,
    } = programs::training(model)?;
    let (case, what) = programs::evaluation(model);
    let evaluate = programs::evaluate(model, &case, what)?;
    let builds = [Some(gradient), steady, Some(update), Some(evaluate)];
    Ok(builds.into_iter().flatten().collect())
}

/// A compiled model in memory.
pub struct CompiledPrograms {
    /// Every program.
    pub builds: Vec<Build>,
    /// The assembler's logs.
    pub assembled: Vec<Assembled>,
    architectures: Vec<String>,
    precision: Precision,
    files: Vec<(String, Vec<u8>)>,
}

/// Compiles a model's programs. Each of the `architectures`, such as `sm_90`, gets machine code,
/// and the earliest also PTX, which later GPUs can run. If there are any, the runtime compiler must
/// have been found.
///
/// # Errors
/// If the runtime compiler fails.
pub fn compile_model(
    model: &Model,
    architectures: &[String],
    precision: Precision,
) -> Result<CompiledPrograms> {
    let builds = builds(model)?;
    let earliest = architectures
        .iter()
        .min_by_key(|arch| digits(arch))
        .map(|arch| format!("compute_{}", digits(arch)));
    let architectures: Vec<String> = architectures.iter().chain(&earliest).cloned().collect();
    let sources: Vec<Option<CudaSource>> = builds
        .iter()
        .map(|Build { name, plan, .. }| {
            (!architectures.is_empty())
                .then(|| emit::emit(plan, &format!("{name} of {}", model.file), precision))
        })
        .collect();
    // The runtime compiler is mostly single-threaded, so several programs are compiled in parallel.
    let work: Vec<(&Build, &CudaSource, &String)> = builds
        .iter()
        .zip(&sources)
        .filter_map(|(build, source)| Some((build, source.as_ref()?)))
        .flat_map(|(build, source)| architectures.iter().map(move |arch| (build, source, arch)))
        .collect();
    let compiled = work.into_par_iter().map(|(build, source, arch)| {
        let Image { code, log } = compile(&source.text, &build.name, arch, Effort::Full)?;
        let assembled = Assembled {
            program: build.name.clone(),
            architecture: arch.clone(),
            log,
        };
        Ok((
            (format!("{}.{arch}.{}", build.name, kind(arch)), code),
            assembled,
        ))
    });
    let (images, assembled): (Vec<_>, Vec<_>) =
        compiled.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let mut files: Vec<(String, Vec<u8>)> =
        vec![(MODEL.to_string(), model.source.clone().into_bytes())];
    files.extend(images);
    for (Build { name, plan, .. }, source) in builds.iter().zip(sources) {
        if let Some(source) = source {
            files.push((format!("{name}.cu"), source.text.into_bytes()));
        }
        let json = serde_json::to_string(&Storing { plan }).expect("a plan is plain data") + "\n";
        files.push((format!("{name}.json"), json.into_bytes()));
    }
    Ok(CompiledPrograms {
        builds,
        assembled,
        architectures,
        precision,
        files,
    })
}

/// Writes a compiled model into a folder. It replaces the files that an earlier compilation wrote,
/// complete or not, and no others.
///
/// # Errors
/// If the folder contains other files or changed ones, or cannot be written.
pub fn write(
    folder: &Path,
    model: &Model,
    sets: &[(String, String)],
    compiled: CompiledPrograms,
) -> Result<()> {
    check_named(folder)?;
    let former = written_files(folder)?;
    let mut replaceable = former.clone();
    for (name, bytes) in &compiled.files {
        let hashes = replaceable.entry(name.clone()).or_default();
        hashes.push(hash(bytes));
    }
    holds_only(folder, &|name| {
        let is_list = [MANIFEST, BEGUN].contains(&name);
        is_list || name.starts_with(".tmp") || replaceable.contains_key(name)
    })?;
    for (name, hashes) in &replaceable {
        check_unchanged(&folder.join(name), hashes)?;
    }
    fs::create_dir_all(folder).map_err(|error| {
        Error::file(folder, "cannot be created", error).help("name another folder")
    })?;
    // The manifest is deleted first and written last, so an incomplete folder has no manifest.
    let begun = serde_json::to_string(&replaceable).expect("a list is plain data");
    write_whole(&folder.join(BEGUN), begun.as_bytes())?;
    for name in std::iter::once(MANIFEST).chain(former.keys().map(String::as_str)) {
        let _ = fs::remove_file(folder.join(name));
    }
    let mut manifest = Manifest {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_string(),
        file: model.file.clone(),
        edition: model.edition.number(),
        sets: sets.to_vec(),
        architectures: compiled.architectures,
        precision: compiled.precision,
        files: BTreeMap::new(),
        checksum: String::new(),
    };
    for (name, bytes) in compiled.files {
        write_whole(&folder.join(&name), &bytes)?;
        manifest.files.insert(name, hash(&bytes));
    }
    manifest.checksum = manifest.expected_checksum();
    write_whole(&folder.join(MANIFEST), manifest.to_json().as_bytes())?;
    let _ = fs::remove_file(folder.join(BEGUN));
    Ok(())
}

/// The names of the files that compilations wrote to a folder, with the hashes that they may have:
/// those of the manifest, and those of a compilation that did not end.
fn written_files(folder: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let manifest: Option<Written> = list(&folder.join(MANIFEST))?;
    let begun: Option<BTreeMap<String, Vec<String>>> = list(&folder.join(BEGUN))?;
    let mut files = begun.unwrap_or_default();
    for (name, hash) in manifest.into_iter().flat_map(|manifest| manifest.files) {
        files.entry(name).or_default().push(hash);
    }
    plain_names(folder, files.keys())
        .map_err(|error| error.help("choose another folder, or delete this one"))?;
    Ok(files)
}

/// Reads a list of the files of a compiled folder; `None` if there is none.
fn list<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>> {
    match files::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(Error::file(path, "cannot be read", error)
            .help("check the folder's permissions, or name another folder")),
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(found) => Ok(Some(found)),
            Err(error) => Err(Error::file(
                path,
                "not a list of compiled files, which would replace it",
                error,
            )
            .help("move the file away, or name another folder")),
        },
    }
}

/// Checks that a file, if it exists, has one of these hashes.
///
/// # Errors
/// If it has other contents, which are not replaced.
fn check_unchanged(path: &Path, hashes: &[String]) -> Result<()> {
    match files::read(path) {
        Ok(bytes) if hashes.contains(&hash(&bytes)) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(()),
        Err(error) => Err(Error::file(path, "cannot be read", error)
            .help("check the folder's permissions, or name another folder")),
        Ok(_) => {
            let shown = path.display();
            let message = format!(
                "{shown}: expected a file of an earlier compilation, found another one or a changed one"
            );
            Err(Error::usage(message).help("move the file away, or name another folder"))
        }
    }
}

/// Whether a path is one of the files of a compiled folder.
pub fn is_compiled_file(path: &Path) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
    else {
        return false;
    };
    let manifest: Option<Written> = list(&folder.join(MANIFEST)).ok().flatten();
    manifest.is_some_and(|manifest| name == MANIFEST || manifest.files.contains_key(name))
}

/// The number of an architecture: 90 for `sm_90`.
fn digits(arch: &str) -> u32 {
    arch.rsplit('_')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Whether a folder contains a compiled model.
pub fn is_compiled(folder: &Path) -> bool {
    folder.join(MANIFEST).is_file()
}

/// Checks that a manifest names only files directly in its folder.
fn plain_names<'n>(folder: &Path, mut names: impl Iterator<Item = &'n String>) -> Result<()> {
    match names.find(|name| !is_plain_name(name)) {
        None => Ok(()),
        Some(name) => Err(Error::new(format!(
            "{}: expected names of files in the folder, found {name:?}",
            folder.join(MANIFEST).display()
        ))),
    }
}

/// Reads a folder that [`write`] of this version wrote.
///
/// # Errors
/// If a file is missing or changed, a plan fails verification, or a plan differs from the model.
pub fn read(folder: &Path) -> Result<Compiled> {
    let files = Files::read(folder)?;
    let model = files.model()?;
    let interfaces = Interfaces::new(&model);
    let build = |program: &str| files.build(program, &interfaces);
    let steady = files.bytes.contains_key("settled.json");
    let training = Training {
        gradient: build("gradient")?,
        steady: steady.then(|| build("settled")).transpose()?,
        update: build("update")?,
    };
    Ok(Compiled {
        training,
        evaluate: build("evaluate")?,
        model,
        file: files.manifest.file,
        sets: files.manifest.sets,
    })
}

/// The files of a folder that its manifest lists.
struct Files<'f> {
    folder: &'f Path,
    manifest: Manifest,
    bytes: BTreeMap<String, Vec<u8>>,
}

impl<'f> Files<'f> {
    fn read(folder: &'f Path) -> Result<Self> {
        let read = |path: PathBuf| {
            files::read(&path)
                .map_err(|error| Error::file(&path, "cannot be read", error).help(RECOMPILE))
        };
        let path = folder.join(MANIFEST);
        let text = read(path.clone())?;
        let invalid = |error: serde_json::Error| {
            Error::file(&path, "not a valid file of a compiled model", error).help(RECOMPILE)
        };
        let refused = |message: String| Err(Error::new(message).help(RECOMPILE));
        let (place, version) = (folder.display(), env!("CARGO_PKG_VERSION"));
        let written: Written = serde_json::from_slice(&text).map_err(invalid)?;
        if written.version != version {
            let message = format!(
                "{place}: expected a folder compiled by dgc {version}, found one compiled by dgc {}",
                written.version
            );
            return refused(message);
        }
        if written.format != FORMAT {
            let found = match written.format {
                0 => "none".to_string(),
                format => format.to_string(),
            };
            return refused(format!("{place}: expected format {FORMAT}, found {found}"));
        }
        let manifest: Manifest = serde_json::from_slice(&text).map_err(invalid)?;
        if manifest.checksum != manifest.expected_checksum() {
            let path = path.display();
            return refused(format!(
                "{path}: the checksum is wrong, so the file was changed or damaged since it was \
                 written"
            ));
        }
        // Plans alone have no precision: the device has.
        if manifest.architectures.is_empty() && manifest.precision != Precision::F32 {
            let (path, precision) = (path.display(), manifest.precision);
            return refused(format!(
                "{path}: expected the precision f32 in a folder without machine code, found \
                 {precision}"
            ));
        }
        plain_names(folder, manifest.files.keys()).map_err(|error| error.help(RECOMPILE))?;
        let mut bytes = BTreeMap::new();
        for (name, wanted) in &manifest.files {
            let found = read(folder.join(name))?;
            if hash(&found) != *wanted {
                let path = folder.join(name);
                return refused(format!(
                    "{}: the file was changed or damaged since it was written",
                    path.display()
                ));
            }
            bytes.insert(name.clone(), found);
        }
        Ok(Files {
            folder,
            manifest,
            bytes,
        })
    }

    fn file(&self, name: &str) -> Result<&[u8]> {
        let found = self.bytes.get(name).map(Vec::as_slice);
        found.ok_or_else(|| {
            Error::new(format!(
                "{}: expected a file `{name}`, found none",
                self.folder.display()
            ))
            .help(RECOMPILE)
        })
    }

    fn model(&self) -> Result<Model> {
        let Manifest {
            file,
            edition,
            sets,
            ..
        } = &self.manifest;
        let sets = &in_edition(*edition, sets);
        let text = String::from_utf8_lossy(self.file(MODEL)?).into_owned();
        let checked = driver::check(file, &text, sets).map_err(|mistakes| {
            let mistakes = diagnostic::render(&mistakes, file, &text, false);
            let message = format!(
                "{}: the model has mistakes\n\n{mistakes}",
                self.folder.display()
            );
            Error::new(message).help(RECOMPILE)
        });
        checked.map(|(model, _)| model)
    }

    /// A program: its verified plan and its machine code.
    fn build(&self, program: &str, interfaces: &Interfaces) -> Result<Build> {
        let name = format!("{program}.json");
        let path = self.folder.join(&name);
        let stored: Stored = serde_json::from_slice(self.file(&name)?).map_err(|error| {
            Error::file(&path, "not a valid file of a compiled model", error).help(RECOMPILE)
        })?;
        let plan = VerifiedPlan::new(stored.plan).map_err(|error| {
            Error::file(&path, "the plan fails verification", error).help(RECOMPILE)
        })?;
        if let Some(found) = interfaces.disagreement(program, &plan) {
            let message = format!(
                "{}: the program differs from the model: {found}",
                path.display()
            );
            return Err(Error::new(message).help(RECOMPILE));
        }
        let mut images = Vec::new();
        for arch in &self.manifest.architectures {
            let image = self.file(&format!("{program}.{arch}.{}", kind(arch)))?;
            images.push((arch.clone(), image.to_vec()));
        }
        let precision = self.manifest.precision;
        let cuda = (!images.is_empty()).then_some(Binary { precision, images });
        Ok(Build {
            cuda,
            ..Build::new(program, plan)
        })
    }
}

/// The file ending of an image for an architecture.
fn kind(arch: &str) -> &'static str {
    match arch.starts_with("compute_") {
        true => "ptx",
        false => "cubin",
    }
}

impl Compiled {
    /// Removes the machine code, so that a GPU compiles the verified plans.
    pub fn without_images(mut self) -> Self {
        let Training {
            gradient,
            steady,
            update,
        } = &mut self.training;
        let builds = [gradient, update, &mut self.evaluate];
        for build in builds.into_iter().chain(steady) {
            build.cuda = None;
        }
        self
    }
}
