"""Traced elementwise operations, comparisons, casts and selections."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.layercall import Known, LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.tf_common import Index, counted, out, tensor
from costlens.ir.types import promote

_UNARY = {
    "Abs": "abs", "Acos": "arccos", "Acosh": "arccosh", "Asin": "arcsin", "Asinh": "arcsinh",
    "Atan": "arctan", "Atanh": "arctanh", "Ceil": "ceil", "Conj": "conj", "Cos": "cos",
    "Cosh": "cosh", "Elu": "elu", "Erf": "erf", "Erfc": "erfc", "Erfinv": "erfinv", "Exp": "exp",
    "Expm1": "expm1", "Floor": "floor", "Imag": "imag", "Inv": "reciprocal",
    "IsFinite": "isfinite", "IsInf": "isinf", "IsNan": "isnan", "LeakyRelu": "leaky_relu",
    "Log": "log", "Log1p": "log1p", "LogicalNot": "logical_not", "Neg": "negative",
    "Real": "real", "Reciprocal": "reciprocal", "Relu": "relu", "Relu6": "relu6",
    "Rint": "round", "Round": "round", "Rsqrt": "rsqrt", "Selu": "selu", "Sigmoid": "sigmoid",
    "Sign": "sign", "Sin": "sin", "Sinh": "sinh", "Softplus": "softplus", "Softsign": "softsign",
    "Sqrt": "sqrt", "Square": "square", "Tan": "tan", "Tanh": "tanh",
}  # fmt: skip
"""TensorFlow's elementwise functions of one operand, as functions of the IR."""

_BINARY = {
    "Add": "add", "AddV2": "add", "Atan2": "arctan2", "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor", "Div": "divide",
    "DivNoNan": "divide_no_nan", "Equal": "equal", "FloorDiv": "floor_divide",
    "FloorMod": "mod", "Greater": "greater", "GreaterEqual": "greater_equal", "Less": "less",
    "LessEqual": "less_equal", "LogicalAnd": "logical_and", "LogicalOr": "logical_or",
    "Maximum": "maximum", "Minimum": "minimum", "Mod": "mod", "Mul": "multiply",
    "MulNoNan": "multiply", "NextAfter": "nextafter", "NotEqual": "not_equal", "Pow": "power",
    "RealDiv": "divide", "SquaredDifference": "squared_difference", "Sub": "subtract",
    "TruncateDiv": "floor_divide", "TruncateMod": "fmod", "Xdivy": "divide_no_nan",
}  # fmt: skip
"""TensorFlow's broadcasting functions of two operands, as functions of the IR."""


def _unary(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        (x,) = call.args
        if isinstance(x, Index):
            return Index(out(call))
        return b.unary(fn, tensor(b, x), out(call).dtype)

    return lowering


def binary(b: Builder, fn: str, call: LayerCall) -> Tree:
    """A function of two operands; a known scalar is no operand, and index arithmetic is free."""
    first, second = call.args[:2]
    made = out(call)
    if counted((first, second)):
        return Index(made)
    scalars = [isinstance(x, Known) and x.type.size == 1 for x in (first, second)]
    for x, scalar in ((second, scalars[0]), (first, scalars[1])):
        if scalar and not isinstance(x, Known):
            x = tensor(b, x)
            if x.shape == made.shape:
                return _emit(b, fn, (x,), made.dtype)
    return _emit(b, fn, (tensor(b, first), tensor(b, second)), made.dtype)


def _emit(b: Builder, fn: str, xs: tuple[Tensor, ...], dtype: str) -> Tensor:
    extra = {} if promote([x.dtype for x in xs]) == dtype else {"dtype": dtype}
    return b.emit("binary", xs, fn=fn, **extra)


def _binary(fn: str) -> Lowering:
    return lambda b, call: binary(b, fn, call)


def _bias_add(b: Builder, call: LayerCall) -> Tree:
    x, bias = tensor(b, call.args[0]), tensor(b, call.args[1])
    if call.config.get("data_format") == "NCHW" and x.rank > 2:
        bias = b.reshape(bias, (*bias.shape, *(1,) * (x.rank - 2)))
    return b.emit("binary", (x, bias), label="bias_add", fn="add")


def _cast(b: Builder, call: LayerCall) -> Tree:
    (x,) = call.args
    if isinstance(x, Index):
        return Index(out(call))
    return b.cast(tensor(b, x), out(call).dtype)


def _select(b: Builder, call: LayerCall) -> Tree:
    if counted(call.args):
        return Index(out(call))
    condition, first, second = (tensor(b, x) for x in call.args)
    if condition.rank == 1 and first.rank > 1 and call.layer.kind == "Select":
        condition = b.reshape(condition, (*condition.shape, *(1,) * (first.rank - 1)))
    return b.emit("select", (condition, first, second), dtype=out(call).dtype)


def _identity(b: Builder, call: LayerCall) -> Tree:
    """The same tensor: a view, which needs no node of its own."""
    return list(call.args[: len(call.expected)])


def _clip(b: Builder, call: LayerCall) -> Tree:
    return b.unary("clip", tensor(b, call.args[0]))


def _add_n(b: Builder, call: LayerCall) -> Tree:
    total = tensor(b, call.args[0])
    for x in call.args[1:]:
        total = b.binary("add", total, tensor(b, x), out(call).dtype)
    return total


OPS: Mapping[str, Lowering] = {
    **{f"tf:{name}": _unary(fn) for name, fn in _UNARY.items()},
    **{f"tf:{name}": _binary(fn) for name, fn in _BINARY.items()},
    "tf:BiasAdd": _bias_add,
    "tf:Cast": _cast,
    "tf:Select": _select,
    "tf:SelectV2": _select,
    "tf:ClipByValue": _clip,
    "tf:AddN": _add_n,
    **{
        f"tf:{name}": _identity
        for name in (
            "Identity", "IdentityN", "StopGradient", "PreventGradient", "Snapshot",
            "CheckNumerics", "EnsureShape", "PlaceholderWithDefault", "OptimizationBarrier",
        )
    },
}  # fmt: skip
