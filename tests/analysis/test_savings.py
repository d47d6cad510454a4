"""The savings of a model: alike blocks on one line, the whole re-priced, and nothing counted twice.

Widths are those of the papers' tables; whole models in a plain form are built in Keras by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import costlens
from costlens.analysis.blocks import Block
from costlens.analysis.figures import Figures, figures
from costlens.analysis.savings import Line, Total
from costlens.ir.edit import Patch, splice, subgraph
from costlens.study import Study
from tests.motifs import by_hand
from tests.motifs.by_hand import square
from tests.oracles.traced import build_abstractly

DIRECTORY = Path(__file__).parents[2] / "examples"
SUMS = "params weight_bytes macs macs_valid flops activation_bytes bytes_moved".split()


@cache
def study(target: str) -> Study:
    return costlens.analyze(target if ":" in target else f"{DIRECTORY}/{target}.py")


def made(build: Callable[..., keras.Model], *args: Any) -> Study:
    return costlens.analyze(build_abstractly(build, *args))


def lines(found: Study, motif: str) -> list[Line]:
    return [line for line in found.savings.lines if line.motif == motif]


def totals(found: Study, motif: str) -> dict[str, Total]:
    return {t.baseline.name: t for t in found.savings.totals if t.motif == motif}


def of(found: Study, motif: str) -> list[Block]:
    return [block for block in found.blocks if block.motif == motif]


def sums(found: Figures) -> dict[str, int]:
    return {field: getattr(found, field) for field in SUMS}


# Lines


def test_four_stages_are_four_lines_and_a_total() -> None:
    """ResNet-50 (arXiv:1512.03385, table 1): 3, 4, 6 and 3 blocks, whatever the first of a stage
    reads and strides."""
    found = study("resnet50")
    assert [len(line.paths) for line in lines(found, "bottleneck")] == [3, 4, 6, 3]
    assert [line.paths[0] for line in lines(found, "bottleneck")] == [
        "conv2_1",
        "conv3_1",
        "conv4_1",
        "conv5_1",
    ]
    assert {name: total.blocks for name, total in totals(found, "bottleneck").items()} == {
        "one k×k at full width": 16,
        "two k×k at full width": 16,
    }


@pytest.mark.parametrize(
    ("target", "motif", "counts"),
    [
        # arXiv:1704.04861, table 1, by filters and map: 64; 128, 256, 512, 1024 twice and more.
        ("mobilenet", "depthwise_separable", [1, 2, 2, 6, 2]),
        ("googlenet", "inception", [1] * 9),
        # arXiv:1602.07360, table 1: fire2 and 3 are alike, fire4 and 5 differ in their maps.
        ("squeezenet", "fire", [2, 1, 1, 2, 1, 1]),
        ("keras.applications:DenseNet121(weights=None)", "dense_bottleneck", [6, 12, 24, 16]),
        ("keras.applications:DenseNet121(weights=None)", "transition", [1, 1, 1]),
        ("se_resnet50", "channel_attention", [3, 4, 6, 3]),
    ],
)
def test_alike_blocks_share_a_line(target: str, motif: str, counts: list[int]) -> None:
    assert [len(line.paths) for line in lines(study(target), motif)] == counts


@pytest.mark.parametrize("target", ["resnet50", "mobilenet", "squeezenet", "fpn", "nin"])
def test_a_line_is_the_sum_of_its_blocks(target: str) -> None:
    """Figures of blocks apart from each other add up, in each plain form too."""
    found = study(target)
    by_path = {(block.motif, block.path): block for block in found.blocks}
    seen = []
    for line in found.savings.lines:
        own = [by_path[line.motif, path] for path in line.paths]
        seen += own
        for field in SUMS:
            assert getattr(line.cost, field) == sum(getattr(b.cost, field) for b in own)
            for at, plain in enumerate(line.baselines):
                want = sum(getattr(b.baselines[at].cost, field) for b in own)
                assert getattr(plain.cost, field) == want, (plain.name, field)
    assert sorted(b.path for b in seen) == sorted(b.path for b in found.blocks)


def test_one_layer_called_by_two_blocks_counts_once_on_their_line() -> None:
    """Shared layers: parameters once, MACs twice, as the model built by hand has them."""

    def build(plain: bool) -> keras.Model:
        x = y = square(8, 32)
        if plain:
            chain = [layers.Conv2D(32, 3, padding="same")]
        else:
            chain = [
                layers.Conv2D(8, 1, activation="relu"),
                layers.Conv2D(8, 3, padding="same", activation="relu"),
                layers.Conv2D(32, 1),
            ]
        for _ in range(2):
            before = y
            for layer in chain:
                y = layer(y)
            y = layers.Add()([before, y])
        return keras.Model(x, y)

    found = made(build, False)
    (line,) = lines(found, "bottleneck")
    assert len(line.paths) == 2
    own, plain = by_hand.count(build, False), by_hand.count(build, True)
    assert (line.cost.params, line.cost.macs) == (own.params, own.macs)
    assert sum(block.params for block in found.blocks) == 2 * own.params
    first = line.baselines[0].cost
    assert (first.params, first.macs) == (plain.params, plain.macs)


# Totals


@pytest.mark.parametrize(
    "target",
    ["resnet50", "mobilenet", "squeezenet", "googlenet", "fpn", "depth_by_1x1", "pointwise"],
)
def test_the_model_is_the_study_s(target: str) -> None:
    found = study(target)
    want = {field: getattr(found.totals, field) for field in SUMS}
    assert sums(found.savings.model) == want
    assert found.savings.model.at_least == frozenset()


@pytest.mark.parametrize("target", ["resnet50", "mobilenet", "squeezenet", "fpn", "nin"])
def test_a_total_is_the_model_with_its_lines_changed(target: str) -> None:
    found = study(target)
    for total in found.savings.totals:
        own = lines(found, total.motif)
        for field in SUMS:
            want = getattr(found.savings.model, field)
            for line in own:
                plain = next((p for p in line.baselines if p.name == total.baseline.name), None)
                if plain is not None:
                    want += getattr(plain.cost, field) - getattr(line.cost, field)
            assert getattr(total.baseline.cost, field) == want, (total.baseline.name, field)


def test_a_form_that_not_all_blocks_have() -> None:
    """NiN's last block alone ends in a pooling: the others stay as they are in that form."""
    found = study("nin")
    total = totals(found, "mlpconv")["flatten + dense in place of global pooling"]
    assert total.baseline.cost.params == found.totals.params + 640 * 10 + 10
    assert total.baseline.cost.macs == found.totals.macs + 640 * 10


