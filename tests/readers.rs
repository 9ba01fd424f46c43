//! Files from elsewhere, damaged at random: each reader returns a value or an error, and takes memory
//! in proportion to the file.
//!
//! `DGC_HOSTILE=1000000` reads so many files of each kind instead of a few hundred, and
//! `DGC_HOSTILE_KIND=npz` only those of one kind. The test needs an allocator of its own, and so a
//! binary of its own.

#[path = "integration/common/mod.rs"]
mod common;

use dgc::{
    CompileOptions, Compiled, Dataset, Device, Model, ResumeOptions, Rows, Run, Trainer,
    run::arrays::{self, NamedArray},
    tensor::philox,
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    collections::HashMap,
    fs,
    io::{Cursor, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Counts the bytes that are allocated, and refuses what no small file needs. A refusal aborts the
/// program, so the number of the input is printed first.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static INPUT: AtomicU64 = AtomicU64::new(0);

/// The most bytes that may be allocated at once, for files of a few kilobytes: an expanded file of
/// 64 MiB in a growing array, and its numbers.
const MOST_MEMORY: usize = 400 << 20;

impl Counting {
    fn add(size: usize) -> bool {
        let live = LIVE.fetch_add(size, Ordering::Relaxed).saturating_add(size);
        PEAK.fetch_max(live, Ordering::Relaxed);
        // A request beyond the limit that fails is an error of the caller, if it reserves fallibly.
        if live <= 4 * MOST_MEMORY {
            return true;
        }
        LIVE.fetch_sub(size, Ordering::Relaxed);
        let mut text = [0u8; 80];
        let input = INPUT.load(Ordering::Relaxed);
        let len = text.len();
        let mut rest = &mut text[..];
        let _ = writeln!(rest, "input {input} asks for {size} bytes");
        let written = len - rest.len();
        let _ = std::io::stderr().write_all(&text[..written]);
        false
    }
}

// SAFETY: every call is passed on to the system's allocator, or returns null.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !Counting::add(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !Counting::add(layout.size()) {
            return std::ptr::null_mut();
        }
        // SAFETY: as the caller's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Random numbers by a seed.
struct Draws {
    seed: u64,
    taken: u32,
}

impl Draws {
    fn word(&mut self) -> u32 {
        self.taken += 1;
        philox::words(self.seed, 0, 2, self.taken)[0]
    }

    fn below(&mut self, count: usize) -> usize {
        self.word() as usize % count.max(1)
    }

    fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// A number near a limit of sizes, or a small one.
    fn limit(&mut self) -> u64 {
        let bit = self.below(64);
        let near = (1u64 << bit)
            .wrapping_add(self.below(5) as u64)
            .wrapping_sub(2);
        match self.below(6) {
            0 => self.below(10) as u64,
            1 => u64::MAX - self.below(3) as u64,
            2 => self.below(100_000) as u64,
            _ => near,
        }
    }
}

/// Damages bytes: bits, lengths, digits, and parts that are cut, repeated or moved.
fn damage(draws: &mut Draws, bytes: &mut Vec<u8>) {
    for _ in 0..1 + draws.below(4) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        // Headers are at the start or the end.
        let at = match draws.below(3) {
            0 => draws.below(len.min(200)),
            1 => len - 1 - draws.below(len.min(200)),
            _ => draws.below(len),
        };
        match draws.below(10) {
            0 => bytes[at] ^= 1 << draws.below(8),
            1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF, b'9', b'-', b'"'][draws.below(8)],
            2 => bytes.truncate(at),
            3 => {
                let end = (at + 1 + draws.below(40)).min(len);
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + 1 + draws.below(40)).min(len);
                let copy = bytes[at..end].to_vec();
                let to = draws.below(len);
                bytes.splice(to..to, copy);
            }
            5 | 6 => {
                let number = draws.limit();
                let width = [1, 2, 4, 8][draws.below(4)].min(len - at);
                let number = match draws.below(2) {
                    0 => number.to_le_bytes()[..width].to_vec(),
                    _ => number.to_be_bytes()[8 - width..].to_vec(),
                };
                bytes[at..at + width].copy_from_slice(&number);
            }
            7 | 8 => digits(draws, bytes),
            _ => {
                let count = 1 + draws.below(9);
                let noise: Vec<u8> = (0..count).map(|_| draws.word() as u8).collect();
                bytes.splice(at..at, noise);
            }
        }
    }
}

