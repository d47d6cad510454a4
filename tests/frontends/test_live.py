"""Reading a live model: sharing, nesting, freezing, custom classes, constants, and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from costlens.errors import InputError, LoweringError
from costlens.ir.graph import Graph
from tests.support import abstract, cost_of, functional, graph_of, nodes_of, params_of

layers, ops = keras.layers, keras.ops
Input = keras.Input


def read(build: Callable[[], Any], **flags: Any) -> Graph:
    """The graph of a model, whose parameters are those that Keras counts."""
    model = abstract(build)
    graph = graph_of(model, **flags)
    assert params_of(graph) == model.count_params()
    frozen = sum(w.params for w in graph.weights.values() if not w.trainable)
    assert frozen == sum(np.prod(v.shape, dtype=int) for v in model.non_trainable_weights)
    return graph


def on_one_input(call: Callable[[Any], Any], *shape: int | None, **kwargs: Any) -> Any:
    """A builder of the model ``call(x)``."""

    def build() -> Any:
        x = Input(shape, **kwargs)
        return functional(x, call(x))

    return build


def paths(graph: Graph) -> list[tuple[str, int]]:
    """Path and call of every row but inputs, in order."""
    origins = [n.origin for n in graph.nodes if n.op != "input"]
    return list(dict.fromkeys((o.layer, o.call) for o in origins))


def trainable(graph: Graph) -> dict[str, bool]:
    return {weight.path: weight.trainable for weight in graph.weights.values()}


def inner(name: str, units: int = 4) -> Any:
    """A model of one Dense layer that is called ``fc`` in each of them."""
    x = Input((8,))
    return keras.Model(x, layers.Dense(units, name="fc")(x), name=name)


# -- sharing ---------------------------------------------------------------------------------


def test_a_shared_layer_has_its_parameters_once_and_its_cost_twice() -> None:
    def build() -> Any:
        x, y = Input((8,)), Input((8,))
        dense = layers.Dense(4, name="fc")
        return functional([x, y], [dense(x), dense(y)])

    graph = read(build)
    assert paths(graph) == [("fc", 1), ("fc", 2)]
    assert params_of(graph) == 36
    assert cost_of(graph).macs == 2 * 32


def test_a_model_called_twice() -> None:
    def build() -> Any:
        x, model = Input((8,)), inner("inner")
        return functional(x, layers.Add(name="sum")([model(x), model(x)]))

    graph = read(build)
    assert paths(graph) == [("inner/fc", 1), ("inner/fc", 2), ("sum", 1)]
    assert len(graph.weights) == 2


def test_two_models_that_each_hold_a_layer_of_the_same_name() -> None:
    def build() -> Any:
        x = Input((8,))
        return functional(x, layers.Add(name="sum")([inner("a")(x), inner("b")(x)]))

    graph = read(build)
    assert sorted(trainable(graph)) == ["a/fc/bias", "a/fc/kernel", "b/fc/bias", "b/fc/kernel"]


def test_a_layer_called_inside_a_model_and_outside() -> None:
    def build() -> Any:
        dense, x, y = layers.Dense(8, name="fc"), Input((8,)), Input((8,))
        return functional(y, dense(keras.Model(x, dense(x), name="inner")(y)))

    graph = read(build)
    assert paths(graph) == [("inner/fc", 1), ("fc", 1)]
    assert len(graph.weights) == 2


def test_a_kernel_used_again_stays_one_weight() -> None:
    def after(x: Any) -> Any:
        dense = layers.Dense(6)
        return ops.matmul(dense(x), dense.kernel)

    def before(x: Any) -> Any:
        dense = layers.Dense(6)
        dense.build((None, 6))
        return dense(ops.matmul(x, dense.kernel))

    for call in (after, before):
        graph = read(on_one_input(call, 6))
        assert (len(graph.weights), len(graph.constants)) == (2, 0)
        assert cost_of(graph).macs == 2 * 36


if hasattr(layers, "ReversibleEmbedding"):

    def test_a_tied_head_multiplies_by_the_embedding() -> None:
        def call(x: Any) -> Any:
            table = layers.ReversibleEmbedding(10, 4)
            return table(table(x), reverse=True)

        graph = read(on_one_input(call, 6, dtype="int32"))
        assert params_of(graph) == 40
        assert cost_of(graph).macs == 6 * 10 * 4


# -- nesting and borders ---------------------------------------------------------------------


def test_dictionaries_of_inputs_and_outputs() -> None:
    def build() -> Any:
        given = {"b": Input((8,), name="b"), "a": Input((3,), name="a")}
        made = {"z": layers.Dense(4)(given["a"]), "y": layers.Dense(5)(given["b"])}
        return functional(given, made)

    graph = read(build, batch=2)
    assert [graph.values[v].shape for v in graph.inputs] == [(2, 3), (2, 8)]
    assert [graph.values[v].shape for v in graph.outputs] == [(2, 5), (2, 4)]

    def nested() -> Any:
        x, y = Input((3,)), Input((8,))
        made = build()({"a": x, "b": y})
        return functional([x, y], [made["z"], made["y"]])

    outer = read(nested)
    assert [outer.values[v].shape for v in outer.outputs] == [(1, 4), (1, 5)]


def test_a_dictionary_is_bound_by_the_names_of_the_inputs() -> None:
    """In any order, and with more than the model takes, as Keras does it."""

    def build() -> Any:
        b, a = Input((4,), name="b"), Input((4,), name="a")
        inside = keras.Model([b, a], layers.Subtract()([b, a]), name="inside")
        x, y = Input((4,), name="x"), Input((4,), name="y")
        return functional([x, y], inside({"a": x, "b": y, "more": x}))

    (node,) = [n for n in read(build).nodes if n.op == "binary"]
    assert node.operands == ("y/input", "x/input")


def test_several_inputs_of_a_nested_model() -> None:
    def build() -> Any:
        a, b = Input((3,)), Input((4,))
        joined = keras.Model([a, b], layers.Concatenate()([b, a]))
        x, y = Input((3,)), Input((4,))
        return functional([x, y], joined([x, y]))

    (node,) = [n for n in read(build).nodes if n.op == "concat"]
    assert len(node.operands) == 2


def test_an_open_model_called_at_two_sizes() -> None:
    def build() -> Any:
        i = Input((None, None, 3))
        open_model = keras.Model(i, layers.Conv2D(4, 3, name="conv")(i), name="inner")
        x, y = Input((8, 8, 3)), Input((16, 16, 3))
        return functional([x, y], [open_model(x), open_model(y)])

    # 6×6 and 14×14 positions, 27 taps, 4 filters
    assert cost_of(read(build)).macs == (36 + 196) * 27 * 4


def test_a_model_that_returns_its_input() -> None:
    def build() -> Any:
        i, x = Input((5,)), Input((5,))
        return functional(x, [keras.Model(i, i)(x), x])

    graph = read(build)
    assert graph.outputs == (*graph.inputs, *graph.inputs)


def test_an_inner_model_casts_to_the_dtype_that_it_declares() -> None:
    def build() -> Any:
        i = Input((5,), dtype="float16")
        half = keras.Model(i, layers.Dense(2, dtype="float16", name="fc")(i), name="half")
        x = Input((5,))
        return functional(x, half(x))

    assert paths(read(build)) == [("half", 1), ("half/fc", 1)]


def test_intermediate_tensors_as_inputs() -> None:
    def build() -> Any:
        first = layers.Dense(4, name="one")(Input((8,)))
        return functional(first, layers.Dense(3, name="two")(first))

    graph = read(build)
    assert paths(graph) == [("two", 1)]
    assert graph.values[graph.inputs[0]].shape == (1, 4)


def test_intermediate_tensors_as_outputs() -> None:
    def build() -> Any:
        x = Input((8,))
        first = layers.Dense(4, name="one")(x)
        whole = keras.Model(x, layers.Dense(3, name="two")(first))
        return functional(whole.inputs, whole.get_layer("one").output)

    assert paths(read(build)) == [("one", 1)]


def test_sequential_models() -> None:
    def with_input() -> Any:
        return keras.Sequential([Input((7,)), layers.Dense(3), layers.Dense(2)])

    def built_later() -> Any:
        model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
        model.build((None, 7))
        return model

    def nested() -> Any:
        return keras.Sequential([Input((7,)), keras.Sequential([layers.Dense(3)]), layers.Dense(2)])

    def of_a_functional() -> Any:
        return keras.Sequential([Input((8,)), inner("a"), layers.Dense(2)])

    for build in (with_input, built_later, nested):
        assert cost_of(read(build)).macs == 7 * 3 + 3 * 2
    assert cost_of(read(of_a_functional)).macs == 8 * 4 + 4 * 2


def test_a_sequential_inside_a_functional() -> None:
    call = on_one_input(keras.Sequential([layers.Dense(3)], name="head"), 7)
    assert cost_of(read(call)).macs == 21


def test_inputs_by_keyword() -> None:
    assert cost_of(read(on_one_input(lambda x: inner("a")(inputs=x), 8))).macs == 32
    assert cost_of(read(on_one_input(lambda x: layers.Dense(4)(inputs=x), 8))).macs == 32


# -- what is trainable -----------------------------------------------------------------------


def test_a_layer_made_frozen_and_one_frozen_later() -> None:
    def build() -> Any:
        x, later = Input((8,)), layers.Dense(3, name="later")
        made = layers.Dense(3, trainable=False, name="made")
        model = functional(x, layers.Dense(3, name="free")(later(made(x))))
        later.trainable = False
        return model

    states = trainable(read(build))
    assert {path.split("/")[0] for path, state in states.items() if state} == {"free"}


def test_a_kernel_frozen_by_hand() -> None:
    def call(x: Any) -> Any:
        dense = layers.Dense(3, name="fc")
        made = dense(x)
        dense.kernel.trainable = False
        return made

    assert trainable(read(on_one_input(call, 5))) == {"fc/kernel": False, "fc/bias": True}


@pytest.mark.parametrize("whole", [True, False])
def test_a_frozen_model(whole: bool) -> None:
    def build() -> Any:
        x, part = Input((8,)), inner("part")
        model = functional(x, layers.Dense(2, name="head")(part(x)))
        (model if whole else part).trainable = False
        return model

    states = trainable(read(build))
    assert states["part/fc/kernel"] is False
    assert states["head/kernel"] is not whole


# -- layers held and never called ------------------------------------------------------------


def test_what_a_model_holds_and_never_calls_has_parameters() -> None:
    def build() -> Any:
        x = Input((5,))
        model = functional(x, layers.Dense(2)(x))
        model.extra = layers.Dense(9, name="extra")
        model.extra.build((None, 4))
        model.twin = inner("twin")
        return model

    graph = read(build)
    # some releases of Keras leave such layers out of a Functional model's weights
    assert params_of(graph) in (12, 12 + 45 + 36)
    assert cost_of(graph).macs == 10


class Scaled(keras.Model):
    """A Functional model with a variable of its own, which its graph does not use."""

    def __init__(self) -> None:
        x = Input((5,))
        super().__init__(x, layers.Dense(3)(x))
        self.scale = self.add_weight(shape=(7,), name="scale")


def test_a_variable_of_the_model_itself() -> None:
    assert params_of(read(Scaled)) == 18 + 7
    assert params_of(read(on_one_input(Scaled(), 5))) == 18 + 7


# -- classes of the user ---------------------------------------------------------------------


class Affine(layers.Layer):
    """A layer of the user's own, with a layer inside."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], 3))
        self.dense.build(shape)

    def call(self, x: Any) -> Any:
        return self.dense(x) + ops.matmul(x, self.kernel)


