"""A block at other inner widths, against the same block built in Keras at each of them.

For a residual bottleneck on P output positions (He et al. 2016, figure 5): its 1×1 takes P·Cin·w,
its 3×3 P·9·w²/g in g groups, its last 1×1 P·w·Cout, and a projection shortcut P·Cin·Cout, so that
a = 9·P/g, b = P·(Cin + Cout) and c = P·Cin·Cout or 0. The coefficients below are these products
written out, each beside the paper's shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

import costlens
from costlens.analysis.blocks import Block
from costlens.analysis.sweep import Point, Sweep
from costlens.study import Study
from tests.motifs import by_hand
from tests.motifs.by_hand import Counted, square
from tests.oracles.traced import build_abstractly

DIRECTORY = Path(__file__).parents[2] / "examples"


@cache
def example(name: str) -> Study:
    return costlens.analyze(f"{DIRECTORY}/{name}.py")


def one(study: Study, motif: str, at: int = 0) -> Block:
    return [block for block in study.blocks if block.motif == motif][at]


def swept(study: Study, motif: str, at: int = 0) -> Sweep:
    found = study.sweep(one(study, motif, at))
    assert found is not None
    return found


def fire(width: int, side: int, cin: int, one_by_one: int, three: int) -> keras.Model:
    """SqueezeNet's module (arXiv:1602.07360, figure 2)."""
    x = square(side, cin)
    y = layers.Conv2D(width, 1, activation="relu")(x)
    left = layers.Conv2D(one_by_one, 1, activation="relu")(y)
    right = layers.Conv2D(three, 3, padding="same", activation="relu")(y)
    return keras.Model(x, layers.Concatenate()([left, right]))


