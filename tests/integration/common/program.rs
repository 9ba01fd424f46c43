//! The program as a user runs it.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
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

/// Runs a command that reads standard input.
pub fn dgc_with_input(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_dgc"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that refuses its arguments does not read.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    child.wait_with_output().expect("the program ends")
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
