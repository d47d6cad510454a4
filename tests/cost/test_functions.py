"""The elementwise functions: Keras's formulas, run on numbers that count.

Each definition is compared twice: its values with what Keras or numpy computes, which shows that
it is the function of that name, and its operations with the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from costlens.cost.cost import ZERO, Cost
from costlens.cost.functions import BINARY, UNARY
from costlens.ir.types import Shape
from tests.cost.calls import BOUNDED, DTYPES, cost_and_shape
from tests.cost.counting import (
    Number,
    Tally,
    costliest,
    erf,
    exp,
    exp2,
    function,
    larger,
    log,
    log1p,
    sigmoid,
    sin,
    smaller,
    sqrt,
    tanh,
)

SAMPLES = (-4.0, -2.0, -0.75, -0.3, 0.0, 0.3, 0.75, 2.0, 4.0)
LARGEST = float(np.finfo("float32").max)
Value = Number | float


def relu(x: Number) -> Any:
    return larger(x, 0.0)


def clip(x: Number, low: float = -1.0, high: float = 1.0) -> Any:
    return smaller(larger(x, low), high)


def elu(x: Number, alpha: float = 1.0) -> Number:
    return x if x > 0 else alpha * (exp(x) - 1)


def softplus(x: Number) -> Number:
    return log(exp(x) + 1)


def hard_sigmoid(x: Number) -> Value:
    return 0.0 if x <= -3 else 1.0 if x >= 3 else x / 6 + 0.5


def hard_silu(x: Number) -> Value:
    return 0.0 if x < -3 else x if x > 3 else x * (x + 3) / 6


def soft_shrink(x: Number, threshold: float = 0.5) -> Value:
    return x - threshold if x > threshold else x + threshold if x < -threshold else 0.0


def sparse_plus(x: Number) -> Value:
    return 0.0 if x <= -1 else x if x >= 1 else 0.25 * (x + 1) ** 2


def sparse_sigmoid(x: Number) -> Value:
    return 0.0 if x <= -1 else 1.0 if x >= 1 else 0.5 * (x + 1)


def gelu_tanh(x: Number) -> Number:
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def sinc(x: Number) -> Value:
    if x == 0:
        return 1.0
    turned = math.pi * x
    return sin(turned) / turned


def nan_to_num(x: Number) -> Value:
    if x != x:
        return 0.0
    return LARGEST if x == math.inf else -LARGEST if x == -math.inf else x


#: Functions of one operand that are made of others.
COMPOSED: dict[str, Callable[[Number], Any]] = {
    "relu": relu,
    "relu6": lambda x: clip(x, 0.0, 6.0),
    "clip": clip,
    "hard_tanh": clip,
    "leaky_relu": lambda x: 0.2 * x if x < 0 else x,
    "threshold": lambda x: x if x > 0.5 else 0.25,
    "hard_shrink": lambda x: x if abs(x) > 0.5 else 0.0,
    "soft_shrink": soft_shrink,
    "tanh_shrink": lambda x: x - tanh(x),
    "elu": elu,
    "celu": lambda x: x if x > 0 else 1.5 * (exp(x / 1.5) - 1),
    "selu": lambda x: 1.05070098 * elu(x, 1.67326324),
    "softplus": softplus,
    "softsign": lambda x: x / (abs(x) + 1),
    "squareplus": lambda x: (x + sqrt(x**2 + 4)) / 2,
    "log_sigmoid": lambda x: -softplus(-x),
    "sparse_plus": sparse_plus,
    "sparse_sigmoid": sparse_sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu,
    "gelu": lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": gelu_tanh,
    "mish": lambda x: x * tanh(softplus(x)),
    "sinc": sinc,
    "nan_to_num": nan_to_num,
    "square": lambda x: x**2,
    "reciprocal": lambda x: 1 / x,
    "deg2rad": lambda x: x * (math.pi / 180),
    "rad2deg": lambda x: x * (180 / math.pi),
    "scale": lambda x: x * 0.5,
}

#: Functions of one operand that are one operation, or none.
PRIMITIVE = {
    "transcendentals": (
        "exp exp2 expm1 log log2 log10 log1p sqrt rsqrt cbrt sin cos tan sinh cosh tanh arcsin "
        "arccos arctan arcsinh arccosh arctanh erf erfc erfinv sigmoid angle i0 i0e i1 i1e j0 j1 "
        "k0 k0e k1 k1e y0 y1 gammaln digamma ndtri expi spence dawsn fresnel_cos fresnel_sin"
    ),
    "comparisons": (
        "floor ceil round trunc logical_not bitwise_not isfinite isinf isnan isneginf isposinf "
        "isreal signbit"
    ),
    "": "identity negative abs sign conj real imag copy stop_gradient",
}

#: Keras's functions whose name or arguments are not those of the table.
IN_KERAS: dict[str, Callable[[Any], Any]] = {
    "clip": lambda x: keras.ops.clip(x, -1.0, 1.0),
    "threshold": lambda x: keras.ops.threshold(x, 0.5, 0.25),
    "celu": lambda x: keras.ops.celu(x, 1.5),
    "gelu": lambda x: keras.ops.gelu(x, approximate=False),
    "gelu_tanh": lambda x: keras.ops.gelu(x, approximate=True),
    "mish": keras.activations.mish,
    "scale": keras.layers.Rescaling(0.5),
}


def reference(name: str) -> Callable[..., Any] | None:
    """Keras's function of this name, or numpy's."""
    if name in IN_KERAS:
        return IN_KERAS[name]
    homes = (keras.ops, keras.activations, np, scipy.special)
    return next((getattr(home, name) for home in homes if hasattr(home, name)), None)


def plain(result: Any) -> float:
    return float(result.value if isinstance(result, Number) else result)


@pytest.mark.parametrize("name", COMPOSED)
def test_composed_functions(name: str) -> None:
    assert UNARY[name] == costliest(COMPOSED[name], [(x,) for x in SAMPLES])


@pytest.mark.parametrize("name", [name for name in COMPOSED if reference(name)])
def test_composed_functions_are_those_of_keras(name: str) -> None:
    tally = Tally()
    with np.errstate(divide="ignore"):
        expected = np.asarray(reference(name)(np.array(SAMPLES, "float32")))
    found = [plain(COMPOSED[name](tally.number(x))) for x in SAMPLES]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", PRIMITIVE)
def test_primitive_functions(kind: str) -> None:
    one = Cost(**{kind: 1}) if kind else ZERO
    assert {name: UNARY[name] for name in PRIMITIVE[kind].split()} == dict.fromkeys(
        PRIMITIVE[kind].split(), one
    )


def test_every_function_of_one_operand_is_examined() -> None:
    assert set(UNARY) == set(COMPOSED) | set(" ".join(PRIMITIVE.values()).split())


def one(kind: str, of: Callable[..., Any]) -> Callable[..., Number]:
    """A function of two operands that is one operation."""
    return function(kind, lambda *values: float(of(*values)))


def free(of: Callable[..., Any]) -> Callable[..., Number]:
    """A function of two operands that works on their bits."""
    return lambda a, b: a.tally.number(float(of(a.value, b.value)))


def whole(of: Callable[..., Any]) -> Callable[..., Any]:
    """A function of integers."""
    return lambda a, b: of(np.asarray(a).astype("int64"), np.asarray(b).astype("int64"))


def log_add(a: Number, b: Number) -> Number:
    return log1p(exp(-abs(a - b))) + larger(a, b)


def log_add2(a: Number, b: Number) -> Number:
    return log1p(exp(-abs(a - b) * math.log(2))) / math.log(2) + larger(a, b)


def gradient(of: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """TensorFlow's own gradient of a function at its operand x, times dy."""

    def derived(dy: float, x: float) -> Any:
        with tf.GradientTape() as tape:
            at = tf.constant(x)
            tape.watch(at)
            y = of(at)
        return tape.gradient(y, at, output_gradients=tf.constant(dy))

    return derived