/// Replaces a number that is written in digits.
fn digits(draws: &mut Draws, bytes: &mut Vec<u8>) {
    let starts: Vec<usize> = (0..bytes.len().min(4000))
        .filter(|&at| bytes[at].is_ascii_digit() && (at == 0 || !bytes[at - 1].is_ascii_digit()))
        .collect();
    if starts.is_empty() {
        return;
    }
    let start = starts[draws.below(starts.len())];
    let len = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let number = match draws.below(8) {
        0 => format!("-{}", draws.limit()),
        1 => "1e400".to_string(),
        2 => "0.5".to_string(),
        _ => draws.limit().to_string(),
    };
    bytes.splice(start..start + len, number.into_bytes());
}

/// An npy file with a random header, whose shape and type often fit the data.
fn npy(draws: &mut Draws) -> Vec<u8> {
    if draws.below(3) == 0 {
        // One that fits the model.
        let header = "{'descr': '|u1', 'fortran_order': False, 'shape': (6, 4), }\n";
        let start = [
            b"\x93NUMPY\x01\x00".as_slice(),
            &(header.len() as u16).to_le_bytes(),
        ];
        return [&start.concat(), header.as_bytes(), &[1; 24]].concat();
    }
    let kinds = [
        "<f4", "<f8", "|u1", ">i4", "<i8", "<f2", "|b1", "<U3", "|O", "<f3", "=f4", "<c8",
    ];
    let shapes = [
        "(6, 4)",
        "(6,)",
        "()",
        "(6, 2, 2)",
        "(0, 4)",
        "(4, 6)",
        "(6, -4)",
        "(6, 4, )",
        "(99999999999,)",
        "(18446744073709551615, 2)",
        "(4294967296, 4294967296)",
        "(6, 4",
        "(6L, 4L)",
        "(1, 1, 1, 1, 1, 6, 4)",
    ];
    let mut fields: Vec<String> = Vec::new();
    for _ in 0..1 + usize::from(draws.below(8) == 0) {
        fields.push(format!("'descr': '{}'", draws.one_of(&kinds)));
        fields.push(format!(
            "'fortran_order': {}",
            draws.one_of(&["False", "True"])
        ));
        fields.push(format!("'shape': {}", draws.one_of(&shapes)));
    }
    if draws.below(10) == 0 {
        fields.remove(draws.below(fields.len()));
    }
    let mut header = format!("{{{}, }}\n", fields.join(", ")).into_bytes();
    if draws.below(3) == 0 {
        damage(draws, &mut header);
    }
    let version = [1, 1, 1, 2, 3, 9][draws.below(6)];
    let len = match draws.below(10) {
        0 => draws.limit() as usize,
        _ => header.len(),
    };
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([version, 0]);
    match version {
        1 => file.extend((len as u16).to_le_bytes()),
        _ => file.extend((len as u32).to_le_bytes()),
    }
    file.extend(header);
    let data = [24, 48, 96, 96, 96, 192, 0][draws.below(7)];
    file.extend((0..data).map(|_| [0, 0, 1, 0x3F, 0x80][draws.below(5)]));
    file
}

fn zip(entries: &[(&str, Vec<u8>)], compressed: bool) -> Vec<u8> {
    let method = match compressed {
        true => zip::CompressionMethod::Deflated,
        false => zip::CompressionMethod::Stored,
    };
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        // The writer refuses a second entry of the same name.
        if writer.start_file(*name, options).is_ok() {
            writer.write_all(bytes).expect("memory");
        }
    }
    writer.finish().expect("memory").into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(bytes).expect("memory");
    writer.finish().expect("memory")
}

fn idx(shape: &[u32], bytes: usize) -> Vec<u8> {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    shape
        .iter()
        .for_each(|size| file.extend(size.to_be_bytes()));
    file.extend((0..bytes).map(|at| (at % 3) as u8));
    file
}

