//! Encoding x86-64 instructions: those of AVX-512 that work on sixteen floats, and the few others
//! that a loop needs. See Intel's Software Developer's Manual, volume 2, for the encodings.

/// A vector register, 0 to 31.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(pub u8);

/// A general register, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct General(pub u8);

pub const RAX: General = General(0);
pub const RCX: General = General(1);
pub const RDX: General = General(2);
pub const RBX: General = General(3);
pub const RSP: General = General(4);
pub const RBP: General = General(5);
pub const RSI: General = General(6);
pub const RDI: General = General(7);

/// A mask register, 1 to 7; 0 stands for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mask(pub u8);

pub const NO_MASK: Mask = Mask(0);

/// The last operand of a vector instruction.
#[derive(Clone, Copy, Debug)]
pub enum Operand {
    Register(Vector),
    /// What the instruction reads or writes, at base + index · 2 to a power.
    Memory {
        base: General,
        index: Option<(General, u8)>,
        displacement: i32,
    },
    /// One float for all elements.
    Broadcast {
        base: General,
        displacement: i32,
    },
    /// A constant for all elements.
    Constant(u32),
    /// Sixteen multiples of a number: 0, 1, 2 and so on times it.
    Multiples(u32),
}

/// A vector instruction: its opcode's map, mandatory prefix, width bit, and opcode.
#[derive(Clone, Copy, Debug)]
pub struct Opcode {
    map: u8,
    prefix: u8,
    wide: bool,
    code: u8,
}

const fn opcode(map: u8, prefix: u8, code: u8) -> Opcode {
    Opcode {
        map,
        prefix,
        wide: false,
        code,
    }
}

pub const VMOVUPS: Opcode = opcode(1, 0, 0x10);
pub const VMOVUPS_STORE: Opcode = opcode(1, 0, 0x11);
pub const VMOVAPS: Opcode = opcode(1, 0, 0x28);
pub const VMOVSS: Opcode = opcode(1, 2, 0x10);
pub const VMOVSS_STORE: Opcode = opcode(1, 2, 0x11);
pub const VBROADCASTSS: Opcode = opcode(2, 1, 0x18);
pub const VADDPS: Opcode = opcode(1, 0, 0x58);
pub const VADDSS: Opcode = opcode(1, 2, 0x58);
pub const VMULPS: Opcode = opcode(1, 0, 0x59);
pub const VSUBPS: Opcode = opcode(1, 0, 0x5C);
pub const VMINPS: Opcode = opcode(1, 0, 0x5D);
pub const VDIVPS: Opcode = opcode(1, 0, 0x5E);
pub const VMAXPS: Opcode = opcode(1, 0, 0x5F);
pub const VMAXSS: Opcode = opcode(1, 2, 0x5F);
pub const VSQRTPS: Opcode = opcode(1, 0, 0x51);
pub const VPANDD: Opcode = opcode(1, 1, 0xDB);
pub const VPORD: Opcode = opcode(1, 1, 0xEB);
pub const VPXORD: Opcode = opcode(1, 1, 0xEF);
pub const VPADDD: Opcode = opcode(1, 1, 0xFE);
pub const VPSUBD: Opcode = opcode(1, 1, 0xFA);
/// A shift by a constant: the result is the middle operand, and the register operand the number 4
/// for a shift to the right that keeps the sign, 6 for one to the left.
pub const SHIFT: Opcode = opcode(1, 1, 0x72);
/// Reads 16-bit numbers to the lower halves of elements.
pub const VPMOVZXWD: Opcode = opcode(2, 1, 0x33);
/// Writes the lower halves of elements.
pub const VPMOVDW: Opcode = opcode(2, 2, 0x33);
pub const VCVTDQ2PS: Opcode = opcode(1, 0, 0x5B);
pub const VRNDSCALEPS: Opcode = opcode(3, 1, 0x08);
pub const VSCALEFPS: Opcode = opcode(2, 1, 0x2C);
pub const VCMPPS: Opcode = opcode(1, 0, 0xC2);
pub const VBLENDMPS: Opcode = opcode(2, 1, 0x65);
pub const VFMADD132PS: Opcode = opcode(2, 1, 0x98);
pub const VFMADD213PS: Opcode = opcode(2, 1, 0xA8);
pub const VFMADD231PS: Opcode = opcode(2, 1, 0xB8);
pub const VSHUFF32X4: Opcode = opcode(3, 1, 0x23);
pub const VPERMILPS: Opcode = opcode(3, 1, 0x04);

/// A place in the code to jump to.
#[derive(Clone, Copy, Debug)]
pub struct Label(usize);

/// The condition of a jump, by its number.
#[derive(Clone, Copy, Debug)]
pub enum Condition {
    Below = 0x2,
    AboveOrEqual = 0x3,
    Zero = 0x4,
    NotZero = 0x5,
}

