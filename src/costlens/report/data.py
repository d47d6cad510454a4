"""A study as JSON data, schema ``costlens/1`` (docs/schema/costlens-1.json)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from costlens.analysis.rows import Row
from costlens.analysis.tree import share
from costlens.report import lens_data
from costlens.report.lens import Choice
from costlens.report.results import Results

SCHEMA = "costlens/1"


def data(study: Results, rows: Sequence[Row] | None = None) -> dict[str, Any]:
    """The whole study; ``rows`` replaces its layers where a selection is wanted."""
    return {"schema": SCHEMA, **model_data(study, rows)}


def models_data(
    studies: Sequence[Results], rows: Sequence[Sequence[Row]] | None = None
) -> dict[str, Any]:
    """Several studies under one schema; ``rows`` holds a selection of each one's layers."""
    picked = [study.layers for study in studies] if rows is None else rows
    return {"schema": SCHEMA, "models": list(map(model_data, studies, picked))}


def model_data(study: Results, rows: Sequence[Row] | None = None) -> dict[str, Any]:
    """One study without the schema entry."""
    total = study.totals.macs
    return {
        "model": _model(study),
        "coverage": _coverage(study),
        "totals": _totals(study),
        "layers": [_row(row, total) for row in (study.layers if rows is None else rows)],
        **lens_data.lens(study),
        "memory": _memory(study),
        **_verification(study),
        "notes": [{"text": note} for note in study.graph.notes],
    }


def savings_data(study: Results, choice: Choice, misses: bool = False) -> dict[str, Any]:
    """What ``costlens savings`` shows: 1×1s and blocks, blocks together, and near misses."""
    made: dict[str, Any] = {
        "schema": SCHEMA,
        "model": _model(study),
        "coverage": _coverage(study),
    }
    if not choice.motifs:
        made |= lens_data.points(study)
    made["blocks"] = lens_data.blocks(study.blocks, choice)
    made["savings"] = lens_data.savings(study.savings, choice)
    if misses:
        made["misses"] = [asdict(miss) for miss in study.misses if choice.has(miss.motif)]
    return made


def _model(study: Results) -> dict[str, Any]:
    graph = study.graph
    first = graph.values[graph.inputs[0]].shape if graph.inputs else ()
    return {
        "name": graph.name,
        "source": study.source.target,
        "keras": study.source.keras,
        "backend": study.source.backend,
        "batch": first[0] if first else 1,
        "inputs": [_port(study, value) for value in graph.inputs],
        "outputs": [_port(study, value) for value in graph.outputs],
        "others": [
            {"target": name, "params": n, "line": line}
            for (name, n), line in zip(study.source.others, study.source.lines, strict=True)
        ],
    }


def _port(study: Results, value: str) -> dict[str, Any]:
    made, type_ = study.graph.producer.get(value), study.graph.values[value]
    name = made.origin.layer if made else value
    return {"name": name, "shape": list(type_.shape), "dtype": type_.dtype}


def _coverage(study: Results) -> dict[str, Any]:
    found = study.coverage
    return {
        "calls": found.calls,
        "counted": found.counted,
        "zero": found.zero,
        "unknown": [{"layer": u.layer, "op": u.op, "reason": u.reason} for u in found.unknown],
        "complete": found.complete,
    }


_TOTALS = (
    "params", "trainable_params", "non_trainable_params", "weight_bytes", "constant_bytes", "macs",
    "macs_valid", "flops", "flops_folded", "activation_bytes", "bytes_moved", "peak_memory_bytes",
    "layers",
)  # fmt: skip


def _totals(study: Results) -> dict[str, Any]:
    figures = {field: getattr(study.totals, field) for field in _TOTALS}
    if study.totals.training_macs is not None:
        figures["training_macs"] = study.totals.training_macs
    return {**figures, "at_least": sorted(study.totals.at_least)}


def _verification(study: Results) -> dict[str, Any]:
    found = study.verification
    if found is None:
        return {}
    return {"verification": {"agrees": found.agrees, **asdict(found)}}


def _row(row: Row, total_macs: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "path": row.path,
        "type": row.type,
        "call": row.call,
        "scope": list(row.scope),
        "input_shapes": [list(shape) for shape in row.input_shapes],
        "output_shapes": [list(shape) for shape in row.output_shapes],
        "dtype": row.dtype,
        "params": row.params,
        "trainable_params": row.trainable_params,
        "weight_bytes": row.weight_bytes,
        "macs": row.macs,
        "macs_valid": row.macs_valid,
        "flops": row.flops,
        "activation_bytes": row.activation_bytes,
        "bytes_moved": row.bytes_moved,
        "share_macs": share(row.macs, total_macs),
        "shared": row.shared,
        "ops": [
            {
                "name": part.name,
                "op": part.op,
                "repeat": part.repeat,
                "macs": part.macs,
                "flops": part.flops,
                "bytes_moved": part.bytes_moved,
            }
            for part in row.ops
        ],
    }
    if row.training_macs is not None:
        made["training_macs"] = row.training_macs
    if not row.at_least:
        return made
    return {**made, "at_least": sorted(row.at_least), "unknown": list(row.unknown)}


def _memory(study: Results) -> dict[str, Any]:
    found = study.memory
    return {
        "policy": found.policy,
        "peak_bytes": found.peak_bytes,
        "at": found.at,
        "live": [{"value": t.value, "bytes": t.bytes, "layer": t.layer} for t in found.live],
    }
