"""MACs of Keras models counted on JAX's jaxpr: `python -m tests.oracles.jaxpr TARGET...`.

A TARGET is `package.module:name`, a callable that returns a model. `keras.applications` get
`weights=None`. JSON goes to stdout: `{TARGET: {"macs": ..., "by_layer": {...}}}`, or an "error".
Keras keeps one backend per process, so tests run this in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import keras
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval
from keras.src.backend.common import global_state

_PENDING = "uninitialized_variables"
_MOST_STEPS = 1_000_000


class CannotCount(ValueError):
    """The jaxpr holds something whose MACs this counter does not know."""


def jaxpr_of(
    model: keras.Model, batch: int = 1, open_shape: tuple[int, ...] | None = None
) -> core.ClosedJaxpr:
    """The jaxpr of the model's outputs, from shapes alone.

    `open_shape`, without the batch, is for inputs that leave a dimension open.
    """
    shapes = []
    for tensor in model.inputs:
        first, *rest = tensor.shape
        if None in rest and open_shape is not None:
            rest = list(open_shape)
        settled = (batch if first is None else first, *rest)
        if None in settled:
            raise CannotCount(f"input {tensor.name!r} is {tuple(tensor.shape)}")
        shapes.append(jax.ShapeDtypeStruct(settled, tensor.dtype))

    def call(trainable: list, frozen: list, flat: list) -> Any:
        one = isinstance(model, keras.Sequential)
        packed = flat[0] if one else keras.tree.pack_sequence_as(model.input, flat)
        return model.stateless_call(trainable, frozen, packed, training=False)[0]

    def specs(variables: Sequence) -> list:
        return [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in variables]

    return jax.make_jaxpr(call)(
        specs(model.trainable_variables), specs(model.non_trainable_variables), shapes
    )


def count(
    build: Callable[[], keras.Model], batch: int = 1, open_shape: tuple[int, ...] | None = None
) -> dict[str, int]:
    """Nominal MACs by layer of the model that `build` returns, its weights not allocated."""
    before = list(global_state.get_global_attribute(_PENDING) or [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = build()
            closed = jaxpr_of(model, batch, open_shape)
    finally:
        global_state.set_global_attribute(_PENDING, before)
    macs: dict[str, int] = {}
    for path, found in _walk(closed.jaxpr, 1, ""):
        macs[path] = macs.get(path, 0) + found
    return {path: found for path, found in macs.items() if found}


def _walk(jaxpr: core.Jaxpr, times: int, prefix: str) -> Iterator[tuple[str, int]]:
    """(name stack, MACs) of every live contraction, called jaxprs included."""
    producers = {var: eqn for eqn in jaxpr.eqns for var in eqn.outvars}
    for eqn in _live(jaxpr):
        name = eqn.primitive.name
        path = "/".join(part for part in (prefix, str(eqn.source_info.name_stack)) if part)
        if name == "conv_general_dilated":
            yield path, times * _convolution(eqn, producers)
        elif name == "dot_general":
            yield path, 0 if _interpolates(eqn) else times * _product(eqn)
        elif name == "scan":
            yield from _walk(eqn.params["jaxpr"].jaxpr, times * eqn.params["length"], path)
        elif name == "while":
            trips = _trips(eqn, producers)
            yield from _walk(eqn.params["body_jaxpr"].jaxpr, times * trips, path)
        elif name == "cond":
            branches = [list(_walk(b.jaxpr, times, path)) for b in eqn.params["branches"]]
            yield from max(branches, key=lambda found: sum(macs for _, macs in found))
        elif name in ("ragged_dot", "ragged_dot_general", "scaled_dot", "pallas_call"):
            raise CannotCount(f"{path} holds a {name}")
        else:
            for inner in _called(eqn):
                yield from _walk(inner, times, path)


def _called(eqn: core.JaxprEqn) -> list[core.Jaxpr]:
    """The jaxprs in an equation's parameters (pjit, custom_jvp_call, checkpoint and the like)."""
    found = []
    for value in eqn.params.values():
        for item in value if isinstance(value, (tuple, list)) else [value]:
            if isinstance(item, core.ClosedJaxpr):
                found.append(item.jaxpr)
            elif isinstance(item, core.Jaxpr):
                found.append(item)
    return found


def _live(jaxpr: core.Jaxpr) -> list[core.JaxprEqn]:
    """The equations that the outputs depend on, in order."""
    wanted = {var for var in jaxpr.outvars if not isinstance(var, core.Literal)}
    live = []
    for eqn in reversed(jaxpr.eqns):
        if wanted.intersection(eqn.outvars):
            live.append(eqn)
            wanted.update(var for var in eqn.invars if not isinstance(var, core.Literal))
    return live[::-1]


