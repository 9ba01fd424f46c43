//! What always holds of a plan, checked.

use super::{Access, Contraction, Instruction, Kernel, Loop, Matrix, Plan, Storage, Tile};

/// Panics where a plan would read or write outside a buffer, read what nothing wrote, or let two
/// tiles write one element.
pub fn verify(plan: &Plan) {
    let mut written: Vec<bool> = plan
        .buffers
        .iter()
        .map(|buffer| matches!(buffer.storage, Storage::Input | Storage::Parameter(_)))
        .collect();
    for buffer in &plan.buffers {
        let len: usize = buffer
            .axes
            .iter()
            .map(|axis| plan.axes[axis.index()].size)
            .product();
        assert!(
            len == buffer.len,
            "`{}` has the length of its axes",
            buffer.name
        );
        if let Storage::Arena(offset) = buffer.storage {
            assert!(
                offset + len <= plan.arena,
                "`{}` lies within the arena",
                buffer.name
            );
        }
    }
    for kernel in &plan.kernels {
        kernel
            .setup
            .iter()
            .for_each(|nest| verify_loop(plan, kernel, nest, None, &mut written));
        kernel
            .prologue
            .iter()
            .for_each(|nest| verify_loop(plan, kernel, nest, kernel.tile, &mut written));
        if let Some(contraction) = &kernel.contraction {
            verify_contraction(plan, kernel, contraction, &mut written);
        }
        kernel
            .epilogue
            .iter()
            .for_each(|nest| verify_loop(plan, kernel, nest, kernel.tile, &mut written));
    }
    for (buffer, written) in plan.buffers.iter().zip(written) {
        assert!(written, "`{}` is written by some kernel", buffer.name);
    }
}

fn verify_loop(
    plan: &Plan,
    kernel: &Kernel,
    nest: &Loop,
    tile: Option<Tile>,
    written: &mut [bool],
) {
    let place = &kernel.name;
    assert!(
        nest.tiled == tile.is_some(),
        "{place}: a loop of the tiles runs along the tile axis"
    );
    let tiles = tile.map_or(1, |tile| tile.count);
    for (number, instruction) in nest.instructions.iter().enumerate() {
        let before = |value: &usize| {
            assert!(
                *value < number,
                "{place}: instruction {number} reads a later one"
            )
        };
        match instruction {
            Instruction::Scalar(_, operands) => operands.iter().for_each(before),
            Instruction::OneHot(value, _)
            | Instruction::Store(value, _)
            | Instruction::Reduce { value, .. } => {
                before(value);
            }
            _ => {}
        }
        match instruction {
            Instruction::Load(access) => {
                let name = &plan.buffer(access.buffer).name;
                assert!(
                    written[access.buffer.index()],
                    "{place} reads `{name}`, which nothing wrote"
                );
                verify_access(plan, place, nest, access, tiles);
            }
            Instruction::Store(_, access) => {
                assert!(
                    !nest.tiled || access.strides[0] > 0,
                    "{place}: a store belongs to one tile"
                );
                verify_access(plan, place, nest, access, tiles);
                written[access.buffer.index()] = true;
            }
            Instruction::Reduce { access, .. } => {
                assert!(
                    access.spans.is_empty(),
                    "{place}: no sum is made through windows"
                );
                let own = !nest.tiled || access.strides[0] > 0 || access.partial > 0;
                assert!(own, "{place}: a reduction belongs to one tile");
                verify_access(plan, place, nest, access, tiles);
                written[access.buffer.index()] = true;
            }
            _ => {}
        }
    }
}

fn verify_access(plan: &Plan, place: &str, nest: &Loop, access: &Access, tiles: usize) {
    let buffer = plan.buffer(access.buffer);
    let end = farthest(&nest.sizes, access) + access.partial * (tiles - 1);
    assert!(
        end < buffer.len,
        "{place} reaches element {end} of `{}`, which has {}",
        buffer.name,
        buffer.len
    );
}

/// The last element that an access reaches, of the first tile.
fn farthest(sizes: &[usize], access: &Access) -> usize {
    let direct: usize = sizes
        .iter()
        .zip(&access.strides)
        .map(|(size, stride)| (size - 1) * stride)
        .sum();
    direct
        + access
            .spans
            .iter()
            .map(|span| (span.size - 1) * span.step)
            .sum::<usize>()
}

fn verify_contraction(
    plan: &Plan,
    kernel: &Kernel,
    contraction: &Contraction,
    written: &mut [bool],
) {
    let place = &kernel.name;
    let within = |matrix: &Matrix, rows: usize, columns: usize| {
        let end = (rows - 1) * matrix.row_stride + (columns - 1) * matrix.column_stride;
        let buffer = plan.buffer(matrix.buffer);
        assert!(
            end < buffer.len,
            "{place} reaches element {end} of `{}`",
            buffer.name
        );
    };
    let tile = kernel.tile.expect("a contraction is tiled");
    assert!(
        contraction.m == tile.length * contraction.rows_per_index,
        "{place}: rows run along the tile axis"
    );
    within(&contraction.out, contraction.m, contraction.n);
    for product in &contraction.products {
        for matrix in [&product.left, &product.right] {
            let name = &plan.buffer(matrix.buffer).name;
            assert!(
                written[matrix.buffer.index()],
                "{place} reads `{name}`, which nothing wrote"
            );
        }
        let windows = |left: bool| {
            product
                .windows
                .as_ref()
                .filter(|windows| windows.left == left)
        };
        for (left, matrix, rows, columns) in [
            (true, &product.left, contraction.m, product.k),
            (false, &product.right, product.k, contraction.n),
        ] {
            let Some(windows) = windows(left) else {
                within(matrix, rows, columns);
                continue;
            };
            let count = |sizes: &[usize]| sizes.iter().product::<usize>();
            assert!(
                count(&windows.rows) == rows && count(&windows.columns) == columns,
                "{place}: windows are a matrix"
            );
            let end = farthest(
                &[windows.rows.as_slice(), &windows.columns].concat(),
                &windows.access,
            );
            let buffer = plan.buffer(matrix.buffer);
            assert!(
                end < buffer.len,
                "{place} reaches element {end} of `{}` through windows",
                buffer.name
            );
        }
    }
    written[contraction.out.buffer.index()] = true;
}
