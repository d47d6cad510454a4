"""Saved models with layers of the user's: read without, and loaded where ``--import`` has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import pytest

import costlens
from costlens.cli import main
from costlens.errors import InputError
from tests.support import abstract, functional

SOURCE = """
import keras

print("run")


class Scaled(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units))

    def call(self, x):
        return x @ self.kernel

    def get_config(self):
        return {**super().get_config(), "units": self.units}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "my_layers.py").write_text(SOURCE)
    return str(tmp_path / "my_layers.py")


def model(units: int = 7, behind: Any = None) -> keras.Model:
    """One of the user's layers between two of Keras's."""
    names: dict[str, Any] = {"__name__": "my_layers"}
    exec(SOURCE, names)
    x = keras.Input((5,))
    y = names["Scaled"](units, name="mine")(keras.layers.Dense(6)(x))
    return functional(x, keras.layers.Dense(2)(behind(y) if behind else y))


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.json"])
def test_its_weights_are_known_once_its_class_is(name: str, tmp_path: Path, file: str) -> None:
    made, path = model(), tmp_path / name
    if path.suffix == ".json":
        path.write_text(made.to_json())
    else:
        made.save(path)
    study = costlens.analyze(str(path), imports=(file,))
    assert study.totals.params == made.count_params() == 36 + 6 * 7 + 16
    assert study.graph.notes == ()
    assert study.totals.macs == 5 * 6 + 6 * 7 + 7 * 2
    assert study.layers == costlens.analyze(made).layers


def test_without_it_the_layer_is_unknown_by_its_name(tmp_path: Path) -> None:
    model().save(tmp_path / "m.keras")
    study = costlens.analyze(str(tmp_path / "m.keras"))
    assert [u.reason for u in study.coverage.unknown] == ["Scaled is a custom layer"]
    assert study.totals.params == 36 + 6 * 7 + 16


def test_nothing_is_allocated(tmp_path: Path, file: str) -> None:
    """Its kernel would take 24 TB."""
    path = tmp_path / "m.json"
    path.write_text(abstract(lambda: model(10**12)).to_json())
    assert costlens.analyze(str(path), imports=(file,)).totals.params == 36 + 8 * 10**12 + 2


def test_a_file_is_run_only_where_it_is_asked_for(
    tmp_path: Path, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.keras"
    model().save(path)
    assert main(["analyze", str(path), "--format", "json"]) == 0
    assert "run" not in capsys.readouterr().err
    assert main(["analyze", str(path), "--format", "json", "--import", file]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["totals"]["params"] == 94
    assert err.startswith("run\n")


def test_a_function_in_the_file_is_never_run(tmp_path: Path, file: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(model(behind=keras.layers.Lambda(lambda x: x, (7,), name="held")).to_json())
    study = costlens.analyze(str(path), imports=(file,))
    assert [u.layer for u in study.coverage.unknown][:2] == ["mine", "held"]
    assert study.graph.notes == (
        "Keras did not load the file: it holds a function, which is never run.",
    )


def test_files_that_do_not_help(tmp_path: Path, file: str) -> None:
    path = tmp_path / "m.keras"
    model().save(path)
    (tmp_path / "other.py").write_text("class Other: ...")
    (tmp_path / "broken.py").write_text("1 / 0")
    for name, says in (
        ("other.py", "no class of .* is in the files. They have Other"),
        ("broken.py", "fails: ZeroDivisionError"),
        ("absent.py", "no such file"),
        ("m.keras", "is no Python file"),
    ):
        with pytest.raises(InputError, match=says) as caught:
            costlens.analyze(str(path), imports=(str(tmp_path / name),))
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="is no saved model"):
        costlens.analyze(file, imports=(file,))
