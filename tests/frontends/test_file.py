"""Saved models against the live ones that they were saved from, and files that are broken."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import costlens
from costlens.errors import CostlensError, InputError, LoweringError
from costlens.frontends.keras_file import read_graph
from costlens.frontends.saved import open_saved
from costlens.ir.graph import Graph
from tests.frontends.saved import mutated, rezipped, varied
from tests.support import abstract, cost_of, functional, graph_of, params_of

FUZZ = settings(
    derandomize=True, deadline=timedelta(seconds=10), suppress_health_check=list(HealthCheck)
)
layers = keras.layers
JSON = abstract(varied).to_json()


class Mine(layers.Layer):
    """A layer of the user's."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.drop = layers.Dropout(0.5)

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 7))

    def call(self, x: Any) -> Any:
        return self.drop(x @ self.kernel)


def around(layer: Any) -> keras.Model:
    x = keras.Input((5,))
    return functional(x, layers.Dense(2)(layer(x)))


def read_file(path: Path, **flags: Any) -> tuple[Graph, str]:
    saved = open_saved(path)
    return read_graph(saved, **flags), saved.keras


def read(config: Any, path: Path, **flags: Any) -> Graph:
    path.write_text(config if isinstance(config, str) else json.dumps(config))
    return read_file(path, **flags)[0]


def told(graph: Graph) -> list[Any]:
    """All that a graph says of a model."""
    values = graph.values
    return [
        [
            (
                *(n.name, n.op, n.repeat, n.origin, sorted(map(str, n.attrs.items()))),
                *(values[v] for v in (*n.operands, *n.outputs)),
            )
            for n in graph.nodes
        ],
        [(w.path, w.type, w.trainable) for w in graph.weights.values()],
        [values[v] for v in (*graph.inputs, *graph.outputs, *graph.constants)],
    ]


# -- what is read ----------------------------------------------------------------------------


def test_a_configuration_reads_as_its_live_model(tmp_path: Path) -> None:
    model = abstract(varied)
    graph = read(model.to_json(), tmp_path / "c.json", batch=3)
    assert told(graph) == told(graph_of(model, batch=3))
    assert told(read(model.get_config(), tmp_path / "bare.json", batch=3)) == told(graph)


def test_an_archive_reads_as_its_live_model(tmp_path: Path) -> None:
    model = varied()
    model.compile("adam", "mse")
    model.save(tmp_path / "m.keras")
    graph, version = read_file(tmp_path / "m.keras")
    assert told(graph) == told(graph_of(model))
    assert params_of(graph) == model.count_params()
    assert (graph.notes, version) == ((), keras.__version__)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "bfloat16", "int8_from_float32"])
def test_dtypes_in_an_archive(dtype: str, tmp_path: Path) -> None:
    x = keras.Input((5,))
    model = functional(x, layers.Dense(4, dtype=dtype)(x))
    model.save(tmp_path / "m.keras")
    assert told(read_file(tmp_path / "m.keras")[0]) == told(graph_of(model))


def test_an_application_with_its_weights(tmp_path: Path) -> None:
    model = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, weights=None)
    model.save(tmp_path / "m.keras")
    study, live = costlens.analyze(str(tmp_path / "m.keras")), costlens.analyze(model)
    assert (study.totals, study.layers) == (live.totals, live.layers)


def test_sizes_that_the_file_leaves_open(tmp_path: Path) -> None:
    x = keras.Input((None, None, 3), name="image")
    model = abstract(lambda: functional(x, layers.Conv2D(2, 3)(x)))
    with pytest.raises(InputError, match="--input-shape image=N,N,3"):
        read(model.to_json(), tmp_path / "c.json")
    graph = read(model.to_json(), tmp_path / "c.json", batch=2, input_shape=(9, 9, 3))
    assert cost_of(graph).macs == 2 * 49 * 27 * 2