def raw_gradient(name: str) -> Callable[[Any, Any], Any]:
    """The operation with which TensorFlow writes a gradient by the function's result y."""

    def derived(dy: float, y: float) -> Any:
        op = getattr(tf.raw_ops, f"{name}Grad")
        if name in ("Elu", "Selu"):
            return op(gradients=tf.constant(dy), outputs=tf.constant(y))
        return op(y=tf.constant(y), dy=tf.constant(dy))

    return derived


Definition = Callable[[Number, Number], Any]

#: Functions of two operands, and what computes the same.
DEFINED: dict[str, tuple[Definition, Callable[[Any, Any], Any]]] = {
    "add": (lambda a, b: a + b, np.add),
    "subtract": (lambda a, b: a - b, np.subtract),
    "multiply": (lambda a, b: a * b, np.multiply),
    "divide": (lambda a, b: a / b, np.divide),
    "divide_no_nan": (lambda a, b: 0.0 if b == 0 else a / b, keras.ops.divide_no_nan),
    "floor_divide": (one("divs", np.floor_divide), np.floor_divide),
    "mod": (one("divs", np.mod), np.mod),
    "fmod": (one("divs", np.fmod), np.fmod),
    "maximum": (larger, np.maximum),
    "minimum": (smaller, np.minimum),
    "fmax": (larger, np.fmax),
    "fmin": (smaller, np.fmin),
    "equal": (lambda a, b: a == b, np.equal),
    "not_equal": (lambda a, b: a != b, np.not_equal),
    "less": (lambda a, b: a < b, np.less),
    "less_equal": (lambda a, b: a <= b, np.less_equal),
    "greater": (lambda a, b: a > b, np.greater),
    "greater_equal": (lambda a, b: a >= b, np.greater_equal),
    "logical_and": (one("comparisons", np.logical_and), np.logical_and),
    "logical_or": (one("comparisons", np.logical_or), np.logical_or),
    "logical_xor": (one("comparisons", np.logical_xor), np.logical_xor),
    "bitwise_and": (free(whole(np.bitwise_and)), whole(np.bitwise_and)),
    "bitwise_or": (free(whole(np.bitwise_or)), whole(np.bitwise_or)),
    "bitwise_xor": (free(whole(np.bitwise_xor)), whole(np.bitwise_xor)),
    "left_shift": (free(whole(np.left_shift)), whole(np.left_shift)),
    "right_shift": (free(whole(np.right_shift)), whole(np.right_shift)),
    "copysign": (free(np.copysign), np.copysign),
    "nextafter": (free(np.nextafter), np.nextafter),
    "power": (one("transcendentals", np.power), np.power),
    "arctan2": (one("transcendentals", np.arctan2), np.arctan2),
    "hypot": (lambda a, b: sqrt(a**2 + b**2), np.hypot),
    "ldexp": (lambda a, b: a * exp2(b), lambda a, b: np.ldexp(a, np.asarray(b).astype(int))),
    "logaddexp": (log_add, np.logaddexp),
    "logaddexp2": (log_add2, np.logaddexp2),
    "heaviside": (lambda a, b: 0.0 if a < 0 else b if a == 0 else 1.0, np.heaviside),
    "isclose": (lambda a, b: abs(a - b) <= 1e-8 + 1e-5 * abs(b), np.isclose),
    "squared_difference": (lambda a, b: (a - b) ** 2, lambda a, b: np.square(np.subtract(a, b))),
    "gammainc": (one("transcendentals", scipy.special.gammainc), scipy.special.gammainc),
    "gammaincc": (one("transcendentals", scipy.special.gammaincc), scipy.special.gammaincc),
    "polygamma": (one("transcendentals", scipy.special.polygamma), scipy.special.polygamma),
    "zeta": (one("transcendentals", scipy.special.zeta), scipy.special.zeta),
    "relu_grad": (lambda dy, x: dy if x > 0 else 0.0, gradient(tf.nn.relu)),
    "relu6_grad": (lambda dy, x: dy if x > 0 and x < 6 else 0.0, gradient(tf.nn.relu6)),
    "leaky_relu_grad": (
        lambda dy, x: dy if x > 0 else 0.2 * dy,
        gradient(tf.nn.leaky_relu),
    ),
    "elu_grad": (lambda dy, y: dy if y > 0 else dy * (y + 1), raw_gradient("Elu")),
    "selu_grad": (
        lambda dy, y: dy * (y + 1.05070098 * 1.67326324) if y < 0 else dy * 1.05070098,
        raw_gradient("Selu"),
    ),
    "sigmoid_grad": (lambda dy, y: dy * y * (1 - y), raw_gradient("Sigmoid")),
    "tanh_grad": (lambda dy, y: dy * (1 - y * y), raw_gradient("Tanh")),
    "softplus_grad": (lambda dy, x: dy * sigmoid(x), gradient(tf.nn.softplus)),
    "softsign_grad": (
        lambda dy, x: dy / (1 + abs(x)) ** 2,
        gradient(tf.nn.softsign),
    ),
    "sqrt_grad": (lambda dy, y: dy * 0.5 / y, raw_gradient("Sqrt")),
    "rsqrt_grad": (lambda dy, y: -0.5 * dy * y**3, raw_gradient("Rsqrt")),
    "reciprocal_grad": (lambda dy, y: -dy * y**2, raw_gradient("Reciprocal")),
    "prelu": (
        lambda x, slope: relu(x) - slope * relu(-x),
        lambda x, slope: np.where(np.less(x, 0), np.multiply(slope, x), x),
    ),
}
PAIRS = [(float(a), float(b)) for a, b in product((-3, -1, 0, 2, 5), (-2, 0, 1, 3))]


