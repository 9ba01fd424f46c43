//! Matrix products against sums in double precision, and the same bits for every split of the work.

use super::{
    super::{
        isa::{Amx, Avx512Bf16, Isa},
        memory::{Address, Element, Floats},
    },
    blocking::{Multiplier, View},
    dot::{Piece, RowsAndVector},
    multiply::{Factors, Rows, multiply as multiply_tile, pack_panel},
    windows::WindowReader,
};
use crate::{
    id::Id,
    plan::{Access, WindowStep, Windows},
};

/// What lies around and between the elements; a product must neither use nor change it.
const OUTSIDE: f32 = 1e30;

/// A matrix with its strides, in an array that ends where its last element does.
#[derive(Clone)]
struct Matrix {
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
    floats: Vec<f32>,
}

/// How a matrix lies in memory: elements of a row side by side, or of a column, or neither; with
/// some floats between.
#[derive(Clone, Copy, Debug)]
enum Layout {
    Rows(usize),
    Columns(usize),
    Apart,
}

const LAYOUTS: [Layout; 5] = [
    Layout::Rows(0),
    Layout::Columns(0),
    Layout::Rows(3),
    Layout::Columns(5),
    Layout::Apart,
];

impl Matrix {
    /// Between -1 and 1, from a linear congruential generator.
    fn new(rows: usize, columns: usize, layout: Layout, seed: u32) -> Self {
        let (row_stride, column_stride) = match layout {
            Layout::Rows(between) => (columns + between, 1),
            Layout::Columns(between) => (1, rows + between),
            Layout::Apart => (2 * columns + 1, 2),
        };
        let len = if rows * columns == 0 {
            0
        } else {
            (rows - 1) * row_stride + (columns - 1) * column_stride + 1
        };
        let mut matrix = Matrix {
            rows,
            columns,
            row_stride,
            column_stride,
            floats: vec![OUTSIDE; len],
        };
        let mut state = seed;
        for row in 0..rows {
            for column in 0..columns {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                matrix.floats[row * row_stride + column * column_stride] =
                    (state >> 8) as f32 / (1 << 23) as f32 - 1.0;
            }
        }
        matrix
    }

    fn at(&self, row: usize, column: usize) -> f32 {
        self.floats[row * self.row_stride + column * self.column_stride]
    }

    /// For reading.
    fn view(&self) -> View {
        View {
            start: Address::new(self.floats.as_ptr().cast_mut()),
            element: Element::F32,
            row_stride: self.row_stride,
            column_stride: self.column_stride,
        }
    }

    /// For reading and writing.
    fn view_mut(&mut self) -> View {
        View {
            start: Address::new(self.floats.as_mut_ptr()),
            ..self.view()
        }
    }

    /// Elements that are none of the matrix's.
    fn outside(&self) -> Vec<f32> {
        let mut floats = self.floats.clone();
        for row in 0..self.rows {
            for column in 0..self.columns {
                floats[row * self.row_stride + column * self.column_stride] = OUTSIDE;
            }
        }
        floats
    }
}

/// All that multiplies on this CPU: by each instruction set, the portable one among them, in single
/// precision, and in bf16.
fn multipliers() -> Vec<Multiplier> {
    let sets = Isa::all().into_iter();
    let singles = sets.flat_map(|isa| [Multiplier::F32(isa), Multiplier::Rounded(isa)]);
    let pairs = Avx512Bf16::detect().map(Multiplier::Pairs);
    let tiles = Amx::detect().map(Multiplier::Tiles);
    singles.chain(pairs).chain(tiles).collect()
}

/// An operand's element as it is multiplied.
fn operand(by: Multiplier, value: f32) -> f32 {
    match by {
        Multiplier::F32(_) => value,
        Multiplier::Rounded(_) | Multiplier::Pairs(_) | Multiplier::Tiles(_) => {
            half::bf16::from_f32(value).to_f32()
        }
    }
}

/// `c` = `a` · `b`, or `c` += `a` · `b`, in tiles of so many rows; the workspaces are exactly as
/// long as asked for.
fn multiply(by: Multiplier, a: &Matrix, b: &Matrix, c: &mut Matrix, add: bool, tile: usize) {
    let (m, n, k) = (c.rows, b.columns, b.rows);
    assert_eq!(
        (a.rows, a.columns, b.columns),
        (m, k, c.columns),
        "the extents agree"
    );
    multiply_views(by, (m, n, k), [a.view(), b.view()], c.view_mut(), add, tile);
}

