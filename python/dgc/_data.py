"""Data of Python as data of the library.

A dict is arrays that are named after variables. A table of pandas, polars or Arrow has columns, which
become variables as those of a CSV file do. AnnData has matrices and columns, as its files do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from . import _dgc
from ._table import is_table, table, without

#: Variables that a model declares: role, name and type.
Declared = list[tuple[str, str, str]]

#: The role of a variable that the data have.
OBSERVED = ("data", "given", "label", "weight")

#: The values of the column ``split``, with the beginnings of the names of their arrays.
PARTS = {"train": "", "test": "test.", "validation": "validation."}


class Source:
    """Data before a model reads them: names or paths, or data in memory."""

    def __init__(self, data: Any, validation: Any = None, test: Any = None) -> None:
        self.data = data
        self.validation = validation
        self.test = test
        self.is_file = isinstance(data, (str, os.PathLike))
        kind = "data" if self.is_file else _kind(data)
        for name, part in (("validation", validation), ("test", test)):
            if part is None:
                continue
            found = "data" if isinstance(part, (str, os.PathLike)) else _kind(part)
            if found != kind:
                raise TypeError(f"{name}: expected {KINDS[kind]}, as the data are")

    @property
    def files(self) -> tuple[str | None, str | None, str | None]:
        """The files of the training, validation and test rows."""
        parts = (self.data, self.validation, self.test)
        data, validation, test = (None if part is None else os.fspath(part) for part in parts)
        return data, validation, test

    def contents(self, declared: Declared, is_whole: bool = False) -> _dgc.Data:
        """Data in memory, for a model that declares these variables.

        The column ``split`` says which rows belong to which part, unless the data are used as a whole.
        """
        parts = {"": self.data, "validation.": self.validation, "test.": self.test}
        if is_table(self.data):
            others = {
                name.rstrip("."): part for name, part in parts.items() if name and part is not None
            }
            data = without(self.data, "split") if is_whole else self.data
            return _dgc.Data.table(table(data, others))
        named: dict[str, Any] = {}
        for prefix, part in parts.items():
            if part is None:
                continue
            arrays = annotated(part, declared, is_whole) if is_annotated(part) else part
            named.update({f"{prefix}{name}": value for name, value in arrays.items()})
        return arrays_of(named)

    def dataset(
        self, model: _dgc.Model, run: _dgc.Run | None = None, part: str | None = None
    ) -> _dgc.Dataset:
        """The data set for a model, or for a run that knows its columns and classes.

        Rows for a run are all rows, unless `part` chooses some.
        """
        if self.is_file:
            if run is not None:
                return run.open_data(os.fspath(self.data))
            return _dgc.Dataset.open(model, self.files)
        is_whole = run is not None and part is None
        declared = [(role, name, domain) for name, role, domain, *_ in model.variables]
        return _dgc.Dataset(model, self.contents(declared, is_whole), run)

    @property
    def like(self) -> Any:
        """The table that results are shaped after, if the data are one."""
        return self.data if is_table(self.data) else None


#: The forms of data, for messages.
KINDS = {
    "data": "the path of a data set",
    "arrays": "a dict of arrays",
    "table": "a table",
    "annotated": "AnnData",
}


def _kind(data: Any) -> str:
    if isinstance(data, Mapping):
        return "arrays"
    if is_table(data):
        return "table"
    if is_annotated(data):
        return "annotated"
    raise TypeError(
        "data: expected a dict of arrays, a table of pandas, polars or Arrow, AnnData, or the path "
        f"of a data set, found {type(data).__name__}"
    )


def is_annotated(data: Any) -> bool:
    """Whether data are AnnData."""
    return type(data).__module__.partition(".")[0] == "anndata" and hasattr(data, "obs")


def annotated(data: Any, declared: Declared, is_whole: bool) -> dict[str, Any]:
    """The arrays of AnnData for a model.

    As in its files, a class or a single number is the column of its name in ``obs``; other variables
    are the layer or the array of ``obsm`` of their name, or else ``X``.
    """
    arrays: dict[str, Any] = {}
    takes_x = []
    for role, name, domain in declared:
        if role not in OBSERVED:
            continue
        if name in data.obs:
            arrays[name] = data.obs[name].to_numpy()
        elif domain == "class" or role == "weight":
            continue
        elif name in data.layers:
            arrays[name] = data.layers[name]
        elif name in data.obsm:
            arrays[name] = np.asarray(data.obsm[name])
        else:
            takes_x.append(name)
    if len(takes_x) > 1:
        names = ", ".join(f"`{name}`" for name in takes_x)
        raise ValueError(
            f"data: {names} are neither layers nor columns of `obs`, and only one takes `X`"
        )
    arrays.update({name: data.X for name in takes_x})
    is_variable = any(name == "split" for _, name, _ in declared)
    if is_whole or is_variable or "split" not in data.obs:
        return arrays
    split = data.obs["split"].to_numpy().astype(str)
    unknown = set(split) - set(PARTS)
    if unknown:
        raise ValueError(
            f"data: `split` in `obs`: expected train, test or validation, found {unknown.pop()}"
        )
    return {
        f"{prefix}{name}": array[np.flatnonzero(split == part)]
        for part, prefix in PARTS.items()
        if part in split
        for name, array in arrays.items()
    }


def arrays_of(named: Mapping[str, Any]) -> _dgc.Data:
    """The arrays of a dict, without copies where their layout allows it."""
    dense, sparse, texts = [], [], []
    for name, value in named.items():
        if is_sparse(value):
            matrix = value.tocsr()
            if not matrix.has_canonical_format:
                matrix = matrix.copy()
                matrix.sum_duplicates()
            entries = (flat(matrix.data, name), flat(matrix.indices, name))
            shape = (int(matrix.shape[0]), int(matrix.shape[1]))
            sparse.append((name, shape, *entries, flat(matrix.indptr, name)))
            continue
        array = np.asarray(value)
        if array.dtype.kind in "OUST":
            texts.append((name, coded(array, name)))
        else:
            dense.append((name, list(array.shape), flat(array, name)))
    return _dgc.Data.arrays(dense, sparse, texts)


def is_sparse(value: Any) -> bool:
    """Whether a value is a sparse matrix or array of scipy."""
    return hasattr(value, "tocsr") and hasattr(value, "nnz")


def flat(array: np.ndarray[Any, Any], name: str) -> tuple[str, int, np.ndarray[Any, Any]]:
    """The type of an array's numbers and their bytes, row-major and in the machine's order."""
    if array.dtype.kind not in "fiub":
        raise TypeError(f"data: `{name}`: expected numbers, found an array of type {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return array.dtype.kind, array.dtype.itemsize, array.reshape(-1).view(np.uint8)


def coded(array: np.ndarray[Any, Any], name: str) -> tuple[np.ndarray[Any, Any], list[str]]:
    """The place of each text in a list of different ones, −1 for ``None`` and NaN; and the list."""
    if array.ndim != 1:
        raise TypeError(f"data: `{name}`: expected texts of shape (rows,), found {array.shape}")
    return codes(array.tolist())


def codes(values: Iterable[Any]) -> tuple[np.ndarray[Any, Any], list[str]]:
    """As :func:`coded`, of any values."""
    places: dict[str, int] = {}
    found = [
        -1 if value is None or value != value else places.setdefault(str(value), len(places))
        for value in values
    ]
    return np.array(found, dtype=np.int64), list(places)
