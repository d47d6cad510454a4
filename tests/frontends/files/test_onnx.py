"""ONNX files, exported from Keras and torch or written node by node: ``make_onnx.py`` says how.

The reader compares every value with the shape and dtype that the file has for it, which onnx's
own inference has put there: a file that is read without an error has passed that test.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import costlens
from costlens.cost.registry import price
from costlens.errors import InputError
from costlens.frontends.onnx_file import read_onnx
from costlens.frontends.opfile import run
from costlens.ir.graph import Graph
from tests.frontends.files.fuzz import survives
from tests.frontends.files.models import MODELS
from tests.support import abstract, cost_of, graph_of, params_of

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*.onnx"))
SIZES = {"torch_recurrent": (2, 5), "torch_attention": (7, 16)}
KERAS = [file.stem for file in FILES if file.stem.partition("_")[0] in MODELS]


def read(name: str, **flags: object) -> Graph:
    flags.setdefault("input_shape", SIZES.get(name))
    return read_onnx(HERE / f"{name}.onnx", **flags)  # type: ignore[arg-type]


def unread(graph: Graph) -> list[str]:
    return [node.attrs["reason"] for node in graph.nodes if node.op == "unknown"]


@pytest.mark.parametrize("name", [file.stem for file in FILES if file.stem != "own"])
def test_every_operator_is_read_and_every_row_named_once(name: str) -> None:
    graph = read(name)
    assert unread(graph) == []
    calls = {node.origin for node in graph.nodes}
    assert len({origin.layer for origin in calls}) == len(calls)


@pytest.mark.parametrize("name", KERAS)
def test_the_macs_are_those_of_the_keras_model(name: str) -> None:
    model = abstract(MODELS[name.partition("_")[0]])
    assert cost_of(read(name)).macs == cost_of(graph_of(model)).macs


@pytest.mark.parametrize(
    ("name", "params"),
    [
        # Keras's count; of a batch norm's four vectors, the exporter makes three
        ("cnn", 962 - 8),
        ("cnn_dynamo", 962 - 8),
        ("convolutions_dynamo", 1630),
        ("transformer", 3874),
        # Keras's count less the last convolution's bias, which is a single number there
        ("unet", 1437 - 1),
        # convolution with the norm folded in, grouped, transposed, dense
        ("torch_net", (216 + 8) + (8 * 2 * 9 + 8) + (8 * 2 * 4 + 4) + (12 * 10 + 10)),
        # 4 gates, 2 biases: two layers in two directions; 3 gates of 4 units
        ("torch_recurrent", 2 * 24 * (5 + 6 + 2) + 2 * 24 * (12 + 6 + 2) + 12 * (12 + 4 + 2)),
        ("torch_attention", 2 * 16 + 48 * 17 + 16 * 17),
    ],
)
def test_parameters(name: str, params: int) -> None:
    assert params_of(read(name)) == params


@pytest.mark.parametrize(
    ("name", "macs"),
    [
        ("torch_net", 8 * 8 * 27 * 8 + 8 * 8 * 18 * 8 + 8 * 8 * 4 * 4 * 4 + 120),
        ("torch_net_dynamo", 8 * 8 * 27 * 8 + 8 * 8 * 18 * 8 + 8 * 8 * 4 * 4 * 4 + 120),
        ("torch_recurrent", 7 * 2 * (2 * 24 * 11 + 2 * 24 * 18 + 12 * 16)),
        ("torch_attention", 7 * 16 * 48 + 2 * (2 * 7 * 7 * 8) + 7 * 16 * 16),
        # five trips, a step for each of four rows, and the larger branch
        ("operators_control", 5 * 4 * 6 * 6 + 4 * 6 * 6 + 4 * 6 * 30 + 4 * 30 * 2),
        # QLinearConv, ConvInteger, Conv; then two products
        ("operators_quantised", 3 * 4 * 4 * 8 * 36 + 2 * 144 * 5),
    ],
)
def test_macs(name: str, macs: int) -> None:
    assert cost_of(read(name)).macs == macs


@pytest.mark.parametrize(
    ("row", "macs"),
    [
        # output positions × taps × channels in a group × filters, for two images of 11 × 9
        ("Conv_0", 2 * (6 * 8) * 9 * 6 * 8),
        ("Conv_1", 2 * (6 * 5) * 9 * 6 * 8),
        ("Conv_2", 2 * (4 * 5) * 9 * 6 * 8),
        ("Conv_3", 2 * (7 * 3) * 9 * 6 * 8),
        ("Conv_4", 2 * (9 * 9) * 3 * 2 * 9),
        ("Conv_5", 2 * (9 * 7) * 9 * 1 * 12),
        # input positions
        ("ConvTranspose_6", 2 * 99 * 9 * 6 * 4),
        ("ConvTranspose_7", 2 * 99 * 9 * 6 * 4),
        ("ConvTranspose_8", 2 * 99 * 9 * 6 * 4),
        ("ConvTranspose_9", 2 * 99 * 4 * 6 * 2),
        ("Conv_26", 20 * 3 * 4 * 5),
        ("Conv_28", (4 * 5 * 6) * 8 * 2 * 3),
        ("ConvTranspose_29", (5 * 6 * 7) * 8 * 2 * 3),
    ],
)
def test_convolutions_of_every_form(row: str, macs: int) -> None:
    graph = read("operators_windows")
    found = zip(graph.nodes, price(graph), strict=True)
    assert sum(cost.macs for node, cost in found if node.origin.layer == row) == macs


def test_a_function_is_what_it_holds_and_an_unknown_operator_is_listed() -> None:
    """Two calls on one kernel (6, 6); the unknown operator's 15 numbers, which lie in a file
    that is not there, are parameters."""
    study = costlens.analyze(str(HERE / "own.onnx"))
    assert study.totals.macs == 2 * 4 * 6 * 6
    assert study.totals.params == 36 + 15
    assert unread(study.graph) == ["made.up.Mystery is no operator that is read"]
    bent = [node for node in study.graph.nodes if node.attrs.get("fn") == "leaky_relu"]
    assert len(bent) == 2
    assert len({node.origin.layer for node in bent}) == 2


@pytest.mark.parametrize("name", ["torch_net", "torch_net_dynamo", "torch_attention", "cnn"])
def test_costs_are_linear_in_the_batch(name: str) -> None:
    """A file that leaves the batch open, and one that fixes it."""
    assert cost_of(read(name, batch=3)).macs == 3 * cost_of(read(name)).macs


def test_an_open_length_is_asked_for() -> None:
    with pytest.raises(InputError, match="--input-shape x=N,16"):
        read_onnx(HERE / "torch_attention.onnx")
    short, long = (cost_of(read("torch_attention", input_shape=(n, 16))).macs for n in (7, 14))
    assert long == 2 * short + 2 * (2 * 7 * 7 * 8) * 2  # scores and products grow with the square


def test_arithmetic_on_sizes_is_no_cost() -> None:
    """What only shapes depend on is folded: no row computes with whole numbers."""
    graph = read("torch_attention")
    computed = {node.op for node in graph.nodes if graph.values[node.outputs[0]].dtype == "int64"}
    assert computed == set()


def test_dtypes_are_as_stored() -> None:
    graph = read("operators_quantised")
    kernels = Counter(w.type.dtype for w in graph.weights.values() if w.type.rank > 1)
    assert set(kernels) == {"uint8"}
    made = [graph.values[n.outputs[0]].dtype for n in graph.nodes if n.op == "conv"]
    assert sorted(made) == ["float32", "int32", "uint8"]


@pytest.mark.parametrize("name", ["cnn", "cnn_dynamo", "transformer", "convolutions_dynamo"])
def test_the_blocks_are_those_of_the_keras_model(name: str) -> None:
    expected = costlens.analyze(abstract(MODELS[name.partition("_")[0]]))
    found = costlens.analyze(str(HERE / f"{name}.onnx"))
    assert Counter(b.match.motif for b in found.blocks) == Counter(
        b.match.motif for b in expected.blocks
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_damaged_files_are_refused_in_one_line(file: Path, tmp_path: Path) -> None:
    def reader(path: Path) -> Graph:
        return read_onnx(path, input_shape=SIZES.get(file.stem))

    assert survives(reader, file, tmp_path / file.name, 60) > 10


@pytest.mark.parametrize(
    "data",
    [b"", b"\x3a", b"\x3a\xff\xff\xff\xff\x0f", b"\x0b" * 30, b"PK\3\4" * 20, bytes(64)],
    ids=["empty", "a tag", "longer than the file", "groups", "another format", "zeros"],
)
def test_what_is_no_such_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(InputError, match="ONNX"):
        read_onnx(path)


def field(number: int, payload: bytes | str) -> bytes:
    """A field of protobuf's wire format that holds bytes, shorter than 16,384."""
    raw = payload.encode() if isinstance(payload, str) else payload
    size = bytes([len(raw)]) if len(raw) < 128 else bytes([len(raw) & 127 | 128, len(raw) >> 7])
    return (
        bytes([number << 3 & 127 | 2 | (128 if number > 15 else 0)])
        + (bytes([number >> 4]) if number > 15 else b"")
        + size
        + raw
    )


