//! Compiling a trace to native code: assigns vector registers, and writes the loops around it.
//!
//! The function's parameters are a table of pointers, one for each source, the number of elements
//! of a row, and the number of rows. Its code is, for each row:
//!
//! ```text
//! set the accumulators of folds to their start
//! for each sixteen elements: the trace
//! the rest, if any: the trace with a mask, which keeps other memory from being read or written
//! add the accumulators to the results of folds
//! add the sources' strides to their pointers, in registers or in the table
//! ```
//!
//! If a register holds fewer than sixteen elements, the trace follows for each part of them. A fold
//! adds to as many lanes all the same, so its result does not depend on the instructions.
//!
//! A value stays in its register to its last use. If none is free, the value whose next use is
//! furthest moves to the stack. Constants, and with AVX-512 numbers that are the same for a whole
//! row, need no register: most instructions read one from memory for all elements.

use super::{
    super::super::memory::Element,
    assembler::{
        self as asm, Assembler, Condition, General, Label, Opcode, Operand, RAX, RBP, RBX, RCX,
        RDI, RDX, RSI, RSP, Vector, VectorEncoding,
    },
    trace::{BinaryOperation, TraceItem, UnaryOperation, ValueId},
};
use std::marker::PhantomData;

/// Registers that hold the pointers of the first sources; others are read from the table.
const POINTERS: [General; 9] = [
    General(8),
    General(9),
    General(10),
    General(11),
    RBX,
    General(12),
    General(13),
    General(14),
    General(15),
];
/// How many of them need not be preserved for the caller.
const VOLATILE: usize = 4;

/// The maximum number of values on the stack: they take less than the page that guards its end.
const MOST_SLOTS: usize = 60;
/// The elements of a turn of the loop, which are the lanes of a fold.
const TURN: usize = 16;

/// The vector instructions of a set, where sets differ. Registers that a function takes hold
/// elements of the compiler's current part; in the rest of a row, it accesses the memory only of
/// those elements that are left.
pub trait Target: Sized {
    const ENCODING: VectorEncoding;
    /// Vector registers.
    const REGISTERS: usize;
    /// Elements of a vector register.
    const LANES: usize;
    /// Places on the stack, each as wide as a register, that the target uses itself.
    const PLACES: usize;

    /// Makes the masks for the rest of a row, which has as many elements as `RCX` says. May change
    /// `RAX`, `RCX` and vector registers.
    fn begin(compiler: &mut Compiler<Self>);

    /// Jumps to a label if the rest of a row has no elements in a part.
    fn skip_rest(compiler: &mut Compiler<Self>, part: usize, label: Label);

    /// Reads neighbours; other elements become 0.
    fn load(compiler: &mut Compiler<Self>, to: Vector, memory: Operand, element: Element);

    /// Writes neighbours; of bf16 the lower halves of the bits.
    fn store(compiler: &mut Compiler<Self>, from: Vector, memory: Operand, element: Element);

    /// Reads elements with a distance in floats, the first of the turn at `RAX`; others become 0.
    fn gather(compiler: &mut Compiler<Self>, to: Vector, distance: usize);

    /// lanes += x, for the elements that are left.
    fn add(compiler: &mut Compiler<Self>, lanes: Vector, x: Operand);

    /// lanes = x, for the elements that are left.
    fn replace(compiler: &mut Compiler<Self>, lanes: Vector, x: Vector);

    /// to = the greater of two numbers, or NaN if the second is NaN. `to` is another register than
    /// theirs.
    fn maximum(compiler: &mut Compiler<Self>, to: Vector, x: Vector, y: Vector);

    /// Where a relation holds (by its number), as a register of the target.
    fn compare(compiler: &mut Compiler<Self>, predicate: u8, x: Vector, y: Operand) -> Vector;

    /// to = `yes` where the result of `compare` holds, else `no` or 0.
    fn choose(
        compiler: &mut Compiler<Self>,
        to: Vector,
        holds: Vector,
        values: (Operand, Option<Vector>),
    );

    /// Instructions that swap the halves of the lanes in `from`, its quarters, and so on, until each
    /// lane met all others: opcode, middle operand, and immediate.
    fn shuffles(from: Vector) -> Vec<(Opcode, Option<Vector>, u8)>;
}

