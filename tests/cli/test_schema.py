"""The published JSON Schema against what ``--format json`` gives."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.analysis.sketch import Sketch, dense
from tests.cli.conftest import Costlens
from tests.report.names import awkward

PATH = Path(__file__).parents[2] / "docs" / "schema" / "costlens-1.json"
SCHEMA = json.loads(PATH.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def objects(schema: Any) -> Iterator[Any]:
    """Every property of every object of a schema."""
    if isinstance(schema, dict):
        for key, item in schema.items():
            if key == "properties":
                yield from item.items()
            yield from objects(item)
    elif isinstance(schema, list):
        for item in schema:
            yield from objects(item)


def read(costlens: Costlens, *arguments: str) -> Any:
    return json.loads(costlens("analyze", *arguments, "--format", "json", "--quiet").out)


def test_the_schema_is_one_and_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for name, item in objects(SCHEMA):
        target = SCHEMA["$defs"][item["$ref"].rpartition("/")[2]] if "$ref" in item else item
        assert target["description"], name


def test_every_figure_has_a_unit() -> None:
    for name, item in objects(SCHEMA):
        if item.get("type") in ("integer", "number") and name not in ("call", "calls"):
            text = item["description"]
            assert "Unit: " in text or name in ("counted", "zero"), name


@pytest.mark.parametrize(
    "arguments",
    [
        ("net.py",),
        ("net.py", "--top", "1"),
        ("net.py", "--layer", "nothing"),
        ("twins.py", "--all"),
        ("pair.py", "--input-shape", "5,4", "--input-shape", "7,4", "--batch", "3"),
        ("open.py",),
        ("odd.py",),
        ("keras.applications:MobileNetV2",),
    ],
    ids=" ".join,
)
def test_what_the_command_gives_is_valid(costlens: Costlens, arguments: tuple[str, ...]) -> None:
    VALIDATOR.validate(read(costlens, *arguments))


def test_studies_from_python_are_valid() -> None:
    VALIDATOR.validate(json.loads(awkward().to_json()))
    s = Sketch()
    x = s.input((), dtype="string")
    s.weight((7,), "spare")
    y = s.op("opaque", (x,), "parse", fn="parse", types=(s.values[x],))
    VALIDATOR.validate(json.loads(s.study(y).to_json()))


def test_counts_beyond_64_bits_stay_exact() -> None:
    s = Sketch()
    made = s.study(dense(s, s.input((10**9, 10**9)), 10**9, "fc"))
    data = json.loads(made.to_json())
    VALIDATOR.validate(data)
    assert data["totals"]["macs"] == 10**27


def test_columns_sum_to_the_totals_and_shares_can_be_recomputed(costlens: Costlens) -> None:
    data = read(costlens, "net.py")
    totals = data["totals"]
    for field in ("params", "trainable_params", "weight_bytes", "macs", "macs_valid", "flops",
                  "activation_bytes", "bytes_moved"):  # fmt: skip
        assert sum(row[field] for row in data["layers"]) == totals[field]
    for row in data["layers"]:
        assert row["share_macs"] == round(row["macs"] / totals["macs"], 6)
        for field in ("macs", "flops", "bytes_moved"):
            assert sum(op[field] for op in row["ops"]) == row[field]
    assert totals["params"] == totals["trainable_params"] + totals["non_trainable_params"]
    assert totals["peak_memory_bytes"] == data["memory"]["peak_bytes"]
    assert sum(tensor["bytes"] for tensor in data["memory"]["live"]) == data["memory"]["peak_bytes"]
    found = data["coverage"]
    assert found["calls"] == found["counted"] + found["zero"] + len(found["unknown"])
    assert found["calls"] == sum(len(row["ops"]) for row in data["layers"])


def test_an_unknown_layer_is_told(costlens: Costlens) -> None:
    data = read(costlens, "odd.py")
    assert data["coverage"]["complete"] is False
    assert data["coverage"]["unknown"][0]["layer"] == "odd"
    assert "macs" in data["totals"]["at_least"]
    unknown = {row["path"]: row.get("unknown") for row in data["layers"]}
    why = "it runs Python code, which TensorFlow does not trace"
    assert unknown == {"image": None, "odd": [why], "conv": None}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "costlens/2"),
        (("extra",), 1),
        (("totals", "macs"), -1),
        (("totals", "macs"), 1.5),
        (("totals", "macs"), None),
        (("totals", "extra"), 1),
        (("layers", 0, "share_macs"), 1.1),
        (("layers", 0, "extra"), 1),
        (("memory", "peak_bytes"), "1"),
        (("model", "inputs", 0, "shape"), [None, 3]),
    ],
)
def test_the_schema_refuses_what_is_wrong(
    costlens: Costlens, path: tuple[str | int, ...], value: object
) -> None:
    data = read(costlens, "net.py")
    wrong = copy.deepcopy(data)
    at: Any = wrong
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    VALIDATOR.validate(data)
    assert not VALIDATOR.is_valid(wrong)


def test_keys_of_later_features_are_described_and_optional(costlens: Costlens) -> None:
    data = read(costlens, "net.py")
    data["memory"] |= {"lower_bound_bytes": 1, "best_order_peak_bytes": 2, "arena_bytes": 3}
    costs = {"macs": 1, "params": 2}
    data["pointwise"] = [
        {"path": "a", "role": "reduce", "in_channels": 4, "out_channels": 2, "share_macs": 0.5}
        | costs
    ]
    sizes = costs | {"activation_bytes": 3, "bytes_moved": 4}
    plain = {"name": "plain", "macs_ratio": 2.8, "params_ratio": None} | sizes
    data["blocks"] = [{"motif": "fire", "path": "f", "layers": ["a"], "baselines": [plain]} | sizes]
    VALIDATOR.validate(data)
    del data["blocks"][0]["macs"]
    assert not VALIDATOR.is_valid(data)
