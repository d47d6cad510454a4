"""Documents at a terminal: what fits its width, colour only where there is some."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence

from rich.cells import cell_len, chop_cells

from costlens.report.document import (
    Block,
    Cell,
    Column,
    Diagram,
    Document,
    Fact,
    Facts,
    Paragraph,
    Table,
    text_of,
)
from costlens.units import printable

_BAR = 10
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")
_FOLD = 40  # a longer name may fold before a column is given up for it
_LEAST = 60  # below this the figures themselves would be cut

Span = tuple[str, str]
"""Text, and how it looks: a key of ``_STYLES``."""

_STYLES = {
    "": ("", ""),
    "bold": ("1", "font-weight: bold"),
    "dim": ("2", "opacity: 0.6"),
    "title": ("1;36", "font-weight: bold; color: teal"),
    "bar": ("36", "color: teal"),
}
"""Each style's code at a terminal, and in HTML."""


def render(document: Document, width: int | None = None, colour: bool = False) -> str:
    """The document as text of at most ``width`` columns (80 where none is given)."""
    return _joined(document, max(width or 80, _LEAST), _ansi if colour else _bare)


def render_html(document: Document) -> str:
    """The same as an HTML fragment for a notebook."""
    style = "white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace"
    return f'<pre style="{style}">{_joined(document, 120, _html)}</pre>'


def _joined(document: Document, width: int, shown: Callable[[Span], str]) -> str:
    return "".join(
        "".join(shown(span) for span in line).rstrip() + "\n" for line in _lines(document, width)
    )


def _bare(span: Span) -> str:
    return span[0]


def _ansi(span: Span) -> str:
    code = _STYLES[span[1]][0]
    return f"\x1b[{code}m{span[0]}\x1b[0m" if code and span[0] else span[0]


def _html(span: Span) -> str:
    style, text = _STYLES[span[1]][1], html.escape(span[0], quote=False)
    return f'<span style="{style}">{text}</span>' if style and text else text


def _lines(document: Document, width: int) -> Iterator[Sequence[Span]]:
    for line in _wrapped(printable(document.title), width):
        yield [(line, "bold")]
    for section in document.sections:
        yield []
        yield [(section.title, "title")]
        last: Block | None = None
        for block in section.blocks:
            if isinstance(last, Table) and isinstance(block, Table):
                yield []
            yield from _block(block, width)
            last = block


def _block(block: Block, width: int) -> Iterator[Sequence[Span]]:
    match block:
        case Table():
            yield from _table(block, width)
        case Facts():
            left = max(map(_cells, (fact.label for fact in block.facts)), default=0)
            for fact in block.facts:
                yield from _fact(fact, left, width)
        case Paragraph():
            for line in _wrapped(block.text.format(*map(printable, block.names)), width):
                yield [(line, "")]
        case Diagram():
            pass


def _fact(fact: Fact, left: int, width: int) -> Iterator[Sequence[Span]]:
    """A label, its value and what there is to say about it, which fold beside the label."""
    value, label = text_of(fact.unit, fact.value), _padded(fact.label, left)
    text = f"{value}  {printable(fact.detail)}" if fact.detail else value
    bold = len(value)
    for line in _wrapped(text, width - left - 2):
        yield [(f"{label}  ", ""), (line[:bold], "bold"), (line[bold:], "dim")]
        bold, label = max(0, bold - len(line)), " " * left


def _table(table: Table, width: int) -> Iterator[Sequence[Span]]:
    if not table.rows:
        yield [("Nothing.", "")]
        return
    head = [column.title for column in table.columns]
    texts = [head, *_texts(table)]
    needs = [max(map(_cells, column)) for column in zip(*texts, strict=True)]
    shown = _fitting(table.columns, needs, width)
    columns = [table.columns[i] for i in shown]
    sizes = _sizes(columns, [needs[i] for i in shown], width)
    yield from _row(columns, [head[i] for i in shown], sizes, [None] * len(shown), "dim")
    for cells, row in zip(texts[1:], table.rows, strict=True):
        yield from _row(columns, [cells[i] for i in shown], sizes, [row[i] for i in shown], "")


