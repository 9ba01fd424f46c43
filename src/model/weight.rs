//! Weights that depend on the number of training rows.

use crate::syntax::ast::Operator;
use std::fmt;

/// Arithmetic over numbers and the counts of training rows: `0.1 * rows / labelled`.
#[derive(Clone, Debug, PartialEq)]
pub enum Weight {
    /// A number, or the value of a size.
    Number(f64),
    /// The number of training rows.
    Rows,
    /// The number of training rows with a label.
    Labelled,
    /// Two weights and the operator between them.
    Binary(Operator, Box<Weight>, Box<Weight>),
}

impl Weight {
    /// The value, with `rows` and `labelled` as given.
    pub fn value(&self, rows: f64, labelled: f64) -> f64 {
        match self {
            Weight::Number(number) => *number,
            Weight::Rows => rows,
            Weight::Labelled => labelled,
            Weight::Binary(operator, left, right) => {
                operator.apply(left.value(rows, labelled), right.value(rows, labelled))
            }
        }
    }

    /// Whether it is a sum or a difference, which needs parentheses within a product.
    fn is_sum(&self) -> bool {
        matches!(self, Weight::Binary(Operator::Add | Operator::Subtract, ..))
    }

    fn is_binary(&self) -> bool {
        matches!(self, Weight::Binary(..))
    }

    fn grouped(&self, needs_parentheses: bool) -> String {
        if needs_parentheses {
            format!("({self})")
        } else {
            self.to_string()
        }
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Weight::Number(number) => write!(f, "{number}"),
            Weight::Rows => write!(f, "rows"),
            Weight::Labelled => write!(f, "labelled"),
            Weight::Binary(operator, left, right) => {
                let (left, right) = match operator {
                    Operator::Add | Operator::Subtract => {
                        (left.to_string(), right.grouped(right.is_sum()))
                    }
                    Operator::Multiply | Operator::Divide => (
                        left.grouped(left.is_sum()),
                        right.grouped(right.is_binary()),
                    ),
                };
                write!(f, "{left} {operator} {right}")
            }
        }
    }
}
