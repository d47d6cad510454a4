"""Documents: sections of paragraphs, facts, tables and diagrams, with raw numbers in them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from costlens import units

Unit = Literal["text", "exact", "count", "bytes", "share", "bar", "shape", "factor", "decimal"]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A lower bound: shown with "≥"."""

    value: int


Cell = str | int | float | tuple[int, ...] | AtLeast | None


class Bounded(Protocol):
    """Figures of which some may be lower bounds."""

    @property
    def at_least(self) -> frozenset[str]: ...


def bound(figures: Bounded, field: str) -> Cell:
    """A figure, as a lower bound where it is one."""
    value = int(getattr(figures, field))
    return AtLeast(value) if field in figures.at_least else value


@dataclass(frozen=True, slots=True)
class Column:
    """A table column; the higher its ``rank``, the sooner a narrow terminal leaves it out.

    Rank 0 always stays.
    """

    title: str
    unit: Unit
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Table:
    """Raw cells under typed columns; ``levels`` indents the first column, by row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    levels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """A labelled figure, and what there is to say about it."""

    label: str
    unit: Unit
    value: Cell
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Labelled figures, one a line."""

    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence or two; ``names`` from the user's model are filled in where ``{}`` stands."""

    text: str
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Diagram:
    """Mermaid source; left out at a terminal."""

    source: str


Block = Table | Facts | Paragraph | Diagram


@dataclass(frozen=True, slots=True)
class Section:
    """A titled run of blocks."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A title and its sections."""

    title: str
    sections: tuple[Section, ...]


_FORMAT: Mapping[str, Callable[..., str]] = {
    "exact": units.exact,
    "count": units.count,
    "bytes": units.size,
    "factor": units.factor,
    "decimal": units.decimal,
}


def text_of(unit: Unit, cell: Cell) -> str:
    """A cell as text; nothing is computed, and a missing one is a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, AtLeast):
        return _FORMAT[unit](cell.value, True)
    if isinstance(cell, tuple):
        return units.shape(cell)
    if isinstance(cell, str):
        return units.printable(cell)
    if unit in ("share", "bar"):
        return units.share(float(cell))
    return _FORMAT[unit](cell)
