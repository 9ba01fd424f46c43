"""The examples of the documentation run as they are."""

import doctest
import os
import re
from pathlib import Path

import dgc
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["README.md", "python/README.md"])
def test_examples_of_a_page(name, tmp_path, monkeypatch, capsys):
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert blocks, f"{name} has no example"
    os.symlink(ROOT / "models", tmp_path / "models")
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, name, "exec"), names)


def test_examples_of_docstrings():
    found = doctest.testmod(dgc)
    assert found.attempted > 0 and found.failed == 0
