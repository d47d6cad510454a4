"""TensorFlow Lite files, converted from Keras models: ``make_tflite.py`` says how."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import costlens
from costlens.errors import InputError
from costlens.frontends.tflite_file import read_tflite
from costlens.ir.graph import Graph
from tests.frontends.files.fuzz import survives
from tests.frontends.files.models import MODELS
from tests.support import abstract, cost_of, graph_of, params_of

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.tflite"))
HIDDEN = {"recurrent", "sequences", "cnn_variables", "unread"}
"""Files that the interpreter does not take, or whose variables and states it shows otherwise."""
CNNS = [f"cnn{form}" for form in ("", "_variables", "_int8", "_half", "_open")]


def read(name: str, **flags: object) -> Graph:
    return read_tflite(HERE / f"{name}.tflite", **flags)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [*MODELS, *CNNS[1:], "transformer_open"])
def test_the_macs_are_those_of_the_keras_model(name: str) -> None:
    model = abstract(MODELS[name.partition("_")[0]])
    expected, found = cost_of(graph_of(model)), cost_of(read(name))
    assert found.macs == expected.macs
    # the converter makes the U-Net's padding layer part of the convolution after it
    assert found.macs_valid == expected.macs_valid or name == "unet"


@pytest.mark.parametrize(
    "name",
    [file.stem for file in FILES if file.stem not in ("recurrent", "sequences", "cnn_variables")],
)
def test_the_parameters_are_the_arrays_that_the_interpreter_finds(name: str) -> None:
    """Every array that operators read, none of them made, of more than one real number."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_content=(HERE / f"{name}.tflite").read_bytes())
    details = {t["index"]: t for t in interpreter.get_tensor_details()}
    operators = interpreter._get_ops_details()
    made = {int(i) for op in operators for i in op["outputs"]}
    made |= {int(t["index"]) for t in interpreter.get_input_details()}
    read_only = {int(i) for op in operators for i in op["inputs"]} - made - {-1}
    sizes = [
        int(details[i]["shape"].prod())
        for i in read_only
        if details[i]["dtype"].__name__.startswith("float")
        or len(details[i]["quantization_parameters"]["scales"])
    ]
    # a convolution of one filter has a bias of one; the loop has a kernel in a subgraph
    more = {"unet": 1, "control": 6 * 6}.get(name, 0)
    assert params_of(read(name)) == sum(n for n in sizes if n > 1) + more


def test_a_folded_batch_norm_leaves_a_bias() -> None:
    """8 channels: kernel, 4·8 of statistics and scales in Keras; kernel and 8 in the file."""
    keras_params = params_of(graph_of(abstract(MODELS["cnn"])))
    assert params_of(read("cnn")) == keras_params - 4 * 8 + 8


def test_variables_that_were_not_frozen_are_parameters() -> None:
    """All that Keras holds, and the vectors that the converter adds (epsilons, zero biases)."""
    shapes = Counter(w.type.shape for w in read("cnn_variables").weights.values())
    model = abstract(MODELS["cnn"])
    expected = Counter(tuple(weight.shape) for weight in model.weights)
    assert not expected - shapes
    assert max((len(shape) for shape in (shapes - expected)), default=0) == 1


def test_recurrent_layers_are_loops() -> None:
    """9 steps, and what they hold is what Keras counts: 4·6·(5+6+1), 3·4·(6+4+2), 3·(4+3+1)."""
    graph = read("recurrent")
    assert {node.repeat for node in graph.nodes if node.op == "einsum"} == {9}
    assert params_of(graph) == 288 + 144 + 24


def test_an_operator_of_another_library_is_unknown_and_the_rest_counts() -> None:
    study = costlens.analyze(str(HERE / "unread.tflite"))
    assert study.totals.macs == 4**3 * 27 * 2 * 4
    (row,) = (row for row in study.layers if row.unknown)
    assert (row.type, row.output_shapes) == ("FlexMaxPool3D", ((1, 2, 2, 2, 4),))
    assert "macs" in study.totals.at_least


def test_a_recurrent_layer_that_is_one_operator() -> None:
    """LSTM(6) with peepholes on (2, 7, 5), then a plain RNN(3)."""
    graph = read("sequences")
    assert cost_of(graph).macs == 7 * 2 * (4 * 6 * (5 + 6) + 3 * (6 + 3))
    assert params_of(graph) == 4 * 6 * (5 + 6 + 1) + 3 * 6 + 3 * (6 + 3 + 1)
    assert {node.repeat for node in graph.nodes if node.op == "binary"} == {7}
    assert sum(t.size for t in graph.constants.values()) == 2 * (2 * 6) + 2 * 3


