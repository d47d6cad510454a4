"""Models that only tracing can read: subclasses, custom layers, control flow, any arguments.

Parameters are Keras's own count; multiplications are worked out by hand in each case, or counted
on TensorFlow's graph by a counter that shares nothing with the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import costlens
from costlens.errors import InputError
from costlens.study import Study
from tests.oracles.traced import build_abstractly, traced_macs


def study(build: Callable[[], Any], **flags: Any) -> Study:
    """The study of a model that is built abstractly, checked against its traced graph."""
    model = build_abstractly(build)
    found = costlens.analyze(model, verify=True, **flags)
    assert found.verification is not None and found.verification.agrees
    assert found.totals.params == model.count_params()
    return found


def macs(found: Study) -> dict[str, int]:
    """MACs by path, of the rows that have any."""
    made: dict[str, int] = {}
    for row in found.layers:
        if row.macs:
            made[row.path] = made.get(row.path, 0) + row.macs
    return made


# -- models ----------------------------------------------------------------------------------


class Plain(keras.Model):
    """A subclass without ``build``: a loop in Python, a shared layer, operations of its own."""

    def __init__(self) -> None:
        super().__init__(name="plain")
        self.first = layers.Dense(6, name="first")
        self.shared = layers.Dense(6, name="shared")

    def call(self, x: Any) -> Any:
        x = self.first(x)
        for _ in range(3):
            x = tf.nn.relu(self.shared(x)) + x
        return tf.matmul(x, x, transpose_b=True)


def test_a_subclass() -> None:
    found = study(Plain, input_shape=(4,), batch=5)
    assert macs(found) == {"first": 5 * 4 * 6, "shared": 3 * 5 * 6 * 6, "plain": 5 * 6 * 5}
    assert [(r.path, r.call) for r in found.layers if r.path == "shared"] == [
        ("shared", 1), ("shared", 2), ("shared", 3),
    ]  # fmt: skip
    (own,) = [row for row in found.layers if row.type == "Plain"]
    assert own.path == "plain" and own.scope == ()
    assert found.graph.values[found.graph.outputs[0]].shape == (5, 5)


class Built(keras.Model):
    """A subclass with ``build`` and a weight of its own."""

    def __init__(self) -> None:
        super().__init__(name="built")
        self.dense = layers.Dense(3, name="dense")

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        self.dense.build(shape)

    def call(self, x: Any, training: bool = False) -> Any:
        return self.dense(x * self.scale)


def test_a_subclass_with_a_build() -> None:
    found = study(Built, input_shape=(7,))
    assert macs(found) == {"dense": 21}
    assert {row.path: row.params for row in found.layers} == {"x": 0, "built": 7, "dense": 24}

    def built() -> Any:
        model = Built()
        model.build((None, 7))
        return model

    again = study(built)  # what it was built for is remembered
    assert again.totals == found.totals


class Fusion(keras.Model):
    """Takes a dict; gives a dict."""

    def __init__(self) -> None:
        super().__init__(name="fusion")
        self.table = layers.Embedding(50, 4, mask_zero=True, name="table")
        self.lstm = layers.LSTM(3, name="lstm")
        self.image = layers.Conv2D(2, 3, name="image")

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> dict[str, Any]:
        text = self.lstm(self.table(inputs["tokens"]))
        image = tf.reduce_mean(self.image(inputs["picture"]), axis=[1, 2])
        return {"both": tf.concat([text, image], -1), "text": text}


def test_a_dict_of_inputs() -> None:
    inputs = {"tokens": ("int32", (2, 9)), "picture": ("float32", (2, 8, 8, 3))}
    found = study(Fusion, inputs=inputs)
    assert macs(found) == {
        "lstm": 2 * 9 * 4 * 3 * (4 + 3),
        "image": 2 * 6 * 6 * 9 * 3 * 2,
    }
    types = {row.path: row.dtype for row in found.layers if row.type == "InputLayer"}
    assert types == {"tokens": "int32", "picture": "float32"}
    assert [found.graph.values[v].shape for v in found.graph.outputs] == [(2, 5), (2, 3)]


class Pair(keras.Model):
    """Takes two arguments and a mask."""

    def __init__(self) -> None:
        super().__init__(name="pair")
        self.attention = layers.MultiHeadAttention(2, 4, name="attention")

    def call(self, query: Any, context: Any, mask: Any = None, training: Any = None) -> Any:
        return self.attention(query, context, attention_mask=mask)


def test_several_arguments() -> None:
    shapes = {"query": (5, 8), "context": (7, 8)}
    found = study(Pair, input_shape=shapes)
    width = 2 * 4
    projections = (5 + 7 + 7) * 8 * width + 5 * width * 8
    assert macs(found) == {"attention": projections + 2 * 5 * 7 * width}
    assert study(Pair, input_shape=[(5, 8), (7, 8)]).totals == found.totals


def test_a_list_of_inputs_as_it_was_called() -> None:
    class Sum(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="sum")
            self.dense = layers.Dense(2, name="dense")

        def call(self, inputs: Any) -> Any:
            return self.dense(ops.concatenate(list(inputs), -1))

    def called() -> Any:
        model = Sum()
        model([keras.Input((3,)), keras.Input((4,))])
        return model

    assert macs(study(called)) == {"dense": 14}


def test_a_subclass_that_nothing_is_known_of() -> None:
    with pytest.raises(InputError, match=r"never called.*--input-shape"):
        costlens.analyze(Plain())
    with pytest.raises(InputError, match=r"outer: Outer cannot be called on these inputs"):
        costlens.analyze(Outer(), input_shape=(3,))


def test_a_live_subclass_is_built_as_calling_it_would() -> None:
    model = Plain()
    costlens.analyze(model, input_shape=(4,))
    x = np.ones((5, 4), "float32")
    first, second = model(x), model(x)
    assert np.array_equal(first, second)
    assert not np.array_equal(model.first.kernel, np.zeros((4, 6)))


class Outer(keras.Model):
    """A subclass that holds a Functional model, a subclass and a Sequential."""

    def __init__(self) -> None:
        super().__init__(name="outer")
        x = keras.Input((8, 8, 3))
        y = layers.Conv2D(4, 1, name="point")(x)
        self.backbone = keras.Model(x, y, name="backbone")
        self.neck = keras.Sequential([layers.Conv2D(5, 3, name="wide")], name="neck")
        self.head = Head(name="head")

    def call(self, x: Any) -> Any:
        return self.head(self.neck(self.backbone(x)))


class Head(keras.Model):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(2, name="dense")

    def call(self, x: Any) -> Any:
        return self.dense(tf.reduce_max(x, [1, 2]))


def test_nested_models_are_containers() -> None:
    found = study(Outer, input_shape=(8, 8, 3))
    assert macs(found) == {
        "backbone/point": 64 * 3 * 4, "neck/wide": 36 * 9 * 4 * 5, "head/dense": 10,
    }  # fmt: skip
    scopes = {row.path: row.scope for row in found.layers}
    assert scopes["head/dense"] == ("head",) and scopes["neck/wide"] == ("neck",)
    assert scopes["head"] == ()  # its own reduction


# -- custom layers ---------------------------------------------------------------------------


class Block(layers.Layer):
    """A residual bottleneck in one layer."""

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reduce = layers.Conv2D(width, 1, activation="relu")
        self.spatial = layers.Conv2D(width, 3, padding="same", activation="relu")
        self.expand = layers.Conv2D(4 * width, 1)

    def call(self, x: Any) -> Any:
        return tf.nn.relu(x + self.expand(self.spatial(self.reduce(x))))


def test_a_custom_layer_is_one_row_and_its_bottleneck_is_found() -> None:
    def build() -> Any:
        x = keras.Input((8, 8, 32))
        return keras.Model(x, Block(8, name="second")(Block(8, name="first")(x)))

    found = study(build)
    each = 64 * (32 * 8 + 9 * 8 * 8 + 8 * 32)
    assert macs(found) == {"first": each, "second": each}
    assert [block.motif for block in found.blocks] == ["bottleneck", "bottleneck"]
    assert found.coverage.complete


def test_a_lambda_and_a_cell_of_ones_own() -> None:
    class Cell(layers.Layer):
        state_size = output_size = 3

        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight(shape=(shape[-1] + 3, 3), name="kernel")

        def call(self, x: Any, states: Any) -> Any:
            y = tf.tanh(tf.matmul(tf.concat([x, states[0]], -1), self.kernel))
            return y, [y]

    def build() -> Any:
        x = keras.Input((6, 4))
        y = layers.Lambda(lambda t: tf.matmul(t, t, transpose_a=True), name="gram")(x)
        return keras.Model(x, [layers.RNN(Cell(), name="rnn")(x), y])

    assert macs(study(build)) == {"rnn": 6 * 7 * 3, "gram": 4 * 6 * 4}


def test_a_custom_layer_at_every_step() -> None:
    class Scale(layers.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[-1], 2), name="w")

        def call(self, x: Any) -> Any:
            return ops.matmul(x, self.w)

        def compute_output_shape(self, shape: Any) -> Any:
            return (*shape[:-1], 2)

    def build() -> Any:
        x = keras.Input((5, 4))
        return keras.Model(x, layers.TimeDistributed(Scale(), name="each")(x))

    assert macs(study(build)) == {"each": 5 * 4 * 2}


def test_an_activation_of_ones_own_is_traced_with_its_layer() -> None:
    def gated(x: Any) -> Any:
        return x * tf.sigmoid(1.7 * x)

    def build() -> Any:
        x = keras.Input((4,))
        return keras.Model(x, layers.Dense(3, activation=gated, name="dense")(x))

    found = study(build)
    assert macs(found) == {"dense": 12} and found.coverage.complete
    assert found.totals.flops == 2 * 12 + 3 + 3 * 3  # bias; two products and a sigmoid


def test_a_layer_that_works_in_training_only_costs_nothing_at_inference() -> None:
    """Keras's random image layers change images by default, whatever they are called in."""

    class Augmented(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="augmented")
            self.noise = layers.RandomSharpness(0.5, name="noise")
            self.dense = layers.Dense(2, name="dense")

        def call(self, x: Any, training: bool = True) -> Any:
            return self.dense(self.noise(x, training=training))

    if hasattr(layers, "RandomSharpness"):
        assert macs(study(Augmented, input_shape=(8, 8, 3))) == {"dense": 64 * 6}


