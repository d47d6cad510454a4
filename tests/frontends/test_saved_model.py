"""SavedModels: compared with the live models that were saved, and damaged ones."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import tensorflow as tf

import costlens
from costlens.cli import main
from costlens.errors import InputError
from tests.support import functional

KERAS_2 = Path(__file__).parent / "files" / "saved_model_keras2"
"""Written by tf_keras 2.21; its variables are left out."""


def picture(**sizes: Any) -> keras.Model:
    """Convolutions, a frozen layer, a model inside, a random layer."""
    x = keras.Input(sizes.get("shape", (16, 16, 3)), name="picture")
    y = keras.layers.Conv2D(8, 3, strides=2, name="stem")(x)
    y = keras.layers.BatchNormalization(name="norm")(y)
    inner = [
        keras.layers.DepthwiseConv2D(3, name="deep"),
        keras.layers.ReLU(name="relu"),
        keras.layers.Conv2D(12, 1, use_bias=False, name="wide"),
    ]
    y = keras.Sequential([keras.Input((None, None, 8)), *inner], name="block")(y)
    y = keras.layers.GlobalAveragePooling2D(name="pool")(y)
    y = keras.layers.Dropout(0.5, name="drop")(y)
    model = functional(x, keras.layers.Dense(10, activation="softmax", name="head")(y))
    model.get_layer("stem").trainable = False
    return model


def tokens() -> keras.Model:
    """A table, attention, recurrent layers that loop."""
    x = keras.Input((12,), dtype="int32", name="tokens")
    y = keras.layers.Embedding(20, 8, mask_zero=True)(x)
    y = keras.layers.LayerNormalization()(keras.layers.MultiHeadAttention(2, 4)(y, y) + y)
    y = keras.layers.Bidirectional(keras.layers.GRU(3, return_sequences=True))(y)
    return functional(x, keras.layers.LSTM(5)(y))


def texts() -> keras.Model:
    """A table of words."""
    x = keras.Input((), dtype="string", name="texts")
    y = keras.layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot")(x)
    return functional(x, keras.layers.Dense(2)(y))


class Own(keras.Model):
    """A subclassed model with operations of its own between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = keras.layers.Conv2D(4, 3, name="first")
        self.last = keras.layers.Dense(5, name="last")

    def call(self, x: Any) -> Any:
        y = self.first(x) * 2.0 + 1.0
        y = tf.reshape(y, (tf.shape(y)[0], -1, 4))
        return self.last(tf.matmul(y, y, transpose_b=True) @ y)


def own() -> keras.Model:
    model = Own()
    model(keras.ops.zeros((1, 8, 8, 3)))
    return model


def exported(model: Any, folder: Path) -> None:
    model.export(folder, verbose=False)


def saved(model: Any, folder: Path) -> None:
    tf.saved_model.save(model, folder)


def macs_of(study: Any) -> dict[str, int]:
    """MACs of the rows that have some."""
    return {row.path: row.macs for row in study.layers if row.macs}


