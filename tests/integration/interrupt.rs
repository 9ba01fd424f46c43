//! Runs that are killed at random moments end as if they had not been: with the same checkpoint, the
//! same metrics and the same settings, byte for byte. Wall times are not compared.
//!
//! `DGC_KILLS=500` kills so often instead of a few times. `DGC_PROGRAM` is the path of another
//! program to kill, such as one of an earlier version.

use crate::common;

use common::program;
use dgc::{
    run::arrays::{self, NamedArray},
    tensor::philox,
};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::Write,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The number of kills, over all kinds of run.
const KILLS: usize = 14;
/// The most kills of one run.
const KILLS_OF_A_RUN: usize = 4;
/// The epochs of a run. Each ends with a checkpoint, so that many kills fall into one.
const EPOCHS: &str = "25";

/// A kind of run. In the arguments, `RUN` stands for the run's folder.
struct Kind {
    name: &'static str,
    begin: &'static [&'static str],
    resume: &'static [&'static str],
}

const RESUME: &[&str] = &["train", "RUN", "--resume"];
const KINDS: [Kind; 7] = [
    Kind {
        name: "plain",
        begin: &[
            "train",
            "labelled.dgm",
            "--labels",
            "15",
            "--validation",
            "8",
            "--seed",
            "3",
        ],
        resume: RESUME,
    },
    Kind {
        name: "VAT",
        begin: &["train", "smooth.dgm", "--set", "average.parameters=0.9"],
        resume: RESUME,
    },
    Kind {
        name: "convolution",
        begin: &["train", "image.dgm"],
        resume: RESUME,
    },
    Kind {
        name: "stacked",
        begin: &["train", "stacked.dgm", "--from", "z=lower"],
        resume: RESUME,
    },
    Kind {
        name: "compiled",
        begin: &["train", "compiled"],
        resume: &["train", "compiled", "--resume", "-o", "RUN"],
    },
    Kind {
        name: "bf16",
        begin: &[
            "train",
            "labelled.dgm",
            "--labels",
            "15",
            "--validation",
            "8",
            "--seed",
            "3",
            "--precision",
            "bf16",
        ],
        resume: RESUME,
    },
    Kind {
        name: "early stopping",
        begin: &[
            "train",
            "labelled.dgm",
            "--validation",
            "15%",
            "--seed",
            "3",
            "--criterion",
            "log-loss",
            "--patience",
            "8",
            "--freeze",
            "q.z.*",
        ],
        resume: RESUME,
    },
];

/// Two-dimensional images of six pixels, the data of the fixtures.
const IMAGE: &str = "model image {
  data   x: binary[2, 3]
  latent z: real[2]
  generative {
         z ~ normal(0, 1)
    z -> x ~ bernoulli([dense(2, 2, 3) > relu > conv(1, 3, padding = 1)])
  }
  inference {
    x -> z ~ normal([conv(2, 3, padding = 1) > batchnorm > relu > dense(4) > relu])
  }
  train {
    batch 12
  }
}
";

