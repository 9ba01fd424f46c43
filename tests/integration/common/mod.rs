//! What several tests need.
#![allow(dead_code, reason = "each test uses some of it")]

pub mod emulator;
pub mod program;
pub mod slopes;
pub mod tiny;

use dgc::{
    distribution::Domain,
    driver,
    estimator::{ESTIMATORS, Estimator},
    layer::LAYERS,
    lower::Mode,
    model::{Model, Role},
    run::{
        arrays::{self, NamedArray},
        bound::{Arrays, Engine, bound},
        session::Layout,
    },
    tensor::philox,
};
use std::path::{Path, PathBuf};

/// The repository's folder.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder beside the repository with material for tests alone; says so loudly where it is absent.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = root()
        .parent()
        .expect("the repository has a parent")
        .join("shared")
        .join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there", folder.display());
    None
}

/// The files of `models/`, by name.
pub fn models() -> Vec<PathBuf> {
    models_in(&root().join("models"))
}

/// The model files of a folder, by name.
pub fn models_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("there are models")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dgm"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are models");
    files
}

/// Whether a model is a variant of another, made of kernels that the other or a model of
/// `tests/golden` has: what takes long is tested on those.
pub fn is_variant(file: &Path) -> bool {
    const VARIANTS: &[&str] = &[
        "adgm2",
        "adgm_conv",
        "adgm_gumbel",
        "adgm_shared",
        "adgm_top",
        "adgm_vat",
        "cadgm",
        "cells",
        "ladder",
        "ladder_gamma",
        "m1",
        "m1m2",
        "m1m2_joint",
        "moons",
        "sdgm3",
        "sdgm_top",
        "vae_mixture",
        "vamp",
        "vat",
    ];
    file.file_stem()
        .is_some_and(|name| VARIANTS.contains(&name.to_string_lossy().as_ref()))
}

/// A checked model from a file, with some sizes set.
pub fn load(file: &Path, sets: &[(&str, &str)]) -> Model {
    let text = std::fs::read_to_string(file).expect("the model can be read");
    let name = file
        .file_name()
        .expect("a file has a name")
        .to_string_lossy()
        .into_owned();
    check(&name, &text, sets)
}

/// A checked model from text.
pub fn check(name: &str, text: &str, sets: &[(&str, &str)]) -> Model {
    let sets: Vec<(String, String)> = sets
        .iter()
        .map(|(a, b)| (a.to_string(), b.to_string()))
        .collect();
    match driver::check(name, text, &sets) {
        Ok((model, _)) => model,
        Err(mistakes) => panic!("{}", dgc::diagnostic::render(&mistakes, name, text, false)),
    }
}

pub fn read(path: &Path) -> Arrays {
    let (arrays, _) = arrays::read(path).expect("the arrays can be read");
    arrays
        .into_iter()
        .map(|array| (array.name.clone(), array))
        .collect()
}

/// The largest difference, in proportion to the largest number of the second list.
pub fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "as many numbers");
    let scale = expected
        .iter()
        .fold(0.0f64, |most, x| most.max(x.abs()))
        .max(1e-30);
    found
        .iter()
        .zip(expected)
        .fold(0.0f64, |most, (a, b)| most.max((a - b).abs()))
        / scale
}

/// Sizes that leave a model small.
pub const SMALL: &[(&str, &str)] = &[
    ("pixels", "5"),
    ("classes", "3"),
    ("aux", "2"),
    ("latent", "2"),
    ("lower", "3"),
    ("upper", "2"),
    ("hidden", "4"),
    ("middle", "5"),
    ("top", "4"),
    ("side", "8"),
    ("channels", "2"),
    ("components", "3"),
    ("genes", "5"),
    ("types", "3"),
];

/// The sizes of a model file that make it small.
pub fn small_sizes(file: &Path) -> Vec<(&'static str, &'static str)> {
    let full = load(file, &[]);
    let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
    let small = SMALL.iter().copied();
    small.filter(|(name, _)| has(name)).collect()
}

/// A model of small sizes.
pub fn small(file: &Path) -> Model {
    load(file, &small_sizes(file))
}

