"""Writes the .onnx files beside this script: ``python -m tests.frontends.files.make_onnx``.

Needs torch, onnx, onnxscript and Keras on its torch backend (``KERAS_BACKEND=torch``), which the
project itself does not. Torch's exporter makes them from the models of ``models.py`` and from
modules of its own (``torch_*``), in its old form and, as ``*_dynamo``, in its new one; their
weights all differ, since it merges equal ones. ``operators_*`` are written node by node, and
onnx's shape inference says what comes out: the reader is held to that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
FLOAT, INT64, BOOL, UINT8, INT8, INT32 = (
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.BOOL,
    TensorProto.UINT8,
    TensorProto.INT8,
    TensorProto.INT32,
)


class Sheet:
    """A model being written: nodes over named values, and their constants."""

    def __init__(self, opset: int = 21) -> None:
        self.opset = opset
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.constants: list[Any] = []

    def input(self, name: str, shape: tuple[int | str, ...], dtype: int = FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def const(self, value: Any, dtype: str = "int64") -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def zeros(self, *shape: int, dtype: str = "float32") -> str:
        return self.const(np.zeros(shape), dtype)

    def op(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attrs: Any) -> Any:
        names = [f"{kind}_{len(self.nodes)}_{i}" for i in range(outputs)]
        node = helper.make_node(kind, inputs, names, f"{kind}_{len(self.nodes)}", domain=domain)
        for key, value in attrs.items():
            node.attribute.append(helper.make_attribute(key, value))
        self.nodes.append(node)
        return names[0] if outputs == 1 else names

    def graph(self, outputs: list[Any], name: str = "sheet") -> Any:
        return helper.make_graph(self.nodes, name, self.inputs, outputs, self.constants)

    def write(self, name: str) -> None:
        """All values that nothing reads are outputs; shapes as onnx infers them."""
        read = {x for node in self.nodes for x in node.input}
        ends = [y for node in self.nodes for y in node.output if y not in read]
        outputs = [helper.make_empty_tensor_value_info(end) for end in ends]
        opsets = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(self.graph(outputs), opset_imports=opsets, ir_version=10)
        model = onnx.shape_inference.infer_shapes(model, check_type=True, data_prop=True)
        (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


def windows(s: Sheet) -> None:
    """Convolutions, pools and normalisation, in every form of padding."""
    x, w = s.input("image", (2, 6, 11, 9)), s.zeros(8, 6, 3, 3)
    s.op("Conv", x, w, s.zeros(8), pads=[1, 0, 2, 1], strides=[2, 1])
    s.op("Conv", x, w, auto_pad="SAME_UPPER", strides=[2, 2])
    s.op("Conv", x, w, auto_pad="SAME_LOWER", strides=[3, 2])
    s.op("Conv", x, w, auto_pad="VALID", dilations=[2, 3])
    s.op("Conv", x, s.zeros(9, 2, 3, 1), group=3)
    s.op("Conv", x, s.zeros(12, 1, 3, 3), group=6, kernel_shape=[3, 3])
    t = s.zeros(6, 4, 3, 3)
    s.op("ConvTranspose", x, t, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])
    s.op("ConvTranspose", x, t, strides=[3, 2], output_shape=[33, 18])
    s.op("ConvTranspose", x, t, strides=[2, 2], auto_pad="SAME_UPPER")
    s.op("ConvTranspose", x, s.zeros(6, 2, 2, 2), s.zeros(6), group=3, strides=[2, 2])
    s.op("MaxPool", x, kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)
    s.op("MaxPool", x, kernel_shape=[2, 2], strides=[3, 3], dilations=[2, 2], pads=[1, 1, 0, 0])
    s.op("MaxPool", x, kernel_shape=[2, 2], outputs=2)
    s.op("AveragePool", x, kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2])
    s.op("AveragePool", x, kernel_shape=[4, 4], strides=[3, 3], ceil_mode=1, pads=[1, 1, 1, 1])
    s.op("LpPool", x, kernel_shape=[2, 2], p=2)
    for kind in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        s.op(kind, x)
    c = [s.zeros(6) for _ in range(4)]
    s.op("BatchNormalization", x, *c)
    s.op("InstanceNormalization", x, c[0], c[1])
    s.op("LayerNormalization", x, s.zeros(11, 9), s.zeros(11, 9), axis=-2)
    s.op("GroupNormalization", x, c[0], c[1], num_groups=3)
    s.op("LpNormalization", x, axis=1)
    s.op("LRN", x, size=5)
    s.op("MeanVarianceNormalization", x)
    line = s.input("line", (1, 4, 20))
    s.op("Conv", line, s.zeros(5, 4, 3), pads=[2, 0])
    s.op("MaxPool", line, kernel_shape=[2], strides=[2])
    solid = s.input("solid", (1, 2, 5, 6, 7))
    s.op("Conv", solid, s.zeros(3, 2, 2, 2, 2))
    s.op("ConvTranspose", solid, s.zeros(2, 3, 2, 2, 2), strides=[2, 1, 1])


def moves(s: Sheet) -> None:
    """Views, slices, joins, lookups, resizing; sizes that are computed from sizes."""
    x, i = s.input("x", (2, 6, 4)), s.input("i", (3,), INT64)
    s.op("Reshape", x, s.const([0, -1, 2]))
    s.op("Flatten", x, axis=2)
    one = s.op("Unsqueeze", x, s.const([0, -1]))
    s.op("Squeeze", one, s.const([0]))
    s.op("Squeeze", one)
    s.op("Transpose", x)
    s.op("Transpose", x, perm=[0, 2, 1])
    s.op("Concat", x, x, axis=-1)
    s.op("Split", x, axis=1, num_outputs=4, outputs=4)
    s.op("Split", x, s.const([1, 3]), axis=-1, outputs=2)
    s.op("Slice", x, s.const([1, -3]), s.const([9, -1]), s.const([0, 1]), s.const([1, 1]))
    s.op("Slice", x, s.const([-1]), s.const([-100]), s.const([1]), s.const([-2]))
    s.op("Pad", x, s.const([0, 1, 2, 0, 0, 1]), mode="reflect")
    s.op("Pad", x, s.const([1, 2]), "", s.const([1]))
    s.op("Gather", x, i, axis=1)
    s.op("Gather", s.zeros(50, 8), i)
    s.op("GatherElements", x, s.zeros(2, 3, 4, dtype="int64"), axis=1)
    s.op("GatherND", x, s.zeros(5, 2, dtype="int64"))
    s.op("ScatterND", x, s.zeros(2, 1, dtype="int64"), s.zeros(2, 6, 4))
    s.op("ScatterElements", x, s.zeros(2, 1, 4, dtype="int64"), s.zeros(2, 1, 4), axis=1)
    s.op("OneHot", i, s.const([7]), s.zeros(2), axis=0)
    s.op("Expand", x, s.const([3, 1, 1, 1]))
    s.op("Tile", x, s.const([1, 2, 3]))
    s.op("Cast", x, to=TensorProto.FLOAT16)
    s.op("Trilu", x)
    s.op("ReverseSequence", x, s.const([1, 2, 3, 4, 5, 6]), batch_axis=1, time_axis=0)
    image = s.input("image", (1, 8, 6, 4))
    s.op("DepthToSpace", image, blocksize=2)
    s.op("SpaceToDepth", image, blocksize=2)
    s.op("Resize", image, "", s.const([1, 1, 2, 1.6], "float32"), mode="linear")
    s.op("Resize", image, "", "", s.const([1, 8, 3, 9]), mode="cubic")
    s.op("Resize", image, "", s.const([0.5, 3], "float32"), axes=[2, 3])
    shape = s.op("Shape", x)
    last = s.op("Gather", shape, s.const([2]))
    double = s.op("Mul", last, s.const([2]))
    s.op("Reshape", x, s.op("Concat", s.const([-1]), double, axis=0))
    s.op("ConstantOfShape", s.op("Slice", shape, s.const([0]), s.const([2])))
    count = s.op("Squeeze", s.op("Shape", x, start=1, end=2))
    s.op("Add", s.op("Range", s.const(0), count, s.const(2)), i)
    root = s.op("Sqrt", s.op("Cast", last, to=FLOAT))
    s.op("Div", x, root)


def maths(s: Sheet) -> None:
    """Elementwise functions, comparisons, reductions, products."""
    x, y = s.input("x", (3, 4, 5)), s.input("y", (5,))
    kinds = "Abs Acos Ceil Elu Erf Exp Gelu HardSwish Log Mish Neg Relu Sigmoid Softplus"
    for kind in kinds.split():
        s.op(kind, x)
    for kind in "Add Sub Mul Div Pow PRelu Mod".split():
        s.op(kind, x, y, **({"fmod": 1} if kind == "Mod" else {}))
    s.op("Pow", x, s.const(2.0, "float32"))
    s.op("Clip", x, s.const(0.0, "float32"), s.const(6.0, "float32"))
    s.op("Clip", x, "", s.const(1.0, "float32"))
    more = s.op("Greater", x, y)
    s.op("Where", s.op("And", more, s.op("Not", s.op("IsNaN", x))), x, s.const(0.0, "float32"))
    for kind in ("Max", "Min", "Sum", "Mean"):
        s.op(kind, x, y, x)
    for kind in "Mean Sum Max Min Prod L1 L2 LogSum LogSumExp SumSquare".split():
        s.op(f"Reduce{kind}", x, s.const([-1]), keepdims=kind < "Max")
    s.op("ReduceSum", x)
    s.op("ReduceSum", x, noop_with_empty_axes=1)
    s.op("ArgMax", x, axis=1, keepdims=0)
    s.op("TopK", x, s.const([2]), outputs=2)
    s.op("CumSum", x, s.const(1))
    for kind in ("Softmax", "LogSoftmax", "Hardmax"):
        s.op(kind, x, axis=1)
    s.op("MatMul", x, s.zeros(5, 7))
    s.op("MatMul", x, s.op("Transpose", x, perm=[0, 2, 1]))
    s.op("MatMul", s.zeros(2, 4), x)
    s.op("MatMul", x, y)
    flat = s.op("Flatten", x)
    s.op("Gemm", flat, s.zeros(6, 20), s.zeros(6), transB=1)
    s.op("Gemm", flat, s.zeros(3, 6), transA=1, alpha=0.5)
    s.op("Einsum", x, s.zeros(4, 5, 2), equation="bij,ijk->bk")
    s.op("Dropout", x)


def sequences(s: Sheet) -> None:
    """Recurrent operators, one direction and two, with what they may leave out."""
    x, n, h = s.input("x", (7, 2, 5)), 5, 3
    for kind, gates in (("LSTM", 4), ("GRU", 3), ("RNN", 1)):
        for count, name in ((1, "forward"), (2, "bidirectional")):
            weights = [s.zeros(count, gates * h, n), s.zeros(count, gates * h, h)]
            bias = s.zeros(count, 2 * gates * h)
            outputs = 3 if kind == "LSTM" else 2
            s.op(kind, x, *weights, bias, hidden_size=h, direction=name, outputs=outputs)
    w, r = s.zeros(1, 9, 5), s.zeros(1, 9, 3)
    s.op("GRU", x, w, r, hidden_size=h, linear_before_reset=1, outputs=2)
    first = s.zeros(1, 2, 3)
    more = ("", first, first, s.zeros(1, 9))
    s.op("LSTM", x, s.zeros(1, 12, 5), s.zeros(1, 12, 3), "", *more, hidden_size=h, outputs=3)


def quantised(s: Sheet) -> None:
    """Integer operators, and a convolution between quantisation and its inverse."""
    x = s.input("x", (1, 4, 6, 6))
    one, zero = s.const(0.1, "float32"), s.const(0, "uint8")
    q = s.op("QuantizeLinear", x, one, zero)
    w = s.zeros(8, 4, 3, 3, dtype="uint8")
    s.op("QLinearConv", q, one, zero, w, one, zero, one, zero, s.zeros(8, dtype="int32"))
    s.op("ConvInteger", q, w)
    s.op("Conv", s.op("DequantizeLinear", q, one, zero), s.op("DequantizeLinear", w, one, zero))
    s.op("DynamicQuantizeLinear", x, outputs=3)
    flat = s.op("Flatten", q)
    k = s.zeros(144, 5, dtype="uint8")
    s.op("MatMulInteger", flat, k)
    s.op("QLinearMatMul", flat, one, zero, k, one, zero, one, zero)


def control(s: Sheet) -> None:
    """A loop of five trips that stacks what it makes, a scan, and a branch."""
    x = s.input("x", (4, 6))
    body = Sheet()
    body.input("n", (), INT64)
    go = body.input("go", (), BOOL)
    product = body.op("MatMul", body.input("carried", (4, 6)), body.zeros(6, 6))
    outs = [helper.make_tensor_value_info(name, *what) for name, *what in (
        (body.op("Identity", go), BOOL, ()), (product, FLOAT, (4, 6)),
        (body.op("Relu", product), FLOAT, (4, 6)))]  # fmt: skip
    _, stack = s.op("Loop", s.const(5), s.const(True, "bool"), x, body=body.graph(outs), outputs=2)
    step = Sheet()
    state, row = step.input("state", (6,)), step.input("row", (6,))
    total = step.op("Add", step.op("MatMul", row, step.zeros(6, 6)), state)
    outs = [
        helper.make_tensor_value_info(name, FLOAT, (6,)) for name in (total, step.op("Tanh", total))
    ]
    graph = step.graph(outs)
    s.op("Scan", s.zeros(6), x, body=graph, num_scan_inputs=1, outputs=2)
    branches = []
    for width in (6, 30):
        side = Sheet()
        wide = side.op("MatMul", x, side.zeros(6, width))
        y = side.op("MatMul", wide, side.zeros(width, 2))
        branches.append(side.graph([helper.make_tensor_value_info(y, FLOAT, (4, 2))]))
    total = s.op("ReduceSum", stack, keepdims=0)
    above = s.op("Greater", total, s.const(0.0, "float32"))
    s.op("If", above, then_branch=branches[0], else_branch=branches[1])


def old(s: Sheet) -> None:
    """What opset 9 writes as attributes."""
    x = s.input("x", (2, 6, 4, 4))
    s.op("Unsqueeze", x, axes=[0])
    s.op("Slice", x, starts=[1], ends=[100], axes=[1])
    s.op("Pad", x, pads=[0, 0, 1, 1, 0, 0, 1, 1])
    s.op("Clip", x, min=0.0, max=6.0)
    s.op("ReduceMean", x, axes=[2, 3])
    s.op("Split", x, axis=1, split=[2, 4], outputs=2)
    s.op("Softmax", s.op("Flatten", x))
    s.op("Softmax", x)
    s.op("TopK", x, s.const([1]), outputs=2)
    s.op("Upsample", x, s.const([1, 1, 2, 2], "float32"))
    s.op("BatchNormalization", x, *(s.zeros(6) for _ in range(4)))
    s.op("Dropout", x, ratio=0.5)


def write_own() -> None:
    """A function of the model's own, called twice, and an operator that nobody knows."""
    nodes = [
        helper.make_node("MatMul", ["a", "k"], ["p"]),
        helper.make_node("LeakyRelu", ["p"], ["q"]),
    ]
    slope = nodes[1].attribute.add()
    slope.name, slope.ref_attr_name = "alpha", "slope"
    slope.type = onnx.AttributeProto.FLOAT
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("made.up", 1)]
    function = helper.make_function(
        "made.up", "Bent", ["a", "k"], ["q"], nodes, opsets[:1], attributes=["slope"]
    )
    s = Sheet()
    kernel = s.zeros(6, 6)
    y = s.op("Bent", s.input("x", (4, 6)), kernel, domain="made.up", slope=0.2)
    y = s.op("Bent", y, kernel, domain="made.up", slope=0.3)
    y = s.op("Mystery", y, s.zeros(3, 5), domain="made.up")
    known = [helper.make_tensor_value_info(y, FLOAT, (4, 2))]
    end = helper.make_tensor_value_info(s.op("Relu", y), FLOAT, (4, 2))
    graph = s.graph([end])
    graph.value_info.extend(known)
    away = graph.initializer[-1]  # its data lie in a file that is not there
    away.ClearField("raw_data")
    away.data_location = TensorProto.EXTERNAL
    entry = away.external_data.add()
    entry.key, entry.value = "location", "elsewhere.bin"
    model = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=10)
    (HERE / "own.onnx").write_bytes(model.SerializeToString())


