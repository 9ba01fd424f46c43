//! The instructions of a loop: what its items compute for one element.

use super::{
    Access, Instruction, Loop, Tile,
    buffers::Buffers,
    nests::Nest,
    values::{ItemId, Kind, OperandView},
};
use crate::{
    id::Id,
    tensor::{Axis, ReduceKind, philox},
};

/// Writes a nest as a loop. In the tiles of a kernel, a loop along the tile axis runs over the
/// tile's range of it.
pub(super) fn write(buffers: &Buffers, nest: &Nest, tile: Option<Tile>) -> Loop {
    let mut writer = LoopWriter {
        buffers,
        nest,
        instructions: Vec::new(),
        values: Vec::new(),
    };
    nest.items.iter().for_each(|&id| writer.item(id));
    Loop {
        axes: nest.axes.clone(),
        sizes: writer.sizes(),
        tiled: tile.is_some_and(|tile| nest.axes.first() == Some(&tile.axis)),
        instructions: writer.instructions,
    }
}

/// The instructions of one loop, as they are written.
struct LoopWriter<'a> {
    buffers: &'a Buffers<'a>,
    nest: &'a Nest,
    instructions: Vec<Instruction>,
    /// The operands that have a value already, each with the instruction that gave it.
    values: Vec<(OperandView, usize)>,
}

impl LoopWriter<'_> {
    fn push(&mut self, instruction: Instruction) -> usize {
        self.instructions.push(instruction);
        self.instructions.len() - 1
    }

    fn position(&self, axis: Id<Axis>) -> usize {
        let position = self.nest.axes.iter().position(|other| *other == axis);
        position.expect("a loop runs over all axes of its values")
    }

    /// Computes an item, and stores it if it has a buffer.
    fn item(&mut self, id: ItemId) {
        let domains = &self.buffers.domains;
        let item = domains.items.get(id);
        let result = match &item.kind {
            Kind::Constant(_) | Kind::Input(_) | Kind::Parameter(_) | Kind::Products(_) => {
                unreachable!("leaves and contractions are not computed in loops")
            }
            Kind::Noise(name, kind) => {
                let access = self.noise_access();
                self.push(Instruction::Noise {
                    stream: philox::stream(name),
                    kind: *kind,
                    access,
                })
            }
            Kind::Iota(axis) => {
                let position = self.position(*axis);
                self.push(Instruction::Position(position))
            }
            Kind::Scalar(scalar, operands) => {
                let operands = operands.iter().map(|operand| self.value(operand)).collect();
                self.push(Instruction::Scalar(*scalar, operands))
            }
            Kind::OneHot(value, axis) => {
                let (value, position) = (self.value(value), self.position(*axis));
                self.push(Instruction::OneHot(value, position))
            }
            Kind::Copy(value) => self.value(value),
            Kind::Merge(value, windows) => {
                let value = self.value(value);
                let access = self.access(&OperandView::merged(domains.graph, id, windows), 0);
                self.push(Instruction::Store(value, access));
                return;
            }
            Kind::Reduce(kind, value) => return self.reduce(id, *kind, value, 0),
            Kind::Partial { kind, value, .. } => {
                let floats = domains.graph.elements(&item.axes);
                return self.reduce(id, *kind, value, floats);
            }
            Kind::Combine(kind, partial) => {
                return self.reduce(id, *kind, &OperandView::direct(*partial), 0);
            }
        };
        self.values.push((OperandView::direct(id), result));
        if self.buffers.get(id).is_some() {
            let access = self.access(&OperandView::direct(id), 0);
            self.push(Instruction::Store(result, access));
        }
    }

    /// Reduces a value into an item's buffer, which has `partial` floats for each tile, or 0 if the
    /// tiles share it.
    fn reduce(&mut self, id: ItemId, kind: ReduceKind, value: &OperandView, partial: usize) {
        let value = self.value(value);
        let access = self.access(&OperandView::direct(id), partial);
        self.push(Instruction::Reduce {
            kind,
            value,
            access,
        });
    }

    /// The instruction that gives an operand's value, added if there is none yet.
    fn value(&mut self, operand: &OperandView) -> usize {
        let mut values = self.values.iter();
        if let Some((_, instruction)) = values.find(|(other, _)| other == operand) {
            return *instruction;
        }
        let instruction = match &self.buffers.domains.items.get(operand.item).kind {
            Kind::Constant(value) => Instruction::Constant(*value),
            Kind::Iota(axis) => {
                let axis = operand.reader_axis(*axis);
                let axis = axis.expect("positions are not read through windows");
                Instruction::Position(self.position(axis))
            }
            _ => Instruction::Load(self.access(operand, 0)),
        };
        let instruction = self.push(instruction);
        self.values.push((operand.clone(), instruction));
        instruction
    }

    fn access(&self, operand: &OperandView, partial: usize) -> Access {
        self.buffers.access(operand, &self.nest.axes, partial)
    }

    fn sizes(&self) -> Vec<usize> {
        let axes = self.nest.axes.iter();
        axes.map(|&axis| self.buffers.domains.size(axis)).collect()
    }

    /// Noise numbers the elements of its loop, as an array with the loop's axes and no gaps would.
    fn noise_access(&self) -> Access {
        let sizes = self.sizes();
        Access {
            buffer: Id::new(0),
            strides: (0..sizes.len())
                .map(|axis| sizes[axis + 1..].iter().product())
                .collect(),
            partial: 0,
            spans: Vec::new(),
        }
    }
}
