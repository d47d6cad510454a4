"""Rows as CSV: one line per layer call, exact integers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from costlens.analysis.rows import Row
from costlens.units import shape

_FIELDS = (
    "path", "type", "call", "scope", "input_shapes", "output_shapes", "dtype", "params",
    "trainable_params", "weight_bytes", "macs", "macs_valid", "flops", "activation_bytes",
    "bytes_moved", "shared", "unknown",
)  # fmt: skip


def render(rows: Sequence[Row]) -> str:
    """CSV with a header; several shapes in a cell stand apart by a space."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_FIELDS)
    for row in rows:
        writer.writerow([_text(getattr(row, field), field) for field in _FIELDS])
    return file.getvalue()


def _text(value: object, field: str) -> object:
    if field in ("input_shapes", "output_shapes") and isinstance(value, tuple):
        return " ".join(map(shape, value))
    if isinstance(value, tuple):
        return "/".join(map(str, value)) if field == "scope" else "; ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else value