def write_sheets() -> None:
    """The files that need nothing but onnx."""
    write_own()
    for fill in (windows, moves, maths, sequences, quantised, control):
        sheet = Sheet(20 if fill is windows else 21)
        fill(sheet)
        sheet.write(f"operators_{fill.__name__}")
    sheet = Sheet(9)
    old(sheet)
    sheet.write("operators_old")


def without_traces(model: Any) -> Any:
    """The model without the places in source files that the exporter notes at every node."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
    return model


def export(module: Any, inputs: tuple[Any, ...], name: str, dynamo: bool, **more: Any) -> None:
    """One module through one of torch's exporters."""
    import torch

    module.eval()
    path = HERE / f"{name}{'_dynamo' if dynamo else ''}.onnx"
    with torch.no_grad():
        torch.onnx.export(module, inputs, path, dynamo=dynamo, verbose=False, **more)
    onnx.save(without_traces(onnx.load(path)), path)


def write_keras() -> None:
    """The models that the .tflite files are of."""
    import torch

    from tests.frontends.files.models import MODELS

    rng = np.random.default_rng(0)
    for name, form in (
        *((name, False) for name in MODELS if name not in ("recurrent", "convolutions")),
        ("cnn", True),
        ("convolutions", True),
    ):
        model = MODELS[name]()
        for weight in model.weights:
            if "seed" not in weight.path:
                weight.assign(rng.uniform(0.5, 1, weight.shape))
        xs = [torch.zeros((1, *x.shape[1:]), dtype=getattr(torch, x.dtype)) for x in model.inputs]
        more = {"external_data": False} if form else {}
        export(model, (xs[0],) if len(xs) == 1 else (xs,), name, form, **more)


