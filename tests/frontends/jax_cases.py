"""Models that are read on JAX: `python -m tests.frontends.jax_cases` prints what is read of them.

It runs in a process of its own, in which TensorFlow cannot be imported. JSON goes to stdout:
`{case: {graph: [[path, call, macs, params], …], traced: the same, unknown: […], step: macs}}`.
"""

from __future__ import annotations

import importlib.abc
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ["JAX_PLATFORMS"] = "cpu"

    class _Absent(importlib.abc.MetaPathFinder):
        """TensorFlow is not there."""

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name.partition(".")[0] == "tensorflow":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, _Absent())

import jax
import jax.numpy as jnp
import keras
from jax import lax
from keras import Input, Model, layers, ops

from costlens.analysis.rows import rows
from costlens.cost.registry import price
from costlens.frontends.abstract import abstract_keras
from costlens.frontends.keras_live import read
from costlens.frontends.sizes import Wanted
from costlens.ir.graph import Graph


@dataclass(frozen=True)
class Case:
    """A model, what it is read at, and whether a training step of it is traced too."""

    build: Callable[[], Model]
    wanted: Mapping[str, Any] = field(default_factory=dict)
    training: bool = False


CASES: dict[str, Case] = {}


def case(training: bool = False, **wanted: Any) -> Callable[[Callable], Callable]:
    """Put a builder, or the class of a model, into ``CASES`` under its own name."""

    def add(build: Callable) -> Callable:
        CASES[build.__name__] = Case(build, wanted, training)
        return build

    return add


# Layers of Keras


@case(training=True)
def recurrent() -> Model:
    x = inputs = Input((12, 8))
    x = layers.LSTM(5, return_sequences=True)(x)
    x = layers.GRU(6, return_sequences=True)(x)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    return Model(inputs, layers.SimpleRNN(3)(x))


@case(training=True)
def conv_lstm() -> Model:
    inputs = Input((5, 10, 9, 3))
    return Model(inputs, layers.ConvLSTM2D(4, 3, padding="same")(inputs))


@case()
def time_distributed() -> Model:
    inputs = Input((5, 10, 9, 3))
    x = layers.TimeDistributed(layers.Conv2D(4, 3))(inputs)
    return Model(inputs, layers.TimeDistributed(layers.Dense(2))(x))


@case(training=True)
def attention() -> Model:
    x = inputs = Input((16, 32))
    x = layers.MultiHeadAttention(4, 8)(x, x)
    x = layers.GroupQueryAttention(8, 4, 2)(x, x)
    return Model(inputs, layers.LayerNormalization()(x))


@case(training=True)
def unet() -> Model:
    inputs = Input((32, 24, 4))
    skip = layers.Conv2D(8, 3, padding="same", groups=2, activation="relu")(inputs)
    down = layers.Conv2D(16, 3, strides=2, padding="same")(skip)
    up = layers.Conv2DTranspose(8, 3, strides=2, padding="same")(down)
    x = layers.Concatenate()([skip, up])
    x = layers.UpSampling2D(interpolation="bilinear")(x)
    return Model(inputs, layers.Conv2DTranspose(4, 2, strides=3)(x))


@case(training=True)
def cnn3d() -> Model:
    inputs = Input((8, 16, 12, 3))
    x = layers.Conv3D(4, 3, padding="same")(inputs)
    x = layers.MaxPooling3D()(x)
    return Model(inputs, layers.Conv3DTranspose(3, 2, strides=2)(x))


@case(training=True)
def dilated1d() -> Model:
    x = inputs = Input((64, 8))
    for rate in (1, 2, 4, 8):
        tanh = layers.Conv1D(8, 2, dilation_rate=rate, padding="causal", activation="tanh")(x)
        gate = layers.Conv1D(8, 2, dilation_rate=rate, padding="causal", activation="sigmoid")(x)
        x = layers.Add()([x, layers.Multiply()([tanh, gate])])
    return Model(inputs, layers.Conv1DTranspose(4, 3)(x))


@case(training=True)
def depthwise() -> Model:
    x = inputs = Input((33, 33, 8))
    x = layers.DepthwiseConv2D(3, dilation_rate=2)(x)
    x = layers.SeparableConv2D(6, 3, strides=2, padding="same")(x)
    return Model(inputs, layers.AveragePooling2D(2)(x))


@case()
def mixed_precision() -> Model:
    x = inputs = Input((8, 10, 3))
    x = layers.Conv2D(4, 3, dtype="mixed_float16")(x)
    x = layers.Conv2DTranspose(5, 3, dtype="mixed_bfloat16")(x)
    return Model(inputs, layers.Dense(2)(x))


