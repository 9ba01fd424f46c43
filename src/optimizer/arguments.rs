//! Arguments that several optimisers take.

use crate::layer::Argument;

/// The learning rate, the first argument of every optimiser.
pub const fn rate(default: f64) -> Argument {
    Argument {
        name: "rate",
        default: Some(default),
        least: 0.0,
        most: 1e3,
        whole: false,
    }
}
