//! Who imports whom, file by file.

use super::tokens::tokens;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// A file's module: its path from the crate's root, such as `plan`, `values`.
type Module = Vec<String>;

/// What a file holds.
struct File {
    /// As messages name it: `src/plan/values.rs`.
    name: String,
    /// Its `mod` lines, in their order.
    children: Vec<String>,
    /// The names that it imports or passes on, with their paths.
    imports: BTreeMap<String, Vec<String>>,
    /// The functions and macros that it defines itself, outside of `impl`s.
    functions: BTreeSet<String>,
    /// Every path in it that begins with `crate`, `super`, `self` or a child, and whether it
    /// stands in a `pub use`.
    paths: Vec<(Vec<String>, bool)>,
}

/// The files of a crate.
pub struct Crate {
    files: BTreeMap<Module, File>,
}

/// A file uses an item of another.
struct Use<'a> {
    from: &'a Module,
    to: Module,
    item: Option<String>,
    is_reexport: bool,
}

impl Crate {
    pub fn read(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        add(
            folder,
            "src",
            &folder.join("lib.rs"),
            "src/lib.rs",
            Vec::new(),
            &mut files,
        );
        Crate { files }
    }

    /// Where a path leads from a module: to a file, and to an item in it.
    fn resolve(
        &self,
        from: &Module,
        path: &[String],
        depth: usize,
    ) -> Option<(Module, Option<String>)> {
        let mut module = from.clone();
        for (index, segment) in path.iter().enumerate() {
            let file = &self.files[&module];
            match segment.as_str() {
                "crate" => module.clear(),
                "self" => {}
                "super" => drop(module.pop()?),
                name if file.children.iter().any(|child| child == name) => {
                    module.push(name.to_string());
                }
                name => {
                    let import = file.imports.get(name);
                    let Some(import) = import.filter(|import| depth < 8 && *import != path) else {
                        return Some((module, Some(segment.clone())));
                    };
                    let whole = [import.as_slice(), &path[index + 1..]].concat();
                    return self.resolve(&module, &whole, depth + 1);
                }
            }
        }
        Some((module, None))
    }

    fn uses(&self) -> Vec<Use<'_>> {
        let mut uses = Vec::new();
        for (from, file) in &self.files {
            for (path, is_reexport) in &file.paths {
                let Some((to, item)) = self.resolve(from, path, 0) else {
                    continue;
                };
                if to != *from {
                    uses.push(Use {
                        from,
                        to,
                        item,
                        is_reexport: *is_reexport,
                    });
                }
            }
        }
        uses
    }

    fn name(&self, module: &Module) -> &str {
        &self.files[module].name
    }

    /// The pairs of files that import against the order of `mod` lines, as `FROM imports TO`: a
    /// file imports from a sibling, or from a folder beside it, that is listed below it.
    pub fn arrows_up(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for Use { from, to, .. } in self.uses() {
            let common = common(from, &to);
            if common == from.len() || common == to.len() {
                continue;
            }
            let children = &self.files[&from[..common].to_vec()].children;
            let place =
                |module: &Module| children.iter().position(|child| *child == module[common]);
            if place(&to) > place(from) {
                found.insert(format!("{} imports {}", self.name(from), self.name(&to)));
            }
        }
        found
    }

    /// The circles between a folder's own file and the files in it, as `FROM calls TO`: FROM lies in
    /// the folder and calls a function of the folder's file, which uses FROM, or a file that
    /// uses it. Types of the folder's file may be used by all in the folder.
    pub fn circles(&self) -> BTreeSet<String> {
        let uses = self.uses();
        let mut found = BTreeSet::new();
        for call in &uses {
            let is_inside = call.from.starts_with(&call.to);
            let function = call.item.as_ref();
            let calls = function.is_none_or(|name| self.files[&call.to].functions.contains(name));
            if is_inside && calls && reaches(&uses, &call.to, call.from) {
                found.insert(format!(
                    "{} calls {}",
                    self.name(call.from),
                    self.name(&call.to)
                ));
            }
        }
        found
    }
}

/// Whether a folder's file uses a module in the folder, be it by way of others in it.
fn reaches(uses: &[Use], folder: &Module, module: &Module) -> bool {
    let mut reached: BTreeSet<&Module> = BTreeSet::from([folder]);
    let mut open = vec![folder];
    while let Some(from) = open.pop() {
        for next in uses
            .iter()
            .filter(|next| next.from == from && !next.is_reexport)
        {
            if next.to.starts_with(folder) && reached.insert(&next.to) {
                open.push(&next.to);
            }
        }
    }
    module != folder && reached.contains(module)
}