def test_a_loop_runs_as_often_as_its_counter_says_and_the_larger_branch_counts() -> None:
    """Five products of (4, 6) and (6, 6); then (4, 6)·(6, 30) and back, against (4, 6)·(6, 6)."""
    graph = read("control")
    assert cost_of(graph).macs == 5 * 4 * 6 * 6 + 2 * 4 * 6 * 30
    assert {node.repeat for node in graph.nodes if node.op == "einsum"} == {5, 1, 0}
    assert any("then branch is the larger one" in note for note in graph.notes)


@pytest.mark.parametrize("name", ["cnn_open", "cnn", "transformer_open", "unet"])
def test_costs_are_linear_in_the_batch(name: str) -> None:
    """A file that leaves the batch open, and one that fixes it."""
    assert cost_of(read(name, batch=3)).macs == 3 * cost_of(read(name)).macs


def test_an_input_shape_may_be_overridden() -> None:
    expected = graph_of(abstract(MODELS["cnn"]), input_shape=(24, 31, 3))
    assert cost_of(read("cnn", input_shape=(24, 31, 3))).macs == cost_of(expected).macs
    with pytest.raises(InputError, match="do not concatenate"):  # its resizing has a fixed size
        read("unet", input_shape=(24, 32, 3))


def test_dtypes_are_as_stored() -> None:
    kernels = {
        name: {w.type.dtype for w in read(name).weights.values() if w.type.rank > 1}
        for name in ("cnn", "cnn_half", "cnn_int8")
    }
    assert kernels == {"cnn": {"float32"}, "cnn_half": {"float16"}, "cnn_int8": {"int8"}}
    biases = {w.type.dtype for w in read("cnn_int8").weights.values() if w.type.rank == 1}
    assert biases == {"int32"}


def test_a_fused_activation_is_an_epilogue_of_its_row() -> None:
    graph = read("cnn")
    rows: dict[str, list[str]] = {}
    for node in graph.nodes:
        rows.setdefault(node.origin.layer, []).append(node.attrs.get("fn", node.op))
    assert ["conv", "add", "relu"] in rows.values()
    assert ["conv", "add", "relu6"] in rows.values()
    assert {node.attrs["fn"] for node in graph.nodes if node.name in graph.epilogues} >= {
        "relu",
        "relu6",
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_row_is_named_once(file: Path) -> None:
    calls = {node.origin for node in read_tflite(file).nodes}
    assert len({origin.layer for origin in calls}) == len(calls)
    assert {origin.call for origin in calls} == {1}


@pytest.mark.parametrize("name", [name for name in MODELS if name != "recurrent"])
def test_the_blocks_are_those_of_the_keras_model(name: str) -> None:
    expected = costlens.analyze(abstract(MODELS[name]))
    found = costlens.analyze(str(HERE / f"{name}.tflite"))
    assert Counter(b.match.motif for b in found.blocks) == Counter(
        b.match.motif for b in expected.blocks
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_damaged_files_are_refused_in_one_line(file: Path, tmp_path: Path) -> None:
    assert survives(read_tflite, file, tmp_path / file.name, 60) > 10


@pytest.mark.parametrize(
    "data",
    [b"", b"TFL3", b"\0\0\0\0TFL3", b"\x08\0\0\0TFL3" + bytes(40), b"PK\3\4" * 20],
    ids=["empty", "short", "rooted in itself", "zeros", "another format"],
)
def test_what_is_no_such_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    with pytest.raises(InputError, match="TensorFlow Lite"):
        read_tflite(path)


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_tflite(tmp_path / "absent.tflite")
    with pytest.raises(InputError, match="no TensorFlow Lite file"):
        read_tflite(tmp_path)


def test_no_framework_is_imported() -> None:
    code = (
        "import sys; from costlens.cli import command; "
        "sys.argv = ['costlens', 'analyze', sys.argv[1], '--format', 'json']\n"
        "try: command()\n"
        "except SystemExit: pass\n"
        "print(sorted({'tensorflow', 'keras', 'jax', 'torch', 'onnx', 'flatbuffers'}"
        " & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(HERE / "cnn.tflite")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr.strip().splitlines()[-1] == "[]"
    assert '"macs": 35960' in done.stdout
