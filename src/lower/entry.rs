//! Entries: the numbers per row whose sum is a bound.

use crate::{
    names::TermName,
    tensor::{Graph, Node},
};

/// A number per row: a term of the bound, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its name in reports. None if only its gradient counts.
    pub name: Option<TermName>,
    /// The number. It has no axes but those of rows, samples and classes.
    pub node: Node,
    /// Whether the bound contains it. Otherwise reports only show it.
    pub adds: bool,
}

impl Entry {
    /// A term of the bound.
    pub(super) fn new(name: TermName, node: Node) -> Self {
        Entry {
            name: Some(name),
            node,
            adds: true,
        }
    }

    /// An entry of value 0 that has a gradient.
    pub(super) fn gradient_only(node: Node) -> Self {
        Entry {
            name: None,
            node,
            adds: true,
        }
    }

    /// Whether it is a term of the variable.
    pub(super) fn belongs_to(&self, variable: &str) -> bool {
        self.name.as_ref().and_then(TermName::variable) == Some(variable)
    }
}

/// The sum of the entries that add to the bound, those with the fewest axes first.
pub(super) fn total(graph: &mut Graph, entries: &[Entry]) -> Node {
    let mut parts: Vec<Node> = entries
        .iter()
        .filter(|entry| entry.adds)
        .map(|entry| entry.node)
        .collect();
    parts.sort_by_key(|&part| graph.axes_of(part).len());
    graph.total(parts)
}
