//! The contraction alone, on the emulated driver: every tile, layout and precision, with prologues
//! and epilogues, against sums in double precision.

use crate::common;

use common::{emulator, numbers};
use dgc::{
    backend::{self, Build, Device, NoiseKey, Precision, cuda::emit},
    id::Id,
    plan::{
        Access, Buffer, Contraction, Instruction, Kernel, Loop, Matrix, Plan, Product, Storage,
        Tile, VerifiedPlan,
    },
    tensor::{Axis, AxisKind, ReduceKind, Scalar},
};

/// A contraction with an operand's neighbours along k or across it, and what is done with the sums.
#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: Vec<usize>,
    left_along_k: bool,
    right_along_k: bool,
    /// Whether the left operands are made of others as they are loaded, where they lie along k.
    made: bool,
    /// Whether a loop takes the sums in place of the result.
    fused: bool,
    /// Floats before each operand, so that its rows are on 16-byte boundaries or not.
    shift: usize,
}

const LAYOUTS: [(bool, bool); 4] = [(true, true), (true, false), (false, false), (false, true)];

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |m, n, k: &[usize], layouts: &[(bool, bool)]| {
        for &(left_along_k, right_along_k) in layouts {
            let number = cases.len();
            let (made, fused, shift) = (number % 12 < 4, number % 3 == 1, number % 2);
            cases.push(Case {
                m,
                n,
                k: k.to_vec(),
                left_along_k,
                right_along_k,
                made,
                fused,
                shift,
            });
        }
    };
    // Sizes that no tile divides, from 1 up.
    for (m, n, k) in [
        (1, 1, 1),
        (1, 7, 3),
        (2, 3, 1),
        (3, 2, 33),
        (17, 16, 15),
        (33, 31, 65),
        (65, 33, 16),
        (100, 10, 70),
    ] {
        add(m, n, &[k], &LAYOUTS);
    }
    // A vector, by rows; and rows that are whole vectors, on boundaries or not.
    add(9, 1, &[40, 3], &LAYOUTS);
    for _ in 0..3 {
        add(36, 44, &[52], &LAYOUTS);
    }
    // Several products in one, and k in parts.
    add(33, 31, &[3, 40, 10], &LAYOUTS);
    add(20, 35, &[513], &LAYOUTS);
    add(36, 12, &[300, 3, 500], &LAYOUTS);
    add(4, 1, &[700], &LAYOUTS[2..]);
    // The larger tiles are for results of many.
    add(500, 516, &[36], &LAYOUTS[1..2]);
    add(1450, 700, &[20], &LAYOUTS[2..3]);
    add(1410, 1411, &[33], &LAYOUTS[..1]);
    cases
}

fn rounded(x: f64, precision: Precision) -> f64 {
    let x = x as f32;
    f64::from(match precision {
        Precision::F32 => x,
        Precision::Tf32 => {
            let bits = x.to_bits();
            f32::from_bits((bits + 0xFFF + (bits >> 13 & 1)) & !0x1FFF)
        }
        Precision::Bf16 => half::bf16::from_f32(x).to_f32(),
    })
}

/// What rounding an operand changes it by at most, in proportion.
fn unit(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => 0.0,
        Precision::Tf32 => 2f64.powi(-11),
        Precision::Bf16 => 2f64.powi(-8),
    }
}

/// What left operands are multiplied by along k where they are made: the sum of two parts, powers
/// of two, so that nothing is rounded.
fn parts(k: usize) -> Vec<f64> {
    (0..2 * k).map(|i| [0.25, 0.5, 1.0][i % k % 3]).collect()
}

/// Rows of a tile of the plan, which is no tile of a contraction.
fn tile_size(m: usize) -> usize {
    m.div_ceil(3)
}

/// What a kernel leaves: the result, and if a loop took it the sums of its columns and rows.
struct Results {
    out: Id<Buffer>,
    /// Each with whether it is of columns.
    sums: Vec<(Id<Buffer>, bool)>,
}

/// A plan that grows, and where its buffers lie.
struct Growing {
    plan: Plan,
    data: Vec<Option<Vec<f64>>>,
}

impl Growing {
    fn axis(&mut self, size: usize) -> Id<Axis> {
        self.plan.axes.push(Axis {
            name: format!("axis{}", self.plan.axes.len()),
            size,
            kind: AxisKind::Feature,
        });
        Id::new(self.plan.axes.len() - 1)
    }

    fn buffer(
        &mut self,
        name: String,
        len: usize,
        storage: Storage,
        data: Option<Vec<f64>>,
    ) -> Id<Buffer> {
        let axes = vec![self.axis(len)];
        self.plan.buffers.push(Buffer {
            name,
            axes,
            len,
            storage,
        });
        self.data.push(data);
        Id::new(self.plan.buffers.len() - 1)
    }

