"""Makes cells.h5ad and query.h5ad: synthetic counts of 50 genes in cells of 3 types, from 3 batches.

    pip install anndata && python cells.py
"""

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

random = np.random.default_rng(5)
GENES, TYPES = 50, ["B cell", "T cell", "monocyte"]
level = random.normal(0, 1, GENES)
of_type = random.normal(0, 0.7, (3, GENES))
of_batch = random.normal(0, 1.4, (3, GENES))  # the batches differ more than the types


def cells(batch, count):
    """Types and negative binomial counts of cells in a batch."""
    kinds = random.integers(0, 3, count)
    logs = level + of_type[kinds] + of_batch[batch] + random.normal(0, 0.2, (count, GENES))
    shares = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    means = shares * random.lognormal(np.log(400), 0.3, (count, 1))
    return kinds, random.poisson(random.gamma(4, means / 4))


def write(file, batches, train, test, labelled):
    """A file with cells of these batches. So large a share of training cells has a type, and all test cells."""
    columns, counts = [], []
    for batch in batches:
        kinds, of_batch_cells = cells(batch, train + test)
        counts.append(of_batch_cells)
        is_test = np.arange(train + test) >= train
        is_known = is_test | (random.random(train + test) < labelled)
        columns.append(pd.DataFrame({
            "batch": batch,
            "library": of_batch_cells.sum(axis=1),
            "cell_type": pd.Categorical.from_codes(np.where(is_known, kinds, -1), TYPES),
            "split": np.where(is_test, "test", "train"),
        }))
    obs = pd.concat(columns, ignore_index=True)
    obs.index = [f"cell{row}" for row in range(len(obs))]
    matrix = scipy.sparse.csr_matrix(np.concatenate(counts).astype(np.float32))
    names = pd.DataFrame(index=[f"gene{gene}" for gene in range(GENES)])
    anndata.AnnData(matrix, obs, names).write_h5ad(file, compression="gzip")


write("cells.h5ad", [0, 1], train=200, test=50, labelled=0.2)
write("query.h5ad", [2], train=150, test=100, labelled=0)
