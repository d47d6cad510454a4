"""Every plain form beside the same block built in Keras by hand.

Parameters are Keras's, MACs those of the traced graph, bytes written are summed over Keras's own
output shapes, and non-linearities are counted by eye. The policy (`motifs/draft.py`): what follows
the contraction that is replaced stays; a convolution that comes on top carries what follows the
one that it is modelled on, at its own width; what stood between contractions that go goes too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers
from keras.src.applications.convnext import LayerScale

import costlens
from costlens.analysis.blocks import Baseline, Block
from costlens.study import Study
from tests.motifs import by_hand
from tests.motifs.by_hand import Counted, Plain, plain, square
from tests.oracles.traced import build_abstractly

DIRECTORY = Path(__file__).parents[2] / "examples"

#: Plain forms of one block, by name.
Forms = Mapping[str, Plain]


@cache
def example(name: str) -> Study:
    return costlens.analyze(f"{DIRECTORY}/{name}.py")


# What the examples hold, from their own plans and their papers' tables


def bottlenecks(bias: bool, ratio: int = 0) -> list[Forms]:
    """ResNet-50 (arXiv:1512.03385, table 1), stride in the first 1×1: blocks, width, input side and
    channels of each stage. A gate has two non-linearities."""
    made = []
    for blocks, width, side, cin in (
        (3, 64, 56, 64),
        (4, 128, 56, 256),
        (6, 256, 28, 512),
        (3, 512, 14, 1024),
    ):
        cout = 4 * width
        for first in (True, *[False] * (blocks - 1)):
            stride = 2 if first and width > 64 else 1
            size = side if first or width == 64 else side // 2
            channels = cin if first else cout
            gate = cout // ratio if ratio else 0
            args = (size, channels, cout, stride, bias, first, gate)
            extra = 2 if gate else 0
            made.append(
                {
                    "one k×k at full width": plain(1 + extra, by_hand.residual, 1, *args),
                    "two k×k at full width": plain(2 + extra, by_hand.residual, 2, *args),
                }
            )
    return made


def gates() -> list[Forms]:
    """No gate: the map that it scales, as it is."""
    plan = ((3, 56, 256), (4, 28, 512), (6, 14, 1024), (3, 7, 2048))
    return [
        {"no gate": plain(0, by_hand.nothing, side, channels)}
        for blocks, side, channels in plan
        for _ in range(blocks)
    ]


#: arXiv:1409.4842, table 1: side, input channels, #1x1, #3x3, #5x5, pool proj.
INCEPTIONS = (
    (28, 192, 64, 128, 32, 32),
    (28, 256, 128, 192, 96, 64),
    (14, 480, 192, 208, 48, 64),
    (14, 512, 160, 224, 64, 64),
    (14, 512, 128, 256, 64, 64),
    (14, 512, 112, 288, 64, 64),
    (14, 528, 256, 320, 128, 128),
    (7, 832, 256, 320, 128, 128),
    (7, 832, 384, 384, 128, 128),
)

#: arXiv:1704.04861, table 1: input side, channels in and out, stride of each depthwise pair.
PAIRS = (
    (112, 32, 64, 1),
    (112, 64, 128, 2),
    (56, 128, 128, 1),
    (56, 128, 256, 2),
    (28, 256, 256, 1),
    (28, 256, 512, 2),
    *[(14, 512, 512, 1)] * 5,
    (14, 512, 1024, 2),
    (7, 1024, 1024, 1),
)

#: arXiv:1602.07360, table 1: input channels and the channels of both expansions; sides at 224.
FIRES = (
    (54, 96, 128),
    (54, 128, 128),
    (54, 128, 256),
    (27, 256, 256),
    (27, 256, 384),
    (27, 384, 384),
    (27, 384, 512),
    (13, 512, 512),
)

STACKED = "k×k in place of every 1×1"
EXAMPLES: Mapping[str, Mapping[str, Sequence[Forms]]] = {
    "bottleneck": {
        "bottleneck": [
            {
                "one k×k at full width": plain(1, by_hand.residual, 1, 56, 256, 256, 1),
                "two k×k at full width": plain(2, by_hand.residual, 2, 56, 256, 256, 1),
            }
        ]
    },
    "resnet50": {"bottleneck": bottlenecks(bias=True)},
    "se_resnet50": {"bottleneck": bottlenecks(bias=True, ratio=16), "channel_attention": gates()},
    "inception_module": {
        "inception": [{"naive module": plain(1, by_hand.naive_inception, *INCEPTIONS[0])}]
    },
    "googlenet": {
        "inception": [
            {"naive module": plain(1, by_hand.naive_inception, *row)} for row in INCEPTIONS
        ]
    },
    "mobilenet": {
        "depthwise_separable": [{"full k×k": plain(1, by_hand.conv_bn_relu, *row)} for row in PAIRS]
    },
    "nin": {
        "mlpconv": [
            {STACKED: plain(3, by_hand.stack, 32, 3, (192, 160, 96), (5, 5, 5))},
            {STACKED: plain(3, by_hand.stack, 16, 96, (192, 192, 192), (5, 5, 5))},
            {
                STACKED: plain(4, by_hand.nin_head, 8, 192, (192, 192, 10), (3, 3, 3), True),
                "flatten + dense in place of global pooling": plain(
                    4, by_hand.nin_head, 8, 192, (192, 192, 10), (3, 1, 1), False
                ),
            },
        ]
    },
    "depth_by_1x1": {
        "mlpconv": [{STACKED: plain(3, by_hand.stack, 56, 64, (64, 64, 64), (3, 3, 3))}]
    },
    "squeezenet": {
        "fire": [
            {"one k×k": plain(1, by_hand.conv_relu, side, cin, cout, 3)}
            for side, cin, cout in FIRES
        ]
    },
    "fpn": {
        "bottleneck": bottlenecks(bias=True),
        "fpn": [
            {
                "k×k laterals": plain(
                    0, by_hand.pyramid, (7, 14, 28, 56), (2048, 1024, 512, 256), 256, 3
                ),
                "k×k straight on the maps": plain(
                    0, by_hand.pyramid, (7, 14, 28, 56), (2048, 1024, 512, 256), 256, 0
                ),
            }
        ],
    },
    "mbconv": {
        "inverted_residual": [
            {
                "k×k at the expanded width": plain(2, by_hand.inverted_widened, 56, 24, 144, 24, 1),
                "fused": plain(1, by_hand.inverted_fused, 56, 24, 144, 24, 1),
                "one k×k, not expanded": plain(0, by_hand.linear, 56, 24, 24, 1),
            }
        ]
    },
    "convnext_block": {
        "convnext": [
            {
                "k×k not depthwise": plain(1, by_hand.convnext_full, 56, 96, 384, 7),
                "one k×k": plain(0, by_hand.conv_added, 56, 96, 7),
            }
        ]
    },
    "dense_block": {
        "dense_bottleneck": [
            {"k×k without the 1×1": plain(0, by_hand.conv, 56, 64 + 32 * i, 32, 3, 1, False)}
            for i in range(6)
        ],
        "transition": [{"3×3 in place of the 1×1": plain(0, by_hand.transition, 56, 256, 128, 3)}],
    },
    "shufflenet_unit": {
        "grouped_pointwise": [{"ungrouped": plain(1, by_hand.shuffled, 28, 240, 60, 1, 3)}]
    },
    "transformer_block": {
        "transformer_mlp": [
            {
                "3-tap convolutions": plain(1, by_hand.token_mlp, 196, 384, (1536,), 3),
                "one 1×1, not expanded": plain(0, by_hand.token_mlp, 196, 384, (), 1),
            }
        ],
        "attention_projection": [
            {"3-tap convolutions": plain(0, by_hand.token_projections, 196, 384, 384, 3)}
        ],
    },
    "dimension_reduction": {},
    "feature_fusion": {},
    "pointwise": {},
}


def separable_full(cin: int, rectified: bool) -> keras.Model:
    """A full 3×3 in place of Xception's SeparableConv2D, with the norm after it."""
    x = square(74, cin)
    y = by_hand.conv_bn(x, 256, 3)
    return keras.Model(x, layers.ReLU()(y) if rectified else y)


