"""The examples: complete, with the figures that their docstrings print."""

from __future__ import annotations

import runpy
from pathlib import Path

import keras
import pytest

import costlens
from costlens.study import Study
from tests.oracles.traced import build_abstractly, traced_macs

EXAMPLES = Path(__file__).parents[1] / "examples"

#: Parameters and multiply-accumulates of each example as it stands.
FIGURES = {
    "bottleneck": (71_168, 218_365_952),
    "convnext_block": (79_200, 245_962_752),
    "dense_block": (372_096, 1_143_209_984),
    "depth_by_1x1": (45_248, 141_295_616),
    "dimension_reduction": (2_080, 1_605_632),
    "feature_fusion": (193, 150_528),
    "fpn": (26_932_096, 6_697_893_888),
    "fused_mbconv": (93_120, 289_013_760),
    "googlenet": (6_998_552, 1_582_671_872),
    "inception_module": (163_696, 128_049_152),
    "mbconv": (9_456, 25_740_288),
    "mobilenet": (4_253_864, 568_740_352),
    "nin": (966_986, 222_486_528),
    "pointwise": (16_448, 51_380_224),
    "resnet50": (25_636_712, 3_857_973_248),
    "se_resnet50": (28_151_656, 3_860_488_192),
    "shufflenet_unit": (11_580, 7_949_760),
    "squeezenet": (1_248_424, 818_924_576),
    "transformer_block": (1_774_464, 376_320_000),
    "xception_block": (137_600, 602_097_152),
}

#: Variants that a docstring speaks of.
VARIANTS = {
    "mbconv.py:build(gate=True)": (11_334, 25_742_016),
    "resnet50.py:build(stride_on='3x3')": (25_636_712, 4_089_184_256),
    "resnet50.py:build(use_bias=False)": (25_610_152, 3_857_973_248),
    "squeezenet.py:build(input_shape=(227, 227, 3))": (1_248_424, 832_667_936),
}

#: Scalars of the kernels alone, where a docstring sets them apart.
KERNELS = {
    "bottleneck": 69_632,
    "dense_block": 364_544,
    "dimension_reduction": 2_048,
    "feature_fusion": 192,
    "fused_mbconv": 92_160,
    "inception_module": 163_328,
    "mbconv": 8_208,
    "mobilenet": 4_209_088,
    "shufflenet_unit": 10_140,
    "xception_block": 134_528,
}


def read(target: str) -> Study:
    return costlens.analyze(f"{EXAMPLES}/{target}")


def test_every_example_has_its_figures() -> None:
    assert set(FIGURES) == {path.stem for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", FIGURES)
def test_example(name: str) -> None:
    """Its figures are in its docstring or in the table of the examples, and Keras's."""
    study = costlens.analyze(f"{EXAMPLES}/{name}.py", verify=True)
    assert study.verification is not None
    assert study.verification.agrees and not study.verification.unread
    params, macs = FIGURES[name]
    assert study.coverage.complete and study.totals.at_least == frozenset()
    assert (study.totals.params, study.totals.macs) == (params, macs)

    text = (EXAMPLES / f"{name}.py").read_text() + (EXAMPLES / "README.md").read_text()
    assert f"{params:,}" in text and f"{macs:,}" in text

    model = build_abstractly(lambda: runpy.run_path(f"{EXAMPLES}/{name}.py")["model"])
    assert model.count_params() == params
    assert traced_macs(model).macs == macs


@pytest.mark.parametrize("target", VARIANTS)
def test_variant(target: str) -> None:
    study = read(target)
    assert study.coverage.complete
    assert (study.totals.params, study.totals.macs) == VARIANTS[target]


@pytest.mark.parametrize("name", KERNELS)
def test_kernels(name: str) -> None:
    weights = read(f"{name}.py").graph.weights.values()
    assert sum(w.params for w in weights if w.path.endswith("kernel")) == KERNELS[name]


def test_resnet_without_biases_trains_all_but_the_statistics() -> None:
    assert read("resnet50.py:build(use_bias=False)").totals.trainable_params == 25_557_032


def test_most_of_the_depth_block_is_in_its_3x3() -> None:
    (row,) = (row for row in read("depth_by_1x1.py").layers if row.path == "spatial")
    assert row.macs == 115_605_504


def test_little_of_the_convnext_block_is_in_its_7x7() -> None:
    (row,) = (row for row in read("convnext_block.py").layers if row.path == "depthwise")
    assert row.macs == 14_751_744


def test_the_products_of_attention() -> None:
    """What an attention layer has beyond its four projections of 384 to 384 channels."""
    (row,) = (row for row in read("transformer_block.py").layers if row.path == "attention")
    assert row.macs - 4 * 196 * 384 * 384 == 29_503_488


@pytest.mark.parametrize(
    ("name", "application", "layers"),
    [
        ("mbconv", "MobileNetV2", ("block_2_",)),
        ("dense_block", "DenseNet121", ("conv2_", "pool2_")),
        ("xception_block", "Xception", ("block3_", "conv2d_1", "batch_normalization_1")),
    ],
)
def test_blocks_of_the_applications(name: str, application: str, layers: tuple[str, ...]) -> None:
    """A block costs what the same layers of a whole network do."""
    keras.backend.clear_session()  # the shortcuts' layers are numbered
    rows = costlens.analyze(f"keras.applications:{application}").layers
    same = [row for row in rows if row.path.startswith(layers)]
    assert (sum(row.params for row in same), sum(row.macs for row in same)) == FIGURES[name]


def test_the_pyramid_s_own_layers() -> None:
    rows = read("fpn.py").layers
    own = {
        part: sum(row.params for row in rows if row.path.startswith(f"fpn_{part}"))
        for part in ("lateral", "output", "")
    }
    assert own == {"lateral": 984_064, "output": 2_360_320, "": 3_344_384}


def test_channel_attention_adds_as_many_macs_as_parameters() -> None:
    plain, gated = read("resnet50.py").totals, read("se_resnet50.py").totals
    assert gated.params - plain.params == gated.macs - plain.macs == 2_514_944


def test_squeezenet_1_1() -> None:
    """Its peak is that of plain liveness over the unfused graph, to the byte."""
    totals = read("squeezenet.py:build(version='1.1')").totals
    assert (totals.params, totals.peak_memory_bytes) == (1_235_496, 3_928_576)


@pytest.mark.parametrize(("name", "blocks"), [("squeezenet", 8), ("googlenet", 9)])
def test_nested_blocks_are_containers(name: str, blocks: int) -> None:
    study = read(f"{name}.py")
    assert len({row.scope[0] for row in study.layers if row.scope}) == blocks
