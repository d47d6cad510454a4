"""Documents at a terminal, by rich: what fits its width, colour only where there is some."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.bar import Bar
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from costlens.report.document import (
    Block,
    Cell,
    Column,
    Diagram,
    Document,
    Facts,
    Paragraph,
    Table,
    text_of,
)
from costlens.units import printable

_BAR = 10
_FOLD = 40  # a longer name may fold before a column is given up for it
_LEAST = 60  # below this the figures themselves would be cut


def render(document: Document, width: int | None = None, colour: bool = False) -> str:
    """The document as text of at most ``width`` columns (80 where none is given)."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=max(width or 80, _LEAST),
        force_terminal=colour,
        force_jupyter=False,
        no_color=not colour,
        highlight=False,
        legacy_windows=False,
    )
    _print(console, document)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def render_html(document: Document) -> str:
    """The same as an HTML fragment for a notebook."""
    console = Console(
        file=io.StringIO(), width=120, record=True, highlight=False, force_jupyter=False
    )
    _print(console, document)
    style = "white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace"
    return console.export_html(
        inline_styles=True, code_format=f'<pre style="{style}">{{code}}</pre>'
    )


def _print(console: Console, document: Document) -> None:
    console.print(Text(printable(document.title), style="bold"))
    for section in document.sections:
        console.print()
        console.print(Text(section.title, style="bold cyan"))
        last: Block | None = None
        for block in section.blocks:
            if isinstance(last, Table) and isinstance(block, Table):
                console.print()
            for item in _block(block, console.width):
                console.print(item)
            last = block


def _block(block: Block, width: int) -> Iterator[RenderableType]:
    match block:
        case Table():
            yield _table(block, width)
        case Facts():
            grid = RichTable.grid(padding=(0, 2))
            grid.add_column()
            grid.add_column(overflow="fold")
            for fact in block.facts:
                value = text_of(fact.unit, fact.value)
                text = Text(value, style="bold")
                if fact.detail:
                    text.append(f"  {printable(fact.detail)}", style="not bold dim")
                grid.add_row(Text(fact.label), text)
            yield grid
        case Paragraph():
            yield Text(block.text.format(*map(printable, block.names)))
        case Diagram():
            pass


def _table(table: Table, width: int) -> RenderableType:
    if not table.rows:
        return Text("Nothing.")
    shown = _fitting(table, width)
    made = RichTable(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for i in shown:
        _add_column(made, table.columns[i])
    for texts, row in zip(_texts(table), table.rows, strict=True):
        cells: list[RenderableType] = []
        for i in shown:
            cells += _cell(table.columns[i], row[i], texts[i])
        made.add_row(*cells)
    return made


def _texts(table: Table) -> list[list[str]]:
    """Every cell as text, the first of a row indented by its level."""
    levels = table.levels or (0,) * len(table.rows)
    made = []
    for level, row in zip(levels, table.rows, strict=True):
        texts = [text_of(c.unit, cell) for c, cell in zip(table.columns, row, strict=True)]
        made.append(["  " * level + texts[0], *texts[1:]])
    return made


def _fitting(table: Table, width: int) -> list[int]:
    """The columns that are shown: the highest ranks go, those of one rank together, until the
    rest fit side by side."""
    need = []
    for column, *texts in zip(table.columns, *_texts(table), strict=True):
        widest = max(map(cell_len, (column.title, *texts)))
        most = _FOLD if column.unit == "text" else widest
        need.append(min(widest, most) + 1 + (_BAR + 1 if column.unit == "bar" else 0))
    shown = list(range(len(need)))
    while sum(need[i] for i in shown) - 1 > width:
        least = max(table.columns[i].rank for i in shown)
        if not least:
            break
        shown = [i for i in shown if table.columns[i].rank != least]
    return shown


def _add_column(table: RichTable, column: Column) -> None:
    if column.unit in ("text", "shape"):
        table.add_column(column.title, overflow="fold")
    else:
        table.add_column(column.title, justify="right", no_wrap=True)
    if column.unit == "bar":
        table.add_column("", width=_BAR, no_wrap=True)


def _cell(column: Column, cell: Cell, text: str) -> list[RenderableType]:
    if column.unit != "bar":
        return [Text(text)]
    if not isinstance(cell, float) or not cell:
        return [Text(text), Text()]
    return [Text(text), Bar(size=1.0, begin=0.0, end=cell, width=_BAR, color="cyan")]
