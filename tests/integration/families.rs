//! Kernel families of the CPU: each can be chosen, a run records its family and keeps it, and the
//! families that are said to give the same bits give them.

use crate::common;

use common::program::{dgc, fails, fine};
use dgc::{KernelFamily, Precision};
use serde_json::Value;
use std::{fs, path::Path};

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// A folder with a small model and data.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    common::write_small_m2(folder.path());
    folder
}

fn train(folder: &Path, run: &str, precision: Precision, more: &[&str]) {
    let precision = precision.to_string();
    let arguments = [
        "train",
        "small.dgm",
        "--data",
        "data.safetensors",
        "--validation",
        "8",
        // Wider than the vectors, and no multiple of them.
        "--set",
        "hidden=70",
        "--device",
        "cpu",
        "--precision",
        &precision,
        "-o",
        run,
    ];
    fine(folder, &[&arguments[..], more].concat());
}

/// Resumes a run and returns the notes.
fn resume(folder: &Path, run: &str, more: &[&str]) -> String {
    let arguments = ["train", run, "--resume", "--device", "cpu"];
    let output = dgc(folder, &[&arguments[..], more].concat());
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{notes}");
    notes
}

fn settings(folder: &Path, run: &str) -> Value {
    let bytes = fs::read(folder.join(run).join("settings.json")).expect("a file can be read");
    serde_json::from_slice(&bytes).expect("settings are JSON")
}

/// The families that a run records.
fn recorded(folder: &Path, run: &str) -> Vec<String> {
    let settings = settings(folder, run);
    let families = settings["kernels"].as_array().expect("a list").iter();
    let families = families.map(|family| family.as_str().expect("a text").to_string());
    families.collect()
}

/// Writes that other kernels trained a run.
fn rename_kernels(folder: &Path, run: &str, title: &str) {
    let mut settings = settings(folder, run);
    settings["kernels"] = serde_json::json!([title]);
    let path = folder.join(run).join("settings.json");
    fs::write(path, settings.to_string()).expect("a file can be written");
}

fn checkpoint(folder: &Path, run: &str) -> Vec<u8> {
    fs::read(folder.join(run).join("checkpoint.safetensors")).expect("a file can be read")
}

/// Trains with every family of this CPU. AVX-512 and AVX2 give the same bits in f32, and in bf16 so
/// does AVX512-BF16. AMX rounds sums in another order, and the baseline after each product.
#[test]
fn every_family_trains_and_is_recorded() {
    let folder = folder();
    let at = folder.path();
    for precision in PRECISIONS {
        let mut fused: Vec<(&str, Vec<u8>)> = Vec::new();
        for family in KernelFamily::all(precision) {
            let run = format!("{precision}-{}", family.name());
            train(
                at,
                &run,
                precision,
                &["--epochs", "2", "--kernel-family", family.name()],
            );
            assert_eq!(recorded(at, &run), [family.title()]);
            if !matches!(family, KernelFamily::Amx(_) | KernelFamily::Portable) {
                fused.push((family.name(), checkpoint(at, &run)));
            }
        }
        for pair in fused.windows(2) {
            let [(first, bits), (second, others)] = pair else {
                unreachable!("windows of two");
            };
            assert!(bits == others, "{precision}: {first} and {second} differ");
        }
        let default = KernelFamily::default_for(precision).expect("a CPU has the precision");
        train(at, &precision.to_string(), precision, &["--epochs", "2"]);
        assert_eq!(recorded(at, &precision.to_string()), [default.title()]);
        let named = format!("{precision}-{}", default.name());
        assert!(checkpoint(at, &precision.to_string()) == checkpoint(at, &named));
    }
}

