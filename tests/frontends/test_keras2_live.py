"""Live models of Keras 2, and scripts that run on it; where tf_keras is installed."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

import costlens
from costlens.errors import InputError

SCRIPT = """
import tensorflow as tf
from tensorflow.keras import layers

(x, y), _ = tf.keras.datasets.mnist.load_data()
model = tf.keras.Sequential([
    layers.Conv2D(8, 3, activation="relu", name="conv"),
    layers.Flatten(),
    layers.Dense(10, name="head"),
])
model.compile("adam", "sparse_categorical_crossentropy")
history = model.fit(x[..., None], y, epochs=300)
print(history.history["val_loss"], model.evaluate(x[..., None], y))
model.save("model.h5")
"""


def picture(kit: Any, middle: Any = None) -> Any:
    """The same model of either Keras, with a frozen layer; ``middle`` is one of the user's."""
    x = kit.Input((16, 16, 3), name="picture")
    y = kit.layers.Conv2D(8, 3, strides=2, name="stem", trainable=False)(x)
    y = kit.layers.BatchNormalization(name="norm")(y)
    inner = [kit.layers.DepthwiseConv2D(3, name="deep"), kit.layers.ReLU(name="relu")]
    y = kit.Sequential([kit.Input((7, 7, 8)), *inner], name="block")(y)
    y = middle(y) if middle is not None else y
    y = kit.layers.Flatten(name="flat")(y)
    return kit.Model(x, kit.layers.Dense(10, activation="softmax", name="head")(y))


def tokens(kit: Any) -> Any:
    x = kit.Input((12,), dtype="int32", name="tokens")
    y = kit.layers.Embedding(20, 8, name="table")(x)
    y = kit.layers.MultiHeadAttention(2, 4, name="attention")(y, y)
    both = kit.layers.Bidirectional(kit.layers.GRU(3, return_sequences=True), name="both")
    return kit.Model(x, kit.layers.LSTM(5, name="last")(both(y)))


if find_spec("tf_keras"):
    keras2 = importlib.import_module("tf_keras")

    class Own(keras2.Model):  # type: ignore[name-defined,misc]
        """A subclassed model: operations of its own, a table that is gathered from."""

        def __init__(self) -> None:
            super().__init__(name="own")
            self.first = keras2.layers.Conv2D(4, 3, name="first")
            self.table = keras2.layers.Embedding(10, 4, name="table")
            self.rnn = keras2.layers.LSTM(6, name="rnn")
            self.head = keras2.layers.Dense(5, name="head")

        def call(self, x: Any) -> Any:
            y = self.first(x) * 2.0 + 1.0
            y = tf.reshape(y, (tf.shape(y)[0], -1, 4)) + self.table(tf.constant([1]))
            return self.head(self.rnn(y))

    @pytest.mark.parametrize("build", [picture, tokens])
    def test_a_model_of_its_layers_is_read_as_that_of_keras_3(build: Any) -> None:
        model = build(keras2)
        old, new = costlens.analyze(model), costlens.analyze(build(keras))
        assert [(x.path, x.type, x.macs, x.params, x.trainable_params) for x in old.layers] == [
            (x.path, x.type, x.macs, x.params, x.trainable_params) for x in new.layers
        ]
        assert old.totals.params == model.count_params()
        assert old.totals.trainable_params == sum(
            int(tf.size(weight)) for weight in model.trainable_weights
        )
        assert old.source.keras == keras2.__version__
        assert not old.coverage.unknown

    def test_a_function_of_the_users_is_traced() -> None:
        middle = keras2.layers.Lambda(
            lambda x: tf.nn.conv2d(x, tf.ones((3, 3, 8, 4)), 1, "SAME"), name="mine"
        )
        model = picture(keras2, middle)
        study = costlens.analyze(model, batch=2)
        assert {x.path: (x.type, x.macs) for x in study.layers if x.macs} == {
            "stem": ("Conv2D", 2 * 7 * 7 * 8 * 27),
            "block/deep": ("DepthwiseConv2D", 2 * 5 * 5 * 8 * 9),
            "mine": ("Lambda", 2 * 5 * 5 * 4 * 72),
            "head": ("Dense", 2 * 100 * 10),
        }
        assert study.totals.params == model.count_params()
        assert study.totals.trainable_params == model.count_params() - 224 - 16

    @pytest.mark.parametrize("called", [False, True])
    def test_a_subclassed_model_is_traced(called: bool) -> None:
        model, sizes = Own(), {} if called else {"input_shape": (8, 8, 3)}
        if called:
            model(tf.zeros((1, 8, 8, 3)))
        study = costlens.analyze(model, **sizes)
        assert {x.path: x.macs for x in study.layers if x.macs} == {
            "first": 36 * 4 * 27,
            "rnn": 36 * (4 * 24 + 6 * 24),
            "head": 6 * 5,
        }
        assert {x.path: x.params for x in study.layers if x.params} == {
            "first": 112,
            "table": 40,
            "rnn": 4 * (4 * 6 + 6 * 6 + 6),
            "head": 35,
        }
        assert study.totals.params == model.count_params()
        assert not study.coverage.unknown

    def test_a_subclassed_model_that_nothing_is_known_of() -> None:
        with pytest.raises(InputError, match=r"Pass --input-shape"):
            costlens.analyze(Own())

    def test_it_is_not_traced_a_second_time() -> None:
        with pytest.raises(InputError, match="model of Keras 2"):
            costlens.analyze(tokens(keras2), verify=True)

    def test_mobilenet() -> None:
        study = costlens.analyze(keras2.applications.MobileNetV2(weights=None))
        assert (study.totals.macs, study.totals.params) == (300_774_272, 3_538_984)

    def test_a_script_on_keras_2(tmp_path: Path) -> None:
        (tmp_path / "train.py").write_text(SCRIPT)
        run = subprocess.run(
            [sys.executable, "-m", "costlens", "analyze", "train.py", "--format", "json"],
            cwd=tmp_path,
            env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        report = json.loads(run.stdout)
        assert report["totals"]["params"] == 80 + 26 * 26 * 8 * 10 + 10
        assert report["totals"]["macs"] == 26 * 26 * 8 * 9 + 26 * 26 * 8 * 10
        assert [path.name for path in tmp_path.iterdir()] == ["train.py"]