/// How many folders two modules share.
fn common(a: &Module, b: &Module) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// Reads a file and those of its `mod` lines, which lie in a folder.
fn add(
    folder: &Path,
    folder_name: &str,
    path: &Path,
    name: &str,
    module: Module,
    files: &mut BTreeMap<Module, File>,
) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
    let tokens = tokens(&text);
    let file = File::new(name, &tokens);
    for child in &file.children {
        let below = folder.join(child);
        let below_name = format!("{folder_name}/{child}");
        let inside = below.join("mod.rs");
        let (path, name) = match inside.exists() {
            true => (inside, format!("{below_name}/mod.rs")),
            false => (
                folder.join(format!("{child}.rs")),
                format!("{below_name}.rs"),
            ),
        };
        let module = [module.as_slice(), std::slice::from_ref(child)].concat();
        add(&below, &below_name, &path, &name, module, files);
    }
    files.insert(module, file);
}

/// Whether a statement begins with the attribute `path`: it names a file outside the sources.
fn has_path(before: &[String]) -> bool {
    let attributes = before.iter().rev();
    attributes
        .take_while(|token| ![";", "}"].contains(&token.as_str()))
        .any(|token| token == "path")
}

impl File {
    fn new(name: &str, tokens: &[String]) -> Self {
        let mut file = File {
            name: name.to_string(),
            children: Vec::new(),
            imports: BTreeMap::new(),
            functions: BTreeSet::new(),
            paths: Vec::new(),
        };
        let mut depth = 0;
        for (at, token) in tokens.iter().enumerate() {
            let after = |count: usize| tokens.get(at + count).map_or("", String::as_str);
            match token.as_str() {
                "{" => depth += 1,
                "}" => depth -= 1,
                "mod" if depth == 0 && after(2) == ";" && !has_path(&tokens[..at]) => {
                    file.children.push(after(1).to_string());
                }
                "fn" if depth == 0 => drop(file.functions.insert(after(1).to_string())),
                "macro_rules" => drop(file.functions.insert(after(2).to_string())),
                _ => {}
            }
        }
        for (at, token) in tokens.iter().enumerate() {
            let before = |count: usize| at.checked_sub(count).map_or("", |at| &tokens[at]);
            let is_start = ["crate", "super", "self"].contains(&token.as_str())
                || file.children.contains(token);
            if !is_start || before(1) == "::" || tokens.get(at + 1).is_none_or(|next| next != "::")
            {
                continue;
            }
            let is_use = before(1) == "use";
            // `pub use` or `pub(crate) use`.
            let is_reexport = is_use && (before(2) == "pub" || before(2) == ")");
            let mut paths = Vec::new();
            tree(tokens, at, Vec::new(), &mut paths);
            for (path, name) in paths {
                if is_use {
                    file.imports.insert(name, path.clone());
                }
                file.paths.push((path, is_reexport));
            }
        }
        file
    }
}

/// The paths of a tree such as `a::{b, c::d as e}` with the names that they end in; returns the
/// place after it.
fn tree(
    tokens: &[String],
    mut at: usize,
    mut path: Vec<String>,
    paths: &mut Vec<(Vec<String>, String)>,
) -> usize {
    let token = |at: usize| tokens.get(at).map_or("", String::as_str);
    loop {
        if token(at) == "{" {
            at += 1;
            while token(at) != "}" && at < tokens.len() {
                at = tree(tokens, at, path.clone(), paths);
                at += usize::from(token(at) == ",");
            }
            return at + 1;
        }
        let is_word = |text: &str| {
            text.chars()
                .all(|c| c.is_alphanumeric() || c == '_' || c == '*')
        };
        if !is_word(token(at)) || token(at).is_empty() {
            break;
        }
        path.push(token(at).to_string());
        at += 1;
        if token(at) != "::" {
            break;
        }
        at += 1;
    }
    // `{self, …}` is the module itself.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if token(at) == "as" {
        name = token(at + 1).to_string();
        at += 2;
    }
    paths.push((path, name));
    // Whatever stands here in an expression is no part of the tree; within braces it is skipped.
    at
}
