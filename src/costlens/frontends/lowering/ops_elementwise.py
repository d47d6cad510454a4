"""Elementwise operations of ``keras.ops``: unary, binary, comparisons, logic, bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.ops_common import (
    Operand,
    common,
    dtype_name,
    floating,
    narrowed,
    option,
    result,
)
from costlens.ir.types import TensorType, broadcast, is_float, is_int

Dtype = Callable[[LayerCall, Tensor], str]
"""The dtype that an elementwise function of one tensor gives."""


def _same(call: LayerCall, x: Tensor) -> str:
    return x.dtype


def _bool(call: LayerCall, x: Tensor) -> str:
    return "bool"


def _number(call: LayerCall, x: Tensor) -> str:
    """bool counts as int32."""
    return "int32" if x.dtype == "bool" else x.dtype


def _double(call: LayerCall, x: Tensor) -> str:
    """int64 has double precision, half precision stays, all else has single."""
    if x.dtype in ("int64", "float64"):
        return narrowed(call, "float64")
    return x.dtype if x.dtype in ("bfloat16", "float16") else "float32"


def _root(call: LayerCall, x: Tensor) -> str:
    """The cube root has double precision for int64, and keeps what is no integer."""
    return _double(call, x) if is_int(x.dtype) or x.dtype == "bool" else x.dtype


def _single(call: LayerCall, x: Tensor) -> str:
    """Keras declares a reciprocal in its default float dtype, whatever it is of."""
    return "float32"


def _unary(fn: str, dtype: Dtype) -> Lowering:
    return lambda b, call: b.unary(fn, call.x, dtype(call, call.x))


def _unaries(names: str, dtype: Dtype) -> dict[str, Lowering]:
    """``"Cos Absolute=abs"``: Keras's class, and the function where it is named otherwise."""
    table = {}
    for entry in names.split():
        cls, _, fn = entry.partition("=")
        table[f"op:{cls}"] = _unary(fn or cls.lower(), dtype)
    return table


def _round(b: Builder, call: LayerCall) -> Tensor:
    """Rounding to decimals scales up, rounds, and scales back."""
    x, decimals = call.x, call.config.get("decimals", 0)
    if not decimals:
        return b.unary("round", x)
    if not is_float(x.dtype):
        if decimals > 0:
            return b.identity(x)
        x = b.cast(x, "float32")
    y = b.unary("round", b.binary("multiply", x, 10.0**decimals, x.dtype))
    return b.cast(b.binary("divide", y, 10.0**decimals, x.dtype), call.x.dtype)


def _array(b: Builder, call: LayerCall) -> Tensor:
    """``ops.array``: a view, or a cast; older versions of Keras declare floats unless told."""
    declared = call.expected[0][1] if call.expected else call.x.dtype
    return b.cast(call.x, option(call, "dtype", declared))


# -- two operands ---------------------------------------------------------------------------

Rule = Callable[[LayerCall, Operand, Operand], str]
"""The dtype that an elementwise function of two operands gives."""


def _truth(call: LayerCall, one: Operand, two: Operand) -> str:
    return "bool"


def _remainder(call: LayerCall, one: Operand, two: Operand) -> str:
    dtype = common(call, one, two)
    return "int32" if dtype == "bool" else dtype


def _strong_float(call: LayerCall, one: Operand, two: Operand) -> str:
    """A Python scalar stands for the default float dtype."""
    names = [dtype_name(x) if hasattr(x, "dtype") else "float32" for x in (one, two)]
    return result(call, *names, "float")


def _typed(*more: str) -> Rule:
    """Python scalars count with the dtype that they would be stored in, never weakly."""

    def rule(call: LayerCall, one: Operand, two: Operand) -> str:
        stored = {"int": "int64", "float": "float32"}
        names = [stored.get(dtype_name(x), dtype_name(x)) for x in (one, two)]
        return result(call, *names, *more)

    return rule


