"""A reader of protobuf's wire format: fields within bounds, bytes never copied.

A message is a span of the file. Its fields are numbers, or spans inside it, so that reading
costs no more than the file is long, times the depth that its reader goes to.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from costlens.frontends.opfile.names import printable
from costlens.frontends.opfile.reading import Budget, Malformed

_LONGEST_NAME = 4096


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a file: a message, a string, bytes, or packed numbers."""

    data: memoryview
    start: int
    end: int
    budget: Budget

    @property
    def size(self) -> int:
        """Its length in bytes."""
        return self.end - self.start

    def raw(self) -> bytes:
        """The bytes themselves."""
        return bytes(self.data[self.start : self.end])

    def text(self) -> str:
        """A name, as it is written."""
        self.budget.spend(1 + min(self.size, _LONGEST_NAME) // 64)
        raw = bytes(self.data[self.start : min(self.end, self.start + _LONGEST_NAME)])
        return raw.decode("utf-8", "replace")

    def label(self) -> str:
        """A name, as it may be shown."""
        return printable(self.text())

    def varint(self, at: int) -> tuple[int, int]:
        """A number of variable length, and where it ends."""
        found = 0
        for place in range(10):
            if at + place >= self.end:
                break
            byte = self.data[at + place]
            found |= (byte & 127) << (7 * place)
            if byte < 128:
                return found & (2**64 - 1), at + place + 1
        raise Malformed("it ends inside a number")

    def fields(self) -> Iterator[tuple[int, int | Span]]:
        """The fields of a message, by number: whole numbers, or spans of the rest."""
        at = self.start
        while at < self.end:
            self.budget.spend()
            tag, at = self.varint(at)
            value, at = self._value(tag & 7, at)
            yield tag >> 3, value

    def _value(self, wire: int, at: int) -> tuple[int | Span, int]:
        if wire == 0:
            return self.varint(at)
        if wire == 2:
            size, at = self.varint(at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise Malformed(f"it has a field of wire type {wire}")
        if at + size > self.end:
            raise Malformed("it ends inside a field")
        return Span(self.data, at, at + size, self.budget), at + size

    def varints(self) -> Iterator[int]:
        """Packed whole numbers."""
        at = self.start
        while at < self.end:
            self.budget.spend()
            found, at = self.varint(at)
            yield found

    def message(self) -> Message:
        """The fields of a message, collected."""
        found: dict[int, list[int | Span]] = {}
        for number, value in self.fields():
            found.setdefault(number, []).append(value)
        return Message(found)


def signed(number: int) -> int:
    """An int64, as a varint holds it."""
    return number - 2**64 if number >= 2**63 else number


@dataclass(frozen=True, slots=True)
class Message:
    """The fields of one message; of a single field the last one counts."""

    values: dict[int, list[int | Span]]

    def spans(self, number: int) -> list[Span]:
        """A repeated field of messages, strings or bytes."""
        found = self.values.get(number, [])
        if any(not isinstance(value, Span) for value in found):
            raise Malformed(f"its field {number} is a number")
        return [value for value in found if isinstance(value, Span)]

    def span(self, number: int) -> Span | None:
        """A field that is a message, a string or bytes."""
        found = self.spans(number)
        return found[-1] if found else None

    def text(self, number: int) -> str:
        """A field that is a name; "" where it is absent."""
        span = self.span(number)
        return span.text() if span else ""

    def texts(self, number: int) -> tuple[str, ...]:
        """A repeated field of names."""
        return tuple([span.text() for span in self.spans(number)])

    def whole(self, number: int, default: int = 0) -> int:
        """A field that is a whole number."""
        found = self.values.get(number, [])
        if found and isinstance(found[-1], Span):
            raise Malformed(f"its field {number} is no number")
        return signed(found[-1]) if found and isinstance(found[-1], int) else default

    def wholes(self, number: int) -> tuple[int, ...]:
        """A repeated field of whole numbers, packed or not."""
        found: list[int] = []
        for value in self.values.get(number, []):
            found += value.varints() if isinstance(value, Span) else [value]
        return tuple([signed(n) for n in found])

    def floats(self, number: int, code: str = "f") -> tuple[float, ...]:
        """A repeated field of floats, packed or not."""
        size = struct.calcsize(code)
        found: list[float] = []
        for span in self.spans(number):
            span.budget.spend(span.size // size)
            if span.size % size:
                raise Malformed("it ends inside a number")
            found += struct.unpack(f"<{span.size // size}{code}", span.raw())
        return tuple(found)
