"""What a terminal shows: widths, order, alignment, bars, precision."""

from __future__ import annotations

import html
import re

import pytest
from rich.cells import cell_len

from costlens.report.build import View, summary
from costlens.report.terminal import render, render_html
from costlens.study import Study
from tests.analysis.sketch import Sketch, dense
from tests.report.names import awkward


def network() -> Study:
    """A stem, two blocks and a head."""
    s = Sketch("net")
    x = dense(s, s.input((1, 100)), 300, "stem")
    for block in ("stage1", "stage2"):
        x = dense(s, x, 300, f"{block}/reduce")
        x = s.op("unary", (x,), f"{block}/act", kind="LeakyRectifiedLinear", fn="relu")
    return s.study(dense(s, x, 10, "head"))


def lines_of(study: Study, width: int, view: View | None = None) -> list[str]:
    return render(summary(study, view), width).splitlines()


def table(lines: list[str], title: str) -> list[str]:
    """The lines of a section."""
    start = lines.index(title) + 1
    return lines[start : lines.index("", start) if "" in lines[start:] else None]


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("study", [network(), awkward()], ids=["plain", "awkward"])
def test_no_line_is_wider_than_the_terminal(study: Study, width: int) -> None:
    lines = lines_of(study, width)
    assert max(map(cell_len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)


def test_sections_stand_in_order_of_interest_totals_first() -> None:
    lines = lines_of(network(), 80)
    titles = ["Totals", "Layers", "By layer type", "Hot spots", "Memory at the peak", "Coverage"]
    assert lines[0] == "net"
    assert [line for line in lines if line in titles] == titles


def test_totals_are_exact() -> None:
    lines = table(lines_of(network(), 80), "Totals")
    assert "Parameters   213,910  213,910 trainable" in lines
    assert "MACs         213,000" in lines


@pytest.mark.parametrize("width", [80, 200])
def test_columns_line_up(width: int) -> None:
    lines = table(lines_of(network(), width), "Layers")
    end = lines[0].index("MACs %") + len("MACs %")
    for line in lines[1:]:
        assert line[:end].endswith(" %")
    assert lines[0].startswith("Layer")
    assert "Type" in lines[0]


def test_a_wide_terminal_shows_every_figure_and_a_narrow_one_the_main_ones() -> None:
    wide = table(lines_of(network(), 200), "Layers")[0].split()
    assert wide == "Layer Type Output Params MACs FLOPs Weights Activations Moved MACs %".split()
    narrow = table(lines_of(network(), 60), "Layers")[0].split()
    assert narrow == "Layer Output Params MACs MACs %".split()


def test_no_figure_is_ever_cut() -> None:
    figures = {"30.3 k", "90.3 k", "3.01 k", "42.3 %", "1.4 %"}
    for width in (1, 60, 80, 200):
        text = "\n".join(lines_of(network(), width))
        assert all(figure in text for figure in figures), width


def test_the_tree_indents_what_a_container_holds_and_depth_hides_it() -> None:
    layers = table(lines_of(network(), 80), "Layers")
    names = [line[: layers[0].index("Type")].rstrip() for line in layers[1:]]
    assert names[:5] == ["image", "stem", "stage1", "  reduce", "  act"]
    rolled = table(lines_of(network(), 80, View(depth=1)), "Layers")
    assert [line.split()[0] for line in rolled[1:]] == ["image", "stem", "stage1", "stage2", "head"]


def test_bars_are_as_long_as_their_shares() -> None:
    layers = table(lines_of(network(), 80), "Layers")
    bars = {line.split()[0]: line.count("█") for line in layers[1:]}
    assert bars == {
        "image": 0, "stem": 1, "stage1": 4, "reduce": 4, "act": 0, "stage2": 4, "head": 0,
    }  # fmt: skip


def test_a_selection_is_flat_with_whole_paths() -> None:
    lines = table(lines_of(network(), 80, View(top=2, sort="macs")), "Layers")
    assert [line.split()[0] for line in lines[1:]] == ["stage1/reduce", "stage2/reduce"]
    none = table(lines_of(network(), 80, View(layer="nothing*")), "Layers")
    assert none == ["Nothing."]


def test_an_unknown_makes_lower_bounds_wherever_it_counts() -> None:
    s = Sketch()
    x = s.input((1, 4))
    y = s.op("unknown", (x,), "odd", kind="Odd", reason="no rule", types=(s.values[x],))
    lines = lines_of(s.study(dense(s, y, 3, "fc")), 80)
    assert any(line.startswith("MACs         ≥ 12") for line in lines)
    assert [line.split()[4:6] for line in table(lines, "Layers") if line.startswith("odd")] == [
        ["≥", "0"]
    ]
    assert [line.split()[3:5] for line in table(lines, "By layer type") if "Odd" in line] == [
        ["≥", "0"]
    ]
    coverage = lines[lines.index("Coverage") + 1 :]
    assert coverage[0] == ("4 op calls: 2 counted, 1 without arithmetic, 1 unknown.")
    assert [line.split() for line in coverage if line.startswith("odd")] == [
        ["odd", "unknown", "no", "rule"]
    ]


def test_colour_is_only_where_it_is_asked_for() -> None:
    plain, coloured = (render(summary(network()), 80, colour) for colour in (False, True))
    assert "\x1b" not in plain
    assert "\x1b[36m██" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


def test_a_long_name_folds_beside_its_figures_and_nothing_of_it_is_lost() -> None:
    s = Sketch()
    lines = lines_of(s.study(dense(s, s.input((1, 4)), 3, "a_layer" * 20)), 60)
    rows = table(lines, "Layers")[2:]
    assert "".join(row[: rows[0].index(" ")] for row in rows).replace(" ", "") == "a_layer" * 20
    assert rows[0].endswith("100 % ██████████")
    assert not any(row.split()[1:] for row in rows[1:])


def test_a_notebook_shows_the_same_text() -> None:
    shown = render_html(summary(awkward()))
    assert html.unescape(re.sub("<[^>]*>", "", shown)) == render(summary(awkward()), 120)
