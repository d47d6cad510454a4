"""ONNX's operators, and what becomes of each."""

from __future__ import annotations

from costlens.frontends.onnx_file import (
    ops_control,
    ops_fold,
    ops_math,
    ops_nn,
    ops_quantized,
    ops_recurrent,
    ops_shape,
)
from costlens.frontends.opfile.run import Dialect

DIALECT = Dialect(
    "ONNX",
    {
        **ops_nn.HANDLERS,
        **ops_math.HANDLERS,
        **ops_shape.HANDLERS,
        **ops_quantized.HANDLERS,
        **ops_recurrent.HANDLERS,
    },
    ops_fold.FOLDS,
    ops_control.CONTROL,
)
"""How an ONNX file is lowered."""
