//! The code blocks of the language's description.

use crate::common;

/// The code blocks of the page, with what their fences say.
fn blocks() -> Vec<(String, String)> {
    let page = std::fs::read_to_string(common::root().join("docs/language.md"))
        .expect("the page can be read");
    let mut blocks = Vec::new();
    for part in page.split("```dgm").skip(1) {
        let (kind, rest) = part.split_once('\n').expect("a fence ends its line");
        let (code, _) = rest.split_once("```").expect("a block is closed");
        blocks.push((kind.trim().to_string(), code.to_string()));
    }
    blocks
}

#[test]
fn every_code_block_is_a_model() {
    let blocks = blocks();
    let base = &blocks
        .iter()
        .find(|(kind, _)| kind == "base")
        .expect("there is a model for fragments")
        .1;
    for (kind, code) in &blocks {
        let text = match kind.as_str() {
            "" | "base" | "model" => code.clone(),
            "objective without sum" => base.replace("    sum y\n", code),
            "objective" => base.replace("    sum y\n", &format!("    sum y\n{code}")),
            "train" => base.replace(
                "  objective {",
                &format!("  train {{\n{code}  }}\n\n  objective {{"),
            ),
            // Variables that are declared need factors, so a declaration is parsed, and its nets
            // and sizes checked.
            "declaration" => base.replace("  net body", &format!("{code}\n  net body")),
            kind => panic!("unknown kind of block `{kind}`"),
        };
        let (file, tree) = ("language.md", dgc::syntax::parse(&text));
        assert!(tree.is_ok(), "does not parse:\n{text}\n{tree:?}");
        let checked = dgc::driver::check(file, &text, &[]);
        if let Ok((model, _)) = &checked {
            let rows = vec![4; dgc::driver::derive(model).cases.len()];
            let graph = dgc::driver::step(model, &rows, dgc::lower::Mode::BOUND);
            dgc::driver::plan(&graph, dgc::plan::NoiseSource::Generated).expect("a plan");
        }
        if let Err(mistakes) = checked {
            let serious: Vec<_> = mistakes
                .iter()
                .filter(|mistake| !mistake.title.contains("has no factor"))
                .collect();
            assert!(
                kind == "declaration" && serious.is_empty(),
                "{}",
                dgc::diagnostic::render(&mistakes, file, &text, false)
            );
        }
    }
    assert!(blocks.len() >= 8);
}