    /// Working memory.
    fn inner(&mut self, name: String, axes: &[Id<Axis>]) -> Id<Buffer> {
        let len = axes
            .iter()
            .map(|axis| self.plan.axes[axis.index()].size)
            .product();
        let buffer = self.buffer(name, len, Storage::Arena(self.plan.arena), None);
        self.plan.arena += len;
        self.plan.buffers[buffer.index()].axes = axes.to_vec();
        buffer
    }

    /// A loop that makes max(0, x · scale) of each element of the left operand, and one that adds
    /// the parts of the scale.
    fn prologue(
        &mut self,
        name: &str,
        raw: Id<Buffer>,
        (row, along): (Id<Axis>, Id<Axis>),
    ) -> (Loop, Loop, Id<Buffer>) {
        let (m, k) = (
            self.plan.axes[row.index()].size,
            self.plan.axes[along.index()].size,
        );
        let tiles = self.axis(2);
        let given = self.buffer(
            format!("parts {name}"),
            2 * k,
            Storage::Input,
            Some(parts(k)),
        );
        let (scale, made) = (
            self.inner(format!("scale {name}"), &[along]),
            self.inner(format!("made {name}"), &[row, along]),
        );
        let access = |buffer, strides: [usize; 2]| Access {
            buffer,
            strides: strides.to_vec(),
            partial: 0,
            spans: Vec::new(),
        };
        let head = Loop {
            axes: vec![tiles, along],
            sizes: vec![2, k],
            tiled: false,
            instructions: vec![
                Instruction::Load(access(given, [k, 1])),
                Instruction::Reduce {
                    kind: ReduceKind::Sum,
                    value: 0,
                    access: access(scale, [0, 1]),
                },
            ],
        };
        let before = Loop {
            axes: vec![row, along],
            sizes: vec![m, k],
            tiled: true,
            instructions: vec![
                Instruction::Load(access(raw, [k, 1])),
                Instruction::Load(access(scale, [0, 1])),
                Instruction::Scalar(Scalar::Mul, vec![0, 1]),
                Instruction::Scalar(Scalar::Relu, vec![2]),
                Instruction::Store(3, access(made, [k, 1])),
            ],
        };
        (head, before, made)
    }

    /// A given operand, and the floats between neighbours across it and along k.
    fn operand(
        &mut self,
        name: &str,
        size: usize,
        k: usize,
        along_k: bool,
    ) -> (Id<Buffer>, usize, usize) {
        let buffer = self.buffer(
            name.to_string(),
            size * k,
            Storage::Input,
            Some(numbers(name, size * k, 1.0)),
        );
        let (across, along) = if along_k { (k, 1) } else { (1, size) };
        (buffer, across, along)
    }

