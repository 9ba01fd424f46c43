//! Decisions, without text: small plans by hand.

use super::{
    nest::needed,
    select, spec,
    spec::{Operand, Outcome, PointerAccess, Task},
};
use crate::{
    backend::Precision,
    id::Id,
    plan::{
        Access, Buffer, Contraction, Instruction, Kernel, Loop, Matrix, Plan, Product, Storage,
    },
    tensor::{Axis, AxisKind, Scalar},
};

fn access(buffer: usize, strides: &[usize]) -> Access {
    Access {
        buffer: Id::new(buffer),
        strides: strides.to_vec(),
        partial: 0,
        spans: Vec::new(),
    }
}

/// out[m, n] = max(0, left[m, k] · right[k, n] + bias[n]), as the kernel of a dense layer.
fn dense(m: usize, n: usize, k: usize) -> Plan {
    let axis = |name: &str, size| Axis {
        name: name.to_string(),
        size,
        kind: AxisKind::Feature,
    };
    let buffer = |name: &str, axes: &[usize], len, storage| Buffer {
        name: name.to_string(),
        axes: axes.iter().map(|axis| Id::new(*axis)).collect(),
        len,
        storage,
    };
    let matrix = |buffer, row_stride, column_stride| Matrix {
        buffer: Id::new(buffer),
        row_stride,
        column_stride,
    };
    let relu = Loop {
        axes: vec![Id::new(0), Id::new(1)],
        sizes: vec![m, n],
        tiled: false,
        instructions: vec![
            Instruction::Load(access(3, &[n, 1])),
            Instruction::Load(access(2, &[0, 1])),
            Instruction::Scalar(Scalar::Add, vec![0, 1]),
            Instruction::Scalar(Scalar::Relu, vec![2]),
            Instruction::Store(3, access(4, &[n, 1])),
        ],
    };
    let contraction = Contraction {
        out: matrix(3, n, 1),
        m,
        n,
        rows_per_index: 1,
        products: vec![Product {
            k,
            left: matrix(0, k, 1),
            right: matrix(1, 1, k),
            windows: None,
        }],
    };
    Plan {
        axes: vec![axis("row", m), axis("unit", n), axis("input", k)],
        parameters: Vec::new(),
        buffers: vec![
            buffer("left", &[0, 2], m * k, Storage::Input),
            buffer("right", &[1, 2], n * k, Storage::Input),
            buffer("bias", &[1], n, Storage::Input),
            buffer("sums", &[0, 1], m * n, Storage::Arena(0)),
            buffer("out", &[0, 1], m * n, Storage::Output),
        ],
        kernels: vec![Kernel {
            name: "k0_dense".to_string(),
            origins: Vec::new(),
            setup: Vec::new(),
            tile: None,
            prologue: Vec::new(),
            contraction: Some(contraction),
            epilogue: vec![relu],
        }],
        arena: m * n,
    }
}

#[test]
fn a_layer_is_one_launch_whose_sums_stay_in_the_block() {
    let plan = dense(3, 4, 6);
    let program = select::program(&plan, Precision::F32);
    let [function] = program.functions.as_slice() else {
        panic!("one launch");
    };
    assert_eq!(program.arena, 0, "the sums are not stored");
    let read = |pointer: &spec::Pointer| pointer.access == PointerAccess::ReadOnly;
    let reads = function.parameters.iter().filter(|pointer| read(pointer));
    assert_eq!(reads.count(), 3, "operands and bias");
    let [placed] = function.pieces.as_slice() else {
        panic!("one piece");
    };
    assert_eq!(placed.piece.grid.blocks(), 1);
    let [Task::Tiles(tiles)] = placed.piece.tasks.as_slice() else {
        panic!("tiles");
    };
    assert_eq!((tiles.shape.m, tiles.shape.n), (64, 16), "few columns");
    assert!(matches!(
        tiles.operands[0],
        [Operand::Memory(_), Operand::Memory(_)]
    ));
    let Outcome::Whole(epilogue) = &tiles.outcome else {
        panic!("k is short");
    };
    assert!(!epilogue.finish.stored);
    let fused = epilogue.finish.fused.as_ref().expect("the loop is applied");
    assert_eq!((fused.stores.as_slice(), fused.row_axes), (&[4][..], 1));
    // Two operands, the bias and the result, in bytes.
    assert_eq!(function.launch.moved, 4 * (3 * 6 + 4 * 6 + 4 + 3 * 4));
}

#[test]
fn a_long_sum_is_split_and_added_by_a_second_launch() {
    let plan = dense(64, 64, 4096);
    let program = select::program(&plan, Precision::F32);
    let [parts, sum] = program.functions.as_slice() else {
        panic!("two launches");
    };
    let Task::Tiles(tiles) = &parts.pieces[0].piece.tasks[0] else {
        panic!("tiles");
    };
    let Outcome::Parts(split) = &tiles.outcome else {
        panic!("k is long");
    };
    assert!(split.count > 1 && split.depth.is_multiple_of(spec::STEP));
    assert!(split.depth * split.count >= 4096, "the parts are all of k");
    assert_eq!(split.scratch.floats, 64 * 64 * (split.count - 1));
    assert!(matches!(sum.pieces[0].piece.tasks[0], Task::AddParts(_)));
    // The first part lies in the result's own place.
    assert_eq!(program.arena, 64 * 64 * split.count);
}

#[test]
fn what_a_sink_needs_is_found_backwards() {
    let plan = dense(3, 4, 6);
    let nest = &plan.kernels[0].epilogue[0];
    assert_eq!(needed(nest, &[4]), [true; 5]);
    assert_eq!(needed(nest, &[1]), [false, true, false, false, false]);
}
