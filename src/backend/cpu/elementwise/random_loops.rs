//! Random loops in native code, against the same loops as steps: their results have the same bits.

use super::{
    super::{
        isa::Isa,
        memory::{Element, Floats, Place},
        tile::TileRange,
    },
    Nest, Scratch, native,
};
use crate::{
    backend::NoiseKey,
    id::Id,
    plan::{Access, Instruction, Loop, Tile},
    tensor::{NoiseKind, ReduceKind, Scalar, scalar_table},
};

/// Small whole numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn among<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len())]
    }
}

/// Floats of each buffer.
const LEN: usize = 20_000;

/// A loop, and the buffers that it writes: the others hold its inputs.
struct Case {
    nest: Loop,
    tile: Tile,
    buffers: usize,
    /// The buffers of bf16.
    halves: Vec<usize>,
}

/// The most axes of a loop.
const AXES: usize = 5;

/// A loop over rows, perhaps further axes, and an innermost axis.
fn random_case(random: &mut Random) -> Case {
    let mut sizes = vec![random.among(&[1, 3, 7])];
    for _ in 0..random.among(&[0, 1, 1, 3]) {
        sizes.push(random.among(&[1, 2, 2, 5, 14]));
    }
    sizes.push(match sizes.len() {
        ..3 => random.among(&[1, 7, 10, 16, 31, 100, 130, 500, 1100]),
        _ => random.among(&[1, 7, 16, 32]),
    });
    if sizes.iter().product::<usize>() > LEN / 2 {
        sizes[0] = 1;
        sizes.truncate(2);
    }
    let mut case = Case {
        tile: Tile {
            axis: Id::new(0),
            length: sizes[0],
            size: 2,
            count: sizes[0].div_ceil(2),
        },
        nest: Loop {
            axes: (0..sizes.len()).map(Id::new).collect(),
            sizes,
            tiled: true,
            instructions: Vec::new(),
        },
        buffers: 0,
        halves: Vec::new(),
    };
    let mut values = Vec::new();
    for _ in 0..1 + random.below(6) {
        let instruction = match random.below(12) {
            0 => Instruction::Constant(random.below(9) as f64 * 0.5 - 2.0),
            1 => Instruction::Noise {
                stream: 5,
                kind: random.among(&[NoiseKind::Normal, NoiseKind::Uniform]),
                access: case.access(&[true; AXES], false),
            },
            2 => Instruction::Position(random.below(case.nest.sizes.len())),
            3 => Instruction::Load(case.transposed()),
            6 | 7 => Instruction::Load(case.shuffled(random)),
            4 => {
                case.halves.push(case.buffers);
                Instruction::Load(case.access(&[true; AXES], false))
            }
            _ => {
                let axes = [(); AXES].map(|()| random.below(3) > 0);
                Instruction::Load(case.access(&axes, false))
            }
        };
        values.push(case.push(instruction));
    }
    let scalars: Vec<(Scalar, usize)> = scalar_table()
        .iter()
        .map(|row| (row.scalar, row.arity))
        .filter(|(scalar, _)| native::has_code(*scalar) || *scalar == Scalar::Cos)
        .collect();
    for _ in 0..1 + random.below(40) {
        let instruction = match random.below(20) {
            0 => {
                if random.below(2) == 0 {
                    case.halves.push(case.buffers);
                    Instruction::Store(random.among(&values), case.access(&[true; AXES], false))
                } else {
                    Instruction::Store(random.among(&values), case.shuffled(random))
                }
            }
            // Each tile has its own results.
            1 => {
                let axes = [(); AXES].map(|()| random.below(2) == 0);
                let by_row = axes[0];
                Instruction::Reduce {
                    kind: random.among(&[ReduceKind::Sum, ReduceKind::Max]),
                    value: random.among(&values),
                    access: case.access(&axes, !by_row),
                }
            }
            2 => Instruction::OneHot(random.among(&values), random.below(case.nest.sizes.len())),
            _ => {
                let (scalar, arity) = random.among(&scalars);
                let recent = &values[values.len().saturating_sub(random.among(&[3, 30]))..];
                let operands = (0..arity).map(|_| random.among(recent)).collect();
                Instruction::Scalar(scalar, operands)
            }
        };
        let has_value = !matches!(
            instruction,
            Instruction::Store(..) | Instruction::Reduce { .. }
        );
        let number = case.push(instruction);
        if has_value {
            values.push(number);
        }
    }
    let last = Instruction::Store(values[values.len() - 1], case.access(&[true; AXES], false));
    case.push(last);
    case
}

