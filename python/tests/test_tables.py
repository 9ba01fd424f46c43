"""Tables of pandas, polars and Arrow, texts, and AnnData."""

import subprocess
import sys

import dgc
import numpy as np
import pytest
from conftest import M2, clusters
from test_train import parameters

pd = pytest.importorskip("pandas")

#: M2 with names of classes, and a column of names that it generates.
MODEL = M2.replace("label  y", "data   colour: class[2]\n  label  y").replace(
    "y, z -> x ~ normal(body)",
    "y, z -> x ~ normal(body)\n    y, z -> colour ~ categorical(body)",
)
NAMES = np.array(["cat", "dog", "emu"], dtype=object)


def animals(rows=300, seed=0, labelled=90):
    x, y, truth = clusters(rows, seed, labelled)
    table = pd.DataFrame(x.astype(np.float64), columns=["height", "width", "weight", "age"])
    table["colour"] = np.where(truth == 1, "red", "blue")
    table["y"] = np.where(y < 0, None, NAMES[truth])
    return table, truth


@pytest.fixture(scope="module")
def trained():
    return dgc.train(MODEL, animals()[0], threads=1)


def test_a_table_gives_the_bits_of_its_csv_file(tmp_path, trained):
    table, _ = animals()
    table.to_csv(tmp_path / "animals.csv", index=False)
    (tmp_path / "m2.dgm").write_text(MODEL)
    command = "train m2.dgm --data animals.csv --threads 1 -o run".split()
    subprocess.run([sys.executable, "-m", "dgc", *command], cwd=tmp_path, check=True)
    assert parameters(tmp_path / "run") == parameters(trained)
    run = dgc.load(tmp_path / "run")
    assert run.class_names == trained.class_names == {
        "colour": ["blue", "red"],
        "y": ["cat", "dog", "emu"],
    }
    other, _ = animals(seed=1)
    wanted = trained.predict_proba(other, "y")
    pd.testing.assert_frame_equal(run.predict_proba(other, "y"), wanted)


def test_results_have_the_index_and_the_names(trained):
    table, truth = animals(rows=50, seed=1)
    table.index = [f"row {row}" for row in range(50)]
    predicted = trained.predict(table)
    assert (predicted.index == table.index).all() and predicted.name == "y"
    assert (predicted.to_numpy() == NAMES[truth]).mean() > 0.9
    probabilities = trained.predict_proba(table)
    assert list(probabilities.columns) == ["cat", "dog", "emu"]
    assert list(trained.encode(table).columns) == ["z0", "z1"]
    assert trained.encode(table, "z").shape == (50, 2)
    means = trained.reconstruct(table)
    assert list(means["x"].columns) == ["height", "width", "weight", "age"]
    assert means["colour"].shape == (50, 2)
    assert trained.score(table).shape == (50,)


def test_columns_are_found_by_name(trained):
    table, _ = animals(rows=20, seed=1)
    shuffled = table[["age", "y", "weight", "colour", "width", "height"]]
    pd.testing.assert_frame_equal(trained.encode(shuffled), trained.encode(table))
    with pytest.raises(dgc.Error, match="expected a column `age`, found none"):
        trained.encode(table.drop(columns="age"))
    with pytest.raises(dgc.Error, match="expected one of `blue`, `red`, found `green`"):
        trained.encode(table.assign(colour="green"))


def test_other_types_of_columns_give_the_same_bits(trained):
    table, _ = animals()
    wanted = parameters(trained)
    categories = table.astype({"colour": "category", "y": "category", "age": "Float64"})
    assert parameters(dgc.train(MODEL, categories, threads=1)) == wanted
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    polars = pl.from_pandas(table)
    run = dgc.train(MODEL, polars, threads=1)
    assert parameters(run) == wanted
    encoded = run.encode(polars)
    assert isinstance(encoded, pl.DataFrame) and encoded.columns == ["z0", "z1"]
    np.testing.assert_array_equal(encoded.to_numpy(), trained.encode(table).to_numpy())
    assert isinstance(run.predict(polars), pl.Series)
    enums = polars.with_columns(pl.col("colour").cast(pl.Enum(["red", "blue"])))
    assert parameters(dgc.train(MODEL, enums, threads=1)) == wanted
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    assert parameters(dgc.train(MODEL, arrow, threads=1)) == wanted
    dictionary = arrow.set_column(4, "colour", arrow.column("colour").dictionary_encode())
    assert parameters(dgc.train(MODEL, dictionary, threads=1)) == wanted
    assert isinstance(run.encode(arrow), pa.Table)


