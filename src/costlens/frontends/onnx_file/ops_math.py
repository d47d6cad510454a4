"""Elementwise functions, comparisons and reductions of ONNX."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import Tensor
from costlens.frontends.lowering.build import Unreadable
from costlens.frontends.opfile.parts import apply_binary, axes_of, binary, compare, select, unary
from costlens.frontends.opfile.site import Handler, Made, Site
from costlens.ir.types import TensorType, is_float, promote

_UNARY = {
    "Abs": "abs", "Acos": "arccos", "Acosh": "arccosh", "Asin": "arcsin", "Asinh": "arcsinh",
    "Atan": "arctan", "Atanh": "arctanh", "BitwiseNot": "bitwise_not", "Ceil": "ceil",
    "Celu": "celu", "Cos": "cos", "Cosh": "cosh", "Elu": "elu", "Erf": "erf", "Exp": "exp",
    "Floor": "floor", "HardSigmoid": "hard_sigmoid", "HardSwish": "hard_silu",
    "LeakyRelu": "leaky_relu", "Log": "log", "Mish": "mish", "Neg": "negative",
    "Not": "logical_not", "Reciprocal": "reciprocal", "Relu": "relu", "Round": "round",
    "Selu": "selu", "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Sinh": "sinh",
    "Softplus": "softplus", "Softsign": "softsign", "Sqrt": "sqrt", "Swish": "silu",
    "Tan": "tan", "Tanh": "tanh", "ThresholdedRelu": "threshold",
    "com.microsoft.FastGelu": "gelu_tanh", "com.microsoft.Gelu": "gelu",
}  # fmt: skip

_BINARY = {
    "Add": "add", "Sub": "subtract", "Mul": "multiply", "Mod": "mod", "PRelu": "prelu",
    "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
    "BitShift": "left_shift",
}  # fmt: skip

_COMPARE = {
    "Equal": "equal", "Less": "less", "LessOrEqual": "less_equal", "Greater": "greater",
    "GreaterOrEqual": "greater_equal", "And": "logical_and", "Or": "logical_or",
    "Xor": "logical_xor",
}  # fmt: skip

_REDUCE = {
    "ReduceMean": "mean", "ReduceSum": "sum", "ReduceProd": "prod", "ReduceMax": "max",
    "ReduceMin": "min", "ReduceLogSumExp": "logsumexp",
}  # fmt: skip


def _gelu(site: Site) -> Tensor:
    return site.b.unary("gelu_tanh" if site.attr("approximate") == "tanh" else "gelu", site.x())


def _bias_gelu(site: Site) -> Tensor:
    return site.b.unary("gelu", site.b.binary("add", site.x(), site.param(1, "bias")))


def _quick_gelu(site: Site) -> Tensor:
    """x · sigmoid(1.702 x)."""
    b, x = site.b, site.x()
    return b.binary("multiply", x, b.unary("sigmoid", b.unary("scale", x)))


def _shrink(site: Site) -> Tensor:
    return site.b.unary("soft_shrink" if site.attr("bias", 0.0) else "hard_shrink", site.x())


def _tested(fn: str) -> Handler:
    return lambda site: site.b.unary(fn, site.x(), "bool")


def _divide(site: Site) -> Tensor:
    return apply_binary(site, "divide" if is_float(site.type().dtype) else "floor_divide")


def _power(site: Site) -> Tensor:
    """A small whole exponent is multiplications, and a half is a root."""
    exponent = site.operand(1)
    if exponent == 2:
        return site.b.unary("square", site.x())
    if exponent == 0.5:
        return site.b.unary("sqrt", site.x())
    return apply_binary(site, "power")


def _clip(site: Site) -> Tensor:
    """Bounds are attributes in old opsets, operands in new ones; either may be left out."""
    b, x = site.b, site.x()
    low, high = (_bound(site, at, name) for at, name in ((1, "min"), (2, "max")))
    if low is None or high is None:
        if low == 0.0:
            return b.unary("relu", x)
        only, fn = (high, "minimum") if low is None else (low, "maximum")
        return b.identity(x) if only is None else b.binary(fn, x, only, x.dtype)
    return b.unary("relu6" if (low, high) == (0.0, 6.0) else "clip", x)


def _bound(site: Site, at: int, name: str) -> Tensor | float | None:
    if site.has(at):
        return site.operand(at)
    given = site.attr(name)
    return None if given is None or abs(given) > 1e38 else float(given)


def _variadic(fn: str) -> Handler:
    """One function over any number of operands; a mean divides at the end."""

    def handler(site: Site) -> Tensor:
        xs = site.xs()
        dtype = site.declared[0][1] or promote([x.dtype for x in xs])
        total = site.b.identity(xs[0]) if len(xs) == 1 else xs[0]
        for x in xs[1:]:
            total = site.b.binary("add" if fn == "mean" else fn, total, x, dtype)
        return site.b.binary("divide", total, float(len(xs))) if fn == "mean" else total

    return handler


# -- reductions ------------------------------------------------------------------------------


def reduced(site: Site, rank: int) -> tuple[int, ...] | None:
    """The axes of a reduction, an attribute or an operand; None where it does nothing."""
    given = site.ints(1) if site.has(1) else site.attr("axes")
    if given is None or not len(given):
        return None if site.attr("noop_with_empty_axes", 0) else tuple(range(rank))
    return axes_of(given, rank)


def _reduce(fn: str) -> Handler:
    def handler(site: Site) -> Tensor:
        x = site.x()
        axes = reduced(site, x.rank)
        if axes is None:
            return site.b.identity(x)
        return site.b.reduce(fn, x, axes, bool(site.attr("keepdims", 1)))

    return handler


def _reduce_of(before: str, after: str) -> Handler:
    """A sum of what a function gives, and a function of the sum."""

    def handler(site: Site) -> Tensor:
        b, x = site.b, site.x()
        x = b.unary(before, x) if before else x
        y = b.reduce("sum", x, reduced(site, x.rank) or (), bool(site.attr("keepdims", 1)))
        return b.unary(after, y) if after else y

    return handler


def _arg(fn: str) -> Handler:
    def handler(site: Site) -> Tensor:
        x = site.x()
        axis = axes_of((int(site.attr("axis", 0)),), x.rank)
        return site.b.reduce(fn, x, axis, bool(site.attr("keepdims", 1)), "int64")

    return handler


def _softmax(fn: str) -> Handler:
    """Over one axis; before opset 13 over all axes from one on."""

    def handler(site: Site) -> Tensor:
        x, old = site.x(), int(site.attr("opset", 13)) < 13
        axis = axes_of((int(site.attr("axis", 1 if old else -1)),), x.rank)[0]
        over = tuple(range(axis, x.rank)) if old else (axis,)
        return site.b.emit(
            "softmax", (x,), label=fn, fn=fn, axis=over if len(over) > 1 else over[0]
        )

    return handler


def _hardmax(site: Site) -> Tensor:
    x = site.x()
    axis = axes_of((int(site.attr("axis", -1)),), x.rank)[0]
    largest = site.b.reduce("argmax", x, axis, True, "int64")
    return site.b.rearrange("one_hot", largest, x.shape, x.dtype)


def _cumsum(site: Site) -> Tensor:
    x = site.x()
    axis = axes_of(site.ints(1)[:1], x.rank)[0]
    return site.b.emit("cumulative", (x,), fn="cumsum", axis=axis)


def _top_k(site: Site) -> Made:
    """The largest k of an axis, and where they stand: a sort."""
    x, k = site.x(), site.ints(1)[0] if site.has(1) else int(site.attr("k", 0))
    axis = axes_of((int(site.attr("axis", -1)),), x.rank)[0]
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    types = TensorType(shape, x.dtype), TensorType(shape, "int64")
    return site.b.opaque("top_k", (x,), *types)


def _square_matrix(fn: str) -> Handler:
    """A factorisation: its FLOPs are not known."""

    def handler(site: Site) -> Made:
        x = site.x()
        shape = x.shape[:-2] if fn == "det" else x.shape
        return site.b.opaque(fn, (x,), TensorType(shape, x.dtype))

    return handler


def _where(site: Site) -> Tensor:
    if not site.has(2):
        raise Unreadable("an operand is missing")
    return select(site)


HANDLERS: Mapping[str, Handler] = {
    **{kind: unary(fn) for kind, fn in _UNARY.items()},
    **{kind: binary(fn) for kind, fn in _BINARY.items()},
    **{kind: compare(fn) for kind, fn in _COMPARE.items()},
    **{kind: _reduce(fn) for kind, fn in _REDUCE.items()},
    "ArgMax": _arg("argmax"),
    "ArgMin": _arg("argmin"),
    "Clip": _clip,
    "com.microsoft.BiasGelu": _bias_gelu,
    "com.microsoft.QuickGelu": _quick_gelu,
    "CumSum": _cumsum,
    "Det": _square_matrix("det"),
    "Div": _divide,
    "Gelu": _gelu,
    "Hardmax": _hardmax,
    "IsInf": _tested("isinf"),
    "IsNaN": _tested("isnan"),
    "LogSoftmax": _softmax("log_softmax"),
    "Max": _variadic("maximum"),
    "Mean": _variadic("mean"),
    "Min": _variadic("minimum"),
    "Pow": _power,
    "ReduceL1": _reduce_of("abs", ""),
    "ReduceL2": _reduce_of("square", "sqrt"),
    "ReduceLogSum": _reduce_of("", "log"),
    "ReduceSumSquare": _reduce_of("square", ""),
    "Shrink": _shrink,
    "Softmax": _softmax("softmax"),
    "Sum": _variadic("add"),
    "TopK": _top_k,
    "Where": _where,
}
"""Handlers by the operator's name, with its domain where that is not ONNX's own."""
