"""Normalisations, softmax and reductions: their definitions, run on numbers that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlens.cost.cost import ZERO, Cost
from costlens.ir.types import Shape
from tests.cost.calls import BOUNDED, DTYPES, cost, cost_and_shape
from tests.cost.counting import Number, Tally, exp, larger, log, rsqrt, smaller, sqrt, total

Lane = Sequence[Number]
EPSILON = 1e-3
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def lanes(shape: Shape, axes: Sequence[int], tally: Tally) -> Iterator[Lane]:
    """Numbers along some axes, once for each position of the other axes."""
    others = [range(1 if axis in axes else size) for axis, size in enumerate(shape)]
    along = [range(shape[axis]) for axis in axes]
    for position in product(*others):
        yield [tally.number(1.0 + sum(position) + sum(at)) for at in product(*along)]


def axes_of(shape: Shape, seed: int) -> tuple[int, ...]:
    """Some of the axes, at least one."""
    picked = tuple(axis for axis in range(len(shape)) if seed >> axis & 1)
    return picked or (seed % len(shape),)


def counted(definition: Callable[[Lane], object], shape: Shape, axes: Sequence[int]) -> Cost:
    """What a definition does when it runs on every lane."""
    tally = Tally()
    for lane in lanes(shape, axes, tally):
        definition(lane)
    return tally.cost


def mean(xs: Lane) -> Number:
    return total(xs) / len(xs)


def variance(xs: Lane) -> Number:
    middle = mean(xs)
    return mean([(x - middle) ** 2 for x in xs])


def log_sum_exp(xs: Lane) -> Number:
    most = reduce(larger, xs)
    return most + log(total([exp(x - most) for x in xs]))


def position_of_largest(xs: Lane) -> int:
    best = 0
    for at in range(1, len(xs)):
        if xs[at] > xs[best]:
            best = at
    return best


def logical(test: Callable[[float, float], bool]) -> Callable[[Lane], Number]:
    """Truth values combined one after the other: an and, or an or, is one comparison."""

    def combined(a: Number, b: Number) -> Number:
        a.tally.comparisons += 1
        return a.tally.number(test(a.value, b.value))

    return lambda xs: reduce(combined, xs)


def count_nonzero(xs: Lane) -> Number:
    return total([x.tally.number(x != 0) for x in xs])


REDUCTIONS: dict[str, Callable[[Lane], object]] = {
    "sum": total,
    "mean": mean,
    "prod": lambda xs: reduce(lambda a, b: a * b, xs),
    "max": lambda xs: reduce(larger, xs),
    "min": lambda xs: reduce(smaller, xs),
    "all": logical(lambda a, b: bool(a and b)),
    "any": logical(lambda a, b: bool(a or b)),
    "argmax": position_of_largest,
    "argmin": lambda xs: position_of_largest([-x for x in xs]),
    "count_nonzero": count_nonzero,
    "var": variance,
    "std": lambda xs: sqrt(variance(xs)),
    "logsumexp": log_sum_exp,
}


@pytest.mark.parametrize("fn", REDUCTIONS)
@BOUNDED
@given(shape=SHAPES, seed=st.integers(0, 15), keepdims=st.booleans(), dtype=st.sampled_from(DTYPES))
def test_reduce(fn: str, shape: Shape, seed: int, keepdims: bool, dtype: str) -> None:
    axes = axes_of(shape, seed)
    found, out = cost_and_shape("reduce", shape, fn=fn, axes=axes, keepdims=keepdims, dtype=dtype)
    assert out == np.sum(np.zeros(shape), axis=axes, keepdims=keepdims).shape
    assert found == counted(REDUCTIONS[fn], shape, axes)


def test_truth_values_are_counted_without_a_comparison() -> None:
    found = cost("reduce", (3, 4), dtype="bool", fn="count_nonzero", axes=(1,))
    assert found == counted(total, (3, 4), (1,))


CUMULATIVE: dict[str, Callable[[Number, Number], Any]] = {
    "cumsum": lambda a, b: a + b,
    "cumprod": lambda a, b: a * b,
    "cummax": larger,
}


@pytest.mark.parametrize("fn", CUMULATIVE)
@BOUNDED
@given(shape=SHAPES, seed=st.integers(0, 3), dtype=st.sampled_from(DTYPES))
def test_cumulative(fn: str, shape: Shape, seed: int, dtype: str) -> None:
    axis = seed % len(shape)

    def running(xs: Lane) -> list[Number]:
        made = [xs[0]]
        for x in xs[1:]:
            made.append(CUMULATIVE[fn](made[-1], x))
        return made

    found, out = cost_and_shape("cumulative", shape, fn=fn, axis=axis, dtype=dtype)
    assert (found, out) == (counted(running, shape, (axis,)), shape)


def affine(xs: Lane, scale: bool, center: bool) -> list[Number]:
    """A learnt scale and a learnt offset per element."""
    scaled = [x * x.tally.number(0.5) for x in xs] if scale else list(xs)
    return [x + x.tally.number(0.25) for x in scaled] if center else scaled


def layer_norm(xs: Lane) -> list[Number]:
    """(x - mean) / √(var + ε), the distances from the mean computed once."""
    middle = mean(xs)
    distances = [x - middle for x in xs]
    factor = rsqrt(mean([d**2 for d in distances]) + EPSILON)
    return [d * factor for d in distances]


def rms_norm(xs: Lane) -> list[Number]:
    """x / √(mean(x²) + ε)."""
    factor = rsqrt(mean([x**2 for x in xs]) + EPSILON)
    return [x * factor for x in xs]


def unit_norm(xs: Lane) -> list[Number]:
    """x / |x|, where the norm is kept away from zero."""
    factor = smaller(rsqrt(total([x**2 for x in xs])), 1e12)
    return [x * factor for x in xs]


NORMS = {"layer": layer_norm, "rms": rms_norm, "unit": unit_norm}


@pytest.mark.parametrize("fn", NORMS)
@BOUNDED
@given(
    shape=SHAPES,
    seed=st.integers(0, 15),
    scale=st.booleans(),
    center=st.booleans(),
    dtype=st.sampled_from(DTYPES),
)
def test_norm(fn: str, shape: Shape, seed: int, scale: bool, center: bool, dtype: str) -> None:
    axes = axes_of(shape, seed)
    found, out = cost_and_shape(
        "norm", shape, fn=fn, axes=axes, scale=scale, center=center, dtype=dtype
    )
    assert out == shape
    assert found == counted(lambda xs: affine(NORMS[fn](xs), scale, center), shape, axes)


@BOUNDED
@given(
    batch=st.integers(1, 3),
    spatial=st.lists(st.integers(1, 3), max_size=2),
    groups=st.integers(1, 3),
    each=st.integers(1, 3),
    scale=st.booleans(),
    center=st.booleans(),
)
def test_group_norm(
    batch: int, spatial: list[int], groups: int, each: int, scale: bool, center: bool
) -> None:
    """Each image's channels in groups, each group with all its positions a lane of its own."""
    shape = (batch, *spatial, groups * each)
    axes = tuple(range(1, len(shape)))
    found = cost("norm", shape, fn="group", axes=axes, groups=groups, scale=scale, center=center)
    split = (batch, *spatial, groups, each)
    together = [axis for axis in range(1, len(split)) if axis != len(split) - 2]
    assert found == counted(lambda xs: affine(layer_norm(xs), scale, center), split, together)


