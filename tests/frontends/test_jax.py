"""Models on Keras's JAX backend, TensorFlow absent: the layers' count and the jaxpr's agree.

All models are read in one process of their own: Keras keeps one backend.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from costlens.errors import InputError
from costlens.frontends import tracers

MACS = {
    "recurrent": 12 * ((8 + 5) * 20 + (5 + 6) * 18 + 2 * (6 + 4) * 16 + (8 + 3) * 3),
    "conv_lstm": 5 * 90 * 9 * (3 + 4) * 16,
    "time_distributed": 5 * 8 * 7 * (9 * 3 * 4 + 4 * 2),
    # four projections and two products each; the second has half as many keys and values
    "attention": 16 * 32 * (4 * 32) + 16 * 32 * (2 * 32 + 2 * 16) + 2 * 2 * 4 * 16 * 16 * 8,
    "unet": 32 * 24 * 9 * 2 * 8 + 2 * 16 * 12 * 9 * 8 * 16 + 64 * 48 * 4 * 16 * 4,
    "cnn3d": 8 * 16 * 12 * 27 * 3 * 4 + 4 * 8 * 6 * 8 * 4 * 3,
    "dilated1d": 8 * 64 * 2 * 8 * 8 + 64 * 3 * 8 * 4,
    "depthwise": 29 * 29 * 9 * 8 + 15 * 15 * (9 * 8 + 8 * 6),
    "mixed_precision": 6 * 8 * 9 * 3 * 4 + 6 * 8 * 9 * 4 * 5 + 8 * 10 * 5 * 2,
    "data_movement": 3 * 2 * 27 * 5,
    "custom_layer": 6 * (5 * 4 + 4 * 9 + 9 * 7 + 7 * 3),
    "NestedModels": 6 * 8 + 8 * 4 + 4 * 6 + 6 * 4 + 4 * 5 + 5 * 7 + 4 * 2,
    "DictInputs": 7 * (8 + 6) * 24 + 6 * 3,
    "PythonLoop": 6 * ((4 + 5) * 20 + 5 * 3),
    # fori 4, while over 0 2 4, while over 1 3 7 15, scan 7, and the costlier branch 2
    "Loops": (4 + 3 + 4 + 7 + 2) * 25,
    "LoopOnData": 25,
    "Transformed": (2 + 1 + 1 + 2) * 25,  # the last with the gradient by its input
    "KeptTensor": 2 * 6 * 4 * 4 + 2 * 6 * 6 * 4 + 6 * 4 * 3,
    "RawConvolutions": 80 * 9 * 2 * 6 + 80 * 9 * 6 * 4 + 320 * 4 * 2 * 4 + 31 * 39 * 4 * 4 * 5,
    "ManyOperations": 8 * 10 * 10 * 4,
    "Unread": 6 * 2,
    "Experts": 3 * 2 * 16 * 32 + 16 * 3 + 3 * 16,
    "MobileNet": 568_740_352,
    "MobileNetV2": 300_774_272,
    "EfficientNetB0": 385_814_752,
    "EfficientNetV2B0": 718_086_176,
    "ResNet50": 3_857_973_248,
    "VGG16": 15_470_264_320,
    "Xception": 8_357_403_496,
    "DenseNet121": 2_834_161_664,
    "InceptionV3": 5_713_216_096,
    "ConvNeXtTiny": 4_455_531_264,
    "MobileNetV3Small": 56_510_400,
}
"""Multiplications by hand; of the applications, as TensorFlow's graph has them."""

UNTRAINED = {
    "recurrent": 12 * 8 * 20,
    "conv_lstm": 5 * 90 * 9 * 3 * 16,
    "attention": 3 * 16 * 32 * 32,
    "unet": 32 * 24 * 9 * 2 * 8,
    "cnn3d": 8 * 16 * 12 * 27 * 3 * 4,
    "dilated1d": 2 * 64 * 2 * 8 * 8,
    "depthwise": 29 * 29 * 9 * 8,
    "custom_layer": 6 * 5 * 4,
    "NestedModels": 6 * 8,
    "Experts": 3 * 16 * 32 + 16 * 3,
}
"""Of a training step, which is three times the forward pass, the part that is not done: nobody
asks for the gradient by the model's input."""

UNKNOWN = {
    "LoopOnData": "how often a loop runs depends on the data",
    "Unread": "the FLOPs of sort depend on the algorithm",
}

if find_spec("jax"):

    @pytest.fixture(scope="module")
    def read() -> dict[str, Any]:
        """What the process without TensorFlow says."""
        run = subprocess.run(
            [sys.executable, "-m", "tests.frontends.jax_cases"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        found: dict[str, Any] = json.loads(run.stdout)
        assert not found["tensorflow"]
        assert set(found["cases"]) == set(MACS)
        return found["cases"]  # type: ignore[no-any-return]

    @pytest.mark.parametrize("name", MACS)
    def test_count(read: dict[str, Any], name: str) -> None:
        """The multiplications of all rows, and nothing unknown that need not be."""
        assert sum(macs for _, _, macs, _ in read[name]["graph"]) == MACS[name]
        assert read[name]["unknown"] == ([UNKNOWN[name]] if name in UNKNOWN else [])

    @pytest.mark.parametrize("name", MACS)
    def test_witness(read: dict[str, Any], name: str) -> None:
        """Call by call, what is traced in every layer costs what the layers do."""
        graph, traced = (
            {(path, call): figures for path, call, *figures in read[name][side] if any(figures)}
            for side in ("graph", "traced")
        )
        assert traced == graph

    @pytest.mark.parametrize("name", UNTRAINED)
    def test_training_step(read: dict[str, Any], name: str) -> None:
        """Each product is derived by both of its operands, but by no input of the model."""
        assert read[name]["step"] == 3 * MACS[name] - UNTRAINED[name]

    def test_rows(read: dict[str, Any]) -> None:
        """A call inside a compiled function that is called twice is two calls."""
        assert [tuple(row[:3]) for row in read["Transformed"]["graph"] if row[2]] == [
            ("dense", 1, 25),
            ("dense", 2, 25),
            ("dense_1", 1, 25),
            ("dense_1", 2, 25),
            ("dense", 3, 50),
        ]
        assert read["Loops"]["notes"] == [
            "loops: of the 2 branches of a condition the costliest is counted."
        ]


def test_backend_that_traces_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the backends that do."""
    monkeypatch.setattr(tracers, "current_backend", lambda: "torch")
    with pytest.raises(InputError, match="Set KERAS_BACKEND to tensorflow or jax") as refused:
        tracers.tracer("Net")
    assert "\n" not in str(refused.value)


def test_names_of_witnesses() -> None:
    """A report says what a model was compared with."""
    names = [tracers.witness_name(name) for name in ("tensorflow", "jax", "torch")]
    assert names == ["TensorFlow's graph", "JAX's jaxpr", ""]
