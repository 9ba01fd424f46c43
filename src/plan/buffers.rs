//! Buffers of the items that are read outside their own loop, and the accesses to them.

use super::{
    Access, Buffer, Storage, WindowStep,
    domains::Domains,
    layout::layout,
    nests::KernelNests,
    values::{ItemId, Kind, OperandView},
};
use crate::{
    id::Id,
    tensor::{Axis, Output, OutputKind},
};
use std::collections::{BTreeMap, BTreeSet};

/// The buffers of a plan, by item.
pub(super) struct Buffers<'a> {
    pub domains: Domains<'a>,
    pub buffers: Vec<Buffer>,
    ids: BTreeMap<ItemId, Id<Buffer>>,
}

impl<'a> Buffers<'a> {
    /// A buffer for every item that is stored.
    pub fn new(domains: Domains<'a>, kernels: &[KernelNests]) -> Self {
        let mut buffers = Vec::new();
        let mut ids = BTreeMap::new();
        for id in stored_items(&domains, kernels) {
            ids.insert(id, Id::new(buffers.len()));
            buffers.push(buffer(&domains, id));
        }
        Buffers {
            domains,
            buffers,
            ids,
        }
    }

    /// The buffer of an item, if it is stored.
    pub fn get(&self, item: ItemId) -> Option<Id<Buffer>> {
        self.ids.get(&item).copied()
    }

    /// The buffer of an item that is stored.
    pub fn id(&self, item: ItemId) -> Id<Buffer> {
        self.ids[&item]
    }

    pub fn buffer(&self, id: Id<Buffer>) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// Where an operand's elements lie, by the indices along the axes of a loop or of a matrix.
    pub fn access(&self, operand: &OperandView, along: &[Id<Axis>], partial: usize) -> Access {
        let buffer = self.id(operand.item);
        let axes = &self.buffer(buffer).axes;
        let mut access = Access {
            buffer,
            strides: vec![0; along.len()],
            partial,
            spans: Vec::new(),
        };
        for (position, &axis) in axes.iter().enumerate() {
            let step = self.domains.elements(&axes[position + 1..]);
            let place = operand.place(axis);
            for (stride, axis) in access.strides.iter_mut().zip(along) {
                let terms = place.terms.iter().filter(|(term, _)| term == axis);
                *stride += terms.map(|(_, stride)| stride * step).sum::<usize>();
            }
            let windows = place.windows.iter().map(|(window, stride)| {
                let strides = along.iter().map(|axis| {
                    let terms = window.terms.iter().filter(|(term, _)| term == axis);
                    terms.map(|(_, stride)| *stride).sum::<isize>()
                });
                WindowStep {
                    strides: strides.collect(),
                    offset: window.offset,
                    divisor: window.divisor,
                    size: self.domains.size(window.axis),
                    step: stride * step,
                }
            });
            access.spans.extend(windows);
        }
        access
    }
}

/// The outputs, the results of reductions and contractions, and whatever is read outside its loop.
fn stored_items(domains: &Domains, kernels: &[KernelNests]) -> BTreeSet<ItemId> {
    let items = domains.items;
    let nest_of = nest_of_items(kernels);
    let mut stored: BTreeSet<ItemId> = items.outputs.iter().map(|(_, item)| *item).collect();
    for id in items.ids() {
        let kind = &items.get(id).kind;
        let is_contraction = matches!(kind, Kind::Products(_));
        for operand in kind.operands() {
            let operand_kind = &items.get(operand.item).kind;
            let same_loop = nest_of
                .get(&id)
                .is_some_and(|nest| nest_of.get(&operand.item) == Some(nest));
            let in_register = same_loop && operand.is_plain() && operand_kind.is_in_register();
            let inline = matches!(operand_kind, Kind::Constant(_) | Kind::Iota(_));
            if !in_register && (!inline || is_contraction) {
                stored.insert(operand.item);
            }
        }
        let is_reduced = !kind.is_in_register() && nest_of.contains_key(&id);
        if is_reduced || is_contraction {
            stored.insert(id);
        }
    }
    stored
}

/// The kernel, the part and the nest that compute each item.
fn nest_of_items(kernels: &[KernelNests]) -> BTreeMap<ItemId, (usize, usize, usize)> {
    let mut nest_of = BTreeMap::new();
    for (number, kernel) in kernels.iter().enumerate() {
        let parts = [&kernel.setup, &kernel.prologue, &kernel.epilogue];
        for (part, nests) in parts.into_iter().enumerate() {
            for (position, nest) in nests.iter().enumerate() {
                let place = (number, part, position);
                nest_of.extend(nest.items.iter().map(|&id| (id, place)));
            }
        }
    }
    nest_of
}

fn buffer(domains: &Domains, id: ItemId) -> Buffer {
    let mut axes = layout(domains.graph, domains.items, id);
    if let Some((_, tile_axis)) = domains.tiles.get(&id) {
        axes.insert(0, *tile_axis);
    }
    let mut outputs = domains.items.outputs.iter();
    let output = outputs.find(|(_, owner)| *owner == id);
    let (name, storage) = match (output, &domains.items.get(id).kind) {
        (Some((output, _)), _) => output_storage(domains, output),
        (None, Kind::Input(name)) => (name.clone(), Storage::Input),
        (None, Kind::Parameter(parameter)) => (
            domains.graph.parameter(*parameter).name.clone(),
            Storage::Parameter(parameter.index()),
        ),
        (None, _) => (format!("t{}", id.index()), Storage::Arena(0)),
    };
    Buffer {
        name,
        len: domains.elements(&axes),
        axes,
        storage,
    }
}

/// The name and the place of an output's buffer.
fn output_storage(domains: &Domains, output: &Output) -> (String, Storage) {
    let name = output.name.to_string();
    let parameter = || {
        let mut parameters = domains.graph.parameters.iter();
        let position = parameters.position(|parameter| parameter.name == name);
        position.expect("gradients and next values are named as parameters")
    };
    match output.kind {
        OutputKind::Value => (name, Storage::Output),
        OutputKind::Gradient => (format!("d {name}"), Storage::Gradient(parameter())),
        OutputKind::Next => {
            let storage = Storage::Parameter(parameter());
            (name, storage)
        }
    }
}