def _length(call: LayerCall, one: Operand, two: Operand) -> str:
    """Integers become floats; int64 has double precision."""
    dtype = common(call, one, two)
    if dtype.lstrip("u") in ("int8", "int16", "int32"):
        return "float32"
    return narrowed(call, "float64") if dtype == "int64" else dtype


def _shift(call: LayerCall, one: Operand, two: Operand) -> str:
    return dtype_name(one) if isinstance(two, int) else common(call, one, two)


def _binary(fn: str, dtype: Rule) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tensor:
        one, two = _operands(call)
        return b.binary(fn, one, two, dtype(call, one, two))

    return lowering


def _operands(call: LayerCall) -> tuple[Operand, Operand]:
    names = ("x", "y") if "x" in call.kwargs or "y" in call.kwargs else ("x1", "x2")
    return call.arg(0, names[0]), call.arg(1, names[1])


def _binaries(names: str, dtype: Rule) -> dict[str, Lowering]:
    """``"Add TrueDivide=divide"``: Keras's class, and the function where named otherwise."""
    table = {}
    for entry in names.split():
        cls, _, fn = entry.partition("=")
        table[f"op:{cls}"] = _binary(fn or cls.lower(), dtype)
    return table


def _all_close(b: Builder, call: LayerCall) -> Tensor:
    one, two = _operands(call)
    return b.reduce("all", b.compare("isclose", one, two))


def _divisor(fn: str) -> Lowering:
    """gcd and lcm loop as long as the values need, so their FLOPs are not counted."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        one, two = _operands(call)
        shape = broadcast(*(x.shape for x in call.tensors))
        return b.opaque(fn, call.tensors, TensorType(shape, _typed()(call, one, two)))[0]

    return lowering


OPS: Mapping[str, Lowering] = {
    **_unaries(
        "Absolute=abs Abs=abs Conjugate=conj Conj=conj Copy Imag Real NanToNum=nan_to_num "
        "Negative Sign Trunc BitwiseInvert=bitwise_not BitwiseNot=bitwise_not",
        _same,
    ),
    **_unaries(
        "Isfinite Isinf Isnan Isneginf Isposinf Isreal LogicalNot=logical_not Signbit", _bool
    ),
    **_unaries("Square Clip", _number),
    **_unaries(
        "Angle Arccos Arccosh Arcsin Arcsinh Arctan Arctanh Ceil Cos Cosh Exp Exp2 Expm1 Floor "
        "Fabs=abs Log Log10 Log1p Log2 Sin Sinc Sinh Sqrt Tan Tanh",
        floating,
    ),
    **_unaries("Deg2rad Rad2deg I0", _double),
    **_unaries("Cbrt", _root),
    **_unaries("Reciprocal", _single),
    "op:Round": _round,
    "op:Array": _array,
    **_binaries(
        "Add Subtract Multiply Maximum Minimum Fmax Fmin Power FloorDivide=floor_divide "
        "BitwiseAnd=bitwise_and BitwiseOr=bitwise_or BitwiseXor=bitwise_xor",
        common,
    ),
    **_binaries("Mod Fmod", _remainder),
    **_binaries(
        "Divide TrueDivide=divide DivideNoNan=divide_no_nan Logaddexp Logaddexp2", floating
    ),
    **_binaries(
        "Equal NotEqual=not_equal Less LessEqual=less_equal Greater GreaterEqual=greater_equal "
        "LogicalAnd=logical_and LogicalOr=logical_or LogicalXor=logical_xor Isclose",
        _truth,
    ),
    **_binaries(
        "LeftShift=left_shift BitwiseLeftShift=left_shift RightShift=right_shift "
        "BitwiseRightShift=right_shift",
        _shift,
    ),
    **_binaries("Arctan2", _strong_float),
    **_binaries("Heaviside Hypot", _length),
    **_binaries("Ldexp Nextafter", _typed("float")),
    "op:AllClose": _all_close,
    "op:Gcd": _divisor("gcd"),
    "op:Lcm": _divisor("lcm"),
}
