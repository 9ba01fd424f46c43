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
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.metrics import r2_score
from sklearn.utils import check_consistent_length, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import _data, _dgc, _train
from ._device import choice, default_threads
from ._model import Model, draft, text_of
from ._run import Run
from ._table import (
    columns,
    filtered,
    has_texts,
    is_table,
    renamed,
    with_column,
    with_texts,
)

__all__ = [
    "DensityEstimator",
    "Encoder",
    "SemiSupervisedClassifier",
    "SemiSupervisedRegressor",
]


#: The recipes of a first model for classes; the first has latent variables and draws rows.
RECIPES = ("joint", "generative", "consistent", "linear")
#: Why there is no transformation and no draw.
NO_LATENTS = "the model has no latent variables; the recipe `joint` has some"
#: The names of variables in first models, by role.
DRAFTED = {"data": "x", "label": "y", "weight": "w"}


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
        The number of CPU threads; by default, and with −1, all cores that the process may use.
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
        """The rows, as scikit-learn checks them: numbers, or a table that has texts too."""
        if reset:
            self._is_table = has_texts(X)
        if self._is_table:
            validate_data(self, X, reset=reset, skip_check_array=True)
            if not is_table(X):
                raise TypeError("X: expected a table, as in `fit`")
            if reset:
                listed = columns(X)
                self._texts = [name for name, _, texts in listed if texts is not None]
                self._renamed = _other_names([name for name, *_ in listed], self._texts)
            return renamed(with_texts(X, self._texts), self._renamed)
        X = validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float32, np.float64],
            ensure_all_finite="allow-nan",
            ensure_min_samples=2 if reset else 1,
        )
        if reset:
            self._means = _means(X) if self.model is None else None
        return X

    def _train(
        self,
        X: Any,
        y: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        recipe: str = RECIPES[0],
        threads: int | None = None,
        stop: threading.Event | None = None,
    ) -> Run:
        """Train on rows, with the class or number and the weight of each, until `stop` is set."""
        model, settings = self.model, dict(self.settings or {})
        known = {"label": y, "weight": weights}
        known = {role: values for role, values in known.items() if values is not None}
        # A table's columns are several variables.
        roles = [*known] if self._is_table else [*known, "data"]
        found = DRAFTED if model is None else _names(model, roles)
        self._data, self._label = found.get("data"), found.get("label")
        data = X if self._is_table else {self._data: X}
        if y is not None:
            data = _with(data, self._label, self._column(y) if self._is_table else y)
        if model is None:
            text = draft(data, None if y is None else self._label, recipe=recipe)
            if weights is not None:
                # Before the first label or latent variable.
                before = re.compile(r"^  (?=// Known|label|latent)", re.MULTILINE)
                text = before.sub("  weight w: positive\n  ", text, count=1)
            model = Model(text)
            if y is not None and recipe in RECIPES[1:]:
                # Other recipes lack some sizes of the first.
                settings = {
                    name: value for name, value in settings.items() if name in model.settings
                }
        if weights is not None:
            data = _with(data, found["weight"], weights)
        run = _train.train(
            model,
            data,
            # The linear model takes many short epochs, and is fast.
            epochs=None if recipe == RECIPES[-1] else self.epochs,
            seed=self._seed,
            validation=self.validation,
            patience=self.patience,
            settings=settings,
            device=self.device,
            threads=self._threads if threads is None else threads,
            callback=_train.Watch(progress=self.verbose, quiet=True, stop=stop),
        )
        other = self.samples != 10 or threads is not None
        return run.using(samples=self.samples, threads=self._threads) if other else run

    def _weighted(
        self, X: Any, y: np.ndarray | None, sample_weight: Any
    ) -> tuple[Any, np.ndarray | None, np.ndarray | None]:
        """The rows, labels and weights; rows of weight 0 are left out."""
        if sample_weight is None:
            return X, y, None
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64)
        if (weights < 0).any():
            raise ValueError("sample_weight: expected no weight below 0")
        kept = weights > 0
        if not kept.any():
            raise ValueError("sample_weight: expected a weight above 0, found none")
        rows = filtered(X, kept) if self._is_table else X[kept]
        return rows, None if y is None else y[kept], weights[kept]

    def _train_each(
        self, X: Any, y: np.ndarray, weights: np.ndarray | None, recipes: Sequence[str]
    ) -> list[Run]:
        """A run for each recipe; on a CPU, as many at a time as there are threads."""
        device = choice(self.device, self._threads)
        threads = _dgc.cpu_threads(device) or 1
        at_once = min(threads, len(recipes))
        if at_once == 1:
            return [self._train(X, y, weights, recipe) for recipe in recipes]
        stop = threading.Event()
        with ThreadPoolExecutor(at_once) as pool:
            runs = [
                pool.submit(self._train, X, y, weights, recipe, threads // at_once, stop)
                for recipe in recipes
            ]
            try:
                return [run.result() for run in runs]
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    @property
    def _threads(self) -> int:
        """The number of CPU threads; 0 for all cores."""
        if self.n_jobs is None:
            return default_threads()
        if not isinstance(self.n_jobs, (int, np.integer)):
            raise TypeError(f"n_jobs: expected a whole number, found {self.n_jobs!r}")
        if self.n_jobs >= 0:
            return self.n_jobs
        # As in joblib, −1 is all cores, and −2 all but one.
        cores = _dgc.cpu_threads(choice("cpu", 0))
        return max(1, cores + 1 + self.n_jobs)

    def _column(self, y: np.ndarray) -> np.ndarray:
        """The labels as a column of a table."""
        return y

    def _given(self, X: Any) -> Any:
        """Rows for the run."""
        check_is_fitted(self, "run_")
        rows = self._rows(X, reset=False)
        if self._is_table:
            return rows
        if self._means is not None and not sparse.issparse(rows) and np.isnan(rows).any():
            rows = np.where(np.isnan(rows), self._means, rows)
        return {self._data: rows}

    def _check_draws(self, n_samples: int) -> None:
        check_is_fitted(self, "run_")
        if not 1 <= n_samples <= 10_000:
            raise ValueError(f"n_samples: expected 1 to 10,000, found {n_samples}")
        if self._is_table:
            raise ValueError("sample: rows with columns of texts cannot be drawn")
        if not self.model_.latents:
            raise ValueError(NO_LATENTS)

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
        if not self.model_.latents:
            raise ValueError(NO_LATENTS)
        found = self.run_.encode(rows)
        parts = found.values() if isinstance(found, dict) else [found]
        parts = [np.asarray(part, dtype=np.float32) for part in parts]
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
    training; or ``linear``, logistic regression. With more than 100 columns, and more than labelled
    rows, the average has only the last two. The latent variables and draws are those of ``joint``. On a
    CPU, the models are trained at the same time, each on its part of the threads. `epochs` does not
    apply to ``linear``, which is always trained to its end.
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SemiSupervisedClassifier:
        """Train on rows of which some have a class.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (rows, features)
            Numbers; NaN is a missing value. A table may have columns of texts, which are classes.
        y : array of shape (rows,)
            The class of each row; −1, ``None`` or NaN for an unlabelled row.
        sample_weight : array of shape (rows,), optional
            The weight of each row, labelled or not: 2 counts as two rows.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        X = self._rows(X, reset=True)
        self.classes_, codes = _encode(y, X.shape[0])
        codes = self._numbered(codes)
        X, kept, weights = self._weighted(X, codes, sample_weight)
        if lost := set(codes) - set(kept) - {-1}:
            name = self.classes_[lost.pop()]
            raise ValueError(f"sample_weight: all rows of the class {name} have the weight 0")
        codes = kept
        self._seed = _seed(self.random_state)
        if self.recipe not in (*RECIPES, "all"):
            listed = ", ".join((*RECIPES, "all"))
            raise ValueError(f"recipe: expected one of {listed}, found {self.recipe!r}")
        averaged = [self.recipe]
        if self.model is not None:
            averaged = [RECIPES[0]]
        elif self.recipe == "all":
            numbers = X.shape[1] - (len(self._texts) if self._is_table else 0)
            averaged = _dgc.averaged(numbers, int((codes >= 0).sum()))
        # The first recipe has the latent variables.
        recipes = list(dict.fromkeys([RECIPES[0], *averaged])) if len(averaged) > 1 else averaged
        runs = dict(zip(recipes, self._train_each(X, codes, weights, recipes)))
        self.run_ = runs[recipes[0]]
        self.runs_ = [runs[recipe] for recipe in averaged]
        known = len(self.classes_)
        label = next(label for label in self.model_.labels if label.name == self._label)
        if label.shape[0] != known:
            raise ValueError(
                f"`{label.name}` has {label.shape[0]} classes in the model, and y has {known}"
            )
        return self

    def _column(self, y: np.ndarray) -> np.ndarray:
        # Texts, in the order of the classes, since a column of numbers may be no class.
        if self.model is not None:
            return y
        return np.array([None if code < 0 else f"{code:04}" for code in y], dtype=object)

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
        found = [np.asarray(run.predict_proba(rows, self._label)) for run in self.runs_]
        return np.mean(found, axis=0) if len(found) > 1 else found[0]

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row, shape (rows,)."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return self.classes_[likeliest]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of labelled rows with the right class."""
        y = np.asarray(y)
        known = ~_unknown(y)
        check_consistent_length(X, y, sample_weight)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        # Classes of another type, or longer texts, are no classes of the model.
        right = self.predict(X)[known].astype(object) == y[known].astype(object)
        return float(np.average(right, weights=weights))

    def sample(self, n_samples: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Draw up to 10,000 rows: the means of their data and their classes.

        Their shapes are (n_samples, features) and (n_samples,).
        """
        self._check_draws(n_samples)
        lines = -(-n_samples // len(self.classes_))
        drawn = self.run_.sample(lines, seed=_seed(self.random_state))
        classes = drawn[self._label][:n_samples].astype(int)
        return drawn[self._data][:n_samples], self.classes_[classes]


class SemiSupervisedRegressor(_Transformer, RegressorMixin, _Estimator):
    """A deep generative model that predicts numbers from few labels and many unlabelled rows.

    The numbers of unlabelled rows are NaN or ``None``. ``transform`` gives the latent variables.
    """

    __doc__ += "\n" + (_Estimator.__doc__ or "").split("\n", 1)[1]

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> SemiSupervisedRegressor:
        """Train on rows of which some have a number.

        Parameters
        ----------
        X : array, sparse matrix or table of shape (rows, features)
            Numbers; NaN is a missing value. A table may have columns of texts, which are classes.
        y : array of shape (rows,)
            The number of each row; NaN or ``None`` for an unlabelled row.
        sample_weight : array of shape (rows,), optional
            The weight of each row, labelled or not: 2 counts as two rows.
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
        X, y, weights = self._weighted(X, y, sample_weight)
        self._seed = _seed(self.random_state)
        self.run_ = self._train(X, y, weights, "regression")
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """The mean of each row, shape (rows,); with `return_std` also the standard deviations."""
        rows = self._given(X)
        means = np.asarray(self.run_.predict(rows, self._label))
        if not return_std:
            return means
        return means, np.asarray(self.run_.predict_std(rows, self._label))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The coefficient of determination R² of the labelled rows."""
        y = _numbers(y, np.shape(X)[0])
        known = ~np.isnan(y)
        weights = None if sample_weight is None else np.asarray(sample_weight)[known]
        return float(r2_score(y[known], self.predict(X)[known], sample_weight=weights))


class DensityEstimator(DensityMixin, _Estimator):
    """A deep generative model of rows: their log-likelihoods, and draws."""

    __doc__ += "\n" + (_Estimator.__doc__ or "").split("\n", 1)[1]

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> DensityEstimator:
        """Train on rows of shape (rows, features), and maybe weights of rows; `y` is ignored."""
        X, _, weights = self._weighted(self._rows(X, reset=True), None, sample_weight)
        self._seed = _seed(self.random_state)
        self.run_ = self._train(X, weights=weights)
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """The log-likelihood of each row in nats, shape (rows,)."""
        rows = self._given(X)
        return np.asarray(self.run_.score(rows))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-likelihood of the rows, in nats."""
        return float(self.score_samples(X).mean(dtype=np.float64))

    def sample(self, n_samples: int = 1) -> np.ndarray:
        """Draw up to 10,000 rows: the means of their data, shape (n_samples, features)."""
        self._check_draws(n_samples)
        return self.run_.sample(n_samples, seed=_seed(self.random_state), variable=self._data)


class Encoder(_Transformer, _Estimator):
    """Latent variables of a deep generative model as features."""

    __doc__ += "\n" + (_Estimator.__doc__ or "").split("\n", 1)[1]

    def fit(self, X: Any, y: Any = None) -> Encoder:
        """Train on rows of shape (rows, features); `y` is ignored."""
        self._seed = _seed(self.random_state)
        self.run_ = self._train(self._rows(X, reset=True))
        return self


def _other_names(names: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    """Other names for the columns of a table whose names cannot be those of variables."""
    found: dict[str, str] = {}
    numbers = len(names) - len(texts)
    for place, name in enumerate(names):
        # Numbers are one variable, unless there is only one.
        is_variable = name in texts or numbers == 1
        reserved = name in ("split", DRAFTED["label"], DRAFTED["weight"])
        if reserved or is_variable and not _is_name(name):
            found[name] = f"column{place}"
            while found[name] in names:
                found[name] += "_"
    return found


def _means(X: Any) -> np.ndarray | None:
    """The means of columns, which replace values that only rows to predict miss."""
    if sparse.issparse(X):
        return None
    means = X.mean(axis=0, dtype=np.float64)
    return None if np.isnan(means).any() else means.astype(X.dtype)


def _is_name(name: str) -> bool:
    """Whether a variable may have a name."""
    allowed = re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) is not None
    return allowed and bool(_dgc.declared(f"model names {{ data {name}: real }}"))


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
        return np.array([_is_missing(c) or (not isinstance(c, str) and c == -1) for c in y])
    return np.zeros(len(y), dtype=bool)


def _is_missing(value: Any) -> bool:
    """Whether a value is ``None``, NaN or the missing value of pandas."""
    return value is None or type(value).__name__ == "NAType" or value != value


def _numbers(y: Any, rows: int) -> np.ndarray:
    """The number of each row, NaN where it is unknown."""
    y = column_or_1d(y, warn=True)
    if len(y) != rows:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: [{rows}, {len(y)}]"
        )
    if y.dtype.kind == "O":
        y = np.array([np.nan if _is_missing(number) else number for number in y])
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


def _names(model: Model | str | os.PathLike[str], roles: Sequence[str]) -> dict[str, str]:
    """The name of the variable of each role."""
    if isinstance(model, Model):
        declared = [(variable.role, variable.name) for variable in model.variables]
    else:
        declared = [(role, name) for role, name, _ in _dgc.declared(text_of(model))]
    found = {}
    for role in roles:
        wanted = ("data", "given") if role == "data" else (role,)
        names = [name for role, name in declared if role in wanted]
        if len(names) != 1:
            kind = {"data": "data variable", "weight": "weight of rows"}.get(role, role)
            way = "; `dgc.train` takes models with several" if role == "data" else ""
            raise ValueError(f"model: expected one {kind}, found {len(names)}{way}")
        found[role] = names[0]
    return found


def _with(data: Any, name: str | None, values: np.ndarray) -> Any:
    """Data with the values of another variable."""
    assert name is not None
    return data | {name: values} if isinstance(data, dict) else with_column(data, name, values)


def _classes_of(model: Any) -> int | None:
    """The number of classes of a model's label, if it says one."""
    if model is None:
        return None
    if isinstance(model, Model):
        return model.labels[0].shape[0] if model.labels else None
    found = re.search(r"\blabel\s+\w+\s*:\s*class\s*\[\s*(\d+)\s*\]", text_of(model))
    return int(found[1]) if found else None
