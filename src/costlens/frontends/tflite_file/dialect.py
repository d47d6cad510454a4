"""TensorFlow Lite's operators, and what becomes of each."""

from __future__ import annotations

from costlens.frontends.opfile.run import Dialect
from costlens.frontends.tflite_file import (
    ops_control,
    ops_fold,
    ops_math,
    ops_nn,
    ops_recurrent,
    ops_shape,
)

DIALECT = Dialect(
    "TensorFlow Lite",
    {
        **ops_nn.HANDLERS,
        **ops_math.HANDLERS,
        **ops_shape.HANDLERS,
        **ops_recurrent.HANDLERS,
    },
    ops_fold.FOLDS,
    ops_control.CONTROL,
)
"""How a TensorFlow Lite file is lowered."""
