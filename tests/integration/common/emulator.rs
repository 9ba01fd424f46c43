//! The emulated GPU: stand-ins for NVIDIA's driver and compiler, built from `tests/cuda-emulator`
//! by the host's g++; or a real one in its place, where there is one and `DGC_TEST_ON_GPU` is set.

use dgc::files::hash;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// The folder with both libraries, under the address sanitizer, and with what was compiled by them.
/// Its name tells their sources and where these are, which the compiler's stand-in keeps: every
/// test program takes the same.
fn libraries() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let here = super::root().join("tests/cuda-emulator");
        let read = |name| std::fs::read(here.join(name)).expect("a file of the emulator");
        let sources = ["build", "device.h", "driver.cpp", "nvrtc.cpp"]
            .map(read)
            .concat();
        let key = hash(&[here.as_os_str().as_encoded_bytes(), &sources].concat());
        let folder =
            PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("emulator-{}", &key[..16]));
        let status = Command::new(here.join("build")).arg(&folder).status();
        assert!(
            status.expect("there is a shell").success(),
            "the emulated GPU compiles"
        );
        folder
    })
}

/// Whether a real GPU takes the emulated one's place.
pub fn is_real() -> bool {
    std::env::var_os("DGC_TEST_ON_GPU").is_some()
}

/// The same, for a test of what only the emulated one does: says loudly that it is skipped.
pub fn skips_on_gpu(test: &str) -> bool {
    if is_real() {
        eprintln!("SKIPPED on a real GPU: {test}");
    }
    is_real()
}

/// A program where there is an emulated GPU and nothing of NVIDIA's.
fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if is_real() {
        return Command::new(program);
    }
    let sanitizer = Command::new("g++")
        .arg("-print-file-name=libasan.so")
        .output()
        .expect("there is a g++");
    let sanitizer = String::from_utf8_lossy(&sanitizer.stdout)
        .trim()
        .to_string();
    let mut command = Command::new(program);
    command
        .env("LD_LIBRARY_PATH", libraries())
        .env("LD_PRELOAD", sanitizer)
        .env("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=0")
        .env("DGC_CACHE", libraries().join("cache"))
        .env_remove("CUDA_HOME")
        .env_remove("CUDA_PATH");
    command
}

/// Runs the program there.
pub fn dgc(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = command(env!("CARGO_BIN_EXE_dgc"));
    command
        .args(arguments)
        .current_dir(folder)
        .envs(variables.iter().copied())
        .output()
        .expect("the program starts")
}

/// Starts the program there.
pub fn spawn(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> std::process::Child {
    let mut command = command(env!("CARGO_BIN_EXE_dgc"));
    command
        .args(arguments)
        .current_dir(folder)
        .envs(variables.iter().copied())
        .spawn()
        .expect("the program starts")
}

/// Whether there is a GPU here, emulated or real. If not, the test of that name is run again where
/// there is an emulated one, and must pass.
pub fn is_here(test: &str) -> bool {
    const HERE: &str = "DGC_TEST_ON_EMULATOR";
    let here = std::env::var_os(HERE).is_some() || is_real();
    if !here {
        passes(test, &[(HERE, "1")]);
    }
    here
}

/// Runs a test of this program again where there is an emulated GPU; it must pass.
pub fn passes(test: &str, variables: &[(&str, &str)]) {
    let test_program = std::env::current_exe().expect("a test runs");
    let mut command = command(test_program);
    let output = command
        .args(["--exact", test, "--nocapture"])
        .envs(variables.iter().copied())
        .output();
    let output = output.expect("the test starts");
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{test} on the emulated GPU: {text}{errors}"
    );
    eprintln!("{errors}");
}

/// A folder with the driver alone, for what was compiled before.
pub fn driver_alone() -> PathBuf {
    let folder = libraries().join("driver");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let link = folder.join("libcuda.so.1");
    if !link.exists() {
        // Another test of this process may have been quicker.
        let _ = std::os::unix::fs::symlink(libraries().join("libcuda.so.1"), &link);
    }
    folder
}

/// The same, and what it prints; it must not fail.
pub fn fine(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = dgc(folder, arguments, variables);
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "dgc {arguments:?}: {text}{errors}");
    text.into_owned()
}
