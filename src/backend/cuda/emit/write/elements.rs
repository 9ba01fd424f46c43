//! A loop's stores, with a thread per element or per several elements of a column.

use super::{
    super::spec::{Elements, STRIP, Spread, THREADS, matrix_of},
    rematerialize,
    statements::{Body, Text, each, names, store, unravel, unravel_where},
};

/// Writes the stores of a loop.
pub(super) fn write(text: &mut Text, task: &Elements) {
    match task.spread {
        Spread::Each => write_each(text, task),
        Spread::Strips => write_strips(text, task),
    }
}

fn write_each(text: &mut Text, task: &Elements) {
    let nest = task.nest;
    let names = names(nest.sizes.len());
    text.line(1, &each(nest.elements(), THREADS));
    unravel(text, 2, "i", &names, &nest.sizes);
    rematerialize::write(text, 2, &task.rematerialized, nest, &names);
    write_body(text, 2, task, &names);
    text.line(1, "}");
}

fn write_strips(text: &mut Text, task: &Elements) {
    let nest = task.nest;
    let names = names(nest.sizes.len());
    let last = nest.sizes.len() - 1;
    let (columns, rows) = matrix_of(nest);
    let (groups, strips) = (columns.div_ceil(32), rows.div_ceil(STRIP));
    text.line(
        1,
        &format!(
            "for (Index part = block.x; part < {}u; part += block.count) {{",
            groups * strips
        ),
    );
    let column = format!("part % {groups}u * 32 + threadIdx.x % 32");
    text.line(
        2,
        &format!(
            "Index {} = {column}, row = part / {groups}u * {STRIP}u;",
            names[last]
        ),
    );
    text.line(2, &format!("if ({} >= {columns}u) continue;", names[last]));
    rematerialize::write(text, 2, &task.rematerialized, nest, &names);
    let end = format!("row + {STRIP}u < {rows}u ? row + {STRIP}u : {rows}u");
    text.line(2, &format!("Index end = {end};"));
    let step = THREADS / 32;
    text.line(0, "#pragma unroll 4");
    text.line(
        2,
        &format!("for (Index i = row + threadIdx.x / 32; i < end; i += {step}) {{"),
    );
    unravel_where(text, 3, "i", &names, &nest.sizes, &|axis| axis < last);
    write_body(text, 3, task, &names);
    text.line(2, "}");
    text.line(1, "}");
}

fn write_body(text: &mut Text, depth: usize, task: &Elements, names: &[String]) {
    let body = Body {
        nest: task.nest,
        sinks: &task.sinks,
        names,
        replacements: &rematerialize::replacements(&task.rematerialized, task.nest),
    };
    body.write(text, depth, &mut |text, _, sink| {
        store(text, depth, sink, names, None);
    });
}
