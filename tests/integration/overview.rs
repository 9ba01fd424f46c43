//! `dgc runs`: a table of runs.

use crate::common::{
    self,
    program::{dgc, fails, fine},
};

#[test]
fn runs_are_compared() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_m2(at);
    let train = [
        "train",
        "small.dgm",
        "--data",
        "data.safetensors",
        "--validation",
        "10",
    ];
    let runs = [
        (vec!["--seed", "1", "--epochs", "2"], "runs/first"),
        (
            vec!["--seed", "2", "--epochs", "1", "--set", "rate=1e-4"],
            "runs/deep/er/second",
        ),
    ];
    for (options, run) in &runs {
        fine(
            at,
            &[&train[..], options, &["-o", run, "--threads", "1"]].concat(),
        );
    }
    // A folder that is no run is passed over, and a damaged run is named.
    std::fs::create_dir_all(at.join("runs/other")).expect("a folder");
    std::fs::create_dir_all(at.join("runs/broken")).expect("a folder");
    std::fs::write(at.join("runs/broken/settings.json"), "{}").expect("a file");
    let output = dgc(at, &["runs"]);
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("left out: runs/broken/settings.json"),
        "{said}"
    );
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    for title in [
        "run", "seed", "changed", "epochs", "minutes", "error", "bound",
    ] {
        assert!(lines[0].contains(title), "{table}");
    }
    // What is the same for all is left out.
    assert!(
        !lines[0].contains("model") && !lines[0].contains("data"),
        "{table}"
    );
    assert!(
        lines[1].starts_with("runs/deep/er/second") && lines[1].contains("rate=1e-4"),
        "{table}"
    );
    assert!(
        lines[2].starts_with("runs/first") && lines[2].contains("2/2"),
        "{table}"
    );
    assert!(lines[1].contains("(validation)"), "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&fine(at, &["runs", "runs/first", "--json"])).expect("JSON");
    let metrics = std::fs::read_to_string(at.join("runs/first/metrics.jsonl")).expect("metrics");
    let last: serde_json::Value =
        serde_json::from_str(metrics.lines().last().expect("a line")).expect("JSON");
    assert_eq!(json[0]["bound"], last["validation"]["bound"]);
    assert_eq!(json[0]["errors"][""], last["validation"]["error"]);
    assert_eq!(
        (&json[0]["epochs"], &json[0]["seed"]),
        (&2.into(), &1.into())
    );
    let sorted = fine(at, &["runs", "--sort", "bound", "--json"]);
    let sorted: serde_json::Value = serde_json::from_str(&sorted).expect("JSON");
    assert!(sorted[0]["bound"].as_f64() >= sorted[1]["bound"].as_f64());
    // Epochs that the checkpoint lacks do not count, and a damaged checkpoint is named.
    let second = at.join("runs/deep/er/second");
    let logged = std::fs::read_to_string(second.join("metrics.jsonl")).expect("metrics");
    let lost = logged.replacen("\"epoch\":1,", "\"epoch\":2,", 1);
    std::fs::write(second.join("metrics.jsonl"), logged + &lost).expect("a file");
    let json: serde_json::Value =
        serde_json::from_str(&fine(at, &["runs", "runs/deep", "--json"])).expect("JSON");
    assert_eq!(json[0]["epochs"], 1);
    for damaged in [
        &b""[..],
        b"1234567",
        b"\xff\xff\xff\xff\xff\xff\xff\xff{}",
        &[0; 20],
    ] {
        std::fs::write(second.join("checkpoint.safetensors"), damaged).expect("a file");
        let output = dgc(at, &["runs"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success());
        assert!(
            said.contains("left out: runs/deep/er/second/checkpoint.safetensors"),
            "{said}"
        );
    }
    assert!(fails(at, &["runs", "runs/other"]).contains("found no run"));
    assert!(fails(at, &["runs", "nowhere"]).contains("nowhere: cannot be read"));
}
