"""A command line in the test's own process, in a folder of small model files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from costlens.cli import main

FILES = {
    "net.py": """
import keras
from keras import layers

def build(width=4, input_shape=(8, 8, 3)):
    inner = keras.Input((6, 6, width))
    y = layers.Conv2D(width, 1, activation="relu", name="reduce")(inner)
    block = keras.Model(inner, layers.BatchNormalization(name="bn")(y), name="block")
    x = image = keras.Input(input_shape, name="image")
    x = block(layers.Conv2D(width, 3, name="stem")(x))
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(10, name="head")(x), name="net")

net = build()
number = 3
""",
    "open.py": """
import keras
image = keras.Input((None, None, 3), name="image")
conv = keras.Model(image, keras.layers.Conv2D(4, 3, name="conv")(image), name="open")
fixed = keras.Input((8, 8, 3), name="image")
flat = keras.layers.Flatten()(fixed)
dense = keras.Model(fixed, keras.layers.Dense(4, name="head")(flat), name="fixed")
""",
    "pair.py": """
import keras
a, b = keras.Input((None, 4), name="a"), keras.Input((None, 4), name="b")
pair = keras.Model([a, b], keras.layers.Concatenate(axis=1)([a, b]), name="pair")
""",
    "twins.py": """
import keras
small = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="small")
a = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)], name="a")
b = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5)], name="b")
""",
    "odd.py": """
import keras
import numpy as np
import tensorflow as tf

class Odd(keras.layers.Layer):
    def call(self, x):
        y = tf.numpy_function(np.tanh, [x], "float32")
        y.set_shape(x.shape)
        return y

image = keras.Input((4, 4, 3), name="image")
odd = keras.layers.Conv2D(5, 1, name="conv")(Odd(name="odd")(image))
model = keras.Model(image, odd, name="with_odd")
""",
    "blocks.py": """
import keras
from keras import layers

def bottleneck(x, name):
    y = layers.Conv2D(4, 1, activation="relu", name=name + "_reduce")(x)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", name=name + "_spatial")(y)
    y = layers.Conv2D(16, 1, name=name + "_expand")(y)
    return layers.ReLU(name=name + "_relu")(layers.Add(name=name + "_add")([x, y]))

image = keras.Input((8, 8, 16), name="image")
x = bottleneck(bottleneck(image, "first"), "second")
x = layers.Conv2D(24, 1, strides=2, name="mix")(x)
x = layers.GlobalAveragePooling2D(name="pool")(x)
net = keras.Model(image, layers.Dense(10, name="head")(x), name="blocks")
""",
    "chatty.py": """
import os
import keras
net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="chatty")
net.summary()
print("from the script")
os.system("echo from a child")
""",
}


@dataclass(frozen=True)
class Result:
    """What a command gave: exit code, standard output and standard error."""

    code: int
    out: str
    err: str


Costlens = Callable[..., Result]


@pytest.fixture
def costlens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Costlens:
    """Run a command in a folder that holds FILES, at a terminal of 80 columns."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = main(list(arguments))
        return Result(code, *capsys.readouterr())

    return run
