//! Statements of CUDA C++: indices, loads, stores, and the instructions of a loop.

use super::super::{nest::needed, spec::THREADS};
use crate::{
    id::Id,
    plan::{Access, Buffer, Instruction, Loop, Matrix},
    tensor::{NoiseKind, ReduceKind},
};
use std::fmt::Write;

/// The text of a function's body so far.
#[derive(Default)]
pub(super) struct Text {
    pub text: String,
}

impl Text {
    /// Adds a line that is indented by `depth` levels.
    pub fn line(&mut self, depth: usize, line: &str) {
        let _ = writeln!(self.text, "{}{line}", "    ".repeat(depth));
    }
}

/// The pointer to a buffer.
pub(super) fn pointer(buffer: Id<Buffer>) -> String {
    format!("b{}", buffer.index())
}

/// The names of a loop's indices.
pub(super) fn names(count: usize) -> Vec<String> {
    (0..count).map(|axis| format!("i{axis}")).collect()
}

/// The operation of `reduce.cuh`.
pub(super) fn operation(kind: ReduceKind) -> &'static str {
    match kind {
        ReduceKind::Sum => "Sum",
        ReduceKind::Max => "Max",
        ReduceKind::LogSumExp => unreachable!("a plan has no log-sum-exp"),
    }
}

/// The kind, the value and the destination of a reduction.
pub(super) fn reduction(nest: &Loop, sum: usize) -> (ReduceKind, &Access) {
    match &nest.instructions[sum] {
        Instruction::Reduce { kind, access, .. } => (*kind, access),
        _ => unreachable!("a sum is a reduction"),
    }
}

/// Declares the variables of the given sums.
pub(super) fn start_sums(text: &mut Text, depth: usize, nest: &Loop, sums: &[usize]) {
    for &number in sums {
        let operation = operation(reduction(nest, number).0);
        text.line(depth, &format!("float s{number} = {operation}::start();"));
    }
}

/// A number as a C literal of single precision.
fn literal(value: f64) -> String {
    let value = value as f32;
    match value {
        f32::INFINITY => "INFINITY".to_string(),
        f32::NEG_INFINITY => "(-INFINITY)".to_string(),
        _ if value.is_nan() => "NAN".to_string(),
        _ if value < 0.0 => format!("({value:?}f)"),
        _ => format!("{value:?}f"),
    }
}

/// Begins a loop over `count` results; each block computes `teams` results at once.
pub(super) fn each(count: usize, teams: usize) -> String {
    let team = THREADS / teams;
    let team_of_thread = if team == 1 {
        "threadIdx.x".to_string()
    } else {
        format!("threadIdx.x / {team}")
    };
    let first = format!("block.x * {teams}u + {team_of_thread}");
    if count <= teams {
        return format!("if (Index i = {first}; i < {count}u) {{");
    }
    format!("for (Index i = {first}; i < {count}u; i += block.count * {teams}u) {{")
}

/// Declares the indices of the wanted axes, from a single index with the innermost axis fastest.
pub(super) fn unravel_where(
    text: &mut Text,
    depth: usize,
    count: &str,
    names: &[String],
    sizes: &[usize],
    is_wanted: &dyn Fn(usize) -> bool,
) {
    let axes: Vec<usize> = (0..sizes.len()).filter(|&axis| is_wanted(axis)).collect();
    let mut below = 1usize;
    for (position, &axis) in axes.iter().enumerate().rev() {
        let divided = if below == 1 {
            count.to_string()
        } else {
            format!("{count} / {below}u")
        };
        let index = match (position, sizes[axis]) {
            (_, 1) => "0".to_string(),
            (0, _) => divided,
            (_, size) => format!("{divided} % {size}u"),
        };
        text.line(depth, &format!("Index {} = {index};", names[axis]));
        below *= sizes[axis];
    }
}

/// Declares the indices of all axes, from a single index.
pub(super) fn unravel(
    text: &mut Text,
    depth: usize,
    count: &str,
    names: &[String],
    sizes: &[usize],
) {
    unravel_where(text, depth, count, names, sizes, &|_| true);
}

/// The offset Σ index · stride for the given index names, plus the offset of the tile's array.
pub(super) fn offset(access: &Access, names: &[String]) -> String {
    let mut terms: Vec<String> = Vec::new();
    if access.partial > 0 {
        terms.push(format!("tile * {}u", access.partial));
    }
    for (name, &stride) in names.iter().zip(&access.strides) {
        match stride {
            0 => {}
            1 => terms.push(name.clone()),
            _ => terms.push(format!("{name} * {stride}u")),
        }
    }
    if terms.is_empty() {
        "0".to_string()
    } else {
        terms.join(" + ")
    }
}