def test_a_custom_layer_is_opened_and_has_parameters() -> None:
    graph = read(on_one_input(lambda x: layers.Dense(2)(Affine()(x)), 5))
    contractions = [n for n in graph.nodes if n.op == "einsum"]
    assert [n.origin.kind for n in contractions] == ["Affine", "Affine", "Dense"]
    assert len(graph.weights) == 5
    assert cost_of(graph).macs == 5 * 3 + 5 * 3 + 3 * 2


def in_python(x: Any) -> Any:
    y = tf.numpy_function(np.tanh, [x], "float32")
    y.set_shape(x.shape)
    return y


def test_a_custom_layer_is_opened_at_another_size_too() -> None:
    build = on_one_input(lambda x: layers.Conv2D(2, 3)(layers.Lambda(lambda t: t + 1)(x)), 8, 8, 3)
    assert len(read(build, batch=2).outputs) == 1
    graph = graph_of(abstract(build), input_shape=(4, 4, 3))
    assert [graph.values[v].shape for v in graph.outputs] == [(1, 2, 2, 2)]


def test_what_cannot_be_traced_is_unknown_and_nothing_else_is() -> None:
    graph = read(on_one_input(lambda x: layers.Dense(2)(layers.Lambda(in_python)(x) * 2), 5))
    assert [n.op for n in graph.nodes] == ["input", "unknown", "binary", "einsum", "binary"]
    assert "Python" in next(n.attrs["reason"] for n in graph.nodes if n.op == "unknown")


