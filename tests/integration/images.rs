//! Folders of images as data. `tests/fixtures/images/make.py` makes images with Pillow, and decodes those
//! that lose something.

use crate::common::{
    self,
    program::{fails, fine},
};

use dgc::{Dataset, Model, run::data::Source};
use std::{
    fs,
    io::BufWriter,
    path::{Path, PathBuf},
};

const MODEL: &str = "model pictures {
  data   x: binary[SHAPE]
  label  kind: class[3]
  latent z: real[2]

  generative {
             z ~ normal(0, 1)
             kind ~ uniform
    kind, z -> x ~ bernoulli(linear)
  }

  inference {
    x       -> kind ~ categorical(linear)
    x, kind -> z ~ normal(linear)
  }

  objective {
    sum kind
    classify kind
  }

  train {
    batch labelled 2, unlabelled 2
    epochs 1
  }
}
";

fn model(shape: &str) -> Model {
    common::check("pictures.dgm", &MODEL.replace("SHAPE", shape), &[])
}

fn fixture(name: &str) -> PathBuf {
    common::root().join("tests/fixtures/images").join(name)
}

/// Writes a PNG image of 2 · 3 grey pixels from `first` on, or of as many in colour.
fn write(path: &Path, channels: usize, first: u8) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    let file = BufWriter::new(fs::File::create(path).expect("a file"));
    let mut encoder = png::Encoder::new(file, 3, 2);
    encoder.set_color(match channels {
        1 => png::ColorType::Grayscale,
        _ => png::ColorType::Rgb,
    });
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a header");
    let pixels: Vec<u8> = (0..6 * channels as u8).map(|at| first + at).collect();
    writer.write_image_data(&pixels).expect("pixels");
}

fn values(source: Option<&dyn Source>, name: &str) -> Vec<f32> {
    let source = source.expect("the rows are there");
    let values = source.values(name).expect("readable rows");
    values.expect("the variable is there")
}

/// The grey values that [`write`] writes.
fn greys(first: &[u8]) -> Vec<f32> {
    let greys = first.iter().flat_map(|&first| first..first + 6);
    greys.map(|grey| f32::from(grey) / 255.0).collect()
}

#[test]
fn each_kind_of_file_has_the_pixels_that_pillow_reads() {
    let smooth = |channel: usize, row: usize, column: usize| {
        (4 * row + 3 * column + 40 * channel) as f32 / 255.0
    };
    let made = |channels: usize| -> Vec<f32> {
        let places = (0..channels).flat_map(|channel| (0..16).map(move |row| (channel, row)));
        let pixels = places.flat_map(|(channel, row)| (0..24).map(move |at| (channel, row, at)));
        pixels
            .map(|(channel, row, at)| smooth(channel, row, at))
            .collect()
    };
    let bits: Vec<f32> = (0..16 * 24)
        .map(|at| ((at / 24 + at % 24) % 2) as f32)
        .collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let pixels = |name: &str, shape: &str| {
        let alone = folder.path().join(format!("only {name}"));
        fs::create_dir_all(&alone).expect("a folder");
        fs::copy(fixture(name), alone.join(name)).expect("a fixture");
        let data = Dataset::open(&alone, &model(shape)).expect(name);
        assert_eq!(data.train().rows(), 1);
        assert_eq!(values(Some(data.train()), "kind"), [-1.0]);
        values(Some(data.train()), "x")
    };
    for (name, channels, expected) in [
        ("grey.png", 1, made(1)),
        ("sixteen.png", 1, made(1)),
        ("bits.png", 1, bits),
        ("colour.png", 3, made(3)),
        ("opaque.png", 3, made(3)),
        ("palette.png", 3, pixels("palette.png.png", "3, 16, 24")),
    ] {
        let shape = if channels == 1 { "16, 24" } else { "3, 16, 24" };
        assert_eq!(pixels(name, shape), expected, "{name}");
    }
    // Decoders of JPEG differ by rounding.
    for (name, shape, decoded) in [
        ("grey.jpg", "16, 24", "grey.jpg.png"),
        ("colour.jpeg", "3, 16, 24", "colour.jpeg.png"),
        ("progressive.JPG", "3, 16, 24", "colour.jpeg.png"),
    ] {
        let (found, expected) = (pixels(name, shape), pixels(decoded, shape));
        let differences = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| 255.0 * (a - b).abs());
        let most = differences.fold(0.0, f32::max);
        assert!(most < 4.5, "{name}: {most} grey levels");
    }
    // A flat variable takes the same pixels.
    assert_eq!(pixels("colour.png", "1152"), made(3));
}