def write_torch() -> None:
    """Modules of torch's own, the batch left open."""
    import torch
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 6, num_layers=2, bidirectional=True)
            self.gru = nn.GRU(12, 4)

        def forward(self, x: Any) -> Any:
            return self.gru(self.lstm(x)[0])[0]

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(
                nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.Hardswish()
            )
            self.down = nn.Conv2d(8, 8, 3, 1, 1, groups=4)
            self.up = nn.ConvTranspose2d(8, 4, 2, 2, groups=2)
            self.scale = nn.Upsample(scale_factor=2, mode="bilinear")
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10))

        def forward(self, x: Any) -> Any:
            x = self.stem(x)
            y = torch.cat([self.up(self.down(x)), self.scale(x)], 1)
            return self.head(y).log_softmax(-1)

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)

        def forward(self, x: Any) -> Any:
            n, t, _ = x.shape
            parts = self.qkv(self.norm(x)).view(n, t, 3, 2, 8).permute(2, 0, 3, 1, 4)
            q, k, v = parts.unbind(0)
            scores = (q @ k.transpose(-1, -2)) * 8**-0.5
            scores = scores.masked_fill(torch.ones(t, t).triu(1) > 0, float("-inf"))
            y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, 16)
            return x + self.out(y)

    torch.manual_seed(0)
    batch = {"x": {1: "batch"}}
    names = {"input_names": ["x"], "dynamic_axes": batch}
    export(Recurrent(), (torch.zeros(7, 2, 5),), "torch_recurrent", False, **names)
    image = torch.zeros(2, 3, 16, 16)
    names["dynamic_axes"] = {"x": {0: "batch"}}
    export(Net(), (image,), "torch_net", False, **names)
    shapes = {"x": {0: torch.export.Dim("batch")}}
    export(Net(), (image,), "torch_net", True, dynamic_shapes=shapes, external_data=False)
    names["dynamic_axes"] = {"x": {0: "batch", 1: "tokens"}}
    export(Attention(), (torch.zeros(2, 7, 16),), "torch_attention", False, **names)


def main() -> None:
    """Write every file."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    write_sheets()
    write_keras()
    write_torch()


if __name__ == "__main__":
    main()
