//! The instructions of AVX-512: registers of sixteen floats, and masks.

use super::{
    super::super::memory::Element,
    assembler::{
        self as asm, Condition, Label, Mask, NO_MASK, Opcode, Operand, RAX, Vector, VectorEncoding,
    },
    compile::{Compiler, Target},
};

/// The mask of the elements that are left at the end of a row, and one for comparisons.
const REST: Mask = Mask(7);
const HOLDS: Mask = Mask(1);
/// The mask of elements to gather.
const GATHERED: Mask = Mask(2);

pub struct Avx512Target;

impl Compiler<'_, Avx512Target> {
    fn emit_masked(
        &mut self,
        opcode: Opcode,
        (to, middle, last): (Vector, Option<Vector>, Operand),
        mask: (Mask, bool),
    ) {
        let middle = middle.map_or(0, |Vector(number)| number);
        self.assembler
            .masked(opcode, (to.0, middle, last), mask, None);
    }

    /// The mask of the elements that are left.
    fn left(&self) -> Mask {
        if self.is_rest { REST } else { NO_MASK }
    }
}

impl Target for Avx512Target {
    const ENCODING: VectorEncoding = VectorEncoding::Evex;
    const REGISTERS: usize = 32;
    const LANES: usize = 16;
    const PLACES: usize = 0;

    /// The mask has as many bits as elements are left.
    fn begin(compiler: &mut Compiler<Self>) {
        let code = &mut compiler.assembler;
        code.set(RAX, 1);
        code.shift_left(RAX);
        code.add(RAX, -1);
        code.set_mask(REST);
    }

    fn skip_rest(compiler: &mut Compiler<Self>, _part: usize, label: Label) {
        let code = &mut compiler.assembler;
        code.test_mask(REST);
        code.jump(Condition::Zero, label);
    }

    fn load(compiler: &mut Compiler<Self>, to: Vector, memory: Operand, element: Element) {
        let mask = (compiler.left(), compiler.is_rest);
        match element {
            Element::F32 => compiler.emit_masked(asm::VMOVUPS, (to, None, memory), mask),
            Element::Bf16 => {
                compiler.emit_masked(asm::VPMOVZXWD, (to, None, memory), mask);
                let operands = (asm::LEFT, Some(to), Operand::Register(to));
                compiler.emit_with(asm::SHIFT, operands, Some(16));
            }
        }
    }

    fn store(compiler: &mut Compiler<Self>, from: Vector, memory: Operand, element: Element) {
        let opcode = match element {
            Element::F32 => asm::VMOVUPS_STORE,
            Element::Bf16 => asm::VPMOVDW,
        };
        let mask = (compiler.left(), false);
        compiler.emit_masked(opcode, (from, None, memory), mask);
    }

    fn gather(compiler: &mut Compiler<Self>, to: Vector, distance: usize) {
        let index = compiler.temporary();
        let series = Operand::Series(0, distance as u32);
        compiler.emit(asm::VMOVUPS, index, None, series);
        compiler.emit(asm::VPXORD, to, Some(to), Operand::Register(to));
        let code = &mut compiler.assembler;
        match compiler.is_rest {
            true => code.copy_mask(GATHERED, REST),
            false => code.fill_mask(GATHERED),
        }
        code.gather(to, RAX, index, GATHERED);
        compiler.give_back(index);
    }

    fn add(compiler: &mut Compiler<Self>, lanes: Vector, x: Operand) {
        let mask = (compiler.left(), false);
        compiler.emit_masked(asm::VADDPS, (lanes, Some(lanes), x), mask);
    }

    fn replace(compiler: &mut Compiler<Self>, lanes: Vector, x: Vector) {
        let mask = (compiler.left(), false);
        compiler.emit_masked(asm::VMOVAPS, (lanes, None, Operand::Register(x)), mask);
    }

    fn maximum(compiler: &mut Compiler<Self>, to: Vector, x: Vector, y: Vector) {
        compiler.emit(asm::VMAXPS, to, Some(y), Operand::Register(x));
        Self::compare(compiler, asm::IS_NAN, y, Operand::Register(y));
        let operands = (to, None, Operand::Register(y));
        compiler.emit_masked(asm::VMOVAPS, operands, (HOLDS, false));
    }

    fn compare(compiler: &mut Compiler<Self>, predicate: u8, x: Vector, y: Operand) -> Vector {
        let holds = Vector(HOLDS.0);
        compiler.emit_with(asm::VCMPPS, (holds, Some(x), y), Some(predicate));
        holds
    }

    fn choose(
        compiler: &mut Compiler<Self>,
        to: Vector,
        _holds: Vector,
        (yes, no): (Operand, Option<Vector>),
    ) {
        if no.is_some() {
            return compiler.emit_masked(asm::VBLENDMPS, (to, no, yes), (HOLDS, false));
        }
        let opcode = match yes {
            Operand::Constant(_) | Operand::Broadcast { .. } => asm::VBROADCASTSS,
            Operand::Memory { .. } | Operand::Series(..) => asm::VMOVUPS,
            Operand::Register(_) => asm::VMOVAPS,
        };
        compiler.emit_masked(opcode, (to, None, yes), (HOLDS, true));
    }

    fn shuffles(from: Vector) -> Vec<(Opcode, Option<Vector>, u8)> {
        vec![
            (asm::VSHUFF32X4, Some(from), 0x4E),
            (asm::VSHUFF32X4, Some(from), 0xB1),
            (asm::VPERMILPS, None, 0x4E),
            (asm::VPERMILPS, None, 0xB1),
        ]
    }
}
