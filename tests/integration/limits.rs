//! Texts that are as large or as deep as they may be, or more so: each is checked in little time and
//! memory, and its message is short.

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
};

/// The parts of a model that a text replaces.
#[derive(Default)]
struct Parts {
    sizes: String,
    shape: String,
    latents: String,
    nets: String,
    generative: String,
    network: String,
    encoder: String,
    objective: String,
    train: String,
    after: String,
}

impl Parts {
    fn text(&self) -> String {
        let or = |text: &str, other: &str| if text.is_empty() { other } else { text }.to_string();
        format!(
            "model m {{\n  size n = 4{}\n  data x: real[{}]\n  latent z: real[n]\n{}\n{}\n  generative {{\n    \
             z ~ normal(0, 1)\n{}\n    z -> x ~ normal({})\n  }}\n  inference {{\n    x -> z ~ normal({})\n  }}\n  \
             objective {{\n{}\n  }}\n  train {{\n    optimizer adam\n{}\n  }}\n}}\n{}",
            self.sizes,
            or(&self.shape, "n"),
            self.latents,
            self.nets,
            self.generative,
            or(&self.network, "[dense(n)]"),
            or(&self.encoder, "[dense(n)]"),
            self.objective,
            self.train,
            self.after,
        )
    }
}

/// A text for each place in a list, joined.
fn each(count: usize, join: &str, text: impl Fn(usize) -> String) -> String {
    let mut all = String::new();
    for index in 0..count {
        let between = if index == 0 { "" } else { join };
        write!(all, "{between}{}", text(index)).expect("a string grows");
    }
    all
}

/// The largest model text that `parts` makes within the limit of a text.
fn fill(parts: impl Fn(usize) -> Parts) -> String {
    let (mut low, mut high) = (1usize, 200_000);
    while low < high {
        let middle = (low + high).div_ceil(2);
        match parts(middle).text().len() <= dgc::syntax::MOST_TEXT {
            true => low = middle,
            false => high = middle - 1,
        }
    }
    parts(low).text()
}

macro_rules! parts {
    ($($field:ident: $value:expr),*) => {
        Parts { $($field: $value,)* ..Parts::default() }
    };
}