/// The code for a trace whose sources have these strides from row to row, in bytes. `None` if there
/// are too many folds, or too many values at a time.
pub fn compile<T: Target>(items: &[TraceItem], strides: &[i32]) -> Option<Vec<u8>> {
    let folds = items
        .iter()
        .filter(|item| matches!(item, TraceItem::Fold { .. }))
        .count();
    let accumulators = folds * (TURN / T::LANES);
    if accumulators > T::REGISTERS / 2 {
        return None;
    }
    // The size of the stack frame is known after the code was written once.
    let (_, slots) = Compiler::<T>::new(items, strides, accumulators).function(0);
    if slots > MOST_SLOTS {
        return None;
    }
    let (code, _) = Compiler::<T>::new(items, strides, accumulators).function(slots);
    Some(code)
}

pub struct Compiler<'a, T> {
    items: &'a [TraceItem],
    strides: &'a [i32],
    /// The items that read each value, in order.
    uses: Vec<Vec<usize>>,
    pub assembler: Assembler,
    /// The value in each register that is not an accumulator.
    registers: Vec<Option<ValueId>>,
    /// The register of each value.
    places: Vec<Option<Vector>>,
    /// The place of each value on the stack, in registers' widths.
    slots: Vec<Option<usize>>,
    slot_count: usize,
    /// The item that is being compiled.
    position: usize,
    /// Whether the code is that of the rest of a row.
    pub is_rest: bool,
    /// The part of a turn's elements that the code is for.
    pub part: usize,
    target: PhantomData<T>,
}

impl<'a, T: Target> Compiler<'a, T> {
    /// Parts of a turn's elements: as many as fit into a register each.
    const PARTS: usize = TURN / T::LANES;
    /// Bytes of a vector register.
    const WIDTH: i32 = (T::LANES * size_of::<f32>()) as i32;

    fn new(items: &'a [TraceItem], strides: &'a [i32], accumulators: usize) -> Self {
        let mut uses = vec![Vec::new(); items.len()];
        for (number, item) in items.iter().enumerate() {
            item.operands()
                .for_each(|operand| uses[operand].push(number));
        }
        Compiler {
            items,
            strides,
            uses,
            assembler: Assembler::new(T::ENCODING),
            registers: vec![None; T::REGISTERS - accumulators],
            places: vec![None; items.len()],
            slots: vec![None; items.len()],
            slot_count: 0,
            position: 0,
            is_rest: false,
            part: 0,
            target: PhantomData,
        }
    }

    /// The whole function, with room for values on the stack, and how many it needs.
    fn function(mut self, slots: usize) -> (Vec<u8>, usize) {
        let pointers = self.strides.len().min(POINTERS.len());
        let preserved = &POINTERS[VOLATILE.min(pointers)..pointers];
        let (row, main, rest, end) = self.labels();
        let code = &mut self.assembler;
        preserved.iter().for_each(|&register| code.push(register));
        code.push(RBP);
        code.copy(RBP, RSP);
        code.add(RSP, -((T::PLACES + slots) as i32) * Self::WIDTH);
        code.and(RSP, -Self::WIDTH);
        code.copy(RCX, RSI);
        code.and(RCX, TURN as i32 - 1);
        T::begin(&mut self);
        let code = &mut self.assembler;
        code.and(RSI, -(TURN as i32));

        for (number, &register) in POINTERS[..pointers].iter().enumerate() {
            code.load(register, RDI, 8 * number as i32);
        }
        code.place(row);
        self.begin_folds();
        let code = &mut self.assembler;
        code.clear(RCX);
        code.compare(RCX, RSI);
        code.jump(Condition::AboveOrEqual, rest);
        code.place(main);
        for part in 0..Self::PARTS {
            self.body(part, false);
        }
        let code = &mut self.assembler;
        code.add(RCX, TURN as i32);
        code.compare(RCX, RSI);
        code.jump(Condition::Below, main);
        code.place(rest);
        for part in 0..Self::PARTS {
            T::skip_rest(&mut self, part, end);
            self.body(part, true);
        }
        self.assembler.place(end);
        self.end_folds();
        let code = &mut self.assembler;
        for (number, &stride) in self.strides.iter().enumerate() {
            match POINTERS.get(number) {
                _ if stride == 0 => {}
                Some(&register) => code.add(register, stride),
                None => code.add_to_memory(RDI, 8 * number as i32, stride),
            }
        }
        code.add(RDX, -1);
        code.jump(Condition::NotZero, row);

        code.copy(RSP, RBP);
        code.pop(RBP);
        preserved
            .iter()
            .rev()
            .for_each(|&register| code.pop(register));
        code.end();
        (self.assembler.finish(), self.slot_count)
    }

