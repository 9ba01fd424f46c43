"""Estimators for scikit-learn: deep generative models in pipelines, searches and cross-validation.

=================================  ==========================================================
:class:`SemiSupervisedClassifier`  classes from few labels; unlabelled rows are −1 or ``None``
:class:`SemiSupervisedRegressor`   numbers from few labels; unlabelled rows are NaN
:class:`DensityEstimator`          log-likelihoods of rows, and draws
:class:`Encoder`                   latent variables as features
=================================  ==========================================================

Each writes a first model for its data, as ``dgc new`` does for a table, or takes one in `model`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _data, _dgc, _train
from ._model import Model, text_of
from ._run import Run

__all__ = [
    "DensityEstimator",
    "Encoder",
    "SemiSupervisedClassifier",
    "SemiSupervisedRegressor",
]


#: The recipes of a first model for classes; the first has latent variables and draws rows.
RECIPES = ("joint", "generative", "consistent", "linear")


class _Estimator(BaseEstimator):
    """What the estimators share: a run that is trained on one data variable, and maybe a label.

    Parameters
    ----------
    model : Model, str or path, optional
        A model with one data variable, and one label for a classifier. By default, a first model is
        written for the data; after `fit`, ``model_`` is it.
    settings : dict, optional
        Values of sizes and settings that replace those of the model.
    epochs : int, optional
        The number of passes over the training rows; by default the model's.
    validation : int, float or str, optional
        Training rows to hold out: a number, or a share such as ``0.1``.
    patience : int, optional
        Stop when so many epochs in a row are no better on the validation rows than the best one.
    samples : int
        The number of samples per row in predictions and scores.
    device : {"auto", "cpu", "cuda"}
        The device.
    n_jobs : int, optional
        The number of CPU threads; by default all cores that the process may use.
    random_state : int, RandomState or None
        The seed of all random numbers.
    verbose : bool
        Whether to show the progress.
    """

    def __init__(
        self,
        *,
        model: Model | str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        epochs: int | None = None,
        validation: int | float | str | None = None,
        patience: int | None = None,
        samples: int = 10,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.settings = settings
        self.epochs = epochs
        self.validation = validation
        self.patience = patience
        self.samples = samples
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def model_(self) -> Model:
        """The model that was trained."""
        check_is_fitted(self, "run_")
        return self.run_.model

    def _rows(self, X: Any, reset: bool) -> Any:
        """The rows, as scikit-learn checks them."""
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float32, np.float64],
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )

    def _train(self, X: Any, y: np.ndarray | None = None, recipe: str = RECIPES[0]) -> Run:
        """Train on rows, and on the class or number of each row."""
        given = {"x": X} if y is None else {"x": X, "y": y}
        model, settings = self.model, dict(self.settings or {})
        if model is None:
            label = None if y is None else "y"
            model = Model(_dgc.draft("model", _data.arrays_of(given), label, recipe))
            if y is not None and recipe in RECIPES[1:]:
                # Other recipes lack some sizes of the first.
                known = model.settings
                settings = {name: value for name, value in settings.items() if name in known}
        self._data, self._label = _names(model, y is not None)
        arrays = {self._data: X}
        if self._label is not None and y is not None:
            arrays[self._label] = y
        run = _train.train(
            model,
            arrays,
            epochs=self.epochs,
            seed=self._seed,
            validation=self.validation,
            patience=self.patience,
            settings=settings,
            device=self.device,
            threads=self.n_jobs,
            progress=self.verbose,
            quiet=True,
        )
        return run if self.samples == 10 else run.using(samples=self.samples)

    def _given(self, X: Any) -> dict[str, Any]:
        """Rows for the run."""
        check_is_fitted(self, "run_")
        return {self._data: self._rows(X, reset=False)}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags


class _Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """What the estimators share that give latent variables."""

    def transform(self, X: Any) -> np.ndarray:
        """The posterior means of the latent variables, shape (rows, latents)."""
        rows = self._given(X)
        found = self.run_.encode(rows)
        parts = found.values() if isinstance(found, dict) else [found]
        return np.hstack([part.reshape(len(part), -1) for part in parts])

    @property
    def _n_features_out(self) -> int:
        return sum(int(np.prod(latent.shape)) for latent in self.model_.latents)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # dgc computes in single precision.
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class SemiSupervisedClassifier(_Transformer, ClassifierMixin, _Estimator):
    """A deep generative model that classifies from few labels and many unlabelled rows.

    The classes of unlabelled rows are −1, ``None`` or NaN. ``transform`` gives the latent variables,
    and ``sample`` draws rows of each class.

    By default, four kinds of models are trained, and their class probabilities are averaged: each errs
    on other data. `recipe` chooses one: ``joint``, a generative model with virtual adversarial
    training; ``generative``, the model alone; ``consistent``, a classifier with virtual adversarial
    training; or ``linear``, logistic regression. The latent variables and draws are those of ``joint``.
    With `model`, that model alone is trained.
    """

    __doc__ += "\n" + (_Estimator.__doc__ or "").split("\n", 1)[1]

    classes_: np.ndarray

    def __init__(
        self,
        *,
        recipe: str = "all",
        model: Model | str | os.PathLike[str] | None = None,
        settings: Mapping[str, Any] | None = None,
        epochs: int | None = None,
        validation: int | float | str | None = None,
        patience: int | None = None,
        samples: int = 10,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(
            model=model,
            settings=settings,
            epochs=epochs,
            validation=validation,
            patience=patience,
            samples=samples,
            device=device,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.recipe = recipe

    def fit(self, X: Any, y: Any) -> SemiSupervisedClassifier:
        """Train on rows of which some have a class.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (rows, features)
            Numbers; NaN is a missing value.
        y : array of shape (rows,)
            The class of each row; −1, ``None`` or NaN for an unlabelled row.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        X = self._rows(X, reset=True)
        self.classes_, codes = _encode(y, len(X) if not hasattr(X, "shape") else X.shape[0])
        codes = self._numbered(codes)
        self._seed = _seed(self.random_state)
        own = self.model is not None or self.recipe != "all"
        recipes = (self.recipe,) if own else RECIPES
        self.runs_ = [self._train(X, codes, recipe) for recipe in recipes]
        self.run_ = self.runs_[0]
        known = len(self.classes_)
        label = next(label for label in self.model_.labels if label.name == self._label)
        if label.shape[0] != known:
            raise ValueError(
                f"`{label.name}` has {label.shape[0]} classes in the model, and y has {known}"
            )
        return self

    def _numbered(self, codes: np.ndarray) -> np.ndarray:
        """The classes as the model numbers them: whole numbers below its number of classes stay."""
        size = _classes_of(self.model)
        if size is None or size == len(self.classes_) or self.classes_.dtype.kind not in "iu":
            return codes
        if self.classes_.min() < 0 or self.classes_.max() >= size:
            return codes
        codes = np.where(codes < 0, -1, self.classes_[np.maximum(codes, 0)])
        self.classes_ = np.arange(size)
        return codes

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, shape (rows, classes)."""
        rows = self._given(X)
        found = [run.predict_proba(rows, self._label) for run in self.runs_]
        return np.mean(found, axis=0) if len(found) > 1 else found[0]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, shape (rows,)."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of labelled rows with the right class."""
        y = np.asarray(y)
        known = ~_unknown(y)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        predicted = self.predict(X)[known]
        return accuracy_score(y[known].astype(predicted.dtype), predicted, sample_weight=weights)

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw rows: the means of their data, shape (n_samples, features), and their classes."""
        check_is_fitted(self, "run_")
        lines = -(-n_samples // len(self.classes_))
        drawn = self.run_.sample(lines, seed=_seed(self.random_state))
        classes = drawn[self._label][:n_samples].astype(int)
        return drawn[self._data][:n_samples], self.classes_[classes]


class SemiSupervisedRegressor(_Transformer, RegressorMixin, _Estimator):
    """A deep generative model that predicts numbers from few labels and many unlabelled rows.

    The numbers of unlabelled rows are NaN or ``None``. ``transform`` gives the latent variables.
    """

    __doc__ += "\n" + (_Estimator.__doc__ or "").split("\n", 1)[1]

    def fit(self, X: Any, y: Any) -> SemiSupervisedRegressor:
        """Train on rows of which some have a number.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (rows, features)
            Numbers; NaN is a missing value.
        y : array of shape (rows,)
            The number of each row; NaN or ``None`` for an unlabelled row.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        X = self._rows(X, reset=True)
        y = _numbers(y, X.shape[0])
        known = y[~np.isnan(y)]
        if len(known) == 0:
            raise ValueError("y: expected the number of some rows, found none; NaN is unlabelled")
        if not np.isfinite(known).all():
            raise ValueError("y: expected finite numbers, found infinity")
        self._seed = _seed(self.random_state)
        self.run_ = self._train(X, y)
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean of each row, shape (rows,); with `return_std` also the standard deviations."""
        rows = self._given(X)
        means = self.run_.predict(rows, self._label)
        return (means, self.run_.predict_std(rows, self._label)) if return_std else means

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The coefficient of determination R² of the labelled rows."""
        y = _numbers(y, np.shape(X)[0])
        known = ~np.isnan(y)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(r2_score(y[known], self.predict(X)[known], sample_weight=weights))


