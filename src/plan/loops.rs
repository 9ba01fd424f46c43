//! From scheduled items to kernels: loops of instructions over buffers.

use super::{
    Access, Buffer, Contraction, Instruction, Kernel, Loop, Matrix, Plan, Product, Storage, Tile,
    WindowStep, Windows,
    contraction::{self, Operand},
    fuse::{self, Slot},
    layout::{canonical, layout},
    values::{Item, ItemId, Items, Kind, OperandView, ProductOf},
};
use crate::{
    id::Id,
    tensor::{Axes, Axis, AxisKind, Graph, OutputKind, ReduceKind, philox},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn build(graph: &Graph, items: &Items, slots: &[Slot]) -> Plan {
    let plan = Plan {
        axes: graph.axes.clone(),
        parameters: graph.parameters.clone(),
        buffers: Vec::new(),
        kernels: Vec::new(),
        arena: 0,
    };
    let mut builder = Builder {
        graph,
        items,
        plan,
        buffers: BTreeMap::new(),
        tiles: BTreeMap::new(),
    };
    let drafts: Vec<Draft> = slots.iter().map(|slot| builder.draft(slot)).collect();
    builder.make_buffers(&drafts);
    for (slot, draft) in slots.iter().zip(&drafts) {
        let kernel = builder.kernel(slot, draft);
        builder.plan.kernels.push(kernel);
    }
    builder.plan
}

/// The loops of a kernel before they are instructions.
struct Draft {
    tile: Option<Tile>,
    setup: Vec<Nest>,
    prologue: Vec<Nest>,
    epilogue: Vec<Nest>,
}

/// Items that share a loop nest, in order.
struct Nest {
    axes: Vec<Id<Axis>>,
    items: Vec<ItemId>,
}

struct Builder<'a> {
    graph: &'a Graph,
    items: &'a Items,
    plan: Plan,
    buffers: BTreeMap<ItemId, Id<Buffer>>,
    /// Of a sum by tile: the tiles, and the axis that counts them.
    tiles: BTreeMap<ItemId, (Tile, Id<Axis>)>,
}