@case()
def data_movement() -> Model:
    """Resizing and cutting out patches multiply by matrices on JAX, and are no arithmetic."""
    x = inputs = Input((12, 10, 3))
    x = ops.image.resize(x, (9, 7), interpolation="bicubic", antialias=True)
    x = ops.image.extract_patches(x, 3)
    return Model(inputs, layers.Dense(5)(x))


# Models and layers with a call of their own


class Gated(layers.Layer):
    """Weights of its own, multiplied with JAX."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 7), name="kernel")
        self.gain = self.add_weight(shape=(7,), name="gain", initializer="ones")

    def call(self, x: Any) -> Any:
        return jax.nn.relu(jnp.dot(x, self.kernel.value)) * self.gain


class Block(layers.Layer):
    """Layers of Keras and one that is not."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(units)
        self.norm = layers.LayerNormalization()
        self.gated = Gated()

    def call(self, x: Any) -> Any:
        return self.gated(self.norm(self.dense(x)))


@case(training=True)
def custom_layer() -> Model:
    x = inputs = Input((6, 5))
    x = layers.Dense(4)(x)
    x = Block(9)(x)
    return Model(inputs, layers.Dense(3)(x))


class Inner(Model):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow, self.block = layers.Dense(6), layers.Dense(4), Block(5)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.narrow(self.wide(x)), self.block(x)


@case(input_shape=(6,), training=True)
class NestedModels(Model):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(4)])
        self.inner, self.out = Inner(), layers.Dense(2)

    def call(self, x: Any) -> Any:
        first, second = self.inner(self.encoder(x))
        return self.out(first), second


@case(inputs={"ids": ("int32", (1, 7)), "features": ("float32", (1, 7, 3))})
class DictInputs(Model):
    """A dict, and a mask that travels on a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = layers.Embedding(50, 8, mask_zero=True)
        self.lstm, self.out = layers.LSTM(6), layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        y = self.out(self.lstm(self.embedding(inputs["ids"])))
        return {"y": y, "z": ops.sum(inputs["features"], -1)}


@case(input_shape=(6, 4))
class PythonLoop(Model):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = layers.LSTMCell(5), layers.Dense(3)

    def call(self, x: Any) -> Any:
        state, made = [jnp.zeros((x.shape[0], 5))] * 2, []
        for step in range(x.shape[1]):
            y, state = self.cell(x[:, step], state)
            made.append(self.out(y))
        return jnp.stack(made, 1)


@case(input_shape=(5,))
class Loops(Model):
    """Loops and a condition, of Keras and of JAX."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(5)

    def call(self, x: Any) -> Any:
        dense = self.dense
        x = ops.fori_loop(0, 4, lambda i, y: dense(y), x)
        x = ops.while_loop(lambda i, y: i < 6, lambda i, y: (i + 2, dense(y)), (0, x))[1]
        small = lambda s: (s[0] < 20) & (s[0] * s[0] < 300)  # noqa: E731
        x = lax.while_loop(small, lambda s: (2 * s[0] + 1, dense(s[1])), (1, x))[1]
        x, _ = lax.scan(lambda y, a: (dense(y) + a, y), x, jnp.ones((7, 1, 5)))
        return ops.cond(ops.sum(x) > 0, lambda: dense(dense(x)), lambda: dense(x))


