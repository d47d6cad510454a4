"""Awkward models: the same multiplications as TensorFlow's traced graph and as JAX's jaxpr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import costlens
from tests.oracles import awkward
from tests.oracles.traced import build_abstractly, traced_macs


@pytest.mark.parametrize("name", awkward.MODELS)
def test_traced_graph(name: str) -> None:
    """Complete; parameters as Keras counts them; multiplications in all and by layer."""
    model = build_abstractly(awkward.MODELS[name])
    study = costlens.analyze(model, verify=True)
    assert study.coverage.unknown == ()
    assert study.verification is not None and study.verification.agrees
    assert study.totals.params == model.count_params()
    traced = traced_macs(model)
    assert study.totals.macs == traced.macs
    by_layer: dict[str, int] = {}
    for row in study.layers:
        by_layer[row.path] = by_layer.get(row.path, 0) + row.macs
    assert by_layer == {path: traced.under(path) for path in by_layer}


if find_spec("jax"):

    def test_jaxpr() -> None:
        """Another framework's graph of the same models, counted in a process of its own."""
        module = awkward.__name__
        run = subprocess.run(
            [
                sys.executable,
                "-m",
                "tests.oracles.jaxpr",
                *(f"{module}:{n}" for n in awkward.MODELS),
            ],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "KERAS_BACKEND": "jax"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        counted = {
            target.removeprefix(f"{module}:"): found.get("macs", found)
            for target, found in json.loads(run.stdout).items()
        }
        measured = {}
        for name in awkward.MODELS:
            study = costlens.analyze(build_abstractly(awkward.MODELS[name]))
            measured[name] = study.totals.macs
        assert measured == counted
