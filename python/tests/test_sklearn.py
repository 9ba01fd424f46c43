"""The estimators for scikit-learn."""

import pickle
import warnings
from collections import Counter

import dgc
import numpy as np
import pytest
from conftest import M2, VAE, clusters

pytest.importorskip("sklearn")

from dgc.sklearn import (
    DensityEstimator,
    Encoder,
    SemiSupervisedClassifier,
    SemiSupervisedRegressor,
)
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

#: Checks of scikit-learn that an estimator fails, with the reason.
REPEATED = "a repeated row changes which rows are drawn together, and so the random numbers"
WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data": REPEATED,
    "check_sample_weight_equivalence_on_sparse_data": REPEATED,
}
EXPECTED_FAILURES = {
    SemiSupervisedClassifier: {
        "check_classifiers_classes": "the check takes -1 for a class, which marks unlabelled rows",
        **WEIGHTS,
    },
    SemiSupervisedRegressor: WEIGHTS,
}
#: Checks that do not run, with the reason.
SKIPPED = {"check_array_api_input": "the variable SCIPY_ARRAY_API is not set"}


@pytest.mark.parametrize(
    ("estimator", "epochs", "passed"),
    [
        (SemiSupervisedClassifier, 40, 64),
        # A check wants R² above 0.5 on the training rows.
        (SemiSupervisedRegressor, 300, 62),
        (DensityEstimator, 40, 47),
        (Encoder, 40, 45),
    ],
)
def test_checks_of_scikit_learn(estimator, epochs, passed):
    failures = EXPECTED_FAILURES.get(estimator, {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            estimator(epochs=epochs, random_state=0),
            expected_failed_checks=failures,
            on_skip=None,
        )
    names = {status: set() for status in ("passed", "skipped", "xfail")}
    for result in results:
        names[result["status"]].add(result["check_name"])
    assert names["xfail"] == set(failures)
    assert names["skipped"] == set(SKIPPED)
    counts = Counter(result["status"] for result in results)
    assert counts["passed"] == passed, counts


def few_labels(y, count, seed=0):
    """The classes with all but `count` replaced by −1."""
    hidden = np.random.default_rng(seed).permutation(len(y))[count:]
    kept = y.copy()
    kept[hidden] = -1
    return kept


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return train_test_split(x, y, random_state=0)


@pytest.fixture(scope="module")
def classifier(digits):
    train, _, labels, _ = digits
    return SemiSupervisedClassifier(epochs=60, random_state=0).fit(train, few_labels(labels, 100))


def test_few_labels_classify(digits, classifier):
    _, test, _, labels = digits
    assert classifier.score(test, labels) > 0.8
    probabilities = classifier.predict_proba(test)
    assert probabilities.shape == (450, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (classifier.predict(test) == probabilities.argmax(axis=1)).all()


def test_unlabelled_rows_are_left_out_of_the_score(digits, classifier):
    _, test, _, labels = digits
    known = labels < 5
    hidden = np.where(known, labels, -1)
    assert classifier.score(test, hidden) == classifier.score(test[known], labels[known])


def test_latents_and_draws(digits, classifier):
    _, test, _, _ = digits
    assert classifier.transform(test).shape == (450, 10)
    assert len(classifier.get_feature_names_out()) == 10
    x, y = classifier.sample(500)
    assert x.shape == (500, 64) and y.shape == (500,)
    # A drawn row looks like its class.
    assert (classifier.predict(x) == y).mean() > 0.8


@pytest.mark.parametrize("unknown", [-1, None, np.nan])
def test_every_mark_of_unlabelled_rows(unknown):
    x, y, truth = clusters()
    marked = np.array([unknown if label < 0 else label for label in y], dtype=object)
    if unknown is not None:
        marked = marked.astype(type(unknown))
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0)
    wanted = clone(estimator).fit(x, y).predict_proba(x)
    np.testing.assert_array_equal(estimator.fit(x, marked).predict_proba(x), wanted)
    assert estimator.score(x, truth) > 0.9


def test_names_of_classes():
    x, y, truth = clusters()
    names = np.array(["cat", "dog", "emu"], dtype=object)
    marked = np.where(y < 0, None, names[y])
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0).fit(x, marked)
    assert list(estimator.classes_) == ["cat", "dog", "emu"]
    assert (estimator.predict(x) == names[truth]).mean() > 0.9
    assert set(estimator.sample(6)[1]) == {"cat", "dog", "emu"}


