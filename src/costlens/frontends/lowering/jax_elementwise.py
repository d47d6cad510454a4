"""Traced elementwise operations, comparisons, casts and selections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.jax_common import extra, number, out, uniform
from costlens.frontends.lowering.operands import tensor
from costlens.ir.types import promote

_UNARY = {
    "abs": "abs", "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh",
    "atan": "arctan", "atanh": "arctanh", "bessel_i0e": "i0", "bessel_i1e": "i0", "cbrt": "cbrt",
    "ceil": "ceil", "conj": "conj", "cos": "cos", "cosh": "cosh", "digamma": "log", "erf": "erf",
    "erf_inv": "erfinv", "erfc": "erfc", "exp": "exp", "exp2": "exp2", "expm1": "expm1",
    "floor": "floor", "imag": "imag", "is_finite": "isfinite", "lgamma": "log", "log": "log",
    "log1p": "log1p", "logistic": "sigmoid", "neg": "negative", "real": "real",
    "round": "round", "rsqrt": "rsqrt", "sign": "sign", "sin": "sin", "sinh": "sinh",
    "sqrt": "sqrt", "square": "square", "tan": "tan", "tanh": "tanh",
}  # fmt: skip
"""JAX's elementwise functions of one operand, as functions of the IR."""

_BINARY = {
    "add": "add", "add_any": "add", "atan2": "arctan2", "complex": "copysign", "div": "divide",
    "eq": "equal", "eq_to": "equal", "ge": "greater_equal", "gt": "greater", "igamma": "power",
    "igammac": "power", "le": "less_equal", "le_to": "less_equal", "lt": "less",
    "lt_to": "less", "max": "maximum", "min": "minimum", "mul": "multiply", "ne": "not_equal",
    "nextafter": "nextafter", "polygamma": "power", "pow": "power", "rem": "mod",
    "shift_left": "left_shift", "shift_right_arithmetic": "right_shift",
    "shift_right_logical": "right_shift", "sub": "subtract", "zeta": "power",
}  # fmt: skip
"""JAX's functions of two operands, as functions of the IR; a special function is one call."""


def _unary(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        made = out(call)
        return number(call) or b.unary(fn, tensor(b, call.args[0]), made.dtype)

    return lowering


def _not(b: Builder, call: LayerCall) -> Tree:
    fn = "logical_not" if out(call).dtype == "bool" else "bitwise_not"
    return _unary(fn)(b, call)


def _binary(fn: str) -> Lowering:
    return lambda b, call: binary(b, fn, call.args, call)


def _bitwise(name: str) -> Lowering:
    """A truth function on truth values, else a function of bits, which costs nothing."""

    def lowering(b: Builder, call: LayerCall) -> Tree:
        kind = "logical" if out(call).dtype == "bool" else "bitwise"
        return binary(b, f"{kind}_{name}", call.args, call)

    return lowering


def binary(b: Builder, fn: str, operands: Sequence[Any], call: LayerCall) -> Tree:
    """A function of two operands, of which a known number is none."""
    made = out(call)
    known = number(replace(call, args=tuple(operands)))
    if known is not None:
        return known
    xs = [tensor(b, x) for x in operands if not uniform(x)]
    if not xs or all(x.shape != made.shape for x in xs):
        xs = [tensor(b, x) for x in operands]
    return _emit(b, fn, tuple(xs), made.dtype)


def _emit(b: Builder, fn: str, xs: tuple[Tensor, ...], dtype: str) -> Tensor:
    return b.emit("binary", xs, fn=fn, **extra(dtype, promote([x.dtype for x in xs])))


def _integer_pow(b: Builder, call: LayerCall) -> Tree:
    """A power by its multiplications: squares, and a product for every further bit."""
    made, power = out(call), int(call.config["y"])
    known = number(call)
    if known is not None:
        return known
    x = tensor(b, call.args[0])
    if power == 0:
        return b.fill(made.shape, made.dtype, "ones")
    result = x
    for bit in bin(abs(power))[3:]:
        result = b.unary("square", result)
        if bit == "1":
            result = b.binary("multiply", result, x)
    return b.unary("reciprocal", result) if power < 0 else result


def _cast(b: Builder, call: LayerCall) -> Tree:
    made = out(call)
    return number(call) or b.cast(tensor(b, call.args[0]), made.dtype)


def _bitcast(b: Builder, call: LayerCall) -> Tree:
    made, x = out(call), tensor(b, call.args[0])
    return (
        b.cast(x, made.dtype)
        if x.shape == made.shape
        else b.rearrange("bitcast", x, made.shape, made.dtype)
    )


def _select(b: Builder, call: LayerCall) -> Tree:
    """``select_n``: one of several by number; two are ``where``."""
    made = out(call)
    known = number(call)
    if known is not None:
        return known
    which, *cases = call.args
    result = cases[0]
    for case in cases[1:]:
        picked = [x for x in (result, case) if not uniform(x)]
        xs = [tensor(b, x) for x in (which, *picked)]
        if all(x.shape != made.shape for x in xs):
            xs = [tensor(b, x) for x in (which, result, case)]
        result = b.emit("select", tuple(xs), dtype=made.dtype)
    return result


def _clamp(b: Builder, call: LayerCall) -> Tree:
    """A value between a least and a most."""
    known = number(call)
    if known is not None:
        return known
    least, x, most = call.args
    if uniform(least) and uniform(most):
        return b.unary("clip", tensor(b, x))
    return binary(b, "minimum", (binary(b, "maximum", (x, least), call), most), call)


def _same(b: Builder, call: LayerCall) -> Tree:
    """The same tensors: views, which need no node of their own."""
    return list(call.args)


OPS: Mapping[str, Lowering] = {
    **{f"jax:{name}": _unary(fn) for name, fn in _UNARY.items()},
    **{f"jax:{name}": _binary(fn) for name, fn in _BINARY.items()},
    **{f"jax:{name}": _bitwise(name) for name in ("and", "or", "xor")},
    "jax:not": _not,
    "jax:population_count": _unary("bitwise_not"),
    "jax:clz": _unary("bitwise_not"),
    "jax:integer_pow": _integer_pow,
    "jax:convert_element_type": _cast,
    "jax:bitcast_convert_type": _bitcast,
    "jax:select_n": _select,
    "jax:clamp": _clamp,
    **{
        f"jax:{name}": _same
        for name in (
            "copy", "copy_p", "name", "optimization_barrier", "reduce_precision",
            "sharding_constraint", "stop_gradient", "device_put", "mesh_cast", "reshard",
            "layout_constraint", "pvary",
        )
    },
}  # fmt: skip
"""Primitive key → its lowering."""
