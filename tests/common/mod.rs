//! What several tests need.
#![allow(dead_code, reason = "each test uses some of it")]

pub mod emulator;

use dgc::{
    distribution::Domain,
    driver,
    lower::Mode,
    model::{Checked, Role},
    run::{
        arrays::{self, NamedArray},
        bound::Arrays,
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
    let folder = root().parent().expect("the repository has a parent").join("shared").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: {} is not there", folder.display());
    None
}

/// The files of `models/`, by name.
pub fn models() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(root().join("models"))
        .expect("there are models")
        .map(|entry| entry.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dgm"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are models");
    files
}

/// Whether a model is a variant of another, made of the same kinds of kernels: what takes long is tested on the other.
pub fn is_variant(file: &Path) -> bool {
    const VARIANTS: &[&str] = &[
        "adgm2",
        "adgm_conv",
        "adgm_vat",
        "cadgm",
        "ladder",
        "ladder_gamma",
        "m1",
        "m1m2",
        "m1m2_joint",
        "moons",
        "sdgm3",
        "vat",
    ];
    file.file_stem().is_some_and(|name| VARIANTS.contains(&name.to_string_lossy().as_ref()))
}

/// A checked model from a file, with some sizes set.
pub fn load(file: &Path, sets: &[(&str, &str)]) -> Checked {
    let text = std::fs::read_to_string(file).expect("the model can be read");
    let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
    check(&name, &text, sets)
}

/// A checked model from text.
pub fn check(name: &str, text: &str, sets: &[(&str, &str)]) -> Checked {
    let sets: Vec<(String, String)> = sets.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    match driver::check(name, text, &sets) {
        Ok((model, _)) => model,
        Err(mistakes) => panic!("{}", dgc::diagnostic::render(&mistakes, name, text, false)),
    }
}

pub fn read(path: &Path) -> Arrays {
    let (arrays, _) = arrays::read(path).expect("the arrays can be read");
    arrays.into_iter().map(|array| (array.name.clone(), array)).collect()
}

/// The largest difference, in proportion to the largest number of the second list.
pub fn distance(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len(), "as many numbers");
    let scale = expected.iter().fold(0.0f64, |most, x| most.max(x.abs())).max(1e-30);
    found.iter().zip(expected).fold(0.0f64, |most, (a, b)| most.max((a - b).abs())) / scale
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
];

/// A model of small sizes.
pub fn small(file: &std::path::Path) -> Checked {
    let full = load(file, &[]);
    let has = |name: &str| full.settings.iter().any(|(known, _)| known == name);
    load(file, &SMALL.iter().copied().filter(|(name, _)| has(name)).collect::<Vec<_>>())
}

/// Numbers from a stream of their own, of that scale.
pub fn numbers(name: &str, count: usize, scale: f64) -> Vec<f64> {
    (0..count as u64).map(|element| scale * philox::normal(1, 0, philox::stream(name), element)).collect()
}

/// Random parameters for a model, with every layer of it.
pub fn parameters(model: &Checked) -> Arrays {
    let rows = vec![2; driver::derive(model).cases.len()];
    let graph = driver::lower(model, &driver::derive(model), &rows, Mode::BOUND);
    let entries = Layout::new(&graph.parameters, &graph.axes).entries.into_iter();
    let arrays = entries.map(|entry| {
        let name = entry.parameter.name.clone();
        let data = numbers(&name, entry.len(), 0.5);
        (name.clone(), NamedArray { name, shape: entry.shape, data })
    });
    arrays.collect()
}

/// A batch in which the first of the rows are labelled.
pub fn batch(model: &Checked, rows: usize, labelled: usize) -> Arrays {
    let mut arrays = Arrays::new();
    for variable in &model.variables {
        let (name, size) = (variable.name.clone(), variable.size());
        let (shape, data) = match (variable.role, variable.domain) {
            (Role::Label, _) => {
                let class = |row: usize| if row < labelled { (row % size) as f64 } else { -1.0 };
                (vec![rows], (0..rows).map(class).collect())
            }
            (Role::Data, Domain::Binary) => {
                (vec![rows, size], numbers(&name, rows * size, 1.0).into_iter().map(|x| f64::from(x > 0.0)).collect())
            }
            (Role::Data, _) => (vec![rows, size], numbers(&name, rows * size, 1.0)),
            _ => continue,
        };
        arrays.insert(name.clone(), NamedArray { name, shape, data });
    }
    arrays
}

/// Writes `small.dgm`, an ADGM, and `data.safetensors`, data for it, of sizes that no tile divides.
pub fn write_small_adgm(folder: &Path) {
    let text = std::fs::read_to_string(root().join("models/adgm.dgm")).expect("a model");
    let text = text
        .replace(
            "pixels = 784, classes = 10, aux = 100, latent = 100, hidden = 500",
            "pixels = 9, classes = 3, aux = 2, latent = 3, hidden = 7",
        )
        .replace("    schedule cosine warmup 1\n", "")
        .replace("labelled 100, unlabelled 100", "labelled 5, unlabelled 11");
    std::fs::write(folder.join("small.dgm"), text).expect("a file can be written");
    let rows = 57;
    let array = |name: &str, shape: &[usize], data: Vec<f64>| NamedArray {
        name: name.to_string(),
        shape: shape.to_vec(),
        data,
    };
    let greys = numbers("greys", rows * 9, 1.0).into_iter().map(|x| f64::from(x > 0.3)).collect();
    let labels = (0..rows).map(|row| if row < 9 { (row % 3) as f64 } else { -1.0 }).collect();
    let data = [array("x", &[rows, 9], greys), array("y", &[rows], labels)];
    arrays::write(&folder.join("data.safetensors"), &data, Default::default(), false).expect("a file");
}