def test_the_batch_of_an_unknown_is_that_of_its_first_tensor_with_axes() -> None:
    def build() -> Any:
        x = Input((4, 6))
        return functional(x, layers.Lambda(lambda t: t[0] * t[1])([ops.sum(x), x]))

    graph = read(build, batch=5)
    assert [graph.values[v].shape for v in graph.outputs] == [(5, 4, 6)]


class Seven(layers.Dense):
    """A Dense that fixes its options, and says little of them."""

    def __init__(self) -> None:
        super().__init__(7, activation="relu", use_bias=False)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name}


def test_a_subclass_that_only_fixes_options_is_read_as_its_base() -> None:
    graph = read(on_one_input(Seven(), 5))
    assert [n.attrs.get("fn", n.op) for n in graph.nodes] == ["input", "einsum", "relu"]


class Doubled:
    def call(self, x: Any) -> Any:
        return x


class MixedIn(Doubled, layers.Dense):
    pass


class OtherAttention(layers.MultiHeadAttention):
    def _compute_attention(self, *args: Any, **kwargs: Any) -> Any:
        return super()._compute_attention(*args, **kwargs)


def test_a_subclass_that_changes_what_is_computed_is_opened() -> None:
    mixed = read(on_one_input(MixedIn(5), 5))
    assert [n.op for n in mixed.nodes] == ["input", "identity"]  # its call returns what it is given
    assert params_of(mixed) == 5 * 5 + 5
    attention = read(on_one_input(lambda x: OtherAttention(2, 3)(x, x), 5, 4))
    plain = read(on_one_input(lambda x: layers.MultiHeadAttention(2, 3)(x, x), 5, 4))
    assert cost_of(attention).macs == cost_of(plain).macs
    assert params_of(attention) == params_of(plain)


