"""Opening a file that may be anything: mapped, never loaded, and read within bounds."""

from __future__ import annotations

import mmap
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from costlens.errors import InputError


class Malformed(Exception):
    """A file that breaks the rules of its format; the message says how."""


class Budget:
    """What one reading may look at, so that a small file cannot ask for endless work."""

    def __init__(self, most: int = 5_000_000) -> None:
        self.left = most

    def spend(self, count: int = 1) -> None:
        """Take this many records; raises Malformed once there are too many."""
        self.left -= count
        if self.left < 0:
            raise Malformed("it holds more records than any model")


@contextmanager
def mapped(path: Path, kind: str) -> Iterator[memoryview]:
    """The bytes of a file, without reading those that nobody looks at.

    What goes wrong inside is one InputError that names the file and the kind of file.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or not found.st_size:
            raise InputError(str(path), f"is no {kind} file", "Check the path.")
        with (
            open(path, "rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
            memoryview(data) as view,
        ):
            yield view
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file", "Check the path.") from error
    except OSError as error:
        raise InputError(str(path), f"cannot be opened: {error.strerror}") from error
    except Malformed as error:
        raise InputError(str(path), f"is no {kind} file that can be read: {error}") from error