/// Damages the header of a safetensors file, which begins with its length.
fn damage_header(draws: &mut Draws, bytes: &mut Vec<u8>) {
    let len = bytes
        .first_chunk::<8>()
        .map_or(0, |len| u64::from_le_bytes(*len) as usize);
    if draws.below(2) == 0 || len + 8 > bytes.len() {
        return damage(draws, bytes);
    }
    let mut header = bytes[8..8 + len].to_vec();
    damage(draws, &mut header);
    let data = bytes.split_off(8 + len);
    *bytes = [&(header.len() as u64).to_le_bytes(), &header[..], &data[..]].concat();
}

/// Words of the language, and some that are not.
const WORDS: [&str; 44] = [
    "model",
    "size",
    "data",
    "label",
    "latent",
    "net",
    "generative",
    "inference",
    "objective",
    "train",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "->",
    "~",
    "=",
    ",",
    ">",
    ":",
    "*",
    "-",
    "/",
    "x",
    "y",
    "z",
    "n",
    "real",
    "class",
    "normal",
    "dense",
    "residual",
    "conv",
    "batch",
    "sum",
    "beta",
    "epochs",
    "1e300",
    "0",
    "16777216",
    "\n",
    "é",
];

/// Damages a model's text word by word.
fn damage_text(draws: &mut Draws, bytes: &mut Vec<u8>) {
    if draws.below(4) == 0 {
        return damage(draws, bytes);
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut words: Vec<&str> = text.split_inclusive([' ', '\n', '(', '[', ',']).collect();
    for _ in 0..1 + draws.below(5) {
        let at = draws.below(words.len());
        match draws.below(5) {
            0 => drop(words.remove(at)),
            1 => words.insert(at, draws.one_of(&WORDS)),
            2 => words[at] = draws.one_of(&WORDS),
            3 => words.insert(at, words[draws.below(words.len())]),
            _ => {
                let other = draws.below(words.len());
                words.swap(at, other);
            }
        }
        if words.is_empty() {
            return;
        }
    }
    *bytes = words.concat().into_bytes();
}

/// Makes the bytes of a file.
type Make<'k> = Box<dyn Fn(&mut Draws) -> Vec<u8> + 'k>;
/// Reads a file.
type Read<'k> = Box<dyn Fn(&Path) -> Result<(), String> + 'k>;

/// A kind of file: how it is made, and how it is read.
struct Kind<'k> {
    name: &'static str,
    path: PathBuf,
    make: Make<'k>,
    read: Read<'k>,
}

const MODEL: &str = "\
model small {
  size n = 4
  data x: binary[n]
  label y: class[3]
  latent z: real[2]
  net body = [dense(5) > batchnorm > relu]
  generative {
    z ~ normal(0, 1)
    y ~ uniform
    y, z -> x ~ bernoulli(body)
  }
  inference {
    x -> y ~ categorical(body)
    x, y -> z ~ normal(body)
  }
  objective {
    sum y
    beta z 1 warmup 1
  }
  train {
    batch labelled 2, unlabelled 4
    optimizer adam
    epochs 1
  }
}
";

/// A model of the rows in tests/fixtures/h5ad.
const CELLS: &str = "\
model cells {
  data counts: count[7]
  data library: positive
  label kind: class[3]
  latent z: real[2]
  generative {
    z ~ normal(0, 1)
    kind ~ uniform
    library ~ log_normal(linear)
    kind, z -> counts ~ poisson(linear)
  }
  inference {
    counts, library -> kind ~ categorical(linear)
    counts, library, kind -> z ~ normal(linear)
  }
  objective {
    sum kind
  }
}
";

fn text(error: dgc::Error) -> String {
    error.to_string()
}

/// The files that a run, a compiled folder and data sets consist of.
struct Files {
    folder: tempfile::TempDir,
    model: Model,
    rows: Rows,
}