impl Case {
    fn push(&mut self, instruction: Instruction) -> usize {
        self.nest.instructions.push(instruction);
        self.nest.instructions.len() - 1
    }

    /// A new buffer that has the axes in another order.
    fn transposed(&mut self) -> Access {
        let mut access = self.access(&[true; AXES], false);
        let last = access.strides.len() - 1;
        access.strides[last] = self.nest.sizes[0];
        access.strides[0] = 1;
        access
    }

    /// A new buffer that has the axes before the innermost in any order, as windows of an image do.
    fn shuffled(&mut self, random: &mut Random) -> Access {
        let mut access = self.access(&[true; AXES], false);
        let mut order: Vec<usize> = (0..self.nest.sizes.len() - 1).collect();
        let mut len = self.nest.sizes[order.len()];
        while !order.is_empty() {
            let axis = order.swap_remove(random.below(order.len()));
            access.strides[axis] = len;
            len *= self.nest.sizes[axis];
        }
        access
    }

    /// A new buffer that has some of the axes, and of which each tile perhaps has a part.
    fn access(&mut self, has_axis: &[bool; AXES], by_tile: bool) -> Access {
        let mut strides = vec![0; self.nest.sizes.len()];
        let mut len = 1;
        for axis in (0..strides.len()).rev() {
            if has_axis[axis] {
                strides[axis] = len;
                len *= self.nest.sizes[axis];
            }
        }
        self.buffers += 1;
        Access {
            buffer: Id::new(self.buffers - 1),
            strides,
            partial: if by_tile { len } else { 0 },
            spans: Vec::new(),
        }
    }

    /// All buffers after a run, and whether it was native code, which it is only if allowed.
    fn run(&self, isa: Isa, allowed: bool) -> (Vec<u32>, bool) {
        let mut floats = Floats::new(self.buffers * LEN).expect("memory for a few buffers");
        for (number, float) in floats.slice_mut().iter_mut().enumerate() {
            *float = ((number * 7919 + number / LEN) % 2003) as f32 * 0.01 - 10.0;
        }
        let place = |buffer: usize| Place {
            // SAFETY: the array has a part for each buffer.
            address: unsafe { floats.address().add(buffer * LEN) },
            element: match self.halves.contains(&buffer) {
                true => Element::Bf16,
                false => Element::F32,
            },
        };
        let places: Vec<Place> = (0..self.buffers).map(place).collect();
        let new = if allowed { Nest::new } else { Nest::with_steps };
        let nest = new(&self.nest, Some(self.tile), &places, isa);
        let nest = nest.expect("the loop is supported");
        let mut scratch = Scratch::default();
        scratch.reserve(nest.needs()).expect("memory for a tape");
        let key = NoiseKey { seed: 3, step: 4 };
        for number in 0..self.tile.count {
            // SAFETY: every buffer has room for what the loop accesses, and this is the only thread.
            unsafe { nest.run(TileRange::new(self.tile, number), key, &mut scratch) };
        }
        let bits = |float: &f32| match float.is_nan() {
            true => f32::NAN.to_bits(),
            false => float.to_bits(),
        };
        let bits = floats.slice().iter().map(bits).collect();
        (bits, nest.has_native_code())
    }
}

#[test]
fn native_code_gives_the_bits_of_steps() {
    let vectors: Vec<Isa> = Isa::all()
        .into_iter()
        .filter(|&isa| isa != Isa::Portable)
        .collect();
    let Some(&last) = vectors.last() else {
        println!("SKIPPED: the CPU lacks AVX2");
        return;
    };
    for &isa in &vectors {
        let mut random = Random(1);
        let mut native_count = 0;
        for number in 0..400 {
            let case = random_case(&mut random);
            let (native, is_native) = case.run(isa, true);
            let (steps, _) = case.run(last, false);
            native_count += usize::from(is_native);
            let differs = native.iter().zip(&steps).position(|(x, y)| x != y);
            if let Some(place) = differs {
                panic!(
                    "case {number}, {isa:?}: {} instead of {} at {} of buffer {} in {:#?}",
                    f32::from_bits(native[place]),
                    f32::from_bits(steps[place]),
                    place % LEN,
                    place / LEN,
                    case.nest
                );
            }
        }
        assert!(
            native_count > 300,
            "{native_count} loops have native code for {isa:?}"
        );
    }
}
