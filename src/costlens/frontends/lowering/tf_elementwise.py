"""Traced elementwise operations, comparisons, casts and selections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from costlens.frontends.layercall import Known, LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.operands import tensor
from costlens.frontends.lowering.tf_common import Index, Listed, counted, dtype_of, out, retyped
from costlens.ir.types import promote

_UNARY = {
    "Abs": "abs", "Acos": "arccos", "Acosh": "arccosh", "Angle": "angle", "Asin": "arcsin",
    "Asinh": "arcsinh", "Atan": "arctan", "Atanh": "arctanh", "BesselI0": "i0",
    "BesselI0e": "i0e", "BesselI1": "i1", "BesselI1e": "i1e", "BesselJ0": "j0", "BesselJ1": "j1",
    "BesselK0": "k0", "BesselK0e": "k0e", "BesselK1": "k1", "BesselK1e": "k1e", "BesselY0": "y0",
    "BesselY1": "y1", "Ceil": "ceil", "Conj": "conj", "Cos": "cos", "Cosh": "cosh",
    "Dawsn": "dawsn", "Digamma": "digamma", "Elu": "elu", "Erf": "erf", "Erfc": "erfc",
    "Erfinv": "erfinv", "Exp": "exp", "Expint": "expi", "Expm1": "expm1", "Floor": "floor",
    "FresnelCos": "fresnel_cos", "FresnelSin": "fresnel_sin", "Imag": "imag", "Inv": "reciprocal",
    "Invert": "bitwise_not", "IsFinite": "isfinite", "IsInf": "isinf", "IsNan": "isnan",
    "LeakyRelu": "leaky_relu", "Lgamma": "gammaln", "Log": "log", "Log1p": "log1p",
    "LogicalNot": "logical_not", "Ndtri": "ndtri", "Neg": "negative", "Real": "real",
    "Reciprocal": "reciprocal", "Relu": "relu", "Relu6": "relu6", "Rint": "round",
    "Round": "round", "Rsqrt": "rsqrt", "Selu": "selu", "Sigmoid": "sigmoid", "Sign": "sign",
    "Sin": "sin", "Sinh": "sinh", "Softplus": "softplus", "Softsign": "softsign",
    "Spence": "spence", "Sqrt": "sqrt", "Square": "square", "Tan": "tan", "Tanh": "tanh",
}  # fmt: skip
"""TensorFlow's elementwise functions of one operand, as functions of the IR."""

_BINARY = {
    "Add": "add", "AddV2": "add", "ApproximateEqual": "isclose", "Atan2": "arctan2",
    "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor",
    "Div": "divide", "DivNoNan": "divide_no_nan", "Equal": "equal", "FloorDiv": "floor_divide",
    "FloorMod": "mod", "Greater": "greater", "GreaterEqual": "greater_equal",
    "Igamma": "gammainc", "Igammac": "gammaincc", "LeftShift": "left_shift", "Less": "less",
    "LessEqual": "less_equal", "LogicalAnd": "logical_and", "LogicalOr": "logical_or",
    "Maximum": "maximum", "Minimum": "minimum", "Mod": "mod", "Mul": "multiply",
    "MulNoNan": "multiply", "NextAfter": "nextafter", "NotEqual": "not_equal",
    "Polygamma": "polygamma", "Pow": "power", "RealDiv": "divide", "RightShift": "right_shift",
    "SquaredDifference": "squared_difference", "Sub": "subtract", "TruncateDiv": "floor_divide",
    "TruncateMod": "fmod", "Xdivy": "divide_no_nan", "Zeta": "zeta",
}  # fmt: skip
"""TensorFlow's broadcasting functions of two operands, as functions of the IR."""