/// The offset of an access through windows for the given index names, and the condition that the
/// windows are inside the array; without windows there is no condition. The declared variables end in
/// `mark`.
fn place(
    text: &mut Text,
    depth: usize,
    access: &Access,
    names: &[String],
    mark: &str,
) -> (String, Option<String>) {
    let (mut place, mut conditions) = (offset(access, names), Vec::new());
    for (number, span) in access.spans.iter().enumerate() {
        let variable = format!("p{mark}_{number}");
        let terms = names
            .iter()
            .zip(&span.strides)
            .filter(|(_, stride)| **stride != 0);
        let terms: String = terms
            .map(|(name, stride)| format!(" + (int)({name}) * {stride}"))
            .collect();
        text.line(depth, &format!("int {variable} = {}{terms};", span.offset));
        conditions.push(format!(
            "{variable} >= 0 && {variable} < {}",
            span.size * span.divisor
        ));
        let mut index = format!("(Index){variable}");
        if span.divisor > 1 {
            conditions.push(format!("{variable} % {} == 0", span.divisor));
            index += &format!(" / {}u", span.divisor);
        }
        place += &format!(" + {index} * {}u", span.step);
    }
    (
        place,
        (!conditions.is_empty()).then(|| conditions.join(" && ")),
    )
}

/// A load for the given index names; 0 if windows are outside the array.
pub(super) fn load(
    text: &mut Text,
    depth: usize,
    access: &Access,
    names: &[String],
    mark: &str,
) -> String {
    let pointer = pointer(access.buffer);
    match place(text, depth, access, names, mark) {
        (place, None) => format!("{pointer}[{place}]"),
        (place, Some(condition)) => format!("({condition}) ? {pointer}[{place}] : 0.0f"),
    }
}

/// Writes the element of a store to memory, under an optional condition.
pub(super) fn store(
    text: &mut Text,
    depth: usize,
    sink: &Instruction,
    names: &[String],
    when: Option<&str>,
) {
    if let Instruction::Store(value, access) = sink {
        let pointer = pointer(access.buffer);
        let mark = format!("s{}", access.buffer.index());
        let (place, condition) = place(text, depth, access, names, &mark);
        let conditions: Vec<&str> = when.into_iter().chain(condition.as_deref()).collect();
        let condition = if conditions.is_empty() {
            String::new()
        } else {
            format!("if ({}) ", conditions.join(" && "))
        };
        text.line(depth, &format!("{condition}{pointer}[{place}] = r{value};"));
    }
}

/// Adds a value to the variable of its sum, under an optional condition, or stores it.
pub(super) fn store_or_join(
    text: &mut Text,
    depth: usize,
    number: usize,
    sink: &Instruction,
    names: &[String],
    when: Option<&str>,
) {
    match sink {
        Instruction::Reduce { kind, value, .. } => {
            let condition = when.map_or(String::new(), |when| format!("if ({when}) "));
            let operation = operation(*kind);
            text.line(
                depth,
                &format!("{condition}s{number} = {operation}::join(s{number}, r{value});"),
            );
        }
        _ => store(text, depth, sink, names, when),
    }
}

/// The offset in a matrix of the element at `row` and the given column variable.
pub(super) fn matrix_place(matrix: &Matrix, column: &str) -> String {
    format!(
        "row * {}u + {column} * {}u",
        matrix.row_stride, matrix.column_stride
    )
}

/// Variables that replace loads.
pub(super) type Replacements = Vec<(Access, String)>;

/// A loop whose instructions are written as statements.
pub(super) struct Body<'a> {
    pub nest: &'a Loop,
    /// The sinks to execute.
    pub sinks: &'a [usize],
    /// The names of its indices.
    pub names: &'a [String],
    /// The loads that variables replace.
    pub replacements: &'a Replacements,
}

impl Body<'_> {
    /// Writes the instructions that the sinks need. `sink` writes the sinks themselves.
    pub fn write(
        &self,
        text: &mut Text,
        depth: usize,
        sink: &mut dyn FnMut(&mut Text, usize, &Instruction),
    ) {
        let needed = needed(self.nest, self.sinks);
        let numbered = self.nest.instructions.iter().enumerate();
        for (number, instruction) in numbered.filter(|(number, _)| needed[*number]) {
            match self.value(text, depth, number, instruction) {
                Some(value) => text.line(depth, &format!("float r{number} = {value};")),
                None => sink(text, number, instruction),
            }
        }
    }

    /// The value of an instruction; `None` for a sink.
    fn value(
        &self,
        text: &mut Text,
        depth: usize,
        number: usize,
        instruction: &Instruction,
    ) -> Option<String> {
        let names = self.names;
        Some(match instruction {
            Instruction::Constant(value) => literal(*value),
            Instruction::Position(axis) => format!("(float){}", names[*axis]),
            Instruction::Load(access) => {
                match self.replacements.iter().find(|(same, _)| same == access) {
                    Some((_, variable)) => variable.clone(),
                    None => load(text, depth, access, names, &number.to_string()),
                }
            }
            Instruction::Noise {
                stream,
                kind,
                access,
            } => {
                let function = match kind {
                    NoiseKind::Normal => "noise_normal",
                    _ => "noise_uniform",
                };
                format!("{function}(key, {stream}u, {})", offset(access, names))
            }
            Instruction::Scalar(scalar, operands) => {
                let template = scalar.row().c.to_string();
                operands
                    .iter()
                    .enumerate()
                    .fold(template, |text, (place, operand)| {
                        text.replace(&format!("{{{place}}}"), &format!("r{operand}"))
                    })
            }
            Instruction::OneHot(value, axis) => {
                format!("r{value} == (float){} ? 1.0f : 0.0f", names[*axis])
            }
            Instruction::Store(..) | Instruction::Reduce { .. } => return None,
        })
    }
}