def test_no_block_no_saving() -> None:
    found = study("keras.applications:VGG16(weights=None)")
    assert found.blocks == () and found.savings.lines == () and found.savings.totals == ()
    assert found.savings.every is None
    assert found.savings.model.macs == found.totals.macs


# Blocks within blocks


def test_gates_lie_within_their_blocks() -> None:
    """An SE bottleneck holds its gate: `every` makes the 16 bottlenecks plain and keeps the gates,
    as the model built by hand does."""

    def build() -> keras.Model:
        x = keras.Input((224, 224, 3))
        y = layers.ReLU()(by_hand.conv_bn(x, 64, 7, 2, True))
        y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
        for count, width in ((3, 256), (4, 512), (6, 1024), (3, 2048)):
            for at in range(count):
                stride = 2 if at == 0 and width > 256 else 1
                shape = (y.shape[1], y.shape[-1], width, stride, True, at == 0, width // 16)
                y = by_hand.residual(1, *shape)(y)
        y = layers.GlobalAveragePooling2D()(y)
        return keras.Model(x, layers.Dense(1000, activation="softmax")(y))

    found = study("se_resnet50")
    assert len(of(found, "bottleneck")) == len(of(found, "channel_attention")) == 16
    for block, gate in zip(of(found, "bottleneck"), of(found, "channel_attention"), strict=True):
        assert {n.name for n in gate.nodes} < {n.name for n in block.nodes}
    every, want = found.savings.every, by_hand.count(build)
    assert every is not None and every.blocks == 16
    plain = every.baseline.cost
    assert (plain.params, plain.macs) == (want.params, want.macs)


def test_every_takes_a_gated_inverted_residual_once() -> None:
    """EfficientNetB0: 16 MBConvs (arXiv:1905.11946, table 1), each with its gate; the sum over both
    motifs would count the gates' cost twice. Not to expand is the cheapest form of all."""
    found = study("keras.applications:EfficientNetB0(weights=None)")
    assert len(of(found, "inverted_residual")) == len(of(found, "channel_attention")) == 16
    every = found.savings.every
    assert every is not None and every.blocks == 16
    bare = totals(found, "inverted_residual")["one k×k, not expanded"]
    assert every.baseline.cost == bare.baseline.cost


def overlapping() -> keras.Model:
    """A shuffle unit whose depthwise convolution and ungrouped, linear 1×1 are an inverted residual
    of expansion 1 as well, as one with an expansion follows: both motifs' definitions hold, on
    common layers."""
    x = square(14, 24)
    y = layers.ReLU()(layers.Conv2D(24, 1, groups=3)(x))
    y = layers.Reshape((14, 14, 3, 8))(y)
    y = layers.Reshape((14, 14, 24))(layers.Permute((1, 2, 4, 3))(y))
    y = layers.ReLU()(layers.DepthwiseConv2D(3, padding="same")(y))
    y = layers.Conv2D(24, 1)(y)
    z = layers.DepthwiseConv2D(3, padding="same", activation="relu")(
        layers.Conv2D(96, 1, activation="relu")(y)
    )
    return keras.Model(x, layers.Conv2D(8, 1)(z))


def test_overlapping_blocks_are_never_both_made_plain() -> None:
    """The larger one is; the combined figure is one splice, never a sum of two savings."""
    found = made(overlapping)
    (unit,), (inverted, after) = of(found, "grouped_pointwise"), of(found, "inverted_residual")
    assert {n.name for n in unit.nodes} & {n.name for n in inverted.nodes}
    every = found.savings.every
    assert every is not None and every.blocks == 2
    alone = totals(found, "grouped_pointwise")["ungrouped"].baseline.cost
    # Ungrouped the first 1×1 has 24·24 weights on 14² positions in place of a third of them.
    assert alone.macs - found.totals.macs == 14 * 14 * (576 - 192)
    # The one that lies apart goes by a 3×3 of 24 to 8 channels in place of 24·96 + 9·96 + 96·8.
    assert every.baseline.cost.macs - alone.macs == 14 * 14 * (9 * 24 * 8 - 3_936)
    assert not {n.name for n in after.nodes} & {n.name for n in unit.nodes}


def test_every_joins_motifs_that_lie_apart() -> None:
    """The bottlenecks of a backbone and the pyramid on it, each in its cheapest form: 17 blocks,
    changes added."""
    found = study("fpn")
    every = found.savings.every
    assert every is not None and every.blocks == 17
    one = totals(found, "bottleneck")["one k×k at full width"].baseline.cost
    straight = totals(found, "fpn")["k×k straight on the maps"].baseline.cost
    for field in SUMS:
        model = getattr(found.savings.model, field)
        want = getattr(one, field) + getattr(straight, field) - model
        assert getattr(every.baseline.cost, field) == want


def test_gates_alone_are_no_saving() -> None:
    """Where there is nothing but gates, no figure of all blocks in plain form is given."""

    def build() -> keras.Model:
        x = square(8, 32)
        y = by_hand.gated(layers.Conv2D(32, 3, padding="same")(x), 8)
        return keras.Model(x, layers.Conv2D(8, 3, padding="same")(y))

    found = made(build)
    assert len(of(found, "channel_attention")) == 1
    assert found.savings.every is None
    (total,) = found.savings.totals
    assert total.baseline.cost.macs == found.totals.macs - 2 * 32 * 8


# Near misses


def misses(found: Study, motif: str) -> list[tuple[str, str]]:
    return [(miss.path, miss.reason) for miss in found.misses if miss.motif == motif]


def chain(width: int, shortcut: bool) -> keras.Model:
    """1×1, 3×3, 1×1 on 32 channels."""
    x = square(8, 32)
    y = layers.Conv2D(width, 1, activation="relu")(x)
    y = layers.Conv2D(width, 3, padding="same", activation="relu")(y)
    y = layers.Conv2D(32, 1, name="last")(y)
    return keras.Model(x, layers.Add()([x, y]) if shortcut else layers.ReLU()(y))


def test_a_chain_alone_is_no_bottleneck() -> None:
    found = made(chain, 8, False)
    assert of(found, "bottleneck") == []
    ((path, reason),) = misses(found, "bottleneck")
    assert path == "last" and "addition" in reason


def test_wider_inside_is_no_bottleneck() -> None:
    found = made(chain, 64, True)
    assert of(found, "bottleneck") == []
    ((path, reason),) = misses(found, "bottleneck")
    assert path == "last" and "wider" in reason


def test_a_bottleneck_as_wide_as_it_is_outside() -> None:
    """The width may equal the output's: a match, and no miss."""
    found = made(chain, 32, True)
    assert len(of(found, "bottleneck")) == 1 and misses(found, "bottleneck") == []


def test_a_gate_without_a_sigmoid_is_none() -> None:
    def build() -> keras.Model:
        x = square(8, 32)
        y = layers.GlobalAveragePooling2D(keepdims=True)(x)
        y = layers.Dense(32, activation="relu")(layers.Dense(8, activation="relu")(y))
        return keras.Model(x, layers.Multiply(name="scale")([x, y]))

    found = made(build)
    assert of(found, "channel_attention") == []
    ((path, reason),) = misses(found, "channel_attention")
    assert path == "scale" and "sigmoid" in reason


def test_mobilenet_has_no_inverted_residuals() -> None:
    """13 pairs whose 1×1s are activated, each with its reason."""
    found = misses(study("mobilenet"), "inverted_residual")
    assert len(found) == 13 and all("activated" in reason for _, reason in found)


def test_misses_do_not_save() -> None:
    found = made(chain, 64, True)
    assert found.savings.lines == () and found.savings.every is None


# What is not known


class Mystery(layers.Layer):
    """A layer that cannot be traced: it leaves for Python."""

    def call(self, x: Any) -> Any:
        y = tf.numpy_function(np.sin, [x], "float32")
        y.set_shape(x.shape)
        return y


def unknown(inside: bool) -> keras.Model:
    """A bottleneck, and a layer of unknown cost before it or on its shortcut."""
    x = square(8, 32)
    y = Mystery(name="mystery")(x) if not inside else x
    z = layers.Conv2D(8, 1, activation="relu")(y)
    z = layers.Conv2D(8, 3, padding="same", activation="relu")(z)
    return keras.Model(x, layers.Add()([y, layers.Conv2D(32, 1)(z)]))


def test_an_unknown_layer_makes_the_model_s_figures_at_least() -> None:
    """The block itself, beside it, stays exact."""
    found = made(unknown, False)
    bounds = found.savings.model.at_least
    assert {"macs", "flops"} <= bounds
    assert bounds == found.totals.at_least & {*SUMS, "depth"}
    (line,) = lines(found, "bottleneck")
    assert line.cost.at_least == frozenset()
    for total in found.savings.totals:
        assert total.baseline.cost.at_least == bounds
    assert all(p.cost.at_least == frozenset() for p in line.baselines)
    every = found.savings.every
    assert every is not None and every.baseline.cost.at_least == bounds


def test_a_complete_model_is_exact() -> None:
    found = made(unknown, True)
    assert found.savings.model.at_least == frozenset() == found.totals.at_least


def test_what_is_not_known_goes_with_what_is_cut_or_spliced_away() -> None:
    """A sparsemax has FLOPs that depend on the values: the part that holds it is a lower bound,
    what is left without it is exact."""

    def build() -> keras.Model:
        x = square(8, 32)
        y = layers.Conv2D(8, 1, activation="sparsemax", name="first")(x)
        return keras.Model(x, layers.Conv2D(8, 3, name="last")(y))

    graph = made(build).graph
    assert figures(graph).at_least == frozenset({"flops"})
    for layer, bounds in (("first", {"flops"}), ("last", set[str]())):
        part = subgraph(graph, [n for n in graph.nodes if n.origin.layer == layer])
        assert figures(part).at_least == bounds
    (bent,) = (n.outputs[0] for n in graph.nodes if n.op == "opaque")
    (before,) = graph.producer[bent].operands
    assert figures(splice(graph, [Patch(replace={bent: before})])).at_least == frozenset()


def test_a_block_with_a_sorting_activation_is_a_lower_bound() -> None:
    """Sparsemax is an activation; its plain form without it is exact."""

    def build() -> keras.Model:
        x = square(8, 32)
        y = layers.Conv2D(8, 1, activation="sparsemax")(x)
        y = layers.Conv2D(8, 3, padding="same", activation="relu")(y)
        return keras.Model(x, layers.Add()([x, layers.Conv2D(32, 1)(y)]))

    (block,) = made(build).blocks
    assert (block.motif, block.cost.at_least) == ("bottleneck", frozenset({"flops"}))
    assert block.baselines[0].cost.at_least == frozenset()


def shared_keys() -> keras.Model:
    """Multi-query attention (arXiv:1911.02150) head by head: one key and one value for three."""
    x = keras.Input((10, 12))
    key, value = layers.Dense(4, name="k")(x), layers.Dense(4, name="v")(x)
    heads = []
    for i in range(3):
        query = layers.Dense(4, name=f"q{i}")(x)
        weights = keras.ops.softmax(keras.ops.matmul(query, keras.ops.transpose(key, (0, 2, 1))))
        heads.append(keras.ops.matmul(weights, value))
    return keras.Model(x, layers.Concatenate()(heads))


def test_what_blocks_share_is_made_plain_once() -> None:
    """Five projections of 10 · 12 · 4 MACs; a kernel of three taps takes three times as many."""
    found = made(shared_keys)
    assert len(of(found, "attention_projection")) == 3
    (line,) = lines(found, "attention_projection")
    (plain,) = line.baselines
    assert (line.cost.macs, plain.cost.macs) == (5 * 480, 3 * 5 * 480)
    total = totals(found, "attention_projection")["3-tap convolutions"]
    assert total.baseline.cost.macs == found.totals.macs + 2 * 5 * 480
    assert total.baseline.cost.params == found.totals.params + 2 * 5 * 48


def test_a_total_says_how_many_blocks_have_its_form() -> None:
    """The first block of MobileNetV2 has no expansion that could be fused (arXiv:1801.04381)."""
    found = totals(study("keras.applications:MobileNetV2"), "inverted_residual")
    assert {name: total.blocks for name, total in found.items()} == {
        "k×k at the expanded width": 17,
        "fused": 16,
        "one k×k, not expanded": 17,
    }


def test_a_residual_block_with_two_spatial_convolutions_is_a_near_miss() -> None:
    """R(2+1)D's factorised 3×3×3 (arXiv:1711.11248, figure 3) between two 1×1s."""

    def build() -> keras.Model:
        x = keras.Input((4, 8, 8, 16))
        y = layers.Conv3D(4, 1, activation="relu")(x)
        y = layers.Conv3D(6, (1, 3, 3), padding="same", activation="relu")(y)
        y = layers.Conv3D(4, (3, 1, 1), padding="same", activation="relu")(y)
        return keras.Model(x, layers.Add()([x, layers.Conv3D(16, 1, name="out")(y)]))

    found = made(build)
    assert not found.blocks
    reasons = {(m.motif, m.path): m.reason for m in found.misses}
    assert reasons["bottleneck", "out"] == "more than a k×k stands between its 1×1s"
