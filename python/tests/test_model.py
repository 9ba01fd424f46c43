"""Models."""

import pickle

import dgc
import pytest
from conftest import M2, VAE, clusters


def test_a_model_describes_itself():
    model = dgc.Model(M2, settings={"features": 4})
    assert model.name == "m2"
    assert [variable.name for variable in model.variables] == ["x", "y", "z"]
    x, y, z = model.variables
    assert (x.role, x.domain, x.shape, x.width) == ("data", "real", (4,), 4)
    assert (y.role, y.domain, y.shape, y.width) == ("label", "class", (3,), 1)
    assert model.labels == [y] and model.latents == [z]
    assert model.settings["hidden"] == "16"
    assert model.set(hidden=8).settings["hidden"] == "8"
    assert model.set(**{"batch.labelled": 5}).settings["batch.labelled"] == "5"
    assert "log p(x | y, z)" in model.explain()
    assert model.graph("svg").startswith("<svg")
    assert "z" in model.graph() and model.graph("dot").startswith("digraph")
    assert repr(model) == "<dgc.Model m2: x, y, z>"
    with pytest.raises(dgc.Error):
        model.set(width=3)


def test_sizes_are_those_of_the_data(tmp_path):
    x, y, _ = clusters()
    model = dgc.Model(M2.replace("class[3]", "class[kinds]").replace("size", "size kinds,"), data={"x": x, "y": y})
    assert [variable.shape for variable in model.variables] == [(4,), (3,), (2,)]
    path = tmp_path / "vae.dgm"
    dgc.Model(VAE, data={"x": x}).save(path)
    assert dgc.Model(path, data={"x": x}).variables[0].shape == (4,)
    with pytest.raises(dgc.Error, match="features"):
        dgc.Model(path)


def test_a_model_is_pickled_with_its_settings():
    model = dgc.Model(M2, settings={"features": 4, "hidden": 5})
    copy = pickle.loads(pickle.dumps(model))
    assert copy.settings == model.settings and copy.text == model.text


def test_a_model_shows_its_graphs_and_its_bound_in_a_notebook():
    import base64
    import re
    from xml.etree import ElementTree

    shown = dgc.Model(M2, settings={"features": 4})._repr_html_()
    (svg,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', shown)
    texts = [node.text for node in ElementTree.fromstring(base64.b64decode(svg)).iter()]
    assert texts.count("x") == 2 and texts.count("z") == 2, "both graphs"
    assert "log p(x | y, z)" in shown and "q(z | x, y) ‖ p(z)" in shown


def test_a_run_shows_its_model_and_curves(run):
    shown = run._repr_html_()
    assert "m2" in shown and shown.count("data:image/svg+xml") == 2
