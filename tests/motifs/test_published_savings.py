"""What papers print of the savings of their 1×1s, from the blocks and plain forms of costlens.

Each figure stands with its source. Where a paper's own shapes give another figure than it prints,
that of the shapes is here, and the printed one is in a comment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import layers

import costlens
from costlens.analysis.blocks import Block
from costlens.analysis.figures import Figures
from costlens.study import Study
from tests.motifs import by_hand
from tests.oracles.traced import build_abstractly, traced_macs

ROOT = Path(__file__).parents[2]
PUBLISHED = json.loads((ROOT / "tests/reference/published.json").read_text())


@cache
def study(target: str) -> Study:
    return costlens.analyze(f"{ROOT}/{target}" if target.startswith("examples/") else target)


def blocks(target: str, motif: str) -> list[Block]:
    return [block for block in study(target).blocks if block.motif == motif]


def total(target: str, motif: str, name: str) -> Figures:
    """The whole model with all blocks of a motif in one plain form."""
    (found,) = (
        each.baseline.cost
        for each in study(target).savings.totals
        if each.motif == motif and each.baseline.name == name
    )
    return found


def kernels(model: keras.Model) -> int:
    """Scalars of the kernels, by Keras's own names of its variables."""
    return sum(prod(w.shape) for w in model.variables if w.path.endswith("kernel"))


def printed(source: str, model: str) -> list[dict[str, Any]]:
    """The tested rows of a table for a model."""
    rows = [r for r in PUBLISHED["tested"] if r["source"] == source and r["model"] == model]
    assert rows
    return rows


def share(part: int, whole: int) -> float:
    """In percent, as tables print it."""
    return round(100 * part / whole, 2)


# GoogLeNet: Szegedy et al., Going Deeper with Convolutions, CVPR 2015, arXiv:1409.4842, table 1

GOOGLENET = "examples/googlenet.py"

#: By module: side, input channels, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj; then
#: the table's "ops" in millions. None: the shapes do not give what it prints (4a 73, from
#: 73,608,192; 5a 54, from 51,079,168).
INCEPTIONS: Mapping[str, tuple[tuple[int, ...], int | None]] = {
    "inception_3a": ((28, 192, 64, 96, 128, 16, 32, 32), 128),
    "inception_3b": ((28, 256, 128, 128, 192, 32, 96, 64), 304),
    "inception_4a": ((14, 480, 192, 96, 208, 16, 48, 64), None),
    "inception_4b": ((14, 512, 160, 112, 224, 24, 64, 64), 88),
    "inception_4c": ((14, 512, 128, 128, 256, 24, 64, 64), 100),
    "inception_4d": ((14, 512, 112, 144, 288, 32, 64, 64), 119),
    "inception_4e": ((14, 528, 256, 160, 320, 32, 128, 128), 170),
    "inception_5a": ((7, 832, 256, 160, 320, 32, 128, 128), None),
    "inception_5b": ((7, 832, 384, 192, 384, 48, 128, 128), 71),
}


def test_inception_modules_of_table_1() -> None:
    """Ops of each module with its reducers, as printed; and the same rows of the reference."""
    found = {block.path: block for block in blocks(GOOGLENET, "inception")}
    assert set(found) == set(INCEPTIONS)
    for path, (_, ops) in INCEPTIONS.items():
        assert ops is None or round(found[path].macs / 10**6) == ops
    rows = [
        row
        for row in printed("arXiv:1409.4842 table 1", "GoogLeNet")
        if row.get("layer", "").startswith("inception") and row["quantity"] == "macs"
    ]
    assert len(rows) == sum(ops is not None for _, ops in INCEPTIONS.values())
    for row in rows:
        path = row["layer"].removesuffix("/*")
        assert round(found[path].macs / 10**6) == row["value"] == INCEPTIONS[path][1]


