//! Writes kernels: loops and contractions over buffers, with names and origins.

use super::{
    Kernel, Loop, Plan, Storage, Tile,
    buffers::Buffers,
    domains::Domains,
    fuse::Slot,
    instructions,
    layout::layout,
    nests::{KernelNests, Nest},
    products,
    values::{ItemId, Items},
};
use crate::tensor::Graph;

/// The plan of the items in their slots. Its buffers have no places in working memory yet.
pub(super) fn write(graph: &Graph, items: &Items, slots: &[Slot]) -> Plan {
    let mut domains = Domains::new(graph, items);
    let nests: Vec<KernelNests> = slots
        .iter()
        .map(|slot| KernelNests::new(&mut domains, slot))
        .collect();
    let buffers = Buffers::new(domains, &nests);
    let kernels = slots
        .iter()
        .zip(&nests)
        .enumerate()
        .map(|(number, (slot, nests))| kernel(&buffers, number, slot, nests))
        .collect();
    Plan {
        axes: buffers.domains.axes,
        parameters: graph.parameters.clone(),
        buffers: buffers.buffers,
        kernels,
        arena: 0,
    }
}

fn kernel(buffers: &Buffers, number: usize, slot: &Slot, nests: &KernelNests) -> Kernel {
    let loops = |nests: &[Nest], tile: Option<Tile>| -> Vec<Loop> {
        nests
            .iter()
            .map(|nest| instructions::write(buffers, nest, tile))
            .collect()
    };
    let contraction = slot.contraction.map(|id| {
        let tile = nests.tile.expect("a contraction is tiled");
        products::write(buffers, id, tile)
    });
    let name = match slot.contraction {
        Some(id) => format!("k{number}_contract_{}", result_name(buffers, id)),
        None if nests.tile.is_some() => format!("k{number}_map"),
        None => format!("k{number}_small"),
    };
    Kernel {
        name,
        origins: origins(buffers, slot),
        setup: loops(&nests.setup, None),
        tile: nests.tile,
        prologue: loops(&nests.prologue, nests.tile),
        contraction,
        epilogue: loops(&nests.epilogue, nests.tile),
    }
}

/// The formulas that a kernel's items are part of, each once.
fn origins(buffers: &Buffers, slot: &Slot) -> Vec<String> {
    let Domains { graph, items, .. } = &buffers.domains;
    let ids = slot
        .setup
        .iter()
        .chain(&slot.prologue)
        .chain(&slot.contraction)
        .chain(&slot.epilogue);
    let mut origins: Vec<String> = Vec::new();
    for &id in ids {
        let origin = &graph.origins[items.get(id).origin];
        if !origin.is_empty() && !origins.contains(origin) {
            origins.push(origin.clone());
        }
    }
    origins
}

/// A contraction's name: the parameter of a gradient, else the last axis of the result.
fn result_name(buffers: &Buffers, id: ItemId) -> String {
    let Domains { graph, items, .. } = &buffers.domains;
    if let Storage::Gradient(parameter) = buffers.buffer(buffers.id(id)).storage {
        return format!("d_{}", graph.parameters[parameter].name).replace('.', "_");
    }
    let axes = layout(graph, items, id);
    axes.last().map_or(String::new(), |axis| {
        graph.axis(*axis).name.replace('.', "_")
    })
}
