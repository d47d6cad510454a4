"""The 1×1 lens as JSON data: ``pointwise``, ``pointwise_roles``, ``blocks`` and ``savings``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from costlens.analysis.blocks import Baseline, Block
from costlens.analysis.figures import Figures
from costlens.analysis.pointwise import Pointwise
from costlens.analysis.savings import Plain, Savings
from costlens.report.lens import EVERYTHING, Choice
from costlens.report.results import Results

_FIGURES = (
    "params", "weight_bytes", "macs", "macs_valid", "flops", "activation_bytes", "bytes_moved",
    "depth", "intensity",
)  # fmt: skip
_POINTWISE = (
    "path", "call", "node", "role", "in_channels", "out_channels", "positions", "stride", "groups",
    "macs", "weights", "params", "activation_bytes", "share_macs",
)  # fmt: skip


def points(study: Results) -> dict[str, Any]:
    """Every 1×1, and the 1×1s by role, all of them together last."""
    return {
        "pointwise": list(map(_pointwise, study.pointwise)),
        "pointwise_roles": [asdict(line) for line in study.pointwise_shares if line.calls],
    }


def lens(study: Results) -> dict[str, Any]:
    """Every 1×1 and every block; what is not known of one is left out."""
    return {
        **points(study),
        "blocks": blocks(study.blocks),
    }


def blocks(found: Sequence[Block], choice: Choice = EVERYTHING) -> list[dict[str, Any]]:
    """Blocks of the motifs that are chosen, each with the plain forms that are."""
    return [
        {
            "motif": block.motif,
            "path": block.path,
            "layers": list(block.layers),
            "parts": {name: list(layers) for name, layers in block.parts.items()},
            "sizes": dict(block.sizes),
            **_figures(block.cost),
            "baselines": [_baseline(p) for p in block.baselines if choice.shows(p.name)],
            "note": block.note,
        }
        for block in found
        if choice.has(block.motif)
    ]


def savings(found: Savings, choice: Choice) -> dict[str, Any]:
    """Lines of alike blocks, and the whole model with all blocks of a motif in one plain form."""
    made: dict[str, Any] = {
        "model": _figures(found.model),
        "lines": [
            {
                "motif": line.motif,
                "paths": list(line.paths),
                **_figures(line.cost),
                "baselines": [_plain(p) for p in line.baselines if choice.shows(p.name)],
            }
            for line in found.lines
            if choice.has(line.motif)
        ],
        "totals": [
            {"motif": total.motif, "blocks": total.blocks, **_plain(total.baseline)}
            for total in found.totals
            if choice.has(total.motif) and choice.shows(total.baseline.name)
        ],
    }
    if found.every is not None:
        made["every"] = {"blocks": found.every.blocks, **_plain(found.every.baseline)}
    return made


def _figures(figures: Figures) -> dict[str, Any]:
    made = {field: getattr(figures, field) for field in _FIGURES}
    bounds = sorted(figures.at_least & set(_FIGURES))
    return {**made, "at_least": bounds} if bounds else made


def _plain(plain: Plain) -> dict[str, Any]:
    return {"name": plain.name, **_figures(plain.cost), "note": plain.note}


def _baseline(plain: Baseline) -> dict[str, Any]:
    ratios = {"macs_ratio": plain.macs_ratio, "params_ratio": plain.params_ratio}
    return {"name": plain.name, **_figures(plain.cost), **ratios, "note": plain.note}


def _pointwise(each: Pointwise) -> dict[str, Any]:
    made = {field: getattr(each, field) for field in _POINTWISE}
    if each.block is not None:
        made["block"] = each.block
    if each.baseline is not None:
        made["baseline"] = _baseline(each.baseline)
    return made