def test_weights_of_inception_3a() -> None:
    """159K weights (in units of 1024, its text's and its table's convention for this row): the
    1×1s' from the lens, the 3×3's and 5×5's from the paper's shapes."""
    (module,) = study("examples/inception_module.py").blocks
    points = [p for p in study("examples/inception_module.py").pointwise if p.block == module.path]
    weights = sum(p.weights for p in points) + 9 * 96 * 128 + 25 * 16 * 32
    assert len(points) == 4
    assert weights == 163_328 and 159 * 1024 <= weights < 160 * 1024
    assert sum(p.params for p in points) + 9 * 96 * 128 + 128 + 25 * 16 * 32 + 32 == module.params


def test_reducers_of_googlenet() -> None:
    """The naive modules (figure 2a), built by hand, one by one and together: each takes more than
    twice the MACs of the reduced one, the "computational blow up" of section 4."""
    found = {block.path: block for block in blocks(GOOGLENET, "inception")}
    added = 0
    for path, (row, _) in INCEPTIONS.items():
        side, cin, one, _, three, _, five, pool = row
        naive = by_hand.count(by_hand.naive_inception, side, cin, one, three, five, pool)
        (plain,) = found[path].baselines
        assert (plain.params, plain.macs) == (naive.params, naive.macs)
        assert plain.macs > 2 * found[path].macs
        added += naive.macs - found[path].macs
    whole = total(GOOGLENET, "inception", "naive module")
    assert whole.macs == study(GOOGLENET).totals.macs + added


def test_inception_5b_by_the_table() -> None:
    """The module's branches written out for one row: 7²·832·(384 + 192 + 48 + 128) for the 1×1s,
    7²·(9·192·384 + 25·48·128) behind the reducers, 7²·832·(9·384 + 25·128) without them."""
    block = next(b for b in blocks(GOOGLENET, "inception") if b.path == "inception_5b")
    assert block.macs == 49 * (832 * (384 + 192 + 48 + 128) + 9 * 192 * 384 + 25 * 48 * 128)
    assert block.baselines[0].macs == 49 * 832 * (384 + 128 + 9 * 384 + 25 * 128)


# SqueezeNet: Iandola et al., 2016, arXiv:1602.07360, table 1

SQUEEZENET = "examples/squeezenet.py"

#: By module: s1x1, e1x1, e3x3, and the parameters before pruning.
FIRES = {
    "fire2": (16, 64, 64, 11_920),
    "fire3": (16, 64, 64, 12_432),
    "fire4": (32, 128, 128, 45_344),
    "fire5": (32, 128, 128, 49_440),
    "fire6": (48, 192, 192, 104_880),
    "fire7": (48, 192, 192, 111_024),
    "fire8": (64, 256, 256, 188_992),
    "fire9": (64, 256, 256, 197_184),
}


def test_fire_modules_of_table_1() -> None:
    """Parameters of each module, biases included, and the section 5.1 metaparameters: a squeeze
    ratio SR = s1x1 / (e1x1 + e3x3) = 0.125 and pct3x3 = 0.5 in all."""
    found = {block.path: block for block in blocks(SQUEEZENET, "fire")}
    assert {path: block.params for path, block in found.items()} == {
        path: row[-1] for path, row in FIRES.items()
    }
    for path, (squeeze, one, three, _) in FIRES.items():
        sizes = found[path].sizes
        assert (sizes["width"], sizes["expand1x1"], sizes["expand"]) == (squeeze, one, three)
        assert Fraction(sizes["width"], sizes["out_channels"]) == Fraction(1, 8)
        assert Fraction(sizes["expand"], sizes["out_channels"]) == Fraction(1, 2)
    assert sum(block.params for block in found.values()) + 14_208 + 513_000 == 1_248_424


def test_table_1_is_the_reference_s() -> None:
    rows = printed("arXiv:1602.07360 table 1", "SqueezeNet v1.0")
    fires = {r["layer"].removesuffix("/*"): r["value"] for r in rows if "fire" in r["id"]}
    assert fires == {path: row[-1] for path, row in FIRES.items()}