class DensityEstimator(DensityMixin, _Estimator):
    """A deep generative model of rows: their log-likelihoods, and draws."""

    __doc__ += "\n" + (_Estimator.__doc__ or "").split("\n", 1)[1]

    def fit(self, X: Any, y: Any = None) -> DensityEstimator:
        """Train on rows of shape (rows, features); `y` is ignored."""
        self._seed = _seed(self.random_state)
        self.run_ = self._train(self._rows(X, reset=True))
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """The log-likelihood of each row in nats, shape (rows,)."""
        rows = self._given(X)
        return self.run_.score(rows)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-likelihood of the rows, in nats."""
        return float(self.score_samples(X).mean(dtype=np.float64))

    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Draw rows: the means of their data, shape (n_samples, features)."""
        check_is_fitted(self, "run_")
        return self.run_.sample(n_samples, seed=_seed(self.random_state), variable=self._data)


class Encoder(_Transformer, _Estimator):
    """Latent variables of a deep generative model as features."""

    __doc__ += "\n" + (_Estimator.__doc__ or "").split("\n", 1)[1]

    def fit(self, X: Any, y: Any = None) -> Encoder:
        """Train on rows of shape (rows, features); `y` is ignored."""
        self._seed = _seed(self.random_state)
        self.run_ = self._train(self._rows(X, reset=True))
        return self