def test_a_model_of_ones_own():
    x, y, truth = clusters()
    for model in (M2, dgc.Model(M2, settings={"features": 4})):
        estimator = SemiSupervisedClassifier(model=model, settings={"hidden": 24}, random_state=1)
        estimator.fit(x, y)
        assert estimator.model_.settings["hidden"] == "24"
        assert estimator.score(x, truth) > 0.9
    two = M2.replace("class[3]", "class[4]")
    estimator = SemiSupervisedClassifier(model=two, random_state=1).fit(x, y)
    assert list(estimator.classes_) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="`y` has 4 classes in the model, and y has 3"):
        SemiSupervisedClassifier(model=two).fit(x, np.array(["a", "b", "c"])[truth])


def test_the_default_averages_models_of_all_recipes():
    x, y, truth = clusters()
    average = SemiSupervisedClassifier(epochs=20, random_state=3).fit(x, y)
    assert len(average.runs_) == 4
    found = []
    for recipe in ("joint", "generative", "consistent", "linear"):
        estimator = SemiSupervisedClassifier(recipe=recipe, epochs=20, random_state=3).fit(x, y)
        found.append(estimator.predict_proba(x))
    np.testing.assert_allclose(average.predict_proba(x), np.mean(found, axis=0), atol=1e-6)
    assert average.score(x, truth) > 0.9
    assert average.transform(x).shape == (300, 2) and average.sample(3)[0].shape == (3, 4)
    with pytest.raises(ValueError, match="expected one of joint, generative, consistent, linear, all"):
        SemiSupervisedClassifier(recipe="best").fit(x, y)


def test_threads_do_not_change_the_result():
    x, y, _ = clusters()
    alone = SemiSupervisedClassifier(epochs=5, random_state=3, n_jobs=1).fit(x, y)
    for threads in (2, 3, -1):
        other = SemiSupervisedClassifier(epochs=5, random_state=3, n_jobs=threads).fit(x, y)
        np.testing.assert_array_equal(other.predict_proba(x), alone.predict_proba(x))
    # One model that fails ends the others.
    with pytest.raises(dgc.Error, match="rate=-1"):
        SemiSupervisedClassifier(settings={"rate": -1}, n_jobs=2).fit(x, y)


def test_an_interrupt_stops_all_models():
    """Ctrl-C reaches the main thread alone."""
    import signal
    import threading
    import time

    x, y, _ = clusters()
    interrupt = [threading.main_thread().ident, signal.SIGINT]
    timer = threading.Timer(0.5, signal.pthread_kill, interrupt)
    timer.start()
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        SemiSupervisedClassifier(epochs=1_000_000, n_jobs=2).fit(x, y)
    assert time.monotonic() - begun < 60


def test_wide_tables_average_models_without_densities():
    x, y, truth = clusters()
    wide = np.tile(x, 30) + np.random.default_rng(0).normal(size=(300, 120))
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0).fit(wide, y)
    assert len(estimator.runs_) == 2
    assert estimator.score(wide, truth) > 0.8
    assert estimator.transform(wide).shape == (300, 10)
    assert estimator.run_ not in estimator.runs_