impl Files {
    fn new() -> Self {
        let folder = match Path::new("/dev/shm").is_dir() {
            true => tempfile::tempdir_in("/dev/shm"),
            false => tempfile::tempdir(),
        };
        let folder = folder.expect("a temporary folder");
        let at = folder.path();
        let model = Model::parse("small.dgm", MODEL).expect("a model");
        let mut data: Vec<NamedArray> = common::batch(&model, 12, 6).into_values().collect();
        data.push(NamedArray {
            name: "test.x".to_string(),
            shape: vec![2, 4],
            data: vec![1.0; 8],
        });
        arrays::write(&at.join("data.safetensors"), &data, HashMap::new(), false).expect("a file");
        let data = Dataset::open(at.join("data.safetensors"), &model).expect("data");
        let options = dgc::Options {
            output: Some(at.join("run")),
            device: Some(Device::cpu(1)),
            ..dgc::Options::default()
        };
        let mut trainer = Trainer::new(&model, &data, options).expect("a trainer");
        trainer
            .train(|_| std::ops::ControlFlow::Continue(()))
            .expect("it trains");
        drop(trainer);
        let programs = model.compile(CompileOptions::default()).expect("programs");
        programs.write(at.join("compiled")).expect("a folder");
        fs::create_dir(at.join("idx")).expect("a folder");
        let run = Run::open_on(at.join("run"), &Device::cpu(1)).expect("the run");
        let rows = run.rows_of(&data, None).expect("rows");
        Files {
            folder,
            model,
            rows,
        }
    }

    fn data(&self, path: &Path) -> Result<(), String> {
        Dataset::open(path, &self.model).map(drop).map_err(text)
    }

    /// Infers rows with a run.
    fn infer(&self) -> Result<(), String> {
        let run = Run::open_on(self.folder.path().join("run"), &Device::cpu(1)).map_err(text)?;
        run.encode(&self.rows).map(drop).map_err(text)
    }

    fn resume(&self) -> Result<(), String> {
        let options = ResumeOptions {
            device: Some(Device::cpu(1)),
            ..ResumeOptions::default()
        };
        Trainer::resume(self.folder.path().join("run"), options)
            .map(drop)
            .map_err(text)
    }

