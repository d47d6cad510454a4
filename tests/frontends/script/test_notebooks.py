"""Notebooks: their code cells, magics left out, lines named by cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from costlens.errors import InputError
from costlens.frontends.script.session import load
from costlens.frontends.target import parse_target

CELLS = [
    ("markdown", ["# A title"]),
    ("code", ["%matplotlib inline\n", "!pip install -q thing\n", "import keras"]),
    ("code", ["%%time\n", "x = keras.Input((4,))\n", "y = keras.layers.Dense(3)(x)"]),
    ("code", ["files = !ls\n", "keras.Model?\n", "b = 7 %2\n", "if b:\n", "    !ls\n"]),
    ("code", "%%bash\nls > made\n"),
    ("code", "net = keras.Model(x, y)\n\n1 / 0"),
    ("code", "this is no Python"),
]


def notebook(path: Path, cells: list[tuple[str, object]]) -> None:
    made = [{"cell_type": kind, "source": source} for kind, source in cells]
    path.write_text(json.dumps({"nbformat": 4, "cells": made}), encoding="utf-8")


def test_a_notebook_is_run_as_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook(tmp_path / "book.ipynb", CELLS)
    loaded = load(parse_target("book.ipynb"))
    assert [(each.target, each.params) for each in loaded.models] == [("book.ipynb:net", 15)]
    assert loaded.warnings == (
        "book.ipynb: 7 lines of notebook magic (% and !) left out.",
        "book.ipynb, cell 5:3: skipped: ZeroDivisionError: division by zero.",
        "book.ipynb, cell 6:1: skipped: SyntaxError: invalid syntax.",
    )
    assert load(parse_target("book.ipynb:net")).models[0].params == 15
    assert [path.name for path in tmp_path.iterdir()] == ["book.ipynb"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cells": 3}', '{"cells": [{}]}', "[" * 100_000])
def test_what_is_no_notebook(tmp_path: Path, text: str) -> None:
    (tmp_path / "book.ipynb").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="it is no notebook"):
        load(parse_target(str(tmp_path / "book.ipynb")))