def in_domain(name: str) -> list[tuple[float, float]]:
    """The pairs on which a function is defined, as an integer function where it is one."""
    if name in ("divide", "floor_divide", "mod", "fmod", "sqrt_grad"):
        return [(a, b) for a, b in PAIRS if b]
    if name == "zeta":
        return [(a, b) for a, b in PAIRS if a > 1 and b > 0]
    if name in ("gammainc", "gammaincc", "polygamma"):
        return [(a, b) for a, b in PAIRS if a > 0 and b > 0]
    if name == "power" or name.endswith("shift"):
        return [(a, b) for a, b in PAIRS if a > 0 and b >= 0]
    return PAIRS


@pytest.mark.parametrize("name", DEFINED)
def test_functions_of_two_operands(name: str) -> None:
    definition, expected = DEFINED[name]
    pairs = in_domain(name)
    assert BINARY[name] == costliest(definition, pairs)
    tally = Tally()
    for a, b in pairs:
        found = plain(definition(tally.number(a), tally.number(b)))
        assert found == pytest.approx(float(expected(a, b)), rel=1e-6), (a, b)


def test_every_function_of_two_operands_is_examined() -> None:
    assert set(BINARY) == set(DEFINED)


@BOUNDED
@given(
    fn=st.sampled_from(sorted(UNARY)),
    shape=st.lists(st.integers(0, 4), max_size=4).map(tuple),
    dtype=st.sampled_from(DTYPES),
)
def test_unary(fn: str, shape: Shape, dtype: str) -> None:
    """Once for each element."""
    found, out = cost_and_shape("unary", shape, fn=fn, dtype=dtype)
    visited = sum((UNARY[fn] for _ in np.ndindex(shape)), ZERO)
    assert (found, out) == (visited, shape)


@st.composite
def broadcasting(draw: Any) -> list[Shape]:
    """One or two shapes that broadcast."""
    full = draw(st.lists(st.integers(1, 4), max_size=4))
    shapes = []
    for _ in range(draw(st.integers(1, 2))):
        kept = full[draw(st.integers(0, len(full))) :]
        shapes.append(tuple(n if draw(st.booleans()) else 1 for n in kept))
    return shapes


@BOUNDED
@given(fn=st.sampled_from(sorted(BINARY)), shapes=broadcasting(), dtype=st.sampled_from(DTYPES))
def test_binary(fn: str, shapes: list[Shape], dtype: str) -> None:
    """Once for each element that comes out; a lone operand meets a scalar."""
    found, out = cost_and_shape("binary", *shapes, fn=fn, dtype=dtype)
    assert out == np.broadcast_shapes(*shapes)
    assert found == sum((BINARY[fn] for _ in np.ndindex(out)), ZERO)