    /// A kernel for the case.
    fn kernel(&mut self, number: usize, case: &Case) -> Results {
        let &Case {
            m,
            n,
            left_along_k,
            right_along_k,
            fused,
            ..
        } = case;
        let (row, across) = (self.axis(m), self.axis(n));
        let (mut products, mut head, mut before) = (Vec::new(), Vec::new(), Vec::new());
        for (part, &k) in case.k.iter().enumerate() {
            let (mut buffer, across, along) =
                self.operand(&format!("left{number}_{part}"), m, k, left_along_k);
            if case.made && left_along_k {
                let axis = self.axis(k);
                let (scale, loaded, made) =
                    self.prologue(&format!("{number}_{part}"), buffer, (row, axis));
                head.push(scale);
                before.push(loaded);
                buffer = made;
            }
            let left = Matrix {
                buffer,
                row_stride: across,
                column_stride: along,
            };
            let (buffer, across, along) =
                self.operand(&format!("right{number}_{part}"), n, k, right_along_k);
            products.push(Product {
                k,
                left,
                right: Matrix {
                    buffer,
                    row_stride: along,
                    column_stride: across,
                },
                windows: None,
            });
        }
        let place = if fused {
            Storage::Arena(self.plan.arena)
        } else {
            Storage::Output
        };
        self.plan.arena += if fused { m * n } else { 0 };
        let out = self.buffer(format!("sums{number}"), m * n, place, None);
        let (mut after, mut results) = (
            Vec::new(),
            Results {
                out,
                sums: Vec::new(),
            },
        );
        let tile = Tile {
            axis: row,
            length: m,
            size: tile_size(m),
            count: m.div_ceil(tile_size(m)),
        };
        let mut combine = None;
        if fused {
            let result = self.buffer(format!("out{number}"), m * n, Storage::Output, None);
            let column = self.buffer(
                format!("column{number}"),
                n,
                Storage::Input,
                Some(column(number, n)),
            );
            let tiles = self.axis(tile.count);
            let partial = self.inner(format!("partial{number}"), &[tiles, across]);
            let columns = self.buffer(format!("columns{number}"), n, Storage::Output, None);
            results = Results {
                out: result,
                sums: vec![(columns, true)],
            };
            // The lanes of a warp meet for each row, which takes an emulated GPU long.
            let few = m * n < 100_000;
            let rows = few.then(|| self.buffer(format!("rows{number}"), m, Storage::Output, None));
            results.sums.extend(rows.map(|rows| (rows, false)));
            let access = |buffer, strides: [usize; 2]| Access {
                buffer,
                strides: strides.to_vec(),
                partial: 0,
                spans: Vec::new(),
            };
            let sum = |access| Instruction::Reduce {
                kind: ReduceKind::Sum,
                value: 2,
                access,
            };
            combine = Some(Loop {
                axes: vec![tiles, across],
                sizes: vec![tile.count, n],
                tiled: false,
                instructions: vec![
                    Instruction::Load(access(partial, [n, 1])),
                    Instruction::Reduce {
                        kind: ReduceKind::Sum,
                        value: 0,
                        access: access(columns, [0, 1]),
                    },
                ],
            });
            after.push(Loop {
                axes: vec![row, across],
                sizes: vec![m, n],
                tiled: true,
                instructions: [
                    Instruction::Load(access(out, [n, 1])),
                    Instruction::Load(access(column, [0, 1])),
                    Instruction::Scalar(Scalar::Add, vec![0, 1]),
                    Instruction::Store(2, access(result, [n, 1])),
                    sum(Access {
                        partial: n,
                        ..access(partial, [0, 1])
                    }),
                ]
                .into_iter()
                .chain(rows.map(|rows| sum(access(rows, [1, 0]))))
                .collect(),
            });
        }
        let out = Matrix {
            buffer: out,
            row_stride: n,
            column_stride: 1,
        };
        let contraction = Some(Contraction {
            out,
            m,
            n,
            rows_per_index: 1,
            products,
        });
        let name = format!("k{number}_contract");
        let kernel = Kernel {
            name,
            origins: Vec::new(),
            setup: head,
            tile: Some(tile),
            prologue: before,
            contraction,
            epilogue: after,
        };
        self.plan.kernels.push(kernel);
        if let Some(combine) = combine {
            self.plan.kernels.push(Kernel {
                name: format!("k{number}_combine"),
                origins: Vec::new(),
                setup: vec![combine],
                tile: None,
                prologue: Vec::new(),
                contraction: None,
                epilogue: Vec::new(),
            });
        }
        results
    }
}

fn column(number: usize, n: usize) -> Vec<f64> {
    numbers(&format!("column{number}"), n, 1.0)
}

/// Compares the numbers with sums in double precision of the operands as they are, and as they are
/// rounded.
fn compare(number: usize, case: &Case, precision: Precision, found: &[f32]) {
    let (m, n) = (case.m, case.n);
    let column = column(number, n);
    let mut sums = vec![[0.0f64; 3]; m * n];
    for (part, &k) in case.k.iter().enumerate() {
        // By place, then k, with what each is rounded to.
        let operand = |side: &str, size: usize, along_k: bool| -> Vec<[f64; 2]> {
            let data = numbers(&format!("{side}{number}_{part}"), size * k, 1.0);
            let at = |place: usize, along: usize| {
                if along_k {
                    place * k + along
                } else {
                    along * size + place
                }
            };
            let made = side == "left" && case.made && case.left_along_k;
            let element = |i: usize| match rounded(data[at(i / k, i % k)], Precision::F32) {
                x if made => (x * 2.0 * parts(k)[i % k]).max(0.0),
                x => x,
            };
            (0..size * k)
                .map(|i| [element(i), rounded(element(i), precision)])
                .collect()
        };
        let left = operand("left", m, case.left_along_k);
        let right = operand("right", n, case.right_along_k);
        for (sums, left) in sums.chunks_mut(n).zip(left.chunks(k)) {
            for (sum, right) in sums.iter_mut().zip(right.chunks(k)) {
                for (a, b) in left.iter().zip(right) {
                    sum[0] += a[0] * b[0];
                    sum[1] += a[1] * b[1];
                    sum[2] += (a[0] * b[0]).abs();
                }
            }
        }
    }
    // A vector is multiplied in single precision where its rows go on along k, as one row does.
    let vector = n == 1 && (case.left_along_k || m == 1);
    let unit = if vector { 0.0 } else { unit(precision) };
    let additions = (case.k.iter().sum::<usize>() + 8) as f64 * 2f64.powi(-24);
    for (element, ([exact, expected, size], &found)) in sums.iter().zip(found).enumerate() {
        let added = if case.fused {
            f64::from(column[element % n] as f32)
        } else {
            0.0
        };
        let (found, size) = (f64::from(found), size + added.abs());
        let place = format!(
            "{case:?} in {precision}, element ({}, {})",
            element / n,
            element % n
        );
        let error = (found - exact - added).abs();
        assert!(
            error <= (2.0 * unit + unit * unit + additions) * size,
            "{place}: {found}, not {}",
            exact + added
        );
        // The roundings are to the nearest, of two the even one; only the sums' own error remains.
        let expected = if vector { exact } else { expected };
        let error = (found - expected - added).abs();
        assert!(
            error <= 1.01 * additions * size,
            "{place}: {found}, not {} of what was rounded",
            expected + added
        );
    }
}