class Trained(keras.Model):
    def train_step(self, data: Any) -> Any:
        return {}


class Doubling(keras.Model):
    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        return super().call(inputs) * 2


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(3)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_functional_subclass_with_its_own_training_is_read() -> None:
    def build() -> Any:
        x = Input((5,))
        return Trained(x, layers.Dense(2, name="fc")(x), name="trained")

    assert paths(read(build)) == [("fc", 1)]
    assert paths(read(on_one_input(build(), 5))) == [("trained/fc", 1)]


@pytest.mark.parametrize("kind", ["subclassed", "own call"])
def test_models_with_a_call_of_their_own(kind: str) -> None:
    def build() -> Any:
        if kind == "subclassed":
            return Subclassed()
        x = Input((5,))
        return Doubling(x, layers.Dense(3)(x))

    model = abstract(build)
    if kind == "subclassed":
        with pytest.raises(InputError, match="subclassed model that was never called"):
            graph_of(model)
        graph = graph_of(model, input_shape=(5,))
    else:
        graph = graph_of(model)
    doubled = ["binary"] * (kind == "own call")
    assert [n.op for n in graph.nodes] == ["input", "einsum", "binary", *doubled]
    inside = read(on_one_input(build(), 5))
    assert [n.op for n in inside.nodes] == ["input", "einsum", "binary", *doubled]
    assert params_of(graph) == params_of(inside) == 5 * 3 + 3


