//! The shape of the source: modules import in one direction, files hold one idea.

use crate::common;

use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(&common::root().join(folder), &mut found);
    found.sort();
    let relative = |path: &PathBuf| {
        path.strip_prefix(common::root())
            .expect("a file of the repository")
            .display()
            .to_string()
    };
    found
        .iter()
        .map(|path| {
            (
                relative(path),
                std::fs::read_to_string(path).expect("a source can be read"),
            )
        })
        .collect()
}

#[test]
fn modules_import_only_what_stands_above_them() {
    let lib =
        std::fs::read_to_string(common::root().join("src/lib.rs")).expect("the crate has a root");
    let order: Vec<&str> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    assert!(order.len() > 10, "the crate's root lists its modules");
    for (file, text) in all("src") {
        let own = file
            .trim_start_matches("src/")
            .split(['/', '.'])
            .next()
            .expect("a file has a name")
            .to_string();
        let Some(rank) = order.iter().position(|module| *module == own) else {
            continue;
        };
        // `use crate::{a, b::c}` and `crate::a` in the text.
        let grouped = text.split("use crate::{").skip(1).flat_map(|rest| {
            let body = &rest[..rest
                .find("\n};")
                .or_else(|| rest.find("};"))
                .unwrap_or(rest.len())];
            body.lines()
                .map(|line| line.trim().to_string())
                .collect::<Vec<_>>()
        });
        let single = text.split("crate::").skip(1).map(str::to_string);
        for import in grouped.chain(single) {
            let name: String = import
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if let Some(imported) = order.iter().position(|module| *module == name) {
                assert!(
                    imported <= rank,
                    "{file} imports `{name}`, which stands below `{own}` in src/lib.rs"
                );
            }
        }
    }
}

#[test]
fn files_hold_one_idea() {
    let long: Vec<String> = ["src", "tests"]
        .iter()
        .flat_map(|folder| all(folder))
        .filter(|(_, text)| text.lines().count() > 500)
        .map(|(file, text)| format!("{file}: {} lines", text.lines().count()))
        .collect();
    assert!(long.is_empty(), "past 500 lines: {long:?}");
}

#[test]
fn sources_do_not_give_up() {
    for (file, text) in all("src") {
        for (number, line) in text.lines().enumerate() {
            let code = line.split("//").next().unwrap_or("");
            for word in [".unwrap()", "todo!", "unimplemented!"] {
                assert!(!code.contains(word), "{file}:{}: {word}", number + 1);
            }
        }
    }
}