def test_squeezenet_without_fire_modules() -> None:
    """A net of one 3×3 in place of each module, built by hand: the strategies 1 and 2 of section
    3.1 (replace 3×3 filters with 1×1, fewer channels into 3×3) undone."""

    def build() -> keras.Model:
        x = keras.Input((224, 224, 3))
        y = layers.Conv2D(96, 7, strides=2, activation="relu")(x)
        y = layers.MaxPooling2D(3, strides=2)(y)
        for name, (_, one, three, _) in FIRES.items():
            y = layers.Conv2D(one + three, 3, padding="same", activation="relu")(y)
            if name in ("fire4", "fire8"):
                padding = "valid" if y.shape[1] % 2 else "same"
                y = layers.MaxPooling2D(3, strides=2, padding=padding)(y)
        y = layers.Conv2D(1000, 1, activation="relu")(layers.Dropout(0.5)(y))
        return keras.Model(x, layers.Softmax()(layers.GlobalAveragePooling2D()(y)))

    want = by_hand.count(build)
    found = total(SQUEEZENET, "fire", "one k×k")
    assert (found.params, found.macs) == (want.params, want.macs)
    assert found.params > 6 * 1_248_424


# MobileNet: Howard et al., 2017, arXiv:1704.04861

MOBILENET = "examples/mobilenet.py"
KERAS = "keras.applications:MobileNet(weights=None)"
MOBILENETS = (MOBILENET, KERAS)


@pytest.mark.parametrize("target", MOBILENETS)
def test_table_4_full_convolution_against_depthwise_separable(target: str) -> None:
    """Table 4: Conv MobileNet 4866 M mult-adds and 29.3 M parameters, MobileNet 569 M and 4.2 M.
    From its shapes 4,867,293,184 (4866 is a truncated or misread 4867) and 29,281,120 kernel
    weights, 568,740,352 and 4,209,088."""
    plain = build_abstractly(conv_mobilenet)
    assert traced_macs(plain).macs == 4_867_293_184 and kernels(plain) == 29_281_120

    savings = study(target).savings
    found = total(target, "depthwise_separable", "full k×k")
    assert (found.params, found.macs) == (plain.count_params(), 4_867_293_184)
    assert savings.model.macs == 568_740_352 and round(savings.model.macs / 10**6) == 569
    (each,) = savings.totals
    assert each.blocks == 13
    # Norms and biases are no weights of the paper's: 4 for each channel, 1 for each class.
    channels = 32 + sum(cout for _, cout, _ in PAIRS)
    assert found.params - 4 * channels - 1000 == 29_281_120
    depthwise = sum(cin for cin, _, _ in PAIRS)
    assert savings.model.params - 4 * (channels + depthwise) - 1000 == 4_209_088


#: Table 1: channels in and out and the stride of each depthwise separable convolution.
PAIRS = (
    (32, 64, 1),
    (64, 128, 2),
    (128, 128, 1),
    (128, 256, 2),
    (256, 256, 1),
    (256, 512, 2),
    *[(512, 512, 1)] * 5,
    (512, 1024, 2),
    (1024, 1024, 1),
)


def conv_mobilenet() -> keras.Model:
    """Table 1 with a full convolution in place of each pair."""
    x = keras.Input((224, 224, 3))
    y = layers.ReLU()(by_hand.conv_bn(x, 32, 3, 2))
    for _, filters, stride in PAIRS:
        y = layers.ReLU()(by_hand.conv_bn(y, filters, 3, stride))
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(1000, activation="softmax")(y))


@pytest.mark.parametrize(
    "target",
    [
        *MOBILENETS,
        "keras.applications:Xception(weights=None)",
        "keras.applications:MobileNet(alpha=0.5, input_shape=(160, 160, 3), weights=None)",
        "keras.applications:NASNetMobile(weights=None)",
    ],
)
def test_the_law_of_section_3_1(target: str) -> None:
    """A separable convolution takes 1/N + 1/k² of the mult-adds of a full one, exactly."""
    found = blocks(target, "depthwise_separable")
    assert len(found) >= 13
    for block in found:
        (plain,) = block.baselines
        n, k = block.sizes["out_channels"], block.sizes["kernel"]
        assert Fraction(block.macs, plain.macs) == Fraction(1, n) + Fraction(1, k**2), block.path


