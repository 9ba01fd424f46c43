//! The memory that a task accesses: buffers and their numbers of floats, partial sums, shared
//! memory, noise. It is counted from the specification, before any text is written.
//!
//! The counts must agree with the accesses that [`super::write`] prints.
//! `tests/cuda-emulator` counts every access of a launch and compares.

use super::{
    nest::needed,
    spec::{
        AddParts, AddRows, Computed, Elements, Epilogue, Finish, Fused, Operand, Outcome,
        Rematerialized, Rows, Scratch, Shared, Sums, Task, Team, Tiles, Usage, Vector,
    },
};
use crate::{
    id::Id,
    plan::{Access, Buffer, Instruction, Loop, Plan, elements},
};
use std::collections::BTreeSet;

/// The memory that a task accesses.
pub(super) fn count(plan: &Plan, task: &Task) -> Usage {
    let mut counter = Counter {
        plan,
        usage: Usage::default(),
    };
    match task {
        Task::Elements(task) => counter.elements(task),
        Task::Sums(task) => counter.sums(task),
        Task::Rows(task) => counter.rows(task),
        Task::Tiles(task) => counter.tiles(task),
        Task::AddParts(task) => counter.add_parts(task),
        Task::AddRows(task) => counter.add_rows(task),
    }
    counter.usage
}

impl Usage {
    /// All buffers that the task reads or writes.
    pub fn buffers(&self) -> BTreeSet<Id<Buffer>> {
        self.reads
            .keys()
            .chain(self.writes.keys())
            .copied()
            .collect()
    }

    /// Adds the accesses of another task of the same block.
    pub fn extend(&mut self, other: Usage) {
        let pairs = [
            (&mut self.reads, other.reads),
            (&mut self.writes, other.writes),
        ];
        for (all, more) in pairs {
            for (buffer, floats) in more {
                let most = all.entry(buffer).or_default();
                *most = floats.max(*most);
            }
        }
        self.noise |= other.noise;
        self.scratch = self.scratch.take().or(other.scratch);
        self.shared.extend(other.shared);
        self.vectors = self.vectors.max(other.vectors);
    }
}

struct Counter<'a> {
    plan: &'a Plan,
    usage: Usage,
}

