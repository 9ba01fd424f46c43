//! Draws the graphs of a model, as DOT for other tools or as SVG.
//!
//! The symbols are those of papers: a circle for a random variable, grey if observed and half grey
//! for a label; a box for a deterministic node. A node is as wide as its name requires.

mod layout;

use super::{Factor, Model, Role, Variable};
use crate::id::Id;
use layout::{Point, layout};

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
                Role::Given => "shape=box style=\"filled,rounded\" fillcolor=lightgrey",
                Role::Label => "shape=circle style=filled fillcolor=\"lightgrey;0.5:white\"",
                Role::Latent => "shape=circle",
                Role::Node | Role::Weight => "shape=box",
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

/// Half the height of a node, and half the width of a node with a short name.
const RADIUS: f64 = 22.0;
/// The width of a letter in a wide serif font, and the space between a name and its node's border.
const LETTER: f64 = 10.5;
const PADDING: f64 = 11.0;
/// Half the width of a node's border.
const BORDER: f64 = 0.75;
const MARGIN: f64 = 20.0;
const TITLE_HEIGHT: f64 = 42.0;
const BETWEEN_GRAPHS: f64 = 56.0;

const STYLE: &str = "ellipse, rect { fill: white; stroke: black; stroke-width: 1.5 } \
    .seen { fill: #c8c8c8 } .arrow { fill: none; stroke: black; stroke-width: 1.3 } \
    text { font-style: italic; font-size: 18px; text-anchor: middle } \
    .title { font-style: normal; font-size: 15px }";

/// Both graphs side by side; a graph without factors is left out.
pub fn to_svg(model: &Model) -> String {
    let mut body = String::new();
    let (mut right, mut bottom) = (MARGIN, 0.0f64);
    for (name, factors) in GRAPHS.iter().zip(factors(model)) {
        if factors.is_empty() {
            continue;
        }
        if right > MARGIN {
            right += BETWEEN_GRAPHS;
        }
        let (drawing, width, height) = graph(model, name, factors, (right, 0.0));
        body += &drawing;
        right += width;
        bottom = bottom.max(height);
    }
    let (width, height) = (right + MARGIN, bottom + MARGIN);
    let size = format!("width=\"{width:.0}\" height=\"{height:.0}\"");
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" {size} font-family=\"serif\">\n\
         \x20 <style>{STYLE}</style>\n\
         \x20 <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
         orient=\"auto\"><polygon points=\"0,0.8 8,4 0,7.2\"/></marker></defs>\n\
         \x20 <rect {size} style=\"stroke: none\"/>\n{body}</svg>\n"
    )
}

/// One graph with its title, placed below and to the right of `corner`, and its width and height.
fn graph(model: &Model, name: &str, factors: &[Factor], corner: Point) -> (String, f64, f64) {
    let ids = variables(factors);
    let nodes: Vec<&Variable> = ids.iter().map(|id| &model.variables[id.index()]).collect();
    let index = |id: Id<Variable>| {
        ids.binary_search(&id)
            .expect("a factor's variable is listed")
    };
    let half: Vec<f64> = nodes.iter().map(|node| half_width(node)).collect();
    // The factors are in topological order, so all arrows into a node come first.
    let arrows: Vec<(usize, usize)> = factors
        .iter()
        .flat_map(|factor| {
            let child = index(factor.child);
            factor
                .parents
                .iter()
                .map(move |parent| (index(*parent), child))
        })
        .collect();
    let found = layout(&half, &arrows);
    let title_width = LETTER * name.len() as f64;
    let width = found.width.max(title_width);
    let (left, top) = (
        corner.0 + (width - found.width) / 2.0,
        corner.1 + TITLE_HEIGHT + RADIUS,
    );
    let at = |point: &Point| (left + point.0, top + point.1);
    let mut text = format!(
        "  <text x=\"{:.1}\" y=\"22\" class=\"title\">{name}</text>\n",
        corner.0 + width / 2.0
    );
    for (route, (parent, child)) in found.routes.iter().zip(&arrows) {
        let route: Vec<Point> = route.iter().map(at).collect();
        text += &arrow(route, (nodes[*parent], nodes[*child]));
    }
    for (variable, place) in nodes.iter().zip(&found.places) {
        text += &node(variable, at(place));
    }
    (text, width, TITLE_HEIGHT + found.height + 2.0 * RADIUS)
}