def test_parts_of_a_table(trained):
    table, _ = animals()
    test, _ = animals(rows=40, seed=3, labelled=40)
    stacked = pd.concat([table.assign(split="train"), test.assign(split="test")])
    marked = dgc.train(MODEL, stacked, threads=1)
    apart = dgc.train(MODEL, table, test=test, threads=1)
    assert marked.metrics[-1]["test"] == apart.metrics[-1]["test"]
    assert parameters(marked) == parameters(apart) == parameters(trained)
    # An operation is on all rows, unless it names a part.
    assert len(marked.predict(stacked)) == 340
    assert marked.evaluate(stacked, part="test")["rows"] == 40


def test_missing_values_of_a_table():
    model = M2.replace("real[features]", "real[features] with missing")
    table, _ = animals()
    table = table.drop(columns="colour")
    table.loc[::3, "width"] = np.nan
    run = dgc.train(model, table, epochs=5)
    filled = run.impute(table)
    assert list(filled.columns) == ["height", "width", "weight", "age"]
    assert filled.notna().all().all()
    known = table["width"].notna()
    np.testing.assert_allclose(filled["width"][known], table["width"][known], rtol=1e-6)
    with pytest.raises(dgc.Error, match="with missing"):
        dgc.train(M2, table)


def test_texts_in_arrays():
    x, y, truth = clusters()
    names = np.where(y < 0, None, NAMES[truth])
    by_name = dgc.train(M2, {"x": x, "y": names})
    assert parameters(by_name) == parameters(dgc.train(M2, {"x": x, "y": y}))
    assert by_name.class_names == {"y": ["cat", "dog", "emu"]}
    assert set(by_name.predict({"x": x})) == set(NAMES)
    assert by_name.evaluate({"x": x, "y": NAMES[truth]})["error of y"] < 0.1
    with pytest.raises(dgc.Error, match="expected one of `cat`, `dog`, `emu`, found `fox`"):
        by_name.evaluate({"x": x, "y": np.full(300, "fox")})
    with pytest.raises(dgc.Error, match="found texts"):
        dgc.train(M2, {"x": names, "y": y}, settings={"features": 1})


def test_sizes_are_those_of_a_table():
    table, _ = animals()
    model = M2.replace("class[3]", "class[kinds]").replace("size", "size kinds,")
    shapes = [variable.shape for variable in dgc.Model(model, data=table).variables]
    assert shapes == [(4,), (3,), (2,)]


@pytest.fixture(scope="module")
def cells():
    anndata = pytest.importorskip("anndata")
    sparse = pytest.importorskip("scipy.sparse")
    random = np.random.default_rng(0)
    counts = random.poisson(2.0, size=(120, 5)).astype(np.float32)
    data = anndata.AnnData(sparse.csr_matrix(counts))
    data.obs["y"] = pd.Categorical(np.where(counts[:, 0] > 2, "B", "T"))
    data.obs["depth"] = counts.sum(axis=1)
    data.obsm["w"] = random.normal(size=(120, 3))
    data.layers["raw"] = sparse.csr_matrix(counts)
    return data


CELLS = M2.replace("class[3]", "class[2]").replace("x: real", "x: count").replace(
    "x ~ normal(body)", "x ~ poisson(body)"
)


def test_annotated_data_give_the_bits_of_their_file(tmp_path, cells):
    run = dgc.train(CELLS, cells, epochs=3, threads=1)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    (tmp_path / "cells.dgm").write_text(CELLS)
    command = "train cells.dgm --data cells.h5ad --epochs 3 --threads 1 -o run".split()
    subprocess.run([sys.executable, "-m", "dgc", *command], cwd=tmp_path, check=True)
    assert parameters(run) == parameters(tmp_path / "run")
    assert run.class_names == {"y": ["B", "T"]}
    assert run.encode(cells).shape == (120, 2)
    assert set(run.predict(cells)) <= {"B", "T"}


def test_parts_of_annotated_data(cells):
    layer = CELLS.replace("x", "raw").replace(
        "label  y", "given  w: real[3]\n  given  depth: real\n  label  y"
    ).replace("raw    -> y", "raw, w, depth -> y")
    marked = cells.copy()
    marked.obs["split"] = np.where(np.arange(120) < 100, "train", "test")
    run = dgc.train(layer, marked, epochs=1)
    assert "20 test rows" in run.summary and "100 training rows" in run.summary
    assert len(run.predict(marked)) == 120
    assert len(run.predict(marked, part="test")) == 20
    marked.obs["split"] = "fold 1"
    with pytest.raises(ValueError, match="expected train, test or validation, found fold 1"):
        dgc.train(layer, marked, epochs=1)