fn check(precision: Precision, test: &str) {
    if !emulator::is_here(&format!("contraction::{test}")) {
        return;
    }
    let plan = Plan {
        axes: Vec::new(),
        parameters: Vec::new(),
        buffers: Vec::new(),
        kernels: Vec::new(),
        arena: 0,
    };
    let mut growing = Growing {
        plan,
        data: Vec::new(),
    };
    let cases = cases();
    let mut results = Vec::new();
    let mut shifts = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        results.push(growing.kernel(number, case));
        shifts.resize(growing.plan.buffers.len(), case.shift);
    }
    let Growing { plan, data } = growing;
    // They are made in the way that is to be tested.
    let text = emit::emit(&plan, "contractions", precision).text;
    let text = text
        .split(emit::BEGIN)
        .nth(1)
        .expect("a source has functions");
    let count = |part: &str| text.matches(part).count();
    let whole = |case: &&Case| case.k.iter().sum::<usize>() < 1000 && case.n > 1;
    let made = cases
        .iter()
        .filter(whole)
        .filter(|case| case.made && case.left_along_k);
    assert!(
        count(" = computed(") >= made.map(|case| case.k.len()).sum(),
        "operands are made as they are loaded"
    );
    let fused = cases.iter().filter(whole).filter(|case| case.fused).count();
    assert!(
        fused > 5 && count("column_reduce<Sum, Tile::N>") >= fused,
        "blocks sum columns"
    );
    assert!(count("column / 32") > 5, "warps sum rows");
    let mut device = backend::open(&Device::Cuda {
        nvrtc: None,
        precision,
    })
    .expect("an emulated GPU");
    let mut places = Vec::new();
    for ((buffer, data), shift) in plan.buffers.iter().zip(&data).zip(shifts) {
        places.push((!matches!(buffer.storage, Storage::Arena(_))).then(|| {
            let array = device.allocate(buffer.len + shift).expect("memory");
            if let Some(data) = data {
                let mut write = |to: &mut [f32]| {
                    to.iter_mut()
                        .zip(data)
                        .for_each(|(to, from)| *to = *from as f32)
                };
                device
                    .fill(array, shift, buffer.len, &mut write)
                    .expect("a copy");
            }
            backend::ArrayRange {
                array,
                offset: shift,
            }
        }));
    }
    let verified = VerifiedPlan::new(plan.clone()).expect("a plan that can be run");
    let program = device
        .load(&Build::new("contractions", verified), &places)
        .expect("a program");
    device
        .run(program, NoiseKey { seed: 0, step: 0 })
        .expect("a run");
    for (number, (case, result)) in cases.iter().zip(results).enumerate() {
        let Results { out, sums } = result;
        let place = places[out.index()].expect("a result has a place");
        let found = device
            .read(place.array, place.offset, case.m * case.n)
            .expect("numbers");
        compare(number, case, precision, &found);
        // The sums are of the very numbers that were found.
        let wanted = |of: &dyn Fn(usize) -> usize, count: usize| {
            let mut wanted = vec![(0.0f64, 0.0f64); count];
            for (element, &x) in found.iter().enumerate() {
                let (sum, size) = &mut wanted[of(element)];
                *sum += f64::from(x);
                *size += f64::from(x).abs();
            }
            wanted
        };
        for (buffer, of_columns) in sums {
            let (wanted, terms) = match of_columns {
                true => (wanted(&|element| element % case.n, case.n), case.m),
                false => (wanted(&|element| element / case.n, case.m), case.n),
            };
            let place = places[buffer.index()].expect("a result has a place");
            let found = device
                .read(place.array, place.offset, wanted.len())
                .expect("numbers");
            for (at, (&found, (sum, size))) in found.iter().zip(&wanted).enumerate() {
                let error = (f64::from(found) - sum).abs();
                let most = (terms + 8) as f64 * 2f64.powi(-24) * size;
                assert!(
                    error <= most,
                    "{case:?} in {precision}, sum {at} of {terms}: {found}, not {sum}"
                );
            }
        }
    }
}

#[test]
fn in_f32() {
    check(Precision::F32, "in_f32");
}

#[test]
fn in_tf32() {
    check(Precision::Tf32, "in_tf32");
}

#[test]
fn in_bf16() {
    check(Precision::Bf16, "in_bf16");
}