/// Numbers from a stream of their own, of that scale.
pub fn numbers(name: &str, count: usize, scale: f64) -> Vec<f64> {
    (0..count as u64)
        .map(|element| scale * philox::normal(1, 0, philox::stream(name), element))
        .collect()
}

/// Random parameters for a model, with every layer of it.
pub fn parameters(model: &Model) -> Arrays {
    let rows = vec![2; driver::derive(model).cases.len()];
    let graph = driver::lower(model, &driver::derive(model), &rows, Mode::BOUND);
    let entries = Layout::new(&graph.parameters, &graph.axes)
        .entries
        .into_iter();
    let arrays = entries.map(|entry| {
        let name = entry.parameter.name.clone();
        let data = numbers(&name, entry.len(), 0.5);
        (
            name.clone(),
            NamedArray {
                name,
                shape: entry.shape,
                data,
            },
        )
    });
    arrays.collect()
}

/// A batch in which the first of the rows are labelled. Of a variable with missing values, the last row
/// has none, and other rows lack some.
pub fn batch(model: &Model, rows: usize, labelled: usize) -> Arrays {
    let mut arrays = Arrays::new();
    for variable in &model.variables {
        let (name, size) = (variable.name.clone(), variable.size());
        let is_observed = variable.role.is_always_observed() || variable.role == Role::Weight;
        let (shape, mut data): (Vec<usize>, Vec<f64>) = match (variable.role, variable.domain) {
            (Role::Label, Domain::Class) => {
                let class = |row: usize| {
                    if row < labelled {
                        (row % size) as f64
                    } else {
                        -1.0
                    }
                };
                (vec![rows], (0..rows).map(class).collect())
            }
            (Role::Label, _) => {
                let mut data = numbers(&name, rows * size, 1.0);
                data[labelled * size..].fill(f64::NAN);
                (vec![rows, size], data)
            }
            (_, Domain::Class) if is_observed => (
                vec![rows],
                (0..rows).map(|row| (row % size) as f64).collect(),
            ),
            (_, Domain::Binary) if is_observed => (
                vec![rows, size],
                numbers(&name, rows * size, 1.0)
                    .into_iter()
                    .map(|x| f64::from(x > 0.0))
                    .collect(),
            ),
            (_, domain) if is_observed => {
                let fit = |x: f64| match domain {
                    Domain::Count => (3.0 * x.abs()).floor(),
                    Domain::Positive => x.abs() + 0.1,
                    Domain::Unit => 1.0 / (1.0 + x.exp()),
                    _ => x,
                };
                (
                    vec![rows, size],
                    numbers(&name, rows * size, 1.0)
                        .into_iter()
                        .map(fit)
                        .collect(),
                )
            }
            _ => continue,
        };
        if variable.missing && variable.role != Role::Label {
            let (width, none) = match variable.domain {
                Domain::Class => (1, -1.0),
                _ => (size, f64::NAN),
            };
            for (at, value) in data.iter_mut().enumerate() {
                if at / width + 1 == rows || at % 5 == 3 {
                    *value = none;
                }
            }
        }
        arrays.insert(name.clone(), NamedArray { name, shape, data });
    }
    arrays
}

/// The length of the difference of all numbers, in proportion to theirs.
pub fn distance_of_all<'a>(pairs: impl Iterator<Item = (&'a [f64], &'a [f64])>) -> f64 {
    let pairs = pairs.flat_map(|(found, wanted)| found.iter().zip(wanted));
    let (off, length) = pairs.fold((0.0, 0.0), |(off, length), (found, wanted)| {
        (off + (found - wanted).powi(2), length + wanted.powi(2))
    });
    (off / length).sqrt()
}

/// A model's text without the lines that begin with a word.
fn without(text: &str, word: &str) -> String {
    text.split_inclusive('\n')
        .filter(|line| !line.trim_start().starts_with(word))
        .collect()
}

/// A model's text with every term of the bound sampled, and of weight 1.
pub fn sampled(text: &str) -> String {
    ["beta ", "labelled ", "analytic "]
        .iter()
        .fold(text.to_string(), |text, line| without(&text, line))
}

