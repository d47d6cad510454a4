"""Pure lowerings: LayerCall → IR nodes, one module per family. Imports no framework."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.lowering import (
    activations,
    convolution,
    dense,
    merging,
    normalization,
    pooling,
    reshaping,
)
from costlens.frontends.lowering.build import Lowering

LOWERINGS: Mapping[str, Lowering] = {
    **activations.LAYERS,
    **convolution.LAYERS,
    **dense.LAYERS,
    **merging.LAYERS,
    **normalization.LAYERS,
    **pooling.LAYERS,
    **reshaping.LAYERS,
}
"""Layer or operation key → its lowering."""
