//! One small model for each construct, and the code that it becomes.
//!
//! A file `tests/golden/NAME.dgm` says in its first lines what to look at:
//!
//! ```text
//! // show plan: p.x.dense1.weight
//! ```
//!
//! shows the parts of the plan that contain this text; without a text, the whole stage is shown. A
//! part is a section of a graph (`// log p(x | z), dense.dgm:12`), a kernel of a plan, or a kernel's
//! piece of a CUDA function; `cuda function` shows the whole function. The stages are those of `dgc
//! compile --emit`; `cuda bf16` is CUDA in another precision, and `update`, `update plan` and
//! `update cuda` are the update of the parameters. What is shown lies beside the model as
//! `NAME.snap`. `INSTA_UPDATE=always cargo test golden` writes it anew.

use crate::common;

use dgc::{
    Stage,
    backend::{Precision, cuda::emit},
    driver,
    model::Model,
    plan::{self, NoiseSource},
    run::{programs, session::Layout},
    tensor,
};
use std::{collections::BTreeSet, path::Path};

/// One `// show STAGE: TEXT` of a file.
struct Request<'a> {
    stage: &'a str,
    text: Option<&'a str>,
}

fn requests(source: &str) -> Vec<Request<'_>> {
    let lines = source.lines().take_while(|line| line.starts_with("//"));
    lines
        .filter_map(|line| line.strip_prefix("// show "))
        .map(|request| match request.split_once(": ") {
            Some((stage, text)) => Request {
                stage,
                text: Some(text),
            },
            None => Request {
                stage: request,
                text: None,
            },
        })
        .collect()
}

/// A stage's text.
fn stage(model: &Model, name: &str) -> String {
    let emit = |stage| model.emit(stage).expect("a small model");
    match name {
        "bound" => emit(Stage::Bound),
        "tensor" => emit(Stage::Tensor),
        "gradient" => emit(Stage::Gradient),
        "simplified" => emit(Stage::Simplified),
        "plan" => emit(Stage::Plan),
        "cuda" | "cuda function" => functions(&emit(Stage::Cuda(Precision::F32))),
        "cuda bf16" => functions(
            &model
                .emit(Stage::Cuda(Precision::Bf16))
                .expect("a small model"),
        ),
        "update" => tensor::print(&update(model)),
        "update plan" => {
            plan::print(&driver::plan(&update(model), NoiseSource::Generated).expect("a plan"))
        }
        "update cuda" => {
            let plan = driver::plan(&update(model), NoiseSource::Generated).expect("a plan");
            functions(&emit::emit(&plan, &model.file, Precision::F32).text)
        }
        other => panic!("`{other}` is not a stage that can be shown"),
    }
}

/// The graph that updates the parameters from their gradients.
fn update(model: &Model) -> tensor::Graph {
    let plan = programs::training(model).expect("programs").gradient.plan;
    let layout = Layout::new(&plan.parameters, &plan.axes);
    driver::update(model, |group| layout.range(group).len())
}

/// A CUDA source without the library, which is the same for all models.
fn functions(source: &str) -> String {
    let (_, functions) = source
        .split_once(emit::BEGIN)
        .expect("the model's functions follow the library");
    functions.to_string()
}

/// Whether a part begins with a line.
fn begins(stage: &str, line: &str) -> bool {
    let is_function = line.is_empty();
    let is_kernel = line.strip_prefix("    // k").is_some_and(|rest| {
        let number = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        number.len() < rest.len() && number.starts_with('_')
    });
    match stage {
        "cuda function" => is_function,
        "cuda" | "cuda bf16" | "update cuda" => is_function || is_kernel,
        _ => !line.starts_with(' '),
    }
}

/// The parts of a stage, without the lists of buffers and outputs at the end.
fn parts(stage: &str, text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for line in text.lines() {
        if begins(stage, line) {
            parts.push(String::new());
        }
        let part = parts.last_mut().expect("a part was begun");
        *part += line;
        *part += "\n";
    }
    parts.retain(|part| !part.starts_with("buffers") && !part.starts_with("outputs"));
    parts
}

/// What a request asks to see, under a heading.
fn section(model: &Model, request: &Request) -> String {
    let Request { stage: name, text } = request;
    let all = stage(model, name);
    let Some(text) = text else {
        return format!("==== {name}\n{}\n", all.trim_matches('\n'));
    };
    let parts = parts(name, &all).into_iter();
    let found: String = parts.filter(|part| part.contains(text)).collect();
    assert!(
        !found.is_empty(),
        "{}: no part of {name} contains `{text}`",
        model.file
    );
    format!("==== {name}: {text}\n{}\n", found.trim_matches('\n'))
}

/// What a file asks to see.
fn shown(file: &Path) -> String {
    let model = common::load(file, &[]);
    let requests = requests(&model.source);
    assert!(!requests.is_empty(), "{} shows nothing", model.file);
    let sections = requests.iter().map(|request| section(&model, request));
    sections.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_construct_becomes_the_code_beside_it() {
    let folder = common::root().join("tests/golden");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let files = common::models_in(&folder);
    for file in &files {
        let name = file
            .file_stem()
            .expect("a file has a name")
            .to_string_lossy();
        settings.bind(|| insta::assert_snapshot!(name.as_ref(), shown(file)));
    }
    let snapshots = std::fs::read_dir(&folder)
        .expect("the folder can be listed")
        .filter(|entry| {
            let path = entry.as_ref().expect("an entry can be read").path();
            path.extension()
                .is_some_and(|extension| extension == "snap")
        });
    assert_eq!(
        snapshots.count(),
        files.len(),
        "each snapshot belongs to a model"
    );
}

/// The functions and types of the CUDA library that a model's functions name.
fn library_names(model: &Model) -> BTreeSet<String> {
    let source = functions(
        &model
            .emit(Stage::Cuda(Precision::F32))
            .expect("a small model"),
    );
    let code = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let code: String = code.map(|line| format!("{line}\n")).collect();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut names = BTreeSet::new();
    for (end, _) in code.match_indices(['(', '<']) {
        let before = &code[..end];
        let name = &before[before.trim_end_matches(is_word).len()..];
        if !name.is_empty() && !name.starts_with("step") {
            names.insert(name.to_string());
        }
    }
    names
}

/// What a variant's kernels call is called by a model of this folder, or by one that is no variant:
/// so the variants need not run on a GPU, nor go through NVIDIA's compiler.
#[test]
fn every_function_of_the_library_is_shown() {
    let constructs = common::models_in(&common::root().join("tests/golden"));
    let mut shown: BTreeSet<String> = constructs
        .iter()
        .flat_map(|file| library_names(&common::load(file, &[])))
        .collect();
    // `devices::constructs_in_f32` has `vat` as well.
    let (tested, variants): (Vec<_>, Vec<_>) = common::models()
        .into_iter()
        .partition(|file| !common::is_variant(file) || file.ends_with("vat.dgm"));
    shown.extend(
        tested
            .iter()
            .flat_map(|file| library_names(&common::small(file))),
    );
    assert!(shown.contains("accumulate"), "{shown:?}");
    for file in variants {
        let names = library_names(&common::small(&file));
        let missing: Vec<&String> = names.difference(&shown).collect();
        assert!(
            missing.is_empty(),
            "only {} calls {missing:?}",
            file.display()
        );
    }
}
