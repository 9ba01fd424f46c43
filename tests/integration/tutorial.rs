//! The models of the tutorials and of the language's description.
//!
//! A block that begins with `model` is a complete model and passes the checker without a warning.
//! A block marked `fragment` shows lines of the complete model that follows it on the page, as they
//! stand there. The blocks of `docs/language.md` that need a model around them are tested in
//! `language.rs`. The examples of the guides are files that the unit tests compile. Links between
//! the pages of the documentation, and paths in them, name files that exist.

use crate::common;

use std::path::{Path, PathBuf};

/// A fenced block of a page: what the fence says behind `dgm`, and the text.
struct Block {
    kind: String,
    text: String,
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).expect("the page can be read");
    let parts = text.split("```dgm").skip(1);
    parts
        .map(|part| {
            let (kind, rest) = part.split_once('\n').expect("a fence ends its line");
            let (text, _) = rest.split_once("```").expect("a block is closed");
            Block {
                kind: kind.trim().to_string(),
                text: text.to_string(),
            }
        })
        .collect()
}

fn tutorials() -> Vec<PathBuf> {
    let folder = common::root().join("docs/tutorials");
    let entries = std::fs::read_dir(folder).expect("the folder can be listed");
    let mut pages: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages
}

fn is_complete(block: &Block) -> bool {
    block.text.starts_with("model ") || block.text.contains("\nmodel ")
}

#[test]
fn complete_models_are_accepted() {
    let language = common::root().join("docs/language.md");
    let mut count = 0;
    for page in tutorials().into_iter().chain([language]) {
        let name = page.display().to_string();
        // `base` is the frame of fragments, which use what it leaves unused.
        let complete = blocks(&page)
            .into_iter()
            .filter(|block| is_complete(block) && block.kind != "base");
        for block in complete {
            count += 1;
            let found = match dgc::driver::check(&name, &block.text, &[]) {
                Ok((_, warnings)) => warnings,
                Err(mistakes) => mistakes,
            };
            let shown = dgc::diagnostic::render(&found, &name, &block.text, false);
            assert!(found.is_empty(), "{name}:\n{shown}");
            let formatted = dgc::syntax::format(&block.text);
            assert_eq!(formatted, block.text, "{name}: as `dgc fmt` formats it");
        }
    }
    assert!(count >= 10, "{count} models");
}

/// The lines of a text, without the spaces that align them.
fn lines(text: &str) -> Vec<String> {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines()
        .map(words)
        .filter(|line| !line.is_empty())
        .collect()
}

#[test]
fn fragments_are_lines_of_the_model_below() {
    for page in tutorials() {
        let blocks = blocks(&page);
        for (index, fragment) in blocks.iter().enumerate() {
            if is_complete(fragment) {
                continue;
            }
            assert_eq!(fragment.kind, "fragment", "{}", fragment.text);
            let model = blocks[index..].iter().find(|block| is_complete(block));
            let model = lines(&model.expect("a complete model follows").text);
            for line in lines(&fragment.text) {
                assert!(model.contains(&line), "{}: `{line}`", page.display());
            }
        }
    }
}

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The pages of the documentation.
fn documentation() -> Vec<PathBuf> {
    let root = common::root();
    let names = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ];
    let mut found: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
    for folder in ["docs", "bench", "data"] {
        pages(&root.join(folder), &mut found);
    }
    found
}

/// Links and pictures between pages name files of the repository.
#[test]
fn links_between_pages_resolve() {
    for page in documentation() {
        let text = std::fs::read_to_string(&page).expect("the page can be read");
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next());
        let pictures = text.split("src=\"").skip(1);
        let pictures = pictures.map(|rest| rest.split('"').next());
        for link in links.chain(pictures).flatten() {
            let file = link.split('#').next().unwrap_or("");
            if file.is_empty() || link.starts_with("http") {
                continue;
            }
            let folder = page.parent().expect("a page is in a folder");
            let shown = page.display();
            assert!(folder.join(file).exists(), "{shown}: there is no {link}");
        }
    }
}

/// The first block of these guides is a file, which the unit tests compile and `cargo fmt` formats.
#[test]
fn examples_of_the_guides_are_their_files() {
    let folder = common::root().join("docs/contributing");
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).expect("a file can be read");
    for (guide, file) in [
        ("distribution.md", "exponential.rs"),
        ("layer.md", "rmsnorm.rs"),
        ("optimizer.md", "rmsprop.rs"),
    ] {
        let guide = read(guide);
        let block = guide.split("```rust\n").nth(1).expect("a block of Rust");
        let (block, _) = block.split_once("```").expect("a block is closed");
        assert_eq!(block, read(&format!("examples/{file}")), "{file}");
    }
}

/// The folders whose paths are checked.
const FOLDERS: &[&str] = &[
    "src/",
    "tests/",
    "docs/",
    "kernels/",
    "models/",
    "examples/",
    "grammar/",
    "bench/",
    ".ci/",
];

/// Files that the examples of the guides add.
const ADDED_BY_GUIDES: &[&str] = &[
    "src/distribution/exponential.rs",
    "src/layer/rmsnorm.rs",
    "src/lines/entropy.rs",
    "src/optimizer/rmsprop.rs",
    "tests/errors/entropy_of_latent.dgm",
    "tests/golden/entropy.dgm",
];

/// The paths between backticks in a text: `src/plan/mod.rs`, and that of the command
/// `.ci/compare BASE`. Patterns such as `src/layer/NAME.rs` and `models/*.dgm` are left out.
fn paths(text: &str) -> Vec<&str> {
    let is_pattern = |path: &str| path.contains(['*', '…', '{', '<']) || path.contains("NAME");
    let words = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .filter_map(|quoted| quoted.split_whitespace().next());
    words
        .filter(|path| FOLDERS.iter().any(|folder| path.starts_with(folder)))
        .filter(|path| !is_pattern(path))
        .collect()
}

