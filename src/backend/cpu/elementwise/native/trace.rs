//! The body of a loop as a list of values and effects, recorded by computing with [`Traced`]
//! numbers.
//!
//! Always true of a trace: a value's operands precede it, and equal values are the same value. A
//! load is another value after a store, which might have changed the memory.

use super::super::{
    super::{isa::Isa, memory::Element},
    functions::bf16,
    number::{Number, Relation},
};
use crate::tensor::ReduceKind;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    ops::{Add, Div, Mul, Neg, Sub},
};

/// The position of a value in its trace.
pub type ValueId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BinaryOperation {
    Add,
    Sub,
    Mul,
    Div,
    Greater,
    Lesser,
    And,
    Or,
    Xor,
    AddBits,
    SubBits,
    /// The first times 2 to the power of the second, with AVX-512.
    Scale,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnaryOperation {
    Sqrt,
    Floor,
    /// The bits as a signed integer, shifted right by this many places.
    ShiftRight(u8),
    /// The bits, shifted left by this many places.
    ShiftLeft(u8),
    /// The number whose bits, as a signed integer, are the operand's.
    FromInteger,
}

/// A step of a trace: a value, or an effect on memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TraceItem {
    /// The number with these bits.
    Constant(u32),
    /// Neighbours in the memory of a source, at the loop's position; as of a number of stores.
    Load {
        source: usize,
        element: Element,
        stores: usize,
    },
    /// The same with a distance between them, in floats.
    Gather {
        source: usize,
        distance: usize,
        stores: usize,
    },
    /// One number for the whole row.
    Splat {
        source: usize,
    },
    Unary(UnaryOperation, ValueId),
    Binary(BinaryOperation, ValueId, ValueId),
    /// The product of the first two, plus the third.
    MulAdd(ValueId, ValueId, ValueId),
    /// The third if the first two have the relation (by its number), else the fourth.
    Choose(u8, [ValueId; 4]),
    /// Writes neighbours; of bf16 the lower halves of the bits.
    Store {
        source: usize,
        element: Element,
        value: ValueId,
    },
    /// Reduces each element into the float at its position.
    Accumulate {
        maximum: bool,
        source: usize,
        value: ValueId,
    },
    /// Reduces all elements of the loop into one float.
    Fold {
        maximum: bool,
        source: usize,
        value: ValueId,
    },
}

impl TraceItem {
    /// The values that the item reads, in order.
    pub fn operands(&self) -> impl Iterator<Item = ValueId> {
        let operands = match *self {
            TraceItem::Constant(_)
            | TraceItem::Load { .. }
            | TraceItem::Gather { .. }
            | TraceItem::Splat { .. } => [None; 4],
            TraceItem::Unary(_, x) => [Some(x), None, None, None],
            TraceItem::Binary(_, x, y) => [Some(x), Some(y), None, None],
            TraceItem::MulAdd(x, y, z) => [Some(x), Some(y), Some(z), None],
            TraceItem::Choose(_, operands) => operands.map(Some),
            TraceItem::Store { value, .. }
            | TraceItem::Accumulate { value, .. }
            | TraceItem::Fold { value, .. } => [Some(value), None, None, None],
        };
        operands.into_iter().flatten()
    }

    pub fn is_effect(&self) -> bool {
        matches!(
            self,
            TraceItem::Store { .. } | TraceItem::Accumulate { .. } | TraceItem::Fold { .. }
        )
    }
}

/// The comparison instruction's number of a relation.
fn predicate(relation: Relation) -> u8 {
    match relation {
        Relation::Equal => 0x00,
        Relation::Less => 0x01,
        Relation::AtLeast => 0x0D,
        Relation::Greater => 0x0E,
    }
}

#[derive(Default)]
struct State {
    items: Vec<TraceItem>,
    numbers: BTreeMap<TraceItem, ValueId>,
    stores: usize,
}

/// A trace that is being recorded for an instruction set.
pub struct Recorder {
    isa: Isa,
    state: RefCell<State>,
}

