"""Contractions of ``keras.ops``: einsum with any operands, matmul, dot, tensordot, …

Every contraction becomes two-operand ``einsum`` nodes in explicit notation. Products that sum
nothing (outer, kron, cross) are multiplications, as Keras computes them.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence

import numpy as np

from costlens.frontends.layercall import Constant, LayerCall, Tensor
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.ops_common import (
    Operand,
    common,
    dtype_name,
    flat,
    listed,
    narrowed,
    retyped,
)
from costlens.ir.types import Shape, TensorType

_LETTERS = string.ascii_letters

Term = tuple[str, Tensor]
"""An operand of a contraction and its labels, one per axis."""


# -- einsum ---------------------------------------------------------------------------------


def einsum(
    b: Builder, equation: str, operands: Sequence[Tensor], dtype: str | None = None, label: str = ""
) -> Tensor:
    """Einsum in any notation numpy takes, as explicit contractions of two operands.

    Diagonals are taken and labels that only one operand has are summed first; more than two
    operands are contracted pairwise in the order of numpy's ``einsum_path("optimal")``. One
    operand is transposed and reduced.
    """
    inputs, out = explicit(equation, [x.shape for x in operands])
    wanted = dtype or b.dtype_of(*operands)
    terms = [_diagonal(b, labels, x) for labels, x in zip(inputs, operands, strict=True)]
    for step in _path(terms, out):
        picked = [terms[i] for i in sorted(step)]
        terms = [term for i, term in enumerate(terms) if i not in step]
        kept = out + "".join(labels for labels, _ in terms)
        term = picked[0]
        for count, other in enumerate(picked[1:], 2):
            ahead = "".join(labels for labels, _ in picked[count:])
            last = not terms and count == len(picked)
            term = _contract(b, term, other, out if last else kept + ahead, last, wanted, label)
        terms.append(term)
    labels, x = _reduced(b, terms[0], out, wanted)
    return b.cast(b.transpose(x, [labels.index(c) for c in out]), wanted)


def explicit(equation: str, shapes: Sequence[Shape]) -> tuple[list[str], str]:
    """An equation as input labels and output labels, without blanks, ellipses or implied parts.

    The axes of an ellipsis get letters of their own, aligned at the right; an implicit output
    is the ellipsis and then, sorted, the labels that stand once.
    """
    left, arrow, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum {equation} has {len(terms)} terms for {len(shapes)} operands")
    if not arrow:
        letters = left.replace("...", "").replace(",", "")
        out = "..." * ("..." in left) + "".join(sorted(c for c in letters if letters.count(c) == 1))
    extra = [
        len(shape) - len(term.replace("...", "")) if "..." in term else 0
        for term, shape in zip(terms, shapes, strict=True)
    ]
    free = [c for c in _LETTERS if c not in equation][: max(extra)]
    inputs = [
        t.replace("...", "".join(free[len(free) - n :])) for t, n in zip(terms, extra, strict=True)
    ]
    return inputs, out.replace("...", "".join(free))


def _path(terms: Sequence[Term], out: str) -> list[tuple[int, ...]]:
    """Which terms to contract at each step; zero-stride arrays stand for the operands."""
    if len(terms) < 3:
        return [tuple(range(len(terms)))] if len(terms) == 2 else []
    sizes: dict[str, int] = {}
    for labels, x in terms:
        for c, n in zip(labels, x.shape, strict=True):
            sizes[c] = n if sizes.get(c, 1) == 1 else sizes[c]
    arrays = [np.broadcast_to(np.int8(0), [sizes[c] for c in labels]) for labels, _ in terms]
    equation = ",".join(labels for labels, _ in terms) + "->" + out
    return list(np.einsum_path(equation, *arrays, optimize="optimal")[0][1:])


def _diagonal(b: Builder, labels: str, x: Tensor) -> Term:
    """The diagonal over axes that share a label: each label once."""
    once = "".join(dict.fromkeys(labels))
    if once == labels:
        return labels, x
    return once, b.rearrange("diagonal", x, [x.shape[labels.index(c)] for c in once])


def _reduced(b: Builder, term: Term, kept: str, dtype: str) -> Term:
    """The term summed over the labels that nothing else needs."""
    labels, x = term
    axes = [axis for axis, c in enumerate(labels) if c not in kept]
    if not axes:
        return term
    return "".join(c for c in labels if c in kept), b.reduce("sum", x, axes, dtype=dtype)


def _contract(
    b: Builder, one: Term, two: Term, kept: str, last: bool, dtype: str, label: str
) -> Term:
    """Two terms as one einsum node; ``kept`` in its order where this is the last one."""
    one, two = _reduced(b, one, kept + two[0], dtype), _reduced(b, two, kept + one[0], dtype)
    both = dict.fromkeys(one[0] + two[0])
    out = kept if last else "".join(c for c in both if c in kept)
    return out, b.einsum(f"{one[0]},{two[0]}->{out}", one[1], two[1], dtype, label)


def _einsum(b: Builder, call: LayerCall) -> Tensor:
    """``ops.einsum``: int8 operands accumulate in int32."""
    operands = [_tensor(b, call, x, i) for i, x in enumerate(call.args)]
    dtype = "int32" if {x.dtype for x in operands} == {"int8"} else common(call, *operands)
    return einsum(b, call.config["subscripts"], operands, dtype)


def _tensor(b: Builder, call: LayerCall, x: Operand, position: int) -> Tensor:
    """A scalar operand as a constant of rank 0."""
    if isinstance(x, Tensor):
        return x
    dtype = {"int": "int64", "float": "float32"}.get(dtype_name(x), dtype_name(x))
    return b.constant(Constant(TensorType((), dtype), (call.layer.identity, position)))


# -- products of two tensors ----------------------------------------------------------------


def _pair(b: Builder, call: LayerCall) -> tuple[Operand, Operand, str]:
    """Both operands and the dtype of their product."""
    one, two = call.arg(0, "x1"), call.arg(1, "x2")
    return one, two, common(call, one, two)


def _multiplied(b: Builder, one: Operand, two: Operand, dtype: str) -> Tensor:
    return b.binary("multiply", one, two, dtype)


def _rank(x: Operand) -> int:
    return x.rank if isinstance(x, Tensor) else 0


def _matmul(b: Builder, call: LayerCall) -> Tensor:
    """Matrix product over the last two axes, the others broadcast; a 1-D operand is a vector."""
    one, two, dtype = _pair(b, call)
    assert isinstance(one, Tensor) and isinstance(two, Tensor)
    if one.dtype == two.dtype == "int8":
        dtype = "int32"
    batch = _LETTERS[: max(one.rank, two.rank, 2) - 2]
    left = batch[len(batch) - max(one.rank - 2, 0) :] + ("y" if one.rank == 1 else "xy")
    right = batch[len(batch) - max(two.rank - 2, 0) :] + ("y" if two.rank == 1 else "yz")
    out = batch + "x" * (one.rank > 1) + "z" * (two.rank > 1)
    return _declared(b, call, b.einsum(f"{left},{right}->{out}", one, two, dtype, "matmul"))


def _declared(b: Builder, call: LayerCall, y: Tensor) -> Tensor:
    """Older versions of Keras declare products with a 1-D operand in another rank."""
    shape = call.expected[0][0] if call.expected else y.shape
    if len(shape) == y.rank or None in shape:
        return y
    return retyped(b, y, tuple(n or 0 for n in shape), y.dtype)


def _contracted(
    b: Builder, one: Tensor, two: Tensor, axes: tuple[list[int], list[int]], dtype: str, label: str
) -> Tensor:
    """The sum of products over paired axes; the axes left over follow one another."""
    left = list(_LETTERS[: one.rank])
    right = list(_LETTERS[one.rank : one.rank + two.rank])
    for i, j in zip(*axes, strict=True):
        right[j] = left[i]
    out = [c for c in left if c not in right] + [c for c in right if c not in left]
    equation = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    return b.einsum(equation, one, two, dtype, label)


def _tensordot(b: Builder, call: LayerCall) -> Tensor:
    one, two, dtype = _pair(b, call)
    assert isinstance(one, Tensor) and isinstance(two, Tensor)
    axes = call.config.get("axes", 2)
    if isinstance(axes, int):
        count = max(axes, 0)
        pairs = list(range(one.rank - count, one.rank)), list(range(count))
    else:
        first, second = (listed(a) for a in axes)
        pairs = [int(a) % one.rank for a in first], [int(a) % two.rank for a in second]
    return _contracted(b, one, two, pairs, dtype, "tensordot")


def _dot(b: Builder, call: LayerCall) -> Tensor:
    """The last axis of x1 with the second to last of x2, or its only one."""
    one, two, dtype = _pair(b, call)
    if not (isinstance(one, Tensor) and isinstance(two, Tensor) and one.rank and two.rank):
        return _multiplied(b, one, two, dtype)
    return _contracted(b, one, two, ([one.rank - 1], [max(two.rank - 2, 0)]), dtype, "dot")


def _inner(b: Builder, call: LayerCall) -> Tensor:
    """The last axes of both."""
    one, two, dtype = _pair(b, call)
    if not (isinstance(one, Tensor) and isinstance(two, Tensor) and one.rank and two.rank):
        return _declared(b, call, _multiplied(b, one, two, dtype))
    y = _contracted(b, one, two, ([one.rank - 1], [two.rank - 1]), dtype, "inner")
    return _declared(b, call, y)


def _vdot(b: Builder, call: LayerCall) -> Tensor:
    """The product of both as flat vectors."""
    one, two, dtype = _pair(b, call)
    if not (isinstance(one, Tensor) and isinstance(two, Tensor)):
        return b.reshape(_multiplied(b, one, two, dtype), ())
    return b.einsum("a,a->", flat(b, one), flat(b, two), dtype, "vdot")


def _outer(b: Builder, call: LayerCall) -> Tensor:
    """Every element of one times every element of the other: nothing is summed."""
    one, two, dtype = _pair(b, call)
    column = b.reshape(one, (-1, 1)) if isinstance(one, Tensor) else one
    row = b.reshape(two, (1, -1)) if isinstance(two, Tensor) else two
    return _multiplied(b, column, row, dtype)


def _kron(b: Builder, call: LayerCall) -> Tensor:
    """Kronecker product; Keras declares as many axes as the operand with fewer has."""
    one, two, dtype = _pair(b, call)
    assert isinstance(one, Tensor) and isinstance(two, Tensor)
    rank = max(one.rank, two.rank)
    first, second = ((1,) * (rank - x.rank) + x.shape for x in (one, two))
    y = _multiplied(
        b,
        b.reshape(one, [n for size in first for n in (size, 1)]),
        b.reshape(two, [n for size in second for n in (1, size)]),
        dtype,
    )
    y = b.reshape(y, [m * n for m, n in zip(first, second, strict=True)])
    declared = tuple(m * n for m, n in zip(one.shape, two.shape, strict=False))
    return retyped(b, y, declared, dtype)


def _cross(b: Builder, call: LayerCall) -> Tensor:
    """Cross product of vectors of 3 (a missing third component is 0): 6 products, 3 differences.

    Two vectors of 2 give the third component alone, out of the same computation.
    """
    one, two, dtype = _pair(b, call)
    assert isinstance(one, Tensor) and isinstance(two, Tensor)
    config, axis = call.config, call.config.get("axis")
    axes = [config.get(n, -1) if axis is None else axis for n in ("axisa", "axisb", "axisc")]
    planar = one.shape[axes[0]] == two.shape[axes[1]] == 2
    left, right = (_vectors(b, x, a) for x, a in ((one, axes[0]), (two, axes[1])))
    ahead, behind = (_multiplied(b, left, right, dtype) for _ in range(2))
    y = b.binary("subtract", ahead, behind)
    if planar:
        return b.slice(y, y.shape[:-1], "..., 2")
    last = axes[2] % y.rank
    order = list(range(y.rank - 1))
    return b.transpose(y, [*order[:last], y.rank - 1, *order[last:]])


def _vectors(b: Builder, x: Tensor, axis: int) -> Tensor:
    """The axis of components last, and three long."""
    axis %= x.rank
    x = b.transpose(x, [*(a for a in range(x.rank) if a != axis), axis])
    if x.shape[-1] == 3:
        return x
    return b.pad(x, [*((0, 0),) * (x.rank - 1), (0, 3 - x.shape[-1])])


def _correlate(b: Builder, call: LayerCall) -> Tensor:
    """Cross-correlation of two vectors: a 1-D convolution with one channel."""
    one, two, dtype = _pair(b, call)
    assert isinstance(one, Tensor) and isinstance(two, Tensor)
    mode, n, m = call.config.get("mode", "valid"), one.type.size, two.type.size
    if dtype not in ("bfloat16", "float16", "float64"):
        dtype = narrowed(call, "float64" if dtype == "int64" else "float32")
    if mode == "valid" and n < m:
        one, two, n, m = two, one, m, n
    one, two = b.cast(one, dtype), b.cast(two, dtype)
    if mode != "valid" and m > 1:
        one = b.pad(one, ((m - 1, m - 1),))
    y = flat(b, _correlation(b, one, two))
    if mode != "same":
        return y
    start = (n + m - 1 - max(n, m)) // 2
    return b.take(y, 0, start, start + max(n, m))


def _correlation(b: Builder, x: Tensor, kernel: Tensor) -> Tensor:
    return b.emit(
        "conv",
        (b.reshape(x, (1, x.type.size, 1)), b.reshape(kernel, (kernel.type.size, 1, 1))),
        label="correlate",
        strides=(1,),
        padding=((0, 0),),
        dilation=(1,),
        groups=1,
        channels_last=True,
    )


def _corrcoef(b: Builder, call: LayerCall) -> Tensor:
    """Correlation of rows: centred, XXᵀ/(m-1), over the products of standard deviations.

    Keras declares the shape of its input.
    """
    x = call.x
    dtype = "float64" if x.dtype == "int64" else common(call, x, 0.0)
    x = b.cast(b.reshape(x, x.shape if x.rank > 1 else (1, x.type.size)), narrowed(call, dtype))
    centred = b.binary("subtract", x, b.reduce("mean", x, -1, keepdims=True))
    batch = _LETTERS[: max(x.rank - 2, 0)]
    y = b.einsum(f"{batch}xy,{batch}zy->{batch}xz", centred, centred, label="covariance")
    y = b.binary("divide", y, float(max(x.shape[-1] - 1, 1)))
    spread = b.unary("sqrt", b.rearrange("diagonal", y, y.shape[:-1]))
    column, row = b.reshape(spread, (*y.shape[:-1], 1)), b.reshape(spread, (*y.shape[:-2], 1, -1))
    y = b.binary("divide", y, b.binary("multiply", column, row))
    return retyped(b, b.unary("clip", y), call.x.shape, x.dtype)


OPS: Mapping[str, Lowering] = {
    "op:Einsum": _einsum,
    "op:Matmul": _matmul,
    "op:Tensordot": _tensordot,
    "op:Dot": _dot,
    "op:Inner": _inner,
    "op:Vdot": _vdot,
    "op:Outer": _outer,
    "op:Kron": _kron,
    "op:Cross": _cross,
    "op:Correlate": _correlate,
    "op:Corrcoef": _corrcoef,
}