def test_section_3_1_eight_to_nine_times() -> None:
    """3×3s use "between 8 to 9 times less computation" than full ones: all pairs of MobileNet
    but the first, of 64 filters, which has 7.89."""
    ratios = {
        b.path: 1 / Fraction(b.macs, b.baselines[0].macs)
        for b in blocks(MOBILENET, "depthwise_separable")
    }
    assert all(8 < ratio < 9 for path, ratio in ratios.items() if path != "block1")
    assert round(ratios["block1"], 2) == Fraction(789, 100)


def test_table_3_one_layer() -> None:
    """Table 3, on 14×14×512: full 462 M and 2.36 M, separable 52.3 M and 0.27 M."""
    block = next(b for b in blocks(MOBILENET, "depthwise_separable") if b.path == "block8")
    assert block.sizes["in_channels"] == block.sizes["out_channels"] == 512
    (plain,) = block.baselines
    assert round(plain.macs / 10**6) == 462 and round(block.macs / 10**6, 1) == 52.3
    # Of the parameters the norms' four for each channel are none of the paper's.
    assert round((plain.params - 4 * 512) / 10**6, 2) == 2.36
    assert round((block.params - 8 * 512) / 10**6, 2) == 0.27


@pytest.mark.parametrize("target", MOBILENETS)
def test_table_2_where_mobilenet_spends(target: str) -> None:
    """Table 2: 1×1 94.86 % of mult-adds and 74.59 % of parameters, depthwise 3×3 3.06 % and
    1.06 %, 3×3 1.19 % (a misprint of 1.91) and 0.02 %, fully connected 0.18 % and 24.33 %.

    By its convention parameters are kernels alone, and the scores a fully connected layer, dense
    or written as a 1×1. The depthwise share is what the separable blocks have beside their 1×1s.
    """
    found = study(target)
    macs, weights = found.totals.macs, 4_209_088
    points = [p for p in found.pointwise if p.role == "separable pointwise"]
    (head,) = (p for p in found.pointwise if p.role == "classifier head")
    assert len(points) == 13 and len(found.pointwise) == 14
    assert share(sum(p.macs for p in points), macs) == 94.86
    assert share(sum(p.weights for p in points), weights) == 74.59
    assert share(head.macs, macs) == 0.18
    assert share(head.weights, weights) == 24.33
    separable = blocks(target, "depthwise_separable")
    depthwise = sum(b.macs for b in separable) - sum(p.macs for p in points)
    assert share(depthwise, macs) == 3.06
    taps = sum(9 * b.sizes["in_channels"] for b in separable)
    assert share(taps, weights) == 1.06
    assert share(macs - depthwise - sum(p.macs for p in (*points, head)), macs) == 1.91
    assert share(weights - taps - sum(p.weights for p in (*points, head)), weights) == 0.02


@pytest.mark.parametrize("target", MOBILENETS)
def test_table_2_as_shares(target: str) -> None:
    """The shares by role say the same, of all parameters where the paper says weights."""
    shares = {each.role: each for each in study(target).pointwise_shares}
    assert set(shares) == {"separable pointwise", "classifier head", "all 1×1s"}
    assert round(100 * shares["separable pointwise"].share_macs, 2) == 94.86
    assert round(100 * shares["classifier head"].share_macs, 2) == 0.18
    assert shares["separable pointwise"].weights == 3_139_584
    assert shares["classifier head"].weights == 1_024_000
    assert shares["classifier head"].params == 1_025_000
    assert shares["all 1×1s"].weights == 3_139_584 + 1_024_000


# SE-ResNet-50: Hu et al., Squeeze-and-Excitation Networks, CVPR 2018, arXiv:1709.01507

SE = "examples/se_resnet50.py"