def calling(name: str, times: int) -> bytes:
    """Nodes that call an operator or a function of the model on x, the last of them giving y."""
    domain = field(7, "f") if name.startswith("f") else b""
    outputs = [*(f"{name}{at}" for at in range(times - 1)), "y"]
    return b"".join(
        field(7, field(1, "x") + field(2, y) + field(4, name) + domain) for y in outputs
    )


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        ({"f0": ("f0", 2)}, "nested too deep"),
        ({f"f{i}": (f"f{i + 1}", 3) for i in range(40)}, "nested too deep"),
        (
            {f"f{i}": (f"f{i + 1}" if i < 12 else "Relu", 9) for i in range(13)},
            "more than 2,000 operators",
        ),
    ],
    ids=["a function that calls itself", "deep", "wide"],
)
def test_calls_without_end(
    calls: dict[str, tuple[str, int]],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "_MOST_OPS", 2000)
    functions = b"".join(
        field(25, field(1, name) + field(4, "x") + field(5, "y") + calling(*inner) + field(10, "f"))
        for name, inner in calls.items()
    )
    value = field(2, field(1, b"\x08\x01" + field(2, field(1, b"\x08\x02"))))
    node = field(1, "x") + field(2, "y") + field(4, "f0") + field(7, "f")
    graph = field(1, node) + field(11, field(1, "x") + value) + field(12, field(1, "y") + value)
    path = tmp_path / "model.onnx"
    path.write_bytes(functions + field(7, graph))
    with pytest.raises(InputError, match=message):
        read_onnx(path)