def test_a_sequential_that_was_never_built(tmp_path: Path) -> None:
    text = keras.Sequential([layers.Dense(3), layers.Dense(2)]).to_json()
    with pytest.raises(InputError, match="no input shape yet"):
        read(text, tmp_path / "c.json")
    assert params_of(read(text, tmp_path / "c.json", input_shape=(5,))) == 18 + 8


def test_a_custom_layer_is_unknown_and_its_stored_weights_are_parameters(tmp_path: Path) -> None:
    model = around(Mine())
    model.save(tmp_path / "m.keras")
    for graph, params in (
        (read_file(tmp_path / "m.keras")[0], model.count_params()),
        (read(model.to_json(), tmp_path / "c.json"), 7 * 2 + 2),
    ):
        (unknown,) = [n for n in graph.nodes if n.op == "unknown"]
        assert unknown.attrs["reason"].startswith("Mine is a custom layer")
        assert ("parameters it has is unknown" in unknown.attrs["reason"]) == (params == 16)
        assert graph.values[unknown.outputs[0]].shape == (1, 7)
        assert params_of(graph) == params


def test_a_custom_layer_in_a_sequential_returns_what_the_next_was_built_for(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((5,)), Mine(), layers.Dense(2)])
    graph = read(model.to_json(), tmp_path / "c.json")
    (unknown,) = [n for n in graph.nodes if n.op == "unknown"]
    assert graph.values[unknown.outputs[0]].shape == (1, 7)
    assert "the layer behind it" in unknown.attrs["reason"]
    last = keras.Sequential([keras.Input((5,)), Mine()])
    graph = read(last.to_json(), tmp_path / "c.json")
    assert ([n.op for n in graph.nodes], graph.outputs) == (["input", "unknown"], ())


def test_a_registered_class_is_the_users_wherever_it_says_that_it_lives(tmp_path: Path) -> None:
    config = json.loads(JSON)
    (dense,) = [x for x in config["config"]["layers"] if x["class_name"] == "Dense"]
    dense |= {"module": None, "registered_name": "mine>Dense"}
    graph = read(config, tmp_path / "c.json")
    assert [n.origin.kind for n in graph.nodes if n.op == "unknown"] == ["Dense"]


def test_a_lambda_is_unknown_and_never_run(tmp_path: Path) -> None:
    config = json.loads(around(layers.Lambda(lambda x: x, output_shape=(5,))).to_json())
    (held,) = [x for x in config["config"]["layers"] if x["class_name"] == "Lambda"]
    held["config"]["function"]["config"]["value"] = "no code at all"
    graph = read(config, tmp_path / "c.json")
    assert [n.origin.kind for n in graph.nodes if n.op == "unknown"] == ["Lambda"]


def test_numbers_of_numpy_make_doubles_as_they_did(tmp_path: Path) -> None:
    """A config writes them as Python's own, which would not."""
    x = keras.Input((5,))
    model = abstract(lambda: functional(x, layers.Dense(2)(x / np.sqrt(64))))
    graph = read(model.to_json(), tmp_path / "c.json")
    assert told(graph) == told(graph_of(model))


# -- weights against the config --------------------------------------------------------------


def saved(tmp_path: Path) -> Path:
    around(layers.Dense(3, name="fc")).save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def h5(path: Path, change: Callable[[h5py.File], None]) -> bytes:
    """The archive's weights, changed."""
    raw = path.with_suffix(".h5")
    with zipfile.ZipFile(path) as archive:
        raw.write_bytes(archive.read("model.weights.h5"))
    with h5py.File(raw, "a") as file:
        change(file)
    return raw.read_bytes()


def test_weights_of_another_shape_name_the_layer(tmp_path: Path) -> None:
    path = saved(tmp_path)

    def change(file: h5py.File) -> None:
        del file["layers/dense/vars/0"]
        file["layers/dense/vars/0"] = np.zeros((6, 3), "float32")

    other = rezipped(path, tmp_path / "o.keras", model__weights__h5=h5(path, change))
    with pytest.raises(LoweringError, match=r"^fc: its kernel should be float32\[5, 3\]"):
        read_file(other)