def test_overhead_of_the_gates() -> None:
    """Section 4: "∼2.5 million additional parameters" and 3.86 to 3.87 GFLOPs: 2,514,944 weights
    of gates without biases, and as many MACs."""
    found = total(SE, "channel_attention", "no gate")
    model = study(SE).savings.model
    assert model.macs == 3_860_488_192 and found.macs == 3_857_973_248
    assert model.params - found.params == model.macs - found.macs == 2_514_944
    plain = study("examples/resnet50.py").totals
    assert (found.params, found.macs) == (plain.params, plain.macs)
    assert (found.activation_bytes, found.bytes_moved) == (
        plain.activation_bytes,
        plain.bytes_moved,
    )
    # (2/r)·Σ N_s·C_s², equation 5, with r = 16 over the four stages.
    stages = ((3, 256), (4, 512), (6, 1024), (3, 2048))
    assert Fraction(2, 16) * sum(n * c**2 for n, c in stages) == 2_514_944


def test_each_gate_costs_what_it_is() -> None:
    """Its block's figures are the two dense layers'; without it nothing is left."""
    found = blocks(SE, "channel_attention")
    assert sum(block.macs for block in found) == 2_514_944
    assert sum(block.params for block in found) == 2_514_944
    for block in found:
        (plain,) = block.baselines
        assert (plain.params, plain.macs, plain.cost.flops) == (0, 0, 0)


def test_the_paper_s_3_87() -> None:
    """Table 2 prints 3.87 GFLOPs: with one operation for each element that a squeeze reads and one
    for each that a scale writes it is 3,871,526,912."""
    by_type = {row.path: row for row in study(SE).layers}
    elements = 0
    for block in blocks(SE, "channel_attention"):
        (squeeze,), (scale,) = block.parts["squeeze"], block.parts["scale"]
        elements += prod(by_type[squeeze].input_shapes[0])
        elements += prod(by_type[scale].output_shapes[0])
    assert study(SE).totals.macs + elements == 3_871_526_912
    assert round((study(SE).totals.macs + elements) / 10**9, 2) == 3.87


# ResNet: He et al., CVPR 2016, arXiv:1512.03385


def basic_block() -> keras.Model:
    """Figure 5, left: two 3×3s on 56×56×64."""
    return by_hand.residual(2, 56, 64, 64, 1)


def test_figure_5_similar_complexity() -> None:
    """ "Both designs have similar time complexity": the basic block on 64 channels takes 231 M
    MACs, the bottleneck on 256, four times as many, 218 M; two full 3×3s there take 17 times
    that."""
    (block,) = study("examples/bottleneck.py").blocks
    basic = by_hand.count(basic_block)
    assert (basic.macs, block.macs) == (231_211_008, 218_365_952)
    assert Fraction(94, 100) < Fraction(block.macs, basic.macs) < 1
    _, two = block.baselines
    assert two.macs == 16 * basic.macs
    assert Fraction(two.macs, block.macs) == Fraction(288, 17)


def test_table_1_of_resnet() -> None:
    """Table 1: 3.8·10⁹ (rounded down), 7.6·10⁹ and 11.3·10⁹ FLOPs for 50, 101 and 152 layers, with
    16, 33 and 50 bottlenecks. "Even the 152-layer ResNet has lower complexity than VGG-16/19 nets"
    (15.3 and 19.6·10⁹): without its 1×1s not even ResNet-50 has."""
    layouts = {(3, 4, 6, 3): (3.8, 3.9), (3, 4, 23, 3): (7.55, 7.65), (3, 8, 36, 3): (11.25, 11.35)}
    for layout, (least, most) in layouts.items():
        target = f"examples/resnet50.py:build(blocks={layout})"
        assert len(blocks(target, "bottleneck")) == sum(layout)
        assert least <= study(target).totals.macs / 10**9 < most
    plain = total("examples/resnet50.py", "bottleneck", "one k×k at full width")
    assert plain.macs > 19_600_000_000