    fn labels(&mut self) -> (Label, Label, Label, Label) {
        let code = &mut self.assembler;
        (code.label(), code.label(), code.label(), code.label())
    }

    /// The folds: their accumulators for a part, whether they are of the maximum, and their sources.
    fn folds(&self, part: usize) -> Vec<(Vector, bool, usize)> {
        let folds = self.items.iter().filter_map(|item| match item {
            TraceItem::Fold {
                maximum, source, ..
            } => Some((*maximum, *source)),
            _ => None,
        });
        let first = self.registers.len() + part;
        let lanes = |number: usize| Vector((first + number * Self::PARTS) as u8);
        folds
            .enumerate()
            .map(|(number, (maximum, source))| (lanes(number), maximum, source))
            .collect()
    }

    fn begin_folds(&mut self) {
        for part in 0..Self::PARTS {
            for (to, maximum, _) in self.folds(part) {
                let start = if maximum { f32::NEG_INFINITY } else { 0.0 };
                let start = Operand::Constant(start.to_bits());
                self.emit(asm::VBROADCASTSS, to, None, start);
            }
        }
    }

    /// Adds the lanes of each accumulator in halves, quarters and so on, and then to the result.
    fn end_folds(&mut self) {
        self.registers.fill(None);
        self.places.fill(None);
        let (other, sum) = (self.temporary(), self.temporary());
        for (lanes, maximum, source) in self.folds(0) {
            for part in 1..Self::PARTS {
                self.combine(lanes, maximum, Vector(lanes.0 + part as u8), sum);
            }
            for (shuffle, middle, order) in T::shuffles(lanes) {
                let from = Operand::Register(lanes);
                self.emit_with(shuffle, (other, middle, from), Some(order));
                self.combine(lanes, maximum, other, sum);
            }
            let result = Operand::Memory {
                base: self.pointer(source),
                index: None,
                displacement: 0,
            };
            if maximum {
                // A NaN does not replace what is there.
                self.emit(asm::VMAXSS, sum, Some(lanes), result);
            } else {
                self.emit(asm::VMOVSS, sum, None, result);
                self.emit(asm::VADDSS, sum, Some(sum), Operand::Register(lanes));
            }
            self.emit(asm::VMOVSS_STORE, sum, None, result);
        }
    }

    /// Adds other lanes to those of an accumulator, or takes the greater of both.
    fn combine(&mut self, lanes: Vector, maximum: bool, other: Vector, unused: Vector) {
        if maximum {
            T::maximum(self, unused, lanes, other);
            self.emit(asm::VMOVAPS, lanes, None, Operand::Register(unused));
        } else {
            self.emit(asm::VADDPS, lanes, Some(lanes), Operand::Register(other));
        }
    }

    pub fn emit(&mut self, opcode: Opcode, to: Vector, middle: Option<Vector>, last: Operand) {
        self.emit_with(opcode, (to, middle, last), None);
    }

    pub fn emit_with(
        &mut self,
        opcode: Opcode,
        (to, middle, last): (Vector, Option<Vector>, Operand),
        immediate: Option<u8>,
    ) {
        let middle = middle.map_or(0, |Vector(number)| number);
        self.assembler
            .vector(opcode, (to.0, middle, last), immediate);
    }

    /// The register with a source's pointer; that of one without its own is valid until the next.
    fn pointer(&mut self, source: usize) -> General {
        POINTERS.get(source).copied().unwrap_or_else(|| {
            self.assembler.load(RAX, RDI, 8 * source as i32);
            RAX
        })
    }

    /// A source's neighbours at the position of the loop.
    fn neighbours(&mut self, source: usize, element: Element) -> Operand {
        let scale = match element {
            Element::F32 => 2,
            Element::Bf16 => 1,
        };
        Operand::Memory {
            base: self.pointer(source),
            index: Some((RCX, scale)),
            displacement: (self.part * T::LANES * element.bytes()) as i32,
        }
    }

