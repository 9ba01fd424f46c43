"""Models."""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from . import _data, _dgc


class Variable(NamedTuple):
    """A variable of a model."""

    #: The name in the model.
    name: str
    #: ``data``, ``given``, ``label``, ``latent`` or ``node``.
    role: str
    #: The type of each number: ``real``, ``positive``, ``unit``, ``binary``, ``count`` or ``class``.
    domain: str
    #: The sizes of the axes behind the row; for a class, the number of classes.
    shape: tuple[int, ...]
    #: Whether networks read it with mean 0 and deviation 1.
    standardized: bool
    #: Whether rows may lack some of its values.
    missing: bool
    #: The numbers of a row in the data: 1 for a class.
    width: int


class Model:
    """A checked model: two graphs, an objective and the settings of training.

    Parameters
    ----------
    source : str or path
        The text of a model, or the path of a ``.dgm`` file.
    data : dict of arrays, table or path, optional
        Data that say the sizes that the text leaves open, such as ``size features``.
    settings : dict, optional
        Values of sizes and settings that replace those of the text, such as
        ``{"hidden": 128, "epochs": 10}``.
    name : str, optional
        The name of the text in messages.

    Raises
    ------
    dgc.Error
        If the text has mistakes; the message shows each with its place and a way out.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        data: Any = None,
        settings: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        sets = changes(settings)
        if isinstance(source, str) and is_text(source):
            text, file = source, name or "model.dgm"
        else:
            path = Path(source)
            if data is None:
                self._model = _dgc.Model.open(path, sets)
                return
            text, file = _dgc.read_model(path), name or path.name
        given = data if data is None or isinstance(data, _data.Source) else _data.Source(data)
        if given is None:
            self._model = _dgc.Model.parse(file, text, sets, None, None)
        elif given.is_file:
            self._model = _dgc.Model.parse(file, text, sets, None, given.files[0])
        else:
            contents = given.contents(_dgc.declared(text))
            self._model = _dgc.Model.parse(file, text, sets, contents, None)

    @classmethod
    def _of(cls, model: _dgc.Model) -> Model:
        made = cls.__new__(cls)
        made._model = model
        return made

    @property
    def name(self) -> str:
        """The name behind ``model``."""
        return self._model.name

    @property
    def text(self) -> str:
        """The text."""
        return self._model.text

    @property
    def settings(self) -> dict[str, str]:
        """Every size and setting with its value, as texts."""
        return dict(self._model.settings)

    @property
    def variables(self) -> list[Variable]:
        """The variables, in the order of their declarations."""
        return [
            Variable(name, role, domain, tuple(shape), standardized, missing, width)
            for name, role, domain, shape, standardized, missing, width in self._model.variables
        ]

    @property
    def labels(self) -> list[Variable]:
        """The labels, which are observed on some rows."""
        return [variable for variable in self.variables if variable.role == "label"]

    @property
    def latents(self) -> list[Variable]:
        """The latent variables."""
        return [variable for variable in self.variables if variable.role == "latent"]

    @property
    def warnings(self) -> str | None:
        """Constructs that are valid and probably mistakes, as text; ``None`` if there are none."""
        return self._model.warnings()

    def set(self, **settings: Any) -> Model:
        """The model with other values of sizes and settings: ``model.set(hidden=128)``.

        Settings with a point are given as a dict: ``model.set(**{"batch.unlabelled": 200})``.
        """
        return Model._of(self._model.set(changes(settings)))

    def on_run(self, variable: str, run: Any) -> Model:
        """The model with the values of a data variable from the latent variable of another run.

        Parameters
        ----------
        variable : str
            A data variable, which has the name of the latent variable.
        run : Run or path
            The run that infers it.
        """
        return Model._of(self._model.on_run(variable, os.fspath(run)))

    def explain(self) -> str:
        """The bound and the loss as mathematics, with a sentence about each changing weight."""
        return self._model.explain()

    def graph(self, format: Literal["text", "dot", "svg"] = "text") -> str:
        """A drawing of both graphs."""
        return self._model.graph(format)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the text to a file."""
        Path(path).write_text(self.text, encoding="utf-8")

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        variables = ", ".join(variable.name for variable in self.variables)
        return f"<dgc.Model {self.name}: {variables}>"

    def _repr_html_(self) -> str:
        """Both graphs as a picture, and the bound as mathematics."""
        return f"<div>{picture(self.graph('svg'))}<pre>{html.escape(self.explain())}</pre></div>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _parsed, (self.text, self._model.file, self._model.sets)


def picture(svg: str) -> str:
    """A picture as an image of HTML, whose styles do not change those of the page."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}"/>'


def draft(
    data: Any, label: str | None = None, *, recipe: str = "joint", name: str = "model"
) -> str:
    """Write the text of a first model for data, with comments that explain each choice.

    All numbers are one variable of standardized real numbers, each column of texts is a class, and
    `label` is the label: a class, or a number. The model trains as it is.

    Parameters
    ----------
    data : dict of arrays, or table
        The data.
    label : str, optional
        The array or column to predict.
    recipe : {"joint", "generative", "consistent", "linear"}
        The kind of model for a label that is a class.
    name : str
        The name of the model.

    Returns
    -------
    str
        The text, for :class:`Model` or :func:`dgc.train`.
    """
    source = _data.Source(data)
    if source.is_file:
        raise TypeError("data: expected data in memory; `dgc new` writes a model for a file")
    return _dgc.draft(name, source.contents([]), label, recipe)


def _parsed(text: str, name: str, sets: list[tuple[str, str]]) -> Model:
    return Model._of(_dgc.Model.parse(name, text, sets, None, None))


def is_text(source: str) -> bool:
    """Whether a source is the text of a model, rather than a path."""
    return "\n" in source or "{" in source


def text_of(source: str | os.PathLike[str]) -> str:
    """The text of a model that is a text or a path."""
    if isinstance(source, str) and is_text(source):
        return source
    return _dgc.read_model(Path(source))


def changes(settings: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Settings as names and texts."""
    return [(name, setting(value)) for name, value in (settings or {}).items()]


def setting(value: Any) -> str:
    """The text of a setting's value."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