def basic_resnet(widths: Sequence[int], bias: bool) -> keras.Model:
    """The 34-layer net of table 1, its basic blocks at these widths."""
    x = keras.Input((224, 224, 3))
    y = layers.ReLU()(by_hand.conv_bn(x, 64, 7, 2, bias))
    y = layers.MaxPooling2D(3, strides=2, padding="same")(y)
    for stage, (count, width) in enumerate(zip((3, 4, 6, 3), widths, strict=True)):
        for at in range(count):
            stride = 2 if at == 0 and stage else 1
            block = by_hand.residual(
                2, y.shape[1], y.shape[-1], width, stride, bias, y.shape[-1] != width
            )
            y = block(y)
    y = layers.GlobalAveragePooling2D()(y)
    return keras.Model(x, layers.Dense(1000, activation="softmax")(y))


def test_resnet_34_is_the_plain_form_at_a_quarter_of_the_widths() -> None:
    """Section 4.1: "we replace each 2-layer block in the 34-layer net with this 3-layer bottleneck
    block". ResNet-50 in its plain form of two 3×3s is the 34-layer net at the bottlenecks' outer
    widths; at the widths of table 1 that net has 3.664·10⁹ MACs and 21,797,672 parameters
    (torchvision), the paper's 3.6."""
    wide = by_hand.count(basic_resnet, (256, 512, 1024, 2048), True)
    found = total("examples/resnet50.py", "bottleneck", "two k×k at full width")
    assert (found.params, found.macs) == (wide.params, wide.macs)
    narrow = build_abstractly(basic_resnet, (64, 128, 256, 512), False)
    assert sum(prod(w.shape) for w in narrow.trainable_variables) == 21_797_672
    assert round(traced_macs(narrow).macs / 10**9, 3) == 3.664


# MobileNetV2: Sandler et al., CVPR 2018, arXiv:1801.04381

V2 = "keras.applications:MobileNetV2(weights=None)"

#: Table 2: t, c, n, s, on a stem of 32 channels and 112×112.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def test_table_2_of_mobilenet_v2() -> None:
    """17 blocks of these widths. Section 3.3 and table 1: one of stride s on h·w takes
    h·w·d·t·d for the expansion and (h·w/s²)·(k² + d'')·t·d for the rest, "h·w·d'·t·(d' + k² + d'')"
    at stride 1."""
    found = iter(blocks(V2, "inverted_residual"))
    side, cin = 112, 32
    for t, cout, repeats, first in STAGES:
        for at in range(repeats):
            block, stride = next(found), first if at == 0 else 1
            sizes = block.sizes
            assert (sizes["in_channels"], sizes["width"], sizes["out_channels"]) == (
                cin,
                t * cin,
                cout,
            )
            assert (sizes["kernel"], sizes["stride"]) == (3, stride)
            out = side // stride
            expansion = side**2 * cin * t * cin if t > 1 else 0
            assert block.macs == expansion + out**2 * t * cin * (9 + cout)
            side, cin = out, cout
    assert next(found, None) is None


def test_depthwise_convolution_of_mobilenet_v2() -> None:
    """Section 3.1: depthwise convolution reduces computation "by almost a factor of k²". Within
    the expanded space of width t·d it drops the sum over channels: h·w·k²·t·d for h·w·k²·(t·d)²."""
    for block in blocks(V2, "inverted_residual"):
        wide = next(b for b in block.baselines if b.name == "k×k at the expanded width")
        width = block.sizes["width"]
        positions = block.sizes["positions"]
        assert wide.macs - block.macs == positions * 9 * width * (width - 1)


def test_an_inverted_residual_can_be_dearer_than_a_plain_convolution() -> None:
    """MBConv's expansion has its price (Tan & Le 2021, section 3.2: depthwise layers are "slow in
    early layers"): where d·t·(d + k² + d'') > k²·d·d'', that is 6·(24 + 9 + 24) = 342 > 216."""
    found = blocks(V2, "inverted_residual")
    block = found[2]
    one = block.baselines[-1]
    assert block.sizes["in_channels"] == block.sizes["out_channels"] == 24
    assert Fraction(block.macs, one.macs) == Fraction(342, 216)
    assert one.macs_ratio is not None and one.macs_ratio < 1
    assert "one k×k, not expanded" in block.note and "MACs" in block.note


