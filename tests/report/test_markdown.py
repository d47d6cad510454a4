"""Markdown pages, report folders, CSV."""

from __future__ import annotations

import csv
import io

import pytest

from costlens.report.csv import render_all
from costlens.report.folder import index_page, macs_chart, memory_chart, model_page, slug
from costlens.study import Study
from tests.analysis.sketch import Sketch, dense


def network(name: str = "net", units: int = 300) -> Study:
    """Two Dense layers."""
    s = Sketch(name)
    return s.study(dense(s, dense(s, s.input((1, 100)), units, "stem"), 10, "block/head"))


def test_tables_are_aligned_and_name_every_figure() -> None:
    lines = network().to_markdown().splitlines()
    assert lines[0] == "# net"
    assert "## Totals" in lines
    at = next(i for i, line in enumerate(lines) if line.startswith("| Layer "))
    titles = [title.strip() for title in lines[at].strip("|").split("|")]
    assert titles == [
        "Layer", "Type", "Output", "Params", "MACs", "FLOPs", "Weights", "Activations", "Moved",
        "MACs %",
    ]  # fmt: skip
    assert [rule[-1] for rule in lines[at + 1].strip("|").split("|")] == [*"---", *":::::::"]
    widths = {len(line) for line in lines[at : at + 5]}
    assert len(widths) == 1


def test_names_with_underscores_stay_readable() -> None:
    assert network("conv2d_1").to_markdown().startswith("# conv2d_1\n")


def test_a_page_links_its_files_and_draws_its_charts() -> None:
    page = model_page(network(), {"JSON": "net.json"}, "flowchart TD\n  a --> b\n")
    assert page.count("```mermaid\n") == 3
    assert page.endswith("The same as files: [JSON](net.json).\n")
    assert page.index("## Totals") < page.index("## Where the MACs are") < page.index("## Layers")


def test_charts_have_a_scale_that_fits_large_and_small_models() -> None:
    large = macs_chart(network(units=10_000))
    assert '"million MACs" 0 --> 1.000' in large
    assert "bar [1.000, 0.100]" in large
    small = macs_chart(network(units=2))
    assert '"MACs" 0 --> 200' in small
    assert "bar [200, 20]" in small
    assert "line [0.4, 1.6, 1.2, 1.2, 0.0]" in memory_chart(network())


def test_charts_of_a_model_without_macs_are_still_charts() -> None:
    s = Sketch()
    study = s.study(s.input((2,)))
    assert 'x-axis ["none"]' in macs_chart(study)
    assert "bar [0]" in macs_chart(study)
    assert "Nothing." not in memory_chart(study)


def test_the_index_compares_models_and_links_their_pages() -> None:
    page = index_page([network("a"), network("b", 50)], ["a.md", "b.md"])
    assert "| a       |       33,310 |" in page
    assert "* [b](b.md): 1×100" in page


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("MobileNet V2 (α=1.0)", "mobilenet-v2-α-1-0"),
        ("../../etc/passwd", "etc-passwd"),
        ("层", "层"),
        ("?!", "model"),
        ("README", "readme-2"),
        ("taken", "taken-2"),
        ("x" * 500, "x" * 80),
    ],
)
def test_a_model_name_becomes_a_safe_file_name(name: str, expected: str) -> None:
    assert slug(name, ["taken"]) == expected


def test_csv_of_several_models_is_one_table() -> None:
    text = render_all({"m.py:a": network("a").layers, "m.py:b": network("b").layers})
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["model"] for row in rows] == ["m.py:a"] * 3 + ["m.py:b"] * 3
    assert rows[2]["output_shapes"] == "1×10"
    assert rows[2]["scope"] == "block"