@pytest.mark.parametrize("write", [exported, saved])
def test_rows_weights_and_macs_are_those_of_the_live_model(
    write: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    model = picture()
    model.compile("adam", "mse", metrics=["mae"])
    write(model, tmp_path / "m")
    shutil.rmtree(tmp_path / "m" / "variables")  # their values are never read
    live, read = costlens.analyze(model), costlens.analyze(str(tmp_path / "m"))
    assert macs_of(read) == macs_of(live)
    assert set(macs_of(read)) == {"stem", "block/deep", "block/wide", "head"}
    assert {x.path: x.params for x in read.layers if x.params} == {
        x.path: x.params for x in live.layers if x.params
    }
    assert read.totals.params == model.count_params()
    assert not read.coverage.unknown
    assert read.graph.values[read.graph.outputs[0]].shape == (1, 10)


def test_a_layer_that_is_frozen_stays_so(tmp_path: Path) -> None:
    model = picture()
    exported(model, tmp_path / "m")
    read = costlens.analyze(str(tmp_path / "m"))
    assert read.totals.trainable_params == sum(
        math.prod(weight.shape) for weight in model.trainable_weights
    )


@pytest.mark.parametrize("build", [tokens, texts, own])
def test_totals_are_those_of_the_live_model(
    build: Callable[[], keras.Model], tmp_path: Path
) -> None:
    model = build()
    exported(model, tmp_path / "m")
    sizes: dict[str, Any] = {"input_shape": (8, 8, 3)} if build is own else {}
    live = costlens.analyze(model, **sizes)
    read = costlens.analyze(str(tmp_path / "m" / "saved_model.pb"))
    assert read.totals.macs == live.totals.macs > 0
    assert read.totals.params == model.count_params()
    assert all("text has no fixed size" in each.reason for each in read.coverage.unknown)
    own_row = {"m": model.name}  # a model's own operations are a row of the folder's name
    assert {own_row.get(path, path) for path in macs_of(read)} == set(macs_of(live))


def test_mobilenet(tmp_path: Path) -> None:
    exported(keras.applications.MobileNetV2(weights=None), tmp_path / "m")
    read = costlens.analyze(str(tmp_path / "m"))
    assert (read.totals.macs, read.totals.params) == (300_774_272, 3_538_984)
    assert next(x.macs for x in read.layers if x.path == "Conv1") == 112 * 112 * 32 * 27


def test_other_sizes(tmp_path: Path) -> None:
    exported(picture(shape=(None, None, 3)), tmp_path / "m")
    with pytest.raises(InputError, match="--input-shape picture=N,N,3"):
        costlens.analyze(str(tmp_path / "m"))
    read = costlens.analyze(str(tmp_path / "m"), batch=4, input_shape=(32, 20, 3))
    live = costlens.analyze(picture(shape=(32, 20, 3)), batch=4)
    assert macs_of(read) == macs_of(live)
    assert read.graph.values[read.graph.outputs[0]].shape == (4, 10)


def test_keras_2() -> None:
    read = costlens.analyze(str(KERAS_2))
    assert macs_of(read) == {
        "stem": 7 * 7 * 8 * 27,
        "block/deep": 5 * 5 * 8 * 9,
        "head": 200 * 10,
    }
    assert read.totals.params == 2346  # as tf_keras counted
    assert [x.path for x in read.layers] == [
        *("image", "stem", "norm", "block/deep", "block/relu", "flat", "head")
    ]


class Loops(tf.Module):
    """A loop, a branch and a function that is called twice, without Keras."""

    def __init__(self) -> None:
        super().__init__()
        self.w = tf.Variable(tf.zeros((4, 5)), name="w")
        self.fixed = tf.Variable(tf.zeros((5, 5)), trainable=False, name="fixed")
        self.unused = tf.Variable(tf.zeros((7, 7)), name="unused")

    @tf.function
    def twice(self, x: Any) -> Any:
        return tf.matmul(x, self.fixed)

    @tf.function
    def serve(self, x: Any) -> Any:
        for _ in tf.range(3):
            x = x + tf.matmul(tf.matmul(x, self.w), self.w, transpose_b=True)
        if tf.reduce_sum(x) > 0:
            y = tf.matmul(x, self.w)
        else:
            y = tf.zeros((tf.shape(x)[0], 5))
        return self.twice(self.twice(y))


def test_a_module_without_keras(tmp_path: Path) -> None:
    module = Loops()
    spec = tf.TensorSpec((None, 4), name="x")
    tf.saved_model.save(module, tmp_path / "m", module.serve.get_concrete_function(spec))
    read = costlens.analyze(str(tmp_path / "m"), batch=2)
    assert read.totals.macs == 2 * (3 * (20 + 20) + 20 + 2 * 25)
    assert (read.totals.params, read.totals.trainable_params) == (20 + 25 + 49, 20 + 49)
    assert any("branches" in note for note in read.graph.notes)


def test_tensorflow_1(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 8), name="x")
        kernel = v1.get_variable("dense/kernel", (8, 5), use_resource=False)
        bias = v1.get_variable("dense/bias", (5,), use_resource=False, trainable=False)
        last = v1.get_variable("out/kernel", (5, 3), use_resource=True)
        with tf.name_scope("dense"):
            y = tf.nn.relu(tf.matmul(x, kernel) + bias)
        with tf.name_scope("out"):
            y = tf.matmul(y, last)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "m"), {"x": x}, {"y": y})
    read = costlens.analyze(str(tmp_path / "m"))
    assert macs_of(read) == {"dense": 40, "out": 15}
    assert (read.totals.params, read.totals.trainable_params) == (60, 55)


# -- what is none, or is damaged -----------------------------------------------------------------


def proto() -> Any:
    """The SavedModel of Keras 2, to be changed."""
    from tensorflow.core.protobuf import saved_model_pb2

    return saved_model_pb2.SavedModel.FromString((KERAS_2 / "saved_model.pb").read_bytes())