/// All panels of a right matrix.
fn pack(by: Multiplier, right: View, (k, n): (usize, usize)) -> Vec<f32> {
    let mut packed = vec![f32::NAN; by.packed_len(k, n)];
    for panel in 0..by.panels(n) {
        // SAFETY: the right matrix and `packed` have these extents.
        unsafe { pack_panel(by, k, n, right, panel, packed.as_mut_ptr()) };
    }
    packed
}

/// As [`multiply`], for matrices of `m`, `n` and `k` anywhere in memory.
fn multiply_views(
    by: Multiplier,
    (m, n, k): (usize, usize, usize),
    [left, right]: [View; 2],
    out: View,
    add: bool,
    tile: usize,
) {
    let packed = pack(by, right, (k, n));
    let mut workspace = vec![f32::NAN; by.workspace_len(by.packed_depth(k))];
    for first in (0..m).step_by(tile) {
        // SAFETY: the tile lies in the matrices; the workspaces have the lengths that are asked for.
        unsafe {
            let factors = Factors {
                k,
                a: Rows::View(left.skip_rows(first)),
                packed: packed.as_ptr(),
            };
            let rows = tile.min(m - first);
            let out = out.skip_rows(first);
            let workspace = workspace.as_mut_ptr();
            multiply_tile(by, (rows, n), (1, &|_| factors), out, add, workspace);
        }
    }
}

/// Each element within what rounding allows of the sum in double precision, and nothing else
/// changed.
fn check(
    by: Multiplier,
    (m, n, k): (usize, usize, usize),
    [left, right, out]: [Layout; 3],
    add: bool,
) {
    let (a, b) = (Matrix::new(m, k, left, 1), Matrix::new(k, n, right, 2));
    let before = Matrix::new(m, n, out, 3);
    let mut c = before.clone();
    multiply(by, &a, &b, &mut c, add, m.max(1));
    let what = format!("{by:?}, {m} x {n} x {k}, {left:?} · {right:?} -> {out:?}, add {add}");
    for row in 0..m {
        for column in 0..n {
            let start = if add {
                f64::from(before.at(row, column))
            } else {
                0.0
            };
            let (mut sum, mut size) = (start, start.abs());
            for kk in 0..k {
                let product = f64::from(operand(by, a.at(row, kk)))
                    * f64::from(operand(by, b.at(kk, column)));
                sum += product;
                size += product.abs();
            }
            // Each step rounds once (twice without fused multiply-adds), by 2^-24 of a partial sum.
            let bound = 2.0 * (k + 1) as f64 * size * f64::from(f32::EPSILON) / 2.0;
            let found = f64::from(c.at(row, column));
            assert!(
                (found - sum).abs() <= bound,
                "{what}: [{row}, {column}] is {found}, expected {sum} ± {bound}"
            );
        }
    }
    assert!(
        before.outside() == c.outside(),
        "{what}: only elements of C are written"
    );
}

/// Every edge of strips, panels and vectors.
#[test]
fn products_of_all_small_extents() {
    let edges = [1, 2, 3, 5, 7, 8, 13, 14, 15, 16, 17, 29, 31, 32, 33, 48, 65];
    for by in multipliers() {
        for (i, &m) in edges.iter().enumerate() {
            for (j, &n) in edges.iter().enumerate() {
                for (l, &k) in [1, 2, 3, 4, 5, 7, 16, 33].iter().enumerate() {
                    let layout = |number: usize| LAYOUTS[number % LAYOUTS.len()];
                    check(
                        by,
                        (m, n, k),
                        [layout(i + j), layout(j + l), layout(i + l)],
                        (i + j + l) % 2 == 0,
                    );
                }
            }
        }
    }
}

/// Every layout of the three matrices, at extents with a rest in each direction.
#[test]
fn products_of_all_layouts() {
    for by in multipliers() {
        for left in LAYOUTS {
            for right in LAYOUTS {
                for out in LAYOUTS {
                    for add in [false, true] {
                        check(by, (19, 43, 21), [left, right, out], add);
                        check(by, (6, 12, 9), [left, right, out], add);
                    }
                }
            }
        }
    }
}