def _unary(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        (x,) = call.args
        if isinstance(x, Index):
            return Index(out(call))
        return b.unary(fn, tensor(b, x), dtype_of(call))

    return lowering


def binary(b: Builder, fn: str, call: LayerCall) -> Tree:
    """A function of two operands; a known scalar is no operand, and index arithmetic is free."""
    first, second = call.args[:2]
    if counted((first, second)):
        return Index(out(call))
    for x, other in ((second, first), (first, second)):
        if isinstance(other, Known) and other.type.size == 1 and not isinstance(x, Known):
            x = tensor(b, x)
            if x.rank >= other.type.rank:
                return _emit(b, fn, (x,), dtype_of(call))
    return _emit(b, fn, (tensor(b, first), tensor(b, second)), dtype_of(call))


def _emit(b: Builder, fn: str, xs: tuple[Tensor, ...], dtype: str) -> Tensor:
    return b.emit("binary", xs, fn=fn, **retyped(dtype, promote([x.dtype for x in xs])))


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
    return b.cast(tensor(b, x), dtype_of(call))


def _select(b: Builder, call: LayerCall) -> Tree:
    if counted(call.args):
        return Index(out(call))
    condition, first, second = (tensor(b, x) for x in call.args)
    if condition.rank == 1 and first.rank > 1 and call.layer.kind == "Select":
        condition = b.reshape(condition, (*condition.shape, *(1,) * (first.rank - 1)))
    return b.emit("select", (condition, first, second), dtype=dtype_of(call))


def _identity(b: Builder, call: LayerCall) -> Tree:
    """The same tensor: a view, which needs no node of its own."""
    return list(call.args[: len(call.expected)])


def _clip(b: Builder, call: LayerCall) -> Tree:
    """Between two numbers; between tensors it is a maximum and a minimum."""
    x, *bounds = call.args
    if counted(call.args):
        return Index(out(call))
    if all(isinstance(bound, Known) and bound.type.size == 1 for bound in bounds):
        return b.unary("clip", tensor(b, x))
    low, high = (tensor(b, bound) for bound in bounds)
    return b.binary("minimum", b.binary("maximum", tensor(b, x), low), high, dtype_of(call))


def _add_n(b: Builder, call: LayerCall) -> Tree:
    """A sum of tensors; of lists, which gradients add up, the sum of what a turn writes."""
    lists = [x for x in call.args if isinstance(x, Listed)]
    if lists:
        items = [x.item for x in lists if x.item is not None]
        return Listed(item=_sum(b, items, items[0].dtype)) if items else lists[0]
    return _sum(b, [tensor(b, x) for x in call.args], dtype_of(call))


def _sum(b: Builder, xs: Sequence[Tensor], dtype: str) -> Tensor:
    total, *rest = xs
    for x in rest:
        total = b.binary("add", total, x, dtype)
    return total


def _times_log(fn: str) -> Lowering:
    """x · log(y), which is 0 where x is."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, y = (tensor(b, leaf) for leaf in call.args)
        return b.binary("multiply", x, b.unary(fn, y), dtype_of(call))

    return lowering


def _complex(b: Builder, call: LayerCall) -> Tree:
    made = out(call)
    return b.rearrange("complex", [tensor(b, x) for x in call.args], made.shape, made.dtype)


def _length(b: Builder, call: LayerCall) -> Tree:
    """The absolute value of complex numbers."""
    x, dtype = tensor(b, call.args[0]), dtype_of(call)
    return b.binary("hypot", b.unary("real", x, dtype), b.unary("imag", x, dtype))


def _bits(b: Builder, call: LayerCall) -> Tree:
    """The same bits read in another dtype: of as many elements a cast, else a rearrangement."""
    x, made = tensor(b, call.args[0]), out(call)
    if x.shape == made.shape:
        return b.cast(x, made.dtype)
    return b.rearrange("bitcast", x, made.shape, made.dtype)


OPS: Mapping[str, Lowering] = {
    **{f"tf:{name}": _unary(fn) for name, fn in _UNARY.items()},
    **{f"tf:{name}": _binary(fn) for name, fn in _BINARY.items()},
    "tf:AccumulateNV2": _add_n,
    "tf:AddN": _add_n,
    "tf:BiasAdd": _bias_add,
    "tf:BiasAddV1": _bias_add,
    "tf:Bitcast": _bits,
    "tf:Cast": _cast,
    "tf:ClipByValue": _clip,
    "tf:Complex": _complex,
    "tf:ComplexAbs": _length,
    "tf:Select": _select,
    "tf:SelectV2": _select,
    "tf:Xlog1py": _times_log("log1p"),
    "tf:Xlogy": _times_log("log"),
    **{
        f"tf:{name}": _identity
        for name in (
            "CheckNumerics", "CheckNumericsV2", "Copy", "DeepCopy", "EnsureShape", "GuaranteeConst",
            "Identity", "IdentityN", "PlaceholderWithDefault",
            "PreventGradient", "Print", "Snapshot", "StopGradient", "TensorListResize",
        )
    },
}  # fmt: skip