/// The models and data of all kinds.
fn write_inputs(folder: &Path) {
    let fixtures = common::root().join("tests/fixtures");
    for name in ["labelled", "smooth", "stacked", "unlabelled"] {
        let from = fixtures.join(name).join("run/model.dgm");
        std::fs::copy(from, folder.join(format!("{name}.dgm"))).expect("a file can be copied");
    }
    std::fs::copy(fixtures.join("data.npz"), folder.join("data.npz")).expect("a file");
    std::fs::write(folder.join("image.dgm"), IMAGE).expect("a file can be written");
    let pixels = common::numbers("pixels", 60 * 6, 1.0);
    let image = NamedArray {
        name: "x".to_string(),
        shape: vec![60, 2, 3],
        data: pixels.into_iter().map(|x| f64::from(x > 0.3)).collect(),
    };
    arrays::write(
        &folder.join("image.safetensors"),
        &[image],
        Default::default(),
        false,
    )
    .expect("a file");
    let commands: [&[&str]; 2] = [
        &[
            "train",
            "unlabelled.dgm",
            "--data",
            "data.npz",
            "--device",
            "cpu",
            "-o",
            "lower",
        ],
        &[
            "compile",
            "labelled.dgm",
            "--set",
            "epochs=25",
            "-o",
            "compiled",
        ],
    ];
    for arguments in commands {
        let output = command(folder, arguments)
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{output:?}");
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("DGC_PROGRAM");
    let program = program.unwrap_or(OsString::from(env!("CARGO_BIN_EXE_dgc")));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    command
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    command(folder, arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

impl Kind {
    /// Starts or goes on with a run. A run without settings was not complete, and is begun again.
    fn start(&self, folder: &Path, run: &str) -> Child {
        let resumes = folder.join(run).join("settings.json").exists();
        let fixed = if resumes { self.resume } else { self.begin };
        let mut arguments: Vec<&str> = fixed
            .iter()
            .map(|word| if *word == "RUN" { run } else { *word })
            .collect();
        arguments.extend(["--device", "cpu"]);
        if !resumes {
            let data = match self.name {
                "convolution" => "image.safetensors",
                _ => "data.npz",
            };
            arguments.extend(["--data", data, "--epochs", EPOCHS, "-o", run]);
        }
        start(folder, &arguments)
    }
}

/// The files of a run by name, without the wall times of the metrics.
fn contents(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut bytes = std::fs::read(entry.path()).expect("a file can be read");
        if name == "metrics.jsonl" {
            bytes = without_times(&String::from_utf8_lossy(&bytes)).into_bytes();
        }
        files.insert(name, bytes);
    }
    files
}

fn without_times(log: &str) -> String {
    let line = |line: &str| {
        let mut metrics: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let fields = metrics.as_object_mut().expect("an object");
        for name in ["seconds", "rows_per_second"] {
            fields.shift_remove(name).expect("a time");
        }
        format!("{metrics}\n")
    };
    log.lines().map(line).collect()
}

/// The name of the first file that differs.
fn difference(
    found: &BTreeMap<String, Vec<u8>>,
    expected: &BTreeMap<String, Vec<u8>>,
) -> Option<String> {
    let mut names = expected.keys().chain(found.keys());
    names
        .find(|name| found.get(*name) != expected.get(*name))
        .cloned()
}

/// Trains a run and kills it up to `most` times, at random moments of `length`; then it is left to
/// end. Returns the moments of the kills, in milliseconds, and what went wrong.
fn train(
    kind: &Kind,
    folder: &Path,
    run: &str,
    length: Duration,
    most: usize,
    uniform: &mut dyn FnMut() -> f64,
) -> (Vec<f64>, Option<String>) {
    let mut killed = Vec::new();
    loop {
        let mut child = kind.start(folder, run);
        if killed.len() < most {
            let moment = length.mul_f64(uniform());
            std::thread::sleep(moment);
            if child.try_wait().expect("it can be asked").is_none() {
                child.kill().expect("it can be killed");
                child.wait().expect("it ends");
                killed.push((moment.as_secs_f64() * 1e4).round() / 10.0);
                continue;
            }
        }
        let output = child.wait_with_output().expect("it ends");
        let wrong = (!output.status.success())
            .then(|| String::from_utf8_lossy(&output.stderr).trim().to_string());
        return (killed, wrong);
    }
}

#[test]
fn a_killed_run_ends_as_if_it_had_not_been() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let folder = temporary.path();
    write_inputs(folder);
    let wanted = std::env::var("DGC_KILLS").map_or(KILLS, |kills| kills.parse().expect("a number"));
    let mut drawn = 0;
    let mut uniform = || {
        drawn += 1;
        philox::uniform(23, 0, 7, drawn)
    };
    let expected: Vec<_> = KINDS
        .iter()
        .map(|kind| {
            let begun = Instant::now();
            let run = format!("{}-whole", kind.name);
            let (_, wrong) = train(kind, folder, &run, Duration::ZERO, 0, &mut uniform);
            assert_eq!(wrong, None, "{}", kind.name);
            (begun.elapsed(), contents(&folder.join(run)))
        })
        .collect();
    let checkpoint = |at: usize| &expected[at].1["checkpoint.safetensors"];
    assert!(checkpoint(0) != checkpoint(5), "bf16 rounds");
    let (mut kills, mut runs, mut failures) = ([0; KINDS.len()], 0, Vec::new());
    while kills.iter().sum::<usize>() < wanted {
        // The kind with the fewest kills.
        let at = (0..KINDS.len())
            .min_by_key(|&at| kills[at])
            .expect("there are kinds");
        let (kind, (length, whole)) = (&KINDS[at], &expected[at]);
        let run = format!("{}-{runs}", kind.name);
        let most = KILLS_OF_A_RUN.min(wanted.div_ceil(KINDS.len()));
        let (killed, wrong) = train(kind, folder, &run, *length, most, &mut uniform);
        let found = contents(&folder.join(&run));
        let wrong = wrong.or_else(|| Some(format!("{} differs", difference(&found, whole)?)));
        kills[at] += killed.len();
        runs += 1;
        failures.extend(wrong.map(|wrong| format!("{run}, killed after {killed:?} ms: {wrong}")));
        std::fs::remove_dir_all(folder.join(&run)).expect("a folder can be removed");
    }
    for (kind, kills) in KINDS.iter().zip(kills) {
        eprintln!("{}: {kills} kills", kind.name);
    }
    let all: usize = kills.iter().sum();
    eprintln!("{all} kills in {runs} runs, {} failures", failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Ctrl-C ends a command with code 130 from the start on, here while it reads the model.
#[cfg(unix)]
#[test]
fn an_interrupt_at_the_start_is_handled() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = command(folder.path(), &["train", "-", "-o", "run"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut writer = child.stdin.take().expect("a pipe");
    // More than a pipe holds, so the program has begun to read once all is written.
    let comment = "// a comment\n".repeat(20_000);
    writer.write_all(comment.as_bytes()).expect("dgc reads");
    let interrupt = ["-INT", &child.id().to_string()].map(String::from);
    let sent = Command::new("kill").args(interrupt).status();
    assert!(sent.expect("there is a `kill`").success());
    let status = child.wait().expect("the program ends");
    drop(writer);
    assert_eq!(status.code(), Some(130), "{status}");
    assert!(program::fails(folder.path(), &["eval", "run"]).contains("settings.json"));
}