def fused_mbconv(form: str) -> keras.Model:
    """EfficientNetV2's block at 56×56×48, expansion 4 (arXiv:2104.00298, figure 2), made plain."""
    x = y = square(56, 48)
    if form == "unfused":
        y = layers.Activation("silu")(by_hand.conv_bn(y, 192, 1))
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
        y = layers.Activation("silu")(layers.BatchNormalization()(y))
    elif form == "k×k projection":
        y = layers.Activation("silu")(by_hand.conv_bn(y, 192, 3))
    y = by_hand.conv_bn(y, 48, 1 if form == "unfused" else 3)
    return keras.Model(x, layers.Add()([x, y]))


EXAMPLES = {
    **EXAMPLES,
    "xception_block": {
        "depthwise_separable": [
            {"full k×k": plain(1, separable_full, 128, True)},
            {"full k×k": plain(0, separable_full, 256, False)},
        ]
    },
    "fused_mbconv": {
        "fused_inverted_residual": [
            {
                "k×k projection": plain(1, fused_mbconv, "k×k projection"),
                "one k×k, not expanded": plain(0, fused_mbconv, "one k×k, not expanded"),
                "unfused": plain(2, fused_mbconv, "unfused"),
            }
        ]
    },
}


def differences(one: Baseline | Block, counted: Counted, depth: int) -> dict[str, str]:
    """In which figures a plain form, or a block, is not as the model built by hand."""
    own = one.cost
    found = {
        "params": (own.params, counted.params),
        "macs": (own.macs, counted.macs),
        "written": (own.activation_bytes, counted.written),
        "depth": (own.depth, depth),
    }
    found |= {key: (getattr(own, key), value) for key, value in counted.figures.items()}
    return {key: f"{got:,}, not {want:,}" for key, (got, want) in found.items() if got != want}


def wrong_in(
    blocks: Sequence[Block], wanted: Sequence[Forms], aside: Sequence[str] = ()
) -> dict[str, dict[str, str]]:
    """By block and plain form, what is not as built by hand, figures in ``aside`` left out."""
    assert len(blocks) == len(wanted)
    wrong = {}
    for block, forms in zip(blocks, wanted, strict=True):
        assert {baseline.name for baseline in block.baselines} == set(forms), block.path
        for baseline in block.baselines:
            want = forms[baseline.name]
            found = differences(baseline, want.counted, want.depth)
            if rest := {key: value for key, value in found.items() if key not in aside}:
                wrong[f"{block.path}: {baseline.name}"] = rest
    return wrong


CASES = [(name, motif) for name, motifs in EXAMPLES.items() for motif in motifs]


@pytest.mark.parametrize(("name", "motif"), CASES)
def test_example(name: str, motif: str) -> None:
    """Each block of an example in each of its plain forms."""
    blocks = [block for block in example(name).blocks if block.motif == motif]
    aside = ("written", "activation_bytes") if motif == "attention_projection" else ()
    assert wrong_in(blocks, EXAMPLES[name][motif], aside) == {}