fn half_width(variable: &Variable) -> f64 {
    let name = LETTER * variable.name.chars().count() as f64 / 2.0;
    // An ellipse is narrow where the name's upper and lower edges are.
    let padding = match variable.role {
        Role::Node | Role::Given | Role::Weight => PADDING,
        Role::Data | Role::Label | Role::Latent => PADDING + 0.08 * name,
    };
    (name + padding).max(RADIUS)
}

/// An arrow from border to border: straight, or a smooth curve through its waypoints.
fn arrow(mut route: Vec<Point>, (parent, child): (&Variable, &Variable)) -> String {
    let last = route.len() - 1;
    route[0] = border(parent, route[0], route[1]);
    route[last] = border(child, route[last], route[last - 1]);
    let mut path = format!("M{:.1} {:.1}", route[0].0, route[0].1);
    if let [_, end] = route[..] {
        path += &format!(" L{:.1} {:.1}", end.0, end.1);
    } else {
        // A Catmull-Rom spline: at a waypoint the curve is parallel to the line between the points
        // before and after it.
        for index in 0..last {
            let (from, to) = (route[index], route[index + 1]);
            let before = route[index.saturating_sub(1)];
            let after = route[(index + 2).min(last)];
            path += &format!(
                " C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
                from.0 + (to.0 - before.0) / 6.0,
                from.1 + (to.1 - before.1) / 6.0,
                to.0 - (after.0 - from.0) / 6.0,
                to.1 - (after.1 - from.1) / 6.0,
                to.0,
                to.1
            );
        }
    }
    format!("  <path class=\"arrow\" d=\"{path}\" marker-end=\"url(#head)\"/>\n")
}

/// The point where the line from a node's centre to another point crosses the node's border.
fn border(variable: &Variable, centre: Point, towards: Point) -> Point {
    let (dx, dy) = (towards.0 - centre.0, towards.1 - centre.1);
    let (across, down) = (half_width(variable) + BORDER, RADIUS + BORDER);
    let part = match variable.role {
        Role::Node | Role::Given | Role::Weight => (across / dx.abs()).min(down / dy.abs()),
        Role::Data | Role::Label | Role::Latent => 1.0 / (dx / across).hypot(dy / down),
    };
    (centre.0 + part * dx, centre.1 + part * dy)
}

fn node(variable: &Variable, (x, y): Point) -> String {
    let half = half_width(variable);
    let ellipse = |class: &str| {
        format!("<ellipse cx=\"{x:.1}\" cy=\"{y:.1}\" rx=\"{half:.1}\" ry=\"{RADIUS}\"{class}/>")
    };
    let rectangle = |attributes: &str| {
        format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.0}\"{attributes}/>",
            x - half,
            y - RADIUS,
            2.0 * half,
            2.0 * RADIUS
        )
    };
    let shape = match variable.role {
        Role::Data => ellipse(" class=\"seen\""),
        Role::Label => format!(
            "{}<path class=\"seen\" d=\"M{x:.1} {:.1} A{half:.1} {RADIUS} 0 0 0 {x:.1} {:.1} Z\"/>\
             <ellipse cx=\"{x:.1}\" cy=\"{y:.1}\" rx=\"{half:.1}\" ry=\"{RADIUS}\" style=\"fill: none\"/>",
            ellipse(""),
            y - RADIUS,
            y + RADIUS
        ),
        Role::Latent => ellipse(""),
        Role::Node | Role::Weight => rectangle(""),
        Role::Given => rectangle(" class=\"seen\" rx=\"8\""),
    };
    format!(
        "  {shape}<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>\n",
        y + 6.0,
        variable.name
    )
}