    fn kinds(&self) -> Vec<Kind<'_>> {
        let at = self.folder.path();
        let stored = |name: &str| fs::read(at.join(name)).expect("a file of the run");
        let kind = |name, path: &str, make: Make<'static>, read| Kind {
            name,
            path: at.join(path),
            make,
            read,
        };
        let damaged = |bytes: Vec<u8>, damage: fn(&mut Draws, &mut Vec<u8>)| {
            Box::new(move |draws: &mut Draws| {
                let mut bytes = bytes.clone();
                damage(draws, &mut bytes);
                bytes
            })
        };
        let npz = Box::new(|draws: &mut Draws| {
            let names = [
                "x.npy",
                "x.npy",
                "y.npy",
                "test.x.npy",
                "other.npy",
                "../x.npy",
                "\u{1b}[31m.npy",
            ];
            let count = 1 + draws.below(3);
            let entries: Vec<(&str, Vec<u8>)> = (0..count)
                .map(|_| (draws.one_of(&names), npy(draws)))
                .collect();
            let mut bytes = zip(&entries, draws.below(3) == 0);
            if draws.below(2) == 0 {
                damage(draws, &mut bytes);
            }
            bytes
        });
        let sparse = Box::new(|draws: &mut Draws| {
            let mut entries: Vec<(&str, Vec<u8>)> = Vec::new();
            let bytes = |numbers: &[u32]| numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            let parts: [(&str, &[u32]); 4] = [
                ("x.indices.npy", &[1, 3, 0, 2, 3]),
                ("x.indptr.npy", &[0, 2, 2, 5]),
                ("x.shape.npy", &[3, 4]),
                ("x.data.npy", &[1, 1, 0, 1, 1]),
            ];
            for (name, numbers) in parts {
                let mut numbers: Vec<u8> = bytes(numbers);
                if draws.below(6) == 0 {
                    damage(draws, &mut numbers);
                }
                let (kind, len) = (["<u4", "<i4", "<f4"][draws.below(9) / 4], numbers.len() / 4);
                let header =
                    format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({len},), }}\n");
                let start = [
                    b"\x93NUMPY\x01\x00",
                    &(header.len() as u16).to_le_bytes()[..],
                ];
                entries.push((
                    name,
                    [&start.concat(), header.as_bytes(), &numbers].concat(),
                ));
            }
            let mut bytes = zip(&entries, draws.below(3) == 0);
            if draws.below(4) == 0 {
                damage(draws, &mut bytes);
            }
            bytes
        });
        let cells = Model::parse("cells.dgm", CELLS).expect("a model");
        let h5ad = common::root().join("tests/fixtures/h5ad");
        let h5ad = |name: &str| fs::read(h5ad.join(name)).expect("a fixture");
        let read_cells = |cells: Model| -> Read<'_> {
            Box::new(move |path| Dataset::open(path, &cells).map(drop).map_err(text))
        };
        let idx_file = |draws: &mut Draws| {
            let mut bytes = idx(&[6, 2, 2], 24);
            if draws.below(4) > 0 {
                damage(draws, &mut bytes);
            }
            bytes
        };
        let idx_gz = Box::new(move |draws: &mut Draws| {
            let mut bytes = gzip(&idx_file(draws));
            if draws.below(2) == 0 {
                damage(draws, &mut bytes);
            }
            bytes
        });
        let folder = at.join("idx");
        let images = || -> Read<'_> {
            let folder = folder.clone();
            Box::new(move |path| {
                let read = self.data(&folder);
                fs::remove_file(path).expect("the file is there");
                read
            })
        };
        let compiled = || -> Read<'_> {
            Box::new(|_| Compiled::open(at.join("compiled")).map(drop).map_err(text))
        };
        vec![
            kind("npz", "data.npz", npz, Box::new(|path| self.data(path))),
            kind(
                "sparse",
                "sparse.npz",
                sparse,
                Box::new(|path| self.data(path)),
            ),
            kind(
                "h5ad",
                "cells.h5ad",
                damaged(h5ad("sparse.h5ad"), damage),
                read_cells(cells.clone()),
            ),
            kind(
                "old h5ad",
                "old.h5ad",
                damaged(h5ad("old.h5ad"), damage),
                read_cells(cells),
            ),
            kind(
                "idx",
                "idx/train-images-idx3-ubyte",
                Box::new(idx_file),
                images(),
            ),
            kind("gzip", "idx/train-images-idx3-ubyte.gz", idx_gz, images()),
            kind(
                "safetensors",
                "copy.safetensors",
                damaged(stored("data.safetensors"), damage_header),
                Box::new(|path| self.data(path)),
            ),
            kind(
                "model",
                "small.dgm",
                damaged(MODEL.as_bytes().to_vec(), damage_text),
                Box::new(|path| Model::open(path).map(drop).map_err(text)),
            ),
            kind(
                "checkpoint",
                "run/checkpoint.safetensors",
                damaged(stored("run/checkpoint.safetensors"), damage_header),
                Box::new(|_| self.infer()),
            ),
            kind(
                "settings",
                "run/settings.json",
                damaged(stored("run/settings.json"), damage),
                Box::new(|_| self.infer()),
            ),
            kind(
                "resumed checkpoint",
                "run/checkpoint.safetensors",
                damaged(stored("run/checkpoint.safetensors"), damage_header),
                Box::new(|_| self.resume()),
            ),
            kind(
                "resumed settings",
                "run/settings.json",
                damaged(stored("run/settings.json"), damage),
                Box::new(|_| self.resume()),
            ),
            kind(
                "metrics",
                "run/metrics.jsonl",
                damaged(stored("run/metrics.jsonl"), damage),
                Box::new(|_| self.resume()),
            ),
            kind(
                "manifest",
                "compiled/compiled.json",
                damaged(stored("compiled/compiled.json"), damage),
                compiled(),
            ),
            kind(
                "program",
                "compiled/update.json",
                damaged(stored("compiled/update.json"), damage),
                compiled(),
            ),
        ]
    }
}