def test_attention_in_one_layer_writes_its_output_alone() -> None:
    """What a MultiHeadAttention layer makes for itself is no activation of the model's: of its
    four projections, plain or not, only the last leaves the call, 196 tokens of 384 numbers."""
    (block,) = (b for b in example("transformer_block").blocks if b.motif == "attention_projection")
    (plain_form,) = block.baselines
    assert block.cost.activation_bytes == 196 * 384 * 4
    assert plain_form.cost.activation_bytes == 196 * 384 * 4


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_block_of_an_example_is_built_by_hand(name: str) -> None:
    assert {block.motif for block in example(name).blocks} == set(EXAMPLES[name])


def test_every_example_is_there() -> None:
    assert set(EXAMPLES) == {path.stem for path in DIRECTORY.glob("*.py")}


def test_a_block_as_it_stands_is_itself() -> None:
    """The figures beside which a plain form is shown, for a block that is a whole model."""
    (block,) = example("bottleneck").blocks
    counted = by_hand.count(by_hand.bottleneck, 64, 56, 256, 256, 1)
    assert differences(block, counted, 3) == {}


# Other families and other ways to write them


def study(build: Callable[..., keras.Model], *args: Any) -> Study:
    return costlens.analyze(build_abstractly(build, *args))


def forms_of(found: Study, motif: str, blocks: int = 1) -> dict[str, Baseline]:
    """The plain forms of the first of so many blocks of a motif."""
    block, *others = (block for block in found.blocks if block.motif == motif)
    assert len(others) == blocks - 1
    return {baseline.name: baseline for baseline in block.baselines}


def compare(found: Study, motif: str, wanted: Forms, *aside: str, blocks: int = 1) -> None:
    """All plain forms of the first of so many blocks, figures in ``aside`` left out."""
    forms = forms_of(found, motif, blocks)
    assert set(forms) == set(wanted)
    wrong = {
        name: rest
        for name, want in wanted.items()
        if (
            rest := {
                key: value
                for key, value in differences(forms[name], want.counted, want.depth).items()
                if key not in aside
            }
        )
    }
    assert wrong == {}


def drawn(
    form: str,
    side: int,
    cin: int,
    width: int,
    cout: int,
    strided: int,
    kernel: int,
    dilation: int,
    bias: bool,
    norm: bool,
    layer: bool,
) -> keras.Model:
    """A residual bottleneck whose convolution number ``strided`` has stride 2, norms and ReLUs as
    layers or arguments; or one or two of its k×ks at full width, the first with the stride."""
    x = square(side, cin)
    last = {"block": 2, "two": 1, "one": 0}[form]

    def conv(y: Any, at: int, filters: int, taps: int, stride: int) -> Any:
        inner = at < last
        y = layers.Conv2D(
            filters,
            taps,
            strides=stride,
            padding="same",
            dilation_rate=dilation if taps > 1 else 1,
            use_bias=bias,
            activation="relu" if inner and not layer and not norm else None,
        )(y)
        y = layers.BatchNormalization()(y) if norm else y
        return layers.ReLU()(y) if inner and (layer or norm) else y

    whole, y = 2 if strided < 3 else 1, x
    if form == "block":
        for at, (filters, taps) in enumerate(((width, 1), (width, kernel), (cout, 1))):
            y = conv(y, at, filters, taps, 2 if at == strided else 1)
    else:
        for at in range(last + 1):
            y = conv(y, at, cout, kernel, 1 if at else whole)
    shortcut = x if whole == 1 and cin == cout else layers.Conv2D(cout, 1, strides=whole)(x)
    return keras.Model(x, layers.Add()([shortcut, y]))