    /// The trace, for a part of sixteen elements or of the rest of a row.
    fn body(&mut self, part: usize, is_rest: bool) {
        (self.part, self.is_rest) = (part, is_rest);
        self.registers.fill(None);
        self.places.fill(None);
        self.slots.fill(None);
        // The bodies run one after the other, so they use the same slots.
        let slots_before = std::mem::take(&mut self.slot_count);
        let mut folds = self.folds(part).into_iter();
        for number in 0..self.items.len() {
            self.position = number;
            match self.items[number] {
                TraceItem::Constant(_) | TraceItem::Splat { .. } => continue,
                TraceItem::Load {
                    source, element, ..
                } => self.load(source, element),
                TraceItem::Gather {
                    source, distance, ..
                } => self.gather(source, distance),
                TraceItem::Unary(operation, x) => self.unary(operation, x),
                TraceItem::Binary(operation, x, y) => self.binary(operation, x, y),
                TraceItem::MulAdd(x, y, z) => self.mul_add(x, y, z),
                TraceItem::Choose(predicate, operands) => self.choose(predicate, operands),
                TraceItem::Store {
                    source,
                    element,
                    value,
                } => self.store(source, element, value),
                TraceItem::Accumulate {
                    maximum,
                    source,
                    value,
                } => self.accumulate(maximum, source, value),
                TraceItem::Fold { value, .. } => {
                    let (lanes, maximum, _) = folds.next().expect("each fold has an accumulator");
                    self.fold(lanes, maximum, value);
                }
            }
            self.release(number);
        }
        self.slot_count = self.slot_count.max(slots_before);
    }

    fn load(&mut self, source: usize, element: Element) {
        let memory = self.neighbours(source, element);
        let to = self.result(self.position);
        T::load(self, to, memory, element);
    }

    fn store(&mut self, source: usize, element: Element, value: ValueId) {
        let from = self.register(value);
        let memory = self.neighbours(source, element);
        T::store(self, from, memory, element);
    }

    fn gather(&mut self, source: usize, distance: usize) {
        let to = self.result(self.position);
        let code = &mut self.assembler;
        code.multiply(RAX, RCX, (distance * size_of::<f32>()) as i32);
        match POINTERS.get(source) {
            Some(&register) => code.add_register(RAX, register),
            None => code.add_from_memory(RAX, RDI, 8 * source as i32),
        }
        T::gather(self, to, distance);
    }

    fn accumulate(&mut self, maximum: bool, source: usize, value: ValueId) {
        let from = self.register(value);
        let (other, sum) = (self.temporary(), self.temporary());
        let memory = self.neighbours(source, Element::F32);
        T::load(self, other, memory, Element::F32);
        if maximum {
            T::maximum(self, sum, other, from);
        } else {
            self.emit(asm::VADDPS, sum, Some(from), Operand::Register(other));
        }
        T::store(self, sum, memory, Element::F32);
    }

    fn fold(&mut self, lanes: Vector, maximum: bool, value: ValueId) {
        if maximum {
            let from = self.register(value);
            let sum = self.temporary();
            T::maximum(self, sum, lanes, from);
            T::replace(self, lanes, sum);
        } else {
            let from = self.operand(value);
            T::add(self, lanes, from);
        }
    }

    fn unary(&mut self, operation: UnaryOperation, x: ValueId) {
        match operation {
            // A number stands for the kind of shift; the result is the middle operand.
            UnaryOperation::ShiftRight(places) | UnaryOperation::ShiftLeft(places) => {
                let kind = match operation {
                    UnaryOperation::ShiftRight(_) => asm::RIGHT,
                    _ => asm::LEFT,
                };
                let from = Operand::Register(self.register(x));
                self.release(self.position);
                let to = self.result(self.position);
                self.emit_with(asm::SHIFT, (kind, Some(to), from), Some(places));
            }
            UnaryOperation::Floor => {
                let from = self.operand(x);
                self.release(self.position);
                let to = self.result(self.position);
                self.emit_with(asm::VRNDSCALEPS, (to, None, from), Some(9));
            }
            UnaryOperation::Sqrt | UnaryOperation::FromInteger => {
                let opcode = match operation {
                    UnaryOperation::Sqrt => asm::VSQRTPS,
                    _ => asm::VCVTDQ2PS,
                };
                let from = self.operand(x);
                self.release(self.position);
                let to = self.result(self.position);
                self.emit(opcode, to, None, from);
            }
        }
    }