/// A path that a page names is a file or a folder of the repository.
#[test]
fn paths_in_pages_exist() {
    let root = common::root();
    let mut count = 0;
    for page in documentation() {
        let text = std::fs::read_to_string(&page).expect("the page can be read");
        for path in paths(&text) {
            count += 1;
            let exists = root.join(path).exists();
            let expected = !ADDED_BY_GUIDES.contains(&path);
            let shown = page.display();
            assert_eq!(exists, expected, "{shown}: whether there is a `{path}`");
        }
    }
    assert!(count >= 50, "{count} paths");
}

/// The blocks of a page that begin with a fence.
fn fenced<'t>(text: &'t str, fence: &str) -> Vec<&'t str> {
    let parts = text.split(fence).skip(1);
    let blocks = parts.map(|part| part.split_once("```").expect("a block is closed").0);
    blocks.collect()
}

/// Runs the commands of a page in a folder. Their output has every line of the page that has no number;
/// numbers differ between machines. Python runs scripts of the repository.
fn run_commands(text: &str, at: &Path, commands: usize) {
    let (mut count, mut output) = (0, String::new());
    for line in fenced(text, "```console\n")
        .into_iter()
        .flat_map(str::lines)
    {
        if let Some(command) = line.strip_prefix("$ dgc ") {
            let words = command.split_whitespace();
            let words: Vec<&str> = words.map(|word| word.trim_matches('\'')).collect();
            output = common::program::fine(at, &words);
            count += 1;
        } else if let Some(script) = line.strip_prefix("$ python3 ") {
            let python = std::process::Command::new("python3")
                .arg(common::root().join(script))
                .current_dir(at)
                .output()
                .expect("Python starts");
            assert!(python.status.success(), "{python:?}");
            output = String::from_utf8_lossy(&python.stdout).into_owned();
            count += 1;
        } else if !line.contains(|c: char| c.is_ascii_digit() || c == '…') {
            assert!(output.contains(line), "no {line:?} in {output}");
        }
    }
    assert_eq!(count, commands);
}

fn tutorial(page: &str) -> String {
    let page = common::root().join("docs/tutorials").join(page);
    std::fs::read_to_string(page).expect("the page can be read")
}

/// Runs the commands of a tutorial with its table.
fn follow(page: &str, table: &str, commands: usize) {
    let text = tutorial(page);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    std::fs::copy(common::root().join("data").join(table), at.join(table)).expect("a copy");
    let new = fenced(&text, "```csv\n").pop();
    std::fs::write(at.join("new.csv"), new.expect("the page has new rows")).expect("a file");
    run_commands(&text, at, commands);
    let model = Path::new(table).with_extension("dgm");
    let model = std::fs::read_to_string(at.join(model)).expect("a model");
    assert!(
        text.contains(&model),
        "the page has the model that `dgc new` writes:\n{model}"
    );
}

/// Runs the commands of the tutorial on images with its model.
#[test]
fn a_folder_of_images_becomes_a_classifier() {
    let python = std::process::Command::new("python3")
        .arg("--version")
        .output();
    if !python.is_ok_and(|python| python.status.success()) {
        eprintln!("SKIPPED: the tutorial on images needs `python3`, which does not run here");
        return;
    }
    let text = tutorial("images.md");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    let model = fenced(&text, "```dgm\n");
    std::fs::write(at.join("digits.dgm"), model[0]).expect("a file is written");
    run_commands(&text, at, 7);
    let error = error_of(&common::program::fine(at, &["eval", "runs/digits"]));
    // Guesses are wrong in 90 %.
    assert!(error < 25.0, "a test error of {error} %");
}

/// The error of a label that `dgc eval` prints, in percent.
fn error_of(evaluation: &str) -> f64 {
    let line = evaluation
        .lines()
        .find_map(|line| line.strip_prefix("error of digit: "));
    let number = line.and_then(|line| line.strip_suffix(" %"));
    number
        .expect("a line with the error")
        .parse()
        .expect("a number")
}

#[test]
fn the_table_becomes_probabilities() {
    follow("table.md", "iris.csv", 5);
}

/// Cells and a query: the page has the script of its data and the model.
#[test]
fn cells_and_a_new_batch_get_types() {
    let root = common::root();
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("a file can be read");
    let text = tutorial("cells.md");
    assert_eq!(fenced(&text, "```python\n"), [read("data/cells.py")]);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    for file in ["cells.h5ad", "query.h5ad"] {
        std::fs::copy(root.join("data").join(file), at.join(file)).expect("a copy");
    }
    let model = fenced(&text, "```dgm\n");
    std::fs::write(at.join("cells.dgm"), model[0]).expect("a model");
    run_commands(&text, at, 7);
    let arrays = dgc::run::data::read_arrays(&at.join("normalized.npz")).expect("arrays");
    let counts = arrays.iter().find(|array| array.name == "counts");
    let counts = counts.expect("the means of the counts");
    assert_eq!(counts.shape, [400, 50]);
    for cell in counts.data.chunks(50) {
        let total: f64 = cell.iter().sum();
        assert!((total - 10_000.0).abs() < 1.0, "{total}");
    }
    // The page says that most of the types are right.
    for run in ["runs/cells", "runs/query"] {
        let said = common::program::fine(at, &["eval", run, "--json", "--threads", "1"]);
        let found: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        let error = found["error of cell_type"].as_f64().expect("an error");
        assert!(error < 0.1, "{run}: {error}");
    }
}

#[test]
fn the_table_with_gaps_is_filled_in() {
    follow("missing.md", "iris-gaps.csv", 6);
}
