"""A FlatBuffers reader of a hundred lines: every offset is checked before it is followed.

A table is a position; a field is found through the table's vtable, by its slot. Offsets to
strings, vectors and tables are unsigned and lead forward, so that nothing can turn in a circle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from costlens.frontends.opfile.names import printable
from costlens.frontends.opfile.reading import Budget, Malformed

_SIZES = {"b": 1, "B": 1, "?": 1, "h": 2, "H": 2, "i": 4, "I": 4, "f": 4, "q": 8, "Q": 8}
_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class Source:
    """The bytes of a file, and what may still be read of them."""

    data: memoryview
    budget: Budget

    def number(self, code: str, at: int) -> int | float:
        """A little-endian number; raises Malformed outside the file."""
        self.need(at, _SIZES[code])
        found: int | float = struct.unpack_from("<" + code, self.data, at)[0]
        return found

    def whole(self, code: str, at: int) -> int:
        """The same, a whole number."""
        return int(self.number(code, at))

    def need(self, at: int, size: int) -> None:
        """Raise Malformed unless these bytes are in the file."""
        if at < 0 or at + size > len(self.data):
            raise Malformed("it ends before what it points to")

    def follow(self, at: int) -> int:
        """Where an offset at this place leads."""
        return at + self.whole("I", at)

    def root(self) -> Table:
        """The table that the file begins with."""
        return Table(self, self.follow(0))


@dataclass(frozen=True, slots=True)
class Table:
    """A table at a position of the file; an absent field gives its default."""

    source: Source
    at: int

    def _field(self, slot: int) -> int | None:
        source = self.source
        vtable = self.at - source.whole("i", self.at)
        entry = 4 + 2 * slot
        if entry + 2 > source.whole("H", vtable):
            return None
        offset = source.whole("H", vtable + entry)
        return self.at + offset if offset else None

    def number(self, slot: int, code: str, default: float = 0) -> int | float:
        """A scalar field."""
        at = self._field(slot)
        return default if at is None else self.source.number(code, at)

    def whole(self, slot: int, code: str = "i", default: int = 0) -> int:
        """A scalar field that is a whole number."""
        return int(self.number(slot, code, default))

    def table(self, slot: int) -> Table | None:
        """A table that this one holds."""
        at = self._field(slot)
        self.source.budget.spend()
        return None if at is None else Table(self.source, self.source.follow(at))

    def vector(self, slot: int, width: int) -> tuple[int, int]:
        """Where a vector's elements begin, and how many there are."""
        at = self._field(slot)
        if at is None:
            return 0, 0
        start = self.source.follow(at)
        count = self.source.whole("I", start)
        self.source.need(start + 4, count * width)
        return start + 4, count

    def numbers(self, slot: int, code: str = "i") -> tuple[int, ...]:
        """A vector of whole numbers."""
        start, count = self.vector(slot, _SIZES[code])
        self.source.budget.spend(count)
        return struct.unpack_from(f"<{count}{code}", self.source.data, start) if count else ()

    def tables(self, slot: int) -> Iterator[Table]:
        """A vector of tables."""
        start, count = self.vector(slot, 4)
        self.source.budget.spend(count)
        for at in range(start, start + 4 * count, 4):
            yield Table(self.source, self.source.follow(at))

    def text(self, slot: int) -> str:
        """A string, as it may be shown."""
        start, count = self.vector(slot, 1)
        self.source.budget.spend(1 + min(count, _LONGEST_NAME) // 64)
        raw = bytes(self.source.data[start : start + min(count, _LONGEST_NAME)])
        return printable(raw.decode("utf-8", "replace"))
