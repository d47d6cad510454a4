"""Documents at a terminal, by rich: what fits its width, colour only where there is some."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.bar import Bar
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


def render(document: Document, width: int | None = None, colour: bool = False) -> str:
    """The document as text of at most ``width`` columns (80 where none is given)."""
    file = io.StringIO()
    console = Console(
        file=file,
        width=width or 80,
        force_terminal=colour,
        no_color=not colour,
        highlight=False,
        legacy_windows=False,
    )
    _print(console, document)
    return "".join(f"{line.rstrip()}\n" for line in file.getvalue().splitlines())


def render_html(document: Document) -> str:
    """The same as an HTML fragment for a notebook."""
    console = Console(file=io.StringIO(), width=120, record=True, highlight=False)
    _print(console, document)
    style = "white-space:pre;overflow-x:auto;line-height:normal;font-family:monospace"
    return console.export_html(inline_styles=True, code_format=f'<pre style="{style}">{{code}}</pre>')


def _print(console: Console, document: Document) -> None:
    console.print(Text(printable(document.title), style="bold"))
    for section in document.sections:
        console.print()
        console.print(Text(section.title, style="bold cyan"))
        for block in section.blocks:
            for item in _block(block, console.width):
                console.print(item)


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
    shown = [i for i, column in enumerate(table.columns) if column.width <= width]
    made = RichTable(box=None, padding=(0, 1, 0, 0), header_style="dim", pad_edge=False)
    for i in shown:
        _add_column(made, table.columns[i])
    levels = table.levels or (0,) * len(table.rows)
    for level, row in zip(levels, table.rows, strict=True):
        cells: list[RenderableType] = []
        for i in shown:
            cells += _cell(table.columns[i], row[i], level if i == 0 else 0)
        made.add_row(*cells)
    return made


def _add_column(table: RichTable, column: Column) -> None:
    if column.unit == "text":
        table.add_column(column.title, overflow="fold")
    elif column.unit == "shape":
        table.add_column(column.title, overflow="fold")
    else:
        table.add_column(column.title, justify="right", no_wrap=True)
    if column.unit == "bar":
        table.add_column("", width=_BAR, no_wrap=True)


def _cell(column: Column, cell: Cell, level: int) -> list[RenderableType]:
    text = Text("  " * level + text_of(column.unit, cell))
    if column.unit != "bar":
        return [text]
    fraction = cell if isinstance(cell, float) else 0.0
    return [text, Bar(size=1.0, begin=0.0, end=fraction, width=_BAR, color="cyan")]