@settings(deadline=None, max_examples=25)
@given(
    st.integers(5, 17),
    st.sampled_from([4, 8]),
    st.sampled_from([2, 4]),
    st.sampled_from([4, 8]),
    st.integers(0, 3),
    st.sampled_from([3, 5]),
    st.sampled_from([1, 2]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_any_bottleneck(
    side: int,
    cin: int,
    width: int,
    cout: int,
    strided: int,
    kernel: int,
    dilation: int,
    bias: bool,
    norm: bool,
    layer: bool,
) -> None:
    """Odd sides, any place of the stride, any trimmings: all figures of both plain forms."""
    dilation = dilation if strided == 3 else 1  # Keras has no strided dilated convolution
    args = (side, cin, width, cout, strided, kernel, dilation, bias, norm, layer)
    wanted = {
        "one k×k at full width": plain(0, drawn, "one", *args),
        "two k×k at full width": plain(1, drawn, "two", *args),
    }
    compare(study(drawn, "block", *args), "bottleneck", wanted)


def resnext(form: str, stride: int) -> keras.Model:
    """ResNeXt's block (arXiv:1611.05431, figure 3c), stride in the grouped 3×3, 32 groups."""
    x = square(14, 128)
    if form == "block":
        y = layers.ReLU()(by_hand.conv_bn(x, 64, 1))
        spatial = layers.Conv2D(64, 3, strides=stride, padding="same", groups=32, use_bias=False)
        y = layers.ReLU()(layers.BatchNormalization()(spatial(y)))
        y = by_hand.conv_bn(y, 128, 1)
    else:
        y = by_hand.conv_bn(x, 128, 3, stride)
        if form == "two":
            y = by_hand.conv_bn(layers.ReLU()(y), 128, 3)
    shortcut = x if stride == 1 else by_hand.conv_bn(x, 128, 1, stride)
    return keras.Model(x, layers.ReLU()(layers.Add()([shortcut, y])))


@pytest.mark.parametrize("stride", [1, 2])
def test_resnext(stride: int) -> None:
    """Its plain forms are not grouped."""
    wanted = {
        "one k×k at full width": plain(1, resnext, "one", stride),
        "two k×k at full width": plain(2, resnext, "two", stride),
    }
    compare(study(resnext, "block", stride), "bottleneck", wanted)


def preactivated_model() -> keras.Model:
    x = square(28, 256)
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(64, 1, use_bias=False)(y)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(64, 3, strides=2, padding="same", use_bias=False)(y)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(256, 1)(y)
    return keras.Model(x, layers.Add()([layers.MaxPooling2D(1, strides=2)(x), y]))


def preactivated_plain(convs: int) -> keras.Model:
    x, around = square(28, 256), square(28, 256)
    y = x
    if convs == 2:
        y = layers.Conv2D(256, 3, strides=2, padding="same", use_bias=False)(y)
        y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.Conv2D(256, 3, strides=3 - convs, padding="same")(y)
    return keras.Model([x, around], layers.Add()([layers.MaxPooling2D(1, strides=2)(around), y]))


def test_pre_activated_bottleneck() -> None:
    wanted = {
        "one k×k at full width": plain(0, preactivated_plain, 1),
        "two k×k at full width": plain(1, preactivated_plain, 2),
    }
    compare(study(preactivated_model), "bottleneck", wanted)


def dilated(form: str) -> keras.Model:
    """A bottleneck whose 3×3 is dilated, as DeepLab's output stride asks for."""
    x = square(16, 64)
    options: dict[str, Any] = {"padding": "same", "dilation_rate": 2, "activation": "relu"}
    if form == "block":
        y = layers.Conv2D(16, 1, activation="relu")(x)
        y = layers.Conv2D(64, 1)(layers.Conv2D(16, 3, **options)(y))
    else:
        y = layers.Conv2D(64, 3, **options)(x) if form == "two" else x
        y = layers.Conv2D(64, 3, padding="same", dilation_rate=2)(y)
    return keras.Model(x, layers.Add()([x, y]))


def test_dilated_bottleneck() -> None:
    """Taps and dilation are those of its 3×3."""
    wanted = {
        "one k×k at full width": plain(0, dilated, "one"),
        "two k×k at full width": plain(1, dilated, "two"),
    }
    compare(study(dilated, "block"), "bottleneck", wanted)


def shared_twice(convs: int) -> keras.Model:
    """The same layers on two maps one after the other; 0: as bottlenecks."""
    x = y = square(8, 32)
    if convs:
        chain = [layers.Conv2D(32, 3, padding="same", activation="relu") for _ in range(convs - 1)]
        chain.append(layers.Conv2D(32, 3, padding="same"))
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


@pytest.mark.parametrize("convs", [1, 2])
def test_shared_layers_are_shared_in_the_plain_form(convs: int) -> None:
    """Both calls replaced: one kernel, twice its MACs."""
    found = study(shared_twice, 0)
    assert len(found.blocks) == 2
    name = f"{'one' if convs == 1 else 'two'} k×k at full width"
    (total,) = (t.baseline for t in found.savings.totals if t.baseline.name == name)
    want = by_hand.count(shared_twice, convs)
    assert (total.cost.params, total.cost.macs) == (want.params, want.macs)


def factorised(naive: bool) -> keras.Model:
    """An Inception-v3 module with a 7×1 and 1×7 branch and a strided pool branch
    (arXiv:1512.00567, figures 6 and 10)."""
    x = square(17, 32)
    a = layers.Conv2D(24, 1, activation="relu")(x)
    b = x if naive else layers.Conv2D(8, 1, activation="relu")(x)
    b = layers.Conv2D(8, (1, 7), padding="same", activation="relu")(b)
    b = layers.Conv2D(24, (7, 1), padding="same", activation="relu")(b)
    c = x if naive else layers.Conv2D(12, 1, activation="relu")(x)
    left = layers.Conv2D(10, (1, 3), padding="same", activation="relu")(c)
    right = layers.Conv2D(14, (3, 1), padding="same", activation="relu")(c)
    c = layers.Concatenate()([left, right])
    d = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    d = layers.Conv2D(6, 1, activation="relu")(d)
    return keras.Model(x, layers.Concatenate()([a, b, c, d]))


def test_factorised_inception() -> None:
    """The first convolutions behind each reducer go onto the input, both halves of a split too."""
    wanted = {"naive module": plain(2, factorised, True)}
    compare(study(factorised, False), "inception", wanted)


def reduction(naive: bool) -> keras.Model:
    """A grid reduction (arXiv:1512.00567, figure 10): 'valid' windows of stride 2."""
    x = square(17, 32)
    a = layers.Conv2D(24, 3, strides=2, activation="relu")(x)
    b = x if naive else layers.Conv2D(8, 1, activation="relu")(x)
    b = layers.Conv2D(16, 3, strides=2, activation="relu")(b)
    pooled = layers.MaxPooling2D(3, strides=2)(x)
    return keras.Model(x, layers.Concatenate()([a, b, pooled]))


def test_grid_reduction() -> None:
    compare(study(reduction, False), "inception", {"naive module": plain(1, reduction, True)})


def inception_residual(naive: bool) -> keras.Model:
    """Inception-ResNet (arXiv:1602.07261, figure 16): a linear 1×1 and an addition at the end."""
    x = square(8, 32)
    a = layers.Conv2D(8, 1, activation="relu")(x)
    b = x if naive else layers.Conv2D(4, 1, activation="relu")(x)
    b = layers.Conv2D(8, 3, padding="same", activation="relu")(b)
    y = layers.Conv2D(32, 1)(layers.Concatenate()([a, b]))
    return keras.Model(x, layers.ReLU()(layers.Add()([x, y])))


def test_inception_with_a_residual() -> None:
    """Its last 1×1 and the addition stay."""
    wanted = {"naive module": plain(2, inception_residual, True)}
    compare(study(inception_residual, False), "inception", wanted)


def mbconv(form: str, expansion: int, stride: int) -> keras.Model:
    """EfficientNet's block with its gate (arXiv:1905.11946), kernel 5, into a strided 3×3.

    At expansion 1 it has no first 1×1.
    """
    x = y = square(16, 12)
    width, swish = 12 * expansion, layers.Activation("silu")
    first, cout = stride, 12 if stride == 1 else 20
    if form != "plain":
        if expansion > 1 and form != "fused":
            y = swish(by_hand.conv_bn(y, width, 1))
        if form == "block":
            y = layers.DepthwiseConv2D(5, strides=stride, padding="same", use_bias=False)(y)
            y = layers.BatchNormalization()(y)
        else:
            y = by_hand.conv_bn(y, width, 5, stride)
        y = by_hand.gated(layers.Activation("silu")(y), 3)
        first = 1
    y = by_hand.conv_bn(y, cout, 5 if form == "plain" else 1, first)
    y = layers.Add()([x, y]) if stride == 1 else y
    return keras.Model(x, y)


def followed(build: Callable[..., keras.Model], *args: Any) -> keras.Model:
    """A block within its network: an inverted residual of another width after it."""
    model = build(*args)
    return keras.Model(model.input, another(model.output))


def another(x: Any) -> Any:
    """A plain MobileNetV2 block of stride 2 (arXiv:1801.04381)."""
    y = layers.Conv2D(30, 1, activation="relu")(x)
    y = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu")(y)
    return layers.Conv2D(10, 1)(y)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("expansion", [1, 6])
def test_mbconv(expansion: int, stride: int) -> None:
    """Its gate stays where the projection does."""
    gate, swish = 2, 1
    wanted = {
        "k×k at the expanded width": plain(
            swish * (1 + (expansion > 1)) + gate, mbconv, "wide", expansion, stride
        ),
        "one k×k, not expanded": plain(0, mbconv, "plain", expansion, stride),
    }
    if expansion > 1:
        wanted["fused"] = plain(swish + gate, mbconv, "fused", expansion, stride)
    found = study(followed, mbconv, "block", expansion, stride)
    compare(found, "inverted_residual", wanted, blocks=2)


def strided_fused(form: str) -> keras.Model:
    """A Fused-MBConv of stride 2 with biases and a ReLU, without norms."""
    x = y = square(16, 8)
    options: dict[str, Any] = {"padding": "same", "activation": "relu"}
    if form == "block":
        y = layers.Conv2D(32, 3, strides=2, **options)(y)
    elif form == "k×k projection":
        y = layers.Conv2D(32, 3, strides=2, **options)(y)
        y = layers.Conv2D(12, 3, padding="same")(y)
    elif form == "unfused":
        y = layers.Conv2D(32, 1, activation="relu")(y)
        y = layers.DepthwiseConv2D(3, strides=2, **options)(y)
    else:
        y = layers.Conv2D(12, 3, strides=2, padding="same")(y)
    if form in ("block", "unfused"):
        y = layers.Conv2D(12, 1)(y)
    return keras.Model(x, y)


def test_strided_fused_inverted_residual() -> None:
    wanted = {
        "k×k projection": plain(1, strided_fused, "k×k projection"),
        "one k×k, not expanded": plain(0, strided_fused, "one k×k, not expanded"),
        "unfused": plain(2, strided_fused, "unfused"),
    }
    found = study(stem_and, strided_fused, 8)
    compare(found, "fused_inverted_residual", wanted)


def stem_and(build: Callable[..., keras.Model], channels: int) -> keras.Model:
    """The block within a network: a depthwise convolution and a pool before it, another after."""
    x = square(16, channels)
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    y = layers.MaxPooling2D(2, strides=1, padding="same")(y)
    return keras.Model(x, another(build("block")(y)))


def scaled_convnext(form: str) -> keras.Model:
    """ConvNeXt's block as trained (arXiv:2201.03545): its 1×1s dense, with LayerScale."""
    x = y = square(14, 16)
    if form == "block":
        y = layers.DepthwiseConv2D(7, padding="same")(y)
    elif form == "k×k not depthwise":
        y = layers.Conv2D(16, 7, padding="same")(y)
    if form == "one k×k":
        y = layers.Conv2D(16, 7, padding="same")(y)
    else:
        y = layers.LayerNormalization(epsilon=1e-6)(y)
        y = layers.Dense(16)(layers.Dense(64, activation="gelu")(y))
    return keras.Model(x, layers.Add()([x, LayerScale(1e-6, 16)(y)]))


def test_scaled_convnext() -> None:
    wanted = {
        "k×k not depthwise": plain(1, scaled_convnext, "k×k not depthwise"),
        "one k×k": plain(0, scaled_convnext, "one k×k"),
    }
    compare(study(scaled_convnext, "block"), "convnext", wanted)


def dense_with_bias(form: str) -> keras.Model:
    """A dense layer whose convolutions have biases, its 3×3 an activation, and a transition."""
    x = square(12, 24)
    if form == "transition":
        y = layers.Conv2D(16, 3, padding="same")(square_ := square(12, 32))
        return keras.Model(square_, layers.MaxPooling2D(2)(y))
    if form == "plain":
        return keras.Model(x, layers.Conv2D(8, 3, padding="same", activation="relu")(x))
    y = layers.Conv2D(32, 1, activation="relu")(x)
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(y)
    y = layers.Conv2D(16, 1)(layers.Concatenate()([x, y]))
    return keras.Model(x, layers.MaxPooling2D(2)(y))


def test_dense_layer_and_transition_with_biases() -> None:
    found = study(dense_with_bias, "block")
    compare(found, "dense_bottleneck", {"k×k without the 1×1": plain(1, dense_with_bias, "plain")})
    wanted = {"3×3 in place of the 1×1": plain(0, dense_with_bias, "transition")}
    compare(found, "transition", wanted)


def swiglu(form: str) -> keras.Model:
    """LLaMA's gated MLP (arXiv:2002.05202), without biases."""
    x = keras.Input((32, 24))
    if form == "one":
        return keras.Model(x, layers.Add()([x, layers.Dense(24, use_bias=False)(x)]))

    def mix(y: Any, width: int, activation: str | None = None) -> Any:
        if form == "block":
            return layers.Dense(width, activation=activation, use_bias=False)(y)
        conv = layers.Conv1D(width, 3, padding="same", activation=activation, use_bias=False)
        return conv(y)

    y = layers.Multiply()([mix(x, 64, "silu"), mix(x, 64)])
    return keras.Model(x, layers.Add()([x, mix(y, 24)]))


def test_gated_mlp() -> None:
    """All three 1×1s become convolutions over tokens."""
    wanted = {
        "3-tap convolutions": plain(1, swiglu, "taps"),
        "one 1×1, not expanded": plain(0, swiglu, "one"),
    }
    compare(study(swiglu, "block"), "transformer_mlp", wanted)


def attention() -> keras.Model:
    """Attention written with dense layers: one head of width 16 on tokens of width 24."""
    x = keras.Input((32, 24))
    query, key, value = (layers.Dense(16, use_bias=False)(x) for _ in range(3))
    weights = keras.ops.softmax(keras.ops.matmul(query, keras.ops.transpose(key, (0, 2, 1))))
    context = keras.ops.matmul(weights, value)
    return keras.Model(x, layers.Add()([x, layers.Dense(24, use_bias=False)(context)]))


def test_attention_projections() -> None:
    """The two products of activations are no part of it; the keys are transposed before theirs."""
    wanted = {"3-tap convolutions": plain(0, by_hand.token_projections, 32, 24, 16, 3, False, True)}
    compare(study(attention), "attention_projection", wanted)


def shuffle_unit() -> keras.Model:
    x = square(14, 48)
    y = by_hand.shuffled(14, 48, 24, 4, 4)(x)
    return keras.Model(x, layers.ReLU()(layers.Add()([x, y])))


def test_grouped_pointwise() -> None:
    wanted = {"ungrouped": plain(1, by_hand.shuffled, 14, 48, 24, 1, 4)}
    compare(study(shuffle_unit), "grouped_pointwise", wanted)


def gate_then(activation: bool, dense: bool) -> keras.Model:
    """A gate that ends a model, in both ways to write it, with or without a ReLU after it."""
    x = square(8, 32)
    if dense:
        y = layers.GlobalAveragePooling2D()(x)
        y = layers.Dense(32, activation="sigmoid")(layers.Dense(8, activation="relu")(y))
        y = layers.Reshape((1, 1, 32))(y)
    else:
        y = layers.GlobalAveragePooling2D(keepdims=True)(x)
        y = layers.Conv2D(8, 1, activation="relu")(y)
        y = layers.Conv2D(32, 1, activation="sigmoid")(y)
    y = layers.Multiply()([x, y])
    return keras.Model(x, layers.ReLU()(y) if activation else y)


def rectified(side: int, channels: int) -> keras.Model:
    x = square(side, channels)
    return keras.Model(x, layers.ReLU()(x))


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("activation", [True, False])
def test_no_gate(activation: bool, dense: bool) -> None:
    """Nothing of it remains; an activation after it stays."""
    bare = by_hand.nothing if not activation else rectified
    wanted = {"no gate": plain(int(activation), bare, 8, 32)}
    compare(study(gate_then, activation, dense), "channel_attention", wanted)


def normed_fire(form: str) -> keras.Model:
    """A fire module with norms and ReLUs as layers, wider in its 1×1, its concat rectified."""
    x = square(12, 32)
    if form == "plain":
        return keras.Model(x, layers.ReLU()(layers.ReLU()(by_hand.conv_bn(x, 56, 3))))
    y = layers.ReLU()(by_hand.conv_bn(x, 8, 1))
    left = layers.ReLU()(by_hand.conv_bn(y, 40, 1))
    right = layers.ReLU()(by_hand.conv_bn(y, 16, 3))
    return keras.Model(x, layers.ReLU()(layers.Concatenate()([right, left])))


def test_fire_with_norms() -> None:
    """What follows its k×k is had at all channels; what follows the concat stays."""
    wanted = {"one k×k": plain(2, normed_fire, "plain")}
    compare(study(normed_fire, "block"), "fire", wanted)


def pooled_stack(side: int, pooled: bool, kernel: int) -> keras.Model:
    """Three convolutions with norms, behind a pool."""
    x = square(side, 16)
    y = layers.MaxPooling2D(2)(x) if pooled else x
    for width in (24, 16, 8):
        y = layers.ReLU()(by_hand.conv_bn(y, width, kernel))
    return keras.Model(x, y)


def test_mlpconv_behind_a_pool() -> None:
    """Without a k×k to lead it its plain form has 3×3s; the pool is no part of it."""
    wanted = {STACKED: plain(3, pooled_stack, 12, False, 3)}
    compare(study(pooled_stack, 24, True, 1), "mlpconv", wanted)


def resized_pyramid(lateral: int) -> keras.Model:
    """A pyramid of two levels that is a whole model, with norms on its laterals."""
    fine, coarse = square(16, 8), square(8, 24)
    a, b = fine, coarse
    if lateral:
        a, b = by_hand.conv_bn(fine, 12, lateral), by_hand.conv_bn(coarse, 12, lateral)
        a = layers.Add()([a, layers.UpSampling2D(2, interpolation="bilinear")(b)])
    return keras.Model(
        [fine, coarse], [layers.Conv2D(12, 3, padding="same")(level) for level in (a, b)]
    )


def test_pyramid_with_norms() -> None:
    wanted = {
        "k×k laterals": plain(0, resized_pyramid, 3),
        "k×k straight on the maps": plain(0, resized_pyramid, 0),
    }
    compare(study(resized_pyramid, 1), "fpn", wanted)


def test_a_batch_multiplies_the_macs_alone() -> None:
    """Eight examples: eight times the MACs and the bytes written, the same parameters."""
    target = f"{DIRECTORY}/se_resnet50.py"
    for one, eight in zip(
        example("se_resnet50").blocks, costlens.analyze(target, batch=8).blocks, strict=True
    ):
        for a, b in zip(one.baselines, eight.baselines, strict=True):
            assert b.params == a.params and b.macs == 8 * a.macs
            assert b.cost.activation_bytes == 8 * a.cost.activation_bytes


def test_half_precision_halves_what_is_written() -> None:
    """Under mixed precision weights stay as they are stored, in float32."""

    def build() -> keras.Model:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy("mixed_float16")
        try:
            return by_hand.bottleneck(64, 56, 256, 256, 1)
        finally:
            keras.config.set_dtype_policy(before)

    forms = forms_of(costlens.analyze(build_abstractly(build)), "bottleneck")
    for baseline in example("bottleneck").blocks[0].baselines:
        half = forms[baseline.name].cost
        assert (half.params, half.macs) == (baseline.params, baseline.macs)
        assert half.weight_bytes == 4 * half.params
        assert 2 * half.activation_bytes == baseline.cost.activation_bytes


def one_dimensional(form: str) -> keras.Model:
    """A residual bottleneck over a sequence."""
    x = y = keras.Input((64, 32))
    if form == "block":
        y = layers.Conv1D(8, 1, activation="relu")(y)
        y = layers.Conv1D(8, 5, padding="same", activation="relu")(y)
        y = layers.Dense(32)(y)
    else:
        if form == "two":
            y = layers.Conv1D(32, 5, padding="same", activation="relu")(y)
        y = layers.Conv1D(32, 5, padding="same")(y)
    return keras.Model(x, layers.Add()([x, y]))


def test_bottleneck_over_a_sequence() -> None:
    wanted = {
        "one k×k at full width": plain(0, one_dimensional, "one"),
        "two k×k at full width": plain(1, one_dimensional, "two"),
    }
    compare(study(one_dimensional, "block"), "bottleneck", wanted)


def multiplied(form: str) -> keras.Model:
    """A depthwise convolution with two filters per channel, then a 1×1 of stride 1."""
    x = square(16, 8)
    if form == "plain":
        return keras.Model(x, layers.Conv2D(24, 3, strides=2, padding="same", activation="relu")(x))
    y = layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2, padding="same")(x)
    return keras.Model(x, layers.Conv2D(24, 1, activation="relu")(y))


def test_depth_multiplier() -> None:
    wanted = {"full k×k": plain(1, multiplied, "plain")}
    compare(study(multiplied, "block"), "depthwise_separable", wanted)


# 1×1s outside blocks


def alone(found: Study, path: str) -> Baseline:
    """The plain form of the 1×1 of a layer, which is in no block."""
    (unit,) = (unit for unit in found.pointwise if unit.path == path)
    assert unit.block is None and unit.baseline is not None
    return unit.baseline


def reduced(side: int) -> keras.Model:
    """A reduction read by a 3×3 and a 5×5 (arXiv:1409.4842, section 4), in no module."""
    x = square(side, 64)
    y = layers.Conv2D(16, 1, activation="relu", name="reduce")(x)
    three = layers.Conv2D(24, 3, padding="same", activation="relu")(y)
    five = layers.Conv2D(8, 5, strides=2, padding="same")(y)
    return keras.Model(x, [three, five])


def unreduced(side: int) -> keras.Model:
    x = square(side, 64)
    three = layers.Conv2D(24, 3, padding="same", activation="relu")(x)
    five = layers.Conv2D(8, 5, strides=2, padding="same")(x)
    return keras.Model(x, [three, five])


def test_reduction_against_its_readers() -> None:
    """The unit and its readers on one side, the readers on the unreduced map on the other."""
    baseline = alone(study(reduced, 20), "reduce")
    assert differences(baseline, by_hand.count(unreduced, 20), 1) == {}
    own = by_hand.count(reduced, 20)
    assert (baseline.own.params, baseline.own.macs) == (own.params, own.macs)


def beside(kernel: int) -> keras.Model:
    """An expansion that a k×k stands before, and nothing after but the output."""
    x = square(16, 8)
    y = layers.Conv2D(8, kernel, padding="same", name="before")(x)
    y = layers.Conv2D(32, 1, name="point")(y)
    return keras.Model(x, layers.ReLU()(layers.BatchNormalization()(y)))


def beside_plain(kernel: int) -> keras.Model:
    x = square(16, 8)
    y = layers.Conv2D(32, kernel, padding="same")(x)
    return keras.Model(x, layers.ReLU()(layers.BatchNormalization()(y)))


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_1x1_takes_the_kernel_of_its_neighbour(kernel: int) -> None:
    """Its norm and activation stay."""
    baseline = alone(study(beside, kernel), "point")
    assert differences(baseline, by_hand.count(beside_plain, kernel), 1) == {}


@pytest.mark.parametrize(
    ("name", "path", "args"),
    [
        ("pointwise", "pointwise", (56, 256, 64, 3)),
        ("dimension_reduction", "reduce", (28, 64, 32, 3)),
        ("googlenet", "conv2_reduce", (56, 64, 64, 3)),
    ],
)
def test_lone_1x1_of_an_example(name: str, path: str, args: tuple[int, ...]) -> None:
    activated = name != "pointwise"
    want = by_hand.count(by_hand.conv_relu if activated else by_hand.conv, *args)
    assert differences(alone(example(name), path), want, int(activated)) == {}


@pytest.mark.parametrize(
    ("name", "path", "args"),
    [
        ("resnet50", "classifier", (7, 2048, 1000)),
        ("googlenet", "linear", (7, 1024, 1000)),
        ("mobilenet", "classifier", (7, 1024, 1000)),
    ],
)
def test_head_against_flatten_and_dense(name: str, path: str, args: tuple[int, ...]) -> None:
    """As LeNet, AlexNet and VGG have it; the pooling is part of what is compared."""
    baseline = alone(example(name), path)
    assert differences(baseline, by_hand.count(by_hand.scores, *args, False), 1) == {}
    own = by_hand.count(by_hand.scores, *args, True)
    assert (baseline.own.params, baseline.own.macs) == (own.params, own.macs)


def pooled_scores(form: str) -> keras.Model:
    """Scores as 1×1 convolutions on a pooled map, the way MobileNet of Keras has them."""
    x = square(7, 32)
    if form == "plain":
        y = layers.Dense(10)(layers.Flatten()(x))
        return keras.Model(x, layers.Softmax()(y))
    y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    y = layers.Reshape((10,))(layers.Conv2D(10, 1, name="point")(layers.Dropout(0.1)(y)))
    return keras.Model(x, layers.Softmax()(y))


def test_head_that_is_a_convolution() -> None:
    found = study(pooled_scores, "head")
    assert differences(alone(found, "point"), by_hand.count(pooled_scores, "plain"), 1) == {}


def strided(form: str) -> keras.Model:
    """A basic block's projection: a 1×1 of stride 2 with its norm (arXiv:1512.03385, option B)."""
    x = square(16, 16)
    if form == "plain":
        return keras.Model(x, by_hand.conv_bn(x, 32, 3, 2))
    y = layers.ReLU()(by_hand.conv_bn(x, 32, 3, 2))
    y = by_hand.conv_bn(y, 32, 3)
    project = layers.Conv2D(32, 1, strides=2, use_bias=False, name="point")(x)
    project = layers.BatchNormalization()(project)
    return keras.Model(x, layers.ReLU()(layers.Add()([y, project])))


def test_strided_1x1() -> None:
    """Its plain form has its stride."""
    found = study(strided, "block")
    assert differences(alone(found, "point"), by_hand.count(strided, "plain"), 0) == {}


def deepened() -> keras.Model:
    """One 1×1 of the same width behind a 3×3 (VGG's configuration C)."""
    x = square(16, 32)
    y = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    return keras.Model(x, layers.Conv2D(32, 1, activation="relu", name="point")(y))


def test_depth() -> None:
    """As many non-linearities for a ninth of the MACs: 1 in 16² · 32² and in nine times that."""
    baseline = alone(study(deepened), "point")
    assert differences(baseline, by_hand.count(by_hand.conv_relu, 16, 32, 32, 3), 1) == {}
    assert baseline.own.depth == baseline.cost.depth == 1
    assert baseline.own.depth_per_gmac == round(1e9 / 262_144, 3)
    assert baseline.cost.depth_per_gmac == round(1e9 / 2_359_296, 3)


def of_one_kernel() -> keras.Model:
    """A 1×1 beside a 1×7, and a strided one before a 3×3."""
    x = square(16, 8)
    y = layers.Conv2D(8, (1, 7), padding="same", activation="relu")(x)
    y = layers.Conv2D(10, 1, name="mix")(y)
    y = layers.MaxPooling2D(1)(y)
    y = layers.Conv2D(4, 1, strides=2, name="reduce")(y)
    return keras.Model(x, layers.Conv2D(6, 3, padding="same", activation="relu")(y))


def test_a_kernel_and_a_stride_are_those_of_the_neighbours() -> None:
    found = {each.path: each.baseline for each in study(of_one_kernel).pointwise}
    mix, reduce = found["mix"], found["reduce"]
    assert mix is not None and mix.name == "1×7 of the same channels"
    assert mix.cost.macs == 16 * 16 * 7 * 8 * 10
    assert reduce is not None and reduce.name == "its readers on the unreduced map"
    assert reduce.cost.macs == 8 * 8 * 9 * 10 * 6


def test_a_separable_convolution_with_its_stride_in_the_1x1() -> None:
    def build() -> keras.Model:
        x = square(16, 8)
        y = layers.DepthwiseConv2D(3, padding="same")(x)
        return keras.Model(x, layers.Conv2D(12, 1, strides=2)(y))

    (baseline,) = forms_of(study(build), "depthwise_separable").values()
    assert baseline.cost.macs == 8 * 8 * 9 * 8 * 12
