//! One mistake per file of `tests/errors/`, the whole message kept.

use crate::common;
use dgc::{diagnostic, driver};

#[test]
fn every_mistake_is_explained() {
    let files = common::models_in(&common::root().join("tests/errors"));
    assert!(files.len() >= 60, "{} files", files.len());
    // `insta::glob!` keeps its state for the whole process, so a failure of another test beside
    // this one would be blamed on a file here. Settings belong to the thread.
    for path in &files {
        let text = std::fs::read_to_string(path).expect("a model can be read");
        let name = path
            .file_name()
            .expect("a file has a name")
            .to_string_lossy()
            .into_owned();
        let mistakes = match driver::check(&name, &text, &[]) {
            Ok(_) => panic!("{name} has a mistake that was not found"),
            Err(mistakes) => mistakes,
        };
        assert!(
            mistakes.iter().any(|diagnostic| diagnostic.is_error()),
            "{name}"
        );
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_suffix(&name);
        settings.set_input_file(path);
        let shown = diagnostic::render(&mistakes, &name, &text, false);
        settings.bind(|| insta::assert_snapshot!("every_mistake_is_explained", shown));
    }
}