def test_a_tensor_that_a_layer_keeps_for_others() -> None:
    class Keeps(layers.Dense):
        def call(self, x: Any) -> Any:
            self.seen = tf.square(x)
            return super().call(x)

    class Reads(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="reads")
            self.keeps = Keeps(3, name="keeps")

        def call(self, x: Any) -> Any:
            return self.keeps(x), tf.matmul(self.keeps.seen, x, transpose_b=True)

    found = study(Reads, input_shape=(4,), batch=2)
    assert macs(found) == {"keeps": 2 * 4 * 3, "reads": 2 * 4 * 2}


# -- control flow ----------------------------------------------------------------------------


class Loops(keras.Model):
    """A while_loop of 7 turns around one of 3."""

    def __init__(self) -> None:
        super().__init__(name="loops")
        self.dense = layers.Dense(4, name="dense")

    def call(self, x: Any) -> Any:
        w = tf.ones((4, 4))

        def inner(j: Any, y: Any) -> Any:
            return j + 1, tf.matmul(y, w)

        def outer(i: Any, y: Any) -> Any:
            _, y = tf.while_loop(lambda j, _: j < 3, inner, (0, y))
            return i + 2, self.dense(y)

        _, x = tf.while_loop(lambda i, _: i <= 12, outer, (0, x))
        return x