    fn binary(&mut self, operation: BinaryOperation, x: ValueId, y: ValueId) {
        let (opcode, commutes) = match operation {
            BinaryOperation::Add => (asm::VADDPS, true),
            BinaryOperation::Sub => (asm::VSUBPS, false),
            BinaryOperation::Mul => (asm::VMULPS, true),
            BinaryOperation::Div => (asm::VDIVPS, false),
            BinaryOperation::Greater => (asm::VMAXPS, false),
            BinaryOperation::Lesser => (asm::VMINPS, false),
            BinaryOperation::And => (asm::VPANDD, true),
            BinaryOperation::Or => (asm::VPORD, true),
            BinaryOperation::Xor => (asm::VPXORD, true),
            BinaryOperation::AddBits => (asm::VPADDD, true),
            BinaryOperation::SubBits => (asm::VPSUBD, false),
            BinaryOperation::Scale => (asm::VSCALEFPS, false),
        };
        let (x, y) = match commutes && self.is_in_memory(x) {
            true => (y, x),
            false => (x, y),
        };
        let middle = self.register(x);
        let last = self.operand(y);
        self.release(self.position);
        let to = self.result(self.position);
        self.emit(opcode, to, Some(middle), last);
    }

    /// x y + z. The instruction writes its result over one of the three.
    fn mul_add(&mut self, x: ValueId, y: ValueId, z: ValueId) {
        let (x, y) = match self.is_in_memory(x) {
            true => (y, x),
            false => (x, y),
        };
        let first = self.register(x);
        if self.is_in_memory(z) {
            // 213: first = second · first + last
            let second = self.register(y);
            let (over, second) = match (self.is_last_use(x), self.is_last_use(y)) {
                (false, true) => (second, first),
                _ => (first, second),
            };
            let last = self.operand(z);
            let to = self.result_over(over);
            self.emit(asm::VFMADD213PS, to, Some(second), last);
        } else if self.is_last_use(x) && !self.is_last_use(z) {
            // 132: first = first · last + second
            let second = self.register(z);
            let last = self.operand(y);
            let to = self.result_over(first);
            self.emit(asm::VFMADD132PS, to, Some(second), last);
        } else {
            // 231: first = second · last + first
            let over = self.register(z);
            let last = self.operand(y);
            let to = self.result_over(over);
            self.emit(asm::VFMADD231PS, to, Some(first), last);
        }
    }

    fn choose(&mut self, predicate: u8, [x, y, yes, no]: [ValueId; 4]) {
        const COMPLEMENT: u8 = 4;
        let is_zero = |value: ValueId| self.items[value] == TraceItem::Constant(0);
        let (yes_is_zero, no_is_zero) = (is_zero(yes), is_zero(no));
        // What is 0 or in memory is chosen where the relation does not hold, or the other way
        // around.
        let swaps = !no_is_zero && (yes_is_zero || self.is_in_memory(no));
        let (predicate, yes, no) = match swaps {
            true => (predicate ^ COMPLEMENT, no, yes),
            false => (predicate, yes, no),
        };
        let left = self.register(x);
        let right = self.operand(y);
        let holds = T::compare(self, predicate, left, right);
        let no = match yes_is_zero || no_is_zero {
            true => None,
            false => Some(self.register(no)),
        };
        let yes = self.operand(yes);
        self.release(self.position);
        let to = self.result(self.position);
        T::choose(self, to, holds, (yes, no));
    }

    /// Whether a value is only in memory, from where an instruction can read it.
    fn is_in_memory(&self, value: ValueId) -> bool {
        self.places[value].is_none()
    }

    /// Whether no later item reads a value.
    fn is_last_use(&self, value: ValueId) -> bool {
        self.next_use(value).is_none()
    }

    /// The next item after this one that reads a value.
    fn next_use(&self, value: ValueId) -> Option<usize> {
        let uses = &self.uses[value];
        let next = uses.partition_point(|&number| number <= self.position);
        uses.get(next).copied()
    }

