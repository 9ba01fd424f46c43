//! What training says of its data before it begins: the summary and the notes.

use crate::common;

use common::program::{dgc, fine};
use dgc::{DataArray, Dataset, Device, Model, Options, Result, Trainer};

/// Two clusters in four features with this many classes, as most small data sets are.
fn model(classes: usize) -> Model {
    let text = format!(
        "model clusters {{
  data   x: real[4]
  label  y: class[{classes}]
  latent z: real[2]
  net body = dense(8) > relu
  generative {{
    z ~ normal(0, 1)
    y ~ uniform
    y, z -> x ~ normal(body)
  }}
  inference {{
    x -> y ~ categorical(body)
    x, y -> z ~ normal(body)
  }}
  objective {{
    sum y
    classify y
  }}
  train {{
    batch labelled 10, unlabelled 20
    epochs 1
  }}
}}
"
    );
    Model::parse("clusters.dgm", &text).expect("a model")
}

/// Rows around −1 and 1, in turn.
fn rows(count: usize) -> Vec<f64> {
    let noise = common::numbers("noise", count * 4, 0.5);
    let centre = |at: usize| {
        if (at / 4).is_multiple_of(2) {
            -1.0
        } else {
            1.0
        }
    };
    let noisy = noise.iter().enumerate();
    noisy.map(|(at, noise)| centre(at) + noise).collect()
}

/// Training and test rows with these labels.
fn arrays(labels: &[i64], test: &[i64]) -> Vec<DataArray> {
    let part = |prefix: &str, labels: &[i64]| {
        let x = DataArray::new(format!("{prefix}x"), [labels.len(), 4], rows(labels.len()));
        let y = DataArray::new(format!("{prefix}y"), [labels.len()], labels.to_vec());
        [x, y]
    };
    let mut all = part("", labels).to_vec();
    if !test.is_empty() {
        all.extend(part("test.", test));
    }
    all
}

fn trainer(classes: usize, arrays: Vec<DataArray>, options: Options) -> Result<Trainer> {
    let model = model(classes);
    let data = Dataset::from_arrays(&model, arrays)?;
    let device = Some(Device::cpu(1));
    Trainer::new(&model, &data, Options { device, ..options })
}

/// The labels 0 and 1 in turn.
fn turns(count: usize) -> Vec<i64> {
    (0..count as i64).map(|row| row % 2).collect()
}

#[test]
fn the_summary_says_what_was_understood() {
    let labels: Vec<i64> = turns(40).into_iter().chain([-1; 20]).collect();
    let all = arrays(&labels, &turns(100));
    let trainer = trainer(2, all, Options::default()).expect("a trainer");
    insta::assert_snapshot!(trainer.summary().to_string().trim_end(), @r"
    data: in memory; 60 training rows, 100 test rows
    labels of y: 40 labelled training rows, 20 of each of 2 classes; 100 labelled test rows
    model: clusters, 262 parameters
    device: CPU, 1 thread, f32
    ");
    let summary = serde_json::to_value(trainer.summary()).expect("plain data");
    assert_eq!(summary["training"]["labels"][0]["unlabelled"], 20);
}

#[test]
fn the_program_begins_with_the_summary() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = folder.path();
    common::write_small_adgm(at);
    std::fs::create_dir(at.join("mnist")).expect("a folder can be made");
    let vae = common::root().join("models/vae.dgm");
    let vae = vae.to_str().expect("a path");
    let train = ["train", vae, "--epochs", "0", "--set", "hidden=2"];
    let output = dgc(
        at,
        &[&train[..], &["--data", "mnist", "-o", "one"]].concat(),
    );
    let (text, errors) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        text.starts_with("data: mnist, the bundled excerpt; 10000 training rows, 2000 test rows\n"),
        "{text}{errors}"
    );
    assert!(
        errors.contains("note: data: `mnist` is the bundled excerpt")
            && errors.contains("help: name the folder as `./mnist`"),
        "{errors}"
    );
    let train = ["train", "small.dgm", "--data", "data.safetensors"];
    let text = fine(at, &[&train[..], &["--epochs", "0", "-o", "two"]].concat());
    assert!(text.contains("data.safetensors; "), "{text}");
}

#[test]
fn arrays_without_a_use_are_named() {
    let mut all = arrays(&turns(60), &[]);
    all.push(DataArray::new("weights", [60], vec![1.0; 60]));
    let trainer = trainer(2, all, Options::default()).expect("a trainer");
    let notes = trainer.notes();
    assert_eq!(
        notes[0].message(),
        "data: the model does not use `weights`, which the data set also has"
    );
}

