"""What is known of a jaxpr without running the model: which equations are needed, loop turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

FEW = 4096
"""Elements up to which the numbers of a constant are looked at."""

_MOST_TURNS = 100_000_000


def live(jaxpr: Any) -> Any:
    """The jaxpr without the equations that nothing reads, in bodies too; its inputs stay."""
    from jax.interpreters import partial_eval

    return partial_eval.dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars), instantiate=True)[0]


def needed(jaxpr: Any) -> list[Any]:
    """The equations that the outputs depend on, in order."""
    wanted = {var for var in jaxpr.outvars if not is_literal(var)}
    kept = []
    for eqn in reversed(jaxpr.eqns):
        if wanted.intersection(eqn.outvars):
            kept.append(eqn)
            wanted.update(var for var in eqn.invars if not is_literal(var))
    return kept[::-1]


def is_literal(var: Any) -> bool:
    """Whether an operand is a number in its equation."""
    return hasattr(var, "val")


def turns(loop: Any, known: Callable[[Any], Any]) -> int | None:
    """How often a ``while`` runs, or None where that depends on what the model is given.

    The part of the loop that its condition depends on is a loop of its own, which is run; it
    holds counters and limits, and ``known`` gives what they start from.
    """
    from jax.interpreters import partial_eval

    params = loop.params
    at_cond, at_body = params["cond_nconsts"], params["body_nconsts"]
    consts, rest = loop.invars[:at_cond], loop.invars[at_cond:]
    body_consts, carry = rest[:at_body], rest[at_body:]
    test, asked = partial_eval.dce_jaxpr(params["cond_jaxpr"].jaxpr, [True])
    more = list(asked[at_cond:])
    while True:
        wanted = more
        step, reads = partial_eval.dce_jaxpr(params["body_jaxpr"].jaxpr, wanted)
        more = [a or b for a, b in zip(wanted, reads[at_body:], strict=True)]
        if more == wanted:
            break
    fixed = _all_known(known, _picked(consts, asked[:at_cond]))
    outside = _all_known(known, _picked(body_consts, reads[:at_body]))
    first = _all_known(known, _picked(carry, wanted))
    if fixed is None or outside is None or first is None:
        return None
    in_test, in_step = (_picked(used, wanted) for used in (asked[at_cond:], reads[at_body:]))
    goes_on = _function(test, params["cond_jaxpr"].consts, fixed, in_test)
    goes = _function(step, params["body_jaxpr"].consts, outside, in_step)
    return _played(goes_on, goes, first)


def _function(
    jaxpr: Any, consts: Sequence[Any], fixed: Sequence[Any], reads: Sequence[bool]
) -> Callable[[Sequence[Any]], list[Any]]:
    """A jaxpr as a function of a loop's state, of which it reads a part."""
    import jax

    return lambda state: jax.core.eval_jaxpr(jaxpr, consts, *fixed, *_picked(state, reads))


def _played(
    goes_on: Callable[[Sequence[Any]], list[Any]],
    goes: Callable[[Sequence[Any]], list[Any]],
    first: Sequence[Any],
) -> int | None:
    """The turns of a loop, by running it; None where they do not end."""
    import jax

    def condition(state: tuple[Any, list[Any]]) -> Any:
        return goes_on(state[1])[0] & (state[0] < _MOST_TURNS)

    def body(state: tuple[Any, list[Any]]) -> Any:
        return state[0] + 1, goes(state[1])

    start = [jax.numpy.asarray(x) for x in first]
    found = int(jax.lax.while_loop(condition, body, (0, start))[0])
    return found if found < _MOST_TURNS else None


def _picked(items: Sequence[Any], flags: Sequence[bool]) -> list[Any]:
    return [item for item, flag in zip(items, flags, strict=True) if flag]


def _all_known(known: Callable[[Any], Any], variables: Sequence[Any]) -> list[Any] | None:
    values = [known(var) for var in variables]
    return None if any(value is None for value in values) else values


def evaluate(eqn: Any, operands: Sequence[Any], index: int) -> np.ndarray[Any, Any] | None:
    """The numbers that an equation on known numbers gives, or None where JAX cannot tell."""
    try:
        made = eqn.primitive.bind(*operands, **eqn.params)
        return np.asarray(made[index] if eqn.primitive.multiple_results else made)
    except Exception:  # a marker, a random key: whatever runs only inside a compiled function
        return None


_PURPOSES = (
    ("jax/_src/image/", "", "image"),
    ("keras/src/", "affine_transform", "image"),
    ("keras/src/", "_extract_patches", "patches"),
    ("keras/src/backend/", "fold", "patches"),
    ("jax/_src/", "conv_general_dilated_patches", "patches"),
)
"""Files, the functions there by how their names begin, and what their products are for."""


def purposes(eqn: Any) -> frozenset[str]:
    """What products are for that look like others: ``image``, ``patches``, ``gradient``.

    JAX and Keras interpolate by multiplying by matrices of weights, and move patches by a
    convolution that picks. Who made an equation is told from the stack that JAX keeps of it, and
    that it is part of a backward pass from the names that it was made under.
    """
    found = {"gradient"} if "transpose(" in str(eqn.source_info.name_stack) else set()
    return frozenset(found | _made_for(eqn.source_info.traceback))


def _made_for(traceback: Any) -> set[str]:
    for frame in () if traceback is None else traceback.frames:
        path = frame.file_name.replace("\\", "/")
        for part, function, found in _PURPOSES:
            if part in path and frame.function_name.startswith(function):
                return {found}
    return set()


def resizing(jaxpr: Any) -> tuple[str, bool]:
    """The method of a call of ``jax.image.resize``, and whether it takes off what would alias.

    A jaxpr does not say, so it is told from the kernel that the call computes.
    """
    names = {eqn.primitive.name for eqn in jaxpr.eqns}
    operands = [var for eqn in jaxpr.eqns for var in eqn.invars if is_literal(var)]
    numbers = {abs(float(x.val)) for x in operands if np.ndim(x.val) == 0}
    antialias = any(
        eqn.primitive.name == "max" and all(map(is_literal, eqn.invars)) for eqn in jaxpr.eqns
    )
    if "dot_general" not in names:
        return "nearest", False
    if "sin" in names:
        return ("lanczos5" if 5.0 in numbers else "lanczos3"), antialias
    return ("bicubic" if {1.5, 2.5, 4.0} <= numbers else "bilinear"), antialias
