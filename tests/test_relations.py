"""What has to hold between figures, whatever they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import costlens
from costlens.analysis.rows import Row
from costlens.analysis.tree import Line, tree
from costlens.cost.cost import ZERO, Cost
from costlens.study import Study
from tests.oracles.awkward import MODELS
from tests.oracles.traced import build_abstractly

BOUNDED = settings(max_examples=80, deadline=None, derandomize=True, database=None)

#: Columns of a row that add up to the total of the same name.
ADDITIVE = (
    "params",
    "trainable_params",
    "weight_bytes",
    "macs",
    "macs_valid",
    "flops",
    "activation_bytes",
    "bytes_moved",
)

#: One image or sequence at a time: nothing here mixes the batch.
BATCHED = (
    "attention_layers",
    "bidirectional_mixed",
    "conv2d_channels_first",
    "conv_grouped_dilated",
    "conv_lstm2d_strided",
    "dense_on_maps",
    "depthwise",
    "einsum_dense",
    "functional_contractions",
    "gru_reset_after",
    "lstm_encoder_decoder",
    "mha_cross",
    "nested_at_two_sizes",
    "resized",
    "shared_layers",
    "squeeze_excite",
    "time_distributed_lstm",
    "transposed",
    "unet",
)


@cache
def awkward(name: str) -> Any:
    return build_abstractly(MODELS[name])


def study_of(build: Callable[[], Any], **flags: Any) -> Study:
    return costlens.analyze(build_abstractly(build), **flags)


# The batch


@BOUNDED
@given(name=st.sampled_from(BATCHED), batch=st.integers(1, 512))
def test_multiplications_are_linear_in_the_batch(name: str, batch: int) -> None:
    one, many = (costlens.analyze(awkward(name), batch=n).totals for n in (1, batch))
    assert (many.macs, many.macs_valid) == (batch * one.macs, batch * one.macs_valid)
    assert (many.params, many.weight_bytes) == (one.params, one.weight_bytes)


@BOUNDED
@given(batch=st.integers(1, 512))
def test_a_convolution_net_is_linear_in_the_batch_throughout(batch: int) -> None:
    """Arithmetic, activations and their peak; weights are read once, however large the batch."""
    one, many = (costlens.analyze(awkward("unet"), batch=n).totals for n in (1, batch))
    for field in ("flops", "flops_folded", "activation_bytes", "peak_memory_bytes"):
        assert getattr(many, field) == batch * getattr(one, field), field
    two = costlens.analyze(awkward("unet"), batch=2).totals
    step = two.bytes_moved - one.bytes_moved
    assert many.bytes_moved == one.bytes_moved + (batch - 1) * step < batch * one.bytes_moved + 1


def test_a_batch_that_the_model_fixes_is_kept() -> None:
    def build() -> Any:
        x = keras.Input(batch_shape=(4, 6, 5), name="x")
        return keras.Model(x, layers.Dense(7, name="dense")(x))

    model = build_abstractly(build)
    kept, other = costlens.analyze(model), costlens.analyze(model, batch=3)
    assert [row.output_shapes for row in kept.layers] == [((4, 6, 5),), ((4, 6, 7),)]
    assert [row.output_shapes for row in other.layers] == [((3, 6, 5),), ((3, 6, 7),)]
    assert (kept.totals.macs, other.totals.macs) == (4 * 6 * 5 * 7, 3 * 6 * 5 * 7)


# The input size


def pyramid(height: int | None, width: int | None) -> Any:
    """A net for any size of image."""
    x = keras.Input((height, width, 3), name="image")
    y = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(x)
    y = layers.ReLU(name="relu")(layers.BatchNormalization(name="bn")(y))
    z = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.Add(name="add")([y, layers.Conv2D(8, 1, name="pointwise")(z)])
    y = layers.Conv2DTranspose(4, 3, strides=2, padding="same", name="up")(y)
    y = layers.MaxPooling2D(3, strides=2, name="pool")(layers.ZeroPadding2D(1, name="pad")(y))
    y = layers.GlobalAveragePooling2D(name="mean")(y)
    return keras.Model(x, layers.Dense(5, activation="softmax", name="head")(y))


@BOUNDED
@given(height=st.integers(2, 60), width=st.integers(2, 60), batch=st.integers(1, 16))
def test_a_size_given_by_a_flag_is_as_good_as_one_built_in(
    height: int, width: int, batch: int
) -> None:
    """For a model that leaves its size open, and for one that fixes another."""
    built = study_of(lambda: pyramid(height, width), batch=batch)
    for model in (open_pyramid(), fixed_pyramid()):
        given_size = costlens.analyze(model, batch=batch, input_shape=(height, width, 3))
        assert given_size.totals == built.totals
        assert given_size.layers == built.layers
        assert given_size.memory == built.memory


@cache
def open_pyramid() -> Any:
    return build_abstractly(lambda: pyramid(None, None))


@cache
def fixed_pyramid() -> Any:
    return build_abstractly(lambda: pyramid(32, 32))


def test_shapes_by_name_and_in_order() -> None:
    model = awkward("attention_layers")
    rows = costlens.analyze(model).layers
    names = [row.path for row in rows if row.type == "InputLayer"]
    shapes = [(9, 6), (4, 6)]
    by_name = costlens.analyze(model, input_shape=dict(zip(names, shapes, strict=True)))
    in_order = costlens.analyze(model, input_shape=shapes)
    assert by_name.totals == in_order.totals
    assert by_name.totals.macs == 9 * 4 * (6 + 6) + 9 * 4 * 6


# Sums


@pytest.mark.parametrize("name", BATCHED)
def test_rows_sum_to_the_totals(name: str) -> None:
    study = costlens.analyze(awkward(name), batch=3)
    for column in ADDITIVE:
        total = getattr(study.totals, column)
        assert sum(getattr(row, column) for row in study.layers) == total, column


@pytest.mark.parametrize("name", BATCHED)
def test_totals_are_those_of_the_graph(name: str) -> None:
    """Summed without rows: costs over nodes, parameters over the set of weights."""
    study = costlens.analyze(awkward(name))
    cost: Cost = sum(study.costs, ZERO)
    for field in ("macs", "macs_valid", "flops", "bytes_moved"):
        assert getattr(study.totals, field) == getattr(cost, field), field
    weights = study.graph.weights.values()
    assert study.totals.params == sum(w.params for w in weights)
    assert study.totals.trainable_params == sum(w.params for w in weights if w.trainable)
    assert study.totals.weight_bytes == sum(w.type.nbytes for w in weights)


@pytest.mark.parametrize("name", BATCHED)
def test_the_parts_of_a_row_sum_to_it(name: str) -> None:
    for row in costlens.analyze(awkward(name)).layers:
        for field in ("macs", "flops", "bytes_moved"):
            assert sum(getattr(part, field) for part in row.ops) == getattr(row, field), row.path


@pytest.mark.parametrize("name", BATCHED)
def test_a_row_is_found_by_its_path_and_call(name: str) -> None:
    rows = costlens.analyze(awkward(name)).layers
    assert len({(row.path, row.call) for row in rows}) == len(rows)


def leaves_below(lines: Sequence[Line], at: int) -> list[Line]:
    below = []
    for line in lines[at + 1 :]:
        if line.level <= lines[at].level:
            break
        below.append(line)
    return [line for line in below if line.call]


SHOWN = ("params", "macs", "flops", "weight_bytes", "activation_bytes", "bytes_moved")


@pytest.mark.parametrize(
    "name", ["nested_models", "nested_at_two_sizes", "sequential_of_models", "unet"]
)
def test_containers_sum_what_they_hold(name: str) -> None:
    """At every level, and the top level to the totals."""
    study = costlens.analyze(awkward(name))
    lines = tree(study.layers, study.totals.macs)
    assert sum(1 for line in lines if line.call) == len(study.layers)
    containers = [at for at, line in enumerate(lines) if not line.call]
    assert bool(containers) == (name != "unet")
    for at in containers:
        below = leaves_below(lines, at)
        assert lines[at].rows == len(below)
        for column in SHOWN:
            summed = sum(getattr(line, column) for line in below)
            assert getattr(lines[at], column) == summed, (lines[at].path, column)
    for depth in (1, 2, None):
        top = [line for line in tree(study.layers, study.totals.macs, depth) if not line.level]
        for column in SHOWN:
            assert sum(getattr(line, column) for line in top) == getattr(study.totals, column)


# Nesting and sharing

Block = Callable[[Any], Any]
KINDS: dict[str, tuple[Callable[..., Block], dict[str, Any]]] = {
    "conv": (layers.Conv2D, {"filters": 4, "kernel_size": 3, "padding": "same"}),
    "depthwise": (layers.DepthwiseConv2D, {"kernel_size": 3, "padding": "same"}),
    "dense": (layers.Dense, {"units": 4, "activation": "gelu"}),
    "norm": (layers.BatchNormalization, {}),
    "relu": (layers.ReLU, {}),
    "up": (layers.UpSampling2D, {"size": 2}),
    "pool": (layers.MaxPooling2D, {"pool_size": 2, "padding": "same"}),
}


def blocks(kinds: Sequence[str]) -> list[Block]:
    """Layers in a row, each named after its place."""
    made = []
    for place, kind in enumerate(kinds):
        layer, options = KINDS[kind]
        made.append(layer(**options, name=f"{kind}{place}"))
    return made


def nested(parts: Sequence[Block], depth: int, shape: tuple[int, ...]) -> Any:
    """The parts in a container, all but the first in a container within it, and so on."""
    x = keras.Input(shape)
    y = parts[0](x)
    if len(parts) > 1:
        rest = parts[1:]
        if depth > 1:
            y = nested(rest, depth - 1, y.shape[1:])(y)
        else:
            for part in rest:
                y = part(y)
    return keras.Model(x, y, name=f"level{depth}")


def bare(row: Row) -> dict[str, Any]:
    """A row without what tells where it stands."""
    return {
        field.name: getattr(row, field.name)
        for field in fields(Row)
        if field.name not in ("path", "scope", "ops")
    } | {"name": row.path.split("/")[-1], "ops": [(p.op, p.macs, p.flops) for p in row.ops]}


@BOUNDED
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6), depth=st.integers(1, 4)
)
def test_nested_is_flattened(kinds: list[str], depth: int) -> None:
    """Containers within containers change paths and nothing else."""

    def flat() -> Any:
        x = y = keras.Input((6, 5, 3), name="image")
        for part in blocks(kinds):
            y = part(y)
        return keras.Model(x, y)

    def wrapped() -> Any:
        x = keras.Input((6, 5, 3), name="image")
        return keras.Model(x, nested(blocks(kinds), depth, (6, 5, 3))(x))

    one, two = study_of(flat), study_of(wrapped)
    assert two.totals == one.totals
    assert [bare(row) for row in two.layers] == [bare(row) for row in one.layers]
    assert all(row.scope for row in two.layers[1:])
    assert two.memory.peak_bytes == one.memory.peak_bytes


@BOUNDED
@given(
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5), split=st.integers(0, 5)
)
def test_a_sequential_is_its_layers(kinds: list[str], split: int) -> None:
    """Also one Sequential in another."""

    def flat() -> Any:
        return keras.Sequential([keras.Input((6, 5, 3), name="image"), *blocks(kinds)])

    def wrapped() -> Any:
        parts = blocks(kinds)
        inner = keras.Sequential(parts[split:], name="inner")
        rest = [inner] if parts[split:] else []
        return keras.Sequential([keras.Input((6, 5, 3), name="image"), *parts[:split], *rest])

    one, two = study_of(flat), study_of(wrapped)
    assert two.totals == one.totals
    assert [bare(row) for row in two.layers] == [bare(row) for row in one.layers]


@BOUNDED
@given(uses=st.integers(1, 6), sizes=st.lists(st.integers(3, 9), min_size=6, max_size=6))
def test_a_shared_layer_has_its_parameters_once_and_its_costs_every_time(
    uses: int, sizes: list[int]
) -> None:
    """As many layers of its own would cost the same, and have more parameters."""

    def build(shared: bool) -> Any:
        def conv(name: str) -> Any:
            return layers.Conv2D(4, 3, name=name)

        one = conv("conv")
        xs = [keras.Input((size, 5, 3)) for size in sizes[:uses]]
        ys = [(one if shared else conv(f"conv{at}"))(x) for at, x in enumerate(xs)]
        return keras.Model(xs, ys)

    once, each = study_of(lambda: build(True)), study_of(lambda: build(False))
    for field in ("macs", "macs_valid", "flops", "activation_bytes", "bytes_moved"):
        assert getattr(once.totals, field) == getattr(each.totals, field), field
    assert each.totals.params == uses * once.totals.params == uses * (3 * 3 * 3 * 4 + 4)
    rows = [row for row in once.layers if row.path == "conv"]
    assert [row.call for row in rows] == list(range(1, uses + 1))
    assert [row.params for row in rows] == [112, *[0] * (uses - 1)]
    assert [row.shared for row in rows] == [False, *[True] * (uses - 1)]


def test_a_model_called_twice_is_its_layers_twice() -> None:
    study = costlens.analyze(awkward("nested_models"))
    calls = Counter(row.path for row in study.layers if row.path.endswith("innermost/fc"))
    assert calls == {"encoder/innermost/fc": 4}
    (first, *others) = [row for row in study.layers if row.path == "encoder/innermost/fc"]
    assert first.params == 20 and all(row.params == 0 and row.shared for row in others)
    assert {row.macs for row in (first, *others)} == {16}


def test_layers_that_change_nothing_cost_nothing() -> None:
    """Identity, inference-time dropout and a reshape to the same elements."""

    def build(idle: bool) -> Any:
        x = keras.Input((6, 4), name="x")
        y = layers.Dense(8, name="first")(x)
        if idle:
            for layer in (layers.Identity(), layers.Dropout(0.5), layers.Reshape((6, 8))):
                y = layer(y)
        return keras.Model(x, layers.Dense(3, name="second")(y))

    plain, idle = study_of(lambda: build(False)).totals, study_of(lambda: build(True)).totals
    for field in (*ADDITIVE, "peak_memory_bytes"):
        assert getattr(plain, field) == getattr(idle, field), field
    assert idle.layers == plain.layers + 3
