"""Makes cells.npz for models/cells.dgm: 700 blood cells, their counts of 765 genes and their types.

scanpy's wheel on PyPI ships scanpy/datasets/10x_pbmc68k_reduced.h5ad under scanpy's BSD-3-Clause licence: cells of the 68k PBMC data of
Zheng et al. 2017 (Nature Communications 8, 14049), which 10x Genomics published. The file holds log(1 + 10^4 count / cell's total), rounded
to three decimals, and each cell's total, so the counts can be recovered exactly, which is checked. Cell types were assigned by
correlation with sorted bulk cells.

    pip download --no-deps scanpy==1.11.5
    pip install h5py==3.16.0 numpy==2.4.6 scikit-learn==1.9.1
    python bench/cells.py scanpy-1.11.5-py3-none-any.whl cells.npz
    dgc train models/cells.dgm --data cells.npz --labels 50 --seed 0

Arrays: counts [cell, gene], library [cell], the counts' sum, and cell_type; 500 cells to train on, 200 as test. With --baseline LABELS it
also fits a logistic regression (scikit-learn) to log(1 + 10^4 count / library) of LABELS labelled training cells, balanced over the
types as in `dgc train --labels`, for ten random choices, and prints its error on the test cells.
"""

import argparse
import hashlib
import io
import zipfile

import h5py
import numpy as np

FILE = "scanpy/datasets/10x_pbmc68k_reduced.h5ad"
SHA256 = "e71d41e737c941559b7c57c9243bdb3d2c889c2adfdf00e3422ac6b46783676f"
TEST = 200


def read(wheel):
    """The counts and types of the cells, and the types' names."""
    content = zipfile.ZipFile(wheel).read(FILE)
    found = hashlib.sha256(content).hexdigest()
    assert found == SHA256, f"{FILE} is another file: {found}"
    file = h5py.File(io.BytesIO(content))
    rows = file["raw.X/indptr"][:]
    values = file["raw.X/data"][:].astype(np.float64)
    cells, genes = len(rows) - 1, len(file["raw.var"])
    logs = np.zeros((cells, genes))
    logs[np.repeat(np.arange(cells), np.diff(rows)), file["raw.X/indices"][:]] = values
    totals = file["obs"]["n_counts"].astype(np.float64)[:, None]
    exact = np.expm1(logs) * totals / 1e4
    counts = np.round(exact)
    # What three decimals leave open.
    open_to = 6e-4 * np.exp(logs) * totals / 1e4
    assert (open_to < 0.5).all() and (np.abs(exact - counts) <= open_to).all(), "the counts are not whole"
    names = [name.decode() for name in file["uns/bulk_labels_categories"][:]]
    return counts, file["obs"]["bulk_labels"].astype(np.int32), names


def spread(types, labels, random):
    """So many positions, round after round one of each type that has some left."""
    order = random.permutation(len(types))
    of_type = [[row for row in order if types[row] == k] for k in range(types.max() + 1)]
    rounds = max(len(rows) for rows in of_type)
    taken = [rows[turn] for turn in range(rounds) for rows in of_type if turn < len(rows)]
    return np.array(taken[:labels])


def baseline(train, test, labels):
    from sklearn.linear_model import LogisticRegression

    def features(counts):
        return np.log1p(1e4 * counts / counts.sum(1, keepdims=True))

    errors = []
    for seed in range(10):
        seen = spread(train[1], labels, np.random.default_rng(seed))
        model = LogisticRegression(max_iter=5000).fit(features(train[0][seen]), train[1][seen])
        errors.append(100 * np.mean(model.predict(features(test[0])) != test[1]))
    print(f"logistic regression, {labels} labels: error {np.mean(errors):.1f} % (sd {np.std(errors):.1f})")


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("wheel")
    arguments.add_argument("output")
    arguments.add_argument("--baseline", type=int, metavar="LABELS")
    given = arguments.parse_args()
    counts, types, names = read(given.wheel)
    order = np.random.default_rng(0).permutation(len(counts))
    parts = {"": order[TEST:], "test.": order[:TEST]}
    arrays = {}
    for prefix, rows in parts.items():
        arrays[f"{prefix}counts"] = counts[rows].astype(np.float32)
        arrays[f"{prefix}library"] = counts[rows].sum(1).astype(np.float32)
        arrays[f"{prefix}cell_type"] = types[rows]
    np.savez_compressed(given.output, **arrays)
    for k, name in enumerate(names):
        print(f"type {k}: {name}, {np.sum(types == k)} cells, {np.sum(types[parts['test.']] == k)} of them test")
    if given.baseline:
        train, test = [(counts[rows], types[rows]) for rows in parts.values()]
        baseline(train, test, given.baseline)


if __name__ == "__main__":
    main()
