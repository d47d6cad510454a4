"""Elementwise functions, comparisons and reductions of TensorFlow Lite."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import Tensor
from costlens.frontends.opfile.parts import axes_of, binary, compare, select, unary
from costlens.frontends.opfile.site import Handler, Site
from costlens.ir.types import TensorType

_UNARY = {
    "ABS": "abs", "CEIL": "ceil", "COS": "cos", "ELU": "elu", "EXP": "exp", "FLOOR": "floor",
    "HARD_SWISH": "hard_silu", "LEAKY_RELU": "leaky_relu", "LOG": "log",
    "LOGICAL_NOT": "logical_not", "LOGISTIC": "sigmoid", "NEG": "negative", "RELU": "relu",
    "RELU6": "relu6", "RELU_0_TO_1": "clip", "RELU_N1_TO_1": "hard_tanh", "ROUND": "round",
    "RSQRT": "rsqrt", "SIGN": "sign", "SIN": "sin", "SQRT": "sqrt", "SQUARE": "square",
    "TANH": "tanh", "IMAG": "imag", "REAL": "real",
}  # fmt: skip

_BINARY = {
    "ATAN2": "arctan2", "BITWISE_XOR": "bitwise_xor", "FLOOR_DIV": "floor_divide",
    "FLOOR_MOD": "mod", "MAXIMUM": "maximum", "MINIMUM": "minimum", "POW": "power",
    "RIGHT_SHIFT": "right_shift", "SQUARED_DIFFERENCE": "squared_difference",
}  # fmt: skip

_COMPARE = {
    "EQUAL": "equal", "NOT_EQUAL": "not_equal", "LESS": "less", "LESS_EQUAL": "less_equal",
    "GREATER": "greater", "GREATER_EQUAL": "greater_equal", "LOGICAL_AND": "logical_and",
    "LOGICAL_OR": "logical_or",
}  # fmt: skip

_REDUCE = {
    "MEAN": "mean", "SUM": "sum", "REDUCE_PROD": "prod", "REDUCE_MAX": "max",
    "REDUCE_MIN": "min", "REDUCE_ANY": "any", "REDUCE_ALL": "all",
}  # fmt: skip


def _reduce(fn: str) -> Handler:
    def handler(site: Site) -> Tensor:
        x, axes = site.x(), site.ints(1)
        keep = bool(site.attr("keep_dims"))
        return site.b.reduce(fn, x, axes_of(axes, x.rank), keep, site.dtype())

    return handler


def _arg(fn: str) -> Handler:
    def handler(site: Site) -> Tensor:
        x = site.x()
        return site.b.reduce(fn, x, axes_of(site.ints(1), x.rank), False, site.dtype())

    return handler


def _gelu(site: Site) -> Tensor:
    return site.b.unary("gelu_tanh" if site.attr("approximate") else "gelu", site.x())


def _cumsum(site: Site) -> Tensor:
    x = site.x()
    axis = axes_of(site.ints(1), x.rank)[0]
    return site.b.emit("cumulative", (x,), fn="cumsum", axis=axis)


def _add_n(site: Site) -> Tensor:
    xs = site.xs()
    total = xs[0] if len(xs) > 1 else site.b.identity(xs[0])
    for x in xs[1:]:
        total = site.b.binary("add", total, x, site.dtype())
    return total


def _top_k(site: Site) -> tuple[Tensor, ...]:
    """The largest k of the last axis, and where they stand: a sort."""
    x, (k,) = site.x(), site.ints(1)
    shape = (*x.shape[:-1], k)
    return site.b.opaque("top_k", (x,), TensorType(shape, x.dtype), TensorType(shape, "int32"))


def _complex_abs(site: Site) -> Tensor:
    return site.b.unary("abs", site.x(), site.dtype())


HANDLERS: Mapping[str, Handler] = {
    **{kind: unary(fn) for kind, fn in _UNARY.items()},
    **{kind: binary(fn) for kind, fn in _BINARY.items()},
    **{kind: compare(fn) for kind, fn in _COMPARE.items()},
    **{kind: _reduce(fn) for kind, fn in _REDUCE.items()},
    "ADD_N": _add_n,
    "ARG_MAX": _arg("argmax"),
    "ARG_MIN": _arg("argmin"),
    "COMPLEX_ABS": _complex_abs,
    "CUMSUM": _cumsum,
    "GELU": _gelu,
    "SELECT": select,
    "SELECT_V2": select,
    "TOPK_V2": _top_k,
}
"""Handlers by the operator's name in the schema."""
