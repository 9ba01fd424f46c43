//! The pieces of a contraction: a piece by rows or tiles, and if needed a piece that adds partial
//! sums.

use super::{
    super::nest::loads,
    super::spec::{
        AddParts, AddRows, Epilogue, Finish, Fused, Grid, Outcome, Parts, Piece, RowParts, Rows,
        Scratch, THREADS, Task, TileShape, Tiles, Vector, WARP, Work,
    },
    epilogue::finish,
    loops::piece,
    operand::{operands, strides},
    rematerialize::rematerialize,
    tiles::{MOST_BLOCKS, Way, way},
};
use crate::{
    id::Id,
    plan::{Access, Buffer, Contraction, Instruction, Loop, Matrix, Plan, Product},
};
use std::collections::BTreeSet;

/// The approximate length of k per load of a contraction.
const AHEAD: usize = 32;

/// Buffers that only contractions read, which compute the elements themselves. These buffers need
/// not be stored.
pub(super) fn computed_by_readers(plan: &Plan) -> BTreeSet<Id<Buffer>> {
    use super::super::spec::Operand;
    let (mut computed, mut read) = (BTreeSet::new(), BTreeSet::new());
    for kernel in &plan.kernels {
        for nest in kernel.loops() {
            read.extend(loads(nest).map(|access| access.buffer));
        }
        let Some(contraction) = &kernel.contraction else {
            continue;
        };
        for (product, sides) in contraction.products.iter().zip(operands(plan, contraction)) {
            for (strides, operand) in strides(product).iter().zip(sides) {
                match operand {
                    Operand::Computed(_) => computed.insert(strides.buffer),
                    Operand::Memory(_) | Operand::Windows(_) => read.insert(strides.buffer),
                };
            }
        }
    }
    computed.difference(&read).copied().collect()
}

/// A contraction of a kernel, with the fused loop.
pub(super) struct Part<'p> {
    pub plan: &'p Plan,
    pub name: &'p str,
    pub contraction: &'p Contraction,
    pub fused: Option<Fused<'p>>,
    /// The kernel's setup loops.
    pub setup: &'p [Loop],
}