#[test]
fn folders_are_classes_and_parts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    write(&at("animals/dog/2.png"), 1, 20);
    write(&at("animals/cat/1.png"), 1, 10);
    write(&at("animals/cat/0.PNG"), 1, 0);
    write(&at("animals/unknown.png"), 1, 30);
    fs::write(at("animals/README.txt"), "no image").expect("a file");
    fs::write(at("animals/.hidden.png"), "no image").expect("a file");
    let data = Dataset::open(at("animals"), &model("2, 3")).expect("a data set");
    assert_eq!(values(Some(data.train()), "x"), greys(&[30, 0, 10, 20]));
    assert_eq!(values(Some(data.train()), "kind"), [-1.0, 0.0, 0.0, 1.0]);
    assert_eq!(data.class_names()["kind"], ["cat", "dog"]);
    assert!(data.test().is_none());
    write(&at("parts/train/b/1.png"), 1, 1);
    write(&at("parts/train/a/2.png"), 1, 2);
    write(&at("parts/validation/a/3.png"), 1, 3);
    write(&at("parts/test/c/4.png"), 1, 4);
    write(&at("parts/test/5.png"), 1, 5);
    let data = Dataset::open(at("parts"), &model("2, 3")).expect("a data set");
    assert_eq!(values(Some(data.train()), "x"), greys(&[2, 1]));
    assert_eq!(values(Some(data.train()), "kind"), [0.0, 1.0]);
    assert_eq!(values(data.validation(), "x"), greys(&[3]));
    assert_eq!(values(data.test(), "x"), greys(&[5, 4]));
    assert_eq!(values(data.test(), "kind"), [-1.0, 2.0]);
    // Folders named by numbers from 0 are classes by number.
    for digit in 0..3 {
        write(&at(&format!("digits/{digit}/1.png")), 1, digit);
    }
    let data = Dataset::open(at("digits"), &model("2, 3")).expect("a data set");
    assert!(data.class_names().is_empty());
    assert_eq!(values(Some(data.train()), "kind"), [0.0, 1.0, 2.0]);
}

#[test]
fn a_table_has_the_labels() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    for (name, first) in [("1", 1), ("2", 2), ("sub/3", 3), ("4", 4), ("5", 5)] {
        write(&at(&format!("{name}.png")), 1, first);
    }
    let table = "note,file,kind,split\nk,2.png,rose,train\nl,sub/3.png,,train\nm,1.png,lily,test\n\
                 n,5.png,lily,train\no,4.png,rose,validation\n";
    fs::write(at("labels.csv"), table).expect("a file");
    let data = Dataset::open(folder.path(), &model("2, 3")).expect("a data set");
    assert_eq!(values(Some(data.train()), "x"), greys(&[2, 5, 3]));
    assert_eq!(values(Some(data.train()), "kind"), [1.0, 0.0, -1.0]);
    assert_eq!(values(data.test(), "x"), greys(&[1]));
    assert_eq!(values(data.validation(), "kind"), [1.0]);
    assert_eq!(data.others(), ["note"]);
    // Without a column `split`, an image without a line has no label.
    fs::write(at("labels.csv"), "file,kind\n5.png,2\n1.png,0\n").expect("a file");
    let data = Dataset::open(folder.path(), &model("2, 3")).expect("a data set");
    assert_eq!(
        values(Some(data.train()), "kind"),
        [0.0, -1.0, -1.0, 2.0, -1.0]
    );
    assert_eq!(values(Some(data.train()), "x"), greys(&[1, 2, 4, 5, 3]));
}

