"""How long costlens takes, as ratios and against its bounds. Prints; asserts nothing."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

MODEL = "EfficientNetV2L"
RUNS = 5


def timed(work: Callable[[], object], runs: int = RUNS) -> float:
    """Median seconds of several runs, after one that is not counted."""
    work()
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def process(*command: str) -> Callable[[], object]:
    """A whole process, its output thrown away."""
    return lambda: subprocess.run(command, check=True, capture_output=True)


def reading() -> None:
    """Reading, pricing and totals of a model that is already built abstractly."""
    import costlens
    from costlens.frontends.abstract import abstract_keras

    with abstract_keras() as keras:
        model = getattr(keras.applications, MODEL)(weights=None)
    seconds = timed(lambda: costlens.analyze(model).totals)
    print(f"{MODEL}: reading + pricing + totals {seconds:.3f} s (bound 0.3 s)")


def whole() -> None:
    """The command against a process that builds the model with Keras and prints its summary."""
    ours = timed(
        process(sys.executable, "-m", "costlens", "analyze", f"keras.applications:{MODEL}"), 3
    )
    script = f"import keras; keras.applications.{MODEL}(weights=None).summary()"
    theirs = timed(process(sys.executable, "-c", script), 3)
    print(
        f"costlens analyze {MODEL} {ours:.2f} s, Keras build + summary {theirs:.2f} s: "
        f"ratio {ours / theirs:.2f} (bound 0.5)"
    )


def help_text() -> None:
    """``costlens --help`` against an interpreter that does nothing."""
    ours = timed(process(sys.executable, "-m", "costlens", "--help"))
    bare = timed(process(sys.executable, "-c", "pass"))
    print(f"costlens --help {ours:.3f} s (bound 0.15 s), a bare interpreter {bare:.3f} s")


def chain() -> None:
    """Pricing, rows and memory of a synthetic chain, at two lengths."""
    from costlens.frontends import Source
    from costlens.study import Study

    seconds = {}
    for length in (10_000, 100_000):
        graph = synthetic(length)
        seconds[length] = timed(lambda g=graph: Study(fresh(g), Source("", "", "")).totals, 3)
    ratio = seconds[100_000] / seconds[10_000]
    print(
        f"a chain of 100,000 ops: {seconds[100_000]:.2f} s (bound 5 s), {ratio:.1f} × the time of "
        "10,000"
    )


def motifs() -> None:
    """Finding every block: in two large models, and in stacks of bottlenecks of two lengths."""
    import costlens
    from costlens.frontends.abstract import abstract_keras
    from costlens.motifs.catalogue import search
    from costlens.motifs.reduce import skeleton

    for name in (MODEL, "NASNetLarge"):
        with abstract_keras() as keras:
            model = getattr(keras.applications, name)(weights=None)
        graph = costlens.analyze(model).graph
        found = len(costlens.analyze(model).blocks)
        seconds = timed(lambda g=graph: search(skeleton(fresh(g))))
        print(f"{name}: {found} blocks found in {seconds:.3f} s (bound 0.3 s)")
    for what, build in (("a chain", synthetic), ("bottlenecks", bottlenecks)):
        graphs = {n: build(n) for n in LENGTHS}
        seconds = {n: timed(lambda g=g: search(skeleton(fresh(g))), 3) for n, g in graphs.items()}
        few, many = (seconds[n] for n in LENGTHS)
        print(f"{what} of {LENGTHS[1]:,} ops: {many:.2f} s, {many / few:.1f} × the time of 10,000")


def bottlenecks(length: int) -> object:
    """A stack of residual bottlenecks, about ``length`` ops long."""
    from dataclasses import replace

    from costlens.ir.graph import Graph, Node, Origin, Weight
    from costlens.ir.types import TensorType

    wide, narrow = (TensorType((1, 14, 14, n), "float32") for n in (256, 64))
    kernels = {"reduce": (1, 1, 256, 64), "spatial": (3, 3, 64, 64), "expand": (1, 1, 64, 256)}
    weights = {
        name: Weight(name, name, TensorType(shape, "float32"), True, name)
        for name, shape in kernels.items()
    }
    start = synthetic(0)
    nodes, x = [replace(start.nodes[0], attrs={"shape": wide.shape, "dtype": "float32"})], "x"
    values = {"x": wide, **{name: weight.type for name, weight in weights.items()}}
    for i in range(length // 6):
        y = x
        for part in ("reduce", "spatial", "expand"):
            pad = ((1, 1), (1, 1)) if part == "spatial" else ((0, 0), (0, 0))
            attrs = {"strides": (1, 1), "padding": pad, "dilation": (1, 1), "groups": 1,
                     "channels_last": True}  # fmt: skip
            steps = [("conv", (y, part), attrs), ("unary", (f"{part}{i}",), {"fn": "relu"})]
            for op, operands, given in steps[: 1 if part == "expand" else 2]:
                name = f"{part}{i}" if op == "conv" else f"{part}{i}_relu"
                origin = Origin(op, name, 1)
                nodes.append(Node(name, op, operands, (name,), given, (name,), 1, origin))
                values[name], y = (wide if part == "expand" else narrow), name
        name, origin = f"add{i}", Origin("Add", f"add{i}", 1)
        nodes.append(Node(name, "binary", (x, y), (name,), {"fn": "add"}, (name,), 1, origin))
        values[name], x = wide, name
    return Graph("bottlenecks", ("x",), (x,), tuple(nodes), values, weights)


LENGTHS = (10_000, 100_000)


def fresh(graph: object) -> object:
    """The same graph without what it has cached."""
    from dataclasses import replace

    return replace(graph)


def synthetic(length: int) -> object:
    """A chain of relu layers, ``length`` ops long."""
    from costlens.ir.graph import Graph, Node, Origin
    from costlens.ir.types import TensorType

    type_ = TensorType((1, 56, 56, 64), "float32")
    nodes = [
        Node("x", "input", (), ("x",), {"shape": type_.shape, "dtype": "float32"}, ("x",), 1,
             Origin("InputLayer", "x", 1))
    ]  # fmt: skip
    for i in range(length):
        name = f"relu{i}"
        origin = Origin("ReLU", name, 1)
        nodes.append(
            Node(name, "unary", (nodes[-1].name,), (name,), {"fn": "relu"}, (name,), 1, origin)
        )
    values = {node.name: type_ for node in nodes}
    return Graph("chain", ("x",), (nodes[-1].name,), tuple(nodes), values)


if __name__ == "__main__":
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    chain()
    motifs()
    help_text()
    reading()
    whole()
