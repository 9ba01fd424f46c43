//! What the folders of runs and of compiled models promise: nothing of others is lost, and a run
//! goes on with what it began with.

use crate::common;

use common::program::{fails, fine};

#[test]
fn files_of_others_stay() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_adgm(at);
    let mine = at.join("mine");
    std::fs::create_dir(&mine).expect("a folder can be made");
    for name in [".tmpnotes", "model.dgm", "settings.json"] {
        std::fs::write(mine.join(name), "mine").expect("a file can be written");
        assert!(
            fails(at, &["train", "small.dgm", "-o", "mine"])
                .contains("expected an empty folder, found other files")
        );
    }
    let other = |arguments: &[&str]| {
        assert!(
            fails(at, arguments).contains("expected an empty folder, found other files"),
            "{arguments:?}"
        )
    };
    other(&["train", "small.dgm", "-o", "mine"]);
    other(&["compile", "small.dgm", "-o", "mine"]);
    for name in ["model.dgm", ".tmpnotes", "settings.json"] {
        assert_eq!(
            std::fs::read_to_string(mine.join(name)).expect("a file"),
            "mine"
        );
    }
    fine(at, &["compile", "small.dgm", "-o", "compiled"]);
    fine(
        at,
        &[
            "compile",
            "small.dgm",
            "--set",
            "hidden=3",
            "-o",
            "compiled",
        ],
    );
    other(&["train", "small.dgm", "-o", "compiled"]);
    // Without a list, nobody knows whose the files are.
    std::fs::remove_file(at.join("compiled/compiled.json")).expect("a file can be removed");
    assert!(
        fails(at, &["compile", "small.dgm", "-o", "compiled"])
            .contains("expected a file of an earlier compilation")
    );
    fine(
        at,
        &[
            "train",
            "small.dgm",
            "--data",
            "data.safetensors",
            "--epochs",
            "1",
            "-o",
            "run",
        ],
    );
    other(&["compile", "small.dgm", "-o", "run"]);
    fine(at, &["train", "run", "--resume", "--epochs", "2"]);
    assert!(
        fails(at, &["predict", "run", "-o", "nowhere/labels.csv"])
            .contains("the folder nowhere does not exist")
    );
}

/// A run of another model, or on other data, is another run; the same data may lie elsewhere.
#[test]
fn a_run_goes_on_with_what_it_began_with() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_adgm(at);
    let rename = |from: &str, to: &str| {
        std::fs::rename(at.join(from), at.join(to)).expect("a file can be renamed")
    };
    fine(
        at,
        &[
            "train",
            "small.dgm",
            "--data",
            "data.safetensors",
            "--epochs",
            "1",
            "-o",
            "run",
        ],
    );
    let text = std::fs::read_to_string(at.join("small.dgm")).expect("a model");
    std::fs::write(
        at.join("other.dgm"),
        text.replace("hidden = 7", "hidden = 8"),
    )
    .expect("a file can be written");
    assert!(
        fails(at, &["train", "other.dgm", "-o", "run", "--resume"])
            .contains("the run's model differs from")
    );
    assert!(fails(at, &["train", "gone.dgm", "-o", "run", "--resume"]).contains("gone.dgm"));
    fine(
        at,
        &[
            "train",
            "small.dgm",
            "-o",
            "run",
            "--resume",
            "--epochs",
            "2",
        ],
    );
    rename("data.safetensors", "moved.safetensors");
    assert!(
        fails(at, &["train", "run", "--resume", "--epochs", "3"]).contains("found no such file")
    );
    fine(
        at,
        &[
            "train",
            "run",
            "--resume",
            "--epochs",
            "3",
            "--data",
            "moved.safetensors",
        ],
    );
    fine(at, &["eval", "run", "--samples", "1"]);
    let path = at.join("moved.safetensors");
    let mut arrays = dgc::run::arrays::read(&path).expect("arrays").0;
    arrays
        .iter_mut()
        .find(|array| array.name == "x")
        .expect("x")
        .data[5] = 0.5;
    dgc::run::arrays::write(&path, &arrays, Default::default(), false).expect("a file");
    let checkpoint = || std::fs::read(at.join("run/checkpoint.safetensors")).expect("a checkpoint");
    let before = checkpoint();
    for arguments in [
        &["train", "run", "--resume", "--epochs", "4"][..],
        &["eval", "run", "--samples", "1"],
    ] {
        assert!(
            fails(at, arguments)
                .contains("the data differ from the data that the run was started with"),
            "{arguments:?}"
        );
    }
    assert!(checkpoint() == before);
    fine(
        at,
        &[
            "eval",
            "run",
            "--samples",
            "1",
            "--data",
            "moved.safetensors",
        ],
    );
}

/// What never came to a checkpoint has nothing to lose.
#[test]
fn a_run_that_failed_at_once_is_begun_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_adgm(at);
    let text = std::fs::read_to_string(at.join("small.dgm")).expect("a model");
    let wrong = text.replace(
        "weight 0.1 * rows / labelled",
        "weight rows / (labelled - 9)",
    );
    assert_ne!(text, wrong);
    std::fs::write(at.join("wrong.dgm"), wrong).expect("a file can be written");
    let train = |model| {
        [
            "train",
            model,
            "--data",
            "data.safetensors",
            "--epochs",
            "1",
            "-o",
            "run",
        ]
    };
    assert!(fails(at, &train("wrong.dgm")).contains("fails before any learning"));
    fine(at, &train("small.dgm"));
    assert!(fails(at, &train("small.dgm")).contains("expected a new folder, found a run"));
}
