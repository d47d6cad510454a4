"""``keras.ops.linalg``: factorisations are opaque, norms that are reductions are exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.ops_arguments import required
from costlens.frontends.lowering.ops_common import axes_of
from costlens.ir.types import Shape, TensorType, is_complex, is_float

_INF = float("inf")


Shapes = Callable[[Shape, Mapping[str, Any]], Sequence[Shape]]


def factorisation(fn: str, shapes: Shapes) -> Lowering:
    """An opaque op on one matrix (…, m, n); ``shapes`` gives its outputs' shapes."""

    def lowering(b: Builder, call: LayerCall) -> Any:
        x = call.x
        types = [TensorType(shape, x.dtype) for shape in shapes(x.shape, call.config)]
        made = b.opaque(fn, (x,), *types)
        return made[0] if len(made) == 1 else list(made)

    return lowering


def _qr(shape: Shape, config: Mapping[str, Any]) -> Sequence[Shape]:
    *batch, m, n = shape
    k = m if config.get("mode") == "complete" else min(m, n)
    return (*batch, m, k), (*batch, k, n)


def _svd(shape: Shape, config: Mapping[str, Any]) -> Sequence[Shape]:
    *batch, m, n = shape
    k = min(m, n)
    full = config.get("full_matrices", True)
    if not config.get("compute_uv", True):
        return ((*batch, k),)
    return (*batch, m, m if full else k), (*batch, k), (*batch, n if full else k, n)


def _solve(fn: str) -> Lowering:
    """a·x = b, of the shape of b."""

    def lowering(b: Builder, call: LayerCall) -> Tensor:
        left = required(b, call, 0, "a")
        right = required(b, call, 1, "b", left.dtype)
        return b.opaque(fn, (left, right), right.type)[0]

    return lowering


def _lstsq(b: Builder, call: LayerCall) -> Tensor:
    left = required(b, call, 0, "a")
    right = required(b, call, 1, "b", left.dtype)
    type_ = TensorType((left.shape[1], *right.shape[1:]), left.dtype)
    return b.opaque("lstsq", (left, right), type_)[0]


def _matrix_rank(b: Builder, call: LayerCall) -> Tensor:
    return b.opaque("matrix_rank", (call.x,), TensorType(call.x.shape[:-2], "int32"))[0]


def vector_norm(
    b: Builder, x: Tensor, order: float | None, axes: Sequence[int], keepdims: bool
) -> Tensor:
    """(Σ|x|ᵖ)^(1/p) over axes; p = ∞, -∞ and 0 are a maximum, a minimum and a count."""
    if order in (None, 2):
        return b.unary("sqrt", b.reduce("sum", b.unary("square", x), axes, keepdims))
    if order in (_INF, -_INF):
        return b.reduce("max" if order == _INF else "min", b.unary("abs", x), axes, keepdims)
    if order == 0:
        return b.reduce("count_nonzero", b.compare("not_equal", x, 0), axes, keepdims, x.dtype)
    assert order is not None
    powers = b.binary("power", b.unary("abs", x), float(order))
    return b.binary("power", b.reduce("sum", powers, axes, keepdims), 1.0 / order)


def _matrix_norm(b: Builder, x: Tensor, order: Any, axes: Sequence[int], keepdims: bool) -> Tensor:
    """±1 and ±∞: the largest or smallest column or row sum; ±2 and nuclear take an SVD."""
    row, column = axes
    if order in (None, "fro"):
        return vector_norm(b, x, 2, axes, keepdims)
    if order in ("nuc", 2, -2):
        shape = [1 if a in axes else n for a, n in enumerate(x.shape) if keepdims or a not in axes]
        return b.opaque("matrix_norm", (x,), TensorType(tuple(shape), x.dtype))[0]
    summed, picked = (row, column) if abs(order) == 1 else (column, row)
    sums = b.reduce("sum", b.unary("abs", x), summed, True)
    best = b.reduce("max" if order > 0 else "min", sums, picked, True)
    rest = [n for axis, n in enumerate(x.shape) if axis not in axes]
    return best if keepdims else b.reshape(best, rest)


def _norm(b: Builder, call: LayerCall) -> Tensor:
    """``norm(x, ord, axis)``: of vectors over one axis, of matrices over two, in floats."""
    config, x = call.config, call.x
    if not (is_float(x.dtype) or is_complex(x.dtype)):
        x = b.cast(x, "float32")
    axis, order = config.get("axis"), config.get("ord")
    keepdims = bool(config.get("keepdims"))
    if isinstance(axis, (list, tuple)) and len(axis) == 2:
        return _matrix_norm(b, x, order, [a % x.rank for a in axis], keepdims)
    if axis is None and x.rank == 2:
        return _matrix_norm(b, x, order, (0, 1), keepdims)
    return vector_norm(b, x, order, axes_of(axis, x.rank), keepdims)


OPS: Mapping[str, Lowering] = {
    "op:Cholesky": factorisation("cholesky", lambda s, c: (s,)),
    "op:CholeskyInverse": factorisation("cholesky_inverse", lambda s, c: (s,)),
    "op:Det": factorisation("det", lambda s, c: (s[:-2],)),
    "op:Eig": factorisation("eig", lambda s, c: (s[:-1], s)),
    "op:Eigh": factorisation("eigh", lambda s, c: (s[:-1], s)),
    "op:Inv": factorisation("inv", lambda s, c: (s,)),
    "op:Logdet": factorisation("logdet", lambda s, c: (s[:-2],)),
    "op:Lstsq": _lstsq,
    "op:LuFactor": factorisation("lu_factor", lambda s, c: (s, (*s[:-2], min(s[-2:])))),
    "op:MatrixRank": _matrix_rank,
    "op:Norm": _norm,
    "op:Pinv": factorisation("pinv", lambda s, c: ((*s[:-2], s[-1], s[-2]),)),
    "op:Qr": factorisation("qr", _qr),
    "op:SVD": factorisation("svd", _svd),
    "op:Solve": _solve("solve"),
    "op:SolveTriangular": _solve("solve_triangular"),
}