def refused(content: bytes, tmp_path: Path) -> str:
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(InputError) as error:
        costlens.analyze(str(tmp_path))
    text = str(error.value)
    assert "\n" not in text and len(text) < 700
    return text


@pytest.mark.parametrize("content", [b"", b"no model", b"\xff" * 1000, b"\x0a\x00"])
def test_another_file(content: bytes, tmp_path: Path) -> None:
    assert "is no SavedModel" in refused(content, tmp_path)


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    content = (KERAS_2 / "saved_model.pb").read_bytes()
    for length in range(1000, len(content), 5000):
        refused(content[:length], tmp_path)


def test_signatures_to_choose_from(tmp_path: Path) -> None:
    made = proto()
    found = made.meta_graphs[0].signature_def
    for name in ("one", "two"):
        found[name].CopyFrom(found["serving_default"])
    del found["serving_default"]
    assert "several signatures (one, two)" in refused(made.SerializeToString(), tmp_path)
    del found["two"]
    (tmp_path / "saved_model.pb").write_bytes(made.SerializeToString())
    assert costlens.analyze(str(tmp_path)).totals.params == 2346
    del found["one"]
    assert "no signature" in refused(made.SerializeToString(), tmp_path)


def test_functions_that_call_themselves(tmp_path: Path) -> None:
    made = proto()
    for function in made.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if "PartitionedCall" in node.op:
                node.attr["f"].func.name = function.signature.name
    assert "call each other" in refused(made.SerializeToString(), tmp_path)


def test_an_operation_that_is_not_tensorflows(tmp_path: Path) -> None:
    made = proto()
    for function in made.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.op = "Mine>Relu" if node.op == "Relu" else node.op
    assert "Mine>Relu" in refused(made.SerializeToString(), tmp_path)


@pytest.mark.parametrize("flag", ["--verify", "--training", "--import=my_layers.py"])
def test_flags_that_say_nothing_of_it(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyze", str(KERAS_2), flag]) == 2
    assert "it is a graph of operators already" in capsys.readouterr().err


def test_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(InputError, match="needs TensorFlow"):
        costlens.analyze(str(KERAS_2))


def test_a_folder_without_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        costlens.analyze(str(tmp_path))


# -- nothing is run ------------------------------------------------------------------------------


def written(build: Callable[[Any], Any], tmp_path: Path) -> str:
    """A SavedModel of one graph that no TensorFlow would make."""
    from tensorflow.core.protobuf import saved_model_pb2

    v1, made = tf.compat.v1, saved_model_pb2.SavedModel()
    meta = made.meta_graphs.add()
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, (None, 8), name="x")
        y = build(x)
        signature = meta.signature_def["serving_default"]
        signature.inputs["x"].CopyFrom(v1.saved_model.build_tensor_info(x))
        signature.outputs["y"].CopyFrom(v1.saved_model.build_tensor_info(y))
    meta.graph_def.CopyFrom(graph.as_graph_def())
    (tmp_path / "saved_model.pb").write_bytes(made.SerializeToString())
    return str(tmp_path)


def test_no_file_is_read(tmp_path: Path) -> None:
    """TensorFlow works out what a size depends on, be it what a file holds."""
    (tmp_path / "two").write_text("12")

    def build(x: Any) -> Any:
        length = tf.strings.length(tf.io.read_file(str(tmp_path / "two")))
        return tf.reshape(x, tf.stack([length, -1]))

    assert costlens.analyze(written(build, tmp_path)).coverage.unknown


def test_nothing_large_is_made(tmp_path: Path) -> None:
    """64 GiB of ones, filled or written down, of which only the sum matters."""

    def filled(x: Any) -> Any:
        return tf.reshape(x, tf.stack([tf.reduce_sum(tf.fill([1 << 34], 1)), -1]))

    assert costlens.analyze(written(filled, tmp_path)).coverage.unknown

    def stated(x: Any) -> Any:
        return tf.matmul(x, tf.constant(1.0, shape=(8, 5)))

    path = written(stated, tmp_path)
    from tensorflow.core.protobuf import saved_model_pb2

    made = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    for node in made.meta_graphs[0].graph_def.node:
        if node.op == "Const":
            node.attr["value"].tensor.tensor_shape.dim[1].size = 1 << 34
    (tmp_path / "saved_model.pb").write_bytes(made.SerializeToString())
    assert costlens.analyze(path).totals.macs == 8 << 34