/// Code, and constants that follow it.
#[derive(Default)]
pub struct Assembler {
    code: Vec<u8>,
    constants: Vec<Vec<u32>>,
    /// Displacements of constants: where, up to where they count, and the constant's number.
    references: Vec<(usize, usize, usize)>,
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

/// Whether a register's number has a bit.
fn bit(number: u8, place: u8) -> u8 {
    (number >> place) & 1
}

impl Assembler {
    /// A vector instruction on sixteen floats: `register` and `middle` are the first two operands
    /// (0 where there is none). With a mask, elements that it lacks become 0 (`zero`), or stay.
    pub fn vector(
        &mut self,
        opcode: Opcode,
        (register, middle, last): (u8, u8, Operand),
        (mask, zero): (Mask, bool),
        immediate: Option<u8>,
    ) {
        let (base, index, broadcast) = match last {
            Operand::Register(Vector(number)) => (number, bit(number, 4) << 3, false),
            Operand::Memory { base, index, .. } => {
                (base.0, index.map_or(0, |(General(index), _)| index), false)
            }
            Operand::Broadcast { base, .. } => (base.0, 0, true),
            Operand::Constant(_) => (5, 0, true),
            Operand::Multiples(_) => (5, 0, false),
        };
        // `vbroadcastss` reads one float by itself.
        let broadcast = broadcast && opcode.code != VBROADCASTSS.code;
        let inverted = |bit: u8| bit ^ 1;
        self.code.push(0x62);
        self.code.push(
            inverted(bit(register, 3)) << 7
                | inverted(bit(index, 3)) << 6
                | inverted(bit(base, 3)) << 5
                | inverted(bit(register, 4)) << 4
                | opcode.map,
        );
        let wide = u8::from(opcode.wide);
        self.code
            .push(wide << 7 | (!middle & 0xF) << 3 | 1 << 2 | opcode.prefix);
        self.code.push(
            u8::from(zero) << 7
                | 0b10 << 5
                | u8::from(broadcast) << 4
                | inverted(bit(middle, 4)) << 3
                | mask.0,
        );
        self.code.push(opcode.code);
        let register = (register & 7) << 3;
        match last {
            Operand::Register(Vector(number)) => self.code.push(0xC0 | register | (number & 7)),
            Operand::Memory {
                base,
                index,
                displacement,
            } => self.memory(register, base, index, displacement),
            Operand::Broadcast { base, displacement } => {
                self.memory(register, base, None, displacement);
            }
            Operand::Constant(bits) => self.constant(register, vec![bits], immediate.is_some()),
            Operand::Multiples(factor) => {
                let multiples = (0..16).map(|number| factor.wrapping_mul(number));
                self.constant(register, multiples.collect(), immediate.is_some());
            }
        }
        self.code.extend(immediate);
    }

    /// The bytes that name a constant, for an instruction that perhaps ends with another byte.
    fn constant(&mut self, register: u8, constant: Vec<u32>, has_immediate: bool) {
        self.code.push(register | 5);
        let known = self.constants.iter().position(|other| *other == constant);
        let number = known.unwrap_or_else(|| {
            self.constants.push(constant);
            self.constants.len() - 1
        });
        let place = self.code.len();
        let end = place + 4 + usize::from(has_immediate);
        self.references.push((place, end, number));
        self.code.extend([0; 4]);
    }

    /// Reads the elements of a mask, each at its index in floats from a place, and clears the mask.
    /// Other elements stay.
    pub fn gather(&mut self, to: Vector, base: General, index: Vector, mask: Mask) {
        let inverted = |bit: u8| bit ^ 1;
        self.code.extend([
            0x62,
            inverted(bit(to.0, 3)) << 7
                | inverted(bit(index.0, 3)) << 6
                | inverted(bit(base.0, 3)) << 5
                | inverted(bit(to.0, 4)) << 4
                | 2,
            0xF << 3 | 1 << 2 | 1,
            0b10 << 5 | inverted(bit(index.0, 4)) << 3 | mask.0,
            0x92,
        ]);
        self.memory((to.0 & 7) << 3, base, Some((General(index.0), 2)), 0);
    }

    /// Sets all elements of a mask.
    pub fn fill_mask(&mut self, Mask(mask): Mask) {
        let operands = 0xC0 | mask << 3 | mask;
        self.code
            .extend([0xC5, 0x84 | (!mask & 0xF) << 3, 0x46, operands]);
    }

    pub fn copy_mask(&mut self, to: Mask, from: Mask) {
        self.code
            .extend([0xC5, 0xF8, 0x90, 0xC0 | to.0 << 3 | from.0]);
    }

    /// The bytes that name memory, with a displacement of four bytes.
    fn memory(
        &mut self,
        register: u8,
        base: General,
        index: Option<(General, u8)>,
        displacement: i32,
    ) {
        match index {
            None if base.0 & 7 != RSP.0 => self.code.push(0x80 | register | (base.0 & 7)),
            _ => {
                // The number of RSP as an index stands for none.
                let (index, scale) = index.map_or((RSP.0, 0), |(index, scale)| (index.0, scale));
                self.code.push(0x80 | register | 4);
                self.code.push(scale << 6 | (index & 7) << 3 | (base.0 & 7));
            }
        }
        self.code.extend(displacement.to_le_bytes());
    }