def test_absent_and_compressed_weights_are_noted(tmp_path: Path) -> None:
    path = saved(tmp_path)
    absent = rezipped(path, tmp_path / "a.keras", model__weights__h5=None)
    deflated = rezipped(path, tmp_path / "d.keras", zipfile.ZIP_DEFLATED)
    for file, says in ((absent, "holds no model.weights.h5"), (deflated, "is compressed")):
        graph, _ = read_file(file)
        assert says in graph.notes[0]
        assert params_of(graph) == 5 * 3 + 3 + 3 * 2 + 2


def test_weights_that_point_outside_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)

    def change(file: h5py.File) -> None:
        del file["layers/dense"]
        file["layers/dense"] = h5py.ExternalLink("/etc/passwd", "/")

    other = rezipped(path, tmp_path / "o.keras", model__weights__h5=h5(path, change))
    with pytest.raises(InputError, match="points outside"):
        read_file(other)


def test_groups_in_a_circle_end(tmp_path: Path) -> None:
    path = saved(tmp_path)

    def change(file: h5py.File) -> None:
        file["layers/dense/again"] = file["layers"]

    other = rezipped(path, tmp_path / "o.keras", model__weights__h5=h5(path, change))
    with pytest.raises(InputError, match="too many groups"):
        read_file(other)


