"""Any layer name comes through every report format escaped and whole."""

from __future__ import annotations

import csv
import io
import json
import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from costlens.report.folder import macs_chart, model_page
from costlens.report.markdown import escape
from costlens.units import printable
from tests.report.names import NAMES, awkward

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tables(text: str) -> list[list[list[Token]]]:
    """The tables of a Markdown page as rows of inline tokens."""
    found: list[list[list[Token]]] = []
    for token in MARKDOWN.parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level >= 3:
            found[-1][-1].append(token)
    return found


def plain(token: Token) -> str:
    """What a reader sees, provided that it is text and nothing else."""
    assert {child.type for child in token.children or ()} <= {"text", "text_special"}
    return "".join(child.content for child in token.children or ())


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_as_it_is(name: str) -> None:
    page = f"| A | B |\n|---|---|\n| {escape(name)} | after |\n"
    [[_, [cell, after]]] = tables(page)
    assert (plain(cell), plain(after)) == (printable(name), "after")
    heading = MARKDOWN.parse(f"# {escape(name)}\n")[1]
    assert plain(heading) == printable(name)


def test_the_layer_table_of_a_page_lists_every_name() -> None:
    study = awkward()
    layers = next(t for t in tables(study.to_markdown()) if plain(t[0][0]) == "Layer")
    assert len({len(row) for row in layers}) == 1
    shown = {plain(row[0]).lstrip("\u2003") for row in layers[1:]}
    assert {printable(name) for name in NAMES} <= shown


def test_a_page_holds_no_html_and_no_raw_control_character() -> None:
    page = model_page(awkward(), {"JSON": "m.json"}, None)
    assert not {t.type for t in MARKDOWN.parse(page)} & {"html_block"}
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", page)


def test_chart_labels_have_no_quote_of_their_own() -> None:
    axis = next(line for line in macs_chart(awkward()).splitlines() if "x-axis" in line)
    assert re.fullmatch(r'  x-axis \[("[^"`]*", )*"[^"`]*"\]', axis)


def test_json_holds_the_very_names() -> None:
    study = awkward()
    read = json.loads(study.to_json())
    assert [row["path"] for row in read["layers"]] == [row.path for row in study.layers]
    assert read["model"]["name"] == study.graph.name


def test_csv_holds_the_very_names() -> None:
    study = awkward()
    rows = list(csv.DictReader(io.StringIO(study.to_csv(), newline="")))
    assert [row["path"] for row in rows] == [row.path for row in study.layers]
    assert [int(row["macs"]) for row in rows] == [row.macs for row in study.layers]


def test_a_terminal_gets_no_control_character_and_every_name() -> None:
    text = str(awkward())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", text)
    joined = re.sub(r"\s+", "", text)
    for name in NAMES:
        if len(name) < 30:
            assert re.sub(r"\s+", "", printable(name)) in joined


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_notebook_gets_text_in_its_markup() -> None:
    parser = _Text()
    parser.feed(awkward()._repr_html_())
    assert parser.tags == {"pre", "span"}
    assert "<script>alert(1)</script>" in parser.text