pub fn loss(model: &Model, parameters: &Arrays, batch: &Arrays) -> f64 {
    let report = bound(model, parameters, batch, None, 3, &Engine::Reference).expect("a bound");
    report.json["loss"].as_f64().expect("a loss")
}

/// Every gradient against central differences along a random direction.
pub fn finite_differences(model: &Model) {
    slopes_of(model, &parameters(model), &batch(model, 5, 2));
}

/// Every gradient on these rows against central differences along a random direction.
pub fn slopes_of(model: &Model, parameters: &Arrays, batch: &Arrays) {
    let report = bound(model, parameters, batch, None, 3, &Engine::Reference).expect("a bound");
    assert!(
        !report.gradients.is_empty(),
        "{} has parameters",
        model.name
    );
    for gradient in &report.gradients {
        let direction = numbers(
            &format!("direction {}", gradient.name),
            gradient.data.len(),
            1.0,
        );
        let step = 1e-5;
        let at = |sign: f64| {
            let mut moved = parameters.clone();
            let array = moved
                .get_mut(&gradient.name)
                .expect("a gradient is of a parameter");
            array
                .data
                .iter_mut()
                .zip(&direction)
                .for_each(|(x, d)| *x += sign * step * d);
            loss(model, &moved, batch)
        };
        let wanted = (at(1.0) - at(-1.0)) / (2.0 * step);
        let found: f64 = gradient
            .data
            .iter()
            .zip(&direction)
            .map(|(g, d)| g * d)
            .sum();
        let error = (found - wanted).abs() / wanted.abs().max(1.0);
        assert!(
            error < 1e-5,
            "{}: {} has slope {found} instead of {wanted}",
            model.name,
            gradient.name
        );
    }
}

/// A model for each layer, which is on features in p and on images in q.
pub fn layer_models() -> Vec<Model> {
    let mut models = Vec::new();
    for layer in LAYERS {
        let (call, of_images) = match layer.name() {
            "dense" => ("dense(4)", "dense(2, 4, 3)"),
            "residual" => (
                "residual [dense(4) > tanh]",
                "residual [conv(2, 3, padding = 1) > tanh]",
            ),
            "conv" => ("", "conv(3, 2, stride = 2, padding = 1)"),
            "conv_transpose" => ("", "conv_transpose(2, 3, stride = 2, padding = 1)"),
            "max_pool" => ("", "max_pool(2)"),
            "mean_pool" => ("", "mean_pool(2, stride = 1)"),
            // Noise is off here; matching.rs has it on.
            "noise" => ("noise(1)", "noise(1)"),
            // Of two parents: models/ladder.dgm has it.
            "combinator" => continue,
            "log" => ("tanh > softplus > log", "tanh > softplus > log"),
            "log1p" => ("relu > log1p", "relu > log1p"),
            name => (name, name),
        };
        let features = match call {
            "" => "dense(4)".to_string(),
            call => format!("dense(4) > {call}"),
        };
        // No head is clamped, because beyond its range a gradient is no derivative.
        let text = format!(
            "model layers {{\n data x: real[3]\n latent z: real[2]\n\
             generative {{\n z ~ normal(0, 1)\n\
             z -> x ~ normal(mean = [{features} > dense(3)], log_variance = 0)\n}}\n\
             inference {{\n x -> z ~ normal(mean = [dense(2, 4, 3) > {of_images} > dense(2)], log_variance = 0)\n}}\n}}\n"
        );
        models.push(check(&format!("{}.dgm", layer.name()), &text, &[]));
    }
    models
}