def _texts(table: Table) -> list[list[str]]:
    """Every cell as text, the first of a row indented by its level."""
    levels = table.levels or (0,) * len(table.rows)
    units = [column.unit for column in table.columns]
    made = []
    for level, row in zip(levels, table.rows, strict=True):
        texts = [text_of(unit, cell) for unit, cell in zip(units, row, strict=True)]
        made.append(["  " * level + texts[0], *texts[1:]])
    return made


def _fitting(columns: Sequence[Column], needs: Sequence[int], width: int) -> list[int]:
    """The columns that are shown: the highest ranks go, those of one rank together, until the
    rest fit side by side."""
    least = [
        (max(cell_len(column.title), min(need, _FOLD)) if column.unit == "text" else need)
        + _beside(column)
        for column, need in zip(columns, needs, strict=True)
    ]
    shown = list(range(len(columns)))
    while sum(least[i] + 1 for i in shown) - 1 > width:
        last = max(columns[i].rank for i in shown)
        if not last:
            break
        shown = [i for i in shown if columns[i].rank != last]
    return shown


def _beside(column: Column) -> int:
    """What a bar takes beside its figure."""
    return _BAR + 1 if column.unit == "bar" else 0


def _folds(column: Column) -> bool:
    return column.unit in ("text", "shape")


def _sizes(columns: Sequence[Column], needs: Sequence[int], width: int) -> list[int]:
    """How wide each column is: as its widest cell, or folded, the widest ones most."""
    sizes = [min(need, width) for need in needs]
    folding = [i for i, column in enumerate(columns) if _folds(column)]
    excess = sum(sizes) + sum(_beside(column) + 1 for column in columns) - 1 - width
    for _ in range(excess if folding else 0):
        widest = max(folding, key=lambda i: sizes[i])
        sizes[widest] = max(1, sizes[widest] - 1)
    return sizes


def _row(
    columns: Sequence[Column],
    texts: Sequence[str],
    sizes: Sequence[int],
    row: Sequence[Cell],
    style: str,
) -> Iterator[Sequence[Span]]:
    """A row of a table, on as many lines as its cells fold to."""
    folded = [_wrapped(text, size) for text, size in zip(texts, sizes, strict=True)]
    for i in range(max(map(len, folded))):
        line: list[Span] = []
        for column, lines, size, cell in zip(columns, folded, sizes, row, strict=True):
            text = lines[i] if i < len(lines) else ""
            line.append((_padded(text, size, not _folds(column)) + " ", style))
            if column.unit == "bar":
                line.append((f"{_bar(cell) if not i else '':{_BAR}} ", "bar"))
        while line and not line[-1][0].strip():
            line.pop()
        last, looks = line.pop() if line else ("", "")
        yield [*line, (last.rstrip(), looks)]


def _bar(share: Cell) -> str:
    eighths = int(_BAR * 8 * share) if isinstance(share, float) else 0
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8]


def _padded(text: str, size: int, right: bool = False) -> str:
    """Text filled up to a width, to the left or to the right."""
    space = " " * (size - _cells(text))
    return space + text if right else text + space


def _cells(text: str) -> int:
    """How many columns a text takes."""
    return len(text) if text.isascii() else cell_len(text)


def _wrapped(text: str, width: int) -> list[str]:
    """Text in lines of at most ``width`` columns, broken at spaces where there are some."""
    if _cells(text) <= width:
        return [text]
    lines, line = [], ""
    for word in re.findall(r"\s*\S+\s*|\s+", text):
        if _cells(line + word.rstrip()) <= width:
            line += word
            continue
        if line:
            lines.append(line.rstrip())
        *full, line = chop_cells(word, width) if _cells(word.rstrip()) > width else [word]
        lines += full
    return [*lines, line.rstrip()]
