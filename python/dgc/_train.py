"""Training."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from . import _data, _dgc
from ._device import choice
from ._model import Model, changes
from ._progress import bar
from ._run import Run, new_folder

log = logging.getLogger("dgc")

Callback = Callable[[dict[str, Any]], Any]


def train(
    model: Model | str | os.PathLike[str],
    data: Any,
    *,
    epochs: int | None = None,
    seed: int = 0,
    labels: int | None = None,
    validation: Any = None,
    test: Any = None,
    patience: int | None = None,
    criterion: str | None = None,
    samples: int | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    device: str = "auto",
    threads: int | None = None,
    precision: str | None = None,
    kernel_family: str | None = None,
    from_: Mapping[str, Any] | None = None,
    init: Any = None,
    freeze: Sequence[str] = (),
    tensorboard: bool = False,
    callback: Callback | Watch | None = None,
    progress: bool | None = None,
    quiet: bool = False,
) -> Run:
    """Train a model.

    Parameters
    ----------
    model : Model, str or path
        The model, its text or its file. Sizes without a value are found in the data.
    data : dict of arrays, table, AnnData, or str or path
        A dict has for each observed variable an array of shape ``(rows, ...)``, named after it, or
        a sparse matrix. Classes have the shape ``(rows,)``: whole numbers, with −1 for an
        unlabelled row; or texts, with ``None``. Arrays ``test.x`` and ``test.y`` hold test rows.
        The arrays are not copied, if they are row-major, and must not change during training.

        The columns of a table of pandas, polars or Arrow become variables as those of a CSV file
        do: a variable takes the column of its name, or the columns of its name and a number
        (``x0``, ``x1``), or all numeric columns that nothing else takes. A column ``split`` says
        which rows are for ``train``, ``test`` and ``validation``.

        AnnData is read as its files are: classes and single numbers from ``obs``, other variables
        from the layer or the array of ``obsm`` of their name, or else from ``X``.

        A text is the path of a data set, or ``mnist``.
    epochs : int, optional
        The number of passes over the training rows; by default the model's.
    seed : int
        The seed of all random numbers. The same seed gives the same bits, in the program as well.
    labels : int, optional
        Keep this number of labels, as evenly over the classes as possible, and hide the others.
    validation : int, float, str, or data, optional
        Training rows to hold out: a number, or a share such as ``0.1`` or ``"10%"``; or other rows
        in the form of `data`.
    test : data, optional
        Test rows, in the form of `data`.
    patience : int, optional
        Stop when so many epochs in a row are no better on the validation rows than the best one.
    criterion : {"error", "log-loss", "bound"}, optional
        What makes an epoch the best one, on the validation rows.
    samples : int, optional
        Samples per row in the evaluation after each epoch.
    settings : dict, optional
        Values of sizes and settings that replace those of the model.
    out : path, optional
        The folder of the run, which gets a checkpoint after each epoch, or once a second where
        epochs take less. Without it, the run is in a temporary folder that lasts as long as the
        result; :meth:`Run.save` keeps it.
    device : {"auto", "cpu", "cuda"}
        The device.
    threads : int, optional
        The number of CPU threads. By default all cores that the process may use.
    precision : {"f32", "bf16", "tf32"}, optional
        The precision of the operands of matrix products.
    kernel_family : str, optional
        The kernels of the CPU, such as ``avx2``.
    from_ : dict of runs, optional
        For each variable that another run infers, that run or its folder.
    init : Run or path, optional
        A run whose parameters this one begins with.
    freeze : sequence of str
        Patterns of the names of parameters that do not change, such as ``p.*``.
    tensorboard : bool
        Whether the run's folder also gets the metrics as events for TensorBoard.
    callback : callable, optional
        Called with the metrics of each epoch, a dict. A true result stops training.
    progress : bool, optional
        Whether to show a bar of tqdm, or lines if tqdm is not installed. By default in notebooks.
    quiet : bool
        Whether to leave notes about the data and the result out of the log ``dgc``; the run has them
        anyway.

    Returns
    -------
    Run

    Raises
    ------
    dgc.Error
        If the data do not fit the model, an option is out of range, or training diverged.
    KeyboardInterrupt
        After the current step, once a checkpoint is written to `out`; :func:`resume` continues.
    """
    held_out = None
    if validation is not None and not is_share(validation):
        held_out, validation = validation, None
    given = _data.Source(data, held_out, test)
    sets = dict(settings or {})
    if epochs is not None:
        sets["epochs"] = epochs
    if not isinstance(model, Model):
        model = Model(model, data=given, settings=sets)
    elif sets:
        model = model.set(**sets)
    upstream = [(variable, os.fspath(run)) for variable, run in (from_ or {}).items()]
    for variable, run in upstream:
        model = model.on_run(variable, run)
    dataset = given.dataset(model._model)
    options = {
        "labels": labels,
        "validation": None if validation is None else str(validation),
        "patience": patience,
        "criterion": criterion,
        "seed": seed,
        "samples": samples,
        "out": None if out is None else os.fspath(out),
        "from_": upstream,
        "init": None if init is None else os.fspath(init),
        "freeze": list(freeze),
        "tensorboard": tensorboard,
    }
    temporary = new_folder() if out is None else None
    folder = temporary.path if temporary is not None else os.fspath(out or "")
    chosen = choice(device, threads, precision, kernel_family)
    watch = callback if isinstance(callback, Watch) else Watch(callback, progress, quiet)
    with watch:
        run = _dgc.train(model._model, dataset, options, chosen, folder, watch.functions())
    return Run._of(run, chosen, temporary, watch.notes, watch.summary)


def resume(
    run: Any,
    *,
    data: Any = None,
    validation: Any = None,
    test: Any = None,
    epochs: int | None = None,
    rate: float | None = None,
    patience: int | None = None,
    device: str = "auto",
    threads: int | None = None,
    kernel_family: str | None = None,
    callback: Callback | None = None,
    progress: bool | None = None,
) -> Run:
    """Resume a run from its last checkpoint, with the bits of an uninterrupted run.

    Parameters
    ----------
    run : Run or path
        The run's folder.
    data, validation, test : data, optional
        The data of the run, if they were in memory; or their new place.
    epochs : int, optional
        The number of passes over the training rows, counting those done.
    rate : float, optional
        Another learning rate.
    patience : int, optional
        Another number of epochs without a better one that end training.
    device, threads, kernel_family, callback, progress
        As in :func:`train`.

    Returns
    -------
    Run
    """
    folder = os.fspath(run)
    chosen = choice(device, threads, None, kernel_family)
    dataset, place = None, None
    if data is not None:
        given = _data.Source(data, validation, test)
        if given.is_file:
            place = given.files
        else:
            opened = _dgc.Run.open(folder, chosen, 10, 0, "best", False)
            contents = given.contents(
                [(role, name, domain) for name, role, domain, *_ in opened.model.variables]
            )
            dataset = _dgc.Dataset(opened.model, contents, opened)
    sets = changes({"epochs": epochs} if epochs is not None else None)
    sets += changes({"rate": rate} if rate is not None else None)
    with Watch(callback, progress) as watch:
        resumed = _dgc.resume(
            folder, dataset, place, sets, patience, chosen, watch.functions()
        )
    owner = run._folder if isinstance(run, Run) else None
    return Run._of(resumed, chosen, owner, watch.notes, watch.summary)


def is_share(validation: Any) -> bool:
    """Whether validation rows are a number or a share of the training rows."""
    if isinstance(validation, str):
        return validation.rstrip("%").replace(".", "", 1).strip().isdigit()
    return isinstance(validation, (int, float, np.integer, np.floating))


class Watch:
    """Shows training: notes to the log, metrics to the callback, and progress to a bar.

    Training stops after the step in which another thread sets `stop`.
    """

    def __init__(
        self,
        callback: Callback | None = None,
        progress: bool | None = None,
        quiet: bool = False,
        stop: threading.Event | None = None,
    ) -> None:
        self.callback = callback
        self.stop = stop
        self.quiet = quiet
        self.bar = bar(progress)
        self.notes: list[str] = []
        self.summary = ""

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.close()

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The functions that the library calls."""
        return {"begun": self.begun, "step": self.step, "epoch": self.epoch}

    def begun(self, summary: str, notes: list[str]) -> None:
        if summary:
            self.summary = summary
            log.info(summary.rstrip())
        self.notes += notes
        if not self.quiet:
            for note in notes:
                log.warning("note: %s", note)

    def step(
        self, step: int, steps: int, epochs: float, bounds: list[tuple[str, float]]
    ) -> bool:
        self.bar.step(step, steps, bounds)
        return self.stop is not None and self.stop.is_set()

    def epoch(self, metrics: str, line: str) -> bool:
        self.bar.epoch(line)
        log.info(line)
        return self.callback is not None and bool(self.callback(json.loads(metrics)))