/// A small model for each estimator, with its line.
pub fn estimator_models() -> Vec<Model> {
    let model = |estimator: &&dyn Estimator| {
        let (keyword, name) = (estimator.keyword(), estimator.name());
        let required = estimator.arguments().iter();
        let required = required.filter(|argument| argument.default.is_none());
        let arguments: Vec<String> = required
            .map(|argument| argument.least.max(2.0).to_string())
            .chain(estimator.takes_network().then(|| "body".to_string()))
            .collect();
        let arguments = arguments.join(", ");
        let line = match keyword == name {
            true => format!("{keyword} y {arguments}"),
            false if arguments.is_empty() => format!("{keyword} y by {name}"),
            false => format!("{keyword} y by {name}({arguments})"),
        };
        let samples = estimator.least_samples().max(3);
        let text = format!(
            "model small {{\n data x: binary[5]\n label y: class[4]\n latent z: real[2]\n\
             net body = [dense(4) > tanh]\n\
             generative {{\n z ~ normal(0, 1)\n y ~ uniform\n y, z -> x ~ bernoulli(body)\n}}\n\
             inference {{\n x -> y ~ categorical(body)\n x, y -> z ~ normal(body)\n}}\n\
             objective {{\n {line}\n samples {samples}\n}}\n}}\n"
        );
        check(&format!("{name}.dgm"), &text, &[])
    };
    ESTIMATORS.iter().map(model).collect()
}

/// The model whose steps training ends with.
pub fn settled(model: &Model) -> Model {
    model
        .steady_state()
        .map_or_else(|| model.clone(), |(_, settled)| settled)
}

/// Writes `small.dgm`, an ADGM, and `data.safetensors`, data for it, of sizes that no tile divides.
pub fn write_small_adgm(folder: &Path) {
    let text = std::fs::read_to_string(root().join("models/adgm.dgm")).expect("a model");
    let text = without(&text, "smooth ").replace(
        "pixels = 784, classes = 10, aux = 100, latent = 100, hidden = 500",
        "pixels = 9, classes = 3, aux = 2, latent = 3, hidden = 7",
    );
    write_small(folder, &text);
}

/// Writes the manifest of a compiled folder, with the checksum that dgc expects.
pub fn write_manifest(folder: &Path, manifest: &mut serde_json::Value) {
    manifest["checksum"] = "".into();
    let text = format!("{manifest:#}\n");
    manifest["checksum"] = dgc::files::hash(text.as_bytes()).into();
    std::fs::write(folder.join("compiled.json"), manifest.to_string()).expect("a file");
}

/// The same with an M2, for tests of programs and folders: it has few kernels, which an emulated GPU
/// compiles and runs soon.
pub fn write_small_m2(folder: &Path) {
    let text = std::fs::read_to_string(root().join("models/m2.dgm")).expect("a model");
    let text = text.replace(
        "pixels = 784, classes = 10, latent = 50, hidden = 500",
        "pixels = 9, classes = 3, latent = 3, hidden = 7",
    );
    write_small(folder, &text);
}

/// Writes a model of 9 pixels and 3 classes whose weights warm up in two epochs, and data for it.
fn write_small(folder: &Path, text: &str) {
    let text = text
        .replace("    schedule cosine warmup 1\n", "")
        // While a weighs nothing, batch norm leaves the bias of its mean no gradient but rounding.
        .replace("beta a 1 warmup 0.4 * epochs", "beta a 1 warmup 2 from 0.5")
        .replace("0.4 * epochs", "2")
        .replace("0.1 * epochs", "1")
        .replace("labelled 50, unlabelled 50", "labelled 5, unlabelled 11");
    assert!(text.contains("pixels = 9, classes = 3") && text.contains("labelled 5, unlabelled 11"));
    std::fs::write(folder.join("small.dgm"), text).expect("a file can be written");
    let rows = 57;
    let array = |name: &str, shape: &[usize], data: Vec<f64>| NamedArray {
        name: name.to_string(),
        shape: shape.to_vec(),
        data,
    };
    let greys = numbers("greys", rows * 9, 1.0)
        .into_iter()
        .map(|x| f64::from(x > 0.3))
        .collect();
    let labels = (0..rows)
        .map(|row| if row < 9 { (row % 3) as f64 } else { -1.0 })
        .collect();
    let data = [array("x", &[rows, 9], greys), array("y", &[rows], labels)];
    arrays::write(
        &folder.join("data.safetensors"),
        &data,
        Default::default(),
        false,
    )
    .expect("a file");
}
