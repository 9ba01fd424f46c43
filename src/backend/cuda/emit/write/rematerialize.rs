//! Setup loops as statements of their reader; each result is a variable.

use super::{
    super::{
        nest::result,
        spec::{Rematerialized, RematerializedLoop},
    },
    statements::{Body, Replacements, Text, operation, unravel_where},
};
use crate::{
    id::Id,
    plan::{Buffer, Instruction, Loop},
};

fn variable(buffer: Id<Buffer>) -> String {
    format!("h{}", buffer.index())
}

/// The loads of a reader that the variables replace.
pub(super) fn replacements(rematerialized: &Rematerialized, nest: &Loop) -> Replacements {
    rematerialized
        .replaced(nest)
        .map(|access| (access.clone(), variable(access.buffer)))
        .collect()
}

/// Writes the loops for a reader with the given index names.
pub(super) fn write(
    text: &mut Text,
    depth: usize,
    rematerialized: &Rematerialized,
    reader: &Loop,
    names: &[String],
) {
    for part in &rematerialized.loops {
        let variables: Vec<String> = part
            .sinks
            .iter()
            .map(|&sink| variable(result(part.nest, sink).buffer))
            .collect();
        text.line(depth, &format!("float {};", variables.join(", ")));
        text.line(depth, "{");
        let names = part_names(part, reader, names);
        write_part(
            text,
            depth + 1,
            part,
            &names,
            &replacements(rematerialized, part.nest),
        );
        text.line(depth, "}");
    }
}

/// The names of a loop's indices: the reader's names, and new names for summed axes.
fn part_names(part: &RematerializedLoop, reader: &Loop, names: &[String]) -> Vec<String> {
    let axes = part.nest.axes.iter().enumerate();
    let name = |(axis, id)| {
        let position = reader.axes.iter().position(|axis| axis == id);
        match position.filter(|_| part.kept.contains(&axis)) {
            Some(position) => names[position].clone(),
            None => format!("t{axis}"),
        }
    };
    axes.map(name).collect()
}

fn write_part(
    text: &mut Text,
    depth: usize,
    part: &RematerializedLoop,
    names: &[String],
    replacements: &Replacements,
) {
    for &sink in &part.sinks {
        if let Instruction::Reduce { kind, access, .. } = &part.nest.instructions[sink] {
            let (variable, operation) = (variable(access.buffer), operation(*kind));
            text.line(depth, &format!("{variable} = {operation}::start();"));
        }
    }
    let sums = part.terms > 1;
    let (inner, count) = if sums { (depth + 1, "t") } else { (depth, "0") };
    if sums {
        let terms = part.terms;
        text.line(depth, &format!("for (Index t = 0; t < {terms}u; ++t) {{"));
    }
    unravel_where(text, inner, count, names, &part.nest.sizes, &|axis| {
        !part.kept.contains(&axis)
    });
    let body = Body {
        nest: part.nest,
        sinks: &part.sinks,
        names,
        replacements,
    };
    body.write(text, inner, &mut |text, _, sink| match sink {
        Instruction::Reduce {
            kind,
            value,
            access,
        } => {
            let (variable, operation) = (variable(access.buffer), operation(*kind));
            text.line(
                inner,
                &format!("{variable} = {operation}::join({variable}, r{value});"),
            );
        }
        Instruction::Store(value, access) => {
            text.line(inner, &format!("{} = r{value};", variable(access.buffer)));
        }
        _ => {}
    });
    if sums {
        text.line(depth, "}");
    }
}
