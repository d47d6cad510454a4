"""Traced operations that reduce, reshape, move or look up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from costlens.frontends.layercall import LayerCall, Tensor, Tree
from costlens.frontends.lowering.build import Builder, Lowering
from costlens.frontends.lowering.jax_common import FEW, Flipped, Number, extra, number, out, uniform
from costlens.frontends.lowering.operands import tensor, tensors

_REDUCE = {
    "reduce_and": "all", "reduce_max": "max", "reduce_min": "min", "reduce_or": "any",
    "reduce_prod": "prod", "reduce_sum": "sum", "reduce_xor": "any",
}  # fmt: skip

_CUMULATIVE = {
    "cumlogsumexp": "cumsum", "cummax": "cummax", "cummin": "cummax", "cumprod": "cumprod",
    "cumsum": "cumsum",
}  # fmt: skip

_OPAQUE = (
    "approx_top_k cholesky cholesky_update clustered_top_k custom_linear_solve eig eigh "
    "fft geqp3 geqrf hessenberg "
    "householder_product lu lu_pivots_to_permutation lu_solve ormqr qr random_gamma schur sort "
    "svd sylvester symmetric_product top_k triangular_solve tridiagonal tridiagonal_solve"
).split()
"""Operations of known storage whose arithmetic nobody counts."""

_RANDOM = (
    "random_bits random_clone random_fold_in random_seed random_split random_unwrap random_wrap "
    "rng_bit_generator rng_uniform threefry2x32"
).split()


def _free(lowering: Lowering) -> Lowering:
    """The lowering, but of known numbers alone, which cost nothing."""

    def lowered(b: Builder, call: LayerCall) -> Tree:
        known = number(call)
        return lowering(b, call) if known is None else known

    return lowered


def _reduce(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        return b.reduce(fn, tensor(b, call.args[0]), tuple(call.config["axes"]))

    return _free(lowering)


def _arg(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x = tensor(b, call.args[0])
        return b.reduce(fn, x, tuple(call.config["axes"]), dtype=out(call).dtype)

    return _free(lowering)


def _cumulative(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x = tensor(b, call.args[0])
        return b.emit("cumulative", (x,), fn=fn, axis=int(call.config["axis"]))

    return _free(lowering)


def _reshape(b: Builder, call: LayerCall) -> Tree:
    return b.reshape(tensor(b, call.args[0]), out(call).shape)


def _transpose(b: Builder, call: LayerCall) -> Tree:
    x, perm = call.args[0], tuple(int(i) for i in call.config["permutation"])
    if isinstance(x, Flipped):
        return Flipped(x.of, tuple(x.perm[i] for i in perm), x.axes)
    return b.transpose(tensor(b, x), perm)


def _flip(b: Builder, call: LayerCall) -> Tree:
    """A kernel is turned around for a transposed convolution, which needs no copy."""
    x, axes = call.args[0], [int(axis) for axis in call.config["dimensions"]]
    if isinstance(x, Flipped):
        turned = x.axes ^ {x.perm[axis] for axis in axes}
        return Flipped(x.of, x.perm, turned) if turned else b.transpose(x.of, x.perm)
    x = tensor(b, x)
    if x.id in b.weights or x.id in b.constants:
        return Flipped(x, tuple(range(x.rank)), frozenset(axes))
    return b.rearrange("flip", x, x.shape)


def _broadcast(b: Builder, call: LayerCall) -> Tree:
    """Broadcasting to other axes: a view where nothing is repeated."""
    x, made = tensor(b, call.args[0]), out(call)
    axes = tuple(call.config["broadcast_dimensions"])
    sizes = [x.shape[axes.index(i)] if i in axes else 1 for i in range(len(made.shape))]
    x = b.reshape(x, sizes)
    return x if x.shape == made.shape else b.broadcast(x, made.shape)


def _broadcast_number(b: Builder, call: LayerCall) -> Tree:
    x, made = call.args[0], out(call)
    return Number(made, True) if uniform(x) else _free(_broadcast)(b, call)


def _concat(b: Builder, call: LayerCall) -> Tree:
    xs = tensors(b, call)
    return b.concat(xs, int(call.config["dimension"])) if len(xs) > 1 else xs[0]


def _stack(b: Builder, call: LayerCall) -> Tree:
    axis = int(call.config["axis"])
    xs = [b.reshape(x, (*x.shape[:axis], 1, *x.shape[axis:])) for x in tensors(b, call)]
    return b.concat(xs, axis) if len(xs) > 1 else xs[0]


def _unstack(b: Builder, call: LayerCall) -> Tree:
    """A part for each output."""
    x = tensor(b, call.args[0])
    return [b.slice(x, out(call, i).shape, f"part {i}") for i in range(len(call.expected))]


def _slice(b: Builder, call: LayerCall) -> Tree:
    x, made = tensor(b, call.args[0]), out(call)
    return b.slice(x, made.shape) if x.type.size != made.size else b.reshape(x, made.shape)


def _dynamic_slice(b: Builder, call: LayerCall) -> Tree:
    x, made = tensor(b, call.args[0]), out(call)
    return b.slice(x, made.shape, "at a computed place")


def _update(b: Builder, call: LayerCall) -> Tree:
    x, update = (tensor(b, leaf) for leaf in call.args[:2])
    return b.emit("scatter", (x, update), shape=x.shape, fn="set")


def _pad(b: Builder, call: LayerCall) -> Tree:
    """Elements added at the borders; taken off, or put between, it is other data movement."""
    x, made = tensor(b, call.args[0]), out(call)
    config = [tuple(int(n) for n in each) for each in call.config["padding_config"]]
    if not any(map(any, config)):
        return x
    if any(low < 0 or high < 0 or between for low, high, between in config):
        return b.rearrange("pad", x, made.shape)
    return b.pad(x, [(low, high) for low, high, _ in config])


def _gather(b: Builder, call: LayerCall) -> Tree:
    x, where = call.args[:2]
    operands = [tensor(b, x)] + [tensor(b, where)] * isinstance(where, Tensor)
    return b.gather(operands, out(call).shape, out(call).dtype)


def _scatter(fn: str) -> Lowering:
    def lowering(b: Builder, call: LayerCall) -> Tree:
        x, _, updates = call.args[:3]
        operands = (tensor(b, x), tensor(b, updates))
        return b.emit("scatter", operands, shape=out(call).shape, fn=fn)

    return lowering


def _iota(b: Builder, call: LayerCall) -> Tree:
    made = out(call)
    known = made.size <= FEW or "image" in call.config["purposes"]
    return Number(made, False) if known else b.fill(made.shape, made.dtype, "arange")


def _empty(b: Builder, call: LayerCall) -> Tree:
    return b.fill(out(call).shape, out(call).dtype, "empty")


def _tile(b: Builder, call: LayerCall) -> Tree:
    x, made = tensor(b, call.args[0]), out(call)
    return x if x.shape == made.shape else b.broadcast(x, made.shape)


def _opaque(b: Builder, call: LayerCall) -> Tree:
    types = [out(call, i) for i in range(len(call.expected))]
    return b.opaque(call.layer.kind, tensors(b, call), *types)


def _random(b: Builder, call: LayerCall) -> Tree:
    types: list[Any] = [out(call, i) for i in range(len(call.expected))]
    return [b.fill(t.shape, t.dtype, "random") for t in types]


def _any_reduce(b: Builder, call: LayerCall) -> Tree:
    """``reduce`` with a function of its own: read as a sum of each operand."""
    axes = tuple(call.config["dimensions"])
    half = len(call.expected)
    xs = [tensor(b, x) for x in call.args[:half]]
    return [
        b.emit("reduce", (x,), fn="sum", axes=axes, **extra(out(call, i).dtype, x.dtype))
        for i, x in enumerate(xs)
    ]


OPS: Mapping[str, Lowering] = {
    **{f"jax:{name}": _reduce(fn) for name, fn in _REDUCE.items()},
    "jax:reduce": _any_reduce,
    "jax:argmax": _arg("argmax"),
    "jax:argmin": _arg("argmin"),
    **{f"jax:{name}": _cumulative(fn) for name, fn in _CUMULATIVE.items()},
    **{f"jax:{name}": _free(_reshape) for name in ("reshape", "squeeze", "expand_dims")},
    "jax:transpose": _free(_transpose),
    "jax:rev": _free(_flip),
    "jax:broadcast_in_dim": _broadcast_number,
    "jax:tile": _free(_tile),
    "jax:concatenate": _free(_concat),
    "jax:slice": _free(_slice),
    "jax:dynamic_slice": _free(_dynamic_slice),
    "jax:split": _unstack,
    "jax:unstack": _unstack,
    "jax:stack": _free(_stack),
    "jax:dynamic_update_slice": _update,
    "jax:pad": _free(_pad),
    "jax:gather": _free(_gather),
    "jax:scatter": _scatter("set"),
    "jax:scatter-add": _scatter("add"),
    "jax:scatter-sub": _scatter("add"),
    "jax:scatter-mul": _scatter("multiply"),
    "jax:scatter-max": _scatter("max"),
    "jax:scatter-min": _scatter("min"),
    **{f"jax:scatter_{fn[:3]}": _scatter(fn) for fn in ("add", "multiply", "max", "min")},
    "jax:iota": _iota,
    "jax:empty": _empty,
    "jax:empty2": _empty,
    **{f"jax:{name}": _opaque for name in _OPAQUE},
    **{f"jax:{name}": _random for name in _RANDOM},
}
"""Primitive key → its lowering."""
