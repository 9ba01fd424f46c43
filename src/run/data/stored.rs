//! The rows of a variable where they lie: in memory or in a file, dense or sparse.

use super::{csr::Csr, dense::DenseArray};
use crate::error::Result;
use std::sync::Arc;

/// Rows of numbers that become dense and single precision when they are read.
#[derive(Clone, Debug)]
pub enum Stored {
    /// All numbers.
    Dense(DenseArray),
    /// Numbers other than 0.
    Sparse(Csr),
    /// Rows of another array, in this order.
    Selected(Arc<Stored>, Arc<[u32]>),
}

impl Stored {
    /// The sizes of the axes; the first is the row.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Stored::Dense(dense) => dense.shape().to_vec(),
            Stored::Sparse(csr) => vec![csr.rows(), csr.width()],
            Stored::Selected(stored, rows) => {
                let mut shape = stored.shape();
                shape.iter_mut().take(1).for_each(|size| *size = rows.len());
                shape
            }
        }
    }

    /// Whether numbers that are 0 are left out.
    pub fn is_sparse(&self) -> bool {
        match self {
            Stored::Dense(_) => false,
            Stored::Sparse(_) => true,
            Stored::Selected(stored, _) => stored.is_sparse(),
        }
    }

    /// Whether the type of the numbers is one of whole numbers.
    pub fn is_whole(&self) -> bool {
        match self {
            Stored::Dense(dense) => dense.element().is_integer(),
            Stored::Selected(stored, _) => stored.is_whole(),
            _ => false,
        }
    }

    /// Whether the numbers are in memory.
    pub fn is_in_memory(&self) -> bool {
        match self {
            Stored::Dense(dense) => dense.is_in_memory(),
            Stored::Sparse(csr) => csr.is_in_memory(),
            Stored::Selected(stored, _) => stored.is_in_memory(),
        }
    }

    /// The rows at these positions, in this order.
    pub fn select(self: &Arc<Self>, rows: Vec<u32>) -> Stored {
        Stored::Selected(Arc::clone(self), rows.into())
    }

    /// Checks what only a file can have wrong: the columns of sparse entries. `place` names the array.
    ///
    /// # Errors
    /// With the first row that does not fit, or if the file cannot be read.
    pub fn check(&self, place: &str) -> Result<()> {
        match self {
            Stored::Dense(_) => Ok(()),
            Stored::Sparse(csr) => csr.check(place),
            Stored::Selected(stored, _) => stored.check(place),
        }
    }

    /// Copies these rows to `out`, row after row.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn read(&self, rows: &[u32], out: &mut [f32]) -> Result<()> {
        match self {
            Stored::Dense(dense) => dense.read(rows, out),
            Stored::Sparse(csr) => csr.read(rows, out),
            Stored::Selected(stored, selected) => {
                let rows: Vec<u32> = rows.iter().map(|&row| selected[row as usize]).collect();
                stored.read(&rows, out)
            }
        }
    }

    /// All numbers in double precision, row-major.
    ///
    /// # Errors
    /// If the rows cannot be read.
    pub fn doubles(&self) -> Result<Vec<f64>> {
        match self {
            Stored::Dense(dense) => dense.doubles(),
            Stored::Sparse(csr) => {
                let every: Vec<u32> = (0..csr.rows() as u32).collect();
                let mut singles = vec![0.0; csr.rows() * csr.width()];
                csr.read(&every, &mut singles)?;
                Ok(singles.into_iter().map(f64::from).collect())
            }
            Stored::Selected(stored, rows) => {
                let all = stored.doubles()?;
                let width: usize = stored.shape().iter().skip(1).product();
                let row = |&row: &u32| &all[row as usize * width..(row as usize + 1) * width];
                Ok(rows.iter().flat_map(row).copied().collect())
            }
        }
    }
}
