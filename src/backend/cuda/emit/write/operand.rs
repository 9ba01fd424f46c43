//! The operands of a tile: in memory, read through windows, or computed while they are loaded.

use super::{
    super::spec::{Computed, Operand, THREADS},
    rematerialize,
    statements::{Body, Replacements, Text, load, names, pointer, unravel},
};
use crate::plan::{Instruction, Windows};

/// Declares an object for an operand before the first product, unless the operand is in memory.
/// `vectors` counts the used floats of shared memory.
pub(super) fn declare(text: &mut Text, name: &str, operand: &Operand, vectors: &mut usize) {
    match operand {
        Operand::Memory(_) => {}
        Operand::Windows(windows) => declare_windows(text, name, windows),
        Operand::Computed(computed) => declare_computed(text, name, computed, vectors),
    }
}

/// The operand as an argument.
pub(super) fn argument(name: &str, operand: &Operand) -> String {
    match operand {
        Operand::Memory(strides) => format!(
            "in_memory({}, {}u, {}u)",
            pointer(strides.buffer),
            strides.across,
            strides.along
        ),
        Operand::Windows(_) | Operand::Computed(_) => name.to_string(),
    }
}

fn declare_windows(text: &mut Text, name: &str, windows: &Windows) {
    let (rows, columns) = (windows.rows.len(), windows.columns.len());
    let names = names(rows + columns);
    let (down, right) = if windows.left {
        ("place", "k")
    } else {
        ("k", "place")
    };
    text.line(
        1,
        &format!("auto {name} = computed([&](Index place, Index k) {{"),
    );
    unravel(text, 2, down, &names[..rows], &windows.rows);
    unravel(text, 2, right, &names[rows..], &windows.columns);
    let element = load(text, 2, &windows.access, &names, "");
    text.line(2, &format!("return {element};"));
    text.line(1, "});");
}

fn declare_computed(text: &mut Text, name: &str, operand: &Computed, vectors: &mut usize) {
    let Computed { nest, rows, .. } = operand;
    let replacements = shared_vectors(text, operand, vectors);
    text.line(
        1,
        &format!("auto {name} = computed([&](Index place, Index k) {{"),
    );
    let mut indices = names(nest.sizes.len());
    indices[*rows] = "k".to_string();
    unravel(text, 2, "place", &indices[..*rows], &nest.sizes[..*rows]);
    let body = Body {
        nest,
        sinks: &[operand.sink],
        names: &indices,
        replacements: &replacements,
    };
    body.write(text, 2, &mut |text, _, sink| {
        if let Instruction::Store(value, _) = sink {
            text.line(2, &format!("return r{value};"));
        }
    });
    text.line(1, "});");
}

/// Computes the operand's vectors over k in shared memory, and returns the expressions that read them.
fn shared_vectors(text: &mut Text, operand: &Computed, vectors: &mut usize) -> Replacements {
    let Computed { nest, rows, .. } = operand;
    let variables = rematerialize::replacements(&operand.rematerialized, nest);
    if variables.is_empty() {
        return Replacements::new();
    }
    let k = nest.sizes[*rows];
    let mut indices = names(nest.sizes.len());
    indices[*rows] = "i".to_string();
    text.line(
        1,
        &format!("for (Index i = threadIdx.x; i < {k}u; i += {THREADS}u) {{"),
    );
    rematerialize::write(text, 2, &operand.rematerialized, nest, &indices);
    let mut replacements = Replacements::new();
    for (access, variable) in variables {
        text.line(2, &format!("heads[{vectors}u + i] = {variable};"));
        replacements.push((access, format!("heads[{vectors}u + k]")));
        *vectors += k;
    }
    text.line(1, "}");
    replacements
}