def test_loops_in_loops() -> None:
    assert macs(study(Loops, input_shape=(4,))) == {"loops": 7 * 3 * 16, "dense": 7 * 16}


def test_a_loop_that_depends_on_the_data_is_at_least_one_turn() -> None:
    class Until(keras.Model):
        def call(self, x: Any) -> Any:
            return tf.while_loop(
                lambda y: tf.reduce_sum(y) < 100.0, lambda y: [tf.matmul(y, y)], [x]
            )[0]

    found = costlens.analyze(build_abstractly(Until), input_shape=(3,), batch=3)
    assert found.totals.macs == 27 and "macs" in found.totals.at_least
    assert "depends on the data" in found.coverage.unknown[0].reason


class Branches(keras.Model):
    """AutoGraph's if, and a loop over a range of tensors."""

    def __init__(self) -> None:
        super().__init__(name="branches")
        self.wide = layers.Dense(5, name="wide")
        self.narrow = layers.Dense(5, use_bias=False, name="narrow")

    def call(self, x: Any) -> Any:
        if tf.reduce_sum(x) > 0:
            y = self.wide(self.wide(x))
        else:
            y = self.narrow(x)
        for _ in tf.range(4):
            y = tf.nn.relu(y)
        return y


def test_the_costlier_branch_counts_and_is_said() -> None:
    found = study(Branches, input_shape=(5,))
    assert macs(found) == {"wide": 2 * 25}
    assert any("branches" in note for note in found.graph.notes)
    assert found.totals.params == 30 + 25


def test_a_called_function_counts_per_call() -> None:
    @tf.function
    def twice(x: Any) -> Any:
        return tf.matmul(x, tf.ones((4, 4)))

    class Calls(keras.Model):
        def call(self, x: Any) -> Any:
            return twice(twice(x))

    assert costlens.analyze(build_abstractly(Calls), input_shape=(4,)).totals.macs == 32


def test_dead_code_is_dropped() -> None:
    class Dead(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="dead")
            self.used, self.unused = layers.Dense(2, name="used"), layers.Dense(9, name="unused")

        def call(self, x: Any) -> Any:
            self.unused(x)
            return self.used(x)

    found = study(Dead, input_shape=(3,))
    assert macs(found) == {"used": 6}
    assert found.totals.params == 8 + 36


