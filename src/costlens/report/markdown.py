"""Documents as GitHub-flavoured Markdown; tables by tabulate."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tabulate import tabulate

from costlens.report.document import (
    Block,
    Diagram,
    Document,
    Facts,
    Paragraph,
    Section,
    Table,
    text_of,
)
from costlens.units import printable

# an underscore within a word, as in conv2d_1, means nothing
_SPECIAL = re.compile(r"([\\`*{}\[\]<>#|~$!&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def escape(text: str) -> str:
    r"""Text from a model so that Markdown shows it as it is, on one line.

    >>> print(escape("a_1|b<script>"))
    a_1\|b&lt;script&gt;
    """
    text = _SPECIAL.sub(r"\\\1", printable(text))
    text = text.replace(r"\<", "&lt;").replace(r"\>", "&gt;").replace(r"\&", "&amp;")
    return re.sub("^ | $|(?<= ) ", "&#32;", text)


def render(document: Document, level: int = 1) -> str:
    """The whole document; ``level`` is that of its title."""
    parts = [f"{'#' * level} {escape(document.title)}"]
    parts += [_section(section, level + 1) for section in document.sections]
    return "\n\n".join(parts) + "\n"


def _section(section: Section, level: int) -> str:
    blocks = [_block(block) for block in section.blocks]
    return "\n\n".join([f"{'#' * level} {escape(section.title)}", *blocks])


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Facts():
            rows = [
                (fact.label, escape(text_of(fact.unit, fact.value)), escape(fact.detail))
                for fact in block.facts
            ]
            aligned = ("left", "right", "left")
            return _tabulate(("Figure", "Value", ""), rows, aligned)
        case Paragraph():
            return block.text.format(*map(escape, block.names))
        case Diagram():
            return f"```mermaid\n{block.source.rstrip()}\n```"


def _table(table: Table) -> str:
    levels = table.levels or (0,) * len(table.rows)
    rows = []
    for level, row in zip(levels, table.rows, strict=True):
        cells = [escape(text_of(c.unit, cell)) for c, cell in zip(table.columns, row, strict=True)]
        cells[0] = "&emsp;" * level + cells[0]
        rows.append(tuple(cells))
    titles = tuple(column.title for column in table.columns)
    aligned = tuple("left" if c.unit in ("text", "shape") else "right" for c in table.columns)
    return _tabulate(titles, rows, aligned)


def _tabulate(
    titles: tuple[str, ...], rows: Sequence[tuple[str, ...]], aligned: tuple[str, ...]
) -> str:
    return (
        tabulate(rows, headers=titles, tablefmt="pipe", colalign=aligned, disable_numparse=True)
        if rows
        else "Nothing."
    )