def test_an_unbuilt_sequential_needs_its_input_shape_and_stays_unbuilt() -> None:
    model = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    with pytest.raises(InputError, match="no input shape yet"):
        graph_of(model)
    for flag in ((5,), [(5,)]):
        assert params_of(graph_of(model, input_shape=flag)) == 5 * 3 + 3 + 3 * 2 + 2
    assert not model.built and not model.weights


# -- operations and constants ----------------------------------------------------------------


def test_operations_are_rows_and_arrays_are_constants() -> None:
    array = np.ones((5,), "float32")
    graph = read(on_one_input(lambda x: (ops.add(x, array) * 2.0)[:, 0], 5), batch=3)
    assert [n.op for n in graph.nodes if n.op != "input"] == ["binary", "binary", "slice"]
    assert [t.shape for t in graph.constants.values()] == [(5,)]
    assert cost_of(graph).flops == 2 * 15


def test_one_array_used_twice_is_one_constant() -> None:
    array = np.ones((5,), "float32")
    graph = read(on_one_input(lambda x: ops.multiply(ops.add(x, array), array), 5))
    assert len(graph.constants) == 1


def test_a_variable_outside_the_model_is_a_constant() -> None:
    variable = keras.Variable(np.ones((5, 2), "float32"))
    graph = read(on_one_input(lambda x: ops.matmul(x, variable), 5))
    assert (params_of(graph), len(graph.constants)) == (0, 1)


# -- sizes and errors ------------------------------------------------------------------------


def test_a_fixed_batch() -> None:
    def build() -> Any:
        x = Input(batch_shape=(4, 5))
        return functional(x, layers.Dense(2)(x))

    assert cost_of(read(build)).macs == 4 * 10
    assert cost_of(read(build, batch=2)).macs == 2 * 10


def test_undefined_dimensions_name_the_input_and_the_flag() -> None:
    build = on_one_input(layers.Conv2D(2, 3), None, None, 3, name="image")
    with pytest.raises(InputError, match=r"input image: .* --input-shape image=N,N,3"):
        read(build)
    for given in ((9, 9, 3), {"image": (9, 9, 3)}, [(9, 9, 3)]):
        assert cost_of(read(build, input_shape=given)).macs == 49 * 27 * 2


@pytest.mark.parametrize(
    ("shape", "layer"), [((10, 10, 3), "head"), ((9, 9, 4), "stem"), ((2, 2, 3), "head")]
)
def test_a_wrong_input_shape_names_the_layer(shape: tuple[int, ...], layer: str) -> None:
    def call(x: Any) -> Any:
        return layers.Dense(2, name="head")(layers.Flatten()(layers.Conv2D(2, 3, name="stem")(x)))

    with pytest.raises(LoweringError, match=f"^{layer}: .*Check the input shape"):
        graph_of(abstract(on_one_input(call, 9, 9, 3)), input_shape=shape)


def test_a_wrong_rank_and_a_wrong_name_are_refused() -> None:
    model = abstract(on_one_input(layers.Dense(2), 9, name="image"))
    with pytest.raises(InputError, match=r"\(9, 9\) is given and the model takes \(9\)"):
        graph_of(model, input_shape=(9, 9))
    with pytest.raises(InputError, match="Its inputs: image"):
        graph_of(model, input_shape={"other": (9,)})


def test_shapes_that_do_not_meet_name_the_layer() -> None:
    def call(x: Any) -> Any:
        short = layers.Conv1D(3, 3, strides=2)(x)
        return layers.Concatenate(name="join")([layers.MaxPooling1D(2)(x), short])

    model = abstract(on_one_input(call, None, 3))
    with pytest.raises(LoweringError, match=r"^join: .*do not concatenate"):
        graph_of(model, input_shape=(8, 3))


def test_every_row_belongs_to_its_layer() -> None:
    graph = read(on_one_input(layers.Dense(3, activation="relu", name="fc"), 5))
    assert [n.op for n in nodes_of(graph, "fc")] == ["einsum", "binary", "unary"]
    assert {n.origin.kind for n in nodes_of(graph, "fc")} == {"Dense"}