# -- what is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("\x00\x01", "is no JSON"),
        ("[1]", "is no configuration"),
        ("{}", "is no configuration"),
        ('{"nodes": [], "links": []}', "is a graph or a report of costlens"),
        ('{"schema": "costlens/1"}', "is a graph or a report of costlens"),
        ("[" * 100_000, "nested too deeply"),
        ('{"class_name": "Mine", "module": "m", "config": {}}', "its code is not in the file"),
        ('{"class_name": "Sequential", "config": {"layers": []}, "keras_version": "2.15.0"}',
         "no input shape yet"),
        ('{"class_name": "Functional", "config": {"layers": [{"inbound_nodes": [[["a", 0]]]}]}}',
         "its configuration cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_configuration(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read(text, tmp_path / "c.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("member", ["config__json", "metadata__json"])
def test_members_that_are_absent_broken_or_bombs(member: str, tmp_path: Path) -> None:
    path, start = saved(tmp_path), time.monotonic()
    for content in (None, "", "{", "[]", " " * 2**28):
        other = rezipped(path, tmp_path / "o.keras", zipfile.ZIP_DEFLATED, **{member: content})
        start = time.monotonic()
        with pytest.raises(InputError) as caught:
            read_file(other)
        assert "\n" not in str(caught.value)
        assert time.monotonic() - start < 5


def test_an_archive_cut_off_anywhere(tmp_path: Path) -> None:
    whole, other = saved(tmp_path).read_bytes(), tmp_path / "o.keras"
    for size in range(0, len(whole), len(whole) // 40):
        other.write_bytes(whole[:size])
        with pytest.raises(CostlensError):
            read_file(other)


@pytest.mark.parametrize("name", ["saved.h5", "saved.keras"])
def test_a_file_overwritten_anywhere_is_read_or_is_one_line(name: str) -> None:
    whole = (Path(__file__).parent / "keras2" / name).read_bytes()

    @settings(FUZZ, max_examples=150)
    @given(st.lists(st.tuples(st.integers(0, len(whole) - 8), st.binary(max_size=8)), max_size=4))
    def check(changes: list[tuple[int, bytes]]) -> None:
        broken = bytearray(whole)
        for at, content in changes:
            broken[at : at + len(content)] = content
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.write_bytes(broken)
            try:
                str(costlens.analyze(str(path)))
            except CostlensError as error:
                assert "\n" not in str(error)

    check()


@pytest.mark.parametrize(
    ("layer", "setting", "value"),
    [
        ("Conv2D", "kernel_size", [10**12, 10**12]),
        ("Conv2D", "strides", {}),
        ("Conv2D", "filters", "x" * 10**6),
        ("UpSampling2D", "interpolation", "x" * 10**6),
        ("UpSampling2D", "size", [10**40, 10**40]),
        ("MaxPooling2D", "pool_size", [10**12, 10**12]),
    ],
)
def test_absurd_settings_are_read_or_are_one_short_line(
    layer: str, setting: str, value: Any, tmp_path: Path
) -> None:
    x, start = keras.Input((8, 8, 3)), time.monotonic()
    some = {"Conv2D": layers.Conv2D(2, 3, padding="same"), "UpSampling2D": layers.UpSampling2D(2),
            "MaxPooling2D": layers.MaxPooling2D(2, padding="same")}  # fmt: skip
    config = json.loads(functional(x, some[layer](x)).to_json())
    config["config"]["layers"][1]["config"][setting] = value
    path = tmp_path / "c.json"
    path.write_text(json.dumps(config))
    try:
        str(costlens.analyze(str(path)))
    except CostlensError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 1000
    assert time.monotonic() - start < 5


def test_members_of_one_name_are_read_as_keras_does_the_last(tmp_path: Path) -> None:
    path = saved(tmp_path)
    other = json.loads(around(layers.Dense(9, name="fc")).to_json())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", json.dumps(other))
    with pytest.raises(LoweringError, match=r"^fc: its kernel should be float32\[5, 9\]"):
        read_file(path)


def test_a_directory_of_more_members_than_a_model_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(40_000):
            archive.writestr(f"{i:0100}", b"")
    with pytest.raises(InputError, match="lists more"):
        read_file(path)


def test_models_that_call_each_other_more_often_than_can_be_counted(tmp_path: Path) -> None:
    """Ten calls of a model of ten calls of a model, twenty deep, in a file of a few pages."""

    def tensor(layer: str, node: int) -> Any:
        config = {"shape": [None, 3], "dtype": "float32", "keras_history": [layer, node, 0]}
        return {"class_name": "__keras_tensor__", "config": config}

    start = {"class_name": "InputLayer", "name": "i", "inbound_nodes": [],
             "config": {"batch_shape": [None, 3], "dtype": "float32", "name": "i"}}  # fmt: skip
    inner: Any = {"module": "keras.layers", "class_name": "ReLU", "config": {"name": "r"}}
    for _ in range(20):
        nodes = [{"args": [tensor("i", 0)], "kwargs": {}}]
        nodes += [{"args": [tensor("r", n)], "kwargs": {}} for n in range(9)]
        called = {**inner, "name": "r", "inbound_nodes": nodes}
        last = ["r", 9 + (inner["class_name"] == "Functional"), 0]
        config = {"name": "r", "layers": [start, called], "input_layers": [["i", 0, 0]],
                  "output_layers": [last]}  # fmt: skip
        inner = {"module": "keras", "class_name": "Functional", "config": config}
    with pytest.raises(LoweringError, match="called over 50,000 times"):
        read(inner, tmp_path / "c.json")


@settings(FUZZ, max_examples=60)
@given(mutated(JSON))
def test_a_mutated_configuration_is_read_or_is_one_line(config: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "c.json"
        path.write_text(json.dumps(config))
        try:
            str(costlens.analyze(str(path)))
        except CostlensError as error:
            assert "\n" not in str(error)


# -- the process -----------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["analyze", "savings"])
def test_no_framework_is_imported(command: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    code = (
        "import sys; from costlens.cli import main; "
        f"code = main([{command!r}, {str(path)!r}, '--batch', '2']); "
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules), file=sys.stderr); "
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "set()")


def test_a_broken_file_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"PK")
    argv = [sys.executable, "-m", "costlens", "analyze", str(tmp_path / "m.keras")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
