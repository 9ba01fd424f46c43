//! Prints a specification as CUDA C++. This module makes no decisions.

mod statements;
mod rematerialize;
mod elements;
mod sums;
mod operand;
mod epilogue;
mod contraction;

use super::spec::{
    Element, Function, IndexWidth, Outcome, Piece, PlacedPiece, Pointer, PointerAccess, Program,
    Shared, THREADS, Task,
};
use crate::{
    backend::Precision,
    plan::{Buffer, Contraction, Loop, Matrix, Plan},
};
use contraction::kind;
use statements::{Text, pointer};
use std::fmt::Write;

/// The device code at the start of every source.
const LIBRARY: [(&str, &str); 7] = [
    (
        "philox.cuh",
        include_str!("../../../../../kernels/philox.cuh"),
    ),
    (
        "reduce.cuh",
        include_str!("../../../../../kernels/reduce.cuh"),
    ),
    (
        "special.cuh",
        include_str!("../../../../../kernels/special.cuh"),
    ),
    (
        "tensor.cuh",
        include_str!("../../../../../kernels/tensor.cuh"),
    ),
    (
        "number.cuh",
        include_str!("../../../../../kernels/number.cuh"),
    ),
    (
        "contract.cuh",
        include_str!("../../../../../kernels/contract.cuh"),
    ),
    (
        "gather.cuh",
        include_str!("../../../../../kernels/gather.cuh"),
    ),
];

/// The separator between the library and the functions of a program.
pub const BEGIN: &str = "// ---- the model\n\n";

/// The text of a program whose contractions have the given precision.
pub(super) fn source(program: &Program, title: &str, precision: Precision) -> String {
    let mut text = format!(
        "// {title}: {} kernels in {} launches, {precision}. Made by dgc {}.\n\n",
        program.plan.kernels.len(),
        program.functions.len(),
        env!("CARGO_PKG_VERSION")
    );
    let index = match program.index {
        IndexWidth::Narrow => "unsigned",
        IndexWidth::Wide => "unsigned long long",
    };
    let _ = writeln!(text, "typedef {index} Index;\n");
    text += "// A block among those of its piece of work: its column and row, and how many columns there are.\n";
    text += "struct Block {\n    unsigned x, y, count;\n};\n\n";
    for (name, library) in LIBRARY {
        let _ = writeln!(text, "// ---- {name}\n\n{}\n", library.trim_end());
    }
    text += BEGIN;
    let writer = Writer {
        plan: program.plan,
        precision,
    };
    for function in &program.functions {
        writer.function(&mut text, function);
    }
    text
}

struct Writer<'p> {
    plan: &'p Plan,
    precision: Precision,
}