impl Counter<'_> {
    /// Adds a read of at most `floats` floats, or of the whole buffer if it is smaller.
    fn read(&mut self, buffer: Id<Buffer>, floats: usize) {
        let floats = floats.min(self.plan.buffer(buffer).len);
        let most = self.usage.reads.entry(buffer).or_default();
        *most = floats.max(*most);
    }

    fn write(&mut self, buffer: Id<Buffer>, floats: usize) {
        let floats = floats.min(self.plan.buffer(buffer).len);
        let most = self.usage.writes.entry(buffer).or_default();
        *most = floats.max(*most);
    }

    /// Adds a write of the whole buffer by all blocks together.
    fn write_all(&mut self, buffer: Id<Buffer>) {
        self.write(buffer, self.plan.buffer(buffer).len);
    }

    /// The number of floats that an access covers; the whole buffer if each tile has a separate
    /// array.
    fn floats(&self, nest: &Loop, access: &Access) -> usize {
        if access.partial > 0 {
            self.plan.buffer(access.buffer).len
        } else {
            elements(nest, access)
        }
    }

    /// Adds the loads and the noise that the given sinks of a loop need, except replaced loads.
    fn values(&mut self, nest: &Loop, sinks: &[usize], is_known: &dyn Fn(&Access) -> bool) {
        let needed = needed(nest, sinks);
        for (instruction, _) in nest.instructions.iter().zip(needed).filter(|(_, n)| *n) {
            match instruction {
                Instruction::Load(access) if !is_known(access) => {
                    self.read(access.buffer, self.floats(nest, access));
                }
                Instruction::Noise { .. } => self.usage.noise = true,
                _ => {}
            }
        }
    }

    /// Adds the stores among the given sinks.
    fn stores(&mut self, nest: &Loop, sinks: &[usize]) {
        for &sink in sinks {
            if let Instruction::Store(_, access) = &nest.instructions[sink] {
                self.write(access.buffer, self.floats(nest, access));
            }
        }
    }

    fn rematerialized(&mut self, rematerialized: &Rematerialized) {
        let buffers = &rematerialized.buffers;
        for part in &rematerialized.loops {
            self.values(part.nest, &part.sinks, &|access| {
                buffers.contains(&access.buffer)
            });
        }
    }

    fn elements(&mut self, task: &Elements) {
        let replaced = &task.rematerialized.buffers;
        self.rematerialized(&task.rematerialized);
        self.values(task.nest, &task.sinks, &|access| {
            replaced.contains(&access.buffer)
        });
        self.stores(task.nest, &task.sinks);
    }

    fn sums(&mut self, task: &Sums) {
        let replaced = &task.rematerialized.buffers;
        self.rematerialized(&task.rematerialized);
        self.values(task.nest, &task.sinks, &|access| {
            replaced.contains(&access.buffer)
        });
        self.stores(task.nest, &task.sinks);
        for &sum in &task.sums {
            let Instruction::Reduce { access, .. } = &task.nest.instructions[sum] else {
                continue;
            };
            // Either each tile has separate results, or each place has one result.
            if access.partial > 0 {
                self.write_all(access.buffer);
            } else {
                self.write(access.buffer, task.results());
            }
        }
        match task.team {
            Team::Columns => self.usage.shared.insert(Shared::Columns),
            Team::Block => self.usage.shared.insert(Shared::Sums),
            Team::Thread | Team::Warp => false,
        };
    }

    fn rows(&mut self, task: &Rows) {
        let contraction = task.contraction;
        for (product, vector) in contraction.products.iter().zip(&task.vectors) {
            self.read(product.left.buffer, contraction.m * product.k);
            match vector {
                Vector::Memory => self.read(product.right.buffer, product.k),
                Vector::Rematerialized(_, loops) => self.rematerialized(loops),
            }
        }
        self.finish(
            &task.finish,
            contraction.out.buffer,
            contraction.m * contraction.n,
        );
    }

    fn tiles(&mut self, task: &Tiles) {
        let contraction = task.contraction;
        self.usage.shared.insert(Shared::Stage(task.shape));
        for operands in &task.operands {
            for (operand, places) in operands.iter().zip([contraction.m, contraction.n]) {
                match operand {
                    Operand::Memory(strides) => self.read(strides.buffer, places * strides.k),
                    Operand::Windows(windows) => {
                        let buffer = windows.access.buffer;
                        self.read(buffer, self.plan.buffer(buffer).len);
                    }
                    Operand::Computed(computed) => self.computed(computed),
                }
            }
        }
        let (out, floats) = (contraction.out.buffer, contraction.m * contraction.n);
        match &task.outcome {
            Outcome::Whole(epilogue) => self.epilogue(epilogue, out, floats),
            Outcome::Parts(parts) => {
                self.usage.scratch = Some(parts.scratch.clone());
                self.write(out, floats);
            }
        }
    }

    fn computed(&mut self, operand: &Computed) {
        let vectors = operand.vectors();
        if !vectors.is_empty() {
            self.rematerialized(&operand.rematerialized);
        }
        self.values(&operand.nest, &[operand.sink], &|access| {
            vectors.contains(&access)
        });
        self.usage.vectors += operand.shared_floats();
    }

    fn epilogue(&mut self, epilogue: &Epilogue, out: Id<Buffer>, floats: usize) {
        self.finish(&epilogue.finish, out, floats);
        if let Some(fused) = &epilogue.finish.fused {
            for &sum in &fused.columns {
                self.usage.shared.insert(Shared::Columns);
                self.write_all(reduced(fused, sum));
            }
            match &epilogue.row_parts {
                Some(parts) => self.scratch(&parts.scratch),
                None => self.row_sums(fused),
            }
        }
    }

    /// Adds complete sums of rows.
    fn row_sums(&mut self, fused: &Fused) {
        let rows = fused.nest.sizes[..fused.row_axes].iter().product();
        for &sum in &fused.rows {
            self.write(reduced(fused, sum), rows);
        }
    }

    fn finish(&mut self, finish: &Finish, out: Id<Buffer>, floats: usize) {
        if finish.stored {
            self.write(out, floats);
        }
        if let Some(fused) = &finish.fused {
            self.rematerialized(&fused.rematerialized);
            let replaced = &fused.rematerialized.buffers;
            self.values(fused.nest, &fused.sinks(), &|access| {
                *access == fused.reads || replaced.contains(&access.buffer)
            });
            self.stores(fused.nest, &fused.stores);
        }
    }

    fn add_parts(&mut self, task: &AddParts) {
        let contraction = task.contraction;
        let (out, floats) = (contraction.out.buffer, contraction.m * contraction.n);
        self.scratch(&task.parts.scratch);
        self.read(out, floats);
        self.finish(&task.finish, out, floats);
    }

    fn add_rows(&mut self, task: &AddRows) {
        self.scratch(&task.parts.scratch);
        self.row_sums(&task.fused);
    }

    fn scratch(&mut self, scratch: &Scratch) {
        self.usage.scratch = Some(scratch.clone());
    }
}

fn reduced(fused: &Fused, sum: usize) -> Id<Buffer> {
    super::nest::result(fused.nest, sum).buffer
}
