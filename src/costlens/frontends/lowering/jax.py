"""All lowerings of traced JAX operations, by ``jax:primitive``."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.lowering import (
    jax_contract,
    jax_control,
    jax_elementwise,
    jax_shape,
    jax_window,
)
from costlens.frontends.lowering.build import Lowering

JAX_OPS: Mapping[str, Lowering] = {
    **jax_contract.OPS,
    **jax_control.OPS,
    **jax_elementwise.OPS,
    **jax_shape.OPS,
    **jax_window.OPS,
}
"""Primitive key → its lowering."""
