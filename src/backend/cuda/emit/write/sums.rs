//! Sums of a loop: a team of threads adds the terms of each sum, then combines the threads' parts.

use super::{
    super::spec::{Sums, THREADS, Team, TermOrder},
    rematerialize,
    statements::{
        Body, Replacements, Text, each, load, names, offset, operation, pointer, reduction,
        start_sums, store_or_join, unravel_where,
    },
};

/// Writes the sums of a pass and its stores.
pub(super) fn write(text: &mut Text, task: &Sums) {
    let writer = Writer {
        task,
        extents: task.extents(),
        names: names(task.nest.sizes.len()),
    };
    writer.begin(text);
    start_sums(text, 2, task.nest, &task.sums);
    let replacements = rematerialize::replacements(&task.rematerialized, task.nest);
    let end = writer.end(text);
    match task.terms {
        TermOrder::InTurn => writer.in_turn(text, &end, &replacements),
        TermOrder::Ahead(ahead) => writer.ahead(text, &end, ahead, replacements),
    }
    for &number in &task.sums {
        writer.finish(text, number);
    }
    text.line(1, "}");
}

struct Writer<'a> {
    task: &'a Sums<'a>,
    /// How far a sum walks along each axis.
    extents: Vec<usize>,
    names: Vec<String>,
}

impl Writer<'_> {
    /// The loop over the sums, with the indices of each.
    fn begin(&self, text: &mut Text) {
        let task = self.task;
        let results = task.results();
        if task.team == Team::Columns {
            // All threads of a block execute the same number of turns, because of its barriers.
            text.line(1, &format!("for (Index first = block.x * 32u; first < {results}u; first += block.count * 32u) {{"));
            text.line(
                2,
                &format!(
                    "Index own = first + threadIdx.x % 32, i = own < {results}u ? own : {}u;",
                    results - 1
                ),
            );
        } else {
            text.line(1, &each(results, task.team.results()));
        }
        let mut count = "i";
        if task.tile.is_some() {
            let of_tile = task.results_of_tile();
            text.line(
                2,
                &format!("Index tile = i / {of_tile}u, element = i % {of_tile}u;"),
            );
            count = "element";
        }
        let (names, sizes) = (&self.names, &task.nest.sizes);
        unravel_where(text, 2, count, names, sizes, &|axis| task.kept[axis]);
        rematerialize::write(text, 2, &task.rematerialized, task.nest, names);
    }

    /// The number of terms, which is smaller for a shorter last tile.
    fn end(&self, text: &mut Text) -> String {
        let summed = self.task.summed();
        let Some(tile) = self.task.ragged() else {
            return format!("{summed}u");
        };
        let (length, size) = (tile.length, tile.size);
        let rows =
            format!("{length}u - tile * {size}u < {size}u ? {length}u - tile * {size}u : {size}u");
        text.line(2, &format!("Index end = ({rows}) * {}u;", summed / size));
        "end".to_string()
    }

    /// A thread's first term.
    fn first(&self) -> String {
        let task = self.task;
        match task.team {
            Team::Thread => "0".to_string(),
            Team::Warp => "threadIdx.x % 32".to_string(),
            Team::Block => format!("threadIdx.x % {THREADS}"),
            Team::Columns => format!(
                "own < {}u ? threadIdx.x / 32 : {}u",
                task.results(),
                task.summed()
            ),
        }
    }

    /// Declares the index of each summed axis from the term's index `j`.
    fn indices(&self, text: &mut Text, depth: usize) {
        let task = self.task;
        unravel_where(text, depth, "j", &self.names, &self.extents, &|axis| {
            !task.kept[axis]
        });
        if let Some(tile) = task.tile {
            text.line(depth, &format!("i0 += tile * {}u;", tile.size));
        }
    }

    /// Computes a term and adds it, under an optional condition.
    fn add(&self, text: &mut Text, depth: usize, replacements: &Replacements, when: Option<&str>) {
        let body = Body {
            nest: self.task.nest,
            sinks: &self.task.sinks,
            names: &self.names,
            replacements,
        };
        body.write(text, depth, &mut |text, number, sink| {
            store_or_join(text, depth, number, sink, &self.names, when);
        });
    }

    fn in_turn(&self, text: &mut Text, end: &str, replacements: &Replacements) {
        text.line(2, &format!("for (Index j = 0; j < {end}; ++j) {{"));
        self.indices(text, 3);
        self.add(text, 3, replacements, None);
        text.line(2, "}");
    }

    /// Writes all loads of a group of terms before its first term. Terms beyond the last are replaced by
    /// the last term.
    fn ahead(&self, text: &mut Text, end: &str, ahead: usize, mut replacements: Replacements) {
        let (loaded, step, first) = (self.task.loaded(), self.task.team.step(), self.first());
        let stride = ahead * step;
        text.line(0, "#pragma unroll 1");
        text.line(
            2,
            &format!("for (Index round = {first}; round < {end}; round += {stride}) {{"),
        );
        let arrays: Vec<String> = (0..loaded.len())
            .map(|number| format!("l{number}[{ahead}]"))
            .collect();
        if !arrays.is_empty() {
            text.line(3, &format!("float {};", arrays.join(", ")));
        }
        let turns = |text: &mut Text, condition: &str| {
            text.line(0, "#pragma unroll");
            text.line(3, &format!("for (int turn = 0; turn < {ahead}; ++turn) {{"));
            text.line(4, &format!("Index j = round + turn * {step};"));
            text.line(4, condition);
            self.indices(text, 4);
        };
        turns(text, &format!("j = j < {end} ? j : {end} - 1;"));
        for (number, access) in loaded.into_iter().enumerate() {
            let value = load(text, 4, access, &self.names, &format!("l{number}"));
            text.line(4, &format!("l{number}[turn] = {value};"));
            replacements.push((access.clone(), format!("l{number}[turn]")));
        }
        text.line(3, "}");
        turns(
            text,
            &format!("bool there = j < {end}; j = there ? j : {end} - 1;"),
        );
        self.add(text, 4, &replacements, Some("there"));
        text.line(3, "}");
        text.line(2, "}");
    }

    /// Combines the parts of a sum over the threads of a team, and stores the sum.
    fn finish(&self, text: &mut Text, number: usize) {
        let task = self.task;
        let (kind, access) = reduction(task.nest, number);
        let operation = operation(kind);
        // Summed axes have no index here.
        let mut access = access.clone();
        let strides = access.strides.iter_mut().zip(&task.kept);
        strides
            .filter(|(_, kept)| !**kept)
            .for_each(|(stride, _)| *stride = 0);
        let place = offset(&access, &self.names);
        let (joined, writer) = match task.team {
            Team::Thread => (None, None),
            Team::Columns => (
                Some(format!(
                    "column_reduce<{operation}, 32>(s{number}, shared.columns)"
                )),
                Some(format!("threadIdx.x < 32 && own < {}u", task.results())),
            ),
            Team::Warp => (
                Some(format!("warp_reduce<{operation}>(s{number})")),
                Some("threadIdx.x % 32 == 0".to_string()),
            ),
            Team::Block => (
                Some(format!("block_reduce<{operation}>(s{number}, shared.sums)")),
                Some("threadIdx.x == 0".to_string()),
            ),
        };
        if let Some(joined) = joined {
            text.line(2, &format!("s{number} = {joined};"));
        }
        let condition = writer.map_or(String::new(), |writer| format!("if ({writer}) "));
        let pointer = pointer(access.buffer);
        text.line(2, &format!("{condition}{pointer}[{place}] = s{number};"));
    }
}
