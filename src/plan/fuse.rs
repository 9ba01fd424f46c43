//! Fusion: decides which kernel computes each item.
//!
//! Each contraction makes a kernel, in order. An elementwise item starts in the earliest kernel that
//! may read its operands, usually the one that computes them. It then moves to the first kernel that
//! reads it where that stores less: the kernel computes the item itself, and rematerializes cheap
//! operands instead of reading them from memory. A sum over rows is complete only after all tiles of
//! its kernel, so what reads it needs a later kernel; a kernel without a contraction merges into its
//! first reader where their tiles agree.

use super::{
    layout::{layout, row_of},
    values::{ItemId, Items, Kind, OperandView},
};
use crate::{
    id::Id,
    tensor::{Axis, Graph},
};
use std::collections::{BTreeMap, BTreeSet};

/// The longest chain of operations that is rematerialized.
const MOST_REMATERIALIZED: usize = 4;

/// The items of a kernel, each list in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub tile: Option<Id<Axis>>,
    pub setup: Vec<ItemId>,
    pub prologue: Vec<ItemId>,
    pub contraction: Option<ItemId>,
    pub epilogue: Vec<ItemId>,
}

/// Assigns every item to a kernel. Rematerialization adds copies of items.
pub(super) fn run(graph: &Graph, items: &mut Items) -> Vec<Slot> {
    let ids = items.ids();
    let mut fusion = Fusion::new(graph, items);
    ids.clone().for_each(|id| fusion.place_early(id));
    ids.rev().for_each(|id| fusion.sink(id));
    fusion.merge();
    fusion.place_setup();
    fusion.slots()
}

/// A kernel while items are assigned to it.
#[derive(Clone, Copy, Debug)]
struct Draft {
    tile: Option<Id<Axis>>,
    contraction: Option<ItemId>,
}

struct Fusion<'a> {
    graph: &'a Graph,
    items: &'a mut Items,
    /// The copy of an item that a kernel rematerializes, by the item and the kernel.
    rematerialized: BTreeMap<(ItemId, usize), ItemId>,
    users: Vec<Vec<ItemId>>,
    rows: Vec<Option<Id<Axis>>>,
    drafts: Vec<Draft>,
    /// The kernel of each item. Contractions and items with rows have one from `place_early` on, others
    /// from `place_setup` on.
    kernel: Vec<Option<usize>>,
    /// For each item without rows, the first kernel whose setup may compute it, or read it if it is a
    /// contraction.
    available: Vec<usize>,
}

impl<'a> Fusion<'a> {
    fn new(graph: &'a Graph, items: &'a mut Items) -> Self {
        let count = items.items.len();
        let mut users: Vec<Vec<ItemId>> = vec![Vec::new(); count];
        for id in items.ids() {
            let read: BTreeSet<ItemId> = items
                .get(id)
                .kind
                .operands()
                .iter()
                .map(|used| used.item)
                .collect();
            read.into_iter()
                .for_each(|operand| users[operand.index()].push(id));
        }
        let rows = items
            .items
            .iter()
            .map(|item| match item.kind {
                Kind::Partial { row, .. } => Some(row),
                _ => row_of(graph, &item.axes),
            })
            .collect();
        let (kernel, available) = (vec![None; count], vec![0; count]);
        Fusion {
            graph,
            items,
            rematerialized: BTreeMap::new(),
            users,
            rows,
            drafts: Vec::new(),
            kernel,
            available,
        }
    }

    fn is_inline(&self, id: ItemId) -> bool {
        let kind = &self.items.get(id).kind;
        kind.is_leaf() || matches!(kind, Kind::Iota(_)) && !self.is_output(id)
    }

    fn is_output(&self, id: ItemId) -> bool {
        self.items.outputs.iter().any(|(_, owner)| *owner == id)
    }

    /// The first kernel in which all operands are available.
    fn first_kernel_after_operands(&self, id: ItemId) -> usize {
        let uses = self.items.get(id).kind.operands();
        let kernels = uses.iter().map(|used| {
            let operand = used.item;
            match (self.kernel[operand.index()], &self.items.get(operand).kind) {
                (Some(kernel), Kind::Partial { .. }) => kernel + 1,
                (Some(kernel), _) if self.rows[operand.index()].is_some() => kernel,
                _ => self.available[operand.index()],
            }
        });
        kernels.max().unwrap_or(0)
    }

    /// Assigns a contraction to a new kernel, and an item with rows to the first kernel that can
    /// compute it.
    fn place_early(&mut self, id: ItemId) {
        if self.is_inline(id) {
            return;
        }
        let earliest = self.first_kernel_after_operands(id);
        let row = self.rows[id.index()];
        if let Kind::Products(_) = self.items.get(id).kind {
            let tile = row.unwrap_or_else(|| layout(self.graph, self.items, id)[0]);
            self.drafts.push(Draft {
                tile: Some(tile),
                contraction: Some(id),
            });
            self.kernel[id.index()] = Some(self.drafts.len() - 1);
            self.available[id.index()] = self.drafts.len();
            return;
        }
        let Some(row) = row else {
            self.available[id.index()] = earliest;
            return;
        };
        let fits = |draft: &Draft| draft.tile.is_none_or(|tile| tile == row);
        let found = (earliest..self.drafts.len()).find(|&kernel| fits(&self.drafts[kernel]));
        let kernel = found.unwrap_or_else(|| {
            self.drafts.push(Draft {
                tile: None,
                contraction: None,
            });
            self.drafts.len() - 1
        });
        self.drafts[kernel].tile = Some(row);
        self.kernel[id.index()] = Some(kernel);
    }