def _convolution(eqn: core.JaxprEqn, producers: dict) -> int:
    """Output positions, or input positions where the convolution is a transposed one."""
    numbers = eqn.params["dimension_numbers"]
    image, kernel = (var.aval.shape for var in eqn.invars)
    c_out, fan_in, *taps = (kernel[axis] for axis in numbers.rhs_spec)
    if _transposed(eqn, producers):
        return prod(image) * prod(taps) * c_out // eqn.params["feature_group_count"]
    return prod(eqn.outvars[0].aval.shape) * prod(taps) * fan_in


def _transposed(eqn: core.JaxprEqn, producers: dict) -> bool:
    """The input is dilated, or the kernel flipped, as only a transposed convolution does."""
    if any(step > 1 for step in eqn.params["lhs_dilation"]):
        return True
    made = producers.get(eqn.invars[1])
    while made is not None and made.primitive.name in ("transpose", "convert_element_type"):
        made = producers.get(made.invars[0])
    return made is not None and made.primitive.name == "rev"


def _interpolates(eqn: core.JaxprEqn) -> bool:
    """Whether jax.image made it: a resize multiplies by matrices of interpolation weights."""
    traceback = eqn.source_info.traceback
    files = [] if traceback is None else [frame.file_name for frame in traceback.frames]
    return any("jax/_src/image/" in file.replace("\\", "/") for file in files)


def _product(eqn: core.JaxprEqn) -> int:
    (contract, _), _ = eqn.params["dimension_numbers"]
    left = eqn.invars[0].aval.shape
    return prod(eqn.outvars[0].aval.shape) * prod(left[axis] for axis in contract)


def _trips(eqn: core.JaxprEqn, producers: dict) -> int:
    """How often a while loop runs, by playing the part of it that its condition needs."""
    cond, body = eqn.params["cond_jaxpr"], eqn.params["body_jaxpr"]
    for_cond, for_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    consts = eqn.invars[:for_cond]
    body_consts = eqn.invars[for_cond : for_cond + for_body]
    carry = eqn.invars[for_cond + for_body :]
    _, used = partial_eval.dce_jaxpr(cond.jaxpr, [True])
    needed = {at for at in range(len(carry)) if used[for_cond + at]}
    reads_consts = set(range(for_cond)) & {at for at, yes in enumerate(used) if yes}
    while True:
        wanted = [at in needed for at in range(len(carry))]
        step, reads = partial_eval.dce_jaxpr(body.jaxpr, wanted)
        more = {at for at in range(len(carry)) if reads[for_body + at]}
        if more <= needed:
            break
        needed |= more
    state = {at: _known(carry[at], producers) for at in needed}
    fixed = {at: _known(consts[at], producers) for at in reads_consts}
    outside = [_known(var, producers) for at, var in enumerate(body_consts) if reads[at]]
    order = sorted(needed)
    small, _ = partial_eval.dce_jaxpr(cond.jaxpr, [True])
    for trips in range(_MOST_STEPS):
        asked = [fixed[at] for at in sorted(fixed)]
        asked += [state[at] for at in order if used[for_cond + at]]
        if not bool(jax.core.eval_jaxpr(small, cond.consts, *asked)[0]):
            return trips
        read = [state[at] for at in order if reads[for_body + at]]
        state = dict(
            zip(order, jax.core.eval_jaxpr(step, body.consts, *outside, *read), strict=True)
        )
    raise CannotCount(f"a loop runs more than {_MOST_STEPS} times")


def _known(var: Any, producers: dict) -> Any:
    """A value computed from literals alone."""
    if isinstance(var, core.Literal):
        return np.asarray(var.val)
    eqn = producers.get(var)
    if eqn is None:
        raise CannotCount("a loop depends on an input or a captured value")
    operands = [_known(operand, producers) for operand in eqn.invars]
    results = eqn.primitive.bind(*operands, **eqn.params)
    results = results if eqn.primitive.multiple_results else [results]
    return results[eqn.outvars.index(var)]


def _builder(target: str) -> Callable[[], keras.Model]:
    module, _, name = target.partition(":")
    found = getattr(importlib.import_module(module), name)
    if module.startswith("keras.applications"):
        return lambda: found(weights=None)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Count every target and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.oracles.jaxpr")
    parser.add_argument("targets", nargs="+", metavar="TARGET")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--input-shape", help="for inputs that leave it open: 224,224,3")
    options = parser.parse_args(arguments)
    given = options.input_shape
    open_shape = tuple(int(size) for size in given.split(",")) if given else None
    if keras.backend.backend() != "jax":
        parser.error(f"Keras runs on {keras.backend.backend()}: set KERAS_BACKEND=jax")
    results: dict[str, dict[str, Any]] = {}
    for target in options.targets:
        try:
            by_layer = count(_builder(target), options.batch, open_shape)
            results[target] = {"macs": sum(by_layer.values()), "by_layer": by_layer}
        except Exception as error:  # one bad target leaves the others countable
            results[target] = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