impl Recorder {
    pub fn new(isa: Isa) -> Self {
        let state = RefCell::default();
        Recorder { isa, state }
    }

    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The value of an item, which is new unless it was recorded before.
    fn value(&self, item: TraceItem) -> Traced<'_> {
        let state = &mut *self.state.borrow_mut();
        let items = &mut state.items;
        let value = *state.numbers.entry(item).or_insert_with(|| {
            items.push(item);
            items.len() - 1
        });
        Traced {
            recorder: self,
            value,
        }
    }

    pub fn constant(&self, value: f32) -> Traced<'_> {
        self.value(TraceItem::Constant(value.to_bits()))
    }

    /// Neighbours in memory, or floats with another distance than 1. The body might write them if they `change`.
    pub fn load(
        &self,
        source: usize,
        element: Element,
        distance: usize,
        change: bool,
    ) -> Traced<'_> {
        let stores = match change {
            true => self.state.borrow().stores,
            false => 0,
        };
        self.value(match distance {
            1 => TraceItem::Load {
                source,
                element,
                stores,
            },
            _ => TraceItem::Gather {
                source,
                distance,
                stores,
            },
        })
    }

    /// One number for the whole row, which the body does not write.
    pub fn splat(&self, source: usize) -> Traced<'_> {
        self.value(TraceItem::Splat { source })
    }

    fn effect(&self, item: TraceItem) {
        let state = &mut *self.state.borrow_mut();
        state.items.push(item);
        state.stores += 1;
    }

    pub fn store(&self, source: usize, element: Element, value: ValueId) {
        let value = match element {
            Element::F32 => value,
            Element::Bf16 => bf16(self.traced(value)).value,
        };
        self.effect(TraceItem::Store {
            source,
            element,
            value,
        });
    }

    pub fn accumulate(&self, kind: ReduceKind, source: usize, value: ValueId) {
        let maximum = kind == ReduceKind::Max;
        self.effect(TraceItem::Accumulate {
            maximum,
            source,
            value,
        });
    }

    pub fn fold(&self, kind: ReduceKind, source: usize, value: ValueId) {
        let maximum = kind == ReduceKind::Max;
        self.effect(TraceItem::Fold {
            maximum,
            source,
            value,
        });
    }

    /// The value as a number to compute with.
    pub fn traced(&self, value: ValueId) -> Traced<'_> {
        Traced {
            recorder: self,
            value,
        }
    }

    /// The items, without values that no effect needs; none if there is no effect.
    pub fn finish(self) -> Vec<TraceItem> {
        let items = self.state.into_inner().items;
        let mut is_used: Vec<bool> = items.iter().map(TraceItem::is_effect).collect();
        for number in (0..items.len()).rev() {
            if is_used[number] {
                items[number].operands().for_each(|x| is_used[x] = true);
            }
        }
        let mut places = vec![0; items.len()];
        let mut kept = Vec::new();
        for (number, mut item) in items.into_iter().enumerate() {
            if !is_used[number] {
                continue;
            }
            match &mut item {
                TraceItem::Constant(_)
                | TraceItem::Load { .. }
                | TraceItem::Gather { .. }
                | TraceItem::Splat { .. } => {}
                TraceItem::Unary(_, x) => *x = places[*x],
                TraceItem::Binary(_, x, y) => (*x, *y) = (places[*x], places[*y]),
                TraceItem::MulAdd(x, y, z) => {
                    (*x, *y, *z) = (places[*x], places[*y], places[*z]);
                }
                TraceItem::Choose(_, operands) => operands.iter_mut().for_each(|x| *x = places[*x]),
                TraceItem::Store { value, .. }
                | TraceItem::Accumulate { value, .. }
                | TraceItem::Fold { value, .. } => *value = places[*value],
            }
            places[number] = kept.len();
            kept.push(item);
        }
        kept
    }
}

/// A number whose computation is recorded.
#[derive(Clone, Copy)]
pub struct Traced<'a> {
    recorder: &'a Recorder,
    value: ValueId,
}

impl Traced<'_> {
    pub fn value(self) -> ValueId {
        self.value
    }

    fn unary(self, operation: UnaryOperation) -> Self {
        self.recorder.value(TraceItem::Unary(operation, self.value))
    }

    fn binary(self, operation: BinaryOperation, other: Self) -> Self {
        let item = TraceItem::Binary(operation, self.value, other.value);
        self.recorder.value(item)
    }
}

impl Number for Traced<'_> {
    fn constant(self, value: f32) -> Self {
        self.recorder.constant(value)
    }

    fn mul_add(self, b: Self, c: Self) -> Self {
        let item = TraceItem::MulAdd(self.value, b.value, c.value);
        self.recorder.value(item)
    }

    fn sqrt(self) -> Self {
        self.unary(UnaryOperation::Sqrt)
    }

    fn floor(self) -> Self {
        self.unary(UnaryOperation::Floor)
    }

    fn greater_of(self, other: Self) -> Self {
        self.binary(BinaryOperation::Greater, other)
    }

    fn lesser_of(self, other: Self) -> Self {
        self.binary(BinaryOperation::Lesser, other)
    }

    fn choose(self, relation: Relation, other: Self, [yes, no]: [Self; 2]) -> Self {
        let operands = [self.value, other.value, yes.value, no.value];
        let item = TraceItem::Choose(predicate(relation), operands);
        self.recorder.value(item)
    }

    fn scale(self, n: Self) -> Self {
        match self.recorder.isa {
            Isa::Avx512(_) => self.binary(BinaryOperation::Scale, n),
            Isa::Avx2(_) | Isa::Portable => self.scale_by_products(n),
        }
    }

    fn and_bits(self, other: Self) -> Self {
        self.binary(BinaryOperation::And, other)
    }

    fn or_bits(self, other: Self) -> Self {
        self.binary(BinaryOperation::Or, other)
    }

    fn add_bits(self, other: Self) -> Self {
        self.binary(BinaryOperation::AddBits, other)
    }

    fn sub_bits(self, other: Self) -> Self {
        self.binary(BinaryOperation::SubBits, other)
    }

    fn shift_right(self, places: u8) -> Self {
        self.unary(UnaryOperation::ShiftRight(places))
    }

    fn shift_left(self, places: u8) -> Self {
        self.unary(UnaryOperation::ShiftLeft(places))
    }

    fn number(self) -> Self {
        self.unary(UnaryOperation::FromInteger)
    }
}

/// The operators of traced numbers.
macro_rules! operator {
    ($name:ident, $method:ident) => {
        impl $name for Traced<'_> {
            type Output = Self;

            fn $method(self, other: Self) -> Self {
                self.binary(BinaryOperation::$name, other)
            }
        }
    };
}

operator!(Add, add);
operator!(Sub, sub);
operator!(Mul, mul);
operator!(Div, div);

impl Neg for Traced<'_> {
    type Output = Self;

    fn neg(self) -> Self {
        self.binary(BinaryOperation::Xor, self.bits(0x8000_0000))
    }
}