/// The tests share the count of allocated bytes and the report of panics, so they run one by one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn damaged_files_are_read_or_refused() {
    let _alone = alone();
    let count = std::env::var("DGC_HOSTILE").ok();
    let count: u64 = count.map_or(300, |count| count.parse().expect("a count"));
    let only = std::env::var("DGC_HOSTILE_KIND").ok();
    let files = Files::new();
    // A panic is reported once, with its input.
    std::panic::set_hook(Box::new(|_| {}));
    let mut failures = Vec::new();
    for kind in files.kinds() {
        if only.as_ref().is_some_and(|only| only != kind.name) {
            continue;
        }
        let original = fs::read(&kind.path).ok();
        let (mut read, mut refused, mut most) = (0, 0, 0);
        for input in 0..count {
            INPUT.store(input, Ordering::Relaxed);
            let mut draws = Draws {
                seed: input,
                taken: 0,
            };
            let bytes = (kind.make)(&mut draws);
            fs::write(&kind.path, &bytes).expect("a file can be written");
            let before = LIVE.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            match catch_unwind(AssertUnwindSafe(|| (kind.read)(&kind.path))) {
                Ok(Ok(())) => read += 1,
                Ok(Err(message)) => {
                    assert!(!message.is_empty(), "a message says something");
                    refused += 1;
                }
                Err(panic) => {
                    let said = panic.downcast_ref::<String>().cloned();
                    let said =
                        said.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
                    failures.push(format!(
                        "{} {input} panics: {}",
                        kind.name,
                        said.unwrap_or_default()
                    ));
                }
            }
            let taken = PEAK.load(Ordering::Relaxed).saturating_sub(before);
            most = most.max(taken);
            if taken > MOST_MEMORY {
                failures.push(format!("{} {input} takes {taken} bytes", kind.name));
            }
            if failures.len() > 20 {
                break;
            }
        }
        match original {
            Some(bytes) => fs::write(&kind.path, bytes).expect("a file can be written"),
            None => drop(fs::remove_file(&kind.path)),
        }
        eprintln!(
            "{:20} {count} files: {read} read, {refused} refused, at most {:.1} MiB",
            kind.name,
            most as f64 / f64::from(1 << 20)
        );
    }
    let _ = std::panic::take_hook();
    assert!(failures.is_empty(), "{failures:#?}");
}

/// The corpus: small files that made a reader abort, panic or reserve memory that they do not fill,
/// and others of their kind.
#[test]
fn hostile_files_are_refused_with_a_reason() {
    let _alone = alone();
    let files = Files::new();
    let at = files.folder.path();
    let corpus = common::root().join("tests/fixtures/hostile");
    let mut names: Vec<String> = fs::read_dir(&corpus)
        .expect("the corpus")
        .map(|entry| {
            entry
                .expect("a file")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    let mut messages = String::new();
    for name in names {
        let (copy, data) = match name.split_once('.').expect("an ending").1 {
            "idx" => (at.join("idx/train-images-idx3-ubyte"), at.join("idx")),
            "idx.gz" => (at.join("idx/train-images-idx3-ubyte.gz"), at.join("idx")),
            _ => (at.join(&name), at.join(&name)),
        };
        fs::copy(corpus.join(&name), &copy).expect("a copy");
        let read = files.data(&data);
        fs::remove_file(copy).expect("the copy is there");
        let message = read.err().unwrap_or_else(|| "is read".to_string());
        let message = message
            .replace(&at.display().to_string(), "…")
            .replace('\n', "\n  ")
            .replace('\u{1b}', "\\u{1b}");
        messages += &format!("{name}\n  {message}\n");
    }
    insta::assert_snapshot!(messages);
}

#[test]
fn bombs_are_refused() {
    let _alone = alone();
    let files = Files::new();
    let at = files.folder.path();
    let zeros = vec![0; 80 << 20];
    fs::write(at.join("bomb.npz"), zip(&[("x.npy", zeros.clone())], true)).expect("a file");
    fs::write(at.join("idx/train-images-idx3-ubyte.gz"), gzip(&zeros)).expect("a file");
    for data in ["bomb.npz", "idx"] {
        let message = files.data(&at.join(data)).expect_err("it is refused");
        assert!(
            message.contains("expands to more than 200 times"),
            "{message}"
        );
    }
}