impl Builder<'_> {
    fn draft(&mut self, slot: &Slot) -> Draft {
        let tile = self.tile(slot);
        for &item in slot.prologue.iter().chain(&slot.epilogue) {
            if let (Kind::Partial { .. }, Some(tile)) = (&self.items.get(item).kind, tile) {
                let axis = Axis {
                    name: "tile".to_string(),
                    size: tile.count,
                    kind: AxisKind::Row,
                };
                let found = self.plan.axes.iter().position(|known| *known == axis);
                let index = found.unwrap_or_else(|| {
                    self.plan.axes.push(axis);
                    self.plan.axes.len() - 1
                });
                self.tiles.insert(item, (tile, Id::new(index)));
            }
        }
        let nests = |list: &[ItemId], builder: &Self| builder.nests(list);
        Draft {
            tile,
            setup: nests(&slot.setup, self),
            prologue: nests(&slot.prologue, self),
            epilogue: nests(&slot.epilogue, self),
        }
    }

    fn tile(&self, slot: &Slot) -> Option<Tile> {
        let axis = slot.tile?;
        let length = self.graph.axis(axis).size;
        let rows = match slot.contraction {
            Some(id) => self.rows(id, axis) * length,
            None => {
                let most = slot.prologue.iter().map(|&id| {
                    self.domain(id)
                        .iter()
                        .map(|&axis| self.size(axis))
                        .product()
                });
                most.max().unwrap_or(0) / 512
            }
        };
        let (size, count) = fuse::tiles(self.graph, axis, rows);
        Some(Tile {
            axis,
            length,
            size,
            count,
        })
    }

    fn size(&self, axis: Id<Axis>) -> usize {
        self.plan.axes[axis.index()].size
    }

    /// Rows of a contraction's matrix for each index of its tile axis.
    fn rows(&self, id: ItemId, tile: Id<Axis>) -> usize {
        let Kind::Products(products) = &self.items.get(id).kind else {
            unreachable!("a contraction has products")
        };
        let ProductOf { left, right, .. } = &products[0];
        let out = layout(self.graph, self.items, id);
        let left = [left, right]
            .into_iter()
            .map(|used| self.used_axes(used))
            .find(|axes| axes.contains(tile));
        let left = left.expect("one operand has the tile axis");
        let rows = out
            .iter()
            .filter(|axis| left.contains(**axis) && **axis != tile);
        rows.map(|&axis| self.size(axis)).product()
    }

    /// The axes that an item is computed over, outermost first.
    fn domain(&self, id: ItemId) -> Vec<Id<Axis>> {
        let called = |used: &OperandView| canonical(self.graph, self.used_axes(used).iter());
        match &self.items.get(id).kind {
            Kind::Reduce(_, value) | Kind::Partial { value, .. } | Kind::Merge(value, _) => {
                called(value)
            }
            Kind::Combine(_, partial) => {
                let (_, tiles) = self.tiles[partial];
                let rest = canonical(self.graph, self.items.get(*partial).axes.iter());
                [vec![tiles], rest].concat()
            }
            // Windows are short: what lies side by side in one of the two arrays is long.
            Kind::Copy(_) => match layout(self.graph, self.items, id) {
                axes if axes
                    .iter()
                    .any(|&axis| self.graph.axis(axis).kind == AxisKind::Window) =>
                {
                    canonical(self.graph, axes.into_iter())
                }
                axes => axes,
            },
            _ => canonical(self.graph, self.items.get(id).axes.iter()),
        }
    }

    /// Puts each item into the first loop over its axes that knows its operands. What waits for no
    /// reduction comes first, narrow loops before wide ones, so that all of a wide loop finds what
    /// it reads.
    fn nests(&self, list: &[ItemId]) -> Vec<Nest> {
        let flows = |used: &OperandView| {
            self.in_registers(&self.items.get(used.item).kind) && used.is_plain()
        };
        let mut free: BTreeSet<ItemId> = BTreeSet::new();
        for &id in list {
            let uses = self.items.get(id).kind.uses();
            if uses
                .iter()
                .filter(|used| list.contains(&used.item))
                .all(|used| free.contains(&used.item) && flows(used))
            {
                free.insert(id);
            }
        }
        let mut nests: Vec<Nest> = Vec::new();
        for &id in list.iter().filter(|id| free.contains(id)) {
            let axes = self.domain(id);
            match nests.iter_mut().find(|nest| nest.axes == axes) {
                Some(nest) => nest.items.push(id),
                None => nests.push(Nest {
                    axes,
                    items: vec![id],
                }),
            }
        }
        // A loop that feeds a wider one has fewer axes, and so no more elements.
        let elements = |nest: &Nest| {
            nest.axes
                .iter()
                .map(|&axis| self.size(axis))
                .product::<usize>()
        };
        nests.sort_by_key(|nest| (elements(nest), nest.axes.len()));
        let mut nest_of: BTreeMap<ItemId, usize> = BTreeMap::new();
        for (number, nest) in nests.iter().enumerate() {
            nest_of.extend(nest.items.iter().map(|&id| (id, number)));
        }
        for &id in list.iter().filter(|id| !free.contains(id)) {
            let axes = self.domain(id);
            let uses = self.items.get(id).kind.uses();
            let known = uses.iter().filter_map(|used| {
                let nest = *nest_of.get(&used.item)?;
                Some(if flows(used) && nests[nest].axes == axes {
                    nest
                } else {
                    nest + 1
                })
            });
            let known = known.max().unwrap_or(0);
            let found = (known..nests.len()).find(|&nest| nests[nest].axes == axes);
            let nest = found.unwrap_or_else(|| {
                nests.push(Nest {
                    axes,
                    items: Vec::new(),
                });
                nests.len() - 1
            });
            nests[nest].items.push(id);
            nest_of.insert(id, nest);
        }
        nests
    }

    /// Whether a later item of the same loop can read the result before the loop is over.
    fn in_registers(&self, kind: &Kind) -> bool {
        !matches!(
            kind,
            Kind::Reduce(..) | Kind::Partial { .. } | Kind::Combine(..) | Kind::Merge(..)
        )
    }

    /// Every item that is read outside its own loop has a buffer.
    fn make_buffers(&mut self, drafts: &[Draft]) {
        let mut nest_of: BTreeMap<ItemId, (usize, usize, usize)> = BTreeMap::new();
        for (kernel, draft) in drafts.iter().enumerate() {
            for (phase, nests) in [&draft.setup, &draft.prologue, &draft.epilogue]
                .into_iter()
                .enumerate()
            {
                for (nest, items) in nests.iter().enumerate() {
                    nest_of.extend(items.items.iter().map(|&id| (id, (kernel, phase, nest))));
                }
            }
        }
        let mut stored: BTreeSet<ItemId> =
            self.items.outputs.iter().map(|(_, item)| *item).collect();
        for id in self.items.ids() {
            let kind = &self.items.get(id).kind;
            for used in kind.uses() {
                let operand = &self.items.get(used.item).kind;
                let same = nest_of
                    .get(&id)
                    .is_some_and(|nest| nest_of.get(&used.item) == Some(nest));
                let flows = same && used.is_plain() && self.in_registers(operand);
                let inline = matches!(operand, Kind::Constant(_) | Kind::Iota(_));
                if !flows && (!inline || matches!(kind, Kind::Products(_))) {
                    stored.insert(used.item);
                }
            }
            if !self.in_registers(kind) || matches!(kind, Kind::Products(_)) {
                let live = nest_of.contains_key(&id) || matches!(kind, Kind::Products(_));
                live.then(|| stored.insert(id));
            }
        }
        for id in stored {
            let buffer = self.make_buffer(id);
            self.plan.buffers.push(buffer);
            self.buffers
                .insert(id, Id::new(self.plan.buffers.len() - 1));
        }
    }

    fn make_buffer(&self, id: ItemId) -> Buffer {
        let item = self.items.get(id);
        let mut axes = layout(self.graph, self.items, id);
        if let Some((_, tiles)) = self.tiles.get(&id) {
            axes.insert(0, *tiles);
        }
        let output = self
            .items
            .outputs
            .iter()
            .find(|(_, owner)| *owner == id)
            .map(|(output, _)| output);
        let position = |name: &str| {
            let position = self
                .graph
                .parameters
                .iter()
                .position(|parameter| parameter.name == name);
            position.expect("gradients and next values are named as parameters")
        };
        let (name, storage) = match (output, &item.kind) {
            (Some(output), _) => match output.kind {
                OutputKind::Value => (output.name.to_string(), Storage::Output),
                OutputKind::Gradient => (
                    format!("d {}", output.name),
                    Storage::Gradient(position(&output.name.to_string())),
                ),
                OutputKind::Next => (
                    output.name.to_string(),
                    Storage::Parameter(position(&output.name.to_string())),
                ),
            },
            (None, Kind::Input(name)) => (name.clone(), Storage::Input),
            (None, Kind::Parameter(parameter)) => (
                self.graph.parameter(*parameter).name.clone(),
                Storage::Parameter(parameter.index()),
            ),
            (None, _) => (format!("t{}", id.index()), Storage::Arena(0)),
        };
        let len = axes.iter().map(|&axis| self.size(axis)).product();
        Buffer {
            name,
            axes,
            len,
            storage,
        }
    }

    fn used_axes(&self, used: &OperandView) -> Axes {
        used.axes(&self.items.get(used.item).axes)
    }

    fn operand(&self, used: &OperandView) -> Operand {
        let laid: Option<contraction::Layout> = layout(self.graph, self.items, used.item)
            .into_iter()
            .map(|axis| used.called(axis))
            .collect();
        laid.map_or_else(|| Operand::Read(self.used_axes(used)), Operand::Laid)
    }

    fn kernel(&mut self, slot: &Slot, draft: &Draft) -> Kernel {
        let loops = |nests: &[Nest], tile: Option<Tile>| -> Vec<Loop> {
            nests.iter().map(|nest| self.nest(nest, tile)).collect()
        };
        let (setup, prologue) = (
            loops(&draft.setup, None),
            loops(&draft.prologue, draft.tile),
        );
        let epilogue = loops(&draft.epilogue, draft.tile);
        let contraction = slot
            .contraction
            .map(|id| self.contraction(id, draft.tile.expect("a contraction is tiled")));
        let items = slot
            .setup
            .iter()
            .chain(&slot.prologue)
            .chain(&slot.contraction)
            .chain(&slot.epilogue);
        let mut origins: Vec<String> = Vec::new();
        for &id in items {
            let origin = &self.graph.origins[self.items.get(id).origin];
            if !origin.is_empty() && !origins.contains(origin) {
                origins.push(origin.clone());
            }
        }
        let number = self.plan.kernels.len();
        let name = match slot.contraction {
            Some(id) => format!("k{number}_contract_{}", self.result_name(id)),
            None if draft.tile.is_some() => format!("k{number}_map"),
            None => format!("k{number}_small"),
        };
        Kernel {
            name,
            origins,
            setup,
            tile: draft.tile,
            prologue,
            contraction,
            epilogue,
        }
    }

    /// What a contraction is called: after the last of its axes, the features that it makes.
    fn result_name(&self, id: ItemId) -> String {
        let axes = layout(self.graph, self.items, id);
        let axis = match &self.plan.buffer(self.buffers[&id]).storage {
            Storage::Gradient(parameter) => {
                return format!("d_{}", self.graph.parameters[*parameter].name).replace('.', "_");
            }
            _ => axes.last(),
        };
        axis.map_or(String::new(), |axis| {
            self.plan.axes[axis.index()].name.replace('.', "_")
        })
    }

    fn contraction(&self, id: ItemId, tile: Tile) -> Contraction {
        let Kind::Products(products) = &self.items.get(id).kind else {
            unreachable!("a contraction has products")
        };
        let out = layout(self.graph, self.items, id);
        let mut result: Option<Contraction> = None;
        for ProductOf { left, right, .. } in products {
            // The operand with the tile axis makes the rows.
            let swap = !self.used_axes(left).contains(tile.axis);
            let (left, right) = if swap { (right, left) } else { (left, right) };
            let operands = [self.operand(left), self.operand(right)];
            let shape = contraction::shape(self.graph, &out, &operands[0], &operands[1]);
            let shape =
                shape.unwrap_or_else(|| panic!("no matrix product: {out:?} = {operands:?}"));
            let m = self.count(&shape.rows);
            let contraction = result.get_or_insert_with(|| Contraction {
                out: self.matrix(id, shape.out),
                m,
                n: self.count(&shape.columns),
                rows_per_index: m / tile.length,
                products: Vec::new(),
            });
            contraction.products.push(Product {
                k: self.count(&shape.summed),
                left: self.matrix(left.item, shape.left),
                right: self.matrix(right.item, shape.right),
                windows: self.windows((left, right), &operands, &shape),
            });
        }
        result.expect("a contraction has products")
    }

    /// The elements of some axes.
    fn count(&self, axes: &[Id<Axis>]) -> usize {
        axes.iter().map(|&axis| self.size(axis)).product()
    }

    /// An item's buffer as a matrix, by its row and column strides.
    fn matrix(&self, item: ItemId, (row_stride, column_stride): (usize, usize)) -> Matrix {
        Matrix {
            buffer: self.buffers[&item],
            row_stride,
            column_stride,
        }
    }

    /// How the operand that is read through windows is read, if one is.
    fn windows(
        &self,
        (left, right): (&OperandView, &OperandView),
        operands: &[Operand; 2],
        shape: &contraction::Shape,
    ) -> Option<Windows> {
        let (is_left, used, rows, columns) = match operands {
            [Operand::Read(_), _] => (true, left, &shape.rows, &shape.summed),
            [_, Operand::Read(_)] => (false, right, &shape.summed, &shape.columns),
            _ => return None,
        };
        let sizes = |axes: &[Id<Axis>]| axes.iter().map(|&axis| self.size(axis)).collect();
        let is_position = |axis: &Id<Axis>| self.graph.axis(*axis).kind <= AxisKind::Position;
        Some(Windows {
            left: is_left,
            along_positions: shape.summed.iter().all(is_position),
            rows: sizes(rows),
            columns: sizes(columns),
            access: self.access(used, &[rows.as_slice(), columns].concat(), 0),
        })
    }

    /// Where an operand's elements lie, by the indices along these axes.
    fn access(&self, used: &OperandView, along: &[Id<Axis>], partial: usize) -> Access {
        let buffer = self.buffers[&used.item];
        let axes = &self.plan.buffer(buffer).axes;
        let mut access = Access {
            buffer,
            strides: vec![0; along.len()],
            partial,
            spans: Vec::new(),
        };
        for (position, &axis) in axes.iter().enumerate() {
            let step: usize = axes[position + 1..]
                .iter()
                .map(|&inner| self.size(inner))
                .product();
            let place = used.place(axis);
            for (index, axis) in along.iter().enumerate() {
                let terms = place.terms.iter().filter(|(known, _)| known == axis);
                access.strides[index] += terms.map(|(_, stride)| stride * step).sum::<usize>();
            }
            access
                .spans
                .extend(place.windows.iter().map(|(window, stride)| {
                    let along = along.iter().map(|axis| {
                        let terms = window.terms.iter().filter(|(known, _)| known == axis);
                        terms.map(|(_, stride)| *stride).sum::<isize>()
                    });
                    WindowStep {
                        strides: along.collect(),
                        offset: window.offset,
                        divisor: window.divisor,
                        size: self.size(window.axis),
                        step: stride * step,
                    }
                }));
        }
        access
    }

    fn nest(&self, nest: &Nest, tile: Option<Tile>) -> Loop {
        let mut code = Code {
            builder: self,
            nest,
            instructions: Vec::new(),
            loaded: Vec::new(),
        };
        nest.items.iter().for_each(|&id| code.item(id));
        let tiled = tile.is_some_and(|tile| nest.axes.first() == Some(&tile.axis));
        Loop {
            axes: nest.axes.clone(),
            sizes: nest.axes.iter().map(|&axis| self.size(axis)).collect(),
            tiled,
            instructions: code.instructions,
        }
    }
}

