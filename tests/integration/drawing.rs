//! `dgc sample`: chosen classes, tables and colour pictures.

use crate::common;

use common::program::{fails, fine};
use std::path::Path;

const MODEL: &str = "model scene {
  data   x: unit[3, 2, 2]
  data   height: real
  label  kind: class[3]
  latent z: real[2]

  generative {
             z ~ normal(0, 1)
             kind ~ uniform
    kind, z -> x ~ beta(linear)
    kind, z -> height ~ normal(linear)
  }

  inference {
    x, height       -> kind ~ categorical(linear)
    x, height, kind -> z ~ normal(linear)
  }

  objective {
    sum kind
  }

  train {
    batch labelled 4, unlabelled 4
    epochs 1
  }
}
";

fn run(model: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut table = String::new();
    let names: Vec<String> = (0..12).map(|k| format!("x{k}")).collect();
    table += &format!("{},height,kind\n", names.join(","));
    for row in 0..12 {
        let cells: Vec<String> = (0..12)
            .map(|k| format!("0.{}", 1 + (row + k) % 8))
            .collect();
        table += &format!("{},{row},{}\n", cells.join(","), ["a", "b", "c"][row % 3]);
    }
    std::fs::write(folder.path().join("scene.csv"), table).expect("a file is written");
    std::fs::write(folder.path().join("scene.dgm"), model).expect("a file is written");
    fine(
        folder.path(),
        &[
            "train",
            "scene.dgm",
            "--data",
            "scene.csv",
            "-o",
            "run",
            "--device",
            "cpu",
        ],
    );
    folder
}

fn sample(folder: &Path, arguments: &[&str]) -> String {
    fine(
        folder,
        &[&["sample", "run", "--device", "cpu"], arguments].concat(),
    )
}

#[test]
fn tables_have_all_variables_and_chosen_classes() {
    let folder = run(MODEL);
    let here = folder.path();
    assert_eq!(
        sample(here, &["-o", "all.csv", "--lines", "4"]),
        "wrote 12 rows to all.csv\n"
    );
    let read = |name: &str| std::fs::read_to_string(here.join(name)).expect("a table");
    let all = read("all.csv");
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(
        lines[0],
        "row,kind,x0,x1,x2,x3,x4,x5,x6,x7,x8,x9,x10,x11,height"
    );
    let kinds: Vec<&str> = lines[1..]
        .iter()
        .filter_map(|line| line.split(',').nth(1))
        .collect();
    assert_eq!(kinds.join(""), "abcabcabcabc");
    sample(here, &["-o", "b.csv", "--lines", "4", "--where", "kind=b"]);
    let chosen = read("b.csv");
    let kinds: Vec<&str> = chosen
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(1))
        .collect();
    assert_eq!(kinds, ["b"; 4]);
    // Every mean is a number, and draws differ.
    let heights: Vec<f64> = chosen
        .lines()
        .skip(1)
        .map(|line| {
            line.rsplit(',')
                .next()
                .expect("a cell")
                .parse()
                .expect("a number")
        })
        .collect();
    assert!(heights[0] != heights[1]);
    sample(here, &["-o", "all.npz", "--where", "kind=c"]);
    // The same seed gives the same draws.
    sample(here, &["-o", "again.csv", "--lines", "4"]);
    assert_eq!(read("again.csv"), all);
}

#[test]
fn mistakes_say_what_is_there() {
    let folder = run(MODEL);
    let sample = |more: &[&str]| {
        fails(
            folder.path(),
            &[&["sample", "run", "--device", "cpu", "-o", "a.csv"], more].concat(),
        )
    };
    let said = sample(&["--where", "kind=d"]);
    assert!(
        said.contains("--where kind=d: expected a class of `kind`"),
        "{said}"
    );
    assert!(said.contains("the classes are a, b, c"), "{said}");
    let said = sample(&["--where", "sort=a"]);
    assert!(said.contains("no class or given variable `sort`"), "{said}");
    let said = sample(&["--where", "kind=a", "--where", "kind=b"]);
    assert!(said.contains("`kind` has two values"), "{said}");
    let said = sample(&["--where", "kind"]);
    assert!(said.contains("expected NAME=VALUE"), "{said}");
    // Two variables are no picture.
    let said = fails(
        folder.path(),
        &["sample", "run", "--device", "cpu", "-o", "a.png"],
    );
    assert!(
        said.contains("exactly one data variable") && said.contains("NAME.csv"),
        "{said}"
    );
}

/// A picture of one image with three channels is in colour: each pixel is the mean of its channels.
#[test]
fn images_with_three_channels_are_in_colour() {
    let model = MODEL
        .replace("  data   height: real\n", "")
        .replace("    kind, z -> height ~ normal(linear)\n", "")
        .replace("x, height", "x");
    let folder = run(&model);
    let here = folder.path();
    let written = sample(here, &["-o", "a.png", "--lines", "2", "--where", "kind=a"]);
    assert_eq!(written, "wrote 2 × 2 images to a.png\n");
    sample(here, &["-o", "a.csv", "--lines", "2", "--where", "kind=a"]);
    let bytes = std::fs::read(here.join("a.png")).expect("a picture");
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .expect("a picture");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
    let info = reader.next_frame(&mut pixels).expect("a picture");
    assert_eq!(
        (info.color_type, info.width, info.height),
        (png::ColorType::Rgb, 7, 7)
    );
    let grey = pixels[..3].to_vec();
    assert_eq!(grey, [64; 3]);
    // The library's means of the same draws.
    let run = dgc::Run::open_on(here.join("run"), &dgc::Device::cpu(1)).expect("a run");
    let options = dgc::SampleOptions {
        lines: 2,
        chosen: vec![("kind".to_string(), "a".to_string())],
        ..Default::default()
    };
    let samples = run.sample(&options).expect("samples");
    let means = samples.means("x").expect("the variable");
    assert_eq!(means.len(), 4 * 12);
    for image in 0..4 {
        let (top, left) = (image / 2 * 3 + 1, image % 2 * 3 + 1);
        for channel in 0..3 {
            for pixel in 0..4 {
                let mean = means[image * 12 + channel * 4 + pixel];
                let at = (top + pixel / 2) * 7 + left + pixel % 2;
                let found = f32::from(pixels[at * 3 + channel]);
                assert!(
                    (found - 255.0 * mean).abs() <= 0.501,
                    "{image} {channel} {pixel}"
                );
            }
        }
    }
}