    fn bytes(&self, id: ItemId) -> usize {
        self.graph.elements(&self.items.get(id).axes)
    }

    /// The first kernel that reads an item. Readers that have no kernel yet do not count.
    fn first_reader(&self, id: ItemId) -> Option<usize> {
        self.users[id.index()]
            .iter()
            .filter_map(|user| self.kernel[user.index()])
            .min()
    }

    /// Moves an item to the first kernel that reads it, if that stores fewer floats.
    fn sink(&mut self, id: ItemId) {
        let Some(row) = self.rows[id.index()] else {
            return;
        };
        if self.is_inline(id)
            || matches!(
                self.items.get(id).kind,
                Kind::Products(_) | Kind::Partial { .. }
            )
        {
            return;
        }
        let (Some(early), Some(late)) = (self.kernel[id.index()], self.first_reader(id)) else {
            return;
        };
        if late == early || self.is_output(id) || self.drafts[late].tile != Some(row) {
            return;
        }
        if self.newly_stored(id, MOST_REMATERIALIZED) < self.bytes(id) {
            self.compute_in(late, id, MOST_REMATERIALIZED);
        }
    }

    fn operands(&self, id: ItemId) -> BTreeSet<ItemId> {
        self.items
            .get(id)
            .kind
            .operands()
            .iter()
            .map(|used| used.item)
            .collect()
    }

    /// Floats that must be stored, beyond those for other readers, so that a later kernel can compute
    /// an item.
    fn newly_stored(&self, id: ItemId, most: usize) -> usize {
        let operands = self
            .operands(id)
            .into_iter()
            .filter(|&operand| !self.is_stored_without(operand, id));
        operands
            .map(|operand| {
                self.rematerialization_cost(operand, id, most)
                    .unwrap_or_else(|| self.bytes(operand))
            })
            .sum()
    }

    /// Floats that must be stored so that a later kernel can rematerialize the operand. None if the
    /// operand itself is no larger, or if its operation is not cheap.
    fn rematerialization_cost(&self, operand: ItemId, user: ItemId, most: usize) -> Option<usize> {
        let plain = |id: ItemId| {
            self.items
                .get(id)
                .kind
                .operands()
                .iter()
                .all(OperandView::is_plain)
        };
        let (Kind::Scalar(scalar, _), Kind::Scalar(..)) =
            (&self.items.get(operand).kind, &self.items.get(user).kind)
        else {
            return None;
        };
        if most == 0 || !scalar.is_cheap() || !plain(operand) || !plain(user) {
            return None;
        }
        Some(self.newly_stored(operand, most - 1)).filter(|&stored| stored < self.bytes(operand))
    }

    /// Moves an item to a later kernel, with the operands that [`Fusion::newly_stored`] counts as
    /// rematerialized there.
    fn compute_in(&mut self, kernel: usize, id: ItemId, most: usize) {
        for operand in self.operands(id) {
            if self.is_stored_without(operand, id)
                || self.rematerialization_cost(operand, id, most).is_none()
            {
                continue;
            }
            // An operand without other readers moves instead of being copied.
            if self.users[operand.index()].as_slice() == [id] {
                self.compute_in(kernel, operand, most - 1);
                continue;
            }
            let copy = self
                .rematerialized
                .get(&(operand, kernel))
                .copied()
                .unwrap_or_else(|| {
                    let copy = self.copy(operand);
                    self.rematerialized.insert((operand, kernel), copy);
                    self.compute_in(kernel, copy, most - 1);
                    copy
                });
            self.items.replace(id, operand, copy);
            self.users[operand.index()].retain(|&user| user != id);
            self.users[copy.index()].push(id);
        }
        self.kernel[id.index()] = Some(kernel);
    }

    /// Copies an item within its kernel. The copy has no users.
    fn copy(&mut self, id: ItemId) -> ItemId {
        let copy = self.items.push(self.items.get(id).clone());
        self.operands(id)
            .into_iter()
            .for_each(|operand| self.users[operand.index()].push(copy));
        self.users.push(Vec::new());
        self.rows.push(self.rows[id.index()]);
        self.kernel.push(self.kernel[id.index()]);
        self.available.push(self.available[id.index()]);
        copy
    }