/// The instructions of one loop, as they are written.
struct Code<'a> {
    builder: &'a Builder<'a>,
    nest: &'a Nest,
    instructions: Vec<Instruction>,
    /// The instruction that holds a value.
    loaded: Vec<(OperandView, usize)>,
}

impl Code<'_> {
    fn push(&mut self, instruction: Instruction) -> usize {
        self.instructions.push(instruction);
        self.instructions.len() - 1
    }

    fn position(&self, axis: Id<Axis>) -> usize {
        let position = self.nest.axes.iter().position(|known| *known == axis);
        position.expect("a loop runs over all axes of its values")
    }

    fn item(&mut self, id: ItemId) {
        let item: &Item = self.builder.items.get(id);
        let result = match &item.kind {
            Kind::Constant(_) | Kind::Input(_) | Kind::Parameter(_) | Kind::Products(_) => {
                unreachable!("leaves and contractions are not computed in loops")
            }
            Kind::Noise(name, kind) => {
                let strides = self.dense_strides();
                let access = Access {
                    buffer: Id::new(0),
                    strides,
                    partial: 0,
                    spans: Vec::new(),
                };
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
            Kind::Scalar(scalar, uses) => {
                let operands = uses.iter().map(|used| self.value(used)).collect();
                self.push(Instruction::Scalar(*scalar, operands))
            }
            Kind::OneHot(value, axis) => {
                let (value, position) = (self.value(value), self.position(*axis));
                self.push(Instruction::OneHot(value, position))
            }
            Kind::Copy(value) => self.value(value),
            Kind::Merge(value, windows) => {
                let value = self.value(value);
                let access = self.access(&OperandView::merged(self.builder.graph, id, windows), 0);
                self.push(Instruction::Store(value, access));
                return;
            }
            Kind::Reduce(kind, value) => return self.reduce(id, *kind, value, 0),
            Kind::Partial { kind, value, .. } => {
                let floats = self.builder.graph.elements(&item.axes);
                return self.reduce(id, *kind, value, floats);
            }
            Kind::Combine(kind, partial) => {
                return self.reduce(id, *kind, &OperandView::direct(*partial), 0);
            }
        };
        self.loaded.push((OperandView::direct(id), result));
        if self.builder.buffers.contains_key(&id) {
            let access = self.access(&OperandView::direct(id), 0);
            self.push(Instruction::Store(result, access));
        }
    }

    /// Reduces a value into an item's buffer, with so many floats for each tile.
    fn reduce(&mut self, id: ItemId, kind: ReduceKind, value: &OperandView, partial: usize) {
        let (value, access) = (
            self.value(value),
            self.access(&OperandView::direct(id), partial),
        );
        self.push(Instruction::Reduce {
            kind,
            value,
            access,
        });
    }

    /// The instruction that holds an operand's value, loading it if no earlier one does.
    fn value(&mut self, used: &OperandView) -> usize {
        if let Some((_, instruction)) = self.loaded.iter().find(|(known, _)| known == used) {
            return *instruction;
        }
        let instruction = match &self.builder.items.get(used.item).kind {
            Kind::Constant(value) => Instruction::Constant(*value),
            Kind::Iota(axis) => {
                let axis = used.called(*axis).expect("a position is read as it is");
                Instruction::Position(self.position(axis))
            }
            _ => Instruction::Load(self.access(used, 0)),
        };
        let instruction = self.push(instruction);
        self.loaded.push((used.clone(), instruction));
        instruction
    }

    fn access(&self, used: &OperandView, partial: usize) -> Access {
        self.builder.access(used, &self.nest.axes, partial)
    }

    /// The strides of an array with the loop's axes and no gaps.
    fn dense_strides(&self) -> Vec<usize> {
        let sizes: Vec<usize> = self
            .nest
            .axes
            .iter()
            .map(|&axis| self.builder.size(axis))
            .collect();
        (0..sizes.len())
            .map(|axis| sizes[axis + 1..].iter().product())
            .collect()
    }
}