    /// An instruction on 64-bit registers: `code`, the register or the opcode's further digits, and
    /// the operand in memory.
    fn general(&mut self, code: u8, register: u8, base: General, displacement: i32) {
        self.code
            .extend([0x48 | bit(register, 3) << 2 | bit(base.0, 3), code]);
        self.memory((register & 7) << 3, base, None, displacement);
    }

    /// The same on two registers.
    fn registers(&mut self, code: u8, register: u8, other: General) {
        let prefix = 0x48 | bit(register, 3) << 2 | bit(other.0, 3);
        let operands = 0xC0 | (register & 7) << 3 | (other.0 & 7);
        self.code.extend([prefix, code, operands]);
    }

    /// Reads a register from memory.
    pub fn load(&mut self, register: General, base: General, displacement: i32) {
        self.general(0x8B, register.0, base, displacement);
    }

    /// Adds a number to 64 bits in memory.
    pub fn add_to_memory(&mut self, base: General, displacement: i32, number: i32) {
        self.general(0x81, 0, base, displacement);
        self.code.extend(number.to_le_bytes());
    }

    /// Adds a number in memory to a register.
    pub fn add_from_memory(&mut self, register: General, base: General, displacement: i32) {
        self.general(0x03, register.0, base, displacement);
    }

    /// Sets a register to the product of another and a number.
    pub fn multiply(&mut self, to: General, from: General, number: i32) {
        self.registers(0x69, to.0, from);
        self.code.extend(number.to_le_bytes());
    }

    pub fn copy(&mut self, to: General, from: General) {
        self.registers(0x89, from.0, to);
    }

    pub fn add(&mut self, register: General, number: i32) {
        self.registers(0x81, 0, register);
        self.code.extend(number.to_le_bytes());
    }

    pub fn and(&mut self, register: General, number: i32) {
        self.registers(0x81, 4, register);
        self.code.extend(number.to_le_bytes());
    }

    pub fn compare(&mut self, register: General, other: General) {
        self.registers(0x39, other.0, register);
    }

    pub fn clear(&mut self, register: General) {
        self.registers(0x31, register.0, register);
    }

    pub fn set(&mut self, register: General, number: i32) {
        self.registers(0xC7, 0, register);
        self.code.extend(number.to_le_bytes());
    }

    /// Shifts a register left by the number in `RCX`.
    pub fn shift_left(&mut self, register: General) {
        self.registers(0xD3, 4, register);
    }

    /// Sets a mask to the low sixteen bits of `RAX`.
    pub fn set_mask(&mut self, mask: Mask) {
        self.code.extend([0xC5, 0xF8, 0x92, 0xC0 | mask.0 << 3]);
    }

    /// Compares a mask with 0.
    pub fn test_mask(&mut self, mask: Mask) {
        self.code
            .extend([0xC5, 0xF8, 0x98, 0xC0 | mask.0 << 3 | mask.0]);
    }

    pub fn push(&mut self, register: General) {
        self.code
            .extend([0x40 | bit(register.0, 3), 0x50 | (register.0 & 7)]);
    }

    pub fn pop(&mut self, register: General) {
        self.code
            .extend([0x40 | bit(register.0, 3), 0x58 | (register.0 & 7)]);
    }

    /// Ends the function: clears the upper parts of vector registers and returns.
    pub fn end(&mut self) {
        self.code.extend([0xC5, 0xF8, 0x77, 0xC3]);
    }

    /// A new label, to be placed once.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    pub fn jump(&mut self, condition: Condition, label: Label) {
        self.code.extend([0x0F, 0x80 | condition as u8]);
        self.jumps.push((self.code.len(), label));
        self.code.extend([0; 4]);
    }

    /// The code with its constants behind it.
    pub fn finish(mut self) -> Vec<u8> {
        for (place, label) in self.jumps {
            let target = self.labels[label.0].expect("each label is placed");
            let distance = target as i32 - (place as i32 + 4);
            self.code[place..place + 4].copy_from_slice(&distance.to_le_bytes());
        }
        let mut places = Vec::new();
        for constant in &self.constants {
            let alignment = 4 * constant.len();
            self.code
                .resize(self.code.len().next_multiple_of(alignment), 0xCC);
            places.push(self.code.len());
            let bytes = constant.iter().flat_map(|bits| bits.to_le_bytes());
            self.code.extend(bytes);
        }
        for (place, end, constant) in self.references {
            let distance = places[constant] as i32 - end as i32;
            self.code[place..place + 4].copy_from_slice(&distance.to_le_bytes());
        }
        self.code
    }
}
