"""What there is to warn of while a script runs, each with the script's own line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from types import FrameType


class Log:
    """Warnings, each once, and the files that are the user's own."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        """Absolute file name → what to call it."""
        self._said: dict[str, None] = {}

    def own(self, path: str, shown: str) -> None:
        """A file of the user's: its lines are what warnings name."""
        self.files[path] = shown

    def shown(self, path: str) -> str | None:
        """What to call a file of the user's; None for any other."""
        return self.files.get(path)

    def say(self, what: str, fix: str = "", where: str | None = None) -> None:
        """Warn of something, at the line of the script that is running now."""
        where = self.line() if where is None else where
        text = f"{where}: {what}" if where else what
        text = text if text[-1:] in ".?!" else f"{text}."
        self._said[" ".join(f"{text} {fix}".split())] = None

    def said(self) -> tuple[str, ...]:
        """All warnings, in order."""
        return tuple(self._said)

    def line(self) -> str:
        """``script.py:12``: where the user's innermost running statement stands."""
        for frame in self.frames():
            return f"{self.files[frame.f_code.co_filename]}:{frame.f_lineno}"
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
            shown = self.files.get(frame.f_code.co_filename)
            where = f"{shown}:{line}" if shown else where
        return where


def described(error: BaseException) -> str:
    """An error as one line that is not too long."""
    text = " ".join(str(error).split())
    text = text.removeprefix("Exception encountered when calling ")
    text = text if len(text) <= 200 else f"{text[:200].rpartition(' ')[0]} …"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def absolute(path: str) -> str:
    """The name under which a file's code is known."""
    return os.path.realpath(path)