/// Whatever the default is, a run goes on with its family, unless another one is named.
#[test]
fn a_run_keeps_its_family() {
    let folder = folder();
    let at = folder.path();
    for precision in PRECISIONS {
        let families = KernelFamily::all(precision);
        let last = families.last().expect("a CPU has the precision");
        let [whole, part] = ["whole", "part"].map(|run| format!("{run}-{precision}"));
        let by_last = ["--kernel-family", last.name()];
        train(
            at,
            &whole,
            precision,
            &[&["--epochs", "3"], &by_last[..]].concat(),
        );
        train(
            at,
            &part,
            precision,
            &[&["--epochs", "1"], &by_last[..]].concat(),
        );
        let notes = resume(at, &part, &["--epochs", "3"]);
        assert!(!notes.contains("kernels"), "{notes}");
        assert!(checkpoint(at, &part) == checkpoint(at, &whole));
        assert_eq!(recorded(at, &part), [last.title()]);
        let Some(first) = families.first().filter(|first| *first != last) else {
            eprintln!("SKIPPED: this CPU has one kernel family");
            continue;
        };
        let other = ["--epochs", "4", "--kernel-family", first.name()];
        let notes = resume(at, &part, &other);
        let expected = format!(
            "the run was trained with {} kernels and resumes with {} kernels",
            last.title(),
            first.title()
        );
        assert!(notes.contains(&expected), "{notes}");
        assert_eq!(recorded(at, &part), [last.title(), first.title()]);
    }
}

#[test]
fn a_run_goes_on_with_the_default_where_its_family_is_missing() {
    let folder = folder();
    let at = folder.path();
    let default = KernelFamily::default_for(Precision::F32).expect("every CPU has f32");
    train(at, "whole", Precision::F32, &["--epochs", "2"]);
    // AMX does not multiply in f32, so no CPU has these kernels.
    for (number, missing) in ["AVX-1024", "AMX", "CUDA sm_90"].into_iter().enumerate() {
        let run = number.to_string();
        train(at, &run, Precision::F32, &["--epochs", "1"]);
        rename_kernels(at, &run, missing);
        let notes = resume(at, &run, &["--epochs", "2"]);
        let expected = format!(
            "the run was trained with {missing} kernels, which this device lacks, and resumes with \
             {} kernels",
            default.title()
        );
        assert!(notes.contains(&expected), "{notes}");
        assert_eq!(recorded(at, &run), [missing, default.title()]);
        assert!(checkpoint(at, &run) == checkpoint(at, "whole"));
    }
}

#[test]
fn a_family_that_is_missing_is_refused() {
    let folder = folder();
    let at = folder.path();
    let bench = ["bench", "small.dgm", "--steps", "1", "--kernel-family"];
    for precision in PRECISIONS {
        let families = KernelFamily::all(precision);
        let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
        let name = precision.to_string();
        // AMX multiplies only bf16.
        let wrong = if precision == Precision::F32 {
            "amx"
        } else {
            "AVX2"
        };
        let message = fails(at, &[&bench[..], &[wrong, "--precision", &name]].concat());
        let expected = format!(
            "--kernel-family {wrong}: expected a kernel family that this CPU has for {name}: {}",
            names.join(", ")
        );
        assert!(message.contains(&expected), "{message}");
    }
    let message = fails(
        at,
        &[&bench[..], &["portable", "--precision", "tf32"]].concat(),
    );
    assert!(
        message.contains("does not support the precision tf32"),
        "{message}"
    );
    let message = fails(
        at,
        &[&bench[..], &["portable", "--device", "cuda"]].concat(),
    );
    assert!(
        message.contains("--kernel-family portable: a GPU has no kernel families"),
        "{message}"
    );
    // `--device auto` is then the CPU.
    let text = fine(at, &[&bench[..], &["portable"]].concat());
    assert!(text.contains(", f32, portable kernels"), "{text}");
    let text = fine(at, &["doctor"]);
    for precision in PRECISIONS {
        let default = KernelFamily::default_for(precision).expect("a CPU has the precision");
        let line = format!("kernel families for {precision}: ");
        let line = text.lines().find(|found| found.contains(&line));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        assert!(
            line.ends_with(&format!("; default {}", default.name())),
            "{line}"
        );
    }
}
