"""The extension module: the library as classes that the package wraps."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__version__: str

_Sets = Sequence[tuple[str, str]]
_Flat = tuple[str, int, NDArray[Any]]
_Texts = tuple[NDArray[np.int64], list[str]]
_Files = tuple[str | None, str | None, str | None]
_Values = tuple[str, int, list[str], NDArray[np.float32]]
_Numbers = tuple[str, int, NDArray[np.float32], NDArray[np.float32]]
_Classes = tuple[str, list[str], NDArray[np.int64]]
_Functions = dict[str, Callable[..., Any]]

class Error(ValueError):
    """An error of dgc. Its text is that of the terminal: what happened, where, and a way out."""

    kind: str
    message: str
    help: str | None

@final
class Data:
    @staticmethod
    def arrays(
        dense: Sequence[tuple[str, Sequence[int], _Flat]],
        sparse: Sequence[tuple[str, tuple[int, int], _Flat, _Flat, _Flat]],
        texts: Sequence[tuple[str, _Texts]],
    ) -> Data: ...
    @staticmethod
    def table(
        columns: Sequence[tuple[str, NDArray[np.float64] | None, _Texts | None]],
    ) -> Data: ...

@final
class Dataset:
    others: list[str]
    def __new__(cls, model: Model, data: Data, run: Run | None) -> Dataset: ...
    @staticmethod
    def open(model: Model, files: _Files) -> Dataset: ...

@final
class Model:
    name: str
    file: str
    text: str
    sets: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    variables: list[tuple[str, str, str, list[int], bool, bool, int]]
    @staticmethod
    def parse(
        name: str, text: str, sets: _Sets, data: Data | None, place: str | None
    ) -> Model: ...
    @staticmethod
    def open(path: str | PathLike[str], sets: _Sets) -> Model: ...
    def set(self, sets: _Sets) -> Model: ...
    def on_run(self, variable: str, folder: str | PathLike[str]) -> Model: ...
    def explain(self) -> str: ...
    def graph(self, drawing: str) -> str: ...
    def warnings(self) -> str | None: ...

@final
class Run:
    folder: PathLike[str]
    data: str | None
    model: Model
    class_names: list[tuple[str, list[str]]]
    @staticmethod
    def open(
        folder: str | PathLike[str],
        device: dict[str, Any],
        samples: int,
        seed: int,
        checkpoint: str,
        calibrated: bool,
    ) -> Run: ...
    @staticmethod
    def calibrate(
        folder: str | PathLike[str],
        device: dict[str, Any],
        data: Dataset | None,
        part: str | None,
    ) -> str: ...
    def open_data(self, source: str) -> Dataset: ...
    def numbers(self, data: Dataset | None, part: str | None) -> list[int]: ...
    def evaluate(self, data: Dataset | None, part: str | None) -> tuple[str, str]: ...
    def predict(self, data: Dataset | None, part: str | None) -> list[_Values]: ...
    def predict_numbers(self, data: Dataset | None, part: str | None) -> list[_Numbers]: ...
    def encode(self, data: Dataset | None, part: str | None) -> list[_Values]: ...
    def reconstruct(self, data: Dataset | None, part: str | None) -> list[_Values]: ...
    def impute(self, data: Dataset | None, part: str | None) -> list[_Values]: ...
    def score(self, data: Dataset | None, part: str | None) -> NDArray[np.float32]: ...
    def sample(
        self, lines: int, chosen: _Sets, columns: int | None, seed: int
    ) -> tuple[int, list[_Classes], list[_Values]]: ...

def train(
    model: Model,
    data: Dataset,
    options: dict[str, Any],
    device: dict[str, Any],
    folder: str,
    watch: _Functions,
) -> Run: ...
def resume(
    folder: str,
    data: Dataset | None,
    place: _Files | None,
    sets: _Sets,
    patience: int | None,
    device: dict[str, Any],
    watch: _Functions,
) -> Run: ...
def averaged(columns: int, labelled: int) -> list[str]: ...
def cpu_threads(device: dict[str, Any]) -> int | None: ...
def draft(name: str, data: Data, label: str | None, recipe: str) -> str: ...
def declared(text: str) -> list[tuple[str, str, str]]: ...
def read_model(path: str | PathLike[str]) -> str: ...
def main(arguments: Sequence[str]) -> int: ...
