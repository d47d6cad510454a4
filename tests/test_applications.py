"""All of ``keras.applications``: complete, and equal to every other count there is of them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import costlens
from tests.oracles.traced import build_abstractly, traced_macs

APPLICATIONS = [
    name
    for name, build in inspect.getmembers(keras.applications, inspect.isfunction)
    if name[0].isupper()
]

#: Figures established by independent counters, to the integer. Peaks are those of plain liveness
#: over Keras's own layer graph, inputs alive until their last use and outputs until the end.
FIGURES: dict[str, dict[str, int]] = {
    "MobileNetV2": {"macs": 300_774_272, "params": 3_538_984, "peak_memory_bytes": 9_720_192},
    "ResNet50": {"macs": 3_857_973_248, "params": 25_636_712, "peak_memory_bytes": 9_633_792},
    "VGG16": {"macs": 15_470_264_320, "params": 138_357_544},
    "InceptionV3": {"macs": 5_713_216_096, "params": 23_851_784},
    "DenseNet121": {"macs": 2_834_161_664, "params": 8_062_504},
    "EfficientNetB0": {"macs": 385_814_752, "params": 5_330_571, "peak_memory_bytes": 9_720_192},
    "Xception": {"macs": 8_357_403_496, "params": 22_910_480},
    "ConvNeXtTiny": {"macs": 4_455_531_264, "params": 28_589_128},
    "NASNetLarge": {"macs": 23_783_414_658, "params": 88_949_818},
    "EfficientNetV2L": {"macs": 56_079_699_008, "params": 119_027_848},
}

#: How much less the products on real input elements are than all of them, in percent.
VALID = {"MobileNetV2": "-0.33", "ResNet50": "-4.08", "VGG16": "-3.23", "InceptionV3": "-4.29"}


def build(name: str) -> Any:
    """The application at its default size, no weight allocated."""
    options: dict[str, Any] = {"weights": None}
    if name.startswith("MobileNetV3"):  # which leaves its size open
        options["input_shape"] = (224, 224, 3)
    return build_abstractly(getattr(keras.applications, name), **options)


def scalars(weights: Sequence[Any]) -> int:
    return sum(prod(weight.shape) for weight in weights)


def test_every_figure_is_of_an_application() -> None:
    assert set(FIGURES) | set(VALID) <= set(APPLICATIONS)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_application(name: str, tmp_path: Path) -> None:
    """Parameters as Keras, multiplications as TensorFlow's graph, in all and layer by layer.

    The product's own second witness says so too.
    Its configuration, read without Keras, has the same figures to the last integer.
    """
    model = build(name)
    study = costlens.analyze(model, verify=True)
    totals = study.totals
    assert study.verification is not None
    assert study.verification.agrees and not study.verification.unread

    saved = tmp_path / "config.json"
    saved.write_text(model.to_json())
    read = costlens.analyze(str(saved))
    assert (read.totals, read.layers, read.costs) == (totals, study.layers, study.costs)

    assert study.coverage.unknown == ()
    assert totals.at_least == frozenset()

    assert totals.params == model.count_params()
    assert totals.trainable_params == scalars(model.trainable_weights)
    assert totals.non_trainable_params == scalars(model.non_trainable_weights)
    stored = [prod(weight.shape) * np.dtype(weight.dtype).itemsize for weight in model.weights]
    assert totals.weight_bytes == sum(stored)

    traced = traced_macs(model)
    by_layer: dict[str, int] = {}
    for row in study.layers:
        by_layer[row.path] = by_layer.get(row.path, 0) + row.macs
    assert {path: macs for path, macs in by_layer.items() if macs} == traced.by_layer
    assert totals.macs == traced.macs

    for field, figure in FIGURES.get(name, {}).items():
        assert getattr(totals, field) == figure, field
    if name in VALID:
        assert f"{100 * (totals.macs_valid - totals.macs) / totals.macs:.2f}" == VALID[name]
