"""All lowerings of traced TensorFlow operations, by ``tf:OpType``."""

from __future__ import annotations

from collections.abc import Mapping

from costlens.frontends.lowering import (
    tf_contract,
    tf_control,
    tf_dilated,
    tf_elementwise,
    tf_fold,
    tf_gradients,
    tf_image,
    tf_index,
    tf_linalg,
    tf_nn,
    tf_random,
    tf_shape,
)
from costlens.frontends.lowering.build import Lowering

_OPS: Mapping[str, Lowering] = {
    **tf_contract.OPS,
    **tf_control.OPS,
    **tf_dilated.OPS,
    **tf_elementwise.OPS,
    **tf_image.OPS,
    **tf_index.OPS,
    **tf_linalg.OPS,
    **tf_nn.OPS,
    **tf_random.OPS,
    **tf_shape.OPS,
    **tf_gradients.OPS,
}

TF_OPS: Mapping[str, Lowering] = {
    **_OPS,
    **{key: tf_fold.folding(_OPS[key], fold) for key, fold in tf_fold.FOLDS.items()},
}
"""Operation key → its lowering."""
