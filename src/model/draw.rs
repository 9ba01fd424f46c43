//! The graphs of a model as pictures: DOT for other tools, SVG to look at.
//!
//! As in papers: circles for random variables, grey where observed, half grey for a label; a square
//! for a deterministic node.

use super::{Factor, Model, Role, Variable};
use crate::id::Id;
use std::collections::BTreeMap;

const GRAPHS: [&str; 2] = ["generative", "inference"];

fn factors(model: &Model) -> [&[Factor]; 2] {
    [&model.generative, &model.inference]
}

/// Both graphs in Graphviz's language.
pub fn to_dot(model: &Model) -> String {
    let mut text = format!("digraph {} {{\n", model.name);
    for (name, factors) in GRAPHS.iter().zip(factors(model)) {
        text += &format!("  subgraph cluster_{name} {{\n    label=\"{name}\"\n");
        for id in variables(factors) {
            let variable = &model.variables[id.index()];
            let style = match variable.role {
                Role::Data => "shape=circle style=filled fillcolor=lightgrey",
                Role::Label => "shape=circle style=filled fillcolor=\"lightgrey;0.5:white\"",
                Role::Latent => "shape=circle",
                Role::Node => "shape=box",
            };
            text += &format!("    {name}_{0} [label=\"{0}\" {style}]\n", variable.name);
        }
        for factor in factors {
            for parent in &factor.parents {
                let name_of = |id: Id<Variable>| &model.variables[id.index()].name;
                text += &format!(
                    "    {name}_{} -> {name}_{}\n",
                    name_of(*parent),
                    name_of(factor.child)
                );
            }
        }
        text += "  }\n";
    }
    text + "}\n"
}

/// The variables of a graph, in the order of their declaration.
fn variables(factors: &[Factor]) -> Vec<Id<Variable>> {
    let mut ids: Vec<Id<Variable>> = factors
        .iter()
        .flat_map(|factor| factor.parents.iter().copied().chain([factor.child]))
        .collect();
    ids.sort();
    ids.dedup();
    ids
}

const RADIUS: f64 = 22.0;
const ACROSS: f64 = 96.0;
const DOWN: f64 = 92.0;

/// Both graphs side by side.
pub fn to_svg(model: &Model) -> String {
    let mut body = String::new();
    let (mut left, mut tallest) = (0.0, 0.0f64);
    for (name, factors) in GRAPHS.iter().zip(factors(model)) {
        let places = places(factors);
        let columns = places.values().map(|(x, _)| *x).fold(0.0, f64::max);
        let rows = places.values().map(|(_, y)| *y).fold(0.0, f64::max);
        let width = (columns + 1.0) * ACROSS;
        let at = |id: &Id<Variable>| -> (f64, f64) {
            let (x, y) = places[id];
            (left + (x + 0.5) * ACROSS, 64.0 + y * DOWN)
        };
        body += &format!(
            "  <text x=\"{:.0}\" y=\"22\" class=\"title\">{name}</text>\n",
            left + width / 2.0
        );
        for factor in factors {
            for parent in &factor.parents {
                let others: Vec<(f64, f64)> = places
                    .keys()
                    .filter(|id| *id != parent && **id != factor.child)
                    .map(at)
                    .collect();
                body += &arrow(at(parent), at(&factor.child), &others);
            }
        }
        for id in places.keys() {
            body += &node(&model.variables[id.index()], at(id));
        }
        left += width + 24.0;
        tallest = tallest.max(64.0 + rows * DOWN + RADIUS + 20.0);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0} {tallest:.0}\" font-family=\"serif\">\n\
         \x20 <style>circle, rect {{ fill: white; stroke: black; stroke-width: 1.5 }} .seen {{ fill: #c8c8c8 }} \
         path {{ fill: none; stroke: black; stroke-width: 1.3 }} text {{ font-style: italic; font-size: 18px; \
         text-anchor: middle }} .title {{ font-style: normal; font-size: 15px }}</style>\n\
         \x20 <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><polygon points=\"0,0.8 8,4 0,7.2\"/></marker></defs>\n\
         \x20 <rect x=\"0\" y=\"0\" width=\"{:.0}\" height=\"{tallest:.0}\" style=\"stroke: none\"/>\n{body}</svg>\n",
        left - 24.0,
        left - 24.0
    )
}

