"""Dropout, noise and activity regularisation: at inference each returns its input."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.lowering.build import Lowering
from costlens.frontends.lowering.policy import computed
from costlens.frontends.lowering.reshaping import nothing

_NAMES = (
    "ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise "
    "SpatialDropout1D SpatialDropout2D SpatialDropout3D"
).split()

LAYERS: Mapping[str, Lowering] = {f"layer:{name}": computed(nothing) for name in _NAMES}