def _seed(random_state: Any) -> int:
    """A whole number is the seed itself, as in :func:`dgc.train`."""
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def _unknown(y: np.ndarray) -> np.ndarray:
    """Whether the class of each row is unknown: −1, ``None`` or NaN."""
    if y.dtype.kind in "iub":
        return y == -1
    if y.dtype.kind == "f":
        return np.isnan(y) | (y == -1)
    if y.dtype.kind == "O":
        return np.array([c is None or c != c or (not isinstance(c, str) and c == -1) for c in y])
    return np.zeros(len(y), dtype=bool)


def _numbers(y: Any, rows: int) -> np.ndarray:
    """The number of each row, NaN where it is unknown."""
    y = column_or_1d(y, warn=True)
    if len(y) != rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: [{rows}, {len(y)}]"
        )
    if y.dtype.kind == "O":
        y = np.array([np.nan if number is None else number for number in y])
    return y.astype(np.float64)


def _encode(y: Any, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """The classes, sorted, and the class of each row as a number, −1 where it is unknown."""
    y = column_or_1d(y, warn=True)
    if len(y) != rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: [{rows}, {len(y)}]"
        )
    unknown = _unknown(y)
    known = y[~unknown]
    if len(known) == 0:
        raise ValueError("y: expected the class of some rows, found none; −1 marks unlabelled rows")
    if known.dtype.kind == "O":
        known = np.array(list(known))
    check_classification_targets(known)
    classes, codes = np.unique(known, return_inverse=True)
    all_codes = np.full(len(y), -1, dtype=np.int64)
    all_codes[~unknown] = codes
    return classes, all_codes


def _names(model: Model | str | os.PathLike[str], labelled: bool) -> tuple[str, str | None]:
    """The names of the data variable and of the label."""
    if isinstance(model, Model):
        declared = [(variable.role, variable.name) for variable in model.variables]
    else:
        declared = [(role, name) for role, name, _ in _dgc.declared(text_of(model))]
    data = [name for role, name in declared if role in ("data", "given")]
    labels = [name for role, name in declared if role == "label"]
    if len(data) != 1:
        raise ValueError(
            f"model: expected one data variable, found {len(data)}; "
            "`dgc.train` takes models with several"
        )
    if labelled and len(labels) != 1:
        raise ValueError(f"model: expected one label, found {len(labels)}")
    return data[0], labels[0] if labels else None


def _classes_of(model: Any) -> int | None:
    """The number of classes of a model's label, if it says one."""
    if model is None:
        return None
    if isinstance(model, Model):
        return model.labels[0].shape[0] if model.labels else None
    found = re.search(r"\blabel\s+\w+\s*:\s*class\s*\[\s*(\d+)\s*\]", text_of(model))
    return int(found[1]) if found else None