    /// The operand that a value is; one in memory stays there.
    fn operand(&mut self, value: ValueId) -> Operand {
        if let Some(register) = self.places[value] {
            return Operand::Register(register);
        }
        match (self.items[value], self.slots[value]) {
            (TraceItem::Constant(bits), _) => Operand::Constant(bits),
            (TraceItem::Splat { source, .. }, _) => {
                let from = Operand::Broadcast {
                    base: self.pointer(source),
                    displacement: 0,
                };
                match T::ENCODING {
                    VectorEncoding::Evex => from,
                    VectorEncoding::Vex => Operand::Register(self.read(value, from)),
                }
            }
            (_, Some(slot)) => Self::stack(T::PLACES + slot),
            _ => unreachable!("a value has a place until its last use"),
        }
    }

    /// The register of a value, which is read from memory if it is there.
    fn register(&mut self, value: ValueId) -> Vector {
        match self.operand(value) {
            Operand::Register(register) => register,
            memory => self.read(value, memory),
        }
    }

    /// Reads a value from memory into a register.
    fn read(&mut self, value: ValueId, memory: Operand) -> Vector {
        let opcode = match memory {
            Operand::Memory { .. } => asm::VMOVUPS,
            _ => asm::VBROADCASTSS,
        };
        let to = self.result(value);
        self.emit(opcode, to, None, memory);
        to
    }

    /// A register for a value.
    fn result(&mut self, value: ValueId) -> Vector {
        let register = self.free_register();
        self.registers[usize::from(register.0)] = Some(value);
        self.places[value] = Some(register);
        register
    }

    /// A register for the result of this item, with the number in another register: that one if
    /// nothing else reads it.
    fn result_over(&mut self, over: Vector) -> Vector {
        let value = self.registers[usize::from(over.0)].expect("the operand is there");
        if self.is_last_use(value) {
            self.registers[usize::from(over.0)] = Some(self.position);
            self.places[value] = None;
            self.places[self.position] = Some(over);
            return over;
        }
        let to = self.result(self.position);
        self.emit(asm::VMOVAPS, to, None, Operand::Register(over));
        to
    }

    /// A register that is free after an item without result, or when it is given back.
    pub fn temporary(&mut self) -> Vector {
        let register = self.free_register();
        self.registers[usize::from(register.0)] = Some(self.position);
        register
    }

    /// Gives back a temporary register.
    pub fn give_back(&mut self, register: Vector) {
        if self.places[self.position] != Some(register) {
            self.registers[usize::from(register.0)] = None;
        }
    }

    /// A free register; moves a value to the stack if there is none. Operands of this item stay.
    fn free_register(&mut self) -> Vector {
        if let Some(free) = self.registers.iter().position(Option::is_none) {
            return Vector(free as u8);
        }
        let operands: Vec<ValueId> = self.items[self.position].operands().collect();
        let furthest = (0..self.registers.len())
            .filter_map(|register| Some((register, self.registers[register]?)))
            .filter(|(_, value)| *value != self.position && !operands.contains(value))
            .max_by_key(|(_, value)| self.next_use(*value).unwrap_or(usize::MAX));
        let (register, value) = furthest.expect("an item has fewer operands than registers");
        let vector = Vector(register as u8);
        let is_again = matches!(
            self.items[value],
            TraceItem::Constant(_) | TraceItem::Splat { .. }
        );
        if !is_again && self.slots[value].is_none() && self.next_use(value).is_some() {
            self.slots[value] = Some(self.slot_count);
            let slot = Self::stack(T::PLACES + self.slot_count);
            self.emit(asm::VMOVUPS_STORE, vector, None, slot);
            self.slot_count += 1;
        }
        self.places[value] = None;
        self.registers[register] = None;
        vector
    }

    /// Frees the registers of values that no later item reads, and of temporaries.
    fn release(&mut self, number: usize) {
        for register in 0..self.registers.len() {
            if let Some(value) = self.registers[register]
                && self.next_use(value).is_none()
            {
                self.registers[register] = None;
                // The place of this item's result, if it has no use, is of no use either.
                if value != number || self.places[value] == Some(Vector(register as u8)) {
                    self.places[value] = None;
                }
            }
        }
    }

    /// A place on the stack.
    pub fn stack(place: usize) -> Operand {
        Operand::Memory {
            base: RSP,
            index: None,
            displacement: place as i32 * Self::WIDTH,
        }
    }
}
