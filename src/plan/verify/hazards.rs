//! The order of writes and reads of memory: invariants 3, 4, 9, 10 and 11.

use super::check::{Check, PlanError, ensure};
use crate::{
    id::Id,
    plan::{Access, Buffer, Plan, Storage, Tile},
};
use std::collections::{BTreeMap, BTreeSet};

/// When a part of a kernel runs: the phase, and the number of the loop in it.
pub(super) type Moment = (u8, usize);

pub(super) fn setup(number: usize) -> Moment {
    (0, number)
}

/// When right operands are packed: after the setup, before the tiles.
pub(super) const PACK: Moment = (1, 0);

pub(super) fn prologue(number: usize) -> Moment {
    (2, number)
}

pub(super) const CONTRACTION: Moment = (3, 0);

pub(super) fn epilogue(number: usize) -> Moment {
    (4, number)
}

fn in_tiles(moment: Moment) -> bool {
    moment >= prologue(0)
}

/// Which elements a tile touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Footprint {
    /// Possibly all.
    Whole,
    /// The block of the tile's indices, with this many floats for each.
    Block(usize),
    /// A partial result of this many floats, which no other tile touches.
    Partial(usize),
}

impl Footprint {
    pub fn of_block(block: Option<usize>) -> Self {
        block.map_or(Footprint::Whole, Footprint::Block)
    }
}

/// The write of a buffer.
#[derive(Clone, Debug)]
struct Writer {
    kernel: usize,
    moment: Moment,
    footprint: Footprint,
}

/// A read of a buffer that a later write may replace.
struct Read {
    kernel: usize,
    moment: Moment,
    footprint: Footprint,
    access: Option<Access>,
}

/// Memory that two buffers may share: that of a parameter or of its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Memory {
    Parameter(usize),
    Gradient(usize),
}

pub(super) struct Hazards<'p> {
    plan: &'p Plan,
    kernel: usize,
    tile: Option<Tile>,
    writers: Vec<Option<Writer>>,
    /// For each buffer, the other buffer in the same memory, if there is one.
    twins: Vec<Option<usize>>,
    /// Reads of buffers that have a twin.
    reads: BTreeMap<usize, Vec<Read>>,
    /// The first and the last kernel that touch each buffer.
    lifetimes: Vec<Option<(usize, usize)>>,
}

impl<'p> Hazards<'p> {
    pub fn new(plan: &'p Plan) -> Check<Self> {
        Ok(Hazards {
            plan,
            kernel: 0,
            tile: None,
            writers: vec![None; plan.buffers.len()],
            twins: twins(plan)?,
            reads: BTreeMap::new(),
            lifetimes: vec![None; plan.buffers.len()],
        })
    }

    pub fn begin(&mut self, kernel: usize, tile: Option<Tile>) {
        (self.kernel, self.tile) = (kernel, tile);
    }

    /// The first and the last kernel that touch each buffer.
    pub fn lifetimes(&self) -> &[Option<(usize, usize)>] {
        &self.lifetimes
    }

    /// Extends the lifetime of a buffer to this kernel.
    fn touch(&mut self, id: Id<Buffer>) {
        let lifetime = &mut self.lifetimes[id.index()];
        let (first, _) = lifetime.unwrap_or((self.kernel, self.kernel));
        *lifetime = Some((first, self.kernel));
    }

    /// Whether several tiles of this kernel may run at the same time.
    fn has_tiles(&self) -> bool {
        self.tile.is_some_and(|tile| tile.count > 1)
    }

    /// The floats of each tile's partial result, if a buffer has partial results.
    pub fn partial(&self, buffer: Id<Buffer>) -> Option<usize> {
        match self.writers[buffer.index()].as_ref()?.footprint {
            Footprint::Partial(floats) => Some(floats),
            _ => None,
        }
    }

    /// Records a write. A store has an access, since it may replace the element that its loop reads.
    pub fn write(
        &mut self,
        id: Id<Buffer>,
        moment: Moment,
        footprint: Footprint,
        access: Option<&Access>,
    ) -> Check {
        let buffer = self.plan.buffer(id);
        self.verify_write(id, moment, footprint, access)
            .map_err(|error| error.about(&buffer.name))?;
        self.touch(id);
        self.writers[id.index()] = Some(Writer {
            kernel: self.kernel,
            moment,
            footprint,
        });
        Ok(())
    }

    fn verify_write(
        &self,
        id: Id<Buffer>,
        moment: Moment,
        footprint: Footprint,
        access: Option<&Access>,
    ) -> Check {
        let buffer = self.plan.buffer(id);
        ensure(
            buffer.storage != Storage::Input,
            "an input that is only read",
            || "a write".to_string(),
        )?;
        ensure(
            self.writers[id.index()].is_none(),
            "one write of a buffer",
            || "a second one".to_string(),
        )?;
        let disjoint = !in_tiles(moment) || !self.has_tiles() || footprint != Footprint::Whole;
        ensure(disjoint, "tiles that write blocks of their own", || {
            "elements that two tiles may write".to_string()
        })?;
        let Some(twin) = self.twins[id.index()] else {
            return Ok(());
        };
        ensure(
            self.writers[twin].is_none(),
            "one write of shared memory",
            || "a second one".to_string(),
        )?;
        for read in self.reads.get(&twin).into_iter().flatten() {
            let sound = self.replaces_safely(read, moment, footprint, access);
            ensure(
                sound,
                "an old value that is read before it is replaced",
                || "a read of what is being replaced".to_string(),
            )?;
        }
        Ok(())
    }

