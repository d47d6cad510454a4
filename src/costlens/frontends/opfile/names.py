"""Row paths from the names in a file: printable, unique, without what all of them begin with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_LONGEST = 200


def printable(text: str) -> str:
    """A name as it may be shown: one line, of bounded length."""
    return "".join(c if c.isprintable() else "?" for c in text[:_LONGEST])


def parts(name: str) -> list[str]:
    """The containers and the last part of a name; the first of several fused operators' names."""
    first = name.partition(";")[0]
    head, colon, tail = first.rpartition(":")
    first = head if colon and tail.isdigit() else first
    return [part for part in printable(first).split("/") if part]


def input_name(name: str) -> str:
    """What an input is called, without what a converter puts around it."""
    head, colon, tail = name.rpartition(":")
    return printable(head if colon and tail.isdigit() else name).removeprefix("serving_default_")


class Namer:
    """Gives each operator a path that no other one has."""

    def __init__(self, names: Iterable[str]) -> None:
        self.taken: set[str] = set()
        self.counts: dict[str, int] = {}
        nested = [found for found in map(parts, names) if len(found) > 1]
        self.prefix: list[str] = []
        while nested and all(
            len(found) > len(self.prefix) + 1
            and found[: len(self.prefix) + 1] == nested[0][: len(self.prefix) + 1]
            for found in nested
        ):
            self.prefix = nested[0][: len(self.prefix) + 1]

    def path(self, name: str, kind: str, scope: Sequence[str] = ()) -> str:
        """The path of an operator of this name, inside the containers that are open."""
        found = parts(name) or [printable(kind).lower() or "op"]
        if len(found) > len(self.prefix) and found[: len(self.prefix)] == self.prefix:
            found = found[len(self.prefix) :]
        path = text = "/".join(found)
        around = "/".join(scope)
        while (whole := f"{around}//{path}") in self.taken:
            key = f"{around}//{text}"
            self.counts[key] = count = self.counts.get(key, 1) + 1
            path = f"{text}_{count}"
        self.taken.add(whole)
        return path
