"""What there is to warn of while a script runs, each with the script's own line."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType


class Log:
    """Warnings, each once, and the files that are the user's own."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        """Absolute file name → what to call it."""
        self.absent: dict[str, None] = {}
        """Packages that the script imports and that are not installed."""
        self._cells: dict[str, list[tuple[int, int]]] = {}
        self._said: dict[str, str] = {}
        self._after: dict[str, set[str]] = {}

    def own(self, path: str, shown: str, cells: Iterable[tuple[int, int]] = ()) -> None:
        """A file of the user's: its lines are what warnings name.

        ``cells`` are the first line and the number of each code cell of a notebook.
        """
        self.files[path] = shown
        self._cells[path] = list(cells)

    def place(self, path: str, line: int) -> str:
        """``train.py:12``, or ``book.ipynb, cell 5:2``."""
        before = [(first, cell) for first, cell in self._cells[path] if first <= line]
        if not before:
            return f"{self.files[path]}:{line}"
        first, cell = before[-1]
        return f"{self.files[path]}, cell {cell}:{line - first + 1}"

    def say(
        self, what: str, fix: str = "", where: str | None = None, skipped: bool = False
    ) -> None:
        """Warn of something, at the line of the script that is running now."""
        where = self.line() if where is None else where
        text = f"{where}: {what}" if where else what
        text = text if text[-1:] in ".?!" else f"{text}."
        self._said.setdefault(" ".join(f"{text} {fix}".split()), where if skipped else "")

    def lost(self, where: str, cause: str) -> None:
        """What an earlier line would have given is missing here too."""
        self._after.setdefault(cause, set()).add(where)

    def said(self) -> tuple[str, ...]:
        """All warnings, in order; after a skipped line, how many lines were lost with it."""
        return tuple(text + self._with(where) for text, where in self._said.items())

    def _with(self, where: str) -> str:
        lines = len(self._after.get(where, ()))
        if not lines:
            return ""
        return f" {'1 line' if lines == 1 else f'{lines} lines'} after it went with it."

    def line(self) -> str:
        """``script.py:12``: where the user's innermost running statement stands."""
        for frame in self.frames():
            return self.place(frame.f_code.co_filename, frame.f_lineno)
        return ""

    def frames(self) -> Iterator[FrameType]:
        """The running frames of the user's own code, innermost first."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename in self.files:
                yield frame
            frame = frame.f_back

    def raised_at(self, error: BaseException) -> str:
        """Where in the user's own code an error was raised, or was passed on last."""
        where = ""
        for frame, line in traceback.walk_tb(error.__traceback__):
            file = frame.f_code.co_filename
            where = self.place(file, line) if file in self.files else where
        return where


def described(error: BaseException) -> str:
    """An error as one line that is not too long."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split())
    text = text.partition("Error encountered: ")[2].partition(" Arguments received")[0] or text
    text = text if len(text) <= 200 else f"{text[:200].rpartition(' ')[0]} …"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def absolute(path: str) -> str:
    """The name under which a file's code is known."""
    return os.path.realpath(path)