/// Extents as models have them, and a k that is summed up in several blocks.
#[test]
fn products_of_large_extents() {
    let (rows, columns) = (Layout::Rows(0), Layout::Columns(0));
    for by in multipliers() {
        check(by, (129, 100, 300), [rows, columns, rows], false);
        check(by, (100, 129, 784), [columns, rows, rows], true);
        for k in [255, 256, 257, 1023, 1024, 1025, 2049] {
            check(by, (33, 50, k), [rows, rows, rows], false);
            check(by, (33, 50, k), [columns, columns, columns], true);
        }
    }
}

#[test]
fn empty_products() {
    let rows = Layout::Rows(0);
    for by in multipliers() {
        for extents in [(0, 5, 3), (5, 0, 3), (0, 0, 0)] {
            check(by, extents, [rows; 3], true);
        }
        for add in [false, true] {
            check(by, (20, 40, 0), [rows; 3], add);
        }
    }
}

/// What a product of zero floats between rows means: one row for all, as where a value lacks an
/// axis.
#[test]
fn a_stride_of_zero_repeats() {
    for by in multipliers() {
        let (mut a, mut b) = (
            Matrix::new(20, 9, Layout::Rows(0), 1),
            Matrix::new(9, 40, Layout::Rows(0), 2),
        );
        (a.row_stride, b.column_stride) = (0, 0);
        let mut c = Matrix::new(20, 40, Layout::Rows(0), 3);
        multiply(by, &a, &b, &mut c, false, 20);
        let sum: f64 = (0..9)
            .map(|k| f64::from(operand(by, a.at(0, k))) * f64::from(operand(by, b.at(k, 0))))
            .sum();
        assert!(
            c.floats
                .iter()
                .all(|&found| (f64::from(found) - sum).abs() < 1e-5),
            "{by:?}: {sum} everywhere"
        );
    }
}

/// A value that is not finite stays in its row or column: the fill of an incomplete panel or strip
/// has no influence.
#[test]
fn infinities_stay_in_their_rows_and_columns() {
    for by in multipliers() {
        let (mut a, mut b) = (
            Matrix::new(30, 20, Layout::Rows(0), 1),
            Matrix::new(20, 45, Layout::Columns(0), 2),
        );
        a.floats[17 * a.row_stride + 3] = f32::INFINITY;
        b.floats[4 + 36 * b.column_stride] = f32::NAN;
        let mut c = Matrix::new(30, 45, Layout::Rows(0), 3);
        multiply(by, &a, &b, &mut c, false, 30);
        for row in 0..30 {
            for column in 0..45 {
                assert_eq!(
                    c.at(row, column).is_finite(),
                    row != 17 && column != 36,
                    "{by:?}: [{row}, {column}]"
                );
            }
        }
    }
}

