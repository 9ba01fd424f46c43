//! Compiled models: a folder with a model's text, its programs, and machine code for some GPUs.
//!
//! Each program has a file `NAME.json` with its plan and launches; for GPUs also its source
//! `NAME.cu` and an image for each architecture, `NAME.sm_90.cubin` or `NAME.compute_80.ptx`.
//! `compiled.json` lists the files with their hashes.

use super::{
    folder::holds_only,
    programs::{self, Training},
};
use crate::{
    backend::{
        Build, Precision,
        cuda::{
            Binary,
            compile::compile,
            emit::{self, CudaSource, Launch},
            image::{Effort, Image},
        },
    },
    diagnostic, driver,
    error::{Error, Result},
    files::{hash, write_whole},
    lower::Evaluate,
    model::Model,
    plan::Plan,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// What `compiled.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    version: String,
    /// The model file's name, for messages and comments.
    file: String,
    sets: Vec<(String, String)>,
    architectures: Vec<String>,
    /// Of the machine code's contractions.
    precision: Precision,
    /// SHA-256 of each file, in hexadecimal digits.
    files: BTreeMap<String, String>,
}

/// What `NAME.json` holds.
#[derive(Serialize, Deserialize)]
struct Stored {
    plan: Plan,
    launches: Vec<Launch>,
    arena: usize,
}

/// A compiled model, read and verified.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub model: Model,
    pub file: String,
    pub sets: Vec<(String, String)>,
    pub training: Training,
    pub evaluate: Build,
}

/// What the assembler said of a program for an architecture.
pub struct Assembled {
    pub program: String,
    pub architecture: String,
    pub log: String,
}

const MANIFEST: &str = "compiled.json";
const MODEL: &str = "model.dgm";

/// Every program of a model; all have one, `settled` aside, of each name.
pub fn builds(model: &Model) -> Vec<Build> {
    let Training {
        gradient,
        settled,
        update,
    } = programs::training(model);
    let objective = driver::derive(model);
    let case = objective.cases.last().expect("a model has a case");
    // As a run evaluates itself after each epoch.
    let what = Evaluate {
        rows: 200,
        samples: model.objective.samples,
        likelihood: false,
    };
    let evaluate = programs::evaluate(model, case, what);
    [Some(gradient), settled, Some(update), Some(evaluate)]
        .into_iter()
        .flatten()
        .collect()
}

/// A compiled model that is not written yet.
pub struct Made {
    pub builds: Vec<Build>,
    pub assembled: Vec<Assembled>,
    architectures: Vec<String>,
    precision: Precision,
    files: Vec<(String, Vec<u8>)>,
}

/// Makes a model's programs; `architectures` such as `sm_90` get machine code, and the earliest of
/// them PTX that later GPUs can take. The compiler's library must have been found if there are any.
pub fn make(model: &Model, architectures: &[String], precision: Precision) -> Result<Made> {
    let builds = builds(model);
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
    // Much of the compiler runs on one core, so several compile at once.
    let work: Vec<(&Build, &CudaSource, &String)> = builds
        .iter()
        .zip(&sources)
        .filter_map(|(build, source)| Some((build, source.as_ref()?)))
        .flat_map(|(build, source)| architectures.iter().map(move |arch| (build, source, arch)))
        .collect();
    let compiled = work.into_par_iter().map(|(build, source, arch)| {
        let Image { code, log } = compile(&source.text, &build.name, arch, Effort::Full)?;
        let kind = if arch.starts_with("compute_") {
            "ptx"
        } else {
            "cubin"
        };
        let assembled = Assembled {
            program: build.name.clone(),
            architecture: arch.clone(),
            log,
        };
        Ok(((format!("{}.{arch}.{kind}", build.name), code), assembled))
    });
    let (images, assembled): (Vec<_>, Vec<_>) =
        compiled.collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let mut files: Vec<(String, Vec<u8>)> =
        vec![(MODEL.to_string(), model.source.clone().into_bytes())];
    files.extend(images);
    for (Build { name, plan, .. }, source) in builds.iter().zip(sources) {
        let (mut launches, mut arena) = (Vec::new(), 0);
        if let Some(source) = source {
            files.push((format!("{name}.cu"), source.text.into_bytes()));
            (launches, arena) = (source.launches, source.arena);
        }
        let stored = Stored {
            plan: plan.clone(),
            launches,
            arena,
        };
        let json = serde_json::to_string(&stored).expect("a plan is plain data") + "\n";
        files.push((format!("{name}.json"), json.into_bytes()));
    }
    Ok(Made {
        builds,
        assembled,
        architectures,
        precision,
        files,
    })
}

