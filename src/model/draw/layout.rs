//! Layered graph drawing: the positions of nodes and arrows.
//!
//! Every node is in a row below all of its parents. An arrow across several rows gets a *waypoint*
//! in each row between. A waypoint takes up space as a node does, so arrows pass beside nodes and
//! never behind them. The order within rows keeps the number of crossing arrows low. Then each node
//! moves as close to its neighbours as the order and the widths allow.
//!
//! The layout is deterministic: the same graph gives the same picture.

/// A point of the picture, in pixels: x to the right, y downwards.
pub type Point = (f64, f64);

/// The distance between two rows.
const ROW: f64 = 88.0;
/// The free space between two neighbours in a row: for a node and any neighbour, and for two
/// waypoints.
const GAP: f64 = 26.0;
const WAYPOINT_GAP: f64 = 14.0;
/// The number of passes over the rows, alternately downwards and upwards.
const ORDER_PASSES: usize = 8;
const ALIGN_PASSES: usize = 24;

/// A drawing of one graph. The leftmost border has x = 0, and the first row y = 0.
pub struct DrawingLayout {
    /// The centre of each node.
    pub places: Vec<Point>,
    /// The points that each arrow connects: its parent, its waypoints and its child.
    pub routes: Vec<Vec<Point>>,
    /// From the leftmost border to the rightmost.
    pub width: f64,
    /// From the first row to the last.
    pub height: f64,
}

/// Nodes by index, followed by waypoints.
struct Layers {
    /// Half the width of each; 0 for a waypoint.
    half: Vec<f64>,
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    rows: Vec<Vec<usize>>,
    /// The nodes and waypoints of each arrow.
    routes: Vec<Vec<usize>>,
}

/// Lays out nodes with these half widths, joined by arrows `(parent, child)`. The arrows must be
/// acyclic and sorted: all arrows into a node come before the arrows out of it.
pub fn layout(half_widths: &[f64], arrows: &[(usize, usize)]) -> DrawingLayout {
    let mut layers = layers(half_widths, arrows);
    order(&mut layers);
    let x = align(&layers);
    let left = borders(&layers, &x).map(|(left, _)| left);
    let least = left.fold(f64::INFINITY, f64::min);
    let right = borders(&layers, &x).map(|(_, right)| right);
    let most = right.fold(f64::NEG_INFINITY, f64::max);
    let mut points = vec![(0.0, 0.0); x.len()];
    for (row, members) in layers.rows.iter().enumerate() {
        for &member in members {
            points[member] = (x[member] - least, row as f64 * ROW);
        }
    }
    let route = |route: &Vec<usize>| route.iter().map(|&member| points[member]).collect();
    DrawingLayout {
        routes: layers.routes.iter().map(route).collect(),
        places: points[..half_widths.len()].to_vec(),
        width: (most - least).max(0.0),
        height: layers.rows.len().saturating_sub(1) as f64 * ROW,
    }
}

fn borders(layers: &Layers, x: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    let half = layers.half.iter();
    x.iter().zip(half).map(|(x, half)| (x - half, x + half))
}

/// Assigns rows by the longest path from a node without parents, and adds waypoints to long arrows.
fn layers(half_widths: &[f64], arrows: &[(usize, usize)]) -> Layers {
    let mut depth = vec![0; half_widths.len()];
    for &(parent, child) in arrows {
        depth[child] = depth[child].max(depth[parent] + 1);
    }
    let mut layers = Layers {
        half: half_widths.to_vec(),
        above: vec![Vec::new(); depth.len()],
        below: vec![Vec::new(); depth.len()],
        rows: vec![Vec::new(); depth.iter().max().map_or(0, |most| most + 1)],
        routes: Vec::new(),
    };
    for (node, &row) in depth.iter().enumerate() {
        layers.rows[row].push(node);
    }
    for &(parent, child) in arrows {
        let mut route = vec![parent];
        for row in depth[parent] + 1..depth[child] {
            let waypoint = layers.half.len();
            layers.half.push(0.0);
            layers.above.push(Vec::new());
            layers.below.push(Vec::new());
            layers.rows[row].push(waypoint);
            route.push(waypoint);
        }
        route.push(child);
        for pair in route.windows(2) {
            layers.below[pair[0]].push(pair[1]);
            layers.above[pair[1]].push(pair[0]);
        }
        layers.routes.push(route);
    }
    layers
}

/// Orders each row by the mean position of its neighbours in the previous row, alternately
/// downwards and upwards, and keeps the order with the fewest crossings.
fn order(layers: &mut Layers) {
    let mut best = (crossings(layers), layers.rows.clone());
    for pass in 0..ORDER_PASSES {
        let down = pass % 2 == 0;
        for step in 1..layers.rows.len() {
            let (row, fixed) = match down {
                true => (step, step - 1),
                false => (layers.rows.len() - 1 - step, layers.rows.len() - step),
            };
            let position = positions(&layers.rows[fixed], layers.half.len());
            let neighbours = if down { &layers.above } else { &layers.below };
            let here = positions(&layers.rows[row], layers.half.len());
            let key = |member: &usize| {
                let neighbour_positions: Vec<f64> = neighbours[*member]
                    .iter()
                    .map(|&neighbour| position[neighbour])
                    .collect();
                mean(&neighbour_positions).unwrap_or(here[*member])
            };
            let mut members = std::mem::take(&mut layers.rows[row]);
            members.sort_by(|a, b| key(a).total_cmp(&key(b)));
            layers.rows[row] = members;
        }
        let found = crossings(layers);
        if found < best.0 {
            best = (found, layers.rows.clone());
        }
    }
    layers.rows = best.1;
}

