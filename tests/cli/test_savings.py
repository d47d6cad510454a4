"""``costlens savings`` and the blocks that ``explain`` and ``graph`` know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import networkx as nx
import pytest

from tests.cli.conftest import Costlens

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "costlens-1.json"

#: One bottleneck of blocks.py by hand: 8·8 positions, 16 → 4 → 4 → 16 channels, biases.
MACS = 64 * (16 * 4 + 9 * 4 * 4 + 4 * 16)
PARAMS = (16 * 4 + 4) + (9 * 4 * 4 + 4) + (4 * 16 + 16)
PLAIN_MACS, PLAIN_PARAMS = 64 * 9 * 16 * 16, 9 * 16 * 16 + 16


def read(costlens: Costlens, *arguments: str) -> Any:
    result = costlens("savings", "blocks.py", "--format", "json", "--quiet", *arguments)
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_blocks_and_their_plain_forms(costlens: Costlens) -> None:
    data = read(costlens)
    first, second = data["blocks"]
    assert (first["motif"], first["path"], second["path"]) == ("bottleneck", "first", "second")
    assert first["layers"] == [
        f"first_{part}" for part in ("reduce", "spatial", "expand", "add", "relu")
    ]
    assert (first["macs"], first["params"]) == (MACS, PARAMS)
    plain = first["baselines"][0]
    assert plain["name"] == "one k×k at full width"
    assert (plain["macs"], plain["params"]) == (PLAIN_MACS, PLAIN_PARAMS)
    assert plain["macs_ratio"] == round(PLAIN_MACS / MACS, 6)
    assert plain["params_ratio"] == round(PLAIN_PARAMS / PARAMS, 6)
    assert (first["depth"], plain["depth"]) == (3, 1)


def test_alike_blocks_are_a_line_and_a_total(costlens: Costlens) -> None:
    data = read(costlens)
    (line,) = data["savings"]["lines"]
    assert line["paths"] == ["first", "second"]
    assert (line["macs"], line["params"]) == (2 * MACS, 2 * PARAMS)
    model = data["savings"]["model"]
    totals = {total["name"]: total for total in data["savings"]["totals"]}
    one = totals["one k×k at full width"]
    assert one["blocks"] == 2
    assert one["macs"] == model["macs"] + 2 * (PLAIN_MACS - MACS)
    assert one["params"] == model["params"] + 2 * (PLAIN_PARAMS - PARAMS)
    assert data["savings"]["every"]["macs"] == one["macs"]


def test_1x1s_outside_blocks_have_a_plain_form(costlens: Costlens) -> None:
    found = {each["path"]: each for each in read(costlens)["pointwise"]}
    assert found["first_reduce"]["block"] == "first" and "baseline" not in found["first_reduce"]
    mix = found["mix"]
    assert (mix["role"], mix["stride"], "block" in mix) == ("expansion", 2, False)
    assert mix["baseline"]["macs"] == 9 * mix["macs"] == 9 * 16 * 16 * 24
    # on a pooled map: a dense layer on the map before the pooling, 4·4 positions
    head = found["head"]
    assert head["role"] == "classifier head"
    assert head["baseline"]["params"] == 4 * 4 * 24 * 10 + 10


def test_json_is_valid(costlens: Costlens) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    for arguments in ([], ["--motif", "bottleneck"], ["--baseline", "two", "--misses"]):
        validator.validate(read(costlens, *arguments))
    analysis = costlens("analyze", "blocks.py", "--format", "json", "--quiet").out
    validator.validate(json.loads(analysis))


def test_a_selection(costlens: Costlens) -> None:
    data = read(costlens, "--motif", "bottleneck", "--baseline", "two")
    assert "pointwise" not in data
    names = {plain["name"] for block in data["blocks"] for plain in block["baselines"]}
    assert names == {"two k×k at full width"}
    assert {total["name"] for total in data["savings"]["totals"]} == names
    assert read(costlens, "--motif", "fire")["blocks"] == []


@pytest.mark.parametrize("form", ["terminal", "markdown"])
def test_what_is_read(costlens: Costlens, form: str) -> None:
    out = costlens("savings", "blocks.py", "--format", form).out
    for text in (
        "Bottleneck (ResNet)",
        "CVPR 2016",
        "first … second",
        "one k×k at full width",
        "whole model",
        "same border shapes, not the same accuracy",
        "1×1s outside blocks",
        "flatten + dense",
    ):
        assert text in " ".join(out.replace("\\", "").split()), text


def test_a_file(costlens: Costlens) -> None:
    assert costlens("savings", "blocks.py", "-o", "savings.md").code == 0
    assert Path("savings.md").read_text(encoding="utf-8").startswith("# blocks\n")


def test_analyze_shows_the_lens_in_short(costlens: Costlens) -> None:
    out = costlens("analyze", "blocks.py").out
    assert "1×1 convolutions" in out and "bottleneck exit" in out and "Plain form of all" in out
    assert "1×1 convolutions" not in costlens("analyze", "twins.py:a").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--motif", "fires"], "'fires' is not a motif. Motifs: channel_attention,"),
        (["-o", "savings.pdf"], ".pdf is not a format of savings"),
        (["-o", "nowhere/savings.md"], "there is no folder nowhere"),
        (["--format", "csv"], "invalid choice: 'csv'"),
        (["--motif"], "expected one argument"),
        (["--input-shape", "8,8"], "image"),
    ],
)
def test_bad_input_is_one_line(costlens: Costlens, arguments: list[str], message: str) -> None:
    result = costlens("savings", "blocks.py", *arguments)
    assert result.code == 2 and result.out == ""
    assert result.err.count("\n") == 1 and message in result.err


def test_nothing_found_is_said(costlens: Costlens) -> None:
    result = costlens("savings", "blocks.py", "--motif", "fire")
    assert result.code == 0 and "no block of fire" in result.err
    result = costlens("savings", "blocks.py", "--baseline", "nothing")
    assert result.code == 0 and "no plain form's name has 'nothing'" in result.err
    assert costlens("savings", "blocks.py", "--baseline", "nothing", "--quiet").err == ""
    assert costlens("savings", "twins.py:a").code == 0


def test_an_unknown_layer_is_told(costlens: Costlens) -> None:
    result = costlens("savings", "odd.py", "--format", "json")
    assert result.code == 0 and "lower bounds; the first: odd: it runs Python" in result.err
    data = json.loads(result.out)
    assert data["coverage"]["complete"] is False
    assert "macs" in data["savings"]["model"]["at_least"]
    assert costlens("savings", "odd.py", "--strict", "--quiet").code == 3
    assert "% of the MACs that are known" in costlens("savings", "odd.py").out


def test_misses(costlens: Costlens) -> None:
    text = """