def softmax(xs: Lane) -> list[Number]:
    most = reduce(larger, xs)
    raised = [exp(x - most) for x in xs]
    whole = total(raised)
    return [x / whole for x in raised]


def log_softmax(xs: Lane) -> list[Number]:
    most = reduce(larger, xs)
    shifted = [x - most for x in xs]
    whole = log(total([exp(x) for x in shifted]))
    return [x - whole for x in shifted]


@pytest.mark.parametrize("definition", [softmax, log_softmax])
@BOUNDED
@given(shape=SHAPES, seed=st.integers(0, 15), dtype=st.sampled_from(DTYPES))
def test_softmax(
    definition: Callable[[Lane], list[Number]], shape: Shape, seed: int, dtype: str
) -> None:
    axes = axes_of(shape, seed)
    for axis in (axes, axes[0]):
        given_axes = axis if isinstance(axis, tuple) else (axis,)
        found, out = cost_and_shape(
            "softmax", shape, fn=definition.__name__, axis=axis, dtype=dtype
        )
        assert (found, out) == (counted(definition, shape, given_axes), shape)


def test_softmax_is_the_default() -> None:
    assert cost("softmax", (3, 7), axis=1) == counted(softmax, (3, 7), (1,))


@BOUNDED
@given(shape=SHAPES, dtype=st.sampled_from(DTYPES))
def test_batch_norm(shape: Shape, dtype: str) -> None:
    """The statistics are known, so that one scale and one shift per channel remain."""
    channels = ((shape[-1],),) * 4
    found, out = cost_and_shape("batch_norm", shape, *channels, axis=len(shape) - 1, dtype=dtype)
    tally = Tally()
    for xs in lanes(shape, (0,), tally):
        affine(xs, scale=True, center=True)
    assert (found, out) == (tally.cost, shape)


ACCUMULATED: dict[str, Callable[[Number, Number], Any]] = {
    "set": lambda old, new: new,
    "add": lambda old, new: old + new,
    "multiply": lambda old, new: old * new,
    "max": larger,
    "min": smaller,
    "weighted": lambda old, new: old + 0.25 * new,
}


@pytest.mark.parametrize("fn", ACCUMULATED)
@BOUNDED
@given(
    rows=st.integers(1, 5),
    updates=st.integers(1, 6),
    width=st.integers(1, 4),
    places=st.integers(1, 4),
)
def test_scatter(fn: str, rows: int, updates: int, width: int, places: int) -> None:
    """Each update meets the element that is there, at every place that it goes to."""
    more = {} if places == 1 else {"places": places}
    found, out = cost_and_shape(
        "scatter", (rows, width), (updates, 1), (updates, width), fn=fn, shape=(rows, width), **more
    )
    tally = Tally()
    for _ in range(updates * width):
        for _ in range(places):
            ACCUMULATED[fn](tally.number(1.0), tally.number(2.0))
    assert (found, out) == (tally.cost, (rows, width))


def test_a_plain_write_is_the_default() -> None:
    assert cost("scatter", (3, 1), (3, 2), shape=(5, 2)) == ZERO