/// The position of each member of a row, from −1 to 1.
fn positions(row: &[usize], count: usize) -> Vec<f64> {
    let mut position = vec![0.0; count];
    for (index, &member) in row.iter().enumerate() {
        position[member] = (2 * index + 1) as f64 / row.len() as f64 - 1.0;
    }
    position
}

/// The number of pairs of arrows that cross.
fn crossings(layers: &Layers) -> usize {
    let mut count = 0;
    for pair in layers.rows.windows(2) {
        let lower = positions(&pair[1], layers.half.len());
        let ends: Vec<Vec<f64>> = pair[0]
            .iter()
            .map(|&member| {
                let below = layers.below[member].iter();
                below.map(|&child| lower[child]).collect()
            })
            .collect();
        for (index, left) in ends.iter().enumerate() {
            for right in ends[index + 1..].iter().flatten() {
                count += left.iter().filter(|&end| end > right).count();
            }
        }
    }
    count
}

/// The x of every node and waypoint: near the mean of its neighbours, in the order of its row.
fn align(layers: &Layers) -> Vec<f64> {
    let mut x = vec![0.0; layers.half.len()];
    for row in &layers.rows {
        place(layers, row, &vec![0.0; row.len()], &mut x);
    }
    for pass in 0..ALIGN_PASSES {
        for step in 0..layers.rows.len() {
            let row = if pass % 2 == 0 {
                &layers.rows[step]
            } else {
                &layers.rows[layers.rows.len() - 1 - step]
            };
            let wanted: Vec<f64> = row
                .iter()
                .map(|&member| {
                    let neighbours = layers.above[member].iter().chain(&layers.below[member]);
                    let neighbour_positions: Vec<f64> = neighbours.map(|&other| x[other]).collect();
                    mean(&neighbour_positions).unwrap_or(x[member])
                })
                .collect();
            place(layers, row, &wanted, &mut x);
        }
    }
    x
}

/// Places a row as close to the wanted positions as its order and widths allow, by least squares:
/// neighbours that would overlap form a block, which moves to the mean of its members' wanted
/// positions.
fn place(layers: &Layers, row: &[usize], wanted: &[f64], x: &mut [f64]) {
    let mut offset = Vec::with_capacity(row.len());
    let mut sum = 0.0;
    for (index, &member) in row.iter().enumerate() {
        if index > 0 {
            let (half, before) = (layers.half[member], layers.half[row[index - 1]]);
            let both_waypoints = half == 0.0 && before == 0.0;
            let gap = if both_waypoints { WAYPOINT_GAP } else { GAP };
            sum += before + half + gap;
        }
        offset.push(sum);
    }
    // Blocks as (mean, members), with means increasing from left to right.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (wanted, offset) in wanted.iter().zip(&offset) {
        let mut block = (wanted - offset, 1);
        while let Some(&(before, members)) = blocks.last().filter(|last| last.0 > block.0) {
            let count = members + block.1;
            let total = before * members as f64 + block.0 * block.1 as f64;
            block = (total / count as f64, count);
            blocks.pop();
        }
        blocks.push(block);
    }
    let starts = blocks
        .iter()
        .flat_map(|&(start, count)| std::iter::repeat_n(start, count));
    for ((&member, offset), start) in row.iter().zip(&offset).zip(starts) {
        x[member] = start + offset;
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two nodes of a row never overlap, and an arrow over a row keeps away from its nodes.
    #[test]
    fn nodes_and_arrows_keep_apart() {
        let half = [22.0, 140.0, 22.0, 60.0, 22.0];
        let arrows = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (3, 4), (0, 4)];
        let found = layout(&half, &arrows);
        let boxes: Vec<(Point, f64)> = found.places.iter().copied().zip(half).collect();
        for (index, (a, half_a)) in boxes.iter().enumerate() {
            assert!(a.0 - half_a >= -1e-9 && a.0 + half_a <= found.width + 1e-9);
            for (b, half_b) in &boxes[index + 1..] {
                assert!(a.1 != b.1 || (a.0 - b.0).abs() >= half_a + half_b + GAP - 1e-9);
            }
        }
        for (route, arrow) in found.routes.iter().zip(arrows) {
            assert_eq!(route[0], found.places[arrow.0]);
            assert_eq!(route.last(), Some(&found.places[arrow.1]));
            for waypoint in &route[1..route.len() - 1] {
                let row = boxes.iter().filter(|(place, _)| place.1 == waypoint.1);
                for (place, half) in row {
                    assert!((place.0 - waypoint.0).abs() >= half + GAP - 1e-9);
                }
            }
        }
    }
}
