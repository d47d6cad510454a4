"""Every published figure that a model here can reproduce, at the precision it was printed with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import costlens
from costlens.analysis.rows import Row
from costlens.study import Study

ROOT = Path(__file__).parents[1]
PUBLISHED = json.loads(
    (ROOT / "tests/reference/published.json").read_text(), parse_float=Fraction, parse_int=Fraction
)


class Selection:
    """The rows of a model whose path matches a glob, and the rest."""

    def __init__(self, study: Study, layer: str) -> None:
        self.study, self.layer = study, layer
        self.rows = [row for row in study.layers if fnmatchcase(row.path, layer)]
        self.others = [row for row in study.layers if not fnmatchcase(row.path, layer)]
        assert self.rows, f"no layer matches {layer}"

    def kernels(self) -> int:
        """Scalars of the kernels that the selected layers own."""
        return sum(
            weight.params
            for weight in self.study.graph.weights.values()
            if weight.path.endswith("kernel") and fnmatchcase(weight.owner, self.layer)
        )


def summed(rows: Iterable[Row], field: str) -> Fraction:
    return Fraction(sum(getattr(row, field) for row in rows))


def share(part: Fraction | int, whole: Fraction | int) -> Fraction:
    return 100 * Fraction(part) / whole


COUNTED: Mapping[str, Callable[[Selection], Fraction | int]] = {
    "macs_nominal": lambda s: summed(s.rows, "macs"),
    "macs_conv_only": lambda s: summed((r for r in s.rows if "Conv" in r.type), "macs"),
    "macs_share": lambda s: share(summed(s.rows, "macs"), s.study.totals.macs),
    "macs_added": lambda s: share(summed(s.rows, "macs"), summed(s.others, "macs")),
    "params_all": lambda s: summed(s.rows, "params"),
    "params_trainable": lambda s: summed(s.rows, "trainable_params"),
    "params_weights_only": Selection.kernels,
    "params_weights_only_share": lambda s: share(s.kernels(), Selection(s.study, "*").kernels()),
    "params_added": lambda s: share(summed(s.rows, "params"), summed(s.others, "params")),
    "weight_bytes_float32": lambda s: 4 * summed(s.rows, "params"),
    "layers_with_params": lambda s: len({row.path for row in s.rows if row.params}),
}


def by_target(entries: Iterable[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        if key in entry:
            groups.setdefault(entry[key], []).append(entry)
    return groups


PRINTED = by_target(PUBLISHED["tested"], "target")
EXACT = by_target([*PUBLISHED["tested"], *PUBLISHED["not_tested"]], "keras_target")


def printed_so(measured: Fraction, entry: Mapping[str, Any]) -> bool:
    """Whether a measured figure, in the row's unit, prints as the row does."""
    step, value = Fraction(10) ** -int(entry["decimals"]), entry["value"]
    if entry["rounding"] == "down":
        return bool(value <= measured < value + step)
    assert entry["rounding"] == "nearest"
    return bool(abs(measured - value) <= step / 2)


def study_of(target: str) -> Study:
    if target.startswith("examples/"):
        target = f"{ROOT}/{target}"
    return costlens.analyze(target)


def test_the_data_says_what_it_means() -> None:
    assert set(COUNTED) == set(PUBLISHED["conventions"])
    assert set(PUBLISHED["rounding"]) == {"nearest", "down"}
    ids = [entry["id"] for entry in (*PUBLISHED["tested"], *PUBLISHED["not_tested"])]
    assert len(ids) == len(set(ids)) == 558
    assert all(entry["differs"] for entry in PUBLISHED["not_tested"])


@pytest.mark.parametrize("target", sorted({*PRINTED, *EXACT}))
def test_published_figures(target: str) -> None:
    """All figures of one model: the printed ones as printed, the exact ones to the integer."""
    study = study_of(target)
    assert study.coverage.complete
    wrong = []
    for entry in PRINTED.get(target, []):
        selection = Selection(study, entry.get("layer", "*"))
        measured = Fraction(COUNTED[entry["convention"]](selection))
        if not printed_so(measured / PUBLISHED["units"][entry["unit"]], entry):
            wrong.append((entry["id"], str(entry["value"]), entry["unit"], float(measured)))
    for entry in EXACT.get(target, []):
        measured = Fraction(COUNTED[entry["keras_convention"]](Selection(study, "*")))
        if measured != entry["keras_exact"]:
            wrong.append((entry["id"], str(entry["keras_exact"]), "exactly", float(measured)))
    assert wrong == []
