"""Trained runs."""

from __future__ import annotations

import html
import io
import json
import os
import shutil
import tempfile
import weakref
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import _data, _dgc
from ._device import choice
from ._model import Model, picture
from ._table import frame, series

#: The lock of a run's folder.
LOCK = ".lock"


class Evaluation(dict[str, Any]):
    """The scores of rows, by name: bounds, log-likelihood, label errors. Prints as ``dgc eval``."""

    def __init__(self, scores: Mapping[str, Any], text: str) -> None:
        super().__init__(scores)
        self.text = text

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.text)}</pre>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Evaluation, (dict(self), self.text)


class Run:
    """A trained model with its settings, in a folder.

    The parameters are those of the best epoch if the run chooses one, else the last ones. All
    operations draw their samples from `seed`, so a repeated operation gives the same numbers. The
    results of a row depend neither on its place nor on the rows beside it.

    Every operation takes the rows in `data`, in any form that :func:`dgc.train` takes; labels may be
    missing. Without `data`, the rows are those of the file that the run was trained on: `part`
    chooses ``test``, ``validation`` or ``train``.

    Results are arrays, or tables of pandas or polars if the rows are such a table. An operation over
    several variables returns a dict with a result for each variable; if there is only one, or
    `variable` names it, the result alone.
    """

    _run: _dgc.Run
    _folder: Folder | None
    _options: dict[str, Any]
    _notes: list[str]
    _summary: str
    _pid: int

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        device: str = "auto",
        threads: int | None = None,
        samples: int = 10,
        seed: int = 0,
        checkpoint: str = "best",
        calibrated: bool = True,
    ) -> None:
        """Open the run in a folder; see :meth:`load`."""
        self._folder = None
        self._notes, self._summary = [], ""
        self._options = {
            "device": choice(device, threads),
            "samples": samples,
            "seed": seed,
            "checkpoint": checkpoint,
            "calibrated": calibrated,
        }
        self._open(os.fspath(folder))

    @classmethod
    def load(cls, folder: str | os.PathLike[str], **options: Any) -> Run:
        """Open the run in a folder.

        Parameters
        ----------
        folder : path
            The folder, of this package or of the program.
        device : {"auto", "cpu", "cuda"}
            The device.
        threads : int, optional
            The number of CPU threads.
        samples : int
            The number of samples per row.
        seed : int
            The seed of the samples.
        checkpoint : {"best", "last"}
            The parameters to use.
        calibrated : bool
            Whether class probabilities are calibrated, if the run has a calibration.
        """
        return cls(folder, **options)

    @classmethod
    def _of(
        cls,
        run: _dgc.Run,
        device: dict[str, Any],
        folder: Folder | None,
        notes: list[str],
        summary: str,
    ) -> Run:
        made = cls.__new__(cls)
        made._run = run
        made._folder = folder
        made._notes, made._summary = notes, summary
        made._options = {
            "device": {**device, "precision": None},
            "samples": 10,
            "seed": 0,
            "checkpoint": "best",
            "calibrated": True,
        }
        made._pid = os.getpid()
        return made

    def _open(self, folder: str) -> None:
        self._run = _dgc.Run.open(folder, *self._options.values())
        self._pid = os.getpid()

    @property
    def _native(self) -> _dgc.Run:
        if self._pid != os.getpid():
            # A forked process has none of the threads of its parent.
            self._open(str(self._run.folder))
        return self._run

    def using(
        self,
        *,
        samples: int | None = None,
        seed: int | None = None,
        checkpoint: str | None = None,
        calibrated: bool | None = None,
        threads: int | None = None,
    ) -> Run:
        """The run with other numbers of samples and CPU threads, another seed or other parameters."""
        changed = {
            "samples": samples,
            "seed": seed,
            "checkpoint": checkpoint,
            "calibrated": calibrated,
        }
        other = Run.__new__(Run)
        other._folder, other._notes, other._summary = self._folder, self._notes, self._summary
        other._options = {
            name: value if changed.get(name) is None else changed[name]
            for name, value in self._options.items()
        }
        if threads is not None:
            other._options["device"] = {**self._options["device"], "threads": threads}
        other._open(str(self.folder))
        return other

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self._run.folder)

    @property
    def model(self) -> Model:
        """The trained model."""
        return Model._of(self._run.model)

    @property
    def class_names(self) -> dict[str, list[str]]:
        """The names of the classes of each variable whose classes have names in the data."""
        return dict(self._run.class_names)

    @property
    def notes(self) -> list[str]:
        """What training noted about the data and the result."""
        return list(self._notes)

    @property
    def summary(self) -> str:
        """What training understood of its data and options: the first lines of ``dgc train``."""
        return self._summary

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The metrics of each epoch."""
        text = (self.folder / "metrics.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def save(self, folder: str | os.PathLike[str]) -> Run:
        """Copy the run to a new folder, and open it there."""
        if os.path.isdir(folder) and os.listdir(folder):
            raise FileExistsError(f"{os.fspath(folder)}: the folder is not empty")
        ignored = shutil.ignore_patterns(LOCK)
        shutil.copytree(self.folder, folder, ignore=ignored, dirs_exist_ok=True)
        other = Run.__new__(Run)
        other._folder, other._notes, other._summary = None, self._notes, self._summary
        other._options = self._options
        other._open(os.fspath(folder))
        return other

    def evaluate(self, data: Any = None, *, part: str | None = None) -> Evaluation:
        """The bound, its terms, the log-likelihood, and the scores of each label.

        Returns
        -------
        Evaluation
            A dict that prints as ``dgc eval``. Bounds are in nats per row.
        """
        rows = self._rows(data, part)
        scores, text = self._native.evaluate(rows.dataset, rows.part)
        return Evaluation(json.loads(scores), text)

    def predict_proba(
        self, data: Any = None, variable: str | None = None, *, part: str | None = None
    ) -> Any:
        """The probability of each class of each label.

        Returns
        -------
        array of shape (rows, classes), or dict of them
        """
        rows = self._rows(data, part)
        found = {
            label: rows.table(values, classes, names or [str(c) for c in range(classes)])
            for label, classes, names, values in self._native.predict(rows.dataset, rows.part)
        }
        return only(found, variable, "label")

    def predict(
        self, data: Any = None, variable: str | None = None, *, part: str | None = None
    ) -> Any:
        """The prediction of each label.

        Returns
        -------
        array of shape (rows,), or dict of them
            The name of the most probable class, or its number if it has none; of a numeric label,
            the mean, of shape (rows, features) if it has several numbers.
        """
        rows = self._rows(data, part)
        found = {}
        for label, classes, names, values in self._native.predict(rows.dataset, rows.part):
            likeliest = values.reshape(-1, classes).argmax(axis=1)
            named = np.array(names, dtype=object)[likeliest] if names else likeliest
            found[label] = rows.series(named, label)
        if any(label.domain != "class" for label in self.model.labels):
            found.update(self._numbers(rows, deviations=False))
        return only(found, variable, "label")

    def predict_std(
        self, data: Any = None, variable: str | None = None, *, part: str | None = None
    ) -> Any:
        """The standard deviation of each numeric label, in the units of the data.

        Returns
        -------
        array of shape (rows,) or (rows, features), or dict of them
        """
        found = self._numbers(self._rows(data, part), deviations=True)
        return only(found, variable, "numeric label")

    def _numbers(self, rows: Rows, deviations: bool) -> dict[str, Any]:
        """The means of numeric labels, or their deviations."""
        found = {}
        shapes = {label.name: label.shape for label in self.model.labels}
        for label, width, means, spread in self._native.predict_numbers(rows.dataset, rows.part):
            values = spread if deviations else means
            if width == 1:
                found[label] = rows.series(values, label)
            else:
                columns = [f"{label}{feature}" for feature in range(width)]
                found[label] = rows.table(values, width, columns, shapes[label])
        return found

    def encode(
        self, data: Any = None, variable: str | None = None, *, part: str | None = None
    ) -> Any:
        """The posterior mean of each latent variable.

        Returns
        -------
        array of shape (rows, features), or dict of them
        """
        rows = self._rows(data, part)
        shapes = {latent.name: latent.shape for latent in self.model.latents}
        found = {
            name: rows.table(values, width, columns, shapes[name])
            for name, width, columns, values in self._native.encode(rows.dataset, rows.part)
            if name in shapes
        }
        return only(found, variable, "latent")

    def reconstruct(
        self, data: Any = None, variable: str | None = None, *, part: str | None = None
    ) -> Any:
        """The mean of each data variable given what is inferred of the row.

        Returns
        -------
        array of shape (rows, features), or dict of them
            Of a class variable, the probability of each class.
        """
        rows = self._rows(data, part)
        return self._means(self._native.reconstruct(rows.dataset, rows.part), rows, variable)

    def impute(
        self, data: Any = None, variable: str | None = None, *, part: str | None = None
    ) -> Any:
        """The rows with missing values filled in.

        Values that are observed stay as they are. The type of some data variable must be ``with
        missing``.

        Returns
        -------
        array of shape (rows, features), or dict of them
            Of a class variable, the probability of each class: 1 for one that is observed.
        """
        rows = self._rows(data, part)
        return self._means(self._native.impute(rows.dataset, rows.part), rows, variable)

    def calibrate(self, data: Any = None, *, part: str | None = None) -> dict[str, Any]:
        """Fit a temperature for each label on rows that the run did not train on.

        From then on, class probabilities are calibrated; the run's folder keeps the temperatures.

        Returns
        -------
        dict
            The temperatures, and the scores before and after.
        """
        rows = self._rows(data, part)
        found = _dgc.Run.calibrate(self.folder, self._options["device"], rows.dataset, rows.part)
        self._open(str(self.folder))
        return dict(json.loads(found))

    def score(self, data: Any = None, *, part: str | None = None) -> Any:
        """The log-likelihood of each row, in nats, by importance sampling.

        Returns
        -------
        array of shape (rows,)
        """
        rows = self._rows(data, part)
        return rows.series(self._native.score(rows.dataset, rows.part), "log-likelihood")

    def log_likelihood(self, data: Any = None, *, part: str | None = None) -> float:
        """The mean log-likelihood of the rows, in nats."""
        rows = self._rows(data, part)
        return float(self._native.score(rows.dataset, rows.part).mean(dtype=np.float64))

    def sample(
        self,
        n: int = 10,
        *,
        given: Mapping[str, Any] | None = None,
        seed: int = 0,
        variable: str | None = None,
    ) -> Any:
        """Draw latent variables, and return the means of the data variables given them.

        Parameters
        ----------
        n : int
            The number of draws, from 1 to 10,000; of each class that `given` does not choose.
        given : dict, optional
            The class of class variables, by name or number, and the values of given variables.
        seed : int
            The seed of the draws.

        Returns
        -------
        dict of arrays, or an array of shape (draws, features) if there is only one variable
            The means of each data variable, and the class of each class variable.
        """
        chosen = [(name, _chosen(value)) for name, value in (given or {}).items()]
        _, classes, means = self._native.sample(n, chosen, 1, seed)
        shapes = {found.name: found.shape for found in self.model.variables}
        found: dict[str, Any] = {}
        for name, names, drawn in classes:
            found[name] = np.array(names, dtype=object)[drawn] if names else drawn
        for name, width, _, values in means:
            found[name] = values.reshape(-1, *shapes.get(name, (width,)))
        return only(found, variable, "variable")

    def _means(self, found: Any, rows: Rows, variable: str | None) -> Any:
        shapes = {
            known.name: known.shape
            for known in self.model.variables
            if known.domain != "class"
        }
        return only(
            {
                name: rows.table(values, width, columns, shapes.get(name))
                for name, width, columns, values in found
            },
            variable,
            "data variable",
        )

    def _rows(self, data: Any, part: str | None) -> Rows:
        if data is None:
            return Rows(None, part, None)
        source = _data.Source(data)
        return Rows(source.dataset(self._run.model, self._native, part), part, source.like)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"<dgc.Run of {self.model.name} in {self.folder}>"

    def _repr_html_(self) -> str:
        """The model, and the learning curves."""
        curves = self.folder / "curves.svg"
        drawn = picture(curves.read_text(encoding="utf-8")) if curves.exists() else ""
        return f"<div>{html.escape(repr(self))}{drawn}{self.model._repr_html_()}</div>"

    def __getstate__(self) -> dict[str, Any]:
        """The options and the files of the run's folder."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(self.folder.iterdir()):
                if path.is_file() and path.name != LOCK:
                    archive.write(path, path.name)
        return {
            "options": self._options,
            "notes": self._notes,
            "summary": self._summary,
            "files": packed.getvalue(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._options, self._notes = state["options"], state["notes"]
        self._summary = state["summary"]
        self._folder = new_folder()
        with zipfile.ZipFile(io.BytesIO(state["files"])) as archive:
            archive.extractall(self._folder.path)
        self._open(self._folder.path)


def load(folder: str | os.PathLike[str], **options: Any) -> Run:
    """Open the run in a folder; see :meth:`Run.load`."""
    return Run(folder, **options)


class Rows:
    """Rows of an operation, and the form of its results."""

    def __init__(self, dataset: _dgc.Dataset | None, part: str | None, like: Any) -> None:
        self.dataset = dataset
        self.part = part
        self.like = like

    def table(
        self,
        values: np.ndarray[Any, Any],
        width: int,
        columns: list[str],
        shape: tuple[int, ...] | None = None,
    ) -> Any:
        """Values with axes row, column: a table if the rows are one, else an array."""
        if self.like is not None:
            return frame(values.reshape(-1, width), columns, self.like)
        return values.reshape(-1, *(shape or (width,)))

    def series(self, values: np.ndarray[Any, Any], name: str) -> Any:
        """A value of each row: a column if the rows are a table, else an array."""
        return series(values, name, self.like)


def only(found: dict[str, Any], variable: str | None, what: str) -> Any:
    """The result of a variable; of all variables, unless there is only one."""
    if variable is not None:
        if variable not in found:
            known = ", ".join(found) or "none"
            raise KeyError(f"the model has no {what} `{variable}`; it has {known}")
        return found[variable]
    return next(iter(found.values())) if len(found) == 1 else found


def _chosen(value: Any) -> str:
    """The value of a class, or of a given variable, as text."""
    if isinstance(value, (str, int, np.integer)):
        return str(value)
    return ",".join(str(float(number)) for number in np.atleast_1d(value))


class Folder:
    """A temporary folder, which is removed with its last user."""

    def __init__(self) -> None:
        self.parent = tempfile.mkdtemp(prefix="dgc-")
        self.path = os.path.join(self.parent, "run")
        weakref.finalize(self, _remove, self.parent, os.getpid())


def new_folder() -> Folder:
    """A new temporary folder."""
    return Folder()


def _remove(path: str, pid: int) -> None:
    # A forked process must not remove the folder of its parent.
    if os.getpid() == pid:
        shutil.rmtree(path, ignore_errors=True)
