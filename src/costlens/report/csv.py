"""Rows as CSV: one line per layer call, exact integers."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from costlens.analysis.rows import Row
from costlens.units import shape

_FIELDS = (
    "path", "type", "call", "scope", "input_shapes", "output_shapes", "dtype", "params",
    "trainable_params", "weight_bytes", "macs", "macs_valid", "flops", "activation_bytes",
    "bytes_moved", "shared", "unknown",
)  # fmt: skip


def _fields(rows: Iterable[Row]) -> Sequence[str]:
    """The columns; those of a training step only where there is one."""
    trained = any(row.training_macs is not None for row in rows)
    return (*_FIELDS, "training_macs") if trained else _FIELDS


def render(rows: Sequence[Row]) -> str:
    """CSV with a header; several shapes in a cell stand apart by a space."""
    fields = _fields(rows)
    return "".join(map(_line, (fields, *(_cells(row, fields) for row in rows))))


def render_all(models: Mapping[str, Sequence[Row]]) -> str:
    """The rows of several models in one table, whose first column is the model's TARGET."""
    fields = _fields(row for found in models.values() for row in found)
    rows = ((target, *_cells(row, fields)) for target, found in models.items() for row in found)
    return "".join(map(_line, (("model", *fields), *rows)))


def _cells(row: Row, fields: Sequence[str]) -> Sequence[object]:
    return [_text(getattr(row, field), field) for field in fields]


def _line(cells: Sequence[object]) -> str:
    """One line; a carriage return is quoted only by a writer that ends its lines with one."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\r\n").writerow(cells)
    return file.getvalue().removesuffix("\r\n") + "\n"


def _text(value: object, field: str) -> object:
    if field in ("input_shapes", "output_shapes") and isinstance(value, tuple):
        return " ".join(map(shape, value))
    if isinstance(value, tuple):
        return "/".join(map(str, value)) if field == "scope" else "; ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else value