# EfficientNet and EfficientNetV2: Tan & Le, arXiv:1905.11946 and arXiv:2104.00298


def test_table_4_of_efficientnet_v2_s_fused_stages() -> None:
    """EfficientNetV2, table 4: Fused-MBConv 3×3 of 24, 48, 64 channels for 2, 4, 4 layers at
    expansions 1, 4, 4. The first stage has no 1×1; the other eight are blocks, and each unfused
    has the cost of its 1×1, its depthwise 3×3 and its projection."""
    found = blocks("keras.applications:EfficientNetV2S(weights=None)", "fused_inverted_residual")
    plan = [(24, 48, 2), *[(48, 48, 1)] * 3, (48, 64, 2), *[(64, 64, 1)] * 3]
    assert len(found) == len(plan)
    for block, (cin, cout, stride) in zip(found, plan, strict=True):
        positions, width = block.sizes["positions"], 4 * cin
        assert block.macs == positions * width * (9 * cin + cout)
        unfused = next(b for b in block.baselines if b.name == "unfused")
        assert unfused.macs == positions * width * (stride**2 * cin + 9 + cout)
        assert unfused.macs < block.macs


def test_gates_of_efficientnet_b0() -> None:
    """EfficientNet: a gate in each of 16 MBConvs, as wide as a quarter of the block's input;
    with biases it has 2·C·w + C + w parameters."""
    found = blocks("keras.applications:EfficientNetB0(weights=None)", "channel_attention")
    # Inputs of the blocks in order: the first of a stage reads the stage before.
    inputs = [32, 16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192]
    assert len(found) == len(inputs)
    for block, cin in zip(found, inputs, strict=True):
        channels, width = cin * (1 if cin == 32 else 6), cin // 4
        assert dict(block.sizes) == {"channels": channels, "width": width}
        assert block.macs == 2 * channels * width
        assert block.params == 2 * channels * width + channels + width


# DenseNet: Huang et al., CVPR 2017, arXiv:1608.06993


