"""What one element of each elementwise function costs.

A transcendental is one call of exp, log, sqrt, pow, erf or a trigonometric function; a sign
flip, a copy and a select are free, and a small integer power is its multiplications. Composite
functions are counted as Keras writes them, along the costliest branch.
"""

from __future__ import annotations

from collections.abc import Mapping

from costlens.cost.cost import ZERO, Cost

_ADD, _MUL, _DIV = Cost(adds=1), Cost(muls=1), Cost(divs=1)
_CMP, _TRN = Cost(comparisons=1), Cost(transcendentals=1)


def _each(names: str, cost: Cost) -> dict[str, Cost]:
    return dict.fromkeys(names.split(), cost)


_SIGMOID = _TRN
_SOFTPLUS = 2 * _TRN + _ADD

UNARY: Mapping[str, Cost] = {
    **_each("identity negative abs sign conj real imag copy stop_gradient", ZERO),
    **_each("floor ceil round trunc logical_not bitwise_not isfinite isinf isnan isneginf", _CMP),
    **_each("isposinf isreal signbit", _CMP),
    **_each("nan_to_num", 3 * _CMP),  # nan, +inf, -inf
    **_each("exp exp2 expm1 log log2 log10 log1p sqrt rsqrt cbrt sin cos tan sinh cosh tanh", _TRN),
    **_each("arcsin arccos arctan arcsinh arccosh arctanh erf erfc erfinv sigmoid angle", _TRN),
    **_each("i0 i0e i1 i1e j0 j1 k0 k0e k1 k1e y0 y1 gammaln digamma ndtri expi spence", _TRN),
    **_each("dawsn fresnel_cos fresnel_sin", _TRN),
    **_each("square deg2rad rad2deg scale", _MUL),
    **_each("reciprocal", _DIV),
    **_each("sinc", _TRN + _MUL + _DIV + _CMP),
    # activations
    "relu": _CMP,
    "relu6": 2 * _CMP,
    "clip": 2 * _CMP,
    "leaky_relu": _CMP + _MUL,
    "threshold": _CMP,
    "hard_shrink": _CMP,
    "soft_shrink": 2 * _CMP + _ADD,
    "tanh_shrink": _TRN + _ADD,
    "elu": _CMP + _TRN + _ADD + _MUL,
    "celu": _CMP + _TRN + _ADD + _MUL + _DIV,
    "selu": _CMP + _TRN + _ADD + 2 * _MUL,
    "softplus": _SOFTPLUS,
    "softsign": _ADD + _DIV,
    "squareplus": 2 * _ADD + _MUL + _DIV + _TRN,  # (x + √(x² + b)) / 2
    "log_sigmoid": _SOFTPLUS,
    "sparse_plus": 2 * _CMP + _ADD + 2 * _MUL,
    "sparse_sigmoid": 2 * _CMP + _ADD + _MUL,
    "silu": _SIGMOID + _MUL,
    "hard_sigmoid": 2 * _CMP + _ADD + _DIV,
    "hard_silu": 2 * _CMP + _ADD + _DIV + _MUL,
    "hard_tanh": 2 * _CMP,
    "gelu": _TRN + _ADD + 2 * _MUL + _DIV,  # 0.5 x (1 + erf(x / √2))
    "gelu_tanh": _TRN + 2 * _ADD + 6 * _MUL,  # 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))
    "mish": _SOFTPLUS + _TRN + _MUL,
}
"""Cost of one element, by function name."""

BINARY: Mapping[str, Cost] = {
    **_each("add subtract", _ADD),
    **_each("multiply", _MUL),
    **_each("divide floor_divide mod fmod", _DIV),
    **_each("divide_no_nan", _DIV + _CMP),
    **_each("maximum minimum fmax fmin equal not_equal less less_equal greater", _CMP),
    **_each("greater_equal logical_and logical_or logical_xor", _CMP),
    **_each("bitwise_and bitwise_or bitwise_xor left_shift right_shift copysign nextafter", ZERO),
    **_each("power arctan2", _TRN),
    **_each("prelu", 2 * _CMP + _MUL + _ADD),  # relu(x) - α relu(-x)
    **_each("heaviside", 2 * _CMP),
    **_each("hypot", 2 * _MUL + _ADD + _TRN),
    **_each("ldexp", _TRN + _MUL),
    **_each("logaddexp", 2 * _TRN + 2 * _ADD + _CMP),  # max(a, b) + log1p(exp(-|a - b|))
    **_each("logaddexp2", 2 * _TRN + 2 * _ADD + _MUL + _DIV + _CMP),  # the same in ln 2
    **_each("isclose", 2 * _ADD + _MUL + _CMP),  # |a - b| ≤ atol + rtol |b|
    **_each("squared_difference", _ADD + _MUL),
    **_each("gammainc gammaincc polygamma zeta", _TRN),
    # gradients: of what is above, times what is known of the function's operand x or result y
    **_each("relu_grad", _CMP),
    **_each("relu6_grad", 2 * _CMP),
    **_each("leaky_relu_grad", _CMP + _MUL),
    **_each("elu_grad selu_grad", _CMP + _ADD + _MUL),
    **_each("sigmoid_grad tanh_grad", _ADD + 2 * _MUL),  # dy y (1 - y), dy (1 - y²)
    **_each("softplus_grad", _SIGMOID + _MUL),
    **_each("softsign_grad", _ADD + _MUL + _DIV),  # dy / (1 + |x|)²
    **_each("sqrt_grad", _MUL + _DIV),  # dy / 2 / y
    **_each("rsqrt_grad", 4 * _MUL),  # -dy y³ / 2
    **_each("reciprocal_grad", 2 * _MUL),  # -dy y²
}
"""Cost of one output element, by function name."""
