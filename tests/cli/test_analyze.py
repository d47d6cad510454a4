"""``costlens analyze``: formats, selections, sizes, streams and exit codes."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Costlens


def data(costlens: Costlens, *arguments: str) -> Any:
    """The JSON of a command that succeeds and says nothing else."""
    result = costlens("analyze", *arguments, "--format", "json")
    assert (result.code, result.err) == (0, "")
    return json.loads(result.out)


def test_the_terminal_shows_exact_totals_first(costlens: Costlens) -> None:
    result = costlens("analyze", "net.py")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[:4] == ["net", "", "Totals", "Parameters   198  190 trainable"]
    # 6·6 positions of 3×3×3 → 4 and of 4 → 4, then 4 → 10
    assert lines[4] == f"MACs         {36 * 108 + 36 * 16 + 40:,}"
    assert lines[-1].endswith("Every figure is exact.")
    assert max(map(len, lines)) <= 80


def test_depth_rolls_the_tree_up(costlens: Costlens) -> None:
    whole, rolled = costlens("analyze", "net.py").out, costlens("analyze", "net.py", "--depth", "1")
    assert "\n  reduce " in whole
    assert "\n  reduce " not in rolled.out
    assert re.search(r"\nblock +2 layers ", rolled.out)


def test_top_sort_and_layer_choose_rows_in_every_format(costlens: Costlens) -> None:
    flags = ("--sort", "params", "--top", "2")
    expected = ["stem", "head"]
    assert [row["path"] for row in data(costlens, "net.py", *flags)["layers"]] == expected
    text = costlens("analyze", "net.py", *flags, "--format", "csv").out
    assert [row["path"] for row in csv.DictReader(io.StringIO(text))] == expected
    table = costlens("analyze", "net.py", *flags).out.split("Layers\n")[1].split("\n\n")[0]
    assert [line.split()[0] for line in table.splitlines()[1:]] == expected
    page = costlens("analyze", "net.py", *flags, "--format", "markdown").out
    rows = page.split("## Layers")[1].split("##")[0].strip().splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == expected


def test_a_glob_matches_paths_and_types(costlens: Costlens) -> None:
    rows = data(costlens, "net.py", "--layer", "block/*")["layers"]
    assert [row["path"] for row in rows] == ["block/reduce", "block/bn"]
    rows = data(costlens, "net.py", "--layer", "Conv*")["layers"]
    assert [row["path"] for row in rows] == ["stem", "block/reduce"]


def test_a_glob_that_matches_nothing_says_so(costlens: Costlens) -> None:
    result = costlens("analyze", "net.py", "--layer", "conv9")
    assert result.code == 0
    assert result.err == "costlens: net: no layer's path or type matches conv9.\n"
    assert costlens("analyze", "net.py", "--layer", "conv9", "--quiet").err == ""


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".md", "# net\n"), (".json", "{\n"), (".csv", "path,type,"), (".txt", "net\n")],
)
def test_the_suffix_of_the_output_chooses_the_format(
    costlens: Costlens, tmp_path: Path, suffix: str, start: str
) -> None:
    result = costlens("analyze", "net.py", "-o", f"out{suffix}")
    assert (result.code, result.out, result.err) == (0, "", "")
    text = (tmp_path / f"out{suffix}").read_text(encoding="utf-8")
    assert text.startswith(start)
    assert text.endswith("\n")


def test_a_format_flag_beats_the_suffix(costlens: Costlens, tmp_path: Path) -> None:
    assert costlens("analyze", "net.py", "--format", "json", "-o", "out.txt").code == 0
    assert json.loads((tmp_path / "out.txt").read_text())["model"]["name"] == "net"


def test_a_file_holds_what_standard_output_shows(costlens: Costlens, tmp_path: Path) -> None:
    for form, suffix in (("markdown", "md"), ("json", "json"), ("csv", "csv")):
        shown = costlens("analyze", "net.py", "--format", form).out
        costlens("analyze", "net.py", "-o", f"out.{suffix}")
        assert (tmp_path / f"out.{suffix}").read_text(encoding="utf-8") == shown


def test_two_runs_are_the_same_to_the_byte(costlens: Costlens) -> None:
    for form in ("terminal", "markdown", "json", "csv"):
        first, second = (costlens("analyze", "net.py", "--format", form) for _ in range(2))
        assert first.out == second.out


def test_all_analyses_every_model_of_a_script(costlens: Costlens) -> None:
    read = data(costlens, "twins.py", "--all")
    assert set(read) == {"schema", "models"}
    assert [m["model"]["name"] for m in read["models"]] == ["a", "b", "small"]
    assert [m["model"]["source"] for m in read["models"]] == [
        "twins.py:a", "twins.py:b", "twins.py:small",
    ]  # fmt: skip
    cut = data(costlens, "twins.py", "--all", "--top", "1")
    assert [len(m["layers"]) for m in cut["models"]] == [1, 1, 1]


def test_all_as_csv_is_one_table_that_names_its_models(costlens: Costlens) -> None:
    text = costlens("analyze", "twins.py", "--all", "--format", "csv").out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["model"] for row in rows] == [
        f"twins.py:{m}" for m in "a a b b small small".split()
    ]


def test_the_main_model_is_the_largest_and_the_others_are_listed(costlens: Costlens) -> None:
    result = costlens("analyze", "open.py", "--format", "json")
    read = json.loads(result.out)
    assert read["model"]["name"] == "fixed"
    assert read["model"]["others"] == [{"target": "open.py:conv", "params": 112, "line": 4}]
    shown = costlens("analyze", "open.py").out
    assert "Other models in the same place: open.py:conv (112 parameters, line 4)." in shown


def test_a_callable_takes_literal_arguments_and_the_input_shape(costlens: Costlens) -> None:
    assert data(costlens, "net.py:build(width=8)")["totals"]["params"] == 224 + 72 + 32 + 90
    read = data(costlens, "net.py:build(4, input_shape=(8, 8, 1))")
    assert read["model"]["inputs"][0]["shape"] == [1, 8, 8, 1]
    read = data(costlens, "net.py:build", "--input-shape", "8,8,5")
    assert read["model"]["inputs"][0]["shape"] == [1, 8, 8, 5]


def test_batch_scales_what_it_should(costlens: Costlens) -> None:
    one, four = data(costlens, "net.py"), data(costlens, "net.py", "--batch", "4")
    assert (one["model"]["batch"], four["model"]["batch"]) == (1, 4)
    assert four["totals"]["macs"] == 4 * one["totals"]["macs"]
    assert four["totals"]["params"] == one["totals"]["params"]


@pytest.mark.parametrize("shape", ["9,7,3", "9x7x3", "(9, 7, 3)", "image=9,7,3"])
def test_an_input_shape_settles_open_dimensions(costlens: Costlens, shape: str) -> None:
    read = data(costlens, "open.py:conv", "--input-shape", shape)
    assert read["model"]["inputs"][0]["shape"] == [1, 9, 7, 3]
    assert read["totals"]["macs"] == 7 * 5 * 27 * 4


def test_input_shapes_come_in_order_or_by_name(costlens: Costlens) -> None:
    for flags in (("5,4", "7,4"), ("b=7,4", "a=5,4")):
        arguments = [part for flag in flags for part in ("--input-shape", flag)]
        read = data(costlens, "pair.py", *arguments)
        assert [port["shape"] for port in read["model"]["inputs"]] == [[1, 5, 4], [1, 7, 4]]
        assert read["model"]["outputs"][0]["shape"] == [1, 12, 4]


def test_an_unknown_layer_is_a_lower_bound_and_a_warning(costlens: Costlens) -> None:
    result = costlens("analyze", "odd.py")
    assert result.code == 0
    assert "MACs         ≥ 240" in result.out
    assert result.err.count("\n") == 1
    assert result.err.startswith("costlens: with_odd: 1 op call is not fully counted")
    assert "odd: it runs Python code, which TensorFlow does not trace" in result.err
    assert costlens("analyze", "odd.py", "--quiet").err == ""


def test_strict_exits_3_where_something_is_unknown(costlens: Costlens) -> None:
    strict = costlens("analyze", "odd.py", "--strict")
    assert (strict.code, strict.out) == (3, costlens("analyze", "odd.py").out)
    assert costlens("analyze", "net.py", "--strict").code == 0


def test_what_a_script_prints_goes_to_standard_error(costlens: Costlens) -> None:
    result = costlens("analyze", "chatty.py", "--format", "json")
    assert json.loads(result.out)["model"]["name"] == "chatty"
    assert 'Model: "chatty"' in result.err
    assert "from the script" in result.err


@pytest.mark.parametrize(("width", "least"), [("80", 60), ("200", 90)])
def test_the_width_of_the_terminal_is_used_and_kept(
    costlens: Costlens, monkeypatch: pytest.MonkeyPatch, width: str, least: int
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    table = costlens("analyze", "net.py").out.split("Layers\n")[1].split("\n\n")[0].splitlines()
    assert least < max(map(len, table)) <= int(width)


def test_colour_is_for_terminals_and_no_color_is_honoured(
    costlens: Costlens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b" not in costlens("analyze", "net.py").out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert "\x1b[" in costlens("analyze", "net.py").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in costlens("analyze", "net.py").out


def test_ops_lists_what_is_covered(costlens: Costlens) -> None:
    result = costlens("ops")
    assert (result.code, result.err) == (0, "")
    assert "SeparableConv2D" in result.out
    assert max(map(len, result.out.splitlines())) <= 80
    assert costlens("ops", "--format", "markdown").out.startswith("# What costlens reads\n")
