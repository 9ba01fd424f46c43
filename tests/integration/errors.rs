//! One mistake per file of `tests/errors/`, the whole message kept.

use dgc::{diagnostic, driver};

#[test]
fn every_mistake_is_explained() {
    let mut files = 0;
    insta::glob!("../errors", "*.dgm", |path| {
        files += 1;
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
        assert!(mistakes.iter().any(|diagnostic| diagnostic.is_error()));
        insta::assert_snapshot!(diagnostic::render(&mistakes, &name, &text, false));
    });
    assert!(files >= 60, "{files} files");
}
