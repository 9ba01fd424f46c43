"""Data of Python as arrays of the library."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _dgc

#: The prefixes of the names of test and validation rows.
PARTS = ("test.", "validation.")


@dataclass(frozen=True)
class Source:
    """Data before a model reads them: a name or path, or arrays."""

    #: The name or path of a data set; ``None`` for data in memory.
    path: str | None
    #: Arrays that are named after the variables of a model.
    arrays: _dgc.Arrays | None
    #: The table that results are shaped after, if the data are one.
    like: Any = None

    def dataset(self, model: _dgc.Model, run: _dgc.Run | None = None) -> _dgc.Dataset:
        """The data set for a model, or for a run that knows its columns and classes."""
        if self.arrays is not None:
            return _dgc.Dataset(model, self.arrays)
        if run is not None:
            return run.open_data(self.path)
        return _dgc.Dataset.open(model, self.path)


def source(data: Any, validation: Any = None) -> Source:
    """Data in any of the supported forms; ``validation`` are rows that are held out."""
    if isinstance(data, Source):
        return data
    if isinstance(data, (str, os.PathLike)):
        if validation is not None:
            raise TypeError("validation: rows cannot be added to a data set of a file")
        return Source(path=os.fspath(data), arrays=None)
    if isinstance(data, Mapping):
        named = dict(data)
        if validation is not None:
            if not isinstance(validation, Mapping):
                raise TypeError("validation: expected a dict of arrays, as the data are")
            named.update({f"validation.{name}": rows for name, rows in validation.items()})
        return Source(path=None, arrays=arrays(named))
    raise TypeError(
        f"data: expected a dict of arrays or the path of a data set, found {type(data).__name__}"
    )


def arrays(named: Mapping[str, Any]) -> _dgc.Arrays:
    """The arrays of a dict, without copies where their layout allows it."""
    dense, sparse = [], []
    for name, value in named.items():
        if is_sparse(value):
            matrix = value.tocsr()
            if not matrix.has_canonical_format:
                matrix = matrix.copy()
                matrix.sum_duplicates()
            parts = (flat(part, name) for part in (matrix.data, matrix.indices, matrix.indptr))
            sparse.append((name, list(matrix.shape), *parts))
        else:
            array = np.asarray(value)
            dense.append((name, list(array.shape), flat(array, name)))
    return _dgc.Arrays(dense, sparse)


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse matrix or array of scipy."""
    return hasattr(value, "tocsr") and hasattr(value, "nnz")


def flat(array: np.ndarray, name: str) -> tuple[str, int, np.ndarray]:
    """The type of an array's numbers and their bytes, row-major and in the machine's order."""
    if array.dtype.kind not in "fiub":
        raise _error(name, array)
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return array.dtype.kind, array.dtype.itemsize, array.reshape(-1).view(np.uint8)


def _error(name: str, array: np.ndarray) -> TypeError:
    return TypeError(f"data: `{name}`: expected numbers, found an array of type {array.dtype}")
