//! The instructions of AVX2: registers of eight floats, which also serve as masks.
//!
//! There are no masked instructions but loads and stores of floats. bf16 at the end of a row is read and
//! written one number at a time.

use super::{
    super::super::memory::Element,
    assembler::{
        self as asm, Condition, General, Label, Opcode, Operand, RAX, RCX, RSP, Vector,
        VectorEncoding,
    },
    compile::{Compiler, Target},
};

/// Elements of a register.
const LANES: usize = 8;
/// Where the stack has the number of elements that are left at the end of a row, in bytes. Before it
/// are the masks of the elements that are left in each part.
const COUNT: i32 = (2 * LANES * size_of::<f32>()) as i32;

pub struct Avx2Target;

impl Compiler<'_, Avx2Target> {
    /// The mask of the elements that are left in this part, in a temporary register.
    fn left(&mut self) -> Vector {
        let mask = self.temporary();
        let place = Self::stack(self.part);
        self.emit(asm::VMOVUPS, mask, None, place);
        mask
    }

    /// Code for each of the part's elements that are left: an instruction with the element's number,
    /// and the memory of the bf16 there.
    fn each_left(&mut self, memory: Operand, instruction: impl Fn(&mut Self, u8, Operand)) {
        let end = self.assembler.label();
        for lane in 0..LANES {
            let number = self.part * LANES + lane;
            let code = &mut self.assembler;
            code.compare_memory(RSP, COUNT, number as i32 + 1);
            code.jump(Condition::Below, end);
            instruction(self, lane as u8, memory.after(lane * Element::Bf16.bytes()));
        }
        self.assembler.place(end);
    }
}

impl Target for Avx2Target {
    const ENCODING: VectorEncoding = VectorEncoding::Vex;
    const REGISTERS: usize = 16;
    const LANES: usize = LANES;
    const PLACES: usize = 3;

    fn begin(compiler: &mut Compiler<Self>) {
        let (count, mask) = (Vector(0), Vector(1));
        compiler.assembler.store(RCX, RSP, COUNT);
        let from = Operand::Broadcast {
            base: RSP,
            displacement: COUNT,
        };
        compiler.emit(asm::VBROADCASTSS, count, None, from);
        for part in 0..2 {
            let numbers = Operand::Series((part * LANES) as u32, 1);
            compiler.emit(asm::VPCMPGTD, mask, Some(count), numbers);
            let place = Compiler::<Self>::stack(part);
            compiler.emit(asm::VMOVUPS_STORE, mask, None, place);
        }
    }

    fn skip_rest(compiler: &mut Compiler<Self>, part: usize, label: Label) {
        let code = &mut compiler.assembler;
        code.compare_memory(RSP, COUNT, (part * LANES) as i32 + 1);
        code.jump(Condition::Below, label);
    }

    fn load(compiler: &mut Compiler<Self>, to: Vector, memory: Operand, element: Element) {
        match (element, compiler.is_rest) {
            (Element::F32, false) => compiler.emit(asm::VMOVUPS, to, None, memory),
            (Element::F32, true) => {
                let mask = compiler.left();
                compiler.emit(asm::VMASKMOVPS, to, Some(mask), memory);
                compiler.give_back(mask);
            }
            (Element::Bf16, is_rest) => {
                if is_rest {
                    compiler.emit(asm::VPXORD, to, Some(to), Operand::Register(to));
                    compiler.each_left(memory, |compiler, lane, memory| {
                        compiler.emit_with(asm::VPINSRW, (to, Some(to), memory), Some(lane));
                    });
                }
                let from = if is_rest {
                    Operand::Register(to)
                } else {
                    memory
                };
                compiler.emit(asm::VPMOVZXWD, to, None, from);
                let operands = (asm::LEFT, Some(to), Operand::Register(to));
                compiler.emit_with(asm::SHIFT, operands, Some(16));
            }
        }
    }