def test_weights_of_rows():
    x, y, truth = clusters()
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0)
    # Rows of weight 0 are left out, and weights that are all 1 are none.
    weights = np.where(np.arange(300) % 5 == 0, 0.0, 1.0)
    kept = weights > 0
    found = clone(estimator).fit(x, y, sample_weight=weights).predict_proba(x)
    wanted = clone(estimator).fit(x[kept], y[kept]).predict_proba(x)
    np.testing.assert_allclose(found, wanted, atol=1e-3)
    # Labels with a small weight are outweighed by true ones.
    wrong = np.where(y < 0, truth, (y + 1) % 3)
    weights = np.where(y < 0, 1.0, 0.001)
    assert clone(estimator).fit(x, wrong, sample_weight=weights).score(x, truth) > 0.9
    with pytest.raises(ValueError, match="no weight below 0"):
        estimator.fit(x, y, sample_weight=-weights)
    density = DensityEstimator(epochs=20, random_state=0).fit(x, sample_weight=truth == 0)
    assert density.score(x[truth == 0]) > density.score(x[truth == 1])


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_tables_with_texts(library):
    module = pytest.importorskip(library)
    x, y, truth = clusters()
    kinds = np.array(["ant", "bee", "fly"], dtype=object)[truth]
    # Names that no variable may have, and those that the estimators use.
    named = {"length (cm)": x[:, 0], "size": x[:, 1], "kind of animal": kinds, "y": kinds}
    table = module.table(named) if library == "pyarrow" else module.DataFrame(named)
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0).fit(table, y)
    assert estimator.score(table, truth) > 0.95
    assert estimator.predict_proba(table).shape == (300, 3)
    assert estimator.transform(table).shape == (300, 2)
    # Numbers that could be classes stay numbers.
    target = np.where(np.arange(300) < 90, 2.0 * truth, np.nan)
    regressor = SemiSupervisedRegressor(epochs=60, random_state=0).fit(table, target)
    assert regressor.score(table, 2.0 * truth) > 0.9
    assert DensityEstimator(epochs=5).fit(table).score_samples(table).shape == (300,)
    with pytest.raises(TypeError, match="expected a table"):
        estimator.predict(np.zeros((3, 4), dtype=object))


def test_scores_compare_whole_classes():
    x, y, truth = clusters()
    names = np.array(["a", "b", "c"])
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0).fit(x, names[truth])
    assert estimator.score(x, names[truth]) > 0.9
    assert estimator.score(x, np.char.add(names[truth], "z")) == 0
    assert clone(estimator).fit(x, truth).score(x, truth + 0.5) == 0
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        estimator.score(x, names[truth], sample_weight=np.ones(5))


def test_values_that_are_missing_in_predictions_alone():
    x, y, truth = clusters()
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0).fit(x, y)
    gaps, means = x.copy(), x.copy()
    gaps[::3, 1] = np.nan
    means[::3, 1] = x[:, 1].mean()
    wanted = estimator.predict_proba(means)
    np.testing.assert_allclose(estimator.predict_proba(gaps), wanted, atol=1e-5)


def test_values_of_pandas():
    pandas = pytest.importorskip("pandas")
    x, y, truth = clusters()
    names = pandas.array([pandas.NA if c < 0 else "abc"[c] for c in y], dtype="string")
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0).fit(x, pandas.Series(names))
    assert list(estimator.classes_) == ["a", "b", "c"]
    # A column keeps its kind where few rows look like numbers.
    kinds = np.array(["k", 1.0, True], dtype=object)[truth]
    table = pandas.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": kinds})
    estimator.fit(table, y)
    found = [estimator.predict(table.iloc[[row]])[0] for row in range(20)]
    assert found == list(estimator.predict(table)[:20])


def test_what_a_model_lacks_is_said():
    x, y, _ = clusters()
    estimator = SemiSupervisedClassifier(recipe="linear", random_state=0).fit(x, y)
    for use in (estimator.transform, lambda rows: estimator.sample(3)):
        with pytest.raises(ValueError, match="no latent variables"):
            use(x)
    with pytest.raises(ValueError, match="expected 1 to 10,000, found 0"):
        DensityEstimator(epochs=1).fit(x).sample(0)
    with pytest.raises(ValueError, match="all rows of the class 2 have the weight 0"):
        estimator.fit(x, y, sample_weight=y != 2)
    with pytest.raises(TypeError, match="n_jobs: expected a whole number"):
        estimator.set_params(n_jobs=2.0).fit(x, y)


def test_the_seed_is_that_of_train():
    x, y, _ = clusters()
    fitted = SemiSupervisedClassifier(model=M2, random_state=7).fit(x, y)
    run = dgc.train(M2, {"x": x, "y": y}, seed=7)
    np.testing.assert_array_equal(fitted.predict_proba(x), run.predict_proba({"x": x}))