/// Columns and rows: a child below all of its parents, the nodes of a row centred, neighbouring
/// rows shifted so that an arrow over two rows passes beside the node between.
fn places(factors: &[Factor]) -> BTreeMap<Id<Variable>, (f64, f64)> {
    let ids = variables(factors);
    let mut depth: BTreeMap<Id<Variable>, usize> = ids.iter().map(|id| (*id, 0)).collect();
    // The factors are in order, so one pass finds the longest paths.
    for factor in factors {
        let below = factor
            .parents
            .iter()
            .map(|parent| depth[parent] + 1)
            .max()
            .unwrap_or(0);
        depth.insert(factor.child, below);
    }
    let rows = depth.values().max().map_or(0, |most| most + 1);
    let mut of_row: Vec<Vec<Id<Variable>>> = vec![Vec::new(); rows];
    depth.iter().for_each(|(id, row)| of_row[*row].push(*id));
    let widest = of_row.iter().map(Vec::len).max().unwrap_or(1) as f64;
    let alone = of_row.iter().all(|row| row.len() == 1);
    let mut places = BTreeMap::new();
    for (row, ids) in of_row.iter().enumerate() {
        for (column, id) in ids.iter().enumerate() {
            let shift = if alone || (rows > 2 && ids.len() == 1) {
                [0.0, 0.7, 0.35][row % 3]
            } else {
                0.0
            };
            let x = column as f64 + (widest - ids.len() as f64) / 2.0 + shift;
            places.insert(*id, (x, row as f64));
        }
    }
    places
}

/// An arrow from circle to circle, bent away from a node that lies in its way.
fn arrow(from: (f64, f64), to: (f64, f64), others: &[(f64, f64)]) -> String {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    let length = dx.hypot(dy).max(1.0);
    let across = (-dy / length, dx / length);
    let in_the_way = others.iter().find(|other| {
        let (ox, oy) = (other.0 - from.0, other.1 - from.1);
        let along = (ox * dx + oy * dy) / (length * length);
        let aside = ox * across.0 + oy * across.1;
        (0.05..0.95).contains(&along) && aside.abs() < RADIUS + 8.0
    });
    let bend = in_the_way.map_or(0.0, |other| {
        let aside = (other.0 - from.0) * across.0 + (other.1 - from.1) * across.1;
        if aside > 0.0 { -90.0 } else { 90.0 }
    });
    let middle = (
        (from.0 + to.0) / 2.0 + across.0 * bend,
        (from.1 + to.1) / 2.0 + across.1 * bend,
    );
    let towards = |start: (f64, f64)| {
        let (x, y) = (middle.0 - start.0, middle.1 - start.1);
        let far = x.hypot(y).max(1.0);
        (
            start.0 + x / far * (RADIUS + 1.0),
            start.1 + y / far * (RADIUS + 1.0),
        )
    };
    let (begin, end) = (towards(from), towards(to));
    format!(
        "  <path d=\"M{:.1} {:.1} Q{:.1} {:.1} {:.1} {:.1}\" marker-end=\"url(#head)\"/>\n",
        begin.0, begin.1, middle.0, middle.1, end.0, end.1
    )
}

fn node(variable: &Variable, (x, y): (f64, f64)) -> String {
    let shape = match variable.role {
        Role::Data => {
            format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\" class=\"seen\"/>")
        }
        Role::Label => format!(
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\"/><path class=\"seen\" style=\"fill: #c8c8c8\" \
             d=\"M{x:.1} {:.1} A{RADIUS} {RADIUS} 0 0 0 {x:.1} {:.1} Z\"/>",
            y - RADIUS,
            y + RADIUS
        ),
        Role::Latent => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{RADIUS}\"/>"),
        Role::Node => format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.0}\" height=\"{:.0}\"/>",
            x - RADIUS,
            y - RADIUS,
            2.0 * RADIUS,
            2.0 * RADIUS
        ),
    };
    format!(
        "  {shape}<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>\n",
        y + 6.0,
        variable.name
    )
}