/// Writes a compiled model into a folder.
pub fn write(folder: &Path, model: &Model, sets: &[(String, String)], made: Made) -> Result<()> {
    // What an earlier compilation left, whole or not, may go; anything else may not.
    let mut own: Vec<&str> = made
        .files
        .iter()
        .map(|(name, _)| name.as_str())
        .filter(|name| *name != MODEL)
        .collect();
    let same = fs::read(folder.join(MODEL)).is_ok_and(|text| text == model.source.as_bytes());
    own.extend(same.then_some(MODEL));
    if !is_compiled(folder) {
        holds_only(folder, &|name| {
            name.starts_with(".tmp") || own.contains(&name)
        })?;
    }
    fs::create_dir_all(folder).map_err(|error| Error::file(folder, "cannot be made", error))?;
    // The list goes first and comes last, so that a folder that was not finished is none.
    let former = fs::read(folder.join(MANIFEST))
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    let former = former
        .iter()
        .flat_map(|manifest| manifest.files.keys().map(String::as_str));
    for name in std::iter::once(MANIFEST).chain(former) {
        let _ = fs::remove_file(folder.join(name));
    }
    let mut manifest = Manifest {
        version: env!("CARGO_PKG_VERSION").to_string(),
        file: model.file.clone(),
        sets: sets.to_vec(),
        architectures: made.architectures,
        precision: made.precision,
        files: BTreeMap::new(),
    };
    for (name, bytes) in made.files {
        write_whole(&folder.join(&name), &bytes)?;
        manifest.files.insert(name, hash(&bytes));
    }
    let json = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data") + "\n";
    write_whole(&folder.join(MANIFEST), json.as_bytes())
}

/// 90 of `sm_90`.
fn digits(arch: &str) -> u32 {
    arch.rsplit('_')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Whether a folder holds a compiled model.
pub fn is_compiled(folder: &Path) -> bool {
    folder.join(MANIFEST).is_file()
}

/// Reads what [`write`] wrote, for this version of dgc; changed files are refused.
pub fn read(folder: &Path) -> Result<Compiled> {
    let again = "make it again with dgc compile … -o";
    let read = |path: PathBuf| {
        fs::read(&path).map_err(|error| Error::file(&path, "cannot be read", error).help(again))
    };
    let path = folder.join(MANIFEST);
    let manifest: Manifest = serde_json::from_slice(&read(path.clone())?)
        .map_err(|error| Error::file(&path, "cannot be understood", error).help(again))?;
    if manifest.version != env!("CARGO_PKG_VERSION") {
        let message = format!(
            "{}: compiled by dgc {}, this is {}",
            folder.display(),
            manifest.version,
            env!("CARGO_PKG_VERSION")
        );
        return Err(Error::new(message).help(again));
    }
    let mut files = BTreeMap::new();
    for (name, wanted) in &manifest.files {
        let bytes = read(folder.join(name))?;
        if hash(&bytes) != *wanted {
            let message = format!(
                "{}: not as `dgc compile` wrote it",
                folder.join(name).display()
            );
            return Err(Error::new(message).help(again));
        }
        files.insert(name.as_str(), bytes);
    }
    let file = |name: &str| {
        files.get(name).ok_or_else(|| {
            Error::new(format!("{}: `{name}` is missing", folder.display())).help(again)
        })
    };
    let text = String::from_utf8_lossy(file(MODEL)?).into_owned();
    let (model, _) = driver::check(&manifest.file, &text, &manifest.sets).map_err(|mistakes| {
        let told = diagnostic::render(&mistakes, &manifest.file, &text, false);
        Error::new(format!("the model of this folder cannot be read\n\n{told}")).help(again)
    })?;
    let build = |program: &str| -> Result<Build> {
        let name = format!("{program}.json");
        let stored: Stored = serde_json::from_slice(file(&name)?).map_err(|error| {
            Error::file(&folder.join(&name), "cannot be understood", error).help(again)
        })?;
        let mut images = Vec::new();
        for arch in &manifest.architectures {
            let kind = if arch.starts_with("compute_") {
                "ptx"
            } else {
                "cubin"
            };
            images.push((
                arch.clone(),
                file(&format!("{program}.{arch}.{kind}"))?.clone(),
            ));
        }
        let Stored {
            plan,
            launches,
            arena,
        } = stored;
        let precision = manifest.precision;
        let cuda = (!images.is_empty()).then_some(Binary {
            precision,
            launches,
            arena,
            images,
        });
        Ok(Build {
            name: program.to_string(),
            plan,
            cuda,
        })
    };
    let settled = manifest
        .files
        .contains_key("settled.json")
        .then(|| build("settled"))
        .transpose()?;
    let training = Training {
        gradient: build("gradient")?,
        settled,
        update: build("update")?,
    };
    Ok(Compiled {
        training,
        evaluate: build("evaluate")?,
        model,
        file: manifest.file,
        sets: manifest.sets,
    })
}