    fn store(compiler: &mut Compiler<Self>, from: Vector, memory: Operand, element: Element) {
        match (element, compiler.is_rest) {
            (Element::F32, false) => compiler.emit(asm::VMOVUPS_STORE, from, None, memory),
            (Element::F32, true) => {
                let mask = compiler.left();
                compiler.emit(asm::VMASKMOVPS_STORE, from, Some(mask), memory);
                compiler.give_back(mask);
            }
            (Element::Bf16, is_rest) => {
                // Narrowing clamps to 16 bits, so the others are cleared.
                let (low, high) = (compiler.temporary(), compiler.temporary());
                compiler.emit(asm::VPANDD, low, Some(from), Operand::Constant(0xFFFF));
                let operands = (low, None, Operand::Register(high));
                compiler.emit_with(asm::VEXTRACTF128, operands, Some(1));
                compiler.emit(asm::VPACKUSDW, low, Some(low), Operand::Register(high));
                if is_rest {
                    compiler.each_left(memory, |compiler, lane, memory| {
                        compiler.emit_with(asm::VPEXTRW, (low, None, memory), Some(lane));
                    });
                } else {
                    compiler.emit_with(asm::VEXTRACTF128, (low, None, memory), Some(0));
                }
                compiler.give_back(low);
                compiler.give_back(high);
            }
        }
    }

    fn gather(compiler: &mut Compiler<Self>, to: Vector, distance: usize) {
        let index = compiler.temporary();
        let mask = match compiler.is_rest {
            true => compiler.left(),
            false => {
                let mask = compiler.temporary();
                compiler.emit(asm::VPCMPEQD, mask, Some(mask), Operand::Register(mask));
                mask
            }
        };
        let series = Operand::Series(0, distance as u32);
        compiler.emit(asm::VMOVUPS, index, None, series);
        compiler.emit(asm::VPXORD, to, Some(to), Operand::Register(to));
        let first = compiler.part * LANES * distance * size_of::<f32>();
        let memory = Operand::Memory {
            base: RAX,
            index: Some((General(index.0), 2)),
            displacement: first as i32,
        };
        compiler.emit(asm::VGATHERDPS, to, Some(mask), memory);
        compiler.give_back(index);
        compiler.give_back(mask);
    }

    /// A sum that began with 0 is never −0, so 0 does not change it.
    fn add(compiler: &mut Compiler<Self>, lanes: Vector, x: Operand) {
        if !compiler.is_rest {
            return compiler.emit(asm::VADDPS, lanes, Some(lanes), x);
        }
        let mask = compiler.left();
        compiler.emit(asm::VANDPS, mask, Some(mask), x);
        compiler.emit(asm::VADDPS, lanes, Some(lanes), Operand::Register(mask));
        compiler.give_back(mask);
    }

    fn replace(compiler: &mut Compiler<Self>, lanes: Vector, x: Vector) {
        let x = Operand::Register(x);
        if !compiler.is_rest {
            return compiler.emit(asm::VMOVAPS, lanes, None, x);
        }
        let mask = compiler.left();
        Self::choose(compiler, lanes, mask, (x, Some(lanes)));
    }

    fn maximum(compiler: &mut Compiler<Self>, to: Vector, x: Vector, y: Vector) {
        compiler.emit(asm::VMAXPS, to, Some(y), Operand::Register(x));
        let is_nan = Self::compare(compiler, asm::IS_NAN, y, Operand::Register(y));
        Self::choose(compiler, to, is_nan, (Operand::Register(y), Some(to)));
    }

    fn compare(compiler: &mut Compiler<Self>, predicate: u8, x: Vector, y: Operand) -> Vector {
        let holds = compiler.temporary();
        compiler.emit_with(asm::VCMPPS, (holds, Some(x), y), Some(predicate));
        holds
    }

    /// Gives the register of `compare` back.
    fn choose(
        compiler: &mut Compiler<Self>,
        to: Vector,
        holds: Vector,
        (yes, no): (Operand, Option<Vector>),
    ) {
        match no {
            None => compiler.emit(asm::VANDPS, to, Some(holds), yes),
            // The last operand is in the immediate.
            Some(_) => {
                compiler.emit_with(asm::VBLENDVPS, (to, no, yes), Some(holds.0 << 4));
            }
        }
        compiler.give_back(holds);
    }

    fn shuffles(from: Vector) -> Vec<(Opcode, Option<Vector>, u8)> {
        vec![
            (asm::VPERM2F128, Some(from), 0x01),
            (asm::VPERMILPS, None, 0x4E),
            (asm::VPERMILPS, None, 0xB1),
        ]
    }
}