import keras
from keras import layers
x = image = keras.Input((8, 8, 16), name="image")
for width, kernel in ((4, 1), (4, 3), (16, 1)):
    x = layers.Conv2D(width, kernel, padding="same", activation="relu", name=f"c{width}{kernel}")(x)
net = keras.Model(image, x, name="plain")
"""
    Path("plain.py").write_text(text, encoding="utf-8")
    out = costlens("savings", "plain.py", "--format", "json", "--misses", "--quiet").out
    misses = {(m["motif"], m["path"]): m["reason"] for m in json.loads(out)["misses"]}
    assert "no addition" in misses["bottleneck", "c161"]
    assert "no addition" in costlens("explain", "plain.py", "c161").out


def test_a_block_is_explained(costlens: Costlens) -> None:
    out = " ".join(costlens("explain", "blocks.py", "first").out.split())
    for text in (
        "first: Bottleneck (ResNet)",
        "first as one k×k at full width",
        "first as two k×k at full width",
        f"saves {PLAIN_MACS - MACS:,} MACs",
        "1×1×16×4",  # the reduction goes
        "3×3×16×16",
        "576·w² + 2,048·w MACs",  # 64 positions · 9 taps, and 64 · (16 + 16)
    ):
        assert text in out, text


def test_a_1x1_is_explained(costlens: Costlens) -> None:
    out = " ".join(costlens("explain", "blocks.py", "mix").out.split())
    assert "what this 1×1 does" in out and "3×3 of the same channels" in out
    assert "lateral no pyramid stands around it" in out


def test_a_name_that_nothing_has(costlens: Costlens) -> None:
    result = costlens("explain", "blocks.py", "third")
    assert result.code == 2 and result.err.count("\n") == 1


@pytest.mark.parametrize("suffix", [".graphml", ".gexf", ".dot", ".mmd", ".json"])
def test_the_graph_of_blocks(costlens: Costlens, suffix: str) -> None:
    result = costlens("graph", "blocks.py", "--level", "block", "-o", f"net{suffix}")
    assert result.code == 0, result.err
    text = Path(f"net{suffix}").read_text(encoding="utf-8")
    assert "first (bottleneck)" in text
    assert "first_reduce" not in text and "mix" in text


def test_blocks_as_nodes_sum_to_the_totals(costlens: Costlens) -> None:
    costlens("graph", "blocks.py", "--level", "block", "-o", "net.graphml")
    net = nx.read_graphml("net.graphml")
    totals = json.loads(costlens("analyze", "blocks.py", "--format", "json").out)["totals"]
    for field in ("params", "macs", "flops", "weight_bytes", "activation_bytes", "bytes_moved"):
        assert sum(data[field] for _, data in net.nodes(data=True)) == totals[field], field
    assert nx.is_directed_acyclic_graph(nx.DiGraph(net))
    names = [data["label"] for _, data in net.nodes(data=True)]
    assert names == [
        "image (InputLayer)",
        "first (bottleneck)",
        "second (bottleneck)",
        "mix (Conv2D)",
        "pool (GlobalAveragePooling2D)",
        "head (Dense)",
    ]