def test_pipelines_searches_and_cross_validation():
    x, y, _ = clusters()
    estimator = make_pipeline(StandardScaler(), SemiSupervisedClassifier(epochs=10, random_state=0))
    assert cross_val_score(estimator, x, y, cv=3).min() > 0.8
    grid = {"semisupervisedclassifier__epochs": [2, 10]}
    search = GridSearchCV(estimator, grid, cv=2, n_jobs=2).fit(x, y)
    assert search.best_score_ > 0.8
    encoder = make_pipeline(Encoder(epochs=20, random_state=0), LogisticRegression())
    assert encoder.fit(x[:90], y[:90]).score(x[:90], y[:90]) > 0.6


def test_pickles_and_clones():
    x, y, _ = clusters()
    estimator = SemiSupervisedClassifier(epochs=5, random_state=0).fit(x, y)
    copy = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copy.predict_proba(x), estimator.predict_proba(x))
    with pytest.raises(NotFittedError):
        clone(estimator).predict(x)


def test_numbers_from_few_labels():
    x, _, _ = clusters()
    truth = 3.0 * x[:, 0] - x[:, 1] ** 2 + 100
    y = np.where(np.arange(300) < 80, truth, np.nan)
    estimator = SemiSupervisedRegressor(epochs=150, random_state=0).fit(x, y)
    assert estimator.score(x[80:], truth[80:]) > 0.8
    assert estimator.score(x, y) == pytest.approx(estimator.score(x[:80], truth[:80]))
    means, deviations = estimator.predict(x, return_std=True)
    assert means.shape == deviations.shape == (300,) and (deviations > 0).all()
    assert estimator.transform(x).shape == (300, 2)
    # Whole numbers are numbers too, and None is unlabelled.
    whole = [None if number != number else int(number) for number in y]
    rounded = clone(estimator).fit(x, np.array(whole, dtype=object))
    assert rounded.score(x[80:], truth[80:]) > 0.8
    with pytest.raises(ValueError, match="found none"):
        estimator.fit(x, np.full(300, np.nan))


def test_densities():
    x, _, _ = clusters()
    estimator = DensityEstimator(epochs=40, random_state=0).fit(x)
    scores = estimator.score_samples(x)
    assert scores.shape == (300,)
    assert estimator.score(x) == pytest.approx(scores.mean(), rel=1e-5)
    assert (estimator.score_samples(x + 20) < scores).all()
    assert estimator.sample(5).shape == (5, 4)


def test_missing_values_and_sparse_matrices():
    sparse = pytest.importorskip("scipy.sparse")
    x, y, truth = clusters()
    gaps = np.where(np.random.default_rng(0).random(x.shape) < 0.1, np.nan, x)
    estimator = SemiSupervisedClassifier(epochs=20, random_state=0).fit(gaps, y)
    assert estimator.score(gaps, truth) > 0.85
    dense = SemiSupervisedClassifier(epochs=5, random_state=0).fit(x, y)
    other = clone(dense).fit(sparse.csr_array(x), y)
    np.testing.assert_array_equal(
        other.predict_proba(sparse.csr_array(x)), dense.predict_proba(x)
    )


def threads():
    import os

    from dgc._device import default_threads

    return default_threads() or len(os.sched_getaffinity(0))


def test_workers_share_the_cores():
    """With n_jobs workers, each has its part of the cores, so that none waits for another."""
    import os

    joblib = pytest.importorskip("joblib")
    cores = len(os.sched_getaffinity(0))
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(threads)() for _ in range(2))
    assert max(found) <= max(1, cores // 2)


def test_threads_follow_the_affinity():
    import os

    allowed = os.sched_getaffinity(0)
    x, _, _ = clusters()
    try:
        os.sched_setaffinity(0, {min(allowed)})
        run = dgc.train(VAE, {"x": x}, epochs=1, device="cpu")
    finally:
        os.sched_setaffinity(0, allowed)
    assert "CPU, 1 thread" in run.summary
