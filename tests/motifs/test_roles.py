"""What each 1×1 does, on architectures whose papers say it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import pytest
from keras import Input, Model, layers

import costlens
from costlens.analysis.pointwise import Pointwise
from costlens.motifs.roles import ROLES
from costlens.study import Study
from tests.oracles.traced import build_abstractly

EXAMPLES = Path(__file__).parents[2] / "examples"


@cache
def read(target: str) -> Study:
    return costlens.analyze(target if ":" in target else f"{EXAMPLES}/{target}.py")


def study_of(build: Callable[[], keras.Model]) -> Study:
    return costlens.analyze(build_abstractly(build))


def conv(x: Any, filters: int, kernel: int) -> Any:
    """A convolution of a sequence or an image, as wide as its input, and a ReLU."""
    layer = layers.Conv1D if len(x.shape) == 3 else layers.Conv2D
    return layer(filters, kernel, padding="same", activation="relu")(x)


def roles(study: Study) -> dict[str, str]:
    return {each.path: each.role for each in study.pointwise}


def counted(study: Study) -> Counter[str]:
    return Counter(each.role for each in study.pointwise)


#: How many 1×1s of each role, from the paper or source that the example or application cites.
ROLE_COUNTS = {
    "dimension_reduction": {"dimension reduction": 1},
    "feature_fusion": {"feature fusion": 1},
    "depth_by_1x1": {"depth": 2},
    "nin": {"mlpconv": 6},
    # one 1×1 before the 3×3, one after it
    "bottleneck": {"dimension reduction": 1, "bottleneck exit": 1},
    # 16 blocks, in the first of each of 4 stages a projection shortcut
    "resnet50": {
        "dimension reduction": 16,
        "bottleneck exit": 16,
        "projection shortcut": 4,
        "classifier head": 1,
    },
    # the same with two fully connected layers per block
    "se_resnet50": {
        "dimension reduction": 16,
        "bottleneck exit": 16,
        "projection shortcut": 4,
        "classifier head": 1,
        "channel attention": 32,
    },
    # 4 levels; the backbone has no head
    "fpn": {
        "dimension reduction": 16,
        "bottleneck exit": 16,
        "projection shortcut": 4,
        "lateral": 4,
    },
    "mobilenet": {"separable pointwise": 13, "classifier head": 1},
    # 9 modules with two reducers, a 1×1 and a pool projection each; the 1×1 of the stem keeps 64
    "googlenet": {
        "dimension reduction": 18,
        "branch": 18,
        "channel mixing": 1,
        "classifier head": 1,
    },
    # 8 fire modules; conv10 gives the classes, which are then averaged
    "squeezenet": {"dimension reduction": 8, "expansion": 8, "classifier head": 1},
    "transformer_block": {"attention projection": 4, "token-wise MLP": 2},
    # each 1×1 gives 4 · 32 channels, and the first two of the network read 64 and 96
    "keras.applications:DenseNet121": {
        "dimension reduction": 56,
        "expansion": 2,
        "transition": 3,
        "classifier head": 1,
    },
    # 17 blocks, the first without an expansion; the last 1×1 widens to 1280
    "keras.applications:MobileNetV2": {
        "expansion": 17,
        "bottleneck exit": 17,
        "classifier head": 1,
    },
    # 34 separable convolutions, 4 residual 1×1s
    "keras.applications:Xception": {
        "separable pointwise": 34,
        "projection shortcut": 4,
        "classifier head": 1,
    },
    "keras.applications:ConvNeXtTiny": {"token-wise MLP": 36, "classifier head": 1},
    "keras.applications:VGG16": {},
}


@pytest.mark.parametrize("target", ROLE_COUNTS)
def test_roles_of_known_architectures(target: str) -> None:
    assert counted(read(target)) == Counter(ROLE_COUNTS[target])


def test_a_dense_classifier_and_a_1x1_one_have_one_role() -> None:
    """keras.applications.MobileNet ends with a 1×1 on the pooled map, the example with a Dense."""
    ours, theirs = read("mobilenet"), read("keras.applications:MobileNet")
    assert counted(ours) == counted(theirs)


def test_layers_of_a_module() -> None:
    found = roles(read("inception_module"))
    assert found == {
        "conv1": "branch",
        "reduce3": "dimension reduction",
        "reduce5": "dimension reduction",
        "project": "branch",
    }


def test_a_segmentation_head_is_a_classifier_and_a_fusion_to_one_channel_is_none() -> None:
    def head() -> keras.Model:
        x = Input((16, 16, 3))
        return Model(x, layers.Conv2D(5, 1, activation="softmax", name="scores")(conv(x, 8, 3)))

    def fusion() -> keras.Model:
        x = Input((16, 16, 3))
        y = conv(x, 8, 3)
        both = layers.Concatenate()([y, conv(y, 8, 3)])
        return Model(x, layers.Conv2D(1, 1, activation="sigmoid", name="scores")(both))

    assert roles(study_of(head)) == {"scores": "classifier head"}
    assert roles(study_of(fusion)) == {"scores": "feature fusion"}


def test_the_depth_of_vgg_c() -> None:
    """Configuration C of arXiv:1409.1556: a 1×1 of the same width after two 3×3s."""

    def build() -> keras.Model:
        x = Input((16, 16, 8))
        y = layers.Conv2D(8, 1, activation="relu", name="c")(conv(conv(x, 8, 3), 8, 3))
        return Model(x, layers.MaxPooling2D()(y))

    assert roles(study_of(build)) == {"c": "depth"}


def plain_vectors() -> keras.Model:
    x = Input((16,))
    return Model(x, layers.Dense(4)(layers.Dense(8)(x)))


def flattened() -> keras.Model:
    x = Input((8, 8, 3))
    return Model(x, layers.Dense(4)(layers.Flatten()(conv(x, 4, 3))))


def mixed_tokens() -> keras.Model:
    x = Input((12, 6))
    turned = layers.Permute((2, 1))(conv(x, 6, 3))
    return Model(x, layers.Permute((2, 1))(layers.Dense(12)(turned)))


@pytest.mark.parametrize("build", [plain_vectors, flattened, mixed_tokens])
def test_what_is_no_1x1(build: Callable[[], keras.Model]) -> None:
    assert not study_of(build).pointwise


@pytest.mark.parametrize("target", ["resnet50", "googlenet", "squeezenet", "fpn"])
def test_every_role_before_the_one_taken_has_a_reason(target: str) -> None:
    order = [role.id for role in ROLES]

    def check(each: Pointwise) -> None:
        refused = dict(each.rejected)
        assert each.role not in refused
        assert set(order[: order.index(each.role)]) <= set(refused)
        assert all(refused.values())

    for each in read(target).pointwise:
        check(each)


def test_shares_are_parts_of_the_totals() -> None:
    study = read("resnet50")
    *parts, whole = study.pointwise_shares
    assert whole.role == "all 1×1s" and whole.calls == len(study.pointwise) == 37
    for field in ("calls", "macs", "params", "weights", "activation_bytes"):
        assert sum(getattr(part, field) for part in parts) == getattr(whole, field)
    assert whole.share_macs == round(whole.macs / study.totals.macs, 6)
    assert whole.share_params == round(whole.params / study.totals.params, 6)
    assert whole.share_activations == round(
        whole.activation_bytes / study.totals.activation_bytes, 6
    )
    by_layer = {row.path: row for row in study.layers}
    for each in study.pointwise:
        assert (each.macs, each.params) == (by_layer[each.path].macs, by_layer[each.path].params)


def modulated() -> keras.Model:
    """A residual block whose branch takes in an embedding, as in diffusion models."""
    x, t = Input((8, 8, 8)), Input((6,))
    y = conv(x, 16, 3) + layers.Reshape((1, 1, 16))(layers.Dense(16)(t))
    y = layers.Conv2D(16, 3, padding="same")(layers.ReLU()(y))
    return Model([x, t], layers.Add()([y, layers.Conv2D(16, 1, name="short")(x)]))


def skipped() -> keras.Model:
    """A skip of a U-Net that is added: the other way goes down and up again."""
    x = conv(image := Input((8, 8, 4)), 8, 3)
    y = layers.UpSampling2D()(conv(layers.MaxPooling2D()(x), 16, 3))
    merged = layers.Add()([layers.Conv2D(16, 1, name="skip")(x), y])
    return Model(image, conv(merged, 4, 3))


def merged() -> keras.Model:
    """The last 1×1 of a network whose result is added to something is no score."""
    x = conv(image := Input((8, 8, 4)), 8, 3)
    return Model(image, layers.Add()([x, layers.Conv2D(8, 1, name="last")(conv(x, 6, 3))]))


@pytest.mark.parametrize(
    ("build", "layer", "role"),
    [
        (modulated, "short", "projection shortcut"),
        (skipped, "skip", "expansion"),
        (merged, "last", "expansion"),
    ],
)
def test_the_way_that_a_1x1_stands_on(
    build: Callable[[], keras.Model], layer: str, role: str
) -> None:
    assert roles(study_of(build))[layer] == role


def test_the_entry_of_a_block_that_widens_is_an_expansion() -> None:
    """RegNet's block (arXiv:2003.13678, figure 4) where the width changes from 8 to 12."""

    def build() -> keras.Model:
        x = Input((8, 8, 8))
        y = conv(layers.Conv2D(12, 1, activation="relu", name="entry")(x), 12, 3)
        y = layers.Conv2D(12, 1)(y)
        return Model(x, layers.Add()([y, layers.Conv2D(12, 1, name="short")(x)]))

    found = study_of(build)
    assert [block.motif for block in found.blocks] == ["bottleneck"]
    assert roles(found)["entry"] == "expansion"


def test_the_entry_of_a_block_on_a_convolution_of_its_width_is_no_depth() -> None:
    def build() -> keras.Model:
        x = conv(image := Input((8, 8, 3)), 8, 3)
        y = conv(layers.Conv2D(8, 1, activation="relu", name="entry")(x), 8, 3)
        y = layers.Conv2D(16, 1)(y)
        return Model(image, layers.Add()([y, layers.Conv2D(16, 1, name="short")(x)]))

    assert roles(study_of(build))["entry"] == "dimension reduction"


def test_towers_of_dense_layers_on_pooled_vectors_are_no_1x1s() -> None:
    def build() -> keras.Model:
        ids = Input((7,), dtype="int32")
        x = layers.GlobalAveragePooling1D()(layers.Embedding(50, 8)(ids))
        tower = layers.Dense(8)(layers.Dense(16, activation="relu")(x))
        return Model(ids, layers.Dot(axes=1)([tower, layers.Dense(8, name="other")(x)]))

    assert not study_of(build).pointwise