def dense_layer(width: int, side: int, cin: int, growth: int) -> keras.Model:
    """DenseNet-B's layer from its 1×1 on (arXiv:1608.06993, section 3)."""
    x = square(side, cin)
    y = layers.Conv2D(width, 1, use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    return keras.Model(x, layers.Conv2D(growth, 3, padding="same", use_bias=False)(y))


def inverted(width: int, side: int, cin: int, cout: int, stride: int) -> keras.Model:
    return by_hand.inverted_residual(side, cin, width, cout, stride)


def mlp(width: int, tokens: int, channels: int) -> keras.Model:
    """A transformer's MLP, with the sum that it is added to as a second input."""
    x, around = keras.Input((tokens, channels)), keras.Input((tokens, channels))
    y = layers.Dense(channels)(layers.Dense(width, activation="gelu")(x))
    return keras.Model([x, around], layers.Add()([around, y]))


def gate(width: int, side: int, channels: int) -> keras.Model:
    x = square(side, channels)
    return keras.Model(x, by_hand.gated(x, width))


def grouped() -> keras.Model:
    """ResNeXt-50's first block of its second stage (arXiv:1611.05431, table 1)."""
    return by_hand.bottleneck(128, 56, 256, 256, 1, False, False, 32)


def network(*parts: tuple[Callable[..., keras.Model], tuple[Any, ...]]) -> keras.Model:
    """Blocks in a row, and a 3×3 behind them."""
    models = [build(*args) for build, args in parts]
    x = y = keras.Input(models[0].inputs[0].shape[1:])
    for model in models:
        y = model(y)
    return keras.Model(x, layers.Conv2D(4, 3, padding="same")(y))


@cache
def strided_inverted() -> Study:
    """MobileNetV2's first block of 32 channels (arXiv:1801.04381, table 2)."""
    return costlens.analyze(build_abstractly(network, (inverted, (144, 56, 24, 32, 2))))


@cache
def resnext() -> Study:
    return costlens.analyze(build_abstractly(grouped))


Case = tuple[Callable[[], Study], str, int, Callable[..., keras.Model], tuple[Any, ...], int]

#: Study, motif, which of its blocks; the builder and what it takes besides the width; depth.
CASES: dict[str, Case] = {
    "identity": (
        lambda: example("bottleneck"),
        "bottleneck",
        0,
        by_hand.bottleneck,
        (56, 256, 256, 1),
        3,
    ),
    "projection of stride 2": (
        lambda: example("resnet50"),
        "bottleneck",
        3,
        by_hand.bottleneck,
        (56, 256, 512, 2, True, True),
        3,
    ),
    "32 groups": (
        resnext,
        "bottleneck",
        0,
        by_hand.bottleneck,
        (56, 256, 256, 1, False, False, 32),
        3,
    ),
    "fire": (lambda: example("squeezenet"), "fire", 2, fire, (54, 128, 128, 128), 2),
    "dense layer": (
        lambda: example("dense_block"),
        "dense_bottleneck",
        5,
        dense_layer,
        (56, 224, 32),
        1,
    ),
    "inverted residual": (
        lambda: example("mbconv"),
        "inverted_residual",
        0,
        inverted,
        (56, 24, 24, 1),
        2,
    ),
    "inverted residual of stride 2": (
        strided_inverted,
        "inverted_residual",
        0,
        inverted,
        (56, 24, 32, 2),
        2,
    ),
    "token-wise MLP": (
        lambda: example("transformer_block"),
        "transformer_mlp",
        0,
        mlp,
        (196, 384),
        1,
    ),
    "gate": (lambda: example("se_resnet50"), "channel_attention", 0, gate, (56, 256), 2),
}


@cache
def built(build: Callable[..., keras.Model], width: int, *args: Any) -> Counted:
    return by_hand.count(build, width, *args)


def differences(point: Point, counted: Counted, depth: int) -> dict[str, str]:
    own = point.cost
    found = {
        "params": (own.params, counted.params),
        "macs": (own.macs, counted.macs),
        "written": (own.activation_bytes, counted.written),
        "depth": (own.depth, depth),
    }
    found |= {key: (getattr(own, key), value) for key, value in counted.figures.items()}
    return {key: f"{got:,}, not {want:,}" for key, (got, want) in found.items() if got != want}


@pytest.mark.parametrize("case", CASES)
def test_points(case: str) -> None:
    """At each ratio the block is the one built by hand at that width."""
    study, motif, at, build, args, depth = CASES[case]
    sweep = swept(study(), motif, at)
    wrong = {
        point.width: found
        for point in sweep.points
        if (found := differences(point, built(build, point.width, *args), depth))
    }
    assert wrong == {}
    for point in sweep.points:
        assert point.ratio == Fraction(sweep.base, point.width)


@pytest.mark.parametrize("case", CASES)
def test_polynomial(case: str) -> None:
    """It gives the MACs of the block as it stands and of others, far off its points too."""
    study, motif, at, build, args, _ = CASES[case]
    sweep, block = swept(study(), motif, at), one(study(), motif, at)
    width = block.sizes["width"]
    assert sweep.a * width**2 + sweep.b * width + sweep.c == block.macs
    for units in (1, 5, 37):
        width = units * sweep.unit
        want = built(build, width, *args).macs
        assert sweep.a * width**2 + sweep.b * width + sweep.c == want


WIDTHS = {
    "identity": (256, 1, [128, 64, 32, 16]),
    "projection of stride 2": (512, 1, [256, 128, 64, 32]),
    "32 groups": (256, 32, [128, 64, 32]),
    "fire": (256, 1, [128, 64, 32, 16]),
    "dense layer": (224, 1, [112, 56, 28, 14]),
    "inverted residual": (24, 1, [24, 48, 96, 144]),
    "inverted residual of stride 2": (24, 1, [24, 48, 96, 144]),
    "token-wise MLP": (384, 1, [384, 768, 1536, 2304]),
    "gate": (256, 1, [128, 64, 32, 16]),
}


@pytest.mark.parametrize("case", CASES)
def test_widths(case: str) -> None:
    """r = 2, 4, 8, 16 of what the block gives, or reads; expansions 1, 2, 4, 6 where it widens.
    A grouped block has whole groups alone."""
    study, motif, at, *_ = CASES[case]
    sweep = swept(study(), motif, at)
    assert (sweep.base, sweep.unit, [point.width for point in sweep.points]) == WIDTHS[case]


#: a, b and c: positions times what one position takes, from the shapes alone.
COEFFICIENTS = {
    "identity": (3136 * 9, 3136 * (256 + 256), 0),
    "projection of stride 2": (784 * 9, 784 * (256 + 512), 784 * 256 * 512),
    "32 groups": (Fraction(3136 * 9, 32), 3136 * (256 + 256), 0),
    "fire": (0, 2916 * (128 + 128 + 9 * 128), 0),
    "dense layer": (0, 3136 * (224 + 9 * 32), 0),
    "inverted residual": (0, 3136 * (24 + 9 + 24), 0),
    "inverted residual of stride 2": (0, 3136 * 24 + 784 * (9 + 32), 0),
    "token-wise MLP": (0, 196 * (384 + 384), 0),
    "gate": (0, 256 + 256, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_coefficients(case: str) -> None:
    study, motif, at, *_ = CASES[case]
    sweep = swept(study(), motif, at)
    assert (sweep.a, sweep.b, sweep.c) == COEFFICIENTS[case]


def one_by_one(tokens: int, channels: int) -> keras.Model:
    x = keras.Input((tokens, channels))
    return keras.Model(x, layers.Dense(channels)(x))


#: The plain form that the break-even is taken against, built by hand.
PLAIN: dict[str, tuple[str, Callable[..., keras.Model], tuple[Any, ...]]] = {
    "identity": ("one k×k at full width", by_hand.residual, (1, 56, 256, 256, 1)),
    "projection of stride 2": (
        "one k×k at full width",
        by_hand.residual,
        (1, 56, 256, 512, 2, True, True),
    ),
    "32 groups": ("one k×k at full width", by_hand.residual, (1, 56, 256, 256, 1)),
    "fire": ("one k×k", by_hand.conv_relu, (54, 128, 256, 3)),
    "dense layer": ("k×k without the 1×1", by_hand.conv, (56, 224, 32, 3, 1, False)),
    "inverted residual": ("one k×k, not expanded", by_hand.linear, (56, 24, 24, 1)),
    "inverted residual of stride 2": ("one k×k, not expanded", by_hand.linear, (56, 24, 32, 2)),
    "token-wise MLP": ("one 1×1, not expanded", one_by_one, (196, 384)),
}


@pytest.mark.parametrize("case", PLAIN)
def test_break_even(case: str) -> None:
    """At that width the block takes no more MACs than its plain form, one unit wider it does:
    all three built in Keras and counted on the traced graph."""
    study, motif, at, build, args, _ = CASES[case]
    name, plain, shape = PLAIN[case]
    sweep = swept(study(), motif, at)
    macs = by_hand.count(plain, *shape).macs
    assert (sweep.plain, sweep.plain_macs) == (name, macs)
    assert sweep.even is not None and sweep.even % sweep.unit == 0
    assert built(build, sweep.even, *args).macs <= macs
    assert built(build, sweep.even + sweep.unit, *args).macs > macs
    assert sweep.even_ratio == pytest.approx(sweep.base / sweep.even, abs=5e-4)


#: Solved by hand. 9w² + 512w ≤ 9·256²; 2w ≤ 384; (24 + 9 + 24)·w ≤ 9·24²; 512w ≤ 9·224·32.
SOLVED = {"identity": 229, "token-wise MLP": 192, "inverted residual": 90, "dense layer": 126}


@pytest.mark.parametrize("case", SOLVED)
def test_break_even_solved(case: str) -> None:
    """9·229² + 512·229 = 589,217 ≤ 589,824 < 9·230² + 512·230 = 593,860 for the bottleneck."""
    study, motif, at, *_ = CASES[case]
    assert swept(study(), motif, at).even == SOLVED[case]


def test_a_gate_has_no_break_even() -> None:
    """It saves nothing at any width."""
    sweep = swept(example("se_resnet50"), "channel_attention")
    assert sweep.even is None and sweep.even_ratio is None


def test_break_even_beside_a_projection() -> None:
    """From 1 channel to 32, the projection on both sides: w + 9·w² + 32·w ≤ 9·32 holds at w = 4
    (276), and not at 5 (390)."""

    def build() -> keras.Model:
        x = square(8, 1)
        y = layers.ReLU()(layers.Conv2D(4, 1)(x))
        y = layers.ReLU()(layers.Conv2D(4, 3, padding="same")(y))
        return keras.Model(x, layers.Add()([layers.Conv2D(32, 1)(x), layers.Conv2D(32, 1)(y)]))

    sweep = swept(costlens.analyze(build_abstractly(build)), "bottleneck")
    assert (sweep.c, sweep.plain_macs) == (64 * 32, 64 * (9 * 32 + 32))
    assert sweep.even == 4


def test_no_width_saves() -> None:
    """On tokens of one channel an MLP takes 2·w MACs for each, one 1×1 takes 1."""

    def build() -> keras.Model:
        x = keras.Input((16, 1))
        y = layers.Dense(1)(layers.Dense(4, activation="relu")(x))
        return keras.Model(x, layers.Conv1D(4, 3)(layers.Add()([x, y])))

    sweep = swept(costlens.analyze(build_abstractly(build)), "transformer_mlp")
    assert sweep.even is None and sweep.even_ratio is None


@pytest.mark.parametrize(
    ("name", "motif"), [("inception_module", "inception"), ("nin", "mlpconv"), ("fpn", "fpn")]
)
def test_no_single_width(name: str, motif: str) -> None:
    study = example(name)
    assert study.sweep(one(study, motif)) is None


def test_a_gated_inverted_residual_has_no_single_width() -> None:
    """Its gate has a width of its own."""
    study = costlens.analyze(f"{DIRECTORY}/mbconv.py:build(gate=True)")
    assert study.sweep(one(study, "inverted_residual")) is None