@case(input_shape=(5,))
class LoopOnData(Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(5)

    def call(self, x: Any) -> Any:
        return lax.while_loop(lambda y: jnp.sum(y) > 0, self.dense, x)


@case(input_shape=(5,))
class Transformed(Model):
    """Calls inside functions that JAX compiles, differentiates, repeats or maps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = layers.Dense(5), layers.Dense(5)
        self.compiled = jax.jit(self.first)

    def call(self, x: Any) -> Any:
        x = self.compiled(self.compiled(x))
        x = jax.checkpoint(self.second)(x)
        x = jax.vmap(lambda row: self.second(row[None])[0])(x)
        return jax.grad(lambda y: jnp.sum(self.first(y) ** 2))(x)


class Scored(layers.Layer):
    """Keeps a tensor that others read."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = layers.Dense(4), layers.Dense(4)

    def call(self, x: Any) -> Any:
        self.scores = jax.nn.softmax(jnp.einsum("btd,bsd->bts", self.query(x), self.key(x)))
        return jnp.einsum("bts,bsd->btd", self.scores, x)


@case(input_shape=(6, 4))
class KeptTensor(Model):
    def __init__(self) -> None:
        super().__init__()
        self.scored, self.out = Scored(), layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.out(self.scored(x)), self.scored.scores


@case(input_shape=(8, 10, 4))
class RawConvolutions(Model):
    """Grouped and dilated; transposed; transposed in groups; channels first."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = self.add_weight(shape=(3, 3, 2, 6))
        self.back = self.add_weight(shape=(3, 3, 4, 6))

    def call(self, x: Any) -> Any:
        last = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
        x = lax.conv_general_dilated(
            x, self.kernel.value, (1, 1), "SAME", rhs_dilation=(2, 2), feature_group_count=2, **last
        )
        x = lax.conv_transpose(x, self.back.value, (2, 2), "SAME", transpose_kernel=True)
        ones, pads = jnp.ones((2, 2, 2, 4)), [(1, 1), (1, 1)]
        x = lax.conv_general_dilated(
            x, ones, (1, 1), pads, lhs_dilation=(2, 2), feature_group_count=2, **last
        )
        x = jnp.transpose(x, (0, 3, 1, 2))
        return lax.conv_general_dilated(x, jnp.ones((5, 4, 2, 2)), (1, 1), "VALID")


@case(input_shape=(8, 10, 4))
class ManyOperations(Model):
    """No multiplication but one, and every way to move things around."""

    def call(self, x: Any) -> Any:
        return [
            lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 2), (1, 1, 1, 1), "VALID"),
            lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME"),
            jnp.cumsum(x, 1), jnp.linalg.norm(x), x**3, jnp.argmax(x, -1), jnp.tril(x[0, ..., 0]),
            x.at[:, 0].set(0.0), x.at[:, 1].add(1.0), jnp.take(x, jnp.array([0, 1]), 1),
            jnp.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0))), x[:, :2, ::-1], jnp.clip(x, 0, 1),
            jnp.where(x > 0, x, 0.1 * x), jnp.stack([x, x]), jax.nn.gelu(x), jnp.var(x, -1),
            jax.image.resize(x, (1, 4, 20, 4), "lanczos3"),
            jax.image.scale_and_translate(
                x, (1, 4, 5, 4), (1, 2), jnp.array([0.5, 0.5]), jnp.zeros(2), "linear"
            ),
            jnp.einsum("bijk,bilk->bjl", x, x),
        ]  # fmt: skip


@case(input_shape=(6,))
class Unread(Model):
    """A sort has no figure; what follows it has."""

    def __init__(self) -> None:
        super().__init__()
        self.out = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.out(jnp.sort(x))


@case(input_shape=(16,), training=True)
class Experts(Model):
    def __init__(self) -> None:
        super().__init__()
        self.experts = [
            keras.Sequential([layers.Dense(32, activation="relu"), layers.Dense(16)])
            for _ in range(3)
        ]
        self.gate = layers.Dense(3, activation="softmax")

    def call(self, x: Any) -> Any:
        made = jnp.stack([expert(x) for expert in self.experts], 1)
        return jnp.einsum("bed,be->bd", made, self.gate(x))


def _application(name: str, **kwargs: Any) -> None:
    CASES[name] = Case(lambda: getattr(keras.applications, name)(weights=None, **kwargs))


for _name in (
    "MobileNet MobileNetV2 EfficientNetB0 EfficientNetV2B0 ResNet50 VGG16 Xception DenseNet121 "
    "InceptionV3 ConvNeXtTiny"
).split():
    _application(_name)
_application("MobileNetV3Small", input_shape=(224, 224, 3))


def _table(graph: Graph) -> list[tuple[str, int, int, int]]:
    return [(row.path, row.call, row.macs, row.params) for row in rows(graph, price(graph))]


def _read(one: Case) -> Mapping[str, Any]:
    wanted = Wanted(**one.wanted, verify=True, training=one.training)
    with abstract_keras():
        graphs = read(one.build(), wanted)
    both = (graphs.graph, graphs.traced)
    assert graphs.traced is not None
    step = None if graphs.step is None else sum(row[2] for row in _table(graphs.step))
    return {
        "graph": _table(graphs.graph),
        "traced": _table(graphs.traced),
        "unknown": sorted({u for g in both for row in rows(g, price(g)) for u in row.unknown}),
        "notes": graphs.graph.notes,
        "step": step,
    }


def main() -> None:
    """Read every case and print one JSON object."""
    results = {name: _read(one) for name, one in CASES.items()}
    json.dump({"tensorflow": "tensorflow" in sys.modules, "cases": results}, sys.stdout)


if __name__ == "__main__":
    main()