/// Texts by what is extreme in them.
fn texts() -> Vec<(&'static str, String)> {
    let deep = |open: &str, inner: &str, close: &str, count: usize| {
        open.repeat(count) + inner + &close.repeat(count)
    };
    vec![
        ("round brackets", parts!(sizes: format!(", m = {}", deep("(", "4", ")", 10_000))).text()),
        ("square brackets", parts!(network: deep("[", "dense(n)", "]", 10_000)).text()),
        ("allowed brackets", fill(|n| parts!(nets: each(n, "\n", |i| format!("net a{i} = {}", deep("[", "dense(n)", "]", 190)))))),
        ("allowed parentheses", fill(|n| parts!(sizes: each(n, "", |i| format!(", m{i} = {}", deep("(", "4", ")", 190)))))),
        ("calls in calls", fill(|n| parts!(nets: each(n, "\n", |i| format!("net a{i} = {}", deep("dense([", "", "])", 95)))))),
        ("open brackets", fill(|n| parts!(nets: each(n, "\n", |i| format!("net a{i} = {}", "[".repeat(190)))))),
        ("open brackets, one per line", fill(|n| parts!(nets: "net a = [\n".repeat(n)))),
        ("braces", fill(|n| parts!(after: "generative {\n".repeat(n)))),
        ("residual blocks", fill(|n| parts!(nets: each(n, "\n", |i| format!("net a{i} = dense(n) > {}", deep("residual [", "dense(n)", "]", 190)))))),
        ("signs", fill(|n| parts!(sizes: each(n, "", |i| format!(", m{i} = {}4", "-".repeat(900)))))),
        ("operators", parts!(sizes: format!(", m = {}", each(100_000, "+", |_| "1".to_string()))).text()),
        ("empty repetitions", parts!(network: format!("[{} > dense(n)]", deep("2 * [", "", "]", 30))).text()),
        ("long empty repetitions", parts!(network: format!("[{} > dense(n)]", deep("1000 * [", "", "]", 30))).text()),
        ("repetitions of nothing", parts!(network: format!("[{} > dense(n)]", deep("1000 * [", "linear", "]", 30))).text()),
        ("many repetitions", fill(|n| parts!(network: format!("[{} > dense(n)]", each(n, " > ", |_| "1000 * [1000 * []]".to_string()))))),
        ("nets that double", parts!(
            nets: format!("net n0 = [dense(n)]\n{}", each(22, "\n", |i| format!("net n{} = n{i} > n{i}", i + 1))),
            network: "n22".to_string()
        ).text()),
        ("unused nets that double", fill(|n| parts!(
            nets: format!("net n0 = [dense(q)]\n{}\n{}", each(12, "\n", |i| format!("net n{} = n{i} > n{i}", i + 1)), each(n, "\n", |i| format!("net a{i} = n12")))
        ))),
        ("a chain of nets", fill(|n| parts!(nets: format!("net n0 = [dense(n)]\n{}", each(n, "\n", |i| format!("net n{} = n{i}", i + 1)))))),
        ("a cycle of nets", fill(|n| parts!(nets: each(n, "\n", |i| format!("net n{i} = n{}", (i + 1) % n))))),
        ("nets", fill(|n| parts!(nets: each(n, "\n", |i| format!("net a{i} = [dense(n)]"))))),
        ("equal nets", fill(|n| parts!(nets: "net a = [dense(n)]\n".repeat(n)))),
        ("layers", fill(|n| parts!(network: format!("[{}]", each(n, " > ", |_| "dense(n)".to_string()))))),
        ("unknown layers", fill(|n| parts!(network: format!("[{}]", each(n, " > ", |i| format!("q{i}(n)")))))),
        ("layers that grow", parts!(shape: "1, 8, 8".to_string(), encoder: format!("[{} > dense(n)]", each(9, " > ", |_| "conv_transpose(1000000, 3, 1000000)".to_string()))).text()),
        ("a large layer", parts!(network: "[dense(1000000, 1000000, 1000000) > dense(n)]".to_string()).text()),
        ("a large kernel", parts!(shape: "1, 8, 8".to_string(), encoder: "[conv(1000000, 1000000, 1, 1000000) > dense(n)]".to_string()).text()),
        ("a product of 2^64 + 26", parts!(shape: "2, 3, 11, 157, 163, 199, 249, 16777213, 13".to_string()).text()),
        ("a product of 2^72", parts!(shape: "16777216, 16777216, 16777216".to_string()).text()),
        ("axes of 1", fill(|n| parts!(shape: format!("n{}", ", 1".repeat(n))))),
        ("sizes", fill(|n| parts!(sizes: each(n, "", |i| format!(", s{i} = {}", i % 9 + 1))))),
        ("equal sizes", fill(|n| parts!(sizes: ", s = 1".repeat(n)))),
        ("fractions", fill(|n| parts!(sizes: each(n, "", |i| format!(", s{i} = 0.5"))))),
        ("unknown sizes", fill(|n| parts!(sizes: each(n, "", |i| format!(", s{i} = q{i}"))))),
        ("numbers that are none", parts!(sizes: ", a = 0 / 0, b = 1e999, c = 1e300, d = -1, e = 4e-9999999999999".to_string()).text()),
        ("digits", parts!(sizes: format!(", m = {}", "9".repeat(100_000))).text()),
        ("variables", fill(|n| parts!(latents: each(n, "\n", |i| format!("latent v{i}: real"))))),
        ("variables with factors", parts!(
            latents: each(900, "\n", |i| format!("latent v{i}: real")),
            generative: each(900, "\n", |i| format!("v{i} ~ normal(0, 1)"))
        ).text()),
        ("a chain of nodes", parts!(
            generative: format!("z -> h0 = [dense(n)]\n{}", each(900, "\n", |i| format!("h{i} -> h{} = [dense(n)]", i + 1)))
        ).text()),
        ("a chain of nodes, last first", parts!(
            generative: format!("z -> h0 = [dense(n)]\n{}", each(900, "\n", |i| format!("h{} -> h{} = [dense(n)]", 899 - i, 900 - i)))
        ).text()),
        ("a cycle of nodes", parts!(generative: each(900, "\n", |i| format!("h{i} -> h{} = [dense(n)]", (i + 1) % 900))).text()),
        ("parents", fill(|n| parts!(generative: format!("{} -> h = [dense(n)]", each(n, ", ", |_| "z".to_string()))))),
        ("unknown parents", fill(|n| parts!(generative: format!("{} -> h = [dense(n)]", each(n, ", ", |i| format!("q{i}")))))),
        ("long unknown names", fill(|n| parts!(
            latents: each(n.min(900), "\n", |i| format!("latent {}{i}: real", "v".repeat(90))),
            generative: format!("{} -> h = [dense(n)]", each(n.saturating_sub(900).max(1), ", ", |i| format!("{}{i}", "v".repeat(89))))
        ))),
        ("unknown children", fill(|n| parts!(generative: "q -> w ~ normal(0)\n".repeat(n)))),
        ("equal arrows", fill(|n| parts!(generative: "z -> x ~ normal([dense(n)])\n".repeat(n)))),
        ("arguments", fill(|n| parts!(network: format!("[dense({})]", each(n, ", ", |_| "n".to_string()))))),
        ("named arguments", fill(|n| parts!(network: format!("[dense({})]", each(n, ", ", |i| format!("a{i} = n")))))),
        ("heads", fill(|n| parts!(network: each(n, ", ", |i| format!("a{i} = 1"))))),
        ("unknown settings", fill(|n| parts!(train: "foo 1\n".repeat(n)))),
        ("equal settings", fill(|n| parts!(train: "epochs 1\n".repeat(n)))),
        ("settings of unknown variables", fill(|n| parts!(objective: each(n, "\n", |i| format!("beta q{i} 1"))))),
        ("values", fill(|n| parts!(train: format!("batch {}", "2 ".repeat(n))))),
        ("lines that do not parse", fill(|n| parts!(nets: "foo bar\n".repeat(n)))),
        ("unclosed lists", fill(|n| parts!(generative: "z -> x ~ normal([dense(n)\n".repeat(n)))),
        ("other operators", fill(|n| parts!(generative: "z | x\n".repeat(n)))),
        ("a long name", format!("model {} {{\n}}\n", "m".repeat(200_000))),
        ("lines", fill(|n| parts!(after: "\n".repeat(n)))),
        ("comments", fill(|n| parts!(after: "//\n".repeat(n)))),
        ("10 MB of letters", "a".repeat(10_000_000)),
        ("10 MB of other letters", "é".repeat(5_000_000)),
        ("10 MB of zeros", "\0".repeat(10_000_000)),
        ("10 MB of lines", parts!(after: "\n".repeat(10_000_000)).text()),
        ("10 MB of layers", parts!(network: format!("[{}]", each(900_000, " > ", |_| "dense(n)".to_string()))).text()),
    ]
}

/// The program may use two seconds of a processor, where it takes less than one, and 256 MiB of memory
/// beyond what its code and the stacks of its threads take.
const LIMITS: &str = "ulimit -t 2; ulimit -v 524288; exec \"$@\"";

#[test]
fn extreme_texts_are_checked_in_little_time_and_memory() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("m.dgm");
    for (what, text) in texts() {
        std::fs::write(&file, text).expect("a file can be written");
        for command in [&["check"][..], &["fmt", "--check"]] {
            let output = Command::new("sh")
                .args(["-c", LIMITS, "sh", env!("CARGO_BIN_EXE_dgc")])
                .args(command)
                .arg(&file)
                .stdin(Stdio::null())
                .output()
                .expect("a shell runs the program");
            let errors = String::from_utf8_lossy(&output.stderr);
            let code = output.status.code();
            assert!(
                matches!(code, Some(0 | 1)) && !errors.contains("a bug in dgc"),
                "{what}: {command:?}: {code:?} {errors:.1000}"
            );
            assert!(
                errors.len() < 500_000,
                "{what}: a message of {} bytes",
                errors.len()
            );
        }
    }
}
