"""Saved models for the tests of the file reader: a varied model, and its mutations."""

from __future__ import annotations

import json
import zipfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st

from tests.support import functional

layers = keras.layers


def varied() -> keras.Model:
    """Nested models, sharing, slices, constants, wrappers, a mask, several inputs and outputs."""
    ids, x = keras.Input((6,), dtype="int32", name="ids"), keras.Input((6, 4), name="x")
    y = layers.Embedding(9, 4, mask_zero=True)(ids)
    y = layers.LSTM(4, return_sequences=True, name="lstm")(layers.Add()([y, x]))
    y = layers.Bidirectional(layers.GRU(3, return_sequences=True))(y)
    y = layers.TimeDistributed(layers.Dense(4, trainable=False, name="frozen"))(y)
    y = layers.MultiHeadAttention(2, 3)(y, x, use_causal_mask=True)
    i = keras.Input((4,), name="i")
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization()])
    part = keras.Model(i, inner(i), name="part")
    z = part(part(y[:, 0])) * 0.5 + np.ones((4,), "float32")
    rate = layers.Dropout(0.5)(layers.Dense(2, activation="relu", dtype="mixed_float16")(z))
    return functional({"ids": ids, "x": x}, {"a": rate, "b": [keras.ops.softmax(z), y]})


def functions() -> keras.Model:
    """What ``keras2/make.py`` writes with functions of TensorFlow's, in operations of Keras's."""
    x, ops = keras.Input((8, 8, 6), batch_size=2, name="x"), keras.ops
    y = ops.divide(ops.multiply(ops.relu6(ops.add(x, 3.0)), x), 6.0)
    y = ops.concatenate([y, ops.silu(x)], axis=-1)
    y = ops.transpose(ops.reshape(y, (2, 64, 12)), (0, 2, 1))
    y = ops.matmul(y, ops.reshape(x, (2, 64, 6)))
    y = ops.squeeze(y[:, None, 1:, ::2], axis=1)
    a, b = ops.split(y, [1], axis=-1)
    y = ops.stack([a, b[..., :1]], axis=1) - ops.mean(b, axis=-1, keepdims=True)[:, None]
    y = ops.leaky_relu(ops.divide(1.0, ops.exp(y) + ops.cast(ops.greater(y, 0), "float32")), 0.1)
    y = ops.maximum(ops.clip(y, 0.0, 5.0), ops.sqrt(ops.absolute(y)))
    y = ops.pad(ops.expand_dims(y, 1), [[0, 0], [0, 0], [1, 1], [0, 0], [0, 2]])
    return keras.Model(x, y)


def rezipped(path: Path, to: Path, compress: int = zipfile.ZIP_STORED, **changed: Any) -> Path:
    """The archive again, members replaced (or left out where None); a dot is written ``__``."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w", compress) as new:
        for name in old.namelist():
            content = changed.get(name.replace(".", "__"), old.read(name))
            if content is not None:
                new.writestr(name, content)
    return to


_JUNK: list[Any] = [
    None, True, False, 0, 1, -1, 3, 10**12, 10**40, 1.5, float("inf"), float("nan"), "", "Dense",
    "float16", "layers", [], [[]], [None], [1, 2], ["lstm", 0, 0], ["lstm", 10**9, 10**9], {},
    {"class_name": "__tuple__", "config": {"value": 3}}, {"class_name": "Dense", "config": {}},
    {"class_name": "__numpy__", "config": {"value": [[1], [1, 2]]}},
]  # fmt: skip


def _places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, (dict, list)):
            found += _places(value, (*path, key))
    return found


@st.composite
def mutated(draw: Any, text: str) -> Any:
    """A configuration with a few of its values replaced, dropped or doubled."""
    config = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(config)
        if not places:
            break
        *path, last = draw(st.sampled_from(places))
        at = config
        for key in path:
            at = at[key]
        change = draw(st.sampled_from(["replace", "drop", "double", "copy"]))
        if change == "replace":
            at[last] = deepcopy(draw(st.sampled_from(_JUNK)))
        elif change == "drop":
            del at[last]
        elif change == "double" and isinstance(at, list):
            at.append(deepcopy(at[last]))
        else:
            at[last] = deepcopy(config)
    return config
