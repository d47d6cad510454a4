"""Normalisation layers against Keras (shapes, dtypes, weights, values) and a counting loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import keras
import numpy as np
import pytest

from costlens.cost.cost import Cost
from tests.cost.counting import Number, Tally, rsqrt, smaller, total
from tests.support import abstract, cost_of, functional, graph_of, nodes_of, params_of

layers = keras.layers
SHAPE = (3, 4, 6)


def _on_one_input(layer: Callable[[], Any], shape: Sequence[int]) -> Any:
    def build() -> Any:
        x = keras.Input(tuple(shape))
        return functional(x, layer()(x))

    return abstract(build)


CASES: dict[str, Callable[..., Any]] = {
    "batch": layers.BatchNormalization,
    "batch, first axis": lambda **kw: layers.BatchNormalization(axis=1, **kw),
    "batch, bare": lambda **kw: layers.BatchNormalization(scale=False, center=False, **kw),
    "layer": layers.LayerNormalization,
    "layer, two axes": lambda **kw: layers.LayerNormalization(axis=(3, 1), **kw),
    "layer, no scale": lambda **kw: layers.LayerNormalization(axis=-2, scale=False, **kw),
    "layer, bare": lambda **kw: layers.LayerNormalization(scale=False, center=False, **kw),
    "group": lambda **kw: layers.GroupNormalization(3, **kw),
    "instance": lambda **kw: layers.GroupNormalization(-1, axis=1, center=False, **kw),
    "unit": layers.UnitNormalization,
    "unit, two axes": lambda **kw: layers.UnitNormalization(axis=[1, 2], **kw),
}
if hasattr(layers, "RMSNormalization"):
    CASES["rms"] = layers.RMSNormalization
    CASES["rms, two axes"] = lambda **kw: layers.RMSNormalization(axis=(1, 2), **kw)


@pytest.mark.parametrize("dtype", [None, "mixed_float16", "bfloat16", "float64"])
@pytest.mark.parametrize("case", CASES)
def test_one_node_with_keras_own_type_and_weights(case: str, dtype: str | None) -> None:
    model = _on_one_input(lambda: CASES[case](dtype=dtype), SHAPE)
    graph = graph_of(model, batch=5)
    assert params_of(graph) == model.count_params()
    assert [n.op for n in graph.nodes if n.op not in ("input", "cast")] == [
        "batch_norm" if case.startswith("batch") else "norm"
    ]


@pytest.mark.parametrize("case", CASES)
def test_frozen_layers_have_no_trainable_weight(case: str) -> None:
    graph = graph_of(_on_one_input(lambda: CASES[case](trainable=False), SHAPE))
    assert not any(weight.trainable for weight in graph.weights.values())


def test_moving_statistics_are_never_trainable() -> None:
    graph = graph_of(_on_one_input(layers.BatchNormalization, SHAPE))
    names = [w.path.rpartition("/")[2] for w in graph.weights.values() if w.trainable]
    assert names == ["gamma", "beta"]


if "renorm" in layers.BatchNormalization().get_config():

    def test_batch_renormalisation_stores_three_more_vectors() -> None:
        model = _on_one_input(lambda: layers.BatchNormalization(renorm=True), SHAPE)
        graph = graph_of(model)
        assert params_of(graph) == model.count_params() == 7 * 6
        assert cost_of(graph).flops == 2 * 3 * 4 * 6  # one scale and one shift per element


def test_a_mask_changes_nothing_at_inference() -> None:
    def build() -> Any:
        ids = keras.Input((5,), dtype="int32")
        x = layers.Embedding(9, 4, mask_zero=True, name="words")(ids)
        return functional(ids, layers.BatchNormalization(name="bn")(x))

    graph = graph_of(abstract(build))
    assert [n.op for n in nodes_of(graph, "bn")] == ["batch_norm"]


# -- the definitions, literally ----------------------------------------------------------------


def _mean(values: Sequence[Number]) -> Number:
    return total(values) / len(values)


def _standardised(lane: list[Number], epsilon: float) -> list[Number]:
    mean = _mean(lane)
    centred = [x - mean for x in lane]
    inverse = rsqrt(_mean([c * c for c in centred]) + epsilon)
    return [c * inverse for c in centred]


def _deviation_only(lane: list[Number], epsilon: float) -> list[Number]:
    mean = _mean(lane)
    centred = [x - mean for x in lane]
    inverse = rsqrt(_mean([c * c for c in centred]) + epsilon)
    return [x * inverse for x in lane]


def _over_rms(lane: list[Number], epsilon: float) -> list[Number]:
    inverse = rsqrt(_mean([x * x for x in lane]) + epsilon)
    return [x * inverse for x in lane]


def _unit(lane: list[Number], epsilon: float) -> list[Number]:
    inverse = smaller(rsqrt(total([x * x for x in lane])), 1e12)
    return [x * inverse for x in lane]


def _lane_by_axes(axes: Sequence[int]) -> Callable[[tuple[int, ...]], Any]:
    return lambda index: tuple(n for axis, n in enumerate(index) if axis not in axes)


def _lane_by_group(size: int) -> Callable[[tuple[int, ...]], Any]:
    return lambda index: (index[0], index[-1] // size)


def _run(
    values: np.ndarray,
    lane_of: Callable[[tuple[int, ...]], Any],
    normalise: Callable[[list[Number], float], list[Number]],
    epsilon: float,
    gamma: Callable[[tuple[int, ...]], float] | None,
    beta: Callable[[tuple[int, ...]], float] | None,
) -> tuple[np.ndarray, Cost]:
    """Normalise lane by lane, then scale and shift; the result and what it took."""
    tally, lanes = Tally(), {}
    for index in product(*map(range, values.shape)):
        lanes.setdefault(lane_of(index), []).append(index)
    out = np.empty_like(values)
    for indices in lanes.values():
        lane = normalise([tally.number(values[i]) for i in indices], epsilon)
        for index, y in zip(indices, lane, strict=True):
            y = y * gamma(index) if gamma else y
            y = y + beta(index) if beta else y
            out[index] = y.value
    return out, tally.cost


LOOPS: dict[str, tuple[Callable[[], Any], Any, Any, float]] = {
    "layer": (
        lambda: layers.LayerNormalization(epsilon=0.1),
        _lane_by_axes((3,)),
        _standardised,
        0.1,
    ),
    "layer, two axes, no scale": (
        lambda: layers.LayerNormalization(axis=(2, 3), epsilon=0.1, scale=False),
        _lane_by_axes((2, 3)),
        _standardised,
        0.1,
    ),
    "layer, rms_scaling": (
        lambda: layers.LayerNormalization(epsilon=0.1, rms_scaling=True),
        _lane_by_axes((3,)),
        _deviation_only,
        0.1,
    ),
    "group": (
        lambda: layers.GroupNormalization(3, epsilon=0.1),
        _lane_by_group(2),
        _standardised,
        0.1,
    ),
    "instance": (
        lambda: layers.GroupNormalization(-1, epsilon=0.1, center=False),
        _lane_by_group(1),
        _standardised,
        0.1,
    ),
    "unit": (layers.UnitNormalization, _lane_by_axes((3,)), _unit, 0.0),
}
if hasattr(layers, "RMSNormalization"):
    LOOPS["rms"] = (
        lambda: layers.RMSNormalization(epsilon=0.1),
        _lane_by_axes((3,)),
        _over_rms,
        0.1,
    )


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling")
@pytest.mark.parametrize("case", LOOPS)
def test_cost_is_what_the_definition_takes(case: str) -> None:
    make, lane_of, normalise, epsilon = LOOPS[case]
    values = np.random.default_rng(1).normal(size=(2, *SHAPE)).astype("float32")
    layer = make()
    layer.build(values.shape)
    weights = {v.name: np.random.default_rng(2).normal(size=v.shape) for v in layer.weights}
    for variable in layer.weights:
        variable.assign(weights[variable.name])

    def entry(name: str) -> Callable[[tuple[int, ...]], float] | None:
        if name not in weights:
            return None
        return lambda index: float(weights[name][index[-weights[name].ndim :]])

    found, cost = _run(
        values, lane_of, normalise, epsilon, entry("gamma") or entry("scale"), entry("beta")
    )
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(layer(values)), atol=1e-4)
    graph = graph_of(_on_one_input(make, SHAPE), batch=2)
    assert cost_of(graph).flops == cost.flops
    spent = cost_of(graph)
    assert (spent.adds, spent.muls, spent.divs) == (cost.adds, cost.muls, cost.divs)
    assert (spent.comparisons, spent.transcendentals) == (cost.comparisons, cost.transcendentals)


def test_batch_normalisation_is_a_scale_and_a_shift_per_element() -> None:
    values = np.random.default_rng(3).normal(size=(2, *SHAPE)).astype("float32")
    layer = layers.BatchNormalization(axis=1)
    layer.build(values.shape)
    for i, variable in enumerate(layer.weights):
        variable.assign(np.random.default_rng(i).uniform(0.5, 2.0, size=variable.shape))
    gamma, beta, mean, variance = (keras.ops.convert_to_numpy(w) for w in layer.weights)
    scale = gamma / np.sqrt(variance + layer.epsilon)
    shift = beta - mean * scale
    tally, found = Tally(), np.empty_like(values)
    for index in product(*map(range, values.shape)):
        y = tally.number(values[index]) * scale[index[1]] + shift[index[1]]
        found[index] = y.value
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(layer(values)), atol=1e-5)
    spent = cost_of(
        graph_of(_on_one_input(lambda: layers.BatchNormalization(axis=1), SHAPE), batch=2)
    )
    assert (spent.muls, spent.adds, spent.flops) == (
        tally.muls,
        tally.adds,
        tally.cost.flops,
    )
