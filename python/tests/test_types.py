"""The stub of the extension module describes what the module has."""

import ast
import inspect
import pickle
from pathlib import Path

import dgc
import pytest
from dgc import _dgc


def public(names):
    return {name for name in names if not name.startswith("_")}


def test_the_stub_has_the_names_of_the_module():
    stub = ast.parse(Path(dgc.__file__).with_name("_dgc.pyi").read_text(encoding="utf-8"))
    functions = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    assert functions | set(classes) == public(dir(_dgc))
    for name in set(classes) - {"Error"}:
        described = {
            node.target.id if isinstance(node, ast.AnnAssign) else node.name
            for node in classes[name].body
            if isinstance(node, (ast.AnnAssign, ast.FunctionDef))
        }
        assert public(described) == public(dir(getattr(_dgc, name))), name


def test_the_package_is_typed():
    assert Path(dgc.__file__).with_name("py.typed").exists()
    for name in public(dgc.__all__):
        found = getattr(dgc, name)
        assert inspect.getdoc(found), f"{name} has no docstring"


def test_errors_are_pickled_as_in_workers():
    with pytest.raises(dgc.Error) as caught:
        dgc.Model("model m {}")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value) and copy.kind == "model"