    /// Whether a write may replace the memory of an earlier read.
    fn replaces_safely(
        &self,
        read: &Read,
        moment: Moment,
        footprint: Footprint,
        access: Option<&Access>,
    ) -> bool {
        if read.kernel < self.kernel {
            return true;
        }
        if read.moment == moment {
            let same = |read: &Access, write: &Access| {
                read.strides == write.strides
                    && read.spans.is_empty()
                    && write.spans.is_empty()
                    && (read.partial, write.partial) == (0, 0)
            };
            return read
                .access
                .as_ref()
                .zip(access)
                .is_some_and(|(read, write)| same(read, write));
        }
        // A contraction may read its operands at any time in its kernel.
        let by_loop = read.access.is_some();
        let tiles_alone = matches!(footprint, Footprint::Block(_)) && footprint == read.footprint;
        by_loop && (!in_tiles(read.moment) || !self.has_tiles() || tiles_alone)
    }

    /// Records a read. That of a loop has an access.
    pub fn read(
        &mut self,
        id: Id<Buffer>,
        moment: Moment,
        footprint: Footprint,
        access: Option<&Access>,
    ) -> Check {
        let buffer = self.plan.buffer(id);
        self.verify_read(id, moment, footprint)
            .map_err(|error| error.about(&buffer.name))?;
        self.touch(id);
        if self.twins[id.index()].is_some() {
            self.reads.entry(id.index()).or_default().push(Read {
                kernel: self.kernel,
                moment,
                footprint,
                access: access.cloned(),
            });
        }
        Ok(())
    }

    fn verify_read(&self, id: Id<Buffer>, moment: Moment, footprint: Footprint) -> Check {
        let Some(writer) = &self.writers[id.index()] else {
            let given = matches!(
                self.plan.buffer(id).storage,
                Storage::Input | Storage::Parameter(_)
            );
            ensure(given, "a buffer that was written before", || {
                "a read".to_string()
            })?;
            let twin = self.twins[id.index()].and_then(|twin| self.writers[twin].as_ref());
            return ensure(
                twin.is_none(),
                "an old value that is read before it is replaced",
                || "a later read".to_string(),
            );
        };
        if writer.kernel < self.kernel {
            return Ok(());
        }
        ensure(
            writer.moment < moment,
            "a buffer that was written before",
            || "a read".to_string(),
        )?;
        let alone = !in_tiles(writer.moment)
            || !self.has_tiles()
            || matches!(footprint, Footprint::Block(_)) && footprint == writer.footprint;
        ensure(alone, "a tile that reads what it wrote itself", || {
            "elements that another tile may write".to_string()
        })
    }

    /// Verifies, after all kernels, that every buffer that needs a write has one.
    pub fn finish(&self) -> Check {
        for (buffer, writer) in self.plan.buffers.iter().zip(&self.writers) {
            let given = matches!(buffer.storage, Storage::Input | Storage::Parameter(_));
            ensure(given || writer.is_some(), "a kernel that writes it", || {
                "none".to_string()
            })
            .map_err(|error| error.about(&buffer.name))?;
        }
        let next = |(index, buffer): (usize, &Buffer)| {
            matches!(buffer.storage, Storage::Parameter(_))
                && self.twins[index].is_some_and(|twin| self.writers[twin].is_none())
                && self.writers[index].is_none()
        };
        let idle = self
            .plan
            .buffers
            .iter()
            .enumerate()
            .find(|entry| next(*entry));
        idle.map_or(Ok(()), |(_, buffer)| {
            Err(
                PlanError::new("one buffer of a parameter that is only read", "two")
                    .about(&buffer.name),
            )
        })
    }
}

/// For each buffer, the other buffer in the same memory: an old value and its replacement.
fn twins(plan: &Plan) -> Check<Vec<Option<usize>>> {
    let mut twins = vec![None; plan.buffers.len()];
    let mut first: BTreeMap<Memory, usize> = BTreeMap::new();
    let mut names: BTreeSet<(bool, &str)> = BTreeSet::new();
    for (index, buffer) in plan.buffers.iter().enumerate() {
        let memory = match buffer.storage {
            Storage::Arena(_) => continue,
            Storage::Parameter(parameter) => Memory::Parameter(parameter),
            Storage::Gradient(parameter) => Memory::Gradient(parameter),
            Storage::Input | Storage::Output => {
                // An input may have the name of an output: they are separate namespaces.
                let is_input = buffer.storage == Storage::Input;
                let name = buffer.name.as_str();
                ensure(names.insert((is_input, name)), "distinct names", || {
                    "two buffers of one".to_string()
                })
                .map_err(|error| error.about(name))?;
                continue;
            }
        };
        let Some(&other) = first.get(&memory) else {
            first.insert(memory, index);
            continue;
        };
        let alone = !matches!(memory, Memory::Gradient(_)) && twins[other].is_none();
        ensure(alone, "memory of one buffer", || {
            format!("also `{}`", plan.buffers[other].name)
        })
        .map_err(|error| error.about(&buffer.name))?;
        ensure(
            plan.buffers[other].axes == buffer.axes,
            "the axes of the value that is replaced",
            || "others".to_string(),
        )
        .map_err(|error| error.about(&buffer.name))?;
        twins[index] = Some(other);
        twins[other] = Some(index);
    }
    Ok(twins)
}