#[test]
fn mistakes_name_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    write(&at("sizes/a/1.png"), 1, 0);
    fs::copy(fixture("grey.png"), at("sizes/a/2.png")).expect("a fixture");
    write(&at("kinds/a/1.png"), 1, 0);
    write(&at("kinds/a/2.png"), 3, 0);
    write(&at("shape/a/1.png"), 3, 0);
    write(&at("deep/a/1.png"), 1, 0);
    write(&at("deep/a/b/1.png"), 1, 0);
    write(&at("beside/train/a/1.png"), 1, 0);
    write(&at("beside/val/a/1.png"), 1, 0);
    write(&at("mixed/test/a/1.png"), 1, 0);
    write(&at("mixed/train/1.png"), 1, 0);
    fs::write(at("mixed/train/labels.csv"), "file,kind\n1.png,a\n").expect("a file");
    for class in ["a", "b", "c", "d"] {
        write(&at(&format!("many/{class}/1.png")), 1, 0);
    }
    for (name, file) in [("alpha", "transparent.png"), ("cmyk", "cmyk.jpg")] {
        fs::create_dir(at(name)).expect("a folder");
        fs::copy(fixture(file), at(name).join(file)).expect("a fixture");
    }
    write(&at("other/1.png"), 1, 0);
    fs::write(at("other/2.gif"), "GIF89a").expect("a file");
    for (name, table) in [
        ("missing", "file,kind\n2.png,a\n"),
        ("twice", "file,kind\n1.png,a\n./1.png,b\n"),
        ("nofile", "path,kind\n1.png,a\n"),
    ] {
        write(&at(&format!("{name}/1.png")), 1, 0);
        fs::write(at(&format!("{name}/labels.csv")), table).expect("a file");
    }
    fs::create_dir(at("empty")).expect("a folder");
    for file in ["grey.png", "grey.jpg"] {
        let whole = fs::read(fixture(file)).expect("a fixture");
        let cut = format!("cut {file}");
        fs::create_dir(at(&cut)).expect("a folder");
        fs::write(at(&cut).join(file), &whole[..whole.len() / 2]).expect("a file");
    }
    let mut said = String::new();
    for name in [
        "sizes",
        "kinds",
        "shape",
        "deep",
        "beside",
        "mixed",
        "many",
        "alpha",
        "cmyk",
        "other",
        "missing",
        "twice",
        "nofile",
        "empty",
        "cut grey.png",
    ] {
        let shape = match name {
            "cut grey.png" => "16, 24",
            "alpha" => "3, 16, 24",
            _ => "2, 3",
        };
        let error = match Dataset::open(at(name), &model(shape)) {
            Ok(_) => panic!("{name} is read"),
            Err(error) => error.to_string(),
        };
        let root = folder.path().display().to_string();
        said += &format!("{name}: {}\n", error.replace(&root, "DATA"));
    }
    insta::assert_snapshot!(said);
    // The message is that of the decoder.
    let cut = Dataset::open(at("cut grey.jpg"), &model("16, 24"));
    if let Err(error) = cut {
        assert!(error.to_string().contains("grey.jpg"), "{error}");
    }
}

/// Damaged images are errors or other pixels, and never a panic.
#[test]
fn damage_is_no_panic() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, shape) in [
        ("grey.jpg", "16, 24"),
        ("progressive.JPG", "3, 16, 24"),
        ("palette.png", "3, 16, 24"),
    ] {
        let (whole, model) = (fs::read(fixture(name)).expect("a fixture"), model(shape));
        let alone = folder.path().join(name);
        fs::create_dir(&alone).expect("a folder");
        for at in (0..whole.len()).step_by(3) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(alone.join(name), &bytes).expect("a file");
            if let Err(error) = Dataset::open(&alone, &model) {
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }
}

#[test]
fn predictions_name_their_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("m.dgm"), MODEL.replace("SHAPE", "2, 3")).expect("a model");
    for (class, first) in [("cat", 0), ("dog", 100), ("owl", 200)] {
        for image in 0..3u8 {
            write(
                &at(&format!("animals/{class}/{image}.png")),
                1,
                first + image,
            );
        }
    }
    write(&at("new/u.png"), 1, 1);
    write(&at("new/v.png"), 1, 201);
    fine(
        folder.path(),
        &["train", "m.dgm", "--data", "animals", "-o", "run"],
    );
    let table = fine(
        folder.path(),
        &["predict", "run", "--data", "new", "-o", "-"],
    );
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("row,file,kind,probability of kind,"),
        "{table}"
    );
    assert!(lines[1].starts_with("0,u.png,"), "{table}");
    assert!(lines[2].starts_with("1,v.png,"), "{table}");
    let table = fine(folder.path(), &["score", "run", "--rows", "4", "-o", "-"]);
    let files: Vec<&str> = table
        .lines()
        .map(|line| line.split(',').nth(1).unwrap_or(""))
        .collect();
    assert_eq!(
        files,
        ["file", "cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png"]
    );
    fine(folder.path(), &["encode", "run", "-o", "codes.npz"]);
    // An image changes: the run refuses its data.
    write(&at("animals/owl/1.png"), 1, 7);
    let said = fails(folder.path(), &["eval", "run"]);
    assert!(said.contains("the data differ"), "{said}");
    // A class that the run does not know.
    write(&at("others/cow/1.png"), 1, 7);
    let said = fails(folder.path(), &["eval", "run", "--data", "others"]);
    assert!(
        said.contains("expected one of `cat`, `dog`, `owl`, found `cow`"),
        "{said}"
    );
}

#[test]
fn sizes_come_from_the_images() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let open = MODEL
        .replace(
            "{\n  data   x: binary[SHAPE]",
            "{\n  size pixels, kinds\n\n  data   x: binary[pixels]",
        )
        .replace("class[3]", "class[kinds]");
    fs::write(at("open.dgm"), open).expect("a model");
    for class in ["a", "b"] {
        write(&at(&format!("data/{class}/1.png")), 3, 0);
    }
    let data = at("data").display().to_string();
    let (model, _) = Model::open_for(&at("open.dgm"), &data, &[]).expect("a model");
    let sizes: Vec<usize> = model
        .variables
        .iter()
        .map(|variable| variable.size())
        .collect();
    assert_eq!(sizes, [18, 2, 2]);
}