/// Each element has the same bits in a tile of any height, with any number of columns, and in any
/// layout of C.
#[test]
fn bits_do_not_depend_on_the_split() {
    let (m, n, k) = (61, 101, 1300);
    for by in multipliers() {
        for (left, right) in [
            (LAYOUTS[0], LAYOUTS[1]),
            (LAYOUTS[1], LAYOUTS[0]),
            (LAYOUTS[4], LAYOUTS[4]),
        ] {
            for add in [false, true] {
                let (a, b) = (Matrix::new(m, k, left, 1), Matrix::new(k, n, right, 2));
                let mut whole = Matrix::new(m, n, Layout::Rows(0), 3);
                let before = whole.clone();
                multiply(by, &a, &b, &mut whole, add, m);
                for tile in [1, 2, 5, 6, 13, 14, 15, 29, 60] {
                    let mut tiled = before.clone();
                    multiply(by, &a, &b, &mut tiled, add, tile);
                    assert!(
                        tiled.floats == whole.floats,
                        "{by:?}, tiles of {tile}, add {add}"
                    );
                }
                for (first, columns) in [(0, 1), (1, 16), (3, 17), (30, 33), (100, 1)] {
                    let mut part = b.clone();
                    part.floats.drain(..first * b.column_stride);
                    part.columns = columns;
                    let mut c = Matrix::new(m, columns, Layout::Columns(2), 4);
                    for row in 0..m {
                        for column in 0..columns {
                            let at = row * c.row_stride + column * c.column_stride;
                            c.floats[at] = before.at(row, first + column);
                        }
                    }
                    multiply(by, &a, &part, &mut c, add, 7);
                    for row in 0..m {
                        for column in 0..columns {
                            let (found, expected) =
                                (c.at(row, column), whole.at(row, first + column));
                            assert_eq!(
                                found.to_bits(),
                                expected.to_bits(),
                                "{by:?}, columns {first} + {columns}"
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The sum that a multiplier computes. Every CPU that has fused multiply-adds adds one product after
/// another in the order of k, in bf16 whether there is an instruction for pairs or not. Tiles add
/// the products of 32 elements in two chains, of even and of odd k, and then both to the sum.
fn in_order(by: Multiplier, start: f32, products: &[(f32, f32)]) -> f32 {
    let chain = |start: f32, products: &mut dyn Iterator<Item = &(f32, f32)>| {
        products.fold(start, |sum, &(a, b)| a.mul_add(b, sum))
    };
    match by {
        Multiplier::F32(Isa::Portable) | Multiplier::Rounded(Isa::Portable) => {
            products.iter().fold(start, |sum, &(a, b)| a * b + sum)
        }
        Multiplier::Tiles(_) => products.chunks(32).fold(start, |sum, tile| {
            let even = chain(0.0, &mut tile.iter().step_by(2));
            let odd = chain(0.0, &mut tile.iter().skip(1).step_by(2));
            sum + (even + odd)
        }),
        _ => chain(start, &mut products.iter()),
    }
}

#[test]
fn bits_are_those_of_sums_in_order() {
    let (m, n, k) = (23, 47, 1100);
    let (a, b) = (
        Matrix::new(m, k, Layout::Rows(0), 1),
        Matrix::new(k, n, Layout::Columns(0), 2),
    );
    let before = Matrix::new(m, n, Layout::Rows(0), 3);
    for by in multipliers() {
        let mut c = before.clone();
        multiply(by, &a, &b, &mut c, true, m);
        for row in 0..m {
            for column in 0..n {
                let products: Vec<_> = (0..k)
                    .map(|kk| (operand(by, a.at(row, kk)), operand(by, b.at(kk, column))))
                    .collect();
                let expected = in_order(by, before.at(row, column), &products);
                assert_eq!(
                    c.at(row, column).to_bits(),
                    expected.to_bits(),
                    "{by:?}: [{row}, {column}]"
                );
            }
        }
    }
}

/// A sum of products gives the bits of one product after another, however many fit into a block.
#[test]
fn products_are_added_in_order() {
    let (m, n) = (45, 70);
    for by in multipliers() {
        for depths in [&[3, 40][..], &[500, 100, 7], &[10; 11], &[700, 1, 600]] {
            let operands: Vec<(Matrix, Matrix)> = (depths.iter().zip(1..))
                .map(|(&k, seed)| {
                    let layout = LAYOUTS[seed as usize % LAYOUTS.len()];
                    let a = Matrix::new(m, k, layout, seed);
                    (a, Matrix::new(k, n, Layout::Columns(0), seed + 100))
                })
                .collect();
            let mut one_by_one = Matrix::new(m, n, Layout::Rows(0), 50);
            for (a, b) in &operands {
                multiply(by, a, b, &mut one_by_one, true, m);
            }
            let packed = operands
                .iter()
                .map(|(_, b)| pack(by, b.view(), (b.rows, n)));
            let packed: Vec<Vec<f32>> = packed.collect();
            let depth = depths.iter().map(|&k| by.packed_depth(k)).sum();
            let mut workspace = vec![f32::NAN; by.workspace_len(depth)];
            let mut together = Matrix::new(m, n, Layout::Rows(0), 50);
            let factors = |number: usize| Factors {
                k: depths[number],
                a: Rows::View(operands[number].0.view()),
                packed: packed[number].as_ptr(),
            };
            let (out, workspace) = (together.view_mut(), workspace.as_mut_ptr());
            // SAFETY: the operands have these extents, and the workspace its length.
            unsafe {
                multiply_tile(by, (m, n), (depths.len(), &factors), out, true, workspace);
            }
            assert!(together.floats == one_by_one.floats, "{by:?}, {depths:?}");
        }
    }
}

/// Tiles give the same bits for operands that are bf16 in memory already.
#[test]
fn operands_may_be_bf16_in_memory() {
    let Some(amx) = Amx::detect() else {
        return eprintln!("SKIPPED: this CPU has no AMX");
    };
    let by = Multiplier::Tiles(amx);
    for (left, right) in [(0, 1), (1, 0), (2, 3), (3, 2), (4, 4)] {
        for (m, n, k) in [(61, 101, 1300), (16, 33, 31), (1, 1, 1)] {
            let a = Matrix::new(m, k, LAYOUTS[left], 1);
            let b = Matrix::new(k, n, LAYOUTS[right], 2);
            let mut c = Matrix::new(m, n, Layout::Rows(0), 3);
            let mut same = c.clone();
            multiply(by, &a, &b, &mut c, false, m);
            let halves = |matrix: &Matrix| -> Vec<half::bf16> {
                let floats = matrix.floats.iter();
                floats.map(|&float| half::bf16::from_f32(float)).collect()
            };
            let (a_halves, b_halves) = (halves(&a), halves(&b));
            let view = |matrix: &Matrix, halves: &[half::bf16]| View {
                start: Address::new(halves.as_ptr().cast_mut().cast()),
                element: Element::Bf16,
                ..matrix.view()
            };
            let views = [view(&a, &a_halves), view(&b, &b_halves)];
            multiply_views(by, (m, n, k), views, same.view_mut(), false, m);
            assert!(c.floats == same.floats, "{m} x {n} x {k}");
        }
    }
}

/// To bf16 is rounded as the crate `half` does it: ties to even, beyond the largest to infinity,
/// NaN to NaN.
#[test]
fn operands_are_rounded_to_nearest() {
    let step = 2f32.powi(-8);
    let mut values = vec![
        1.0,
        1.0 + step,
        1.0 + 3.0 * step,
        -1.0 - step,
        1.0 + step + f32::EPSILON,
        f32::MIN_POSITIVE,
    ];
    values.extend([
        0.0,
        f32::MAX,
        f32::MIN,
        f32::INFINITY,
        f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0x7fff_ffff),
    ]);
    for by in multipliers() {
        for layout in LAYOUTS {
            for (m, k) in [(values.len(), 1), (values.len(), 2), (1, 1)] {
                let (mut a, mut b) = (Matrix::new(m, k, layout, 1), Matrix::new(k, 1, layout, 2));
                (0..k).for_each(|kk| b.floats[kk * b.row_stride] = f32::from(kk == 0));
                for (row, &value) in values.iter().enumerate().take(m) {
                    (0..k).for_each(|kk| a.floats[row * a.row_stride + kk * a.column_stride] = 0.0);
                    a.floats[row * a.row_stride] = value;
                }
                let mut c = Matrix::new(m, 1, Layout::Rows(0), 3);
                multiply(by, &a, &b, &mut c, false, m);
                for (row, &value) in values.iter().enumerate().take(m) {
                    let (found, wanted) = (c.at(row, 0), operand(by, value));
                    assert!(
                        found == wanted || found.is_nan() && wanted.is_nan(),
                        "{by:?}: {found}, not {wanted}"
                    );
                }
            }
        }
    }
}

#[test]
fn rows_by_a_vector() {
    for k in (0..70).chain([400, 1000]) {
        let rows = Matrix::new(5, k, Layout::Rows(3), 1);
        let vector = Matrix::new(k, 1, Layout::Columns(0), 2);
        let piece = |from, to| Piece {
            offset: from as isize,
            place: from,
            len: to - from,
        };
        let whole = [piece(0, k)];
        let parts = [piece(0, k / 3), piece(k / 3, k)];
        let multiplied = |isa, add: bool| {
            let mut out = vec![if add { 1.0 } else { OUTSIDE }; 9];
            let product = RowsAndVector {
                rows: rows.floats.as_ptr(),
                count: 5,
                stride: rows.row_stride as isize,
                pieces: if add { &parts } else { &whole },
                vector: vector.floats.as_ptr(),
            };
            // SAFETY: both operands have `k` floats for each row, and the results are 2 floats apart.
            unsafe { product.multiply(isa, out.as_mut_ptr(), 2, add) };
            out
        };
        for isa in Isa::all() {
            let (set, added) = (multiplied(isa, false), multiplied(isa, true));
            for row in 0..5 {
                let products =
                    (0..k).map(|i| f64::from(rows.at(row, i)) * f64::from(vector.at(i, 0)));
                let exact: f64 = products.sum();
                let far = |found: f32, wanted: f64| (f64::from(found) - wanted).abs();
                assert!(far(set[2 * row], exact) < 1e-5, "{isa:?}, k {k}");
                assert!(far(added[2 * row], exact + 1.0) < 1e-5, "{isa:?}, k {k}");
            }
            let is_fused = |isa| isa != Isa::Portable;
            let first = Isa::all()[0];
            if is_fused(isa) && is_fused(first) {
                assert_eq!(set, multiplied(first, false), "the same bits");
                assert_eq!(added, multiplied(first, true), "the same bits");
            }
        }
    }
}

/// Rows of windows that are read in place or copied, against each element's place.
#[test]
fn windows_by_a_vector() {
    let (height, width) = (5, 6);
    for (channels, kernel, padding, stride) in
        [(1, 3, 1, 1), (16, 5, 2, 1), (3, 2, 0, 2), (20, 4, 3, 3)]
    {
        let places = |size: usize| (size + 2 * padding - kernel) / stride + 1;
        let (rows, columns) = (
            vec![2, places(height), places(width)],
            vec![kernel, kernel, channels],
        );
        let span = |axis: usize, size: usize, step: usize| {
            let mut strides = vec![0; 6];
            strides[axis] = stride as isize;
            strides[axis + 2] = 1;
            WindowStep {
                strides,
                offset: -(padding as isize),
                divisor: 1,
                size,
                step,
            }
        };
        let windows = Windows {
            left: true,
            along_positions: false,
            access: Access {
                buffer: Id::new(0),
                strides: vec![height * width * channels, 0, 0, 0, 0, 1],
                partial: 0,
                spans: vec![span(1, height, width * channels), span(2, width, channels)],
            },
            rows: rows.clone(),
            columns: columns.clone(),
        };
        let mut image = Floats::new(2 * height * width * channels).expect("memory for an image");
        let value = |i: usize| ((i * 7919) % 101) as f32 * 0.1 - 5.0;
        image
            .slice_mut()
            .iter_mut()
            .enumerate()
            .for_each(|(i, float)| *float = value(i));
        let reader = WindowReader::new(&windows, image.address()).expect("few axes");
        assert!(reader.reads_in_place());
        let (m, k): (usize, usize) = (rows.iter().product(), columns.iter().product());
        let vector: Vec<f32> = (0..k).map(|i| value(i + 50)).collect();
        let mut copied = vec![OUTSIDE; m * k];
        // SAFETY: there is room for the rows, and nothing else writes the image.
        unsafe { reader.copy_rows(0..m, 0..k, copied.as_mut_ptr(), k) };
        let sizes: Vec<usize> = rows.iter().chain(&columns).copied().collect();
        for (element, &found) in copied.iter().enumerate() {
            let mut index = [0; 6];
            let mut rest = element;
            for (index, size) in index.iter_mut().zip(&sizes).rev() {
                (*index, rest) = (rest % size, rest / size);
            }
            let [image, y, x, down, right, channel] = index;
            let along = |place: usize, inner: usize, size: usize| {
                (place * stride + inner)
                    .checked_sub(padding)
                    .filter(|&place| place < size)
            };
            let wanted = along(y, down, height)
                .zip(along(x, right, width))
                .map(|(y, x)| value(((image * height + y) * width + x) * channels + channel));
            assert_eq!(found, wanted.unwrap_or(0.0));
        }
        // Copies in either order are the same.
        let (from, to) = (2, k.min(7));
        let mut either = vec![OUTSIDE; (m - 3) * (to - from)];
        // SAFETY: as above.
        let (row_stride, column_stride) =
            unsafe { reader.copy(1..m - 2, from..to, either.as_mut_ptr()) };
        for row in 0..m - 3 {
            for column in 0..to - from {
                let found = either[row * row_stride + column * column_stride];
                assert_eq!(found, copied[(row + 1) * k + column + from]);
            }
        }
        for isa in Isa::all() {
            for range in [0..m, 1..m - 1] {
                let mut out = vec![OUTSIDE; 2 * m];
                let results = (out.as_mut_ptr(), 2);
                // SAFETY: there is room for the results, and the vector is as long as a row.
                unsafe {
                    reader.multiply_rows(isa, range.clone(), vector.as_ptr(), results, false)
                };
                for (row, found) in range.zip(out.chunks(2)) {
                    let products = copied[row * k..][..k].iter().zip(&vector);
                    let wanted: f64 = products.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
                    let far = (f64::from(found[0]) - wanted).abs();
                    assert!(
                        far < 1e-2 && found[1] == OUTSIDE,
                        "{isa:?} row {row}: {found:?}, {wanted}"
                    );
                }
            }
        }
    }
}