@pytest.mark.parametrize(
    ("depth", "layout"), [(121, (6, 12, 24, 16)), (169, (6, 12, 32, 32)), (201, (6, 12, 48, 32))]
)
def test_table_1_of_densenet(depth: int, layout: tuple[int, ...]) -> None:
    """Table 1, growth rate 32: each layer reads all maps before it, "we let each 1×1 convolution
    produce 4k feature-maps", and transitions compress to θ = 0.5. Without its 1×1 a layer takes
    9·C·k weights, with it 4·k·(C + 9·k)."""
    target = f"keras.applications:DenseNet{depth}(weights=None)"
    found, side, channels = iter(blocks(target, "dense_bottleneck")), 56, 64
    transitions = iter(blocks(target, "transition"))
    for stage, count in enumerate(layout):
        for _ in range(count):
            block = next(found)
            sizes = {k: block.sizes[k] for k in ("in_channels", "width", "out_channels")}
            assert sizes == {"in_channels": channels, "width": 128, "out_channels": 32}
            assert block.macs == side**2 * 128 * (channels + 9 * 32)
            assert block.params == 128 * (channels + 9 * 32) + 4 * 128
            (plain,) = block.baselines
            assert (plain.macs, plain.params) == (side**2 * 9 * channels * 32, 9 * channels * 32)
            channels += 32
        if stage < 3:
            block = next(transitions)
            assert block.sizes["in_channels"] == channels
            assert block.sizes["out_channels"] == channels // 2
            assert block.macs == side**2 * channels * (channels // 2)
            side, channels = side // 2, channels // 2
    assert next(found, None) is None and next(transitions, None) is None


def test_densenet_s_1x1s_pay_from_some_width_on() -> None:
    """9·C·k against 4·k·(C + 9·k): the 1×1 pays where 5·C > 36·k, from 231 channels on at k = 32.
    Below that it makes a layer dearer, and its block says so."""
    for block in blocks("keras.applications:DenseNet121(weights=None)", "dense_bottleneck"):
        (plain,) = block.baselines
        assert (block.macs < plain.macs) is (block.sizes["in_channels"] > 230)
        assert ("MACs" in block.note) is (block.sizes["in_channels"] <= 230)


# ShuffleNet: Zhang et al., CVPR 2018, arXiv:1707.01083


def test_shufflenet_unit() -> None:
    """Section 3.2: a unit on c·h·w with m bottleneck channels takes hw(2cm/g + 9m); ungrouped it
    is the same with g = 1."""
    (block,) = study("examples/shufflenet_unit.py").blocks
    (plain,) = block.baselines
    hw, c, m, g = 28 * 28, 240, 60, 3
    assert block.macs == hw * (2 * c * m // g + 9 * m)
    assert plain.macs == hw * (2 * c * m + 9 * m)


# ResNeXt: Xie et al., CVPR 2017, arXiv:1611.05431


def test_resnext_block_has_the_cost_of_resnet_s() -> None:
    """Section 3.3 and table 1: with C = 32 groups of d = 4 a block has C·(256·d + 3·3·d·d + d·256)
    ≈ 70k weights, as a bottleneck's 256·64 + 3·3·64·64 + 64·256 ≈ 70k."""

    def build() -> keras.Model:
        return by_hand.bottleneck(128, 56, 256, 256, 1, False, False, 32)

    (grouped,) = costlens.analyze(build_abstractly(build)).blocks
    (bottleneck,) = study("examples/bottleneck.py").blocks
    assert grouped.macs == 3136 * 32 * (256 * 4 + 9 * 4 * 4 + 4 * 256)
    assert round(grouped.macs / 3136, -4) == round(bottleneck.macs / 3136, -4) == 70_000
    assert [b.macs for b in grouped.baselines] == [b.macs for b in bottleneck.baselines]


# Network in Network: Lin, Chen & Yan, ICLR 2014, arXiv:1312.4400


def test_the_fully_connected_layer_that_nin_leaves_out() -> None:
    """Section 3.2: global average pooling has no parameters; a fully connected layer
    on the same 8×8 maps of 10 classes has 640·10 weights and 10 biases."""
    last = blocks("examples/nin.py", "mlpconv")[-1]
    dense = next(b for b in last.baselines if "dense" in b.name)
    assert dense.params - last.params == 6_410
    assert dense.macs - last.macs == 6_400


def test_vgg_s_configuration_c() -> None:
    """VGG (arXiv:1409.1556), section 2.3 and table 2: configuration C has 134 M parameters with a
    1×1 where D, of 138 M, has a 3×3 in each of its last three stages."""

    def build(last: int) -> keras.Model:
        x = y = keras.Input((224, 224, 3))
        for stage, (count, width) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))):
            for at in range(count):
                kernel = last if at == 2 and stage > 1 else 3
                y = layers.Conv2D(width, kernel, padding="same", activation="relu")(y)
            y = layers.MaxPooling2D(2)(y)
        for width in (4096, 4096):
            y = layers.Dense(width, activation="relu")(layers.Flatten()(y))
        return keras.Model(x, layers.Dense(1000, activation="softmax")(y))

    model = build_abstractly(build, 1)
    found = costlens.analyze(model)
    assert round(found.totals.params / 10**6) == 134
    points = [p for p in found.pointwise if p.role == "depth"]
    assert [(p.in_channels, p.out_channels) for p in points] == [(256, 256), (512, 512), (512, 512)]
    grown = sum(p.baseline.params - p.baseline.own.params for p in points if p.baseline)
    assert found.totals.params + grown == build_abstractly(build, 3).count_params() == 138_357_544
