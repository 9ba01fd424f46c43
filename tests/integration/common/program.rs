//! The program as a user runs it.

use std::{
    path::Path,
    process::{Command, Output},
};

pub fn dgc(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dgc"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("the program starts")
}

pub fn fine(folder: &Path, arguments: &[&str]) -> String {
    let output = dgc(folder, arguments);
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "dgc {arguments:?}: {text}{errors}");
    text.into_owned()
}

/// What a failing command says; a panic is no message.
pub fn fails(folder: &Path, arguments: &[&str]) -> String {
    let output = dgc(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success(),
        "dgc {arguments:?} was fine: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(!errors.contains("panicked"), "{errors}");
    errors
}
