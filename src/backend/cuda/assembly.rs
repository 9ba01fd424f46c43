//! Reads the assembler's log: registers, shared memory and spills of each function.

use super::emit;

/// The assembler's report on a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// The function's name.
    pub name: String,
    /// Registers per thread.
    pub registers: usize,
    /// Bytes of shared memory per block.
    pub shared: usize,
    /// Bytes per thread that are spilled from registers to memory, stores plus loads.
    pub spilled: usize,
}

/// The functions in a log that was written with `--ptxas-options=-v`: those that a program
/// launches, sorted by name.
pub fn functions(log: &str) -> Vec<Function> {
    let mut found: Vec<Function> = Vec::new();
    for line in log.lines() {
        if let Some((_, rest)) = line.split_once("Compiling entry function '") {
            let name = rest.split('\'').next().unwrap_or_default().to_string();
            found.push(Function {
                name,
                ..Function::default()
            });
        }
        let Some(function) = found.last_mut() else {
            continue;
        };
        function.registers = number_before(line, " registers").unwrap_or(function.registers);
        function.shared = number_before(line, " bytes smem").unwrap_or(function.shared);
        let spilled =
            ["stores", "loads"].map(|what| number_before(line, &format!(" bytes spill {what}")));
        function.spilled += spilled.into_iter().flatten().sum::<usize>();
    }
    found.retain(|function| function.name != emit::GATHER);
    found.sort_by_key(|function| natural(&function.name));
    found
}

/// The number before a word: 32 in `Used 32 registers`.
fn number_before(line: &str, word: &str) -> Option<usize> {
    let (before, _) = line.split_once(word)?;
    before
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// A sort key that puts `step2_…` before `step10_…`.
fn natural(name: &str) -> (usize, String) {
    let digits: String = name
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    (digits.parse().unwrap_or(usize::MAX), name.to_string())
}