# -- what stays unknown ----------------------------------------------------------------------


def test_an_unknown_size_makes_unknown_what_reads_it() -> None:
    class Picks(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="picks")
            self.before = layers.Dense(4, name="before")
            self.after = layers.Dense(3, name="after")

        def call(self, x: Any) -> Any:
            y = self.before(x)
            return self.after(tf.boolean_mask(y, y[:, 0] > 0))

    found = costlens.analyze(build_abstractly(Picks), input_shape=(2,), batch=6)
    assert found.totals.macs == 6 * 2 * 4 and "macs" in found.totals.at_least
    assert found.totals.params == 12 + 15
    assert {unknown.layer for unknown in found.coverage.unknown} == {"picks", "after"}


@pytest.mark.parametrize("build", [Plain, Outer, Loops])
def test_another_counter_agrees(build: Callable[[], Any]) -> None:
    shape = {"Plain": (4,), "Outer": (8, 8, 3), "Loops": (4,)}[build.__name__]
    model = build_abstractly(build)
    found = costlens.analyze(model, input_shape=shape)
    assert found.totals.macs == traced_macs(model, shape).macs


# -- the user's own objects ------------------------------------------------------------------


@keras.saving.register_keras_serializable("costlens_tests")
class Saved(keras.Model):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_model_that_reading_has_built_can_be_saved(tmp_path: Path) -> None:
    model = Saved()
    costlens.analyze(model, input_shape=(4,))
    x = np.ones((2, 4), "float32")
    model.save(tmp_path / "m.keras")
    assert np.array_equal(keras.saving.load_model(tmp_path / "m.keras")(x), model(x))


class Decorated(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="decorated")
        self.dense = layers.Dense(3, name="dense")

    @tf.function
    def call(self, x: Any) -> Any:
        return self.dense(self.dense(x)[:, :3])


def test_a_call_that_is_a_tf_function_is_traced_anew() -> None:
    model = Decorated()
    found = [costlens.analyze(model, input_shape=(3,), verify=True, training=True) for _ in "ab"]
    assert found[0].totals == found[1].totals
    assert macs(found[0]) == {"dense": 18} and found[0].totals.training_macs == (2 + 3) * 9
    assert found[0].verification is not None and found[0].verification.agrees
    assert model(np.ones((2, 3), "float32")).shape == (2, 3)


def test_a_subclass_inside_a_functional_model_is_a_container() -> None:
    def build() -> Any:
        x = keras.Input((8, 8, 3))
        return keras.Model(x, Head(name="inner")(layers.Conv2D(4, 1, name="conv")(x)))

    found = study(build)
    assert macs(found) == {"conv": 64 * 12, "inner/dense": 8}


def test_a_layer_that_only_a_loop_calls_owns_its_weights() -> None:
    class Turns(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="turns")
            self.dense = layers.Dense(4, name="dense")

        def call(self, x: Any) -> Any:
            return tf.while_loop(lambda i, _: i < 5, lambda i, y: (i + 1, self.dense(y)), (0, x))[1]

    found = study(Turns, input_shape=(4,))
    assert {row.path: row.params for row in found.layers if row.params} == {"dense": 20}
    assert macs(found) == {"dense": 5 * 16}


def test_a_counter_of_floats_is_no_count() -> None:
    class Floats(keras.Model):
        def call(self, x: Any) -> Any:
            return tf.while_loop(
                lambda t, _: t < 2.5, lambda t, y: (t + 1.0, tf.matmul(y, y)), (0.0, x)
            )[1]

    found = costlens.analyze(build_abstractly(Floats), input_shape=(3,), batch=3)
    assert "macs" in found.totals.at_least


def test_a_branch_that_is_known_is_the_one_that_counts() -> None:
    class Known(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="known")
            self.small, self.large = layers.Dense(2, name="small"), layers.Dense(9, name="large")

        def call(self, x: Any) -> Any:
            few = tf.shape(x)[0] < 5
            return tf.cond(few, lambda: self.small(x)[:, :1], lambda: self.large(x)[:, :1])

    assert macs(study(Known, input_shape=(3,), batch=2)) == {"small": 12}
    assert macs(study(Known, input_shape=(3,), batch=7)) == {"large": 7 * 27}


def test_verifying_at_another_size_than_a_model_fixes_is_refused() -> None:
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, layers.Conv2D(2, 3)(x))
    with pytest.raises(InputError, match="it fixes its input size"):
        costlens.analyze(model, input_shape=(6, 6, 3), verify=True)
    assert costlens.analyze(model, input_shape=(6, 6, 3)).totals.macs == 16 * 9 * 6
