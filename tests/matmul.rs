//! Matrix products against a triple loop in double precision.

use dgc::backend::cpu::{
    isa::Isa,
    matmul::{Extent, View, multiply, pack_panel, packed_len, panels, workspace_len},
};

fn isas() -> Vec<Isa> {
    match Isa::detect() {
        Isa::Avx512 => vec![Isa::Avx512, Isa::Avx2, Isa::Portable],
        Isa::Avx2 => vec![Isa::Avx2, Isa::Portable],
        Isa::Portable => vec![Isa::Portable],
    }
}

/// An array of that many rows and columns, by rows or by columns, with numbers from its index.
fn matrix(rows: usize, columns: usize, by_rows: bool, seed: usize) -> (Vec<f32>, usize, usize) {
    let data = (0..rows * columns).map(|i| (((i + seed) * 7919 % 1009) as f32 / 504.5) - 1.0).collect();
    if by_rows { (data, columns, 1) } else { (data, 1, rows) }
}

struct Case {
    m: usize,
    n: usize,
    k: usize,
    a_by_rows: bool,
    b_by_rows: bool,
}

/// The product, computed in tiles of that many rows.
fn product(isa: Isa, case: &Case, tile: usize, add: bool) -> Vec<f32> {
    let Case { m, n, k, .. } = *case;
    let (a, a_row, a_column) = matrix(m, k, case.a_by_rows, 1);
    let (b, b_row, b_column) = matrix(k, n, case.b_by_rows, 2);
    let mut c = vec![if add { 0.5 } else { f32::NAN }; m * n];
    let mut packed = vec![f32::NAN; packed_len(k, n)];
    let mut workspace = vec![f32::NAN; workspace_len(k)];
    let right = View { start: b.as_ptr(), row_stride: b_row, column_stride: b_column };
    // SAFETY: the views are of arrays of those sizes.
    unsafe {
        (0..panels(n)).for_each(|panel| pack_panel(k, n, right, panel, packed.as_mut_ptr()));
        let mut row = 0;
        while row < m {
            let rows = tile.min(m - row);
            let left = View { start: a.as_ptr().add(row * a_row), row_stride: a_row, column_stride: a_column };
            let out = View { start: c.as_mut_ptr().add(row * n), row_stride: n, column_stride: 1 };
            multiply(isa, Extent { rows, n, k }, left, packed.as_ptr(), out, add, workspace.as_mut_ptr());
            row += rows;
        }
    }
    c
}

#[test]
fn matches_double_precision_and_does_not_depend_on_tiles() {
    let sizes = [1, 2, 3, 5, 8, 13, 16, 17, 31, 32, 33, 48, 100, 129];
    for (index, &m) in sizes.iter().enumerate() {
        for &n in &[1, 7, 10, 16, 31, 32, 33, 64, 100] {
            let k = sizes[(index * 5 + n) % sizes.len()] * if n == 100 { 7 } else { 1 };
            for (a_by_rows, b_by_rows) in [(true, true), (true, false), (false, true), (false, false)] {
                let case = Case { m, n, k, a_by_rows, b_by_rows };
                let (a, a_row, a_column) = matrix(m, k, a_by_rows, 1);
                let (b, b_row, b_column) = matrix(k, n, b_by_rows, 2);
                for isa in isas() {
                    for add in [false, true] {
                        let whole = product(isa, &case, m, add);
                        for row in 0..m {
                            for column in 0..n {
                                let term = |kk: usize| {
                                    f64::from(a[row * a_row + kk * a_column])
                                        * f64::from(b[kk * b_row + column * b_column])
                                };
                                let wanted = (0..k).map(term).sum::<f64>() + if add { 0.5 } else { 0.0 };
                                let error = (f64::from(whole[row * n + column]) - wanted).abs();
                                assert!(error < 2e-6 * k as f64 + 1e-6, "{isa:?} {m} {n} {k}: off by {error}");
                            }
                        }
                        let tiled = product(isa, &case, 6, add);
                        let same = whole.iter().zip(&tiled).all(|(a, b)| a.to_bits() == b.to_bits());
                        assert!(same, "{isa:?} {m} {n} {k}: tiles change the result");
                    }
                }
            }
        }
    }
}
