//! Encoding x86-64 instructions: those of AVX-512 that work on sixteen floats or those of AVX2 that
//! work on eight, and the few others that a loop needs. See Intel's Software Developer's Manual,
//! volume 2, for the encodings.

/// How vector instructions are encoded, and so how many floats they work on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VectorEncoding {
    /// AVX-512: sixteen floats, 32 registers and masks.
    Evex,
    /// AVX2: eight floats, 16 registers.
    Vex,
}

/// A vector register, 0 to 31; with AVX2, 0 to 15.
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

/// A mask register of AVX-512, 1 to 7; 0 stands for none.
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
    /// One float for all elements. With AVX2, only `vbroadcastss` takes it.
    Broadcast {
        base: General,
        displacement: i32,
    },
    /// A constant for all elements.
    Constant(u32),
    /// Integers with this first one, and this distance between neighbours.
    Series(u32, u32),
}

/// A vector instruction: its opcode's map, mandatory prefix, and opcode.
#[derive(Clone, Copy, Debug)]
pub struct Opcode {
    map: u8,
    prefix: u8,
    code: u8,
    /// Whether it works on 128 bits. This matters with AVX2 only.
    short: bool,
}

const fn opcode(map: u8, prefix: u8, code: u8) -> Opcode {
    Opcode {
        map,
        prefix,
        code,
        short: false,
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
/// A shift by a constant: the result is the middle operand, and the register operand is [`RIGHT`]
/// or [`LEFT`].
pub const SHIFT: Opcode = opcode(1, 1, 0x72);
/// To the right; the sign stays.
pub const RIGHT: Vector = Vector(4);
pub const LEFT: Vector = Vector(6);
/// The relation of two numbers one of which is NaN.
pub const IS_NAN: u8 = 3;
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
// Of AVX2 alone:
pub const VANDPS: Opcode = opcode(1, 0, 0x54);
pub const VBLENDVPS: Opcode = opcode(3, 1, 0x4A);
pub const VMASKMOVPS: Opcode = opcode(2, 1, 0x2C);
pub const VMASKMOVPS_STORE: Opcode = opcode(2, 1, 0x2E);
pub const VGATHERDPS: Opcode = opcode(2, 1, 0x92);
pub const VPCMPEQD: Opcode = opcode(1, 1, 0x76);
pub const VPCMPGTD: Opcode = opcode(1, 1, 0x66);
pub const VPERM2F128: Opcode = opcode(3, 1, 0x06);
/// Writes one half of a register, which is the first operand.
pub const VEXTRACTF128: Opcode = opcode(3, 1, 0x19);
/// Narrows integers to 16 bits each, those of one register and of another, in each half.
pub const VPACKUSDW: Opcode = opcode(2, 1, 0x2B);
pub const VPINSRW: Opcode = Opcode {
    short: true,
    ..opcode(1, 1, 0xC4)
};
pub const VPEXTRW: Opcode = Opcode {
    short: true,
    ..opcode(3, 1, 0x15)
};

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
pub struct Assembler {
    encoding: VectorEncoding,
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

/// The same, inverted, as prefixes have it.
fn no_bit(number: u8, place: u8) -> u8 {
    bit(number, place) ^ 1
}

impl Operand {
    /// Memory behind this memory.
    pub fn after(self, bytes: usize) -> Self {
        match self {
            Operand::Memory {
                base,
                index,
                displacement,
            } => Operand::Memory {
                base,
                index,
                displacement: displacement + bytes as i32,
            },
            other => unreachable!("{other:?} has no memory"),
        }
    }

    /// The numbers of the register or the base, and of the index; of a register, the index has its
    /// highest bit.
    fn numbers(self) -> (u8, u8) {
        const RELATIVE: u8 = RBP.0;
        match self {
            Operand::Register(Vector(number)) => (number, bit(number, 4) << 3),
            Operand::Memory { base, index, .. } => {
                (base.0, index.map_or(0, |(General(index), _)| index))
            }
            Operand::Broadcast { base, .. } => (base.0, 0),
            Operand::Constant(_) | Operand::Series(..) => (RELATIVE, 0),
        }
    }
}

/// The prefix of AVX-512 and the opcode. A vector register as an index has its highest bit in that
/// of `middle`.
fn evex(
    opcode: Opcode,
    (register, middle, base, index): (u8, u8, u8, u8),
    (mask, zero, broadcast): (Mask, bool, bool),
) -> [u8; 5] {
    [
        0x62,
        no_bit(register, 3) << 7
            | no_bit(index, 3) << 6
            | no_bit(base, 3) << 5
            | no_bit(register, 4) << 4
            | opcode.map,
        (!middle & 0xF) << 3 | 1 << 2 | opcode.prefix,
        u8::from(zero) << 7
            | 0b10 << 5
            | u8::from(broadcast) << 4
            | no_bit(middle, 4) << 3
            | mask.0,
        opcode.code,
    ]
}

/// The prefix of AVX2 and the opcode.
fn vex(opcode: Opcode, register: u8, middle: u8, (base, index): (u8, u8)) -> [u8; 4] {
    let long = u8::from(!opcode.short);
    [
        0xC4,
        no_bit(register, 3) << 7 | no_bit(index, 3) << 6 | no_bit(base, 3) << 5 | opcode.map,
        (!middle & 0xF) << 3 | long << 2 | opcode.prefix,
        opcode.code,
    ]
}

impl Assembler {
    pub fn new(encoding: VectorEncoding) -> Self {
        Assembler {
            encoding,
            code: Vec::new(),
            constants: Vec::new(),
            references: Vec::new(),
            labels: Vec::new(),
            jumps: Vec::new(),
        }
    }

    /// A vector instruction: `register` and `middle` are the first two operands (0 where there is
    /// none).
    pub fn vector(
        &mut self,
        opcode: Opcode,
        (register, middle, last): (u8, u8, Operand),
        immediate: Option<u8>,
    ) {
        match self.encoding {
            VectorEncoding::Evex => {
                self.masked(
                    opcode,
                    (register, middle, last),
                    (NO_MASK, false),
                    immediate,
                );
            }
            VectorEncoding::Vex => {
                let (base, index) = last.numbers();
                let prefix = vex(opcode, register, middle, (base, index));
                self.code.extend(prefix);
                self.operands(register, last, immediate);
            }
        }
    }

    /// The same of AVX-512, with a mask: elements that it lacks become 0 (`zero`), or stay.
    pub fn masked(
        &mut self,
        opcode: Opcode,
        (register, middle, last): (u8, u8, Operand),
        (mask, zero): (Mask, bool),
        immediate: Option<u8>,
    ) {
        let (base, index) = last.numbers();
        // `vbroadcastss` reads one float by itself.
        let broadcast = matches!(last, Operand::Broadcast { .. } | Operand::Constant(_))
            && opcode.code != VBROADCASTSS.code;
        let prefix = evex(
            opcode,
            (register, middle, base, index),
            (mask, zero, broadcast),
        );
        self.code.extend(prefix);
        self.operands(register, last, immediate);
    }

    /// Reads the elements of a mask of AVX-512, each at its index in floats from a place, and clears
    /// the mask. Other elements stay.
    pub fn gather(&mut self, to: Vector, base: General, index: Vector, mask: Mask) {
        let above = bit(index.0, 4) << 4;
        let prefix = evex(
            VGATHERDPS,
            (to.0, above, base.0, index.0),
            (mask, false, false),
        );
        self.code.extend(prefix);
        let last = Operand::Memory {
            base,
            index: Some((General(index.0), 2)),
            displacement: 0,
        };
        self.operands(to.0, last, None);
    }

    /// The bytes that name the first and the last operand, and the immediate.
    fn operands(&mut self, register: u8, last: Operand, immediate: Option<u8>) {
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
            Operand::Constant(bits) => {
                let constant = match self.encoding {
                    VectorEncoding::Evex => vec![bits],
                    VectorEncoding::Vex => vec![bits; 8],
                };
                self.constant(register, constant, immediate.is_some());
            }
            Operand::Series(first, distance) => {
                let count = match self.encoding {
                    VectorEncoding::Evex => 16,
                    VectorEncoding::Vex => 8,
                };
                let series =
                    (0..count).map(|number| first.wrapping_add(distance.wrapping_mul(number)));
                self.constant(register, series.collect(), immediate.is_some());
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

    /// Writes a register to memory.
    pub fn store(&mut self, register: General, base: General, displacement: i32) {
        self.general(0x89, register.0, base, displacement);
    }

    /// Compares 64 bits in memory with a number.
    pub fn compare_memory(&mut self, base: General, displacement: i32, number: i32) {
        self.general(0x81, 7, base, displacement);
        self.code.extend(number.to_le_bytes());
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

    pub fn add_register(&mut self, register: General, other: General) {
        self.registers(0x01, other.0, register);
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
