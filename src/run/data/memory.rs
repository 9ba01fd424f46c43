//! Memory that holds an array: a vector, or memory of another owner such as a NumPy array.
//!
//! Another owner may change its memory, as another program may change a file. So memory is copied out
//! where it is needed and is never borrowed, and whoever takes positions from it checks them each time.

use super::element::ElementType;
use std::{fmt, sync::Arc};

/// Bytes in memory that are copied out on demand.
///
/// The bytes should not change while a data set uses them. If they do, results are of some of the old
/// and some of the new values.
pub trait Memory: Send + Sync {
    /// The number of bytes.
    fn len(&self) -> usize;

    /// Whether there are no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the bytes from `at` on to `out`.
    ///
    /// # Panics
    /// May panic if the range is not within the bytes.
    fn read(&self, at: usize, out: &mut [u8]);
}

/// The numbers of an array in memory, with their type.
#[derive(Clone)]
pub struct MemoryArray {
    pub(super) element: ElementType,
    pub(super) memory: Arc<dyn Memory>,
}

impl MemoryArray {
    /// The numbers in this memory.
    pub fn new(element: ElementType, memory: impl Memory + 'static) -> Self {
        MemoryArray {
            element,
            memory: Arc::new(memory),
        }
    }

    /// The number of numbers.
    pub fn len(&self) -> usize {
        self.memory.len() / self.element.size()
    }

    /// Whether there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for MemoryArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.len(), self.element)
    }
}

/// Implements memory for vectors of these types, with the letter of each type.
macro_rules! vectors {
    ($($type:ty: $letter:literal),*) => {$(
        impl Memory for Vec<$type> {
            fn len(&self) -> usize {
                size_of_val(self.as_slice())
            }

            fn read(&self, at: usize, out: &mut [u8]) {
                const SIZE: usize = size_of::<$type>();
                let numbers = &self[at / SIZE..][..out.len() / SIZE];
                let places = out.chunks_exact_mut(SIZE);
                places
                    .zip(numbers)
                    .for_each(|(place, number)| place.copy_from_slice(&number.to_le_bytes()));
            }
        }

        impl From<Vec<$type>> for MemoryArray {
            fn from(numbers: Vec<$type>) -> Self {
                let element = ElementType::new($letter, size_of::<$type>(), false);
                MemoryArray::new(element.expect("the type is one of the table"), numbers)
            }
        }
    )*};
}

vectors!(f32: 'f', f64: 'f', i32: 'i', i64: 'i', u8: 'u', u32: 'u', u64: 'u');