impl<'p> Part<'p> {
    /// The pieces of the contraction, in order.
    pub fn pieces(&self) -> Vec<Piece<'p>> {
        match way(self.contraction) {
            Way::Rows => vec![self.rows()],
            Way::Whole(shape) => self.whole(shape),
            Way::Split {
                shape,
                parts,
                depth,
            } => self.split(shape, parts, depth),
        }
    }

    fn piece(&self, name: String, task: Task<'p>, grid: Grid, waits: usize) -> Piece<'p> {
        piece(self.plan, name, task, grid, Work::Contraction, waits)
    }

    /// A piece that adds parts, with a thread per result.
    fn adding(&self, name: String, task: Task<'p>, results: usize) -> Piece<'p> {
        let grid = Grid::line(results.div_ceil(THREADS).min(MOST_BLOCKS));
        piece(self.plan, name, task, grid, Work::Elements(results), 1)
    }

    fn finish(&self) -> Finish<'p> {
        finish(self.plan, self.contraction, self.fused.as_ref())
    }

    /// The length of k over all products.
    fn along(&self) -> usize {
        self.contraction
            .products
            .iter()
            .map(|product| product.k)
            .sum()
    }

    /// The uses of shared memory: a part of each operand, then the sums.
    fn waits(shape: TileShape, along: usize) -> usize {
        along.div_ceil(AHEAD) + shape.m * shape.n / THREADS
    }

    /// A piece with a warp per row.
    fn rows(&self) -> Piece<'p> {
        let vectors = self.contraction.products.iter().map(|product| {
            let Some(vector) = self.vector(product) else {
                return Vector::Memory;
            };
            let loops = rematerialize(self.plan, self.setup, &vector, &|_| true);
            match loops.is_empty() {
                true => Vector::Memory,
                false => Vector::Rematerialized(vector, loops),
            }
        });
        let task = Task::Rows(Rows {
            contraction: self.contraction,
            vectors: vectors.collect(),
            finish: self.finish(),
        });
        let grid = Grid::line(self.contraction.m.div_ceil(THREADS / WARP));
        let waits = self.along().div_ceil(AHEAD);
        self.piece(self.name.to_string(), task, grid, waits)
    }

    /// The right operand of a product with a vector, as a loop that reads it.
    fn vector(&self, product: &Product) -> Option<Loop> {
        let Matrix {
            buffer, row_stride, ..
        } = product.right;
        let axes = &self.plan.buffer(buffer).axes;
        let axis = *axes
            .iter()
            .find(|axis| self.plan.axes[axis.index()].size == product.k)?;
        let access = Access {
            buffer,
            strides: vec![row_stride],
            partial: 0,
            spans: Vec::new(),
        };
        Some(Loop {
            axes: vec![axis],
            sizes: vec![product.k],
            tiled: false,
            instructions: vec![Instruction::Load(access)],
        })
    }

    /// Pieces with complete sums per tile, and a piece that adds sums of rows if several warps
    /// share a row.
    fn whole(&self, shape: TileShape) -> Vec<Piece<'p>> {
        let Contraction { m, n, .. } = *self.contraction;
        let mut finish = self.finish();
        if let Some(fused) = &mut finish.fused {
            let rows = fused.row_axes;
            fused.rematerialized =
                rematerialize(self.plan, self.setup, fused.nest, &|axis| axis >= rows);
        }
        let row_parts = finish
            .fused
            .as_ref()
            .and_then(|fused| self.row_parts(fused));
        let adding = finish.fused.clone().zip(row_parts.clone());
        let task = self.tiles(
            shape,
            Outcome::Whole(Box::new(Epilogue { finish, row_parts })),
        );
        let grid = Grid {
            columns: n.div_ceil(shape.n),
            rows: m.div_ceil(shape.m),
        };
        let waits = Self::waits(shape, self.along());
        let mut pieces = vec![self.piece(self.name.to_string(), task, grid, waits)];
        pieces.extend(adding.map(|(fused, parts)| {
            let task = Task::AddRows(AddRows {
                contraction: self.contraction,
                fused,
                parts,
            });
            self.adding(format!("{}_rows", self.name), task, m)
        }));
        pieces
    }

    fn tiles(&self, shape: TileShape, outcome: Outcome<'p>) -> Task<'p> {
        Task::Tiles(Tiles {
            contraction: self.contraction,
            shape,
            operands: operands(self.plan, self.contraction),
            outcome,
        })
    }

    /// The partial sums of rows, if several warps share a row.
    fn row_parts(&self, fused: &Fused) -> Option<RowParts> {
        let Contraction { m, n, .. } = *self.contraction;
        let groups = n.div_ceil(WARP);
        (groups > 1 && !fused.rows.is_empty()).then(|| RowParts {
            groups,
            scratch: Scratch {
                contraction: self.name.to_string(),
                floats: fused.rows.len() * groups * m,
            },
        })
    }

    /// Pieces with partial sums per tile, and a piece that adds them. The first part is stored in
    /// the result's place, the others in working memory.
    fn split(&self, shape: TileShape, count: usize, depth: usize) -> Vec<Piece<'p>> {
        let Contraction { m, n, .. } = *self.contraction;
        let parts = Parts {
            count,
            depth,
            scratch: Scratch {
                contraction: self.name.to_string(),
                floats: m * n * (count - 1),
            },
        };
        let task = self.tiles(shape, Outcome::Parts(parts.clone()));
        let grid = Grid {
            columns: n.div_ceil(shape.n) * count,
            rows: m.div_ceil(shape.m),
        };
        let name = format!("{}_parts", self.name);
        let sums = self.piece(name, task, grid, Self::waits(shape, depth));
        let task = Task::AddParts(AddParts {
            contraction: self.contraction,
            parts,
            finish: self.finish(),
        });
        vec![sums, self.adding(self.name.to_string(), task, m * n)]
    }
}
