"""Running a model file: nothing is allocated, trained or left behind; which model leads."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import pytest

from costlens.errors import InputError
from costlens.frontends.script.models import Found
from costlens.frontends.script.request import Request
from costlens.frontends.script.session import answer, load
from costlens.frontends.sizes import InputShape
from costlens.frontends.target import parse_target

HEAD = "import keras\nfrom keras import layers\n"


def dense(name: str, units: int) -> str:
    """A line of a script that makes a model of ``5 * units`` parameters."""
    return f"{name} = keras.Sequential([keras.Input((4,)), layers.Dense({units})], name='{name}')\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def models(
    source: str,
    target: str = "m.py",
    everything: bool = False,
    shape: InputShape = None,
) -> list[Found]:
    """The models of a script."""
    Path("m.py").write_text(HEAD + source, encoding="utf-8")
    return list(load(parse_target(target), shape, everything).models)


def summary(found: list[Found]) -> list[tuple[str, int]]:
    return [(f.target, f.params) for f in found]


def test_the_largest_model_leads_and_the_others_follow() -> None:
    source = dense("small", 2) + dense("large", 9) + dense("middle", 5)
    assert summary(models(source)) == [("m.py:large", 45), ("m.py:middle", 25), ("m.py:small", 10)]


def test_a_model_inside_another_never_leads() -> None:
    source = dense("inner", 9) + (
        "x = keras.Input((4,))\nouter = keras.Model(x, inner(x))\n" + dense("aside", 2)
    )
    assert summary(models(source)) == [("m.py:outer", 45), ("m.py:aside", 10), ("m.py:inner", 45)]


def test_a_model_of_another_ones_layers_never_leads() -> None:
    source = (
        "x = keras.Input((4,))\ny = layers.Dense(9)(x)\nz = layers.Dense(2)(y)\n"
        "features = keras.Model(x, y)\nnet = keras.Model(x, z)\n"
    )
    assert summary(models(source)) == [("m.py:net", 65), ("m.py:features", 45)]


def test_two_equal_models_have_to_be_told_apart() -> None:
    source = dense("a", 3) + dense("b", 3)
    with pytest.raises(InputError, match="two models of 15 parameters"):
        models(source)
    assert summary(models(source, everything=True)) == [("m.py:a", 15), ("m.py:b", 15)]
    assert summary(models(source, "m.py:b")) == [("m.py:b", 15)]


def test_a_model_under_two_names_is_one() -> None:
    assert summary(models(dense("net", 3) + "same = net\n", everything=True)) == [("m.py:net", 15)]


def test_functions_are_called_where_there_is_no_model() -> None:
    made = "    return keras.Sequential([keras.Input(input_shape), layers.Dense(2)])\n"
    source = (
        f"def build(input_shape=(4,)):\n{made}"
        "def needs(n): raise ValueError\n"
        "def _hidden(): raise ValueError\n"
        "def main(): raise ValueError\n"
        "def number(): return 3\n"
    )
    assert summary(models(source)) == [("m.py:build", 10)]
    assert summary(models(source, shape=(7,))) == [("m.py:build", 16)]
    assert summary(models(source, "m.py:build", shape=[9])) == [("m.py:build", 20)]
    assert summary(models(source, "m.py:build((1,))", shape=None)) == [("m.py:build((1,))", 4)]


GUARD = "if __name__ == '__main__':\n    "


def test_a_main_guard_is_run_only_where_nothing_else_makes_a_model() -> None:
    assert summary(models(GUARD + dense("net", 2))) == [("m.py:net", 10)]
    assert summary(models(dense("net", 2) + GUARD + "raise ValueError\n")) == [("m.py:net", 10)]
    trained = GUARD + dense("net", 2).rstrip() + "; net.fit([[1.0] * 4], [[1.0] * 2])\n"
    assert summary(models(trained)) == [("m.py:net", 10)]
    assert sys.modules["__main__"].__dict__.get("net") is None


def test_what_could_be_typed_names_models_of_functions_too() -> None:
    source = GUARD.replace("    ", "    main()\n").join(["def main():\n    " + dense("net", 2), ""])
    source += "\n"
    with pytest.raises(InputError, match=r"it has no other\. Try: m\.py:main\.net"):
        models(source, "m.py:other")
    with pytest.raises(InputError, match=r"no model is made in line 77\. Try: m\.py:main\.net"):
        models(source, "m.py:77")


def test_a_backbone_that_is_cut_at_an_inner_layer_is_a_part() -> None:
    source = (
        "def build():\n"
        "    x = keras.Input((4,))\n"
        "    inner = layers.Dense(3, name='inner')(x)\n"
        "    base = keras.Model(x, layers.Dense(50)(inner))\n"
        "    return keras.Model(x, layers.Dense(2)(base.get_layer('inner').output))\n"
        "net = build()\n"
        "net.fit([[1.0] * 4], [[1.0] * 2])\n"
    )
    assert models(source)[0].params == 4 * 3 + 3 + 3 * 2 + 2


def test_models_in_lists_and_dicts_are_found_under_what_one_would_type() -> None:
    net = dense("", 0).partition("= ")[2].strip().replace("Dense(0)", "Dense(n)")
    source = f"nets = {{}}\nfor n in (2, 3):\n    nets[n] = {net}\nn = 5\n"
    source += f"more = [nets[2], {net}]\n"
    found = {f.target: f.params for f in models(source, everything=True)}
    assert found == {"m.py:nets[2]": 10, "m.py:nets[3]": 15, "m.py:more[1]": 25}
    assert summary(models(source, "m.py:more[1]")) == [("m.py:more[1]", 25)]
    with pytest.raises(InputError, match=r"it has no nets\['x'\]"):
        models(source, "m.py:nets['x']")


def test_no_variable_is_allocated() -> None:
    """10^15 parameters, which no machine holds."""
    source = "x = keras.Input((10**8,))\nnet = keras.Model(x, layers.Dense(10**7)(x))\n"
    assert models(source)[0].params == 10**15 + 10**7


def test_compiling_setting_and_loading_weights_are_allowed() -> None:
    source = dense("net", 3) + (
        "import numpy as np\n"
        "rate = keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)\n"
        "net.compile(keras.optimizers.Adam(rate), 'mse', metrics=['accuracy'])\n"
        "net.compile('sgd', 'mse')\n"
        "assert abs(float(keras.ops.convert_to_numpy(net.optimizer.learning_rate)) - 0.01) < 1e-6\n"
        "net.set_weights([np.zeros((4, 3)), np.zeros(3)])\n"
        "path = keras.utils.get_file('weights.h5', 'https://example.invalid/weights.h5')\n"
        "net.load_weights(path)\n"
        "net.save('net.keras')\n"
        "table = keras.Variable(np.ones((2, 3)))\n"
        "assert table.shape == (2, 3)\n"
    )
    assert summary(models(source)) == [("m.py:net", 15)]
    assert sorted(p.name for p in Path().iterdir() if p.suffix) == ["m.py"]


def test_a_layer_that_makes_a_variable_from_a_value_can_be_built() -> None:
    source = (
        "import numpy as np\n"
        "class Scale(layers.Layer):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.scale = keras.Variable(np.ones(4), dtype='float32')\n"
        "    def call(self, x):\n"
        "        return x * self.scale\n"
        "x = keras.Input((4,))\nnet = keras.Model(x, Scale()(x))\n"
    )
    assert summary(models(source)) == [("m.py:net", 4)]


def test_pretrained_weights_are_not_fetched() -> None:
    source = "net = keras.applications.MobileNetV2(weights='imagenet')\n"
    assert models(source)[0].params == 3_538_984
    found = load(parse_target("keras.applications:MobileNetV2")).models
    assert found[0].params == 3_538_984


def test_a_script_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "costlens_beside.py").write_text("UNITS = 7\n")
    (tmp_path / "deep" / "m.py").write_text(
        HEAD + "from costlens_beside import UNITS\n" + dense("net", 7)
    )
    assert summary(list(load(parse_target("deep/m.py")).models)) == [("deep/m.py:net", 35)]
    assert str(tmp_path / "deep") not in sys.path
    assert "costlens_beside" not in sys.modules


def test_keras_is_left_as_it_was() -> None:
    before = (keras.Model.fit, keras.Model.save, keras.utils.get_file, keras.Variable.__init__)
    models(dense("net", 3))
    with pytest.raises(InputError):
        models("raise ValueError\n")
    after = (keras.Model.fit, keras.Model.save, keras.utils.get_file, keras.Variable.__init__)
    assert after == before
    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    assert layer.count_params() == 8
    assert float(keras.ops.sum(keras.ops.abs(layer.bias))) == 0.0


def test_made_up_names_start_afresh_and_do_not_shift_those_of_the_caller() -> None:
    mine = keras.layers.Dense(1).name
    found = models("net = keras.Sequential([keras.Input((4,)), layers.Dense(2)])\n")
    assert found[0].model.layers[0].name == "dense"
    stem, _, number = mine.partition("_")
    assert keras.layers.Dense(1).name == f"{stem}_{int(number or 0) + 1}"


def test_standard_output_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    models("import os\nprint('loud')\nos.system('echo louder')\n" + dense("net", 2))
    print("mine", flush=True)
    out, err = capfd.readouterr()
    assert out == "mine\n"
    assert "loud\n" in err
    assert "louder\n" not in err


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def f():\n    raise OSError('x')\nf()\n", 4),
        ("import json\njson.loads('{')\n", 4),
    ],
)
def test_a_failure_names_the_line_of_the_script(source: str, line: int) -> None:
    """Also where it was raised in a library that the script called."""
    with pytest.raises(InputError) as caught:
        models(source)
    assert caught.value.where == f"m.py:{line}"


def test_an_interruption_is_not_a_failure_of_the_script() -> None:
    with pytest.raises(KeyboardInterrupt):
        models("raise KeyboardInterrupt\n")


def test_reading_a_scripts_models_gives_them_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(variable: object) -> None:
        raise AssertionError(f"{variable} is initialised")

    monkeypatch.setattr(keras.Variable, "_deferred_initialize", refuse)
    source = (
        "import keras\nimport numpy as np\n"
        "class Own(keras.Model):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.d = keras.layers.Dense(3)\n"
        "    def call(self, x): return self.d(x)\n"
        "own = Own()\nown.compile('sgd', 'mse')\nown.fit(np.ones((8, 4)), np.ones((8, 3)))\n"
        "net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])\n"
    )
    Path("m.py").write_text(source)
    found = answer(Request("m.py", everything=True)).models
    assert {model.target: model.params for model in found} == {"m.py:own": 15, "m.py:net": 10}