/// The notes and errors about the data, as the library says them.
fn said(classes: usize, arrays: Vec<DataArray>, options: Options) -> String {
    match trainer(classes, arrays, options) {
        Ok(trainer) => {
            let notes = trainer.notes().iter().map(ToString::to_string);
            notes.collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("error: {error}"),
    }
}

/// The labels that the first rows have, and none for the others.
fn first_labelled(labels: &[i64], count: usize) -> Vec<i64> {
    let at = |(row, &label): (usize, &i64)| if row < count { label } else { -1 };
    labels.iter().enumerate().map(at).collect()
}

#[test]
fn good_data_need_no_note() {
    let labels = first_labelled(&turns(200), 40);
    assert_eq!(
        said(2, arrays(&labels, &turns(100)), Options::default()),
        ""
    );
    // Labels of a whole data set that are hidden, and rows that are held out of it, are no surprise.
    let options = Options {
        labels: Some(20),
        validation: 120,
        ..Options::default()
    };
    assert_eq!(said(2, arrays(&turns(200), &[]), options), "");
}

#[test]
fn labels_of_minus_one_and_one_are_refused() {
    let signs: Vec<i64> = turns(200).iter().map(|label| 2 * label - 1).collect();
    insta::assert_snapshot!(said(2, arrays(&signs, &signs), Options::default()), @r"
    error: data: `y`: expected the classes 0 and 1, found -1 in 100 rows and 1 in 100 rows
      help: -1 marks an unlabelled row; if these are the two classes, replace `y` by (y + 1) / 2; if only one class is labelled, call that class 0
    ");
    // With three classes, 0 may be missing for another reason.
    insta::assert_snapshot!(said(3, arrays(&signs, &turns(100)), Options::default()), @r"
    labels of `y`: no row of classes 0, 2 is among the 100 labelled training rows
      help: these classes are learned from unlabelled rows alone; label a row of each, or declare fewer classes
    ");
}

#[test]
fn labels_that_count_from_one_are_refused() {
    let from_one: Vec<i64> = turns(200).iter().map(|label| label + 1).collect();
    insta::assert_snapshot!(said(2, arrays(&from_one, &[]), Options::default()), @r"
    error: data: `y`: row 1: expected a class from 0 to 1, or -1 for an unlabelled row, found 2, and 99 more such rows
      help: the classes seem to count from 1: subtract 1 from `y` in all labelled rows
    ");
    // A class too many hides the mistake.
    insta::assert_snapshot!(said(3, arrays(&from_one, &from_one), Options::default()), @r"
    labels of `y`: no row of class 0 is among the 200 labelled training rows
      help: if the classes count from 1, subtract 1 and declare `y: class[2]`
    ");
}

#[test]
fn classes_out_of_range_are_counted() {
    let said = |label: i64| {
        let mut labels = turns(200);
        (labels[3], labels[50]) = (label, label);
        said(2, arrays(&labels, &[]), Options::default())
    };
    insta::assert_snapshot!(said(7), @r"
    error: data: `y`: row 3: expected a class from 0 to 1, or -1 for an unlabelled row, found 7, and 1 more such row
      help: number the classes from 0 to 1, or declare `y: class[8]`
    ");
    insta::assert_snapshot!(said(-2), @r"
    error: data: `y`: row 3: expected a class from 0 to 1, or -1 for an unlabelled row, found -2, and 1 more such row
      help: number the classes of `y` from 0 to 1
    ");
}

#[test]
fn classes_without_a_labelled_row_are_named() {
    let labels = first_labelled(&turns(200), 40);
    insta::assert_snapshot!(said(8, arrays(&labels, &turns(100)), Options::default()), @r"
    labels of `y`: no row of classes 2 to 7 is among the 40 labelled training rows
      help: if there are only 2 classes, declare `y: class[2]`; else these classes are learned from unlabelled rows alone
    ");
    // Classes that only some unlabelled rows have.
    let some: Vec<i64> = labels
        .iter()
        .map(|&label| if label < 1 { label } else { 3 })
        .collect();
    insta::assert_snapshot!(said(5, arrays(&some, &turns(100)), Options::default()), @r"
    labels of `y`: no row of classes 1, 2, 4 is among the 40 labelled training rows
      help: these classes are learned from unlabelled rows alone; label a row of each, or declare fewer classes
    ");
}

#[test]
fn few_labelled_rows_are_counted() {
    let test = first_labelled(&turns(100), 7);
    insta::assert_snapshot!(said(2, arrays(&turns(200), &test), Options::default()), @r"
    test: the error of `y` rests on 7 labelled rows; one row is 14.3 percentage points
      help: hold out training rows with the option `validation`, or add labelled test rows
    ");
    let none = first_labelled(&turns(100), 0);
    insta::assert_snapshot!(said(2, arrays(&turns(200), &none), Options::default()), @r"
    test: none of the 100 rows is labelled, so `y` has no error
      help: hold out training rows with the option `validation`, or add labelled test rows
    ");
}

#[test]
fn test_labels_of_one_class_are_named() {
    // −1 and +1 in place of 0 and 1.
    let signs: Vec<i64> = turns(400).iter().map(|class| 2 * class - 1).collect();
    insta::assert_snapshot!(said(2, arrays(&turns(200), &signs), Options::default()), @r"
    test: all 200 labelled rows are of class 1 of `y`, so its error says little
      help: label rows of other classes; −1 marks a row without a label
    ");
}

#[test]
fn validation_rows_that_take_labels_are_counted() {
    let labels = first_labelled(&turns(400), 40);
    let options = Options {
        validation: 200,
        ..Options::default()
    };
    insta::assert_snapshot!(said(2, arrays(&labels, &[]), options), @r"
    validation: the 200 held-out rows have 16 of the 40 labels of `y`, which training does not see
      help: hold out fewer rows, or name rows to evaluate on `test.…` and `test.y` in the data
    validation: the error of `y` rests on 16 labelled rows; one row is 6.2 percentage points
      help: hold out more rows
    ");
}

#[test]
fn validation_rows_that_take_every_label_are_refused() {
    let labels = first_labelled(&turns(40), 2);
    let said = |labels_kept| {
        let options = Options {
            validation: 39,
            labels: labels_kept,
            seed: 1,
            ..Options::default()
        };
        said(2, arrays(&labels, &[]), options)
    };
    insta::assert_snapshot!(said(None), @r"
    error: validation 39: these rows have all 2 labels of `y`, and training needs some
      help: hold out fewer rows
    ");
    insta::assert_snapshot!(said(Some(2)), @r"
    error: labels 2: no row besides the 39 held-out rows is labelled
      help: hold out fewer rows
    ");
}

/// Arrays whose features are changed row by row.
fn changed(change: impl Fn(usize, f64) -> f64) -> Vec<DataArray> {
    let values = rows(200);
    let values: Vec<f64> = values
        .iter()
        .enumerate()
        .map(|(at, &value)| change(at % 4, value))
        .collect();
    let x = DataArray::new("x", [200, 4], values);
    vec![x, DataArray::new("y", [200], turns(200))]
}

#[test]
fn features_that_are_not_standardised_are_noted() {
    let said = |change: &dyn Fn(usize, f64) -> f64| {
        said(2, changed(change), Options::default())
            .lines()
            .next()
            .map(str::to_string)
    };
    insta::assert_debug_snapshot!(
        [
            said(&|feature, value| if feature == 2 { 747.0 + 300.0 * value } else { value }),
            said(&|_, value| value + 10.0),
            said(&|_, value| 0.001 * value),
            said(&|feature, value| if feature < 2 { 0.01 * value } else { value }),
            said(&|_, value| 3.0 * value),
            said(&|_, value| 0.1 * value),
        ],
        @r#"
        [
            Some(
                "data: the features of `x` are not standardised: means from 0 to 741, standard deviations from 1.06 to 334",
            ),
            Some(
                "data: the features of `x` are not standardised: means from 9.98 to 10, standard deviations from 1.06 to 1.11",
            ),
            Some(
                "data: the features of `x` are not standardised: means from -2.15e-5 to 2.55e-5, standard deviations from 0.00106 to 0.00111",
            ),
            Some(
                "data: the features of `x` are not standardised: means from -0.0215 to 0.00408, standard deviations from 0.0108 to 1.11",
            ),
            None,
            None,
        ]
        "#
    );
}

#[test]
fn constant_features_are_noted() {
    let constant = changed(|feature, value| if feature % 2 == 1 { 0.5 } else { value });
    insta::assert_snapshot!(said(2, constant, Options::default()), @r"
    data: 2 of 4 features of `x` are constant: feature 1, for example, is 0.5 in all 200 training rows
      help: a density of a constant can grow without limit; leave these features out
    ");
}

/// The notes of the end of training follow those of the data.
#[test]
fn a_client_sees_the_notes_of_the_end() {
    let mut trainer = trainer(
        2,
        arrays(&turns(200), &turns(100)),
        Options {
            epochs: Some(0),
            ..Options::default()
        },
    )
    .expect("a trainer");
    assert_eq!(trainer.notes(), []);
    for _ in 0..2 {
        assert!(trainer.epoch().expect("no epoch").is_none());
    }
    let notes: Vec<&str> = trainer.notes().iter().map(|note| note.message()).collect();
    assert_eq!(notes, ["epochs is 0, so nothing was trained"]);
}