impl Writer<'_> {
    fn function(&self, text: &mut String, function: &Function) {
        for parameter in &function.parameters {
            let name = &self.plan.buffer(parameter.buffer).name;
            let _ = writeln!(text, "//   {} = {name}", parameter_name(parameter));
        }
        // Two resident blocks, if shared memory permits: without a number the assembler spills registers
        // to fit more blocks.
        let _ = writeln!(
            text,
            "extern \"C\" __global__ void __launch_bounds__({THREADS}, 2)\n{}({}) {{",
            function.launch.function,
            parameters(function).join(", ")
        );
        pointers(text, function);
        self.shared(text, function);
        for piece in &function.pieces {
            self.piece(text, piece);
        }
        text.push_str("}\n\n");
    }

    /// Declares the function's shared memory.
    fn shared(&self, text: &mut String, function: &Function) {
        let mut members: Vec<String> = function
            .shared
            .iter()
            .map(|shared| match shared {
                Shared::Stage(shape) => {
                    let (m, n, kind) = (shape.m, shape.n, kind(self.precision));
                    format!("{kind}<{m}, {n}>::Stage stage_{m}_{n}; ")
                }
                Shared::Columns => "float columns[THREADS]; ".to_string(),
                Shared::Sums => format!("float sums[{}]; ", THREADS / 32),
            })
            .collect();
        members.sort();
        if !members.is_empty() {
            let members = members.concat();
            let _ = writeln!(text, "    __shared__ union {{ {members}}} shared;");
        }
        if function.vectors > 0 {
            let _ = writeln!(text, "    __shared__ float heads[{}];", function.vectors);
        }
    }

    /// Writes a piece of work as a branch for its blocks.
    fn piece(&self, text: &mut String, placed: &PlacedPiece) {
        let PlacedPiece {
            piece,
            first,
            scratch,
        } = placed;
        let comment = self.comment(piece).replace('\n', "\n    // ");
        let _ = writeln!(text, "    // {}: {comment}", piece.name);
        let (condition, number) = match first {
            0 => (String::new(), "blockIdx.x".to_string()),
            _ => (
                format!("blockIdx.x >= {first}u && "),
                format!("(blockIdx.x - {first}u)"),
            ),
        };
        let last = first + piece.grid.blocks();
        let _ = writeln!(text, "    if ({condition}blockIdx.x < {last}u) {{");
        let x = piece.grid.columns;
        let _ = writeln!(
            text,
            "    Block block = {{{number} % {x}u, {number} / {x}u, {x}u}};"
        );
        if let Some(offset) = scratch {
            let _ = writeln!(text, "    float* const scratch = arena + {offset}u;");
        }
        let _ = writeln!(text, "{}    }}", self.body(piece));
    }

    /// Writes the statements of a piece. If it has several tasks, each waits for the previous task.
    fn body(&self, piece: &Piece) -> String {
        if let [task] = piece.tasks.as_slice() {
            return self.task(task);
        }
        let tasks = piece.tasks.iter();
        let tasks: Vec<String> = tasks
            .map(|task| format!("    {{\n{}    }}\n", self.task(task)))
            .collect();
        tasks.join("    __syncthreads();\n")
    }

    fn task(&self, task: &Task) -> String {
        let mut text = Text::default();
        match task {
            Task::Elements(task) => elements::write(&mut text, task),
            Task::Sums(task) => sums::write(&mut text, task),
            Task::Rows(task) => contraction::write_rows(&mut text, task),
            Task::Tiles(task) => contraction::write_tiles(&mut text, task, self.precision),
            Task::AddParts(task) => contraction::write_add_parts(&mut text, task),
            Task::AddRows(task) => epilogue::write_add_rows(&mut text, task),
        }
        text.text
    }

    /// A comment with a line for each task of a piece, and the formulas that it computes.
    fn comment(&self, piece: &Piece) -> String {
        let tasks = piece.tasks.iter().map(|task| match task {
            Task::Elements(task) => self.axes(task.nest),
            Task::Sums(task) => self.axes(task.nest),
            Task::Rows(task) => self.products(task.contraction),
            Task::Tiles(task) => {
                let products = self.products(task.contraction);
                match &task.outcome {
                    Outcome::Whole(_) => products,
                    Outcome::Parts(parts) => {
                        format!("{products}, k in {} parts of {}", parts.count, parts.depth)
                    }
                }
            }
            Task::AddParts(task) => format!(
                "{}: the {} parts of the sums, in order",
                self.name(&task.contraction.out),
                task.parts.count
            ),
            Task::AddRows(task) => format!(
                "{}: sums of its rows, in order",
                self.name(&task.contraction.out)
            ),
        });
        let lines: Vec<String> = tasks.chain(piece.origins.iter().cloned()).collect();
        lines.join("\n")
    }

    /// A loop's axes: `for [unlabelled.row:100, y:10]`.
    fn axes(&self, nest: &Loop) -> String {
        let axes = nest.axes.iter().zip(&nest.sizes);
        let axes: Vec<String> = axes
            .map(|(axis, size)| format!("{}:{size}", self.plan.axes[axis.index()].name))
            .collect();
        format!("for [{}]", axes.join(", "))
    }

    /// A contraction's result and operands: `c[2, 3] = a · b over 5`.
    fn products(&self, contraction: &Contraction) -> String {
        let Contraction { m, n, out, .. } = contraction;
        let products = contraction.products.iter().map(|product| {
            let (left, right) = (self.name(&product.left), self.name(&product.right));
            format!("{left} · {right} over {}", product.k)
        });
        let products: Vec<String> = products.collect();
        format!("{}[{m}, {n}] = {}", self.name(out), products.join(" + "))
    }

    fn name(&self, matrix: &Matrix) -> &str {
        let Buffer { name, .. } = self.plan.buffer(matrix.buffer);
        name
    }
}

/// The name of a type of numbers.
fn number(element: Element) -> &'static str {
    match element {
        Element::Float => "float",
        Element::BFloat16 => "BFloat16",
    }
}

/// The type of a pointer.
fn pointer_type(pointer: &Pointer) -> String {
    let number = number(pointer.element);
    match pointer.access {
        PointerAccess::Written => format!("{number}*"),
        PointerAccess::ReadOnly | PointerAccess::Aliased => format!("const {number}*"),
    }
}

/// The name of a parameter. A buffer that is only read is passed under another name and becomes a
/// `Read`.
fn parameter_name(parameter: &Pointer) -> String {
    match parameter.access {
        PointerAccess::ReadOnly => format!("p{}", parameter.buffer.index()),
        PointerAccess::Aliased | PointerAccess::Written => pointer(parameter.buffer),
    }
}

fn parameters(function: &Function) -> Vec<String> {
    let launch = &function.launch;
    let buffers = function
        .parameters
        .iter()
        .map(|pointer| format!("{} {}", pointer_type(pointer), parameter_name(pointer)));
    let arena = launch.arena.then(|| "float* arena".to_string());
    let noise = launch.noise.then(|| "const Key* key".to_string());
    arena.into_iter().chain(buffers).chain(noise).collect()
}

/// Declares the pointers that are not parameters.
fn pointers(text: &mut String, function: &Function) {
    let read = function.parameters.iter();
    for parameter in read.filter(|parameter| parameter.access == PointerAccess::ReadOnly) {
        let (number, name) = (number(parameter.element), pointer(parameter.buffer));
        let start = parameter_name(parameter);
        let _ = writeln!(text, "    const Read<{number}> {name} = {{{start}}};");
    }
    for (inner, offset) in &function.inner {
        let (name, kind) = (pointer(inner.buffer), pointer_type(inner));
        let start = match inner.element {
            Element::Float => format!("arena + {offset}u"),
            Element::BFloat16 => format!("({kind})(arena + {offset}u)"),
        };
        let _ = match inner.access {
            PointerAccess::ReadOnly => {
                let number = number(inner.element);
                writeln!(text, "    const Read<{number}> {name} = {{{start}}};")
            }
            PointerAccess::Aliased | PointerAccess::Written => {
                writeln!(text, "    {kind} const {name} = {start};")
            }
        };
    }
}
