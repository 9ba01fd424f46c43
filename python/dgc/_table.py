"""Tables of pandas, polars and Arrow: their columns, and results in their form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: The numbers of a column; or the place of each text in a list, −1 where it is missing, and the list.
Column = tuple[str, Any, Any]


def library(data: Any) -> str:
    """The library that data come from."""
    return type(data).__module__.partition(".")[0]


def is_table(data: Any) -> bool:
    """Whether data are a table."""
    name = type(data).__name__
    return (
        (library(data) in ("pandas", "polars") and name == "DataFrame")
        or (library(data) == "pyarrow" and name in ("Table", "RecordBatch"))
    )


def has_texts(data: Any) -> bool:
    """Whether data are a table with columns that are not numbers."""
    if not is_table(data):
        return False
    if library(data) == "pandas":
        return any(not _is_numeric(values) for _, values in data.items())
    # Types alone tell.
    none = data.head(0) if library(data) == "polars" else data.slice(0, 0)
    return any(texts is not None for _, _, texts in columns(none))


def with_column(data: Any, name: str, values: np.ndarray[Any, Any]) -> Any:
    """A table with a further column."""
    if library(data) == "pandas":
        return data.assign(**{name: values})
    if library(data) == "polars":
        return data.with_columns(series(values, name, data))
    return data.append_column(name, series(values, name, data))


def with_texts(data: Any, names: list[str]) -> Any:
    """A table whose columns of these names are texts. The columns of pandas may look like numbers in some
    rows alone."""
    if library(data) != "pandas":
        return data
    return data.assign(
        **{
            str(name): values.astype(object).map(str, na_action="ignore")
            for name, values in data.items()
            if str(name) in names and values.dtype != "category"
        }
    )


def filtered(data: Any, kept: np.ndarray[Any, Any]) -> Any:
    """The rows of a table that are kept."""
    return data[kept] if library(data) == "pandas" else data.filter(kept)


def renamed(data: Any, others: Mapping[str, str]) -> Any:
    """A table with other names for some columns."""
    if library(data) == "pandas":
        return data.rename(columns={name: others.get(str(name), name) for name in data.columns})
    if library(data) == "polars":
        return data.rename(dict(others))
    return data.rename_columns([others.get(name, name) for name in names(data)])


def without(data: Any, column: str) -> Any:
    """A table without a column."""
    if not is_table(data) or column not in names(data):
        return data
    if library(data) == "pandas":
        return data.drop(columns=[column])
    return data.drop([column]) if library(data) == "polars" else data.drop_columns([column])


def names(data: Any) -> list[str]:
    """The names of a table's columns."""
    found = data.column_names if library(data) == "pyarrow" else data.columns
    return [str(name) for name in found]


def table(data: Any, parts: Mapping[str, Any]) -> list[Column]:
    """The columns of a table, and below its rows those of other parts, such as ``test``."""
    if not parts:
        return columns(data)
    kept = without(data, "split")
    stacked = [(kept, "train"), *((without(part, "split"), name) for name, part in parts.items())]
    found = [dict((name, values) for name, *values in columns(rows)) for rows, _ in stacked]
    joined: list[Column] = []
    for name in found[0]:
        if any(name not in part for part in found):
            raise ValueError(f"data: a part has no column `{name}`")
        joined.append((name, *_stack([part[name] for part in found])))
    marks = np.repeat(np.arange(len(stacked)), [len(rows) for rows, _ in stacked])
    return [*joined, ("split", None, (marks, [name for _, name in stacked]))]


def _stack(parts: list[list[Any]]) -> tuple[Any, Any]:
    """The values of a column in several tables, one below the other."""
    if all(numbers is not None for numbers, _ in parts):
        return np.concatenate([numbers for numbers, _ in parts]), None
    places: dict[str, int] = {}
    found = []
    for numbers, texts in parts:
        if texts is None:
            listed = [None if number != number else f"{number:g}" for number in numbers]
        else:
            listed = [None if code < 0 else texts[1][code] for code in texts[0]]
        found += [-1 if t is None else places.setdefault(t, len(places)) for t in listed]
    return None, (np.array(found, dtype=np.int64), list(places))


def columns(data: Any) -> list[Column]:
    """The columns of a table."""
    kind = library(data)
    if kind == "pandas":
        return [(str(name), *_of_pandas(str(name), values)) for name, values in data.items()]
    if kind == "polars":
        return [(series.name, *_of_polars(series)) for series in data.get_columns()]
    return [(name, *_of_arrow(data.column(name))) for name in data.schema.names]


def _is_numeric(series: Any) -> bool:
    """Whether a column of pandas has numbers; those of the type ``object`` may."""
    import pandas as pd

    return bool(pd.api.types.is_numeric_dtype(series.infer_objects().dtype))


def _of_pandas(name: str, series: Any) -> tuple[Any, Any]:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        codes = series.cat.codes.to_numpy().astype(np.int64)
        return None, (codes, [str(category) for category in series.cat.categories])
    series = series.infer_objects()
    if _is_numeric(series):
        if pd.api.types.is_complex_dtype(series.dtype):
            raise TypeError(f"data: column `{name}`: expected real numbers, found complex ones")
        return series.to_numpy(dtype=np.float64, na_value=np.nan), None
    codes, texts = pd.factorize(series)
    return None, (codes.astype(np.int64), [str(text) for text in texts])


def _of_polars(series: Any) -> tuple[Any, Any]:
    import polars as pl

    if series.dtype.is_numeric() or series.dtype == pl.Boolean:
        numbers = series.cast(pl.Float64).fill_null(float("nan"))
        return np.ascontiguousarray(numbers.to_numpy()), None
    texts = series.cast(pl.String)
    different = texts.drop_nulls().unique(maintain_order=True).to_list()
    places = {text: place for place, text in enumerate(different)}
    codes = np.array([places.get(text, -1) for text in texts.to_list()], dtype=np.int64)
    return None, (codes, different)


def _of_arrow(column: Any) -> tuple[Any, Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_boolean(kind):
        column, kind = column.cast(pa.uint8()), pa.uint8()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = column.cast(pa.float64()).fill_null(float("nan"))
        return np.ascontiguousarray(numbers.to_numpy()), None
    texts = column.cast(pa.string())
    different = pc.unique(texts).drop_null()
    codes = pc.fill_null(pc.index_in(texts, value_set=different), -1)
    return None, (codes.to_numpy().astype(np.int64), different.to_pylist())


def frame(values: np.ndarray[Any, Any], columns: list[str], like: Any) -> Any:
    """Values with axes row, column as a table like another one; an array if there is none."""
    if like is None:
        return values
    if library(like) == "pandas":
        import pandas as pd

        return pd.DataFrame(values, columns=columns, index=like.index)
    if library(like) == "polars":
        import polars as pl

        return pl.DataFrame(values, schema=columns, orient="row")
    import pyarrow as pa

    return pa.table({name: values[:, place] for place, name in enumerate(columns)})


def series(values: np.ndarray[Any, Any], name: str, like: Any) -> Any:
    """A value for each row as a column like those of a table; an array if there is none."""
    if like is None:
        return values
    if library(like) == "pandas":
        import pandas as pd

        return pd.Series(values, index=like.index, name=name)
    if library(like) == "polars":
        import polars as pl

        return pl.Series(name, values.tolist() if values.dtype == object else values)
    import pyarrow as pa

    return pa.array(values.tolist() if values.dtype == object else values)
