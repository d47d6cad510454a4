"""Activation layers: every function of ``keras.activations``, and the layers with options."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import pytest

from tests.frontends.lowering.layer_support import BATCH, ops, read, read_layer
from tests.support import cost_of

layers = keras.layers
N = BATCH * 4 * 5  # elements of every tensor here

_NOT_FUNCTIONS = ("deserialize", "get", "serialize")
_OPAQUE, _UNREADABLE = ("sparsemax",), ("glu",)


def _of_one_argument(name: str) -> bool:
    parameters = inspect.signature(getattr(keras.activations, name)).parameters.values()
    return sum(p.default is inspect.Parameter.empty for p in parameters) == 1


NAMES = [
    name
    for name in dir(keras.activations)
    if not name.startswith("_") and name not in _NOT_FUNCTIONS and _of_one_argument(name)
]


@pytest.mark.parametrize("name", NAMES)
def test_every_activation_of_keras_is_one_known_function(name: str) -> None:
    graph = read_layer(lambda: layers.Activation(name), (4, 5))
    (op,) = ops(graph)
    if name in _UNREADABLE:
        assert op == "unknown"  # Keras declares glu's input shape for its output
    elif name in _OPAQUE:
        assert op == "sparsemax"
    else:
        assert op not in ("unknown", "opaque")
        assert (cost_of(graph).flops > 0) == (name != "linear")


@pytest.mark.parametrize(
    ("options", "flops"),
    [
        ({}, 1),  # compare with 0
        ({"max_value": 6}, 2),  # and with 6
        ({"max_value": 2.5}, 3),  # relu, then clip on both sides
        ({"threshold": 1.0}, 1),
        ({"threshold": 1.0, "max_value": 6}, 3),  # threshold, clip
        ({"negative_slope": 0.1}, 2),  # compare, multiply
        ({"negative_slope": 0.1, "max_value": 6}, 5),  # relu(-x), relu6, slope, subtract
        # relu(1 - x): 2, threshold, clip 2, slope, subtract
        ({"negative_slope": 0.1, "max_value": 6, "threshold": 1.0}, 7),
    ],
)
def test_relu_costs_what_its_options_need(options: dict[str, Any], flops: int) -> None:
    assert cost_of(read_layer(lambda: layers.ReLU(**options), (4, 5))).flops == flops * N


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_layers_with_a_function_of_their_own(dtype: str) -> None:
    for layer, name in (
        (layers.LeakyReLU, "leaky_relu"),
        (layers.ELU, "elu"),
        (layers.PReLU, "prelu"),
    ):
        graph = read_layer(lambda layer=layer: layer(dtype=dtype), (4, 5))
        assert ops(graph)[-1] == name


def test_elu_takes_its_alpha() -> None:
    assert ops(read_layer(lambda: layers.ELU(alpha=0.3), (4, 5))) == ["elu"]


def test_prelu_shares_its_slope_along_axes() -> None:
    whole = read_layer(layers.PReLU, (4, 5))
    shared = read_layer(lambda: layers.PReLU(shared_axes=[1]), (4, 5))
    frozen = read_layer(lambda: layers.PReLU(shared_axes=1, trainable=False), (4, 5))
    shapes = [[w.type.shape for w in g.weights.values()] for g in (whole, shared, frozen)]
    assert shapes == [[(4, 5)], [(1, 5)], [(1, 5)]]
    # relu(x), relu(-x), times the slope, added
    assert cost_of(whole).flops == cost_of(shared).flops == 4 * N


def test_softmax_over_one_axis() -> None:
    for axis, lanes in ((-1, BATCH * 4), ((2,), BATCH * 4), (1, BATCH * 5)):
        graph = read_layer(lambda axis=axis: layers.Softmax(axis=axis), (4, 5))
        # n-1 comparisons and n-1 additions per lane; a subtraction, an exp, a division per element
        assert cost_of(graph).flops == 2 * (N - lanes) + 3 * N


def test_softmax_over_several_axes_goes_through_logsumexp() -> None:
    graph = read_layer(lambda: layers.Softmax(axis=(1, 2)), (4, 5))
    assert ops(graph) == ["logsumexp", "subtract", "exp"]


def test_softmax_sets_masked_positions_aside() -> None:
    def call(x: Any) -> Any:
        return layers.Softmax()(x, mask=keras.ops.greater(x, 0))

    assert ops(read(call, (4, 5)))[-3:] == ["select", "softmax", "select"]
    given = read(lambda x: layers.Softmax()(x, mask=x), (4, 5))  # any number above one half
    assert ops(given) == ["greater", "select", "softmax", "select"]


def test_an_integer_input_comes_out_in_the_compute_dtype() -> None:
    assert ops(read_layer(layers.ReLU, (4, 5), dtype="int32")) == ["relu", "cast"]


def test_a_layer_as_an_activation() -> None:
    assert ops(read_layer(lambda: layers.Activation(layers.LeakyReLU(0.1)), (4, 5))) == [
        "leaky_relu"
    ]
    dense = read_layer(lambda: layers.Dense(2, activation=layers.ReLU(6)), (4, 5))
    assert ops(dense) == ["einsum", "add", "relu6"]


def test_an_activation_layer_without_weights_yet_is_traced() -> None:
    made = ops(read_layer(lambda: layers.Dense(2, activation=layers.PReLU()), (4, 5)))
    assert "unknown" not in made and made[-1] == "prelu"


def softplus(x: Any) -> Any:
    """Not Keras's."""
    return x * 2


def test_a_function_of_the_user_is_traced_whatever_its_name() -> None:
    for function, traced in ((softplus, ["multiply"]), (lambda x: x, [])):
        graph = read_layer(lambda function=function: layers.Dense(2, activation=function), (5,))
        assert ops(graph) == ["einsum", "add", *traced]


def test_functions_of_keras_ops_keep_their_own_defaults() -> None:
    assert ops(read_layer(lambda: layers.Activation(keras.ops.relu), (5,))) == ["relu"]
    assert ops(read_layer(lambda: layers.Activation(keras.ops.gelu), (5,))) == ["gelu_tanh"]
    assert ops(read_layer(lambda: layers.Activation(keras.activations.gelu), (5,))) == ["gelu"]