    /// Whether the operand is stored even if `user` does not read it: an item of another kernel does.
    fn is_stored_without(&self, operand: ItemId, user: ItemId) -> bool {
        if self.rows[operand.index()].is_none()
            || self.is_inline(operand)
            || self.is_output(operand)
        {
            return true;
        }
        let producer = self.kernel[operand.index()];
        let others = self.users[operand.index()]
            .iter()
            .filter(|&&other| other != user);
        others
            .map(|other| self.kernel[other.index()])
            .any(|kernel| kernel != producer)
    }

    /// Moves the items of a kernel without contraction into the first kernel that reads them, if both
    /// have the same tile axis.
    fn merge(&mut self) {
        for kernel in 0..self.drafts.len() {
            let Draft {
                tile: Some(tile),
                contraction: None,
            } = self.drafts[kernel]
            else {
                continue;
            };
            let moved: Vec<ItemId> = self
                .items
                .ids()
                .filter(|id| self.kernel[id.index()] == Some(kernel))
                .collect();
            let reader = moved
                .iter()
                .flat_map(|&id| self.readers(id))
                .filter(|(reader, _)| *reader != kernel)
                .min();
            let target = match reader {
                // A sum over the tiles is complete only in later kernels.
                Some((_, false)) | None => continue,
                Some((reader, true)) => reader,
            };
            if self.drafts[target].tile != Some(tile) {
                continue;
            }
            moved
                .iter()
                .for_each(|id| self.kernel[id.index()] = Some(target));
            self.drafts[kernel].tile = None;
        }
    }

    /// The kernels that read an item, each with whether it reads the item itself (true) or a value that
    /// items without rows compute from it (false).
    fn readers(&self, id: ItemId) -> Vec<(usize, bool)> {
        let mut open: Vec<(ItemId, bool)> = self.users[id.index()]
            .iter()
            .map(|&user| (user, true))
            .collect();
        let mut readers = Vec::new();
        while let Some((user, direct)) = open.pop() {
            match self.kernel[user.index()] {
                Some(kernel) => readers.push((kernel, direct)),
                None => open.extend(self.users[user.index()].iter().map(|&next| (next, false))),
            }
        }
        readers
    }

    /// Assigns an item without rows to the first kernel that reads it, whose setup computes it. If no
    /// kernel reads it, an additional last one does.
    fn place_setup(&mut self) {
        let last = self.drafts.len();
        self.drafts.push(Draft {
            tile: None,
            contraction: None,
        });
        for id in self.items.ids().rev() {
            if self.kernel[id.index()].is_none() && !self.is_inline(id) {
                let reader = self.first_reader(id).unwrap_or(last);
                debug_assert!(
                    reader >= self.available[id.index()] || reader == last,
                    "setup waits for its operands"
                );
                self.kernel[id.index()] = Some(reader);
            }
        }
    }

    /// All items, operands first. A copy follows its original.
    fn order(&self) -> Vec<ItemId> {
        let mut order: Vec<ItemId> = self.items.ids().collect();
        let origin: BTreeMap<ItemId, ItemId> = self
            .rematerialized
            .iter()
            .map(|(&(id, _), &copy)| (copy, id))
            .collect();
        order.sort_by_key(|id| (*origin.get(id).unwrap_or(id), *id));
        order
    }

    /// The kernels that are not empty, with their items in the order in which they run. The prologue
    /// has only what the contraction reads. All else is in the epilogue, where operands are in registers
    /// or in the cache.
    fn slots(&self) -> Vec<Slot> {
        let slot = |draft: &Draft| Slot {
            tile: draft.tile,
            contraction: draft.contraction,
            ..Slot::default()
        };
        let mut slots: Vec<Slot> = self.drafts.iter().map(slot).collect();
        let order = self.order();
        let prologue = self.read_by_contractions(&order);
        for id in order {
            let Some(kernel) = self.kernel[id.index()] else {
                continue;
            };
            let slot = &mut slots[kernel];
            if slot.contraction == Some(id) {
                continue;
            }
            let list = match self.rows[id.index()] {
                None => &mut slot.setup,
                Some(_) if slot.contraction.is_none() || prologue.contains(&id) => {
                    &mut slot.prologue
                }
                Some(_) => &mut slot.epilogue,
            };
            list.push(id);
        }
        slots.retain(|slot| {
            slot.contraction.is_some()
                || !(slot.setup.is_empty() && slot.prologue.is_empty() && slot.epilogue.is_empty())
        });
        for slot in &mut slots {
            if slot.contraction.is_none() && slot.prologue.is_empty() {
                slot.tile = None;
            }
        }
        slots
    }

    /// The items that the contraction of their kernel reads, directly or through other items.
    fn read_by_contractions(&self, order: &[ItemId]) -> BTreeSet<ItemId> {
        let mut needed: BTreeSet<ItemId> = BTreeSet::new();
        for &id in order.iter().rev() {
            let Some(kernel) = self.kernel[id.index()] else {
                continue;
            };
            if self.drafts[kernel].contraction != Some(id) && !needed.contains(&id) {
                continue;
            }
            let read = self.operands(id).into_iter();
            needed.extend(read.filter(|item| self.kernel[item.index()] == Some(kernel)));
        }
        needed
    }
}
