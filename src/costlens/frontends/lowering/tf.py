"""All lowerings of traced TensorFlow operations, by ``tf:OpType``."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.lowering import (
    tf_contract,
    tf_control,
    tf_elementwise,
    tf_nn,
    tf_shape,
)
from costlens.frontends.lowering.build import Lowering

TF_OPS: Mapping[str, Lowering] = {
    **tf_contract.OPS,
    **tf_control.OPS,
    **tf_elementwise.OPS,
    **tf_nn.OPS,
    **tf_shape.OPS,
}
"""Operation key → its lowering."""
